//! Refusals that no honest federation signs, beside those that it does: whoever has all its keys
//! deals entries, states of the map and dates at random, and signs whatever comes out.
//!
//! A changed byte of a real receipt seldom comes further than a signature. These come to the steps
//! behind.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use proto::attestation::{
    Attestation, Claim, Delivery, EarlyFrom, Handover, Hold, SlotState, SlotStatus, State,
    slot_index,
};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::{Entry, Header};
use proto::hash::Hash;
use proto::ids::{Day, LeafIndex, Origin, RequestId, SlotKey, TreeSize, UnixMillis, UnixSeconds};
use proto::incident::IncidentPublicKey;
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapProof, MapValue, Prefix};
use proto::merkle;
use proto::oprf::JointSecret;
use proto::receipt::{EntryProof, ReceiptFile, RefusalReceipt};
use proto::refusal::Reason;
use proto::roster::{
    Element, Epoch, IncidentKey, Member, MemberShare, OprfElements, Role, Roster, RosterParts,
    SignedRoster, Standing,
};
use proto::signing::SecretKey;

/// Four members vote, the last one follows.
const MEMBERS: [(&str, Role, Option<&str>, &str); 5] = [
    ("amc", Role::Amc, Some("11111111"), "[::1]:7443"),
    ("amo", Role::Amo, Some("01"), "amo.example:7443"),
    ("mutuelle", Role::Amc, Some("22222222"), "[2001:db8::7]:1"),
    ("opticiens", Role::Federation, None, "10.0.0.1:65535"),
    ("temoin", Role::Federation, None, "[::ffff:10.0.0.1]:80"),
];
/// A day that all others lie around: the last of a long month, before shorter ones.
const DAY: u32 = 20_331;
const DAY_MS: u64 = 86_400_000;
/// By how much a till's clock may be ahead (`CLOCK_SKEW_MS_MAX`).
const SKEW_MS: u64 = 120_000;

/// Numbers that look random and come out the same each time (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// Dice that roll what this seed gives.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

fn secret(name: &str) -> SecretKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SecretKey::from_seed(&seed)
}

/// The first roster, signed by all.
pub fn roster() -> SignedRoster {
    let element = |kind: u8| {
        let secret = JointSecret::derive(&[kind; 32], b"example").unwrap();
        Element::from_bytes(secret.public().to_bytes()).unwrap()
    };
    let elements = OprfElements {
        person: element(1),
        contract: element(2),
    };
    let member = |(name, role, payer, grpc): (&str, Role, Option<&str>, &str)| Member {
        name: name.parse().unwrap(),
        role,
        payer: payer.map(|payer| payer.parse().unwrap()),
        standing: match name {
            "temoin" => Standing::Following,
            _ => Standing::Voting,
        },
        public_key: secret(name).public(),
        grpc: Some(grpc.parse().unwrap()),
        http: None,
    };
    // The first key of RFC 7748, 6.1.
    let incident = "hSDwCYkwp1R0i33ctD73WgI2Oh9JlCvE0xBKDOCrxic=";
    let roster = Roster::new(RosterParts {
        origin: "vitrail.example/optique".parse().unwrap(),
        epoch: Epoch::default(),
        previous: None,
        threshold: NonZeroU16::MIN,
        joint: elements,
        ceremony: Some(Hash::from_bytes([5; 32])),
        members: MEMBERS.map(member).to_vec(),
        shares: vec![MemberShare {
            member: "amo".parse().unwrap(),
            index: NonZeroU16::MIN,
            public: elements,
        }],
        incident_keys: vec![IncidentKey {
            member: "amc".parse().unwrap(),
            public_key: IncidentPublicKey::from_base64(incident).unwrap(),
        }],
    });
    let roster = roster.unwrap();
    let sign = |(name, ..): (&str, Role, _, _)| roster.sign(&name.parse().unwrap(), &secret(name));
    let signatures = MEMBERS.map(sign).to_vec();
    SignedRoster::new(roster, signatures).unwrap()
}

#[derive(Default)]
struct Buckets(BTreeMap<Prefix, Arc<Bucket>>);

impl BucketSource for Buckets {
    type Error = Prefix;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Prefix> {
        self.0.get(prefix).cloned().ok_or(*prefix)
    }
}

