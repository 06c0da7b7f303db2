//! The command as a user meets it: what it prints, and what it ends with. Nobody is asked here.
#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

#[path = "../src/example.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the library's tests use all of it"
)]
mod example;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use proto::receipt::ReceiptFile;
use proto::roster::Roster;
use tempfile::TempDir;

use self::example::Ledger;

fn vitrail(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("vitrail").unwrap();
    command.current_dir(folder).env_clear();
    command.env("VITRAIL_OUTPUT", "text");
    command
}

/// A folder with the roster, a receipt and a refusal.
fn folder() -> TempDir {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::furnished());
    fs::write(
        folder.path().join("roster.txt"),
        example::roster().to_text(),
    )
    .unwrap();
    for (name, file) in files(&ledger) {
        fs::write(folder.path().join(name), file.to_text()).unwrap();
    }
    folder
}

fn files(ledger: &Ledger) -> [(&'static str, ReceiptFile); 2] {
    [
        ("receipt", ReceiptFile::Accepted(ledger.receipt(4))),
        ("refusal", ReceiptFile::Refused(ledger.refusal())),
    ]
}

fn verify(folder: &Path, file: &str) -> (i32, String, String) {
    let arguments = ["receipt", "verify", file, "--roster", "roster.txt"];
    run(vitrail(folder).args(arguments))
}

fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_receipt_and_a_refusal_verify_offline_with_every_step_printed() {
    let folder = folder();
    let (code, stdout, stderr) = verify(folder.path(), "receipt");
    assert_eq!((code, stderr.as_str()), (0, ""));
    for step in ["format", "checkpoint", "entry", "inclusion"] {
        assert!(stdout.contains(&format!("ok     {step}")), "{stdout}");
    }
    let (code, stdout, _) = verify(folder.path(), "refusal");
    assert_eq!(code, 0);
    for step in ["state", "refused"] {
        assert!(stdout.contains(&format!("ok     {step}")), "{stdout}");
    }
}

#[test]
fn every_changed_byte_of_a_receipt_or_a_refusal_fails_a_step() {
    let ledger = Ledger::furnished();
    for (name, file) in files(&ledger) {
        let bytes = file.to_text().into_bytes();
        for position in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[position] ^= flip;
                assert!(
                    !is_valid(&changed, &ledger.roster),
                    "{name} {position} {flip:#x}"
                );
            }
        }
    }
}

fn is_valid(bytes: &[u8], roster: &Roster) -> bool {
    let text = str::from_utf8(bytes).ok();
    text.is_some_and(|text| ReceiptFile::verify(text, roster, &mut |_| {}).is_ok())
}

#[test]
fn the_command_names_the_step_that_fails_and_ends_with_1() {
    let folder = folder();
    let bytes = fs::read(folder.path().join("receipt")).unwrap();
    let lines = |before: &str| {
        let text = str::from_utf8(&bytes).unwrap();
        text.find(before).unwrap() + before.len()
    };
    // The first character of the entry is its version; a later one is in its signature.
    for (position, step) in [
        (3, "format"),
        (lines("entry "), "entry"),
        (lines("path ") + 9, "inclusion"),
        (lines("map ") + 9, "checkpoint"),
    ] {
        let mut changed = bytes.clone();
        changed[position] = if changed[position] == b'B' {
            b'C'
        } else {
            b'B'
        };
        fs::write(folder.path().join("changed"), changed).unwrap();
        let (code, stdout, stderr) = verify(folder.path(), "changed");
        assert_eq!(code, 1, "{step}");
        assert!(stdout.contains("FAILED"), "{stdout}");
        assert!(
            stderr.starts_with(&format!(
                "error: the receipt is not valid: step {step} failed"
            )),
            "{step}: {stderr}"
        );
        assert!(stderr.contains("\nhint: "), "{stderr}");
    }
}

#[test]
fn the_json_of_a_verification_names_steps_and_failure() {
    let folder = folder();
    let arguments = [
        "receipt",
        "verify",
        "receipt",
        "--roster",
        "roster.txt",
        "-o",
        "json",
    ];
    let (code, stdout, _) = run(vitrail(folder.path()).args(arguments));
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 0);
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["verified"]["index"], 4);
    assert_eq!(answer["passed"].as_array().unwrap().len(), 4);
}

