//! What the programs are made of may be handed on, and comes from the one registry.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use tests::debian::said;

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

/// A bill of materials, as far as it is judged here (CycloneDX 1.5).
#[derive(Debug, Deserialize)]
struct Bill {
    metadata: BillMetadata,
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
struct BillMetadata {
    component: Subject,
}

/// The program that the bill is of.
#[derive(Debug, Deserialize)]
struct Subject {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    version: String,
    purl: String,
    licenses: Vec<Licence>,
    /// None for a package of this repository.
    #[serde(default)]
    hashes: Vec<ComponentHash>,
}

#[derive(Debug, Deserialize)]
struct Licence {
    expression: String,
}

#[derive(Debug, Deserialize)]
struct ComponentHash {
    content: String,
}

#[derive(Debug, Deserialize)]
struct LockFile {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Judges a bill of materials by the published schema, read from the standard input.
const BY_THE_SCHEMA: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
sys.exit(str(wrong) if wrong else 0)
";

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
    assert!(told.status.success(), "{}", said(&told));
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
    let denied = rules["bans"]["deny"].as_array().unwrap().iter();
    let (single, banned): (Vec<_>, Vec<_>) =
        denied.partition(|it| it.get("deny-multiple-versions").is_some());
    let banned: BTreeSet<_> = banned
        .iter()
        .map(|it| it["crate"].as_str().unwrap())
        .collect();
    let packages = packages();
    assert!(packages.len() > 100);
    for name in single.iter().map(|it| it["crate"].as_str().unwrap()) {
        let versions = packages.iter().filter(|it| it.name == name).count();
        assert_eq!(versions, 1, "versions of {name}");
    }
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

fn has_succeeded(command: &mut Command) -> bool {
    command.output().is_ok_and(|done| done.status.success())
}

fn bill_of_materials(package: &str) -> Output {
    let written = Command::new(repository().join("deploy/bill-of-materials"))
        .arg(package)
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", said(&written));
    written
}

/// What cargo links into a package's program on this platform, and the macros it takes: an
/// independent list of the same.
fn linked(package: &str) -> BTreeSet<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--package", package])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", said(&told));
    let text = String::from_utf8(told.stdout).unwrap();
    let words = text.lines().map(|line| line.split(' '));
    words
        .filter_map(|mut it| Some((it.next()?.to_owned(), it.next()?[1..].to_owned())))
        .filter(|(name, _)| name != package)
        .collect()
}

/// Each component is one of the lock file, with its hash and a licence that may be handed on.
fn fits_the_lock_file(bill: &Bill) {
    let text = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let locked: LockFile = toml::from_str(&text).unwrap();
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap().iter();
    let allowed: BTreeSet<_> = allowed.map(|it| it.as_str().unwrap()).collect();
    for component in &bill.components {
        let (name, version) = (&component.name, &component.version);
        let mut same = locked.package.iter();
        let same = same.find(|it| it.name == *name && it.version == *version);
        let checksum = same.expect(name).checksum.as_ref();
        let hash = component.hashes.first().map(|it| &it.content);
        assert_eq!(hash, checksum, "{name}");
        let begins = format!("pkg:cargo/{name}@");
        assert!(component.purl.starts_with(&begins), "{component:?}");
        let [licence] = &component.licenses[..] else {
            panic!("{name} has not one licence")
        };
        assert!(is_allowed(&licence.expression, &allowed), "{component:?}");
    }
}

/// It may name a little that is not linked, what an optional feature would take; it leaves out
/// nothing, and what only tests take is not in it.
#[test]
fn the_bill_of_materials_of_a_program_lists_what_it_is_made_of() {
    if !has_succeeded(Command::new("cargo-cyclonedx").args(["cyclonedx", "--help"])) {
        println!("skipped: the bill of materials: needs cargo-cyclonedx (cargo install)");
        return;
    }
    let import = ["-c", "import cyclonedx.validation.json, jsonschema"];
    let has_schema = has_succeeded(Command::new("python3").args(import));
    if !has_schema {
        println!("skipped: the bill of materials by its schema: needs cyclonedx-python-lib (PyPI)");
    }
    let all: BTreeSet<_> = packages().into_iter().map(|it| it.name).collect();
    for (package, program) in [("node", "vitrail-node"), ("client", "vitrail")] {
        let written = bill_of_materials(package);
        assert_eq!(
            written.stdout,
            bill_of_materials(package).stdout,
            "it is reproducible"
        );
        let bill: Bill = serde_json::from_slice(&written.stdout).unwrap();
        assert_eq!(bill.metadata.component.name, program);
        let components = bill.components.iter();
        let listed: BTreeSet<_> = components
            .map(|it| (it.name.clone(), it.version.clone()))
            .collect();
        let linked = linked(package);
        let missing: Vec<_> = linked.difference(&listed).collect();
        assert!(linked.len() > 100 && missing.is_empty(), "{missing:?}");
        for tested_with in ["turmoil", "voprf", "proptest", "assert_cmd"] {
            assert!(
                all.contains(tested_with),
                "{tested_with} is not used any more"
            );
            assert!(listed.iter().all(|(name, _)| name != tested_with));
        }
        fits_the_lock_file(&bill);
        if has_schema {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &written.stdout).unwrap();
            let mut judge = Command::new("python3");
            judge.args(["-c", BY_THE_SCHEMA]);
            let judged = judge.stdin(fs::File::open(file.path()).unwrap()).output();
            let judged = judged.unwrap();
            assert!(judged.status.success(), "{}", said(&judged));
        }
    }
}
