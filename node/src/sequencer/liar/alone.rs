//! One batch of a leader that lies: every honest member refuses it, signs nothing, and goes on
//! with the next leader.

use proto::entry::Entry;
use proto::evidence::{Evidence, Offence};
use proto::ids::TreeSize;
use proto::wire::batch::BatchRecord;

use super::*;

/// What a leader that lies has each honest member asked about, and what they all must say.
struct Refused {
    lie: &'static str,
    made: Made,
    term: u64,
    is_fault: fn(&BatchFault) -> bool,
}

fn later(by_millis: i64) -> Option<UnixMillis> {
    Some(UnixMillis::new(
        clock::now().get().saturating_add_signed(by_millis),
    ))
}

fn refused(lie: &'static str, made: Made, is_fault: fn(&BatchFault) -> bool) -> Refused {
    Refused {
        lie,
        made,
        term: 2,
        is_fault,
    }
}

/// Lies about what the entries make of the ledger, and when.
fn wrong_headers(world: &World, leader: &MemberName) -> Vec<Refused> {
    let root = Some(Hash::from_bytes([5; 32]));
    let [map_root, log_root, past, future] = [
        (None, root, None),
        (None, None, root),
        (later(-3_600_000), None, None),
        (later(120_000), None, None),
    ]
    .map(|(at, map_root, log_root)| {
        let lies = Lies {
            at,
            map_root,
            log_root,
        };
        world.made(leader, &[claimed(1), claimed(2)], 2, lies)
    });
    let roots = |it: &BatchFault| matches!(it, BatchFault::Roots { .. });
    let dated = |it: &BatchFault| matches!(it, BatchFault::Dated);
    vec![
        refused("a map root that does not follow", map_root, roots),
        refused("a log root that does not follow", log_root, roots),
        refused("dated an hour ago", past, dated),
        refused("dated in two minutes", future, dated),
    ]
}

/// Lies about who signed what, and where it stands.
fn wrong_signatures(world: &World, leader: &MemberName) -> Vec<Refused> {
    let before = world.nodes[leader].sequencer.snapshot();
    let before = before.checkpoint_text();
    let all = [covered(8), claimed(1)];
    let signed = world.made(leader, &all, 2, Lies::default());
    let with = |record| Made {
        record,
        header: signed.header.clone(),
    };
    let hidden = with(carry(&signed.header, leader, &all[1..], before));
    let framed = with(carry(&signed.header, &name("cnam"), &all, before));
    let with_forged = world.made(leader, &[forged(), claimed(2)], 2, Lies::default());
    vec![
        refused(
            "a coverage that the header names is left out",
            hidden,
            |it| matches!(it, BatchFault::Malformed(_)),
        ),
        refused("signed by another than it says", framed, |it| {
            matches!(it, BatchFault::Header(_))
        }),
        refused("an entry that its issuer did not sign", with_forged, |it| {
            matches!(it, BatchFault::Entry { place: 0 })
        }),
        Refused {
            lie: "a batch of another term",
            made: signed,
            term: 3,
            is_fault: |it| matches!(it, BatchFault::Term),
        },
    ]
}

