use std::{sync::Arc, time::Duration};

use domain::{MessageId, PageRequest, Start, Status};
use store::{MessageFilter, RedriveFilter, Redriven};

use super::somebody;
use crate::{
    draw::Draw,
    world::{Life, World},
};

/// How long an operator waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Redrives one message: one of those that failed, or any.
pub(super) async fn one(world: &Arc<World>, draw: &Draw) {
    let Some(life) = somebody(world, draw) else {
        return;
    };
    let some = world.common.observer.some_acknowledged(draw);
    let failed = some_failed(&life, draw).await;
    let Some(id) = failed.filter(|_| draw.permille(800)).or(some) else {
        return;
    };
    let engine = Arc::clone(&life.engine);
    let redriven = life
        .request(PATIENCE, async move { engine.redrive(id).await })
        .await;
    let pending = matches!(redriven, Some(Ok(Redriven::Pending)));
    world
        .common
        .observer
        .note("redrive", &[("message", id.into()), ("pending", pending.into())]);
}

async fn some_failed(life: &Life, draw: &Draw) -> Option<MessageId> {
    let filter = MessageFilter {
        status: Some(Status::Failed),
        ..MessageFilter::default()
    };
    let engine = Arc::clone(&life.engine);
    let list = async move {
        let page = PageRequest::new(0, Start::Page(1));
        engine.store().messages(&filter, &page).await
    };
    let failed = life.request(PATIENCE, list).await?.ok()?.items;
    (!failed.is_empty()).then(|| failed[draw.below(failed.len() as u64) as usize].id)
}

/// Redrives all dead letters of a provider.
pub(super) async fn all(world: &Arc<World>, provider: usize, draw: &Draw) {
    let Some(life) = somebody(world, draw) else {
        return;
    };
    let filter = RedriveFilter {
        provider: Some(world.common.services[provider].name().clone()),
        ..RedriveFilter::default()
    };
    let engine = Arc::clone(&life.engine);
    let redriven = life
        .request(PATIENCE, async move { engine.redrive_matching(&filter).await })
        .await;
    let count = redriven.and_then(Result::ok).unwrap_or(0);
    world.common.observer.note(
        "redrive all",
        &[("provider", provider.into()), ("count", count.into())],
    );
}
