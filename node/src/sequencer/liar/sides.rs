//! One leader, two histories, two sides: whichever way the members are divided, and whatever the
//! liars sign, there are no two quorums. With a plain majority there would be.

use super::*;

/// Two histories of one place: a coverage is hidden from the second.
struct Forked {
    world: World,
    histories: [Made; 2],
    sides: [Vec<MemberName>; 2],
}

impl Forked {
    /// The first `first` honest members get one history, the others the other one; all of them
    /// cosign what they got, and the liars cosign both.
    async fn new(voting: usize, first: usize) -> Self {
        let world = World::new(voting).await;
        let leader = world.liars[0].clone();
        // The second side is not shown a coverage, and another claim in its place.
        let (shown, hidden) = (vec![covered(8), claimed(2)], vec![claimed(2), claimed(3)]);
        let histories = [shown, hidden].map(|it| world.made(&leader, &it, 2, Lies::default()));
        let mut honest = world.honest();
        let second = honest.split_off(first);
        let sides = [honest, second];
        for (made, side) in histories.iter().zip(&sides) {
            world.order(made, side).await;
        }
        Self {
            world,
            histories,
            sides,
        }
    }

    /// Everybody hears everybody.
    async fn heal(&self) {
        let honest = self.world.honest();
        self.world.meet(&honest).await;
        for made in &self.histories {
            self.world.liars_sign(&made.checkpoint(), &honest).await;
        }
    }

    /// All signatures that there are for a history.
    fn cosigned(&self, history: usize) -> SignedCheckpoint {
        let checkpoint = self.histories[history].checkpoint();
        let mut lines = self
            .world
            .cosigned_by_liars(&checkpoint)
            .cosignatures()
            .to_vec();
        for member in &self.sides[history] {
            lines.extend(self.world.nodes[member].signed().cosignatures().to_vec());
        }
        SignedCheckpoint::new(checkpoint, lines).unwrap()
    }

    /// How many voting members have really signed it.
    fn count(&self, history: usize) -> usize {
        let signed = self.cosigned(history);
        let lines = signed.cosignatures().iter();
        let roster = &self.world.roster;
        lines
            .filter(|line| signed.claimed().verify_cosignature(line, roster).is_ok())
            .count()
    }

    /// Whether both histories would be valid if so many cosignatures were enough.
    fn forks_at(&self, quorum: usize) -> bool {
        (0..2).all(|history| self.count(history) >= quorum)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_never_both_get_a_quorum() {
    for voting in [4, 7] {
        for first in 0..=voting - (voting - 1) / 3 {
            let forked = Forked::new(voting, first).await;
            forked.heal().await;
            let roster = &forked.world.roster;
            let valid: Vec<_> = (0..2)
                .filter(|history| forked.cosigned(*history).verify(roster).is_ok())
                .collect();
            assert!(valid.len() < 2, "{voting} members, {first} on one side");
            for member in forked.world.honest() {
                let published = forked.world.nodes[&member].checkpoint();
                let is_valid = valid
                    .iter()
                    .any(|it| forked.histories[*it].checkpoint() == *published);
                assert!(is_valid || published.size.get() == 4, "{member}");
            }
        }
    }
}

/// A quorum of four is three, and so is its majority: there a plain majority is enough. It is not
/// for five and for seven.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_plain_majority_as_quorum_there_are_two_valid_histories() {
    for (voting, first) in [(5, 2), (7, 2), (7, 3)] {
        let forked = Forked::new(voting, first).await;
        let quorum = forked.world.roster.quorum();
        let majority = voting / 2 + 1;
        assert!(forked.forks_at(majority) && !forked.forks_at(quorum));
        let [one, other] = [0, 1].map(|history| forked.histories[history].checkpoint());
        assert!(one.size == other.size && one.log_root != other.log_root);
    }
    // Of four, half would have to do.
    let forked = Forked::new(4, 2).await;
    assert!(forked.forks_at(2) && !forked.forks_at(4 / 2 + 1));
    assert_eq!(forked.world.roster.quorum(), 4 / 2 + 1);
}

/// The member that got the other history has signed it, so it signs no second one of that size.
/// It takes what the quorum has, by pages, and goes on with the next batch of an honest leader.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_shown_the_other_history_joins_the_others_and_signs_nothing_twice() {
    let forked = Forked::new(4, 2).await;
    forked.heal().await;
    let (world, leader) = (&forked.world, name("cnam"));
    let victim = forked.sides[1][0].clone();
    assert!(forked.sides[0].contains(&leader));
    let certified = forked.histories[0].checkpoint();
    assert_eq!(*world.nodes[&leader].checkpoint(), certified);
    assert_eq!(world.nodes[&victim].checkpoint().size.get(), 4);

    world.brings(&leader, &victim).await;
    assert_eq!(*world.nodes[&victim].checkpoint(), certified);
    let lied = forked.histories[1].checkpoint();
    assert_eq!(*world.nodes[&victim].signed().claimed(), lied);

    // The next batch: the victim knows no header that it follows, and waits for pages again.
    let made = world.made(&leader, &[claimed(4)], 3, Lies::default());
    assert_eq!(
        world.asked(&made, &victim, 3).await.unwrap(),
        Opinion::Later
    );
    world.ordered(&made, &victim);
    world.order(&made, &forked.sides[0]).await;
    world.meet(&forked.sides[0]).await;
    // Two honest members and whoever else: the liar signs too, or there is no quorum.
    world.liars_sign(&made.checkpoint(), &forked.sides[0]).await;
    world.brings(&leader, &victim).await;
    assert_eq!(*world.nodes[&victim].checkpoint(), made.checkpoint());
    world.settle(std::slice::from_ref(&victim)).await;

    // From then on it is one of them again, and no liar is needed.
    let honest = world.honest();
    let made = world.made(&leader, &[claimed(5)], 3, Lies::default());
    world.order(&made, &honest).await;
    world.meet(&honest).await;
    for member in &honest {
        assert_eq!(*world.nodes[member].checkpoint(), made.checkpoint());
    }
}

/// Two fetch pages at a time, or batches come meanwhile: what was asked for too early is refused
/// with where this ledger ends, and does no harm to what comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_late_leaves_no_trace() {
    let world = World::new(4).await;
    let (leader, honest) = (name("cnam"), world.honest());
    let victim = honest.iter().find(|it| **it != leader).unwrap();
    let held = world.nodes[victim].checkpoint().size;

    let late = world.paged(&leader, TreeSize::new(1), victim).await;
    assert_eq!(late.held, held);
    assert!(matches!(
        late.outcome,
        Err(ApplyError::Page(PageError::Elsewhere { .. }))
    ));
    let made = world.made(&leader, &[claimed(4)], 2, Lies::default());
    world.order(&made, &honest).await;
    world.meet(&honest).await;
    assert_eq!(*world.nodes[victim].checkpoint(), made.checkpoint());

    let others: Vec<_> = honest.iter().filter(|it| *it != victim).cloned().collect();
    let made = world.made(&leader, &[claimed(5)], 2, Lies::default());
    world.order(&made, &others).await;
    world.meet(&others).await;
    world.liars_sign(&made.checkpoint(), &others).await;
    world.brings(&leader, victim).await;
    assert_eq!(*world.nodes[victim].checkpoint(), made.checkpoint());
}
