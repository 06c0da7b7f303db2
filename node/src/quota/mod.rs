//! Quotas: how many elements this node evaluates for a key in an hour and in a day.
//!
//! A grant's quota is the promise for the whole federation. A token takes the evaluations of `t`
//! of `n` nodes, so a node that evaluates at most `floor(quota * t / n)` elements keeps it: all of
//! them together evaluate at most `quota * t`, which is `quota` tokens, whatever nodes a thief
//! asks. Hours and days are rolling ones. What is spent is durable before an evaluation leaves, so
//! that a crash gives nothing back.

mod claims;
mod journal;
mod spent;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::hash::{Context, Hash, derive};
use proto::ids::{RequestId, UnixMillis};
use proto::roster::Roster;
use proto::signing::PublicKey;
use thiserror::Error;
use tokio::sync::oneshot;

use self::claims::Claims;
pub use self::claims::{CLAIM_CHECK_DAYS_MAX, CLAIM_TOKENS_MAX, ClaimCheck, claim_check};
use self::journal::{Journal, Record};
use self::spent::Spent;
pub use self::spent::{DAY_MS, Exhausted, HOUR_MS, Limits};

/// Elements that a node evaluates for all tills together in a day. All of French optics makes some
/// 60,000 checks a day of three elements each; this is ten times that.
pub const TILLS_DAILY_ELEMENTS_MAX: u64 = 2_000_000;
/// Contract tokens that a payer may derive in an hour, in the whole federation: a first import of
/// a million contracts in one go, with room to repeat a part of it.
pub const PAYER_HOURLY_TOKENS: u64 = 1_500_000;
/// Contract tokens that a payer may derive in a day, in the whole federation: the largest insurers
/// import in two or three nights, and a thief of a payer's key has at most this.
pub const PAYER_DAILY_TOKENS: u64 = 4_000_000;
/// Person tokens that a payer may derive for claims in a day, in the whole federation: each for a
/// claim that rests on its coverage. All of French optics makes some 60,000 claims a day.
pub const PAYER_DAILY_PERSONS: u64 = 20_000;
/// How long the same request costs nothing again: the retries of a client over its deadline of ten
/// seconds, with room.
pub const REPEAT_MS: u64 = 60_000;
/// How often: as often as the client library repeats a call.
pub const REPEATS_MAX: u8 = 4;

/// Why elements are not evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuotaError {
    /// The key has used up its share of this node.
    #[error("the quota of this key at this node is used up")]
    Key(Exhausted),
    /// The payer has had its share of evaluations for this claim, for good.
    #[error("this node has evaluated as much for this claim as it may")]
    Claim,
    /// All tills together have used up this node.
    #[error("this node evaluates at most {TILLS_DAILY_ELEMENTS_MAX} elements a day for tills")]
    Node(Exhausted),
    /// What is spent cannot be written down, and so nothing may be spent.
    #[error("what is spent cannot be written")]
    NotDurable,
}

impl QuotaError {
    /// When the same elements would be evaluated; `None` if never, or nobody knows.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Key(Exhausted::For(wait)) | Self::Node(Exhausted::For(wait)) => {
                Some(Duration::from_millis(wait))
            }
            Self::Key(Exhausted::Never)
            | Self::Node(Exhausted::Never)
            | Self::Claim
            | Self::NotDurable => None,
        }
    }
}

/// Who spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spender {
    /// A till: it counts toward the node's total too.
    Till,
    /// A payer.
    Payer,
}

/// One request to spend.
#[derive(Debug, Clone, Copy)]
pub struct Spending {
    /// Whose quota it is.
    pub key: PublicKey,
    /// What the key is.
    pub spender: Spender,
    /// The request's id.
    pub request_id: RequestId,
    /// A hash of all that is to be evaluated.
    pub digest: Hash,
    /// How many elements.
    pub elements: u32,
    /// What the key may spend at this node.
    pub limits: Limits,
    /// The claim that a payer asks about; `None` for everything else.
    pub claim: Option<ClaimCheck>,
}

impl Spending {
    /// Under what it is counted: what a payer spends on claims is apart from what it imports.
    fn account(&self) -> [u8; 32] {
        let key = self.key.to_bytes();
        match self.claim {
            None => key,
            Some(_) => *derive(Context::ClaimCheck, &[&key]).as_bytes(),
        }
    }
}

