//! One member's part of a ceremony, from its first message to the roster that comes out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use proto::dkg::{
    Basis, CeremonyError, Holding, Kind, Message, Messages, Openings, Outcome, Participant, Plan,
    PublicPair, Published, Seat, Step,
};
use proto::note::{NoteSignature, SignatureKind};
use proto::oprf::{JointPublicKey, PublicShare, ShareIndex};
use proto::roster::{Element, MemberShare, Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::ceremony;
use proto::wire::v1::ceremony_service_client::CeremonyServiceClient;
use proto::wire::v1::ceremony_service_server::CeremonyServiceServer;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::folder::{CEREMONIES, Folder, PROPOSAL, TRANSCRIPT};
use super::plan::Wanted;
use super::service::{Said, Saying};
use super::{CeremonyFailure, succession};
use crate::config::Config;
use crate::evaluator::Evaluator;
use crate::metrics::Metrics;
use crate::peer::channel;
use crate::protection::Protection;
use crate::server::{StartError, read_key};
use crate::service::limited_server;
use crate::tls;

/// How long one question to another member may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);
/// The pause before a member that has not said it yet is asked again.
const FETCH_PAUSE: Duration = Duration::from_millis(200);
/// How long a member that has finished stays for the others. One that comes later asks its
/// operator to start the command again.
const STAY_MAX: Duration = Duration::from_secs(30);
/// How long the last answers have to leave.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What came out of a ceremony.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Where the transcript and the proposed roster lie.
    pub folder: PathBuf,
    /// The proposed roster, signed by the participants.
    pub proposal: PathBuf,
    /// The same.
    pub roster: SignedRoster,
}

/// Everything of this member that a ceremony needs.
struct Bench {
    config: Config,
    protection: Protection,
    secret: SecretKey,
    roster: Roster,
    plan: Plan,
    wanted: Wanted,
    wait: Duration,
    folder: Folder,
    said: Arc<Said>,
}

