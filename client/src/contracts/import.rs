//! The import: a list of members becomes a contracts file, batch by batch, and can be stopped at
//! any moment.
//!
//! Beside the output `OUT` stand, until it is whole, `OUT.part` and `OUT.progress`. After each
//! batch the part is synced first and the progress replaced second, so the progress never names
//! more than is there. To go on is to cut the part to what the progress names and to read the
//! list from there. At the end the part is closed by its last line and renamed to `OUT`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::contracts::{ContractRecord, ContractsError, ContractsHeader, LINE_BYTES_MAX, end_line};
use proto::identity::{Contract, PayerNumber};
use proto::ids::Day;
use proto::oprf::ELEMENTS_MAX;
use proto::roster::Role;
use proto::token::ContractToken;
use thiserror::Error;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::file::{ContractsFile, ContractsFileError};
use super::members::{MemberRow, Members, MembersError, Place};
use super::progress::{Problem, Progress, ProgressError, digest};
use crate::connection::CallError;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::session::Session;
use crate::system::{self, NoRandomness};
use crate::tokens::{MemberFailure, TokenError};

/// Batches on their way beyond one for each processor: while a node evaluates one, the next is
/// blinded.
const IN_FLIGHT_SPARE: usize = 1;
/// Most batches on their way: each is a second of a node's core, and tills wait beside them.
const IN_FLIGHT_MAX: usize = 8;
/// Longest pause that a node may ask for when a quota is used up: hourly quotas begin anew within.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What is read and written.
#[derive(Debug, Clone)]
pub struct ImportFiles {
    /// The list of members.
    pub list: PathBuf,
    /// The contracts file.
    pub out: PathBuf,
    /// Whether a contracts file that is there already is replaced, once the new one is whole.
    pub replace: bool,
    /// Whether an import that was stopped is forgotten.
    pub restart: bool,
}

impl ImportFiles {
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name: OsString = self.out.clone().into();
        name.push(ending);
        name.into()
    }

    /// What is written until the contracts file is whole.
    #[must_use]
    pub fn part(&self) -> PathBuf {
        self.beside(".part")
    }

    /// How far the import has come.
    #[must_use]
    pub fn progress(&self) -> PathBuf {
        self.beside(".progress")
    }
}

/// How far an import has come, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the list that are done.
    pub offset: u64,
    /// Bytes that it has.
    pub length: u64,
    /// Contracts written.
    pub contracts: u64,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Contracts in the file.
    pub contracts: u64,
    /// Lines that were left out.
    pub skipped: u64,
    /// The first of them, with their reasons.
    pub problems: Vec<Problem>,
    /// The line after which an import that was stopped went on.
    pub resumed_after: Option<u64>,
}

/// Why an import did not end. What is written stays, and the next one goes on there.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The own key is not that of a member with a payer number.
    #[error("the key belongs to no member of the roster that pays")]
    NotAPayer,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The list cannot be read.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The progress cannot be read or written.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// What was written by the import that was stopped cannot be used.
    #[error("the import that was stopped: {0}")]
    Part(#[from] ContractsFileError),
    /// An import of another list was stopped.
    #[error("an import of another list, or by another key, was stopped and is not finished")]
    OtherInput,
    /// Somebody wrote to the list while it was read.
    #[error("the list was changed while it was read")]
    Changed,
    /// Another process is at it.
    #[error("another import into this file is running")]
    Running,
    /// A salt takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Tokens could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A task was lost, which happens to none.
    #[error("a batch was lost")]
    Lost,
}

impl Failure for ImportError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NotAPayer => FailureKind::Malformed,
            Self::File(error) => error.kind(),
            Self::Members(error) => error.kind(),
            Self::Progress(error) => error.kind(),
            Self::Part(error) => error.kind(),
            Self::OtherInput | Self::Changed | Self::Running => FailureKind::Refused,
            Self::NoRandomness(error) => error.kind(),
            Self::Token(error) => error.kind(),
            Self::Lost => FailureKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Part(_) | Self::OtherInput | Self::Changed => Some("begin again with --restart"),
            Self::File(FileError::Exists { .. }) => Some("replace it with --replace"),
            Self::Progress(error) => error.hint(),
            Self::Token(error) if error.kind() == FailureKind::Unavailable => {
                Some("give the same command again: it goes on where it stopped")
            }
            Self::Token(error) => error.hint(),
            _ => None,
        }
    }
}

