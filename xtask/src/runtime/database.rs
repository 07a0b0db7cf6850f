//! PostgreSQL in a container, on a network of its own.

use std::time::Duration;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::process::wait_for;

use super::docker::docker;

const IMAGE: &str = "wheelfarm/postgres:15";
const PASSWORD: &str = "not-a-secret";
const LIMIT: Duration = Duration::from_secs(60);

/// A database; container and network are removed at the end.
#[derive(Debug)]
pub(super) struct Database {
    network: String,
    container: String,
}

impl Database {
    /// Starts it, and waits until it takes connections.
    pub(super) fn start() -> Result<Self> {
        let name = format!("wheelfarm-example-{}", std::process::id());
        docker(&["network", "create", &name])?;
        let mut database = Self {
            network: name,
            container: String::new(),
        };
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        let id = docker(&[
            "run",
            "--detach",
            "--network",
            &database.network,
            "--network-alias",
            "database",
            "--env",
            &password,
            IMAGE,
        ])?;
        id.trim().clone_into(&mut database.container);
        let ask = [
            "exec",
            &database.container,
            "psql",
            "postgresql://postgres:not-a-secret@127.0.0.1/postgres",
            "--command",
            "SELECT 1",
        ];
        let answers = wait_for("the database to answer", LIMIT, || Ok(docker(&ask).ok()));
        answers.with_context(|| docker(&["logs", &database.container]).unwrap_or_default())?;
        Ok(database)
    }

    /// Options of `docker run` for who uses it.
    pub(super) fn options(&self) -> Vec<String> {
        let url = format!("DATABASE_URL=postgresql://postgres:{PASSWORD}@database/postgres");
        let password = format!("PGPASSWORD={PASSWORD}");
        let mut options = vec!["--network", &self.network];
        // As a whole, and as libpq's own variables.
        for variable in [&url, "PGHOST=database", "PGUSER=postgres", &password] {
            options.extend(["--env", variable]);
        }
        options.into_iter().map(str::to_owned).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.container.is_empty() {
            docker(&["rm", "--force", "--volumes", &self.container]).ok();
        }
        docker(&["network", "rm", &self.network]).ok();
    }
}
