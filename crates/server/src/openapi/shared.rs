//! Parameters, headers and problems that operations share.

use serde_json::{Map, Value, json};

use super::problems::{self, PROBLEM_JSON};
use crate::problem::Code;

/// Adds what is shared to every operation.
pub(super) fn add(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "api_key": {"type": "http", "scheme": "bearer", "description": "One of the keys in `API_KEYS`."},
    });
    document["components"]["headers"] = headers();
    document["components"]["parameters"] = parameters();
    for (path, item) in objects(&mut document["paths"]) {
        for (_, operation) in objects(item) {
            add_parameter(operation, "RequestId");
            add_problems(path, operation);
            add_headers(operation);
        }
    }
    share_problems(document);
}

/// Moves problems into the components: most operations have the same ones.
fn share_problems(document: &mut Value) {
    let mut shared = Map::new();
    for (_, item) in objects(&mut document["paths"]) {
        for (_, operation) in objects(item) {
            let sends = is_send(operation);
            for (_, response) in objects(&mut operation["responses"]) {
                let content = &response["content"][PROBLEM_JSON]["examples"];
                let Some(codes) = content.as_object() else {
                    continue;
                };
                let codes: Vec<&str> = codes.keys().map(String::as_str).collect();
                let whose = if sends { ".send" } else { "" };
                let name = format!("{}{whose}", codes.join("."));
                let reference = json!({"$ref": format!("#/components/responses/{name}")});
                shared.insert(name, std::mem::replace(response, reference));
            }
        }
    }
    document["components"]["responses"] = Value::Object(shared);
}

fn is_send(operation: &Value) -> bool {
    operation["tags"][0] == "Send"
}

fn add_problems(path: &str, operation: &mut Value) {
    let mut codes = vec![
        Code::Invalid,
        Code::Misdirected,
        Code::HeadersTooLarge,
        Code::Internal,
    ];
    if path != "/healthz" {
        codes.extend([Code::Overloaded, Code::Starting]);
    }
    if operation.get("security").is_none() {
        codes.push(Code::Unauthorized);
    }
    let shared = problems::responses(&codes);
    let Value::Object(responses) = &mut operation["responses"] else {
        return;
    };
    for (status, response) in shared {
        // The route's own problems of a status are more exact.
        if !responses.contains_key(&status) {
            responses.insert(status, serde_json::to_value(response).unwrap_or_default());
        }
    }
}

fn add_headers(operation: &mut Value) {
    let sends = is_send(operation);
    for (status, response) in objects(&mut operation["responses"]) {
        let mut names = vec!["X-Request-Id"];
        match status {
            "401" => names.push("WWW-Authenticate"),
            "429" | "503" => names.push("Retry-After"),
            _ => {}
        }
        // These are decided before the limits are checked.
        if sends && !matches!(status, "401" | "421" | "431") {
            names.extend(["RateLimit", "RateLimit-Policy"]);
        }
        for name in names {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

fn add_parameter(operation: &mut Value, name: &str) {
    let reference = json!({"$ref": format!("#/components/parameters/{name}")});
    match &mut operation["parameters"] {
        Value::Array(parameters) => parameters.push(reference),
        none => *none = json!([reference]),
    }
}

fn parameters() -> Value {
    json!({
        "RequestId": {
            "name": "X-Request-Id", "in": "header",
            "description": "An id for this request, echoed and logged: 1 to 128 letters, digits and `-_.:/+=`. Anything \
                            else is replaced by a new one.",
            "schema": {"type": "string"}, "example": "order-17:retry",
        },
    })
}

fn headers() -> Value {
    let seconds = json!({"type": "integer", "minimum": 1});
    json!({
        "X-Request-Id": {
            "description": "The id of this request: the given one, or a new one.", "required": true,
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:/+=-]{1,128}$"}, "example": "8a6e0804f2c1d3b7",
        },
        "Retry-After": {
            "description": "Seconds until the next try.", "required": true, "schema": seconds,
            "example": 1,
        },
        "WWW-Authenticate": {
            "description": "How to authenticate.", "required": true,
            "schema": {"type": "string", "enum": ["Bearer"]},
        },
        "RateLimit-Policy": {
            "description": "The limits: `q` requests in `w` seconds, for a sender and for a client address.",
            "schema": {"type": "string"}, "example": "\"sender\";q=60;w=60, \"ip\";q=120;w=60",
        },
        "RateLimit": {
            "description": "What is left of the limits: `r` requests, one more in `t` seconds. The sender's limit appears once the sender is known.",
            "schema": {"type": "string"}, "example": "\"ip\";r=119;t=1, \"sender\";r=59;t=1",
        },
    })
}

/// The members, if it is an object.
fn objects(value: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let members: Option<&mut Map<String, Value>> = value.as_object_mut();
    members
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}
