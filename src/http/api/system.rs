//! How the bridge itself is.

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Caller, problem::Problem};
use crate::{
    http::Parts,
    services::system::{System, system},
};

#[derive(Serialize, ToSchema)]
pub struct SystemStanding {
    /// The instance that answers; disks and settings are its own.
    #[schema(example = "one")]
    instance: String,
    #[schema(example = "0.1.0")]
    version: String,
    database: DatabaseStanding,
    queue: SystemQueue,
    instances: Vec<InstanceStanding>,
    /// Numbers and callback URLs on which nobody works.
    unowned: Vec<String>,
    /// Parts of this instance that have stopped, each in a sentence.
    stopped: Vec<String>,
    disks: Vec<DiskStanding>,
    /// When old data was last forgotten.
    housekeeping_at: Option<String>,
    /// When `wabridge backup` last made a sound copy.
    backup_at: Option<String>,
    retention: Vec<RetentionAge>,
    /// Settings that are not the defaults; secrets blanked.
    settings: Vec<ChangedSetting>,
}

#[derive(Serialize, ToSchema)]
pub struct DatabaseStanding {
    #[schema(example = "SQLite 3.50.4")]
    version: String,
    #[schema(example = 52311040)]
    bytes: i64,
    /// SQLite: what is used again before the file grows.
    free_bytes: Option<i64>,
    /// PostgreSQL.
    oldest_transaction_seconds: Option<f64>,
    /// PostgreSQL's largest tables.
    tables: Vec<TableStanding>,
}

#[derive(Serialize, ToSchema)]
pub struct TableStanding {
    #[schema(example = "events")]
    name: String,
    /// By PostgreSQL's estimate.
    rows: i64,
    dead_rows: i64,
    bytes: i64,
}

/// Of all numbers together.
#[derive(Serialize, ToSchema)]
pub struct SystemQueue {
    queued: i64,
    oldest_queued: Option<String>,
    waiting: i64,
    sending: i64,
    unknown: i64,
}

#[derive(Serialize, ToSchema)]
pub struct InstanceStanding {
    #[schema(example = "one")]
    id: String,
    #[schema(example = "0.1.0")]
    version: String,
    since: String,
    stopping: bool,
    /// Business numbers that it sends for.
    #[schema(example = json!(["+918880110022"]))]
    numbers: Vec<String>,
    callback_urls: usize,
    housekeeping: bool,
    media: bool,
}

#[derive(Serialize, ToSchema)]
pub struct DiskStanding {
    #[schema(example = "data")]
    directory: String,
    free_bytes: u64,
    total_bytes: u64,
}

#[derive(Serialize, ToSchema)]
pub struct RetentionAge {
    #[schema(example = "Messages, with what they said")]
    what: String,
    #[schema(example = "retention.messages")]
    setting: String,
    #[schema(example = 2764800)]
    seconds: u64,
}

/// As TOML writes it.
#[derive(Serialize, ToSchema)]
pub struct ChangedSetting {
    #[schema(example = "send.timeout")]
    key: String,
    #[schema(example = "\"7s\"")]
    value: String,
    #[schema(example = "\"15s\"")]
    default: String,
}

/// How the bridge itself is: database, instances, disks, settings.
#[utoipa::path(
    get, path = "/api/v1/system", tag = "system", operation_id = "show_system", security(("token" = [])),
    responses(
        (status = 200, description = "How it is", body = SystemStanding),
        (status = 403, description = "Needs the scope system:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller) -> Result<Json<SystemStanding>, Problem> {
    let snapshot = parts.directory.snapshot();
    let found = system(&parts.store, &snapshot, (&parts.settings, &parts.health), &caller.0).await?;
    Ok(Json(standing(found)))
}

fn standing(found: System) -> SystemStanding {
    let database = DatabaseStanding {
        version: found.database.version,
        bytes: found.size.bytes,
        free_bytes: found.size.free_bytes,
        oldest_transaction_seconds: found.oldest_transaction.map(|oldest| oldest.as_secs_f64()),
        tables: found
            .size
            .tables
            .into_iter()
            .map(|table| TableStanding {
                name: table.name,
                rows: table.rows,
                dead_rows: table.dead_rows,
                bytes: table.bytes,
            })
            .collect(),
    };
    let instances = found.instances.into_iter().map(|instance| InstanceStanding {
        id: instance.id,
        version: instance.version,
        since: instance.since.to_string(),
        stopping: instance.stopping,
        numbers: instance.numbers,
        callback_urls: instance.callback_urls,
        housekeeping: instance.housekeeping,
        media: instance.media,
    });
    let disks = found.disks.into_iter().map(|disk| DiskStanding {
        directory: disk.directory.display().to_string(),
        free_bytes: disk.free_bytes,
        total_bytes: disk.total_bytes,
    });
    let retention = found.retention.into_iter().map(|(what, setting, age)| RetentionAge {
        what: what.to_owned(),
        setting: setting.to_owned(),
        seconds: age.as_secs(),
    });
    let settings =
        found.settings.into_iter().map(|one| ChangedSetting { key: one.key, value: one.value, default: one.default });
    SystemStanding {
        instance: found.instance,
        version: found.version.to_owned(),
        database,
        queue: SystemQueue {
            queued: found.queue.queued,
            oldest_queued: found.queue.oldest_queued.map(|at| at.to_string()),
            waiting: found.queue.waiting_for_retry,
            sending: found.queue.sending,
            unknown: found.queue.unknown,
        },
        instances: instances.collect(),
        unowned: found.unowned,
        stopped: found.stopped,
        disks: disks.collect(),
        housekeeping_at: found.housekeeping_at.map(|at| at.to_string()),
        backup_at: found.backup_at.map(|at| at.to_string()),
        retention: retention.collect(),
        settings: settings.collect(),
    }
}
