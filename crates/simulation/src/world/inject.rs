use std::{sync::Arc, time::Duration};

use super::{Node, World, gate::Condition};
use crate::plan::FaultKind;

/// How long to wait for a node's polls: an idle node makes too few.
const FUSE_MAX: Duration = Duration::from_secs(2);

impl World {
    /// Waits until a fault is due, and injects it.
    pub(super) async fn inject(self: Arc<Self>, fault: usize) {
        let fault = &self.plan.faults[fault];
        tokio::time::sleep(fault.at).await;
        let (database, observer) = (&self.common.database, &self.common.observer);
        match &fault.kind {
            FaultKind::Crash { node, polls, down } => self.crash(&self.nodes[*node], *polls, *down).await,
            FaultKind::Freeze {
                node,
                polls,
                lasting,
                clock_too,
            } => {
                let wait = self.freeze(&self.nodes[*node], *polls, *lasting, *clock_too);
                wait.await;
            }
            FaultKind::Restart { node, within } => self.restart(&self.nodes[*node], *within).await,
            FaultKind::ProviderRemoved {
                node,
                provider,
                within,
                lasting,
            } => {
                let node = &self.nodes[*node];
                node.leave_out(Some(*provider));
                self.restart(node, *within).await;
                if let Some(lasting) = lasting {
                    tokio::time::sleep(*lasting).await;
                    node.leave_out(None);
                    self.restart(node, *within).await;
                }
            }
            FaultKind::ClockJump { node, by_ms } => {
                observer.note(
                    "clock set",
                    &[("node", (*node).into()), ("by_ms", (*by_ms).into())],
                );
                self.nodes[*node].set_clock(*by_ms);
            }
            FaultKind::StoreAway { lasting, hanging } => {
                observer.note("store away", &[("hanging", (*hanging).into())]);
                database.go_away(*lasting, *hanging);
                tokio::time::sleep(*lasting).await;
                observer.note("store back", &[]);
            }
            FaultKind::StoreSlow { lasting, up_to } => {
                observer.note("store slow", &[]);
                database.slow_down(*lasting, *up_to);
                tokio::time::sleep(*lasting).await;
            }
            FaultKind::StoreFlaky { lasting, permille } => {
                observer.note("store flaky", &[("permille", (*permille).into())]);
                database.break_connections(*lasting, *permille);
                tokio::time::sleep(*lasting).await;
            }
            FaultKind::StatementFails {
                statement,
                failure,
                permille,
                lasting,
            } => {
                observer.note("statements fail", &[("permille", (*permille).into())]);
                database.fail(*statement, *failure, *permille, *lasting);
                tokio::time::sleep(*lasting).await;
            }
            FaultKind::Health {
                provider,
                health,
                lasting,
            } => {
                observer.note(
                    "health",
                    &[("provider", (*provider).into()), ("health", health.word().into())],
                );
                self.common.services[*provider].get_into(*health, *lasting);
                tokio::time::sleep(*lasting).await;
            }
        }
    }

    async fn crash(&self, node: &Node, polls: u32, down: Duration) {
        let Some(life) = node.life() else { return };
        life.gate.lay_fuse(polls, Condition::Dead);
        let _ = tokio::time::timeout(FUSE_MAX, life.gate.tripped()).await;
        if node.life().is_some_and(|now| now.number == life.number) {
            node.kill();
            drop(life);
            tokio::time::sleep(down).await;
            node.start();
        }
    }

    async fn freeze(&self, node: &Node, polls: u32, lasting: Duration, clock_too: bool) {
        let Some(life) = node.life() else { return };
        life.gate.lay_fuse(polls, Condition::Frozen);
        if tokio::time::timeout(FUSE_MAX, life.gate.tripped()).await.is_err() {
            life.gate.set(Condition::Frozen);
        }
        let observer = &self.common.observer;
        observer.note("frozen", &[("life", life.number.into())]);
        observer.life_froze(life.number);
        tokio::time::sleep(lasting).await;
        if clock_too {
            node.set_clock(-(lasting.as_millis() as i64));
        }
        observer.note("thawed", &[("life", life.number.into())]);
        life.gate.set(Condition::Running);
    }

    async fn restart(&self, node: &Node, within: Duration) {
        let Some(life) = node.life() else { return };
        let observer = &self.common.observer;
        observer.note("told to stop", &[("life", life.number.into())]);
        let in_time = life.stop(within).await;
        observer.note(
            "stopped",
            &[("life", life.number.into()), ("in_time", in_time.into())],
        );
        if node.life().is_some_and(|now| now.number == life.number) {
            if in_time {
                observer.drained(life.number, &self.common.database.memory);
            } else {
                observer.cut_off();
            }
            node.kill();
            node.start();
        }
    }
}
