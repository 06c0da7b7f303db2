//! A federation of several nodes: the CNAM's votes, the others follow, and each holds one share.
//!
//! The shares are dealt here by one hand, which no real federation does: how members make them
//! together is another story, and what follows does not depend on it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use client::session::{Session, SessionParts};
use client::system;
use node::evaluator::Evaluator;
use node::sequencer;
use node::store::{Store, StoreOptions};
use node::witness::Witness;
use proto::ids::{LeafIndex, MemberName};
use proto::incident::IncidentSecretKey;
use proto::oprf::{JointSecret, SecretShare, ShareIndex, Threshold};
use proto::roster::{
    Element, Epoch, IncidentKey, Member, MemberShare, OprfElements, Role, Roster, RosterParts,
    SignedRoster, Standing,
};
use proto::signing::SecretKey;

use crate::binary::vitrail_node;
use crate::federation::{AMC_PAYERS, CNAM_PAYER, Federation, ORIGIN, cnam, fresh_key};
use crate::process::{NodeProcess, write_secret};

/// Names, roles and payer numbers of the members, in the order of their shares.
const MEMBERS: [(&str, Role, Option<&str>); 5] = [
    ("cnam", Role::Amo, Some(CNAM_PAYER)),
    ("alpha", Role::Amc, Some(AMC_PAYERS[0])),
    ("beta", Role::Amc, Some(AMC_PAYERS[1])),
    ("opticians", Role::Federation, None),
    ("gamma", Role::Amc, Some("33333333")),
];

/// How often a node is asked whether it has an entry yet.
const POLL: Duration = Duration::from_millis(50);

/// A federation whose members each run a node.
#[derive(Debug)]
pub struct Nodes {
    /// What is the same for a federation of one node.
    pub federation: Federation,
    /// The running nodes, by member.
    pub running: BTreeMap<MemberName, NodeProcess>,
    /// The incident key, which the optician federation holds.
    pub incident: IncidentSecretKey,
    /// The keys of the members.
    pub keys: BTreeMap<MemberName, SecretKey>,
    /// Where each member's node listens; the roster may name another place in front of it.
    pub listens: BTreeMap<MemberName, SocketAddr>,
}

/// Both joint keys, split.
struct Dealt {
    joint: OprfElements,
    shares: Vec<(SecretShare, SecretShare)>,
}

impl Dealt {
    fn new(shares: u16, threshold: u16) -> Self {
        let secret = || JointSecret::derive(&system::random().unwrap(), b"dealt").unwrap();
        let (person, contract) = (secret(), secret());
        let split = |secret: &JointSecret| {
            let random: Vec<_> = (1..threshold).map(|_| system::random().unwrap()).collect();
            let threshold = Threshold::new(threshold).unwrap();
            secret
                .split(threshold, ShareIndex::new(shares).unwrap(), &random)
                .unwrap()
        };
        Self {
            joint: OprfElements {
                person: Element::from_bytes(person.public().to_bytes()).unwrap(),
                contract: Element::from_bytes(contract.public().to_bytes()).unwrap(),
            },
            shares: split(&person).into_iter().zip(split(&contract)).collect(),
        }
    }

    fn published(&self, place: usize) -> OprfElements {
        let (person, contract) = &self.shares[place];
        OprfElements {
            person: Element::from_bytes(person.public().to_bytes()).unwrap(),
            contract: Element::from_bytes(contract.public().to_bytes()).unwrap(),
        }
    }
}

/// The names of the first so many members.
///
/// # Panics
/// When there are not so many.
#[must_use]
pub fn names(count: u16) -> Vec<MemberName> {
    let members = MEMBERS[..usize::from(count)].iter();
    members.map(|(name, ..)| name.parse().unwrap()).collect()
}

/// A free port of the loopback. Somebody else may take it before it is used; then a node waits until
/// it is free again.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
}

