//! The device key of a till: it grants the till its session keys, and is used for nothing else.
//!
//! A session key lies in the state folder as `session-<expiry>.pem`, the expiry in milliseconds
//! since 1970, so that key and expiry are one file and are replaced together. [`renewed`] is
//! called before each piece of work; it asks nobody while the session key at hand runs for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::attestation::{Attestation, Grant, GrantClass, SESSION_MS_MAX};
use proto::ids::{LeafIndex, UnixMillis};
use proto::refusal::Reason;
use proto::signing::{SecretKey, SigningError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::connection::Observer;
use crate::failure::{Failure, FailureKind};
use crate::federation;
use crate::files::{self, FileError};
use crate::issue::{IssueError, Issued};
use crate::lookup::LookupError;
use crate::profile::{Profile, ProfileError, Settings};
use crate::session::Session;
use crate::system::{self, NoRandomness};

/// How long before its expiry a session key is replaced: nodes may be away for an hour or two
/// without a shop noticing.
pub const RENEW_BEFORE_MS: u64 = 2 * 3_600_000;
/// By how much a session is granted for less than the longest: this machine's clock may be ahead.
const CLOCK_MARGIN_MS: u64 = 5 * 60_000;

/// Why there is no session key to work with.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The profile, or a file that it names, cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A file of the state folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The key cannot be encoded, which happens to no key.
    #[error("the session key cannot be written: {0}")]
    Key(#[from] SigningError),
    /// The enrolment could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry does not enrol this key.
    #[error("entry {index} does not enrol this device key")]
    NotEnrolled {
        /// The entry.
        index: LeafIndex,
    },
    /// It is not known whether the session key was granted.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The session key was refused.
    #[error("the session key was refused: {}", .0.english())]
    Refused(Reason),
}

impl Failure for DeviceError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Profile(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::NoRandomness(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::Issue(error) => error.kind(),
            Self::Key(_) | Self::NotEnrolled { .. } => FailureKind::Malformed,
            Self::Refused(_) => FailureKind::Refused,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Profile(error) => error.hint(),
            Self::Lookup(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            Self::NotEnrolled { .. } => {
                Some("device_entry is the entry that `vitrail grant --class device` gave")
            }
            _ => None,
        }
    }
}

/// The profile to work with now: with the session key of its device if it names one, otherwise
/// itself. A session key that soon expires is replaced; if that cannot be done while the old one
/// still runs, the old one is used.
///
/// # Errors
/// [`DeviceError`], see its variants.
pub async fn renewed(profile: Profile) -> Result<Profile, DeviceError> {
    renewed_seen_by(profile, None).await
}

/// The same, with somebody who sees what leaves for that.
///
/// # Errors
/// As [`renewed`].
pub async fn renewed_seen_by(
    profile: Profile,
    observer: Option<Arc<dyn Observer>>,
) -> Result<Profile, DeviceError> {
    let Some(device_key) = profile.settings().device_key.clone() else {
        return Ok(profile);
    };
    let folder = profile.state_folder().to_owned();
    let newest = newest(&folder)?;
    let key = match newest {
        Some((expires_at, path)) if left(expires_at) > RENEW_BEFORE_MS => path,
        newest => match (
            grant_session(&profile, device_key, &folder, observer).await,
            newest,
        ) {
            (Ok(path), _) => path,
            // Whoever was refused has no business going on with an old key.
            (Err(error), Some((expires_at, path)))
                if error.kind() == FailureKind::Unavailable && left(expires_at) > 0 =>
            {
                path
            }
            (Err(error), _) => return Err(error),
        },
    };
    let above = Settings {
        key: Some(key),
        ..Settings::default()
    };
    Ok(Profile::new(above.or(profile.settings().clone())))
}

/// Milliseconds until a moment.
fn left(until: UnixMillis) -> u64 {
    until.get().saturating_sub(system::now().get())
}

/// When a session key of this name expires.
#[must_use]
pub fn expiry(path: &Path) -> Option<UnixMillis> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix("session-")?.strip_suffix(".pem")?;
    digits.parse().ok().map(UnixMillis::new)
}

