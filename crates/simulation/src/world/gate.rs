//! Stops nodes: every task of a node is polled through its gate.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use engine::{Spawn, Task};
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, task::JoinHandle};

use crate::draw::Draw;

/// The gate of one life of a node.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    tripped: Notify,
    draw: Draw,
    yields_permille: u32,
}

struct State {
    condition: Condition,
    /// The condition changes to this after so many more polls.
    fuse: Option<(u32, Condition)>,
    /// Woken when the condition changes.
    tasks: BTreeMap<u64, Waker>,
    next_task: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Running,
    /// Its tasks do not run until further notice; time passes.
    Frozen,
    /// Its tasks never run again.
    Dead,
}

enum Turn {
    Go,
    /// Yields to other tasks.
    Yield,
    Wait,
    End,
}

impl Gate {
    pub(crate) fn new(draw: Draw, yields_permille: u32) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                condition: Condition::Running,
                fuse: None,
                tasks: BTreeMap::new(),
                next_task: 0,
            }),
            tripped: Notify::new(),
            draw,
            yields_permille,
        }))
    }

    /// Changes the condition after so many more polls, and so in the middle of something.
    pub(crate) fn lay_fuse(&self, polls: u32, condition: Condition) {
        self.state().fuse = Some((polls, condition));
    }

    /// Completes when the condition has changed.
    pub(crate) async fn tripped(&self) {
        self.0.tripped.notified().await;
    }

    /// Changes the condition now. A dead node stays dead.
    pub(crate) fn set(&self, condition: Condition) {
        let mut state = self.state();
        state.fuse = None;
        state.enter(condition);
        let tasks: Vec<Waker> = state.tasks.values().cloned().collect();
        drop(state);
        tasks.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn condition(&self) -> Condition {
        self.state().condition
    }

    fn turn(&self, task: u64, waker: &Waker) -> Turn {
        let mut state = self.state();
        if state.condition == Condition::Running
            && let Some((polls, condition)) = &mut state.fuse
        {
            match polls.checked_sub(1) {
                Some(left) => *polls = left,
                None => {
                    let condition = *condition;
                    drop(state);
                    self.set(condition);
                    self.0.tripped.notify_one();
                    state = self.state();
                }
            }
        }
        match state.tasks.get_mut(&task) {
            Some(known) => known.clone_from(waker),
            None => {
                state.tasks.insert(task, waker.clone());
            }
        }
        match state.condition {
            Condition::Dead => Turn::End,
            Condition::Frozen => Turn::Wait,
            Condition::Running if self.0.draw.permille(self.0.yields_permille) => Turn::Yield,
            Condition::Running => Turn::Go,
        }
    }

    fn forget(&self, task: u64) {
        self.state().tasks.remove(&task);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl State {
    fn enter(&mut self, condition: Condition) {
        if self.condition != Condition::Dead {
            self.condition = condition;
        }
    }
}

impl Spawn for Gate {
    fn spawn(&self, task: Task) -> JoinHandle<()> {
        let mut state = self.state();
        let number = state.next_task;
        state.next_task += 1;
        drop(state);
        tokio::spawn(Gated {
            gate: self.clone(),
            number,
            task: Some(task),
        })
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({:?})", self.condition())
    }
}

struct Gated {
    gate: Gate,
    number: u64,
    task: Option<Task>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.gate.turn(self.number, context.waker()) {
            Turn::Go => {}
            Turn::Yield => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Turn::Wait => return Poll::Pending,
            Turn::End => self.task = None,
        }
        let ended = match &mut self.task {
            Some(task) => task.as_mut().poll(context).is_ready(),
            None => true,
        };
        if ended {
            self.task = None;
            self.gate.forget(self.number);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
