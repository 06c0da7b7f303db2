//! `vitrail-node`: see [`node::command`].

use std::process::ExitCode;

/// Batches come from one thread and are freed on others, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::command::main()
}
