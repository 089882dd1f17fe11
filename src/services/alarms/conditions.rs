//! What is wrong, judged by what was observed. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    domain::{
        account::{Hold, Sender},
        alarm::{AlarmKind, Condition},
        attempt::AttemptOutcome,
        callback::{EventKind, Subscription},
        channel::Quality,
        duration::written,
        ids::SenderKey,
        template::Template,
        time::UnixMillis,
        words::counted,
    },
    net::redact,
    services::{
        directory::{Snapshot, owner_of},
        observe::{Observed, PACE_WINDOW, is_stopped},
    },
    settings::Alarms,
    store::{alarms::AlarmRecord, callbacks::Trouble, exchanges::StoredExchange},
};

/// Everything there is to judge.
pub struct Evidence<'a> {
    pub observed: &'a Observed,
    pub snapshot: &'a Snapshot,
    /// The templates that a number can send.
    pub templates: &'a dyn Fn(&Sender) -> Arc<Vec<Template>>,
    /// What was wrong at the last look.
    pub before: &'a [AlarmRecord],
    /// Since when numbers have been slow without a pause, by [`slow_numbers`].
    pub slow_since: &'a BTreeMap<SenderKey, UnixMillis>,
    pub thresholds: &'a Alarms,
}

/// Everything that is wrong now.
pub fn conditions(evidence: &Evidence<'_>) -> Vec<Condition> {
    let mut wrong: Vec<Condition> = holds(evidence.snapshot).into_iter().map(|(condition, _)| condition).collect();
    let mut accounts = BTreeSet::new();
    for sender in evidence.snapshot.senders() {
        wrong.extend(quality_red(evidence, sender));
        wrong.extend(tier_changed(evidence, sender));
        wrong.extend(limit_reached(evidence, sender));
        wrong.extend(webhooks_silent(evidence, sender));
        wrong.extend(queue_late(evidence, sender));
        if accounts.insert(owner_of(sender)) {
            wrong.extend(stopped_templates(evidence, sender));
        }
    }
    wrong.extend(refused_tokens(evidence));
    wrong.extend(subscriptions_refused(evidence));
    for subscription in &evidence.snapshot.subscriptions {
        wrong.extend(callbacks_failing(evidence, subscription));
    }
    wrong.extend(webhooks_switched_off(evidence));
    wrong.extend(full_disks(evidence));
    // The order of maps is no order for people.
    wrong.sort_by(|left, right| (left.kind, &left.subject).cmp(&(right.kind, &right.subject)));
    wrong
}

/// What is wrong by the configuration alone, each with since when.
pub fn holds(snapshot: &Snapshot) -> Vec<(Condition, UnixMillis)> {
    let connections = snapshot.connections().filter_map(|connection| {
        let (id, hold) = (&connection.id, connection.hold.as_ref()?);
        Some((held(AlarmKind::ConnectionHeld, format!("connection {id}"), hold, id), hold.since))
    });
    let numbers = snapshot.senders().filter_map(|sender| {
        let (number, hold) = (sender.number.as_e164(), sender.hold.as_ref()?);
        Some((held(AlarmKind::NumberHeld, format!("number {number}"), hold, number), hold.since))
    });
    connections.chain(numbers).collect()
}

/// The text may quote others, who may quote anything.
fn condition(kind: AlarmKind, subject: String, text: String, remedy: &str) -> Condition {
    Condition { kind, subject, text: redact::text(&text), remedy: remedy.to_owned() }
}

/// A provider's no is mended there; what an operator held for is over at some time.
fn held(kind: AlarmKind, subject: String, hold: &Hold, name: &str) -> Condition {
    let (since, by, reason) = (hold.since, hold.by_whom(), hold.reason.trim_end_matches('.'));
    let mended = if hold.by.is_some() { "" } else { "it is mended and " };
    let text = format!(
        "on hold {by}, nothing is sent since {since}: {reason}. Messages stay queued until {mended}somebody releases it, or they expire"
    );
    let remedy = format!("{}: its page in the console releases it, and `wabridge release {name}`", hold.ended_by());
    condition(kind, subject, text, &remedy)
}

/// Said by the management calls, which go on while nothing is sent.
fn refused_tokens(evidence: &Evidence<'_>) -> Vec<Condition> {
    let mut wrong = Vec::new();
    for connection in evidence.snapshot.connections() {
        let of_lists = evidence.observed.syncs.iter().filter(|(owner, _)| owner.connection == connection.key);
        let of_lists = of_lists.filter_map(|(_, sync)| sync.failure.as_ref());
        let numbers = evidence.snapshot.senders().filter(|sender| sender.connection.key == connection.key);
        let of_numbers = numbers.filter_map(|sender| evidence.observed.channels.get(&sender.key)?.failure.as_ref());
        if let Some((_, why)) = of_lists.chain(of_numbers).find(|(_, why)| is_refused_token(why)) {
            wrong.push(condition(
                AlarmKind::TokenRefused,
                format!("connection {}", connection.id),
                format!("the access token is refused: {why}"),
                "generate a new token at the provider and enter it: Change on the connection's page, or access_token in the apply file; then check the channel",
            ));
        }
    }
    wrong
}

