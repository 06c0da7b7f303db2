//! `vitrail doctor` in a real federation: where all is well, and with what only a federation that runs
//! can show: a member that is down, a key that nobody admits, somebody else's roster.

use std::collections::BTreeMap;
use std::fs;

use proto::signing::SecretKey;
use serde_json::Value;
use tests::binary::scratch_folder;
use tests::federation::{Federation, fresh_key};
use tests::payers::Payers;

/// How each matter stands, with what was found.
type Found = BTreeMap<String, (String, String)>;

/// What the doctor finds with a till's key; the exit code is 0 when nothing is ill, else 1.
fn examined(payers: &Payers, key: &SecretKey, more: &[&str]) -> Found {
    let words = [&["doctor", "--catalogue", "catalogue.txt"], more].concat();
    let done = payers.command(key, "till", &words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"));
    let findings = answer["findings"].as_array().unwrap().iter();
    let found: Found = findings
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            (text("matter"), (text("standing"), text("found")))
        })
        .collect();
    let is_well = found.values().all(|(standing, _)| standing != "failed");
    assert_eq!(answer["well"], is_well, "{found:#?}");
    assert_eq!(done.status.code(), Some(i32::from(!is_well)), "{found:#?}");
    found
}

/// What does not stand as it should.
fn not_well(found: &Found) -> Vec<(&str, &str)> {
    let matters = found.iter();
    let all = matters.map(|(matter, (standing, _))| (matter.as_str(), standing.as_str()));
    all.filter(|(_, standing)| *standing != "ok").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_finds_nothing_where_all_is_well_and_names_what_is_not() {
    let mut payers = Payers::all_voting(2, 1).await;
    let till = payers.tills[0].clone();
    let well = examined(&payers, &till, &[]);
    assert_eq!(not_well(&well), [], "{well:#?}");
    for member in ["alpha", "beta", "cnam", "opticians"] {
        let (_, found) = &well[&format!("node {member}")];
        assert!(found.starts_with("answers in "), "{found}");
    }
    let federation = &well["federation"].1;
    assert_eq!(federation, "4 of 4 members that vote are reached");
    assert_eq!(well["catalogue in force"].1, "it is the own one");
    assert!(well["admission"].1.ends_with(" admits this key"));

    // Nobody admits a key that has no grant; everything else is as well as before.
    let strange = examined(&payers, &fresh_key(), &[]);
    assert_eq!(
        not_well(&strange),
        [("admission", "failed")],
        "{strange:#?}"
    );

    payers.nodes.kill("beta");
    let without = examined(&payers, &till, &[]);
    let ill = [("federation", "remark"), ("node beta", "failed")];
    assert_eq!(not_well(&without), ill, "{without:#?}");
    let federation = &without["federation"].1;
    assert_eq!(federation, "3 of 4 members that vote are reached");

    payers.nodes.start(&"beta".parse().unwrap(), &[]);
    somebody_elses_roster(&payers, &till);
}

/// The nodes are there, but not those that this roster lists: none of them is taken for its member.
fn somebody_elses_roster(payers: &Payers, till: &SecretKey) {
    let folder = scratch_folder();
    let other = Federation::found(folder.path());
    let roster = other.node_dir().join("roster.txt");
    let kept = payers.dir().join("roster.txt");
    let own = fs::read(&kept).unwrap();
    fs::copy(&roster, &kept).unwrap();
    fs::remove_dir_all(payers.dir().join("till-state")).unwrap();
    let address = format!("cnam={}", payers.nodes.node("cnam").addresses.grpc);
    let found = examined(payers, till, &["--address", &address]);
    fs::write(&kept, own).unwrap();
    assert_eq!(found["roster"].0, "ok");
    assert_eq!(found["node cnam"].0, "failed", "{found:#?}");
    assert_eq!(found["federation"].0, "failed", "{found:#?}");
    assert!(!found.contains_key("admission"), "{found:#?}");
}
