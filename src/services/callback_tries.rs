//! Trying now what is owed, instead of at its next try: a whole URL, or one event. The same for the console and the API.
//!
//! 1. May it be tried at all? Nobody tells a webhook that is off or paused.
//! 2. What holds it goes: the URL's rest, and of a webhook the time until an event's next try.
//! 3. Its owner, in whichever instance, goes on as always, in order; nothing is told here.

use serde_json::json;

use super::{
    callbacks::{OWED_COUNTED_MAX, UrlStanding, off, release, subscription, url},
    directory::Snapshot,
    operators::{Refusal, require},
};
use crate::{
    domain::{
        callback::Subscription,
        ids::Place,
        operator::{Actor, Permission},
    },
    store::{Store, audit::AuditEntry, holds::WaitingEvents},
};

/// What goes with an event that is tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryingNow {
    /// Its URL is told in order: everything that it is owed, so many events.
    WholeUrl { owed: i64 },
    /// The event goes by itself.
    Alone,
    /// It goes, and then those that wait behind it.
    WithThoseBehind { behind: i64 },
    /// The event that it waits for goes, and then this one.
    AfterAnother { tried: Place },
}

/// How far trying has come since somebody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    pub wanted: i64,
    /// No more than can be counted.
    pub left: i64,
}

/// Tries what a URL is owed now; `false` when nothing held it.
pub async fn try_now(store: &Store, snapshot: &Snapshot, actor: &Actor, key: i32) -> Result<bool, Refusal> {
    require(actor, Permission::ReplayCallbacks)?;
    let subscription = subscription(snapshot, actor, key)?;
    may_be_tried(subscription)?;
    let released = release(store, actor, subscription.key).await?;
    if subscription.webhook.is_none() {
        return Ok(released);
    }
    let entry = AuditEntry::new(actor, "try events now", format!("callback URL {key}"));
    let hurried = store.hurry_waiting(subscription.key, WaitingEvents::All, &entry).await?;
    Ok(released || hurried > 0)
}

/// What trying an event now would do; `None` when it waits for nothing that could be cut short.
pub async fn trying_now(store: &Store, url: &UrlStanding, place: Place) -> Result<Option<TryingNow>, Refusal> {
    if may_be_tried(&url.subscription).is_err() {
        return Ok(None);
    }
    let Some(webhook) = &url.subscription.webhook else {
        let is_held = url.trouble.hold.is_some() || url.trouble.due_at.is_some();
        return Ok((is_held && place > url.cursor).then_some(TryingNow::WholeUrl { owed: url.owed.events }));
    };
    let in_order = webhook.settings.in_order;
    let in_lane = store.in_lane(url.subscription.key, in_order, place).await?;
    Ok(in_lane.map(|lane| match lane.tried {
        tried if tried != place => TryingNow::AfterAnother { tried },
        _ if lane.behind > 0 => TryingNow::WithThoseBehind { behind: lane.behind },
        _ => TryingNow::Alone,
    }))
}

/// Tries one event now, with what cannot be parted from it.
pub async fn try_event(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    (key, place): (i32, Place),
) -> Result<TryingNow, Refusal> {
    require(actor, Permission::ReplayCallbacks)?;
    let url = url(store, snapshot, actor, key).await?;
    may_be_tried(&url.subscription)?;
    let waits_for_nothing = || {
        let text = format!(
            "the event at place {} waits for nothing: it was told, is dead, or its turn comes within seconds",
            place.0
        );
        Refusal::Conflict(text)
    };
    let what = trying_now(store, &url, place).await?.ok_or_else(waits_for_nothing)?;
    let entry = AuditEntry::new(actor, "try event now", format!("callback URL {key}")).after(json!({"place": place.0}));
    match what {
        TryingNow::WholeUrl { .. } => {}
        TryingNow::Alone => drop(store.hurry_waiting(url.subscription.key, which(&url, place), &entry).await?),
        TryingNow::WithThoseBehind { .. } | TryingNow::AfterAnother { .. } => {
            store.hurry_waiting(url.subscription.key, WaitingEvents::LaneOf(place), &entry).await?;
        }
    }
    // Whoever rests because too much failed would look at it after that only.
    release(store, actor, url.subscription.key).await?;
    Ok(what)
}

/// How far a URL has come with what it was owed up to a place.
pub async fn progress(store: &Store, url: &UrlStanding, (wanted, last): (i64, Place)) -> Result<Tried, Refusal> {
    let left = store.owed_until(&url.subscription, (url.cursor, last), OWED_COUNTED_MAX).await?;
    Ok(Tried { wanted, left: left.min(wanted) })
}

fn which(url: &UrlStanding, place: Place) -> WaitingEvents {
    let in_order = url.subscription.webhook.as_ref().is_some_and(|webhook| webhook.settings.in_order);
    if in_order { WaitingEvents::LaneOf(place) } else { WaitingEvents::One(place) }
}

fn may_be_tried(subscription: &Subscription) -> Result<(), Refusal> {
    if let Some(off) = off(subscription) {
        return Err(Refusal::Conflict(off));
    }
    match subscription.webhook.as_ref().filter(|webhook| webhook.paused) {
        Some(webhook) => Err(Refusal::Conflict(format!("webhook {} is paused: resume it first", webhook.name))),
        None => Ok(()),
    }
}
