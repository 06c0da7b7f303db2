//! Kinds of failure, kept apart by every error of this package.

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Something cannot be read: an input, a file, or what a member answered. Asking again with
    /// the same input changes nothing.
    Malformed,
    /// It was read, and a rule or a check says no.
    Refused,
    /// Nobody could be asked, or nobody could answer: try again.
    Unavailable,
    /// The ledger was shown in two states that cannot both be true, and members signed both.
    /// Nothing of it is believed until somebody has looked.
    Contradicted,
}

/// An error that knows its kind.
pub trait Failure: std::error::Error {
    /// Which kind it is.
    fn kind(&self) -> FailureKind;

    /// What the user may try, where the error itself does not say it.
    fn hint(&self) -> Option<&'static str> {
        None
    }
}
