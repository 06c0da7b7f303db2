//! Nothing acknowledged is lost when the power goes.
//!
//! A kill -9 proves nothing here: the kernel still has the pages. So the store writes to an ext4
//! file system in an image, and `EXT4_IOC_SHUTDOWN` without a journal flush makes that file system
//! forget all that is not really on its disk. Needs root; otherwise it says that it was skipped.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use proto::ids::TreeSize;
use tests::disk::Disk;
use tests::endless::{Endless, Roots};

const ROUNDS: u64 = 20;
/// What all rounds together must have acknowledged.
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// The power is cut some time after so many entries of a round.
const ENTRIES_PER_ROUND: u64 = ACKNOWLEDGED_MIN / ROUNDS + 100;
/// A writer that has not come so far by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, as soon as a line comes in.
const CUTTER: &str = "
import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))
";

#[test]
fn no_acknowledged_entry_is_lost_in_20_power_cuts() {
    let Some(disk) = Disk::new("a power cut") else {
        return;
    };
    let (ledger, mut roots) = (Endless::new(), Roots::default());
    let mut acknowledged = 0;
    for round in 1..=ROUNDS {
        let writer = start(disk.mount(), "durable", acknowledged);
        let found = writer
            .recovered()
            .expect("the store opens after a power cut");
        check(&found, acknowledged, &ledger, &mut roots);
        acknowledged = writer.cut_after(found.size + ENTRIES_PER_ROUND);
        println!("round {round}: {acknowledged} entries acknowledged");
    }
    let last = start(disk.mount(), "check", acknowledged);
    let found = last.recovered().expect("the store opens after a power cut");
    check(&found, acknowledged, &ledger, &mut roots);
    assert!(
        acknowledged >= ACKNOWLEDGED_MIN,
        "only {acknowledged} entries acknowledged"
    );
}

#[test]
fn without_the_sync_a_power_cut_loses_acknowledged_entries() {
    let Some(disk) = Disk::new("a power cut") else {
        return;
    };
    let writer = start(disk.mount(), "skipped", 0);
    assert_eq!(writer.recovered().map(|found| found.size), Some(0));
    let acknowledged = writer.cut_after(ENTRIES_PER_ROUND);
    let found = start(disk.mount(), "check", 0).recovered();
    let size = found.map_or(0, |found| found.size);
    println!("without sync: {acknowledged} acknowledged, {size} left");
    assert!(
        size < acknowledged,
        "the cut loses nothing: this test could not fail"
    );
}

/// What a writer says that it recovered.
struct Found {
    size: u64,
    log_root: String,
    map_root: String,
}

fn check(found: &Found, acknowledged: u64, ledger: &Endless, roots: &mut Roots) {
    assert!(
        found.size >= acknowledged,
        "{} of {acknowledged} entries left",
        found.size
    );
    let (log_root, map_root) = roots.at(TreeSize::new(found.size), ledger);
    assert_eq!(found.log_root, log_root.to_base64());
    assert_eq!(found.map_root, map_root.to_base64());
}

/// Starts a writer on a disk that is mounted.
fn start<'a>(disk: &'a Disk, mode: &str, acknowledged: u64) -> Writer<'a> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powercut_writer"));
    command
        .arg(disk.mount_point().join("data"))
        .arg(mode)
        .arg(acknowledged.to_string());
    let mut process = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    let count = Arc::new(AtomicU64::new(0));
    let (sender, recovered) = channel();
    let counted = count.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["acknowledged", size] => {
                    counted.store(size.parse().expect("a size"), Ordering::SeqCst);
                }
                ["recovered", size, log, map] => {
                    let size = size.parse().expect("a size");
                    let (log_root, map_root) = (log.to_owned(), map.to_owned());
                    let _ = sender.send(Found {
                        size,
                        log_root,
                        map_root,
                    });
                }
                _ => unreachable!("the writer says nothing else"),
            }
        }
    });
    Writer {
        disk,
        process,
        recovered,
        count,
    }
}

/// A writer at work. When it is dropped it is killed and its file system unmounted.
struct Writer<'a> {
    disk: &'a Disk,
    process: Child,
    recovered: Receiver<Found>,
    count: Arc<AtomicU64>,
}

impl Writer<'_> {
    /// What it recovered; `None` when it could not.
    fn recovered(&self) -> Option<Found> {
        self.recovered.recv_timeout(PATIENCE).ok()
    }

    /// Cuts the power some time after so many entries are acknowledged. Says how many were.
    fn cut_after(self, entries: u64) -> u64 {
        let mut cutter = Cutter::ready(&self.disk.mount_point());
        let enough = || self.count.load(Ordering::SeqCst) >= entries;
        assert!(until(enough), "the writer commits");
        std::thread::sleep(Duration::from_micros(random_below(150_000)));
        let acknowledged = self.count.load(Ordering::SeqCst);
        cutter.cut();
        acknowledged
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            self.disk.unmount();
        }
    }
}

/// A process that has the disk open and waits for the word.
struct Cutter {
    process: Child,
    word: ChildStdin,
}

impl Cutter {
    fn ready(mount_point: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", CUTTER]).arg(mount_point);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().expect("its output"));
        out.read_line(&mut line)
            .expect("the cutter says that it is ready");
        assert_eq!(line, "ready\n");
        let word = process.stdin.take().expect("its input");
        Self { process, word }
    }

    fn cut(&mut self) {
        self.word.write_all(b"now\n").expect("the cutter waits");
        assert!(self.process.wait().expect("the cutter ends").success());
    }
}

fn until(mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Not the same in two runs: each run cuts elsewhere.
fn random_below(limit: u64) -> u64 {
    RandomState::new().hash_one(0) % limit
}
