//! Containers of our image, in a network of their own: real podman, nothing left behind.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::binary::{profile_folder, scratch_folder, vitrail_file, vitrail_node};
use crate::debian::{archive, said};

/// The image that ours is built upon; its place is taken by a minimal Debian of this machine's
/// release, as no registry of images may be at hand.
const BASE: &str = "docker.io/library/debian:bookworm-slim";
/// Ours, as the compose file names it.
const IMAGE: &str = "vitrail:0.1.0";

/// Podman with a store, a configuration and a network namespace of its own. All of it goes when it
/// is dropped.
#[derive(Debug)]
pub struct Podman {
    folder: TempDir,
    network: Child,
}

impl Podman {
    /// With our image built from its recipe; the binaries are those of this run, in place of a
    /// release built anew. `None`, and a word about what is skipped, where no container runs.
    ///
    /// # Panics
    /// When the image cannot be built where containers do run.
    #[must_use]
    pub fn with_image(purpose: &str) -> Option<Self> {
        let skipped = |why: &str| {
            println!("skipped: {purpose}: {why}");
            None
        };
        let base = archive(&profile_folder(), purpose)?;
        for command in ["podman", "podman-compose", "nsenter"] {
            if Command::new(command).arg("--version").output().is_err() {
                return skipped(&format!("needs {command}"));
            }
        }
        let folder = scratch_folder();
        configure(folder.path());
        let Some(network) = own_network() else {
            return skipped("no network namespace can be made here");
        };
        let podman = Self { folder, network };
        let words = ["import", "--quiet", &base.display().to_string(), BASE];
        let _ = podman.run(&words);
        let trial = ["run", "--rm", "--network=none", BASE, "true"];
        let tried = podman.command("podman").args(trial).output();
        let tried = tried.expect("podman is there");
        if !tried.status.success() {
            println!("{}", said(&tried));
            return skipped("no container runs here");
        }
        podman.build();
        Some(podman)
    }

    /// A program that is to see this store and this network.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--net", "--target", &self.network.id().to_string(), program])
            .env(
                "CONTAINERS_CONF",
                self.folder.path().join("containers.conf"),
            )
            .env(
                "CONTAINERS_STORAGE_CONF",
                self.folder.path().join("storage.conf"),
            )
            .current_dir(repository())
            .stdin(Stdio::null());
        command
    }

    /// Runs podman. What it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, words: &[&str]) -> String {
        let done = self.tried(words);
        assert!(done.status.success(), "{words:?}\n{}", said(&done));
        said(&done)
    }

    /// Runs podman, which may fail.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn tried(&self, words: &[&str]) -> Output {
        let done = self.command("podman").args(words).output();
        done.expect("podman is there")
    }

    /// Runs what the compose file describes.
    ///
    /// # Panics
    /// When that fails.
    pub fn compose(&self, words: &[&str]) -> String {
        let mut compose = self.command("podman-compose");
        compose
            .args(["-f", "deploy/container/compose.yaml"])
            .args(words);
        let done = compose.output().expect("podman-compose is there");
        assert!(done.status.success(), "{words:?}\n{}", said(&done));
        said(&done)
    }

    fn build(&self) {
        let built = self.folder.path().join("src/target/release");
        fs::create_dir_all(&built).expect("the folder can be written");
        for binary in [vitrail_node(), vitrail_file()] {
            let name = binary.file_name().expect("a file has a name");
            fs::copy(binary, built.join(name)).expect("a binary can be copied");
        }
        let stage = format!("build={}", self.folder.path().display());
        let recipe = ["--file", "deploy/container/Containerfile", "--tag", IMAGE];
        let mut words = vec!["build", "--pull=never", "--network=none"];
        words.extend(recipe);
        words.extend(["--build-context", &stage, "."]);
        let _ = self.run(&words);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.tried(&["pod", "rm", "--all", "--force", "--time", "0"]);
        let _ = self.tried(&["rm", "--all", "--force", "--time", "0"]);
        let _ = self.tried(&["system", "reset", "--force"]);
        let _ = self.network.kill();
        let _ = self.network.wait();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Limits that a machine allows which does not let root raise them, and no systemd.
fn configure(folder: &Path) {
    let runtime = match Command::new("runc").arg("--version").output() {
        Ok(_) => "runtime = \"runc\"\n", // It knows the control groups of older machines too.
        Err(_) => "",
    };
    let containers = format!(
        "[containers]\ndefault_ulimits = [\"nofile=16384:16384\", \"nproc=4096:4096\"]\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n{runtime}\
         [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{0}/networks\"\n",
        folder.display()
    );
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        folder.display()
    );
    fs::write(folder.join("containers.conf"), containers).expect("the folder can be written");
    fs::write(folder.join("storage.conf"), storage).expect("the folder can be written");
}

/// A process that holds a network namespace with nothing but its loopback.
fn own_network() -> Option<Child> {
    let mut child = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo up && exec sleep infinity",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut up = [0; 3];
    let said = child.stdout.as_mut().map(|said| said.read_exact(&mut up));
    if matches!(said, Some(Ok(()))) {
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
