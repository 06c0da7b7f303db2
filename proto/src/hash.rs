//! BLAKE3, and every context string of the protocol.
//!
//! Nothing else in Vitrail hashes with a prefix of its own: whoever audits domain separation
//! reads this one file. A derivation length-prefixes each of its parts, so two different lists
//! of parts can never be fed to the hash as the same bytes.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::{Zeroize as _, Zeroizing};

/// Length of every hash in the protocol, in bytes.
pub const HASH_BYTES: usize = 32;

/// A BLAKE3 hash: a leaf, a pair, a root, a commitment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Reads exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads the one canonical base64 spelling (RFC 4648, section 4, padded) of 32 bytes.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        Self::from_slice(&BASE64_STANDARD.decode(text).ok()?)
    }

    /// The padded base64 spelling that C2SP checkpoints use.
    #[must_use]
    pub fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The use that a derived value is for. One variant per use, one string per variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A person token from the OPRF's output.
    PersonToken,
    /// A contract token from the OPRF's output.
    ContractToken,
    /// A slot key from a person token and a slot.
    SlotKey,
    /// A coverage key from a contract token and a grouped code.
    CoverageKey,
    /// The contract key from a contract token.
    ContractKey,
    /// The sealing secret from a contract token.
    SealingSecret,
    /// The key that seals one part of a payload, from a sealing secret and the entry's salt.
    SealKey,
    /// What binds a sealed part to the one key that opens it.
    SealKeyCheck,
    /// The commitment of an entry to its payload.
    PayloadCommitment,
    /// The commitment of an entry to a sealed access record.
    RecordCommitment,
    /// The `info` of the envelopes of an access record (RFC 9180, 5.1); nothing is hashed with it here.
    AccessRecord,
    /// The salted commitment to an individual LPP code.
    LppCodeCommitment,
    /// The place of a slot in the map.
    MapSlot,
    /// The place of a coverage key in the map.
    MapCoverage,
    /// The place of a grant in the map.
    MapGrant,
    /// The place of an invoice in the map: its first delivery.
    MapInvoice,
    /// The place of one payer's settlement of an invoice in the map.
    MapSettlement,
    /// The place of one of the federation's own records (roster, catalogue) in the map.
    MapFederation,
    /// The place in the map of whose key a key is, or was.
    MapMember,
    /// What the map names a member by.
    MemberName,
    /// The check of a record of what a key has spent; a node's own file.
    QuotaRecord,
    /// What a repeated evaluation request is recognised by; in a node's memory.
    EvaluationRequest,
    /// What a payer has had evaluated for one claim, and for all of them.
    ClaimCheck,
    /// The hash by which the ledger names a catalogue.
    Catalogue,
    /// The hash by which one roster names the roster before it.
    Roster,
    /// The key of the digest by which a stopped import knows its input again, from the insurer's
    /// secret key and a salt.
    ImportInput,
    /// The hash of a ceremony's plan, which every message of it is signed for.
    CeremonyPlan,
    /// The hash of the body of a ceremony's message.
    CeremonyMessage,
    /// One participant's randomness in a ceremony, from its seed.
    CeremonySecrets,
    /// The hash of a ceremony's transcript, which the roster names.
    CeremonyTranscript,
    /// The key that seals a secret on a disk, from a credential or what a token answers.
    SecretsAtRest,
    /// The hash by which one batch header names the one before it.
    BatchHeader,
    /// The hash over the leaf hashes of a batch's entries.
    BatchContent,
    /// The check of what a node keeps for the ordering engine.
    EngineRecord,
    /// The check of how far a node's head log has come.
    HeadLog,
    /// What an agent knows its pairing token by.
    AgentToken,
    /// The key of the names and digests under which an agent keeps requests, from its pairing token.
    AgentRequests,
    /// The key of the check of what an auditor keeps to go on from, from the ledger's origin.
    AuditState,
}

