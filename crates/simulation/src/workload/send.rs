use std::{net::IpAddr, sync::Arc, time::Duration};

use engine::{Rejection, SendError, SentOutcome};

use super::{NOBODY_THERE_PAUSE_MS, TRIES_PAUSE_MAX, pause, somebody, to_send};
use crate::{
    checkers::{Ack, Cell, Response},
    draw::Draw,
    plan::SendPlan,
    world::{Life, World},
};

/// What the client does next.
enum Next {
    Done,
    AskAgain(Option<Duration>),
}

/// Sends a message, and repeats it while that is safe: with a key always, without one only after a certain refusal.
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

async fn ask(
    world: &Arc<World>,
    life: &Life,
    operation: usize,
    plan: &SendPlan,
    try_number: u32,
) -> Response {
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
    let (message, request_key) = to_send(plan, try_number, memory.now());
    let request = async move {
        let limit = engine.limits().check_ip(client);
        observer.client_checked(number, cells.0, limit.refused.is_some());
        if let Some(refused) = limit.refused {
            return Response::Limited {
                retry_after: refused.retry_after,
            };
        }
        let asked = observer.asked(number, operation, cells.1, request_key.clone());
        let reply = reply_of(engine.send(message, request_key).await);
        observer.answered(asked, &reply, &memory.memory);
        reply
    };
    life.request(plan.patience, request)
        .await
        .unwrap_or(Response::Nothing)
}

fn reply_of(outcome: SentOutcome) -> Response {
    match outcome.result {
        Ok(sent) => {
            let ack = Ack {
                id: sent.id,
                conversation: sent.conversation_id,
            };
            if sent.replayed {
                Response::Replayed(ack)
            } else {
                Response::New(ack)
            }
        }
        Err(SendError::KeyConflict) => Response::Conflict,
        Err(SendError::RateLimited(refused)) => Response::Limited {
            retry_after: refused.retry_after,
        },
        Err(SendError::NoProvider) => Response::NoProvider,
        Err(SendError::NotAccepted(rejection)) => of_rejection(&rejection),
    }
}

pub(super) fn of_rejection(rejection: &Rejection) -> Response {
    match rejection {
        Rejection::Overloaded => Response::NotStored("overloaded"),
        Rejection::Unavailable(_) => Response::NotStored("unavailable"),
        Rejection::Refused => Response::Refused,
        Rejection::OutcomeUnknown => Response::Unknown,
    }
}

fn next(reply: &Response, keyed: bool) -> Next {
    match reply {
        Response::New(_) | Response::Replayed(_) | Response::Conflict | Response::Refused => Next::Done,
        Response::Limited { retry_after } => Next::AskAgain(Some(*retry_after)),
        Response::NoProvider | Response::NotStored(_) => Next::AskAgain(None),
        Response::Unknown | Response::Nothing if keyed => Next::AskAgain(None),
        Response::Unknown | Response::Nothing => Next::Done,
    }
}