/// The session key in the folder that expires last.
fn newest(folder: &Path) -> Result<Option<(UnixMillis, PathBuf)>, FileError> {
    let sessions = all(folder)?.into_iter();
    Ok(sessions.max_by_key(|(expires_at, _)| *expires_at))
}

fn all(folder: &Path) -> Result<Vec<(UnixMillis, PathBuf)>, FileError> {
    let error = |error| files::io_error(folder, &error);
    let listed = match fs::read_dir(folder).map_err(error) {
        Err(FileError::Missing { .. }) => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut sessions = Vec::new();
    for file in listed {
        let path = file.map_err(error)?.path();
        sessions.extend(expiry(&path).map(|expires_at| (expires_at, path)));
    }
    Ok(sessions)
}

/// Has the device grant a fresh session key, and keeps it; the older ones go.
async fn grant_session(
    profile: &Profile,
    device_key: PathBuf,
    folder: &Path,
    observer: Option<Arc<dyn Observer>>,
) -> Result<PathBuf, DeviceError> {
    let above = Settings {
        key: Some(device_key),
        ..Settings::default()
    };
    let session = Profile::new(above.or(profile.settings().clone())).session(observer)?;
    let enrolment = enrolment(&session, profile.device_entry()?).await?;
    let secret = SecretKey::from_seed(&Zeroizing::new(system::random()?));
    let longest = system::now().get() + SESSION_MS_MAX - CLOCK_MARGIN_MS;
    let expires_at = enrolment.expires_at.min(UnixMillis::new(longest));
    let grant = Grant {
        till: secret.public(),
        expires_at,
        class: GrantClass::Session {
            device: session.public_key(),
        },
        ..enrolment
    };
    match federation::grant(&session, grant).await? {
        Issued::Accepted(_) => {}
        Issued::Refused(refused) => return Err(DeviceError::Refused(refused.reason)),
    }
    files::create_folder(folder)?;
    let older = all(folder)?;
    let path = folder.join(format!("session-{}.pem", expires_at.get()));
    files::replace_secret(&path, secret.to_pem()?.as_bytes())?;
    for (_, old) in older.iter().filter(|(_, old)| *old != path) {
        files::remove(old)?;
    }
    Ok(path)
}

/// What the device was enrolled with, as its federation signed it.
async fn enrolment(session: &Session, index: LeafIndex) -> Result<Grant, DeviceError> {
    let entry = session.verified_entry(index).await?;
    match Attestation::read(entry.header()) {
        Ok(Attestation::Grant(grant))
            if grant.class == GrantClass::Device && grant.till == session.public_key() =>
        {
            Ok(grant)
        }
        _ => Err(DeviceError::NotEnrolled { index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_key_that_runs_for_long_is_used_and_nobody_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let soon = system::now().get() + RENEW_BEFORE_MS - 1;
        let late = system::now().get() + RENEW_BEFORE_MS + 60_000;
        for expires_at in [soon, late] {
            fs::write(folder.path().join(format!("session-{expires_at}.pem")), "").unwrap();
        }
        fs::write(folder.path().join("session-x.pem"), "").unwrap();
        let settings = Settings {
            device_key: Some("device.pem".into()),
            state: Some(folder.path().to_owned()),
            ..Settings::default()
        };
        let profile = renewed(Profile::new(settings.clone())).await.unwrap();
        let key = profile.settings().key.as_ref().unwrap();
        assert_eq!(expiry(key), Some(UnixMillis::new(late)));
        // Without it a new one is due, and for that the device key is missing.
        fs::remove_file(key).unwrap();
        let refused = renewed(Profile::new(settings)).await.unwrap_err();
        assert!(matches!(refused, DeviceError::Profile(_)), "{refused}");
    }
}
