//! A member that speaks to the engines of others as it likes, with its own key: forged votes,
//! terms, seats, memberships and batches.

use std::collections::BTreeMap;
use std::time::Duration;

use client::system;
use node::engine::record::{log_id_to_bytes, record_to_bytes, vote_from_bytes, vote_to_bytes};
use node::engine::{
    Applied, CommittedLeaderId, EngineId, Entry, LeaderId, LogId, Membership, Payload, Record, Vote,
};
use node::peer::Peer;
use node::store::{Recovered, Store, StoreOptions};
use proto::attestation::Attestation;
use proto::ballot::Ballot;
use proto::batch::{BatchHeader, SignedHeader, content_hash};
use proto::checkpoint::SignedCheckpoint;
use proto::hash::Hash;
use proto::ids::{MemberName, UnixMillis};
use proto::map::MapValue;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::batch::record_bytes;
use proto::wire::v1;
use tonic::{Request, Status};

use crate::nodes::Nodes;
use crate::replicated::reaches;
use crate::workload::Prepared;

/// How often a liar looks whether its node has its vote, and asks for votes again.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// By then a node at rest has on the disk what it has published.
pub const SYNCED: Duration = Duration::from_millis(300);
/// So many places after the last one nobody has any record.
const FAR: u64 = 1_000;
/// Every call has a deadline.
const DEADLINE: Duration = Duration::from_secs(10);

/// The member, and what its node knew when it was stopped.
#[derive(Debug)]
pub struct Liar {
    name: MemberName,
    secret: SecretKey,
    roster: Roster,
    peers: BTreeMap<MemberName, Peer>,
    engine: EngineId,
    applied: Applied,
    last: LogId,
    header: SignedHeader,
    term: u64,
    /// The ledger of its node.
    store: Store,
}

/// What is not true of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lie {
    /// The map root that it states, if another one than follows.
    pub map_root: Option<Hash>,
    /// By how much it is dated back.
    pub ago_millis: u64,
    /// How many of its first entries are hidden from who gets it.
    pub hidden: usize,
    /// Whether the message stands at a place that nobody has reached: it is looked at, and not
    /// ordered.
    pub far: bool,
}

/// A leader's message that need not be true.
#[derive(Debug, Clone)]
pub struct Forged {
    term: u64,
    /// The place before its records, if not the last one that is known.
    previous: Option<LogId>,
    leader: Option<EngineId>,
    records: Vec<Vec<u8>>,
    mandate: Vec<Vec<u8>>,
}

impl Forged {
    /// The sign of life of a leader in a term, without a mandate.
    #[must_use]
    pub const fn heartbeat(term: u64) -> Self {
        Self {
            term,
            previous: None,
            leader: None,
            records: Vec::new(),
            mandate: Vec::new(),
        }
    }

    /// The same, from another seat than the liar's.
    #[must_use]
    pub fn of(self, leader: EngineId) -> Self {
        Self {
            leader: Some(leader),
            ..self
        }
    }
}

impl Liar {
    /// Stops a member's node once it has its vote, and speaks in its place from then on.
    ///
    /// # Panics
    /// When the node gets no vote.
    pub async fn instead_of(name: &str, nodes: &mut Nodes) -> Self {
        let name: MemberName = name.parse().unwrap();
        for _ in 0..TRIES {
            tokio::time::sleep(PAUSE).await;
            let founder = nodes.node("cnam");
            let till = nodes.federation.grant_tills(founder, 1).await.remove(0);
            let newest = nodes.session("cnam", &till).home().checkpoint().await;
            let size = newest.unwrap().claimed().size.get();
            reaches(&nodes.session(name.as_str(), &till), size).await;
            tokio::time::sleep(SYNCED).await;
            nodes.kill(name.as_str());
            if let Some(liar) = Self::read(&name, nodes, size) {
                return liar;
            }
            nodes.start(&name, &["--learn"]);
        }
        panic!("the node gets no vote");
    }

