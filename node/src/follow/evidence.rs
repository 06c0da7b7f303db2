//! Evidence against voting members, as a file that anybody with the roster can check
//! ([`proto::evidence`]).
//!
//! All of it is public. As long as such a file is there the node does not serve: an operator
//! looks, tells the federation, and moves it away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use proto::evidence::{Evidence, Extension};
use proto::roster::Roster;

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
pub fn keep(data: &Path, evidence: &Evidence) -> io::Result<PathBuf> {
    let folder = data.join(EVIDENCE_FOLDER);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{}.txt", evidence.kind(), place(evidence)));
    let mut file = File::create(&path)?;
    file.write_all(evidence.to_text().as_bytes())?;
    file.sync_all()?;
    File::open(&folder)?.sync_all()?;
    File::open(data)?.sync_all()?;
    Ok(path)
}

/// Says in the node's log whom the evidence accuses, or why it accuses nobody before others.
pub fn tell(evidence: &Evidence, roster: &Roster) {
    let kind = evidence.kind();
    match evidence.verify(roster, &mut |_| {}) {
        Ok(verdict) => {
            let names: Vec<&str> = verdict.members.iter().map(|name| name.as_str()).collect();
            let members = names.join(", ");
            tracing::error!(kind, %members, "evidence: {}", verdict.offence.english());
        }
        Err(error) => tracing::error!(kind, %error, "kept for the operator; it accuses nobody"),
    }
}

/// The size or place that the name of the file has.
fn place(evidence: &Evidence) -> u64 {
    let size = |checkpoint: &proto::checkpoint::SignedCheckpoint| checkpoint.claimed().size.get();
    match evidence {
        Evidence::Fork { second, .. } => size(second),
        Evidence::Rollback { smaller, .. } => size(smaller),
        Evidence::Rewritten { larger, .. } => size(larger),
        Evidence::TwoHeaders { first, .. } => first.claimed().number,
        Evidence::BackDated { batch, .. } => batch.header.claimed().number,
        Evidence::Rule { index, .. } => index.get(),
        Evidence::WrongMap { extension, .. } => match extension {
            Extension::Founding(after) | Extension::Checkpoints { after, .. } => size(after),
            Extension::Batch(batch) => batch.header.claimed().size.get(),
        },
    }
}

#[cfg(test)]
mod tests {
    use proto::checkpoint::{Checkpoint, SignedCheckpoint};
    use proto::hash::Hash;
    use proto::ids::{TreeSize, UnixSeconds};
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
        let rollback = Evidence::Rollback {
            larger: signed(9),
            smaller: signed(7),
        };
        let path = keep(data.path(), &rollback).unwrap();
        assert!(path.ends_with("evidence/rollback-7.txt"));
        assert_eq!(first(data.path()).unwrap(), Some(path.clone()));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(Evidence::parse(&text), Ok(rollback));
    }
}
