//! The state machine of the engine: what is ordered goes to the sequencer, and comes back certified.
//!
//! A batch counts as applied once a quorum has cosigned it and it is in the ledger, with how far the
//! engine is in the same batch. So the ledger is the snapshot of the engine: to make one costs
//! nothing, and to install one is to fetch pages from any member. On the disk of a member that votes
//! alone it may be moments behind; the store syncs it before records are purged that it has not.

use std::io;

use futures_util::{Stream, TryStreamExt as _};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use proto::signing::SecretKey;
use proto::wire::batch::BatchRecord;
use thiserror::Error;

use super::catching_up::{CatchUpError, catch_up};
use super::message::Manifest;
use super::refused::Refusals;
use super::{
    Applied, LogId, Payload, Record, Snapshot, SnapshotMeta, StoredMembership, TypeConfig,
};
use crate::sequencer::{BatchFault, Blame, Certified, Sequencer};
use crate::sources::Liars;
use crate::store::{Store, StoreError};

/// Why the engine stops on this node.
#[derive(Debug, Error)]
enum MachineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an ordered batch: {0}")]
    Batch(#[from] BatchFault),
    #[error(transparent)]
    CatchUp(#[from] CatchUpError),
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl From<MachineError> for io::Error {
    fn from(error: MachineError) -> Self {
        Self::other(error)
    }
}

/// The ledger of this node, as the engine sees it.
#[derive(Debug)]
pub(super) struct Machine {
    sequencer: Sequencer,
    store: Store,
    secret: SecretKey,
    liars: Liars,
    refusals: Refusals,
    applied: Applied,
}

/// The newest snapshot: the ledger as it is on the disk.
#[derive(Debug)]
pub(super) struct Builder {
    sequencer: Sequencer,
    store: Store,
    applied: Applied,
}

impl Machine {
    /// Takes up what is on the disk.
    pub(super) fn open(
        sequencer: Sequencer,
        store: Store,
        secret: SecretKey,
        liars: Liars,
        refusals: Refusals,
    ) -> Result<Self, StoreError> {
        let applied = store.applied()?.unwrap_or_default();
        Ok(Self {
            sequencer,
            store,
            secret,
            liars,
            refusals,
            applied,
        })
    }

    async fn apply_one(&mut self, log_id: LogId, payload: Payload) -> Result<(), MachineError> {
        let mut applied = self.applied.clone();
        applied.log_id = Some(log_id);
        match payload {
            Payload::Blank => self.store.save_applied(&applied)?,
            Payload::Membership(membership) => {
                applied.membership = StoredMembership::new(Some(log_id), membership);
                self.store.save_applied(&applied)?;
            }
            Payload::Normal(record) => {
                let bytes = record.bytes().clone();
                let certified = self.sequencer.ordered(bytes, applied.clone()).await;
                let certified = certified.ok_or(MachineError::ShuttingDown)?;
                if let Err(fault) = &certified {
                    self.show(&record, fault);
                }
                if certified? == Certified::Before {
                    self.store.save_applied(&applied)?;
                }
            }
        }
        self.applied = applied;
        Ok(())
    }

    /// A majority has ordered what this node does not cosign: it keeps what the leader signed.
    fn show(&self, record: &Record, fault: &BatchFault) {
        self.refusals.count(fault);
        if fault.blame() == Blame::Own {
            return;
        }
        if let Ok(record) = BatchRecord::from_bytes(record.bytes()) {
            let ledger = (&self.store, &self.sequencer);
            self.refusals.keep(&record.leader, &record, fault, ledger);
        }
    }

    async fn install(
        &mut self,
        meta: &SnapshotMeta,
        manifest: Manifest,
    ) -> Result<(), MachineError> {
        let wanted = manifest.checkpoint.claimed().size;
        catch_up(&self.sequencer, &self.secret, &self.liars, wanted).await?;
        let applied = Applied::from(meta);
        let header = manifest.header;
        if let Some(header) = &header {
            self.store.save_header(header);
        }
        self.store.save_applied(&applied)?;
        let gone_on = self.sequencer.installed(header).await;
        gone_on.ok_or(MachineError::ShuttingDown)?;
        self.applied = applied;
        Ok(())
    }

    fn builder(&self) -> Builder {
        Builder {
            sequencer: self.sequencer.clone(),
            store: self.store.clone(),
            applied: self.applied.clone(),
        }
    }
}

impl Builder {
    /// `None` before anything was applied.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        if self.applied.log_id.is_none() {
            return Ok(None);
        }
        // The ledger may be newer than `applied`; whoever installs this goes on from headers.
        let manifest = Manifest {
            header: self.store.last_header()?,
            checkpoint: self.sequencer.snapshot().checkpoint().clone(),
        };
        Ok(Some(Snapshot {
            meta: SnapshotMeta::from(self.applied.clone()),
            snapshot: manifest,
        }))
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Manifest;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied.log_id, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.apply_one(entry.log_id, entry.payload).await?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Manifest,
    ) -> Result<(), io::Error> {
        Ok(self.install(meta, snapshot).await?)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.builder().snapshot().map_err(MachineError::from)?)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Manifest;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let nothing = || io::Error::other("nothing was applied yet");
        let snapshot = self.snapshot().map_err(MachineError::from)?;
        snapshot.ok_or_else(nothing)
    }
}

