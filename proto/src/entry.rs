//! The bytes of a ledger entry: a public header and its issuer's signature.
//!
//! ```text
//! version      1 byte   1
//! kind         1 byte   Kind
//! issuer      32 bytes  Ed25519 public key
//! request id  16 bytes  version 7 UUID, its time is issued_at
//! issued at    8 bytes  milliseconds since 1970, big-endian like every number here
//! keys         1 byte   n <= 8, then n * 32 bytes: slot keys, or one coverage key
//! hold until   4 bytes  day since 1970; 0 when the kind has none
//! references   1 byte   n <= 8, then n * 8 bytes: leaf indexes
//! commitment   1 byte   0 or 1, then 32 bytes if 1: commitment to the sealed payload
//! statement    2 bytes  length, then the public words of roster, catalogue, grant, revocation
//! signature   64 bytes  over "vitrail entry v1\n" || length of origin (2 bytes) || origin || all of the above
//! ```
//!
//! The log's leaf is `BLAKE3(0x00 || entry)`, signature included. The origin is signed but not
//! carried: an entry of one ledger is no entry of another.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::hash::Hash;
use crate::ids::{Day, IdError, LeafIndex, Origin, RequestId, UnixMillis};
use crate::merkle::{Blake3, TreeHasher as _};
use crate::signed_bytes::signed_message;
use crate::signing::{
    PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, SecretKey, Signature, SigningError,
};

/// The only version there is.
pub const ENTRY_VERSION: u8 = 1;
/// Longest entry. A roster of a hundred members with their shares and signatures fits (35 KB), a
/// call of 64 KiB can carry it, and an entry bundle counts in 16 bits.
pub const ENTRY_BYTES_MAX: usize = 48 * 1024;
/// Most slot keys in an entry: frame, two lenses, adaptation and supplements of one equipment.
pub const KEYS_MAX: usize = 8;
/// Most references in an entry: a catalogue and the coverages of one equipment.
pub const REFERENCES_MAX: usize = 8;
/// Longest public statement: what is left of an entry when every other field is at its largest.
pub const STATEMENT_BYTES_MAX: usize = ENTRY_BYTES_MAX - 512;

/// What is signed starts with this, so that an entry's signature is no other signature.
const SIGNATURE_LABEL: &[u8] = b"vitrail entry v1\n";

/// What an entry does. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Members, keys and thresholds of the federation.
    Roster = 1,
    /// Names a version of the LPP catalogue.
    Catalogue = 2,
    /// Admits a till's key.
    Grant = 3,
    /// Ends a till's admission.
    Revocation = 4,
    /// A payer's commitment to pay for one grouped code.
    Coverage = 5,
    /// Reserves slots on the strength of coverages.
    Claim = 6,
    /// Frees the slots of a claim.
    Release = 7,
    /// Asks every member to delete the payload and salt of an entry.
    Erasure = 8,
    /// Hands over slots of a claim, and invoices them.
    Delivery = 9,
    /// A payer's answer to an invoice.
    Settlement = 10,
    /// Commits to a sealed record of who looked at what.
    Access = 11,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 11] = [
        Self::Roster,
        Self::Catalogue,
        Self::Grant,
        Self::Revocation,
        Self::Coverage,
        Self::Claim,
        Self::Release,
        Self::Erasure,
        Self::Delivery,
        Self::Settlement,
        Self::Access,
    ];

    /// The word for it in logs, metrics and command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Roster => "roster",
            Self::Catalogue => "catalogue",
            Self::Grant => "grant",
            Self::Revocation => "revocation",
            Self::Coverage => "coverage",
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Erasure => "erasure",
            Self::Delivery => "delivery",
            Self::Settlement => "settlement",
            Self::Access => "access",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are not an entry. Nothing of the bytes is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Longer than any entry may be.
    #[error("an entry must be at most {ENTRY_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The bytes end inside a field.
    #[error("the entry ends inside its {field}")]
    Truncated {
        /// The field that is cut.
        field: &'static str,
    },
    /// Bytes are left after the signature.
    #[error("{extra} bytes are left after the entry's signature")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// A version this program does not know.
    #[error("entry version {got} is not {ENTRY_VERSION}")]
    Version {
        /// The version found.
        got: u8,
    },
    /// A kind this program does not know.
    #[error("there is no entry kind {got}")]
    Kind {
        /// The number found.
        got: u8,
    },
    /// A count above its limit.
    #[error("{field} has {got} items, the limit is {max}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Items found.
        got: usize,
        /// Items allowed.
        max: usize,
    },
    /// A flag that is neither 0 nor 1.
    #[error("the commitment flag must be 0 or 1")]
    Flag,
    /// The issuer is not a usable key.
    #[error("issuer: {0}")]
    Issuer(SigningError),
    /// The request id is not a version 7 UUID.
    #[error("request_id: {0}")]
    RequestId(#[from] IdError),
    /// The request id names another moment than `issued_at`.
    #[error("request_id must carry the time of issued_at")]
    RequestTime,
    /// The signature was not made by the issuer over these bytes and this origin.
    #[error("signature: {0}")]
    Signature(SigningError),
}

