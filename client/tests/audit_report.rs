//! The report of an audit as its readers get it: a folder that grows with the ledger, a form that
//! programs can rely on, a page that needs nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot set up fails it"
)]

mod command_line;
#[path = "../src/example.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the library's tests use all of it"
)]
mod example;
mod served;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use self::command_line::{folder, vitrail};
use self::example::{Ledger, claim, life, release};
use self::served::serve;

const GOLDEN: &str = include_str!("audit_report/golden.json");
const SCHEMA: &str = include_str!("../../docs/audit-report.schema.json");

/// What a report has that is not of the form that programs rely on.
fn complaint(report: &Value) -> Option<String> {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    let complaint = jsonschema::validate(&schema, report).err();
    complaint.map(|complaint| complaint.to_string())
}

/// Audits a ledger into `DIR/report`: how it ended, and the report for programs.
fn report(folder: &Path, ledger: &Ledger) -> (i32, Value) {
    let address = serve(ledger.files());
    let arguments = ["audit", "--http", &address, "--report", "report"];
    let (code, _, stderr) = vitrail(folder, &arguments);
    let text = fs::read_to_string(folder.join("report/report.json"));
    let text = text.unwrap_or_else(|_| panic!("{stderr}"));
    let mut report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(complaint(&report), None);
    // What differs from one run to the next.
    assert_eq!(report["log"], address);
    report["log"] = json!("http://log.example");
    report["made_at"] = json!("2026-01-10T00:00:00Z");
    (code, report)
}

fn count(report: &Value, check: &str) -> u64 {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|it| it["check"] == check).unwrap();
    found["count"].as_u64().unwrap()
}

#[test]
fn the_report_of_a_fixed_ledger_is_these_bytes() {
    let folder = folder();
    let (code, report) = report(folder.path(), &Ledger::lived(life().len()));
    assert_eq!(code, 0);
    let got = serde_json::to_string_pretty(&report).unwrap() + "\n";
    assert!(got == GOLDEN, "{got}");
}

#[test]
fn a_second_audit_goes_on_and_reports_all_of_it() {
    let folder = folder();
    let (code, first) = report(folder.path(), &Ledger::lived(3));
    assert_eq!((code, first["verified"].as_u64()), (0, Some(9)));
    let (code, second) = report(folder.path(), &Ledger::lived(life().len()));
    assert_eq!((code, second["verified"].as_u64()), (0, Some(20)));
    let runs = json!([
        { "from": 0, "to": 9, "at": "2026-01-09T23:06:49Z" },
        { "from": 9, "to": 20, "at": "2026-01-09T23:07:00Z" },
    ]);
    assert_eq!(second["runs"], runs);
    // As one audit from the first entry, but for what each run checks once.
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for same in [
        "kinds",
        "days",
        "events",
        "checkpoint",
        "map_keys",
        "entry_bytes",
    ] {
        assert_eq!(second[same], golden[same], "{same}");
    }
    for check in ["signature", "rule", "map-change", "leaf"] {
        assert_eq!(count(&second, check), count(&golden, check), "{check}");
    }
    assert_eq!(count(&second, "cosignature"), 8);
    assert_eq!(count(&second, "earlier"), 1);
    assert_eq!(second["cosigning"]["sampled"], 2);
}

#[test]
fn a_log_that_was_rewritten_is_reported_with_both_states_and_what_was_kept_stays() {
    let folder = folder();
    report(folder.path(), &Ledger::furnished());
    let state = folder.path().join("report/state");
    let kept = fs::read(&state).unwrap();
    let mut rewritten = Ledger::furnished();
    rewritten.entries.pop();
    rewritten.append("till", &release(&[1, 2], 4));
    rewritten.append("till", &claim(&[3], 3));
    let (code, shown) = report(folder.path(), &rewritten);
    assert_eq!((code, shown["holds"].as_bool()), (1, Some(false)));
    let failure = &shown["failure"];
    assert_eq!(failure["check"], "earlier");
    let evidence = &failure["evidence"];
    let members = json!(["amc", "amo", "mutuelle", "opticiens"]);
    assert_eq!(evidence["members"], members);
    let sizes: Vec<_> = evidence["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["size"])
        .collect();
    assert_eq!(sizes, [6, 7]);
    assert_eq!(fs::read(&state).unwrap(), kept);
    let page = fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(page.contains("a signé les deux") && page.contains("≠ diffère"));

    let file = format!("report/{}", evidence["file"].as_str().unwrap());
    let verify = [
        "evidence",
        "verify",
        &file,
        "--roster",
        "roster.txt",
        "--report",
        "evidence.html",
    ];
    let (code, _, stderr) = vitrail(folder.path(), &verify);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let page = fs::read_to_string(folder.path().join("evidence.html")).unwrap();
    assert!(page.contains("a signé les deux"));
}

#[test]
fn a_broken_rule_is_reported_with_its_entry() {
    let folder = folder();
    let mut ledger = Ledger::furnished();
    ledger.append("till", &claim(&[1], 3));
    let (code, shown) = report(folder.path(), &ledger);
    assert_eq!((code, &shown["failure"]["entry"]), (1, &json!(6)));
    assert_eq!(
        (count(&shown, "rule"), &shown["checkpoint"]),
        (6, &Value::Null)
    );
    let page = fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(page.contains("✗ ne tient pas"));
}

#[test]
fn what_was_kept_of_another_ledger_or_is_damaged_is_said_so_and_nothing_is_written() {
    let folder = folder();
    report(folder.path(), &Ledger::furnished());
    let state = folder.path().join("report/state");
    let mut bytes = fs::read(&state).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&state, &bytes).unwrap();
    let before = fs::read(folder.path().join("report/report.json")).unwrap();
    let address = serve(Ledger::lived(1).files());
    let arguments = ["audit", "--http", &address, "--report", "report"];
    let (code, _, stderr) = vitrail(folder.path(), &arguments);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("it is damaged") && stderr.contains("hint: "),
        "{stderr}"
    );
    let after = fs::read(folder.path().join("report/report.json")).unwrap();
    assert_eq!(after, before);
    // Nobody serves: the report before stays.
    fs::remove_file(&state).unwrap();
    let arguments = [
        "audit",
        "--http",
        "http://127.0.0.1:1",
        "--report",
        "report",
    ];
    let (code, _, _) = vitrail(folder.path(), &arguments);
    assert_eq!(code, 2);
    let after = fs::read(folder.path().join("report/report.json")).unwrap();
    assert_eq!(after, before);
}

#[test]
fn the_schema_says_no_to_what_is_missing_unknown_or_of_another_form() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(complaint(&golden), None);
    let spoiled = |spoil: fn(&mut Value)| {
        let mut report = golden.clone();
        spoil(&mut report);
        complaint(&report)
    };
    let spoils: [fn(&mut Value); 6] = [
        |it| it["version"] = json!(2),
        |it| drop(it.as_object_mut().unwrap().remove("days")),
        |it| it["surprise"] = json!(1),
        |it| it["checks"][0]["check"] = json!("another"),
        |it| it["kinds"]["claim"] = json!(-1),
        |it| it["roster"]["hash"] = json!("short"),
    ];
    for (place, spoil) in spoils.into_iter().enumerate() {
        assert!(spoiled(spoil).is_some(), "{place}");
    }
}
