//! The key of one sealed part: what opens that part of that payload, and nothing else.
//!
//! It is derived one way from the contract's sealing secret and the payload's salt. So whoever is
//! given it learns neither of the contract's other payloads, whose salts differ, nor of the other
//! parts of this one, whose secrets differ.

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use zeroize::Zeroizing;

use super::{
    OpenError, Opened, PADDED_BYTES, PayloadCommitment, Salt, SealedPart, SealedPayload, unpad_from,
};
use crate::hash::{Context, Hash, derive, derive_secret};
use crate::token::{SealingSecret, secret_bytes};

secret_bytes! {
    /// The key of one part of one payload, used for one encryption. It may be handed to an
    /// auditor: it opens that part alone.
    SealKey
}

impl SealKey {
    pub(super) fn new(secret: &SealingSecret, salt: &Salt) -> Self {
        let parts: [&[u8]; 2] = [secret.as_bytes(), salt.as_bytes()];
        Self(*derive_secret(Context::SealKey, &parts))
    }

    /// Binds a part to this key. ChaCha20-Poly1305 alone does not: for two keys of his choice a
    /// forger finds one ciphertext that both open.
    pub(super) fn check(&self) -> Hash {
        derive(Context::SealKeyCheck, &[self.0.as_slice()])
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(self.0.as_slice().into())
    }

    /// `None` only for a plaintext of more than 256 GiB.
    pub(super) fn seal(&self, padded: &[u8]) -> Option<SealedPart> {
        // The key is used once, so a nonce of zero repeats nothing.
        let ciphertext = self.cipher().encrypt(&Nonce::default(), padded).ok()?;
        let mut part = self.check().as_bytes().to_vec();
        part.extend(ciphertext);
        Some(SealedPart(part))
    }

    pub(super) fn open(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let padded = self.cipher().decrypt(&Nonce::default(), ciphertext);
        padded.ok().map(Zeroizing::new)
    }
}

impl SealedPayload {
    /// The place, counted from 0, and the key of the part for one contract; `None` when no part
    /// is for it. Costs two hashes, so an insurer can try a million contracts.
    #[must_use]
    pub fn part_key(&self, secret: &SealingSecret, salt: &Salt) -> Option<(usize, SealKey)> {
        let seal_key = SealKey::new(secret, salt);
        let fits = |part: &SealedPart| part.ciphertext_for(&seal_key).is_some();
        let place = self.parts.iter().position(fits)?;
        Some((place, seal_key))
    }

    /// Opens one part with its own key, after checking that this is the payload of the entry.
    ///
    /// # Errors
    /// [`OpenError`], see its variants.
    pub fn open_part(
        &self,
        part: usize,
        seal_key: &SealKey,
        salt: &Salt,
        commitment: &PayloadCommitment,
    ) -> Result<Opened, OpenError> {
        if self.commitment(salt) != *commitment {
            return Err(OpenError::OtherCommitment);
        }
        let sealed = self.parts.get(part);
        let ciphertext = sealed
            .and_then(|sealed| sealed.ciphertext_for(seal_key))
            .ok_or(OpenError::NotThisKey { part })?;
        let padded = seal_key.open(ciphertext).ok_or(OpenError::Undecryptable)?;
        unpad_from(&PADDED_BYTES, &padded)
            .map(Opened)
            .ok_or(OpenError::Padding)
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal;
    use super::*;

    const AMO: SealingSecret = SealingSecret::from_bytes([1; 32]);
    const AMC: SealingSecret = SealingSecret::from_bytes([2; 32]);
    const SALT: Salt = Salt::from_bytes([9; 32]);
    const NEXT_SALT: Salt = Salt::from_bytes([10; 32]);

    fn payload(salt: &Salt) -> SealedPayload {
        seal(&[(&AMO, b"for the AMO"), (&AMC, b"for the AMC")], salt).unwrap()
    }

    #[test]
    fn a_parts_key_opens_that_part() {
        let payload = payload(&SALT);
        let (part, key) = payload.part_key(&AMC, &SALT).unwrap();
        assert_eq!(part, 1);
        let opened = payload.open_part(part, &key, &SALT, &payload.commitment(&SALT));
        assert_eq!(opened.unwrap().as_bytes(), b"for the AMC");
        let stranger = SealingSecret::from_bytes([3; 32]);
        assert!(payload.part_key(&stranger, &SALT).is_none());
    }

    #[test]
    fn a_parts_key_opens_nothing_else() {
        let (first, next) = (payload(&SALT), payload(&NEXT_SALT));
        let (_, key) = first.part_key(&AMC, &SALT).unwrap();
        // The other payer's part, and a part that is not there.
        for part in [0, 2, usize::MAX] {
            let opened = first.open_part(part, &key, &SALT, &first.commitment(&SALT));
            assert_eq!(opened, Err(OpenError::NotThisKey { part }));
        }
        // The same payer's part of its next payload, with that payload's own salt.
        for part in 0..2 {
            let opened = next.open_part(part, &key, &NEXT_SALT, &next.commitment(&NEXT_SALT));
            assert_eq!(opened, Err(OpenError::NotThisKey { part }));
        }
    }

    #[test]
    fn another_salt_is_not_what_was_committed_to() {
        let payload = payload(&SALT);
        let (part, key) = payload.part_key(&AMC, &SALT).unwrap();
        let opened = payload.open_part(part, &key, &NEXT_SALT, &payload.commitment(&SALT));
        assert_eq!(opened, Err(OpenError::OtherCommitment));
    }
}
