//! Quotas over a real folder: crashes, repeats, and thieves that ask every node.

use proptest::prelude::*;
use proto::hash::empty;
use proto::ids::LeafIndex;
use proto::roster::{Element, Epoch, Member, MemberShare, Role, Standing};
use proto::signing::SecretKey;

use super::*;
use crate::example::{roster_parts, secret};

const LIMITS: Limits = Limits { hour: 13, day: 40 };

fn spending(key: &SecretKey, request: u8, elements: u32) -> Spending {
    Spending {
        key: key.public(),
        spender: Spender::Till,
        request_id: RequestId::new(UnixMillis::new(1), [request; 10]),
        digest: empty(),
        elements,
        limits: LIMITS,
        claim: None,
    }
}

/// A payer that asks about a claim.
fn checking(claim: u64, request: u8, elements: u32) -> Spending {
    Spending {
        spender: Spender::Payer,
        claim: Some(ClaimCheck {
            claim: LeafIndex::new(claim),
            payer: secret("amc").public(),
            most: 4,
        }),
        ..spending(&secret("amc"), request, elements)
    }
}

#[tokio::test]
async fn a_claim_is_checked_a_few_times_and_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    quotas.spend(&checking(7, 1, 2), at(0)).await.unwrap();
    quotas.spend(&checking(7, 1, 2), at(1)).await.unwrap();
    quotas.spend(&checking(7, 2, 1), at(2)).await.unwrap();
    let refused = quotas.spend(&checking(7, 3, 2), at(3)).await;
    assert_eq!(refused, Err(QuotaError::Claim));
    // Another claim has its own few, another payer of the same claim too.
    quotas.spend(&checking(8, 4, 4), at(4)).await.unwrap();
    let mut other = Spending {
        key: secret("amc-2").public(),
        ..checking(7, 5, 4)
    };
    // Not under a key that the same payer has taken since.
    let refused = quotas.spend(&other, at(5)).await;
    assert_eq!(refused, Err(QuotaError::Claim));
    other.claim = other.claim.map(|check| ClaimCheck {
        payer: other.key,
        ..check
    });
    quotas.spend(&other, at(5)).await.unwrap();
    drop(quotas);
    // Neither a crash nor a hundred days give anything back.
    let later = at(100 * DAY_MS);
    let quotas = Quotas::open(dir.path(), later).unwrap();
    quotas.spend(&checking(7, 6, 1), later).await.unwrap();
    let refused = quotas.spend(&checking(7, 7, 1), later).await;
    assert_eq!(refused, Err(QuotaError::Claim));
}

#[tokio::test]
async fn what_a_payer_spends_on_claims_is_bounded_and_apart_from_its_imports() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    for claim in 0..13 {
        let request = u8::try_from(claim).unwrap();
        quotas
            .spend(&checking(claim, request, 1), at(0))
            .await
            .unwrap();
    }
    let refused = quotas.spend(&checking(50, 50, 1), at(0)).await;
    assert!(matches!(refused, Err(QuotaError::Key(_))));
    let import = Spending {
        spender: Spender::Payer,
        ..spending(&secret("amc"), 51, 13)
    };
    quotas.spend(&import, at(0)).await.unwrap();
}

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_768_000_000_000 + millis)
}

#[tokio::test]
async fn what_is_spent_outlives_the_process_and_a_clock_that_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let till = secret("till");
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    for request in 0..13 {
        quotas
            .spend(&spending(&till, request, 1), at(0))
            .await
            .unwrap();
    }
    // As after a kill -9: nothing more is written when the process ends.
    drop(quotas);
    let quotas = Quotas::open(dir.path(), at(1)).unwrap();
    let refused = quotas.spend(&spending(&till, 20, 1), at(1)).await;
    let hour = Duration::from_millis(HOUR_MS - 1);
    assert_eq!(refused.unwrap_err().retry_after(), Some(hour));
    let back = UnixMillis::new(5);
    assert!(quotas.spend(&spending(&till, 21, 1), back).await.is_err());
    quotas
        .spend(&spending(&secret("other"), 0, 13), at(2))
        .await
        .unwrap();
    quotas
        .spend(&spending(&till, 22, 13), at(HOUR_MS))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_repeat_costs_once_and_other_bytes_cost_again() {
    let dir = tempfile::tempdir().unwrap();
    let till = secret("till");
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    let first = spending(&till, 1, 10);
    for _ in 0..=REPEATS_MAX {
        quotas.spend(&first, at(0)).await.unwrap();
    }
    assert!(quotas.spend(&first, at(0)).await.is_err(), "a fifth repeat");
    let other = Spending {
        digest: Hash::from_bytes([1; 32]),
        elements: 3,
        ..first
    };
    quotas.spend(&other, at(0)).await.unwrap();
    let last = spending(&till, 2, 1);
    assert!(quotas.spend(&last, at(0)).await.is_err());
    let late = spending(&secret("late"), 1, 10);
    quotas.spend(&late, at(0)).await.unwrap();
    let refused = quotas.spend(&late, at(REPEAT_MS)).await;
    assert!(refused.is_err(), "a repeat after a minute is none");
}

