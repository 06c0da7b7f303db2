use std::net::SocketAddr;

use proto::certificate::SERVER_NAME;
use rustls::ClientConfig;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

use super::*;
use crate::metrics::Metrics;

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

type Incoming = ReceiverStream<std::io::Result<PeerStream>>;

/// A listener whose node knows the key of seed 2, and no other.
async fn listen() -> (SocketAddr, Incoming, Arc<Metrics>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server_config(&secret(1)).unwrap());
    let metrics = Arc::new(Metrics::new());
    let is_known: IsKnown = Arc::new(|key| *key == secret(2).public());
    (
        address,
        accept(listener, acceptor, is_known, metrics.clone()),
        metrics,
    )
}

/// Believes every server: the client's side is not under test here.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Whose certificate a client shows, and whose key it signs the handshake with.
#[derive(Clone, Copy)]
struct Shown {
    certificate: u8,
    key: u8,
}

fn client(shown: Option<Shown>) -> ClientConfig {
    let Some(Shown { certificate, key }) = shown else {
        return with_identity(None);
    };
    with_identity(Some((
        self_signed(&secret(certificate)).unwrap(),
        &secret(key),
    )))
}

fn with_identity(identity: Option<(CertificateDer<'static>, &SecretKey)>) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, secret)) => {
            let der = PrivateKeyDer::Pkcs8(secret.to_pkcs8_der().unwrap().to_vec().into());
            let signing = ring::sign::any_supported_type(&der).unwrap();
            let certified = rustls::sign::CertifiedKey::new(vec![certificate], signing);
            let resolver = rustls::sign::SingleCertAndKey::from(certified);
            config.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// A client that shows the certificate of this key, for tests of what lies behind TLS.
pub(crate) fn test_client(secret: &SecretKey) -> ClientConfig {
    with_identity(Some((self_signed(secret).unwrap(), secret)))
}

pub(crate) async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// Whether the server let the client in: in TLS 1.3 a client learns that only when it reads.
async fn is_let_in(address: SocketAddr, config: ClientConfig, incoming: &mut Incoming) -> bool {
    let Ok(mut stream) = connect(address, config).await else {
        return false;
    };
    let mut byte = [0];
    tokio::select! {
        accepted = incoming.next() => accepted.unwrap().is_ok(),
        read = stream.read(&mut byte) => { assert!(read.is_err() || read.unwrap() == 0); false }
    }
}

const TILL: Shown = Shown {
    certificate: 2,
    key: 2,
};
const STRANGER: Shown = Shown {
    certificate: 3,
    key: 3,
};

#[tokio::test]
async fn a_connection_carries_the_key_of_its_certificate() {
    let (address, mut incoming, metrics) = listen().await;
    let mut till = connect(address, client(Some(TILL))).await.unwrap();
    let mut accepted = incoming.next().await.unwrap().unwrap();
    let here = Some(std::net::Ipv4Addr::LOCALHOST.into());
    assert_eq!(accepted.connect_info(), PeerKey(secret(2).public(), here));
    assert_eq!(till.get_ref().1.alpn_protocol(), Some(ALPN));
    till.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    accepted.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    assert_eq!(metrics.connections(), 1);
    drop(accepted);
    assert_eq!(metrics.connections(), 0);
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let (address, mut incoming, _) = listen().await;
    assert!(!is_let_in(address, client(None), &mut incoming).await);
    assert!(is_let_in(address, client(Some(TILL)), &mut incoming).await);
}

#[tokio::test]
async fn with_the_certificate_of_another_key_nobody_gets_in() {
    let (address, mut incoming, _) = listen().await;
    let stolen = Shown {
        certificate: 2,
        key: 3,
    };
    assert!(!is_let_in(address, client(Some(stolen)), &mut incoming).await);
}

#[tokio::test]
async fn a_broken_handshake_does_not_stop_the_others() {
    let (address, mut incoming, _) = listen().await;
    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _silent = TcpStream::connect(address).await.unwrap();
    drop(TcpStream::connect(address).await.unwrap());
    assert!(is_let_in(address, client(Some(TILL)), &mut incoming).await);
}

#[tokio::test]
async fn strangers_have_few_places_and_take_none_from_tills() {
    let (address, mut incoming, _) = listen().await;
    let mut held = Vec::new();
    for _ in 0..STRANGERS_MAX {
        let stranger = connect(address, client(Some(STRANGER))).await.unwrap();
        held.push((stranger, incoming.next().await.unwrap().unwrap()));
    }
    assert!(!is_let_in(address, client(Some(STRANGER)), &mut incoming).await);
    assert!(is_let_in(address, client(Some(TILL)), &mut incoming).await);
    held.pop();
    assert!(is_let_in(address, client(Some(STRANGER)), &mut incoming).await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_is_broken_off() {
    let (address, _incoming, metrics) = listen().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    assert_eq!(silent.read(&mut byte).await.unwrap(), 0);
    assert_eq!(metrics.refused_connections(), 1);
}
