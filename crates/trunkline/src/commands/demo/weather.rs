use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::client::{Api, ApiAnswer};

const CONFIG: &str = "/api/provider/mock/config";
/// Attempts to restore the configuration.
const RESTORE_TRIES: u32 = 10;
const RESTORE_PAUSE: Duration = Duration::from_millis(500);

/// Makes simulated providers fail for a time, and restores them.
pub(super) struct Weather {
    /// The configuration before the demo; `None` without simulated providers.
    before: Option<Value>,
    storm: Value,
    stormy: bool,
}

impl Weather {
    /// Reads the configuration.
    pub(super) async fn found(api: &Api, seed: u64) -> anyhow::Result<Self> {
        let before = match api.get(CONFIG, &[]).await? {
            ApiAnswer::Done(config) => Some(config),
            ApiAnswer::Refused(refusal) if refusal.status.as_u16() == 404 => None,
            ApiAnswer::Refused(refusal) => return Err(refusal.into()),
        };
        let storm = json!({"error_pct": 60, "timeout_pct": 10, "ratelimit_pct": 10, "seed": seed});
        Ok(Self {
            before,
            storm,
            stormy: false,
        })
    }

    pub(super) fn can_change(&self) -> bool {
        self.before.is_some()
    }

    pub(super) fn is_stormy(&self) -> bool {
        self.stormy
    }

    /// Turns failures on or off. The future may be dropped.
    pub(super) async fn turn(&mut self, api: &Api, stormy: bool) {
        let Some(before) = &self.before else { return };
        if stormy == self.stormy {
            return;
        }
        let config = if stormy { &self.storm } else { before };
        // A change without an answer may have happened and has to be undone.
        self.stormy = true;
        if let Ok(ApiAnswer::Done(_)) = api.put(CONFIG, config).await {
            self.stormy = stormy;
        }
    }

    /// Restores the configuration of before the demo.
    pub(super) async fn restore(&mut self, api: &Api) -> anyhow::Result<()> {
        for _ in 0..RESTORE_TRIES {
            self.turn(api, false).await;
            if !self.stormy {
                return Ok(());
            }
            tokio::time::sleep(RESTORE_PAUSE).await;
        }
        let before = self.before.as_ref().map(Value::to_string).unwrap_or_default();
        bail!(
            "the service does not answer, so the simulated providers still fail on purpose: PUT this to {CONFIG}: {before}"
        )
    }
}
