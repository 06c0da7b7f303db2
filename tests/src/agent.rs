//! A `vitrail agent` as a process of its own, and what till software says to it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::binary::vitrail;

/// Longest answer: the agent gives up after 30 s.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What it prints when it serves.
#[derive(Debug, Deserialize)]
struct Serving {
    listening: SocketAddr,
    token_file: Option<PathBuf>,
}

/// A running agent. It is killed when this is dropped.
#[derive(Debug)]
pub struct AgentProcess {
    child: Child,
    /// What it prints after that.
    out: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What lets a caller in.
    pub token: String,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl AgentProcess {
    /// Starts an agent in this folder, on a free port. What it logs is appended to `agent.log` there.
    /// The token is taken from its file at the first start, and kept in `till-token`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(dir: &Path, flags: &[S]) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("agent.log"))
            .unwrap();
        let mut child = vitrail()
            .args(["agent", "-o", "json", "--listen", "127.0.0.1:0"])
            .args(flags)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("vitrail can be run");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let said = fs::read_to_string(dir.join("agent.log")).unwrap();
        let serving: Serving = serde_json::from_str(&line).expect(&said);
        let kept = dir.join("till-token");
        if let Some(file) = serving.token_file {
            fs::rename(dir.join(file), &kept).unwrap();
        }
        Self {
            child,
            out,
            address: serving.listening,
            token: fs::read_to_string(kept).unwrap(),
        }
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn kill(self) {
        self.signal_kill();
    }

    /// The same while somebody still waits for an answer of it.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn signal_kill(&self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-9", &pid]).status();
        assert!(told.unwrap().success(), "the agent had ended already");
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn terminate(self) {
        assert!(self.ended().0, "the agent does not end well");
    }

    /// The same: whether it ended with 0, and what it said last.
    ///
    /// # Panics
    /// When it says nothing that can be read.
    #[must_use]
    pub fn ended(mut self) -> (bool, Value) {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success(), "the agent had ended already");
        let mut last = String::new();
        self.out.read_to_string(&mut last).unwrap();
        let is_well = self.child.wait().unwrap().success();
        (is_well, serde_json::from_str(&last).unwrap())
    }

    /// Asks with the token.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &self.paired(&[]), "").unwrap()
    }

    /// Sends JSON with the token, under a key if there is one.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Reply {
        self.try_post(path, key, body).unwrap()
    }

    /// The same, when the agent may be killed meanwhile.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn try_post(&self, path: &str, key: Option<&str>, body: &Value) -> std::io::Result<Reply> {
        let key = key.map(|key| format!("Idempotency-Key: \"{key}\""));
        let mut headers = vec!["Content-Type: application/json".to_owned()];
        headers.extend(key);
        self.ask("POST", path, &self.paired(&headers), &body.to_string())
    }

    fn paired(&self, more: &[String]) -> Vec<String> {
        let own = [
            format!("Host: {}", self.address),
            format!("Authorization: Bearer {}", self.token),
        ];
        own.into_iter().chain(more.iter().cloned()).collect()
    }

    /// Sends exactly these headers.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[String],
        body: &str,
    ) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let headers = headers.join("\r\n");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{headers}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Reply {
            status: status.ok_or_else(cut)?,
            head: head.to_lowercase(),
            body: body.to_owned(),
        })
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
