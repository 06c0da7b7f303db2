//! The life of claims over a real node: delivered, rejected, corrected, paid by both payers,
//! returned, and refused to another insurer's till with a proof that anybody can verify.

use std::path::Path;

use client::auditor::{Auditor, HttpSource};
use client::coverage_file::CoverageRow;
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{
    Cause, CorrectionError, Corrections, DeliverError, HandingOver, Item, Occasion, Pos,
};
use client::session::Session;
use client::settlement::{self, Answer};
use client::system;
use client::view::View;
use proto::attestation::lifecycle::PaymentStage;
use proto::attestation::{Attestation, Handover, SettlementOutcome};
use proto::entry::Kind;
use proto::identity::Contract;
use proto::ids::{Cents, LeafIndex};
use proto::lpp::Slot;
use proto::receipt::ReceiptFile;
use proto::refusal::Reason;
use proto::renewal::EarlyRenewal;
use proto::signing::SecretKey;
use serde_json::{Value, json};
use tests::binary::{scratch_folder, vitrail};
use tests::federation::{AMC_PAYERS, Federation, accepted};
use tests::planted::{Planted, catalogue};
use tests::process::NodeProcess;

const PAID: SettlementOutcome = SettlementOutcome::Paid;
const TOO_MUCH: SettlementOutcome = SettlementOutcome::Rejected(Reason::AmountAboveCoverage);
const RECOVERED: SettlementOutcome = SettlementOutcome::Recovered(Reason::InvoiceUnfit);

/// Two shops and two payers of a few people who all have a frame covered by both.
struct Town {
    federation: Federation,
    node: NodeProcess,
    shops: Vec<Pos>,
    people: Vec<Planted>,
    /// The catalogue in the ledger.
    named: LeafIndex,
}

impl Town {
    async fn new(folder: &Path) -> Self {
        let federation = Federation::found(folder);
        let node = federation.start(&[]);
        let tills = federation.grant_tills(&node, 2).await;
        let people = Planted::people(3);
        let cnam = federation.session(&node, &federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue())
            .await
            .unwrap();
        let named = accepted(&named);
        let pos = |till: &SecretKey| {
            let view = View::new(federation.roster.clone());
            Pos::new(federation.session(&node, till), catalogue(), view)
        };
        let shops = tills.iter().map(pos).collect();
        let town = Self {
            federation,
            node,
            shops,
            people,
            named,
        };
        for (person, [mandatory, complementary]) in
            [[24, 24], [24, 24], [12, 18]].into_iter().enumerate()
        {
            town.cover(person, true, mandatory).await;
            town.cover(person, false, complementary).await;
        }
        town
    }

    /// A payer covers a person's frame, the next one after so many months.
    async fn cover(&self, person: usize, mandatory: bool, renewal_months: u16) {
        let key = match mandatory {
            true => &self.federation.cnam,
            false => &self.federation.amcs[0],
        };
        let session = self.federation.session(&self.node, key);
        let insurer = Insurer::open(session, self.named).await.unwrap();
        let row = CoverageRow {
            renewal_months,
            ..self.people[person].coverage(mandatory)
        };
        for covered in insurer.cover(&[row], &mut |_| {}).await.unwrap() {
            accepted(&covered.outcome.unwrap());
        }
    }

    async fn claim(&self, shop: usize, person: usize) -> Issued {
        let items: [Item; 1] = ["2223342=120.00".parse().unwrap()];
        let insured = self.people[person].insured();
        let quote = self.shops[shop].check(&insured, &items).await.unwrap();
        self.shops[shop].claim(&quote).await.unwrap()
    }

    async fn deliver(&self, person: usize, claim: LeafIndex, cause: Cause) -> Issued {
        let what = HandingOver {
            cause,
            ..HandingOver::default()
        };
        let insured = self.people[person].insured();
        self.shops[0].deliver(&insured, claim, &what).await.unwrap()
    }

    /// The first person's invoice is stated again, at this price and asking the complementary insurer
    /// for this much.
    async fn correct(
        &self,
        claim: LeafIndex,
        invoice: LeafIndex,
        price: &str,
        amount: &str,
    ) -> Result<Issued, DeliverError> {
        let payer = AMC_PAYERS[0];
        let what = HandingOver {
            cause: Cause::Correction(invoice),
            corrections: Corrections {
                prices: vec![format!("M01={price}").parse().unwrap()],
                amounts: vec![format!("{payer}:M01={amount}").parse().unwrap()],
            },
            ..HandingOver::default()
        };
        let insured = self.people[0].insured();
        self.shops[0].deliver(&insured, claim, &what).await
    }

