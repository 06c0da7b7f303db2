//! A federation for the tests of this crate: fixed names, keys and shares.

use std::num::NonZeroU16;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use super::{
    Element, Epoch, Member, MemberShare, OprfElements, Role, Roster, RosterParts, Standing,
};
use crate::ids::MemberName;
use crate::signing::SecretKey;

/// The name of the member at this place of the roster.
pub(crate) fn name(member: u8) -> MemberName {
    format!("member-{member:02}").parse().unwrap()
}

/// The secret key of the member at this place of the roster.
pub(crate) fn secret(member: u8) -> SecretKey {
    SecretKey::from_seed(&[member + 1; 32])
}

/// This multiple of the generator.
pub(crate) fn element(multiple: u64) -> Element {
    let point = RistrettoPoint::mul_base(&Scalar::from(multiple));
    Element::from_bytes(point.compress().to_bytes()).unwrap()
}

/// The first `voting` members vote and hold a share, two of which are needed.
pub(crate) fn parts(voting: u8, following: u8) -> RosterParts {
    let holders = voting.min(10);
    RosterParts {
        origin: "vitrail.example/optique".parse().unwrap(),
        epoch: Epoch::default(),
        previous: None,
        threshold: NonZeroU16::new(u16::from(holders.min(2))).unwrap(),
        joint: OprfElements {
            person: element(100),
            contract: element(200),
        },
        ceremony: None,
        members: (0..voting + following)
            .map(|place| member(place, place < voting))
            .collect(),
        shares: (0..holders).map(share).collect(),
        incident_keys: Vec::new(),
    }
}

/// The genesis roster with these parts.
pub(crate) fn federation(voting: u8, following: u8) -> Roster {
    Roster::new(parts(voting, following)).unwrap()
}

fn member(place: u8, voting: bool) -> Member {
    let (role, payer) = match place {
        0 => (Role::Amo, Some("01")),
        1 => (Role::Amc, Some("11111111")),
        _ => (Role::Federation, None),
    };
    Member {
        name: name(place),
        role,
        payer: payer.map(|digits| digits.parse().unwrap()),
        standing: if voting {
            Standing::Voting
        } else {
            Standing::Following
        },
        public_key: secret(place).public(),
        grpc: Some(format!("{}.example:7443", name(place)).parse().unwrap()),
        http: (place % 2 == 1).then(|| format!("{}.example:7480", name(place)).parse().unwrap()),
    }
}

fn share(place: u8) -> MemberShare {
    MemberShare {
        member: name(place),
        index: NonZeroU16::new(u16::from(place) + 1).unwrap(),
        public: OprfElements {
            person: element(u64::from(place) + 1),
            contract: element(u64::from(place) + 2),
        },
    }
}
