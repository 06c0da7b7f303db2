//! The file of one queued claim.
//!
//! ```text
//! vitrail queued claim v1
//! queued <milliseconds since 1970>
//! <the kept quote>
//! after <size of the log before the attempt>     \ if it may be on its way
//! attempt <base64 of the signed entry>           /
//! refused <code of the reason>                   instead, if it was refused
//! ```

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::entry::{ENTRY_BYTES_MAX, Entry};
use proto::ids::{TreeSize, UnixMillis};
use proto::refusal::Reason;

use crate::pos::kept::Lines;
use crate::pos::{Draft, KEPT_BYTES_MAX, KeptError};

/// Longest file of a queued claim: a kept quote and an entry in base64.
pub const QUEUED_BYTES_MAX: usize = KEPT_BYTES_MAX + 2 * ENTRY_BYTES_MAX + 256;

const TITLE: &str = "vitrail queued claim v1";

/// A claim under a signature that may be on its way, or in the ledger already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The signed entry.
    pub entry: Entry,
    /// The size of the log before it was signed: it cannot stand before this.
    pub after: TreeSize,
}

/// A claim that waits, or one that was refused and that nobody has looked at yet.
#[derive(Debug, Clone)]
pub struct Queued {
    /// What the file is called, without its ending.
    pub name: String,
    /// When it came into the queue, by the till's clock.
    pub queued_at: UnixMillis,
    /// What is claimed.
    pub draft: Draft,
    /// The one signature under which it may be in the ledger.
    pub attempt: Option<Attempt>,
    /// Why it is not in the ledger and will not be.
    pub refused: Option<Reason>,
}

impl Queued {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{TITLE}\nqueued {}\n", self.queued_at.get());
        text.push_str(&self.draft.to_text());
        if let Some(Attempt { entry, after }) = &self.attempt {
            let entry = BASE64_STANDARD.encode(entry.bytes());
            text.push_str(&format!("after {}\nattempt {entry}\n", after.get()));
        }
        if let Some(reason) = self.refused {
            text.push_str(&format!("refused {}\n", reason.code()));
        }
        text
    }

    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, KeptError> {
        let mut lines = Lines::new(str::from_utf8(bytes).unwrap_or_default());
        if lines.next() != Some(TITLE) {
            return Err(lines.wrong("the title of a queued claim"));
        }
        let queued_at = UnixMillis::new(lines.number("queued", "queued <milliseconds>")?);
        let draft = Draft::read(&mut lines)?;
        let attempt = match lines.next_is("after") {
            true => Some(attempt(&mut lines)?),
            false => None,
        };
        let refused = match lines.next_is("refused") {
            true => {
                let want = "refused <code of a reason>";
                let reason = Reason::from_code(lines.field("refused", want)?);
                Some(reason.ok_or(lines.wrong(want))?)
            }
            false => None,
        };
        lines.end()?;
        Ok(Self {
            name: name.to_owned(),
            queued_at,
            draft,
            attempt,
            refused,
        })
    }
}

fn attempt(lines: &mut Lines<'_>) -> Result<Attempt, KeptError> {
    let after = TreeSize::new(lines.number("after", "after <decimal>")?);
    let want = "attempt <base64 of an entry>";
    let entry = Entry::parse(&lines.decoded("attempt", want)?);
    let entry = entry.map_err(|_| lines.wrong(want))?;
    Ok(Attempt { entry, after })
}
