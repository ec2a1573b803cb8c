use std::{collections::BTreeMap, sync::Arc};

use domain::ProviderName;
use parking_lot::RwLock;
use tokio::sync::Notify;

/// Wakes lanes when one of their entries may be due.
#[derive(Default)]
pub(crate) struct WakeUps(RwLock<BTreeMap<ProviderName, Arc<Notify>>>);

impl WakeUps {
    /// What the lane of a provider waits for.
    pub(super) fn of(&self, provider: &ProviderName) -> Arc<Notify> {
        let mut notifies = self.0.write();
        Arc::clone(notifies.entry(provider.clone()).or_default())
    }

    pub(super) fn remove(&self, provider: &ProviderName) {
        self.0.write().remove(provider);
    }

    /// Makes a lane look for due entries now; does nothing if this node has none for the provider.
    pub(crate) fn wake(&self, provider: &ProviderName) {
        if let Some(due) = self.0.read().get(provider) {
            due.notify_one();
        }
    }

    /// Makes every lane look for due entries now.
    pub(crate) fn wake_all(&self) {
        self.0.read().values().for_each(|due| due.notify_one());
    }
}
