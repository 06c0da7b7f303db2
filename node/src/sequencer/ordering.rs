//! The way of a batch through the federation, as one member sees it.
//!
//! ```text
//! leader:       collect -> decide -> grow -> sign header -> propose -> write salts ahead
//! every member: check -> write salts ahead -> (ordered) -> lock -> cosign -> gather a quorum
//!               -> commit -> publish
//! leader:       answer
//! ```
//!
//! Until a quorum has cosigned it a batch is in memory and in the engine's log, and nowhere else:
//! the ledger holds what is certified. On the disk of a member that votes alone it may be moments
//! behind, since the log has what it lacks. A member checks a batch when it arrives, before its
//! engine takes it, so that a batch with a lie in it is not ordered by honest members at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::batch::{BatchHeader, SignedHeader, content_hash};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::MemberName;
use proto::roster::Roster;
use proto::wire::batch::{BatchRecord, record_bytes};
use tokio::sync::oneshot;

use super::checking::{BatchFault, Chain, Prepared, appended, check};
use super::steps::{Failure, grow, write_salts};
use super::worker::{Worker, refuse_all};
use super::{Condition, Control, Decided, StopReason, Unavailable, Waiting};
use crate::clock;
use crate::engine::Applied;
use crate::ledger::{Batch, RequestKey, Verdict, View as _, decide};
use crate::snapshot::Snapshot;
use crate::store::SignedLock;

/// How far the moment of a new batch may be from this node's clock, either way. It bounds by how
/// much a leader can date a batch before a revocation, or after the end of a coverage.
pub const BATCH_SKEW_MS_MAX: u64 = 60_000;

/// A record that has its place in the order.
#[derive(Debug)]
pub struct Ordered {
    /// Its bytes.
    pub record: Bytes,
    /// How far the engine is once it is applied; stored with the batch.
    pub place: Applied,
    /// Told once the batch is certified and in the ledger, or why it never will be.
    pub done: oneshot::Sender<Result<Certified, BatchFault>>,
}

/// When a batch that is ordered was certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certified {
    /// Now: the place of the engine came to the ledger with it.
    Now,
    /// Before: the ledger had it already.
    Before,
}

/// A record that a leader wants this member's engine to take.
#[derive(Debug)]
pub struct Checking {
    /// Its bytes.
    pub record: Bytes,
    /// The term of its place in the order.
    pub term: u64,
    /// The term of the leader that hands it over.
    pub led_in: u64,
    /// Told what this member thinks of it.
    pub answer: oneshot::Sender<Result<Opinion, BatchFault>>,
}

/// What a member thinks of a record before its engine takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// It follows, and this member would cosign it.
    Sound,
    /// This member has it already.
    Held,
    /// This member is behind, and will look when its turn comes.
    Later,
}

/// Something that was made for one record.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) record: Bytes,
    pub(super) made: T,
}

/// The own proposal on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) held: Held<Prepared>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) prepared_in: Duration,
}

/// An ordered batch that does not follow what is held, until pages bring it.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) header: SignedHeader,
    pub(super) done: oneshot::Sender<Result<Certified, BatchFault>>,
}

/// An ordered batch that waits for a quorum.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) prepared: Prepared,
    pub(super) checkpoint: Checkpoint,
    pub(super) place: Applied,
    pub(super) done: oneshot::Sender<Result<Certified, BatchFault>>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) prepared_in: Duration,
    /// Whether this member is the only one that votes: the engine's log is then its lock.
    pub(super) alone: bool,
}

impl Worker {
    /// Decides what is waiting and hands it to the engine; what was answered before is answered
    /// again at once.
    pub(super) fn propose(&mut self, term: u64, waiting: Vec<Waiting>) {
        let before = self.shared.snapshot();
        let (waiting, repeats) = apart(waiting, &before);
        for (waiting, verdict) in repeats {
            answer_one(waiting, verdict, &before);
        }
        if waiting.is_empty() {
            return;
        }
        let started = Instant::now();
        match self.prepare(term, &waiting, &before) {
            Ok((record, prepared)) => {
                let header = prepared.header.claimed().hash();
                self.flight = Some(Flight {
                    held: Held {
                        record: record.clone(),
                        made: prepared,
                    },
                    waiting,
                    prepared_in: started.elapsed(),
                });
                self.hand_over(term, record, header);
                self.write_ahead(self.flight.as_ref().map(|flight| &flight.held));
            }
            Err(failure) => {
                self.fail(&failure);
                refuse_all(waiting, Unavailable::Stopped(failure.stop_reason()));
            }
        }
    }

