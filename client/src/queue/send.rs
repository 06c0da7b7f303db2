//! Sending one queued claim, exactly once.
//!
//! An open attempt is asked about before anything else. Which way depends on who asks, and when:
//!
//! - The key that signed it asks within a day: with the same bytes. The ledger gives the first
//!   answer again, or decides now. If the answer is that the clocks are too far apart, the attempt
//!   was never admitted before, and from now on it is refused by its age.
//! - Otherwise (its session's key is gone, or the first answer may be forgotten): the log is read,
//!   from where it stood before the attempt to where every entry is too young to share a batch
//!   with it. The attempt is among them, or it is not in the log and too old to come.
//!
//! Only then is the claim signed anew.

use std::path::PathBuf;

use proto::attestation::{Attestation, CLOCK_SKEW_MS_MAX};
use proto::checkpoint::VerifiedCheckpoint;
use proto::ids::{LeafIndex, TreeSize, UnixMillis};
use proto::receipt::{Receipt, RefusalReceipt};
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use thiserror::Error;

use super::{Attempt, Queue, QueueError, Queued};
use crate::connection::CallError;
use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued, Refused};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::system;

/// How long after an attempt the same bytes are sent again: half of the 48 hours for which the
/// ledger keeps its answers.
pub const RESEND_WITHIN_MS: u64 = 24 * 3600 * 1000;
/// Most entries that are read to find an attempt: what all of tiers payant writes in four minutes,
/// and room for a federation that stood still meanwhile.
pub const SCAN_ENTRIES_MAX: u64 = 300_000;

/// An entry that is issued later than another by more than this is in a later batch: each is
/// within the clock's tolerance of its own.
const APART_MS: u64 = 2 * CLOCK_SKEW_MS_MAX;

/// What became of a queued claim; its file has been dealt with.
#[derive(Debug)]
pub struct Sent {
    /// Accepted or refused.
    pub issued: Issued,
    /// Where the proof was written, if there is one.
    pub proof: Option<PathBuf>,
}

/// Why it is not known yet what becomes of a claim: it waits on.
#[derive(Debug, Error)]
pub enum SendError {
    /// The queue cannot be read or written.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Nobody answered, or what was answered does not verify.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Nobody answered, or what was answered does not verify.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The federation says that this machine's clock is wrong.
    #[error("the federation refuses this machine's clock")]
    Clock,
    /// An earlier attempt, by a key that is no longer there, may still come in.
    #[error("an earlier attempt may still be on its way for {seconds} s")]
    OnItsWay {
        /// For how long.
        seconds: u64,
    },
    /// More entries would have to be read than is reasonable.
    #[error("more than {SCAN_ENTRIES_MAX} entries would have to be read to find an attempt")]
    TooManyEntries,
    /// The proof could not be written.
    #[error("the proof could not be written: {0}")]
    Keep(#[source] crate::files::FileError),
}

impl Failure for SendError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Queue(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::Issue(error) => error.kind(),
            Self::Clock | Self::OnItsWay { .. } | Self::TooManyEntries => FailureKind::Unavailable,
            Self::Keep(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Queue(error) => error.hint(),
            Self::Lookup(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            Self::Clock => Some("set this machine's clock right, and send again"),
            Self::OnItsWay { .. } => Some("send again after that"),
            Self::TooManyEntries => Some("look for the claim with `vitrail audit`"),
            Self::Keep(error) => error.hint(),
        }
    }
}

impl From<CallError> for SendError {
    fn from(error: CallError) -> Self {
        Self::Issue(error.into())
    }
}

/// What became of one attempt.
pub(crate) enum Fate {
    /// It was decided.
    Decided(Issued),
    /// It is not in the log, and never will be.
    Dead,
}

impl Queue {
    /// Sends one claim, and waits until it is known what becomes of it. `keep` makes the proof
    /// durable, before the claim leaves the queue; after a crash it may be called again.
    ///
    /// `None` when the claim is no longer there, or was refused before.
    ///
    /// # Errors
    /// [`SendError`]; the claim waits on. Sending it again is always safe.
    pub async fn send(
        &self,
        session: &Session,
        name: &str,
        keep: impl FnOnce(&Issued) -> Result<Option<PathBuf>, crate::files::FileError>,
    ) -> Result<Option<Sent>, SendError> {
        let _lock = self.lock()?;
        let mut queued = match self.read(name) {
            Err(QueueError::NotQueued) => return Ok(None),
            read => read?,
        };
        if queued.refused.is_some() {
            return Ok(None);
        }
        let issued = self.decided(session, &mut queued).await?;
        let proof = keep(&issued).map_err(SendError::Keep)?;
        // From here the proof is durable: the claim may leave the queue.
        self.settle(&mut queued, &issued)?;
        Ok(Some(Sent { issued, proof }))
    }

