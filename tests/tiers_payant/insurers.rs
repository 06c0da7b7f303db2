//! One person, two shops, two insurers: one claim in the same second, and none with another insurer
//! before the 24 months are over.

use std::path::Path;

use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{HandingOver, Item, Pos, Quote};
use client::system;
use client::view::View;
use proto::ids::{Cents, Day, LeafIndex};
use proto::lpp::Catalogue;
use proto::receipt::ReceiptFile;
use proto::refusal::Reason;
use proto::renewal::{ADULT_MONTHS, free_again_on};
use proto::roster::Role;
use tests::binary::scratch_folder;
use tests::federation::{AMC_PAYERS, Federation, accepted};
use tests::planted::{Planted, catalogue};
use tests::process::NodeProcess;
use tests::shifted::{Clock, run_shifted};

const DAY_S: u64 = 24 * 3_600;

/// A person whose frame the CNAM and two complementary insurers cover.
struct Town {
    federation: Federation,
    node: NodeProcess,
    person: Planted,
    catalogue: Catalogue,
    named: LeafIndex,
}

impl Town {
    async fn new(folder: &Path) -> Self {
        let federation = Federation::found(folder);
        let node = federation.start(&[]);
        let catalogue = catalogue();
        let cnam = federation.session(&node, &federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue).await;
        let town = Self {
            named: accepted(&named.unwrap()),
            person: Planted::people(1).remove(0),
            federation,
            node,
            catalogue,
        };
        town.cover().await;
        town
    }

    /// Each payer's coverage, for the next 200 days.
    async fn cover(&self) {
        let Federation { cnam, amcs, .. } = &self.federation;
        for (key, mandatory) in [(cnam, true), (&amcs[0], false), (&amcs[1], false)] {
            let session = self.federation.session(&self.node, key);
            let insurer = Insurer::open(session, self.named).await.unwrap();
            let rows = [self.person.coverage(mandatory)];
            for covered in insurer.cover(&rows, &mut |_| {}).await.unwrap() {
                accepted(&covered.outcome.unwrap());
            }
        }
    }

    /// A shop whose till was granted now.
    async fn shop(&self) -> Pos {
        let till = self.federation.grant_tills(&self.node, 1).await.remove(0);
        let view = View::new(self.federation.roster.clone());
        let session = self.federation.session(&self.node, &till);
        Pos::new(session, self.catalogue.clone(), view)
    }

    async fn quote(&self, shop: &Pos, insurer: usize) -> Quote {
        let items: [Item; 1] = ["2223342=120.00".parse().unwrap()];
        let insured = self.person.insured_by(AMC_PAYERS[insurer]);
        shop.check(&insured, &items).await.unwrap()
    }

    async fn claim(&self, shop: &Pos, insurer: usize) -> Issued {
        shop.claim(&self.quote(shop, insurer).await).await.unwrap()
    }

    /// The reason of a refusal whose proof verifies with the roster alone.
    fn proved(&self, refused: &Issued) -> Reason {
        let Issued::Refused(refusal) = refused else {
            panic!("two claims of one slot are in the ledger");
        };
        let text = refused.receipt_file().unwrap().to_text();
        ReceiptFile::verify(&text, &self.federation.roster, &mut |_| {}).unwrap();
        refusal.reason
    }

    /// Two shops at once, each with another insurer of the person: the one that is accepted.
    async fn in_the_same_second(&self) -> (Pos, LeafIndex) {
        let (one, other) = (self.shop().await, self.shop().await);
        let quotes = [self.quote(&one, 0).await, self.quote(&other, 1).await];
        assert!(quotes.iter().all(Quote::is_covered));
        let (at_one, at_other) = tokio::join!(one.claim(&quotes[0]), other.claim(&quotes[1]));
        let (at_one, at_other) = (at_one.unwrap(), at_other.unwrap());
        let (shop, taken, refused) = match &at_one {
            Issued::Accepted(_) => (one, at_one, at_other),
            Issued::Refused(_) => (other, at_other, at_one),
        };
        assert_eq!(self.proved(&refused), Reason::SlotReserved);
        (shop, accepted(&taken))
    }
}

/// The days from today until this one.
fn days_until(day: Day) -> u64 {
    u64::from(day.get() - system::now().day().get())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_insurer_renews_nothing_before_the_time() {
    let Some(mut clock) = Clock::of_this_program() else {
        return run_shifted(concat!(
            module_path!(),
            "::a_change_of_insurer_renews_nothing_before_the_time"
        ));
    };
    let folder = scratch_folder();
    let town = Town::new(folder.path()).await;
    let (shop, claim) = town.in_the_same_second().await;
    let insured = town.person.insured();
    let handed = HandingOver::default();
    accepted(&shop.deliver(&insured, claim, &handed).await.unwrap());
    let free = free_again_on(system::now().day(), ADULT_MONTHS);

    // The last day on which it is held: whatever insurer the person has now.
    clock.forward((days_until(free) - 1) * DAY_S);
    town.cover().await;
    let other = town.shop().await;
    for insurer in [0, 1] {
        assert!(!town.quote(&other, insurer).await.is_covered());
        let refused = town.claim(&other, insurer).await;
        assert_eq!(town.proved(&refused), Reason::SlotHeld);
    }

    clock.forward(DAY_S);
    let later = town.shop().await;
    let quote = town.quote(&later, 1).await;
    assert!(quote.is_covered());
    assert_eq!(quote.paid_by(Role::Amc), Cents::new(3_000));
    accepted(&later.claim(&quote).await.unwrap());
}
