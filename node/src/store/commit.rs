//! One commit: everything that a batch changes becomes durable at once, or not at all.
//!
//! A batch that the engine's log holds need not be durable here as well before it is answered: a
//! crash that loses it has it applied again. Such batches are applied, gather for moments, and
//! become durable together.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proto::attestation::Attestation;
use proto::batch::SignedHeader;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::{Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{LeafIndex, TreeSize};
use proto::map::{Bucket, MapUpdate, Prefix};
use proto::roster::Epoch;
use proto::seal::{Salt, SealedPayload};
use proto::tile::{ENTRIES_PER_CHUNK, Tile, TileId, encode_entry};

use super::payloads::{Bundles, bundles};
use super::unwritten::Batch;
use super::vault::Mark;
use super::{Store, StoreError, Stored, answer, engine, keys, lock};
use crate::engine::Applied;
use crate::ledger::{Answered, RequestKey};

/// The format that this code writes and reads.
pub(super) const FORMAT_VERSION: u8 = 2;
/// Most batches that are applied and not durable yet: after a crash a node applies them again
/// before it serves.
pub(super) const WAITING_MAX: u64 = 128;
/// Most bytes of them: they are written at once, and readers of the file wait meanwhile.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// When a batch is to be durable in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// Before its commit returns.
    Now,
    /// With the next sync: the engine's log has it.
    Later,
}

/// What a commit writes. The caller has decided it, hashed it and signed its checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Writes<'a> {
    /// The index of the first entry: the size of the log before.
    pub first: LeafIndex,
    /// The entries to append; there may be none, when all that was asked was refused.
    pub entries: &'a [VerifiedEntry],
    /// The tiles that they complete.
    pub tiles: &'a [(TileId, Arc<Tile>)],
    /// What changes in the map.
    pub map: &'a MapUpdate,
    /// The answers to remember.
    pub answers: &'a BTreeMap<RequestKey, Answered>,
    /// The sealed payloads of new entries.
    pub payloads: &'a [(LeafIndex, &'a SealedPayload, &'a Salt)],
    /// Entries whose payload and salt are to go.
    pub erased: &'a [LeafIndex],
    /// How far the engine's log is applied with this commit, where an engine orders.
    pub applied: Option<&'a Applied>,
    /// The checkpoint of the log and the map after the commit.
    pub checkpoint: &'a SignedCheckpoint,
    /// The header of the batch, where an engine orders.
    pub header: Option<&'a SignedHeader>,
}

/// What a batch writes to the vault. It may be there before it is known whether the batch gets its
/// place: a salt without its entry opens nothing.
#[derive(Debug, Clone, Copy)]
pub struct Salts<'a> {
    /// The index of the first entry: the size of the log before.
    pub first: LeafIndex,
    /// The size of the log with the batch.
    pub size: TreeSize,
    /// The root of the log with the batch; the entries say which salts are theirs.
    pub log_root: Hash,
    /// The sealed payloads of new entries.
    pub payloads: &'a [(LeafIndex, &'a SealedPayload, &'a Salt)],
    /// Entries whose payload and salt are to go.
    pub erased: &'a [LeafIndex],
}

/// The batch whose salts are durable in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    size: TreeSize,
    log_root: Hash,
}

/// Whether, and where, the next commit may write.
#[derive(Debug, Default)]
pub(super) enum Writer {
    /// Nobody knows yet whether what is stored is sound.
    #[default]
    NotRecovered,
    /// The next commit goes here.
    Ready(Tail),
    /// A write or sync failed.
    Poisoned,
}

/// The end of what is stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    /// The size of the log.
    pub(super) size: TreeSize,
    /// The entries of the last chunk, if it is not full.
    pub(super) chunk: Vec<u8>,
    /// Erasures that were carried out; the next commit removes their marks.
    pub(super) carried_out: Vec<LeafIndex>,
    /// The batch whose salts are durable already, if it is the next.
    pub(super) ahead: Option<Ahead>,
}

impl Writer {
    pub(super) const fn ready(&self) -> Result<&Tail, StoreError> {
        match self {
            Self::Ready(tail) => Ok(tail),
            Self::NotRecovered => Err(StoreError::NotRecovered),
            Self::Poisoned => Err(StoreError::Poisoned),
        }
    }

