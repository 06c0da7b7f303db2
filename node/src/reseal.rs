//! Another way of sealing for the secrets on a node's disk, or another passphrase.
//!
//! Every file is opened before the first one is written, so that a wrong passphrase changes
//! nothing. Then each is replaced as a whole: stopped at any moment, a file opens in the old way or
//! in the new one, and the same command goes on where it stopped.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use proto::incident::INCIDENT_PURPOSE;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ceremony::{EVALUATOR_PURPOSE, overwrite, read_bounded, sealed_files, write_whole};
use crate::config::Config;
use crate::init::INCIDENT_KEY_FILE;
use crate::protection::{Protection, ProtectionError};

/// Why a file is not sealed in the new way. Those before it may be; no file is lost.
#[derive(Debug, Error)]
pub enum ResealError {
    /// A file cannot be read or replaced.
    #[error("{path}: {kind}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// It opens in neither way.
    #[error("{path}: {error}", path = path.display())]
    Protection {
        /// The file.
        path: PathBuf,
        /// What the old way says.
        error: ProtectionError,
    },
}

/// A secret file: where it lies, and what it is sealed as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// The file.
    pub path: PathBuf,
    /// What the secret is.
    pub purpose: String,
}

impl SecretPlace {
    /// An incident key, which may lie anywhere.
    #[must_use]
    pub fn incident_key(path: PathBuf) -> Self {
        Self {
            path,
            purpose: INCIDENT_PURPOSE.to_owned(),
        }
    }
}

/// The sealed files of a node: its shares, what its ceremonies keep, and the incident key if it is
/// still in the node's folder.
///
/// # Errors
/// [`ResealError::Io`] when a folder cannot be read.
pub fn secrets_of(dir: &Path, config: &Config) -> Result<Vec<SecretPlace>, ResealError> {
    let dealt = sealed_files(&config.ceremonies);
    let dealt = dealt.map_err(|error| io_error(&config.ceremonies, &error))?;
    let own = SecretPlace {
        path: config.evaluator_key.clone(),
        purpose: EVALUATOR_PURPOSE.to_owned(),
    };
    let incident = SecretPlace::incident_key(dir.join(INCIDENT_KEY_FILE));
    let dealt = dealt
        .into_iter()
        .map(|(path, purpose)| SecretPlace { path, purpose });
    let there = [own, incident].into_iter().chain(dealt);
    // A node that has held no ceremony yet has no shares, and an incident key is best elsewhere.
    Ok(there.filter(|place| place.path.exists()).collect())
}

/// Seals the files in the new way that are not yet; gives those that it wrote. The process that
/// uses them must not run. Blocks.
///
/// # Errors
/// [`ResealError`]; if it is for a wrong passphrase, PIN or credential, nothing was written.
pub fn reseal(
    places: &[SecretPlace],
    old: &Protection,
    new: &Protection,
) -> Result<Vec<PathBuf>, ResealError> {
    let mut opened = Vec::new();
    for place in places {
        let text = read(&place.path)?;
        if new.open(&place.purpose, &text).is_ok() {
            continue;
        }
        let secret = old.open(&place.purpose, &text);
        let secret = secret.map_err(|error| refused(&place.path, error))?;
        opened.push((place, secret));
    }
    let mut written = Vec::new();
    for (place, secret) in opened {
        let sealed = new.seal(&place.purpose, &secret);
        let sealed = sealed.map_err(|error| refused(&place.path, error))?;
        replace(&place.path, &sealed).map_err(|error| io_error(&place.path, &error))?;
        written.push(place.path.clone());
    }
    Ok(written)
}

fn read(path: &Path) -> Result<Zeroizing<String>, ResealError> {
    let text = read_bounded(path).and_then(|text| text.ok_or(io::ErrorKind::NotFound.into()));
    text.map_err(|error| io_error(path, &error))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let old = OpenOptions::new().write(true).open(path)?;
    write_whole(path, text)?;
    // From here the new bytes are the file. The old ones have no name any more, and are wiped.
    overwrite(&old)
}

fn refused(path: &Path, error: ProtectionError) -> ResealError {
    ResealError::Protection {
        path: path.to_owned(),
        error,
    }
}

