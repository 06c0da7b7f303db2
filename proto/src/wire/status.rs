//! What a member's node says of the federation: who leads, who has a seat, who has signed what.

use super::{WireError, read, v1};
use crate::checkpoint::SignedCheckpoint;
use crate::ids::MemberName;
use crate::roster::{MEMBERS_MAX, SignedRoster};

/// Most seats of an answer: each member may have an old life that still votes and a new one that
/// does not yet.
pub const SEATS_MAX: usize = 2 * MEMBERS_MAX;
/// Longest word for what a node does.
const CONDITION_BYTES_MAX: usize = 32;

/// One life of a member's node in the ordering engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatStatus {
    /// Whose node it is.
    pub member: MemberName,
    /// The life.
    pub engine_id: u64,
    /// Whether it votes there.
    pub votes: bool,
}

/// What one node says. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The newest checkpoint that a quorum vouches for.
    pub checkpoint: SignedCheckpoint,
    /// The newest cosignature of each member.
    pub cosignatures: Vec<SignedCheckpoint>,
    /// The roster in force.
    pub roster: SignedRoster,
    /// Who leads, if anybody is known to.
    pub leader: Option<MemberName>,
    /// Who sits in the ordering engine; nobody at a node without one.
    pub seats: Vec<SeatStatus>,
    /// `writing`, `following`, or why writes are stopped.
    pub condition: String,
}

/// Reads what a node says.
///
/// # Errors
/// More than [`MEMBERS_MAX`] cosignatures or [`SEATS_MAX`] seats, or the first field that is wrong.
pub fn read_status(message: &v1::StatusResponse) -> Result<NodeStatus, WireError> {
    require_at_most("cosignatures", message.cosignatures.len(), MEMBERS_MAX)?;
    require_at_most("seats", message.seats.len(), SEATS_MAX)?;
    let cosignatures = message.cosignatures.iter();
    let cosignatures = cosignatures.map(|text| Ok(read::checkpoint(text)?));
    let roster = SignedRoster::parse(message.roster.as_bytes()).map_err(|_| WireError::Format {
        field: "roster",
        want: "a signed roster",
    })?;
    let leader = Some(message.leader.as_str()).filter(|name| !name.is_empty());
    Ok(NodeStatus {
        checkpoint: read::checkpoint(&message.checkpoint)?,
        cosignatures: cosignatures.collect::<Result<_, WireError>>()?,
        roster,
        leader: leader.map(|it| name("leader", it)).transpose()?,
        seats: message.seats.iter().map(seat).collect::<Result<_, _>>()?,
        condition: condition(&message.condition)?,
    })
}

/// What a node says, as it is sent.
#[must_use]
pub fn write_status(status: &NodeStatus) -> v1::StatusResponse {
    let texts = status.cosignatures.iter().map(SignedCheckpoint::to_text);
    let seats = status.seats.iter().map(|seat| v1::Seat {
        member: seat.member.to_string(),
        engine_id: seat.engine_id,
        votes: seat.votes,
    });
    v1::StatusResponse {
        checkpoint: status.checkpoint.to_text(),
        cosignatures: texts.collect(),
        roster: status.roster.to_text(),
        leader: status
            .leader
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        seats: seats.collect(),
        condition: status.condition.clone(),
    }
}

fn seat(message: &v1::Seat) -> Result<SeatStatus, WireError> {
    Ok(SeatStatus {
        member: name("seats.member", &message.member)?,
        engine_id: message.engine_id,
        votes: message.votes,
    })
}

fn name(field: &'static str, text: &str) -> Result<MemberName, WireError> {
    text.parse().map_err(|_| WireError::Format {
        field,
        want: "a member's name",
    })
}

/// A word: it is printed on a terminal.
fn condition(text: &str) -> Result<String, WireError> {
    let is_word = text.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
    (is_word && !text.is_empty() && text.len() <= CONDITION_BYTES_MAX)
        .then(|| text.to_owned())
        .ok_or(WireError::Format {
            field: "condition",
            want: "a word of at most 32 letters and hyphens",
        })
}

fn require_at_most(field: &'static str, got: usize, max: usize) -> Result<(), WireError> {
    (got <= max)
        .then_some(())
        .ok_or(WireError::TooMany { field, got, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::hash;
    use crate::ids::{TreeSize, UnixSeconds};
    use crate::roster::example::{federation, name, secret};

    fn status() -> NodeStatus {
        let roster = federation(4, 0);
        let checkpoint = Checkpoint {
            origin: roster.origin().clone(),
            size: TreeSize::new(7),
            log_root: hash::empty(),
            map_root: hash::empty(),
        };
        let line = checkpoint.cosign(&name(1), &secret(1), UnixSeconds::new(9));
        let checkpoint = SignedCheckpoint::new(checkpoint, vec![line]).unwrap();
        let line = roster.sign(&name(0), &secret(0));
        NodeStatus {
            cosignatures: vec![checkpoint.clone()],
            checkpoint,
            roster: SignedRoster::new(roster, vec![line]).unwrap(),
            leader: Some(name(1)),
            seats: vec![SeatStatus {
                member: name(1),
                engine_id: 5,
                votes: true,
            }],
            condition: "writing".to_owned(),
        }
    }

    #[test]
    fn what_a_node_says_is_read_back() {
        let (said, unled) = (
            status(),
            NodeStatus {
                leader: None,
                ..status()
            },
        );
        assert_eq!(read_status(&write_status(&said)), Ok(said));
        assert_eq!(read_status(&write_status(&unled)), Ok(unled));
    }

    #[test]
    fn what_could_fill_a_screen_or_the_memory_is_refused() {
        let refused = |change: fn(&mut v1::StatusResponse)| {
            let mut message = write_status(&status());
            change(&mut message);
            read_status(&message).map(|_| ())
        };
        let too_many = |field, got, max| Err(WireError::TooMany { field, got, max });
        assert_eq!(
            refused(|it| it.seats = vec![v1::Seat::default(); SEATS_MAX + 1]),
            too_many("seats", SEATS_MAX + 1, SEATS_MAX)
        );
        assert_eq!(
            refused(|it| it.cosignatures = vec![String::new(); MEMBERS_MAX + 1]),
            too_many("cosignatures", MEMBERS_MAX + 1, MEMBERS_MAX)
        );
        assert!(refused(|it| it.condition = "\u{1b}[2J".to_owned()).is_err());
        assert!(refused(|it| it.condition = String::new()).is_err());
        assert!(refused(|it| it.leader = "two words".to_owned()).is_err());
    }
}
