//! The one dialer of other members' nodes: typed calls over pinned TLS, each with a deadline.
//!
//! Nothing that comes back is believed here.

pub(crate) mod names;

use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::checkpoint::SignedCheckpoint;
use proto::ids::{MemberName, TreeSize, UnixSeconds};
use proto::receipt::EntryProof;
use proto::roster::{Address, Epoch, Roster};
use proto::signing::{PublicKey, SecretKey};
use proto::wire::batch::read_cosigned;
use proto::wire::lane::{Appends, Lane};
use proto::wire::replication::{Page, read_page};
use proto::wire::rosters::read_roster;
use proto::wire::status::{NodeStatus, read_status};
use proto::wire::v1::engine_service_client::EngineServiceClient;
use proto::wire::v1::log_service_client::LogServiceClient;
use proto::wire::v1::replication_service_client::ReplicationServiceClient;
use proto::wire::{WireError, v1};
use thiserror::Error;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::sources::PageLie;
use crate::tls::{self, TlsError};

/// How long it may take to connect: beyond this the other node is as good as down.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long a page may take, the wait for news included.
pub const FOLLOW_DEADLINE: Duration = Duration::from_secs(10);
/// How long an entry that is passed on may take: less than the ten seconds for which its issuer
/// waits, so that it gets our answer and not none.
pub const FORWARD_DEADLINE: Duration = Duration::from_secs(8);
/// How long a cosignature may take, or a question of status: both are repeated.
pub const COSIGN_DEADLINE: Duration = Duration::from_secs(2);
/// Longest answer: a page, and a margin for what is one entry over.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Silence after which the other node is asked whether it is still there, and how long it has to
/// answer: a cut line must not look like a ledger without news.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Why another node gave no answer that can be used.
#[derive(Debug, Error)]
pub enum PeerError {
    /// It answered with an error, or not at all.
    #[error("{member} does not answer ({code:?})")]
    Call {
        /// Who was asked.
        member: MemberName,
        /// The gRPC code.
        code: Code,
    },
    /// What it answered cannot be read.
    #[error("the answer of {member}: {error}")]
    Answer {
        /// Who was asked.
        member: MemberName,
        /// The field that is wrong.
        error: WireError,
    },
}

impl PeerError {
    /// That there is an answer which cannot be read: no honest node sends one.
    #[must_use]
    pub const fn lie(&self) -> Option<PageLie> {
        match self {
            Self::Answer { .. } => Some(PageLie::Form),
            Self::Call { .. } => None,
        }
    }

    /// Whether the node answered that it has no such thing.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Call {
                code: Code::NotFound,
                ..
            }
        )
    }
}

/// The way to one member's node. Clones share a connection, which is made when it is first used
/// and again when it was lost.
#[derive(Debug, Clone)]
pub struct Peer {
    member: MemberName,
    channel: Channel,
    forwards: Appends,
}

