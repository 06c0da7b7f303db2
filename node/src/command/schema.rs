//! `vitrail-node schema`: the form of each answer with `-o json`, from the types that are printed.

use clap::Args;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::answer::{Output, print};
use super::backups::{BackupReport, RestoreReport};
use super::config::ConfigReport;
use super::failure::CommandError;
use super::joining::JoinReport;
use super::manual::ManualReport;
use super::rosters::{ProposalReport, PublicationReport};
use super::sealing::{ResealReport, SealKeyReport};
use super::{InitReport, KeyReport, RunReport};
use crate::ceremony::command as ceremony;
use crate::demo::DemoReport;
use crate::fitness::Fitness;
use crate::rebuild::Rebuilt;
use crate::status::FederationStatus;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// The command, such as `status` or `roster sign`; all of them if none is named.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn schema(args: &SchemaArgs, output: Output) -> Result<(), CommandError> {
    let command = args.command.join(" ");
    let schema = match command.as_str() {
        "" => Some(all()),
        command => of(command),
    };
    let schema = schema.ok_or(CommandError::NoAnswer)?;
    print(output, &schema, &text(&schema))
}

fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// What a command answers with.
type Form = fn(&mut SchemaGenerator) -> Schema;

/// Every command that answers in JSON.
const COMMANDS: [(&str, Form); 22] = [
    ("backup", form::<BackupReport<'_>>),
    ("ceremony publish", form::<ceremony::PublicationReport>),
    ("ceremony run", form::<ceremony::ProposalReport>),
    ("ceremony sign", form::<ceremony::ProposalReport>),
    ("check perf", form::<Fitness>),
    ("config show", form::<ConfigReport>),
    ("demo", form::<DemoReport>),
    ("init", form::<InitReport<'_>>),
    ("join", form::<JoinReport<'_>>),
    ("keygen", form::<KeyReport<'_>>),
    ("leave", form::<ProposalReport>),
    ("manual", form::<ManualReport>),
    ("rebuild", form::<Rebuilt>),
    ("reseal", form::<ResealReport>),
    ("restore", form::<RestoreReport<'_>>),
    ("roster propose", form::<ProposalReport>),
    ("roster publish", form::<PublicationReport>),
    ("roster sign", form::<ProposalReport>),
    ("rotate", form::<ProposalReport>),
    ("run", form::<RunReport<'_>>),
    ("seal-key", form::<SealKeyReport>),
    ("status", form::<FederationStatus>),
];

fn form<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of one command: its answer, or why there is none. What is in neither is not allowed.
fn of(command: &str) -> Option<Value> {
    let (name, form) = COMMANDS.iter().find(|(name, _)| *name == command)?;
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = SchemaGenerator::new(settings);
    let answer = form(&mut generator);
    Some(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("vitrail-node {name}"),
        "anyOf": [{ "allOf": [answer], "unevaluatedProperties": false }, failure()],
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
                    "kind": { "enum": ["refused", "unavailable"] },
                    "message": { "type": "string" },
                    "hint": { "type": ["string", "null"] },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    /// What prints something that has a form of its own.
    const OWN_FORM: [&str; 2] = ["completion", "schema"];

    fn leaves(command: &clap::Command, above: &str, found: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{above} {}", below.get_name()).trim().to_owned();
            leaves(below, &name, found);
            if !below.has_subcommands() {
                found.push(name);
            }
        }
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
        let kept = include_str!("../../../docs/node-answers.schema.json");
        assert!(
            text(&all()) == kept,
            "the forms have changed: \
             `vitrail-node schema -o text > docs/node-answers.schema.json`"
        );
    }

    #[test]
    fn an_answer_with_one_thing_too_much_or_too_little_is_not_allowed() {
        let validator = jsonschema::validator_for(&of("keygen").unwrap()).unwrap();
        let is_valid = |answer| validator.is_valid(&answer);
        assert!(is_valid(json!({ "file": "node.key", "public_key": "x" })));
        assert!(!is_valid(json!({ "file": "node.key" })));
        assert!(!is_valid(json!({ "file": "node.key", "public_key": 1 })));
        let more = json!({ "file": "node.key", "public_key": "x", "secret": "y" });
        assert!(!is_valid(more));
        let strange = json!({ "error": { "kind": "strange", "message": "", "hint": null } });
        assert!(!is_valid(strange));
    }
}
