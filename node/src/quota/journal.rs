//! What was spent, on disk: a file for each hour, records of one length, synced before anything is
//! evaluated.
//!
//! ```text
//! quota/<hours since 1970>
//! record   key 32 || moment 8 || elements 4 || 0 till, 1 payer || check 4   numbers big-endian
//! ```
//!
//! A torn record is skipped: nothing was evaluated for it. Files are never changed, only appended
//! to, and removed when they are a day old, or as old as a claim may be (`quota/claims`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use proto::hash::{Context, derive};
use proto::ids::UnixMillis;
use tokio::sync::oneshot;

use super::Spender;
use super::spent::HOUR_MS;

/// Length of a record.
const RECORD_BYTES: usize = 49;
/// What of it is checked.
const CHECKED_BYTES: usize = 45;
/// Most spendings that share a sync.
const BATCH_MAX: usize = 1024;

/// One spending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: [u8; 32],
    pub(super) at: UnixMillis,
    pub(super) elements: u32,
    pub(super) spender: Spender,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..40].copy_from_slice(&self.at.get().to_be_bytes());
        bytes[40..44].copy_from_slice(&self.elements.to_be_bytes());
        bytes[44] = u8::from(self.spender == Spender::Payer);
        let check = check(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (elements, rest) = rest.split_first_chunk()?;
        let (spender, rest) = rest.split_first()?;
        let fits = rest == check(bytes.get(..CHECKED_BYTES)?);
        fits.then_some(Self {
            key: *key,
            at: UnixMillis::new(u64::from_be_bytes(*at)),
            elements: u32::from_be_bytes(*elements),
            spender: match spender {
                0 => Spender::Till,
                _ => Spender::Payer,
            },
        })
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let hash = derive(Context::QuotaRecord, &[bytes]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

/// What the writing thread is sent: a record, or nothing but the wish to know that all before it is
/// durable.
struct Message {
    record: Option<Record>,
    durable: oneshot::Sender<bool>,
}

/// The way to the writing thread.
#[derive(Debug)]
pub(super) struct Journal {
    inbox: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the folder, and gives what was spent in the last `keep_ms`, in order of time. What is
    /// older is removed.
    pub(super) fn open(
        dir: &Path,
        keep_ms: u64,
        now: UnixMillis,
    ) -> io::Result<(Self, Vec<Record>)> {
        fs::create_dir_all(dir)?;
        let records = read(dir, keep_ms, now)?;
        if let Some(parent) = dir.parent() {
            File::open(parent)?.sync_all()?;
        }
        let (inbox, outbox) = channel();
        let writer = Writer {
            dir: dir.to_owned(),
            keep_ms,
            current: None,
        };
        let thread = std::thread::spawn(move || writer.run(&outbox));
        let journal = Self {
            inbox: Some(inbox),
            thread: Some(thread),
        };
        Ok((journal, records))
    }

    /// Hands a record to the writer, in the order of the calls. The receiver says `true` once it
    /// and all before it are durable.
    pub(super) fn write(&self, record: Option<Record>) -> oneshot::Receiver<bool> {
        let (durable, is_durable) = oneshot::channel();
        if let Some(inbox) = &self.inbox {
            // Fails when the thread is gone, and so does the receiver then.
            let _ = inbox.send(Message { record, durable });
        }
        is_durable
    }
}

/// Ends the thread: what it was sent is on disk when this returns.
impl Drop for Journal {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Writer {
    dir: PathBuf,
    keep_ms: u64,
    current: Option<(u64, File)>,
}

impl Writer {
    fn run(mut self, outbox: &Receiver<Message>) {
        // After a failed write or sync nothing is promised until a restart: the kernel may have
        // dropped the pages that it could not write.
        let mut sound = true;
        while let Ok(first) = outbox.recv() {
            let mut batch = vec![first];
            batch.extend(outbox.try_iter().take(BATCH_MAX - 1));
            if sound && let Err(error) = self.append(&batch) {
                tracing::error!(kind = ?error.kind(), "quotas cannot be written: nothing is evaluated");
                sound = false;
            }
            for message in batch {
                // From here a crash gives nothing back to who has spent it.
                let _ = message.durable.send(sound);
            }
        }
    }

    fn append(&mut self, batch: &[Message]) -> io::Result<()> {
        let records: Vec<&Record> = batch.iter().filter_map(|m| m.record.as_ref()).collect();
        let Some(last) = records.last() else {
            return Ok(());
        };
        // All of a batch go to one hour's file; a reader goes by each record's own moment.
        let hour = last.at.get() / HOUR_MS;
        if self.current.as_ref().is_none_or(|(of, _)| *of != hour) {
            self.current = Some((hour, self.open_hour(hour)?));
            remove_old(&self.dir, self.keep_ms, last.at)?;
        }
        let Some((_, file)) = &mut self.current else {
            return Ok(());
        };
        let bytes: Vec<u8> = records
            .iter()
            .flat_map(|record| record.to_bytes())
            .collect();
        file.write_all(&bytes)?;
        file.sync_data()
    }

    /// Opens the file of an hour, behind its last whole record.
    fn open_hour(&self, hour: u64) -> io::Result<File> {
        let path = self.dir.join(hour.to_string());
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        let whole = length.next_multiple_of(RECORD_BYTES as u64);
        if whole != length {
            file.set_len(whole)?;
        }
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(file)
    }
}

/// The hours that there is a file of.
fn hours(dir: &Path) -> io::Result<Vec<u64>> {
    let mut hours = Vec::new();
    for found in fs::read_dir(dir)? {
        let name = found?.file_name();
        hours.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    hours.sort_unstable();
    Ok(hours)
}

fn is_old(hour: u64, keep_ms: u64, now: UnixMillis) -> bool {
    // A batch may be in the file of the hour after; one hour more is kept.
    (hour + 2) * HOUR_MS + keep_ms <= now.get()
}

fn remove_old(dir: &Path, keep_ms: u64, now: UnixMillis) -> io::Result<()> {
    let old = |hour: &u64| is_old(*hour, keep_ms, now);
    for hour in hours(dir)?.into_iter().filter(old) {
        fs::remove_file(dir.join(hour.to_string()))?;
    }
    Ok(())
}

fn read(dir: &Path, keep_ms: u64, now: UnixMillis) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut torn = 0_u64;
    let kept = |hour: &u64| !is_old(*hour, keep_ms, now);
    for hour in hours(dir)?.into_iter().filter(kept) {
        let mut bytes = Vec::new();
        File::open(dir.join(hour.to_string()))?.read_to_end(&mut bytes)?;
        for chunk in bytes.chunks(RECORD_BYTES) {
            match Record::from_bytes(chunk) {
                Some(record) => records.push(record),
                None => torn += 1,
            }
        }
    }
    if torn > 0 {
        tracing::warn!(torn, "records of quotas were torn, and never acted on");
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::super::spent::DAY_MS;
    use super::*;

    fn record(at: u64, elements: u32) -> Record {
        Record {
            key: [7; 32],
            at: UnixMillis::new(at),
            elements,
            spender: Spender::Till,
        }
    }

    fn reopened(dir: &Path, now: u64) -> Vec<Record> {
        Journal::open(dir, DAY_MS, UnixMillis::new(now)).unwrap().1
    }

    #[test]
    fn what_was_confirmed_is_read_back_and_a_torn_end_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, none) = Journal::open(dir.path(), DAY_MS, UnixMillis::new(0)).unwrap();
        assert_eq!(none, []);
        let records = [record(5, 1), record(HOUR_MS + 6, 2), record(HOUR_MS + 7, 3)];
        for record in records {
            assert!(journal.write(Some(record)).blocking_recv().unwrap());
        }
        assert!(journal.write(None).blocking_recv().unwrap());
        drop(journal);
        assert_eq!(reopened(dir.path(), HOUR_MS * 2), records);
        // A power cut leaves part of a record; the next one stands behind it all the same.
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.path().join("1"))
            .unwrap();
        file.write_all(&record(HOUR_MS + 8, 9).to_bytes()[..20])
            .unwrap();
        assert_eq!(reopened(dir.path(), HOUR_MS * 2), records);
        let (journal, _) = Journal::open(dir.path(), DAY_MS, UnixMillis::new(HOUR_MS * 2)).unwrap();
        let after = record(HOUR_MS + 9, 4);
        assert!(journal.write(Some(after)).blocking_recv().unwrap());
        drop(journal);
        let all = [records.as_slice(), &[after]].concat();
        assert_eq!(reopened(dir.path(), HOUR_MS * 2), all);
    }

    #[test]
    fn files_of_the_day_before_go() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path(), DAY_MS, UnixMillis::new(0)).unwrap();
        for hour in [0, 1, 10, 26, 27] {
            let record = record(hour * HOUR_MS + 1, 1);
            assert!(journal.write(Some(record)).blocking_recv().unwrap());
        }
        assert_eq!(hours(dir.path()).unwrap(), [10, 26, 27]);
    }

    #[test]
    fn a_changed_record_is_none() {
        let bytes = record(5, 1).to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Some(record(5, 1)));
        for place in 0..RECORD_BYTES {
            let mut changed = bytes;
            changed[place] ^= 1;
            assert_eq!(Record::from_bytes(&changed), None, "{place}");
        }
        assert_eq!(Record::from_bytes(&bytes[..48]), None);
    }
}
