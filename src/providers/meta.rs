//! Meta itself: Graph's host and paths, the app's signature, the handshake.
//! The shapes of requests, answers and webhooks are those of the [`cloud_api`](super::cloud_api).

mod check;
mod settings;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use self::settings::{
    ACCESS_TOKEN, APP_SECRET, MARKETING_MESSAGES, MESSAGES, SETTINGS, VERIFY_TOKEN, authorization, graph_url,
    prefers_marketing_endpoint, reach,
};
pub(super) use self::settings::{check_api_version, check_messaging_limit};
use super::{
    BadSignature, Checked, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, RenderedRequest,
    SettingField, Unreadable, WebhookForm, WebhookRequest,
    cloud_api::{
        check_id,
        errors::INVALID_VALUE,
        files,
        handshake::answer_handshake,
        listing, reading,
        send::{build_send, no_secret, read_send, unanswered},
        time_to_live, webhook,
    },
    usable, whatsapp_per_second_max,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{FailureClass, Scope, SendFailure, Submitted},
        finding::{Repair, RepairKind},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage, SendBody},
        template::{ListedTemplate, Template, TemplateListing},
    },
    net::{
        exchange::{Exchange, Method, OutgoingRequest},
        signing,
    },
};

/// Meta's own Cloud API.
pub struct MetaCloud;

#[async_trait]
impl Provider for MetaCloud {
    fn slug(&self) -> &'static str {
        "meta"
    }

    fn per_second_max(&self, connection: &Connection) -> Option<u32> {
        whatsapp_per_second_max(connection, self.settings())
    }

    fn webhook_form(&self) -> WebhookForm {
        WebhookForm {
            name: "Meta",
            place: "App dashboard → WhatsApp → Configuration",
            asks_once: true,
            fields: webhook::FIELDS,
        }
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
        swapped: bool,
    ) -> Result<Submitted, SendFailure> {
        let connection = &from.connection;
        let endpoint = endpoint_of(connection, message, swapped);
        let url = graph_url(connection, &from.provider_number_id, endpoint);
        let request = OutgoingRequest {
            method: Method::Post,
            url: &url,
            headers: vec![authorization(connection).ok_or_else(|| no_secret(ACCESS_TOKEN))?],
            body: Some(build_send(message).into()),
            timeout: via.request_timeout(),
        };
        let answer = via.send(request).await.result.map_err(unanswered)?;
        read_send(answer.status, &answer.body)
            .map_err(|failure| SendFailure { wait: failure.wait.max(answer.retry_after), ..failure })
            .map_err(|failure| if endpoint == MARKETING_MESSAGES { perhaps_not_known_yet(failure) } else { failure })
    }

    fn render_send(&self, from: &Sender, message: &OutboundMessage, swapped: bool) -> RenderedRequest {
        let endpoint = endpoint_of(&from.connection, message, swapped);
        RenderedRequest {
            method: "POST",
            url: graph_url(&from.connection, &from.provider_number_id, endpoint),
            headers: vec![
                ("Authorization".into(), "Bearer (the connection's access_token)".to_owned()),
                ("Content-Type".into(), "application/json".to_owned()),
            ],
            body: build_send(message),
        }
    }

    fn time_to_live(&self, connection: &Connection, category: Category, listed_s: Option<i64>) -> Duration {
        // A marketing template's own time counts at the marketing endpoint only.
        let honoured = category != Category::Marketing || prefers_marketing_endpoint(connection);
        time_to_live(category, listed_s.filter(|seconds| honoured || *seconds == -1))
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        let header = (request.header)("x-hub-signature-256").ok_or(BadSignature)?;
        let signature = header.strip_prefix("sha256=").ok_or(BadSignature)?;
        let signed_with =
            |secret: &SecretString| signing::verify(secret.expose_secret().as_bytes(), request.body, signature);
        if usable(connection.secrets(APP_SECRET)).any(signed_with) { Ok(()) } else { Err(BadSignature) }
    }

    fn parse_webhook(&self, _connection: &Connection, request: &WebhookRequest<'_>) -> Parsed {
        webhook::parse_webhook(request.body)
    }

    fn parse_inbound(&self, _connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
        webhook::parse_inbound(entry)
    }

    fn answer_handshake(&self, connection: &Connection, query: &str) -> Option<String> {
        answer_handshake(query, connection.secrets(VERIFY_TOKEN))
    }

    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        reading::templates(via, &reach(&from.connection), &from.provider_account_id, named).await
    }

    fn read_listing(&self, template: &Template, listing: &str) -> TemplateListing {
        listing::read_listing(template, listing)
    }

    async fn fetch_media(
        &self,
        via: &Exchange,
        from: &Sender,
        wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure> {
        files::fetch(via, &reach(&from.connection), &from.provider_number_id, wanted).await
    }

    async fn fetch_number(&self, via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
        reading::number(via, &reach(&sender.connection), &sender.provider_number_id).await
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

    fn offer_repair(&self, connection: &Connection, kind: RepairKind, id: &str, webhook_url: &str) -> Option<Repair> {
        check::repair::offer(connection, kind, id, webhook_url)
    }

    async fn repair(
        &self,
        via: &Exchange,
        connection: &Connection,
        repair: &Repair,
        webhook_url: &str,
    ) -> Result<(), FetchFailure> {
        check::repair::repair(via, connection, repair, webhook_url).await
    }
}

/// Where a message goes: to the endpoint of its template's current category, or to the other one.
fn endpoint_of(connection: &Connection, message: &OutboundMessage, swapped: bool) -> &'static str {
    let marketing = match &message.body {
        SendBody::Template(filled) => filled.category == Category::Marketing,
        SendBody::Freeform(_) => false,
    };
    let by_marketing = marketing && prefers_marketing_endpoint(connection);
    if by_marketing != swapped { MARKETING_MESSAGES } else { MESSAGES }
}

