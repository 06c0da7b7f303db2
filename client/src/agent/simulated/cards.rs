//! The test cards of a simulating agent: one for each refusal reason, and a few more.
//!
//! Their NIRs are of nobody: born in the month 99 of a country 999. The last three digits before
//! the key are the number of the reason, or of the case.

use proto::identity::Nir;
use proto::refusal::Reason;

/// Everything goes well.
pub(in crate::agent) const COVERED: u16 = 900;
/// Nobody can be reached when the claim is sent.
pub(in crate::agent) const UNREACHABLE: u16 = 901;
/// The answer to the first claim under a key gets lost; the claim is in the ledger.
pub(in crate::agent) const LOST: u16 = 902;
/// As [`COVERED`]: for a claim that is delivered.
pub(in crate::agent) const DELIVERED: u16 = 903;
/// As [`COVERED`]: for a claim that is released.
pub(in crate::agent) const RELEASED: u16 = 904;
/// Nobody can be reached when it is checked.
pub(in crate::agent) const CHECK_UNREACHABLE: u16 = 905;
/// Nobody can be reached at the first delivery under a key.
pub(in crate::agent) const DELIVERY_UNREACHABLE: u16 = 906;
/// The answer to the first delivery under a key gets lost; it is in the ledger.
pub(in crate::agent) const DELIVERY_LOST: u16 = 907;
/// Nobody can be reached at the first release under a key.
pub(in crate::agent) const RELEASE_UNREACHABLE: u16 = 908;
/// The answer to the first release under a key gets lost; it is in the ledger.
pub(in crate::agent) const RELEASE_LOST: u16 = 909;
/// Another shop has reserved every slot: the reason has a proof.
pub(in crate::agent) const RESERVED: u16 = Reason::SlotReserved as u16;
/// Another shop has delivered every slot: the reason has a proof.
pub(in crate::agent) const HELD: u16 = Reason::SlotHeld as u16;

/// The cards beside those of the reasons.
pub(in crate::agent) const CASES: [u16; 10] = [
    COVERED,
    UNREACHABLE,
    LOST,
    DELIVERED,
    RELEASED,
    CHECK_UNREACHABLE,
    DELIVERY_UNREACHABLE,
    DELIVERY_LOST,
    RELEASE_UNREACHABLE,
    RELEASE_LOST,
];

/// When a reason is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Told {
    /// At the check already, and at the claim.
    Check,
    /// At the check in place of a quote: it is about the items alone.
    Items,
    /// At the claim.
    Claim,
    /// At the delivery.
    Delivery,
    /// At the release.
    Release,
}

/// When till software meets a reason. The ledger tells some of them at other places too, and some
/// to payers alone: they are told here all the same, so that none is a surprise.
pub(in crate::agent) const fn told(reason: Reason) -> Told {
    match reason {
        Reason::LppCodeMistyped
        | Reason::LppCodeUnknown
        | Reason::LppCodeExpired
        | Reason::ItemsIncompatible => Told::Items,
        Reason::SlotReserved
        | Reason::SlotHeld
        | Reason::AbovePriceLimit
        | Reason::NotForThisAge
        | Reason::NotCovered
        | Reason::ContractEnded
        | Reason::OutsideNetwork
        | Reason::PrescriptionExpired
        | Reason::EarlyRenewalTooSoon
        | Reason::EarlyRenewalNotOpen => Told::Check,
        Reason::IssuerUnknown
        | Reason::GrantRevoked
        | Reason::GrantExpired
        | Reason::KindNotAllowed
        | Reason::RequestReused
        | Reason::ReferenceUnknown
        | Reason::ReferenceUnfit
        | Reason::CatalogueOutdated
        | Reason::CoverageExpired
        | Reason::CoverageSuperseded
        | Reason::ClockSkew
        | Reason::DateOutOfRange
        | Reason::AlreadyGranted
        | Reason::RosterUnfit => Told::Claim,
        Reason::ReservationEnded
        | Reason::AlreadyDelivered
        | Reason::NotEntitled
        | Reason::AlreadySettled
        | Reason::ForeignSlotKey
        | Reason::AmountAboveCoverage
        | Reason::RenewalDateWrong
        | Reason::InvoiceUnfit => Told::Delivery,
        Reason::SlotNotHeld | Reason::NotDelivered | Reason::NotPaid => Told::Release,
    }
}

/// The reason that a card is for.
pub(in crate::agent) fn reason(card: u16) -> Option<Reason> {
    Reason::from_number(u8::try_from(card).ok()?)
}

/// The 15 characters of a card's NIR.
pub(in crate::agent) fn nir(card: u16) -> String {
    let number = 1_009_999_999_000 + u64::from(card);
    format!("{number}{:02}", 97 - number % 97)
}

/// Every card.
pub(in crate::agent) fn all() -> impl Iterator<Item = u16> {
    let reasons = Reason::ALL.iter().map(|reason| *reason as u16);
    reasons.chain(CASES)
}

/// The card of a NIR, if it is one.
pub(in crate::agent) fn of(found: &Nir) -> Option<u16> {
    all().find(|card| nir(*card).parse::<Nir>().as_ref() == Ok(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_and_each_case_has_a_card_of_its_own() {
        for card in all() {
            let read: Nir = nir(card).parse().unwrap();
            assert_eq!(of(&read), Some(card));
        }
        for listed in Reason::ALL {
            assert_eq!(reason(*listed as u16), Some(*listed));
        }
        assert!(CASES.iter().all(|card| reason(*card).is_none()));
        assert_eq!(of(&"2 95 10 99 126 111 93".parse().unwrap()), None);
        assert_eq!(nir(COVERED), "100999999990001");
    }

    /// The table of docs/agent.md, made anew.
    #[test]
    fn the_page_lists_every_card() {
        let page = include_str!("../../../../docs/agent.md");
        for listed in Reason::ALL {
            let when = match told(*listed) {
                Told::Check => "check and claim",
                Told::Items => "check and claim, of the items",
                Told::Claim => "claim",
                Told::Delivery => "deliver",
                Told::Release => "release",
            };
            let row = format!(
                "| `{}` | `{}` | {when} |",
                nir(*listed as u16),
                listed.code()
            );
            assert!(page.contains(&row), "docs/agent.md lacks {row}");
        }
        for case in CASES {
            assert!(page.contains(&format!("| `{}` |", nir(case))), "{case}");
        }
    }
}
