use std::{net::IpAddr, sync::Arc, time::Duration};

use engine::{Rejection, SendError, SentOutcome};

use super::{NOBODY_THERE_PAUSE_MS, TRIES_PAUSE_MAX, pause, somebody, to_send};
use crate::{
    checkers::{Ack, Cell, Reply},
    draw::Draw,
    plan::SendPlan,
    world::{Life, World},
};

/// What the client does next.
enum Next {
    Done,
    AskAgain(Option<Duration>),
}

/// Sends a message, and asks again as long as that does no harm: under a key always, without one only after a clear no.
pub(super) async fn perform(world: &Arc<World>, operation: usize, plan: &SendPlan, draw: &Draw) {
    for try_number in 0..plan.tries {
        let Some(life) = somebody(world, draw) else {
            pause(draw, NOBODY_THERE_PAUSE_MS).await;
            continue;
        };
        let reply = ask(world, &life, operation, plan, try_number).await;
        drop(life);
        match next(&reply, plan.keyed) {
            Next::Done => return,
            Next::AskAgain(Some(after)) if after <= TRIES_PAUSE_MAX => tokio::time::sleep(after).await,
            Next::AskAgain(Some(_)) => return,
            Next::AskAgain(None) => pause(draw, (50, 3_000)).await,
        }
    }
}

async fn ask(world: &Arc<World>, life: &Life, operation: usize, plan: &SendPlan, try_number: u32) -> Reply {
    let (engine, observer) = (Arc::clone(&life.engine), Arc::clone(&world.common.observer));
    let client = IpAddr::from([192, 0, 2, plan.client]);
    let (number, cells) = (
        life.number,
        (
            Cell::Client(plan.client),
            Cell::Sender(plan.channel.conversation(), plan.from),
        ),
    );
    let memory = Arc::clone(&world.common.database);
    let send = to_send(plan, try_number, memory.now());
    let request = async move {
        let limit = engine.limits().check_ip(client);
        observer.client_checked(number, cells.0, limit.refused.is_some());
        if let Some(retry_after) = limit.refused {
            return Reply::Limited { retry_after };
        }
        let asked = observer.asked(number, operation, cells.1, send.request.clone());
        let reply = reply_of(engine.send(send).await);
        observer.answered(asked, &reply, &memory.memory);
        reply
    };
    life.request(plan.patience, request)
        .await
        .unwrap_or(Reply::Nothing)
}

fn reply_of(outcome: SentOutcome) -> Reply {
    match outcome.result {
        Ok(sent) => {
            let ack = Ack {
                id: sent.id,
                conversation: sent.conversation_id,
            };
            if sent.replayed {
                Reply::Replayed(ack)
            } else {
                Reply::New(ack)
            }
        }
        Err(SendError::KeyConflict) => Reply::Conflict,
        Err(SendError::RateLimited { retry_after }) => Reply::Limited { retry_after },
        Err(SendError::NoProvider) => Reply::NoProvider,
        Err(SendError::NotAccepted(rejection)) => of_rejection(&rejection),
    }
}

pub(super) fn of_rejection(rejection: &Rejection) -> Reply {
    match rejection {
        Rejection::Overloaded => Reply::NotStored("overloaded"),
        Rejection::Unavailable => Reply::NotStored("unavailable"),
        Rejection::Refused => Reply::Refused,
        Rejection::OutcomeUnknown => Reply::Unknown,
    }
}

fn next(reply: &Reply, keyed: bool) -> Next {
    match reply {
        Reply::New(_) | Reply::Replayed(_) | Reply::Conflict | Reply::Refused => Next::Done,
        Reply::Limited { retry_after } => Next::AskAgain(Some(*retry_after)),
        Reply::NoProvider | Reply::NotStored(_) => Next::AskAgain(None),
        Reply::Unknown | Reply::Nothing if keyed => Next::AskAgain(None),
        Reply::Unknown | Reply::Nothing => Next::Done,
    }
}
