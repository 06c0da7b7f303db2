//! Founding a federation of one voting member: keys, first roster, settings, ledger with entry 0.
//!
//! The folder is built whole beside its place and moved there in one step, so that a node's folder
//! is either complete or absent, and one that exists is never touched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto::identity::PayerNumber;
use proto::ids::{MemberName, Origin};
use proto::incident::{INCIDENT_PURPOSE, IncidentSecretKey};
use proto::note::NoteError;
use proto::oprf::{DeriveError, JointSecret, SecretShare};
use proto::roster::{
    Address, Element, Epoch, IncidentKey, Member, MemberShare, OprfElements, Role, Roster,
    RosterError, RosterParts, RosterValueError, SignedRoster, Standing,
};
use proto::signing::{PublicKey, SecretKey, SigningError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ceremony::EVALUATOR_PURPOSE;
use crate::config::{
    CONFIG_FILE, DATA_FOLDER, EVALUATOR_KEY_FILE, KEY_FILE, ROSTER_FILE, Settings,
};
use crate::evaluator::Evaluator;
use crate::protection::{Protection, ProtectionError, Sealing};
use crate::secret_file::{self, SecretFileError};
use crate::sequencer::{self, FoundError};
use crate::store::{Store, StoreError, StoreOptions};
use crate::witness::Witness;

/// What a joint key is for, hashed into it (RFC 9497, 3.2.1): with it the two keys of a
/// federation differ even under one seed.
const PERSON_KEY_INFO: &[u8] = b"vitrail person key";
const CONTRACT_KEY_INFO: &[u8] = b"vitrail contract key";

/// Where the founding member's incident key is put. The node never reads it: it is to be moved to
/// where incidents are looked into.
pub const INCIDENT_KEY_FILE: &str = "incident.key";

/// What a new federation is to be.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The name of its ledger.
    pub origin: Origin,
    /// The founding member's name.
    pub name: MemberName,
    /// Its role.
    pub role: Role,
    /// The number claims name it by, if it pays any.
    pub payer: Option<PayerNumber>,
    /// Where others reach its gRPC.
    pub grpc: Address,
    /// Where others reach its pages.
    pub http: Address,
    /// How its secrets are sealed on disk.
    pub sealing: Sealing,
    /// The members that follow from the start.
    pub others: Vec<Following>,
    /// The incident keys that they have. The founding member's own is made here.
    pub incident_keys: Vec<IncidentKey>,
}

/// What was founded.
#[derive(Debug)]
pub struct Founded {
    /// The node's folder.
    pub dir: PathBuf,
    /// The first roster.
    pub roster: Roster,
    /// The founding member's key.
    pub public_key: PublicKey,
}

/// A member of the first roster that follows: replicates, checks, is not counted. A voting one
/// would have to sign the roster with its own key, which this node does not have.
#[derive(Debug, Clone)]
pub struct Following(Member);

/// Why a text does not name a following member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FollowingError {
    /// Not the seven words.
    #[error("a member must be `name role payer-number|- following key grpc|- http|-`")]
    Words,
    /// One of the words cannot be read.
    #[error("the {0} of the member cannot be read")]
    Word(&'static str),
    /// It is to vote.
    #[error("a member of the first roster can only be following")]
    Voting,
}

impl FromStr for Following {
    type Err = FollowingError;

    fn from_str(text: &str) -> Result<Self, FollowingError> {
        let words: Vec<&str> = text.split(' ').collect();
        let [name, role, payer, standing, key, grpc, http] = words[..] else {
            return Err(FollowingError::Words);
        };
        let word = FollowingError::Word;
        if standing == Standing::Voting.as_str() {
            return Err(FollowingError::Voting);
        }
        if standing != Standing::Following.as_str() {
            return Err(word("standing"));
        }
        Ok(Self(Member {
            name: name.parse().map_err(|_| word("name"))?,
            role: role_of(role).ok_or(word("role"))?,
            payer: optional(payer).ok_or(word("payer number"))?,
            standing: Standing::Following,
            public_key: PublicKey::from_base64(key).map_err(|_| word("key"))?,
            grpc: optional(grpc).ok_or(word("gRPC address"))?,
            http: optional(http).ok_or(word("HTTP address"))?,
        }))
    }
}

