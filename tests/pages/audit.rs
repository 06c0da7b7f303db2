//! What an auditor and an operations team read, in a real Chromium: the report of a ledger of six weeks
//! that was audited every week, and of one that does not pass; what a stolen till looked at; and each
//! thing that a file of evidence can turn out to be. The ledgers are made by hand, so what the pages must
//! say is known.

#[path = "../../client/src/example.rs"]
#[allow(dead_code, reason = "the client's tests use all of it")]
mod example;
#[path = "../../client/tests/served/mod.rs"]
mod served;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use client::incident::{AffectedContract, AffectedContracts, IncidentList, Touched};
use client::page::incident::{Incident, page};
use proto::attestation::{
    Access, Attestation, Claim, Coverage, Delivery, Grant, GrantClass, Handover, LookOutcome,
    Release, Settlement, SettlementOutcome,
};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, SlotKey, UnixMillis, UnixSeconds};
use proto::refusal::Reason;
use serde_json::Value;
use tests::binary::vitrail;
use tests::browser::Browser;

use self::example::{Ledger, catalogue, catalogue_place, secret, today};

const DAYS: u32 = 42;
const PAID: SettlementOutcome = SettlementOutcome::Paid;

/// A ledger of some weeks, and what was done in it.
struct Weeks {
    ledger: Ledger,
    done: BTreeMap<&'static str, u64>,
    claims: u8,
}

impl Weeks {
    fn new() -> Self {
        let mut weeks = Self {
            ledger: Ledger::new(),
            done: BTreeMap::from([("roster", 1)]),
            claims: 0,
        };
        weeks.append("catalogue", "amo", &catalogue(), Self::moment(0, 0));
        weeks
    }

    fn append(
        &mut self,
        kind: &'static str,
        issuer: &str,
        says: &Attestation,
        at: UnixMillis,
    ) -> LeafIndex {
        *self.done.entry(kind).or_default() += 1;
        self.ledger.append_at(issuer, says, at)
    }

    /// Some hours after the beginning of a day.
    fn moment(day: u32, hour: u64) -> UnixMillis {
        UnixMillis::new(today().plus(day).start().get() + hour * 3_600_000)
    }

    /// One day: a coverage, looks, claims, and what becomes of the claims.
    fn day(&mut self, day: u32) {
        if day.is_multiple_of(28) {
            let grant = Grant {
                till: secret("till").public(),
                finess: "750000001".parse().unwrap(),
                expires_at: today().plus(day + 28).start(),
                hourly_quota: 20,
                daily_quota: 60,
                class: GrantClass::Till,
            };
            self.append(
                "grant",
                "opticiens",
                &Attestation::Grant(grant),
                Self::moment(day, 0),
            );
        }
        // Opticians are closed on one day of seven, and have more to do before it.
        let claims = [0_u32, 3, 4, 3, 5, 7, 8][day as usize % 7];
        for claim in 0..claims {
            let hour = 8 + u64::from(claim);
            self.look(day, hour);
            self.claim(day, hour);
        }
    }

    fn look(&mut self, day: u32, hour: u64) {
        let look = Access {
            commitment: Hash::from_bytes([6; 32]),
        };
        self.append(
            "access",
            "amo",
            &Attestation::Access(look),
            Self::moment(day, hour),
        );
    }

    fn claim(&mut self, day: u32, hour: u64) {
        self.claims += 1;
        let (place, at) = (self.claims, Self::moment(day, hour));
        let coverage = Attestation::Coverage(Coverage {
            coverage: CoverageKey::from_bytes([place; 32]),
            catalogue: LeafIndex::new(1),
            until: today().plus(day + 30),
            commitment: Hash::from_bytes([place; 32]),
        });
        let coverage = self.append("coverage", "amc", &coverage, at);
        let slots = vec![SlotKey::from_bytes([place; 32])];
        let claim = Attestation::Claim(Claim {
            slots: slots.clone(),
            catalogue: LeafIndex::new(1),
            coverages: vec![coverage],
            until: today().plus(day + 60),
            early: None,
            commitment: Hash::from_bytes([9; 32]),
        });
        let claim = self.append("claim", "till", &claim, at);
        match place % 9 {
            0 => {
                let release = Attestation::Release(Release {
                    slots,
                    claim,
                    invoice: None,
                });
                self.append("release", "till", &release, at);
            }
            1 => {}
            kind => self.deliver(slots, claim, at, kind == 2),
        }
    }

