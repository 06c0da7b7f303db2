//! A real Prometheus that scrapes real nodes, and answers queries as an operator's does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// Longest start: it opens an empty database.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often it is asked again.
const POLL: Duration = Duration::from_millis(100);

/// A running Prometheus. It is killed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// What every answer of its interface is wrapped in.
#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error: String,
}

/// One rule, as Prometheus has read and evaluated it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// Why it could not be evaluated.
    #[serde(default)]
    pub last_error: String,
    /// `inactive`, `pending` or `firing`.
    pub state: String,
}

/// Whether a program is there; says what is skipped if it is not.
#[must_use]
pub fn is_there(program: &str, purpose: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    let is_there = asked.is_ok_and(|done| done.status.success());
    if !is_there {
        println!("skipped: {purpose}: needs {program} (package prometheus)");
    }
    is_there
}

impl Prometheus {
    /// Starts one that scrapes these pages each second, as the job `vitrail`, with these rules.
    /// `None`, and a word about what is skipped, where there is no Prometheus.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(pages: &[SocketAddr], rules: &Path) -> Option<Self> {
        if !is_there("prometheus", "queries in a real Prometheus") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let targets: Vec<_> = pages.iter().map(|it| format!("\"{it}\"")).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: vitrail\n    static_configs:\n      \
             - targets: [{}]\n",
            rules.display(),
            targets.join(", "),
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("its settings are written");
        let address = free_address();
        let log = fs::File::create(folder.path().join("log")).expect("its log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus can be run");
        let started = Self {
            child,
            address,
            _folder: folder,
        };
        started.wait_until_ready();
        Some(started)
    }

    /// The series that an expression gives now.
    ///
    /// # Errors
    /// What Prometheus says of the expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let path = format!("/api/v1/query?query={}", escaped(expression));
        let answer: Answer = serde_json::from_slice(&self.ask(&path).map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?;
        match (answer.status.as_str(), answer.data.get("result")) {
            ("success", Some(Value::Array(series))) => Ok(series.clone()),
            _ => Err(answer.error),
        }
    }

    /// The rules that it evaluates.
    ///
    /// # Panics
    /// When it does not say.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let answer = self.ask("/api/v1/rules").expect("prometheus answers");
        let answer: Answer = serde_json::from_slice(&answer).expect("its rules");
        let groups = answer.data["groups"].as_array().cloned();
        let groups = groups.unwrap_or_default();
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        let rules = rules.flatten().cloned();
        rules
            .map(|rule| serde_json::from_value(rule).expect("a rule"))
            .collect()
    }

    fn wait_until_ready(&self) {
        let until = Instant::now() + START_MAX;
        while self.ask("/-/ready").is_err() {
            assert!(Instant::now() < until, "prometheus does not start");
            std::thread::sleep(POLL);
        }
    }

    /// The body of a page, for the status 200 and for what it says of an expression.
    fn ask(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        // HTTP/1.0: the answer is not in chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap_or_default();
        match status {
            "200" | "400" | "422" => Ok(answer[end + 4..].to_vec()),
            _ => Err(std::io::ErrorKind::Other.into()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port of the loopback. Somebody else may take it before it is used.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// Escaped for the query of a URL (RFC 3986, 2.1).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
