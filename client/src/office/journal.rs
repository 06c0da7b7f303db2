//! What a settlement run has sent: on disk before it is sent, so that after a crash the same bytes
//! go out again, and nothing is paid twice.
//!
//! ```text
//! vitrail settlements v1
//! payer <base64 of the public key>
//! sent <line> <what the line asks> <delivery> <outcome> <reason or -> <cents> <request id> <salt>
//! done <line> <index of the settlement>
//! refused <line> <code of the reason>
//! ```
//!
//! It lies beside the file, mode 0600, and is locked while a run lasts. A torn last line is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::attestation::SettlementOutcome;
use proto::ids::{Cents, LeafIndex, RequestId};
use proto::refusal::Reason;
use proto::seal::Salt;
use proto::signing::PublicKey;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// What stands behind the name of a settlement file in that of its journal.
pub const JOURNAL_ENDING: &str = "sent";

const TITLE: &str = "vitrail settlements v1";
/// Longest journal: two lines for each of a million lines.
const JOURNAL_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("journal: {0}")]
    File(#[from] FileError),
    /// Another run has it.
    #[error("journal: another run settles this file")]
    InUse,
    /// It is of another payer, or a line is not what belongs there.
    #[error("journal, line {line}: not what this payer's run writes")]
    Line {
        /// Which line, from 1.
        line: usize,
    },
}

impl Failure for JournalError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::InUse => FailureKind::Unavailable,
            Self::Line { .. } => FailureKind::Malformed,
        }
    }
}

/// One settlement as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// What the line asked for, so that an edited line is noticed.
    pub(super) asks: String,
    pub(super) delivery: LeafIndex,
    pub(super) outcome: SettlementOutcome,
    pub(super) amount: Cents,
    pub(super) id: RequestId,
    pub(super) salt: Salt,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Done(LeafIndex),
    Refused(Reason),
}

/// The journal of one settlement file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    pub(super) sent: BTreeMap<u64, Sent>,
    pub(super) ended: BTreeMap<u64, Ended>,
}

