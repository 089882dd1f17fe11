//! Callback URLs for the people who look after them: how each stands, what became of one event there, and trying one now.
//! The same for the console and the API.

use std::{collections::BTreeSet, sync::Arc};

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    directory::Snapshot,
    media::links::MediaLinks,
    operators::{Refusal, require},
    relay::readable,
    retain::exchanges_of_account_kept,
    story::find,
    webhook_relay::{Written, facts, write},
};
use crate::{
    clock,
    domain::{
        attempt::AttemptOutcome,
        callback::{Event, EventKind, Subscription},
        ids::{AccountKey, MessageId, Place, SubscriptionKey},
        operator::{Actor, Permission},
        sent_payload::SentPayload,
        time::UnixMillis,
        webhook::{Authentication, MASK, Webhook, WebhookMethod},
        webhook_settings::shown_url,
    },
    net::redact,
    platforms, profiles,
    settings::Retention,
    store::{
        Store, StoreError,
        audit::AuditEntry,
        callbacks::{CursorState, Distance, Trouble},
        configuration::Configuration,
        events::LoggedEvent,
        exchanges::StoredExchange,
        replays::Replay,
        story::CallbackTry,
        told::{CallbackFilter, InLane, Judged},
    },
};

/// Whether a URL takes what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlState {
    Works,
    /// What it was told last was not taken. That is dead and nothing waits; the next event is told all the same.
    Refusing,
    /// It is tried again by itself.
    Failing,
    /// It refuses us or is gone: seldom tried again, so that a person should look.
    OnHold,
    /// Its webhook is off, or wants such events no more: nothing is told, and what waited is set aside.
    Off,
}

impl UrlState {
    pub const ALL: [Self; 5] = [Self::Works, Self::Refusing, Self::Failing, Self::OnHold, Self::Off];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refusing => "refusing",
            Self::Failing => "failing",
            Self::OnHold => "on_hold",
            Self::Off => "off",
        }
    }

    /// By what is in its way, and the last exchange with it; as long as something waits.
    pub fn of(trouble: &Trouble, last: Option<&StoredExchange>) -> Self {
        let refused = last.is_some_and(|last| last.outcome == AttemptOutcome::Refused);
        match (&trouble.hold, trouble.failing_since) {
            (Some(_), _) => Self::OnHold,
            (None, Some(_)) => Self::Failing,
            (None, None) if refused => Self::Refusing,
            (None, None) => Self::Works,
        }
    }

    /// When nothing waits, nothing is tried again.
    fn with_waiting(self, events: i64) -> Self {
        match self {
            Self::Failing if events == 0 => Self::Refusing,
            Self::Works | Self::Refusing | Self::Failing | Self::OnHold | Self::Off => self,
        }
    }
}

/// One callback URL as it stands.
#[derive(Clone, Debug)]
pub struct UrlStanding {
    pub subscription: Arc<Subscription>,
    /// Its account's id.
    pub account: String,
    /// The only number that it hears of.
    pub number: Option<String>,
    /// Scheme and host: who knows the rest may post to it.
    pub url: String,
    pub state: UrlState,
    pub cursor: Place,
    pub trouble: Trouble,
    /// Counted up to [`OWED_COUNTED_MAX`].
    pub owed: Distance,
    /// Of a webhook: events that were not taken, or are behind one that was not, and are tried again by themselves.
    pub waiting: i64,
    pub dead: i64,
    pub not_relayed: i64,
    pub last: Option<StoredExchange>,
    /// The replay that is worked on.
    pub replay: Option<Replay>,
}

/// What is owed beyond that is told as "more than".
pub const OWED_COUNTED_MAX: u64 = 10_000;

/// Which URLs; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct UrlFilter {
    pub account: Option<String>,
    pub kind: Option<EventKind>,
    pub state: Option<UrlState>,
    pub key: Option<SubscriptionKey>,
    /// A webhook's name.
    pub webhook: Option<String>,
    /// Also those of webhooks that are off, as where one is named.
    pub off: bool,
}

