//! The counter of a shop: each request by what the library does for the commands.
//!
//! What writes goes out in three steps, each durable before the next: prepared in the request's
//! record, sent, answered in the record. A claim that may wait goes through the till's queue in
//! place of that, with the queue's own promise.

mod queueing;
mod standing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::attestation::Attestation;
use proto::entry::Entry;
use proto::ids::TreeSize;
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use tokio::sync::Mutex;

use super::answer::{CheckAnswer, EntryAnswer, QuoteAnswer, Refusal};
use super::idempotency::{Open, Prepared, Requests, not_kept};
use super::kept_quotes::KeptQuotes;
use super::outbound::Recorder;
use super::problem::{Problem, ProblemCode};
use super::request::{Claimed, Claiming, Delivering, Releasing, Sale};
use crate::connection::{CallError, Observer};
use crate::device;
use crate::issue::Issued;
use crate::lookup::LookupError;
use crate::pos::{self, CheckError, ClaimError, DeliverError, Draft, Pos, Quote, ReleaseError};
use crate::profile::Profile;
use crate::queue::{Attempt, Fate, Queue, fate};
use crate::receipts::Receipts;
use crate::session::Session;

/// How long one till is worked with before profile, roster and catalogue are read anew.
pub const REOPEN_AFTER: Duration = Duration::from_secs(60);
/// How long a member's node may take to say that it is there.
pub const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// An open till, with the profile that it was opened by.
struct Till {
    pos: Pos,
    profile: Profile,
    opened_at: Instant,
}

/// What a shop's counter is made of.
pub(super) struct LiveParts {
    pub(super) profile: Profile,
    pub(super) requests: Requests,
    pub(super) quotes: KeptQuotes,
    pub(super) queue: Queue,
    /// Who sees what leaves.
    pub(super) outbound: Arc<Recorder>,
}

/// The counter of a shop.
pub(super) struct Live {
    profile: Profile,
    requests: Requests,
    quotes: KeptQuotes,
    queue: Queue,
    receipts: Receipts,
    till: Mutex<Option<Arc<Till>>>,
    outbound: Arc<Recorder>,
    /// Who works on the queue. Its lock on the disk blocks a thread: one at most.
    sending: Mutex<()>,
}

/// What a sale comes to.
enum Quoted {
    Quote(Box<Quote>),
    /// A rule refuses the items before anybody is asked.
    Refused(Refusal),
}

/// What is to be signed and sent.
struct Prepaid {
    says: Attestation,
    payload: Option<(SealedPayload, Salt)>,
    quote: Option<Box<QuoteAnswer>>,
}

impl Live {
    pub(super) fn new(parts: LiveParts) -> Self {
        Self {
            receipts: Receipts::new(parts.profile.receipts_folder()),
            profile: parts.profile,
            requests: parts.requests,
            quotes: parts.quotes,
            queue: parts.queue,
            outbound: parts.outbound,
            till: Mutex::new(None),
            sending: Mutex::new(()),
        }
    }

    /// The till that is open, or one that is opened now.
    async fn till(&self) -> Result<Arc<Till>, Problem> {
        let mut open = self.till.lock().await;
        let observer = || -> Option<Arc<dyn Observer>> { Some(self.outbound.clone()) };
        let profile = device::renewed_seen_by(self.profile.clone(), observer()).await?;
        let key = &profile.settings().key;
        if let Some(till) = open.as_ref()
            && till.opened_at.elapsed() < REOPEN_AFTER
            && till.profile.settings().key == *key
        {
            return Ok(till.clone());
        }
        let till = Arc::new(Till {
            pos: Pos::open_anew(&profile, observer()).await?,
            profile,
            opened_at: Instant::now(),
        });
        *open = Some(till.clone());
        Ok(till)
    }

    /// Whatever made it fail, such as another catalogue, may be another the next time.
    async fn close_till(&self) {
        *self.till.lock().await = None;
    }

    async fn quote(&self, till: &Till, sale: Sale) -> Result<Quoted, Problem> {
        let mut occasion = sale.occasion;
        if !sale.names_networks {
            occasion.networks = till.profile.networks()?;
        }
        let quoted = match sale.items {
            Ok(items) => till.pos.check_sale(&sale.insured, &items, &occasion).await,
            Err(error) => Err(CheckError::Items(error)),
        };
        match quoted {
            Ok(quote) => Ok(Quoted::Quote(Box::new(quote))),
            Err(CheckError::Items(error)) => match error.refusal() {
                Some(refused) => Ok(Quoted::Refused(Refusal::of_items(&refused))),
                None => Err(Problem::invalid("/sale/items", error)),
            },
            Err(error) => {
                self.close_till().await;
                Err(error.into())
            }
        }
    }