    /// Takes the tail out. Whatever goes wrong before another is put back, a panic included, leaves
    /// the writer poisoned.
    fn take(&mut self) -> Result<Tail, StoreError> {
        match std::mem::replace(self, Self::Poisoned) {
            Self::Ready(tail) => Ok(tail),
            other => {
                *self = other;
                Err(self.ready().err().unwrap_or(StoreError::Poisoned))
            }
        }
    }
}

impl Store {
    /// Whether the disk has room for a commit. Ask before a checkpoint is signed for one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.free_space.check().is_ok()
    }

    /// Makes the salts of the next batch durable ahead of its [`commit`](Self::commit), which then
    /// has one sync less to wait for. Does nothing for a batch that does not follow what is stored.
    ///
    /// Cost: one sync.
    ///
    /// # Errors
    /// Those of a commit.
    pub fn write_ahead(&self, salts: &Salts<'_>) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.writer);
        self.refuse_after_failure()?;
        self.0.free_space.check()?;
        let tail = writer.ready()?;
        let is_next = salts.first == tail.size.next_index();
        if !is_next || salts.size == tail.size || tail.ahead == Some(salts.ahead()) {
            return Ok(());
        }
        let mut tail = writer.take()?;
        self.write_vault(salts)
            .map_err(|error| self.failed(error))?;
        tail.ahead = Some(salts.ahead());
        *writer = Writer::Ready(tail);
        Ok(())
    }

    /// Makes a batch durable: when this returns, no power cut takes it back.
    ///
    /// Cost: two syncs, one when its salts were [written ahead](Self::write_ahead); one more when
    /// there are erasures.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::OutOfPlace`] and [`StoreError::WrongSize`] before
    /// anything is written. [`StoreError::SyncFailed`] leaves open whether the batch is durable;
    /// after it every commit is refused with [`StoreError::Poisoned`], and reads go on.
    pub fn commit(&self, writes: &Writes<'_>) -> Result<(), StoreError> {
        self.take(writes, Lasting::Now)
    }

    /// Applies a batch whose record is durable in the engine's log: from here on it is read, and
    /// with the next [`sync`](Self::sync) it is durable here too. Records are not purged before
    /// ([`purge_records`](Self::purge_records)).
    ///
    /// A batch with erasures is durable when this returns, and so is one after which more would wait
    /// than may. Cost: one sync of the salts, unless they were [written ahead](Self::write_ahead).
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub fn apply(&self, writes: &Writes<'_>) -> Result<(), StoreError> {
        self.take(writes, Lasting::Later)
    }

    /// What was applied and is not durable here yet, in bytes, about.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.0.database.unwritten_bytes()
    }

    /// Makes durable what was applied. Others go on applying meanwhile.
    ///
    /// Cost: one sync; nothing when nothing waits.
    ///
    /// # Errors
    /// [`StoreError::SyncFailed`], after which every write is refused with
    /// [`StoreError::Poisoned`], and reads go on.
    pub fn sync(&self) -> Result<(), StoreError> {
        if !lock(&self.0.progress).waits() {
            return Ok(());
        }
        self.write_and_sync([])?;
        match &*lock(&self.0.writer) {
            Writer::Ready(tail) => self.mark(tail),
            Writer::NotRecovered | Writer::Poisoned => Ok(()),
        }
    }

    /// Has the next sync of anything fail, or no longer.
    #[cfg(test)]
    pub(crate) fn fail_next_sync(&self, fails: bool) {
        self.0.syncs.fail_next.store(fails, Ordering::Relaxed);
    }

    fn take(&self, writes: &Writes<'_>, lasting: Lasting) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.writer);
        let tail = writer.ready()?;
        self.refuse_after_failure()?;
        self.0.free_space.check()?;
        in_place(writes, tail)?;
        let left = self.bundles_without(writes.erased)?;
        let (batch, next) = batch_of(writes, left, tail)?;
        let replaced = self.replaced_by(writes.map)?;

        let before = writer.take()?;
        let salts = writes.salts();
        if before.ahead != Some(salts.ahead()) {
            self.write_vault(&salts)
                .map_err(|error| self.failed(error))?;
        }
        lock(&self.0.buckets).begin(TreeSize::new(writes.first.get()), replaced);
        self.0.database.apply(batch);
        lock(&self.0.progress).apply(next.size, writes.applied);
        self.show(writes);
        match self.complete(writes, lasting, next) {
            Ok(Some(tail)) => *writer = Writer::Ready(tail),
            Ok(None) => {}
            Err(error) => return Err(self.failed(error)),
        }
        Ok(())
    }

    /// Makes durable what was applied, if this batch may not wait, and says where the next one goes:
    /// nowhere, when this one is durable but what should follow it failed.
    fn complete(
        &self,
        writes: &Writes<'_>,
        lasting: Lasting,
        mut tail: Tail,
    ) -> Result<Option<Tail>, StoreError> {
        let may_wait = lasting == Lasting::Later && writes.erased.is_empty();
        if may_wait && self.has_room_in_memory() {
            return Ok(Some(tail));
        }
        self.write_and_sync([])?;
        self.mark(&tail)?;
        match self.erase_salts(writes.erased) {
            Ok(()) => {
                tail.carried_out = writes.erased.to_vec();
                Ok(Some(tail))
            }
            // The batch stands, and the marks in it bring the erasures back at the next start.
            Err(error) => {
                tracing::error!(%error, "salts could not be erased: restart the node");
                Ok(None)
            }
        }
    }

    fn has_room_in_memory(&self) -> bool {
        let waiting = lock(&self.0.progress).waiting();
        waiting < WAITING_MAX && self.unwritten_bytes() < WAITING_BYTES_MAX
    }

    /// Says outside of the database how far it is. Not synced: after a power cut the mark before it
    /// allows the same sizes.
    fn mark(&self, tail: &Tail) -> Result<(), StoreError> {
        let ahead = tail.ahead.map_or(tail.size, |ahead| ahead.size);
        let mark = Mark {
            durable: lock(&self.0.progress).durable_size(),
            intended: ahead.max(tail.size),
        };
        let written = self.0.vault.write_mark(mark);
        written.map_err(|error| self.failed(StoreError::SyncFailed(error)))
    }

    /// A salt without its entry is harmless, an entry without its salt has lost its payload: so
    /// salts are durable first. The mark goes with them: without it, what a broken byte takes
    /// back would not be missed.
    fn write_vault(&self, salts: &Salts<'_>) -> Result<(), StoreError> {
        let mark = Mark {
            durable: lock(&self.0.progress).durable_size(),
            intended: salts.size,
        };
        let vault = &self.0.vault;
        let written = vault.write_mark(mark).and_then(|()| {
            let kept = salts.kept().map(|(leaf, _, salt)| (*leaf, *salt));
            vault.write(salts.first, salts.size, kept)
        });
        let synced = written.and_then(|()| self.0.syncs.sync(vault.file()));
        synced.map_err(StoreError::SyncFailed)
    }

    /// Makes batches durable, and all that was applied before them.
    pub(super) fn write_and_sync(
        &self,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        let reached = lock(&self.0.progress).newest();
        for batch in batches {
            self.0.database.apply(batch);
        }
        let written = self.0.database.write();
        written.map_err(|error| self.failed(StoreError::SyncFailed(io_error(error))))?;
        self.sync_database()?;
        lock(&self.0.progress).became_durable(reached);
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// One at a time: the system reports a write that failed to one of its callers alone, and
    /// another one that syncs beside it is told that all is well.
    fn sync_database(&self) -> Result<(), StoreError> {
        let _one = lock(&self.0.syncing);
        self.refuse_after_failure()?;
        let synced = self.0.syncs.sync(self.0.database.file());
        synced.map_err(|error| self.failed(StoreError::SyncFailed(error)))
    }

    /// Ledger and engine share one file: what failed for one is not durable for the other.
    pub(super) fn refuse_after_failure(&self) -> Result<(), StoreError> {
        match self.0.failed.load(Ordering::Acquire) {
            true => Err(StoreError::Poisoned),
            false => Ok(()),
        }
    }

    /// Notes that a write or sync failed, for whoever writes next.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        self.0.failed.store(true, Ordering::Release);
        error
    }

    fn show(&self, writes: &Writes<'_>) {
        let written = writes
            .map
            .puts()
            .map(|(prefix, bucket)| (*prefix, bucket.clone()));
        lock(&self.0.buckets).end(written);
        let mut tiles = lock(&self.0.tiles);
        writes
            .tiles
            .iter()
            .for_each(|(id, tile)| tiles.insert(*id, tile.clone()));
        drop(tiles);
        let mut entries = lock(&self.0.entries);
        for (index, entry) in (writes.first.get()..).zip(writes.entries) {
            entries.insert(LeafIndex::new(index), entry.shared().clone());
        }
    }

    /// Overwrites salts whose erasure is durable, and makes that durable too.
    pub(super) fn erase_salts(&self, erased: &[LeafIndex]) -> io::Result<()> {
        if erased.is_empty() {
            return Ok(());
        }
        erased
            .iter()
            .try_for_each(|leaf| self.0.vault.erase(*leaf))?;
        self.0.syncs.sync(self.0.vault.file())
    }

    /// The stored buckets that an update replaces or removes.
    fn replaced_by(&self, map: &MapUpdate) -> Result<Vec<(Prefix, Arc<Bucket>)>, StoreError> {
        let mut replaced = Vec::new();
        for prefix in map.puts().map(|(prefix, _)| prefix).chain(map.deletes()) {
            if let Some(bucket) = self.newest_bucket(prefix)? {
                replaced.push((*prefix, bucket));
            }
        }
        Ok(replaced)
    }
}

