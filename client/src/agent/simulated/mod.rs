//! A counter with nobody behind it: fixed test cards give every answer and every refusal reason.
//!
//! The routes, the rules of keys and the records are those of a real agent. Behind them is a ledger
//! in memory that a fresh federation signs, with a catalogue of six products; amounts are reckoned,
//! and slots taken, delivered and given back, by the rules that till and auditor use. So receipts
//! verify, with the roster that lies beside them. It all begins anew with each start.

pub(super) mod cards;
mod ledger;
mod mishap;
mod products;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::attestation::{Attestation, Delivery, Handover, Release};
use proto::hash::Hash;
use proto::ids::{LeafIndex, SlotKey, UnixMillis};
use proto::lpp::{Catalogue, Slot};
use proto::refusal::Reason;
use proto::renewal::ADULT_MONTHS;
use proto::token::{ContractToken, PersonToken};
use thiserror::Error;
use tokio::sync::Mutex;

use self::cards::Told;
use self::ledger::{Broken, Issuer, Ledger};
use self::mishap::is_unreachable;
use super::answer::{
    CheckAnswer, CheckpointAnswer, EntryAnswer, MemberAnswer, QueuedAnswer, QuoteAnswer, Refusal,
    StatusAnswer,
};
use super::conformance::{Conformance, Outcome, Seen};
use super::idempotency::{Open, Prepared, Requests, not_kept};
use super::kept_quotes::KeptQuotes;
use super::live::{file_name, nothing_covered};
use super::problem::{Problem, ProblemCode};
use super::request::{Claimed, Claiming, Delivering, Releasing, Sale};
use crate::files::{self, FileError};
use crate::issue::Issued;
use crate::pos::at_hand::{self, AskedCoverage, Desk};
use crate::pos::{Cause, CheckError, ClaimError, Draft, Insured, Quote};
use crate::queue::{Queue, Queued};
use crate::receipts::Receipts;
use crate::system;

/// How long a claim waits whose card says that nobody can be reached.
pub const REACHED_AFTER: Duration = Duration::from_secs(10);

/// Why a simulation does not begin.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// Its folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The federation could not be founded: the system gives no random bytes.
    #[error("the federation cannot be founded")]
    NotFounded,
}

impl From<Broken> for SimulationError {
    fn from(_: Broken) -> Self {
        Self::NotFounded
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        Self::new(ProblemCode::Busy).saying(broken)
    }
}

/// A simulated counter.
pub(super) struct Simulator {
    state: Mutex<State>,
    quotes: KeptQuotes,
    receipts: Receipts,
    conformance: Option<Arc<Conformance>>,
}

struct State {
    ledger: Ledger,
    catalogue: Catalogue,
    /// Whose each claim is, by its place.
    claims: BTreeMap<LeafIndex, u16>,
    /// Whose each kept quote is, by its name.
    kept: BTreeMap<String, u16>,
    /// What became of requests whose answers got lost, by the names of their keys.
    lost: BTreeMap<String, EntryAnswer>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    card: u16,
    queued_at: UnixMillis,
    since: Instant,
    draft: Draft,
    quote: Option<Box<QuoteAnswer>>,
}

enum Quoted {
    Quote(Box<Quote>),
    Refused(Refusal),
}

