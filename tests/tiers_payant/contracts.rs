//! An insurer's list becomes tokens: over a real node, with bad lines, killed and gone on with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use client::contracts::{ContractRecord, ContractsFile};
use proto::identity::Contract;
use tempfile::TempDir;
use tests::binary::{scratch_folder, vitrail};
use tests::bytes::find_in_folder;
use tests::federation::{AMC_PAYERS, Federation};
use tests::process::{NodeProcess, write_secret};

const HEADER: &str = "member_number;birth_date;birth_rank;plan;rights_from;rights_to;reference\n";

/// A federation with its node, and the folder of its first complementary insurer.
struct Insurer {
    node: NodeProcess,
    federation: Federation,
    folder: TempDir,
}

impl Insurer {
    fn new() -> Self {
        let folder = scratch_folder();
        let federation = Federation::found(folder.path());
        let node = federation.start(&[]);
        let own = folder.path().join("alpha");
        fs::create_dir(&own).unwrap();
        fs::copy(
            federation.node_dir().join("roster.txt"),
            own.join("roster.txt"),
        )
        .unwrap();
        write_secret(&own.join("key.pem"), &federation.amcs[0].to_pem().unwrap());
        Self {
            node,
            federation,
            folder,
        }
    }

    fn own(&self) -> std::path::PathBuf {
        self.folder.path().join("alpha")
    }

    /// `vitrail contracts import`, in the insurer's folder.
    fn command(&self, flags: &[&str]) -> Command {
        let mut command = vitrail();
        let address = format!("cnam={}", self.node.addresses.grpc);
        command
            .current_dir(self.own())
            .args(["contracts", "import", "members.csv", "-o", "json"])
            .args(["--address", &address])
            .args(flags);
        command
    }

    fn import(&self, flags: &[&str]) -> (Output, serde_json::Value) {
        let output = self.command(flags).output().unwrap();
        let answer = serde_json::from_slice(&output.stdout).unwrap();
        (output, answer)
    }

    fn write_list(&self, text: &str) {
        fs::write(self.own().join("members.csv"), text).unwrap();
    }

    fn records(&self) -> Vec<ContractRecord> {
        let file = ContractsFile::open(&self.own().join("contracts.txt")).unwrap();
        file.header()
            .check(&self.federation.roster, &AMC_PAYERS[0].parse().unwrap())
            .unwrap();
        file.map(Result::unwrap).collect()
    }
}

fn line(number: usize) -> String {
    format!(
        "PLANTED{number};19870{}12;1;P{};2026-01-01;2027-12-31;c/{number}\n",
        1 + number % 9,
        number % 7
    )
}

fn contract(number: usize) -> Contract {
    Contract {
        payer_number: AMC_PAYERS[0].parse().unwrap(),
        member_number: format!("PLANTED{number}").parse().unwrap(),
        birth_date: format!("19870{}12", 1 + number % 9).parse().unwrap(),
        birth_rank: "1".parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_becomes_the_tokens_of_its_contracts_and_nothing_personal() {
    let insurer = Insurer::new();
    let lines: String = (0..12).map(line).collect();
    let bad = "SECRET1;1987;1;P1;2026-01-01;2027-12-31;\n";
    let child = "PLANTED99;20230615;1;P1;2026-01-01;2027-12-31;\n";
    insurer.write_list(&format!("{HEADER}{lines}{bad}{child}"));
    let (output, answer) = insurer.import(&[]);
    assert_eq!(output.status.code(), Some(1), "a line was left out");
    assert_eq!(answer["contracts"], 13);
    assert_eq!(answer["problems"][0]["line"], 14);
    assert!(!String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("SECRET"));

    let records = insurer.records();
    let session = insurer
        .federation
        .session(&insurer.node, &insurer.federation.amcs[0]);
    let contracts: Vec<Contract> = (0..12).map(contract).collect();
    let tokens = session.contract_tokens(&contracts).await.unwrap();
    for (number, (record, token)) in records.iter().zip(&tokens).enumerate() {
        assert_eq!(record.token, *token);
        assert_eq!(record.plan.as_str(), format!("P{}", number % 7));
        assert_eq!(
            record.reference.as_ref().unwrap().as_str(),
            format!("c/{number}")
        );
        assert_eq!(record.turning, [None, None]);
    }
    let months = records[12].turning.map(|month| month.unwrap().to_string());
    assert_eq!(months, ["2029-06", "2039-06"]);

    let out = insurer.own().join("contracts.txt");
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::remove_file(insurer.own().join("members.csv")).unwrap();
    for planted in ["PLANTED", "SECRET", "198701", "2023"] {
        assert_eq!(
            find_in_folder(&insurer.own(), planted.as_bytes()),
            [] as [&Path; 0],
            "{planted}"
        );
    }
    insurer.write_list(&format!("{HEADER}{lines}"));
    let (output, _) = insurer.import(&[]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "a file that is there is not replaced"
    );
    let (output, answer) = insurer.import(&["--replace"]);
    assert_eq!(
        (output.status.code(), &answer["contracts"]),
        (Some(0), &12.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_again_and_again_ends_like_one_that_never_was() {
    const CONTRACTS: usize = 5_000;
    let insurer = Insurer::new();
    let lines: String = (0..CONTRACTS)
        .map(|number| {
            if number % 997 == 5 {
                "x\n".to_owned()
            } else {
                line(number)
            }
        })
        .collect();
    insurer.write_list(&format!("{HEADER}{lines}"));
    let (mut kills, mut refused) = (0, false);
    while insurer.kill_after(Duration::from_millis(700 + 300 * kills)) {
        kills += 1;
        assert!(kills < 60, "it does not come to an end");
        if !refused && insurer.own().join("contracts.txt.progress").exists() {
            insurer.another_list_is_refused();
            refused = true;
        }
    }
    assert!(refused, "it was never killed between two batches");
    let killed = fs::read(insurer.own().join("contracts.txt")).unwrap();
    let bad = CONTRACTS.div_ceil(997);
    assert_eq!(insurer.records().len(), CONTRACTS - bad);
    let left = fs::read_dir(insurer.own())
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("contracts"))
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name == "contracts.txt.part" || name == "contracts.txt.progress"),
        "{left:?}"
    );

    let (output, answer) = insurer.import(&["--replace"]);
    assert_eq!(
        (output.status.code(), &answer["skipped"]),
        (Some(1), &bad.into())
    );
    assert_eq!(answer["problems"][0]["line"], 7);
    assert!(killed == fs::read(insurer.own().join("contracts.txt")).unwrap());
}

impl Insurer {
    /// Runs an import and kills it after a while; whether it had to be killed.
    fn kill_after(&self, pause: Duration) -> bool {
        let mut import = self
            .command(&[])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + pause;
        while Instant::now() < end {
            if let Some(status) = import.try_wait().unwrap() {
                assert_eq!(status.code(), Some(1), "it ends with lines left out");
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        import.kill().unwrap();
        import.wait().unwrap();
        true
    }

    /// While an import is stopped, a list with one other character is not taken for its own.
    fn another_list_is_refused(&self) {
        let path = self.own().join("members.csv");
        let list = fs::read(&path).unwrap();
        let mut other = list.clone();
        let last = other.len() - 3;
        other[last] ^= 1;
        fs::write(&path, other).unwrap();
        let (output, answer) = self.import(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(answer["error"]["kind"], "refused");
        assert!(
            answer["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("--restart")
        );
        fs::write(&path, list).unwrap();
    }
}
