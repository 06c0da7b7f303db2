//! Whether a claim and its invoice are right: the reasons for which a payer rejects them.

use std::collections::HashSet;

use proto::attestation::{Attestation, ClaimLine, ClaimTerms, Handover};
use proto::benefit::{Networks, Rule, Terms};
use proto::foreign_slots::ForeignSlots;
use proto::identity::Person;
use proto::ids::{Cents, Day, Finess, LeafIndex, Month, SlotKey};
use proto::lpp::{GroupedCode, Side, Slot};
use proto::refusal::Reason;
use proto::renewal::{ADULT_YEARS, months_until_renewal};
use thiserror::Error;

use super::book::{BookedClaim, BookedInvoice};
use crate::failure::{Failure, FailureKind};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::tokens::TokenError;

/// Days by which a till's and a payer's calendar may differ around midnight.
const CALENDAR_DAYS: u32 = 1;

/// Why a claim could not be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The claim could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no claim.
    #[error("entry {index} is no claim")]
    NotAClaim {
        /// The entry.
        index: LeafIndex,
    },
    /// The token could not be made: the claim may rest on no own coverage, be too old, or have been
    /// checked as often as it may.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl Failure for CheckError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::NotAClaim { .. } => FailureKind::Malformed,
            Self::Tokens(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::NotAClaim { .. } => Some("name the claim, not its delivery"),
            Self::Tokens(error) => error.hint(),
        }
    }
}

/// Whose slots a claim has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFit {
    /// The claim.
    pub claim: LeafIndex,
    /// The slots of the person among the claim's, by name.
    pub own: Vec<Slot>,
    /// The slot keys that are not the person's: none when the claim is right.
    pub foreign: Vec<SlotKey>,
    /// What shows others that they are not; `None` when the claim is right. It names the person.
    pub evidence: Option<Box<ForeignSlots>>,
}

impl KeysFit {
    /// Whether every slot is the person's.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.foreign.is_empty()
    }
}

/// Whether the slot keys of a claim are those of a person. It takes one evaluation under the person
/// key, which is on record and counted for this claim.
///
/// # Errors
/// [`CheckError`], see its variants.
pub async fn check_keys(
    session: &Session,
    person: &Person,
    claim: LeafIndex,
) -> Result<KeysFit, CheckError> {
    let (entry, receipt) = session.receipt(claim).await?;
    let Ok(Attestation::Claim(claimed)) = Attestation::read(entry.header()) else {
        return Err(CheckError::NotAClaim { index: claim });
    };
    let (token, making) = session.claimed_person_token(person, claim).await?;
    let of_person = |slot: &Slot| claimed.slots.contains(&token.slot_key(*slot));
    let own: Vec<Slot> = Slot::ALL.into_iter().filter(of_person).collect();
    let keys: HashSet<SlotKey> = own.iter().map(|slot| token.slot_key(*slot)).collect();
    let foreign = claimed.slots.iter().filter(|key| !keys.contains(key));
    let foreign: Vec<SlotKey> = foreign.copied().collect();
    let evidence = (!foreign.is_empty()).then(|| {
        let signer = session.secret();
        Box::new(ForeignSlots::make(receipt, person.clone(), making, signer))
    });
    Ok(KeysFit {
        claim,
        own,
        foreign,
        evidence,
    })
}

/// The first thing that is wrong with an invoice; `None` when it may be paid as it is. What does not
/// open is not judged. With the own networks the amounts are held against the rule for the shop on
/// the day of its claim; without them, or once the till was revoked and the shop is not known,
/// against what is paid wherever it was sold.
#[must_use]
pub fn check_invoice(
    claim: &BookedClaim,
    invoice: &BookedInvoice,
    networks: Option<&Networks>,
) -> Option<Reason> {
    let (Some(claimed), Some(invoiced)) = (&claim.terms, &invoice.terms) else {
        return None;
    };
    if !was_claimed(claim, claimed) {
        return Some(Reason::InvoiceUnfit);
    }
    let terms: Vec<&Terms> = claim.coverages.iter().map(|coverage| &coverage.0).collect();
    let place = Place {
        networks,
        shop: claim.shop,
        day: claim.issued_at.day(),
    };
    let mut lines = invoiced.lines.iter();
    if let Some(reason) = lines.find_map(|line| place.above(&terms, line)) {
        return Some(reason);
    }
    match invoice.until {
        Some(until) if !renews_on(claim, &terms, invoiced, invoice.delivered_on, until) => {
            Some(Reason::RenewalDateWrong)
        }
        _ => None,
    }
}

