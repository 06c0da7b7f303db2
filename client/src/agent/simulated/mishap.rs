//! What goes wrong on the way to a simulated federation, by the card.

use super::cards::{self, Told};
use super::{EntryAnswer, Open, Outcome, Prepared, Problem, ProblemCode, Seen, Simulator, State};

/// How the answer to a request comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Clear,
    /// It gets lost; the entry is in the ledger.
    Lost,
}

/// Whether nobody can be reached when this is first asked with this card.
pub(super) const fn is_unreachable(card: u16, at: Told) -> bool {
    matches!(
        (card, at),
        (cards::CHECK_UNREACHABLE, Told::Check)
            | (cards::DELIVERY_UNREACHABLE, Told::Delivery)
            | (cards::RELEASE_UNREACHABLE, Told::Release)
    )
}

const fn is_lost(card: u16, at: Told) -> bool {
    matches!(
        (card, at),
        (cards::LOST, Told::Claim)
            | (cards::DELIVERY_LOST, Told::Delivery)
            | (cards::RELEASE_LOST, Told::Release)
    )
}

impl State {
    /// The answer to this request that got lost before.
    pub(super) fn lost(&self, open: &Open) -> Option<EntryAnswer> {
        self.lost.get(open.name()).cloned()
    }

    /// Prepares the request, of which only the first attempt under a key meets with a mishap.
    pub(super) fn send(&self, open: &mut Open, card: u16, at: Told) -> Result<Way, Problem> {
        let is_first = open.prepared().is_none();
        open.prepare(Prepared::Simulated)?;
        if is_first && is_unreachable(card, at) {
            return Err(Problem::new(ProblemCode::Unreachable));
        }
        Ok(match is_first && is_lost(card, at) {
            true => Way::Lost,
            false => Way::Clear,
        })
    }
}

impl Simulator {
    /// Keeps the answer and tells it, unless it gets lost.
    pub(super) fn tell(
        &self,
        state: &mut State,
        (open, way): (&Open, Way),
        answer: EntryAnswer,
        seen: impl FnOnce(String, Outcome) -> Seen,
    ) -> Result<EntryAnswer, Problem> {
        let key = open.name().to_owned();
        if way == Way::Lost {
            state.lost.insert(key.clone(), answer);
            self.saw(seen(key, Outcome::Lost));
            return Err(Problem::new(ProblemCode::OutcomeUnknown));
        }
        self.told(open, answer, seen)
    }
}
