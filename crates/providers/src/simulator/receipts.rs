//! Receipts of simulated calls, on their way from the simulators to the program.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Clock, ErrorCode, MessageId, ProviderMessageId, ProviderName, Receipt, ReceiptStatus};
use tokio::{sync::mpsc, time::timeout};

use super::classify::message_id;
use crate::Call;

/// Receipts that wait in the channel, and as many that wait for their time. Each takes less than 512 bytes.
pub const RECEIPTS_WAITING_MAX: usize = 8_192;

/// A channel for the receipts of simulators. `clock` measures their delays.
#[must_use]
pub fn receipt_channel(clock: &Arc<dyn Clock>) -> (ReceiptSender, DueReceipts) {
    let (queue, sent) = mpsc::channel(RECEIPTS_WAITING_MAX);
    let sender = ReceiptSender {
        queue,
        clock: Arc::clone(clock),
        dropped: Arc::default(),
    };
    let due = DueReceipts {
        sent,
        clock: Arc::clone(clock),
        waiting: BinaryHeap::new(),
        number: 0,
    };
    (sender, due)
}

/// The simulators' end.
#[derive(Clone, Debug)]
pub struct ReceiptSender {
    queue: mpsc::Sender<Sent>,
    clock: Arc<dyn Clock>,
    dropped: Arc<AtomicU64>,
}

/// The program's end.
#[derive(Debug)]
pub struct DueReceipts {
    sent: mpsc::Receiver<Sent>,
    clock: Arc<dyn Clock>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    number: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Sent {
    /// By the monotonic clock.
    due: Duration,
    provider: ProviderName,
    provider_message_id: Option<ProviderMessageId>,
    message_id: MessageId,
    status: ReceiptStatus,
}

/// Ordered by due time, then as they were sent.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Waiting {
    due: Duration,
    number: u64,
    sent: Sent,
}

impl ReceiptSender {
    /// Sends a receipt that arrives after `delay`. It is dropped if too many wait.
    pub(super) fn send(
        &self,
        provider: &ProviderName,
        call: &Call<'_>,
        status: ReceiptStatus,
        delay: Duration,
    ) {
        let sent = Sent {
            due: self.clock.monotonic().saturating_add(delay),
            provider: provider.clone(),
            provider_message_id: message_id(call),
            message_id: call.message_id,
            status,
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(sent) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // A line for each would be thousands a second.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    %provider, dropped,
                    "too many simulated receipts wait: some are dropped; send fewer messages, or lower delay_ms"
                );
            }
        }
    }

    /// Receipts dropped so far because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl DueReceipts {
    /// The next receipt, once it is due. `None` when all simulators are gone and nothing waits. It can be dropped at any time
    /// without losing a receipt.
    pub async fn next(&mut self) -> Option<Receipt> {
        loop {
            while self.waiting.len() < RECEIPTS_WAITING_MAX
                && let Ok(sent) = self.sent.try_recv()
            {
                self.put(sent);
            }
            let now = self.clock.monotonic();
            let Some(Reverse(first)) = self.waiting.peek() else {
                let sent = self.sent.recv().await?;
                self.put(sent);
                continue;
            };
            let due_in = first.due.saturating_sub(now);
            if due_in.is_zero() {
                return self.waiting.pop().map(|Reverse(due)| self.receipt(due.sent));
            }
            if self.waiting.len() == RECEIPTS_WAITING_MAX || self.sent.is_closed() {
                tokio::time::sleep(due_in).await;
            } else if let Ok(Some(sent)) = timeout(due_in, self.sent.recv()).await {
                self.put(sent);
            }
        }
    }

    fn put(&mut self, sent: Sent) {
        self.number += 1;
        self.waiting.push(Reverse(Waiting {
            due: sent.due,
            number: self.number,
            sent,
        }));
    }

    fn receipt(&self, sent: Sent) -> Receipt {
        let now = self.clock.now();
        let undelivered = sent.status == ReceiptStatus::Undelivered;
        Receipt {
            provider: Some(sent.provider),
            provider_message_id: sent.provider_message_id,
            // After a timeout, no attempt on record has the provider's id.
            message_id: Some(sent.message_id),
            status: sent.status,
            error_code: undelivered.then(|| ErrorCode::of("simulated_undelivered")),
            at: now,
            received_at: now,
        }
    }
}
