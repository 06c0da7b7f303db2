//! Checkpoints (C2SP tlog-checkpoint): what the ledger was at one size, and who vouches for it.
//!
//! A member cosigns a checkpoint after it has applied the entries itself and found both roots, and
//! never two of one size. [`SignedCheckpoint`] is what arrives; only [`SignedCheckpoint::verify`]
//! makes a [`VerifiedCheckpoint`], and everything that is proved to a user is proved against one.

mod cosigned;

use thiserror::Error;

pub use self::cosigned::Cosigned;

use crate::hash::Hash;
use crate::ids::{MemberName, Origin, TreeSize, UnixSeconds};
use crate::note::{Note, NoteError, NoteSignature, SignatureKind};
use crate::roster::{Member, Roster, SignerError};
use crate::signing::SecretKey;

/// What starts the one extension line; C2SP leaves extension lines to the log.
const MAP_PREFIX: &str = "map ";

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointTextError {
    /// There are not four lines, or the last does not end in a newline.
    #[error("a checkpoint must have exactly four lines, each with its newline")]
    Lines,
    /// The first line is not an origin.
    #[error("line 1 of a checkpoint must be an origin")]
    Origin,
    /// The second line is not a size in its one spelling.
    #[error("line 2 of a checkpoint must be a decimal size without leading zeros")]
    Size,
    /// The third line is not a hash.
    #[error("line 3 of a checkpoint must be the base64 log root")]
    LogRoot,
    /// The fourth line is not the map's.
    #[error("line 4 of a checkpoint must be `map` and the base64 map root")]
    MapRoot,
}

/// Why bytes are not a signed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignedCheckpointError {
    /// They are not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint.
    #[error(transparent)]
    Text(#[from] CheckpointTextError),
}

/// Why a signed checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The checkpoint is of another ledger.
    #[error("the checkpoint has another origin than the roster")]
    Origin,
    /// A line is not a cosignature of a member, or does not verify.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Too few voting members cosigned.
    #[error("{got} voting members cosigned the checkpoint, it takes {want}")]
    QuorumNotMet {
        /// How many cosigned.
        got: usize,
        /// How many it takes.
        want: usize,
    },
}

/// The state of one ledger at one size. Nobody vouches for it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger.
    pub origin: Origin,
    /// How many entries its log has.
    pub size: TreeSize,
    /// The root of the log.
    pub log_root: Hash,
    /// The root of the map after the last of these entries.
    pub map_root: Hash,
}

impl Checkpoint {
    /// `<origin>\n<size>\n<base64 log root>\nmap <base64 map root>\n`: what members cosign.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (origin, size) = (&self.origin, self.size);
        let (log_root, map_root) = (self.log_root, self.map_root);
        format!("{origin}\n{size}\n{log_root}\n{MAP_PREFIX}{map_root}\n")
    }

    /// Reads a checkpoint in its one spelling.
    ///
    /// # Errors
    /// [`CheckpointTextError`], the first line that is not as C2SP tlog-checkpoint, "Note text",
    /// or the extension line of this protocol has it.
    pub fn parse(text: &str) -> Result<Self, CheckpointTextError> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, log_root, map_root, ""] = lines[..] else {
            return Err(CheckpointTextError::Lines);
        };
        let map_root = map_root.strip_prefix(MAP_PREFIX);
        Ok(Self {
            origin: origin.parse().map_err(|_| CheckpointTextError::Origin)?,
            size: parse_size(size).ok_or(CheckpointTextError::Size)?,
            log_root: Hash::from_base64(log_root).ok_or(CheckpointTextError::LogRoot)?,
            map_root: map_root
                .and_then(Hash::from_base64)
                .ok_or(CheckpointTextError::MapRoot)?,
        })
    }

    /// States, as a member, that at `time` this was the largest checkpoint one had found true.
    ///
    /// The caller has made its cosign lock durable: never two checkpoints of one size.
    #[must_use]
    pub fn cosign(
        &self,
        name: &MemberName,
        secret: &SecretKey,
        time: UnixSeconds,
    ) -> NoteSignature {
        NoteSignature::cosign(&self.to_text(), name, secret, time)
    }

    /// Checks one cosignature while a quorum of them is gathered, and says whose it is.
    ///
    /// # Errors
    /// [`SignerError`] when the signer is not in the roster, or did not cosign this checkpoint.
    pub fn verify_cosignature<'a>(
        &self,
        cosignature: &NoteSignature,
        roster: &'a Roster,
    ) -> Result<&'a Member, SignerError> {
        roster.verify_signature(&self.to_text(), cosignature, SignatureKind::Cosignature)
    }
}

