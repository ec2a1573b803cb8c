//! TLS to the server, as the URL asks for it. `sslmode` and `sslrootcert` mean the same as in PostgreSQL's own client
//! library, but for one safer difference: a failed handshake is an error, never a reason to continue in plain text.

use std::{io, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{self, CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres::{Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::hosts::{FORM, in_full};

/// The value of `sslrootcert` for the certificates that this machine trusts.
const SYSTEM: &str = "system";

/// The parameters of a URL that are about TLS, and the rest of the URL.
#[derive(Debug)]
pub(super) struct TlsParameters {
    /// The URL without `sslmode` and `sslrootcert`, whose values its parser does not know in full.
    pub(super) url: String,
    mode: Mode,
    root: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsParameters {
    /// Takes `sslmode` and `sslrootcert` out of a URL.
    ///
    /// # Errors
    /// When a parameter is unknown or its value is not valid. The text names it and quotes nothing else of the URL.
    pub(super) fn take(url: &str) -> Result<Self, String> {
        // A password may contain a question mark.
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
                _ => {
                    check(parameter, query)?;
                    others.push(parameter);
                }
            }
        }
        let system = root.as_deref() == Some(SYSTEM);
        let mode = mode.unwrap_or(if system { Mode::VerifyFull } else { Mode::Prefer });
        match mode {
            // Any holder of a certificate from a public authority would pass.
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

    /// The mode in the client library's terms.
    pub(super) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let verifier = self.verifier()?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    /// Reads the root certificates if the mode needs them. They are read once.
    fn verifier(&self) -> Result<Verifier, String> {
        let roots = match (self.mode, self.root.as_deref()) {
            (Mode::Disable, _) | (Mode::Prefer | Mode::Require, None) => None,
            (_, None | Some(SYSTEM)) => Some(roots_of_this_machine()?),
            (_, Some(path)) => {
                Some(roots_in(path).map_err(|reason| format!("sslrootcert: {path}: {reason}"))?)
            }
        };
        Ok(Verifier {
            roots,
            checks_name: self.mode == Mode::VerifyFull,
            provider: Arc::new(ring::default_provider()),
        })
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

/// Checks a parameter that is not about TLS by a URL of its own, so that the error can name it.
fn check(parameter: &str, query: &str) -> Result<(), String> {
    let Err(error) = format!("postgres://h/d?{parameter}").parse::<Config>() else {
        return Ok(());
    };
    let name = parameter.split('=').next().unwrap_or_default();
    // With an @ after the ?, this may be the rest of a password that was not encoded.
    if query.contains('@') || !name.chars().all(|one| matches!(one, 'a'..='z' | '0'..='9' | '_')) {
        return Err(format!("a parameter after the ? is unknown; {FORM}"));
    }
    if !in_full(&error).contains("unknown option") {
        return Err(format!("the value of {name} is not valid"));
    }
    let hint = if name.contains("ssl") {
        "; TLS is set by sslmode and sslrootcert"
    } else {
        ""
    };
    Err(format!("unknown parameter {name}: leave it out{hint}"))
}

/// Trusted certificates.
#[derive(Debug)]
struct Roots {
    anchors: RootCertStore,
    /// The certificates of the file in `sslrootcert`.
    certificates: Vec<CertificateDer<'static>>,
}

fn roots_in(path: &str) -> Result<Roots, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = Roots {
        anchors: RootCertStore::empty(),
        certificates: Vec::new(),
    };
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let not_pem = |reason: String| format!("not a certificate in PEM form: {reason}");
        let certificate = certificate.map_err(|error| not_pem(error.to_string()))?;
        let added = roots.anchors.add(certificate.clone());
        added.map_err(|error| not_pem(error.to_string()))?;
        roots.certificates.push(certificate);
    }
    if roots.certificates.is_empty() {
        return Err("it contains no certificate in PEM form".to_owned());
    }
    Ok(roots)
}

fn roots_of_this_machine() -> Result<Roots, String> {
    let mut anchors = RootCertStore::empty();
    // Some operating systems keep certificates that cannot be parsed. These are not trusted.
    anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if anchors.is_empty() {
        return Err(
            "this machine has no trusted certificates: install them, or name a file with sslrootcert"
                .to_owned(),
        );
    }
    let certificates = Vec::new();
    Ok(Roots {
        anchors,
        certificates,
    })
}

/// Verifies a server's certificate as far as `sslmode` asks for it. A server must always hold the key of its certificate.
#[derive(Debug)]
struct Verifier {
    /// `None` accepts every certificate.
    roots: Option<Roots>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            let anchors = &roots.anchors;
            match verify_server_cert_signed_by_trust_anchor(
                &certificate,
                anchors,
                intermediates,
                now,
                algorithms,
            ) {
                // A certificate by `openssl req -x509` is its own authority. It is trusted if `sslrootcert` has exactly
                // this certificate. webpki checks the dates before it returns this error.
                Err(error) if is_authority(&error) && roots.certificates.contains(end_entity) => {}
                verified => verified?,
            }
            if self.checks_name {
                verify_server_name(&certificate, name)?;
            }
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

/// Whether the refused certificate belongs to an authority instead of a server.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
        return false;
    };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The reason of a failed handshake and what to do, if the server's certificate is the cause.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = error
        .downcast_ref::<io::Error>()?
        .get_ref()?
        .downcast_ref::<Error>()?;
    let Error::InvalidCertificate(reason) = error else {
        return None;
    };
    Some(match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clocks of both machines".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is not issued by a trusted authority: name the authority's certificate with \
             sslrootcert=FILE"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another host name: connect to a name that it contains, or set \
             sslmode=verify-ca with sslrootcert=FILE"
                .to_owned()
        }
        _ if is_authority(error) => {
            "the server's certificate is that of an authority: name exactly this certificate with sslrootcert=FILE, or \
             give the server a certificate of its own"
                .to_owned()
        }
        reason => format!("the server's certificate is not valid: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tls_parameters_are_taken_out_and_the_rest_stays() {
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
            let taken = TlsParameters::take(url).unwrap();
            assert_eq!(
                (&*taken.url, taken.mode, taken.root.as_deref()),
                (rest, mode, root),
                "{url}"
            );
        }
    }

    #[test]
    fn invalid_parameters_are_named_and_nothing_else_is_quoted() {
        for (query, named) in [
            ("sslmode=on", "verify-full"),
            ("sslmode=", "disable"),
            ("sslmode=allow", "prefer"),
            ("sslmode=verify-ca", "sslrootcert=FILE"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("sslrootcert=%ff", "UTF-8"),
        ] {
            let error = TlsParameters::take(&format!("postgres://u:open-sesame@h/d?{query}")).unwrap_err();
            assert!(error.contains(named), "{query}: {error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }

    #[test]
    fn a_root_that_cannot_be_read_is_named() {
        let connector = |path: &str| {
            let url = format!("postgres://u:open-sesame@h/d?sslmode=verify-full&sslrootcert={path}");
            TlsParameters::take(&url)
                .unwrap()
                .connector()
                .map(drop)
                .unwrap_err()
        };
        assert!(connector("/nowhere/root.crt").starts_with("sslrootcert: /nowhere/root.crt: "));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(connector(path).ends_with("it contains no certificate in PEM form"));
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

    /// The certificate of a server.
    struct Server {
        host: &'static str,
        /// Whether it may issue other certificates, as `openssl req -x509` allows.
        authority: bool,
        /// The first and the last year in which it is valid.
        years: (i32, i32),
    }

    impl Server {
        fn certificate(&self) -> rcgen::Certificate {
            let mut parameters = rcgen::CertificateParams::new([self.host.to_owned()]).unwrap();
            if self.authority {
                parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }
            parameters.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
            parameters
                .self_signed(&rcgen::KeyPair::generate().unwrap())
                .unwrap()
        }
    }

    /// Presents `server` to a client that trusts `root`, in 2026.
    fn verify(server: &rcgen::Certificate, root: &rcgen::Certificate, mode: &str) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), root.pem()).unwrap();
        let url = format!(
            "postgres://h/d?sslmode={mode}&sslrootcert={}",
            file.path().display()
        );
        let name = ServerName::try_from("db.example").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_780_000_000));
        let verifier = TlsParameters::take(&url).unwrap().verifier().unwrap();
        let verified = verifier.verify_server_cert(server.der(), &[], &name, &[], now);
        verified
            .map(drop)
            .map_err(|error| explain(&io::Error::other(error)).unwrap())
    }

    #[test]
    fn a_self_signed_certificate_is_its_own_root_and_every_refusal_says_what_to_do() {
        const YEARS: (i32, i32) = (2020, 2100);
        for (host, authority, years, mode, refusal) in [
            ("db.example", true, YEARS, "verify-full", None),
            ("db.example", false, YEARS, "verify-full", None),
            ("other.example", true, YEARS, "verify-ca", None),
            (
                "other.example",
                true,
                YEARS,
                "verify-full",
                Some("for another host name: connect to"),
            ),
            (
                "other.example",
                false,
                YEARS,
                "verify-full",
                Some("for another host name: connect to"),
            ),
            (
                "db.example",
                true,
                (2020, 2021),
                "require",
                Some("has expired: renew it"),
            ),
            (
                "db.example",
                false,
                (2020, 2021),
                "require",
                Some("has expired: renew it"),
            ),
            (
                "db.example",
                true,
                (2090, 2100),
                "verify-ca",
                Some("not valid yet: check the clocks"),
            ),
        ] {
            let certificate = Server {
                host,
                authority,
                years,
            }
            .certificate();
            let verified = verify(&certificate, &certificate, mode);
            match refusal {
                None => assert_eq!(verified, Ok(()), "{host} {authority} {years:?} {mode}"),
                Some(text) => assert!(
                    verified.as_ref().unwrap_err().contains(text),
                    "{mode}: {verified:?}"
                ),
            }
        }
    }

    #[test]
    fn only_the_named_self_signed_certificate_is_trusted() {
        let certificate = |authority| {
            Server {
                host: "db.example",
                authority,
                years: (2020, 2100),
            }
            .certificate()
        };
        for (authority, text) in [
            (false, "not issued by a trusted authority: name"),
            (true, "that of an authority: name exactly this"),
        ] {
            let refused = verify(&certificate(authority), &certificate(true), "verify-ca").unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
