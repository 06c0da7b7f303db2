//! The state of the ledger in what an auditor keeps.

use std::collections::HashMap;

use proto::attestation::State;
use proto::entry::Kind;
use proto::hash::Hash;
use proto::ids::{Day, LeafIndex, RequestId};
use proto::map::{MAP_VALUE_BYTES_MAX, MapIndex};
use proto::roster::Roster;
use proto::signing::PublicKey;

use super::delivery::Delivered;
use super::{Brief, Detail, Enrolled, Replay};
use crate::auditor::kept::{NotKept, Reader, Writer};

/// Most coverages of a claim: an entry has at most eight references, one of them the catalogue.
const COVERAGES_MAX: u8 = 7;
/// Longest text of a roster: an entry has less room for it.
const ROSTER_BYTES_MAX: usize = proto::entry::ENTRY_BYTES_MAX;

impl Replay {
    /// How many entries have taken effect.
    pub(in super::super) const fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(in super::super) fn write(&self, writer: &mut Writer<'_>) {
        writer.all(&self.in_force, |writer, hash| writer.put(hash.as_bytes()));
        let roster = self.roster.as_ref().map_or("", Roster::text);
        writer.long(roster.as_bytes());
        writer.all(&self.map, |writer, (index, state)| {
            writer.put(index.as_bytes());
            writer.long(&state.to_bytes());
        });
        writer.u64(self.changes);
        writer.all(&self.keys, |writer, key| writer.put(&key.to_bytes()));
        writer.all(&self.devices, |writer, (key, enrolled)| {
            writer.put(key);
            writer.put(enrolled.finess.as_str().as_bytes());
            writer.u32(enrolled.hourly_quota);
            writer.u32(enrolled.daily_quota);
        });
        writer.all(&self.requests, |writer, (id, issuer)| {
            writer.put(id.as_bytes());
            writer.u32(*issuer);
        });
        writer.all(&self.entries, |writer, brief| brief.write(writer));
    }

    pub(in super::super) fn read(reader: &mut Reader<'_>) -> Result<Self, NotKept> {
        let in_force = reader.all(|reader| Ok(Hash::from_bytes(reader.array()?)))?;
        let roster = reader.text(ROSTER_BYTES_MAX)?;
        let roster = Roster::parse(&roster).map_err(|_| NotKept::Form)?;
        let map = reader.all(|reader| {
            let index = MapIndex::from_bytes(reader.array()?);
            let state = State::from_bytes(&reader.long(MAP_VALUE_BYTES_MAX)?);
            Ok((index, state.map_err(|_| NotKept::Form)?))
        })?;
        let changes = reader.u64()?;
        let keys = reader.all(|reader| {
            let key = PublicKey::from_bytes(&reader.array()?);
            key.map_err(|_| NotKept::Form)
        })?;
        let devices = reader.all(|reader| {
            let key = reader.array()?;
            let finess = reader.array::<9>()?;
            let finess = str::from_utf8(&finess).map_err(|_| NotKept::Form)?;
            let enrolled = Enrolled {
                finess: finess.parse().map_err(|_| NotKept::Form)?,
                hourly_quota: reader.u32()?,
                daily_quota: reader.u32()?,
            };
            Ok((key, enrolled))
        })?;
        let requests = reader.all(|reader| {
            let id = RequestId::from_bytes(reader.array()?);
            Ok((id.map_err(|_| NotKept::Form)?, reader.u32()?))
        })?;
        let entries = reader.all(Brief::read)?;
        let mut replay = Self {
            in_force,
            roster: Some(roster),
            map: map.into_iter().collect(),
            changes,
            issuers: numbered(&keys),
            keys,
            devices: devices.into_iter().collect(),
            requests: requests.into_iter().collect(),
            ..Self::default()
        };
        for brief in &entries {
            *replay.counts.entry(brief.kind).or_default() += 1;
        }
        replay.entries = entries;
        Ok(replay)
    }
}

/// The number of each key is its place.
fn numbered(keys: &[PublicKey]) -> HashMap<[u8; 32], u32> {
    keys.iter().map(PublicKey::to_bytes).zip(0..).collect()
}

impl Brief {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(self.kind as u8);
        writer.u32(self.issuer);
        writer.u8(u8::from(self.has_payload));
        match &self.detail {
            Detail::None => {}
            Detail::Coverage(index) => writer.put(index.as_bytes()),
            Detail::Claim(coverages) => {
                writer.u8(u8::try_from(coverages.len()).unwrap_or(u8::MAX));
                coverages.iter().for_each(|it| writer.u64(it.get()));
            }
            Detail::Delivery(delivered) => {
                writer.u64(delivered.claim.get());
                writer.u64(delivered.invoice.get());
                writer.u8(u8::from(delivered.is_first));
                writer.u32(delivered.delivered_on.get());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, NotKept> {
        let kind = reader.u8()?;
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|it| *it as u8 == kind).ok_or(NotKept::Form)?;
        let issuer = reader.u32()?;
        let has_payload = flag(reader.u8()?)?;
        let detail = match kind {
            Kind::Coverage => Detail::Coverage(MapIndex::from_bytes(reader.array()?)),
            Kind::Claim => {
                let count = reader.u8()?;
                if count > COVERAGES_MAX {
                    return Err(NotKept::Form);
                }
                let coverages = (0..count).map(|_| Ok(LeafIndex::new(reader.u64()?)));
                Detail::Claim(coverages.collect::<Result<_, _>>()?)
            }
            Kind::Delivery => Detail::Delivery(Delivered {
                claim: LeafIndex::new(reader.u64()?),
                invoice: LeafIndex::new(reader.u64()?),
                is_first: flag(reader.u8()?)?,
                delivered_on: Day::new(reader.u32()?),
            }),
            _ => Detail::None,
        };
        Ok(Self {
            kind,
            issuer,
            has_payload,
            detail,
        })
    }
}

fn flag(byte: u8) -> Result<bool, NotKept> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(NotKept::Form),
    }
}
