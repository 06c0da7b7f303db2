//! The recorder: gathers the looks that wait and appends them as one access entry.

use std::sync::Arc;

use proto::attestation::{Access, AccessRecord, Attestation, Look, looks_that_fit};
use proto::entry::{Entry, VerifiedEntry};
use proto::ids::RequestId;
use proto::seal::{RECORD_RANDOM_BYTES, Salt, SealedPayload, seal_record};
use proto::signing::SecretKey;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use zeroize::Zeroizing;

use super::NotRecorded;
use crate::clock;
use crate::follow::Upstream;
use crate::sequencer::Sequencer;

/// Most looks that wait to be gathered: some seconds of a large federation's lookups. Beyond it a
/// look is refused at once.
pub const LOOKS_WAITING_MAX: usize = 4096;
/// Most looks that are gathered at a time; they become as many entries as their bytes need.
const GATHERED_MAX: usize = 256;
/// Most gatherings on their way to the disk: one is being committed while the next is sealed. More
/// would make more and smaller entries, not a faster answer.
const IN_FLIGHT_MAX: usize = 2;

/// One look, and who waits for it to be durable.
#[derive(Debug)]
struct Waiting {
    look: Look,
    recorded: oneshot::Sender<Result<(), NotRecorded>>,
}

/// The way to the recorder's task. Clones share it; the task ends with the last of them.
#[derive(Debug, Clone)]
pub struct Recorder {
    inbox: mpsc::Sender<Waiting>,
}

impl Recorder {
    /// Starts the task, which issues entries with this member's key, here or where the leader is.
    /// Must be called in a runtime.
    #[must_use]
    pub fn start(sequencer: Sequencer, upstream: Upstream, secret: SecretKey) -> Self {
        let (inbox, outbox) = mpsc::channel(LOOKS_WAITING_MAX);
        let scribe = Arc::new(Scribe {
            sequencer,
            upstream,
            secret,
        });
        tokio::spawn(gather(outbox, scribe));
        Self { inbox }
    }

    /// Records a look. When it returns `Ok`, the look is durable in the log: only then may its
    /// answer leave.
    ///
    /// # Errors
    /// [`NotRecorded`]; the answer must then not be given.
    pub async fn record(&self, look: Look) -> Result<(), NotRecorded> {
        let (recorded, is_recorded) = oneshot::channel();
        let sent = self.inbox.try_send(Waiting { look, recorded });
        sent.map_err(|error| match error {
            TrySendError::Full(_) => NotRecorded::Busy,
            TrySendError::Closed(_) => NotRecorded::ShuttingDown,
        })?;
        is_recorded.await.unwrap_or(Err(NotRecorded::ShuttingDown))
    }
}

/// Takes what waits whenever there is a place on the way to the disk: the busier the disk, the
/// more looks share an entry. A lone look does not wait.
async fn gather(mut outbox: mpsc::Receiver<Waiting>, scribe: Arc<Scribe>) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let mut gathered = Vec::new();
        if outbox.recv_many(&mut gathered, GATHERED_MAX).await == 0 {
            return;
        }
        let scribe = scribe.clone();
        tokio::spawn(async move {
            scribe.record(gathered).await;
            drop(place);
        });
    }
}

/// Who writes the entries.
struct Scribe {
    sequencer: Sequencer,
    upstream: Upstream,
    secret: SecretKey,
}

impl Scribe {
    /// Appends what was gathered, in as few entries as it fits, and tells each waiter.
    async fn record(self: &Arc<Self>, gathered: Vec<Waiting>) {
        let (mut looks, mut waiters): (Vec<Look>, Vec<_>) = gathered
            .into_iter()
            .map(|waiting| (waiting.look, waiting.recorded))
            .unzip();
        let mut entries = Vec::new();
        while !looks.is_empty() {
            // A look alone always fits; were it not so, its record would be refused for its size.
            let fit = looks_that_fit(&looks).max(1);
            let rest = looks.split_off(fit);
            let record = AccessRecord {
                looks: std::mem::replace(&mut looks, rest),
            };
            let rest = waiters.split_off(fit);
            let told = std::mem::replace(&mut waiters, rest);
            let scribe = self.clone();
            entries.push(tokio::spawn(async move {
                let recorded = scribe.append(&record).await;
                for waiter in told {
                    // One that has gone away got no answer, and its look is recorded all the same.
                    let _ = waiter.send(recorded);
                }
            }));
        }
        for entry in entries {
            let _ = entry.await;
        }
    }

    async fn append(&self, record: &AccessRecord) -> Result<(), NotRecorded> {
        let (entry, payload) = self.seal(record)?;
        self.upstream.issue(&entry, &payload).await?;
        // From here the looks are in the ledger, whatever happens to this process.
        Ok(())
    }

    fn seal(
        &self,
        record: &AccessRecord,
    ) -> Result<(VerifiedEntry, (SealedPayload, Salt)), NotRecorded> {
        let snapshot = self.sequencer.snapshot();
        let roster = snapshot.roster();
        let keys: Vec<_> = roster
            .incident_keys()
            .iter()
            .map(|key| key.public_key)
            .collect();
        if keys.is_empty() {
            return Err(NotRecorded::NoIncidentKey);
        }
        let plaintext = Zeroizing::new(record.to_bytes()?);
        let salt = Salt::from_bytes(*random::<32>()?);
        let sealed = seal_record(&plaintext, &keys, &salt, random::<RECORD_RANDOM_BYTES>)?;
        let commitment = *sealed.commitment(&salt).as_hash();
        let request_id = RequestId::new(clock::now(), *random::<10>()?);
        let attestation = Attestation::Access(Access { commitment });
        let header = attestation.header(self.secret.public(), request_id);
        let entry = Entry::sign(&header, roster.origin(), &self.secret)?;
        Ok((entry, (sealed, salt)))
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NotRecorded> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|_| NotRecorded::NoRandomness)?;
    Ok(bytes)
}
