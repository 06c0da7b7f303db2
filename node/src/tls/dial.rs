//! The dialling side: one member's node to another's, each showing its key, the other's pinned.

use std::sync::Arc;

use proto::certificate::{SERVER_NAME, public_key, self_signed};
use proto::signing::{PublicKey, SecretKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::{ALPN, TlsError};

/// What connects to the one server that holds `server_key`, as the owner of `secret`. No
/// authority, name or date is believed.
///
/// # Errors
/// [`TlsError`], which an Ed25519 key does not cause.
pub fn connector(server_key: PublicKey, secret: &SecretKey) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(secret.to_pkcs8_der()?.to_vec().into());
    let pinned = PinnedKey {
        server_key,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // Ours is stricter than a list of authorities: one key.
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_auth_cert(vec![self_signed(secret)?], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that every handshake carries.
///
/// # Errors
/// [`TlsError::Stack`], which the constant name does not cause.
pub fn server_name() -> Result<ServerName<'static>, TlsError> {
    let unfit = |_| rustls::Error::General("the server name".to_owned());
    Ok(ServerName::try_from(SERVER_NAME).map_err(unfit)?)
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = public_key(end_entity);
        let is_pinned = shown.is_ok_and(|shown| shown == self.server_key);
        let refused =
            rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        (is_pinned && intermediates.is_empty())
            .then(ServerCertVerified::assertion)
            .ok_or(refused)
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
mod tests {
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::tls::server_config;

    /// Whether a node that expects `pinned` gets through to one that holds `held`.
    async fn connects(pinned: u8, held: u8) -> bool {
        let secret = |seed: u8| SecretKey::from_seed(&[seed; 32]);
        let (near, far) = tokio::io::duplex(16 * 1024);
        let acceptor = TlsAcceptor::from(server_config(&secret(held)).unwrap());
        let serve = tokio::spawn(async move { acceptor.accept(far).await.is_ok() });
        let connector = connector(secret(pinned).public(), &secret(9)).unwrap();
        let connected = connector.connect(server_name().unwrap(), near).await;
        connected.is_ok() && serve.await.unwrap()
    }

    #[tokio::test]
    async fn only_the_key_that_is_pinned_is_reached() {
        assert!(connects(1, 1).await);
        assert!(!connects(1, 2).await);
    }
}
