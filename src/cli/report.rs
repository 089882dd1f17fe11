//! How things stand, for programs: `wabridge status --json`. Names once published stay.

use serde::Serialize;
use wabridge::{
    domain::{account::Hold, time::UnixMillis},
    services::directory::owner_of,
    store::{Store, StoreError, callbacks::CursorState, configuration::Configuration, leases::LeaseKind},
};

use super::status::OWED_COUNTED_MAX;

/// For `--help`.
pub(super) const FIELDS: &str = "\
--json prints (times are UTC; null: none):
  at, needs_attention (texts)
  connections    id, provider, hold { since, reason }
  numbers        number, account, connection, messages_per_second, hold, queued, oldest_queued_at, waiting_for_retry,
                 sending, unknown, owner, templates { count, synced_at, failed_at, failure }
  callback_urls  key, account, kind (status, inbound), number, hold, owed (counted up to 1,000,000), dead, not_relayed,
                 failing_since, failures, next_try_at
  kept_aside     unread_parts, parked_statuses

Exit codes: 0; with --exit-code 4 when needs_attention is not empty: a hold, a callback URL that fails, dead callbacks,
a template list that cannot be read, a number that no server works on.";

#[derive(Serialize)]
pub(super) struct Report {
    at: String,
    pub(super) needs_attention: Vec<String>,
    connections: Vec<ConnectionReport>,
    numbers: Vec<NumberReport>,
    callback_urls: Vec<CallbackUrlReport>,
    kept_aside: KeptAside,
}

#[derive(Serialize)]
struct HoldReport {
    since: String,
    reason: String,
}

#[derive(Serialize)]
struct ConnectionReport {
    id: String,
    provider: String,
    hold: Option<HoldReport>,
}

#[derive(Serialize)]
struct NumberReport {
    number: String,
    account: String,
    connection: String,
    messages_per_second: u32,
    hold: Option<HoldReport>,
    queued: i64,
    oldest_queued_at: Option<String>,
    waiting_for_retry: i64,
    sending: i64,
    unknown: i64,
    owner: Option<String>,
    templates: TemplatesReport,
}

