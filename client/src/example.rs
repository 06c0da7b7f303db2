//! A small ledger in memory, kept by the obvious means: what the tests verify against.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proto::attestation::{
    Access, Attestation, CatalogueNotice, Claim, Coverage, Delivery, Erasure, Grant, GrantClass,
    Handover, Release, Revocation, Settlement, SettlementOutcome, State, catalogue_index,
    slot_index,
};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::{Entry, Header, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, Day, LeafIndex, Origin, RequestId, SlotKey, TreeSize, UnixMillis};
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapProof, MapValue, Prefix};
use proto::merkle::prove_inclusion;
use proto::oprf::JointSecret;
use proto::receipt::{EntryProof, Receipt, RefusalReceipt};
use proto::refusal::Reason;
use proto::roster::{
    Element, Epoch, Member, MemberShare, OprfElements, Role, Roster, RosterParts, SignedRoster,
    Standing,
};
use proto::signing::SecretKey;
use proto::tile::{RightEdge, TILE_WIDTH, TileId, TilePath, TileWidth, encode_entry};

/// When the first entry is issued; each one after it a second later.
pub const BEGIN: UnixMillis = UnixMillis::new(1_768_000_000_000);
/// The members, in the order of their names: payers first.
pub const MEMBERS: [(&str, Role, Option<&str>); 4] = [
    ("amc", Role::Amc, Some("11111111")),
    ("amo", Role::Amo, Some("01")),
    ("mutuelle", Role::Amc, Some("22222222")),
    ("opticiens", Role::Federation, None),
];

/// The secret key of a member, or of anybody else.
pub fn secret(name: &str) -> SecretKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SecretKey::from_seed(&seed)
}

/// The secret behind one of the two joint keys.
pub fn joint(kind: u8) -> JointSecret {
    JointSecret::derive(&[kind; 32], b"example").unwrap()
}

/// The federation: four voting members, one of which evaluates.
pub fn roster() -> SignedRoster {
    let element = |kind| Element::from_bytes(joint(kind).public().to_bytes()).unwrap();
    let elements = OprfElements {
        person: element(1),
        contract: element(2),
    };
    let members = MEMBERS.map(|(name, role, payer)| Member {
        name: name.parse().unwrap(),
        role,
        payer: payer.map(|payer| payer.parse().unwrap()),
        standing: Standing::Voting,
        public_key: secret(name).public(),
        grpc: Some("127.0.0.1:7443".parse().unwrap()),
        http: None,
    });
    let roster = Roster::new(RosterParts {
        incident_keys: Vec::new(),
        origin: origin(),
        epoch: Epoch::default(),
        previous: None,
        threshold: std::num::NonZeroU16::MIN,
        joint: elements,
        ceremony: None,
        members: members.to_vec(),
        shares: vec![MemberShare {
            member: "amo".parse().unwrap(),
            index: std::num::NonZeroU16::MIN,
            public: elements,
        }],
    });
    let roster = roster.unwrap();
    let sign = |(name, ..): (&str, Role, _)| roster.sign(&name.parse().unwrap(), &secret(name));
    let signatures = MEMBERS.map(sign).to_vec();
    SignedRoster::new(roster, signatures).unwrap()
}

/// The ledger's name.
pub fn origin() -> Origin {
    "vitrail.example/optique".parse().unwrap()
}

/// A ledger that admits whatever it is given: what it should not have admitted included.
pub struct Ledger {
    pub roster: Roster,
    pub entries: Vec<Entry>,
    pub map: BTreeMap<MapIndex, State>,
}

impl Ledger {
    /// The ledger with its first roster alone.
    pub fn new() -> Self {
        let signed = roster();
        let roster = signed.verify_genesis().unwrap();
        let mut ledger = Self {
            roster,
            entries: Vec::new(),
            map: BTreeMap::new(),
        };
        ledger.append("amo", &Attestation::Roster(signed));
        ledger
    }

    /// A ledger with a catalogue (1), a granted till (2), a coverage (3), a claim of two slots
    /// (4) and the release of one of them (5).
    pub fn furnished() -> Self {
        let mut ledger = Self::new();
        ledger.append("amo", &catalogue());
        ledger.append("opticiens", &grant("till"));
        ledger.append("amc", &coverage(1));
        ledger.append("till", &claim(&[1, 2], 3));
        ledger.append("till", &release(&[2], 4));
        ledger
    }

