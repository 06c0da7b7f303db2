//! The scenes, in the order they are played.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::auditor::{Auditor, HttpSource};
use client::insurer::Insurer;
use client::issue::{Issued, Refused};
use client::pos::{HandingOver, Item, Pos};
use client::session::Session;
use client::settlement::{self, Answer};
use client::view::View;
use client::{catalogue, catalogue_file, federation, files, incident};
use proto::attestation::{Grant, GrantClass, SettlementOutcome};
use proto::ids::{LeafIndex, UnixMillis};
use proto::lpp::{Catalogue, CatalogueHeader};
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptFile};
use proto::roster::Roster;

use super::cast::{self, Cast, Figure};
use super::narrator::Narrator;
use super::outbound::{Recorder, leaks};
use super::{Counts, DemoError};
use crate::clock;
use crate::server::RunningNode;

/// One pair of glasses: a frame and two lenses, with their prices.
const EQUIPMENT: [&str; 3] = [
    "2264861=140.00",
    "2200335/right=120.00",
    "2200335/left=120.00",
];
/// How long the coverages of the demo run, and the grants.
const COVERED_DAYS: u32 = 90;
const GRANTED_MS: u64 = 30 * 86_400_000;
/// The quotas of a till, in elements: the demo plays twenty people at two tills.
const HOURLY_QUOTA: u32 = 200;
const DAILY_QUOTA: u32 = 400;

/// What came out of the scenes.
pub struct Played {
    pub receipts: Vec<PathBuf>,
    pub counts: Counts,
    pub log_root: String,
    pub map_root: String,
}

/// Plays every scene.
pub async fn play(
    cast: &Cast,
    node: &RunningNode,
    dir: &Path,
    narrator: Narrator,
) -> Result<Played, DemoError> {
    let roster = node.sequencer().snapshot().roster().as_ref().clone();
    let receipts = Receipts {
        folder: dir.join("receipts"),
        kept: Vec::new(),
    };
    let mut play = Play {
        cast,
        narrator,
        roster,
        receipts,
        counts: Counts::default(),
    };
    let catalogue = play.catalogue(dir).await?;
    play.grants().await?;
    let people = cast::people()?;
    play.coverages(&people, catalogue.1).await?;
    play.counters(&people, &catalogue.0).await?;
    play.verify_offline()?;
    play.incident().await?;
    let (log_root, map_root) = play.audit(node).await?;
    let Play {
        receipts, counts, ..
    } = play;
    Ok(Played {
        receipts: receipts.kept,
        counts,
        log_root,
        map_root,
    })
}

struct Play<'a> {
    cast: &'a Cast,
    narrator: Narrator,
    roster: Roster,
    receipts: Receipts,
    counts: Counts,
}

/// The files that a shop keeps.
struct Receipts {
    folder: PathBuf,
    kept: Vec<PathBuf>,
}

impl Receipts {
    fn keep(&mut self, name: &str, issued: &Issued) -> Result<(), DemoError> {
        if let Some(file) = issued.receipt_file() {
            let path = self
                .folder
                .join(format!("{:02}-{name}.txt", self.kept.len() + 1));
            files::replace(&path, file.to_text().as_bytes())?;
            self.kept.push(path);
        }
        Ok(())
    }
}

