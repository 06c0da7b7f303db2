//! The life of claims over a real node: delivered, rejected, corrected, paid by both payers,
//! returned, and refused to another insurer's till with a proof that anybody can verify.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use client::auditor::{Auditor, HttpSource};
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{Cause, HandingOver, Item, Occasion, Pos};
use client::session::Session;
use client::settlement::{self, Answer};
use client::view::View;
use proto::attestation::SettlementOutcome;
use proto::attestation::lifecycle::PaymentStage;
use proto::entry::Kind;
use proto::identity::Contract;
use proto::ids::{Cents, LeafIndex};
use proto::lpp::Slot;
use proto::receipt::ReceiptFile;
use proto::refusal::Reason;
use proto::renewal::EarlyRenewal;
use proto::signing::SecretKey;
use tests::binary::scratch_folder;
use tests::federation::{Federation, accepted};
use tests::planted::{Planted, catalogue};
use tests::process::NodeProcess;

const PAID: SettlementOutcome = SettlementOutcome::Paid;
const UNFIT: SettlementOutcome = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
const RECOVERED: SettlementOutcome = SettlementOutcome::Recovered(Reason::InvoiceUnfit);

/// Two shops and two payers of a few people who all have a frame covered by both.
struct Town {
    federation: Federation,
    node: NodeProcess,
    shops: Vec<Pos>,
    people: Vec<Planted>,
}

impl Town {
    async fn new(folder: &std::path::Path) -> Self {
        let federation = Federation::found(folder);
        let node = federation.start(&[]);
        let tills = federation.grant_tills(&node, 2).await;
        let people = Planted::people(3);
        let cnam = federation.session(&node, &federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue())
            .await
            .unwrap();
        let named = accepted(&named);
        for (key, mandatory) in [(&federation.cnam, true), (&federation.amcs[0], false)] {
            let session = federation.session(&node, key);
            let insurer = Insurer::open(session, named).await.unwrap();
            let rows: Vec<_> = people.iter().map(|one| one.coverage(mandatory)).collect();
            for covered in insurer.cover(&rows, &mut |_| {}).await.unwrap() {
                accepted(&covered.outcome.unwrap());
            }
        }
        let pos = |till: &SecretKey| {
            let view = View::new(federation.roster.clone());
            Pos::new(federation.session(&node, till), catalogue(), view)
        };
        let shops = tills.iter().map(pos).collect();
        Self {
            federation,
            node,
            shops,
            people,
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
    let source = format!("http://{}", town.node.addresses.http);
    let auditor = Auditor::new(
        HttpSource::new(&source).unwrap(),
        town.federation.roster.clone(),
    );
    let audit = auditor.audit(&mut |_| {}).await.unwrap();
    assert_eq!(audit.counts[&Kind::Delivery], 4);
    assert_eq!(audit.counts[&Kind::Settlement], 5);
}

/// The first person: one payer pays at once, the other after a correction; both are paid once.
async fn paid_after_a_correction(town: &Town) {
    let claim = accepted(&town.claim(0, 0).await);
    let invoice = accepted(&town.deliver(0, claim, Cause::First).await);
    assert_eq!(town.stages(invoice).await, [PaymentStage::Due; 2]);
    accepted(&town.settle(0, 0, invoice, PAID).await);
    accepted(&town.settle(0, 1, invoice, UNFIT).await);
    let again = town.settle(0, 0, invoice, PAID).await;
    assert_eq!(reason(&again), Reason::AlreadySettled);
    let correctable = PaymentStage::Rejected { correctable: true };
    assert_eq!(
        town.stages(invoice).await,
        [PaymentStage::Paid, correctable]
    );
    let corrected = accepted(&town.deliver(0, claim, Cause::Correction(invoice)).await);
    let paid = accepted(&town.settle(0, 1, corrected, PAID).await);
    assert_eq!(town.stages(corrected).await, [PaymentStage::Paid; 2]);
    // The till reads what was paid; the payers' own parts add up to what they had committed to.
    let (session, contract) = &town.payers(0)[1];
    let token = session
        .contract_tokens(std::slice::from_ref(contract))
        .await
        .unwrap();
    let opened = town.shops[0].session().open_entry(paid).await.unwrap();
    let terms = opened.settlement_terms(&token[0].sealing_secret()).unwrap();
    assert_eq!(terms.amount, Cents::new(3_000));
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
