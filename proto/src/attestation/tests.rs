//! The shape of each kind: what its header has, what it must not have, and what it changes.

use super::*;
use std::collections::BTreeMap;

use crate::ids::{CoverageKey, Day, IdError, SlotKey, UnixMillis};
use crate::map::MapIndex;
use crate::receipt::example::{SLOTS, attestations, claim, request_id, till};
use crate::roster::example::secret;
use crate::signing::{SecretKey, SigningError};

/// The header of each kind, in the order of [`Kind::ALL`].
fn headers() -> [Header; 11] {
    attestations().map(|says| says.header(till().public(), request_id(1)))
}

fn header_of(kind: Kind) -> Header {
    headers().into_iter().find(|it| it.kind == kind).unwrap()
}

/// What comes of a header of this kind after a change.
fn read(kind: Kind, change: impl FnOnce(&mut Header)) -> Result<Attestation, ShapeError> {
    let mut header = header_of(kind);
    change(&mut header);
    Attestation::read(&header)
}

#[test]
fn what_each_kind_says_reads_back_from_its_header() {
    for (says, kind) in attestations().into_iter().zip(Kind::ALL) {
        let header = says.header(till().public(), request_id(1));
        assert_eq!(header.kind, kind);
        assert_eq!(header.issued_at, header.request_id.at());
        assert_eq!(Attestation::read(&header), Ok(says));
    }
}

#[test]
fn what_each_kind_says_survives_signing() {
    let origin = "vitrail.example/optique".parse().unwrap();
    for says in attestations() {
        let header = says.header(till().public(), request_id(1));
        let entry = crate::entry::Entry::sign(&header, &origin, &till()).unwrap();
        assert_eq!(Attestation::read(entry.header()), Ok(says));
    }
}

/// The fields that a kind has, beside issuer and request.
const fn fields_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Roster | Kind::Catalogue | Kind::Grant | Kind::Revocation => &["statement"],
        Kind::Coverage => &["keys", "hold_until", "references", "commitment"],
        // The statement of a claim may be there: how soon it may take a slot that is held.
        Kind::Claim | Kind::Delivery => &FIELDS,
        Kind::Release => &["keys", "references"],
        Kind::Erasure => &["references"],
        Kind::Settlement => &["references", "commitment", "statement"],
        Kind::Access => &["commitment"],
    }
}

fn fill(header: &mut Header, field: &str) {
    match field {
        "keys" => header.keys = vec![[1; 32]],
        "hold_until" => header.hold_until = Some(Day::new(1)),
        "references" => header.references = vec![LeafIndex::new(1), LeafIndex::new(2)],
        "commitment" => header.commitment = Some(Hash::from_bytes([1; 32])),
        "statement" => header.statement = vec![1],
        other => panic!("no field {other}"),
    }
}

fn clear(header: &mut Header, field: &str) {
    match field {
        "keys" => header.keys.clear(),
        "hold_until" => header.hold_until = None,
        "references" => header.references.clear(),
        "commitment" => header.commitment = None,
        "statement" => header.statement.clear(),
        other => panic!("no field {other}"),
    }
}

const FIELDS: [&str; 5] = [
    "keys",
    "hold_until",
    "references",
    "commitment",
    "statement",
];

#[test]
fn a_field_that_a_kind_does_not_have_is_refused() {
    for kind in Kind::ALL {
        let excess = |field: &&str| !fields_of(kind).contains(field);
        for field in FIELDS.into_iter().filter(excess) {
            let refused = read(kind, |header| fill(header, field));
            assert_eq!(refused, Err(ShapeError::Excess { kind, field }));
        }
    }
}

#[test]
fn a_field_that_a_kind_needs_is_missed() {
    for kind in Kind::ALL {
        let optional = |field: &&&str| kind == Kind::Claim && **field == "statement";
        for field in fields_of(kind).iter().filter(|field| !optional(field)) {
            let refused = read(kind, |header| clear(header, field)).unwrap_err();
            let as_it_should = match (kind, *field) {
                (Kind::Roster, _) => matches!(refused, ShapeError::Roster(_)),
                (Kind::Delivery | Kind::Settlement, "statement") => {
                    matches!(refused, ShapeError::Statement { kind: of, .. } if of == kind)
                }
                (_, "statement") => matches!(
                    refused,
                    ShapeError::StatementLength { kind: of, got: 0, .. } if of == kind
                ),
                _ => matches!(refused, ShapeError::Needs { kind: of, .. } if of == kind),
            };
            assert!(as_it_should, "{kind:?} without {field}: {refused}");
        }
    }
}

