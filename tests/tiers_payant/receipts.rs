//! Receipts outlive the node, and no byte of one can be changed.

use std::fs;
use std::path::Path;
use std::process::Output;

use proto::receipt::{ReceiptFile, Step};
use proto::roster::Roster;
use proto::wire::AppendAnswer;
use tests::binary::vitrail;
use tests::workload::fresh_slots;
use tests::world::World;

/// An accepted claim's receipt and the refusal of a second claim of its slots.
async fn both_kinds(world: &World) -> [String; 2] {
    let sessions = world.sessions();
    let slots = fresh_slots(3);
    let mut files = Vec::new();
    for (session, till) in sessions.iter().zip(&world.tills) {
        let claim = world.ground.claim(till, &slots);
        let payload = Some((&claim.payload, &claim.salt));
        let file = match session.home().append(&claim.entry, payload).await.unwrap() {
            AppendAnswer::Accepted(receipt) => ReceiptFile::Accepted(receipt),
            AppendAnswer::Refused { evidence, .. } => ReceiptFile::Refused(*evidence.unwrap()),
        };
        files.push(file.to_text());
    }
    files.try_into().unwrap()
}

fn verifies(text: &[u8], roster: &Roster) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| ReceiptFile::verify(text, roster, &mut |_| {}).is_ok())
}

fn command(receipt: &Path, roster: &Path) -> Output {
    let mut verify = vitrail();
    verify
        .args(["receipt", "verify"])
        .arg(receipt)
        .arg("--roster")
        .arg(roster);
    verify.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_verifies_with_the_node_stopped_and_not_with_any_byte_changed() {
    let mut world = World::new(2).await;
    let receipts = both_kinds(&world).await;
    assert!(world.node.terminate().success());
    let roster = &world.federation.roster;
    for text in &receipts {
        let mut passed = Vec::new();
        ReceiptFile::verify(text, roster, &mut |step| passed.push(step)).unwrap();
        assert_eq!(passed[0], Step::Format, "{passed:?}");
        let mut bytes = text.clone().into_bytes();
        for place in 0..bytes.len() {
            let was = bytes[place];
            // A flipped case, a neighbour, a control character: three ways a byte goes wrong.
            let change = [0x20, 0x01, 0x40][place % 3];
            bytes[place] = was ^ change;
            assert!(
                !verifies(&bytes, roster),
                "byte {place} changed by {change:#x}"
            );
            bytes[place] = was;
        }
        for cut in [1, bytes.len() / 2, bytes.len() - 1] {
            assert!(!verifies(&bytes[..cut], roster), "cut to {cut} bytes");
        }
        assert!(
            !verifies(&[&bytes[..], b"\n"].concat(), roster),
            "a line was added"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_yes_with_0_and_no_with_1() {
    let mut world = World::new(2).await;
    let receipts = both_kinds(&world).await;
    assert!(world.node.terminate().success());
    let roster = world.federation.node_dir().join("roster.txt");
    let file = world.folder.path().join("a.receipt");
    for text in &receipts {
        fs::write(&file, text).unwrap();
        let said = command(&file, &roster);
        assert_eq!(
            said.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        // The checkpoint's log root: a base64 character in the third line from its blank line.
        let broken = text.replacen("map ", "mop ", 1);
        fs::write(&file, broken).unwrap();
        let said = command(&file, &roster);
        assert_eq!(said.status.code(), Some(1));
        let words = [said.stdout, said.stderr].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(
            words.contains("checkpoint"),
            "the step that failed is named: {words}"
        );
    }
    let missing = command(&world.folder.path().join("none"), &roster);
    assert_ne!(missing.status.code(), Some(0));
}
