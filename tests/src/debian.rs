//! A minimal Debian in a folder, and packages that are installed in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a minimal Debian needs beyond its essential packages: a service manager that boots, and what
/// makes users.
const INCLUDED: &str = "dbus,passwd,systemd-sysv";

/// A folder with a Debian in it. It takes root, and goes when it is dropped.
#[derive(Debug)]
pub struct Debian {
    folder: TempDir,
}

impl Debian {
    /// A fresh one of the same release as this machine's, in a new folder there. The archive it is
    /// unpacked from is made once. `None`, and a word about what is skipped, where none can be made.
    ///
    /// # Panics
    /// When an archive that was made cannot be unpacked.
    #[must_use]
    pub fn fresh(archives: &Path, purpose: &str) -> Option<Self> {
        let archive = archive(archives, purpose)?;
        let skipped = |why: &str| {
            println!("skipped: {purpose}: {why}");
            None
        };
        let folder = tempfile::Builder::new()
            .prefix("debian-")
            .tempdir_in(archives);
        let folder = folder.expect("the target folder can be written");
        let unpacked = Command::new("tar")
            .arg("-xpf")
            .arg(&archive)
            .arg("-C")
            .arg(folder.path())
            .status();
        assert!(unpacked.is_ok_and(|done| done.success()), "tar unpacks it");
        let debian = Self { folder };
        let mut mount = Command::new("mount");
        mount.args(["-t", "proc", "proc"]).arg(debian.at("/proc"));
        if !succeeds(&mut mount, "") {
            return skipped("nothing can be mounted here");
        }
        Some(debian)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it, seen from outside.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// A command that runs in it, as this user.
    #[must_use]
    pub fn command(&self, user: &str, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command
            .arg(format!("--userspec={user}"))
            .arg(self.path())
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command in it as root. What it said, on both ways.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> String {
        let done = self.command("root", words).output();
        let done = done.expect("chroot can be run");
        let said = said(&done);
        assert!(done.status.success(), "{words:?}\n{said}");
        said
    }

    /// Installs a package, or another version of it.
    ///
    /// # Panics
    /// When dpkg does not.
    pub fn install(&self, package: &Path) {
        fs::copy(package, self.at("/package.deb")).expect("the package is copied");
        let _ = self.run(&["dpkg", "--install", "/package.deb"]);
        let _ = fs::remove_file(self.at("/package.deb"));
    }
}

impl Debian {
    /// Takes away the view of this machine's processes: what boots in it brings its own.
    pub fn unmount(&self) {
        let mut unmount = Command::new("umount");
        let _ = unmount.arg("--lazy").arg(self.at("/proc")).output();
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// What a command said, on both ways.
#[must_use]
pub fn said(done: &Output) -> String {
    let both = [&done.stdout[..], &done.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The same Debian as an archive, which is made once. `None`, and a word about what is skipped, where
/// none can be made.
#[must_use]
pub fn archive(archives: &Path, purpose: &str) -> Option<PathBuf> {
    let skipped = |why: &str| {
        println!("skipped: {purpose}: {why}");
        None
    };
    if !succeeds(Command::new("id").arg("-u"), "0\n") {
        return skipped("needs root, for a Debian in a folder");
    }
    let Some(release) = release() else {
        return skipped("this machine is no Debian, whose packages it would install");
    };
    let archive = archives.join(format!("debian-{release}-with-systemd.tar"));
    if !archive.exists() && !make(&release, &archive) {
        return skipped("needs mmdebstrap (package mmdebstrap) and Debian's archive");
    }
    Some(archive)
}

/// The release's name, if this is a Debian that has mmdebstrap.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    value("VERSION_CODENAME=").filter(|_| value("ID=").is_some_and(|id| id == "debian"))
}

/// With the machine's own way to Debian's archive, whatever that is.
fn make(release: &str, archive: &Path) -> bool {
    let draft = archive.with_extension(format!("{}.tar", std::process::id()));
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=essential", "--format=tar"])
        .arg(format!("--include={INCLUDED}"));
    make.arg(release).arg(&draft);
    let made = make.output();
    let is_made = made.as_ref().is_ok_and(|done| done.status.success());
    if let (Ok(done), false) = (&made, is_made) {
        println!("{}", said(done));
    }
    is_made && fs::rename(draft, archive).is_ok()
}

fn succeeds(command: &mut Command, with: &str) -> bool {
    let done = command.output();
    done.is_ok_and(|done| done.status.success() && done.stdout == with.as_bytes())
}
