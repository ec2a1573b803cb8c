//! Takes the receipts of the simulators into the engine, as the routes do with those of real providers.

use std::{sync::Arc, time::Duration};

use domain::Receipt;
use engine::Engine;
use providers::simulator::DueReceipts;
use tokio::sync::Semaphore;

/// Receipts that are stored at the same time.
const AT_ONCE_MAX: usize = 16;
/// A real provider also repeats a receipt that was not stored.
const TRIES_MAX: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Runs until the simulators are gone.
pub(crate) async fn forward(mut receipts: DueReceipts, engine: Arc<Engine>) {
    let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await
        && let Some(receipt) = receipts.next().await
    {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            store(&engine, receipt).await;
            drop(place);
        });
    }
}

async fn store(engine: &Arc<Engine>, receipt: Receipt) {
    for _ in 0..TRIES_MAX {
        match engine.receive_receipt(receipt.clone()).await {
            Ok(_) | Err(engine::Rejection::Refused) => return,
            Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
    tracing::warn!(
        "a simulated receipt could not be stored: it is dropped; see whether the database answers"
    );
}
