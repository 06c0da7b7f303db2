//! The Debian package of the node, in a fresh Debian: it installs, the node starts and answers, it
//! upgrades, and the ledger outlives its removal.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tests::binary::profile_folder;
use tests::debian::{Debian, said};
use tests::packages::{built, packaged};

/// What `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: &str = "15";
/// Longest answer of a page.
const PAGE_MAX: Duration = Duration::from_secs(30);
const UNITS: [&str; 3] = [
    "vitrail-node.service",
    "vitrail-node-backup.service",
    "vitrail-node-backup.timer",
];
const STATE: &str = "/var/lib/vitrail";
const CONFIG: &str = "/etc/vitrail/node.toml";
const CREDENTIALS: &str = "/run/credentials";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[derive(Debug, Deserialize)]
struct Addresses {
    http: SocketAddr,
}

/// The node of the package, as its unit starts it. Killed when it is dropped.
struct Running {
    child: Child,
    http: SocketAddr,
}

impl Running {
    fn start(debian: &Debian) -> Self {
        let unit = fs::read_to_string(debian.at("/usr/lib/systemd/system/vitrail-node.service"));
        let unit = unit.unwrap();
        let value = |name: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
        };
        let mut words: Vec<_> = value("ExecStart=").split(' ').collect();
        let any = "127.0.0.1:0";
        words.extend(["-o", "json", "--grpc", any, "--http", any, "--admin", any]);
        let set = value("Environment=").split(' ');
        let set = set.map(|variable| variable.split_once('=').unwrap());
        let mut child = debian
            .command("vitrail:vitrail", &words)
            .envs(set)
            .env("CREDENTIALS_DIRECTORY", CREDENTIALS)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let addresses: Addresses = serde_json::from_str(&line).expect("the node serves");
        let http = addresses.http;
        Self { child, http }
    }

    /// The status and the body of a page.
    fn page(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect_timeout(&self.http, PAGE_MAX).unwrap();
        stream.set_read_timeout(Some(PAGE_MAX)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: node\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// Origin, size and both roots.
    fn checkpoint(&self) -> String {
        let (status, page) = self.page("/checkpoint");
        assert!(status.contains(" 200 "), "{status}");
        page.split("\n\n").next().unwrap().to_owned()
    }

    fn terminate(mut self) {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The units are sound, and leave little in reach.
fn units_are_hardened(debian: &Debian) {
    let analyze = |words: &[&str]| Command::new("systemd-analyze").args(words).output();
    if !analyze(&["--version"]).is_ok_and(|done| done.status.success()) {
        println!("skipped: the units: needs systemd-analyze (package systemd)");
        return;
    }
    let root = format!("--root={}", text(debian.path()));
    let words = ["verify", &root, "--man=no", "--recursive-errors=no"];
    let verified = analyze(&[&words[..], &UNITS].concat()).unwrap();
    assert!(
        verified.status.success() && said(&verified).is_empty(),
        "{}",
        said(&verified)
    );
    for unit in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        let path = debian.at("/usr/lib/systemd/system").join(unit);
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let words = [
            "security",
            "--no-pager",
            "--offline=true",
            &threshold,
            text(&path),
        ];
        let judged = analyze(&words).unwrap();
        assert!(judged.status.success(), "{}", said(&judged));
    }
}

fn has_no_errors(package: &Path) {
    if Command::new("lintian").arg("--version").output().is_err() {
        println!("skipped: what Debian's own checks say of the packages: needs lintian");
        return;
    }
    let checked = Command::new("lintian")
        .args(["--fail-on", "error", "--allow-root"])
        .arg(package)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

/// What the programs say of themselves lies where shells and `man` look for it.
fn has_pages_and_completions(debian: &Debian) {
    for (program, section) in [("vitrail-node", "8"), ("vitrail", "1")] {
        for (path, begins) in [
            (format!("bash-completion/completions/{program}"), "_vitrail"),
            (format!("zsh/vendor-completions/_{program}"), "#compdef"),
            (format!("fish/vendor_completions.d/{program}.fish"), "#"),
        ] {
            let script = fs::read_to_string(debian.at("/usr/share").join(&path));
            let script = script.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(
                script.starts_with(begins) && script.contains(program),
                "{path}"
            );
        }
        for page in [program.to_owned(), format!("{program}-config-show")] {
            let path = format!("/usr/share/man/man{section}/{page}.{section}.gz");
            let text = debian.run(&["gzip", "--decompress", "--stdout", &path]);
            assert!(text.contains(&format!(".TH {page} {section}")), "{path}");
            is_read_by_man(&debian.at(&path), &page);
        }
    }
}

/// `man` shows the page, and has nothing to say against it.
fn is_read_by_man(path: &Path, page: &str) {
    let shown = Command::new("man")
        .args(["--local-file", "--warnings"])
        .arg(path)
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .output();
    let Ok(shown) = shown else {
        println!("skipped: manual pages as they are shown: needs man (package man-db)");
        return;
    };
    assert!(
        shown.status.success() && shown.stderr.is_empty(),
        "{}",
        said(&shown)
    );
    assert!(said(&shown).contains(page), "{}", said(&shown));
}

/// Founds a federation as an operator does: as the node's user, with the shares sealed under a
/// credential that is not in the node's folder.
fn found(debian: &Debian) {
    let folder = debian.at(CREDENTIALS);
    fs::create_dir_all(&folder).unwrap();
    let owner = fs::metadata(debian.at(STATE)).unwrap();
    assert!(
        owner.uid() != 0 && owner.mode() & 0o777 == 0o700,
        "{owner:?}"
    );
    let credential = folder.join("vitrail-seal");
    fs::write(&credential, [7; 32]).unwrap();
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).unwrap();
    for path in [&folder, &credential] {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let words = [
        "vitrail-node",
        "init",
        "--dir",
        "/var/lib/vitrail/node",
        "--origin",
        "vitrail.example/optique",
        "--name",
        "cnam",
        "--role",
        "amo",
        "--payer-number",
        "01",
        "--seal",
        "credential",
    ];
    let mut init = debian.command("vitrail:vitrail", &words);
    let founded = init
        .env("CREDENTIALS_DIRECTORY", CREDENTIALS)
        .output()
        .unwrap();
    assert!(founded.status.success(), "{}", said(&founded));
}

#[test]
fn the_package_installs_serves_upgrades_and_leaves_the_ledger_behind() {
    let archives = profile_folder();
    let Some(old) = packaged("node", "0.1.0-1") else {
        return;
    };
    let (new, client) = (
        packaged("node", "0.1.1-1").unwrap(),
        packaged("client", "0.1.0-1"),
    );
    has_no_errors(&old);
    let client = client.unwrap();
    has_no_errors(&client);
    let Some(debian) = Debian::fresh(&archives, "the Debian packages in a fresh Debian") else {
        return;
    };

    debian.install(&old);
    debian.install(&client);
    units_are_hardened(&debian);
    for program in ["vitrail-node", "vitrail"] {
        let version = debian.run(&[program, "--version"]);
        assert!(version.starts_with(&format!("{program} ")), "{version}");
    }
    has_pages_and_completions(&debian);
    found(&debian);
    let node = Running::start(&debian);
    assert!(node.page("/livez").1 == "ok\n" && node.page("/readyz").1 == "ready\n");
    let checkpoint = node.checkpoint();
    assert!(
        checkpoint.starts_with("vitrail.example/optique\n1\n"),
        "{checkpoint}"
    );

    // What an operator has set stays, and so does the ledger.
    let mut settings = fs::read_to_string(debian.at(CONFIG)).unwrap();
    settings.push_str("cache_mib = 64\n");
    fs::write(debian.at(CONFIG), &settings).unwrap();
    debian.install(&new);
    let version = debian.run(&["dpkg-query", "--show", "vitrail-node"]);
    assert!(version.contains("0.1.1-1"), "{version}");
    assert_eq!(fs::read_to_string(debian.at(CONFIG)).unwrap(), settings);
    node.terminate();
    let node = Running::start(&debian);
    assert_eq!(node.checkpoint(), checkpoint);
    node.terminate();

    // Removed, purged, and there again: the ledger has waited.
    let _ = debian.run(&["dpkg", "--remove", "vitrail-node"]);
    assert!(!debian.at("/usr/bin/vitrail-node").exists() && debian.at(CONFIG).exists());
    let purged = debian.run(&["dpkg", "--purge", "vitrail-node"]);
    assert!(
        purged.contains("ledger and keys are kept in /var/lib/vitrail"),
        "{purged}"
    );
    assert!(!debian.at("/etc/vitrail").exists());
    debian.install(&new);
    let node = Running::start(&debian);
    assert_eq!(node.checkpoint(), checkpoint);
    node.terminate();

    // Only who says so loses it.
    fs::write(debian.at(STATE).join("delete-on-purge"), "").unwrap();
    let _ = debian.run(&["dpkg", "--purge", "vitrail-node"]);
    assert!(!debian.at(STATE).exists());
}

/// As an operator's builder does it, but for the build.
#[test]
fn a_package_is_built_with_its_bill_of_materials_beside_it() {
    for (tool, asked) in [("cargo-deb", "--version"), ("cargo-cyclonedx", "--help")] {
        if Command::new(tool).arg(asked).output().is_err() {
            println!("skipped: a package with its bill of materials: needs {tool} (cargo install)");
            return;
        }
    }
    let target = built();
    let package = target.path().join("vitrail.deb");
    let done = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/debian/build"
    ))
    .args(["client", "--no-build", "--fast", "--output"])
    .arg(&package)
    .env("CARGO_TARGET_DIR", target.path())
    .env("CARGO_NET_OFFLINE", "true")
    .output()
    .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let bill = package.with_extension("cdx.json");
    let expected = format!("{}\n{}\n", text(&package), text(&bill));
    assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
    assert!(package.exists());
    let bill = fs::read_to_string(bill).unwrap();
    assert!(bill.contains("\"bomFormat\": \"CycloneDX\"") && bill.contains("ed25519-dalek"));
}
