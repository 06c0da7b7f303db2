//! Receipts of a small ledger: each step passes in its order, and whatever is changed fails one.

use proptest::prelude::*;

use super::example::{CLAIM, Ledger, SLOTS, attestations, claim, entry, till};
use super::*;
use crate::checkpoint::example::{TIME, cosigned};
use crate::entry::Kind;
use crate::ids::TreeSize;
use crate::roster::example::federation;

fn accepted(ledger: &Ledger) -> String {
    ReceiptFile::Accepted(ledger.receipt(CLAIM)).to_text()
}

fn refused(ledger: &Ledger) -> String {
    ReceiptFile::Refused(ledger.refusal()).to_text()
}

/// The steps that passed, and what came of it.
fn verify(text: &str, roster: &Roster) -> (Vec<Step>, Result<VerifiedFile, ReceiptError>) {
    let mut steps = Vec::new();
    let verified = ReceiptFile::verify(text, roster, &mut |step| steps.push(step));
    (steps, verified)
}

const RECEIPT_STEPS: [Step; 4] = [Step::Format, Step::Checkpoint, Step::Entry, Step::Inclusion];

#[test]
fn a_receipt_passes_its_four_steps_in_order() {
    for ledger in [Ledger::of(1), Ledger::of(4)] {
        let (steps, verified) = verify(&accepted(&ledger), &ledger.roster);
        let Ok(VerifiedFile::Accepted(receipt)) = verified else {
            panic!("{verified:?}");
        };
        assert_eq!(steps, RECEIPT_STEPS);
        assert_eq!(receipt.index.get(), CLAIM);
        assert_eq!(receipt.entry.into_entry(), ledger.proved(CLAIM).entry);
        assert_eq!(receipt.checkpoint.time(), TIME);
    }
}

#[test]
fn a_refusal_passes_its_six_steps_in_order() {
    for ledger in [Ledger::of(1), Ledger::of(4)] {
        let (steps, verified) = verify(&refused(&ledger), &ledger.roster);
        let Ok(VerifiedFile::Refused(refusal)) = verified else {
            panic!("{verified:?}");
        };
        assert_eq!(steps[..4], RECEIPT_STEPS);
        assert_eq!(steps[4..], [Step::State, Step::Refused]);
        assert_eq!(refusal.slot, SLOTS[1]);
        assert_eq!(refusal.state.by.get(), CLAIM);
        assert_eq!(refusal.state.status, SlotStatus::Reserved);
    }
}

#[test]
fn every_entry_of_the_ledger_has_its_receipt() {
    let ledger = Ledger::of(4);
    for index in 0..5 {
        let text = ReceiptFile::Accepted(ledger.receipt(index)).to_text();
        let (steps, verified) = verify(&text, &ledger.roster);
        assert!(verified.is_ok() && steps == RECEIPT_STEPS, "{index}");
    }
}

#[test]
fn what_is_printed_is_read_back() {
    let ledger = Ledger::of(4);
    for file in [
        ReceiptFile::Accepted(ledger.receipt(0)),
        ReceiptFile::Accepted(ledger.receipt(CLAIM)),
        ReceiptFile::Refused(ledger.refusal()),
    ] {
        assert_eq!(ReceiptFile::parse(&file.to_text()), Ok(file));
    }
}

/// Each bit of a byte.
const EVERY_BIT: &[u8] = &[1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80];
/// A neighbour of a digit and of a letter, the other case, no UTF-8.
const SOME_BITS: &[u8] = &[1, 0x20, 0x80];

/// Flips bits of every byte of a file, and makes a line's end of it. Each change must fail one of
/// the steps that `sensible` allows for the line it is in, and no later step may have passed.
fn refuse_every_change(
    text: &str,
    roster: &Roster,
    flips: &[u8],
    sensible: fn(&str) -> &'static [Step],
) {
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let in_checkpoint = text[..line_start].contains("\n\n");
        let name = if in_checkpoint { "checkpoint" } else { line };
        let allowed = sensible(name.split([' ', '\n']).next().unwrap());
        for place in line_start..line_start + line.len() {
            let line_end = text.as_bytes()[place] ^ b'\n';
            for &flip in flips.iter().chain([&line_end]) {
                let mut changed = text.as_bytes().to_vec();
                changed[place] ^= flip;
                let Ok(changed) = String::from_utf8(changed) else {
                    continue; // Such a file is no text: its reader refuses it.
                };
                if changed == text {
                    continue; // It is a line's end already.
                }
                let (steps, verified) = verify(&changed, roster);
                let step = verified.expect_err(&changed).step();
                assert!(
                    allowed.contains(&step),
                    "{step} at {place} ^ {flip}: {name}"
                );
                assert!(steps.iter().all(|passed| *passed < step));
            }
        }
        line_start += line.len();
    }
}

