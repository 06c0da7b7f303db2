//! The image, built from its recipe, and four members in containers as the compose file has them:
//! they get their votes, lose their leader, and go on.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::containers::Podman;
use tests::debian::said;

/// How long the federation may take for a change, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);

/// What the operator of `beta` is told of the federation.
fn status(podman: &Podman) -> Option<Value> {
    let asked = podman.tried(&[
        "exec",
        "vitrail_beta_1",
        "vitrail-node",
        "status",
        "--dir=/var/lib/vitrail/beta",
        "--grpc=127.0.0.1:7443",
        "--output=json",
    ]);
    serde_json::from_slice(&asked.stdout).ok()
}

/// Waits until `beta` is told something that is as it should be.
fn until(podman: &Podman, what: &str, is_so: impl Fn(&Value) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = status(podman);
        if told.as_ref().is_some_and(&is_so) {
            return;
        }
        assert!(Instant::now() < end, "{what}: {told:?}");
        thread::sleep(POLL);
    }
}

/// Nothing but the ledger's volumes can be written, nobody is root, and the check of health that the
/// image describes for itself finds the node alive.
fn is_confined(podman: &Podman) {
    let user = podman.run(&["exec", "vitrail_beta_1", "id", "-u"]);
    assert_eq!(user.trim(), "10001");
    let write = podman.tried(&["exec", "vitrail_beta_1", "touch", "/usr/bin/other"]);
    assert!(said(&write).contains("Read-only"), "{}", said(&write));
    let status = "/proc/1/status";
    let rights = podman.run(&[
        "exec",
        "vitrail_beta_1",
        "grep",
        "-E",
        "CapBnd|NoNewPrivs",
        status,
    ]);
    let rights: Vec<_> = rights.split_whitespace().collect();
    assert_eq!(rights, ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]);
    let _ = podman.run(&["healthcheck", "run", "vitrail_beta_1"]);
}

#[test]
fn four_members_in_containers_vote_and_lose_their_leader() {
    let Some(podman) = Podman::with_image("the image and the compose file") else {
        return;
    };
    let version = podman.run(&[
        "run",
        "--rm",
        "--network=none",
        "vitrail:0.1.0",
        "--version",
    ]);
    assert!(version.starts_with("vitrail-node 0."), "{version}");

    let _ = podman.compose(&["up", "--detach"]);
    until(&podman, "all vote", |told| told["may_fail"] == 1);
    is_confined(&podman);

    let leader = status(&podman).unwrap()["leader"].clone();
    let leader = leader.as_str().unwrap_or("cnam");
    let other = if leader == "beta" { "cnam" } else { leader };
    let container = format!("vitrail_{other}_1");
    let _ = podman.run(&["kill", &container]);
    until(&podman, "another leads", |told| {
        told["may_fail"] == 0 && told["leader"].as_str().is_some_and(|it| it != other)
    });
    let _ = podman.run(&["start", &container]);
    until(&podman, "it is back", |told| told["may_fail"] == 1);

    // What gives the votes does nothing a second time.
    let again = podman.run(&["start", "--attach", "vitrail_votes_1"]);
    assert!(again.contains("is there already"), "{again}");
    let _ = podman.run(&["stop", "--time=30", "vitrail_beta_1"]);
    let code = ["inspect", "--format={{.State.ExitCode}}", "vitrail_beta_1"];
    assert_eq!(podman.run(&code).trim(), "0");
}