impl Nodes {
    /// Founds a federation of `count` nodes, any `threshold` of which make a token, in a folder.
    /// `in_front` says where the roster has a member reached instead of at its node.
    ///
    /// # Panics
    /// When anything of it fails.
    #[must_use]
    pub fn found(
        dir: &Path,
        count: u16,
        threshold: u16,
        in_front: &BTreeMap<MemberName, SocketAddr>,
    ) -> Self {
        let dealt = Dealt::new(count, threshold);
        let members = &MEMBERS[..usize::from(count)];
        let name = |place: usize| -> MemberName { members[place].0.parse().unwrap() };
        let keys: BTreeMap<_, _> = (0..members.len()).map(|i| (name(i), fresh_key())).collect();
        let listens: BTreeMap<_, _> = keys.keys().map(|n| (n.clone(), free_address())).collect();
        let member = |place: usize| {
            let (_, role, payer) = members[place];
            let reached = in_front.get(&name(place)).unwrap_or(&listens[&name(place)]);
            Member {
                name: name(place),
                role,
                payer: payer.map(|number| number.parse().unwrap()),
                standing: if place == 0 {
                    Standing::Voting
                } else {
                    Standing::Following
                },
                public_key: keys[&name(place)].public(),
                grpc: Some(reached.to_string().parse().unwrap()),
                http: None,
            }
        };
        let share = |place: usize| MemberShare {
            member: name(place),
            index: NonZeroU16::new(u16::try_from(place).unwrap() + 1).unwrap(),
            public: dealt.published(place),
        };
        let incident = IncidentSecretKey::from_bytes(system::random().unwrap());
        let roster = Roster::new(RosterParts {
            origin: ORIGIN.parse().unwrap(),
            epoch: Epoch::default(),
            previous: None,
            ceremony: None,
            threshold: NonZeroU16::new(threshold).unwrap(),
            joint: dealt.joint,
            members: (0..members.len()).map(member).collect(),
            shares: (0..members.len()).map(share).collect(),
            incident_keys: vec![IncidentKey {
                member: name(3),
                public_key: incident.public(),
            }],
        })
        .unwrap();
        set_up_all(dir, &roster, &keys, &dealt);
        let key = |name: &str| keys[&name.parse::<MemberName>().unwrap()].clone();
        let federation = Federation {
            dir: dir.to_owned(),
            roster,
            cnam: key("cnam"),
            amcs: [key("alpha"), key("beta")],
            opticians: key("opticians"),
        };
        Self {
            federation,
            running: BTreeMap::new(),
            incident,
            keys,
            listens,
        }
    }

