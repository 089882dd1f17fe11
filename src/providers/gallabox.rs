//! Gallabox: its developer API, its webhooks, and, for plans without those, its conversations read now and then.
//!
//! A number's id is Gallabox's channel id, the business account's id is Gallabox's account id. Much of it is not documented by
//! Gallabox; docs/gallabox.md says what, and which setting governs it.

mod answers;
mod check;
mod media;
mod messages;
mod polling;
mod reading;
mod send;
mod settings;
mod templates;
mod webhook;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use self::settings::{NO_CREDENTIALS, SETTINGS, WEBHOOK_SECRET, credentials, takes_unsigned, url};
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, RenderedRequest,
    SettingField, Unreadable, WebhookForm, WebhookRequest,
    cloud_api::listing,
    polls::{PollMemory, Polled},
    usable,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage},
        template::{ListedTemplate, Template, TemplateListing},
        time::UnixMillis,
    },
    net::{
        exchange::{Exchange, Method, NoAnswer, OutgoingRequest},
        signing,
    },
};

/// Gallabox's developer API.
pub struct Gallabox;

const ID_CHARS_MAX: usize = 64;
/// Gallabox hands over to WhatsApp, which tries for so long.
const TIME_TO_LIVE: Duration = Duration::from_secs(30 * 86_400);
const TIME_TO_LIVE_OF_CODES: Duration = Duration::from_secs(600);
const SEND_PATH: &str = "messages/whatsapp";

#[async_trait]
impl Provider for Gallabox {
    fn slug(&self) -> &'static str {
        "gallabox"
    }

    fn webhook_form(&self) -> WebhookForm {
        WebhookForm { name: "Gallabox", place: "Settings → Webhooks", ..WebhookForm::default() }
    }

    fn settings(&self) -> &'static [SettingField] {
        SETTINGS
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match (1..=ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(plain) {
            true => Ok(()),
            false => Err(
                "must be Gallabox's own id, of letters and digits like 64aa00000000000000000001: the channel's for a \
                          number, the account's for the business account"
                    .to_owned(),
            ),
        }
    }

    async fn send(
        &self,
        via: &Exchange,
        from: &Sender,
        message: &OutboundMessage,
        _swapped: bool,
    ) -> Result<Submitted, SendFailure> {
        let url = url(&from.connection, SEND_PATH);
        let request = OutgoingRequest {
            method: Method::Post,
            url: &url,
            headers: credentials(&from.connection).ok_or_else(no_credentials)?,
            body: Some(send::build(from, message)?.into()),
            timeout: via.request_timeout(),
        };
        let answer = via.send(request).await.result.map_err(unanswered)?;
        // Its own advice is better than our guess.
        answers::read_send(answer.status, &answer.body)
            .map_err(|failure| SendFailure { wait: answer.retry_after.or(failure.wait), ..failure })
    }

    fn render_send(&self, from: &Sender, message: &OutboundMessage, _swapped: bool) -> RenderedRequest {
        RenderedRequest {
            method: "POST",
            url: url(&from.connection, SEND_PATH),
            headers: vec![
                ("apiKey".into(), "(the connection's api_key)".to_owned()),
                ("apiSecret".into(), "(the connection's api_secret)".to_owned()),
                ("Content-Type".into(), "application/json".to_owned()),
            ],
            // What is not sent has no body; why it is not, its failure says.
            body: send::build(from, message)
                .unwrap_or_else(|refused| serde_json::json!({ "not sent": refused.failure.text }).to_string()),
        }
    }

    fn time_to_live(&self, _connection: &Connection, category: Category, _listed_s: Option<i64>) -> Duration {
        match category {
            Category::Authentication => TIME_TO_LIVE_OF_CODES,
            Category::Freeform | Category::Utility | Category::Marketing | Category::NotKnownYet => TIME_TO_LIVE,
        }
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        let mut secrets = usable(connection.secrets(WEBHOOK_SECRET)).peekable();
        if secrets.peek().is_none() {
            return if takes_unsigned(connection) { Ok(()) } else { Err(BadSignature) };
        }
        let header = (request.header)("x-gallabox-signature").ok_or(BadSignature)?.trim();
        let written = header.strip_prefix("sha256=").unwrap_or(header);
        // Documented as base64; hexadecimal has been seen. No text is both: the lengths differ.
        let from_base64 = STANDARD.decode(written).map(hex::encode).ok();
        let signed_with = |secret: &SecretString| {
            let verify = |signature: &str| signing::verify(secret.expose_secret().as_bytes(), request.body, signature);
            from_base64.as_deref().is_some_and(verify) || verify(written)
        };
        if secrets.any(signed_with) { Ok(()) } else { Err(BadSignature) }
    }

    fn parse_webhook(&self, _connection: &Connection, request: &WebhookRequest<'_>) -> Parsed {
        webhook::parse((request.header)("x-event-name"), request.body)
    }

    fn parse_inbound(&self, _connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        messages::read_message(entry).map_err(Unreadable)
    }

    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        reading::templates(via, from, named).await
    }

    fn read_listing(&self, template: &Template, entry: &str) -> TemplateListing {
        listing::read_listing(template, entry)
    }

    async fn fetch_media(
        &self,
        via: &Exchange,
        from: &Sender,
        wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure> {
        media::fetch(via, from, wanted).await
    }

    async fn fetch_number(&self, via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
        reading::number(via, sender).await
    }

    fn poll_every(&self, connection: &Connection) -> Option<Duration> {
        settings::poll_every(connection)
    }

    async fn poll(&self, via: &Exchange, sender: &Sender, since: UnixMillis, memory: &mut PollMemory) -> Polled {
        polling::poll(via, sender, since, memory).await
    }

    async fn check(
        &self,
        via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        webhook_url: Option<&str>,
    ) -> Checked {
        check::check(via, connection, senders, webhook_url).await
    }
}

