//! Setting up the node of a member: its folder, from the first roster and its key. The ledger comes
//! from the voting members when the node runs. Who is not in the first roster asks to be listed, by
//! a request for the members.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::identity::PayerNumber;
use proto::ids::MemberName;
use proto::incident::IncidentPublicKey;
use proto::roster::{
    Address, ChangeError, Member, MemberChange, MemberRequest, Role, Roster, SignedRoster,
    SignedRosterError, Standing, SuccessionError,
};
use proto::signing::{SecretKey, SigningError};
use thiserror::Error;

use crate::config::{CONFIG_FILE, KEY_FILE, ROSTER_FILE, Settings};
use crate::init::{InitError, in_new_folder, listening, write_public, write_secret};
use crate::protection::Sealing;
use crate::secret_file::{self, SecretFileError};

/// Who joins, and with what.
#[derive(Debug, Clone)]
pub struct Joining {
    /// Its member name.
    pub name: MemberName,
    /// File of the federation's first roster.
    pub roster: PathBuf,
    /// File of the member's key, whose public half is in the roster.
    pub key: PathBuf,
    /// How its shares will be sealed on disk.
    pub sealing: Sealing,
    /// What it asks for, if the first roster does not list it.
    pub asking: Option<Asking>,
}

/// The request in the folder of a node whose organisation is no member yet.
pub const REQUEST_FILE: &str = "request.txt";

/// As what an organisation asks to be listed.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Its role.
    pub role: Role,
    /// The number claims are to name it by, if it pays any.
    pub payer: Option<PayerNumber>,
    /// Where its gRPC will be reached.
    pub grpc: Option<Address>,
    /// Where its pages will be reached.
    pub http: Option<Address>,
    /// Its incident key, if it is to look into incidents.
    pub incident: Option<IncidentPublicKey>,
}

