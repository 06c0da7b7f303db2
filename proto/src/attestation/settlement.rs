//! What a payer answers to an invoice: paid, rejected, or paid and taken back.

use super::Attestation;
use super::shape::{Shape, ShapeError};
use crate::hash::Hash;
use crate::ids::{Cents, LeafIndex};
use crate::refusal::Reason;
use crate::signing::PublicKey;

use super::content::{ContentError, Reader};

/// A payer's answer to one delivery, for its own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The claim that was delivered.
    pub claim: LeafIndex,
    /// Its first delivery, which the state of the payment is kept under.
    pub invoice: LeafIndex,
    /// The delivery that the payer has judged: the newest of the invoice.
    pub delivery: LeafIndex,
    /// What it answers.
    pub outcome: SettlementOutcome,
    /// The key under which the payer issued the coverages that the claim rests on, if it has taken
    /// another since; `None` when that is the key that issues the settlement.
    pub under: Option<PublicKey>,
    /// The commitment to the sealed [`SettlementTerms`], one part, for the payer's own contract.
    pub commitment: Hash,
}

impl Settlement {
    /// The key under which the state of the payment is kept, that of the payer's coverages: an
    /// answer before and one after a change of the key are answers of one payer.
    #[must_use]
    pub fn payer(&self, issuer: &PublicKey) -> PublicKey {
        self.under.unwrap_or(*issuer)
    }

    /// The outcome; behind it the key of the coverages, if it is not the issuer's own.
    pub(super) fn to_statement(self) -> Vec<u8> {
        let mut statement = self.outcome.to_bytes();
        statement.extend(self.under.iter().flat_map(|key| key.to_bytes()));
        statement
    }
}

/// What a payer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementOutcome {
    /// The amount of the terms has been paid.
    Paid,
    /// Nothing is paid.
    Rejected(Reason),
    /// What was paid was not due and is taken back.
    Recovered(Reason),
}

impl SettlementOutcome {
    const PAID: u8 = 1;
    const REJECTED: u8 = 2;
    const RECOVERED: u8 = 3;

    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Rejected(_) => "rejected",
            Self::Recovered(_) => "recovered",
        }
    }

    /// Why, unless it is paid.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Paid => None,
            Self::Rejected(reason) | Self::Recovered(reason) => Some(reason),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Paid => vec![Self::PAID],
            Self::Rejected(reason) => vec![Self::REJECTED, reason as u8],
            Self::Recovered(reason) => vec![Self::RECOVERED, reason as u8],
        }
    }

    /// An outcome at the beginning of a statement, and what stands behind it.
    fn split(statement: &[u8]) -> Option<(Self, &[u8])> {
        let length = match statement.first()? {
            &Self::PAID => 1,
            _ => 2,
        };
        let (outcome, rest) = statement.split_at_checked(length)?;
        Some((Self::from_bytes(outcome)?, rest))
    }

    /// The one spelling of an outcome: a number, and a payer's reason behind all but the first.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let because = |number| Reason::from_number(number).filter(|reason| reason.is_payers());
        match *bytes {
            [Self::PAID] => Some(Self::Paid),
            [Self::REJECTED, number] => because(number).map(Self::Rejected),
            [Self::RECOVERED, number] => because(number).map(Self::Recovered),
            _ => None,
        }
    }
}

/// The longest reference of a payment: that of a SEPA credit transfer (end-to-end identification).
pub const PAYMENT_REFERENCE_MAX: usize = 35;

/// What a settlement says to till and payer alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementTerms {
    /// What is paid, or taken back, for all lines together; nothing when rejected.
    pub amount: Cents,
    /// What the payer's bank statement calls it: at most [`PAYMENT_REFERENCE_MAX`] printable ASCII
    /// characters. Empty if there is none.
    pub reference: String,
}

impl SettlementTerms {
    const VERSION: u8 = 1;

    /// Whether a text can be the reference of a payment.
    #[must_use]
    pub fn is_reference(text: &str) -> bool {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        text.len() <= PAYMENT_REFERENCE_MAX && text.bytes().all(printable)
    }

    /// `1 || amount (8) || length (1) || reference`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u8::try_from(self.reference.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![Self::VERSION];
        bytes.extend_from_slice(&self.amount.get().to_be_bytes());
        bytes.push(length);
        bytes.extend_from_slice(self.reference.as_bytes());
        bytes
    }

    /// Reads the opened payload of a settlement.
    ///
    /// # Errors
    /// [`ContentError::Form`] when the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut reader = Reader::new(bytes, "settlement terms");
        reader.version(Self::VERSION)?;
        let amount = Cents::new(u64::from_be_bytes(reader.array()?));
        let [length] = reader.array()?;
        let reference = reader.take(length.into())?;
        reader.end()?;
        let text = str::from_utf8(reference).map_err(|_| reader.form())?;
        let reference = text.to_owned();
        Self::is_reference(&reference)
            .then_some(Self { amount, reference })
            .ok_or(reader.form())
    }
}

