//! The node's package on a Debian that systemd has booted: the hardened unit with its sealed
//! credential, a node that is killed and comes back, the backup's unit and timer, an upgrade and a removal.

use std::fs;
use std::path::Path;

use tests::binary::profile_folder;
use tests::debian::Debian;
use tests::machine::Machine;
use tests::packages::packaged;

const PURPOSE: &str = "the unit under a booted systemd";
const UNIT: &str = "vitrail-node.service";

/// Asks a page of the node, inside.
const PAGE: &str =
    "exec 3<>/dev/tcp/127.0.0.1/7480 && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' \"$0\" >&3 && cat <&3";

/// As deploy/README.md tells an operator: the seal is made on the machine, and only the unit and
/// the founding see it in the clear.
fn found(machine: &Machine) {
    let seal = "mkdir -p /etc/credstore.encrypted && head -c 32 /dev/urandom | \
                systemd-creds encrypt --name=vitrail-seal - /etc/credstore.encrypted/vitrail-seal";
    let _ = machine.run(&["sh", "-c", seal]);
    let founded = machine.run(&[
        "systemd-run",
        "--wait",
        "--pipe",
        "--property=User=vitrail",
        "--property=StateDirectory=vitrail",
        "--property=LoadCredentialEncrypted=vitrail-seal",
        "vitrail-node",
        "init",
        "--output=text",
        "--dir=/var/lib/vitrail/node",
        "--origin=vitrail.example/optique",
        "--name=cnam",
        "--role=amo",
        "--payer-number=01",
        "--seal=credential",
    ]);
    assert!(
        founded.contains("founded vitrail.example/optique"),
        "{founded}"
    );
}

/// What the kernel says of the node's process: no rights, none to be had, calls filtered.
fn is_confined(machine: &Machine) {
    let main = machine.run(&["systemctl", "show", UNIT, "--property=MainPID", "--value"]);
    let status = format!("/proc/{}/status", main.trim());
    let held = machine.run(&[
        "grep",
        "-E",
        "^(CapEff|CapBnd|NoNewPrivs|Seccomp):",
        &status,
    ]);
    let held: Vec<_> = held.split_whitespace().collect();
    let none = "0000000000000000";
    let wanted = [
        "CapEff:",
        none,
        "CapBnd:",
        none,
        "NoNewPrivs:",
        "1",
        "Seccomp:",
        "2",
    ];
    assert_eq!(held, wanted);
}

fn is_ready(machine: &Machine) {
    machine.until(
        "the node is ready",
        &["bash", "-c", PAGE, "/readyz"],
        |page| page.contains(" 200 ") && page.ends_with("ready\n"),
    );
}

/// The upgrade of a package that runs starts the new version on the same ledger; its removal stops it.
fn upgrades_and_goes(machine: &Machine, newer: &Path) {
    let main = ["systemctl", "show", UNIT, "--property=MainPID", "--value"];
    let before = (machine.run(&main), checkpoint(machine));
    fs::copy(newer, machine.debian().at("/newer.deb")).unwrap();
    let _ = machine.run(&["dpkg", "--install", "/newer.deb"]);
    is_ready(machine);
    assert_ne!(
        machine.run(&main),
        before.0,
        "the node was not started again"
    );
    assert_eq!(checkpoint(machine), before.1);
    is_confined(machine);

    let _ = machine.run(&["dpkg", "--remove", "vitrail-node"]);
    assert_eq!(machine.run(&main).trim(), "0");
    assert!(machine.debian().at("/var/lib/vitrail/node").exists());
}

/// Origin, size and roots, without the signatures, which have their time.
fn checkpoint(machine: &Machine) -> String {
    let page = machine.run(&["bash", "-c", PAGE, "/checkpoint"]);
    let body = page.split("\r\n\r\n").nth(1).unwrap();
    body.split("\n\n").next().unwrap().to_owned()
}

fn is_killed_and_comes_back(machine: &Machine) {
    let _ = machine.run(&["systemctl", "kill", "--signal=KILL", UNIT]);
    let restarts = [
        "systemctl",
        "show",
        UNIT,
        "--property=NRestarts,ActiveState",
    ];
    machine.until("it is started again", &restarts, |told| {
        told.contains("NRestarts=1") && told.contains("ActiveState=active")
    });
    is_ready(machine);
}

fn is_backed_up(machine: &Machine) {
    let _ = machine.run(&["systemctl", "start", "vitrail-node-backup.service"]);
    let kept = machine.debian().at("/var/backups/vitrail");
    assert!(fs::read_dir(kept).unwrap().next().is_some());
    let _ = machine.run(&["systemctl", "start", "vitrail-node-backup.timer"]);
    let timer = ["systemctl", "is-active", "vitrail-node-backup.timer"];
    assert_eq!(machine.run(&timer).trim(), "active");
}

/// How the unit stands: its result, the exit status of its process, whether it is active.
fn stands(machine: &Machine) -> [String; 3] {
    ["Result", "ExecMainStatus", "ActiveState"].map(|name| {
        let property = format!("--property={name}");
        let told = machine.run(&["systemctl", "show", UNIT, "--value", &property]);
        told.trim().to_owned()
    })
}

/// Settings that do not fit are told once, and not tried again and again.
fn is_not_tried_again(machine: &Machine) {
    let settings = machine.debian().at("/etc/vitrail/node.toml");
    let fitting = fs::read(&settings).unwrap();
    fs::write(&settings, "no such setting\n").unwrap();
    let started = machine.tried(&["systemctl", "start", UNIT]);
    assert!(!started.status.success());
    assert_eq!(stands(machine), ["exit-code", "1", "failed"]);
    fs::write(&settings, fitting).unwrap();
    let _ = machine.run(&["systemctl", "start", UNIT]);
    is_ready(machine);
}

#[test]
fn the_unit_runs_is_killed_comes_back_is_backed_up_upgraded_and_removed() {
    let Some(package) = packaged("node", "0.1.0-1") else {
        return;
    };
    let newer = packaged("node", "0.1.1-1").unwrap();
    let Some(debian) = Debian::fresh(&profile_folder(), PURPOSE) else {
        return;
    };
    debian.install(&package);
    let Some(machine) = Machine::boot(debian, PURPOSE) else {
        return;
    };
    found(&machine);

    let _ = machine.run(&["systemctl", "start", UNIT]);
    is_ready(&machine);
    is_confined(&machine);
    let first = checkpoint(&machine);
    assert!(first.starts_with("vitrail.example/optique\n1\n"), "{first}");
    is_killed_and_comes_back(&machine);
    is_backed_up(&machine);
    let _ = machine.run(&["systemctl", "stop", UNIT]);
    assert_eq!(stands(&machine), ["success", "0", "inactive"]);
    is_not_tried_again(&machine);
    upgrades_and_goes(&machine, &newer);
}
