use std::{sync::Arc, time::Duration};

use domain::EventId;
use store::EventsRead;

use super::{NOBODY_THERE_PAUSE_MS, pause, somebody};
use crate::world::World;

/// How long a follower waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows the event log on any node, with pauses, until the run is over. Now and then it begins again somewhere.
pub(crate) async fn follow(world: Arc<World>, follower: usize) {
    let draw = world.common.draw.child(&format!("follower/{follower}"));
    let observer = Arc::clone(&world.common.observer);
    let mut walk = observer.walk_began(EventId::START);
    let mut after = EventId::START;
    loop {
        if draw.permille(100) {
            pause(&draw, (1_000, 20_000)).await;
        }
        if draw.permille(20) {
            after = EventId::new(draw.below(after.get() + 1)).unwrap_or_default();
            walk = observer.walk_began(after);
        }
        let Some(life) = somebody(&world, &draw) else {
            pause(&draw, NOBODY_THERE_PAUSE_MS).await;
            continue;
        };
        let (engine, limit) = (Arc::clone(&life.engine), draw.between(1, 20) as u32);
        let fresh = draw.permille(300);
        let request = async move {
            let log = engine.events();
            if fresh {
                return log.read_now(after, limit).await;
            }
            let _ = log.beyond(after).await;
            log.read(after, limit).await
        };
        let read = life.request(PATIENCE, request).await;
        drop(life);
        match read {
            Some(Ok(EventsRead::Events(events))) if !events.is_empty() => {
                after = events.last().map_or(after, |event| event.id);
                observer.walked(walk, &events);
            }
            Some(Ok(EventsRead::Expired { start })) => {
                observer.found(
                    "15: events: none lost",
                    format!("nothing was purged, and the log begins at {start}"),
                );
            }
            _ => pause(&draw, (10, 500)).await,
        }
    }
}