#[test]
fn a_kind_with_one_key_or_reference_takes_no_second() {
    let needs = |kind, need| Err(ShapeError::Needs { kind, need });
    let keys = |header: &mut Header| header.keys = vec![[1; 32], [2; 32]];
    let references = |header: &mut Header| fill(header, "references");
    let kind = Kind::Coverage;
    assert_eq!(read(kind, keys), needs(kind, "one coverage key"));
    assert_eq!(read(kind, references), needs(kind, "one catalogue"));
    let kind = Kind::Release;
    let three = read(kind, |header| {
        header.references = vec![LeafIndex::new(1); 3]
    });
    assert_eq!(
        three,
        needs(kind, "one claim, and at most its first delivery")
    );
    let kind = Kind::Erasure;
    assert_eq!(read(kind, references), needs(kind, "one reference"));
    let kind = Kind::Claim;
    let catalogue_alone = read(kind, |header| header.references.truncate(1));
    assert_eq!(
        catalogue_alone,
        needs(kind, "a catalogue and one coverage or more")
    );
}

#[test]
fn slot_keys_out_of_order_or_twice_are_refused() {
    let field = "slot keys";
    for kind in [Kind::Claim, Kind::Release, Kind::Delivery] {
        let swapped = read(kind, |header| header.keys.swap(0, 1));
        assert_eq!(swapped, Err(ShapeError::Unordered { field }));
        let twice = read(kind, |header| header.keys[1] = header.keys[0]);
        assert_eq!(twice, Err(ShapeError::Unordered { field }));
    }
}

#[test]
fn coverages_out_of_order_or_twice_are_refused_and_the_catalogue_stands_apart() {
    let claim_on = |references: &[u64]| {
        let references = references.iter().copied().map(LeafIndex::new).collect();
        read(Kind::Claim, |header| header.references = references)
    };
    let refused = Err(ShapeError::Unordered { field: "coverages" });
    assert_eq!(claim_on(&[1, 6, 5]), refused);
    assert_eq!(claim_on(&[1, 5, 5]), refused);
    assert!(claim_on(&[9, 5, 6]).is_ok());
}

#[test]
fn a_statement_has_just_the_length_of_its_kind() {
    let lengths = [
        (Kind::Catalogue, 36),
        (Kind::Grant, 57),
        (Kind::Revocation, 32),
    ];
    for (kind, want) in lengths {
        assert_eq!(header_of(kind).statement.len(), want);
        for got in (0..100).filter(|got| *got != want) {
            let refused = read(kind, |header| header.statement.resize(got, 0));
            let length = ShapeError::StatementLength { kind, got, want };
            assert_eq!(refused, Err(length));
        }
    }
}

#[test]
fn a_statement_that_names_no_usable_key_is_refused() {
    for kind in [Kind::Grant, Kind::Revocation] {
        // All zeros are y = 0, a point of low order.
        let refused = read(kind, |header| header.statement[..32].fill(0));
        assert_eq!(refused, Err(ShapeError::Till(SigningError::PublicKey)));
    }
}

#[test]
fn a_grant_for_no_shop_is_refused() {
    for byte in [b'C', b' ', 0xff, 0] {
        let refused = read(Kind::Grant, |header| header.statement[33] = byte);
        assert_eq!(refused, Err(ShapeError::Finess(IdError::Finess)));
    }
}

#[test]
fn a_roster_has_one_spelling() {
    let added = read(Kind::Roster, |header| header.statement.push(b'\n'));
    assert!(matches!(added, Err(ShapeError::Roster(_))));
    let cut = read(Kind::Roster, |header| header.statement.truncate(100));
    assert!(matches!(cut, Err(ShapeError::Roster(_))));
}

