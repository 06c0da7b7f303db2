//! An insurer's plans, from one file, in TOML or as a table in CSV (`plans/table.rs`).
//!
//! ```toml
//! [[plan]]
//! name = "CONFORT-2"
//! kind = "responsible"            # or mandatory, solidarity, free
//! from = "2026-01-01"
//! to = "2026-12-31"
//! limits = { frame_most = "80.00", c = { least = "200.00", most = "600.00" } }
//!
//! [[plan.rule]]
//! codes = ["all"]
//! pays = "100 % with earlier"
//!
//! [[plan.rule]]
//! codes = ["VU1", "VU2", "VU3"]
//! pays = "80.00"
//! network = { name = "RESEAU-1", pays = "120.00" }
//! ```
//!
//! A later rule replaces what an earlier one says of the same code. Two plans may have one name
//! when they do not run on the same day: that is how a plan changes.

mod table;

use std::collections::BTreeMap;
use std::path::Path;

use proto::benefit::{
    Counting, Limits, NetworkName, NetworkRule, Percent, Period, Plan, PlanDraft, PlanError,
    PlanKind, PlanName, PlanRule, ProductClass, RenewalMonths, Rule, Span, Terms, class_of,
};
use proto::ids::{Cents, Day};
use proto::lpp::{GroupedCode, Slot};
use serde::Deserialize;
use thiserror::Error;

/// Longest file: some hundred plans with a rule for each code have half of it.
pub const PLANS_BYTES_MAX: usize = 1 << 20;
/// Most plans: an insurer with more has mistaken contracts for plans.
pub const PLANS_MAX: usize = 1_000;

/// What a rule may say, for errors.
const PAYS: &str = "`nothing`, `full`, `full up to E`, `P %`, `P % + E`, `E`, the last three also \
    with `with earlier` behind the rate or amount; P is 0 to 1000, E euros as 30.00";
/// What the codes of a rule may be, for errors.
const CODES: &str =
    "grouped codes of optics, or `all`, `class-a`, `class-b`, `frames-b`, `lenses-b`";

/// Why a file is none of plans. It names plan, field and limit.
#[derive(Debug, Error)]
pub enum PlansError {
    /// It is longer than may be.
    #[error("it has more than {PLANS_BYTES_MAX} bytes")]
    TooLong,
    /// It is no TOML, or has a field that is unknown, missing or of another kind.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// It is no CSV, or has a row with more or fewer cells than its first; the reader names the
    /// line.
    #[error("{0}")]
    Csv(Box<csv::Error>),
    /// The table has other columns, or in another order.
    #[error("the first line must be {}", table::COLUMNS)]
    Columns,
    /// A row says something else of its plan than the first row of that plan.
    #[error("{column} must be as in line {first}, which is of the same plan and first day")]
    Differs {
        /// Which column.
        column: &'static str,
        /// The line of the first row.
        first: u64,
    },
    /// What is wrong stands in this line of a table.
    #[error("line {line}: {error}")]
    Line {
        /// The line, from 1; the one on which the plan begins, if it is about the whole plan.
        line: u64,
        /// What is wrong.
        error: Box<PlansError>,
    },
    /// There are too many plans, or none.
    #[error("it must have 1 to {PLANS_MAX} plans, got {got}")]
    Count {
        /// Plans found.
        got: usize,
    },
    /// A name is none.
    #[error("plan {place}: name: {error}")]
    Name {
        /// Which plan of the file, from 1.
        place: usize,
        /// What is wrong.
        error: proto::benefit::PlanNameError,
    },
    /// A field is not what it must be.
    #[error("plan {plan}: {field} must be {want}")]
    Field {
        /// Which plan.
        plan: PlanName,
        /// Which field.
        field: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// The plan does not keep the rules of its kind.
    #[error("plan {plan}: {error}")]
    Plan {
        /// Which plan.
        plan: PlanName,
        /// Which rule.
        error: PlanError,
    },
    /// Two plans of one name run on the same day.
    #[error("plan {plan}: two of this name run on {day}", day = .day.to_iso())]
    Overlap {
        /// Which plan.
        plan: PlanName,
        /// A day on which both run.
        day: Day,
    },
}

impl PlansError {
    fn field(plan: &PlanName, field: &'static str, want: &'static str) -> Self {
        let plan = plan.clone();
        Self::Field { plan, field, want }
    }
}

/// The error with the line that it is about, unless it has one or the form has none to tell.
fn at(line: Option<u64>, error: PlansError) -> PlansError {
    match (line, error) {
        (None, error) | (_, error @ PlansError::Line { .. }) => error,
        (Some(line), error) => PlansError::Line {
            line,
            error: Box::new(error),
        },
    }
}

/// How a file of plans is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlansForm {
    /// Sections in TOML.
    Toml,
    /// A table in CSV.
    Csv,
}