    fn deliver(&mut self, slots: Vec<SlotKey>, claim: LeafIndex, at: UnixMillis, rejects: bool) {
        let delivery = Attestation::Delivery(Delivery {
            slots,
            claim,
            handover: Handover::First {
                until: at.day().plus(700),
            },
            commitment: Hash::from_bytes([3; 32]),
        });
        let invoice = self.append("delivery", "till", &delivery, at);
        let outcome = match (rejects, invoice.get() % 2) {
            (false, _) => PAID,
            (true, 0) => SettlementOutcome::Rejected(Reason::AmountAboveCoverage),
            (true, _) => SettlementOutcome::Rejected(Reason::RenewalDateWrong),
        };
        let settlement = Attestation::Settlement(Settlement {
            claim,
            invoice,
            delivery: invoice,
            outcome,
            under: None,
            commitment: Hash::from_bytes([4; 32]),
        });
        self.append("settlement", "amc", &settlement, at);
    }

    fn checkpoint(&self) -> Checkpoint {
        self.ledger.checkpoint().claimed().clone()
    }

    /// Cosigned by each member so many seconds after the newest entry.
    fn cosigned(&self, delays: &[(&str, u64)]) -> SignedCheckpoint {
        let last = self.ledger.entries.last().unwrap().header().issued_at;
        cosign(&self.checkpoint(), last.seconds(), delays)
    }
}

fn cosign(checkpoint: &Checkpoint, last: UnixSeconds, delays: &[(&str, u64)]) -> SignedCheckpoint {
    let lines = delays.iter().map(|(name, delay)| {
        let time = UnixSeconds::new(last.get() + delay);
        checkpoint.cosign(&name.parse().unwrap(), &secret(name), time)
    });
    SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
}

/// Runs the command in a folder that has the roster; how it ended.
fn run(folder: &Path, arguments: &[&str]) -> Option<i32> {
    let mut command = vitrail();
    let command = command.current_dir(folder).env_clear().args(arguments);
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.code()
}

fn audit(folder: &Path, weeks: &Weeks, delays: &[(&str, u64)]) -> Option<i32> {
    let mut files = weeks.ledger.files();
    let checkpoint = weeks.cosigned(delays).to_text().into_bytes();
    files.insert("checkpoint".to_owned(), checkpoint);
    let address = served::serve(files);
    run(folder, &["audit", "--http", &address, "--report", "report"])
}

