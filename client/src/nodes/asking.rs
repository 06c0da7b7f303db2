//! One question to the nodes of a federation: the next one when a node fails, and a second one
//! beside it when it is slow.
//!
//! 1. The first of the order is asked. Who fails is replaced by the next at once.
//! 2. If the question is one to hedge and nobody has answered after the pause of the first node, one
//!    more is asked as well. The first answer that verifies wins; the other call is dropped.
//! 3. Who says nothing for the whole patience is given up, while there are others to ask.
//! 4. A refusal is an answer. One that a single node could make up, or give because it is behind,
//!    is asked of a second one; two that say it are believed.
//! 5. When everybody has failed they are asked once more, after a pause that doubles, as long as one
//!    of them says that it is worth it and the deadline has not come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use proto::ids::MemberName;
use tokio::time::{Instant, sleep_until};

use super::Nodes;
use super::health::Effort;
use crate::connection::{
    Attempted, CallError, Connection, RETRIES_MAX, RETRY_PAUSE_FIRST, RETRY_PAUSE_MAX, Verdict,
};

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// What an answer takes.
    pub(crate) effort: Effort,
    /// Whether a second node is asked beside a slow one.
    pub(crate) is_hedged: bool,
    /// How long one node may be silent while there are others to ask.
    pub(crate) patience: Duration,
    /// How long all of it may take.
    pub(crate) deadline: Duration,
}

/// How a round of questions ended.
enum Round<T, E> {
    Answered(T),
    Refused(E),
    /// Nobody answered; asking again is worth it after the pause, if there is one.
    Nobody(E, Option<Duration>),
}

/// A call on its way.
struct Running<F> {
    asked: Asked,
    call: Pin<Box<F>>,
}

/// Who was asked, and when.
#[derive(Debug, Clone)]
struct Asked {
    place: usize,
    member: MemberName,
    since: Instant,
}

/// What came of waiting.
enum Event<T, E> {
    Ended(Asked, Result<T, E>),
    Slow,
    GivenUp,
    TooLate,
}

/// Asks until one node gives an answer, or nobody can.
pub(super) async fn ask<T, E, F>(
    nodes: &Nodes,
    manner: Manner,
    attempt: impl Fn(Connection) -> F,
) -> Result<T, E>
where
    E: Attempted,
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + manner.deadline;
    let mut round = 0;
    loop {
        let asking = Asking {
            nodes,
            manner,
            until,
            attempt: &attempt,
            waiting: nodes.order(Instant::now()),
            running: Vec::new(),
            has_hedged: false,
            doubt: None,
            failure: None,
            again: None,
        };
        let (failure, again) = match asking.run().await {
            Round::Answered(answer) => return Ok(answer),
            Round::Refused(refusal) => return Err(refusal),
            Round::Nobody(failure, again) => (failure, again),
        };
        let own = RETRY_PAUSE_FIRST.saturating_mul(1 << round.min(RETRIES_MAX));
        let pause = again.map(|asked| asked.max(own));
        match pause.filter(|pause| round < RETRIES_MAX && *pause <= RETRY_PAUSE_MAX) {
            Some(pause) if Instant::now() + pause < until => tokio::time::sleep(pause).await,
            _ => return Err(failure),
        }
        round += 1;
    }
}

/// One round: every node is asked at most once.
struct Asking<'a, E, A, F> {
    nodes: &'a Nodes,
    manner: Manner,
    until: Instant,
    attempt: &'a A,
    waiting: VecDeque<(usize, Connection)>,
    running: Vec<Running<F>>,
    has_hedged: bool,
    doubt: Option<E>,
    failure: Option<E>,
    again: Option<Duration>,
}