impl Context {
    /// The BLAKE3 `derive_key` context string: application, year of the format, purpose.
    #[must_use]
    pub const fn string(self) -> &'static str {
        match self {
            Self::PersonToken => "vitrail 2026 v1 person token",
            Self::ContractToken => "vitrail 2026 v1 contract token",
            Self::SlotKey => "vitrail 2026 v1 slot key",
            Self::CoverageKey => "vitrail 2026 v1 coverage key",
            Self::ContractKey => "vitrail 2026 v1 contract key",
            Self::SealingSecret => "vitrail 2026 v1 sealing secret",
            Self::SealKey => "vitrail 2026 v1 seal key",
            Self::SealKeyCheck => "vitrail 2026 v1 seal key check",
            Self::PayloadCommitment => "vitrail 2026 v1 payload commitment",
            Self::RecordCommitment => "vitrail 2026 v1 record commitment",
            Self::AccessRecord => "vitrail 2026 v1 access record",
            Self::LppCodeCommitment => "vitrail 2026 v1 lpp code commitment",
            Self::MapSlot => "vitrail 2026 v1 map slot",
            Self::MapCoverage => "vitrail 2026 v1 map coverage",
            Self::MapGrant => "vitrail 2026 v1 map grant",
            Self::MapInvoice => "vitrail 2026 v1 map invoice",
            Self::MapSettlement => "vitrail 2026 v1 map settlement",
            Self::MapFederation => "vitrail 2026 v1 map federation",
            Self::MapMember => "vitrail 2026 v1 map member",
            Self::MemberName => "vitrail 2026 v1 member name",
            Self::QuotaRecord => "vitrail 2026 v1 quota record",
            Self::EvaluationRequest => "vitrail 2026 v1 evaluation request",
            Self::ClaimCheck => "vitrail 2026 v1 claim check",
            Self::Catalogue => "vitrail 2026 v1 catalogue",
            Self::Roster => "vitrail 2026 v1 roster",
            Self::ImportInput => "vitrail 2026 v1 import input",
            Self::CeremonyPlan => "vitrail 2026 v1 ceremony plan",
            Self::CeremonyMessage => "vitrail 2026 v1 ceremony message",
            Self::CeremonySecrets => "vitrail 2026 v1 ceremony secrets",
            Self::CeremonyTranscript => "vitrail 2026 v1 ceremony transcript",
            Self::SecretsAtRest => "vitrail 2026 v1 secrets at rest",
            Self::BatchHeader => "vitrail 2026 v1 batch header",
            Self::BatchContent => "vitrail 2026 v1 batch content",
            Self::EngineRecord => "vitrail 2026 v1 engine record",
            Self::HeadLog => "vitrail 2026 v1 head log",
            Self::AgentToken => "vitrail 2026 v1 agent token",
            Self::AgentRequests => "vitrail 2026 v1 agent requests",
            Self::AuditState => "vitrail 2026 v1 audit state",
        }
    }
}

/// Prefix of a leaf: the 0x00 keeps a leaf from passing for a pair (RFC 6962, 2.1).
pub const LEAF_PREFIX: u8 = 0x00;
/// Prefix of a pair (RFC 6962, 2.1).
pub const PAIR_PREFIX: u8 = 0x01;

/// `derive_key(context, len(p1) || p1 || len(p2) || p2 ...)`, lengths as 8 bytes big-endian.
#[must_use]
pub fn derive(context: Context, parts: &[&[u8]]) -> Hash {
    Hash(*absorb(context, parts).finalize().as_bytes())
}

/// The bytes of [`derive()`] where they are a secret. A hash is copied wherever it goes; this is
/// wiped when dropped, and so is the hasher, which has the parts in its buffer.
#[must_use]
pub fn derive_secret(context: Context, parts: &[&[u8]]) -> Zeroizing<[u8; HASH_BYTES]> {
    let mut hasher = absorb(context, parts);
    let mut hash = hasher.finalize();
    let secret = Zeroizing::new(*hash.as_bytes());
    hash.zeroize();
    hasher.zeroize();
    secret
}

/// The bytes of [`derive()`] and as many more as are wanted (BLAKE3's extendable output): secret
/// bytes that come out the same whenever they are asked for.
pub struct SecretStream(blake3::OutputReader);

impl SecretStream {
    /// The stream of these parts.
    #[must_use]
    pub fn new(context: Context, parts: &[&[u8]]) -> Self {
        let mut hasher = absorb(context, parts);
        let stream = Self(hasher.finalize_xof());
        hasher.zeroize();
        stream
    }

    /// Takes the next bytes out of it.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

impl Drop for SecretStream {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretStream(<secret>)")
    }
}

