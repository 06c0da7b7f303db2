//! The TLS identity of a member or a POS: a self-signed X.509 certificate around its Ed25519 key.
//!
//! Nothing in the certificate is trusted but the key. Who a key belongs to, and until when, the
//! roster and the grants say; the TLS handshake proves that the peer holds it. So names and dates
//! are the same in every certificate, and one key has one certificate.

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use webpki::EndEntityCert;

use crate::signing::{PUBLIC_KEY_BYTES, PublicKey, SecretKey};

/// The one name in every certificate: what a TLS client asks for.
pub const SERVER_NAME: &str = "vitrail";

/// Longest certificate that is read. Ours have about 300 bytes; the rest is room for what other
/// tools add, and still far from making the parser work.
pub const CERTIFICATE_BYTES_MAX: usize = 4096;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo: SEQUENCE {
/// SEQUENCE { OID 1.3.101.112 }, BIT STRING with no unused bits } (RFC 8410, 4).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a certificate cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The encoder refused, which no Ed25519 key makes it do.
    #[error("the certificate cannot be encoded")]
    Encoding,
    /// The certificate is too long to be read.
    #[error("a certificate is {got} bytes, more than {CERTIFICATE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// The bytes are not an X.509 version 3 certificate in DER.
    #[error("not an X.509 certificate in DER (RFC 5280, 4.1)")]
    Malformed,
    /// The certificate holds a key of another algorithm.
    #[error("the key of a certificate must be an Ed25519 key (RFC 8410, 4)")]
    NotEd25519,
    /// The Ed25519 key is non-canonical or of low order.
    #[error("the key of a certificate is not a usable Ed25519 key")]
    UnusableKey,
}

/// The certificate of a key. It is the same bytes each time: no clock and no random serial go in.
///
/// # Errors
/// [`CertificateError::Encoding`] if the encoder refuses, which no Ed25519 key makes it do.
pub fn self_signed(secret: &SecretKey) -> Result<CertificateDer<'static>, CertificateError> {
    let names = [SERVER_NAME.to_owned()];
    let mut params = CertificateParams::new(names).map_err(|_| CertificateError::Encoding)?;
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, SERVER_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Nodes call each other, so one certificate serves both ends of a connection.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let signer = CertificateSigner {
        secret,
        public: secret.public().to_bytes(),
    };
    let certificate = params.self_signed(&signer);
    certificate
        .map(CertificateDer::from)
        .map_err(|_| CertificateError::Encoding)
}

/// The key that a peer's certificate is about, checked like every other public key. The
/// certificate's own signature is not looked at: the handshake proves possession of the key.
///
/// # Errors
/// [`CertificateError`], see its variants.
pub fn public_key(der: &CertificateDer<'_>) -> Result<PublicKey, CertificateError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLong { got: der.len() });
    }
    let certificate = EndEntityCert::try_from(der).map_err(|_| CertificateError::Malformed)?;
    let spki = certificate.subject_public_key_info();
    let bytes: &[u8; PUBLIC_KEY_BYTES] = spki
        .strip_prefix(&ED25519_SPKI_PREFIX)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(CertificateError::NotEd25519)?;
    PublicKey::from_bytes(bytes).map_err(|_| CertificateError::UnusableKey)
}

/// Signs in place of rcgen's own key pair, so that the secret is not copied out of [`SecretKey`].
struct CertificateSigner<'a> {
    secret: &'a SecretKey,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl PublicKeyData for CertificateSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for CertificateSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.secret.sign(message).as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    fn secret() -> SecretKey {
        SecretKey::from_seed(&[11; 32])
    }

    /// Our certificate with another key's bytes in its place.
    fn with_key(bytes: [u8; 32]) -> CertificateDer<'static> {
        let mut der = self_signed(&secret()).unwrap().to_vec();
        let position = key_position(&der);
        der[position..position + 32].copy_from_slice(&bytes);
        CertificateDer::from(der)
    }

    fn key_position(der: &[u8]) -> usize {
        let prefix = der
            .windows(12)
            .position(|window| window == ED25519_SPKI_PREFIX);
        prefix.unwrap() + 12
    }

    #[test]
    fn the_key_of_a_certificate_reads_back() {
        for seed in 0..20 {
            let secret = SecretKey::from_seed(&[seed; 32]);
            let der = self_signed(&secret).unwrap();
            assert!(der.len() < CERTIFICATE_BYTES_MAX / 8);
            assert_eq!(public_key(&der), Ok(secret.public()));
        }
    }

    #[test]
    fn one_key_has_one_certificate() {
        assert_eq!(self_signed(&secret()), self_signed(&secret()));
    }

    #[test]
    fn a_tls_stack_accepts_the_certificate_as_its_own_root() {
        let der = self_signed(&secret()).unwrap();
        let certificate = EndEntityCert::try_from(&der).unwrap();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        certificate.verify_is_valid_for_subject_name(&name).unwrap();
        let root = webpki::anchor_from_trusted_cert(&der).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        for usage in [
            webpki::KeyUsage::server_auth(),
            webpki::KeyUsage::client_auth(),
        ] {
            let algorithms = [webpki::ring::ED25519];
            let roots = std::slice::from_ref(&root);
            certificate
                .verify_for_usage(&algorithms, roots, &[], now, usage, None, None)
                .unwrap();
        }
    }

    #[test]
    fn a_p256_certificate_is_refused() {
        // A key of P-256, as other tools make it by default; the test may use randomness.
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new([SERVER_NAME.to_owned()]).unwrap();
        let der = params.self_signed(&other).unwrap();
        assert_eq!(public_key(der.der()), Err(CertificateError::NotEd25519));
    }

    #[test]
    fn a_neighbouring_algorithm_of_the_same_shape_is_refused() {
        // X25519 is 1.3.101.110, with 32 bytes too.
        let mut der = self_signed(&secret()).unwrap().to_vec();
        let position = key_position(&der) - 4;
        der[position] = 0x6e;
        let der = CertificateDer::from(der);
        assert_eq!(public_key(&der), Err(CertificateError::NotEd25519));
    }

    #[test]
    fn a_low_order_or_non_canonical_key_is_refused() {
        let mut order_one = [0; 32];
        order_one[0] = 1;
        for weak in [order_one, [0; 32], [0xff; 32]] {
            let refused = public_key(&with_key(weak));
            assert_eq!(refused, Err(CertificateError::UnusableKey));
        }
    }

    #[test]
    fn garbage_and_cut_certificates_are_refused() {
        let der = self_signed(&secret()).unwrap();
        for length in 0..der.len() {
            let cut = CertificateDer::from(&der[..length]);
            assert_eq!(
                public_key(&cut),
                Err(CertificateError::Malformed),
                "{length}"
            );
        }
        let longer = CertificateDer::from([&der[..], &[0]].concat());
        assert_eq!(public_key(&longer), Err(CertificateError::Malformed));
    }

    #[test]
    fn a_certificate_above_the_limit_is_not_even_parsed() {
        let got = CERTIFICATE_BYTES_MAX + 1;
        let long = CertificateDer::from(vec![0x30; got]);
        assert_eq!(public_key(&long), Err(CertificateError::TooLong { got }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(public_key(&CertificateDer::from(bytes)).is_err());
        }

        #[test]
        fn one_changed_byte_gives_an_error_or_a_key(position in 0..300_usize, byte: u8) {
            let mut der = self_signed(&secret()).unwrap().to_vec();
            let position = position % der.len();
            der[position] = byte;
            let _ = public_key(&CertificateDer::from(der));
        }
    }
}