/// A grant that was signed for another ledger.
fn forged() -> Sealed {
    let (grant, _) = ground().swap_remove(1);
    let other = "vitrail.test/audio".parse().unwrap();
    let forged = Entry::sign(grant.header(), &other, &secret("opticians")).unwrap();
    (forged, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_honest_member_refuses_each_lie_and_goes_on_with_the_next_leader() {
    for voting in [4, 7] {
        let world = World::new(voting).await;
        let (leader, honest) = (world.liars[0].clone(), world.honest());
        let headers = wrong_headers(&world, &leader);
        for refused in headers.into_iter().chain(wrong_signatures(&world, &leader)) {
            for member in &honest {
                let fault = world.asked(&refused.made, member, refused.term).await;
                let fault = fault.expect_err(refused.lie);
                assert!((refused.is_fault)(&fault), "{}: {fault}", refused.lie);
                assert_ne!(fault.blame(), Blame::Own);
                assert_eq!(world.nodes[member].signed().claimed().size.get(), 4);
            }
        }
        let made = world.made(&name("cnam"), &[claimed(1)], 3, Lies::default());
        world.order(&made, &honest).await;
        world.meet(&honest).await;
        for member in &honest {
            assert_eq!(*world.nodes[member].checkpoint(), made.checkpoint());
        }
    }
}

/// What an honest member can show of a refused batch to whoever has the roster.
fn shown(world: &World, of: &MemberName, made: &Made, fault: &BatchFault) -> Option<Offence> {
    let (node, record) = (
        &world.nodes[of],
        BatchRecord::from_bytes(&made.record).unwrap(),
    );
    let (last, before) = (node.store.last_header().unwrap(), node.sequencer.snapshot());
    let evidence = of_refused(&record, fault, last.as_ref(), &before).unwrap()?;
    let read = Evidence::parse(&evidence.to_text()).unwrap();
    let verdict = read.verify(&world.roster, &mut |_| {}).unwrap();
    assert_eq!(verdict.members, world.liars[..1]);
    Some(verdict.offence)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_is_evidence_for_whoever_has_the_roster() {
    let world = World::new(4).await;
    let (leader, member) = (world.liars[0].clone(), name("cnam"));
    let mut offences = Vec::new();
    let root = Some(Hash::from_bytes([5; 32]));
    let wrong_map = Lies {
        map_root: root,
        ..Lies::default()
    };
    let dated = Lies {
        at: later(-3_600_000),
        ..Lies::default()
    };
    // The last one is a clock's word against another's: it convinces nobody.
    let ahead = Lies {
        at: later(120_000),
        ..Lies::default()
    };
    for lies in [wrong_map, dated, ahead] {
        let made = world.made(&leader, &[claimed(1)], 2, lies);
        let fault = world.asked(&made, &member, 2).await.unwrap_err();
        offences.push(shown(&world, &member, &made, &fault).map(|it| it.as_str()));
    }
    assert_eq!(offences, [Some("wrong-map"), Some("back-dated"), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_header_for_one_place_of_one_term_is_refused_with_the_first_in_hand() {
    let world = World::new(4).await;
    let leader = world.liars[0].clone();
    let [first, second] =
        [1, 2].map(|slot| world.made(&leader, &[claimed(slot)], 2, Lies::default()));
    let member = name("cnam");
    assert_eq!(
        world.asked(&first, &member, 2).await.unwrap(),
        Opinion::Sound
    );
    let fault = world.asked(&second, &member, 2).await.unwrap_err();
    let BatchFault::TwoHeaders { other } = fault else {
        panic!("{fault}")
    };
    assert_eq!(*other, first.header);
    let fault = BatchFault::TwoHeaders { other };
    let offence = shown(&world, &member, &second, &fault).unwrap();
    assert_eq!(offence.as_str(), "two-headers");
    assert_eq!(
        world.asked(&first, &member, 2).await.unwrap(),
        Opinion::Sound
    );
}

/// A batch that waited for its majority while nobody could reach one is not refused for its date
/// under a later leader: else nobody could go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_batch_is_taken_from_a_later_leader() {
    // Entries are decided up to two minutes from their batch; a new batch is a minute old at most.
    let world = World::laid(4, later(-100_000)).await;
    let (leader, member) = (name("amc"), name("cnam"));
    let made = world.made(&leader, &[claimed(1)], 2, dated(later(-90_000)));
    let fault = world.asked(&made, &member, 2).await.unwrap_err();
    assert!(matches!(fault, BatchFault::Dated));
    let opinion = world.asked_led_in(&made, &member, 2, 3).await;
    assert_eq!(opinion.unwrap(), Opinion::Sound);
    // Before the last batch it is history for nobody.
    let made = world.made(&leader, &[claimed(1)], 3, dated(later(-110_000)));
    let fault = world.asked_led_in(&made, &member, 3, 4).await.unwrap_err();
    assert!(matches!(fault, BatchFault::Dated));
}

/// A member that is behind gets a batch that appends nothing after the one that made its state. The
/// others have signed larger states by then: what certifies this one is what it has published.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_behind_goes_on_over_a_batch_that_appends_nothing() {
    let world = World::new(4).await;
    let (leader, late) = (name("cnam"), name("amc"));
    let mut others: Vec<_> = world.nodes.keys().cloned().collect();
    others.retain(|it| *it != late);
    let mut batches = Vec::new();
    for slot in [1, 1, 2] {
        let made = world.made(&leader, &[claimed(slot)], 2, Lies::default());
        world.order(&made, &others).await;
        world.meet(&others).await;
        batches.push(made);
    }
    assert_eq!(batches[0].checkpoint(), batches[1].checkpoint());
    for made in &batches {
        world.asked(made, &late, 2).await.unwrap();
    }
    for made in &batches[..2] {
        let sequencer = &world.nodes[&late].sequencer;
        let done = sequencer.ordered(made.record.clone(), engine::Applied::default());
        let done = tokio::time::timeout(Duration::from_secs(20), done).await;
        done.expect("it is certified").unwrap().unwrap();
    }
    assert_eq!(*world.nodes[&late].checkpoint(), batches[1].checkpoint());
}

/// A number far ahead under a size that is long past must not move a member's chain: everything
/// after it would pass for held.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_a_far_place_does_not_move_the_chain() {
    let world = World::new(4).await;
    let (leader, honest) = (world.liars[0].clone(), world.honest());
    let mut header = *world
        .made(&leader, &[claimed(1)], 2, Lies::default())
        .header
        .claimed();
    header.content = content_hash(std::iter::empty());
    header.number = u64::MAX;
    header.size = TreeSize::new(2);
    let header = header.sign(&origin(), &secret(leader.as_str()));
    let before = world.nodes[&leader].sequencer.snapshot();
    let record = carry(&header, &leader, &[], before.checkpoint_text());
    let made = Made { record, header };
    for member in &honest {
        assert_eq!(world.asked(&made, member, 2).await.unwrap(), Opinion::Later);
        world.ordered(&made, member);
    }
    world.settle(&honest).await;
    let made = world.made(&name("cnam"), &[claimed(1)], 3, Lies::default());
    world.order(&made, &honest).await;
    world.meet(&honest).await;
    for member in &honest {
        assert_eq!(*world.nodes[member].checkpoint(), made.checkpoint());
    }
}
