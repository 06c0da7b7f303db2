//! Disclosures: an insurer lets an auditor read one part of one entry, and nothing else.
//!
//! ```text
//! vitrail disclosure v1
//! by <base64 of the discloser's public key>
//! signature <base64 of its signature over all other lines>
//! part <place of the part in the payload, from 0>
//! key <base64 of the seal key of that part>
//! salt <base64>
//! payload <base64 of the sealed payload>
//!
//! <the entry's receipt>
//! ```
//!
//! The seal key is derived from the contract's sealing secret and the payload's salt, one way: it
//! opens that part alone. What it opens proves itself, through commitment and log. The signature
//! proves besides who let it be read, so that a file which turns up elsewhere has a source.
//! Verification goes in numbered steps ([`Step`]); a file has one spelling.

#[cfg(test)]
mod tests;

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;

use crate::attestation::{
    Attestation, ClaimTerms, ContentError, CoverageTerms, Delivery, Settlement, SettlementTerms,
    ShapeError,
};
use crate::entry::{Header, Kind};
use crate::ids::{LeafIndex, MemberName};
use crate::receipt::{
    self, RECEIPT_BYTES_MAX, Receipt, ReceiptError, ReceiptFile, VerifiedReceipt,
};
use crate::roster::Roster;
use crate::seal::{
    DecodeError, OpenError, Opened, PayloadCommitment, SEALED_PAYLOAD_BYTES_MAX, Salt, SealKey,
    SealedPayload,
};
use crate::signing::{PublicKey, SecretKey, Signature, SigningError};
use crate::token::SealingSecret;

/// Longest disclosure file: a receipt, a payload in base64, and five short lines.
pub const DISCLOSURE_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 2 * SEALED_PAYLOAD_BYTES_MAX + 1024;

const TITLE: &str = "vitrail disclosure v1";

/// The steps of a verification, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1. The file has the one spelling of its format.
    Format,
    /// 2. The checkpoint is of the roster's ledger and cosigned by a quorum of its members.
    Checkpoint,
    /// 3. The entry was signed by its issuer for this ledger.
    Entry,
    /// 4. The entry is in the log that the checkpoint commits to.
    Inclusion,
    /// 5. A member of the roster signed the disclosure.
    Discloser,
    /// 6. Payload and salt are what the entry committed to.
    Commitment,
    /// 7. The part is sealed under the key, and opens.
    Part,
    /// 8. What was sealed are the terms of an entry of that kind.
    Terms,
}

impl Step {
    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
            Self::Inclusion => "inclusion",
            Self::Discloser => "discloser",
            Self::Commitment => "commitment",
            Self::Part => "part",
            Self::Terms => "terms",
        }
    }

    /// What it means that the step passed.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Format => "the file is of the format, with nothing added or missing",
            Self::Checkpoint => "a quorum of the roster's members cosigned the checkpoint",
            Self::Entry => "the issuer signed the entry for this ledger",
            Self::Inclusion => "the entry is in the log at its index",
            Self::Discloser => "a member of the roster signed the disclosure",
            Self::Commitment => "payload and salt are what the entry committed to",
            Self::Part => "the part is sealed under the key, and opens",
            Self::Terms => "what was sealed are the terms of such an entry",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<receipt::Step> for Step {
    fn from(step: receipt::Step) -> Self {
        match step {
            receipt::Step::Checkpoint => Self::Checkpoint,
            receipt::Step::Entry => Self::Entry,
            receipt::Step::Inclusion => Self::Inclusion,
            // The last two are a refusal's, and a disclosure has none.
            receipt::Step::Format | receipt::Step::State | receipt::Step::Refused => Self::Format,
        }
    }
}

/// Which step of a verification failed, and how. No variant carries a value of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DisclosureError {
    /// A line is missing or not of its form.
    #[error("line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// The file is longer than any disclosure.
    #[error("a disclosure has at most {DISCLOSURE_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The receipt in it cannot be read, or fails one of its own steps.
    #[error("receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// The discloser is no member of the roster.
    #[error("discloser: the key that signed is no member's of the roster")]
    Stranger,
    /// The discloser's signature does not hold over the file.
    #[error("discloser: {0}")]
    Signature(#[from] SigningError),
    /// The payload has not the one spelling of a sealed payload.
    #[error("commitment: {0}")]
    Payload(#[from] DecodeError),
    /// The entry is of a kind that commits to no terms.
    #[error("commitment: an entry of kind {} has no terms", .kind.as_str())]
    NoTerms {
        /// Its kind.
        kind: Kind,
    },
    /// The payload is not the entry's, or the part does not open with the key.
    #[error("{}: {_0}", open_step(*.0))]
    Open(#[from] OpenError),
    /// What was opened cannot be read.
    #[error("terms: {0}")]
    Terms(#[from] ContentError),
    /// The entry's header has not the fields of its kind.
    #[error("terms: {0}")]
    Shape(#[from] ShapeError),
}

const fn open_step(error: OpenError) -> &'static str {
    match error {
        OpenError::OtherCommitment => Step::Commitment.as_str(),
        _ => Step::Part.as_str(),
    }
}

impl DisclosureError {
    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Line { .. } | Self::TooLong { .. } => Step::Format,
            Self::Receipt(error) => error.step().into(),
            Self::Stranger | Self::Signature(_) => Step::Discloser,
            Self::Payload(_) | Self::NoTerms { .. } | Self::Open(OpenError::OtherCommitment) => {
                Step::Commitment
            }
            Self::Open(_) => Step::Part,
            Self::Terms(_) | Self::Shape(_) => Step::Terms,
        }
    }
}

/// A disclosure as it is written and read; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    receipt: Receipt,
    payload: SealedPayload,
    salt: Salt,
    part: usize,
    seal_key: SealKey,
    by: PublicKey,
    signature: Signature,
}

