//! Carries this member's newest cosignature to each other member, until it has arrived.
//!
//! Only the newest counts: whoever is behind gets the certificate of the state before with the
//! next batch. Each answer brings what the other node has, so two nodes that meet again after a
//! cut know at once which of them is behind.

mod following;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::MemberName;
use proto::roster::{Address, Member, Roster};
use proto::signing::{PublicKey, SecretKey};
use tokio::task::JoinSet;

pub use self::following::Cosigner;
use crate::peer::Peer;
use crate::sequencer::Sequencer;
use crate::snapshot::Snapshot;

/// Pause before a cosignature that did not arrive is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried to tell a member that it has left: if its node is away, it finds out when
/// it comes back.
const FAREWELLS_MAX: usize = 20;

/// Carries cosignatures until it is told to end.
pub async fn carry(sequencer: Sequencer, secret: SecretKey, told: impl Future<Output = ()>) {
    let mut told = pin!(told);
    let mut published = sequencer.published();
    let mut farewells = JoinSet::new();
    loop {
        let roster = sequencer.snapshot().roster().clone();
        let mut carriers = start(&sequencer, &roster, &secret);
        // The same carriers until members or addresses change.
        loop {
            tokio::select! {
                () = &mut told => return,
                changed = published.changed() => if changed.is_err() { return },
            }
            let now = sequencer.snapshot();
            if places(now.roster()) != places(&roster) {
                bid_farewell(&mut farewells, &roster, &now, &secret);
                break;
            }
        }
        carriers.abort_all();
    }
}

fn places(roster: &Roster) -> BTreeMap<&MemberName, (&PublicKey, &Address)> {
    let members = roster.members().iter();
    members
        .filter_map(|it| Some((&it.name, (&it.public_key, it.grpc.as_ref()?))))
        .collect()
}

/// Whoever has left, or has another key now, hears from nobody any more. It is brought the
/// certificate of the state in which it left, so that its node knows and says so.
fn bid_farewell(farewells: &mut JoinSet<()>, before: &Roster, now: &Snapshot, secret: &SecretKey) {
    let roster = now.roster();
    let same = |it: &Member| roster.member_by_key(&it.public_key).is_some();
    for member in before.members().iter().filter(|it| !same(it)) {
        let Some(address) = &member.grpc else {
            continue;
        };
        let peer = Peer::open(member.name.clone(), member.public_key, address, secret);
        let Ok(peer) = peer else { continue };
        let certificate = now.checkpoint().clone();
        farewells.spawn(async move {
            for _ in 0..FAREWELLS_MAX {
                if peer.cosign(&certificate).await.is_ok() {
                    return;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        });
    }
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
