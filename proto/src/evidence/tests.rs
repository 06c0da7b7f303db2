mod honest;

use super::example::{BEGIN, History, access, claim, cosigned, led};
use super::*;
use crate::attestation::ORDER_SKEW_MS_MAX;
use crate::batch::BatchHeader;
use crate::checkpoint::Checkpoint;
use crate::ids::UnixMillis;
use crate::map::MapIndex;
use crate::merkle;
use crate::receipt::example::till;
use crate::roster::example::{federation, name, parts};

fn later(milliseconds: u64) -> UnixMillis {
    UnixMillis::new(BEGIN.get() + milliseconds)
}

/// Four batches after the founding: claims, a coverage, a delivery, and the release of a slot whose
/// neighbours in the map then move up.
fn history() -> History {
    let mut history = History::founded();
    for (batch, work) in [
        &[(0, 1), (1, 1), (1, 2), (1, 3)][..],
        &[(1, 1), (0, 2)],
        &[(2, 2), (2, 3), (1, 4)],
        &[(2, 9), (1, 2)],
    ]
    .into_iter()
    .enumerate()
    {
        let at = later(1_000 * (batch as u64 + 1));
        for (kind, slot) in work {
            history.work(*kind, *slot, at);
        }
        history.seal(at);
    }
    history
}

/// Two batches a term.
fn term(point: usize) -> u64 {
    point as u64 / 2 + 1
}

fn link(history: &History, point: usize, lie: impl FnOnce(&mut BatchHeader)) -> BatchLink {
    let mut header = history.header(point, &term);
    lie(&mut header);
    BatchLink {
        leader: name(1),
        previous: history.header(point - 1, &term),
        header: led(header, 1),
    }
}

/// A file, what it shows of whom, and whether two quorums say it.
type Lie = (Evidence, Offence, Vec<u8>, bool);

/// One of each kind at least.
fn liars() -> Vec<Lie> {
    let history = history();
    let mut all = Vec::from(two_states(&history));
    all.extend(another_log(&history));
    all.extend(wrong_maps(&history));
    all.extend(of_leaders(&history));
    all.extend(broken_rules(&history));
    all.extend(back_dated_entry(&history));
    all
}

/// The last checkpoint with another map root.
fn forked(history: &History) -> Checkpoint {
    Checkpoint {
        map_root: Hash::from_bytes([9; 32]),
        ..history.checkpoint(4)
    }
}

fn two_states(history: &History) -> [Lie; 3] {
    let (early, late) = (history.checkpoint(1), history.checkpoint(4));
    let (size, smaller) = (late.size, early.size);
    let fork = |by: &[u8]| Evidence::Fork {
        first: cosigned(&late, &[0, 1, 2], 10),
        second: cosigned(&forked(history), by, 10),
    };
    let back = Evidence::Rollback {
        larger: cosigned(&late, &[0, 1, 2], 10),
        smaller: cosigned(&early, &[1], 11),
    };
    [
        (fork(&[2, 3]), Offence::Fork { size }, vec![2], false),
        (fork(&[1, 2, 3]), Offence::Fork { size }, vec![1, 2], true),
        (back, Offence::Rollback { size, smaller }, vec![1], false),
    ]
}

fn another_log(history: &History) -> [Lie; 1] {
    let mut other = History::founded();
    for number in 0..12 {
        other.append(&access(number), &till(), BEGIN);
    }
    other.seal(later(1));
    let (smaller, larger) = (history.checkpoint(1), other.checkpoint(1));
    let (from, to) = (smaller.size, larger.size);
    let (begins_with, proof) = other.begins(from, 1);
    let rewritten = Evidence::Rewritten {
        smaller: cosigned(&smaller, &[0, 1], 1),
        larger: cosigned(&larger, &[1, 2], 2),
        begins_with,
        proof,
    };
    [(rewritten, Offence::Rewritten { from, to }, vec![1], false)]
}

fn wrong_maps(history: &History) -> [Lie; 3] {
    let early = history.checkpoint(1);
    let of = |extension, from, to| Evidence::WrongMap {
        extension,
        appended: history.appended(from, to),
    };
    let batch = Extension::Batch(link(history, 3, |header| {
        header.map_root = Hash::from_bytes([9; 32]);
    }));
    let checkpoints = Extension::Checkpoints {
        before: cosigned(&early, &[0, 1, 2], 1),
        after: cosigned(&forked(history), &[0, 2, 3], 1),
    };
    let founding = Extension::Founding(cosigned(&forked(history), &[3], 1));
    let wrong = |point| Offence::WrongMap {
        size: history.checkpoint(point).size,
    };
    [
        (of(batch, Some(2), 3), wrong(3), vec![1], false),
        (of(checkpoints, Some(1), 4), wrong(4), vec![0, 2], true),
        (of(founding, None, 4), wrong(4), vec![3], false),
    ]
}

