use std::sync::Arc;

use domain::{Channel, ConversationId, Direction, MessageId, NewMessage, ProviderMessageId, ProviderName};
use store::{Accepted, Kind};
use thiserror::Error;

use crate::{Engine, Rejection, accept::answer_in_time};

/// A message that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    pub id: MessageId,
    /// `None` for the repeat of an imported message before its backfill.
    pub conversation_id: Option<ConversationId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InboundProviderError {
    #[error("no provider serves this channel")]
    NoProvider,
    #[error("use the name of a configured provider: {configured}")]
    Unknown { configured: String },
}

impl Engine {
    /// The provider that brings a message: the named one, or else the first that serves the channel.
    ///
    /// # Errors
    /// When no provider is configured under this name or for this channel.
    pub fn inbound_provider(
        &self,
        channel: Channel,
        named: Option<&str>,
    ) -> Result<ProviderName, InboundProviderError> {
        let Some(name) = named else {
            let serving = self.node.routes.serving(channel);
            let none = || {
                self.no_provider(channel);
                InboundProviderError::NoProvider
            };
            return serving.map(|provider| provider.name().clone()).ok_or_else(none);
        };
        let names = self
            .node
            .routes
            .providers()
            .iter()
            .map(|provider| provider.name());
        let unknown = || InboundProviderError::Unknown {
            configured: names
                .clone()
                .map(ProviderName::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let mut named = names.clone().filter(|configured| configured.as_str() == name);
        named.next().cloned().ok_or_else(unknown)
    }

    /// Stores an inbound message once per provider, message id and participants. The work always runs to completion.
    ///
    /// # Errors
    /// When the message is not stored, or may not be.
    pub async fn receive(
        self: &Arc<Self>,
        message: NewMessage,
        provider: ProviderName,
        provider_message_id: ProviderMessageId,
        payload: Box<str>,
    ) -> Result<Received, Rejection> {
        let engine = Arc::clone(self);
        let kind = Kind::Receive {
            provider_message_id,
            payload,
        };
        let answer = self
            .run_to_completion(async move { engine.receive_to_completion(message, provider, kind).await });
        answer_in_time(answer)
            .await
            .unwrap_or(Err(Rejection::OutcomeUnknown))
    }

    async fn receive_to_completion(
        &self,
        message: NewMessage,
        provider: ProviderName,
        kind: Kind,
    ) -> Result<Received, Rejection> {
        let channel = message.content.channel;
        let accept = self.accept_of(message, provider.clone(), kind);
        let id = accept.id;
        match self.commits.accept(accept).await {
            Ok(Accepted::New {
                conversation_id,
                sequence,
            }) => {
                self.store_is_there();
                self.node.events.changed();
                self.node
                    .metrics
                    .count_accepted(channel, Direction::Inbound, sequence);
                Ok(Received {
                    id,
                    conversation_id: Some(conversation_id),
                })
            }
            Ok(Accepted::Repeated {
                id,
                conversation_id,
                differs,
            }) => {
                if differs {
                    self.report_conflict(&provider, id, conversation_id);
                }
                Ok(Received { id, conversation_id })
            }
            Ok(Accepted::KeyConflict) => Err(Rejection::Refused),
            Err(error) => Err(self.rejection(error, channel)),
        }
    }

    fn report_conflict(
        &self,
        provider: &ProviderName,
        message_id: MessageId,
        conversation_id: Option<ConversationId>,
    ) {
        self.node.metrics.count_inbound_conflict();
        tracing::warn!(
            %provider,
            %message_id,
            conversation_id = conversation_id.map(tracing::field::display),
            "a provider repeated a message id with other content: the first message stays, the other is not stored"
        );
    }
}
