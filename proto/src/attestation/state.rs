//! What the map keeps: the state of a slot, a coverage, a grant, and which roster and catalogue
//! are in force, whose key a key is, what became of an invoice, each with the leaf that made it so.

use thiserror::Error;

use super::member::MemberState;
use super::settlement::SettlementOutcome;
use crate::hash::{Context, Hash};
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
    /// The hold that was there before the claim, and comes back with a release.
    pub beneath: Option<Hold>,
}

/// A hold that a later claim, or its delivery, lies over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The last day of it.
    pub until: Day,
    /// The delivery that made it.
    pub by: LeafIndex,
}

impl SlotState {
    /// Whether a claim on this day finds the slot taken.
    #[must_use]
    pub fn is_taken(&self, today: Day) -> bool {
        self.on(today).is_some()
    }

    /// Who has the slot on this day: the state itself, or the hold beneath it once its own last day
    /// is past; `None` when it is free.
    #[must_use]
    pub fn on(&self, today: Day) -> Option<Self> {
        if today <= self.until {
            return Some(*self);
        }
        let beneath = self.beneath.filter(|hold| today <= hold.until)?;
        Some(Self {
            status: SlotStatus::Held,
            until: beneath.until,
            by: beneath.by,
            beneath: None,
        })
    }

    /// The hold that a claim of the slot lies over.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        match self.status {
            SlotStatus::Reserved => self.beneath,
            SlotStatus::Held => Some(Hold {
                until: self.until,
                by: self.by,
            }),
        }
    }
}

/// What the payers of a delivery judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvoiceState {
    /// The newest delivery of the invoice: the first one or a correction.
    pub delivery: LeafIndex,
    /// The release by which something of it came back since then.
    pub returned_by: Option<LeafIndex>,
}

/// What one payer answered to an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementState {
    /// The answer.
    pub outcome: SettlementOutcome,
    /// The delivery that it judged.
    pub delivery: LeafIndex,
    /// The settlement.
    pub by: LeafIndex,
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
    Invoice(InvoiceState),
    Settlement(SettlementState),
    Member(MemberState),
}

/// The bytes are not those of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the map value is not a state of this version")]
pub struct StateError;

/// Length of what every state has: one tag byte, eight bytes of day, moment or leaf index, eight of
/// leaf index. Some have more behind it.
const STATE_BYTES: usize = 17;

impl State {
    /// The map value: tag, then a day or moment, then the leaf index, all of fixed width; then what
    /// only this tag has.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let day = |day: Day| u64::from(day.get());
        let (tag, time, by) = match self {
            Self::Slot(slot) => match slot.status {
                SlotStatus::Reserved => (1, day(slot.until), slot.by),
                SlotStatus::Held => (2, day(slot.until), slot.by),
            },
            Self::Coverage(CoverageState { until, by }) => (3, day(until), by),
            Self::Grant(GrantState::Active { expires_at, by }) => (4, expires_at.get(), by),
            Self::Grant(GrantState::Revoked { by }) => (5, 0, by),
            Self::Grant(GrantState::Device { expires_at, by }) => (8, expires_at.get(), by),
            Self::Grant(GrantState::Session { expires_at, by, .. }) => (9, expires_at.get(), by),
            Self::Roster { by } => (6, 0, by),
            Self::Catalogue { valid_from, by } => (7, day(valid_from), by),
            Self::Invoice(InvoiceState {
                delivery,
                returned_by,
            }) => match returned_by {
                None => (10, 0, delivery),
                Some(release) => (11, delivery.get(), release),
            },
            Self::Settlement(SettlementState { delivery, by, .. }) => (12, delivery.get(), by),
            Self::Member(MemberState { by, .. }) => (13, 0, by),
        };
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        bytes.push(tag);
        bytes.extend_from_slice(&u64::to_be_bytes(time));
        bytes.extend_from_slice(&by.get().to_be_bytes());
        self.extend(&mut bytes);
        bytes
    }

    /// What stands behind the seventeen bytes.
    fn extend(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Grant(GrantState::Session { device, .. }) => {
                bytes.extend_from_slice(&device.to_bytes());
            }
            Self::Slot(SlotState {
                beneath: Some(hold),
                ..
            }) => {
                bytes.extend_from_slice(&u64::from(hold.until.get()).to_be_bytes());
                bytes.extend_from_slice(&hold.by.get().to_be_bytes());
            }
            Self::Settlement(settlement) => bytes.extend(settlement.outcome.to_bytes()),
            Self::Member(member) => bytes.extend_from_slice(member.name.as_bytes()),
            _ => {}
        }
    }

    /// Reads a map value.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not the one spelling of a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (head, tail) = bytes.split_first_chunk().ok_or(StateError)?;
        let [tag, rest @ ..]: &[u8; STATE_BYTES] = head;
        let (time, by) = rest.split_at(8);
        let (time, by) = (number(time)?, LeafIndex::new(number(by)?));
        let alone = |state| tail.is_empty().then_some(state).ok_or(StateError);
        let without_time = |state| (time == 0).then_some(state).ok_or(StateError);
        let expires_at = UnixMillis::new(time);
        match tag {
            1 | 2 => {
                let status = match tag {
                    1 => SlotStatus::Reserved,
                    _ => SlotStatus::Held,
                };
                Ok(Self::Slot(SlotState {
                    status,
                    until: day(time)?,
                    by,
                    beneath: hold(tail)?,
                }))
            }
            3 => {
                let until = day(time)?;
                alone(Self::Coverage(CoverageState { until, by }))
            }
            4 => alone(Self::Grant(GrantState::Active { expires_at, by })),
            5 => alone(without_time(Self::Grant(GrantState::Revoked { by }))?),
            6 => alone(without_time(Self::Roster { by })?),
            7 => {
                let valid_from = day(time)?;
                alone(Self::Catalogue { valid_from, by })
            }
            8 => alone(Self::Grant(GrantState::Device { expires_at, by })),
            9 => {
                let device = tail.try_into().map_err(|_| StateError)?;
                Ok(Self::Grant(GrantState::Session {
                    expires_at,
                    by,
                    device: PublicKey::from_bytes(device).map_err(|_| StateError)?,
                }))
            }
            10 => alone(without_time(Self::Invoice(InvoiceState {
                delivery: by,
                returned_by: None,
            }))?),
            11 => alone(Self::Invoice(InvoiceState {
                delivery: LeafIndex::new(time),
                returned_by: Some(by),
            })),
            12 => Ok(Self::Settlement(SettlementState {
                outcome: SettlementOutcome::from_bytes(tail).ok_or(StateError)?,
                delivery: LeafIndex::new(time),
                by,
            })),
            13 => without_time(Self::Member(MemberState {
                name: Hash::from_slice(tail).ok_or(StateError)?,
                by,
            })),
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
            | Self::Catalogue { by, .. }
            | Self::Settlement(SettlementState { by, .. })
            | Self::Member(MemberState { by, .. }) => *by,
            Self::Invoice(InvoiceState {
                delivery,
                returned_by,
            }) => match returned_by {
                Some(release) => *release,
                None => *delivery,
            },
        }
    }
}