impl Shape<'_> {
    pub(super) fn settlement(&self) -> Result<Attestation, ShapeError> {
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        let [claim, invoice, delivery] = self.0.references[..] else {
            return Err(self.needs("a claim, its first delivery and the one that is judged"));
        };
        let (outcome, rest) = SettlementOutcome::split(&self.0.statement).ok_or(
            self.unknown_statement("paid, or rejected or recovered with a payer's reason"),
        )?;
        let under = match rest {
            [] => None,
            key => Some(self.former_key(key)?),
        };
        Ok(Attestation::Settlement(Settlement {
            claim,
            invoice,
            delivery,
            outcome,
            under,
            commitment: self.commitment()?,
        }))
    }

    fn former_key(&self, bytes: &[u8]) -> Result<PublicKey, ShapeError> {
        let key = bytes.try_into().map(PublicKey::from_bytes);
        let wrong = self.unknown_statement("nothing behind its outcome, or the coverages' key");
        key.ok().and_then(Result::ok).ok_or(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RequestId, UnixMillis};
    use crate::signing::SecretKey;
    use proptest::prelude::*;

    #[test]
    fn an_outcome_has_one_spelling_and_a_reason_of_a_payers() {
        let mut outcomes = vec![SettlementOutcome::Paid];
        for reason in Reason::ALL.iter().filter(|reason| reason.is_payers()) {
            outcomes.push(SettlementOutcome::Rejected(*reason));
            outcomes.push(SettlementOutcome::Recovered(*reason));
        }
        let spelled: Vec<Vec<u8>> = outcomes.iter().map(|outcome| outcome.to_bytes()).collect();
        for (outcome, bytes) in outcomes.iter().zip(&spelled) {
            assert_eq!(SettlementOutcome::from_bytes(bytes), Some(*outcome));
        }
        for kind in 0..=u8::MAX {
            for number in 0..=u8::MAX {
                let read = SettlementOutcome::from_bytes(&[kind, number]).is_some();
                assert_eq!(
                    read,
                    spelled.contains(&vec![kind, number]),
                    "{kind} {number}"
                );
            }
        }
    }

    fn settlement(outcome: SettlementOutcome, under: Option<PublicKey>) -> Settlement {
        Settlement {
            claim: LeafIndex::new(4),
            invoice: LeafIndex::new(5),
            delivery: LeafIndex::new(6),
            outcome,
            under,
            commitment: Hash::from_bytes([7; 32]),
        }
    }

    #[test]
    fn a_statement_never_changes_and_names_a_former_key_or_none() {
        let former = SecretKey::from_seed(&[8; 32]).public();
        let own = SecretKey::from_seed(&[9; 32]).public();
        let key = hex::encode(former.to_bytes());
        assert_eq!(
            &key,
            "1398f62c6d1a457c51ba6a4b5f3dbd2f69fca93216218dc8997e416bd17d93ca"
        );
        let rejected = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
        for (outcome, golden) in [(SettlementOutcome::Paid, "01"), (rejected, "0227")] {
            for (under, golden) in [
                (None, golden.to_owned()),
                (Some(former), format!("{golden}{key}")),
            ] {
                let said = settlement(outcome, under);
                assert_eq!(said.payer(&own), under.unwrap_or(own));
                let says = Attestation::Settlement(said);
                let header = says.header(own, RequestId::new(UnixMillis::new(1), [0; 10]));
                assert_eq!(hex::encode(&header.statement), golden);
                assert_eq!(Attestation::read(&header), Ok(says));
                for length in (0..header.statement.len()).filter(|it| *it != golden.len() / 2) {
                    let mut cut = header.clone();
                    cut.statement.truncate(length);
                    let is_whole = under.is_some() && length == outcome.to_bytes().len();
                    assert_eq!(Attestation::read(&cut).is_ok(), is_whole, "{length}");
                }
                let mut long = header;
                long.statement.push(0);
                assert!(Attestation::read(&long).is_err());
            }
        }
    }

    #[test]
    fn a_key_that_cannot_be_one_is_refused() {
        let says = Attestation::Settlement(settlement(SettlementOutcome::Paid, None));
        let own = SecretKey::from_seed(&[9; 32]).public();
        let mut header = says.header(own, RequestId::new(UnixMillis::new(1), [0; 10]));
        for key in [[0; 32], [0xff; 32]] {
            header.statement = [&[1][..], &key].concat();
            let refused = Attestation::read(&header);
            assert!(
                matches!(refused, Err(ShapeError::Statement { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn terms_never_change_and_read_back() {
        let terms = SettlementTerms {
            amount: Cents::new(3_000),
            reference: "VIR 77".to_owned(),
        };
        let golden = "010000000000000bb806564952203737";
        assert_eq!(hex::encode(terms.to_bytes()), golden);
        assert_eq!(
            SettlementTerms::from_bytes(&terms.to_bytes()),
            Ok(terms.clone())
        );
        let bytes = terms.to_bytes();
        for length in 0..bytes.len() {
            assert!(SettlementTerms::from_bytes(&bytes[..length]).is_err());
        }
        let long = SettlementTerms {
            reference: "x".repeat(PAYMENT_REFERENCE_MAX + 1),
            ..terms
        };
        assert!(SettlementTerms::from_bytes(&long.to_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(terms) = SettlementTerms::from_bytes(&bytes) {
                prop_assert_eq!(terms.to_bytes(), bytes);
            }
        }
    }
}
