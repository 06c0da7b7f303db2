//! The nodes of a federation as one: whom to ask first, whom next, and what is remembered of each.
//!
//! The preferred node comes first while it is well. Without one the nearest does, and nodes that are
//! about as near take turns by lot, so that tills spread. Nothing here is believed: the answers are
//! verified by whoever asks, and an answer that fails counts as none.

mod asking;
mod health;
mod memory;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::ids::MemberName;
use tokio::time::Instant;

pub(crate) use self::asking::Manner;
pub(crate) use self::health::Effort;
use self::health::Health;
pub use self::health::{HEDGE_PAUSE_MAX, HEDGE_PAUSE_MIN, PUT_BACK_FIRST, PUT_BACK_MAX};
use crate::connection::{Attempted, Connection, DEADLINE};
use crate::system;

/// How long one node may be silent while there are others to ask: longer than an election of a
/// leader, and a fraction of the deadline, so that three are asked.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a page of a list, for which a node reads thousands of entries.
pub const PAGE_PATIENCE: Duration = Duration::from_secs(8);
/// How long a page of a list may take at all nodes: two of them are asked.
pub const PAGE_DEADLINE: Duration = Duration::from_secs(20);

impl Manner {
    /// Reading what anybody may read: asked twice, it costs nothing.
    pub(crate) const READ: Self = Self {
        effort: Effort::Read,
        is_hedged: true,
        patience: PATIENCE,
        deadline: DEADLINE,
    };
    /// A look that is put on record: asked of two nodes, it is on record twice.
    pub(crate) const LOOK: Self = Self {
        effort: Effort::Durable,
        is_hedged: true,
        patience: PATIENCE,
        deadline: DEADLINE,
    };
    /// An entry, with the same bytes at each node. Two at once would only meet in one batch.
    pub(crate) const APPEND: Self = Self {
        effort: Effort::Durable,
        is_hedged: false,
        patience: PATIENCE,
        deadline: DEADLINE,
    };
    /// A page of a list, on record: too dear to be asked twice.
    pub(crate) const PAGE: Self = Self {
        effort: Effort::Durable,
        is_hedged: false,
        patience: PAGE_PATIENCE,
        deadline: PAGE_DEADLINE,
    };
}

/// Why a node was not the one that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The member whose node it is.
    pub member: MemberName,
    /// What came of asking it, for people.
    pub reason: String,
}

/// Who answered, and who did not.
#[derive(Debug, Default)]
struct Outcomes {
    answered_by: Option<MemberName>,
    passed_over: BTreeMap<MemberName, String>,
}

impl Outcomes {
    fn is_any(&self) -> bool {
        self.answered_by.is_some() || !self.passed_over.is_empty()
    }
}

/// The nodes of a federation that a session may ask.
pub(crate) struct Nodes {
    connections: Vec<Connection>,
    /// The preferred node, or the first.
    home: Connection,
    /// The place of the node that is asked first while it is well.
    preferred: Option<usize>,
    /// The place of the only node to ask.
    only: Option<usize>,
    health: Mutex<Health>,
    outcomes: Mutex<Outcomes>,
    /// The file that keeps the health from one run of the program to the next.
    kept: Option<PathBuf>,
}

impl Nodes {
    /// These nodes, of which nothing is known yet; `None` when there is none.
    pub(crate) fn new(
        connections: Vec<Connection>,
        preferred: Option<&MemberName>,
    ) -> Option<Self> {
        let is_preferred = |one: &Connection| Some(one.member()) == preferred;
        let preferred = connections.iter().position(is_preferred);
        Some(Self {
            home: connections.get(preferred.unwrap_or_default())?.clone(),
            preferred,
            health: Mutex::new(Health::of(connections.len())),
            connections,
            only: None,
            outcomes: Mutex::default(),
            kept: None,
        })
    }

