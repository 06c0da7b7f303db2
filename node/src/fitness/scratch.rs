//! A federation of one in a folder that is thrown away, and a till that claims in it.

use std::path::Path;

use proto::attestation::{
    Attestation, COVERAGE_DAYS_MAX, CatalogueNotice, Claim, Coverage, Grant, GrantClass,
    RESERVATION_DAYS_MAX,
};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, Origin, RequestId, SlotKey, UnixMillis};
use proto::roster::Role;
use proto::seal::{Salt, SealedPayload, seal};
use proto::signing::SecretKey;
use proto::token::SealingSecret;
use zeroize::Zeroizing;

use super::FitnessError;
use super::arithmetic::random;
use crate::clock;
use crate::config::{DATA_FOLDER, KEY_FILE};
use crate::init::{Following, Founding, InitError, init};
use crate::protection::Sealing;
use crate::secret_file;
use crate::sequencer::{Append, StepTimes, Trial};
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

const ORIGIN: &str = "check-perf.invalid/scratch";
const FOUNDER: &str = "founder";
/// What a payer's part of a claim says, in bytes: it is padded to the same length as a real one.
const PART: [u8; 300] = [0x20; 300];
/// The catalogue, the grant and the coverage are the first entries after the roster.
const CATALOGUE: LeafIndex = LeafIndex::new(1);
const COVERAGE: LeafIndex = LeafIndex::new(3);
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A ledger with a till, a catalogue and a coverage.
pub(super) struct Scratch {
    trial: Trial,
    origin: Origin,
    till: SecretKey,
}

impl Scratch {
    /// Founds it in a folder that does not exist yet.
    pub(super) fn found(dir: &Path) -> Result<Self, FitnessError> {
        let opticians = SecretKey::from_seed(&Zeroizing::new(random()?));
        let founding = founding(&opticians)?;
        let _ = init(dir, &founding).map_err(Box::new)?;
        let founder = founder_key(dir)?;
        let store = Store::open(&dir.join(DATA_FOLDER), StoreOptions::default())?;
        let witness = Witness::new(founding.name, founder.clone());
        let mut scratch = Self {
            trial: Trial::open(store, witness).map_err(Box::new)?,
            origin: founding.origin,
            till: SecretKey::from_seed(&Zeroizing::new(random()?)),
        };
        scratch.prepare(&founder, &opticians)?;
        Ok(scratch)
    }

    /// Puts in what a claim rests on.
    fn prepare(&mut self, founder: &SecretKey, opticians: &SecretKey) -> Result<(), FitnessError> {
        let today = clock::now().day();
        let catalogue = Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes(random()?),
            valid_from: today,
        });
        let grant = Attestation::Grant(Grant {
            till: self.till.public(),
            finess: parsed("750000001")?,
            expires_at: UnixMillis::new(clock::now().get() + DAY_MS),
            hourly_quota: 1,
            daily_quota: 1,
            class: GrantClass::Till,
        });
        let (payload, commitment) = payload()?;
        let coverage = Attestation::Coverage(Coverage {
            coverage: CoverageKey::from_bytes(random()?),
            catalogue: CATALOGUE,
            until: today.plus(COVERAGE_DAYS_MAX),
            commitment,
        });
        for (by, attestation, payload) in [
            (founder, catalogue, None),
            (opticians, grant, None),
            (founder, coverage, Some(payload)),
        ] {
            let entry = self.sign(by, &attestation)?;
            let _ = self.trial.batch(&[(entry, payload)]).map_err(Box::new)?;
        }
        Ok(())
    }

    /// So many claims of the till, of two slots each that are free, go all the way to the disk.
    pub(super) fn claims(&mut self, count: usize) -> Result<StepTimes, FitnessError> {
        let claim = |_| {
            let (payload, commitment) = payload()?;
            let claim = Attestation::Claim(Claim {
                slots: slots()?,
                catalogue: CATALOGUE,
                coverages: vec![COVERAGE],
                until: clock::now().day().plus(RESERVATION_DAYS_MAX),
                commitment,
                early: None,
            });
            Ok::<Append, FitnessError>((self.sign(&self.till, &claim)?, Some(payload)))
        };
        let claims: Vec<_> = (0..count).map(claim).collect::<Result<_, _>>()?;
        Ok(self.trial.batch(&claims).map_err(Box::new)?)
    }

    fn sign(&self, by: &SecretKey, what: &Attestation) -> Result<VerifiedEntry, FitnessError> {
        let id = RequestId::new(clock::now(), random()?);
        Ok(Entry::sign(
            &what.header(by.public(), id),
            &self.origin,
            by,
        )?)
    }
}

/// The founder pays, so that it may cover; a federation follows that may grant.
fn founding(opticians: &SecretKey) -> Result<Founding, FitnessError> {
    let key = opticians.public().to_base64();
    let federation = format!("opticians federation - following {key} - -");
    Ok(Founding {
        origin: parsed(ORIGIN)?,
        name: parsed(FOUNDER)?,
        role: Role::Amo,
        payer: Some(parsed("01")?),
        grpc: parsed("127.0.0.1:7443")?,
        http: parsed("127.0.0.1:7480")?,
        sealing: Sealing::default(),
        others: vec![parsed::<Following>(&federation)?],
        incident_keys: Vec::new(),
    })
}

fn founder_key(dir: &Path) -> Result<SecretKey, FitnessError> {
    let path = dir.join(KEY_FILE);
    let pem = secret_file::read(&path)
        .map_err(|error| Box::new(InitError::SecretFile { path, error }))?;
    Ok(SecretKey::from_pem(&pem)?)
}

/// What is written in this file can be read.
fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, FitnessError> {
    text.parse().map_err(|_| FitnessError::Name)
}

/// Two that nobody has taken, in the order that an entry wants.
fn slots() -> Result<Vec<SlotKey>, FitnessError> {
    let mut keys = [random()?, random()?];
    keys.sort_unstable();
    Ok(keys.map(SlotKey::from_bytes).to_vec())
}

/// Two parts, for two payers, and what an entry commits to.
fn payload() -> Result<((SealedPayload, Salt), Hash), FitnessError> {
    let salt = Salt::from_bytes(random()?);
    let secrets = [[1; 32], [2; 32]].map(SealingSecret::from_bytes);
    let sealed = seal(&[(&secrets[0], &PART), (&secrets[1], &PART)], &salt)?;
    let commitment = *sealed.commitment(&salt).as_hash();
    Ok(((sealed, salt), commitment))
}
