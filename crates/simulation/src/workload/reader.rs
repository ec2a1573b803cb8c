use std::{sync::Arc, time::Duration};

use super::{pause, somebody};
use crate::world::World;

/// How long a reader waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two reads, in milliseconds.
const PAUSE_MS: (u64, u64) = (10, 700);

/// Reads messages while they are in flight, until the run is over.
pub(crate) async fn read_on(world: Arc<World>) {
    let draw = world.common.draw.child("reader");
    loop {
        pause(&draw, PAUSE_MS).await;
        let (Some(id), Some(life)) = (
            world.common.observer.one_of_the_latest(&draw),
            somebody(&world, &draw),
        ) else {
            continue;
        };
        let engine = Arc::clone(&life.engine);
        let read = life
            .request(PATIENCE, async move { engine.store().message(id).await })
            .await;
        if let Some(Ok(detail)) = read {
            world.common.observer.read(id, detail.as_ref());
        }
    }
}
