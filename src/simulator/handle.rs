//! The control desk in process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    clevertap::{CallbackRecord, CallbackRule},
    events::{self, Event},
    gallabox_lists::Said,
    import::{self, Import, ImportReport},
    inbound::{self, Inbound, InboundContent},
    knobs::Knobs,
    rules::Rule,
    scenario::Scenario,
    state::{World, digits},
    tally::{RecordedSend, Stats},
    templates::TemplateList,
    timeline::{self, ScenarioProgress},
};

/// A waiter looks again at most this often, so that watching does not slow down what is watched.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// Turns the knobs of a running simulator and reads its counters. Clone it as you like.
#[derive(Clone)]
pub struct Handle {
    world: Arc<World>,
}

/// What was waited for did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} in vain; the counters stand at {stats:#?}")]
pub struct WaitedTooLong {
    pub waited: Duration,
    pub stats: Box<Stats>,
}

/// The change was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPossible(String);

impl Handle {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.world.stats()
    }

    /// The counters as soon as they are as wanted. It looks again after every change; many at once are one.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&Stats) -> bool,
        timeout: Duration,
    ) -> Result<Stats, WaitedTooLong> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // Ask to be woken before looking, or a change in between would be missed.
            let changed = self.world.changed().notified();
            let stats = self.world.stats();
            if wanted(&stats) {
                return Ok(stats);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(WaitedTooLong { waited: timeout, stats: Box::new(stats) });
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Waits until the bridge has taken everything that there was to tell.
    pub async fn wait_until_told(&self, timeout: Duration) -> Result<Stats, WaitedTooLong> {
        self.wait_until(|stats| stats.updates_waiting == 0, timeout).await
    }

    /// Counts from zero again. Knobs, rules and templates stay; what waits is still posted.
    pub fn reset(&self) {
        self.world.reset();
    }

    pub fn knobs(&self) -> Knobs {
        Knobs::clone(&self.world.knobs())
    }

    /// Turns knobs; from the next send or webhook on they hold.
    pub fn change_knobs(&self, change: impl FnOnce(&mut Knobs)) -> Result<(), NotPossible> {
        self.world.change_knobs(change).map_err(NotPossible)
    }

    /// The rules that are left, without the built-in ones.
    pub fn rules(&self) -> Vec<Rule> {
        self.world.rules().given().clone()
    }

    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.world.rules().given() = rules;
    }

    pub fn add_rule(&self, rule: Rule) {
        self.world.rules().given().push(rule);
    }

    /// The newest sends to a person, or to everybody, oldest first; refused ones have no wamid.
    pub fn sends(&self, recipient: Option<&str>) -> Vec<RecordedSend> {
        self.world.tally().sends(recipient.map(digits).as_deref())
    }

    /// Who wrote the newest messages that the bridge has taken, as webhooks name them, oldest first.
    pub fn heard(&self) -> Vec<String> {
        self.world.tally().heard()
    }

    pub fn templates(&self) -> Vec<Value> {
        self.world.templates().entries().to_vec()
    }

    /// Replaces the list; each entry as in Meta's listing.
    pub fn set_templates(&self, entries: Vec<Value>) -> Result<(), NotPossible> {
        self.world.set_templates(TemplateList::new(entries).map_err(NotPossible)?);
        Ok(())
    }

    /// Approves, pauses or disables a translation, and says so by webhook to every business account.
    pub fn set_template_status(&self, name: &str, language: &str, status: &str) -> Result<(), NotPossible> {
        self.happen(&Event::TemplateStatus {
            name: name.to_owned(),
            language: language.to_owned(),
            status: status.to_owned(),
            reason: None,
            title: None,
            description: None,
        })
    }

    /// Anything that can happen beside sends.
    pub fn happen(&self, event: &Event) -> Result<(), NotPossible> {
        events::happen(&self.world, event).map_err(NotPossible)
    }

    /// Any other webhook: `value` arrives as it is.
    pub fn send_change(&self, waba_id: &str, field: &str, value: Value) {
        let (waba_id, field) = (Some(waba_id.to_owned()), field.to_owned());
        self.happen(&Event::Change { waba_id, field, value })
            .expect("a webhook of any shape can be put into the queue");
    }

    /// A person writes; gives back the wamid.
    pub fn inbound(&self, message: &Inbound) -> Result<String, NotPossible> {
        inbound::say(&self.world, message, Instant::now()).map_err(NotPossible)
    }

    /// A person writes a text, perhaps in answer to a message.
    pub fn inbound_text(
        &self,
        from: &str,
        phone_number_id: &str,
        text: &str,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Text { body: text.to_owned() };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    /// A person taps a quick reply button of a message.
    pub fn inbound_tap(
        &self,
        from: &str,
        phone_number_id: &str,
        text: &str,
        payload: &str,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Button { text: text.to_owned(), payload: payload.to_owned() };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    /// A person shares a place.
    pub fn inbound_location(
        &self,
        from: &str,
        phone_number_id: &str,
        latitude: f64,
        longitude: f64,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Location { latitude, longitude, name: None, address: None };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    /// Puts an entry of any shape among what Gallabox lists.
    pub fn list_entry(&self, entry: Value) {
        self.world.say(Said::as_it_is(entry));
    }

    /// Plays a scenario: its rules replace those that are there, its timeline an earlier one. Its senders belong to
    /// the start of a simulator, and are not heeded here. Must be called inside a Tokio runtime.
    pub fn play(&self, scenario: Scenario) -> Result<(), NotPossible> {
        timeline::play(&self.world, scenario).map_err(NotPossible)
    }

    /// How far the scenario has come.
    pub fn scenario(&self) -> ScenarioProgress {
        self.world.playing().progress.clone()
    }

    /// Imports templates from a provider as CleverTap does.
    pub async fn import_templates(&self, import: &Import) -> ImportReport {
        import::import(&self.world, import).await
    }

    /// A file that a number received or uploaded; gives back its media id.
    pub fn add_media(&self, phone_number_id: &str, mime_type: &str, contents: impl Into<Bytes>) -> String {
        self.world.media().put(phone_number_id, mime_type, contents.into()).id.clone()
    }

    /// As if its days were over: asked for, it does not exist. Says whether it was there.
    pub fn forget_media(&self, media_id: &str) -> bool {
        self.world.media().forget(media_id)
    }

    /// Sets fields of a number or of a business account, as `GET /{id}?fields=…` gives them; a null hides a field.
    pub fn change_node(&self, id: &str, fields: Map<String, Value>) {
        self.world.nodes().change(id, fields);
    }

    /// Subscribes the app to a business account, or takes the subscription away: nothing of it is told any more.
    pub fn subscribe(&self, waba_id: &str, subscribed: bool) {
        self.world.nodes().subscribe(waba_id, subscribed);
    }

    pub fn callback_rules(&self) -> Vec<CallbackRule> {
        self.world.callbacks().rules().clone()
    }

    pub fn set_callback_rules(&self, rules: Vec<CallbackRule>) {
        *self.world.callbacks().rules() = rules;
    }

    pub fn add_callback_rule(&self, rule: CallbackRule) {
        self.world.callbacks().rules().push(rule);
    }

    /// The newest callbacks about a message, or all, oldest first.
    pub fn callback_records(&self, msg_id: Option<&str>) -> Vec<CallbackRecord> {
        self.world.callbacks().records(msg_id)
    }
}

fn inbound_from(from: &str, phone_number_id: &str, content: InboundContent, context_wamid: Option<&str>) -> Inbound {
    Inbound {
        from: from.to_owned(),
        phone_number_id: phone_number_id.to_owned(),
        context_wamid: context_wamid.map(str::to_owned),
        content,
    }
}
