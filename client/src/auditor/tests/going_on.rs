//! An audit that goes on from what an earlier one kept, judged by one that begins anew.

use std::path::Path;
use std::sync::Mutex;

use proto::evidence::Offence;

use super::check::Checks;
use super::*;
use crate::example::life;

/// Files that remember which of them were fetched.
struct Counted {
    files: HashMap<String, Vec<u8>>,
    fetched: Mutex<Vec<String>>,
}

impl LogSource for Counted {
    async fn fetch(&self, path: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        let path = path.to_owned();
        self.fetched.lock().unwrap().push(path.clone());
        let file = self.files.get(&path).cloned();
        file.ok_or(FetchError::NotFound { path })
    }
}

fn auditor_of(ledger: &Ledger) -> Auditor<Counted> {
    let source = Counted {
        files: ledger.files(),
        fetched: Mutex::default(),
    };
    Auditor::new(source, Ledger::new().roster)
}

/// A fresh audit that ends well.
async fn fresh(ledger: &Ledger) -> Course {
    let mut course = Course::default();
    let audited = auditor_of(ledger).go_on(&mut course, &mut |_| {}).await;
    audited.unwrap();
    course
}

/// The course once more, from a file.
fn through_a_file(course: &Course) -> Course {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    course.keep(&path).unwrap();
    kept(&path).unwrap().unwrap()
}

fn kept(path: &Path) -> Result<Option<Course>, KeptError> {
    Course::kept(path, Ledger::new().roster.origin())
}

/// Goes on over a ledger, having kept a course, and says what was fetched besides.
async fn go_on(course: &mut Course, ledger: &Ledger) -> (Result<Audit, AuditError>, Vec<String>) {
    let kept = course.checkpoint().unwrap().clone();
    let auditor = auditor_of(ledger).having_kept(&kept);
    let audited = auditor.go_on(course, &mut |_| {}).await;
    (audited, auditor.source.fetched.into_inner().unwrap())
}

/// Everything that does not depend on how many runs there were.
fn require_same(course: &Course, other: &Course) {
    assert_eq!(course.edge, other.edge);
    assert_eq!(course.replay.map, other.replay.map);
    assert_eq!(course.counts(), other.counts());
    assert_eq!(course.entry_bytes(), other.entry_bytes());
    assert_eq!(course.statistics(), other.statistics());
    let per_entry = [
        Check::Form,
        Check::Signature,
        Check::Rule,
        Check::Roster,
        Check::MapChange,
        Check::Leaf,
    ];
    for check in per_entry {
        let count = |course: &Course| course.checks().count(check);
        assert_eq!(count(course), count(other), "{check:?}");
    }
}

#[tokio::test]
async fn an_audit_that_was_kept_anywhere_ends_as_one_that_begins_anew() {
    let whole = Ledger::lived(life().len());
    let anew = fresh(&whole).await;
    let size = whole.entries.len() as u64;
    for entries in 0..=life().len() {
        let mut course = through_a_file(&fresh(&Ledger::lived(entries)).await);
        let from = course.size();
        let (audited, _) = go_on(&mut course, &whole).await;
        assert_eq!(audited.unwrap().checkpoint.size().get(), size, "{entries}");
        require_same(&course, &anew);
        let last = course.runs().last().unwrap();
        assert_eq!((last.from, last.to.get()), (from, size));
        assert_eq!(course.runs().len(), 2);
        require_same(&through_a_file(&course), &anew);
    }
    assert_eq!(anew.counts().len(), Kind::ALL.len());
}

#[tokio::test]
async fn what_a_rule_remembers_is_kept() {
    // Each is refused for something that only the entries before the kept course say.
    let mut reused = Ledger::lived(life().len());
    let header = reused.entries[13].header().clone();
    reused.append_entry(sign(&header, "till"), &claim(&[1], 3));
    let mut revoked = Ledger::lived(life().len());
    revoked.append("session", &claim(&[6], 3));
    let mut superseded = Ledger::lived(life().len());
    superseded.append("till", &claim(&[7], 1));
    for (ledger, reason) in [
        (reused, Reason::RequestReused),
        (revoked, Reason::GrantRevoked),
        (superseded, Reason::ReferenceUnfit),
    ] {
        let mut course = through_a_file(&fresh(&Ledger::lived(life().len())).await);
        let kept = course.replay.append_last(&ledger);
        assert_eq!(kept, Err(EntryFailure::Rule(reason)));
        assert_eq!(last_fails(&ledger).await, reason);
    }
}

impl replay::Replay {
    /// What the rules say of the last entry of a ledger.
    fn append_last(&mut self, ledger: &Ledger) -> Result<(), EntryFailure> {
        let entry = ledger.entries.last().unwrap().clone();
        let entry = entry.verify(ledger.roster.origin()).unwrap();
        let says = Attestation::read(entry.header()).unwrap();
        self.append(&entry, &says)
    }
}

