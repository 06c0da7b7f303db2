//! Signed copies put together, checked offline, and handed to the ledger.

use std::path::PathBuf;
use std::time::Duration;

use proto::attestation::Attestation;
use proto::entry::{Entry, VerifiedEntry};
use proto::ids::{LeafIndex, MemberName, RequestId};
use proto::roster::{Address, SignedRoster, SuccessionError};
use proto::signing::PublicKey;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::{AppendAnswer, read, write};
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{Desk, RosterChangeError, read_signed};
use crate::clock;
use crate::peer::channel;

/// How long a node has to commit the entry.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);
/// Pause before a node that could not take the roster is asked again, with the same bytes.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The reason of a leader that waits for members to catch up.
const NOT_READY: &str = "MEMBERS_NOT_READY";

/// A roster that came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The place of its entry.
    pub index: LeafIndex,
}

/// Puts signed copies of one roster together.
///
/// # Errors
/// [`RosterChangeError`] when a file holds no signed roster, or another one.
pub fn put_together(paths: &[PathBuf]) -> Result<Option<SignedRoster>, RosterChangeError> {
    let mut together: Option<SignedRoster> = None;
    for path in paths {
        let copy = read_signed(path)?;
        together = Some(match together {
            Some(held) => held.merged(&copy)?,
            None => copy,
        });
    }
    Ok(together)
}

impl Desk {
    /// Whether a quorum of the roster in force has signed it.
    ///
    /// # Errors
    /// [`RosterChangeError::QuorumNotMet`] with who is missing, or why it does not follow.
    pub fn require_quorum(&self, signed: &SignedRoster) -> Result<(), RosterChangeError> {
        self.require_next(signed.admitted())?;
        match signed.verify_successor(&self.in_force) {
            Ok(_) => Ok(()),
            Err(SuccessionError::QuorumNotMet { got, want }) => {
                let signers = signed.voting_signers(&self.in_force);
                let voting = self.in_force.voting_members().map(|it| &it.name);
                let missing = voting.filter(|name| !signers.contains(name)).cloned();
                let missing = missing.collect();
                Err(RosterChangeError::QuorumNotMet { got, want, missing })
            }
            Err(error) => Err(Box::new(error).into()),
        }
    }

    /// Appends the roster as an entry of this member, through its own node or another member's,
    /// and verifies the receipt under the roster that it puts in force. Waits this long for
    /// members that would vote by it and are not there yet.
    ///
    /// # Errors
    /// [`RosterChangeError`]. The entry may be in the ledger all the same if the node was silent.
    pub async fn publish(
        &self,
        signed: &SignedRoster,
        through: Option<&MemberName>,
        wait: Duration,
    ) -> Result<Published, RosterChangeError> {
        self.require_quorum(signed)?;
        let entry = self.entry(signed)?;
        let (member, key, address) = self.node_of(through)?;
        let until = Instant::now() + wait;
        let answer = loop {
            let status = match self.append(&entry, key, &address).await {
                Ok(answer) => break answer,
                Err(status) => status,
            };
            let error = failure(&member, &status);
            if !error.may_pass() || Instant::now() >= until {
                return Err(error);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        };
        match answer {
            AppendAnswer::Refused { reason, .. } => Err(RosterChangeError::Refused(reason)),
            AppendAnswer::Accepted(receipt) => {
                let verified = receipt.verify(signed.admitted(), &mut |_| {});
                let verified = verified.map_err(|_| RosterChangeError::Receipt)?;
                Ok(Published {
                    index: verified.index,
                })
            }
        }
    }

    fn entry(&self, signed: &SignedRoster) -> Result<VerifiedEntry, RosterChangeError> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|_| RosterChangeError::NoRandomness)?;
        let id = RequestId::new(clock::now(), random);
        let header = Attestation::Roster(signed.clone()).header(self.secret.public(), id);
        Ok(Entry::sign(&header, self.in_force.origin(), &self.secret)?)
    }

    fn node_of(
        &self,
        through: Option<&MemberName>,
    ) -> Result<(MemberName, PublicKey, Address), RosterChangeError> {
        let Some(name) = through else {
            return Ok((self.name.clone(), self.secret.public(), self.node.clone()));
        };
        let member = self.in_force.member(name);
        let found = member.and_then(|it| Some((it.public_key, it.grpc.clone()?)));
        let (key, address) = found.ok_or_else(|| RosterChangeError::NoAddress(name.clone()))?;
        Ok((name.clone(), key, address))
    }

    async fn append(
        &self,
        entry: &VerifiedEntry,
        key: PublicKey,
        address: &Address,
    ) -> Result<AppendAnswer, Status> {
        let channel = channel(key, address, &self.secret);
        let channel = channel.map_err(|_| Status::internal("tls"))?;
        let mut request = Request::new(write::append(entry, None));
        request.set_timeout(APPEND_DEADLINE);
        let answer = LedgerServiceClient::new(channel).append(request).await?;
        let answer = read::append_answer(answer.into_inner(), entry);
        answer.map_err(|_| Status::data_loss("the answer cannot be read"))
    }
}

/// Why a node did not take it: what it says of its members, for people, or the code.
fn failure(member: &MemberName, status: &Status) -> RosterChangeError {
    let details = status.get_error_details();
    match details.error_info().map(|info| info.reason.as_str()) {
        Some(NOT_READY) => RosterChangeError::NotReady(status.message().to_owned()),
        _ => RosterChangeError::NotAppended {
            member: member.clone(),
            code: status.code(),
        },
    }
}

impl RosterChangeError {
    /// Whether the same bytes may be taken a little later.
    const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NotReady(_)
                | Self::NotAppended {
                    code: Code::Unavailable | Code::DeadlineExceeded | Code::Unknown,
                    ..
                }
        )
    }
}
