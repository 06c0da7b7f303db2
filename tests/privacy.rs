//! What identities leave on a node: nothing. Not in its files, its log or its memory, in any
//! spelling that we could think of; not after checks and claims under load, not after the demo.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use client::coverage_file::CoverageRow;
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{Complementary, Insured, Pos};
use client::system;
use client::view::View;
use proto::identity::{BirthDate, MemberNumber, Nir, Person};
use proto::ids::Cents;
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use proto::wire::AppendAnswer;
use tests::binary::{scratch_folder, vitrail_node};
use tests::bytes::{Needles, read_memory};
use tests::federation::{AMC_PAYERS, CNAM_PAYER, accepted};
use tests::process::files;
use tests::workload::Ground;
use tests::world::World;
use tokio::task::JoinSet;

/// What a node is right to have.
const SLOT_KEY: &str = "slot key";
/// What the demo's folder is right to have: the first line of its catalogue.
const HEADING: &str = "vitrail-catalogue/v1";
/// Tills that work at once, after the planted were served.
const TILLS: usize = 8;
/// Claims that they append.
const CLAIMS_OF_LOAD: usize = 2_000;

/// Somebody at the counter, as the card has him. The values are synthetic.
struct Planted {
    /// Without its check digits.
    nir: String,
    birth_date: String,
    member_number: String,
}

/// The three who are checked and claimed for.
fn planted() -> [Planted; 3] {
    [
        ("2951099126111", "19951012", "ADH4938271605"),
        ("1850578006048", "19850523", "0073519264801"),
        ("278112A004005", "19781130", "ZX9081726354"),
    ]
    .map(|(nir, birth_date, member_number)| Planted {
        nir: nir.to_owned(),
        birth_date: birth_date.to_owned(),
        member_number: member_number.to_owned(),
    })
}

/// The twenty of the demo.
fn planted_by_the_demo() -> Vec<Planted> {
    let people = node::demo::people().unwrap();
    let of = |figure: node::demo::Figure| Planted {
        nir: figure.card.nir[..13].to_owned(),
        birth_date: figure.card.birth_date,
        member_number: figure.card.member_number,
    };
    people.into_iter().map(of).collect()
}

impl Planted {
    fn nir(&self) -> Nir {
        // 97 minus the number modulo 97; the letter of Corsica counts as a number of its own.
        let digits = self.nir.replace("2A", "19").replace("2B", "18");
        let key = 97 - digits.parse::<u64>().unwrap() % 97;
        format!("{}{key:02}", self.nir).parse().unwrap()
    }

    fn insured(&self) -> Insured {
        let person = Person {
            nir: self.nir(),
            birth_date: self.birth_date.parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        };
        let complementary = Complementary {
            payer_number: AMC_PAYERS[0].parse().unwrap(),
            member_number: self.member_number.parse().unwrap(),
        };
        Insured::new(person, CNAM_PAYER.parse().unwrap(), vec![complementary]).unwrap()
    }

    /// The ways in which the values are usually written.
    fn spellings(&self) -> Vec<(String, String)> {
        let (n, d) = (self.nir.as_str(), self.birth_date.as_str());
        let groups = [&n[..1], &n[1..3], &n[3..5], &n[5..7], &n[7..10], &n[10..]];
        let (year, month, day) = (&d[..4], &d[4..6], &d[6..]);
        let mut spelled = vec![("NIR".to_owned(), n.to_owned())];
        for separator in [" ", "-", "."] {
            spelled.push((format!("NIR with {separator:?}"), groups.join(separator)));
            spelled.push((
                format!("date with {separator:?}"),
                [year, month, day].join(separator),
            ));
            spelled.push((
                format!("day first with {separator:?}"),
                [day, month, year].join(separator),
            ));
        }
        spelled.push(("date with /".to_owned(), [day, month, year].join("/")));
        spelled.push(("date".to_owned(), d.to_owned()));
        spelled.push(("day first".to_owned(), [day, month, year].concat()));
        spelled.push(("member number".to_owned(), self.member_number.clone()));
        spelled.push((
            "member number, lower case".to_owned(),
            self.member_number.to_lowercase(),
        ));
        spelled
    }

