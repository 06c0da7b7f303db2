//! What an access record says: who looked, when, at which keys, and what came of it.
//!
//! The record is sealed to the incident keys of the roster. It names pseudorandom keys alone: to
//! learn whose they are takes the tokens, which a payer has of its own members.

use thiserror::Error;

use crate::ids::{CoverageKey, SlotKey, UnixMillis};
use crate::refusal::Reason;
use crate::seal::RECORD_PLAINTEXT_BYTES_MAX;
use crate::signing::{PUBLIC_KEY_BYTES, PublicKey};

/// Most keys of one look, of both kinds together: as many as a lookup may ask for.
pub const LOOK_KEYS_MAX: usize = 32;
/// Most looks in a record: what the largest padding holds when each names no key at all.
pub const RECORD_LOOKS_MAX: usize =
    (RECORD_PLAINTEXT_BYTES_MAX - RECORD_HEAD_BYTES) / LOOK_HEAD_BYTES;

const VERSION: u8 = 1;
/// Version and count.
const RECORD_HEAD_BYTES: usize = 1 + 2;
/// Key, moment, outcome and two counts.
const LOOK_HEAD_BYTES: usize = PUBLIC_KEY_BYTES + 8 + 1 + 1 + 1;
const KEY_BYTES: usize = 32;
/// The outcome of a look that was admitted and answered.
const ANSWERED: u8 = 0;
/// The outcome of a look that the node could not answer. No reason has this number.
const FAILED: u8 = u8::MAX;

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookOutcome {
    /// It was answered: whoever asked knows the states, and has the payloads of the coverages.
    Answered,
    /// It was refused, and nothing was handed out.
    Refused(Reason),
    /// The node could not read what was asked for, and handed nothing out.
    Failed,
}

impl LookOutcome {
    fn to_byte(self) -> u8 {
        match self {
            Self::Answered => ANSWERED,
            Self::Refused(reason) => reason as u8,
            Self::Failed => FAILED,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            ANSWERED => Some(Self::Answered),
            FAILED => Some(Self::Failed),
            reason => Reason::from_number(reason).map(Self::Refused),
        }
    }
}

/// One look at the ledger: one call of `Lookup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The key that asked: a till's or a member's.
    pub by: PublicKey,
    /// When it asked, by the clock of the node.
    pub at: UnixMillis,
    /// What came of it.
    pub outcome: LookOutcome,
    /// The slots it asked for.
    pub slots: Vec<SlotKey>,
    /// The coverages it asked for.
    pub coverages: Vec<CoverageKey>,
}

impl Look {
    /// How many bytes of a record it takes.
    #[must_use]
    pub const fn byte_count(&self) -> usize {
        LOOK_HEAD_BYTES + KEY_BYTES * (self.slots.len() + self.coverages.len())
    }
}

/// Looks of one moment at one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRecord {
    /// In the order in which they came in; at least one.
    pub looks: Vec<Look>,
}

/// Why looks are not a record, or bytes are none. Nothing of them is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes are cut, too long, of another version, or not of their one spelling.
    #[error("the opened payload is not of the form of an access record")]
    Form,
    /// No look, or more bytes than the largest padding holds.
    #[error("a record has 1 look or more and at most {RECORD_PLAINTEXT_BYTES_MAX} bytes")]
    Size,
    /// A look has more keys than one may have.
    #[error("a look names at most {LOOK_KEYS_MAX} keys, got {got}")]
    Keys {
        /// Keys found.
        got: usize,
    },
}

/// How many of these looks, from the first on, fit into one record.
#[must_use]
pub fn looks_that_fit(looks: &[Look]) -> usize {
    let mut bytes = RECORD_HEAD_BYTES;
    let fits = |look: &&Look| {
        bytes += look.byte_count();
        bytes <= RECORD_PLAINTEXT_BYTES_MAX
    };
    looks.iter().take_while(fits).count()
}

