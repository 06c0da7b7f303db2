//! What commands print at a terminal and in a pipe: a summary for people at the one, JSON with a
//! published form in the other, and a bar that moves only where somebody can see it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::answers::answer;
use tests::binary::{scratch_folder, vitrail_file, vitrail_node};
use tests::federation::{Federation, ORIGIN, fresh_key};
use tests::process::write_secret;
use tests::soft_token::{self, SoftTokens};
use tests::terminal::Terminal;

/// A bar's ends in the characters of a terminal, and what says how far it is.
const BAR: char = '█';

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `vitrail-node` in a pipe, told nothing about its output.
fn piped(words: &[&str], tokens: Option<&SoftTokens>) -> Output {
    let mut command = Command::new(vitrail_node());
    command.args(words).env_remove("VITRAIL_OUTPUT");
    command.envs(tokens.map(SoftTokens::variable));
    command.stdin(Stdio::null()).output().unwrap()
}

/// Its answer there, which has its published form; it ends with this code.
fn answered(words: &[&str], code: i32) -> Value {
    let done = piped(words, None);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{words:?}: {said}");
    answer(words, &done.stdout)
}

/// What is shown at a terminal, and the exit code.
fn shown(command: &[&str]) -> (i32, String) {
    Terminal::run(command).end()
}

#[test]
fn an_audit_shows_a_bar_and_a_summary_at_a_terminal_and_neither_in_a_pipe() {
    if !Terminal::is_possible() {
        println!("skipped: what is shown at a terminal: needs script (package bsdutils)");
        return;
    }
    let scratch = scratch_folder();
    let federation = Federation::found(scratch.path());
    let node = federation.start(&[]);
    let key = scratch.path().join("auditor.pem");
    write_secret(&key, &fresh_key().to_pem().unwrap());
    let roster = federation.node_dir().join("roster.txt");
    let (state, report) = (scratch.path().join("state"), scratch.path().join("report"));
    let http = format!("http://{}", node.addresses.http);
    let command = [
        text(vitrail_file()),
        "audit",
        "--http",
        &http,
        "--roster",
        text(&roster),
        "--key",
        text(&key),
        "--state",
        text(&state),
        "--report",
        text(&report),
    ];

    let (code, screen) = shown(&command);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains(BAR) && screen.contains(" 1/1"), "{screen}");
    let summary = screen.find(&format!("ledger {ORIGIN}, ")).unwrap();
    // The bar is gone from the screen before the summary is there.
    assert!(screen.rfind("\u{1b}[2K").unwrap() < summary, "{screen}");

    fs::remove_dir_all(&report).unwrap();
    let mut again = Command::new(command[0]);
    let piped = again.args(&command[1..]).env_remove("VITRAIL_OUTPUT");
    let piped = piped.output().unwrap();
    assert!(
        piped.status.success() && piped.stderr.is_empty(),
        "{piped:?}"
    );
    let told: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(told["size"], 1);
}

/// A folder that is set up, as an operator does it, each answer in a pipe.
fn set_up(scratch: &Path) -> String {
    let (key, founded) = (scratch.join("alpha.key"), scratch.join("cnam"));
    let made = answered(&["keygen", "--out", text(&key)], 0);
    let public = made["public_key"].as_str().unwrap();
    let member = format!("alpha amc 75000001 following {public} - -");
    let init = ["init", "--dir", text(&founded), "--origin", ORIGIN];
    let init = [&init[..], &["--name", "cnam", "--role", "amo"]].concat();
    let init = [&init[..], &["--payer-number", "01", "--seal", "none"]].concat();
    let init = [&init[..], &["--member", &member]].concat();
    assert_eq!(answered(&init, 0)["origin"], ORIGIN);
    let (dir, roster) = (scratch.join("alpha"), founded.join("roster.txt"));
    let join = ["join", "--dir", text(&dir), "--roster", text(&roster)];
    let join = [&join[..], &["--name", "alpha", "--key", text(&key)]].concat();
    let joined = answered(&[&join[..], &["--seal", "none"]].concat(), 0);
    assert!(joined.get("request").is_none());
    text(&founded).to_owned()
}