    /// The furnished ledger with the first of the entries of [`life`]: every kind, all of them.
    pub fn lived(entries: usize) -> Self {
        let mut ledger = Self::furnished();
        for (issuer, attestation) in life().into_iter().take(entries) {
            ledger.append(issuer, &attestation);
        }
        ledger
    }

    /// Appends an entry that somebody signs, a second after the one before it.
    pub fn append(&mut self, issuer: &str, attestation: &Attestation) -> LeafIndex {
        let later = self.entries.len() as u64 * 1000;
        self.append_at(issuer, attestation, UnixMillis::new(BEGIN.get() + later))
    }

    /// Appends an entry that somebody signs at a moment.
    pub fn append_at(
        &mut self,
        issuer: &str,
        attestation: &Attestation,
        at: UnixMillis,
    ) -> LeafIndex {
        let place = self.entries.len() as u64;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&place.to_be_bytes());
        let header = attestation.header(secret(issuer).public(), RequestId::new(at, random));
        self.append_entry(sign(&header, issuer), attestation)
    }

    /// Appends these bytes with the effects of this attestation.
    pub fn append_entry(&mut self, entry: VerifiedEntry, attestation: &Attestation) -> LeafIndex {
        let leaf = LeafIndex::new(self.entries.len() as u64);
        let issuer = &entry.header().issuer;
        for (index, state) in attestation.effects_on(&self.map, leaf, issuer) {
            match state {
                Some(state) => self.map.insert(index, state),
                None => self.map.remove(&index),
            };
        }
        self.entries.push(entry.into_entry());
        leaf
    }

    /// The newest checkpoint, cosigned by all, a second after the last entry.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.cosigned_by(&["amc", "amo", "mutuelle", "opticiens"])
    }

    /// The newest checkpoint with the cosignatures of these members.
    pub fn cosigned_by(&self, names: &[&str]) -> SignedCheckpoint {
        self.cosigned_later(names, 0)
    }

    /// The same, cosigned so many seconds later than the newest entry was made.
    pub fn cosigned_later(&self, names: &[&str], seconds: u64) -> SignedCheckpoint {
        let checkpoint = Checkpoint {
            origin: origin(),
            size: TreeSize::new(self.entries.len() as u64),
            log_root: self.edge().root(),
            map_root: self.crown().0.root(),
        };
        let made = self.entries.len() as u64 + seconds;
        let time = UnixMillis::new(BEGIN.get() + made * 1000).seconds();
        let cosign = |name: &&str| checkpoint.cosign(&name.parse().unwrap(), &secret(name), time);
        let cosignatures = names.iter().map(cosign).collect();
        SignedCheckpoint::new(checkpoint.clone(), cosignatures).unwrap()
    }

    /// An entry with its place under the newest checkpoint.
    pub fn prove(&self, index: u64) -> EntryProof {
        let leaf_hashes = self.leaf_hashes();
        let size = TreeSize::new(leaf_hashes.len() as u64);
        let index = LeafIndex::new(index);
        EntryProof {
            entry: self.entries[usize::try_from(index.get()).unwrap()].clone(),
            index,
            inclusion: prove_inclusion(index, size, leaf_hashes.as_slice()).unwrap(),
        }
    }

    /// The receipt of an entry under the newest checkpoint.
    pub fn receipt(&self, index: u64) -> Receipt {
        Receipt {
            proved: self.prove(index),
            checkpoint: self.checkpoint(),
        }
    }

    /// The refusal of a claim of a slot that entry 4 of [`Ledger::furnished`] has.
    pub fn refusal(&self) -> RefusalReceipt {
        let attestation = claim(&[1, 3], 3);
        let header = attestation.header(secret("till").public(), RequestId::new(BEGIN, [8; 10]));
        let taken = SlotKey::from_bytes([1; 32]);
        RefusalReceipt {
            reason: Reason::SlotReserved,
            refused: sign(&header, "till").into_entry(),
            key_position: 0,
            state: self.map_proof(&slot_index(&taken)),
            holder: self.prove(4),
            checkpoint: self.checkpoint(),
        }
    }

    /// What the map has under an index, proved.
    pub fn map_proof(&self, index: &MapIndex) -> MapProof {
        let (crown, buckets) = self.crown();
        crown.prove(index, &buckets).unwrap()
    }

    /// The files that a member serves.
    pub fn files(&self) -> HashMap<String, Vec<u8>> {
        let mut files = HashMap::new();
        files.insert(
            "checkpoint".to_owned(),
            self.checkpoint().to_text().into_bytes(),
        );
        for (index, entries) in (0..).zip(self.entries.chunks(TILE_WIDTH)) {
            let mut bundle = Vec::new();
            entries
                .iter()
                .for_each(|entry| encode_entry(entry.bytes(), &mut bundle).unwrap());
            let width = TileWidth::new(u16::try_from(entries.len()).unwrap()).unwrap();
            files.insert(TilePath::Entries { index, width }.to_string(), bundle);
        }
        let mut edge = RightEdge::new();
        for (tile, hashes) in edge.append_all(&self.leaf_hashes()) {
            let path = TilePath::Hashes {
                tile,
                width: TileWidth::FULL,
            };
            files.insert(path.to_string(), hashes.to_bytes());
        }
        for level in 0..2 {
            let index = (self.entries.len() as u64 >> (8 * level)) / TILE_WIDTH as u64;
            let tile = TileId { level, index };
            let partial = edge.partial_tile(tile);
            let width = partial.and_then(|t| TileWidth::new(u16::try_from(t.width()).unwrap()));
            if let (Some(partial), Some(width)) = (partial, width) {
                let path = TilePath::Hashes { tile, width };
                files.insert(path.to_string(), partial.to_bytes());
            }
        }
        files
    }

    fn leaf_hashes(&self) -> Vec<Hash> {
        self.entries.iter().map(Entry::leaf_hash).collect()
    }

    fn edge(&self) -> RightEdge {
        let mut edge = RightEdge::new();
        let _ = edge.append_all(&self.leaf_hashes());
        edge
    }

    fn crown(&self) -> (Crown, Buckets) {
        let value = |state: &State| MapValue::from_bytes(&state.to_bytes()).unwrap();
        let states = self
            .map
            .iter()
            .map(|(index, state)| (*index, Some(value(state))))
            .collect();
        let update = Crown::new().update(&states, &Buckets::default()).unwrap();
        let buckets = update
            .puts()
            .map(|(prefix, bucket)| (*prefix, bucket.clone()))
            .collect();
        (update.crown().clone(), Buckets(buckets))
    }
}