/// HTTP's own way to say so, with which every provider's failures begin.
pub(in crate::services) fn is_refused_token(failure: &str) -> bool {
    failure.starts_with("HTTP 401")
}

fn stopped_templates(evidence: &Evidence<'_>, sender: &Sender) -> Vec<Condition> {
    let templates = (evidence.templates)(sender);
    let stopped = templates.iter().filter(|template| is_stopped(&template.status));
    stopped
        .map(|template| {
            condition(
                AlarmKind::TemplateStopped,
                format!("template {} ({}) of {}", template.name, template.language, sender.provider_account_id),
                format!("WhatsApp has it {}; its messages wait, and fail when they expire", template.status),
                "read the reason in WhatsApp Manager; stop the campaign, or use another template",
            )
        })
        .collect()
}

fn quality_red(evidence: &Evidence<'_>, sender: &Sender) -> Option<Condition> {
    let (_, state) = evidence.observed.channels.get(&sender.key)?.state.as_ref()?;
    (state.quality == Quality::Red).then(|| {
        condition(
            AlarmKind::QualityRed,
            format!("number {}", sender.number.as_e164()),
            "its quality is red: people block or report it, and WhatsApp may limit it".to_owned(),
            "send less, and only what people asked for; WhatsApp Manager shows which templates they dislike",
        )
    })
}

/// News for a day.
const TIER_NEWS_FOR: Duration = Duration::from_secs(24 * 3600);

fn tier_changed(evidence: &Evidence<'_>, sender: &Sender) -> Option<Condition> {
    let channel = evidence.observed.channels.get(&sender.key)?;
    let (changed_at, before) = channel.limit_before.as_ref()?;
    let limit = channel.state.as_ref()?.1.messaging_limit.as_ref()?;
    (evidence.observed.at.since(*changed_at) < TIER_NEWS_FOR).then(|| {
        condition(
            AlarmKind::TierChanged,
            format!("number {}", sender.number.as_e164()),
            format!("its messaging limit is {limit} since {changed_at}; it was {before}"),
            "nothing when it is more; when it is less, look at the number's quality in WhatsApp Manager and spread campaigns \
             over more days",
        )
    })
}

fn limit_reached(evidence: &Evidence<'_>, sender: &Sender) -> Option<Condition> {
    let limit = evidence.observed.limits.get(&sender.key).filter(|limit| limit.holds_back())?;
    let subject = format!("number {}", sender.number.as_e164());
    Some(condition(
        AlarmKind::LimitReached,
        subject,
        limit.told(),
        "send to fewer new people a day, or raise the limit: WhatsApp Manager says how; what waits is sent by itself as places \
         become free, and fails when it expires before",
    ))
}

/// Messages were sent, and nobody said what became of them. Once raised it lasts until something is heard.
fn webhooks_silent(evidence: &Evidence<'_>, sender: &Sender) -> Option<Condition> {
    let (thresholds, observed) = (evidence.thresholds, evidence.observed);
    let subject = format!("number {}", sender.number.as_e164());
    let lately = observed.lately.get(&sender.key).copied().unwrap_or_default();
    let just_now = observed.just_now.get(&sender.key).map_or(0, |tally| tally.sent);
    let sent = lately.sent.saturating_sub(just_now);
    let lasts = is_raised(evidence, AlarmKind::WebhooksSilent, &subject);
    (lately.heard == 0 && (sent >= thresholds.webhooks_silent_messages || lasts)).then(|| {
        condition(
            AlarmKind::WebhooksSilent,
            subject,
            format!(
                "messages are sent, and for {} no webhook told what became of any",
                written(thresholds.webhooks_silent_for)
            ),
            "run `wabridge check`: it says where webhooks go, and `--repair` brings them here",
        )
    })
}

