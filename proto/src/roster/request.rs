//! What an organisation hands to the members so that they list it, or list it anew: a file that
//! shows the key it is to have.
//!
//! ```text
//! vitrail member request v1
//! origin vitrail.example/optique
//! first-roster <base64 of 32 bytes>
//! member <as the roster is to have it, following>
//! incident <base64 of 32 bytes>                   where it is to look into incidents
//!
//! <em dash> <name> <signature line of the key in the request>
//! <em dash> <name> <signature line of the key that it has in the roster, if it has one>
//! ```
//!
//! The first signature shows that whoever asks holds the key. Which organisation that is, no file
//! can show: members compare the key with what it told them on another way.

use thiserror::Error;

use super::text::{member, member_line};
use super::{Member, MemberChange, Roster};
use crate::hash::Hash;
use crate::ids::{MemberName, Origin};
use crate::incident::IncidentPublicKey;
use crate::note::{NOTE_BYTES_MAX, Note, NoteError, NoteSignature, NoteSignatureError};
use crate::signing::{PublicKey, SecretKey};

const TITLE: &str = "vitrail member request v1";

/// What a request says, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// The ledger.
    pub origin: Origin,
    /// The hash of the federation's first roster: two federations may use one origin by mistake.
    pub first_roster: Hash,
    /// The member as it asks to be listed.
    pub member: Member,
    /// What access records are to be sealed to for it.
    pub incident: Option<IncidentPublicKey>,
}

/// A request that the key in it has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRequest {
    request: MemberRequest,
    note: Note,
}

/// Why bytes are no request that members can act on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// They are no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line cannot be read.
    #[error("line {line} of the request must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// The key that is asked for did not sign.
    #[error("the key in the request has not signed it")]
    NotHeld,
    /// Another line fails, or is somebody else's.
    #[error("a signature of the request: {0}")]
    Signature(NoteSignatureError),
    /// It is for another ledger.
    #[error("the request is for another origin than the roster")]
    Origin,
    /// It is for a federation with another first roster.
    #[error("the request is for a federation with another first roster")]
    FirstRoster,
    /// It asks for another role or payer number than the member has.
    #[error("{0} cannot change its role or payer number by a request")]
    Role(MemberName),
    /// It asks for what is in force.
    #[error("{0} is listed so already")]
    Nothing(MemberName),
}

impl MemberRequest {
    /// Signs the request with the key in it, and with the one that the roster has, if that is
    /// another.
    ///
    /// # Errors
    /// [`NoteError`], which a request of this form does not cause.
    pub fn sign(
        self,
        secret: &SecretKey,
        before: Option<&SecretKey>,
    ) -> Result<WrittenRequest, NoteError> {
        let (text, name) = (self.text(), &self.member.name);
        let before = before.filter(|before| before.public() != secret.public());
        let secrets = [Some(secret), before];
        let lines = secrets.into_iter().flatten();
        let lines = lines.map(|secret| NoteSignature::sign(&text, name, secret));
        let note = Note::new(text.clone(), lines.collect())?;
        Ok(WrittenRequest {
            request: self,
            note,
        })
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{TITLE}\norigin {}\nfirst-roster {}\n{}\n",
            self.origin,
            self.first_roster.to_base64(),
            member_line(&self.member)
        );
        if let Some(incident) = &self.incident {
            text.push_str(&format!("incident {}\n", incident.to_base64()));
        }
        text
    }

    fn parse(text: &str) -> Result<Self, RequestError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut number = 0;
        let mut next = |want| {
            number += 1;
            let line = lines.next();
            line.ok_or(RequestError::Line { line: number, want })
        };
        let wrong = |line, want| RequestError::Line { line, want };
        if next(TITLE)? != TITLE {
            return Err(wrong(1, "`vitrail member request v1`"));
        }
        let want = "`origin` and an origin";
        let origin = next(want)?.strip_prefix("origin ");
        let origin = origin.and_then(|it| it.parse().ok());
        let origin = origin.ok_or(wrong(2, want))?;
        let want = "`first-roster` and a base64 hash";
        let first = next(want)?.strip_prefix("first-roster ");
        let first = first.and_then(Hash::from_base64).ok_or(wrong(3, want))?;
        let want = "`member` and what a roster says of a member that follows";
        let asked = member(next(want)?).filter(|it| !it.is_voting());
        let asked = asked.ok_or(wrong(4, want))?;
        let want = "`incident` and a base64 X25519 key";
        let incident = next(want).ok().map(|line| {
            let key = line.strip_prefix("incident ");
            let key = key.and_then(|it| IncidentPublicKey::from_base64(it).ok());
            key.ok_or(wrong(5, want))
        });
        let request = Self {
            origin,
            first_roster: first,
            member: asked,
            incident: incident.transpose()?,
        };
        // One request, one text: the signatures are over the text.
        (request.text() == text)
            .then_some(request)
            .ok_or(wrong(6, "the end, after a newline"))
    }
}