impl PlansForm {
    /// The form of a file: CSV if its extension is `csv`, in whichever case, else TOML.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let table = path
            .extension()
            .is_some_and(|ext| ext.eq_ignore_ascii_case("csv"));
        if table { Self::Csv } else { Self::Toml }
    }

    fn read(self, text: &str) -> Result<Vec<PlanText>, PlansError> {
        match self {
            Self::Toml => match toml::from_str::<FileText>(text) {
                Ok(file) => Ok(file.plan),
                Err(error) => Err(PlansError::Toml(Box::new(error))),
            },
            Self::Csv => table::plans(text),
        }
    }
}

/// An insurer's plans, each name with its periods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plans {
    names: Vec<PlanName>,
    /// For each name, in their order, its plans by their first day.
    plans: Vec<Vec<Plan>>,
}

impl Plans {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`PlansError`], see its variants.
    pub fn parse(text: &str, form: PlansForm) -> Result<Self, PlansError> {
        if text.len() > PLANS_BYTES_MAX {
            return Err(PlansError::TooLong);
        }
        let texts = form.read(text)?;
        let got = texts.len();
        if !(1..=PLANS_MAX).contains(&got) {
            return Err(PlansError::Count { got });
        }
        let mut named: BTreeMap<PlanName, Vec<Plan>> = BTreeMap::new();
        for (place, plan) in (1..).zip(&texts) {
            let name: PlanName = match plan.name.parse() {
                Ok(name) => name,
                Err(error) => return Err(PlansError::Name { place, error }),
            };
            let read = plan.read(&name).map_err(|error| at(plan.line, error))?;
            named.entry(name).or_default().push(read);
        }
        let mut plans = Self::default();
        for (name, mut periods) in named {
            periods.sort_by_key(|plan| plan.valid().from);
            refuse_overlap(&name, &periods).map_err(|error| at(line_of(&texts, &error), error))?;
            plans.names.push(name);
            plans.plans.push(periods);
        }
        Ok(plans)
    }

    /// How many names there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no plan.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The networks that the plans name, some perhaps several times.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkName> {
        self.plans.iter().flatten().flat_map(Plan::networks)
    }

    /// The place of a name, by which contracts refer to it.
    #[must_use]
    pub fn place(&self, name: &PlanName) -> Option<u16> {
        let place = self.names.binary_search(name).ok()?;
        u16::try_from(place).ok()
    }

    /// What the plan at a place gives on a day for a code, to a contract with these rights; `None`
    /// when it says nothing of the code, or does not run on this day.
    #[must_use]
    pub fn terms(&self, place: u16, code: GroupedCode, rights: Period, day: Day) -> Option<Terms> {
        let periods = self.plans.get(usize::from(place))?;
        let plan = periods.iter().find(|plan| plan.valid().contains(day))?;
        plan.terms(code, rights)
    }
}

fn refuse_overlap(name: &PlanName, periods: &[Plan]) -> Result<(), PlansError> {
    let pairs = periods.iter().zip(periods.iter().skip(1));
    for (earlier, later) in pairs {
        if let Some(both) = earlier.valid().within(later.valid()) {
            let (plan, day) = (name.clone(), both.from);
            return Err(PlansError::Overlap { plan, day });
        }
    }
    Ok(())
}

