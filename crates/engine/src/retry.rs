use std::time::Duration;

use store::StoreError;

/// Retries of work that no request waits for.
const RETRIES_MAX: u32 = 12;
/// The pause before each. Together, the pauses are long enough for a database to restart.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Asks a store until it answers, a bounded number of times. Only for work that may be done twice: if an answer is lost, the
/// work is repeated.
///
/// # Errors
/// When the store refuses, or stays away for too long.
pub async fn retry_transient<T>(
    mut ask: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 0..RETRIES_MAX {
        match ask().await {
            Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
                tracing::debug!(%error, "the store did not answer: retrying");
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
    async fn a_store_that_comes_back_is_asked_again() {
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
    async fn a_refusal_is_not_retried_and_retries_are_bounded() {
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
