//! The ledger of a member that does not vote: the same store, fed with what the voting members
//! have decided.
//!
//! ```text
//! read -> prove -> verify signatures -> replay -> grow -> compare roots -> commit -> publish
//! ```
//!
//! Nothing is committed that is not proved to be in a log that a quorum vouches for, and nothing is
//! published but under the roots that a quorum vouches for and that were computed here. While it
//! catches up, the pages in between are committed under this member's own signature, which never
//! leaves the disk: a start goes on from them, and nothing is answered from them.

mod faults;
mod prefix;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use proto::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::{Entry, VerifiedEntry};
use proto::evidence::Evidence;
use proto::follower::{Fork, MAX_AHEAD_SECONDS};
use proto::ids::{LeafIndex, Origin, TreeSize, UnixSeconds};
use proto::map::Crown;
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::seal::{Salt, SealedPayload};
use proto::tile::RightEdge;
use proto::wire::replication::Page;
use tokio::sync::{mpsc, watch};

pub use self::faults::{ApplyError, PageError};
use super::accusation::Accusation;
use super::checking::verify_signatures;
use super::opening::{OpenError, Unapplied, first_snapshot, take_up};
use super::steps::{Grown, GrownLog, commit_batch, grow_from, grow_map};
use super::worker::{EXPIRY_INTERVAL, expire_answers};
use super::{BatchObserver, Condition, Sequencer, Shared, StopReason};
use crate::ledger::{Commit, GenesisError, ReplayError, genesis, replay};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::witness::Witness;

/// What a page brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The newest state, vouched for by a quorum, is published.
    Certified,
    /// There is more to come before anything is published.
    CatchingUp,
    /// Nothing new.
    Nothing,
}

/// A ledger that follows others. It has one owner, who brings it page after page.
#[derive(Debug)]
pub struct Replica {
    store: Store,
    witness: Witness,
    /// The federation's first roster, which entry 0 must be.
    first: Roster,
    /// What is committed; `None` before entry 0.
    held: Option<Arc<Snapshot>>,
    /// The newest state that a quorum vouched for.
    certified: Option<VerifiedCheckpoint>,
    shared: Option<Arc<Shared>>,
    /// This member's newest cosignature that may leave the node, while it only follows.
    leaves: watch::Sender<Option<SignedCheckpoint>>,
    expired_at: Instant,
}

/// What it takes to cosign what a replica publishes.
#[derive(Debug)]
#[allow(missing_docs, reason = "each part is the type it is named after")]
pub struct Published {
    pub witness: Witness,
    pub store: Store,
    pub sequencer: Sequencer,
    /// Where a signature goes that may leave the node.
    pub leaves: watch::Sender<Option<SignedCheckpoint>>,
}

/// The entries of a page, their signatures and payloads checked.
struct Checked {
    entries: Vec<VerifiedEntry>,
    payloads: Vec<(LeafIndex, SealedPayload, Salt)>,
}

/// The checkpoint that a commit gets.
enum Head {
    Certified(VerifiedCheckpoint),
    /// Signed by this member alone, for the disk.
    Own(SignedCheckpoint),
}

impl Head {
    const fn signed(&self) -> &SignedCheckpoint {
        match self {
            Self::Certified(verified) => verified.signed(),
            Self::Own(signed) => signed,
        }
    }
}

impl Replica {
    /// Takes up what is on disk, which may be nothing yet. Blocks: a million entries take seconds.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has then been written.
    pub fn open(store: &Store, witness: Witness, first: Roster) -> Result<Self, OpenError> {
        let mut replica = Self {
            store: store.clone(),
            witness,
            first,
            held: None,
            certified: None,
            shared: None,
            leaves: watch::Sender::new(None),
            expired_at: Instant::now(),
        };
        let Some(recovered) = store.recover()? else {
            return Ok(replica);
        };
        let snapshot = Arc::new(first_snapshot(store, recovered)?);
        // One that no quorum vouches for is a place in between, at which a start goes on: this
        // member may have joined later.
        if let Ok(verified) = snapshot.checkpoint().verify(snapshot.roster()) {
            let (name, roster) = (replica.witness.name().clone(), snapshot.roster());
            if replica.witness.is_replaced_in(roster) {
                return Err(OpenError::KeyReplaced(name));
            }
            if replica.witness.place_in(roster).is_some() {
                return Err(OpenError::NotAMember(name));
            }
            replica.certified = Some(verified);
            replica.publish(&snapshot);
        }
        replica.held = Some(snapshot);
        Ok(replica)
    }

