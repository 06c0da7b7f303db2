//! What the map keeps: the state of a slot, a coverage, a grant, and which roster and catalogue
//! are in force, each with the leaf that made it so.

use thiserror::Error;

use crate::hash::Context;
use crate::ids::{CoverageKey, Day, LeafIndex, SlotKey, UnixMillis};
use crate::map::MapIndex;
use crate::signing::PublicKey;

/// Whether a slot is reserved by a claim or held after delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotStatus {
    /// A claim has it until delivery, or until the date runs out.
    Reserved,
    /// A delivered item has it until its renewal date.
    Held,
}

/// The state of a slot that is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotState {
    /// Reserved or held.
    pub status: SlotStatus,
    /// The last day of it: from the next day on the slot is as good as free.
    pub until: Day,
    /// The entry that made it so.
    pub by: LeafIndex,
}

impl SlotState {
    /// Whether a claim on this day finds the slot taken.
    #[must_use]
    pub fn is_taken(&self, today: Day) -> bool {
        today <= self.until
    }
}

/// The newest coverage under a coverage key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoverageState {
    /// The last day on which a claim may rest on it.
    pub until: Day,
    /// The coverage entry.
    pub by: LeafIndex,
}

/// The admission of a till's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// Admitted until a moment.
    Active {
        /// The first moment at which it is no longer admitted.
        expires_at: UnixMillis,
        /// The grant entry.
        by: LeafIndex,
    },
    /// Enrolled until a moment, to grant session keys.
    Device {
        /// The first moment at which it is no longer enrolled.
        expires_at: UnixMillis,
        /// The grant entry.
        by: LeafIndex,
    },
    /// Admitted until a moment, and no longer than its device is enrolled.
    Session {
        /// The first moment at which it is no longer admitted.
        expires_at: UnixMillis,
        /// The grant entry.
        by: LeafIndex,
        /// The device key that granted it.
        device: PublicKey,
    },
    /// Revoked, for good.
    Revoked {
        /// The revocation entry.
        by: LeafIndex,
    },
}

/// A value of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the state it is named after")]
pub enum State {
    Slot(SlotState),
    Coverage(CoverageState),
    Grant(GrantState),
    Roster { by: LeafIndex },
    Catalogue { valid_from: Day, by: LeafIndex },
}

/// The bytes are not those of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the map value is not a state of this version")]
pub struct StateError;

/// Length of every state but one: one tag byte, eight bytes of time or day, eight of leaf index.
/// That of a session key has its device's key behind them.
const STATE_BYTES: usize = 17;

impl State {
    /// The map value: tag, then a day or moment, then the leaf index, all of fixed width.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let day = |day: Day| u64::from(day.get());
        let (tag, time, by) = match self {
            Self::Slot(SlotState {
                status: SlotStatus::Reserved,
                until,
                by,
            }) => (1, day(until), by),
            Self::Slot(SlotState {
                status: SlotStatus::Held,
                until,
                by,
            }) => (2, day(until), by),
            Self::Coverage(CoverageState { until, by }) => (3, day(until), by),
            Self::Grant(GrantState::Active { expires_at, by }) => (4, expires_at.get(), by),
            Self::Grant(GrantState::Revoked { by }) => (5, 0, by),
            Self::Grant(GrantState::Device { expires_at, by }) => (8, expires_at.get(), by),
            Self::Grant(GrantState::Session { expires_at, by, .. }) => (9, expires_at.get(), by),
            Self::Roster { by } => (6, 0, by),
            Self::Catalogue { valid_from, by } => (7, day(valid_from), by),
        };
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        bytes.push(tag);
        bytes.extend_from_slice(&u64::to_be_bytes(time));
        bytes.extend_from_slice(&by.get().to_be_bytes());
        if let Self::Grant(GrantState::Session { device, .. }) = self {
            bytes.extend_from_slice(&device.to_bytes());
        }
        bytes
    }

    /// Reads a map value.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not the one spelling of a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (bytes, device) = bytes.split_first_chunk().ok_or(StateError)?;
        let [tag, rest @ ..]: &[u8; STATE_BYTES] = bytes;
        if !device.is_empty() && *tag != 9 {
            return Err(StateError);
        }
        let (time, by) = rest.split_at(8);
        let number = |bytes: &[u8]| {
            bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| StateError)
        };
        let (time, by) = (number(time)?, LeafIndex::new(number(by)?));
        let day = || u32::try_from(time).map(Day::new).map_err(|_| StateError);
        let slot = |status| {
            Ok(Self::Slot(SlotState {
                status,
                until: day()?,
                by,
            }))
        };
        let without_time = |state| (time == 0).then_some(state).ok_or(StateError);
        match tag {
            1 => slot(SlotStatus::Reserved),
            2 => slot(SlotStatus::Held),
            3 => Ok(Self::Coverage(CoverageState { until: day()?, by })),
            4 => {
                let expires_at = UnixMillis::new(time);
                Ok(Self::Grant(GrantState::Active { expires_at, by }))
            }
            8 => {
                let expires_at = UnixMillis::new(time);
                Ok(Self::Grant(GrantState::Device { expires_at, by }))
            }
            9 => {
                let device = device.try_into().map_err(|_| StateError)?;
                Ok(Self::Grant(GrantState::Session {
                    expires_at: UnixMillis::new(time),
                    by,
                    device: PublicKey::from_bytes(device).map_err(|_| StateError)?,
                }))
            }
            5 => without_time(Self::Grant(GrantState::Revoked { by })),
            6 => without_time(Self::Roster { by }),
            7 => Ok(Self::Catalogue {
                valid_from: day()?,
                by,
            }),
            _ => Err(StateError),
        }
    }

    /// The entry that made the state.
    #[must_use]
    pub const fn by(&self) -> LeafIndex {
        match self {
            Self::Slot(SlotState { by, .. })
            | Self::Coverage(CoverageState { by, .. })
            | Self::Grant(
                GrantState::Active { by, .. }
                | GrantState::Device { by, .. }
                | GrantState::Session { by, .. }
                | GrantState::Revoked { by },
            )
            | Self::Roster { by }
            | Self::Catalogue { by, .. } => *by,
        }
    }
}

