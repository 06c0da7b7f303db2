//! What is written as a message reads back, and what is wrong in a message is named.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::attestation::{Attestation, slot_index};
use crate::oprf::{JointSecret, blind};
use crate::receipt::example::{CLAIM, Ledger, SLOTS, claim, entry, request_id, till};
use crate::seal::seal;
use crate::token::SealingSecret;

fn sealed() -> (SealedPayload, Salt) {
    let salt = Salt::from_bytes([0x61; 32]);
    let secret = SealingSecret::from_bytes([0x62; 32]);
    (seal(&[(&secret, b"terms")], &salt).unwrap(), salt)
}

fn claimed() -> Entry {
    entry(&Attestation::Claim(claim(SLOTS.to_vec())), 1, &till())
}

fn sender() -> PublicKey {
    till().public()
}

/// Three blinded elements, and one node's answer to them.
fn evaluated() -> (Vec<BlindedElement>, PartialEvaluation) {
    let share = JointSecret::derive(&[1; 32], b"wire").unwrap().sole_share();
    let element = |number| blind(b"input", &[number; 64]).unwrap().1;
    let blinded: Vec<_> = (1..4).map(element).collect();
    let evaluation = share.evaluate(&blinded, &[9; 64]).unwrap();
    (blinded, evaluation)
}

/// The message as it is after it was sent.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn length(field: &'static str, got: usize) -> WireError {
    let want = if field == "dleq_proof" { 64 } else { 32 };
    WireError::Length { field, got, want }
}

#[test]
fn the_schema_has_just_our_reasons() {
    for reason in Reason::ALL {
        let number = *reason as i32;
        let name = v1::Reason::try_from(number).unwrap().as_str_name();
        assert_eq!(name, format!("REASON_{}", reason.code()));
    }
    let next = i32::try_from(Reason::ALL.len() + 1).unwrap();
    assert!(v1::Reason::try_from(next).is_err());
}

#[test]
fn an_append_reads_back_with_and_without_its_payload() {
    let (entry, (payload, salt)) = (claimed(), sealed());
    let request = sent(&write::append(&entry, Some((&payload, &salt))));
    let read = read::append(&request, &sender()).unwrap();
    assert_eq!(read, (entry.clone(), Some((payload, salt))));
    let request = sent(&write::append(&entry, None));
    assert_eq!(read::append(&request, &sender()), Ok((entry, None)));
}

#[test]
fn what_is_wrong_in_an_append_is_named() {
    let (payload, salt) = sealed();
    let good = write::append(&claimed(), Some((&payload, &salt)));
    let refused = |change: fn(&mut v1::AppendRequest, &mut v1::SealedPayload)| {
        let mut request = good.clone();
        let mut payload = request.payload.take().unwrap();
        change(&mut request, &mut payload);
        request.payload = Some(payload);
        read::append(&request, &sender()).unwrap_err()
    };
    let error = refused(|request, _| request.entry.truncate(20));
    let field = "issuer";
    assert_eq!(error, EntryError::Truncated { field }.into());
    assert_eq!(error.field(), "entry");
    assert_eq!(refused(|request, _| request.entry.clear()).field(), "entry");
    let error = refused(|_, payload| payload.parts.push(0));
    assert_eq!(error, seal::DecodeError::TrailingBytes { got: 1 }.into());
    assert_eq!(error.field(), "payload");
    for got in [0, 31, 33] {
        let mut request = good.clone();
        request.payload.as_mut().unwrap().salt.resize(got, 0);
        let error = read::append(&request, &sender()).unwrap_err();
        assert_eq!(error, length("payload.salt", got));
        assert_eq!(error.field(), "payload.salt");
    }
}

#[test]
fn an_accepted_append_reads_back_as_the_receipt_it_came_from() {
    let receipt = Ledger::of(4).receipt(CLAIM);
    let message = sent(&write::receipt(&receipt));
    let answer = read::append_answer(message, &receipt.proved.entry).unwrap();
    let AppendAnswer::Accepted(read) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(read, receipt);
}

fn refused_with(evidence: Option<v1::SlotEvidence>) -> v1::AppendResponse {
    sent(&write::refused(Reason::SlotReserved.into(), evidence))
}

