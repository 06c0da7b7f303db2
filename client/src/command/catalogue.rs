//! `catalogue import` and `catalogue publish`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::auditor::HttpSource;
use client::catalogue;
use client::catalogue_file::{
    self, CatalogueFileError, FILE_BYTES_MAX, Import, PairFiles, SourceFile,
};
use client::failure::{Failure, FailureKind};
use client::files;
use client::profile::{Profile, ProfileError, Settings};
use proto::ids::Day;
use proto::ids::LeafIndex;
use proto::lpp::{CatalogueHeader, CataloguePath, CatalogueVersion};
use proto::roster::{Role, Roster};
use thiserror::Error;

use super::report::{FetchReport, ImportReport, ProblemReport, RemarkReport, StatusReport};
use super::{Answer, Failed, SettingsArgs, keeping};

/// What can be done with a catalogue.
#[derive(Subcommand)]
pub(super) enum CatalogueCommand {
    /// Reads the CNAM's CSV, or its DBF tables, into one catalogue file
    Import(ImportArgs),
    /// Names the catalogue in the ledger, as the CNAM
    Publish(PublishArgs),
    /// Says which catalogue the ledger has in force, and whether the own file is that one
    Status(StatusArgs),
    /// Gets the catalogue in force from a member, and verifies it by its hash
    Fetch(FetchArgs),
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
    /// The folder `catalogues` of the own node: the text is put there first, so that everybody
    /// can fetch what the ledger names
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
}

/// Arguments of `catalogue status`.
#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `catalogue fetch`.
#[derive(Args)]
pub(super) struct FetchArgs {
    /// The entry that names the catalogue, such as an older coverage does [default: in force]
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
    /// The file to write [default: the catalogue of the profile]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where a member serves catalogues [default: that of the CNAM, from the roster]
    #[arg(long, env = "VITRAIL_HTTP", value_name = "URL")]
    http: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
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
        CatalogueCommand::Status(args) => status(args).await,
        CatalogueCommand::Fetch(args) => fetch(args).await,
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
        remarks,
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
    let remarks = remarks.iter().map(|remark| RemarkReport {
        line: remark.line,
        remark: remark.about.to_string(),
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
        remarks: remarks.collect(),
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
    if let Some(folder) = &args.pages {
        files::create_folder(folder)?;
        let name = CataloguePath(catalogue.hash()).file_name();
        files::replace(&folder.join(name), catalogue.to_text().as_bytes())?;
    }
    let issued = catalogue::publish(&profile.open_session().await?, &catalogue).await?;
    Ok(Box::new(keeping::keep(&profile, "catalogue", &issued)?))
}

async fn status(args: StatusArgs) -> Answer {
    let profile = args.settings.load(Settings::default())?;
    let own = profile.catalogue()?.hash();
    let session = profile.open_session().await?;
    let named = catalogue::named(&session, None).await?;
    Ok(Box::new(StatusReport::new(&named, own)))
}

async fn fetch(args: FetchArgs) -> Answer {
    let profile = args.settings.load(Settings {
        http: args.http,
        ..Settings::default()
    })?;
    let session = profile.open_session().await?;
    let source = HttpSource::new(&address(&profile, session.roster())?)?;
    let named = catalogue::named(&session, args.entry.map(LeafIndex::new)).await?;
    let catalogue = catalogue::fetch(&source, named.notice.hash).await?;
    let out = args.out.as_deref();
    let out = out.unwrap_or_else(|| profile.catalogue_file()).to_owned();
    files::replace(&out, catalogue.to_text().as_bytes())?;
    Ok(Box::new(FetchReport {
        version: catalogue.version().to_string(),
        valid_from: catalogue.valid_from().to_iso(),
        products: catalogue.lines().len(),
        entry: named.index.get(),
        hash: named.notice.hash.to_base64(),
        out,
    }))
}

/// The address that was set, or that of the CNAM, which publishes the catalogues.
fn address(profile: &Profile, roster: &Roster) -> Result<String, ProfileError> {
    if let Some(http) = &profile.settings().http {
        return Ok(http.clone());
    }
    let mut members = roster.members().iter().filter(|m| m.role == Role::Amo);
    let address = members.find_map(|member| member.http.as_ref());
    let address = address.ok_or(ProfileError::Missing { name: "http" })?;
    Ok(format!("http://{}", address.as_str()))
}
