//! The ledger as an entry in the middle of a batch sees it: the view, and what the batch has
//! changed so far.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use proto::attestation::{Attestation, State};
use proto::entry::{Entry, VerifiedEntry};
use proto::ids::LeafIndex;
use proto::map::MapIndex;
use proto::roster::Roster;

use super::{Answered, Commit, RequestKey, View};

/// A view with a commit in the making on top of it.
pub(super) struct Overlay<'v, V> {
    view: &'v V,
    commit: Commit,
    /// What the view has said in this batch: its claims rest on the same catalogue, and many on
    /// the same grant.
    read: RefCell<HashMap<MapIndex, Option<State>>>,
}

impl<'v, V: View> Overlay<'v, V> {
    pub(super) fn new(view: &'v V) -> Self {
        Self {
            view,
            commit: Commit::default(),
            read: RefCell::default(),
        }
    }

    pub(super) fn into_commit(self) -> Commit {
        self.commit
    }

    pub(super) fn roster(&self) -> &Arc<Roster> {
        self.commit
            .roster
            .as_ref()
            .unwrap_or_else(|| self.view.roster())
    }

    pub(super) fn state(&self, index: &MapIndex) -> Result<Option<State>, V::Error> {
        if let Some(changed) = self.commit.map.get(index) {
            return Ok(*changed);
        }
        if let Some(known) = self.read.borrow().get(index) {
            return Ok(*known);
        }
        let state = self.view.state(index)?;
        self.read.borrow_mut().insert(*index, state);
        Ok(state)
    }

    pub(super) fn entry(&self, index: LeafIndex) -> Result<Option<Arc<Entry>>, V::Error> {
        let Some(position) = index.get().checked_sub(self.view.size().get()) else {
            return self.view.entry(index);
        };
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let fresh = self.commit.entries.get(position);
        Ok(fresh.map(|entry| entry.shared().clone()))
    }

    pub(super) fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, V::Error> {
        match self.commit.answers.get(request) {
            Some(answered) => Ok(Some(*answered)),
            None => self.view.answered(request),
        }
    }

    pub(super) fn remember(&mut self, request: RequestKey, answered: Answered) {
        self.commit.answers.insert(request, answered);
    }

    pub(super) fn put_in_force(&mut self, roster: Roster) {
        self.commit.roster = Some(Arc::new(roster));
    }

    /// Appends an admitted entry and lets it take effect.
    pub(super) fn append(
        &mut self,
        entry: &VerifiedEntry,
        attestation: &Attestation,
    ) -> Result<LeafIndex, V::Error> {
        let leaf = LeafIndex::new(self.view.size().get() + self.commit.entries.len() as u64);
        let issuer = &entry.header().issuer;
        let effects = attestation.effects(leaf, issuer, |index| self.state(index))?;
        self.commit.map.extend(effects);
        if let Attestation::Erasure(erasure) = attestation {
            self.commit.erased.push(erasure.erased);
        }
        self.commit.entries.push(entry.clone());
        Ok(leaf)
    }
}
