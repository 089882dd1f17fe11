//! The scene: a simulator and a bridge that know each other, each a process, with a folder and a database of
//! their own. The bridge runs with its defaults, except for what ties it to this place.
//!
//! The account has three numbers. One goes as fast as it can: the circle's. Another one is on hold from the
//! start: what is accepted for it stays queued, so that accepting is measured and nothing else. The third may send one message
//! a second, and has nothing to send until a backlog is put into its queue.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;
use tempfile::TempDir;
use wabridge::{settings, settings::Settings};

use super::{
    circle::Counters,
    message::{ACCOUNT, PASSCODE, PLATFORM_ACCOUNT_ID},
    processes::{self, Launcher, Process},
    wire::ask,
};

/// The number that sends.
pub(super) const FAST_NUMBER: &str = "+918880110022";
/// By which its provider knows it.
pub(super) const FAST_NUMBER_ID: &str = "100000000000001";
/// The number that only accepts.
pub(super) const HELD_NUMBER: &str = "+918880110033";
/// The number whose queue is long.
pub(super) const SLOW_NUMBER: &str = "+918880110044";
/// The most that a number may be given.
const MESSAGES_PER_SECOND_MAX: u32 = 100_000;
/// Webhooks that the simulator has in flight at once.
const WEBHOOKS_IN_FLIGHT: u32 = 128;
/// Of a master key.
const KEY_BYTES: usize = 32;
const CONNECTION: &str = "bench";
pub(super) const TOKEN: &str = "bench-access-token";
const APP_SECRET: &str = "bench-app-secret";

pub(super) struct Scene {
    pub(super) launcher: Launcher,
    pub(super) bridge: Process,
    pub(super) simulator: Process,
    pub(super) bridge_address: SocketAddr,
    pub(super) simulator_address: SocketAddr,
    /// A PostgreSQL database, where it is not a file in the folder.
    database: Option<String>,
    /// Goes last: the processes above have their files in it.
    pub(super) folder: TempDir,
}

impl Scene {
    /// Starts everything. `database` is a PostgreSQL database that holds nothing; without it SQLite is used.
    pub(super) async fn start(database: Option<&str>, open_files: Option<u64>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("wabridge-bench-").tempdir().context("could not make a folder")?;
        let launcher = Launcher::new(folder.path(), environment(folder.path(), database), open_files)?;

        let in_flight = WEBHOOKS_IN_FLIGHT.to_string();
        let mut simulator = launcher.start(
            "simulator",
            &[
                "simulator",
                "--port",
                "0",
                "--messages-per-second",
                "0",
                "--suffix-rules",
                "false",
                // Each status is a webhook of its own.
                "--webhook-batch-max",
                "1",
                "--webhooks-in-flight-max",
                &in_flight,
                "--access-token",
                TOKEN,
                "--app-secret",
                APP_SECRET,
                // Nobody will look at them.
                "--sends-kept-max",
                "0",
                "--callbacks-kept-max",
                "0",
            ],
        )?;
        let simulator_address = simulator.address().await?;

        let file = folder.path().join("bench.toml");
        std::fs::write(&file, configuration(simulator_address)).context("could not write the configuration")?;
        launcher.run("apply", &["apply", &file.to_string_lossy()]).await?;
        launcher.run("hold", &["hold", HELD_NUMBER, "--reason", "the bench measures how fast it accepts"]).await?;

        let mut bridge = launcher.start("bridge", &["serve"])?;
        let bridge_address = bridge.address().await?;
        let database = database.map(str::to_owned);
        let scene = Self { launcher, bridge, simulator, bridge_address, simulator_address, database, folder };
        scene.send_webhooks_to_bridge().await?;
        Ok(scene)
    }

    pub(super) async fn send_webhooks_to_bridge(&self) -> anyhow::Result<()> {
        self.send_webhooks_to(&format!("http://{}/webhooks/meta/{CONNECTION}", self.bridge_address)).await
    }