/// Imports a payer's list of members, or goes on with an import of the same list that was
/// stopped. `today` decides which months of age are past when an import begins; `watch` is called
/// after each batch. Files are read and written on the calling task, in pieces of a batch.
///
/// # Errors
/// [`ImportError`]; a bad line is none.
pub async fn import(
    session: &Session,
    files: &ImportFiles,
    today: Day,
    watch: &mut (dyn FnMut(Step) + Send),
) -> Result<Imported, ImportError> {
    let own = session.own_member().ok_or(ImportError::NotAPayer)?;
    let payer = own.payer.clone().ok_or(ImportError::NotAPayer)?;
    if files.out.exists() && !files.replace {
        let path = files.out.clone();
        return Err(FileError::Exists { path }.into());
    }
    let (mut output, resumed) = Output::open(session, &payer, files, today)?;
    let resumed_after = resumed.then_some(output.progress.place.line);
    let mut members = open_list(files, payer, own.role, &output.progress)?;
    let length = length_of(&files.list)?;
    let mut in_flight = VecDeque::new();
    loop {
        while in_flight.len() < in_flight_max() {
            let Some(batch) = Batch::read(&mut members, session)? else {
                break;
            };
            in_flight.push_back(batch);
        }
        let Some(batch) = in_flight.pop_front() else {
            break;
        };
        output.append(batch).await?;
        watch(Step {
            offset: output.progress.place.offset,
            length,
            contracts: output.progress.contracts,
        });
    }
    let progress = output.finish(session, files)?;
    Ok(Imported {
        contracts: progress.contracts,
        skipped: progress.skipped,
        problems: progress.problems,
        resumed_after,
    })
}

fn in_flight_max() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors + IN_FLIGHT_SPARE).min(IN_FLIGHT_MAX)
}

fn length_of(path: &Path) -> Result<u64, FileError> {
    let metadata = fs::metadata(path).map_err(|error| files::io_error(path, &error))?;
    Ok(metadata.len())
}

/// The list, at the place that the progress names.
fn open_list(
    files: &ImportFiles,
    payer: PayerNumber,
    role: Role,
    progress: &Progress,
) -> Result<Members<BufReader<File>>, ImportError> {
    let open = || File::open(&files.list).map_err(|error| files::io_error(&files.list, &error));
    let members = Members::new(BufReader::new(open()?), payer, role, progress.day)?;
    if progress.place.offset == 0 {
        return Ok(members);
    }
    let mut rest = open()?;
    let offset = SeekFrom::Start(progress.place.offset);
    rest.seek(offset)
        .map_err(|error| files::io_error(&files.list, &error))?;
    Ok(members.at(BufReader::new(rest), progress.place))
}

/// Lines of the list whose contracts are with the nodes.
struct Batch {
    rows: Vec<MemberRow>,
    problems: Vec<(u64, String)>,
    end: Place,
    tokens: JoinHandle<Result<Vec<ContractToken>, TokenError>>,
}

impl Batch {
    /// Reads the next [`ELEMENTS_MAX`] contracts and asks for their tokens; `None` at the end.
    fn read(
        members: &mut Members<BufReader<File>>,
        session: &Session,
    ) -> Result<Option<Self>, MembersError> {
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        // Bad lines count too: a list of nothing else is read in pieces all the same.
        while rows.len() + problems.len() < ELEMENTS_MAX {
            match members.next_row()? {
                Some((_, Ok(row))) => rows.push(row),
                Some((line, Err(reason))) => problems.push((line, reason.to_string())),
                None if rows.is_empty() && problems.is_empty() => return Ok(None),
                None => break,
            }
        }
        let contracts: Vec<Contract> = rows.iter().map(|row| row.contract.clone()).collect();
        let tokens = tokio::spawn(tokens_of(session.clone(), contracts));
        Ok(Some(Self {
            rows,
            problems,
            end: members.place(),
            tokens,
        }))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.tokens.abort();
    }
}

/// The tokens of a batch; waits out a quota that is used up.
async fn tokens_of(
    session: Session,
    contracts: Vec<Contract>,
) -> Result<Vec<ContractToken>, TokenError> {
    loop {
        match session.contract_tokens(&contracts).await {
            Err(error) => match pause_of(&error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            },
            tokens => return tokens,
        }
    }
}

/// How long the nodes want to be left alone, if that is why there are no tokens.
fn pause_of(error: &TokenError) -> Option<Duration> {
    let TokenError::TooFew { failures, .. } = error else {
        return None;
    };
    let pauses = failures.iter().filter_map(|failure| match failure {
        MemberFailure::Call(CallError::Busy { retry_after, .. }) => *retry_after,
        _ => None,
    });
    pauses.min().filter(|pause| *pause <= PAUSE_MAX)
}

/// The part under way and its progress.
struct Output {
    part: File,
    path: PathBuf,
    progress_path: PathBuf,
    progress: Progress,
}

impl Output {
    /// Goes on with an import that was stopped, or begins one. Whether it goes on is the second
    /// part of the answer.
    fn open(
        session: &Session,
        payer: &PayerNumber,
        files: &ImportFiles,
        today: Day,
    ) -> Result<(Self, bool), ImportError> {
        let (path, progress_path) = (files.part(), files.progress());
        if files.restart {
            files::remove(&progress_path)?;
        }
        let part = open_part(&path)?;
        let length = part
            .metadata()
            .map_err(|error| files::io_error(&path, &error))?
            .len();
        // Without a part there is nothing to go on with: the last import ended right after its
        // rename.
        let stored = if length == 0 {
            None
        } else {
            Progress::load(&progress_path)?
        };
        let resumed = stored.is_some();
        let progress = match stored {
            Some(progress) => progress,
            None => begin(session, files, today)?,
        };
        let mut this = Self {
            part,
            path,
            progress_path,
            progress,
        };
        if resumed {
            this.resume(session, payer, files, length)?;
        } else {
            let header = ContractsHeader::new(session.roster(), payer.clone(), today);
            this.cut(0)?;
            this.write(header.to_text().as_bytes())?;
        }
        Ok((this, resumed))
    }

