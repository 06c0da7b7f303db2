//! What identities leave behind: nothing. Not in a node's files, its log or its memory, not on the
//! wire and not in what leaves a shop; not after checks and claims of a thousand people, not after
//! the demo. And a till that does leak is caught at each of these places.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use client::connection::{Observer, Outbound};
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::Pos;
use client::session::Session;
use client::system;
use client::view::View;
use proto::attestation::{Attestation, Claim};
use proto::entry::Entry;
use proto::ids::{Cents, LeafIndex, RequestId};
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use proto::seal::SealedPayload;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::binary::{scratch_folder, vitrail_node};
use tests::bytes::{Needles, read_memory};
use tests::federation::accepted;
use tests::planted::{Planted, Word};
use tests::process::files;
use tests::wiretap::Wiretap;
use tests::workload::{Prepared, fresh_slots};
use tests::world::World;
use tokio::task::JoinSet;

/// People who are checked and claimed for.
const PEOPLE: usize = 1_000;
/// Tills that serve them.
const TILLS: usize = 8;
/// One in so many is claimed for a second time, and refused.
const CLAIMED_TWICE: usize = 10;
/// What a node is right to have.
const SLOT_KEY: &str = "slot key";
/// What the demo's folder is right to have: the first line of its catalogue.
const HEADING: &str = "vitrail-catalogue/v1";

/// Keeps what leaves, before it is encrypted.
#[derive(Default)]
struct Recorder(Mutex<Vec<u8>>);

impl Observer for Recorder {
    fn leaves(&self, outbound: &Outbound<'_>) {
        self.0.lock().unwrap().extend_from_slice(outbound.request);
    }
}

/// A world whose wires are tapped.
struct Tapped {
    world: World,
    wiretap: Wiretap,
    recorder: Arc<Recorder>,
}

impl Tapped {
    async fn new(tills: usize) -> Self {
        let world = World::new(tills).await;
        let wiretap = Wiretap::to(world.node.addresses.grpc).await;
        Self {
            world,
            wiretap,
            recorder: Arc::default(),
        }
    }

    fn session(&self, key: &SecretKey) -> Session {
        let mut parts = self.world.federation.parts(self.wiretap.address, key);
        parts.observer = Some(self.recorder.clone());
        Session::open(parts).unwrap()
    }

    /// What of the wanted is found, place by place. Memory that may not be read is left out.
    fn search(&self, needles: &Needles) -> Vec<(&'static str, Vec<String>)> {
        let owned = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect();
        let on_disk = found_in_files(needles, self.world.folder.path());
        let left = needles.found_in(&self.recorder.0.lock().unwrap());
        let on_the_wire = needles.found_in(&self.wiretap.heard());
        let mut places = vec![
            ("the files", owned(on_disk)),
            ("what left", owned(left)),
            ("the wire", owned(on_the_wire)),
        ];
        let mut in_memory = Vec::new();
        let pid = self.world.node.pid();
        let read = read_memory(pid, needles.longest(), &mut |window| {
            in_memory.extend(needles.found_in(window));
        });
        match read {
            Ok(()) => places.push(("the memory", owned(in_memory))),
            Err(error) => println!("skipped: the node's memory may not be read ({error})"),
        }
        places
    }
}

/// The names of what was found in the files under a folder.
fn found_in_files<'n>(needles: &'n Needles, dir: &Path) -> Vec<&'n str> {
    let mut found = Vec::new();
    for file in files(dir) {
        found.extend(needles.found_in(&fs::read(&file).unwrap()));
    }
    found
}