/// The signed public content of an entry, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What the entry does.
    pub kind: Kind,
    /// Who signed it.
    pub issuer: PublicKey,
    /// What makes a retry safe.
    pub request_id: RequestId,
    /// When it was signed, by the issuer's clock.
    pub issued_at: UnixMillis,
    /// Slot keys, or one coverage key.
    pub keys: Vec<[u8; 32]>,
    /// Until when slots are held or a coverage is valid.
    pub hold_until: Option<Day>,
    /// Earlier entries that this one rests on.
    pub references: Vec<LeafIndex>,
    /// The commitment to the sealed payload.
    pub commitment: Option<Hash>,
    /// The public words of the kinds that have any.
    pub statement: Vec<u8>,
}

/// A well-formed entry. Its signature has not been checked: see [`Entry::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    header: Header,
    signature: Signature,
    bytes: Box<[u8]>,
    leaf: Hash,
}

/// An entry whose issuer's signature was checked for one origin. There is no other way to one.
/// Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry(Arc<Entry>);

/// The keys of those who issued the entries that were read before: most of a batch or a page comes
/// from a few issuers.
#[derive(Debug, Default)]
pub struct Issuers(BTreeMap<[u8; PUBLIC_KEY_BYTES], PublicKey>);

impl Issuers {
    fn key(&mut self, bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<PublicKey, SigningError> {
        if let Some(known) = self.0.get(bytes) {
            return Ok(*known);
        }
        let key = PublicKey::from_bytes(bytes)?;
        self.0.insert(*bytes, key);
        Ok(key)
    }
}

impl Entry {
    /// Signs a header for one ledger.
    ///
    /// # Errors
    /// The limit that the header breaks, [`EntryError::RequestTime`], or [`EntryError::Signature`]
    /// when the secret is not the issuer's.
    pub fn sign(
        header: &Header,
        origin: &Origin,
        secret: &SecretKey,
    ) -> Result<VerifiedEntry, EntryError> {
        if header.issuer != secret.public() {
            return Err(EntryError::Signature(SigningError::Signature));
        }
        let mut bytes = header.to_bytes();
        let signature = secret.sign(&signed_message(SIGNATURE_LABEL, origin, &bytes));
        bytes.extend_from_slice(signature.as_bytes());
        // Parsing our own bytes back applies every limit there is, once.
        Self::parse_from(&bytes, &header.issuer).map(|entry| VerifiedEntry(Arc::new(entry)))
    }

    /// Reads an entry; exactly one byte string spells each entry.
    ///
    /// # Errors
    /// The first field that is cut, above its limit or not of its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        Self::parse_with(bytes, PublicKey::from_bytes)
    }

    /// Reads an entry that the owner of `sender` handed over, most often its issuer: then the
    /// point of the key, a tenth of what the entry costs, is not computed a second time.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and the same entries are read.
    pub fn parse_from(bytes: &[u8], sender: &PublicKey) -> Result<Self, EntryError> {
        Self::parse_with(bytes, |issuer| match sender.to_bytes() == *issuer {
            true => Ok(*sender),
            false => PublicKey::from_bytes(issuer),
        })
    }

