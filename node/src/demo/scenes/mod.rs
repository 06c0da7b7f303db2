//! The scenes, in the order they are played.

mod account;
mod counter;
mod loss;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{Item, Pos};
use client::session::Session;
use client::view::View;
use client::{catalogue, catalogue_file, federation, files};
use proto::attestation::{Grant, GrantClass};
use proto::ids::{LeafIndex, UnixMillis};
use proto::lpp::{Catalogue, CatalogueHeader};

use super::cast::{self, Cast, Figure};
use super::federation::{Federation, is_level};
use super::narrator::Narrator;
use super::outbound::Recorder;
use super::{Counts, DemoError};
use crate::clock;

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
    pub leader_killed: &'static str,
    pub leader_after: &'static str,
    pub rebuilt: &'static str,
    pub log_root: String,
    pub map_root: String,
}

/// Plays every scene.
pub async fn play(
    cast: &Cast,
    federation: &mut Federation,
    dir: &Path,
    narrator: Narrator,
) -> Result<Played, DemoError> {
    let mut play = Play {
        cast,
        federation,
        narrator,
        receipts: Receipts {
            folder: dir.join("receipts"),
            kept: Vec::new(),
        },
        counts: Counts::default(),
        looks: 0,
    };
    play.count_members();
    let (catalogue, named) = play.catalogue(dir).await?;
    play.grants().await?;
    let people = cast::people()?;
    play.coverages(&people, named).await?;
    let shops = play.shops(&catalogue)?;
    let customers = Customers::of(&people)?;
    play.counters(&shops, customers.first).await?;
    let leaders = play.leader_is_killed(&shops, customers.many).await?;
    let rebuilt = play.disk_is_wiped(&shops, customers.last).await?;
    play.verify_offline()?;
    play.incident().await?;
    let (log_root, map_root) = play.audit().await?;
    let Play {
        receipts, counts, ..
    } = play;
    Ok(Played {
        receipts: receipts.kept,
        counts,
        leader_killed: leaders.0,
        leader_after: leaders.1,
        rebuilt,
        log_root,
        map_root,
    })
}

struct Play<'a> {
    cast: &'a Cast,
    federation: &'a mut Federation,
    narrator: Narrator,
    receipts: Receipts,
    counts: Counts,
    /// Checks that the first shop has made.
    looks: usize,
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

/// The two shops, and what leaves them.
struct Shops {
    tills: [Pos; 2],
    catalogue: Catalogue,
    left: Arc<Recorder>,
}

/// Who comes in which scene.
struct Customers<'a> {
    first: &'a Figure,
    many: &'a [Figure],
    last: &'a [Figure; 2],
}

impl<'a> Customers<'a> {
    fn of(people: &'a [Figure]) -> Result<Self, DemoError> {
        let (first, others) = people.split_first().ok_or(DemoError::Miscast)?;
        let (many, last) = others.split_last_chunk().ok_or(DemoError::Miscast)?;
        Ok(Self { first, many, last })
    }
}

impl Play<'_> {
    fn session(&self, name: &str) -> Result<Session, DemoError> {
        self.cast.session(name, self.federation.roster(), None)
    }

    fn count_members(&mut self) {
        let roster = self.federation.roster();
        self.counts.members = roster.voting_members().count();
        self.counts.quorum = roster.quorum();
    }

    /// Every node has what has been appended until now.
    async fn level(&self) -> Result<(), DemoError> {
        let level = self.federation.settled("nodes of one size", is_level);
        level.await?;
        Ok(())
    }

    /// The CNAM imports its catalogue, and the ledger names it by hash.
    async fn catalogue(&mut self, dir: &Path) -> Result<(Catalogue, LeafIndex), DemoError> {
        self.narrator
            .scene("2. The CNAM publishes a catalogue of real LPP codes");
        let header = CatalogueHeader {
            version: "demo-1".parse()?,
            valid_from: clock::now().day(),
        };
        let csv = include_bytes!("../catalogue.csv");
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
        self.narrator.shown(
            "The ledger names the catalogue by its hash: nobody reckons with another one unseen.",
        );
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
        self.narrator.shown(
            "A till is a key with a quota, admitted in the log by the opticians themselves, at \
             every node.",
        );
        self.level().await
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
        self.narrator.shown(
            "Each is a signed commitment, sealed under one contract: the other members see neither \
             for whom nor how much.",
        );
        self.level().await
    }

    fn shops(&self, catalogue: &Catalogue) -> Result<Shops, DemoError> {
        let left = Arc::new(Recorder::default());
        let roster = self.federation.roster();
        let till = |name| {
            let session = self.cast.session(name, roster, Some(left.clone()))?;
            let view = View::new(roster.clone());
            Ok::<_, DemoError>(Pos::new(session, catalogue.clone(), view))
        };
        Ok(Shops {
            tills: [till(cast::SHOPS[0].0)?, till(cast::SHOPS[1].0)?],
            catalogue: catalogue.clone(),
            left,
        })
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
