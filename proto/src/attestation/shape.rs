//! The checks that every kind's header goes through: which fields it has, and in what order.

use thiserror::Error;

use crate::entry::{Header, Kind};
use crate::hash::Hash;
use crate::ids::{Day, IdError, SlotKey};
use crate::roster::SignedRosterError;
use crate::signing::SigningError;

/// Why a header does not have the shape of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A field that this kind needs is missing, or has the wrong number of items.
    #[error("a {kind} needs {need}", kind = .kind.as_str())]
    Needs {
        /// The kind of the entry.
        kind: Kind,
        /// What it needs.
        need: &'static str,
    },
    /// A field is set that this kind does not have.
    #[error("a {kind} has no {field}", kind = .kind.as_str())]
    Excess {
        /// The kind of the entry.
        kind: Kind,
        /// The field that must be empty.
        field: &'static str,
    },
    /// Slot keys or references are not in strictly ascending order.
    #[error("{field} must be in strictly ascending order")]
    Unordered {
        /// The field.
        field: &'static str,
    },
    /// The statement is not of the length that its kind has.
    #[error("the statement of a {kind} must be {want} bytes, got {got}", kind = .kind.as_str())]
    StatementLength {
        /// The kind of the entry.
        kind: Kind,
        /// Bytes found.
        got: usize,
        /// Bytes needed.
        want: usize,
    },
    /// The statement is none that its kind has.
    #[error("the statement of a {kind} must say {want}", kind = .kind.as_str())]
    Statement {
        /// The kind of the entry.
        kind: Kind,
        /// What it must say.
        want: &'static str,
    },
    /// The statement names a key that cannot be used.
    #[error("till: {0}")]
    Till(#[from] SigningError),
    /// The statement names an impossible FINESS number.
    #[error("finess: {0}")]
    Finess(#[from] IdError),
    /// The statement is not a signed roster.
    #[error("roster: {0}")]
    Roster(#[from] SignedRosterError),
}

/// A header under inspection. How each kind is read stands beside what it says.
pub(super) struct Shape<'a>(pub(super) &'a Header);

impl Shape<'_> {
    pub(super) fn only_statement(&self) -> Result<(), ShapeError> {
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.references.is_empty(), "references")?;
        self.absent(self.0.commitment.is_none(), "commitment")
    }

    pub(super) fn no_statement(&self) -> Result<(), ShapeError> {
        self.absent(self.0.statement.is_empty(), "statement")
    }

    pub(super) fn absent(&self, is_absent: bool, field: &'static str) -> Result<(), ShapeError> {
        is_absent.then_some(()).ok_or(ShapeError::Excess {
            kind: self.0.kind,
            field,
        })
    }

    pub(super) const fn needs(&self, need: &'static str) -> ShapeError {
        ShapeError::Needs {
            kind: self.0.kind,
            need,
        }
    }

    pub(super) const fn unknown_statement(&self, want: &'static str) -> ShapeError {
        ShapeError::Statement {
            kind: self.0.kind,
            want,
        }
    }

    pub(super) fn statement<const N: usize>(&self) -> Result<[u8; N], ShapeError> {
        let (kind, got) = (self.0.kind, self.0.statement.len());
        let wrong = ShapeError::StatementLength { kind, got, want: N };
        self.0.statement.as_slice().try_into().map_err(|_| wrong)
    }

    pub(super) fn slots(&self) -> Result<Vec<SlotKey>, ShapeError> {
        if self.0.keys.is_empty() {
            return Err(self.needs("one slot key or more"));
        }
        ascending("slot keys", &self.0.keys)?;
        Ok(self
            .0
            .keys
            .iter()
            .copied()
            .map(SlotKey::from_bytes)
            .collect())
    }

    pub(super) fn until(&self) -> Result<Day, ShapeError> {
        self.0.hold_until.ok_or(self.needs("hold_until"))
    }

    pub(super) fn commitment(&self) -> Result<Hash, ShapeError> {
        self.0
            .commitment
            .ok_or(self.needs("a commitment to its payload"))
    }
}

/// Ascending order gives one spelling and rules out that an entry names a slot twice.
pub(super) fn ascending<T: PartialOrd>(field: &'static str, items: &[T]) -> Result<(), ShapeError> {
    items
        .is_sorted_by(|a, b| a < b)
        .then_some(())
        .ok_or(ShapeError::Unordered { field })
}

/// The next `N` bytes of an array whose length the caller has checked; zeros beyond its end.
pub(super) fn split_array<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((taken, left)) = rest.split_first_chunk() else {
        return [0; N];
    };
    *rest = left;
    *taken
}
