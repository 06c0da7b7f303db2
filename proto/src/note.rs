//! Signed notes (C2SP signed-note): a text that people can read, and who signed it.
//!
//! Rosters and checkpoints are the texts of notes. One difference from the C2SP client, which
//! ignores lines of unknown keys: whoever accepts a note here accepts each of its lines, so an
//! unknown signer or a failing line refuses the whole. A receipt is kept for years; if some of
//! its bytes were not checked, they could be changed and nobody would notice.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ids::{MemberName, UnixSeconds};
use crate::signing::{PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, SecretKey, Signature};

/// Longest note: a roster of a hundred members with a line from each fits, and it is what one
/// message to a point of sale may hold.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Most signature lines: as many as a roster may have members, since each signs at most once.
pub const NOTE_SIGNATURES_MAX: usize = 100;
/// Length of a key id (C2SP signed-note, "Signatures").
pub const KEY_ID_BYTES: usize = 4;

/// What every signature line starts with: an em dash (U+2014) and a space.
pub(crate) const LINE_START: &str = "\u{2014} ";
/// Length of the time in front of a cosignature (C2SP tlog-cosignature, "Format").
const TIME_BYTES: usize = 8;

/// Why bytes are not a signed note. Lines are counted from 1 after the blank line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// The note is longer than any this protocol writes.
    #[error("a note may have at most {NOTE_BYTES_MAX} bytes, this one has {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The bytes are not UTF-8.
    #[error("a note must be UTF-8")]
    Utf8,
    /// A control character other than the newline could hide what a terminal shows.
    #[error("a note must not contain control characters other than newline")]
    ControlCharacter,
    /// The text is empty or does not end in a newline.
    #[error("the text of a note must end in a newline")]
    Text,
    /// There is no blank line followed by at least one signature line.
    #[error("a note must have a blank line and signatures after its text")]
    Unsigned,
    /// A line after the blank line is not a signature line in its one spelling.
    #[error("signature line {line} must be an em dash, a name and canonical base64")]
    SignatureLine {
        /// Which line.
        line: usize,
    },
    /// There are more signature lines than a roster has members.
    #[error("a note may have at most {NOTE_SIGNATURES_MAX} signatures, this one has {got}")]
    TooManySignatures {
        /// How many there are.
        got: usize,
    },
    /// One key has two lines, so that counting lines would count it twice.
    #[error("signature line {line} repeats the name and key id of an earlier one")]
    DuplicateSignature {
        /// Which line.
        line: usize,
    },
}

/// Why one signature line is not accepted for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteSignatureError {
    /// The key id belongs to another name, key or kind of signature.
    #[error("the key id is not that of this name, key and kind of signature")]
    KeyId,
    /// The key did not sign this text.
    #[error("the signature does not verify")]
    Signature,
}

/// The two signature types in use, with their bytes of the C2SP signed-note registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureKind {
    /// A plain Ed25519 signature of the text: rosters.
    Ed25519,
    /// A cosignature/v1, which says at what time it was made: checkpoints.
    Cosignature,
}

impl SignatureKind {
    /// The type byte, which goes into the key id and so keeps the kinds apart.
    #[must_use]
    pub const fn type_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// Which name, key and kind of signature a line claims to be from. A label, not a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// `SHA-256(name || "\n" || type byte || public key)[..4]` (C2SP signed-note, "Signatures").
    #[must_use]
    pub fn new(name: &MemberName, kind: SignatureKind, public: &PublicKey) -> Self {
        Self::of(name.as_str(), kind, &public.to_bytes())
    }

    /// The same for any C2SP key name: head logs and published examples use names that no member may
    /// have.
    pub(crate) fn of(name: &str, kind: SignatureKind, public: &[u8; PUBLIC_KEY_BYTES]) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update(b"\n")
            .chain_update([kind.type_byte()])
            .chain_update(public)
            .finalize()
            .into();
        let [a, b, c, d, ..] = digest;
        Self([a, b, c, d])
    }

    /// Its 4 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }
}