    fn prepare(
        &self,
        term: u64,
        waiting: &[Waiting],
        before: &Snapshot,
    ) -> Result<(Bytes, Prepared), Failure> {
        if !self.store.has_room() {
            return Err(Failure::NoRoom);
        }
        // The moment never goes back, whatever the clock does: dates decided once stay decided.
        let at = self.chain.at.max(clock::now());
        let entries: Vec<_> = waiting.iter().map(|it| it.entry.clone()).collect();
        let content = content_hash(entries.iter().map(|entry| &**entry));
        let (commit, verdicts) = decide(before, &Batch { at, entries })?;
        let grown = grow(before, &commit, &self.store)?;
        let header = self.chain.next(term, at, content, &grown);
        let header = header.sign(before.roster().origin(), self.witness.secret());
        let entries = waiting.iter().map(|it| (&*it.entry, it.payload.as_ref()));
        let leader = self.witness.name();
        let record = record_bytes(&header, leader, entries, before.checkpoint_text());
        let payloads = waiting.iter().map(|it| it.payload.clone()).collect();
        let prepared = Prepared {
            payloads: appended(payloads, &verdicts),
            header,
            commit,
            verdicts,
            grown,
        };
        Ok((record.into(), prepared))
    }

    fn hand_over(&mut self, term: u64, record: Bytes, header: Hash) {
        let Some(orderer) = &self.orderer else {
            return self.lost(header);
        };
        let own = self.own.clone();
        let lost = move || {
            if let Some(own) = own.upgrade() {
                // A full queue is worked off; a worker that has ended needs no telling.
                tokio::spawn(async move { own.send(Control::Lost(header)).await });
            }
        };
        orderer.propose(term, record, Box::new(lost));
    }

    /// The own proposal was not ordered, as far as this node knows.
    pub(super) fn lost(&mut self, header: Hash) {
        let is_it = |flight: &mut Flight| flight.held.made.header.claimed().hash() == header;
        if let Some(flight) = self.flight.take_if(is_it) {
            refuse_all(flight.waiting, Unavailable::NotLeading);
        }
    }

    /// What the gate asks before the engine takes a record.
    pub(super) fn check_ahead(&mut self, checking: Checking) {
        let record = match BatchRecord::from_bytes(&checking.record) {
            Ok(record) => record,
            Err(error) => {
                let _ = checking.answer.send(Err(BatchFault::Malformed(error)));
                return;
            }
        };
        if record.header.claimed().term != checking.term {
            let _ = checking.answer.send(Err(BatchFault::Term));
            return;
        }
        // The batch before may wait for nothing but the certificate that this one brings.
        self.gathering.bring(record.before.clone());
        self.certify();
        let number = record.header.claimed().number;
        if self.pending.is_some() && Some(number) == self.chain.number.checked_add(2) {
            self.asked = Some(checking);
            return;
        }
        let opinion = self.opinion(record, &checking);
        let is_sound = opinion.as_ref().is_ok_and(|it| *it == Opinion::Sound);
        let _ = checking.answer.send(opinion);
        if is_sound {
            self.write_ahead(self.checked.as_ref());
        }
    }

    /// While the engine makes a record durable, this thread does the same for its salts. What fails
    /// here fails again when the batch is committed, which says so.
    fn write_ahead(&self, held: Option<&Held<Prepared>>) {
        let Some(Held { made, .. }) = held else {
            return;
        };
        let first = self.shared.snapshot().size().next_index();
        if let Err(error) = write_salts(&self.store, first, made) {
            tracing::warn!(%error, "salts are not written ahead of their batch");
        }
    }

    fn opinion(&mut self, record: BatchRecord, asked: &Checking) -> Result<Opinion, BatchFault> {
        let header = *record.header.claimed();
        let is_it = |held: &Held<Prepared>| held.record == asked.record;
        if self.checked.as_ref().is_some_and(is_it) {
            return Ok(Opinion::Sound);
        }
        self.require_one_header(&record)?;
        if self.holds(&header) {
            return Ok(Opinion::Held);
        }
        if self.pending.is_some() || header.number.saturating_sub(1) > self.chain.number {
            return Ok(Opinion::Later);
        }
        self.require_timely(&header, asked.led_in)?;
        let leader = record.leader.clone();
        let made = self.check(record)?;
        self.sound = Some((leader, made.header.clone()));
        self.checked = Some(Held {
            record: asked.record.clone(),
            made,
        });
        Ok(Opinion::Sound)
    }

