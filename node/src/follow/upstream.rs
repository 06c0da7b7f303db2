//! Passing on what a node is asked to append while it does not lead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::entry::VerifiedEntry;
use proto::hash::Hash;
use proto::ids::{MemberName, TreeSize};
use proto::receipt::Receipt;
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use proto::signing::SecretKey;
use proto::wire::v1::append_response::Answer;
use proto::wire::{AppendAnswer, read, v1, write};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::ledger::Outcome;
use crate::order::Leadership;
use crate::peer::Peer;
use crate::sequencer::{Condition, Decided, QUEUE_ENTRIES_MAX, Sequencer, StopReason, Unavailable};
use crate::service::{CallError, NOT_LEADING};

/// How long an entry that nobody takes is offered again: an election takes about a second.
const ELECTION_WAIT: Duration = Duration::from_secs(3);
/// Pause before it is offered again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long an answer waits until this node has the entry too, so that whoever wrote here reads
/// here what he wrote. After it the answer goes out all the same: the entry is in the log.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Why an entry of this node's own is not proved to be in the log. It may be there all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotIssued {
    /// It was not taken.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The voting member's answer does not prove that it is in the log.
    #[error("the receipt of the entry fails")]
    Unproved,
    /// A rule refused it.
    #[error("the entry was refused: {}", .0.english())]
    Refused(Reason),
}

/// The way to whoever leads, for entries: this node or another member's.
#[derive(Debug, Clone)]
pub struct Upstream {
    sequencer: Sequencer,
    secret: SecretKey,
    leadership: Option<watch::Receiver<Leadership>>,
    peers: Arc<Mutex<Known>>,
    /// As many entries wait here for whoever leads as may wait there.
    places: Arc<Semaphore>,
}

/// The ways to the voting members of the roster with this hash; of none yet.
#[derive(Debug, Default)]
struct Known(Option<(Hash, Vec<Peer>)>);

impl Upstream {
    /// The way from this node, which knows who leads if it has an engine.
    #[must_use]
    pub fn new(
        sequencer: Sequencer,
        secret: SecretKey,
        leadership: Option<watch::Receiver<Leadership>>,
    ) -> Self {
        Self {
            sequencer,
            secret,
            leadership,
            peers: Arc::default(),
            places: Arc::new(Semaphore::new(QUEUE_ENTRIES_MAX)),
        }
    }