impl<T, E, A, F> Asking<'_, E, A, F>
where
    E: Attempted,
    A: Fn(Connection) -> F,
    F: Future<Output = Result<T, E>>,
{
    async fn run(mut self) -> Round<T, E> {
        self.start();
        while !self.running.is_empty() {
            match self.event().await {
                Event::Ended(asked, Ok(answer)) => {
                    self.won(&asked);
                    return Round::Answered(answer);
                }
                Event::Ended(asked, Err(error)) => match error.verdict() {
                    Verdict::Final => return Round::Refused(error),
                    Verdict::Doubtful if self.doubt.is_some() => return Round::Refused(error),
                    verdict => self.replace(&asked, verdict, error),
                },
                Event::Slow => {
                    self.has_hedged = true;
                    self.start();
                }
                Event::GivenUp => self.give_up(0),
                Event::TooLate => {
                    while !self.running.is_empty() {
                        self.give_up(0);
                    }
                }
            }
        }
        match (self.doubt.take(), self.failure.take()) {
            // There is nobody who says otherwise.
            (Some(refusal), _) => Round::Refused(refusal),
            (None, Some(failure)) => Round::Nobody(failure, self.again),
            (None, None) => Round::Nobody(self.too_late(), None),
        }
    }

    /// Asks the next node, if there is one and time is left.
    fn start(&mut self) {
        let now = Instant::now();
        let left = self.until.saturating_duration_since(now);
        if left.is_zero() {
            return;
        }
        if let Some((place, connection)) = self.waiting.pop_front() {
            let asked = Asked {
                place,
                member: connection.member().clone(),
                since: now,
            };
            let call = Box::pin((self.attempt)(connection.attempt(left)));
            self.running.push(Running { asked, call });
        }
    }

    /// The next call that ends, or the moment at which something is to be done without it.
    async fn event(&mut self) -> Event<T, E> {
        let (at, then) = self.next_moment();
        let ended = poll_fn(|context| {
            for position in 0..self.running.len() {
                let running = &mut self.running[position];
                if let Poll::Ready(answer) = running.call.as_mut().poll(context) {
                    let Running { asked, .. } = self.running.remove(position);
                    return Poll::Ready(Event::Ended(asked, answer));
                }
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            ended = ended => ended,
            () = sleep_until(at) => then,
        }
    }

    fn next_moment(&self) -> (Instant, Event<T, E>) {
        let first = self.running.first().filter(|_| !self.waiting.is_empty());
        let Some(first) = first else {
            return (self.until, Event::TooLate);
        };
        let Asked { place, since, .. } = first.asked;
        let pause = self.nodes.hedge_pause(place, self.manner.effort);
        let slow_at = since + pause;
        let given_up_at = since + self.manner.patience;
        let may_hedge = self.manner.is_hedged && !self.has_hedged;
        match may_hedge {
            true if slow_at < self.until => (slow_at, Event::Slow),
            false if given_up_at < self.until => (given_up_at, Event::GivenUp),
            _ => (self.until, Event::TooLate),
        }
    }

    /// Who was asked before the winner and has not answered is slow: others are asked before it for
    /// a while.
    fn won(&self, winner: &Asked) {
        let Asked {
            place,
            member,
            since,
        } = winner;
        let effort = self.manner.effort;
        self.nodes.answered(*place, member, effort, since.elapsed());
        for Running { asked, .. } in &self.running {
            if asked.since < *since {
                self.pass_over(asked, false, &silent(asked));
            }
        }
    }

    fn replace(&mut self, asked: &Asked, verdict: Verdict, error: E) {
        match verdict {
            Verdict::Final | Verdict::Doubtful => self.doubt = Some(error),
            Verdict::Failed(again) => {
                self.pass_over(asked, false, &error);
                self.again = [self.again, again].into_iter().flatten().min();
                self.failure = Some(error);
            }
            Verdict::Lied => {
                self.pass_over(asked, true, &error);
                self.failure = Some(error);
            }
        }
        self.start();
    }

    fn give_up(&mut self, position: usize) {
        let Running { asked, .. } = self.running.remove(position);
        let silent = silent(&asked);
        self.pass_over(&asked, false, &silent);
        self.failure = Some(silent.into());
        self.start();
    }

    fn pass_over(&self, asked: &Asked, is_lie: bool, why: &impl ToString) {
        let Asked { place, member, .. } = asked;
        let why = why.to_string();
        self.nodes.passed_over_for(*place, member, is_lie, why);
    }

    /// No time was left to ask anybody.
    fn too_late(&self) -> E {
        let member = self.nodes.home().member().clone();
        CallError::TooSlow { member }.into()
    }
}

fn silent(asked: &Asked) -> CallError {
    let member = asked.member.clone();
    CallError::TooSlow { member }
}

#[cfg(test)]
mod tests;
