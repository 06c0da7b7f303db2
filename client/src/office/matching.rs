//! Whose claims they are: coverage keys found among those of the own contracts.

use std::collections::{HashMap, HashSet};

use proto::contracts::HEADER_LINES;
use proto::ids::CoverageKey;
use proto::lpp::GroupedCode;
use proto::token::SealingSecret;

use super::listing::Listing;
use crate::contracts::{ContractRecord, ContractsFile, ContractsFileError, Reference};
use proto::ids::Month;

/// A contract that a claim rests on.
#[derive(Debug, Clone)]
pub struct Matched {
    /// Its line in the contracts file, counted from 1.
    pub line: u64,
    /// The insurer's own reference, if the list of members had one.
    pub reference: Option<Reference>,
    /// The months in which the person turns 6 and 16; `None` for those that were past at the import.
    pub turning: [Option<Month>; 2],
    pub(super) secret: SealingSecret,
}

/// Finds the contracts of the coverages that the listed claims rest on. The file is read a line at a
/// time, and no further than the last contract that is needed; each contract costs some thirty
/// hashes, about 10 us. `progress` is told after every thousand contracts how many were read.
///
/// # Errors
/// [`ContractsFileError`]: a part of the file is no answer, so then there is none.
pub fn match_contracts(
    listing: &Listing,
    file: ContractsFile,
    progress: &mut dyn FnMut(u64),
) -> Result<HashMap<CoverageKey, Matched>, ContractsFileError> {
    let coverages = listing.entries.iter().flat_map(|listed| &listed.coverages);
    let mut wanted: HashSet<CoverageKey> = coverages.map(|coverage| coverage.key).collect();
    let (mut found, mut read) = (HashMap::new(), 0);
    for record in file {
        if wanted.is_empty() {
            break;
        }
        let record = record?;
        read += 1;
        if read % 1000 == 0 {
            progress(read);
        }
        for key in GroupedCode::all().map(|code| record.token.coverage_key(code)) {
            if wanted.remove(&key) {
                found.insert(key, matched(&record, HEADER_LINES + read));
            }
        }
    }
    progress(read);
    Ok(found)
}

fn matched(record: &ContractRecord, line: u64) -> Matched {
    Matched {
        line,
        reference: record.reference.clone(),
        turning: record.turning,
        secret: record.token.sealing_secret(),
    }
}