#[test]
fn the_statements_never_change() {
    let statement = |kind| hex::encode(header_of(kind).statement);
    let till = hex::encode(till().public().to_bytes());
    assert_eq!(statement(Kind::Revocation), till);
    let hash = "51".repeat(32);
    assert_eq!(statement(Kind::Catalogue), format!("{hash}00004fb0"));
    let grant = [
        "324130303030313233", // 2A0000123
        "000001a3185c5000",   // 1,800,000,000,000
        "000003e8",           // 1,000
        "00001f40",           // 8,000
    ];
    assert_eq!(statement(Kind::Grant), till + &grant.concat());
}

/// The effects of an attestation at leaf 258, as tag, time and leaf in hex.
fn effects(kind: Kind) -> Vec<(MapIndex, Option<String>)> {
    let says = Attestation::read(&header_of(kind)).unwrap();
    let effects = says.effects_on(&BTreeMap::new(), LeafIndex::new(258), &till().public());
    effects
        .into_iter()
        .map(|(index, state)| (index, state.map(|state| hex::encode(state.to_bytes()))))
        .collect()
}

#[test]
fn what_each_kind_changes_in_the_map_never_changes() {
    const LEAF: &str = "0000000000000102";
    let set = |index, tag: &str, time: &str| vec![(index, Some([tag, time, LEAF].concat()))];
    let none = "0000000000000000";
    let grant = grant_index(&till().public());
    let coverage = coverage_index(&CoverageKey::from_bytes([0x40; 32]));
    let mut roster = effects(Kind::Roster);
    let members = roster.split_off(1);
    assert_eq!(roster, set(roster_index(), "06", none));
    // One for each key; what they say of the others is tested beside the states.
    assert_eq!(members.len(), 5);
    let name = "ba06f6768b726a4d58ce76a00b3595124c74834defa15dbc15a6cb70ae6d1372";
    let first = ["0d", none, LEAF, name].concat();
    assert_eq!(members[0], (member_index(&secret(0).public()), Some(first)));
    let valid_from = "0000000000004fb0"; // day 20,400
    assert_eq!(
        effects(Kind::Catalogue),
        set(catalogue_index(), "07", valid_from)
    );
    let expires_at = "000001a3185c5000"; // 1,800,000,000,000
    assert_eq!(effects(Kind::Grant), set(grant, "04", expires_at));
    assert_eq!(effects(Kind::Revocation), set(grant, "05", none));
    let until = "0000000000005078"; // day 20,600
    assert_eq!(effects(Kind::Coverage), set(coverage, "03", until));
    let until = "0000000000005014"; // day 20,500
    let reserved = SLOTS.map(|slot| set(slot_index(&slot), "01", until));
    assert_eq!(effects(Kind::Claim), reserved.concat());
    let freed = SLOTS[..2].iter().map(|slot| (slot_index(slot), None));
    assert_eq!(effects(Kind::Release), freed.collect::<Vec<_>>());
    assert_eq!(effects(Kind::Erasure), []);
    let until = "00000000000052d0"; // day 21,200
    let mut held = SLOTS[..2]
        .iter()
        .map(|slot| set(slot_index(slot), "02", until));
    let mut delivered = [held.next().unwrap(), held.next().unwrap()].concat();
    delivered.extend(set(invoice_index(LeafIndex::new(258)), "0a", none));
    assert_eq!(effects(Kind::Delivery), delivered);
    let judged = "0000000000000006"; // delivery 6
    let answered = settlement_index(LeafIndex::new(5), &till().public());
    let rejected = [("0c".to_owned() + judged + LEAF + "0227")]; // rejected, reason 39
    let rejected = rejected.map(|state| (answered, Some(state)));
    assert_eq!(effects(Kind::Settlement), rejected);
    assert_eq!(effects(Kind::Access), []);
}