fn steps_of_receipt_line(name: &str) -> &'static [Step] {
    match name {
        "vitrail" | "" => &[Step::Format],
        "entry" => &[Step::Format, Step::Entry],
        "index" => &[Step::Format, Step::Inclusion],
        // A line's end at its start ends the path; what follows is then no checkpoint.
        "path" => &[Step::Format, Step::Inclusion, Step::Checkpoint],
        "checkpoint" => &[Step::Checkpoint],
        other => panic!("a receipt has no line {other}"),
    }
}

fn steps_of_refusal_line(name: &str) -> &'static [Step] {
    match name {
        "reason" => &[Step::Format],
        // The refused entry names the slot whose state is proved.
        "refused" => &[Step::Format, Step::State, Step::Refused],
        "slot" => &[Step::Format, Step::State, Step::Refused],
        "state" => &[Step::Format, Step::State],
        "holder" => &[Step::Format, Step::Entry],
        other => steps_of_receipt_line(other),
    }
}

#[test]
fn every_changed_byte_of_a_receipt_is_refused() {
    for (members, flips) in [(1, EVERY_BIT), (4, SOME_BITS)] {
        let ledger = Ledger::of(members);
        refuse_every_change(
            &accepted(&ledger),
            &ledger.roster,
            flips,
            steps_of_receipt_line,
        );
    }
}

#[test]
fn every_changed_byte_of_a_refusal_is_refused() {
    for (members, flips) in [(1, EVERY_BIT), (4, SOME_BITS)] {
        let ledger = Ledger::of(members);
        refuse_every_change(
            &refused(&ledger),
            &ledger.roster,
            flips,
            steps_of_refusal_line,
        );
    }
}

#[test]
fn every_missing_and_every_added_character_is_refused() {
    let ledger = Ledger::of(1);
    for text in [accepted(&ledger), refused(&ledger)] {
        for (place, character) in text.char_indices() {
            let (before, after) = text.split_at(place);
            let cut = verify(before, &ledger.roster).1;
            assert!(cut.is_err(), "{place}");
            let missing = format!("{before}{}", &after[character.len_utf8()..]);
            assert!(verify(&missing, &ledger.roster).1.is_err(), "{place}");
            for added in ["\n", " ", "A", "0"] {
                let added = format!("{before}{added}{after}");
                assert!(verify(&added, &ledger.roster).1.is_err(), "{place}");
            }
        }
        assert!(verify(&format!("{text}\n"), &ledger.roster).1.is_err());
    }
}

#[test]
fn a_file_with_other_line_ends_is_refused() {
    let ledger = Ledger::of(1);
    for text in [accepted(&ledger), refused(&ledger)] {
        let step = verify(&text.replace('\n', "\r\n"), &ledger.roster).1;
        assert_eq!(step.unwrap_err().step(), Step::Format);
    }
}

#[test]
fn every_line_that_is_dropped_doubled_or_moved_is_refused() {
    let ledger = Ledger::of(4);
    for text in [accepted(&ledger), refused(&ledger)] {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        // The cosignatures are a set: their order is the issuer's, and C2SP leaves it so.
        let ordered = lines.len() - 4;
        for place in 0..lines.len() {
            let mut dropped = lines.clone();
            let line = dropped.remove(place);
            if place < ordered {
                assert!(
                    verify(&dropped.concat(), &ledger.roster).1.is_err(),
                    "{place}"
                );
            }
            let mut doubled = lines.clone();
            doubled.insert(place, line);
            assert!(
                verify(&doubled.concat(), &ledger.roster).1.is_err(),
                "{place}"
            );
            if place + 1 < ordered {
                let mut moved = lines.clone();
                moved.swap(place, place + 1);
                assert!(
                    verify(&moved.concat(), &ledger.roster).1.is_err(),
                    "{place}"
                );
            }
        }
    }
}