    /// A leader signs one header for a place in its term. This node remembers the newest one that
    /// it has found sound.
    fn require_one_header(&self, record: &BatchRecord) -> Result<(), BatchFault> {
        let Some((leader, other)) = &self.sound else {
            return Ok(());
        };
        if *leader != record.leader || !record.header.contradicts(other) {
            return Ok(());
        }
        let snapshot = self.shared.snapshot();
        let roster = snapshot.roster();
        let key = roster.member(leader).map(|member| member.public_key);
        let signed = key.map(|key| record.header.verify(roster.origin(), &key));
        match signed {
            Some(Ok(_)) => Err(BatchFault::TwoHeaders {
                other: Box::new(other.clone()),
            }),
            Some(Err(error)) => Err(error.into()),
            None => Err(BatchFault::NotAVoter),
        }
    }

    /// A new batch is dated about now. An old one that a quorum has vouched for since is history;
    /// one of an earlier term than its leader's has waited for a majority. It is at least not
    /// dated before the batch that it extends.
    fn require_timely(&self, header: &BatchHeader, led_in: u64) -> Result<(), BatchFault> {
        let apart = header.at.get().abs_diff(clock::now().get());
        let is_history = self.gathering.vouched() >= header.size
            || header.term < led_in && header.at <= clock::now();
        (apart <= BATCH_SKEW_MS_MAX || is_history)
            .then_some(())
            .ok_or(BatchFault::Dated)
    }

    fn check(&self, record: BatchRecord) -> Result<Prepared, BatchFault> {
        let before = self.shared.snapshot();
        let leader = before.roster().member(&record.leader);
        let leader = leader.filter(|member| member.is_voting());
        let leader = leader.ok_or(BatchFault::NotAVoter)?.public_key;
        check(record, &leader, &self.chain, &before, &self.store)
    }

    /// Whether a batch is in this ledger already. A ledger that came by pages knows no headers of
    /// them: there the sizes tell.
    fn holds(&self, header: &BatchHeader) -> bool {
        let snapshot = self.shared.snapshot();
        header.number <= self.chain.number
            || self.came_by_pages && (header.size < snapshot.size() || states(header, &snapshot))
    }

    /// The chain after a batch that came by pages: it goes on, or begins anew at what a quorum
    /// vouches for. Anything else is left to a later batch.
    fn rejoin(&mut self, header: &SignedHeader) {
        let claimed = header.claimed();
        let snapshot = self.shared.snapshot();
        if self.chain.is_extended_by(claimed) || states(claimed, &snapshot) {
            self.chain = Chain::after(claimed);
            self.store.save_header(header);
        }
    }

    /// An ordered batch that does not follow what this node holds: it holds another one of a leader
    /// that signed two, or has missed some. What a quorum has cosigned comes by pages.
    fn await_pages(
        &mut self,
        record: &Bytes,
        done: oneshot::Sender<Result<Certified, BatchFault>>,
    ) {
        match BatchRecord::from_bytes(record) {
            Ok(record) => {
                tracing::warn!("an ordered batch does not follow what this node holds: it waits");
                let header = record.header;
                self.awaited = Some(Awaited { header, done });
                self.found_awaited();
            }
            Err(error) => {
                let _ = done.send(Err(BatchFault::Malformed(error)));
            }
        }
    }

    /// Goes on from the batch that had to come by pages, if it has come.
    pub(super) fn found_awaited(&mut self) {
        let size = self.shared.snapshot().size();
        let has_come = |it: &mut Awaited| it.header.claimed().size <= size;
        if let Some(Awaited { header, done }) = self.awaited.take_if(has_come) {
            self.rejoin(&header);
            let _ = done.send(Ok(Certified::Before));
        }
    }

    /// A record has its place: it is locked, cosigned, and waits for a quorum.
    pub(super) fn ordered(&mut self, ordered: Ordered) {
        let Ordered {
            record,
            place,
            done,
        } = ordered;
        match self.prepared_for(&record) {
            Ok(Some((prepared, waiting, prepared_in))) => {
                let roster = &prepared.grown.roster;
                let pending = Pending {
                    checkpoint: prepared.checkpoint(roster.origin()),
                    alone: votes_alone(roster, self.witness.name()),
                    prepared,
                    place,
                    done,
                    waiting,
                    prepared_in,
                };
                self.cosign(pending);
            }
            Ok(None) => {
                let _ = done.send(Ok(Certified::Before));
            }
            Err(BatchFault::DoesNotExtend) => self.await_pages(&record, done),
            Err(fault) => {
                tracing::error!(%fault, "an ordered batch is not cosigned: this node stops");
                let reason = StopReason::Contradicted;
                self.shared.enter(Condition::Stopped(reason));
                let _ = done.send(Err(fault));
            }
        }
    }

