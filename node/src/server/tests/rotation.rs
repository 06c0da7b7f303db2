//! A member that takes a new key.

use proto::roster::MemberChange;

use super::*;
use crate::next_key::NextKey;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_votes_alone_takes_a_new_key_while_it_runs() {
    let node = Node::start().await;
    let (old, new) = (node.own_key(), secret("new"));
    let change = MemberChange::Rotate {
        member: "cnam".parse().unwrap(),
        public_key: new.public(),
    };
    let next = node.roster.after_changes(&[change]).unwrap();
    let line = next.sign(&"cnam".parse().unwrap(), &old);
    let rotation = SignedRoster::new(next.clone(), vec![line]).unwrap();
    let rotation = Attestation::Roster(rotation);
    // Nobody could vouch for anything by it: the node does not have that key.
    let refused = node.append(&old, &rotation, None).await.unwrap_err();
    let reason = refused.get_error_details();
    let reason = reason.error_info().unwrap().reason.clone();
    assert_eq!(reason, "MEMBERS_NOT_READY");

    let key = node.dir.join("node.key");
    let place = NextKey::of(&key);
    secret_file::write(place.path(), &new.to_pem().unwrap()).unwrap();
    match node.append(&old, &rotation, None).await.unwrap() {
        AppendAnswer::Accepted(receipt) => drop(receipt.verify(&next, &mut |_| ()).unwrap()),
        AppendAnswer::Refused { reason, .. } => panic!("{reason:?}"),
    }
    node.running.key_replaced().await;
    node.running.stop().await;

    let again = RunningNode::start(config(&node.dir)).await.unwrap();
    assert!(!place.path().exists());
    let snapshot = again.sequencer().snapshot();
    assert!(snapshot.checkpoint().verify(&next).is_ok());
    let renewed = Node {
        running: again,
        ..node
    };
    assert_eq!(renewed.own_key().public(), new.public());
    let revocation = Revocation {
        till: secret("till").public(),
    };
    // Whatever it decides: it writes, with the new key.
    let revocation = Attestation::Revocation(revocation);
    assert!(renewed.append(&new, &revocation, None).await.is_ok());
    renewed.running.stop().await;
}
