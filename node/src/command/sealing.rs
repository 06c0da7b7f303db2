//! How secrets are sealed, on the command line: `seal-key`, `reseal`, and the flags of new nodes.

use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;
use crate::config::{Config, Settings};
use crate::init::InitError;
use crate::protection::{Method, Protection, Sealing, make_key};
use crate::reseal::{self, SecretPlace};

/// Where a secret is that seals others. None of it is a secret.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// File that the credential, the passphrase or the token's PIN is read from; /dev/fd/N for a
    /// descriptor. Without it a passphrase or PIN is asked for at the terminal.
    #[arg(long, env = "VITRAIL_SEAL_FILE", value_name = "FILE")]
    seal_file: Option<PathBuf>,
    /// The PKCS#11 module, a shared library.
    #[arg(long, env = "VITRAIL_SEAL_MODULE", value_name = "FILE")]
    seal_module: Option<PathBuf>,
    /// Label of the PKCS#11 token.
    #[arg(long, env = "VITRAIL_SEAL_TOKEN", value_name = "LABEL")]
    seal_token: Option<String>,
    /// Label of the sealing key in the token; vitrail-seal where nothing is said.
    #[arg(long, env = "VITRAIL_SEAL_KEY", value_name = "LABEL")]
    seal_key: Option<String>,
}

impl PlaceArgs {
    fn sealing(self, method: Method) -> Sealing {
        Sealing {
            method,
            file: self.seal_file,
            module: self.seal_module,
            token: self.seal_token,
            key: self.seal_key,
        }
    }
}

/// How a new node keeps its secrets.
#[derive(Debug, Args)]
pub(super) struct SealArgs {
    /// How the node's shares are sealed on disk: credential, passphrase, pkcs11, or none (for
    /// demonstrations: whoever has the disk then has the shares).
    #[arg(long, env = "VITRAIL_SEAL", value_enum)]
    seal: Method,
    #[command(flatten)]
    place: PlaceArgs,
}

impl SealArgs {
    pub(super) fn sealing(self) -> Sealing {
        self.place.sealing(self.seal)
    }
}

/// Arguments of `seal-key`.
#[derive(Debug, Args)]
pub(super) struct SealKeyArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// What `seal-key` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SealKeyReport {
    token: Option<String>,
    key: String,
}

pub(super) fn seal_key(args: SealKeyArgs, output: Output) -> Result<(), CommandError> {
    let sealing = args.place.sealing(Method::Pkcs11);
    let key = make_key(&sealing)?;
    let report = SealKeyReport {
        token: sealing.token,
        key,
    };
    let text = format!(
        "the key {} is in the token, and cannot leave it\n",
        report.key
    );
    print(output, &report, &text)
}

/// Arguments of `reseal`. The settings say how the secrets are sealed now.
#[derive(Debug, Args)]
pub(super) struct ResealArgs {
    /// The node's folder; the node and its ceremonies must be stopped.
    #[arg(long, env = "VITRAIL_DIR", required_unless_present = "incident_key")]
    dir: Option<PathBuf>,
    /// An incident key instead of a node's folder.
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    incident_key: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// How they are to be sealed.
    #[arg(long, value_name = "METHOD", value_enum)]
    to: Method,
    /// File of the new credential, passphrase or PIN. Without it a passphrase or PIN is asked for.
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// The PKCS#11 module of the new way.
    #[arg(long, value_name = "FILE")]
    to_module: Option<PathBuf>,
    /// Label of the PKCS#11 token of the new way.
    #[arg(long, value_name = "LABEL")]
    to_token: Option<String>,
    /// Label of the sealing key in that token.
    #[arg(long, value_name = "LABEL")]
    to_key: Option<String>,
}

/// What `reseal` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ResealReport {
    /// The files that were written now; the others were sealed in the new way already.
    written: Vec<PathBuf>,
    /// The files that are sealed in the new way.
    sealed: usize,
    /// What opens them, as lines of `node.toml`.
    settings: String,
}

pub(super) fn reseal(args: ResealArgs, output: Output) -> Result<(), CommandError> {
    let to = Sealing {
        method: args.to,
        file: args.to_file,
        module: args.to_module,
        token: args.to_token,
        key: args.to_key,
    };
    let (places, from) = match (args.dir, args.incident_key) {
        (Some(dir), None) => {
            let config = Config::load(&dir, args.settings)?;
            (reseal::secrets_of(&dir, &config)?, config.sealing)
        }
        (_, file) => {
            let from = args.settings.sealing(Path::new(""))?;
            let place = file.map(SecretPlace::incident_key);
            (place.into_iter().collect(), from)
        }
    };
    let old = Protection::load(&from)?;
    let new = Protection::load_new(&to)?;
    let written = reseal::reseal(&places, &old, &new)?;
    let settings = toml::to_string(&Settings::of_sealing(&to)).map_err(InitError::from)?;
    let report = ResealReport {
        written,
        sealed: places.len(),
        settings,
    };
    print(output, &report, &resealed_text(&report))
}

fn resealed_text(report: &ResealReport) -> String {
    let files = report.written.iter();
    let files: String = files.map(|path| format!("{}\n", path.display())).collect();
    format!(
        "{files}{} files are sealed in the new way; the settings that open them are\n{}",
        report.sealed, report.settings
    )
}
