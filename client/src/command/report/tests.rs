//! The JSON of every answer, byte for byte: programs read it.

use insta::assert_snapshot;

use super::nodes::PassedOverReport;
use super::quote::{LineReport, PayerReport, PaymentReport, RenewalReport, UnpaidReport};
use super::*;
use crate::command::schema::tests::assert_allowed;

fn refusal() -> RefusalReport {
    RefusalReport {
        code: "SLOT_RESERVED",
        sentence: "Cet équipement est déjà réservé par une autre demande.",
        until: Some("2026-03-10".to_owned()),
        holder: Some(4),
    }
}

fn line(code: &str, amounts: [u64; 4]) -> LineReport {
    let [price, amo, amc, rest] = amounts;
    LineReport {
        lpp_code: code.to_owned(),
        grouped_code: "M03",
        label: "Monture adulte, classe B",
        slot: "frame",
        side: None,
        price_cents: price,
        amo_cents: amo,
        amc_cents: amc,
        rest_cents: rest,
        payments: vec![PaymentReport {
            member: "amo".to_owned(),
            role: "amo",
            amount_cents: amo,
            coverage: 3,
            valid_until: "2026-12-31".to_owned(),
        }],
        unpaid: Vec::new(),
        renewal: RenewalReport {
            state: "free",
            delivered: None,
            until: None,
            opens: None,
            holder: None,
        },
        refusal: None,
        by_payer: vec![amo, amc],
    }
}

