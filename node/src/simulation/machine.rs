//! Time and random bytes of a simulation: on its thread, what the C library would ask of the
//! system comes from the seed.
//!
//! Everything in the process asks the same two functions: clocks of the program and of the
//! libraries, ids, the jitter of elections, the order of hash tables, whom a channel wakes first.
//! So no part of the program needs to know that it is simulated in this. The random bytes of TLS
//! alone are the system's: they have no influence on lengths or order. Other threads of the tests
//! are not touched.
#![allow(unsafe_code)] // these two functions have the signatures of the C library's

use std::cell::Cell;
use std::time::Duration;

use rustix::rand::GetRandomFlags;
use rustix::time::ClockId;

/// When a simulation begins, in seconds since 1970: a day of 2026.
const BEGINS_AT: Duration = Duration::from_secs(1_780_000_000);
/// What the clock that only goes forward shows then.
const RUNS_SINCE: Duration = Duration::from_secs(1_000);

thread_local! {
    static ELAPSED: Cell<Option<Duration>> = const { Cell::new(None) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// From here on this thread's time stands, and its random bytes follow from the seed.
pub(super) fn begin(seed: u64) {
    RANDOM.set(seed);
    ELAPSED.set(Some(Duration::ZERO));
}

/// Sets this thread's time since the simulation began.
pub(super) fn set_elapsed(elapsed: Duration) {
    ELAPSED.set(Some(elapsed));
}

/// Whether this thread is a simulation's.
pub(super) fn is_simulated() -> bool {
    ELAPSED.get().is_some()
}

/// The next number of a sequence (SplitMix64).
pub(super) const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fill(bytes: &mut [u8]) {
    let mut state = RANDOM.get();
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&next(&mut state).to_le_bytes()[..part.len()]);
    }
    RANDOM.set(state);
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

fn now(clock: i32) -> (i64, i64) {
    let simulated = |since: Duration| {
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        (seconds, i64::from(since.subsec_nanos()))
    };
    let clock = match (clock, ELAPSED.get()) {
        (0 | 5, Some(elapsed)) => return simulated(BEGINS_AT + elapsed),
        (1 | 4 | 6 | 7, Some(elapsed)) => return simulated(RUNS_SINCE + elapsed),
        (1 | 4 | 6 | 7, None) => ClockId::Monotonic,
        (2, _) => ClockId::ProcessCPUTime,
        (3, _) => ClockId::ThreadCPUTime,
        _ => ClockId::Realtime,
    };
    let real = rustix::time::clock_gettime(clock);
    (real.tv_sec, real.tv_nsec)
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: i32, time: *mut Timespec) -> i32 {
    let (seconds, nanos) = now(clock);
    // SAFETY: whoever calls this gives a place for one, as the C library asks.
    unsafe { time.write(Timespec { seconds, nanos }) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: whoever calls this gives a place of this length, as the C library asks; what it
    // holds is any bytes, and nobody else has it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if is_simulated() {
        fill(bytes);
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    let filled = rustix::rand::getrandom(bytes, GetRandomFlags::from_bits_retain(flags));
    filled.map_or(-1, |filled| isize::try_from(filled).unwrap_or(isize::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Instant;

    use super::*;
    use crate::clock;

    /// What a thread sees whose seed is this.
    fn seen(seed: u64) -> (u64, u64, Vec<u32>, Duration) {
        let thread = std::thread::spawn(move || {
            begin(seed);
            let started = Instant::now();
            set_elapsed(Duration::from_secs(7));
            let numbers: HashMap<u32, ()> = (0..20).map(|number| (number, ())).collect();
            let order = numbers.into_keys().collect();
            let drawn = getrandom::u64().unwrap();
            (drawn, clock::now().get(), order, started.elapsed())
        });
        thread.join().unwrap()
    }

    #[test]
    fn time_and_random_bytes_of_a_simulated_thread_follow_from_its_seed() {
        let (drawn, now, order, elapsed) = seen(1);
        assert_eq!(now, 1_780_000_007_000);
        assert_eq!(elapsed, Duration::from_secs(7));
        assert_eq!(seen(1), (drawn, now, order, elapsed));
        assert_ne!(seen(2).0, drawn);
        assert_ne!(clock::now().get(), now, "this thread is not simulated");
    }
}
