//! Whose key a key is, or was: a member that takes a new key stays who it is.
//!
//! Each roster that comes into force says so for every member of it, and nothing is taken away: a
//! key that the map has and the roster in force has not is a former one. A member goes by its name.
//! So whoever a quorum admits under the name of one that left is that member again.

use super::State;
use crate::hash::{Context, Hash, derive};
use crate::ids::{LeafIndex, MemberName};
use crate::map::MapIndex;
use crate::roster::{Member, Roster};
use crate::signing::PublicKey;

/// Whose key a key is, or was before its member took another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberState {
    /// What the member is named by: the hash of its name, as a name may be longer than a map value.
    pub name: Hash,
    /// The newest roster that has the key.
    pub by: LeafIndex,
}

impl MemberState {
    /// The state of a key that this roster entry gives to the member of this name.
    #[must_use]
    pub fn new(name: &MemberName, by: LeafIndex) -> Self {
        let name = derive(Context::MemberName, &[name.as_str().as_bytes()]);
        Self { name, by }
    }

    /// Whether it names this member.
    #[must_use]
    pub fn is_of(&self, name: &MemberName) -> bool {
        *self == Self::new(name, self.by)
    }
}

/// Where the map keeps whose key a key is, or was.
#[must_use]
pub fn member_index(key: &PublicKey) -> MapIndex {
    MapIndex::new(Context::MapMember, &key.to_bytes())
}

/// The member of a roster that has a key, or had it before it took another; `state` reads the map.
///
/// # Errors
/// Only what `state` could not read.
pub fn member_of_key<'r, E>(
    roster: &'r Roster,
    key: &PublicKey,
    state: impl Fn(&MapIndex) -> Result<Option<State>, E>,
) -> Result<Option<&'r Member>, E> {
    if let Some(member) = roster.member_by_key(key) {
        return Ok(Some(member));
    }
    Ok(match state(&member_index(key))? {
        Some(State::Member(had)) => roster.members().iter().find(|it| had.is_of(&it.name)),
        _ => None,
    })
}

/// Whether what was issued under `former` is now for `key` to answer for: it is the same key, or
/// `key` is that of the member of the roster that had `former` before. `state` reads the map.
///
/// It holds in one direction alone: a key that was given up has no rights over anything.
///
/// # Errors
/// Only what `state` could not read.
pub fn same_member<E>(
    roster: &Roster,
    former: &PublicKey,
    key: &PublicKey,
    state: impl Fn(&MapIndex) -> Result<Option<State>, E>,
) -> Result<bool, E> {
    if former == key {
        return Ok(true);
    }
    let Some(member) = roster.member_by_key(key) else {
        return Ok(false);
    };
    Ok(match state(&member_index(former))? {
        Some(State::Member(had)) => had.is_of(&member.name),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use crate::attestation::Attestation;
    use crate::roster::SignedRoster;
    use crate::roster::example::{federation, name, parts, secret};
    use crate::signing::SecretKey;

    #[test]
    fn a_member_has_its_former_keys_and_a_former_key_has_nothing() {
        let first = federation(2, 0);
        let map: BTreeMap<MapIndex, State> = effects(&first, 0).into_iter().collect();
        let state = |index: &MapIndex| Ok::<_, Infallible>(map.get(index).copied());
        let (old, new) = (secret(0).public(), SecretKey::from_seed(&[99; 32]).public());
        let other = secret(1).public();
        let mut next = parts(2, 0);
        next.members[0].public_key = new;
        let rotated = Roster::new(next).unwrap();
        let same = |former, key| same_member(&rotated, former, key, state).unwrap();
        assert!(same(&old, &new) && same(&new, &new) && same(&other, &other));
        assert!(!same(&old, &other) && !same(&other, &new) && !same(&new, &old));
        assert!(!same(&new, &other));
        let has = |key| {
            let member = member_of_key(&rotated, key, state).unwrap();
            member.map(|member| member.name.clone())
        };
        assert_eq!((has(&old), has(&new)), (Some(name(0)), Some(name(0))));
        assert_eq!(has(&other), Some(name(1)));
        assert_eq!(has(&SecretKey::from_seed(&[98; 32]).public()), None);
    }

    /// The states that a roster at this place of the log gives its members' keys.
    fn effects(roster: &Roster, leaf: u64) -> Vec<(MapIndex, State)> {
        let lines = vec![roster.sign(&name(0), &secret(0))];
        let says = Attestation::Roster(SignedRoster::new(roster.clone(), lines).unwrap());
        let leaf = LeafIndex::new(leaf);
        let effects = says.effects_on(&BTreeMap::new(), leaf, &secret(0).public());
        let set = |(index, state): (MapIndex, Option<State>)| Some((index, state?));
        effects.into_iter().filter_map(set).collect()
    }

    #[test]
    fn a_roster_says_of_each_of_its_keys_whose_it_is() {
        let roster = federation(3, 0);
        let states = effects(&roster, 7);
        assert_eq!(states.len(), 1 + roster.members().len());
        for (member, (index, state)) in roster.members().iter().zip(&states[1..]) {
            let by = LeafIndex::new(7);
            assert_eq!(*index, member_index(&member.public_key));
            assert_eq!(*state, State::Member(MemberState::new(&member.name, by)));
        }
    }

    #[test]
    fn the_state_of_a_key_never_changes() {
        let state = MemberState::new(&"cnam".parse().unwrap(), LeafIndex::new(3));
        let golden = "0d00000000000000000000000000000003\
                      db78e9aa28c47f1e060a2ab5d785392401f05dc52f203862a3338510ad578a1a";
        assert_eq!(hex::encode(State::Member(state).to_bytes()), golden);
    }
}
