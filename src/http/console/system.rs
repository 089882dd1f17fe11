//! How the bridge itself is.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    frame::{long_time, sentence, wants_part},
    inbound::size,
    page,
};
use crate::{
    domain::{
        time::UnixMillis,
        words::{ago, counted, lasting, thousands},
    },
    http::Parts,
    services::{
        disk::DiskSpace,
        system::{Instance, System, system},
    },
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/system";

#[derive(Template)]
#[template(path = "console/system.html")]
struct Page {
    frame: Frame,
    part: Part,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/system_part.html")]
struct Part {
    /// What somebody should look at.
    troubles: Vec<String>,
    instance: String,
    version: &'static str,
    instances: Vec<Row>,
    database: Vec<(&'static str, String)>,
    tables: Vec<Table>,
    queue: Vec<(&'static str, String)>,
    upkeep: Vec<(&'static str, String)>,
    disks: Vec<Disk>,
    retention: Vec<(&'static str, &'static str, String)>,
    /// An account, and what of its data is forgotten sooner.
    keep_less: Vec<(String, String)>,
    settings: Vec<(String, String, String)>,
}

struct Row {
    id: String,
    here: bool,
    version: String,
    other_version: bool,
    since: String,
    stopping: bool,
    numbers: Vec<String>,
    does: String,
}

struct Table {
    name: String,
    rows: String,
    dead: String,
    size: String,
}

struct Disk {
    directory: String,
    free: String,
    used_percent: u64,
}

/// `GET /console/system`
pub(super) async fn show(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    let snapshot = parts.directory.snapshot();
    let found = system(&parts.store, &snapshot, (&parts.settings, &parts.health), &visitor.actor).await?;
    let part = part(found);
    if wants_part(&request) {
        return page(&part);
    }
    page(&Page { frame: Frame::new(&request, &visitor, "System", PATH), part })
}

fn part(found: System) -> Part {
    Part {
        troubles: troubles(&found),
        instances: found.instances.iter().map(|instance| row(&found, instance)).collect(),
        database: database(&found),
        tables: found
            .size
            .tables
            .iter()
            .map(|table| Table {
                name: table.name.clone(),
                rows: thousands(table.rows),
                dead: thousands(table.dead_rows),
                size: size(table.bytes),
            })
            .collect(),
        queue: queue(&found),
        upkeep: upkeep(&found),
        disks: found.disks.iter().map(disk).collect(),
        retention: found.retention.iter().map(|(what, setting, age)| (*what, *setting, lasting(*age))).collect(),
        keep_less: found.keep_less.into_iter().map(|(account, ages)| (account, in_words(&ages))).collect(),
        settings: found.settings.into_iter().map(|one| (one.key, one.value, one.default)).collect(),
        instance: found.instance,
        version: found.version,
    }
}

/// `history 30 days, files 7 days`
fn in_words(ages: &[(&'static str, Duration)]) -> String {
    ages.iter().map(|(what, age)| format!("{what} {}", lasting(*age))).collect::<Vec<_>>().join(", ")
}

/// What somebody should look at.
fn troubles(found: &System) -> Vec<String> {
    let mut troubles: Vec<String> = found.stopped.iter().map(|stopped| sentence(stopped)).collect();
    if !found.unowned.is_empty() {
        troubles.push(format!("Nobody works on {}.", found.unowned.join(", ")));
    }
    let versions: std::collections::BTreeSet<&str> =
        found.instances.iter().map(|instance| instance.version.as_str()).collect();
    if versions.len() > 1 {
        troubles.push("Instances run different versions: fine while you upgrade, one after the other.".to_owned());
    }
    troubles
}

fn row(found: &System, instance: &Instance) -> Row {
    let urls = counted(instance.callback_urls as u64, "callback URL", "callback URLs");
    let house = instance.housekeeping.then_some("the housekeeping");
    let media = instance.media.then_some("the copying of files");
    let does: Vec<&str> = [Some(urls.as_str()), house, media].into_iter().flatten().collect();
    Row {
        id: instance.id.clone(),
        here: instance.id == found.instance,
        version: if instance.version.is_empty() { "not told".to_owned() } else { instance.version.clone() },
        other_version: instance.version != found.version,
        since: ago(instance.since, found.at),
        stopping: instance.stopping,
        numbers: instance.numbers.clone(),
        does: does.join(", "),
    }
}

fn database(found: &System) -> Vec<(&'static str, String)> {
    let free = found.size.free_bytes.map(|bytes| format!("{}, used again before the file grows", size(bytes)));
    let oldest = found.oldest_transaction.map(|oldest| format!("{} s", oldest.as_secs()));
    let durability: Vec<String> =
        found.database.durability.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let all = [
        ("Kind", Some(found.database.version.clone())),
        ("Size", Some(size(found.size.bytes))),
        ("Free within it", free),
        ("Oldest transaction", oldest),
        ("Durability", Some(durability.join(", "))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn queue(found: &System) -> Vec<(&'static str, String)> {
    let queue = &found.queue;
    let oldest = queue.oldest_queued.map(|at| format!("{} ago", ago(at, found.at)));
    let all = [
        ("In the queue", Some(thousands(queue.queued))),
        ("The oldest of them", oldest),
        ("Waiting for later", Some(thousands(queue.waiting_for_retry))),
        ("Being sent", Some(thousands(queue.sending))),
        ("Outcome unknown", Some(thousands(queue.unknown))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn upkeep(found: &System) -> Vec<(&'static str, String)> {
    let when = |at: Option<UnixMillis>, never: &str| {
        at.map_or_else(|| never.to_owned(), |at| format!("{} ago ({} UTC)", ago(at, found.at), long_time(at)))
    };
    let backup = match found.is_sqlite {
        true => when(found.backup_at, "none was made by wabridge backup"),
        false => "not known here: PostgreSQL has tools of its own".to_owned(),
    };
    let files = &found.files;
    let stored = u64::try_from(files.stored).unwrap_or(0);
    vec![
        ("Old data was last forgotten", when(found.housekeeping_at, "not yet")),
        ("Last backup", backup),
        ("Files that people sent", format!("{}, {}", counted(stored, "file", "files"), size(files.stored_bytes))),
        ("Files to be copied", thousands(files.pending)),
    ]
}

fn disk(space: &DiskSpace) -> Disk {
    Disk {
        directory: space.directory.display().to_string(),
        free: format!("{} free, {} %", space.free(), space.free_percent()),
        used_percent: 100 - space.free_percent().min(100),
    }
}