fn number(bytes: &[u8]) -> Result<u64, StateError> {
    let bytes = bytes.try_into().map_err(|_| StateError)?;
    Ok(u64::from_be_bytes(bytes))
}

fn day(number: u64) -> Result<Day, StateError> {
    u32::try_from(number).map(Day::new).map_err(|_| StateError)
}

/// The hold beneath a slot's state, if there is one.
fn hold(tail: &[u8]) -> Result<Option<Hold>, StateError> {
    if tail.is_empty() {
        return Ok(None);
    }
    let (until, by) = tail.split_at_checked(8).ok_or(StateError)?;
    Ok(Some(Hold {
        until: day(number(until)?)?,
        by: LeafIndex::new(number(by)?),
    }))
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

/// Where the map keeps an invoice, which is named by its first delivery.
#[must_use]
pub fn invoice_index(invoice: LeafIndex) -> MapIndex {
    MapIndex::new(Context::MapInvoice, &invoice.get().to_be_bytes())
}

/// Where the map keeps what a payer answered to an invoice.
#[must_use]
pub fn settlement_index(invoice: LeafIndex, payer: &PublicKey) -> MapIndex {
    let key = [&invoice.get().to_be_bytes()[..], &payer.to_bytes()].concat();
    MapIndex::new(Context::MapSettlement, &key)
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
    use crate::refusal::Reason;
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
                beneath: Some(Hold {
                    until: Day::new(9),
                    by: LeafIndex::new(8),
                }),
            }),
            State::Slot(SlotState {
                status: SlotStatus::Held,
                until,
                by,
                beneath: None,
            }),
            State::Invoice(InvoiceState {
                delivery: by,
                returned_by: None,
            }),
            State::Invoice(InvoiceState {
                delivery: LeafIndex::new(5),
                returned_by: Some(by),
            }),
            State::Settlement(SettlementState {
                outcome: SettlementOutcome::Paid,
                delivery: LeafIndex::new(5),
                by,
            }),
            State::Settlement(SettlementState {
                outcome: SettlementOutcome::Rejected(Reason::InvoiceUnfit),
                delivery: LeafIndex::new(5),
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
            State::Member(MemberState::new(&"cnam".parse().unwrap(), by)),
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
            beneath: None,
        };
        assert!(slot.is_taken(Day::new(100)));
        assert!(!slot.is_taken(Day::new(101)));
    }

    #[test]
    fn a_hold_counts_again_once_the_reservation_over_it_has_run_out() {
        let (until, by) = (Day::new(200), LeafIndex::new(3));
        let slot = SlotState {
            status: SlotStatus::Reserved,
            until: Day::new(100),
            by: LeafIndex::new(7),
            beneath: Some(Hold { until, by }),
        };
        assert_eq!(slot.on(Day::new(100)), Some(slot));
        let held = slot.on(Day::new(101)).unwrap();
        assert_eq!(
            (held.status, held.until, held.by),
            (SlotStatus::Held, until, by)
        );
        assert_eq!(slot.on(Day::new(201)), None);
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
