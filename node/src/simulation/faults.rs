//! What goes wrong in a simulation, and when: a plan that follows from the seed.

use std::time::Duration;

use super::federation::MEMBERS;
use super::machine;

/// The first fault comes after this. Nodes that all start at once wait two seconds for what the
/// others remember.
const QUIET: Duration = Duration::from_millis(2_300);
/// The last one begins before this.
pub(super) const FAULTS_UNTIL: Duration = Duration::from_millis(4_500);
/// How long one lasts, at least and at most.
const LASTS_MS: (u64, u64) = (150, 1_500);
/// How many there are, at least and at most.
const COUNT: (u64, u64) = (3, 6);
/// In one of so many runs the first crash takes the disk along.
const WIPED_IN: u64 = 3;
/// How much slower a slow line is.
const SLOW_MS: (u64, u64) = (40, 250);

/// One thing that goes wrong. Members are named by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A node ends at once, and starts again later. What it had written it finds again.
    Crash { node: usize, is_cut_off: bool },
    /// The same, as soon as the node has signed a state that it has not published yet.
    CrashSigned { node: usize },
    /// A crash, and the whole disk is lost with what this member had signed and voted for. It is
    /// once in a run at most: more members that forget are more than may fail.
    Wipe { node: usize },
    /// Nothing passes between a node and those others, either way, until the line is back: what was
    /// sent then arrives.
    Held { node: usize, others: Others },
    /// What a node sends to those others is lost, and with it the connections that it was sent on.
    Lost { from: usize, others: Others },
    /// What a node and those others say to each other takes this much longer.
    Slow {
        node: usize,
        others: Others,
        by: Duration,
    },
}

/// Some of the members, by their places as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Others(u64);

impl Others {
    /// Their places, without that of `node`.
    pub(super) fn of(self, node: usize) -> impl Iterator<Item = usize> {
        (0..MEMBERS.len()).filter(move |place| *place != node && self.0 >> place & 1 == 1)
    }
}

/// A fault with its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) begins: Duration,
    pub(super) ends: Duration,
    pub(super) fault: Fault,
}

/// The plan of a seed, in the order of its beginnings.
pub(super) fn plan(seed: u64) -> Vec<Planned> {
    let mut random = seed;
    let count = between(&mut random, COUNT);
    let mut plan: Vec<_> = (0..count).map(|_| one(&mut random)).collect();
    plan.sort_by_key(|planned| planned.begins);
    if machine::next(&mut random).is_multiple_of(WIPED_IN) {
        for planned in &mut plan {
            if let Fault::Crash { node, .. } = planned.fault {
                planned.fault = Fault::Wipe { node };
                break;
            }
        }
    }
    plan
}

fn one(random: &mut u64) -> Planned {
    let until = u64::try_from((FAULTS_UNTIL - QUIET).as_millis()).unwrap();
    let begins = QUIET + Duration::from_millis(machine::next(random) % until);
    let ends = begins + Duration::from_millis(between(random, LASTS_MS));
    let node = usize::try_from(machine::next(random) % MEMBERS.len() as u64).unwrap();
    // Everybody in one case of two, else any of them.
    let others = Others(match machine::next(random) % 2 {
        0 => u64::MAX,
        _ => machine::next(random),
    });
    let fault = match machine::next(random) % 8 {
        0..2 => Fault::Crash {
            node,
            is_cut_off: machine::next(random).is_multiple_of(2),
        },
        2..4 => Fault::CrashSigned { node },
        4..6 => Fault::Held { node, others },
        6 => Fault::Lost { from: node, others },
        _ => Fault::Slow {
            node,
            others,
            by: Duration::from_millis(between(random, SLOW_MS)),
        },
    };
    Planned {
        begins,
        ends,
        fault,
    }
}

fn between(random: &mut u64, (least, most): (u64, u64)) -> u64 {
    least + machine::next(random) % (most - least + 1)
}
