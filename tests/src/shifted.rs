//! A clock that a scenario moves: the time of day that it and the nodes it starts see, by
//! libfaketime. What waits, waits as long as ever: only the date is another one.
//!
//! The clock of a running program cannot be taken over. So a scenario that moves it runs in a
//! process of its own: a test that starts its own program again, with itself alone.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use client::system;
use proto::ids::UnixMillis;

use crate::binary::{scratch_folder, vitrail_node};

/// An hour, in seconds.
const HOUR_S: u64 = 3_600;
/// A day, in seconds.
const DAY_S: u64 = 24 * HOUR_S;
/// Where the child is told which file moves its clock.
const CLOCK_FILE: &str = "FAKETIME_TIMESTAMP_FILE";
/// What makes a program read the file at each look at the clock, and leaves its waiting alone.
const HOW: [(&str, &str); 3] = [
    ("FAKETIME_NO_CACHE", "1"),
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ("DONT_FAKE_MONOTONIC", "1"),
];

/// Runs the calling test of this program again, in a process whose clock can be moved, and takes
/// its failure for the own. `path` is the test's, from the program on, as `module_path!` begins it.
/// Where there is no libfaketime, says that it is skipped.
///
/// # Panics
/// When the test fails.
pub fn run_shifted(path: &str) {
    let (_, test) = path
        .split_once("::")
        .expect("a test's path begins with its program");
    let Some(preload) = library() else {
        println!("skipped: scenarios whose clock is moved: need faketime (package faketime)");
        return;
    };
    // Built here: a build by the child would see times that have not come.
    let _ = vitrail_node();
    let folder = scratch_folder();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0\n").unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child
        .args(["--exact", "--nocapture", test])
        .env_remove("CARGO")
        .env("LD_PRELOAD", preload)
        .env(CLOCK_FILE, clock)
        .envs(HOW);
    let output = child.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} failed"
    );
}

/// What is to be loaded before the program, as the command `faketime` does it.
fn library() -> Option<String> {
    let mut command = Command::new("faketime");
    let asked = command.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
    let output = asked
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}

/// The clock of a test that [`run_shifted`] has started.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    ahead_s: u64,
}

impl Clock {
    /// `None` in a program whose clock nobody moves.
    #[must_use]
    pub fn of_this_program() -> Option<Self> {
        let file = env::var_os(CLOCK_FILE)?.into();
        Some(Self { file, ahead_s: 0 })
    }

    /// Puts the clock forward, for this program and all that it has started, at once.
    ///
    /// # Panics
    /// When the clock does not move.
    pub fn forward(&mut self, seconds: u64) {
        let before = system::now();
        self.ahead_s += seconds;
        // Replaced, not rewritten: nobody reads half of it.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("+{}\n", self.ahead_s)).unwrap();
        fs::rename(next, &self.file).unwrap();
        let moved = system::now().get() - before.get();
        assert!(moved >= seconds * 1_000, "the clock does not move");
    }

    /// Puts the clock forward to so many seconds before the next time that it is so many o'clock,
    /// UTC. Gives that moment.
    ///
    /// # Panics
    /// When the clock does not move.
    pub fn forward_to(&mut self, lead_s: u64, hour: u64) -> UnixMillis {
        let now_s = system::now().get() / 1_000;
        let today_s = now_s / DAY_S * DAY_S + hour * HOUR_S;
        let to_come = |turn_s: &u64| *turn_s > now_s + lead_s;
        let mut turns = (0..).map(|day| today_s + day * DAY_S);
        let turn_s = turns.find(to_come).unwrap();
        self.forward(turn_s - lead_s - now_s);
        UnixMillis::new(turn_s * 1_000)
    }
}
