//! Every key of the database, in one place: one byte that says what it is, then where it is.
//!
//! ```text
//! h                                       the head: format version, newest signed checkpoint
//! b                                       the newest batch header
//! e  chunk, 8 bytes                       entries 16 * chunk to 16 * chunk + 15, or what there is
//! t  level, 1 byte; index, 8 bytes        a full tile
//! m  prefix                               a bucket of the map
//! v  leaf, 8 bytes                        sealed payloads of this entry and some after it
//! q  request id, 16 bytes; issuer, 32     what was answered to a request
//! r  epoch, 8 bytes                       which entry has the roster of this epoch
//! x  leaf, 8 bytes                        an erasure whose salt may still be in the vault
//! a                                       how far the engine's log was applied
//! s                                       up to where the engine's newest snapshot reaches
//! H                                       how far the head log has come
//! L  leaf, 8 bytes                        a leaf of the head log
//! T  level, 1 byte; index, 8 bytes        a full tile of the head log
//! ```
//!
//! Numbers are big-endian, so that a scan meets them in their order. All but `m` and the random
//! end of a request id follow position or time: random keys are what makes this database slow.

use proto::ids::{LeafIndex, UnixMillis};
use proto::map::Prefix;
use proto::roster::Epoch;
use proto::tile::{ENTRIES_PER_CHUNK, TileId};

use crate::ledger::RequestKey;

/// The key of the head.
pub(super) const HEAD: &[u8] = b"h";
/// What every key of an entry chunk begins with.
/// The newest batch header.
pub(super) const BATCH_HEADER: &[u8] = b"b";
pub(super) const CHUNKS: &[u8] = b"e";
/// What every key of a tile begins with.
pub(super) const TILES: &[u8] = b"t";
/// What every key of a bucket begins with.
pub(super) const BUCKETS: &[u8] = b"m";
/// What every key of a pending erasure begins with.
pub(super) const ERASURES: &[u8] = b"x";

/// What the keys of the ledger begin with: where there is one, there is a head.
pub(super) const LEDGER: [&[u8]; 7] = [CHUNKS, TILES, BUCKETS, b"v", b"q", b"r", ERASURES];
/// The key of how far the engine's log was applied.
pub(super) const APPLIED: &[u8] = b"a";
/// The key of the engine's newest snapshot.
pub(super) const SNAPSHOT: &[u8] = b"s";

/// The key of how far the head log has come.
pub(super) const HEAD_LOG: &[u8] = b"H";
/// What every key of a leaf of the head log begins with.
pub(super) const HEAD_LOG_LEAVES: &[u8] = b"L";
/// What every key of a tile of the head log begins with.
pub(super) const HEAD_LOG_TILES: &[u8] = b"T";

/// The key of the chunk with this index.
pub(super) fn chunk(index: u64) -> [u8; 9] {
    numbered(b'e', index)
}

/// The key of a full tile.
pub(super) fn tile(id: TileId) -> [u8; 10] {
    placed(b't', id)
}

/// The key of a leaf of the head log.
pub(super) fn head_log_leaf(index: LeafIndex) -> [u8; 9] {
    numbered(b'L', index.get())
}

/// The key of a full tile of the head log.
pub(super) fn head_log_tile(id: TileId) -> [u8; 10] {
    placed(b'T', id)
}

/// The key of a bucket.
pub(super) fn bucket(prefix: &Prefix) -> Vec<u8> {
    [BUCKETS, &prefix.to_bytes()].concat()
}

/// The key of the sealed payloads that begin with this entry's.
pub(super) fn payloads(first: LeafIndex) -> [u8; 9] {
    numbered(b'v', first.get())
}

/// The key of an answer.
pub(super) fn answer(request: &RequestKey) -> Vec<u8> {
    [
        &b"q"[..],
        request.request_id.as_bytes(),
        &request.issuer.to_bytes(),
    ]
    .concat()
}

/// The keys of all answers to requests that were made before a moment. A request id begins with
/// the low 48 bits of its moment.
pub(super) fn answers_before(moment: UnixMillis) -> std::ops::Range<Vec<u8>> {
    let [_, _, millis @ ..] = moment.get().min((1 << 48) - 1).to_be_bytes();
    b"q".to_vec()..[&b"q"[..], &millis].concat()
}

/// The key that marks an erasure whose salt may still be in the vault.
pub(super) fn erasure(leaf: LeafIndex) -> [u8; 9] {
    numbered(b'x', leaf.get())
}

/// The key of which entry has the roster of this epoch.
pub(super) fn roster(epoch: Epoch) -> [u8; 9] {
    numbered(b'r', epoch.get())
}

/// The number in the key of a chunk, payload or erasure.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    let number = key.get(1..)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

/// The prefix in the key of a bucket.
pub(super) fn bucket_prefix(key: &[u8]) -> Option<Prefix> {
    Prefix::from_bytes(key.get(1..)?).ok()
}

/// The chunk that an entry is in, and its place there.
pub(super) const fn chunk_of(leaf: LeafIndex) -> (u64, usize) {
    const WIDTH: u64 = ENTRIES_PER_CHUNK as u64;
    let place = (leaf.get() % WIDTH) as usize;
    (leaf.get() / WIDTH, place)
}

fn placed(kind: u8, id: TileId) -> [u8; 10] {
    let [a, b, c, d, e, f, g, h] = id.index.to_be_bytes();
    [kind, id.level, a, b, c, d, e, f, g, h]
}

fn numbered(kind: u8, number: u64) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [kind, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ids::RequestId;
    use proto::signing::SecretKey;

    #[test]
    fn numbers_sort_and_read_back() {
        assert!(chunk(255) < chunk(256));
        assert_eq!(number(&chunk(77)), Some(77));
        assert_eq!(number(b"e123"), None);
        assert_eq!(chunk_of(LeafIndex::new(33)), (2, 1));
    }

    #[test]
    fn answers_before_a_moment_are_just_those() {
        let issuer = SecretKey::from_seed(&[1; 32]).public();
        let key = |millis, random| {
            let request_id = RequestId::new(UnixMillis::new(millis), [random; 10]);
            answer(&RequestKey { request_id, issuer })
        };
        let before = answers_before(UnixMillis::new(1000));
        assert!(before.contains(&key(0, 0)) && before.contains(&key(999, 0xff)));
        assert!(!before.contains(&key(1000, 0)) && !before.contains(&key(70_000, 0)));
        assert!(!before.contains(&chunk(0).to_vec()) && !before.contains(&tile_key()));
        let all = answers_before(UnixMillis::new(u64::MAX));
        assert!(all.contains(&key(1_768_000_000_000, 0xff)));
    }

    fn tile_key() -> Vec<u8> {
        tile(TileId { level: 0, index: 0 }).to_vec()
    }
}