#[test]
fn a_refusal_reads_back_with_and_without_its_evidence() {
    let refusal = Ledger::of(4).refusal();
    for evidence in [Some(refusal.clone()), None] {
        let message = refused_with(evidence.as_ref().map(write::evidence));
        let answer = read::append_answer(message, &refusal.refused).unwrap();
        let AppendAnswer::Refused {
            reason,
            evidence: read,
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(reason, Reason::SlotReserved);
        assert_eq!(read.map(|it| *it), evidence);
    }
}

#[test]
fn every_reason_travels_with_its_french_sentence() {
    for reason in Reason::ALL {
        let message = sent(&write::refused((*reason).into(), None));
        let Some(v1::append_response::Answer::Refusal(refusal)) = &message.answer else {
            panic!("{message:?}");
        };
        assert_eq!(refusal.sentence, reason.french());
        let answer = read::append_answer(message, &claimed()).unwrap();
        assert!(matches!(answer, AppendAnswer::Refused { reason: read, .. } if read == *reason));
    }
}

/// The field at fault in the receipt of the claim after a change.
fn receipt_error(change: impl FnOnce(&mut v1::Receipt)) -> WireError {
    let receipt = Ledger::of(1).receipt(CLAIM);
    let mut message = write::receipt(&receipt);
    match &mut message.answer {
        Some(v1::append_response::Answer::Receipt(receipt)) => change(receipt),
        other => panic!("{other:?}"),
    }
    read::append_answer(message, &receipt.proved.entry).unwrap_err()
}

#[test]
fn what_is_wrong_in_a_receipt_is_named() {
    let answer = read::append_answer(v1::AppendResponse { answer: None }, &claimed());
    let field = "answer";
    assert_eq!(answer.unwrap_err(), WireError::Missing { field });
    let field = "inclusion";
    let error = receipt_error(|it| it.inclusion = None);
    assert_eq!(error, WireError::Missing { field });
    for got in [0, 31, 33] {
        let error = receipt_error(|it| it.inclusion.as_mut().unwrap().hashes[0].resize(got, 0));
        assert_eq!(error, length("inclusion.hashes", got));
    }
    let error = receipt_error(|it| it.inclusion.as_mut().unwrap().hashes = vec![vec![0; 32]; 65]);
    assert_eq!(error, ProofError::TooManyHashes { got: 65, max: 64 }.into());
    assert_eq!(error.field(), "hashes");
    for text in ["", "vitrail.example/optique\n"] {
        let error = receipt_error(|it| text.clone_into(&mut it.checkpoint));
        assert!(matches!(error, WireError::Checkpoint(_)));
        assert_eq!(error.field(), "checkpoint");
    }
}

/// The field at fault in a refusal after a change of its evidence.
fn evidence_error(change: impl FnOnce(&mut v1::SlotEvidence)) -> WireError {
    let refusal = Ledger::of(1).refusal();
    let mut evidence = write::evidence(&refusal);
    change(&mut evidence);
    read::append_answer(refused_with(Some(evidence)), &refusal.refused).unwrap_err()
}

#[test]
fn what_is_wrong_in_a_refusal_is_named() {
    let past_the_last = 1 + i32::try_from(Reason::ALL.len()).unwrap();
    for got in [0, past_the_last, 256, -1, i32::MIN, i32::MAX] {
        let mut message = refused_with(None);
        match &mut message.answer {
            Some(v1::append_response::Answer::Refusal(refusal)) => refusal.reason = got,
            other => panic!("{other:?}"),
        }
        let error = read::append_answer(message, &claimed()).unwrap_err();
        let (field, got) = ("reason", got.into());
        assert_eq!(error, WireError::Value { field, got });
    }
    let missing = |field| WireError::Missing { field };
    assert_eq!(evidence_error(|it| it.holder = None), missing("holder"));
    let error = evidence_error(|it| it.holder.as_mut().unwrap().inclusion = None);
    assert_eq!(error, missing("inclusion"));
    let error = evidence_error(|it| it.holder.as_mut().unwrap().entry.clear());
    assert_eq!(error.field(), "entry");
    let error = evidence_error(|it| it.map_proof.clear());
    assert_eq!(error, MapProofBytesError::Length.into());
    assert_eq!(error.field(), "map_proof");
    let error = evidence_error(|it| it.checkpoint.clear());
    assert_eq!(error.field(), "checkpoint");
}

#[test]
fn the_state_of_a_coverage_and_of_a_free_slot_read_back() {
    let ledger = Ledger::of(1);
    let coverage = StateAnswer {
        map_proof: ledger.coverage_proof(),
        entry: Some(ledger.proved(3)),
        payload: Some(sealed()),
    };
    let free = StateAnswer {
        map_proof: ledger.map_proof(&slot_index(&SlotKey::from_bytes([0x11; 32]))),
        entry: None,
        payload: None,
    };
    for state in [coverage, free] {
        let read = read::state(&sent(&write::state(&state))).unwrap();
        assert_eq!(read.map_proof, state.map_proof);
        assert_eq!(read.entry, state.entry);
        assert_eq!(read.payload, state.payload);
    }
}

#[test]
fn what_is_wrong_in_a_state_is_named() {
    let ledger = Ledger::of(1);
    let good = write::state(&StateAnswer {
        map_proof: ledger.coverage_proof(),
        entry: Some(ledger.proved(3)),
        payload: Some(sealed()),
    });
    let error = |change: fn(&mut v1::State)| {
        let mut state = good.clone();
        change(&mut state);
        read::state(&state).unwrap_err()
    };
    assert_eq!(error(|it| it.map_proof.push(0)).field(), "map_proof");
    let inclusion = error(|it| it.entry.as_mut().unwrap().inclusion = None);
    let field = "inclusion";
    assert_eq!(inclusion, WireError::Missing { field });
    let entry = error(|it| it.entry.as_mut().unwrap().entry.push(0));
    assert_eq!(entry, EntryError::TrailingBytes { extra: 1 }.into());
    let parts = error(|it| it.payload.as_mut().unwrap().parts.clear());
    assert_eq!(parts, seal::DecodeError::Truncated.into());
    let salt = error(|it| it.payload.as_mut().unwrap().salt.clear());
    assert_eq!(salt, length("payload.salt", 0));
}

#[test]
fn a_lookup_reads_back_up_to_its_limit() {
    let keys = |count| (0..count).map(|byte: u8| vec![byte; 32]).collect();
    let lookup = |slots, coverages| v1::LookupRequest {
        slot_keys: keys(slots),
        coverage_keys: keys(coverages),
    };
    let (slots, coverages) = read::lookup(&sent(&lookup(20, 12))).unwrap();
    assert_eq!((slots.len(), coverages.len()), (20, 12));
    assert_eq!(slots[19], SlotKey::from_bytes([19; 32]));
    assert_eq!(coverages[11], CoverageKey::from_bytes([11; 32]));
    for (slots, coverages) in [(33, 0), (0, 33), (20, 13)] {
        let error = read::lookup(&lookup(slots, coverages)).unwrap_err();
        let (field, max) = ("slot_keys", LOOKUP_KEYS_MAX);
        assert_eq!(
            error,
            WireError::TooMany {
                field,
                got: 33,
                max
            }
        );
    }
    for got in [0, 31, 33] {
        let mut slot = lookup(2, 2);
        slot.slot_keys[1].resize(got, 0);
        assert_eq!(read::lookup(&slot), Err(length("slot_keys", got)));
        let mut coverage = lookup(2, 2);
        coverage.coverage_keys[1].resize(got, 0);
        assert_eq!(read::lookup(&coverage), Err(length("coverage_keys", got)));
    }
}

#[test]
fn a_request_for_evaluations_reads_back() {
    let (blinded, _) = evaluated();
    for kind in [v1::TokenKind::Person, v1::TokenKind::Contract] {
        let request = sent(&write::evaluate(request_id(1), kind, &blinded));
        let read = read::evaluate(&request).unwrap();
        assert_eq!(read, (request_id(1), kind, blinded.clone()));
    }
}

#[test]
fn what_is_wrong_in_a_request_for_evaluations_is_named() {
    let (blinded, _) = evaluated();
    let error = |change: &dyn Fn(&mut v1::EvaluateRequest)| {
        let mut request = write::evaluate(request_id(1), v1::TokenKind::Person, &blinded);
        change(&mut request);
        read::evaluate(&request).unwrap_err()
    };
    for got in [0, 15, 17] {
        let (field, want) = ("request_id", 16);
        let wrong = error(&|it| it.request_id.resize(got, 0));
        assert_eq!(wrong, WireError::Length { field, got, want });
    }
    let wrong = error(&|it| it.request_id = vec![0; 16]);
    assert_eq!(wrong, IdError::RequestId.into());
    assert_eq!(wrong.field(), "request_id");
    for got in [0, 3, -1] {
        // A number that this schema does not have reads as the unspecified one.
        let wrong = error(&|it| it.kind = got);
        let (field, got) = ("kind", got.into());
        assert_eq!(wrong, WireError::Value { field, got });
    }
    let field = "blinded";
    let wrong = error(&|it| it.blinded.clear());
    assert_eq!(wrong, WireError::Missing { field });
    let (got, max) = (ELEMENTS_MAX + 1, ELEMENTS_MAX);
    let wrong = error(&|it| it.blinded.resize(got, Vec::new()));
    assert_eq!(wrong, WireError::TooMany { field, got, max });
    for got in [0, 31, 33] {
        let wrong = error(&|it| it.blinded[2].resize(got, 0));
        assert_eq!(wrong, length(field, got));
    }
    // All zeros are the identity, all ones no encoding of an element.
    for byte in [0, 0xff] {
        let wrong = error(&|it| it.blinded[2].fill(byte));
        assert!(matches!(wrong, WireError::Evaluation { .. }));
        assert_eq!(wrong.field(), field);
    }
}

#[test]
fn an_evaluation_reads_back() {
    let (_, evaluation) = evaluated();
    let message = sent(&write::evaluation(&evaluation));
    assert_eq!(read::evaluation(&message), Ok(evaluation));
}

#[test]
fn what_is_wrong_in_an_evaluation_is_named() {
    let (_, evaluation) = evaluated();
    let error = |change: &dyn Fn(&mut v1::EvaluateResponse)| {
        let mut message = write::evaluation(&evaluation);
        change(&mut message);
        read::evaluation(&message).unwrap_err()
    };
    for got in [0, 0x1_0000, u32::MAX] {
        let wrong = error(&|it| it.share_index = got);
        let (field, got) = ("share_index", got.into());
        assert_eq!(wrong, WireError::Value { field, got });
    }
    let (field, got, max) = ("evaluated", ELEMENTS_MAX + 1, ELEMENTS_MAX);
    let wrong = error(&|it| it.evaluated.resize(got, Vec::new()));
    assert_eq!(wrong, WireError::TooMany { field, got, max });
    for got in [0, 31, 33] {
        let wrong = error(&|it| it.evaluated[0].resize(got, 0));
        assert_eq!(wrong, length(field, got));
    }
    for got in [0, 63, 65] {
        let wrong = error(&|it| it.dleq_proof.resize(got, 0));
        assert_eq!(wrong, length("dleq_proof", got));
    }
    let wrong = error(&|it| it.evaluated[2].fill(0xff));
    assert!(matches!(wrong, WireError::Evaluation { .. }));
    assert_eq!(wrong.field(), field);
    let wrong = error(&|it| it.dleq_proof.fill(0xff));
    assert!(matches!(wrong, WireError::Evaluation { .. }));
    assert_eq!(wrong.field(), "dleq_proof");
}

#[test]
fn a_consistency_proof_reads_back_up_to_its_limit() {
    let hashes = |count| vec![vec![7; 32]; count];
    let read = read::consistency(&hashes(63)).unwrap();
    assert_eq!(write::consistency(&read), hashes(63));
    let error = read::consistency(&hashes(64)).unwrap_err();
    assert_eq!(error, ProofError::TooManyHashes { got: 64, max: 63 }.into());
    let error = read::consistency(&[vec![7; 31]]).unwrap_err();
    assert_eq!(error, length("hashes", 31));
}

#[test]
fn no_error_quotes_what_was_sent() {
    let request = v1::AppendRequest {
        entry: b"a name".to_vec(),
        payload: None,
    };
    let error = read::append(&request, &sender()).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("name"), "{shown}");
}