/// A decimal without sign or leading zeros (C2SP tlog-checkpoint, "Note text").
fn parse_size(text: &str) -> Option<TreeSize> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    let size = text.parse().ok().filter(|_| canonical);
    size.map(TreeSize::new)
}

/// A checkpoint and the lines of its note, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Puts a checkpoint and its cosignatures together.
    ///
    /// # Errors
    /// [`NoteError`] for no cosignature, or two of one key.
    pub fn new(
        checkpoint: Checkpoint,
        cosignatures: Vec<NoteSignature>,
    ) -> Result<Self, NoteError> {
        let note = Note::new(checkpoint.to_text(), cosignatures)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed checkpoint in its one spelling.
    ///
    /// # Errors
    /// [`SignedCheckpointError`] when the bytes are not a note, or its text not a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedCheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { checkpoint, note })
    }

    /// The signed checkpoint as it is stored, sent and served.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.note.to_text()
    }

    /// What it claims; believe it only after [`SignedCheckpoint::verify`].
    #[must_use]
    pub const fn claimed(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The lines under it, none of them checked.
    #[must_use]
    pub fn cosignatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }

    /// Accepts the checkpoint if a quorum of the roster vouches for it.
    ///
    /// 1. Its origin is the roster's.
    /// 2. Every line is the cosignature of a member, voting or following, and verifies strictly.
    /// 3. At least [`Roster::quorum`] of them are from voting members.
    ///
    /// # Errors
    /// [`CheckpointError`], the first of these that does not hold.
    pub fn verify(&self, roster: &Roster) -> Result<VerifiedCheckpoint, CheckpointError> {
        let signers = self.verify_signers(roster)?.into_iter();
        // A note has one line for a key, and a roster one key for a member.
        let voting = signers.filter(|(member, _)| member.is_voting());
        let times: Vec<UnixSeconds> = voting.map(|(_, time)| time).collect();
        let (got, want) = (times.len(), roster.quorum());
        let time = quorum_time(times, want).ok_or(CheckpointError::QuorumNotMet { got, want })?;
        Ok(VerifiedCheckpoint {
            signed: self.clone(),
            time,
        })
    }

    /// Checks steps 1 and 2 of [`verify`](Self::verify) alone, and says who cosigned, and when:
    /// what a member states binds that member, however many others state it too.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] and [`CheckpointError::Signer`].
    pub fn verify_signers<'a>(
        &self,
        roster: &'a Roster,
    ) -> Result<Vec<(&'a Member, UnixSeconds)>, CheckpointError> {
        if self.checkpoint.origin != *roster.origin() {
            return Err(CheckpointError::Origin);
        }
        let mut signers = Vec::new();
        for line in self.note.signatures() {
            let member =
                roster.verify_signature(self.note.text(), line, SignatureKind::Cosignature)?;
            signers.extend(line.time().map(|time| (member, time)));
        }
        Ok(signers)
    }
}

/// The largest `t` such that at least `quorum` of the times are `t` or later; `None` when there
/// are fewer times. A minority that lies about the time cannot move it past an honest member's.
fn quorum_time(mut times: Vec<UnixSeconds>, quorum: usize) -> Option<UnixSeconds> {
    times.sort_unstable_by(|a, b| b.cmp(a));
    times.get(quorum.checked_sub(1)?).copied()
}

/// A checkpoint that a quorum of a roster vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    time: UnixSeconds,
}

