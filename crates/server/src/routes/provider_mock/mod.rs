//! `/api/provider/mock`: configure the simulated providers, let them deliver a message.

pub(crate) mod config;
pub(crate) mod inbound;

use std::sync::Arc;

use providers::simulator::Simulators;

use crate::{App, problem::Problem};

fn simulators(app: &App) -> Result<&Arc<Simulators>, Problem> {
    app.0
        .simulators
        .as_ref()
        .ok_or_else(|| Problem::no_such_route(""))
}