/// The way to the node that must hold `key`, as the owner of `secret`. It dials when it is first
/// used, and again when the connection was lost.
///
/// # Errors
/// [`TlsError`], which an Ed25519 key does not cause.
pub fn channel(key: PublicKey, address: &Address, secret: &SecretKey) -> Result<Channel, TlsError> {
    let (connector, name) = (tls::connector(key, secret)?, tls::server_name()?);
    let address = address.as_str().to_owned();
    let dial = tower::service_fn(move |_: http::Uri| {
        let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
        async move {
            let tcp = connect(&address).await?;
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    // The scheme is `http` for tonic, whose own TLS is not used; the dialler speaks TLS.
    let endpoint = Endpoint::from_static("http://vitrail")
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    Ok(endpoint.connect_with_connector_lazy(dial))
}

#[cfg(test)]
use crate::simulation::network::connect;

#[cfg(not(test))]
use self::names::dial as connect;

impl Peer {
    /// Prepares the way to `member`, which must hold `key`, as the owner of `secret`.
    ///
    /// # Errors
    /// [`TlsError`], which an Ed25519 key does not cause.
    pub fn open(
        member: MemberName,
        key: PublicKey,
        address: &Address,
        secret: &SecretKey,
    ) -> Result<Self, TlsError> {
        let channel = channel(key, address, secret)?;
        Ok(Self {
            member,
            channel,
            forwards: Appends::default(),
        })
    }

    /// The ways to all other members whose address is known, voting ones first.
    ///
    /// # Errors
    /// As [`Peer::open`].
    pub fn all(roster: &Roster, secret: &SecretKey) -> Result<Vec<Self>, TlsError> {
        let own = secret.public();
        let mut others: Vec<_> = roster.members().iter().collect();
        others.retain(|it| it.public_key != own);
        others.sort_by_key(|it| !it.is_voting());
        others
            .into_iter()
            .filter_map(|member| Some((member, member.grpc.as_ref()?)))
            .map(|(it, address)| Self::open(it.name.clone(), it.public_key, address, secret))
            .collect()
    }

    /// The ways to all voting members whose address is known.
    ///
    /// # Errors
    /// As [`Peer::open`].
    pub fn voting(roster: &Roster, secret: &SecretKey) -> Result<Vec<Self>, TlsError> {
        let own = secret.public();
        let others = roster.voting_members().filter(|it| it.public_key != own);
        others
            .filter_map(|member| Some((member, member.grpc.as_ref()?)))
            .map(|(it, address)| Self::open(it.name.clone(), it.public_key, address, secret))
            .collect()
    }

    /// Whose node it leads to.
    #[must_use]
    pub const fn member(&self) -> &MemberName {
        &self.member
    }

    /// Asks for the log from `size` on; returns at once when the other node has more, or a
    /// checkpoint cosigned later than `cosigned_at`, and otherwise within two seconds.
    ///
    /// # Errors
    /// [`PeerError`]. Nothing of the page is verified yet.
    pub async fn follow(
        &self,
        size: TreeSize,
        cosigned_at: UnixSeconds,
    ) -> Result<Page, PeerError> {
        let mut request = Request::new(v1::FollowRequest {
            size: size.get(),
            cosigned_at: cosigned_at.get(),
        });
        request.set_timeout(FOLLOW_DEADLINE);
        // The deadline is kept here too: a peer that is cut off does not keep it for us.
        let mut client = self.client();
        let answered = timeout(FOLLOW_DEADLINE, client.follow(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let page = answered.map_err(|status| PeerError::Call {
            member: self.member.clone(),
            code: status.code(),
        })?;
        read_page(page.get_ref()).map_err(|error| PeerError::Answer {
            member: self.member.clone(),
            error,
        })
    }

    /// Passes on an append, and returns the answer as the other node gives it.
    ///
    /// # Errors
    /// The other node's status, for the issuer to see, or that it does not answer.
    pub async fn forward(
        &self,
        append: v1::AppendRequest,
    ) -> Result<v1::AppendResponse, Box<Status>> {
        let place = self.forwards.enter();
        let answered = match place.is_alone() {
            true => timeout(FORWARD_DEADLINE, self.forward_alone(append)).await,
            false => timeout(FORWARD_DEADLINE, self.forward_lane().append(append)).await,
        };
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        answered.map_err(Box::new)
    }

    async fn forward_alone(&self, append: v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
        let mut request = Request::new(v1::ForwardRequest {
            append: Some(append),
        });
        request.set_timeout(FORWARD_DEADLINE);
        let answer = self.client().forward(request).await?.into_inner();
        let missing = || Status::internal("the answer is empty");
        answer.append.ok_or_else(missing)
    }

    /// The stream that appends share which are passed on at the same time.
    fn forward_lane(&self) -> Lane {
        self.forwards.lane(|appends, answers| {
            let mut client = self.client();
            let mut request = Request::new(appends);
            request.set_timeout(FORWARD_DEADLINE);
            tokio::spawn(async move {
                match client.forward_each(request).await {
                    Ok(answered) => answers.hand_out(answered.into_inner()).await,
                    Err(status) => answers.refuse(&status),
                }
            });
        })
    }

    /// Hands over this member's newest cosignature.
    ///
    /// # Errors
    /// [`PeerError`]. Nothing of the checkpoint that comes back is verified yet.
    pub async fn cosign(&self, own: &SignedCheckpoint) -> Result<SignedCheckpoint, PeerError> {
        let mut request = Request::new(v1::CosignRequest {
            checkpoint: own.to_text(),
        });
        request.set_timeout(COSIGN_DEADLINE);
        let mut client = self.client();
        let answered = timeout(COSIGN_DEADLINE, client.cosign(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let answer = answered.map_err(|status| PeerError::Call {
            member: self.member.clone(),
            code: status.code(),
        })?;
        read_cosigned(&answer.get_ref().checkpoint).map_err(|error| PeerError::Answer {
            member: self.member.clone(),
            error,
        })
    }

    /// Asks what the node knows of the federation.
    ///
    /// # Errors
    /// [`PeerError`]. Nothing of the answer is verified yet.
    pub async fn status(&self) -> Result<NodeStatus, PeerError> {
        let mut request = Request::new(v1::StatusRequest {});
        request.set_timeout(COSIGN_DEADLINE);
        let mut client = self.client();
        let answered = timeout(COSIGN_DEADLINE, client.status(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let answer = answered.map_err(|status| PeerError::Call {
            member: self.member.clone(),
            code: status.code(),
        })?;
        read_status(answer.get_ref()).map_err(|error| PeerError::Answer {
            member: self.member.clone(),
            error,
        })
    }

    /// Asks for the roster of an epoch, with its place in the log.
    ///
    /// # Errors
    /// [`PeerError`]. Nothing of the answer is verified yet.
    pub async fn roster(&self, epoch: Epoch) -> Result<(EntryProof, SignedCheckpoint), PeerError> {
        let mut request = Request::new(v1::GetRosterRequest { epoch: epoch.get() });
        request.set_timeout(COSIGN_DEADLINE);
        let mut client = LogServiceClient::new(self.channel.clone());
        let answered = timeout(COSIGN_DEADLINE, client.get_roster(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let answer = answered.map_err(|status| PeerError::Call {
            member: self.member.clone(),
            code: status.code(),
        })?;
        read_roster(answer.get_ref()).map_err(|error| PeerError::Answer {
            member: self.member.clone(),
            error,
        })
    }

    /// Asks for a seat in the ordering engine; whether it is given.
    ///
    /// # Errors
    /// [`PeerError::Call`].
    pub async fn enlist(&self, engine_id: u64) -> Result<bool, PeerError> {
        let mut request = Request::new(v1::EnlistRequest { engine_id });
        request.set_timeout(COSIGN_DEADLINE);
        let mut client = self.engine();
        let answered = timeout(COSIGN_DEADLINE, client.enlist(request)).await;
        let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let answer = answered.map_err(|status| PeerError::Call {
            member: self.member.clone(),
            code: status.code(),
        })?;
        Ok(answer.get_ref().is_seated)
    }

    /// The way to its ordering engine.
    #[must_use]
    pub fn engine(&self) -> EngineServiceClient<Channel> {
        EngineServiceClient::new(self.channel.clone()).max_encoding_message_size(ANSWER_BYTES_MAX)
    }

    fn client(&self) -> ReplicationServiceClient<Channel> {
        ReplicationServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}
