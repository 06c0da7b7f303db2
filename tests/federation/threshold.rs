//! Five nodes, any three of which make a token: two may be stopped or lie, and checks go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use client::connection::CONNECT_DEADLINE;
use client::session::{Session, SessionParts};
use proto::identity::Person;
use proto::ids::SlotKey;
use proto::lpp::Slot;
use proto::signing::SecretKey;
use tests::binary::scratch_folder;
use tests::liar::serve_wrong_shares;
use tests::nodes::Nodes;
use tests::replicated::reaches;

/// The addresses of the nodes of these members lead nowhere.
fn session_without(nodes: &Nodes, stopped: &[&str], key: &SecretKey) -> Session {
    // Port 1 of the loopback: nothing listens there.
    let nowhere = |name: &&str| (name.parse().unwrap(), "127.0.0.1:1".parse().unwrap());
    let names: Vec<_> = nodes.keys.keys().collect();
    let home = names.iter().find(|name| !stopped.contains(&name.as_str()));
    Session::open(SessionParts {
        roster: nodes.federation.roster.clone(),
        secret: key.clone(),
        home: home.map(|name| (**name).clone()),
        addresses: stopped.iter().map(nowhere).collect(),
        observer: None,
    })
    .unwrap()
}

fn person() -> Person {
    Person {
        nir: "2951099126111 93".parse().unwrap(),
        birth_date: "19951012".parse().unwrap(),
        birth_rank: "1".parse().unwrap(),
    }
}

/// A till that every node admits: all of them have the grant that the first one took.
async fn till(nodes: &Nodes) -> SecretKey {
    let cnam = nodes.node("cnam");
    let till = nodes.federation.grant_tills(cnam, 1).await.remove(0);
    let granted = nodes.session("cnam", &till).home().checkpoint().await;
    let size = granted.unwrap().claimed().size.get();
    for member in nodes.keys.keys() {
        reaches(&nodes.session(member.as_str(), &till), size).await;
    }
    till
}

async fn slot_keys(session: &Session) -> Vec<SlotKey> {
    let keys = session.slot_keys(&person(), &[Slot::Frame]).await;
    keys.unwrap_or_else(|error| panic!("no token: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_any_two_of_five_stopped_or_lying_checks_go_on_and_liars_are_named() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 5, 3, &BTreeMap::new());
    nodes.start_all(&[]);
    let till = &till(&nodes).await;
    let want = slot_keys(&nodes.session("cnam", till)).await;

    let names: Vec<String> = nodes.keys.keys().map(ToString::to_string).collect();
    for (place, first) in names.iter().enumerate() {
        for second in &names[place + 1..] {
            let session = session_without(&nodes, &[first, second], till);
            assert_eq!(slot_keys(&session).await, want, "{first}, {second} stopped");
            let state = session.lookup(&want, &[]).await.unwrap();
            assert!(state.slots[0].is_none());
        }
    }
    let session = session_without(&nodes, &["alpha", "beta", "gamma"], till);
    let refused = session.slot_keys(&person(), &[Slot::Frame]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.starts_with("2 of 3 evaluations needed"),
        "{refused}"
    );

    nodes.kill("alpha");
    nodes.kill("beta");
    let session = nodes.session("cnam", till);
    for _ in 0..10 {
        assert_eq!(slot_keys(&session).await, want);
    }
    assert!(
        session.wrong_members().is_empty(),
        "a stopped node is no liar"
    );

    for name in ["alpha", "beta"] {
        let name = name.parse().unwrap();
        serve_wrong_shares(nodes.listens[&name], &nodes.keys[&name]).await;
    }
    let session = nodes.session("gamma", till);
    let mut named = BTreeSet::new();
    for _ in 0..40 {
        assert_eq!(slot_keys(&session).await, want);
        named.extend(session.wrong_members().iter().map(ToString::to_string));
    }
    // Who has been found to lie is asked last, so the second is met by a session of its own.
    for _ in 0..40 {
        let session = nodes.session("gamma", till);
        assert_eq!(slot_keys(&session).await, want);
        named.extend(session.wrong_members().iter().map(ToString::to_string));
    }
    assert_eq!(named, BTreeSet::from(["alpha".into(), "beta".into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_replaced_long_before_its_deadline() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 3, &BTreeMap::new());
    nodes.start_all(&[]);
    let till = till(&nodes).await;
    let want = slot_keys(&nodes.session("cnam", &till)).await;
    let mute = Mute::listen().await;
    let mut tokens = Vec::new();
    while tokens.len() < 12 || !tokens.iter().any(|(asked, _)| *asked) {
        let session = Session::open(SessionParts {
            roster: nodes.federation.roster.clone(),
            secret: till.clone(),
            home: Some("cnam".parse().unwrap()),
            addresses: BTreeMap::from([("alpha".parse().unwrap(), mute.address.clone())]),
            observer: None,
        });
        let (asked, started) = (mute.asked(), Instant::now());
        assert_eq!(slot_keys(&session.unwrap()).await, want);
        tokens.push((mute.asked() > asked, started.elapsed()));
    }
    println!("asked the mute node, and time to the token: {tokens:?}");
    // Only the quickest counts: the others may have waited for a busy machine.
    let quickest = tokens
        .iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, took)| took);
    let quickest = quickest.min().unwrap();
    assert!(*quickest < CONNECT_DEADLINE, "{quickest:?}");
}

/// It accepts connections and says nothing, as a node does whose disk hangs.
struct Mute {
    address: proto::roster::Address,
    accepted: Arc<AtomicUsize>,
}

impl Mute {
    async fn listen() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, accepted }
    }

    fn asked(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}
