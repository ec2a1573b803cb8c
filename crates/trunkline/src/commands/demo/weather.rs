use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::client::{Api, ApiAnswer};

const CONFIG: &str = "/api/provider/mock/config";
/// How often it is tried to put back what was there.
const RESTORE_TRIES: u32 = 10;
const RESTORE_PAUSE: Duration = Duration::from_millis(500);

/// How the simulated providers behave: as they were, and for part of the time much worse.
pub(super) struct Weather {
    /// What was configured before; `None` when there are no simulated providers.
    before: Option<Value>,
    storm: Value,
    stormy: bool,
}

impl Weather {
    /// Looks at how it is.
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

    /// Turns failures up, or back to what they were. It may be dropped half-way.
    pub(super) async fn turn(&mut self, api: &Api, stormy: bool) {
        let Some(before) = &self.before else { return };
        if stormy == self.stormy {
            return;
        }
        let config = if stormy { &self.storm } else { before };
        // A change whose answer is lost, or not waited for, may have happened: it has to be undone then.
        self.stormy = true;
        if let Ok(ApiAnswer::Done(_)) = api.put(CONFIG, config).await {
            self.stormy = stormy;
        }
    }

    /// Puts back what was there.
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
            "the simulated providers still fail on purpose, because the service does not answer; put this back at {CONFIG}: {before}"
        )
    }
}
