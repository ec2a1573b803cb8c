use crate::vocabulary::vocabulary;

vocabulary! {
    /// What the events of an endpoint carry.
    pub enum WebhookPayload {
        /// The event and the message as it is when the event is sent.
        Full = "full",
        /// The event alone.
        Thin = "thin",
    }
}

vocabulary! {
    /// Whether an event that did not get through to an endpoint is still tried.
    pub enum DeliveryStatus {
        Pending = "pending",
        /// Given up, and kept until it is replayed or its event leaves the log.
        Failed = "failed",
    }
}
