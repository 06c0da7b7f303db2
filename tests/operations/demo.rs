//! The demo, as a program reads it: what it counted is what it must be, its nodes leave no identity
//! behind, and none of them outlives it, even when it is killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tests::answers::answer;
use tests::binary::{scratch_folder, vitrail, vitrail_node};
use tests::bytes::Needles;
use tests::planted::{Planted, Word};
use tests::tapped::in_files;

/// How often it is looked whether processes are gone.
const POLL: Duration = Duration::from_millis(50);
/// How long they may take to go, on however busy a machine.
const GONE_MAX: Duration = Duration::from_secs(60);
/// Which part of a member's folder is the ledger's.
const DATA: &str = "data";

/// What the demo prints, as far as it is checked.
#[derive(Debug, Deserialize)]
struct Report {
    roster: PathBuf,
    receipts: Vec<PathBuf>,
    counts: Counts,
    leader_killed: String,
    leader_after: String,
    rebuilt: String,
}

#[derive(Debug, Deserialize)]
struct Counts {
    members: usize,
    quorum: usize,
    people: usize,
    claims: usize,
    refusals: usize,
    leader_kills: usize,
    claims_in_flight: usize,
    writes_back_ms: u64,
    rebuilt_entries: u64,
    rebuilt_cosigned_by: usize,
    receipts_verified: usize,
    looks_on_record: usize,
    entries_audited: u64,
    nodes_audited: usize,
}

/// A demo that has played its scenes, and stays up.
struct Demo {
    process: Child,
    /// Read no more, and kept open.
    _stdout: BufReader<ChildStdout>,
    report: Report,
}

impl Demo {
    fn play(dir: &Path) -> Self {
        let log = fs::File::create(dir.with_extension("log")).unwrap();
        let mut process = Command::new(vitrail_node())
            .args(["demo", "-o", "json", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said = || fs::read_to_string(dir.with_extension("log")).unwrap();
        let report = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", said()));
        let _ = answer(&["demo"], line.as_bytes());
        fs::write(dir.join("stdout"), &line).unwrap();
        Self {
            process,
            _stdout: stdout,
            report,
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes that were started for something in this folder, and live.
fn at_work_in(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|one| fs::read(one.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    let dir = dir.to_str().unwrap();
    lines.filter(|line| line.contains(dir)).collect()
}

fn counts_are_right(report: &Report) {
    let counts = &report.counts;
    assert_eq!((counts.members, counts.quorum, counts.people), (4, 3, 20));
    // Each person once, and the first one at the second shop again.
    assert_eq!((counts.claims, counts.refusals), (21, 1));
    assert_eq!(counts.leader_kills, 1);
    assert!(counts.claims_in_flight <= 6 && counts.writes_back_ms > 0);
    assert_ne!(report.leader_killed, report.leader_after);
    assert!(report.rebuilt.starts_with("mutuelle-"));
    assert!(counts.rebuilt_cosigned_by >= 3);
    assert!(counts.rebuilt_entries > 0 && counts.rebuilt_entries < counts.entries_audited);
    assert_eq!(counts.receipts_verified, report.receipts.len());
    // Shop 1 made a check for every second of the others, and the first.
    assert!(counts.looks_on_record >= 11);
    assert_eq!(counts.nodes_audited, 4);
}

/// A receipt from before the kill verifies with the roster file that the demo names.
fn receipts_verify(report: &Report) {
    let verified = vitrail()
        .args(["receipt", "verify"])
        .arg(&report.receipts[0])
        .arg("--roster")
        .arg(&report.roster)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");
}

/// The demo's tills run in its own process and know their customers: so what is searched is what
/// stays, every file of the four nodes, and all that was logged or printed for a program, beside
/// the demo's folder too.
fn nobody_is_left_behind(dir: &Path, around: &Path) {
    let people = node::demo::people().unwrap();
    let of = |figure: node::demo::Figure| Planted {
        nir: figure.card.nir[..13].to_owned(),
        birth_date: figure.card.birth_date,
        member_number: figure.card.member_number,
    };
    let words = people.into_iter().map(of).flat_map(|one| one.words());
    let mut wanted: Vec<Word> = words.collect();
    let origin = node::demo::ORIGIN;
    wanted.push((origin.to_owned(), origin.as_bytes().to_vec()));
    let needles = Needles::new(wanted);
    let is_of_nobody = |place: &Path| {
        let found = in_files(&needles, place);
        let is_searched = found.contains(origin);
        assert!(is_searched && found.len() == 1, "{found:?} in {place:?}");
    };
    for member in node::demo::MEMBERS {
        is_of_nobody(&dir.join(member).join(DATA));
    }
    is_of_nobody(around);
}

#[test]
fn the_demo_keeps_its_word_and_leaves_neither_an_identity_nor_a_process_behind() {
    let folder = scratch_folder();
    let dir = folder.path().join("demo");
    // Built before anything runs.
    let _ = vitrail();
    let mut demo = Demo::play(&dir);
    counts_are_right(&demo.report);
    receipts_verify(&demo.report);
    // The demo itself, and four nodes.
    assert_eq!(at_work_in(&dir).len(), 5);
    demo.process.kill().unwrap();
    demo.process.wait().unwrap();
    let since = Instant::now();
    loop {
        let left = at_work_in(&dir);
        if left.is_empty() {
            break;
        }
        assert!(since.elapsed() < GONE_MAX, "{left:?}");
        sleep(POLL);
    }
    nobody_is_left_behind(&dir, folder.path());
}
