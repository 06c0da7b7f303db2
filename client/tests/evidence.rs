//! Evidence as a user meets it: an audit writes it, and anybody verifies it with the roster alone.
#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

#[path = "../src/example.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the library's tests use all of it"
)]
mod example;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use assert_cmd::Command;
use tempfile::TempDir;

use self::example::{Ledger, catalogue_place, claim, grant};

type Files = Arc<HashMap<String, Vec<u8>>>;

/// Serves the files of a log until the process ends.
fn serve(ledger: &Ledger) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let files: Files = Arc::new(ledger.files());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let files = files.clone();
            thread::spawn(move || answer(stream.unwrap(), &files));
        }
    });
    address
}

/// Answers requests on one connection until its other side closes it.
fn answer(mut stream: TcpStream, files: &Files) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
        let (status, body) = match files.get(path) {
            Some(body) => ("200 OK", &body[..]),
            None => ("404 Not Found", &[][..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
    }
}

/// A folder with the roster.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let roster = example::roster().to_text();
    fs::write(folder.path().join("roster.txt"), roster).unwrap();
    folder
}

fn vitrail(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("vitrail").unwrap();
    let command = command.current_dir(folder).env_clear();
    let command = command.env("VITRAIL_OUTPUT", "text").args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// Audits a log, and finds the one file that is written.
fn audited(folder: &Path, ledger: &Ledger) -> (String, String, PathBuf) {
    let address = serve(ledger);
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

    let elsewhere = self::folder();
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

    let folder = self::folder();
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
    let address = serve(&Ledger::furnished());
    let (code, _, stderr) = vitrail(folder.path(), &["audit", "--http", &address]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(!folder.path().join("evidence").exists());
}