/// This node's share of a quota that is promised for the whole federation: `floor(quota * t / n)`.
#[must_use]
pub fn node_share(quota: u64, roster: &Roster) -> u64 {
    let threshold = u128::from(roster.threshold().get());
    // A roster has at least as many shares as its threshold, so at least one.
    let shares = roster.shares().len().max(1) as u128;
    let share = u128::from(quota) * threshold / shares;
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What a payer may spend at this node.
#[must_use]
pub fn payer_limits(roster: &Roster) -> Limits {
    Limits {
        hour: node_share(PAYER_HOURLY_TOKENS, roster),
        day: node_share(PAYER_DAILY_TOKENS, roster),
    }
}

/// What a payer may spend at this node on all of its claims.
#[must_use]
pub fn claim_limits(roster: &Roster) -> Limits {
    let day = node_share(PAYER_DAILY_PERSONS, roster);
    Limits { hour: day, day }
}

/// What every key has spent at this node.
#[derive(Debug)]
pub struct Quotas {
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    keys: HashMap<[u8; 32], Spent>,
    tills: Spent,
    recent: HashMap<(RequestId, [u8; 32]), Recent>,
    recent_in_order: VecDeque<(UnixMillis, (RequestId, [u8; 32]))>,
    /// The moment of the last spending: a clock that is set back gives nothing back.
    last: UnixMillis,
    swept: UnixMillis,
    journal: Journal,
    claims: Claims,
}

/// What must be on disk before anything is evaluated.
type Durable = Vec<oneshot::Receiver<bool>>;

#[derive(Debug)]
struct Recent {
    digest: Hash,
    repeats: u8,
}

impl Quotas {
    /// Takes up what was spent in the last day. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn open(dir: &Path, now: UnixMillis) -> io::Result<Self> {
        let (journal, records) = Journal::open(dir, DAY_MS, now)?;
        let claims = Claims::open(&dir.join("claims"), now)?;
        let mut table = Table {
            keys: HashMap::new(),
            tills: Spent::default(),
            recent: HashMap::new(),
            recent_in_order: VecDeque::new(),
            last: claims.last(),
            swept: now,
            journal,
            claims,
        };
        for record in records {
            table.take(&record);
        }
        Ok(Self {
            table: Mutex::new(table),
        })
    }

    /// Spends elements. When it returns `Ok`, that is durable: only then may they be evaluated. The
    /// same request again, within [`REPEAT_MS`] and at most [`REPEATS_MAX`] times, costs nothing.
    ///
    /// # Errors
    /// [`QuotaError`]; nothing may then be evaluated.
    pub async fn spend(&self, spending: &Spending, now: UnixMillis) -> Result<(), QuotaError> {
        let durable = self.lock().charge(spending, now)?;
        for durable in durable {
            match durable.await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(QuotaError::NotDurable),
            }
        }
        Ok(())
    }

    /// A panic elsewhere, while the lock was held, leaves counts that are still right.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Counts a record that was read back.
    fn take(&mut self, record: &Record) {
        let spent = self.keys.entry(record.key).or_default();
        spent.add(record.at, record.elements.into());
        if record.spender == Spender::Till {
            self.tills.add(record.at, record.elements.into());
        }
        self.last = self.last.max(record.at);
    }

    /// Counts, and hands to the journal in the same order: what says that it is durable.
    fn charge(&mut self, spending: &Spending, now: UnixMillis) -> Result<Durable, QuotaError> {
        let now = now.max(self.last);
        self.last = now;
        self.sweep(now);
        let key = spending.account();
        if self.is_repeat(spending, key) {
            // The first one may still be on its way to the disk.
            return Ok(vec![self.journal.write(None), self.claims.flush()]);
        }
        self.allow(spending, key, now)?;
        let mut durable = Vec::with_capacity(2);
        if let Some(claim) = &spending.claim {
            // Whether the claim allows it is the last question: from here on it is spent.
            durable.push(self.claims.spend(claim, spending.elements, now)?);
        }
        let elements = u64::from(spending.elements);
        self.keys.entry(key).or_default().add(now, elements);
        if spending.spender == Spender::Till {
            self.tills.add(now, elements);
        }
        self.remember(spending, key, now);
        durable.push(self.journal.write(Some(Record {
            key,
            at: now,
            elements: spending.elements,
            spender: spending.spender,
        })));
        Ok(durable)
    }

    fn allow(
        &mut self,
        spending: &Spending,
        key: [u8; 32],
        now: UnixMillis,
    ) -> Result<(), QuotaError> {
        let elements = u64::from(spending.elements);
        let spent = self.keys.entry(key).or_default();
        spent.forget(now);
        spent
            .allows(elements, spending.limits, now)
            .map_err(QuotaError::Key)?;
        if spending.spender == Spender::Payer {
            return Ok(());
        }
        self.tills.forget(now);
        let limit = TILLS_DAILY_ELEMENTS_MAX;
        let limits = Limits {
            hour: limit,
            day: limit,
        };
        self.tills
            .allows(elements, limits, now)
            .map_err(QuotaError::Node)
    }

    fn is_repeat(&mut self, spending: &Spending, key: [u8; 32]) -> bool {
        let Some(recent) = self.recent.get_mut(&(spending.request_id, key)) else {
            return false;
        };
        let repeats = recent.digest == spending.digest && recent.repeats < REPEATS_MAX;
        recent.repeats += u8::from(repeats);
        repeats
    }

    fn remember(&mut self, spending: &Spending, key: [u8; 32], now: UnixMillis) {
        let request = (spending.request_id, key);
        let recent = Recent {
            digest: spending.digest,
            repeats: 0,
        };
        if self.recent.insert(request, recent).is_none() {
            self.recent_in_order.push_back((now, request));
        }
    }

    /// Forgets requests that no longer count as repeats, and once an hour keys that have spent
    /// nothing for a day.
    fn sweep(&mut self, now: UnixMillis) {
        while let Some((at, request)) = self.recent_in_order.front()
            && at.get() + REPEAT_MS <= now.get()
        {
            self.recent.remove(request);
            self.recent_in_order.pop_front();
        }
        if self.swept.get() + HOUR_MS <= now.get() {
            self.swept = now;
            self.claims.forget(now);
            self.keys.retain(|_, spent| {
                spent.forget(now);
                !spent.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests;
