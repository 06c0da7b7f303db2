//! What the programs are made of may be handed on, and comes from the one registry.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be read fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    source: Option<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The packages of the lock file, as cargo knows them.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    let metadata: Metadata = serde_json::from_slice(&told.stdout).unwrap();
    metadata.packages
}

/// The settings of `cargo deny`.
fn rules() -> toml::Table {
    let text = fs::read_to_string(repository().join(".deny.toml")).unwrap();
    text.parse().unwrap()
}

/// An expression of licences (SPDX, annex D), read from its front: AND binds closer than OR.
struct Licences<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
    allowed: &'a BTreeSet<&'a str>,
}

impl Licences<'_> {
    /// Whether one way to choose gives licences of the list alone.
    fn any(&mut self) -> bool {
        let mut any = self.all();
        while self.words.next_if(|word| word == "OR").is_some() {
            any |= self.all();
        }
        any
    }

    fn all(&mut self) -> bool {
        let mut all = self.one();
        while self.words.next_if(|word| word == "AND").is_some() {
            all &= self.one();
        }
        all
    }

    fn one(&mut self) -> bool {
        if self.words.next_if(|word| word == "(").is_some() {
            let any = self.any();
            return self.words.next_if(|word| word == ")").is_some() && any;
        }
        let mut name = self.words.next().unwrap_or_default();
        while self.words.next_if(|word| word == "WITH").is_some() {
            name = format!("{name} WITH {}", self.words.next().unwrap_or_default());
        }
        self.allowed.contains(name.as_str())
    }
}

fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    // The slash is an old spelling of OR.
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().map(str::to_owned).collect();
    let words = words.into_iter().peekable();
    let mut licences = Licences { words, allowed };
    licences.any() && licences.words.next().is_none()
}

#[test]
fn every_dependency_is_under_a_licence_that_may_be_handed_on() {
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap().iter();
    let allowed: BTreeSet<_> = allowed.map(|it| it.as_str().unwrap()).collect();
    let mut refused = Vec::new();
    for package in packages().iter().filter(|it| it.source.is_some()) {
        let licence = package.license.as_deref().unwrap_or("none said");
        if !is_allowed(licence, &allowed) {
            refused.push(format!("{}: {licence}", package.name));
        }
    }
    assert!(refused.is_empty(), "{refused:?}");
    assert!(!is_allowed("GPL-3.0-only", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0-only", &allowed));
    assert!(!is_allowed("(MIT OR ISC) AND GPL-3.0-only", &allowed));
    assert!(is_allowed("GPL-3.0-only OR (MIT AND ISC)", &allowed));
}

#[test]
fn every_dependency_comes_from_the_registry_and_none_is_banned() {
    let rules = rules();
    let banned = rules["bans"]["deny"].as_array().unwrap().iter();
    let banned: BTreeSet<_> = banned.map(|it| it["crate"].as_str().unwrap()).collect();
    let packages = packages();
    assert!(packages.len() > 100);
    for package in &packages {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let source = package.source.as_deref();
        assert!(source.is_none_or(|it| it == registry), "{package:?}");
        assert!(!banned.contains(package.name.as_str()), "{package:?}");
    }
}

/// What is put up with stands in the lock file still, and says why.
#[test]
fn no_advisory_is_ignored_for_what_is_gone() {
    let names: BTreeSet<_> = packages().into_iter().map(|it| it.name).collect();
    let rules = rules();
    for ignored in rules["advisories"]["ignore"].as_array().unwrap() {
        let reason = ignored["reason"].as_str().unwrap();
        let name = reason.split(' ').next().unwrap();
        assert!(names.contains(name), "{name} is not used any more");
    }
}
