use std::{fmt, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header,
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// How long a client waits by default. The service answers within 2 s, also during faults.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the API that keeps its connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The connection was refused, so the request was not sent.
    NotConnected(String),
    CutOff(String),
    TooLate(Duration),
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new() -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            // The test decides what is sent again.
            .retry_canceled_requests(false)
            .build_http();
        Self {
            http,
            timeout: TIMEOUT,
        }
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The head of an answer, and its body to be read as it comes.
    pub(crate) async fn open(
        &self,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, NoAnswer> {
        let mut request = Request::get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).unwrap();
        let in_time = tokio::time::timeout(self.timeout, self.http.request(request)).await;
        in_time
            .unwrap_or_else(|_| panic!("no head within {:?}", self.timeout))
            .map_err(NoAnswer::of)
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(url);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let exchange = async {
            let response = self.http.request(request).await.map_err(NoAnswer::of)?;
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| NoAnswer::CutOff(error.to_string()))?
                .to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        let in_time = tokio::time::timeout(self.timeout, exchange).await;
        in_time.unwrap_or(Err(NoAnswer::TooLate(self.timeout)))
    }
}

impl NoAnswer {
    fn of(error: legacy::Error) -> Self {
        if error.is_connect() {
            Self::NotConnected(error.to_string())
        } else {
            Self::CutOff(error.to_string())
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(error) | Self::CutOff(error) => f.write_str(error),
            Self::TooLate(timeout) => write!(f, "no answer within {timeout:?}"),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem's code; empty where there is none.
    pub(crate) fn code(&self) -> String {
        let json = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        json["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The body, once the status is the expected one.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The problem's code, once the answer is a problem of the expected status.
    pub(crate) fn expect_problem(self, status: u16) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.status
        );
        text(&self.expect(status)["code"])
    }
}

/// A field that is text.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
