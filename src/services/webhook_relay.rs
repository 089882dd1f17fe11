//! Telling a webhook: one event to a request, in the webhook's profile.
//!
//! What differs from the callbacks of a platform: events are sifted by the webhook's names and filter; each event that was not
//! taken fails by itself, and whoever asked decides when it is tried again; events of one lane (one message, one person) wait
//! for those before them, others go on beside. The log, the cursor, attempts and replays are the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use sha2::{Digest, Sha256};

use super::{
    directory::Snapshot,
    relay::{FailedEvent, Relay, Relayed, WholeFailure},
};
use crate::{
    clock,
    domain::{
        account::Account,
        attempt::{Attempt, AttemptOutcome},
        callback::{Event, EventDetail, Rendered, Subscription},
        contact::{self, ContactId},
        conversation::Conversation,
        ids::{Place, SenderKey},
        outbound::{self, MediaKind},
        sent_payload::SentPayload,
        template::HeaderContent,
        time::UnixMillis,
        webhook::Webhook,
        webhook_content::Content,
        webhook_event::{About, Contact, Level, TemplateRef, WebhookEvent},
        webhook_people::ConversationFacts,
    },
    platforms, profiles,
    store::{
        Store, StoreError,
        callbacks::{CallbackAttempt, CallbackState},
        story::StoredMessage,
    },
    telemetry,
};

/// What became of rendering an event for a webhook.
#[derive(Clone, Debug)]
pub enum Written {
    Request(profiles::Rendered),
    /// The webhook does not want it.
    Unwanted,
    /// There are no words for it, and why.
    Unspeakable(String),
}

/// The events of one account that go to one webhook.
struct Telling<'a> {
    account: &'a Account,
    subscription: &'a Subscription,
    webhook: &'a Webhook,
}

