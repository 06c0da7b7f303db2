//! What identities leave behind: nothing. Not in any node's files, log or memory, not in a freed
//! block of their disk, not on a wire, not in what leaves a shop or an insurer and not in what
//! nodes hand to each other: after imports, coverages, checks, claims, releases, erasures and an
//! incident list of a thousand people. What does leak is caught at each of these places.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use client::contracts::ContractsFile;
use client::contracts::import::{ImportFiles, import};
use client::erasure::erase;
use client::incident::{self, affected_in_file};
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::Pos;
use client::system;
use client::view::View;
use proto::attestation::{Attestation, Claim};
use proto::entry::Entry;
use proto::ids::{LeafIndex, RequestId, UnixMillis};
use proto::seal::SealedPayload;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tempfile::TempDir;
use tests::binary::{scratch_folder, vitrail};
use tests::bytes::Needles;
use tests::federation::accepted;
use tests::planted::{MEMBERS_HEADER, Planted, Word, catalogue};
use tests::process::write_secret;
use tests::tapped::{Found, NAMES, Place, Tapped, hello, in_files};
use tests::workload::{Ground, Prepared, fresh_slots};
use tokio::task::{JoinSet, block_in_place};

/// People who are imported, covered and checked.
const PEOPLE: usize = 1_000;
/// Tills that serve them, two at home at each node.
const TILLS: usize = 8;
/// One in so many buys his frame.
const BUYS: usize = 10;
/// Of those, one in so many is claimed for again and refused, then released, then erased.
const CLAIMED_TWICE: usize = 5;
/// What a node is right to have.
const SLOT_KEY: &str = "slot key";
/// What every connection begins with.
const HELLO: &str = "hello";
/// What every node logs when it starts: that its log is searched.
const LOG_LINE: &str = "a line of the log";
/// What the contracts file begins with: that the insurer's folder is searched.
const CONTRACTS_TITLE: &str = "vitrail contracts v1";

/// Everybody as a member of two insurers, which keep their contracts as tokens: the CNAM with the
/// library, so that what leaves is seen in clear, the other with the command.
struct Insurers {
    folder: TempDir,
}

impl Insurers {
    async fn import(tapped: &Tapped, people: &[Planted]) -> Self {
        let insurers = Self {
            folder: scratch_folder(),
        };
        let references = || (0..people.len()).map(|place| format!("c/{place}"));
        for (name, mandatory) in [("cnam", true), ("alpha", false)] {
            fs::create_dir(insurers.own(name)).unwrap();
            let lines = people.iter().zip(references());
            let lines: String = lines
                .map(|(one, reference)| one.member_line(mandatory, &reference))
                .collect();
            let text = format!("{MEMBERS_HEADER}{lines}");
            fs::write(insurers.own(name).join("members.csv"), text).unwrap();
        }
        insurers.import_with_the_library(tapped).await;
        block_in_place(|| insurers.import_with_the_command(tapped));
        for name in ["cnam", "alpha"] {
            fs::remove_file(insurers.own(name).join("members.csv")).unwrap();
        }
        insurers
    }

    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn import_with_the_library(&self, tapped: &Tapped) {
        let session = tapped.session("cnam", &tapped.nodes.federation.cnam);
        let files = ImportFiles {
            list: self.own("cnam").join("members.csv"),
            out: self.own("cnam").join("contracts.txt"),
            replace: false,
            restart: false,
        };
        let today = system::now().day();
        let imported = import(&session, &files, today, &mut |_| {}).await.unwrap();
        assert_eq!(imported.contracts, PEOPLE as u64);
    }

    fn import_with_the_command(&self, tapped: &Tapped) {
        let own = self.own("alpha");
        let key = tapped.nodes.federation.amcs[0].to_pem().unwrap();
        write_secret(&own.join("key.pem"), &key);
        let roster = tapped.nodes.folder("cnam").join("roster.txt");
        fs::copy(roster, own.join("roster.txt")).unwrap();
        let mut command = vitrail();
        command.args(["contracts", "import", "members.csv", "-o", "json"]);
        let imported = command.current_dir(&own).output().unwrap();
        assert!(imported.status.success(), "the import broke off");
        fs::write(own.join("stdout"), &imported.stdout).unwrap();
        fs::write(own.join("stderr"), &imported.stderr).unwrap();
    }

    fn contracts(&self, name: &str) -> ContractsFile {
        ContractsFile::open(&self.own(name).join("contracts.txt")).unwrap()
    }
}