impl Play<'_> {
    fn session(&self, name: &str) -> Result<Session, DemoError> {
        self.cast.session(name, &self.roster, None)
    }

    /// The CNAM imports its catalogue, and the ledger names it by hash.
    async fn catalogue(&mut self, dir: &Path) -> Result<(Catalogue, LeafIndex), DemoError> {
        self.narrator
            .scene("2. The CNAM publishes a catalogue of real LPP codes");
        let header = CatalogueHeader {
            version: "demo-1".parse()?,
            valid_from: clock::now().day(),
        };
        let csv = include_bytes!("catalogue.csv");
        let catalogue = catalogue_file::read_csv(csv, header)?.catalogue;
        files::replace(&dir.join("catalogue.txt"), catalogue.to_text().as_bytes())?;
        let issued = catalogue::publish(&self.session(cast::CNAM)?, &catalogue).await?;
        let index = accepted("the catalogue", &issued)?;
        self.counts.products = catalogue.lines().len();
        self.narrator.line(&format!(
            "{} products, hash {}",
            self.counts.products,
            catalogue.hash()
        ));
        Ok((catalogue, index))
    }

    /// The opticians' federation admits two tills.
    async fn grants(&mut self) -> Result<(), DemoError> {
        self.narrator
            .scene("3. The opticians' federation admits two shops");
        let session = self.session(cast::OPTICIANS)?;
        for (shop, finess) in cast::SHOPS {
            let grant = Grant {
                till: self.cast.secret(shop)?.public(),
                finess: finess.parse()?,
                expires_at: UnixMillis::new(clock::now().get() + GRANTED_MS),
                hourly_quota: HOURLY_QUOTA,
                daily_quota: DAILY_QUOTA,
                class: GrantClass::Till,
            };
            accepted("a grant", &federation::grant(&session, grant).await?)?;
            self.narrator.line(&format!("{shop}, FINESS {finess}"));
        }
        Ok(())
    }

    /// Each payer signs what it covers for its own members, sealed under their contracts.
    async fn coverages(
        &mut self,
        people: &[Figure],
        catalogue: LeafIndex,
    ) -> Result<(), DemoError> {
        self.narrator
            .scene("4. Three payers cover twenty people who do not exist");
        self.counts.people = people.len();
        let until = clock::now().day().plus(COVERED_DAYS);
        for payer in [cast::CNAM, cast::INSURERS[0].0, cast::INSURERS[1].0] {
            let insurer = Insurer::open(self.session(payer)?, catalogue).await?;
            let rows = cast::coverage_rows(people, payer, until)?;
            for covered in insurer.cover(&rows, &mut |_| {}).await? {
                accepted("a coverage", &covered.outcome?)?;
            }
            self.counts.coverages += rows.len();
            self.narrator
                .line(&format!("{payer}: {} coverages", rows.len()));
        }
        Ok(())
    }

    /// A day at two counters.
    async fn counters(
        &mut self,
        people: &[Figure],
        catalogue: &Catalogue,
    ) -> Result<(), DemoError> {
        let Some((first, others)) = people.split_first() else {
            return Ok(());
        };
        let recorder = Arc::new(Recorder::default());
        let observed = self
            .cast
            .session(cast::SHOPS[0].0, &self.roster, Some(recorder.clone()))?;
        let shop_1 = Pos::new(observed, catalogue.clone(), View::new(self.roster.clone()));
        let other = self.session(cast::SHOPS[1].0)?;
        let shop_2 = Pos::new(other, catalogue.clone(), View::new(self.roster.clone()));

        let held = self.check_and_claim(&shop_1, first, &recorder).await?;
        self.second_shop_is_refused(&shop_2, first).await?;
        let claim = self
            .release_and_claim_again(&shop_1, &shop_2, first, held)
            .await?;
        self.deliver_and_settle(&shop_2, first, claim).await?;
        self.the_others(&[shop_1, shop_2], others).await
    }

    async fn check_and_claim(
        &mut self,
        shop: &Pos,
        figure: &Figure,
        recorder: &Recorder,
    ) -> Result<LeafIndex, DemoError> {
        self.narrator
            .scene("5. Shop 1 checks a frame and two lenses, and claims them");
        let quote = shop.check(&figure.insured, &equipment()?).await?;
        self.counts.checks += 1;
        self.narrator.quote(&quote);
        let issued = shop.claim(&quote).await?;
        self.receipts.keep("claim", &issued)?;
        let index = accepted("the first claim", &issued)?;
        self.counts.claims += 1;
        self.narrator.line(&format!("claimed: entry {index}"));
        self.show_what_left(figure, recorder)?;
        Ok(index)
    }

    /// Shows every byte that left, and looks for the words of the card among them.
    fn show_what_left(&mut self, figure: &Figure, recorder: &Recorder) -> Result<(), DemoError> {
        let messages = recorder.take();
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
        Ok(())
    }

    async fn second_shop_is_refused(
        &mut self,
        shop: &Pos,
        figure: &Figure,
    ) -> Result<(), DemoError> {
        self.narrator
            .scene("6. Shop 2 claims the same slots, and is refused with a proof");
        let quote = shop.check(&figure.insured, &equipment()?).await?;
        self.counts.checks += 1;
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
        self.narrator.line(&format!(
            "the map proves it: entry {} has the slot",
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
        self.narrator.scene("7. Shop 1 releases, and shop 2 claims");
        let released = shop_1.release(held, &[]).await?;
        self.receipts.keep("release", &released)?;
        self.narrator.line(&format!(
            "released: entry {}",
            accepted("the release", &released)?
        ));
        self.counts.releases += 1;
        let quote = shop_2.check(&figure.insured, &equipment()?).await?;
        self.counts.checks += 1;
        let issued = shop_2.claim(&quote).await?;
        self.receipts.keep("claim", &issued)?;
        let index = accepted("the new claim", &issued)?;
        self.narrator.line(&format!("claimed: entry {index}"));
        self.counts.claims += 1;
        Ok(index)
    }

    /// The glasses are handed over, and each payer pays its part.
    async fn deliver_and_settle(
        &mut self,
        shop: &Pos,
        figure: &Figure,
        claim: LeafIndex,
    ) -> Result<(), DemoError> {
        self.narrator
            .scene("   Shop 2 delivers, and both payers pay their part");
        let what = HandingOver::default();
        let issued = shop.deliver(&figure.insured, claim, &what).await?;
        self.receipts.keep("delivery", &issued)?;
        let delivery = accepted("the delivery", &issued)?;
        self.narrator.line(&format!("delivered: entry {delivery}"));
        for contract in figure.insured.contracts() {
            let payer = self.roster.payer(&contract.payer_number);
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
        Ok(())
    }

    async fn the_others(&mut self, shops: &[Pos; 2], people: &[Figure]) -> Result<(), DemoError> {
        self.narrator
            .scene("8. The other nineteen come to one shop or the other");
        for (position, figure) in people.iter().enumerate() {
            let shop = &shops[position % shops.len()];
            let quote = shop.check(&figure.insured, &equipment()?).await?;
            self.counts.checks += 1;
            let issued = shop.claim(&quote).await?;
            self.receipts.keep("claim", &issued)?;
            accepted("a claim", &issued)?;
            self.counts.claims += 1;
        }
        self.narrator
            .line(&format!("{} claims in all", self.counts.claims));
        Ok(())
    }

    /// Every file is read back and verified with the roster alone; no node is asked.
    fn verify_offline(&mut self) -> Result<(), DemoError> {
        self.narrator
            .scene("9. Every receipt is verified offline, with the roster alone");
        for path in &self.receipts.kept {
            let text = files::read_text(path, RECEIPT_BYTES_MAX)?;
            ReceiptFile::verify(&text, &self.roster, &mut |_| {})?;
            self.counts.receipts_verified += 1;
        }
        self.narrator
            .line(&format!("{} receipts hold", self.counts.receipts_verified));
        Ok(())
    }

    /// Suppose the key of shop 1 is stolen: an insurer opens the access records.
    async fn incident(&mut self) -> Result<(), DemoError> {
        self.narrator
            .scene("10. The key of shop 1 is thought stolen: an insurer lists what it looked at");
        let insurer = cast::INSURERS[0].0;
        let (session, key) = (self.session(insurer)?, self.cast.incident_key(insurer)?);
        let till = self.cast.secret(cast::SHOPS[0].0)?.public();
        let since = UnixMillis::new(0);
        let listed = incident::list(&session, key, &till, since, &mut |_, _| {}).await;
        let touched = listed.map_err(Box::new)?.touched;
        self.counts.looks_on_record = touched.len();
        let slots: usize = touched.iter().map(|look| look.slots.len()).sum();
        let coverages: usize = touched.iter().map(|look| look.coverages.len()).sum();
        self.narrator.line(&format!(
            "{} lookups, each recorded before it was answered: {slots} slot keys, {coverages} coverage keys",
            touched.len()
        ));
        if let Some(first) = touched.first() {
            let at = first.at.to_iso();
            self.narrator
                .line(&format!("the first at {at}, entry {}", first.entry));
        }
        // One lookup for each check; shop 1 made its share of them.
        let made = 1 + (self.counts.people - 1).div_ceil(cast::SHOPS.len());
        let listed = touched.len();
        (listed == made)
            .then_some(())
            .ok_or(DemoError::Unrecorded { listed, made })
    }

    /// An auditor reads the whole log and replays the map.
    async fn audit(&mut self, node: &RunningNode) -> Result<(String, String), DemoError> {
        self.narrator
            .scene("11. An auditor verifies the log from entry 0");
        let source = HttpSource::new(&format!("http://{}", node.addresses().http))?;
        let auditor = Auditor::new(source, self.roster.clone());
        let audit = auditor.audit(&mut |_| {}).await.map_err(Box::new)?;
        self.counts.entries_audited = audit.checkpoint.size().get();
        for (kind, count) in &audit.counts {
            self.narrator.line(&format!("{count:>6} {}", kind.as_str()));
        }
        let (log_root, map_root) = (audit.checkpoint.log_root(), audit.checkpoint.map_root());
        self.narrator.line(&format!("log root  {log_root}"));
        self.narrator.line(&format!("map root  {map_root}"));
        Ok((log_root.to_base64(), map_root.to_base64()))
    }
}

fn equipment() -> Result<Vec<Item>, DemoError> {
    EQUIPMENT.iter().map(|item| Ok(item.parse()?)).collect()
}

/// The index of what was accepted.
fn accepted(what: &'static str, issued: &Issued) -> Result<LeafIndex, DemoError> {
    match issued {
        Issued::Accepted(receipt) => Ok(receipt.proved.index),
        Issued::Refused(refused) => Err(DemoError::Refused {
            what,
            reason: refused.reason,
        }),
    }
}
