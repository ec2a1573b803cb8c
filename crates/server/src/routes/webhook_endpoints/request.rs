//! What clients say of webhook endpoints.

use domain::{EventId, EventType, FieldError, Timestamp, WebhookPayload};
use serde::{Deserialize, Deserializer};
use store::{EndpointChange, EndpointConfig, EndpointUrl, ReplayFrom};
use utoipa::ToSchema;

use crate::{
    openapi::{enums, schemas},
    problem::Problem,
};

const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// A URL to get events.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewWebhookEndpoint {
    #[schema(required, value_type = schemas::EndpointUrl)]
    url: Option<String>,
    /// Without it, all types, also those of later versions.
    #[schema(value_type = Option<Vec<enums::EventType>>, min_items = 1)]
    types: Option<Vec<String>>,
    /// `full` without it.
    #[schema(value_type = Option<enums::WebhookPayload>)]
    payload: Option<String>,
    /// For people.
    #[schema(value_type = Option<schemas::Text>, max_length = 1000)]
    description: Option<String>,
}

/// What to change of an endpoint.
#[derive(Deserialize, ToSchema)]
pub(super) struct EndpointPatch {
    #[schema(value_type = Option<schemas::EndpointUrl>)]
    url: Option<String>,
    /// Null for all types.
    #[schema(value_type = Option<Vec<enums::EventType>>, min_items = 1)]
    #[serde(default, deserialize_with = "nullable")]
    types: Option<Option<Vec<String>>>,
    #[schema(value_type = Option<enums::WebhookPayload>)]
    payload: Option<String>,
    #[schema(value_type = Option<schemas::Text>, max_length = 1000)]
    #[serde(default, deserialize_with = "nullable")]
    description: Option<Option<String>>,
    enabled: Option<bool>,
}

/// Which events to deliver again: one of the three.
#[derive(Deserialize, ToSchema)]
pub(super) struct ReplayRequest {
    /// All events after this one.
    #[schema(value_type = Option<schemas::EventId>)]
    after: Option<String>,
    /// All events since this instant.
    #[schema(value_type = Option<schemas::Timestamp>)]
    since: Option<String>,
    /// `true`: those whose deliveries failed.
    failed: Option<bool>,
}

/// Tells null from a missing field.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Unknown types reported at most.
const TYPE_ERRORS_MAX: usize = 20;

/// Collects what is wrong with the fields of a body.
#[derive(Default)]
struct Fields(Vec<FieldError>);

impl Fields {
    fn valid<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn types(&mut self, words: Vec<String>) -> Option<Vec<EventType>> {
        if words.is_empty() {
            let detail = "name at least one type, or leave it out for all";
            self.0.push(FieldError::new("/types", detail));
        }
        let mut types = Vec::new();
        for (index, word) in words.into_iter().enumerate() {
            let parsed = word
                .parse()
                .map_err(|error: domain::UnknownWord| FieldError::new(format!("/types/{index}"), error));
            // The list of types is long, and the same for each error.
            let is_first = self.0.is_empty();
            match parsed {
                Ok(kind) if !types.contains(&kind) => types.push(kind),
                Ok(_) => {}
                Err(error) if is_first => self.0.push(error),
                Err(error) => self.0.push(FieldError::new(error.pointer, "is unknown")),
            }
            if self.0.len() >= TYPE_ERRORS_MAX {
                break;
            }
        }
        Some(types)
    }

    fn payload(&mut self, word: Option<String>) -> Option<WebhookPayload> {
        let parsed = word.map(|word| word.parse()).transpose();
        let parsed = parsed.map_err(|error: domain::UnknownWord| FieldError::new("/payload", error));
        self.valid(parsed).flatten()
    }

    fn description(&mut self, text: String) -> Option<Box<str>> {
        let wrong = if text.chars().count() > DESCRIPTION_CHARS_MAX {
            format!("use {DESCRIPTION_CHARS_MAX} characters at most")
        } else if text.contains('\0') {
            // PostgreSQL cannot store it.
            "must not contain the character NUL".to_owned()
        } else {
            return Some(text.into());
        };
        self.0.push(FieldError::new("/description", wrong));
        None
    }

    fn finish<T>(self, read: Option<T>) -> Result<T, Problem> {
        match read {
            Some(read) if self.0.is_empty() => Ok(read),
            _ => Err(Problem::invalid(self.0)),
        }
    }
}

impl NewWebhookEndpoint {
    pub(super) fn read(self) -> Result<EndpointConfig, Problem> {
        let mut fields = Fields::default();
        let url = fields.valid(self.url.ok_or_else(|| FieldError::new("/url", "is required")));
        let types = self.types.map(|types| fields.types(types).unwrap_or_default());
        let payload = fields.payload(self.payload).unwrap_or(WebhookPayload::Full);
        let description = self.description.and_then(|text| fields.description(text));
        // The engine checks the URL.
        let config = url.map(|url| EndpointConfig {
            url: EndpointUrl(url.into()),
            types,
            payload,
            description,
        });
        fields.finish(config)
    }
}

impl EndpointPatch {
    pub(super) fn read(self) -> Result<EndpointChange, Problem> {
        let mut fields = Fields::default();
        let change = EndpointChange {
            url: self.url.map(|url| EndpointUrl(url.into())),
            types: self
                .types
                .map(|types| types.map(|types| fields.types(types).unwrap_or_default())),
            payload: fields.payload(self.payload),
            description: self
                .description
                .map(|text| text.and_then(|text| fields.description(text))),
            enabled: self.enabled,
            rotate: None,
        };
        if change == EndpointChange::default() && fields.0.is_empty() {
            let detail = "name at least one of url, types, payload, description and enabled";
            return Err(invalid("", detail.to_owned()));
        }
        fields.finish(Some(change))
    }
}

impl ReplayRequest {
    pub(super) fn read(self) -> Result<ReplayFrom, Problem> {
        match (self.after, self.since, self.failed) {
            (Some(after), None, None | Some(false)) => {
                let id: Result<EventId, _> = after.parse();
                let wrong = |_| {
                    invalid(
                        "/after",
                        "use the id of an event or a next_cursor, unchanged".to_owned(),
                    )
                };
                id.map(ReplayFrom::After).map_err(wrong)
            }
            (None, Some(since), None | Some(false)) => {
                let wrong = || invalid("/since", "use a time such as 2026-11-21T10:00:00Z".to_owned());
                Timestamp::parse(&since).map(ReplayFrom::Since).ok_or_else(wrong)
            }
            (None, None, Some(true)) => Ok(ReplayFrom::Failed),
            _ => Err(invalid(
                "",
                "use one of after, since, and failed: true".to_owned(),
            )),
        }
    }
}

pub(super) fn invalid(pointer: &str, detail: String) -> Problem {
    Problem::invalid(vec![FieldError::new(pointer, detail)])
}
