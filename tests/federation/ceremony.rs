//! Three members make the joint keys together, one of them killed again and again; what comes out
//! is published, evaluates, and is refreshed without a change of a token. A member whose disk is
//! gone gets its shares again from the two others.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use client::session::{Session, SessionParts};
use client::system;
use node::evaluator::{Evaluator, JointKey};
use node::protection::{Method, Protection, Sealing};
use proto::oprf::{
    self, BlindedElement, JointPublicKey, PartialEvaluation, PublicShare, ShareIndex, Threshold,
    VerifiedEvaluation,
};
use proto::roster::{MemberShare, Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::v1::TokenKind;
use tests::answers::answer;
use tests::binary::{scratch_folder, vitrail_node};
use tests::bytes::find_in_folder;
use tests::federation::{CNAM_PAYER, ORIGIN, fresh_key};
use tests::process::{NodeProcess, write_secret};

const NAMES: [&str; 3] = ["alpha", "beta", "cnam"];
/// Longest wait for a file or the end of a process; a debug build on a busy machine is slow.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How often the killed member is killed while it takes part.
const KILLS: u64 = 6;
const INPUT: &[u8] = b"an input that no member sees";

/// Three members with folders of their own, one of which has founded the ledger.
struct Table {
    dir: PathBuf,
    keys: BTreeMap<&'static str, SecretKey>,
    ports: BTreeMap<&'static str, u16>,
}

impl Table {
    fn found(dir: &Path) -> Self {
        let ports: BTreeMap<_, _> = NAMES.into_iter().zip(free_ports()).collect();
        let mut keys: BTreeMap<_, _> = NAMES.map(|name| (name, fresh_key())).into();
        let member = |name: &str, payer: &str| {
            let (key, port) = (keys[name].public().to_base64(), ports[name]);
            format!("{name} amc {payer} following {key} 127.0.0.1:{port} -")
        };
        write_secret(&dir.join("credential"), "a secret of the service manager\n");
        let founded = Command::new(vitrail_node())
            .args([
                "init", "--origin", ORIGIN, "--name", "cnam", "--role", "amo",
            ])
            .args(["--payer-number", CNAM_PAYER, "--seal", "credential"])
            .arg("--seal-file")
            .arg(dir.join("credential"))
            .arg("--dir")
            .arg(dir.join("cnam"))
            .args(["--grpc", &format!("127.0.0.1:{}", ports["cnam"])])
            .args(["--member", &member("alpha", "11111111")])
            .args(["--member", &member("beta", "22222222")])
            .output()
            .unwrap();
        succeeded(&founded);
        let pem = fs::read_to_string(dir.join("cnam/node.key")).unwrap();
        keys.insert("cnam", SecretKey::from_pem(&pem).unwrap());
        let table = Self {
            dir: dir.to_owned(),
            keys,
            ports,
        };
        table.join("alpha");
        table.join("beta");
        table
    }

    /// Gives a following member its folder.
    fn join(&self, name: &str) {
        let dir = self.dir.join(name);
        fs::create_dir(&dir).unwrap();
        write_secret(&dir.join("node.key"), &self.keys[name].to_pem().unwrap());
        fs::copy(self.dir.join("cnam/roster.txt"), dir.join("roster.txt")).unwrap();
        let settings = format!(
            "name = \"{name}\"\nseal = \"credential\"\nseal_file = \"../credential\"\ngrpc = \"127.0.0.1:{}\"\n",
            self.ports[name]
        );
        fs::write(dir.join("node.toml"), settings).unwrap();
    }

    fn roster(&self, path: &str) -> SignedRoster {
        SignedRoster::parse(&fs::read(self.dir.join(path)).unwrap()).unwrap()
    }

    fn take_part(&self, name: &str, terms: &[&str]) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{name}.log")))
            .unwrap();
        Command::new(vitrail_node())
            .args(["ceremony", "run", "-o", "json", "--dir"])
            .arg(self.dir.join(name))
            .args(terms)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Waits until every process has ended well, and gives the hash of the roster that all of
    /// them propose.
    fn agreed(&self, processes: Vec<(&str, Child)>) -> String {
        let mut hashes = Vec::new();
        for (name, process) in processes {
            let output = process.wait_with_output().unwrap();
            let log = fs::read_to_string(self.dir.join(format!("{name}.log")));
            assert!(output.status.success(), "{name}: {}", log.unwrap());
            let report = answer(&["ceremony", "run"], &output.stdout);
            assert_eq!(report["quorum"], true);
            hashes.push(report["roster_hash"].as_str().unwrap().to_owned());
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        hashes.remove(0)
    }

    /// Appends the proposed roster through the founder's running node.
    fn publish(&self, in_force: &str, proposal: &str) -> NodeProcess {
        let any = "127.0.0.1:0";
        let flags = ["--http", any, "--admin", any];
        let dir = self.dir.join("cnam");
        let mut node = NodeProcess::start(&dir, &flags).unwrap();
        let published = Command::new(vitrail_node())
            .args(["ceremony", "publish", "--dir"])
            .arg(&dir)
            .arg("--in-force")
            .arg(self.dir.join(in_force))
            .arg("--proposal")
            .arg(self.dir.join(proposal))
            .output()
            .unwrap();
        succeeded(&published);
        let _ = answer(&["ceremony", "publish"], &published.stdout);
        let page = node.page("/roster").unwrap();
        assert_eq!(page, fs::read(self.dir.join(proposal)).unwrap());
        assert!(node.terminate().success());
        NodeProcess::start(&dir, &flags).unwrap()
    }

    fn evaluator(&self, path: &str) -> Evaluator {
        let sealing = Sealing {
            method: Method::Credential,
            file: Some(self.dir.join("credential")),
            ..Sealing::default()
        };
        let protection = Protection::load(&sealing).unwrap();
        let sealed = fs::read_to_string(self.dir.join(path)).unwrap();
        let text = protection.open("evaluator key", &sealed).unwrap();
        Evaluator::parse(&text).unwrap()
    }

    /// What the running node of this member answers to a payer.
    async fn asked(
        &self,
        home: &str,
        roster: &Roster,
        blinded: BlindedElement,
    ) -> PartialEvaluation {
        let parts = SessionParts {
            roster: roster.clone(),
            secret: self.keys["alpha"].clone(),
            home: Some(home.parse().unwrap()),
            addresses: BTreeMap::new(),
            observer: None,
        };
        let session = Session::open(parts).unwrap();
        let id = system::request_id().unwrap();
        let blinded = [blinded];
        let answer = session.home().evaluate(id, TokenKind::Contract, &blinded);
        answer.await.unwrap()
    }
}

fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Ports that nothing listens on now.
fn free_ports() -> Vec<u16> {
    let bound: Vec<_> = NAMES
        .iter()
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let ports = bound.iter().map(|one| one.local_addr().unwrap().port());
    ports.collect()
}

fn wait_for(path: &Path) {
    let until = Instant::now() + WAIT_MAX;
    while !path.exists() {
        assert!(Instant::now() < until, "{} is missing", path.display());
        sleep(Duration::from_millis(5));
    }
}

fn kill(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

fn public(share: &MemberShare) -> PublicShare {
    let index = ShareIndex::new(share.index.get()).unwrap();
    PublicShare::from_bytes(index, share.public.contract.as_bytes()).unwrap()
}

/// The output of the contract key for the input, from these answers.
fn combined(roster: &Roster, kept: &oprf::Blind, answers: &[VerifiedEvaluation]) -> Vec<u8> {
    let joint = JointPublicKey::from_bytes(roster.joint().contract.as_bytes()).unwrap();
    let threshold = Threshold::new(roster.threshold().get()).unwrap();
    let combined = oprf::combine(&joint, threshold, answers).unwrap();
    kept.finalize(&combined[0]).as_bytes().to_vec()
}

/// The one output that every pair of members gives; the founder's answers come from its node.
async fn output(table: &Table, roster: &Roster, files: &[String; 2]) -> Vec<u8> {
    let (kept, blinded) = oprf::blind(INPUT, &[9; 64]).unwrap();
    let mut answers = Vec::new();
    for (name, file) in NAMES.into_iter().zip(files) {
        let evaluator = table.evaluator(file);
        let share = roster.share(&name.parse().unwrap()).unwrap();
        assert!(evaluator.fits(share), "{name}");
        let answer = evaluator.evaluate(JointKey::Contract, &[blinded], &[8; 64]);
        let verified = public(share).verify(&[blinded], answer.unwrap());
        answers.push(verified.unwrap());
    }
    let share = roster.share(&"cnam".parse().unwrap()).unwrap();
    let answer = table.asked("cnam", roster, blinded).await;
    answers.push(public(share).verify(&[blinded], answer).unwrap());
    let pairs = [[0, 1], [1, 2], [2, 0]];
    let outputs = pairs.map(|pair| {
        let pair = pair.map(|place| answers[place].clone());
        combined(roster, &kept, &pair)
    });
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    outputs[0].clone()
}

/// The ceremony, with beta killed while it takes part; gives the hash of the proposed roster.
fn deal_with_kills(table: &Table) -> String {
    let terms: Vec<&str> = ["--threshold", "2"]
        .into_iter()
        .chain(NAMES.iter().flat_map(|name| ["--participant", name]))
        .collect();
    // beta says its commitment, alpha has it, and beta is killed before the third is there.
    let alpha = table.take_part("alpha", &terms);
    let mut beta = table.take_part("beta", &terms);
    wait_for(&table.dir.join("alpha/ceremony/1-1/commitment-beta"));
    kill(&mut beta);
    let cnam = table.take_part("cnam", &terms);
    for round in 0..KILLS {
        let mut beta = table.take_part("beta", &terms);
        sleep(Duration::from_millis(40 * (round + 1)));
        kill(&mut beta);
    }
    // Another opening than the first would be refused: alpha has kept the commitment.
    let beta = table.take_part("beta", &terms);
    table.agreed(vec![("alpha", alpha), ("beta", beta), ("cnam", cnam)])
}

/// Everybody has the same transcript, and nothing that the shares could be made from again.
fn assert_only_the_outcome_is_left(table: &Table) {
    let transcript = fs::read(table.dir.join("alpha/ceremony/1-1/transcript.txt")).unwrap();
    for name in NAMES {
        let folder = table.dir.join(name).join("ceremony/1-1");
        let theirs = fs::read(folder.join("transcript.txt")).unwrap();
        assert_eq!(theirs, transcript, "{name}");
        assert!(!folder.join("seed").exists(), "{name}");
        assert_eq!(find_in_folder(&folder, b"vitrail evaluator key").len(), 0);
        for other in NAMES {
            assert!(!folder.join(format!("share-{other}")).exists(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_make_the_keys_together_though_one_is_killed_and_refresh_them() {
    let scratch = scratch_folder();
    let table = Table::found(scratch.path());
    let hash = deal_with_kills(&table);
    assert_only_the_outcome_is_left(&table);
    let proposal = "beta/ceremony/1-1/roster.txt";
    let roster = table.roster(proposal).admitted().clone();
    assert_eq!(roster.hash().to_base64(), hash);
    assert_eq!((roster.threshold().get(), roster.shares().len()), (2, 3));

    let key_file = scratch.path().join("cnam/evaluator.key");
    let founders = fs::read(&key_file).unwrap();
    let mut node = table.publish("cnam/roster.txt", proposal);
    assert_ne!(fs::read(&key_file).unwrap(), founders);
    let dealt = scratch.path().join("cnam/ceremony/1-1/evaluator.key");
    assert!(!dealt.exists(), "the share has moved");
    let files = ["alpha", "beta"].map(|name| format!("{name}/ceremony/1-1/evaluator.key"));
    let before = output(&table, &roster, &files).await;
    assert!(node.terminate().success());

    let in_force = scratch.path().join(proposal);
    let terms = ["--refresh", "--in-force", in_force.to_str().unwrap()];
    let processes = NAMES.map(|name| (name, table.take_part(name, &terms)));
    table.agreed(processes.into());
    let refreshed = "alpha/ceremony/2-1/roster.txt";
    let next = table.roster(refreshed).admitted().clone();
    assert_eq!(next.joint(), roster.joint());
    let shares = next.shares().iter().zip(roster.shares());
    assert!(shares.into_iter().all(|(new, old)| new != old));
    let mut node = table.publish(proposal, refreshed);
    let files = ["alpha", "beta"].map(|name| format!("{name}/ceremony/2-1/evaluator.key"));
    let after = output(&table, &next, &files).await;
    assert_eq!(after, before, "no token has changed");
    assert!(node.terminate().success());
}

/// The disk of beta is gone; it has its key from elsewhere, and a folder like a new member's.
fn lose_beta(table: &Table) {
    fs::remove_dir_all(table.dir.join("beta")).unwrap();
    table.join("beta");
}

/// The repair of beta, with a helper and beta itself killed while they take part.
fn repair_with_kills(table: &Table, in_force: &Path) -> String {
    let in_force = in_force.to_str().unwrap();
    let terms = ["--repair", "beta", "--in-force", in_force];
    let terms = [
        terms.as_slice(),
        &["--participant", "alpha", "--participant", "cnam"],
    ]
    .concat();
    let mut beta = table.take_part("beta", &terms);
    let mut alpha = table.take_part("alpha", &terms);
    for (name, other) in [("beta", "alpha"), ("alpha", "beta")] {
        wait_for(
            &table
                .dir
                .join(format!("{name}/ceremony/2-1/commitment-{other}")),
        );
    }
    kill(&mut alpha);
    kill(&mut beta);
    // Other deltas than the first would be refused: beta has kept the commitment.
    let [alpha, mut beta, cnam] =
        ["alpha", "beta", "cnam"].map(|name| table.take_part(name, &terms));
    // Its shares are durable, and it has just said so.
    wait_for(&table.dir.join("beta/ceremony/2-1/confirmation-beta"));
    kill(&mut beta);
    let beta = table.take_part("beta", &terms);
    table.agreed(vec![("alpha", alpha), ("beta", beta), ("cnam", cnam)])
}

/// beta has its shares in their place, and nobody anything that they could be made from again.
fn assert_only_the_share_is_back(table: &Table) {
    let transcript = fs::read(table.dir.join("alpha/ceremony/2-1/transcript.txt")).unwrap();
    assert!(table.dir.join("beta/evaluator.key").exists());
    for name in NAMES {
        let folder = table.dir.join(name).join("ceremony/2-1");
        let theirs = fs::read(folder.join("transcript.txt")).unwrap();
        assert_eq!(theirs, transcript, "{name}");
        let left = fs::read_dir(&folder).unwrap();
        for file in left.map(|file| file.unwrap().file_name().into_string().unwrap()) {
            let secret = ["seed", "share-", "sigma-", "evaluator.key"];
            let is_secret = secret.iter().any(|start| file.starts_with(start));
            assert!(!is_secret, "{name} has {file}");
        }
    }
}

/// What the running nodes of beta and of cnam give for the input.
async fn output_of_nodes(table: &Table, roster: &Roster) -> Vec<u8> {
    let (kept, blinded) = oprf::blind(INPUT, &[9; 64]).unwrap();
    let mut answers = Vec::new();
    for name in ["beta", "cnam"] {
        let share = roster.share(&name.parse().unwrap()).unwrap();
        let answer = table.asked(name, roster, blinded).await;
        answers.push(public(share).verify(&[blinded], answer).unwrap());
    }
    combined(roster, &kept, &answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_is_gone_gets_its_shares_again_from_the_two_others() {
    let scratch = scratch_folder();
    let table = Table::found(scratch.path());
    let terms: Vec<&str> = ["--threshold", "2"]
        .into_iter()
        .chain(NAMES.iter().flat_map(|name| ["--participant", name]))
        .collect();
    table.agreed(
        NAMES
            .map(|name| (name, table.take_part(name, &terms)))
            .into(),
    );
    let dealt = "alpha/ceremony/1-1/roster.txt";
    let roster = table.roster(dealt).admitted().clone();
    let mut cnam = table.publish("cnam/roster.txt", dealt);
    let files = ["alpha", "beta"].map(|name| format!("{name}/ceremony/1-1/evaluator.key"));
    let before = output(&table, &roster, &files).await;
    assert!(cnam.terminate().success());

    lose_beta(&table);
    let helper = fs::read(scratch.path().join("cnam/evaluator.key")).unwrap();
    let hash = repair_with_kills(&table, &scratch.path().join(dealt));
    assert_only_the_share_is_back(&table);
    let same = fs::read(scratch.path().join("cnam/evaluator.key")).unwrap();
    assert_eq!(helper, same, "a helper's share is what it was");

    // The roster in force publishes these shares already: nothing has to come before.
    let flags = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut cnam = NodeProcess::start(&scratch.path().join("cnam"), &flags).unwrap();
    let mut beta = NodeProcess::start(&scratch.path().join("beta"), &flags).unwrap();
    assert_eq!(output_of_nodes(&table, &roster).await, before);
    assert!(beta.terminate().success());
    assert!(cnam.terminate().success());

    // What goes to the ledger names the transcript, and changes nothing else.
    let repaired = "beta/ceremony/2-1/roster.txt";
    let next = table.roster(repaired).admitted().clone();
    assert_eq!(next.hash().to_base64(), hash);
    assert_eq!(
        (next.shares(), next.joint()),
        (roster.shares(), roster.joint())
    );
    assert_eq!(next.threshold(), roster.threshold());
    assert_ne!(next.ceremony(), roster.ceremony());
    let mut cnam = table.publish(dealt, repaired);
    assert!(cnam.terminate().success());
}

#[test]
fn a_member_with_other_terms_is_named_and_nothing_is_made() {
    let scratch = scratch_folder();
    let table = Table::found(scratch.path());
    let everybody: Vec<&str> = NAMES
        .iter()
        .flat_map(|name| ["--participant", name])
        .collect();
    let two = [&["--threshold", "2"], everybody.as_slice()].concat();
    let three = [&["--threshold", "3"], everybody.as_slice()].concat();
    let mut beta = table.take_part("beta", &three);
    let mut cnam = table.take_part("cnam", &two);
    let alpha = table.take_part("alpha", &two).wait_with_output().unwrap();
    assert_eq!(alpha.status.code(), Some(1));
    let said = fs::read_to_string(scratch.path().join("alpha.log")).unwrap();
    assert!(
        said.contains("error: beta holds a ceremony with another plan"),
        "{said}"
    );
    kill(&mut beta);
    kill(&mut cnam);
    assert!(
        !scratch
            .path()
            .join("alpha/ceremony/1-1/evaluator.key")
            .exists()
    );
}
