//! How webhooks stand, in a word each, and what was said to one of them: its deliveries, the newest first.
//!
//! A webhook has a cursor for each account and kind of event; people think of it as one. Here its cursors are put together. The log
//! is made of its requests, one event each, so a delivery that was tried three times is three lines, each with what became of
//! the event in the end.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    callbacks::{self, OWED_COUNTED_MAX, UrlFilter, UrlStanding},
    directory::Snapshot,
    media::links::MediaLinks,
    operators::{Refusal, require},
    relay::readable,
    webhooks::Webhooks,
};
use crate::{
    domain::{
        attempt::AttemptOutcome,
        callback::{Event, Subscription},
        event_name::EventName,
        ids::{Place, SenderKey, SubscriptionKey},
        operator::{Actor, Permission},
        time::UnixMillis,
        webhook::Webhook,
        webhook_filter::EventPattern,
        webhook_settings::WebhookSettings,
    },
    store::{
        Store,
        exchanges::{ExchangeFilter, StoredExchange},
        told::{Judged, Standing},
        webhooks::WebhookLog,
    },
};

/// How a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    Works,
    /// The last requests were not taken; others go on.
    Retrying,
    /// So many were not taken that it is asked seldom.
    Failing,
    /// Somebody paused it; everything is kept.
    Paused,
    /// The bridge gave up on it.
    SwitchedOff,
    /// Somebody switched it off.
    Off,
    /// Nothing was said to it yet.
    Quiet,
}

/// A webhook as one thing.
#[derive(Clone, Debug)]
pub struct WebhookView {
    pub webhook: Arc<Webhook>,
    pub state: WebhookState,
    /// For each account and kind of event; those that it had, while it is off.
    pub urls: Vec<UrlStanding>,
    /// Events that it will be asked to take, or to pass over.
    pub backlog: i64,
    /// There are more: not all were counted.
    pub is_more: bool,
    pub dead: i64,
    pub not_relayed: i64,
    /// Requests in a row that were not taken.
    pub failures: i64,
    pub failing_since: Option<UnixMillis>,
    /// The newest request.
    pub last: Option<StoredExchange>,
}

/// Requests in a row that were not taken, after which it is asked seldom.
const FAILING_AFTER: i64 = 10;

/// One request, and the event that it carried.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub exchange: StoredExchange,
    pub account: String,
    /// As the receiver knows the event.
    pub id: String,
    /// None once it is older than the retention.
    pub event: Option<Event>,
    pub name: Option<EventName>,
    /// What became of the event.
    pub state: DeliveryState,
}

/// What becomes of an event at a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It was not sent yet.
    Pending,
    /// It was not taken, and is sent again.
    Retrying,
    /// It is kept until somebody resumes the webhook.
    Paused,
    /// It waited when the webhook was switched off, and is sent again when that is switched on.
    SetAside,
    Delivered,
    /// It was not taken as often as agreed.
    Dead,
    /// The webhook's profile has no words for it.
    NotRelayed,
    /// The webhook does not want it, was off, or was not there yet.
    PassedOver,
}

impl DeliveryState {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Retrying,
        Self::Paused,
        Self::SetAside,
        Self::Delivered,
        Self::Dead,
        Self::NotRelayed,
        Self::PassedOver,
    ];

    /// `None`: it is no webhook's.
    pub fn of(subscription: &Subscription, judged: &Judged) -> Option<Self> {
        let webhook = subscription.webhook.as_ref()?;
        Some(match judged.standing {
            Standing::Owed if !subscription.is_on => Self::SetAside,
            Standing::Owed if webhook.paused => Self::Paused,
            Standing::Owed if judged.tried => Self::Retrying,
            Standing::Owed => Self::Pending,
            Standing::Delivered => Self::Delivered,
            Standing::Dead => Self::Dead,
            Standing::NotRelayed => Self::NotRelayed,
            Standing::PassedOver => Self::PassedOver,
        })
    }

    /// The same, and what more than its standing is to be said of one of the platform's: that it waits for another try.
    pub fn more_closely(subscription: &Subscription, judged: &Judged) -> Option<Self> {
        let retries = judged.standing == Standing::Owed && judged.tried;
        Self::of(subscription, judged).or(retries.then_some(Self::Retrying))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::SetAside => "set_aside",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::NotRelayed => "not_relayed",
            Self::PassedOver => "passed_over",
        }
    }
}

