//! A whole pair is quoted at a till from plans that two payers sealed, and claimed at that.

use std::collections::BTreeMap;

use client::issue::Issued;
use client::pos::{Item, Occasion, Pos, Quote};
use client::session::Session;
use client::system;
use client::view::View;
use proto::attestation::{Attestation, Coverage, CoverageTerms};
use proto::benefit::{
    Counting, Limits, NetworkRule, Percent, Period, Plan, PlanDraft, PlanKind, PlanRule,
    ProductClass, RenewalMonths, Rule, Terms, class_of,
};
use proto::ids::{Cents, Day, LeafIndex};
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine, GroupedCode};
use proto::refusal::Reason;
use proto::seal::{self, Salt};
use proto::token::ContractToken;
use tests::federation::accepted;
use tests::planted::Planted;
use tests::world::World;

/// A frame and a lens of class B with their base, a frame of class A with its price limit.
fn catalogue() -> Catalogue {
    let line = |code: &str, grouped: &str, base: Option<u64>, plv: Option<u64>| CatalogueLine {
        code: code.parse().unwrap(),
        grouped_code: grouped.parse().unwrap(),
        label: "Article".parse().unwrap(),
        base: base.map(Cents::new),
        plv: plv.map(Cents::new),
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    let lines = vec![
        line("2264861", "M03", Some(5), None),
        line("2200335", "VU1", Some(5), None),
        line("2222124", "M01", None, Some(3_000)),
    ];
    Catalogue::new(header, lines).unwrap()
}

fn plan(kind: PlanKind, rule: impl Fn(GroupedCode) -> PlanRule) -> Plan {
    let rules: BTreeMap<_, _> = GroupedCode::all().map(|code| (code, rule(code))).collect();
    let draft = PlanDraft {
        name: "TEST".parse().unwrap(),
        kind,
        valid: Period::ALWAYS,
        rules,
        limits: (kind == PlanKind::Responsible).then_some(Limits::RESPONSIBLE),
        renewal: RenewalMonths::PUBLISHED,
    };
    Plan::new(draft).unwrap()
}

/// 60 per cent of the base.
fn mandatory() -> Plan {
    let rate = Rule::mandatory(Percent::new(60).unwrap());
    plan(PlanKind::Mandatory, |_| PlanRule::everywhere(rate))
}

/// Class A in full; of class B 40 euros an item, in the network as much as the limits allow.
fn responsible() -> Plan {
    let cap = |euros: u64| Rule::Cap {
        most: Cents::new(euros * 100),
        counting: Counting::Alone,
    };
    plan(PlanKind::Responsible, |code| match class_of(code) {
        Some(ProductClass::A) => PlanRule::everywhere(Rule::Full { limit: None }),
        _ => PlanRule {
            rule: cap(40),
            network: Some(NetworkRule {
                name: "Optique-Plus".parse().unwrap(),
                rule: cap(1_000),
            }),
        },
    })
}

async fn cover(session: &Session, token: &ContractToken, terms: Terms, catalogue: LeafIndex) {
    let salt = Salt::from_bytes(system::random().unwrap());
    let code = terms.grouped_code;
    let bytes = CoverageTerms(terms).to_bytes();
    let payload = seal::seal(&[(&token.sealing_secret(), &bytes)], &salt).unwrap();
    let coverage = Coverage {
        coverage: token.coverage_key(code),
        catalogue,
        until: system::now().day().plus(200),
        commitment: *payload.commitment(&salt).as_hash(),
    };
    let attestation = Attestation::Coverage(coverage);
    let issued = session.issue(&attestation, Some((&payload, &salt))).await;
    accepted(&issued.unwrap());
}

/// Both payers cover the three products for this person.
async fn cover_all(world: &World, person: &Planted) {
    let federation = &world.federation;
    let session = |key| federation.session(&world.node, key);
    let cnam = session(&federation.cnam);
    let named = client::catalogue::publish(&cnam, &catalogue()).await;
    let named = accepted(&named.unwrap());
    let payers = [
        (cnam, mandatory()),
        (session(&federation.amcs[0]), responsible()),
    ];
    let rights = Period {
        from: system::now().day(),
        to: system::now().day().plus(100),
    };
    for ((payer, plan), contract) in payers.iter().zip(person.insured().contracts()) {
        let tokens = payer.contract_tokens(&[contract]).await.unwrap();
        for code in ["M03", "VU1", "M01"] {
            let terms = plan.terms(code.parse().unwrap(), rights).unwrap();
            cover(payer, &tokens[0], terms, named).await;
        }
    }
}

/// What each payer pays, and what is left to pay.
fn amounts(quote: &Quote) -> (Vec<u64>, u64) {
    let totals = quote.payer_totals();
    let paid = totals.iter().map(|total| total.amount.get()).collect();
    (paid, quote.rest().get())
}

fn reasons(quote: &Quote) -> Vec<Option<Reason>> {
    let refusals = quote.lines().iter().map(|line| line.refusal);
    refusals.map(|refusal| Some(refusal?.reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_quoted_from_sealed_plans_and_claimed_at_that() {
    let world = World::new(1).await;
    let person = &Planted::people(1)[0];
    cover_all(&world, person).await;
    let session = world.sessions().remove(0);
    let pos = Pos::new(
        session,
        catalogue(),
        View::new(world.federation.roster.clone()),
    );
    let insured = person.insured();
    let pair = [
        "2264861=140.00",
        "2200335/right=160.00",
        "2200335/left=200.00",
    ];
    let pair: Vec<Item> = pair.iter().map(|item| item.parse().unwrap()).collect();

    // Outside the network: 3 * 40.00, and 3 * 0.03 of the mandatory insurer. Price 500.00.
    let outside = pos.check(&insured, &pair).await.unwrap();
    assert_eq!(amounts(&outside), (vec![9, 12_000], 37_991));
    let last = system::now().day().plus(100);
    assert!(outside.valid_until().is_some_and(|until| until <= last));

    // Inside: 100.00 of the frame and 420.00 in all, both payers together.
    let occasion = Occasion {
        networks: vec!["Optique-Plus".parse().unwrap()],
        prescription: Some(system::now().day()),
        ..Occasion::default()
    };
    let inside = pos.check_sale(&insured, &pair, &occasion).await.unwrap();
    assert_eq!(amounts(&inside), (vec![9, 41_991], 8_000));
    assert_eq!(reasons(&inside), [None; 3]);

    // A prescription of 1970 counts for nothing.
    let expired = Occasion {
        prescription: Some(Day::new(0)),
        ..occasion.clone()
    };
    let expired = pos.check_sale(&insured, &pair, &expired).await.unwrap();
    assert_eq!(reasons(&expired), [Some(Reason::PrescriptionExpired); 3]);
    assert_eq!(expired.rest(), Cents::new(50_000));

    // Class A within its price limit leaves nothing to pay, above it everything.
    let frame = |price: &str| [format!("2222124={price}").parse().unwrap()];
    let class_a = pos.check(&insured, &frame("30.00")).await.unwrap();
    assert_eq!(amounts(&class_a), (vec![0, 3_000], 0));
    let dear = pos.check(&insured, &frame("30.01")).await.unwrap();
    assert_eq!(reasons(&dear), [Some(Reason::AbovePriceLimit)]);

    let claimed = pos.claim(&inside).await.unwrap();
    assert!(matches!(claimed, Issued::Accepted(_)), "{claimed:?}");
    let again = pos.check_sale(&insured, &pair, &occasion).await.unwrap();
    assert_eq!(reasons(&again), [Some(Reason::SlotReserved); 3]);
}