/// What is refused, and the day from which on that can have been decided.
struct Refused {
    entry: Entry,
    slots: Vec<SlotKey>,
    earliest: Day,
    early: Option<EarlyFrom>,
}

/// A refusal, dealt by the dice; most are wrong somewhere.
pub fn refusal(dice: &mut Dice, roster: &Roster) -> String {
    let refused = refused(dice, roster);
    let reason = match dice.roll(8) {
        0 => dice.pick(Reason::ALL),
        1 | 2 => Reason::SlotHeld,
        3 | 4 => Reason::EarlyRenewalTooSoon,
        _ => Reason::SlotReserved,
    };
    let size = 1 + dice.roll(9);
    let place = dice.roll(size);
    let holder = holder(dice, roster, &refused);
    let leaves: Vec<Hash> = (0..size)
        .map(|leaf| match leaf == place {
            true => holder.leaf_hash(),
            false => merkle::leaf(&leaf.to_be_bytes()),
        })
        .collect();
    let key_position = usize::try_from(dice.roll(10) / 4).unwrap();
    let asked = refused.slots.get(key_position).copied();
    let asked = asked.unwrap_or(SlotKey::from_bytes([9; 32]));
    let (map_root, state) = map(dice, &asked, place, refused.earliest);
    let checkpoint = Checkpoint {
        origin: roster.origin().clone(),
        size: TreeSize::new(size),
        log_root: merkle::root(TreeSize::new(size), &leaves[..]).unwrap(),
        map_root,
    };
    let index = LeafIndex::new(place);
    ReceiptFile::Refused(RefusalReceipt {
        reason,
        refused: refused.entry,
        key_position,
        state,
        holder: EntryProof {
            entry: holder,
            index,
            inclusion: merkle::prove_inclusion(index, TreeSize::new(size), &leaves[..]).unwrap(),
        },
        checkpoint: cosigned(dice, &checkpoint),
    })
    .to_text()
}

/// By three of the four, and now and then by too few.
fn cosigned(dice: &mut Dice, checkpoint: &Checkpoint) -> SignedCheckpoint {
    let names: &[&str] = match dice.roll(12) {
        0 => &["amc", "opticiens", "temoin"],
        1 => &["amc", "amo", "mutuelle", "temoin"],
        _ => &["amo", "mutuelle", "opticiens"],
    };
    let lines = names.iter().map(|name| {
        let time = UnixSeconds::new(1_768_000_000 + dice.roll(50));
        checkpoint.cosign(&name.parse().unwrap(), &secret(name), time)
    });
    SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
}

fn refused(dice: &mut Dice, roster: &Roster) -> Refused {
    let slots: Vec<SlotKey> = (1..=1 + dice.roll(3))
        .map(|slot| SlotKey::from_bytes([u8::try_from(slot).unwrap(); 32]))
        .collect();
    let early = dice.pick(&[
        None,
        None,
        Some(EarlyFrom::AtOnce),
        Some(EarlyFrom::SixMonths),
        Some(EarlyFrom::TwelveMonths),
    ]);
    // At the turn of the day by which the clock may have been ahead, and elsewhere.
    let day = DAY + u32::try_from(dice.roll(70)).unwrap();
    let into = dice.pick(&[0, SKEW_MS - 1, SKEW_MS, DAY_MS / 2]);
    let issued_at = UnixMillis::new(u64::from(day) * DAY_MS + into);
    let claim = Attestation::Claim(Claim {
        slots: slots.clone(),
        catalogue: LeafIndex::new(1),
        coverages: vec![LeafIndex::new(2), LeafIndex::new(3)],
        until: Day::new(day).plus(30),
        early,
        commitment: Hash::from_bytes([4; 32]),
    });
    let mut header = claim.header(secret("till").public(), RequestId::new(issued_at, [8; 10]));
    if dice.roll(8) == 0 {
        spoil(dice, &mut header);
    }
    let origin = match dice.roll(16) {
        0 => "vitrail.example/audio".parse().unwrap(),
        _ => roster.origin().clone(),
    };
    let earliest = UnixMillis::new(issued_at.get() - SKEW_MS).day();
    Refused {
        entry: sign(&header, &origin),
        slots,
        earliest,
        early,
    }
}

