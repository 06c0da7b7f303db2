//! Contracts and plans together: what the payer commits to for a contract on a day.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::benefit::{
    NETWORKS_BYTES_MAX, NetworkName, Networks, NetworksError, RenewalMonths, Rule, Terms,
};
use proto::identity::PayerNumber;
use proto::ids::{ContractKey, CoverageKey, Day, Finess, Month};
use proto::lpp::GroupedCode;
use proto::refusal::Reason;
use proto::renewal::free_again_on;
use proto::roster::Roster;
use proto::token::ContractToken;
use thiserror::Error;

use super::contracts::{Contracts, ContractsLoadError, Held, Holding};
use super::plans::{PLANS_BYTES_MAX, Plans, PlansError, PlansForm};
use super::quoter::COVERAGE_VALID_DAYS;

/// The files that a payer's node quotes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// What `vitrail contracts import` wrote; mode 0600.
    pub contracts: PathBuf,
    /// The plans; [`PlansForm::of`] its name says how they are written.
    pub plans: PathBuf,
    /// The shops of the networks that the plans name, in TOML; `None` when they name none.
    pub networks: Option<PathBuf>,
}

/// Why the files cannot be used. Each variant names the file.
#[derive(Debug, Error)]
pub enum BookError {
    /// The plans or the networks cannot be read.
    #[error("{path}: {kind}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The plans are not as they must be.
    #[error("{path}: {error}", path = path.display())]
    Plans {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<PlansError>,
    },
    /// The networks are not as they must be.
    #[error("{path}: {error}", path = path.display())]
    Networks {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<NetworksError>,
    },
    /// A plan pays more in a network whose shops nobody has listed.
    #[error("{path}: network {name} is not among those of the networks file", path = path.display())]
    NetworkUnlisted {
        /// The file of the plans.
        path: PathBuf,
        /// Which network.
        name: NetworkName,
    },
    /// The contracts are not as they must be.
    #[error("{path}: {error}", path = path.display())]
    Contracts {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<ContractsLoadError>,
    },
}

/// What a payer is ready to sign for one grouped code of one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// What it pays.
    pub terms: Terms,
    /// The last day for which it says so.
    pub until: Day,
}

/// What a payer thinks of a contract and some grouped codes.
#[derive(Debug)]
pub struct Opinion {
    /// The token of the contract; `None` when there is no such contract.
    pub token: Option<ContractToken>,
    /// For each code, in order, a commitment, or why there is none.
    pub codes: Vec<(GroupedCode, Result<Commitment, Reason>)>,
    /// Of the networks that the terms name, those that the asking shop is in, ascending.
    pub networks: Vec<NetworkName>,
}

impl Opinion {
    /// The coverage keys that were asked about, as far as the payer can tell them.
    #[must_use]
    pub fn coverage_keys(&self) -> Vec<CoverageKey> {
        let Some(token) = &self.token else {
            return Vec::new();
        };
        let codes = self.codes.iter();
        codes.map(|(code, _)| token.coverage_key(*code)).collect()
    }

    /// Why nothing at all is handed out, if so: the first reason.
    #[must_use]
    pub fn refusal(&self) -> Option<Reason> {
        let mut reasons = self.codes.iter().map(|(_, said)| said.as_ref().err());
        let first = reasons.clone().next().flatten().copied();
        reasons.all(|reason| reason.is_some()).then_some(first)?
    }
}

/// A payer's contracts and plans, as they were read together.
#[derive(Debug, Default)]
pub struct Book {
    plans: Plans,
    networks: Networks,
    contracts: Contracts,
}

impl Book {
    /// Reads the files. Blocks for seconds when there are a million contracts.
    ///
    /// # Errors
    /// [`BookError`], which names the file.
    pub fn load(
        sources: &Sources,
        roster: &Roster,
        payer: &PayerNumber,
    ) -> Result<Self, BookError> {
        let path = || sources.plans.clone();
        let too_long = || BookError::Plans {
            path: path(),
            error: Box::new(PlansError::TooLong),
        };
        let text = read_text(&sources.plans, PLANS_BYTES_MAX)?.ok_or_else(too_long)?;
        let form = PlansForm::of(&sources.plans);
        let plans = Plans::parse(&text, form).map_err(|error| BookError::Plans {
            path: path(),
            error: Box::new(error),
        })?;
        let networks = networks(sources.networks.as_deref())?;
        if let Some(name) = plans.networks().find(|name| !networks.lists(name)) {
            let (path, name) = (path(), name.clone());
            return Err(BookError::NetworkUnlisted { path, name });
        }
        let contracts = Contracts::load(&sources.contracts, roster, payer, &plans);
        let contracts = contracts.map_err(|error| BookError::Contracts {
            path: sources.contracts.clone(),
            error: Box::new(error),
        })?;
        Ok(Self {
            plans,
            networks,
            contracts,
        })
    }

    /// How many contracts there are.
    #[must_use]
    pub const fn contracts(&self) -> usize {
        self.contracts.len()
    }

    /// How many names of plans there are.
    #[must_use]
    pub const fn plans(&self) -> usize {
        self.plans.len()
    }