impl Simulator {
    /// Founds the federation. Its roster lies beside the receipts, and receipts of an earlier
    /// simulation go.
    pub(super) fn open(
        folder: &Path,
        quotes: KeptQuotes,
        receipts: Receipts,
        conformance: Option<Arc<Conformance>>,
    ) -> Result<Self, SimulationError> {
        let catalogue = products::catalogue().ok_or(SimulationError::NotFounded)?;
        let ledger = Ledger::found(&catalogue)?;
        receipts.clear()?;
        let roster = ledger.signed_roster.to_text();
        files::replace(&folder.join("roster.txt"), roster.as_bytes())?;
        let state = State {
            ledger,
            catalogue,
            claims: BTreeMap::new(),
            kept: BTreeMap::new(),
            lost: BTreeMap::new(),
            waiting: Vec::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
            quotes,
            receipts,
            conformance,
        })
    }

    fn saw(&self, seen: Seen) {
        if let Some(conformance) = &self.conformance {
            conformance.saw(seen);
        }
    }

    pub(super) async fn check(&self, sale: Sale, keep: bool) -> Result<CheckAnswer, Problem> {
        let mut state = self.state.lock().await;
        let card = card_of(&sale.insured, "/sale/card/nir")?;
        let quote = match state.quote(card, &sale)? {
            Quoted::Refused(refusal) => return Ok(CheckAnswer::refused(refusal, true)),
            Quoted::Quote(quote) => quote,
        };
        let mut kept = None;
        if keep && let Ok(draft) = at_hand::draft(&quote) {
            let name = self.quotes.keep(&draft)?;
            state.kept.insert(name.clone(), card);
            kept = Some(name);
        }
        let covered = quote.is_covered();
        self.saw(Seen::Checked { card, covered });
        Ok(CheckAnswer::quoted(&quote, kept, true))
    }

    pub(super) async fn claim(
        &self,
        claiming: Claiming,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let mut state = self.state.lock().await;
        let (card, draft, quote) = match claiming.what {
            Claimed::Quote(name) => {
                let draft = self.quotes.read(&name)?;
                let unknown = || Problem::new(ProblemCode::QuoteUnknown).of_field("/quote");
                let card = *state.kept.get(&name).ok_or_else(unknown)?;
                (card, draft, None)
            }
            Claimed::Sale(sale) => {
                let card = card_of(&sale.insured, "/sale/card/nir")?;
                match state.draft(card, &sale)? {
                    Ok((draft, quote)) => (card, draft, Some(quote)),
                    Err(refused) => {
                        let seen = |key, outcome| Seen::Claimed { card, key, outcome };
                        return self.told(&open, *refused, seen);
                    }
                }
            }
        };
        let seen = |key, outcome| Seen::Claimed { card, key, outcome };
        if let Some(answer) = state.lost(&open) {
            return self.told(&open, answer, seen);
        }
        if let Some(reason) = forced(card, Told::Claim).or(forced(card, Told::Check)) {
            let refused = EntryAnswer::refused("claim", Refusal::new(reason));
            let refused = refused.resting_on(quote.map(|quote| *quote));
            return self.told(&open, refused, seen);
        }
        if card == cards::UNREACHABLE {
            return match claiming.queue {
                true => self.wait(&mut state, draft, quote, open),
                false => Err(Problem::new(ProblemCode::Unreachable)),
            };
        }
        let way = state.send(&mut open, card, Told::Claim)?;
        let answer = self
            .enter(&mut state, card, draft)?
            .resting_on(quote.map(|quote| *quote));
        self.tell(&mut state, (&open, way), answer, seen)
    }

    /// Lets a claim into the ledger, if its rules admit it.
    fn enter(&self, state: &mut State, card: u16, draft: Draft) -> Result<EntryAnswer, Problem> {
        let says = Attestation::Claim(draft.claim);
        let payload = Some((draft.payload, draft.salt));
        let issued = state.ledger.append(Issuer::Till, &says, payload)?;
        if let Issued::Accepted(receipt) = &issued {
            state.claims.insert(receipt.proved.index, card);
        }
        self.keep("claim", &issued)
    }

    fn keep(&self, kind: &str, issued: &Issued) -> Result<EntryAnswer, Problem> {
        let path = self.receipts.keep(kind, issued).map_err(not_kept)?;
        Ok(EntryAnswer::issued(
            kind,
            issued,
            path.as_deref().and_then(file_name),
        ))
    }

    /// Keeps the answer, and tells it.
    fn told(
        &self,
        open: &Open,
        answer: EntryAnswer,
        seen: impl FnOnce(String, Outcome) -> Seen,
    ) -> Result<EntryAnswer, Problem> {
        let answer = answered(open, answer)?;
        let outcome = match answer.index {
            Some(_) => Outcome::Accepted,
            None => Outcome::Refused,
        };
        self.saw(seen(open.name().to_owned(), outcome));
        Ok(answer)
    }

    fn wait(
        &self,
        state: &mut State,
        draft: Draft,
        quote: Option<Box<QuoteAnswer>>,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        if let Some(Prepared::Queued { name, .. }) = open.prepared() {
            let mut waiting = state.waiting.iter();
            if waiting.any(|one| Queue::name_of(&one.draft) == *name) {
                return Ok(EntryAnswer::waiting(name).simulated());
            }
        }
        let name = Queue::name_of(&draft);
        open.prepare(Prepared::Queued {
            name: name.clone(),
            draft: draft.to_text(),
            quote: quote.clone(),
        })?;
        state.waiting.push(Waiting {
            card: cards::UNREACHABLE,
            queued_at: system::now(),
            since: Instant::now(),
            draft,
            quote,
        });
        self.saw(Seen::Claimed {
            card: cards::UNREACHABLE,
            key: open.name().to_owned(),
            outcome: Outcome::Queued,
        });
        Ok(EntryAnswer::waiting(&name).simulated())
    }

    /// Lets in what has waited for [`REACHED_AFTER`].
    pub(super) async fn send_waiting(&self, requests: &Requests) {
        let mut state = self.state.lock().await;
        let waiting = std::mem::take(&mut state.waiting);
        let (due, rest) = waiting
            .into_iter()
            .partition(|one| one.since.elapsed() >= REACHED_AFTER);
        state.waiting = rest;
        let due: Vec<Waiting> = due;
        for one in due {
            let open = requests.of_queued(&Queue::name_of(&one.draft));
            let entered = self.enter(&mut state, one.card, one.draft);
            if let (Some(open), Ok(answer)) = (open, entered) {
                let _ = answered(&open, answer.resting_on(one.quote.map(|quote| *quote)));
            }
        }
    }

    pub(super) async fn queued(&self) -> Vec<QueuedAnswer> {
        let state = self.state.lock().await;
        let claims = state.waiting.iter().map(|one| Queued {
            name: Queue::name_of(&one.draft),
            queued_at: one.queued_at,
            draft: one.draft.clone(),
            attempt: None,
            refused: None,
        });
        claims.map(|queued| QueuedAnswer::new(&queued)).collect()
    }

    pub(super) async fn deliver(
        &self,
        delivering: Delivering,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let mut state = self.state.lock().await;
        let Delivering {
            claim,
            insured,
            what,
        } = delivering;
        let card = card_of(&insured, "/card/nir")?;
        let seen = |key, outcome| Seen::Delivered { card, key, outcome };
        if let Some(answer) = state.lost(&open) {
            return self.told(&open, answer, seen);
        }
        let slots = state.slots_of(claim, card, &insured, &what.slots)?;
        let way = state.send(&mut open, card, Told::Delivery)?;
        if let Some(reason) = forced(card, Told::Delivery) {
            let refused = EntryAnswer::refused("delivery", Refusal::new(reason));
            return self.told(&open, refused, seen);
        }
        let today = system::now().day();
        let until = Handover::last_day_held(today, ADULT_MONTHS);
        let handover = match what.cause {
            Cause::First => Handover::First { until },
            Cause::Correction(invoice) => Handover::Correction {
                invoice,
                delivered_on: today,
                until,
            },
            Cause::Warranty(invoice) => Handover::Replacement { invoice },
        };
        let delivery = Attestation::Delivery(Delivery {
            slots,
            claim,
            handover,
            commitment: Hash::from_bytes(system::random()?),
        });
        let issued = state.ledger.append(Issuer::Till, &delivery, None)?;
        let answer = self.keep("delivery", &issued)?;
        self.tell(&mut state, (&open, way), answer, seen)
    }

    pub(super) async fn release(
        &self,
        releasing: Releasing,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let mut state = self.state.lock().await;
        let unknown = || Problem::new(ProblemCode::EntryUnknown).of_field("/entry");
        let entry = state.ledger.entry(releasing.entry).ok_or_else(unknown)?;
        let (claim, invoice, mut slots) = match Attestation::read(entry.header()) {
            Ok(Attestation::Claim(claim)) => (releasing.entry, None, claim.slots),
            Ok(Attestation::Delivery(delivery)) => {
                let invoice = delivery.handover.invoice(releasing.entry);
                (delivery.claim, Some(invoice), delivery.slots)
            }
            _ => return Err(unfit("the entry is no claim and no delivery")),
        };
        let card = state.claims.get(&claim).copied().ok_or_else(unknown)?;
        if let Some(insured) = &releasing.insured {
            let of_card = card_of(insured, "/card/nir")?;
            slots = state.slots_of(claim, of_card, insured, &releasing.slots)?;
        }
        let seen = |key, outcome| Seen::Released { card, key, outcome };
        if let Some(answer) = state.lost(&open) {
            return self.told(&open, answer, seen);
        }
        let way = state.send(&mut open, card, Told::Release)?;
        if let Some(reason) = forced(card, Told::Release) {
            let refused = EntryAnswer::refused("release", Refusal::new(reason));
            return self.told(&open, refused, seen);
        }
        let release = Attestation::Release(Release {
            slots,
            claim,
            invoice,
        });
        let issued = state.ledger.append(Issuer::Till, &release, None)?;
        let answer = self.keep("release", &issued)?;
        self.tell(&mut state, (&open, way), answer, seen)
    }

    pub(super) async fn status(&self) -> StatusAnswer {
        let state = self.state.lock().await;
        let roster = &state.ledger.roster;
        let members = roster.members().iter().map(|member| MemberAnswer {
            name: member.name.to_string(),
            role: member.role.as_str().to_owned(),
            voting: member.is_voting(),
            reachable: true,
        });
        let checkpoint = state.ledger.verified_checkpoint().ok();
        StatusAnswer {
            origin: Some(roster.origin().to_string()),
            epoch: Some(roster.epoch().get()),
            members: members.collect(),
            checkpoint: checkpoint.map(|checkpoint| CheckpointAnswer {
                size: checkpoint.size().get(),
                time: checkpoint.time().get(),
                age_seconds: 0,
            }),
            waiting: state.waiting.len(),
            ..StatusAnswer::bare(true)
        }
    }
}