    /// How many entries are committed.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.held
            .as_ref()
            .map_or(TreeSize::new(0), |held| held.size())
    }

    /// When a quorum vouched for the newest published state; 0 before the first.
    #[must_use]
    pub fn vouched_at(&self) -> UnixSeconds {
        self.certified
            .as_ref()
            .map_or(UnixSeconds::new(0), VerifiedCheckpoint::time)
    }

    /// Goes on as a member that orders batches with others, from what a quorum has vouched for.
    ///
    /// # Panics
    /// Outside of a runtime's context.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Empty`] before anything is published.
    pub fn into_sequencer(
        self,
        unapplied: Unapplied,
        observer: BatchObserver,
    ) -> Result<Sequencer, OpenError> {
        let published = self.shared.is_some();
        let held = self.held.filter(|_| published).ok_or(OpenError::Empty)?;
        take_up(&self.store, self.witness, held, unapplied, observer)
    }

    /// A replica of what a voting member's node has published, to be brought further by pages.
    pub(super) fn over(store: &Store, witness: &Witness, shared: Arc<Shared>) -> Self {
        let snapshot = shared.snapshot();
        Self {
            store: store.clone(),
            witness: witness.for_the_disk(),
            first: snapshot.roster().as_ref().clone(),
            certified: snapshot.checkpoint().verify(snapshot.roster()).ok(),
            held: Some(snapshot),
            shared: Some(shared),
            leaves: watch::Sender::new(None),
            expired_at: Instant::now(),
        }
    }

    /// The way to what is published; `None` before anything is.
    #[must_use]
    pub fn sequencer(&self) -> Option<Sequencer> {
        let shared = self.shared.clone()?;
        Some(read_only(shared, self.leaves.subscribe()))
    }

    /// What it takes to cosign what is published; `None` before anything is.
    #[must_use]
    pub fn published(&self) -> Option<Published> {
        Some(Published {
            // Places in between are signed for the disk: they bind nobody.
            witness: self.witness.for_the_disk(),
            store: self.store.clone(),
            sequencer: self.sequencer()?,
            leaves: self.leaves.clone(),
        })
    }

    /// The roster in force; before entry 0 the one that this node was given.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        self.held
            .as_ref()
            .map_or(&self.first, |held| held.roster().as_ref())
    }

    /// Stops answering, for this reason.
    pub fn halt(&self, reason: StopReason) {
        if let Some(shared) = &self.shared {
            shared.enter(Condition::Stopped(reason));
        }
    }

    /// Takes a page that begins where this ledger ends. Blocks.
    ///
    /// 1. The checkpoint is not smaller than what is held ([`Evidence::Rollback`]).
    /// 2. If the page ends before the checkpoint: a quorum vouches for it, not from the future, and
    ///    its log is shown to begin with what is held and the page.
    /// 3. Each entry is well-formed and its issuer signed it; each payload fits its entry.
    /// 4. The rules admit each entry at its place ([`replay`]).
    /// 5. If the page reaches the checkpoint: a quorum of the roster then in force vouches for it,
    ///    not from the future, and its two roots are those computed here. Another map root of the
    ///    same log is evidence; another log root may be the fault of who sent the page.
    ///
    /// # Errors
    /// [`ApplyError`], the first of these that does not hold; what is held stays as it was.
    pub fn apply(&mut self, page: Page, now: UnixSeconds) -> Result<Applied, ApplyError> {
        self.forget_old_answers();
        let (held, theirs) = (self.size(), page.checkpoint.claimed().size);
        let (entries, checkpoint) = (&page.entries, &page.checkpoint);
        let end = held.get() + entries.len() as u64;
        if entries.is_empty() && theirs < held {
            return self.require_no_rollback(checkpoint, now);
        }
        if theirs.get() < end {
            return Err(PageError::Beyond { size: theirs }.into());
        }
        if entries.is_empty() && theirs > held {
            return Err(PageError::Empty { size: held }.into());
        }
        if entries.is_empty() && !self.is_news(checkpoint) {
            return Ok(Applied::Nothing);
        }
        let edge = self.held.as_ref().map(|held| held.edge().clone());
        let leaves = entries.iter().map(|(entry, _)| entry.leaf_hash());
        let log = GrownLog::new(edge.unwrap_or_default(), leaves);
        self.require_prefix(&page, &log, now)?;
        let Page {
            entries,
            checkpoint,
            ..
        } = page;
        let checked = check_entries(entries, held, self.first.origin())?;
        match self.held.clone() {
            None => self.begin(checked, &checkpoint, now),
            Some(before) => self.extend(&before, &checked, log, &checkpoint, now),
        }
    }

    /// Whether a checkpoint of the size held says more than the one held.
    fn is_news(&self, theirs: &SignedCheckpoint) -> bool {
        self.held
            .as_ref()
            .is_none_or(|held| theirs != held.checkpoint())
    }

    /// Commits entry 0 alone, then the rest of the page.
    fn begin(
        &mut self,
        mut checked: Checked,
        theirs: &SignedCheckpoint,
        now: UnixSeconds,
    ) -> Result<Applied, ApplyError> {
        let rest = checked.entries.split_off(1.min(checked.entries.len()));
        let Some(entry) = checked.entries.first() else {
            let size = theirs.claimed().size;
            return Err(PageError::Beyond { size }.into());
        };
        let genesis = |error: GenesisError| PageError::Genesis(error.to_string());
        let commit = self::genesis(entry).map_err(genesis)?;
        let roster = match &commit.roster {
            Some(roster) if roster.hash() == self.first.hash() => roster.clone(),
            _ => return Err(PageError::OtherLedger.into()),
        };
        let (edge, crown) = (RightEdge::new(), Crown::new());
        let grown = grow_from(edge, &crown, roster, &commit, &self.store)?;
        self.take(None, &commit, grown, &[], theirs, now)?;
        let Some(held) = self.held.clone().filter(|_| !rest.is_empty()) else {
            return Ok(self.applied());
        };
        checked.entries = rest;
        let leaves = checked.entries.iter().map(|entry| entry.leaf_hash());
        let log = GrownLog::new(held.edge().clone(), leaves);
        self.extend(&held, &checked, log, theirs, now)
    }

    fn extend(
        &mut self,
        before: &Snapshot,
        checked: &Checked,
        log: GrownLog,
        theirs: &SignedCheckpoint,
        now: UnixSeconds,
    ) -> Result<Applied, ApplyError> {
        let commit = match replay(before, &checked.entries) {
            Ok(commit) => commit,
            Err(ReplayError::View(error)) => return Err(error.into()),
            Err(ReplayError::NotAdmitted { index, reason }) => {
                return Err(broken_rule(before, checked, &log, theirs, (index, reason)));
            }
        };
        let grown = grow_map(log, before, &commit, &self.store)?;
        self.take(Some(before), &commit, grown, &checked.payloads, theirs, now)?;
        Ok(self.applied())
    }

    fn applied(&self) -> Applied {
        match (&self.held, &self.certified) {
            (Some(held), Some(certified)) if held.size().get() == certified.size().get() => {
                Applied::Certified
            }
            _ => Applied::CatchingUp,
        }
    }

    /// Compares, commits, and publishes what a quorum vouches for.
    fn take(
        &mut self,
        before: Option<&Snapshot>,
        commit: &Commit,
        grown: Grown,
        payloads: &[(LeafIndex, SealedPayload, Salt)],
        theirs: &SignedCheckpoint,
        now: UnixSeconds,
    ) -> Result<(), ApplyError> {
        let accusation = Accusation {
            before,
            entries: &commit.entries,
            theirs,
        };
        let head = self.head(&grown, &accusation, now)?;
        let first = before.map_or(LeafIndex::new(0), |before| before.size().next_index());
        let payloads: Vec<_> = payloads
            .iter()
            .map(|(leaf, sealed, salt)| (*leaf, sealed, salt))
            .collect();
        let signed = head.signed();
        commit_batch(&self.store, first, commit, &grown, &payloads, signed, None)?;
        // From here the page is in this ledger, whatever happens to this process.
        let Grown {
            edge, map, roster, ..
        } = grown;
        let (signed, crown) = (head.signed().clone(), map.crown().clone());
        let snapshot = Arc::new(Snapshot::new(
            signed,
            edge,
            crown,
            roster,
            self.store.clone(),
        ));
        if let Head::Certified(verified) = head {
            self.certified = Some(verified);
            self.publish(&snapshot);
        }
        self.held = Some(snapshot);
        Ok(())
    }

    /// Step 5 of [`apply`](Self::apply); a place in between gets this member's own signature.
    fn head(
        &self,
        grown: &Grown,
        accusation: &Accusation<'_>,
        now: UnixSeconds,
    ) -> Result<Head, ApplyError> {
        let theirs = accusation.theirs;
        let computed = Checkpoint {
            origin: self.first.origin().clone(),
            size: grown.edge.size(),
            log_root: grown.edge.root(),
            map_root: grown.map.root(),
        };
        if theirs.claimed().size != computed.size {
            return Ok(Head::Own(self.witness.cosign(computed, now)?));
        }
        let verified = theirs.verify(&grown.roster).map_err(PageError::from)?;
        require_past(&verified, now)?;
        if *theirs.claimed() == computed {
            return Ok(Head::Certified(verified));
        }
        let fork = self.certified.as_ref();
        let fork = fork.and_then(|ours| Fork::between(ours, &verified));
        let evidence = match fork {
            Some(fork) => Evidence::Fork {
                first: fork.ours().clone(),
                second: fork.theirs().clone(),
            },
            None if theirs.claimed().log_root != computed.log_root => {
                return Err(PageError::OtherLog.into());
            }
            None => accusation.wrong_map()?,
        };
        Err(ApplyError::Contradicted(Box::new(evidence)))
    }

    /// A smaller checkpoint may be an old one, or of a member that lags behind. It is evidence if
    /// one who cosigned the larger one has cosigned it later.
    fn require_no_rollback(
        &self,
        theirs: &SignedCheckpoint,
        now: UnixSeconds,
    ) -> Result<Applied, ApplyError> {
        let verified = theirs.verify(self.roster()).map_err(PageError::from)?;
        require_past(&verified, now)?;
        let Some(ours) = &self.certified else {
            return Ok(Applied::Nothing);
        };
        let signed_both = verified
            .signers()
            .any(|name| ours.signers().any(|other| other == name));
        let is_later = verified.time() > ours.time() && verified.size() < ours.size();
        if !(signed_both && is_later) {
            return Ok(Applied::Nothing);
        }
        Err(ApplyError::Contradicted(Box::new(Evidence::Rollback {
            larger: ours.signed().clone(),
            smaller: theirs.clone(),
        })))
    }

    fn publish(&mut self, snapshot: &Arc<Snapshot>) {
        let place = self.witness.place_in(snapshot.roster());
        match &self.shared {
            Some(shared) => {
                if let Some(reason) = place {
                    tracing::warn!(reason = reason.as_str(), "this node follows no more");
                    shared.enter(Condition::Stopped(reason));
                }
                shared.publish(snapshot.clone());
            }
            None => {
                let condition = place.map_or(Condition::Following, Condition::Stopped);
                let shared = Shared::new(snapshot.clone(), condition);
                self.shared = Some(Arc::new(shared));
            }
        }
    }

    fn forget_old_answers(&mut self) {
        if self.held.is_some() && self.expired_at.elapsed() >= EXPIRY_INTERVAL {
            self.expired_at = Instant::now();
            expire_answers(&self.store);
        }
    }
}