impl WrittenRequest {
    /// Reads a request and checks that whoever wrote it holds the key in it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: bytes.len() }.into());
        }
        let note = Note::parse(bytes)?;
        let request = MemberRequest::parse(note.text())?;
        let written = Self { request, note };
        match written.is_signed_by(&written.request.member.public_key) {
            true => Ok(written),
            false => Err(RequestError::NotHeld),
        }
    }

    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.note.to_text()
    }

    /// What is asked for.
    #[must_use]
    pub const fn request(&self) -> &MemberRequest {
        &self.request
    }

    /// Whether this key has signed it, in the name of the member that is asked for.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let text = self.note.text();
        let mut lines = self.note.signatures().iter();
        lines.any(|line| *line.name() == self.request.member.name && line.verify(text, key).is_ok())
    }

    /// What the roster would have to change. Every line of the request must be that of the key in
    /// it, or of the key that the roster has for the member.
    ///
    /// # Errors
    /// [`RequestError`] when the request is for another federation, has a line of somebody else,
    /// or asks for what a request cannot change.
    pub fn changes(
        &self,
        in_force: &Roster,
        first_roster: Hash,
    ) -> Result<Vec<MemberChange>, RequestError> {
        let asked = &self.request.member;
        if self.request.origin != *in_force.origin() {
            return Err(RequestError::Origin);
        }
        if self.request.first_roster != first_roster {
            return Err(RequestError::FirstRoster);
        }
        let listed = in_force.member(&asked.name);
        self.require_own_lines(listed.map(|it| &it.public_key))?;
        let Some(listed) = listed else {
            return Ok(vec![MemberChange::Join {
                member: Box::new(asked.clone()),
                incident: self.request.incident,
            }]);
        };
        if (listed.role, &listed.payer) != (asked.role, &asked.payer) {
            return Err(RequestError::Role(asked.name.clone()));
        }
        let mut changes = Vec::new();
        if listed.public_key != asked.public_key {
            changes.push(MemberChange::Rotate {
                member: asked.name.clone(),
                public_key: asked.public_key,
            });
        }
        if (&listed.grpc, &listed.http) != (&asked.grpc, &asked.http) {
            changes.push(MemberChange::Move {
                member: asked.name.clone(),
                grpc: asked.grpc.clone(),
                http: asked.http.clone(),
            });
        }
        match changes.is_empty() {
            true => Err(RequestError::Nothing(asked.name.clone())),
            false => Ok(changes),
        }
    }

    fn require_own_lines(&self, listed: Option<&PublicKey>) -> Result<(), RequestError> {
        let (text, asked) = (self.note.text(), &self.request.member);
        for line in self.note.signatures() {
            let by = |key: &PublicKey| line.verify(text, key).is_ok();
            let is_own = by(&asked.public_key) || listed.is_some_and(by);
            if !is_own || *line.name() != asked.name {
                return Err(RequestError::Signature(NoteSignatureError::Signature));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{federation, name, secret};
    use super::super::{Role, Standing};
    use super::*;

    fn request() -> MemberRequest {
        let first = federation(3, 0);
        MemberRequest {
            origin: first.origin().clone(),
            first_roster: first.hash(),
            member: Member {
                name: name(9),
                role: Role::Amc,
                payer: Some("33333333".parse().unwrap()),
                standing: Standing::Following,
                public_key: secret(9).public(),
                grpc: Some("nine.example:7443".parse().unwrap()),
                http: None,
            },
            incident: None,
        }
    }

    /// The request of a member of the roster for another key and address.
    fn rotation() -> MemberRequest {
        let listed = federation(3, 0).member(&name(1)).unwrap().clone();
        MemberRequest {
            member: Member {
                public_key: secret(8).public(),
                grpc: Some("other.example:7443".parse().unwrap()),
                standing: Standing::Following,
                ..listed
            },
            ..request()
        }
    }

    #[test]
    fn a_request_is_read_back_and_no_byte_of_it_can_change() {
        let roster = federation(3, 0);
        let written = request().sign(&secret(9), None).unwrap();
        let text = written.to_text();
        assert_eq!(WrittenRequest::parse(text.as_bytes()), Ok(written.clone()));
        let changes = written.changes(&roster, roster.hash()).unwrap();
        assert!(matches!(&changes[..], [MemberChange::Join { .. }]));
        for (place, flip) in (0..text.len()).zip([0x01, 0x20, 0x80].into_iter().cycle()) {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= flip;
            assert!(WrittenRequest::parse(&bytes).is_err(), "{place} {flip}");
        }
    }

    #[test]
    fn who_does_not_hold_the_key_asks_in_vain() {
        let written = request().sign(&secret(8), None).unwrap();
        let read = WrittenRequest::parse(written.to_text().as_bytes());
        assert_eq!(read, Err(RequestError::NotHeld));
    }

    #[test]
    fn a_member_asks_for_a_key_and_an_address_and_shows_its_old_key() {
        let roster = federation(3, 0);
        let written = rotation().sign(&secret(8), Some(&secret(1))).unwrap();
        let written = WrittenRequest::parse(written.to_text().as_bytes()).unwrap();
        assert!(written.is_signed_by(&secret(1).public()));
        let changes = written.changes(&roster, roster.hash()).unwrap();
        assert_eq!(changes.len(), 2);
        let next = roster.after_changes(&changes).unwrap();
        assert_eq!(
            next.member(&name(1)).unwrap().public_key,
            secret(8).public()
        );
        // The vote stays, although a request never asks for one.
        assert!(next.member(&name(1)).unwrap().is_voting());

        let lost = rotation().sign(&secret(8), None).unwrap();
        assert!(!lost.is_signed_by(&secret(1).public()));
        let strange = rotation().sign(&secret(8), Some(&secret(7))).unwrap();
        assert!(matches!(
            strange.changes(&roster, roster.hash()),
            Err(RequestError::Signature(_))
        ));
    }

    #[test]
    fn a_request_is_for_one_federation_and_changes_no_role() {
        let roster = federation(3, 0);
        let written = request().sign(&secret(9), None).unwrap();
        let other = federation(4, 0);
        assert_eq!(
            written.changes(&roster, other.hash()),
            Err(RequestError::FirstRoster)
        );
        let mut role = rotation();
        role.member.role = Role::Amo;
        role.member.payer = None;
        let written = role.sign(&secret(8), None).unwrap();
        assert_eq!(
            written.changes(&roster, roster.hash()),
            Err(RequestError::Role(name(1)))
        );
        let mut same = rotation();
        same.member = federation(3, 0).member(&name(1)).unwrap().clone();
        same.member.standing = Standing::Following;
        let written = same.sign(&secret(1), None).unwrap();
        assert_eq!(
            written.changes(&roster, roster.hash()),
            Err(RequestError::Nothing(name(1)))
        );
    }
}
