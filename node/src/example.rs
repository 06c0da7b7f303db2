//! A small federation for the tests of this crate: four members, one of them voting.

use std::fs;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proto::hash::{Context, derive};
use proto::ids::Origin;
use proto::incident::IncidentSecretKey;
use proto::oprf::JointSecret;
use proto::roster::{
    Element, Epoch, IncidentKey, Member, MemberShare, OprfElements, Role, Roster, RosterParts,
    SignedRoster, Standing,
};
use proto::signing::SecretKey;
use tokio::sync::watch;

use crate::engine::Applied;
use crate::order::{Leadership, Lost, Orderer};
use crate::sequencer::{Condition, Sequencer, found, open};
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

/// The key of whoever has this name.
pub(crate) fn secret(name: &str) -> SecretKey {
    SecretKey::from_seed(derive(Context::Roster, &[name.as_bytes()]).as_bytes())
}

pub(crate) fn origin() -> Origin {
    "vitrail.test/optique".parse().unwrap()
}

fn member(name: &str, role: Role, payer: Option<&str>, standing: Standing) -> Member {
    Member {
        name: name.parse().unwrap(),
        role,
        payer: payer.map(|number| number.parse().unwrap()),
        standing,
        public_key: secret(name).public(),
        grpc: None,
        http: None,
    }
}

pub(crate) fn roster_parts(epoch: Epoch, previous: Option<&Roster>) -> RosterParts {
    let joint = JointSecret::derive(&[1; 32], b"ledger tests").unwrap();
    let element = Element::from_bytes(joint.public().to_bytes()).unwrap();
    let elements = OprfElements {
        person: element,
        contract: element,
    };
    RosterParts {
        origin: origin(),
        epoch,
        previous: previous.map(Roster::hash),
        threshold: NonZeroU16::MIN,
        joint: elements,
        ceremony: None,
        members: vec![
            member("cnam", Role::Amo, Some("01"), Standing::Voting),
            member("amc", Role::Amc, Some("75000001"), Standing::Following),
            member(
                "other-amc",
                Role::Amc,
                Some("75000002"),
                Standing::Following,
            ),
            member("opticians", Role::Federation, None, Standing::Following),
        ],
        shares: vec![MemberShare {
            member: "cnam".parse().unwrap(),
            index: NonZeroU16::MIN,
            public: elements,
        }],
        incident_keys: vec![IncidentKey {
            member: "cnam".parse().unwrap(),
            public_key: IncidentSecretKey::from_bytes([3; 32]).public(),
        }],
    }
}

pub(crate) fn signed(roster: Roster, by: &str) -> SignedRoster {
    let line = roster.sign(&by.parse().unwrap(), &secret(by));
    SignedRoster::new(roster, vec![line]).unwrap()
}

/// The roster that opens the ledger.
pub(crate) fn first_roster() -> SignedRoster {
    signed(
        Roster::new(roster_parts(Epoch::default(), None)).unwrap(),
        "cnam",
    )
}

/// The member whose vote is the only one.
pub(crate) fn witness() -> Witness {
    Witness::new("cnam".parse().unwrap(), secret("cnam"))
}

/// A ledger founded in this folder, which takes writes.
pub(crate) fn founded(dir: &Path) -> Sequencer {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
    taken_up(&store)
}

/// The ledger in this store, which takes writes.
pub(crate) fn taken_up(store: &Store) -> Sequencer {
    let sequencer = open(store, witness(), None, Box::new(|_| ())).unwrap();
    Alone::lead(&sequencer);
    sequencer
}

/// An engine that orders what it is given, and no other member's: for the tests of what stands on
/// an engine.
#[derive(Debug)]
pub(crate) struct Alone {
    sequencer: Sequencer,
    leadership: watch::Receiver<Leadership>,
}

impl Alone {
    /// Gives the sequencer such an engine; it leads when this returns.
    pub(crate) fn lead(sequencer: &Sequencer) {
        let leadership = watch::channel(Leadership::Own { term: 1 }).1;
        sequencer.attach(Arc::new(Self {
            sequencer: sequencer.clone(),
            leadership,
        }));
        while sequencer.condition() == Condition::Following {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Orderer for Alone {
    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    fn propose(&self, _term: u64, record: Bytes, _lost: Lost) {
        let sequencer = self.sequencer.clone();
        tokio::spawn(async move { sequencer.ordered(record, Applied::default()).await });
    }
}

/// Copies a data folder as a crash would leave it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let to = to.join(found.file_name());
        match found.file_type().unwrap().is_dir() {
            true => copy_folder(&found.path(), &to),
            // A node makes itself another one.
            false if found.file_name() == "ballast" => {}
            false => {
                fs::copy(found.path(), to).unwrap();
            }
        }
    }
}
