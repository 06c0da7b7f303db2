//! `lpp_fiche_tot`: one record for each product.

use std::collections::BTreeMap;

use proto::ids::Day;

use super::dbf::{Column, Record, Table};
use super::product::LEVELS;
use super::product::{Product, Tariff};
use super::{CatalogueFileError, SkipReason};

/// The levels of a product's place in the nomenclature's tree, from the title down.
pub(super) const BRANCH: [&str; LEVELS] = [
    "ARBO1", "ARBO2", "ARBO3", "ARBO4", "ARBO5", "ARBO6", "ARBO7", "ARBO8", "ARBO9", "ARBO10",
];
/// Its rank there.
pub(super) const RANK: &str = "PLACE";

/// Where a product's fields stand. Those of the tree may be absent.
pub(super) struct Fiche {
    code: Column,
    label: Column,
    age_max: Column,
    end: Column,
    branch: [Option<Column>; LEVELS],
    rank: Option<Column>,
}

impl Fiche {
    /// Finds the columns.
    pub(super) fn of(table: &Table<'_>) -> Result<Self, CatalogueFileError> {
        let mut branch = [None; LEVELS];
        for (column, name) in branch.iter_mut().zip(BRANCH) {
            *column = table.optional_column(name)?;
        }
        Ok(Self {
            code: table.column("CODE_TIPS")?,
            label: table.column("NOM_COURT")?,
            age_max: table.column("AGE_MAX")?,
            end: table.column("DATE_FIN")?,
            branch,
            rank: table.optional_column(RANK)?,
        })
    }

    /// A record with the tariff that its product has on a day.
    pub(super) fn product(
        &self,
        record: &Record<'_>,
        tariffs: &BTreeMap<String, Vec<Tariff>>,
        on: Day,
    ) -> Result<Product, SkipReason> {
        let code = record.text(self.code);
        let tariffs = tariffs.get(&code).ok_or(SkipReason::NoTariff)?;
        let (tariff, tariff_end) = in_force(tariffs, on)?;
        let optional = |column: Option<Column>| column.map(|column| record.text(column));
        Ok(Product {
            code,
            grouped_code: tariff.grouped_code.clone(),
            label: record.text(self.label),
            base: tariff.base.clone(),
            plv: tariff.plv.clone(),
            age_max: record.text(self.age_max),
            end: record.text(self.end),
            branch: self.branch.map(|level| optional(level).unwrap_or_default()),
            rank: optional(self.rank).unwrap_or_default(),
            tariff_end,
        })
    }
}

/// The latest of a product's tariffs that has started, and the day the product ends with it.
fn in_force(tariffs: &[Tariff], on: Day) -> Result<(&Tariff, Option<Day>), SkipReason> {
    let started = tariffs.iter().filter(|tariff| tariff.start <= on);
    let latest = started
        .max_by_key(|tariff| tariff.start)
        .ok_or(SkipReason::NoTariff)?;
    let is_last = tariffs.iter().all(|tariff| tariff.start <= latest.start);
    let last_day = latest.last_day.filter(|day| is_last || *day < on);
    Ok((latest, last_day.map(|day| day.plus(1))))
}