/// Both payers cover a frame for everybody; gives the last entry.
async fn cover(tapped: &Tapped, people: &[Planted]) -> LeafIndex {
    let federation = &tapped.nodes.federation;
    let cnam = tapped.session("cnam", &federation.cnam);
    let named = client::catalogue::publish(&cnam, &catalogue()).await;
    let mut last: LeafIndex = accepted(&named.unwrap());
    let named = last;
    tapped.nodes.all_have(named, &federation.cnam).await;
    for (home, key, mandatory) in [
        ("cnam", &federation.cnam, true),
        ("alpha", &federation.amcs[0], false),
    ] {
        let insurer = Insurer::open(tapped.session(home, key), named)
            .await
            .unwrap();
        let rows: Vec<_> = people.iter().map(|one| one.coverage(mandatory)).collect();
        let covered = insurer.cover(&rows, &mut |_| {}).await.unwrap();
        assert_eq!(covered.len(), rows.len());
        for one in covered {
            last = last.max(accepted(&one.outcome.unwrap()));
        }
    }
    last
}

/// One till checks a frame for each of its customers and claims some; gives the slot keys of those.
async fn serve(pos: Pos, customers: Vec<Planted>) -> Vec<[u8; 32]> {
    let items = ["2223342=120.00".parse().unwrap()];
    let mut slot_keys = Vec::new();
    for (place, one) in customers.iter().enumerate() {
        let quote = pos.check(&one.insured(), &items).await.unwrap();
        assert!(quote.is_covered(), "both payers cover it");
        if place % BUYS != 0 {
            continue;
        }
        let claimed = pos.claim(&quote).await.unwrap();
        let Issued::Accepted(receipt) = &claimed else {
            panic!("{claimed:?}")
        };
        slot_keys.push(receipt.proved.entry.header().keys[0]);
        if place % (BUYS * CLAIMED_TWICE) == 0 {
            let again = pos.claim(&quote).await.unwrap();
            assert!(matches!(again, Issued::Refused(_)), "the slot is taken");
            let claim = receipt.proved.index;
            accepted(&pos.release(claim, &[]).await.unwrap());
            accepted(&erase(pos.session(), claim).await.unwrap());
        }
    }
    slot_keys
}

/// All tills at once; gives the slot keys of everybody who bought.
async fn serve_all(tapped: &Tapped, tills: &[SecretKey], people: &[Planted]) -> Vec<[u8; 32]> {
    let mut at_work = JoinSet::new();
    let customers = people.chunks(people.len().div_ceil(TILLS));
    for ((place, till), customers) in tills.iter().enumerate().zip(customers) {
        let session = tapped.session(NAMES[place % NAMES.len()], till);
        let view = View::new(tapped.nodes.federation.roster.clone());
        let pos = Pos::new(session, catalogue(), view);
        at_work.spawn(serve(pos, customers.to_vec()));
    }
    at_work.join_all().await.concat()
}

/// The list of what the first till looked at names its customers, to their insurers alone.
async fn list_is_of_its_customers(tapped: &Tapped, till: &SecretKey, insurers: &Insurers) {
    let opticians = tapped.session("opticians", &tapped.nodes.federation.opticians);
    let (since, mut silent) = (UnixMillis::new(0), |_, _| {});
    let till = till.public();
    let list = incident::list(
        &opticians,
        &tapped.nodes.incident,
        &till,
        since,
        &mut silent,
    );
    let touched = list.await.unwrap().touched;
    for name in ["cnam", "alpha"] {
        let affected = affected_in_file(&touched, insurers.contracts(name)).unwrap();
        let lines = affected.contracts.iter().map(|one| one.line);
        // The header of a contracts file has five lines.
        let first = PEOPLE.div_ceil(TILLS) as u64;
        assert_eq!(
            lines.collect::<Vec<_>>(),
            (6..6 + first).collect::<Vec<_>>()
        );
    }
}

/// Everything that is searched for, with what must be found for the search to count.
fn wanted(people: &[Planted], slot_keys: &[[u8; 32]]) -> Needles {
    let of_slot = |key: &[u8; 32]| (SLOT_KEY.to_owned(), key.to_vec());
    let of_text = |word: &str, text: &str| (word.to_owned(), text.as_bytes().to_vec());
    let mut wanted: Vec<Word> = people.iter().flat_map(Planted::words).collect();
    wanted.extend(slot_keys.iter().map(of_slot));
    wanted.push(hello(HELLO));
    wanted.push(of_text(LOG_LINE, "\"message\":\"serving\""));
    wanted.push(of_text(CONTRACTS_TITLE, CONTRACTS_TITLE));
    Needles::new(wanted)
}

/// What the search must have found at such a place.
const fn controls(place: Place) -> &'static [&'static str] {
    match place {
        Place::Wire => &[HELLO],
        Place::Files => &[SLOT_KEY, LOG_LINE],
        Place::Blocks => &[SLOT_KEY, LOG_LINE],
        Place::Sent | Place::Pages | Place::HandedOver | Place::Memory => &[SLOT_KEY],
    }
}

