use std::time::Duration;

use anyhow::ensure;
use domain::Clock;

use super::Bench;
use crate::{
    load::Connection,
    report::{Row, Target},
    subjects::memory_mib,
};

const READY_MAX_MS: f64 = 300.0;
const ROUNDS: usize = 5;
/// After this a server is idle.
const IDLE: Duration = Duration::from_secs(3);

impl Bench {
    /// The time from start to ready on an existing store, and the size of the service.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for kind in self.options.kinds.clone() {
            let store = self.databases.create(kind).await?;
            self.trunkline.migrate(&store, self.directory()).await?;
            let (mut slowest, mut idle) = (0.0_f64, 0.0);
            for round in 0..ROUNDS {
                let began = self.clock.monotonic();
                let server = self.trunkline.start(&store, self.directory(), &[]).await?;
                let mut connection = Connection::open(&server.authority).await?;
                let (status, answer) = connection.get(&server.authority, "/readyz").await?;
                slowest = slowest.max(self.ms_since(began));
                ensure!(status == 200, "not ready: {answer}");
                if round + 1 == ROUNDS {
                    tokio::time::sleep(IDLE).await;
                    idle = memory_mib(server.id());
                }
                drop(connection);
                server.stop().await?;
            }
            self.databases.remove(store).await?;
            self.report.add(Row::new(
                format!("i: start to ready, slowest of {ROUNDS}, {kind}"),
                "ms",
                slowest,
                Target::AtMost(READY_MAX_MS),
            ));
            self.report.add(Row::new(
                format!("i: idle memory, {kind}"),
                "MiB",
                idle,
                Target::Reported,
            ));
        }
        let size = self.trunkline.size()? as f64 / (1 << 20) as f64;
        self.report.add(Row::new(
            "i: size of the program with its line tables",
            "MiB",
            size,
            Target::Reported,
        ));
        Ok(())
    }
}
