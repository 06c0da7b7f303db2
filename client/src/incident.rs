//! After a theft: what a till's key looked at, and whose contracts that were.
//!
//! A member that holds an incident key asks any node for the access entries, verifies that each is
//! in the log and has the record it commits to, opens it, and lists what was touched. The list
//! names pseudorandom keys; [`affected`] finds those of an insurer's own contracts, and
//! [`affected_in_file`] does so with the contracts that it imported.
//!
//! A node could leave an entry out of what it lists. It cannot take one out of the log: `vitrail
//! audit` counts the access entries, and [`IncidentList::entries`] of a list since the ledger's
//! beginning must be as many.

use std::collections::HashMap;

use proto::attestation::{AccessRecord, LookOutcome, RecordError};
use proto::contracts::HEADER_LINES;
use proto::entry::Kind;
use proto::ids::{CoverageKey, LeafIndex, MemberName, SlotKey, TreeSize, UnixMillis};
use proto::incident::IncidentSecretKey;
use proto::lpp::GroupedCode;
use proto::receipt::ReceiptError;
use proto::seal::{OpenError, PayloadCommitment};
use proto::signing::PublicKey;
use proto::token::ContractToken;
use proto::wire::access::{PAGE_RECORDS_MAX, RecordAnswer, RecordsAsked, RecordsPage};
use thiserror::Error;

use crate::connection::{Attempted, CallError, Verdict};
use crate::contracts::{ContractsFile, ContractsFileError, Reference};
use crate::failure::{Failure, FailureKind};
use crate::lookup::LookupError;
use crate::nodes::Manner;
use crate::session::Session;

/// Why there is no list.
#[derive(Debug, Error)]
pub enum IncidentError {
    /// The node did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What it answered does not verify, or is not fresh.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The pages do not go forward through the log.
    #[error("{member}: its pages do not follow the log")]
    Order {
        /// Who answered.
        member: MemberName,
    },
    /// An entry of the answer fails.
    #[error("{member}, entry {entry}: {reason}")]
    Entry {
        /// Who answered.
        member: MemberName,
        /// Which entry.
        entry: LeafIndex,
        /// What is wrong with it.
        reason: WrongRecord,
    },
}

/// What is wrong with one access entry or its record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongRecord {
    /// Signature or place.
    #[error(transparent)]
    Entry(#[from] ReceiptError),
    /// It is of another kind, or commits to nothing.
    #[error("it is no access entry")]
    Kind,
    /// The record is not the one that the entry commits to, or does not open with this key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was opened is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Attempted for IncidentError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Call(error) => error.verdict(),
            Self::Lookup(error) => error.verdict(),
            // With another key it opens at no node.
            Self::Entry {
                reason: WrongRecord::Open(OpenError::NotForThisKey),
                ..
            } => Verdict::Final,
            Self::Order { .. } | Self::Entry { .. } => Verdict::Lied,
        }
    }
}

impl Failure for IncidentError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Call(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::Order { .. } => FailureKind::Unavailable,
            Self::Entry { reason, .. } => match reason {
                WrongRecord::Open(OpenError::NotForThisKey) => FailureKind::Malformed,
                _ => FailureKind::Unavailable,
            },
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Call(CallError::NotAdmitted { .. }) => {
                Some("records are given to members that have an incident key in the roster")
            }
            Self::Call(error) => error.hint(),
            Self::Lookup(error) => error.hint(),
            Self::Entry {
                reason: WrongRecord::Open(OpenError::NotForThisKey),
                ..
            } => Some("is the incident key the one that the roster has for this member?"),
            Self::Order { .. } | Self::Entry { .. } => Some("ask another member's node"),
        }
    }
}

/// One look of the till.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The access entry that has it.
    pub entry: LeafIndex,
    /// The key of the node that was asked.
    pub node: PublicKey,
    /// When, by that node's clock.
    pub at: UnixMillis,
    /// What came of it.
    pub outcome: LookOutcome,
    /// The slots that were asked for.
    pub slots: Vec<SlotKey>,
    /// The coverages that were asked for.
    pub coverages: Vec<CoverageKey>,
}

/// Every look of one till since a moment.
#[derive(Debug, Clone, Default)]
pub struct IncidentList {
    /// In the order of the log.
    pub touched: Vec<Touched>,
    /// How many access entries were read, of all tills.
    pub entries: u64,
    /// How many of them have no record any more.
    pub erased: u64,
    /// The size of the log that was read to its end.
    pub size: TreeSize,
}

