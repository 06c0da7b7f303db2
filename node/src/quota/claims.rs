//! What a payer has had evaluated for each claim: a few elements, and never more.
//!
//! A claim is checked only while it is young, so that what is kept has an end: a record is forgotten
//! when its claim may no longer be asked about.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use proto::hash::{Context, derive};
use proto::ids::{LeafIndex, UnixMillis};
use proto::roster::Roster;
use proto::signing::PublicKey;
use tokio::sync::oneshot;

use super::journal::{Journal, Record};
use super::spent::DAY_MS;
use super::{QuotaError, Spender, node_share};

/// Person tokens that a payer may derive for one claim, in the whole federation: its person, the
/// twin it was mistaken for, and each once more after a crash.
pub const CLAIM_TOKENS_MAX: u64 = 4;
/// How old a claim may be that is checked: 60 days of reservation, and time for payment and
/// correction.
pub const CLAIM_CHECK_DAYS_MAX: u64 = 180;
/// How long a record is kept. It is made after its claim, and so outlives the right.
const KEEP_MS: u64 = CLAIM_CHECK_DAYS_MAX * DAY_MS;

/// One request about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimCheck {
    /// The claim.
    pub claim: LeafIndex,
    /// The key of the payer's coverages, which it may have replaced since: what was derived for the
    /// claim counts under whichever key.
    pub payer: PublicKey,
    /// How many elements this node evaluates for it and one payer.
    pub most: u64,
}

/// A request about this claim by the payer with coverages of this key, with this node's share of what
/// a payer may derive for it.
#[must_use]
pub fn claim_check(claim: LeafIndex, payer: PublicKey, roster: &Roster) -> ClaimCheck {
    ClaimCheck {
        claim,
        payer,
        most: node_share(CLAIM_TOKENS_MAX, roster),
    }
}

/// What was spent for claims.
#[derive(Debug)]
pub(super) struct Claims {
    spent: HashMap<[u8; 32], (UnixMillis, u64)>,
    last: UnixMillis,
    journal: Journal,
}

impl Claims {
    /// Takes up what was spent for claims that may still be checked. Blocks.
    pub(super) fn open(dir: &Path, now: UnixMillis) -> io::Result<Self> {
        let (journal, records) = Journal::open(dir, KEEP_MS, now)?;
        let mut claims = Self {
            spent: HashMap::new(),
            last: UnixMillis::new(0),
            journal,
        };
        for record in records {
            claims.add(record.key, record.at, record.elements.into());
        }
        Ok(claims)
    }

    /// The moment of the last spending.
    pub(super) const fn last(&self) -> UnixMillis {
        self.last
    }

    /// What says that everything so far is durable.
    pub(super) fn flush(&self) -> oneshot::Receiver<bool> {
        self.journal.write(None)
    }

    /// Counts, and says when that is durable.
    pub(super) fn spend(
        &mut self,
        check: &ClaimCheck,
        elements: u32,
        now: UnixMillis,
    ) -> Result<oneshot::Receiver<bool>, QuotaError> {
        let (payer, claim) = (check.payer.to_bytes(), check.claim.get().to_be_bytes());
        let key = *derive(Context::ClaimCheck, &[&payer, &claim]).as_bytes();
        let spent = self.spent.get(&key).map_or(0, |(_, spent)| *spent);
        if spent.saturating_add(elements.into()) > check.most {
            return Err(QuotaError::Claim);
        }
        self.add(key, now, elements.into());
        Ok(self.journal.write(Some(Record {
            key,
            at: now,
            elements,
            spender: Spender::Payer,
        })))
    }

    /// Forgets what is about claims that are too old to be checked.
    pub(super) fn forget(&mut self, now: UnixMillis) {
        self.spent
            .retain(|_, (at, _)| at.get().saturating_add(KEEP_MS) > now.get());
    }

    fn add(&mut self, key: [u8; 32], at: UnixMillis, elements: u64) {
        let (last, spent) = self.spent.entry(key).or_insert((at, 0));
        *last = at.max(*last);
        *spent += elements;
        self.last = self.last.max(at);
    }
}