fn of_leaders(history: &History) -> [Lie; 3] {
    let (term, number) = (3, 5);
    let two = Evidence::TwoHeaders {
        leader: name(1),
        first: link(history, 4, |_| ()).header,
        second: link(history, 4, |header| header.at = later(4_001)).header,
    };
    let before_the_last = Evidence::BackDated {
        batch: link(history, 4, |header| {
            header.at = UnixMillis::new(later(3_000).get() - BACK_DATING_MS_MAX - 1);
        }),
        entry: None,
    };
    let index = history.entries.len() as u64 - 1;
    let far_from_its_entry = Evidence::BackDated {
        batch: link(history, 4, |header| header.at = later(124_001)),
        entry: Some(history.proved(index, 4)),
    };
    let dated = Offence::BackDated { term, number };
    [
        (two, Offence::TwoHeaders { term, number }, vec![1], false),
        (before_the_last, dated, vec![1], false),
        (far_from_its_entry, dated, vec![1], false),
    ]
}

/// Slot 1 is held, slot 4 reserved, and both are claimed again.
fn broken_rules(history: &History) -> [Lie; 2] {
    let (mut double, at) = (history.clone(), later(5_000));
    for slots in [&[1, 7][..], &[4]] {
        double.append(&claim(slots, at), &till(), at);
    }
    double.append(&access(1), &till(), at);
    double.seal(at);
    let of = |extension, index, reason| {
        let rule = Evidence::Rule {
            extension,
            appended: double.appended(Some(4), 5),
            index,
            reason,
        };
        (rule, Offence::Rule { index, reason })
    };
    let checkpoints = Extension::Checkpoints {
        before: cosigned(&history.checkpoint(4), &[0, 1], 1),
        after: cosigned(&double.checkpoint(5), &[0, 3], 1),
    };
    let batch = Extension::Batch(link(&double, 5, |_| ()));
    let first = history.entries.len() as u64;
    let held = of(checkpoints, LeafIndex::new(first), Reason::SlotHeld);
    let reserved = of(batch, LeafIndex::new(first + 1), Reason::SlotReserved);
    [
        (held.0, held.1, vec![0], false),
        (reserved.0, reserved.1, vec![1], false),
    ]
}

/// The last entry was issued so much before the one that it stands behind.
fn issued_before(history: &History, milliseconds: u64) -> Evidence {
    let (mut history, at) = (history.clone(), later(500_000));
    history.append(&access(1), &till(), at);
    let long_ago = UnixMillis::new(at.get() - milliseconds);
    history.append(&access(2), &till(), long_ago);
    history.seal(at);
    Evidence::Rule {
        extension: Extension::Batch(link(&history, 5, |_| ())),
        appended: history.appended(Some(4), 5),
        index: LeafIndex::new(history.entries.len() as u64 - 1),
        reason: Reason::ClockSkew,
    }
}

fn back_dated_entry(history: &History) -> [Lie; 1] {
    let (index, reason) = (
        LeafIndex::new(history.entries.len() as u64 + 1),
        Reason::ClockSkew,
    );
    let late = issued_before(history, ORDER_SKEW_MS_MAX + 1);
    [(late, Offence::Rule { index, reason }, vec![1], false)]
}

#[test]
fn each_lie_is_shown_by_a_file_that_names_who_told_it() {
    let roster = federation(4, 0);
    for (evidence, offence, by, certified) in liars() {
        let mut passed = Vec::new();
        let text = evidence.to_text();
        let verdict = Evidence::verify_text(&text, &roster, &mut |step| passed.push(step));
        let want = Verdict {
            offence,
            members: by.into_iter().map(name).collect(),
            certified,
        };
        assert_eq!(verdict, Ok(want), "{}", evidence.kind());
        assert_eq!(evidence.kind(), offence.as_str());
        let steps = [
            Step::Format,
            Step::Signatures,
            Step::Proofs,
            Step::Contradiction,
        ];
        assert_eq!(passed, steps);
        assert_eq!(Evidence::parse(&text), Ok(evidence));
        assert!(!offence.english().is_empty() && offence.french().ends_with('.'));
    }
}

