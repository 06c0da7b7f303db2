//! What happened in a simulation, as text: the same seed gives the same.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// How often what is on its way in the network goes into the trace.
const NETWORK_EVERY: Duration = Duration::from_millis(250);

/// Lines with the simulated time and what was seen.
#[derive(Debug, Default)]
pub(super) struct Trace {
    text: String,
    /// Over all that was on its way so far, step by step.
    network: u64,
    told: Duration,
}

impl Trace {
    /// Adds a line.
    pub(super) fn tell(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{:>6} ms  {what}", at.as_millis());
    }

    /// Notes what is on its way after a step: as many segments, of so many bytes, between which
    /// hosts.
    pub(super) fn network(&mut self, at: Duration, sim: &turmoil::Sim<'_>) {
        let mut mixed = self.network;
        sim.links(|links| {
            for sent in links.flatten() {
                let (from, to) = sent.pair();
                mix(
                    &mut mixed,
                    u64::from(from.port()) << 16 | u64::from(to.port()),
                );
                mix(&mut mixed, bytes(sent.protocol()));
            }
        });
        self.network = mixed;
        if at >= self.told + NETWORK_EVERY {
            self.told = at;
            self.tell(at, format_args!("network {mixed:016x}"));
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn bytes(protocol: &turmoil::Protocol) -> u64 {
    match protocol {
        turmoil::Protocol::Tcp(turmoil::Segment::Data(_, bytes)) => bytes.len() as u64 + 3,
        turmoil::Protocol::Tcp(turmoil::Segment::Fin(_)) => 2,
        turmoil::Protocol::Tcp(turmoil::Segment::Rst) => 1,
        _ => 0,
    }
}

/// FNV-1a, a word at a time.
const fn mix(state: &mut u64, word: u64) {
    *state = (*state ^ word)
        .wrapping_mul(0x0100_0000_01b3)
        .rotate_left(17);
}
