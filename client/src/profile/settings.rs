//! What may be set, and what counts where nothing is.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The federation's roster, where no other is named.
pub const ROSTER_FILE: &str = "roster.txt";
/// The own key, where no other is named.
pub const KEY_FILE: &str = "key.pem";
/// The LPP catalogue, where no other is named.
pub const CATALOGUE_FILE: &str = "catalogue.txt";
/// The folder of what has been verified, where no other is named.
pub const STATE_FOLDER: &str = "state";
/// The folder of receipts, where no other is named.
pub const RECEIPTS_FOLDER: &str = "receipts";
/// The folder of claims that wait, where no other is named.
pub const QUEUE_FOLDER: &str = "queue";
/// Where an agent listens, where nothing else is set.
pub const AGENT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7490);
/// The folder of an agent, where no other is named.
pub const AGENT_FOLDER: &str = "agent";

/// What may be set, by flag, environment or file. What is not set is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The federation's roster.
    pub roster: Option<PathBuf>,
    /// The own key.
    pub key: Option<PathBuf>,
    /// The device key of a till, which grants it session keys in place of `key`.
    pub device_key: Option<PathBuf>,
    /// The entry that enrolled it.
    pub device_entry: Option<u64>,
    /// The member whose node is asked first while it is well; without it the nearest is.
    pub node: Option<String>,
    /// The LPP catalogue in force.
    pub catalogue: Option<PathBuf>,
    /// Its entry in the ledger.
    pub catalogue_entry: Option<u64>,
    /// The folder of what has been verified so far.
    pub state: Option<PathBuf>,
    /// The folder that receipts are written to.
    pub receipts: Option<PathBuf>,
    /// Where a member serves its log.
    pub http: Option<String>,
    /// The payers' networks that the shop is in.
    pub networks: Option<Vec<String>>,
    /// Addresses in place of those of the roster, by member.
    pub addresses: BTreeMap<String, String>,
    /// What `vitrail agent` alone needs.
    pub agent: AgentSettings,
}

/// What may be set of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// Where it listens.
    pub listen: Option<String>,
    /// The folder of its token's hash, its requests and kept quotes.
    pub folder: Option<PathBuf>,
    /// The folder of the claims that wait.
    pub queue: Option<PathBuf>,
    /// The origins of pages that may call it.
    pub origins: Option<Vec<String>>,
}

impl AgentSettings {
    fn or(self, lower: Self) -> Self {
        Self {
            listen: self.listen.or(lower.listen),
            folder: self.folder.or(lower.folder),
            queue: self.queue.or(lower.queue),
            origins: self.origins.or(lower.origins),
        }
    }
}

impl Settings {
    /// These settings, and `lower` ones where these say nothing.
    #[must_use]
    pub fn or(mut self, lower: Self) -> Self {
        for (member, address) in lower.addresses {
            self.addresses.entry(member).or_insert(address);
        }
        Self {
            roster: self.roster.or(lower.roster),
            key: self.key.or(lower.key),
            device_key: self.device_key.or(lower.device_key),
            device_entry: self.device_entry.or(lower.device_entry),
            node: self.node.or(lower.node),
            catalogue: self.catalogue.or(lower.catalogue),
            catalogue_entry: self.catalogue_entry.or(lower.catalogue_entry),
            state: self.state.or(lower.state),
            receipts: self.receipts.or(lower.receipts),
            http: self.http.or(lower.http),
            networks: self.networks.or(lower.networks),
            addresses: self.addresses,
            agent: self.agent.or(lower.agent),
        }
    }

    /// What counts where nothing is set. A setting that is not in it has no default.
    #[must_use]
    pub fn defaults() -> Self {
        let path = |name: &str| Some(PathBuf::from(name));
        Self {
            roster: path(ROSTER_FILE),
            key: path(KEY_FILE),
            catalogue: path(CATALOGUE_FILE),
            state: path(STATE_FOLDER),
            receipts: path(RECEIPTS_FOLDER),
            networks: Some(Vec::new()),
            agent: AgentSettings {
                listen: Some(AGENT_LISTEN.to_string()),
                folder: path(AGENT_FOLDER),
                queue: path(QUEUE_FOLDER),
                origins: Some(Vec::new()),
            },
            ..Self::default()
        }
    }

    /// The same, with the paths of a file in this folder.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        let place = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Self {
            roster: place(self.roster),
            key: place(self.key),
            device_key: place(self.device_key),
            catalogue: place(self.catalogue),
            state: place(self.state),
            receipts: place(self.receipts),
            agent: AgentSettings {
                folder: place(self.agent.folder),
                queue: place(self.agent.queue),
                ..self.agent
            },
            ..self
        }
    }
}
