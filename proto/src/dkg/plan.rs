//! What the members agree on before a ceremony starts: everybody computes the same plan, and
//! every message is signed for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use thiserror::Error;

use crate::hash::{self, Context, Hash};
use crate::ids::{MemberName, Origin};
use crate::oprf::{ShareIndex, Threshold};
use crate::signing::PublicKey;

/// Most participants: as many as a roster has members.
pub const PARTICIPANTS_MAX: usize = 100;

/// Fewest that must evaluate together. A threshold of 1 gives every member the whole key.
const THRESHOLD_MIN: u16 = 2;

/// What a ceremony is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New joint keys, and so new tokens.
    Deal,
    /// New shares of the joint keys there are; tokens stay as they are.
    Refresh,
    /// The shares of the member with this index again, from the others'. Nothing else changes.
    Repair(ShareIndex),
}

impl Kind {
    /// The word for it in a plan.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deal => "deal",
            Self::Refresh => "refresh",
            Self::Repair(_) => "repair",
        }
    }
}

/// One member that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Its name in the roster.
    pub name: MemberName,
    /// The index that its shares have.
    pub index: ShareIndex,
    /// The key that signs its messages: its key in the roster.
    pub public_key: PublicKey,
}

/// The contents of a plan, before its rules are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanParts {
    /// What the ceremony is for.
    pub kind: Kind,
    /// The ledger it is held for.
    pub origin: Origin,
    /// The hash of the roster in force, which its outcome succeeds.
    pub roster: Hash,
    /// Which attempt under that roster it is, from 1: each has messages of its own.
    pub attempt: u32,
    /// How many shares evaluate together.
    pub threshold: Threshold,
    /// Who takes part, in any order.
    pub participants: Vec<Participant>,
}

/// Why there can be no such ceremony.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Nobody could combine, or everybody alone.
    #[error("the threshold must be {THRESHOLD_MIN} to {participants}, got {threshold}")]
    Threshold {
        /// The threshold asked for.
        threshold: Threshold,
        /// How many take part.
        participants: usize,
    },
    /// There are more than a roster may have members.
    #[error("at most {PARTICIPANTS_MAX} members take part, got {got}")]
    TooMany {
        /// How many there are.
        got: usize,
    },
    /// Fewer have their shares than evaluate together: nobody can make another one from them.
    #[error("a repair takes at least {threshold} members that have their shares, got {helpers}")]
    Helpers {
        /// How many evaluate together.
        threshold: Threshold,
        /// How many help.
        helpers: usize,
    },
    /// The member whose shares are made again is not there.
    #[error("the member whose shares are repaired, of index {index}, must take part")]
    Repaired {
        /// Its index.
        index: ShareIndex,
    },
    /// Attempts count from 1.
    #[error("the first attempt is 1, got 0")]
    Attempt,
    /// A name, an index or a key is there twice.
    #[error("{name} is there twice, or has the index or key of another")]
    Duplicate {
        /// The second one.
        name: MemberName,
    },
}

/// A plan whose rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Participants are sorted by index: one plan has one text.
    parts: PlanParts,
    text: String,
    id: Hash,
}

impl Plan {
    /// Checks the rules and sorts the participants.
    ///
    /// # Errors
    /// [`PlanError`], the first rule that does not hold.
    pub fn new(mut parts: PlanParts) -> Result<Self, PlanError> {
        let got = parts.participants.len();
        if got > PARTICIPANTS_MAX {
            return Err(PlanError::TooMany { got });
        }
        let threshold = parts.threshold;
        if threshold.get() < THRESHOLD_MIN || usize::from(threshold.get()) > got {
            return Err(PlanError::Threshold {
                threshold,
                participants: got,
            });
        }
        if parts.attempt == 0 {
            return Err(PlanError::Attempt);
        }
        parts.participants.sort_by_key(|one| one.index);
        refuse_duplicates(&parts.participants)?;
        require_helpers(&parts)?;
        let text = format(&parts);
        let id = hash::derive(Context::CeremonyPlan, &[text.as_bytes()]);
        Ok(Self { parts, text, id })
    }

    /// The text of the plan: the head of the transcript.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The hash that every message is signed for.
    #[must_use]
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// What the ceremony is for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.parts.kind
    }

    /// How many shares evaluate together.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        self.parts.threshold
    }

    /// Who takes part, sorted by index.
    #[must_use]
    pub fn participants(&self) -> &[Participant] {
        &self.parts.participants
    }

    /// Those that have their shares and give of them in a repair, sorted by index; in a deal and
    /// in a refresh everybody.
    pub fn helpers(&self) -> impl Iterator<Item = &Participant> {
        let all = self.participants().iter();
        all.filter(|one| self.repaired() != Some(one.index))
    }

    /// The index of the member whose shares are repaired; `None` in a deal and in a refresh.
    #[must_use]
    pub const fn repaired(&self) -> Option<ShareIndex> {
        match self.parts.kind {
            Kind::Deal | Kind::Refresh => None,
            Kind::Repair(index) => Some(index),
        }
    }

    /// The participant of this name.
    #[must_use]
    pub fn participant(&self, name: &MemberName) -> Option<&Participant> {
        self.participants().iter().find(|one| one.name == *name)
    }

    /// The participant with this key: how a TLS client certificate becomes one.
    #[must_use]
    pub fn participant_by_key(&self, key: &PublicKey) -> Option<&Participant> {
        self.participants()
            .iter()
            .find(|one| one.public_key == *key)
    }
}

fn refuse_duplicates(participants: &[Participant]) -> Result<(), PlanError> {
    let (mut names, mut indexes, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let twice = participants.iter().find(|one| {
        let known = [
            !names.insert(&one.name),
            !indexes.insert(one.index),
            !keys.insert(one.public_key),
        ];
        known.contains(&true)
    });
    match twice {
        None => Ok(()),
        Some(one) => Err(PlanError::Duplicate {
            name: one.name.clone(),
        }),
    }
}

/// A repair has its member, and as many others as make any share from theirs.
fn require_helpers(parts: &PlanParts) -> Result<(), PlanError> {
    let Kind::Repair(index) = parts.kind else {
        return Ok(());
    };
    if parts.participants.iter().all(|one| one.index != index) {
        return Err(PlanError::Repaired { index });
    }
    let (threshold, helpers) = (parts.threshold, parts.participants.len() - 1);
    if helpers < usize::from(threshold.get()) {
        return Err(PlanError::Helpers { threshold, helpers });
    }
    Ok(())
}

fn format(parts: &PlanParts) -> String {
    let mut text = format!(
        "vitrail ceremony v1\nkind {}\norigin {}\nroster {}\nattempt {}\nthreshold {}\n",
        parts.kind.as_str(),
        parts.origin,
        parts.roster.to_base64(),
        parts.attempt,
        parts.threshold,
    );
    // Writing into a String cannot fail.
    if let Kind::Repair(index) = parts.kind {
        let _ = writeln!(text, "repaired {index}");
    }
    for one in &parts.participants {
        let key = one.public_key.to_base64();
        let _ = writeln!(text, "participant {} {} {key}", one.name, one.index);
    }
    text
}
