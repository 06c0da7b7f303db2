//! Requests that schemathesis makes of the agent's own description, good and bad ones: a simulating
//! agent fails at none, and answers as it is described. Without schemathesis it says that it was
//! skipped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::process::{Command, Stdio};

use tests::agent::AgentProcess;
use tests::binary::scratch_folder;

/// What must hold of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      ignored_auth";
/// Requests of each kind and route: about a minute in a debug build.
const EXAMPLES: &str = "25";

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
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES])
        .args(["--generation-database", "none", "--seed", "1"])
        .args(["--workers", "1", "--no-color"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
}
