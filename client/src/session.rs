//! One key's connections into one federation: what every role works through.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use proto::ids::MemberName;
use proto::roster::{Address, Member, Roster};
use proto::signing::{PublicKey, SecretKey};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::connection::{Attempted, Connection, Identity, IdentityError, Observer};
use crate::failure::{Failure, FailureKind};
use crate::former_keys::FormerKeys;
use crate::nodes::{Manner, Nodes, PassedOver};
use crate::seen::Seen;
use crate::verified::Verified;

/// The file in the state folder that says how well each node answers.
const NODES_FILE: &str = "nodes";

/// What a session is opened with.
pub struct SessionParts {
    /// The federation. It is the one thing that is believed without being verified.
    pub roster: Roster,
    /// The own key: a member's of the roster, or a granted till's.
    pub secret: SecretKey,
    /// The member whose node is asked first while it is well; the nearest ones if none is named.
    pub home: Option<MemberName>,
    /// Addresses to use in place of those of the roster.
    pub addresses: BTreeMap<MemberName, Address>,
    /// Who sees what leaves.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Why no session can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The own key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A name is in the profile and not in the roster.
    #[error("{name} is not a member of the roster")]
    UnknownMember {
        /// The name.
        name: MemberName,
    },
    /// The member to be asked has no address, or no member has one.
    #[error("no address is known of the node to ask")]
    NoAddress,
}

impl Failure for SessionError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoAddress => Some("give it in the profile, under [addresses]"),
            Self::Identity(_) | Self::UnknownMember { .. } => None,
        }
    }
}

/// One key's connections into one federation. Clones share them.
#[derive(Clone)]
pub struct Session {
    roster: Arc<Roster>,
    secret: Arc<SecretKey>,
    nodes: Arc<Nodes>,
    seen: Arc<Seen>,
    /// The members that have answered wrongly, for as long as the session lives.
    wrong: Arc<Mutex<BTreeSet<MemberName>>>,
    verified: Arc<Verified>,
    /// Of the rosters before this one, once it was asked for.
    former_keys: Arc<OnceCell<FormerKeys>>,
}

impl Session {
    /// Prepares a connection to each member whose address is known. Nobody is dialled yet.
    ///
    /// # Errors
    /// [`SessionError`], see its variants.
    pub fn open(parts: SessionParts) -> Result<Self, SessionError> {
        let named = parts.addresses.keys().chain(&parts.home);
        for name in named {
            if parts.roster.member(name).is_none() {
                return Err(SessionError::UnknownMember { name: name.clone() });
            }
        }
        let own = Identity::new(&parts.secret)?;
        let mut connections = Vec::new();
        for member in parts.roster.members() {
            if let Some(address) = parts.addresses.get(&member.name).or(member.grpc.as_ref()) {
                let connection = connect(member, address, &own, parts.observer.as_ref())?;
                connections.push(connection);
            }
        }
        let preferred = parts.home.as_ref();
        let has_address = |name| connections.iter().any(|one| one.member() == name);
        if !preferred.is_none_or(has_address) {
            return Err(SessionError::NoAddress);
        }
        let nodes = Nodes::new(connections, preferred).ok_or(SessionError::NoAddress)?;
        Ok(Self {
            roster: Arc::new(parts.roster),
            secret: Arc::new(parts.secret),
            nodes: Arc::new(nodes),
            seen: Arc::default(),
            wrong: Arc::default(),
            verified: Arc::default(),
            former_keys: Arc::default(),
        })
    }

    /// The federation.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The node that is asked first while it is well; the first of the roster if none was named.
    #[must_use]
    pub fn home(&self) -> &Connection {
        self.nodes.home()
    }

    /// The connection to a member's node, if its address is known.
    #[must_use]
    pub fn connection(&self, member: &MemberName) -> Option<&Connection> {
        self.nodes.connection(member)
    }

    /// The same session, which asks nobody but the home node for what any node answers: for who
    /// wants to know what that one says.
    #[must_use]
    pub fn only_home(self) -> Self {
        Self {
            nodes: Arc::new(self.nodes.only_home()),
            ..self
        }
    }

    /// The same session, which compares what nodes show with what was seen before.
    #[must_use]
    pub(crate) fn comparing_with(self, seen: Arc<Seen>) -> Self {
        Self { seen, ..self }
    }

    /// The same session, which keeps in the state folder how well each node answers.
    #[must_use]
    pub fn remembering_nodes_in(self, state: &Path) -> Self {
        Self {
            nodes: Arc::new(self.nodes.kept_in(state.join(NODES_FILE))),
            ..self
        }
    }

    /// The member whose node gave the last answer that was verified; quotes and evaluations aside,
    /// which come from several.
    #[must_use]
    pub fn answered_by(&self) -> Option<MemberName> {
        self.nodes.answered_by()
    }

    /// The nodes that gave no answer that could be used since the session was opened, by name. The
    /// work went on without them.
    #[must_use]
    pub fn passed_over(&self) -> Vec<PassedOver> {
        self.nodes.passed_over()
    }

    /// Asks the nodes until one gives an answer that verifies: `attempt` makes one call to one node
    /// and verifies its answer.
    pub(crate) async fn ask<T, E, F>(
        &self,
        manner: Manner,
        attempt: impl Fn(Connection) -> F,
    ) -> Result<T, E>
    where
        E: Attempted,
        F: Future<Output = Result<T, E>>,
    {
        self.nodes.ask(manner, attempt).await
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The members whose answers failed their check since the session was opened: their shares
    /// are broken, or they cheat. The work went on without them.
    #[must_use]
    pub fn wrong_members(&self) -> Vec<MemberName> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.iter().cloned().collect()
    }

    pub(crate) fn remember_wrong(&self, member: &MemberName) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.insert(member.clone());
    }

    /// The own public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.secret.public()
    }

    /// The member whose key the own one is, if it is one's.
    #[must_use]
    pub fn own_member(&self) -> Option<&Member> {
        self.roster.member_by_key(&self.public_key())
    }

    /// What was verified in this session, so that it is not verified twice.
    pub(crate) fn verified(&self) -> &Verified {
        &self.verified
    }

    pub(crate) fn former_keys(&self) -> &OnceCell<FormerKeys> {
        &self.former_keys
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.home().member())
    }
}

fn connect(
    member: &Member,
    address: &Address,
    own: &Identity,
    observer: Option<&Arc<dyn Observer>>,
) -> Result<Connection, IdentityError> {
    let name = member.name.clone();
    let connection = Connection::open(name, member.public_key, address, own)?;
    Ok(match observer {
        Some(observer) => connection.observed(observer.clone()),
        None => connection,
    })
}
