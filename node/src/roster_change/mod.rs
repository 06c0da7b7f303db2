//! How members decide who they are, each at its own desk: one proposes the next roster, as many as
//! it takes sign their own copies, one puts the copies together and has the ledger take it.
//!
//! ```text
//! request (a newcomer, or a new key) -> propose -> sign, at each of a quorum -> publish
//! ```
//!
//! No key leaves its organisation. Whoever signs is told in words what is new, and signs that and
//! nothing else.

mod failure;
mod publication;

use std::io;
use std::path::{Path, PathBuf};

use proto::ids::MemberName;
use proto::roster::{
    Address, Difference, MemberChange, MemberRequest, Roster, SignedRoster, Strength,
    SuccessionError, WrittenRequest,
};
use proto::signing::SecretKey;

pub use self::failure::RosterChangeError;
pub use self::publication::{Published, put_together};
use crate::ceremony::{read_bounded, write_whole};
use crate::config::Config;
use crate::init::generate_key;
use crate::next_key::NextKey;
use crate::peer::Peer;
use crate::secret_file;
use crate::server::{read_key, read_roster};
use crate::standing;

/// The office of one member: its key, and the roster in force as far as it is known.
#[derive(Debug)]
pub struct Desk {
    /// The member.
    pub name: MemberName,
    secret: SecretKey,
    key_path: PathBuf,
    node: Address,
    first: Roster,
    in_force: Roster,
}

/// What is proposed, signed or about to be.
#[derive(Debug)]
pub struct Proposal {
    /// The next roster.
    pub roster: Roster,
    /// What is new in it, for people.
    pub differences: Vec<Difference>,
    /// The voting members that have signed it.
    pub signed_by: Vec<MemberName>,
    /// How many must.
    pub quorum: usize,
}

impl Desk {
    /// Opens the office of the node with these settings. The roster in force comes from the file
    /// if one is named, which whoever names it vouches for; else from the members' nodes, the own
    /// one included, followed from the first roster on.
    ///
    /// # Errors
    /// [`RosterChangeError`].
    pub async fn open(config: &Config, in_force: Option<&Path>) -> Result<Self, RosterChangeError> {
        let secret = read_key(&config.key).map_err(Box::new)?;
        let first = read_roster(&config.roster).map_err(Box::new)?;
        let node = config.grpc.to_string().parse::<Address>();
        let node = node.map_err(|_| RosterChangeError::OwnAddress)?;
        let in_force = match in_force {
            Some(path) => read_signed(path)?.admitted().clone(),
            None => {
                let (name, key) = (config.name.clone(), secret.public());
                let own = Peer::open(name, key, &node, &secret)?;
                let mut peers = Peer::all(&first, &secret)?;
                peers.push(own);
                let newest = standing::newest(peers, &first).await;
                newest.ok_or(RosterChangeError::NobodyAnswers)?
            }
        };
        Ok(Self {
            name: config.name.clone(),
            key_path: config.key.clone(),
            secret,
            node,
            first,
            in_force,
        })
    }

    /// The roster in force.
    #[must_use]
    pub const fn in_force(&self) -> &Roster {
        &self.in_force
    }

    /// The federation's first roster.
    #[must_use]
    pub const fn first_roster(&self) -> &Roster {
        &self.first
    }

    /// A signed roster, in words.
    #[must_use]
    pub fn proposal_of(&self, signed: &SignedRoster) -> Proposal {
        let signers = signed.voting_signers(&self.in_force);
        let signers = signers.into_iter().cloned().collect();
        self.proposal(signed.admitted().clone(), signers)
    }

