//! What happened to one message, one line for each thing that happened, in order of time.

use std::{collections::BTreeMap, fmt};

use crate::{
    clock,
    domain::{
        callback::{EventDetail, EventKind, OutgoingStep, Subscription},
        event_name::EventName,
        ids::{Place, SubscriptionKey},
        outbound::{Category, SendState},
        queue::{QueueRule, RuleAction},
        status::DeliveryStatus,
        time::UnixMillis,
        webhook_filter::Filter,
        words::{ago, moment},
    },
    store::{
        Store, StoreError,
        callbacks::{CallbackState, CursorState},
        configuration::Configuration,
        events::LoggedEvent,
        inbound::InboundPlace,
        send_exchanges::{SendExchange, Taken},
        story::{CallbackTry, Care, EarlierSend, FailedTry, StoredMessage},
    },
};

use super::{
    described, hears,
    waits::{campaign_of, facts},
};

/// One thing that happened, and what belongs to it.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: UnixMillis,
    /// As far as whoever told it knows it.
    pub time: String,
    pub what: String,
    pub tone: Tone,
    /// The provider's own entry, as it came.
    pub entry: Option<String>,
    /// Of a try: what was said, as far as it is kept.
    pub said: Vec<Exchanged>,
    pub below: Vec<String>,
    /// What callback URLs were told of it, below that.
    pub told: Vec<Told>,
    /// Of what somebody wrote: where it stands.
    pub reply: Option<InboundPlace>,
}

/// What a callback URL was told of an event, or what became of that.
#[derive(Clone, Debug)]
pub struct Told {
    pub text: String,
    pub url: SubscriptionKey,
    pub place: Place,
}

/// Something that was asked of the provider, and what it said.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Word for word; `None`: the message was taken, and the request can be built again.
    pub request: Option<String>,
    /// `None`: no answer came, or it was taken.
    pub http_status: Option<i16>,
    /// As it came, a long one cut; without an answer, why there is none.
    pub answer: String,
}

impl Exchanged {
    fn of(exchange: SendExchange) -> Self {
        let SendExchange { request, http_status, answer, .. } = exchange;
        Self { request: Some(request), http_status, answer }
    }

    fn taken(taken: &Taken) -> Self {
        Self { request: None, http_status: None, answer: taken.answer.clone() }
    }
}

/// Whether it is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Bad,
    /// Somebody of ours decided it.
    Ours,
}

impl Tone {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Ours => "ours",
        }
    }
}

impl Line {
    fn new(at: UnixMillis, what: String, tone: Tone) -> Self {
        Self {
            at,
            time: at.to_string(),
            what,
            tone,
            entry: None,
            said: vec![],
            below: vec![],
            told: vec![],
            reply: None,
        }
    }
}

/// Providers tell times in whole seconds.
const SECOND_MS: i64 = 1_000;

