//! GoTallo: what it posts of the messages that its users and their customers write, and, where an operator has an endpoint of
//! theirs to send by, the settings of the [configurable carrier](super::http).
//!
//! GoTallo documents its webhook and no way to send, signs nothing, and promises no order; so webhooks are known by the
//! secret part of their URL, and what comes late or twice is sorted out where all statuses are.

mod webhook;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

use self::webhook::{STATUS_BY, check_status_by};
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, RenderedRequest,
    SettingField, Unreadable, WebhookRequest,
    cloud_api::listing,
    http::{
        caller, check, check_id, media, sending,
        settings::{
            ADDRESSES_FIELD, ANSWER_FIELD, AUTH_FIELD, AUTH_NAME_FIELD, AUTH_SECRET_FIELD, BASE_URL_FIELD,
            BODY_LOCATION_FIELD, BODY_MEDIA_FIELD, BODY_TEMPLATE_FIELD, BODY_TEXT_FIELD, CATEGORY_FIELD,
            ERROR_MEANINGS_FIELD, FORMAT_FIELD, HEADERS_FIELD, METHOD_FIELD, MULTILINE, PASSWORD_FIELD, PATH_FIELD,
            SUCCESS_STATUS_FIELD, TEMPLATES_FIELD, URL_TOKEN_FIELD, USERNAME_FIELD, check_together,
        },
        templates, time_to_live,
    },
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{SendFailure, Submitted},
        finding::{Repair, RepairKind},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage},
        template::{ListedTemplate, Template, TemplateListing},
    },
    net::exchange::Exchange,
};

/// GoTallo, formerly Social25.
pub struct GoTallo;

const SETTINGS: &[SettingField] = &[
    URL_TOKEN_FIELD,
    ADDRESSES_FIELD,
    USERNAME_FIELD,
    PASSWORD_FIELD,
    SettingField {
        name: STATUS_BY,
        label: "Messages are known by",
        help: "Which id of a message the sending endpoint answers with: id (GoTallo's own) or ext_identifier (WhatsApp's)",
        choices: &[("id", "id, GoTallo's own"), ("ext_identifier", "ext_identifier, WhatsApp's")],
        chosen_here: false,
        secret: false,
        list: false,
        required: false,
        default: Some("id"),
        check: Some(check_status_by),
    },
    BASE_URL_FIELD,
    PATH_FIELD,
    METHOD_FIELD,
    AUTH_FIELD,
    AUTH_NAME_FIELD,
    AUTH_SECRET_FIELD,
    HEADERS_FIELD,
    FORMAT_FIELD,
    BODY_TEMPLATE_FIELD,
    BODY_TEXT_FIELD,
    BODY_MEDIA_FIELD,
    BODY_LOCATION_FIELD,
    SUCCESS_STATUS_FIELD,
    ANSWER_FIELD,
    ERROR_MEANINGS_FIELD,
    TEMPLATES_FIELD,
    CATEGORY_FIELD,
];

#[async_trait]
impl Provider for GoTallo {
    fn slug(&self) -> &'static str {
        "gotallo"
    }

    fn settings(&self) -> &'static [SettingField] {
        SETTINGS
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
        webhook::parse(connection, request.body)
    }

    fn parse_inbound(&self, connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        webhook::parse_inbound(connection, entry)
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

    fn answer_handshake(&self, _connection: &Connection, _query: &str) -> Option<String> {
        None
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

    fn offer_repair(&self, _connection: &Connection, _kind: RepairKind, _id: &str, _url: &str) -> Option<Repair> {
        None
    }

    async fn repair(
        &self,
        _via: &Exchange,
        _connection: &Connection,
        _repair: &Repair,
        _webhook_url: &str,
    ) -> Result<(), FetchFailure> {
        Err(FetchFailure("nothing at this carrier can be set right from here".to_owned()))
    }
}
