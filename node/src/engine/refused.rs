//! Batches that this node's gate has refused, as files: who sent them, and what its leader signed.
//!
//! All of it is public: headers, entries and checkpoints, but no payload and no salt, which could
//! not be erased here. Where the roster alone is enough to see the lie, evidence lies beside it. The files stop nobody from serving: what was refused is in no ledger.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proto::batch::SignedHeader;
use proto::evidence::Evidence;
use proto::ids::MemberName;
use proto::wire::batch::BatchRecord;

use crate::metrics::Lies;
use crate::sequencer::{BatchFault, Sequencer, of_refused};
use crate::store::Store;

/// The folder in a node's data.
const FOLDER: &str = "refused";
/// Most files: the first batches of a member that lies say enough, and it must not fill the disk.
const FILES_MAX: usize = 16;
const FIRST_LINE: &str = "vitrail refused batch v1";

/// Where refused batches are kept and counted. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    data: PathBuf,
    lies: Lies,
}

impl Refusals {
    /// In the folder of a node's data.
    pub(super) const fn new(data: PathBuf, lies: Lies) -> Self {
        Self { data, lies }
    }

    /// A batch was refused.
    pub(super) fn count(&self, fault: &BatchFault) {
        self.lies.batch_refused(fault);
    }

    /// Keeps a refused batch, with evidence if the roster alone is enough to see the lie. That it
    /// cannot be kept is said in the node's log: the batch is refused all the same.
    pub(super) fn keep(
        &self,
        from: &MemberName,
        record: &BatchRecord,
        fault: &BatchFault,
        (store, sequencer): (&Store, &Sequencer),
    ) {
        let (before, snapshot) = (store.last_header().ok().flatten(), sequencer.snapshot());
        let shown = of_refused(record, fault, before.as_ref(), &snapshot);
        let refused = Refused {
            evidence: shown.as_ref().ok().and_then(Option::as_ref),
            from,
            record,
            fault,
            before: before.as_ref(),
        };
        if let Err(error) = refused.keep(&self.data) {
            tracing::error!(%error, "the refused batch is not kept");
        }
    }
}

/// One refused batch.
#[derive(Debug)]
struct Refused<'a> {
    /// Who sent it.
    from: &'a MemberName,
    /// What it is.
    record: &'a BatchRecord,
    /// Why it is refused.
    fault: &'a BatchFault,
    /// The header of the last batch that this node has.
    before: Option<&'a SignedHeader>,
    /// What convinces whoever has the roster, if it does.
    evidence: Option<&'a Evidence>,
}

impl Refused<'_> {
    fn to_text(&self) -> String {
        let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let Self {
            from,
            record,
            fault,
            before,
            ..
        } = self;
        let mut lines = vec![
            FIRST_LINE.to_owned(),
            format!("from {from}"),
            format!("leader {}", record.leader),
            format!("fault {fault}"),
            format!("header {}", base64(&record.header.to_bytes())),
        ];
        if let BatchFault::TwoHeaders { other } = fault {
            lines.push(format!("other {}", base64(&other.to_bytes())));
        }
        if let Some(before) = before {
            lines.push(format!("before {}", base64(&before.to_bytes())));
        }
        let entries = record.entries.iter();
        lines.extend(entries.map(|(entry, _)| format!("entry {}", base64(entry.bytes()))));
        lines.push(format!("checkpoint\n{}", record.before.to_text()));
        lines.join("\n")
    }

    /// Writes it to a file of its own, durably, and evidence to another; the same batch from the
    /// same member once. `None` when it is there already, or there are as many as may be.
    ///
    /// # Errors
    /// The file cannot be written.
    fn keep(&self, data: &Path) -> io::Result<Option<PathBuf>> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let header = self.record.header.claimed();
        let (term, number) = (header.term, header.number);
        let path = folder.join(format!("{}-{term}-{number}.txt", self.from));
        if path.exists() || fs::read_dir(&folder)?.count() >= FILES_MAX {
            return Ok(None);
        }
        if let Some(evidence) = self.evidence {
            let name = format!("{}-{term}-{number}.evidence", self.from);
            write(&folder.join(name), &evidence.to_text())?;
        }
        write(&path, &self.to_text())?;
        File::open(&folder)?.sync_all()?;
        Ok(Some(path))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use proto::batch::{BatchHeader, content_hash};
    use proto::checkpoint::SignedCheckpoint;
    use proto::hash::Hash;
    use proto::ids::{TreeSize, UnixMillis, UnixSeconds};

    use super::*;
    use crate::example::{origin, secret};

    fn record(number: u64) -> BatchRecord {
        let root = Hash::from_bytes([1; 32]);
        let header = BatchHeader {
            term: 7,
            number,
            previous: root,
            at: UnixMillis::new(1),
            size: TreeSize::new(9),
            log_root: root,
            map_root: root,
            content: content_hash(std::iter::empty()),
        };
        let (checkpoint, name) = (header.checkpoint(&origin()), "amc".parse().unwrap());
        let line = checkpoint.cosign(&name, &secret("amc"), UnixSeconds::new(1));
        BatchRecord {
            leader: name,
            header: header.sign(&origin(), &secret("amc")),
            entries: Vec::new(),
            before: SignedCheckpoint::new(checkpoint, vec![line]).unwrap(),
        }
    }

    #[test]
    fn a_refused_batch_is_kept_once_with_its_sender_and_both_headers() {
        let data = tempfile::tempdir().unwrap();
        let (first, second, from) = (record(3), record(4), "cnam".parse().unwrap());
        let other = Box::new(second.header.clone());
        let evidence = Evidence::TwoHeaders {
            leader: "amc".parse().unwrap(),
            first: first.header.clone(),
            second: second.header.clone(),
        };
        let refused = Refused {
            from: &from,
            record: &first,
            fault: &BatchFault::TwoHeaders { other },
            before: Some(&second.header),
            evidence: Some(&evidence),
        };
        let path = refused.keep(data.path()).unwrap().unwrap();
        assert!(path.ends_with("refused/cnam-7-3.txt"));
        let text = fs::read_to_string(&path).unwrap();
        let shown = fs::read_to_string(path.with_extension("evidence")).unwrap();
        assert_eq!(Evidence::parse(&shown), Ok(evidence.clone()));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], [FIRST_LINE, "from cnam", "leader amc"]);
        let of = |line: &str| {
            let line = lines.iter().find_map(|it| it.strip_prefix(line)).unwrap();
            SignedHeader::from_bytes(&BASE64_STANDARD.decode(line).unwrap()).unwrap()
        };
        assert_eq!(
            (of("header "), of("other ")),
            (first.header.clone(), second.header.clone())
        );
        assert!(text.ends_with(&first.before.to_text()));
        assert_eq!(refused.keep(data.path()).unwrap(), None);
    }

    #[test]
    fn a_member_that_lies_does_not_fill_the_disk() {
        let data = tempfile::tempdir().unwrap();
        let from = "cnam".parse().unwrap();
        let kept = (0..40).filter(|number| {
            let record = record(*number);
            let refused = Refused {
                from: &from,
                record: &record,
                fault: &BatchFault::Dated,
                before: None,
                evidence: None,
            };
            refused.keep(data.path()).unwrap().is_some()
        });
        assert_eq!(kept.count(), FILES_MAX);
    }
}
