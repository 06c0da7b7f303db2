//! What identities leave on a node: nothing. Not in its files, its log or its memory, in any
//! spelling that we could think of.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::fs;

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
use tests::bytes::{Needles, read_memory};
use tests::federation::{AMC_PAYERS, CNAM_PAYER, accepted};
use tests::process::files;
use tests::world::World;

/// What a node is right to have.
const SLOT_KEY: &str = "slot key";

/// Somebody at the counter, as the card has him. The values are synthetic.
struct Planted {
    nir: &'static str,
    key: &'static str,
    birth_date: &'static str,
    member_number: &'static str,
}

const PLANTED: [Planted; 3] = [
    Planted {
        nir: "2951099126111",
        key: "93",
        birth_date: "19951012",
        member_number: "ADH4938271605",
    },
    Planted {
        nir: "1850578006048",
        key: "",
        birth_date: "19850523",
        member_number: "0073519264801",
    },
    Planted {
        nir: "278112A004005",
        key: "",
        birth_date: "19781130",
        member_number: "ZX9081726354",
    },
];

impl Planted {
    fn nir(&self) -> Nir {
        // 97 minus the number modulo 97; the letter of Corsica counts as a number of its own.
        let digits = self.nir.replace("2A", "19").replace("2B", "18");
        let key = 97 - digits.parse::<u64>().unwrap() % 97;
        assert!(self.key.is_empty() || self.key == format!("{key:02}"));
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
        let (n, d) = (self.nir, self.birth_date);
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
        spelled.push(("member number".to_owned(), self.member_number.to_owned()));
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
    let rows: Vec<CoverageRow> = PLANTED.iter().map(|planted| row(planted, amo)).collect();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_never_holds_an_identity_in_any_usual_spelling() {
    let world = World::new(1).await;
    let catalogue = catalogue();
    let cnam = world
        .federation
        .session(&world.node, &world.federation.cnam);
    let named = accepted(&client::catalogue::publish(&cnam, &catalogue).await.unwrap());
    cover(&world, true, named).await;
    cover(&world, false, named).await;

    let session = world.sessions().remove(0);
    let pos = Pos::new(
        session,
        catalogue,
        View::new(world.federation.roster.clone()),
    );
    let mut slot_keys = Vec::new();
    for planted in &PLANTED {
        let insured = planted.insured();
        let items = ["2223342=120.00".parse().unwrap()];
        let quote = pos.check(&insured, &items).await.unwrap();
        let claimed = pos.claim(&quote).await.unwrap();
        let Issued::Accepted(receipt) = &claimed else {
            panic!("{claimed:?}")
        };
        slot_keys.push(receipt.proved.entry.header().keys[0]);
        let again = pos.claim(&quote).await.unwrap();
        assert!(matches!(again, Issued::Refused(_)), "the slot is taken");
    }

    let mut wanted: Vec<_> = PLANTED.iter().flat_map(Planted::encodings).collect();
    // The node does have the slot keys; a search that finds them, and nothing else, does look.
    wanted.extend(
        slot_keys
            .iter()
            .map(|key| (SLOT_KEY.to_owned(), key.to_vec())),
    );
    let needles = Needles::new(wanted);
    let mut found = Vec::new();
    for file in files(world.folder.path()) {
        found.extend(needles.found_in(&fs::read(&file).unwrap()));
    }
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

#[test]
fn the_search_finds_every_planted_spelling() {
    let needles = Needles::new(PLANTED[0].encodings());
    let spelled = "nom=X nir=2 95 10 99 126 111 né le 12/10/1995";
    assert_eq!(needles.found_in(spelled.as_bytes()).len(), 2);
    for prefix in ["", "a", "ab"] {
        let text = BASE64_STANDARD.encode(format!("{prefix}2951099126111;"));
        assert!(!needles.found_in(text.as_bytes()).is_empty(), "{prefix}");
    }
}
