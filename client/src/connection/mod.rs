//! One connection to one member's node: typed calls, each with a deadline and bounded retries.
//!
//! A retry sends the same bytes, and every request carries what makes that safe: an entry its
//! request id, an evaluation its own. Reads change nothing.

mod claims;
mod error;
mod tls;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::Entry;
use proto::ids::{CoverageKey, LeafIndex, MemberName, RequestId, SlotKey, TreeSize};
use proto::merkle::ConsistencyProof;
use proto::oprf::{BlindedElement, PartialEvaluation};
use proto::receipt::EntryProof;
use proto::roster::{Address, Epoch};
use proto::seal::{Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::wire::access::{self, RecordsAsked, RecordsPage};
use proto::wire::lane::{Appends, Lane};
use proto::wire::open::{self, OpenAnswer};
use proto::wire::quote::{self, QuoteAnswer, QuoteAsked};
use proto::wire::rosters::read_roster;
use proto::wire::{AppendAnswer, StateAnswer, WireError, read, v1, write};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

pub use self::error::CallError;
pub use self::tls::{Identity, IdentityError};
pub(crate) use self::verdict::{Attempted, Verdict};

/// How long a call may take: an append over slow links commits in well under a second, and
/// nobody waits at a counter for longer.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How long it may take to connect: beyond this the node is as good as down.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How often a call is sent again: with the pauses below, a new leader is elected meanwhile.
pub const RETRIES_MAX: u32 = 4;
/// The first pause between two attempts; each one after it is twice as long.
pub const RETRY_PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause a node may ask for; a longer one is told to the caller instead.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Sees what leaves: for each attempt of each call the exact bytes of its message.
pub trait Observer: Send + Sync {
    /// Called right before the bytes are handed to the connection.
    fn leaves(&self, outbound: &Outbound<'_>);
}

/// One message about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Outbound<'a> {
    /// Who it goes to.
    pub member: &'a MemberName,
    /// The method, as the schema names it.
    pub method: &'static str,
    /// The encoded request. An append that shares a stream with others leaves in an envelope that adds
    /// its number in the stream.
    pub request: &'a [u8],
}

/// A connection to the node of one member. Clones share it; it dials when it is first used and
/// again when it was lost.
#[derive(Clone)]
pub struct Connection {
    member: MemberName,
    channel: Channel,
    appends: Appends,
    observer: Option<Arc<dyn Observer>>,
    retries: u32,
    deadline: Duration,
}

impl Connection {
    /// Prepares a connection to `member`, which must hold `member_key`, as the owner of `own`.
    ///
    /// # Errors
    /// [`IdentityError`] when the TLS library refuses its settings. Whether the member answers, the first
    /// call tells.
    pub fn open(
        member: MemberName,
        member_key: PublicKey,
        address: &Address,
        own: &Identity,
    ) -> Result<Self, IdentityError> {
        let tls = tls::connector(member_key, own)?;
        let name = tls::server_name()?;
        let address = address.as_str().to_owned();
        let dial = tower::service_fn(move |_: http::Uri| {
            let (tls, name, address) = (tls.clone(), name.clone(), address.clone());
            async move {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        });
        // The scheme is `http` for tonic, whose own TLS is not used; the dialler above speaks TLS.
        let endpoint = Endpoint::from_static("http://vitrail")
            .connect_timeout(CONNECT_DEADLINE)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let channel = endpoint.connect_with_connector_lazy(dial);
        Ok(Self {
            member,
            channel,
            appends: Appends::default(),
            observer: None,
            retries: RETRIES_MAX,
            deadline: DEADLINE,
        })
    }

    /// The same connection, with somebody who sees what leaves over it.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// The same connection for one attempt, which may take so long: whoever has other nodes to ask
    /// does not insist on one.
    #[must_use]
    pub(crate) fn attempt(&self, at_most: Duration) -> Self {
        Self {
            retries: 0,
            deadline: at_most,
            ..self.clone()
        }
    }

    /// Whose node it leads to.
    #[must_use]
    pub const fn member(&self) -> &MemberName {
        &self.member
    }

    /// Sends an entry with its payload, and waits until it is durable, in the log and cosigned.
    ///
    /// # Errors
    /// [`CallError`]; a refusal is an answer. Nothing of the answer is verified yet.
    pub async fn append(
        &self,
        entry: &Entry,
        payload: Option<(&SealedPayload, &Salt)>,
    ) -> Result<AppendAnswer, CallError> {
        let request = write::append(entry, payload);
        let channel = &self.channel;
        let place = self.appends.enter();
        let answer = self.call("vitrail.v1.LedgerService/Append", request, |request| {
            let mut client = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
            let lane = (!place.is_alone()).then(|| self.append_lane());
            async move {
                match lane {
                    None => client.append(request).await,
                    Some(lane) => lane.append(request.into_inner()).await.map(Response::new),
                }
            }
        });
        read::append_answer(answer.await?, entry).map_err(|e| self.unreadable(e))
    }

    /// The stream that appends share which are on their way at the same time.
    fn append_lane(&self) -> Lane {
        self.appends.lane(|appends, answers| {
            let channel = self.channel.clone();
            let mut client = v1::ledger_service_client::LedgerServiceClient::new(channel);
            let mut request = Request::new(appends);
            request.set_timeout(DEADLINE);
            tokio::spawn(async move {
                match client.append_each(request).await {
                    Ok(answered) => answers.hand_out(answered.into_inner()).await,
                    Err(status) => answers.refuse(&status),
                }
            });
        })
    }

    /// Asks for the state of slots and coverages, in this order, and for the checkpoint that the
    /// proofs are against.
    ///
    /// # Errors
    /// [`CallError`]. Nothing of the answer is verified yet.
    pub async fn lookup(
        &self,
        slots: &[SlotKey],
        coverages: &[CoverageKey],
    ) -> Result<(Vec<StateAnswer>, Vec<StateAnswer>, SignedCheckpoint), CallError> {
        let request = v1::LookupRequest {
            slot_keys: slots.iter().map(|key| key.as_bytes().to_vec()).collect(),
            coverage_keys: coverages
                .iter()
                .map(|key| key.as_bytes().to_vec())
                .collect(),
        };
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LedgerService/Lookup", request, |request| {
            let mut client = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
            async move { client.lookup(request).await }
        });
        let answer = answer.await?;
        let read = || -> Result<_, WireError> {
            let slots = answer.slots.iter().map(read::state);
            let coverages = answer.coverages.iter().map(read::state);
            Ok((
                slots.collect::<Result<_, _>>()?,
                coverages.collect::<Result<_, _>>()?,
                read::checkpoint(&answer.checkpoint)?,
            ))
        };
        read().map_err(|e| self.unreadable(e))
    }

    /// Asks for the evaluation of blinded elements under the member's share.
    ///
    /// # Errors
    /// [`CallError`]. The evaluation is not verified yet.
    pub async fn evaluate(
        &self,
        id: RequestId,
        kind: v1::TokenKind,
        blinded: &[BlindedElement],
    ) -> Result<PartialEvaluation, CallError> {
        self.evaluate_at_most(RETRIES_MAX, id, kind, blinded).await
    }

    /// Asks for the evaluation of blinded elements under the member's share, again at most
    /// `retries` times: whoever can ask another member has no reason to insist on one.
    ///
    /// # Errors
    /// [`CallError`]. The evaluation is not verified yet.
    pub async fn evaluate_at_most(
        &self,
        retries: u32,
        id: RequestId,
        kind: v1::TokenKind,
        blinded: &[BlindedElement],
    ) -> Result<PartialEvaluation, CallError> {
        let request = write::evaluate(id, kind, blinded);
        let channel = &self.channel;
        let method = "vitrail.v1.EvaluatorService/Evaluate";
        let answer = self.call_at_most(retries, method, request, |request| {
            let mut client =
                v1::evaluator_service_client::EvaluatorServiceClient::new(channel.clone());
            async move { client.evaluate(request).await }
        });
        read::evaluation(&answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Asks for the newest checkpoint.
    ///
    /// # Errors
    /// [`CallError`]. The checkpoint is not verified yet.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, CallError> {
        let request = v1::GetCheckpointRequest {};
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LogService/GetCheckpoint", request, |request| {
            let mut client = v1::log_service_client::LogServiceClient::new(channel.clone());
            async move { client.get_checkpoint(request).await }
        });
        read::checkpoint(&answer.await?.checkpoint).map_err(|e| self.unreadable(e.into()))
    }

    /// Asks for the newest checkpoint and the proof that it extends a size.
    ///
    /// # Errors
    /// [`CallError`]. Neither is verified yet.
    pub async fn consistency(
        &self,
        old_size: TreeSize,
    ) -> Result<(ConsistencyProof, SignedCheckpoint), CallError> {
        let request = v1::ProveConsistencyRequest {
            old_size: old_size.get(),
        };
        let channel = &self.channel;
        let answer = self.call(
            "vitrail.v1.LogService/ProveConsistency",
            request,
            |request| {
                let mut client = v1::log_service_client::LogServiceClient::new(channel.clone());
                async move { client.prove_consistency(request).await }
            },
        );
        let answer = answer.await?;
        let read = || -> Result<_, WireError> {
            let proof = read::consistency(&answer.hashes)?;
            Ok((proof, read::checkpoint(&answer.checkpoint)?))
        };
        read().map_err(|e| self.unreadable(e))
    }

    /// Asks for one entry with its place.
    ///
    /// # Errors
    /// [`CallError`]. Neither signature nor place is verified yet.
    pub async fn entry(
        &self,
        index: LeafIndex,
    ) -> Result<(EntryProof, SignedCheckpoint), CallError> {
        let request = v1::GetEntryRequest { index: index.get() };
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LogService/GetEntry", request, |request| {
            let mut client = v1::log_service_client::LogServiceClient::new(channel.clone());
            async move { client.get_entry(request).await }
        });
        let answer = answer.await?;
        let read = || -> Result<_, WireError> {
            let missing = WireError::Missing { field: "entry" };
            let entry = read::proved_entry(answer.entry.as_ref().ok_or(missing)?)?;
            Ok((entry, read::checkpoint(&answer.checkpoint)?))
        };
        read().map_err(|e| self.unreadable(e))
    }

    /// Asks for the roster of an epoch, with the place of its entry.
    ///
    /// # Errors
    /// [`CallError`], [`CallError::NotFound`] when there is none. Nothing is verified yet.
    pub async fn roster(&self, epoch: Epoch) -> Result<(EntryProof, SignedCheckpoint), CallError> {
        let request = v1::GetRosterRequest { epoch: epoch.get() };
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LogService/GetRoster", request, |request| {
            let mut client = v1::log_service_client::LogServiceClient::new(channel.clone());
            async move { client.get_roster(request).await }
        });
        read_roster(&answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Asks which catalogue is in force.
    ///
    /// # Errors
    /// [`CallError`]. Neither the proof nor the checkpoint is verified yet.
    pub async fn catalogue(&self) -> Result<(StateAnswer, SignedCheckpoint), CallError> {
        let request = v1::GetCatalogueRequest {};
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LogService/GetCatalogue", request, |request| {
            let mut client = v1::log_service_client::LogServiceClient::new(channel.clone());
            async move { client.get_catalogue(request).await }
        });
        let answer = answer.await?;
        let read = || -> Result<_, WireError> {
            let missing = WireError::Missing { field: "catalogue" };
            let state = read::state(answer.catalogue.as_ref().ok_or(missing)?)?;
            Ok((state, read::checkpoint(&answer.checkpoint)?))
        };
        read().map_err(|e| self.unreadable(e))
    }

    /// Asks for an entry with its payload, and how each payer stands to its invoice.
    ///
    /// # Errors
    /// [`CallError`]. Nothing of the answer is verified yet.
    pub async fn open_entry(
        &self,
        index: LeafIndex,
    ) -> Result<(OpenAnswer, SignedCheckpoint), CallError> {
        let request = v1::OpenRequest { index: index.get() };
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.LedgerService/Open", request, |request| {
            let mut client = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
            async move { client.open(request).await }
        });
        open::read_answer(&answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Asks a payer's node for its coverages of one contract, once: who gets no answer has the
    /// ledger.
    ///
    /// # Errors
    /// [`CallError`]. Nothing of the answer is verified yet.
    pub async fn quote(&self, asked: &QuoteAsked) -> Result<QuoteAnswer, CallError> {
        let request = quote::write_request(asked);
        let channel = &self.channel;
        let method = "vitrail.v1.QuoteService/Quote";
        let answer = self.call_at_most(0, method, request, |request| {
            let mut client = v1::quote_service_client::QuoteServiceClient::new(channel.clone());
            async move { client.quote(request).await }
        });
        quote::read_answer(answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Asks for a page of access entries with their sealed records.
    ///
    /// # Errors
    /// [`CallError`]. Nothing of the answer is verified yet.
    pub async fn records(&self, asked: &RecordsAsked) -> Result<RecordsPage, CallError> {
        let request = access::write_request(asked);
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.AccessService/ListRecords", request, |request| {
            let mut client = v1::access_service_client::AccessServiceClient::new(channel.clone());
            async move { client.list_records(request).await }
        });
        access::read_page(&answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Sends a request, and sends it again while the member says that it is worth it.
    async fn call<Q, A, F>(
        &self,
        method: &'static str,
        request: Q,
        send: impl Fn(Request<Q>) -> F,
    ) -> Result<A, CallError>
    where
        Q: Message + Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.call_at_most(self.retries, method, request, send).await
    }

    async fn call_at_most<Q, A, F>(
        &self,
        retries: u32,
        method: &'static str,
        request: Q,
        send: impl Fn(Request<Q>) -> F,
    ) -> Result<A, CallError>
    where
        Q: Message + Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut attempt = 0;
        loop {
            self.observe(method, &request);
            let mut message = Request::new(request.clone());
            message.set_timeout(self.deadline);
            // The deadline is kept here too: a node that hangs does not keep it for us.
            let answered = tokio::time::timeout(self.deadline, send(message)).await;
            let status = match answered {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(""),
            };
            let pause = pause_before_retry(&status, attempt).filter(|_| attempt < retries);
            let Some(pause) = pause else {
                return Err(CallError::from_status(&self.member, &status));
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    fn observe(&self, method: &'static str, request: &impl Message) {
        if let Some(observer) = &self.observer {
            let request = request.encode_to_vec();
            observer.leaves(&Outbound {
                member: &self.member,
                method,
                request: &request,
            });
        }
    }

    fn unreadable(&self, reason: WireError) -> CallError {
        CallError::Answer {
            member: self.member.clone(),
            reason,
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.member)
    }
}

fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// How long to wait before attempt number `attempt + 2`; `None` when it is not worth another.
fn pause_before_retry(status: &Status, attempt: u32) -> Option<Duration> {
    if !matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) {
        return None;
    }
    if attempt >= RETRIES_MAX {
        return None;
    }
    let own = RETRY_PAUSE_FIRST.saturating_mul(1 << attempt);
    let pause = retry_delay(status).map_or(own, |asked| asked.max(own));
    (pause <= RETRY_PAUSE_MAX).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn exhausted(delay: Duration) -> Status {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::ResourceExhausted, "full", details)
    }

    #[test]
    fn a_pause_doubles_and_ends_after_the_last_retry() {
        let status = Status::unavailable("down");
        let pauses: Vec<_> = (0..=RETRIES_MAX)
            .map(|n| pause_before_retry(&status, n))
            .collect();
        let millis = |n| Some(Duration::from_millis(n));
        assert_eq!(
            pauses,
            [millis(100), millis(200), millis(400), millis(800), None]
        );
    }

    #[test]
    fn a_pause_is_at_least_what_the_node_asks_for() {
        let asked = Duration::from_millis(1500);
        assert_eq!(pause_before_retry(&exhausted(asked), 0), Some(asked));
    }

    #[test]
    fn a_long_pause_is_told_instead_of_waited() {
        let status = exhausted(Duration::from_secs(3600));
        assert_eq!(pause_before_retry(&status, 0), None);
        assert_eq!(retry_delay(&status), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_will_not_change_is_not_asked_again() {
        for code in [
            Code::InvalidArgument,
            Code::PermissionDenied,
            Code::DeadlineExceeded,
        ] {
            assert_eq!(
                pause_before_retry(&Status::new(code, ""), 0),
                None,
                "{code:?}"
            );
        }
    }
}