#[tokio::test]
async fn many_at_once_spend_no_more_than_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = std::sync::Arc::new(Quotas::open(dir.path(), at(0)).unwrap());
    let till = secret("till");
    let tasks = (0..200_u8).map(|request| {
        let (quotas, spending) = (quotas.clone(), spending(&till, request, 1));
        tokio::spawn(async move { quotas.spend(&spending, at(0)).await.is_ok() })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u64::from(task.await.unwrap());
    }
    assert_eq!(admitted, LIMITS.hour);
}

#[tokio::test]
async fn all_tills_together_have_a_total_that_payers_do_not_count_toward() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        hour: u64::MAX,
        day: u64::MAX,
    };
    let large = |name: &str, spender| Spending {
        limits,
        spender,
        ..spending(&secret(name), 1, 1_000_000)
    };
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    quotas
        .spend(&large("amc", Spender::Payer), at(0))
        .await
        .unwrap();
    for name in ["a", "b"] {
        quotas
            .spend(&large(name, Spender::Till), at(0))
            .await
            .unwrap();
    }
    drop(quotas);
    let quotas = Quotas::open(dir.path(), at(0)).unwrap();
    let refused = quotas.spend(&large("c", Spender::Till), at(0)).await;
    assert_eq!(refused, Err(QuotaError::Node(Exhausted::For(DAY_MS))));
    quotas
        .spend(&large("amc-2", Spender::Payer), at(0))
        .await
        .unwrap();
}

/// A roster of `n` shares, `t` of which are needed.
fn roster(threshold: u16, shares: u16) -> Roster {
    let mut parts = roster_parts(Epoch::default(), None);
    let element: Element = parts.joint.person;
    let name = |index: u16| format!("node-{index}").parse().unwrap();
    parts.members = (1..=shares)
        .map(|index| Member {
            name: name(index),
            role: Role::Federation,
            payer: None,
            standing: Standing::Voting,
            public_key: secret(&format!("node-{index}")).public(),
            grpc: None,
            http: None,
        })
        .collect();
    parts.shares = (1..=shares)
        .map(|index| MemberShare {
            member: name(index),
            index: index.try_into().unwrap(),
            public: proto::roster::OprfElements {
                person: element,
                contract: element,
            },
        })
        .collect();
    parts.threshold = threshold.try_into().unwrap();
    parts.incident_keys.clear();
    Roster::new(parts).unwrap()
}

proptest! {
    /// Whatever nodes the thief asks for each token, he has no more tokens than were promised.
    #[test]
    fn no_choice_of_nodes_gives_more_tokens_than_promised(
        (threshold, shares) in (1..8_u16).prop_flat_map(|n| (1..=n, Just(n))),
        quota in 0..200_u64,
        choices in prop::collection::vec(any::<u64>(), 300),
    ) {
        let roster = roster(threshold, shares);
        let share = node_share(quota, &roster);
        let mut left = vec![share; shares.into()];
        let mut tokens = 0;
        for choice in choices {
            // The nodes in an order that the choice gives; the first with something left answer.
            let mut nodes: Vec<usize> = (0..left.len()).collect();
            nodes.sort_by_key(|node| choice.rotate_left(u32::try_from(*node).unwrap() * 7) % 97);
            let able: Vec<usize> = nodes.into_iter().filter(|node| left[*node] > 0).collect();
            if able.len() >= usize::from(threshold) {
                able[..threshold.into()].iter().for_each(|node| left[*node] -= 1);
                tokens += 1;
            }
        }
        prop_assert!(tokens <= quota);
    }
}

#[test]
fn the_share_of_a_node_is_the_formula() {
    assert_eq!(node_share(20, &roster(1, 1)), 20);
    assert_eq!(node_share(20, &roster(2, 3)), 13);
    assert_eq!(node_share(60, &roster(3, 5)), 36);
    assert_eq!(node_share(1, &roster(2, 3)), 0);
    assert_eq!(node_share(u64::MAX, &roster(3, 3)), u64::MAX);
}
