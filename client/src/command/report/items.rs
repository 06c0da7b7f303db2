//! Items that a rule refuses before anybody is asked.

use client::pos::ItemsRefused;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Report, to_json};

/// What `check` and `claim` answer when the items themselves are refused: there is no quote.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct ItemsReport {
    covered: bool,
    refusal: ItemsRefusalReport,
    /// Whether the own catalogue is the one in force; `None` when that could not be asked.
    catalogue_in_force: Option<bool>,
}

/// The rule that said no, and to which items.
#[derive(Debug, Serialize, JsonSchema)]
struct ItemsRefusalReport {
    code: &'static str,
    sentence: &'static str,
    /// Positions in the list of items, counted from 1.
    items: Vec<usize>,
}

impl ItemsReport {
    pub(in crate::command) fn new(refused: ItemsRefused, catalogue_in_force: Option<bool>) -> Self {
        let ItemsRefused { reason, positions } = refused;
        Self {
            covered: false,
            refusal: ItemsRefusalReport {
                code: reason.code(),
                sentence: reason.french(),
                items: positions,
            },
            catalogue_in_force,
        }
    }
}

impl Report for ItemsReport {
    fn text(&self) -> String {
        let ItemsRefusalReport {
            code,
            sentence,
            items,
        } = &self.refusal;
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        format!("item {}: {sentence} ({code})\n", items.join(", "))
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        let outdated = "the catalogue file is not the one in force: run `vitrail catalogue fetch`";
        let is_outdated = self.catalogue_in_force == Some(false);
        is_outdated
            .then(|| outdated.to_owned())
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::refusal::Reason;

    use super::*;

    #[test]
    fn refused_items_are_named_by_their_places() {
        let items = ItemsRefused {
            reason: Reason::ItemsIncompatible,
            positions: vec![1, 3],
        };
        let outdated = ItemsReport::new(items.clone(), Some(false));
        assert!(outdated.warnings()[0].ends_with("run `vitrail catalogue fetch`"));
        let refused = ItemsReport::new(items, None);
        assert!(refused.warnings().is_empty());
        assert!(!refused.is_yes());
        assert_snapshot!(refused.json(), @r#"{"covered":false,"refusal":{"code":"ITEMS_INCOMPATIBLE","sentence":"Deux articles de la demande ne peuvent pas être facturés ensemble.","items":[1,3]},"catalogue_in_force":null}"#);
        assert_snapshot!(refused.text(), @"item 1, 3: Deux articles de la demande ne peuvent pas être facturés ensemble. (ITEMS_INCOMPATIBLE)");
    }
}
