//! Sealed payloads: what an entry says to its payers, and to nobody else.
//!
//! A payload has one part for each payer, sealed under that payer's contract. The entry holds
//! only a commitment. The sealed parts and the salt lie beside the log and can be erased; once
//! the salt is gone, not even a holder of the token can open or recognise what was committed to.

mod key;
mod record;

use std::fmt;

use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::key::SealKey;
use self::record::{RECORD_MARK, SealedRecord};
pub use self::record::{
    RECORD_PADDED_BYTES, RECORD_PLAINTEXT_BYTES_MAX, RECORD_RANDOM_BYTES, SEALED_RECORD_BYTES_MAX,
    SealRecordError, seal_record,
};
use crate::hash::{Context, HASH_BYTES, Hash, derive};
use crate::incident::IncidentSecretKey;
use crate::roster::INCIDENT_KEYS_MAX;
use crate::token::{SealingSecret, secret_bytes};

/// Most parts of a payload: the mandatory insurer and two complementary ones.
pub const PARTS_MAX: usize = 3;

/// The lengths that a plaintext is padded to. Three sizes are all that a payload tells about its
/// content to whoever stores it.
pub const PADDED_BYTES: [usize; 3] = [512, 1024, 2048];

/// Longest plaintext of a part: what the largest padding holds behind its length prefix.
pub const PART_PLAINTEXT_BYTES_MAX: usize = PADDED_BYTES[2] - LENGTH_BYTES;

/// Longest encoded payload: a count, then for each part its length and its bytes.
pub const SEALED_PAYLOAD_BYTES_MAX: usize =
    1 + PARTS_MAX * (LENGTH_BYTES + HASH_BYTES + PADDED_BYTES[2] + TAG_BYTES);

/// Length of a length, of a plaintext as of a part.
const LENGTH_BYTES: usize = 2;

/// What ChaCha20-Poly1305 adds to a plaintext (RFC 8439, 2.8).
const TAG_BYTES: usize = 16;

secret_bytes! {
    /// 32 random bytes of one payload, never used for a second one. They key the sealing and hide
    /// the commitment; a node hands them out only after it has recorded to whom.
    Salt
}

secret_bytes! {
    /// 32 random bytes that hide one individual LPP code. They travel inside the part of the one
    /// payer that may know the code. A payload's [`Salt`] would not do: every payer gets that one,
    /// and there are only ten thousand codes to try.
    LppCodeSalt
}

/// Declares a commitment: public, and it says nothing without its salt.
macro_rules! commitment {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Hash);

        impl $name {
            /// The commitment with this hash.
            #[must_use]
            pub const fn from_hash(hash: Hash) -> Self {
                Self(hash)
            }

            /// Its hash.
            #[must_use]
            pub const fn as_hash(&self) -> &Hash {
                &self.0
            }
        }
    };
}

commitment! {
    /// What an entry holds of its payload. It binds every byte of every part.
    PayloadCommitment
}
commitment! {
    /// What stands for an individual LPP code where only its grouped code may be known.
    LppCodeCommitment
}

impl LppCodeCommitment {
    /// Commits to a code.
    #[must_use]
    pub fn new(code: &str, salt: &LppCodeSalt) -> Self {
        let parts: [&[u8]; 2] = [salt.as_bytes(), code.as_bytes()];
        Self(derive(Context::LppCodeCommitment, &parts))
    }

    /// Whether it was made for this code with this salt.
    #[must_use]
    pub fn opens_to(&self, code: &str, salt: &LppCodeSalt) -> bool {
        *self == Self::new(code, salt)
    }
}

/// Why a payload cannot be sealed. No variant carries the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The payload has no part, or too many.
    #[error("a payload has {got} parts, not 1 to {PARTS_MAX}")]
    PartCount {
        /// How many it has.
        got: usize,
    },
    /// A plaintext does not fit the largest padding.
    #[error("part {part} is {got} bytes, more than {PART_PLAINTEXT_BYTES_MAX}")]
    PartTooLong {
        /// The place of the part, counted from 0.
        part: usize,
        /// Its length.
        got: usize,
    },
    /// Two parts are for one contract: its seal key would be used twice, which breaks both.
    #[error("part {part} is for the contract of an earlier part")]
    RepeatedContract {
        /// The place of the later part, counted from 0.
        part: usize,
    },
}

