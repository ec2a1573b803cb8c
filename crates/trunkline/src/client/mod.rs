//! The API's client for the commands that use a running service. It never repeats a request: only the caller knows which one
//! may be repeated.

mod answer;
mod stream;

use std::{env, fmt, io, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgMatches};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
    http::request,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::Value;
use thiserror::Error;
use url::Url;

pub(crate) use answer::{ApiAnswer, ApiRefusal};
pub(crate) use stream::EventStream;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// Not `API_*`: those are settings of the service.
const URL_VARIABLE: &str = "TRUNKLINE_URL";
const KEY_VARIABLE: &str = "TRUNKLINE_API_KEY";

/// How long an answer may take. The service promises two seconds.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer. The largest page of messages is smaller.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// A service, and the key for its API.
pub(crate) struct Api {
    base: Url,
    key: Option<HeaderValue>,
    http: Http,
}

pub(crate) type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The answer to [`Api::follow`].
pub(crate) enum Followed {
    Stream(EventStream),
    Refused(Box<ApiRefusal>),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    /// The request was not sent.
    #[error(
        "cannot reach {url}: {reason}. Start a service with `trunkline`, or name another with --url or {URL_VARIABLE}"
    )]
    NotReached { url: String, reason: String },
    /// The service may or may not have carried out the request.
    #[error("no answer from {url}: {reason}")]
    Lost { url: String, reason: String },
}

/// The flags that say where the service is.
pub(crate) fn flags() -> [Arg; 2] {
    let url = Arg::new("url").long("url").value_name("URL").help(format!(
        "URL of the service [{URL_VARIABLE}, default: {DEFAULT_URL}]"
    ));
    let key = Arg::new("api-key")
        .long("api-key")
        .value_name("KEY")
        .help(format!(
            "API key [{KEY_VARIABLE}, which hides it from other users of this machine]"
        ));
    [url, key]
}

impl Api {
    /// The service that the flags or the environment name.
    pub(crate) fn named(arguments: &ArgMatches) -> anyhow::Result<Self> {
        let url = given(arguments, "url", URL_VARIABLE)?.unwrap_or_else(|| DEFAULT_URL.to_owned());
        let key = given(arguments, "api-key", KEY_VARIABLE)?;
        let base: Url = url
            .parse()
            .ok()
            .filter(|base: &Url| ["http", "https"].contains(&base.scheme()) && base.has_host())
            .with_context(|| format!("--url: use a URL such as {DEFAULT_URL}"))?;
        let key = key
            .map(|key| {
                let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                    .context("--api-key: use visible ASCII characters")?;
                value.set_sensitive(true);
                anyhow::Ok(value)
            })
            .transpose()?;
        let http = http(&base)?;
        Ok(Self { base, key, http })
    }

    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<ApiAnswer, Unanswered> {
        self.ask(Method::GET, path, query, None, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<ApiAnswer, Unanswered> {
        self.ask(Method::PUT, path, &[], None, Some(body)).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        key: Option<&HeaderValue>,
        body: &Value,
    ) -> Result<ApiAnswer, Unanswered> {
        self.ask(Method::POST, path, &[], key, Some(body)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        idempotency_key: Option<&HeaderValue>,
        body: Option<&Value>,
    ) -> Result<ApiAnswer, Unanswered> {
        let mut request = self.request(method, path, query);
        if let Some(key) = idempotency_key {
            request = request.header(HeaderName::from_static("idempotency-key"), key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.not_reached(error.to_string()))?;
        tokio::time::timeout(ANSWER_MAX, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(self.lost(format!("it took longer than {ANSWER_MAX:?}"))))
    }

    /// Follows the events after a cursor, or those from now on; only those of some types if `types` names any.
    pub(crate) async fn follow(&self, after: Option<&str>, types: &[String]) -> Result<Followed, Unanswered> {
        let types = Some(types.join(",")).filter(|types| !types.is_empty());
        let query = [("after", after.map(str::to_owned)), ("type", types)];
        let query: Vec<(&str, String)> = query
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let request = self
            .request(Method::GET, "/api/events/stream", &query)
            .header(ACCEPT, "text/event-stream")
            .body(Full::default())
            .map_err(|error| self.not_reached(error.to_string()))?;
        let begins = async {
            let response = self.send(request).await?;
            if response.status().is_success() {
                let stream = EventStream::new(self.url().to_owned(), response.into_body());
                return Ok(Followed::Stream(stream));
            }
            let refused = self.read(response).await?.done().err();
            refused
                .map(Followed::Refused)
                .ok_or_else(|| self.lost("it sends no stream".to_owned()))
        };
        let begun = tokio::time::timeout(ANSWER_MAX, begins).await;
        begun.unwrap_or_else(|_| Err(self.lost(format!("it took longer than {ANSWER_MAX:?}"))))
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> request::Builder {
        let mut url = self.base.clone();
        // The service may be mounted below a path.
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(USER_AGENT, concat!("trunkline/", env!("CARGO_PKG_VERSION")));
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, key),
            None => request,
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<ApiAnswer, Unanswered> {
        let response = self.send(request).await?;
        self.read(response).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unanswered> {
        self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                self.not_reached(root_cause(&error))
            } else {
                self.lost(root_cause(&error))
            }
        })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<ApiAnswer, Unanswered> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.lost(error.to_string()))?.to_bytes();
        Ok(ApiAnswer::of(head.status, &head.headers, &body))
    }

    fn not_reached(&self, reason: String) -> Unanswered {
        let url = self.url().to_owned();
        Unanswered::NotReached { url, reason }
    }

    fn lost(&self, reason: String) -> Unanswered {
        let url = self.url().to_owned();
        Unanswered::Lost { url, reason }
    }
}

/// Hides the key.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.url())
    }
}

fn given(arguments: &ArgMatches, flag: &str, variable: &str) -> anyhow::Result<Option<String>> {
    if let Some(value) = arguments.get_one::<String>(flag) {
        return Ok(Some(value.clone()));
    }
    match env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => bail!("{variable}: use UTF-8"),
    }
}

/// A client for one URL.
pub(crate) fn http(base: &Url) -> anyhow::Result<Http> {
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls(base)?);
    Ok(legacy::Client::builder(TokioExecutor::new())
        // It would repeat requests.
        .retry_canceled_requests(false)
        .build(tls.https_or_http().enable_http1().build()))
}

/// Trusts the machine's certificate authorities, and those of SSL_CERT_FILE. They are loaded for https only: some machines
/// have none.
fn tls(base: &Url) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if base.scheme() == "https" {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let reason = Some(reasons.join(", ")).filter(|reason| !reason.is_empty());
            return Err(anyhow!(
                "this machine has no certificate authorities for https ({}): install them (Debian: ca-certificates), or set SSL_CERT_FILE",
                reason.as_deref().unwrap_or("none were found")
            ));
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls)
}

/// The innermost error: the outer ones only say that something failed.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there".to_owned()
        }
        _ => cause.to_string(),
    }
}
