//! Which of the shares on this disk are in force, and the end of the ones that are not.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use proto::roster::MemberShare;

use super::folder::{CEREMONIES, EVALUATOR_KEY, EVALUATOR_PURPOSE, overwrite, sync_folder};
use crate::config::Config;
use crate::evaluator::Evaluator;
use crate::protection::Protection;
use crate::secret_file;
use crate::server::StartError;

/// This member's shares that the roster in force publishes. If a ceremony made them, they move to
/// the node's key file, and the shares before them are overwritten and gone.
///
/// # Errors
/// [`StartError`] when a file cannot be read, or [`StartError::OtherShares`] when no file has the
/// published shares.
pub fn share_in_force(
    config: &Config,
    protection: &Protection,
    published: &MemberShare,
) -> Result<Evaluator, StartError> {
    let held = read(&config.evaluator_key, protection);
    if let Ok(held) = &held
        && held.fits(published)
    {
        return Ok(held.clone());
    }
    for path in dealt(&config.ceremonies) {
        // A ceremony that was given up may have left a file that nothing opens any more.
        let Ok(evaluator) = read(&path, protection) else {
            continue;
        };
        if evaluator.fits(published) {
            let moved = replace(&path, &config.evaluator_key);
            moved.map_err(|error| StartError::SecretFile {
                path: config.evaluator_key.clone(),
                error: error.into(),
            })?;
            tracing::info!(
                "the shares of the last ceremony are in force; the old ones are deleted"
            );
            return Ok(evaluator);
        }
    }
    held?;
    Err(StartError::OtherShares {
        member: config.name.clone(),
    })
}

fn read(path: &Path, protection: &Protection) -> Result<Evaluator, StartError> {
    let failed = |error| StartError::SecretFile {
        path: path.to_owned(),
        error,
    };
    let text = secret_file::read(path).map_err(failed)?;
    let opened = protection.open(EVALUATOR_PURPOSE, &text);
    let opened = opened.map_err(StartError::Protection)?;
    Evaluator::parse(&opened).map_err(|error| StartError::EvaluatorKey {
        path: path.to_owned(),
        error,
    })
}

/// The key files in the folders of this node's ceremonies.
fn dealt(ceremonies: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(ceremonies).into_iter().flatten().flatten();
    let files = folders.map(|folder| folder.path().join(EVALUATOR_KEY));
    files.filter(|file| file.exists()).collect()
}

/// Moves the new file over the old one, and overwrites what the old one held.
fn replace(new: &Path, held: &Path) -> io::Result<()> {
    let old = match OpenOptions::new().write(true).open(held) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    fs::rename(new, held)?;
    for folder in [held, new].iter().filter_map(|path| path.parent()) {
        sync_folder(folder)?;
    }
    // From here the new shares are the node's. The old file has no name any more, and is wiped.
    old.map_or(Ok(()), |old| overwrite(&old))
}

/// The folder of a node's ceremonies.
#[must_use]
pub fn ceremonies(dir: &Path) -> PathBuf {
    dir.join(CEREMONIES)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use proto::oprf::JointSecret;
    use proto::roster::{Element, OprfElements};

    use super::*;
    use crate::config::Settings;
    use crate::protection::Method;

    fn evaluator(seed: u8) -> Evaluator {
        let share = |info: &[u8]| {
            let secret = JointSecret::derive(&[seed; 32], info).unwrap();
            secret.sole_share()
        };
        Evaluator::new(share(b"person"), share(b"contract"))
    }

    fn published(evaluator: &Evaluator) -> MemberShare {
        let (person, contract) = evaluator.shares();
        let element = |share: &proto::oprf::SecretShare| {
            Element::from_bytes(share.public().to_bytes()).unwrap()
        };
        MemberShare {
            member: "cnam".parse().unwrap(),
            index: NonZeroU16::MIN,
            public: OprfElements {
                person: element(person),
                contract: element(contract),
            },
        }
    }

    fn config(dir: &Path) -> Config {
        let settings = Settings {
            name: Some("cnam".to_owned()),
            seal: Some(Method::None),
            ..Settings::default()
        };
        Config::complete(dir, settings).unwrap()
    }

    #[test]
    fn the_published_shares_move_into_place_and_the_old_ones_are_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let [old, new, other] = [1, 2, 3].map(evaluator);
        secret_file::write(&config.evaluator_key, &old.to_text()).unwrap();
        let in_force = share_in_force(&config, &Protection::NONE, &published(&old));
        assert!(in_force.unwrap().fits(&published(&old)));
        for (folder, text) in [
            ("1-1", "given up".to_owned()),
            ("1-2", new.to_text().to_string()),
        ] {
            let folder = config.ceremonies.join(folder);
            fs::create_dir_all(&folder).unwrap();
            secret_file::write(&folder.join(EVALUATOR_KEY), &text).unwrap();
        }
        let refused = share_in_force(&config, &Protection::NONE, &published(&other));
        assert!(matches!(refused, Err(StartError::OtherShares { .. })));

        // A second name for the old file shows what becomes of its bytes.
        let witness = dir.path().join("witness");
        fs::hard_link(&config.evaluator_key, &witness).unwrap();
        let in_force = share_in_force(&config, &Protection::NONE, &published(&new));
        assert!(in_force.unwrap().fits(&published(&new)));
        let kept = fs::read_to_string(&config.evaluator_key).unwrap();
        assert_eq!(kept, *new.to_text());
        assert!(!config.ceremonies.join("1-2").join(EVALUATOR_KEY).exists());
        assert!(fs::read(&witness).unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn without_any_share_the_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let refused = share_in_force(&config, &Protection::NONE, &published(&evaluator(1)));
        assert!(matches!(refused, Err(StartError::SecretFile { .. })));
    }
}