impl<'a> Salts<'a> {
    /// The payloads that the same batch does not erase again.
    fn kept(&self) -> impl Iterator<Item = &'a (LeafIndex, &'a SealedPayload, &'a Salt)> + use<'a> {
        let erased = self.erased;
        self.payloads
            .iter()
            .filter(|(leaf, ..)| !erased.contains(leaf))
    }

    const fn ahead(&self) -> Ahead {
        Ahead {
            size: self.size,
            log_root: self.log_root,
        }
    }
}

impl<'a> Writes<'a> {
    fn salts(&self) -> Salts<'a> {
        let claimed = self.checkpoint.claimed();
        Salts {
            first: self.first,
            size: claimed.size,
            log_root: claimed.log_root,
            payloads: self.payloads,
            erased: self.erased,
        }
    }

    /// The rosters among the entries, and where they are.
    fn rosters(&self) -> impl Iterator<Item = (Epoch, LeafIndex)> + use<'a> {
        let numbered = (self.first.get()..).zip(self.entries);
        let rosters = numbered.filter(|(_, entry)| entry.header().kind == Kind::Roster);
        rosters.filter_map(|(leaf, entry)| match Attestation::read(entry.header()) {
            Ok(Attestation::Roster(signed)) => {
                Some((signed.admitted().epoch(), LeafIndex::new(leaf)))
            }
            _ => None,
        })
    }
}

