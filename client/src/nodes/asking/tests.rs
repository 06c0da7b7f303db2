//! Questions to nodes that answer by a script, in a time that passes by itself.

use std::sync::Mutex;

use super::super::health::{HEDGE_PAUSE_MAX, HEDGE_PAUSE_MIN};
use super::super::{PAGE_PATIENCE, PATIENCE};
use super::*;
use crate::connection::{DEADLINE, Identity};
use crate::example::secret;

const MS: Duration = Duration::from_millis(1);
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// What a scripted node does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers(Duration),
    Refuses(Duration),
    /// It does not admit the caller.
    Turns(Duration),
    Lies,
    Fails,
    Lags,
    Hangs,
}

/// Three nodes, and what each of them was asked, when.
struct Stage {
    nodes: Nodes,
    begin: Instant,
    asked: Mutex<Vec<(&'static str, Duration)>>,
}

impl Stage {
    /// The first is preferred.
    fn new() -> Self {
        let own = Identity::new(&secret("till")).unwrap();
        let connection = |name: &&str| {
            let (key, address) = (secret(name).public(), "127.0.0.1:1".parse().unwrap());
            Connection::open(name.parse().unwrap(), key, &address, &own).unwrap()
        };
        let connections = NAMES.iter().map(connection).collect();
        let preferred = NAMES[0].parse().unwrap();
        Self {
            nodes: Nodes::new(connections, Some(&preferred)).unwrap(),
            begin: Instant::now(),
            asked: Mutex::default(),
        }
    }

    async fn attempt(&self, connection: Connection, does: [Does; 3]) -> Result<String, CallError> {
        let member = connection.member().clone();
        let place = NAMES.iter().position(|name| *name == member.as_str());
        let place = place.unwrap();
        self.asked
            .lock()
            .unwrap()
            .push((NAMES[place], self.begin.elapsed()));
        match does[place] {
            Does::Answers(after) => {
                tokio::time::sleep(after).await;
                Ok(member.to_string())
            }
            Does::Refuses(after) => {
                tokio::time::sleep(after).await;
                Err(CallError::RequestRefused { member })
            }
            Does::Turns(after) => {
                tokio::time::sleep(after).await;
                let reason = None;
                Err(CallError::NotAdmitted { member, reason })
            }
            Does::Lies => {
                let reason = proto::wire::WireError::Missing { field: "entry" };
                Err(CallError::Answer { member, reason })
            }
            Does::Fails => Err(CallError::Unreachable { member }),
            Does::Lags => Err(CallError::Behind { member }),
            Does::Hangs => std::future::pending().await,
        }
    }

    async fn ask(&self, manner: Manner, does: [Does; 3]) -> Result<String, CallError> {
        self.nodes
            .ask(manner, |connection| self.attempt(connection, does))
            .await
    }

    /// Who was asked since the last time, in order.
    fn asked(&self) -> Vec<&'static str> {
        let mut asked = self.asked.lock().unwrap();
        asked.drain(..).map(|(name, _)| name).collect()
    }

    fn set_far(&self, name: &str, took: Duration) {
        let place = NAMES.iter().position(|one| *one == name).unwrap();
        let member = name.parse().unwrap();
        for effort in [Effort::Read, Effort::Durable] {
            for _ in 0..40 {
                self.nodes.answered(place, &member, effort, took);
            }
        }
    }

    /// A stage whose nodes are known, the second nearer than the third.
    fn known() -> Self {
        let stage = Self::new();
        for (name, took) in NAMES.into_iter().zip([20, 20, 200]) {
            stage.set_far(name, took * MS);
        }
        stage
    }
}

#[tokio::test(start_paused = true)]
async fn the_preferred_node_answers_and_nobody_else_is_asked() {
    let stage = Stage::known();
    let does = [Does::Answers(10 * MS), Does::Lies, Does::Lies];
    assert_eq!(stage.ask(Manner::LOOK, does).await, Ok("alpha".to_owned()));
    assert_eq!(stage.asked(), ["alpha"]);
    assert_eq!(stage.nodes.answered_by().unwrap().as_str(), "alpha");
    assert_eq!(stage.nodes.passed_over(), []);
}

