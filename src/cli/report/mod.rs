//! How things stand, gathered once: `wabridge status` tells it to people, `wabridge status --json` to programs. Names once
//! published stay.

mod attention;
mod gather;

use serde::{Serialize, Serializer};
use wabridge::{
    domain::{
        account::Hold,
        callback::EventKind,
        channel::Quality,
        notice::{NoticeKind, Severity},
        time::UnixMillis,
    },
    store::configuration::Configuration,
};

pub(super) use self::gather::gather;
use super::{alarm::Active, queue::RuleReport, webhook::Listed};

/// For `--help`.
pub(super) const FIELDS: &str = "\
Examples:
  wabridge status                                  everything, for people
  wabridge status --exit-code > /dev/null || page  for monitoring: ends with 4 when something needs a person
  wabridge status --json | jq -r '.needs_attention[]'

--json prints (times are UTC; null: none):
  at, needs_attention (texts)
  servers        id, since, stopping, numbers, callback_urls, housekeeping, media: those that run, and what they work on
  connections    id, provider, hold { since, reason, by (null: what was answered) }
  accounts       id, platform, enabled, suppressed, quiet_hours { hours, time_zone, now }, subscribe_sync { pending,
                 refused, synced_at, failed_at, failure, newest_refused [{ phone, why }] }
  numbers        number, account, account_enabled, connection, connection_on_hold, messages_per_second, hold, queued,
                 oldest_queued_at, waiting_for_retry, sending, unknown, owner, location,
                 templates { count, paused, synced_at, failed_at, failure },
                 channel { quality, messaging_limit, throughput, name, read_at, warnings, advice, failed_at,
                 failure }, poll_trouble { text, since, again_at }, messaging_limit { people, people_max, waiting, next_free_at } (null: not counted)
  callback_urls  key, account, account_enabled, kind (status, inbound, notice, outgoing), number, hold, owed (counted up to
                 1,000,000), dead, newest_dead [{ at, events, message, platform_message_id, reason }], not_relayed,
                 failing_since, failures, next_try_at, owner, replay { id, wanted, told, refused, passed, since, note }
  webhooks       name, enabled, paused, switched_off, events, failures, failing_since, dead, callback_urls
  replays_ended  id, account, callback_url, wanted, told, refused, passed, ended_at, note: of the last day
  notices        at, account, severity (info, warning, critical), kind, text: of the last week, the newest first
  alarms         kind, subject, text, since, told, told_by, untold: as `wabridge alarm list --json` has them
  queue_rules    action (pause, cancel), of, account, number, campaign, template, language, reason, since, ends_at,
                 in_force, ended_at, ended_by: those in force
  files          stored, stored_bytes, pending, failed, newest_failed [{ at, kind, reason }]
  kept_aside     unread_parts, parked_statuses

Exit codes: 0; with --exit-code 4 when needs_attention is not empty: a hold, a callback URL or webhook that fails, dead callbacks, a
replay in trouble, a template that is paused, a list that cannot be read, a number of bad quality or that no server works
on, a messaging limit for which messages wait, subscribers that the platform refused, and for a day a critical notice or a file
that could not be copied. Whether what was set up is right (webhooks, callback URLs, tokens, disks) is the matter of `wabridge
check`.";

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) at: Moment,
    pub(super) needs_attention: Vec<String>,
    pub(super) servers: Vec<ServerReport>,
    pub(super) connections: Vec<ConnectionReport>,
    pub(super) accounts: Vec<AccountReport>,
    pub(super) numbers: Vec<NumberReport>,
    pub(super) callback_urls: Vec<CallbackUrlReport>,
    pub(super) webhooks: Vec<Listed>,
    pub(super) replays_ended: Vec<EndedReplayReport>,
    pub(super) notices: Vec<NoticeReport>,
    pub(super) alarms: Vec<Active>,
    pub(super) queue_rules: Vec<RuleReport>,
    pub(super) files: FilesReport,
    pub(super) kept_aside: KeptAside,
}