/// Numbers whose oldest message waits for long while they send less than half of what they may. One that was just released
/// is slow, too, until it has sent for a while.
pub fn slow_numbers(observed: &Observed, snapshot: &Snapshot, thresholds: &Alarms) -> BTreeSet<SenderKey> {
    let slow = snapshot.senders().filter(|sender| {
        // What is on hold is late on purpose, and has an alarm of its own. So are quiet hours.
        let stopped = sender.hold.is_some() || sender.connection.hold.is_some();
        let waits =
            observed.queues.get(&sender.key).filter(|queue| queue.queued > 0).and_then(|queue| queue.oldest_queued);
        let late = waits.is_some_and(|oldest| observed.at.since(oldest) > thresholds.queue_late_by);
        late && !stopped
            && !is_quiet(observed, snapshot, sender)
            && sent_at_pace(observed, sender) < half_of_pace(sender)
    });
    slow.map(|sender| sender.key).collect()
}

fn is_quiet(observed: &Observed, snapshot: &Snapshot, sender: &Sender) -> bool {
    let Some(account) = snapshot.account_by_key(sender.account) else { return false };
    let zone = account.policy.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
    account.policy.quiet_hours.as_ref().is_some_and(|hours| hours.are_now(zone, observed.at))
}

fn sent_at_pace(observed: &Observed, sender: &Sender) -> u64 {
    observed.at_pace.get(&sender.key).map_or(0, |tally| tally.sent)
}

/// The window is whole minutes, and what was counted last is not in it yet.
const COUNTED_SECONDS: u64 = PACE_WINDOW.as_secs() - 60;

fn half_of_pace(sender: &Sender) -> u64 {
    u64::from(sender.pace) * COUNTED_SECONDS / 2
}

fn queue_late(evidence: &Evidence<'_>, sender: &Sender) -> Option<Condition> {
    let observed = evidence.observed;
    let mut text = Vec::new();
    let slow_since = evidence.slow_since.get(&sender.key);
    if slow_since.is_some_and(|since| observed.at.since(*since) >= PACE_WINDOW) {
        let queue = observed.queues.get(&sender.key).cloned().unwrap_or_default();
        text.push(format!(
            "{}, the oldest for {} min, and the number sends {} a minute of the {} that it may",
            counted(queue.queued, "message waits", "messages wait"),
            queue.oldest_queued.map_or(0, |oldest| observed.at.since(oldest).as_secs() / 60),
            sent_at_pace(observed, sender) * 60 / COUNTED_SECONDS,
            u64::from(sender.pace) * 60,
        ));
    }
    let expired = observed.lately.get(&sender.key).map_or(0, |tally| tally.expired);
    if expired > 0 {
        let lately = written(evidence.thresholds.webhooks_silent_for);
        let expired = counted(expired, "message", "messages");
        text.push(format!("{expired} expired in the queue within {lately}"));
    }
    (!text.is_empty()).then(|| {
        condition(
            AlarmKind::QueueLate,
            format!("number {}", sender.number.as_e164()),
            text.join("; "),
            "see `wabridge status` and the log for throttling; raise messages_per_second when Meta allows it, send less at \
             once, or raise expire_after",
        )
    })
}

/// People who opted out, of whom the platform does not want to hear: it goes on addressing them.
fn subscriptions_refused(evidence: &Evidence<'_>) -> Vec<Condition> {
    let mut wrong = Vec::new();
    for (key, informed) in &evidence.observed.informed {
        let Some(account) = evidence.snapshot.account_by_key(*key) else { continue };
        let mut text = Vec::new();
        if informed.refused > 0 {
            let people = counted(informed.refused, "person who opted out", "people who opted out");
            text.push(format!("the platform refused to hear of {people}"));
        }
        if let Some((since, why)) = &informed.failure {
            text.push(format!("it could not be told of opt-outs at {since}: {why}"));
        }
        if !text.is_empty() {
            wrong.push(condition(
                AlarmKind::SubscriptionsRefused,
                format!("account {}", account.id),
                text.join("; "),
                "see `wabridge status` for the reasons, and the account's subscribe_sync in the apply file; they are not sent \
                 to in any case",
            ));
        }
    }
    wrong
}

fn callbacks_failing(evidence: &Evidence<'_>, subscription: &Subscription) -> Option<Condition> {
    let (key, observed) = (subscription.key, evidence.observed);
    let trouble = &observed.cursors.get(&key)?.trouble;
    let owed = observed.owed.get(&key).copied().unwrap_or_default().events;
    if let Some((condition, since)) = url_in_trouble(evidence.snapshot, subscription, trouble, owed) {
        let at_once = subscription.webhook.is_none() && trouble.hold.is_some();
        let lasts = observed.at.since(since) >= evidence.thresholds.callbacks_failing_for;
        return (at_once || lasts).then_some(condition);
    }
    let last = observed.told_last.get(&key).filter(|last| last.outcome == AttemptOutcome::Refused)?;
    let (dead, _) = observed.callbacks.get(&key.0).copied().unwrap_or_default();
    url_with_dead(evidence.snapshot, subscription, dead, Some(last))
}

