//! Plans as a table: the CSV form of what the TOML form says in sections.
//!
//! ```text
//! plan;kind;from;to;limits;frame_most;a;…;f;adult_months;…;codes;pays;network;network_pays
//! CONFORT;responsible;2026-01-01;2026-12-31;law;80.00;;…;;;…;M03 M04;60.00;RESEAU-1;90.00
//! ```
//!
//! A row is a rule. What it says of the plan itself is the same in each row of that plan, so that
//! rows can be sorted and filtered. Rules of one plan apply in the order of their rows.

use std::collections::BTreeMap;

use proto::benefit::PlanName;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as Unnamed;

use super::{CODES, KindText, LimitsText, MonthsText, NetworkText, PlanText, RuleText, SpanText};
use super::{PlansError, at};

/// The first line, word for word: a table with a column more or less is another table.
pub(super) const COLUMNS: &str = "plan;kind;from;to;limits;frame_most;a;b;c;d;e;f;\
    adult_months;child_months;frame_fit_months;codes;pays;network;network_pays";

/// Reads the plans of a table, each with the lines of its first row and of its rules.
pub(super) fn plans(text: &str) -> Result<Vec<PlanText>, PlansError> {
    // A reader of CSV counts lines wrongly behind CR LF, and spreadsheets begin with a mark.
    let text = text.replace("\r\n", "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b';')
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let unread = |error| PlansError::Csv(Box::new(error));
    let header = reader.headers().map_err(unread)?.clone();
    if !header.iter().eq(COLUMNS.split(';')) {
        return Err(PlansError::Columns);
    }
    let mut table = Table::default();
    for record in reader.records() {
        let record = record.map_err(unread)?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row<'_> = record.deserialize(Some(&header)).map_err(unread)?;
        table
            .add(line, &row)
            .map_err(|error| at(Some(line), error))?;
    }
    Ok(table.plans)
}

/// A line of the table; an empty cell is what the TOML form leaves out.
#[derive(Deserialize)]
struct Row<'a> {
    plan: &'a str,
    kind: &'a str,
    from: &'a str,
    to: &'a str,
    limits: &'a str,
    frame_most: &'a str,
    a: &'a str,
    b: &'a str,
    c: &'a str,
    d: &'a str,
    e: &'a str,
    f: &'a str,
    adult_months: &'a str,
    child_months: &'a str,
    frame_fit_months: &'a str,
    codes: &'a str,
    pays: &'a str,
    network: &'a str,
    network_pays: &'a str,
}

