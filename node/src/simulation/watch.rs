//! What must hold at every moment, looked at after each step of a simulation.
//!
//! - A member signs one checkpoint of a size in its whole life, crashes included.
//! - What a node whose disk was not lost knows after a crash of what it had signed is not less than what had left it.
//! - Of all published states, each vouched for by a quorum, there is one of a size, and their logs
//!   are prefixes of each other.
//! - A slot is held by one claim.
//! - What was acknowledged is in the log, at its place.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::attestation::Attestation;
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::{LeafIndex, SlotKey, TreeSize};
use thiserror::Error;
use tokio::sync::watch;

use super::federation::MEMBERS;
use super::trace::Trace;
use crate::engine::Engine;
use crate::sequencer::{Condition, Sequencer, StopReason};

/// What must never be seen, and was.
#[derive(Debug, Error)]
pub(super) enum Violation {
    #[error("{0} signed two checkpoints of size {1}")]
    TwoSigned(&'static str, TreeSize),
    #[error("{who} signed size {signed}, and after a crash its disk knows of {remembered}")]
    Forgotten {
        who: &'static str,
        signed: TreeSize,
        remembered: TreeSize,
    },
    #[error("{0} published another state of size {1}")]
    TwoPublished(&'static str, TreeSize),
    #[error("{0} published a state of size {1} without a quorum")]
    NoQuorum(&'static str, TreeSize),
    #[error("{0} has another entry {1}")]
    OtherEntry(&'static str, LeafIndex),
    #[error("{0} cannot read its entry {1}")]
    NoEntry(&'static str, LeafIndex),
    #[error("one slot is held by the claims {0} and {1}")]
    HeldTwice(LeafIndex, LeafIndex),
    #[error("entry {0} was acknowledged, and is not in the log")]
    Lost(LeafIndex),
    #[error("{0} stopped its writes: {1}")]
    Stopped(&'static str, &'static str),
    #[error("{0} keeps something {1}, and nobody lies")]
    Accused(&'static str, &'static str),
    #[error("a node failed: {0}")]
    Failed(String),
    #[error("it did not come to rest: {0}")]
    Unrest(String),
}

/// A node that runs, seen from outside.
struct Probe {
    sequencer: Sequencer,
    engine: Option<Engine>,
    cosigned: watch::Receiver<Option<SignedCheckpoint>>,
    published: watch::Receiver<TreeSize>,
    /// Up to where its log was compared.
    compared: u64,
    condition: Condition,
}

type Roots = (Hash, Hash);

fn roots(checkpoint: &Checkpoint) -> Roots {
    (checkpoint.log_root, checkpoint.map_root)
}

/// All that was seen in one simulation.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) trace: Trace,
    pub(super) now: Duration,
    nodes: [Option<Probe>; MEMBERS.len()],
    signed: [BTreeMap<TreeSize, Roots>; MEMBERS.len()],
    published: BTreeMap<TreeSize, Roots>,
    is_wiped: [bool; MEMBERS.len()],
    log: Vec<Hash>,
    slots: BTreeMap<SlotKey, LeafIndex>,
    acknowledged: Vec<(LeafIndex, Hash)>,
    /// What was found where there was nobody to tell.
    found: Option<Violation>,
}

impl Watch {
    /// What a node's disk knows of its signatures, as it starts.
    pub(super) fn remembers(&mut self, place: usize, remembered: TreeSize) {
        let who = MEMBERS[place];
        let is_wiped = self.is_wiped[place];
        let signed = self.signed[place].last_key_value();
        let signed = signed.filter(|_| !is_wiped);
        if let Some((&signed, _)) = signed.filter(|(size, _)| **size > remembered) {
            self.found = Some(Violation::Forgotten {
                who,
                signed,
                remembered,
            });
        }
        let now = self.now;
        self.trace
            .tell(now, format_args!("{who} starts, knows of {remembered}"));
    }

    /// A node serves from now on.
    pub(super) fn serves(&mut self, place: usize, sequencer: &Sequencer, engine: Option<&Engine>) {
        let (mut cosigned, mut published) = (sequencer.own_cosignature(), sequencer.published());
        cosigned.mark_changed();
        published.mark_changed();
        self.nodes[place] = Some(Probe {
            sequencer: sequencer.clone(),
            engine: engine.cloned(),
            cosigned,
            published,
            compared: 0,
            condition: Condition::Following,
        });
        let now = self.now;
        self.trace
            .tell(now, format_args!("{} serves", MEMBERS[place]));
    }

    /// A node has lost its disk: from here on it may have forgotten what it signed.
    pub(super) fn wiped(&mut self, place: usize) {
        self.is_wiped[place] = true;
    }

    /// A node is gone.
    pub(super) fn crashed(&mut self, place: usize) {
        self.nodes[place] = None;
        let now = self.now;
        self.trace
            .tell(now, format_args!("{} crashes", MEMBERS[place]));
    }

    /// An entry was acknowledged with a receipt that was verified.
    pub(super) fn acknowledged(&mut self, index: LeafIndex, leaf: Hash) {
        self.acknowledged.push((index, leaf));
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        if let Some(found) = self.found.take() {
            return Err(found);
        }
        for place in 0..MEMBERS.len() {
            let Some(mut probe) = self.nodes[place].take() else {
                continue;
            };
            let looked = self.look_at(place, &mut probe);
            self.nodes[place] = Some(probe);
            looked?;
        }
        for (index, leaf) in std::mem::take(&mut self.acknowledged) {
            if self.leaf(index) != Some(&leaf) {
                return Err(Violation::Lost(index));
            }
        }
        Ok(())
    }

    fn leaf(&self, index: LeafIndex) -> Option<&Hash> {
        usize::try_from(index.get())
            .ok()
            .and_then(|index| self.log.get(index))
    }

    fn look_at(&mut self, place: usize, probe: &mut Probe) -> Result<(), Violation> {
        if probe.cosigned.has_changed().unwrap_or(false) {
            let signed = probe.cosigned.borrow_and_update().clone();
            signed.map_or(Ok(()), |it| self.signed(place, it.claimed()))?;
        }
        if probe.published.has_changed().unwrap_or(false) {
            probe.published.borrow_and_update();
            self.published(place, probe)?;
        }
        let (condition, who, now) = (probe.sequencer.condition(), MEMBERS[place], self.now);
        if condition != probe.condition {
            probe.condition = condition;
            let word = condition.as_str();
            self.trace.tell(now, format_args!("{who} is {word}"));
        }
        match condition {
            // A node without its disk has found that it had signed more than it knew of.
            Condition::Stopped(StopReason::Restored) if self.is_wiped[place] => Ok(()),
            Condition::Stopped(reason) => Err(Violation::Stopped(who, reason.as_str())),
            _ => Ok(()),
        }
    }

    fn signed(&mut self, place: usize, checkpoint: &Checkpoint) -> Result<(), Violation> {
        let (who, size, now) = (MEMBERS[place], checkpoint.size, self.now);
        let root = checkpoint.map_root;
        match self.signed[place].insert(size, roots(checkpoint)) {
            Some(before) if before != roots(checkpoint) => Err(Violation::TwoSigned(who, size)),
            Some(_) => Ok(()),
            None => {
                self.trace
                    .tell(now, format_args!("{who} cosigns {size} {root}"));
                Ok(())
            }
        }
    }

    fn published(&mut self, place: usize, probe: &mut Probe) -> Result<(), Violation> {
        let (who, snapshot) = (MEMBERS[place], probe.sequencer.snapshot());
        let checkpoint = snapshot.checkpoint();
        let (size, claimed) = (snapshot.size(), checkpoint.claimed());
        if checkpoint.verify(snapshot.roster()).is_err() {
            return Err(Violation::NoQuorum(who, size));
        }
        let known = *self.published.entry(size).or_insert(roots(claimed));
        if known != roots(claimed) {
            return Err(Violation::TwoPublished(who, size));
        }
        for index in probe.compared..size.get() {
            let index = LeafIndex::new(index);
            let entry = snapshot.entry(index).ok().flatten();
            let entry = entry.ok_or(Violation::NoEntry(who, index))?;
            match self.leaf(index) {
                Some(leaf) if *leaf == entry.leaf_hash() => {}
                Some(_) => return Err(Violation::OtherEntry(who, index)),
                None => {
                    self.log.push(entry.leaf_hash());
                    if let Ok(Attestation::Claim(claim)) = Attestation::read(entry.header()) {
                        self.hold(&claim.slots, index)?;
                    }
                }
            }
        }
        if probe.compared != size.get() {
            let now = self.now;
            self.trace.tell(now, format_args!("{who} publishes {size}"));
        }
        probe.compared = size.get();
        Ok(())
    }

    fn hold(&mut self, slots: &[SlotKey], by: LeafIndex) -> Result<(), Violation> {
        for slot in slots {
            if let Some(first) = self.slots.insert(*slot, by) {
                return Err(Violation::HeldTwice(first, by));
            }
        }
        Ok(())
    }

    /// Whether a node has signed a state that it has not published yet.
    pub(super) fn has_signed_ahead(&self, place: usize) -> bool {
        let signed = self.signed[place].last_key_value();
        let published = self.nodes[place].as_ref().map(|probe| probe.compared);
        signed.is_some_and(|(size, _)| published.is_some_and(|held| size.get() > held))
    }

    /// How many entries the log has.
    pub(super) fn size(&self) -> usize {
        self.log.len()
    }

    /// Whether a node waits for being started again.
    pub(super) fn is_restored(&self, place: usize) -> bool {
        let probe = self.nodes[place].as_ref();
        probe.is_some_and(|it| it.condition == Condition::Stopped(StopReason::Restored))
    }

    /// Whether all nodes serve, and each of them has all that any has.
    ///
    /// # Errors
    /// Who does not.
    pub(super) fn are_equal(&self) -> Result<(), String> {
        for (place, probe) in self.nodes.iter().enumerate() {
            let who = MEMBERS[place];
            let probe = probe
                .as_ref()
                .ok_or_else(|| format!("{who} does not serve"))?;
            let size = probe.sequencer.snapshot().size();
            if size.get() != self.log.len() as u64 {
                return Err(format!("{who} has {size} of {}", self.log.len()));
            }
        }
        Ok(())
    }

    /// How many votes a node knows of in its engine.
    pub(super) fn votes(&self, place: usize) -> usize {
        let engine = self.nodes[place].as_ref().and_then(|it| it.engine.as_ref());
        let seats = engine.map(Engine::seats).unwrap_or_default();
        seats.iter().filter(|seat| seat.votes).count()
    }
}
