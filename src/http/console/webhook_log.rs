//! What was said to a webhook, over all accounts and kinds of event: each request with its event, its answer, and what became of the
//! event in the end.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    callback_events::about,
    callback_exchanges::{CODE, EXCHANGE, ExchangeRow, Next, exchange_row, outcome_choices, outcomes},
    callbacks,
    callbacks::Choice,
    frame::{long_time, wants_part},
    messages::Status,
    page,
    webhooks::{Head, PATH, head, view_of},
};
use crate::{
    domain::{
        event_name::{Entity, EventName},
        ids::MessageId,
        operator::{Actor, Permission},
        webhook_filter::EventPattern,
        webhook_settings::WebhookSettings,
    },
    http::Parts,
    services::{
        directory::Snapshot,
        webhook_view::{self, Delivery, DeliveryState, FoundDeliveries, LogFilter},
    },
    store::exchanges::ExchangeFilter,
};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogForm {
    event: String,
    state: String,
    outcome: String,
    account: String,
    number: String,
    code: String,
    text: String,
    since: String,
    until: String,
    /// The last request of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/webhook_log.html")]
struct Page {
    frame: Frame,
    head: Head,
    form: LogForm,
    accounts: Vec<String>,
    numbers: Vec<String>,
    /// Entities with their events.
    events: Vec<String>,
    states: Vec<Choice>,
    outcomes: Vec<Choice>,
    may_search_text: bool,
    /// Where all that is dead can be told again.
    may_replay: bool,
    dead: i64,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/webhook_log_results.html")]
struct Results {
    wrong: Option<String>,
    is_filtered: bool,
    rows: Vec<Row>,
    next: Option<Next>,
}

struct Row {
    exchange: ExchangeRow,
    /// The event's page.
    href: String,
    id: String,
    /// HTML, of words of ours alone: a narrow screen may break it at its dot.
    event: String,
    about: String,
    account: String,
    channel: String,
    state: Status,
}

/// `GET /console/webhooks/{name}/log`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    form: Query<LogForm>,
) -> Result<HttpResponse, Trouble> {
    let (actor, form) = (&visitor.actor, form.into_inner());
    let snapshot = parts.directory.snapshot();
    let webhook = parts.webhooks.one(actor, &name).await?.webhook;
    let results = match form.filter(&snapshot, actor) {
        Err(wrong) => Results { wrong: Some(wrong.said()), is_filtered: true, rows: vec![], next: None },
        Ok(filter) => {
            let from = (&parts.store, &*snapshot, &*parts.media.links);
            let found = webhook_view::log(from, actor, &webhook, &filter, LINES_PER_PAGE).await?;
            results(actor, &snapshot, &form, &name, found)
        }
    };
    if wants_part(&request) {
        return page(&results);
    }
    let view = view_of(&parts, actor, &name).await?;
    page(&Page {
        frame: Frame::new(&request, &visitor, format!("{}: log", *name), PATH),
        head: head(actor, &view, "log"),
        form,
        accounts: snapshot.account_ids(),
        numbers: snapshot.senders().map(|sender| sender.number.as_e164().to_owned()).collect(),
        events: choices(&webhook.settings),
        states: STATES.map(|state| Choice { value: state.as_str(), name: delivery_status(state).name }).into(),
        outcomes: outcome_choices(),
        may_search_text: actor.may(Permission::ReadPersonal),
        may_replay: actor.may(Permission::ReplayCallbacks),
        dead: view.dead,
        results,
    })
}

/// What can become of something that was said. What is pending was not.
const STATES: [DeliveryState; 5] = [
    DeliveryState::Delivered,
    DeliveryState::Retrying,
    DeliveryState::Paused,
    DeliveryState::SetAside,
    DeliveryState::Dead,
];

pub(super) fn delivery_status(state: DeliveryState) -> Status {
    let (name, tone) = match state {
        DeliveryState::Pending => ("pending", "warn"),
        DeliveryState::Retrying => ("retrying", "warn"),
        DeliveryState::Paused => ("paused", "warn"),
        DeliveryState::SetAside => ("set aside", "warn"),
        DeliveryState::Delivered => ("delivered", "good"),
        DeliveryState::Dead => ("dead", "bad"),
        DeliveryState::NotRelayed => ("not relayed", "plain"),
        DeliveryState::PassedOver => ("passed over", "plain"),
    };
    Status { name, tone }
}

/// The events that a webhook wants, each behind its entity, where it wants several of one.
fn choices(settings: &WebhookSettings) -> Vec<String> {
    let wanted: Vec<EventName> = EventName::TOLD.iter().copied().filter(|name| settings.wants(*name)).collect();
    let of = |entity: Entity| wanted.iter().filter(move |name| name.entity() == entity);
    let entities = Entity::ALL.into_iter().flat_map(|entity| {
        let all = (of(entity).count() > 1).then(|| EventPattern::Of(entity).to_string());
        all.into_iter().chain(of(entity).map(|name| name.as_str().to_owned())).collect::<Vec<_>>()
    });
    entities.collect()
}

fn results(actor: &Actor, snapshot: &Snapshot, form: &LogForm, name: &str, found: FoundDeliveries) -> Results {
    let is_full = found.deliveries.len() >= LINES_PER_PAGE;
    let next = found.next.map(|next| Next {
        href: form.at(name, next),
        back_to: (!is_full).then(|| long_time(MessageId(next).made_at())),
    });
    let rows = found.deliveries.into_iter().map(|delivery| row(actor, snapshot, delivery)).collect();
    Results { wrong: None, is_filtered: form.fields().into_iter().any(|(_, text)| !text.is_empty()), rows, next }
}

fn row(actor: &Actor, snapshot: &Snapshot, delivery: Delivery) -> Row {
    let sender = delivery.event.as_ref().and_then(|event| snapshot.sender(event.sender));
    let channel = sender.map(|sender| format!("{} {}", sender.connection.provider, sender.number.as_e164()));
    let (key, place) = (delivery.exchange.subscription, delivery.exchange.first);
    Row {
        href: format!("{}/{}/events/{}", callbacks::PATH, key.0, place.0),
        event: match (&delivery.name, &delivery.event) {
            (Some(name), _) => name.as_str().replace('.', ".<wbr>"),
            (None, Some(_)) => "cannot be read".to_owned(),
            (None, None) => "older than the retention".to_owned(),
        },
        about: delivery.event.as_ref().map(|event| about(actor, event)).unwrap_or_default(),
        channel: channel.unwrap_or_default(),
        state: delivery_status(delivery.state),
        exchange: exchange_row(actor, &delivery.exchange),
        id: delivery.id,
        account: delivery.account,
    }
}

impl LogForm {
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("event", &self.event),
            ("state", &self.state),
            ("outcome", &self.outcome),
            ("account", &self.account),
            ("number", &self.number),
            ("code", &self.code),
            ("text", &self.text),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// What is looked for; `Err` says what to change.
    fn filter(&self, snapshot: &Snapshot, actor: &Actor) -> Result<LogFilter, Wrong> {
        asked::account(snapshot, &self.account)?;
        let (since, until) = asked::span(&self.since, &self.until)?;
        Ok(LogFilter {
            exchange: ExchangeFilter {
                outcomes: outcomes(&self.outcome)?,
                without_tests: false,
                http_status: asked::read("code", &self.code, CODE)?,
                // By trying texts out, a number in one could be found.
                text: some(&self.text).filter(|_| actor.may(Permission::ReadPersonal)),
                replay: None,
                since,
                until,
                before: asked::read("before", &self.before, EXCHANGE)?,
            },
            account: some(&self.account),
            number: asked::sender(snapshot, &self.number)?,
            events: asked::read("event", &self.event, "an event, or all of an entity, such as message.*")?,
            state: asked::one_of("state", &self.state, &STATES, DeliveryState::as_str)?,
        })
    }

    fn at(&self, name: &str, before: i64) -> String {
        let before = before.to_string();
        asked::address(&format!("{PATH}/{name}/log"), self.fields().into_iter().chain([("before", &*before)]))
    }
}
