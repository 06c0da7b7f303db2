//! Claims as tills make them: three slots, resting on coverages of two payers, sealed for both.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use client::issue::Issued;
use client::session::Session;
use client::system;
use proto::attestation::{
    Attestation, CatalogueNotice, Claim, ClaimLine, ClaimTerms, CodeOpening, Coverage,
    CoverageTerms,
};
use proto::benefit::Terms;
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{Cents, CoverageKey, LeafIndex, Origin, RequestId, SlotKey};
use proto::lpp::{GroupedCode, LppCode};
use proto::renewal::EarlyRenewal;
use proto::roster::Roster;
use proto::seal::{self, LppCodeSalt, Salt, SealedPayload};
use proto::signing::SecretKey;
use proto::token::{ContractToken, SealingSecret};
use proto::wire::AppendAnswer;

use crate::federation::{Federation, accepted};
use crate::process::NodeProcess;

/// Frame and lenses of an equipment: grouped code, individual code, price in cents.
const ITEMS: [(&str, &str, u64); 3] = [
    ("M01", "2223342", 12_000),
    ("VU1", "2200335", 9_000),
    ("VU1", "2200335", 9_000),
];

/// What claims rest on: a catalogue, and one person's coverages at two payers.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The ledger.
    pub origin: Origin,
    /// The catalogue's entry.
    pub catalogue: LeafIndex,
    /// The coverages, ascending.
    pub coverages: Vec<LeafIndex>,
    /// Their keys.
    pub coverage_keys: Vec<CoverageKey>,
    tokens: [ContractToken; 2],
}

/// An entry ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The entry.
    pub entry: VerifiedEntry,
    /// Its payload.
    pub payload: SealedPayload,
    /// The payload's salt.
    pub salt: Salt,
}

impl Ground {
    /// Names a catalogue and takes a coverage for frame and lenses from two payers.
    ///
    /// # Panics
    /// When an entry is refused.
    pub async fn lay(federation: &Federation, node: &NodeProcess) -> Self {
        let random = || system::random().unwrap();
        let cnam = federation.session(node, &federation.cnam);
        let amc = federation.session(node, &federation.amcs[0]);
        let notice = CatalogueNotice {
            hash: Hash::from_bytes(random()),
            valid_from: system::now().day(),
        };
        let catalogue = accepted(
            &cnam
                .issue(&Attestation::Catalogue(notice), None)
                .await
                .unwrap(),
        );
        let tokens = [
            ContractToken::from_bytes(random()),
            ContractToken::from_bytes(random()),
        ];
        let mut ground = Self {
            origin: federation.origin().clone(),
            catalogue,
            coverages: Vec::new(),
            coverage_keys: Vec::new(),
            tokens,
        };
        for (session, token) in [cnam, amc].iter().zip(ground.tokens.clone()) {
            for code in ["M01", "VU1"] {
                let code = code.parse().unwrap();
                ground
                    .coverages
                    .push(accepted(&cover(session, &token, code, catalogue).await));
                ground.coverage_keys.push(token.coverage_key(code));
            }
        }
        ground
    }

    /// What the payloads are sealed under for one of the two payers, the CNAM first.
    ///
    /// # Panics
    /// When there is no such payer.
    #[must_use]
    pub fn sealing_secret(&self, payer: usize) -> SealingSecret {
        self.tokens[payer].sealing_secret()
    }

    /// A till's claim of these slots, made now.
    ///
    /// # Panics
    /// When it cannot be made, which would be a fault of this function.
    #[must_use]
    pub fn claim(&self, till: &SecretKey, slots: &[SlotKey]) -> Prepared {
        let fresh = Fresh::new();
        let salt = Salt::from_bytes(fresh.salt);
        let secrets = self.tokens.each_ref().map(ContractToken::sealing_secret);
        let [amo, amc] =
            [true, false].map(|for_amo| terms(slots.len(), for_amo, &fresh).to_bytes());
        let payload = seal::seal(&[(&secrets[0], &amo), (&secrets[1], &amc)], &salt).unwrap();
        let now = system::now();
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        let claim = Claim {
            slots,
            catalogue: self.catalogue,
            coverages: self.coverages.clone(),
            until: now.day().plus(60),
            commitment: *payload.commitment(&salt).as_hash(),
            early: None,
        };
        let header =
            Attestation::Claim(claim).header(till.public(), RequestId::new(now, fresh.request));
        let entry = Entry::sign(&header, &self.origin, till).unwrap();
        Prepared {
            entry,
            payload,
            salt,
        }
    }

