//! The sections of the tree. What each setting is for, from an operator's view, stands beside its
//! default in `defaults.toml`; here it says what the code may rely on.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use super::formats::SecretUrl;
use super::formats::{networks, optional_address, optional_path, optional_secret, waits};
use crate::domain::duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where to listen; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Where metrics are served instead; `None`: at `bind`.
    #[serde(with = "optional_address")]
    pub metrics_bind: Option<SocketAddr>,
    /// Both or none: with them `bind` speaks TLS.
    #[serde(with = "optional_path")]
    pub tls_certificate: Option<PathBuf>,
    #[serde(with = "optional_path")]
    pub tls_key: Option<PathBuf>,
    /// As written; [`Settings::public_url`](super::Settings::public_url) gives the one to use.
    pub public_url: String,
    /// Whose `X-Forwarded-For` is believed.
    #[serde(with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// HTTP threads; 0 stands for the number of cores.
    pub workers: usize,
    /// Open connections, over all threads.
    pub connections_max: usize,
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// How long a graceful stop may take.
    #[serde(with = "duration")]
    pub shutdown_timeout: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://…` or `postgres://…`; may hold a password.
    pub url: SecretUrl,
    /// Size of the reading pool, at least 1.
    pub read_connections: u32,
    #[serde(with = "duration")]
    pub busy_timeout: Duration,
    #[serde(with = "duration")]
    pub answer_timeout: Duration,
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Base64 of 32 bytes; goes before the file.
    #[serde(default, with = "optional_secret")]
    pub master_key: Option<SecretString>,
    pub master_key_file: PathBuf,
    /// Whether outgoing requests may leave the public internet, and go without TLS.
    pub allow_private_networks: bool,
    /// Empty: none.
    pub https_proxy: SecretUrl,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// As written; [`Settings::instance_id`](super::Settings::instance_id) gives the one to use.
    pub id: String,
    /// Longer than the longest exchange, by construction.
    #[serde(with = "duration")]
    pub lease: Duration,
    #[serde(with = "duration")]
    pub lease_renewal: Duration,
    /// Until a worker that gets nothing done makes `/readyz` red.
    #[serde(with = "duration")]
    pub worker_silence_max: Duration,
}

/// Everything has a limit, and the limit has a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub send_body_bytes: usize,
    pub webhook_body_bytes: usize,
    pub commit_batch_rows: usize,
    /// Beyond it work is shed at the door.
    pub commit_queue_rows: usize,
    #[serde(with = "duration")]
    pub accept_wait_expected: Duration,
    /// Below the second after which the platform counts an error.
    #[serde(with = "duration")]
    pub accept_wait: Duration,
    #[serde(with = "duration")]
    pub webhook_wait: Duration,
    pub webhooks_waiting: usize,
    /// All their bodies together; at least one of the largest.
    pub webhooks_waiting_bytes: usize,
    pub answer_bytes: usize,
    pub refused_kept_per_minute: u32,
    pub read_ahead_messages: usize,
    /// Beyond it the database is asked before each message.
    pub suppressions_in_memory: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    #[serde(with = "duration")]
    pub timeout: Duration,
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    pub in_flight_per_number: usize,
    /// Above 0, at most 1.
    pub pace_share: f64,
    pub pair_burst: u32,
    #[serde(with = "duration")]
    pub pair_refill: Duration,
    /// The last one is repeated until the message expires.
    #[serde(with = "waits")]
    pub retry_waits: Vec<Duration>,
    #[serde(with = "duration")]
    pub unknown_grace: Duration,
    #[serde(with = "duration")]
    pub template_lookup: Duration,
    /// Added to a message's time to live before its silence means that WhatsApp dropped it.
    #[serde(with = "duration")]
    pub silence_buffer: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    #[serde(with = "duration")]
    pub timeout: Duration,
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// The last one is repeated until the horizon.
    #[serde(with = "waits")]
    pub retry_waits: Vec<Duration>,
    #[serde(with = "duration")]
    pub horizon: Duration,
    pub in_flight_per_subscription: usize,
    pub events_per_read: usize,
    #[serde(with = "duration")]
    pub hold_probe: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    #[serde(with = "duration")]
    pub sync_every: Duration,
    #[serde(with = "duration")]
    pub webhook_delay: Duration,
}

