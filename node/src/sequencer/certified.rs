//! What happens once a quorum vouches: the batch comes to the ledger, is published and answered.

use std::sync::Arc;
use std::time::Instant;

use proto::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};
use proto::ids::UnixSeconds;
use proto::roster::Roster;

use super::checking::{Chain, Prepared};
use super::ordering::{Certified, Pending, answer_one};
use super::steps::{Failure, Grown, Placed, commit_batch};
use super::worker::{Worker, refuse_all};
use super::{BatchReport, Condition, StopReason, Unavailable};
use crate::clock;
use crate::snapshot::Snapshot;

/// By how much later a quorum must have vouched for the same state before it is published again.
const RENEWED_AFTER_SECONDS: u64 = 5;

impl Worker {
    /// Takes cosignatures of members, and goes on if they make a quorum.
    pub(super) fn cosignatures(&mut self, signed: &SignedCheckpoint) {
        match &self.pending {
            Some(pending) => {
                self.gathering.add(signed, &pending.prepared.grown.roster);
                self.certify();
            }
            None => {
                self.gathering.add(signed, self.shared.snapshot().roster());
                self.publish_renewed();
            }
        }
        self.shared.vouched.send_replace(self.gathering.vouched());
    }

    /// Commits the batch that waits, if a quorum has cosigned it.
    pub(super) fn certify(&mut self) {
        let Some(pending) = &self.pending else { return };
        let roster = &pending.prepared.grown.roster;
        let certificate = self.gathering.certificate(&pending.checkpoint, roster);
        let certificate = certificate.or_else(|| self.published_before(&pending.checkpoint));
        let Some(certificate) = certificate else {
            return;
        };
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.commit(pending, &certificate);
        if let Some(asked) = self.asked.take() {
            self.check_ahead(asked);
        }
    }

    /// What certifies the published state, if a batch that appends nothing leaves it as it is: the
    /// others have signed larger ones since, and nobody sends it again.
    fn published_before(&self, checkpoint: &Checkpoint) -> Option<VerifiedCheckpoint> {
        let snapshot = self.shared.snapshot();
        let is_same = snapshot.checkpoint().claimed() == checkpoint;
        let verified = || snapshot.checkpoint().verify(snapshot.roster()).ok();
        is_same.then(verified).flatten()
    }

    /// Brings a certified batch to the ledger, publishes it, and answers.
    fn commit(&mut self, pending: Pending, certificate: &VerifiedCheckpoint) {
        let Pending {
            prepared,
            checkpoint,
            place,
            done,
            waiting,
            prepared_in,
            alone,
        } = pending;
        let started = Instant::now();
        let Prepared {
            header,
            commit,
            verdicts,
            grown,
            payloads,
        } = prepared;
        let payloads: Vec<_> = payloads
            .iter()
            .map(|(leaf, sealed, salt)| (*leaf, sealed, salt))
            .collect();
        let placed = Placed {
            applied: &place,
            header: &header,
            alone,
        };
        let first = self.shared.snapshot().size().next_index();
        let committed = commit_batch(
            &self.store,
            first,
            &commit,
            &grown,
            &payloads,
            certificate.signed(),
            Some(&placed),
        );
        if let Err(error) = committed {
            let failure = Failure::Store(error);
            self.fail(&failure);
            return refuse_all(waiting, Unavailable::Stopped(failure.stop_reason()));
        }
        // From here the batch is in the ledger, or comes to it at the next start.
        let committed_in = started.elapsed();
        self.witness.settle_newer(&checkpoint);
        self.chain = Chain::after(header.claimed());
        self.gathering.forget_up_to(checkpoint.size);
        self.follow_membership(&grown.roster);
        let snapshot = self.publish(grown, certificate);
        if alone {
            self.cosigned
                .send_replace(Some(certificate.signed().clone()));
        }
        if !commit.erased.is_empty() {
            self.shared.erased.send_replace(place.log_id);
        }
        let _ = done.send(Ok(Certified::Now));
        (self.observer)(&BatchReport {
            decided: verdicts.len(),
            appended: commit.entries.len(),
            bytes: commit.entries.iter().map(|entry| entry.bytes().len()).sum(),
            prepared_in,
            committed_in,
        });
        self.company.returned();
        for (waiting, verdict) in waiting.into_iter().zip(verdicts) {
            answer_one(waiting, verdict, &snapshot);
        }
    }

    /// Whether this member is still listed, and with the key that it has. What a roster in force
    /// says counts before anything else is signed.
    pub(super) fn follow_membership(&self, roster: &Roster) {
        if let Some(reason) = self.witness.place_in(roster) {
            tracing::warn!(
                reason = reason.as_str(), epoch = %roster.epoch(),
                "a roster came into force that ends the work of this node"
            );
            self.shared.enter(Condition::Stopped(reason));
        }
    }

    fn publish(&self, grown: Grown, certificate: &VerifiedCheckpoint) -> Arc<Snapshot> {
        let Grown {
            edge, map, roster, ..
        } = grown;
        let crown = map.crown().clone();
        let store = self.store.clone();
        let snapshot = Snapshot::certified(certificate, edge, crown, roster, store);
        let snapshot = Arc::new(snapshot);
        self.shared.publish(snapshot.clone());
        snapshot
    }

    /// Cosigns the published roots at a later time, so that reads stay fresh while nothing is
    /// written, or nothing can be. The roots are durable already, so nothing is written here.
    pub(super) fn renew(&mut self) {
        self.renewed_at = tokio::time::Instant::now();
        let snapshot = self.shared.snapshot();
        let same = snapshot.checkpoint().claimed().clone();
        let is_listed = self.witness.place_in(snapshot.roster()).is_none();
        let may_sign = is_listed && !self.witness.is_past(&same);
        if self.pending.is_some() || self.recalling.is_some() || !may_sign {
            return;
        }
        let now = clock::now().seconds();
        match self.witness.cosign_under(snapshot.roster(), same, now) {
            Ok(signed) => {
                self.gathering.add(&signed, snapshot.roster());
                self.cosigned.send_replace(Some(signed));
                self.publish_renewed();
            }
            Err(error) => {
                tracing::error!(%error, "the published checkpoint is not signed again");
                let reason = StopReason::RootMismatch;
                self.shared.enter(Condition::Stopped(reason));
            }
        }
    }

    /// Publishes the same state again once a quorum has vouched for it again.
    fn publish_renewed(&self) {
        let snapshot = self.shared.snapshot();
        let (same, roster) = (snapshot.checkpoint().claimed(), snapshot.roster());
        let vouched_at = snapshot.vouched_at().map_or(0, UnixSeconds::get);
        let newer = self.gathering.quorum_time(same, roster);
        if newer.is_none_or(|time| time.get() < vouched_at + RENEWED_AFTER_SECONDS) {
            return;
        }
        if let Some(certificate) = self.gathering.certificate(same, roster) {
            let renewed = snapshot.renewed(&certificate);
            self.shared.publish(Arc::new(renewed));
        }
    }
}
