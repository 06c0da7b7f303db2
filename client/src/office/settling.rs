//! Settling many: each line is checked, written down, sent, and its answer verified.
//!
//! 1. A line that ended in an earlier run is only reported.
//! 2. The invoice it means is found among the listed claims; slot keys, amounts and dates are
//!    checked, and a claim that is wrong is rejected in place of being paid.
//! 3. Request id and salt are durable before the entry is sent: after a crash the same bytes go out
//!    again, and the ledger gives its first answer.
//! 4. The receipt is verified, and what became of the line is written down.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::attestation::lifecycle::PaymentEvent;
use proto::attestation::{Attestation, Settlement, SettlementOutcome, SettlementTerms};
use proto::ids::{Cents, LeafIndex};
use proto::refusal::Reason;
use proto::seal::{self, Salt, SealError, SealedPayload};
use proto::signing::PublicKey;
use thiserror::Error;
use tokio::task::JoinSet;

use super::CheckError;
use super::book::{BookedClaim, BookedInvoice, ClaimBook};
use super::check::{check_invoice, check_keys};
use super::foreign;
use super::journal::{Ended, Journal, JournalError, Sent};
use super::settle_file::{AmountAsked, SettleRow};
use crate::failure::{Failure, FailureKind};
use crate::files::FileError;
use crate::issue::{IssueError, Issued};
use crate::session::Session;
use crate::system::{self, NoRandomness};

/// How many settlements are on their way at once.
const IN_FLIGHT: usize = 32;

/// Why a run stops.
#[derive(Debug, Error)]
pub enum SettlingError {
    /// What is sent cannot be written down, and so nothing may be sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Salts and request ids take fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Failure for SettlingError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::NoRandomness(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some("the same command goes on where it was")
    }
}

