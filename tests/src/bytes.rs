//! Searching files and memory for bytes that must not be there.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::process::files;

/// How much memory is read at once.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Much of a file and of a memory is zeros.
const PAGE: [u8; 4096] = [0; 4096];
/// Most zeros that something wanted may begin with: a number in eight bytes does.
const ZEROS_MAX: usize = 8;
/// How much of what is wanted is looked up at once; anything shorter would be found by chance.
const START_BYTES: usize = 8;

/// Whether the bytes contain the wanted ones.
#[must_use]
pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if bytes[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// The files of a folder that contain the wanted bytes.
///
/// # Panics
/// When a file cannot be read.
#[must_use]
pub fn find_in_folder(dir: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let mut found = files(dir);
    found.retain(|file| contains(&fs::read(file).unwrap(), wanted));
    found
}

/// Many byte strings to look for in one pass, each with a word that may be printed for it.
#[derive(Debug)]
pub struct Needles {
    wanted: Vec<(String, Vec<u8>)>,
    /// For each three bytes, whether any of the wanted begins with them.
    begins: Vec<bool>,
    /// Which of the wanted begin with these bytes.
    starts: HashMap<[u8; START_BYTES], Vec<usize>>,
}

impl Needles {
    /// Looks for these.
    ///
    /// # Panics
    /// When one is so short that it would be found by chance.
    #[must_use]
    pub fn new(wanted: Vec<(String, Vec<u8>)>) -> Self {
        let mut begins = vec![false; 1 << 24];
        let mut starts: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, (word, bytes)) in wanted.iter().enumerate() {
            let start = bytes.first_chunk();
            let start = start.unwrap_or_else(|| panic!("{word} is too short"));
            assert!(
                bytes[..ZEROS_MAX].iter().any(|byte| *byte != 0),
                "{word} begins with zeros"
            );
            begins[beginning(start)] = true;
            starts.entry(*start).or_default().push(place);
        }
        Self {
            wanted,
            begins,
            starts,
        }
    }

    /// The length of the longest one.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.wanted
            .iter()
            .map(|(_, bytes)| bytes.len())
            .max()
            .unwrap_or(0)
    }

    /// The words of those that the bytes contain. Pages of zeros cost next to nothing.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (page, piece) in bytes.chunks(PAGE.len()).enumerate() {
            // What begins in a page of zeros begins with zeros, so near its end.
            let skipped = if piece == PAGE {
                PAGE.len() - ZEROS_MAX
            } else {
                0
            };
            let begin = page * PAGE.len();
            for at in begin + skipped..begin + piece.len() {
                self.find_at(&bytes[at..], &mut found);
            }
        }
        found
    }

    fn find_at<'a>(&'a self, bytes: &[u8], found: &mut Vec<&'a str>) {
        let Some(start) = bytes.first_chunk() else {
            return;
        };
        if !self.begins[beginning(start)] {
            return;
        }
        for place in self.starts.get(start).into_iter().flatten() {
            let (word, wanted) = &self.wanted[*place];
            if bytes.starts_with(wanted) {
                found.push(word.as_str());
            }
        }
    }
}

/// The first three bytes, as a number.
fn beginning(start: &[u8; START_BYTES]) -> usize {
    let [first, second, third, ..] = *start;
    usize::from(first) << 16 | usize::from(second) << 8 | usize::from(third)
}

/// Calls `window` with all memory of a process that can be read, piece by piece. Pieces overlap
/// by `overlap` bytes, so that nothing shorter is missed at an edge.
///
/// # Errors
/// The system does not let us.
pub fn read_memory(pid: u32, overlap: usize, window: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut buffer = vec![0; WINDOW_BYTES];
    for (start, end) in maps.lines().filter_map(readable_range) {
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(WINDOW_BYTES);
            memory.seek(SeekFrom::Start(at))?;
            // Some pages of the kernel's are mapped and still cannot be read.
            let Ok(()) = memory.read_exact(&mut buffer[..length]) else {
                break;
            };
            window(&buffer[..length]);
            let step = if length == WINDOW_BYTES {
                length - overlap
            } else {
                length
            };
            at += step as u64;
        }
    }
    Ok(())
}

/// `start-end` of a line of `/proc/PID/maps` that is readable and plain memory.
fn readable_range(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (range, modes) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let readable = modes.starts_with('r') && !line.contains("[v");
    let parse = |hex: &str| u64::from_str_radix(hex, 16).ok();
    readable.then(|| Some((parse(start)?, parse(end)?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        for text in ["needle", "xneedle", "needlex", "nneedle", "neneedle"] {
            assert!(contains(text.as_bytes(), b"needle"), "{text}");
        }
        assert!(!contains(b"needl", b"needle"));
    }

    #[test]
    fn each_needle_is_found_under_its_word() {
        let wanted = ["aabbccdd", "aabbccde", "zzzzzzzz"];
        let needles = wanted
            .map(|text| (text.to_owned(), text.as_bytes().to_vec()))
            .to_vec();
        let needles = Needles::new(needles);
        assert_eq!(needles.found_in(b"..aabbccde."), ["aabbccde"]);
        for at in [0, 4092, 4096, 9000] {
            let mut pages = vec![0; 12_000];
            pages[at..at + 8].copy_from_slice(b"zzzzzzzz");
            assert_eq!(needles.found_in(&pages), ["zzzzzzzz"], "at {at}");
        }
    }

    #[test]
    fn our_own_memory_is_read() {
        // Put together at run time, so that it is in memory and not only in the program's file.
        let wanted = format!("a canary {}", std::process::id()).into_bytes();
        let mut found = false;
        read_memory(std::process::id(), wanted.len(), &mut |window| {
            found |= contains(window, &wanted);
        })
        .unwrap();
        assert!(found);
    }
}