#[test]
fn a_file_longer_than_any_receipt_is_refused_before_it_is_read() {
    let got = RECEIPT_BYTES_MAX + 1;
    let refused = ReceiptFile::parse(&"A".repeat(got));
    assert_eq!(refused, Err(ReceiptError::TooLong { got }));
}

#[test]
fn the_roster_of_another_federation_is_refused() {
    let (one, four) = (Ledger::of(1), Ledger::of(4));
    for (text, roster) in [
        (accepted(&one), federation(2, 0)),
        (accepted(&one), federation(4, 0)),
        (refused(&one), federation(4, 0)),
        (accepted(&four), federation(1, 0)),
        (refused(&four), federation(3, 0)),
    ] {
        let (steps, verified) = verify(&text, &roster);
        assert_eq!(steps, [Step::Format]);
        assert_eq!(verified.unwrap_err().step(), Step::Checkpoint);
    }
}

#[test]
fn three_of_four_members_are_enough_and_two_are_not() {
    let ledger = Ledger::of(4);
    let mut receipt = ledger.receipt(CLAIM);
    receipt.checkpoint = cosigned(ledger.checkpoint.claimed(), 1..4, TIME);
    assert!(receipt.verify(&ledger.roster, &mut |_| ()).is_ok());
    receipt.checkpoint = cosigned(ledger.checkpoint.claimed(), 2..4, TIME);
    let refused = receipt.verify(&ledger.roster, &mut |_| ()).unwrap_err();
    let short = CheckpointError::QuorumNotMet { got: 2, want: 3 };
    assert_eq!(refused, ReceiptError::Checkpoint(short));
}

fn step_of_receipt(ledger: &Ledger, change: impl FnOnce(&mut Receipt)) -> Step {
    let mut receipt = ledger.receipt(CLAIM);
    change(&mut receipt);
    let text = ReceiptFile::Accepted(receipt).to_text();
    verify(&text, &ledger.roster).1.unwrap_err().step()
}

#[test]
fn a_receipt_with_a_part_of_another_is_refused() {
    let ledger = Ledger::of(4);
    let coverage = ledger.proved(3);
    let step = step_of_receipt(&ledger, |it| it.proved.entry = coverage.entry.clone());
    assert_eq!(step, Step::Inclusion);
    let step = step_of_receipt(&ledger, |it| it.proved.index = coverage.index);
    assert_eq!(step, Step::Inclusion);
    let step = step_of_receipt(&ledger, |it| it.proved.inclusion = coverage.inclusion);
    assert_eq!(step, Step::Inclusion);
    let mut smaller = ledger.checkpoint.claimed().clone();
    smaller.size = TreeSize::new(4);
    let smaller = cosigned(&smaller, 0..4, TIME);
    let step = step_of_receipt(&ledger, |it| it.checkpoint = smaller);
    assert_eq!(step, Step::Inclusion);
    let other = Ledger::of(1).checkpoint;
    let step = step_of_receipt(&ledger, |it| it.checkpoint = other);
    assert_eq!(step, Step::Checkpoint);
}

#[test]
fn an_entry_that_was_signed_for_another_ledger_is_refused() {
    let ledger = Ledger::of(4);
    let header = ledger.proved(CLAIM).entry.header().clone();
    let other = "vitrail.example/audio".parse().unwrap();
    let elsewhere = Entry::sign(&header, &other, &till()).unwrap().into_entry();
    let step = step_of_receipt(&ledger, |it| it.proved.entry = elsewhere.clone());
    assert_eq!(step, Step::Entry);
    let error = refusal_error(&ledger, |it| it.refused = refused_by(&other));
    assert_eq!(error.step(), Step::Refused);
    let step = refusal_error(&ledger, |it| it.holder.entry = elsewhere).step();
    assert_eq!(step, Step::Entry);
}

/// The refused claim, signed for another ledger.
fn refused_by(origin: &Origin) -> Entry {
    let refused = Ledger::of(1).refusal().refused;
    let signed = Entry::sign(refused.header(), origin, &till());
    signed.unwrap().into_entry()
}

