//! The JSON body of a request that carries a message.

use domain::{FieldError, ProviderMessageId};

/// Declares the body of a route: the texts it takes, each with its schema, and the fields that are the same everywhere.
macro_rules! message_body {
    ($(#[$meta:meta])* $name:ident { $( $(#[$field_meta:meta])* $field:ident, )+ }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        struct $name {
            $( $(#[$field_meta])* #[serde(default)] $field: Option<String>, )+
            /// Only emails have one; ignored otherwise.
            #[schema(value_type = Option<schemas::Text>)]
            subject: Option<String>,
            /// 10 at most, unless the operator set another limit.
            #[schema(value_type = Option<Vec<schemas::Attachment>>, max_items = 10)]
            attachments: Option<Vec<String>>,
            /// When it was written, in RFC 3339. If it is missing, cannot be read, is before 1990 or more than an hour ahead,
            /// the time of processing counts.
            #[serde(default, deserialize_with = "crate::lenient::timestamp")]
            #[schema(value_type = Option<String>, example = "2026-11-21T10:00:00Z")]
            timestamp: Option<domain::Timestamp>,
        }

        impl $name {
            /// # Errors
            /// When the body does not name one of the channels that the route takes.
            fn draft(
                self,
                origin: domain::Origin,
                taken: &[domain::Channel],
            ) -> Result<domain::Draft, crate::problem::Problem> {
                let channel = origin
                    .channel(taken, self.channel.as_deref(), self.r#type.as_deref())
                    .map_err(|error| crate::problem::Problem::invalid(vec![error]))?;
                Ok(domain::Draft {
                    origin,
                    channel,
                    from: self.from,
                    to: self.to,
                    subject: self.subject,
                    body: self.body,
                    attachments: self.attachments,
                    timestamp: self.timestamp,
                    send_at: None,
                    expires_at: None,
                    metadata: None,
                })
            }
        }
    };
}

pub(super) use message_body;

pub(super) fn provider_message_id(
    pointer: &str,
    id: Option<String>,
) -> Result<ProviderMessageId, FieldError> {
    let id = id.ok_or_else(|| FieldError::new(pointer, "is required"))?;
    // A line break may be left of a mail header.
    id.trim_matches(['\r', '\n'])
        .parse()
        .map_err(|error| FieldError::new(pointer, error))
}