#[test]
fn the_places_in_the_map_never_change() {
    let places = [
        slot_index(&SLOTS[0]),
        coverage_index(&CoverageKey::from_bytes([0x40; 32])),
        grant_index(&till().public()),
        roster_index(),
        catalogue_index(),
        invoice_index(LeafIndex::new(258)),
        settlement_index(LeafIndex::new(258), &till().public()),
        member_index(&till().public()),
    ];
    let golden = [
        "4114e1c28d1a607bf02603b6f44d8c1864dbe64c0ef31ff402f8e548836f267d",
        "bec96850899105c702a96c72ebd83d16e90a7683397af72ad34ab7abdcd2da78",
        "bd8c91d338734e9cee3cfb7f14e1a49e44ef9a0f5d3700ea4a66e56faa5ff80b",
        "e14eaa74b417316cf6b914c9e6d48e378fe671370f34e516e28b74ea0b388d5b",
        "9da848aca17aa8587384031accb880b6312371efe4ebe8d200011ba58df3e84d",
        "d07cdc2eb17ba1c3ba9f6f92b92056aed7bfb2b93d07415de962c65d23c3f3c5",
        "2675cf7f2708a7f210d74a3d65d8f8dd463dcd5f1d3a7949421996c8b98ff165",
        "8d27faa35067abd960506d8412c32b8c4dcc78243a2f980a10cae5135c1ba75b",
    ];
    assert_eq!(places.map(|it| hex::encode(it.as_bytes())), golden);
}

/// Lets what somebody says take effect on a map.
fn take(map: &mut BTreeMap<MapIndex, State>, says: &Attestation, leaf: u64) {
    for (index, state) in says.effects_on(map, LeafIndex::new(leaf), &till().public()) {
        match state {
            Some(state) => map.insert(index, state),
            None => map.remove(&index),
        };
    }
}

fn released(slots: &[SlotKey], claim: u64, invoice: Option<u64>) -> Attestation {
    Attestation::Release(Release {
        slots: slots.to_vec(),
        claim: LeafIndex::new(claim),
        invoice: invoice.map(LeafIndex::new),
    })
}

fn delivered(slots: &[SlotKey], claim: u64, handover: Handover) -> Attestation {
    Attestation::Delivery(Delivery {
        slots: slots.to_vec(),
        claim: LeafIndex::new(claim),
        handover,
        commitment: Hash::from_bytes([1; 32]),
    })
}

#[test]
fn a_release_undoes_just_what_the_claim_did() {
    let mut map = BTreeMap::new();
    take(&mut map, &Attestation::Claim(claim(SLOTS.to_vec())), 7);
    assert_eq!(map.len(), 3);
    take(&mut map, &released(&SLOTS, 7, None), 8);
    assert!(map.is_empty());
}

#[test]
fn a_hold_comes_back_when_the_claim_or_delivery_over_it_goes() {
    let mut map = BTreeMap::new();
    let until = Day::new(21_000);
    take(&mut map, &Attestation::Claim(claim(SLOTS.to_vec())), 7);
    take(
        &mut map,
        &delivered(&SLOTS, 7, Handover::First { until }),
        8,
    );
    let held = map.clone();
    let early = Attestation::Claim(claim(SLOTS[..2].to_vec()));
    take(&mut map, &early, 9);
    take(&mut map, &released(&SLOTS[..2], 9, None), 10);
    assert_eq!(map, held);
    take(&mut map, &early, 11);
    let until = Day::new(21_300);
    take(
        &mut map,
        &delivered(&SLOTS[..2], 11, Handover::First { until }),
        12,
    );
    let correction = Handover::Correction {
        invoice: LeafIndex::new(12),
        delivered_on: Day::new(20_500),
        until,
    };
    take(&mut map, &delivered(&SLOTS[..2], 11, correction), 13);
    take(&mut map, &released(&SLOTS[..2], 11, Some(12)), 14);
    map.remove(&invoice_index(LeafIndex::new(12))).unwrap();
    assert_eq!(map, held);
}

#[test]
fn a_replacement_changes_nothing_in_the_map() {
    let mut map = BTreeMap::new();
    take(&mut map, &Attestation::Claim(claim(SLOTS.to_vec())), 7);
    let until = Day::new(21_000);
    take(
        &mut map,
        &delivered(&SLOTS, 7, Handover::First { until }),
        8,
    );
    let before = map.clone();
    let invoice = LeafIndex::new(8);
    take(
        &mut map,
        &delivered(&SLOTS[..1], 7, Handover::Replacement { invoice }),
        9,
    );
    assert_eq!(map, before);
}