    /// What this node makes of a record: its own proposal, what it had checked ahead, or now.
    fn prepared_for(
        &mut self,
        record: &Bytes,
    ) -> Result<Option<(Prepared, Vec<Waiting>, Duration)>, BatchFault> {
        if let Some(flight) = self.flight.take_if(|flight| flight.held.record == *record) {
            return Ok(Some((flight.held.made, flight.waiting, flight.prepared_in)));
        }
        let started = Instant::now();
        let checked = self.checked.take().filter(|held| held.record == *record);
        if let Some(held) = checked {
            return Ok(Some((held.made, Vec::new(), Duration::ZERO)));
        }
        let record = BatchRecord::from_bytes(record).map_err(BatchFault::Malformed)?;
        if self.holds(record.header.claimed()) {
            if self.came_by_pages {
                self.rejoin(&record.header);
            }
            return Ok(None);
        }
        let prepared = self.check(record)?;
        self.came_by_pages = false;
        Ok(Some((prepared, Vec::new(), started.elapsed())))
    }

    /// The lock is durable before the signature leaves. A member that votes alone locks by the record
    /// in its engine's log, which nobody takes out again.
    fn cosign(&mut self, pending: Pending) {
        self.pending = Some(pending);
        self.sign_pending();
        self.certify();
    }

    /// Cosigns the batch that waits, unless this node has yet to hear what it had signed, or has
    /// signed a later one, or another one of this size for a leader that lied: it does not sign
    /// two, and the others may be a quorum without it.
    pub(super) fn sign_pending(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let (alone, checkpoint) = (pending.alone, &pending.checkpoint);
        let past = self.witness.is_past(checkpoint);
        // One that is past by its size alone is applied again after a crash.
        if self.witness.remembers(checkpoint).is_err() {
            tracing::error!(size = %checkpoint.size, "an ordered batch is not cosigned");
        }
        if past || self.recalling.is_some() {
            self.pending = Some(pending);
            return;
        }
        match self.signed(&pending.prepared.grown.roster, &pending.checkpoint, alone) {
            Ok(signed) => {
                self.gathering.add(&signed, &pending.prepared.grown.roster);
                if !alone {
                    self.cosigned.send_replace(Some(signed));
                }
                self.pending = Some(pending);
            }
            Err(failure) => {
                self.fail(&failure);
                refuse_all(pending.waiting, Unavailable::Stopped(failure.stop_reason()));
            }
        }
    }

    fn signed(
        &mut self,
        roster: &Roster,
        checkpoint: &Checkpoint,
        alone: bool,
    ) -> Result<SignedCheckpoint, Failure> {
        let now = clock::now().seconds();
        let signed = self.witness.cosign_under(roster, checkpoint.clone(), now)?;
        if !alone && !self.witness.has_settled(checkpoint) {
            self.store.lock_signature(&SignedLock::of(checkpoint))?;
            self.witness.settle(checkpoint);
        }
        Ok(signed)
    }
}

/// Whether a header states what is published.
fn states(header: &BatchHeader, snapshot: &Snapshot) -> bool {
    header.checkpoint(snapshot.roster().origin()) == *snapshot.checkpoint().claimed()
}

pub(super) fn votes_alone(roster: &Roster, name: &MemberName) -> bool {
    let mut voting = roster.voting_members();
    voting.next().is_some_and(|it| it.name == *name) && voting.next().is_none()
}

type Repeat = (Waiting, Verdict);

/// Sets apart what this node has answered before: only new entries take a place in the order.
fn apart(waiting: Vec<Waiting>, before: &Snapshot) -> (Vec<Waiting>, Vec<Repeat>) {
    let (mut new, mut repeats) = (Vec::new(), Vec::new());
    for waiting in waiting {
        let header = waiting.entry.header();
        let request = RequestKey {
            request_id: header.request_id,
            issuer: header.issuer,
        };
        // What cannot be read here cannot be read by `decide` either, which says so.
        let answered = before.answered(&request).ok().flatten();
        match answered.filter(|it| it.leaf == waiting.entry.leaf_hash()) {
            None => new.push(waiting),
            Some(earlier) => {
                let outcome = earlier.outcome;
                let repeated = true;
                repeats.push((waiting, Verdict { outcome, repeated }));
            }
        }
    }
    (new, repeats)
}

/// Answers one waiter. One that has gone away will ask again.
pub(super) fn answer_one(waiting: Waiting, verdict: Verdict, snapshot: &Arc<Snapshot>) {
    let decided = Decided {
        verdict,
        snapshot: snapshot.clone(),
    };
    let _ = waiting.answer.send(Ok(decided));
}
