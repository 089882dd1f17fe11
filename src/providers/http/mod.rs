//! A carrier that is described by settings alone: where messages go, what their bodies look like, where the answer has the
//! message's id and its errors, and where webhooks say what happened. It serves whoever has an HTTP API and no adapter here; and
//! [`GoTallo`](super::gotallo), whose webhooks are known and whose way to send is not.
//!
//! Settings are checked when they are applied; what they say is data, so no text of theirs is ever run.

pub mod answer;
pub mod body;
pub mod caller;
pub mod check;
pub mod fields;
pub mod lines;
pub mod media;
pub mod sending;
pub mod settings;
pub mod templates;
pub mod webhook;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

use self::settings::{MULTILINE, SETTINGS, check_together};
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, RenderedRequest,
    SettingField, Unreadable, WebhookForm, WebhookRequest, cloud_api::listing,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{SendFailure, Submitted},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage},
        template::{ListedTemplate, Template, TemplateListing},
    },
    net::exchange::Exchange,
};

/// A carrier to whom messages go as its settings describe.
pub struct Described {
    pub(super) slug: &'static str,
    pub(super) settings: &'static [SettingField],
    pub(super) form: WebhookForm,
    pub(super) parse_webhook: fn(&Connection, &[u8]) -> Parsed,
    pub(super) parse_inbound: fn(&Connection, &str) -> Result<InboundMessage, Unreadable>,
}

/// Whose webhooks are described by settings, too.
pub static HTTP: Described = Described {
    slug: "http",
    settings: SETTINGS,
    form: WebhookForm { name: "the carrier", place: "", asks_once: false, fields: &[] },
    parse_webhook: webhook::parse,
    parse_inbound: webhook::parse_inbound,
};

/// Ids are the carrier's to choose.
const ID_CHARS_MAX: usize = 100;
/// For so long WhatsApp tries to deliver a message, whoever carries it.
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Whether something could be a carrier's id of a number or an account.
pub fn check_id(id: &str) -> Result<(), String> {
    match (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(format!("must be the carrier's id of it: 1 to {ID_CHARS_MAX} characters without spaces")),
    }
}

/// The template's own time, when it has one.
pub fn time_to_live(listed_s: Option<i64>) -> Duration {
    let listed = listed_s.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    listed.map_or(TIME_TO_LIVE_MAX, |seconds| Duration::from_secs(seconds).min(TIME_TO_LIVE_MAX))
}

#[async_trait]
impl Provider for Described {
    fn slug(&self) -> &'static str {
        self.slug
    }

    fn webhook_form(&self) -> WebhookForm {
        self.form
    }

    fn settings(&self) -> &'static [SettingField] {
        self.settings
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        check_id(id)
    }

    async fn send(
        &self,
        via: &Exchange,
        from: &Sender,
        message: &OutboundMessage,
        _swapped: bool,
    ) -> Result<Submitted, SendFailure> {
        sending::send(via, from, message).await
    }

    fn render_send(&self, from: &Sender, message: &OutboundMessage, _swapped: bool) -> RenderedRequest {
        sending::render(from, message)
    }

    fn time_to_live(&self, _connection: &Connection, _category: Category, listed_s: Option<i64>) -> Duration {
        time_to_live(listed_s)
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        caller::verify(connection, request)
    }

    fn parse_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Parsed {
        (self.parse_webhook)(connection, request.body)
    }

    fn parse_inbound(&self, connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        (self.parse_inbound)(connection, entry)
    }

    fn webhooks_by_url_token(&self) -> bool {
        true
    }

    fn multiline_settings(&self) -> &'static [&'static str] {
        MULTILINE
    }

    fn check_settings(
        &self,
        settings: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, Vec<SecretString>>,
    ) -> Vec<(&'static str, String)> {
        check_together(settings, secrets)
    }

    fn passes_any_template(&self, connection: &Connection) -> Option<Category> {
        templates::passes_any(connection)
    }

    async fn fetch_templates(
        &self,
        _via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        templates::listed(&from.connection, named)
    }

    fn read_listing(&self, template: &Template, listing: &str) -> TemplateListing {
        listing::read_listing(template, listing)
    }

    async fn fetch_media(
        &self,
        via: &Exchange,
        _from: &Sender,
        wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure> {
        media::fetch(via, wanted).await
    }

    async fn fetch_number(&self, _via: &Exchange, _sender: &Sender) -> Result<NumberState, FetchFailure> {
        Ok(NumberState::default())
    }

    async fn check(
        &self,
        _via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        webhook_url: Option<&str>,
    ) -> Checked {
        check::check(connection, senders, webhook_url)
    }
}