/// Lists what `till` looked at since a moment. `progress` is told after each page how far in the
/// log it is, and how long the log is.
///
/// # Errors
/// [`IncidentError`]; nothing is then known, not even a part.
pub async fn list(
    session: &Session,
    key: &IncidentSecretKey,
    till: &PublicKey,
    since: UnixMillis,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<IncidentList, IncidentError> {
    let mut list = IncidentList::default();
    let mut first = LeafIndex::new(0);
    loop {
        let asked = RecordsAsked {
            since,
            first,
            page_size: PAGE_RECORDS_MAX,
        };
        let asked = &asked;
        let page = session.ask(Manner::PAGE, |connection| async move {
            let seen = session.seen().size();
            let page = connection.records(asked).await?;
            let member = connection.member();
            let mut found = IncidentList::default();
            let take = |entry, node, record| found.take(key, till, since, (entry, node, record));
            let size = verify_page(session, member, &page, (first, seen), take)?;
            Ok::<_, IncidentError>((found, page.next, size))
        });
        let (found, next, size) = page.await?;
        list.touched.extend(found.touched);
        list.entries += found.entries;
        list.erased += found.erased;
        list.size = size;
        progress(next.get(), size.get());
        if next.get() >= size.get() {
            return Ok(list);
        }
        first = next;
    }
}

impl IncidentList {
    /// Takes what one access entry says of the till.
    fn take(
        &mut self,
        key: &IncidentSecretKey,
        till: &PublicKey,
        since: UnixMillis,
        (entry, node, record): (LeafIndex, PublicKey, Option<&RecordAnswer>),
    ) -> Result<(), WrongRecord> {
        self.entries += 1;
        let Some(record) = record else {
            self.erased += 1;
            return Ok(());
        };
        let looks = open(record, key)?.looks.into_iter();
        let wanted = looks.filter(|look| look.by == *till && look.at >= since);
        self.touched.extend(wanted.map(|look| Touched {
            entry,
            node,
            at: look.at,
            outcome: look.outcome,
            slots: look.slots,
            coverages: look.coverages,
        }));
        Ok(())
    }
}

/// Verifies a page that begins at a place of the log and goes on, or ends it: its checkpoint, and
/// for each entry signature, place and kind. Returns the size of the log.
fn verify_page<'a>(
    session: &Session,
    member: &MemberName,
    page: &'a RecordsPage,
    (first, seen): (LeafIndex, TreeSize),
    mut take: impl FnMut(LeafIndex, PublicKey, Option<&'a RecordAnswer>) -> Result<(), WrongRecord>,
) -> Result<TreeSize, IncidentError> {
    let checkpoint = session.verify_newest(member, &page.checkpoint, seen)?;
    let order = || IncidentError::Order {
        member: member.clone(),
    };
    if page.next <= first && page.next.get() < checkpoint.size().get() {
        return Err(order());
    }
    let mut from = first;
    for answer in &page.records {
        let entry = answer.proved.index;
        if entry < from || entry >= page.next {
            return Err(order());
        }
        from = LeafIndex::new(entry.get() + 1);
        let mut verify = || -> Result<(), WrongRecord> {
            let verified = answer.proved.verify(&checkpoint, &mut |_| {})?;
            if verified.header().kind != Kind::Access {
                return Err(WrongRecord::Kind);
            }
            let record = answer.payload.is_some().then_some(answer);
            take(entry, verified.header().issuer, record)
        };
        verify().map_err(|reason| IncidentError::Entry {
            member: member.clone(),
            entry,
            reason,
        })?;
    }
    Ok(checkpoint.size())
}

/// Opens the record, which must be the one that its entry commits to.
fn open(answer: &RecordAnswer, key: &IncidentSecretKey) -> Result<AccessRecord, WrongRecord> {
    let commitment = answer.proved.entry.header().commitment;
    let commitment = PayloadCommitment::from_hash(commitment.ok_or(WrongRecord::Kind)?);
    let (sealed, salt) = answer.payload.as_ref().ok_or(WrongRecord::Kind)?;
    let opened = sealed.open_record(key, salt, &commitment)?;
    Ok(AccessRecord::from_bytes(opened.as_bytes())?)
}

/// Which contracts of an insurer were looked at, out of all it has, with the looks' places in
/// `touched`. It alone can tell: nobody else has the tokens. Each contract costs some thirty
/// hashes, about 10 us.
pub fn affected<'a, R>(
    touched: &'a [Touched],
    contracts: impl Iterator<Item = (ContractToken, R)> + 'a,
) -> impl Iterator<Item = (R, Vec<usize>)> + 'a
where
    R: 'a,
{
    let mut places: HashMap<CoverageKey, Vec<usize>> = HashMap::new();
    for (place, look) in touched.iter().enumerate() {
        for coverage in &look.coverages {
            places.entry(*coverage).or_default().push(place);
        }
    }
    contracts.filter_map(move |(token, reference)| {
        let keys = GroupedCode::all().map(|code| token.coverage_key(code));
        let mut found: Vec<usize> = keys
            .filter_map(|key| places.get(&key))
            .flatten()
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        (!found.is_empty()).then_some((reference, found))
    })
}