/// Where the map keeps a slot.
#[must_use]
pub fn slot_index(slot: &SlotKey) -> MapIndex {
    MapIndex::new(Context::MapSlot, slot.as_bytes())
}

/// Where the map keeps the newest coverage under a coverage key.
#[must_use]
pub fn coverage_index(coverage: &CoverageKey) -> MapIndex {
    MapIndex::new(Context::MapCoverage, coverage.as_bytes())
}

/// Where the map keeps the admission of a till's key.
#[must_use]
pub fn grant_index(till: &PublicKey) -> MapIndex {
    MapIndex::new(Context::MapGrant, &till.to_bytes())
}

/// Where the map keeps which roster is in force.
#[must_use]
pub fn roster_index() -> MapIndex {
    MapIndex::new(Context::MapFederation, b"roster")
}

/// Where the map keeps which catalogue is in force.
#[must_use]
pub fn catalogue_index() -> MapIndex {
    MapIndex::new(Context::MapFederation, b"catalogue")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::SecretKey;
    use proptest::prelude::*;

    #[test]
    fn every_state_reads_back() {
        let (until, by) = (Day::new(20_000), LeafIndex::new(77));
        let states = [
            State::Slot(SlotState {
                status: SlotStatus::Reserved,
                until,
                by,
            }),
            State::Slot(SlotState {
                status: SlotStatus::Held,
                until,
                by,
            }),
            State::Coverage(CoverageState { until, by }),
            State::Grant(GrantState::Active {
                expires_at: UnixMillis::new(5),
                by,
            }),
            State::Grant(GrantState::Revoked { by }),
            State::Grant(GrantState::Device {
                expires_at: UnixMillis::new(6),
                by,
            }),
            State::Grant(GrantState::Session {
                expires_at: UnixMillis::new(7),
                by,
                device: SecretKey::from_seed(&[3; 32]).public(),
            }),
            State::Roster { by },
            State::Catalogue {
                valid_from: until,
                by,
            },
        ];
        for state in states {
            assert_eq!(State::from_bytes(&state.to_bytes()), Ok(state));
            assert_eq!(state.by(), by);
        }
    }

    #[test]
    fn a_slot_is_taken_through_its_last_day() {
        let by = LeafIndex::new(0);
        let slot = SlotState {
            status: SlotStatus::Held,
            until: Day::new(100),
            by,
        };
        assert!(slot.is_taken(Day::new(100)));
        assert!(!slot.is_taken(Day::new(101)));
    }

    proptest! {
        #[test]
        fn what_parses_is_the_one_spelling(bytes in prop::collection::vec(any::<u8>(), 0..52)) {
            if let Ok(state) = State::from_bytes(&bytes) {
                prop_assert_eq!(state.to_bytes(), bytes);
            }
        }
    }
}