/// Written as text, and still a time to count from.
#[derive(Clone, Copy)]
pub(crate) struct Moment(pub(crate) UnixMillis);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
pub(super) struct HoldReport {
    pub(super) since: Moment,
    pub(super) reason: String,
    /// None: what was answered.
    pub(super) by: Option<String>,
}

impl HoldReport {
    fn of(hold: Option<&Hold>) -> Option<Self> {
        hold.map(|hold| Self { since: Moment(hold.since), reason: hold.reason.clone(), by: hold.by.clone() })
    }
}

/// A server that runs, and how much of the work it does.
#[derive(Serialize)]
pub(super) struct ServerReport {
    pub(super) id: String,
    pub(super) since: Moment,
    pub(super) stopping: bool,
    pub(super) numbers: usize,
    pub(super) callback_urls: usize,
    pub(super) housekeeping: bool,
    pub(super) media: bool,
}

#[derive(Serialize)]
pub(super) struct ConnectionReport {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) hold: Option<HoldReport>,
}

#[derive(Serialize)]
pub(super) struct AccountReport {
    pub(super) id: String,
    pub(super) platform: String,
    pub(super) enabled: bool,
    pub(super) suppressed: i64,
    pub(super) quiet_hours: Option<QuietHoursReport>,
    pub(super) subscribe_sync: Option<SubscribeSyncReport>,
}

#[derive(Serialize)]
pub(super) struct QuietHoursReport {
    pub(super) hours: String,
    pub(super) time_zone: String,
    pub(super) now: bool,
}

#[derive(Serialize)]
pub(super) struct SubscribeSyncReport {
    pub(super) pending: i64,
    pub(super) refused: i64,
    pub(super) synced_at: Option<Moment>,
    pub(super) failed_at: Option<Moment>,
    pub(super) failure: Option<String>,
    pub(super) newest_refused: Vec<RefusedReport>,
}

#[derive(Serialize)]
pub(super) struct RefusedReport {
    pub(super) phone: String,
    pub(super) why: String,
}

#[derive(Serialize)]
pub(super) struct NumberReport {
    pub(super) number: String,
    pub(super) account: String,
    pub(super) account_enabled: bool,
    pub(super) connection: String,
    pub(super) connection_on_hold: bool,
    pub(super) messages_per_second: u32,
    pub(super) hold: Option<HoldReport>,
    pub(super) queued: i64,
    pub(super) oldest_queued_at: Option<Moment>,
    pub(super) waiting_for_retry: i64,
    pub(super) sending: i64,
    pub(super) unknown: i64,
    pub(super) owner: Option<String>,
    /// What location headers get that have no name or address of their own.
    pub(super) location: Option<String>,
    pub(super) templates: TemplatesReport,
    /// How the provider sees the number; none before it was asked.
    pub(super) channel: Option<ChannelReport>,
    /// Why nobody can ask what happens at it, where that must be asked.
    pub(super) poll_trouble: Option<PollReport>,
    /// How many new people it has written to; none when that is not counted.
    pub(super) messaging_limit: Option<LimitReport>,
}

#[derive(Serialize)]
pub(super) struct PollReport {
    pub(super) text: String,
    pub(super) since: Moment,
    /// None: it was asked, and not everything could be seen.
    pub(super) again_at: Option<Moment>,
    #[serde(skip)]
    pub(super) told: String,
}

#[derive(Serialize)]
pub(super) struct LimitReport {
    /// By all numbers of the portfolio, within 24 hours.
    pub(super) people: u64,
    pub(super) people_max: u64,
    /// Messages of this number.
    pub(super) waiting: i64,
    /// None: a place is free.
    pub(super) next_free_at: Option<Moment>,
    #[serde(skip)]
    pub(super) told: String,
    #[serde(skip)]
    pub(super) holds_back: bool,
}

