//! What a user keeps: a receipt proves that an entry is in the log, a refusal receipt that a
//! slot was taken. Each is one text file, verified offline with the roster alone.
//!
//! ```text
//! vitrail receipt v1              vitrail refusal v1
//! entry <base64>                  reason <code>
//! index <decimal>                 refused <base64 of the refused entry>
//! path <base64>   (0 to 64)       slot <position of the slot key in it>
//!                                 state <base64 of the map proof>
//! <signed checkpoint>             holder <base64 of the entry that has the slot>
//!                                 index <decimal>
//!                                 path <base64>   (0 to 64)
//!
//!                                 <signed checkpoint>
//! ```
//!
//! Verification believes nothing and goes in numbered steps ([`Step`]); a file has one spelling,
//! so a change of any byte of it fails a step.

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;

use crate::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, EarlyFrom, ShapeError, SlotState, SlotStatus, State, slot_index,
};
use crate::checkpoint::{
    CheckpointError, SignedCheckpoint, SignedCheckpointError, VerifiedCheckpoint,
};
use crate::entry::{Entry, EntryError, VerifiedEntry};
use crate::hash::Hash;
use crate::ids::{Day, LeafIndex, Origin, SlotKey, UnixMillis};
use crate::map::{MapProof, MapProofBytesError, MapProofError};
use crate::merkle::{INCLUSION_PROOF_HASHES_MAX, InclusionProof, ProofError};
use crate::refusal::Reason;
use crate::roster::Roster;

/// Longest receipt file: two entries in base64, two proofs and a checkpoint with a hundred
/// cosignatures fit in it.
pub const RECEIPT_BYTES_MAX: usize = 256 * 1024;

const RECEIPT_TITLE: &str = "vitrail receipt v1";
const REFUSAL_TITLE: &str = "vitrail refusal v1";

/// The steps of a verification, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1. The file has the one spelling of its format.
    Format,
    /// 2. The checkpoint is of the roster's ledger and cosigned by a quorum of its members.
    Checkpoint,
    /// 3. The entry was signed by its issuer for this ledger.
    Entry,
    /// 4. The entry is in the log that the checkpoint commits to.
    Inclusion,
    /// 5. The map that the checkpoint commits to says that this entry has the slot.
    State,
    /// 6. The refused entry was signed by its issuer and asked for that slot.
    Refused,
}

