//! Which node answered, and which could not.

use client::session::Session;
use schemars::JsonSchema;
use serde::Serialize;

/// A node that gave no answer that could be used.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct PassedOverReport {
    pub(in crate::command) member: String,
    pub(in crate::command) reason: String,
}

/// Who answered for the ledger: a part of the answers that say so.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::command) struct NodesReport {
    /// The member whose node gave the answer that was used last.
    pub(in crate::command) answered_by: Option<String>,
    /// The nodes that were asked in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::command) passed_over: Vec<PassedOverReport>,
}

impl NodesReport {
    pub(in crate::command) fn new(session: &Session) -> Self {
        let passed_over = session.passed_over().into_iter();
        let passed_over = passed_over.map(|one| PassedOverReport {
            member: one.member.to_string(),
            reason: one.reason,
        });
        Self {
            answered_by: session.answered_by().map(|member| member.to_string()),
            passed_over: passed_over.collect(),
        }
    }

    /// The same for people.
    pub(in crate::command) fn details(&self) -> Vec<String> {
        let passed_over = self.passed_over.iter();
        let passed_over = passed_over.map(|one| format!("passed over: {}", one.reason));
        let answered_by = self.answered_by.iter();
        passed_over
            .chain(answered_by.map(|member| format!("answered by {member}")))
            .collect()
    }
}
