//! `vitrail-node check perf` as an operator runs it: its answer, its exit code, and a folder that is
//! left as it was, also when it is interrupted. No figure of it is held against anything here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::binary::{scratch_folder, vitrail_node};

/// Longest wait for the measurement to begin, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

fn check(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(vitrail_node());
    command.args(["check", "perf", "--data"]).arg(data);
    command.args(words);
    command
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn an_operator_learns_whether_the_machine_is_fit() {
    let folder = scratch_folder();
    let words = ["--seconds", "0", "--members", "7", "-o", "json"];
    let done = check(folder.path(), &words).output().unwrap();
    let answer = serde_json::from_slice::<Value>(&done.stdout);
    let answer = answer.unwrap_or_else(|_| panic!("{}", said(&done)));
    let is_fit = answer["fit"].as_bool().unwrap();
    assert_eq!(
        done.status.code(),
        Some(i32::from(!is_fit)),
        "{}",
        said(&done)
    );
    assert_eq!(answer["estimate"]["members"], 7);
    for finding in answer["findings"].as_array().unwrap() {
        let is_ok = finding["verdict"] == "ok";
        assert_eq!(finding["hint"].is_null(), is_ok, "{finding}");
        assert!(!finding["found"].as_str().unwrap().is_empty());
        assert!(!finding["wanted"].as_str().unwrap().is_empty());
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said_with_a_hint() {
    // Nobody makes a folder there, root included.
    let done = check(Path::new("/proc"), &[]).output().unwrap();
    let said = said(&done);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("error: ") && said.contains("\nhint: "),
        "{said}"
    );
    let missing = check(Path::new("/proc/missing"), &[]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn who_is_interrupted_leaves_nothing_behind() {
    let folder = scratch_folder();
    let mut running = check(folder.path(), &["--seconds", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while is_empty(folder.path()) {
        assert!(Instant::now() < until, "it does not begin");
        sleep(Duration::from_millis(20));
    }
    let told = Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(2));
    assert!(is_empty(folder.path()));
}