    /// Claims a fresh slot at a node, and verifies the receipt by this roster.
    ///
    /// # Panics
    /// When it is not accepted, or its receipt does not verify.
    pub async fn claim_at(&self, node: &Session, till: &SecretKey, roster: &Roster) -> LeafIndex {
        let claim = self.claim(till, &fresh_slots(1));
        let payload = Some((&claim.payload, &claim.salt));
        let answer = node.home().append(&claim.entry, payload).await.unwrap();
        let AppendAnswer::Accepted(receipt) = answer else {
            panic!("a claim of a free slot is refused");
        };
        receipt.verify(roster, &mut |_| {}).unwrap().index
    }

    /// `count` claims of fresh slots, signed on all cores, each till's in a list of its own.
    ///
    /// # Panics
    /// When a thread does.
    #[must_use]
    pub fn claims(&self, tills: &[SecretKey], count: usize, slots: usize) -> Vec<Vec<Prepared>> {
        let next = AtomicUsize::new(0);
        let each = count.div_ceil(tills.len());
        let work = || {
            let mut made = Vec::new();
            loop {
                let till = next.fetch_add(1, Ordering::Relaxed);
                let Some(key) = tills.get(till) else {
                    return made;
                };
                let claim = |_| self.claim(key, &fresh_slots(slots));
                made.push((till, (0..each).map(claim).collect::<Vec<_>>()));
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut lists = thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        lists.sort_by_key(|(till, _)| *till);
        lists.into_iter().map(|(_, list)| list).collect()
    }
}

/// Slot keys of nobody.
///
/// # Panics
/// When the system gives no random bytes.
#[must_use]
pub fn fresh_slots(count: usize) -> Vec<SlotKey> {
    (0..count)
        .map(|_| SlotKey::from_bytes(system::random().unwrap()))
        .collect()
}

/// The random bytes of one claim, asked for at once.
struct Fresh {
    salt: [u8; 32],
    request: [u8; 10],
    code_salt: [u8; 32],
}

impl Fresh {
    fn new() -> Self {
        let bytes: [u8; 74] = system::random().unwrap();
        let (salt, rest) = bytes.split_first_chunk().unwrap();
        let (request, code_salt) = rest.split_first_chunk().unwrap();
        Self {
            salt: *salt,
            request: *request,
            code_salt: code_salt.try_into().unwrap(),
        }
    }
}

fn terms(slots: usize, for_amo: bool, fresh: &Fresh) -> ClaimTerms {
    let lines = ITEMS
        .iter()
        .cycle()
        .take(slots)
        .map(|(grouped, code, price)| {
            let lpp_code: LppCode = code.parse().unwrap();
            let opening = CodeOpening {
                lpp_code,
                salt: LppCodeSalt::from_bytes(fresh.code_salt),
            };
            ClaimLine {
                grouped_code: grouped.parse().unwrap(),
                price: Cents::new(*price),
                amount: Cents::new(price / 2),
                code_commitment: opening.commitment(),
                opening: for_amo.then_some(opening),
            }
        });
    ClaimTerms {
        early: EarlyRenewal::None,
        lines: lines.collect(),
    }
}

async fn cover(
    session: &Session,
    token: &ContractToken,
    grouped_code: GroupedCode,
    catalogue: LeafIndex,
) -> Issued {
    let terms = CoverageTerms(Terms::cap(grouped_code, Cents::new(10_000), 24));
    let salt = Salt::from_bytes(system::random().unwrap());
    let payload = seal::seal(&[(&token.sealing_secret(), &terms.to_bytes())], &salt).unwrap();
    let coverage = Coverage {
        coverage: token.coverage_key(grouped_code),
        catalogue,
        until: system::now().day().plus(300),
        commitment: *payload.commitment(&salt).as_hash(),
    };
    session
        .issue(&Attestation::Coverage(coverage), Some((&payload, &salt)))
        .await
        .unwrap()
}
