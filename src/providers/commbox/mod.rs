//! CommBox: templates are sent with Meta's own components, one recipient a request, and texts into its conversations; what happens is
//! told by its webhooks, in
//! JSON or XML, to whom we are the resource server.
//!
//! Keys change by themselves there, so a connection may have two, and a key that is refused makes room for the other. A
//! connection is one channel, because its events name the channel by another id than requests do.

mod answers;
mod check;
mod events;
mod keys;
mod listing;
mod proof;
mod request;
mod settings;
mod token;
mod xml;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;

pub use self::keys::Keys;
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaFailureKind, MediaToFetch, Parsed, Provider,
    RenderedRequest, SettingField, Unreadable, WebhookForm, WebhookRequest,
    cloud_api::{
        listing as cloud_listing,
        send::{no_secret, unanswered},
        time_to_live,
    },
};
use crate::{
    clock,
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage, SendBody},
        template::{ListedTemplate, Template, TemplateListing},
    },
    net::exchange::{Exchange, Method, OutgoingRequest},
};

/// CommBox, and which of each connection's keys it took last.
pub struct CommBox {
    keys: Keys,
}

/// The one that the registry names.
pub static COMMBOX: CommBox = CommBox { keys: Keys::new() };

const STREAM_ID_CHARS_MAX: usize = 256;

#[async_trait]
impl Provider for CommBox {
    fn slug(&self) -> &'static str {
        "commbox"
    }

    fn webhook_form(&self) -> WebhookForm {
        WebhookForm { name: "CommBox", place: "Settings → Webhooks", ..WebhookForm::default() }
    }

    fn settings(&self) -> &'static [SettingField] {
        settings::SETTINGS
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%=-_.~+/".contains(&byte);
        match (1..=STREAM_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(allowed) {
            true => Ok(()),
            false => Err("must be the encrypted id of the channel, as CommBox shows it, like AbC123%3d%3d".to_owned()),
        }
    }

    async fn send(
        &self,
        via: &Exchange,
        from: &Sender,
        message: &OutboundMessage,
        _swapped: bool,
    ) -> Result<Submitted, SendFailure> {
        let connection = &from.connection;
        let request::Request { url, body } = request::build(from, message)?;
        let (turn, key) = self.keys.current(connection).ok_or_else(|| no_secret(settings::API_KEY))?;
        let request = OutgoingRequest {
            method: Method::Post,
            url: &url,
            headers: vec![keys::bearer(&key)],
            body: Some(body.into()),
            timeout: via.request_timeout(),
        };
        let answer = via.send(request).await.result.map_err(unanswered)?;
        if answer.status == 401 {
            return Err(key_refused(self.keys.refused(connection, turn)));
        }
        self.keys.taken(connection, turn);
        let outcome = match &message.body {
            SendBody::Template(_) => answers::read_answer(answer.status, &answer.body, message.to.digits()),
            SendBody::Freeform(_) => answers::read_child(answer.status, &answer.body),
        };
        outcome.map_err(|failure| SendFailure { wait: failure.wait.max(answer.retry_after), ..failure })
    }

    fn render_send(&self, from: &Sender, message: &OutboundMessage, _swapped: bool) -> RenderedRequest {
        let (url, body) = match request::build(from, message) {
            Ok(request) => (request.url, request.body),
            Err(failure) => (String::new(), json!({ "refused": failure.failure.text }).to_string()),
        };
        RenderedRequest {
            method: "POST",
            url,
            headers: vec![
                ("Authorization".into(), "Bearer (the connection's api_key)".to_owned()),
                ("Content-Type".into(), "application/json".to_owned()),
            ],
            body,
        }
    }

    fn time_to_live(&self, _connection: &Connection, category: Category, listed_s: Option<i64>) -> Duration {
        time_to_live(category, listed_s)
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        if proof::holds(connection, request, clock::now()) { Ok(()) } else { Err(BadSignature) }
    }

    fn parse_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Parsed {
        let stream = events::Stream {
            number_id: connection.setting(settings::STREAM_ID),
            event_id: connection.setting(settings::EVENT_STREAM_ID),
        };
        events::parse(request.body, &stream, clock::now())
    }

    fn parse_inbound(&self, _connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        events::parse_inbound(entry).map_err(Unreadable)
    }

    fn answers_in_conversations(&self, connection: &Connection) -> bool {
        request::answers_in_conversations(connection)
    }

    fn conversation_of(&self, entry: &str) -> Option<String> {
        events::conversation(entry)
    }

    fn issue_token(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Option<String> {
        proof::issue(connection, request, clock::now())
    }

    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        listing::templates(&self.keys, via, from, named).await
    }

    fn read_listing(&self, template: &Template, listing: &str) -> TemplateListing {
        cloud_listing::read_listing(template, &listing::as_meta_writes_it(listing))
    }

    async fn fetch_media(
        &self,
        _via: &Exchange,
        _from: &Sender,
        _wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure> {
        let text = "CommBox says nowhere how files of people are fetched".to_owned();
        Err(MediaFailure { kind: MediaFailureKind::Never, wait: None, text })
    }

    async fn fetch_number(&self, _via: &Exchange, _sender: &Sender) -> Result<NumberState, FetchFailure> {
        // It has no words for it, which is no failure.
        Ok(NumberState::default())
    }

    async fn check(
        &self,
        via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        _webhook_url: Option<&str>,
    ) -> Checked {
        check::check(self, via, connection, senders).await
    }
}

