//! Searching files and memory for bytes that must not be there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
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
/// What `/proc/PID/pagemap` says of a page, in bytes (proc_pid_pagemap(5)).
const PAGE_MAP_ENTRY_BYTES: usize = 8;
/// Its two highest bits: swapped out, present.
const PAGE_IS_THERE: u32 = 62;
/// The largest number of three bytes.
const THREE_BYTES: usize = 0xff_ffff;

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
    /// For each [`mixed`] start, whether any of the wanted has it: text is full of beginnings.
    likely: Vec<bool>,
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
        let mut begins = vec![false; THREE_BYTES + 1];
        let mut likely = vec![false; THREE_BYTES + 1];
        let mut starts: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, (word, bytes)) in wanted.iter().enumerate() {
            let start = bytes.first_chunk();
            let start = start.unwrap_or_else(|| panic!("{word} is too short"));
            assert!(
                bytes[..ZEROS_MAX].iter().any(|byte| *byte != 0),
                "{word} begins with zeros"
            );
            begins[beginning(start)] = true;
            likely[mixed(start)] = true;
            starts.entry(*start).or_default().push(place);
        }
        Self {
            wanted,
            begins,
            likely,
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

    /// The words of those that the bytes contain. Pages of zeros cost next to nothing, and the
    /// loop is plain: a build without optimisation searches hundreds of megabytes.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        let begins: &[bool] = &self.begins;
        // Nothing shorter than a start begins after this.
        let places = bytes.len().saturating_sub(START_BYTES - 1);
        for (page, piece) in bytes.chunks(PAGE.len()).enumerate() {
            // What begins in a page of zeros begins with zeros, so near its end.
            let skipped = if piece == PAGE {
                PAGE.len() - ZEROS_MAX
            } else {
                0
            };
            let begin = page * PAGE.len();
            let (mut at, end) = (begin + skipped, places.min(begin + piece.len()));
            if at >= end {
                continue;
            }
            let mut three = usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1]);
            while at < end {
                three = (three << 8 | bytes[at + 2] as usize) & THREE_BYTES;
                if begins[three] {
                    self.find_at(&bytes[at..], &mut found);
                }
                at += 1;
            }
        }
        found
    }

    fn find_at<'a>(&'a self, bytes: &[u8], found: &mut Vec<&'a str>) {
        let Some(start) = bytes.first_chunk() else {
            return;
        };
        if !self.likely[mixed(start)] {
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

/// All of a start, mixed to as many bits as three bytes have (Fibonacci hashing).
const fn mixed(start: &[u8; START_BYTES]) -> usize {
    let spread = u64::from_le_bytes(*start).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> 40) as usize & THREE_BYTES
}

/// Calls `window` with all memory of a process that it has ever touched and that is not a file's,
/// piece by piece. Pieces overlap by `overlap` bytes, so that nothing shorter is missed at an edge.
///
/// # Errors
/// The system does not let us.
pub fn read_memory(pid: u32, overlap: usize, window: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut page_map = File::open(format!("/proc/{pid}/pagemap"))?;
    for range in maps.lines().filter_map(readable_range) {
        // Some pages of the kernel's are mapped and still cannot be read.
        for touched in touched(&mut page_map, range).unwrap_or_else(|_| vec![range]) {
            let _ = read_range(&mut memory, touched, overlap, window);
        }
    }
    Ok(())
}

/// The parts of a range of memory whose pages are there, in RAM or swapped out: allocators reserve
/// gigabytes, and what was never touched is zeros.
fn touched(page_map: &mut File, (start, end): (u64, u64)) -> io::Result<Vec<(u64, u64)>> {
    let page = PAGE.len() as u64;
    let pages = usize::try_from((end - start) / page).unwrap_or(usize::MAX);
    let mut entries = vec![0; pages * PAGE_MAP_ENTRY_BYTES];
    page_map.seek(SeekFrom::Start(start / page * PAGE_MAP_ENTRY_BYTES as u64))?;
    page_map.read_exact(&mut entries)?;
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let (entries, _) = entries.as_chunks::<PAGE_MAP_ENTRY_BYTES>();
    for (at, entry) in (start..).step_by(PAGE.len()).zip(entries) {
        if u64::from_ne_bytes(*entry) >> PAGE_IS_THERE == 0 {
            continue;
        }
        match parts.last_mut() {
            Some((_, end)) if *end == at => *end = at + page,
            _ => parts.push((at, at + page)),
        }
    }
    Ok(parts)
}

/// Calls `window` with all of a file, however long, as [`read_memory`] does.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path, overlap: usize, window: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    read_range(&mut file, (0, end), overlap, window)
}

fn read_range(
    file: &mut File,
    (start, end): (u64, u64),
    overlap: usize,
    window: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let left = |at: u64| usize::try_from(end - at).unwrap_or(usize::MAX);
    let mut buffer = vec![0; WINDOW_BYTES.min(left(start))];
    let mut at = start;
    loop {
        let length = buffer.len().min(left(at));
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut buffer[..length])?;
        window(&buffer[..length]);
        if length == left(at) {
            return Ok(());
        }
        at += (length - overlap) as u64;
    }
}

/// `start-end` of a line of `/proc/PID/maps` that is readable memory, and not the unchanged
/// content of a file, as the program's own is.
fn readable_range(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (range, modes) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let is_of_a_file = line.contains(" /") && !modes.contains('w');
    let readable = modes.starts_with('r') && !line.contains("[v") && !is_of_a_file;
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