/// What one part of an entry says to its payer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// What a payer committed to.
    Coverage(CoverageTerms),
    /// What was claimed from it.
    Claim(ClaimTerms),
    /// What was handed over, and invoiced to it: the public entry, and the payer's part.
    Delivery(Delivery, ClaimTerms),
    /// What it answered to the invoice: the public entry, and its one part.
    Settlement(Settlement, SettlementTerms),
}

/// A disclosure of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// The entry, its place and the checkpoint.
    pub receipt: VerifiedReceipt,
    /// The member that disclosed it.
    pub by: MemberName,
    /// The place of the part among those of the payload, from 0.
    pub part: usize,
    /// What it says.
    pub terms: Terms,
}

/// What is disclosed: an entry with its payload.
#[derive(Debug, Clone)]
pub struct Disclosable {
    /// The entry's receipt.
    pub receipt: Receipt,
    /// Its payload.
    pub payload: SealedPayload,
    /// The payload's salt.
    pub salt: Salt,
}

impl Disclosure {
    /// Discloses the part that was sealed for one contract, as the owner of `discloser`.
    ///
    /// # Errors
    /// [`DisclosureError::Open`] when no part is for the contract or the payload is not the
    /// entry's; the entry has no terms, or they cannot be read.
    pub fn make(
        disclosed: Disclosable,
        contract: &SealingSecret,
        discloser: &SecretKey,
    ) -> Result<Self, DisclosureError> {
        let Disclosable {
            receipt,
            payload,
            salt,
        } = disclosed;
        let (part, seal_key) = payload
            .part_key(contract, &salt)
            .ok_or(OpenError::NotForThisContract)?;
        let mut made = Self {
            receipt,
            payload,
            salt,
            part,
            seal_key,
            by: discloser.public(),
            signature: Signature::from_bytes([0; 64]),
        };
        made.terms()?;
        made.signature = discloser.sign(made.signed_text().as_bytes());
        Ok(made)
    }