/// Every callback URL that fits, by account.
pub async fn urls(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    filter: &UrlFilter,
) -> Result<Vec<UrlStanding>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let states = store.cursor_states().await?;
    let left_behind = store.count_callbacks().await?;
    let waiting = store.count_waiting().await?;
    let wanted = snapshot.subscriptions_ever().filter_map(|subscription| {
        let state = states.get(&subscription.key)?;
        fits(snapshot, filter, subscription).then_some((subscription.clone(), state.clone()))
    });
    let wanted: Vec<(Arc<Subscription>, CursorState)> = wanted.collect();
    let keys: Vec<SubscriptionKey> = wanted.iter().map(|(subscription, _)| subscription.key).collect();
    let mut newest = store.newest_exchanges(&keys).await?;
    let mut urls = Vec::with_capacity(wanted.len());
    for (subscription, CursorState { cursor, trouble }) in wanted {
        let last = newest.remove(&subscription.key);
        let waiting = waiting.get(&subscription.key.0).copied().unwrap_or_default();
        let owed = match subscription.is_on {
            true => store.distance(&subscription, cursor, OWED_COUNTED_MAX).await?,
            // Whoever switches it on begins at the end of the log.
            false => Distance::default(),
        };
        let state = match subscription.is_on {
            true => UrlState::of(&trouble, last.as_ref()).with_waiting(owed.events + waiting),
            false => UrlState::Off,
        };
        if filter.state.is_some_and(|wanted| wanted != state) {
            continue;
        }
        let (dead, not_relayed) = left_behind.get(&subscription.key.0).copied().unwrap_or_default();
        urls.push(UrlStanding {
            account: account_id(snapshot, &subscription).to_owned(),
            number: subscription
                .sender
                .and_then(|sender| snapshot.sender(sender))
                .map(|sender| sender.number.as_e164().to_owned()),
            url: redact::url(subscription.url.expose_secret()),
            state,
            cursor,
            trouble,
            owed,
            waiting,
            dead,
            not_relayed,
            last,
            replay: store.open_replay(subscription.key).await?,
            subscription,
        });
    }
    urls.sort_by(|one, other| (&one.account, one.subscription.key).cmp(&(&other.account, other.subscription.key)));
    Ok(urls)
}

fn fits(snapshot: &Snapshot, filter: &UrlFilter, subscription: &Subscription) -> bool {
    // One that is on may have had others.
    let may_be_off = filter.off || filter.webhook.is_some() || filter.state == Some(UrlState::Off);
    let is_of_one_off = || subscription.webhook.as_ref().is_some_and(|webhook| !webhook.enabled);
    (subscription.is_on || filter.key.is_some() || may_be_off && is_of_one_off())
        && filter.account.as_deref().is_none_or(|account| account == account_id(snapshot, subscription))
        && filter.kind.is_none_or(|kind| kind == subscription.kind)
        && filter.key.is_none_or(|key| key == subscription.key)
        && filter
            .webhook
            .as_deref()
            .is_none_or(|name| subscription.webhook.as_ref().is_some_and(|one| one.name == name))
}

fn account_id<'a>(snapshot: &'a Snapshot, subscription: &Subscription) -> &'a str {
    snapshot.account_by_key(subscription.account).map_or("?", |account| account.id.as_str())
}

/// One callback URL, by its number.
pub async fn url(store: &Store, snapshot: &Snapshot, actor: &Actor, key: i32) -> Result<UrlStanding, Refusal> {
    let filter = UrlFilter { key: Some(SubscriptionKey(key)), ..UrlFilter::default() };
    let found = urls(store, snapshot, actor, &filter).await?.pop();
    found.ok_or_else(|| no_such_url(key))
}

/// A URL without all that is known of it.
pub fn subscription<'a>(snapshot: &'a Snapshot, actor: &Actor, key: i32) -> Result<&'a Arc<Subscription>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let found = snapshot.subscriptions_ever().find(|subscription| subscription.key.0 == key);
    found.ok_or_else(|| no_such_url(key))
}

fn no_such_url(key: i32) -> Refusal {
    Refusal::NotFound(format!("there is no callback URL {key}: it never was, or was taken out of the configuration"))
}

/// How many of all [`urls`] do not work, or of those of one account.
pub async fn failing(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    account: Option<AccountKey>,
) -> Result<usize, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let mut states = store.cursor_states().await?;
    let is_counted = |one: &&Arc<Subscription>| account.is_none_or(|account| account == one.account);
    let counted: BTreeSet<SubscriptionKey> =
        snapshot.subscriptions.iter().filter(is_counted).map(|one| one.key).collect();
    states.retain(|key, _| counted.contains(key));
    let keys: Vec<SubscriptionKey> = states.keys().copied().collect();
    let newest = store.newest_exchanges(&keys).await?;
    let fails = |(key, state): &(&SubscriptionKey, &CursorState)| {
        UrlState::of(&state.trouble, newest.get(key)) != UrlState::Works
    };
    Ok(states.iter().filter(fails).count())
}