fn refusal_error(ledger: &Ledger, change: impl FnOnce(&mut RefusalReceipt)) -> ReceiptError {
    let mut refusal = ledger.refusal();
    change(&mut refusal);
    let text = ReceiptFile::Refused(refusal).to_text();
    verify(&text, &ledger.roster).1.unwrap_err()
}

#[test]
fn a_refusal_with_a_part_of_another_is_refused() {
    let ledger = Ledger::of(4);
    let holder = LeafIndex::new(CLAIM);
    let error = refusal_error(&ledger, |it| it.reason = Reason::SlotHeld);
    assert_eq!(error, ReceiptError::NotTheHolder { holder });
    let error = refusal_error(&ledger, |it| it.reason = Reason::ClockSkew);
    assert_eq!(error, ReceiptError::NotTheHolder { holder });
    let error = refusal_error(&ledger, |it| it.holder = ledger.proved(3));
    let holder = LeafIndex::new(3);
    assert_eq!(error, ReceiptError::NotTheHolder { holder });
    for other in [
        slot_index(&SLOTS[0]),
        slot_index(&SlotKey::from_bytes([0x11; 32])),
    ] {
        let other = ledger.map_proof(&other);
        let step = refusal_error(&ledger, |it| it.state = other).step();
        assert_eq!(step, Step::State);
    }
    let coverage = ledger.coverage_proof();
    let step = refusal_error(&ledger, |it| it.state = coverage).step();
    assert_eq!(step, Step::State);
}

#[test]
fn a_slot_that_the_map_does_not_have_refuses_nobody() {
    let ledger = Ledger::of(4);
    let error = refusal_error(&ledger, |it| {
        it.key_position = 0; // The refused claim's first slot is free.
        it.state = ledger.map_proof(&slot_index(&SlotKey::from_bytes([0x11; 32])));
    });
    let holder = LeafIndex::new(CLAIM);
    assert_eq!(error, ReceiptError::NotTheHolder { holder });
}

#[test]
fn a_refused_entry_that_asked_for_no_such_slot_is_refused() {
    let ledger = Ledger::of(4);
    for position in [2, usize::MAX] {
        let error = refusal_error(&ledger, |it| it.key_position = position);
        assert_eq!(error, ReceiptError::NotAsked { position });
    }
    for says in attestations() {
        if says.kind() == Kind::Claim {
            continue;
        }
        let error = refusal_error(&ledger, |it| it.refused = entry(&says, 0x98, &till()));
        assert_eq!(error, ReceiptError::NotAsked { position: 1 });
    }
    let unordered = Attestation::Claim(claim(vec![SLOTS[2], SLOTS[1]]));
    let error = refusal_error(&ledger, |it| it.refused = entry(&unordered, 0x97, &till()));
    assert!(matches!(error, ReceiptError::RefusedShape(_)));
    assert_eq!(error.step(), Step::Refused);
}

#[test]
fn a_refused_entry_that_its_issuer_did_not_sign_is_refused() {
    let ledger = Ledger::of(4);
    let refused = ledger.refusal().refused;
    let mut bytes = refused.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = Entry::parse(&bytes).unwrap();
    let error = refusal_error(&ledger, |it| it.refused = forged);
    assert!(matches!(error, ReceiptError::Refused(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_text_never_panics(
        refusal: bool,
        text in "(vitrail (receipt|refusal) v1\n)?((entry|index|path|reason|slot|state) .{0,9}\n){0,4}.{0,40}",
        place in 0..1000_usize,
        length in 0..200_usize,
    ) {
        let _ = verify(&text, &federation(1, 0));
        let file = NEAR.with(|files| files[usize::from(refusal)].clone());
        let start = place.min(file.len());
        let end = (start + length).min(file.len());
        // The file is ASCII up to its cosignatures' dashes.
        if file.is_char_boundary(start) && file.is_char_boundary(end) {
            let near = format!("{}{text}{}", &file[..start], &file[end..]);
            if let Ok(read) = ReceiptFile::parse(&near) {
                prop_assert_eq!(read.to_text(), near);
            }
        }
    }
}

std::thread_local! {
    /// A receipt and a refusal, made once.
    static NEAR: [String; 2] = {
        let ledger = Ledger::of(1);
        [accepted(&ledger), refused(&ledger)]
    };
}
