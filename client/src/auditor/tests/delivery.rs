//! The life of a claim under an auditor: what the rules admit passes, each breach is named.

use proto::attestation::{Claim, EarlyFrom, Handover, SettlementOutcome};
use proto::ids::LeafIndex;

use super::*;
use crate::example::{DELIVERY, correction, first, handed, returned, settled};

/// The furnished ledger, whose one slot left of claim 4 is delivered (6).
fn delivered() -> Ledger {
    let mut ledger = Ledger::furnished();
    ledger.append("till", &handed(&[1], first(700)));
    ledger
}

const PAID: SettlementOutcome = SettlementOutcome::Paid;
const UNFIT: SettlementOutcome = SettlementOutcome::Rejected(Reason::InvoiceUnfit);

#[tokio::test]
async fn the_whole_life_of_a_claim_passes() {
    let mut ledger = delivered();
    ledger.append("amc", &settled(DELIVERY, UNFIT));
    ledger.append("till", &correction());
    ledger.append("amc", &settled(8, PAID));
    let replacement = Handover::Replacement {
        invoice: LeafIndex::new(DELIVERY),
    };
    ledger.append("till", &handed(&[1], replacement));
    ledger.append("till", &returned());
    let recovered = SettlementOutcome::Recovered(Reason::InvoiceUnfit);
    ledger.append("amc", &settled(8, recovered));
    ledger.append("till", &claim(&[1], 3));
    let audited = audit(&ledger).await.unwrap();
    assert_eq!(audited.counts[&Kind::Delivery], 3);
    assert_eq!(audited.counts[&Kind::Settlement], 3);
}

#[tokio::test]
async fn an_early_renewal_passes_when_its_months_are_over() {
    let mut ledger = delivered();
    let Attestation::Claim(plain) = claim(&[1], 3) else {
        panic!("a claim")
    };
    let early = |early| {
        Attestation::Claim(Claim {
            early,
            ..plain.clone()
        })
    };
    ledger.append("till", &early(Some(EarlyFrom::AtOnce)));
    audit(&ledger).await.unwrap();
    let mut ledger = delivered();
    ledger.append("till", &early(Some(EarlyFrom::SixMonths)));
    assert_eq!(last_fails(&ledger).await, Reason::EarlyRenewalTooSoon);
    let mut ledger = delivered();
    ledger.append("till", &early(None));
    assert_eq!(last_fails(&ledger).await, Reason::SlotHeld);
}

#[tokio::test]
async fn each_breach_of_the_life_of_a_claim_is_named() {
    let breaches: [(&[(&str, Attestation)], Reason); 10] = [
        (
            &[("till", handed(&[1], first(700)))],
            Reason::AlreadyDelivered,
        ),
        (&[("till", handed(&[2], first(700)))], Reason::SlotNotHeld),
        (
            &[("till", handed(&[1], first(800)))],
            Reason::DateOutOfRange,
        ),
        (&[("till", correction())], Reason::AlreadyDelivered),
        (&[("till", settled(DELIVERY, PAID))], Reason::KindNotAllowed),
        (&[("amo", settled(DELIVERY, PAID))], Reason::NotEntitled),
        (&[("amc", settled(4, PAID))], Reason::ReferenceUnfit),
        (
            &[
                ("amc", settled(DELIVERY, PAID)),
                ("amc", settled(DELIVERY, PAID)),
            ],
            Reason::AlreadySettled,
        ),
        (
            &[("till", returned()), ("amc", settled(DELIVERY, PAID))],
            Reason::NotDelivered,
        ),
        (
            &[(
                "amc",
                settled(DELIVERY, SettlementOutcome::Recovered(Reason::InvoiceUnfit)),
            )],
            Reason::NotPaid,
        ),
    ];
    for (entries, reason) in breaches {
        let mut ledger = delivered();
        for (issuer, says) in entries {
            ledger.append(issuer, says);
        }
        assert_eq!(last_fails(&ledger).await, reason);
    }
}
