//! Payers' own nodes quote from their contracts and plans: over a real federation, with a node
//! killed, a plan changed, an unknown contract and keys that may not ask.

use std::fs;
use std::time::{Duration, Instant};

use client::connection::CallError;
use client::incident;
use client::issue::{Issued, Refused};
use client::pos::QuoteSource::{Ledger, Live};
use client::pos::{Item, Occasion, Pos, Quote, QuoteSource};
use client::view::View;
use proto::attestation::{Grant, LookOutcome};
use proto::ids::{LeafIndex, UnixMillis};
use proto::refusal::Reason;
use proto::signing::SecretKey;
use proto::wire::quote::QuoteAsked;
use tests::federation::{accepted, fresh_key, grant};
use tests::payers::{LISTED_SHOP, PAIR, Payers, RESPONSIBLE, catalogue};

/// As long as a loaded machine may take for what takes no time.
const PATIENCE: Duration = Duration::from_secs(60);

fn pos(payers: &Payers) -> Pos {
    pos_of(payers, &payers.tills[0])
}

fn pos_of(payers: &Payers, till: &SecretKey) -> Pos {
    let session = payers.nodes.session("cnam", till);
    let view = View::new(payers.nodes.federation.roster.clone());
    Pos::new(session, catalogue(), view).waiting_for_payers(PATIENCE)
}

async fn check(payers: &Payers, person: usize) -> Quote {
    let insured = payers.people[person].insured();
    pos(payers).check(&insured, &pair()).await.unwrap()
}

/// What came of each look of a till at one member's node, and at how many coverages.
async fn looks(payers: &Payers, till: usize, node: &str) -> Vec<(LookOutcome, usize)> {
    let session = payers
        .nodes
        .session("cnam", &payers.nodes.federation.opticians);
    let till = payers.tills[till].public();
    let (key, since) = (&payers.nodes.incident, UnixMillis::new(0));
    let mut progress = |_, _| {};
    let list = incident::list(&session, key, &till, since, &mut progress);
    let node = payers.nodes.keys[&node.parse().unwrap()].public();
    let touched = list.await.unwrap().touched.into_iter();
    let at = touched.filter(|look| look.node == node && look.slots.is_empty());
    at.map(|look| (look.outcome, look.coverages.len()))
        .collect()
}

fn pair() -> Vec<Item> {
    PAIR.iter().map(|item| item.parse().unwrap()).collect()
}

fn amounts(quote: &Quote) -> (Vec<u64>, u64) {
    let totals = quote.payer_totals();
    let paid = totals.iter().map(|total| total.amount.get()).collect();
    (paid, quote.rest().get())
}

fn sources(quote: &Quote) -> Vec<QuoteSource> {
    quote
        .payer_totals()
        .iter()
        .map(|total| total.source)
        .collect()
}

/// The coverages that a quote rests on.
fn coverages(quote: &Quote) -> Vec<LeafIndex> {
    let payments = quote.lines().iter().flat_map(|line| line.payments());
    let mut coverages: Vec<_> = payments.map(|payment| payment.coverage).collect();
    coverages.sort_unstable();
    coverages.dedup();
    coverages
}

