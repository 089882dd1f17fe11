//! How things stand now: what needs a person, and what each number has to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    clock,
    domain::{
        account::Sender,
        alarm::{AlarmKind, Condition},
        ids::{AccountKey, SenderKey, SubscriptionKey},
        operator::{Actor, Permission},
        time::UnixMillis,
    },
    services::{
        alarms::{concerns::concerns, conditions},
        callbacks::OWED_COUNTED_MAX,
        connections::{TokenState, token_state},
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::{
        Store, StoreError,
        activity::Tally,
        alarms::AlarmRecord,
        callbacks::CursorState,
        channels::Channel,
        overview::QueueOverview,
        templates::{TemplateOwner, TemplateSync},
    },
};

/// What numbers did within this is told beside what they have to do.
pub const LATELY: Duration = Duration::from_secs(15 * 60);

const MINUTE_MS: i64 = 60_000;

/// What somebody sees first.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What is wrong now, the newest first.
    pub alarms: Vec<AlarmRecord>,
    /// By number.
    pub numbers: Vec<NumberStanding>,
    /// From when on is told what numbers did lately: activity is known by whole minutes.
    pub lately_since: UnixMillis,
}

/// How a number stands.
#[derive(Clone, Debug)]
pub struct NumberStanding {
    pub sender: Arc<Sender>,
    pub queue: QueueOverview,
    /// What it did within [`LATELY`].
    pub lately: Tally,
}

/// Looks at it; of one account its numbers, and what touches it.
pub async fn standing(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    account: Option<AccountKey>,
) -> Result<Standing, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let mut alarms = raised(store, snapshot).await?;
    alarms.retain(|alarm| account.is_none_or(|account| concerns(snapshot, (alarm.kind, &alarm.subject), account)));
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.raised_at));
    let mut queues = store.queues().await?;
    let since = clock::now().minus(LATELY);
    let lately = store.activity_since(since).await?;
    let number = |sender: &Arc<Sender>| NumberStanding {
        sender: sender.clone(),
        queue: queues.remove(&sender.key).unwrap_or_default(),
        lately: lately.get(&sender.key).copied().unwrap_or_default(),
    };
    let ours = snapshot.senders().filter(|sender| account.is_none_or(|account| sender.account == account));
    let mut numbers: Vec<_> = ours.map(number).collect();
    numbers.sort_by(|one, other| one.sender.number.cmp(&other.sender.number));
    Ok(Standing { alarms, numbers, lately_since: UnixMillis((since.0.div_euclid(MINUTE_MS) + 1) * MINUTE_MS) })
}

/// What is wrong now: as the watch left it at its last look, and what has changed since.
pub(super) async fn raised(store: &Store, snapshot: &Snapshot) -> Result<Vec<AlarmRecord>, StoreError> {
    let mut alarms = store.alarms().await?;
    alarms.retain(|alarm| alarm.over_at.is_none());
    if alarms.iter().any(|alarm| alarm.kind == AlarmKind::TokenRefused) {
        let seen = (&store.channels().await?, &store.template_syncs().await?);
        alarms.retain(|alarm| alarm.kind != AlarmKind::TokenRefused || is_still_refused(snapshot, alarm, seen));
    }
    Ok(with_what_is_known(alarms, known_at_once(store, snapshot).await?))
}

/// Whether the token that is there now is refused, too: it may have been replaced since the alarm was raised.
fn is_still_refused(
    snapshot: &Snapshot,
    alarm: &AlarmRecord,
    seen: (&BTreeMap<SenderKey, Channel>, &BTreeMap<TemplateOwner, TemplateSync>),
) -> bool {
    let connection = alarm.subject.split(' ').nth(1).and_then(|id| snapshot.connection(id));
    connection.is_none_or(|it| matches!(token_state(snapshot, it, seen), TokenState::Refused(..)))
}

/// What is wrong now without any judging: what is on hold, and URLs that fail or have left something behind, each with since when.
async fn known_at_once(store: &Store, snapshot: &Snapshot) -> Result<Vec<(Condition, UnixMillis)>, StoreError> {
    let mut known = conditions::holds(snapshot);
    let (cursors, left_behind) = (store.cursor_states().await?, store.count_callbacks().await?);
    let dead_since = store.dead_since().await?;
    let keys: Vec<SubscriptionKey> = dead_since.keys().copied().collect();
    let last = store.newest_exchanges(&keys).await?;
    for subscription in &snapshot.subscriptions {
        let Some(CursorState { cursor, trouble }) = cursors.get(&subscription.key) else { continue };
        if trouble.hold.is_some() || trouble.failing_since.is_some() {
            let owed = store.owed(subscription, *cursor, OWED_COUNTED_MAX).await?;
            known.extend(conditions::url_in_trouble(snapshot, subscription, trouble, owed));
        } else if let Some(since) = dead_since.get(&subscription.key) {
            let (dead, _) = left_behind.get(&subscription.key.0).copied().unwrap_or_default();
            let condition = conditions::url_with_dead(snapshot, subscription, dead, last.get(&subscription.key));
            known.extend(condition.map(|condition| (condition, *since)));
        }
    }
    Ok(known)
}

/// The alarms as the watch left them at its last look, and what has changed since, as far as that is known at once.
fn with_what_is_known(mut alarms: Vec<AlarmRecord>, known: Vec<(Condition, UnixMillis)>) -> Vec<AlarmRecord> {
    let is =
        |alarm: &AlarmRecord, condition: &Condition| alarm.kind == condition.kind && alarm.subject == condition.subject;
    alarms.retain(|alarm| {
        let is_known_at_once =
            matches!(alarm.kind, AlarmKind::ConnectionHeld | AlarmKind::NumberHeld | AlarmKind::CallbacksFailing);
        !is_known_at_once || known.iter().any(|(condition, _)| is(alarm, condition))
    });
    for (condition, since) in known {
        let raised = alarms.iter_mut().find(|alarm| is(alarm, &condition));
        let Condition { kind, subject, text, .. } = condition;
        match raised {
            // Who holds it, and why, may be others by now.
            Some(alarm) => {
                alarm.text = text;
                alarm.raised_at = alarm.raised_at.min(since);
            }
            None => alarms.push(AlarmRecord {
                kind,
                subject,
                text,
                raised_at: since,
                over_at: None,
                told_at: None,
                told_by: String::new(),
                told: false,
            }),
        }
    }
    alarms
}
