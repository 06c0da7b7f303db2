//! Claims that may wait: through the till's queue, with the record of their request beside it.

use proto::receipt::ReceiptFile;

use super::super::answer::{EntryAnswer, QuoteAnswer, Refusal};
use super::super::idempotency::{Open, Prepared, not_kept};
use super::super::problem::{Problem, ProblemCode};
use super::{Live, answered, file_name};
use crate::issue::Issued;
use crate::pos::Draft;
use crate::queue::{Queue, QueueError};
use crate::system;

impl Live {
    /// Keeps a claim in the queue, and sends it if anybody can be reached.
    pub(super) async fn queue_up(
        &self,
        draft: Draft,
        quote: Option<Box<QuoteAnswer>>,
        mut open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let name = Queue::name_of(&draft);
        open.prepare(Prepared::Queued {
            name: name.clone(),
            draft: draft.to_text(),
            quote: quote.clone(),
        })?;
        self.send_queued(&name, draft, quote, open).await
    }

    /// Puts a claim into the queue if it is not there, and sends it if anybody can be reached.
    pub(super) async fn send_queued(
        &self,
        name: &str,
        draft: Draft,
        quote: Option<Box<QuoteAnswer>>,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        let _turn = self.sending.lock().await;
        match self.queue.add(draft, system::now()) {
            Ok(_) | Err(QueueError::AlreadyQueued { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // From here it waits on this machine, whatever happens to this process.
        match self.send_one(name, quote, Some(&open)).await {
            Ok(answer) => Ok(answer),
            Err(problem) if problem.code == ProblemCode::LedgerContradicted => Err(problem),
            Err(_) => Ok(EntryAnswer::waiting(name)),
        }
    }

    async fn send_one(
        &self,
        name: &str,
        quote: Option<Box<QuoteAnswer>>,
        open: Option<&Open>,
    ) -> Result<EntryAnswer, Problem> {
        let till = self.till().await?;
        let mut answer = None;
        let keep = |issued: &Issued| {
            let path = self.receipts.keep("claim", issued)?;
            let receipt = path.as_deref().and_then(file_name);
            let told = EntryAnswer::issued("claim", issued, receipt);
            let told = told.resting_on(quote.map(|quote| *quote));
            if let Some(open) = open {
                open.answer(&told)?;
            }
            answer = Some(told);
            Ok(path)
        };
        let sent = self.queue.send(till.pos.session(), name, keep).await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                self.close_till().await;
                return Err(error.into());
            }
        };
        match (sent, answer) {
            (Some(sent), Some(answer)) => {
                if open.is_some() && matches!(sent.issued, Issued::Refused(_)) {
                    // The record says why, so that the queue need not.
                    self.queue.forget(name)?;
                }
                Ok(answer)
            }
            _ => self.decided_elsewhere(name, open),
        }
    }

    /// What became of a claim that another program has sent, such as `vitrail queue send`.
    fn decided_elsewhere(&self, name: &str, open: Option<&Open>) -> Result<EntryAnswer, Problem> {
        let answer = match self.queue.read(name) {
            Ok(queued) => match queued.refused {
                Some(reason) => EntryAnswer::refused("claim", Refusal::new(reason)),
                None => return Ok(EntryAnswer::waiting(name)),
            },
            Err(QueueError::NotQueued) => {
                let unknown = Problem::new(ProblemCode::OutcomeUnknown);
                let unknown = unknown.saying("another program has sent this claim");
                self.receipt_of(name)?.ok_or(unknown)?
            }
            Err(error) => return Err(error.into()),
        };
        match open {
            Some(open) => answered(open, answer),
            None => Ok(answer),
        }
    }

    /// The answer to a claim that is not in the queue any more, with its receipt in the folder.
    pub(super) fn sent_elsewhere(&self, name: &str) -> Result<Option<EntryAnswer>, Problem> {
        match self.queue.read(name) {
            Err(QueueError::NotQueued) => self.receipt_of(name),
            _ => Ok(None),
        }
    }

    /// The acceptance of a claim that was queued under this name, by its receipt.
    fn receipt_of(&self, queued: &str) -> Result<Option<EntryAnswer>, Problem> {
        for name in self.receipts.names().map_err(not_kept)? {
            if name.kind() != "claim" || name.is_refusal() {
                continue;
            }
            let text = self.receipts.read(&name).map_err(not_kept)?;
            let Ok(ReceiptFile::Accepted(receipt)) = ReceiptFile::parse(&text) else {
                continue;
            };
            let commitment = receipt.proved.entry.header().commitment;
            let commitment = commitment.map(|hash| *hash.as_bytes()).unwrap_or_default();
            let named: String = commitment
                .iter()
                .take(8)
                .map(|b| format!("{b:02x}"))
                .collect();
            if named == queued {
                let file = Some(name.as_str().to_owned());
                let issued = Issued::Accepted(Box::new(receipt));
                return Ok(Some(EntryAnswer::issued("claim", &issued, file)));
            }
        }
        Ok(None)
    }

    /// Sends what waits, the oldest first, until nobody can be asked.
    pub(in crate::agent) async fn send_waiting(&self) {
        let Ok(claims) = self.queue.list() else {
            return;
        };
        for queued in claims.iter().filter(|one| one.refused.is_none()) {
            if self.requests.is_at_work(&queued.name) {
                continue;
            }
            let open = self.requests.of_queued(&queued.name);
            let quote = match open.as_ref().and_then(Open::prepared) {
                Some(Prepared::Queued { quote, .. }) => quote.clone(),
                _ => None,
            };
            let _turn = self.sending.lock().await;
            if self
                .send_one(&queued.name, quote, open.as_ref())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}
