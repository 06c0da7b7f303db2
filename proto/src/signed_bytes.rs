//! What a signature for one ledger covers, and reading fields of fixed length.
//!
//! ```text
//! label || length of the origin (2) || origin || content
//! ```

use crate::hash::Hash;
use crate::ids::{MemberName, Origin};

/// The bytes that are signed. The label, which ends in a newline, keeps a signature for one use from
/// passing for another; the origin keeps it in its ledger.
pub(crate) fn signed_message(label: &[u8], origin: &Origin, content: &[u8]) -> Vec<u8> {
    let origin = origin.as_str().as_bytes();
    // An origin has at most 128 bytes (ids), so two bytes of length always hold it.
    let length = u16::try_from(origin.len()).unwrap_or(u16::MAX);
    [label, &length.to_be_bytes(), origin, content].concat()
}

/// Takes one field after the other; `None` where the bytes end too early.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn hash(&mut self) -> Option<Hash> {
        self.take().map(Hash::from_bytes)
    }

    /// A name with its length before it, in one byte.
    pub(crate) fn name(&mut self) -> Option<MemberName> {
        let [length] = self.take()?;
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        std::str::from_utf8(name).ok()?.parse().ok()
    }
}
