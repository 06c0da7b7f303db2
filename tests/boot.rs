//! The node's package on a Debian that systemd has booted: the hardened unit with its sealed
//! credential, a node that is killed and comes back, the backup's unit and timer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

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

#[test]
fn the_unit_runs_is_killed_comes_back_and_is_backed_up() {
    let Some(package) = packaged("node", "0.1.0-1") else {
        return;
    };
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
    let checkpoint = machine.run(&["bash", "-c", PAGE, "/checkpoint"]);
    assert!(
        checkpoint.contains("vitrail.example/optique\n1\n"),
        "{checkpoint}"
    );

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
    is_ready(&machine);

    let _ = machine.run(&["systemctl", "start", "vitrail-node-backup.service"]);
    let kept = machine.debian().at("/var/backups/vitrail");
    assert!(std::fs::read_dir(kept).unwrap().next().is_some());
    let _ = machine.run(&["systemctl", "start", "vitrail-node-backup.timer"]);
    let timer = ["systemctl", "is-active", "vitrail-node-backup.timer"];
    assert_eq!(machine.run(&timer).trim(), "active");

    let _ = machine.run(&["systemctl", "stop", UNIT]);
    let ended = [
        "systemctl",
        "show",
        UNIT,
        "--property=Result,ExecMainStatus",
    ];
    let ended = machine.run(&ended);
    assert!(
        ended.contains("Result=success") && ended.contains("ExecMainStatus=0"),
        "{ended}"
    );

    // Settings that do not fit are told once, and not tried again and again.
    let settings = machine.debian().at("/etc/vitrail/node.toml");
    std::fs::write(settings, "no such setting\n").unwrap();
    assert!(
        !machine
            .tried(&["systemctl", "start", UNIT])
            .status
            .success()
    );
    let ended = machine.run(&[
        "systemctl",
        "show",
        UNIT,
        "--property=ExecMainStatus,ActiveState",
    ]);
    assert!(
        ended.contains("ExecMainStatus=1") && ended.contains("ActiveState=failed"),
        "{ended}"
    );
}
