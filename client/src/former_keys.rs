//! Whose a key was: a member that takes a new key answers for what it issued under the ones before.
//!
//! A node is asked for the rosters before the one in force, the newest first. Each is believed
//! because its entry is in the log that a quorum of the roster in force vouches for: the ledger
//! takes in no roster that does not come into force. Nobody is asked while no key is unknown.

use std::collections::BTreeMap;

use proto::attestation::Attestation;
use proto::ids::MemberName;
use proto::lineage::LINEAGE_ROSTERS_MAX;
use proto::roster::{Epoch, Member, Roster};
use proto::signing::PublicKey;

use crate::connection::Connection;
use crate::lookup::{LookupError, WrongAnswer, wrong};
use crate::nodes::Manner;
use crate::session::Session;

/// Each key of an earlier roster, with the member that had it last.
pub(crate) type FormerKeys = BTreeMap<PublicKey, MemberName>;

impl Session {
    /// The member of the roster that has a key, or had it before it took another.
    ///
    /// # Errors
    /// [`LookupError`] when an earlier roster is needed and cannot be had, or does not verify.
    pub async fn member_of_key(&self, key: &PublicKey) -> Result<Option<&Member>, LookupError> {
        if let Some(member) = self.roster().member_by_key(key) {
            return Ok(Some(member));
        }
        let former = self.former_keys().get_or_try_init(|| self.earlier_keys());
        let name = former.await?.get(key);
        Ok(name.and_then(|name| self.roster().member(name)))
    }

    /// Whether a key is the own one, or the own member had it before.
    ///
    /// # Errors
    /// [`LookupError`], as for [`Session::member_of_key`].
    pub async fn is_own_key(&self, key: &PublicKey) -> Result<bool, LookupError> {
        if *key == self.public_key() {
            return Ok(true);
        }
        let Some(own) = self.own_member() else {
            return Ok(false);
        };
        let member = self.member_of_key(key).await?;
        Ok(member.is_some_and(|member| member.name == own.name))
    }

    /// The keys of the rosters before the one in force, of at most so many as a lineage has.
    async fn earlier_keys(&self) -> Result<FormerKeys, LookupError> {
        let mut former = FormerKeys::new();
        let newest = self.roster().epoch().get();
        let earlier = (0..newest).rev().take(LINEAGE_ROSTERS_MAX);
        for epoch in earlier.map(Epoch::new) {
            let asked = self.ask(Manner::READ, |connection| {
                self.earlier_roster(connection, epoch)
            });
            for member in asked.await?.members() {
                let name = || member.name.clone();
                former.entry(member.public_key).or_insert_with(name);
            }
        }
        Ok(former)
    }

    /// The roster of an epoch, as one member's node proves it.
    async fn earlier_roster(
        &self,
        connection: Connection,
        epoch: Epoch,
    ) -> Result<Roster, LookupError> {
        let seen = self.seen().size();
        let (proved, checkpoint) = connection.roster(epoch).await?;
        let member = connection.member();
        let checkpoint = self.verify_newest(member, &checkpoint, seen)?;
        let entry = proved.verify(&checkpoint, &mut |_| {});
        let entry = entry.map_err(|reason| wrong(member, reason.into()))?;
        match Attestation::read(entry.header()) {
            Ok(Attestation::Roster(signed)) if signed.admitted().epoch() == epoch => {
                Ok(signed.admitted().clone())
            }
            _ => Err(wrong(member, WrongAnswer::OtherEntry)),
        }
    }
}
