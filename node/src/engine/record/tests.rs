//! Golden bytes, round trips both ways, and every cut and wrong byte that can be told.

use proptest::prelude::*;

use super::*;

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

fn seat(name: &str) -> Seat {
    Seat {
        member: name.parse().unwrap(),
    }
}

fn membership(sets: &[&[u64]], seats: &[(u64, &str)]) -> Membership {
    let set = |ids: &&[u64]| ids.iter().copied().map(EngineId::new).collect();
    let seats: BTreeMap<_, _> = seats
        .iter()
        .map(|(id, name)| (EngineId::new(*id), seat(name)))
        .collect();
    Membership::new(sets.iter().map(set).collect(), seats).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(bytes: &[u8]) -> Result<Entry, RecordError> {
    record_from_bytes(&Bytes::copy_from_slice(bytes))
}

/// The three kinds, and the bytes that docs/protocol.md shows.
fn golden() -> [(Entry, &'static str); 3] {
    let entry = |index, payload| Entry {
        log_id: log_id(3, index),
        payload,
    };
    let joint = membership(&[&[1, 2], &[2, 5]], &[(1, "cnam"), (2, "a"), (5, "b")]);
    [
        (
            entry(7, Payload::Blank),
            "010000000000000000030000000000000007",
        ),
        (
            entry(8, Payload::Normal(Record::new(&b"batch"[..]))),
            "0101000000000000000300000000000000086261746368",
        ),
        (
            entry(9, Payload::Membership(joint)),
            "010200000000000000030000000000000009\
             02020000000000000001000000000000000202000000000000000200000000000000050300000000000000\
             0104636e616d0000000000000002016100000000000000050162",
        ),
    ]
}

#[test]
fn records_have_golden_bytes() {
    for (entry, bytes) in golden() {
        let written = record_to_bytes(&entry).unwrap();
        assert_eq!(hex(&written), bytes);
        assert_eq!(read(&written).unwrap(), entry);
    }
}

#[test]
fn a_vote_and_how_far_was_applied_have_golden_bytes() {
    let (term, voted_for) = (3, EngineId::new(0x0102));
    let vote = Vote {
        leader_id: LeaderId { term, voted_for },
        committed: true,
    };
    let bytes = vote_to_bytes(&vote);
    assert_eq!(hex(&bytes), "010000000000000003000000000000010201");
    assert_eq!(bytes.len(), VOTE_BYTES);
    assert_eq!(vote_from_bytes(&bytes), Ok(vote));

    let since = membership(&[&[1]], &[(1, "cnam")]);
    let applied = Applied {
        log_id: Some(log_id(3, 9)),
        membership: StoredMembership::new(Some(log_id(2, 4)), since),
    };
    let bytes = applied_to_bytes(&applied).unwrap();
    assert_eq!(
        hex(&bytes),
        "01010000000000000003000000000000000901000000000000000200000000000000040101000000000000000101\
         000000000000000104636e616d"
    );
    assert_eq!(applied_from_bytes(&bytes), Ok(applied));
    let nothing = Applied::default();
    let bytes = applied_to_bytes(&nothing).unwrap();
    assert_eq!(hex(&bytes), "0100000000");
    assert_eq!(applied_from_bytes(&bytes), Ok(nothing));
    let place = log_id(1, 2);
    assert_eq!(log_id_from_bytes(&log_id_to_bytes(&place)), Ok(place));
}

#[test]
fn every_cut_and_every_surplus_byte_is_refused() {
    for (entry, _) in golden() {
        let bytes = record_to_bytes(&entry).unwrap();
        for at in 0..bytes.len() {
            match read(&bytes[..at]) {
                // A batch ends where its bytes end: how many there are, the carrier says.
                Ok(shorter) => assert!(at >= RECORD_HEADER_BYTES && shorter != entry),
                Err(error) => assert!(matches!(error, RecordError::Cut { .. }), "{at}: {error}"),
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(read(&longer) != Ok(entry));
    }
    let vote = vote_to_bytes(&Vote::new(1, EngineId::new(1)));
    assert!((0..VOTE_BYTES).all(|at| vote_from_bytes(&vote[..at]).is_err()));
    let longer = [&vote[..], &[0]].concat();
    assert_eq!(
        vote_from_bytes(&longer),
        Err(RecordError::Surplus { got: 1 })
    );
}

#[test]
fn each_rule_refuses_its_wrong_byte() {
    let bytes = |entry: &Entry| record_to_bytes(entry).unwrap();
    let [_, _, (joint, _)] = golden();
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes(&joint);
        bytes[at] = byte;
        read(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, 2), RecordError::Version { got: 2 });
    let (field, got) = ("kind", 3);
    assert_eq!(changed(1, 3), RecordError::Unknown { field, got });
    let (field, got, max) = ("sets of voters", 3, VOTER_SETS_MAX);
    assert_eq!(changed(18, 3), RecordError::TooMany { field, got, max });
    let (field, got, max) = ("voters", 201, SEATS_MAX);
    assert_eq!(changed(19, 201), RecordError::TooMany { field, got, max });
    assert_eq!(changed(35, 1), RecordError::Order { field: "voters" });
    assert_eq!(changed(52, 9), RecordError::Voters);
    assert_eq!(changed(61, 5), RecordError::Order { field: "seats" });
    assert_eq!(changed(63, b'A'), RecordError::MemberName);
    let (field, got) = ("vote", 2);
    let mut vote = vote_to_bytes(&Vote::new(1, EngineId::new(1)));
    vote[17] = 2;
    assert_eq!(
        vote_from_bytes(&vote),
        Err(RecordError::Unknown { field, got })
    );
}

#[test]
fn a_batch_above_the_limit_is_neither_written_nor_read() {
    let batch = |length| Entry {
        log_id: log_id(1, 1),
        payload: Payload::Normal(Record::new(vec![0; length])),
    };
    let largest = record_to_bytes(&batch(RECORD_BYTES_MAX)).unwrap();
    assert!(read(&largest).is_ok());
    assert!(record_to_bytes(&batch(RECORD_BYTES_MAX + 1)).is_err());
    assert!(read(&[&largest[..], &[0]].concat()).is_err());
}

#[test]
fn the_largest_membership_is_written_and_read() {
    let ids = |from: u64, count: usize| (from..from + count as u64).map(EngineId::new);
    let name = |id: EngineId| format!("{:064}", id.get());
    let seats: BTreeMap<_, _> = ids(0, SEATS_MAX).map(|id| (id, seat(&name(id)))).collect();
    let sets = vec![ids(0, SEATS_MAX).collect(), ids(0, SEATS_MAX).collect()];
    let full = |sets, seats| Entry {
        log_id: log_id(1, 1),
        payload: Payload::Membership(Membership::new(sets, seats).unwrap()),
    };
    let entry = full(sets.clone(), seats.clone());
    assert_eq!(read(&record_to_bytes(&entry).unwrap()), Ok(entry));
    let mut more = seats;
    more.insert(EngineId::new(u64::MAX), seat("one.more"));
    let written = record_to_bytes(&full(sets, more));
    assert!(matches!(written, Err(RecordError::TooMany { .. })));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let ids = prop::collection::btree_set(any::<u64>(), 1..6);
    let names = prop::collection::vec("[a-z0-9.-]{1,64}", 12);
    let members = (ids.clone(), ids, names).prop_map(|(old, new, names)| {
        let seats: BTreeMap<_, _> = old
            .union(&new)
            .zip(&names)
            .map(|(id, name)| (EngineId::new(*id), seat(name)))
            .collect();
        let sets = [old, new].map(|ids| ids.into_iter().map(EngineId::new).collect());
        Payload::Membership(Membership::new(sets.to_vec(), seats).unwrap())
    });
    let batch = prop::collection::vec(any::<u8>(), 0..200);
    let batch = batch.prop_map(|bytes| Payload::Normal(Record::new(bytes)));
    let payload = prop_oneof![Just(Payload::Blank), batch, members];
    (any::<u64>(), any::<u64>(), payload).prop_map(|(term, index, payload)| Entry {
        log_id: log_id(term, index),
        payload,
    })
}

proptest! {
    #[test]
    fn every_record_reads_back(entry in any_entry()) {
        let bytes = record_to_bytes(&entry).unwrap();
        prop_assert_eq!(read(&bytes), Ok(entry));
    }

    #[test]
    fn whatever_reads_writes_the_same_bytes(
        entry in any_entry(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = record_to_bytes(&entry).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(entry) = read(&bytes) {
            prop_assert_eq!(&record_to_bytes(&entry).unwrap(), &bytes);
        }
        // Whatever the bytes are, they are an error or a value, never a panic.
        let _ = vote_from_bytes(&bytes);
        let _ = applied_from_bytes(&bytes);
        let _ = log_id_from_bytes(&bytes);
    }
}
