//! What a federation can lose: the node that leads, in the middle of claims, and a whole disk.

use std::collections::BTreeSet;
use std::time::Duration;

use client::issue::{IssueError, Issued};
use client::pos::{Draft, Pos, Quote};
use client::session::Session;
use client::view::View;
use proto::attestation::Attestation;
use proto::entry::Entry;
use proto::ids::LeafIndex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Play, Shops, cast, equipment};
use crate::demo::DemoError;
use crate::demo::cast::Figure;
use crate::rebuild::Rebuilt;

/// From the moment at which the last claim has left its till to the kill: about the middle of the
/// way of a batch, so that some claims are only with the leader and others on the disks already.
const INTO_A_BATCH: Duration = Duration::from_millis(3);
/// How long the claims may take to leave their tills.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How long a till goes on asking, on however busy a machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause of a till before it asks all nodes again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A claim that is signed. Sent again with the same bytes it is the same claim, at whatever node.
struct Signed {
    session: Session,
    entry: Entry,
    draft: Draft,
}

impl Signed {
    fn new(shop: &Pos, quote: &Quote) -> Result<Self, DemoError> {
        let (session, draft) = (shop.session().clone(), shop.draft(quote)?);
        let entry = session.sign(&Attestation::Claim(draft.claim.clone()))?;
        Ok(Self {
            session,
            entry,
            draft,
        })
    }

