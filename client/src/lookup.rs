//! The state of slots and coverages as one member answers it, verified step by step. An answer that
//! fails a step counts as none, and the next node is asked.
//!
//! 1. A quorum cosigned the checkpoint, less than a minute ago; it is not older than what was seen
//!    before, and does not contradict it.
//! 2. For each key, the map proof leads to the checkpoint's map root.
//! 3. The entry that a state names was signed by its issuer, is in the log that the checkpoint
//!    commits to, at the index that the state names, and says what the state says.
//!
//! Only what passed all three comes out.

use std::time::Duration;

use proto::attestation::{
    Attestation, CatalogueNotice, Coverage, SlotState, SlotStatus, State, catalogue_index,
    coverage_index, slot_index,
};
use proto::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::VerifiedEntry;
use proto::follower::{MAX_AGE_SECONDS, MAX_AHEAD_SECONDS};
use proto::ids::{CoverageKey, Day, LeafIndex, MemberName, SlotKey, TreeSize, UnixSeconds};
use proto::map::{MapIndex, MapProof, MapProofError};
use proto::receipt::{EntryProof, Receipt, ReceiptError};
use proto::seal::{Salt, SealedPayload};
use proto::wire::StateAnswer;
use thiserror::Error;

use crate::connection::{Attempted, CallError, Verdict};
use crate::contradiction::Contradiction;
use crate::failure::{Failure, FailureKind};
use crate::nodes::Manner;
use crate::session::Session;
use crate::system;
use crate::verified::Verified;

/// Why an answer about the ledger's state is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LookupError {
    /// Nobody answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered, and a check fails.
    #[error("{member} answered wrongly: {reason}")]
    Wrong {
        /// The member whose node answered.
        member: MemberName,
        /// Which check failed.
        reason: WrongAnswer,
    },
    /// What it shows is too old to reserve anything on.
    #[error("{member} answered with a checkpoint {age} s old, {MAX_AGE_SECONDS} may be")]
    Stale {
        /// The member whose node answered.
        member: MemberName,
        /// The age of its checkpoint in seconds.
        age: u64,
    },
    /// What it shows is older than what was seen before.
    #[error("{member} answered with {size} entries, {seen} were seen before")]
    Behind {
        /// The member whose node answered.
        member: MemberName,
        /// How many entries its log has.
        size: TreeSize,
        /// How many were seen.
        seen: TreeSize,
    },
    /// What it shows contradicts what was seen before, and members signed both.
    #[error(transparent)]
    Contradicted(Box<Contradiction>),
}

impl From<Contradiction> for LookupError {
    fn from(found: Contradiction) -> Self {
        Self::Contradicted(Box::new(found))
    }
}

/// Which check an answer failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongAnswer {
    /// The checkpoint is no quorum's.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of a time that has not come: one of the clocks is wrong.
    #[error("the checkpoint is {ahead} s ahead of this clock, {MAX_AHEAD_SECONDS} may be")]
    FromTheFuture {
        /// By how much, in seconds.
        ahead: u64,
    },
    /// There is not one state for each key.
    #[error("{got} states for {want} keys")]
    Count {
        /// States in the answer.
        got: usize,
        /// Keys asked for.
        want: usize,
    },
    /// A map proof does not lead to the checkpoint's map root.
    #[error("map proof: {0}")]
    MapProof(#[from] MapProofError),
    /// The map holds something else under the key than a state of its kind.
    #[error("the map has no state of the right kind under the key")]
    State,
    /// The state names an entry, and it is not there, or one is there that no state names.
    #[error("the entry that the state names is not the one answered")]
    OtherEntry,
    /// The entry's signature or place fails.
    #[error(transparent)]
    Entry(#[from] ReceiptError),
    /// The payload is not the one that the entry commits to.
    #[error("the payload of entry {index} is not the one that it commits to")]
    Payload {
        /// The entry.
        index: LeafIndex,
    },
    /// The entry does not say what the state says.
    #[error("entry {index} does not say what the state says")]
    Unlike {
        /// The entry.
        index: LeafIndex,
    },
}

impl Failure for LookupError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Call(error) => error.kind(),
            Self::Wrong { .. } | Self::Stale { .. } | Self::Behind { .. } => {
                FailureKind::Unavailable
            }
            Self::Contradicted(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Call(error) => error.hint(),
            Self::Wrong {
                reason: WrongAnswer::Checkpoint(_),
                ..
            } => Some("is the roster file the federation's newest?"),
            Self::Wrong { .. } => Some("ask another member's node"),
            Self::Stale { .. } => {
                Some("is this machine's clock right? If so, the federation has stopped")
            }
            Self::Behind { .. } => Some("it lags behind the others: try again"),
            Self::Contradicted(error) => error.hint(),
        }
    }
}