impl Step {
    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
            Self::Inclusion => "inclusion",
            Self::State => "state",
            Self::Refused => "refused",
        }
    }

    /// What it means that the step passed.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Format => "the file is of the format, with nothing added or missing",
            Self::Checkpoint => "a quorum of the roster's members cosigned the checkpoint",
            Self::Entry => "the issuer signed the entry for this ledger",
            Self::Inclusion => "the entry is in the log at its index",
            Self::State => "the map says that this entry has the slot",
            Self::Refused => "the refused entry asked for that slot",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which step of a verification failed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// A line is missing, too many, or not of its form.
    #[error("line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// The file is longer than any receipt.
    #[error("a receipt has at most {RECEIPT_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The checkpoint has not the one spelling of a signed checkpoint.
    #[error("checkpoint: {0}")]
    CheckpointText(#[from] SignedCheckpointError),
    /// The checkpoint does not verify against the roster.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is malformed or its signature does not verify.
    #[error("entry: {0}")]
    Entry(EntryError),
    /// The entry is not in the log at its index.
    #[error("inclusion: {0}")]
    Inclusion(#[from] ProofError),
    /// The map proof does not lead to the checkpoint's map root.
    #[error("state: {0}")]
    MapProof(#[from] MapProofError),
    /// The map proof has not the one spelling of a map proof.
    #[error("state: {0}")]
    MapProofBytes(#[from] MapProofBytesError),
    /// The map does not say that the holder has the slot for this reason.
    #[error("state: the map does not say that entry {holder} has the slot")]
    NotTheHolder {
        /// The entry that was said to have it.
        holder: LeafIndex,
    },
    /// The refused entry is malformed or its signature does not verify.
    #[error("refused: {0}")]
    Refused(EntryError),
    /// The refused entry does not have the shape of its kind.
    #[error("refused: {0}")]
    RefusedShape(#[from] ShapeError),
    /// The refused entry did not ask for the slot.
    #[error("refused: the refused entry is no claim with a slot key at position {position}")]
    NotAsked {
        /// The position that was said to name the slot.
        position: usize,
    },
}

impl ReceiptError {
    /// The step that failed.
    #[must_use]
    pub const fn step(&self) -> Step {
        match self {
            Self::Line { .. } | Self::TooLong { .. } => Step::Format,
            Self::Checkpoint(_) | Self::CheckpointText(_) => Step::Checkpoint,
            Self::Entry(_) => Step::Entry,
            Self::Inclusion(_) => Step::Inclusion,
            Self::MapProof(_) | Self::MapProofBytes(_) | Self::NotTheHolder { .. } => Step::State,
            Self::Refused(_) | Self::RefusedShape(_) | Self::NotAsked { .. } => Step::Refused,
        }
    }
}

/// An entry with its place in the log; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryProof {
    /// The entry.
    pub entry: Entry,
    /// Its place in the log.
    pub index: LeafIndex,
    /// The audit path from its leaf to the log root.
    pub inclusion: InclusionProof,
}

impl EntryProof {
    /// Steps 3 and 4: issuer's signature, then inclusion under the checkpoint.
    ///
    /// # Errors
    /// [`ReceiptError::Entry`] or [`ReceiptError::Inclusion`].
    pub fn verify(
        &self,
        checkpoint: &VerifiedCheckpoint,
        passed: &mut dyn FnMut(Step),
    ) -> Result<VerifiedEntry, ReceiptError> {
        let entry = self
            .entry
            .clone()
            .verify(checkpoint.origin())
            .map_err(ReceiptError::Entry)?;
        passed(Step::Entry);
        self.verify_inclusion(checkpoint)?;
        passed(Step::Inclusion);
        Ok(entry)
    }

    /// Step 4 alone, for an entry that its issuer holds and need not check again.
    ///
    /// # Errors
    /// [`ReceiptError::Inclusion`].
    pub fn verify_inclusion(&self, checkpoint: &VerifiedCheckpoint) -> Result<(), ReceiptError> {
        let (size, root) = (checkpoint.size(), checkpoint.log_root());
        Ok(self
            .inclusion
            .verify(self.entry.leaf_hash(), self.index, size, root)?)
    }
}

/// Proof that an entry is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry and its place.
    pub proved: EntryProof,
    /// The checkpoint that the place is proved against.
    pub checkpoint: SignedCheckpoint,
}

/// A receipt of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// The entry.
    pub entry: VerifiedEntry,
    /// Its place in the log.
    pub index: LeafIndex,
    /// The checkpoint.
    pub checkpoint: VerifiedCheckpoint,
}

impl Receipt {
    /// Verifies steps 2 to 4, calling `passed` after each one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        &self,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<VerifiedReceipt, ReceiptError> {
        let checkpoint = self.checkpoint.verify(roster)?;
        passed(Step::Checkpoint);
        let entry = self.proved.verify(&checkpoint, passed)?;
        Ok(VerifiedReceipt {
            entry,
            index: self.proved.index,
            checkpoint,
        })
    }
}

/// Proof that a claim was refused because a slot is taken, or was delivered too recently for the early
/// renewal that is attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalReceipt {
    /// Why: [`Reason::SlotReserved`], [`Reason::SlotHeld`] or [`Reason::EarlyRenewalTooSoon`].
    pub reason: Reason,
    /// The entry that was refused. It is not in the log.
    pub refused: Entry,
    /// Position of the taken slot's key among the refused entry's keys.
    pub key_position: usize,
    /// The slot's state in the map.
    pub state: MapProof,
    /// The entry that has the slot.
    pub holder: EntryProof,
    /// The checkpoint that state and holder are proved against.
    pub checkpoint: SignedCheckpoint,
}

/// A refusal receipt of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRefusal {
    /// The slot that is taken.
    pub slot: SlotKey,
    /// Its state.
    pub state: SlotState,
    /// The checkpoint.
    pub checkpoint: VerifiedCheckpoint,
}