#[test]
fn what_cannot_be_asked_ends_with_2_and_an_error_line() {
    let folder = folder();
    let (code, _, stderr) = verify(folder.path(), "missing");
    assert_eq!(
        (code, stderr.as_str()),
        (2, "error: missing does not exist\n")
    );
    let (code, _, stderr) = run(vitrail(folder.path()).args(["audit", "--http", "ftp://log"]));
    assert_eq!(code, 2);
    assert!(
        stderr.starts_with("error: the address of a log must be http://"),
        "{stderr}"
    );
    let nobody = ["audit", "--http", "http://127.0.0.1:1", "-o", "json"];
    let (code, stdout, _) = run(vitrail(folder.path()).args(nobody));
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["error"]["kind"]), (2, &"unavailable".into()));
}

#[test]
fn a_key_is_made_once_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let make = || run(vitrail(folder.path()).args(["keygen", "--out", "key.pem"]));
    let (code, stdout, _) = make();
    assert_eq!(code, 0);
    assert!(stdout.starts_with("public key "), "{stdout}");
    let pem = fs::read_to_string(folder.path().join("key.pem")).unwrap();
    assert!(!stdout.contains(pem.lines().nth(1).unwrap()));
    assert_eq!(make().0, 1);
    assert_eq!(
        fs::read_to_string(folder.path().join("key.pem")).unwrap(),
        pem
    );
}

#[test]
fn a_catalogue_is_imported_from_csv() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "code;label;code_regroupement;plv_eur\n2222124;Monture adulte;M01;30\n\
               2222125;Monture;M01;30\n";
    fs::write(folder.path().join("lpp.csv"), csv).unwrap();
    let arguments = [
        "catalogue",
        "import",
        "lpp.csv",
        "--out",
        "c.txt",
        "--name",
        "LPP-1",
    ];
    let (code, stdout, _) = run(vitrail(folder.path())
        .args(arguments)
        .args(["--valid-from", "2026-01-01"]));
    assert_eq!(code, 0);
    assert!(
        stdout.contains("1 products") && stdout.contains("skipped line 3"),
        "{stdout}"
    );
    let catalogue = fs::read(folder.path().join("c.txt")).unwrap();
    assert!(proto::lpp::Catalogue::from_bytes(&catalogue).is_ok());
}

#[test]
fn an_identity_of_a_bad_card_is_not_repeated() {
    let folder = folder();
    let card = "nir = \"2 95 10 99 126 111 94\"\nbirth_date = \"19951012\"\n";
    fs::write(folder.path().join("card.toml"), card).unwrap();
    let paths: [PathBuf; 2] = ["card.toml".into(), "-".into()];
    for path in paths {
        let mut command = vitrail(folder.path());
        command
            .args(["check", "--item", "2264861=95", "--card"])
            .arg(path)
            .write_stdin(card);
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, 2);
        assert_eq!(stdout, "");
        assert_eq!(
            stderr,
            "error: card: the key of the NIR does not match its 13 characters\n"
        );
    }
}

/// A till that has never asked anybody: its card, its key, and a catalogue of these lines.
fn till(lines: &str) -> TempDir {
    let folder = folder();
    let catalogue = format!(
        "vitrail-catalogue/v2\nversion;LPP-1\nvalid-from;2020-01-01\n\
         code;grouped;label;base;plv;age-max;end\n{lines}"
    );
    let card = "nir = \"2 95 10 99 126 111 93\"\nbirth_date = \"19951012\"\n";
    fs::write(folder.path().join("catalogue.txt"), catalogue).unwrap();
    fs::write(folder.path().join("card.toml"), card).unwrap();
    let made = run(vitrail(folder.path()).args(["keygen", "--out", "key.pem"]));
    assert_eq!(made.0, 0, "{}", made.2);
    folder
}

