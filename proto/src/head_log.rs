//! Head logs: each member's own log of the ledger's checkpoints, for stock tools.
//!
//! The ledger's own log hashes with BLAKE3 and its checkpoints have a line for the map, which stock
//! tools do not know. So each member that takes part in ordering keeps a second, small log in the
//! plain form of C2SP tlog-checkpoint, tlog-tiles and signed-note: SHA-256 as in RFC 6962, three
//! lines, one signer. Its leaves are signed checkpoints of the ledger, as they were published.
//!
//! The member's key signs it. The first line, the origin, keeps that signature from meaning
//! anything else: no other text that the key signs plainly has a `/head/` in its first line, or
//! begins like a cosignature.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::hash::Hash;
use crate::ids::{MemberName, Origin, TreeSize};
use crate::merkle::{Sha256, TreeHasher as _};
use crate::note::{KeyId, LINE_START, SignatureKind};
use crate::signing::{PublicKey, SecretKey};

/// One life of one member's head log. A node that has lost its head log, or cannot know that it has
/// all of it, begins another one under another number: no life ever has two logs of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLogLife(u64);

impl HeadLogLife {
    /// The life with this number, which was drawn at random.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The name of one head log (C2SP tlog-checkpoint, "origin"), which is its key name as well.
///
/// At most 215 bytes: those of the ledger's origin, a member's name, and 23 more. C2SP allows 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadLogOrigin(String);

impl HeadLogOrigin {
    /// `<ledger>/head/<member>/<life, 16 hexadecimal digits>`.
    #[must_use]
    pub fn new(ledger: &Origin, member: &MemberName, life: HeadLogLife) -> Self {
        Self(format!("{ledger}/head/{member}/{:016x}", life.get()))
    }

    /// The text of the origin.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a stock tool is given to verify this log: `<name>+<key id>+<base64 of 0x01 || key>`
    /// (C2SP signed-note, "Verifier keys").
    #[must_use]
    pub fn verifier_key(&self, public: &PublicKey) -> String {
        let kind = SignatureKind::Ed25519;
        let key_id = u32::from_be_bytes(*KeyId::of(&self.0, kind, &public.to_bytes()).as_bytes());
        let key = [&[kind.type_byte()][..], &public.to_bytes()].concat();
        format!("{self}+{key_id:08x}+{}", BASE64_STANDARD.encode(key))
    }
}

impl fmt::Display for HeadLogOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A head log at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadLogCheckpoint {
    /// Which head log.
    pub origin: HeadLogOrigin,
    /// How many leaves it has.
    pub size: TreeSize,
    /// The root of its tree.
    pub root: Hash,
}

impl HeadLogCheckpoint {
    /// `<origin>\n<size>\n<base64 root>\n` (C2SP tlog-checkpoint, "Note text").
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The note with the log's own signature (C2SP signed-note, type 0x01), named by the origin.
    ///
    /// The caller has made the leaves durable: never two roots of one size.
    #[must_use]
    pub fn sign(&self, secret: &SecretKey) -> String {
        let (text, name) = (self.to_text(), self.origin.as_str());
        let key_id = KeyId::of(name, SignatureKind::Ed25519, &secret.public().to_bytes());
        let signature = secret.sign(text.as_bytes());
        let line = [&key_id.as_bytes()[..], signature.as_bytes()].concat();
        let line = BASE64_STANDARD.encode(line);
        format!("{text}\n{LINE_START}{name} {line}\n")
    }
}

/// The leaf hash of a signed checkpoint of the ledger (RFC 6962, 2.1): of its bytes, as they are
/// sent.
#[must_use]
pub fn leaf_hash(signed_checkpoint: &[u8]) -> Hash {
    Sha256::leaf(signed_checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::NoteSignature;

    fn origin() -> HeadLogOrigin {
        let ledger = "vitrail.example/optique".parse().unwrap();
        HeadLogOrigin::new(
            &ledger,
            &"alpha".parse().unwrap(),
            HeadLogLife::new(0x0102_0304),
        )
    }

    fn checkpoint() -> HeadLogCheckpoint {
        HeadLogCheckpoint {
            origin: origin(),
            size: TreeSize::new(1),
            root: leaf_hash(b"a checkpoint\n"),
        }
    }

    /// Printed by another program (Python) from docs/protocol.md.
    const GOLDEN: &str = "\
        vitrail.example/optique/head/alpha/0000000001020304\n\
        1\n\
        IFbnm+QJqarqMyExtxe1X75DfAzwSHDxilLdFpWfl4U=\n\
        \n\
        \u{2014} vitrail.example/optique/head/alpha/0000000001020304 MLN2Dxm5mSkc303qy70opAfsA9OrMZ0MK0OLvE+0O2Ww6Xu3kGW1i0R0ICcBC2pM6FphpstsrGygqNZsay0v7uFqKgA=\n";
    const GOLDEN_KEY: &str = "vitrail.example/optique/head/alpha/0000000001020304+30b3760f+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

    #[test]
    fn a_head_of_a_fixed_key_has_these_bytes() {
        let secret = SecretKey::from_seed(&[7; 32]);
        assert_eq!(checkpoint().sign(&secret), GOLDEN);
        assert_eq!(origin().verifier_key(&secret.public()), GOLDEN_KEY);
    }

    #[test]
    fn a_head_passes_for_nothing_else_that_a_member_signs() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let note = checkpoint().sign(&secret);
        let (text, line) = note.split_once("\n\n").unwrap();
        assert!(crate::checkpoint::Checkpoint::parse(&format!("{text}\n")).is_err());
        assert_eq!(NoteSignature::parse(line.trim_end()), None);
        assert!(!text.starts_with("cosignature/v1\n"));
        let longest = HeadLogOrigin::new(
            &"o".repeat(crate::ids::ORIGIN_BYTES_MAX).parse().unwrap(),
            &"m".repeat(crate::ids::MEMBER_NAME_BYTES_MAX)
                .parse()
                .unwrap(),
            HeadLogLife::new(u64::MAX),
        );
        assert!(longest.as_str().len() <= 255);
    }
}