/// Everything, in order. `full`: with names of files, and what was said to the provider.
pub async fn lines(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    full: bool,
) -> Result<Vec<Line>, StoreError> {
    let accepted_at = message.id.made_at();
    let accepted = format!("accepted; to be sent before {}", message.expires_at);
    let mut lines = vec![Line { below: checked(message), ..Line::new(accepted_at, accepted, Tone::Plain) }];
    let earlier = store.earlier_sends(message.id).await?;
    let taken = store.taken(message.id).await?;
    let said = store.send_exchanges(message.id).await?;
    let mut tries = tries(&sends(message, &earlier, taken.as_ref()), &store.failed_tries(message.id).await?, &said);
    if !full {
        tries.iter_mut().for_each(|line| line.said.clear());
    }
    if let Some(first) = tries.iter_mut().min_by_key(|line| line.at) {
        first.below.push(format!("it waited {} for its turn", waited(accepted_at, first.at)));
    }
    lines.extend(tries);
    let notes = store.operator_notes(message.id).await?;
    lines.extend(notes.into_iter().map(|(at, note)| Line::new(at, note, Tone::Ours)));
    let cursors = store.cursor_states().await?;
    let events = store.events_of(message).await?;
    let first_report = events.first().map(|event| event.recorded_at);
    lines.extend(pauses(store, configuration, message, left_at(message, first_report)).await?);
    for event in events {
        lines.push(event_line((store, configuration, &cursors), message, event, full).await?);
    }
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

/// What people paused, as far as it kept this message back.
async fn pauses(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    left_at: Option<UnixMillis>,
) -> Result<Vec<Line>, StoreError> {
    let Some(account) = configuration.account_by_key(message.account) else { return Ok(vec![]) };
    let campaign = campaign_of(account, message);
    let of_this = facts(message, campaign.as_deref());
    let mut rules = store.queue_rules().await?.0;
    rules.extend(store.done_queue_rules().await?);
    rules.retain(|rule| rule.action == RuleAction::Pause && rule.filter.covers(&of_this));
    Ok(rules.iter().flat_map(|rule| paused(rule, message.id.made_at(), left_at)).collect())
}

/// When it left the queue; `None`: it is there. What expired or was cancelled left it when that was written down.
fn left_at(message: &StoredMessage, first_report: Option<UnixMillis>) -> Option<UnixMillis> {
    match message.state {
        SendState::Queued | SendState::Sending | SendState::Unknown => None,
        SendState::Submitted | SendState::Rejected => message.tried_at.or(first_report),
        SendState::Expired | SendState::Cancelled => first_report.or(message.tried_at),
    }
}

/// From when on a pause kept it back, and until when; nothing of one that was over before it came, or began after it had gone.
fn paused(rule: &QueueRule, came: UnixMillis, left_at: Option<UnixMillis>) -> Vec<Line> {
    let resumed = rule.end(clock::now()).map(|(at, _)| at);
    if left_at.is_some_and(|left| left < rule.since) || resumed.is_some_and(|resumed| resumed < came) {
        return vec![];
    }
    let what = if rule.filter.is_template() { "its template was put on hold" } else { "what it belongs to was paused" };
    let began = Line::new(rule.since.max(came), format!("{what}: {}", rule.reason), Tone::Ours);
    let began = match rule.since < came {
        true => Line { below: vec![format!("since {}", moment(rule.since))], ..began },
        false => began,
    };
    let ended = resumed.map(|resumed| Line::new(resumed, "resumed".to_owned(), Tone::Ours));
    std::iter::once(began).chain(ended).collect()
}

/// What had to be so, or it would have been refused.
fn checked(message: &StoredMessage) -> Vec<String> {
    let content = match (&message.template, message.category) {
        (_, Category::NotKnownYet) => {
            "the template could not be looked up in time: that is done again when its turn comes".to_owned()
        }
        (Some((name, language)), _) => format!(
            "what was given fits template {name} ({language}), where its provider lists templates; looked at later where the \
             list was not at hand"
        ),
        (None, Category::Freeform | Category::Authentication | Category::Utility | Category::Marketing) => {
            "no template: whether the person wrote within 24 hours is for WhatsApp to judge".to_owned()
        }
    };
    vec![
        "checked: the request could be read, the business number is the account's, the recipient is a telephone number"
            .to_owned(),
        format!("checked: {content}"),
        "checked: no opt-out was found against it; that is asked again before it leaves".to_owned(),
    ]
}

/// As people tell it, and to the millisecond while that says something.
fn waited(from: UnixMillis, to: UnixMillis) -> String {
    const EXACT_MS_MAX: u128 = 10_000;
    match to.since(from).as_millis() {
        short @ 0..EXACT_MS_MAX => format!("{short} ms"),
        _ => ago(from, to),
    }
}

/// One send: the message as it stands, or as it stood when an operator sent it again.
struct Send<'a> {
    state: SendState,
    attempts: i16,
    tried_at: Option<UnixMillis>,
    took_ms: Option<i32>,
    provider_message_id: Option<&'a String>,
    taken: Option<&'a Taken>,
}

fn sends<'a>(message: &'a StoredMessage, earlier: &'a [EarlierSend], taken: Option<&'a Taken>) -> Vec<Send<'a>> {
    let mut sends: Vec<Send<'_>> = earlier
        .iter()
        .map(|send| Send {
            state: send.state,
            attempts: send.attempts,
            tried_at: send.tried_at,
            took_ms: send.took_ms,
            provider_message_id: send.provider_message_id.as_ref(),
            taken: send.taken.as_ref(),
        })
        .collect();
    sends.push(Send {
        state: message.state,
        attempts: message.attempts,
        tried_at: message.tried_at,
        took_ms: message.took_ms,
        provider_message_id: message.provider_message_id.as_ref(),
        taken,
    });
    sends
}

