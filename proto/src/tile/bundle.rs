//! Bundles of entries: each entry behind its length (C2SP tlog-tiles, "Log entries").

use thiserror::Error;

use super::TILE_WIDTH;

/// How many entries one stored value holds. Sixteen chunks, one after another, are a full bundle;
/// a chunk of 16 is about 5 KB, which the database keeps inside its own pages.
pub const ENTRIES_PER_CHUNK: usize = 16;
/// The longest entry: the length before it has two bytes.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Why bytes are not a bundle, or an entry cannot be in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BundleError {
    /// A bundle has at least one entry.
    #[error("a bundle has at least one entry")]
    NoEntry,
    /// A bundle has at most as many entries as a tile has hashes.
    #[error("a bundle has at most {TILE_WIDTH} entries")]
    TooManyEntries,
    /// An entry has at least one byte, so that a run of zeros is not a bundle.
    #[error("an entry has at least one byte")]
    EmptyEntry,
    /// The entry is longer than its length can say.
    #[error("an entry of {got} bytes is longer than {ENTRY_BYTES_MAX}")]
    EntryTooLong {
        /// How many bytes it has.
        got: usize,
    },
    /// The bytes end inside an entry or its length.
    #[error("the bundle ends inside an entry")]
    CutShort,
}

/// Appends an entry, behind its length, to a bundle or chunk.
///
/// # Errors
/// [`BundleError::EmptyEntry`] or [`BundleError::EntryTooLong`]; nothing is then appended.
pub fn encode_entry(entry: &[u8], bundle: &mut Vec<u8>) -> Result<(), BundleError> {
    let got = entry.len();
    let length = u16::try_from(got).map_err(|_| BundleError::EntryTooLong { got })?;
    if length == 0 {
        return Err(BundleError::EmptyEntry);
    }
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle or chunk, 1 to 256 of them.
///
/// # Errors
/// The first [`BundleError`] met. Whether the entries are those of the log, only their leaf
/// hashes can tell.
pub fn parse_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == TILE_WIDTH {
            return Err(BundleError::TooManyEntries);
        }
        let (length, after) = rest.split_first_chunk().ok_or(BundleError::CutShort)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 {
            return Err(BundleError::EmptyEntry);
        }
        let (entry, after) = after
            .split_at_checked(length)
            .ok_or(BundleError::CutShort)?;
        entries.push(entry);
        rest = after;
    }
    if entries.is_empty() {
        return Err(BundleError::NoEntry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundle_of(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bundle = Vec::new();
        for entry in entries {
            encode_entry(entry, &mut bundle).unwrap();
        }
        bundle
    }

    #[test]
    fn sixteen_chunks_are_a_bundle() {
        let entries: Vec<Vec<u8>> = (0..=255).map(|i| vec![i; usize::from(i) + 1]).collect();
        let chunks = entries.chunks(ENTRIES_PER_CHUNK).map(bundle_of);
        let bundle = chunks.collect::<Vec<_>>().concat();
        assert_eq!(parse_bundle(&bundle).unwrap(), entries);
    }

    #[test]
    fn the_length_is_two_bytes_big_endian() {
        assert_eq!(bundle_of(&[vec![9; 258]])[..3], [1, 2, 9]);
    }

    #[test]
    fn a_bundle_with_a_fault_is_refused_by_name() {
        assert_eq!(parse_bundle(&[]), Err(BundleError::NoEntry));
        assert_eq!(parse_bundle(&[0]), Err(BundleError::CutShort));
        assert_eq!(parse_bundle(&[0, 0]), Err(BundleError::EmptyEntry));
        assert_eq!(parse_bundle(&[0, 2, 7]), Err(BundleError::CutShort));
        assert_eq!(parse_bundle(&[0, 1, 7, 0]), Err(BundleError::CutShort));
        let many = [0, 1, 7].repeat(257);
        assert_eq!(parse_bundle(&many), Err(BundleError::TooManyEntries));
        assert_eq!(parse_bundle(&many[3..]).map(|e| e.len()), Ok(256));
    }

    #[test]
    fn an_entry_that_does_not_fit_leaves_the_bundle_as_it_was() {
        let mut bundle = vec![0, 1, 7];
        let got = ENTRY_BYTES_MAX + 1;
        assert_eq!(
            encode_entry(&vec![0; got], &mut bundle),
            Err(BundleError::EntryTooLong { got })
        );
        let empty = encode_entry(&[], &mut bundle);
        assert_eq!(empty, Err(BundleError::EmptyEntry));
        assert_eq!(bundle, [0, 1, 7]);
        assert_eq!(encode_entry(&vec![0; got - 1], &mut bundle), Ok(()));
    }

    proptest! {
        #[test]
        fn entries_read_back(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 1..40),
        ) {
            let bundle = bundle_of(&entries);
            prop_assert_eq!(parse_bundle(&bundle).unwrap(), entries);
        }

        #[test]
        fn whatever_reads_as_a_bundle_writes_the_same_bytes(
            bytes in prop::collection::vec(prop_oneof![Just(0), 0_u8..4, any::<u8>()], 0..64),
        ) {
            if let Ok(entries) = parse_bundle(&bytes) {
                let entries: Vec<Vec<u8>> = entries.iter().map(|e| e.to_vec()).collect();
                prop_assert_eq!(bundle_of(&entries), bytes);
            }
        }
    }
}
