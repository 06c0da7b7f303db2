//! `vitrail-node status | rebuild`: how the federation is, and a lost node's way back into it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use proto::roster::Address;

use super::answer::{Output, print};
use super::failure::CommandError;
use crate::config::{Config, Settings};
use crate::rebuild::{Rebuilt, rebuild};
use crate::server::{read_key, read_roster};
use crate::status::{FederationStatus, MemberStatus, Seat, ask};

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Arguments of `status` and `rebuild`; which node it is, of other commands.
#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    /// The node's folder.
    #[arg(long, env = "VITRAIL_DIR")]
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) settings: Settings,
}

pub(super) fn status(args: MemberArgs, output: Output) -> Result<(), CommandError> {
    let config = Config::load(&args.dir, args.settings)?;
    let secret = read_key(&config.key).map_err(Box::new)?;
    let first = read_roster(&config.roster).map_err(Box::new)?;
    // A socket address is an address.
    let own = config.grpc.to_string().parse::<Address>();
    let own = own.map_err(|_| CommandError::OwnAddress)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    let status = runtime.block_on(ask(&config.name, &own, &first, &secret))?;
    print(output, &status, &status_text(&status))
}

fn status_text(status: &FederationStatus) -> String {
    let leader = status.leader.as_deref().unwrap_or("nobody");
    let mut text = format!(
        "{}: {} entries, roster {}, led by {leader}\n",
        status.origin, status.size, status.epoch,
    );
    let width = status.members.iter().map(|it| it.name.len()).max();
    for member in &status.members {
        let name = format!("{:width$}", member.name, width = width.unwrap_or(0));
        text.push_str(&member_line(&name, member));
    }
    let (quorum, may_fail) = (status.quorum, status.may_fail);
    text.push_str(&match may_fail {
        0 => format!("a quorum is {quorum}: nobody more may fail\n"),
        _ => format!("a quorum is {quorum}: {may_fail} more may fail\n"),
    });
    text
}

fn member_line(name: &str, member: &MemberStatus) -> String {
    let vote = if member.voting { "votes  " } else { "follows" };
    let seat = match (member.voting, member.seat) {
        (true, Seat::Learns) => ", learns until it has caught up",
        (true, Seat::None) => ", has no seat yet",
        (false, Seat::Learns) => ", learns",
        (false, Seat::None) | (_, Seat::Votes) => "",
    };
    let here = match (&member.condition, member.behind) {
        (None, _) => "does not answer".to_owned(),
        (Some(condition), None) => condition.clone(),
        (Some(condition), Some(0)) => format!("{condition}, up to date"),
        (Some(condition), Some(behind)) => format!("{condition}, {behind} entries behind"),
    };
    let cosigned = match (member.missing, member.cosigned) {
        // Who votes is missed when it does not cosign; of who follows it is said how long it has not.
        (false, _) if !member.voting => match member.cosigned_ago_s {
            None => ", cosigns nothing".to_owned(),
            Some(ago) => format!(", cosigned {ago} s ago"),
        },
        (false, _) => String::new(),
        (true, None) => ", has cosigned nothing".to_owned(),
        (true, Some(size)) => format!(", has cosigned {size} entries"),
    };
    format!("  {name}  {vote}  {here}{seat}{cosigned}\n")
}

pub(super) fn rebuild_node(args: MemberArgs, output: Output) -> Result<(), CommandError> {
    let config = Config::load(&args.dir, args.settings)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    let bar = progress_bar();
    // On standard error, and only where that is a terminal.
    let rebuilt = runtime.block_on(rebuild(&config, |size| bar.set_position(size.get())));
    bar.finish_and_clear();
    let rebuilt = rebuilt?;
    print(output, &rebuilt, &rebuilt_text(&rebuilt))
}

pub(super) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} entries verified, {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TURN);
    bar
}

fn rebuilt_text(rebuilt: &Rebuilt) -> String {
    let Rebuilt {
        origin,
        entries,
        log_root,
        map_root,
        cosigned_by,
        quorum,
    } = rebuilt;
    format!(
        "rebuilt {origin}: the signature, the payload and the rules of each of {entries} entries \
         were checked, and both roots computed here are cosigned by {cosigned_by} members, a \
         quorum is {quorum}\nlog root  {log_root}\nmap root  {map_root}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_keeps_a_member_from_counting() {
        let member = MemberStatus {
            name: "alpha".to_owned(),
            voting: true,
            seat: Seat::Learns,
            condition: Some("following".to_owned()),
            behind: Some(4),
            cosigned: Some(3),
            cosigned_ago_s: Some(2),
            missing: true,
        };
        assert_eq!(
            member_line("alpha", &member),
            "  alpha  votes    following, 4 entries behind, learns until it has caught up, \
             has cosigned 3 entries\n"
        );
        let away = MemberStatus {
            condition: None,
            behind: None,
            cosigned: None,
            ..member.clone()
        };
        let line = member_line("alpha", &away);
        assert!(line.contains("does not answer") && line.contains("cosigned nothing"));
        let follows = MemberStatus {
            voting: false,
            seat: Seat::None,
            behind: Some(0),
            missing: false,
            ..member
        };
        assert_eq!(
            member_line("alpha", &follows),
            "  alpha  follows  following, up to date, cosigned 2 s ago\n"
        );
    }
}
