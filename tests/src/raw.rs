//! A connection with nothing of the client library in it: to send what that never would.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::certificate::{SERVER_NAME, self_signed};
use proto::signing::SecretKey;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// What the client shows in the handshake.
#[derive(Debug)]
pub enum Identity {
    /// No certificate.
    Nobody,
    /// The certificate of an Ed25519 key.
    Key(SecretKey),
    /// Any certificate, with its key in PKCS#8.
    Certificate(CertificateDer<'static>, Vec<u8>),
}

/// A channel with this identity. It dials when it is first used.
///
/// # Panics
/// When the identity cannot be used.
#[must_use]
pub fn channel(address: SocketAddr, identity: Identity) -> Channel {
    let connector = connector(identity);
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move { connect(address, &connector).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://vitrail").connect_with_connector_lazy(dial)
}

/// Whether the server goes on after the handshake: it then says the first word of HTTP/2.
///
/// In TLS 1.3 a client is done before the server has seen its certificate, so that a refusal
/// shows only in what comes next.
pub async fn is_let_in(address: SocketAddr, identity: Identity) -> bool {
    let Ok(mut stream) = connect(address, &connector(identity)).await else {
        return false;
    };
    let mut first = [0];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut first)).await;
    matches!(read, Ok(Ok(1)))
}

async fn connect(
    address: SocketAddr,
    connector: &TlsConnector,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    connector
        .connect(name, TcpStream::connect(address).await?)
        .await
}

fn connector(identity: Identity) -> TlsConnector {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyServer(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider as Arc<CryptoProvider>)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let pkcs8 = |der: Vec<u8>| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
    let mut config = match identity {
        Identity::Nobody => config.with_no_client_auth(),
        Identity::Key(key) => {
            let der = key.to_pkcs8_der().unwrap().to_vec();
            config
                .with_client_auth_cert(vec![self_signed(&key).unwrap()], pkcs8(der))
                .unwrap()
        }
        Identity::Certificate(certificate, der) => {
            // Not checked against each other here: that is what the server has to do.
            let key = ring::sign::any_supported_type(&pkcs8(der)).unwrap();
            config.with_client_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(
                vec![certificate],
                key,
            )))))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Takes any server for the right one: what is tested is the server's side.
#[derive(Debug)]
struct AnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Shows one certificate, whoever asks.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