/// Why a payload cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Payload and salt are not what the entry committed to.
    #[error("the payload and its salt are not what the entry committed to")]
    OtherCommitment,
    /// No part is for this contract.
    #[error("no part of the payload is for this contract")]
    NotForThisContract,
    /// The payload has no such part, or it is sealed under another key.
    #[error("the payload has no part {part} that is sealed under this key")]
    NotThisKey {
        /// The place of the part, counted from 0.
        part: usize,
    },
    /// The record was not sealed to this incident key, or this payload is no record.
    #[error("the record is not sealed to this incident key")]
    NotForThisKey,
    /// The part does not decrypt: its issuer committed to something that nobody can open.
    #[error("the part does not decrypt (RFC 8439, 2.8)")]
    Undecryptable,
    /// The plaintext is not padded the one way.
    #[error("the part is not padded with zeros to the smallest size that holds it")]
    Padding,
}

/// Why bytes are not a sealed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The number of parts is out of range.
    #[error("a payload has {got} parts, not 1 to {PARTS_MAX}")]
    PartCount {
        /// How many it says it has.
        got: u8,
    },
    /// The number of envelopes of a record is out of range.
    #[error("a record has {got} envelopes, not 1 to {INCIDENT_KEYS_MAX}")]
    EnvelopeCount {
        /// How many it says it has.
        got: u8,
    },
    /// A part has a length that no padding gives.
    #[error("a sealed part of {got} bytes has none of the three lengths")]
    PartLength {
        /// Its length.
        got: usize,
    },
    /// The bytes end within a part.
    #[error("the payload ends early")]
    Truncated,
    /// Bytes follow the last part.
    #[error("{got} bytes follow the last part")]
    TrailingBytes {
        /// How many.
        got: usize,
    },
}

/// One part: `key check || ciphertext || tag`.
#[derive(Clone, PartialEq, Eq)]
struct SealedPart(Vec<u8>);

impl SealedPart {
    /// The ciphertext, if the part's check fits the key.
    fn ciphertext_for(&self, seal_key: &SealKey) -> Option<&[u8]> {
        let (check, ciphertext) = self.0.split_at_checked(HASH_BYTES)?;
        let fits: bool = check.ct_eq(seal_key.check().as_bytes()).into();
        fits.then_some(ciphertext)
    }
}

/// A sealed payload: what lies beside the log. It can be stored by anyone.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedPayload {
    /// In the order in which they were sealed; none in a record.
    parts: Vec<SealedPart>,
    /// Instead of parts, when it is the record of an access entry.
    record: Option<Box<SealedRecord>>,
}

/// The plaintext of one part. It cannot be printed, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened(Zeroizing<Vec<u8>>);

impl Opened {
    /// The bytes that were sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(<secret>)")
    }
}

/// Seals one plaintext for each contract. `salt` is 32 fresh random bytes, for this payload only:
/// a second payload of one contract under one salt would reuse a key.
///
/// # Errors
/// [`SealError`], see its variants.
pub fn seal(parts: &[(&SealingSecret, &[u8])], salt: &Salt) -> Result<SealedPayload, SealError> {
    if !(1..=PARTS_MAX).contains(&parts.len()) {
        return Err(SealError::PartCount { got: parts.len() });
    }
    let mut sealed = SealedPayload {
        parts: Vec::new(),
        record: None,
    };
    for (part, (secret, plaintext)) in parts.iter().enumerate() {
        let got = plaintext.len();
        let too_long = SealError::PartTooLong { part, got };
        let seal_key = SealKey::new(secret, salt);
        if sealed.part_for(&seal_key).is_some() {
            return Err(SealError::RepeatedContract { part });
        }
        let padded = pad_to(&PADDED_BYTES, plaintext).ok_or(too_long)?;
        sealed.parts.push(seal_key.seal(&padded).ok_or(too_long)?);
    }
    Ok(sealed)
}