impl Attempted for LookupError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Call(error) => error.verdict(),
            Self::Wrong { .. } => Verdict::Lied,
            Self::Stale { .. } => Verdict::Failed(None),
            Self::Behind { .. } => Verdict::Failed(Some(Duration::ZERO)),
            Self::Contradicted(_) => Verdict::Final,
        }
    }
}

/// A verified answer.
#[derive(Debug, Clone)]
pub struct Found {
    /// What every proof is against.
    pub checkpoint: VerifiedCheckpoint,
    /// For each slot key, in order, who has it; `None` when nobody ever had or it was released.
    pub slots: Vec<Option<SlotProof>>,
    /// For each coverage key, in order, its newest coverage.
    pub coverages: Vec<Option<CoverageProof>>,
}

/// A slot that is or was taken, with the proof of it.
#[derive(Debug, Clone)]
pub struct SlotProof {
    /// Reserved or held, until when, and by which entry.
    pub state: SlotState,
    /// That the map says so.
    pub map_proof: MapProof,
    /// The entry that has the slot.
    pub holder: EntryProof,
}

impl SlotProof {
    /// The day from which the renewal clock of the slot runs, as far as the holder tells it: for a
    /// hold beneath a reservation that has run out it is the day of the later claim.
    #[must_use]
    pub fn delivered_on(&self) -> Day {
        let header = self.holder.entry.header();
        match Attestation::read(header) {
            Ok(Attestation::Delivery(delivery)) => delivery.handover.delivered_on(header.issued_at),
            _ => header.issued_at.day(),
        }
    }
}

/// The newest coverage under a key, with its payload while that is not erased.
#[derive(Debug, Clone)]
pub struct CoverageProof {
    /// Its place in the log.
    pub index: LeafIndex,
    /// Its bytes and issuer.
    pub entry: VerifiedEntry,
    /// What it says.
    pub coverage: Coverage,
    /// Its sealed terms.
    pub payload: Option<(SealedPayload, Salt)>,
}

/// A catalogue that the ledger names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedCatalogue {
    /// The entry that names it.
    pub index: LeafIndex,
    /// Its hash, and its first day.
    pub notice: CatalogueNotice,
}

/// An entry with its receipt, and its payload while that is not erased.
#[derive(Debug, Clone)]
pub struct PayloadProof {
    /// What proves the entry offline.
    pub receipt: Receipt,
    /// Its bytes and issuer.
    pub entry: VerifiedEntry,
    /// Payload and salt; what the entry commits to.
    pub payload: Option<(SealedPayload, Salt)>,
}

