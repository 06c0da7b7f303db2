//! Calling another member's node: TLS 1.3 to the one key that the roster has for it.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::certificate::{SERVER_NAME, public_key, self_signed};
use proto::roster::Address;
use proto::signing::{PublicKey, SecretKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::CeremonyFailure;

/// How long connecting may take: beyond this the node is as good as down.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// A channel to the node that holds `member_key`. It dials when it is first used, and again when
/// the connection was lost.
pub(super) fn channel(
    member_key: PublicKey,
    address: &Address,
    secret: &SecretKey,
) -> Result<Channel, CeremonyFailure> {
    let tls = connector(member_key, secret)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|_| CeremonyFailure::Tls)?;
    let address = address.as_str().to_owned();
    let dial = tower::service_fn(move |_: http::Uri| {
        let (tls, name, address) = (tls.clone(), name.clone(), address.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            tls.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    // The scheme is `http` for tonic, whose own TLS is not used; the dialler above speaks TLS.
    let endpoint = Endpoint::from_static("http://vitrail").connect_timeout(CONNECT_DEADLINE);
    Ok(endpoint.connect_with_connector_lazy(dial))
}

fn connector(server_key: PublicKey, secret: &SecretKey) -> Result<TlsConnector, CeremonyFailure> {
    let provider = Arc::new(ring::default_provider());
    let certificate = self_signed(secret).map_err(|_| CeremonyFailure::Tls)?;
    let key = secret.to_pkcs8_der().map_err(|_| CeremonyFailure::Tls)?;
    let pinned = PinnedKey {
        server_key,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| CeremonyFailure::Tls)?
        .dangerous() // Ours is stricter than a list of authorities: one key.
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.to_vec().into()))
        .map_err(|_| CeremonyFailure::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
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
        let refused = rustls::Error::from(CertificateError::ApplicationVerificationFailure);
        let shown = public_key(end_entity).map_err(|_| refused.clone())?;
        let is_pinned = shown == self.server_key && intermediates.is_empty();
        is_pinned.then(ServerCertVerified::assertion).ok_or(refused)
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