/// Whether the lines of all invoices together are lines of the claim, each once, and for no more
/// than was claimed.
fn was_claimed(claim: &BookedClaim, claimed: &ClaimTerms) -> bool {
    let mut open: Vec<&ClaimLine> = claimed.lines.iter().collect();
    let invoices = claim.invoices.iter().filter_map(|one| one.terms.as_ref());
    for terms in invoices {
        if terms.early != claimed.early {
            return false;
        }
        for line in &terms.lines {
            let same = |one: &&ClaimLine| {
                one.grouped_code == line.grouped_code
                    && one.code_commitment == line.code_commitment
                    && line.price <= one.price
                    && line.amount <= one.amount
            };
            let Some(place) = open.iter().position(same) else {
                return false;
            };
            open.swap_remove(place);
        }
    }
    true
}

/// Where and when a claim was made.
#[derive(Clone, Copy)]
struct Place<'n> {
    networks: Option<&'n Networks>,
    shop: Option<Finess>,
    day: Day,
}

impl Place<'_> {
    /// Why a line asks for more than the coverages of its grouped code give, if it does. A line that
    /// is paid in the network alone has a reason of its own.
    fn above(self, terms: &[&Terms], line: &ClaimLine) -> Option<Reason> {
        let of_code = terms
            .iter()
            .filter(|one| one.grouped_code == line.grouped_code);
        let bounds = of_code.clone().map(|one| self.most(one, line));
        if line.amount <= bounds.max().unwrap_or_default() {
            return None;
        }
        let mut of_code = of_code;
        let in_network_alone = of_code.any(|one| {
            let outside = self.is_inside(one) == Some(false);
            outside && one.rule == Rule::Nothing
        });
        Some(match in_network_alone {
            true => Reason::OutsideNetwork,
            false => Reason::AmountAboveCoverage,
        })
    }

    /// Whether the shop was in the network of these terms; `None` when nobody can tell.
    fn is_inside(self, terms: &Terms) -> Option<bool> {
        let network = terms.network.as_ref()?;
        let (networks, shop) = (self.networks?, self.shop?);
        Some(networks.has(&network.name, &shop, self.day))
    }

    /// The most that a coverage gives for a line. It is a bound: what a pair is limited to beside, or
    /// what earlier payers leave, only lowers it. The least that a payer gives for a pair may all go
    /// to one line that it pays something of.
    fn most(self, terms: &Terms, line: &ClaimLine) -> Cents {
        let inside = terms.network.as_ref().map(|network| network.rule);
        let rules = match self.is_inside(terms) {
            Some(true) => [inside, None],
            Some(false) => [Some(terms.rule), None],
            None => [Some(terms.rule), inside],
        };
        let rules = rules.into_iter().flatten();
        let paying = rules.filter(|rule| *rule != Rule::Nothing);
        let by_rule = paying.map(|rule| most_of(rule, line.price)).max();
        let spans = terms.limits.iter().flat_map(|limits| limits.spans);
        let least = spans.map(|span| span.least.min(line.price)).max();
        by_rule.map_or(Cents::default(), |most| most.max(least.unwrap_or_default()))
    }
}

fn most_of(rule: Rule, price: Cents) -> Cents {
    match rule {
        Rule::Nothing => Cents::default(),
        Rule::Full { limit } => match limit {
            Some(limit) if price > limit => Cents::default(),
            _ => price,
        },
        // The base counts up to the price.
        Rule::Rate { percent, plus, .. } => percent.of(price).plus(plus).min(price),
        Rule::Cap { most, .. } => most.min(price),
    }
}

/// Whether the hold ends when the coverage lets the next one be paid, or the published rules for what
/// no coverage opens. Where others pay too it may end later: the longest time of all payers counts,
/// and nobody sees another's.
fn renews_on(
    claim: &BookedClaim,
    terms: &[&Terms],
    invoiced: &ClaimTerms,
    delivered_on: Day,
    until: Day,
) -> bool {
    let turning = claim.contract.as_ref().map(|contract| contract.turning);
    let codes = invoiced.lines.iter().map(|line| line.grouped_code);
    let mut months = codes.flat_map(|code| months_of(terms, code, delivered_on, turning));
    months.any(|months| {
        let right = Handover::last_day_held(delivered_on, months).get();
        let same = right.abs_diff(until.get()) <= CALENDAR_DAYS;
        same || (claim.others_pay && right <= until.get())
    })
}

