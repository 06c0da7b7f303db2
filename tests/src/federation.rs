//! A federation of one node: the CNAM runs it and votes; two complementary insurers and an
//! optician federation follow.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::issue::Issued;
use client::session::{Session, SessionParts};
use client::system;
use proto::attestation::{Grant, GrantClass};
use proto::ids::{LeafIndex, MemberName, Origin};
use proto::roster::{Roster, SignedRoster};
use proto::signing::SecretKey;

use crate::binary::vitrail_node;
use crate::process::NodeProcess;

/// The ledger's name.
pub const ORIGIN: &str = "vitrail.example/optique";
/// The payer number of the CNAM.
pub const CNAM_PAYER: &str = "01";
/// The payer numbers of the two complementary insurers.
pub const AMC_PAYERS: [&str; 2] = ["11111111", "22222222"];

/// A federation, founded in a folder.
#[derive(Debug)]
pub struct Federation {
    pub(crate) dir: PathBuf,
    /// Its roster.
    pub roster: Roster,
    /// The CNAM's key, which is the node's.
    pub cnam: SecretKey,
    /// The keys of the two complementary insurers.
    pub amcs: [SecretKey; 2],
    /// The optician federation's key.
    pub opticians: SecretKey,
}

impl Federation {
    /// Founds a federation: keys, first roster, and a ledger whose entry 0 it is.
    ///
    /// # Panics
    /// When `vitrail-node init` fails.
    #[must_use]
    pub fn found(dir: &Path) -> Self {
        let [alpha, beta, opticians] = [fresh_key(), fresh_key(), fresh_key()];
        let member = |name: &str, role: &str, payer: &str, key: &SecretKey| {
            format!(
                "{name} {role} {payer} following {} - -",
                key.public().to_base64()
            )
        };
        let node = dir.join("node");
        let founded = Command::new(vitrail_node())
            .arg("init")
            .arg("--dir")
            .arg(&node)
            .args(["--origin", ORIGIN, "--name", "cnam", "--role", "amo"])
            .args(["--payer-number", CNAM_PAYER, "--seal", "none"])
            .args(["--grpc", "127.0.0.1:7443", "--http", "127.0.0.1:7480"])
            .args(["--member", &member("alpha", "amc", AMC_PAYERS[0], &alpha)])
            .args(["--member", &member("beta", "amc", AMC_PAYERS[1], &beta)])
            .args([
                "--member",
                &member("opticians", "federation", "-", &opticians),
            ])
            .output()
            .expect("vitrail-node can be run");
        assert!(
            founded.status.success(),
            "{}",
            String::from_utf8_lossy(&founded.stderr)
        );
        let signed = SignedRoster::parse(&fs::read(node.join("roster.txt")).unwrap()).unwrap();
        let cnam =
            SecretKey::from_pem(&fs::read_to_string(node.join("node.key")).unwrap()).unwrap();
        Self {
            dir: dir.to_owned(),
            roster: signed.verify_genesis().unwrap(),
            cnam,
            amcs: [alpha, beta],
            opticians,
        }
    }

    /// The node's folder.
    #[must_use]
    pub fn node_dir(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// The ledger's name.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.roster.origin()
    }

    /// Starts the node, on ports that the system chooses.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(&self, flags: &[&str]) -> NodeProcess {
        self.try_start(flags)
            .unwrap_or_else(|said| panic!("the node did not start:\n{said}"))
    }

    /// Starts the node, if it does.
    ///
    /// # Errors
    /// What it said when it did not.
    pub fn try_start(&self, flags: &[&str]) -> Result<NodeProcess, String> {
        let any = "127.0.0.1:0";
        let ports = ["--grpc", any, "--http", any, "--admin", any];
        NodeProcess::start(&self.node_dir(), &[&ports, flags].concat())
    }

    /// Opens a session of this key's owner with the node. Each call makes a connection of its own.
    ///
    /// # Panics
    /// When the key cannot be used.
    #[must_use]
    pub fn session(&self, node: &NodeProcess, key: &SecretKey) -> Session {
        Session::open(self.parts(node.addresses.grpc, key)).unwrap()
    }

    /// What such a session is opened with, the node being reached at this address.
    ///
    /// # Panics
    /// Never: every socket address is one of the roster's form.
    #[must_use]
    pub fn parts(&self, node: SocketAddr, key: &SecretKey) -> SessionParts {
        SessionParts {
            roster: self.roster.clone(),
            secret: key.clone(),
            home: Some(cnam()),
            addresses: BTreeMap::from([(cnam(), node.to_string().parse().unwrap())]),
            observer: None,
        }
    }

    /// Grants a fresh key to each of `count` tills.
    ///
    /// # Panics
    /// When a grant is refused.
    pub async fn grant_tills(&self, node: &NodeProcess, count: usize) -> Vec<SecretKey> {
        let session = self.session(node, &self.opticians);
        let mut tills = Vec::new();
        for _ in 0..count {
            let till = fresh_key();
            accepted(
                &client::federation::grant(&session, grant(&till))
                    .await
                    .unwrap(),
            );
            tills.push(till);
        }
        tills
    }
}

/// The member that runs the node.
#[must_use]
pub fn cnam() -> MemberName {
    "cnam".parse().unwrap()
}

/// A key of fresh random bytes.
#[must_use]
pub fn fresh_key() -> SecretKey {
    SecretKey::from_seed(&system::random().unwrap())
}

/// A month's grant with quotas that no scenario reaches.
#[must_use]
pub fn grant(till: &SecretKey) -> Grant {
    Grant {
        till: till.public(),
        finess: "750000001".parse().unwrap(),
        expires_at: system::now().day().plus(30).start(),
        hourly_quota: 1_000_000,
        daily_quota: 1_000_000,
        class: GrantClass::Till,
    }
}

/// The index that an accepted entry got.
///
/// # Panics
/// When it was refused.
pub fn accepted(issued: &Issued) -> LeafIndex {
    match issued {
        Issued::Accepted(receipt) => receipt.proved.index,
        Issued::Refused(refused) => panic!("refused: {}", refused.reason.code()),
    }
}
