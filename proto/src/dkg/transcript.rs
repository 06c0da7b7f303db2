//! What comes out of a ceremony: the shares that one member holds, and the text in which all of
//! them say the same.

use std::fmt::{self, Write as _};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::plan::Plan;
use crate::hash::{self, Context, Hash};
use crate::ids::MemberName;
use crate::oprf::{JointPublicKey, PublicShare, SecretShare};

/// One member's public shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPair {
    /// Who holds the secret ones.
    pub member: MemberName,
    /// Of the person key.
    pub person: PublicShare,
    /// Of the contract key.
    pub contract: PublicShare,
}

/// What everybody may know of a sharing: both joint keys, and the public shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The joint person key.
    pub joint_person: JointPublicKey,
    /// The joint contract key.
    pub joint_contract: JointPublicKey,
    /// The public shares of everybody who has some, by index.
    pub shares: Vec<PublicPair>,
}

/// One member's shares of both joint keys, with what the public knows of all of them.
#[derive(Clone)]
pub struct Holding {
    /// Its share of the person key.
    pub person: SecretShare,
    /// Its share of the contract key.
    pub contract: SecretShare,
    /// What is public.
    pub published: Published,
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holding({}, <secret>)", self.person.index())
    }
}

/// The text that all participants have word for word: the plan, the fingerprint of each opening,
/// the joint keys and the public shares. Its hash stands in the roster that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    text: String,
    hash: Hash,
}

impl Transcript {
    pub(super) fn new(plan: &Plan, openings: &[(MemberName, Hash)], published: &Published) -> Self {
        let mut text = plan.text().to_owned();
        let mut line = |words: &[&str]| {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{}", words.join(" "));
        };
        for (member, fingerprint) in openings {
            line(&["opening", member.as_str(), &fingerprint.to_base64()]);
        }
        line(&["person-key", &base64(&published.joint_person.to_bytes())]);
        line(&[
            "contract-key",
            &base64(&published.joint_contract.to_bytes()),
        ]);
        for pair in &published.shares {
            line(&[
                "share",
                pair.member.as_str(),
                &pair.person.index().to_string(),
                &base64(&pair.person.to_bytes()),
                &base64(&pair.contract.to_bytes()),
            ]);
        }
        let hash = hash::derive(Context::CeremonyTranscript, &[text.as_bytes()]);
        Self { text, hash }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its hash, by which the roster names it.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
