use std::collections::HashMap;

use proto::attestation::{Attestation, Erasure, ORDER_SKEW_MS_MAX, Revocation};
use proto::ids::UnixMillis;

use super::*;
use crate::example::{
    BEGIN, Ledger, catalogue, catalogue_place, claim, coverage, grant, release, secret, sign, today,
};

mod delivery;
mod evidence;
mod going_on;

/// A log in memory.
struct Files(HashMap<String, Vec<u8>>);

impl LogSource for Files {
    async fn fetch(&self, path: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        let path = path.to_owned();
        self.0
            .get(&path)
            .cloned()
            .ok_or(FetchError::NotFound { path })
    }
}

async fn audit_files(files: HashMap<String, Vec<u8>>) -> Result<Audit, AuditError> {
    let roster = Ledger::new().roster;
    Auditor::new(Files(files), roster).audit(&mut |_| {}).await
}

async fn audit(ledger: &Ledger) -> Result<Audit, AuditError> {
    audit_files(ledger.files()).await
}

/// Why the last entry of a ledger does not pass.
async fn last_fails(ledger: &Ledger) -> Reason {
    let last = LeafIndex::new(ledger.entries.len() as u64 - 1);
    match audit(ledger).await {
        Err(AuditError::Entry {
            entry,
            failure: EntryFailure::Rule(reason),
        }) => {
            assert_eq!(entry, last);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_honest_log_passes_and_is_counted() {
    let audited = audit(&Ledger::furnished()).await.unwrap();
    assert_eq!(audited.checkpoint.size(), TreeSize::new(6));
    assert_eq!(audited.counts.values().sum::<u64>(), 6);
    assert_eq!(audited.counts[&Kind::Claim], 1);
    // Roster, the keys of its four members, catalogue, grant, coverage, and the one slot that was
    // not released.
    assert_eq!(audited.map_size, 9);
}

#[tokio::test]
async fn a_log_of_several_bundles_passes_with_progress() {
    let mut ledger = Ledger::furnished();
    for key in 0..700_u32 {
        ledger.append("amc", &coverage(u8::try_from(key % 200).unwrap()));
    }
    let mut seen = Vec::new();
    let auditor = Auditor::new(Files(ledger.files()), ledger.roster.clone());
    auditor
        .audit(&mut |progress| seen.push(progress.verified.get()))
        .await
        .unwrap();
    assert_eq!(seen, [256, 512, 706]);
}

#[tokio::test]
async fn flipped_bytes_all_over_any_file_fail() {
    let files = Ledger::furnished().files();
    for (path, bytes) in &files {
        // A step that shares no factor with any field's length meets every field.
        for position in (0..bytes.len()).step_by(7) {
            let mut files = files.clone();
            files.get_mut(path).unwrap()[position] ^= 0x20;
            assert!(audit_files(files).await.is_err(), "{path} byte {position}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_or_missing_fails() {
    let files = Ledger::furnished().files();
    for path in files.keys() {
        let mut missing = files.clone();
        missing.remove(path);
        assert!(
            matches!(audit_files(missing).await, Err(AuditError::Fetch(_))),
            "{path}"
        );
        let mut cut = files.clone();
        cut.get_mut(path).unwrap().pop();
        assert!(audit_files(cut).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_partial_bundle_that_has_become_full_is_found_there() {
    let mut ledger = Ledger::furnished();
    let mut files = ledger.files();
    while ledger.entries.len() < TILE_WIDTH {
        ledger.append("amc", &coverage(1));
    }
    let grown = ledger.files();
    files.retain(|path, _| !path.contains(".p/"));
    for path in ["tile/entries/000", "tile/0/000"] {
        files.insert(path.to_owned(), grown[path].clone());
    }
    assert_eq!(
        audit_files(files).await.unwrap().checkpoint.size(),
        TreeSize::new(6)
    );
}

#[tokio::test]
async fn a_claim_of_a_reserved_slot_is_named() {
    let mut ledger = Ledger::furnished();
    ledger.append("till", &claim(&[1], 3));
    assert_eq!(last_fails(&ledger).await, Reason::SlotReserved);
}

#[tokio::test]
async fn a_released_slot_can_be_claimed_again() {
    let mut ledger = Ledger::furnished();
    ledger.append("till", &claim(&[2], 3));
    audit(&ledger).await.unwrap();
}

#[tokio::test]
async fn a_reservation_that_has_run_out_can_be_claimed_again() {
    let mut ledger = Ledger::furnished();
    let later = today().plus(62).start();
    let Attestation::Coverage(mut fresh) = coverage(1) else {
        unreachable!()
    };
    fresh.until = today().plus(90);
    let fresh = ledger.append_at("amc", &Attestation::Coverage(fresh), later);
    let Attestation::Grant(mut till) = grant("till-2") else {
        unreachable!()
    };
    till.expires_at = today().plus(100).start();
    ledger.append_at("opticiens", &Attestation::Grant(till), later);
    let Attestation::Claim(mut again) = claim(&[1], fresh.get()) else {
        unreachable!()
    };
    again.until = today().plus(80);
    ledger.append_at("till-2", &Attestation::Claim(again), later);
    audit(&ledger).await.unwrap();
}

#[tokio::test]
async fn somebody_unknown_revoked_or_expired_is_named() {
    let mut ledger = Ledger::furnished();
    ledger.append("nobody", &claim(&[3], 3));
    assert_eq!(last_fails(&ledger).await, Reason::IssuerUnknown);

    let mut ledger = Ledger::furnished();
    let till = secret("till").public();
    ledger.append("opticiens", &Attestation::Revocation(Revocation { till }));
    audit(&ledger).await.unwrap();
    ledger.append("till", &claim(&[3], 3));
    assert_eq!(last_fails(&ledger).await, Reason::GrantRevoked);

    let mut ledger = Ledger::furnished();
    let expiry = today().plus(10).start().get();
    ledger.append_at("till", &claim(&[3], 3), UnixMillis::new(expiry + 119_000));
    assert_ne!(last_reason(&ledger).await, Some(Reason::GrantExpired));
    let mut ledger = Ledger::furnished();
    ledger.append_at("till", &claim(&[3], 3), UnixMillis::new(expiry + 120_000));
    assert_eq!(last_fails(&ledger).await, Reason::GrantExpired);
}

async fn last_reason(ledger: &Ledger) -> Option<Reason> {
    match audit(ledger).await {
        Err(AuditError::Entry {
            failure: EntryFailure::Rule(reason),
            ..
        }) => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_role_that_may_not_is_named() {
    for (issuer, attestation) in [
        ("till", coverage(5)),
        ("amc", grant("other")),
        ("amc", catalogue()),
        ("opticiens", coverage(5)),
        ("amc", claim(&[3], 3)),
    ] {
        let mut ledger = Ledger::furnished();
        ledger.append(issuer, &attestation);
        assert_eq!(
            last_fails(&ledger).await,
            Reason::KindNotAllowed,
            "{issuer}"
        );
    }
}

#[tokio::test]
async fn a_release_by_somebody_else_is_named_and_one_by_the_payer_passes() {
    let mut ledger = Ledger::furnished();
    ledger.append("amc", &release(&[1], 4));
    audit(&ledger).await.unwrap();
    let mut ledger = Ledger::furnished();
    ledger.append("mutuelle", &release(&[1], 4));
    assert_eq!(last_fails(&ledger).await, Reason::NotEntitled);
    let mut ledger = Ledger::furnished();
    ledger.append("till", &release(&[2], 4));
    assert_eq!(last_fails(&ledger).await, Reason::SlotNotHeld);
}

#[tokio::test]
async fn references_that_do_not_fit_are_named() {
    let erasure = |erased| {
        Attestation::Erasure(Erasure {
            erased: LeafIndex::new(erased),
        })
    };
    for (issuer, attestation, reason) in [
        ("till", claim(&[3], 2), Reason::ReferenceUnfit),
        ("till", claim(&[3], 99), Reason::ReferenceUnknown),
        ("till", release(&[1], 3), Reason::ReferenceUnfit),
        ("amc", erasure(1), Reason::ReferenceUnfit),
        ("amc", erasure(4), Reason::NotEntitled),
        ("amc", erasure(6), Reason::ReferenceUnknown),
        ("opticiens", grant("till"), Reason::AlreadyGranted),
        ("opticiens", grant("amc"), Reason::AlreadyGranted),
    ] {
        let mut ledger = Ledger::furnished();
        ledger.append(issuer, &attestation);
        assert_eq!(last_fails(&ledger).await, reason);
    }
}

#[tokio::test]
async fn a_look_is_recorded_by_a_member_and_not_taken_back() {
    let commitment = proto::hash::Hash::from_bytes([6; 32]);
    let access = Attestation::Access(proto::attestation::Access { commitment });
    let mut ledger = Ledger::furnished();
    ledger.append("amc", &access);
    let audited = audit(&ledger).await.unwrap();
    assert_eq!(audited.counts[&Kind::Access], 1);
    let erased = LeafIndex::new(6);
    ledger.append("amc", &Attestation::Erasure(Erasure { erased }));
    assert_eq!(last_fails(&ledger).await, Reason::ReferenceUnfit);
    let mut ledger = Ledger::furnished();
    ledger.append("till", &access);
    assert_eq!(last_fails(&ledger).await, Reason::KindNotAllowed);
}

#[tokio::test]
async fn a_replaced_coverage_or_catalogue_is_named() {
    let mut ledger = Ledger::furnished();
    ledger.append("amc", &coverage(1));
    ledger.append("till", &claim(&[3], 3));
    assert_eq!(last_fails(&ledger).await, Reason::CoverageSuperseded);
    let mut ledger = Ledger::furnished();
    ledger.append("amo", &catalogue());
    ledger.append("till", &claim(&[3], 3));
    assert_eq!(last_fails(&ledger).await, Reason::CatalogueOutdated);
}

#[tokio::test]
async fn one_request_twice_is_named() {
    let mut ledger = Ledger::furnished();
    let header = ledger.entries[3].header().clone();
    ledger.append_entry(sign(&header, "amc"), &coverage(1));
    assert_eq!(last_fails(&ledger).await, Reason::RequestReused);
}

#[tokio::test]
async fn a_changed_signature_is_named_by_its_entry() {
    let ledger = Ledger::furnished();
    let mut files = ledger.files();
    let bundle = files.get_mut("tile/entries/000.p/6").unwrap();
    let last = bundle.len() - 1;
    bundle[last] ^= 1;
    let failed = audit_files(files).await;
    let entry = LeafIndex::new(5);
    assert!(
        matches!(&failed, Err(AuditError::Entry { entry: at, failure: EntryFailure::Entry(_) }) if *at == entry),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_map_that_the_entries_do_not_give_is_noticed() {
    let mut ledger = Ledger::furnished();
    ledger.map.remove(&catalogue_place());
    assert_eq!(audit(&ledger).await.err(), Some(AuditError::MapRoot));
}

#[tokio::test]
async fn too_few_cosignatures_are_noticed() {
    let ledger = Ledger::furnished();
    let mut files = ledger.files();
    let two = ledger.cosigned_by(&["amc", "amo"]).to_text();
    files.insert("checkpoint".to_owned(), two.into_bytes());
    let failed = audit_files(files).await;
    assert!(matches!(
        failed,
        Err(AuditError::Cosignatures(
            CheckpointError::QuorumNotMet { .. }
        ))
    ));
}

#[tokio::test]
async fn a_log_that_was_cut_or_rewritten_is_noticed() {
    let before = Ledger::furnished();
    let seen = before.checkpoint().verify(&before.roster).unwrap();
    let audit_with = async |ledger: &Ledger| {
        let auditor = Auditor::new(Files(ledger.files()), ledger.roster.clone());
        auditor.having_seen(&seen).audit(&mut |_| {}).await
    };
    let mut grown = Ledger::furnished();
    grown.append("amc", &coverage(7));
    audit_with(&grown).await.unwrap();
    audit_with(&before).await.unwrap();
    let size = TreeSize::new(6);
    let cut = audit_with(&Ledger::new()).await;
    let rollback = AuditError::Rollback {
        ours: size,
        theirs: TreeSize::new(1),
    };
    assert_eq!(cut.err(), Some(rollback));
    let mut rewritten = Ledger::furnished();
    rewritten.entries.pop();
    rewritten.append("till", &release(&[1, 2], 4));
    rewritten.append("amc", &coverage(7));
    assert_eq!(
        audit_with(&rewritten).await.err(),
        Some(AuditError::Fork { size })
    );
}

#[tokio::test]
async fn an_entry_far_from_its_neighbours_in_time_can_still_be_admitted() {
    // The log has no moments of its own: only rules about time could say no, and none does.
    let mut ledger = Ledger::furnished();
    ledger.append_at("amc", &coverage(8), UnixMillis::new(BEGIN.get() - 60_000));
    audit(&ledger).await.unwrap();
}

/// A ledger whose last entry was issued so much before the one that it stands behind.
fn issued_before(milliseconds: u64) -> Ledger {
    let (mut ledger, at) = (Ledger::furnished(), BEGIN.get() + 500_000);
    ledger.append_at("amc", &coverage(8), UnixMillis::new(at));
    ledger.append_at("amc", &coverage(9), UnixMillis::new(at - milliseconds));
    ledger
}

#[tokio::test]
async fn an_entry_that_stands_where_no_moment_could_have_put_it_is_named() {
    audit(&issued_before(ORDER_SKEW_MS_MAX)).await.unwrap();
    let late = issued_before(ORDER_SKEW_MS_MAX + 1);
    assert_eq!(last_fails(&late).await, Reason::ClockSkew);
}