    /// The mandatory insurer's session and contract of a person, then the complementary one's.
    fn payers(&self, person: usize) -> Vec<(Session, Contract)> {
        let keys = [&self.federation.cnam, &self.federation.amcs[0]];
        let sessions = keys.map(|key| self.federation.session(&self.node, key));
        let contracts = self.people[person].insured().contracts();
        sessions.into_iter().zip(contracts).collect()
    }

    async fn settle(
        &self,
        person: usize,
        payer: usize,
        delivery: LeafIndex,
        outcome: SettlementOutcome,
    ) -> Issued {
        let (session, contract) = &self.payers(person)[payer];
        let answer = Answer {
            outcome,
            amount: None,
            reference: "VIR 1".to_owned(),
        };
        settlement::settle(session, contract, delivery, &answer)
            .await
            .unwrap()
    }

    /// Where both payers stand to an invoice, as the till reads it.
    async fn stages(&self, delivery: LeafIndex) -> Vec<PaymentStage> {
        let opened = self.shops[0].session().open_entry(delivery).await.unwrap();
        opened.payers.iter().map(|payer| payer.stage).collect()
    }
}

fn reason(issued: &Issued) -> Reason {
    match issued {
        Issued::Refused(refused) => refused.reason,
        Issued::Accepted(receipt) => panic!("appended at {}", receipt.proved.index),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_live_as_opticians_and_insurers_live_them() {
    let folder = scratch_folder();
    let town = Town::new(folder.path()).await;
    paid_after_a_correction(&town).await;
    refused_to_another_shop_with_a_proof(&town).await;
    returned_and_claimed_again(&town).await;
    let before = reported(&town, folder.path());
    held_as_long_as_the_claims_coverages_say(&town).await;
    the_report_says_what_was_done(&before, &reported(&town, folder.path()));
    let source = format!("http://{}", town.node.addresses.http);
    let auditor = Auditor::new(
        HttpSource::new(&source).unwrap(),
        town.federation.roster.clone(),
    );
    let audit = auditor.audit(&mut |_| {}).await.unwrap();
    assert_eq!(audit.counts[&Kind::Delivery], 5);
    assert_eq!(audit.counts[&Kind::Settlement], 5);
}

/// What `vitrail audit --report` writes; the second time it goes on from the first.
fn reported(town: &Town, folder: &Path) -> Value {
    let mut command = vitrail();
    command.args(["audit", "--report", "report", "--http"]);
    command.arg(format!("http://{}", town.node.addresses.http));
    let roster = town.federation.node_dir().join("roster.txt");
    let command = command.arg("--roster").arg(roster).current_dir(folder);
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    let report = std::fs::read(folder.join("report/report.json")).unwrap();
    serde_json::from_slice(&report).unwrap()
}

fn the_report_says_what_was_done(before: &Value, report: &Value) {
    let events = json!([
        { "event": "claimed", "reason": null, "count": 4 },
        { "event": "delivered", "reason": null, "count": 3 },
        { "event": "corrected", "reason": null, "count": 1 },
        { "event": "replaced", "reason": null, "count": 1 },
        { "event": "returned", "reason": null, "count": 1 },
        { "event": "paid", "reason": null, "count": 3 },
        { "event": "rejected", "reason": "AMOUNT_ABOVE_COVERAGE", "count": 1 },
        { "event": "recovered", "reason": "INVOICE_UNFIT", "count": 1 },
    ]);
    assert_eq!(report["events"], events);
    assert_eq!(report["kinds"]["delivery"], 5);
    assert_eq!(report["kinds"]["settlement"], 5);
    let runs = report["runs"].as_array().unwrap();
    let [first, second] = &runs[..] else {
        panic!("{runs:?}");
    };
    assert_eq!(first, &before["runs"][0]);
    assert_eq!(second["from"], before["verified"]);
    assert_eq!(second["to"], report["verified"]);
    assert!(report["verified"].as_u64() > before["verified"].as_u64());
    let by_kind = report["kinds"].as_object().unwrap().values();
    let total: u64 = by_kind.filter_map(Value::as_u64).sum();
    for check in report["checks"].as_array().unwrap() {
        let each =
            ["form", "signature", "rule", "leaf"].contains(&check["check"].as_str().unwrap());
        assert_eq!(check["holds"], true);
        assert!(!each || check["count"] == total, "{check}");
    }
}

/// The first person: one payer pays at once, the other after a correction; both are paid once.
async fn paid_after_a_correction(town: &Town) {
    let claim = accepted(&town.claim(0, 0).await);
    let invoice = accepted(&town.deliver(0, claim, Cause::First).await);
    assert_eq!(town.stages(invoice).await, [PaymentStage::Due; 2]);
    accepted(&town.settle(0, 0, invoice, PAID).await);
    accepted(&town.settle(0, 1, invoice, TOO_MUCH).await);
    let again = town.settle(0, 0, invoice, PAID).await;
    assert_eq!(reason(&again), Reason::AlreadySettled);
    let correctable = PaymentStage::Rejected { correctable: true };
    assert_eq!(
        town.stages(invoice).await,
        [PaymentStage::Paid, correctable]
    );
    let above = town.correct(claim, invoice, "110.00", "30.01").await;
    let line = "M01".parse().unwrap();
    assert!(matches!(
        above,
        Err(DeliverError::Correction(CorrectionError::AboveClaim { line: of })) if of == line
    ));
    let corrected = town.correct(claim, invoice, "110.00", "25.00").await;
    let corrected = accepted(&corrected.unwrap());
    let paid = accepted(&town.settle(0, 1, corrected, PAID).await);
    assert_eq!(town.stages(corrected).await, [PaymentStage::Paid; 2]);
    // The till reads what was paid: what was asked for at last.
    let (session, contract) = &town.payers(0)[1];
    let token = session
        .contract_tokens(std::slice::from_ref(contract))
        .await
        .unwrap();
    let opened = town.shops[0].session().open_entry(paid).await.unwrap();
    let terms = opened.settlement_terms(&token[0].sealing_secret()).unwrap();
    assert_eq!(terms.amount, Cents::new(2_500));
    // A shop that has nothing to do with it may not open it.
    assert!(town.shops[1].session().open_entry(claim).await.is_err());
    let what = HandingOver {
        slots: vec![Slot::ContactLenses],
        ..HandingOver::default()
    };
    let insured = town.people[0].insured();
    assert!(town.shops[0].deliver(&insured, claim, &what).await.is_err());
}

/// The first person again, at another shop, inside the 24 months.
async fn refused_to_another_shop_with_a_proof(town: &Town) {
    let refused = town.claim(1, 0).await;
    assert_eq!(reason(&refused), Reason::SlotHeld);
    let file = refused.receipt_file().expect("a refusal has its proof");
    let text = file.to_text();
    let roster = &town.federation.roster;
    ReceiptFile::verify(&text, roster, &mut |_| {}).expect("the proof verifies offline");
    let insured = town.people[0].insured();
    let items: [Item; 1] = ["2223342=120.00".parse().unwrap()];
    let quote = town.shops[1].check(&insured, &items).await.unwrap();
    assert!(!quote.is_covered());
    // A medical situation never opens a frame: the ledger is told nothing and says that it is held.
    for (early_renewal, expected) in [
        (EarlyRenewal::Medical, Reason::SlotHeld),
        (EarlyRenewal::SightChange, Reason::EarlyRenewalTooSoon),
    ] {
        let occasion = Occasion {
            early_renewal,
            ..Occasion::default()
        };
        let sale = town.shops[1].check_sale(&insured, &items, &occasion).await;
        let refused = town.shops[1].claim(&sale.unwrap()).await.unwrap();
        assert_eq!(reason(&refused), expected);
        let text = refused.receipt_file().unwrap().to_text();
        ReceiptFile::verify(&text, roster, &mut |_| {}).expect("the proof verifies offline");
    }
}

/// The second person: paid, brought back, recovered; another shop claims the slot.
async fn returned_and_claimed_again(town: &Town) {
    let claim = accepted(&town.claim(0, 1).await);
    let invoice = accepted(&town.deliver(1, claim, Cause::First).await);
    accepted(&town.deliver(1, claim, Cause::Warranty(invoice)).await);
    accepted(&town.settle(1, 1, invoice, PAID).await);
    accepted(&town.shops[0].release(invoice, &[]).await.unwrap());
    let late = town.settle(1, 0, invoice, PAID).await;
    assert_eq!(reason(&late), Reason::NotDelivered);
    accepted(&town.settle(1, 1, invoice, RECOVERED).await);
    assert_eq!(
        town.stages(invoice).await,
        [
            PaymentStage::Withdrawn,
            PaymentStage::Recovered { correctable: true }
        ]
    );
    accepted(&town.claim(1, 1).await);
}

/// The third person: the mandatory insurer pays again after 12 months, the other after 18, and after
/// 24 in a coverage that is given after the claim, on which the claim does not rest.
async fn held_as_long_as_the_claims_coverages_say(town: &Town) {
    let claim = accepted(&town.claim(0, 2).await);
    town.cover(2, false, 24).await;
    let first_day = system::now().day();
    let invoice = accepted(&town.deliver(2, claim, Cause::First).await);
    let opened = town.shops[0].session().open_entry(invoice).await.unwrap();
    let Attestation::Delivery(delivery) = opened.says else {
        panic!("no delivery");
    };
    let held = [first_day, system::now().day()].map(|day| Handover::last_day_held(day, 18));
    assert!(held.contains(&delivery.handover.until().unwrap()));
}
