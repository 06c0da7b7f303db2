//! A ledger in memory, of a federation that is founded when a simulation begins: real entries,
//! signatures, rules, proofs and checkpoints, by keys that nobody else has ever had.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use proto::attestation::{
    Attestation, CatalogueNotice, Coverage, CoverageTerms, Grant, GrantClass, SlotState, State,
    coverage_index, slot_index,
};
use proto::benefit::Terms;
use proto::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::identity::{Contract, Person};
use proto::ids::{CoverageKey, LeafIndex, SlotKey, TreeSize};
use proto::lpp::Catalogue;
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapProof, MapValue, Prefix};
use proto::merkle::prove_inclusion;
use proto::oprf::{JointSecret, OprfOutput, Threshold, blind, combine};
use proto::receipt::{EntryProof, Receipt, RefusalReceipt};
use proto::refusal::Reason;
use proto::roster::{
    Element, Epoch, Member, MemberShare, OprfElements, Role, Roster, RosterParts, SignedRoster,
    Standing,
};
use proto::seal::{self, Salt, SealedPayload};
use proto::signing::{PublicKey, SecretKey};
use proto::tile::RightEdge;
use proto::token::{ContractToken, PersonToken, SealingSecret};

use crate::auditor::EntryFailure;
use crate::auditor::replay::Replay;
use crate::issue::{Issued, Refused};
use crate::lookup::{CoverageProof, SlotProof};
use crate::system;

/// The ledger's name.
const ORIGIN: &str = "vitrail.example/simulation";
/// Its members: the mandatory insurer, two complementary ones, the opticians.
const MEMBERS: [(&str, Role, Option<&str>); 4] = [
    ("alpha", Role::Amc, Some("75000001")),
    ("beta", Role::Amc, Some("75000002")),
    ("cnam", Role::Amo, Some("01")),
    ("opticians", Role::Federation, None),
];
/// Where its nodes would be: a name that leads nowhere (RFC 2606, 2).
const ADDRESS: &str = "simulation.invalid:7443";
/// Most entries: every proof is made from all of them.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// What sets up the simulation fails for no input.
const BROKEN: Broken = Broken;

/// Something of the protocol did not take what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the simulated ledger cannot go on")]
pub(in crate::agent) struct Broken;

/// Who issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issuer {
    /// The till that is simulated for.
    Till,
    /// Another shop's till.
    OtherTill,
    /// A member, by its place.
    Member(usize),
}

/// The ledger.
pub(super) struct Ledger {
    pub(super) roster: Roster,
    pub(super) signed_roster: SignedRoster,
    members: Vec<SecretKey>,
    tills: [SecretKey; 2],
    person: JointSecret,
    contract: JointSecret,
    replay: Replay,
    entries: Vec<VerifiedEntry>,
    payloads: BTreeMap<LeafIndex, (SealedPayload, Salt)>,
    /// The entry that names the catalogue.
    pub(super) named_at: LeafIndex,
}

#[derive(Default)]
struct Buckets(BTreeMap<Prefix, Arc<Bucket>>);

impl BucketSource for Buckets {
    type Error = Broken;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Broken> {
        self.0.get(prefix).cloned().ok_or(BROKEN)
    }
}

fn fresh_key() -> Result<SecretKey, Broken> {
    let seed = zeroize::Zeroizing::new(system::random().map_err(|_| BROKEN)?);
    Ok(SecretKey::from_seed(&seed))
}