/// Six weeks, audited at the end of each.
fn audited_every_week(folder: &Path) {
    let mut weeks = Weeks::new();
    for day in 0..DAYS {
        weeks.day(day);
        if day % 7 == 6 {
            let week = u64::from(day / 7);
            let delays = [
                ("amc", week % 2),
                ("amo", 0),
                ("mutuelle", 1 + week % 3),
                ("opticiens", if week == 3 { 12 } else { 1 }),
            ];
            assert_eq!(audit(folder, &weeks, &delays), Some(0));
        }
    }
    let report = fs::read(folder.join("report/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["kinds"], serde_json::to_value(&weeks.done).unwrap());
    assert_eq!(report["runs"].as_array().unwrap().len(), 6);
    let opticians = &report["cosigning"]["members"][3];
    assert_eq!(opticians["member"], "opticiens");
    assert_eq!(
        (&opticians["median_s"], &opticians["p99_s"]),
        (&1.into(), &12.into())
    );
}

/// What a stolen till looked at in one evening: answered until it was revoked.
fn looked_at(folder: &Path) {
    let evening = Weeks::moment(3, 18).get();
    let touched = (0..74_u8).map(|place| Touched {
        entry: LeafIndex::new(60 + u64::from(place / 2)),
        node: secret(["amo", "amc"][usize::from(place % 3 == 0)]).public(),
        at: UnixMillis::new(evening + u64::from(place).pow(2) * 2_700),
        outcome: match place {
            0..60 => LookOutcome::Answered,
            _ => LookOutcome::Refused(Reason::GrantRevoked),
        },
        slots: vec![SlotKey::from_bytes([place; 32])],
        coverages: vec![CoverageKey::from_bytes([place + 100; 32])],
    });
    let list = IncidentList {
        touched: touched.collect(),
        entries: 412,
        ..IncidentList::default()
    };
    let affected = |line, reference: &str, looks| AffectedContract {
        line,
        reference: Some(reference.parse().unwrap()),
        looks,
    };
    let contracts = AffectedContracts {
        contracts: vec![
            affected(1_017, "c/00123", vec![2, 9]),
            affected(20_441, "c/04400", vec![31]),
            affected(31_008, "c/09871", vec![70]),
        ],
        read: 40_000,
    };
    let incident = Incident {
        till: &secret("till").public(),
        since: UnixMillis::new(evening),
        list: &list,
        contracts: Some(&contracts),
        roster: &Ledger::new().roster,
    };
    fs::write(folder.join("incident.html"), page(&incident)).unwrap();
    // As a federation of opticians sees it, which has no contracts.
    let incident = Incident {
        contracts: None,
        ..incident
    };
    fs::write(folder.join("incident-bare.html"), page(&incident)).unwrap();
}

/// Two states of one size, three members behind each.
fn forked(folder: &Path) {
    let mut two = [Weeks::new(), Weeks::new()];
    two[0].day(0);
    two[0].day(1);
    two[1].day(0);
    two[1].day(2);
    let entries = two[0].ledger.entries.len();
    for weeks in &mut two {
        while weeks.ledger.entries.len() < entries {
            weeks.look(5, 20);
        }
        weeks.ledger.entries.truncate(entries);
    }
    let [one, other] = two;
    let signers = [("amc", 2), ("amo", 1), ("opticiens", 1)];
    let first = one.cosigned(&signers);
    let second = other.cosigned(&[("amc", 400), ("mutuelle", 2), ("opticiens", 380)]);
    let evidence = proto::evidence::Evidence::Fork { first, second };
    fs::write(folder.join("fork.txt"), evidence.to_text()).unwrap();
    let file = Path::new("fork.txt");
    assert_eq!(verified(folder, file, "evidence.html"), Some(0));
}

/// Verifies a file of evidence into a page of that name.
fn verified(folder: &Path, evidence: &Path, page: &str) -> Option<i32> {
    let evidence = evidence.to_str().unwrap();
    let verify = ["evidence", "verify", evidence, "--roster", "roster.txt"];
    run(folder, &[&verify[..], &["--report", page]].concat())
}

/// Audits a ledger that does not pass into a folder of its own; the evidence.
fn failed(folder: &Path, ledger: &Ledger, report: &str) -> PathBuf {
    let address = served::serve(ledger.files());
    let audit = ["audit", "--http", &address, "--report", report];
    let state = ["--state", &format!("{report}-state")];
    assert_eq!(run(folder, &[&audit[..], &state].concat()), Some(1));
    let mut files = fs::read_dir(folder.join(report).join("evidence")).unwrap();
    files.next().unwrap().unwrap().path()
}

/// A report that fails, and evidence that is no fork: of a map that all have signed wrongly, of a rule
/// that takes the log to be judged, and a file that was changed on its way.
fn does_not_hold(folder: &Path) {
    let mut wrong = Ledger::furnished();
    wrong.map.remove(&catalogue_place());
    let evidence = failed(folder, &wrong, "failed");
    assert_eq!(verified(folder, &evidence, "evidence-map.html"), Some(0));
    let text = fs::read_to_string(&evidence).unwrap();
    let changed = folder.join("changed.txt");
    fs::write(&changed, text.replacen("map ", "mop ", 1)).unwrap();
    assert_eq!(verified(folder, &changed, "evidence-changed.html"), Some(1));
    let mut ruled = Ledger::furnished();
    ruled.append("amc", &example::grant("other"));
    let evidence = failed(folder, &ruled, "ruled");
    assert_eq!(verified(folder, &evidence, "evidence-open.html"), Some(2));
}

#[test]
fn six_weeks_a_stolen_till_and_what_does_not_hold_read_well_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("roster.txt"), example::roster().to_text()).unwrap();
    audited_every_week(folder);
    looked_at(folder);
    forked(folder);
    does_not_hold(folder);
    if let Some(browser) = Browser::find() {
        browser.run("audit.mjs", &[folder]);
    }
}
