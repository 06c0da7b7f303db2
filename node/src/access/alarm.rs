//! Alarms: reading that tills do not do. Raised at the reading that completes the pattern.
//!
//! A watch knows what this node has seen and lives in memory: it helps to notice a theft early. What
//! was read, the access records tell.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use proto::ids::{LeafIndex, UnixMillis};
use proto::signing::PublicKey;

use super::pattern::Pattern;
use crate::metrics::Metrics;

/// People whose token a till derives without a claim between: a shop's busy morning of nothing but
/// enquiries. A thief claims nothing.
pub const UNCLAIMED_PEOPLE: u32 = 12;
/// Lookups of one till within [`MASS_SPAN_MS`]: no counter serves a customer every twenty seconds.
pub const MASS_LOOKS: usize = 30;
/// The time in which [`MASS_LOOKS`] are many.
pub const MASS_SPAN_MS: u64 = 600_000;
/// Readings of one till in one night: one or two are somebody who tries the till out.
pub const NIGHT_READINGS: u32 = 3;
/// Two addresses of one key within this time: nobody carries a till so fast from one line to
/// another.
pub const ADDRESS_SPAN_MS: u64 = 600_000;
/// One alarm of a pattern for a till, then none of it for so long: who is told goes and looks.
pub const SILENCE_MS: u64 = 3_600_000;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// When the night begins and how long it is, in UTC: 22 to 6 o'clock in France in winter, 23 to 7
/// in summer. No shop is open.
const NIGHT_BEGINS_HOUR: u64 = 21;
const NIGHT_HOURS: u64 = 8;

/// What a till did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It had this many person tokens evaluated.
    Evaluated {
        /// How many.
        people: u32,
    },
    /// It asked for states.
    Looked,
    /// It asked for coverages.
    Quoted,
    /// Its claim was accepted.
    Claimed,
}

/// What one till has been seen to do.
#[derive(Debug, Default)]
struct Watch {
    since_claim: u32,
    looks: VecDeque<u64>,
    quotes: VecDeque<u64>,
    night: (u64, u32),
    address: Option<(IpAddr, u64)>,
    last: u64,
    raised: [Option<u64>; Pattern::ALL.len()],
}

impl Watch {
    /// Takes note of a reading, and says which patterns it completes.
    fn saw(&mut self, reading: Reading, address: Option<IpAddr>, now: UnixMillis) -> Vec<Pattern> {
        let now = now.get();
        self.last = now;
        let mut found = Vec::new();
        match reading {
            Reading::Claimed => self.since_claim = 0,
            Reading::Evaluated { people } => {
                self.since_claim = self.since_claim.saturating_add(people);
                let many = people > 0 && self.since_claim >= UNCLAIMED_PEOPLE;
                found.extend(many.then_some(Pattern::Unclaimed));
            }
            // A check is one of each: counted together, ten customers would look like twenty.
            Reading::Looked => found.extend(is_mass(&mut self.looks, now)),
            Reading::Quoted => found.extend(is_mass(&mut self.quotes, now)),
        }
        if reading != Reading::Claimed {
            found.extend(self.is_night(now).then_some(Pattern::Night));
        }
        let moved = address.is_some_and(|address| self.has_moved(address, now));
        found.extend(moved.then_some(Pattern::TwoAddresses));
        found.retain(|pattern| self.is_new(*pattern, now));
        found
    }

    fn is_night(&mut self, now: u64) -> bool {
        // Counted from the evening on, a night is one number.
        let from_evening = now.saturating_sub(NIGHT_BEGINS_HOUR * HOUR_MS);
        if from_evening % DAY_MS >= NIGHT_HOURS * HOUR_MS {
            return false;
        }
        let night = from_evening / DAY_MS;
        let count = if self.night.0 == night {
            self.night.1
        } else {
            0
        };
        self.night = (night, count.saturating_add(1));
        self.night.1 >= NIGHT_READINGS
    }

    fn has_moved(&mut self, address: IpAddr, now: u64) -> bool {
        let before = self.address.replace((address, now));
        before
            .is_some_and(|(other, at)| other != address && now.saturating_sub(at) < ADDRESS_SPAN_MS)
    }

    fn is_new(&mut self, pattern: Pattern, now: u64) -> bool {
        let raised = &mut self.raised[pattern as usize];
        let is_new = raised.is_none_or(|at| now.saturating_sub(at) >= SILENCE_MS);
        if is_new {
            *raised = Some(now);
        }
        is_new
    }
}

/// Takes note of a look, and says whether there were many of late.
fn is_mass(looks: &mut VecDeque<u64>, now: u64) -> Option<Pattern> {
    looks.push_back(now);
    while looks.len() > MASS_LOOKS {
        looks.pop_front();
    }
    let first = looks.front().copied().unwrap_or(now);
    let many = looks.len() == MASS_LOOKS && now.saturating_sub(first) < MASS_SPAN_MS;
    many.then_some(Pattern::Mass)
}

/// Watches every till that reads at this node.
#[derive(Debug)]
pub struct Alarms {
    metrics: Arc<Metrics>,
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    by_till: HashMap<[u8; 32], Watch>,
    swept: u64,
}