fn is_of_nobody(found: &Found) {
    let own = [SLOT_KEY, HELLO, LOG_LINE, CONTRACTS_TITLE];
    let others = found
        .words
        .iter()
        .filter(|word| !own.contains(&word.as_str()));
    assert_eq!(others.count(), 0, "{found}");
    for control in controls(found.place) {
        assert!(found.words.contains(*control), "no {control}: {found}");
    }
    let is_encrypted = found.place == Place::Wire;
    assert!(!is_encrypted || !found.words.contains(SLOT_KEY), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_leave_no_trace_at_any_node() {
    let tapped = Tapped::new().await;
    let people = Planted::people(PEOPLE);
    let insurers = Insurers::import(&tapped, &people).await;
    let cnam = tapped.nodes.node("cnam");
    let tills = tapped.nodes.federation.grant_tills(cnam, TILLS).await;
    let covered = cover(&tapped, &people).await;
    tapped.nodes.all_have(covered, &tills[0]).await;
    let slot_keys = serve_all(&tapped, &tills, &people).await;
    assert!(slot_keys.len() >= PEOPLE / BUYS);
    list_is_of_its_customers(&tapped, &tills[0], &insurers).await;
    block_in_place(|| NAMES.map(|name| tapped.read_pages(name)));

    let needles = wanted(&people, &slot_keys);
    for found in tapped.search(&needles).await {
        is_of_nobody(&found);
    }
    let kept = in_files(&needles, insurers.folder.path());
    assert_eq!(kept, BTreeSet::from([CONTRACTS_TITLE.to_owned()]));
    if let Some(found) = tapped.search_blocks(&needles) {
        is_of_nobody(&found);
    }
}

/// A claim whose payload holds the number in clear where its ciphertext should be: what a broken
/// till would send, and a node cannot refuse, because it cannot open it.
fn leaking_claim(ground: &Ground, till: &SecretKey, number: &str) -> Prepared {
    let sound = ground.claim(till, &fresh_slots(1));
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
    let entry = Entry::sign(&header, &ground.origin, till).unwrap();
    Prepared {
        entry,
        payload,
        salt: sound.salt,
    }
}

/// A till that seals nothing claims at a node that follows.
async fn claims_in_clear(tapped: &Tapped, number: &str) {
    let federation = &tapped.nodes.federation;
    let voting = tapped.nodes.node("cnam");
    let till = federation.grant_tills(voting, 1).await.remove(0);
    let ground = Ground::lay(federation, voting).await;
    tapped.nodes.all_have(ground.coverages[0], &till).await;
    let claim = leaking_claim(&ground, &till, number);
    let session = tapped.session("beta", &till);
    let payload = Some((&claim.payload, &claim.salt));
    let answer = session.home().append(&claim.entry, payload).await.unwrap();
    let AppendAnswer::Accepted(receipt) = answer else {
        panic!("the claim was refused")
    };
    tapped.nodes.all_have(receipt.proved.index, &till).await;
}

/// A till whose TLS is missing, and one that asks for a page by the number.
fn speak_in_clear(tapped: &Tapped, number: &str) {
    for name in NAMES {
        let mut wire = TcpStream::connect(tapped.wire(name).address).unwrap();
        write!(wire, "nir={number}").unwrap();
        let page = tapped.nodes.node(name).page(&format!("/tile/{number}"));
        assert!(page.is_err(), "there is no such page");
    }
}

/// A node that writes a file of its own and thinks better of it.
fn write_and_delete(dir: &Path, number: &str) {
    let path = dir.join("trace");
    let mut file = fs::File::create(&path).unwrap();
    write!(file, "nir={number}").unwrap();
    file.sync_all().unwrap();
    fs::remove_file(path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaks_is_caught_wherever_it_leaks() {
    let tapped = Tapped::new().await;
    let [claimed, spoken, deleted] = &Planted::people(3)[..] else {
        panic!("three people were asked for")
    };
    claims_in_clear(&tapped, &claimed.nir).await;
    block_in_place(|| speak_in_clear(&tapped, &spoken.nir));
    write_and_delete(&tapped.nodes.folder("alpha"), &deleted.nir);

    let is_in = |one: &Planted, found: &Found| found.words.contains(&one.nir);
    let word = |one: &Planted| (one.nir.clone(), one.nir.clone().into_bytes());
    let needles = Needles::new([claimed, spoken, deleted].map(word).to_vec());
    for found in tapped.search(&needles).await {
        let of_claim = !matches!(found.place, Place::Wire | Place::Pages);
        let of_claim = of_claim && (found.place != Place::Sent || found.member == "beta");
        assert_eq!(is_in(claimed, &found), of_claim, "{found}");
        let is_a_wire = matches!(found.place, Place::Wire | Place::Pages);
        assert!(
            is_in(spoken, &found) == is_a_wire || found.place == Place::Memory,
            "{found}"
        );
        assert!(!is_in(deleted, &found), "{found}");
    }
    if let Some(found) = tapped.search_blocks(&needles) {
        assert!(is_in(deleted, &found) && is_in(claimed, &found), "{found}");
        assert!(
            !is_in(spoken, &found),
            "no node wrote down what it was asked: {found}"
        );
    }
}
