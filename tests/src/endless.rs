//! A ledger whose every entry, map change, answer and salt follows from its index.
//!
//! So any process can continue it, and any other can say what its roots must be at any size.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use node::ledger::{Answered, Outcome, RequestKey};
use proto::attestation::{SlotState, SlotStatus, State, slot_index};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::{Entry, Header, Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{Day, LeafIndex, Origin, RequestId, SlotKey, TreeSize, UnixMillis, UnixSeconds};
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapUpdate, MapValue, Prefix};
use proto::seal::{Salt, SealedPayload, seal};
use proto::signing::SecretKey;
use proto::tile::RightEdge;
use proto::token::SealingSecret;

/// How many different entries there are; they come again in turn. A prime, so that no chunk and
/// no tile is like another.
const ENTRIES: u64 = 509;
/// One entry in so many has a sealed payload.
const PAYLOAD_EVERY: u64 = 7;

/// What the ledger consists of.
pub struct Endless {
    secret: SecretKey,
    entries: Vec<VerifiedEntry>,
    sealed: SealedPayload,
}

/// The entries of one batch, and all that a commit has beside them.
pub struct Batch {
    /// The entries.
    pub entries: Vec<VerifiedEntry>,
    /// What they change in the map.
    pub map: BTreeMap<MapIndex, Option<MapValue>>,
    /// What their issuers were answered.
    pub answers: BTreeMap<RequestKey, Answered>,
    /// The salts of those that have a payload.
    pub salts: Vec<(LeafIndex, Salt)>,
}

impl Default for Endless {
    fn default() -> Self {
        Self::new()
    }
}

impl Endless {
    /// The ledger; there is only one.
    #[must_use]
    pub fn new() -> Self {
        let secret = SecretKey::from_seed(&[7; 32]);
        let entries = (0..ENTRIES).map(|at| claim(at, &secret)).collect();
        let sealing = SealingSecret::from_bytes([5; 32]);
        let sealed = seal(&[(&sealing, b"terms")], &Salt::from_bytes([6; 32]));
        Self {
            secret,
            entries,
            sealed: sealed.expect("one short part can be sealed"),
        }
    }

    /// The sealed payload that every entry with a salt has.
    #[must_use]
    pub const fn sealed(&self) -> &SealedPayload {
        &self.sealed
    }

    /// The entries with these indexes.
    #[must_use]
    pub fn batch(&self, indexes: std::ops::Range<u64>) -> Batch {
        let salts = indexes
            .clone()
            .filter_map(|at| Some((LeafIndex::new(at), salt(at)?)));
        let entries: Vec<_> = indexes.clone().map(|at| self.entry(at).clone()).collect();
        let answers = indexes
            .clone()
            .zip(&entries)
            .map(|(at, entry)| self.answer(at, entry));
        let (salts, answers) = (salts.collect(), answers.collect());
        Batch {
            entries,
            answers,
            salts,
            map: changes(indexes),
        }
    }

    /// The leaf hash of the entry with this index.
    #[must_use]
    pub fn leaf(&self, at: u64) -> Hash {
        self.entry(at).leaf_hash()
    }

    /// The checkpoint of these roots, cosigned.
    #[must_use]
    pub fn checkpoint(&self, edge: &RightEdge, map: &MapUpdate) -> SignedCheckpoint {
        let (size, log_root, map_root) = (edge.size(), edge.root(), map.root());
        let checkpoint = Checkpoint {
            origin: origin(),
            size,
            log_root,
            map_root,
        };
        let name = "cnam".parse().expect("a member name");
        let cosignature = checkpoint.cosign(&name, &self.secret, UnixSeconds::new(1_768_000_000));
        SignedCheckpoint::new(checkpoint, vec![cosignature]).expect("one cosignature")
    }

    fn entry(&self, at: u64) -> &VerifiedEntry {
        let place = usize::try_from(at % ENTRIES).expect("less than 509");
        &self.entries[place]
    }

