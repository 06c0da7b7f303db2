//! A federation in which the CNAM and one complementary insurer quote from their own contracts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::system;
use proto::ids::Cents;
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use proto::signing::SecretKey;
use tempfile::TempDir;

use crate::binary::{scratch_folder, vitrail};
use crate::federation::accepted;
use crate::nodes::Nodes;
use crate::planted::{MEMBERS_HEADER, Planted};
use crate::process::write_secret;
use crate::replicated;

/// The CNAM's plan.
pub const MANDATORY: &str = r#"
[[plan]]
name = "CONFORT"
kind = "mandatory"
from = "2020-01-01"
to = "2099-12-31"
[[plan.rule]]
codes = ["all"]
pays = "60 %"
"#;

/// The complementary insurer's plan: 40.00 for a frame or a lens of class B, and 60.00 for a frame
/// in its network.
pub const RESPONSIBLE: &str = r#"
[[plan]]
name = "CONFORT"
kind = "responsible"
from = "2020-01-01"
to = "2099-12-31"
limits = {}
[[plan.rule]]
codes = ["all"]
pays = "100 % with earlier"
[[plan.rule]]
codes = ["class-a"]
pays = "full"
[[plan.rule]]
codes = ["frames-b"]
pays = "40.00"
network = { name = "RESEAU-1", pays = "60.00" }
[[plan.rule]]
codes = ["lenses-b"]
pays = "40.00"
"#;

/// The only shop of that network.
pub const LISTED_SHOP: &str = "750000002";

/// A frame and a lens of class B, each with a base of 0.05.
///
/// # Panics
/// Never: the lines are a catalogue.
#[must_use]
pub fn catalogue() -> Catalogue {
    let line = |code: &str, grouped: &str| CatalogueLine {
        code: code.parse().unwrap(),
        grouped_code: grouped.parse().unwrap(),
        label: "Article".parse().unwrap(),
        base: Some(Cents::new(5)),
        plv: None,
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    let lines = vec![line("2264861", "M03"), line("2200335", "VU1")];
    Catalogue::new(header, lines).unwrap()
}

/// The federation, its tills, and the people whom it covers.
#[derive(Debug)]
pub struct Payers {
    /// The nodes.
    pub nodes: Nodes,
    /// All but the last are in the contracts of both payers.
    pub people: Vec<Planted>,
    /// Granted tills.
    pub tills: Vec<SecretKey>,
    /// Where all of it lies.
    pub folder: TempDir,
}

impl Payers {
    /// Founds it, imports the contracts by the command, and starts the nodes with them. The CNAM's
    /// node votes, the others follow.
    ///
    /// # Panics
    /// When anything of it fails.
    pub async fn new(people: usize, tills: usize) -> Self {
        let folder = scratch_folder();
        let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
        nodes.start_all(&[]);
        Self::over(folder, nodes, people, tills).await
    }

    /// The same with four members that all vote.
    ///
    /// # Panics
    /// As [`Payers::new`].
    pub async fn all_voting(people: usize, tills: usize) -> Self {
        let folder = scratch_folder();
        let nodes = replicated::all_voting(folder.path(), 4, 2).await;
        Self::over(folder, nodes, people, tills).await
    }

    async fn over(folder: TempDir, nodes: Nodes, people: usize, tills: usize) -> Self {
        let tills = nodes
            .federation
            .grant_tills(nodes.node("cnam"), tills)
            .await;
        let cnam = nodes.session("cnam", &nodes.federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue()).await;
        let named = accepted(&named.unwrap());
        nodes.all_have(named, &tills[0]).await;
        let mut payers = Self {
            nodes,
            people: Planted::people(people),
            tills,
            folder,
        };
        fs::write(payers.dir().join("catalogue.txt"), catalogue().to_text()).unwrap();
        payers.quotes("cnam", MANDATORY);
        payers.quotes("alpha", RESPONSIBLE);
        payers
    }

    /// Where all of it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The file of a payer's plans.
    #[must_use]
    pub fn plans(&self, name: &str) -> PathBuf {
        self.dir().join(format!("{name}-plans.toml"))
    }

    /// The payer imports its list of members; then its node is started with it and its plans.
    fn quotes(&mut self, name: &str, plans: &str) {
        let covered = self.people.iter().take(self.people.len() - 1);
        let lines: String = covered
            .map(|one| one.member_line(name == "cnam", ""))
            .collect();
        let list = self.dir().join(format!("{name}.csv"));
        fs::write(&list, format!("{MEMBERS_HEADER}{lines}")).unwrap();
        fs::write(self.plans(name), plans).unwrap();
        let shop = format!("{{ finess = \"{LISTED_SHOP}\", from = \"2020-01-01\" }}");
        let networks = format!("[[network]]\nname = \"RESEAU-1\"\nshop = [{shop}]\n");
        fs::write(self.dir().join("networks.toml"), networks).unwrap();
        let contracts = self.dir().join(format!("{name}-contracts.txt"));
        let secret = self.nodes.keys[&name.parse().unwrap()].clone();
        let mut import = self.command(&secret, name, &["contracts", "import"]);
        import.arg(&list).arg("--out").arg(&contracts);
        let import = import.output().unwrap();
        let said = String::from_utf8_lossy(&import.stderr).into_owned();
        assert!(import.status.success(), "{said}");
        self.nodes.kill(name);
        self.start(name);
    }

    /// Starts a payer's node with its contracts and plans.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self, name: &str) {
        let contracts = self.dir().join(format!("{name}-contracts.txt"));
        let plans = self.plans(name);
        let networks = self.dir().join("networks.toml");
        let files = [("--contracts", &contracts), ("--plans", &plans)];
        let files = files.into_iter().chain([("--networks", &networks)]);
        let flags: Vec<&str> = files
            .flat_map(|(flag, path)| [flag, path.to_str().unwrap()])
            .collect();
        self.nodes.start(&name.parse().unwrap(), &flags);
    }

    /// A command of the owner of this key, whose files have this name.
    ///
    /// # Panics
    /// When the key's file cannot be written.
    #[must_use]
    pub fn command(&self, key: &SecretKey, name: &str, words: &[&str]) -> Command {
        let file = self.dir().join(format!("{name}-own.pem"));
        write_secret(&file, &key.to_pem().unwrap());
        let mut command = vitrail();
        command
            .args(words)
            .args(["-o", "json", "--node", "cnam", "--roster", "roster.txt"])
            .arg("--key")
            .arg(file)
            .arg("--state")
            .arg(self.dir().join(format!("{name}-state")))
            .current_dir(self.dir());
        command
    }

    /// `vitrail check` of a frame and two lenses, by a till, for a person.
    ///
    /// # Panics
    /// When a file of it cannot be written.
    #[must_use]
    pub fn check_command(&self, till: usize, person: usize) -> Command {
        let card = format!("card-{person}.toml");
        fs::write(self.dir().join(&card), self.people[person].card()).unwrap();
        let words = ["check", "--card", &card, "--catalogue", "catalogue.txt"];
        let mut command = self.command(&self.tills[till], &format!("till-{till}"), &words);
        for item in PAIR {
            command.args(["--item", item]);
        }
        command
    }
}

/// What the command checks: a price of 500.00.
pub const PAIR: [&str; 3] = [
    "2264861=140.00",
    "2200335/right=160.00",
    "2200335/left=200.00",
];