/// A line for each try, whatever came of it.
fn tries(sends: &[Send<'_>], failed: &[FailedTry], said: &[SendExchange]) -> Vec<Line> {
    let in_try = |attempt: i16| {
        let of_it = said.iter().filter(move |said| said.attempt == Some(attempt));
        of_it.cloned().map(Exchanged::of).collect::<Vec<_>>()
    };
    let mut lines: Vec<Line> = Vec::new();
    for tried in failed {
        let taken = sends.iter().find(|send| send.attempts == tried.attempt && send.state == SendState::Submitted);
        let taken = taken.and_then(|send| send.provider_message_id);
        let after_all = taken.map_or_else(String::new, |id| format!("; it was taken as {id} all the same"));
        let FailedTry { attempt, took_ms, failure, .. } = tried;
        let what = format!("try {attempt}, {took_ms} ms: {}{after_all}", failure.text);
        lines.push(Line { said: in_try(*attempt), ..Line::new(tried.started_at, what, Tone::Bad) });
    }
    let last_tries = sends.iter().filter(|send| failed.iter().all(|tried| tried.attempt != send.attempts));
    lines.extend(last_tries.filter_map(|send| {
        let kept = in_try(send.attempts);
        let said = if kept.is_empty() { send.taken.map(Exchanged::taken).into_iter().collect() } else { kept };
        Some(Line { said, ..last_try(send)? })
    }));
    lines
}

/// The last try of a send, when it did not fail.
fn last_try(send: &Send<'_>) -> Option<Line> {
    let (attempt, tried_at) = (send.attempts, send.tried_at?);
    let (what, tone) = match send.state {
        SendState::Submitted => {
            let answered = send.took_ms.map(|took| format!("answered after {took} ms"));
            let taken = send.provider_message_id.map(|id| format!("taken as {id}"));
            let parts = [Some(format!("sent (try {attempt})")), answered, taken];
            (parts.into_iter().flatten().collect::<Vec<_>>().join(", "), Tone::Good)
        }
        SendState::Sending => (format!("being sent (try {attempt})"), Tone::Plain),
        SendState::Unknown => (format!("try {attempt}: the server stopped before an answer came"), Tone::Bad),
        // It was its turn, and it did not leave: what is told of it says why.
        SendState::Queued | SendState::Rejected | SendState::Expired | SendState::Cancelled => return None,
    };
    Some(Line::new(tried_at, what, tone))
}

/// What a line is read from.
type Sources<'a> = (&'a Store, &'a Configuration, &'a BTreeMap<SubscriptionKey, CursorState>);

async fn event_line(
    (store, configuration, cursors): Sources<'_>,
    message: &StoredMessage,
    event: LoggedEvent,
    full: bool,
) -> Result<Line, StoreError> {
    let (what, tone) = match (event.kind, event.status) {
        (EventKind::Inbound, _) => ("a reply came".to_owned(), Tone::Good),
        (EventKind::Notice, _) => ("a notice of the provider".to_owned(), Tone::Plain),
        (EventKind::Outgoing, _) => {
            (format!("{}, for webhooks", event.entry.as_deref().unwrap_or_default()), Tone::Plain)
        }
        (EventKind::Person, _) => ("news of the contact".to_owned(), Tone::Plain),
        (EventKind::Status, Some(status)) => (
            match &event.failure {
                Some(failure) => format!("{}: {}", status.as_str(), failure.text),
                None => status.as_str().to_owned(),
            },
            if status == DeliveryStatus::Failed { Tone::Bad } else { Tone::Good },
        ),
        (EventKind::Status, None) => ("a status that this version does not know".to_owned(), Tone::Plain),
    };
    let mut line = happened(event.occurred_at, event.recorded_at, &what, tone);
    if let Some(file) = store.media_of_event(message.account, event.place).await? {
        line.below.push(format!("with {}", described(&file, full)));
    }
    if event.told_before {
        line.below.push("not told again: it was told of an earlier send".to_owned());
    }
    for subscription in configuration.subscriptions_ever().filter(|subscription| hears(subscription, message, &event)) {
        let (url, place) = (subscription.key, event.place);
        let texts = telling((store, configuration, cursors), subscription, &event).await?;
        line.told.extend(texts.into_iter().map(|text| Told { text, url, place }));
    }
    let reply = InboundPlace { heard_at: event.recorded_at, account: message.account, place: event.place };
    line.reply = Some(reply).filter(|_| event.kind == EventKind::Inbound);
    line.entry = event.entry.filter(|_| event.kind != EventKind::Outgoing);
    Ok(line)
}