    /// Reads one of many entries: the point of each issuer's key is computed once.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and the same entries are read.
    pub fn parse_among(bytes: &[u8], issuers: &mut Issuers) -> Result<Self, EntryError> {
        Self::parse_with(bytes, |issuer| issuers.key(issuer))
    }

    fn parse_with(
        bytes: &[u8],
        read_key: impl FnOnce(&[u8; PUBLIC_KEY_BYTES]) -> Result<PublicKey, SigningError>,
    ) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong { got: bytes.len() });
        }
        let mut reader = Reader(bytes);
        let header = Header::read(&mut reader, read_key)?;
        let signature = Signature::from_bytes(reader.array("signature")?);
        match reader.0.len() {
            0 => Ok(Self {
                header,
                signature,
                bytes: bytes.into(),
                leaf: Blake3::leaf(bytes),
            }),
            extra => Err(EntryError::TrailingBytes { extra }),
        }
    }

    /// What the entry says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All its bytes, signature included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its leaf in the log: `BLAKE3(0x00 || entry)`.
    #[must_use]
    pub const fn leaf_hash(&self) -> Hash {
        self.leaf
    }

    /// Checks the issuer's signature, strictly, for this ledger.
    ///
    /// # Errors
    /// [`EntryError::Signature`] when the issuer did not sign these bytes for this origin.
    pub fn verify(self, origin: &Origin) -> Result<VerifiedEntry, EntryError> {
        let signed = &self.bytes[..self.bytes.len() - SIGNATURE_BYTES];
        self.header
            .issuer
            .verify(
                &signed_message(SIGNATURE_LABEL, origin, signed),
                &self.signature,
            )
            .map_err(EntryError::Signature)?;
        Ok(VerifiedEntry(Arc::new(self)))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Entry({}, {} bytes)",
            self.header.kind.as_str(),
            self.bytes.len()
        )
    }
}

impl VerifiedEntry {
    /// The entry itself.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        Arc::unwrap_or_clone(self.0)
    }

    /// The entry itself, shared with this and its clones.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Entry> {
        &self.0
    }
}

