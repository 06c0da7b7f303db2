//! Sealed access records: one ciphertext, and its secret in one envelope for each incident key.
//!
//! ```text
//! 0            1 byte    where the payload of a coverage or claim has its number of parts
//! envelopes    1 byte    n, 1 to 16, then n * 80 bytes: enc (32) || ct (48), RFC 9180
//! part         the rest  key check (32) || ciphertext || tag (16)
//! ```
//!
//! The secret is drawn for one record; part and padding are those of a payload, in larger sizes.

use super::{
    DecodeError, LENGTH_BYTES, OpenError, Opened, Salt, SealKey, SealedPart, SealedPayload,
    TAG_BYTES, pad_to, unpad_from,
};
use crate::hash::{Context, HASH_BYTES, derive};
use crate::incident::{ENVELOPE_BYTES, IncidentPublicKey, IncidentSecretKey};
use crate::roster::INCIDENT_KEYS_MAX;
use crate::seal::PayloadCommitment;
use crate::token::SealingSecret;
use thiserror::Error;
use zeroize::Zeroizing;

/// The lengths that a record is padded to: a few looks, dozens, hundreds. Nothing else of its
/// length is seen.
pub const RECORD_PADDED_BYTES: [usize; 3] = [1024, 4096, 16_384];
/// Longest record before it is sealed.
pub const RECORD_PLAINTEXT_BYTES_MAX: usize = RECORD_PADDED_BYTES[2] - LENGTH_BYTES;
/// Longest sealed record.
pub const SEALED_RECORD_BYTES_MAX: usize =
    2 + INCIDENT_KEYS_MAX * ENVELOPE_BYTES + HASH_BYTES + RECORD_PADDED_BYTES[2] + TAG_BYTES;
/// The first byte of a sealed record: no payload of a coverage or claim has no part.
pub(super) const RECORD_MARK: u8 = 0;
/// Random bytes for each envelope, and for the secret of the record.
pub const RECORD_RANDOM_BYTES: usize = 32;

/// Why a record cannot be sealed. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealRecordError {
    /// There is nobody to seal it to, or too many.
    #[error("a record is sealed to 1 to {INCIDENT_KEYS_MAX} incident keys, got {got}")]
    Recipients {
        /// How many there are.
        got: usize,
    },
    /// It does not fit the largest padding.
    #[error("a record has at most {RECORD_PLAINTEXT_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// A key takes no envelope.
    #[error("nothing can be sealed to one of the incident keys")]
    Key,
}

/// A sealed record.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SealedRecord {
    envelopes: Vec<[u8; ENVELOPE_BYTES]>,
    part: SealedPart,
}

/// Seals a record to every incident key. `salt` is 32 fresh random bytes; `random` gives 32 more at
/// each call.
///
/// # Errors
/// [`SealRecordError`], or what `random` says when it has none.
pub fn seal_record<E: From<SealRecordError>>(
    record: &[u8],
    recipients: &[IncidentPublicKey],
    salt: &Salt,
    mut random: impl FnMut() -> Result<Zeroizing<[u8; RECORD_RANDOM_BYTES]>, E>,
) -> Result<SealedPayload, E> {
    let got = recipients.len();
    if !(1..=INCIDENT_KEYS_MAX).contains(&got) {
        return Err(SealRecordError::Recipients { got }.into());
    }
    let secret = SealingSecret::from_bytes(*random()?);
    let too_long = SealRecordError::TooLong { got: record.len() };
    let padded = pad_to(&RECORD_PADDED_BYTES, record).ok_or(too_long)?;
    let part = SealKey::new(&secret, salt).seal(&padded).ok_or(too_long)?;
    let mut envelopes = Vec::with_capacity(got);
    for recipient in recipients {
        let random = random()?;
        let envelope = recipient.seal(secret.as_bytes(), salt.as_bytes(), &random);
        envelopes.push(envelope.map_err(|_| SealRecordError::Key)?);
    }
    Ok(SealedPayload::of_record(SealedRecord { envelopes, part }))
}

impl SealedRecord {
    pub(super) fn commitment(&self, salt: &Salt) -> PayloadCommitment {
        let bytes = self.to_bytes();
        let parts: [&[u8]; 2] = [salt.as_bytes(), &bytes];
        PayloadCommitment::from_hash(derive(Context::RecordCommitment, &parts))
    }

    /// Opens it with one of the keys that it was sealed to.
    pub(super) fn open(&self, key: &IncidentSecretKey, salt: &Salt) -> Result<Opened, OpenError> {
        let mut secrets = self
            .envelopes
            .iter()
            .filter_map(|envelope| key.open(envelope, salt.as_bytes()).ok());
        let secret = secrets.next().ok_or(OpenError::NotForThisKey)?;
        let seal_key = SealKey::new(&SealingSecret::from_bytes(*secret), salt);
        let ciphertext = self.part.ciphertext_for(&seal_key);
        let padded = ciphertext
            .and_then(|ciphertext| seal_key.open(ciphertext))
            .ok_or(OpenError::Undecryptable)?;
        unpad_from(&RECORD_PADDED_BYTES, &padded)
            .map(Opened)
            .ok_or(OpenError::Padding)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // At most sixteen envelopes: the low byte is the whole number.
        let mut bytes = vec![RECORD_MARK, self.envelopes.len().to_le_bytes()[0]];
        bytes.extend(self.envelopes.iter().flatten());
        bytes.extend(&self.part.0);
        bytes
    }

