//! Nodes of members that do not vote: they have the same ledger within moments, they admit nobody
//! whom it does not admit, and they stop when they cannot know.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use client::connection::CallError;
use client::incident;
use client::session::Session;
use client::system;
use proto::evidence::{Evidence, Offence};
use proto::ids::{LeafIndex, UnixMillis};
use proto::oprf;
use proto::refusal::Reason;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use proto::wire::v1::TokenKind;
use tests::binary::scratch_folder;
use tests::federation::{accepted, cnam};
use tests::line::Line;
use tests::nodes::Nodes;
use tests::process::{NodeProcess, copy_folder};
use tests::workload::{Ground, Prepared, fresh_slots};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The members whose nodes follow.
const FOLLOWING: [&str; 4] = ["alpha", "beta", "opticians", "gamma"];
/// How soon a revocation must count everywhere.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The text of a node's checkpoint without its signatures: origin, size and both roots.
fn roots(node: &NodeProcess) -> String {
    let page = String::from_utf8(node.page("/checkpoint").unwrap()).unwrap();
    page.split("\n\n").next().unwrap().to_owned()
}

/// Waits until a node has what another has.
async fn catches_up(node: &NodeProcess, with: &NodeProcess) {
    let until = Instant::now() + PATIENCE;
    while roots(node) != roots(with) {
        assert!(Instant::now() < until, "{} != {}", roots(node), roots(with));
        sleep(Duration::from_millis(20)).await;
    }
}

async fn append(session: &Session, claim: &Prepared) -> Result<AppendAnswer, CallError> {
    let payload = Some((&claim.payload, &claim.salt));
    session.home().append(&claim.entry, payload).await
}

async fn claimed(session: &Session, claim: &Prepared) -> LeafIndex {
    match append(session, claim).await.unwrap() {
        AppendAnswer::Accepted(receipt) => {
            let verified = receipt.verify(session.roster(), &mut |_| {});
            verified.unwrap().index
        }
        AppendAnswer::Refused { reason, .. } => panic!("refused: {}", reason.code()),
    }
}

/// Whether an evaluation for this key is answered by the session's node; if not, why.
async fn admitted(session: &Session) -> Result<(), CallError> {
    let (_, blinded) = oprf::blind(b"nobody", &system::random().unwrap()).unwrap();
    let id = system::request_id().unwrap();
    let (kind, blinded) = (TokenKind::Contract, [blinded]);
    let evaluated = session.home().evaluate_at_most(0, id, kind, &blinded).await;
    evaluated.map(|_| ())
}

async fn five() -> (tempfile::TempDir, Nodes, Ground, Vec<SecretKey>) {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 5, 3, &BTreeMap::new());
    nodes.start_all(&[]);
    let voting = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(voting, 4).await;
    let ground = Ground::lay(&nodes.federation, voting).await;
    (folder, nodes, ground, tills)
}

