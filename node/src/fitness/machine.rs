//! What the machine has: room, and files that may be open.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Machine;

/// Files open in the whole system: how many there are, how many of those are free, how many there
/// may be (proc(5)).
const FILE_HANDLES: &str = "/proc/sys/fs/file-nr";

/// Looks at the machine and the disk of a folder.
///
/// # Errors
/// The disk cannot be asked.
pub(super) fn look(data: &Path) -> io::Result<Machine> {
    let disk = rustix::fs::statvfs(data)?;
    let of_system = fs::read_to_string(FILE_HANDLES).ok();
    let of_system = of_system.and_then(|text| free_of(&text));
    // A node asks for as many as it may have when it starts.
    let of_process = getrlimit(Resource::Nofile).maximum;
    let handles = [of_system, of_process].into_iter().flatten().min();
    Ok(Machine {
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        file_handles: handles,
    })
}

fn free_of(text: &str) -> Option<u64> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (open, unused, most) = (next()?, next()?, next()?);
    Some(most.saturating_sub(open.saturating_sub(unused)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_in_the_system_is_not_free() {
        assert_eq!(free_of("1472\t2\t100000\n"), Some(98_530));
        assert_eq!(free_of("9 0 8"), Some(0));
        assert_eq!(free_of("9 0"), None);
        assert_eq!(free_of("nine 0 8"), None);
    }
}
