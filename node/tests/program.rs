//! The program as cargo builds it. That this test exists makes `cargo test --workspace` build it from
//! the same libraries as the tests, once.

use std::process::Command;

#[test]
fn the_program_says_which_one_it_is() {
    let said = Command::new(env!("CARGO_BIN_EXE_vitrail-node"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(said.status.success());
    let version = concat!("vitrail-node ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&said.stdout), version);
}