/// Holds a ceremony under this roster as the member of these settings. It may be stopped at any
/// moment; started again with the same arguments it goes on. `wait` is how long each step waits
/// for the others.
///
/// # Errors
/// [`CeremonyFailure`], which names the member that is missing or cheats.
pub async fn run(
    dir: &Path,
    config: Config,
    roster: Roster,
    wanted: Wanted,
    wait: Duration,
) -> Result<Finished, CeremonyFailure> {
    let plan = wanted.plan(&roster)?;
    let secret = read_key(&config.key).map_err(Box::new)?;
    let epoch = roster.epoch().get().saturating_add(1);
    let path = dir
        .join(CEREMONIES)
        .join(format!("{epoch}-{}", wanted.attempt));
    let takes_part = plan.participant(&config.name);
    if takes_part.is_none_or(|one| one.public_key != secret.public()) {
        let member = config.name;
        return Err(CeremonyFailure::NotTakingPart { member });
    }
    let protection = config.protection();
    let protection = protection.map_err(|error| Box::new(StartError::Protection(error)))?;
    let folder = Folder::open(path, &plan, protection.clone())?;
    let bench = Bench {
        said: Said::new(plan.clone()),
        config,
        protection,
        secret,
        roster,
        plan,
        wanted,
        wait,
        folder,
    };
    let listener = bind(bench.config.grpc).await?;
    let (stop, stopping) = oneshot::channel();
    let mut serving = pin!(bench.serve(listener, stopping));
    let finished = tokio::select! {
        ended = &mut serving => Err(ended.err().unwrap_or(CeremonyFailure::ListenerEnded)),
        member = bench.said.asked_under_another_plan() => Err(CeremonyFailure::OtherPlan { member }),
        finished = bench.hold() => finished,
    };
    // The last answer may still be on its way to the one that waits for it.
    if stop.send(()).is_ok() {
        let _ = timeout(DRAIN_MAX, serving).await;
    }
    finished
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CeremonyFailure> {
    TcpListener::bind(address).await.map_err(|error| {
        let kind = error.kind();
        Box::new(StartError::Bind { address, kind }).into()
    })
}

impl Bench {
    /// Serves what this member says to the keys that take part.
    async fn serve(
        &self,
        listener: TcpListener,
        stopping: oneshot::Receiver<()>,
    ) -> Result<(), CeremonyFailure> {
        let config = tls::server_config(&self.secret).map_err(|_| CeremonyFailure::Tls)?;
        let plan = self.plan.clone();
        let is_known = Arc::new(move |key: &_| plan.participant_by_key(key).is_some());
        let metrics = Arc::new(Metrics::new());
        let incoming = tls::accept(listener, TlsAcceptor::from(config), is_known, metrics);
        let service = CeremonyServiceServer::new(Saying(self.said.clone()));
        let served = limited_server()
            .add_service(service.max_decoding_message_size(crate::service::MESSAGE_BYTES_MAX))
            .serve_with_incoming_shutdown(incoming, async move {
                let _ = stopping.await;
            });
        served.await.map_err(|_| CeremonyFailure::ListenerEnded)
    }

    async fn hold(&self) -> Result<Finished, CeremonyFailure> {
        let roster = match self.folder.proposal()? {
            Some(roster) => {
                let own = self.own_confirmation()?;
                self.said.to_everybody(Step::Confirmation, own);
                roster
            }
            None => self.hold_steps().await?,
        };
        // Everybody's shares are durable: nothing is made from these secrets any more.
        self.folder.wipe_secrets(self.plan.participants())?;
        if self.is_repaired() {
            // They are in force already: no roster has to come before they are the node's.
            self.evaluator()?;
        }
        let others = self.plan.participants().len() - 1;
        if timeout(STAY_MAX, self.said.confirmed_to(others))
            .await
            .is_err()
        {
            tracing::warn!(
                "not everybody has fetched this member's confirmation; start the command again for those that ask for it"
            );
        }
        Ok(Finished {
            folder: self.folder.path().to_owned(),
            proposal: self.folder.path().join(PROPOSAL),
            roster,
        })
    }

    async fn hold_steps(&self) -> Result<SignedRoster, CeremonyFailure> {
        let seed = self.folder.seed()?;
        let has_shares = self.plan.kind() != Kind::Deal && !self.is_repaired();
        let held = has_shares.then(|| self.held()).transpose()?;
        let published = self.published()?;
        let basis = match (self.plan.kind(), &held) {
            (Kind::Deal, _) => Basis::Nothing,
            (Kind::Refresh | Kind::Repair(_), Some(held)) => Basis::Held(held),
            (Kind::Refresh | Kind::Repair(_), None) => Basis::Published(&published),
        };
        let own = &self.config.name;
        let seat = Seat::new(&self.plan, own, &self.secret, &seed, basis);
        let seat = seat.ok_or_else(|| CeremonyFailure::NotTakingPart {
            member: own.clone(),
        })?;
        let commitments = self
            .tell(&seat, Step::Commitment, seat.commitment()?)
            .await?;
        let openings = self.tell(&seat, Step::Opening, seat.opening()?).await?;
        let openings = seat.check_openings(&commitments, &openings)?;
        let views = self.tell(&seat, Step::View, seat.view(&openings)).await?;
        seat.check_views(&openings, &views)?;
        let outcome = self.share(&seat, &openings).await?;
        self.confirm(&seat, &outcome).await
    }

    /// The secret steps: what is sent to one member alone, and what comes out of it.
    async fn share(
        &self,
        seat: &Seat<'_>,
        openings: &Openings,
    ) -> Result<Outcome, CeremonyFailure> {
        self.said.to_each(Step::Share, seat.shares(openings)?);
        let shares = self.gather(seat, Step::Share).await?;
        match self.plan.kind() {
            Kind::Deal | Kind::Refresh => Ok(seat.finish(openings, &shares)?),
            Kind::Repair(_) => {
                let sums = seat.sigma(openings, &shares)?;
                self.said.to_each(Step::Sigma, sums);
                let sums = self.gather(seat, Step::Sigma).await?;
                Ok(seat.finish_repair(openings, &sums)?)
            }
        }
    }

    /// Keeps the new shares, then says so, and collects that all others have done the same.
    async fn confirm(
        &self,
        seat: &Seat<'_>,
        outcome: &Outcome,
    ) -> Result<SignedRoster, CeremonyFailure> {
        if self.has_new_shares() {
            let holding = &outcome.holding;
            let evaluator = Evaluator::new(holding.person.clone(), holding.contract.clone());
            self.folder.keep_shares(&evaluator.to_text())?;
        }
        // From here this member has its shares, whatever happens to this process.
        let roster = self.roster.after_ceremony(&self.plan, outcome)?;
        let line = roster.sign(&self.config.name, &self.secret).to_string();
        let own = seat.confirmation(&outcome.transcript, &line);
        self.folder
            .keep(Step::Confirmation, &self.config.name, &own)?;
        let confirmations = self.tell(seat, Step::Confirmation, own).await?;
        let lines = seat.check_confirmations(&outcome.transcript, &confirmations)?;
        let signed = self.endorsed(roster, &lines)?;
        self.folder
            .write_once(TRANSCRIPT, outcome.transcript.text())?;
        self.folder.write_once(PROPOSAL, &signed.to_text())?;
        // From here the ceremony is over for this member.
        Ok(signed)
    }

    /// The roster with the signature of every participant.
    fn endorsed(&self, roster: Roster, lines: &[String]) -> Result<SignedRoster, CeremonyFailure> {
        let mut signatures = Vec::new();
        for (one, line) in self.plan.participants().iter().zip(lines) {
            let signature = NoteSignature::parse(line).filter(|signature| {
                let (text, kind) = (roster.text(), SignatureKind::Ed25519);
                let signer = self.roster.verify_signature(text, signature, kind);
                signer.is_ok_and(|signer| signer.name == one.name)
            });
            let member = one.name.clone();
            signatures.push(signature.ok_or(CeremonyFailure::OtherRoster { member })?);
        }
        Ok(SignedRoster::new(roster, signatures)?)
    }

    fn own_confirmation(&self) -> Result<Message, CeremonyFailure> {
        let participants = self.plan.participants();
        let mut kept = self.folder.kept(Step::Confirmation, participants)?;
        let missing = CeremonyError::Missing {
            member: self.config.name.clone(),
            step: Step::Confirmation,
        };
        Ok(kept.remove(&self.config.name).ok_or(missing)?)
    }

    /// Whether this is the member whose shares are made again.
    fn is_repaired(&self) -> bool {
        let own = self.plan.participant(&self.config.name);
        own.is_some_and(|own| self.plan.repaired() == Some(own.index))
    }

    /// Whether the outcome's shares are nowhere on this disk. In a repair the helpers' are, and a
    /// second copy would still be there after a refresh.
    fn has_new_shares(&self) -> bool {
        match self.plan.kind() {
            Kind::Deal | Kind::Refresh => true,
            Kind::Repair(_) => self.evaluator().is_err(),
        }
    }

    fn own_share(&self) -> Result<&MemberShare, CeremonyFailure> {
        let share = self.roster.share(&self.config.name);
        share.ok_or_else(|| CeremonyFailure::NoShare {
            member: self.config.name.clone(),
        })
    }

    /// This disk's shares, which must be the roster's.
    fn evaluator(&self) -> Result<Evaluator, CeremonyFailure> {
        let share = self.own_share()?;
        let evaluator = succession::share_in_force(&self.config, &self.protection, share);
        Ok(evaluator.map_err(Box::new)?)
    }

    /// The shares that a refresh starts from, and that a helper gives of.
    fn held(&self) -> Result<Holding, CeremonyFailure> {
        let evaluator = self.evaluator()?;
        let (person, contract) = evaluator.shares();
        Ok(Holding {
            person: person.clone(),
            contract: contract.clone(),
            published: self.published()?,
        })
    }

    /// What the roster says of the shares there are.
    fn published(&self) -> Result<Published, CeremonyFailure> {
        let shares = self.roster.shares().iter().map(published);
        let joint = |element: &Element| JointPublicKey::from_bytes(element.as_bytes()).ok();
        let keys = self.roster.joint();
        let unusable = || CeremonyFailure::Ceremony(CeremonyError::Unusable);
        Ok(Published {
            joint_person: joint(&keys.person).ok_or_else(unusable)?,
            joint_contract: joint(&keys.contract).ok_or_else(unusable)?,
            shares: shares.collect::<Option<_>>().ok_or_else(unusable)?,
        })
    }

    /// Says one step to everybody, and gathers what everybody says in it.
    async fn tell(
        &self,
        seat: &Seat<'_>,
        step: Step,
        own: Message,
    ) -> Result<Messages, CeremonyFailure> {
        self.said.to_everybody(step, own.clone());
        let mut messages = self.gather(seat, step).await?;
        messages.insert(self.config.name.clone(), own);
        Ok(messages)
    }

    /// What others say to this member in a step: from disk where it was kept, and otherwise asked
    /// for until it is there, checked, and kept.
    async fn gather(&self, seat: &Seat<'_>, step: Step) -> Result<Messages, CeremonyFailure> {
        let mut messages = self.folder.kept(step, self.plan.participants())?;
        let senders = seat.senders(step);
        if senders.is_empty() {
            return Ok(Messages::new());
        }
        for one in senders {
            let message = match messages.remove(&one.name) {
                Some(kept) => kept,
                None => self.fetch(one, step).await?,
            };
            seat.check_signature(step, one, &message)?;
            self.folder.keep(step, &one.name, &message)?;
            // From here the message counts, whatever its sender says later.
            messages.insert(one.name.clone(), message);
        }
        tracing::info!(%step, "everybody has spoken");
        Ok(messages)
    }

    async fn fetch(&self, from: &Participant, step: Step) -> Result<Message, CeremonyFailure> {
        let address = self.wanted.address(&self.roster, &from.name)?;
        let channel =
            channel(from.public_key, &address, &self.secret).map_err(|_| CeremonyFailure::Tls)?;
        let until = Instant::now() + self.wait;
        while Instant::now() < until {
            if let Some(message) = self.ask(channel.clone(), from, step).await? {
                return Ok(message);
            }
            sleep(FETCH_PAUSE).await;
        }
        Err(CeremonyFailure::TooSlow {
            member: from.name.clone(),
            step,
            wait: self.wait,
        })
    }

    /// Asks once; `None` when it is to be asked again.
    async fn ask(
        &self,
        channel: Channel,
        from: &Participant,
        step: Step,
    ) -> Result<Option<Message>, CeremonyFailure> {
        let mut request = Request::new(ceremony::fetch(self.plan.id(), step));
        request.set_timeout(FETCH_DEADLINE);
        let member = || from.name.clone();
        match CeremonyServiceClient::new(channel).fetch(request).await {
            Ok(answer) => match ceremony::read_said(answer.get_ref()) {
                Ok(message) => Ok(Some(message)),
                Err(_) => Err(CeremonyFailure::Unreadable { member: member() }),
            },
            Err(status)
                if matches!(
                    status.code(),
                    Code::FailedPrecondition | Code::PermissionDenied
                ) =>
            {
                Err(CeremonyFailure::OtherPlan { member: member() })
            }
            // Not reached, not that far, or gone for the moment.
            Err(_) => Ok(None),
        }
    }
}

fn published(share: &MemberShare) -> Option<PublicPair> {
    let index = ShareIndex::new(share.index.get())?;
    let read = |element: &Element| PublicShare::from_bytes(index, element.as_bytes()).ok();
    Some(PublicPair {
        member: share.member.clone(),
        person: read(&share.public.person)?,
        contract: read(&share.public.contract)?,
    })
}