#[test]
fn an_operators_commands_answer_in_json_of_a_published_form_in_a_pipe() {
    let scratch = scratch_folder();
    let dir = set_up(scratch.path());
    let shown = answered(&["config", "show", "--dir", &dir], 0);
    assert!(!shown["settings"].as_array().unwrap().is_empty());
    let credential = scratch.path().join("credential");
    fs::write(&credential, [7; 32]).unwrap();
    let reseal = ["reseal", "--dir", &dir, "--to", "credential", "--to-file"];
    let resealed = answered(&[&reseal[..], &[text(&credential)]].concat(), 0);
    assert!(resealed["sealed"].as_u64() > Some(0));
    let pages = scratch.path().join("man");
    let _ = answered(&["manual", text(&pages)], 0);
    let data = text(scratch.path());
    let perf = ["check", "perf", "--seconds", "0", "--data", data];
    let done = piped(&perf, None);
    let is_fit = answer(&perf, &done.stdout)["fit"].as_bool().unwrap();
    assert_eq!(done.status.code(), Some(i32::from(!is_fit)));

    // Who is refused, or finds nobody, gets that in the place of an answer.
    let again = ["keygen", "--out", text(&scratch.path().join("alpha.key"))].map(str::to_owned);
    let again = again.each_ref().map(String::as_str);
    let refused = answered(&again, 1);
    assert_eq!(refused["error"]["kind"], "refused");
    let nobody = ["status", "--dir", &dir, "--grpc", "127.0.0.1:1"];
    assert_eq!(answered(&nobody, 2)["error"]["kind"], "unavailable");
    let unknown = piped(&["schema", "sing"], None);
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn the_key_of_a_token_is_answered_in_json_in_a_pipe_too() {
    let Some(module) = soft_token::module() else {
        println!("skipped: seal-key in a pipe (needs softhsm2-util, package softhsm2)");
        return;
    };
    let scratch = scratch_folder();
    let tokens = SoftTokens::new(scratch.path());
    tokens.add("vitrail", "1357902468");
    let pin = scratch.path().join("pin");
    write_secret(&pin, "1357902468\n");
    let words = ["seal-key", "--seal-token", "vitrail", "--seal-module"];
    let words = [&words[..], &[text(module), "--seal-file", text(&pin)]].concat();
    let done = piped(&words, Some(&tokens));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(answer(&words, &done.stdout)["token"], "vitrail");
}

#[test]
fn an_operators_commands_answer_in_words_at_a_terminal_or_when_told_to() {
    let scratch = scratch_folder();
    let dir = set_up(scratch.path());
    let words = ["config", "show", "--dir", &dir];
    let told = piped(&[&words[..], &["-o", "text"]].concat(), None).stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("\nname                cnam\n"), "{told}");
    if !Terminal::is_possible() {
        println!("skipped: what is shown at a terminal: needs script (package bsdutils)");
        return;
    }
    let (code, screen) = shown(&[&[text(vitrail_node())], &words[..]].concat());
    assert_eq!(code, 0, "{screen}");
    assert!(screen.replace('\r', "").ends_with(&told), "{screen}");
}

/// They run on, and tell meanwhile what happens: a service manager's log and a build's are pipes, and
/// are read by people.
#[test]
fn a_node_and_the_demo_speak_in_words_in_a_pipe_until_they_are_told_not_to() {
    let scratch = scratch_folder();
    let dir = set_up(scratch.path());
    let any = "127.0.0.1:0";
    let ports = ["--grpc", any, "--http", any, "--admin", any];
    let run = [&["run", "--dir", &dir], &ports[..]].concat();
    assert!(first_line(&run).starts_with(&format!("serving {ORIGIN} with 1 ")));
    let line = first_line(&[&run[..], &["-o", "json"]].concat());
    assert_eq!(answer(&["run"], line.as_bytes())["size"], 1);
    let scene = first_line(&["demo", "--once"]);
    assert!(
        scene.starts_with("1. Four members found a federation"),
        "{scene}"
    );
}

/// The first line that has anything in it; the command ends then.
fn first_line(words: &[&str]) -> String {
    let mut command = Command::new(vitrail_node());
    command.args(words).env_remove("VITRAIL_OUTPUT");
    command.arg("--until-stdin-ends").stderr(Stdio::null());
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let line = lines.find(|line| !line.is_empty()).unwrap();
    drop(running.stdin.take());
    // What it says while it ends is read, so that it does not wait for that.
    lines.for_each(drop);
    running.wait().unwrap();
    line
}