#[tokio::test(start_paused = true)]
async fn who_fails_is_replaced_at_once_and_asked_last_for_a_while() {
    let stage = Stage::known();
    let does = [Does::Fails, Does::Answers(10 * MS), Does::Lies];
    assert_eq!(stage.ask(Manner::APPEND, does).await, Ok("beta".to_owned()));
    assert_eq!(stage.begin.elapsed(), 10 * MS);
    assert_eq!(stage.asked(), ["alpha", "beta"]);
    let passed = stage.nodes.passed_over();
    assert_eq!(passed.len(), 1);
    assert!(passed[0].reason.contains("alpha cannot be reached"));
    assert!(stage.nodes.is_put_back(&"alpha".parse().unwrap()));
    let well = [Does::Answers(MS); 3];
    assert_eq!(stage.ask(Manner::READ, well).await, Ok("beta".to_owned()));
    tokio::time::sleep(super::super::PUT_BACK_FIRST).await;
    assert_eq!(stage.ask(Manner::READ, well).await, Ok("alpha".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_gets_one_node_beside_it_and_the_first_answer_wins() {
    let stage = Stage::known();
    let does = [Does::Hangs, Does::Answers(10 * MS), Does::Answers(MS)];
    assert_eq!(stage.ask(Manner::LOOK, does).await, Ok("beta".to_owned()));
    let took = stage.begin.elapsed();
    assert!(
        (HEDGE_PAUSE_MIN..HEDGE_PAUSE_MAX).contains(&took),
        "{took:?}"
    );
    assert_eq!(stage.asked(), ["alpha", "beta"]);
    // It hung: the next question does not begin with it.
    assert_eq!(stage.ask(Manner::LOOK, does).await, Ok("beta".to_owned()));
    assert_eq!(stage.asked(), ["beta"]);
}

#[tokio::test(start_paused = true)]
async fn the_slow_node_wins_if_it_answers_before_the_other() {
    let stage = Stage::known();
    let does = [Does::Answers(90 * MS), Does::Hangs, Does::Lies];
    assert_eq!(stage.ask(Manner::LOOK, does).await, Ok("alpha".to_owned()));
    assert_eq!(stage.begin.elapsed(), 90 * MS);
    assert_eq!(stage.asked(), ["alpha", "beta"]);
    assert_eq!(stage.nodes.passed_over(), []);
}

#[tokio::test(start_paused = true)]
async fn two_silent_nodes_are_given_up_and_not_more_than_two_are_asked_at_a_time() {
    let stage = Stage::known();
    let does = [Does::Hangs, Does::Hangs, Does::Answers(MS)];
    assert_eq!(stage.ask(Manner::LOOK, does).await, Ok("gamma".to_owned()));
    assert_eq!(stage.begin.elapsed(), PATIENCE + MS);
    assert_eq!(stage.asked(), NAMES);
}

#[tokio::test(start_paused = true)]
async fn entries_and_pages_are_not_hedged() {
    for (manner, patience) in [(Manner::APPEND, PATIENCE), (Manner::PAGE, PAGE_PATIENCE)] {
        let stage = Stage::known();
        let does = [Does::Hangs, Does::Answers(MS), Does::Lies];
        assert_eq!(stage.ask(manner, does).await, Ok("beta".to_owned()));
        assert_eq!(stage.begin.elapsed(), patience + MS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer_and_one_that_a_single_node_could_make_up_takes_two() {
    let stage = Stage::known();
    let final_one = [Does::Refuses(MS), Does::Answers(MS), Does::Answers(MS)];
    let refused = stage.ask(Manner::APPEND, final_one).await;
    assert!(matches!(refused, Err(CallError::RequestRefused { .. })));
    assert_eq!(stage.asked(), ["alpha"]);
    let behind = [Does::Turns(MS), Does::Answers(MS), Does::Lies];
    assert_eq!(stage.ask(Manner::LOOK, behind).await, Ok("beta".to_owned()));
    stage.asked();
    let refused = stage.ask(Manner::LOOK, [Does::Turns(MS); 3]).await;
    assert!(matches!(refused, Err(CallError::NotAdmitted { .. })));
    assert_eq!(stage.asked(), ["alpha", "beta"]);
    // Where nobody else can be asked, one is enough.
    let alone = [Does::Turns(MS), Does::Fails, Does::Fails];
    let refused = stage.ask(Manner::LOOK, alone).await;
    assert!(matches!(refused, Err(CallError::NotAdmitted { .. })));
    assert_eq!(stage.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fails_its_check_counts_as_none() {
    let stage = Stage::known();
    let does = [Does::Lies, Does::Answers(MS), Does::Answers(MS)];
    assert_eq!(stage.ask(Manner::READ, does).await, Ok("beta".to_owned()));
    tokio::time::sleep(super::super::PUT_BACK_MAX - 10 * MS).await;
    let well = [Does::Answers(MS); 3];
    assert_eq!(stage.ask(Manner::READ, well).await, Ok("beta".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_they_are_asked_again_after_longer_and_longer_pauses() {
    let stage = Stage::known();
    let failed = stage.ask(Manner::READ, [Does::Fails; 3]).await;
    assert!(matches!(failed, Err(CallError::Unreachable { .. })));
    assert_eq!(stage.begin.elapsed(), (100 + 200 + 400 + 800) * MS);
    assert_eq!(stage.asked().len(), 3 * 5);
    // Who lags by a batch is asked again, who was silent is not.
    let lagging = stage.ask(Manner::READ, [Does::Lags; 3]).await;
    assert!(matches!(lagging, Err(CallError::Behind { .. })));
    assert_eq!(stage.asked().len(), 3 * 5);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_for_all_of_it() {
    let stage = Stage::known();
    let silent = stage.ask(Manner::APPEND, [Does::Hangs; 3]).await;
    assert!(matches!(silent, Err(CallError::TooSlow { .. })));
    assert_eq!(stage.begin.elapsed(), DEADLINE);
    assert_eq!(stage.asked(), NAMES);
    assert_eq!(stage.nodes.passed_over().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_asks_its_home_alone_asks_nobody_else() {
    let mut stage = Stage::new();
    stage.nodes = stage.nodes.only_home();
    let does = [Does::Hangs, Does::Answers(MS), Does::Answers(MS)];
    let silent = stage.ask(Manner::READ, does).await;
    assert!(matches!(silent, Err(CallError::TooSlow { .. })));
    assert_eq!(stage.begin.elapsed(), DEADLINE);
    assert_eq!(stage.asked(), ["alpha"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_equally_near_take_turns() {
    let own = Stage::new().nodes;
    let connections = own.connections.clone();
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let nodes = Nodes::new(connections.clone(), None).unwrap();
        let order = nodes.order(Instant::now());
        first.insert(order[0].1.member().clone());
    }
    assert_eq!(first.len(), 3, "by chance once in 10^35");
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_of_the_nodes_is_there_in_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes");
    let mut stage = Stage::new();
    stage.nodes = stage.nodes.kept_in(path.clone());
    let does = [Does::Fails, Does::Answers(MS), Does::Answers(MS)];
    assert_ne!(stage.ask(Manner::READ, does).await, Ok("alpha".to_owned()));
    drop(stage);
    let mut next = Stage::new();
    next.nodes = next.nodes.kept_in(path);
    let well = [Does::Answers(MS); 3];
    let answered = next.ask(Manner::READ, well).await.unwrap();
    assert_ne!(answered, "alpha", "it is put back");
}
