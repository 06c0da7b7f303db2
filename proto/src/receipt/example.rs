//! A small ledger with its receipts, for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::attestation::{
    Access, CatalogueNotice, Claim, Coverage, Delivery, Erasure, Grant, GrantClass, Handover,
    Release, Revocation, Settlement, SettlementOutcome, coverage_index,
};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::example::{TIME, cosigned};
use crate::entry::Kind;
use crate::ids::{CoverageKey, Day, RequestId, TreeSize, UnixMillis};
use crate::map::{Bucket, BucketSource, Crown, MapIndex, MapValue, Prefix};
use crate::merkle;
use crate::roster::SignedRoster;
use crate::roster::example::{federation, name, secret};
use crate::signing::SecretKey;

/// Where the claim that has the slots stands.
pub(crate) const CLAIM: u64 = 4;

/// When the example entries are issued.
const ISSUED_AT: UnixMillis = UnixMillis::new(TIME.get() * 1000);

/// The key of the one till.
pub(crate) fn till() -> SecretKey {
    SecretKey::from_seed(&[0x71; 32])
}

/// The slot keys of the claim; the second one is asked for again.
pub(crate) const SLOTS: [SlotKey; 3] = [
    SlotKey::from_bytes([0x10; 32]),
    SlotKey::from_bytes([0x20; 32]),
    SlotKey::from_bytes([0x30; 32]),
];

const COVERAGE: CoverageKey = CoverageKey::from_bytes([0x40; 32]);

/// What each kind of entry says, in the order of [`crate::entry::Kind::ALL`].
pub(crate) fn attestations() -> [Attestation; 11] {
    let roster = federation(4, 1);
    let lines = (0..4).map(|signer| roster.sign(&name(signer), &secret(signer)));
    let roster = SignedRoster::new(roster.clone(), lines.collect()).unwrap();
    [
        Attestation::Roster(roster),
        Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes([0x51; 32]),
            valid_from: Day::new(20_400),
        }),
        Attestation::Grant(Grant {
            till: till().public(),
            finess: "2A0000123".parse().unwrap(),
            expires_at: UnixMillis::new(1_800_000_000_000),
            hourly_quota: 1_000,
            daily_quota: 8_000,
            class: GrantClass::Till,
        }),
        Attestation::Revocation(Revocation {
            till: till().public(),
        }),
        Attestation::Coverage(Coverage {
            coverage: COVERAGE,
            catalogue: LeafIndex::new(1),
            until: Day::new(20_600),
            commitment: Hash::from_bytes([0x52; 32]),
        }),
        Attestation::Claim(claim(SLOTS.to_vec())),
        Attestation::Release(Release {
            slots: SLOTS[..2].to_vec(),
            claim: LeafIndex::new(CLAIM),
            invoice: None,
        }),
        Attestation::Erasure(Erasure {
            erased: LeafIndex::new(CLAIM),
        }),
        Attestation::Delivery(Delivery {
            slots: SLOTS[..2].to_vec(),
            claim: LeafIndex::new(CLAIM),
            handover: Handover::First {
                until: Day::new(21_200),
            },
            commitment: Hash::from_bytes([0x55; 32]),
        }),
        Attestation::Settlement(Settlement {
            claim: LeafIndex::new(CLAIM),
            invoice: LeafIndex::new(CLAIM + 1),
            delivery: LeafIndex::new(CLAIM + 2),
            outcome: SettlementOutcome::Rejected(Reason::InvoiceUnfit),
            under: None,
            commitment: Hash::from_bytes([0x56; 32]),
        }),
        Attestation::Access(Access {
            commitment: Hash::from_bytes([0x54; 32]),
        }),
    ]
}

/// A claim of these slots.
pub(crate) fn claim(slots: Vec<SlotKey>) -> Claim {
    Claim {
        slots,
        catalogue: LeafIndex::new(1),
        coverages: vec![LeafIndex::new(3)],
        until: Day::new(20_500),
        early: None,
        commitment: Hash::from_bytes([0x53; 32]),
    }
}

/// The id of the request with this number.
pub(crate) fn request_id(number: u8) -> RequestId {
    RequestId::new(ISSUED_AT, [number; 10])
}

/// Signs what an entry says, for the example's ledger.
pub(crate) fn entry(says: &Attestation, request: u8, signer: &SecretKey) -> Entry {
    let header = says.header(signer.public(), request_id(request));
    let signed = Entry::sign(&header, federation(1, 0).origin(), signer);
    signed.unwrap().into_entry()
}

