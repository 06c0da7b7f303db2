//! What left the shop: every message of a till, byte for byte.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use client::connection::{Observer, Outbound};

/// One message as it left.
pub struct Message {
    pub method: &'static str,
    pub bytes: Vec<u8>,
}

/// Keeps every message until it is shown.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Message>>);

impl Recorder {
    /// What left since the last time this was asked.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Recorder {
    fn leaves(&self, outbound: &Outbound<'_>) {
        let message = Message {
            method: outbound.method,
            bytes: outbound.request.to_vec(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
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