    /// Each spelling in the encodings that a program may give it.
    fn encodings(&self) -> Vec<(String, Vec<u8>)> {
        let mut encoded = Vec::new();
        for (name, text) in self.spellings() {
            let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            let reversed: String = text.chars().rev().collect();
            let mut add =
                |how: &str, bytes: Vec<u8>| encoded.push((format!("{name}, {how}"), bytes));
            add("as it is", text.clone().into_bytes());
            add("reversed", reversed.into_bytes());
            add("UTF-16LE", utf16(u16::to_le_bytes));
            add("UTF-16BE", utf16(u16::to_be_bytes));
            add("hex", hex.clone().into_bytes());
            add("HEX", hex.to_uppercase().into_bytes());
            for shift in 0..3 {
                for engine in [BASE64_STANDARD, BASE64_URL_SAFE] {
                    // As part of a longer text: the characters that its neighbours would change are cut.
                    let padded = [&b"xx"[..shift], text.as_bytes(), b"xxx"].concat();
                    let whole = engine.encode(padded);
                    let from = (shift * 8).div_ceil(6);
                    let to = (shift + text.len()) * 8 / 6;
                    add(
                        &format!("base64 + {shift}"),
                        whole.as_bytes()[from..to].to_vec(),
                    );
                }
            }
        }
        if let Ok(number) = self.nir.parse::<u64>() {
            encoded.push((
                "NIR as a number, LE".to_owned(),
                number.to_le_bytes().to_vec(),
            ));
            encoded.push((
                "NIR as a number, BE".to_owned(),
                number.to_be_bytes().to_vec(),
            ));
        }
        encoded
    }
}

