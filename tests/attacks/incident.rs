//! After a theft: what the incident list says is what the thief did, refusals included, and a
//! crash right after an answer loses none of it. An insurer finds its own members in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use client::connection::CallError;
use client::incident::{self, IncidentList};
use client::lookup::LookupError;
use client::session::Session;
use client::system;
use proto::attestation::LookOutcome;
use proto::ids::{CoverageKey, SlotKey, UnixMillis};
use proto::incident::IncidentSecretKey;
use proto::refusal::Reason;
use serde_json::{Value, json};
use tests::binary::{vitrail, vitrail_node};
use tests::bytes::find_in_folder;
use tests::federation::accepted;
use tests::planted::{MEMBERS_HEADER, Planted};
use tests::process::write_secret;
use tests::workload::fresh_slots;
use tests::world::World;

/// One look as the thief noted it down.
type Noted = (LookOutcome, Vec<SlotKey>, Vec<CoverageKey>);

fn incident_key(world: &World) -> IncidentSecretKey {
    let path = world.federation.node_dir().join("incident.key");
    IncidentSecretKey::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn listed(world: &World, since: UnixMillis) -> IncidentList {
    let session = world
        .federation
        .session(&world.node, &world.federation.cnam);
    let till = world.tills[0].public();
    incident::list(&session, &incident_key(world), &till, since, &mut |_, _| {})
        .await
        .unwrap()
}

fn sorted(mut looks: Vec<Noted>) -> Vec<Noted> {
    looks.sort_by(|a, b| (&a.1, &a.2).cmp(&(&b.1, &b.2)));
    looks
}

fn of(list: IncidentList) -> Vec<Noted> {
    let noted = list.touched.into_iter();
    sorted(
        noted
            .map(|touched| (touched.outcome, touched.slots, touched.coverages))
            .collect(),
    )
}

/// The thief looks over one connection, and notes what he asked for and what came of it.
async fn look(thief: &Session, slots: Vec<SlotKey>, coverages: Vec<CoverageKey>) -> Noted {
    let outcome = match thief.lookup(&slots, &coverages).await {
        Ok(_) => LookOutcome::Answered,
        Err(LookupError::Call(CallError::NotAdmitted { reason, .. })) => {
            LookOutcome::Refused(reason.unwrap())
        }
        Err(error) => panic!("{error}"),
    };
    (outcome, slots, coverages)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_what_the_thief_did_and_a_crash_takes_nothing_from_it() {
    let mut world = World::new(2).await;
    let since = system::now();
    let covered = world.ground.coverage_keys.clone();
    let sessions = world.sessions();
    let mut noted = Vec::new();
    // Many at a time, so that looks share entries; another till looks meanwhile.
    for round in 0..4 {
        let looks = (0..25).map(|place| {
            let thief = sessions[0].clone();
            let coverages = covered[..(place + round) % 3].to_vec();
            tokio::spawn(async move { look(&thief, fresh_slots(1 + place % 4), coverages).await })
        });
        let looks: Vec<_> = looks.collect();
        look(&sessions[1], fresh_slots(2), covered.clone()).await;
        for looked in looks {
            noted.push(looked.await.unwrap());
        }
    }
    // The node is killed the moment after an answer: its look is on record.
    noted.push(look(&sessions[0], fresh_slots(3), covered.clone()).await);
    world.kill_and_restart();
    assert_eq!(of(listed(&world, since).await), sorted(noted.clone()));

    // A revoked key on a connection that is open: it learns nothing, and that it asked is known.
    let thief = world.sessions().remove(0);
    noted.push(look(&thief, fresh_slots(1), Vec::new()).await);
    let opticians = world
        .federation
        .session(&world.node, &world.federation.opticians);
    let revoked = client::federation::revoke(&opticians, world.tills[0].public());
    accepted(&revoked.await.unwrap());
    let refused = look(&thief, fresh_slots(2), covered.clone()).await;
    assert_eq!(refused.0, LookOutcome::Refused(Reason::GrantRevoked));
    noted.push(refused);
    let list = listed(&world, since).await;
    assert!(list.entries < 110 && list.erased == 0, "{}", list.entries);
    assert_eq!(of(list), sorted(noted.clone()));
    assert!(listed(&world, system::now()).await.touched.is_empty());

    // No key that was only looked at is anywhere on the node's disk, in clear.
    let data = world.federation.node_dir();
    for (_, slots, _) in noted.iter().step_by(40) {
        assert!(find_in_folder(&data, slots[0].as_bytes()).is_empty());
    }
    command_says_the_same(&world, since, noted.len());
}

/// A command of the CNAM, the one that runs the node.
fn command(world: &World, words: &[&str]) -> Command {
    let node = world.federation.node_dir();
    let mut command = vitrail();
    command
        .args(words)
        .args(["-o", "json", "--roster"])
        .arg(node.join("roster.txt"))
        .arg("--key")
        .arg(node.join("node.key"))
        .args(["--address", &format!("cnam={}", world.node.addresses.grpc)])
        .current_dir(world.folder.path());
    command
}

/// `vitrail incident`, of the first till.
fn incident_command(world: &World, since: UnixMillis) -> Command {
    let mut command = command(world, &["incident"]);
    command
        .args(["--till", &world.tills[0].public().to_base64()])
        .args(["--since", &since.to_iso()])
        .arg("--incident-key")
        .arg(sealed_key(world))
        .arg("--seal-file")
        .arg(world.folder.path().join("credential"));
    command
}

/// The incident key where incidents are looked into: sealed, as the node's operator hands it over.
fn sealed_key(world: &World) -> PathBuf {
    let [key, credential] = ["incident.key", "credential"].map(|n| world.folder.path().join(n));
    if key.exists() {
        return key;
    }
    let made = world.federation.node_dir().join("incident.key");
    write_secret(&key, &std::fs::read_to_string(made).unwrap());
    write_secret(&credential, "what a service manager would keep\n");
    let mut reseal = Command::new(vitrail_node());
    reseal.args([
        "reseal",
        "--seal",
        "none",
        "--to",
        "credential",
        "--incident-key",
    ]);
    let resealed = reseal.arg(&key).arg("--to-file").arg(&credential).output();
    assert!(resealed.unwrap().status.success());
    let sealed = std::fs::read_to_string(&key).unwrap();
    assert!(sealed.starts_with("vitrail sealed v1\ncredential "));
    key
}

fn answer_of(mut command: Command) -> Value {
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    serde_json::from_slice(&run.stdout).unwrap()
}

fn command_says_the_same(world: &World, since: UnixMillis, looks: usize) {
    let mut command = incident_command(world, since);
    command.args(["--report", "incident.html"]);
    let answer = answer_of(command);
    assert_eq!(answer["looks"].as_array().unwrap().len(), looks);
    assert!(answer.get("contracts").is_none());
    let page = world.folder.path().join("incident.html");
    let mode = std::fs::metadata(&page).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Each look once, in French and in English.
    let page = std::fs::read_to_string(&page).unwrap();
    assert_eq!(page.matches("data-outcome").count(), 2 * looks);
}

/// The key of somebody's coverage of a grouped code; the thief makes the token for it himself.
async fn coverage_key(thief: &Session, one: &Planted, code: &str) -> CoverageKey {
    let contract = [one.mandatory_contract()];
    let tokens = thief.contract_tokens(&contract).await.unwrap();
    tokens[0].coverage_key(code.parse().unwrap())
}

/// The thief looks at it.
async fn look_at(thief: &Session, one: &Planted, code: &str) {
    let key = coverage_key(thief, one, code).await;
    look(thief, Vec::new(), vec![key]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insurer_finds_exactly_its_members_that_were_looked_at() {
    let world = World::new(2).await;
    let since = system::now();
    let people = Planted::people(40);
    let lines = (0..).zip(&people);
    let lines: String = lines
        .map(|(place, one)| one.member_line(true, &format!("c/{place}")))
        .collect();
    let list = world.folder.path().join("members.csv");
    std::fs::write(&list, format!("{MEMBERS_HEADER}{lines}")).unwrap();
    let imported = answer_of(command(&world, &["contracts", "import", "members.csv"]));
    assert_eq!(imported["contracts"], people.len());

    let sessions = world.sessions();
    look_at(&sessions[0], &people[7], "M01").await;
    look_at(&sessions[1], &people[8], "M01").await;
    look(&sessions[0], fresh_slots(2), Vec::new()).await;
    look_at(&sessions[0], &people[30], "LEN").await;
    look_at(&sessions[0], &people[7], "VU1").await;
    let opticians = &world.federation.opticians;
    let opticians = world.federation.session(&world.node, opticians);
    let key = coverage_key(&sessions[0], &people[12], "M01").await;
    let revoked = client::federation::revoke(&opticians, world.tills[0].public());
    accepted(&revoked.await.unwrap());
    let refused = look(&sessions[0], Vec::new(), vec![key]).await.0;
    assert_eq!(refused, LookOutcome::Refused(Reason::GrantRevoked));

    let with_contracts = |world: &World| {
        let mut command = incident_command(world, since);
        command.args(["--contracts", "contracts.txt"]);
        command
    };
    let answer = answer_of(with_contracts(&world));
    let expected = json!({ "read": 40, "affected": [
        { "line": 13, "reference": "c/7", "answered": true, "looks": [0, 3] },
        { "line": 18, "reference": "c/12", "answered": false, "looks": [4] },
        { "line": 36, "reference": "c/30", "answered": true, "looks": [2] },
    ] });
    assert_eq!(answer["contracts"], expected);

    // With another payer's tokens nothing would match, and nobody would be told.
    let file = world.folder.path().join("contracts.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("payer 01", "payer 02")).unwrap();
    let refused = with_contracts(&world).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its payer is not"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_no_incident_key_gets_no_record() {
    let world = World::new(1).await;
    look(&world.sessions()[0], fresh_slots(1), Vec::new()).await;
    let key = incident_key(&world);
    for secret in [&world.tills[0], &world.federation.amcs[0]] {
        let session = world.federation.session(&world.node, secret);
        let till = world.tills[0].public();
        let since = UnixMillis::new(0);
        let refused = incident::list(&session, &key, &till, since, &mut |_, _| {}).await;
        assert!(refused.is_err());
    }
}

/// With no way to write the look down there is no answer: see `disk_full` for that.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_the_access_entries_in_order() {
    let world = World::new(1).await;
    for _ in 0..3 {
        look(&world.sessions()[0], fresh_slots(1), Vec::new()).await;
    }
    let address = format!("http://{}", world.node.addresses.http);
    let source = client::auditor::HttpSource::new(&address).unwrap();
    let auditor = client::auditor::Auditor::new(source, world.federation.roster.clone());
    let audit = auditor.audit(&mut |_| {}).await.unwrap();
    assert_eq!(audit.counts[&proto::entry::Kind::Access], 3);
    assert_eq!(listed(&world, UnixMillis::new(0)).await.entries, 3);
}
