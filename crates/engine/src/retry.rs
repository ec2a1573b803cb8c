use std::time::Duration;

use store::StoreError;

/// How often work that nobody waits for at an open connection is tried again before it gives up.
const RETRIES_MAX: u32 = 12;
/// How long it waits before that: all together, with what the tries take, long enough for a database that restarts.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Asks a store until it answers, a bounded number of times. Only for what may be done twice: what the store did without
/// saying so is done again.
///
/// # Errors
/// When the store refuses, or stays away.
pub async fn retry_transient<T>(
    mut ask: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 0..RETRIES_MAX {
        match ask().await {
            Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
                tracing::debug!(%error, "the store did not answer: trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use store::Outage;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_back_in_time_is_waited_for() {
        let mut asked = 0;
        let answer = retry_transient(async || {
            asked += 1;
            match asked {
                1 => Err(StoreError::unavailable(Outage::Away, "away")),
                2 => Err(StoreError::OutcomeUnknown("lost".to_owned())),
                _ => Ok(asked),
            }
        });
        assert_eq!(answer.await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_patience_has_an_end() {
        let refusal = StoreError::Refused("never".to_owned());
        for (error, asks) in [
            (refusal, 1),
            (StoreError::unavailable(Outage::Away, "away"), RETRIES_MAX + 1),
        ] {
            let mut asked = 0;
            let answer: Result<(), _> = retry_transient(async || {
                asked += 1;
                Err(error.clone())
            })
            .await;
            assert_eq!((answer, asked), (Err(error), asks));
        }
    }
}
