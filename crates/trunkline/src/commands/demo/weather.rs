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
    /// The same, with receipts.
    calm: Value,
    storm: Value,
    /// Whether providers fail on purpose now; `None` before the first change, and after one that may or may not have happened.
    stormy: Option<bool>,
    /// Whether there is something to restore.
    changed: bool,
}

impl Weather {
    /// Reads the configuration.
    pub(super) async fn found(api: &Api, seed: u64) -> anyhow::Result<Self> {
        let before = match api.get(CONFIG, &[]).await? {
            ApiAnswer::Done(config) => Some(config),
            ApiAnswer::Refused(refusal) if refusal.status.as_u16() == 404 => None,
            ApiAnswer::Refused(refusal) => return Err(refusal.into()),
        };
        let receipts =
            json!({"delivered_pct": 85, "undelivered_pct": 5, "delay_ms": 400, "duplicate_pct": 0});
        let storm = json!({"error_pct": 60, "timeout_pct": 10, "ratelimit_pct": 10, "seed": seed, "receipts": receipts});
        let mut calm = before.clone().unwrap_or_default();
        // A service that reports already goes on as it does.
        if calm["receipts"]["delivered_pct"] == 0 && calm["receipts"]["undelivered_pct"] == 0 {
            calm["receipts"] = receipts;
        }
        Ok(Self {
            before,
            calm,
            storm,
            stormy: None,
            changed: false,
        })
    }

    pub(super) fn can_change(&self) -> bool {
        self.before.is_some()
    }

    pub(super) fn is_stormy(&self) -> bool {
        self.stormy == Some(true)
    }

    /// Turns receipts on, and failures on or off. The future may be dropped.
    pub(super) async fn turn(&mut self, api: &Api, stormy: bool) {
        if self.before.is_none() || self.stormy == Some(stormy) {
            return;
        }
        let config = if stormy { &self.storm } else { &self.calm };
        // A change without an answer may have happened and has to be undone.
        (self.changed, self.stormy) = (true, None);
        if let Ok(ApiAnswer::Done(_)) = api.put(CONFIG, config).await {
            self.stormy = Some(stormy);
        }
    }

    /// Restores the configuration of before the demo.
    pub(super) async fn restore(&mut self, api: &Api) -> anyhow::Result<()> {
        let Some(before) = self.before.as_ref().filter(|_| self.changed) else {
            return Ok(());
        };
        for _ in 0..RESTORE_TRIES {
            if let Ok(ApiAnswer::Done(_)) = api.put(CONFIG, before).await {
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
