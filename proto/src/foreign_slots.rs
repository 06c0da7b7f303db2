//! Evidence that slots of a claim are not those of a person, for whoever has the roster.
//!
//! ```text
//! vitrail foreign slots v1
//! by <base64 of the payer's public key>
//! signature <base64 of its signature over all other lines>
//! nir <13 characters and the key>
//! birth-date <YYYYMMDD>
//! birth-rank <1 to 9>
//! blind <base64 of the scalar that hid the identity>
//! evaluation <share> <base64 of the element> <base64 of the proof>
//!
//! <the claim's receipt>
//! ```
//!
//! There is one line `evaluation` for each of the threshold's shares, in ascending order.
//!
//! Identity and blind give the element that the members were asked for, their proofs bind each
//! answer to a share of the roster, and the answers give the person's token: so everybody derives
//! the same slot keys that the payer did. Proved by mathematics is that these slots are not this
//! person's. That the claim was for this person is the payer's signed word: what says so is sealed
//! in the claim, and a disclosure of the same claim shows it.
//!
//! The file names a person and gives his token: it is for an auditor alone. Verification goes in
//! numbered steps ([`Step`]); a file has one spelling.

mod lines;
mod step;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use self::lines::{Lines, TITLE};
pub use self::step::{ForeignSlotsError, Step};
use crate::attestation::{Attestation, Claim};
use crate::identity::Person;
use crate::ids::{LeafIndex, MemberName};
use crate::lpp::Slot;
use crate::oprf::{
    self, Blind, BlindedElement, JointPublicKey, PartialEvaluation, PublicShare, SCALAR_BYTES,
    Threshold, VerifiedEvaluation,
};
use crate::receipt::{RECEIPT_BYTES_MAX, Receipt, ReceiptFile, VerifiedReceipt};
use crate::roster::{MEMBERS_MAX, Roster};
use crate::signing::{PublicKey, SecretKey, Signature};
use crate::token::{PersonToken, secret_bytes};

/// Most evaluations in a file: each member of a roster has one share at most.
pub const EVALUATIONS_MAX: usize = MEMBERS_MAX;
/// Longest line of an evaluation: its words, a share's number, and base64 of 32 and of 64 bytes.
const EVALUATION_BYTES_MAX: usize = 11 + 5 + 1 + 44 + 1 + 88 + 1;
/// Longest file: a receipt, the evaluations, and a few short lines.
pub const FOREIGN_SLOTS_BYTES_MAX: usize =
    RECEIPT_BYTES_MAX + EVALUATIONS_MAX * EVALUATION_BYTES_MAX + 1024;

secret_bytes! {
    /// The scalar that hid the identity when the members were asked.
    KeptBlind
}

/// How a person's token was made: what is kept of it for evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMaking {
    blind: KeptBlind,
    answers: Vec<PartialEvaluation>,
}

impl TokenMaking {
    /// Keeps the blind and the verified answers to its one element.
    #[must_use]
    pub fn keep(blind: &Blind, answers: &[VerifiedEvaluation]) -> Self {
        let mut answers: Vec<_> = answers.iter().map(VerifiedEvaluation::to_answer).collect();
        answers.sort_by_key(|answer| answer.index);
        Self {
            blind: KeptBlind::from_bytes(*blind.to_bytes()),
            answers,
        }
    }
}

/// Evidence as it is written and read; nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignSlots {
    by: PublicKey,
    signature: Signature,
    person: Person,
    making: TokenMaking,
    receipt: Receipt,
}

/// Evidence of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedForeign {
    /// The claim, its place and the checkpoint.
    pub receipt: VerifiedReceipt,
    /// The payer whose word it is that the claim was for this person.
    pub by: MemberName,
    /// How many slots the claim has.
    pub slots: usize,
    /// The places of those among them that are not the person's, from 0; never empty.
    pub foreign: Vec<usize>,
}

