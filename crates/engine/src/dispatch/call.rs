use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use providers::{Call, Provider, SendResult};

/// The call panicked. Whether the provider has the message is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

/// Calls a provider, for at most `timeout`. A panic ends this call and nothing else.
pub(super) async fn call(
    provider: &dyn Provider,
    call: Call<'_>,
    timeout: Duration,
) -> Result<SendResult, Panicked> {
    // The provider owns the state that a panic may leave broken. The engine only reads the result.
    let guarded = AssertUnwindSafe(provider.send(call)).catch_unwind();
    match tokio::time::timeout(timeout, guarded).await {
        Ok(result) => result.map_err(|_| Panicked),
        Err(_) => Ok(SendResult::Timeout),
    }
}