/// A sequencer that nobody appends through: its inbox has no reader.
fn read_only(
    shared: Arc<Shared>,
    cosigned: watch::Receiver<Option<SignedCheckpoint>>,
) -> Sequencer {
    let ((inbox, _), (control, _)) = (mpsc::channel(1), mpsc::channel(1));
    Sequencer {
        inbox,
        control,
        cosigned,
        shared,
        thread: Arc::new(Mutex::new(None)),
    }
}

fn require_past(verified: &VerifiedCheckpoint, now: UnixSeconds) -> Result<(), PageError> {
    let ahead = verified.time().get().saturating_sub(now.get());
    (ahead <= MAX_AHEAD_SECONDS)
        .then_some(())
        .ok_or(PageError::FromTheFuture { ahead })
}

/// An entry that breaks a rule is evidence if a quorum vouches for the log that it stands in.
fn broken_rule(
    before: &Snapshot,
    checked: &Checked,
    log: &GrownLog,
    theirs: &SignedCheckpoint,
    (index, reason): (LeafIndex, Reason),
) -> ApplyError {
    let is_theirs = theirs.claimed().size == log.edge.size()
        && theirs.claimed().log_root == log.edge.root()
        && theirs.verify(before.roster()).is_ok();
    if !is_theirs {
        return PageError::Rule { index, reason }.into();
    }
    let accusation = Accusation {
        before: Some(before),
        entries: &checked.entries,
        theirs,
    };
    match accusation.rule(index, reason) {
        Ok(evidence) => ApplyError::Contradicted(Box::new(evidence)),
        Err(error) => error.into(),
    }
}

/// Checks that each payload fits, then the signatures.
fn check_entries(
    entries: Vec<(Entry, Option<(SealedPayload, Salt)>)>,
    held: TreeSize,
    origin: &Origin,
) -> Result<Checked, PageError> {
    let mut payloads = Vec::new();
    let mut numbered = Vec::with_capacity(entries.len());
    for (index, (entry, payload)) in (held.get()..).zip(entries) {
        let index = LeafIndex::new(index);
        if let Some((sealed, salt)) = payload {
            let commitment = sealed.commitment(&salt);
            if entry.header().commitment.as_ref() != Some(commitment.as_hash()) {
                return Err(PageError::Payload { index });
            }
            payloads.push((index, sealed, salt));
        }
        numbered.push(entry);
    }
    let entries = verify_signatures(&numbered, origin).map_err(|(place, error)| {
        let index = LeafIndex::new(held.get() + place as u64);
        PageError::Entry { index, error }
    })?;
    Ok(Checked { entries, payloads })
}

#[cfg(test)]
mod lies;
#[cfg(test)]
mod tests;
