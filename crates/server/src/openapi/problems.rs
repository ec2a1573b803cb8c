//! The schema of problems, and which of them a route answers with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        Content, Ref, RefOr,
        content::ContentBuilder,
        example::ExampleBuilder,
        response::{Response, ResponseBuilder},
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::problem::Code;

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The problems of a group of routes, besides those of every route.
macro_rules! problems {
    ($( $(#[$meta:meta])* $name:ident = $($code:ident)+; )+) => {
        $(
            $(#[$meta])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses(&[$(Code::$code),+])
                }
            }
        )+
    };
}

problems! {
    /// Routes that send.
    SendErrors = Invalid RequestTimeout BodyTooLarge UnsupportedMediaType IdempotencyKeyReused RateLimited NoProvider
        Internal Overloaded StoreUnavailable OutcomeUnknown Starting;
    /// Webhooks of providers.
    ReceiveErrors = Invalid RequestTimeout BodyTooLarge UnsupportedMediaType RateLimited NoProvider Internal Overloaded
        StoreUnavailable OutcomeUnknown Starting;
    /// The inbound route of the simulators.
    InjectErrors = Invalid NotFound RequestTimeout BodyTooLarge UnsupportedMediaType RateLimited NoProvider Internal Overloaded
        StoreUnavailable OutcomeUnknown Starting;
    /// Lists with parameters.
    ListErrors = Invalid Internal Overloaded StoreUnavailable Starting;
    /// A list below an id.
    ThreadErrors = Invalid NotFound Internal Overloaded StoreUnavailable Starting;
    /// A read of a message, which may wait.
    MessageErrors = Invalid NotFound Internal Overloaded StoreUnavailable Starting;
    CancelErrors = Invalid NotFound RequestTimeout NotCancelable BodyTooLarge UnsupportedMediaType Internal Overloaded StoreUnavailable OutcomeUnknown Starting;
    /// Receipts of providers.
    ReceiptErrors = Invalid RequestTimeout BodyTooLarge UnsupportedMediaType RateLimited Internal Overloaded StoreUnavailable
        OutcomeUnknown Starting;
    /// The receipt route of the simulators.
    MockReceiptErrors = Invalid NotFound RequestTimeout BodyTooLarge UnsupportedMediaType RateLimited Internal Overloaded
        StoreUnavailable OutcomeUnknown Starting;
    NewEndpointErrors = Invalid RequestTimeout TooManyEndpoints BodyTooLarge UnsupportedMediaType Internal Overloaded
        StoreUnavailable Starting;
    EndpointErrors = Invalid NotFound RequestTimeout BodyTooLarge UnsupportedMediaType Internal Overloaded StoreUnavailable Starting;
    EventErrors = Invalid EventsExpired Internal Overloaded StoreUnavailable Starting;
    StreamErrors = Invalid EventsExpired Internal Overloaded StoreUnavailable Starting Draining;
    /// A read by id.
    ReadErrors = NotFound Internal Overloaded StoreUnavailable Starting;
    /// A read without parameters.
    LookupErrors = Internal Overloaded StoreUnavailable Starting;
    RedriveErrors = Invalid NotFound RequestTimeout NotFailed BodyTooLarge UnsupportedMediaType Internal Overloaded StoreUnavailable OutcomeUnknown Starting;
    RedriveManyErrors = Invalid RequestTimeout BodyTooLarge UnsupportedMediaType Internal Overloaded StoreUnavailable OutcomeUnknown Starting;
    SimulatorErrors = NotFound;
    SimulatorConfigErrors = Invalid NotFound RequestTimeout BodyTooLarge UnsupportedMediaType;
    ReadinessErrors = Internal Overloaded StoreUnavailable Starting Draining;
}

/// An error, and what to do about it (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `problem::Document` writes")]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// `urn:trunkline:problem:` and the code.
    #[schema(
        pattern = "^urn:trunkline:problem:[a-z_]+$",
        example = "urn:trunkline:problem:not_found"
    )]
    r#type: String,
    /// The reason phrase of the status.
    #[schema(example = "Not Found")]
    title: String,
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What happened and what to do, as a sentence.
    #[schema(example = "There is no such message.")]
    detail: String,
    /// The path of the request.
    #[schema(example = "/api/messages/nobody")]
    instance: String,
    #[schema(value_type = CodeWord)]
    code: Code,
    /// The id of the request, as in the header X-Request-Id and in the log.
    #[schema(min_length = 1, max_length = 128, example = "8a6e0804f2c1d3b7")]
    request_id: String,
    /// What to change; only of `invalid` requests.
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// An error in one part of a request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `domain::FieldError` writes")]
struct FieldProblem {
    /// A JSON pointer (RFC 6901) into the body, or the name of a parameter or header.
    #[schema(example = "/from")]
    pointer: String,
    /// What is wrong, or what to use instead.
    #[schema(example = "is required")]
    detail: String,
}

/// The schema of [`Code`].
struct CodeWord;

impl PartialSchema for CodeWord {
    fn schema() -> RefOr<Schema> {
        let rows = Code::ALL.iter().map(|code| {
            format!(
                "- `{}` ({}): {}\n",
                code.as_str(),
                code.status().as_u16(),
                code.meaning()
            )
        });
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!(
                "A stable code for programs.\n\n{}",
                rows.collect::<String>()
            )))
            .enum_values(Some(Code::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for CodeWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "ProblemCode".into()
    }
}

/// A response for each status among these codes.
pub(super) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(&codes).into()))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let meanings: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.meaning()))
        .collect();
    ResponseBuilder::new()
        .description(meanings.join("\n\n"))
        .content(PROBLEM_JSON, content(codes))
        .build()
}

fn content(codes: &[Code]) -> Content {
    let examples = codes.iter().map(|code| {
        let example = ExampleBuilder::new().value(Some(example(*code)));
        (code.as_str(), example.build())
    });
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build()
}

fn example(code: Code) -> Value {
    let (status, word) = (code.status(), code.as_str());
    let mut problem = json!({
        "type": format!("urn:trunkline:problem:{word}"),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": code.meaning(),
        "instance": "/api/messages",
        "code": word,
        "request_id": "8a6e0804f2c1d3b7",
    });
    if code == Code::Invalid {
        problem["errors"] = json!([{"pointer": "/from", "detail": "is required"}]);
    }
    problem
}