    /// Sends it until some node answers; gives the answer and when it came.
    async fn answered(self) -> Result<(Issued, Instant), IssueError> {
        let payload = Some((&self.draft.payload, &self.draft.salt));
        let until = Instant::now() + ANSWER_MAX;
        loop {
            match self.session.append(&self.entry, payload).await {
                Ok(issued) => return Ok((issued, Instant::now())),
                Err(IssueError::Call(_)) if Instant::now() < until => sleep(ASK_AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Claims on their way, each marked with whether it was sent after the kill.
type Sent = JoinSet<(bool, Result<(Issued, Instant), IssueError>)>;

/// What became of the claims on their way.
struct Survived {
    in_flight: usize,
    back: Option<Duration>,
}

impl Play<'_> {
    /// A third of the claims is answered before the kill, a third is on its way, a third is sent
    /// while nobody leads. Gives who led before and who leads after.
    pub(super) async fn leader_is_killed(
        &mut self,
        shops: &Shops,
        people: &[Figure],
    ) -> Result<(&'static str, &'static str), DemoError> {
        self.narrator
            .scene("8. The leader's node is killed in the middle of claims");
        let killed = self.federation.leader().await?;
        self.narrator.line(&format!("{killed} leads"));
        let mut before = Vec::new();
        for (position, figure) in people.iter().enumerate() {
            let shop = &shops.tills[position % shops.tills.len()];
            let quote = self.check(shop, figure).await?;
            before.push(Signed::new(shop, &quote)?);
        }
        let third = people.len().div_ceil(3);
        let mut on_their_way = before.split_off(third);
        let after = on_their_way.split_off(third);
        let mut places = BTreeSet::new();
        for claim in before {
            self.place(&mut places, &claim.answered().await?.0)?;
        }

        let mut sent = Sent::new();
        let leave = shops.left.entries() + on_their_way.len();
        send(&mut sent, on_their_way, false);
        // A till that cannot send says so when it is waited for.
        let _ = timeout(LEAVE_MAX, shops.left.entries_reach(leave)).await;
        sleep(INTO_A_BATCH).await;
        let killed_at = Instant::now();
        self.federation.kill(killed);
        self.counts.leader_kills += 1;
        send(&mut sent, after, true);
        let survived = self.answers(sent, killed_at, &mut places).await?;
        let back = survived.back.unwrap_or_default();
        self.counts.claims_in_flight = survived.in_flight;
        self.counts.writes_back_ms = u64::try_from(back.as_millis()).unwrap_or(u64::MAX);
        let leads = self.federation.leader().await?;
        self.narrate_kill(people.len(), killed, leads);
        self.federation.start(killed, false).await?;
        self.federation.all_vote().await?;
        self.narrator
            .line(&format!("{killed} was started again, and votes again"));
        Ok((killed, leads))
    }

    fn narrate_kill(&self, claims: usize, killed: &str, leads: &str) {
        let (in_flight, back) = (self.counts.claims_in_flight, self.counts.writes_back_ms);
        self.narrator.line(&format!(
            "kill -9: {in_flight} claims were on their way; {leads} leads now; \
             writes were away for {back} ms"
        ));
        self.narrator.shown(&format!(
            "All {claims} claims of this scene have their receipt and a place of their own, though \
             {killed} is gone: none was lost, none is there twice, and no till had to know who leads."
        ));
    }

    /// Waits for every claim, keeps its receipt and notes its place.
    async fn answers(
        &mut self,
        mut sent: Sent,
        killed_at: Instant,
        places: &mut BTreeSet<LeafIndex>,
    ) -> Result<Survived, DemoError> {
        let mut survived = Survived {
            in_flight: 0,
            back: None,
        };
        while let Some(answered) = sent.join_next().await {
            let (is_after, answered) = answered.map_err(std::io::Error::from)?;
            let (issued, at) = answered?;
            self.place(places, &issued)?;
            let took = at.saturating_duration_since(killed_at);
            match is_after {
                true => survived.back = Some(survived.back.map_or(took, |back| back.min(took))),
                false => survived.in_flight += usize::from(!took.is_zero()),
            }
        }
        Ok(survived)
    }

    /// No two claims have one place.
    fn place(
        &mut self,
        places: &mut BTreeSet<LeafIndex>,
        issued: &Issued,
    ) -> Result<(), DemoError> {
        let place = self.claimed(issued)?;
        places
            .insert(place)
            .then_some(())
            .ok_or(DemoError::OnePlace)
    }

    /// An insurer's node loses everything, and has it again from the others, which go on meanwhile.
    pub(super) async fn disk_is_wiped(
        &mut self,
        shops: &Shops,
        [meanwhile, afterwards]: &[Figure; 2],
    ) -> Result<&'static str, DemoError> {
        let leader = self.federation.leader().await?;
        let mut insurers = cast::INSURERS.into_iter().map(|(name, _)| name);
        let wiped = insurers.rfind(|name| *name != leader);
        let wiped = wiped.ok_or(DemoError::Miscast)?;
        self.narrator.scene(&format!(
            "9. The disk of {wiped} is wiped: ledger, key and key share are gone"
        ));
        self.federation.wipe(wiped)?;
        let (rebuilt, quoted) = tokio::try_join!(
            self.federation.rebuild(wiped),
            sell(&shops.tills[0], meanwhile),
        )?;
        self.counts.checks += 1;
        self.looks += 1;
        let index = self.claimed(&quoted)?;
        self.narrator.line(&format!(
            "meanwhile the three others sold a pair of glasses: entry {index}"
        ));
        self.federation.start(wiped, false).await?;
        self.serves_again(shops, wiped, afterwards).await?;
        self.show_rebuilt(wiped, &rebuilt).await?;
        Ok(wiped)
    }

    /// The last customer is served by the rebuilt node alone.
    async fn serves_again(
        &mut self,
        shops: &Shops,
        name: &'static str,
        figure: &Figure,
    ) -> Result<(), DemoError> {
        self.federation.all_vote().await?;
        let roster = self.federation.roster().clone();
        let session = self.cast.session_at(name, cast::SHOPS[1].0, &roster)?;
        let shop = Pos::new(session, shops.catalogue.clone(), View::new(roster));
        let quote = self.check(&shop, figure).await?;
        let index = self.claimed(&shop.claim(&quote).await?)?;
        self.narrator.line(&format!(
            "{name} votes again, and its node alone served a check and a claim: entry {index}"
        ));
        Ok(())
    }

    async fn show_rebuilt(&mut self, name: &str, rebuilt: &Rebuilt) -> Result<(), DemoError> {
        let state = self.federation.state_of_all().await?;
        self.counts.rebuilt_entries = rebuilt.entries;
        self.counts.rebuilt_cosigned_by = rebuilt.cosigned_by;
        self.narrator.line(&format!(
            "rebuilt: {} entries verified one by one, roots vouched for by {} members",
            rebuilt.entries, rebuilt.cosigned_by
        ));
        self.narrator.line(&format!(
            "at entry {} all four nodes have the log root {} and the map root {}",
            state.size, state.log_root, state.map_root
        ));
        self.narrator.shown(&format!(
            "A member that has lost its disk believes nobody: {name} checked every signature, \
             payload and rule anew. Its key share came back out of pieces of two others, none of \
             which tells anything."
        ));
        Ok(())
    }
}

/// A check and a claim of somebody at a till.
async fn sell(shop: &Pos, figure: &Figure) -> Result<Issued, DemoError> {
    let quote = shop.check(&figure.insured, &equipment()?).await?;
    Ok(Signed::new(shop, &quote)?.answered().await?.0)
}

fn send(sent: &mut Sent, claims: Vec<Signed>, is_after: bool) {
    for claim in claims {
        sent.spawn(async move { (is_after, claim.answered().await) });
    }
}