#[derive(Default)]
struct Buckets(BTreeMap<Prefix, Arc<Bucket>>);

impl BucketSource for Buckets {
    type Error = Prefix;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Prefix> {
        self.0.get(prefix).cloned().ok_or(*prefix)
    }
}

/// Roster, catalogue, grant, coverage and a claim, with all that can be proved of them.
pub(crate) struct Ledger {
    /// Whoever reads the receipts has this.
    pub(crate) roster: Roster,
    entries: Vec<Entry>,
    leaves: Vec<Hash>,
    crown: Crown,
    buckets: Buckets,
    /// The state of the ledger, cosigned by all its members.
    pub(crate) checkpoint: SignedCheckpoint,
}

impl Ledger {
    /// The ledger of a federation of so many voting members.
    pub(crate) fn of(members: u8) -> Self {
        let [first, catalogue, grant, _, coverage, claim, ..] = attestations();
        Self::with(members, &[first, catalogue, grant, coverage, claim])
    }

    /// The ledger of a federation of so many voting members, with entries that say this. Claims
    /// are the till's, all else is the first member's.
    pub(crate) fn with(members: u8, attestations: &[Attestation]) -> Self {
        let roster = federation(members, 0);
        let mut entries = Vec::new();
        let mut changes = BTreeMap::new();
        for (says, number) in attestations.iter().zip(0_u8..) {
            let signer = if says.kind() == Kind::Claim {
                till()
            } else {
                secret(0)
            };
            entries.push(entry(says, number, &signer));
            let none = BTreeMap::new();
            let leaf = LeafIndex::new(number.into());
            let effects = says.effects_on(&none, leaf, &signer.public());
            changes.extend(effects.into_iter().map(|(index, state)| {
                let value = |state: State| MapValue::from_bytes(&state.to_bytes()).unwrap();
                (index, state.map(value))
            }));
        }
        let update = Crown::new().update(&changes, &Buckets::default()).unwrap();
        let puts = update
            .puts()
            .map(|(prefix, bucket)| (*prefix, bucket.clone()));
        let leaves: Vec<Hash> = entries.iter().map(Entry::leaf_hash).collect();
        let size = TreeSize::new(leaves.len() as u64);
        let checkpoint = Checkpoint {
            origin: roster.origin().clone(),
            size,
            log_root: merkle::root(size, &leaves[..]).unwrap(),
            map_root: update.root(),
        };
        Self {
            roster,
            entries,
            leaves,
            crown: update.crown().clone(),
            buckets: Buckets(puts.collect()),
            checkpoint: cosigned(&checkpoint, 0..members, TIME),
        }
    }

    /// An entry with its place.
    pub(crate) fn proved(&self, index: u64) -> EntryProof {
        let (size, index) = (self.checkpoint.claimed().size, LeafIndex::new(index));
        EntryProof {
            entry: self.entries[usize::try_from(index.get()).unwrap()].clone(),
            index,
            inclusion: merkle::prove_inclusion(index, size, &self.leaves[..]).unwrap(),
        }
    }

    /// What the map holds under an index.
    pub(crate) fn map_proof(&self, index: &MapIndex) -> MapProof {
        self.crown.prove(index, &self.buckets).unwrap()
    }

    /// The map proof of the coverage.
    pub(crate) fn coverage_proof(&self) -> MapProof {
        self.map_proof(&coverage_index(&COVERAGE))
    }

    /// The receipt of an entry.
    pub(crate) fn receipt(&self, index: u64) -> Receipt {
        Receipt {
            proved: self.proved(index),
            checkpoint: self.checkpoint.clone(),
        }
    }

    /// The refusal of a claim that asks for the second slot, and one that is free before it.
    pub(crate) fn refusal(&self) -> RefusalReceipt {
        let slots = vec![SlotKey::from_bytes([0x11; 32]), SLOTS[1]];
        RefusalReceipt {
            reason: Reason::SlotReserved,
            refused: entry(&Attestation::Claim(claim(slots)), 0x99, &till()),
            key_position: 1,
            state: self.map_proof(&slot_index(&SLOTS[1])),
            holder: self.proved(CLAIM),
            checkpoint: self.checkpoint.clone(),
        }
    }
}