    /// Starts every node, the voting one first.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start_all(&mut self, flags: &[&str]) {
        let mut names: Vec<MemberName> = self.keys.keys().cloned().collect();
        names.sort_by_key(|name| *name != cnam());
        for name in names {
            self.start(&name, flags);
        }
    }

    /// Starts one member's node, as soon as its port is free.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self, name: &MemberName, flags: &[&str]) {
        let node = NodeProcess::once_its_port_is_free(|| self.try_start(name, flags));
        let node = node.unwrap_or_else(|said| panic!("{name} did not start:\n{said}"));
        self.running.insert(name.clone(), node);
    }

    /// Starts one member's node, if it does.
    ///
    /// # Errors
    /// What it said when it did not.
    pub fn try_start(&self, name: &MemberName, flags: &[&str]) -> Result<NodeProcess, String> {
        let grpc = self.listens[name].to_string();
        let any = "127.0.0.1:0";
        let ports = ["--grpc", &grpc, "--http", any, "--admin", any];
        NodeProcess::start(
            &folder(&self.federation.dir, name),
            &[&ports, flags].concat(),
        )
    }

    /// Returns once every node that runs has published a state with this entry.
    ///
    /// # Panics
    /// When a node does not answer.
    pub async fn all_have(&self, entry: LeafIndex, key: &SecretKey) {
        for name in self.running.keys() {
            let session = self.session(name.as_str(), key);
            loop {
                let checkpoint = session.home().checkpoint().await.unwrap();
                if checkpoint.claimed().size.contains(entry) {
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// The folder of a member's node.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        folder(&self.federation.dir, &name.parse().unwrap())
    }

    /// The node of a member.
    #[must_use]
    pub fn node(&self, name: &str) -> &NodeProcess {
        &self.running[&name.parse::<MemberName>().unwrap()]
    }

    /// Ends a member's node as `kill -9` does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, name: &str) {
        let mut node = self
            .running
            .remove(&name.parse::<MemberName>().unwrap())
            .unwrap();
        node.kill();
    }

    /// Opens a session of this key's owner in which lookups and entries go to one member's node alone.
    ///
    /// # Panics
    /// When the key cannot be used.
    #[must_use]
    pub fn session(&self, home: &str, key: &SecretKey) -> Session {
        self.roaming(home, key).only_home()
    }

    /// Opens a session of this key's owner that prefers one member's node and asks the others when it
    /// does not answer.
    ///
    /// # Panics
    /// When the key cannot be used.
    #[must_use]
    pub fn roaming(&self, home: &str, key: &SecretKey) -> Session {
        Session::open(SessionParts {
            roster: self.federation.roster.clone(),
            secret: key.clone(),
            home: Some(home.parse().unwrap()),
            addresses: BTreeMap::new(),
            observer: None,
        })
        .unwrap()
    }
}

/// Signs the roster, and makes the folder of each holder of a share, with it.
fn set_up_all(dir: &Path, roster: &Roster, keys: &BTreeMap<MemberName, SecretKey>, dealt: &Dealt) {
    let line = roster.sign(&cnam(), &keys[&cnam()]);
    let signed = SignedRoster::new(roster.clone(), vec![line]).unwrap();
    fs::write(dir.join("roster.txt"), signed.to_text()).unwrap();
    for (share, (person, contract)) in roster.shares().iter().zip(&dealt.shares) {
        let folder = set_up(dir, &share.member, &keys[&share.member], &signed);
        let evaluator = Evaluator::new(person.clone(), contract.clone());
        write_secret(&folder.join("evaluator.key"), &evaluator.to_text());
    }
}

/// The folder of a member's node.
fn folder(dir: &Path, name: &MemberName) -> PathBuf {
    match *name == cnam() {
        true => dir.join("node"),
        false => dir.join(name.as_str()),
    }
}

/// Makes a member's folder: the voting one with the ledger, the others as `join` does it.
fn set_up(dir: &Path, name: &MemberName, secret: &SecretKey, signed: &SignedRoster) -> PathBuf {
    let folder = folder(dir, name);
    if *name != cnam() {
        let key = dir.join(format!("{name}.key"));
        write_secret(&key, &secret.to_pem().unwrap());
        let joined = Command::new(vitrail_node())
            .args(["join", "--seal", "none", "--name", name.as_str(), "--dir"])
            .arg(&folder)
            .arg("--roster")
            .arg(dir.join("roster.txt"))
            .arg("--key")
            .arg(&key)
            .output()
            .expect("vitrail-node can be run");
        let said = String::from_utf8_lossy(&joined.stderr);
        assert!(joined.status.success(), "{said}");
        return folder;
    }
    fs::create_dir_all(folder.join("data")).unwrap();
    write_secret(&folder.join("node.key"), &secret.to_pem().unwrap());
    fs::write(folder.join("roster.txt"), signed.to_text()).unwrap();
    fs::write(
        folder.join("node.toml"),
        format!("name = \"{name}\"\nseal = \"none\"\n"),
    )
    .unwrap();
    let store = Store::open(&folder.join("data"), StoreOptions::default()).unwrap();
    let witness = Witness::new(name.clone(), secret.clone());
    let random = system::random().unwrap();
    sequencer::found(&store, &witness, signed, &ORIGIN.parse().unwrap(), random).unwrap();
    folder
}
