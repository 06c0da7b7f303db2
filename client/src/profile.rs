//! The profile: which federation, which key, which node, and where state is kept.
//!
//! ```toml
//! # vitrail.toml; a path is relative to this file
//! roster = "roster.txt"        # the federation's signed roster
//! key = "key.pem"              # the own Ed25519 key, PKCS#8 PEM
//! device_key = "device.pem"    # in its place for a till: what grants its session keys
//! device_entry = 7             # the entry that enrolled the device key
//! node = "cnam"                # the member whose node is asked first while it is well
//! catalogue = "catalogue.txt"  # the LPP catalogue in force
//! catalogue_entry = 1          # its entry in the ledger, for payers
//! state = "state"              # what has been verified so far
//! receipts = "receipts"        # where receipts are written
//! http = "http://127.0.0.1:7480"  # a member's log, for auditors
//! networks = ["Optique-Plus"]  # the payers' networks that the shop is in
//!
//! [addresses]                  # in place of those of the roster
//! cnam = "127.0.0.1:7443"
//!
//! [agent]                      # what `vitrail agent` alone needs
//! listen = "127.0.0.1:7490"
//! folder = "agent"             # its token's hash, requests and kept quotes
//! queue = "queue"              # claims that wait
//! origins = ["https://caisse.example"]  # pages that may call it; none if left out
//! ```
//!
//! A flag counts before an environment variable, that before the file, and that before the
//! default.

mod layers;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::benefit::{NetworkName, NetworkNameError};
use proto::ids::{LeafIndex, MemberName};
use proto::lpp::{CATALOGUE_BYTES_MAX, Catalogue, CatalogueError};
use proto::note::NOTE_BYTES_MAX;
use proto::roster::{Address, Epoch, Roster, SignedRoster, SignedRosterError, SuccessionError};
use proto::signing::{SecretKey, SigningError};
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::layers::{Layer, Layers, Setting};
pub use self::settings::{AGENT_FOLDER, AGENT_LISTEN, AgentSettings, QUEUE_FOLDER, Settings};
use self::settings::{CATALOGUE_FILE, KEY_FILE, RECEIPTS_FOLDER, ROSTER_FILE, STATE_FOLDER};
use crate::connection::Observer;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::pos::Pos;
use crate::rosters::{ROSTER_QUESTION_MAX, Rosters};
use crate::session::{Session, SessionError, SessionParts};
use crate::view::{View, ViewError};

/// The file that is read when none is named.
pub const FILE_NAME: &str = "vitrail.toml";
/// Longest profile: a hundred addresses fit many times.
const PROFILE_BYTES_MAX: usize = 64 * 1024;
/// Longest key file: a PKCS#8 PEM document of an Ed25519 key has about 120 bytes.
const KEY_BYTES_MAX: usize = 4096;

