//! The clients: they remember the answers they got, and repeat requests without one.

mod cancel;
mod follow;
mod people;
mod reader;
mod receive;
mod redrive;
mod report;
mod send;

use std::{sync::Arc, time::Duration};

use crate::{
    draw::Draw,
    plan::OperationKind,
    world::{Life, World},
};

pub(crate) use follow::follow;
pub(crate) use people::{body_of_receive, body_of_send, conversation, key_of, to_receive, to_send};
pub(crate) use reader::read_on;
pub(crate) use report::report_on;

/// How long a client waits before it tries another node.
const NOBODY_THERE_PAUSE_MS: (u64, u64) = (200, 1_500);

/// Does what a client does at its time.
pub(crate) async fn perform(world: Arc<World>, operation: usize) {
    let plan = Arc::clone(&world.plan);
    let operation_plan = &plan.operations[operation];
    tokio::time::sleep(operation_plan.at).await;
    let draw = world.common.draw.child(&format!("client/{operation}"));
    match &operation_plan.kind {
        OperationKind::Send(send) => send::perform(&world, operation, send, &draw).await,
        OperationKind::Receive(receive) => receive::perform(&world, operation, receive, &draw).await,
        OperationKind::Redrive => redrive::one(&world, &draw).await,
        OperationKind::RedriveAll { provider } => redrive::all(&world, *provider, &draw).await,
        OperationKind::Cancel => cancel::one(&world, &draw).await,
    }
}

/// A running node, as a load balancer finds it.
fn somebody(world: &World, draw: &Draw) -> Option<Life> {
    let first = draw.below(world.nodes.len() as u64) as usize;
    world.nodes[first].life()
}

async fn pause(draw: &Draw, (least, most): (u64, u64)) {
    tokio::time::sleep(draw.millis(least, most)).await;
}

/// Ends clients that would ask forever; by then the faults are long over.
const TRIES_PAUSE_MAX: Duration = Duration::from_secs(120);
