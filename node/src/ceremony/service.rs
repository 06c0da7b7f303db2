//! `CeremonyService`: what this member says, to the members that take part and to nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use proto::dkg::{Message, Messages, Plan, Step};
use proto::ids::MemberName;
use proto::wire::v1::ceremony_service_server::CeremonyService;
use proto::wire::{ceremony, v1};
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};

use crate::tls::PeerKey;

/// What this member has said so far. A step is put in once everything it rests on is durable.
#[derive(Debug)]
pub(super) struct Said {
    plan: Plan,
    messages: RwLock<BTreeMap<Step, ToWhom>>,
    /// Who has fetched the confirmation, and so needs this member no more.
    done: watch::Sender<BTreeSet<MemberName>>,
    /// Who asked under another plan. It ends by that, and may be gone before it is asked.
    other_plan: watch::Sender<Option<MemberName>>,
}

#[derive(Debug)]
enum ToWhom {
    Everybody(Message),
    Each(Messages),
}

impl Said {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            messages: RwLock::default(),
            done: watch::Sender::default(),
            other_plan: watch::Sender::default(),
        })
    }

    pub(super) fn to_everybody(&self, step: Step, message: Message) {
        self.put(step, ToWhom::Everybody(message));
    }

    pub(super) fn to_each(&self, step: Step, messages: Messages) {
        self.put(step, ToWhom::Each(messages));
    }

    fn put(&self, step: Step, said: ToWhom) {
        let mut messages = self
            .messages
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        messages.insert(step, said);
    }

    /// Completes when this many others have fetched the confirmation.
    pub(super) async fn confirmed_to(&self, others: usize) {
        let mut done = self.done.subscribe();
        // Ends early only with the sender, which `self` holds.
        let _ = done.wait_for(|done| done.len() >= others).await;
    }

    /// Completes with the first member that asks under another plan.
    pub(super) async fn asked_under_another_plan(&self) -> MemberName {
        let mut other = self.other_plan.subscribe();
        loop {
            if let Some(member) = other.borrow_and_update().clone() {
                return member;
            }
            // Ends early only with the sender, which `self` holds.
            let _ = other.changed().await;
        }
    }

    fn answer(&self, caller: &MemberName, step: Step) -> Option<Message> {
        let messages = self.messages.read().unwrap_or_else(PoisonError::into_inner);
        let message = match messages.get(&step)? {
            ToWhom::Everybody(message) => Some(message.clone()),
            ToWhom::Each(messages) => messages.get(caller).cloned(),
        }?;
        if step == Step::Confirmation {
            self.done.send_modify(|done| {
                done.insert(caller.clone());
            });
        }
        Some(message)
    }
}

/// The service over what was said.
#[derive(Debug, Clone)]
pub(super) struct Saying(pub(super) Arc<Said>);