    /// Whether this node takes entries itself.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.sequencer.condition() == Condition::Writing
    }

    /// Passes an append on. The same bytes may be sent again: they get the first answer again.
    ///
    /// # Errors
    /// The leader's own status, or that none can be reached, or that too many wait here already.
    pub async fn append(&self, append: &v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
        let full = |_| CallError::from(Unavailable::QueueFull);
        let _place = self.places.try_acquire().map_err(full)?;
        let answer = self.forward(append).await?;
        if let Some(wanted) = size_with(&answer) {
            self.catch_up(wanted).await;
        }
        Ok(answer)
    }

    /// Asks whoever is known to lead, or without an engine each in turn, until an election may well
    /// be over, or this node leads.
    async fn forward(&self, append: &v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
        let until = Instant::now() + ELECTION_WAIT;
        let unreachable = || CallError::from(Unavailable::Stopped(StopReason::NoWriter));
        let mut last = None;
        loop {
            for peer in self.leading() {
                let answered = tokio::select! {
                    answered = peer.forward(append.clone()) => answered,
                    () = self.no_longer_led_by(peer.member()) => break,
                };
                match answered {
                    Ok(answer) => return Ok(answer),
                    Err(status) if is_out_of_reach(&status) => {
                        tracing::debug!(member = %peer.member(), code = ?status.code(), "not passed on");
                        if says_why(&status) {
                            last = Some(*status);
                        }
                    }
                    Err(status) => return Err(*status),
                }
            }
            if Instant::now() >= until || self.leads() {
                return Err(last.unwrap_or_else(|| unreachable().into()));
            }
            self.wait_for_news().await;
        }
    }

    /// The way to the leader; nowhere while nobody is known to lead. A node without an engine does
    /// not know, and asks every voting member.
    fn leading(&self) -> Vec<Peer> {
        let mut peers = self.voting();
        match self.leadership.as_ref().map(|it| it.borrow().clone()) {
            None => {}
            Some(Leadership::Member(leader)) => peers.retain(|peer| *peer.member() == leader),
            Some(Leadership::Nobody | Leadership::Own { .. }) => peers.clear(),
        }
        peers
    }

    /// Returns when this member is no longer known to lead; a node without an engine never knows.
    async fn no_longer_led_by(&self, member: &MemberName) {
        if let Some(mut leadership) = self.leadership.clone() {
            let leads = |it: &Leadership| matches!(it, Leadership::Member(it) if it == member);
            if leadership.wait_for(|it| !leads(it)).await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Returns when somebody else leads, or after a pause.
    async fn wait_for_news(&self) {
        let pause = tokio::time::sleep(RETRY_PAUSE);
        let Some(mut leadership) = self.leadership.clone() else {
            return pause.await;
        };
        leadership.mark_unchanged();
        tokio::select! {
            () = pause => {}
            changed = leadership.changed() => if changed.is_err() { tokio::time::sleep(RETRY_PAUSE).await },
        }
    }

    fn voting(&self) -> Vec<Peer> {
        let snapshot = self.sequencer.snapshot();
        let roster = snapshot.roster();
        let mut known = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hash, peers)) = &known.0
            && *hash == roster.hash()
        {
            return peers.clone();
        }
        // An Ed25519 key of the roster is always one for TLS.
        let peers = Peer::voting(roster, &self.secret).unwrap_or_default();
        known.0 = Some((roster.hash(), peers.clone()));
        peers
    }

    /// Appends an entry of this node's own, here or where the leader is, and returns once it is
    /// proved to be in the log.
    ///
    /// # Errors
    /// [`NotIssued`]; the entry may be in the log all the same.
    pub async fn issue(
        &self,
        entry: &VerifiedEntry,
        payload: &(SealedPayload, Salt),
    ) -> Result<Receipt, NotIssued> {
        if self.leads() {
            let decided = self.sequencer.append(entry.clone(), Some(payload.clone()));
            match decided.await {
                Ok(decided) => return receipt(&decided),
                Err(Unavailable::NotLeading) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.issue_elsewhere(entry, payload).await
    }

    /// Why nobody takes an entry: what has stopped this node, if something has.
    fn stop_reason(&self) -> StopReason {
        match self.sequencer.condition() {
            Condition::Stopped(reason) => reason,
            Condition::Writing | Condition::Following => StopReason::NoWriter,
        }
    }

    async fn issue_elsewhere(
        &self,
        entry: &VerifiedEntry,
        payload: &(SealedPayload, Salt),
    ) -> Result<Receipt, NotIssued> {
        let append = write::append(entry, Some((&payload.0, &payload.1)));
        let answer = self.forward(&append).await.map_err(|status| {
            NotIssued::from(match status.code() {
                Code::ResourceExhausted => Unavailable::QueueFull,
                _ => Unavailable::Stopped(self.stop_reason()),
            })
        })?;
        let read = read::append_answer(answer, entry).map_err(|_| NotIssued::Unproved)?;
        match read {
            AppendAnswer::Refused { reason, .. } => Err(NotIssued::Refused(reason)),
            AppendAnswer::Accepted(receipt) => {
                let snapshot = self.sequencer.snapshot();
                let verified = receipt.verify(snapshot.roster(), &mut |_| {});
                verified.map_err(|_| NotIssued::Unproved)?;
                Ok(receipt)
            }
        }
    }

    /// Returns once this node has published a state of this size, or after a second.
    pub async fn catch_up(&self, wanted: TreeSize) {
        let mut published = self.sequencer.published();
        let reached = published.wait_for(|size| *size >= wanted);
        if timeout(CATCH_UP_MAX, reached).await.is_err() {
            tracing::debug!("an entry was appended that this node does not have yet");
        }
    }
}

fn receipt(decided: &Decided) -> Result<Receipt, NotIssued> {
    match decided.verdict.outcome {
        Outcome::Refused(refusal) => Err(NotIssued::Refused(refusal.reason)),
        Outcome::Appended(index) => {
            let proved = decided.snapshot.prove_entry(index).ok().flatten();
            Ok(Receipt {
                proved: proved.ok_or(NotIssued::Unproved)?,
                checkpoint: decided.snapshot.checkpoint().clone(),
            })
        }
    }
}

/// The size of the log that has what was appended.
fn size_with(answer: &v1::AppendResponse) -> Option<TreeSize> {
    match &answer.answer {
        Some(Answer::Receipt(receipt)) => {
            let index = receipt.inclusion.as_ref()?.index;
            Some(TreeSize::new(index.saturating_add(1)))
        }
        _ => None,
    }
}

/// Whether an answer tells whoever asks us more than that nobody leads.
fn says_why(status: &Status) -> bool {
    let told = status.get_details_error_info();
    told.is_some_and(|told| told.reason != NOT_LEADING)
}

/// Whether another node may do better: there was no answer, or one that says so.
fn is_out_of_reach(status: &Status) -> bool {
    let is_silence = matches!(
        status.code(),
        Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    );
    status.code() == Code::Unavailable || is_silence && status.details().is_empty()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::example::{first_roster, origin, secret, witness};
    use crate::sequencer::{found, open};
    use crate::store::{Store, StoreOptions};

    fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(future.poll(&mut context), Poll::Pending)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_passes_on_lets_as_many_wait_as_who_leads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
        let ledger = open(&store, witness(), None, Box::new(|_| ())).unwrap();
        let upstream = Upstream::new(ledger.clone(), secret("amc"), None);

        let append = v1::AppendRequest::default();
        let waits = || Box::pin(upstream.append(&append));
        let mut waiting: Vec<_> = (0..QUEUE_ENTRIES_MAX).map(|_| waits()).collect();
        assert!(waiting.iter_mut().all(|it| is_pending(it.as_mut())));
        let refused = waits().await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        drop(waiting.pop());
        assert!(is_pending(waits().as_mut()));
        drop(waiting);
        ledger.stop();
    }
}
