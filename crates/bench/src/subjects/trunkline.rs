use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;

use super::{Server, Store};

/// The limits are on, and so high that they never refuse.
const NEVER_REFUSES: &str = "100000000";

/// The program under measurement.
#[derive(Debug, Clone)]
pub(crate) struct Trunkline {
    program: PathBuf,
}

impl Trunkline {
    pub(crate) fn at(program: &Path) -> anyhow::Result<Self> {
        let program = program
            .canonicalize()
            .with_context(|| format!("no program at {}", program.display()))?;
        Ok(Self { program })
    }

    /// Builds the release of this source tree.
    pub(crate) async fn build() -> anyhow::Result<Self> {
        eprintln!("building trunkline (release)");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--release", "--locked", "--package", "trunkline"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await?;
        if !output.status.success() {
            bail!("building trunkline failed");
        }
        let artifacts = String::from_utf8(output.stdout)?;
        let program = artifacts
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|artifact| artifact["target"]["name"] == "trunkline")
            .find_map(|artifact| Some(PathBuf::from(artifact["executable"].as_str()?)))
            .context("cargo does not say where trunkline is")?;
        Ok(Self { program })
    }

    /// The size of the executable.
    pub(crate) fn size(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.program)?.len())
    }

    /// Starts the service with all its features on. `settings` are added to the environment.
    pub(crate) async fn start(
        &self,
        store: &Store,
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        let mut command = self.command(store, directory);
        command
            .env("API_BIND", "127.0.0.1:0")
            // There is no load balancer to inform.
            .env("API_LAME_DUCK_SECS", "0")
            .env("API_RATE_LIMIT_PER_IP_PER_MIN", NEVER_REFUSES)
            .env("API_RATE_LIMIT_PER_SENDER_PER_MIN", NEVER_REFUSES)
            .env("API_LOG", "info")
            .env("API_LOG_FORMAT", "json")
            .envs(settings.iter().copied());
        Server::start(command, &directory.join("trunkline.log")).await
    }

    /// Creates the tables.
    pub(crate) async fn migrate(&self, store: &Store, directory: &Path) -> anyhow::Result<()> {
        let output = self.command(store, directory).arg("migrate").output().await?;
        if !output.status.success() {
            bail!("trunkline migrate: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn command(&self, store: &Store, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("DATABASE_URL", store.url())
            .current_dir(directory);
        command
    }
}
