//! A command at a terminal of its own: what it shows is read, and what it asks for is typed in.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a prompt; a debug build on a busy machine is slow.
const PROMPT_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A command that believes somebody sits there. `script` of util-linux makes the terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: mpsc::Receiver<Vec<u8>>,
    shown: String,
    /// How much of it was waited for.
    seen: usize,
    device: PathBuf,
}

impl Terminal {
    /// Whether this machine can make one.
    #[must_use]
    pub fn is_possible() -> bool {
        let words = ["-qec", "stty -a", "/dev/null"];
        let tried = Command::new("script").args(words).output();
        tried.is_ok_and(|said| said.status.success())
    }

    /// Runs a command there.
    ///
    /// # Panics
    /// When `script` cannot be run, or a word has a quote in it.
    #[must_use]
    pub fn run(command: &[&str]) -> Self {
        assert!(command.iter().all(|word| !word.contains('\'')));
        let words: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("tty; exec {}", words.join(" "));
        let mut child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self {
            keyboard: child.stdin.take().unwrap(),
            child,
            screen,
            shown: String::new(),
            seen: 0,
            device: PathBuf::new(),
        };
        terminal.wait_for("\n");
        terminal.device = terminal.shown[..terminal.seen].trim().into();
        terminal
    }

    /// Waits until this is shown, after what was waited for before.
    ///
    /// # Panics
    /// When it is not, in time or before the command ends.
    pub fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let more = self.screen.recv_timeout(PROMPT_MAX);
            let more = more.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Types a line once nothing that is typed is shown any more.
    ///
    /// # Panics
    /// When the terminal goes on showing it.
    pub fn type_unseen(&mut self, line: &str) {
        let until = Instant::now() + PROMPT_MAX;
        loop {
            let mut state = Command::new("stty");
            state.arg("-F").arg(&self.device).arg("-a");
            let state = state.output().unwrap();
            if String::from_utf8_lossy(&state.stdout).contains(" -echo ") {
                break;
            }
            assert!(Instant::now() < until, "the terminal shows what is typed");
            thread::sleep(POLL);
        }
        self.keyboard.write_all(line.as_bytes()).unwrap();
        self.keyboard.write_all(b"\n").unwrap();
        self.keyboard.flush().unwrap();
    }

    /// The exit code, and all that was shown.
    ///
    /// # Panics
    /// When it ends without a code.
    #[must_use]
    pub fn end(mut self) -> (i32, String) {
        while let Ok(more) = self.screen.recv() {
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
        let code = self.child.wait().unwrap().code();
        (code.unwrap(), self.shown)
    }
}