/// Files that people send, and our copies of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pub store: MediaStore,
    /// For copies in a directory.
    pub directory: PathBuf,
    /// For copies in a bucket: this and what follows.
    pub bucket: String,
    pub region: String,
    /// Empty: Amazon's own.
    pub endpoint: String,
    /// Before the name of every file; may be empty.
    pub prefix: String,
    /// Both or none; without them the machine's own role is used.
    #[serde(default, with = "optional_secret")]
    pub access_key_id: Option<SecretString>,
    #[serde(default, with = "optional_secret")]
    pub secret_access_key: Option<SecretString>,
    pub image_bytes: u64,
    pub video_bytes: u64,
    pub audio_bytes: u64,
    pub document_bytes: u64,
    pub sticker_bytes: u64,
    /// What may be copied: `type/subtype`, where a `*` at the end stands for anything.
    pub types: Vec<String>,
    /// Who may be shown the access token beside the connection's own host: names, or `*.` and a domain.
    pub hosts: Vec<String>,
    pub copies_at_once: usize,
    pub copies_at_once_per_number: usize,
    /// For one file, from asking for it to the end of it.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The last one is repeated until the horizon.
    #[serde(with = "waits")]
    pub retry_waits: Vec<Duration>,
    #[serde(with = "duration")]
    pub horizon: Duration,
    /// How long a request for a file waits for a copy that is under way.
    #[serde(with = "duration")]
    pub wait: Duration,
    pub waiting_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaStore {
    Directory,
    S3,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    #[serde(with = "duration")]
    pub read_every: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeats {
    /// A repeat within it gets the stored answer.
    #[serde(with = "duration")]
    pub window: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "duration")]
    pub messages: Duration,
    #[serde(with = "duration")]
    pub events: Duration,
    #[serde(with = "duration")]
    pub refused: Duration,
    #[serde(with = "duration")]
    pub attempts: Duration,
    #[serde(with = "duration")]
    pub unrecognized: Duration,
    #[serde(with = "duration")]
    pub parked_statuses: Duration,
    /// Also how long links to files live.
    #[serde(with = "duration")]
    pub media: Duration,
    /// Also tokens that ended.
    #[serde(with = "duration")]
    pub audit: Duration,
    #[serde(with = "duration")]
    pub statistics: Duration,
    /// Counted from when a link was last seen.
    #[serde(with = "duration")]
    pub person_links: Duration,
    #[serde(with = "duration")]
    pub every: Duration,
    pub rows_per_step: usize,
}

impl Retention {
    /// Of what an account's `keep_for` is about, the longest.
    pub fn history(&self) -> Duration {
        self.messages.max(self.events).max(self.refused)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarms {
    /// Who knows it may post to it. None: no webhook.
    #[serde(default, with = "optional_secret")]
    pub webhook_url: Option<SecretString>,
    #[serde(default, with = "optional_secret")]
    pub webhook_secret: Option<SecretString>,
    /// None: no e-mail.
    #[serde(default, with = "optional_secret")]
    pub smtp_url: Option<SecretString>,
    pub from: String,
    pub to: Vec<String>,
    /// For each kind and subject.
    #[serde(with = "duration")]
    pub every: Duration,
    #[serde(with = "duration")]
    pub look_every: Duration,
    #[serde(with = "duration")]
    pub callbacks_failing_for: Duration,
    pub webhooks_silent_messages: u64,
    #[serde(with = "duration")]
    pub webhooks_silent_for: Duration,
    #[serde(with = "duration")]
    pub queue_late_by: Duration,
    /// In percent of the disk.
    pub disk_free_min: u8,
}

/// The web console and `/api/v1`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    pub enabled: bool,
    /// Where it is served instead; `None`: at `server.bind`.
    #[serde(with = "optional_address")]
    pub bind: Option<SocketAddr>,
    /// As written; [`Settings::console_url`](super::Settings::console_url) gives the one to use.
    pub public_url: String,
    #[serde(with = "duration")]
    pub session_idle: Duration,
    #[serde(with = "duration")]
    pub session_max: Duration,
    #[serde(with = "duration")]
    pub link_lives: Duration,
    #[serde(with = "duration")]
    pub token_max: Duration,
    pub sign_in_tries_per_name: u32,
    pub sign_in_tries_per_address: u32,
    #[serde(with = "duration")]
    pub sign_in_window: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// In the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Traces by OTLP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Empty: nothing is traced. [`Traces::url`] gives the URL to use.
    pub endpoint: SecretUrl,
    /// As written; [`Traces::headers`] reads them.
    #[serde(default, with = "optional_secret")]
    pub headers: Option<SecretString>,
    /// Above 0, at most 1.
    pub sample_ratio: f64,
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Beyond it spans are dropped.
    pub queue_spans: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum LogFormat {
    Text,
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => {
                Err(format!("`{other}` is no format of the log: write \"text\" for people or \"json\" for machines"))
            }
        }
    }
}
