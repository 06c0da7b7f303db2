//! One request, one effect: what was asked under an Idempotency-Key, and what became of it.
//!
//! (draft-ietf-httpapi-idempotency-key-header.) A request that writes gets a record before
//! anything of it is sent, and the record gets the answer before the caller does. So wherever the
//! agent stops, the same key with the same body goes on from the record:
//!
//! ```text
//! [none] -> prepared, durable -> sent -> answered, durable -> told
//! ```
//!
//! A record names no person: the key and the body are known by keyed hashes alone, under a key that
//! is made of the pairing token and lies on no disk. What is prepared is an entry of the ledger with
//! its sealed payload, as a queued claim is kept. The answer has products and amounts, and is for
//! the owner of the folder alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::hash::Hash;
use proto::ids::UnixMillis;
use serde::{Deserialize, Serialize};

use super::answer::{EntryAnswer, QuoteAnswer};
use super::pairing::RequestKey;
use super::problem::{Problem, ProblemCode};
use crate::files::{self, FileError};
use crate::system;

/// Characters of a key: a UUID has 36, and what is shorter than 16 is hardly drawn at random.
pub const KEY_CHARACTERS: std::ops::RangeInclusive<usize> = 16..=64;
/// How long a record is kept: a till that was off over a long weekend still gets its answer.
pub const RECORD_DAYS: u64 = 7;
/// Most records: a busy shop writes some hundred a day.
pub const RECORDS_MAX: usize = 10_000;
/// Longest file of a record: an entry and a payload in base64, and an answer of eight lines.
const RECORD_BYTES_MAX: usize = 256 * 1024;
/// What a record's file ends in.
const EXTENSION: &str = "request";
/// The version that each record begins with.
const VERSION: u32 = 1;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Which request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    Claim,
    Delivery,
    Release,
}

impl Operation {
    /// The word for it in answers, and in the names of receipts.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Delivery => "delivery",
            Self::Release => "release",
        }
    }
}

/// What must be known to go on after a stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Prepared {
    /// This entry, and no other, may be in the ledger.
    Entry {
        /// The signed entry, in base64.
        entry: String,
        /// The size of the log before it was signed.
        after: u64,
        /// Payload and salt, in base64.
        payload: Option<(String, String)>,
        quote: Option<Box<QuoteAnswer>>,
    },
    /// The claim is in the queue, or was about to be put there.
    Queued {
        name: String,
        /// The text of a kept quote.
        draft: String,
        quote: Option<Box<QuoteAnswer>>,
    },
    /// A simulation had begun.
    Simulated,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Prepared(Prepared),
    Answered(Box<EntryAnswer>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    version: u32,
    operation: Operation,
    /// Keyed hash of the body, in base64.
    body: String,
    /// Milliseconds since 1970.
    at: u64,
    /// The name of the claim in the queue, if it was put there.
    queued: Option<String>,
    state: State,
}

/// What is known of the records without reading them.
#[derive(Debug, Default)]
struct Index {
    /// When each was made, by name.
    records: BTreeMap<String, u64>,
    /// The records of claims that were queued, by the claim's name.
    queued: BTreeMap<String, String>,
    /// The requests that are being worked on, with their bodies' hashes.
    at_work: BTreeMap<String, Hash>,
}

/// The records of a folder.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    folder: PathBuf,
    index: Arc<Mutex<Index>>,
}

/// A request that shows its key: how its record is named, and what its body is known by.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    pub(super) operation: Operation,
    name: String,
    body: Hash,
}

impl Keyed {
    /// Reads the header's value: a string of RFC 8941, or the same without its quotes.
    pub(super) fn read(
        operation: Operation,
        header: Option<&[u8]>,
        body: &[u8],
        request_key: &RequestKey,
    ) -> Result<Self, Problem> {
        let problem = |code| Problem::new(code).of_field("Idempotency-Key");
        let value = header.ok_or_else(|| problem(ProblemCode::IdempotencyKeyMissing))?;
        let unquoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        let key = unquoted.unwrap_or(value);
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        if !KEY_CHARACTERS.contains(&key.len()) || !key.iter().all(allowed) {
            let (least, most) = (KEY_CHARACTERS.start(), KEY_CHARACTERS.end());
            let limit = format!("{least} to {most} characters out of A-Z a-z 0-9 - _");
            return Err(problem(ProblemCode::IdempotencyKeyMalformed).beyond(limit));
        }
        let name = request_key.digest("key", key);
        let name = name.as_bytes().iter().take(16);
        Ok(Self {
            operation,
            name: name.map(|byte| format!("{byte:02x}")).collect(),
            body: request_key.digest(operation.as_str(), body),
        })
    }
}

