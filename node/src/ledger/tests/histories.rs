//! Random histories of claims against a slow judge, and the same history taken over by another.

use proptest::prelude::*;
use proto::attestation::{EarlyFrom, Handover, SettlementOutcome};

use super::lifecycle::{handed, returned, settled};
use super::rotation::settled_under;
use super::*;

/// What may happen; `life` says to which of the claims so far, counted from the newest.
#[derive(Debug, Clone, Copy)]
enum Op {
    Claim {
        till: bool,
        slot: u8,
        early: Option<EarlyFrom>,
    },
    Deliver {
        life: usize,
    },
    Correct {
        life: usize,
    },
    Release {
        life: usize,
    },
    Return {
        life: usize,
    },
    Settle {
        life: usize,
        payer: usize,
        outcome: SettlementOutcome,
    },
    Days(u8),
    /// The first payer takes a new key.
    Rotate,
}

const PAYERS: [&str; 2] = ["amc", "cnam"];

fn any_op() -> impl Strategy<Value = Op> {
    let early = prop_oneof![
        3 => Just(None),
        1 => Just(Some(EarlyFrom::AtOnce)),
        1 => Just(Some(EarlyFrom::SixMonths)),
    ];
    let outcome = prop_oneof![
        Just(SettlementOutcome::Paid),
        Just(SettlementOutcome::Rejected(Reason::InvoiceUnfit)),
        Just(SettlementOutcome::Rejected(Reason::ContractEnded)),
        Just(SettlementOutcome::Recovered(Reason::RenewalDateWrong)),
        Just(SettlementOutcome::Recovered(Reason::ForeignSlotKey)),
    ];
    prop_oneof![
        5 => (any::<bool>(), 1u8..4, early).prop_map(|(till, slot, early)| Op::Claim { till, slot, early }),
        4 => (0usize..3).prop_map(|life| Op::Deliver { life }),
        3 => (0usize..3).prop_map(|life| Op::Correct { life }),
        2 => (0usize..3).prop_map(|life| Op::Release { life }),
        2 => (0usize..3).prop_map(|life| Op::Return { life }),
        6 => (0usize..3, 0usize..2, outcome).prop_map(|(life, payer, outcome)| Op::Settle { life, payer, outcome }),
        2 => (1u8..90).prop_map(Op::Days),
        3 => Just(Op::Rotate),
    ]
}

/// What the judge keeps of one claim of one slot.
struct Life {
    till: &'static str,
    slot: u8,
    claim: LeafIndex,
    /// The keys of its payers when it was claimed.
    payers: [String; 2],
    reserved_until: Day,
    delivered: Option<Delivered>,
    /// What the slot was when it was claimed, if that was a hold.
    before: Option<State>,
    /// The claim whose hold this one lies over.
    over: Option<usize>,
}

struct Delivered {
    invoice: LeafIndex,
    newest: LeafIndex,
    on: Day,
    until: Day,
    returned: bool,
    /// The last answer of each payer, and the delivery that it judged.
    answers: [Option<(SettlementOutcome, LeafIndex)>; 2],
}

impl Delivered {
    /// Whether the payer is still to answer to the newest delivery.
    fn is_open(&self, payer: usize) -> bool {
        match self.answers[payer] {
            None => true,
            Some((SettlementOutcome::Paid, _)) => false,
            Some((outcome, judged)) => {
                outcome.reason().unwrap().is_correctable() && judged != self.newest
            }
        }
    }

    fn may_answer(&self, payer: usize, outcome: SettlementOutcome) -> bool {
        match outcome {
            SettlementOutcome::Recovered(_) => {
                matches!(self.answers[payer], Some((SettlementOutcome::Paid, _)))
            }
            _ => self.is_open(payer) && !self.returned,
        }
    }

    fn may_correct(&self) -> bool {
        (0..PAYERS.len()).any(|payer| match self.answers[payer] {
            Some((SettlementOutcome::Paid, _)) => false,
            Some((outcome, judged)) if judged == self.newest => {
                outcome.reason().unwrap().is_correctable()
            }
            _ => self.is_open(payer) && self.returned,
        })
    }
}

/// The judge: all claims so far, and which of them each slot belongs to.
struct Judge {
    ledger: Ledger,
    lives: Vec<Life>,
    top: BTreeMap<u8, usize>,
    /// The names of the payers' keys now.
    payers: [String; 2],
}

