//! Who is admitted and with which catalogue: rosters, catalogues, grants, revocations.

use super::Attestation;
use super::shape::{Shape, ShapeError, split_array};
use crate::hash::Hash;
use crate::ids::{Day, Finess, IdError, UnixMillis};
use crate::roster::SignedRoster;
use crate::signing::PublicKey;

/// Names a version of the LPP catalogue by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueNotice {
    /// The hash of the catalogue's canonical text (`lpp::Catalogue::hash`).
    pub hash: Hash,
    /// The first day on which it is the one to use.
    pub valid_from: Day,
}

/// The longest admission of a session key: a day behind the counter.
pub const SESSION_MS_MAX: u64 = 12 * 3_600_000;

/// What a key is admitted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantClass {
    /// A till's key, admitted by a federation: it claims and looks up itself.
    Till,
    /// A till's long-lived key, enrolled by a federation: it grants session keys and does nothing
    /// else.
    Device,
    /// A key that a till claims and looks up with for some hours, admitted by its device key.
    Session {
        /// The device key, which issues the grant.
        device: PublicKey,
    },
}

/// Admits a till's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The key that the till signs and connects with.
    pub till: PublicKey,
    /// The shop it stands in.
    pub finess: Finess,
    /// The first moment at which it is no longer admitted.
    pub expires_at: UnixMillis,
    /// Elements each node evaluates for it in an hour.
    pub hourly_quota: u32,
    /// Elements each node evaluates for it in a day.
    pub daily_quota: u32,
    /// What it is admitted as.
    pub class: GrantClass,
}

/// Ends a till's admission, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The key that is no longer admitted.
    pub till: PublicKey,
}

impl CatalogueNotice {
    const STATEMENT_BYTES: usize = 32 + 4;

    pub(super) fn to_statement(self) -> Vec<u8> {
        [
            self.hash.as_bytes().as_slice(),
            &self.valid_from.get().to_be_bytes(),
        ]
        .concat()
    }
}

impl Grant {
    const STATEMENT_BYTES: usize = 32 + 9 + 8 + 4 + 4;
    /// What follows the statement of a till's key in that of a device's.
    const DEVICE: u8 = 1;
    /// What follows it, and stands before the device's key, in that of a session's.
    const SESSION: u8 = 2;

    pub(super) fn to_statement(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::STATEMENT_BYTES + 1 + 32);
        bytes.extend_from_slice(&self.till.to_bytes());
        bytes.extend_from_slice(self.finess.as_str().as_bytes());
        bytes.extend_from_slice(&self.expires_at.get().to_be_bytes());
        bytes.extend_from_slice(&self.hourly_quota.to_be_bytes());
        bytes.extend_from_slice(&self.daily_quota.to_be_bytes());
        match self.class {
            GrantClass::Till => {}
            GrantClass::Device => bytes.push(Self::DEVICE),
            GrantClass::Session { device } => {
                bytes.push(Self::SESSION);
                bytes.extend_from_slice(&device.to_bytes());
            }
        }
        bytes
    }
}

impl Shape<'_> {
    pub(super) fn roster(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        Ok(Attestation::Roster(SignedRoster::parse(&self.0.statement)?))
    }

    pub(super) fn catalogue(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let bytes: [u8; CatalogueNotice::STATEMENT_BYTES] = self.statement()?;
        let [hash @ .., a, b, c, d] = bytes;
        Ok(Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes(hash),
            valid_from: Day::new(u32::from_be_bytes([a, b, c, d])),
        }))
    }

    pub(super) fn grant(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let statement = self.0.statement.as_slice();
        let length = ShapeError::StatementLength {
            kind: self.0.kind,
            got: statement.len(),
            want: Grant::STATEMENT_BYTES,
        };
        let (bytes, class) = statement
            .split_first_chunk::<{ Grant::STATEMENT_BYTES }>()
            .ok_or(length.clone())?;
        let class = match class {
            [] => GrantClass::Till,
            [Grant::DEVICE] => GrantClass::Device,
            [Grant::SESSION, device @ ..] => {
                let device = device.try_into().map_err(|_| length)?;
                let device = PublicKey::from_bytes(device)?;
                GrantClass::Session { device }
            }
            _ => return Err(length),
        };
        let mut rest = bytes.as_slice();
        let till = PublicKey::from_bytes(&split_array(&mut rest))?;
        let finess: [u8; 9] = split_array(&mut rest);
        Ok(Attestation::Grant(Grant {
            till,
            finess: str::from_utf8(&finess)
                .map_err(|_| IdError::Finess)?
                .parse()?,
            expires_at: UnixMillis::new(u64::from_be_bytes(split_array(&mut rest))),
            hourly_quota: u32::from_be_bytes(split_array(&mut rest)),
            daily_quota: u32::from_be_bytes(split_array(&mut rest)),
            class,
        }))
    }

    pub(super) fn revocation(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let till = PublicKey::from_bytes(&self.statement()?)?;
        Ok(Attestation::Revocation(Revocation { till }))
    }
}
