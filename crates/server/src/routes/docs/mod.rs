//! The description of the API, and a page to browse it. The page works without the internet, and its content security policy
//! allows requests to this node only.

use std::sync::Arc;

use axum::{
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{extract::PathId, openapi, problem::Problem};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// The files of Swagger UI that the page needs.
const READER_FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

/// The description of the API
///
/// This document. With `API_KEYS` set it needs a key. It is also `openapi.json` in the repository, and `trunkline openapi`
/// prints it.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getDescription", tag = "Operate",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(crate) async fn description() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, openapi::openapi()).into_response()
}

/// Browse the description of the API
///
/// A page that works without the internet. A browser sends no key: with `API_KEYS` set, read the repository's `openapi.json`,
/// or use a proxy that adds the key.
#[utoipa::path(
    get, path = "/docs", operation_id = "getDocs", tag = "Operate",
    responses((status = 200, description = "HTML.", body = String, content_type = "text/html; charset=utf-8")),
)]
pub(crate) async fn page() -> Response {
    serve(HTML, include_str!("page.html"))
}

/// A relative redirect, which also works behind a proxy that adds a prefix to all paths.
pub(crate) async fn without_slash() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "../docs")]).into_response()
}

pub(crate) async fn file(name: PathId) -> Result<Response, Problem> {
    let missing = || Problem::no_such_route("");
    let Path(name) = name.map_err(|_| missing())?;
    if name == "start.js" {
        return Ok(serve(JAVASCRIPT, include_str!("start.js")));
    }
    let known = READER_FILES.contains(&name.as_str());
    let found = known.then(|| utoipa_swagger_ui::serve(&name, Arc::default()));
    match found {
        Some(Ok(Some(file))) => Ok(serve(&file.content_type, file.bytes.into_owned())),
        _ => Err(missing()),
    }
}

fn serve(content_type: &str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}