#[tokio::test]
async fn only_what_is_new_is_fetched() {
    let grown = |entries: u32| {
        let mut ledger = Ledger::furnished();
        for key in 0..entries {
            ledger.append("amc", &coverage(u8::try_from(key % 200).unwrap()));
        }
        ledger
    };
    // 606 entries, then 1,006: the bundle in which the first audit ended, and those after it.
    let mut course = fresh(&grown(600)).await;
    let later = grown(1_000);
    let (audited, fetched) = go_on(&mut course, &later).await;
    audited.unwrap();
    let bundles: Vec<_> = fetched
        .iter()
        .filter(|path| path.contains("entries"))
        .collect();
    assert_eq!(bundles, ["tile/entries/002", "tile/entries/003.p/238"]);
    require_same(&course, &fresh(&later).await);
    // Nothing new: no entry is read, the tiles at the edge are compared again.
    let (audited, fetched) = go_on(&mut course, &later).await;
    audited.unwrap();
    assert_eq!(
        fetched,
        ["checkpoint", "tile/0/003.p/238", "tile/1/000.p/3"]
    );
    assert_eq!(course.runs().len(), 3);
}

#[tokio::test]
async fn a_log_that_does_not_go_on_from_what_was_kept_is_shown_as_that() {
    let before = Ledger::furnished();
    let mut forked = Ledger::furnished();
    forked.entries.pop();
    // Under the map that was kept a rule would refuse it: that is not what is wrong.
    forked.append("till", &release(&[1, 2], 4));
    for entries in [0, 1, 300] {
        let mut ledger = Ledger::furnished();
        ledger.entries.clone_from(&forked.entries);
        ledger.map.clone_from(&forked.map);
        for key in 0..entries {
            ledger.append("amc", &coverage(u8::try_from(key % 200).unwrap()));
        }
        let mut course = fresh(&before).await;
        let kept = course.checkpoint().unwrap().clone();
        let auditor = auditor_of(&ledger).having_kept(&kept);
        let failed = auditor.go_on(&mut course, &mut |_| {}).await.unwrap_err();
        let size = TreeSize::new(6);
        assert_eq!(failed, AuditError::Fork { size }, "{entries}");
        let evidence = auditor.evidence(&failed).await.unwrap().unwrap();
        let verdict = evidence.verify(auditor.roster(), &mut |_| {}).unwrap();
        assert!(matches!(
            verdict.offence,
            Offence::Fork { .. } | Offence::Rewritten { .. }
        ));
        assert_eq!(verdict.members.len(), 4);
    }
    let mut course = fresh(&before).await;
    let (cut, _) = go_on(&mut course, &Ledger::new()).await;
    assert!(matches!(cut, Err(AuditError::Rollback { .. })));
}

#[tokio::test]
async fn what_fails_after_a_kept_course_fails_as_it_does_anew() {
    let mut wrong = Ledger::lived(3);
    wrong.append("till", &claim(&[1], 3));
    let anew = audit(&wrong).await.unwrap_err();
    let mut course = fresh(&Ledger::lived(2)).await;
    let (gone_on, _) = go_on(&mut course, &wrong).await;
    assert_eq!(gone_on.unwrap_err(), anew);
    assert_eq!(anew.check(), Some(Check::Rule));
    assert_eq!(course.checks().count(Check::Rule), 9);
}

#[tokio::test]
async fn a_course_that_is_ahead_of_what_was_seen_elsewhere_is_begun_anew() {
    let early = Ledger::furnished().checkpoint();
    let ledger = Ledger::lived(4);
    let mut course = fresh(&ledger).await;
    let auditor = auditor_of(&ledger).having_kept(&early);
    auditor.go_on(&mut course, &mut |_| {}).await.unwrap();
    assert_eq!(course.runs().len(), 1);
    assert_eq!(course.checks().count(Check::Earlier), 1);
}

#[tokio::test]
async fn a_kept_file_that_is_damaged_cut_or_another_ledgers_is_not_gone_on_from() {
    let course = fresh(&Ledger::lived(life().len())).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    assert!(matches!(kept(&path), Ok(None)));
    course.keep(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for place in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        assert!(kept(&path).is_err(), "byte {place}");
        std::fs::write(&path, &bytes[..place]).unwrap();
        assert!(kept(&path).is_err(), "cut at {place}");
    }
    std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    assert!(kept(&path).is_err());
    std::fs::write(&path, &bytes).unwrap();
    assert!(kept(&path).unwrap().is_some());
    let other = "vitrail.example/audio".parse().unwrap();
    let others = Course::kept(&path, &other);
    assert!(matches!(others, Err(KeptError::OtherLedger)));
}

#[tokio::test]
async fn a_kept_map_that_no_quorum_cosigned_is_noticed() {
    // Whoever can write the file can make its check fit; the roots are what others signed.
    let mut course = fresh(&Ledger::furnished()).await;
    course.replay.map.remove(&catalogue_place());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    course.keep(&path).unwrap();
    let unfit = kept(&path).unwrap_err();
    assert!(
        matches!(unfit, KeptError::Unfit { what: "map root" }),
        "{unfit}"
    );
    assert_eq!(Checks::default().count(Check::Form), 0);
}

#[tokio::test]
async fn a_course_that_has_not_ended_is_not_kept_and_the_file_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fresh(&Ledger::furnished()).await.keep(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let mut wrong = Ledger::furnished();
    wrong.append("till", &claim(&[1], 3));
    let mut course = kept(&path).unwrap().unwrap();
    let (failed, _) = go_on(&mut course, &wrong).await;
    assert!(failed.is_err());
    assert!(course.keep(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