fn in_place(writes: &Writes<'_>, tail: &Tail) -> Result<(), StoreError> {
    let (got, want) = (writes.first, tail.size.next_index());
    if got != want {
        return Err(StoreError::OutOfPlace { got, want });
    }
    let got = writes.checkpoint.claimed().size;
    let want = TreeSize::new(tail.size.get() + writes.entries.len() as u64);
    if got != want {
        return Err(StoreError::WrongSize { got, want });
    }
    Ok(())
}

/// The one database batch of a commit, and the end of what is stored after it. `left` is what
/// erasures leave of earlier payloads.
fn batch_of(writes: &Writes<'_>, left: Bundles, tail: &Tail) -> Result<(Batch, Tail), StoreError> {
    let mut batch = Batch::default();
    let tail = append_entries(writes.entries, tail, &mut batch)?;
    for (id, tile) in writes.tiles {
        batch.insert(&keys::tile(*id), tile.to_bytes());
    }
    for (prefix, bucket) in writes.map.puts() {
        batch.insert(keys::bucket(prefix), bucket.to_bytes());
    }
    for prefix in writes.map.deletes() {
        batch.remove(keys::bucket(prefix));
    }
    for (request, answered) in writes.answers {
        let key = keys::answer(request);
        let value = answer::to_bytes(&key, answered);
        batch.insert(key, value);
    }
    for (first, bundle) in bundles(writes.salts().kept().map(|(leaf, it, _)| (*leaf, *it))) {
        batch.insert(&keys::payloads(first), bundle);
    }
    for (first, bundle) in left {
        match bundle.is_empty() {
            true => batch.remove(&keys::payloads(first)),
            false => batch.insert(&keys::payloads(first), bundle),
        }
    }
    for leaf in &tail.carried_out {
        batch.remove(&keys::erasure(*leaf));
    }
    for leaf in writes.erased {
        batch.insert(&keys::erasure(*leaf), &[]);
    }
    if let Some(applied) = writes.applied {
        batch.insert(
            keys::APPLIED,
            engine::applied_value(keys::APPLIED, applied)?,
        );
    }
    for (epoch, leaf) in writes.rosters() {
        batch.insert(&keys::roster(epoch), &leaf.get().to_be_bytes());
    }
    let head = [&[FORMAT_VERSION], writes.checkpoint.to_text().as_bytes()].concat();
    batch.insert(keys::HEAD, head);
    if let Some(header) = writes.header {
        batch.insert(keys::BATCH_HEADER, header.to_bytes());
    }
    Ok((batch, tail))
}

