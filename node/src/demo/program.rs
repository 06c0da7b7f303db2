//! Nodes and commands of the demo's members: this program again, each time as a process of its own.
//!
//! None outlives the demo. A process is killed when what holds it here is dropped, and it ends by
//! itself when its standard input does, which the system closes with the demo, however that ends.

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::sleep;

/// The flag with which a process ends when its standard input does.
pub const UNTIL_STDIN_ENDS: &str = "--until-stdin-ends";
/// How often a process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);
/// What the names of settings in the environment begin with.
const SETTING: &str = "VITRAIL_";
/// The one of them that is not about a member: what is logged.
const LOG_FILTER: &str = "VITRAIL_LOG";

/// A process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts a node, which serves until it is told to end or killed. What it logs is appended to the
    /// file.
    pub fn node(arguments: &[&OsStr], log: &Path) -> io::Result<Self> {
        Self::start(arguments, log, Stdio::null())
    }

    /// Starts a command that answers with a line of JSON.
    pub fn command(arguments: &[&OsStr], log: &Path) -> io::Result<Self> {
        Self::start(arguments, log, Stdio::piped())
    }

    fn start(arguments: &[&OsStr], log: &Path, stdout: Stdio) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(env::current_exe()?);
        // What the environment says of some node is not meant for all four.
        for (name, _) in env::vars_os() {
            let is_setting = name.as_encoded_bytes().starts_with(SETTING.as_bytes());
            if is_setting && name != LOG_FILTER {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log)
            // Ctrl-C at the terminal is the demo's to hear: it ends the others in its own order.
            .process_group(0);
        Ok(Self(command.spawn()?))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Closes its standard input: a node then ends in order.
    pub fn tell_to_end(&mut self) {
        drop(self.0.stdin.take());
    }

    /// Completes when it has ended, with what it printed.
    pub async fn ended(mut self) -> io::Result<(ExitStatus, Vec<u8>)> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                let mut printed = Vec::new();
                if let Some(stdout) = &mut self.0.stdout {
                    stdout.read_to_end(&mut printed)?;
                }
                return Ok((status, printed));
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Program {
    /// As `kill -9` does it: nothing is finished, nothing is flushed.
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The program here is the one of these tests, which lists them when it is asked to.
    const LIST: [&str; 2] = ["--list", "demo::program::tests"];

    #[tokio::test]
    async fn what_a_command_prints_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let words = LIST.map(OsStr::new);
        let command = Program::command(&words, &folder.path().join("log")).unwrap();
        let (status, printed) = command.ended().await.unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(status.success() && printed.contains("a_process_that_is_dropped_is_gone"));
    }

    #[test]
    fn a_process_that_is_dropped_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let words = LIST.map(OsStr::new);
        let program = Program::node(&words, &folder.path().join("log")).unwrap();
        let place = format!("/proc/{}", program.0.id());
        assert!(fs::exists(&place).unwrap(), "nobody has waited for it yet");
        drop(program);
        assert!(!fs::exists(&place).unwrap());
    }
}