impl Judge {
    fn new() -> Self {
        Self {
            ledger: Ledger::founded(),
            lives: Vec::new(),
            top: BTreeMap::new(),
            payers: PAYERS.map(str::to_owned),
        }
    }

    fn nth(&self, life: usize) -> Option<usize> {
        self.lives.len().checked_sub(life + 1)
    }

    fn has_slot(&self, place: usize) -> bool {
        self.top.get(&self.lives[place].slot) == Some(&place)
    }

    /// Whether a claim may take the slot today.
    fn may_claim(&self, slot: u8, early: Option<EarlyFrom>) -> bool {
        let today = self.ledger.today();
        let Some(life) = self.top.get(&slot).map(|place| &self.lives[*place]) else {
            return true;
        };
        let hold = match &life.delivered {
            Some(delivered) => Some(delivered),
            None if today <= life.reserved_until => return false,
            None => life
                .over
                .and_then(|beneath| self.lives[beneath].delivered.as_ref()),
        };
        match hold {
            Some(hold) if today <= hold.until => {
                early.is_some_and(|early| early.opens_on(hold.on) <= today)
            }
            _ => true,
        }
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Days(days) => self.ledger.pass(days.into()),
            Op::Rotate => {
                self.payers[0].push('+');
                self.ledger.rotate(PAYERS[0], &self.payers[0]);
            }
            Op::Claim { till, slot, early } => self.claim(till, slot, early)?,
            Op::Deliver { life } => self.deliver(life)?,
            Op::Correct { life } => self.correct(life)?,
            Op::Release { life } => self.release(life)?,
            Op::Return { life } => self.take_back(life)?,
            Op::Settle {
                life,
                payer,
                outcome,
            } => self.settle(life, payer, outcome)?,
        }
        Ok(())
    }

    /// What the ledger answers, which must be what the judge expects.
    fn ask(
        &mut self,
        by: &str,
        says: &Attestation,
        expected: bool,
    ) -> Result<Option<LeafIndex>, TestCaseError> {
        let leaf = match self.ledger.say(by, says) {
            Outcome::Appended(leaf) => Some(leaf),
            Outcome::Refused(_) => None,
        };
        prop_assert_eq!(leaf.is_some(), expected, "{:?}", says);
        Ok(leaf)
    }

    fn claim(
        &mut self,
        till: bool,
        slot: u8,
        early: Option<EarlyFrom>,
    ) -> Result<(), TestCaseError> {
        let coverage = self.ledger.coverage(1);
        let amc = self.ledger.must(&self.payers[0], &coverage);
        let coverage = self.ledger.coverage(2);
        let cnam = self.ledger.must("cnam", &coverage);
        let Attestation::Claim(mut claim) = self.ledger.claim(&[slot], amc) else {
            panic!("a claim");
        };
        claim.coverages.push(cnam);
        claim.early = early;
        let till = if till { "till" } else { "other-till" };
        let expected = self.may_claim(slot, early);
        let state = self.ledger.slot(slot);
        let reserved_until = claim.until;
        let Some(claim) = self.ask(till, &Attestation::Claim(claim), expected)? else {
            return Ok(());
        };
        let beneath = self.top.get(&slot).copied();
        let over = beneath.and_then(|place| match self.lives[place].delivered {
            Some(_) => Some(place),
            None => self.lives[place].over,
        });
        let of_over = over.filter(|over| beneath == Some(*over));
        let before = match (of_over, beneath) {
            // What is deeper than one hold is forgotten.
            (Some(place), _) => {
                self.lives[place].over = None;
                state.map(plain)
            }
            (None, Some(place)) => self.lives[place].before,
            (None, None) => None,
        };
        self.top.insert(slot, self.lives.len());
        self.lives.push(Life {
            till,
            slot,
            claim,
            payers: self.payers.clone(),
            reserved_until,
            delivered: None,
            before,
            over,
        });
        Ok(())
    }

    fn deliver(&mut self, life: usize) -> Result<(), TestCaseError> {
        let Some(place) = self.nth(life) else {
            return Ok(());
        };
        let (today, life) = (self.ledger.today(), &self.lives[place]);
        let expected =
            self.has_slot(place) && life.delivered.is_none() && today <= life.reserved_until;
        let until = today.plus(300);
        let says = handed(life.claim, &[life.slot], Handover::First { until });
        if let Some(invoice) = self.ask(life.till, &says, expected)? {
            self.lives[place].delivered = Some(Delivered {
                invoice,
                newest: invoice,
                on: today,
                until,
                returned: false,
                answers: [None; 2],
            });
        }
        Ok(())
    }

    fn correct(&mut self, life: usize) -> Result<(), TestCaseError> {
        let Some(place) = self.nth(life) else {
            return Ok(());
        };
        let life = &self.lives[place];
        let Some(delivered) = &life.delivered else {
            return Ok(());
        };
        let until = delivered.on.plus(400);
        let correction = Handover::Correction {
            invoice: delivered.invoice,
            delivered_on: delivered.on,
            until,
        };
        let expected = self.has_slot(place) && delivered.may_correct();
        let says = handed(life.claim, &[life.slot], correction);
        if let Some(newest) = self.ask(life.till, &says, expected)? {
            let delivered = self.lives[place].delivered.as_mut().unwrap();
            delivered.newest = newest;
            delivered.until = until;
            delivered.returned = false;
        }
        Ok(())
    }

    fn release(&mut self, life: usize) -> Result<(), TestCaseError> {
        let Some(place) = self.nth(life) else {
            return Ok(());
        };
        let life = &self.lives[place];
        let expected = self.has_slot(place) && life.delivered.is_none();
        let says = release(life.claim, &[life.slot]);
        if self.ask(life.till, &says, expected)?.is_some() {
            self.uncover(place)?;
        }
        Ok(())
    }

    fn take_back(&mut self, life: usize) -> Result<(), TestCaseError> {
        let Some(place) = self.nth(life) else {
            return Ok(());
        };
        let life = &self.lives[place];
        let Some(delivered) = &life.delivered else {
            return Ok(());
        };
        let says = returned(life.claim, delivered.invoice, &[life.slot]);
        let expected = self.has_slot(place);
        if self.ask(life.till, &says, expected)?.is_some() {
            self.lives[place].delivered.as_mut().unwrap().returned = true;
            self.uncover(place)?;
        }
        Ok(())
    }

    /// The slot is what it was before the claim, or free.
    fn uncover(&mut self, place: usize) -> Result<(), TestCaseError> {
        let life = &self.lives[place];
        let back = life.over.and(life.before);
        prop_assert_eq!(self.ledger.slot(life.slot), back);
        match life.over {
            Some(over) => self.top.insert(life.slot, over),
            None => self.top.remove(&life.slot),
        };
        Ok(())
    }

    fn settle(
        &mut self,
        life: usize,
        payer: usize,
        outcome: SettlementOutcome,
    ) -> Result<(), TestCaseError> {
        let Some(place) = self.nth(life) else {
            return Ok(());
        };
        let life = &self.lives[place];
        let Some(delivered) = &life.delivered else {
            return Ok(());
        };
        let (invoice, newest) = (delivered.invoice, delivered.newest);
        let expected = delivered.may_answer(payer, outcome);
        let (now, then) = (self.payers[payer].clone(), &life.payers[payer]);
        let says = match now == *then {
            true => settled(life.claim, invoice, newest, outcome),
            false => settled_under(then, life.claim, invoice, newest, outcome),
        };
        if self.ask(&now, &says, expected)?.is_some() {
            let delivered = self.lives[place].delivered.as_mut().unwrap();
            delivered.answers[payer] = Some((outcome, newest));
        }
        Ok(())
    }
}

/// A hold that comes back has nothing beneath it any more.
fn plain(state: State) -> State {
    match state {
        State::Slot(slot) => State::Slot(proto::attestation::SlotState {
            beneath: None,
            ..slot
        }),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_history_holds_a_slot_twice_or_pays_twice_and_all_replay_the_same(
        ops in prop::collection::vec(any_op(), 1..30),
    ) {
        let mut judge = Judge::new();
        for op in ops {
            judge.step(op)?;
        }
        let ledger = judge.ledger;
        for at_a_time in [1, 4, 100] {
            let replayed = replayed(&ledger, at_a_time).unwrap();
            prop_assert_eq!(&replayed.map, &ledger.map);
            prop_assert_eq!(replayed.roster.hash(), ledger.roster.hash());
        }
    }
}
