//! The start of most scenarios: a federation whose node runs, with tills that may claim.

use client::session::Session;
use proto::signing::SecretKey;
use tempfile::TempDir;

use crate::binary::scratch_folder;
use crate::federation::Federation;
use crate::process::NodeProcess;
use crate::workload::Ground;

/// A federation with a running node, a catalogue, coverages and granted tills.
#[derive(Debug)]
pub struct World {
    /// The node, which ends before its folder goes.
    pub node: NodeProcess,
    /// The federation.
    pub federation: Federation,
    /// What claims rest on.
    pub ground: Ground,
    /// The tills.
    pub tills: Vec<SecretKey>,
    /// Where all of it lies.
    pub folder: TempDir,
}

impl World {
    /// Founds a federation with this many tills.
    ///
    /// # Panics
    /// When anything of it fails.
    pub async fn new(tills: usize) -> Self {
        Self::in_folder(scratch_folder(), tills, &[]).await
    }

    /// The same in a folder of the caller's, with flags for the node.
    ///
    /// # Panics
    /// When anything of it fails.
    pub async fn in_folder(folder: TempDir, tills: usize, flags: &[&str]) -> Self {
        let federation = Federation::found(folder.path());
        let node = federation.start(flags);
        let tills = federation.grant_tills(&node, tills).await;
        let ground = Ground::lay(&federation, &node).await;
        Self {
            node,
            federation,
            ground,
            tills,
            folder,
        }
    }

    /// One session for each till.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.tills
            .iter()
            .map(|till| self.federation.session(&self.node, till))
            .collect()
    }

    /// Ends the node as `kill -9` does, and starts it again from what is on disk.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn kill_and_restart(&mut self) {
        self.node.kill();
        self.node = self.federation.start(&[]);
    }

    /// Lets the node end by itself, and starts it again.
    ///
    /// # Panics
    /// When it does not end well or does not start again.
    pub fn restart(&mut self) {
        assert!(self.node.terminate().success(), "the node did not end well");
        self.node = self.federation.start(&[]);
    }
}
