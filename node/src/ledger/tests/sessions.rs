//! Devices and their session keys: who grants whom, for how long, and what ends it.

use proto::attestation::{GrantClass, SESSION_MS_MAX};

use super::*;

impl Ledger {
    fn grant_of(&self, key: &str, class: GrantClass, ms: u64) -> Grant {
        Grant {
            till: secret(key).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(self.now + ms),
            hourly_quota: 20,
            daily_quota: 60,
            class,
        }
    }

    fn device(&self, key: &str) -> Attestation {
        Attestation::Grant(self.grant_of(key, GrantClass::Device, 300 * DAY_MS))
    }

    fn session(&self, key: &str, device: &str) -> Grant {
        let device = secret(device).public();
        self.grant_of(key, GrantClass::Session { device }, SESSION_MS_MAX)
    }

    /// A ledger with a device and a session of it, and a coverage.
    fn with_session() -> (Self, LeafIndex) {
        let mut ledger = Self::founded();
        ledger.must("opticians", &ledger.device("device"));
        ledger.must(
            "device",
            &Attestation::Grant(ledger.session("session", "device")),
        );
        let coverage = ledger.must("amc", &ledger.coverage(1));
        (ledger, coverage)
    }
}

fn revocation(key: &str) -> Attestation {
    Attestation::Revocation(Revocation {
        till: secret(key).public(),
    })
}

#[test]
fn a_session_claims_and_its_device_does_nothing_but_grant() {
    let (mut ledger, coverage) = Ledger::with_session();
    ledger.must("session", &ledger.claim(&[1], coverage));
    for claim in [ledger.claim(&[2], coverage), revocation("session")] {
        assert_eq!(ledger.refusal("device", &claim), Reason::KindNotAllowed);
    }
    let another = Attestation::Grant(ledger.session("another", "session"));
    assert_eq!(ledger.refusal("session", &another), Reason::KindNotAllowed);
}

#[test]
fn a_device_grants_sessions_of_its_own_shop_and_quota_alone() {
    let (mut ledger, _) = Ledger::with_session();
    let good = ledger.session("next", "device");
    ledger.must("opticians", &ledger.device("other-device"));
    for bad in [
        Grant {
            finess: "750000002".parse().unwrap(),
            ..good
        },
        Grant {
            hourly_quota: 21,
            ..good
        },
        Grant {
            daily_quota: 61,
            ..good
        },
        Grant {
            class: GrantClass::Till,
            ..good
        },
        Grant {
            class: GrantClass::Device,
            ..good
        },
        ledger.session("next", "other-device"),
    ] {
        let bad = Attestation::Grant(bad);
        assert_eq!(
            ledger.refusal("device", &bad),
            Reason::NotEntitled,
            "{bad:?}"
        );
    }
    let by_federation = ledger.refusal("opticians", &Attestation::Grant(good));
    assert_eq!(by_federation, Reason::NotEntitled);
    let long = Grant {
        expires_at: UnixMillis::new(good.expires_at.get() + 1),
        ..good
    };
    let refused = ledger.refusal("device", &Attestation::Grant(long));
    assert_eq!(refused, Reason::DateOutOfRange);
    let again = Attestation::Grant(ledger.session("session", "device"));
    assert_eq!(ledger.refusal("device", &again), Reason::AlreadyGranted);
    ledger.must("device", &Attestation::Grant(good));
}

#[test]
fn revoking_a_device_ends_its_sessions_at_that_place_of_the_log() {
    let (mut ledger, coverage) = Ledger::with_session();
    let batch = [
        ledger.sign("session", &ledger.claim(&[1], coverage)),
        ledger.sign("opticians", &revocation("device")),
        ledger.sign("session", &ledger.claim(&[2], coverage)),
        ledger.sign(
            "device",
            &Attestation::Grant(ledger.session("next", "device")),
        ),
    ];
    let outcomes: Vec<bool> = ledger
        .decide(batch.to_vec())
        .iter()
        .map(|verdict| matches!(verdict.outcome, Outcome::Appended(_)))
        .collect();
    assert_eq!(outcomes, [true, true, false, false]);
    let claim = ledger.claim(&[3], coverage);
    assert_eq!(ledger.refusal("session", &claim), Reason::GrantRevoked);
}

#[test]
fn a_session_can_be_revoked_alone_by_the_federation_of_its_device() {
    let (mut ledger, coverage) = Ledger::with_session();
    ledger.must("opticians", &revocation("session"));
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("session", &claim), Reason::GrantRevoked);
    let next = Attestation::Grant(ledger.session("next", "device"));
    ledger.must("device", &next);
    ledger.must("next", &ledger.claim(&[1], coverage));
}

#[test]
fn a_session_ends_with_its_hours_and_with_its_device() {
    let (mut ledger, coverage) = Ledger::with_session();
    ledger.now += SESSION_MS_MAX;
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("session", &claim), Reason::GrantExpired);

    let mut ledger = Ledger::founded();
    let brief = ledger.grant_of("device", GrantClass::Device, 1_000);
    ledger.must("opticians", &Attestation::Grant(brief));
    ledger.must(
        "device",
        &Attestation::Grant(ledger.session("session", "device")),
    );
    let coverage = ledger.must("amc", &ledger.coverage(1));
    ledger.now += 1_000;
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("session", &claim), Reason::GrantExpired);
}

#[test]
fn what_one_session_claimed_the_next_of_the_same_device_releases_and_erases() {
    let (mut ledger, coverage) = Ledger::with_session();
    let claim = ledger.must("session", &ledger.claim(&[1], coverage));
    ledger.now += SESSION_MS_MAX;
    ledger.must(
        "device",
        &Attestation::Grant(ledger.session("next", "device")),
    );
    ledger.must("opticians", &ledger.device("other-device"));
    ledger.must(
        "other-device",
        &Attestation::Grant(ledger.session("stranger", "other-device")),
    );
    let erasure = Attestation::Erasure(Erasure { erased: claim });
    for stranger in ["stranger", "till"] {
        let refused = ledger.refusal(stranger, &release(claim, &[1]));
        assert_eq!(refused, Reason::NotEntitled);
        assert_eq!(ledger.refusal(stranger, &erasure), Reason::NotEntitled);
    }
    ledger.must("next", &release(claim, &[1]));
    ledger.must("next", &erasure);
}
