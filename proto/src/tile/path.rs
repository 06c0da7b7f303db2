//! The paths under which tiles and entry bundles are served.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{LOG_LEAVES_MAX, TILE_HEIGHT, TILE_LEVEL_MAX, TileId, TileWidth};

/// Longest path: the largest index takes five groups of three digits.
pub const TILE_PATH_BYTES_MAX: usize = "tile/entries/x001/x099/x511/x627/775.p/255".len();

/// What a tile path names: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
///
/// A path that parses prints back as the same text, so that one tile has one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// A tile of hashes.
    Hashes {
        /// Which tile.
        tile: TileId,
        /// How many of its hashes.
        width: TileWidth,
    },
    /// A bundle of entries.
    Entries {
        /// Which bundle; it holds the entries from `256 * index` on.
        index: u64,
        /// How many of its entries.
        width: TileWidth,
    },
}

/// Why a text is not a tile path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TilePathError {
    /// It is not `tile/<L>/...` or `tile/entries/...`, or longer than any path.
    #[error("a tile path is tile/<level>/<index> or tile/entries/<index>")]
    Shape,
    /// The level is not one digit that a log can have.
    #[error("a tile level is a digit from 0 to {TILE_LEVEL_MAX}")]
    Level,
    /// The index is not groups of three digits, as in `x001/x234/067`, or beyond any log.
    #[error("a tile index is groups of three digits, as in x001/x234/067")]
    Index,
    /// The width is not 1 to 255 after `.p/`.
    #[error("a partial width is a number from 1 to 255")]
    Width,
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        if text.len() > TILE_PATH_BYTES_MAX {
            return Err(TilePathError::Shape);
        }
        let rest = text.strip_prefix("tile/").ok_or(TilePathError::Shape)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError::Shape)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, partial_width(width)?),
            None => (rest, TileWidth::FULL),
        };
        let index = parse_index(index)?;
        if kind == "entries" {
            within(index, 0)?;
            return Ok(Self::Entries { index, width });
        }
        let level = parse_level(kind)?;
        within(index, level)?;
        let tile = TileId { level, index };
        Ok(Self::Hashes { tile, width })
    }
}

fn parse_level(text: &str) -> Result<u8, TilePathError> {
    match text.as_bytes() {
        [digit @ b'0'..=b'9'] if digit - b'0' <= TILE_LEVEL_MAX => Ok(digit - b'0'),
        _ => Err(TilePathError::Level),
    }
}

fn partial_width(text: &str) -> Result<TileWidth, TilePathError> {
    let shaped = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let width = shaped.then(|| text.parse().ok()).flatten();
    width
        .and_then(TileWidth::new)
        .filter(|width| *width != TileWidth::FULL)
        .ok_or(TilePathError::Width)
}

/// Groups of three digits; all but the last begin with `x`, and the first is `x000` never.
fn parse_index(text: &str) -> Result<u64, TilePathError> {
    let mut groups = text.split('/').peekable();
    let mut index: u64 = 0;
    if text.starts_with("x000") {
        return Err(TilePathError::Index);
    }
    while let Some(group) = groups.next() {
        let digits = match groups.peek() {
            Some(_) => group.strip_prefix('x').ok_or(TilePathError::Index)?,
            None => group,
        };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TilePathError::Index);
        }
        let group: u64 = digits.parse().map_err(|_| TilePathError::Index)?;
        let shifted = index.checked_mul(1_000).ok_or(TilePathError::Index)?;
        index = shifted + group;
    }
    Ok(index)
}