impl ForeignSlots {
    /// Signs, as the payer, that a claim was for this person; the rest proves itself. Whether the
    /// evidence holds, [`Self::open`] says.
    #[must_use]
    pub fn make(receipt: Receipt, person: Person, making: TokenMaking, payer: &SecretKey) -> Self {
        let mut made = Self {
            by: payer.public(),
            signature: Signature::from_bytes([0; 64]),
            person,
            making,
            receipt,
        };
        made.signature = payer.sign(made.signed_text().as_bytes());
        made
    }

    /// Where the claim stands in the log, as the file says.
    #[must_use]
    pub const fn claim(&self) -> LeafIndex {
        self.receipt.proved.index
    }

    /// Reads evidence and verifies it, calling `passed` after each step.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        text: &str,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<ProvedForeign, ForeignSlotsError> {
        let read = Self::parse(text);
        if !matches!(&read, Err(error) if error.step() == Step::Format) {
            passed(Step::Format);
        }
        let read = read?;
        passed(Step::Identity);
        read.open(roster, passed)
    }

    /// Verifies steps 3 to 10, calling `passed` after each one. The roster is the one that was in
    /// force when the token was made: a later ceremony makes other shares.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn open(
        &self,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<ProvedForeign, ForeignSlotsError> {
        let receipt = self
            .receipt
            .verify(roster, &mut |step| passed(step.into()))?;
        let Ok(Attestation::Claim(claim)) = Attestation::read(receipt.entry.header()) else {
            let kind = receipt.entry.header().kind;
            return Err(ForeignSlotsError::NoClaim { kind });
        };
        passed(Step::Claim);
        let by = self.payer(roster)?;
        passed(Step::Discloser);
        let (blind, answers) = self.evaluations(roster)?;
        passed(Step::Evaluations);
        let token = token(roster, &blind, &answers)?;
        passed(Step::Token);
        let foreign = foreign_places(&claim, &token);
        if foreign.is_empty() {
            return Err(ForeignSlotsError::AllOwn);
        }
        passed(Step::Foreign);
        Ok(ProvedForeign {
            receipt,
            by,
            slots: claim.slots.len(),
            foreign,
        })
    }

    /// Step 7.
    fn payer(&self, roster: &Roster) -> Result<MemberName, ForeignSlotsError> {
        let member = roster.member_by_key(&self.by);
        let payer = member.filter(|member| member.payer.is_some());
        let name = payer.ok_or(ForeignSlotsError::Stranger)?.name.clone();
        self.by
            .verify(self.signed_text().as_bytes(), &self.signature)?;
        Ok(name)
    }

    /// Step 8: as many answers as the threshold, each of another share, in order, each proved.
    fn evaluations(
        &self,
        roster: &Roster,
    ) -> Result<(Blind, Vec<VerifiedEvaluation>), ForeignSlotsError> {
        let answers = &self.making.answers;
        let (got, want) = (answers.len(), usize::from(roster.threshold().get()));
        if got != want {
            return Err(ForeignSlotsError::Count { got, want });
        }
        for (before, after) in answers.iter().zip(answers.iter().skip(1)) {
            if before.index >= after.index {
                let share = after.index;
                return Err(ForeignSlotsError::Order { share });
            }
        }
        let input = self.person.oprf_input();
        let (blind, element) = oprf::blind_again(&input, self.making.blind.as_bytes())?;
        let verified = answers.iter().map(|one| proved(roster, element, one));
        Ok((blind, verified.collect::<Result<_, _>>()?))
    }

    /// The text of the file. It names the person: it is for the auditor alone.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        self.text(&format!(
            "signature {}\n",
            BASE64_STANDARD.encode(self.signature.as_bytes())
        ))
    }

    /// What the payer signs: every line but the signature's own. It begins with the title, which
    /// no other signed message of Vitrail begins with.
    fn signed_text(&self) -> Zeroizing<String> {
        self.text("")
    }

    fn text(&self, signature_line: &str) -> Zeroizing<String> {
        // Reserved whole at once: a text that grows leaves unwiped copies behind.
        let receipt = ReceiptFile::Accepted(self.receipt.clone()).to_text();
        let evaluations = self.making.answers.len() * EVALUATION_BYTES_MAX;
        let mut text = Zeroizing::new(String::with_capacity(1024 + evaluations + receipt.len()));
        let blind = Zeroizing::new(BASE64_STANDARD.encode(self.making.blind.as_bytes()));
        let _ = write!(
            text,
            "{TITLE}\nby {}\n{signature_line}nir {}\nbirth-date {}\nbirth-rank {}\nblind {}\n",
            self.by.to_base64(),
            *self.person.nir.with_key(),
            *self.person.birth_date.digits(),
            self.person.birth_rank.digit(),
            *blind,
        );
        for answer in &self.making.answers {
            // One element was asked for.
            let element = answer.elements.first().map(|element| element.to_bytes());
            let _ = writeln!(
                text,
                "evaluation {} {} {}",
                answer.index,
                BASE64_STANDARD.encode(element.unwrap_or_default()),
                BASE64_STANDARD.encode(answer.dleq_proof.to_bytes())
            );
        }
        let _ = write!(text, "\n{receipt}");
        text
    }

    /// Reads evidence; there is one spelling of each.
    ///
    /// # Errors
    /// [`ForeignSlotsError::Line`] with the first line that is not as it must be, or what is wrong
    /// with the receipt or, if all else can be read, with the identity.
    pub fn parse(text: &str) -> Result<Self, ForeignSlotsError> {
        if text.len() > FOREIGN_SLOTS_BYTES_MAX {
            return Err(ForeignSlotsError::TooLong { got: text.len() });
        }
        let mut lines = Lines::of(text)?;
        let by = lines.bytes("by", "by <base64 of a public key>")?;
        let by = PublicKey::from_bytes(&by).map_err(|_| lines.wrong("by <base64 of a key>"))?;
        let signature = lines.bytes("signature", "signature <base64 of 64 bytes>")?;
        let identity = lines.identity()?;
        let blind: [u8; SCALAR_BYTES] = lines.bytes("blind", "blind <base64 of 32 bytes>")?;
        let answers = lines.evaluations()?;
        let ReceiptFile::Accepted(receipt) = ReceiptFile::parse(lines.rest())? else {
            return Err(lines.wrong("a receipt from here on"));
        };
        Ok(Self {
            by,
            signature: Signature::from_bytes(signature),
            person: identity.person()?,
            making: TokenMaking {
                blind: KeptBlind::from_bytes(blind),
                answers,
            },
            receipt,
        })
    }
}

