//! Evidence as a user meets it: an audit writes it, and anybody verifies it with the roster alone.
#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

#[path = "../src/example.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the library's tests use all of it"
)]
mod example;

mod command_line;
mod served;

use std::fs;
use std::path::{Path, PathBuf};

use self::command_line::{folder, vitrail};
use self::example::{Ledger, catalogue_place, claim, grant};
use self::served::serve;

/// Audits a log, and finds the one file that is written.
fn audited(folder: &Path, ledger: &Ledger) -> (String, String, PathBuf) {
    let address = serve(ledger.files());
    let (code, stdout, stderr) = vitrail(folder, &["audit", "--http", &address]);
    assert_eq!(code, 1, "{stderr}");
    let mut files = fs::read_dir(folder.join("evidence")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    (stdout, stderr, file)
}

#[test]
fn an_audit_writes_what_it_finds_and_the_file_convinces_whoever_has_the_roster() {
    let folder = folder();
    let mut ledger = Ledger::furnished();
    ledger.map.remove(&catalogue_place());
    let (stdout, stderr, file) = audited(folder.path(), &ledger);
    assert!(stdout.contains("guilty amc, amo, mutuelle, opticiens: signed a map"));
    assert!(stderr.starts_with("error: map root: "), "{stderr}");

    let elsewhere = command_line::folder();
    let copy = elsewhere.path().join("evidence.txt");
    fs::copy(&file, &copy).unwrap();
    let verify = [
        "evidence",
        "verify",
        "evidence.txt",
        "--roster",
        "roster.txt",
    ];
    let (code, stdout, stderr) = vitrail(elsewhere.path(), &verify);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for step in ["format", "signatures", "proofs", "contradiction"] {
        assert!(stdout.contains(&format!("ok     {step}")), "{stdout}");
    }
    assert!(stdout.contains("A signé un état des droits"), "{stdout}");
    let json = [&verify[..], &["-o", "json"]].concat();
    let (_, stdout, _) = vitrail(elsewhere.path(), &json);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["verdict"]["offence"], "wrong-map");
    assert_eq!(answer["verdict"]["members"].as_array().unwrap().len(), 4);

    let text = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, text.replacen("map ", "mop ", 1)).unwrap();
    let (code, stdout, stderr) = vitrail(elsewhere.path(), &verify);
    assert_eq!(code, 1);
    assert!(stdout.contains("FAILED format"), "{stdout}");
    assert!(stderr.contains("the evidence does not hold: step format failed"));
    fs::remove_file(&copy).unwrap();
    assert_eq!(vitrail(elsewhere.path(), &verify).0, 2);
}

#[test]
fn a_slot_taken_twice_is_shown_and_a_rule_that_takes_the_log_ends_with_2() {
    let folder = folder();
    let mut ledger = Ledger::furnished();
    ledger.append("till", &claim(&[1], 3));
    let (stdout, _, _) = audited(folder.path(), &ledger);
    assert!(stdout.contains("vouched for entry 6"), "{stdout}");

    let folder = command_line::folder();
    let mut ledger = Ledger::furnished();
    ledger.append("amc", &grant("other"));
    let (stdout, _, file) = audited(folder.path(), &ledger);
    assert!(stdout.contains("OPEN   contradiction"), "{stdout}");
    let file = file.to_str().unwrap();
    let verify = ["evidence", "verify", file, "--roster", "roster.txt"];
    let (code, _, stderr) = vitrail(folder.path(), &verify);
    assert_eq!(code, 2);
    assert!(stderr.contains("the file alone does not tell"), "{stderr}");
}

#[test]
fn an_honest_log_writes_no_evidence() {
    let folder = folder();
    let address = serve(Ledger::furnished().files());
    let (code, _, stderr) = vitrail(folder.path(), &["audit", "--http", &address]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(!folder.path().join("evidence").exists());
}

#[test]
fn files_that_were_given_are_listed_with_whom_they_accuse() {
    let liar = folder();
    let mut ledger = Ledger::furnished();
    ledger.map.remove(&catalogue_place());
    let (_, _, file) = audited(liar.path(), &ledger);
    let text = fs::read_to_string(&file).unwrap();

    let folder = folder();
    let given = folder.path().join("given");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("cnam-7-3.txt"), "vitrail refused batch v1\n").unwrap();
    fs::write(given.join("spoiled"), text.replacen("map ", "mop ", 1)).unwrap();
    let audit = |given: &str| {
        let address = serve(Ledger::furnished().files());
        vitrail(
            folder.path(),
            &["audit", "--http", &address, "--given", given],
        )
    };
    // One that does not hold accuses nobody, and what is no evidence is passed over.
    let (code, stdout, stderr) = audit("given");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<_> = stdout
        .lines()
        .filter(|it| it.starts_with("given "))
        .collect();
    assert_eq!(lines.len(), 1, "{stdout}");
    assert!(lines[0].contains("spoiled: accuses nobody"), "{stdout}");

    fs::write(given.join("true"), &text).unwrap();
    let (code, stdout, stderr) = audit("given");
    assert_eq!(code, 1);
    let accused = "true: guilty amc, amo, mutuelle, opticiens: signed a map";
    assert!(stdout.contains(accused), "{stdout}");
    assert!(stderr.contains("a file that was given shows"), "{stderr}");
    let (code, _, stderr) = audit("missing");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("missing does not exist"), "{stderr}");
}
