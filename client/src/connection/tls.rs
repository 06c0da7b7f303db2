//! TLS 1.3 with one key on each side: the caller shows its own, and the server must show the key
//! that the roster has for it. No authority, name or date is believed.

use std::fmt;
use std::sync::Arc;

use proto::certificate::{self, CertificateError, SERVER_NAME};
use proto::signing::{PublicKey, SecretKey, SigningError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
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

/// What the owner of a key shows at the other end of each connection: made once for all of them.
#[derive(Clone)]
pub struct Identity {
    provider: Arc<CryptoProvider>,
    shown: Arc<dyn ResolvesClientCert>,
}

impl Identity {
    /// The key with its certificate.
    ///
    /// # Errors
    /// [`IdentityError`], which an Ed25519 key does not cause.
    pub fn new(secret: &SecretKey) -> Result<Self, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = certificate::self_signed(secret)?;
        let key = PrivatePkcs8KeyDer::from(secret.to_pkcs8_der()?.to_vec());
        let key = PrivateKeyDer::Pkcs8(key);
        let certified = CertifiedKey::from_der(vec![certificate], key, &provider);
        let certified = certified.map_err(|_| IdentityError::Tls)?;
        Ok(Self {
            provider,
            shown: Arc::new(SingleCertAndKey::from(certified)),
        })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(<secret>)")
    }
}

/// What connects to the one server that holds `server_key`, as the owner of `own`.
pub(super) fn connector(
    server_key: PublicKey,
    own: &Identity,
) -> Result<TlsConnector, IdentityError> {
    let pinned = PinnedKey {
        server_key,
        provider: own.provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(own.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| IdentityError::Tls)?
        .dangerous() // Ours is stricter than a list of authorities: one key.
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_cert_resolver(own.shown.clone());
    // Nodes give no session to resume: each connection proves its key anew.
    config.resumption = Resumption::disabled();
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

#[cfg(test)]
mod tests {
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ProtocolVersion, RootCertStore, ServerConfig};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    /// A server that holds `own` and asks its client for the certificate of `client`.
    fn acceptor(own: &SecretKey, client: &SecretKey) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate::self_signed(client).unwrap())
            .unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let key = PrivatePkcs8KeyDer::from(own.to_pkcs8_der().unwrap().to_vec());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate::self_signed(own).unwrap()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Whether a client that expects `pinned` gets through to a server that holds `held`.
    async fn connects(pinned: &SecretKey, held: &SecretKey) -> bool {
        let (own, name) = (secret(3), server_name().unwrap());
        let (near, far) = tokio::io::duplex(16 * 1024);
        let server = acceptor(held, &own);
        let serve = tokio::spawn(async move { server.accept(far).await.is_ok() });
        let connector = connector(pinned.public(), &Identity::new(&own).unwrap()).unwrap();
        let Ok(stream) = connector.connect(name, near).await else {
            return false;
        };
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
        serve.await.unwrap()
    }

    #[tokio::test]
    async fn the_server_that_holds_the_members_key_is_reached_over_tls_13() {
        assert!(connects(&secret(1), &secret(1)).await);
    }

    #[tokio::test]
    async fn a_server_with_any_other_key_is_not() {
        assert!(!connects(&secret(1), &secret(2)).await);
    }
}
