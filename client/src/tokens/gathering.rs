//! Asking `t` members for one evaluation: by lot, replaced when they fail or are slow.

use std::collections::VecDeque;
use std::time::Duration;

use proto::ids::{LeafIndex, RequestId};
use proto::oprf::{
    BlindedElement, PartialEvaluation, PublicShare, ShareIndex, Threshold, VerifiedEvaluation,
};
use proto::roster::MemberShare;
use proto::wire::v1::TokenKind;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{MemberFailure, TokenError, of_kind};
use crate::connection::{Connection, RETRIES_MAX};
use crate::failure::{Failure as _, FailureKind};
use crate::session::Session;
use crate::system::{self, NoRandomness};

/// How long nobody answers before one more member is asked: several round trips of a slow line
/// and far less than anybody waits at a counter. The one more costs quota at one node.
pub const HEDGE_DELAY: Duration = Duration::from_millis(500);
/// How much longer for each element: ten times what a node takes to evaluate one.
pub const HEDGE_DELAY_PER_ELEMENT: Duration = Duration::from_millis(1);

/// One evaluation on its way to `t` answers that verify.
pub(super) struct Gathering<'a> {
    session: &'a Session,
    kind: TokenKind,
    /// The claim that a payer asks about.
    claim: Option<LeafIndex>,
    blinded: &'a [BlindedElement],
    threshold: Threshold,
    /// Who is asked next.
    waiting: VecDeque<&'a MemberShare>,
    /// Who could not be reached, and is asked once more when nobody else is left.
    again: VecDeque<&'a MemberShare>,
    /// How often a call is sent again: not at all while there are others to ask.
    retries: u32,
    /// How many were asked beyond the threshold, because others were slow.
    hedges: usize,
    asked: JoinSet<(ShareIndex, Result<VerifiedEvaluation, MemberFailure>)>,
    answers: Vec<VerifiedEvaluation>,
    failures: Vec<MemberFailure>,
}

/// What came of waiting.
enum Event {
    Answered(ShareIndex, Box<Result<VerifiedEvaluation, MemberFailure>>),
    /// Nobody answered for [`HEDGE_DELAY`], and there are others to ask.
    Slow,
    /// Everybody has been asked.
    Nobody,
}

impl<'a> Gathering<'a> {
    /// Asks the members in the order of a lot.
    pub(super) fn new(
        session: &'a Session,
        lot: Lot<'a>,
        kind: TokenKind,
        claim: Option<LeafIndex>,
        blinded: &'a [BlindedElement],
        threshold: Threshold,
    ) -> Self {
        let waiting = lot;
        let has_spares = waiting.len() > usize::from(threshold.get());
        Self {
            session,
            kind,
            claim,
            blinded,
            threshold,
            waiting,
            again: VecDeque::new(),
            retries: if has_spares { 0 } else { RETRIES_MAX },
            hedges: 0,
            asked: JoinSet::new(),
            answers: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Asks `threshold` members at once, and one more for each that fails or is slow.
    ///
    /// # Errors
    /// [`TokenError::TooFew`], with what came of each member.
    pub(super) async fn run(mut self) -> Result<Vec<VerifiedEvaluation>, TokenError> {
        let want = usize::from(self.threshold.get());
        while self.answers.len() < want {
            self.ask(want)?;
            match self.event().await {
                Event::Answered(share, answer) => match *answer {
                    Ok(answer) => self.answers.push(answer),
                    Err(failure) => self.note(share, failure),
                },
                Event::Slow => self.hedges += 1,
                Event::Nobody => {
                    return Err(TokenError::TooFew {
                        got: self.answers.len(),
                        want: self.threshold,
                        failures: self.failures,
                    });
                }
            }
        }
        Ok(self.answers)
    }

    /// Asks as many as are needed, and those that hedge.
    fn ask(&mut self, want: usize) -> Result<(), TokenError> {
        while self.asked.len() + self.answers.len() < want + self.hedges {
            if self.waiting.is_empty() && self.asked.len() + self.answers.len() < want {
                self.waiting = std::mem::take(&mut self.again);
                self.retries = RETRIES_MAX;
            }
            let Some(share) = self.waiting.pop_front() else {
                break;
            };
            let Some(connection) = self.session.connection(&share.member) else {
                let member = share.member.clone();
                self.failures.push(MemberFailure::NoAddress { member });
                continue;
            };
            let mut ask = Ask::new(self.kind, share, connection, self.blinded)?;
            ask.claim = self.claim;
            let retries = self.retries;
            self.asked
                .spawn(async move { (ask.public.index(), ask.answer(retries).await) });
        }
        Ok(())
    }

    async fn event(&mut self) -> Event {
        let patience = self.blinded.iter().fold(HEDGE_DELAY, |patience, _| {
            patience + HEDGE_DELAY_PER_ELEMENT
        });
        loop {
            let answered = match self.waiting.is_empty() {
                true => Ok(self.asked.join_next().await),
                false => timeout(patience, self.asked.join_next()).await,
            };
            match answered {
                Ok(Some(Ok((share, answer)))) => return Event::Answered(share, Box::new(answer)),
                // A task never panics or is cancelled; were it so, it gave no answer.
                Ok(Some(Err(_))) => {}
                Ok(None) => return Event::Nobody,
                Err(_) => return Event::Slow,
            }
        }
    }

    fn note(&mut self, index: ShareIndex, failure: MemberFailure) {
        if let MemberFailure::Wrong { culprit, .. } = &failure {
            self.session.remember_wrong(culprit);
        }
        let may_pass = matches!(&failure, MemberFailure::Call(error)
            if error.kind() == FailureKind::Unavailable);
        let mut shares = self.session.roster().shares().iter();
        match shares.find(|share| share.index.get() == index.get()) {
            Some(share) if may_pass && self.retries == 0 => self.again.push_back(share),
            _ => self.failures.push(failure),
        }
    }
}

/// The members in the order in which they are asked.
pub(super) type Lot<'a> = VecDeque<&'a MemberShare>;

/// The members in a random order, so that no node's quota is used up before the others'; those
/// that are put back, and those that have answered wrongly in this session, last.
pub(super) fn by_lot(session: &Session) -> Result<Lot<'_>, NoRandomness> {
    let wrong = session.wrong_members();
    let mut shares = Vec::new();
    for share in session.roster().shares() {
        let lot = u64::from_be_bytes(system::random()?);
        let is_wrong = wrong.contains(&share.member);
        let is_put_back = session.nodes().is_put_back(&share.member);
        shares.push(((is_wrong, is_put_back, lot), share));
    }
    shares.sort_unstable_by_key(|(key, _)| *key);
    Ok(shares.into_iter().map(|(_, share)| share).collect())
}

/// One request to one member, on its own so that several run at once.
struct Ask {
    kind: TokenKind,
    claim: Option<LeafIndex>,
    public: PublicShare,
    connection: Connection,
    blinded: Vec<BlindedElement>,
    id: RequestId,
}

impl Ask {
    fn new(
        kind: TokenKind,
        share: &MemberShare,
        connection: &Connection,
        blinded: &[BlindedElement],
    ) -> Result<Self, TokenError> {
        let index = ShareIndex::new(share.index.get()).ok_or(TokenError::Roster)?;
        let public = PublicShare::from_bytes(index, of_kind(&share.public, kind))
            .map_err(|_| TokenError::Roster)?;
        Ok(Self {
            kind,
            claim: None,
            public,
            connection: connection.clone(),
            blinded: blinded.to_vec(),
            id: system::request_id()?,
        })
    }

