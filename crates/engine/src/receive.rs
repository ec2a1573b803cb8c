use std::sync::Arc;

use domain::{
    Address, Content, ConversationId, Direction, MessageId, ProviderMessageId, ProviderName, Timestamp,
};
use store::{Accepted, Kind};

use crate::{Engine, Rejection, accept::answer_in_time};

/// A message a provider brought.
#[derive(Debug, Clone)]
pub struct Receive {
    /// Who brought it.
    pub provider: ProviderName,
    /// The provider's id, by which repeats are recognized.
    pub provider_message_id: ProviderMessageId,
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// What it says.
    pub content: Content,
    /// When it was written, if the provider said so in a way that can be read.
    pub timestamp: Option<Timestamp>,
    /// The request as it came.
    pub payload: Box<str>,
}

/// A message that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: MessageId,
    /// Its conversation; a repeat of an imported message may have none yet.
    pub conversation_id: Option<ConversationId>,
}

impl Engine {
    /// Stores an inbound message, once for each provider message id. It runs to its end even if nobody waits for the
    /// answer.
    ///
    /// # Errors
    /// When it is not, or not known to be, stored.
    pub async fn receive(self: &Arc<Self>, receive: Receive) -> Result<Received, Rejection> {
        let engine = Arc::clone(self);
        let answer = self.run_to_the_end(async move { engine.receive_to_the_end(receive).await });
        answer_in_time(answer)
            .await
            .unwrap_or(Err(Rejection::OutcomeUnknown))
    }

    async fn receive_to_the_end(&self, receive: Receive) -> Result<Received, Rejection> {
        let Receive {
            provider,
            provider_message_id,
            from,
            to,
            content,
            timestamp,
            payload,
        } = receive;
        let channel = content.channel;
        let kind = Kind::Receive {
            provider_message_id,
            payload,
        };
        let accept = self.accept_of(from, to, content, timestamp, provider, kind);
        let id = accept.id;
        match self.commits.accept(accept).await {
            Ok(Accepted::New {
                conversation_id,
                sequence,
            }) => {
                self.store_is_there();
                self.metrics.count_accepted(channel, Direction::Inbound, sequence);
                Ok(Received {
                    id,
                    conversation_id: Some(conversation_id),
                })
            }
            Ok(Accepted::Repeated { id, conversation_id }) => Ok(Received { id, conversation_id }),
            Ok(Accepted::KeyConflict) => Err(Rejection::Refused),
            Err(error) => Err(self.rejection(error, channel)),
        }
    }
}
