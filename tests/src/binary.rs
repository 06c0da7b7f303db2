//! The node's binary, built as the running program was.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `vitrail-node`, of the same profile and target folder as the running program.
///
/// Cargo builds no binaries of other packages for a test. Where cargo is at hand it is asked to,
/// so that a test never runs against yesterday's node.
///
/// # Panics
/// When it is neither there nor can be built; the message says how to build it.
#[must_use]
pub fn vitrail_node() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = profile_folder();
        build(&folder);
        let path = folder.join("vitrail-node");
        let release = if is_release(&folder) {
            " --release"
        } else {
            ""
        };
        assert!(
            path.exists(),
            "there is no {}: cargo build{release} -p node",
            path.display()
        );
        path
    })
}

/// `target/debug` or `target/release`.
fn profile_folder() -> PathBuf {
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

fn build(folder: &Path) {
    // Cargo tells the programs that it runs where it is.
    let (Some(cargo), Some(target)) = (env::var_os("CARGO"), folder.parent()) else {
        return;
    };
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--quiet",
        "--package",
        "node",
        "--bin",
        "vitrail-node",
    ]);
    build
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    build.arg("--target-dir").arg(target);
    if is_release(folder) {
        build.arg("--release");
    }
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "vitrail-node does not build");
}
