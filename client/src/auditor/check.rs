//! What an audit checks, and how often it did: the rows of the table that a reader goes down.

use proto::entry::EntryError;

use super::{AuditError, EntryFailure};

/// Declares the list once: name, code, English and French.
macro_rules! checks {
    ($($name:ident, $code:literal, $english:literal, $french:literal;)*) => {
        /// One kind of check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = concat!("That ", $english, ".")] $name,)*
        }

        impl Check {
            /// Every check, in the order of an audit.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it in the report for programs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means that it holds, in English.
            #[must_use]
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// What it means that it holds, in French.
            #[must_use]
            pub const fn french(self) -> &'static str {
                match self { $(Self::$name => $french,)* }
            }
        }
    };
}

checks! {
    Form, "form",
        "each entry has the bytes and the shape of its kind",
        "chaque écriture a les octets et la forme de son espèce";
    Signature, "signature",
        "each entry was signed by its issuer, for this ledger",
        "chaque écriture est signée par son émetteur, pour ce registre";
    Rule, "rule",
        "the rules admit each entry at its place: its issuer, its references, its dates, its slots",
        "les règles admettent chaque écriture à sa place : son émetteur, ses renvois, ses dates, ses droits";
    Roster, "roster",
        "each roster was signed by a quorum of the one before it",
        "chaque composition de la fédération est signée par un quorum de la précédente";
    MapChange, "map-change",
        "each change of the map is the one that its entry calls for",
        "chaque changement de l'état des droits est celui que demande son écriture";
    Leaf, "leaf",
        "each entry has its own leaf in the tree",
        "chaque écriture a sa propre feuille dans l'arbre";
    Tile, "tile",
        "the tree that the member serves is the one that the entries give",
        "l'arbre que sert le membre est celui que donnent les écritures";
    Earlier, "earlier",
        "the log begins with each state that was seen before: nothing was cut or rewritten",
        "le journal commence par chaque état vu auparavant : rien n'a été coupé ni réécrit";
    LogRoot, "log-root",
        "the cosigned log root is the one that the entries give",
        "la racine cosignée du journal est celle que donnent les écritures";
    MapRoot, "map-root",
        "the cosigned map root is the one that the entries give",
        "la racine cosignée de l'état des droits est celle que donnent les écritures";
    Cosignature, "cosignature",
        "each cosignature of the checkpoint is a member's, and a quorum is among them",
        "chaque cosignature du point de contrôle est celle d'un membre, et un quorum en fait partie";
}

/// How often each check was made and held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checks([u64; Check::ALL.len()]);

impl Checks {
    /// These counts, in the order of [`Check::ALL`].
    pub(super) const fn of(counts: [u64; Check::ALL.len()]) -> Self {
        Self(counts)
    }

    /// How often one was made and held.
    #[must_use]
    pub fn count(&self, check: Check) -> u64 {
        self.0.get(check as usize).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, check: Check, count: u64) {
        if let Some(so_far) = self.0.get_mut(check as usize) {
            *so_far += count;
        }
    }
}

impl AuditError {
    /// The check that failed; `None` when the audit could not go on, or has nothing to do with the
    /// ledger of the roster.
    #[must_use]
    pub const fn check(&self) -> Option<Check> {
        Some(match self {
            Self::Bundle { .. } | Self::BundleLength { .. } => Check::Form,
            Self::Entry { failure, .. } => match failure {
                EntryFailure::Entry(EntryError::Signature(_)) => Check::Signature,
                EntryFailure::Entry(_) | EntryFailure::Shape(_) => Check::Form,
                EntryFailure::Rule(_) => Check::Rule,
                EntryFailure::NotARoster | EntryFailure::Succession(_) => Check::Roster,
            },
            Self::Tile { .. } => Check::Tile,
            Self::LogRoot => Check::LogRoot,
            Self::MapRoot | Self::Map => Check::MapRoot,
            Self::CheckpointText(_) | Self::Cosignatures(_) => Check::Cosignature,
            Self::OtherRoster => Check::Roster,
            Self::Rollback { .. } | Self::Fork { .. } => Check::Earlier,
            Self::Fetch(_) | Self::Origin | Self::Empty | Self::Interrupted => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_code_of_its_own_and_counts_for_itself() {
        let mut codes: Vec<_> = Check::ALL.iter().map(|check| check.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Check::ALL.len());
        let mut checks = Checks::default();
        for (place, check) in (1..).zip(Check::ALL) {
            checks.add(*check, place);
            checks.add(*check, 1);
        }
        for (place, check) in (1..).zip(Check::ALL) {
            assert_eq!(checks.count(*check), place + 1);
        }
    }
}
