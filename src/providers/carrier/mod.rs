//! Carriers that speak the Cloud API under an address, a path and a key of their own: [`DIALOG_360`], whose ways are
//! known, and [`CLOUD_API`], which is told in its settings how it differs from Meta.
//!
//! Both are one adapter over the [`cloud_api`](super::cloud_api). What a carrier does differently is its [`Shape`]; what it
//! does not offer, a check says in so many words, and nothing fails for it.

mod check;
mod errors;
mod listing;
mod proof;
mod settings;
mod shape;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use self::shape::{Numbers, Shape, TemplateLists};
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, RenderedRequest,
    SettingField, Unreadable, WebhookForm, WebhookRequest,
    cloud_api::{
        check_id, files,
        handshake::answer_handshake,
        listing as cloud_listing, reading,
        send::{build_send, no_secret, unanswered},
        time_to_live, webhook,
    },
    usable, whatsapp_per_second_max,
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
    net::exchange::{Exchange, Method},
};

/// A carrier of the Cloud API's shape.
pub struct Carrier {
    slug: &'static str,
    settings: &'static [SettingField],
    form: WebhookForm,
    shape: fn(&Connection) -> Shape,
}

/// 360dialog: nothing is asked that all of its customers would answer alike.
pub static DIALOG_360: Carrier = Carrier {
    slug: "360dialog",
    settings: settings::DIALOG_360,
    form: WebhookForm {
        name: "360dialog",
        place: "the Hub; or Check channel and Fix channel issue, here",
        asks_once: false,
        fields: &[],
    },
    shape: shape::of_dialog_360,
};

/// Every other one.
pub static CLOUD_API: Carrier = Carrier {
    slug: "cloud-api",
    settings: settings::CLOUD_API,
    form: WebhookForm { name: "the carrier", place: "", asks_once: false, fields: &[] },
    shape: shape::as_set,
};

#[async_trait]
impl Provider for Carrier {
    fn slug(&self) -> &'static str {
        self.slug
    }

    fn per_second_max(&self, connection: &Connection) -> Option<u32> {
        whatsapp_per_second_max(connection, self.settings())
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
        let shape = (self.shape)(&from.connection);
        let url = shape.send_url(&from.provider_number_id);
        let request = shape
            .reach
            .request(Method::Post, &url, Some(build_send(message)), via.request_timeout())
            .map_err(|_| no_secret(settings::API_KEY))?;
        let answer = via.send(request).await.result.map_err(unanswered)?;
        errors::read_answer(answer.status, &answer.body)
            .map_err(|failure| SendFailure { wait: failure.wait.max(answer.retry_after), ..failure })
    }

    fn render_send(&self, from: &Sender, message: &OutboundMessage, _swapped: bool) -> RenderedRequest {
        let shape = (self.shape)(&from.connection);
        RenderedRequest {
            method: "POST",
            url: shape.send_url(&from.provider_number_id),
            headers: vec![
                (shape.key_header.into(), "(the connection's api_key)".to_owned()),
                ("Content-Type".into(), "application/json".to_owned()),
            ],
            body: build_send(message),
        }
    }

    fn time_to_live(&self, _connection: &Connection, category: Category, listed_s: Option<i64>) -> Duration {
        // A marketing template's own time counts at Meta's marketing endpoint only, which these do not have.
        let honoured = category != Category::Marketing;
        time_to_live(category, listed_s.filter(|seconds| honoured || *seconds == -1))
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        let proof = (self.shape)(connection).proof;
        let proven = usable(connection.secrets(settings::WEBHOOK_SECRET)).any(|secret| proof.holds(secret, request));
        if proven { Ok(()) } else { Err(BadSignature) }
    }

    fn parse_webhook(&self, _connection: &Connection, request: &WebhookRequest<'_>) -> Parsed {
        webhook::parse_webhook(request.body)
    }

    fn parse_inbound(&self, _connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        webhook::parse_inbound(entry)
    }

    fn answer_handshake(&self, connection: &Connection, query: &str) -> Option<String> {
        answer_handshake(query, connection.secrets(settings::VERIFY_TOKEN))
    }

    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        let shape = (self.shape)(&from.connection);
        match shape.templates {
            TemplateLists::Graph => reading::templates(via, &shape.reach, &from.provider_account_id, named).await,
            TemplateLists::Dialog360 => listing::templates(via, &shape.reach, named).await,
            TemplateLists::None => Ok(vec![]),
        }
    }

    fn read_listing(&self, template: &Template, listing: &str) -> TemplateListing {
        cloud_listing::read_listing(template, listing)
    }

    async fn fetch_media(
        &self,
        via: &Exchange,
        from: &Sender,
        wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure> {
        let shape = (self.shape)(&from.connection);
        files::fetch(via, &shape.reach, &from.provider_number_id, wanted).await
    }

    async fn fetch_number(&self, via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
        let shape = (self.shape)(&sender.connection);
        match shape.numbers {
            Numbers::Graph => reading::number(via, &shape.reach, &sender.provider_number_id).await,
            Numbers::Health => check::health(via, &shape.reach).await,
            // Nothing is known of it, which is no failure.
            Numbers::None => Ok(NumberState::default()),
        }
    }

    async fn check(
        &self,
        via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        webhook_url: Option<&str>,
    ) -> Checked {
        check::check(self, via, connection, senders, webhook_url).await
    }

    fn offer_repair(&self, connection: &Connection, kind: RepairKind, id: &str, webhook_url: &str) -> Option<Repair> {
        check::offer_repair(&(self.shape)(connection), connection, kind, id, webhook_url)
    }

    async fn repair(
        &self,
        via: &Exchange,
        connection: &Connection,
        repair: &Repair,
        webhook_url: &str,
    ) -> Result<(), FetchFailure> {
        check::repair(&(self.shape)(connection), via, connection, repair, webhook_url).await
    }
}
