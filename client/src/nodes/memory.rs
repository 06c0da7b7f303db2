//! The file that keeps from one run of a program to the next how soon each node answers, and for
//! how long it is put back. It is a hint: whatever cannot be read is not known.
//!
//! ```text
//! vitrail nodes v1
//! <member> <read> <deviation> <durable> <deviation> <failures> <put back until>
//! ```
//!
//! Times of answers are microseconds, 0 when none is known; the last is a moment, 0 when the node is
//! not put back. A line for each member, by name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proto::ids::{MemberName, UnixMillis};
use tokio::time::Instant;

use super::health::{Estimate, Health, NodeHealth, PUT_BACK_MAX};
use crate::files;

/// The first line.
const TITLE: &str = "vitrail nodes v1";
/// Longest file: a line of 256 members has at most 200 bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// What the file says of these members; nothing of a member that it does not name.
pub(super) fn read(
    path: &Path,
    members: &[MemberName],
    now: UnixMillis,
    instant: Instant,
) -> Health {
    let text = files::read_text(path, FILE_BYTES_MAX).unwrap_or_default();
    let mut lines = text.lines();
    let is_known = lines.next() == Some(TITLE);
    let mut health = Health::of(members.len());
    for line in lines.filter(|_| is_known) {
        let fields: Vec<&str> = line.split(' ').collect();
        let place = members
            .iter()
            .position(|name| fields.first() == Some(&name.as_str()));
        let told = parse(&fields, now, instant);
        if let (Some(place), Some(told)) = (place, told)
            && let Some(node) = health.nodes.get_mut(place)
        {
            *node = told;
        }
    }
    health
}

/// Writes what is known, beside what another program may be writing: the last one counts. It is not
/// synced, and a failure is no matter.
pub(super) fn write(
    path: &Path,
    members: &[MemberName],
    health: &Health,
    now: UnixMillis,
    instant: Instant,
) {
    let mut text = format!("{TITLE}\n");
    for (member, node) in members.iter().zip(&health.nodes) {
        let [read, durable] = [&node.read, &node.durable].map(format);
        let left = node.put_back_until.map(|until| until - instant);
        let left = left.filter(|left| !left.is_zero());
        let until = left.map_or(0, |left| now.get() + millis(left));
        let failures = node.failures;
        text.push_str(&format!("{member} {read} {durable} {failures} {until}\n"));
    }
    let _ = fs::write(path, text);
}

fn parse(fields: &[&str], now: UnixMillis, instant: Instant) -> Option<NodeHealth> {
    let [_, numbers @ ..] = fields else {
        return None;
    };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|field| field.parse()).collect();
    let [
        read,
        read_deviation,
        durable,
        durable_deviation,
        failures,
        until,
    ] = numbers.ok()?[..]
    else {
        return None;
    };
    // A clock that was set back must not put a node back for longer than it ever is.
    let left = Duration::from_millis(until.saturating_sub(now.get())).min(PUT_BACK_MAX);
    Some(NodeHealth {
        read: estimate(read, read_deviation),
        durable: estimate(durable, durable_deviation),
        failures: u32::try_from(failures).ok()?,
        put_back_until: (!left.is_zero()).then(|| instant + left),
    })
}

fn estimate(smoothed: u64, deviation: u64) -> Estimate {
    Estimate {
        smoothed: (smoothed > 0).then(|| Duration::from_micros(smoothed)),
        deviation: Duration::from_micros(deviation),
    }
}

fn format(estimate: &Estimate) -> String {
    let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let smoothed = estimate
        .smoothed
        .map_or(0, |smoothed| micros(smoothed).max(1));
    format!("{smoothed} {}", micros(estimate.deviation))
}

fn millis(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::health::Effort;
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_768_000_000_000);

    fn members() -> Vec<MemberName> {
        ["alpha", "cnam"].map(|name| name.parse().unwrap()).to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_the_nodes_outlives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        let (members, instant) = (members(), Instant::now());
        let mut health = Health::of(2);
        health.answered(0, Effort::Read, Duration::from_micros(1500));
        health.answered(0, Effort::Durable, Duration::from_millis(20));
        health.failed(1, instant);
        write(&path, &members, &health, NOW, instant);
        let want = "vitrail nodes v1\n\
                    alpha 1500 750 20000 10000 0 0\n\
                    cnam 0 0 0 0 1 1768000002000\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), want);
        assert_eq!(read(&path, &members, NOW, instant), health);
        let later = UnixMillis::new(NOW.get() + 2_000);
        assert!(!read(&path, &members, later, instant).is_put_back(1, instant));
        let earlier = UnixMillis::new(NOW.get() - 10_000_000);
        let back = read(&path, &members, earlier, instant);
        assert!(!back.is_put_back(1, instant + PUT_BACK_MAX));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        let (members, instant) = (members(), Instant::now());
        let nothing = Health::of(2);
        assert_eq!(read(&path, &members, NOW, instant), nothing);
        for text in [
            "",
            "vitrail nodes v2\ncnam 1 1 1 1 0 0\n",
            "vitrail nodes v1\ncnam 1 1 1 1 0\ncnam 1 1 1 1 -1 0\nbeta 1 1 1 1 0 0\n\ncnam\n",
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path, &members, NOW, instant), nothing, "{text}");
        }
    }
}