fn catalogue() -> Catalogue {
    let line = |code: &str, grouped: &str| CatalogueLine {
        code: code.parse().unwrap(),
        grouped_code: grouped.parse().unwrap(),
        label: "Monture".parse().unwrap(),
        base: Some(Cents::new(900)),
        plv: None,
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    Catalogue::new(header, vec![line("2223342", "M01")]).unwrap()
}

async fn cover(world: &World, amo: bool, catalogue: proto::ids::LeafIndex) {
    let key = if amo {
        &world.federation.cnam
    } else {
        &world.federation.amcs[0]
    };
    let session = world.federation.session(&world.node, key);
    let insurer = Insurer::open(session, catalogue).await.unwrap();
    let rows: Vec<CoverageRow> = planted().iter().map(|one| row(one, amo)).collect();
    let covered = insurer.cover(&rows, &mut |_| {}).await.unwrap();
    assert_eq!(covered.len(), rows.len());
    for one in covered {
        accepted(&one.outcome.unwrap());
    }
}

fn row(planted: &Planted, amo: bool) -> CoverageRow {
    let birth_date: BirthDate = planted.birth_date.parse().unwrap();
    let member_number = match amo {
        true => MemberNumber::from(&planted.nir()),
        false => planted.member_number.parse().unwrap(),
    };
    CoverageRow {
        member_number,
        birth_date,
        birth_rank: "1".parse().unwrap(),
        grouped_code: "M01".parse().unwrap(),
        amount: Cents::new(3_000),
        until: system::now().day().plus(200),
        renewal_months: 24,
    }
}

/// Checks and claims for the planted, with a claim of each again; gives the slot keys.
async fn serve_the_planted(world: &World) -> Vec<[u8; 32]> {
    let catalogue = catalogue();
    let cnam = world
        .federation
        .session(&world.node, &world.federation.cnam);
    let named = accepted(&client::catalogue::publish(&cnam, &catalogue).await.unwrap());
    cover(world, true, named).await;
    cover(world, false, named).await;

    let session = world.sessions().remove(0);
    let view = View::new(world.federation.roster.clone());
    let pos = Pos::new(session, catalogue, view);
    let mut slot_keys = Vec::new();
    for one in planted() {
        let items = ["2223342=120.00".parse().unwrap()];
        let quote = pos.check(&one.insured(), &items).await.unwrap();
        let claimed = pos.claim(&quote).await.unwrap();
        let Issued::Accepted(receipt) = &claimed else {
            panic!("{claimed:?}")
        };
        slot_keys.push(receipt.proved.entry.header().keys[0]);
        let again = pos.claim(&quote).await.unwrap();
        assert!(matches!(again, Issued::Refused(_)), "the slot is taken");
    }
    slot_keys
}

/// Load after them: each till appends its claims, all at once.
async fn append_under_load(world: &World) {
    // The catalogue of the planted is the one in force by now: these rest on a newer one.
    let ground = Ground::lay(&world.federation, &world.node).await;
    let claims = ground.claims(&world.tills, CLAIMS_OF_LOAD, 1);
    let mut tills = JoinSet::new();
    for (session, claims) in world.sessions().into_iter().zip(claims) {
        tills.spawn(async move {
            for claim in claims {
                let payload = Some((&claim.payload, &claim.salt));
                let answer = session.home().append(&claim.entry, payload).await.unwrap();
                assert!(matches!(answer, AppendAnswer::Accepted(_)));
            }
        });
    }
    tills.join_all().await;
}

/// The names of what was found in the files under these folders.
fn found_in_files<'n>(needles: &'n Needles, dir: &Path) -> Vec<&'n str> {
    let mut found = Vec::new();
    for file in files(dir) {
        found.extend(needles.found_in(&fs::read(&file).unwrap()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_never_holds_an_identity_in_any_usual_spelling() {
    let world = World::new(TILLS).await;
    let slot_keys = serve_the_planted(&world).await;
    append_under_load(&world).await;

    let mut wanted: Vec<_> = planted().iter().flat_map(Planted::encodings).collect();
    // The node does have the slot keys; a search that finds them, and nothing else, does look.
    let of_slot = |key: &[u8; 32]| (SLOT_KEY.to_owned(), key.to_vec());
    wanted.extend(slot_keys.iter().map(of_slot));
    let needles = Needles::new(wanted);
    let found = found_in_files(&needles, world.folder.path());
    assert!(!found.is_empty(), "the slot keys are in the files");
    assert!(
        found.iter().all(|word| *word == SLOT_KEY),
        "in the files: {found:?}"
    );
    let mut found = Vec::new();
    let read = read_memory(world.node.pid(), needles.longest(), &mut |window| {
        found.extend(needles.found_in(window));
    });
    if let Err(error) = read {
        println!("skipped: the node's memory may not be read ({error})");
        return;
    }
    assert!(!found.is_empty(), "the slot keys are in memory");
    assert!(
        found.iter().all(|word| *word == SLOT_KEY),
        "in memory: {found:?}"
    );
}

/// The demo's tills run in the node's own process and know their customers: so what is searched
/// is what stays, every file and all that was logged or printed for a program.
#[test]
fn the_demo_leaves_no_identity_behind() {
    let folder = scratch_folder();
    let dir = folder.path().join("demo");
    let mut command = Command::new(vitrail_node());
    command
        .args(["demo", "--once", "-o", "json", "--dir"])
        .arg(&dir);
    let played = command.output().unwrap();
    assert!(played.status.success(), "the demo broke off");
    fs::write(dir.join("stdout"), &played.stdout).unwrap();
    fs::write(dir.join("stderr"), &played.stderr).unwrap();

    let people = planted_by_the_demo();
    let mut wanted: Vec<_> = people.iter().flat_map(Planted::encodings).collect();
    wanted.push((HEADING.to_owned(), HEADING.as_bytes().to_vec()));
    let needles = Needles::new(wanted);
    let found = found_in_files(&needles, &dir);
    assert!(!found.is_empty(), "the catalogue is among the files");
    assert!(found.iter().all(|word| *word == HEADING), "{found:?}");
}

#[test]
fn the_search_finds_every_planted_spelling() {
    let needles = Needles::new(planted()[0].encodings());
    let spelled = "nom=X nir=2 95 10 99 126 111 né le 12/10/1995";
    assert_eq!(needles.found_in(spelled.as_bytes()).len(), 2);
    for prefix in ["", "a", "ab"] {
        let text = BASE64_STANDARD.encode(format!("{prefix}2951099126111;"));
        assert!(!needles.found_in(text.as_bytes()).is_empty(), "{prefix}");
    }
}
