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
    Invalid = BAD_REQUEST "invalid": "`errors` says what is wrong, where, and what is right.";
    Unauthorized = UNAUTHORIZED "unauthorized": "The node has API keys: send one as `Authorization: Bearer KEY`.";
    NotFound = NOT_FOUND "not_found": "There is no such message, conversation, webhook endpoint or route. No path ends with a slash.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed": "The route does not take this method: `Allow` lists those it takes.";
    RequestTimeout = REQUEST_TIMEOUT "request_timeout": "The body took longer than 5 seconds. Nothing was stored: try again.";
    NotFailed = CONFLICT "not_failed": "The message has not failed: only a failed one can be redriven.";
    NotCancelable = CONFLICT "not_cancelable": "A provider has or may have the message, is being called with it, or the message is final: `GET /api/messages/{id}` shows it.";
    TooManyEndpoints = CONFLICT "too_many_endpoints": "There are as many webhook endpoints as there can be: delete one.";
    EventsExpired = GONE "events_expired": "Events after this cursor are deleted: `detail` has the oldest cursor that is kept.";
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large": "The body is larger than `API_MAX_BODY_BYTES` (262,144).";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type": "Send JSON with `Content-Type: application/json`, not compressed.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused": "This `Idempotency-Key` was used for another message: use a new one.";
    RateLimited = TOO_MANY_REQUESTS "rate_limited": "Too many requests: `detail` names the limit and its setting. Try again after `Retry-After`.";
    Misdirected = MISDIRECTED_REQUEST "misdirected": "Without API keys the node answers only as `localhost`: see `API_ALLOWED_HOSTS`.";
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large": "Send at most 64 headers, with 32 KiB in all.";
    Internal = INTERNAL_SERVER_ERROR "internal": "A bug, or the database refuses the request for good: the service's log has the cause under the request's id.";
    NoProvider = INTERNAL_SERVER_ERROR "no_provider": "No provider serves this channel, or no route fits the addresses. Nothing was stored: ask the operator to configure one.";
    Overloaded = SERVICE_UNAVAILABLE "overloaded": "The node has too much to do: messages to store, large answers, connections. Nothing was stored: try again.";
    StoreUnavailable = SERVICE_UNAVAILABLE "store_unavailable": "The database is away, slow, busy, read-only, full or locked: `detail` says which. Nothing was stored: try again.";
    OutcomeUnknown = SERVICE_UNAVAILABLE "outcome_unknown": "The database did not answer whether it stored this. Try again, a send with the same `Idempotency-Key`.";
    Starting = SERVICE_UNAVAILABLE "starting": "The node waits for its database before it serves: try again, or ask another node.";
    Draining = SERVICE_UNAVAILABLE "draining": "The node shuts down: ask another node.";
}
