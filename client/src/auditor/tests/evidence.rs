//! What an auditor can show others of a log that does not pass.

use proto::evidence::{Evidence, EvidenceError, Offence, Verdict};
use proto::ids::UnixSeconds;

use super::*;

/// What the failing audit of these files shows, once it is verified as others would.
async fn shown(
    files: HashMap<String, Vec<u8>>,
    seen: Option<&SignedCheckpoint>,
) -> Option<Result<Verdict, EvidenceError>> {
    let roster = Ledger::new().roster;
    let mut auditor = Auditor::new(Files(files), roster.clone());
    if let Some(seen) = seen {
        auditor = auditor.having_seen(&seen.verify(&roster).unwrap());
    }
    let failed = auditor.audit(&mut |_| {}).await.unwrap_err();
    let evidence = auditor.evidence(&failed).await.unwrap()?;
    Some(Evidence::verify_text(
        &evidence.to_text(),
        &roster,
        &mut |_| {},
    ))
}

fn members(verdict: &Verdict) -> Vec<&str> {
    verdict.members.iter().map(|name| name.as_str()).collect()
}

#[tokio::test]
async fn a_wrong_map_is_shown_from_the_founding_or_from_what_was_seen() {
    let seen = Ledger::furnished().checkpoint();
    let mut ledger = Ledger::furnished();
    ledger.append("amc", &coverage(7));
    ledger.append("till", &release(&[1], 4));
    ledger.map.remove(&catalogue_place());
    let size = TreeSize::new(8);
    for seen in [None, Some(&seen)] {
        let verdict = shown(ledger.files(), seen).await.unwrap().unwrap();
        assert_eq!(verdict.offence, Offence::WrongMap { size });
        assert_eq!(members(&verdict), ["amc", "amo", "mutuelle", "opticiens"]);
        assert!(verdict.certified);
    }
}

#[tokio::test]
async fn a_slot_that_is_taken_twice_is_shown_and_other_rules_take_the_log() {
    let mut ledger = Ledger::furnished();
    let index = ledger.append("till", &claim(&[1], 3));
    let verdict = shown(ledger.files(), None).await.unwrap().unwrap();
    let reason = Reason::SlotReserved;
    assert_eq!(verdict.offence, Offence::Rule { index, reason });

    let mut ledger = Ledger::furnished();
    let index = ledger.append("amc", &grant("other"));
    ledger.append("amc", &coverage(7));
    let reason = Reason::KindNotAllowed;
    let needs = EvidenceError::NeedsTheLog { index, reason };
    assert_eq!(shown(ledger.files(), None).await, Some(Err(needs)));
}

#[tokio::test]
async fn an_entry_that_is_dated_back_is_shown_with_one_that_stands_before_it() {
    let ledger = issued_before(ORDER_SKEW_MS_MAX + 1);
    let seen = Ledger::furnished().checkpoint();
    for seen in [None, Some(&seen)] {
        let verdict = shown(ledger.files(), seen).await.unwrap().unwrap();
        let (index, reason) = (LeafIndex::new(7), Reason::ClockSkew);
        assert_eq!(verdict.offence, Offence::Rule { index, reason });
        assert!(verdict.certified);
    }
    // What was seen before ends behind the later one: only the whole log shows both.
    let mut seen = Ledger::furnished();
    let at = UnixMillis::new(BEGIN.get() + 500_000);
    seen.append_at("amc", &coverage(8), at);
    let verdict = shown(ledger.files(), Some(&seen.checkpoint())).await;
    assert!(verdict.unwrap().is_ok());
}

#[tokio::test]
async fn a_rewritten_log_a_fork_and_a_way_back_are_shown() {
    let seen = Ledger::furnished().checkpoint();
    let (from, to) = (TreeSize::new(6), TreeSize::new(7));
    let mut rewritten = Ledger::furnished();
    rewritten.entries.pop();
    rewritten.append("till", &release(&[1, 2], 4));
    let forked = rewritten.files();
    rewritten.append("amc", &coverage(7));
    let verdict = shown(rewritten.files(), Some(&seen)).await;
    let verdict = verdict.unwrap().unwrap();
    assert_eq!(verdict.offence, Offence::Rewritten { from, to });
    // The same size with another log root: a whole log has been read, so it is shown as two states.
    let verdict = shown(forked, Some(&seen)).await.unwrap().unwrap();
    assert_eq!(verdict.offence, Offence::Fork { size: from });

    let short = Ledger::new();
    let checkpoint = short.checkpoint().claimed().clone();
    let sign = |time| {
        let line = |name: &str| {
            let time = UnixSeconds::new(BEGIN.seconds().get() + time);
            checkpoint.cosign(&name.parse().unwrap(), &secret(name), time)
        };
        let lines = ["amc", "amo", "mutuelle"].map(line).to_vec();
        SignedCheckpoint::new(checkpoint.clone(), lines).unwrap()
    };
    let mut files = short.files();
    let mut serve = |time| {
        let text = sign(time).to_text().into_bytes();
        files.insert("checkpoint".to_owned(), text);
        files.clone()
    };
    let verdict = shown(serve(500), Some(&seen)).await.unwrap().unwrap();
    let (size, smaller) = (from, TreeSize::new(1));
    assert_eq!(verdict.offence, Offence::Rollback { size, smaller });
    // One that was signed before the one seen is an old copy, and nobody's lie.
    assert_eq!(shown(serve(0), Some(&seen)).await, None);
}

#[tokio::test]
async fn a_byte_that_is_wrong_on_the_way_accuses_nobody() {
    let files = Ledger::furnished().files();
    for (path, place) in [("tile/0/000.p/6", 40), ("tile/entries/000.p/6", 700)] {
        let mut files = files.clone();
        files.get_mut(path).unwrap()[place] ^= 1;
        assert_eq!(shown(files, None).await, None, "{path}");
    }
    let ledger = Ledger::furnished();
    let mut files = ledger.files();
    let two = ledger.cosigned_by(&["amc", "amo"]).to_text();
    files.insert("checkpoint".to_owned(), two.into_bytes());
    assert_eq!(shown(files, None).await, None);
}
