//! Setting up the node of a member that the first roster has as following: its folder, from the
//! roster and its key. The ledger comes from the voting members when the node runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::ids::MemberName;
use proto::roster::{Member, Roster, SignedRoster, SignedRosterError, SuccessionError};
use proto::signing::{SecretKey, SigningError};
use thiserror::Error;

use crate::config::{CONFIG_FILE, Settings};
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
    /// The roster has no such member.
    #[error("{0} is not a member of the roster")]
    NotAMember(MemberName),
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
    let own = own.ok_or_else(|| JoinError::NotAMember(joining.name.clone()))?;
    if own.public_key != secret.public() {
        return Err(JoinError::OtherKey(joining.name.clone()));
    }
    if own.is_voting() {
        return Err(JoinError::Votes(joining.name.clone()));
    }
    in_new_folder(dir, |draft| {
        write_files(draft, own, &secret, &signed, joining)
    })?;
    Ok(roster)
}

fn write_files(
    dir: &Path,
    own: &Member,
    secret: &SecretKey,
    roster: &SignedRoster,
    joining: &Joining,
) -> Result<(), InitError> {
    write_secret(&dir.join("node.key"), &secret.to_pem()?)?;
    write_public(&dir.join("roster.txt"), &roster.to_text())?;
    let settings = Settings {
        name: Some(own.name.as_str().to_owned()),
        grpc: own.grpc.as_ref().map(listening),
        http: own.http.as_ref().map(listening),
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
