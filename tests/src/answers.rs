//! What `vitrail-node` prints for programs, held to its published form.

use serde_json::Value;

/// The forms of all its answers, by command.
const FORMS: &str = include_str!("../../docs/node-answers.schema.json");

/// The answer to a command line of these words.
///
/// # Panics
/// When it is not one line of JSON, is not of the published form, or its command has none there.
#[must_use]
pub fn answer(words: &[&str], printed: &[u8]) -> Value {
    let (command, form) = form(words);
    let text = String::from_utf8_lossy(printed);
    assert_eq!(text.lines().count(), 1, "{command}: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&form).unwrap();
    let problems = validator.iter_errors(&answer);
    let problems: Vec<_> = problems.map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{command}: {problems:#?} in {text}");
    answer
}

/// The command that these words name, and the form of its answers.
fn form(words: &[&str]) -> (String, Value) {
    let mut forms: Value = serde_json::from_str(FORMS).unwrap();
    for named in [2, 1] {
        let command = words.iter().take(named).copied().collect::<Vec<_>>();
        let command = command.join(" ");
        if let Some(form) = forms.get_mut(&command) {
            return (command, form.take());
        }
    }
    panic!("docs/node-answers.schema.json has nothing for {words:?}");
}