impl Alarms {
    /// Watches that have seen nothing yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let watches = Mutex::default();
        Self { metrics, watches }
    }

    /// A till did something. `grant` names it in the log line, where no key may stand.
    pub fn saw(
        &self,
        till: &PublicKey,
        grant: LeafIndex,
        address: Option<IpAddr>,
        reading: Reading,
        now: UnixMillis,
    ) {
        // A panic elsewhere, while the lock was held, leaves watches that are still of use.
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.sweep(now.get());
        let watch = watches.by_till.entry(till.to_bytes()).or_default();
        let found = watch.saw(reading, address, now);
        drop(watches);
        for pattern in found {
            self.metrics.alarm_raised(pattern);
            let pattern = pattern.as_str();
            tracing::warn!(pattern, %grant, "a till reads as tills do not: see `vitrail incident`");
        }
    }
}

impl Watches {
    /// Once an hour, forgets tills that have done nothing for a day.
    fn sweep(&mut self, now: u64) {
        if self.swept + HOUR_MS <= now {
            self.swept = now;
            self.by_till.retain(|_, watch| watch.last + DAY_MS > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));
    /// A Saturday at ten in the morning, UTC.
    const MORNING: u64 = 1_767_952_800_000;

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(MORNING + millis)
    }

    #[test]
    fn a_dozen_people_without_a_claim_are_an_alarm_and_a_claim_begins_anew() {
        let mut watch = Watch::default();
        let one = Reading::Evaluated { people: 1 };
        for minute in 0..11 {
            assert_eq!(watch.saw(one, HERE, at(minute * 60_000)), []);
        }
        assert_eq!(watch.saw(Reading::Claimed, HERE, at(700_000)), []);
        for minute in 12..23 {
            assert_eq!(watch.saw(one, HERE, at(minute * 60_000)), []);
        }
        assert_eq!(watch.saw(one, HERE, at(1_400_000)), [Pattern::Unclaimed]);
        assert_eq!(
            watch.saw(one, HERE, at(1_400_001)),
            [],
            "raised just before"
        );
        let later = at(1_400_000 + SILENCE_MS);
        assert_eq!(watch.saw(one, HERE, later), [Pattern::Unclaimed]);
        let contracts = Reading::Evaluated { people: 0 };
        let later = at(1_400_000 + 2 * SILENCE_MS);
        assert_eq!(watch.saw(contracts, HERE, later), []);
    }

    #[test]
    fn thirty_looks_in_ten_minutes_are_an_alarm_and_in_eleven_are_none() {
        let looks = |pause: u64| {
            let mut watch = Watch::default();
            let looks = (0..60).flat_map(|look| watch.saw(Reading::Looked, HERE, at(look * pause)));
            looks.collect::<Vec<_>>()
        };
        assert_eq!(looks(20_000), [Pattern::Mass]);
        assert_eq!(looks(21_000), []);
    }

    #[test]
    fn the_third_reading_of_a_night_is_an_alarm_and_the_day_is_none() {
        let night = MORNING.next_multiple_of(DAY_MS) - 3 * HOUR_MS;
        let moment = |millis| UnixMillis::new(millis);
        let mut watch = Watch::default();
        let look = Reading::Looked;
        assert_eq!(watch.saw(look, HERE, moment(night - 1)), []);
        assert_eq!(watch.saw(look, HERE, moment(night)), []);
        assert_eq!(watch.saw(look, HERE, moment(night + HOUR_MS)), []);
        let midnight = moment(night + 3 * HOUR_MS);
        assert_eq!(watch.saw(look, HERE, midnight), [Pattern::Night]);
        assert_eq!(watch.saw(look, HERE, moment(night + 8 * HOUR_MS)), []);
        for hours in [24, 25] {
            assert_eq!(watch.saw(look, HERE, moment(night + hours * HOUR_MS)), []);
        }
    }

    #[test]
    fn a_second_address_within_ten_minutes_is_an_alarm() {
        let mut watch = Watch::default();
        assert_eq!(watch.saw(Reading::Looked, HERE, at(0)), []);
        assert_eq!(watch.saw(Reading::Looked, THERE, at(ADDRESS_SPAN_MS)), []);
        let moved = watch.saw(Reading::Claimed, HERE, at(ADDRESS_SPAN_MS + 1));
        assert_eq!(moved, [Pattern::TwoAddresses]);
        assert_eq!(
            watch.saw(Reading::Looked, None, at(ADDRESS_SPAN_MS + 2)),
            []
        );
    }

    #[test]
    fn an_alarm_is_on_the_page_of_metrics() {
        let metrics = Arc::new(Metrics::new());
        let alarms = Alarms::new(metrics.clone());
        let till = crate::example::secret("till").public();
        let reading = Reading::Evaluated { people: 12 };
        alarms.saw(&till, LeafIndex::new(3), HERE, reading, at(0));
        assert_eq!(metrics.alarms(Pattern::Unclaimed), 1);
        assert_eq!(metrics.alarms(Pattern::Mass), 0);
    }
}
