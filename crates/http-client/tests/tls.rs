//! HTTPS: the certificate must be trusted and for the host of the URL.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use trunkline_http_client::{AllowedNetworks, Client, ClientError, ClientSettings, SystemResolver, Target};

#[tokio::test]
async fn only_a_trusted_certificate_for_the_host_is_accepted() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = signed.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    for (roots, host, expected) in [
        (roots.clone(), "localhost", Ok(204)),
        (roots, "127.0.0.1", Err(ClientError::Tls)),
        (RootCertStore::empty(), "localhost", Err(ClientError::Tls)),
    ] {
        let settings = ClientSettings {
            networks: AllowedNetworks::loopback(),
            idle_max: 1,
            idle_for: Duration::from_secs(1),
            answer_bytes_max: 1_024,
        };
        let client = Client::trusting(roots, settings, Arc::new(SystemResolver));
        let target = Target::parse(&format!("https://{host}:{port}/")).unwrap();
        let within = Duration::from_secs(5);
        let called = client.call(Method::POST, target, HeaderMap::new(), Bytes::new(), within);
        assert_eq!(
            called.await.map(|answer| answer.status.as_u16()),
            expected,
            "{host}"
        );
    }
}