/// The messages that somebody means by an id of ours, the platform's or the provider's, each with its account. `None`: no id
/// was given.
pub async fn messages_meant(
    store: &Store,
    configuration: &Configuration,
    id: &str,
) -> Result<Option<Vec<(AccountKey, MessageId)>>, Refusal> {
    let id = id.trim();
    if id.is_empty() {
        return Ok(None);
    }
    let found = find(store, configuration, id).await?;
    if found.is_empty() {
        return Err(Refusal::Invalid { field: "message", text: format!("there is no message {id}") });
    }
    Ok(Some(found.into_iter().map(|message| (message.account, message.id)).collect()))
}

/// One event at one URL.
#[derive(Clone, Debug)]
pub struct Callback {
    pub event: Event,
    pub kind: EventKind,
    pub judged: Judged,
    /// Of a webhook's event that waits for another try, or behind one that does.
    pub in_lane: Option<InLane>,
    /// The exchanges whose stretch covers it, in order.
    pub tries: Vec<CallbackTry>,
    pub payload: Payload,
    /// Of a webhook: method and headers of its request, with `…` in the place of secrets. The signature is that of this moment.
    pub head: Vec<(String, String)>,
}

/// What the URL is told of an event, as it would be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON.
    Body(String),
    /// The platform must not hear of it: its own test, or what it has heard before.
    Silent,
    /// Its dialect has no words for it.
    Unspeakable(String),
}

impl Payload {
    /// Whether a request carried just this.
    pub fn was(&self, sent: &SentPayload) -> bool {
        match self {
            Self::Body(body) => sent.is(body),
            Self::Silent | Self::Unspeakable(_) => false,
        }
    }
}

/// Since when all that was said to the callback URLs of an account is kept.
pub fn exchanges_since(ages: &Retention, snapshot: &Snapshot, account: AccountKey) -> Option<UnixMillis> {
    let account = snapshot.account_by_key(account)?;
    Some(clock::now().minus(exchanges_of_account_kept(ages, account)))
}

/// What a URL that fails said last; `None` of one that does not.
pub fn said_last(trouble: &Trouble, last: Option<&StoredExchange>) -> Option<String> {
    if let Some(hold) = &trouble.hold {
        return Some(hold.reason.clone());
    }
    trouble.failing_since?;
    let no = last.filter(|last| last.outcome != AttemptOutcome::Succeeded).map(|last| last.note.clone());
    Some(no.unwrap_or_else(|| "the URL fails".to_owned()))
}

/// What became of the event at a place, and what is told of it. `ages`: how long things are kept.
pub async fn one(
    store: &Store,
    snapshot: &Snapshot,
    links: &MediaLinks,
    url: &UrlStanding,
    (place, ages): (Place, &Retention),
) -> Result<Callback, Refusal> {
    let subscription = &*url.subscription;
    let exchanges_since = exchanges_since(ages, snapshot, subscription.account);
    let fails = said_last(&url.trouble, url.last.as_ref());
    let filter = CallbackFilter { places: Some((place, place)), exchanges_since, fails, ..CallbackFilter::default() };
    let found = store.callbacks_of(subscription, url.cursor, &filter, 1).await?.callbacks.pop();
    let missing = || {
        let (key, place) = (subscription.key, place.0);
        Refusal::NotFound(format!(
            "callback URL {key} hears of no event at place {place}: it is of another kind or number, or older than the retention"
        ))
    };
    let found = found.ok_or_else(missing)?;
    let kind = found.event.kind;
    let (event, payload, head) = match &subscription.webhook {
        Some(webhook) => written_for(store, snapshot, links, (subscription, webhook), found.event).await?,
        None => {
            let (event, payload) = written(snapshot, links, subscription, found.event);
            (event, payload, vec![])
        }
    };
    let in_lane = match &subscription.webhook {
        Some(webhook) => store.in_lane(subscription.key, webhook.settings.in_order, place).await?,
        None => None,
    };
    let tries = store.callback_tries(subscription.key.0, place).await?;
    Ok(Callback { event, kind, judged: found.judged, in_lane, tries, payload, head })
}