/// The leaf hash of each file of [`liars`], in their order: whoever changes a byte of the format
/// gives it another title.
const GOLDEN: [&str; 13] = [
    "P+MRUo/IFu+K8D5CzctTlXTOe8MNS5bD2U++9X6xU34=",
    "Wg3V0o62Xl1wB756mEa1ZXWVGR+AG4QJxnwtIvcPgrw=",
    "MARTWCESnRBWmiIuSOkExSOGyw+bLPO+f3ckz0BwTRo=",
    "zXni0Kt0bUAHKPxu8b0KL9jNqcQvDpuE9ejXD22ys8o=",
    "dcCOfWt+QPqp5GnvY4PgPQNxKbucCXH8WFfdal4uIAA=",
    "Z/pOefMNGRRfPJtz4UIg3entqIA89852r06G7k+WE0o=",
    "e4Up2EPmFkKnAYw0WhWqnzPMB+QsvMqy8XEloU4kvp4=",
    "U4/dHU3cL0qv/eAZcXOQhufQOckqWrcuiXMY4JidmcE=",
    "YAnChUQPVziNpDY3p/5NZI8kMiVffS4fT+LbX5ntp7o=",
    "QWpp6tYMKmbV8udZykUpzSaBoLWzYHaw2gHnF/efIMo=",
    "Ziv+J7z5LqMzYWU8xJKiQJMGjF/0s40pmx7DoeRGjlo=",
    "SKhIu3FDq0Zj8ny324S+JoZdE73X1etdYQ++XD6I5Mw=",
    "bgWgwG8RJ0z0qzDdpt6/VV2KZhQ81psVr5bL1igzjng=",
];

#[test]
fn the_files_have_these_bytes() {
    let hashes = liars()
        .into_iter()
        .map(|(evidence, ..)| merkle::leaf(evidence.to_text().as_bytes()).to_base64());
    assert_eq!(hashes.collect::<Vec<_>>(), GOLDEN);
}

#[test]
fn no_byte_of_a_file_can_change_and_no_other_roster_reads_it() {
    let roster = federation(4, 0);
    let mut others = parts(4, 0);
    for (member, other) in others.members.iter_mut().zip(10_u8..) {
        member.public_key = crate::roster::example::secret(other).public();
    }
    let others = Roster::new(others).unwrap();
    let mut elsewhere = parts(4, 0);
    elsewhere.origin = "vitrail.example/audio".parse().unwrap();
    let elsewhere = Roster::new(elsewhere).unwrap();
    let verify = |bytes: &[u8], roster: &Roster| {
        let text = std::str::from_utf8(bytes).ok()?;
        Evidence::verify_text(text, roster, &mut |_| ()).ok()
    };
    for (evidence, ..) in liars() {
        let bytes = evidence.to_text().into_bytes();
        assert!(verify(&bytes, &roster).is_some());
        assert!(verify(&bytes, &others).is_none());
        assert!(verify(&bytes, &elsewhere).is_none());
        for (place, flip) in (0..bytes.len())
            .step_by(11)
            .zip([0x01, 0x20, 0x02].into_iter().cycle())
        {
            let mut bytes = bytes.clone();
            bytes[place] ^= flip;
            let kind = evidence.kind();
            assert!(verify(&bytes, &roster).is_none(), "{kind}: {place} {flip}");
        }
        assert!(verify(&bytes[..bytes.len() - 1], &roster).is_none());
        assert!(verify(&[&bytes[..], b"\n"].concat(), &roster).is_none());
    }
}

fn refused(evidence: &Evidence) -> EvidenceError {
    let roster = federation(4, 0);
    evidence.verify(&roster, &mut |_| ()).unwrap_err()
}

#[test]
fn what_two_members_say_accuses_neither() {
    let history = history();
    let (early, late) = (history.checkpoint(1), history.checkpoint(4));
    let mut forked = late.clone();
    forked.log_root = Hash::from_bytes([9; 32]);
    let fork = Evidence::Fork {
        first: cosigned(&late, &[0, 1], 1),
        second: cosigned(&forked, &[2, 3], 1),
    };
    assert_eq!(refused(&fork), EvidenceError::NobodySignedBoth);
    let back = Evidence::Rollback {
        larger: cosigned(&late, &[0], 10),
        smaller: cosigned(&early, &[1], 11),
    };
    assert_eq!(refused(&back), EvidenceError::NobodySignedBoth);
    // Cosigned by both, and by nobody later.
    let old = Evidence::Rollback {
        larger: cosigned(&late, &[0, 1], 10),
        smaller: cosigned(&early, &[0, 1], 10),
    };
    assert_eq!(refused(&old), EvidenceError::NobodySignedBoth);
    // A liar's map, continued by an honest member.
    let mut lied = early;
    lied.map_root = Hash::from_bytes([8; 32]);
    let framed = Evidence::WrongMap {
        extension: Extension::Checkpoints {
            before: cosigned(&lied, &[0], 1),
            after: cosigned(&late, &[1, 2, 3], 1),
        },
        appended: history.appended(Some(1), 4),
    };
    assert_eq!(refused(&framed), EvidenceError::NobodySignedBoth);
}

