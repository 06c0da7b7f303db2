//! Rust source as the tidy test reads it: which lines are code, which are tests.
//!
//! A scanner over characters, not a parser: it knows comments, literals and braces, and that is
//! all its rules need. What it takes away it replaces by spaces, so that lines keep their number.

use std::path::Path;
use std::{fs, io};

/// One source file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path from the top of the repository, with `/` between folders.
    pub path: String,
    /// Its whole text.
    pub text: String,
    /// The text without comments, without the inside of literals and without tests.
    pub code: String,
    /// The text without comments and without tests.
    pub words: String,
}

/// A function found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line it starts on, from 1.
    pub line: usize,
    /// How many lines it has, signature and braces included; 1 for one without a body.
    pub lines: usize,
}

impl Source {
    /// Scans a text as if it stood at `path`.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        let masked = Masked::of(text);
        let tests = test_ranges(&masked.code);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: blank(&masked.code, &tests),
            words: blank(&masked.words, &tests),
        }
    }

    /// The functions outside tests.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        identifiers(&self.code)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| self.function_at(at))
            .collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let rest = &self.code[at + "fn".len()..];
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect();
        if name.is_empty() {
            return None; // the type `fn(..)`
        }
        let end = at + item_end(&self.code[at..]);
        Some(Function {
            name,
            line: self.line_of(at),
            lines: self.line_of(end) - self.line_of(at) + 1,
        })
    }

    /// The line of a byte offset, from 1.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> usize {
        let before = self.code.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    /// How many lines stand before the test module of the file.
    #[must_use]
    pub fn lines_before_tests(&self) -> usize {
        let masked = Masked::of(&self.text);
        let is_module = |range: &std::ops::Range<usize>| {
            let item = &masked.code[range.clone()];
            item.contains("mod ") && item.contains('{')
        };
        match test_ranges(&masked.code).into_iter().find(is_module) {
            Some(tests) => self.line_of(tests.start) - 1,
            None => self.text.lines().count(),
        }
    }

    /// Where `path` is named in the code as a path, or the start of one: `sled` finds
    /// `sled::Db` and `use sled;`, not `crate::sled` and not `sledge`.
    #[must_use]
    pub fn lines_naming(&self, path: &str) -> Vec<usize> {
        let starts = self.code.match_indices(path).filter(|(at, found)| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[at + found.len()..].chars().next();
            !before.is_some_and(|c| is_word(c) || c == ':') && !after.is_some_and(is_word)
        });
        starts.map(|(at, _)| self.line_of(at)).collect()
    }

    /// The first segments of every path that starts with `crate::`, with their lines.
    #[must_use]
    pub fn crate_imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, prefix) in self.code.match_indices("crate::") {
            let rest = &self.code[at + prefix.len()..];
            let line = self.line_of(at);
            for name in first_segments(rest) {
                found.push((line, name));
            }
        }
        found
    }
}

/// Every Rust file under these folders, in the order of their paths, without `target` and
/// `node_modules` folders, and without files that only `#[cfg(test)]` modules reach.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn sources(root: &Path, folders: &[&str]) -> io::Result<Vec<Source>> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(root, folder, &mut paths)?;
    }
    paths.retain(|path| path.ends_with(".rs"));
    paths.sort();
    let read = |path: &String| Ok(Source::new(path, &fs::read_to_string(root.join(path))?));
    let all: Vec<Source> = paths.iter().map(read).collect::<io::Result<_>>()?;
    let test_files: Vec<String> = all.iter().flat_map(test_files).collect();
    Ok(all
        .into_iter()
        .filter(|source| {
            !test_files
                .iter()
                .any(|stem| is_in_module(&source.path, stem))
        })
        .collect())
}

/// Every file under a folder, as paths from `root`.
fn collect(root: &Path, folder: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for item in fs::read_dir(root.join(folder))? {
        let item = item?;
        let name = item.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        match item.file_type()?.is_dir() {
            true if name == "target" || name == "node_modules" => {}
            true => collect(root, &path, paths)?,
            false => paths.push(path),
        }
    }
    Ok(())
}