/// A contract that was looked at, as its insurer finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedContract {
    /// Its line in the contracts file, counted from 1.
    pub line: u64,
    /// The insurer's own reference, if the list of members had one.
    pub reference: Option<Reference>,
    /// The places in the list of looks that asked for one of its coverages, ascending.
    pub looks: Vec<usize>,
}

/// What a contracts file has to do with a list of looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedContracts {
    /// Those that were looked at, in the order of the file. A token that stands twice in the file
    /// is there twice.
    pub contracts: Vec<AffectedContract>,
    /// How many contracts the file has.
    pub read: u64,
}

/// Which contracts of a file were looked at; reads it to its end, a line at a time. The caller has
/// checked its header: the tokens of another ledger or joint key match nothing.
///
/// # Errors
/// [`ContractsFileError`]: a part of the file is no answer, so then there is none.
pub fn affected_in_file(
    touched: &[Touched],
    file: ContractsFile,
) -> Result<AffectedContracts, ContractsFileError> {
    let (mut read, mut failed) = (0, None);
    let contracts = file.map_while(|record| {
        let record = record.map_err(|error| failed = Some(error)).ok()?;
        read += 1;
        Some((record.token, (HEADER_LINES + read, record.reference)))
    });
    let found = affected(touched, contracts).map(|((line, reference), looks)| AffectedContract {
        line,
        reference,
        looks,
    });
    let contracts = found.collect();
    match failed {
        Some(error) => Err(error),
        None => Ok(AffectedContracts { contracts, read }),
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use proto::ids::Day;

    use super::*;
    use crate::contracts::ContractsHeader;
    use proto::contracts::ContractsError;

    fn token(seed: u8) -> ContractToken {
        ContractToken::from_bytes([seed; 32])
    }

    fn touched(coverages: Vec<CoverageKey>) -> Touched {
        Touched {
            entry: LeafIndex::new(1),
            node: proto::signing::SecretKey::from_seed(&[1; 32]).public(),
            at: UnixMillis::new(1),
            outcome: LookOutcome::Answered,
            slots: Vec::new(),
            coverages,
        }
    }

    #[test]
    fn an_insurer_finds_its_own_contracts_and_only_those_looked_at() {
        let key = |seed, code: &str| token(seed).coverage_key(code.parse().unwrap());
        let list = [
            touched(vec![key(1, "M03"), key(1, "VU1"), key(9, "M03")]),
            touched(vec![]),
            touched(vec![key(2, "LEN"), key(1, "M03")]),
        ];
        let contracts = (1..=3).map(|seed| (token(seed), seed));
        let found: Vec<(u8, Vec<usize>)> = affected(&list, contracts).collect();
        assert_eq!(found, [(1, vec![0, 2]), (2, vec![2])]);
    }

    /// A contracts file with the contracts of these seeds, written as an import does.
    fn contracts_file(seeds: &[u8], last: &str) -> Result<AffectedContracts, ContractsFileError> {
        let list = [touched(vec![token(2).coverage_key("M03".parse().unwrap())])];
        let record = |seed: &u8| {
            let token = BASE64_STANDARD.encode([*seed; 32]);
            format!("{token};P1;2026-01-01;2026-12-31;;;c/{seed}\n")
        };
        let records: String = seeds.iter().map(record).collect();
        let roster = crate::example::Ledger::new().roster;
        let payer = "75000001".parse().unwrap();
        let header = ContractsHeader::new(&roster, payer, Day::new(20_000)).to_text();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contracts.txt");
        std::fs::write(&path, format!("{header}{records}{last}")).unwrap();
        affected_in_file(&list, ContractsFile::open(&path).unwrap())
    }

    #[test]
    fn a_contract_is_named_by_its_line_and_the_insurers_reference() {
        let found = contracts_file(&[1, 2, 3, 2], "end 4\n").unwrap();
        assert_eq!(found.read, 4);
        let reference =
            |one: &AffectedContract| one.reference.as_ref().unwrap().as_str().to_owned();
        let named = found.contracts.iter().map(|one| (one.line, reference(one)));
        let named: Vec<_> = named.collect();
        assert_eq!(named, [(7, "c/2".to_owned()), (9, "c/2".to_owned())]);
        assert_eq!(found.contracts[0].looks, [0]);
    }

    #[test]
    fn a_contracts_file_that_is_not_whole_gives_no_answer() {
        let cut = contracts_file(&[1, 2], "").unwrap_err();
        assert!(
            matches!(
                cut,
                ContractsFileError::Content(ContractsError::Cut { records: 2 })
            ),
            "{cut}"
        );
        let torn = contracts_file(&[1, 2], "BwcH\n").unwrap_err();
        assert!(
            matches!(
                torn,
                ContractsFileError::Content(ContractsError::Line { line: 8, .. })
            ),
            "{torn}"
        );
    }
}
