//! This node's shares of the federation's two joint keys, and the file they are kept in.
//!
//! Who steals the file of one node has one share of each key: with fewer than the threshold of
//! them, no token can be computed. Who answers is all that a request tells: the elements are
//! blinded, and say nothing about a person.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::oprf::{
    BlindedElement, DecodeError, EvaluateError, PartialEvaluation, SCALAR_BYTES,
    SCALAR_RANDOM_BYTES, SecretShare, ShareIndex,
};
use proto::roster::MemberShare;
use proto::wire::v1::TokenKind;
use thiserror::Error;
use zeroize::Zeroizing;

const TITLE: &str = "vitrail evaluator key v1";

/// Why a text is not an evaluator key. Nothing of the text is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvaluatorKeyError {
    /// A line is missing, too many, or not of its form.
    #[error("line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// A share cannot be used.
    #[error("line {line}: {error}")]
    Share {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// Both shares of this node. They cannot be printed, and are wiped when dropped.
#[derive(Debug, Clone)]
pub struct Evaluator {
    person: SecretShare,
    contract: SecretShare,
}

impl Evaluator {
    /// Puts the shares of one member together; both have one index.
    #[must_use]
    pub const fn new(person: SecretShare, contract: SecretShare) -> Self {
        Self { person, contract }
    }

    /// The two shares, of the person key and of the contract key.
    #[must_use]
    pub const fn shares(&self) -> (&SecretShare, &SecretShare) {
        (&self.person, &self.contract)
    }

    /// Reads the text of a key file in its one spelling: a title, the index, the two shares.
    ///
    /// # Errors
    /// The first line that is not as it must be.
    pub fn parse(text: &str) -> Result<Self, EvaluatorKeyError> {
        let mut lines = text.split('\n');
        let title = "`vitrail evaluator key v1`";
        lines
            .next()
            .filter(|line| *line == TITLE)
            .ok_or(wrong(1, title))?;
        let want = "`index` and a number from 1 to 65535";
        let index = field(lines.next(), "index ")
            .and_then(index)
            .ok_or(wrong(2, want))?;
        let person = share(3, field(lines.next(), "person "), index)?;
        let contract = share(4, field(lines.next(), "contract "), index)?;
        let ends = lines.next() == Some("") && lines.next().is_none();
        ends.then_some(Self { person, contract })
            .ok_or(wrong(5, "the end, after a newline"))
    }

    /// The text of the key file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Reserved at once: a string that grows would leave copies behind that nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(256));
        let person = Zeroizing::new(BASE64_STANDARD.encode(*self.person.to_bytes()));
        let contract = Zeroizing::new(BASE64_STANDARD.encode(*self.contract.to_bytes()));
        let (person, contract) = (person.as_str(), contract.as_str());
        let index = self.person.index();
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "{TITLE}\nindex {index}\nperson {person}\ncontract {contract}\n"
        );
        text
    }

    /// Whether these are the shares that the roster publishes for this node.
    #[must_use]
    pub fn fits(&self, published: &MemberShare) -> bool {
        let fits = |share: &SecretShare, public: &[u8; 32]| {
            share.index().get() == published.index.get() && share.public().to_bytes() == *public
        };
        fits(&self.person, published.public.person.as_bytes())
            && fits(&self.contract, published.public.contract.as_bytes())
    }

    /// Evaluates blinded elements under one of the two shares, with one proof over all of them.
    /// `random` is 64 fresh bytes. It is CPU-bound: about 0.1 ms an element.
    ///
    /// # Errors
    /// [`EvaluateError`] for no element, or more than one request may hold.
    pub fn evaluate(
        &self,
        key: JointKey,
        blinded: &[BlindedElement],
        random: &[u8; SCALAR_RANDOM_BYTES],
    ) -> Result<PartialEvaluation, EvaluateError> {
        match key {
            JointKey::Person => self.person.evaluate(blinded, random),
            JointKey::Contract => self.contract.evaluate(blinded, random),
        }
    }
}

/// Which of the two joint keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JointKey {
    /// The one that makes person tokens.
    Person,
    /// The one that makes contract tokens.
    Contract,
}

impl JointKey {
    /// The key that makes tokens of this kind; `None` for no kind.
    #[must_use]
    pub const fn of(kind: TokenKind) -> Option<Self> {
        match kind {
            TokenKind::Unspecified => None,
            TokenKind::Person => Some(Self::Person),
            TokenKind::Contract => Some(Self::Contract),
        }
    }
}

const fn wrong(line: usize, want: &'static str) -> EvaluatorKeyError {
    EvaluatorKeyError::Line { line, want }
}

fn field<'a>(line: Option<&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)
}

/// A decimal in its one spelling.
fn index(text: &str) -> Option<ShareIndex> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text)
        .then_some(number)
        .and_then(ShareIndex::new)
}

fn share(
    line: usize,
    text: Option<&str>,
    index: ShareIndex,
) -> Result<SecretShare, EvaluatorKeyError> {
    let want = "`person` or `contract`, in this order, and a base64 share";
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok().map(Zeroizing::new));
    let bytes = bytes.ok_or(wrong(line, want))?;
    let bytes: &[u8; SCALAR_BYTES] = bytes.as_slice().try_into().map_err(|_| wrong(line, want))?;
    SecretShare::from_bytes(index, bytes).map_err(|error| EvaluatorKeyError::Share { line, error })
}

#[cfg(test)]
mod tests {
    use proto::oprf::JointSecret;

    use super::*;

    fn evaluator() -> Evaluator {
        let share = |info: &[u8]| JointSecret::derive(&[5; 32], info).unwrap().sole_share();
        Evaluator::new(share(b"person"), share(b"contract"))
    }

    #[test]
    fn a_key_file_reads_back() {
        let text = evaluator().to_text();
        assert_eq!(Evaluator::parse(&text).unwrap().to_text(), text);
    }

    #[test]
    fn the_line_that_is_wrong_is_named_and_not_quoted() {
        let text = evaluator().to_text();
        for (line, from, to) in [
            (1, "v1", "v2"),
            (2, "index 1", "index 01"),
            (2, "index 1", "index 0"),
            (3, "person ", "contract "),
            (3, "person ", "person A"),
            (4, "\ncontract ", "\ncontract  "),
            (5, "=\n", "=\n\n"),
        ] {
            // The last place of `from`, so that line 5 is the last line's end.
            let place = text.rfind(from).unwrap();
            let bad = format!("{}{to}{}", &text[..place], &text[place + from.len()..]);
            let Err(EvaluatorKeyError::Line { line: got, .. }) = Evaluator::parse(&bad) else {
                panic!("line {line} was accepted, or a share was blamed");
            };
            assert_eq!(got, line);
        }
    }

    #[test]
    fn a_share_beyond_the_group_order_is_refused() {
        let text = evaluator().to_text();
        let (head, _) = text.split_once("contract ").unwrap();
        let bad = format!("{head}contract {}\n", BASE64_STANDARD.encode([0xff; 32]));
        let error = Evaluator::parse(&bad).map(|_| ());
        assert_eq!(
            error,
            Err(EvaluatorKeyError::Share {
                line: 4,
                error: DecodeError::Scalar
            })
        );
    }

    #[test]
    fn debug_shows_no_byte_of_a_share() {
        let shown = format!("{:?}", evaluator());
        assert!(shown.contains("<secret>"));
        assert!(
            !evaluator()
                .to_text()
                .lines()
                .any(|line| shown.contains(line))
        );
    }
}
