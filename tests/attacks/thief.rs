//! A thief with one till's key and every node of the federation: whichever nodes he asks, in
//! whatever combination, before and after the turn of an hour and of a day, he makes as many tokens
//! as were promised, and what he looked at is known.

use std::collections::BTreeMap;
use std::time::Duration;

use client::connection::CallError;
use client::federation;
use client::incident;
use client::lookup::LookupError;
use client::session::Session;
use client::system;
use proto::attestation::{Grant, LookOutcome};
use proto::ids::{SlotKey, UnixMillis};
use proto::oprf::{BlindedElement, blind};
use proto::signing::SecretKey;
use proto::wire::v1::TokenKind;
use tempfile::TempDir;
use tests::binary::scratch_folder;
use tests::federation::{accepted, fresh_key, grant};
use tests::nodes::Nodes;
use tests::shifted::{Clock, run_shifted};
use tests::workload::fresh_slots;
use tokio::task::JoinSet;

const NAMES: [&str; 5] = ["cnam", "alpha", "beta", "opticians", "gamma"];
const THRESHOLD: usize = 3;
/// What the federation promised: tokens an hour for one till, whichever nodes it asks.
const HOURLY: usize = 20;
/// And in a day.
const DAILY: usize = 60;
/// Connections to each node, at work at once.
const CONNECTIONS: usize = 4;
/// Identities that the thief tries in one go.
const IDENTITIES: usize = 60;
/// How long before a turn of the clock it is moved there: the thief begins a second later. On a
/// machine that is slower the turn may be before him; what is asserted is true then too.
const LEAD_S: u64 = 8;
/// An hour and a minute, in seconds.
const OVER_AN_HOUR_S: u64 = 3_660;
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);

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
        Self {
            key,
            doors: doors.into(),
            elements: fresh_elements(),
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

fn fresh_elements() -> Vec<BlindedElement> {
    let element = |_| {
        let input = system::random::<16>().unwrap();
        blind(&input, &system::random().unwrap()).unwrap().1
    };
    (0..IDENTITIES).map(element).collect()
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

/// The federation that he robs.
struct Robbed {
    nodes: Nodes,
    thief: Thief,
    /// Before he had a key.
    since: UnixMillis,
    opticians: Session,
    /// What he looked at.
    looks: Vec<(LookOutcome, Vec<SlotKey>)>,
    /// The tokens that he made of identities that he is done with.
    made: usize,
    /// Outlives the nodes.
    _folder: TempDir,
}

impl Robbed {
    async fn new() -> Self {
        let folder = scratch_folder();
        let mut nodes = Nodes::found(folder.path(), 5, 3, &BTreeMap::new());
        nodes.start_all(&[]);
        let thief = Thief::new(&nodes, fresh_key());
        let opticians = nodes.session("cnam", &nodes.federation.opticians);
        let since = system::now();
        let promised = Grant {
            hourly_quota: u32::try_from(HOURLY).unwrap(),
            daily_quota: u32::try_from(DAILY).unwrap(),
            ..grant(&thief.key)
        };
        let granted = accepted(&federation::grant(&opticians, promised).await.unwrap());
        nodes.all_have(granted, &thief.key).await;
        Self {
            nodes,
            thief,
            since,
            opticians,
            looks: Vec::new(),
            made: 0,
            _folder: folder,
        }
    }

    async fn look(&mut self) {
        self.looks.extend(self.thief.look().await);
    }

    /// With fresh identities: first the honest way, `pause` in the middle of it, then greedily.
    /// Gives how many tokens he has made in all.
    async fn rob(&mut self, pause: impl Future<Output = ()>) -> usize {
        self.thief.elements = fresh_elements();
        let (mut loot, honest) = (Loot::new(), around_the_circle());
        let (first, second) = honest.split_at(honest.len() / 2);
        self.thief.ask(first.to_vec(), &mut loot).await;
        pause.await;
        self.thief.ask(second.to_vec(), &mut loot).await;
        let promised = tokens(&loot);
        self.thief.ask(every_subset(), &mut loot).await;
        self.thief.ask(around_the_circle(), &mut loot).await;
        assert_eq!(tokens(&loot), promised, "greed gives nothing");
        self.made += promised;
        self.made
    }

    /// What the incident key's holder is told is what he did.
    async fn list_is_his(mut self) {
        let till = self.thief.key.public();
        let (key, mut silent) = (&self.nodes.incident, |_, _| {});
        let list = incident::list(&self.opticians, key, &till, self.since, &mut silent);
        let touched = list.await.unwrap().touched.into_iter();
        let mut listed: Vec<_> = touched.map(|one| (one.outcome, one.slots)).collect();
        listed.sort_by(|a, b| a.1.cmp(&b.1));
        self.looks.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(listed, self.looks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_gets_what_was_promised_from_all_nodes_together_and_is_known() {
    let mut robbed = Robbed::new().await;
    assert_eq!(robbed.rob(async {}).await, HOURLY);
    robbed.look().await;
    let revoked = federation::revoke(&robbed.opticians, robbed.thief.key.public());
    let revoked = accepted(&revoked.await.unwrap());
    robbed.nodes.all_have(revoked, &robbed.thief.key).await;
    robbed.look().await;
    robbed.list_is_his().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn across_the_turn_of_the_hour_and_of_the_day_a_thief_gets_no_more() {
    let Some(mut clock) = Clock::of_this_program() else {
        return run_shifted(concat!(
            module_path!(),
            "::across_the_turn_of_the_hour_and_of_the_day_a_thief_gets_no_more"
        ));
    };
    let mut robbed = Robbed::new().await;
    let made = robbed.rob_across(&mut clock, 20).await;
    assert_eq!(made, HOURLY, "an hour has no turn");
    let first_robbed = system::now();
    clock.forward(OVER_AN_HOUR_S);
    robbed.is_fresh().await;
    assert_eq!(robbed.rob(async {}).await, 2 * HOURLY, "the next hour");

    let made = robbed.rob_across(&mut clock, 0).await;
    assert_eq!(made, DAILY, "midnight gives nothing either");
    clock.forward(OVER_AN_HOUR_S);
    robbed.is_fresh().await;
    assert_eq!(robbed.rob(async {}).await, DAILY, "nor does the new day");
    robbed.look().await;

    // A day after the first hour what was spent in it counts no more, and what came later does.
    let passed_s = (system::now().get() - first_robbed.get()) / 1_000;
    clock.forward(24 * 3_600 + 2 - passed_s);
    robbed.is_fresh().await;
    assert_eq!(robbed.rob(async {}).await, DAILY + HOURLY);
    robbed.list_is_his().await;
}

impl Robbed {
    /// Begins a little before it is so many o'clock, and ends after it.
    async fn rob_across(&mut self, clock: &mut Clock, hour: u64) -> usize {
        let turn = clock.forward_to(LEAD_S, hour);
        self.is_fresh().await;
        self.look().await;
        if system::now() >= turn {
            println!("this machine has much to do: the attack began after the turn");
        }
        let turned = async {
            while system::now() <= turn {
                tokio::time::sleep(TICK).await;
            }
        };
        let made = self.rob(turned).await;
        self.look().await;
        let newest = self.opticians.home().checkpoint().await.unwrap();
        let newest = newest.verify(&self.nodes.federation.roster).unwrap();
        let newest_ms = newest.time().get() * 1_000;
        assert!(newest_ms >= turn.get(), "the nodes' clocks are ours");
        made
    }

    /// After a leap of the clock every node has a checkpoint of now: until then it refuses tills.
    async fn is_fresh(&self) {
        let granted = federation::grant(&self.opticians, grant(&fresh_key())).await;
        let granted = accepted(&granted.unwrap());
        self.nodes.all_have(granted, &self.thief.key).await;
    }
}