    pub(super) async fn send_webhooks_to(&self, url: &str) -> anyhow::Result<()> {
        self.set_knobs(&format!(r#"{{"webhook_url":"{url}"}}"#)).await
    }

    /// The bridge's database, while the bridge does not run.
    pub(super) async fn stop_bridge(&mut self) -> anyhow::Result<settings::Database> {
        self.bridge.stop().await?;
        let url = database_url(self.folder.path(), self.database.as_deref());
        Ok(settings::Database { url: url.into(), ..Settings::defaults().database })
    }

    pub(super) async fn start_bridge_again(&mut self) -> anyhow::Result<()> {
        self.bridge = self.launcher.start("bridge", &["serve"])?;
        self.bridge_address = self.bridge.address().await?;
        self.send_webhooks_to_bridge().await
    }

    /// What is named in `json` changes.
    pub(super) async fn set_knobs(&self, json: &str) -> anyhow::Result<()> {
        self.control("PATCH", "/control/knobs", json).await.map(drop)
    }

    /// Where the durable handler keeps its bodies: a file beside the bridge's, or a table beside the bridge's.
    pub(super) fn yardstick_database(&self) -> String {
        let file = || format!("sqlite://{}", self.folder.path().join("yardstick.db").display());
        self.database.clone().unwrap_or_else(file)
    }

    /// Asks the simulator. `false` when it answers that the time is up.
    pub(super) async fn control(&self, method: &str, path: &str, json: &str) -> anyhow::Result<(bool, Value)> {
        let (status, body) =
            ask(self.simulator_address, method, path, json).await.context("could not ask the simulator")?;
        ensure!(matches!(status, 200 | 408), "the simulator answered {method} {path} with {status}: {body}");
        Ok((status == 200, serde_json::from_str(&body).context("the simulator's answer is not JSON")?))
    }

    /// What the bridge has counted so far.
    pub(super) async fn counters(&self) -> anyhow::Result<Counters> {
        let (status, text) =
            ask(self.bridge_address, "GET", "/metrics", "").await.context("could not read /metrics")?;
        ensure!(status == 200, "/metrics answered with {status}");
        Ok(Counters {
            rows_written: counter(&text, wabridge::telemetry::STORE_ROWS_WRITTEN),
            statements: counter(&text, wabridge::telemetry::STORE_STATEMENTS),
            commits: counter(&text, &format!("{}_count", wabridge::telemetry::COMMIT_SECONDS)),
            bridge_cpu: self.bridge.cpu_time(),
            simulator_cpu: self.simulator.cpu_time(),
            database_cpu: self.database.is_some().then(processes::postgres_cpu_time).flatten(),
        })
    }
}

fn database_url(folder: &Path, database: Option<&str>) -> String {
    database.map_or_else(|| format!("sqlite://{}", folder.join("wabridge.db").display()), str::to_owned)
}

fn environment(folder: &Path, database: Option<&str>) -> Vec<(&'static str, String)> {
    vec![
        ("WABRIDGE__SERVER__BIND", "127.0.0.1:0".to_owned()),
        ("WABRIDGE__DATABASE__URL", database_url(folder, database)),
        // A key of its own from the start: `apply` makes none for a database that others may share.
        ("WABRIDGE__SECURITY__MASTER_KEY", BASE64.encode(rand::random::<[u8; KEY_BYTES]>())),
        ("WABRIDGE__SECURITY__ALLOW_PRIVATE_NETWORKS", "true".to_owned()),
        ("WABRIDGE__INSTANCE__ID", "bench".to_owned()),
    ]
}

fn configuration(simulator: SocketAddr) -> String {
    let senders: String = [
        (FAST_NUMBER, FAST_NUMBER_ID, MESSAGES_PER_SECOND_MAX),
        (HELD_NUMBER, "100000000000002", MESSAGES_PER_SECOND_MAX),
        (SLOW_NUMBER, "100000000000003", 1),
    ]
    .map(|(number, id, messages_per_second)| {
        format!(
            "[[accounts.senders]]\nnumber = \"{number}\"\nconnection = \"{CONNECTION}\"\nphone_number_id = \"{id}\"\n\
             waba_id = \"200000000000001\"\nmessages_per_second = {messages_per_second}\n"
        )
    })
    .concat();
    format!(
        "[[connections]]\nid = \"{CONNECTION}\"\nprovider = \"meta\"\nbase_url = \"http://{simulator}\"\n\
         access_token = \"{TOKEN}\"\napp_secret = \"{APP_SECRET}\"\nverify_token = \"bench\"\n\
         [[accounts]]\nid = \"{ACCOUNT}\"\nname = \"Bench\"\nplatform = \"clevertap\"\n\
         clevertap_account_id = \"{PLATFORM_ACCOUNT_ID}\"\nclevertap_passcode = \"{PASSCODE}\"\n\
         delivery_report_callback_url = \"http://{simulator}/clevertap/delivery-reports\"\n\
         inbound_message_callback_url = \"http://{simulator}/clevertap/inbound\"\n{senders}"
    )
}

/// The sum of a counter's lines in Prometheus' text format, whatever their labels.
fn counter(text: &str, name: &str) -> f64 {
    let of_name = text.lines().filter_map(|line| line.strip_prefix(name));
    of_name
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_sum_of_its_own_lines() {
        let text = "# HELP rows what\n# TYPE rows counter\nrows{kind=\"a b\"} 3\nrows{kind=\"c\"} 4\nrows_total 100\nseconds_count 2\n";
        assert_eq!(counter(text, "rows"), 7.0);
        assert_eq!(counter(text, "seconds_count"), 2.0);
        assert_eq!(counter(text, "missing"), 0.0);
    }
}
