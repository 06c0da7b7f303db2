//! The federation of a simulation: four members, their keys, rosters, folders and addresses. All of
//! it follows from names.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use proto::ids::MemberName;
use proto::oprf::{JointSecret, SecretShare, ShareIndex, Threshold};
use proto::roster::{
    Element, Epoch, Member, MemberShare, OprfElements, Roster, RosterParts, SignedRoster, Standing,
};

use crate::config::{Config, Settings};
use crate::evaluator::Evaluator;
use crate::example::{origin, roster_parts, secret};
use crate::protection::Method;
use crate::secret_file;
use crate::sequencer;
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

/// The members; the first one founds.
pub(super) const MEMBERS: [&str; 4] = ["cnam", "amc", "other-amc", "opticians"];
/// Where each node listens, on its own address.
pub(super) const PORT: u16 = 7443;
/// Free disk space below which a node stops its writes: a simulation writes some MiB.
const WATERMARK_MIB: u64 = 1;

/// The address of a member's node.
pub(super) fn address(place: usize) -> IpAddr {
    let host = u8::try_from(place).unwrap() + 1;
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host))
}

pub(super) fn name(place: usize) -> MemberName {
    MEMBERS[place].parse().unwrap()
}

fn shares() -> Vec<SecretShare> {
    let joint = JointSecret::derive(&[1; 32], b"simulation").unwrap();
    let all = ShareIndex::new(u16::try_from(MEMBERS.len()).unwrap()).unwrap();
    joint.split(Threshold::ONE, all, &[]).unwrap()
}

fn published(share: &SecretShare) -> OprfElements {
    let element = Element::from_bytes(share.public().to_bytes()).unwrap();
    OprfElements {
        person: element,
        contract: element,
    }
}

fn parts(epoch: Epoch, previous: Option<&Roster>) -> RosterParts {
    let (mut parts, shares) = (roster_parts(epoch, previous), shares());
    let published: Vec<_> = shares.iter().map(published).collect();
    parts.joint = published[0];
    for (place, text) in MEMBERS.iter().enumerate() {
        let member = parts
            .members
            .iter_mut()
            .find(|it| it.name.as_str() == *text);
        let address = format!("{}:{PORT}", address(place)).parse().unwrap();
        member.unwrap().grpc = Some(address);
    }
    let places = published.into_iter().zip(&shares).enumerate();
    let shares = places.map(|(place, (public, share))| MemberShare {
        member: name(place),
        index: share.index().get().try_into().unwrap(),
        public,
    });
    parts.shares = shares.collect();
    parts
}

fn signed(parts: RosterParts) -> SignedRoster {
    let roster = Roster::new(parts).unwrap();
    let line = roster.sign(&name(0), &secret(MEMBERS[0]));
    SignedRoster::new(roster, vec![line]).unwrap()
}

/// The roster that opens the ledger: the founder votes.
pub(super) fn first_roster() -> SignedRoster {
    signed(parts(Epoch::default(), None))
}

/// The roster after it: everybody votes.
pub(super) fn voting_roster() -> SignedRoster {
    let first = first_roster().verify_genesis().unwrap();
    let mut parts = parts(first.epoch().next().unwrap(), Some(&first));
    let vote = |member: &mut Member| member.standing = Standing::Voting;
    parts.members.iter_mut().for_each(vote);
    signed(parts)
}

/// Writes the folder of each member's node; the founder's has a ledger.
pub(super) fn write_folders(ground: &Path) {
    let first = first_roster();
    for (place, share) in shares().iter().enumerate() {
        let (dir, secret) = (ground.join(MEMBERS[place]), secret(MEMBERS[place]));
        fs::create_dir_all(dir.join("data")).unwrap();
        secret_file::write(&dir.join("node.key"), &secret.to_pem().unwrap()).unwrap();
        let evaluator = Evaluator::new(share.clone(), share.clone());
        secret_file::write(&dir.join("evaluator.key"), &evaluator.to_text()).unwrap();
        fs::write(dir.join("roster.txt"), first.to_text()).unwrap();
        if place == 0 {
            let store = Store::open(&dir.join("data"), StoreOptions::default()).unwrap();
            let witness = Witness::new(name(0), secret);
            sequencer::found(&store, &witness, &first, &origin(), [1; 10]).unwrap();
        }
    }
}

/// The settings of a member's node in its folder.
pub(super) fn config(ground: &Path, place: usize) -> Config {
    let settings = Settings {
        name: Some(MEMBERS[place].to_owned()),
        seal: Some(Method::None),
        learn: Some(true),
        disk_watermark_mib: Some(WATERMARK_MIB),
        ..Settings::default()
    };
    Config::complete(&ground.join(MEMBERS[place]), settings).unwrap()
}
