//! One participant's side of a ceremony: what it says in each step, and how it checks what the
//! others said. Pure: the seed and the messages are arguments.

mod keys;

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use self::keys::Content;
use super::CeremonyError;
use super::message::{About, Message, Step};
use super::plan::{Kind, Participant, Plan};
use super::polynomial::{Fault, SecretValues};
use super::repair::{Helping, check_deltas, repaired_share};
use super::transcript::{Holding, PublicPair, Published, Transcript};
use crate::hash::{HASH_BYTES, Hash};
use crate::ids::MemberName;
use crate::oprf::{SCALAR_BYTES, ShareIndex};
use crate::signing::{SIGNATURE_BYTES, SecretKey, Signature};

/// Length of a member's seed.
pub const SEED_BYTES: usize = 32;

/// What of a view is about one participant: the hash of its opening, and its signature on that.
const VIEW_LINE_BYTES: usize = HASH_BYTES + SIGNATURE_BYTES;

/// The messages of one step, by sender.
pub type Messages = BTreeMap<MemberName, Message>;

/// What the shares of both keys are derived under.
const PERSON: &[u8] = b"person";
const CONTRACT: &[u8] = b"contract";

/// The shares that a ceremony starts from.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// A deal: none.
    Nothing,
    /// A refresh, and a helper of a repair: this member's, which are those in force.
    Held(&'a Holding),
    /// The repaired member of a repair: what is public of those in force, its own among them.
    Published(&'a Published),
}

/// One participant with its secrets.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    plan: &'a Plan,
    own: &'a Participant,
    secret: &'a SecretKey,
    seed: &'a [u8; SEED_BYTES],
    basis: Basis<'a>,
}

/// What every participant opened, checked against what it committed to.
pub struct Openings {
    each: BTreeMap<ShareIndex, Opened>,
}

struct Opened {
    member: MemberName,
    fingerprint: Hash,
    signature: Signature,
    content: Content,
}

/// What a ceremony gave this member.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its shares, and what is public.
    pub holding: Holding,
    /// What all participants confirm.
    pub transcript: Transcript,
}

impl<'a> Seat<'a> {
    /// The seat of the participant with this name; `None` if there is none, or if it has another
    /// key. `seed` is 32 bytes from a cryptographic source, kept until the ceremony is over and
    /// then wiped; `basis` are the shares that the ceremony starts from.
    #[must_use]
    pub fn new(
        plan: &'a Plan,
        name: &MemberName,
        secret: &'a SecretKey,
        seed: &'a [u8; SEED_BYTES],
        basis: Basis<'a>,
    ) -> Option<Self> {
        let own = plan.participant(name)?;
        (own.public_key == secret.public()).then_some(Self {
            plan,
            own,
            secret,
            seed,
            basis,
        })
    }

    /// Step 1: the fingerprint of the opening.
    ///
    /// # Errors
    /// [`CeremonyError::Unusable`], which a random seed does not cause.
    pub fn commitment(&self) -> Result<Message, CeremonyError> {
        let fingerprint = self.opening()?.fingerprint();
        Ok(self.say(Step::Commitment, None, fingerprint.as_bytes().to_vec()))
    }

    /// Step 2: commitments for both keys. To be shown only once all of step 1 are there.
    ///
    /// # Errors
    /// [`CeremonyError::Unusable`], which a random seed does not cause.
    pub fn opening(&self) -> Result<Message, CeremonyError> {
        let mut body = Vec::new();
        for key in [PERSON, CONTRACT] {
            let opening = match self.plan.repaired() {
                None => self.polynomial(key).and_then(|own| own.opening()),
                Some(_) if self.is_repaired() => self.request(key),
                Some(_) => self.helping(key).and_then(|own| own.opening()),
            };
            body.extend(opening.map_err(|fault| self.blame(&fault))?);
        }
        Ok(self.say(Step::Opening, None, body))
    }

    /// Checks every opening: signed, what was committed to, well formed, its proofs hold; in a
    /// repair, that it adds up to what its helper must give.
    ///
    /// # Errors
    /// [`CeremonyError`], which names whose opening is missing or wrong.
    pub fn check_openings(
        &self,
        commitments: &Messages,
        openings: &Messages,
    ) -> Result<Openings, CeremonyError> {
        let mut each = BTreeMap::new();
        for one in self.plan.participants() {
            let body = self.body(Step::Commitment, one, commitments)?;
            let committed =
                Hash::from_slice(body).ok_or_else(|| malformed(one, Step::Commitment))?;
            let body = self.body(Step::Opening, one, openings)?;
            let message = self.message(Step::Opening, one, openings)?;
            if message.fingerprint() != committed {
                let culprit = one.name.clone();
                return Err(CeremonyError::OtherOpening { culprit });
            }
            let opened = self.opened(one, message, body);
            each.insert(
                one.index,
                opened.ok_or_else(|| malformed(one, Step::Opening))?,
            );
        }
        let openings = Openings { each };
        for key in [PERSON, CONTRACT] {
            let checked = match self.plan.kind() {
                // The proofs are checked on the way to the shares.
                Kind::Deal | Kind::Refresh => self.values(key, &openings).map(|_| ()),
                Kind::Repair(_) => self.published(key).and_then(|published| {
                    check_deltas(self.plan, &openings.deltas(key), &published)
                }),
            };
            checked.map_err(|fault| self.blame(&fault))?;
        }
        Ok(openings)
    }

