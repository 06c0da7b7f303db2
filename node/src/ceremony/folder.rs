//! What a member keeps of a ceremony: `ceremony/<epoch>-<attempt>` in the node's folder.
//!
//! ```text
//! plan.txt              the plan; a folder never changes its plan
//! seed                  this member's randomness, sealed; wiped at the end
//! <step>-<member>       what a member said, as it came; shares and sums are sealed, and wiped at the end
//! evaluator.key         the new shares, sealed, until the roster with them is in force; repaired
//!                       shares until the ceremony ends
//! transcript.txt        the transcript that everybody confirmed
//! roster.txt            the roster that it leads to, signed by the participants
//! ```
//!
//! Every file is complete and synced before its name is there, and is written once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::dkg::{MESSAGE_BYTES_MAX, Message, Messages, Participant, Plan, SEED_BYTES, Step};
use proto::ids::MemberName;
use proto::roster::SignedRoster;
use zeroize::Zeroizing;

use super::CeremonyFailure;
use crate::protection::Protection;
use crate::secret_file::SecretFileError;

/// Longest file: a message in base64, sealed and in base64 again, with room for its lines.
const FILE_BYTES_MAX: u64 = 2 * MESSAGE_BYTES_MAX as u64 + 4096;

/// Where all ceremonies of a node lie.
pub(super) const CEREMONIES: &str = "ceremony";
/// The new shares in a ceremony's folder.
pub(super) const EVALUATOR_KEY: &str = "evaluator.key";
/// What the shares are sealed as, wherever the file lies.
pub(crate) const EVALUATOR_PURPOSE: &str = "evaluator key";
/// The roster that a ceremony leads to, in its folder.
pub(super) const PROPOSAL: &str = "roster.txt";
/// The transcript, in its folder.
pub(super) const TRANSCRIPT: &str = "transcript.txt";
const SEED: &str = "seed";
/// End of the name of a file that is not whole yet.
const DRAFT: &str = ".draft";

/// The folder of one ceremony.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    protection: Protection,
}