#[test]
fn items_that_a_rule_refuses_are_answered_with_place_reason_and_sentence() {
    let till = till(
        "2209738;SV1;ADAPTATION;;;;2020-02-01\n\
         2222124;M01;MONTURE A;;30.00;;\n\
         2263927;V01;VERRE NEUTRE;;;;\n\
         code;incompatible-with\n\
         2222124;2263927\n\
         code;compatible-with\n",
    );
    let frame = "2222124=30";
    for (command, items, reason, places) in [
        ("check", [frame, "2209738=1"], "LPP_CODE_EXPIRED", "2"),
        ("check", ["2264861=1", frame], "LPP_CODE_UNKNOWN", "1"),
        ("check", [frame, "2264862=1"], "LPP_CODE_MISTYPED", "2"),
        ("claim", [frame, "2264862=1"], "LPP_CODE_MISTYPED", "2"),
        (
            "check",
            [frame, "2263927/left=9"],
            "ITEMS_INCOMPATIBLE",
            "1,2",
        ),
    ] {
        let arguments = [
            command,
            "--card",
            "card.toml",
            "--item",
            items[0],
            "--item",
            items[1],
        ];
        let (code, stdout, _) = run(vitrail(till.path()).args(arguments).args(["-o", "json"]));
        assert_eq!(code, 1, "{reason}");
        let sentence = proto::refusal::Reason::from_code(reason).unwrap().french();
        let object = format!(
            "{{\"covered\":false,\"refusal\":{{\"code\":\"{reason}\",\
             \"sentence\":\"{sentence}\",\"items\":[{places}]}},\"catalogue_in_force\":null}}\n"
        );
        assert_eq!(stdout, object);
        let (code, stdout, _) = run(vitrail(till.path()).args(arguments));
        assert_eq!(code, 1, "{reason}");
        assert!(
            stdout.contains(sentence) && stdout.contains(reason),
            "{stdout}"
        );
    }
    let malformed = ["check", "--card", "card.toml", "--item", "222212=30"];
    let (code, stdout, stderr) = run(vitrail(till.path()).args(malformed));
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_eq!(stderr, "error: item 1: an LPP code must be 7 digits\n");
}

#[test]
fn a_pipe_gets_json_unless_text_is_asked_for() {
    let folder = folder();
    let words = ["receipt", "verify", "receipt", "--roster", "roster.txt"];
    let (_, piped, _) = run(vitrail(folder.path())
        .env_remove("VITRAIL_OUTPUT")
        .args(words));
    let answer: serde_json::Value = serde_json::from_str(&piped).unwrap();
    assert_eq!(answer["valid"], true);
    assert_eq!(piped.lines().count(), 1);
    let (_, asked, _) = run(vitrail(folder.path()).args(words));
    assert!(asked.starts_with("ok     "), "{asked}");
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let folder = till("");
    fs::write(
        folder.path().join("vitrail.toml"),
        "node = \"cnam\"\nkey = \"k.pem\"\n",
    )
    .unwrap();
    let mut show = vitrail(folder.path());
    show.env("VITRAIL_STATE", "seen")
        .env("VITRAIL_KEY", "other.pem");
    let words = [
        "config",
        "show",
        "--origins",
        "--node",
        "amc",
        "--roster",
        "r.txt",
    ];
    let (code, text, _) = run(show.args(words));
    assert_eq!(code, 0);
    for line in [
        "node             flag         amc",
        "roster           flag         r.txt",
        "key              environment  other.pem",
        "state            environment  seen",
        "catalogue        default      catalogue.txt",
        "device_entry     unset        -",
        "profile vitrail.toml",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
}

#[test]
fn a_doctor_without_a_federation_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, _) = run(vitrail(folder.path()).arg("doctor"));
    assert_eq!(code, 1);
    assert!(text.contains("failed  roster"), "{text}");
    assert!(text.contains("failed  key"), "{text}");
    assert!(text.contains("ok      queue"), "{text}");
}

#[test]
fn a_shell_and_a_reader_of_manuals_get_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let (code, script, _) = run(vitrail(folder.path()).args(["completion", "bash"]));
    assert_eq!(code, 0);
    assert!(script.contains("vitrail__subcmd__receipt") || script.contains("vitrail__receipt"));
    let (code, _, _) = run(vitrail(folder.path()).args(["manual", "man"]));
    assert_eq!(code, 0);
    for page in ["vitrail.1", "vitrail-check.1", "vitrail-receipt-verify.1"] {
        let page = fs::read_to_string(folder.path().join("man").join(page)).unwrap();
        assert!(page.starts_with(".ie"), "{page}");
    }
}
