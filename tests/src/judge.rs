//! The receipt page's own verifier, asked by a list: a second implementation that judges the same
//! bytes. It is the very script of the page that is run, by `node`, without a browser.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use client::session::Session;
use proto::receipt::{ReceiptFile, Step};
use proto::roster::{Epoch, Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;

use crate::workload::{Ground, fresh_slots};

/// The page as it is in the repository.
#[must_use]
pub fn page() -> PathBuf {
    in_repository("client/pages/recu/recu.html")
}

/// A file of the repository.
#[must_use]
pub fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// Whether a program is there to be run.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}

/// Runs a program to its end.
///
/// # Panics
/// With all that it said, when it does not end well.
pub fn succeeds(command: &mut Command) {
    let ran = command.output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The receipt of a claim that is accepted, and the refusal of a second one of its slots.
///
/// # Panics
/// When no node answers.
pub async fn both_kinds(sessions: &[Session], ground: &Ground, tills: &[SecretKey]) -> [String; 2] {
    let slots = fresh_slots(3);
    let mut files = Vec::new();
    for (session, till) in sessions.iter().zip(tills) {
        let claim = ground.claim(till, &slots);
        let payload = Some((&claim.payload, &claim.salt));
        let file = match session.home().append(&claim.entry, payload).await.unwrap() {
            AppendAnswer::Accepted(receipt) => ReceiptFile::Accepted(receipt),
            AppendAnswer::Refused { evidence, .. } => ReceiptFile::Refused(*evidence.unwrap()),
        };
        files.push(file.to_text());
    }
    files.try_into().unwrap()
}

/// Questions for the page's verifier, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Judge {
    questions: String,
}

impl Judge {
    /// `None`, and a word about what is skipped, where there is no `node`.
    #[must_use]
    pub fn new(purpose: &str) -> Option<Self> {
        if !is_installed("node") {
            println!("skipped: {purpose}: needs node (package nodejs)");
            return None;
        }
        Some(Self::default())
    }

    /// Asks about some parts; what is asked is a word that `judge.mjs` knows.
    pub fn ask(&mut self, question: &str, parts: &[&[u8]]) {
        self.questions.push_str(question);
        for part in parts {
            // Writing into a String cannot fail.
            let _ = write!(self.questions, " {}", BASE64_STANDARD.encode(part));
        }
        self.questions.push('\n');
    }

    /// The answers, one for each question.
    ///
    /// # Panics
    /// When the verifier ends early or answers too little.
    #[must_use]
    pub fn answers(&self) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("questions");
        fs::write(&list, &self.questions).unwrap();
        let mut judge = Command::new("node");
        judge.arg(in_repository("tests/pages/judge.mjs"));
        let answered = judge.arg(page()).arg(list).output().unwrap();
        let told = String::from_utf8_lossy(&answered.stderr);
        assert!(answered.status.success(), "{told}");
        let answers = String::from_utf8(answered.stdout).unwrap();
        let answers: Vec<_> = answers.lines().map(ToOwned::to_owned).collect();
        assert_eq!(answers.len(), self.questions.lines().count(), "{told}");
        answers
    }
}

/// Our own verdict on a receipt file, as `judge.mjs` says it: which step failed, which passed.
#[must_use]
pub fn verdict(bytes: &[u8], roster: &Roster) -> String {
    let mut passed = Vec::new();
    // As the command has it: bytes that are not text are of no format.
    let verified = str::from_utf8(bytes).map_err(|_| Step::Format);
    let verified = verified.and_then(|text| {
        let verified = ReceiptFile::verify(text, roster, &mut |step| passed.push(step.as_str()));
        verified.map_err(|error| error.step())
    });
    let passed = passed.join(",");
    match verified {
        Ok(_) => format!("yes {passed}"),
        Err(step) => format!("no {step} {passed}"),
    }
}

/// Our own verdict on the file of a signed roster: its fingerprint and its quorum.
#[must_use]
pub fn roster_verdict(bytes: &[u8]) -> String {
    let no = || "no".to_owned();
    let Ok(signed) = SignedRoster::parse(bytes) else {
        return no();
    };
    // As `client::profile::read_roster` has it.
    let is_first = signed.admitted().epoch() == Epoch::default();
    if is_first && signed.verify_genesis().is_err() {
        return no();
    }
    let roster = signed.admitted();
    format!("yes {} {}", roster.hash(), roster.quorum())
}