fn no_credentials() -> SendFailure {
    SendFailure {
        class: FailureClass::Hold,
        scope: Scope::Connection,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::Credentials, None, NO_CREDENTIALS),
    }
}

/// Without a connection nothing was sent, and nobody else of this connection will come through either.
fn unanswered(no_answer: NoAnswer) -> SendFailure {
    let (class, scope, reason) = match no_answer {
        NoAnswer::NotSent(_) => (FailureClass::Retry, Scope::Connection, FailureReason::Unreachable),
        NoAnswer::MaybeSent(_) | NoAnswer::Unreadable(_) => {
            (FailureClass::Unknown, Scope::Message, FailureReason::UnknownOutcome)
        }
    };
    let failure = Failure::new(reason, None, &no_answer.to_string());
    SendFailure { class, scope, wait: None, tries_max: None, failure }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ConnectionKey;

    fn connection(secrets: &[&str], unsigned: &str) -> Connection {
        Connection {
            key: ConnectionKey(1),
            id: "gallabox-main".to_owned(),
            provider: "gallabox".to_owned(),
            settings: BTreeMap::from([("unsigned_webhooks".to_owned(), unsigned.to_owned())]),
            secrets: BTreeMap::from([(
                WEBHOOK_SECRET.to_owned(),
                secrets.iter().copied().map(SecretString::from).collect(),
            )]),
            hold: None,
            changed_at: UnixMillis(0),
        }
    }

    fn verified(connection: &Connection, signature: Option<&str>, body: &[u8]) -> bool {
        let header = |name: &str| signature.filter(|_| name == "x-gallabox-signature");
        let request = WebhookRequest { header: &header, url_token: None, caller: None, body };
        Gallabox.verify_webhook(connection, &request).is_ok()
    }

    #[test]
    fn a_signature_may_be_base64_or_hexadecimal_with_any_secret_that_is_valid_now() {
        let connection = connection(&["new", "old", ""], "refuse");
        let body = br#"{"id":"1"}"#;
        for (secret, valid) in [("new", true), ("old", true), ("other", false), ("", false)] {
            let hexadecimal = signing::sign(secret.as_bytes(), body);
            let base64 = STANDARD.encode(hex::decode(&hexadecimal).expect("it is hexadecimal"));
            for signature in
                [hexadecimal.clone(), base64.clone(), format!("sha256={hexadecimal}"), format!("sha256={base64}")]
            {
                assert_eq!(verified(&connection, Some(&signature), body), valid, "{secret:?}: {signature}");
                assert!(!verified(&connection, Some(&signature), b"{}"), "another body");
            }
        }
        assert!(!verified(&connection, None, body));
    }

    #[test]
    fn a_webhook_without_a_secret_is_taken_only_when_the_connection_says_so() {
        assert!(!verified(&connection(&[], "refuse"), None, b"{}"));
        assert!(!verified(&connection(&[""], "refuse"), Some(""), b"{}"));
        assert!(verified(&connection(&[], "allow"), None, b"{}"));
        assert!(!verified(&connection(&["secret"], "allow"), None, b"{}"), "with a secret it must be signed");
    }
}
