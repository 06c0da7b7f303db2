//! The process whose power is cut: recovers a store, says what it found, and commits until killed.
//!
//! `powercut_writer DIR durable|skipped|check ACKNOWLEDGED` prints `recovered SIZE LOG MAP`, then
//! `acknowledged SIZE` after each commit. With `check` it commits nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use node::store::{RecoverError, Recovered, Store, StoreError, StoreOptions, SyncMode, Writes};
use proto::ids::LeafIndex;
use proto::map::{Crown, MapError};
use proto::tile::RightEdge;
use tests::endless::{Endless, salt};

/// Payloads checked after each recovery: those of the newest acknowledged entries.
const PAYLOADS_CHECKED: u64 = 3000;

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
    check_payloads(&store, &ledger, acknowledged)?;
    say(&format!(
        "recovered {} {} {}",
        edge.size(),
        edge.root(),
        crown.root()
    ))?;
    if mode == "check" {
        return Ok(());
    }
    commit_for_ever(&store, &ledger, edge, crown)
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

fn commit_for_ever(
    store: &Store,
    ledger: &Endless,
    mut edge: RightEdge,
    mut crown: Crown,
) -> Result<(), WriterError> {
    loop {
        let first = edge.size().get();
        // Between 200 and 455 entries, so that commits end anywhere in chunks and tiles.
        let batch = ledger.batch(first..first + 200 + first * 31 % 256);
        let leaves: Vec<_> = batch
            .entries
            .iter()
            .map(|entry| entry.leaf_hash())
            .collect();
        let tiles = edge.append_all(&leaves);
        let map = crown.update(&batch.map, store)?;
        let payloads = batch
            .salts
            .iter()
            .map(|(at, salt)| (*at, ledger.sealed(), salt));
        store.commit(&Writes {
            first: LeafIndex::new(first),
            entries: &batch.entries,
            tiles: &tiles,
            map: &map,
            answers: &batch.answers,
            payloads: &payloads.collect::<Vec<_>>(),
            erased: &[],
            applied: None,
            checkpoint: &ledger.checkpoint(&edge, &map),
            header: None,
        })?;
        say(&format!("acknowledged {}", edge.size()))?;
        crown = map.crown().clone();
    }
}

fn say(line: &str) -> Result<(), std::io::Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
