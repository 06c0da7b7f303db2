//! A thief with one till's key and every node of the federation: whichever nodes he asks, in
//! whatever combination, he makes as many tokens as were promised, and what he looked at is known.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::collections::BTreeMap;

use client::connection::CallError;
use client::federation;
use client::incident;
use client::lookup::LookupError;
use client::session::Session;
use client::system;
use proto::attestation::{Grant, LookOutcome};
use proto::ids::SlotKey;
use proto::oprf::{BlindedElement, blind};
use proto::signing::SecretKey;
use proto::wire::v1::TokenKind;
use tests::binary::scratch_folder;
use tests::federation::{accepted, fresh_key, grant};
use tests::nodes::Nodes;
use tests::workload::fresh_slots;
use tokio::task::JoinSet;

const NAMES: [&str; 5] = ["cnam", "alpha", "beta", "opticians", "gamma"];
const THRESHOLD: usize = 3;
/// What the federation promised: tokens an hour for one till, whichever nodes it asks.
const HOURLY: usize = 20;
/// Connections to each node, at work at once.
const CONNECTIONS: usize = 4;
/// Identities that the thief holds.
const IDENTITIES: usize = 60;

/// Which nodes evaluated each of the thief's identities for him.
type Loot = BTreeMap<usize, Vec<usize>>;

/// The thief and his five doors.
struct Thief {
    key: SecretKey,
    /// For each node, his connections to it.
    doors: Vec<Vec<Session>>,
    elements: Vec<BlindedElement>,
}

impl Thief {
    fn new(nodes: &Nodes, key: SecretKey) -> Self {
        let doors = NAMES.map(|name| {
            (0..CONNECTIONS)
                .map(|_| nodes.session(name, &key))
                .collect()
        });
        let element = |_| {
            let input = system::random::<16>().unwrap();
            blind(&input, &system::random().unwrap()).unwrap().1
        };
        Self {
            key,
            doors: doors.into(),
            elements: (0..IDENTITIES).map(element).collect(),
        }
    }

    /// Asks for each of these (identity, node), all at once; adds what he gets to the loot.
    async fn ask(&self, wanted: Vec<(usize, usize)>, loot: &mut Loot) {
        let mut calls = JoinSet::new();
        for (identity, node) in wanted {
            let door = self.doors[node][identity % CONNECTIONS].clone();
            let element = [self.elements[identity]];
            calls.spawn(async move {
                let id = system::request_id().unwrap();
                let answer = door.home().evaluate(id, TokenKind::Person, &element);
                match answer.await {
                    Ok(_) => Some((identity, node)),
                    Err(CallError::Busy { .. }) => None,
                    Err(error) => panic!("{}: {error}", NAMES[node]),
                }
            });
        }
        for (identity, node) in calls.join_all().await.into_iter().flatten() {
            let nodes = loot.entry(identity).or_default();
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
    }

    /// Looks at fresh slots through every node; gives what he asked for and what came of it.
    async fn look(&self) -> Vec<(LookOutcome, Vec<SlotKey>)> {
        let mut looks = Vec::new();
        for door in &self.doors {
            let slots = fresh_slots(2);
            let outcome = match door[0].lookup(&slots, &[]).await {
                Ok(_) => LookOutcome::Answered,
                Err(LookupError::Call(CallError::NotAdmitted { reason, .. })) => {
                    LookOutcome::Refused(reason.unwrap())
                }
                Err(error) => panic!("{error}"),
            };
            looks.push((outcome, slots));
        }
        looks
    }
}

/// The (identity, node) pairs in which each identity goes to the next three nodes of the circle:
/// the fairest split of five quotas, so the best that he can do.
fn around_the_circle() -> Vec<(usize, usize)> {
    let of = |identity: usize| (0..THRESHOLD).map(move |step| (identity, (identity + step) % 5));
    (0..HOURLY).flat_map(of).collect()
}

/// Every subset of three nodes, each with identities of its own.
fn every_subset() -> Vec<(usize, usize)> {
    let masks = (0_u32..1 << NAMES.len()).filter(|mask| mask.count_ones() as usize == THRESHOLD);
    let pairs = masks.enumerate().flat_map(|(subset, mask)| {
        let nodes = (0..NAMES.len()).filter(move |node| mask & (1 << node) != 0);
        nodes.flat_map(move |node| (0..4).map(move |each| (HOURLY + subset * 4 + each, node)))
    });
    pairs.collect()
}

fn tokens(loot: &Loot) -> usize {
    let complete = loot.values().filter(|nodes| nodes.len() >= THRESHOLD);
    complete.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_gets_what_was_promised_from_all_nodes_together_and_is_known() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 5, 3, &BTreeMap::new());
    nodes.start_all(&[]);
    let thief = Thief::new(&nodes, fresh_key());
    let opticians = nodes.session("cnam", &nodes.federation.opticians);
    let promised = Grant {
        hourly_quota: u32::try_from(HOURLY).unwrap(),
        daily_quota: 60,
        ..grant(&thief.key)
    };
    let since = system::now();
    let granted = accepted(&federation::grant(&opticians, promised).await.unwrap());
    nodes.all_have(granted, &thief.key).await;

    let mut loot = Loot::new();
    thief.ask(around_the_circle(), &mut loot).await;
    assert_eq!(tokens(&loot), HOURLY, "the promise is kept to the honest");
    thief.ask(every_subset(), &mut loot).await;
    thief.ask(around_the_circle(), &mut loot).await;
    assert_eq!(tokens(&loot), HOURLY, "and no more to the thief");

    let mut looks = thief.look().await;
    let revoked = federation::revoke(&opticians, thief.key.public());
    let revoked = accepted(&revoked.await.unwrap());
    nodes.all_have(revoked, &thief.key).await;
    looks.extend(thief.look().await);
    let till = thief.key.public();
    let mut silent = |_, _| {};
    let list = incident::list(&opticians, &nodes.incident, &till, since, &mut silent);
    let touched = list.await.unwrap().touched.into_iter();
    let mut listed: Vec<_> = touched.map(|one| (one.outcome, one.slots)).collect();
    listed.sort_by(|a, b| a.1.cmp(&b.1));
    looks.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(listed, looks);
}