    /// Reads what follows the mark.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&count, mut rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        if !(1..=INCIDENT_KEYS_MAX).contains(&usize::from(count)) {
            return Err(DecodeError::EnvelopeCount { got: count });
        }
        let mut envelopes = Vec::new();
        for _ in 0..count {
            let (envelope, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
            envelopes.push(*envelope);
            rest = after;
        }
        let sized = |padded| HASH_BYTES + padded + TAG_BYTES == rest.len();
        if !RECORD_PADDED_BYTES.into_iter().any(sized) {
            return Err(DecodeError::PartLength { got: rest.len() });
        }
        let part = SealedPart(rest.to_vec());
        Ok(Self { envelopes, part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt::from_bytes([9; 32]);

    fn key(seed: u8) -> IncidentSecretKey {
        IncidentSecretKey::from_bytes([seed; 32])
    }

    fn sealed(record: &[u8], keys: &[u8]) -> Result<SealedPayload, SealRecordError> {
        let keys: Vec<_> = keys.iter().map(|seed| key(*seed).public()).collect();
        let mut drawn = 0;
        seal_record(record, &keys, &SALT, || {
            drawn += 1;
            Ok(Zeroizing::new([drawn; 32]))
        })
    }

    fn open(payload: &SealedPayload, seed: u8) -> Result<Vec<u8>, OpenError> {
        let opened = payload.open_record(&key(seed), &SALT, &payload.commitment(&SALT))?;
        Ok(opened.as_bytes().to_vec())
    }

    #[test]
    fn every_incident_key_opens_a_record_and_no_other_does() {
        let payload = sealed(b"looks", &[1, 2, 3]).unwrap();
        for seed in 1..=3 {
            assert_eq!(open(&payload, seed).unwrap(), b"looks");
        }
        assert_eq!(open(&payload, 4), Err(OpenError::NotForThisKey));
    }

    #[test]
    fn sealed_bytes_and_commitment_never_change() {
        let payload = sealed(b"looks", &[1, 2]).unwrap();
        let hash = blake3::hash(&payload.to_bytes());
        let commitment = payload.commitment(&SALT);
        assert_eq!(
            [hash.as_bytes(), commitment.as_hash().as_bytes()].map(hex::encode),
            [
                "911676817f0bc0abaae41cc769ee6afe7055949083ab1f570e5e180059224c87",
                "03324bae9cbdb8500f0d1daac2b704b90a41f16d6b985cb45629ae7e0537742c"
            ]
        );
    }

    #[test]
    fn a_record_reads_back_and_a_changed_one_does_not_open() {
        let payload = sealed(&[5; 3000], &[1]).unwrap();
        let bytes = payload.to_bytes();
        assert!(SealedPayload::from_bytes(&bytes) == Ok(payload.clone()));
        let commitment = payload.commitment(&SALT);
        for byte in (1..bytes.len()).step_by(13) {
            let mut changed = bytes.clone();
            changed[byte] ^= 1;
            let opened = SealedPayload::from_bytes(&changed)
                .map(|payload| payload.open_record(&key(1), &SALT, &commitment));
            assert!(!matches!(opened, Ok(Ok(_))), "{byte}");
        }
        // One cut is of a length that another padding gives; the commitment refuses that one.
        let shorter = 2 + ENVELOPE_BYTES + HASH_BYTES + RECORD_PADDED_BYTES[0] + TAG_BYTES;
        for length in (0..bytes.len()).filter(|length| *length != shorter) {
            assert!(
                SealedPayload::from_bytes(&bytes[..length]).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn three_lengths_are_all_that_is_seen() {
        let length = |record: usize| sealed(&vec![1; record], &[1]).unwrap().to_bytes().len();
        assert_eq!(length(1), length(1022));
        assert_eq!(length(1023), length(4094));
        assert_eq!(length(4095), length(RECORD_PLAINTEXT_BYTES_MAX));
        let got = RECORD_PLAINTEXT_BYTES_MAX + 1;
        let refused = sealed(&vec![1; got], &[1]);
        assert_eq!(refused, Err(SealRecordError::TooLong { got }));
    }

    #[test]
    fn a_record_is_sealed_to_somebody_and_not_to_too_many() {
        let refused = |got| Err(SealRecordError::Recipients { got });
        assert_eq!(sealed(b"looks", &[]), refused(0));
        assert_eq!(sealed(b"looks", &[1; 17]), refused(17));
        let longest = sealed(&[1; 16_000], &[1; 16]).unwrap().to_bytes();
        assert_eq!(longest.len(), SEALED_RECORD_BYTES_MAX);
    }

    #[test]
    fn a_record_is_no_payload_of_a_contract() {
        let payload = sealed(b"looks", &[1]).unwrap();
        let secret = SealingSecret::from_bytes([1; 32]);
        let opened = payload.open(&secret, &SALT, &payload.commitment(&SALT));
        assert_eq!(opened, Err(OpenError::NotForThisContract));
    }
}
