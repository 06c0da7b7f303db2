//! Quotes that `POST /v1/check` kept: claims that lack their signature, for when nobody can be asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::problem::{Problem, ProblemCode};
use crate::files::{self, FileError};
use crate::pos::{Draft, KeptError};
use crate::system;

/// How long a quote is kept: what it rests on rarely changes within a week.
pub const QUOTE_DAYS: u64 = 7;
/// Most kept quotes: more than a shop makes in that time.
pub const QUOTES_MAX: usize = 2_000;
/// Characters of a name: 128 bits.
const NAME_CHARACTERS: usize = 32;

/// The kept quotes of a folder.
#[derive(Debug, Clone)]
pub(super) struct KeptQuotes {
    folder: PathBuf,
}

impl KeptQuotes {
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        files::create_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Keeps a quote under a name that nobody guesses: durable when it returns.
    pub(super) fn keep(&self, draft: &Draft) -> Result<String, Problem> {
        let count = self.expire().map_err(super::idempotency::not_kept)?;
        if count >= QUOTES_MAX {
            return Err(Problem::new(ProblemCode::Busy).beyond(QUOTES_MAX));
        }
        let drawn = u128::from_be_bytes(system::random()?);
        let name = format!("{drawn:032x}");
        draft.keep(&self.folder.join(&name))?;
        Ok(name)
    }

    /// The quote of this name.
    pub(super) fn read(&self, name: &str) -> Result<Draft, Problem> {
        let unknown = || Problem::new(ProblemCode::QuoteUnknown).of_field("/quote");
        let is_name = name.len() == NAME_CHARACTERS && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_name {
            return Err(unknown());
        }
        match Draft::kept(&self.folder.join(name)) {
            Err(KeptError::File(FileError::Missing { .. })) => Err(unknown()),
            read => Ok(read?),
        }
    }

    /// Removes old ones; how many are left.
    fn expire(&self) -> Result<usize, FileError> {
        let unreadable = |error: std::io::Error| files::io_error(&self.folder, &error);
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(system::now().get());
        let oldest = now.checked_sub(Duration::from_secs(QUOTE_DAYS * 24 * 3600));
        let mut left = 0;
        for file in fs::read_dir(&self.folder).map_err(unreadable)? {
            let file = file.map_err(unreadable)?;
            let made = file.metadata().and_then(|it| it.modified()).ok();
            match made < oldest {
                true => files::remove(&file.path())?,
                false => left += 1,
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pos::kept::example::draft;

    #[test]
    fn a_kept_quote_is_found_by_its_name_until_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let quotes = KeptQuotes::open(folder.path()).unwrap();
        let name = quotes.keep(&draft(9)).unwrap();
        assert_eq!(quotes.read(&name).unwrap().to_text(), draft(9).to_text());
        for other in ["", "../x", &"0".repeat(32)] {
            let problem = quotes.read(other).unwrap_err();
            assert_eq!(problem.code, ProblemCode::QuoteUnknown);
        }
        let old = SystemTime::now() - Duration::from_secs((QUOTE_DAYS * 24 + 1) * 3600);
        let file = fs::File::options()
            .write(true)
            .open(folder.path().join(&name))
            .unwrap();
        file.set_modified(old).unwrap();
        assert_eq!(quotes.expire().unwrap(), 0);
        assert!(quotes.read(&name).is_err());
    }
}