impl State {
    /// The quote of a sale, or what refuses its items.
    fn quote(&mut self, card: u16, sale: &Sale) -> Result<Quoted, Problem> {
        if is_unreachable(card, Told::Check) {
            return Err(Problem::new(ProblemCode::Unreachable));
        }
        let of_items = |reason| Refusal {
            items: vec![1],
            ..Refusal::new(reason)
        };
        if let Some(reason) = forced(card, Told::Items) {
            return Ok(Quoted::Refused(of_items(reason)));
        }
        let quoted = self.reckon(sale).and_then(|quote| {
            let is_free = quote.lines().iter().all(|line| line.taken.is_none());
            match card {
                cards::RESERVED | cards::HELD if is_free => {
                    self.take_elsewhere(&quote, card == cards::HELD)?;
                    self.reckon(sale)
                }
                _ => Ok(quote),
            }
        });
        match quoted {
            Ok(quote) => Ok(Quoted::Quote(Box::new(match forced(card, Told::Check) {
                Some(reason) => at_hand::refused(quote, reason),
                None => quote,
            }))),
            Err(Reckoned::Problem(problem)) => Err(*problem),
            Err(Reckoned::Check(CheckError::Items(error))) => match error.refusal() {
                Some(refused) => Ok(Quoted::Refused(Refusal::of_items(&refused))),
                None => Err(Problem::invalid("/sale/items", error)),
            },
            Err(Reckoned::Check(error)) => Err(error.into()),
        }
    }