#[derive(Serialize)]
struct TemplatesReport {
    count: usize,
    synced_at: Option<String>,
    failed_at: Option<String>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct CallbackUrlReport {
    key: i32,
    account: String,
    kind: &'static str,
    number: Option<String>,
    hold: Option<HoldReport>,
    owed: i64,
    dead: i64,
    not_relayed: i64,
    failing_since: Option<String>,
    failures: i32,
    next_try_at: Option<String>,
}

#[derive(Serialize)]
struct KeptAside {
    unread_parts: i64,
    parked_statuses: i64,
}

/// Reads everything that the text shows.
pub(super) async fn gather(
    store: &Store,
    configuration: &Configuration,
    now: UnixMillis,
) -> Result<Report, StoreError> {
    let (unread_parts, parked_statuses) = store.count_unrecognized().await?;
    let connections = configuration.connections.iter().map(|connection| ConnectionReport {
        id: connection.id.clone(),
        provider: connection.provider.clone(),
        hold: hold(connection.hold.as_ref()),
    });
    let mut report = Report {
        at: now.to_string(),
        needs_attention: vec![],
        connections: connections.collect(),
        numbers: numbers(store, configuration).await?,
        callback_urls: callback_urls(store, configuration).await?,
        kept_aside: KeptAside { unread_parts, parked_statuses },
    };
    report.needs_attention = needing_attention(&report);
    Ok(report)
}

async fn numbers(store: &Store, configuration: &Configuration) -> Result<Vec<NumberReport>, StoreError> {
    let queues = store.queues().await?;
    let leases = store.leases().await?;
    let syncs = store.template_syncs().await?;
    let templates = store.load_templates().await?;
    let of = |sender: &wabridge::domain::account::Sender| {
        let queue = queues.get(&sender.key).cloned().unwrap_or_default();
        let lease = leases.iter().find(|lease| lease.kind == LeaseKind::Sender.code() && lease.item == sender.key.0);
        let sync = syncs.get(&owner_of(sender)).cloned().unwrap_or_default();
        let (failed_at, failure) = sync.failure.unzip();
        NumberReport {
            number: sender.number.as_e164().to_owned(),
            account: account(configuration, sender.account),
            connection: sender.connection.id.clone(),
            messages_per_second: sender.messages_per_second,
            hold: hold(sender.hold.as_ref()),
            queued: queue.queued,
            oldest_queued_at: time(queue.oldest_queued),
            waiting_for_retry: queue.waiting_for_retry,
            sending: queue.sending,
            unknown: queue.unknown,
            owner: lease.and_then(|lease| lease.owner.clone()),
            templates: TemplatesReport {
                count: templates.get(&owner_of(sender)).map_or(0, Vec::len),
                synced_at: time(sync.synced_at),
                failed_at: time(failed_at),
                failure,
            },
        }
    };
    Ok(configuration.senders.iter().map(of).collect())
}

async fn callback_urls(store: &Store, configuration: &Configuration) -> Result<Vec<CallbackUrlReport>, StoreError> {
    let left_behind = store.count_callbacks().await?;
    let mut urls = Vec::new();
    for subscription in &configuration.subscriptions {
        let Some(CursorState { cursor, trouble }) = store.cursor_state(subscription.key).await? else { continue };
        let (dead, not_relayed) = left_behind.get(&subscription.key.0).copied().unwrap_or_default();
        let sender = configuration.senders.iter().find(|sender| Some(sender.key) == subscription.sender);
        urls.push(CallbackUrlReport {
            key: subscription.key.0,
            account: account(configuration, subscription.account),
            kind: subscription.kind.as_str(),
            number: sender.map(|sender| sender.number.as_e164().to_owned()),
            hold: hold(trouble.hold.as_ref()),
            owed: store.owed(subscription, cursor, OWED_COUNTED_MAX).await?,
            dead,
            not_relayed,
            failing_since: time(trouble.failing_since),
            failures: trouble.failures,
            next_try_at: time(trouble.due_at),
        });
    }
    Ok(urls)
}

/// What a person should look at, in words.
fn needing_attention(report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |what: String, hold: Option<&HoldReport>| {
        found.extend(hold.map(|hold| format!("{what} is on hold: {}", hold.reason)));
    };
    for connection in &report.connections {
        note(format!("connection {}", connection.id), connection.hold.as_ref());
    }
    for number in &report.numbers {
        note(format!("number {}", number.number), number.hold.as_ref());
    }
    for url in &report.callback_urls {
        note(format!("callback URL {}", url.key), url.hold.as_ref());
    }
    for number in &report.numbers {
        if number.owner.is_none() {
            found.push(format!("no server works on number {}", number.number));
        }
        if let Some(failure) = &number.templates.failure {
            found.push(format!("the templates of number {} cannot be read: {failure}", number.number));
        }
    }
    for url in &report.callback_urls {
        if url.failing_since.is_some() && url.hold.is_none() {
            found.push(format!("callback URL {} failed {} times in a row", url.key, url.failures));
        }
        if url.dead > 0 {
            found.push(format!("callback URL {} has {} dead events; see `wabridge replay`", url.key, url.dead));
        }
    }
    found
}

fn account(configuration: &Configuration, key: wabridge::domain::ids::AccountKey) -> String {
    let account = configuration.accounts.iter().find(|account| account.key == key);
    account.map_or_else(|| "?".to_owned(), |account| account.id.clone())
}

fn hold(hold: Option<&Hold>) -> Option<HoldReport> {
    hold.map(|hold| HoldReport { since: hold.since.to_string(), reason: hold.reason.clone() })
}

fn time(moment: Option<UnixMillis>) -> Option<String> {
    moment.map(|moment| moment.to_string())
}
