//! At the counter: checked, claimed, refused elsewhere, released, delivered, paid.

use client::issue::{Issued, Refused};
use client::pos::{HandingOver, Pos, Quote};
use client::settlement::{self, Answer};
use proto::attestation::SettlementOutcome;
use proto::ids::LeafIndex;

use super::{EQUIPMENT, Play, Shops, accepted, equipment};
use crate::demo::DemoError;
use crate::demo::cast::Figure;
use crate::demo::outbound::{Recorder, leaks};

impl Play<'_> {
    /// One pair of glasses, from the first question to its payment.
    pub(super) async fn counters(
        &mut self,
        shops: &Shops,
        figure: &Figure,
    ) -> Result<(), DemoError> {
        let [shop_1, shop_2] = &shops.tills;
        let held = self.check_and_claim(shop_1, figure, &shops.left).await?;
        self.second_shop_is_refused(shop_2, figure).await?;
        let claim = self
            .release_and_claim_again(shop_1, shop_2, figure, held)
            .await?;
        self.deliver_and_settle(shop_2, figure, claim).await
    }

    /// What is covered for this person at this shop, and who pays what.
    pub(super) async fn check(&mut self, shop: &Pos, figure: &Figure) -> Result<Quote, DemoError> {
        let quote = shop.check(&figure.insured, &equipment()?).await?;
        self.counts.checks += 1;
        if shop.session().public_key() == self.cast.secret(super::cast::SHOPS[0].0)?.public() {
            self.looks += 1;
        }
        Ok(quote)
    }

    /// A claim was answered: the receipt is kept and the claim counted. Gives its place.
    pub(super) fn claimed(&mut self, issued: &Issued) -> Result<LeafIndex, DemoError> {
        self.receipts.keep("claim", issued)?;
        let index = accepted("a claim", issued)?;
        self.counts.claims += 1;
        Ok(index)
    }

    async fn check_and_claim(
        &mut self,
        shop: &Pos,
        figure: &Figure,
        left: &Recorder,
    ) -> Result<LeafIndex, DemoError> {
        self.narrator
            .scene("5. Shop 1 checks a frame and two lenses, and claims them");
        let quote = self.check(shop, figure).await?;
        self.narrator.quote(&quote);
        let index = self.claimed(&shop.claim(&quote).await?)?;
        self.narrator.line(&format!("claimed: entry {index}"));
        self.show_what_left(figure, left)?;
        Ok(index)
    }

    /// Shows every byte that left, and looks for the words of the card among them.
    fn show_what_left(&mut self, figure: &Figure, left: &Recorder) -> Result<(), DemoError> {
        let messages = left.take();
        self.counts.messages_out = messages.len();
        self.counts.bytes_out = messages.iter().map(|message| message.bytes.len()).sum();
        let card = &figure.card;
        let codes = EQUIPMENT.map(|item| &item[..7]);
        self.narrator
            .scene("   What left shop 1 for this check and claim, byte for byte");
        self.narrator
            .stayed_and_left(card, &codes.join(" "), &messages);
        let identity = [&card.nir[..13], &card.birth_date, &card.member_number];
        if leaks(&messages, &identity) || leaks(&messages, &codes) {
            return Err(DemoError::Leak);
        }
        self.narrator.shown(
            "Nothing of the card and no product code left the shop, and the slots are reserved: \
             the receipt proves it to anybody.",
        );
        Ok(())
    }

    async fn second_shop_is_refused(
        &mut self,
        shop: &Pos,
        figure: &Figure,
    ) -> Result<(), DemoError> {
        self.narrator
            .scene("6. Shop 2 claims the same slots, and is refused with a proof");
        let quote = self.check(shop, figure).await?;
        let issued = shop.claim(&quote).await?;
        self.receipts.keep("refusal", &issued)?;
        let Issued::Refused(Refused {
            reason,
            evidence: Some(evidence),
        }) = &issued
        else {
            return Err(DemoError::AcceptedTwice);
        };
        self.counts.refusals += 1;
        self.narrator.line(reason.french());
        self.narrator.shown(&format!(
            "One slot is never claimed twice. The map itself proves that entry {} has it, not the \
             word of a node.",
            evidence.holder.index
        ));
        Ok(())
    }

    async fn release_and_claim_again(
        &mut self,
        shop_1: &Pos,
        shop_2: &Pos,
        figure: &Figure,
        held: LeafIndex,
    ) -> Result<LeafIndex, DemoError> {
        self.narrator
            .scene("7. Shop 1 releases; shop 2 claims, delivers, and both payers pay their part");
        let released = shop_1.release(held, &[]).await?;
        self.receipts.keep("release", &released)?;
        self.narrator.line(&format!(
            "released: entry {}",
            accepted("the release", &released)?
        ));
        self.counts.releases += 1;
        let quote = self.check(shop_2, figure).await?;
        let index = self.claimed(&shop_2.claim(&quote).await?)?;
        self.narrator.line(&format!("claimed: entry {index}"));
        Ok(index)
    }

    /// The glasses are handed over, and each payer pays its part.
    async fn deliver_and_settle(
        &mut self,
        shop: &Pos,
        figure: &Figure,
        claim: LeafIndex,
    ) -> Result<(), DemoError> {
        let what = HandingOver::default();
        let issued = shop.deliver(&figure.insured, claim, &what).await?;
        self.receipts.keep("delivery", &issued)?;
        let delivery = accepted("the delivery", &issued)?;
        self.narrator.line(&format!("delivered: entry {delivery}"));
        for contract in figure.insured.contracts() {
            let payer = self.federation.roster().payer(&contract.payer_number);
            let Some(name) = payer.map(|member| member.name.clone()) else {
                continue;
            };
            let answer = Answer {
                outcome: SettlementOutcome::Paid,
                amount: None,
                reference: String::new(),
            };
            let session = self.session(name.as_str())?;
            let issued = settlement::settle(&session, &contract, delivery, &answer).await?;
            self.receipts.keep("settlement", &issued)?;
            let index = accepted("a settlement", &issued)?;
            self.narrator.line(&format!("{name} paid: entry {index}"));
        }
        self.narrator.shown(
            "From reservation to payment it is one chain of entries, each with a receipt; the \
             renewal clocks run from the delivery.",
        );
        Ok(())
    }
}