fn absorb(context: Context, parts: &[&[u8]]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(context.string());
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher
}

/// BLAKE3 in its keyed mode over a stream of bytes: who has not the key can neither make the hash
/// nor try what was hashed. It is wiped when dropped.
pub struct KeyedHasher(Box<blake3::Hasher>);

impl KeyedHasher {
    /// A hasher under this key, over nothing yet.
    #[must_use]
    pub fn new(key: &[u8; HASH_BYTES]) -> Self {
        Self(Box::new(blake3::Hasher::new_keyed(key)))
    }

    /// Takes in more of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything taken in.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }
}

impl Drop for KeyedHasher {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyedHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHasher(<secret>)")
    }
}

/// `BLAKE3(prefix || a || b)`, the one unkeyed hash: tree leaves and pairs.
///
/// Pairs and map leaves are short; joining them on the stack first is a third faster than feeding
/// the incremental hasher, and these two are most of what a batch hashes.
#[must_use]
pub fn prefixed(prefix: u8, a: &[u8], b: &[u8]) -> Hash {
    let mut joined = [0; 1 + SHORT_BYTES_MAX];
    let end = 1 + a.len() + b.len();
    if let Some(short) = joined.get_mut(..end) {
        short[0] = prefix;
        short[1..=a.len()].copy_from_slice(a);
        short[1 + a.len()..].copy_from_slice(b);
        return Hash(*blake3::hash(short).as_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[prefix]).update(a).update(b);
    Hash(*hasher.finalize().as_bytes())
}

/// Longest input that is joined on the stack: two hashes, and a map leaf with its value.
const SHORT_BYTES_MAX: usize = 128;

/// `BLAKE3("")`, the root of an empty tree and of an empty branch of the map.
#[must_use]
pub fn empty() -> Hash {
    Hash(*blake3::hash(b"").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_two_parts_changes_the_hash() {
        assert_ne!(
            derive(Context::SlotKey, &[b"ab", b"c"]),
            derive(Context::SlotKey, &[b"a", b"bc"])
        );
    }

    #[test]
    fn the_same_parts_under_two_contexts_differ() {
        assert_ne!(
            derive(Context::SlotKey, &[b"x"]),
            derive(Context::CoverageKey, &[b"x"])
        );
    }

    #[test]
    fn a_secret_is_derived_to_the_same_bytes_as_a_hash() {
        for parts in [
            &[][..],
            &[b"".as_slice()],
            &[b"ab", b"c"],
            &[&[7; 2000], &[8; 64]],
        ] {
            let secret = derive_secret(Context::SealKey, parts);
            assert_eq!(&*secret, derive(Context::SealKey, parts).as_bytes());
        }
    }

    #[test]
    fn a_keyed_hash_of_a_stream_is_blake3s_own_and_depends_on_the_key() {
        let hash = |key: u8, pieces: &[&[u8]]| {
            let mut hasher = KeyedHasher::new(&[key; 32]);
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        let whole = blake3::keyed_hash(&[1; 32], b"abc");
        assert_eq!(hash(1, &[b"a", b"", b"bc"]).as_bytes(), whole.as_bytes());
        assert_ne!(hash(2, &[b"abc"]), hash(1, &[b"abc"]));
    }

    #[test]
    fn a_stream_begins_with_the_hash_and_goes_on() {
        let mut bytes = [0; 80];
        let mut stream = SecretStream::new(Context::CeremonySecrets, &[b"ab", b"c"]);
        for piece in bytes.chunks_mut(7) {
            stream.fill(piece);
        }
        let hash = derive(Context::CeremonySecrets, &[b"ab", b"c"]);
        assert_eq!(&bytes[..32], hash.as_bytes());
        assert_ne!(bytes[32..64], bytes[..32]);
    }

    #[test]
    fn the_empty_hash_is_the_published_one() {
        // BLAKE3 test vectors, input_len 0.
        assert_eq!(
            empty().as_bytes()[..8],
            [0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6]
        );
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = empty();
        assert_eq!(Hash::from_base64(&hash.to_base64()), Some(hash));
        let mut sloppy = hash.to_base64();
        sloppy.pop();
        assert_eq!(Hash::from_base64(&sloppy), None);
    }
}
