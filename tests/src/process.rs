//! A node as a process of its own: started, watched from outside, killed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::binary::vitrail_node;

/// Longest start: recovery reads the whole ledger, and a debug build is slow at it.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest answer of a page.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// How often a node is started whose port another program has taken, as the system gives free ports
/// to any connection, and how long is waited between.
const BIND_TRIES: usize = 50;
const BIND_PAUSE: Duration = Duration::from_millis(200);

/// Where a node is reached, as it says when it is ready.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Addresses {
    /// gRPC over TLS.
    pub grpc: SocketAddr,
    /// Plain HTTP pages.
    pub http: SocketAddr,
    /// Reflection and health, on loopback.
    pub admin: SocketAddr,
}

/// A running `vitrail-node run`. It is killed when this is dropped.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    /// Where it is reached.
    pub addresses: Addresses,
    log: PathBuf,
}

impl NodeProcess {
    /// Starts the node of this folder and waits until it says that it is ready. What it logs is
    /// appended to `node.log` beside the folder.
    ///
    /// # Errors
    /// What the node said on its standard error when it ended instead.
    pub fn start(dir: &Path, flags: &[&str]) -> Result<Self, String> {
        Self::start_with(dir, flags, &[])
    }

    /// Starts a node again and again while another program has the port that it was to have.
    ///
    /// # Errors
    /// What the node said when it ended for another reason, or has waited for ten seconds.
    pub fn once_its_port_is_free(start: impl Fn() -> Result<Self, String>) -> Result<Self, String> {
        let mut tries = 0..BIND_TRIES;
        loop {
            match start() {
                Err(said) if said.contains("cannot be bound") && tries.next().is_some() => {
                    thread::sleep(BIND_PAUSE);
                }
                started => return started,
            }
        }
    }

    /// As [`Self::start`], with more in the environment of the process.
    ///
    /// # Errors
    /// What the node said on its standard error when it ended instead.
    pub fn start_with(
        dir: &Path,
        flags: &[&str],
        environment: &[(&str, OsString)],
    ) -> Result<Self, String> {
        let log = dir.with_extension("log");
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = Command::new(vitrail_node())
            .arg("run")
            .arg("--dir")
            .arg(dir)
            .args(["-o", "json"])
            .args(flags)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("vitrail-node can be run");
        let stdout = child.stdout.take().expect("its output is a pipe");
        match ready(stdout) {
            Some(addresses) => Ok(Self {
                child,
                addresses,
                log,
            }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(fs::read_to_string(&log).unwrap_or_default())
            }
        }
    }

    /// The id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it as `kill -9` does: nothing is finished, nothing is flushed.
    ///
    /// # Panics
    /// When the system does not do it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// When it had ended before.
    #[must_use]
    pub fn terminate(&mut self) -> ExitStatus {
        let told = Command::new("kill")
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(told.success(), "the node had ended already");
        self.child.wait().unwrap()
    }

    /// How it ended by itself, if it has.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The body of a page, for the status 200.
    ///
    /// # Errors
    /// The status line of another answer, or why there was none.
    pub fn page(&self, path: &str) -> Result<Vec<u8>, String> {
        let (status, body) = self.ask(path).map_err(|error| error.to_string())?;
        if status.contains(" 200 ") {
            Ok(body)
        } else {
            Err(status)
        }
    }

    /// The status line and the body of a page.
    ///
    /// # Errors
    /// The connection failed.
    pub fn ask(&self, path: &str) -> std::io::Result<(String, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.addresses.http, PAGE_MAX)?;
        stream.set_read_timeout(Some(PAGE_MAX))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: vitrail\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.lines().next().unwrap_or_default().to_owned();
        Ok((status, answer[end + 4..].to_vec()))
    }

    /// The value of a metric without labels.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.page("/metrics").ok()?;
        let text = String::from_utf8_lossy(&page).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }

    /// User and system time that it has used, in clock ticks of which a second has
    /// [`TICKS_PER_SECOND`].
    #[must_use]
    pub fn cpu_ticks(&self) -> u64 {
        ticks(&self.pid().to_string(), [11, 12])
    }

    /// Memory it has in RAM, in KiB.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// What `sysconf(_SC_CLK_TCK)` says on every Linux there is today.
pub const TICKS_PER_SECOND: u64 = 100;

/// User and system time of all processes that this one has started and that have ended, in ticks.
///
/// # Panics
/// When the system does not say.
#[must_use]
pub fn cpu_ticks_of_children() -> u64 {
    ticks("self", [13, 14])
}

/// The sum of two fields of a process's `stat`, counted from behind its name.
fn ticks(process: &str, fields: [usize; 2]) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program is in brackets and may hold anything; what follows is numbers.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let field = |place: usize| behind.split_whitespace().nth(place)?.parse::<u64>().ok();
    fields.map(|place| field(place).unwrap()).iter().sum()
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the line that the node prints when it serves; goes on reading what it prints later, so
/// that it never waits for a reader.
fn ready(stdout: impl std::io::Read + Send + 'static) -> Option<Addresses> {
    let (found, first) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if let Ok(addresses) = serde_json::from_str::<Addresses>(&line) {
                let _ = found.send(addresses);
            }
        }
    });
    first.recv_timeout(START_MAX).ok()
}

/// Bytes that were written to the files of a folder: zeros at the end of a file are room that the
/// node keeps ahead, and do not count.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn disk_bytes(dir: &Path) -> u64 {
    files(dir).iter().map(|file| written(file).unwrap()).sum()
}

fn written(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut piece = [0; 64 * 1024];
    while end > 0 {
        let length = piece.len().min(usize::try_from(end).unwrap_or(usize::MAX));
        file.read_exact_at(&mut piece[..length], end - length as u64)?;
        if let Some(last) = piece[..length].iter().rposition(|byte| *byte != 0) {
            return Ok(end - length as u64 + last as u64 + 1);
        }
        end -= length as u64;
    }
    Ok(0)
}

/// Every file of a folder and the folders in it.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        match item.file_type().unwrap().is_dir() {
            true => found.extend(files(&item.path())),
            false => found.push(item.path()),
        }
    }
    found
}

/// Copies a folder with everything in it.
///
/// # Panics
/// When it cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => copy_folder(&item.path(), &target),
            false => {
                fs::copy(item.path(), target).unwrap();
            }
        }
    }
}

/// Writes a file that nobody else may read: what the node requires of its keys.
///
/// # Panics
/// When it cannot be written.
pub fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    let file: std::io::Result<File> = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}