/// The line on which the later of two plans begins that run on one day.
fn line_of(texts: &[PlanText], error: &PlansError) -> Option<u64> {
    let PlansError::Overlap { plan, day } = error else {
        return None;
    };
    let later = |text: &&PlanText| text.name == plan.as_str() && text.from == day.to_iso();
    texts.iter().find(later)?.line
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    plan: Vec<PlanText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    name: String,
    kind: KindText,
    from: String,
    to: String,
    limits: Option<LimitsText>,
    renewal_months: Option<MonthsText>,
    rule: Vec<RuleText>,
    /// Where it begins, if the form has lines to tell.
    #[serde(skip)]
    line: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindText {
    Mandatory,
    Responsible,
    Solidarity,
    Free,
}

/// What is absent is as the regulation has it (R. 871-2).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsText {
    frame_most: Option<String>,
    a: Option<SpanText>,
    b: Option<SpanText>,
    c: Option<SpanText>,
    d: Option<SpanText>,
    e: Option<SpanText>,
    f: Option<SpanText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanText {
    least: String,
    most: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MonthsText {
    adult: u16,
    child: u16,
    frame_fit: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    codes: Vec<String>,
    pays: String,
    network: Option<NetworkText>,
    /// Where it stands, if the form has lines to tell.
    #[serde(skip)]
    line: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkText {
    name: String,
    pays: String,
}

impl PlanText {
    fn read(&self, name: &PlanName) -> Result<Plan, PlansError> {
        let day = |text: &str, field| {
            let day = text.parse::<Day>();
            day.map_err(|_| PlansError::field(name, field, "YYYY-MM-DD"))
        };
        let limits = self.limits.as_ref().map(|limits| limits.read(name));
        let mut rules = BTreeMap::new();
        for rule in &self.rule {
            rules.extend(rule.read(name).map_err(|error| at(rule.line, error))?);
        }
        let draft = PlanDraft {
            name: name.clone(),
            kind: self.kind.into(),
            valid: Period {
                from: day(&self.from, "from")?,
                to: day(&self.to, "to")?,
            },
            rules,
            limits: limits.transpose()?,
            renewal: self.renewal_months.as_ref().map_or(
                RenewalMonths::PUBLISHED,
                |MonthsText {
                     adult,
                     child,
                     frame_fit,
                 }| RenewalMonths {
                    adult: *adult,
                    child: *child,
                    frame_fit: *frame_fit,
                },
            ),
        };
        Plan::new(draft).map_err(|error| PlansError::Plan {
            plan: name.clone(),
            error,
        })
    }
}

impl From<KindText> for PlanKind {
    fn from(kind: KindText) -> Self {
        match kind {
            KindText::Mandatory => Self::Mandatory,
            KindText::Responsible => Self::Responsible,
            KindText::Solidarity => Self::Solidarity,
            KindText::Free => Self::Free,
        }
    }
}

impl LimitsText {
    fn read(&self, plan: &PlanName) -> Result<Limits, PlansError> {
        let amount = |field, text: &str| {
            let want = "an amount in euros as 420.00";
            euros(text).ok_or_else(|| PlansError::field(plan, field, want))
        };
        let mut limits = Limits::RESPONSIBLE;
        let own = [
            ("limits a", &self.a),
            ("limits b", &self.b),
            ("limits c", &self.c),
            ("limits d", &self.d),
            ("limits e", &self.e),
            ("limits f", &self.f),
        ];
        for (span, (field, own)) in limits.spans.iter_mut().zip(own) {
            if let Some(SpanText { least, most }) = own {
                *span = Span {
                    least: amount(field, least)?,
                    most: amount(field, most)?,
                };
            }
        }
        if let Some(most) = &self.frame_most {
            limits.frame_most = amount("limits frame_most", most)?;
        }
        Ok(limits)
    }
}

impl RuleText {
    /// What the rule says, for each of its codes.
    fn read(&self, plan: &PlanName) -> Result<BTreeMap<GroupedCode, PlanRule>, PlansError> {
        let wrong = |field, want| PlansError::field(plan, field, want);
        let rule = rule_of(&self.pays).ok_or_else(|| wrong("pays", PAYS))?;
        let network = self.network.as_ref().map(|network| network.read(plan));
        let network = network.transpose()?;
        let mut rules = BTreeMap::new();
        for word in &self.codes {
            for code in codes_of(word).ok_or_else(|| wrong("codes", CODES))? {
                let network = network.clone();
                rules.insert(code, PlanRule { rule, network });
            }
        }
        Ok(rules)
    }
}

impl NetworkText {
    fn read(&self, plan: &PlanName) -> Result<NetworkRule, PlansError> {
        let wrong = |field, want| PlansError::field(plan, field, want);
        let want = "1 to 32 characters out of A-Z a-z 0-9 . - _";
        let name = self.name.parse();
        let name = name.map_err(|_| wrong("network name", want))?;
        let rule = rule_of(&self.pays).ok_or_else(|| wrong("network pays", PAYS))?;
        Ok(NetworkRule { name, rule })
    }
}

/// An amount in its one spelling.
fn euros(text: &str) -> Option<Cents> {
    let amount: Cents = text.parse().ok()?;
    (amount.to_euros() == text).then_some(amount)
}

/// Reads what a rule pays, see [`PAYS`].
fn rule_of(text: &str) -> Option<Rule> {
    match text {
        "nothing" => return Some(Rule::Nothing),
        "full" => return Some(Rule::Full { limit: None }),
        _ => {}
    }
    if let Some(limit) = text.strip_prefix("full up to ") {
        let limit = Some(euros(limit)?);
        return Some(Rule::Full { limit });
    }
    let (text, plus) = match text.split_once(" + ") {
        Some((text, plus)) => (text, Some(euros(plus)?)),
        None => (text, None),
    };
    let (text, counting) = match text.strip_suffix(" with earlier") {
        Some(text) => (text, Counting::WithEarlier),
        None => (text, Counting::Alone),
    };
    if let Some(percent) = text.strip_suffix(" %") {
        let number: u16 = percent.parse().ok()?;
        return (number.to_string() == percent).then_some(Rule::Rate {
            percent: Percent::new(number).ok()?,
            counting,
            plus: plus.unwrap_or_default(),
        });
    }
    let most = euros(text)?;
    plus.is_none().then_some(Rule::Cap { most, counting })
}

/// The codes that a word of [`CODES`] stands for; `None` when it is no such word.
fn codes_of(word: &str) -> Option<Vec<GroupedCode>> {
    let class = |class, code: &GroupedCode| class_of(*code) == Some(class);
    let frame = |code: &GroupedCode| code.slot(None) == Ok(Slot::Frame);
    let all = GroupedCode::all();
    Some(match word {
        "all" => all.collect(),
        "class-a" => all.filter(|code| class(ProductClass::A, code)).collect(),
        "class-b" => all.filter(|code| class(ProductClass::B, code)).collect(),
        "frames-b" => all
            .filter(|code| class(ProductClass::B, code) && frame(code))
            .collect(),
        "lenses-b" => all
            .filter(|code| class(ProductClass::B, code) && code.is_lens())
            .collect(),
        code => vec![code.parse().ok()?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(percent: u16, counting: Counting, plus: u64) -> Rule {
        Rule::Rate {
            percent: Percent::new(percent).unwrap(),
            counting,
            plus: Cents::new(plus),
        }
    }

    #[test]
    fn a_rule_has_one_spelling() {
        use Counting::{Alone, WithEarlier};
        let cap = |most, counting| Rule::Cap {
            most: Cents::new(most),
            counting,
        };
        for (text, rule) in [
            ("nothing", Rule::Nothing),
            ("full", Rule::Full { limit: None }),
            (
                "full up to 30.00",
                Rule::Full {
                    limit: Some(Cents::new(3_000)),
                },
            ),
            ("60 %", rate(60, Alone, 0)),
            ("100 % with earlier", rate(100, WithEarlier, 0)),
            ("100 % with earlier + 10.00", rate(100, WithEarlier, 1_000)),
            ("90 % + 0.05", rate(90, Alone, 5)),
            ("120.00", cap(12_000, Alone)),
            ("120.00 with earlier", cap(12_000, WithEarlier)),
        ] {
            assert_eq!(rule_of(text), Some(rule), "{text}");
        }
        for wrong in [
            "",
            "60%",
            "060 %",
            "+60 %",
            "1001 %",
            "-1 %",
            "120",
            "120,00",
            "120.0",
            "120.00 + 1.00",
            "full up to",
            "full up to 30",
            "nothing ",
            "Full",
            "60 % + 1.00 with earlier",
            "1e2 %",
        ] {
            assert_eq!(rule_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_word_for_codes_stands_for_those_of_its_class() {
        let names = |word| -> Vec<&str> {
            codes_of(word)
                .unwrap()
                .iter()
                .map(|code| code.as_str())
                .collect()
        };
        assert_eq!(names("frames-b"), ["M03", "M04"]);
        assert_eq!(names("lenses-b").len(), 14);
        assert_eq!(names("all").len(), 32);
        assert_eq!(names("M01"), ["M01"]);
        assert_eq!(codes_of("frames"), None);
    }
}
