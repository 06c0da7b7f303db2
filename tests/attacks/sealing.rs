//! What a disk gives without the token, the PIN or the passphrase that its secrets are sealed
//! under: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use client::session::{Session, SessionParts};
use client::system;
use proto::oprf::{self, PublicShare, ShareIndex};
use proto::roster::{Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::v1::TokenKind;
use tests::binary::{scratch_folder, vitrail_node};
use tests::bytes::{Needles, find_in_folder};
use tests::federation::{AMC_PAYERS, CNAM_PAYER, ORIGIN, cnam, fresh_key};
use tests::process::{NodeProcess, files, write_secret};
use tests::soft_token::{self, SoftTokens};
use tests::terminal::Terminal;

const TOKEN: &str = "vitrail test";
const PIN: &str = "1357902468";
const PASSPHRASE: &str = "eleven geese cross the Loire";

/// Runs `vitrail-node`; gives its exit code and what it said on standard error.
fn run(tokens: Option<&SoftTokens>, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(vitrail_node());
    command.envs(tokens.map(SoftTokens::variable)).args(words);
    let said = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
    (said.status.code().unwrap(), stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The words that found a federation in a folder, alpha following.
fn init<'a>(dir: &'a Path, member: &'a str) -> Vec<&'a str> {
    let (dir, payer) = (text(dir), CNAM_PAYER);
    let who = ["--name", "cnam", "--role", "amo", "--payer-number", payer];
    let place = ["init", "--dir", dir, "--origin", ORIGIN];
    [&place[..], &who, &["--member", member]].concat()
}

fn following(key: &SecretKey) -> String {
    let (payer, key) = (AMC_PAYERS[0], key.public().to_base64());
    format!("alpha amc {payer} following {key} - -")
}

fn start(dir: &Path, tokens: &SoftTokens, flags: &[&str]) -> Result<NodeProcess, String> {
    let any = "127.0.0.1:0";
    let ports = ["--grpc", any, "--http", any, "--admin", any];
    NodeProcess::start_with(dir, &[&ports, flags].concat(), &[tokens.variable()])
}

/// The node answers a payer under the share that the roster publishes.
async fn assert_evaluates(dir: &Path, node: &NodeProcess, payer: &SecretKey) {
    let signed = SignedRoster::parse(&fs::read(dir.join("roster.txt")).unwrap()).unwrap();
    let roster: Roster = signed.verify_genesis().unwrap();
    let parts = SessionParts {
        roster: roster.clone(),
        secret: payer.clone(),
        home: Some(cnam()),
        addresses: BTreeMap::from([(cnam(), node.addresses.grpc.to_string().parse().unwrap())]),
        observer: None,
    };
    let session = Session::open(parts).unwrap();
    let (_, blinded) = oprf::blind(b"an input", &[9; 64]).unwrap();
    let blinded = [blinded];
    let id = system::request_id().unwrap();
    let answer = session.home().evaluate(id, TokenKind::Contract, &blinded);
    let answer = answer.await.unwrap();
    let share = roster.share(&cnam()).unwrap();
    let index = ShareIndex::new(share.index.get()).unwrap();
    let public = PublicShare::from_bytes(index, share.public.contract.as_bytes()).unwrap();
    public.verify(&blinded, answer).unwrap();
}

/// The base64 words of a plain secret file, and the bytes that they stand for.
fn secrets_in(plain: &str) -> Vec<Vec<u8>> {
    let words = plain.split_whitespace().filter(|word| word.len() == 44);
    let found: Vec<_> = words
        .flat_map(|word| {
            [
                word.as_bytes().to_vec(),
                BASE64_STANDARD.decode(word).unwrap(),
            ]
        })
        .collect();
    assert!(!found.is_empty());
    found
}

/// A machine with a token that has the sealing key, and the flags that name it.
fn machine(scratch: &Path, name: &str, module: &Path) -> (SoftTokens, Vec<String>) {
    let folder = scratch.join(name);
    let tokens = SoftTokens::new(&folder);
    tokens.add(TOKEN, PIN);
    let pin = folder.join("pin");
    write_secret(&pin, &format!("{PIN}\n"));
    let flags = ["--seal-module", text(module), "--seal-token", TOKEN];
    let flags = [&flags[..], &["--seal-file", text(&pin)]].concat();
    (tokens, flags.into_iter().map(str::to_owned).collect())
}

fn words<'a>(lists: &[&[&'a str]], flags: &'a [String]) -> Vec<&'a str> {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    [&lists.concat()[..], &flags].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_behind_a_token_open_with_it_and_its_pin_alone() {
    let Some(module) = soft_token::module() else {
        println!("skipped: shares behind PKCS#11 (needs softhsm2-util, package softhsm2)");
        return;
    };
    let scratch = scratch_folder();
    let (tokens, flags) = machine(scratch.path(), "machine", module);
    let dir = scratch.path().join("site/node");
    let alpha = fresh_key();
    let member = following(&alpha);
    let founding = words(&[&init(&dir, &member), &["--seal", "pkcs11"]], &flags);

    let (code, said) = run(Some(&tokens), &founding);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("no secret key with the label \"vitrail-seal\""),
        "{said}"
    );
    assert!(
        said.contains("hint: `vitrail-node seal-key`") && !dir.exists(),
        "{said}"
    );
    let making = words(&[&["seal-key"]], &flags);
    assert_eq!(run(Some(&tokens), &making).0, 0);
    let (code, said) = run(Some(&tokens), &making);
    assert!(
        code == 1 && said.contains("has a key with the label"),
        "{said}"
    );
    let (code, said) = run(Some(&tokens), &founding);
    assert_eq!(code, 0, "{said}");

    let mut node = start(&dir, &tokens, &[]).unwrap();
    assert_evaluates(&dir, &node, &alpha).await;
    assert!(node.terminate().success());
    assert_nothing_is_in_clear(scratch.path(), &tokens);
    assert_refused_without_the_token(scratch.path(), &dir, module, &tokens);
}

/// What a copy of the disk shows once it is opened with the token is nowhere on the disk itself.
fn assert_nothing_is_in_clear(scratch: &Path, tokens: &SoftTokens) {
    let (site, copy) = (scratch.join("site"), scratch.join("copy"));
    let copied = Command::new("cp").arg("-r").args([&site, &copy]).status();
    assert!(copied.unwrap().success());
    let opened = copy.join("node");
    let (code, said) = run(
        Some(tokens),
        &["reseal", "--dir", text(&opened), "--to", "none"],
    );
    assert_eq!(code, 0, "{said}");
    let secrets = ["evaluator.key", "incident.key"].map(|file| {
        let plain = fs::read_to_string(opened.join(file)).unwrap();
        (file.to_owned(), secrets_in(&plain))
    });
    let wanted = secrets.into_iter().flat_map(|(file, secrets)| {
        let named = move |secret| (file.clone(), secret);
        secrets.into_iter().map(named)
    });
    let wanted = Needles::new(wanted.collect());
    let found = |folder: &Path| -> Vec<PathBuf> {
        let mut files = files(folder);
        files.retain(|file| !wanted.found_in(&fs::read(file).unwrap()).is_empty());
        files
    };
    assert_eq!(found(&opened).len(), 2, "the search finds what is in clear");
    assert_eq!(found(&site), Vec::<PathBuf>::new());
    assert_eq!(found(&scratch.join("machine")), Vec::<PathBuf>::new());
}

/// Each of these ends with exit code 1 and its own words, and quotes no PIN.
fn assert_refused_without_the_token(
    scratch: &Path,
    dir: &Path,
    module: &Path,
    tokens: &SoftTokens,
) {
    let bare = SoftTokens::new(&scratch.join("bare"));
    let (other, flags) = machine(scratch, "other", module);
    assert_eq!(run(Some(&other), &words(&[&["seal-key"]], &flags)).0, 0);
    let wrong = scratch.join("wrong-pin");
    write_secret(&wrong, "2468013579\n");
    let absent = scratch.join("absent.so");
    let cases: [(&SoftTokens, &[&str], &str); 5] = [
        (
            tokens,
            &["--seal-file", text(&wrong)],
            "the PIN of the token \"vitrail test\" is wrong",
        ),
        (&bare, &[], "has no token with the label \"vitrail test\""),
        (&other, &[], "the file does not open"),
        (
            tokens,
            &["--seal-module", text(&absent)],
            "absent.so cannot be loaded as a PKCS#11 module",
        ),
        (tokens, &["--seal", "none"], "the file is sealed"),
    ];
    let cases = cases.into_iter().chain(keys_that_may_leave(module, tokens));
    for (tokens, flags, expected) in cases {
        let run_node = [&["run", "--dir", text(dir)], flags].concat();
        let (code, said) = run(Some(tokens), &run_node);
        assert!(
            code == 1 && said.contains(expected),
            "{expected}: {code}, {said}"
        );
        assert!(
            !said.contains(PIN) && !said.contains("2468013579"),
            "{said}"
        );
    }
    // The right PIN still opens: nothing of this has locked the token or changed a file.
    let mut node = start(dir, tokens, &[]).unwrap();
    assert!(node.terminate().success());
}

/// One key that can be read out in clear, and one that can be taken out under another key.
fn keys_that_may_leave<'a>(
    module: &Path,
    tokens: &'a SoftTokens,
) -> Vec<(&'a SoftTokens, &'a [&'a str], &'a str)> {
    let add = |label, flags: &[&str]| tokens.add_key(module, [TOKEN, PIN, label], flags);
    if !add("readable", &[]) || !add("extractable", &["--sensitive", "--extractable"]) {
        println!("skipped: a key that may leave its token (needs pkcs11-tool, package opensc)");
        return Vec::new();
    }
    vec![
        (
            tokens,
            &["--seal-key", "readable"],
            "the key \"readable\" may leave its token",
        ),
        (
            tokens,
            &["--seal-key", "extractable"],
            "the key \"extractable\" may leave its token",
        ),
    ]
}

#[test]
fn a_passphrase_is_typed_unseen_twice_when_it_is_new_and_once_after() {
    if !Terminal::is_possible() {
        println!("skipped: a passphrase at a terminal (needs script, package bsdutils)");
        return;
    }
    let scratch = scratch_folder();
    let dir = scratch.path().join("node");
    let member = following(&fresh_key());
    let founding = [&init(&dir, &member)[..], &["--seal", "passphrase"]].concat();
    let (code, said) = run(None, &founding);
    assert!(code == 1 && said.contains("no passphrase"), "{said}");

    let founding = [&[text(vitrail_node())], &founding[..]].concat();
    let typed = |command: &[&str], answers: &[(&str, &str)]| {
        let mut terminal = Terminal::run(command);
        for (prompt, answer) in answers {
            terminal.wait_for(prompt);
            terminal.type_unseen(answer);
        }
        let (code, shown) = terminal.end();
        assert!(!shown.contains(PASSPHRASE), "{shown}");
        (code, shown)
    };
    let twice = |again| {
        [
            ("New passphrase: ", PASSPHRASE),
            ("The same again: ", again),
        ]
    };
    let (code, shown) = typed(&founding, &twice("another one, longer"));
    assert!(
        code == 1 && shown.contains("not typed the same twice"),
        "{shown}"
    );
    assert!(!dir.exists());
    let (code, shown) = typed(&founding, &twice(PASSPHRASE));
    assert_eq!(code, 0, "{shown}");

    let incident = dir.join("incident.key");
    let reseal = [
        text(vitrail_node()),
        "reseal",
        "--dir",
        text(&dir),
        "--to",
        "none",
    ];
    let (code, shown) = typed(&reseal, &[("Passphrase: ", "a wrong one, and long")]);
    assert!(code == 1 && shown.contains("does not open"), "{shown}");
    assert!(
        fs::read_to_string(&incident)
            .unwrap()
            .starts_with("vitrail sealed v1\n")
    );
    let (code, shown) = typed(&reseal, &[("Passphrase: ", PASSPHRASE)]);
    assert_eq!(code, 0, "{shown}");
    let plain = fs::read_to_string(&incident).unwrap();
    assert!(plain.starts_with("vitrail incident key v1\n"));
    assert!(find_in_folder(scratch.path(), PASSPHRASE.as_bytes()).is_empty());
}
