//! An erased payload: its salt is nowhere on the disk, and the log is what it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::attestation::{Attestation, Erasure};
use proto::receipt::ReceiptFile;
use proto::seal::Salt;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::binary::{scratch_folder, vitrail};
use tests::bytes::{contains, find_in_folder};
use tests::federation::accepted;
use tests::nodes::Nodes;
use tests::process::write_secret;
use tests::workload::{Ground, fresh_slots};
use tests::world::World;

/// How long a node may take to forget, on however busy a machine.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);

/// Returns once these bytes are nowhere in a folder: what the ordering engine had of them goes a
/// moment after the ledger's copy.
async fn is_forgotten(folder: &Path, bytes: &[u8]) {
    let until = Instant::now() + FORGOTTEN_WITHIN;
    loop {
        let found = find_in_folder(folder, bytes);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still in {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_the_salt_is_nowhere_and_the_entry_still_proves() {
    let mut world = World::new(1).await;
    let till = world.sessions().remove(0);
    let slots = fresh_slots(1);
    let claim = world.ground.claim(&world.tills[0], &slots);
    let payload = Some((&claim.payload, &claim.salt));
    let AppendAnswer::Accepted(receipt) = till.home().append(&claim.entry, payload).await.unwrap()
    else {
        panic!("the claim was refused");
    };
    let index = receipt.proved.index;
    let data = world.federation.node_dir();
    assert!(
        !find_in_folder(&data, claim.salt.as_bytes()).is_empty(),
        "the salt is stored at first"
    );

    let stranger = world
        .federation
        .session(&world.node, &world.federation.amcs[1]);
    let erasure = Attestation::Erasure(Erasure { erased: index });
    let refused = stranger.issue(&erasure, None).await.unwrap();
    assert!(
        matches!(refused, client::issue::Issued::Refused(_)),
        "only the issuer erases"
    );
    accepted(&till.issue(&erasure, None).await.unwrap());
    is_forgotten(&data, claim.salt.as_bytes()).await;

    world.restart();
    is_forgotten(&data, claim.salt.as_bytes()).await;
    let till = world.sessions().remove(0);
    till.verified_entry(index)
        .await
        .expect("the entry is in the log as before");
    receipt
        .verify(&world.federation.roster, &mut |_| {})
        .expect("its receipt verifies as before");
    let found = till.lookup(&slots, &[]).await.unwrap();
    assert_eq!(
        found.slots[0].as_ref().unwrap().state.by,
        index,
        "it has its slot as before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_coverage_is_found_without_its_terms() {
    let world = World::new(1).await;
    let till = world.sessions().remove(0);
    let key = world.ground.coverage_keys[0];
    let before = till.lookup(&[], &[key]).await.unwrap();
    let coverage = before.coverages[0].as_ref().unwrap();
    let salt = coverage.payload.as_ref().unwrap().1.clone();
    let cnam = world
        .federation
        .session(&world.node, &world.federation.cnam);
    let erasure = Attestation::Erasure(Erasure {
        erased: coverage.index,
    });
    accepted(&cnam.issue(&erasure, None).await.unwrap());
    let after = till.lookup(&[], &[key]).await.unwrap();
    let after = after.coverages[0].as_ref().unwrap();
    assert!(after.payload.is_none() && after.index == coverage.index);
    is_forgotten(&world.federation.node_dir(), salt.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_erases() {
    const NAMES: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
    nodes.start_all(&[]);
    let tills = nodes.federation.grant_tills(nodes.node("cnam"), 1).await;
    let ground = Ground::lay(&nodes.federation, nodes.node("cnam")).await;
    let till = nodes.session("beta", &tills[0]);
    let claim = ground.claim(&tills[0], &fresh_slots(1));
    nodes.all_have(ground.coverages[0], &tills[0]).await;
    let payload = Some((&claim.payload, &claim.salt));
    let AppendAnswer::Accepted(receipt) = till.home().append(&claim.entry, payload).await.unwrap()
    else {
        panic!("the claim was refused");
    };
    let index = receipt.proved.index;
    nodes.all_have(index, &tills[0]).await;
    let with_salt =
        |name: &&str| !find_in_folder(&nodes.folder(name), claim.salt.as_bytes()).is_empty();
    assert!(
        NAMES.iter().all(with_salt),
        "every node has the salt at first"
    );

    let erasure = accepted(&client::erasure::erase(&till, index).await.unwrap());
    nodes.all_have(erasure, &tills[0]).await;
    for name in NAMES {
        is_forgotten(&nodes.folder(name), claim.salt.as_bytes()).await;
    }
    for name in NAMES {
        let session = nodes.session(name, &tills[0]);
        session
            .verified_entry(index)
            .await
            .expect("the entry is in the log as before");
    }
}

/// `vitrail erase`, as the owner of a key; its exit code and its answer.
fn erase(world: &World, key: &SecretKey, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let own = world
        .folder
        .path()
        .join(key.public().to_base64().replace('/', "_"));
    fs::create_dir_all(&own).unwrap();
    fs::copy(
        world.federation.node_dir().join("roster.txt"),
        own.join("roster.txt"),
    )
    .unwrap();
    write_secret(&own.join("key.pem"), &key.to_pem().unwrap());
    let address = format!("cnam={}", world.node.addresses.grpc);
    let output = vitrail()
        .current_dir(&own)
        .args([
            "erase",
            "-o",
            "json",
            "--receipts",
            "receipts",
            "--address",
            &address,
        ])
        .args(arguments)
        .output()
        .unwrap();
    let mut answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    if let Some(receipt) = answer["receipt"].as_str() {
        answer["receipt"] = own.join(receipt).to_str().unwrap().into();
    }
    (output.status.code(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn vitrail_erase_takes_one_payload_from_everybody_and_leaves_every_proof() {
    let world = World::new(1).await;
    let (till, data) = (world.sessions().remove(0), world.federation.node_dir());
    let mut claims = Vec::new();
    for _ in 0..3 {
        let claim = world.ground.claim(&world.tills[0], &fresh_slots(2));
        let answer = till
            .home()
            .append(&claim.entry, Some((&claim.payload, &claim.salt)));
        let AppendAnswer::Accepted(receipt) = answer.await.unwrap() else {
            panic!("the claim was refused");
        };
        let file = world
            .folder
            .path()
            .join(format!("{}.receipt", receipt.proved.index.get()));
        fs::write(&file, ReceiptFile::Accepted(receipt).to_text()).unwrap();
        claims.push((claim, file));
    }
    let (gone, gone_file) = &claims[1];
    let opens = |salt: &Salt| {
        gone.payload.open(
            &world.ground.sealing_secret(0),
            salt,
            &gone.payload.commitment(&gone.salt),
        )
    };
    assert!(
        opens(&gone.salt).is_ok(),
        "the holder of the token and the salt opens it"
    );

    let index = gone_file.file_stem().unwrap().to_str().unwrap();
    let (code, answer) = erase(&world, &world.federation.amcs[0], &["--entry", index]);
    assert_eq!(
        (code, &answer["refusal"]["code"]),
        (Some(1), &"NOT_ENTITLED".into())
    );
    let (code, answer) = erase(&world, &world.tills[0], &[gone_file.to_str().unwrap()]);
    assert_eq!((code, &answer["kind"]), (Some(0), &"erasure".into()));

    is_forgotten(&data, gone.salt.as_bytes()).await;
    // What the vault gives in its place opens nothing, nor does any other salt that it has.
    let vault = fs::read(data.join("data/vault/salts")).unwrap();
    for salt in vault.chunks_exact(32) {
        assert!(opens(&Salt::from_bytes(salt.try_into().unwrap())).is_err());
    }
    let erasure = PathBuf::from(answer["receipt"].as_str().unwrap());
    for file in claims.iter().map(|(_, file)| file).chain([&erasure]) {
        let text = fs::read_to_string(file).unwrap();
        ReceiptFile::verify(&text, &world.federation.roster, &mut |_| {}).unwrap();
    }
    for (claim, _) in [&claims[0], &claims[2]] {
        assert!(!find_in_folder(&data, claim.salt.as_bytes()).is_empty());
    }
    let found = till.lookup(&[], &world.ground.coverage_keys).await.unwrap();
    assert!(
        found
            .coverages
            .iter()
            .flatten()
            .all(|coverage| coverage.payload.is_some())
    );
}

#[test]
fn the_search_finds_what_is_there() {
    assert!(contains(b"a salt in a file", b"salt"));
    assert!(!contains(b"a salt in a file", b"pepper"));
}
