//! The file of evidence: text, one spelling for each.
//!
//! ```text
//! vitrail evidence v2
//! kind fork | rollback | rewritten | two-headers | wrong-map | back-dated | rule
//! <the lines of the kind>
//!
//! <signed checkpoint>
//!
//! <signed checkpoint>
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    Appended, BatchLink, EVIDENCE_BYTES_MAX, EVIDENCE_ENTRIES_MAX, Evidence, EvidenceError,
    Extension,
};
use crate::batch::{BatchHeader, SignedHeader};
use crate::checkpoint::SignedCheckpoint;
use crate::entry::Entry;
use crate::hash::Hash;
use crate::ids::{LeafIndex, MemberName};
use crate::map::{MapIndex, MapProof};
use crate::merkle::{
    CONSISTENCY_PROOF_HASHES_MAX, ConsistencyProof, INCLUSION_PROOF_HASHES_MAX, InclusionProof,
    PEAKS_MAX,
};
use crate::receipt::EntryProof;
use crate::refusal::Reason;

const TITLE: &str = "vitrail evidence v2";

impl Evidence {
    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "fork",
            Self::Rollback { .. } => "rollback",
            Self::Rewritten { .. } => "rewritten",
            Self::TwoHeaders { .. } => "two-headers",
            Self::WrongMap { .. } => "wrong-map",
            Self::BackDated { .. } => "back-dated",
            Self::Rule { .. } => "rule",
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut file = Writer(format!("{TITLE}\nkind {}\n", self.kind()));
        match self {
            Self::Fork { first, second } => file.checkpoints(&[first, second]),
            Self::Rollback { larger, smaller } => file.checkpoints(&[larger, smaller]),
            Self::Rewritten {
                smaller,
                larger,
                begins_with,
                proof,
            } => {
                file.line("begins-with", &begins_with.to_base64());
                file.hashes("path", proof.hashes());
                file.checkpoints(&[smaller, larger]);
            }
            Self::TwoHeaders {
                leader,
                first,
                second,
            } => {
                file.line("leader", leader.as_str());
                file.bytes("header", &first.to_bytes());
                file.bytes("header", &second.to_bytes());
            }
            Self::WrongMap {
                extension,
                appended,
            } => file.extension(extension, appended),
            Self::BackDated { batch, entry } => {
                file.batch(batch);
                if let Some(proved) = entry {
                    file.line("index", &proved.index.to_string());
                    file.bytes("entry", proved.entry.bytes());
                    file.hashes("path", proved.inclusion.hashes());
                }
            }
            Self::Rule {
                extension,
                appended,
                index,
                reason,
            } => {
                file.line("reason", reason.code());
                file.line("index", &index.to_string());
                file.extension(extension, appended);
            }
        }
        file.0
    }

    /// Reads a file of evidence; there is one spelling of each. Nothing of it is believed.
    ///
    /// # Errors
    /// The first line that is not as it must be, or what a line holds that cannot be read.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        if text.len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceError::TooLong { got: text.len() });
        }
        let mut lines = Lines {
            rest: text,
            line: 0,
        };
        let evidence = lines.evidence()?;
        // Whatever a line could be spelled by besides, it is not written so.
        let same = evidence.to_text() == text;
        same.then_some(evidence)
            .ok_or(lines.wrong("the last, and each line before it in its one spelling"))
    }
}

struct Writer(String);

impl Writer {
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.line(name, &BASE64_STANDARD.encode(bytes));
    }

    fn hashes(&mut self, name: &str, hashes: &[Hash]) {
        for hash in hashes {
            self.line(name, &hash.to_base64());
        }
    }

    fn batch(&mut self, batch: &BatchLink) {
        self.line("leader", batch.leader.as_str());
        self.bytes("previous", &batch.previous.to_bytes());
        self.bytes("header", &batch.header.to_bytes());
    }

    fn extension(&mut self, extension: &Extension, appended: &Appended) {
        if let Extension::Batch(batch) = extension {
            self.batch(batch);
        }
        self.hashes("peak", &appended.peaks);
        for entry in &appended.entries {
            self.bytes("entry", entry.bytes());
        }
        for (index, proof) in &appended.states {
            let index = BASE64_STANDARD.encode(index.as_bytes());
            let proof = BASE64_STANDARD.encode(proof.to_bytes());
            self.line("state", &format!("{index} {proof}"));
        }
        match extension {
            Extension::Founding(after) => self.checkpoints(&[after]),
            Extension::Checkpoints { before, after } => self.checkpoints(&[before, after]),
            Extension::Batch(_) => (),
        }
    }

    fn checkpoints(&mut self, checkpoints: &[&SignedCheckpoint]) {
        for checkpoint in checkpoints {
            let _ = write!(self.0, "\n{}", checkpoint.to_text());
        }
    }
}