fn io_error(path: &Path, error: &io::Error) -> ResealError {
    ResealError::Io {
        path: path.to_owned(),
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proto::at_rest::AtRestError;

    use super::*;
    use crate::config::Settings;
    use crate::protection::{Method, Sealing};

    fn credential(dir: &Path, word: &str) -> Protection {
        let file = dir.join(word);
        fs::write(&file, word.repeat(16)).unwrap();
        Protection::load(&Sealing {
            method: Method::Credential,
            file: Some(file),
            ..Sealing::default()
        })
        .unwrap()
    }

    /// A node's folder with one secret of each kind, and what else lies beside them.
    fn node(dir: &Path, protection: &Protection) -> Vec<SecretPlace> {
        let settings = Settings {
            name: Some("cnam".to_owned()),
            seal: Some(Method::Credential),
            ..Settings::default()
        };
        let config = Config::complete(dir, settings).unwrap();
        let folder = config.ceremonies.join("1-1");
        fs::create_dir_all(&folder).unwrap();
        for name in ["plan.txt", "commitment-amc", "share-amc.draft"] {
            fs::write(folder.join(name), "open to all").unwrap();
        }
        let kept = [
            (config.evaluator_key.clone(), EVALUATOR_PURPOSE),
            (dir.join(INCIDENT_KEY_FILE), INCIDENT_PURPOSE),
            (folder.join("seed"), "seed"),
            (folder.join("share-amc"), "share-amc"),
            (folder.join("sigma-amc"), "sigma-amc"),
            (folder.join("evaluator.key"), EVALUATOR_PURPOSE),
        ];
        for (path, purpose) in &kept {
            let sealed = protection.seal(purpose, &path.display().to_string());
            write_whole(path, &sealed.unwrap()).unwrap();
        }
        let found = secrets_of(dir, &config).unwrap();
        assert_eq!(found.len(), kept.len());
        for (path, purpose) in kept {
            let purpose = purpose.to_owned();
            assert!(found.contains(&SecretPlace { path, purpose }));
        }
        found
    }

    fn all_open(places: &[SecretPlace], protection: &Protection) -> bool {
        places.iter().all(|place| {
            let text = fs::read_to_string(&place.path).unwrap();
            let opened = protection.open(&place.purpose, &text);
            opened.is_ok_and(|secret| *secret == place.path.display().to_string())
        })
    }

    #[test]
    fn every_secret_opens_in_the_new_way_alone_and_the_old_bytes_are_zeros() {
        let scratch = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|word| credential(scratch.path(), word));
        let dir = scratch.path().join("node");
        fs::create_dir(&dir).unwrap();
        let places = node(&dir, &old);
        // A second name for an old file shows what becomes of its bytes.
        let witness = scratch.path().join("witness");
        fs::hard_link(&places[0].path, &witness).unwrap();
        assert_eq!(reseal(&places, &old, &new).unwrap().len(), places.len());
        assert!(all_open(&places, &new) && !all_open(&places, &old));
        assert!(fs::read(&witness).unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn stopped_after_any_file_it_goes_on_with_the_others() {
        let scratch = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|word| credential(scratch.path(), word));
        for done in 0..6 {
            let dir = scratch.path().join(done.to_string());
            fs::create_dir(&dir).unwrap();
            let places = node(&dir, &old);
            reseal(&places[..done], &old, &new).unwrap();
            let rest = reseal(&places, &old, &new).unwrap();
            assert_eq!(rest.len(), places.len() - done);
            assert!(all_open(&places, &new), "{done}");
        }
    }

    #[test]
    fn a_secret_that_is_wrong_for_one_file_changes_none() {
        let scratch = tempfile::tempdir().unwrap();
        let ways = ["old", "new", "other"].map(|word| credential(scratch.path(), word));
        let [old, new, other] = ways;
        let dir = scratch.path().join("node");
        fs::create_dir(&dir).unwrap();
        let places = node(&dir, &old);
        let last = &places[places.len() - 1];
        let sealed = other.seal(&last.purpose, "elsewhere").unwrap();
        write_whole(&last.path, &sealed).unwrap();
        let refused = reseal(&places, &old, &new);
        let does_not_open = ProtectionError::AtRest(AtRestError::DoesNotOpen);
        assert!(matches!(
            refused,
            Err(ResealError::Protection { path, error }) if path == last.path && error == does_not_open
        ));
        assert!(all_open(&places[..places.len() - 1], &old));
    }
}