/// One signature line, not yet checked: who claims to have signed, with which key, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: MemberName,
    key_id: KeyId,
    /// Present exactly in a cosignature, and signed with the text.
    time: Option<UnixSeconds>,
    signature: Signature,
}

impl NoteSignature {
    /// Signs a text plainly (type 0x01).
    ///
    /// No text that is signed so may begin with `cosignature/v1`: it would pass for a cosignature.
    #[must_use]
    pub fn sign(text: &str, name: &MemberName, secret: &SecretKey) -> Self {
        Self::sign_at(text, name, secret, None)
    }

    /// Cosigns a text (type 0x04), stating that the signer held it to be true at `time`.
    #[must_use]
    pub fn cosign(text: &str, name: &MemberName, secret: &SecretKey, time: UnixSeconds) -> Self {
        Self::sign_at(text, name, secret, Some(time))
    }

    fn sign_at(
        text: &str,
        name: &MemberName,
        secret: &SecretKey,
        time: Option<UnixSeconds>,
    ) -> Self {
        Self {
            name: name.clone(),
            key_id: KeyId::new(name, kind_of(time), &secret.public()),
            time,
            signature: secret.sign(&signed_message(text, time)),
        }
    }

    /// Checks that this key, under the name of this line, signed the text.
    ///
    /// # Errors
    /// [`NoteSignatureError::KeyId`] when the line is from another key or kind of signature,
    /// [`NoteSignatureError::Signature`] when the key did not sign this text at this time.
    pub fn verify(&self, text: &str, public: &PublicKey) -> Result<(), NoteSignatureError> {
        // No other check covers the four bytes of the key id.
        if self.key_id != KeyId::new(&self.name, self.kind(), public) {
            return Err(NoteSignatureError::KeyId);
        }
        public
            .verify(&signed_message(text, self.time), &self.signature)
            .map_err(|_| NoteSignatureError::Signature)
    }

    /// The name of the signer.
    #[must_use]
    pub const fn name(&self) -> &MemberName {
        &self.name
    }

    /// The id of the key.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Whether it is a plain signature or a cosignature.
    #[must_use]
    pub const fn kind(&self) -> SignatureKind {
        kind_of(self.time)
    }

    /// When a cosignature was made; a plain signature does not say.
    #[must_use]
    pub const fn time(&self) -> Option<UnixSeconds> {
        self.time
    }

    /// Reads `<em dash> <name> <base64>` without its newline. The length tells the two kinds
    /// apart: 4 bytes of key id, then 64 for a plain signature or 8 + 64 for a cosignature.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(base64).ok()?;
        let (key_id, body) = bytes.split_first_chunk()?;
        let (time, signature) = match body.len().checked_sub(SIGNATURE_BYTES)? {
            0 => (None, body),
            TIME_BYTES => {
                let (time, signature) = body.split_first_chunk()?;
                (Some(UnixSeconds::new(u64::from_be_bytes(*time))), signature)
            }
            _ => return None,
        };
        Some(Self {
            name: name.parse().ok()?,
            key_id: KeyId(*key_id),
            time,
            signature: Signature::from_bytes(signature.try_into().ok()?),
        })
    }
}

impl fmt::Display for NoteSignature {
    /// The line as it stands in a note, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.0.to_vec();
        if let Some(time) = self.time {
            bytes.extend(time.get().to_be_bytes());
        }
        bytes.extend(self.signature.as_bytes());
        let base64 = BASE64_STANDARD.encode(bytes);
        write!(f, "{LINE_START}{} {base64}", self.name)
    }
}

const fn kind_of(time: Option<UnixSeconds>) -> SignatureKind {
    match time {
        None => SignatureKind::Ed25519,
        Some(_) => SignatureKind::Cosignature,
    }
}

/// What the key signs: the text, or for a cosignature two lines more in front of it, which keep
/// it from passing for a plain signature (C2SP tlog-cosignature, "Signed message").
fn signed_message(text: &str, time: Option<UnixSeconds>) -> Vec<u8> {
    match time {
        None => text.as_bytes().to_vec(),
        Some(time) => format!("cosignature/v1\ntime {time}\n{text}").into_bytes(),
    }
}