impl VerifiedCheckpoint {
    /// The ledger.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.signed.checkpoint.origin
    }

    /// How many entries its log has.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.signed.checkpoint.size
    }

    /// The root of the log: what inclusion and consistency are proved against.
    #[must_use]
    pub const fn log_root(&self) -> Hash {
        self.signed.checkpoint.log_root
    }

    /// The root of the map: what the state of a slot is proved against.
    #[must_use]
    pub const fn map_root(&self) -> Hash {
        self.signed.checkpoint.map_root
    }

    /// The latest moment at or after which a whole quorum cosigned: the age of what it shows is
    /// `now` less this.
    #[must_use]
    pub const fn time(&self) -> UnixSeconds {
        self.time
    }

    /// What was verified, to be stored or passed on.
    #[must_use]
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The names of those who cosigned, following members included, in the order of the note.
    pub fn signers(&self) -> impl Iterator<Item = &MemberName> {
        self.signed
            .note
            .signatures()
            .iter()
            .map(NoteSignature::name)
    }

    /// When this member cosigned; `None` when it did not.
    #[must_use]
    pub fn cosigned_at(&self, name: &MemberName) -> Option<UnixSeconds> {
        let mut lines = self.signed.note.signatures().iter();
        lines.find(|line| line.name() == name)?.time()
    }
}