/// Somewhere in its second, and before we heard of it.
fn happened(occurred_at: UnixMillis, recorded_at: UnixMillis, what: &str, tone: Tone) -> Line {
    let whole = occurred_at.0.rem_euclid(SECOND_MS) == 0;
    let last = if whole { UnixMillis(occurred_at.0 + SECOND_MS - 1) } else { occurred_at };
    let time = if whole { moment(occurred_at) } else { occurred_at.to_string() };
    let what = format!("{what} (heard {recorded_at})");
    Line { time, ..Line::new(last.min(recorded_at).max(occurred_at), what, tone) }
}

/// What a callback URL was told of an event, and what became of that. Nothing of a webhook that never wanted it.
async fn telling(
    (store, configuration, cursors): Sources<'_>,
    subscription: &Subscription,
    event: &LoggedEvent,
) -> Result<Vec<String>, StoreError> {
    let url = url_name(configuration, subscription);
    let tries = store.callback_tries(subscription.key.0, event.place).await?;
    let mut lines: Vec<String> = tries.iter().map(|tried| Exchange { tried, url: &url }.to_string()).collect();
    let Some(Care { state, reason, due_at }) = store.care_of(subscription.key.0, event.place).await? else {
        let is_before_cursor = cursors.get(&subscription.key).is_none_or(|state| event.place <= state.cursor);
        if tries.is_empty() && may_want(subscription, event) {
            lines.extend(untold(subscription, &url, is_before_cursor));
        }
        return Ok(lines);
    };
    let said = tries.last().is_some_and(|tried| tried.note == reason);
    let reason = if said { "for that reason".to_owned() } else { reason };
    lines.push(match CallbackState::from_code(state) {
        Some(CallbackState::Dead) => format!("dead at the {url}: {reason}"),
        Some(CallbackState::NotRelayed) => format!("not told to the {url}: {reason}"),
        Some(CallbackState::Waiting) if !subscription.is_on => {
            format!("set aside at the {url}, which is off: {reason}")
        }
        // Behind another, which was not taken.
        Some(CallbackState::Waiting) if tries.is_empty() => format!("not sent yet to the {url}: {reason}"),
        Some(CallbackState::Waiting) => {
            let at = due_at.map(|at| format!(", at {}", moment(at))).unwrap_or_default();
            format!("waits to be tried again at the {url}{at}: {reason}")
        }
        None => format!("left behind at the {url}: {reason}"),
    });
    Ok(lines)
}

/// By its name alone, as far as that can be told without the provider's entry.
fn may_want(subscription: &Subscription, event: &LoggedEvent) -> bool {
    let step = || OutgoingStep::named(event.entry.as_deref().unwrap_or_default());
    let detail = match (event.kind, event.status) {
        (EventKind::Status, Some(status)) => Some(EventDetail::Status { status, failure: None }),
        (EventKind::Outgoing, _) => step().map(EventDetail::Outgoing),
        (EventKind::Status | EventKind::Inbound | EventKind::Notice | EventKind::Person, _) => None,
    };
    let name = detail.and_then(|detail| EventName::of(&detail).ok());
    subscription.webhook.as_ref().zip(name).is_none_or(|(webhook, name)| webhook.settings.wants(name))
}

/// Of what nobody tried to tell, and nobody gave up.
fn untold(subscription: &Subscription, url: &str, is_before_cursor: bool) -> Option<String> {
    let filters = subscription.webhook.as_ref().is_some_and(|webhook| webhook.settings.filter != Filter::default());
    match (is_before_cursor, filters) {
        (false, _) if !subscription.is_on => Some(format!("not told to the {url}, which is off")),
        (false, _) => Some(format!("waits to be told to the {url}")),
        (true, true) => Some(format!("not told to the {url}: its filter passes it over, as far as is known")),
        // A test of the platform, or longer ago than exchanges are kept.
        (true, false) => None,
    }
}