impl Ledger {
    /// Founds the federation, names the catalogue, admits two tills.
    pub(super) fn found(catalogue: &Catalogue) -> Result<Self, Broken> {
        let joint = |info| {
            let seed = system::random().map_err(|_| BROKEN)?;
            JointSecret::derive(&seed, info).map_err(|_| BROKEN)
        };
        let (person, contract) = (joint(b"person")?, joint(b"contract")?);
        let members: Vec<SecretKey> = MEMBERS
            .iter()
            .map(|_| fresh_key())
            .collect::<Result<_, _>>()?;
        let signed_roster = founding_roster(&members, &person, &contract)?;
        let roster = signed_roster.verify_genesis().map_err(|_| BROKEN)?;
        let mut ledger = Self {
            replay: Replay::default(),
            roster,
            signed_roster: signed_roster.clone(),
            members,
            tills: [fresh_key()?, fresh_key()?],
            person,
            contract,
            entries: Vec::new(),
            payloads: BTreeMap::new(),
            named_at: LeafIndex::new(1),
        };
        let today = system::now().day();
        let named = Attestation::Catalogue(CatalogueNotice {
            hash: catalogue.hash(),
            valid_from: today,
        });
        let cnam = Issuer::Member(2);
        ledger.admit(cnam, &Attestation::Roster(signed_roster), None)?;
        ledger.admit(cnam, &named, None)?;
        for till in ledger.tills.clone() {
            let grant = Attestation::Grant(Grant {
                till: till.public(),
                finess: "750000001".parse().map_err(|_| BROKEN)?,
                expires_at: today.plus(365).start(),
                hourly_quota: 20,
                daily_quota: 60,
                class: GrantClass::Till,
            });
            ledger.admit(Issuer::Member(3), &grant, None)?;
        }
        Ok(ledger)
    }

    fn secret(&self, issuer: Issuer) -> Option<&SecretKey> {
        let [till, other] = &self.tills;
        match issuer {
            Issuer::Till => Some(till),
            Issuer::OtherTill => Some(other),
            Issuer::Member(place) => self.members.get(place),
        }
    }

    /// Lets an entry take effect, or says which rule refuses it.
    pub(super) fn append(
        &mut self,
        issuer: Issuer,
        says: &Attestation,
        payload: Option<(SealedPayload, Salt)>,
    ) -> Result<Issued, Broken> {
        if self.entries.len() >= ENTRIES_MAX {
            return Err(BROKEN);
        }
        let secret = self.secret(issuer).ok_or(BROKEN)?;
        let header = says.header(secret.public(), system::request_id().map_err(|_| BROKEN)?);
        let entry = Entry::sign(&header, self.roster.origin(), secret).map_err(|_| BROKEN)?;
        match self.replay.append(&entry, says) {
            Ok(()) => {
                let index = LeafIndex::new(self.entries.len() as u64);
                self.entries.push(entry);
                self.payloads
                    .extend(payload.map(|payload| (index, payload)));
                let (proved, checkpoint) = (self.prove(index)?, self.checkpoint()?);
                Ok(Issued::Accepted(Box::new(Receipt { proved, checkpoint })))
            }
            Err(EntryFailure::Rule(reason)) => {
                // The rules are left without a roster by an entry that they refuse.
                self.replay.roster = Some(self.roster.clone());
                let evidence = self.evidence(reason, entry.into_entry(), says)?;
                Ok(Issued::Refused(Refused { reason, evidence }))
            }
            Err(_) => Err(BROKEN),
        }
    }

    /// The same for what is always in order.
    fn admit(
        &mut self,
        issuer: Issuer,
        says: &Attestation,
        payload: Option<(SealedPayload, Salt)>,
    ) -> Result<LeafIndex, Broken> {
        match self.append(issuer, says, payload)? {
            Issued::Accepted(receipt) => Ok(receipt.proved.index),
            Issued::Refused(_) => Err(BROKEN),
        }
    }

    /// The proof of a refusal for a taken slot; other reasons have none.
    fn evidence(
        &self,
        reason: Reason,
        refused: Entry,
        says: &Attestation,
    ) -> Result<Option<Box<RefusalReceipt>>, Broken> {
        if !matches!(
            reason,
            Reason::SlotReserved | Reason::SlotHeld | Reason::EarlyRenewalTooSoon
        ) {
            return Ok(None);
        }
        let Attestation::Claim(claim) = says else {
            return Ok(None);
        };
        let today = system::now().day();
        let taken = claim.slots.iter().enumerate().find_map(|(place, slot)| {
            let state = self.slot_state(slot)?.on(today)?;
            Some((place, slot, state))
        });
        let (key_position, slot, state) = taken.ok_or(BROKEN)?;
        Ok(Some(Box::new(RefusalReceipt {
            reason,
            refused,
            key_position,
            state: self.map_proof(&slot_index(slot))?,
            holder: self.prove(state.by)?,
            checkpoint: self.checkpoint()?,
        })))
    }

