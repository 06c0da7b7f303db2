//! What left this machine for the federation: the last messages, byte for byte, for whoever wants to
//! see that nobody's identity is among them.
//!
//! They are blinded elements, pseudorandom keys, signatures and sealed payloads. They stay in memory, up
//! to a limit, and whoever shows the pairing token may read them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use utoipa::ToSchema;

use crate::connection::{Observer, Outbound};

/// Most messages that are remembered: a check is about ten, a delivery as many.
pub const MESSAGES_MAX: usize = 128;
/// Most bytes that are remembered. No message is longer than 64 KiB, most have some hundred bytes.
pub const BYTES_MAX: usize = 256 * 1024;

/// One message that left this machine.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutboundMessage {
    /// Its place among all that have left since the agent was started, from 1.
    pub number: u64,
    /// Whose node it went to.
    pub member: String,
    /// The method, as the federation's schema names it.
    pub method: String,
    /// How many bytes it has.
    pub size: usize,
    /// The bytes, in base64.
    pub bytes: String,
}

/// Answer of `GET /v1/outbound`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutboundAnswer {
    /// The messages, in the order in which they left.
    pub messages: Vec<OutboundMessage>,
    /// The number of the last message that has left: `after` for whoever wants what leaves from now on.
    pub last: u64,
    /// How many that were asked for are not remembered any more.
    pub forgotten: u64,
    /// Whether a simulating agent says it: it sends nothing to anybody.
    pub simulated: bool,
}

/// Remembers the last messages.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    messages: VecDeque<Message>,
    bytes: usize,
    last: u64,
}

struct Message {
    number: u64,
    member: String,
    method: &'static str,
    bytes: Vec<u8>,
}

impl Recorder {
    /// What left after the message of this number.
    pub(super) fn after(&self, number: u64, simulated: bool) -> OutboundAnswer {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = remembered.messages.iter().filter(|it| it.number > number);
        let messages: Vec<_> = asked.map(Message::answer).collect();
        OutboundAnswer {
            forgotten: remembered.last.saturating_sub(number) - messages.len() as u64,
            messages,
            last: remembered.last,
            simulated,
        }
    }
}

impl Observer for Recorder {
    fn leaves(&self, outbound: &Outbound<'_>) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.last += 1;
        let message = Message {
            number: remembered.last,
            member: outbound.member.to_string(),
            method: outbound.method,
            bytes: outbound.request.to_vec(),
        };
        remembered.add(message);
    }
}

impl Remembered {
    fn add(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        self.messages.push_back(message);
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes.len();
        }
    }
}

impl Message {
    fn answer(&self) -> OutboundMessage {
        OutboundMessage {
            number: self.number,
            member: self.member.clone(),
            method: self.method.to_owned(),
            size: self.bytes.len(),
            bytes: BASE64_STANDARD.encode(&self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(recorder: &Recorder, bytes: &[u8]) {
        let member = "cnam".parse().unwrap();
        recorder.leaves(&Outbound {
            member: &member,
            method: "vitrail.v1.LedgerService/Lookup",
            request: bytes,
        });
    }

    #[test]
    fn what_left_is_told_from_a_number_on() {
        let recorder = Recorder::default();
        assert_eq!(recorder.after(0, false).last, 0);
        leaves(&recorder, b"one");
        leaves(&recorder, b"two");
        let told = recorder.after(1, false);
        assert_eq!((told.last, told.forgotten, told.messages.len()), (2, 0, 1));
        let message = &told.messages[0];
        assert_eq!((message.number, message.size), (2, 3));
        assert_eq!(BASE64_STANDARD.decode(&message.bytes).unwrap(), b"two");
        assert!(recorder.after(9, false).messages.is_empty());
        assert_eq!(recorder.after(9, false).forgotten, 0);
    }

    #[test]
    fn the_oldest_are_forgotten_and_counted() {
        let recorder = Recorder::default();
        for _ in 0..MESSAGES_MAX + 3 {
            leaves(&recorder, b"x");
        }
        let told = recorder.after(0, false);
        assert_eq!((told.messages.len(), told.forgotten), (MESSAGES_MAX, 3));
        leaves(&recorder, &vec![0; BYTES_MAX]);
        let told = recorder.after(0, false);
        assert_eq!(told.messages.len(), 1);
        assert_eq!(told.forgotten, MESSAGES_MAX as u64 + 3);
        leaves(&recorder, b"x");
        assert_eq!(recorder.after(0, false).messages[0].size, 1);
    }
}