/// Whether the file is `stem.rs` or stands under `stem/`.
fn is_in_module(path: &str, stem: &str) -> bool {
    path.strip_prefix(stem)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The files of the modules that this file declares for tests alone, without their `.rs`.
fn test_files(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let (folder, file) = stem.rsplit_once('/').unwrap_or(("", stem));
    let home = if matches!(file, "lib" | "main" | "mod") {
        folder
    } else {
        stem
    };
    let masked = Masked::of(&source.text);
    let declared = test_ranges(&masked.code).into_iter().filter_map(|range| {
        let item = masked.code[range].trim_end().strip_suffix(';')?;
        let (_, name) = item.rsplit_once("mod ")?;
        Some(format!("{home}/{}", name.trim()))
    });
    declared.collect()
}

/// A text with comments and literals taken out.
struct Masked {
    code: String,
    words: String,
}

impl Masked {
    fn of(text: &str) -> Self {
        let mut masked = Self {
            code: String::new(),
            words: String::new(),
        };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let after_word = masked.code.chars().next_back().is_some_and(is_word);
            let comment = comment_length(rest);
            let literal = if after_word { 0 } else { literal_length(rest) };
            if comment > 0 {
                masked.skip(&rest[..comment], false);
                rest = &rest[comment..];
            } else if literal > 0 {
                masked.skip(&rest[..literal], true);
                rest = &rest[literal..];
            } else {
                masked.code.push(first);
                masked.words.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        masked
    }

    fn skip(&mut self, taken: &str, is_literal: bool) {
        let hidden = spaces(taken);
        self.words
            .push_str(if is_literal { taken } else { &hidden });
        self.code.push_str(&hidden);
    }
}

/// As many spaces as the text has bytes, with its line ends kept.
fn spaces(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}

/// The length of the comment that the text starts with, or 0.
fn comment_length(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string or character literal that the text starts with, or 0.
fn literal_length(text: &str) -> usize {
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - unprefixed.len();
    if prefix > 1 {
        return 0;
    }
    let raw = unprefixed
        .strip_prefix('r')
        .map(|rest| rest.trim_start_matches('#'));
    if let Some(inside) = raw.and_then(|rest| rest.strip_prefix('"')) {
        let opening = text.len() - inside.len();
        let hashes = opening - prefix - "r\"".len();
        let closing = format!("\"{}", "#".repeat(hashes));
        return opening
            + inside
                .find(&closing)
                .map_or(inside.len(), |at| at + closing.len());
    }
    let mut chars = unprefixed.char_indices();
    match chars.next() {
        Some((_, '"')) => prefix + quoted_length(unprefixed, '"'),
        // A lifetime has no closing quote after one character.
        Some((_, '\'')) if unprefixed.starts_with("'\\") => {
            prefix + quoted_length(unprefixed, '\'')
        }
        Some((_, '\'')) => match (chars.next(), chars.next()) {
            (Some(_), Some((at, '\''))) => prefix + at + 1,
            _ => 0,
        },
        _ => 0,
    }
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The items under `#[cfg(test)]`, attribute included.
fn test_ranges(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        if ranges.last().is_none_or(|last| last.end <= start) {
            let item = start + attribute.len();
            ranges.push(start..item + item_end(&code[item..]) + 1);
        }
    }
    ranges
}

/// Where the item that the code starts with ends: its `;`, or its closing brace.
fn item_end(code: &str) -> usize {
    let is_use = code.trim_start().starts_with("use ");
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && others == 0 && !is_use {
                    return at;
                }
            }
            b';' if braces == 0 && others == 0 => return at,
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

fn blank(text: &str, ranges: &[std::ops::Range<usize>]) -> String {
    let mut blanked = String::new();
    let mut from = 0;
    for range in ranges {
        blanked.push_str(&text[from..range.start]);
        blanked.push_str(&spaces(&text[range.clone()]));
        from = range.end;
    }
    blanked + &text[from..]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every word of the code with its offset.
fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..]
            .find(|c| !is_word(c))
            .map_or(code.len(), |length| start + length);
        rest = end;
        Some((start, &code[start..end]))
    })
}

/// `a` of `a::b`, and `a` and `c` of `{a::b, c}`.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let mut depth = 0_usize;
    let mut names = vec![word(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_commented_quoted_or_for_tests_is_no_code() {
        let text = "// sled\nlet a = \"sled\"; /* sled /* */ sled */\nlet b = r#\"sled\"#;\n\
                    let c: &'static str = d;\n#[cfg(test)]\nmod tests { use sled; }\n";
        let source = Source::new("a.rs", text);
        assert_eq!(source.lines_naming("sled"), [] as [usize; 0]);
        assert_eq!(source.text.lines().count(), source.code.lines().count());
    }

    #[test]
    fn a_path_is_found_at_its_start_alone() {
        let source = Source::new("a.rs", "use sled::Db;\nuse crate::sled;\nlet sledge = 1;\n");
        assert_eq!(source.lines_naming("sled"), [1]);
    }

    #[test]
    fn a_function_is_as_long_as_from_its_name_to_its_brace() {
        let text = "fn a(\n  b: [u8; 2],\n) {\n  if c { d('{') }\n}\ntrait E { fn f(&self); }\n";
        let found = Source::new("a.rs", text).functions();
        assert_eq!(
            found[0],
            Function {
                name: "a".into(),
                line: 1,
                lines: 5
            }
        );
        assert_eq!(
            found[1],
            Function {
                name: "f".into(),
                line: 6,
                lines: 1
            }
        );
    }

    #[test]
    fn grouped_imports_are_taken_apart() {
        let source = Source::new("a.rs", "use crate::{a::{b, c}, d};\nuse crate::e::f;\n");
        let names: Vec<String> = source
            .crate_imports()
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["a", "d", "e"]);
    }

    #[test]
    fn a_module_declared_for_tests_names_its_file() {
        let source = Source::new(
            "proto/src/roster/mod.rs",
            "#[cfg(test)]\nmod example;\nmod text;\n",
        );
        assert_eq!(test_files(&source), ["proto/src/roster/example"]);
        assert!(is_in_module(
            "proto/src/roster/example.rs",
            "proto/src/roster/example"
        ));
        assert!(!is_in_module(
            "proto/src/roster/examples.rs",
            "proto/src/roster/example"
        ));
    }

    #[test]
    fn lines_before_tests_stop_at_the_test_module() {
        let source = Source::new(
            "a.rs",
            "a\n#[cfg(test)]\nmod x;\nb\n#[cfg(test)]\nmod tests {\n}\n",
        );
        assert_eq!(source.lines_before_tests(), 4);
    }
}