impl std::ops::Deref for VerifiedEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Header {
    /// The bytes that are signed, after label and origin. Counts beyond their field's width are
    /// cut here and then refused by [`Entry::parse`], through which every entry passes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256 + self.statement.len());
        bytes.extend_from_slice(&[ENTRY_VERSION, self.kind as u8]);
        bytes.extend_from_slice(&self.issuer.to_bytes());
        bytes.extend_from_slice(self.request_id.as_bytes());
        bytes.extend_from_slice(&self.issued_at.get().to_be_bytes());
        bytes.push(u8::try_from(self.keys.len()).unwrap_or(u8::MAX));
        bytes.extend(self.keys.iter().flatten());
        bytes.extend_from_slice(&self.hold_until.map_or(0, Day::get).to_be_bytes());
        bytes.push(u8::try_from(self.references.len()).unwrap_or(u8::MAX));
        bytes.extend(
            self.references
                .iter()
                .flat_map(|leaf| leaf.get().to_be_bytes()),
        );
        bytes.push(u8::from(self.commitment.is_some()));
        bytes.extend(self.commitment.iter().flat_map(|hash| *hash.as_bytes()));
        let length = u16::try_from(self.statement.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.statement);
        bytes
    }

    fn read(
        reader: &mut Reader<'_>,
        read_key: impl FnOnce(&[u8; PUBLIC_KEY_BYTES]) -> Result<PublicKey, SigningError>,
    ) -> Result<Self, EntryError> {
        let [version, kind] = reader.array("version and kind")?;
        if version != ENTRY_VERSION {
            return Err(EntryError::Version { got: version });
        }
        let header = Self {
            kind: Kind::from_byte(kind).ok_or(EntryError::Kind { got: kind })?,
            issuer: read_key(&reader.array("issuer")?).map_err(EntryError::Issuer)?,
            request_id: RequestId::from_bytes(reader.array("request_id")?)?,
            issued_at: UnixMillis::new(u64::from_be_bytes(reader.array("issued_at")?)),
            keys: reader.list("keys", KEYS_MAX)?,
            hold_until: match u32::from_be_bytes(reader.array("hold_until")?) {
                0 => None,
                day => Some(Day::new(day)),
            },
            references: reader
                .list("references", REFERENCES_MAX)?
                .into_iter()
                .map(|bytes| LeafIndex::new(u64::from_be_bytes(bytes)))
                .collect(),
            commitment: match reader.array("commitment")? {
                [0] => None,
                [1] => Some(Hash::from_bytes(reader.array("commitment")?)),
                _ => return Err(EntryError::Flag),
            },
            statement: reader.statement()?,
        };
        let same_time = header.request_id.at() == header.issued_at;
        same_time.then_some(header).ok_or(EntryError::RequestTime)
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], EntryError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(EntryError::Truncated { field })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EntryError> {
        let taken = self.take(N, field)?;
        taken
            .try_into()
            .map_err(|_| EntryError::Truncated { field })
    }

    fn list<const N: usize>(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<Vec<[u8; N]>, EntryError> {
        let [count] = self.array(field)?;
        let got = usize::from(count);
        if got > max {
            return Err(EntryError::TooMany { field, got, max });
        }
        (0..got).map(|_| self.array(field)).collect()
    }

    fn statement(&mut self) -> Result<Vec<u8>, EntryError> {
        let field = "statement";
        let got = usize::from(u16::from_be_bytes(self.array(field)?));
        if got > STATEMENT_BYTES_MAX {
            return Err(EntryError::TooMany {
                field,
                got,
                max: STATEMENT_BYTES_MAX,
            });
        }
        Ok(self.take(got, field)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin() -> Origin {
        "vitrail.test/optique".parse().unwrap()
    }

    fn secret() -> SecretKey {
        SecretKey::from_seed(&[7; 32])
    }

    fn claim(keys: usize, references: usize, statement: usize) -> Header {
        let issued_at = UnixMillis::new(1_768_000_000_000);
        Header {
            kind: Kind::Claim,
            issuer: secret().public(),
            request_id: RequestId::new(issued_at, [9; 10]),
            issued_at,
            keys: vec![[3; 32]; keys],
            hold_until: Some(Day::new(20_500)),
            references: (0..references as u64).map(LeafIndex::new).collect(),
            commitment: Some(Hash::from_bytes([5; 32])),
            statement: vec![1; statement],
        }
    }

    #[test]
    fn what_was_signed_reads_back_and_verifies() {
        let entry = Entry::sign(&claim(3, 4, 0), &origin(), &secret()).unwrap();
        let read = Entry::parse(entry.bytes()).unwrap();
        assert_eq!(read.header(), &claim(3, 4, 0));
        assert_eq!(read.verify(&origin()).unwrap(), entry);
    }

    #[test]
    fn who_hands_an_entry_over_makes_no_difference_to_it() {
        let entry = Entry::sign(&claim(1, 1, 0), &origin(), &secret()).unwrap();
        let other = SecretKey::from_seed(&[8; 32]).public();
        for sender in [secret().public(), other] {
            let read = Entry::parse_from(entry.bytes(), &sender).unwrap();
            assert_eq!(read, *entry);
        }
        let mut broken = entry.bytes().to_vec();
        broken[2..34].copy_from_slice(&[0; 32]); // of low order
        assert!(matches!(
            Entry::parse_from(&broken, &other),
            Err(EntryError::Issuer(_))
        ));
    }

    #[test]
    fn an_entry_of_one_ledger_is_refused_by_another() {
        let entry = Entry::sign(&claim(1, 1, 0), &origin(), &secret())
            .unwrap()
            .into_entry();
        let other: Origin = "vitrail.test/audio".parse().unwrap();
        assert!(matches!(
            entry.verify(&other),
            Err(EntryError::Signature(_))
        ));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let entry = Entry::sign(&claim(2, 2, 3), &origin(), &secret()).unwrap();
        for position in 0..entry.bytes().len() {
            for bit in 0..8 {
                let mut bytes = entry.bytes().to_vec();
                bytes[position] ^= 1 << bit;
                let refused = Entry::parse(&bytes).and_then(|e| e.verify(&origin()));
                assert!(refused.is_err(), "byte {position} bit {bit}");
            }
        }
    }

    #[test]
    fn every_cut_is_refused_and_so_is_every_addition() {
        let entry = Entry::sign(&claim(2, 2, 3), &origin(), &secret()).unwrap();
        for length in 0..entry.bytes().len() {
            assert!(Entry::parse(&entry.bytes()[..length]).is_err(), "{length}");
        }
        let longer = [entry.bytes(), &[0]].concat();
        assert_eq!(
            Entry::parse(&longer),
            Err(EntryError::TrailingBytes { extra: 1 })
        );
    }

    #[test]
    fn a_header_over_a_limit_is_not_signed() {
        let sign = |header: &Header| Entry::sign(header, &origin(), &secret()).map(|_| ());
        let many = |field, got, max| Err(EntryError::TooMany { field, got, max });
        assert_eq!(sign(&claim(9, 0, 0)), many("keys", 9, KEYS_MAX));
        assert_eq!(sign(&claim(0, 9, 0)), many("references", 9, REFERENCES_MAX));
        let got = STATEMENT_BYTES_MAX + 1;
        assert_eq!(
            sign(&claim(0, 0, got)),
            many("statement", got, STATEMENT_BYTES_MAX)
        );
        assert!(sign(&claim(KEYS_MAX, REFERENCES_MAX, STATEMENT_BYTES_MAX)).is_ok());
    }

    #[test]
    fn nobody_signs_for_another_issuer() {
        let other = SecretKey::from_seed(&[8; 32]);
        let signed = Entry::sign(&claim(1, 1, 0), &origin(), &other);
        assert!(matches!(signed, Err(EntryError::Signature(_))));
    }

    #[test]
    fn entries_of_known_issuers_read_as_any_others() {
        let mut issuers = Issuers::default();
        for seed in [1, 2, 1, 2] {
            let secret = SecretKey::from_seed(&[seed; 32]);
            let mut header = claim(1, 1, 0);
            header.issuer = secret.public();
            let entry = Entry::sign(&header, &origin(), &secret).unwrap();
            let mut bytes = entry.bytes().to_vec();
            let read = Entry::parse_among(&bytes, &mut issuers).unwrap();
            assert_eq!(Ok(&read), Entry::parse(&bytes).as_ref());
            assert!(read.verify(&origin()).is_ok());
            let last = bytes.last_mut().unwrap();
            *last ^= 1;
            let forged = Entry::parse_among(&bytes, &mut issuers).unwrap();
            assert!(forged.verify(&origin()).is_err());
        }
        assert_eq!(issuers.0.len(), 2);
    }

    #[test]
    fn a_request_id_of_another_moment_is_refused() {
        let mut header = claim(1, 1, 0);
        header.issued_at = UnixMillis::new(header.issued_at.get() + 1);
        assert_eq!(
            Entry::sign(&header, &origin(), &secret()).map(|_| ()),
            Err(EntryError::RequestTime)
        );
    }

    #[test]
    fn the_format_has_not_moved() {
        let entry = Entry::sign(&claim(1, 1, 0), &origin(), &secret()).unwrap();
        assert_eq!(
            entry.leaf_hash().to_base64(),
            "Lim6r8YqGNCu4dMazuBxX1ewIYeGHzt4Z2/bR9EhVxw="
        );
    }

    proptest! {
        #[test]
        fn parse_of_format_is_identity(keys in 0..=KEYS_MAX, refs in 0..=REFERENCES_MAX, words in 0usize..600) {
            let entry = Entry::sign(&claim(keys, refs, words), &origin(), &secret()).unwrap();
            let read = Entry::parse(entry.bytes()).unwrap();
            prop_assert_eq!(read.bytes(), entry.bytes());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Entry::parse(&bytes);
        }
    }
}