/// Writes the chunks that entries fall into; the last one is written again as it grows.
fn append_entries(
    entries: &[VerifiedEntry],
    tail: &Tail,
    batch: &mut Batch,
) -> Result<Tail, StoreError> {
    let mut tail = Tail {
        ahead: None,
        ..tail.clone()
    };
    for entry in entries {
        let (chunk, place) = keys::chunk_of(tail.size.next_index());
        encode_entry(entry.bytes(), &mut tail.chunk).map_err(io::Error::other)?;
        tail.size = TreeSize::new(tail.size.get() + 1);
        if place + 1 == ENTRIES_PER_CHUNK {
            batch.insert(&keys::chunk(chunk), std::mem::take(&mut tail.chunk));
        }
    }
    if !entries.is_empty() && !tail.chunk.is_empty() {
        let (chunk, _) = keys::chunk_of(tail.size.next_index());
        batch.insert(&keys::chunk(chunk), tail.chunk.as_slice());
    }
    Ok(tail)
}

/// What the system said, or that the database itself is at fault.
fn io_error(error: StoreError) -> io::Error {
    match error {
        StoreError::Io(error) => error,
        _ => io::ErrorKind::InvalidData.into(),
    }
}

impl Store {
    /// Which entry has the roster of this epoch; `None` when the ledger has none, and for one that
    /// came into it before this was kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn roster_entry(&self, epoch: Epoch) -> Result<Option<LeafIndex>, StoreError> {
        let value = self.0.database.value(&keys::roster(epoch))?;
        let leaf = value.map(|bytes| <[u8; 8]>::try_from(bytes.as_ref()));
        let leaf = leaf
            .transpose()
            .map_err(|_| StoreError::Corrupt { what: Stored::Head })?;
        Ok(leaf.map(|leaf| LeafIndex::new(u64::from_be_bytes(leaf))))
    }

    /// The header of the newest batch in the ledger; none before the first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn last_header(&self) -> Result<Option<SignedHeader>, StoreError> {
        let value = self.0.database.value(keys::BATCH_HEADER)?;
        let header = value.map(|bytes| SignedHeader::from_bytes(&bytes));
        header
            .transpose()
            .map_err(|_| StoreError::Corrupt { what: Stored::Head })
    }

    /// Takes note of a batch that came to the ledger by pages. Not synced: after a power cut the
    /// engine hands it over again.
    pub fn save_header(&self, header: &SignedHeader) {
        let mut batch = Batch::default();
        batch.insert(keys::BATCH_HEADER, header.to_bytes());
        self.0.database.apply(batch);
    }
}
