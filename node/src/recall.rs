//! Asking the other members what this one has signed: what a data folder from an old backup has
//! forgotten.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::ids::MemberName;
use proto::roster::Roster;
use proto::signing::SecretKey;
use tokio::task::JoinSet;

use crate::peer::Peer;
use crate::sequencer::Sequencer;
use crate::tls::TlsError;

/// Pause between two rounds of questions: this node signs nothing until it has the answers.
const ROUND_PAUSE: Duration = Duration::from_millis(250);

/// Asks every other member once, all at the same time; the largest checkpoint that one of them
/// has under this member's own signature. Takes two seconds at most.
///
/// # Errors
/// [`TlsError`], which an Ed25519 key does not cause.
pub async fn newest_signed(
    roster: &Roster,
    name: &MemberName,
    secret: &SecretKey,
) -> Result<Option<Checkpoint>, TlsError> {
    let mut asked = ask(Peer::all(roster, secret)?);
    let mut newest: Option<Checkpoint> = None;
    while let Some(answered) = asked.join_next().await {
        let Ok(Some((_, cosignatures))) = answered else {
            continue;
        };
        for signed in cosignatures {
            let (checkpoint, mut lines) = (signed.claimed(), signed.cosignatures().iter());
            let is_own = checkpoint.origin == *roster.origin()
                && lines.any(|line| {
                    let signer = checkpoint.verify_cosignature(line, roster);
                    signer.is_ok_and(|signer| signer.name == *name)
                });
            if is_own && newest.as_ref().is_none_or(|it| it.size < checkpoint.size) {
                newest = Some(checkpoint.clone());
            }
        }
    }
    Ok(newest)
}

/// Asks again and again until this node has heard enough to sign, or is told to stop.
pub async fn keep_asking(sequencer: Sequencer, secret: SecretKey, told: impl Future<Output = ()>) {
    let mut told = pin!(told);
    while sequencer.is_recalling() {
        let roster = sequencer.snapshot().roster().clone();
        let Ok(peers) = Peer::all(&roster, &secret) else {
            return;
        };
        tokio::select! {
            () = round(&sequencer, peers) => {}
            () = &mut told => return,
        }
        tokio::time::sleep(ROUND_PAUSE).await;
    }
}

/// Ends as soon as enough have answered, whoever else does not.
async fn round(sequencer: &Sequencer, peers: Vec<Peer>) {
    let mut asked = ask(peers);
    while let Some(answered) = asked.join_next().await {
        if let Ok(Some((by, cosignatures))) = answered {
            sequencer.recalled(by, cosignatures).await;
        }
        if !sequencer.is_recalling() {
            return;
        }
    }
}

/// Asks all of them at the same time what cosignatures they hold.
pub(crate) fn ask(peers: Vec<Peer>) -> JoinSet<Option<(MemberName, Vec<SignedCheckpoint>)>> {
    let mut asked = JoinSet::new();
    for peer in peers {
        asked.spawn(async move {
            let status = peer.status().await.ok()?;
            Some((peer.member().clone(), status.cosignatures))
        });
    }
    asked
}
