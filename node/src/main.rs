//! `vitrail-node`: see [`node::command`].

use std::process::ExitCode;

fn main() -> ExitCode {
    node::command::main()
}
