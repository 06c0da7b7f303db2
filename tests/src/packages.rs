//! The Debian packages, built of what cargo has built for this test.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::binary::{profile_folder, scratch_folder, vitrail_file, vitrail_node};
use crate::debian::said;

/// A target folder for cargo-deb. It packs what a release has built, and so finds what the tests
/// have.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn built() -> TempDir {
    let target = scratch_folder();
    let release = target.path().join("release");
    fs::create_dir(&release).unwrap();
    for binary in [vitrail_node(), vitrail_file()] {
        let name = binary.file_name().unwrap();
        fs::hard_link(binary, release.join(name)).unwrap();
    }
    target
}

/// The package of this version, made of what cargo has built for this test. `None`, and a word
/// about what is skipped, where there is no cargo-deb.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn packaged(package: &str, version: &str) -> Option<PathBuf> {
    let is_there = Command::new("cargo-deb").arg("--version").output();
    if !is_there.is_ok_and(|done| done.status.success()) {
        println!("skipped: the Debian packages: needs cargo-deb (cargo install cargo-deb)");
        return None;
    }
    let file = profile_folder().join(format!("{package}-{version}.deb"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/debian/package");
    let target = built();
    let done = Command::new(script)
        .args([package, "--no-build", "--quiet", "--fast"])
        .args(["--deb-version", version, "--output"])
        .arg(&file)
        .env("CARGO_TARGET_DIR", target.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    Some(file)
}