/// Reads bytes as each message there is a reader for.
fn read_as_anything(bytes: &[u8], entry: &Entry) {
    let _ = v1::AppendRequest::decode(bytes).map(|it| read::append(&it, &sender()));
    let _ = v1::LookupRequest::decode(bytes).map(|it| read::lookup(&it));
    let _ = v1::EvaluateRequest::decode(bytes).map(|it| read::evaluate(&it));
    let _ = v1::EvaluateResponse::decode(bytes).map(|it| read::evaluation(&it));
    let _ = v1::AppendResponse::decode(bytes).map(|it| read::append_answer(it, entry));
    let _ = v1::State::decode(bytes).map(|it| read::state(&it));
    let _ = v1::ProvedEntry::decode(bytes).map(|it| read::proved_entry(&it));
    let _ = v1::ProveConsistencyResponse::decode(bytes).map(|it| read::consistency(&it.hashes));
}

std::thread_local! {
    /// One message of each kind, made once, and the entry that answers are read for.
    static MESSAGES: (Vec<Vec<u8>>, Entry) = {
        let ledger = Ledger::of(1);
        let (refusal, (payload, salt)) = (ledger.refusal(), sealed());
        let (blinded, evaluation) = evaluated();
        let state = StateAnswer {
            map_proof: ledger.coverage_proof(),
            entry: Some(ledger.proved(3)),
            payload: Some(sealed()),
        };
        let messages = vec![
            write::append(&claimed(), Some((&payload, &salt))).encode_to_vec(),
            write::receipt(&ledger.receipt(CLAIM)).encode_to_vec(),
            refused_with(Some(write::evidence(&refusal))).encode_to_vec(),
            write::state(&state).encode_to_vec(),
            write::evaluate(request_id(1), v1::TokenKind::Person, &blinded).encode_to_vec(),
            write::evaluation(&evaluation).encode_to_vec(),
        ];
        (messages, refusal.refused)
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        MESSAGES.with(|(_, entry)| read_as_anything(&bytes, entry));
    }

    #[test]
    fn nearly_right_messages_never_panic(
        which in 0..6_usize,
        place: prop::sample::Index,
        length in 0..40_usize,
        patch in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        MESSAGES.with(|(messages, entry)| {
            let mut bytes = messages[which].clone();
            let start = place.index(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, patch);
            read_as_anything(&bytes, entry);
        });
    }
}
