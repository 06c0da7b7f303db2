//! The main job in one command: a node, its federation, and a day at two counters.
//!
//! Nothing is acted: the node recovers, syncs and serves as it does in a member's house; tills and
//! insurers are the client library over TLS with keys of their own; the auditor reads over HTTP.
//! Only the people do not exist.

mod cast;
mod narrator;
mod outbound;
mod scenes;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use client::auditor::{AuditError, FetchError};
use client::catalogue_file::CatalogueFileError;
use client::files::FileError;
use client::incident::IncidentError;
use client::insurer::{CoverError, InsurerError};
use client::issue::IssueError;
use client::pos::{
    CheckError, ClaimError, DeliverError, InsuredError, ItemTextError, ReleaseError,
};
use client::session::SessionError;
use client::settlement::SettleError;
use client::tokens::TokenError;
use proto::identity::IdentityError;
use proto::ids::IdError;
use proto::lpp::{CatalogueVersionError, GroupedCodeError};
use proto::receipt::ReceiptError;
use proto::refusal::Reason;
use proto::roster::RosterValueError;
use proto::signing::SigningError;
use serde::Serialize;
use thiserror::Error;

use self::cast::Cast;
pub use self::cast::{Card, Figure, people};
use self::narrator::Narrator;
use crate::config::{Config, ConfigError, Settings};
use crate::init::{self, FollowingError, Founding, InitError};
use crate::protection::Sealing;
use crate::secret_file::{self, SecretFileError};
use crate::server::{Addresses, RunningNode, StartError};