impl RefusalReceipt {
    /// Verifies steps 2 to 6, calling `passed` after each one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        &self,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<VerifiedRefusal, ReceiptError> {
        let checkpoint = self.checkpoint.verify(roster)?;
        passed(Step::Checkpoint);
        let holder = self.holder.verify(&checkpoint, passed)?;
        let (slot, early) = self.asked_slot()?;
        let state = self.state_of(&slot, &checkpoint)?;
        self.verify_reason(&state, early, &holder)?;
        passed(Step::State);
        self.verify_refused(checkpoint.origin())?;
        passed(Step::Refused);
        Ok(VerifiedRefusal {
            slot,
            state,
            checkpoint,
        })
    }

    fn asked_slot(&self) -> Result<(SlotKey, Option<EarlyFrom>), ReceiptError> {
        let not_asked = ReceiptError::NotAsked {
            position: self.key_position,
        };
        let Attestation::Claim(claim) = Attestation::read(self.refused.header())? else {
            return Err(not_asked);
        };
        let slot = claim.slots.get(self.key_position).copied();
        Ok((slot.ok_or(not_asked)?, claim.early))
    }

    /// The state by which the holder has the slot: that of the map, or the hold beneath it.
    fn state_of(
        &self,
        slot: &SlotKey,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<SlotState, ReceiptError> {
        let value = self
            .state
            .verify(&slot_index(slot), checkpoint.map_root())?;
        let state = value.map(|value| State::from_bytes(value.as_bytes()));
        let Some(Ok(State::Slot(state))) = state else {
            return Err(self.not_the_holder());
        };
        let beneath = state.beneath.map(|hold| SlotState {
            status: SlotStatus::Held,
            until: hold.until,
            by: hold.by,
            beneath: None,
        });
        [Some(state), beneath]
            .into_iter()
            .flatten()
            .find(|state| state.by == self.holder.index && state.is_taken(self.earliest_day()))
            .ok_or(self.not_the_holder())
    }

    /// Whether the state refuses the claim for the reason that is given.
    fn verify_reason(
        &self,
        state: &SlotState,
        early: Option<EarlyFrom>,
        holder: &VerifiedEntry,
    ) -> Result<(), ReceiptError> {
        let holds = match (self.reason, state.status) {
            (Reason::SlotReserved, SlotStatus::Reserved) => true,
            (Reason::SlotHeld, SlotStatus::Held) => early.is_none(),
            (Reason::EarlyRenewalTooSoon, SlotStatus::Held) => {
                let Ok(Attestation::Delivery(delivery)) = Attestation::read(holder.header()) else {
                    return Err(self.not_the_holder());
                };
                let delivered_on = delivery.handover.delivered_on(holder.header().issued_at);
                early.is_some_and(|early| self.earliest_day() < early.opens_on(delivered_on))
            }
            _ => false,
        };
        holds.then_some(()).ok_or(self.not_the_holder())
    }

    const fn not_the_holder(&self) -> ReceiptError {
        ReceiptError::NotTheHolder {
            holder: self.holder.index,
        }
    }

    /// The earliest day on which the refused entry can have been decided: its own, less the time
    /// by which its issuer's clock may have been ahead.
    fn earliest_day(&self) -> Day {
        let issued_at = self.refused.header().issued_at.get();
        UnixMillis::new(issued_at.saturating_sub(CLOCK_SKEW_MS_MAX)).day()
    }

    fn verify_refused(&self, origin: &Origin) -> Result<(), ReceiptError> {
        self.refused
            .clone()
            .verify(origin)
            .map_err(ReceiptError::Refused)?;
        Ok(())
    }
}

/// Either kind of receipt file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the receipt it holds")]
#[allow(
    clippy::large_enum_variant,
    reason = "a file is read one at a time, so there is no array of them"
)]
pub enum ReceiptFile {
    Accepted(Receipt),
    Refused(RefusalReceipt),
}

/// Either kind of receipt, of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the receipt it holds")]
#[allow(
    clippy::large_enum_variant,
    reason = "a file is read one at a time, so there is no array of them"
)]
pub enum VerifiedFile {
    Accepted(VerifiedReceipt),
    Refused(VerifiedRefusal),
}

impl ReceiptFile {
    /// Reads a receipt file and verifies it: step 1, then the others, `passed` after each one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        text: &str,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<VerifiedFile, ReceiptError> {
        let file = Self::parse(text)?;
        passed(Step::Format);
        match file {
            Self::Accepted(receipt) => receipt.verify(roster, passed).map(VerifiedFile::Accepted),
            Self::Refused(refusal) => refusal.verify(roster, passed).map(VerifiedFile::Refused),
        }
    }

    /// Reads a receipt file; there is one spelling of each.
    ///
    /// # Errors
    /// [`ReceiptError::Line`] with the first line that is not as it must be.
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLong { got: text.len() });
        }
        let mut lines = Lines {
            rest: text,
            line: 0,
        };
        match lines.next() {
            Some(RECEIPT_TITLE) => lines.receipt().map(Self::Accepted),
            Some(REFUSAL_TITLE) => lines.refusal().map(Self::Refused),
            _ => Err(lines.wrong("the title of a vitrail receipt or refusal")),
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Accepted(receipt) => {
                let Receipt { proved, checkpoint } = receipt;
                let proved = entry_lines("entry", proved);
                format!("{RECEIPT_TITLE}\n{proved}\n{}", checkpoint.to_text())
            }
            Self::Refused(refusal) => {
                let RefusalReceipt {
                    reason,
                    refused,
                    key_position,
                    state,
                    holder,
                    checkpoint,
                } = refusal;
                let refused = BASE64_STANDARD.encode(refused.bytes());
                let state = BASE64_STANDARD.encode(state.to_bytes());
                let holder = entry_lines("holder", holder);
                format!(
                    "{REFUSAL_TITLE}\nreason {}\nrefused {refused}\nslot {key_position}\n\
                     state {state}\n{holder}\n{}",
                    reason.code(),
                    checkpoint.to_text()
                )
            }
        }
    }
}