    fn opened(&self, one: &Participant, message: &Message, body: &[u8]) -> Option<Opened> {
        Some(Opened {
            member: one.name.clone(),
            fingerprint: message.fingerprint(),
            signature: *message.signature(),
            content: self.content(one, body)?,
        })
    }

    /// Step 3: which openings this member has.
    #[must_use]
    pub fn view(&self, openings: &Openings) -> Message {
        let mut body = Vec::new();
        for opened in openings.each.values() {
            body.extend(opened.fingerprint.as_bytes());
            body.extend(opened.signature.as_bytes());
        }
        self.say(Step::View, None, body)
    }

    /// Checks that everybody has the same openings.
    ///
    /// # Errors
    /// [`CeremonyError::TwoOpenings`] with the member that signed two,
    /// [`CeremonyError::FalseView`] with the one that claims what was not signed.
    pub fn check_views(&self, openings: &Openings, views: &Messages) -> Result<(), CeremonyError> {
        for witness in self.plan.participants() {
            let body = self.body(Step::View, witness, views)?;
            if body.len() != openings.each.len() * VIEW_LINE_BYTES {
                return Err(malformed(witness, Step::View));
            }
            let shown = body.chunks_exact(VIEW_LINE_BYTES);
            for (author, line) in self.plan.participants().iter().zip(shown) {
                self.check_view_line(openings, witness, author, line)?;
            }
        }
        Ok(())
    }

    fn check_view_line(
        &self,
        openings: &Openings,
        witness: &Participant,
        author: &Participant,
        line: &[u8],
    ) -> Result<(), CeremonyError> {
        let parts = line.split_first_chunk::<HASH_BYTES>();
        let parts = parts.and_then(|(hash, signature)| {
            Some((Hash::from_bytes(*hash), signature.try_into().ok()?))
        });
        let (shown, signature) = parts.ok_or_else(|| malformed(witness, Step::View))?;
        if openings.each.get(&author.index).map(|own| own.fingerprint) == Some(shown) {
            return Ok(());
        }
        let about = self.about(Step::Opening, author, None);
        let signature = Signature::from_bytes(signature);
        let signed = author
            .public_key
            .verify(&about.signed_bytes(shown), &signature);
        Err(match signed {
            Ok(()) => CeremonyError::TwoOpenings {
                culprit: author.name.clone(),
                witness: witness.name.clone(),
            },
            Err(_) => CeremonyError::FalseView {
                culprit: witness.name.clone(),
                author: author.name.clone(),
            },
        })
    }

    /// Step 4: for each other participant that gets one, the message that it alone may have. To be
    /// shown only once [`Seat::check_views`] found all views the same.
    ///
    /// # Errors
    /// [`CeremonyError::Proof`], if the openings were not checked before.
    pub fn shares(&self, openings: &Openings) -> Result<Messages, CeremonyError> {
        if self.is_repaired() {
            return Ok(Messages::new());
        }
        let values = |key| match self.plan.repaired() {
            None => self.values(key, openings),
            Some(_) => self.helping(key).map(Helping::shares),
        };
        let values = |key| values(key).map_err(|fault| self.blame(&fault));
        let (person, contract) = (values(PERSON)?, values(CONTRACT)?);
        let mut messages = Messages::new();
        let repaired = self.plan.repaired();
        for one in self.others().filter(|one| repaired != Some(one.index)) {
            let both = person.get(&one.index).zip(contract.get(&one.index));
            let (person, contract) = both.ok_or(CeremonyError::Unusable)?;
            let share = self.say_pair(Step::Share, one, person, contract);
            messages.insert(one.name.clone(), share);
        }
        Ok(messages)
    }

