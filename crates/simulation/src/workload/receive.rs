use std::{sync::Arc, time::Duration};

use engine::Received;

use super::{NOBODY_THERE_PAUSE_MS, pause, send::of_rejection, somebody, to_receive};
use crate::{
    checkers::{Ack, Cell, Response},
    draw::Draw,
    plan::ReceivePlan,
    world::World,
};

/// How long a provider waits for the answer to its webhook.
const PATIENCE: Duration = Duration::from_secs(3);

/// Delivers a webhook until it is acknowledged, as providers do.
pub(super) async fn perform(world: &Arc<World>, operation: usize, plan: &ReceivePlan, draw: &Draw) {
    for try_number in 0..plan.tries {
        let Some(life) = somebody(world, draw) else {
            pause(draw, NOBODY_THERE_PAUSE_MS).await;
            continue;
        };
        let (engine, observer) = (Arc::clone(&life.engine), Arc::clone(&world.common.observer));
        let database = Arc::clone(&world.common.database);
        let name = world.common.services[plan.provider].name().clone();
        let (message, id) = to_receive(plan, try_number, database.now());
        let number = life.number;
        let request = async move {
            let asked = observer.asked(number, operation, Cell::None, None);
            let reply = match engine.receive(message, name, id, "{}".into()).await {
                Ok(Received { id, conversation_id }) => Response::New(Ack {
                    id,
                    conversation: conversation_id.expect("nothing is imported here"),
                }),
                Err(rejection) => of_rejection(&rejection),
            };
            observer.answered(asked, &reply, &database.memory);
            reply
        };
        let reply = life.request(PATIENCE, request).await;
        drop(life);
        if matches!(reply, Some(Response::New(_) | Response::Refused)) {
            return;
        }
        pause(draw, (50, 3_000)).await;
    }
}
