//! The cosignatures of the members, as they come in.

use std::collections::BTreeMap;

use proto::checkpoint::{Checkpoint, Cosigned, SignedCheckpoint, VerifiedCheckpoint};
use proto::ids::{MemberName, TreeSize, UnixSeconds};
use proto::note::NoteSignature;
use proto::roster::Roster;

/// The newest cosignature of each member, each checked when it came in.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    lines: BTreeMap<MemberName, Cosigned>,
    /// What certifies a state, as the next batch brought it. A member that is a few batches behind
    /// finds here what the others no longer send.
    brought: BTreeMap<TreeSize, SignedCheckpoint>,
    /// The largest size that a quorum is known to have vouched for.
    vouched: TreeSize,
}

/// Most certificates kept for batches still to come: more than the engine hands over at a time.
pub(super) const BROUGHT_MAX: usize = 256;

impl Gathering {
    /// Takes the lines of members that verify and are not older than what is held of the same
    /// member. Lines of others and lines that fail are passed over.
    pub(super) fn add(&mut self, signed: &SignedCheckpoint, roster: &Roster) {
        let checkpoint = signed.claimed();
        if checkpoint.origin != *roster.origin() {
            return;
        }
        let mut voting = 0;
        for line in signed.cosignatures() {
            // It comes as a call and as the answer to one: it is checked once.
            let is_it =
                |held: &Cosigned| held.line() == line && held.counts_for(checkpoint, roster);
            if self.lines.values().any(is_it) {
                voting += 1;
                continue;
            }
            let Ok((cosigned, member)) = Cosigned::verify(checkpoint, line, roster) else {
                continue;
            };
            voting += usize::from(member.is_voting());
            let held = self.lines.get(&member.name);
            if held.is_none_or(|held| order(held) <= order(&cosigned)) {
                self.lines.insert(member.name.clone(), cosigned);
            }
        }
        // A quorum signs together, or one member after the other says the same.
        let said = self.voting_lines(checkpoint, roster).count();
        if voting.max(said) >= roster.quorum() {
            self.vouched = self.vouched.max(checkpoint.size);
        }
    }

    /// Keeps what certifies the state before a batch, which nobody has checked yet.
    pub(super) fn bring(&mut self, before: SignedCheckpoint) {
        self.brought.insert(before.claimed().size, before);
        if self.brought.len() > BROUGHT_MAX {
            self.brought.pop_first();
        }
    }

    /// Forgets what certifies states that are in the ledger.
    pub(super) fn forget_up_to(&mut self, size: TreeSize) {
        self.brought.retain(|brought, _| *brought > size);
    }

    /// The checkpoint under the cosignatures held for it, if they are a quorum of this roster.
    pub(super) fn certificate(
        &self,
        checkpoint: &Checkpoint,
        roster: &Roster,
    ) -> Option<VerifiedCheckpoint> {
        let gathered = VerifiedCheckpoint::gather(checkpoint, self.lines.values(), roster);
        gathered.ok().or_else(|| {
            let brought = self.brought.get(&checkpoint.size)?;
            let brought = brought.verify(roster).ok()?;
            (brought.signed().claimed() == checkpoint).then_some(brought)
        })
    }

    /// The latest moment at or after which a quorum of this roster has cosigned the checkpoint.
    pub(super) fn quorum_time(
        &self,
        checkpoint: &Checkpoint,
        roster: &Roster,
    ) -> Option<UnixSeconds> {
        let lines = self.voting_lines(checkpoint, roster);
        let mut times: Vec<_> = lines.filter_map(NoteSignature::time).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(roster.quorum().checked_sub(1)?).copied()
    }

    fn voting_lines<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
        roster: &'a Roster,
    ) -> impl Iterator<Item = &'a NoteSignature> {
        let lines = self.lines.values();
        lines
            .filter(|it| it.counts_for(checkpoint, roster))
            .map(Cosigned::line)
    }

    /// The newest cosignature of each member, each under its own checkpoint.
    pub(super) fn newest(&self) -> Vec<SignedCheckpoint> {
        let signed = self
            .lines
            .values()
            .map(|it| SignedCheckpoint::new(it.checkpoint().clone(), vec![it.line().clone()]).ok());
        signed.flatten().collect()
    }

    /// The largest size that a quorum is known to have vouched for.
    pub(super) const fn vouched(&self) -> TreeSize {
        self.vouched
    }
}

/// By size, and of one size by the time of the cosignature.
fn order(cosigned: &Cosigned) -> (u64, u64) {
    let time = cosigned.line().time().map_or(0, UnixSeconds::get);
    (cosigned.checkpoint().size.get(), time)
}
