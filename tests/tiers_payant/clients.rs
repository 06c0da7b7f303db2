//! Clients in other languages, made from the published schema, do a check and a claim against
//! running nodes. What they made is judged here: the receipt verifies, and a till of ours finds the
//! slot of that person taken by that claim. What is not installed is said to be skipped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use client::insurer::Insurer;
use client::pos::Pos;
use client::view::View;
use proto::certificate::self_signed;
use proto::ids::LeafIndex;
use proto::receipt::ReceiptFile;
use proto::signing::SecretKey;
use serde_json::{Value, json};
use tests::binary::scratch_folder;
use tests::federation::{AMC_PAYERS, CNAM_PAYER, accepted};
use tests::judge::{in_repository, is_installed, succeeds};
use tests::nodes::Nodes;
use tests::planted::{Planted, catalogue};
use tests::process::write_secret;
use tests::replicated::reaches;
use tokio::task::block_in_place;

/// Two payers pay 30.00 each of a frame of 120.00.
const PRICE_CENTS: u64 = 12_000;
const PAID_CENTS: u64 = 3_000;
/// Shares of the joint keys, and how many make a token.
const SHARES: u16 = 4;
const THRESHOLD: u16 = 2;

/// An example client, as an integrator has it.
struct Example {
    language: &'static str,
    /// Whether everything it needs is there.
    is_there: fn() -> bool,
    /// The program, which is given the till's folder.
    command: fn(&Path) -> Command,
}

const EXAMPLES: [Example; 3] = [
    Example {
        language: "JavaScript (node, npm ci in tests/clients/node)",
        is_there: || {
            let installed = in_repository("tests/clients/node/node_modules/@grpc/grpc-js");
            is_installed("node") && installed.exists()
        },
        command: |folder| {
            let mut node = Command::new("node");
            node.arg(in_repository("tests/clients/node/claim.mjs"));
            node.arg(folder).arg(schema());
            node
        },
    },
    Example {
        language: "Python (tests/clients/python/requirements.txt, libsodium23)",
        is_there: || {
            let mut python = Command::new("python3");
            python.args(["-c", "import grpclib, grpc_tools, pysodium, blake3"]);
            let python = python.stdout(Stdio::null()).stderr(Stdio::null()).status();
            python.is_ok_and(|status| status.success()) && is_installed("protoc-gen-grpclib_python")
        },
        command: python,
    },
    Example {
        language: "Java (Debian's packages that tests/clients/java/build names)",
        is_there: || {
            let mut build = Command::new(in_repository("tests/clients/java/build"));
            let build = build.arg("--check").stderr(Stdio::null()).status();
            build.is_ok_and(|status| status.success())
        },
        command: java,
    },
];

fn schema() -> PathBuf {
    in_repository("proto/schema")
}

/// Generates the messages and stubs from the schema, then runs the client over them.
fn python(folder: &Path) -> Command {
    let generated = folder.join("generated");
    fs::create_dir(&generated).unwrap();
    let files = fs::read_dir(schema().join("vitrail/v1")).unwrap();
    let mut protoc = Command::new("python3");
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(schema());
    for how in ["--python_out", "--grpclib_python_out"] {
        protoc.arg(format!("{how}={}", generated.display()));
    }
    succeeds(protoc.args(files.map(|file| file.unwrap().path())));
    let mut python = Command::new("python3");
    python.arg(in_repository("tests/clients/python/claim.py"));
    python.arg(folder).env("PYTHONPATH", generated);
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Compiles the messages, the stubs and the client, and judges its group and its evaluation by the
/// vectors of their RFCs before it gets a card.
fn java(folder: &Path) -> Command {
    let built = folder.join("built");
    succeeds(Command::new(in_repository("tests/clients/java/build")).arg(&built));
    let run = |class: &str| {
        let mut java = Command::new("java");
        java.arg(format!("@{}", built.join("options").display()));
        java.arg(class);
        java
    };
    let group = in_repository("tests/clients/java/rfc9496.json");
    let evaluation = in_repository("proto/src/oprf/rfc9497_voprf.json");
    succeeds(run("till.Vectors").arg(group).arg(evaluation));
    let mut claim = run("till.Claim");
    claim.arg(folder);
    claim
}

/// What a shop has: the roster, the till's key and certificate, and somebody at the counter.
fn set_up(folder: &Path, nodes: &Nodes, till: &SecretKey, person: &Planted) {
    fs::create_dir(folder).unwrap();
    let roster = nodes.folder("cnam").join("roster.txt");
    fs::copy(roster, folder.join("roster.txt")).unwrap();
    write_secret(&folder.join("key.pem"), &till.to_pem().unwrap());
    let certificate = BASE64_STANDARD.encode(self_signed(till).unwrap());
    let lines: Vec<&str> = certificate
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    );
    fs::write(folder.join("certificate.pem"), pem).unwrap();
    let sale = json!({
        "nir": person.nir,
        "birth_date": person.birth_date,
        "birth_rank": "1",
        "contracts": [
            {"payer": CNAM_PAYER, "member": person.nir},
            {"payer": AMC_PAYERS[0], "member": person.member_number},
        ],
        "slot": "frame",
        "grouped_code": "M01",
        "lpp_code": "2223342",
        "price_cents": PRICE_CENTS,
    });
    fs::write(folder.join("sale.json"), sale.to_string()).unwrap();
}