/// What was looked at on one node is on the incident list that another gives.
async fn looks_are_listed_elsewhere(nodes: &Nodes, till: &SecretKey) {
    let looked = fresh_slots(2);
    let gamma = nodes.session("gamma", till);
    gamma.lookup(&looked, &[]).await.unwrap();
    let beta = nodes.session("beta", &nodes.federation.opticians);
    catches_up(nodes.node("beta"), nodes.node("cnam")).await;
    let (key, since) = (&nodes.incident, UnixMillis::new(0));
    let listed = incident::list(&beta, key, &till.public(), since, &mut |_, _| {}).await;
    let touched = listed.unwrap().touched;
    assert!(touched.iter().any(|touched| touched.slots == looked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_following_node_has_the_same_ledger_and_passes_entries_on() {
    let (folder, mut nodes, ground, tills) = five().await;
    for name in FOLLOWING {
        catches_up(nodes.node(name), nodes.node("cnam")).await;
    }
    // Who writes at a node reads there what he wrote, with its receipt and the terms beside it.
    for (name, till) in FOLLOWING.iter().zip(&tills) {
        let session = nodes.session(name, till);
        let slots = fresh_slots(1);
        let index = claimed(&session, &ground.claim(till, &slots)).await;
        let found = session.lookup(&slots, &ground.coverage_keys).await.unwrap();
        assert_eq!(found.slots[0].as_ref().unwrap().state.by, index, "{name}");
        assert!(
            found
                .coverages
                .iter()
                .flatten()
                .all(|it| it.payload.is_some())
        );
        assert_eq!(
            session.verified_entry(index).await.unwrap().leaf_hash(),
            nodes
                .session("cnam", till)
                .verified_entry(index)
                .await
                .unwrap()
                .leaf_hash()
        );
        let taken = append(&nodes.session("beta", till), &ground.claim(till, &slots)).await;
        let Ok(AppendAnswer::Refused { reason, evidence }) = taken else {
            panic!("{taken:?}");
        };
        assert_eq!(reason, Reason::SlotReserved);
        evidence
            .unwrap()
            .verify(session.roster(), &mut |_| {})
            .unwrap();
    }

    looks_are_listed_elsewhere(&nodes, &tills[0]).await;

    goes_on_and_starts_anew(folder.path(), &mut nodes, &ground, &tills[0]).await;
    let voting = nodes.running.get_mut(&cnam()).unwrap();
    assert!(voting.terminate().success());
}

/// A node that is killed goes on where it was; one whose ledger is gone starts from nothing.
async fn goes_on_and_starts_anew(
    folder: &Path,
    nodes: &mut Nodes,
    ground: &Ground,
    till: &SecretKey,
) {
    nodes.kill("alpha");
    nodes.kill("gamma");
    fs::remove_dir_all(folder.join("gamma").join("data")).unwrap();
    let session = nodes.session("beta", till);
    for _ in 0..40 {
        claimed(&session, &ground.claim(till, &fresh_slots(2))).await;
    }
    for name in ["alpha", "gamma"] {
        nodes.start(&name.parse().unwrap(), &[]);
        catches_up(nodes.node(name), nodes.node("cnam")).await;
    }
    let till = nodes.session("gamma", till);
    let found = till.lookup(&[], &ground.coverage_keys).await.unwrap();
    assert!(
        found
            .coverages
            .iter()
            .flatten()
            .all(|it| it.payload.is_some())
    );
    assert!(nodes.node("gamma").page("/readyz").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_till_is_refused_everywhere_within_5_s_and_its_claims_after_it() {
    const CLAIMS: usize = 1_000;
    let (_folder, nodes, ground, tills) = five().await;
    let till = &tills[0];
    let mut names = FOLLOWING.to_vec();
    names.push("cnam");
    let sessions: Vec<_> = names.iter().map(|name| nodes.session(name, till)).collect();
    for session in &sessions {
        admitted(session).await.unwrap();
    }
    let signed: Vec<_> = (0..CLAIMS)
        .map(|_| ground.claim(till, &fresh_slots(1)))
        .collect();
    let opticians = nodes.session("cnam", &nodes.federation.opticians);
    let (mut in_flight, mut revoking) = (JoinSet::new(), None);
    for (place, claim) in signed.into_iter().enumerate() {
        if place == CLAIMS / 2 {
            let (opticians, key) = (opticians.clone(), till.public());
            let revoke = async move { client::federation::revoke(&opticians, key).await };
            revoking = Some(tokio::spawn(revoke));
        }
        let session = sessions[place % sessions.len()].clone();
        in_flight.spawn(async move { append(&session, &claim).await });
    }
    let revoked = revoking.unwrap().await.unwrap();
    let revoked_at = accepted(&revoked.unwrap());
    let since = Instant::now();

    let mut slowest = Duration::ZERO;
    for session in &sessions {
        loop {
            let answered = admitted(session).await;
            if let Err(CallError::NotAdmitted { reason, .. }) = &answered {
                assert_eq!(*reason, Some(Reason::GrantRevoked));
                break;
            }
            let member = session.home().member();
            assert!(since.elapsed() < REVOKED_WITHIN, "{member}: {answered:?}");
            sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(since.elapsed());
    }
    println!("refused at every node {slowest:?} after the revocation was acknowledged");

    let (mut before, mut refused) = (0, 0);
    while let Some(answered) = in_flight.join_next().await {
        match answered.unwrap() {
            Ok(AppendAnswer::Accepted(receipt)) => {
                assert!(
                    receipt.proved.index < revoked_at,
                    "accepted after its place"
                );
                before += 1;
            }
            Ok(AppendAnswer::Refused { reason, .. }) => {
                assert_eq!(reason, Reason::GrantRevoked);
                refused += 1;
            }
            Err(CallError::NotAdmitted { reason, .. }) => {
                assert_eq!(reason, Some(Reason::GrantRevoked));
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("{before} claims stand before the revocation, {refused} were refused");
    assert_eq!(before + refused, CLAIMS);
    assert!(refused > 0, "the revocation came after every claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_refuses_tills_until_it_hears_again() {
    // Longer than the 20 s after which an unchanged ledger is cosigned again.
    const FRESH_FOR_S: u64 = 25;
    let folder = scratch_folder();
    let (line, listener) = Line::new().await;
    let in_front = BTreeMap::from([(cnam(), line.address())]);
    let mut nodes = Nodes::found(folder.path(), 4, 2, &in_front);
    line.connect(listener, nodes.listens[&cnam()]);
    nodes.start_all(&["--fresh-for-s", &FRESH_FOR_S.to_string()]);
    let tills = nodes.federation.grant_tills(nodes.node("cnam"), 1).await;
    let alpha = nodes.session("alpha", &tills[0]);
    catches_up(nodes.node("alpha"), nodes.node("cnam")).await;
    admitted(&alpha).await.unwrap();
    assert!(nodes.node("alpha").page("/readyz").is_ok());

    line.cut();
    let since = Instant::now();
    sleep(Duration::from_secs(2)).await;
    admitted(&alpha).await.expect("not yet");
    while admitted(&alpha).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(FRESH_FOR_S + 3));
        sleep(Duration::from_millis(200)).await;
    }
    println!("tills are refused {:?} after the cut", since.elapsed());
    assert!(nodes.node("alpha").page("/readyz").is_err());
    assert!(nodes.node("alpha").metric("vitrail_cut_off_total").unwrap() > 0.0);
    let member = nodes.session("alpha", &nodes.federation.amcs[1]);
    admitted(&member)
        .await
        .expect("a member is known by the roster");

    line.mend();
    let since = Instant::now();
    while admitted(&alpha).await.is_err() {
        assert!(since.elapsed() < PATIENCE);
        sleep(Duration::from_millis(200)).await;
    }
    println!(
        "and admitted again {:?} after it was mended",
        since.elapsed()
    );
    assert!(nodes.node("alpha").page("/readyz").is_ok());
}

/// What a following member has of this kind in its data folder; nothing for as long as it has none.
fn evidence_of(folder: &Path) -> Option<String> {
    let file = fs::read_dir(folder.join("data/evidence")).ok()?.next()?;
    fs::read_to_string(file.unwrap().path()).ok()
}

/// A voting node that is put back to an old copy has signed more than it knows of. It gets back
/// what it had lost from those that follow it. If it had vouched for the old state again before,
/// it has signed the evidence against itself, and they stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_put_back_is_brought_up_or_its_new_signature_is_evidence() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
    nodes.start_all(&[]);
    let tills = nodes.federation.grant_tills(nodes.node("cnam"), 1).await;
    nodes.kill("cnam");
    let (ledger, copy) = (folder.path().join("node"), folder.path().join("copy"));
    copy_folder(&ledger, &copy);
    nodes.start(&cnam(), &[]);
    nodes.federation.grant_tills(nodes.node("cnam"), 1).await;
    let alpha = nodes.session("alpha", &tills[0]);
    catches_up(nodes.node("alpha"), nodes.node("cnam")).await;
    admitted(&alpha).await.unwrap();

    nodes.kill("cnam");
    fs::remove_dir_all(&ledger).unwrap();
    copy_folder(&copy, &ledger);
    nodes.start(&cnam(), &[]);
    let until = Instant::now() + PATIENCE;
    let text = loop {
        assert!(Instant::now() < until, "neither brought up nor accused");
        if let Some(text) = evidence_of(&folder.path().join("alpha")) {
            break text;
        }
        if roots(nodes.node("cnam")) == roots(nodes.node("alpha")) {
            admitted(&alpha).await.unwrap();
            return;
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert!(
        text.starts_with("vitrail evidence v2\nkind rollback\n\n"),
        "{text}"
    );
    assert_eq!(text.matches("\u{2014} cnam ").count(), 2, "{text}");
    // Anybody who has the roster is convinced, with nobody left to ask.
    let roster = &nodes.federation.roster;
    let verdict = Evidence::verify_text(&text, roster, &mut |_| {}).unwrap();
    assert!(matches!(verdict.offence, Offence::Rollback { .. }));
    assert_eq!(verdict.members, [cnam()]);
    admitted(&alpha).await.unwrap_err();
    assert!(nodes.node("alpha").page("/readyz").is_err());

    nodes.kill("alpha");
    let refused = nodes.try_start(&"alpha".parse().unwrap(), &[]);
    assert!(refused.unwrap_err().contains("evidence"));
}