fn catalogue() -> Catalogue {
    let line = CatalogueLine {
        code: "2223342".parse().unwrap(),
        grouped_code: "M01".parse().unwrap(),
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
    Catalogue::new(header, vec![line]).unwrap()
}

/// Both payers cover a frame for everybody.
async fn cover(tapped: &Tapped, people: &[Planted]) {
    let federation = &tapped.world.federation;
    let cnam = tapped.session(&federation.cnam);
    let named = client::catalogue::publish(&cnam, &catalogue()).await;
    let named: LeafIndex = accepted(&named.unwrap());
    for (key, mandatory) in [(&federation.cnam, true), (&federation.amcs[0], false)] {
        let insurer = Insurer::open(tapped.session(key), named).await.unwrap();
        let rows: Vec<_> = people.iter().map(|one| one.coverage(mandatory)).collect();
        let covered = insurer.cover(&rows, &mut |_| {}).await.unwrap();
        assert_eq!(covered.len(), rows.len());
        for one in covered {
            accepted(&one.outcome.unwrap());
        }
    }
}

/// One till checks and claims a frame for each of its customers; gives the slot keys.
async fn serve(pos: Pos, customers: Vec<Planted>) -> Vec<[u8; 32]> {
    let items = ["2223342=120.00".parse().unwrap()];
    let mut slot_keys = Vec::new();
    for (place, one) in customers.iter().enumerate() {
        let quote = pos.check(&one.insured(), &items).await.unwrap();
        let claimed = pos.claim(&quote).await.unwrap();
        let Issued::Accepted(receipt) = &claimed else {
            panic!("{claimed:?}")
        };
        slot_keys.push(receipt.proved.entry.header().keys[0]);
        if place % CLAIMED_TWICE == 0 {
            let again = pos.claim(&quote).await.unwrap();
            assert!(matches!(again, Issued::Refused(_)), "the slot is taken");
        }
    }
    slot_keys
}

/// All tills at once; gives the slot keys of everybody.
async fn serve_all(tapped: &Tapped, people: &[Planted]) -> Vec<[u8; 32]> {
    let mut tills = JoinSet::new();
    let customers = people.chunks(people.len().div_ceil(TILLS));
    for (key, customers) in tapped.world.tills.iter().zip(customers) {
        let view = View::new(tapped.world.federation.roster.clone());
        let pos = Pos::new(tapped.session(key), catalogue(), view);
        tills.spawn(serve(pos, customers.to_vec()));
    }
    tills.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_leave_no_trace() {
    let tapped = Tapped::new(TILLS).await;
    let people = Planted::people(PEOPLE);
    cover(&tapped, &people).await;
    let slot_keys = serve_all(&tapped, &people).await;
    assert_eq!(slot_keys.len(), PEOPLE);

    let mut wanted: Vec<Word> = people.iter().flat_map(Planted::words).collect();
    // The slot keys do leave, and the node has them; a search that finds them does look.
    let of_slot = |key: &[u8; 32]| (SLOT_KEY.to_owned(), key.to_vec());
    wanted.extend(slot_keys.iter().map(of_slot));
    for (place, found) in tapped.search(&Needles::new(wanted)) {
        let others: Vec<_> = found.iter().filter(|word| *word != SLOT_KEY).collect();
        assert!(others.is_empty(), "in {place}: {others:?}");
        let is_encrypted = place == "the wire";
        assert_eq!(found.is_empty(), is_encrypted, "slot keys in {place}");
    }
}

/// A claim whose payload holds the number in clear where its ciphertext should be: what a broken
/// till would send, and a node cannot refuse, because it cannot open it.
fn leaking_claim(world: &World, till: &SecretKey, number: &str) -> Prepared {
    let sound = world.ground.claim(till, &fresh_slots(1));
    let mut bytes = sound.payload.to_bytes();
    let from = bytes.len() - 200;
    bytes[from..from + number.len()].copy_from_slice(number.as_bytes());
    let payload = SealedPayload::from_bytes(&bytes).unwrap();
    let Ok(Attestation::Claim(claim)) = Attestation::read(sound.entry.header()) else {
        panic!("the workload makes claims")
    };
    let claim = Attestation::Claim(Claim {
        commitment: *payload.commitment(&sound.salt).as_hash(),
        ..claim
    });
    let id = RequestId::new(system::now(), system::random().unwrap());
    let header = claim.header(till.public(), id);
    let entry = Entry::sign(&header, &world.ground.origin, till).unwrap();
    Prepared {
        entry,
        payload,
        salt: sound.salt,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_that_leaks_is_caught_wherever_it_leaks() {
    let tapped = Tapped::new(1).await;
    let one = &Planted::people(1)[0];
    let till = &tapped.world.tills[0];
    let claim = leaking_claim(&tapped.world, till, &one.nir);
    let session = tapped.session(till);
    let payload = Some((&claim.payload, &claim.salt));
    let answer = session.home().append(&claim.entry, payload).await.unwrap();
    assert!(matches!(answer, AppendAnswer::Accepted(_)));
    for (place, found) in tapped.search(&Needles::new(one.words())) {
        let is_encrypted = place == "the wire";
        assert_eq!(found.is_empty(), is_encrypted, "in {place}: {found:?}");
    }
}

/// The demo's tills run in the node's own process and know their customers: so what is searched
/// is what stays, every file and all that was logged or printed for a program.
#[test]
fn the_demo_leaves_no_identity_behind() {
    let folder = scratch_folder();
    let dir = folder.path().join("demo");
    let mut command = Command::new(vitrail_node());
    command.args(["demo", "--once", "-o", "json", "--dir"]);
    let played = command.arg(&dir).output().unwrap();
    assert!(played.status.success(), "the demo broke off");
    fs::write(dir.join("stdout"), &played.stdout).unwrap();
    fs::write(dir.join("stderr"), &played.stderr).unwrap();

    let people = node::demo::people().unwrap();
    let of = |figure: node::demo::Figure| Planted {
        nir: figure.card.nir[..13].to_owned(),
        birth_date: figure.card.birth_date,
        member_number: figure.card.member_number,
    };
    let mut wanted: Vec<Word> = people
        .into_iter()
        .map(of)
        .flat_map(|one| one.words())
        .collect();
    wanted.push((HEADING.to_owned(), HEADING.as_bytes().to_vec()));
    let needles = Needles::new(wanted);
    let found = found_in_files(&needles, &dir);
    assert!(!found.is_empty(), "the catalogue is among the files");
    assert!(found.iter().all(|word| *word == HEADING), "{found:?}");
}