/// Why the demo broke off. Nothing of a person is in any of these.
#[derive(Debug, Error)]
#[allow(
    missing_docs,
    reason = "each variant is the error that it holds, and they are said there"
)]
pub enum DemoError {
    #[error("the demo's folder: {0}")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    #[error("a member of the demo: {0}")]
    Member(#[from] FollowingError),
    #[error("an address of the demo: {0}")]
    Address(#[from] RosterValueError),
    #[error("a name of the demo: {0}")]
    Name(#[from] IdError),
    #[error("a key of the demo: {0}")]
    Key(#[from] SigningError),
    #[error("a card of the demo: {0}")]
    Identity(#[from] IdentityError),
    #[error("a card of the demo: {0}")]
    Insured(#[from] InsuredError),
    #[error("a grouped code of the demo: {0}")]
    GroupedCode(#[from] GroupedCodeError),
    #[error("an item of the demo: {0}")]
    Item(#[from] ItemTextError),
    #[error("the demo's catalogue: {0}")]
    Catalogue(#[from] CatalogueFileError),
    #[error("the demo's catalogue: {0}")]
    CatalogueVersion(#[from] CatalogueVersionError),
    #[error("somebody has no key")]
    Miscast,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Insurer(#[from] InsurerError),
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Cover(#[from] CoverError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a receipt of the demo: {0}")]
    Receipt(#[from] ReceiptError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Incident(#[from] Box<IncidentError>),
    #[error(transparent)]
    Audit(#[from] Box<AuditError>),
    /// The ledger refused what it must accept.
    #[error("the ledger refused {what}: {reason}", reason = .reason.english())]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The rule.
        reason: Reason,
    },
    /// The ledger accepted what it must refuse.
    #[error("the ledger accepted a second claim of the same slots")]
    AcceptedTwice,
    /// A look is not on record.
    #[error("{listed} looks of the first shop are on record, it made {made}")]
    Unrecorded {
        /// How many are listed.
        listed: usize,
        /// How many it made.
        made: usize,
    },
    /// A word of a card stands in a message.
    #[error("something of a card left the shop")]
    Leak,
}

/// What was played, for a program.
#[derive(Debug, Serialize)]
pub struct DemoReport {
    /// The folder that holds everything.
    pub dir: PathBuf,
    /// The roster to verify receipts with.
    pub roster: PathBuf,
    /// Every receipt and refusal receipt, each verified offline.
    pub receipts: Vec<PathBuf>,
    /// What was played and verified.
    pub counts: Counts,
    /// Where the node is reached.
    pub addresses: Addresses,
    /// The log root at the end of the audit, in base64.
    pub log_root: String,
    /// The map root at the end of the audit, in base64.
    pub map_root: String,
}

/// What was played and verified.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Insured people.
    pub people: usize,
    /// Products in the catalogue.
    pub products: usize,
    /// Coverages in the ledger.
    pub coverages: usize,
    /// Coverage checks made.
    pub checks: usize,
    /// Claims accepted.
    pub claims: usize,
    /// Claims refused with a proof.
    pub refusals: usize,
    /// Claims released.
    pub releases: usize,
    /// Messages that left the first shop.
    pub messages_out: usize,
    /// Bytes that left the first shop.
    pub bytes_out: usize,
    /// Receipts verified offline.
    pub receipts_verified: usize,
    /// Looks of the first shop that an insurer found on record.
    pub looks_on_record: usize,
    /// Entries audited.
    pub entries_audited: u64,
}

/// A node that has played its demo, and still serves.
pub struct Demo {
    /// What was played.
    pub report: DemoReport,
    /// The node.
    pub node: RunningNode,
}

/// Plays the whole demo in this folder. The node goes on serving until it is stopped.
///
/// # Errors
/// [`DemoError`], the first thing that is not as it must be.
pub async fn play(dir: &Path, speaks: bool) -> Result<Demo, DemoError> {
    let narrator = Narrator { speaks };
    narrator.scene("1. A federation is founded, and its first member's node starts");
    let (keys, receipts) = (dir.join("keys"), dir.join("receipts"));
    std::fs::create_dir_all(&keys)?;
    std::fs::create_dir_all(&receipts)?;
    let mut cast = Cast::hire(&keys)?;
    let house = dir.join(cast::CNAM);
    let settings = found(&house, &cast)?;
    cast.take_on(cast::CNAM, node_key(&house)?);
    let node = start(&house, settings).await?;
    let roster = house.join("roster.txt");
    narrator.line(&format!("roster    {}", roster.display()));
    narrator.line(&format!(
        "gRPC      {} (TLS 1.3, client certificates)",
        node.addresses().grpc
    ));
    narrator.line(&format!("pages     http://{}", node.addresses().http));
    let played = scenes::play(&cast, &node, dir, narrator).await?;
    let report = DemoReport {
        dir: dir.to_owned(),
        roster,
        receipts: played.receipts,
        counts: played.counts,
        addresses: node.addresses(),
        log_root: played.log_root,
        map_root: played.map_root,
    };
    Ok(Demo { report, node })
}

/// Founds the federation and says where the node will listen.
fn found(house: &Path, cast: &Cast) -> Result<Settings, DemoError> {
    let [grpc, http, admin] = free_addresses()?;
    let founding = Founding {
        origin: cast::ORIGIN.parse()?,
        name: cast::CNAM.parse()?,
        role: proto::roster::Role::Amo,
        payer: Some(cast::REGIME.parse()?),
        grpc: grpc.to_string().parse()?,
        http: http.to_string().parse()?,
        sealing: Sealing::default(),
        others: cast.following()?,
        incident_keys: cast.incident_keys()?,
    };
    init::init(house, &founding)?;
    Ok(Settings {
        grpc: Some(grpc),
        http: Some(http),
        admin: Some(admin),
        ..Settings::default()
    })
}

/// Three ports that are free now: the roster names two of them before the node listens.
fn free_addresses() -> io::Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [bind()?, bind()?, bind()?];
    Ok([
        held[0].local_addr()?,
        held[1].local_addr()?,
        held[2].local_addr()?,
    ])
}

fn node_key(house: &Path) -> Result<proto::signing::SecretKey, DemoError> {
    let config = Config::load(house, Settings::default())?;
    Ok(proto::signing::SecretKey::from_pem(&secret_file::read(
        &config.key,
    )?)?)
}

async fn start(house: &Path, settings: Settings) -> Result<RunningNode, DemoError> {
    let config = Config::load(house, settings)?;
    Ok(RunningNode::start(config).await.map_err(Box::new)?)
}
