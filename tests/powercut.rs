//! Nothing acknowledged is lost when the power goes.
//!
//! A kill -9 proves nothing here: the kernel still has the pages. So the store writes to an ext4
//! file system in an image, and `EXT4_IOC_SHUTDOWN` without a journal flush makes that file system
//! forget all that is not really on its disk. Needs root; otherwise it says that it was skipped.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use proto::ids::TreeSize;
use tests::endless::{Endless, Roots};

const ROUNDS: u64 = 20;
/// What all rounds together must have acknowledged.
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// The power is cut some time after so many entries of a round.
const ENTRIES_PER_ROUND: u64 = ACKNOWLEDGED_MIN / ROUNDS + 100;
/// Sparse; 100,000 entries and the database's own garbage take about a third of it.
const IMAGE_BYTES: u64 = 1 << 30;
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
    let Some(disk) = Disk::new() else { return };
    let (ledger, mut roots) = (Endless::new(), Roots::default());
    let mut acknowledged = 0;
    for round in 1..=ROUNDS {
        let writer = disk.mount().start("durable", acknowledged);
        let found = writer
            .recovered()
            .expect("the store opens after a power cut");
        check(&found, acknowledged, &ledger, &mut roots);
        acknowledged = writer.cut_after(found.size + ENTRIES_PER_ROUND);
        println!("round {round}: {acknowledged} entries acknowledged");
    }
    let last = disk.mount().start("check", acknowledged);
    let found = last.recovered().expect("the store opens after a power cut");
    check(&found, acknowledged, &ledger, &mut roots);
    assert!(
        acknowledged >= ACKNOWLEDGED_MIN,
        "only {acknowledged} entries acknowledged"
    );
}

#[test]
fn without_the_sync_a_power_cut_loses_acknowledged_entries() {
    let Some(disk) = Disk::new() else { return };
    let writer = disk.mount().start("skipped", 0);
    assert_eq!(writer.recovered().map(|found| found.size), Some(0));
    let acknowledged = writer.cut_after(ENTRIES_PER_ROUND);
    let found = disk.mount().start("check", 0).recovered();
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

/// A file system in an image file.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, and a word about it, where no file system can be mounted.
    fn new() -> Option<Self> {
        if std::fs::metadata("/proc/self").map(|own| own.uid()).ok() != Some(0) {
            println!("skipped: a power cut needs root, for a file system of its own");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Self { folder };
        std::fs::create_dir(disk.mount_point()).expect("a mount point");
        let image = std::fs::File::create(disk.image()).expect("an image file");
        image.set_len(IMAGE_BYTES).expect("a sparse image file");
        let made = succeeds(Command::new("mkfs.ext4").arg("-qF").arg(disk.image()));
        if !made || !disk.try_mount() {
            println!("skipped: this machine cannot make and mount an ext4 image");
            return None;
        }
        disk.unmount();
        Some(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn try_mount(&self) -> bool {
        let mut mount = Command::new("mount");
        // The journal is committed by syncs alone, not every five seconds: nothing is saved by luck.
        succeeds(
            mount
                .args(["-o", "loop,commit=300"])
                .args([self.image(), self.mount_point()]),
        )
    }

    /// Power is back.
    fn mount(&self) -> &Self {
        assert!(
            self.try_mount(),
            "the image mounts, and ext4 replays its journal"
        );
        self
    }

    fn unmount(&self) {
        let unmount = || succeeds(Command::new("umount").arg(self.mount_point()));
        assert!(until(unmount), "nothing keeps the file system busy");
    }

    fn start(&self, mode: &str, acknowledged: u64) -> Writer<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_powercut_writer"));
        command
            .arg(self.mount_point().join("data"))
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
            disk: self,
            process,
            recovered,
            count,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Usually unmounted already; after a failed assertion it is not.
        let _ = Command::new("umount")
            .arg("-lq")
            .arg(self.mount_point())
            .output();
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

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|done| done.status.success())
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
