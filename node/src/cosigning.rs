//! Carries this member's newest cosignature to each other member, until it has arrived.
//!
//! Only the newest counts: whoever is behind gets the certificate of the state before with the
//! next batch. Each answer brings what the other node has, so two nodes that meet again after a
//! cut know at once which of them is behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::MemberName;
use proto::roster::{Address, Roster};
use proto::signing::SecretKey;
use tokio::task::JoinSet;

use crate::peer::Peer;
use crate::sequencer::Sequencer;

/// Pause before a cosignature that did not arrive is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Carries cosignatures until it is told to end.
pub async fn carry(sequencer: Sequencer, secret: SecretKey, told: impl Future<Output = ()>) {
    let mut told = pin!(told);
    let mut published = sequencer.published();
    loop {
        let roster = sequencer.snapshot().roster().clone();
        let mut carriers = start(&sequencer, &roster, &secret);
        // The same carriers until members or addresses change.
        loop {
            tokio::select! {
                () = &mut told => return,
                changed = published.changed() => if changed.is_err() { return },
            }
            if places(sequencer.snapshot().roster()) != places(&roster) {
                break;
            }
        }
        carriers.abort_all();
    }
}

fn places(roster: &Roster) -> BTreeMap<&MemberName, &Address> {
    let members = roster.members().iter();
    members
        .filter_map(|member| Some((&member.name, member.grpc.as_ref()?)))
        .collect()
}

fn start(sequencer: &Sequencer, roster: &Arc<Roster>, secret: &SecretKey) -> JoinSet<()> {
    let mut carriers = JoinSet::new();
    for member in roster.members() {
        let Some(address) = member
            .grpc
            .as_ref()
            .filter(|_| member.public_key != secret.public())
        else {
            continue;
        };
        match Peer::open(member.name.clone(), member.public_key, address, secret) {
            Ok(peer) => {
                carriers.spawn(carry_to(peer, sequencer.clone()));
            }
            Err(error) => tracing::error!(member = %member.name, %error, "cannot be reached"),
        }
    }
    carriers
}

async fn carry_to(peer: Peer, sequencer: Sequencer) {
    let mut newest = sequencer.own_cosignature();
    loop {
        let own = newest.borrow_and_update().clone();
        if let Some(own) = own {
            match peer.cosign(&own).await {
                Ok(theirs) => sequencer.cosigned_by_others(theirs).await,
                Err(error) => {
                    tracing::debug!(%error, "a cosignature did not arrive");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            }
        }
        if newest.changed().await.is_err() {
            return;
        }
    }
}
