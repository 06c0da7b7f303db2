//! What left the shops: every message of their tills, byte for byte.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use client::connection::{Observer, Outbound};
use tokio::sync::watch;

/// The method that an entry leaves by, as the schema names it.
const APPEND: &str = "vitrail.v1.LedgerService/Append";

/// One message as it left.
pub struct Message {
    pub method: &'static str,
    pub bytes: Vec<u8>,
}

/// Keeps every message until it is shown, and counts the entries among them.
#[derive(Default)]
pub struct Recorder {
    messages: Mutex<Vec<Message>>,
    entries: watch::Sender<usize>,
}

impl Recorder {
    /// What left since the last time this was asked.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.messages())
    }

    fn messages(&self) -> MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries have left, those sent again among them.
    pub fn entries(&self) -> usize {
        *self.entries.borrow()
    }

    /// Completes when this many entries have left.
    pub async fn entries_reach(&self, count: usize) {
        let mut entries = self.entries.subscribe();
        // Ends early only with the sender, which `self` holds.
        let _ = entries.wait_for(|entries| *entries >= count).await;
    }
}

impl Observer for Recorder {
    fn leaves(&self, outbound: &Outbound<'_>) {
        let message = Message {
            method: outbound.method,
            bytes: outbound.request.to_vec(),
        };
        self.messages().push(message);
        if outbound.method == APPEND {
            self.entries.send_modify(|entries| *entries += 1);
        }
    }
}

/// Bytes as rows of 32 in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> Vec<String> {
    let row = |row: &[u8]| {
        row.iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    };
    bytes.chunks(32).map(row).collect()
}

/// Whether any of the words stands in any of the messages: the demo looks for what must not.
pub fn leaks(messages: &[Message], words: &[&str]) -> bool {
    let stands = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    messages
        .iter()
        .any(|m| words.iter().any(|word| stands(&m.bytes, word.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_a_message_is_found() {
        let messages = [Message {
            method: "Lookup",
            bytes: b"..2951099126111..".to_vec(),
        }];
        assert!(leaks(&messages, &["2951099126111"]));
        assert!(!leaks(&messages, &["2951099126112"]));
    }
}