/// One answer, proved against the share of the roster.
fn proved(
    roster: &Roster,
    element: BlindedElement,
    answer: &PartialEvaluation,
) -> Result<VerifiedEvaluation, ForeignSlotsError> {
    let index = answer.index;
    let mut shares = roster.shares().iter();
    let share = shares.find(|share| share.index.get() == index.get());
    let share = share.ok_or(ForeignSlotsError::NoShare { share: index })?;
    let public = PublicShare::from_bytes(index, share.public.person.as_bytes())
        .map_err(|_| ForeignSlotsError::Roster)?;
    Ok(public.verify(&[element], answer.clone())?)
}

/// Step 9: the answers make the token.
fn token(
    roster: &Roster,
    blind: &Blind,
    answers: &[VerifiedEvaluation],
) -> Result<PersonToken, ForeignSlotsError> {
    let joint = JointPublicKey::from_bytes(roster.joint().person.as_bytes());
    let joint = joint.map_err(|_| ForeignSlotsError::Joint)?;
    let threshold = Threshold::new(roster.threshold().get()).ok_or(ForeignSlotsError::Joint)?;
    let evaluated = oprf::combine(&joint, threshold, answers)?;
    let evaluated = evaluated.first().ok_or(ForeignSlotsError::Joint)?;
    Ok(PersonToken::from_output(&blind.finalize(evaluated)))
}

/// The places of the slots of a claim that are none of this person's.
fn foreign_places(claim: &Claim, token: &PersonToken) -> Vec<usize> {
    let own = Slot::ALL.map(|slot| token.slot_key(slot));
    let places = claim.slots.iter().enumerate();
    let foreign = places.filter(|(_, key)| !own.contains(key));
    foreign.map(|(place, _)| place).collect()
}
