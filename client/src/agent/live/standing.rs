//! Who of the federation is there, and how old what they say is.

use proto::ids::MemberName;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::answer::{CheckpointAnswer, MemberAnswer, StatusAnswer};
use super::{Live, REACHED_WITHIN};
use crate::session::Session;
use crate::system;

impl Live {
    /// Who is there, and how old what they say is.
    pub(in crate::agent) async fn status(&self) -> StatusAnswer {
        let mut status = StatusAnswer::bare(false);
        status.waiting = self.queue.list().map_or(0, |claims| {
            claims.iter().filter(|one| one.refused.is_none()).count()
        });
        let till = match self.till().await {
            Ok(till) => till,
            Err(problem) => {
                status.problem = problem.detail;
                return status;
            }
        };
        let session = till.pos.session();
        status.origin = Some(session.roster().origin().to_string());
        status.epoch = Some(session.roster().epoch().get());
        status.members = members(session).await;
        match timeout(REACHED_WITHIN, session.newest_checkpoint()).await {
            Ok(Ok(checkpoint)) => {
                let time = checkpoint.time().get();
                let now = system::now().seconds().get();
                status.checkpoint = Some(CheckpointAnswer {
                    size: checkpoint.size().get(),
                    time,
                    age_seconds: now.saturating_sub(time),
                });
            }
            Ok(Err(error)) => status.problem = Some(error.to_string()),
            Err(_) => status.problem = Some("no node answered in time".to_owned()),
        }
        status
    }
}

/// Each member of the roster, and whether its node answers.
async fn members(session: &Session) -> Vec<MemberAnswer> {
    let mut asked = JoinSet::new();
    for member in session.roster().members() {
        if let Some(connection) = session.connection(&member.name).cloned() {
            let name = member.name.clone();
            asked.spawn(async move {
                let answered = timeout(REACHED_WITHIN, connection.checkpoint()).await;
                answered
                    .is_ok_and(|answered| answered.is_ok())
                    .then_some(name)
            });
        }
    }
    let there: Vec<MemberName> = asked.join_all().await.into_iter().flatten().collect();
    let members = session.roster().members().iter();
    members
        .map(|member| MemberAnswer {
            name: member.name.to_string(),
            role: member.role.as_str().to_owned(),
            voting: member.is_voting(),
            reachable: there.contains(&member.name),
        })
        .collect()
}
