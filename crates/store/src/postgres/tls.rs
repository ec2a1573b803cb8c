//! TLS to the server, as far as the URL asks for it. `sslmode` and `sslrootcert` mean what they mean to PostgreSQL's own
//! client library, with one difference to the safe side: a handshake that fails is an error, never a reason to go on in
//! plain text.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{self, CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    config::SslMode,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// The value of `sslrootcert` that means the certificates this machine trusts.
const SYSTEM: &str = "system";

/// What the client library of PostgreSQL also knows and we do not. Ignoring it would be less safe than it looks.
const UNSUPPORTED: [&str; 10] = [
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "requiressl",
];

/// What a URL says about TLS, and the rest of the URL.
#[derive(Debug)]
pub(super) struct Parameters {
    /// The URL without our two parameters, which its parser does not know in full.
    pub(super) url: String,
    mode: Mode,
    root: Option<String>,
}

/// The values of `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Parameters {
    /// Takes `sslmode` and `sslrootcert` out of a URL.
    ///
    /// # Errors
    /// When they make no sense, with a message that quotes nothing else of the URL.
    pub(super) fn take(url: &str) -> Result<Self, String> {
        // A password may hold a question mark.
        let host = url.find('@').unwrap_or_default();
        let (rest, query) = match url[host..].find('?') {
            Some(mark) => (&url[..host + mark], &url[host + mark + 1..]),
            None => (url, ""),
        };
        let (mut mode, mut root, mut others) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(Mode::parse(&decode(value)?)?),
                Some(("sslrootcert", value)) => {
                    root = Some(decode(value)?).filter(|path| !path.is_empty());
                }
                Some((name, _)) if let Some(name) = UNSUPPORTED.iter().find(|known| **known == name) => {
                    return Err(format!("{name} is not supported; sslmode and sslrootcert are"));
                }
                _ => others.push(parameter),
            }
        }
        let system = root.as_deref() == Some(SYSTEM);
        let mode = mode.unwrap_or(if system { Mode::VerifyFull } else { Mode::Prefer });
        match mode {
            // Whoever has a certificate of any public authority would pass.
            Mode::Disable | Mode::Prefer | Mode::Require | Mode::VerifyCa if system => {
                return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            Mode::VerifyCa if root.is_none() => {
                return Err(
                    "sslmode=verify-ca needs sslrootcert=FILE: without a host name to compare, the \
                            certificates this machine trusts prove nothing"
                        .to_owned(),
                );
            }
            _ => {}
        }
        let separator = if others.is_empty() { "" } else { "?" };
        Ok(Self {
            url: format!("{rest}{separator}{}", others.join("&")),
            mode,
            root,
        })
    }

    /// What the client library has to know of the mode.
    pub(super) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Reads the root certificates, if they are needed. They are not read again.
    ///
    /// # Errors
    /// When there are none to be had.
    pub(super) fn connector(&self) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let roots = match (self.mode, self.root.as_deref()) {
            (Mode::Disable, _) | (Mode::Prefer | Mode::Require, None) => None,
            (_, None | Some(SYSTEM)) => Some(roots_of_this_machine()?),
            (_, Some(path)) => {
                Some(roots_in(path).map_err(|reason| format!("sslrootcert: {path}: {reason}"))?)
            }
        };
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            Some(roots) if self.mode == Mode::VerifyFull => {
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| format!("sslrootcert: {error}"))?
            }
            roots => Arc::new(AnyName {
                roots,
                provider: Arc::clone(&provider),
            }),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }
}

impl Mode {
    fn parse(word: &str) -> Result<Self, String> {
        match word {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err("sslmode must be disable, prefer, require, verify-ca or verify-full".to_owned()),
        }
    }
}

fn decode(value: &str) -> Result<String, String> {
    let decoded = percent_decode_str(value).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| "sslmode and sslrootcert must be UTF-8".to_owned())
}

fn roots_in(path: &str) -> Result<RootCertStore, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|reason| format!("not a certificate in PEM form: {reason}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in PEM form in it".to_owned());
    }
    Ok(roots)
}

fn roots_of_this_machine() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Stores of operating systems hold oddities: what cannot be read is not trusted, and that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            "this machine has no certificates it trusts: install them, or name a file with sslrootcert"
                .to_owned(),
        );
    }
    Ok(roots)
}

/// Takes a certificate of any name: one that leads to the roots, or with no roots any at all. That the server holds the
/// certificate's key is checked always.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Makes the connections of a pool encrypted ones.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// A connection about to be encrypted.
pub(super) struct Handshake {
    connector: TlsConnector,
    host: String,
}

/// An encrypted connection.
pub(super) struct Encrypted(client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, io::Error> {
        Ok(Handshake {
            connector: self.0.clone(),
            // Looked at only when it comes to a handshake: a socket file has no name.
            host: host.to_owned(),
        })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            self.connector.connect(name, socket).await.map(Encrypted)
        })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_taken_out_and_the_rest_stays() {
        let cases = [
            ("postgres://h/d", "postgres://h/d", Mode::Prefer, None),
            (
                "postgres://h/d?sslmode=disable",
                "postgres://h/d",
                Mode::Disable,
                None,
            ),
            (
                "postgres://u:a?b&sslmode=x@h/d?connect_timeout=3&sslmode=require&keepalives=1",
                "postgres://u:a?b&sslmode=x@h/d?connect_timeout=3&keepalives=1",
                Mode::Require,
                None,
            ),
            (
                "postgres://h/d?sslrootcert=%2Fetc%2Froot.crt&sslmode=verify-ca",
                "postgres://h/d",
                Mode::VerifyCa,
                Some("/etc/root.crt"),
            ),
            (
                "postgres://h/d?sslmode=verify-full&sslrootcert=",
                "postgres://h/d",
                Mode::VerifyFull,
                None,
            ),
            (
                "postgres://h/d?sslrootcert=system",
                "postgres://h/d",
                Mode::VerifyFull,
                Some("system"),
            ),
        ];
        for (url, rest, mode, root) in cases {
            let taken = Parameters::take(url).unwrap();
            assert_eq!(
                (&*taken.url, taken.mode, taken.root.as_deref()),
                (rest, mode, root),
                "{url}"
            );
        }
    }

    #[test]
    fn nonsense_is_named_and_nothing_else_is_quoted() {
        for (query, named) in [
            ("sslmode=on", "verify-full"),
            ("sslmode=", "disable"),
            ("sslmode=allow", "prefer"),
            ("sslmode=verify-ca", "sslrootcert=FILE"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("sslrootcert=%ff", "UTF-8"),
            ("sslkey=client.key", "sslkey"),
        ] {
            let error = Parameters::take(&format!("postgres://u:open-sesame@h/d?{query}")).unwrap_err();
            assert!(error.contains(named), "{query}: {error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }

    #[test]
    fn a_root_that_cannot_be_had_is_told() {
        let connector = |path: &str| {
            let url = format!("postgres://u:open-sesame@h/d?sslmode=verify-full&sslrootcert={path}");
            Parameters::take(&url).unwrap().connector().map(drop).unwrap_err()
        };
        assert!(connector("/nowhere/root.crt").starts_with("sslrootcert: /nowhere/root.crt: "));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(connector(path).ends_with("there is no certificate in PEM form in it"));
        std::fs::write(
            path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(
            connector(path).contains("not a certificate"),
            "{}",
            connector(path)
        );
    }
}
