//! `schema`: the form of each answer with `-o json`, from the types that are printed.

use clap::Args;
use client::failure::FailureKind;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::agent::{EndedReport, ServingReport};
use super::config::ConfigReport;
use super::contracts::ContractsReport;
use super::disclosure::{DisclosureReport, MadeReport};
use super::doctor::DoctorReport;
use super::incident::IncidentReport;
use super::manual::ManualReport;
use super::queue::{ListReport, SendReport};
use super::report::evidence::{AuditFailedReport, EvidenceReport, ForeignSlotsReport};
use super::report::life::StatusReport as LifeReport;
use super::report::office::{CheckedReport, ClaimsReport, SettledReport, StatementReport};
use super::report::{
    AuditReport, ClaimReport, CoverReport, FetchReport, ImportReport, IssueReport, ItemsReport,
    KeyReport, QuoteReport, ReceiptReport, Report, StatusReport,
};
use super::session::SessionReport;
use super::{Answer, Failed};

/// Arguments of `schema`.
#[derive(Args)]
pub(super) struct SchemaArgs {
    /// The command, such as `check` or `claims list`; all of them if none is named
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// `vitrail schema COMMAND`
pub(super) fn schema(args: &SchemaArgs) -> Answer {
    let command = args.command.join(" ");
    let schema = match command.as_str() {
        "" => Some(all()),
        command => of(command),
    };
    match schema {
        Some(schema) => Ok(Box::new(SchemaReport { schema })),
        None => Err(Failed {
            kind: FailureKind::Malformed,
            message: "this is no command that answers in JSON".to_owned(),
            hint: Some(
                "`vitrail help` lists the commands; name one as in `vitrail schema claims list`",
            ),
        }),
    }
}

/// What a command can answer with.
type Forms = fn(&mut SchemaGenerator) -> Vec<Schema>;

/// Every command that answers in JSON, with what it answers when there is an answer.
const COMMANDS: [(&str, Forms); 36] = [
    ("agent", |g| {
        vec![form::<ServingReport>(g), form::<EndedReport>(g)]
    }),
    ("audit", |g| {
        vec![form::<AuditReport>(g), form::<AuditFailedReport>(g)]
    }),
    ("catalogue fetch", |g| vec![form::<FetchReport>(g)]),
    ("catalogue import", |g| vec![form::<ImportReport>(g)]),
    ("catalogue publish", |g| vec![form::<IssueReport>(g)]),
    ("catalogue status", |g| vec![form::<StatusReport>(g)]),
    ("check", |g| {
        vec![form::<QuoteReport>(g), form::<ItemsReport>(g)]
    }),
    ("claim", |g| {
        vec![form::<ClaimReport>(g), form::<ItemsReport>(g)]
    }),
    ("claims check", |g| vec![form::<CheckedReport>(g)]),
    ("claims list", |g| vec![form::<ClaimsReport>(g)]),
    ("config show", |g| vec![form::<ConfigReport>(g)]),
    ("contracts import", |g| vec![form::<ContractsReport>(g)]),
    ("cover", |g| vec![form::<CoverReport>(g)]),
    ("deliver", |g| vec![form::<IssueReport>(g)]),
    ("disclose", |g| vec![form::<MadeReport>(g)]),
    ("disclosure open", |g| vec![form::<DisclosureReport>(g)]),
    ("doctor", |g| vec![form::<DoctorReport>(g)]),
    ("erase", |g| vec![form::<IssueReport>(g)]),
    ("evidence verify", |g| {
        vec![form::<EvidenceReport>(g), form::<ForeignSlotsReport>(g)]
    }),
    ("grant", |g| vec![form::<IssueReport>(g)]),
    ("incident", |g| vec![form::<IncidentReport>(g)]),
    ("keygen", |g| vec![form::<KeyReport>(g)]),
    ("manual", |g| vec![form::<ManualReport>(g)]),
    ("queue forget", |g| vec![form::<ListReport>(g)]),
    ("queue list", |g| vec![form::<ListReport>(g)]),
    ("queue send", |g| vec![form::<SendReport>(g)]),
    ("receipt verify", |g| vec![form::<ReceiptReport>(g)]),
    ("release", |g| vec![form::<IssueReport>(g)]),
    ("revoke", |g| vec![form::<IssueReport>(g)]),
    ("session", |g| vec![form::<SessionReport>(g)]),
    ("settle", |g| vec![form::<SettledReport>(g)]),
    ("settle paid", |g| vec![form::<IssueReport>(g)]),
    ("settle recovered", |g| vec![form::<IssueReport>(g)]),
    ("settle rejected", |g| vec![form::<IssueReport>(g)]),
    ("statements", |g| vec![form::<StatementReport>(g)]),
    ("status", |g| vec![form::<LifeReport>(g)]),
];

fn form<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of one command: one of its answers, or why there is none.
fn of(command: &str) -> Option<Value> {
    let (name, forms) = COMMANDS.iter().find(|(name, _)| *name == command)?;
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = SchemaGenerator::new(settings);
    let mut one_of: Vec<_> = forms(&mut generator).into_iter().map(Value::from).collect();
    one_of.push(failure());
    Some(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("vitrail {name}"),
        "anyOf": one_of,
        "$defs": generator.definitions(),
    }))
}