/// What is found under a key.
pub(super) enum Begun {
    /// It was answered: the same again.
    Answered(Box<EntryAnswer>),
    /// It is to be done, or to be gone on with.
    Open(Box<Open>),
}

/// A request that is being worked on: nobody else is given it until this is dropped.
pub(super) struct Open {
    requests: Requests,
    keyed: Keyed,
    prepared: Option<Prepared>,
    queued: Option<String>,
    at: UnixMillis,
}

impl Requests {
    /// The records of a folder, which is made if it is not there. Old ones go.
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        files::create_folder(folder)?;
        let requests = Self {
            folder: folder.to_owned(),
            index: Arc::default(),
        };
        let unreadable = |error: std::io::Error| files::io_error(folder, &error);
        for file in fs::read_dir(folder).map_err(unreadable)? {
            let path = file.map_err(unreadable)?.path();
            let is_record = path.extension().is_some_and(|found| found == EXTENSION);
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            // A record that cannot be read refuses its own key, when that is shown.
            if is_record && let Ok(Some(record)) = requests.read(name) {
                let mut index = requests.index();
                index.records.insert(name.to_owned(), record.at);
                if let Some(queued) = record.queued {
                    index.queued.insert(queued, name.to_owned());
                }
            }
        }
        requests.expire(system::now())?;
        Ok(requests)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(EXTENSION)
    }

    fn read(&self, name: &str) -> Result<Option<Record>, Problem> {
        let bytes = match files::read_secret(&self.path(name), RECORD_BYTES_MAX) {
            Err(FileError::Missing { .. }) => return Ok(None),
            read => read.map_err(not_kept)?,
        };
        let torn = |_| Problem::new(ProblemCode::NotKept).saying("the record of this key is torn");
        let record: Record = serde_json::from_slice(&bytes).map_err(torn)?;
        let known = record.version == VERSION;
        let other = Problem::new(ProblemCode::NotKept);
        known
            .then_some(Some(record))
            .ok_or(other.saying("the record is of another version"))
    }

    /// Removes records that are too old. What is still prepared is kept as long: after that its
    /// entry is in the ledger or never will be.
    pub(super) fn expire(&self, now: UnixMillis) -> Result<(), FileError> {
        let mut index = self.index();
        let oldest = now.get().saturating_sub(RECORD_DAYS * DAY_MS);
        let records = index.records.iter();
        let old: Vec<String> = records
            .filter(|(name, at)| **at < oldest && !index.at_work.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in old {
            files::remove(&self.path(&name))?;
            index.records.remove(&name);
            index.queued.retain(|_, record| *record != name);
        }
        Ok(())
    }

    /// Takes a request up.
    pub(super) fn begin(&self, keyed: Keyed, now: UnixMillis) -> Result<Begun, Problem> {
        let mut index = self.index();
        let reused = || {
            let problem = Problem::new(ProblemCode::IdempotencyKeyReused);
            problem.of_field("Idempotency-Key")
        };
        if let Some(body) = index.at_work.get(&keyed.name) {
            let in_use = Problem::new(ProblemCode::IdempotencyKeyInUse);
            return Err(match *body == keyed.body {
                true => in_use.of_field("Idempotency-Key"),
                false => reused(),
            });
        }
        let (mut prepared, mut queued, mut at) = (None, None, now);
        match self.read(&keyed.name)? {
            Some(record) if record.body != keyed.body.to_base64() => return Err(reused()),
            Some(record) => match record.state {
                State::Answered(answer) => return Ok(Begun::Answered(answer)),
                State::Prepared(found) => {
                    prepared = Some(found);
                    queued = record.queued;
                    at = UnixMillis::new(record.at);
                }
            },
            None if index.records.len() >= RECORDS_MAX => {
                return Err(Problem::new(ProblemCode::Busy).beyond(RECORDS_MAX));
            }
            None => {}
        }
        index.at_work.insert(keyed.name.clone(), keyed.body);
        drop(index);
        Ok(Begun::Open(Box::new(Open {
            requests: self.clone(),
            keyed,
            prepared,
            queued,
            at,
        })))
    }

    /// Takes up the request by which a claim came into the queue; `None` when there is none, it is
    /// answered, or somebody is at work on it.
    pub(super) fn of_queued(&self, claim: &str) -> Option<Open> {
        let mut index = self.index();
        let name = index.queued.get(claim)?.clone();
        if index.at_work.contains_key(&name) {
            return None;
        }
        let record = self.read(&name).ok()??;
        let body = Hash::from_base64(&record.body)?;
        let State::Prepared(prepared) = record.state else {
            return None;
        };
        index.at_work.insert(name.clone(), body);
        drop(index);
        Some(Open {
            requests: self.clone(),
            keyed: Keyed {
                operation: record.operation,
                name,
                body,
            },
            prepared: Some(prepared),
            queued: record.queued,
            at: UnixMillis::new(record.at),
        })
    }

    /// Whether somebody is at work on the request by which a claim came into the queue.
    pub(super) fn is_at_work(&self, claim: &str) -> bool {
        let index = self.index();
        let name = index.queued.get(claim);
        name.is_some_and(|name| index.at_work.contains_key(name))
    }

    /// What became of a claim that was queued, if that is known.
    pub(super) fn answer_of(&self, claim: &str) -> Option<EntryAnswer> {
        let name = self.index().queued.get(claim)?.clone();
        match self.read(&name).ok()??.state {
            State::Answered(answer) => Some(*answer),
            State::Prepared(_) => None,
        }
    }
}

