//! What is driven: one node, or the nodes of several members that all vote.

use std::path::{Path, PathBuf};

use client::session::Session;
use proto::signing::SecretKey;
use tests::federation::{Federation, cnam};
use tests::nodes::Nodes;
use tests::process::{NodeProcess, disk_bytes};
use tests::replicated;
use tests::workload::Ground;

/// Who votes in a federation of several nodes, the first so many of them. The second insurer comes
/// last, because no claim can do without the CNAM, an insurer and the optician federation.
const VOTING: [&str; 4] = ["cnam", "alpha", "opticians", "beta"];

/// The running nodes, and the keys of their federation.
pub(crate) enum Stage {
    One(Box<(Federation, NodeProcess)>),
    Several(Box<Nodes>),
}

/// What the nodes have used so far, together.
pub(crate) struct Usage {
    pub(crate) node_ticks: u64,
    pub(crate) own_ticks: u64,
    pub(crate) disk: u64,
    /// Of one node: each commits every batch.
    pub(crate) batches: f64,
    pub(crate) syncs: f64,
}

impl Stage {
    pub(crate) async fn set(dir: &Path, nodes: u8, flags: &[&str]) -> Self {
        if nodes == 1 {
            let federation = Federation::found(dir);
            let node = federation.start(flags);
            return Self::One(Box::new((federation, node)));
        }
        let voting = &VOTING[..usize::from(nodes)];
        Self::Several(Box::new(replicated::voting(dir, voting, flags).await))
    }

    pub(crate) const fn federation(&self) -> &Federation {
        match self {
            Self::One(one) => &one.0,
            Self::Several(nodes) => &nodes.federation,
        }
    }

    fn founder(&self) -> &NodeProcess {
        match self {
            Self::One(one) => &one.1,
            Self::Several(nodes) => &nodes.running[&cnam()],
        }
    }

    fn nodes(&self) -> Vec<&NodeProcess> {
        match self {
            Self::One(one) => vec![&one.1],
            Self::Several(nodes) => nodes.running.values().collect(),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        match self {
            Self::One(one) => vec![one.0.node_dir()],
            Self::Several(nodes) => {
                let names = nodes.running.keys();
                names.map(|name| nodes.folder(name.as_str())).collect()
            }
        }
    }

    pub(crate) async fn grant_tills(&self, count: usize) -> Vec<SecretKey> {
        self.federation().grant_tills(self.founder(), count).await
    }

    pub(crate) async fn lay_ground(&self) -> Ground {
        Ground::lay(self.federation(), self.founder()).await
    }

    /// One connection for each till, to one node each.
    pub(crate) fn sessions(&self, tills: &[SecretKey]) -> Vec<Session> {
        match self {
            Self::One(one) => {
                let (federation, node) = &**one;
                let tills = tills.iter();
                tills.map(|till| federation.session(node, till)).collect()
            }
            Self::Several(nodes) => {
                let homes = nodes.running.keys().cycle();
                let pairs = tills.iter().zip(homes);
                pairs
                    .map(|(till, home)| nodes.session(home.as_str(), till))
                    .collect()
            }
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let nodes = self.nodes();
        let sum = |name| -> f64 {
            let counts = nodes.iter().map(|node| node.metric(name));
            counts.map(|count| count.unwrap_or(f64::NAN)).sum()
        };
        #[allow(clippy::cast_precision_loss, reason = "at most four")]
        let each = |total: f64| total / nodes.len() as f64;
        Usage {
            node_ticks: nodes.iter().map(|node| node.cpu_ticks()).sum(),
            own_ticks: own_ticks(),
            disk: self.folders().iter().map(|dir| disk_bytes(dir)).sum(),
            batches: each(sum("vitrail_batches_total")),
            syncs: each(sum("vitrail_syncs_total")),
        }
    }

    pub(crate) fn largest_rss_kib(&self) -> u64 {
        let nodes = self.nodes();
        let sizes = nodes.iter().map(|node| node.rss_kib());
        sizes.max().unwrap_or(0)
    }
}

fn own_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let field = |place: usize| fields.split_whitespace().nth(place)?.parse::<u64>().ok();
    field(11).unwrap_or(0) + field(12).unwrap_or(0)
}