    fn resume(
        &mut self,
        session: &Session,
        payer: &PayerNumber,
        files: &ImportFiles,
        length: u64,
    ) -> Result<(), ImportError> {
        let input = digest(&files.list, session.secret(), &self.progress.salt)?;
        if input != self.progress.input {
            return Err(ImportError::OtherInput);
        }
        let header = ContractsFile::open(&self.path)?;
        let checked = header.header().check(session.roster(), payer);
        checked.map_err(ContractsFileError::from)?;
        if length < self.progress.written {
            let records = self.progress.contracts;
            return Err(ContractsFileError::from(ContractsError::Cut { records }).into());
        }
        self.cut(self.progress.written)
    }

    fn cut(&mut self, length: u64) -> Result<(), ImportError> {
        let cut = self.part.set_len(length);
        let placed = cut.and_then(|()| self.part.seek(SeekFrom::Start(length)));
        placed.map_err(|error| files::io_error(&self.path, &error))?;
        self.progress.written = length;
        Ok(())
    }

    /// Appends bytes and syncs them: durable when it returns.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let written = self.part.write_all(bytes);
        let synced = written.and_then(|()| self.part.sync_data());
        synced.map_err(|error| files::io_error(&self.path, &error))?;
        self.progress.written += bytes.len() as u64;
        Ok(())
    }

    /// Waits for the tokens of a batch and makes its contracts durable, then the progress.
    async fn append(&mut self, mut batch: Batch) -> Result<(), ImportError> {
        let tokens = (&mut batch.tokens).await.map_err(|_| ImportError::Lost)??;
        let rows = std::mem::take(&mut batch.rows);
        // Reserved whole at once: a vector that grows leaves unwiped copies behind.
        let mut lines = Zeroizing::new(Vec::with_capacity(rows.len() * LINE_BYTES_MAX));
        for (row, token) in rows.into_iter().zip(tokens) {
            lines.extend_from_slice(record(row, token).to_line().as_bytes());
            lines.push(b'\n');
            self.progress.contracts += 1;
        }
        for (line, reason) in std::mem::take(&mut batch.problems) {
            self.progress.skip(line, reason);
        }
        self.progress.place = batch.end;
        self.write(&lines)?;
        // From here the batch is in the part, and from the next line on it is never read again.
        Ok(self.progress.store(&self.progress_path)?)
    }

    /// Closes the part and gives it its name.
    fn finish(mut self, session: &Session, files: &ImportFiles) -> Result<Progress, ImportError> {
        let input = digest(&files.list, session.secret(), &self.progress.salt)?;
        if input != self.progress.input {
            return Err(ImportError::Changed);
        }
        self.write(end_line(self.progress.contracts).as_bytes())?;
        files::rename(&self.path, &files.out)?;
        files::remove(&self.progress_path)?;
        Ok(self.progress)
    }
}

fn begin(session: &Session, files: &ImportFiles, today: Day) -> Result<Progress, ImportError> {
    let salt = system::random()?;
    Ok(Progress {
        salt,
        input: digest(&files.list, session.secret(), &salt)?,
        day: today,
        place: Place { offset: 0, line: 0 },
        written: 0,
        contracts: 0,
        skipped: 0,
        problems: Vec::new(),
    })
}

/// The part, made for its owner alone, and locked until this process ends.
fn open_part(path: &Path) -> Result<File, ImportError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(path)
        .map_err(|error| files::io_error(path, &error))?;
    match file.try_lock() {
        // The one who had the lock may have renamed the part since it was opened here.
        Ok(()) if is_still(path, &file)? => Ok(file),
        Ok(()) | Err(fs::TryLockError::WouldBlock) => Err(ImportError::Running),
        Err(fs::TryLockError::Error(error)) => Err(files::io_error(path, &error).into()),
    }
}

#[cfg(unix)]
fn is_still(path: &Path, file: &File) -> Result<bool, FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let named = fs::metadata(path).and_then(|named| Ok((named.ino(), file.metadata()?.ino())));
    let (named, opened) = named.map_err(|error| files::io_error(path, &error))?;
    Ok(named == opened)
}

/// Elsewhere a file that is open cannot be renamed.
#[cfg(not(unix))]
fn is_still(_: &Path, _: &File) -> Result<bool, FileError> {
    Ok(true)
}

fn record(row: MemberRow, token: ContractToken) -> ContractRecord {
    ContractRecord {
        token,
        plan: row.plan,
        rights_from: row.rights_from,
        rights_to: row.rights_to,
        turning: row.turning,
        reference: row.reference,
    }
}
