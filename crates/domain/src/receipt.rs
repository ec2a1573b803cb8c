use serde::Serialize;

use crate::{ErrorCode, MessageId, ProviderMessageId, ProviderName, Timestamp, vocabulary::vocabulary};

vocabulary! {
    /// What a provider reports about a message after it took it. Of several reports the greatest counts.
    pub enum ReceiptStatus {
        /// Handed on, not yet arrived.
        Sent = "sent",
        /// It will not arrive.
        Undelivered = "undelivered",
        /// It arrived.
        Delivered = "delivered",
    }
}

/// A provider's report about one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Who sent it, if the report says so.
    pub provider: Option<ProviderName>,
    pub provider_message_id: Option<ProviderMessageId>,
    /// Our own id of the message, if the provider echoes it.
    pub message_id: Option<MessageId>,
    pub status: ReceiptStatus,
    pub error_code: Option<ErrorCode>,
    /// When it happened, as the provider says, or else when the receipt came.
    pub at: Timestamp,
    /// When the receipt came, by this node's clock.
    pub received_at: Timestamp,
}

/// What the receipts of a message say together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delivery {
    pub status: ReceiptStatus,
    pub error_code: Option<ErrorCode>,
    pub at: Timestamp,
    /// Whether some receipts say `delivered` and others `undelivered`.
    pub contradicted: bool,
}

impl Delivery {
    #[must_use]
    pub fn of(receipt: &Receipt) -> Self {
        Self {
            status: receipt.status,
            error_code: receipt.error_code.clone(),
            at: receipt.at,
            contradicted: false,
        }
    }

    /// Joins what two sets of receipts say: the greater status counts, and of equal ones the earliest. The result does not
    /// depend on the order of receipts, nor on repeats.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        use ReceiptStatus::{Delivered, Undelivered};
        let opposed = matches!(
            (self.status, other.status),
            (Delivered, Undelivered) | (Undelivered, Delivered)
        );
        let contradicted = self.contradicted || other.contradicted || opposed;
        let first = match self.status.cmp(&other.status) {
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Equal if (self.at, &self.error_code) <= (other.at, &other.error_code) => self,
            std::cmp::Ordering::Equal => other,
        };
        Self {
            contradicted,
            ..first
        }
    }

    /// What all receipts of a message say; `None` without any.
    #[must_use]
    pub fn fold<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Option<Self> {
        receipts.into_iter().map(Self::of).reduce(Self::join)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: ReceiptStatus, second: i64, code: Option<&'static str>) -> Delivery {
        Delivery {
            status,
            error_code: code.map(ErrorCode::of),
            at: Timestamp::from_micros(second * 1_000_000).unwrap(),
            contradicted: false,
        }
    }

    #[test]
    fn every_order_and_every_repeat_ends_alike() {
        use ReceiptStatus::{Delivered, Sent, Undelivered};
        let receipts = [
            said(Sent, 9, None),
            said(Undelivered, 1, Some("blocked")),
            said(Undelivered, 1, Some("expired")),
            said(Delivered, 7, None),
            said(Delivered, 5, Some("late")),
        ];
        let expected = Delivery {
            contradicted: true,
            ..said(Delivered, 5, Some("late"))
        };
        let mut orders = vec![vec![]];
        for _ in 0..receipts.len() {
            orders = orders
                .iter()
                .flat_map(|order: &Vec<usize>| {
                    let left = (0..receipts.len()).filter(|place| !order.contains(place));
                    left.map(|place| [&order[..], &[place]].concat())
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        assert_eq!(orders.len(), 120);
        for order in orders {
            let said = order.iter().chain(&order).map(|place| receipts[*place].clone());
            assert_eq!(said.reduce(Delivery::join), Some(expected.clone()), "{order:?}");
        }
    }

    #[test]
    fn sent_contradicts_nothing() {
        use ReceiptStatus::{Sent, Undelivered};
        let joined = said(Sent, 1, None).join(said(Undelivered, 2, None));
        assert_eq!(joined, said(Undelivered, 2, None));
    }
}