#[tokio::test(flavor = "multi_thread")]
async fn payers_quote_from_their_plans_and_the_ledger_serves_while_one_is_down() {
    let mut payers = Payers::new(3, 2).await;
    // 60 % of a base of 0.05, and 40.00 an item; a price of 500.00.
    let first = check(&payers, 0).await;
    assert_eq!(amounts(&first), (vec![9, 12_000], 37_991));
    assert_eq!(sources(&first), [Live, Live]);
    assert_eq!(
        coverages(&first).len(),
        4,
        "two grouped codes of two payers"
    );
    let again = check(&payers, 0).await;
    assert_eq!(
        (amounts(&again), coverages(&again)),
        (amounts(&first), coverages(&first))
    );
    assert_eq!(
        looks(&payers, 0, "alpha").await,
        [(LookOutcome::Answered, 2); 2]
    );

    the_list_of_the_network_decides(&payers).await;

    payers.nodes.kill("alpha");
    let down = check(&payers, 0).await;
    assert_eq!(sources(&down), [Live, Ledger]);
    assert_eq!(
        (amounts(&down), coverages(&down)),
        (amounts(&first), coverages(&first))
    );
    command_says_which_it_was(&payers);

    // A plan that changes while its node serves: another coverage, which supersedes the first.
    payers.start("alpha");
    let changed = RESPONSIBLE.replace("\"40.00\"", "\"45.00\"");
    fs::write(payers.plans("alpha"), changed).unwrap();
    let began = Instant::now();
    let second = loop {
        let quote = check(&payers, 0).await;
        assert!(began.elapsed() < PATIENCE, "{:?}", amounts(&quote));
        if amounts(&quote).0[1] != 12_000 {
            break quote;
        }
    };
    assert_eq!(amounts(&second), (vec![9, 13_500], 36_491));
    assert_eq!(sources(&second), [Live, Live]);
    let stale = pos(&payers).claim(&first).await.unwrap();
    let Issued::Refused(Refused { reason, .. }) = stale else {
        panic!("a superseded coverage was claimed on");
    };
    assert_eq!(reason, Reason::CoverageSuperseded);
    accepted(&pos(&payers).claim(&second).await.unwrap());

    // Files that cannot be used change nothing.
    fs::write(payers.plans("alpha"), "[[plan]]\n").unwrap();
    while payers
        .nodes
        .node("alpha")
        .metric("vitrail_contracts_refused_total")
        == Some(0.0)
    {
        assert!(began.elapsed() < 2 * PATIENCE, "the file was not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = check(&payers, 1).await;
    assert_eq!(
        (amounts(&other), sources(&other)),
        (amounts(&second), vec![Live, Live])
    );
}

/// A listed shop is paid as one of the network without saying so; another one that says so is not.
async fn the_list_of_the_network_decides(payers: &Payers) {
    let occasion = Occasion {
        networks: vec!["RESEAU-1".parse().unwrap()],
        ..Occasion::default()
    };
    let insured = payers.people[0].insured();
    let outside = pos(payers).check_sale(&insured, &pair(), &occasion).await;
    let outside = outside.unwrap();
    assert_eq!(amounts(&outside).0, [9, 12_000]);
    assert_eq!(outside.payer_totals()[1].not_in, occasion.networks);
    let till = fresh_key();
    let listed = Grant {
        finess: LISTED_SHOP.parse().unwrap(),
        ..grant(&till)
    };
    let opticians = &payers.nodes.federation.opticians;
    let opticians = payers.nodes.session("cnam", opticians);
    let granted = client::federation::grant(&opticians, listed).await;
    let granted = accepted(&granted.unwrap());
    payers.nodes.all_have(granted, &payers.tills[0]).await;
    let inside = pos_of(payers, &till).check(&insured, &pair()).await;
    let inside = inside.unwrap();
    assert_eq!(amounts(&inside).0, [9, 14_000]);
    // One coverage for both shops: neither supersedes the other's.
    assert_eq!(coverages(&inside), coverages(&outside));
}

/// `vitrail check`, while the complementary insurer's node is down.
fn command_says_which_it_was(payers: &Payers) {
    let check = payers.check_command(0, 0).output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(answer["payers"][1]["source"], "ledger");
    assert_eq!(answer["payers"][1]["amount_cents"], 12_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_nothing_and_every_till_that_asks_is_on_record() {
    let payers = Payers::new(3, 2).await;
    // Somebody without a contract: both payers say so, and have it on record.
    let unknown = check(&payers, 2).await;
    assert_eq!(sources(&unknown), [Live, Live]);
    for line in unknown.lines() {
        assert_eq!(
            line.refusal.map(|refusal| refusal.reason),
            Some(Reason::ContractEnded)
        );
    }
    for node in ["cnam", "alpha"] {
        let refused = (LookOutcome::Refused(Reason::ContractEnded), 0);
        assert_eq!(looks(&payers, 0, node).await, [refused], "{node}");
    }

    let session = payers.nodes.session("cnam", &payers.tills[1]);
    let contracts = payers.people[0].insured().contracts();
    let tokens = session.contract_tokens(&contracts[1..]).await.unwrap();
    let asked = QuoteAsked {
        contract: tokens[0].contract_key(),
        grouped_codes: vec!["M03".parse().unwrap(), "OPT".parse().unwrap()],
    };
    let opticians = payers
        .nodes
        .session("cnam", &payers.nodes.federation.opticians);
    let revoked = client::federation::revoke(&opticians, payers.tills[1].public()).await;
    let revoked = accepted(&revoked.unwrap());
    payers.nodes.all_have(revoked, &payers.tills[0]).await;
    let alpha = |key: &SecretKey| {
        let (asked, session) = (asked.clone(), payers.nodes.session("alpha", key));
        async move { session.home().quote(&asked).await.unwrap_err() }
    };
    let reason = |error: CallError| match error {
        CallError::NotAdmitted { reason, .. } => reason,
        error => panic!("{error}"),
    };
    let revoked = alpha(&payers.tills[1]).await;
    assert_eq!(reason(revoked), Some(Reason::GrantRevoked));
    let looks = looks(&payers, 1, "alpha").await;
    assert_eq!(looks, [(LookOutcome::Refused(Reason::GrantRevoked), 2)]);
    let member = alpha(&payers.nodes.federation.cnam).await;
    assert_eq!(reason(member), Some(Reason::KindNotAllowed));
    alpha(&fresh_key()).await;
    // The coverage was never made.
    let key = tokens[0].coverage_key("M03".parse().unwrap());
    let found = opticians.lookup(&[], &[key]).await.unwrap();
    assert!(found.coverages[0].is_none());
}
