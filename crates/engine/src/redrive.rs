use domain::{Channel, MessageId, Script};
use store::{RedriveFilter, RedriveTerms, Redriven, StoreError};

use crate::Engine;

/// Dead letters redriven in one transaction.
const REDRIVE_BATCH_MAX: u32 = 500;

impl Engine {
    /// Makes a dead letter pending again, with a fresh route, budget and deadline.
    pub async fn redrive(&self, id: MessageId) -> Result<Redriven, StoreError> {
        let mut terms = self.redrive_terms();
        let routes = &self.node.routes;
        let by_participants =
            |channel: &Channel| routes.serving(*channel).is_some() && routes.of_all(*channel).is_none();
        if Channel::ALL.iter().any(by_participants)
            && let Some(detail) = self.node.store.message(id).await?
        {
            let (content, region) = (&detail.message.content, self.settings.dispatch.default_region);
            let route = routes.of_content(content, region);
            let first = route.map(|route| (content.channel, route.first().name().clone()));
            terms.routes.extend(first);
        }
        let redriven = self.node.store.redrive(id, &terms).await?;
        self.node.wake_ups.wake_all();
        Ok(redriven)
    }

    /// Makes all matching dead letters pending again, in batches, and returns how many.
    ///
    /// # Errors
    /// When the store fails. Finished batches stay; another call does the rest.
    pub async fn redrive_matching(&self, filter: &RedriveFilter) -> Result<u64, StoreError> {
        let (mut filter, terms) = (filter.clone(), self.redrive_terms());
        let mut redriven = 0;
        loop {
            let batch = self
                .node
                .store
                .redrive_matching(&filter, &terms, REDRIVE_BATCH_MAX)
                .await?;
            redriven += batch.redriven;
            self.node.wake_ups.wake_all();
            if batch.redriven < u64::from(REDRIVE_BATCH_MAX) {
                return Ok(redriven);
            }
            // Without this, messages that fail again meanwhile would keep it running without end.
            filter.failed_before = Some(filter.failed_before.map_or(batch.at, |limit| limit.min(batch.at)));
        }
    }

    /// Messages go to the first provider that their channel's route has now, but for those to scripted recipients: no other provider
    /// may see them, even if scripts are switched off by now. They also keep their provider if this node has no route
    /// for the channel, since another node may have one, or if the route depends on the participants, which a batch does not
    /// read.
    fn redrive_terms(&self) -> RedriveTerms {
        let route = |channel: &Channel| {
            let route = self.node.routes.of_all(*channel)?;
            Some((*channel, route.first().name().clone()))
        };
        RedriveTerms {
            deadlines: self.settings.deadlines,
            routes: Channel::ALL.iter().filter_map(route).collect(),
            kept: vec![Script::provider()],
        }
    }
}