#[async_trait]
impl CeremonyService for Saying {
    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<v1::FetchResponse>, Status> {
        let peer = request.extensions().get::<PeerKey>();
        let caller = peer.and_then(|peer| self.0.plan.participant_by_key(&peer.0));
        let caller = caller.ok_or(Status::permission_denied("the key takes no part"))?;
        let (plan, step) = ceremony::read_fetch(request.get_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if plan != self.0.plan.id() {
            self.0.other_plan.send_replace(Some(caller.name.clone()));
            return Err(Status::failed_precondition("another plan"));
        }
        let message = self.0.answer(&caller.name, step);
        let message = message.ok_or(Status::unavailable("not said yet"))?;
        Ok(Response::new(ceremony::said(&message)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::dkg::{Kind, Participant, PlanParts};
    use proto::hash::Hash;
    use proto::oprf::{ShareIndex, Threshold};
    use proto::signing::SecretKey;
    use tokio::time::timeout;
    use tonic::Code;

    use super::*;

    fn key(place: u16) -> SecretKey {
        SecretKey::from_seed(&[u8::try_from(place).unwrap(); 32])
    }

    fn plan() -> Plan {
        let participants = (1..=3).map(|place| Participant {
            name: format!("member-{place}").parse().unwrap(),
            index: ShareIndex::new(place).unwrap(),
            public_key: key(place).public(),
        });
        Plan::new(PlanParts {
            kind: Kind::Deal,
            origin: "vitrail.test/optique".parse().unwrap(),
            roster: Hash::from_bytes([1; 32]),
            attempt: 1,
            threshold: Threshold::new(2).unwrap(),
            participants: participants.collect(),
        })
        .unwrap()
    }

    async fn ask(said: &Arc<Said>, from: u16, plan: Hash, step: Step) -> Result<Vec<u8>, Code> {
        let mut request = Request::new(ceremony::fetch(plan, step));
        request
            .extensions_mut()
            .insert(PeerKey(key(from).public(), None));
        let answer = Saying(said.clone()).fetch(request).await;
        let answer = answer.map_err(|status| status.code())?;
        Ok(answer.into_inner().message)
    }

    #[tokio::test]
    async fn a_share_goes_to_the_one_it_is_for_and_a_stranger_gets_nothing() {
        let (said, plan) = (Said::new(plan()), plan().id());
        let message = |byte| Message::parse(&[byte; 80]).unwrap();
        let early = ask(&said, 2, plan, Step::Commitment).await;
        assert_eq!(early, Err(Code::Unavailable));
        said.to_everybody(Step::Commitment, message(9));
        for caller in [1, 2, 3] {
            let got = ask(&said, caller, plan, Step::Commitment).await;
            assert_eq!(got, Ok(vec![9; 80]));
        }
        let each =
            [2, 3].map(|place: u8| (format!("member-{place}").parse().unwrap(), message(place)));
        said.to_each(Step::Share, each.into_iter().collect());
        assert_eq!(ask(&said, 2, plan, Step::Share).await, Ok(vec![2; 80]));
        assert_eq!(ask(&said, 3, plan, Step::Share).await, Ok(vec![3; 80]));
        assert_eq!(
            ask(&said, 1, plan, Step::Share).await,
            Err(Code::Unavailable)
        );
        let stranger = ask(&said, 4, plan, Step::Commitment).await;
        assert_eq!(stranger, Err(Code::PermissionDenied));
        let other = Hash::from_bytes([5; 32]);
        let other = ask(&said, 2, other, Step::Commitment).await;
        assert_eq!(other, Err(Code::FailedPrecondition));
    }

    #[tokio::test]
    async fn who_asks_under_another_plan_is_told_to_this_member_too() {
        let (said, plan) = (Said::new(plan()), plan().id());
        let _ = ask(&said, 3, plan, Step::Commitment).await;
        let early = timeout(Duration::ZERO, said.asked_under_another_plan()).await;
        assert!(early.is_err(), "the same plan is no other one");
        let other = Hash::from_bytes([5; 32]);
        let _ = ask(&said, 4, other, Step::Commitment).await;
        let early = timeout(Duration::ZERO, said.asked_under_another_plan()).await;
        assert!(early.is_err(), "a stranger's plan is nobody's");
        let _ = ask(&said, 2, other, Step::Commitment).await;
        let member = said.asked_under_another_plan().await;
        assert_eq!(member.as_str(), "member-2");
    }

    #[tokio::test]
    async fn the_member_stays_until_each_other_one_has_its_confirmation() {
        let (said, plan) = (Said::new(plan()), plan().id());
        said.to_everybody(Step::Confirmation, Message::parse(&[9; 80]).unwrap());
        let waiting = tokio::spawn({
            let said = said.clone();
            async move { said.confirmed_to(2).await }
        });
        for _ in 0..2 {
            ask(&said, 2, plan, Step::Confirmation).await.unwrap();
        }
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        ask(&said, 3, plan, Step::Confirmation).await.unwrap();
        waiting.await.unwrap();
    }
}