/// Every renewal time that is possible for an item at an age that the payer cannot rule out.
fn months_of(
    terms: &[&Terms],
    code: GroupedCode,
    delivered_on: Day,
    turning: Option<[Option<Month>; 2]>,
) -> Vec<u16> {
    let today = Month::of(delivered_on);
    let [six, sixteen] = turning.unwrap_or([Some(today); 2]);
    let may_be_child = sixteen.is_some_and(|month| today <= month);
    let is_adult = sixteen.is_none_or(|month| month <= today);
    let may_be_small = six.is_some_and(|month| today <= month);
    let mut months = Vec::new();
    let of_code = terms.iter().filter(|one| one.grouped_code == code);
    for renewal in of_code.map(|one| one.renewal) {
        months.extend(is_adult.then_some(renewal.adult));
        months.extend(may_be_child.then_some(renewal.child));
        months.extend(may_be_small.then_some(renewal.frame_fit));
    }
    if !months.is_empty() {
        return months;
    }
    for slot in [None, Some(Side::Right)]
        .iter()
        .filter_map(|side| code.slot(*side).ok())
    {
        months.extend(is_adult.then_some(months_until_renewal(ADULT_YEARS, slot)));
        months.extend(may_be_child.then_some(months_until_renewal(0, slot)));
    }
    months
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::attestation::CoverageTerms;
    use proto::attestation::lifecycle::{ClaimState, PaymentStage};
    use proto::benefit::{Counting, Percent, RenewalMonths};
    use proto::ids::UnixMillis;
    use proto::renewal::{EarlyRenewal, free_again_on};
    use proto::seal::{LppCodeCommitment, LppCodeSalt};

    use super::*;
    use crate::office::matching::Matched;

    fn line(code: &str, price: u64, amount: u64, seed: u8) -> ClaimLine {
        ClaimLine {
            grouped_code: code.parse().unwrap(),
            price: Cents::new(price),
            amount: Cents::new(amount),
            code_commitment: LppCodeCommitment::new(
                "2223342",
                &LppCodeSalt::from_bytes([seed; 32]),
            ),
            opening: None,
        }
    }

    fn lines(lines: &[ClaimLine]) -> Option<ClaimTerms> {
        Some(ClaimTerms {
            early: EarlyRenewal::None,
            lines: lines.to_vec(),
        })
    }

    fn day() -> Day {
        "2026-11-22".parse().unwrap()
    }

    /// A frame of 120 euros, of which 30 were claimed and invoiced; an adult's.
    fn booked() -> BookedClaim {
        let frame = [line("M01", 12_000, 3_000, 1)];
        let cap = Terms::cap("M01".parse().unwrap(), Cents::new(3_000), 24);
        BookedClaim {
            index: LeafIndex::new(7),
            issued_at: UnixMillis::new(1),
            shop: None,
            slots: Vec::new(),
            until: day(),
            state: ClaimState::Delivered,
            terms: lines(&frame),
            coverages: vec![CoverageTerms(cap)],
            payer: proto::signing::SecretKey::from_seed(&[2; 32]).public(),
            others_pay: false,
            contract: Some(Matched {
                line: 6,
                reference: None,
                turning: [None; 2],
                secret: proto::token::SealingSecret::from_bytes([1; 32]),
            }),
            invoices: vec![BookedInvoice {
                first: LeafIndex::new(8),
                newest: LeafIndex::new(8),
                delivered_on: day(),
                until: Some(Day::new(free_again_on(day(), 24).get() - 1)),
                terms: lines(&frame),
                stage: PaymentStage::Due,
                settlement: None,
                settled: None,
            }],
        }
    }

    fn found(claim: &BookedClaim) -> Option<Reason> {
        check_invoice(claim, &claim.invoices[0], None)
    }

    #[test]
    fn an_invoice_that_is_right_is_paid_and_each_thing_wrong_has_its_reason() {
        assert_eq!(found(&booked()), None);
        for invoiced in [
            vec![line("M02", 12_000, 3_000, 1)],
            vec![line("M01", 12_000, 3_000, 2)],
            vec![line("M01", 12_001, 3_000, 1)],
            vec![line("M01", 12_000, 3_001, 1)],
            vec![line("M01", 12_000, 3_000, 1); 2],
        ] {
            let mut claim = booked();
            claim.invoices[0].terms = lines(&invoiced);
            assert_eq!(found(&claim), Some(Reason::InvoiceUnfit), "{invoiced:?}");
        }
        // Twice the same, in two invoices.
        let mut claim = booked();
        claim.invoices.push(claim.invoices[0].clone());
        assert_eq!(found(&claim), Some(Reason::InvoiceUnfit));
        let mut claim = booked();
        let more = [line("M01", 12_000, 3_001, 1)];
        (claim.terms, claim.invoices[0].terms) = (lines(&more), lines(&more));
        assert_eq!(found(&claim), Some(Reason::AmountAboveCoverage));
        let mut claim = booked();
        claim.coverages.clear();
        assert_eq!(found(&claim), Some(Reason::AmountAboveCoverage));
    }

    #[test]
    fn the_renewal_date_is_that_of_the_coverage_at_an_age_that_is_possible() {
        let until = |months| Some(Day::new(free_again_on(day(), months).get() - 1));
        let minor = |six: &str, sixteen: &str| {
            Some([six, sixteen].map(|month| month.parse::<Month>().ok()))
        };
        for (turning, months, fits) in [
            (Some([None; 2]), 24, true),
            (Some([None; 2]), 23, false),
            (Some([None; 2]), 12, false),
            (minor("", "2030-01"), 12, true),
            (minor("", "2030-01"), 24, false),
            (minor("", "2030-01"), 6, false),
            (minor("2028-01", "2038-01"), 6, true),
            // He turns sixteen this month, on a day that the payer's file does not have.
            (minor("", "2026-11"), 12, true),
            (minor("", "2026-11"), 24, true),
        ] {
            let mut claim = booked();
            claim.coverages[0].0.renewal = RenewalMonths::PUBLISHED;
            claim.contract.as_mut().unwrap().turning = turning.unwrap();
            claim.invoices[0].until = until(months);
            let want = (!fits).then_some(Reason::RenewalDateWrong);
            assert_eq!(found(&claim), want, "{turning:?} {months}");
        }
    }

    #[test]
    fn the_coverage_counts_and_the_published_rules_where_there_is_none() {
        let held = |months| Some(Handover::last_day_held(day(), months));
        for (terms, others_pay, months, fits) in [
            (Some(18), false, 18, true),
            (Some(18), false, 24, false),
            (Some(18), false, 17, false),
            // Another payer may have a longer time, and never a shorter one.
            (Some(18), true, 24, true),
            (Some(18), true, 17, false),
            // The ledger holds no longer than 24 months.
            (Some(36), false, 36, true),
            (None, false, 24, true),
            (None, false, 18, false),
        ] {
            let mut claim = booked();
            claim.others_pay = others_pay;
            claim.invoices[0].until = held(months);
            match terms {
                Some(months) => claim.coverages[0].0.renewal = RenewalMonths::uniform(months),
                None => {
                    claim.invoices[0].terms = lines(&[line("M01", 12_000, 0, 1)]);
                    claim.coverages.clear();
                }
            }
            let want = (!fits).then_some(Reason::RenewalDateWrong);
            assert_eq!(found(&claim), want, "{terms:?} {others_pay} {months}");
        }
    }

    #[test]
    fn a_shop_that_is_not_listed_is_paid_as_outside_the_network() {
        use proto::benefit::NetworkRule;
        let networks = Networks::parse(
            "[[network]]\nname = \"RESEAU-1\"\n\
             shop = [{ finess = \"750000001\", from = \"2026-11-22\", to = \"2026-11-22\" }]",
        );
        let networks = networks.unwrap();
        let cap = |most| Rule::Cap {
            most: Cents::new(most),
            counting: Counting::Alone,
        };
        let asked = |outside: Rule, shop: Option<&str>, on: &str, networks: Option<&Networks>| {
            let mut claim = booked();
            let terms = &mut claim.coverages[0].0;
            terms.rule = outside;
            terms.network = Some(NetworkRule {
                name: "RESEAU-1".parse().unwrap(),
                rule: cap(3_000),
            });
            claim.shop = shop.map(|shop| shop.parse().unwrap());
            claim.issued_at = on.parse::<Day>().unwrap().start();
            check_invoice(&claim, &claim.invoices[0], networks)
        };
        let (own, day) = (Some("750000001"), "2026-11-22");
        let list = Some(&networks);
        assert_eq!(asked(cap(2_000), own, day, list), None);
        let above = Some(Reason::AmountAboveCoverage);
        assert_eq!(asked(cap(2_000), own, "2026-11-23", list), above);
        assert_eq!(asked(cap(2_000), Some("750000002"), day, list), above);
        let outside = Some(Reason::OutsideNetwork);
        assert_eq!(asked(Rule::Nothing, Some("750000002"), day, list), outside);
        assert_eq!(asked(Rule::Nothing, own, day, list), None);
        // Nobody can tell: the till was revoked, or no list is at hand.
        assert_eq!(asked(cap(2_000), None, day, list), None);
        assert_eq!(asked(cap(2_000), Some("750000002"), day, None), None);
    }

    #[test]
    fn an_invoice_that_was_corrected_downwards_is_paid() {
        let mut claim = booked();
        let too_much = lines(&[line("M01", 12_000, 3_100, 1)]);
        claim.terms = too_much.clone();
        claim.invoices[0].terms = too_much;
        assert_eq!(found(&claim), Some(Reason::AmountAboveCoverage));
        claim.invoices[0].terms = lines(&[line("M01", 11_000, 3_000, 1)]);
        assert_eq!(found(&claim), None);
    }

    #[test]
    fn what_a_rule_gives_at_most_is_never_more_than_the_price() {
        let rate = |percent, plus| Rule::Rate {
            percent: Percent::new(percent).unwrap(),
            counting: Counting::Alone,
            plus: Cents::new(plus),
        };
        let cap = |most| Rule::Cap {
            most: Cents::new(most),
            counting: Counting::WithEarlier,
        };
        let limit = |cents| Some(Cents::new(cents));
        for (rule, most) in [
            (Rule::Nothing, 0),
            (rate(60, 0), 6_000),
            (rate(60, 5_000), 10_000),
            (cap(3_000), 3_000),
            (cap(30_000), 10_000),
            (Rule::Full { limit: None }, 10_000),
            (
                Rule::Full {
                    limit: limit(10_000),
                },
                10_000,
            ),
            (
                Rule::Full {
                    limit: limit(9_999),
                },
                0,
            ),
        ] {
            assert_eq!(
                most_of(rule, Cents::new(10_000)),
                Cents::new(most),
                "{rule:?}"
            );
        }
    }

    proptest! {
        /// What the till reckons by the rules is never refused for its amount.
        #[test]
        fn what_is_reckoned_is_never_above_the_bound(
            price in 0..100_000_u64,
            base in 0..50_000_u64,
            most in 0..60_000_u64,
            percent in 1..101_u16,
        ) {
            use proto::benefit::{Item, Situation, compute};
            let terms = |rule| Terms {
                rule,
                ..Terms::cap("M02".parse().unwrap(), Cents::new(most), 24)
            };
            let rules = [
                Rule::Cap { most: Cents::new(most), counting: Counting::WithEarlier },
                Rule::Full { limit: Some(Cents::new(most)) },
                Rule::Rate {
                    percent: Percent::new(percent).unwrap(),
                    counting: Counting::Alone,
                    plus: Cents::new(most),
                },
            ];
            let line = proto::lpp::CatalogueLine {
                code: "2223342".parse().unwrap(),
                grouped_code: "M02".parse().unwrap(),
                label: "Monture".parse().unwrap(),
                base: Some(Cents::new(base)),
                plv: None,
                age_max: None,
                end: None,
            };
            let item = Item::new(&line, None, Cents::new(price)).unwrap();
            for rule in rules {
                let terms = terms(rule);
                let situation = Situation {
                    today: day(),
                    age: 40,
                    networks: &[],
                    prescription: None,
                };
                let benefit = compute(&[item], &[vec![&terms]], &situation);
                prop_assert!(benefit.paid_by(0) <= most_of(rule, Cents::new(price)));
            }
        }
    }
}
