//! Reads everything that a status tells.

use std::time::Duration;

use wabridge::{
    domain::{
        account::{Account, Sender, SenderPolicy},
        callback::Subscription,
        template::{Template, TemplateStatus},
        time::UnixMillis,
    },
    services::{directory::owner_of, messaging_limit::limit_use, polling},
    settings::Settings,
    store::{
        Store, StoreError,
        callbacks::CursorState,
        channels::Channel,
        configuration::Configuration,
        leases::LeaseKind,
        media::MediaOverview,
        overview::{DeadCallback, InstanceOverview, LeaseOverview},
        templates::TemplateSync,
    },
};

use super::{
    AccountReport, CallbackUrlReport, ChannelReport, ConnectionReport, DeadReport, EndedReplayReport, FailedFileReport,
    FilesReport, HoldReport, KeptAside, LimitReport, Moment, NoticeReport, NumberReport, PollReport, QuietHoursReport,
    RefusedReport, ReplayReport, Report, ServerReport, SubscribeSyncReport, TemplatesReport, account,
    attention::needing_attention,
};
use crate::cli::{alarm::active, queue::RuleReport, webhook::Listed};

/// Counting what is owed stops here: more is “many”.
const OWED_COUNTED_MAX: u64 = 1_000_000;
/// People whom a platform refused to hear of.
const REFUSED_SHOWN_MAX: usize = 10;
/// Ranges of dead events of one callback URL.
const DEAD_SHOWN_MAX: usize = 3;
const NOTICES_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const NOTICES_SHOWN_MAX: usize = 20;
const ENDED_REPLAYS_SHOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
const ENDED_REPLAYS_SHOWN_MAX: usize = 20;
const FAILED_FILES_SHOWN_MAX: usize = 5;

pub(crate) async fn gather(
    store: &Store,
    configuration: &Configuration,
    settings: &Settings,
    now: UnixMillis,
) -> anyhow::Result<Report> {
    let (lease, alarms) = (settings.instance.lease, active(settings, store).await?);
    let leases = store.leases().await?;
    let (unread_parts, parked_statuses) = store.count_unrecognized().await?;
    let connections = configuration.connections.iter().map(|connection| ConnectionReport {
        id: connection.id.clone(),
        provider: connection.provider.clone(),
        hold: HoldReport::of(connection.hold.as_ref()),
    });
    let mut report = Report {
        at: Moment(now),
        needs_attention: vec![],
        servers: servers(store, &leases, lease).await?,
        connections: connections.collect(),
        accounts: accounts(store, configuration, now).await?,
        numbers: numbers(store, configuration, &leases, now).await?,
        callback_urls: callback_urls(store, configuration, &leases).await?,
        webhooks: Listed::all(store, configuration).await?,
        replays_ended: replays_ended(store, configuration, now).await?,
        notices: notices(store, configuration, now).await?,
        alarms,
        queue_rules: queue_rules(store, configuration).await?,
        files: files(store).await?,
        kept_aside: KeptAside { unread_parts, parked_statuses },
    };
    report.needs_attention = needing_attention(&report);
    Ok(report)
}

async fn servers(store: &Store, leases: &[LeaseOverview], lease: Duration) -> Result<Vec<ServerReport>, StoreError> {
    let report = |instance: InstanceOverview| {
        let owns = |kind: LeaseKind| {
            let of_kind = leases.iter().filter(|lease| lease.kind == kind.code());
            of_kind.filter(|lease| lease.owner.as_ref() == Some(&instance.id)).count()
        };
        ServerReport {
            since: Moment(instance.started_at),
            stopping: instance.stopping,
            numbers: owns(LeaseKind::Sender),
            callback_urls: owns(LeaseKind::Subscription),
            housekeeping: owns(LeaseKind::Housekeeping) > 0,
            media: owns(LeaseKind::Media) > 0,
            id: instance.id,
        }
    };
    Ok(store.instances(lease).await?.into_iter().map(report).collect())
}

fn owner_of_lease(leases: &[LeaseOverview], kind: LeaseKind, item: i32) -> Option<String> {
    leases.iter().find(|lease| lease.kind == kind.code() && lease.item == item)?.owner.clone()
}

async fn accounts(
    store: &Store,
    configuration: &Configuration,
    now: UnixMillis,
) -> Result<Vec<AccountReport>, StoreError> {
    let suppressed = store.count_suppressions().await?;
    let mut accounts = Vec::new();
    for account in &configuration.accounts {
        let quiet_hours = account.policy.quiet_hours.as_ref().map(|hours| {
            let zone = account.policy.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
            QuietHoursReport { hours: hours.to_string(), time_zone: zone.to_string(), now: hours.are_now(zone, now) }
        });
        accounts.push(AccountReport {
            id: account.id.clone(),
            platform: account.platform.clone(),
            enabled: account.enabled,
            suppressed: suppressed.get(&account.key).copied().unwrap_or(0),
            quiet_hours,
            subscribe_sync: subscribe_sync(store, account).await?,
        });
    }
    Ok(accounts)
}

