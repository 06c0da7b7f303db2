//! Honest histories, and every accusation that can be put together from them.

use proptest::prelude::*;

use super::super::example::{History, access, cosigned, led};
use super::super::*;
use super::{later, term};
use crate::batch::BatchHeader;
use crate::ids::UnixMillis;
use crate::receipt::example::till;
use crate::roster::example::name;

/// What honest members signed in a history: checkpoints, some twice, and headers with those
/// before them, some of batches that were lost.
struct Signed {
    checkpoints: Vec<(usize, SignedCheckpoint)>,
    links: Vec<(usize, BatchLink)>,
    lost: Vec<BatchLink>,
}

impl Signed {
    fn of(history: &History) -> Self {
        let points = 0..=history.last();
        let renewed = |point: usize| {
            let (checkpoint, time) = (history.checkpoint(point), point as u64 * 10);
            [0, 5].map(|more| (point, cosigned(&checkpoint, &[0, 1], time + more)))
        };
        let leader = |point: usize| u8::try_from(term(point) % 2).unwrap();
        let by = |point: usize, led_by: u8, header: BatchHeader| BatchLink {
            leader: name(led_by),
            previous: history.header(point - 1, &term),
            header: led(header, led_by),
        };
        let links = points.clone().skip(1).map(|point| {
            (
                point,
                by(point, leader(point), history.header(point, &term)),
            )
        });
        // The leader of the term before had another batch for this place, which was lost.
        let lost = points.clone().skip(2).step_by(2).map(|point| {
            let mut other = history.clone();
            let size = history.points[point - 1].peaks.size().get();
            other.entries.truncate(usize::try_from(size).unwrap());
            other.points.truncate(point);
            other.resume();
            let at = history.points[point - 1].at;
            other.append(&access(99), &till(), at);
            other.seal(at);
            let mut header = other.header(point, &term);
            header.term = term(point - 1);
            by(point, leader(point - 1), header)
        });
        Self {
            checkpoints: points.clone().flat_map(renewed).collect(),
            links: links.collect(),
            lost: lost.collect(),
        }
    }

    /// Every accusation that can be put together from these.
    fn accusations(&self, history: &History) -> Vec<Evidence> {
        let mut all = Vec::new();
        for (first_at, first) in &self.checkpoints {
            for (second_at, second) in &self.checkpoints {
                all.extend(between_checkpoints(
                    history,
                    (*first_at, first),
                    (*second_at, second),
                ));
            }
        }
        let headers = || self.links.iter().map(|(_, link)| link).chain(&self.lost);
        for first in headers() {
            for second in headers() {
                all.push(Evidence::TwoHeaders {
                    leader: first.leader.clone(),
                    first: first.header.clone(),
                    second: second.header.clone(),
                });
            }
        }
        all.extend(headers().map(|batch| Evidence::BackDated {
            batch: batch.clone(),
            entry: None,
        }));
        for (point, batch) in &self.links {
            let size = batch.header.claimed().size.get();
            all.extend((0..size).map(|index| Evidence::BackDated {
                batch: batch.clone(),
                entry: Some(history.proved(index, *point)),
            }));
            let extension = Extension::Batch(batch.clone());
            all.extend(of_entries(history, &extension, Some(point - 1), *point));
        }
        all
    }
}

fn between_checkpoints(
    history: &History,
    (first_at, first): (usize, &SignedCheckpoint),
    (second_at, second): (usize, &SignedCheckpoint),
) -> Vec<Evidence> {
    let (a, b) = (first.clone(), second.clone());
    let mut all = vec![
        Evidence::Fork {
            first: a.clone(),
            second: b.clone(),
        },
        Evidence::Rollback {
            larger: a.clone(),
            smaller: b.clone(),
        },
    ];
    if first_at < second_at {
        let (begins_with, proof) = history.begins(first.claimed().size, second_at);
        all.push(Evidence::Rewritten {
            smaller: a.clone(),
            larger: b.clone(),
            begins_with,
            proof,
        });
        let extension = Extension::Checkpoints {
            before: a,
            after: b.clone(),
        };
        all.extend(of_entries(history, &extension, Some(first_at), second_at));
    }
    if first_at == 0 {
        let extension = Extension::Founding(b);
        all.extend(of_entries(history, &extension, None, second_at));
    }
    all
}

fn of_entries(
    history: &History,
    extension: &Extension,
    from: Option<usize>,
    to: usize,
) -> Vec<Evidence> {
    let appended = history.appended(from, to);
    let mut all = vec![Evidence::WrongMap {
        extension: extension.clone(),
        appended: appended.clone(),
    }];
    let size = |point: usize| history.points[point].peaks.size().get();
    for index in from.map_or(0, size)..size(to) {
        all.extend(
            [Reason::SlotReserved, Reason::SlotHeld].map(|reason| Evidence::Rule {
                extension: extension.clone(),
                appended: appended.clone(),
                index: LeafIndex::new(index),
                reason,
            }),
        );
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The property that matters: whatever honest members signed, and however it is put together,
    /// accuses none of them.
    #[test]
    fn an_honest_member_is_never_accused(
        batches in prop::collection::vec(
            (prop::collection::vec((0..3_u8, 0..4_u8, 0..4_usize), 0..5), 0..2_u64), 1..5),
    ) {
        let mut history = History::founded();
        for ((work, slow), number) in batches.into_iter().zip(1_u64..) {
            // A new leader's clock may be a little behind the one before, a till's two minutes off.
            let at = later(200_000 + number * 1_000 - slow * 59_000);
            for (kind, slot, off) in work {
                let off = [0, 1, 120_000, 240_000][off];
                history.work(kind, slot, UnixMillis::new(at.get() + off - 120_000));
            }
            history.seal(at);
        }
        let signed = Signed::of(&history);
        for evidence in signed.accusations(&history) {
            let verdict = evidence.verify(&history.roster, &mut |_| ());
            prop_assert!(verdict.is_err(), "{}: {verdict:?}", evidence.kind());
        }
    }
}