    /// Finds out what became of the open attempt, or makes one.
    async fn decided(&self, session: &Session, queued: &mut Queued) -> Result<Issued, SendError> {
        let checkpoint = session.newest_checkpoint().await?;
        if let Some(attempt) = queued.attempt.clone() {
            let payload = Some((&queued.draft.payload, &queued.draft.salt));
            match fate(session, &attempt, payload, &checkpoint).await? {
                Fate::Decided(issued) => return Ok(recognised(session, queued, issued)),
                Fate::Dead => self.give_up(queued)?,
            }
        }
        let attempt = self.attempt(session, queued, checkpoint.size())?;
        let payload = (&queued.draft.payload, &queued.draft.salt);
        let issued = session.append(&attempt.entry, Some(payload)).await?;
        if is_clock(&issued) {
            // It is refused, and remembered as such: the next one may follow.
            self.give_up(queued)?;
            return Err(SendError::Clock);
        }
        Ok(recognised(session, queued, issued))
    }

    /// Signs the claim anew. When it returns, the attempt is durable and may be sent.
    fn attempt(
        &self,
        session: &Session,
        queued: &mut Queued,
        after: TreeSize,
    ) -> Result<Attempt, SendError> {
        let entry = session.sign(&Attestation::Claim(queued.draft.claim.clone()))?;
        let attempt = Attempt { entry, after };
        queued.attempt = Some(attempt.clone());
        self.put(queued)?;
        Ok(attempt)
    }

    fn give_up(&self, queued: &mut Queued) -> Result<(), QueueError> {
        queued.attempt = None;
        self.put(queued)
    }

    /// Takes an accepted claim out, and marks a refused one.
    fn settle(&self, queued: &mut Queued, issued: &Issued) -> Result<(), QueueError> {
        match issued {
            Issued::Accepted(_) => self.remove(queued),
            Issued::Refused(refused) => {
                queued.attempt = None;
                queued.refused = Some(refused.reason);
                self.put(queued)
            }
        }
    }
}

const fn is_clock(issued: &Issued) -> bool {
    matches!(issued, Issued::Refused(refused) if matches!(refused.reason, Reason::ClockSkew))
}

/// Finds out what became of an attempt, by the way that can tell.
///
/// # Errors
/// [`SendError`]: it is not known yet.
pub(crate) async fn fate(
    session: &Session,
    attempt: &Attempt,
    payload: Option<(&SealedPayload, &Salt)>,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Fate, SendError> {
    let header = attempt.entry.header();
    let age = system::now().get().saturating_sub(header.issued_at.get());
    if header.issuer != session.public_key() || age > RESEND_WITHIN_MS {
        return search(session, attempt, checkpoint).await;
    }
    let issued = session.append(&attempt.entry, payload).await?;
    Ok(match is_clock(&issued) {
        true => Fate::Dead,
        false => Fate::Decided(issued),
    })
}

/// Reads the log where the attempt would be. It is not there and cannot come any more once an
/// entry of a later batch is, or a checkpoint of a later time has been reached without it.
async fn search(
    session: &Session,
    attempt: &Attempt,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Fate, SendError> {
    let last = UnixMillis::new(attempt.entry.header().issued_at.get() + APART_MS);
    let (first, end) = (attempt.after.get(), checkpoint.size().get());
    for place in first..end {
        if place - first >= SCAN_ENTRIES_MAX {
            return Err(SendError::TooManyEntries);
        }
        let (entry, receipt) = session.receipt(LeafIndex::new(place)).await?;
        if entry.bytes() == attempt.entry.bytes() {
            return Ok(Fate::Decided(Issued::Accepted(Box::new(receipt))));
        }
        if entry.header().issued_at > last {
            return Ok(Fate::Dead);
        }
    }
    let left = (last.seconds().get() + 1).saturating_sub(checkpoint.time().get());
    match left {
        0 => Ok(Fate::Dead),
        seconds => Err(SendError::OnItsWay { seconds }),
    }
}

/// A slot that is taken by this very claim, under a signature of this till, is an acceptance: that
/// is so when one kept quote is claimed twice.
fn recognised(session: &Session, queued: &Queued, issued: Issued) -> Issued {
    let Issued::Refused(Refused {
        evidence: Some(evidence),
        ..
    }) = &issued
    else {
        return issued;
    };
    let RefusalReceipt {
        holder, checkpoint, ..
    } = evidence.as_ref();
    let header = holder.entry.header();
    let claim = Attestation::Claim(queued.draft.claim.clone());
    let same = claim.header(header.issuer, header.request_id) == *header;
    if !same || header.issuer != session.public_key() {
        return issued;
    }
    Issued::Accepted(Box::new(Receipt {
        proved: holder.clone(),
        checkpoint: checkpoint.clone(),
    }))
}