#[derive(Serialize)]
pub(super) struct TemplatesReport {
    pub(super) count: usize,
    /// Each as `name (language)`.
    pub(super) paused: Vec<String>,
    pub(super) synced_at: Option<Moment>,
    pub(super) failed_at: Option<Moment>,
    pub(super) failure: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ChannelReport {
    pub(super) quality: Quality,
    pub(super) messaging_limit: Option<String>,
    pub(super) throughput: Option<String>,
    pub(super) name: Option<String>,
    /// None: it has never been read.
    pub(super) read_at: Option<Moment>,
    pub(super) warnings: Vec<String>,
    /// About the pace, which may be too slow as well as too fast: worth knowing, no trouble.
    pub(super) advice: Option<String>,
    pub(super) failed_at: Option<Moment>,
    pub(super) failure: Option<String>,
}

#[derive(Serialize)]
pub(super) struct CallbackUrlReport {
    pub(super) key: i32,
    pub(super) account: String,
    pub(super) account_enabled: bool,
    #[serde(serialize_with = "by_name")]
    pub(super) kind: EventKind,
    pub(super) number: Option<String>,
    pub(super) hold: Option<HoldReport>,
    pub(super) owed: i64,
    pub(super) dead: i64,
    pub(super) newest_dead: Vec<DeadReport>,
    pub(super) not_relayed: i64,
    pub(super) failing_since: Option<Moment>,
    pub(super) failures: i32,
    pub(super) next_try_at: Option<Moment>,
    pub(super) owner: Option<String>,
    pub(super) replay: Option<ReplayReport>,
}

impl CallbackUrlReport {
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            EventKind::Status => "delivery reports",
            EventKind::Inbound => "inbound messages",
            EventKind::Notice => "notices",
            EventKind::Outgoing => "messages going out",
            EventKind::Person => "contacts and conversations",
        }
    }
}

fn by_name<S: Serializer>(kind: &EventKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

#[derive(Serialize)]
pub(super) struct DeadReport {
    pub(super) at: Moment,
    pub(super) events: i64,
    /// That the newest of them is about.
    pub(super) message: Option<String>,
    pub(super) platform_message_id: Option<String>,
    pub(super) reason: String,
}

#[derive(Serialize)]
pub(super) struct ReplayReport {
    pub(super) id: i32,
    pub(super) wanted: i64,
    pub(super) told: i64,
    pub(super) refused: i64,
    pub(super) passed: i64,
    pub(super) since: Moment,
    pub(super) note: Option<String>,
}

#[derive(Serialize)]
pub(super) struct EndedReplayReport {
    pub(super) id: i32,
    pub(super) account: String,
    /// It may have been taken out since.
    pub(super) callback_url: i32,
    pub(super) wanted: i64,
    pub(super) told: i64,
    pub(super) refused: i64,
    pub(super) passed: i64,
    pub(super) ended_at: Moment,
    /// Why it ended before its time.
    pub(super) note: Option<String>,
}

#[derive(Serialize)]
pub(super) struct NoticeReport {
    pub(super) at: Moment,
    pub(super) account: String,
    pub(super) severity: Severity,
    pub(super) kind: NoticeKind,
    pub(super) text: String,
}

#[derive(Serialize)]
pub(super) struct FilesReport {
    pub(super) stored: i64,
    pub(super) stored_bytes: i64,
    pub(super) pending: i64,
    pub(super) failed: i64,
    pub(super) newest_failed: Vec<FailedFileReport>,
}

#[derive(Serialize)]
pub(super) struct FailedFileReport {
    pub(super) at: Moment,
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

#[derive(Serialize)]
pub(super) struct KeptAside {
    pub(super) unread_parts: i64,
    pub(super) parked_statuses: i64,
}

/// The account's id, and whether it is enabled.
fn account(configuration: &Configuration, key: wabridge::domain::ids::AccountKey) -> (String, bool) {
    let account = configuration.accounts.iter().find(|account| account.key == key);
    account.map_or_else(|| ("?".to_owned(), true), |account| (account.id.clone(), account.enabled))
}