impl Open {
    /// What its key is known by.
    pub(super) fn name(&self) -> &str {
        &self.keyed.name
    }

    /// What was prepared before a stop.
    pub(super) const fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_ref()
    }

    /// Notes how to go on. When it returns that is durable, and the first byte may be sent.
    pub(super) fn prepare(&mut self, prepared: Prepared) -> Result<(), Problem> {
        if let Prepared::Queued { name, .. } = &prepared {
            self.queued = Some(name.clone());
        }
        self.prepared = Some(prepared.clone());
        self.write(State::Prepared(prepared)).map_err(not_kept)
    }

    /// Notes the answer. When it returns that is durable, and the caller may be told.
    pub(super) fn answer(&self, answer: &EntryAnswer) -> Result<(), FileError> {
        self.write(State::Answered(Box::new(answer.clone())))
    }

    fn write(&self, state: State) -> Result<(), FileError> {
        let Keyed { name, body, .. } = &self.keyed;
        let record = Record {
            version: VERSION,
            operation: self.keyed.operation,
            body: body.to_base64(),
            at: self.at.get(),
            queued: self.queued.clone(),
            state,
        };
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        files::replace_secret(&self.requests.path(name), &bytes)?;
        let mut index = self.requests.index();
        index.records.insert(name.clone(), record.at);
        if let Some(queued) = record.queued {
            index.queued.insert(queued, name.clone());
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.requests.index().at_work.remove(&self.keyed.name);
    }
}

/// A folder that cannot be used.
pub(super) fn not_kept(error: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemCode::NotKept).saying(error)
}

#[cfg(test)]
mod tests {
    use super::super::pairing::Pairing;
    use super::*;

    const KEY: &[u8] = b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

    struct Shop {
        folder: tempfile::TempDir,
        key: RequestKey,
    }

    impl Shop {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (pairing, token) = Pairing::open(folder.path(), false).unwrap();
            let token = fs::read_to_string(token.unwrap()).unwrap();
            let key = pairing.admit(&token).unwrap();
            Self { folder, key }
        }

        fn requests(&self) -> Requests {
            Requests::open(&self.folder.path().join("requests")).unwrap()
        }

