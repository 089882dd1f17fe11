//! Asking for callbacks to be told again.
//!
//! 1. Which subscriptions, and which events of each? Never beyond a cursor: what lies there is owed anyway.
//! 2. How many are those now?
//! 3. A row for each: the subscription's owner, in whichever instance, works it off.
//!
//! Whoever asked may watch, or leave: a replay goes on without them, and after a crash.

use serde_json::json;

use crate::{
    domain::{
        callback::Subscription,
        ids::{AccountKey, MessageId, Place, SubscriptionKey},
        operator::{Actor, Permission},
        replay::{Because, ReplayOf, ReplaySelection},
        time::UnixMillis,
    },
    services::{
        callbacks,
        operators::{Refusal, require},
    },
    store::{
        Store, StoreError,
        audit::AuditEntry,
        configuration::Configuration,
        replays::{AskedReplay, NewReplay, REPLAYS_OPEN_MAX, Replay},
    },
};

/// What an operator wants to be told again.
#[derive(Clone, Debug)]
pub struct Wish {
    pub of: ReplayOf,
    /// Of this account only.
    pub account: Option<AccountKey>,
    /// Of this subscription only, also where that is off.
    pub subscription: Option<SubscriptionKey>,
    /// Of what was left behind, only what was answered like that.
    pub because: Because,
    /// About these messages only, each with its account; `None`: about all.
    pub messages: Option<Vec<(AccountKey, MessageId)>>,
    /// Only the event at this place.
    pub place: Option<Place>,
    /// Heard in this time; all of a webhook begin with its creation unless another time is said.
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
}

/// Events of one subscription that a wish is about.
#[derive(Clone, Debug)]
pub struct Planned {
    pub subscription: Subscription,
    pub selection: ReplaySelection,
    pub events: i64,
}

/// A replay is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "{REPLAYS_OPEN_MAX} replays of callback URL {0} wait already: let them end, or end some by `wabridge replay --stop N`"
    )]
    TooMany(SubscriptionKey),
    #[error(
        "callback URL {0} was taken out of the configuration in this moment: `wabridge status` lists those that there are"
    )]
    NoSuchUrl(SubscriptionKey),
    #[error("{0}, then tell again what it missed")]
    Off(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(error) => error.into(),
            refused @ (ReplayError::TooMany(_) | ReplayError::NoSuchUrl(_) | ReplayError::Off(_)) => {
                Self::Conflict(refused.to_string())
            }
        }
    }
}

/// Clocks of instances differ: so much earlier and later a log is searched than asked for.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// What a wish would mean now; only what has events at all.
pub async fn plan(store: &Store, configuration: &Configuration, wish: &Wish) -> Result<Vec<Planned>, StoreError> {
    let mut planned = Vec::new();
    for subscription in configuration.subscriptions_ever().filter(|subscription| is_meant(wish, subscription)) {
        let Some(state) = store.cursor_state(subscription.key).await? else { continue };
        // Whoever switches a webhook on begins at the end of the log.
        let last = if subscription.is_on { state.cursor } else { store.log_end(subscription.account).await? };
        let since = wish.since.or_else(|| begin_of(wish, subscription));
        for message in messages_of(wish, subscription.account) {
            let (first, because) = (Place(1), wish.because.clone());
            let mut selection =
                ReplaySelection { of: wish.of, message, because, first, last, since, until: wish.until };
            narrow(store, subscription.account, wish, &mut selection).await?;
            let events = store.count_replayable(subscription, &selection).await?;
            if events > 0 {
                planned.push(Planned { subscription: subscription.clone(), selection, events });
            }
        }
    }
    Ok(planned)
}

/// Events a second, at most, that a replay may be limited to.
pub const PER_SECOND_MAX: i32 = 100_000;

/// Whether somebody would tell these: nobody does for a webhook that is off.
pub fn check_on<'a>(subscriptions: impl IntoIterator<Item = &'a Subscription>) -> Result<(), ReplayError> {
    let off = subscriptions.into_iter().find_map(callbacks::off);
    off.map_or(Ok(()), |off| Err(ReplayError::Off(off)))
}

/// Asks for what was planned; gives back the numbers of the replays.
pub async fn ask(
    store: &Store,
    actor: &Actor,
    planned: &[Planned],
    per_second: Option<i32>,
) -> Result<Vec<i32>, ReplayError> {
    check_on(planned.iter().map(|part| &part.subscription))?;
    let mut ids = Vec::with_capacity(planned.len());
    for part in planned {
        let replay = NewReplay {
            subscription: part.subscription.key,
            account: part.subscription.account,
            selection: part.selection.clone(),
            per_second,
            wanted: part.events,
        };
        ids.push(match store.ask_for_replay(&replay, &noted(actor, &replay)).await? {
            AskedReplay::Waits(id) => id,
            AskedReplay::TooMany => return Err(ReplayError::TooMany(replay.subscription)),
            AskedReplay::NoSuchUrl => return Err(ReplayError::NoSuchUrl(replay.subscription)),
        });
    }
    Ok(ids)
}