impl SealedPayload {
    fn of_record(record: SealedRecord) -> Self {
        Self {
            parts: Vec::new(),
            record: Some(Box::new(record)),
        }
    }

    /// What the entry commits to. The salt hides it (32 random bytes); each part holds the check
    /// of its key, so no second key opens it to something else.
    #[must_use]
    pub fn commitment(&self, salt: &Salt) -> PayloadCommitment {
        if let Some(record) = &self.record {
            return record.commitment(salt);
        }
        let mut parts: Vec<&[u8]> = vec![salt.as_bytes()];
        parts.extend(self.parts.iter().map(|part| part.0.as_slice()));
        PayloadCommitment(derive(Context::PayloadCommitment, &parts))
    }

    /// Opens the part for one contract, after checking that this is the payload of the entry.
    ///
    /// # Errors
    /// [`OpenError`], see its variants.
    pub fn open(
        &self,
        secret: &SealingSecret,
        salt: &Salt,
        commitment: &PayloadCommitment,
    ) -> Result<Opened, OpenError> {
        if self.commitment(salt) != *commitment {
            return Err(OpenError::OtherCommitment);
        }
        let seal_key = SealKey::new(secret, salt);
        let ciphertext = self
            .part_for(&seal_key)
            .ok_or(OpenError::NotForThisContract)?;
        let padded = seal_key.open(ciphertext).ok_or(OpenError::Undecryptable)?;
        unpad_from(&PADDED_BYTES, &padded)
            .map(Opened)
            .ok_or(OpenError::Padding)
    }

    /// Opens the record of an access entry, after checking that it is the one of the entry.
    ///
    /// # Errors
    /// [`OpenError`], see its variants.
    pub fn open_record(
        &self,
        key: &IncidentSecretKey,
        salt: &Salt,
        commitment: &PayloadCommitment,
    ) -> Result<Opened, OpenError> {
        if self.commitment(salt) != *commitment {
            return Err(OpenError::OtherCommitment);
        }
        let record = self.record.as_ref().ok_or(OpenError::NotForThisKey)?;
        record.open(key, salt)
    }

    /// The ciphertext of the part whose check fits the key.
    fn part_for(&self, seal_key: &SealKey) -> Option<&[u8]> {
        self.parts
            .iter()
            .find_map(|part| part.ciphertext_for(seal_key))
    }

    /// Whether it is the record of an access entry.
    #[must_use]
    pub const fn is_record(&self) -> bool {
        self.record.is_some()
    }

    /// How many parts it has.
    #[must_use]
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// The count of parts as one byte, then each part behind its length, 2 bytes big-endian; for a
    /// record what its module says.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if let Some(record) = &self.record {
            return record.to_bytes();
        }
        // At most three parts of at most 2096 bytes: the low bytes are the whole number.
        let mut bytes = vec![self.parts.len().to_le_bytes()[0]];
        for SealedPart(part) in &self.parts {
            let [low, high, ..] = part.len().to_le_bytes();
            bytes.extend([high, low]);
            bytes.extend(part);
        }
        bytes
    }

    /// How many bytes [`Self::to_bytes`] writes.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        match &self.record {
            Some(record) => record.to_bytes().len(),
            None => {
                1 + self
                    .parts
                    .iter()
                    .map(|part| 2 + part.0.len())
                    .sum::<usize>()
            }
        }
    }

    /// Reads exactly what [`Self::to_bytes`] writes.
    ///
    /// # Errors
    /// [`DecodeError`], see its variants.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&count, mut rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        if count == RECORD_MARK {
            return SealedRecord::from_bytes(rest).map(Self::of_record);
        }
        if !(1..=PARTS_MAX).contains(&usize::from(count)) {
            return Err(DecodeError::PartCount { got: count });
        }
        let mut parts = Vec::new();
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let sized = |padded| HASH_BYTES + padded + TAG_BYTES == length;
            if !PADDED_BYTES.into_iter().any(sized) {
                return Err(DecodeError::PartLength { got: length });
            }
            let (part, after) = after
                .split_at_checked(length)
                .ok_or(DecodeError::Truncated)?;
            parts.push(SealedPart(part.to_vec()));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(DecodeError::TrailingBytes { got: rest.len() });
        }
        Ok(Self {
            parts,
            record: None,
        })
    }
}

