use std::{sync::Arc, time::Duration};

use domain::{ErrorCode, Receipt, ReceiptStatus};

use super::{pause, somebody};
use crate::{checkers::Taken, draw::Draw, plan::Lifecycle, world::World};

/// How long a provider waits for the answer to its receipt.
const PATIENCE: Duration = Duration::from_secs(3);
/// Deliveries of a receipt at most, until it is acknowledged.
const TRIES_MAX: u32 = 60;
/// What a provider reports about one message, in the order of its sending.
const REPORTS: [&[ReceiptStatus]; 6] = {
    use ReceiptStatus::{Delivered, Sent, Undelivered};
    [
        &[Delivered],
        &[Sent, Delivered],
        &[Undelivered],
        &[Delivered, Sent, Delivered],
        &[Undelivered, Delivered],
        &[Delivered, Undelivered, Undelivered],
    ]
};

/// Sends receipts for messages that providers took, until the run is over.
pub(crate) async fn report_on(world: Arc<World>, lifecycle: Lifecycle) {
    let draw = world.common.draw.child("receipts");
    let mut reported = 0;
    loop {
        pause(&draw, (5, 400)).await;
        for taken in world.common.observer.taken_after(&mut reported) {
            if !draw.permille(lifecycle.receipts_permille) {
                continue;
            }
            let echoes = draw.permille(400);
            for status in draw.pick(&REPORTS) {
                let receipt = receipt(&world, taken, *status, echoes, &draw);
                let delay = draw.millis(0, lifecycle.receipt_delay_max.as_millis() as u64);
                let draw = draw.child(&format!("{}/{}/{status}", taken.message, taken.attempt));
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    deliver(&world, receipt, &draw).await;
                });
            }
        }
    }
}

/// `echoes`: whether the provider names our id of the message instead of its own.
fn receipt(world: &World, taken: Taken, status: ReceiptStatus, echoes: bool, draw: &Draw) -> Receipt {
    let now = world.common.database.now();
    let provider = draw
        .permille(700)
        .then(|| world.common.services[taken.provider].name().clone());
    Receipt {
        provider,
        provider_message_id: (!echoes).then(|| taken.provider_message_id()),
        message_id: echoes.then_some(taken.message),
        status,
        error_code: (status == ReceiptStatus::Undelivered).then(|| ErrorCode::of("absent")),
        at: now.saturating_add(draw.millis(0, 5_000)),
        received_at: now,
    }
}

async fn deliver(world: &Arc<World>, receipt: Receipt, draw: &Draw) {
    for _ in 0..TRIES_MAX {
        if let Some(life) = somebody(world, draw) {
            let (engine, sent) = (Arc::clone(&life.engine), receipt.clone());
            let request = async move { engine.receive_receipt(sent).await };
            if let Some(Ok(_)) = life.request(PATIENCE, request).await {
                world.common.observer.reported(receipt);
                return;
            }
        }
        pause(draw, (50, 3_000)).await;
    }
}
