use std::{sync::Arc, time::Duration};

use store::{RedriveFilter, Redriven};

use super::somebody;
use crate::{draw::Draw, world::World};

/// How long an operator waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Redrives one of the messages acknowledged so far, failed or not.
pub(super) async fn one(world: &Arc<World>, draw: &Draw) {
    let (Some(id), Some(life)) = (
        world.common.observer.some_acknowledged(draw),
        somebody(world, draw),
    ) else {
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
