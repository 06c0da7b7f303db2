//! What a failed call means for the question that was asked.

use std::time::Duration;

use super::CallError;

/// What a failure means for the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the answer: no other node would give another one.
    Final,
    /// It is the answer if a second node says the same.
    Doubtful,
    /// This node cannot answer now; another may. With a duration, asking it again after that is
    /// worth it.
    Failed(Option<Duration>),
    /// What it answered is not true.
    Lied,
}

/// An error that says what it means for the question.
pub(crate) trait Attempted: From<CallError> + std::fmt::Display {
    /// What to do.
    fn verdict(&self) -> Verdict;
}
