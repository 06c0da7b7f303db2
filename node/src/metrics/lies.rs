//! What other members' nodes sent that no honest one sends, or that this node cannot follow.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::sequencer::BatchFault;
use crate::sources::PageLie;

/// Counts what was refused of other members. Clones count together.
#[derive(Debug, Clone)]
pub struct Lies {
    batches: Family<FaultLabels, Counter>,
    pages: Family<FaultLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    fault: &'static str,
}

impl Default for Lies {
    /// Counts from zero. Each fault is there from the start, so that the first one is an increase.
    fn default() -> Self {
        let lies = Self {
            batches: Family::default(),
            pages: Family::default(),
        };
        for fault in BatchFault::CODES {
            drop(lies.batches.get_or_create(&FaultLabels { fault }));
        }
        for lie in PageLie::ALL {
            let fault = lie.as_str();
            drop(lies.pages.get_or_create(&FaultLabels { fault }));
        }
        lies
    }
}

impl Lies {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Batches of other members that this node does not cosign";
        registry.register("batches_refused", help, self.batches.clone());
        let help = "Pages of the log that no honest member's node sends";
        registry.register("pages_refused", help, self.pages.clone());
    }

    /// A batch was refused. What is this node's own fault is none of another's.
    pub fn batch_refused(&self, fault: &BatchFault) {
        if let Some(fault) = fault.code() {
            self.batches.get_or_create(&FaultLabels { fault }).inc();
        }
    }

    /// A page was refused.
    pub fn page_refused(&self, lie: PageLie) {
        let fault = lie.as_str();
        self.pages.get_or_create(&FaultLabels { fault }).inc();
    }

    /// How many batches were refused, for whatever fault.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let count = |fault| self.batches.get_or_create(&FaultLabels { fault }).get();
        BatchFault::CODES.map(count).into_iter().sum()
    }

    /// How many pages were refused, for whatever fault.
    #[must_use]
    pub fn pages(&self) -> u64 {
        let count = |lie: PageLie| {
            let fault = lie.as_str();
            self.pages.get_or_create(&FaultLabels { fault }).get()
        };
        PageLie::ALL.map(count).into_iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_of_others_is_counted_and_the_own_faults_are_not() {
        let lies = Lies::default();
        lies.batch_refused(&BatchFault::Dated);
        lies.batch_refused(&BatchFault::Term);
        let own = crate::store::StoreError::Locked;
        lies.batch_refused(&BatchFault::Store(own));
        lies.clone().page_refused(PageLie::Entry);
        assert_eq!((lies.batches(), lies.pages()), (2, 1));
    }
}
