//! The contracts that a payer's node holds in memory, found by contract key.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proto::benefit::{Period, PlanName};
use proto::contracts::{ContractRecord, ContractsError, ContractsReader, LINE_BYTES_MAX, Line};
use proto::identity::PayerNumber;
use proto::ids::{ContractKey, Day, Month};
use proto::roster::Roster;
use proto::token::ContractToken;
use thiserror::Error;
use zeroize::Zeroize as _;

use super::Plans;

/// Most contracts: more than anybody in France has, and some 9 GB of memory.
pub const CONTRACTS_MAX: usize = 100_000_000;

/// Why a contracts file cannot be used. Nothing of it but a plan's name is quoted.
#[derive(Debug, Error)]
pub enum ContractsLoadError {
    /// The system says no.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// Others than the owner can read or write it.
    #[error("its mode is {mode:o}, so that others can get at it; it must be 600")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It is none, or not this payer's.
    #[error(transparent)]
    Content(#[from] ContractsError),
    /// A contract is under a plan that there is not.
    #[error("a contract has the plan {plan}, which is not among the plans")]
    PlanUnknown {
        /// The plan's name.
        plan: PlanName,
    },
    /// It has too many.
    #[error("it has more than {CONTRACTS_MAX} contracts")]
    TooMany,
}

impl From<io::Error> for ContractsLoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// One contract, in 88 bytes.
#[derive(Debug)]
pub(super) struct Held {
    key: ContractKey,
    pub(super) token: ContractToken,
    pub(super) rights: Period,
    /// Its place among the plans.
    pub(super) plan: u16,
    /// The months in which the person completes 6 and 16 years, if they were to come when the list
    /// was imported.
    pub(super) turning: [Option<Month>; 2],
}

/// What is held under a contract key.
#[derive(Debug)]
pub(super) enum Holding<'a> {
    /// No contract.
    Nothing,
    /// One or more, none with rights on the day; one of them.
    Closed(&'a Held),
    /// The one with rights on the day.
    Open(&'a Held),
}

/// All contracts of a payer, sorted by contract key: found in some twenty comparisons.
#[derive(Debug, Default)]
pub struct Contracts(Vec<Held>);

impl Contracts {
    /// Reads the file that the import wrote. It must be this payer's, of this roster, and readable
    /// by its owner alone. Blocks for seconds when it has a million contracts.
    ///
    /// # Errors
    /// [`ContractsLoadError`], see its variants.
    pub fn load(
        path: &Path,
        roster: &Roster,
        payer: &PayerNumber,
        plans: &Plans,
    ) -> Result<Self, ContractsLoadError> {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ContractsLoadError::Open { mode });
        }
        let mut file = BufReader::new(file);
        let mut reader = ContractsReader::default();
        let mut held = Vec::new();
        let mut bytes = Vec::with_capacity(LINE_BYTES_MAX);
        loop {
            bytes.zeroize();
            (&mut file)
                .take(LINE_BYTES_MAX as u64)
                .read_until(b'\n', &mut bytes)?;
            if bytes.is_empty() {
                reader.finish()?;
                return Ok(Self::sorted(held));
            }
            let text = bytes.strip_suffix(b"\n");
            let text = text.and_then(|line| str::from_utf8(line).ok());
            match reader.line(text.ok_or(reader.unreadable())?)? {
                Line::Header(header) => header.check(roster, payer)?,
                Line::Record(_) if held.len() == CONTRACTS_MAX => {
                    return Err(ContractsLoadError::TooMany);
                }
                Line::Record(record) => held.push(hold(record, plans)?),
                Line::Head | Line::End => {}
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is held under a key on a day. Of two contracts that both run the one that began last
    /// counts.
    pub(super) fn find(&self, key: &ContractKey, day: Day) -> Holding<'_> {
        let first = self.0.partition_point(|held| held.key < *key);
        let same = self
            .0
            .iter()
            .skip(first)
            .take_while(|held| held.key == *key);
        let mut found = Holding::Nothing;
        for held in same {
            if held.rights.contains(day) {
                found = Holding::Open(held);
            } else if matches!(found, Holding::Nothing) {
                found = Holding::Closed(held);
            }
        }
        found
    }

    fn sorted(mut held: Vec<Held>) -> Self {
        held.sort_unstable_by_key(|held| (held.key, held.rights.from));
        held.shrink_to_fit();
        Self(held)
    }
}

fn hold(record: ContractRecord, plans: &Plans) -> Result<Held, ContractsLoadError> {
    let Some(plan) = plans.place(&record.plan) else {
        let plan = record.plan;
        return Err(ContractsLoadError::PlanUnknown { plan });
    };
    Ok(Held {
        key: record.token.contract_key(),
        rights: Period {
            from: record.rights_from,
            to: record.rights_to,
        },
        token: record.token,
        plan,
        turning: record.turning,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_takes_as_much_memory_as_the_page_says() {
        assert_eq!(size_of::<Held>(), 88);
    }
}