/// Both payers cover a frame for everybody.
async fn cover(nodes: &Nodes, people: &[Planted]) {
    let federation = &nodes.federation;
    let cnam = nodes.session("cnam", &federation.cnam);
    let named = client::catalogue::publish(&cnam, &catalogue()).await;
    let named = accepted(&named.unwrap());
    for (key, mandatory) in [(&federation.cnam, true), (&federation.amcs[0], false)] {
        let insurer = Insurer::open(nodes.session("cnam", key), named)
            .await
            .unwrap();
        let rows: Vec<_> = people.iter().map(|one| one.coverage(mandatory)).collect();
        for one in insurer.cover(&rows, &mut |_| {}).await.unwrap() {
            accepted(&one.outcome.unwrap());
        }
    }
}

/// The claim is in the ledger by its receipt, and holds the frame of this person for a till of ours.
async fn judge(nodes: &Nodes, folder: &Path, told: &Value, till: &SecretKey, person: &Planted) {
    let claim = told["claim"].as_u64().unwrap();
    let expected = json!({
        "before": "free",
        "paid_cents": [PAID_CENTS, PAID_CENTS],
        "left_cents": PRICE_CENTS - 2 * PAID_CENTS,
        "claim": claim,
        "after": "reserved",
        "by": claim,
    });
    assert_eq!(*told, expected);
    let text = fs::read_to_string(folder.join("receipt.txt")).unwrap();
    ReceiptFile::verify(&text, &nodes.federation.roster, &mut |_| {}).unwrap();
    let ReceiptFile::Accepted(receipt) = ReceiptFile::parse(&text).unwrap() else {
        panic!("a refusal")
    };
    assert_eq!(receipt.proved.index, LeafIndex::new(claim));

    let view = View::new(nodes.federation.roster.clone());
    let pos = Pos::new(nodes.session("cnam", till), catalogue(), view);
    let items = ["2223342=120.00".parse().unwrap()];
    let quote = pos.check(&person.insured(), &items).await.unwrap();
    assert!(!quote.is_covered(), "the slot is another person's");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_made_from_the_schema_check_and_claim() {
    let there: Vec<&Example> = EXAMPLES.iter().filter(|it| (it.is_there)()).collect();
    for missing in EXAMPLES.iter().filter(|it| !(it.is_there)()) {
        println!("skipped: a client in {}", missing.language);
    }
    if there.is_empty() {
        return;
    }
    let dir = scratch_folder();
    let mut nodes = Nodes::found(dir.path(), SHARES, THRESHOLD, &BTreeMap::new());
    for name in ["cnam", "alpha"] {
        nodes.start(&name.parse().unwrap(), &[]);
    }
    let node = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(node, there.len() + 1).await;
    let people = Planted::people(there.len());
    cover(&nodes, &people).await;
    let own = tills.last().unwrap();
    let newest = nodes.session("cnam", own).home().checkpoint().await;
    let size = newest.unwrap().claimed().size.get();
    // A node that follows takes a till from the moment on at which it has its grant.
    reaches(&nodes.session("alpha", own), size).await;
    for (place, example) in there.into_iter().enumerate() {
        let folder = dir.path().join(format!("till-{place}"));
        set_up(&folder, &nodes, &tills[place], &people[place]);
        let ran = block_in_place(|| (example.command)(&folder).output().unwrap());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{}: {said}", example.language);
        let told = serde_json::from_slice(&ran.stdout).unwrap();
        judge(&nodes, &folder, &told, own, &people[place]).await;
    }
}
