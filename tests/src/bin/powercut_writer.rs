//! The process whose power is cut: recovers a store, says what it found, and appends until killed.
//!
//! As in a node, a batch is acknowledged once its record is durable in the engine's log and it is
//! applied; the ledger is synced beside that, and a start applies what the log has and it has not.
//!
//! `powercut_writer DIR durable|skipped|check ACKNOWLEDGED` prints `recovered SIZE LOG MAP`, then
//! `acknowledged SIZE` after each batch. With `check` it appends nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use node::engine::{Applied, CommittedLeaderId, EngineId, Entry, LogId, Payload, Record};
use node::store::{
    EngineState, RecoverError, Recovered, Store, StoreError, StoreOptions, SyncMode, Writes,
};
use proto::ids::LeafIndex;
use proto::map::{Crown, MapError};
use proto::tile::RightEdge;
use tests::endless::{Endless, salt};

/// Payloads checked after each recovery: those of the newest acknowledged entries.
const PAYLOADS_CHECKED: u64 = 3000;
/// How often the ledger is synced.
const GATHER: Duration = Duration::from_millis(20);
/// After so many batches all but the newest records are purged, as an engine does.
const PURGED_AFTER: u64 = 32;

#[derive(Debug, thiserror::Error)]
enum WriterError {
    #[error("usage: powercut_writer DIR durable|skipped|check ACKNOWLEDGED")]
    Usage,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Map(#[from] MapError<StoreError>),
    #[error(transparent)]
    Output(#[from] std::io::Error),
    #[error("the payload of entry {0} is lost")]
    PayloadLost(u64),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), WriterError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, mode, acknowledged] = &arguments[..] else {
        return Err(WriterError::Usage);
    };
    let acknowledged = acknowledged.parse().map_err(|_| WriterError::Usage)?;
    let sync = match mode.as_str() {
        "durable" | "check" => SyncMode::Durable,
        "skipped" => SyncMode::Skipped,
        _ => return Err(WriterError::Usage),
    };
    let ledger = Endless::new();
    let store = Store::open(
        Path::new(dir),
        StoreOptions {
            sync,
            ..StoreOptions::default()
        },
    )?;
    let (edge, crown) = match store.recover()? {
        Some(Recovered { edge, crown, .. }) => (edge, crown),
        None => (RightEdge::new(), Crown::new()),
    };
    let state = store.begin_engine(EngineId::new(1))?;
    let mut writer = Writer {
        store,
        ledger,
        edge,
        crown,
        next: state.present.map_or(0, |span| span.last.index + 1),
    };
    writer.apply_again(&state)?;
    check_payloads(&writer.store, &writer.ledger, acknowledged)?;
    let (size, root) = (writer.edge.size(), writer.edge.root());
    say(&format!("recovered {size} {root} {}", writer.crown.root()))?;
    if mode == "check" {
        return Ok(());
    }
    let syncing = writer.store.clone();
    thread::spawn(move || {
        while syncing.sync().is_ok() {
            thread::sleep(GATHER);
        }
    });
    loop {
        writer.append()?;
        say(&format!("acknowledged {}", writer.edge.size()))?;
    }
}

fn check_payloads(store: &Store, ledger: &Endless, acknowledged: u64) -> Result<(), WriterError> {
    for at in acknowledged.saturating_sub(PAYLOADS_CHECKED)..acknowledged {
        let Some(salt) = salt(at) else { continue };
        match store.payload(LeafIndex::new(at))? {
            Some((found, found_salt)) if found == *ledger.sealed() && found_salt == salt => {}
            _ => return Err(WriterError::PayloadLost(at)),
        }
    }
    Ok(())
}

/// A ledger whose every batch follows from where it begins.
struct Writer {
    store: Store,
    ledger: Endless,
    edge: RightEdge,
    crown: Crown,
    /// The index of the next record.
    next: u64,
}

impl Writer {
    /// Applies what the engine's log has and the ledger has not.
    fn apply_again(&mut self, state: &EngineState) -> Result<(), WriterError> {
        let Some(span) = state.present else {
            return Ok(());
        };
        let applied = state.applied.log_id.map_or(0, |it| it.index + 1);
        let (from, end) = (applied.max(span.first), span.last.index + 1);
        for record in self.store.records(from, end, usize::MAX)? {
            self.apply(record.log_id)?;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), WriterError> {
        let log_id = LogId::new(CommittedLeaderId::new(1), self.next);
        let first = self.edge.size().get().to_be_bytes();
        self.store.append_records(&[Entry {
            log_id,
            payload: Payload::Normal(Record::new(first.to_vec())),
        }])?;
        self.next += 1;
        self.apply(log_id)?;
        let kept_from = log_id.index.checked_sub(PURGED_AFTER / 2);
        if let Some(index) = kept_from.filter(|it| it.is_multiple_of(PURGED_AFTER)) {
            let upto = LogId::new(CommittedLeaderId::new(1), index);
            self.store.purge_records(upto)?;
        }
        Ok(())
    }

    fn apply(&mut self, log_id: LogId) -> Result<(), WriterError> {
        let Self {
            store,
            ledger,
            edge,
            crown,
            ..
        } = self;
        let first = edge.size().get();
        // Between 200 and 455 entries, so that batches end anywhere in chunks and tiles.
        let batch = ledger.batch(first..first + 200 + first * 31 % 256);
        let leaves: Vec<_> = batch
            .entries
            .iter()
            .map(|entry| entry.leaf_hash())
            .collect();
        let tiles = edge.append_all(&leaves);
        let map = crown.update(&batch.map, &*store)?;
        let payloads = batch
            .salts
            .iter()
            .map(|(at, salt)| (*at, ledger.sealed(), salt));
        store.apply(&Writes {
            first: LeafIndex::new(first),
            entries: &batch.entries,
            tiles: &tiles,
            map: &map,
            answers: &batch.answers,
            payloads: &payloads.collect::<Vec<_>>(),
            erased: &[],
            applied: Some(&Applied {
                log_id: Some(log_id),
                ..Applied::default()
            }),
            checkpoint: &ledger.checkpoint(edge, &map),
            header: None,
        })?;
        *crown = map.crown().clone();
        Ok(())
    }
}

fn say(line: &str) -> Result<(), std::io::Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