    /// Checks the shares that the others sent, and adds them up to this member's. In a repair the
    /// way is by [`Seat::sigma`] and [`Seat::finish_repair`].
    ///
    /// # Errors
    /// [`CeremonyError::Share`] and its like, which name whose share is missing or wrong.
    pub fn finish(&self, openings: &Openings, shares: &Messages) -> Result<Outcome, CeremonyError> {
        let [person, contract] = self.pairs(Step::Share, shares)?;
        let person = self.finish_key(PERSON, openings, &person)?;
        let contract = self.finish_key(CONTRACT, openings, &contract)?;
        let public = self.plan.participants().iter().map(|one| {
            Some(PublicPair {
                member: one.name.clone(),
                person: *person.published.shares.get(&one.index)?,
                contract: *contract.published.shares.get(&one.index)?,
            })
        });
        let public = public.collect::<Option<_>>();
        let holding = Holding {
            person: person.share,
            contract: contract.share,
            published: Published {
                joint_person: person.published.joint,
                joint_contract: contract.published.joint,
                shares: public.ok_or(CeremonyError::Unusable)?,
            },
        };
        Ok(self.outcome(openings, holding))
    }

    /// After step 4 of a repair: checks the deltas that the other helpers sent, and gives the
    /// message with their sums that the repaired member alone may have. The repaired member
    /// itself says nothing.
    ///
    /// # Errors
    /// [`CeremonyError::Share`] and its like, which name whose delta is missing or wrong.
    pub fn sigma(&self, openings: &Openings, shares: &Messages) -> Result<Messages, CeremonyError> {
        let mut messages = Messages::new();
        let mut others = self.others();
        let repaired = others.find(|one| self.plan.repaired() == Some(one.index));
        if let Some(repaired) = repaired {
            let [person, contract] = self.pairs(Step::Share, shares)?;
            let sum = |key, received: &SecretValues| {
                let own = self.helping(key);
                let sum = own.and_then(|own| own.sigma(&openings.deltas(key), received));
                sum.map_err(|fault| self.blame(&fault))
            };
            let (person, contract) = (sum(PERSON, &person)?, sum(CONTRACT, &contract)?);
            let sigma = self.say_pair(Step::Sigma, repaired, &person, &contract);
            messages.insert(repaired.name.clone(), sigma);
        }
        Ok(messages)
    }

    /// The end of a repair: the repaired member checks the sums and adds them up to its shares,
    /// which must be the published ones; a helper's shares are what they were.
    ///
    /// # Errors
    /// [`CeremonyError::Sigma`] and its like, which name whose sums are missing or wrong.
    pub fn finish_repair(
        &self,
        openings: &Openings,
        sigmas: &Messages,
    ) -> Result<Outcome, CeremonyError> {
        let published = match (self.basis, self.plan.kind()) {
            (Basis::Nothing, _) | (_, Kind::Deal | Kind::Refresh) => {
                return Err(CeremonyError::Unusable);
            }
            (Basis::Held(held), _) => return Ok(self.outcome(openings, held.clone())),
            (Basis::Published(published), Kind::Repair(_)) => published.clone(),
        };
        let [person, contract] = self.pairs(Step::Sigma, sigmas)?;
        let share = |key, sigmas: &SecretValues| {
            let published = self.published(key);
            let share = published.and_then(|published| {
                repaired_share(self.plan, &openings.deltas(key), sigmas, &published)
            });
            share.map_err(|fault| self.blame(&fault))
        };
        let holding = Holding {
            person: share(PERSON, &person)?,
            contract: share(CONTRACT, &contract)?,
            published,
        };
        Ok(self.outcome(openings, holding))
    }

    fn is_repaired(&self) -> bool {
        self.plan.repaired() == Some(self.own.index)
    }

    /// Both values that each one sent who says something in this step: of the person key, of the
    /// contract key.
    fn pairs(&self, step: Step, messages: &Messages) -> Result<[SecretValues; 2], CeremonyError> {
        let (mut person, mut contract) = (SecretValues::new(), SecretValues::new());
        for one in self.senders(step) {
            let body = self.body(step, one, messages)?;
            let halves = body.split_at_checked(SCALAR_BYTES);
            let halves = halves.filter(|(_, contract)| contract.len() == SCALAR_BYTES);
            let halves = halves.ok_or_else(|| malformed(one, step))?;
            person.insert(one.index, Zeroizing::new(halves.0.to_vec()));
            contract.insert(one.index, Zeroizing::new(halves.1.to_vec()));
        }
        Ok([person, contract])
    }

    fn outcome(&self, openings: &Openings, holding: Holding) -> Outcome {
        let fingerprints = openings.each.values();
        let fingerprints: Vec<_> = fingerprints
            .map(|opened| (opened.member.clone(), opened.fingerprint))
            .collect();
        let transcript = Transcript::new(self.plan, &fingerprints, &holding.published);
        Outcome {
            holding,
            transcript,
        }
    }

