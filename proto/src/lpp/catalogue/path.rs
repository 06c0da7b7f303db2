//! Where a member serves the text of a catalogue: by its hash, so that it never changes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::hash::{HASH_BYTES, Hash};

/// What stands before the hash.
const PREFIX: &str = "catalogue/";

/// A text is no path of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a catalogue's path is catalogue/ and 64 digits out of 0-9 a-f")]
pub struct CataloguePathError;

/// The path `catalogue/<hash in hex>` under which the text with this hash is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CataloguePath(pub Hash);

impl CataloguePath {
    /// The name of the file that the text lies in: the hash in hex, and `.txt`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.txt", self.hex())
    }

    fn hex(&self) -> String {
        let bytes = self.0.as_bytes().iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for CataloguePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl FromStr for CataloguePath {
    type Err = CataloguePathError;

    fn from_str(text: &str) -> Result<Self, CataloguePathError> {
        let hex = text.strip_prefix(PREFIX).ok_or(CataloguePathError)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != 2 * HASH_BYTES || !hex.bytes().all(is_hex) {
            return Err(CataloguePathError);
        }
        let mut bytes = [0; HASH_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| CataloguePathError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| CataloguePathError)?;
        }
        Ok(Self(Hash::from_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_has_one_spelling(bytes in any::<[u8; HASH_BYTES]>()) {
            let path = CataloguePath(Hash::from_bytes(bytes));
            let text = format!("catalogue/{}", hex::encode(bytes));
            prop_assert_eq!(path.to_string(), text.clone());
            prop_assert_eq!(path.file_name(), format!("{}.txt", hex::encode(bytes)));
            prop_assert_eq!(text.parse(), Ok(path));
            for bad in [
                text[1..].to_owned(),
                text[..text.len() - 1].to_owned(),
                format!("{text}0"),
                format!("/{text}"),
                format!("catalogue/../{}", &text[13..]),
                format!("catalogue/+{}", &text[11..]),
                format!("catalogue/G{}", &text[11..]),
            ] {
                prop_assert_eq!(bad.parse::<CataloguePath>(), Err(CataloguePathError));
            }
        }
    }
}