impl Journal {
    /// Opens the journal beside a settlement file, or begins it under the own key. It may have been
    /// begun under one of the keys that the same payer had before.
    pub(super) fn open(
        of: &Path,
        own_key: &PublicKey,
        former: &BTreeSet<PublicKey>,
    ) -> Result<Self, JournalError> {
        let mut name = of.as_os_str().to_owned();
        name.push(".");
        name.push(JOURNAL_ENDING);
        let path = PathBuf::from(name);
        let io = |error: std::io::Error| files::io_error(&path, &error);
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&path).map_err(io)?;
        file.try_lock().map_err(|_| JournalError::InUse)?;
        let mut bytes = Vec::new();
        (&mut file)
            .take(JOURNAL_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        // What follows the last line end was torn off by a crash, before anything was sent for it.
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut journal = Self {
            path: path.clone(),
            file,
            sent: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        let text = str::from_utf8(bytes.get(..whole).unwrap_or_default());
        let text = text.map_err(|_| JournalError::Line { line: 1 })?;
        journal.take_up(text, own_key, former)?;
        Ok(journal)
    }

    fn take_up(
        &mut self,
        text: &str,
        own_key: &PublicKey,
        former: &BTreeSet<PublicKey>,
    ) -> Result<(), JournalError> {
        let header = |key: &PublicKey| format!("{TITLE}\npayer {}\n", key.to_base64());
        if text.is_empty() {
            return self.append(&header(own_key));
        }
        let mut keys = former.iter().chain([own_key]);
        let rest = keys.find_map(|key| text.strip_prefix(&header(key)));
        let rest = rest.ok_or(JournalError::Line { line: 1 })?;
        for (place, line) in rest.lines().enumerate() {
            self.read_line(line)
                .ok_or(JournalError::Line { line: place + 3 })?;
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        let what = fields.next()?;
        let line: u64 = fields.next()?.parse().ok()?;
        let rest: Vec<&str> = fields.collect();
        match (what, &rest[..]) {
            ("done", [index]) => {
                let index = LeafIndex::new(index.parse().ok()?);
                self.ended.insert(line, Ended::Done(index));
            }
            ("refused", [code]) => {
                let reason = Reason::from_code(code)?;
                self.ended.insert(line, Ended::Refused(reason));
            }
            ("sent", fields) => {
                self.sent.insert(line, read_sent(fields)?);
                self.ended.remove(&line);
            }
            _ => return None,
        }
        Some(())
    }

    /// Writes what is about to be sent. When it returns, it is durable.
    pub(super) fn will_send(&mut self, sent: &[(u64, Sent)]) -> Result<(), JournalError> {
        let lines: String = sent
            .iter()
            .map(|(line, sent)| sent_line(*line, sent))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        self.append(&lines)
        // From here on each goes out under this request id and no other.
    }

    /// Writes what became of it.
    pub(super) fn ended(&mut self, line: u64, ended: Ended) -> Result<(), JournalError> {
        self.append(&match ended {
            Ended::Done(index) => format!("done {line} {index}\n"),
            Ended::Refused(reason) => format!("refused {line} {}\n", reason.code()),
        })
    }

    fn append(&mut self, text: &str) -> Result<(), JournalError> {
        let io = |error: std::io::Error| files::io_error(&self.path, &error);
        self.file.write_all(text.as_bytes()).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        Ok(())
    }
}

fn sent_line(line: u64, sent: &Sent) -> String {
    let reason = sent.outcome.reason().map_or("-", Reason::code);
    let (id, salt) = (
        BASE64_STANDARD.encode(sent.id.as_bytes()),
        BASE64_STANDARD.encode(sent.salt.as_bytes()),
    );
    let Sent {
        asks,
        delivery,
        outcome,
        amount,
        ..
    } = sent;
    let (outcome, cents) = (outcome.as_str(), amount.get());
    format!("sent {line} {asks} {delivery} {outcome} {reason} {cents} {id} {salt}\n")
}

fn read_sent(fields: &[&str]) -> Option<Sent> {
    let [asks, delivery, outcome, reason, cents, id, salt] = *fields else {
        return None;
    };
    let reason = Reason::from_code(reason);
    let id: [u8; 16] = BASE64_STANDARD.decode(id).ok()?.try_into().ok()?;
    let salt: [u8; 32] = BASE64_STANDARD.decode(salt).ok()?.try_into().ok()?;
    Some(Sent {
        asks: asks.to_owned(),
        delivery: LeafIndex::new(delivery.parse().ok()?),
        outcome: match (outcome, reason) {
            ("paid", None) => SettlementOutcome::Paid,
            ("rejected", Some(reason)) => SettlementOutcome::Rejected(reason),
            ("recovered", Some(reason)) => SettlementOutcome::Recovered(reason),
            _ => return None,
        },
        amount: Cents::new(cents.parse().ok()?),
        id: RequestId::from_bytes(id).ok()?,
        salt: Salt::from_bytes(salt),
    })
}

#[cfg(test)]
mod tests {
    use proto::ids::UnixMillis;
    use proto::signing::SecretKey;

    use super::*;

    fn sent(outcome: SettlementOutcome) -> Sent {
        Sent {
            asks: "7/paid//as-claimed".to_owned(),
            delivery: LeafIndex::new(9),
            outcome,
            amount: Cents::new(1_250),
            id: RequestId::new(UnixMillis::new(5), [6; 10]),
            salt: Salt::from_bytes([7; 32]),
        }
    }

    #[test]
    fn what_was_sent_is_read_back_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("day.csv");
        let payer = SecretKey::from_seed(&[1; 32]).public();
        let none = BTreeSet::new();
        let mut journal = Journal::open(&file, &payer, &none).unwrap();
        let rejected = sent(SettlementOutcome::Rejected(Reason::InvoiceUnfit));
        let all = [(2, sent(SettlementOutcome::Paid)), (3, rejected)];
        journal.will_send(&all).unwrap();
        journal.ended(3, Ended::Done(LeafIndex::new(11))).unwrap();
        assert!(matches!(
            Journal::open(&file, &payer, &none),
            Err(JournalError::InUse)
        ));
        drop(journal);
        let path = folder.path().join("day.csv.sent");
        let whole = std::fs::read(&path).unwrap();
        for torn in ["", "sent 4 x", "done 2"] {
            std::fs::write(&path, [&whole[..], torn.as_bytes()].concat()).unwrap();
            let journal = Journal::open(&file, &payer, &none).unwrap();
            assert_eq!(journal.sent.len(), 2, "{torn}");
            let read = &journal.sent[&3];
            assert_eq!(sent_line(3, read), sent_line(3, &all[1].1));
            assert_eq!(journal.ended, [(3, Ended::Done(LeafIndex::new(11)))].into());
        }
        let other = SecretKey::from_seed(&[2; 32]).public();
        assert!(matches!(
            Journal::open(&file, &other, &none),
            Err(JournalError::Line { line: 1 })
        ));
        // The same payer goes on with it under a new key.
        let journal = Journal::open(&file, &other, &BTreeSet::from([payer])).unwrap();
        assert_eq!(journal.sent.len(), 2);
    }
}