impl Session {
    /// Asks for the state of slots and coverages and verifies all of the answer. The node that is
    /// asked puts it on record; so does a second one that is asked because the first is slow.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn lookup(
        &self,
        slots: &[SlotKey],
        coverages: &[CoverageKey],
    ) -> Result<Found, LookupError> {
        let asked = self.ask(Manner::LOOK, |connection| async move {
            let seen = self.seen().size();
            let answer = connection.lookup(slots, coverages).await?;
            let member = connection.member();
            let checkpoint = self.verify_newest(member, &answer.2, seen)?;
            let found = self.verify_found((slots, answer.0), (coverages, answer.1), checkpoint);
            found.map_err(|reason| wrong(member, reason))
        });
        asked.await
    }

    fn verify_found(
        &self,
        (slots, slot_answers): (&[SlotKey], Vec<StateAnswer>),
        (coverages, coverage_answers): (&[CoverageKey], Vec<StateAnswer>),
        checkpoint: VerifiedCheckpoint,
    ) -> Result<Found, WrongAnswer> {
        let known = self.verified();
        let slots = one_each(slots, slot_answers)?
            .map(|(key, answer)| verify_slot(known, key, answer, &checkpoint));
        let slots = slots.collect::<Result<_, _>>()?;
        let coverages = one_each(coverages, coverage_answers)?
            .map(|(key, answer)| verify_coverage(known, key, answer, &checkpoint));
        let coverages = coverages.collect::<Result<_, _>>()?;
        Ok(Found {
            checkpoint,
            slots,
            coverages,
        })
    }

    /// Asks which catalogue is in force; `None` when none was named yet.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn catalogue_in_force(&self) -> Result<Option<NamedCatalogue>, LookupError> {
        let asked = self.ask(Manner::READ, |connection| async move {
            let seen = self.seen().size();
            let (answer, checkpoint) = connection.catalogue().await?;
            let member = connection.member();
            let checkpoint = self.verify_newest(member, &checkpoint, seen)?;
            verify_catalogue(&answer, &checkpoint).map_err(|reason| wrong(member, reason))
        });
        asked.await
    }

    /// The newest checkpoint, verified and fresh.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn newest_checkpoint(&self) -> Result<VerifiedCheckpoint, LookupError> {
        let asked = self.ask(Manner::READ, |connection| async move {
            let seen = self.seen().size();
            let checkpoint = connection.checkpoint().await?;
            self.verify_newest(connection.member(), &checkpoint, seen)
        });
        asked.await
    }

    /// Asks for one entry and verifies signature and place.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn verified_entry(&self, index: LeafIndex) -> Result<VerifiedEntry, LookupError> {
        Ok(self.receipt(index).await?.0)
    }

    /// Asks for one entry and what proves it offline, and verifies both.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn receipt(&self, index: LeafIndex) -> Result<(VerifiedEntry, Receipt), LookupError> {
        let asked = self.ask(Manner::READ, |connection| async move {
            let (proved, checkpoint) = connection.entry(index).await?;
            let member = connection.member();
            let verified = self.verified().checkpoint(&checkpoint, self.roster());
            let verified = verified.map_err(|e| wrong(member, e.into()))?;
            self.require_no_contradiction(member, &verified)?;
            let entry = verify_place(&proved, index, &verified);
            let entry = entry.map_err(|reason| wrong(member, reason))?;
            Ok((entry, Receipt { proved, checkpoint }))
        });
        asked.await
    }

    /// Asks for the payload of one entry, as its issuer or as a payer of the claim, and verifies
    /// signature, place and commitment. The node puts on record who asked.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn payload(&self, index: LeafIndex) -> Result<PayloadProof, LookupError> {
        let asked = self.ask(Manner::LOOK, |connection| async move {
            let (answer, signed) = connection.open_entry(index).await?;
            let member = connection.member();
            let checkpoint = self.verify_checkpoint(member, &signed)?;
            let entry = verify_place(&answer.proved, index, &checkpoint);
            let entry = entry.map_err(|reason| wrong(member, reason))?;
            let commitment = entry.header().commitment;
            let fits = |(sealed, salt): &(SealedPayload, Salt)| {
                let hash = *sealed.commitment(salt).as_hash();
                commitment.is_some_and(|commitment| hash == commitment)
            };
            if !answer.payload.as_ref().is_none_or(fits) {
                return Err(wrong(member, WrongAnswer::Payload { index }));
            }
            Ok(PayloadProof {
                receipt: Receipt {
                    proved: answer.proved,
                    checkpoint: signed,
                },
                entry,
                payload: answer.payload,
            })
        });
        asked.await
    }

    /// Verifies a checkpoint of a member's node: a quorum vouches for it, it is fresh, and it does
    /// not contradict what was seen before.
    pub(crate) fn verify_checkpoint(
        &self,
        member: &MemberName,
        checkpoint: &SignedCheckpoint,
    ) -> Result<VerifiedCheckpoint, LookupError> {
        let verified = self.verified().checkpoint(checkpoint, self.roster());
        let checkpoint = verified.map_err(|e| wrong(member, e.into()))?;
        self.require_no_contradiction(member, &checkpoint)?;
        require_fresh(member, &checkpoint, system::now().seconds())?;
        Ok(checkpoint)
    }

    /// The same, and it is not older than what had been seen when the node was asked.
    pub(crate) fn verify_newest(
        &self,
        member: &MemberName,
        checkpoint: &SignedCheckpoint,
        seen: TreeSize,
    ) -> Result<VerifiedCheckpoint, LookupError> {
        let checkpoint = self.verify_checkpoint(member, checkpoint)?;
        require_not_behind(member, checkpoint.size(), seen)?;
        Ok(checkpoint)
    }

    /// A checkpoint that a quorum vouches for does not contradict what was seen before.
    pub(crate) fn require_no_contradiction(
        &self,
        member: &MemberName,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(), Contradiction> {
        match self.seen().contradiction(member, checkpoint) {
            Some(found) => {
                self.remember_wrong(member);
                Err(found)
            }
            None => Ok(()),
        }
    }
}