/// The lines that are still to be read.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn evidence(&mut self) -> Result<Evidence, EvidenceError> {
        if self.next() != Some(TITLE) {
            return Err(self.wrong("the title of a file of vitrail evidence"));
        }
        Ok(match self.field("kind", "kind <word>")? {
            "fork" => {
                let [first, second] = self.two_checkpoints()?;
                Evidence::Fork { first, second }
            }
            "rollback" => {
                let [larger, smaller] = self.two_checkpoints()?;
                Evidence::Rollback { larger, smaller }
            }
            "rewritten" => {
                let begins_with = self.hash("begins-with", "begins-with <base64>")?;
                let path = self.hashes("path", CONSISTENCY_PROOF_HASHES_MAX)?;
                let [smaller, larger] = self.two_checkpoints()?;
                Evidence::Rewritten {
                    smaller,
                    larger,
                    begins_with,
                    proof: ConsistencyProof::from_hashes(path)?,
                }
            }
            "two-headers" => Evidence::TwoHeaders {
                leader: self.leader()?,
                first: self.signed_header()?,
                second: self.signed_header()?,
            },
            "wrong-map" => {
                let (extension, appended) = self.extension()?;
                Evidence::WrongMap {
                    extension,
                    appended,
                }
            }
            "back-dated" => Evidence::BackDated {
                batch: self.batch()?,
                entry: self.entry_proof()?,
            },
            "rule" => {
                let want = "reason <code>";
                let reason = Reason::from_code(self.field("reason", want)?);
                let reason = reason.ok_or(self.wrong(want))?;
                let index = self.index()?;
                let (extension, appended) = self.extension()?;
                Evidence::Rule {
                    extension,
                    appended,
                    index,
                    reason,
                }
            }
            _ => return Err(self.wrong("kind and a word of the list")),
        })
    }

    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    const fn wrong(&self, want: &'static str) -> EvidenceError {
        EvidenceError::Line {
            line: self.line,
            want,
        }
    }

    /// Whether the next line is one of this name.
    fn comes(&self, name: &str) -> bool {
        let value = self.rest.strip_prefix(name);
        value.is_some_and(|value| value.starts_with(' '))
    }

    fn field(&mut self, name: &str, want: &'static str) -> Result<&'a str, EvidenceError> {
        let value = self
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.ok_or(self.wrong(want))
    }

    fn base64(&mut self, name: &str, want: &'static str) -> Result<Vec<u8>, EvidenceError> {
        let value = self.field(name, want)?;
        BASE64_STANDARD.decode(value).map_err(|_| self.wrong(want))
    }

    fn hash(&mut self, name: &str, want: &'static str) -> Result<Hash, EvidenceError> {
        let value = self.field(name, want)?;
        Hash::from_base64(value).ok_or(self.wrong(want))
    }

    fn hashes(&mut self, name: &str, max: usize) -> Result<Vec<Hash>, EvidenceError> {
        let mut hashes = Vec::new();
        while self.comes(name) {
            let hash = self.hash(name, "a name and the base64 of 32 bytes")?;
            if hashes.len() == max {
                return Err(self.wrong("another one: there are no more of this name"));
            }
            hashes.push(hash);
        }
        Ok(hashes)
    }

    fn index(&mut self) -> Result<LeafIndex, EvidenceError> {
        let want = "index <decimal>";
        let value = self.field("index", want)?.parse();
        value.map(LeafIndex::new).map_err(|_| self.wrong(want))
    }

    fn leader(&mut self) -> Result<MemberName, EvidenceError> {
        let want = "leader <member name>";
        let name = self.field("leader", want)?.parse();
        name.map_err(|_| self.wrong(want))
    }

    fn signed_header(&mut self) -> Result<SignedHeader, EvidenceError> {
        let want = "header <base64 of a signed header>";
        let bytes = self.base64("header", want)?;
        SignedHeader::from_bytes(&bytes).map_err(|_| self.wrong(want))
    }

    fn batch(&mut self) -> Result<BatchLink, EvidenceError> {
        let leader = self.leader()?;
        let want = "previous <base64 of a header>";
        let previous = BatchHeader::from_bytes(&self.base64("previous", want)?);
        Ok(BatchLink {
            leader,
            previous: previous.map_err(|_| self.wrong(want))?,
            header: self.signed_header()?,
        })
    }

    fn entry(&mut self) -> Result<Entry, EvidenceError> {
        Ok(Entry::parse(&self.base64("entry", "entry <base64>")?)?)
    }

    fn entry_proof(&mut self) -> Result<Option<EntryProof>, EvidenceError> {
        if !self.comes("index") {
            return Ok(None);
        }
        let (index, entry) = (self.index()?, self.entry()?);
        let path = self.hashes("path", INCLUSION_PROOF_HASHES_MAX)?;
        Ok(Some(EntryProof {
            entry,
            index,
            inclusion: InclusionProof::from_hashes(path)?,
        }))
    }

    fn extension(&mut self) -> Result<(Extension, Appended), EvidenceError> {
        let batch = match self.comes("leader") {
            true => Some(self.batch()?),
            false => None,
        };
        let appended = Appended {
            peaks: self.hashes("peak", PEAKS_MAX)?,
            entries: self.entries()?,
            states: self.states()?,
        };
        let extension = match batch {
            Some(batch) => Extension::Batch(batch),
            None => self.checkpoints_between()?,
        };
        Ok((extension, appended))
    }

    fn entries(&mut self) -> Result<Vec<Entry>, EvidenceError> {
        let mut entries = Vec::new();
        while self.comes("entry") {
            if entries.len() == EVIDENCE_ENTRIES_MAX {
                return Err(self.wrong("no further entry: there are too many"));
            }
            entries.push(self.entry()?);
        }
        Ok(entries)
    }

    fn states(&mut self) -> Result<BTreeMap<MapIndex, MapProof>, EvidenceError> {
        let want = "state <base64 index> <base64 map proof>";
        let mut states = BTreeMap::new();
        while self.comes("state") {
            let (index, proof) = self
                .field("state", want)?
                .split_once(' ')
                .ok_or(self.wrong(want))?;
            let index = Hash::from_base64(index).ok_or(self.wrong(want))?;
            let proof = BASE64_STANDARD.decode(proof);
            let proof = MapProof::from_bytes(&proof.map_err(|_| self.wrong(want))?);
            let proof = proof.map_err(|_| self.wrong(want))?;
            states.insert(MapIndex::from_bytes(*index.as_bytes()), proof);
        }
        Ok(states)
    }

    fn checkpoints_between(&mut self) -> Result<Extension, EvidenceError> {
        let want = "one signed checkpoint or two, each after an empty line";
        let mut checkpoints = self.checkpoints(want)?.into_iter();
        Ok(
            match (checkpoints.next(), checkpoints.next(), checkpoints.next()) {
                (Some(after), None, None) => Extension::Founding(after),
                (Some(before), Some(after), None) => Extension::Checkpoints { before, after },
                _ => return Err(self.wrong(want)),
            },
        )
    }

    fn two_checkpoints(&mut self) -> Result<[SignedCheckpoint; 2], EvidenceError> {
        let want = "two signed checkpoints, each after an empty line";
        let checkpoints = self.checkpoints(want)?;
        checkpoints.try_into().map_err(|_| self.wrong(want))
    }

    /// All that is left: each checkpoint is a text, an empty line, and lines of signatures.
    fn checkpoints(&mut self, want: &'static str) -> Result<Vec<SignedCheckpoint>, EvidenceError> {
        let blank = self.next();
        let rest = std::mem::take(&mut self.rest);
        let (Some(""), Some(notes)) = (blank, rest.strip_suffix('\n')) else {
            return Err(self.wrong(want));
        };
        let parts: Vec<&str> = notes.split("\n\n").collect();
        let (pairs, left_over) = parts.as_chunks::<2>();
        if !left_over.is_empty() {
            return Err(self.wrong(want));
        }
        let parse = |[text, lines]: &[&str; 2]| {
            let note = format!("{text}\n\n{lines}\n");
            Ok(SignedCheckpoint::parse(note.as_bytes())?)
        };
        pairs.iter().map(parse).collect()
    }
}
