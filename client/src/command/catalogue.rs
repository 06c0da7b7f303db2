//! `catalogue import` and `catalogue publish`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::catalogue;
use client::catalogue_file::{
    self, CatalogueFileError, FILE_BYTES_MAX, Import, PairFiles, SourceFile,
};
use client::failure::{Failure, FailureKind};
use client::files;
use client::profile::Settings;
use proto::ids::Day;
use proto::lpp::{CatalogueHeader, CatalogueVersion};
use thiserror::Error;

use super::report::{ImportReport, ProblemReport};
use super::{Answer, Failed, SettingsArgs, till};

/// What can be done with a catalogue.
#[derive(Subcommand)]
pub(super) enum CatalogueCommand {
    /// Reads the CNAM's CSV, or its DBF tables, into one catalogue file
    Import(ImportArgs),
    /// Names the catalogue in the ledger, as the CNAM
    Publish(PublishArgs),
}

/// Arguments of `catalogue import`.
#[derive(Args)]
pub(super) struct ImportArgs {
    /// One CSV file, or lpp_fiche_tot and lpp_histo_tot as DBF, in this order
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    files: Vec<PathBuf>,
    /// What may not be billed together: lpp_incomp_tot, or a CSV with the columns CODE1 and CODE2
    #[arg(long, value_name = "FILE")]
    incompatible: Option<PathBuf>,
    /// What is listed as compatible: lpp_comp_tot, or such a CSV
    #[arg(long, value_name = "FILE")]
    compatible: Option<PathBuf>,
    /// The catalogue file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The name of this version, such as LPP-577
    #[arg(long, value_name = "NAME")]
    name: CatalogueVersion,
    /// The first day it applies to
    #[arg(long, value_name = "YYYY-MM-DD")]
    valid_from: Day,
}

/// Arguments of `catalogue publish`.
#[derive(Args)]
pub(super) struct PublishArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The folder that the receipt is written to [default: receipts]
    #[arg(long, env = "VITRAIL_RECEIPTS", value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Why no catalogue comes out.
#[derive(Debug, Error)]
enum ImportError {
    /// A file cannot be read as a whole.
    #[error(transparent)]
    File(#[from] CatalogueFileError),
    /// Every record was skipped.
    #[error("no record of the file can be used")]
    Nothing,
}

impl Failure for ImportError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// `vitrail catalogue ...`
pub(super) async fn run(command: CatalogueCommand) -> Answer {
    match command {
        CatalogueCommand::Import(args) => import(args),
        CatalogueCommand::Publish(args) => publish(args).await,
    }
}

fn import(args: ImportArgs) -> Answer {
    let header = CatalogueHeader {
        version: args.name,
        valid_from: args.valid_from,
    };
    let pairs = |path: &Option<PathBuf>| {
        let bytes = path
            .as_deref()
            .map(|path| files::read(path, FILE_BYTES_MAX));
        bytes.transpose()
    };
    let (incompatible, compatible) = (pairs(&args.incompatible)?, pairs(&args.compatible)?);
    let import = read(&args.files, header)?;
    let import = import.with_pairs(PairFiles {
        incompatible: incompatible.as_deref(),
        compatible: compatible.as_deref(),
    });
    let Import {
        catalogue,
        derived,
        foreign_pairs,
        skipped,
    } = import.map_err(ImportError::from)?;
    if catalogue.lines().is_empty() {
        return Err(ImportError::Nothing.into());
    }
    files::replace(&args.out, catalogue.to_text().as_bytes())?;
    let skipped = skipped.iter().map(|skipped| {
        let table = match skipped.file {
            SourceFile::Products => "products",
            SourceFile::Tariffs => "tariffs",
            SourceFile::Incompatible => "incompatible pairs",
            SourceFile::Compatible => "compatible pairs",
        };
        ProblemReport {
            line: skipped.line,
            problem: format!("{table}: {}", skipped.reason),
        }
    });
    Ok(Box::new(ImportReport {
        version: catalogue.version().to_string(),
        valid_from: catalogue.valid_from().to_iso(),
        products: catalogue.lines().len(),
        derived,
        incompatible_pairs: catalogue.incompatible_pairs().as_slice().len(),
        compatible_pairs: catalogue.compatible_pairs().as_slice().len(),
        foreign_pairs,
        hash: catalogue.hash().to_base64(),
        out: args.out,
        skipped: skipped.collect(),
    }))
}

fn read(paths: &[PathBuf], header: CatalogueHeader) -> Result<Import, Failed> {
    let bytes = |path: &Path| files::read(path, FILE_BYTES_MAX);
    let import = match paths {
        [fiche, histo] => catalogue_file::read_dbf(&bytes(fiche)?, &bytes(histo)?, header),
        [csv, ..] => catalogue_file::read_csv(&bytes(csv)?, header),
        [] => return Err(ImportError::Nothing.into()), // clap asks for one at least
    };
    Ok(import.map_err(ImportError::from)?)
}

async fn publish(args: PublishArgs) -> Answer {
    let more = Settings {
        receipts: args.receipts,
        ..Settings::default()
    };
    let profile = args.settings.load(more)?;
    let catalogue = profile.catalogue()?;
    let issued = catalogue::publish(&profile.session(None)?, &catalogue).await?;
    Ok(Box::new(till::keep(&profile, "catalogue", &issued)?))
}