    pub(super) async fn check(&self, sale: Sale, keep: bool) -> Result<CheckAnswer, Problem> {
        let till = self.till().await?;
        let quote = match self.quote(&till, sale).await? {
            Quoted::Refused(refusal) => return Ok(CheckAnswer::refused(refusal, false)),
            Quoted::Quote(quote) => quote,
        };
        let kept = match keep.then(|| till.pos.draft(&quote)) {
            Some(Ok(draft)) => Some(self.quotes.keep(&draft)?),
            // There is nothing to keep, and the answer says why.
            None | Some(Err(ClaimError::NothingCovered)) => None,
            Some(Err(error)) => return Err(error.into()),
        };
        Ok(CheckAnswer::quoted(&quote, kept, false))
    }

    pub(super) async fn claim(
        &self,
        claiming: Claiming,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        if open.prepared().is_some() {
            return self.resume(open).await;
        }
        let (draft, quote) = match claiming.what {
            Claimed::Quote(name) => (self.quotes.read(&name)?, None),
            Claimed::Sale(sale) => {
                let till = self.till().await?;
                let quote = match self.quote(&till, *sale).await? {
                    Quoted::Refused(refusal) => {
                        return answered(&open, EntryAnswer::refused("claim", refusal));
                    }
                    Quoted::Quote(quote) => quote,
                };
                let answer = QuoteAnswer::new(&quote);
                match till.pos.draft(&quote) {
                    Ok(draft) => (draft, Some(Box::new(answer))),
                    Err(ClaimError::NothingCovered) => {
                        return answered(&open, nothing_covered(answer));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if claiming.queue {
            return self.queue_up(draft, quote, open).await;
        }
        let says = Attestation::Claim(draft.claim);
        let payload = Some((draft.payload, draft.salt));
        let prepaid = Prepaid {
            says,
            payload,
            quote,
        };
        self.issue(prepaid, open).await
    }

    pub(super) async fn deliver(
        &self,
        delivering: Delivering,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        if open.prepared().is_some() {
            return self.resume(open).await;
        }
        let till = self.till().await?;
        let Delivering {
            claim,
            insured,
            what,
        } = delivering;
        let invoice = pos::invoice(till.pos.session(), &insured, claim, &what).await;
        let invoice = invoice.map_err(|error| match &error {
            DeliverError::Lookup(lookup) => of_lookup(lookup),
            _ => error.into(),
        })?;
        let prepaid = Prepaid {
            says: invoice.delivery,
            payload: Some((invoice.payload, invoice.salt)),
            quote: None,
        };
        self.issue(prepaid, open).await
    }

    pub(super) async fn release(
        &self,
        releasing: Releasing,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        if open.prepared().is_some() {
            return self.resume(open).await;
        }
        let till = self.till().await?;
        let session = till.pos.session();
        let slots = match &releasing.insured {
            Some(insured) => {
                session
                    .slot_keys(insured.person(), &releasing.slots)
                    .await?
            }
            None => Vec::new(),
        };
        let says = pos::release_of(session, releasing.entry, &slots).await;
        let says = says.map_err(|error| match &error {
            ReleaseError::Lookup(lookup) => of_lookup(lookup),
            _ => error.into(),
        })?;
        let prepaid = Prepaid {
            says,
            payload: None,
            quote: None,
        };
        self.issue(prepaid, open).await
    }

    /// Signs, and sends.
    async fn issue(&self, prepaid: Prepaid, open: Open) -> Result<EntryAnswer, Problem> {
        let till = self.till().await?;
        let session = till.pos.session();
        // When nobody answers this, nothing was sent and nothing is kept.
        let checkpoint = match session.newest_checkpoint().await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.close_till().await;
                return Err(error.into());
            }
        };
        self.send(session, prepaid, checkpoint.size(), open).await
    }

    async fn send(
        &self,
        session: &Session,
        prepaid: Prepaid,
        after: TreeSize,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let entry = session.sign(&prepaid.says)?;
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let payload = prepaid
            .payload
            .as_ref()
            .map(|(payload, salt)| (payload, salt));
        open.prepare(Prepared::Entry {
            entry: encode(entry.bytes()),
            after: after.get(),
            payload: payload
                .map(|(payload, salt)| (encode(&payload.to_bytes()), encode(salt.as_bytes()))),
            quote: prepaid.quote.clone(),
        })?;
        // From here the same key sends these bytes, whatever happens to this process.
        let issued = session.append(&entry, payload).await;
        let issued = issued.map_err(|error| Problem::after_sending(&error))?;
        self.settle(&open, entry.header().kind.as_str(), &issued, prepaid.quote)
    }

    /// Keeps the proof, then the answer.
    fn settle(
        &self,
        open: &Open,
        kind: &str,
        issued: &Issued,
        quote: Option<Box<QuoteAnswer>>,
    ) -> Result<EntryAnswer, Problem> {
        let receipt = self.receipts.keep(kind, issued).map_err(not_kept)?;
        let answer = EntryAnswer::issued(kind, issued, receipt.as_deref().and_then(file_name));
        answered(open, answer.resting_on(quote.map(|quote| *quote)))
    }

    /// Goes on with what was prepared before a stop, or before an answer got lost.
    async fn resume(&self, open: Open) -> Result<EntryAnswer, Problem> {
        match open.prepared().cloned() {
            Some(Prepared::Entry {
                entry,
                after,
                payload,
                quote,
            }) => {
                let torn = || Problem::new(ProblemCode::NotKept).saying("the record is torn");
                let (entry, payload) = decoded(&entry, payload.as_ref()).ok_or_else(torn)?;
                let after = TreeSize::new(after);
                self.find_out(Attempt { entry, after }, payload, quote, open)
                    .await
            }
            Some(Prepared::Queued { name, draft, quote }) => {
                let draft = Draft::parse(&draft)?;
                // Another program may have sent it meanwhile: then it must not wait once more.
                if let Some(answer) = self.sent_elsewhere(&name)? {
                    return answered(&open, answer.resting_on(quote.map(|quote| *quote)));
                }
                self.send_queued(&name, draft, quote, open).await
            }
            Some(Prepared::Simulated) | None => {
                Err(Problem::new(ProblemCode::NotKept).saying("the record is of a simulation"))
            }
        }
    }

    async fn find_out(
        &self,
        attempt: Attempt,
        payload: Option<(SealedPayload, Salt)>,
        quote: Option<Box<QuoteAnswer>>,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let till = self.till().await.map_err(still_unknown)?;
        let session = till.pos.session();
        let checkpoint = session.newest_checkpoint().await;
        let checkpoint = checkpoint.map_err(|error| Problem::after_sending(&error))?;
        let sealed = payload.as_ref().map(|(payload, salt)| (payload, salt));
        let found = fate(session, &attempt, sealed, &checkpoint).await;
        match found.map_err(|error| Problem::after_sending(&error))? {
            Fate::Decided(issued) => {
                let kind = attempt.entry.header().kind.as_str();
                self.settle(&open, kind, &issued, quote)
            }
            // It is not in the log and never will be: it may be signed anew.
            Fate::Dead => {
                let says = Attestation::read(attempt.entry.header()).map_err(not_kept)?;
                let prepaid = Prepaid {
                    says,
                    payload,
                    quote,
                };
                self.send(session, prepaid, checkpoint.size(), open).await
            }
        }
    }

    /// The queue of the till.
    pub(super) const fn queue(&self) -> &Queue {
        &self.queue
    }
}

/// Keeps an answer before it is told.
fn answered(open: &Open, answer: EntryAnswer) -> Result<EntryAnswer, Problem> {
    open.answer(&answer).map_err(not_kept)?;
    Ok(answer)
}

/// A claim of which no line is covered is refused for the first line's reason.
pub(super) fn nothing_covered(quote: QuoteAnswer) -> EntryAnswer {
    let refusal = quote.first_refusal();
    let refusal = refusal.unwrap_or_else(|| Refusal::new(Reason::NotCovered));
    EntryAnswer::refused("claim", refusal).resting_on(Some(quote))
}

pub(super) fn file_name(path: &Path) -> Option<String> {
    Some(PathBuf::from(path).file_name()?.to_str()?.to_owned())
}

fn of_lookup(error: &LookupError) -> Problem {
    match error {
        LookupError::Call(CallError::NotFound { .. } | CallError::Behind { .. }) => {
            Problem::new(ProblemCode::EntryUnknown)
        }
        _ => Problem::of(error),
    }
}

/// Nobody can be asked, and something may have been sent before.
fn still_unknown(problem: Problem) -> Problem {
    match problem.code {
        ProblemCode::Unreachable => {
            let unknown = Problem::new(ProblemCode::OutcomeUnknown);
            unknown.saying(problem.detail.unwrap_or_default())
        }
        _ => problem,
    }
}

fn decoded(
    entry: &str,
    payload: Option<&(String, String)>,
) -> Option<(Entry, Option<(SealedPayload, Salt)>)> {
    let entry = Entry::parse(&BASE64_STANDARD.decode(entry).ok()?).ok()?;
    let payload = match payload {
        None => None,
        Some((payload, salt)) => {
            let salt: [u8; 32] = BASE64_STANDARD.decode(salt).ok()?.try_into().ok()?;
            let payload = BASE64_STANDARD.decode(payload).ok()?;
            let payload = SealedPayload::from_bytes(&payload).ok()?;
            Some((payload, Salt::from_bytes(salt)))
        }
    };
    Some((entry, payload))
}