impl Relay {
    /// Tells as many of the events as possible; those that were not taken are among `failed`.
    pub(super) async fn relay_to_webhook(
        &self,
        subscription: &Subscription,
        webhook: &Webhook,
        events: &[Event],
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Relayed {
        let snapshot = self.directory.snapshot();
        let hold = |note: String| Relayed {
            failure: Some(WholeFailure { hold: false, retry_after: None, note }),
            ..Relayed::default()
        };
        let Some(account) = snapshot.account_by_key(subscription.account).cloned() else {
            return hold("the account is not known".to_owned());
        };
        let facts = match facts(&self.store, &snapshot, &account, webhook, events).await {
            Ok(facts) => facts,
            Err(error) => return hold(telemetry::Chain(&error).to_string()),
        };
        let telling = Telling { account: &account, subscription, webhook };
        let lanes = lanes(events, facts, webhook.settings.in_order);
        let at_once = usize::try_from(webhook.settings.in_flight).unwrap_or(1).max(1);
        let done = futures_util::stream::iter(lanes)
            .map(|lane| self.tell_lane(&telling, lane, may_go))
            .buffer_unordered(at_once)
            .collect::<Vec<Relayed>>()
            .await;
        let mut all = Relayed::default();
        for mut lane in done {
            all.done.append(&mut lane.done);
            all.attempts.append(&mut lane.attempts);
            all.care.append(&mut lane.care);
            all.failed.append(&mut lane.failed);
        }
        // Whoever cannot set one event aside, a replay, waits for the webhook as a whole.
        all.failure = all.failed.first().map(|failed| WholeFailure {
            hold: false,
            retry_after: failed.retry_after,
            note: failed.note.clone(),
        });
        all
    }

    /// Events that follow each other; the first that is not taken ends it.
    async fn tell_lane(
        &self,
        telling: &Telling<'_>,
        lane: Vec<(Event, About)>,
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Relayed {
        let mut relayed = Relayed::default();
        for (event, about) in lane {
            match write(telling.webhook, telling.subscription, &event, about, clock::now()) {
                Written::Unwanted => {
                    relayed.done.insert(event.place);
                }
                Written::Unspeakable(reason) => relayed.leave(&event, CallbackState::NotRelayed, reason),
                Written::Request(request) => {
                    self.door.wait_for_pace(telling.webhook).await;
                    if !may_go() {
                        return relayed;
                    }
                    let (attempt, retry_after, payload) = self.tell_one(telling, &event, request).await;
                    let note = attempt.note.clone();
                    let taken = attempt.outcome == AttemptOutcome::Succeeded;
                    relayed.attempts.push(attempt_of(&event, attempt, payload));
                    if !taken {
                        relayed.failed.push(FailedEvent { place: event.place, retry_after, note });
                        return relayed;
                    }
                    relayed.done.insert(event.place);
                }
            }
        }
        relayed
    }

    async fn tell_one(
        &self,
        telling: &Telling<'_>,
        event: &Event,
        request: profiles::Rendered,
    ) -> (Attempt, Option<Duration>, SentPayload) {
        let Telling { account, webhook, .. } = telling;
        let (attempt, retry_after) = self.door.send(webhook, &request).await;
        metrics::histogram!(telemetry::CALLBACK_SECONDS).record(attempt.took.as_secs_f64());
        metrics::counter!(telemetry::CALLBACKS, "outcome" => attempt.outcome.as_str()).increment(1);
        let payload = SentPayload::of(&request.body, attempt.outcome == AttemptOutcome::Succeeded);
        let traced = Rendered { events: vec![0], body: request.body };
        let url = webhook.settings.url.expose();
        self.traces.relayed(&account.id, url, std::slice::from_ref(event), &traced, &attempt);
        (attempt, retry_after, payload)
    }
}

fn attempt_of(event: &Event, attempt: Attempt, payload: SentPayload) -> CallbackAttempt {
    let place = event.place;
    let places = [place].into();
    CallbackAttempt { first: place, last: place, events: 1, places, replay: None, attempt, payload: Some(payload) }
}

/// An event as this webhook would be told of it at this moment.
pub fn write(webhook: &Webhook, subscription: &Subscription, event: &Event, about: About, now: UnixMillis) -> Written {
    // What was told of an earlier send of the same message is no news.
    if event.told_before {
        return Written::Unwanted;
    }
    let reported = about.reported;
    let told = match WebhookEvent::of(subscription.account, event, about) {
        Ok(told) => told,
        Err(why) => return Written::Unspeakable(why),
    };
    if !is_wanted(webhook, event, &told) {
        return Written::Unwanted;
    }
    let wants = |name| webhook.settings.wants(name);
    if profiles::find(&webhook.settings.profile).is_some_and(|profile| profile.is_outdone(told.name, &wants, reported))
    {
        return Written::Unwanted;
    }
    render(webhook, &told, now)
}

/// By its names and filter; and of another webhook's failure where that one asks for it.
fn is_wanted(webhook: &Webhook, event: &Event, told: &WebhookEvent) -> bool {
    let trouble = match &event.detail {
        EventDetail::Notice(notice) => notice.webhook(),
        EventDetail::Status { .. }
        | EventDetail::Inbound(_)
        | EventDetail::Outgoing(_)
        | EventDetail::Person(_)
        | EventDetail::Unreadable { .. } => None,
    };
    match trouble {
        // It could not be told, and the failure of that would be one more.
        Some(trouble) if trouble.name == webhook.name => false,
        Some(trouble) if trouble.alerts.as_ref() == Some(&webhook.name) => true,
        Some(_) | None => webhook.settings.wants(told.name) && webhook.settings.filter.wants(told),
    }
}

/// The request for an event, in the webhook's profile.
pub fn render(webhook: &Webhook, event: &WebhookEvent, now: UnixMillis) -> Written {
    let settings = &webhook.settings;
    let Some(profile) = profiles::find(&settings.profile) else {
        return Written::Unspeakable(format!("this version knows no profile {}", settings.profile));
    };
    let format = profiles::Format::ALL.into_iter().find(|format| format.as_str() == settings.format);
    let Some(format) = format.filter(|format| profile.formats().contains(format)) else {
        return Written::Unspeakable(format!("the profile {} has no format {}", settings.profile, settings.format));
    };
    let soap: Vec<(String, String)> =
        settings.soap_parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let options = profiles::RenderOptions {
        level: settings.payload,
        format,
        version: &settings.version,
        soap_parameters: &soap,
        old_names: settings.old_names,
        secrets: &webhook.signing_secrets(now),
        now,
    };
    match profile.render(event, &options) {
        Ok(request) => Written::Request(request),
        Err(unspeakable) => Written::Unspeakable(unspeakable.to_string()),
    }
}

/// What the log does not say of these events, by place, as far as the webhook tells it.
pub async fn facts(
    store: &Store,
    snapshot: &Snapshot,
    account: &Arc<Account>,
    webhook: &Webhook,
    events: &[Event],
) -> Result<HashMap<Place, About>, StoreError> {
    let profile = profiles::find(&webhook.settings.profile);
    let with_raw = webhook.settings.payload == Level::Complete || profile.is_some_and(|profile| profile.needs_raw());
    let with_talks = profile.is_some_and(|profile| profile.needs_conversation());
    let with_content = profile.is_some_and(|profile| profile.needs_content());
    let mut ids: Vec<_> = events.iter().filter_map(|event| event.message).collect();
    ids.sort_unstable();
    ids.dedup();
    let messages = store.messages_with(&ids).await?;
    let places: Vec<Place> = if with_raw { events.iter().map(|event| event.place).collect() } else { vec![] };
    let mut entries = store.entries_at(account.key, &places).await?;
    let recipient = |event: &Event| -> Option<String> {
        let message = event.message.filter(|_| with_talks).and_then(|id| messages.get(&id))?;
        Some(message.recipient.as_e164().to_owned())
    };
    let who: BTreeSet<String> = events.iter().filter_map(|event| writer(event).or_else(|| recipient(event))).collect();
    let people = People::look_up(store, account, who, with_talks).await?;
    let about = |event: &Event| {
        let message = event.message.and_then(|id| messages.get(&id));
        let mut about = about(snapshot, account, event, message);
        about.raw = entries.remove(&event.place);
        if matches!(event.detail, EventDetail::Status { .. }) && !with_content {
            about.content = None;
        }
        // What those who wrote are called, as their contacts have it: a message need not say it.
        if let Some(name) = writer(event).and_then(|who| people.contacts.get(&who)?.name.clone()) {
            about.contact.name = Some(name);
        }
        about.conversation = writer(event).or_else(|| recipient(event)).and_then(|who| people.talk(&who, event.sender));
        about
    };
    Ok(events.iter().map(|event| event.place).zip(events.iter().map(about)).collect())
}

/// The contacts of some events, by what they are known by, and their conversations.
#[derive(Default)]
struct People {
    contacts: HashMap<String, contact::Contact>,
    talks: HashMap<(ContactId, SenderKey), ConversationFacts>,
}

impl People {
    async fn look_up(
        store: &Store,
        account: &Account,
        who: BTreeSet<String>,
        with_talks: bool,
    ) -> Result<Self, StoreError> {
        if who.is_empty() {
            return Ok(Self::default());
        }
        let contacts = store.contacts_of(&Vec::from_iter(who), &[account.key]).await?;
        let ids: Vec<ContactId> = contacts.iter().filter(|_| with_talks).map(|contact| contact.id).collect();
        let talks = if ids.is_empty() { vec![] } else { store.conversations_of(&ids).await? };
        let facts = |talk: &Conversation| ((talk.contact, talk.sender), ConversationFacts::of(talk));
        Ok(Self {
            contacts: contacts.into_iter().map(|contact| (contact.who(), contact)).collect(),
            talks: talks.iter().map(facts).collect(),
        })
    }

    fn talk(&self, who: &str, sender: SenderKey) -> Option<ConversationFacts> {
        self.talks.get(&(self.contacts.get(who)?.id, sender)).cloned()
    }
}

/// Who wrote an inbound message, as contacts are known.
fn writer(event: &Event) -> Option<String> {
    let EventDetail::Inbound(message) = &event.detail else { return None };
    let phone = message.from.as_ref().map(|phone| phone.as_e164().to_owned());
    phone.or_else(|| message.from_user_id.clone())
}

fn about(snapshot: &Snapshot, account: &Account, event: &Event, message: Option<&StoredMessage>) -> About {
    let sender = snapshot.sender(event.sender);
    let platform = platforms::find(&account.platform);
    let of_sender = About {
        account: account.id.clone(),
        provider: sender.map(|sender| sender.connection.provider.clone()).unwrap_or_default(),
        connection: sender.map(|sender| sender.connection.id.clone()).unwrap_or_default(),
        provider_number_id: sender.map(|sender| sender.provider_number_id.clone()),
        provider_account_id: sender.map(|sender| sender.provider_account_id.clone()),
        ..About::default()
    };
    let failure = match &event.detail {
        EventDetail::Status { failure, .. } => failure.as_ref(),
        EventDetail::Outgoing(_) => None,
        EventDetail::Inbound(_) | EventDetail::Notice(_) | EventDetail::Person(_) | EventDetail::Unreadable { .. } => {
            return of_sender;
        }
    };
    let Some(message) = message else { return of_sender };
    let request = platforms::read_stored(account, &message.request);
    let (content, custom) = request.map(|request| (request.content, request.custom)).unzip();
    let file = content.as_ref().and_then(file_of_header);
    let template = message.template.clone();
    About {
        provider_message_id: message.provider_message_id.clone(),
        contact: Contact { phone: Some(message.recipient.as_e164().to_owned()), ..Contact::default() },
        template: template.map(|(name, language)| TemplateRef { name, language, file }),
        category: Some(message.category),
        grouping: platform.and_then(|platform| platform.grouping(&message.platform_message_id)),
        custom: custom.unwrap_or_default(),
        price: message.price,
        content: content.as_ref().and_then(Content::of_ours),
        reported: message.delivery.is_some(),
        platform_code: platform.zip(failure).map(|(platform, failure)| platform.failure_code(failure.reason)),
        ..of_sender
    }
}

/// The kind of the file in a template's header.
fn file_of_header(content: &outbound::Content) -> Option<MediaKind> {
    let outbound::Content::Template(template) = content else { return None };
    match template.header.as_ref()? {
        HeaderContent::Media { kind, .. } => Some(*kind),
        HeaderContent::Text { .. } | HeaderContent::Location(_) => None,
    }
}

/// What must stay in order with an event: the message that it reports on, or the person who wrote. The same on every instance and
/// in every version.
pub fn lane_of(event: &Event) -> i64 {
    let hashed = |text: String| {
        let hash = Sha256::digest(text.as_bytes());
        i64::from_be_bytes(hash[..8].try_into().expect("a SHA-256 has 32 bytes"))
    };
    match &event.detail {
        EventDetail::Inbound(message) => {
            let number = message.from.as_ref().map(|number| number.as_e164()).unwrap_or_default();
            let user = message.from_user_id.as_deref().unwrap_or_default();
            hashed(format!("{}/{number}/{user}", event.sender))
        }
        EventDetail::Notice(_) => i64::from(event.sender.0),
        EventDetail::Person(news) => {
            let number = news.contact.phone.as_deref().unwrap_or_default();
            hashed(format!("{number}/{}", news.contact.user_id.as_deref().unwrap_or_default()))
        }
        EventDetail::Status { .. } | EventDetail::Outgoing(_) | EventDetail::Unreadable { .. } => {
            event.message.map_or(event.place.0, |message| message.0)
        }
    }
}

/// Events by lane, or each by itself where order does not matter.
fn lanes(events: &[Event], mut facts: HashMap<Place, About>, in_order: bool) -> Vec<Vec<(Event, About)>> {
    let mut lanes: BTreeMap<(Place, i64), Vec<(Event, About)>> = BTreeMap::new();
    let mut first: HashMap<i64, Place> = HashMap::new();
    for event in events {
        let lane = if in_order { lane_of(event) } else { event.place.0 };
        // The oldest lane goes first.
        let begins = *first.entry(lane).or_insert(event.place);
        let about = facts.remove(&event.place).unwrap_or_default();
        lanes.entry((begins, lane)).or_default().push((event.clone(), about));
    }
    lanes.into_values().collect()
}