/// Which deliveries; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    pub exchange: ExchangeFilter,
    pub account: Option<String>,
    /// About one of our numbers.
    pub number: Option<SenderKey>,
    /// An event, or all of an entity.
    pub events: Option<EventPattern>,
    pub state: Option<DeliveryState>,
}

/// A page, and where the next begins.
#[derive(Clone, Debug, Default)]
pub struct FoundDeliveries {
    pub deliveries: Vec<Delivery>,
    /// `before` of the next page; `None` after the oldest.
    pub next: Option<i64>,
}

/// No more is looked at after this, and the page says how far it came.
const LOOKED_FOR: Duration = Duration::from_millis(100);

/// All webhooks by name, or the one of this name.
pub async fn views(
    (webhooks, store, snapshot): (&Webhooks, &Store, &Snapshot),
    actor: &Actor,
    name: Option<&str>,
) -> Result<Vec<WebhookView>, Refusal> {
    let wanted = match name {
        Some(name) => vec![webhooks.one(actor, name).await?],
        None => webhooks.list(actor).await?,
    };
    let filter = UrlFilter { webhook: name.map(str::to_owned), off: true, ..UrlFilter::default() };
    let mut urls = callbacks::urls(store, snapshot, actor, &filter).await?;
    let mut views = Vec::with_capacity(wanted.len());
    for one in wanted {
        let key = one.webhook.key;
        let is_its = |url: &UrlStanding| url.subscription.webhook.as_ref().is_some_and(|webhook| webhook.key == key);
        let (own, others) = urls.into_iter().partition(is_its);
        urls = others;
        views.push(view(one.webhook, own));
    }
    Ok(views)
}

fn view(webhook: Arc<Webhook>, urls: Vec<UrlStanding>) -> WebhookView {
    let failures = urls.iter().map(|url| i64::from(url.trouble.failures)).max().unwrap_or(0);
    let last = urls.iter().filter_map(|url| url.last.clone()).max_by_key(|last| last.id);
    let state = match (&webhook.switched_off, webhook.enabled, webhook.paused) {
        (Some(_), false, _) => WebhookState::SwitchedOff,
        (_, false, _) => WebhookState::Off,
        (_, true, true) => WebhookState::Paused,
        (_, true, false) if failures > 0 => failing_state(failures),
        (_, true, false) if last.is_none() => WebhookState::Quiet,
        (_, true, false) => WebhookState::Works,
    };
    WebhookView {
        state,
        backlog: urls.iter().map(|url| url.owed.events + url.waiting).sum(),
        is_more: urls.iter().any(|url| u64::try_from(url.owed.events).is_ok_and(|owed| owed >= OWED_COUNTED_MAX)),
        dead: urls.iter().map(|url| url.dead).sum(),
        not_relayed: urls.iter().map(|url| url.not_relayed).sum(),
        failures,
        failing_since: urls.iter().filter_map(|url| url.trouble.failing_since).min(),
        last,
        urls,
        webhook,
    }
}

/// How it is called while so many requests in a row were not taken.
pub fn failing_state(failures: i64) -> WebhookState {
    if failures >= FAILING_AFTER { WebhookState::Failing } else { WebhookState::Retrying }
}

impl WebhookView {
    /// When something was taken last, as far as the newest requests say.
    pub fn taken_at(&self) -> Option<UnixMillis> {
        let newest = self.urls.iter().filter_map(|url| url.last.as_ref());
        newest.filter(|last| last.outcome == AttemptOutcome::Succeeded).map(|last| last.started_at).max()
    }
}

