//! The closed list of what an alarm may be about.

/// What tills do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Many people's tokens are derived, and nothing is claimed.
    Unclaimed,
    /// Lookups follow each other faster than customers do.
    Mass,
    /// It reads while shops are closed.
    Night,
    /// One key is used from two addresses.
    TwoAddresses,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 4] = [Self::Unclaimed, Self::Mass, Self::Night, Self::TwoAddresses];

    /// The word for it in metrics and in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unclaimed => "unclaimed",
            Self::Mass => "mass",
            Self::Night => "night",
            Self::TwoAddresses => "two-addresses",
        }
    }
}