#[cfg(test)]
mod tests {
    use proto::batch::{BatchHeader, SignedHeader, content_hash};
    use proto::checkpoint::SignedCheckpoint;
    use proto::evidence::Evidence;
    use proto::hash::Hash;
    use proto::wire::batch::record_bytes;

    use super::*;
    use crate::clock;
    use crate::engine::CommittedLeaderId;
    use crate::example::{first_roster, origin, secret};
    use crate::metrics::Lies;
    use crate::sequencer;
    use crate::store::StoreOptions;
    use crate::witness::Witness;

    /// The header of a batch that appends nothing after a state.
    fn header(after: &SignedCheckpoint, number: u64, previous: Hash) -> BatchHeader {
        let state = after.claimed();
        BatchHeader {
            term: 1,
            number,
            previous,
            at: clock::now(),
            size: state.size,
            log_root: state.log_root,
            map_root: state.map_root,
            content: content_hash(std::iter::empty()),
        }
    }

    fn signed(header: BatchHeader) -> SignedHeader {
        header.sign(&origin(), &secret("cnam"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_ordered_and_is_not_cosigned_is_kept_with_what_its_leader_signed() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path(), StoreOptions::default()).unwrap();
        let witness = || Witness::new("cnam".parse().unwrap(), secret("cnam"));
        sequencer::found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
        let newest = store.recover().unwrap().unwrap().checkpoint;
        let first = header(&newest, 1, Hash::from_bytes([0; 32]));
        store.save_header(&signed(first));
        let ledger = sequencer::open(&store, witness(), None, Box::new(|_| ())).unwrap();
        let lies = Lies::default();
        let refusals = Refusals::new(data.path().to_owned(), lies.clone());
        let liars = Liars::default();
        let machine = Machine::open(ledger, store, secret("cnam"), liars, refusals);

        let lie = BatchHeader {
            map_root: Hash::from_bytes([9; 32]),
            ..header(&newest, 2, first.hash())
        };
        let none = std::iter::empty();
        let leader = "cnam".parse().unwrap();
        let record = record_bytes(&signed(lie), &leader, none, &newest.to_text());
        let place = LogId::new(CommittedLeaderId::new(1), 3);
        let record = Payload::Normal(Record::new(record));
        let applied = machine.unwrap().apply_one(place, record).await;
        assert!(matches!(
            applied,
            Err(MachineError::Batch(BatchFault::Roots { .. }))
        ));
        assert_eq!(lies.batches(), 1);
        let file = data.path().join("refused/cnam-1-2.evidence");
        let evidence = Evidence::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let verdict = evidence.verify(first_roster().admitted(), &mut |_| {});
        assert_eq!(verdict.unwrap().offence.as_str(), "wrong-map");
    }
}
