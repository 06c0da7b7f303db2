//! Who stands behind the counter: the federation of a profile, or a simulation of one.

use super::answer::{CheckAnswer, EntryAnswer, QueuedAnswer, StatusAnswer};
use super::idempotency::Open;
use super::live::Live;
use super::problem::Problem;
use super::request::{Claiming, Delivering, Releasing, Sale};
use super::simulated::Simulator;
use crate::queue::QueueError;

/// Who answers.
pub(super) enum Counter {
    Live(Box<Live>),
    Simulated(Box<Simulator>),
}

impl Counter {
    pub(super) const fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    pub(super) async fn check(&self, sale: Sale, keep: bool) -> Result<CheckAnswer, Problem> {
        match self {
            Self::Live(live) => live.check(sale, keep).await,
            Self::Simulated(simulator) => simulator.check(sale, keep).await,
        }
    }

    pub(super) async fn claim(&self, what: Claiming, open: Open) -> Result<EntryAnswer, Problem> {
        match self {
            Self::Live(live) => live.claim(what, open).await,
            Self::Simulated(simulator) => simulator.claim(what, open).await,
        }
    }

    pub(super) async fn deliver(
        &self,
        what: Delivering,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        match self {
            Self::Live(live) => live.deliver(what, open).await,
            Self::Simulated(simulator) => simulator.deliver(what, open).await,
        }
    }

    pub(super) async fn release(
        &self,
        what: Releasing,
        open: Open,
    ) -> Result<EntryAnswer, Problem> {
        match self {
            Self::Live(live) => live.release(what, open).await,
            Self::Simulated(simulator) => simulator.release(what, open).await,
        }
    }

    pub(super) async fn status(&self) -> StatusAnswer {
        match self {
            Self::Live(live) => live.status().await,
            Self::Simulated(simulator) => simulator.status().await,
        }
    }

    /// Claims that wait, or were refused while they did.
    pub(super) async fn queued(&self) -> Result<Vec<QueuedAnswer>, Problem> {
        match self {
            Self::Live(live) => {
                let claims = live.queue().list()?;
                Ok(claims.iter().map(QueuedAnswer::new).collect())
            }
            Self::Simulated(simulator) => Ok(simulator.queued().await),
        }
    }

    /// One of them.
    pub(super) async fn queued_as(&self, name: &str) -> Result<Option<QueuedAnswer>, Problem> {
        match self {
            Self::Live(live) => match live.queue().read(name) {
                Ok(queued) => Ok(Some(QueuedAnswer::new(&queued))),
                Err(QueueError::NotQueued) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Simulated(simulator) => {
                let claims = simulator.queued().await;
                Ok(claims.into_iter().find(|claim| claim.name == name))
            }
        }
    }

    /// Sends what waits, as far as anybody can be reached.
    pub(super) async fn send_waiting(&self, requests: &super::idempotency::Requests) {
        match self {
            Self::Live(live) => live.send_waiting().await,
            Self::Simulated(simulator) => simulator.send_waiting(requests).await,
        }
    }
}
