//! Evidence against voting members, as a file: what anybody with the roster and the log can check.
//!
//! ```text
//! vitrail evidence v1
//! kind fork | rollback | wrong-root | rule
//! (wrong-root)  computed <size> <base64 log root> <base64 map root>
//! (rule)        entry <leaf index> <code of the reason>
//!
//! <signed checkpoint>          the one accepted before; not for rule
//!
//! <signed checkpoint>
//! ```
//!
//! All of it is public. As long as such a file is there the node does not serve: an operator
//! looks, tells the federation, and moves it away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::sequencer::Contradiction;

/// The folder of evidence in a node's data.
pub const EVIDENCE_FOLDER: &str = "evidence";

/// The first file of evidence in a node's data, if there is one.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn first(data: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_dir(data.join(EVIDENCE_FOLDER)) {
        Ok(mut entries) => entries.next().transpose().map(|e| e.map(|e| e.path())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes evidence to a new file, durably.
///
/// # Errors
/// The file cannot be written.
pub fn keep(data: &Path, contradiction: &Contradiction) -> io::Result<PathBuf> {
    let folder = data.join(EVIDENCE_FOLDER);
    fs::create_dir_all(&folder)?;
    let (kind, text) = (kind(contradiction), to_text(contradiction));
    let path = folder.join(format!("{kind}-{}.txt", size(contradiction)));
    let mut file = File::create(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(&folder)?.sync_all()?;
    File::open(data)?.sync_all()?;
    Ok(path)
}

/// The word for it in the file, its name and the log.
#[must_use]
pub const fn kind(contradiction: &Contradiction) -> &'static str {
    match contradiction {
        Contradiction::Fork(_) => "fork",
        Contradiction::Rollback { .. } => "rollback",
        Contradiction::WrongRoot { .. } => "wrong-root",
        Contradiction::Rule { .. } => "rule",
    }
}

fn size(contradiction: &Contradiction) -> u64 {
    match contradiction {
        Contradiction::Fork(fork) => fork.size().get(),
        Contradiction::Rollback { theirs, .. }
        | Contradiction::WrongRoot { theirs, .. }
        | Contradiction::Rule { theirs, .. } => theirs.claimed().size.get(),
    }
}

fn to_text(contradiction: &Contradiction) -> String {
    let head = format!("vitrail evidence v1\nkind {}\n", kind(contradiction));
    match contradiction {
        Contradiction::Fork(fork) => {
            let (ours, theirs) = (fork.ours().to_text(), fork.theirs().to_text());
            format!("{head}\n{ours}\n{theirs}")
        }
        Contradiction::Rollback { ours, theirs } => {
            format!("{head}\n{}\n{}", ours.to_text(), theirs.to_text())
        }
        Contradiction::WrongRoot {
            ours,
            computed,
            theirs,
        } => {
            let (size, log) = (computed.size, computed.log_root.to_base64());
            let map = computed.map_root.to_base64();
            let ours = ours.as_ref().map(|ours| format!("{}\n", ours.to_text()));
            let (ours, theirs) = (ours.unwrap_or_default(), theirs.to_text());
            format!("{head}computed {size} {log} {map}\n\n{ours}{theirs}")
        }
        Contradiction::Rule {
            index,
            reason,
            theirs,
        } => {
            let code = reason.code();
            format!("{head}entry {index} {code}\n\n{}", theirs.to_text())
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::checkpoint::{Checkpoint, SignedCheckpoint};
    use proto::hash::Hash;
    use proto::ids::{LeafIndex, TreeSize, UnixSeconds};
    use proto::refusal::Reason;
    use proto::signing::SecretKey;

    use super::*;

    fn signed(size: u64) -> SignedCheckpoint {
        let checkpoint = Checkpoint {
            origin: "vitrail.test/optique".parse().unwrap(),
            size: TreeSize::new(size),
            log_root: Hash::from_bytes([1; 32]),
            map_root: Hash::from_bytes([2; 32]),
        };
        let (name, secret) = ("cnam".parse().unwrap(), SecretKey::from_seed(&[1; 32]));
        let line = checkpoint.cosign(&name, &secret, UnixSeconds::new(size));
        SignedCheckpoint::new(checkpoint, vec![line]).unwrap()
    }

    #[test]
    fn evidence_is_a_file_that_names_its_kind_and_is_found_again() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(first(data.path()).unwrap(), None);
        let (ours, theirs) = (signed(9), signed(7));
        let rollback = Contradiction::Rollback {
            ours: ours.clone(),
            theirs: theirs.clone(),
        };
        let path = keep(data.path(), &rollback).unwrap();
        assert!(path.ends_with("evidence/rollback-7.txt"));
        assert_eq!(first(data.path()).unwrap(), Some(path.clone()));
        let (ours, theirs) = (ours.to_text(), theirs.to_text());
        let want = format!("vitrail evidence v1\nkind rollback\n\n{ours}\n{theirs}");
        assert_eq!(fs::read_to_string(path).unwrap(), want);
    }

    #[test]
    fn what_was_computed_and_which_rule_was_broken_stand_in_the_head() {
        let theirs = signed(7);
        let wrong_root = Contradiction::WrongRoot {
            ours: None,
            computed: Box::new(theirs.claimed().clone()),
            theirs: theirs.clone(),
        };
        let rule = Contradiction::Rule {
            index: LeafIndex::new(6),
            reason: Reason::GrantRevoked,
            theirs: theirs.clone(),
        };
        let (one, two) = ([1; 32], [2; 32]);
        let [one, two] = [one, two].map(|bytes| Hash::from_bytes(bytes).to_base64());
        let note = theirs.to_text();
        let head = "vitrail evidence v1\nkind";
        let want = format!("{head} wrong-root\ncomputed 7 {one} {two}\n\n{note}");
        assert_eq!(to_text(&wrong_root), want);
        let want = format!("{head} rule\nentry 6 GRANT_REVOKED\n\n{note}");
        assert_eq!(to_text(&rule), want);
    }
}