        fn keyed(&self, body: &[u8]) -> Keyed {
            Keyed::read(Operation::Claim, Some(KEY), body, &self.key).unwrap()
        }
    }

    fn code(begun: Result<Begun, Problem>) -> ProblemCode {
        match begun {
            Err(problem) => problem.code,
            Ok(_) => panic!("it was taken up"),
        }
    }

    fn open(begun: Result<Begun, Problem>) -> Open {
        match begun {
            Ok(Begun::Open(open)) => *open,
            Ok(Begun::Answered(_)) => panic!("it was answered"),
            Err(problem) => panic!("{problem:?}"),
        }
    }

    fn refused() -> EntryAnswer {
        let reason = proto::refusal::Reason::SlotReserved;
        EntryAnswer::refused("claim", super::super::answer::Refusal::new(reason))
    }

    #[test]
    fn the_same_key_gives_the_same_answer_also_after_a_restart() {
        let shop = Shop::new();
        let requests = shop.requests();
        let mut first = open(requests.begin(shop.keyed(b"body"), system::now()));
        let again = || requests.begin(shop.keyed(b"body"), system::now());
        assert_eq!(code(again()), ProblemCode::IdempotencyKeyInUse);
        let other = requests.begin(shop.keyed(b"other"), system::now());
        assert_eq!(code(other), ProblemCode::IdempotencyKeyReused);
        first.prepare(Prepared::Simulated).unwrap();
        drop(first);
        // It stopped here. The next one goes on.
        let requests = shop.requests();
        let gone_on = open(requests.begin(shop.keyed(b"body"), system::now()));
        assert!(matches!(gone_on.prepared(), Some(Prepared::Simulated)));
        gone_on.answer(&refused()).unwrap();
        drop(gone_on);
        let requests = shop.requests();
        let Ok(Begun::Answered(answer)) = requests.begin(shop.keyed(b"body"), system::now()) else {
            panic!("it was answered");
        };
        assert_eq!(answer.refusal.unwrap().code, "SLOT_RESERVED");
        let other = requests.begin(shop.keyed(b"other"), system::now());
        assert_eq!(code(other), ProblemCode::IdempotencyKeyReused);
        let delivery = Keyed::read(Operation::Delivery, Some(KEY), b"body", &shop.key).unwrap();
        assert_eq!(
            code(requests.begin(delivery, system::now())),
            ProblemCode::IdempotencyKeyReused
        );
    }

    #[test]
    fn what_was_not_prepared_leaves_nothing() {
        let shop = Shop::new();
        let requests = shop.requests();
        drop(open(requests.begin(shop.keyed(b"body"), system::now())));
        drop(open(requests.begin(shop.keyed(b"other"), system::now())));
        assert_eq!(fs::read_dir(&requests.folder).unwrap().count(), 0);
    }

    #[test]
    fn a_queued_claim_is_found_by_its_name_and_old_records_go() {
        let shop = Shop::new();
        let requests = shop.requests();
        let mut first = open(requests.begin(shop.keyed(b"body"), system::now()));
        let queued = Prepared::Queued {
            name: "0011".to_owned(),
            draft: String::new(),
            quote: None,
        };
        first.prepare(queued).unwrap();
        assert!(requests.is_at_work("0011") && requests.of_queued("0011").is_none());
        drop(first);
        let found = requests.of_queued("0011").unwrap();
        found.answer(&refused()).unwrap();
        drop(found);
        assert!(requests.of_queued("0011").is_none());
        assert_eq!(requests.answer_of("0011").unwrap().outcome, "refused");
        requests.expire(system::now()).unwrap();
        assert!(requests.answer_of("0011").is_some());
        let later = UnixMillis::new(system::now().get() + RECORD_DAYS * DAY_MS + 1);
        requests.expire(later).unwrap();
        assert!(requests.answer_of("0011").is_none());
        assert_eq!(fs::read_dir(&requests.folder).unwrap().count(), 0);
    }

    #[test]
    fn a_key_is_of_its_form_and_neither_it_nor_the_body_is_kept() {
        let shop = Shop::new();
        let read = |header: Option<&[u8]>| Keyed::read(Operation::Claim, header, b"", &shop.key);
        assert_eq!(
            read(None).unwrap_err().code,
            ProblemCode::IdempotencyKeyMissing
        );
        for wrong in [
            &b"short"[..],
            b"has a space in it",
            &[b'a'; 65],
            b"\"unfinished-string-00",
        ] {
            let problem = read(Some(wrong)).unwrap_err();
            assert_eq!(problem.code, ProblemCode::IdempotencyKeyMalformed);
        }
        let bare = read(Some(KEY.trim_ascii())).unwrap();
        assert_eq!(bare.name.len(), 32);
        let requests = shop.requests();
        let mut first = open(requests.begin(shop.keyed(b"1850017510100"), system::now()));
        first.prepare(Prepared::Simulated).unwrap();
        let file = fs::read_to_string(requests.path(&first.keyed.name)).unwrap();
        assert!(!file.contains("1850017510100") && !file.contains("8e03978e"));
    }
}