async fn subscribe_sync(store: &Store, account: &Account) -> Result<Option<SubscribeSyncReport>, StoreError> {
    if !account.policy.subscribe_sync.enabled {
        return Ok(None);
    }
    let sync = store.sync_overview(account.key).await?;
    let (failed_at, failure) = sync.failure.unzip();
    let refused = store.refused_by_platform(account.key, REFUSED_SHOWN_MAX).await?;
    Ok(Some(SubscribeSyncReport {
        pending: sync.pending,
        refused: sync.refused,
        synced_at: sync.synced_at.map(Moment),
        failed_at: failed_at.map(Moment),
        failure,
        newest_refused: refused
            .into_iter()
            .map(|(phone, why)| RefusedReport { phone: phone.to_string(), why })
            .collect(),
    }))
}

async fn numbers(
    store: &Store,
    configuration: &Configuration,
    leases: &[LeaseOverview],
    now: UnixMillis,
) -> Result<Vec<NumberReport>, StoreError> {
    let queues = store.queues().await?;
    let mut syncs = store.template_syncs().await?;
    let templates = store.load_templates().await?;
    let mut channels = store.channels().await?;
    let mut pollings = store.pollings().await?;
    let limits = limit_use(store, configuration.senders.iter(), &channels, now).await?;
    let of = |sender: &Sender| {
        let (account, account_enabled) = account(configuration, sender.account);
        let queue = queues.get(&sender.key).cloned().unwrap_or_default();
        let SenderPolicy { location_name, location_address } = &sender.policy;
        let place: Vec<&str> = [location_name, location_address].into_iter().flatten().map(String::as_str).collect();
        NumberReport {
            number: sender.number.as_e164().to_owned(),
            account,
            account_enabled,
            connection: sender.connection.id.clone(),
            connection_on_hold: sender.connection.hold.is_some(),
            messages_per_second: sender.messages_per_second,
            hold: HoldReport::of(sender.hold.as_ref()),
            queued: queue.queued,
            oldest_queued_at: queue.oldest_queued.map(Moment),
            waiting_for_retry: queue.waiting_for_retry,
            sending: queue.sending,
            unknown: queue.unknown,
            owner: owner_of_lease(leases, LeaseKind::Sender, sender.key.0),
            location: (!place.is_empty()).then(|| place.join(", ")),
            templates: templates_report(
                templates.get(&owner_of(sender)).map_or(&[], Vec::as_slice),
                syncs.entry(owner_of(sender)).or_default(),
            ),
            channel: channels.remove(&sender.key).map(|channel| channel_report(channel, sender.messages_per_second)),
            poll_trouble: polling::trouble_of(sender, pollings.remove(&sender.key)).map(|trouble| PollReport {
                told: polling::told(&trouble, now),
                text: trouble.text,
                since: Moment(trouble.since),
                again_at: trouble.again_at.map(Moment),
            }),
            messaging_limit: limits.get(&sender.key).map(|limit| LimitReport {
                people: limit.people,
                people_max: limit.people_max,
                waiting: limit.waiting,
                next_free_at: limit.next_free_at.map(Moment),
                told: limit.told(),
                holds_back: limit.holds_back(),
            }),
        }
    };
    Ok(configuration.senders.iter().map(of).collect())
}

fn templates_report(templates: &[Template], sync: &TemplateSync) -> TemplatesReport {
    let (failed_at, failure) = sync.failure.clone().unzip();
    let paused = templates.iter().filter(|template| template.status == TemplateStatus::Paused);
    TemplatesReport {
        count: templates.len(),
        paused: paused.map(|template| format!("{} ({})", template.name, template.language)).collect(),
        synced_at: sync.synced_at.map(Moment),
        failed_at: failed_at.map(Moment),
        failure,
    }
}

fn channel_report(channel: Channel, messages_per_second: u32) -> ChannelReport {
    let (read_at, state) = channel.state.unzip();
    let (failed_at, failure) = channel.failure.unzip();
    let state = state.unwrap_or_default();
    ChannelReport {
        quality: state.quality,
        messaging_limit: state.messaging_limit.as_ref().map(ToString::to_string),
        warnings: if read_at.is_some() { state.warnings() } else { vec![] },
        advice: state.advice_on_pace(messages_per_second),
        throughput: state.throughput,
        name: state.name,
        read_at: read_at.map(Moment),
        failed_at: failed_at.map(Moment),
        failure,
    }
}

