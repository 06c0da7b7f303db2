//! What each rule says of a small bad example: each is known to be able to fail.

use super::*;

fn file(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

#[test]
fn a_layer_that_is_broken_is_found() {
    for (path, text) in [
        ("proto/src/a.rs", "use node::store;"),
        ("proto/src/a.rs", "fn f() { std::fs::read(p) }"),
        ("proto/src/a.rs", "let now = SystemTime::now();"),
        ("proto/src/a.rs", "use prost::Message;"),
        ("proto/src/a.rs", "getrandom::fill(&mut b);"),
        ("client/src/a.rs", "use node::store;"),
        ("node/src/a.rs", "let till = client::Pos::open(p);"),
        ("node/src/a.rs", "use sled::Db;"),
        ("node/src/a.rs", "SystemTime::now()"),
        ("node/src/a.rs", "use openraft::Raft;"),
        ("node/src/a.rs", "use tests::source;"),
        ("client/src/a.rs", "blake3::hash(b)"),
    ] {
        assert!(!layers(&[file(path, text)]).is_empty(), "{path}: {text}");
    }
}

#[test]
fn what_layers_allow_is_not_complained_about() {
    for (path, text) in [
        ("node/src/demo.rs", "use client::Pos;"),
        ("node/src/store/mod.rs", "use sled::Db;"),
        ("proto/src/a.rs", "let node = tree.node; // std::fs"),
        ("proto/src/a.rs", "use std::net::Ipv6Addr;"),
        (
            "proto/src/a.rs",
            "#[cfg(test)]\nmod tests {\n  use std::fs;\n}\n",
        ),
    ] {
        assert_none(&layers(&[file(path, text)]));
    }
}

#[test]
fn an_import_from_below_is_found() {
    let lib = file("proto/src/lib.rs", "pub mod ids;\npub mod hash;\n");
    let good = file("proto/src/hash.rs", "use crate::ids::Day;");
    let bad = file("proto/src/ids.rs", "use crate::{hash::Hash, ids};");
    assert_none(&module_order(&[lib.clone(), good]));
    assert_eq!(module_order(&[lib, bad]).len(), 1);
}

#[test]
fn a_long_function_and_a_long_file_are_found() {
    let long = format!("fn a() {{\n{}}}\n", "b();\n".repeat(FUNCTION_LINES_MAX - 1));
    assert_eq!(lengths(&[file("a.rs", &long)]).len(), 1);
    let longer = "// a line\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(lengths(&[file("a.rs", &longer)]).len(), 1);
}

#[test]
fn empty_names_are_found() {
    assert_eq!(names(&[file("node/src/utils.rs", "")]).len(), 1);
    assert_eq!(names(&[file("node/src/a.rs", "mod helpers;\n")]).len(), 1);
    assert_eq!(
        names(&[file("node/src/a.rs", "fn get_entry() {}\n")]).len(),
        1
    );
}

#[test]
fn a_context_string_elsewhere_is_found() {
    let bad = file(
        "proto/src/seal.rs",
        "const C: &str = \"vitrail 2026 v1 seal\";",
    );
    assert_eq!(context_strings(&[bad]).len(), 1);
}

#[test]
fn a_strange_top_level_entry_is_found() {
    assert_eq!(
        top_level(&["scripts".to_owned(), ".ci".to_owned(), "docs".to_owned()]).len(),
        1
    );
}

#[test]
fn a_version_or_a_dependency_out_of_place_is_found() {
    assert_eq!(
        manifest("proto", "[dependencies]\nserde = \"1\"\n").len(),
        1
    );
    assert_eq!(
        manifest("client", "[dependencies]\nnode.workspace = true\n").len(),
        1
    );
    assert_none(&manifest(
        "node",
        "[dependencies]\nproto.workspace = true\n",
    ));
}

#[test]
fn a_missing_and_an_invented_reason_are_found() {
    let rows: Vec<String> = proto::refusal::Reason::ALL
        .iter()
        .map(|reason| format!("| `{}` | x |\n", reason.code()))
        .collect();
    assert_none(&reasons_listed(&rows.concat()));
    assert_eq!(reasons_listed(&rows[1..].concat()).len(), 1);
    assert_eq!(
        reasons_listed(&(rows.concat() + "| `NO_SUCH_REASON` |")).len(),
        1
    );
}

#[test]
fn a_machine_path_is_found() {
    let line = ["see /wo", "rk/main"].concat();
    assert_eq!(machine_paths("README.md", &line).len(), 1);
}