impl Folder {
    /// Opens or makes the folder of this plan.
    pub(super) fn open(
        path: PathBuf,
        plan: &Plan,
        protection: Protection,
    ) -> Result<Self, CeremonyFailure> {
        make_private(&path).map_err(|error| io_failure(&path, &error))?;
        let folder = Self { path, protection };
        match folder.read("plan.txt")? {
            None => folder.write_once("plan.txt", plan.text())?,
            Some(text) if *text == *plan.text() => {}
            Some(_) => {
                return Err(CeremonyFailure::OtherFolder { path: folder.path });
            }
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The seed: made at the first start, and the same from then on. Nothing is said before it is
    /// durable.
    pub(super) fn seed(&self) -> Result<Zeroizing<[u8; SEED_BYTES]>, CeremonyFailure> {
        if let Some(text) = self.read_sealed(SEED)? {
            let bytes = BASE64_STANDARD.decode(text.trim_end()).map(Zeroizing::new);
            let seed = bytes
                .ok()
                .and_then(|bytes| bytes.as_slice().try_into().ok());
            return Ok(Zeroizing::new(seed.ok_or_else(|| self.unfit(SEED))?));
        }
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut()).map_err(|_| CeremonyFailure::NoRandomness)?;
        let text = Zeroizing::new(BASE64_STANDARD.encode(*seed));
        self.write_sealed(SEED, &text)?;
        Ok(seed)
    }

    /// The roster that came out, once everybody has confirmed: then the ceremony is over, and
    /// nothing is made from the seed any more.
    pub(super) fn proposal(&self) -> Result<Option<SignedRoster>, CeremonyFailure> {
        let Some(text) = self.read(PROPOSAL)? else {
            return Ok(None);
        };
        let signed = SignedRoster::parse(text.as_bytes());
        signed.map(Some).map_err(|error| CeremonyFailure::Roster {
            path: self.path.join(PROPOSAL),
            error: Box::new(error),
        })
    }

    /// Keeps what a member said.
    pub(super) fn keep(
        &self,
        step: Step,
        from: &MemberName,
        message: &Message,
    ) -> Result<(), CeremonyFailure> {
        let text = Zeroizing::new(BASE64_STANDARD.encode(message.to_bytes()));
        let name = message_file(step, from);
        match step.is_for_one() {
            true => self.write_sealed(&name, &text),
            false => self.write_once(&name, &text),
        }
    }

    /// What these members said in a step, as far as it was kept.
    pub(super) fn kept(
        &self,
        step: Step,
        members: &[Participant],
    ) -> Result<Messages, CeremonyFailure> {
        let mut kept = Messages::new();
        for one in members {
            let name = message_file(step, &one.name);
            let text = match step.is_for_one() {
                true => self.read_sealed(&name)?,
                false => self.read(&name)?,
            };
            let Some(text) = text else { continue };
            let bytes = BASE64_STANDARD.decode(text.trim_end()).map(Zeroizing::new);
            let message = bytes.ok().and_then(|bytes| Message::parse(&bytes).ok());
            kept.insert(one.name.clone(), message.ok_or_else(|| self.unfit(&name))?);
        }
        Ok(kept)
    }

    /// Keeps the new shares.
    pub(super) fn keep_shares(&self, text: &str) -> Result<(), CeremonyFailure> {
        let sealed = self.protection.seal(EVALUATOR_PURPOSE, text);
        let sealed = sealed.map_err(|error| self.protection_failure(EVALUATOR_KEY, error))?;
        self.write_once(EVALUATOR_KEY, &sealed)
    }

    /// Writes a text that everybody may read.
    pub(super) fn write_once(&self, name: &str, text: &str) -> Result<(), CeremonyFailure> {
        let path = self.path.join(name);
        write_whole(&path, text).map_err(|error| io_failure(&path, &error))
    }

    /// Wipes the seed and the secrets that came: whoever finds them has this member's shares.
    pub(super) fn wipe_secrets(&self, members: &[Participant]) -> Result<(), CeremonyFailure> {
        let secret = Step::ALL.into_iter().filter(|step| step.is_for_one());
        let came = secret.flat_map(|step| {
            let files = members.iter();
            files.map(move |one| message_file(step, &one.name))
        });
        for name in came.chain([SEED.to_owned()]) {
            let path = self.path.join(name);
            wipe(&path).map_err(|error| io_failure(&path, &error))?;
        }
        sync_folder(&self.path).map_err(|error| io_failure(&self.path, &error))
    }

    fn write_sealed(&self, name: &str, text: &str) -> Result<(), CeremonyFailure> {
        let sealed = self.protection.seal(name, text);
        let sealed = sealed.map_err(|error| self.protection_failure(name, error))?;
        self.write_once(name, &sealed)
    }

    fn read_sealed(&self, name: &str) -> Result<Option<Zeroizing<String>>, CeremonyFailure> {
        let Some(text) = self.read(name)? else {
            return Ok(None);
        };
        let opened = self.protection.open(name, &text);
        opened
            .map(Some)
            .map_err(|error| self.protection_failure(name, error))
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, CeremonyFailure> {
        let path = self.path.join(name);
        read_bounded(&path).map_err(|error| io_failure(&path, &error))
    }

    fn unfit(&self, name: &str) -> CeremonyFailure {
        let path = self.path.join(name);
        CeremonyFailure::File { path }
    }

    fn protection_failure(
        &self,
        name: &str,
        error: crate::protection::ProtectionError,
    ) -> CeremonyFailure {
        let path = self.path.join(name);
        CeremonyFailure::Protection { path, error }
    }
}

/// The sealed files of all ceremonies of a node, each with what it is sealed as.
///
/// # Errors
/// A folder that cannot be read; that there is none is no error.
pub(crate) fn sealed_files(ceremonies: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let folders = match fs::read_dir(ceremonies) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folders => folders?,
    };
    let mut sealed = Vec::new();
    for folder in folders {
        for file in fs::read_dir(folder?.path())? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let purpose = match name {
                Some(EVALUATOR_KEY) => EVALUATOR_PURPOSE,
                Some(name) if is_sealed_name(name) => name,
                _ => continue,
            };
            sealed.push((path.clone(), purpose.to_owned()));
        }
    }
    Ok(sealed)
}

/// The seed and what other members said to this one alone; a draft that a crash left is neither.
fn is_sealed_name(name: &str) -> bool {
    let step = name.split_once('-').map(|(step, _)| step);
    let mut secret = Step::ALL.into_iter().filter(|step| step.is_for_one());
    let came = secret.any(|known| step == Some(known.to_string().as_str()));
    name == SEED || (came && !name.ends_with(DRAFT))
}

fn message_file(step: Step, from: &MemberName) -> String {
    format!("{step}-{from}")
}

/// Reads a text file of bounded length; `None` where there is none.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Reserved at once: a string that grows would leave copies behind that nobody wipes.
    let room = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Zeroizing::new(String::with_capacity(room.min(1 << 20)));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Writes a file of mode 0600 beside its place, syncs it, and moves it there: after a crash it is
/// whole, or not there.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(DRAFT);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // From here the file is there, whatever happens to this process.
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Overwrites a file with zeros, syncs that, and removes it. Nothing happens where there is none.
pub(super) fn wipe(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    overwrite(&file)?;
    fs::remove_file(path)
}

/// Overwrites an open file with zeros. On a copy-on-write file system, on flash that remaps, and
/// in backups the old bytes may remain.
pub(crate) fn overwrite(mut file: &File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)?;
    let mut above = path.parent();
    for _ in 0..2 {
        let Some(folder) = above else { break };
        sync_folder(folder)?;
        above = folder.parent();
    }
    Ok(())
}

pub(super) fn io_failure(path: &Path, error: &io::Error) -> CeremonyFailure {
    CeremonyFailure::Io {
        path: path.to_owned(),
        error: SecretFileError::Io(error.kind()),
    }
}