/// The channel's id for a path. It is shown already escaped, and must not be escaped again.
fn path_part(stream_id: &str) -> String {
    match stream_id.contains('%') {
        true => stream_id.to_owned(),
        false => stream_id.replace('=', "%3d").replace('/', "%2f").replace('+', "%2b"),
    }
}

/// Another key is tried by the next message; without one nobody of the connection comes through.
fn key_refused(another_is_left: bool) -> SendFailure {
    let (class, scope, text) = match another_is_left {
        true => (FailureClass::Retry, Scope::Message, "CommBox refused this api_key; the other one is tried next"),
        false => (FailureClass::Hold, Scope::Connection, "CommBox refused every api_key of the connection"),
    };
    let failure = Failure::new(FailureReason::Credentials, None, text);
    SendFailure { class, scope, wait: None, tries_max: None, failure }
}

/// A request that changes nothing, with the key whose turn it is; a refused key makes room for the other.
async fn get(keys: &Keys, via: &Exchange, connection: &Connection, url: &str) -> Result<Vec<u8>, String> {
    for _ in 0..settings::KEYS_MAX {
        let missing = || format!("the connection has no {}", settings::API_KEY);
        let (turn, key) = keys.current(connection).ok_or_else(missing)?;
        let request = OutgoingRequest {
            method: Method::Get,
            url,
            headers: vec![keys::bearer(&key)],
            body: None,
            timeout: settings::LIST_TIMEOUT,
        };
        let answer = match via.send(request).await.result {
            Ok(answer) => answer,
            Err(no_answer) => return Err(via.explain(url, &no_answer).await),
        };
        let failed = answers::failed(answer.status, &answer.body);
        if answer.status == 401 {
            if keys.refused(connection, turn) {
                continue;
            }
            return Err(failed.unwrap_or_default());
        }
        keys.taken(connection, turn);
        return match failed {
            Some(text) => Err(text),
            None if answer.cut => Err("the answer is larger than is read here".to_owned()),
            None => Ok(answer.body.to_vec()),
        };
    }
    Err("no api_key was taken".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_id_is_not_escaped_again() {
        assert_eq!(path_part("AbC%3d%3d"), "AbC%3d%3d");
        assert_eq!(path_part("AbC=="), "AbC%3d%3d");
        assert!(COMMBOX.check_id("AbC%3d%3d").is_ok());
        assert!(COMMBOX.check_id("a b?c").is_err());
    }
}