    async fn answer(&self, retries: u32) -> Result<VerifiedEvaluation, MemberFailure> {
        let Self {
            connection,
            id,
            kind,
            blinded,
            ..
        } = self;
        let answer = match self.claim {
            None => {
                connection
                    .evaluate_at_most(retries, *id, *kind, blinded)
                    .await
            }
            Some(claim) => {
                connection
                    .evaluate_for_claim(retries, *id, claim, blinded)
                    .await
            }
        };
        self.verify(answer?)
    }

    fn verify(&self, answer: PartialEvaluation) -> Result<VerifiedEvaluation, MemberFailure> {
        let culprit = self.connection.member().clone();
        self.public
            .verify(&self.blinded, answer)
            .map_err(|reason| MemberFailure::Wrong { culprit, reason })
    }
}

#[cfg(test)]
mod tests {
    use proto::oprf::{self, Blind};

    use super::*;
    use crate::example::{Ledger, joint, secret};
    use crate::session::SessionParts;

    /// What is asked of the one member that evaluates.
    fn ask() -> (Ask, Blind) {
        let session = Session::open(SessionParts {
            roster: Ledger::new().roster,
            secret: secret("till"),
            home: None,
            addresses: std::collections::BTreeMap::new(),
            observer: None,
        });
        let session = session.unwrap();
        let share = session.roster().shares().first().unwrap();
        let connection = session.connection(&share.member).unwrap();
        let (blind, element) = oprf::blind(b"input", &[5; 64]).unwrap();
        let ask = Ask::new(TokenKind::Person, share, connection, &[element]).unwrap();
        (ask, blind)
    }

    #[tokio::test]
    async fn an_answer_under_the_members_share_is_believed() {
        let (ask, blind) = ask();
        let share = joint(1).sole_share();
        let answer = share.evaluate(&ask.blinded, &[6; 64]).unwrap();
        let answer = ask.verify(answer).unwrap();
        let evaluated = oprf::combine(&joint(1).public(), Threshold::ONE, &[answer]).unwrap();
        assert_eq!(blind.finalize(&evaluated[0]).as_bytes().len(), 64);
    }

    #[tokio::test]
    async fn an_answer_under_another_share_names_its_culprit() {
        let (ask, _) = ask();
        let other = joint(2).sole_share();
        let answer = other.evaluate(&ask.blinded, &[6; 64]).unwrap();
        let failure = ask.verify(answer).unwrap_err();
        assert!(
            matches!(&failure, MemberFailure::Wrong { culprit, .. } if culprit.as_str() == "amo")
        );
        let failures = vec![failure];
        let error = TokenError::TooFew {
            got: 0,
            want: Threshold::ONE,
            failures,
        };
        assert!(
            error.to_string().contains("amo answered wrongly"),
            "{error}"
        );
        assert_eq!(error.kind(), FailureKind::Unavailable);
    }
}
