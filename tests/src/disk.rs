//! A file system of its own in an image file: its power can be cut, and every block of it searched.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Sparse. 100,000 entries and the database's own garbage take about a third of it.
const IMAGE_BYTES: u64 = 1 << 30;
/// What keeps the file system busy longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// An ext4 file system in an image file. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A fresh one that is not mounted yet. `None`, and a word about what is skipped, where no file
    /// system can be mounted: it takes root.
    ///
    /// # Panics
    /// When there is no room for the image.
    #[must_use]
    pub fn new(purpose: &str) -> Option<Self> {
        if fs::metadata("/proc/self").map(|own| own.uid()).ok() != Some(0) {
            println!("skipped: {purpose} needs root, for a file system of its own");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Self { folder };
        fs::create_dir(disk.mount_point()).expect("a mount point");
        let image = File::create(disk.image()).expect("an image file");
        image.set_len(IMAGE_BYTES).expect("a sparse image file");
        let made = succeeds(Command::new("mkfs.ext4").arg("-qF").arg(disk.image()));
        if !made || !disk.try_mount() {
            println!("skipped: {purpose}: this machine cannot make and mount an ext4 image");
            return None;
        }
        disk.unmount();
        Some(disk)
    }

    /// The file with every block, to be read while it is not mounted.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where its files are while it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> PathBuf {
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

    /// Power is on; ext4 replays its journal.
    ///
    /// # Panics
    /// When it does not mount.
    pub fn mount(&self) -> &Self {
        assert!(self.try_mount(), "the image mounts");
        self
    }

    /// Takes it from its place, in order.
    ///
    /// # Panics
    /// When something keeps it busy.
    pub fn unmount(&self) {
        let begin = Instant::now();
        while !succeeds(Command::new("umount").arg(self.mount_point())) {
            assert!(begin.elapsed() < PATIENCE, "the file system is busy");
            std::thread::sleep(Duration::from_millis(5));
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

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|done| done.status.success())
}