/// A text and its signature lines, well formed but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Puts a text and its signatures together.
    ///
    /// # Errors
    /// [`NoteError`] for a text or a list of signatures that [`Note::parse`] would not read back.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Text);
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::ControlCharacter);
        }
        check_signatures(&signatures)?;
        let note = Self { text, signatures };
        match note.to_text().len() {
            0..=NOTE_BYTES_MAX => Ok(note),
            got => Err(NoteError::TooLong { got }),
        }
    }

    /// Reads a note in its one spelling; what it returns prints as the same bytes.
    ///
    /// # Errors
    /// [`NoteError`], which names the rule of C2SP signed-note, "Format", that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: bytes.len() });
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        // "the text is separated from the signatures by the last empty line in the note"
        let blank = note.rfind("\n\n").ok_or(NoteError::Unsigned)?;
        let (text, signatures) = note.split_at(blank + 1);
        let lines = signatures
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'))
            .ok_or(NoteError::Unsigned)?;
        let signatures = lines
            .split('\n')
            .zip(1..)
            .map(|(text, line)| NoteSignature::parse(text).ok_or(NoteError::SignatureLine { line }))
            .collect::<Result<_, _>>()?;
        Self::new(text.to_owned(), signatures)
    }

    /// The note as it is stored and sent.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for signature in &self.signatures {
            // Writing into a String cannot fail.
            let _ = writeln!(note, "{signature}");
        }
        note
    }

    /// The text that was signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

