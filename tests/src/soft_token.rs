//! A PKCS#11 token in software (SoftHSM): everything that a hardware module is, but hardware.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where distributions put the module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// The PIN of the security officer, who makes tokens and does nothing else here.
const OFFICER_PIN: &str = "97531086";

/// The module, if it is on this machine with the command that makes its tokens.
#[must_use]
pub fn module() -> Option<&'static Path> {
    let module = MODULES.iter().map(Path::new).find(|path| path.exists())?;
    let tool = Command::new("softhsm2-util").arg("--version").output();
    tool.is_ok_and(|said| said.status.success())
        .then_some(module)
}

/// The tokens of one machine: a folder.
#[derive(Debug)]
pub struct SoftTokens {
    folder: PathBuf,
}

impl SoftTokens {
    /// A machine without a token yet.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let tokens = folder.join("tokens");
        fs::create_dir_all(&tokens).unwrap();
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(folder.join("softhsm2.conf"), settings).unwrap();
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Makes a token.
    ///
    /// # Panics
    /// When `softhsm2-util` does not.
    pub fn add(&self, label: &str, pin: &str) {
        let words = ["--init-token", "--free", "--label", label, "--pin", pin];
        let said = self.tool(&words, &["--so-pin", OFFICER_PIN]);
        assert!(said.status.success(), "{said:?}");
    }

    /// Makes a key as these flags of `pkcs11-tool` say it, where that is there to do it.
    ///
    /// # Panics
    /// When the token refuses it.
    #[must_use]
    pub fn add_key(&self, module: &Path, [token, pin, label]: [&str; 3], flags: &[&str]) -> bool {
        let mut tool = Command::new("pkcs11-tool");
        tool.envs([self.variable()]).arg("--module").arg(module);
        tool.args(["--login", "--pin", pin, "--token-label", token]);
        tool.args(["--keygen", "--key-type", "GENERIC:32"]);
        let Ok(said) = tool.args(["--label", label]).args(flags).output() else {
            return false;
        };
        assert!(said.status.success(), "{said:?}");
        true
    }

    fn tool(&self, words: &[&str], more: &[&str]) -> Output {
        let mut tool = Command::new("softhsm2-util");
        let (name, value) = self.variable();
        tool.env(name, value).args(words).args(more);
        tool.output().unwrap()
    }

    /// What a process that uses these tokens has in its environment.
    #[must_use]
    pub fn variable(&self) -> (&'static str, OsString) {
        ("SOFTHSM2_CONF", self.folder.join("softhsm2.conf").into())
    }
}