#[test]
fn a_file_of_less_or_more_than_the_batch_shows_nothing() {
    let history = history();
    let wrong = |appended: Appended| Evidence::WrongMap {
        extension: Extension::Batch(link(&history, 3, |header| {
            header.map_root = Hash::from_bytes([9; 32]);
        })),
        appended,
    };
    let good = history.appended(Some(2), 3);
    let mut short = good.clone();
    short.entries.pop();
    assert_eq!(refused(&wrong(short)), EvidenceError::OtherLogAfter);
    let mut twice = good.clone();
    twice.entries.push(twice.entries[0].clone());
    assert_eq!(refused(&wrong(twice)), EvidenceError::OtherLogAfter);
    let mut peaks = good.clone();
    peaks.peaks[0] = Hash::from_bytes([1; 32]);
    assert_eq!(refused(&wrong(peaks)), EvidenceError::OtherLogBefore);
    for index in good.states.keys() {
        let mut blind = good.clone();
        blind.states.remove(index);
        assert_eq!(refused(&wrong(blind)), EvidenceError::StateMissing);
    }
    let mut more = good.clone();
    let nobody = MapIndex::from_bytes([77; 32]);
    more.states.insert(nobody, history.state(2, &nobody));
    assert_eq!(refused(&wrong(more)), EvidenceError::StateNotCalledFor);
    let mut foreign = good.clone();
    for (index, proof) in &mut foreign.states {
        *proof = history.state(1, index);
    }
    assert!(matches!(
        refused(&wrong(foreign)),
        EvidenceError::MapProof(_)
    ));
}

#[test]
fn the_tolerance_of_clocks_accuses_nobody_to_the_millisecond() {
    let history = history();
    let index = history.points[4].peaks.size().get() - 1;
    let dated = |at: u64, entry| Evidence::BackDated {
        batch: link(&history, 4, |header| header.at = UnixMillis::new(at)),
        entry,
    };
    let earliest = later(3_000).get() - BACK_DATING_MS_MAX;
    let honest = |evidence| {
        assert!(matches!(
            refused(&evidence),
            EvidenceError::NoContradiction(_)
        ));
    };
    honest(dated(earliest, None));
    honest(dated(
        later(4_000 + 120_000).get(),
        Some(history.proved(index, 4)),
    ));
    honest(dated(
        later(4_000).get() - 120_000,
        Some(history.proved(index, 4)),
    ));
    let other_batch = dated(later(900_000).get(), Some(history.proved(index - 3, 4)));
    assert!(matches!(
        refused(&other_batch),
        EvidenceError::OtherBatch { .. }
    ));
}

#[test]
fn a_rule_that_takes_the_log_is_said_to_take_it() {
    let history = history();
    let index = LeafIndex::new(history.entries.len() as u64 - 1);
    let rule = |index, reason| Evidence::Rule {
        extension: Extension::Batch(link(&history, 4, |_| ())),
        appended: history.appended(Some(3), 4),
        index,
        reason,
    };
    let reason = Reason::GrantRevoked;
    let needs = EvidenceError::NeedsTheLog { index, reason };
    assert_eq!(refused(&rule(index, reason)), needs);
    let admitted = rule(index, Reason::SlotReserved);
    assert!(matches!(
        refused(&admitted),
        EvidenceError::NoContradiction(_)
    ));
    let on_time = issued_before(&history, ORDER_SKEW_MS_MAX);
    let error = refused(&on_time);
    assert!(matches!(error, EvidenceError::NeedsTheLog { .. }));
    let outside = LeafIndex::new(1);
    let error = refused(&rule(outside, reason));
    assert_eq!(error, EvidenceError::NotAppended { index: outside });
}

#[test]
fn files_that_are_none_are_refused_by_their_line() {
    let line = |text: &str| match Evidence::parse(text) {
        Err(EvidenceError::Line { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    for (text, at) in [
        ("", 1),
        ("vitrail evidence v1\nkind fork\n", 1),
        ("vitrail evidence v2\n", 2),
        ("vitrail evidence v2\nkind gossip\n", 2),
        ("vitrail evidence v2\nkind fork\n", 3),
        ("vitrail evidence v2\nkind fork\n\n", 3),
        ("vitrail evidence v2\nkind rewritten\nbegins-with x\n", 3),
        ("vitrail evidence v2\nkind two-headers\nleader \n", 3),
        ("vitrail evidence v2\nkind rule\nreason NO\n", 3),
    ] {
        assert_eq!(line(text), at, "{text:?}");
    }
    let long = " ".repeat(EVIDENCE_BYTES_MAX + 1);
    assert!(matches!(
        Evidence::parse(&long),
        Err(EvidenceError::TooLong { .. })
    ));
    // A leading zero is another spelling of the same number.
    let rule = liars().pop().unwrap().0.to_text();
    let zero = rule.replacen("index ", "index 0", 1);
    assert!(matches!(
        Evidence::parse(&zero),
        Err(EvidenceError::Line { .. })
    ));
}
