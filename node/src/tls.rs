//! TLS 1.3 with client certificates: each connection carries the key at its other end.
//!
//! A certificate here is a wrapping around a key (`proto::certificate`): no authority signs it and
//! nothing in it but the key is read. The handshake proves that the peer holds the key; what that
//! key may do is decided at every call by [`crate::admission`], at that moment of the log. So a
//! revoked till needs no revocation list, and its open connection is worth nothing either.

mod accept;
mod dial;

use std::sync::Arc;

use proto::certificate::{CertificateError, public_key, self_signed};
use proto::signing::{SecretKey, SigningError};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig, SignatureScheme,
};
use thiserror::Error;

pub(crate) use self::accept::Transport;
#[cfg(test)]
pub(crate) use self::accept::let_in;
pub use self::accept::{
    CONNECTIONS_MAX, CONNECTIONS_PER_KEY_MAX, HANDSHAKE_DEADLINE, IsKnown, PeerKey, PeerStream,
    STRANGERS_MAX, accept,
};
pub use self::dial::{connector, server_name};

/// What both ends agree to speak inside TLS: gRPC is HTTP/2.
const ALPN: &[u8] = b"h2";

/// Why a node's key does not make a TLS server.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate cannot be made.
    #[error("the node's certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The key cannot be handed to the TLS stack.
    #[error("the node's key: {0}")]
    Key(#[from] SigningError),
    /// The TLS stack refuses key, certificate or protocol.
    #[error("the TLS stack refuses the node's key: {0}")]
    Stack(#[from] rustls::Error),
}

/// The TLS side of a node's gRPC listener: TLS 1.3 alone, HTTP/2 alone, a client certificate
/// required, and no session resumption, so that each connection proves its key anew.
///
/// # Errors
/// [`TlsError`], which an Ed25519 key does not cause.
pub fn server_config(secret: &SecretKey) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let certificate = self_signed(secret)?;
    let key = PrivateKeyDer::Pkcs8(secret.to_pkcs8_der()?.to_vec().into());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey { provider }))
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Accepts the certificate of any Ed25519 key whose possession the handshake proves.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let usable = intermediates.is_empty() && public_key(end_entity).is_ok();
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
        usable.then(ClientCertVerified::assertion).ok_or(refused)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Never called: rustls is built without TLS 1.2.
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::tests::{connect as test_connect, test_client};