/// A platform's URL that works, or refused what it was told last, and has events that nobody tells any more.
pub fn url_with_dead(
    snapshot: &Snapshot,
    subscription: &Subscription,
    dead: i64,
    last: Option<&StoredExchange>,
) -> Option<Condition> {
    let dead = u64::try_from(dead).ok().filter(|dead| *dead > 0 && subscription.webhook.is_none())?;
    let dead = counted(dead, "event is dead", "events are dead");
    let refused = last.filter(|last| last.outcome == AttemptOutcome::Refused);
    let (text, remedy) = match refused {
        Some(last) => (
            format!("it refused what it was told last: {}; {dead}", last.note),
            "mend what its answer names, then tell it again: the console's page of the URL does, and `wabridge replay --all`",
        ),
        None => (
            format!("{dead}: not taken, or grown too old, and told no more"),
            "tell them again: the console's page of the URL does, and `wabridge replay --all`",
        ),
    };
    Some(condition(AlarmKind::CallbacksFailing, url_subject(snapshot, subscription)?, text, remedy))
}

/// `callback URL 3 (delivery reports of acme)`
fn url_subject(snapshot: &Snapshot, subscription: &Subscription) -> Option<String> {
    let account = snapshot.account_by_key(subscription.account)?;
    let kind = match subscription.kind {
        EventKind::Status => "delivery reports",
        EventKind::Inbound => "inbound messages",
        EventKind::Notice => "notices",
        EventKind::Outgoing => "messages going out",
        EventKind::Person => "contacts and conversations",
    };
    let name = match &subscription.webhook {
        Some(webhook) => format!("webhook {}", webhook.name),
        None => format!("callback URL {}", subscription.key),
    };
    Some(format!("{name} ({kind} of {})", account.id))
}

/// A URL that is on hold or fails, however short that is, and since when.
pub fn url_in_trouble(
    snapshot: &Snapshot,
    subscription: &Subscription,
    trouble: &Trouble,
    owed: i64,
) -> Option<(Condition, UnixMillis)> {
    let subject = url_subject(snapshot, subscription)?;
    let waiting = counted(owed, "event waits", "events wait");
    let of = |text, remedy: &str| condition(AlarmKind::CallbacksFailing, subject, text, remedy);
    if subscription.webhook.is_some() {
        let (since, failures) = (trouble.failing_since?, counted(trouble.failures, "request was", "requests were"));
        let text = format!("since {since} {failures} not taken; {waiting}");
        return Some((of(text, "it is tried again by itself; when it lasts, ask whoever runs the receiver"), since));
    }
    if let Some(hold) = &trouble.hold {
        let remedy = format!(
            "compare the URL with the one that CleverTap shows, apply it, or run `wabridge release {}`",
            subscription.key
        );
        let text = format!("it is on hold since {}: {}; {waiting}", hold.since, hold.reason);
        return Some((of(text, &remedy), hold.since));
    }
    let since = trouble.failing_since?;
    let text = format!("it fails since {since}, {} in a row; {waiting}", counted(trouble.failures, "time", "times"));
    Some((of(text, "it is tried again by itself; when it lasts, ask CleverTap, or check the URL"), since))
}

/// Until somebody switches it on again, or deletes it.
fn webhooks_switched_off(evidence: &Evidence<'_>) -> Vec<Condition> {
    let off = evidence.snapshot.webhooks.iter().filter_map(|webhook| Some((webhook, webhook.switched_off.as_ref()?)));
    off.map(|(webhook, off)| {
        condition(
            AlarmKind::WebhookSwitchedOff,
            format!("webhook {}", webhook.name),
            format!("it is told nothing since {}: {}", off.since, off.reason),
            "mend its receiver, switch it on again, and replay what it missed: docs/webhooks.md says how",
        )
    })
    .collect()
}

fn full_disks(evidence: &Evidence<'_>) -> Vec<Condition> {
    let full = evidence.observed.disks.iter();
    let full = full.filter(|disk| disk.free_percent() < u64::from(evidence.thresholds.disk_free_min));
    full.map(|disk| {
        condition(
            AlarmKind::DiskFull,
            format!("disk of {}", disk.directory.display()),
            format!("only {} ({} %) are free; on a full disk nothing is accepted", disk.free(), disk.free_percent()),
            "make room, or shorten the ages under [retention]",
        )
    })
    .collect()
}

fn is_raised(evidence: &Evidence<'_>, kind: AlarmKind, subject: &str) -> bool {
    let mut before = evidence.before.iter();
    before.any(|record| record.kind == kind && record.subject == subject && record.over_at.is_none())
}

#[cfg(test)]
mod tests;