#[derive(Default)]
struct Buckets(BTreeMap<Prefix, Arc<Bucket>>);

/// A bucket is not there.
#[derive(Debug)]
struct NoBucket;

impl BucketSource for Buckets {
    type Error = NoBucket;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, NoBucket> {
        self.0.get(prefix).cloned().ok_or(NoBucket)
    }
}

/// Signs a header as somebody.
pub fn sign(header: &Header, issuer: &str) -> VerifiedEntry {
    Entry::sign(header, &origin(), &secret(issuer)).unwrap()
}

/// The day of the first entry.
pub fn today() -> Day {
    BEGIN.day()
}

/// Names a catalogue.
pub fn catalogue() -> Attestation {
    let notice = CatalogueNotice {
        hash: Hash::from_bytes([1; 32]),
        valid_from: today(),
    };
    Attestation::Catalogue(notice)
}

/// Admits somebody's key for ten days.
pub fn grant(till: &str) -> Attestation {
    Attestation::Grant(Grant {
        till: secret(till).public(),
        finess: "750000001".parse().unwrap(),
        expires_at: today().plus(10).start(),
        hourly_quota: 20,
        daily_quota: 60,
        class: GrantClass::Till,
    })
}

/// A coverage under a key made of this byte, with catalogue 1.
pub fn coverage(key: u8) -> Attestation {
    Attestation::Coverage(Coverage {
        coverage: CoverageKey::from_bytes([key; 32]),
        catalogue: LeafIndex::new(1),
        until: today().plus(30),
        commitment: Hash::from_bytes([key; 32]),
    })
}