async fn callback_urls(
    store: &Store,
    configuration: &Configuration,
    leases: &[LeaseOverview],
) -> Result<Vec<CallbackUrlReport>, StoreError> {
    let left_behind = store.count_callbacks().await?;
    let mut urls = Vec::new();
    for subscription in &configuration.subscriptions {
        let Some(CursorState { cursor, trouble }) = store.cursor_state(subscription.key).await? else { continue };
        let (dead, not_relayed) = left_behind.get(&subscription.key.0).copied().unwrap_or_default();
        let sender = configuration.senders.iter().find(|sender| Some(sender.key) == subscription.sender);
        let (account, account_enabled) = account(configuration, subscription.account);
        urls.push(CallbackUrlReport {
            key: subscription.key.0,
            account,
            account_enabled,
            kind: subscription.kind,
            number: sender.map(|sender| sender.number.as_e164().to_owned()),
            hold: HoldReport::of(trouble.hold.as_ref()),
            owed: store.owed(subscription, cursor, OWED_COUNTED_MAX).await?,
            dead,
            newest_dead: if dead == 0 { vec![] } else { newest_dead(store, subscription).await? },
            not_relayed,
            failing_since: trouble.failing_since.map(Moment),
            failures: trouble.failures,
            next_try_at: trouble.due_at.map(Moment),
            owner: owner_of_lease(leases, LeaseKind::Subscription, subscription.key.0),
            replay: replay(store, subscription).await?,
        });
    }
    Ok(urls)
}

async fn newest_dead(store: &Store, subscription: &Subscription) -> Result<Vec<DeadReport>, StoreError> {
    let dead = store.newest_dead(subscription.key, DEAD_SHOWN_MAX).await?;
    let report = |dead: DeadCallback| DeadReport {
        at: Moment(dead.died_at),
        events: dead.events,
        message: dead.message.map(|message| message.to_string()),
        platform_message_id: dead.platform_message_id,
        reason: dead.reason,
    };
    Ok(dead.into_iter().map(report).collect())
}

async fn replays_ended(
    store: &Store,
    configuration: &Configuration,
    now: UnixMillis,
) -> Result<Vec<EndedReplayReport>, StoreError> {
    let replays = store.replays_since(now.minus(ENDED_REPLAYS_SHOWN_FOR), ENDED_REPLAYS_SHOWN_MAX).await?;
    let ended = replays.into_iter().filter_map(|replay| {
        Some(EndedReplayReport {
            id: replay.id,
            account: account(configuration, replay.account).0,
            callback_url: replay.subscription.0,
            wanted: replay.wanted,
            told: replay.told,
            refused: replay.refused,
            passed: replay.passed,
            ended_at: Moment(replay.finished_at?),
            note: replay.note,
        })
    });
    Ok(ended.collect())
}

async fn replay(store: &Store, subscription: &Subscription) -> Result<Option<ReplayReport>, StoreError> {
    Ok(store.open_replay(subscription.key).await?.map(|replay| ReplayReport {
        id: replay.id,
        wanted: replay.wanted,
        told: replay.told,
        refused: replay.refused,
        passed: replay.passed,
        since: Moment(replay.created_at),
        note: replay.note,
    }))
}

/// What providers said lately to the business.
async fn notices(
    store: &Store,
    configuration: &Configuration,
    now: UnixMillis,
) -> Result<Vec<NoticeReport>, StoreError> {
    let logged = store.notices_since(now.minus(NOTICES_SHOWN_FOR), NOTICES_SHOWN_MAX).await?;
    let notices = logged.into_iter().map(|logged| NoticeReport {
        at: Moment(logged.recorded_at),
        account: account(configuration, logged.account).0,
        severity: logged.notice.severity,
        kind: logged.notice.kind,
        text: logged.notice.text,
    });
    Ok(notices.collect())
}

async fn queue_rules(store: &Store, configuration: &Configuration) -> Result<Vec<RuleReport>, StoreError> {
    let (rules, now) = (store.queue_rules().await?, wabridge::clock::now());
    let in_force = rules.0.iter().filter(|rule| rule.holds(now));
    Ok(in_force.map(|rule| RuleReport::of(configuration, rule, now)).collect())
}

async fn files(store: &Store) -> Result<FilesReport, StoreError> {
    let MediaOverview { pending, stored, failed, stored_bytes } = store.count_media().await?;
    let newest = if failed == 0 { vec![] } else { store.failed_media(FAILED_FILES_SHOWN_MAX).await? };
    let newest_failed = newest.into_iter().map(|file| FailedFileReport {
        at: Moment(file.id.made_at()),
        kind: file.kind.as_str(),
        reason: file.reason.unwrap_or_else(|| "no reason was noted".to_owned()),
    });
    Ok(FilesReport { stored, stored_bytes, pending, failed, newest_failed: newest_failed.collect() })
}
