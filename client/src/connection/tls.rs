//! TLS 1.3 with one key on each side: the caller shows its own, and the server must show the key
//! that the roster has for it. No authority, name or date is believed.

use std::sync::Arc;

use proto::certificate::{self, CertificateError, SERVER_NAME};
use proto::signing::{PublicKey, SecretKey, SigningError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::{CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct};
use rustls::{Error as TlsError, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use thiserror::Error;
use tokio_rustls::TlsConnector;

/// Why no connection can be prepared. Nothing of the key is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate of the own key cannot be made.
    #[error("own certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The own key cannot be encoded.
    #[error("own key: {0}")]
    Key(#[from] SigningError),
    /// The TLS library refuses the own key or its settings.
    #[error("the TLS library refuses the own key")]
    Tls,
}

/// What connects to the one server that holds `server_key`, as the owner of `secret`.
pub(super) fn connector(
    server_key: PublicKey,
    secret: &SecretKey,
) -> Result<TlsConnector, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own_certificate = certificate::self_signed(secret)?;
    let own_key = PrivatePkcs8KeyDer::from(secret.to_pkcs8_der()?.to_vec());
    let pinned = PinnedKey {
        server_key,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| IdentityError::Tls)?
        .dangerous() // Ours is stricter than a list of authorities: one key.
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_auth_cert(vec![own_certificate], PrivateKeyDer::Pkcs8(own_key))
        .map_err(|_| IdentityError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the handshake carries: the same for everybody.
pub(super) fn server_name() -> Result<ServerName<'static>, IdentityError> {
    ServerName::try_from(SERVER_NAME).map_err(|_| IdentityError::Tls)
}

/// Accepts one key and nothing else.
#[derive(Debug)]
struct PinnedKey {
    server_key: PublicKey,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let refused = || TlsError::from(TlsCertificateError::ApplicationVerificationFailure);
        let shown = certificate::public_key(end_entity).map_err(|_| refused())?;
        let is_pinned = shown == self.server_key && intermediates.is_empty();
        is_pinned
            .then(ServerCertVerified::assertion)
            .ok_or_else(refused)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::from(
            TlsCertificateError::ApplicationVerificationFailure,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