/// Checkpoints of the federation of `roster::example`, for the tests of this crate.
#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use crate::roster::example::{name, secret};

    /// When the example checkpoints are cosigned.
    pub(crate) const TIME: UnixSeconds = UnixSeconds::new(1_768_000_000);

    /// A checkpoint of the example's ledger.
    pub(crate) fn checkpoint(size: u64, log_root: Hash) -> Checkpoint {
        Checkpoint {
            origin: "vitrail.example/optique".parse().unwrap(),
            size: TreeSize::new(size),
            log_root,
            map_root: Hash::from_bytes([7; 32]),
        }
    }

    /// The checkpoint with the cosignature of each of these members.
    pub(crate) fn cosigned(
        checkpoint: &Checkpoint,
        signers: impl IntoIterator<Item = u8>,
        time: UnixSeconds,
    ) -> SignedCheckpoint {
        let signers = signers.into_iter();
        let lines = signers.map(|s| checkpoint.cosign(&name(s), &secret(s), time));
        SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::example::{TIME, checkpoint, cosigned};
    use super::*;
    use crate::hash;
    use crate::note::NoteSignatureError;
    use crate::roster::example::{federation, name, secret};

    fn checkpoint_of_20() -> Checkpoint {
        checkpoint(20, hash::empty())
    }

    /// A checkpoint of 20 entries cosigned by the first three example members, as a second
    /// implementation (Python) printed it.
    const GOLDEN: &str = "\
        vitrail.example/optique\n\
        20\n\
        rxNJufX5oaagQE3qNtzJSZvLJcmtwRK3zJqTyuQfMmI=\n\
        map BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\
        \n\
        \u{2014} member-00 lkhm5gAAAABpYYoAYDOxXddX2DkPRaKZRqcndCWwQjDvY5DcX1e3SYCqMX+1atLM7\
        lFxWuW0Gl8prj78VA5KJphtpAtT3EH9obWBDw==\n\
        \u{2014} member-01 ezUWLAAAAABpYYoAzZ5n/sANI+2gpaUCwMfCjXKxJFUyULlM0mzPE72oueJijs34O\
        xJZKu2rxDhYhZcVjArH/JN5aW1PszSb+15CAg==\n\
        \u{2014} member-02 wORt1QAAAABpYYoAwPvtoupcVTxqeTk/5cMJ7Sod2R1U7eIDP5I0Rek/Gb3zasUUh\
        khZaE0tkwwinctsoNngRK6RYUq3brZWwzJQBg==\n";

    #[test]
    fn a_cosigned_checkpoint_of_fixed_keys_and_time_has_these_bytes() {
        let signed = cosigned(&checkpoint_of_20(), 0..3, TIME);
        assert_eq!(signed.to_text(), GOLDEN);
        assert_eq!(SignedCheckpoint::parse(GOLDEN.as_bytes()), Ok(signed));
    }

    #[test]
    fn a_quorum_of_four_members_is_three() {
        let roster = federation(4, 2);
        let verify = |signers: &[u8]| {
            let signers = signers.iter().copied();
            cosigned(&checkpoint_of_20(), signers, TIME).verify(&roster)
        };
        for signers in [&[0, 1, 2][..], &[3, 1, 0], &[0, 1, 2, 3], &[5, 4, 3, 2, 1]] {
            let verified = verify(signers).unwrap();
            assert_eq!(verified.size().get(), 20);
            assert_eq!(verified.log_root(), hash::empty());
            assert_eq!(verified.signers().count(), signers.len());
        }
        let short = |got| Err(CheckpointError::QuorumNotMet { got, want: 3 });
        assert_eq!(verify(&[0, 1]), short(2));
        assert_eq!(verify(&[0, 3, 4, 5]), short(2));
        assert_eq!(verify(&[4]), short(0));
    }

    #[test]
    fn one_line_that_fails_refuses_a_checkpoint_that_has_a_quorum_without_it() {
        let (roster, good) = (federation(4, 0), checkpoint_of_20());
        let lines = |last: NoteSignature| {
            let mut lines: Vec<_> = (0..3)
                .map(|s| good.cosign(&name(s), &secret(s), TIME))
                .collect();
            lines.push(last);
            let signed = SignedCheckpoint::new(good.clone(), lines).unwrap();
            signed.verify(&roster).unwrap_err()
        };
        let unknown = SignerError::Unknown { name: name(4) };
        assert_eq!(
            lines(good.cosign(&name(4), &secret(4), TIME)),
            unknown.into()
        );
        let other = checkpoint(21, hash::empty());
        let member = name(3);
        let reason = NoteSignatureError::Signature;
        assert_eq!(
            lines(other.cosign(&member, &secret(3), TIME)),
            SignerError::Bad {
                member: member.clone(),
                reason
            }
            .into()
        );
        // A member's plain signature of the same text states nothing about time.
        assert_eq!(
            lines(NoteSignature::sign(&good.to_text(), &member, &secret(3))),
            SignerError::WrongKind { member }.into()
        );
    }

    #[test]
    fn a_checkpoint_of_another_ledger_is_refused() {
        let mut other = checkpoint_of_20();
        other.origin = "vitrail.example/audio".parse().unwrap();
        assert_eq!(
            cosigned(&other, 0..4, TIME).verify(&federation(4, 0)),
            Err(CheckpointError::Origin)
        );
    }

    #[test]
    fn one_member_cannot_count_twice() {
        let good = checkpoint_of_20();
        let lines = [TIME, UnixSeconds::new(TIME.get() + 1), TIME]
            .map(|time| good.cosign(&name(0), &secret(0), time));
        assert_eq!(
            SignedCheckpoint::new(good, lines.to_vec()),
            Err(NoteError::DuplicateSignature { line: 2 })
        );
    }

    fn is_accepted_with(text: &str, place: usize, flip: u8, roster: &Roster) -> bool {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] ^= flip;
        SignedCheckpoint::parse(&bytes).is_ok_and(|signed| signed.verify(roster).is_ok())
    }

    #[test]
    fn no_byte_of_a_signed_checkpoint_can_change() {
        let roster = federation(1, 0);
        let text = cosigned(&checkpoint_of_20(), 0..1, TIME).to_text();
        assert!(is_accepted_with(&text, 0, 0, &roster));
        for place in 0..text.len() {
            for flip in [0x01, 0x20] {
                assert!(
                    !is_accepted_with(&text, place, flip, &roster),
                    "{place} {flip}"
                );
            }
        }
    }

    #[test]
    fn no_byte_of_any_of_several_lines_can_change() {
        let roster = federation(4, 0);
        assert!(is_accepted_with(GOLDEN, 0, 0, &roster));
        for (place, flip) in (0..GOLDEN.len())
            .step_by(5)
            .zip([0x01, 0x20].into_iter().cycle())
        {
            assert!(
                !is_accepted_with(GOLDEN, place, flip, &roster),
                "{place} {flip}"
            );
        }
    }

    #[test]
    fn the_time_is_the_latest_after_which_a_quorum_cosigned() {
        let (roster, good) = (federation(4, 1), checkpoint_of_20());
        let time = |times: &[(u8, u64)]| {
            let lines = times
                .iter()
                .map(|&(s, time)| good.cosign(&name(s), &secret(s), UnixSeconds::new(time)));
            let signed = SignedCheckpoint::new(good.clone(), lines.collect()).unwrap();
            signed.verify(&roster).unwrap().time().get()
        };
        assert_eq!(time(&[(0, 10), (1, 20), (2, 30)]), 10);
        assert_eq!(time(&[(0, 10), (1, 20), (2, 30), (3, 40)]), 20);
        // A following member and a liar in the future move nothing.
        assert_eq!(time(&[(0, 10), (1, 20), (2, 30), (3, u64::MAX)]), 20);
        assert_eq!(time(&[(0, 10), (1, 20), (2, 30), (4, 40)]), 10);
    }

    proptest! {
        #[test]
        fn the_time_is_what_its_definition_says(
            times in proptest::collection::vec(0..20_u64, 0..9),
            quorum in 1..9_usize,
        ) {
            let slow = (0..20).rev().find(|t| times.iter().filter(|x| *x >= t).count() >= quorum);
            let fast = quorum_time(times.into_iter().map(UnixSeconds::new).collect(), quorum);
            prop_assert_eq!(fast.map(UnixSeconds::get), slow);
        }
    }

    #[test]
    fn a_text_that_is_not_a_checkpoint_is_refused_by_its_line() {
        let good = checkpoint_of_20().to_text();
        assert_eq!(Checkpoint::parse(&good), Ok(checkpoint_of_20()));
        let refused = |from: &str, to: &str, want| {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from:?}");
            assert_eq!(Checkpoint::parse(&text), Err(want), "{text:?}");
        };
        refused("vitrail", "Vitrail", CheckpointTextError::Origin);
        for size in [
            "020",
            "+20",
            "-20",
            "",
            "20 ",
            "18446744073709551616",
            "2e1",
            "0x14",
        ] {
            refused("\n20\n", &format!("\n{size}\n"), CheckpointTextError::Size);
        }
        refused("=\nmap", "\nmap", CheckpointTextError::LogRoot);
        refused("\nmap ", "\nmap  ", CheckpointTextError::MapRoot);
        refused("\nmap ", "\nMap ", CheckpointTextError::MapRoot);
        refused("\nmap ", "\n", CheckpointTextError::MapRoot);
        refused("\nmap ", "\nextra\nmap ", CheckpointTextError::Lines);
        refused("\nmap ", " map ", CheckpointTextError::Lines);
        refused("vitrail", "\nvitrail", CheckpointTextError::Lines);
        assert_eq!(
            Checkpoint::parse(good.trim_end()),
            Err(CheckpointTextError::Lines)
        );
        assert_eq!(
            Checkpoint::parse(&format!("{good}\n")),
            Err(CheckpointTextError::Lines)
        );
        assert_eq!(Checkpoint::parse(""), Err(CheckpointTextError::Lines));
    }

    #[test]
    fn the_lines_in_another_order_are_refused() {
        let good = checkpoint_of_20().to_text();
        let lines: Vec<_> = good.lines().collect();
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let mut swapped = lines.clone();
            swapped.swap(a, b);
            assert!(Checkpoint::parse(&(swapped.join("\n") + "\n")).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(size: u64, log_root: [u8; 32], map_root: [u8; 32]) {
            let mut checkpoint = checkpoint(size, Hash::from_bytes(log_root));
            checkpoint.map_root = Hash::from_bytes(map_root);
            prop_assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint));
        }

        #[test]
        fn arbitrary_text_never_panics_and_has_one_spelling(
            text in ".{0,80}",
            place in 0..GOLDEN.len(),
            length in 0..6_usize,
        ) {
            let _ = Checkpoint::parse(&text);
            let mut near = GOLDEN.as_bytes().to_vec();
            let end = (place + length).min(near.len());
            near.splice(place..end, text.bytes().take(length));
            if let Ok(signed) = SignedCheckpoint::parse(&near) {
                prop_assert_eq!(signed.to_text().into_bytes(), near);
            }
        }
    }
}