/// The columns that say something of the plan itself, other than which plan it is.
type OwnCells = [(&'static str, String); 13];

/// The plans of the rows so far.
#[derive(Default)]
struct Table {
    plans: Vec<PlanText>,
    /// By name and first day: the place in `plans`, the line and the cells of the first row.
    first_rows: BTreeMap<(String, String), (usize, u64, OwnCells)>,
}

impl Table {
    fn add(&mut self, line: u64, row: &Row<'_>) -> Result<(), PlansError> {
        let key = (row.plan.to_owned(), row.from.to_owned());
        let cells = row.own_cells();
        let place = match self.first_rows.get(&key) {
            None => {
                let place = self.plans.len();
                self.plans.push(row.plan_text(place, line)?);
                self.first_rows.insert(key, (place, line, cells));
                place
            }
            Some((place, first, known)) => {
                let mut both = known.iter().zip(&cells);
                if let Some(((column, _), _)) = both.find(|(known, cell)| known != cell) {
                    let (column, first) = (*column, *first);
                    return Err(PlansError::Differs { column, first });
                }
                *place
            }
        };
        let name = row.name(place)?;
        let rule = row.rule_text(&name, line)?;
        if let Some(plan) = self.plans.get_mut(place) {
            plan.rule.push(rule);
        }
        Ok(())
    }
}

impl Row<'_> {
    fn name(&self, place: usize) -> Result<PlanName, PlansError> {
        let place = place + 1;
        let name = self.plan.parse();
        name.map_err(|error| PlansError::Name { place, error })
    }

    fn own_cells(&self) -> OwnCells {
        [
            ("kind", self.kind),
            ("to", self.to),
            ("limits", self.limits),
            ("frame_most", self.frame_most),
            ("a", self.a),
            ("b", self.b),
            ("c", self.c),
            ("d", self.d),
            ("e", self.e),
            ("f", self.f),
            ("adult_months", self.adult_months),
            ("child_months", self.child_months),
            ("frame_fit_months", self.frame_fit_months),
        ]
        .map(|(column, cell)| (column, cell.to_owned()))
    }

    /// The plan that begins with this row, without a rule yet.
    fn plan_text(&self, place: usize, line: u64) -> Result<PlanText, PlansError> {
        let name = self.name(place)?;
        Ok(PlanText {
            name: self.plan.to_owned(),
            kind: self.kind_text(&name)?,
            from: self.from.to_owned(),
            to: self.to.to_owned(),
            limits: self.limits_text(&name)?,
            renewal_months: self.months_text(&name)?,
            rule: Vec::new(),
            line: Some(line),
        })
    }

    fn kind_text(&self, plan: &PlanName) -> Result<KindText, PlansError> {
        let read = KindText::deserialize(self.kind.into_deserializer());
        let want = "mandatory, responsible, solidarity or free";
        read.map_err(|_: Unnamed| PlansError::field(plan, "kind", want))
    }

    fn limits_text(&self, plan: &PlanName) -> Result<Option<LimitsText>, PlansError> {
        let span = |field, cell: &str| match (cell, cell.split_once(" to ")) {
            ("", _) => Ok(None),
            (_, Some((least, most))) => Ok(Some(SpanText {
                least: least.to_owned(),
                most: most.to_owned(),
            })),
            _ => Err(PlansError::field(plan, field, "as `200.00 to 600.00`")),
        };
        let own = LimitsText {
            frame_most: (!self.frame_most.is_empty()).then(|| self.frame_most.to_owned()),
            a: span("a", self.a)?,
            b: span("b", self.b)?,
            c: span("c", self.c)?,
            d: span("d", self.d)?,
            e: span("e", self.e)?,
            f: span("f", self.f)?,
        };
        let cells = [
            self.frame_most,
            self.a,
            self.b,
            self.c,
            self.d,
            self.e,
            self.f,
        ];
        let none = cells.iter().all(|cell| cell.is_empty());
        match self.limits {
            "law" => Ok(Some(own)),
            "" if none => Ok(None),
            _ => {
                let want = "`law`, or empty together with frame_most and a to f";
                Err(PlansError::field(plan, "limits", want))
            }
        }
    }

    fn months_text(&self, plan: &PlanName) -> Result<Option<MonthsText>, PlansError> {
        let months = |field, cell: &str| {
            let want = "a number of months, or empty together with the other two";
            let number: Option<u16> = cell.parse().ok();
            let number = number.filter(|number| number.to_string() == cell);
            number.ok_or_else(|| PlansError::field(plan, field, want))
        };
        let cells = [self.adult_months, self.child_months, self.frame_fit_months];
        if cells.iter().all(|cell| cell.is_empty()) {
            return Ok(None);
        }
        Ok(Some(MonthsText {
            adult: months("adult_months", self.adult_months)?,
            child: months("child_months", self.child_months)?,
            frame_fit: months("frame_fit_months", self.frame_fit_months)?,
        }))
    }

    fn rule_text(&self, plan: &PlanName, line: u64) -> Result<RuleText, PlansError> {
        let codes: Vec<String> = self.codes.split(' ').map(str::to_owned).collect();
        if self.codes.is_empty() {
            return Err(PlansError::field(plan, "codes", CODES));
        }
        let everywhere = self.network.is_empty() && self.network_pays.is_empty();
        let network = (!everywhere).then(|| NetworkText {
            name: self.network.to_owned(),
            pays: self.network_pays.to_owned(),
        });
        Ok(RuleText {
            codes,
            pays: self.pays.to_owned(),
            network,
            line: Some(line),
        })
    }
}