    /// The claim of a sale with its quote, or the answer that refuses it.
    #[allow(clippy::type_complexity, reason = "what is claimed, or why not")]
    fn draft(
        &mut self,
        card: u16,
        sale: &Sale,
    ) -> Result<Result<(Draft, Box<QuoteAnswer>), Box<EntryAnswer>>, Problem> {
        let quote = match self.quote(card, sale)? {
            Quoted::Refused(refusal) => {
                return Ok(Err(Box::new(EntryAnswer::refused("claim", refusal))));
            }
            Quoted::Quote(quote) => quote,
        };
        let answer = QuoteAnswer::new(&quote);
        match at_hand::draft(&quote) {
            Ok(draft) => Ok(Ok((draft, Box::new(answer)))),
            Err(ClaimError::NothingCovered) => Ok(Err(Box::new(nothing_covered(answer)))),
            Err(error) => Err(error.into()),
        }
    }

    fn reckon(&mut self, sale: &Sale) -> Result<Quote, Reckoned> {
        let items = match &sale.items {
            Ok(items) => items,
            Err(error) => return Err(CheckError::Items(*error).into()),
        };
        let (person, tokens) = self.tokens(&sale.insured)?;
        let (roster, named_at) = (self.ledger.roster.clone(), self.ledger.named_at);
        let desk = Desk {
            roster: &roster,
            catalogue: &self.catalogue,
            named_at,
            today: system::now().day(),
        };
        let ledger = &mut self.ledger;
        let mut broken = false;
        let look = |slots: &[SlotKey], asked: &[AskedCoverage]| {
            let found = products::look(ledger, &sale.insured, &tokens, slots, asked);
            found.map_err(|_| {
                broken = true;
                CheckError::OtherCatalogue
            })
        };
        let asked = (items.as_slice(), &sale.occasion);
        let quoted = desk.quote(&sale.insured, asked, (&person, &tokens), look);
        match broken {
            true => Err(Broken.into()),
            false => Ok(quoted?),
        }
    }

