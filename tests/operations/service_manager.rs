//! A node says to the service manager that it serves, that it lives, and that it stops.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use tests::binary::scratch_folder;
use tests::federation::Federation;
use tests::process::NodeProcess;

/// How long a word may take on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    /// Listens until somebody says this, and returns all that was said before it.
    fn hears(&self, word: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        let mut bytes = [0; 4096];
        while Instant::now() < until {
            let Ok(length) = self.0.recv(&mut bytes) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if lines.iter().any(|line| line == word) {
                said.extend(lines);
                return said;
            }
            said.extend(lines);
        }
        panic!("{word} is not said: {said:?}");
    }
}

#[test]
fn a_node_says_when_it_serves_that_it_lives_and_that_it_stops() {
    let folder = scratch_folder();
    let federation = Federation::found(folder.path());
    // The name of a socket is short, the folder's may be long.
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let short = Duration::from_millis(100);
    manager.0.set_read_timeout(Some(short)).unwrap();
    let any = "127.0.0.1:0";
    let ports = ["--grpc", any, "--http", any, "--admin", any];
    let environment = [
        ("NOTIFY_SOCKET", socket.into_os_string()),
        ("WATCHDOG_USEC", "600000".into()),
    ];
    let mut node = NodeProcess::start_with(&federation.node_dir(), &ports, &environment).unwrap();
    let said = manager.hears("READY=1");
    let first = said.first().map(String::as_str);
    assert_eq!(first, Some("EXTEND_TIMEOUT_USEC=30000000"), "{said:?}");
    assert!(
        said.iter()
            .any(|it| it.starts_with("STATUS=serving vitrail.example/optique"))
    );
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    assert!(node.terminate().success());
    manager.hears("STOPPING=1");
}
