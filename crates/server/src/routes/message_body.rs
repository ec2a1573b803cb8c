//! The JSON body of a request that carries a message.

use domain::{FieldError, ProviderMessageId};

/// Declares the body of a route: the texts it takes, each with its schema, and the fields that are the same everywhere. The
/// fields in brackets are those of messages to send.
macro_rules! message_body {
    (
        $(#[$meta:meta])*
        $name:ident $([$send_at:ident $expires_at:ident $metadata:ident])? {
            $( $(#[$field_meta:meta])* $field:ident, )+
        }
    ) => {
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
            $(
                /// Not before this time, 366 days ahead at most. It is the message's `timestamp` then. A time that has passed
                /// means at once.
                #[schema(value_type = Option<String>, example = "2026-12-24T08:00:00Z")]
                $send_at: Option<String>,
                /// The message fails with `deadline` if no provider took it by then. Without it, the operator's deadline counts,
                /// from `send_at` on.
                #[schema(value_type = Option<String>, example = "2026-12-24T20:00:00Z")]
                $expires_at: Option<String>,
                /// Kept with the message and returned in reads, events and webhooks. Names and values have 2,048 bytes of UTF-8 at
                /// most, together.
                #[schema(value_type = Option<schemas::Metadata>)]
                $metadata: Option<std::collections::BTreeMap<String, String>>,
            )?
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
                let draft = domain::Draft {
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
                };
                $(
                    let draft = domain::Draft {
                        send_at: self.$send_at,
                        expires_at: self.$expires_at,
                        metadata: self.$metadata,
                        ..draft
                    };
                )?
                Ok(draft)
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