fn payers(amounts: &[(&'static str, u64)]) -> Vec<PayerReport> {
    let payer = |(role, amount): &(&'static str, u64)| PayerReport {
        member: Some((*role).to_owned()),
        role,
        amount_cents: *amount,
        source: "live",
        not_in: Vec::new(),
    };
    amounts.iter().map(payer).collect()
}

fn quote() -> QuoteReport {
    let taken = LineReport {
        renewal: RenewalReport {
            state: "reserved",
            delivered: None,
            until: Some("2026-03-10".to_owned()),
            opens: None,
            holder: Some(4),
        },
        refusal: Some(refusal()),
        ..line("2264861", [9_500, 3, 9_000, 497])
    };
    QuoteReport {
        covered: false,
        lines: vec![taken],
        payers: payers(&[("amo", 3), ("amc", 9_000)]),
        amo_cents: 3,
        amc_cents: 9_000,
        rest_cents: 497,
        valid_until: None,
        prescription_until: Some("2026-05-01".to_owned()),
        early_renewal: "none",
        checkpoint_size: 6,
        checkpoint_time: 1_768_000_006,
        nodes: NodesReport {
            answered_by: Some("cnam".to_owned()),
            passed_over: Vec::new(),
        },
        kept: None,
        wrong_members: Vec::new(),
    }
}

fn issue() -> IssueReport {
    IssueReport {
        kind: "claim",
        outcome: "accepted",
        accepted: true,
        index: Some(4),
        refusal: None,
        receipt: Some("receipts/claim-000000004.receipt".into()),
        queued: None,
        nodes: None,
    }
}

fn refused() -> IssueReport {
    IssueReport {
        kind: "claim",
        outcome: "refused",
        accepted: false,
        index: None,
        refusal: Some(refusal()),
        receipt: None,
        queued: None,
        nodes: None,
    }
}

fn problems() -> Vec<ProblemReport> {
    vec![ProblemReport {
        line: 3,
        problem: "a NIR must have 13 characters and a key of 2 digits".to_owned(),
    }]
}

#[test]
fn every_answer_is_one_that_the_schema_of_its_command_allows() {
    let claim = ClaimReport {
        quote: Some(quote()),
        claim: issue(),
    };
    assert_allowed("check", &quote().kept("quote.txt".into()).json());
    assert_allowed("claim", &claim.json());
    assert_allowed("release", &issue().json());
    assert_allowed("deliver", &refused().json());
    let covered = CoverReport {
        problems: problems(),
        ..CoverReport::default()
    };
    assert_allowed("cover", &covered.json());
}

#[test]
fn who_answered_is_told_and_who_could_not() {
    let nodes = NodesReport {
        answered_by: Some("alpha".to_owned()),
        passed_over: vec![PassedOverReport {
            member: "cnam".to_owned(),
            reason: "cnam cannot be reached, or does not answer".to_owned(),
        }],
    };
    let claim = IssueReport {
        nodes: Some(nodes),
        ..issue()
    };
    let told = [
        "passed over: cnam cannot be reached, or does not answer",
        "answered by alpha",
    ];
    assert_eq!(claim.details(), told);
    assert!(claim.json().ends_with(
        r#""answered_by":"alpha","passed_over":[{"member":"cnam","reason":"cnam cannot be reached, or does not answer"}]}"#
    ));
}

#[test]
fn a_quote_is_a_table_and_an_object() {
    assert!(!quote().is_yes());
    assert_snapshot!(quote().json(), @r#"{"covered":false,"lines":[{"lpp_code":"2264861","grouped_code":"M03","label":"Monture adulte, classe B","slot":"frame","side":null,"price_cents":9500,"amo_cents":3,"amc_cents":9000,"rest_cents":497,"payments":[{"member":"amo","role":"amo","amount_cents":3,"coverage":3,"valid_until":"2026-12-31"}],"unpaid":[],"renewal":{"state":"reserved","delivered":null,"until":"2026-03-10","opens":null,"holder":4},"refusal":{"code":"SLOT_RESERVED","sentence":"Cet équipement est déjà réservé par une autre demande.","until":"2026-03-10","holder":4}}],"payers":[{"member":"amo","role":"amo","amount_cents":3,"source":"live"},{"member":"amc","role":"amc","amount_cents":9000,"source":"live"}],"amo_cents":3,"amc_cents":9000,"rest_cents":497,"valid_until":null,"prescription_until":"2026-05-01","early_renewal":"none","checkpoint_size":6,"checkpoint_time":1768000006,"answered_by":"cnam"}"#);
    assert_snapshot!(quote().text(), @"
    code          slot                     price       AMO       AMC    to pay
    2264861  M03  frame                    95.00      0.03     90.00      4.97
    total                                  95.00      0.03     90.00      4.97
    AMO: amo (live), AMC: amc (live)
    2264861: Cet équipement est déjà réservé par une autre demande. Jusqu'au 2026-03-10. (entry 4)
    prescription valid until 2026-05-01
    ledger as of 2026-01-09T23:06:46Z
    ");
    let kept = quote().kept("quote.txt".into());
    assert!(kept.json().ends_with(r#","kept":"quote.txt"}"#));
    assert!(kept.text().ends_with("quote kept in quote.txt\n"));
}

#[test]
fn each_payer_has_a_column_and_remarks_stand_below() {
    let mut early = LineReport {
        renewal: RenewalReport {
            state: "early",
            delivered: Some("2025-01-10".to_owned()),
            until: Some("2027-01-09".to_owned()),
            opens: Some("2026-01-10".to_owned()),
            holder: Some(7),
        },
        unpaid: vec![UnpaidReport {
            member: "mutuelle-b".to_owned(),
            code: "CONTRACT_ENDED",
            sentence: "Les droits du contrat ne sont pas ouverts à cette date.",
        }],
        ..line("2264861", [9_500, 3, 9_000, 497])
    };
    early.by_payer.push(0);
    let mut three = payers(&[("amo", 3), ("amc", 9_000), ("amc", 0)]);
    three[2].member = Some("mutuelle-b".to_owned());
    three[2].source = "ledger";
    let quote = QuoteReport {
        covered: true,
        lines: vec![early],
        payers: three,
        valid_until: Some("2026-12-31".to_owned()),
        early_renewal: "sight-change",
        ..quote()
    };
    assert_snapshot!(quote.text(), @"
    code          slot                     price       AMO       AMC     AMC 2    to pay
    2264861  M03  frame                    95.00      0.03     90.00      0.00      4.97
    total                                  95.00      0.03     90.00      0.00      4.97
    AMO: amo (live), AMC: amc (live), AMC 2: mutuelle-b (ledger)
    2264861: mutuelle-b: Les droits du contrat ne sont pas ouverts à cette date.
    2264861: delivered 2025-01-10, renewal before the time, open since 2026-01-10
    valid until 2026-12-31
    prescription valid until 2026-05-01
    ledger as of 2026-01-09T23:06:46Z
    ");
}

#[test]
fn a_member_that_answered_wrongly_is_named_beside_the_answer() {
    assert!(quote().warnings().is_empty());
    let quote = QuoteReport {
        wrong_members: vec!["alpha".to_owned()],
        ..quote()
    };
    assert!(quote.json().ends_with(r#","wrong_members":["alpha"]}"#));
    assert_eq!(
        quote.warnings(),
        ["alpha answered wrongly and was replaced: tell the federation"]
    );
}

#[test]
fn an_issued_entry_is_told_with_its_receipt() {
    assert!(issue().is_yes());
    assert_snapshot!(issue().json(), @r#"{"kind":"claim","outcome":"accepted","accepted":true,"index":4,"refusal":null,"receipt":"receipts/claim-000000004.receipt"}"#);
    assert_snapshot!(issue().text(), @"
    claim accepted as entry 4
    receipt receipts/claim-000000004.receipt
    ");
}

#[test]
fn a_refused_entry_is_told_with_its_reason() {
    assert!(!refused().is_yes());
    assert_snapshot!(refused().json(), @r#"{"kind":"claim","outcome":"refused","accepted":false,"index":null,"refusal":{"code":"SLOT_RESERVED","sentence":"Cet équipement est déjà réservé par une autre demande.","until":"2026-03-10","holder":4},"receipt":null}"#);
    assert_snapshot!(refused().text(), @"claim refused: Cet équipement est déjà réservé par une autre demande. Jusqu'au 2026-03-10. (entry 4)");
}

#[test]
fn a_queued_claim_is_neither_yes_nor_no() {
    let queued = IssueReport::queued("00112233".to_owned(), "not reserved".to_owned());
    assert!(!queued.is_yes() && !queued.is_known());
    assert_snapshot!(queued.json(), @r#"{"kind":"claim","outcome":"queued","accepted":false,"index":null,"refusal":null,"receipt":null,"queued":{"name":"00112233","note":"not reserved"}}"#);
    assert_snapshot!(queued.text(), @"claim queued as 00112233: not reserved");
}

#[test]
fn a_claim_has_its_quote_beside_it() {
    let claim = ClaimReport {
        quote: Some(quote()),
        claim: issue(),
    };
    assert!(claim.is_yes());
    let json = format!(
        r#"{{"quote":{},"claim":{}}}"#,
        quote().json(),
        issue().json()
    );
    assert_eq!(claim.json(), json);
}

#[test]
fn a_file_of_coverages_is_counted_and_its_problems_are_listed() {
    let report = CoverReport {
        accepted: 20,
        refused: 0,
        unknown: 0,
        skipped: 1,
        problems: problems(),
    };
    assert!(!report.is_yes());
    assert_snapshot!(report.json(), @r#"{"accepted":20,"refused":0,"unknown":0,"skipped":1,"problems":[{"line":3,"problem":"a NIR must have 13 characters and a key of 2 digits"}]}"#);
    assert_snapshot!(report.text(), @"
    coverages accepted 20, refused 0, unknown 0; lines skipped 1
    line 3: a NIR must have 13 characters and a key of 2 digits
    ");
}

#[test]
fn where_each_payer_stands_is_told_with_its_reason() {
    use super::life::{StandingReport, StatusReport};
    let report = StatusReport {
        kind: "delivery",
        index: 7,
        invoice: Some(7),
        newest: Some(9),
        returned: false,
        payers: vec![
            StandingReport {
                payer: Some("amo".to_owned()),
                stage: "paid",
                correctable: None,
                reason: None,
                sentence: None,
                settlement: Some(8),
            },
            StandingReport {
                payer: None,
                stage: "rejected",
                correctable: Some(true),
                reason: Some("INVOICE_UNFIT"),
                sentence: Some("La facture ne correspond pas à la demande."),
                settlement: Some(10),
            },
        ],
    };
    assert!(report.is_yes());
    assert_snapshot!(report.json(), @r#"{"kind":"delivery","index":7,"invoice":7,"newest":9,"returned":false,"payers":[{"payer":"amo","stage":"paid","correctable":null,"reason":null,"sentence":null,"settlement":8},{"payer":null,"stage":"rejected","correctable":true,"reason":"INVOICE_UNFIT","sentence":"La facture ne correspond pas à la demande.","settlement":10}]}"#);
    assert_snapshot!(report.text(), @"
    delivery 7
    invoice 7, newest delivery 9
    amo: paid (entry 8)
    no member: rejected (entry 10): La facture ne correspond pas à la demande.
    ");
    assert_allowed("status", &report.json());
}

#[test]
fn a_key_is_told_by_its_public_half() {
    let report = KeyReport {
        public_key: "AQEB=".to_owned(),
        out: "key.pem".into(),
    };
    assert_snapshot!(report.json(), @r#"{"public_key":"AQEB=","out":"key.pem"}"#);
    assert_snapshot!(report.text(), @"
    public key AQEB=
    written to key.pem
    ");
    assert_allowed("keygen", &report.json());
}

#[test]
fn a_receipt_is_told_step_by_step() {
    let passed = |steps: &[Step]| steps.iter().copied().map(StepReport::from).collect();
    let good = ReceiptReport {
        valid: true,
        passed: passed(&[Step::Format, Step::Checkpoint, Step::Entry, Step::Inclusion]),
        failed_step: None,
        failure: None,
        verified: Some(VerifiedReport {
            title: "receipt",
            kind: "claim",
            index: 4,
            leaf: Some("AwMD=".to_owned()),
            reason: None,
            sentence: None,
            origin: "vitrail.example/optique".to_owned(),
            size: 6,
            time: 1_768_000_006,
            cosigned_by: vec!["amc".to_owned(), "amo".to_owned()],
        }),
    };
    assert!(good.is_yes() && good.problem().is_none());
    assert_snapshot!(good.json(), @r#"{"valid":true,"passed":[{"step":"format","sentence":"the file is of the format, with nothing added or missing"},{"step":"checkpoint","sentence":"a quorum of the roster's members cosigned the checkpoint"},{"step":"entry","sentence":"the issuer signed the entry for this ledger"},{"step":"inclusion","sentence":"the entry is in the log at its index"}],"failed_step":null,"failure":null,"verified":{"title":"receipt","kind":"claim","index":4,"leaf":"AwMD=","reason":null,"sentence":null,"origin":"vitrail.example/optique","size":6,"time":1768000006,"cosigned_by":["amc","amo"]}}"#);
    assert_snapshot!(good.text(), @"
    ok     format     the file is of the format, with nothing added or missing
    ok     checkpoint a quorum of the roster's members cosigned the checkpoint
    ok     entry      the issuer signed the entry for this ledger
    ok     inclusion  the entry is in the log at its index
    claim at entry 4 of 6, ledger vitrail.example/optique
    leaf AwMD=
    cosigned by amc, amo
    ");
    let bad = ReceiptReport {
        valid: false,
        passed: passed(&[Step::Format]),
        failed_step: Some(Step::Checkpoint.as_str()),
        failure: Some("2 voting members cosigned, it takes 3".to_owned()),
        verified: None,
    };
    assert!(!bad.is_yes() && bad.problem().is_some());
    assert_snapshot!(bad.json(), @r#"{"valid":false,"passed":[{"step":"format","sentence":"the file is of the format, with nothing added or missing"}],"failed_step":"checkpoint","failure":"2 voting members cosigned, it takes 3","verified":null}"#);
    assert_snapshot!(bad.text(), @"
    ok     format     the file is of the format, with nothing added or missing
    FAILED checkpoint 2 voting members cosigned, it takes 3
    ");
    assert_allowed("receipt verify", &good.json());
    assert_allowed("receipt verify", &bad.json());
}

#[test]
fn an_audit_is_told_with_its_roots_and_counts() {
    let report = AuditReport {
        origin: "vitrail.example/optique".to_owned(),
        size: 6,
        log_root: "AQEB=".to_owned(),
        map_root: "AgIC=".to_owned(),
        epoch: 0,
        time: 1_768_000_006,
        cosigned_by: vec!["amo".to_owned()],
        counts: BTreeMap::from([("claim", 5), ("roster", 1)]),
        map_size: 5,
        entry_bytes: 1_234,
        report: None,
        given: Vec::new(),
    };
    assert_snapshot!(report.json(), @r#"{"origin":"vitrail.example/optique","size":6,"log_root":"AQEB=","map_root":"AgIC=","epoch":0,"time":1768000006,"cosigned_by":["amo"],"counts":{"claim":5,"roster":1},"map_size":5,"entry_bytes":1234}"#);
    assert_snapshot!(report.text(), @"
    ledger vitrail.example/optique, 6 entries, 1234 bytes, every one verified
    log root AQEB=
    map root AgIC=, 5 keys
    claim                 5
    roster                1
    roster of epoch 0, checkpoint cosigned by amo
    ");
    assert_allowed("audit", &report.json());
    assert!(report.is_yes() && report.problem().is_none());
    let accused = AuditReport {
        given: vec![given("two-headers", true), given("spoiled", false)],
        ..report
    };
    assert!(!accused.is_yes() && accused.problem().is_some());
    assert_allowed("audit", &accused.json());
    let text = accused.text();
    let lines: Vec<_> = text.lines().rev().take(2).collect();
    assert_snapshot!(lines[1], @"given two-headers.txt: guilty amc: signed two batches 5 in term 3");
    assert_snapshot!(lines[0], @"given spoiled.txt: accuses nobody: no member signed both");
}

/// A file that was given, and either accuses or not.
fn given(name: &str, valid: bool) -> evidence::GivenReport {
    let verdict = evidence::VerdictReport {
        offence: "two-headers",
        members: vec!["amc".to_owned()],
        certified: false,
        what: "signed two batches 5 in term 3".to_owned(),
        sentence: "A signé deux lots différents pour la place 5 du mandat 3.".to_owned(),
    };
    evidence::GivenReport {
        file: format!("{name}.txt").into(),
        evidence: evidence::EvidenceReport {
            valid,
            passed: Vec::new(),
            failed_step: (!valid).then_some("signatures"),
            failure: (!valid).then(|| "no member signed both".to_owned()),
            verdict: valid.then_some(verdict),
            takes_the_log: false,
        },
    }
}

#[test]
fn the_json_of_evidence_is_an_interface() {
    let step = StepReport {
        step: "format",
        sentence: "the file is of the format",
    };
    let held = evidence::EvidenceReport {
        valid: true,
        passed: vec![step],
        failed_step: None,
        failure: None,
        verdict: Some(evidence::VerdictReport {
            offence: "fork",
            members: vec!["amc".to_owned()],
            certified: false,
            what: "cosigned two states of the ledger of size 7".to_owned(),
            sentence: "A cosigné deux états différents du registre à la taille 7.".to_owned(),
        }),
        takes_the_log: false,
    };
    assert_snapshot!(held.json(), @r#"{"valid":true,"passed":[{"step":"format","sentence":"the file is of the format"}],"failed_step":null,"failure":null,"verdict":{"offence":"fork","members":["amc"],"certified":false,"what":"cosigned two states of the ledger of size 7","sentence":"A cosigné deux états différents du registre à la taille 7."},"takes_the_log":false}"#);
    assert!(held.is_yes() && held.is_known() && held.problem().is_none());
    let found = evidence::AuditFailedReport {
        failure: "map root: the checkpoint has another one than the entries give".to_owned(),
        file: "evidence/wrong-map.txt".into(),
        evidence: evidence::EvidenceReport {
            valid: false,
            passed: Vec::new(),
            failed_step: Some("contradiction"),
            failure: Some("it takes the log".to_owned()),
            verdict: None,
            takes_the_log: true,
        },
        report: None,
        given: Vec::new(),
    };
    assert!(!found.is_yes() && found.is_known() && !found.evidence.is_known());
    assert_snapshot!(found.json(), @r#"{"failure":"map root: the checkpoint has another one than the entries give","file":"evidence/wrong-map.txt","evidence":{"valid":false,"passed":[],"failed_step":"contradiction","failure":"it takes the log","verdict":null,"takes_the_log":true}}"#);
    assert_allowed("evidence verify", &held.json());
    assert_allowed("audit", &found.json());
}
