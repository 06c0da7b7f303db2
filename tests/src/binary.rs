//! The binaries of the workspace, built as the running program was.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Set by `tests/run`, whose one build of the workspace has made the binaries from the libraries of
/// the tests; a package built by itself takes other features, and all of that once more.
const BUILT: &str = "VITRAIL_TEST_BUILT";

/// The path of `vitrail-node`, of the same profile and target folder as the running program.
///
/// Cargo builds no binaries of other packages for a test. Where cargo is at hand it is asked to,
/// so that a test never runs against yesterday's node; not where `tests/run` has built all.
///
/// # Panics
/// When it is neither there nor can be built; the message says how to build it.
#[must_use]
pub fn vitrail_node() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("node", "vitrail-node"))
}

/// The client's command, `vitrail`, which answers in text unless it is told otherwise, as it does on
/// a terminal.
///
/// # Panics
/// As [`vitrail_node`] does.
#[must_use]
pub fn vitrail() -> Command {
    let mut command = Command::new(vitrail_file());
    command.env("VITRAIL_OUTPUT", "text");
    command
}

/// The path of `vitrail`.
///
/// # Panics
/// As [`vitrail_node`] does.
#[must_use]
pub fn vitrail_file() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("client", "vitrail"))
}

/// A folder that goes when it is dropped. It lies in the target folder, which is on a real disk;
/// the system's temporary folder may be memory.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch_folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("scratch-")
        .tempdir_in(profile_folder());
    folder.expect("the target folder can be written")
}

fn built(package: &str, name: &str) -> PathBuf {
    let folder = profile_folder();
    build(&folder, package, name);
    let path = folder.join(name);
    let release = if is_release(&folder) {
        " --release"
    } else {
        ""
    };
    assert!(
        path.exists(),
        "there is no {}: cargo build{release} -p {package}",
        path.display()
    );
    path
}

/// `target/debug` or `target/release`: on a real disk, and kept between two runs.
///
/// # Panics
/// When the running program has no path.
#[must_use]
pub fn profile_folder() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder).to_owned(),
        _ => folder.to_owned(),
    }
}

fn is_release(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "release")
}

fn is_of_a_package(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_")
}

fn build(folder: &Path, package: &str, name: &str) {
    if env::var_os(BUILT).is_some() {
        return;
    }
    // Cargo tells the programs that it runs where it is.
    let (Some(cargo), Some(target)) = (env::var_os("CARGO"), folder.parent()) else {
        return;
    };
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", package, "--bin", name]);
    build
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    build.arg("--target-dir").arg(target);
    if is_release(folder) {
        build.arg("--release");
    }
    // What cargo tells a test about its own package would make build scripts run again that look
    // at it, and everything above them be built anew, here and in the next build by hand.
    let own = env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| is_of_a_package(name)) {
        build.env_remove(name);
    }
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "{name} does not build");
}