impl AccessRecord {
    /// `1 || count (2) || looks`, a look being `key (32) || moment (8) || outcome (1) || n (1) ||
    /// n slot keys || m (1) || m coverage keys`.
    ///
    /// # Errors
    /// [`RecordError::Size`] or [`RecordError::Keys`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        if self.looks.is_empty() || looks_that_fit(&self.looks) != self.looks.len() {
            return Err(RecordError::Size);
        }
        let count = u16::try_from(self.looks.len()).map_err(|_| RecordError::Size)?;
        let mut bytes = vec![VERSION];
        bytes.extend(count.to_be_bytes());
        for look in &self.looks {
            let got = look.slots.len() + look.coverages.len();
            if got > LOOK_KEYS_MAX {
                return Err(RecordError::Keys { got });
            }
            bytes.extend(look.by.to_bytes());
            bytes.extend(look.at.get().to_be_bytes());
            bytes.push(look.outcome.to_byte());
            bytes.push(u8::try_from(look.slots.len()).unwrap_or(u8::MAX));
            bytes.extend(look.slots.iter().flat_map(|key| *key.as_bytes()));
            bytes.push(u8::try_from(look.coverages.len()).unwrap_or(u8::MAX));
            bytes.extend(look.coverages.iter().flat_map(|key| *key.as_bytes()));
        }
        Ok(bytes)
    }

    /// Reads an opened record.
    ///
    /// # Errors
    /// [`RecordError`], see its variants.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        let [version, high, low] = reader.array()?;
        if version != VERSION {
            return Err(RecordError::Form);
        }
        let count = u16::from_be_bytes([high, low]);
        let looks = (0..count).map(|_| reader.look());
        let looks = looks.collect::<Result<Vec<_>, _>>()?;
        if looks.is_empty() || bytes.len() > RECORD_PLAINTEXT_BYTES_MAX {
            return Err(RecordError::Size);
        }
        let ends = reader.0.is_empty();
        ends.then_some(Self { looks }).ok_or(RecordError::Form)
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError::Form)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn keys(&mut self) -> Result<Vec<[u8; KEY_BYTES]>, RecordError> {
        let [count] = self.array()?;
        (0..count).map(|_| self.array()).collect()
    }

    fn look(&mut self) -> Result<Look, RecordError> {
        let by = PublicKey::from_bytes(&self.array()?).map_err(|_| RecordError::Form)?;
        let at = UnixMillis::new(u64::from_be_bytes(self.array()?));
        let [outcome] = self.array()?;
        let look = Look {
            by,
            at,
            outcome: LookOutcome::from_byte(outcome).ok_or(RecordError::Form)?,
            slots: self.keys()?.into_iter().map(SlotKey::from_bytes).collect(),
            coverages: self
                .keys()?
                .into_iter()
                .map(CoverageKey::from_bytes)
                .collect(),
        };
        let got = look.slots.len() + look.coverages.len();
        (got <= LOOK_KEYS_MAX)
            .then_some(look)
            .ok_or(RecordError::Keys { got })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::SecretKey;
    use proptest::prelude::*;

    fn look(outcome: LookOutcome, slots: u8, coverages: u8) -> Look {
        Look {
            by: SecretKey::from_seed(&[7; 32]).public(),
            at: UnixMillis::new(1_768_000_000_000),
            outcome,
            slots: (0..slots).map(|n| SlotKey::from_bytes([n; 32])).collect(),
            coverages: (0..coverages)
                .map(|n| CoverageKey::from_bytes([n | 0x80; 32]))
                .collect(),
        }
    }

    fn record() -> AccessRecord {
        AccessRecord {
            looks: vec![
                look(LookOutcome::Answered, 2, 1),
                look(LookOutcome::Refused(Reason::GrantRevoked), 1, 0),
                look(LookOutcome::Failed, 0, 0),
            ],
        }
    }

    #[test]
    fn a_record_reads_back_and_its_bytes_never_change() {
        let bytes = record().to_bytes().unwrap();
        assert_eq!(AccessRecord::from_bytes(&bytes), Ok(record()));
        let till = hex::encode(SecretKey::from_seed(&[7; 32]).public().to_bytes());
        let key = |byte: &str| byte.repeat(32);
        let golden = [
            "010003",
            &till,
            "0000019ba5031000",
            "00",
            "02",
            &key("00"),
            &key("01"),
            "01",
            &key("80"),
            &till,
            "0000019ba5031000",
            "02",
            "01",
            &key("00"),
            "00",
            &till,
            "0000019ba5031000",
            "ff",
            "00",
            "00",
        ];
        assert_eq!(hex::encode(bytes), golden.concat());
    }

    #[test]
    fn every_cut_is_refused_and_so_is_an_addition() {
        let bytes = record().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(
                AccessRecord::from_bytes(&bytes[..length]).is_err(),
                "{length}"
            );
        }
        assert!(AccessRecord::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn as_many_looks_fit_as_are_counted_to_fit() {
        let looks = vec![look(LookOutcome::Answered, 16, 16); 40];
        let fit = looks_that_fit(&looks);
        let with = |count: usize| AccessRecord {
            looks: looks[..count].to_vec(),
        };
        assert!(with(fit).to_bytes().unwrap().len() <= RECORD_PLAINTEXT_BYTES_MAX);
        assert_eq!(with(fit + 1).to_bytes(), Err(RecordError::Size));
        let empty = vec![look(LookOutcome::Failed, 0, 0); RECORD_LOOKS_MAX + 1];
        assert_eq!(looks_that_fit(&empty), RECORD_LOOKS_MAX);
    }

    #[test]
    fn a_look_with_too_many_keys_and_a_record_without_looks_are_refused() {
        let looks = vec![look(LookOutcome::Answered, 33, 0)];
        let refused = AccessRecord { looks }.to_bytes();
        assert_eq!(refused, Err(RecordError::Keys { got: 33 }));
        let none = AccessRecord { looks: Vec::new() };
        assert_eq!(none.to_bytes(), Err(RecordError::Size));
        assert_eq!(AccessRecord::from_bytes(&[1, 0, 0]), Err(RecordError::Size));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = AccessRecord::from_bytes(&bytes);
        }
    }
}
