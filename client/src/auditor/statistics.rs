//! What a ledger is used for, counted from what its entries say in public: how many of each kind a
//! day, and what became of claims. A day costs a hundred bytes, whatever is in it.
//!
//! Refusals are not here: an entry that is refused is not in the log. What payers reject is.

use std::collections::BTreeMap;

use proto::attestation::{Attestation, Handover, SettlementOutcome};
use proto::entry::{Header, Kind};
use proto::ids::Day;
use proto::refusal::Reason;

/// What happens to a claim, as the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Slots were reserved.
    Claimed,
    /// Slots that were still held were reserved, on the strength of an attested condition.
    ClaimedEarly,
    /// A reservation was given back.
    Released,
    /// Something was handed over for the first time, and invoiced.
    Delivered,
    /// An invoice was stated again.
    Corrected,
    /// Something was replaced under warranty.
    Replaced,
    /// Delivered goods came back.
    Returned,
    /// A payer paid.
    Paid,
    /// A payer paid nothing, and why.
    Rejected(Reason),
    /// A payer took back what it had paid, and why.
    Recovered(Reason),
}

impl Event {
    /// What an entry tells of a claim; `None` for what is about something else.
    #[must_use]
    pub const fn of(attestation: &Attestation) -> Option<Self> {
        Some(match attestation {
            Attestation::Claim(claim) => match claim.early {
                None => Self::Claimed,
                Some(_) => Self::ClaimedEarly,
            },
            Attestation::Release(release) => match release.invoice {
                None => Self::Released,
                Some(_) => Self::Returned,
            },
            Attestation::Delivery(delivery) => match delivery.handover {
                Handover::First { .. } => Self::Delivered,
                Handover::Correction { .. } => Self::Corrected,
                Handover::Replacement { .. } => Self::Replaced,
            },
            Attestation::Settlement(settlement) => match settlement.outcome {
                SettlementOutcome::Paid => Self::Paid,
                SettlementOutcome::Rejected(reason) => Self::Rejected(reason),
                SettlementOutcome::Recovered(reason) => Self::Recovered(reason),
            },
            _ => return None,
        })
    }

    /// The word for it in the report for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::ClaimedEarly => "claimed-early",
            Self::Released => "released",
            Self::Delivered => "delivered",
            Self::Corrected => "corrected",
            Self::Replaced => "replaced",
            Self::Returned => "returned",
            Self::Paid => "paid",
            Self::Rejected(_) => "rejected",
            Self::Recovered(_) => "recovered",
        }
    }

    /// Why, where there is a reason.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Rejected(reason) | Self::Recovered(reason) => Some(reason),
            _ => None,
        }
    }

    /// Two bytes for it: which event, and the number of the reason or 0.
    pub(super) const fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Claimed => [1, 0],
            Self::ClaimedEarly => [2, 0],
            Self::Released => [3, 0],
            Self::Delivered => [4, 0],
            Self::Corrected => [5, 0],
            Self::Replaced => [6, 0],
            Self::Returned => [7, 0],
            Self::Paid => [8, 0],
            Self::Rejected(reason) => [9, reason as u8],
            Self::Recovered(reason) => [10, reason as u8],
        }
    }

    pub(super) fn from_bytes([event, reason]: [u8; 2]) -> Option<Self> {
        match (event, Reason::from_number(reason)) {
            (9, Some(reason)) => return Some(Self::Rejected(reason)),
            (10, Some(reason)) => return Some(Self::Recovered(reason)),
            _ if reason != 0 => return None,
            _ => {}
        }
        Some(match event {
            1 => Self::Claimed,
            2 => Self::ClaimedEarly,
            3 => Self::Released,
            4 => Self::Delivered,
            5 => Self::Corrected,
            6 => Self::Replaced,
            7 => Self::Returned,
            8 => Self::Paid,
            _ => return None,
        })
    }
}

/// How many entries there are of each kind, in the order of [`Kind::ALL`].
pub type KindCounts = [u64; Kind::ALL.len()];

/// What the entries so far say, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// The entries of each day, by their issuers' clocks, in UTC.
    pub days: BTreeMap<Day, KindCounts>,
    /// What happened to claims.
    pub events: BTreeMap<Event, u64>,
}

impl Statistics {
    /// Counts an entry that was admitted.
    pub(super) fn record(&mut self, header: &Header, attestation: &Attestation) {
        let counts = self.days.entry(header.issued_at.day()).or_default();
        let place = Kind::ALL.iter().position(|kind| *kind == header.kind);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
        if let Some(event) = Event::of(attestation) {
            *self.events.entry(event).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Ledger, claim, today};

    #[test]
    fn entries_are_counted_on_their_day_and_by_what_they_say() {
        let mut ledger = Ledger::furnished();
        let later = today().plus(3).start();
        ledger.append_at("till", &claim(&[3], 3), later);
        let mut statistics = Statistics::default();
        for entry in &ledger.entries {
            let says = Attestation::read(entry.header()).unwrap();
            statistics.record(entry.header(), &says);
        }
        let days: Vec<_> = statistics.days.iter().collect();
        assert_eq!(
            days,
            [
                (&today(), &[1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0]),
                (&today().plus(3), &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
            ]
        );
        let events: Vec<_> = statistics.events.into_iter().collect();
        assert_eq!(events, [(Event::Claimed, 2), (Event::Released, 1)]);
    }

    #[test]
    fn an_event_has_one_spelling() {
        let mut found = 0;
        for event in 0..=u8::MAX {
            for reason in 0..=u8::MAX {
                let Some(read) = Event::from_bytes([event, reason]) else {
                    continue;
                };
                assert_eq!(read.to_bytes(), [event, reason]);
                found += 1;
            }
        }
        assert_eq!(found, 8 + 2 * Reason::ALL.len());
    }
}