    fn tokens(&self, insured: &Insured) -> Result<(PersonToken, Vec<ContractToken>), Broken> {
        self.ledger.tokens(insured.person(), &insured.contracts())
    }

    /// Another shop claims what is quoted, and delivers it.
    fn take_elsewhere(&mut self, quote: &Quote, delivers: bool) -> Result<(), Broken> {
        let Ok(draft) = at_hand::draft(quote) else {
            return Ok(());
        };
        let slots = draft.claim.slots.clone();
        let says = Attestation::Claim(draft.claim);
        let payload = Some((draft.payload, draft.salt));
        let issued = self.ledger.append(Issuer::OtherTill, &says, payload)?;
        if let (Issued::Accepted(receipt), true) = (issued, delivers) {
            let today = system::now().day();
            let delivery = Attestation::Delivery(Delivery {
                slots,
                claim: receipt.proved.index,
                handover: Handover::First {
                    until: Handover::last_day_held(today, ADULT_MONTHS),
                },
                commitment: Hash::from_bytes(system::random().map_err(|_| Broken)?),
            });
            self.ledger.append(Issuer::OtherTill, &delivery, None)?;
        }
        Ok(())
    }

    /// The slot keys of a card's claim: those of the slots that are named, or all.
    fn slots_of(
        &self,
        claim: LeafIndex,
        card: u16,
        insured: &Insured,
        wanted: &[Slot],
    ) -> Result<Vec<SlotKey>, Problem> {
        let unknown = || Problem::new(ProblemCode::EntryUnknown).of_field("/claim");
        let entry = self.ledger.entry(claim).ok_or_else(unknown)?;
        let Ok(Attestation::Claim(says)) = Attestation::read(entry.header()) else {
            return Err(unfit("the entry is no claim"));
        };
        let (person, _) = self.tokens(insured)?;
        let mut keys: Vec<SlotKey> = wanted.iter().map(|slot| person.slot_key(*slot)).collect();
        keys.sort_unstable();
        keys.dedup();
        let own = self.claims.get(&claim) == Some(&card);
        if !own || !keys.iter().all(|key| says.slots.contains(key)) {
            return Err(unfit("the claim has none of these slots for this person"));
        }
        Ok(if keys.is_empty() { says.slots } else { keys })
    }
}

/// Why there is no quote.
enum Reckoned {
    Check(CheckError),
    Problem(Box<Problem>),
}

impl From<CheckError> for Reckoned {
    fn from(error: CheckError) -> Self {
        Self::Check(error)
    }
}

impl From<Broken> for Reckoned {
    fn from(broken: Broken) -> Self {
        Self::Problem(Box::new(broken.into()))
    }
}

/// The reason that a card is for, if it is told here and not by the ledger's own rules.
fn forced(card: u16, at: Told) -> Option<Reason> {
    let reason = cards::reason(card).filter(|_| ![cards::RESERVED, cards::HELD].contains(&card));
    reason.filter(|reason| cards::told(*reason) == at)
}

fn card_of(insured: &Insured, field: &str) -> Result<u16, Problem> {
    let card = cards::of(&insured.person().nir);
    card.ok_or_else(|| Problem::new(ProblemCode::NotATestCard).of_field(field))
}

fn unfit(why: &str) -> Problem {
    Problem::new(ProblemCode::Unfit).saying(why)
}

fn answered(open: &Open, answer: EntryAnswer) -> Result<EntryAnswer, Problem> {
    let answer = answer.simulated();
    open.answer(&answer).map_err(not_kept)?;
    Ok(answer)
}