/// The schemas of all commands, by command.
fn all() -> Value {
    let schemas = COMMANDS
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!(of(name))));
    Value::Object(schemas.collect())
}

/// What is printed in the place of an answer.
fn failure() -> Value {
    json!({
        "type": "object",
        "description": "Why there is no answer.",
        "required": ["error"],
        "additionalProperties": false,
        "properties": {
            "error": {
                "type": "object",
                "required": ["kind", "message", "hint"],
                "additionalProperties": false,
                "properties": {
                    "kind": { "enum": ["malformed", "refused", "unavailable", "contradicted"] },
                    "message": { "type": "string" },
                    "hint": { "type": ["string", "null"] },
                },
            },
        },
    })
}

/// What `schema` answers.
struct SchemaReport {
    schema: Value,
}

impl Report for SchemaReport {
    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.schema).unwrap_or_default();
        text.push('\n');
        text
    }

    fn json(&self) -> String {
        self.schema.to_string()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    /// What answers with something that has a form of its own, or with none.
    const OWN_FORM: [&str; 2] = ["completion", "schema"];

    fn leaves(command: &clap::Command, above: &str, found: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{above} {}", below.get_name()).trim().to_owned();
            leaves(below, &name, found);
            if !below.is_subcommand_required_set() {
                found.push(name);
            }
        }
    }

    /// An answer as it is printed is one that the schema of its command allows.
    #[track_caller]
    pub(in crate::command) fn assert_allowed(command: &str, answer: &str) {
        let validator = jsonschema::validator_for(&of(command).unwrap()).unwrap();
        let answer = serde_json::from_str(answer).unwrap();
        let problems: Vec<_> = validator
            .iter_errors(&answer)
            .map(|error| error.to_string())
            .collect();
        assert!(problems.is_empty(), "{command}: {problems:#?}");
    }

    #[test]
    fn every_command_has_its_schema() {
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        found.retain(|name| !OWN_FORM.contains(&name.as_str()));
        found.sort();
        let listed: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn the_schemas_are_an_interface() {
        let printed = SchemaReport { schema: all() }.text();
        let kept = include_str!("../../../docs/answers.schema.json");
        assert!(
            printed == kept,
            "the forms have changed: `vitrail schema -o text > docs/answers.schema.json`"
        );
    }

    #[test]
    fn an_answer_with_one_thing_too_much_or_too_little_is_not_allowed() {
        let validator = jsonschema::validator_for(&of("keygen").unwrap()).unwrap();
        let whole = json!({ "public_key": "x", "out": "key.pem" });
        assert!(validator.is_valid(&whole));
        assert!(!validator.is_valid(&json!({ "public_key": "x" })));
        assert!(!validator.is_valid(&json!({ "public_key": 1, "out": "key.pem" })));
        assert!(
            !validator
                .is_valid(&json!({ "error": { "kind": "strange", "message": "", "hint": null } }))
        );
    }
}