    fn read(name: &MemberName, nodes: &Nodes, size: u64) -> Option<Self> {
        let data = nodes.folder(name.as_str()).join("data");
        let store = Store::open(&data, StoreOptions::default()).unwrap();
        let state = store.begin_engine(EngineId::new(0)).unwrap();
        let secret = nodes.keys[name].clone();
        let roster = nodes.federation.roster.clone();
        let peers = Peer::all(&roster, &secret).unwrap();
        let applied = state.applied;
        let voters = applied.membership.membership().voter_ids().count();
        let is_whole = applied.membership.membership().get_joint_config().len() == 1;
        let header = store.last_header().unwrap()?;
        let is_newest = header.claimed().size.get() == size;
        if voters < roster.voting_members().count() || !is_whole || !is_newest {
            return None;
        }
        Some(Self {
            name: name.clone(),
            secret,
            roster,
            peers: peers
                .into_iter()
                .map(|it| (it.member().clone(), it))
                .collect(),
            engine: state.id,
            applied,
            last: state.present.map(|span| span.last).or(state.purged)?,
            header,
            term: state.vote?.leader_id.term,
            store,
        })
    }

    /// The newest term that it knows of.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// The membership that its node had.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.applied.membership.membership()
    }

    /// The seat of a member.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn seat_of(&self, member: &str) -> EngineId {
        let mut seats = self.membership().nodes();
        let seat = seats.find(|(_, seat)| seat.member.as_str() == member);
        *seat.unwrap().0
    }

    fn peer(&self, member: &str) -> &Peer {
        &self.peers[&member.parse::<MemberName>().unwrap()]
    }

    /// Sends a leader's message to a member's node.
    ///
    /// # Errors
    /// What that answers when it does not take it.
    pub async fn append(
        &self,
        to: &str,
        forged: &Forged,
    ) -> Result<v1::EngineServiceAppendResponse, Status> {
        let vote = vote(forged.term, forged.leader.unwrap_or(self.engine), true);
        let message = v1::EngineServiceAppendRequest {
            to: self.seat_of(to).get(),
            vote,
            previous: log_id_to_bytes(&forged.previous.unwrap_or(self.last)),
            records: forged.records.clone(),
            committed: Vec::new(),
            mandate: forged.mandate.clone(),
        };
        let answer = self.peer(to).engine().append(request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Asks a member's node for its vote in a term, as if the leader had wanted it.
    ///
    /// # Errors
    /// What that answers when it does not even look.
    pub async fn campaign(
        &self,
        to: &str,
        term: u64,
    ) -> Result<v1::EngineServiceVoteResponse, Status> {
        // A log that is longer than any other.
        let last = LogId::new(self.last.leader_id, self.last.index + 1_000_000);
        let message = v1::EngineServiceVoteRequest {
            to: self.seat_of(to).get(),
            vote: vote(term, self.engine, false),
            last: log_id_to_bytes(&last),
            is_transfer: true,
        };
        let answer = self.peer(to).engine().vote(request(message)).await?;
        Ok(answer.into_inner())
    }

    /// Asks for votes until these members follow it. Gives the message that they took.
    ///
    /// # Panics
    /// When they do not.
    pub async fn take_the_lead(&mut self, members: &[&str]) -> Forged {
        for _ in 0..TRIES {
            self.term += 1;
            let mut mandate = vec![self.ballot(self.term, &self.name, self.engine)];
            for member in members {
                let answer = self.campaign(member, self.term).await.unwrap();
                let theirs = vote_from_bytes(&answer.vote).unwrap().leader_id.term;
                match answer.is_granted {
                    true => mandate.push(answer.ballot),
                    false => self.term = self.term.max(theirs),
                }
            }
            let heartbeat = Forged {
                mandate,
                ..Forged::heartbeat(self.term)
            };
            if heartbeat.mandate.len() > members.len() && self.is_taken(members, &heartbeat).await {
                return heartbeat;
            }
        }
        panic!("nobody follows the liar");
    }

    async fn is_taken(&self, members: &[&str], heartbeat: &Forged) -> bool {
        for member in members {
            if self.append(member, heartbeat).await.is_err() {
                return false;
            }
        }
        true
    }

    fn ballot(&self, term: u64, voter: &MemberName, voter_engine: EngineId) -> Vec<u8> {
        let ballot = Ballot {
            term,
            engine: self.engine.get(),
            member: self.name.clone(),
            voter_engine: voter_engine.get(),
            voter: voter.clone(),
        };
        ballot.sign(self.roster.origin(), &self.secret).to_bytes()
    }

    /// A sign of life with a ballot of every seat, all of which the liar has signed.
    #[must_use]
    pub fn stuffed(&self, term: u64) -> Forged {
        let seats = self.membership().nodes();
        let ballots = seats.map(|(id, seat)| self.ballot(term, &seat.member, *id));
        Forged {
            mandate: ballots.collect(),
            ..Forged::heartbeat(term)
        }
    }

    /// The message with a membership.
    ///
    /// # Panics
    /// When the membership is larger than may be.
    #[must_use]
    pub fn with_membership(&self, forged: &Forged, membership: Membership) -> Forged {
        self.with_record(forged, Payload::Membership(membership))
    }

    /// The message with a batch of claims of slots that are free, over the newest checkpoint, with
    /// what is not true of it.
    ///
    /// # Panics
    /// When the own ledger cannot be read.
    #[must_use]
    pub fn with_batch(
        &self,
        forged: &Forged,
        claims: &[&Prepared],
        newest: &SignedCheckpoint,
        lie: Lie,
    ) -> Forged {
        let before = self.header.claimed();
        let Recovered { edge, crown, .. } = self.store.recover().unwrap().unwrap();
        let (mut log, mut changes) = (edge, BTreeMap::new());
        for claim in claims {
            let (leaf, header) = (log.size().next_index(), claim.entry.header());
            let says = Attestation::read(header).unwrap();
            for (index, state) in says.effects_on(&BTreeMap::new(), leaf, &header.issuer) {
                let value = state.map(|it| MapValue::from_bytes(&it.to_bytes()).unwrap());
                changes.insert(index, value);
            }
            let _ = log.append_all(&[claim.entry.leaf_hash()]);
        }
        let map_root = crown.update(&changes, &self.store).unwrap().root();
        let at = system::now().get().max(before.at.get());
        let header = BatchHeader {
            term: forged.term,
            number: before.number + 1,
            previous: before.hash(),
            at: UnixMillis::new(at.saturating_sub(lie.ago_millis)),
            size: log.size(),
            log_root: log.root(),
            map_root: lie.map_root.unwrap_or(map_root),
            content: content_hash(claims.iter().map(|it| &*it.entry)),
        };
        let header = header.sign(self.roster.origin(), &self.secret);
        let shown = claims.iter().skip(lie.hidden);
        let entries: Vec<_> = shown
            .map(|it| (&it.entry, (it.payload.clone(), it.salt.clone())))
            .collect();
        let entries = entries
            .iter()
            .map(|(entry, payload)| (&***entry, Some(payload)));
        let record = record_bytes(&header, &self.name, entries, &newest.to_text());
        let record = Payload::Normal(Record::new(record));
        match lie.far {
            false => self.with_record(forged, record),
            true => self.far_with_record(forged, record),
        }
    }

    fn far_with_record(&self, forged: &Forged, payload: Payload) -> Forged {
        let index = self.last.index + FAR;
        let previous = LogId::new(self.last.leader_id, index);
        let forged = Forged {
            previous: Some(previous),
            ..forged.clone()
        };
        self.with_record(&forged, payload)
    }

    fn with_record(&self, forged: &Forged, payload: Payload) -> Forged {
        let leader = CommittedLeaderId::new(forged.term);
        let before = forged.previous.unwrap_or(self.last);
        let log_id = LogId::new(leader, before.index + 1);
        let record = record_to_bytes(&Entry { log_id, payload }).unwrap();
        Forged {
            records: vec![record],
            ..forged.clone()
        }
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

fn vote(term: u64, voted_for: EngineId, committed: bool) -> Vec<u8> {
    let leader_id = LeaderId { term, voted_for };
    vote_to_bytes(&Vote {
        leader_id,
        committed,
    })
}
