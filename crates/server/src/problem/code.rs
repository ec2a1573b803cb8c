use axum::http::StatusCode;

/// Declares every code once: its status, its word, and what it means, for the documents that are made from this.
macro_rules! codes {
    ($( $code:ident = $status:ident $word:literal: $meaning:literal; )+) => {
        /// The stable word by which programs tell problems apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $( #[doc = $meaning] $code, )+ }

        impl Code {
            /// Every one of them, by status.
            pub(crate) const ALL: &'static [Self] = &[$( Self::$code, )+];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $( Self::$code => $word, )+ }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $( Self::$code => StatusCode::$status, )+ }
            }

            /// What it means, as a sentence for the reference of the API.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $( Self::$code => $meaning, )+ }
            }
        }
    };
}

codes! {
    Invalid = BAD_REQUEST "invalid": "The request is not valid: `errors` says what to change, and where.";
    Unauthorized = UNAUTHORIZED "unauthorized": "This node has API keys, and the request brought none of them.";
    NotFound = NOT_FOUND "not_found": "There is no such message, conversation or route.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed": "The route does not take this method: `Allow` has those it takes.";
    NotAcceptable = NOT_ACCEPTABLE "not_acceptable": "`Accept` excludes JSON, and answers are JSON.";
    RequestTimeout = REQUEST_TIMEOUT "request_timeout": "The body did not arrive in time.";
    NotFailed = CONFLICT "not_failed": "The message has not failed, and only a failed one can be redriven.";
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large": "The body has more bytes than the operator allows.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type": "The body is not declared to be JSON, or is compressed.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused": "This `Idempotency-Key` was used for another message.";
    RateLimited = TOO_MANY_REQUESTS "rate_limited": "Too many requests from this address or sender: `Retry-After` says when to come back.";
    Misdirected = MISDIRECTED_REQUEST "misdirected": "This node has no API keys, and `Host` names another machine.";
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large": "The request has too many headers, or too long ones.";
    Internal = INTERNAL_SERVER_ERROR "internal": "Something went wrong here: the log has more under this request id.";
    NoProvider = INTERNAL_SERVER_ERROR "no_provider": "No provider serves this channel. Nothing was stored.";
    Overloaded = SERVICE_UNAVAILABLE "overloaded": "Too much is under way at this node: messages that wait to be stored, answers, or connections. Nothing was kept: try again.";
    StoreUnavailable = SERVICE_UNAVAILABLE "store_unavailable": "The database is away. Nothing was kept: try again.";
    OutcomeUnknown = SERVICE_UNAVAILABLE "outcome_unknown": "The database did not say whether it kept this. Try again, a send with the same `Idempotency-Key`.";
    Starting = SERVICE_UNAVAILABLE "starting": "This node waits for its database before it begins to serve. Try again.";
    Draining = SERVICE_UNAVAILABLE "draining": "This node is shutting down: ask another one.";
}