    /// The changes that a request asks for.
    ///
    /// # Errors
    /// [`RosterChangeError`] when it cannot be read, or is none for this federation.
    pub fn requested(&self, path: &Path) -> Result<Vec<MemberChange>, RosterChangeError> {
        let request = WrittenRequest::parse(read(path)?.as_bytes());
        let request = request.map_err(|error| RosterChangeError::Request {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        let changes = request.changes(&self.in_force, self.first.hash());
        changes.map_err(|error| RosterChangeError::Request {
            path: path.to_owned(),
            error: Box::new(error),
        })
    }

    /// The next roster: the one in force with these changes. `fewer_faults` allows that fewer
    /// members may lie by it than by the one in force.
    ///
    /// # Errors
    /// [`RosterChangeError`].
    pub fn propose(
        &self,
        changes: &[MemberChange],
        fewer_faults: bool,
    ) -> Result<Proposal, RosterChangeError> {
        let roster = self.in_force.after_changes(changes)?;
        let (was, is) = (Strength::of(&self.in_force), Strength::of(&roster));
        if is.faults < was.faults && !fewer_faults {
            let (voting, tolerated) = (is.voting, was.faults);
            return Err(RosterChangeError::FewerFaults { voting, tolerated });
        }
        Ok(self.proposal(roster, Vec::new()))
    }

    /// What this file proposes, checked against the roster in force, and in words. It may be
    /// unsigned.
    ///
    /// # Errors
    /// [`RosterChangeError`].
    pub fn read_proposal(&self, path: &Path) -> Result<Proposal, RosterChangeError> {
        let (roster, signed) = read_proposed(path)?;
        let signers = match &signed {
            Some(signed) => signed.voting_signers(&self.in_force),
            None => Vec::new(),
        };
        let signers = signers.into_iter().cloned().collect();
        self.require_next(&roster)?;
        Ok(self.proposal(roster, signers))
    }

    /// Signs what this file proposes, beside whoever has signed it there.
    ///
    /// # Errors
    /// [`RosterChangeError`] when this member has no vote, or the proposal is not the next roster,
    /// or changes what only a key ceremony may.
    pub fn sign(&self, path: &Path) -> Result<(Proposal, SignedRoster), RosterChangeError> {
        let own = self.in_force.member(&self.name);
        if own.is_none_or(|it| !it.is_voting()) {
            return Err(RosterChangeError::NoVote(self.name.clone()));
        }
        if own.is_some_and(|it| it.public_key != self.secret.public()) {
            return Err(RosterChangeError::OtherKey(self.name.clone()));
        }
        let (roster, signed) = read_proposed(path)?;
        self.require_next(&roster)?;
        let signed = match signed {
            Some(signed) => signed.signed_by(&self.name, &self.secret)?,
            None => {
                let line = roster.sign(&self.name, &self.secret);
                SignedRoster::new(roster.clone(), vec![line])?
            }
        };
        match signed.verify_successor(&self.in_force) {
            // Others sign after this one, or elsewhere.
            Ok(_) | Err(SuccessionError::QuorumNotMet { .. }) => {}
            Err(error) => return Err(Box::new(error).into()),
        }
        Ok((self.proposal_of(&signed), signed))
    }

    /// Asks for a new key, which it makes beside the one in force if there is none yet, and for
    /// other addresses where some are given.
    ///
    /// # Errors
    /// [`RosterChangeError`].
    pub fn rotation(
        &self,
        grpc: Option<Address>,
        http: Option<Address>,
    ) -> Result<WrittenRequest, RosterChangeError> {
        let listed = self.in_force.member(&self.name);
        let listed = listed.ok_or_else(|| RosterChangeError::NoVote(self.name.clone()))?;
        let next = self.next_key()?;
        let mut member = listed.clone();
        member.standing = proto::roster::Standing::Following;
        member.public_key = next.public();
        member.grpc = grpc.or(member.grpc);
        member.http = http.or(member.http);
        let request = MemberRequest {
            origin: self.in_force.origin().clone(),
            first_roster: self.first.hash(),
            member,
            incident: None,
        };
        Ok(request.sign(&next, Some(&self.secret))?)
    }

    /// The key that is to take over: the one that is there already, or a new one.
    fn next_key(&self) -> Result<SecretKey, RosterChangeError> {
        let path = NextKey::of(&self.key_path).path().to_owned();
        if path.exists() {
            return Ok(read_key(&path).map_err(Box::new)?);
        }
        let next = generate_key()?;
        let pem = next.to_pem().map_err(crate::init::InitError::from)?;
        let written = secret_file::write(&path, &pem);
        written.map_err(|error| RosterChangeError::SecretFile { path, error })?;
        Ok(next)
    }

    fn proposal(&self, roster: Roster, signed_by: Vec<MemberName>) -> Proposal {
        Proposal {
            differences: roster.differences(&self.in_force),
            signed_by,
            quorum: self.in_force.quorum(),
            roster,
        }
    }

    /// It follows the roster in force, and leaves the joint keys alone.
    fn require_next(&self, roster: &Roster) -> Result<(), RosterChangeError> {
        let (got, in_force) = (roster.epoch(), self.in_force.epoch());
        if roster.origin() != self.in_force.origin() {
            return Err(Box::new(SuccessionError::Origin).into());
        }
        if Some(got) != in_force.next() {
            return Err(RosterChangeError::Epoch { got, in_force });
        }
        if roster.previous() != Some(self.in_force.hash()) {
            let previous = in_force;
            return Err(Box::new(SuccessionError::Previous { previous }).into());
        }
        let is_of_ceremony = |it: &Difference| {
            matches!(
                it,
                Difference::Share { has: true, .. }
                    | Difference::Threshold { .. }
                    | Difference::JointKey(_)
                    | Difference::Ceremony
            )
        };
        let differences = roster.differences(&self.in_force);
        match differences.iter().any(is_of_ceremony) {
            true => Err(RosterChangeError::Ceremony),
            false => Ok(()),
        }
    }
}

/// Writes a proposal, a signed copy of one, or a request.
///
/// # Errors
/// [`RosterChangeError::Io`].
pub fn write(path: &Path, text: &str) -> Result<(), RosterChangeError> {
    write_whole(path, text).map_err(|error| io_error(path, error.kind()))
}

fn read(path: &Path) -> Result<String, RosterChangeError> {
    let text = read_bounded(path).map_err(|error| io_error(path, error.kind()))?;
    let text = text.ok_or_else(|| io_error(path, io::ErrorKind::NotFound))?;
    Ok(text.as_str().to_owned())
}

fn io_error(path: &Path, kind: io::ErrorKind) -> RosterChangeError {
    let path = path.to_owned();
    RosterChangeError::Io { path, kind }
}

fn read_signed(path: &Path) -> Result<SignedRoster, RosterChangeError> {
    let signed = SignedRoster::parse(read(path)?.as_bytes());
    signed.map_err(|error| RosterChangeError::Signed {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// A proposal, with the signatures that it has.
fn read_proposed(path: &Path) -> Result<(Roster, Option<SignedRoster>), RosterChangeError> {
    if let Ok(roster) = Roster::parse(&read(path)?) {
        return Ok((roster, None));
    }
    let signed = read_signed(path)?;
    Ok((signed.admitted().clone(), Some(signed)))
}