/// Refuses the index of a tile that the largest log does not have.
fn within(index: u64, level: u8) -> Result<(), TilePathError> {
    let tiles = LOG_LEAVES_MAX >> (TILE_HEIGHT * (level + 1));
    (index < tiles).then_some(()).ok_or(TilePathError::Index)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Hashes { tile, width } => {
                write!(f, "tile/{}/", tile.level)?;
                (tile.index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        let groups = index.checked_ilog(1_000).unwrap_or(0);
        for power in (1..=groups).rev() {
            write!(f, "x{:03}/", index / 1_000_u64.pow(power) % 1_000)?;
        }
        write!(f, "{:03}", index % 1_000)?;
        if width != TileWidth::FULL {
            write!(f, ".p/{}", width.get())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(level: u8, index: u64, width: u16) -> TilePath {
        let tile = TileId { level, index };
        let width = TileWidth::new(width).unwrap();
        TilePath::Hashes { tile, width }
    }

    fn entries(index: u64, width: u16) -> TilePath {
        let width = TileWidth::new(width).unwrap();
        TilePath::Entries { index, width }
    }

    #[test]
    fn the_paths_of_the_specification_read_and_print() {
        for (text, path) in [
            ("tile/0/000", hashes(0, 0, 256)),
            ("tile/0/x001/x234/067", hashes(0, 1_234_067, 256)),
            ("tile/0/x001/x234/067.p/1", hashes(0, 1_234_067, 1)),
            ("tile/2/999.p/255", hashes(2, 999, 255)),
            ("tile/2/x001/000", hashes(2, 1_000, 256)),
            ("tile/5/000.p/8", hashes(5, 0, 8)),
            ("tile/entries/x273/063", entries(273_063, 256)),
            ("tile/entries/000.p/16", entries(0, 16)),
            (
                "tile/entries/x001/x099/x511/x627/775.p/255",
                entries((1 << 40) - 1, 255),
            ),
        ] {
            assert_eq!(text.parse(), Ok(path), "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        use TilePathError::{Index, Level, Shape, Width};
        for (text, error) in [
            ("", Shape),
            ("tile", Shape),
            ("tile/", Shape),
            ("tile/0", Shape),
            ("/tile/0/000", Shape),
            ("Tile/0/000", Shape),
            ("tile/entries/x001/x099/x511/x627/775.p/2555", Shape),
            ("tile//000", Level),
            ("tile/6/000", Level),
            ("tile/00/000", Level),
            ("tile/-1/000", Level),
            ("tile/data/000", Level),
            ("tile/0/", Index),
            ("tile/0/0", Index),
            ("tile/0/0000", Index),
            ("tile/0/x000", Index),
            ("tile/0/x000/001", Index),
            ("tile/0/x001", Index),
            ("tile/0/001/234", Index),
            ("tile/0/x001/x234", Index),
            ("tile/0/x001//234", Index),
            ("tile/0/+12", Index),
            ("tile/0/000/", Index),
            ("tile/0/000 ", Index),
            ("tile/0/x001/x099/x511/x627/776", Index),
            ("tile/entries/x001/x099/x511/x627/776", Index),
            ("tile/4/256", Index),
            ("tile/5/001", Index),
            ("tile/0/000.p/", Width),
            ("tile/0/000.p/0", Width),
            ("tile/0/000.p/01", Width),
            ("tile/0/000.p/256", Width),
            ("tile/0/000.p/+1", Width),
            ("tile/0/000.p/1/", Width),
            ("tile/0/000.p", Index),
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_path_prints_and_reads_back(
            level in 0..=TILE_LEVEL_MAX,
            bits: u64,
            width in 1_u16..=256,
        ) {
            let index = bits % (LOG_LEAVES_MAX >> (8 * (level + 1)));
            let path = hashes(level, index, width);
            prop_assert_eq!(path.to_string().parse(), Ok(path));
            let path = entries(bits >> (bits % 24 + 24), width);
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn whatever_reads_as_a_path_prints_the_same_text(
            text in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,5}[0-9]{2,4}(\\.p/[0-9]{0,4})?",
            noise in ".{0,60}",
        ) {
            for text in [text, noise] {
                if let Ok(path) = text.parse::<TilePath>() {
                    prop_assert_eq!(path.to_string(), text);
                }
            }
        }
    }
}