impl fmt::Debug for SealedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_record() {
            true => f.write_str("SealedPayload(record)"),
            false => write!(f, "SealedPayload({} parts)", self.parts.len()),
        }
    }
}

/// The smallest of these sizes that holds a plaintext of this length behind its length prefix.
fn padded_size(sizes: &[usize], length: usize) -> Option<usize> {
    sizes.iter().copied().find(|size| {
        length
            .checked_add(LENGTH_BYTES)
            .is_some_and(|it| it <= *size)
    })
}

/// `length (2 bytes big-endian) || plaintext || zeros`; `None` above the largest size.
fn pad_to(sizes: &[usize], plaintext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let size = padded_size(sizes, plaintext.len())?;
    let length = u16::try_from(plaintext.len()).ok()?;
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend(length.to_be_bytes());
    padded.extend(plaintext);
    padded.resize(size, 0);
    Some(padded)
}

/// Takes the padding off; `None` unless it is exactly what [`pad_to`] makes.
fn unpad_from(sizes: &[usize], padded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (length, rest) = padded.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (plaintext, zeros) = rest.split_at_checked(length)?;
    let exact =
        padded_size(sizes, length) == Some(padded.len()) && zeros.iter().all(|byte| *byte == 0);
    exact.then(|| Zeroizing::new(plaintext.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMO: SealingSecret = SealingSecret::from_bytes([1; 32]);
    const AMC: SealingSecret = SealingSecret::from_bytes([2; 32]);
    const OTHER: SealingSecret = SealingSecret::from_bytes([3; 32]);
    const SALT: Salt = Salt::from_bytes([9; 32]);

    fn payload() -> SealedPayload {
        seal(&[(&AMO, b"for the AMO"), (&AMC, &[7; 600])], &SALT).unwrap()
    }

    /// Opens a payload under a commitment made for it, as if its issuer had meant it so.
    fn open(payload: &SealedPayload, secret: &SealingSecret) -> Result<Vec<u8>, OpenError> {
        let opened = payload.open(secret, &SALT, &payload.commitment(&SALT))?;
        Ok(opened.as_bytes().to_vec())
    }

    #[test]
    fn each_payer_opens_its_own_part() {
        assert_eq!(open(&payload(), &AMO).unwrap(), b"for the AMO");
        assert_eq!(open(&payload(), &AMC).unwrap(), [7; 600]);
    }

    #[test]
    fn sealed_bytes_and_commitment_never_change() {
        let bytes = payload().to_bytes();
        let hash = blake3::hash(&bytes);
        assert_eq!(
            hex::encode(hash.as_bytes()),
            "74e9e7dc14870928ca610be82c69196963261216de937a1cb7bda5d3d721d1ae"
        );
        let commitment = payload().commitment(&SALT);
        assert_eq!(
            hex::encode(commitment.as_hash().as_bytes()),
            "b85dbc529486ab38b5864bbf2619c34b151911514d19d784bc9d2dc27b75ade8"
        );
        let code = LppCodeCommitment::new("2223342", &LppCodeSalt::from_bytes([4; 32]));
        assert_eq!(
            hex::encode(code.as_hash().as_bytes()),
            "9ae9dfb47f0422809626c59560395b22acf877a9a5aa7fa067959e77dddab2fe"
        );
    }

    #[test]
    fn another_contract_opens_nothing() {
        assert_eq!(open(&payload(), &OTHER), Err(OpenError::NotForThisContract));
    }

    #[test]
    fn another_salt_is_refused() {
        let salt = Salt::from_bytes([8; 32]);
        let commitment = payload().commitment(&SALT);
        let refused = payload().open(&AMO, &salt, &commitment).err();
        assert_eq!(refused, Some(OpenError::OtherCommitment));
        // Even under a commitment made with that salt, the key check stops it.
        let commitment = payload().commitment(&salt);
        let refused = payload().open(&AMO, &salt, &commitment).err();
        assert_eq!(refused, Some(OpenError::NotForThisContract));
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let commitment = payload().commitment(&SALT);
        let bytes = payload().to_bytes();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let Ok(changed) = SealedPayload::from_bytes(&changed) else {
                continue;
            };
            let refused = changed.open(&AMO, &SALT, &commitment).err();
            assert_eq!(refused, Some(OpenError::OtherCommitment), "{position}");
        }
    }

    #[test]
    fn a_changed_part_is_refused_even_by_its_own_commitment() {
        let length = payload().parts[0].0.len();
        for position in 0..length {
            let mut changed = payload();
            changed.parts[0].0[position] ^= 1;
            let want = if position < HASH_BYTES {
                OpenError::NotForThisContract
            } else {
                OpenError::Undecryptable
            };
            assert_eq!(open(&changed, &AMO), Err(want), "{position}");
        }
    }

    #[test]
    fn parts_do_not_move() {
        let commitment = payload().commitment(&SALT);
        let mut swapped = payload();
        swapped.parts.swap(0, 1);
        let mut cut = payload();
        cut.parts.pop();
        let mut grown = payload();
        grown.parts.push(grown.parts[0].clone());
        for changed in [swapped, cut, grown] {
            let refused = changed.open(&AMO, &SALT, &commitment).err();
            assert_eq!(refused, Some(OpenError::OtherCommitment));
        }
    }

    #[test]
    fn a_part_of_another_payload_does_not_open_here() {
        let salt = Salt::from_bytes([8; 32]);
        let other = seal(&[(&AMO, b"of another claim")], &salt).unwrap();
        let mut mixed = payload();
        mixed.parts[0] = other.parts[0].clone();
        let refused = mixed.open(&AMO, &SALT, &payload().commitment(&SALT)).err();
        assert_eq!(refused, Some(OpenError::OtherCommitment));
        assert_eq!(open(&mixed, &AMO), Err(OpenError::NotForThisContract));
    }

    #[test]
    fn a_part_under_another_key_is_stopped_by_the_check_before_the_cipher() {
        let mut forged = payload();
        // The ciphertext is not touched and would decrypt under the key of the AMO.
        let amc_check = *SealKey::new(&AMC, &SALT).check().as_bytes();
        forged.parts.truncate(1);
        forged.parts[0].0[..HASH_BYTES].copy_from_slice(&amc_check);
        assert_eq!(open(&forged, &AMO), Err(OpenError::NotForThisContract));
        assert_eq!(open(&forged, &AMC), Err(OpenError::Undecryptable));
    }

    #[test]
    fn two_parts_for_one_contract_are_refused() {
        let refused = seal(&[(&AMO, b"a"), (&AMC, b"b"), (&AMO, b"c")], &SALT).err();
        assert_eq!(refused, Some(SealError::RepeatedContract { part: 2 }));
    }

    #[test]
    fn a_payload_has_one_to_three_parts() {
        assert_eq!(seal(&[], &SALT), Err(SealError::PartCount { got: 0 }));
        let secrets = [4, 5, 6, 7].map(|byte| SealingSecret::from_bytes([byte; 32]));
        let parts: Vec<(_, &[u8])> = secrets.iter().map(|it| (it, b"x".as_slice())).collect();
        assert_eq!(seal(&parts, &SALT), Err(SealError::PartCount { got: 4 }));
        assert_eq!(seal(&parts[..3], &SALT).unwrap().part_count(), 3);
    }

    #[test]
    fn only_the_three_sizes_are_ever_seen() {
        let cases = [
            (0, 512),
            (510, 512),
            (511, 1024),
            (1022, 1024),
            (1023, 2048),
            (2046, 2048),
        ];
        for (length, size) in cases {
            let plaintext = vec![5; length];
            let sealed = seal(&[(&AMO, &plaintext)], &SALT).unwrap();
            assert_eq!(sealed.to_bytes().len(), 1 + 2 + 32 + size + 16);
            assert_eq!(open(&sealed, &AMO).unwrap(), plaintext);
        }
        let (part, got) = (0, PART_PLAINTEXT_BYTES_MAX + 1);
        let refused = seal(&[(&AMO, &vec![5; got])], &SALT).err();
        assert_eq!(refused, Some(SealError::PartTooLong { part, got }));
    }

    #[test]
    fn a_padding_of_another_kind_is_refused() {
        let honest = pad_to(&PADDED_BYTES, b"text").unwrap();
        let mut not_zero = honest.clone();
        not_zero[511] = 1;
        let mut too_long = honest.clone();
        too_long[..2].copy_from_slice(&511_u16.to_be_bytes());
        let mut too_large = honest.clone();
        too_large.resize(1024, 0);
        for padded in [not_zero, too_long, too_large] {
            let part = SealKey::new(&AMO, &SALT).seal(&padded).unwrap();
            let sealed = SealedPayload {
                parts: vec![part],
                record: None,
            };
            assert_eq!(open(&sealed, &AMO), Err(OpenError::Padding));
        }
        assert_eq!(unpad_from(&PADDED_BYTES, &[]), None);
    }

    #[test]
    fn the_largest_payload_is_as_long_as_the_limit_says() {
        let full = [0; PART_PLAINTEXT_BYTES_MAX];
        let sealed = seal(&[(&AMO, &full), (&AMC, &full), (&OTHER, &full)], &SALT).unwrap();
        assert_eq!(sealed.to_bytes().len(), SEALED_PAYLOAD_BYTES_MAX);
    }

    #[test]
    fn encodings_that_are_not_exact_are_refused() {
        let bytes = payload().to_bytes();
        let read = SealedPayload::from_bytes;
        assert_eq!(read(&bytes), Ok(payload()));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Err(DecodeError::Truncated));
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(read(&longer), Err(DecodeError::TrailingBytes { got: 1 }));
        for got in [4, 255] {
            let mut counted = bytes.clone();
            counted[0] = got;
            assert_eq!(read(&counted), Err(DecodeError::PartCount { got }));
        }
        let mut resized = bytes;
        resized[2] ^= 1;
        assert_eq!(read(&resized), Err(DecodeError::PartLength { got: 561 }));
    }

    #[test]
    fn a_code_commitment_opens_to_its_code_and_salt_only() {
        let salt = LppCodeSalt::from_bytes([4; 32]);
        let commitment = LppCodeCommitment::new("2223342", &salt);
        assert!(commitment.opens_to("2223342", &salt));
        assert!(!commitment.opens_to("2223343", &salt));
        assert!(!commitment.opens_to("2223342", &LppCodeSalt::from_bytes([5; 32])));
    }

    #[test]
    fn debug_shows_no_byte_of_what_is_sealed() {
        assert_eq!(format!("{SALT:?}"), "Salt(<secret>)");
        let commitment = payload().commitment(&SALT);
        let opened = payload().open(&AMO, &SALT, &commitment).unwrap();
        assert_eq!(format!("{opened:?}"), "Opened(<secret>)");
        assert_eq!(format!("{:?}", payload()), "SealedPayload(2 parts)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_plaintext_comes_back(plaintext in prop::collection::vec(any::<u8>(), 0..=2046)) {
            let sealed = seal(&[(&AMC, &plaintext)], &SALT).unwrap();
            let read = SealedPayload::from_bytes(&sealed.to_bytes()).unwrap();
            prop_assert_eq!(open(&read, &AMC).unwrap(), plaintext);
        }

        #[test]
        fn what_reads_as_a_payload_writes_the_same_bytes(
            count in 0..5_u8,
            lengths in prop::collection::vec(prop::sample::select(&[560_u16, 1072, 2096, 7][..]), 0..4),
            fill: u8,
            tail in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let mut bytes = vec![count];
            for length in lengths {
                bytes.extend(length.to_be_bytes());
                bytes.resize(bytes.len() + usize::from(length), fill);
            }
            bytes.extend(tail);
            if let Ok(payload) = SealedPayload::from_bytes(&bytes) {
                prop_assert_eq!(payload.to_bytes(), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            if let Ok(payload) = SealedPayload::from_bytes(&bytes) {
                prop_assert_eq!(payload.to_bytes(), bytes);
            }
        }
    }
}
