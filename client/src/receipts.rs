//! The folder of receipts, and of proofs of refusals: one text file each, named by what it proves.

use std::fs;
use std::path::{Path, PathBuf};

use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptFile};

use crate::files::{self, FileError};
use crate::issue::Issued;

/// The ending of a receipt's name.
const RECEIPT: &str = "receipt";
/// The ending of a refusal's name.
const REFUSAL: &str = "refusal";
/// Longest name of a file here: a kind, a request id of 36 characters, an ending.
pub const RECEIPT_NAME_BYTES_MAX: usize = 64;

/// A folder of receipts.
#[derive(Debug, Clone)]
pub struct Receipts {
    folder: PathBuf,
}

/// One file of the folder, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptName(String);

impl ReceiptName {
    /// The file's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What was asked for: `claim`, `delivery` or `release`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('-').map_or("", |(kind, _)| kind)
    }

    /// Whether it proves a refusal.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.0.ends_with(REFUSAL)
    }

    /// Reads a name of the form that [`Receipts::keep`] gives, which leads to no other folder.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, ending) = text.split_once('.')?;
        let (kind, rest) = stem.split_once('-')?;
        let word =
            |text: &str, allowed: fn(u8) -> bool| !text.is_empty() && text.bytes().all(allowed);
        let fits = text.len() <= RECEIPT_NAME_BYTES_MAX
            && [RECEIPT, REFUSAL].contains(&ending)
            && word(kind, |byte| byte.is_ascii_lowercase())
            && word(rest, |byte| byte.is_ascii_hexdigit() || byte == b'-');
        fits.then(|| Self(text.to_owned()))
    }
}

impl Receipts {
    /// The receipts in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Writes the receipt, or the proof of the refusal, if there is one: durable when it returns.
    /// The same receipt has the same name.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn keep(&self, kind: &str, issued: &Issued) -> Result<Option<PathBuf>, FileError> {
        let Some(file) = issued.receipt_file() else {
            return Ok(None);
        };
        files::create_folder(&self.folder)?;
        let name = match &file {
            ReceiptFile::Accepted(receipt) => {
                format!("{kind}-{:09}.{RECEIPT}", receipt.proved.index.get())
            }
            ReceiptFile::Refused(refusal) => {
                format!("{kind}-{}.{REFUSAL}", refusal.refused.header().request_id)
            }
        };
        let path = self.folder.join(name);
        files::replace(&path, file.to_text().as_bytes())?;
        Ok(Some(path))
    }

    /// The names of all of them, in their order; none while the folder is not there.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn names(&self) -> Result<Vec<ReceiptName>, FileError> {
        let unreadable = |error: std::io::Error| files::io_error(&self.folder, &error);
        let listed = match fs::read_dir(&self.folder).map_err(unreadable) {
            Err(FileError::Missing { .. }) => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut names = Vec::new();
        for file in listed {
            let name = file.map_err(unreadable)?.file_name();
            // What is no receipt is somebody else's.
            names.extend(name.to_str().and_then(ReceiptName::parse));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all of them.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub(crate) fn clear(&self) -> Result<(), FileError> {
        let mut names = self.names()?.into_iter();
        names.try_for_each(|name| files::remove(&self.folder.join(name.0)))
    }

    /// The text of one, as `vitrail receipt verify` takes it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&self, name: &ReceiptName) -> Result<String, FileError> {
        files::read_text(&self.folder.join(&name.0), RECEIPT_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Ledger;
    use crate::issue::Refused;
    use proto::refusal::Reason;

    #[test]
    fn receipts_and_refusals_are_found_again_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(&folder.path().join("receipts"));
        assert_eq!(receipts.names().unwrap(), []);
        let ledger = Ledger::furnished();
        let accepted = Issued::Accepted(Box::new(ledger.receipt(4)));
        let refused = |evidence| {
            Issued::Refused(Refused {
                reason: Reason::SlotReserved,
                evidence,
            })
        };
        receipts.keep("claim", &accepted).unwrap().unwrap();
        let proved = refused(Some(Box::new(ledger.refusal())));
        receipts.keep("claim", &proved).unwrap().unwrap();
        assert_eq!(receipts.keep("claim", &refused(None)).unwrap(), None);
        fs::write(folder.path().join("receipts/notes.txt"), "").unwrap();
        let names = receipts.names().unwrap();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0].as_str(), "claim-000000004.receipt");
        assert!(names[1].is_refusal() && names[1].kind() == "claim");
        let text = receipts.read(&names[0]).unwrap();
        ReceiptFile::verify(&text, &ledger.roster, &mut |_| {}).unwrap();
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for text in [
            "../claim-1.receipt",
            "claim-../x.receipt",
            "claim-1.receipt.txt",
            "-1.receipt",
            "claim-.receipt",
        ] {
            assert_eq!(ReceiptName::parse(text), None, "{text}");
        }
        assert!(ReceiptName::parse("release-000000001.receipt").is_some());
    }
}