/// At least one line, at most as many as members, and none twice for one key.
fn check_signatures(signatures: &[NoteSignature]) -> Result<(), NoteError> {
    match signatures.len() {
        0 => return Err(NoteError::Unsigned),
        1..=NOTE_SIGNATURES_MAX => {}
        got => return Err(NoteError::TooManySignatures { got }),
    }
    let mut seen = BTreeSet::new();
    for (signature, line) in signatures.iter().zip(1..) {
        if !seen.insert((&signature.name, signature.key_id)) {
            return Err(NoteError::DuplicateSignature { line });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> MemberName {
        text.parse().unwrap()
    }

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    const TIME: UnixSeconds = UnixSeconds::new(1_768_000_000);

    fn note() -> Note {
        let text = "hello\n";
        let lines = vec![
            NoteSignature::sign(text, &name("alpha"), &secret(1)),
            NoteSignature::cosign(text, &name("beta"), &secret(2), TIME),
        ];
        Note::new(text.to_owned(), lines).unwrap()
    }

    /// `note()`, as a second implementation (Python, cryptography) printed it.
    const GOLDEN: &str = "hello\n\n\
        \u{2014} alpha eh6HgYL3LVihtloTBAguJo0tpwXhAo86oYa3y7p3R3XkNSmhJp+qi4I0m7IhemUcGBO\
        ++44k34xTV96B8tOLt8JcvQ0=\n\
        \u{2014} beta 0rfpLAAAAABpYYoAvLL+4nvVxDUiuswo/Jevvx9srlNgzaCc2gKRdKoazKZK9DNwLw8oW48S\
        h5rHOCRqEGzr/Y7KclFO9yq9MgurBA==\n";

    /// The example of C2SP tlog-checkpoint is a checkpoint of the Go checksum database under
    /// another name; this is the original, signed by the published key of `sum.golang.org`.
    const GO_NOTE: &str = "go.sum database tree\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/\
        Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn a_note_of_the_go_checksum_database_verifies() {
        // Its verifier key: sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8
        let verifier = BASE64_STANDARD
            .decode("Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
            .unwrap();
        let public = PublicKey::from_bytes(&verifier[1..].try_into().unwrap()).unwrap();
        let note = Note::parse(GO_NOTE.as_bytes()).unwrap();
        let line = &note.signatures()[0];
        assert_eq!(line.key_id().as_bytes(), &[0x03, 0x3d, 0xe0, 0xae]);
        assert_eq!(line.verify(note.text(), &public), Ok(()));
        assert_eq!(note.to_text(), GO_NOTE);
    }

    #[test]
    fn the_key_id_of_a_published_verifier_key_is_reproduced() {
        // PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW, the example of Go's
        // package golang.org/x/mod/sumdb/note.
        let verifier = BASE64_STANDARD
            .decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
            .unwrap();
        let public = verifier[1..].try_into().unwrap();
        let id = KeyId::of("PeterNeumann", SignatureKind::Ed25519, &public);
        assert_eq!(id.as_bytes(), &[0xc7, 0x4f, 0x20, 0xa3]);
    }

    #[test]
    fn a_note_of_fixed_keys_and_time_has_these_bytes() {
        assert_eq!(note().to_text(), GOLDEN);
        assert_eq!(Note::parse(GOLDEN.as_bytes()), Ok(note()));
    }

    #[test]
    fn a_cosignature_signs_the_two_header_lines_and_the_text() {
        let line = NoteSignature::cosign("hello\n", &name("beta"), &secret(2), TIME);
        let message = b"cosignature/v1\ntime 1768000000\nhello\n";
        assert_eq!(line.signature, secret(2).sign(message));
        let bytes = BASE64_STANDARD
            .decode(line.to_string().rsplit(' ').next().unwrap())
            .unwrap();
        assert_eq!(bytes[4..12], 1_768_000_000_u64.to_be_bytes());
    }

    #[test]
    fn a_line_verifies_for_its_own_text_name_key_kind_and_time_only() {
        let line = NoteSignature::cosign("hello\n", &name("beta"), &secret(2), TIME);
        let public = secret(2).public();
        assert_eq!(line.verify("hello\n", &public), Ok(()));

        let verify = |line: &NoteSignature| line.verify("hello\n", &public);
        let id = Err(NoteSignatureError::KeyId);
        let bad = Err(NoteSignatureError::Signature);
        assert_eq!(line.verify("hallo\n", &public), bad);
        assert_eq!(line.verify("hello\n", &secret(1).public()), id);
        let with = |change: fn(&mut NoteSignature)| {
            let mut line = line.clone();
            change(&mut line);
            line
        };
        assert_eq!(verify(&with(|l| l.name = "betb".parse().unwrap())), id);
        assert_eq!(verify(&with(|l| l.key_id.0[3] ^= 1)), id);
        assert_eq!(verify(&with(|l| l.time = None)), id);
        assert_eq!(
            verify(&with(|l| l.time = Some(UnixSeconds::new(1_768_000_001)))),
            bad
        );
    }

    #[test]
    fn a_text_may_have_empty_lines_and_lines_that_look_signed() {
        for text in ["\n", "a\n\n\n", "\n\na\n", "a\n\n\u{2014} alpha AAAA\n"] {
            let line = NoteSignature::sign(text, &name("alpha"), &secret(1));
            let note = Note::new(text.to_owned(), vec![line]).unwrap();
            assert_eq!(Note::parse(note.to_text().as_bytes()), Ok(note), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_a_note_are_refused() {
        let (text, lines) = GOLDEN.split_once("\n\n").unwrap();
        let one = lines.lines().next().unwrap();
        let refused = |note: &str, want| {
            assert_eq!(Note::parse(note.as_bytes()), Err(want), "{note:?}");
        };
        let first = NoteError::SignatureLine { line: 1 };
        refused("", NoteError::Unsigned);
        refused(text, NoteError::Unsigned);
        refused(&format!("{text}\n\n"), NoteError::Unsigned);
        refused(&format!("{text}\n{one}\n"), NoteError::Unsigned);
        refused(&format!("\n\n{one}"), NoteError::Unsigned);
        refused(&format!("{text}\n\n{one}"), NoteError::Unsigned);
        refused(&format!("{text}\n\n\n{one} \n"), first);
        refused(&format!("{text}\n\n{one}\n\n"), NoteError::Unsigned);
        refused(&format!("{text}\n\n{one}\r\n"), first);
        refused(&format!("te\rxt\n\n{one}\n"), NoteError::ControlCharacter);
        refused(
            &format!("te\u{9b}xt\n\n{one}\n"),
            NoteError::ControlCharacter,
        );
        refused(
            &format!("{text}\n\n{}\n", one.trim_start_matches(LINE_START)),
            first,
        );
        refused(&format!("{text}\n\n-{}\n", &one[3..]), first);
        refused(
            &format!("{text}\n\n{}\n", one.replace("alpha", "Alpha")),
            first,
        );
        refused(&format!("{text}\n\n{}\n", one.replace("alpha", "")), first);
        refused(
            &format!("{text}\n\n{}\n", one.replace("alpha ", "alpha  ")),
            first,
        );
        refused(&format!("{text}\n\n{}\n", one.replace('=', "")), first);
        refused(
            &format!("{text}\n\n{one}\n{text}\n"),
            NoteError::SignatureLine { line: 2 },
        );
        refused(
            &format!("{text}\n\n{one}\n{one}\n"),
            NoteError::DuplicateSignature { line: 2 },
        );
        assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Utf8));
    }

    #[test]
    fn base64_that_leaves_bits_over_is_refused() {
        // A plain signature is 68 bytes: its last character but one carries four unused bits.
        let one = GOLDEN.lines().nth(2).unwrap();
        let (head, last) = one.split_at(one.len() - 2);
        assert!(NoteSignature::parse(one).is_some());
        let sloppy = char::from(last.as_bytes()[0] + 1);
        assert_eq!(NoteSignature::parse(&format!("{head}{sloppy}=")), None);
    }

    #[test]
    fn a_signature_of_any_other_length_is_refused() {
        for length in (0..90).filter(|l| ![68, 76].contains(l)) {
            let line = format!(
                "{LINE_START}alpha {}",
                BASE64_STANDARD.encode(vec![7; length])
            );
            assert_eq!(NoteSignature::parse(&line), None, "{length}");
        }
    }

    #[test]
    fn the_limits_are_the_last_values_accepted() {
        let line = |text: &str, index| {
            NoteSignature::sign(text, &format!("m{index}").parse().unwrap(), &secret(1))
        };
        let lines: Vec<_> = (0..=100).map(|index| line("a\n", index)).collect();
        assert!(Note::new("a\n".to_owned(), lines[..100].to_vec()).is_ok());
        assert_eq!(
            Note::new("a\n".to_owned(), lines),
            Err(NoteError::TooManySignatures { got: 101 })
        );
        let room = NOTE_BYTES_MAX - 1 - line("", 0).to_string().len() - 1;
        for (length, fits) in [(room, true), (room + 1, false)] {
            let text = "a".repeat(length - 1) + "\n";
            let lines = vec![line(&text, 0)];
            let note = Note::new(text, lines);
            assert_eq!(note.is_ok(), fits);
            assert_eq!(
                note.is_err(),
                note == Err(NoteError::TooLong {
                    got: NOTE_BYTES_MAX + 1
                })
            );
        }
        assert_eq!(
            Note::parse(&vec![b'a'; NOTE_BYTES_MAX + 1]),
            Err(NoteError::TooLong {
                got: NOTE_BYTES_MAX + 1
            })
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            lines in proptest::collection::vec("[a-z \u{e9}\n\u{2014}]{0,9}", 1..5),
            seeds in proptest::collection::btree_map(any::<u8>(), any::<Option<u64>>(), 1..4),
        ) {
            let text = lines.join("\n") + "\n";
            let signatures = seeds
                .into_iter()
                .map(|(seed, time)| {
                    let time = time.map(UnixSeconds::new);
                    NoteSignature::sign_at(&text, &name("a.b-c"), &secret(seed), time)
                })
                .collect();
            let note = Note::new(text, signatures).unwrap();
            prop_assert_eq!(Note::parse(note.to_text().as_bytes()), Ok(note));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_spelling(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            place in 0..GOLDEN.len(),
            length in 0..9_usize,
        ) {
            let _ = Note::parse(&bytes);
            let mut near = GOLDEN.as_bytes().to_vec();
            let end = (place + length).min(near.len());
            near.splice(place..end, bytes.into_iter().take(length));
            if let Ok(note) = Note::parse(&near) {
                prop_assert_eq!(note.to_text().into_bytes(), near);
            }
        }
    }
}