/// Why a member's node is not set up. Nothing is then left on disk.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The folder cannot be made.
    #[error(transparent)]
    Folder(#[from] InitError),
    /// The roster file cannot be read.
    #[error("{path}: {kind}", path = path.display())]
    RosterFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The roster file is not a signed roster.
    #[error("the roster file: {0}")]
    Roster(#[from] Box<SignedRosterError>),
    /// The roster is not a first one that its voting members signed.
    #[error("the roster file: {0}")]
    NotGenesis(#[from] Box<SuccessionError>),
    /// The key file cannot be used.
    #[error("{path}: {error}", path = path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SecretFileError,
    },
    /// The key is not one.
    #[error("the key file: {0}")]
    Key(#[from] SigningError),
    /// The roster has no such member, and nothing says as what it is to be listed.
    #[error("{0} is not a member of the roster")]
    NotAMember(MemberName),
    /// The roster has such a member, and it asks to be one.
    #[error("{0} is a member of the first roster already")]
    Listed(MemberName),
    /// No roster could list it so.
    #[error("the request: {0}")]
    Request(#[from] Box<ChangeError>),
    /// The roster has another key for the member.
    #[error("the roster has another key for {0}")]
    OtherKey(MemberName),
    /// The member votes: its node orders the ledger and is founded with `init`.
    #[error("{0} votes and cannot only follow")]
    Votes(MemberName),
}

/// Sets up a node in a folder that does not exist or is empty. Blocks.
///
/// # Errors
/// [`JoinError`]; nothing is then left on disk.
pub fn join(dir: &Path, joining: &Joining) -> Result<Roster, JoinError> {
    let (roster, signed) = read_roster(&joining.roster)?;
    let secret = read_key(&joining.key)?;
    let own = roster.member(&joining.name);
    let own = match (own, &joining.asking) {
        (Some(own), None) => own,
        (None, None) => return Err(JoinError::NotAMember(joining.name.clone())),
        (Some(_), Some(_)) => return Err(JoinError::Listed(joining.name.clone())),
        (None, Some(asking)) => {
            ask(dir, joining, asking, &roster, &signed, &secret)?;
            return Ok(roster);
        }
    };
    if own.public_key != secret.public() {
        return Err(JoinError::OtherKey(joining.name.clone()));
    }
    if own.is_voting() {
        return Err(JoinError::Votes(joining.name.clone()));
    }
    in_new_folder(dir, |draft| {
        write_files(draft, own, &secret, &signed, joining, false)
    })?;
    Ok(roster)
}

/// The folder of an organisation that is no member yet, with the request that its key has signed.
/// Its node takes part in ordering from the moment that it is listed.
fn ask(
    dir: &Path,
    joining: &Joining,
    asking: &Asking,
    first: &Roster,
    signed: &SignedRoster,
    secret: &SecretKey,
) -> Result<(), JoinError> {
    let member = Member {
        name: joining.name.clone(),
        role: asking.role,
        payer: asking.payer.clone(),
        standing: Standing::Following,
        public_key: secret.public(),
        grpc: asking.grpc.clone(),
        http: asking.http.clone(),
    };
    let join = MemberChange::Join {
        member: Box::new(member.clone()),
        incident: asking.incident,
    };
    // What no roster could list is not asked for.
    first.after_changes(&[join]).map_err(Box::new)?;
    let request = MemberRequest {
        origin: first.origin().clone(),
        first_roster: first.hash(),
        member: member.clone(),
        incident: asking.incident,
    };
    let request = request.sign(secret, None).map_err(InitError::from)?;
    Ok(in_new_folder(dir, |draft| {
        write_files(draft, &member, secret, signed, joining, true)?;
        write_public(&draft.join(REQUEST_FILE), &request.to_text())
    })?)
}

fn write_files(
    dir: &Path,
    own: &Member,
    secret: &SecretKey,
    roster: &SignedRoster,
    joining: &Joining,
    learn: bool,
) -> Result<(), InitError> {
    write_secret(&dir.join(KEY_FILE), &secret.to_pem()?)?;
    write_public(&dir.join(ROSTER_FILE), &roster.to_text())?;
    let settings = Settings {
        name: Some(own.name.as_str().to_owned()),
        grpc: own.grpc.as_ref().map(listening),
        http: own.http.as_ref().map(listening),
        learn: learn.then_some(true),
        ..Settings::of_sealing(&joining.sealing)
    };
    write_public(&dir.join(CONFIG_FILE), &toml::to_string(&settings)?)
}

fn read_roster(path: &Path) -> Result<(Roster, SignedRoster), JoinError> {
    let bytes = fs::read(path).map_err(|error| JoinError::RosterFile {
        path: path.to_owned(),
        kind: error.kind(),
    })?;
    let signed = SignedRoster::parse(&bytes).map_err(Box::new)?;
    let roster = signed.verify_genesis().map_err(Box::new)?;
    Ok((roster, signed))
}

fn read_key(path: &Path) -> Result<SecretKey, JoinError> {
    let pem = secret_file::read(path).map_err(|error| JoinError::KeyFile {
        path: path.to_owned(),
        error,
    })?;
    Ok(SecretKey::from_pem(&pem)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::example::{first_roster, secret};

    /// Joins as a member of the example federation, with the key of one.
    fn try_join(place: &Path, name: &str, key_of: &str) -> Result<Roster, JoinError> {
        let (roster, key) = (place.join("roster"), place.join("key"));
        fs::write(&roster, first_roster().to_text()).unwrap();
        if !key.exists() {
            write_secret(&key, &secret(key_of).to_pem().unwrap()).unwrap();
        }
        let name = name.parse().unwrap();
        let joining = Joining {
            name,
            roster,
            key,
            sealing: Sealing::default(),
            asking: None,
        };
        join(&place.join("node"), &joining)
    }

    #[test]
    fn a_following_member_gets_a_folder_that_its_node_starts_from() {
        let place = tempfile::tempdir().unwrap();
        try_join(place.path(), "amc", "amc").unwrap();
        let dir = place.path().join("node");
        let config = Config::load(&dir, Settings::default()).unwrap();
        assert_eq!(config.name.as_str(), "amc");
        assert!(config.roster.exists() && secret_file::read(&config.key).is_ok());
        assert!(matches!(
            try_join(place.path(), "amc", "amc"),
            Err(JoinError::Folder(InitError::Exists { .. }))
        ));
    }

    #[test]
    fn who_is_not_that_member_or_votes_leaves_nothing_behind() {
        for (name, key_of) in [("amc", "other-amc"), ("cnam", "cnam"), ("nobody", "amc")] {
            let place = tempfile::tempdir().unwrap();
            let refused = try_join(place.path(), name, key_of)
                .map(|_| ())
                .unwrap_err();
            let fits = match name {
                "amc" => matches!(refused, JoinError::OtherKey(_)),
                "cnam" => matches!(refused, JoinError::Votes(_)),
                _ => matches!(refused, JoinError::NotAMember(_)),
            };
            assert!(fits, "{name}: {refused}");
            assert!(!place.path().join("node").exists());
        }
    }
}
