use std::{sync::Arc, time::Duration};

use domain::{MessageId, PageRequest, Start, Status};
use store::{Canceled, MessageFilter};

use super::somebody;
use crate::{
    draw::Draw,
    world::{Life, World},
};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cancels one message: one that waits, or any.
pub(super) async fn one(world: &Arc<World>, draw: &Draw) {
    let Some(life) = somebody(world, draw) else {
        return;
    };
    let some = world.common.observer.one_of_the_latest(draw);
    let waiting = some_waiting(&life, draw).await;
    let Some(id) = waiting.filter(|_| draw.permille(700)).or(some) else {
        return;
    };
    let (engine, observer) = (Arc::clone(&life.engine), Arc::clone(&world.common.observer));
    let request = async move {
        let canceled = engine.cancel(id).await;
        if let Ok(Canceled::Canceled { .. }) = canceled {
            observer.canceled(id);
        }
    };
    life.request(PATIENCE, request).await;
}

async fn some_waiting(life: &Life, draw: &Draw) -> Option<MessageId> {
    let filter = MessageFilter {
        status: Some(draw.pick(&[Status::Scheduled, Status::Pending])),
        ..MessageFilter::default()
    };
    let engine = Arc::clone(&life.engine);
    let list = async move {
        let page = PageRequest::new(0, Start::Page(1));
        engine.store().messages(&filter, &page).await
    };
    let waiting = life.request(PATIENCE, list).await?.ok()?.items;
    (!waiting.is_empty()).then(|| waiting[draw.below(waiting.len() as u64) as usize].id)
}