/// What a member's node answered fails a check.
pub(crate) fn wrong(member: &MemberName, reason: WrongAnswer) -> LookupError {
    LookupError::Wrong {
        member: member.clone(),
        reason,
    }
}

/// A checkpoint is not too old to reserve anything on, nor of a time that has not come.
fn require_fresh(
    member: &MemberName,
    checkpoint: &VerifiedCheckpoint,
    now: UnixSeconds,
) -> Result<(), LookupError> {
    let (time, now) = (checkpoint.time().get(), now.get());
    let (age, ahead) = (now.saturating_sub(time), time.saturating_sub(now));
    if ahead > MAX_AHEAD_SECONDS {
        return Err(wrong(member, WrongAnswer::FromTheFuture { ahead }));
    }
    let member = member.clone();
    (age <= MAX_AGE_SECONDS)
        .then_some(())
        .ok_or(LookupError::Stale { member, age })
}

/// A log is not shorter than what had been seen.
fn require_not_behind(
    member: &MemberName,
    size: TreeSize,
    seen: TreeSize,
) -> Result<(), LookupError> {
    let member = member.clone();
    (size >= seen)
        .then_some(())
        .ok_or(LookupError::Behind { member, size, seen })
}

/// An entry is the one that was asked for, signed, and in its place.
pub(crate) fn verify_place(
    proved: &EntryProof,
    index: LeafIndex,
    checkpoint: &VerifiedCheckpoint,
) -> Result<VerifiedEntry, WrongAnswer> {
    if proved.index != index {
        return Err(WrongAnswer::OtherEntry);
    }
    Ok(proved.verify(checkpoint, &mut |_| {})?)
}

/// Each key with its answer.
fn one_each<K>(
    keys: &[K],
    answers: Vec<StateAnswer>,
) -> Result<impl Iterator<Item = (&K, StateAnswer)>, WrongAnswer> {
    let (got, want) = (answers.len(), keys.len());
    (got == want)
        .then(|| keys.iter().zip(answers))
        .ok_or(WrongAnswer::Count { got, want })
}