/// What was said to a webhook, the newest first.
pub async fn log(
    (store, snapshot, links): (&Store, &Snapshot, &MediaLinks),
    actor: &Actor,
    webhook: &Arc<Webhook>,
    filter: &LogFilter,
    limit: usize,
) -> Result<FoundDeliveries, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let kinds =
        filter.events.map(|events| WebhookSettings { events: vec![events], ..WebhookSettings::default() }.kinds());
    let mut logs = store.webhook_logs(webhook).await?;
    logs.retain(|log| {
        let account = snapshot.account_by_key(log.subscription.account);
        filter.account.as_deref().is_none_or(|id| account.is_some_and(|account| account.id == id))
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&log.subscription.kind))
    });
    let keys: Vec<SubscriptionKey> = logs.iter().map(|log| log.subscription.key).collect();
    let (mut found, mut exchanges) = (FoundDeliveries::default(), filter.exchange.clone());
    let started = Instant::now();
    loop {
        let page = store.exchanges_with(&keys, &exchanges, limit).await?;
        for delivery in deliveries((store, snapshot, links), &logs, page.exchanges).await? {
            if found.deliveries.len() == limit {
                found.next = found.deliveries.last().map(|last| last.exchange.id);
                return Ok(found);
            }
            if filter.fits(&delivery) {
                found.deliveries.push(delivery);
            }
        }
        found.next = page.next;
        if page.next.is_none() || found.deliveries.len() == limit || started.elapsed() >= LOOKED_FOR {
            return Ok(found);
        }
        exchanges.before = page.next;
    }
}

impl LogFilter {
    fn fits(&self, delivery: &Delivery) -> bool {
        let sender = delivery.event.as_ref().map(|event| event.sender);
        self.events.is_none_or(|events| delivery.name.is_some_and(|name| events.matches(name)))
            && self.number.is_none_or(|number| sender == Some(number))
            && self.state.is_none_or(|state| delivery.state == state)
    }
}

async fn deliveries(
    (store, snapshot, links): (&Store, &Snapshot, &MediaLinks),
    logs: &[WebhookLog],
    exchanges: Vec<StoredExchange>,
) -> Result<Vec<Delivery>, Refusal> {
    let mut known: HashMap<(SubscriptionKey, Place), (Option<Event>, DeliveryState)> = HashMap::new();
    for log in logs {
        let Subscription { key, account, .. } = log.subscription;
        let own = exchanges.iter().filter(|exchange| exchange.subscription == key);
        let places: Vec<Place> = own.map(|exchange| exchange.first).collect();
        if places.is_empty() {
            continue;
        }
        let judged = store.standings(&log.subscription, log.cursor, &places).await?;
        let logged = store.events_at(account, &places).await?;
        let mut events: HashMap<Place, Event> = logged
            .into_iter()
            .map(|event| readable(snapshot, links, event))
            .map(|event| (event.place, event))
            .collect();
        for (place, judged) in places.into_iter().zip(judged) {
            let Some(state) = DeliveryState::of(&log.subscription, &judged) else { continue };
            known.entry((key, place)).or_insert_with(|| (events.remove(&place), state));
        }
    }
    let delivery = |exchange: StoredExchange| {
        let log = logs.iter().find(|log| log.subscription.key == exchange.subscription)?;
        let account = log.subscription.account;
        let (event, state) = known.get(&(exchange.subscription, exchange.first)).cloned()?;
        Some(Delivery {
            account: snapshot.account_by_key(account).map_or("?", |account| account.id.as_str()).to_owned(),
            id: crate::domain::webhook_event::id_of(account, exchange.first),
            name: event.as_ref().and_then(|event| EventName::of(&event.detail).ok()),
            event,
            state,
            exchange,
        })
    };
    Ok(exchanges.into_iter().filter_map(delivery).collect())
}
