//! What this till has put into the ledger lately, and what may still be done with it, by the receipts
//! that lie on this machine. Nobody is asked, and no receipt says who it is for.

use std::collections::{BTreeMap, BTreeSet};

use proto::attestation::{Attestation, Handover};
use proto::entry::Kind;
use proto::ids::{LeafIndex, SlotKey, UnixSeconds};
use proto::receipt::ReceiptFile;
use serde::Serialize;
use utoipa::ToSchema;

use crate::files::FileError;
use crate::receipts::{ReceiptName, Receipts};

/// Most entries of each kind: more than a shop makes in the 60 days of a reservation, of which the
/// newest are told.
pub const ENTRIES_MAX: usize = 200;

/// One entry of this till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EntryItem {
    /// Its place in the ledger.
    pub index: u64,
    /// `claim`, `delivery` or `release`.
    pub kind: String,
    /// When it was signed, in seconds since 1970.
    pub issued_at: u64,
    /// The name of its receipt, for `GET /v1/receipts/{name}`.
    pub receipt: String,
    /// The claim that a delivery or a release is about.
    pub claim: Option<u64>,
    /// The last day of a claim's reservation.
    pub until: Option<String>,
    /// How many slots it is about.
    pub slots: usize,
    /// How many of them may still be handed over or given back: of a claim those neither delivered nor
    /// released, of a delivery those that have not come back. Payers may release too: the ledger knows.
    pub open: usize,
}

/// Answer of `GET /v1/entries`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntriesAnswer {
    /// The newest first.
    pub entries: Vec<EntryItem>,
    /// Whether there are older ones that were asked for and are not told.
    pub more: bool,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// An entry with what it says.
struct Read {
    index: LeafIndex,
    name: ReceiptName,
    issued_at: UnixSeconds,
    says: Attestation,
}

/// The entries of the till that were signed since then, and whether there are more.
///
/// # Errors
/// [`FileError`] when the folder cannot be read. What is in it and is no receipt is passed over.
pub(super) fn since(
    receipts: &Receipts,
    since: UnixSeconds,
) -> Result<(Vec<EntryItem>, bool), FileError> {
    let names = receipts.names()?;
    let (mut all, mut more) = (Vec::new(), false);
    for kind in [Kind::Claim, Kind::Delivery, Kind::Release] {
        let of_kind = names
            .iter()
            .rev()
            .filter(|name| name.kind() == kind.as_str() && !name.is_refusal());
        // A name has the place in the log, and places follow the time.
        let recent = of_kind
            .filter_map(|name| read(receipts, name))
            .take_while(|entry| entry.issued_at >= since);
        for (told, entry) in recent.enumerate() {
            if told == ENTRIES_MAX {
                more = true;
                break;
            }
            all.push(entry);
        }
    }
    all.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.index));
    let gone = gone(&all);
    let items = all.iter().filter_map(|entry| entry.item(&gone)).collect();
    Ok((items, more))
}

fn read(receipts: &Receipts, name: &ReceiptName) -> Option<Read> {
    let text = receipts.read(name).ok()?;
    let ReceiptFile::Accepted(receipt) = ReceiptFile::parse(&text).ok()? else {
        return None;
    };
    let header = receipt.proved.entry.header();
    Some(Read {
        index: receipt.proved.index,
        name: name.clone(),
        issued_at: header.issued_at.seconds(),
        says: Attestation::read(header).ok()?,
    })
}

/// The slots of each entry that were handed over or given back since.
fn gone(entries: &[Read]) -> BTreeMap<LeafIndex, BTreeSet<SlotKey>> {
    let mut gone: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for entry in entries {
        let (of, slots) = match &entry.says {
            Attestation::Delivery(it) if matches!(it.handover, Handover::First { .. }) => {
                (it.claim, &it.slots)
            }
            Attestation::Release(it) => (it.invoice.unwrap_or(it.claim), &it.slots),
            _ => continue,
        };
        gone.entry(of).or_default().extend(slots);
    }
    gone
}

impl Read {
    fn item(&self, gone: &BTreeMap<LeafIndex, BTreeSet<SlotKey>>) -> Option<EntryItem> {
        let (claim, until, slots, may_go) = match &self.says {
            Attestation::Claim(it) => (None, Some(it.until), &it.slots, true),
            Attestation::Delivery(it) => {
                let is_first = matches!(it.handover, Handover::First { .. });
                (Some(it.claim), None, &it.slots, is_first)
            }
            Attestation::Release(it) => (Some(it.claim), None, &it.slots, false),
            _ => return None,
        };
        let gone = gone.get(&self.index);
        let is_here = |slot: &&SlotKey| !gone.is_some_and(|gone| gone.contains(*slot));
        Some(EntryItem {
            index: self.index.get(),
            kind: self.name.kind().to_owned(),
            issued_at: self.issued_at.get(),
            receipt: self.name.as_str().to_owned(),
            claim: claim.map(LeafIndex::get),
            until: until.map(proto::ids::Day::to_iso),
            slots: slots.len(),
            open: slots.iter().filter(is_here).filter(|_| may_go).count(),
        })
    }
}
