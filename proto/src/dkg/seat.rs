//! One participant's side of a ceremony: what it says in each step, and how it checks what the
//! others said. Pure: the seed and the messages are arguments.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::CeremonyError;
use super::message::{About, Message, Step};
use super::plan::{Kind, Participant, Plan};
use super::polynomial::{Commitments, Fault, KeyOutcome, Polynomial, Randomness, opening_bytes};
use super::transcript::{Holding, PublicPair, Transcript};
use crate::hash::{Context, HASH_BYTES, Hash, SecretStream};
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

/// One participant with its secrets.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    plan: &'a Plan,
    own: &'a Participant,
    secret: &'a SecretKey,
    seed: &'a [u8; SEED_BYTES],
    held: Option<&'a Holding>,
}

/// What every participant opened, checked against what it committed to.
pub struct Openings {
    each: BTreeMap<ShareIndex, Opened>,
}

struct Opened {
    member: MemberName,
    fingerprint: Hash,
    signature: Signature,
    person: Commitments,
    contract: Commitments,
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
    /// then wiped; `held` are the shares that a refresh starts from, and nothing in a deal.
    #[must_use]
    pub fn new(
        plan: &'a Plan,
        name: &MemberName,
        secret: &'a SecretKey,
        seed: &'a [u8; SEED_BYTES],
        held: Option<&'a Holding>,
    ) -> Option<Self> {
        let own = plan.participant(name)?;
        (own.public_key == secret.public()).then_some(Self {
            plan,
            own,
            secret,
            seed,
            held,
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

    /// Step 2: commitments to both polynomials. To be shown only once all of step 1 are there.
    ///
    /// # Errors
    /// [`CeremonyError::Unusable`], which a random seed does not cause.
    pub fn opening(&self) -> Result<Message, CeremonyError> {
        let mut body = Vec::new();
        for key in [PERSON, CONTRACT] {
            let opening = self.polynomial(key).and_then(|own| own.opening());
            body.extend(opening.map_err(|fault| self.blame(&fault))?);
        }
        Ok(self.say(Step::Opening, None, body))
    }

    /// Checks every opening: signed, what was committed to, well formed, its proofs hold.
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
        // The proofs are checked on the way to the shares.
        self.values(PERSON, &openings)?;
        self.values(CONTRACT, &openings)?;
        Ok(openings)
    }

    fn opened(&self, one: &Participant, message: &Message, body: &[u8]) -> Option<Opened> {
        let (kind, threshold) = (self.plan.kind(), self.plan.threshold());
        let (person, contract) = body.split_at_checked(opening_bytes(kind, threshold))?;
        Some(Opened {
            member: one.name.clone(),
            fingerprint: message.fingerprint(),
            signature: *message.signature(),
            person: Commitments::parse(kind, threshold, person)?,
            contract: Commitments::parse(kind, threshold, contract)?,
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

    /// Step 4: for each other participant the message that it alone may have. To be shown only
    /// once [`Seat::check_views`] found all views the same.
    ///
    /// # Errors
    /// [`CeremonyError::Proof`], if the openings were not checked before.
    pub fn shares(&self, openings: &Openings) -> Result<Messages, CeremonyError> {
        let mut person = self.values(PERSON, openings)?;
        let mut contract = self.values(CONTRACT, openings)?;
        let mut messages = Messages::new();
        for one in self.others() {
            let mut body = Vec::with_capacity(2 * SCALAR_BYTES);
            for values in [&mut person, &mut contract] {
                body.extend(
                    values
                        .remove(&one.index)
                        .ok_or(CeremonyError::Unusable)?
                        .iter(),
                );
            }
            messages.insert(one.name.clone(), self.say(Step::Share, Some(one), body));
        }
        Ok(messages)
    }

    /// Checks the shares that the others sent, and adds them up to this member's.
    ///
    /// # Errors
    /// [`CeremonyError::Share`] and its like, which name whose share is missing or wrong.
    pub fn finish(&self, openings: &Openings, shares: &Messages) -> Result<Outcome, CeremonyError> {
        let (mut person, mut contract) = (BTreeMap::new(), BTreeMap::new());
        for one in self.others() {
            let body = self.body(Step::Share, one, shares)?;
            let halves = body.split_at_checked(SCALAR_BYTES);
            let halves = halves.filter(|(_, contract)| contract.len() == SCALAR_BYTES);
            let halves = halves.ok_or_else(|| malformed(one, Step::Share))?;
            person.insert(one.index, Zeroizing::new(halves.0.to_vec()));
            contract.insert(one.index, Zeroizing::new(halves.1.to_vec()));
        }
        let person = self.finish_key(PERSON, openings, &person)?;
        let contract = self.finish_key(CONTRACT, openings, &contract)?;
        let public = self.plan.participants().iter().map(|one| {
            Some(PublicPair {
                member: one.name.clone(),
                person: *person.public.get(&one.index)?,
                contract: *contract.public.get(&one.index)?,
            })
        });
        let public = public.collect::<Option<_>>();
        let holding = Holding {
            person: person.share.clone(),
            contract: contract.share.clone(),
            joint_person: person.joint,
            joint_contract: contract.joint,
            public: public.ok_or(CeremonyError::Unusable)?,
        };
        let fingerprints = openings.each.values();
        let fingerprints: Vec<_> = fingerprints
            .map(|opened| (opened.member.clone(), opened.fingerprint))
            .collect();
        let transcript = Transcript::new(self.plan, &fingerprints, &holding);
        Ok(Outcome {
            holding,
            transcript,
        })
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
        let to = (step == Step::Share).then_some(self.own);
        message.verify(&self.about(step, from, to)).map(|_| ())
    }

    fn finish_key(
        &self,
        key: &[u8],
        openings: &Openings,
        shares: &BTreeMap<ShareIndex, Zeroizing<Vec<u8>>>,
    ) -> Result<KeyOutcome, CeremonyError> {
        let held = match self.plan.kind() {
            Kind::Deal => None,
            Kind::Refresh => Some(self.held_key(key).ok_or(CeremonyError::Unusable)?),
        };
        let finished = self
            .polynomial(key)
            .and_then(|own| own.finish(&openings.of(key), shares, held.as_ref()));
        let finished = finished.map_err(|fault| self.blame(&fault))?;
        // A refresh that changed the joint key would change every token.
        let same = held.is_none_or(|held| held.joint == finished.joint);
        same.then_some(finished).ok_or(CeremonyError::Unusable)
    }

    fn held_key(&self, key: &[u8]) -> Option<KeyOutcome> {
        let held = self.held?;
        let is_person = key == PERSON;
        let public = held.public.iter().map(|pair| {
            let share = if is_person {
                pair.person
            } else {
                pair.contract
            };
            (share.index(), share)
        });
        let (share, joint) = if is_person {
            (&held.person, held.joint_person)
        } else {
            (&held.contract, held.joint_contract)
        };
        Some(KeyOutcome {
            share: share.clone(),
            public: public.collect(),
            joint,
        })
    }

    fn values(
        &self,
        key: &[u8],
        openings: &Openings,
    ) -> Result<BTreeMap<ShareIndex, Zeroizing<Vec<u8>>>, CeremonyError> {
        let values = self
            .polynomial(key)
            .and_then(|own| own.shares(&openings.of(key)));
        values.map_err(|fault| self.blame(&fault))
    }

    /// The plan is hashed in, so that one seed never serves two ceremonies.
    fn polynomial(&self, key: &[u8]) -> Result<Polynomial<'a>, Fault> {
        let parts = [self.seed.as_slice(), self.plan.id().as_bytes(), key].map(<[u8]>::to_vec);
        let parts = parts.map(Zeroizing::new);
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
        let stream = SecretStream::new(Context::CeremonySecrets, &parts);
        Polynomial::new(self.plan, self.own.index, Randomness(stream))
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
        let to = (step == Step::Share).then_some(self.own);
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

impl Openings {
    fn of(&self, key: &[u8]) -> BTreeMap<ShareIndex, &Commitments> {
        let each = self.each.iter().map(|(index, opened)| {
            let commitments = if key == PERSON {
                &opened.person
            } else {
                &opened.contract
            };
            (*index, commitments)
        });
        each.collect()
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
