//! A Debian that systemd has booted, with a network of its own.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::debian::{Debian, said};

/// How long systemd may take to start or to stop, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);

/// A booted Debian. It is switched off when it is dropped.
#[derive(Debug)]
pub struct Machine {
    container: Child,
    first: String,
    debian: Debian,
}

impl Machine {
    /// Boots it. `None`, and a word about what is skipped, where systemd cannot be booted.
    ///
    /// # Panics
    /// When systemd starts and does not come up.
    #[must_use]
    pub fn boot(debian: Debian, purpose: &str) -> Option<Self> {
        let skipped = |why: &str| {
            println!("skipped: {purpose}: {why}");
            None
        };
        let there = Command::new("systemd-nspawn").arg("--version").output();
        if !there.is_ok_and(|done| done.status.success()) {
            return skipped("needs systemd-nspawn (package systemd-container)");
        }
        debian.unmount();
        let boot = "ip link set lo up && exec systemd-nspawn --quiet --boot --register=no \
                    --keep-unit --console=read-only --directory=\"$0\"";
        let mut container = Command::new("unshare")
            .args(["--net", "sh", "-c", boot])
            .arg(debian.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let Some(first) = first_process(&mut container) else {
            let _ = container.wait();
            return skipped("no container with systemd can be started here");
        };
        let machine = Self {
            container,
            first,
            debian,
        };
        machine.until(
            "systemd is up",
            &["systemctl", "is-system-running"],
            |said| said.trim() == "running",
        );
        Some(machine)
    }

    /// Its files, seen from outside.
    #[must_use]
    pub const fn debian(&self) -> &Debian {
        &self.debian
    }

    /// Runs a command in it as root, which may fail.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn tried(&self, words: &[&str]) -> Output {
        let done = Command::new("nsenter")
            .args(["--target", &self.first, "--all", "--"])
            .args(words)
            .stdin(Stdio::null())
            .output();
        done.expect("nsenter can be run")
    }

    /// Runs a command in it as root. What it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let done = self.tried(words);
        assert!(done.status.success(), "{words:?}\n{}", said(&done));
        said(&done)
    }

    /// Repeats a command until it says what it should.
    ///
    /// # Panics
    /// When it never does.
    pub fn until(&self, what: &str, words: &[&str], is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = said(&self.tried(words));
            if is_so(&told) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {told}");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It hands a SIGTERM on as the wish to be switched off.
        let own = self.container.id().to_string();
        let _ = Command::new("kill").arg(&own).status();
        let end = Instant::now() + PATIENCE;
        while matches!(self.container.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(POLL);
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
    }
}

/// The container's first process, once there is one.
fn first_process(container: &mut Child) -> Option<String> {
    let own = container.id();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(Some(status)) = container.try_wait() {
            println!(
                "systemd-nspawn ended: {:?} {:?}",
                status.code(),
                status.signal()
            );
            return None;
        }
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let first = children
            .ok()
            .and_then(|text| Some(text.split_whitespace().next()?.to_owned()));
        if let Some(first) = first.filter(|first| runs_systemd(first)) {
            return Some(first);
        }
        thread::sleep(POLL);
    }
    let _ = container.kill();
    None
}

fn runs_systemd(process: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{process}/comm"));
    name.is_ok_and(|name| name.trim() == "systemd")
}