fn verify_slot(
    known: &Verified,
    key: &SlotKey,
    answer: StateAnswer,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<SlotProof>, WrongAnswer> {
    let state = match proved_state(&slot_index(key), &answer.map_proof, checkpoint)? {
        None => return no_entry(&answer).map(|()| None),
        Some(State::Slot(state)) => state,
        Some(_) => return Err(WrongAnswer::State),
    };
    let holder = named_entry(&answer, state.by)?;
    let entry = known.entry(holder, checkpoint)?;
    let has_slot = match Attestation::read(entry.header()) {
        Ok(Attestation::Claim(claim)) => {
            state.status == SlotStatus::Reserved
                && claim.slots.contains(key)
                && claim.until == state.until
        }
        // The delivery that made a hold which came back names it too.
        Ok(Attestation::Delivery(delivery)) => {
            state.status == SlotStatus::Held
                && delivery.slots.contains(key)
                && delivery.handover.until() == Some(state.until)
        }
        _ => false,
    };
    if !has_slot {
        return Err(WrongAnswer::Unlike { index: state.by });
    }
    let holder = holder.clone();
    Ok(Some(SlotProof {
        state,
        map_proof: answer.map_proof,
        holder,
    }))
}

fn verify_coverage(
    known: &Verified,
    key: &CoverageKey,
    answer: StateAnswer,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<CoverageProof>, WrongAnswer> {
    let state = match proved_state(&coverage_index(key), &answer.map_proof, checkpoint)? {
        None => return no_entry(&answer).map(|()| None),
        Some(State::Coverage(state)) => state,
        Some(_) => return Err(WrongAnswer::State),
    };
    let entry = known.entry(named_entry(&answer, state.by)?, checkpoint)?;
    let unlike = WrongAnswer::Unlike { index: state.by };
    let Ok(Attestation::Coverage(coverage)) = Attestation::read(entry.header()) else {
        return Err(unlike);
    };
    if coverage.coverage != *key || coverage.until != state.until {
        return Err(unlike);
    }
    Ok(Some(CoverageProof {
        index: state.by,
        entry,
        coverage,
        payload: answer.payload,
    }))
}

fn verify_catalogue(
    answer: &StateAnswer,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<NamedCatalogue>, WrongAnswer> {
    let (by, first_day) = match proved_state(&catalogue_index(), &answer.map_proof, checkpoint)? {
        None => return no_entry(answer).map(|()| None),
        Some(State::Catalogue { valid_from, by }) => (by, valid_from),
        Some(_) => return Err(WrongAnswer::State),
    };
    let entry = named_entry(answer, by)?.verify(checkpoint, &mut |_| {})?;
    match Attestation::read(entry.header()) {
        Ok(Attestation::Catalogue(notice)) if notice.valid_from == first_day => {
            Ok(Some(NamedCatalogue { index: by, notice }))
        }
        _ => Err(WrongAnswer::Unlike { index: by }),
    }
}

fn proved_state(
    index: &MapIndex,
    proof: &MapProof,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<State>, WrongAnswer> {
    let value = proof.verify(index, checkpoint.map_root())?;
    let state = value.map(|value| State::from_bytes(value.as_bytes()));
    state.transpose().map_err(|_| WrongAnswer::State)
}

fn no_entry(answer: &StateAnswer) -> Result<(), WrongAnswer> {
    answer
        .entry
        .is_none()
        .then_some(())
        .ok_or(WrongAnswer::OtherEntry)
}

fn named_entry(answer: &StateAnswer, by: LeafIndex) -> Result<&EntryProof, WrongAnswer> {
    let named = answer.entry.as_ref().filter(|entry| entry.index == by);
    named.ok_or(WrongAnswer::OtherEntry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{self, Ledger, coverage, secret};
    use proto::ids::Day;

    const TAKEN: SlotKey = SlotKey::from_bytes([1; 32]);
    const RELEASED: SlotKey = SlotKey::from_bytes([2; 32]);
    const COVERED: CoverageKey = CoverageKey::from_bytes([1; 32]);

    fn verified(ledger: &Ledger) -> VerifiedCheckpoint {
        ledger.checkpoint().verify(&ledger.roster).unwrap()
    }

    fn answer(ledger: &Ledger, index: &MapIndex, entry: Option<u64>) -> StateAnswer {
        StateAnswer {
            map_proof: ledger.map_proof(index),
            entry: entry.map(|entry| ledger.prove(entry)),
            payload: None,
        }
    }

    fn slot(ledger: &Ledger, key: &SlotKey, answer: StateAnswer) -> Result<bool, WrongAnswer> {
        verify_slot(&Verified::default(), key, answer, &verified(ledger))
            .map(|found| found.is_some())
    }

    #[test]
    fn a_taken_slot_comes_with_the_claim_that_has_it() {
        let ledger = Ledger::furnished();
        let taken = answer(&ledger, &slot_index(&TAKEN), Some(4));
        let found = verify_slot(&Verified::default(), &TAKEN, taken, &verified(&ledger))
            .unwrap()
            .unwrap();
        assert_eq!(found.state.by, LeafIndex::new(4));
        assert_eq!(found.state.until, example::today().plus(60));
    }

    #[test]
    fn a_free_slot_is_proved_absent() {
        let ledger = Ledger::furnished();
        let free = answer(&ledger, &slot_index(&RELEASED), None);
        assert_eq!(slot(&ledger, &RELEASED, free), Ok(false));
    }

    #[test]
    fn a_taken_slot_cannot_be_shown_as_free() {
        let ledger = Ledger::furnished();
        let hidden = answer(&ledger, &slot_index(&RELEASED), None);
        assert!(matches!(
            slot(&ledger, &TAKEN, hidden),
            Err(WrongAnswer::MapProof(_))
        ));
        let before = Ledger::new();
        let old = answer(&before, &slot_index(&TAKEN), None);
        assert!(matches!(
            slot(&ledger, &TAKEN, old),
            Err(WrongAnswer::MapProof(_))
        ));
    }

    #[test]
    fn the_entry_must_be_the_one_that_the_state_names() {
        let ledger = Ledger::furnished();
        for entry in [None, Some(3)] {
            let other = answer(&ledger, &slot_index(&TAKEN), entry);
            assert_eq!(slot(&ledger, &TAKEN, other), Err(WrongAnswer::OtherEntry));
        }
        let needless = answer(&ledger, &slot_index(&RELEASED), Some(4));
        assert_eq!(
            slot(&ledger, &RELEASED, needless),
            Err(WrongAnswer::OtherEntry)
        );
        let mut moved = answer(&ledger, &slot_index(&TAKEN), Some(3));
        moved.entry.as_mut().unwrap().index = LeafIndex::new(4);
        assert!(matches!(
            slot(&ledger, &TAKEN, moved),
            Err(WrongAnswer::Entry(_))
        ));
    }

    #[test]
    fn an_entry_that_does_not_say_what_the_map_says_is_refused() {
        let mut ledger = Ledger::furnished();
        let Some(State::Slot(state)) = ledger.map.get_mut(&slot_index(&TAKEN)) else {
            panic!()
        };
        state.until = Day::new(1);
        let unlike = answer(&ledger, &slot_index(&TAKEN), Some(4));
        let index = LeafIndex::new(4);
        assert_eq!(
            slot(&ledger, &TAKEN, unlike),
            Err(WrongAnswer::Unlike { index })
        );
    }

    #[test]
    fn the_newest_coverage_comes_with_its_terms() {
        let mut ledger = Ledger::furnished();
        let newest = ledger.append("amc", &coverage(1));
        let found = answer(&ledger, &coverage_index(&COVERED), Some(newest.get()));
        let found = verify_coverage(&Verified::default(), &COVERED, found, &verified(&ledger))
            .unwrap()
            .unwrap();
        assert_eq!(found.index, newest);
        assert_eq!(found.entry.header().issuer, secret("amc").public());
        let old = answer(&ledger, &coverage_index(&COVERED), Some(3));
        let refused = verify_coverage(&Verified::default(), &COVERED, old, &verified(&ledger));
        assert_eq!(refused.err(), Some(WrongAnswer::OtherEntry));
    }

    #[test]
    fn the_catalogue_in_force_is_the_one_that_the_map_names() {
        let (first, mut ledger) = (Ledger::furnished(), Ledger::furnished());
        let notice = CatalogueNotice {
            hash: proto::hash::Hash::from_bytes([9; 32]),
            valid_from: example::today(),
        };
        let index = ledger.append("amo", &Attestation::Catalogue(notice));
        let found = answer(&ledger, &catalogue_index(), Some(index.get()));
        let named = verify_catalogue(&found, &verified(&ledger)).unwrap();
        assert_eq!(named, Some(NamedCatalogue { index, notice }));
        // The one before is no longer in force, and cannot be hidden.
        let old = answer(&ledger, &catalogue_index(), Some(1));
        let refused = verify_catalogue(&old, &verified(&ledger));
        assert_eq!(refused, Err(WrongAnswer::OtherEntry));
        let stale = answer(&first, &catalogue_index(), Some(1));
        let refused = verify_catalogue(&stale, &verified(&ledger));
        assert!(matches!(refused, Err(WrongAnswer::MapProof(_))));
        let nameless = answer(&ledger, &catalogue_index(), None);
        let refused = verify_catalogue(&nameless, &verified(&ledger));
        assert_eq!(refused, Err(WrongAnswer::OtherEntry));
        let none = Ledger::new();
        let absent = answer(&none, &catalogue_index(), None);
        assert_eq!(verify_catalogue(&absent, &verified(&none)), Ok(None));
    }

    #[test]
    fn there_is_one_answer_for_each_key() {
        let ledger = Ledger::furnished();
        let free = answer(&ledger, &slot_index(&RELEASED), None);
        let none = one_each(&[RELEASED, TAKEN], vec![free]).map(Iterator::count);
        assert_eq!(none, Err(WrongAnswer::Count { got: 1, want: 2 }));
    }

    #[test]
    fn an_answer_from_an_older_state_counts_as_none_and_accuses_nobody() {
        let (member, seen) = ("amc".parse().unwrap(), TreeSize::new(7));
        let with = |size| require_not_behind(&member, TreeSize::new(size), seen);
        assert_eq!((with(7), with(8)), (Ok(()), Ok(())));
        let behind = with(6).unwrap_err();
        assert_eq!(behind.verdict(), Verdict::Failed(Some(Duration::ZERO)));
        assert_eq!(
            behind.to_string(),
            "amc answered with 6 entries, 7 were seen before"
        );
    }

    #[test]
    fn a_checkpoint_is_fresh_for_a_minute() {
        let ledger = Ledger::furnished();
        let (checkpoint, member) = (verified(&ledger), "amc".parse().unwrap());
        let cosigned = checkpoint.time().get();
        let at = |now| require_fresh(&member, &checkpoint, UnixSeconds::new(now));
        assert_eq!(at(cosigned + MAX_AGE_SECONDS), Ok(()));
        assert!(matches!(
            at(cosigned + 61),
            Err(LookupError::Stale { age: 61, .. })
        ));
        assert_eq!(at(cosigned - MAX_AHEAD_SECONDS), Ok(()));
        let ahead = wrong(&member, WrongAnswer::FromTheFuture { ahead: 121 });
        assert_eq!(at(cosigned - 121), Err(ahead));
    }
}
