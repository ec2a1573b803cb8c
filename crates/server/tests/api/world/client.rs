use std::{fmt, net::SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, body::Bytes, header::HeaderValue, http::request::Builder};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much of a request is shown with a failed test.
const ASKED_BYTES_MAX: usize = 400;

/// An HTTP/1.1 client that checks in every answer what all answers must have.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub address: SocketAddr,
}

/// A request under construction.
pub struct Request {
    address: SocketAddr,
    builder: Builder,
    path: String,
    body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The request, for messages of failed tests.
    asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request {
            address: self.address,
            builder: hyper::Request::builder()
                .method(Method::from_bytes(method.as_bytes()).unwrap())
                .uri(path)
                .header("host", "trunkline.test"),
            path: path.to_owned(),
            body: Bytes::new(),
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path).json(body).send().await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.request("PUT", path).json(body).send().await
    }

    /// Sends these bytes unchanged, on a new connection.
    pub async fn begin(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes.as_ref()).await.unwrap();
        socket
    }
}

/// All that comes until the server closes the connection.
pub async fn read_to_end(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

impl Request {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.builder = self.builder.header(name, value);
        self
    }

    /// Replaces this header.
    pub fn replaced_header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.builder.headers_mut().unwrap().remove(name);
        self.header(name, value)
    }

    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub fn text(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    pub async fn send(self) -> Response {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        // It ends with the exchange; its errors show in the answer.
        tokio::spawn(async move { drop(connection.await) });
        let shown = self.body.get(..ASKED_BYTES_MAX).unwrap_or(&self.body);
        let asked = format!("{} {}", self.path, String::from_utf8_lossy(shown));
        let request = self.builder.body(Full::new(self.body)).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let response = Response {
            asked,
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        response.owes_what_all_owe(&self.path);
        response
    }
}

impl Response {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Expects a problem with this code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        assert_eq!(response.json()["code"], code, "{response}");
        response
    }

    /// Expects the request to be invalid at exactly these places.
    #[track_caller]
    pub fn expect_invalid(self, pointers: &[&str]) -> Self {
        let response = self.expect_problem(400, "invalid");
        assert_eq!(response.pointers(), pointers, "{response}");
        response
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The id of its message.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Seconds in `Retry-After`.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after").unwrap().parse().unwrap()
    }

    fn pointers(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let pointer = |error: &Value| error["pointer"].as_str().unwrap().to_owned();
        errors.iter().map(pointer).collect()
    }

    #[track_caller]
    fn owes_what_all_owe(&self, path: &str) {
        let request_id = self.header("x-request-id").unwrap();
        let passing = matches!(self.status, 429 | 503);
        assert_eq!(self.header("retry-after").is_some(), passing, "{self}");
        assert!(!passing || self.retry_after() >= 1, "{self}");
        if self.status < 400 {
            return;
        }
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self}"
        );
        let body = self.json();
        let code = body["code"].as_str().unwrap();
        assert!(
            code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{code}"
        );
        let given = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(given("title") && given("detail"), "{body}");
        let instance = path.split('?').next().unwrap();
        let expected = json!({
            "type": format!("urn:trunkline:problem:{code}"),
            "title": body["title"],
            "status": self.status,
            "detail": body["detail"],
            "instance": instance,
            "code": code,
            "request_id": request_id,
            "errors": body["errors"],
        });
        // Only `invalid` has `errors`.
        let mut shown = body.clone();
        if code == "invalid" {
            for error in body["errors"].as_array().unwrap() {
                assert!(
                    error["pointer"].is_string() && error["detail"].is_string(),
                    "{body}"
                );
                assert_eq!(error.as_object().unwrap().len(), 2, "{body}");
            }
        } else {
            assert!(shown.get("errors").is_none(), "{body}");
            shown["errors"] = Value::Null;
        }
        assert_eq!(shown, expected);
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{}\n{} {:?}\n{body}", self.asked, self.status, self.headers)
    }
}