/// The marketing endpoint learns of a new template within ten minutes, and says until then, among other things, that a value
/// is invalid. After that it is.
fn perhaps_not_known_yet(failure: SendFailure) -> SendFailure {
    const LEARNS_WITHIN: Duration = Duration::from_secs(600);
    if failure.failure.code != Some(INVALID_VALUE) {
        return failure;
    }
    let wait = failure.wait.max(Some(LEARNS_WITHIN));
    SendFailure { class: FailureClass::Retry, scope: Scope::Message, wait, tries_max: Some(2), ..failure }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ConnectionKey;
    use crate::domain::time::UnixMillis;

    fn connection() -> Connection {
        let secrets = |values: &[&str]| values.iter().copied().map(SecretString::from).collect::<Vec<_>>();
        Connection {
            key: ConnectionKey(1),
            id: "meta-main".to_owned(),
            provider: "meta".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::from([
                (APP_SECRET.to_owned(), secrets(&["new", "old", ""])),
                (VERIFY_TOKEN.to_owned(), secrets(&["choose one+two", ""])),
            ]),
            hold: None,
            changed_at: UnixMillis(0),
        }
    }

    #[test]
    fn a_value_that_the_marketing_endpoint_finds_invalid_is_tried_once_more_when_it_must_know_the_template() {
        let refused = |code| {
            let body = format!(r#"{{"error":{{"message":"no","code":{code}}}}}"#);
            perhaps_not_known_yet(read_send(400, body.as_bytes()).expect_err("it is a refusal"))
        };

        let invalid = refused(INVALID_VALUE);
        assert_eq!((invalid.class, invalid.scope), (FailureClass::Retry, Scope::Message));
        assert_eq!((invalid.wait, invalid.tries_max), (Some(Duration::from_secs(600)), Some(2)));
        assert_eq!(refused(131_008).class, FailureClass::GiveUp, "another code");
    }

    #[test]
    fn how_fast_whatsapps_numbers_are_is_known_at_metas_own_address_alone() {
        let at = |url: &str| Connection {
            settings: BTreeMap::from([("base_url".to_owned(), url.to_owned())]),
            ..connection()
        };
        let most = [connection(), at("https://graph.facebook.com"), at("http://127.0.0.1:8090")];
        assert_eq!(most.map(|connection| MetaCloud.per_second_max(&connection)), [Some(1_000), Some(1_000), None]);
    }

    #[test]
    fn a_time_to_live_is_the_templates_own_or_its_categorys() {
        let day = Duration::from_secs(86_400);
        let marketing_endpoint = Connection {
            settings: BTreeMap::from([("marketing_endpoint".to_owned(), MARKETING_MESSAGES.to_owned())]),
            ..connection()
        };
        for (connection, category, listed_s, expected) in [
            (connection(), Category::Authentication, None, Duration::from_secs(600)),
            (connection(), Category::Authentication, Some(-1), 30 * day),
            (connection(), Category::Utility, None, 30 * day),
            (connection(), Category::Utility, Some(3600), Duration::from_secs(3600)),
            (connection(), Category::Utility, Some(i64::MAX), 30 * day),
            (connection(), Category::Utility, Some(0), 30 * day),
            (connection(), Category::Marketing, Some(86_400), 30 * day),
            (marketing_endpoint, Category::Marketing, Some(86_400), day),
            (connection(), Category::Freeform, None, 30 * day),
        ] {
            assert_eq!(MetaCloud.time_to_live(&connection, category, listed_s), expected, "{category:?} {listed_s:?}");
        }
    }

    fn verified(connection: &Connection, signature: Option<&str>, body: &[u8]) -> bool {
        let header = |name: &str| signature.filter(|_| name == "x-hub-signature-256");
        MetaCloud
            .verify_webhook(connection, &WebhookRequest { header: &header, url_token: None, caller: None, body })
            .is_ok()
    }

    #[test]
    fn a_webhook_may_be_signed_with_any_secret_that_is_valid_now() {
        let body = br#"{"entry":[]}"#;
        for (secret, valid) in [("new", true), ("old", true), ("other", false), ("", false)] {
            let signature = format!("sha256={}", signing::sign(secret.as_bytes(), body));

            assert_eq!(verified(&connection(), Some(&signature), body), valid, "{secret:?}");
            assert!(!verified(&connection(), Some(&signature), br#"{"entry":[1]}"#), "another body");
        }
    }

    #[test]
    fn a_webhook_without_signature_or_without_secret_is_refused() {
        let signature = format!("sha256={}", signing::sign(b"new", b"{}"));
        let without_secret = Connection { secrets: BTreeMap::new(), ..connection() };

        assert!(!verified(&connection(), None, b"{}"));
        assert!(!verified(&connection(), Some(&signature["sha256=".len()..]), b"{}"));
        assert!(!verified(&connection(), Some("sha256="), b"{}"));
        assert!(!verified(&without_secret, Some(&signature), b"{}"));
    }

    #[test]
    fn the_handshake_returns_the_challenge_to_whoever_knows_the_token() {
        let answer = |query: &str| MetaCloud.answer_handshake(&connection(), query);
        let right = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=choose%20one%2Btwo";

        assert_eq!(answer(right).as_deref(), Some("1158201444"));
        for wrong in [
            "",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=choose",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=choose%20one%2Btwo",
            "hub.mode=subscribe&hub.verify_token=choose%20one%2Btwo",
        ] {
            assert_eq!(answer(wrong), None, "{wrong}");
        }
    }
}
