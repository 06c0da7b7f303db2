use proto::checkpoint::Checkpoint;
use proto::hash;
use proto::ids::{TreeSize, UnixSeconds};
use proto::roster::{RosterParts, Standing};

use super::*;
use crate::example::{first_roster, secret};

const NOW: UnixMillis = UnixMillis::new(1_768_000_100_500);

/// The example federation, with a vote for every member.
fn roster() -> Roster {
    let first = first_roster();
    let first = first.admitted();
    let mut members = first.members().to_vec();
    for member in &mut members {
        member.standing = Standing::Voting;
    }
    Roster::new(RosterParts {
        origin: first.origin().clone(),
        epoch: first.epoch(),
        previous: None,
        threshold: first.threshold(),
        joint: *first.joint(),
        ceremony: None,
        members,
        shares: first.shares().to_vec(),
        incident_keys: first.incident_keys().to_vec(),
    })
    .unwrap()
}

fn cosigned(roster: &Roster, size: u64, ago: u64, names: &[&MemberName]) -> SignedCheckpoint {
    let checkpoint = Checkpoint {
        origin: roster.origin().clone(),
        size: TreeSize::new(size),
        log_root: hash::empty(),
        map_root: hash::empty(),
    };
    let time = UnixSeconds::new(NOW.seconds().get() - ago);
    let lines = names
        .iter()
        .map(|name| checkpoint.cosign(name, &secret(name.as_str()), time));
    SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
}

/// All members have cosigned 40 entries 7 s ago, but for the last one, which is away since 33.
fn sight() -> Sight {
    let roster = roster();
    let names: Vec<_> = roster.members().iter().map(|it| &it.name).collect();
    let (away, here) = names.split_last().unwrap();
    let cosignatures = vec![
        cosigned(&roster, 33, 300, &[away]),
        cosigned(&roster, 40, 7, here),
    ];
    Sight {
        now: NOW,
        name: "cnam".parse().unwrap(),
        condition: Condition::Writing,
        is_recalling: false,
        size: 40,
        settled: 38,
        age: Some(Duration::from_secs(7)),
        fresh_for: Duration::from_secs(60),
        cosignatures,
        votes: true,
        leader: Some(here[0].clone()),
        has_share: true,
        appended: [vec![0; 58], vec![30, 4]].concat(),
        disk: Some(Disk {
            free_bytes: 9_000_000_000,
            watermark_bytes: 268_435_456,
        }),
        backup: Some(UnixMillis::new(NOW.get() - 3_600_000)),
        running_for: Duration::from_secs(3_700),
        readings: vec![("mass", 0), ("night", 2)],
        refused: (0, 0),
        roster: Arc::new(roster),
    }
}

#[test]
fn the_page_for_programs_has_this_form() {
    let json = serde_json::to_string_pretty(&sight().overview()).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/overview/golden.json");
    assert_eq!(json + "\n", std::fs::read_to_string(path).unwrap());
}

#[test]
fn a_signature_of_another_key_counts_for_nothing() {
    let mut sight = sight();
    let away = sight.roster.members().last().unwrap().name.clone();
    let checkpoint = cosigned(&sight.roster, 40, 7, &[&sight.name])
        .claimed()
        .clone();
    let line = checkpoint.cosign(&away, &secret("nobody"), NOW.seconds());
    let forged = SignedCheckpoint::new(checkpoint, vec![line]).unwrap();
    sight.cosignatures.push(forged);
    let overview = sight.overview();
    let last = overview.members.last().unwrap();
    assert_eq!((last.present, last.behind), (false, Some(7)));
}

#[test]
fn what_goes_wrong_is_an_alarm() {
    let mut bad = sight();
    bad.condition = Condition::Stopped(crate::sequencer::StopReason::DiskFull);
    bad.age = None;
    bad.is_recalling = true;
    bad.refused = (1, 0);
    bad.has_share = false;
    bad.backup = None;
    bad.cosignatures.truncate(1);
    bad.disk = Some(Disk {
        free_bytes: 5,
        watermark_bytes: 10,
    });
    let overview = bad.overview();
    let codes: Vec<_> = overview
        .alarms
        .iter()
        .map(|alarm| {
            serde_json::to_value(alarm).unwrap()["code"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let wanted = [
        "writes-stopped",
        "checkpoint-old",
        "quorum-lost",
        "member-away",
        "shares-missing",
        "not-cosigning",
        "own-share-missing",
        "disk-low",
        "others-refused",
        "backup-old",
        "readings",
    ];
    for code in wanted {
        assert!(codes.iter().any(|it| it == code), "{code}: {codes:?}");
    }
    assert_eq!(overview.may_fail, Some(0));
}

#[test]
fn who_lacks_what_is_long_there_is_away_though_it_signed_lately() {
    let mut late = sight();
    let away = late.roster.members().last().unwrap().name.clone();
    late.cosignatures
        .push(cosigned(&late.roster, 37, 9, &[&away]));
    assert!(!late.overview().members.last().unwrap().present);
    let mut slow = sight();
    slow.cosignatures
        .push(cosigned(&slow.roster, 38, 9, &[&away]));
    assert!(slow.overview().members.last().unwrap().present);
}

/// The limits are those of the alert of the same name, which tells the same operator.
#[test]
fn a_backup_of_two_days_is_too_old_and_a_new_node_has_an_hour_for_its_first() {
    let (day, hour) = (86_400_000, Duration::from_secs(3_600));
    let moment = Duration::from_secs(1);
    let told = |backup: Option<u64>, running_for| {
        let mut sight = sight();
        sight.backup = backup.map(|ago| UnixMillis::new(NOW.get() - ago));
        sight.running_for = running_for;
        let mut alarms = sight.overview().alarms.into_iter();
        alarms.find(|it| matches!(it, Alarm::BackupOld { .. }))
    };
    assert_eq!(told(Some(2 * day), moment), None);
    let age_s = Some(2 * 86_400 + 1);
    assert_eq!(
        told(Some(2 * day + 1_000), moment),
        Some(Alarm::BackupOld { age_s })
    );
    assert_eq!(told(None, hour), None);
    assert_eq!(
        told(None, hour + moment),
        Some(Alarm::BackupOld { age_s: None })
    );
    let rules = include_str!("../../../deploy/prometheus/vitrail.rules.yml");
    let rule = rules
        .split("- alert: ")
        .find(|it| it.starts_with("VitrailBackupOld\n"));
    let rule = rule.unwrap();
    assert!(
        rule.contains("> 2 * 86400\n") && rule.contains("for: 1h\n"),
        "{rule}"
    );
}

/// A member without a vote is sent no cosignatures; who of the others is away it cannot say.
#[test]
fn a_node_without_a_vote_raises_no_alarm_about_others() {
    let mut following = sight();
    following.votes = false;
    following.condition = Condition::Following;
    following.cosignatures.truncate(1);
    following.readings.clear();
    let overview = following.overview();
    assert_eq!((overview.may_fail, overview.alarms), (None, Vec::new()));
}
