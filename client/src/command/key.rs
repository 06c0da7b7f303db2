//! `keygen`, `grant` and `revoke`.

use std::path::PathBuf;

use clap::Args;
use client::failure::{Failure, FailureKind};
use client::federation::{self, DAILY_QUOTA, HOURLY_QUOTA};
use client::profile::Settings;
use client::{files, system};
use proto::attestation::{Grant, GrantClass};
use proto::ids::{Day, Finess};
use proto::incident::{INCIDENT_PURPOSE, IncidentSecretKey};
use proto::signing::{PublicKey, SecretKey, SigningError};
use thiserror::Error;
use zeroize::Zeroizing;

use super::report::{IssueReport, KeyReport};
use super::sealed::{self, Method};
use super::{Answer, SettingsArgs};

/// Arguments of `keygen`.
#[derive(Args)]
pub(super) struct KeygenArgs {
    /// The key file to write; it is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Make an incident key (X25519) instead: access records are sealed to it
    #[arg(long, requires = "seal")]
    incident: bool,
    /// How the incident key is sealed on disk
    #[arg(long, value_enum, requires = "incident")]
    seal: Option<Method>,
    /// File of the passphrase or credential; /dev/fd/N for a descriptor. Without it a passphrase is
    /// asked for at the terminal
    #[arg(long, value_name = "FILE", requires = "seal")]
    seal_file: Option<PathBuf>,
}

/// What a federation admits a key as.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Class {
    /// It claims and looks up itself
    Till,
    /// It grants session keys of at most 12 hours, and does nothing else
    Device,
}

/// Arguments of `grant`.
#[derive(Args)]
pub(super) struct GrantArgs {
    /// The till's public key, as `vitrail keygen` prints it
    #[arg(long, value_name = "BASE64", value_parser = PublicKey::from_base64)]
    till: PublicKey,
    /// The FINESS number of the shop it stands in
    #[arg(long)]
    finess: Finess,
    /// What it is admitted as
    #[arg(long, value_enum, default_value_t = Class::Till)]
    class: Class,
    /// The last day on which it is admitted, at most a year and a month from now
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Day,
    /// Elements that each node evaluates for it in an hour
    #[arg(long, value_name = "COUNT", default_value_t = HOURLY_QUOTA)]
    hourly_quota: u32,
    /// Elements that each node evaluates for it in a day
    #[arg(long, value_name = "COUNT", default_value_t = DAILY_QUOTA)]
    daily_quota: u32,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `revoke`.
#[derive(Args)]
pub(super) struct RevokeArgs {
    /// The till's public key
    #[arg(long, value_name = "BASE64", value_parser = PublicKey::from_base64)]
    till: PublicKey,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The key cannot be encoded, which happens to no key.
#[derive(Debug, Error)]
#[error("the key cannot be written: {0}")]
struct KeyError(#[from] SigningError);

impl Failure for KeyError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// `vitrail keygen`
pub(super) fn keygen(args: &KeygenArgs) -> Answer {
    if let Some(method) = args.seal {
        return incident_key(args, method);
    }
    let secret = SecretKey::from_seed(&Zeroizing::new(system::random()?));
    let pem = secret.to_pem().map_err(KeyError::from)?;
    files::create_secret(&args.out, pem.as_bytes())?;
    let public_key = secret.public().to_base64();
    Ok(Box::new(KeyReport {
        public_key,
        out: args.out.clone(),
    }))
}

fn incident_key(args: &KeygenArgs, method: Method) -> Answer {
    let secret = IncidentSecretKey::from_bytes(system::random()?);
    let file = args.seal_file.as_ref();
    let text = sealed::seal(method, INCIDENT_PURPOSE, &secret.to_text(), file)?;
    files::create_secret(&args.out, text.as_bytes())?;
    let public_key = secret.public().to_base64();
    Ok(Box::new(KeyReport {
        public_key,
        out: args.out.clone(),
    }))
}

/// `vitrail grant`
pub(super) async fn grant(args: GrantArgs) -> Answer {
    let session = args
        .settings
        .load(Settings::default())?
        .open_session()
        .await?;
    let grant = Grant {
        till: args.till,
        finess: args.finess,
        expires_at: args.until.plus(1).start(),
        hourly_quota: args.hourly_quota,
        daily_quota: args.daily_quota,
        class: match args.class {
            Class::Till => GrantClass::Till,
            Class::Device => GrantClass::Device,
        },
    };
    let issued = federation::grant(&session, grant).await?;
    Ok(Box::new(IssueReport::new("grant", &issued, None)))
}

/// `vitrail revoke`
pub(super) async fn revoke(args: RevokeArgs) -> Answer {
    let session = args
        .settings
        .load(Settings::default())?
        .open_session()
        .await?;
    let issued = federation::revoke(&session, args.till).await?;
    Ok(Box::new(IssueReport::new("revocation", &issued, None)))
}