#[test]
fn a_return_keeps_what_was_invoiced_last() {
    let mut map = BTreeMap::new();
    take(&mut map, &released(&SLOTS[..1], 7, Some(8)), 9);
    let index = invoice_index(LeafIndex::new(8));
    let state = |delivery: u64, by: u64| {
        Some(State::Invoice(InvoiceState {
            delivery: LeafIndex::new(delivery),
            returned_by: Some(LeafIndex::new(by)),
        }))
    };
    assert_eq!(map.get(&index).copied(), state(8, 9));
    let correction = Handover::Correction {
        invoice: LeafIndex::new(8),
        delivered_on: Day::new(20_500),
        until: Day::new(21_000),
    };
    take(&mut map, &delivered(&SLOTS, 7, correction), 10);
    take(&mut map, &released(&SLOTS[..1], 7, Some(8)), 11);
    assert_eq!(map.get(&index).copied(), state(10, 11));
}

#[test]
fn a_handover_has_one_spelling() {
    let until = Day::new(21_000);
    let invoice = LeafIndex::new(8);
    let correction = Handover::Correction {
        invoice,
        delivered_on: Day::new(20_500),
        until,
    };
    let replacement = Handover::Replacement { invoice };
    let spelled = [
        (Handover::First { until }, "01"),
        (correction, "0200005014"),
        (replacement, "03"),
    ];
    let header = |handover| delivered(&SLOTS, 7, handover).header(till().public(), request_id(1));
    for (handover, statement) in spelled {
        let header = header(handover);
        assert_eq!(hex::encode(&header.statement), statement);
        let read = Attestation::read(&header);
        assert_eq!(read, Ok(delivered(&SLOTS, 7, handover)));
    }
    let broken = |handover, change: fn(&mut Header)| {
        let mut header = header(handover);
        change(&mut header);
        assert!(Attestation::read(&header).is_err());
    };
    broken(Handover::First { until }, |h| {
        h.references.push(LeafIndex::new(8))
    });
    broken(Handover::First { until }, |h| h.statement.push(0));
    broken(correction, |h| h.references.truncate(1));
    broken(correction, |h| h.references.push(LeafIndex::new(9)));
    broken(correction, |h| h.statement.truncate(4));
    broken(correction, |h| h.statement.push(0));
    broken(correction, |h| h.hold_until = None);
    broken(replacement, |h| h.hold_until = Some(Day::new(1)));
    broken(replacement, |h| h.statement[0] = 4);
}

#[test]
fn a_claim_says_how_soon_and_one_that_does_not_is_as_it_was() {
    let plain = header_of(Kind::Claim);
    assert!(plain.statement.is_empty());
    for months in 0..=u8::MAX {
        let read = read(Kind::Claim, |header| header.statement = vec![months]);
        let early = EarlyFrom::from_months(months.into());
        assert_eq!(early.is_some(), [0, 6, 12].contains(&months));
        let told = early.map(|early| {
            Attestation::Claim(Claim {
                early: Some(early),
                ..claim(SLOTS.to_vec())
            })
        });
        assert_eq!(read.ok(), told);
    }
    assert!(read(Kind::Claim, |header| header.statement = vec![6, 0]).is_err());
}

#[test]
fn a_grant_says_what_the_key_is_admitted_as_and_no_two_statements_mean_the_same() {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public();
    let grant = |class| Grant {
        till: key(1),
        finess: "750000001".parse().unwrap(),
        expires_at: UnixMillis::new(9),
        hourly_quota: 20,
        daily_quota: 60,
        class,
    };
    let plain = grant(GrantClass::Till).to_statement();
    assert_eq!(plain.len(), 57, "as it was before there were devices");
    let session = GrantClass::Session { device: key(2) };
    for (class, ending) in [
        (GrantClass::Till, vec![]),
        (GrantClass::Device, vec![1]),
        (session, [&[2][..], &key(2).to_bytes()].concat()),
    ] {
        let statement = [plain.clone(), ending].concat();
        assert_eq!(grant(class).to_statement(), statement);
        let found = read(Kind::Grant, |header| {
            header.statement.clone_from(&statement)
        });
        assert_eq!(found, Ok(Attestation::Grant(grant(class))));
    }
    for ending in [&[0][..], &[1, 0], &[2], &[2; 32], &[2; 34], &[3]] {
        let refused = read(Kind::Grant, |header| {
            header.statement = [&plain, ending].concat();
        });
        assert!(refused.is_err(), "{ending:?}");
    }
}
