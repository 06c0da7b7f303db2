//! The published schema: it keeps the rules of `buf lint`, and does not break what was published.
//! Without buf (npm ci in tests/clients/node) it says that it was skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::binary::scratch_folder;
use tests::judge::in_repository;
use tests::process::copy_folder;

/// What was published last, as buf writes it.
const PUBLISHED: &str = "vitrail.v1.binpb";

/// The program, if it was installed with what the example clients need: one package a platform.
fn buf() -> Option<PathBuf> {
    for platform in ["linux-x64", "linux-aarch64"] {
        let package = format!("tests/clients/node/node_modules/@bufbuild/buf-{platform}");
        let program = in_repository(&package).join("bin/buf");
        if program.exists() {
            return Some(program);
        }
    }
    println!("skipped: the schema's rules: needs buf (npm ci in tests/clients/node)");
    None
}

fn run(buf: &Path, schema: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(buf);
    command.args(arguments).current_dir(schema);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

#[test]
fn the_schema_keeps_the_rules_and_breaks_nothing_that_was_published() {
    let Some(buf) = buf() else { return };
    let schema = in_repository("proto/schema");
    for arguments in [&["lint"][..], &["breaking", "--against", PUBLISHED]] {
        let ran = run(&buf, &schema, arguments);
        assert!(ran.status.success(), "{arguments:?}: {}", said(&ran));
    }
}

/// Each is a change that somebody might make, and what is said of it.
#[test]
fn a_removed_field_a_new_number_and_a_bad_name_are_found() {
    let Some(buf) = buf() else { return };
    let breaking: &[&str] = &["breaking", "--against", PUBLISHED];
    for (file, from, to, arguments, complaint) in [
        (
            "quote",
            "  repeated string grouped_codes = 2;\n",
            "",
            breaking,
            "grouped_codes",
        ),
        (
            "log",
            "uint64 epoch = 1;",
            "uint64 epoch = 2;",
            breaking,
            "epoch",
        ),
        (
            "refusal",
            "  REASON_NOT_PAID = 35;\n",
            "",
            breaking,
            "\"35\"",
        ),
        (
            "ledger",
            "bytes map_proof = 1;",
            "bytes mapProof = 1;",
            &["lint"],
            "mapProof",
        ),
    ] {
        let folder = scratch_folder();
        let schema = folder.path().join("schema");
        copy_folder(&in_repository("proto/schema"), &schema);
        let path = schema.join(format!("vitrail/v1/{file}.proto"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let ran = run(&buf, &schema, arguments);
        assert!(!ran.status.success(), "{complaint}");
        assert!(said(&ran).contains(complaint), "{}", said(&ran));
    }
}