    /// What the payer thinks of a contract on a day. Whether a contract has ended or was never
    /// there is not told apart.
    #[must_use]
    pub fn opinion(&self, contract: &ContractKey, codes: &[GroupedCode], today: Day) -> Opinion {
        let (held, open) = match self.contracts.find(contract, today) {
            Holding::Nothing => (None, false),
            Holding::Closed(held) => (Some(held), false),
            Holding::Open(held) => (Some(held), true),
        };
        let said = |code: &GroupedCode| {
            let said = match held.filter(|_| open) {
                None => Err(Reason::ContractEnded),
                Some(held) => self
                    .commitment(held, *code, today)
                    .ok_or(Reason::NotCovered),
            };
            (*code, said)
        };
        Opinion {
            token: held.map(|held| held.token.clone()),
            codes: codes.iter().map(said).collect(),
            networks: Vec::new(),
        }
    }

    /// Of the networks that an opinion's terms name, those that a shop is in on a day; ascending.
    #[must_use]
    pub fn networks_of(&self, opinion: &Opinion, shop: &Finess, today: Day) -> Vec<NetworkName> {
        let terms = opinion
            .codes
            .iter()
            .filter_map(|(_, said)| said.as_ref().ok());
        let named = terms.filter_map(|commitment| commitment.terms.network.as_ref());
        let names = named.map(|network| &network.name);
        let own: BTreeSet<&NetworkName> = names
            .filter(|name| self.networks.has(name, shop, today))
            .collect();
        own.into_iter().cloned().collect()
    }

    fn commitment(&self, held: &Held, code: GroupedCode, today: Day) -> Option<Commitment> {
        let terms = self.plans.terms(held.plan, code, held.rights, today)?;
        let pays = terms.rule != Rule::Nothing || terms.network.is_some();
        let mut terms = pays.then_some(terms)?;
        terms.renewal = renewal_at(terms.renewal, held.turning, Month::of(today));
        let ages = held.turning.iter().flatten();
        let ages = ages.filter(|month| Month::of(today) <= **month);
        let until = ages
            .map(|month| last_day(*month))
            .chain([terms.rights.to, today.plus(COVERAGE_VALID_DAYS)])
            .min()?;
        Some(Commitment { terms, until })
    }
}

/// The text of a file; `None` when it is longer than it may be.
fn read_text(path: &Path, bytes_max: usize) -> Result<Option<String>, BookError> {
    let length = fs::metadata(path).map(|found| found.len());
    if length.is_ok_and(|bytes| bytes > bytes_max as u64) {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(|error| BookError::Read {
        path: path.to_owned(),
        kind: error.kind(),
    });
    text.map(Some)
}

/// The networks of a file; none without one.
fn networks(path: Option<&Path>) -> Result<Networks, BookError> {
    let Some(path) = path else {
        return Ok(Networks::default());
    };
    let text = read_text(path, NETWORKS_BYTES_MAX)?;
    let read = text.map_or(Err(NetworksError::TooLong), |text| Networks::parse(&text));
    read.map_err(|error| BookError::Networks {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// The renewal times that are still possible at the person's age. A payer knows it by two months;
/// in such a month itself both ages are possible, and the card at the counter tells the day.
fn renewal_at(months: RenewalMonths, turning: [Option<Month>; 2], current: Month) -> RenewalMonths {
    let [past_six, past_sixteen] = turning.map(|month| month.is_none_or(|month| month < current));
    let child = if past_sixteen {
        months.adult
    } else {
        months.child
    };
    let frame_fit = if past_six { child } else { months.frame_fit };
    RenewalMonths {
        child,
        frame_fit,
        ..months
    }
}

/// The last day of a month.
fn last_day(month: Month) -> Day {
    // A month of four digits with a first day is always a date.
    let first: Day = format!("{month}-01").parse().unwrap_or_default();
    let next = free_again_on(first, 1);
    Day::new(next.get().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Option<Month> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_last_day_of_a_month_is_the_one_before_the_next() {
        for (month, day) in [
            ("2026-02", "2026-02-28"),
            ("2028-02", "2028-02-29"),
            ("2026-12", "2026-12-31"),
        ] {
            assert_eq!(last_day(month.parse().unwrap()).to_iso(), day);
        }
    }

    #[test]
    fn what_a_person_is_too_old_for_is_not_committed_to() {
        let at = |turning, current: &str| {
            let current = current.parse().unwrap();
            let months = renewal_at(RenewalMonths::PUBLISHED, turning, current);
            (months.adult, months.child, months.frame_fit)
        };
        let adult = [None, None];
        let young = [month("2029-06"), month("2039-06")];
        let schoolchild = [None, month("2031-04")];
        assert_eq!(at(adult, "2026-11"), (24, 24, 24));
        assert_eq!(at(young, "2026-11"), (24, 12, 6));
        assert_eq!(at(young, "2029-06"), (24, 12, 6));
        assert_eq!(at(young, "2029-07"), (24, 12, 12));
        assert_eq!(at(schoolchild, "2031-04"), (24, 12, 12));
        assert_eq!(at(schoolchild, "2031-05"), (24, 24, 24));
    }
}
