//! Requests that schemathesis makes of the agent's own description, good and bad ones: a simulating
//! agent fails at none, and answers as it is described. Without schemathesis it says that it was
//! skipped.

use std::process::{Command, Stdio};

use tests::agent::AgentProcess;
use tests::binary::scratch_folder;

/// Not asked of it: that whatever fits the schema is accepted. No schema tells the key of a NIR, nor
/// which cards are test cards.
const NOT_CHECKED: &str = "positive_data_acceptance";
/// Requests of each kind and route, and the seconds after which no more are made.
const EXAMPLES: &str = "10";
const SECONDS: &str = "45";

#[test]
fn the_agent_answers_as_it_is_described() {
    let there = Command::new("schemathesis")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        println!("skipped: the agent's description (needs schemathesis, package python3-venv)");
        return;
    }
    let folder = scratch_folder();
    let agent = AgentProcess::start(folder.path(), &["--simulate"]);
    let ran = Command::new("schemathesis")
        .args(["run", &format!("http://{}/openapi.json", agent.address)])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", agent.token),
        ])
        .args(["--checks", "all", "--exclude-checks", NOT_CHECKED])
        .args(["--max-examples", EXAMPLES, "--max-time", SECONDS])
        .args(["--generation-database", "none", "--seed", "1"])
        .args(["--workers", "1", "--no-color"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
}