    /// The place of the member with this key.
    pub(super) fn place_of(&self, member: Option<PublicKey>) -> Option<usize> {
        let mut keys = self.members.iter().map(SecretKey::public);
        let member = member?;
        keys.position(|key| key == member)
    }

    fn slot_state(&self, slot: &SlotKey) -> Option<SlotState> {
        match self.replay.map.get(&slot_index(slot)) {
            Some(State::Slot(state)) => Some(*state),
            _ => None,
        }
    }

    /// Who has a slot, as a node answers it.
    pub(super) fn slot(&self, slot: &SlotKey) -> Result<Option<SlotProof>, Broken> {
        let Some(state) = self.slot_state(slot) else {
            return Ok(None);
        };
        Ok(Some(SlotProof {
            state,
            map_proof: self.map_proof(&slot_index(slot))?,
            holder: self.prove(state.by)?,
        }))
    }

    /// The coverage of a contract for one grouped code, as its payer's node answers it: the newest
    /// that stands, or one that is signed now.
    pub(super) fn coverage(
        &mut self,
        payer: usize,
        key: &CoverageKey,
        secret: &SealingSecret,
        terms: Terms,
    ) -> Result<CoverageProof, Broken> {
        let today = system::now().day();
        let standing = match self.replay.map.get(&coverage_index(key)) {
            Some(State::Coverage(state)) if state.until >= today => Some(state.by),
            _ => None,
        };
        let index = match standing {
            Some(index) => index,
            None => {
                let salt = Salt::from_bytes(system::random().map_err(|_| BROKEN)?);
                let bytes = CoverageTerms(terms).to_bytes();
                let sealed = seal::seal(&[(secret, &bytes)], &salt).map_err(|_| BROKEN)?;
                let coverage = Attestation::Coverage(Coverage {
                    coverage: *key,
                    catalogue: self.named_at,
                    until: today.plus(60),
                    commitment: *sealed.commitment(&salt).as_hash(),
                });
                self.admit(Issuer::Member(payer), &coverage, Some((sealed, salt)))?
            }
        };
        let entry = self.entry(index).ok_or(BROKEN)?.clone();
        let Ok(Attestation::Coverage(coverage)) = Attestation::read(entry.header()) else {
            return Err(BROKEN);
        };
        let payload = self.payloads.get(&index).cloned();
        Ok(CoverageProof {
            index,
            entry,
            coverage,
            payload,
        })
    }

    pub(super) fn entry(&self, index: LeafIndex) -> Option<&VerifiedEntry> {
        self.entries.get(usize::try_from(index.get()).ok()?)
    }

    /// The newest state, verified as any till verifies it.
    pub(super) fn verified_checkpoint(&self) -> Result<VerifiedCheckpoint, Broken> {
        let checkpoint = self.checkpoint()?;
        checkpoint.verify(&self.roster).map_err(|_| BROKEN)
    }

    fn checkpoint(&self) -> Result<SignedCheckpoint, Broken> {
        let mut edge = RightEdge::new();
        let _ = edge.append_all(&self.leaf_hashes());
        let checkpoint = Checkpoint {
            origin: self.roster.origin().clone(),
            size: TreeSize::new(self.entries.len() as u64),
            log_root: edge.root(),
            map_root: self.crown()?.0.root(),
        };
        let time = system::now().seconds();
        let mut cosignatures = Vec::new();
        for ((name, ..), secret) in MEMBERS.iter().zip(&self.members) {
            let name = name.parse().map_err(|_| BROKEN)?;
            cosignatures.push(checkpoint.cosign(&name, secret, time));
        }
        SignedCheckpoint::new(checkpoint, cosignatures).map_err(|_| BROKEN)
    }

    fn prove(&self, index: LeafIndex) -> Result<EntryProof, Broken> {
        let hashes = self.leaf_hashes();
        let size = TreeSize::new(hashes.len() as u64);
        let inclusion = prove_inclusion(index, size, hashes.as_slice());
        Ok(EntryProof {
            entry: self.entry(index).ok_or(BROKEN)?.clone().into_entry(),
            index,
            inclusion: inclusion.map_err(|_| BROKEN)?,
        })
    }

