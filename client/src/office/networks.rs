//! The list of the own networks' shops, from the file that the payer's node quotes by.

use std::path::Path;

use proto::benefit::{NETWORKS_BYTES_MAX, Networks, NetworksError};
use thiserror::Error;

use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// Why the list cannot be used.
#[derive(Debug, Error)]
pub enum NetworksFileError {
    /// The file cannot be read.
    #[error("networks: {0}")]
    File(#[from] FileError),
    /// It is not as it must be.
    #[error("networks: {0}")]
    Networks(#[from] NetworksError),
}

impl Failure for NetworksFileError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// Reads the list.
///
/// # Errors
/// [`NetworksFileError`], which says what is wrong with it.
pub fn read_networks(path: &Path) -> Result<Networks, NetworksFileError> {
    Ok(Networks::parse(&files::read_text(
        path,
        NETWORKS_BYTES_MAX,
    )?)?)
}