fn url_name(configuration: &Configuration, subscription: &Subscription) -> String {
    let kind = match subscription.kind {
        EventKind::Status => "delivery report URL",
        EventKind::Inbound => "inbound message URL",
        EventKind::Notice => "notice URL",
        EventKind::Outgoing => "URL for messages going out",
        EventKind::Person => "contact and conversation URL",
    };
    if let Some(webhook) = &subscription.webhook {
        return format!("webhook {}", webhook.name);
    }
    let sender = configuration.senders.iter().find(|sender| Some(sender.key) == subscription.sender);
    sender.map_or_else(|| kind.to_owned(), |sender| format!("{kind} of {}", sender.number.as_e164()))
}

struct Exchange<'a> {
    tried: &'a CallbackTry,
    url: &'a str,
}

impl fmt::Display for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallbackTry { events, started_at, took_ms, http_status, note, replay, .. } = self.tried;
        let taken = http_status.is_some_and(|status| (200..300).contains(&status));
        write!(f, "{started_at}  {}", if taken { "told" } else { "offered" })?;
        if let Some(replay) = replay {
            write!(f, " again (replay {replay})")?;
        }
        write!(f, " to the {}", self.url)?;
        match events - 1 {
            ..=0 => {}
            1 => f.write_str(" together with another")?,
            others => write!(f, " together with {others} others")?,
        }
        let answer = http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
        write!(f, ": {answer} after {took_ms} ms")?;
        // The note of an answer begins with its status.
        match note.strip_prefix(&answer).unwrap_or(note).trim_start_matches(':').trim() {
            "" => Ok(()),
            note => write!(f, ": {note}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(http_status: Option<i16>, events: i32, note: &str) -> String {
        let tried = CallbackTry {
            subscription: 1,
            events,
            started_at: UnixMillis(1_795_000_000_194),
            took_ms: 3,
            http_status,
            note: note.to_owned(),
            replay: None,
            excerpt: None,
            payload: None,
        };
        let told = Exchange { tried: &tried, url: "delivery report URL" }.to_string();
        told.split_once("  ").map(|(_, told)| told.to_owned()).expect("the time is before it")
    }

    #[test]
    fn waiting_is_told_exactly_while_it_is_short() {
        let from = UnixMillis(1_795_000_000_000);
        assert_eq!([7, 9_999, 10_000].map(|ms| waited(from, UnixMillis(from.0 + ms))), ["7 ms", "9999 ms", "10 s"]);
    }

    #[test]
    fn an_exchange_is_told_in_one_sentence_without_saying_anything_twice() {
        assert_eq!(exchange(Some(200), 1, ""), "told to the delivery report URL: HTTP 200 after 3 ms");
        assert_eq!(
            exchange(Some(200), 4, ""),
            "told to the delivery report URL together with 3 others: HTTP 200 after 3 ms"
        );
        assert_eq!(
            exchange(Some(400), 2, "HTTP 400: no such id"),
            "offered to the delivery report URL together with another: HTTP 400 after 3 ms: no such id"
        );
        assert_eq!(exchange(Some(400), 1, "HTTP 400: "), "offered to the delivery report URL: HTTP 400 after 3 ms");
        assert_eq!(
            exchange(None, 1, "it closed the connection"),
            "offered to the delivery report URL: no answer after 3 ms: it closed the connection"
        );
    }

    #[test]
    fn a_time_in_whole_seconds_stands_as_late_in_its_second_as_it_can_be() {
        let second = UnixMillis(1_795_000_000_000);
        let line = happened(second, UnixMillis(second.0 + 186), "sent", Tone::Good);
        assert_eq!((line.at.0 - second.0, line.time.contains('.')), (186, false));
        let late = happened(second, UnixMillis(second.0 + 60_000), "sent", Tone::Good);
        assert_eq!(late.at.0 - second.0, 999);
        let ours = happened(UnixMillis(second.0 + 7), UnixMillis(second.0 + 9), "failed", Tone::Bad);
        assert_eq!((ours.at.0 - second.0, ours.time.contains(".007")), (7, true));
    }
}