    fn leaf_hashes(&self) -> Vec<Hash> {
        let entries = self.entries.iter();
        entries
            .map(|entry| entry.clone().into_entry().leaf_hash())
            .collect()
    }

    fn map_proof(&self, index: &MapIndex) -> Result<MapProof, Broken> {
        let (crown, buckets) = self.crown()?;
        crown.prove(index, &buckets).map_err(|_| BROKEN)
    }

    fn crown(&self) -> Result<(Crown, Buckets), Broken> {
        let mut states = BTreeMap::new();
        for (index, state) in &self.replay.map {
            let value = MapValue::from_bytes(&state.to_bytes()).map_err(|_| BROKEN)?;
            states.insert(*index, Some(value));
        }
        let update = Crown::new().update(&states, &Buckets::default());
        let update = update.map_err(|_| BROKEN)?;
        let buckets = update
            .puts()
            .map(|(prefix, bucket)| (*prefix, bucket.clone()));
        Ok((update.crown().clone(), Buckets(buckets.collect())))
    }

    /// The pseudonyms of a person and of his contracts, by the federation's joint keys.
    pub(super) fn tokens(
        &self,
        person: &Person,
        contracts: &[Contract],
    ) -> Result<(PersonToken, Vec<ContractToken>), Broken> {
        let of_person = evaluated(&self.person, &person.oprf_input())?;
        let mut tokens = Vec::new();
        for contract in contracts {
            let output = evaluated(&self.contract, &contract.oprf_input())?;
            tokens.push(ContractToken::from_output(&output));
        }
        Ok((PersonToken::from_output(&of_person), tokens))
    }
}

fn founding_roster(
    members: &[SecretKey],
    person: &JointSecret,
    contract: &JointSecret,
) -> Result<SignedRoster, Broken> {
    let element = |secret: &JointSecret| Element::from_bytes(secret.public().to_bytes()).ok();
    let joint = OprfElements {
        person: element(person).ok_or(BROKEN)?,
        contract: element(contract).ok_or(BROKEN)?,
    };
    let mut listed = Vec::new();
    for ((name, role, payer), secret) in MEMBERS.iter().zip(members) {
        let payer = payer.map(|payer| payer.parse()).transpose();
        listed.push(Member {
            name: name.parse().map_err(|_| BROKEN)?,
            role: *role,
            payer: payer.map_err(|_| BROKEN)?,
            standing: Standing::Voting,
            public_key: secret.public(),
            grpc: Some(ADDRESS.parse().map_err(|_| BROKEN)?),
            http: None,
        });
    }
    let roster = Roster::new(RosterParts {
        incident_keys: Vec::new(),
        origin: ORIGIN.parse().map_err(|_| BROKEN)?,
        epoch: Epoch::default(),
        previous: None,
        threshold: NonZeroU16::MIN,
        joint,
        ceremony: None,
        shares: vec![MemberShare {
            member: "cnam".parse().map_err(|_| BROKEN)?,
            index: NonZeroU16::MIN,
            public: joint,
        }],
        members: listed,
    });
    let roster = roster.map_err(|_| BROKEN)?;
    let mut signatures = Vec::new();
    for ((name, ..), secret) in MEMBERS.iter().zip(members) {
        signatures.push(roster.sign(&name.parse().map_err(|_| BROKEN)?, secret));
    }
    SignedRoster::new(roster, signatures).map_err(|_| BROKEN)
}

/// What one input gives under a joint key, by the rounds that a till and a member go.
fn evaluated(secret: &JointSecret, input: &[u8]) -> Result<OprfOutput, Broken> {
    let random = || system::random::<64>().map_err(|_| BROKEN);
    let (kept, element) = blind(input, &random()?).map_err(|_| BROKEN)?;
    let share = secret.sole_share();
    let answer = share.evaluate(&[element], &random()?).map_err(|_| BROKEN)?;
    let answer = share
        .public()
        .verify(&[element], answer)
        .map_err(|_| BROKEN)?;
    let combined = combine(&secret.public(), Threshold::ONE, &[answer]).map_err(|_| BROKEN)?;
    Ok(kept.finalize(combined.first().ok_or(BROKEN)?))
}