/// Why a line was not sent, or it is not known what became of it.
#[derive(Debug, Error)]
pub enum LineFailure {
    /// No listed claim has this index.
    #[error("claim: no claim on an own coverage, or delivery of one, has this index")]
    Unknown,
    /// Nothing was delivered.
    #[error("claim: nothing was delivered yet")]
    NotDelivered,
    /// Several invoices are open.
    #[error("claim: it has several open invoices, name the delivery")]
    Several,
    /// No contract of the file fits, or the payload is erased.
    #[error("claim: no contract of the file opens it")]
    NoContract,
    /// The line was sent in an earlier run, and asked for something else.
    #[error("the line was changed after it was sent")]
    Changed,
    /// The slot keys could not be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The evidence for a rejection cannot be written down, and so it is not sent.
    #[error("evidence: {0}")]
    Evidence(#[from] FileError),
    /// The terms cannot be sealed.
    #[error("the settlement cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// It is not known what became of it.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// What became of a line.
#[derive(Debug)]
pub enum Settled {
    /// The answer is in the ledger.
    Done {
        /// The settlement.
        index: LeafIndex,
        /// What was answered: a payment may have become a rejection.
        outcome: Option<SettlementOutcome>,
        /// Its receipt as it came back in this run; `None` if it was there before.
        issued: Option<Box<Issued>>,
    },
    /// A rule of the ledger said no.
    Refused(Reason),
    /// Nothing is known to be in the ledger.
    Failed(LineFailure),
}

/// A line of the file, and what became of it.
#[derive(Debug)]
pub struct SettledLine {
    /// Its number in the file.
    pub line: u64,
    /// What became of it.
    pub settled: Settled,
}

/// An entry's content, its payload and salt, and the line that it is for.
struct Ready {
    line: u64,
    sent: Sent,
    attestation: Attestation,
    payload: SealedPayload,
    resumed: bool,
}

/// Settles the lines of a file, `done` being called after each. The answers are in the order of the
/// lines. Called again with the same file it sends what has not ended, each exactly once.
/// Evidence of foreign slots goes to the folder `evidence`, before the rejection is sent.
///
/// # Errors
/// [`SettlingError`]; what becomes of each line stands in the answer.
pub async fn settle_all(
    session: &Session,
    book: &ClaimBook,
    file: &Path,
    evidence: &Path,
    rows: &[(u64, SettleRow)],
    done: &mut (dyn FnMut(&SettledLine) + Send),
) -> Result<Vec<SettledLine>, SettlingError> {
    let former = book.claims.iter().map(|claim| claim.payer).collect();
    let mut journal = Journal::open(file, &session.public_key(), &former)?;
    let mut settled = Vec::with_capacity(rows.len());
    for rows in rows.chunks(IN_FLIGHT) {
        let mut ready = Vec::new();
        for (line, row) in rows {
            match prepare(session, book, &journal, evidence, (*line, row)).await? {
                Ok(prepared) => ready.push(prepared),
                Err(ended) => {
                    let line = SettledLine {
                        line: *line,
                        settled: ended,
                    };
                    done(&line);
                    settled.push(line);
                }
            }
        }
        let fresh = ready.iter().filter(|one| !one.resumed);
        let fresh: Vec<_> = fresh.map(|one| (one.line, one.sent.clone())).collect();
        journal.will_send(&fresh)?;
        send(session, &mut journal, ready, &mut settled, done).await?;
    }
    settled.sort_by_key(|one| one.line);
    Ok(settled)
}

/// Sends what is ready, all at once, and writes down what became of each.
async fn send(
    session: &Session,
    journal: &mut Journal,
    ready: Vec<Ready>,
    settled: &mut Vec<SettledLine>,
    done: &mut (dyn FnMut(&SettledLine) + Send),
) -> Result<(), SettlingError> {
    let mut in_flight = JoinSet::new();
    for one in ready {
        let session = session.clone();
        in_flight.spawn(async move {
            let issued = issue(&session, &one).await;
            (one, issued)
        });
    }
    // A task neither panics nor is cancelled; a line without an answer is sent by the next run.
    while let Some(Ok((mut one, mut issued))) = in_flight.join_next().await {
        if one.resumed && is_stale(&issued) {
            // Its id was too old when it arrived, so it never entered: it gets a new one.
            one.sent.id = system::request_id()?;
            journal.will_send(&[(one.line, one.sent.clone())])?;
            issued = issue(session, &one).await;
        }
        let ended = match &issued {
            Ok(Issued::Accepted(receipt)) => Some(Ended::Done(receipt.proved.index)),
            Ok(Issued::Refused(refused)) => Some(Ended::Refused(refused.reason)),
            Err(_) => None,
        };
        if let Some(ended) = ended {
            journal.ended(one.line, ended)?;
        }
        let line = SettledLine {
            line: one.line,
            settled: match (ended, issued) {
                (Some(Ended::Done(index)), Ok(issued)) => Settled::Done {
                    index,
                    outcome: Some(one.sent.outcome),
                    issued: Some(Box::new(issued)),
                },
                (Some(Ended::Refused(reason)), _) => Settled::Refused(reason),
                (_, Err(error)) => Settled::Failed(error.into()),
                (None, Ok(_)) => Settled::Failed(LineFailure::Unknown),
            },
        };
        done(&line);
        settled.push(line);
    }
    Ok(())
}

fn is_stale(issued: &Result<Issued, IssueError>) -> bool {
    matches!(issued, Ok(Issued::Refused(refused)) if refused.reason == Reason::ClockSkew)
}

async fn issue(session: &Session, ready: &Ready) -> Result<Issued, IssueError> {
    let entry = session.sign_as(ready.sent.id, &ready.attestation)?;
    let payload = (&ready.payload, &ready.sent.salt);
    session.append(&entry, Some(payload)).await
}

/// What is sent for a line, or what has become of it already.
async fn prepare(
    session: &Session,
    book: &ClaimBook,
    journal: &Journal,
    evidence: &Path,
    (line, row): (u64, &SettleRow),
) -> Result<Result<Ready, Settled>, NoRandomness> {
    let asks = asks(row);
    let before = journal.sent.get(&line);
    if let Some(sent) = before
        && let Some(ended) = ended_before(book, journal, line, row, sent, &asks)
    {
        return Ok(Err(ended));
    }
    let (claim, invoice) = match meant(book, row) {
        Ok(found) => found,
        Err(ended) => return Ok(Err(ended)),
    };
    let resumed = before.is_some();
    let sent = match before {
        Some(sent) => sent.clone(),
        None => match decide(session, book, evidence, (claim, invoice), row).await {
            Ok((outcome, amount)) => Sent {
                asks,
                delivery: invoice.newest,
                outcome,
                amount,
                id: system::request_id()?,
                salt: Salt::from_bytes(system::random()?),
            },
            Err(failure) => return Ok(Err(Settled::Failed(failure))),
        },
    };
    let made = made(claim, invoice, row, &sent, &session.public_key());
    Ok(made
        .map(|(attestation, payload)| Ready {
            line,
            sent,
            attestation,
            payload,
            resumed,
        })
        .map_err(Settled::Failed))
}

/// What has become of a line that was sent before, if that is known: from the journal, or from the
/// ledger when the answer was lost.
fn ended_before(
    book: &ClaimBook,
    journal: &Journal,
    line: u64,
    row: &SettleRow,
    sent: &Sent,
    asks: &str,
) -> Option<Settled> {
    if sent.asks != asks {
        return Some(Settled::Failed(LineFailure::Changed));
    }
    let done = |index| Settled::Done {
        index,
        outcome: Some(sent.outcome),
        issued: None,
    };
    match journal.ended.get(&line) {
        Some(Ended::Done(index)) => return Some(done(*index)),
        Some(Ended::Refused(reason)) => return Some(Settled::Refused(*reason)),
        None => {}
    }
    let invoices = book.find(row.claim)?.invoices.iter();
    let mut answers = invoices.filter_map(|invoice| invoice.settlement);
    let same = answers.find(|one| one.delivery == sent.delivery && one.outcome == sent.outcome)?;
    Some(done(same.by))
}

/// What a line asks for, in one word.
fn asks(row: &SettleRow) -> String {
    let reason = row.outcome.reason().map_or("", Reason::code);
    let amount = match row.amount {
        AmountAsked::AsClaimed => "as-claimed".to_owned(),
        AmountAsked::Exactly(cents) => cents.get().to_string(),
    };
    let outcome = row.outcome.as_str();
    let reference = BASE64_STANDARD.encode(&row.reference);
    format!("{}/{outcome}/{reason}/{amount}/{reference}", row.claim)
}

/// The invoice that a line means; or the own answer, if that is there and the same.
fn meant<'b>(
    book: &'b ClaimBook,
    row: &SettleRow,
) -> Result<(&'b BookedClaim, &'b BookedInvoice), Settled> {
    let failed = |failure| Err(Settled::Failed(failure));
    let Some(claim) = book.find(row.claim) else {
        return failed(LineFailure::Unknown);
    };
    let named = |one: &&BookedInvoice| {
        row.claim == claim.index || row.claim == one.first || row.claim == one.newest
    };
    let named: Vec<&BookedInvoice> = claim.invoices.iter().filter(named).collect();
    let event = PaymentEvent::of(row.outcome);
    let mut open = named.iter().filter(|one| one.stage.next(event).is_ok());
    match (open.next(), open.next()) {
        (Some(invoice), None) => return Ok((claim, invoice)),
        (Some(_), Some(_)) => return failed(LineFailure::Several),
        (None, _) => {}
    }
    let Some(last) = named.last() else {
        return failed(LineFailure::NotDelivered);
    };
    match (last.settlement, last.stage.next(event)) {
        (Some(settlement), _) if settlement.outcome == row.outcome => Err(Settled::Done {
            index: settlement.by,
            outcome: Some(settlement.outcome),
            issued: None,
        }),
        (_, Err(reason)) => Err(Settled::Refused(reason)),
        (_, Ok(_)) => failed(LineFailure::Unknown),
    }
}

/// What is answered: what the line says, unless a check finds that it must not be paid.
async fn decide(
    session: &Session,
    book: &ClaimBook,
    evidence: &Path,
    (claim, invoice): (&BookedClaim, &BookedInvoice),
    row: &SettleRow,
) -> Result<(SettlementOutcome, Cents), LineFailure> {
    let invoiced = invoice.invoiced();
    if row.outcome == SettlementOutcome::Paid {
        let mut wrong = check_invoice(claim, invoice, book.networks.as_ref());
        if let Some(person) = &row.person
            && let Some(file) = check_keys(session, person, claim.index).await?.evidence
        {
            // Durable before the rejection is sent: with the identity gone nobody makes it again.
            foreign::keep(evidence, &file)?;
            wrong = Some(Reason::ForeignSlotKey);
        }
        if let Some(reason) = wrong {
            return Ok((SettlementOutcome::Rejected(reason), Cents::default()));
        }
    }
    let amount =
        match (row.outcome, row.amount) {
            (SettlementOutcome::Rejected(_), _) => Cents::default(),
            (_, AmountAsked::Exactly(amount)) => amount,
            (SettlementOutcome::Recovered(_), AmountAsked::AsClaimed) => invoice
                .settled
                .or(invoiced)
                .ok_or(LineFailure::NoContract)?,
            (SettlementOutcome::Paid, AmountAsked::AsClaimed) => {
                invoiced.ok_or(LineFailure::NoContract)?
            }
        };
    Ok((row.outcome, amount))
}

/// The entry's content, the same whenever it is made from what was written down.
fn made(
    claim: &BookedClaim,
    invoice: &BookedInvoice,
    row: &SettleRow,
    sent: &Sent,
    own_key: &PublicKey,
) -> Result<(Attestation, SealedPayload), LineFailure> {
    let secret = claim.secret().ok_or(LineFailure::NoContract)?;
    let terms = SettlementTerms {
        amount: sent.amount,
        reference: row.reference.clone(),
    };
    let payload = seal::seal(&[(secret, &terms.to_bytes())], &sent.salt)?;
    let settlement = Settlement {
        claim: claim.index,
        invoice: invoice.first,
        delivery: sent.delivery,
        outcome: sent.outcome,
        under: (claim.payer != *own_key).then_some(claim.payer),
        commitment: *payload.commitment(&sent.salt).as_hash(),
    };
    Ok((Attestation::Settlement(settlement), payload))
}