    fn answer(&self, at: u64, entry: &VerifiedEntry) -> (RequestKey, Answered) {
        let request_id = RequestId::new(moment(at), [1; 10]);
        let request = RequestKey {
            request_id,
            issuer: self.secret.public(),
        };
        let outcome = Outcome::Appended(LeafIndex::new(at));
        (
            request,
            Answered {
                leaf: entry.leaf_hash(),
                outcome,
            },
        )
    }
}

/// The salt of the entry with this index, if it has a payload.
#[must_use]
pub fn salt(at: u64) -> Option<Salt> {
    let salt = || Salt::from_bytes(repeated(at + 1));
    at.is_multiple_of(PAYLOAD_EVERY).then(salt)
}

/// Every other entry takes a slot, and some free one that was taken long before.
fn changes(indexes: std::ops::Range<u64>) -> BTreeMap<MapIndex, Option<MapValue>> {
    let mut changes = BTreeMap::new();
    for at in indexes {
        let (status, until) = (SlotStatus::Reserved, Day::new(20_500));
        let state = State::Slot(SlotState {
            status,
            until,
            by: LeafIndex::new(at),
            beneath: None,
        });
        let value = MapValue::from_bytes(&state.to_bytes()).expect("a state is a map value");
        if at % 2 == 0 {
            changes.insert(slot(at), Some(value));
        }
        if at % 5 == 4 {
            changes.insert(slot(at / 10 * 2), None);
        }
    }
    changes
}

fn slot(at: u64) -> MapIndex {
    slot_index(&SlotKey::from_bytes(repeated(at)))
}

fn repeated(number: u64) -> [u8; 32] {
    let number = number.to_be_bytes();
    std::array::from_fn(|at| number[at % 8])
}

fn claim(at: u64, secret: &SecretKey) -> VerifiedEntry {
    let header = Header {
        kind: Kind::Claim,
        issuer: secret.public(),
        request_id: RequestId::new(moment(at), [1; 10]),
        issued_at: moment(at),
        keys: vec![repeated(at), repeated(at + 1), repeated(at + 2)],
        hold_until: Some(Day::new(20_500)),
        references: vec![LeafIndex::new(0), LeafIndex::new(1)],
        commitment: Some(Hash::from_bytes([4; 32])),
        statement: Vec::new(),
    };
    Entry::sign(&header, &origin(), secret).expect("the header keeps every limit")
}

fn moment(at: u64) -> UnixMillis {
    UnixMillis::new(1_768_000_000_000 + at)
}

fn origin() -> Origin {
    "vitrail.test/optique".parse().expect("an origin")
}

/// The roots of the ledger at growing sizes, computed in memory.
#[derive(Default)]
pub struct Roots {
    edge: RightEdge,
    crown: Crown,
    buckets: Buckets,
}

#[derive(Default)]
struct Buckets(BTreeMap<Prefix, Arc<Bucket>>);

impl BucketSource for Buckets {
    type Error = Infallible;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Infallible> {
        Ok(self.0[prefix].clone())
    }
}

impl Roots {
    /// Log root and map root at this size, which is not below one asked for before.
    pub fn at(&mut self, size: TreeSize, ledger: &Endless) -> (Hash, Hash) {
        let new = self.edge.size().get()..size.get();
        let leaves: Vec<Hash> = new.clone().map(|at| ledger.leaf(at)).collect();
        drop(self.edge.append_all(&leaves));
        let update = self.crown.update(&changes(new), &self.buckets);
        let update = update.expect("buckets in memory are as they were put there");
        for prefix in update.deletes() {
            self.buckets.0.remove(prefix);
        }
        for (prefix, bucket) in update.puts() {
            self.buckets.0.insert(*prefix, bucket.clone());
        }
        self.crown = update.crown().clone();
        (self.edge.root(), self.crown.root())
    }
}