    /// Who says something to this member in a step: all others, or in the secret steps of a repair
    /// the helpers, to each other and then to the repaired member.
    #[must_use]
    pub fn senders(&self, step: Step) -> Vec<&'a Participant> {
        let repaired = self.plan.repaired();
        let receives = match step {
            Step::Commitment | Step::Opening | Step::View | Step::Confirmation => true,
            Step::Share => !self.is_repaired(),
            Step::Sigma => self.is_repaired(),
        };
        let says = |one: &Participant| !step.is_for_one() || repaired != Some(one.index);
        self.others().filter(|one| receives && says(one)).collect()
    }

    /// Step 5: this member's shares are durable, and the transcript is this one. `endorsement` is
    /// carried along: a line with the member's signature on what follows from the transcript.
    #[must_use]
    pub fn confirmation(&self, transcript: &Transcript, endorsement: &str) -> Message {
        let mut body = transcript.hash().as_bytes().to_vec();
        body.extend(endorsement.as_bytes());
        self.say(Step::Confirmation, None, body)
    }

    /// Checks that everybody confirms this transcript, and gives their endorsements, by name.
    ///
    /// # Errors
    /// [`CeremonyError::OtherTranscript`] names who does not.
    pub fn check_confirmations(
        &self,
        transcript: &Transcript,
        confirmations: &Messages,
    ) -> Result<Vec<String>, CeremonyError> {
        let each = self.plan.participants().iter().map(|one| {
            let body = self.body(Step::Confirmation, one, confirmations)?;
            let parts = body.split_first_chunk::<HASH_BYTES>();
            let (hash, endorsement) = parts.ok_or_else(|| malformed(one, Step::Confirmation))?;
            if hash != transcript.hash().as_bytes() {
                let culprit = one.name.clone();
                return Err(CeremonyError::OtherTranscript { culprit });
            }
            let text = String::from_utf8(endorsement.to_vec());
            text.map_err(|_| malformed(one, Step::Confirmation))
        });
        each.collect()
    }

    /// Checks one message as it arrives: signed by `from`, for this ceremony, this step and, if
    /// it is a share, this member.
    ///
    /// # Errors
    /// [`CeremonyError::Signature`] names the sender.
    pub fn check_signature(
        &self,
        step: Step,
        from: &Participant,
        message: &Message,
    ) -> Result<(), CeremonyError> {
        let to = step.is_for_one().then_some(self.own);
        message.verify(&self.about(step, from, to)).map(|_| ())
    }

    fn say_pair(&self, step: Step, to: &Participant, person: &[u8], contract: &[u8]) -> Message {
        self.say(step, Some(to), [person, contract].concat())
    }

    fn say(&self, step: Step, to: Option<&Participant>, body: Vec<u8>) -> Message {
        let about = self.about(step, self.own, to);
        Message::sign(&about, Zeroizing::new(body), self.secret)
    }

    /// A message of any content, as a member that cheats signs it.
    #[cfg(test)]
    pub(super) fn signed(&self, step: Step, to: Option<&Participant>, body: Vec<u8>) -> Message {
        self.say(step, to, body)
    }

    fn about<'b>(&self, step: Step, from: &'b Participant, to: Option<&'b Participant>) -> About<'b>
    where
        'a: 'b,
    {
        let plan = self.plan;
        About {
            plan,
            step,
            from,
            to,
        }
    }

    fn message<'b>(
        &self,
        step: Step,
        from: &Participant,
        messages: &'b Messages,
    ) -> Result<&'b Message, CeremonyError> {
        messages.get(&from.name).ok_or(CeremonyError::Missing {
            member: from.name.clone(),
            step,
        })
    }

    fn body<'b>(
        &self,
        step: Step,
        from: &Participant,
        messages: &'b Messages,
    ) -> Result<&'b [u8], CeremonyError> {
        let message = self.message(step, from, messages)?;
        let to = step.is_for_one().then_some(self.own);
        message.verify(&self.about(step, from, to))
    }

    fn others(&self) -> impl Iterator<Item = &'a Participant> {
        let own = self.own.index;
        let all = self.plan.participants().iter();
        all.filter(move |one| one.index != own)
    }

    fn blame(&self, fault: &Fault) -> CeremonyError {
        let name = |index: ShareIndex| {
            let mut all = self.plan.participants().iter();
            all.find(|one| one.index == index)
                .map(|one| one.name.clone())
        };
        let blamed = match fault {
            Fault::Proof(index) => name(*index).map(|culprit| CeremonyError::Proof { culprit }),
            Fault::Share(index) => name(*index).map(|culprit| CeremonyError::Share { culprit }),
            Fault::Deltas(index) => name(*index).map(|culprit| CeremonyError::Deltas { culprit }),
            Fault::Sigma(index) => name(*index).map(|culprit| CeremonyError::Sigma { culprit }),
            Fault::Unusable => None,
        };
        blamed.unwrap_or(CeremonyError::Unusable)
    }
}

impl fmt::Debug for Seat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({}, <secret>)", self.own.name)
    }
}

impl fmt::Debug for Openings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Openings({})", self.each.len())
    }
}

fn malformed(one: &Participant, step: Step) -> CeremonyError {
    let culprit = one.name.clone();
    CeremonyError::Malformed { culprit, step }
}
