//! What this member is in rosters that its own ledger does not have yet: whoever was away while
//! the members changed hears from nobody any more, and asks.
//!
//! A roster is believed as a client believes it, by its [`Lineage`].

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use proto::ids::MemberName;
use proto::lineage::Lineage;
use proto::roster::Roster;
use proto::signing::SecretKey;
use tokio::task::JoinSet;

use crate::clock;
use crate::peer::Peer;
use crate::sequencer::{Condition, Sequencer, StopReason};
use crate::tls::TlsError;

/// How often a node looks whether it is still told what is new.
const LOOK: Duration = Duration::from_secs(5);
/// How old its newest state may be before it asks why: members cosign again every 20 s.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// The newest roster after this one that any other member's node shows; `None` if that is it, or
/// nobody answers.
///
/// # Errors
/// [`TlsError`], which an Ed25519 key does not cause.
pub async fn in_force(roster: &Roster, secret: &SecretKey) -> Result<Option<Roster>, TlsError> {
    let newest = newest(Peer::all(roster, secret)?, roster).await;
    Ok(newest.filter(|newest| newest.epoch() > roster.epoch()))
}

/// The newest roster that these nodes show from the trusted one on, which may be that; `None` when
/// none of them answers with one that is believed.
pub async fn newest(peers: Vec<Peer>, trusted: &Roster) -> Option<Roster> {
    let mut asked = JoinSet::new();
    for peer in peers {
        let trusted = trusted.clone();
        asked.spawn(async move { follow(&peer, trusted).await });
    }
    let rosters = asked.join_all().await;
    let rosters = rosters.into_iter().flatten();
    rosters.max_by_key(Roster::epoch)
}

/// The rosters that one node shows, up to the one in force there. What does not follow is nothing.
async fn follow(peer: &Peer, trusted: Roster) -> Option<Roster> {
    let mut lineage = Lineage::from(trusted.clone());
    while let Some(wanted) = lineage.wanted() {
        let (proved, checkpoint) = match peer.roster(wanted).await {
            Ok(answer) => answer,
            Err(error) if error.is_unknown() => break,
            Err(_) => return None,
        };
        if let Err(error) = lineage.take(proved, checkpoint) {
            tracing::warn!(member = %peer.member(), %error, "a roster is not believed");
            return None;
        }
    }
    match lineage.end() {
        Ok(verified) => Some(verified.map_or(trusted, |it| it.roster)),
        Err(error) => {
            tracing::warn!(member = %peer.member(), %error, "a roster is not believed");
            None
        }
    }
}

/// Stops the node when nothing has come for a while because its member has left, or has another
/// key. Ends when it is told to.
pub async fn watch(
    sequencer: Sequencer,
    name: MemberName,
    secret: SecretKey,
    told: impl Future<Output = ()>,
) {
    let mut told = pin!(told);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = &mut told => return,
        }
        let snapshot = sequencer.snapshot();
        let age = snapshot.age(clock::now().seconds());
        let is_stopped = matches!(sequencer.condition(), Condition::Stopped(_));
        if is_stopped || age.is_some_and(|age| age < QUIET_MAX) {
            continue;
        }
        let newer = tokio::select! {
            newer = in_force(snapshot.roster(), &secret) => newer,
            () = &mut told => return,
        };
        let Ok(Some(newer)) = newer else { continue };
        let reason = match newer.member(&name) {
            None => StopReason::Left,
            Some(own) if own.public_key != secret.public() => StopReason::KeyReplaced,
            Some(_) => continue,
        };
        tracing::error!(reason = reason.as_str(), epoch = %newer.epoch(), "others have a newer roster");
        sequencer.end_for(reason);
    }
}