/// Whoever has the slot: a delivery of a day around that on which the slot opens, or a claim.
fn holder(dice: &mut Dice, roster: &Roster, refused: &Refused) -> Entry {
    let months = refused.early.map_or(0, EarlyFrom::months);
    let ago = u32::from(months) * 30 + u32::try_from(dice.roll(12)).unwrap();
    let delivered_on = Day::new(refused.earliest.get() - ago);
    let until = refused.earliest.plus(100);
    let invoice = LeafIndex::new(7);
    let handover = match dice.roll(4) {
        0 => Handover::Correction {
            invoice,
            delivered_on,
            until,
        },
        1 => Handover::Replacement { invoice },
        _ => Handover::First { until },
    };
    let delivery = Attestation::Delivery(Delivery {
        slots: refused.slots.clone(),
        claim: LeafIndex::new(6),
        handover,
        commitment: Hash::from_bytes([3; 32]),
    });
    let at = UnixMillis::new(delivered_on.start().get() + dice.roll(DAY_MS));
    let issuer = secret("till").public();
    let mut header = delivery.header(issuer, RequestId::new(at, [2; 10]));
    if dice.roll(8) == 0 {
        spoil(dice, &mut header);
    }
    sign(&header, roster.origin())
}

/// Gives a header a shape that its kind does not have, or another kind.
fn spoil(dice: &mut Dice, header: &mut Header) {
    use proto::entry::Kind;
    match dice.roll(8) {
        0 => header.hold_until = header.hold_until.xor(Some(Day::new(DAY))),
        1 => header.commitment = None,
        2 => header.keys.reverse(),
        3 => header.keys.clear(),
        4 => header.references.reverse(),
        5 => header.references.truncate(1),
        6 => header.kind = dice.pick(&[Kind::Claim, Kind::Delivery, Kind::Release, Kind::Access]),
        _ => {
            let statement: [&[u8]; 6] = [&[], &[1], &[3], &[2, 0, 0, 0], &[6, 6], &[13]];
            header.statement = dice.pick(&statement).to_vec();
        }
    }
}

fn sign(header: &Header, origin: &Origin) -> Entry {
    let signed = Entry::sign(header, origin, &secret("till"));
    signed.unwrap().into_entry()
}

/// A map of some slots, and what it shows of the one that was asked for.
fn map(dice: &mut Dice, asked: &SlotKey, place: u64, earliest: Day) -> (Hash, MapProof) {
    let mut values: BTreeMap<MapIndex, Option<MapValue>> = (0..dice.roll(40))
        .map(|slot| {
            let key = SlotKey::from_bytes([u8::try_from(slot).unwrap() + 100; 32]);
            let value = MapValue::from_bytes(&[3; 17]).unwrap();
            (slot_index(&key), Some(value))
        })
        .collect();
    if dice.roll(12) != 0 {
        let value = MapValue::from_bytes(&state(dice, place, earliest)).unwrap();
        values.insert(slot_index(asked), Some(value));
    }
    let update = Crown::new().update(&values, &Buckets::default()).unwrap();
    let puts = update.puts();
    let buckets = Buckets(puts.map(|(at, bucket)| (*at, bucket.clone())).collect());
    let shown = match dice.roll(16) {
        0 => slot_index(&SlotKey::from_bytes([100; 32])),
        _ => slot_index(asked),
    };
    let proof = update.crown().prove(&shown, &buckets).unwrap();
    (update.root(), proof)
}

/// The value of the slot: mostly taken by the holder, on a day around the one that counts.
fn state(dice: &mut Dice, place: u64, earliest: Day) -> Vec<u8> {
    let mut term = || {
        let by = LeafIndex::new(place + u64::from(dice.roll(6) == 0));
        let around = dice.pick(&[0, 1, 1, 2, 2, 400]);
        (Day::new(earliest.get() - 1 + around), by)
    };
    let ((until, by), (beneath_until, beneath_by)) = (term(), term());
    let beneath = Hold {
        until: beneath_until,
        by: beneath_by,
    };
    let mut bytes = State::Slot(SlotState {
        status: dice.pick(&[SlotStatus::Reserved, SlotStatus::Held]),
        until,
        by,
        beneath: dice.pick(&[None, Some(beneath)]),
    })
    .to_bytes();
    match dice.roll(24) {
        0 => bytes[0] = u8::try_from(dice.roll(14)).unwrap(),
        1 => bytes.push(0),
        2 => bytes[1] = 1, // a day of more than 32 bits
        3 => bytes.truncate(16),
        _ => {}
    }
    bytes
}
