//! `vitrail-node join`: the node of a member, or of an organisation that asks to be one.

use std::path::{Path, PathBuf};

use clap::Args;
use proto::identity::PayerNumber;
use proto::ids::MemberName;
use proto::incident::IncidentPublicKey;
use proto::roster::{Address, Role};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;
use super::parse_role;
use super::sealing::SealArgs;
use crate::join::{self, Asking, Joining, REQUEST_FILE};

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The node's folder; it must not exist, or be empty.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    /// File of the federation's first roster. Compare its hash with what members publish.
    #[arg(long, value_name = "FILE")]
    roster: PathBuf,
    /// Name of the member: its own in the first roster, or the one that it asks for.
    #[arg(long)]
    name: MemberName,
    /// File of its key, made with `keygen`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    sealing: SealArgs,
    /// For who is not in the first roster, the role that it asks for: amo, amc or federation.
    #[arg(long, value_parser = parse_role)]
    role: Option<Role>,
    /// The number claims are to name it by, if it pays any.
    #[arg(long, requires = "role")]
    payer_number: Option<PayerNumber>,
    /// Where others will reach its gRPC.
    #[arg(long, value_name = "HOST:PORT", requires = "role")]
    grpc: Option<Address>,
    /// Where others will reach its pages.
    #[arg(long, value_name = "HOST:PORT", requires = "role")]
    http: Option<Address>,
    /// Its incident key, if it is to look into incidents, as `vitrail keygen --incident` prints it.
    #[arg(long, value_name = "BASE64", requires = "role", value_parser = parse_incident)]
    incident: Option<IncidentPublicKey>,
}

fn parse_incident(text: &str) -> Result<IncidentPublicKey, String> {
    IncidentPublicKey::from_base64(text).map_err(|error| error.to_string())
}

/// What `join` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JoinReport<'a> {
    dir: &'a Path,
    origin: &'a str,
    name: &'a str,
    roster_hash: String,
    /// What the members are to be given, by who is not one yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<PathBuf>,
}

pub(super) fn join(args: JoinArgs, output: Output) -> Result<(), CommandError> {
    let asking = args.role.map(|role| Asking {
        role,
        payer: args.payer_number,
        grpc: args.grpc,
        http: args.http,
        incident: args.incident,
    });
    let request = asking.is_some().then(|| args.dir.join(REQUEST_FILE));
    let joining = Joining {
        name: args.name,
        roster: args.roster,
        key: args.key,
        sealing: args.sealing.sealing(),
        asking,
    };
    let roster = join::join(&args.dir, &joining)?;
    let report = JoinReport {
        dir: &args.dir,
        origin: roster.origin().as_str(),
        name: joining.name.as_str(),
        roster_hash: roster.hash().to_base64(),
        request,
    };
    let (name, origin, dir) = (report.name, report.origin, report.dir.display());
    let text = match &report.request {
        None => format!("{name} follows {origin} in {dir}\n"),
        Some(request) => format!(
            "{name} asks to follow {origin}; its node is in {dir}\nrequest      {}\n",
            request.display()
        ),
    };
    let text = format!("{text}roster hash  {}\n", report.roster_hash);
    print(output, &report, &text)
}