/// Why the profile, or a file that it names, cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The profile is not the TOML it should be.
    #[error("{path}, line {line}: not a setting of a profile, or not of its kind")]
    Toml {
        /// The profile.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A value of the profile is not one.
    #[error("the setting {name} is not {want}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// A setting that this command needs is not there.
    #[error("the setting {name} is missing")]
    Missing {
        /// Which setting.
        name: &'static str,
    },
    /// The key file holds no key.
    #[error("key file: {0}")]
    Key(#[from] SigningError),
    /// The roster file holds no roster.
    #[error("roster file: {0}")]
    Roster(#[from] RosterFileError),
    /// The catalogue file holds no catalogue.
    #[error("catalogue file: {0}")]
    Catalogue(#[from] CatalogueError),
    /// No session can be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The stored view cannot be used.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Failure for ProfileError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Session(error) => error.kind(),
            Self::View(error) => error.kind(),
            _ => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(FileError::Missing { .. }) => {
                Some("name it by flag, environment or in vitrail.toml; see `vitrail help`")
            }
            Self::Missing { .. } => Some("give it by flag, environment or in vitrail.toml"),
            Self::Session(error) => error.hint(),
            Self::View(error) => error.hint(),
            _ => None,
        }
    }
}

/// Why a file is no roster that can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterFileError {
    /// It is no signed note, or its text no roster.
    #[error(transparent)]
    Signed(#[from] SignedRosterError),
    /// It is a first roster, and not signed by all its voting members.
    #[error(transparent)]
    Genesis(#[from] SuccessionError),
}

/// Reads a signed roster. Whoever names the file vouches for it; of a first roster the members'
/// signatures are checked all the same, of a later one they are the business of the log.
///
/// # Errors
/// [`ProfileError::File`] or [`ProfileError::Roster`].
pub fn read_roster(path: &Path) -> Result<Roster, ProfileError> {
    Ok(parse_roster(&files::read(path, NOTE_BYTES_MAX)?)?)
}

fn parse_roster(bytes: &[u8]) -> Result<Roster, RosterFileError> {
    let signed = SignedRoster::parse(bytes)?;
    if signed.admitted().epoch() == Epoch::default() {
        return Ok(signed.verify_genesis()?);
    }
    Ok(signed.admitted().clone())
}

/// Settings that have been resolved, and what is read by them.
#[derive(Debug, Clone)]
pub struct Profile {
    settings: Settings,
}

impl Profile {
    /// The profile of these settings alone.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The profile in this file, or in [`FILE_NAME`] if there is one and none is named, under the
    /// settings of flags and environment.
    ///
    /// # Errors
    /// [`ProfileError::File`] when the file that was named is not there, or
    /// [`ProfileError::Toml`].
    pub fn load(path: Option<&Path>, above: Settings) -> Result<Self, ProfileError> {
        Ok(Self::new(Layers::read(path, above)?.settled()))
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The federation as far as it is known: the roster file, by default `roster.txt`, and the
    /// rosters after it that were learned.
    ///
    /// # Errors
    /// [`ProfileError::File`] or [`ProfileError::Roster`].
    pub fn rosters(&self) -> Result<Rosters, ProfileError> {
        let file = self.settings.roster.as_deref();
        let trusted = read_roster(file.unwrap_or(Path::new(ROSTER_FILE)))?;
        Ok(Rosters::open(trusted, self.state_folder())?)
    }

    /// The newest roster that is known.
    ///
    /// # Errors
    /// As [`Profile::rosters`].
    pub fn roster(&self) -> Result<Roster, ProfileError> {
        Ok(self.rosters()?.newest().clone())
    }

    /// The own key.
    ///
    /// # Errors
    /// [`ProfileError::File`] or [`ProfileError::Key`].
    pub fn secret(&self) -> Result<SecretKey, ProfileError> {
        Self::secret_in(self.key_file())
    }

    /// The file of the own key; by default `key.pem`.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        self.settings.key.as_deref().unwrap_or(Path::new(KEY_FILE))
    }

    /// The key in a file.
    pub(crate) fn secret_in(path: &Path) -> Result<SecretKey, ProfileError> {
        let pem = Zeroizing::new(files::read_text(path, KEY_BYTES_MAX)?);
        Ok(SecretKey::from_pem(&pem)?)
    }

    /// The LPP catalogue; by default from `catalogue.txt`.
    ///
    /// # Errors
    /// [`ProfileError::File`] or [`ProfileError::Catalogue`].
    pub fn catalogue(&self) -> Result<Catalogue, ProfileError> {
        let bytes = files::read(self.catalogue_file(), CATALOGUE_BYTES_MAX)?;
        Ok(Catalogue::from_bytes(&bytes)?)
    }

    /// The file of the LPP catalogue; by default `catalogue.txt`.
    #[must_use]
    pub fn catalogue_file(&self) -> &Path {
        let file = self.settings.catalogue.as_deref();
        file.unwrap_or(Path::new(CATALOGUE_FILE))
    }

    /// The payers' networks that the shop is in; by default none.
    ///
    /// # Errors
    /// [`ProfileError::Value`] when one is no name of a network.
    pub fn networks(&self) -> Result<Vec<NetworkName>, ProfileError> {
        let names = self.settings.networks.iter().flatten();
        let parsed: Result<_, NetworkNameError> = names.map(|name| name.parse()).collect();
        parsed.map_err(|_| ProfileError::Value {
            name: "networks",
            want: "a list of names of networks",
        })
    }

    /// The entry that names the catalogue.
    ///
    /// # Errors
    /// [`ProfileError::Missing`].
    pub fn catalogue_entry(&self) -> Result<LeafIndex, ProfileError> {
        let entry = self.settings.catalogue_entry.map(LeafIndex::new);
        entry.ok_or(ProfileError::Missing {
            name: "catalogue_entry",
        })
    }

    /// The entry that enrolled the device key.
    ///
    /// # Errors
    /// [`ProfileError::Missing`].
    pub fn device_entry(&self) -> Result<LeafIndex, ProfileError> {
        let entry = self.settings.device_entry.map(LeafIndex::new);
        entry.ok_or(ProfileError::Missing {
            name: "device_entry",
        })
    }

    /// The folder of what has been verified so far; by default `state`.
    #[must_use]
    pub fn state_folder(&self) -> &Path {
        self.settings
            .state
            .as_deref()
            .unwrap_or(Path::new(STATE_FOLDER))
    }

    /// The folder that receipts are written to; by default `receipts`.
    #[must_use]
    pub fn receipts_folder(&self) -> &Path {
        let folder = self.settings.receipts.as_deref();
        folder.unwrap_or(Path::new(RECEIPTS_FOLDER))
    }

    /// What has been verified so far.
    ///
    /// # Errors
    /// [`ProfileError::View`], or as [`Profile::rosters`].
    pub fn view(&self) -> Result<View, ProfileError> {
        Ok(View::open_among(&self.rosters()?, self.state_folder())?)
    }

    /// A session with the roster, key and addresses of the profile, which compares what nodes show
    /// with what has been verified so far.
    ///
    /// # Errors
    /// [`ProfileError`], see its variants.
    pub fn session(&self, observer: Option<Arc<dyn Observer>>) -> Result<Session, ProfileError> {
        let session = self.session_without_view(observer)?;
        let view = self.view()?;
        Ok(view.compared_by(session))
    }

    /// The same once the members' nodes were asked for a newer roster, which is kept in the state
    /// folder. When nobody answers within [`ROSTER_QUESTION_MAX`], what is known has to do.
    ///
    /// # Errors
    /// As [`Profile::session`].
    pub async fn open_session(&self) -> Result<Session, ProfileError> {
        let session = self.learned(None).await?;
        let view = self.view()?;
        Ok(view.compared_by(session))
    }

    /// A session under the newest roster that the members' nodes show.
    async fn learned(&self, observer: Option<Arc<dyn Observer>>) -> Result<Session, ProfileError> {
        let session = self.session_without_view(observer.clone())?;
        let mut rosters = self.rosters()?;
        let asked = tokio::time::timeout(ROSTER_QUESTION_MAX, rosters.learn(&session)).await;
        match asked {
            Ok(Ok(true)) => self.session_without_view(observer),
            // What it is asked for next says why it does not answer.
            Ok(Ok(false) | Err(_)) | Err(_) => Ok(session),
        }
    }

    fn session_without_view(
        &self,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Session, ProfileError> {
        let want = "the name of a member";
        let name = |name: &String, setting| {
            let parsed = name.parse::<MemberName>();
            parsed.map_err(|_| ProfileError::Value {
                name: setting,
                want,
            })
        };
        let home = self
            .settings
            .node
            .as_ref()
            .map(|node| name(node, "node"))
            .transpose()?;
        let mut addresses = BTreeMap::new();
        for (member, address) in &self.settings.addresses {
            let want = "host:port";
            let address: Address = address.parse().map_err(|_| ProfileError::Value {
                name: "addresses",
                want,
            })?;
            addresses.insert(name(member, "addresses")?, address);
        }
        let (rosters, secret) = (self.rosters()?, self.secret()?);
        let roster = rosters.newest().clone();
        // Who has left is asked no more, and stands in no profile's way.
        let has_left = |name: &MemberName| roster.member(name).is_none() && rosters.ever_had(name);
        let home = home.filter(|name| !has_left(name));
        addresses.retain(|name, _| !has_left(name));
        let session = Session::open(SessionParts {
            roster,
            secret,
            home,
            addresses,
            observer,
        })?;
        Ok(session.remembering_nodes_in(self.state_folder()))
    }
}

impl Pos {
    /// The till of a profile.
    ///
    /// # Errors
    /// [`ProfileError`], see its variants.
    pub fn open(
        profile: &Profile,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, ProfileError> {
        let session = profile.session_without_view(observer)?;
        let view = profile.view()?;
        let till = Self::new(session, profile.catalogue()?, view);
        Ok(till.keeping_receipt_in(profile.state_folder()))
    }

    /// The same once the members' nodes were asked for a newer roster, as
    /// [`Profile::open_session`] does.
    ///
    /// # Errors
    /// [`ProfileError`], see its variants.
    pub async fn open_anew(
        profile: &Profile,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, ProfileError> {
        let session = profile.learned(observer).await?;
        let till = Self::new(session, profile.catalogue()?, profile.view()?);
        Ok(till.keeping_receipt_in(profile.state_folder()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile_of(text: &str) -> Result<Profile, ProfileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        files::replace(&path, text.as_bytes()).unwrap();
        Profile::load(Some(&path), Settings::default())
    }

    #[test]
    fn a_flag_counts_before_the_file_and_a_path_is_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let text =
            "node = \"cnam\"\nroster = \"r.txt\"\nkey = \"/k.pem\"\n[addresses]\na = \"b:1\"\n";
        files::replace(&path, text.as_bytes()).unwrap();
        let flags = Settings {
            node: Some("amc".to_owned()),
            ..Settings::default()
        };
        let profile = Profile::load(Some(&path), flags).unwrap();
        let settings = profile.settings();
        assert_eq!(settings.node.as_deref(), Some("amc"));
        assert_eq!(settings.roster, Some(folder.path().join("r.txt")));
        assert_eq!(settings.key, Some(PathBuf::from("/k.pem")));
        assert_eq!(settings.addresses["a"], "b:1");
        assert_eq!(profile.state_folder(), Path::new(STATE_FOLDER));
    }

    #[test]
    fn an_unknown_setting_is_named_by_its_line_and_not_repeated() {
        let refused = profile_of("node = \"cnam\"\nnod = \"SECRET\"\n").unwrap_err();
        assert!(
            matches!(&refused, ProfileError::Toml { line: 2, .. }),
            "{refused}"
        );
        assert!(!refused.to_string().contains("SECRET"));
    }

    #[test]
    fn a_profile_that_was_named_must_be_there() {
        let refused = Profile::load(
            Some(Path::new("/nowhere/vitrail.toml")),
            Settings::default(),
        );
        assert!(matches!(
            refused,
            Err(ProfileError::File(FileError::Missing { .. }))
        ));
    }
}