fn entry_lines(name: &str, proved: &EntryProof) -> String {
    let entry = BASE64_STANDARD.encode(proved.entry.bytes());
    let path = proved
        .inclusion
        .hashes()
        .iter()
        .map(|hash| format!("path {hash}\n"));
    format!(
        "{name} {entry}\nindex {}\n{}",
        proved.index,
        path.collect::<String>()
    )
}

/// The lines of a receipt file that are still to be read.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    const fn wrong(&self, want: &'static str) -> ReceiptError {
        ReceiptError::Line {
            line: self.line,
            want,
        }
    }

    fn field(&mut self, name: &str, want: &'static str) -> Result<&'a str, ReceiptError> {
        let value = self
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.ok_or(self.wrong(want))
    }

    fn receipt(mut self) -> Result<Receipt, ReceiptError> {
        let proved = self.entry_proof("entry", "entry <base64>")?;
        Ok(Receipt {
            proved,
            checkpoint: SignedCheckpoint::parse(self.rest.as_bytes())?,
        })
    }

    fn refusal(mut self) -> Result<RefusalReceipt, ReceiptError> {
        let want = "reason <code of a taken slot>";
        let reason = Reason::from_code(self.field("reason", want)?).ok_or(self.wrong(want))?;
        let refused = self.entry("refused", "refused <base64>", ReceiptError::Refused)?;
        let key_position = self.number("slot", "slot <decimal>")?;
        let want = "state <base64>";
        let state = BASE64_STANDARD.decode(self.field("state", want)?);
        let state = MapProof::from_bytes(&state.map_err(|_| self.wrong(want))?)?;
        let holder = self.entry_proof("holder", "holder <base64>")?;
        Ok(RefusalReceipt {
            reason,
            refused,
            key_position: usize::try_from(key_position).unwrap_or(usize::MAX),
            state,
            holder,
            checkpoint: SignedCheckpoint::parse(self.rest.as_bytes())?,
        })
    }

    fn entry_proof(&mut self, name: &str, want: &'static str) -> Result<EntryProof, ReceiptError> {
        let entry = self.entry(name, want, ReceiptError::Entry)?;
        let index = LeafIndex::new(self.number("index", "index <decimal>")?);
        Ok(EntryProof {
            entry,
            index,
            inclusion: self.inclusion()?,
        })
    }

    fn entry(
        &mut self,
        name: &str,
        want: &'static str,
        malformed: fn(EntryError) -> ReceiptError,
    ) -> Result<Entry, ReceiptError> {
        let bytes = BASE64_STANDARD.decode(self.field(name, want)?);
        Entry::parse(&bytes.map_err(|_| self.wrong(want))?).map_err(malformed)
    }

    fn number(&mut self, name: &str, want: &'static str) -> Result<u64, ReceiptError> {
        let text = self.field(name, want)?;
        let value: u64 = text.parse().map_err(|_| self.wrong(want))?;
        // One spelling: no sign, no leading zero.
        (value.to_string() == text)
            .then_some(value)
            .ok_or(self.wrong(want))
    }

    fn inclusion(&mut self) -> Result<InclusionProof, ReceiptError> {
        let want = "path <base64 of 32 bytes>, at most 64 times, then an empty line";
        let mut hashes = Vec::new();
        loop {
            match self.next() {
                Some("") => return Ok(InclusionProof::from_hashes(hashes)?),
                Some(line) if hashes.len() < INCLUSION_PROOF_HASHES_MAX => {
                    let hash = line.strip_prefix("path ").and_then(Hash::from_base64);
                    hashes.push(hash.ok_or(self.wrong(want))?);
                }
                _ => return Err(self.wrong(want)),
            }
        }
    }
}
