//! Two states of one ledger, the later of which must follow from the earlier, and the members
//! whose signatures say both.

use super::EvidenceError;
use crate::batch::{BatchHeader, SignedHeader};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::{self, Hash};
use crate::ids::{MemberName, TreeSize, UnixSeconds};
use crate::roster::Roster;

/// A state of log and map that a member vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    /// How many entries the log has.
    pub size: TreeSize,
    /// The root of the log.
    pub log_root: Hash,
    /// The root of the map after the last of these entries.
    pub map_root: Hash,
}

impl Roots {
    /// The state before the first entry, for which nobody needs to vouch.
    fn founding() -> Self {
        Self {
            size: TreeSize::new(0),
            log_root: hash::empty(),
            map_root: hash::empty(),
        }
    }

    /// The state that a checkpoint commits to.
    #[must_use]
    pub const fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size,
            log_root: checkpoint.log_root,
            map_root: checkpoint.map_root,
        }
    }

    const fn of_header(header: &BatchHeader) -> Self {
        Self {
            size: header.size,
            log_root: header.log_root,
            map_root: header.map_root,
        }
    }
}

/// A batch's header with the one before it. Who signs a header vouches for the one before, which
/// it names by hash: an honest leader extends what it has checked, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLink {
    /// Who led.
    pub leader: MemberName,
    /// The header before. It needs no signature here.
    pub previous: BatchHeader,
    /// The leader's header.
    pub header: SignedHeader,
}

impl BatchLink {
    /// Checks that the member of this name signed the header, and that it names the one before.
    ///
    /// # Errors
    /// [`EvidenceError::UnknownMember`], [`EvidenceError::Header`] or [`EvidenceError::OtherPrevious`].
    pub fn verify(&self, roster: &Roster) -> Result<&BatchHeader, EvidenceError> {
        let header = verify_header(roster, &self.leader, &self.header)?;
        let names_it = header.previous == self.previous.hash();
        names_it
            .then_some(header)
            .ok_or(EvidenceError::OtherPrevious)
    }
}

/// Checks that the member of this name signed the header for the roster's ledger.
pub(super) fn verify_header<'a>(
    roster: &Roster,
    leader: &MemberName,
    header: &'a SignedHeader,
) -> Result<&'a BatchHeader, EvidenceError> {
    let unknown = || EvidenceError::UnknownMember {
        name: leader.clone(),
    };
    let member = roster.member(leader).ok_or_else(unknown)?;
    Ok(header.verify(roster.origin(), &member.public_key)?)
}

/// An earlier and a later state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a file of evidence has one, so there is no array of them"
)]
pub enum Extension {
    /// From the empty ledger to a checkpoint.
    Founding(SignedCheckpoint),
    /// From one checkpoint to another.
    Checkpoints {
        /// The earlier one.
        before: SignedCheckpoint,
        /// The later one.
        after: SignedCheckpoint,
    },
    /// From one batch to the next.
    Batch(BatchLink),
}

/// An extension of which the signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vouched {
    pub(super) before: Roots,
    pub(super) after: Roots,
    pub(super) signers: Signers,
}

/// Who says both of two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signers {
    /// At least one, in the order of the roster.
    pub(super) members: Vec<MemberName>,
    /// Whether a quorum vouches for each of the two: then more members lie than may.
    pub(super) certified: bool,
}

impl Extension {
    /// Checks the signatures; at least one member must vouch for both states.
    pub(super) fn verify(&self, roster: &Roster) -> Result<Vouched, EvidenceError> {
        match self {
            Self::Founding(after) => Ok(Vouched {
                before: Roots::founding(),
                after: Roots::of(after.claimed()),
                signers: Signers {
                    members: names(&after.verify_signers(roster)?),
                    certified: after.verify(roster).is_ok(),
                },
            }),
            Self::Checkpoints { before, after } => Ok(Vouched {
                before: Roots::of(before.claimed()),
                after: Roots::of(after.claimed()),
                signers: both(roster, before, after, |_, _| true)?,
            }),
            Self::Batch(link) => Ok(Vouched {
                after: Roots::of_header(link.verify(roster)?),
                before: Roots::of_header(&link.previous),
                signers: Signers {
                    members: vec![link.leader.clone()],
                    certified: false,
                },
            }),
        }
    }
}

/// The members that cosigned both checkpoints, at times of which `counts` is true.
pub(super) fn both(
    roster: &Roster,
    first: &SignedCheckpoint,
    second: &SignedCheckpoint,
    counts: impl Fn(UnixSeconds, UnixSeconds) -> bool,
) -> Result<Signers, EvidenceError> {
    let ours = first.verify_signers(roster)?;
    let mut theirs = second.verify_signers(roster)?;
    theirs.retain(|(member, time)| {
        let earlier = ours.iter().find(|(other, _)| other.name == member.name);
        earlier.is_some_and(|(_, first_time)| counts(*first_time, *time))
    });
    let members = names(&theirs);
    if members.is_empty() {
        return Err(EvidenceError::NobodySignedBoth);
    }
    Ok(Signers {
        members,
        certified: first.verify(roster).is_ok() && second.verify(roster).is_ok(),
    })
}

fn names(signers: &[(&crate::roster::Member, UnixSeconds)]) -> Vec<MemberName> {
    let mut names: Vec<MemberName> = signers
        .iter()
        .map(|(member, _)| member.name.clone())
        .collect();
    names.sort();
    names
}