    /// Where the entry stands in the log, as the file says.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.receipt.proved.index
    }

    /// Verifies steps 2 to 8, calling `passed` after each one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn open(
        &self,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Disclosed, DisclosureError> {
        let receipt = self
            .receipt
            .verify(roster, &mut |step| passed(step.into()))?;
        let member = roster.member_by_key(&self.by);
        let by = member.ok_or(DisclosureError::Stranger)?.name.clone();
        self.by
            .verify(self.signed_text().as_bytes(), &self.signature)?;
        passed(Step::Discloser);
        let opened = self.opened(passed)?;
        let terms = read_terms(self.header(), &opened)?;
        passed(Step::Terms);
        Ok(Disclosed {
            receipt,
            by,
            part: self.part,
            terms,
        })
    }

    fn terms(&self) -> Result<Terms, DisclosureError> {
        read_terms(self.header(), &self.opened(&mut |_| {})?)
    }

    const fn header(&self) -> &Header {
        self.receipt.proved.entry.header()
    }

    /// Steps 6 and 7.
    fn opened(&self, passed: &mut dyn FnMut(Step)) -> Result<Opened, DisclosureError> {
        let Header {
            kind, commitment, ..
        } = *self.header();
        let commitment = commitment.ok_or(DisclosureError::NoTerms { kind })?;
        let commitment = PayloadCommitment::from_hash(commitment);
        if self.payload.commitment(&self.salt) != commitment {
            return Err(OpenError::OtherCommitment.into());
        }
        passed(Step::Commitment);
        let opened = self
            .payload
            .open_part(self.part, &self.seal_key, &self.salt, &commitment)?;
        passed(Step::Part);
        Ok(opened)
    }

    /// Reads a disclosure and verifies it: step 1, then the others, `passed` after each one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        text: &str,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Disclosed, DisclosureError> {
        let disclosure = Self::parse(text)?;
        passed(Step::Format);
        disclosure.open(roster, passed)
    }

    /// Reads a disclosure; there is one spelling of each.
    ///
    /// # Errors
    /// [`DisclosureError::Line`] with the first line that is not as it must be, or what is wrong
    /// with payload or receipt.
    pub fn parse(text: &str) -> Result<Self, DisclosureError> {
        if text.len() > DISCLOSURE_BYTES_MAX {
            return Err(DisclosureError::TooLong { got: text.len() });
        }
        let mut lines = Lines {
            rest: text,
            line: 0,
        };
        if lines.next() != Some(TITLE) {
            return Err(lines.wrong("the title of a vitrail disclosure"));
        }
        let by = lines.bytes("by", "by <base64 of a public key>")?;
        let by = PublicKey::from_bytes(&by).map_err(|_| lines.wrong("by <base64 of a key>"))?;
        let signature = lines.bytes("signature", "signature <base64 of 64 bytes>")?;
        let part = lines.number("part", "part <decimal>")?;
        let seal_key = lines.bytes("key", "key <base64 of 32 bytes>")?;
        let salt = lines.bytes("salt", "salt <base64 of 32 bytes>")?;
        let payload = SealedPayload::from_bytes(&lines.decoded("payload", "payload <base64>")?)?;
        if lines.next() != Some("") {
            return Err(lines.wrong("empty"));
        }
        match ReceiptFile::parse(lines.rest)? {
            ReceiptFile::Accepted(receipt) => Ok(Self {
                receipt,
                payload,
                salt: Salt::from_bytes(salt),
                part,
                seal_key: SealKey::from_bytes(seal_key),
                by,
                signature: Signature::from_bytes(signature),
            }),
            ReceiptFile::Refused(_) => Err(lines.wrong("a receipt from here on")),
        }
    }

    /// The text of the file. It has the key: it is for the auditor alone.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text(&format!(
            "signature {}\n",
            BASE64_STANDARD.encode(self.signature.as_bytes())
        ))
    }

    /// What the discloser signs: every line but the signature's own. It begins with the title,
    /// which no other signed message of Vitrail begins with.
    fn signed_text(&self) -> String {
        self.text("")
    }

    fn text(&self, signature_line: &str) -> String {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        format!(
            "{TITLE}\nby {}\n{signature_line}part {}\nkey {}\nsalt {}\npayload {}\n\n{}",
            self.by.to_base64(),
            self.part,
            encode(self.seal_key.as_bytes()),
            encode(self.salt.as_bytes()),
            encode(&self.payload.to_bytes()),
            ReceiptFile::Accepted(self.receipt.clone()).to_text()
        )
    }
}

/// Step 8. Which terms they are, the kind says; a delivery has those of a claim.
fn read_terms(header: &Header, opened: &Opened) -> Result<Terms, DisclosureError> {
    let bytes = opened.as_bytes();
    Ok(match Attestation::read(header)? {
        Attestation::Coverage(_) => Terms::Coverage(CoverageTerms::from_bytes(bytes)?),
        Attestation::Claim(_) => Terms::Claim(ClaimTerms::from_bytes(bytes)?),
        Attestation::Delivery(delivery) => {
            Terms::Delivery(delivery, ClaimTerms::from_bytes(bytes)?)
        }
        Attestation::Settlement(settlement) => {
            Terms::Settlement(settlement, SettlementTerms::from_bytes(bytes)?)
        }
        _ => return Err(DisclosureError::NoTerms { kind: header.kind }),
    })
}

/// The lines of a file that are still to be read.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    const fn wrong(&self, want: &'static str) -> DisclosureError {
        DisclosureError::Line {
            line: self.line,
            want,
        }
    }

    fn field(&mut self, name: &str, want: &'static str) -> Result<&'a str, DisclosureError> {
        let value = self
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.ok_or(self.wrong(want))
    }

    fn decoded(&mut self, name: &str, want: &'static str) -> Result<Vec<u8>, DisclosureError> {
        let decoded = BASE64_STANDARD.decode(self.field(name, want)?);
        decoded.map_err(|_| self.wrong(want))
    }

    fn bytes<const N: usize>(
        &mut self,
        name: &str,
        want: &'static str,
    ) -> Result<[u8; N], DisclosureError> {
        let decoded = self.decoded(name, want)?;
        decoded.try_into().map_err(|_| self.wrong(want))
    }

    fn number(&mut self, name: &str, want: &'static str) -> Result<usize, DisclosureError> {
        let text = self.field(name, want)?;
        let value: usize = text.parse().map_err(|_| self.wrong(want))?;
        // One spelling: no sign, no leading zero.
        (value.to_string() == text)
            .then_some(value)
            .ok_or(self.wrong(want))
    }
}