fn written(
    snapshot: &Snapshot,
    links: &MediaLinks,
    subscription: &Subscription,
    logged: LoggedEvent,
) -> (Event, Payload) {
    let event = readable(snapshot, links, logged);
    let account = snapshot.account_by_key(subscription.account);
    let Some((platform, account)) = platforms::find(&subscription.dialect).zip(account) else {
        let why = format!("this version knows no platform {}, or not the account", subscription.dialect);
        return (event, Payload::Unspeakable(why));
    };
    let mut rendered = platform.render_callbacks(account, std::slice::from_ref(&event));
    let payload = match (rendered.requests.pop(), rendered.unspeakable.pop()) {
        (Some(request), _) => Payload::Body(request.body),
        (None, Some((_, why))) => Payload::Unspeakable(why),
        (None, None) => Payload::Silent,
    };
    (event, payload)
}

/// The same of a webhook.
async fn written_for(
    store: &Store,
    snapshot: &Snapshot,
    links: &MediaLinks,
    (subscription, webhook): (&Subscription, &Webhook),
    logged: LoggedEvent,
) -> Result<(Event, Payload, Vec<(String, String)>), Refusal> {
    let event = readable(snapshot, links, logged);
    let Some(account) = snapshot.account_by_key(subscription.account) else {
        return Ok((event, Payload::Unspeakable("the account is not known".to_owned()), vec![]));
    };
    let events = std::slice::from_ref(&event);
    let mut facts = facts(store, snapshot, account, webhook, events).await?;
    let about = facts.remove(&event.place).unwrap_or_default();
    let (payload, head) = match write(webhook, subscription, &event, about, clock::now()) {
        Written::Request(request) => {
            let head = head_of(webhook, &request);
            (Payload::Body(request.body), head)
        }
        Written::Unwanted => (Payload::Silent, vec![]),
        Written::Unspeakable(why) => (Payload::Unspeakable(why), vec![]),
    };
    Ok((event, payload, head))
}

/// Method, content type and headers of a webhook's request, without what is secret.
pub fn head_of(webhook: &Webhook, request: &profiles::Rendered) -> Vec<(String, String)> {
    let settings = &webhook.settings;
    let method = match settings.method {
        WebhookMethod::Post => "POST",
        WebhookMethod::Put => "PUT",
        WebhookMethod::Patch => "PATCH",
    };
    let authorization = match &settings.authentication {
        Authentication::None => None,
        Authentication::Basic { .. } => Some(format!("Basic {MASK}")),
        Authentication::Bearer { prefix, .. } => Some(format!("{prefix} {MASK}").trim().to_owned()),
        Authentication::OAuth2 { .. } => Some(format!("Bearer {MASK}")),
    };
    let mut head = vec![
        (method.to_owned(), shown_url(settings.url.expose())),
        ("content-type".to_owned(), request.content_type.clone()),
    ];
    head.extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    head.extend(settings.headers.keys().map(|name| (name.clone(), MASK.to_owned())));
    head.extend(authorization.map(|value| ("authorization".to_owned(), value)));
    head
}

/// That nobody works on a URL, and what to do about it.
pub(super) fn off(subscription: &Subscription) -> Option<String> {
    let webhook = subscription.webhook.as_ref().filter(|_| !subscription.is_on)?;
    let Webhook { name, enabled, .. } = &**webhook;
    Some(match enabled {
        true => format!("webhook {name} wants such events of this account no more: change what it wants first"),
        false => format!(
            "webhook {name} is off: switch it on first, in the console or by POST /api/v1/webhooks/{name}/enable"
        ),
    })
}

/// Tries a URL now, and not at its next probe; `false` when nothing held it.
pub async fn release(store: &Store, actor: &Actor, subscription: SubscriptionKey) -> Result<bool, StoreError> {
    let hold = store.cursor_state(subscription).await?.and_then(|state| state.trouble.hold).map(|hold| hold.reason);
    let entry = AuditEntry::new(actor, "release callback URL", format!("callback URL {subscription}"))
        .before(json!({"on_hold": hold}));
    Ok(store.release_subscription(subscription, &entry).await? > 0)
}