/// A claim of slots whose keys are made of these bytes, on one coverage.
pub fn claim(slots: &[u8], coverage: u64) -> Attestation {
    Attestation::Claim(Claim {
        slots: slots
            .iter()
            .map(|slot| SlotKey::from_bytes([*slot; 32]))
            .collect(),
        catalogue: LeafIndex::new(1),
        coverages: vec![LeafIndex::new(coverage)],
        until: today().plus(60),
        early: None,
        commitment: Hash::from_bytes([9; 32]),
    })
}

/// The release of slots of a claim.
pub fn release(slots: &[u8], claim: u64) -> Attestation {
    Attestation::Release(Release {
        slots: slots
            .iter()
            .map(|slot| SlotKey::from_bytes([*slot; 32]))
            .collect(),
        claim: LeafIndex::new(claim),
        invoice: None,
    })
}

/// Where the delivery of slot 1 stands in [`Ledger::lived`].
pub const DELIVERY: u64 = 6;

/// What is handed over of claim 4.
pub fn handed(slots: &[u8], handover: Handover) -> Attestation {
    let slots = slots.iter().map(|slot| SlotKey::from_bytes([*slot; 32]));
    Attestation::Delivery(Delivery {
        slots: slots.collect(),
        claim: LeafIndex::new(4),
        handover,
        commitment: Hash::from_bytes([3; 32]),
    })
}

/// For the first time, held for so many days.
pub fn first(days: u32) -> Handover {
    let until = today().plus(days);
    Handover::First { until }
}

/// The invoice of [`DELIVERY`], stated again.
pub fn correction() -> Attestation {
    handed(
        &[1],
        Handover::Correction {
            invoice: LeafIndex::new(DELIVERY),
            delivered_on: today(),
            until: today().plus(365),
        },
    )
}

/// What a payer answers to the invoice of [`DELIVERY`].
pub fn settled(delivery: u64, outcome: SettlementOutcome) -> Attestation {
    Attestation::Settlement(Settlement {
        claim: LeafIndex::new(4),
        invoice: LeafIndex::new(DELIVERY),
        delivery: LeafIndex::new(delivery),
        outcome,
        under: None,
        commitment: Hash::from_bytes([4; 32]),
    })
}

/// What was delivered comes back.
pub fn returned() -> Attestation {
    Attestation::Release(Release {
        slots: vec![SlotKey::from_bytes([1; 32])],
        claim: LeafIndex::new(4),
        invoice: Some(LeafIndex::new(DELIVERY)),
    })
}

/// What follows the furnished ledger, with its issuers: a delivery (6) rejected, corrected (8), paid,
/// replaced, returned and recovered (12); a claim (13), a look, a device and its session (15, 16), a
/// claim of the session, an erasure, a revocation.
pub fn life() -> Vec<(&'static str, Attestation)> {
    let unfit = Reason::InvoiceUnfit;
    let replacement = Handover::Replacement {
        invoice: LeafIndex::new(DELIVERY),
    };
    let look = Access {
        commitment: Hash::from_bytes([6; 32]),
    };
    let (device, session) = (secret("device").public(), secret("session").public());
    let Attestation::Grant(plain) = grant("device") else {
        unreachable!()
    };
    let enrolled = Grant {
        class: GrantClass::Device,
        ..plain
    };
    let of_device = Grant {
        till: session,
        expires_at: UnixMillis::new(BEGIN.get() + 3_600_000),
        class: GrantClass::Session { device },
        ..plain
    };
    let erased = LeafIndex::new(13);
    vec![
        ("till", handed(&[1], first(700))),
        ("amc", settled(DELIVERY, SettlementOutcome::Rejected(unfit))),
        ("till", correction()),
        ("amc", settled(8, SettlementOutcome::Paid)),
        ("till", handed(&[1], replacement)),
        ("till", returned()),
        ("amc", settled(8, SettlementOutcome::Recovered(unfit))),
        ("till", claim(&[1], 3)),
        ("amc", Attestation::Access(look)),
        ("opticiens", Attestation::Grant(enrolled)),
        ("device", Attestation::Grant(of_device)),
        ("session", claim(&[5], 3)),
        ("till", Attestation::Erasure(Erasure { erased })),
        (
            "opticiens",
            Attestation::Revocation(Revocation { till: device }),
        ),
    ]
}

/// Where the map keeps the catalogue, for tests that change the map behind the log's back.
pub fn catalogue_place() -> MapIndex {
    catalogue_index()
}
