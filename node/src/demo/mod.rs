//! The main job in one command: four members with a node each, and a day at two counters, on which
//! one node is killed and the disk of another is wiped.
//!
//! Nothing is acted: the nodes are processes that recover, sync and serve as they do in a member's
//! house; tills and insurers are the client library over TLS with keys of their own; the auditor
//! reads over HTTP. Only the people do not exist.

mod cast;
mod failure;
mod federation;
mod narrator;
mod outbound;
mod program;
mod scenes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use self::cast::Cast;
pub use self::cast::{Card, Figure, MEMBERS, ORIGIN, people};
pub use self::failure::DemoError;
use self::federation::Federation;
use self::narrator::Narrator;
use crate::server::Addresses;

/// What was played, for a program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DemoReport {
    /// The folder that holds everything.
    pub dir: PathBuf,
    /// The roster in force, to verify receipts with.
    pub roster: PathBuf,
    /// Every receipt and refusal receipt, each verified offline.
    pub receipts: Vec<PathBuf>,
    /// What was played and verified.
    pub counts: Counts,
    /// The member whose node led, and was killed in the middle of claims.
    pub leader_killed: &'static str,
    /// The member whose node led after it.
    pub leader_after: &'static str,
    /// The member whose node was wiped and rebuilt.
    pub rebuilt: &'static str,
    /// Where each member's node is reached.
    pub nodes: BTreeMap<&'static str, Addresses>,
    /// The log root at the end of the audit, in base64.
    pub log_root: String,
    /// The map root at the end of the audit, in base64.
    pub map_root: String,
}

/// What was played and verified.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// Members, each with a node and a vote.
    pub members: usize,
    /// How many of them must cosign each state of the ledger.
    pub quorum: usize,
    /// Insured people.
    pub people: usize,
    /// Products in the catalogue.
    pub products: usize,
    /// Coverages in the ledger.
    pub coverages: usize,
    /// Coverage checks made.
    pub checks: usize,
    /// Claims accepted. The audit finds each of them once in the log.
    pub claims: u64,
    /// Claims refused with a proof.
    pub refusals: usize,
    /// Claims released.
    pub releases: usize,
    /// Messages that left the first shop for its first check and claim.
    pub messages_out: usize,
    /// Bytes that left the first shop for them.
    pub bytes_out: usize,
    /// Nodes killed while they led.
    pub leader_kills: usize,
    /// Claims that had left their till and had no answer when the leader was killed.
    pub claims_in_flight: usize,
    /// Time from that kill to the first receipt of a claim that was sent after it, in ms.
    pub writes_back_ms: u64,
    /// Entries that the rebuilt node fetched and verified, each.
    pub rebuilt_entries: u64,
    /// Members that vouch for the roots that it computed.
    pub rebuilt_cosigned_by: usize,
    /// Receipts verified offline.
    pub receipts_verified: usize,
    /// Looks of the first shop that an insurer found on record.
    pub looks_on_record: usize,
    /// Entries audited, at each node.
    pub entries_audited: u64,
    /// Nodes whose whole log was audited, to the same roots.
    pub nodes_audited: usize,
}

/// Four nodes that have played their demo, and still serve. Dropped, they are killed.
pub struct Demo {
    /// What was played.
    pub report: DemoReport,
    federation: Federation,
}

impl Demo {
    /// Ends the nodes in order.
    pub async fn end(self) {
        self.federation.end_all().await;
    }
}

/// Plays the whole demo in this folder. The nodes go on serving until they are ended; they are
/// killed when the demo breaks off, is dropped, or its process is gone.
///
/// # Errors
/// [`DemoError`], the first thing that is not as it must be.
pub async fn play(dir: &Path, speaks: bool) -> Result<Demo, DemoError> {
    let narrator = Narrator { speaks };
    narrator.scene("1. Four members found a federation, and start a node each");
    std::fs::create_dir_all(dir.join("receipts"))?;
    let mut cast = Cast::hire(dir)?;
    let mut federation = Federation::found(dir, &mut cast).await?;
    introduce(&federation, narrator);
    let played = scenes::play(&cast, &mut federation, dir, narrator).await?;
    let report = DemoReport {
        dir: dir.to_owned(),
        roster: federation.roster_file(),
        receipts: played.receipts,
        counts: played.counts,
        leader_killed: played.leader_killed,
        leader_after: played.leader_after,
        rebuilt: played.rebuilt,
        nodes: federation.addresses(),
        log_root: played.log_root,
        map_root: played.map_root,
    };
    Ok(Demo { report, federation })
}

fn introduce(federation: &Federation, narrator: Narrator) {
    for (name, addresses) in federation.addresses() {
        let (grpc, http) = (addresses.grpc, addresses.http);
        narrator.line(&format!("{name:<20} gRPC {grpc}  pages http://{http}"));
    }
    let (roster, file) = (federation.roster(), federation.roster_file());
    narrator.line(&format!("roster     {}", file.display()));
    narrator.line(&format!("ceremony   {}", federation.transcript()));
    narrator.shown(&format!(
        "The four made the two joint keys together, and nobody ever had one: any {} of them make a \
         token. Each checks every batch, and {} of {} must cosign it.",
        roster.threshold(),
        roster.quorum(),
        roster.voting_members().count(),
    ));
}