/// The same for people and programs: they must be allowed to, and hear what to change.
pub async fn begin(
    store: &Store,
    actor: &Actor,
    planned: &[Planned],
    per_second: Option<i32>,
) -> Result<Vec<Replay>, Refusal> {
    require(actor, Permission::ReplayCallbacks)?;
    if per_second.is_some_and(|rate| !(1..=PER_SECOND_MAX).contains(&rate)) {
        let text =
            format!("the events a second are 1 to {PER_SECOND_MAX}; leave it empty for as fast as they are taken");
        return Err(Refusal::Invalid { field: "rate", text });
    }
    let ids = ask(store, actor, planned, per_second).await?;
    Ok(store.replays(&ids).await?)
}

/// One replay as it stands.
pub async fn one(store: &Store, actor: &Actor, id: i32) -> Result<Replay, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let missing =
        || Refusal::NotFound(format!("there is no replay {id}: it never was, or is older than the retention"));
    store.replays(&[id]).await?.pop().ok_or_else(missing)
}

/// Ends a replay early.
pub async fn stop(store: &Store, actor: &Actor, id: i32) -> Result<(), Refusal> {
    require(actor, Permission::ReplayCallbacks)?;
    one(store, actor, id).await?;
    match end(store, actor, id).await? {
        true => Ok(()),
        false => Err(Refusal::Conflict(format!("replay {id} has ended already"))),
    }
}

/// Ends a replay early; `false` when it had ended, or never was.
pub async fn end(store: &Store, actor: &Actor, id: i32) -> Result<bool, StoreError> {
    let entry = AuditEntry::new(actor, "stop replay", format!("replay {id}"));
    store.stop_replay(id, &format!("ended early by {}", actor.name), &entry).await
}

/// How many events of a replay are done with, and how fast that went on average.
pub fn pace(replay: &Replay, now: UnixMillis) -> (i64, f64) {
    let done = replay.told + replay.refused + replay.passed;
    let took = replay.finished_at.unwrap_or(now).since(replay.created_at).as_secs_f64();
    (done, done as f64 / took.max(1.0))
}

fn noted(actor: &Actor, replay: &NewReplay) -> AuditEntry {
    let selection = &replay.selection;
    let time = |at: Option<UnixMillis>| at.map(|at| at.to_string());
    AuditEntry::new(actor, "start replay", format!("callback URL {}", replay.subscription)).after(json!({
        "of": selection.of.as_str(),
        "events": replay.wanted,
        "message": selection.message.map(|message| message.to_string()),
        "since": time(selection.since),
        "until": time(selection.until),
        "per_second": replay.per_second,
        "answered": selection.because.answered,
        "reason": selection.because.text,
    }))
}

fn is_meant(wish: &Wish, subscription: &Subscription) -> bool {
    let is_named = wish.subscription == Some(subscription.key);
    wish.account.is_none_or(|account| account == subscription.account)
        && (is_named || wish.subscription.is_none() && subscription.is_on)
}

/// What happened before somebody made a webhook it did not miss. Who names an event or a message means it.
fn begin_of(wish: &Wish, subscription: &Subscription) -> Option<UnixMillis> {
    let all = wish.of == ReplayOf::All && wish.place.is_none() && wish.messages.is_none();
    subscription.webhook.as_ref().filter(|_| all).map(|webhook| webhook.created_at)
}

/// One selection for each message; one for all when no message was named.
fn messages_of(wish: &Wish, account: AccountKey) -> Vec<Option<MessageId>> {
    match &wish.messages {
        None => vec![None],
        Some(messages) => {
            messages.iter().filter(|(whose, _)| *whose == account).map(|(_, message)| Some(*message)).collect()
        }
    }
}

/// Times become places, so that a long log is not searched from its beginning.
async fn narrow(
    store: &Store,
    account: AccountKey,
    wish: &Wish,
    selection: &mut ReplaySelection,
) -> Result<(), StoreError> {
    if let Some(since) = selection.since {
        selection.first = store.place_at(account, UnixMillis(since.0 - CLOCKS_DIFFER_MS)).await?;
    }
    if let Some(until) = wish.until {
        let after = store.place_at(account, UnixMillis(until.0 + CLOCKS_DIFFER_MS)).await?;
        selection.last = selection.last.min(Place(after.0 - 1));
    }
    if let Some(place) = wish.place {
        selection.first = selection.first.max(place);
        selection.last = selection.last.min(place);
    }
    Ok(())
}