fn optional<T: FromStr>(word: &str) -> Option<Option<T>> {
    match word {
        "-" => Some(None),
        word => word.parse().ok().map(Some),
    }
}

/// The role of this name.
#[must_use]
pub fn role_of(word: &str) -> Option<Role> {
    [Role::Amo, Role::Amc, Role::Federation]
        .into_iter()
        .find(|role| role.as_str() == word)
}

/// Why a federation is not founded. Nothing is then left on disk.
#[derive(Debug, Error)]
pub enum InitError {
    /// The folder has something in it.
    #[error("{dir} is not empty", dir = dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// The system says no.
    #[error("{path}: {kind}", path = path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// What it says.
        kind: io::ErrorKind,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The key cannot be encoded.
    #[error(transparent)]
    Key(#[from] SigningError),
    /// No joint key comes out of the random bytes.
    #[error(transparent)]
    JointKey(#[from] DeriveError),
    /// A public share cannot be published.
    #[error(transparent)]
    Share(#[from] RosterValueError),
    /// The members break a rule of rosters.
    #[error("the first roster: {0}")]
    Roster(#[from] RosterError),
    /// The signed roster is no note.
    #[error("the first roster: {0}")]
    Note(#[from] NoteError),
    /// A secret cannot be written.
    #[error("{path}: {error}", path = path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SecretFileError,
    },
    /// The shares cannot be sealed.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    /// The settings cannot be written as TOML.
    #[error("the settings cannot be written: {0}")]
    Settings(#[from] toml::ser::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be founded.
    #[error(transparent)]
    Ledger(#[from] FoundError),
}

/// Founds a federation in a folder that does not exist or is empty. Blocks.
///
/// # Errors
/// [`InitError`]; nothing is then left on disk.
pub fn init(dir: &Path, founding: &Founding) -> Result<Founded, InitError> {
    let keys = Keys::generate()?;
    let roster = first_roster(founding, &keys)?;
    refuse_existing(dir)?; // before somebody types a passphrase for nothing
    let protection = Protection::load_new(&founding.sealing)?;
    let signed = roster.sign(&founding.name, &keys.secret);
    let signed = SignedRoster::new(roster.clone(), vec![signed])?;
    in_new_folder(dir, |draft| {
        write_files(draft, founding, &keys, &signed, &protection)?;
        found_ledger(draft, founding, &keys, &signed)
    })?;
    Ok(Founded {
        dir: dir.to_owned(),
        roster,
        public_key: keys.secret.public(),
    })
}

/// Lets a node's folder be filled beside its place, and moves it there once it is whole.
///
/// # Errors
/// [`InitError`]; nothing is then left on disk.
pub fn in_new_folder(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), InitError>,
) -> Result<(), InitError> {
    refuse_existing(dir)?;
    let place = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = place.unwrap_or(Path::new("."));
    fs::create_dir_all(place).map_err(io_error(place))?;
    // Of mode 0700, as everything in it is the node's alone.
    let draft = tempfile::Builder::new()
        .prefix(".vitrail-init-")
        .tempdir_in(place);
    let draft = draft.map_err(io_error(place))?;

    fill(draft.path())?;
    sync_folder(draft.path())?;
    fs::rename(draft.path(), dir).map_err(io_error(dir))?;
    // From here the node's folder is there and complete; the draft's guard finds nothing left.
    sync_folder(place)
}

fn refuse_existing(dir: &Path) -> Result<(), InitError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(InitError::Exists {
                dir: dir.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(dir)(error)),
    }
}

/// The secrets of a founding member: its key and both joint keys, of which it has the one share.
struct Keys {
    secret: SecretKey,
    person: SecretShare,
    contract: SecretShare,
    incident: IncidentSecretKey,
}

impl Keys {
    fn generate() -> Result<Self, InitError> {
        let share = |info| {
            let seed = Zeroizing::new(random::<32>()?);
            Ok::<_, InitError>(JointSecret::derive(&seed, info)?.sole_share())
        };
        Ok(Self {
            secret: generate_key()?,
            person: share(PERSON_KEY_INFO)?,
            contract: share(CONTRACT_KEY_INFO)?,
            incident: generate_incident_key()?,
        })
    }

    fn published(&self) -> Result<OprfElements, RosterValueError> {
        Ok(OprfElements {
            person: Element::from_bytes(self.person.public().to_bytes())?,
            contract: Element::from_bytes(self.contract.public().to_bytes())?,
        })
    }
}

/// A new signing key.
///
/// # Errors
/// [`InitError::NoRandomness`] alone.
pub fn generate_key() -> Result<SecretKey, InitError> {
    Ok(SecretKey::from_seed(&Zeroizing::new(random::<32>()?)))
}

/// A new incident key.
///
/// # Errors
/// [`InitError::NoRandomness`] alone.
pub fn generate_incident_key() -> Result<IncidentSecretKey, InitError> {
    Ok(IncidentSecretKey::from_bytes(random()?))
}

fn random<const N: usize>() -> Result<[u8; N], InitError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| InitError::NoRandomness)?;
    Ok(bytes)
}

/// Epoch 0 with one voting member, who holds the one share of both keys.
fn first_roster(founding: &Founding, keys: &Keys) -> Result<Roster, InitError> {
    let public = keys.published()?;
    let founder = Member {
        name: founding.name.clone(),
        role: founding.role,
        payer: founding.payer.clone(),
        standing: Standing::Voting,
        public_key: keys.secret.public(),
        grpc: Some(founding.grpc.clone()),
        http: Some(founding.http.clone()),
    };
    let share = MemberShare {
        member: founding.name.clone(),
        index: NonZeroU16::MIN,
        public,
    };
    let own = IncidentKey {
        member: founding.name.clone(),
        public_key: keys.incident.public(),
    };
    let incident_keys = founding.incident_keys.iter().cloned().chain([own]);
    let others = founding.others.iter().map(|other| other.0.clone());
    Ok(Roster::new(RosterParts {
        origin: founding.origin.clone(),
        epoch: Epoch::default(),
        previous: None,
        threshold: NonZeroU16::MIN,
        joint: public,
        ceremony: None,
        members: others.chain([founder]).collect(),
        shares: vec![share],
        incident_keys: incident_keys.collect(),
    })?)
}

fn write_files(
    dir: &Path,
    founding: &Founding,
    keys: &Keys,
    roster: &SignedRoster,
    protection: &Protection,
) -> Result<(), InitError> {
    write_secret(&dir.join(KEY_FILE), &keys.secret.to_pem()?)?;
    let evaluator = Evaluator::new(keys.person.clone(), keys.contract.clone());
    let sealed = protection.seal(INCIDENT_PURPOSE, &keys.incident.to_text())?;
    write_secret(&dir.join(INCIDENT_KEY_FILE), &sealed)?;
    let sealed = protection.seal(EVALUATOR_PURPOSE, &evaluator.to_text())?;
    write_secret(&dir.join(EVALUATOR_KEY_FILE), &sealed)?;
    write_public(&dir.join(ROSTER_FILE), &roster.to_text())?;
    let settings = Settings {
        name: Some(founding.name.as_str().to_owned()),
        grpc: Some(listening(&founding.grpc)),
        http: Some(listening(&founding.http)),
        ..Settings::of_sealing(&founding.sealing)
    };
    write_public(&dir.join(CONFIG_FILE), &toml::to_string(&settings)?)
}

/// Where to listen so as to be reached there: at the address itself, or behind a DNS name on
/// every interface.
#[must_use]
pub fn listening(address: &Address) -> SocketAddr {
    address.as_str().parse().unwrap_or_else(|_| {
        let port = address
            .as_str()
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        // The unspecified IPv6 address takes IPv4 too; an address always has a port.
        (Ipv6Addr::UNSPECIFIED, port.unwrap_or(0)).into()
    })
}

fn found_ledger(
    dir: &Path,
    founding: &Founding,
    keys: &Keys,
    roster: &SignedRoster,
) -> Result<(), InitError> {
    let data = dir.join(DATA_FOLDER);
    fs::create_dir(&data).map_err(io_error(&data))?;
    let store = Store::open(&data, StoreOptions::default())?;
    let witness = Witness::new(founding.name.clone(), keys.secret.clone());
    sequencer::found(&store, &witness, roster, &founding.origin, random()?)?;
    Ok(())
}

/// Writes a secret to a new file of mode 0600.
///
/// # Errors
/// [`InitError::SecretFile`].
pub fn write_secret(path: &Path, secret: &str) -> Result<(), InitError> {
    let failed = |error| InitError::SecretFile {
        path: path.to_owned(),
        error,
    };
    secret_file::write(path, secret).map_err(failed)
}

/// Writes a new file that anybody may read.
///
/// # Errors
/// [`InitError::Io`].
pub fn write_public(path: &Path, text: &str) -> Result<(), InitError> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path);
    let mut file = file.map_err(io_error(path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io_error(path))
}

fn sync_folder(dir: &Path) -> Result<(), InitError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error(dir))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> InitError {
    let path = path.to_owned();
    move |error| InitError::Io {
        path,
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Config;

    fn founding() -> Founding {
        Founding {
            origin: "vitrail.test/optique".parse().unwrap(),
            name: "cnam".parse().unwrap(),
            role: Role::Amo,
            payer: Some("01".parse().unwrap()),
            grpc: "127.0.0.1:7443".parse().unwrap(),
            http: "node.test:7480".parse().unwrap(),
            sealing: Sealing::default(),
            others: Vec::new(),
            incident_keys: Vec::new(),
        }
    }

    fn following(seed: u8, standing: &str) -> String {
        let key = SecretKey::from_seed(&[seed; 32]).public().to_base64();
        format!("amc-{seed} amc 1111111{seed} {standing} {key} - -")
    }

    #[test]
    fn a_founded_node_has_its_files_and_only_its_owner_reads_the_secrets() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("deep").join("node");
        let founding = Founding {
            others: vec![following(3, "following").parse().unwrap()],
            ..founding()
        };
        let founded = init(&dir, &founding).unwrap();
        assert_eq!(founded.roster.members().len(), 2);
        for file in [KEY_FILE, EVALUATOR_KEY_FILE, INCIDENT_KEY_FILE] {
            let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let signed = SignedRoster::parse(&fs::read(dir.join(ROSTER_FILE)).unwrap()).unwrap();
        assert_eq!(signed.verify_genesis().unwrap(), founded.roster);
        let config = Config::load(&dir, Settings::default()).unwrap();
        assert_eq!(config.http, "[::]:7480".parse().unwrap());
        let evaluator =
            Evaluator::parse(&secret_file::read(&config.evaluator_key).unwrap()).unwrap();
        assert!(evaluator.fits(founded.roster.share(&config.name).unwrap()));
        let left = fs::read_dir(dir.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "the draft is still there");
    }

    #[test]
    fn a_folder_with_anything_in_it_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("mine"), "x").unwrap();
        assert!(matches!(
            init(place.path(), &founding()),
            Err(InitError::Exists { .. })
        ));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_roster_that_breaks_a_rule_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let founding = Founding {
            role: Role::Federation,
            ..founding()
        };
        let refused = init(&place.path().join("node"), &founding);
        assert!(matches!(
            refused,
            Err(InitError::Roster(RosterError::PayerRole { .. }))
        ));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_member_that_cannot_be_founded_with_is_told_why() {
        let parse = |text: &str| text.parse::<Following>().map(|_| ());
        assert_eq!(parse(&following(2, "following")), Ok(()));
        assert_eq!(parse(&following(2, "voting")), Err(FollowingError::Voting));
        assert_eq!(
            parse(&following(2, "votes")),
            Err(FollowingError::Word("standing"))
        );
        assert_eq!(parse("a amc - following"), Err(FollowingError::Words));
        assert_eq!(
            parse("a amc - following x - -"),
            Err(FollowingError::Word("key"))
        );
    }
}