    /// The same nodes, nothing known of them.
    fn anew(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            home: self.home.clone(),
            preferred: self.preferred,
            only: self.only,
            health: Mutex::new(Health::of(self.connections.len())),
            outcomes: Mutex::default(),
            kept: None,
        }
    }

    /// The same nodes, of which the home node alone is asked.
    pub(crate) fn only_home(&self) -> Self {
        let mut nodes = self.anew();
        nodes.only = Some(self.preferred.unwrap_or_default());
        nodes
    }

    /// The same nodes, with what this file says of them, and which is written there in the end. It
    /// is a hint: a file that cannot be read or written is none.
    pub(crate) fn kept_in(&self, path: PathBuf) -> Self {
        let health = memory::read(&path, &self.members(), system::now(), Instant::now());
        let mut nodes = self.anew();
        nodes.health = Mutex::new(health);
        nodes.kept = Some(path);
        nodes
    }

    /// The preferred node, or the first.
    pub(crate) const fn home(&self) -> &Connection {
        &self.home
    }

    /// The connection to a member's node.
    pub(crate) fn connection(&self, member: &MemberName) -> Option<&Connection> {
        self.connections.iter().find(|one| one.member() == member)
    }

    /// Asks until one node gives an answer that verifies, or nobody can: `attempt` makes one call
    /// to one node and verifies its answer.
    ///
    /// # Errors
    /// What the last node failed with, or a refusal.
    pub(crate) async fn ask<T, E, F>(
        &self,
        manner: Manner,
        attempt: impl Fn(Connection) -> F,
    ) -> Result<T, E>
    where
        E: Attempted,
        F: Future<Output = Result<T, E>>,
    {
        asking::ask(self, manner, attempt).await
    }

    /// Whether a member's node is asked after the others for now.
    pub(crate) fn is_put_back(&self, member: &MemberName) -> bool {
        let place = self
            .connections
            .iter()
            .position(|one| one.member() == member);
        place.is_some_and(|place| self.health().is_put_back(place, Instant::now()))
    }

    /// The member whose node gave the last answer.
    pub(crate) fn answered_by(&self) -> Option<MemberName> {
        self.outcomes().answered_by.clone()
    }

    /// Writes what is known of the nodes to the file, if there is one.
    fn keep(&self) {
        let Some(path) = &self.kept else { return };
        if self.outcomes().is_any() {
            let health = self.health().clone();
            memory::write(
                path,
                &self.members(),
                &health,
                system::now(),
                Instant::now(),
            );
        }
    }

    /// The nodes that gave no answer that can be used, and why, by name.
    pub(crate) fn passed_over(&self) -> Vec<PassedOver> {
        let outcomes = self.outcomes();
        let passed = outcomes.passed_over.iter();
        let passed = passed.map(|(member, reason)| PassedOver {
            member: member.clone(),
            reason: reason.clone(),
        });
        passed.collect()
    }

    fn members(&self) -> Vec<MemberName> {
        let members = self.connections.iter().map(Connection::member);
        members.cloned().collect()
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In which order they are asked now, each with its place. Without randomness tills do not
    /// spread, and all is well otherwise.
    fn order(&self, now: Instant) -> VecDeque<(usize, Connection)> {
        let lot = |_| u32::from_be_bytes(system::random().unwrap_or_default());
        let order = match self.only {
            Some(only) => vec![only],
            None => {
                let lots: Vec<u32> = (0..self.connections.len()).map(lot).collect();
                self.health().order(self.preferred, &lots, now)
            }
        };
        let connection = |place: usize| Some((place, self.connections.get(place)?.clone()));
        order.into_iter().filter_map(connection).collect()
    }

    fn hedge_pause(&self, place: usize, effort: Effort) -> Duration {
        self.health().hedge_pause(place, effort)
    }

    fn answered(&self, place: usize, member: &MemberName, effort: Effort, took: Duration) {
        self.health().answered(place, effort, took);
        self.outcomes().answered_by = Some(member.clone());
    }

    /// It gave no answer that can be used, or one that is not true.
    fn passed_over_for(&self, place: usize, member: &MemberName, is_lie: bool, why: String) {
        let now = Instant::now();
        match is_lie {
            true => self.health().lied(place, now),
            false => self.health().failed(place, now),
        }
        self.outcomes().passed_over.insert(member.clone(), why);
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.keep();
    }
}
