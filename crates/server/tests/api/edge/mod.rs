//! Generated requests, valid ones and near misses: each gets a documented answer, and what is not accepted is not stored.
//!
//! Parsers have more cases in their own crates; here they meet over a socket. A finding becomes a named case beside the route.

mod bodies;
mod headers;
mod json;
mod paths;
mod queries;
mod wire;

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{TestCaseResult, TestRunner},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    problems::codes::codes,
    world::{Response, Settings, World},
};

/// Requests for each property. All of them together take a few seconds in a debug build.
const CASES: u32 = 300;
/// Tries to make a failing request smaller.
const SHRINK_TRIES_MAX: u32 = 300;

/// A node that stays the same from case to case.
struct Edge {
    runtime: Runtime,
    world: World,
    codes: BTreeSet<String>,
}

impl Edge {
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::with(change));
        Self {
            runtime,
            world,
            codes: codes(),
        }
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    /// Tries many cases; a failure is shrunk and printed.
    fn each<S: Strategy>(&self, cases: &S, holds: impl AsyncFn(&World, S::Value) -> TestCaseResult) {
        let config = ProptestConfig {
            cases: CASES,
            failure_persistence: None,
            max_shrink_iters: SHRINK_TRIES_MAX,
            ..ProptestConfig::default()
        };
        let run = TestRunner::new(config).run(cases, |case| self.runtime.block_on(holds(&self.world, case)));
        if let Err(failure) = run {
            panic!("{failure}");
        }
        let health = self.runtime.block_on(self.world.get("/healthz"));
        health.expect(200);
    }

    /// Expects one of these statuses, and of a problem a documented code. The client checks the rest.
    fn is_one_of(&self, response: &Response, statuses: &[u16]) -> TestCaseResult {
        prop_assert!(statuses.contains(&response.status), "{response}");
        if response.status >= 400 {
            let code = response.json()["code"].as_str().unwrap().to_owned();
            prop_assert!(self.codes.contains(&code), "{response}");
        }
        Ok(())
    }
}

/// Characters that are special somewhere between a socket and a database.
fn odd_text() -> impl Strategy<Value = String> {
    let odd = vec![
        '%',
        '&',
        '=',
        '+',
        '"',
        '\\',
        '\'',
        ';',
        '/',
        '?',
        '#',
        ' ',
        '\0',
        '\n',
        '\u{7f}',
        '\u{202e}',
        '\u{1f44d}',
        '0',
        'a',
    ];
    prop_oneof![
        prop::collection::vec(prop::sample::select(odd), 0..12).prop_map(String::from_iter),
        "(?s).{0,20}"
    ]
}
