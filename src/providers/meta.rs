//! Meta itself: Graph's host and paths, the app's signature, the handshake, paging through lists.
//! The shapes of requests, answers and webhooks are those of the [`cloud_api`](super::cloud_api).

mod check;
mod media;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::{
    BadSignature, FetchFailure, FetchedMedia, MediaFailure, MediaToFetch, Parsed, Provider, SettingField, Unreadable,
    WebhookRequest,
    cloud_api::{
        errors,
        numbers::{FIELDS, FIELDS_EVERY_VERSION_HAS, read_number},
        send::{build_send, read_send},
        templates::{TemplatePage, read_page},
        webhook,
    },
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        finding::{Finding, Repair},
        inbound::InboundMessage,
        outbound::{Category, OutboundMessage, SendBody},
        template::ListedTemplate,
    },
    net::{
        exchange::{Exchange, Method, NoAnswer, OutgoingRequest},
        signing,
    },
};

/// Meta's own Cloud API.
pub struct MetaCloud;

const SETTINGS: &[SettingField] = &[
    SettingField {
        name: "base_url",
        help: "Where Graph lives; another address for a proxy or a simulator",
        secret: false,
        list: false,
        required: false,
        default: Some("https://graph.facebook.com"),
        check: None,
    },
    SettingField {
        name: "api_version",
        help: "Graph's version in the path of every request; each lives about two years",
        secret: false,
        list: false,
        required: false,
        default: Some("v26.0"),
        check: Some(check_api_version),
    },
    SettingField {
        name: ACCESS_TOKEN,
        help: "A token with whatsapp_business_messaging and whatsapp_business_management; the first is used",
        secret: true,
        list: true,
        required: true,
        default: None,
        check: None,
    },
    SettingField {
        name: APP_SECRET,
        help: "The app's secret, which signs webhooks; several while it is being changed",
        secret: true,
        list: true,
        required: true,
        default: None,
        check: None,
    },
    SettingField {
        name: VERIFY_TOKEN,
        help: "A word of your choice, to be given to Meta together with the webhook's URL",
        secret: true,
        list: false,
        required: true,
        default: None,
        check: None,
    },
    SettingField {
        name: "marketing_endpoint",
        help: "Where marketing templates go first: messages or marketing_messages (the Marketing Messages API)",
        secret: false,
        list: false,
        required: false,
        default: Some(MESSAGES),
        check: Some(check_marketing_endpoint),
    },
];

const ACCESS_TOKEN: &str = "access_token";
const APP_SECRET: &str = "app_secret";
const VERIFY_TOKEN: &str = "verify_token";

const MESSAGES: &str = "messages";
const MARKETING_MESSAGES: &str = "marketing_messages";

/// Graph's ids are numbers of some 15 digits.
const ID_DIGITS_MAX: usize = 32;

fn check_api_version(text: &str) -> Result<(), String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix('v').and_then(|version| version.split_once('.')) {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(()),
        Some(_) | None => Err("must be a version of Graph, like v26.0".to_owned()),
    }
}

fn check_marketing_endpoint(text: &str) -> Result<(), String> {
    match text {
        MESSAGES | MARKETING_MESSAGES => Ok(()),
        _ => Err(format!("must be {MESSAGES} or {MARKETING_MESSAGES}")),
    }
}

/// For so long WhatsApp tries to deliver a message whose template says nothing else, or -1.
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// And for so long an authentication template's.
const TIME_TO_LIVE_OF_CODES: Duration = Duration::from_secs(600);

/// Templates asked for at once. With carousels one takes some ten kilobytes.
const TEMPLATES_PER_PAGE: usize = 100;
/// What sending needs, and what a platform that imports templates wants to know besides.
const TEMPLATE_FIELDS: &str = "id,name,language,status,category,components,parameter_format,message_send_ttl_seconds";
const TEMPLATE_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A business account has at most 6,000 templates.
pub const TEMPLATE_PAGES_MAX: usize = 100;
/// A full page takes Graph longer than a send does.
const TEMPLATE_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

#[async_trait]
impl Provider for MetaCloud {
    fn slug(&self) -> &'static str {
        "meta"
    }

    fn settings(&self) -> &'static [SettingField] {
        SETTINGS
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        match (1..=ID_DIGITS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(()),
            false => {
                Err("must be Meta's id, which has digits only, like 100000000000001: copy it from WhatsApp Manager"
                    .to_owned())
            }
        }
    }

    async fn send(
        &self,
        via: &Exchange,
        from: &Sender,
        message: &OutboundMessage,
        swapped: bool,
    ) -> Result<Submitted, SendFailure> {
        let connection = &from.connection;
        let url = send_url(connection, &from.provider_number_id, message, swapped);
        let request = OutgoingRequest {
            method: Method::Post,
            url: &url,
            headers: vec![authorization(connection).ok_or_else(no_access_token)?],
            body: Some(build_send(message)),
            timeout: via.request_timeout(),
        };
        let answer = via.send(request).await.result.map_err(unanswered)?;
        read_send(answer.status, &answer.body)
            .map_err(|failure| SendFailure { wait: failure.wait.max(answer.retry_after), ..failure })
    }

    fn time_to_live(&self, connection: &Connection, category: Category, listed_s: Option<i64>) -> Duration {
        let own = match category {
            Category::Authentication => TIME_TO_LIVE_OF_CODES,
            Category::Freeform | Category::Utility | Category::Marketing => TIME_TO_LIVE_MAX,
        };
        // A marketing template's own time counts at the marketing endpoint only.
        let honoured = category != Category::Marketing || prefers_marketing_endpoint(connection);
        match listed_s {
            Some(seconds) if seconds > 0 && honoured => {
                Duration::from_secs(seconds.unsigned_abs()).min(TIME_TO_LIVE_MAX)
            }
            Some(-1) => TIME_TO_LIVE_MAX,
            Some(_) | None => own,
        }
    }

    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
        let header = (request.header)("x-hub-signature-256").ok_or(BadSignature)?;
        let signature = header.strip_prefix("sha256=").ok_or(BadSignature)?;
        let signed_with =
            |secret: &SecretString| signing::verify(secret.expose_secret().as_bytes(), request.body, signature);
        if usable(connection.secrets(APP_SECRET)).any(signed_with) { Ok(()) } else { Err(BadSignature) }
    }

    fn parse_webhook(&self, request: &WebhookRequest<'_>) -> Parsed {
        webhook::parse_webhook(request.body)
    }

    fn parse_inbound(&self, entry: &str) -> Result<InboundMessage, Unreadable> {
        webhook::parse_inbound(entry)
    }

    fn answer_handshake(&self, connection: &Connection, query: &str) -> Option<String> {
        let value = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let token = value("hub.verify_token")?;
        let is_ours = |secret: &SecretString| signing::same_secret(secret.expose_secret().as_bytes(), token.as_bytes());
        let right = value("hub.mode")? == "subscribe" && usable(connection.secrets(VERIFY_TOKEN)).any(is_ours);
        right.then(|| value("hub.challenge")).flatten()
    }

    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure> {
        let via = via.reading_up_to(TEMPLATE_PAGE_BYTES_MAX);
        // Names are lower-case at Meta, whatever a person typed.
        let named = named.map(str::to_ascii_lowercase);
        let mut templates = match list_templates(&via, from, named.as_deref()).await {
            // Cursors live for a while only: from the beginning, once.
            Err(ListFailure::CursorExpired) => list_templates(&via, from, named.as_deref()).await,
            other => other,
        }?;
        // The filter of the listing may find names that only contain the one asked for.
        templates.retain(|listed| named.as_deref().is_none_or(|name| listed.template.name == name));
        Ok(templates)
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
        /// Graph's way to say that a field is not there, among other things.
        const INVALID_PARAMETER: i64 = 100;
        match fetch_number(via, sender, FIELDS).await {
            Err((Some(INVALID_PARAMETER), _)) => fetch_number(via, sender, FIELDS_EVERY_VERSION_HAS).await,
            other => other,
        }
        .map_err(|(_, text)| FetchFailure(text))
    }

    async fn check(
        &self,
        via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        webhook_url: Option<&str>,
    ) -> Vec<Finding> {
        check::check(via, connection, senders, webhook_url).await
    }

    async fn repair(
        &self,
        via: &Exchange,
        connection: &Connection,
        repair: &Repair,
        webhook_url: &str,
    ) -> Result<(), FetchFailure> {
        check::repair(via, connection, repair, webhook_url).await
    }
}

/// The number's state; or Meta's code, when there is one, and what happened.
async fn fetch_number(via: &Exchange, sender: &Sender, fields: &str) -> Result<NumberState, (Option<i64>, String)> {
    let authorization =
        authorization(&sender.connection).ok_or_else(|| (None, "the connection has no access_token".to_owned()))?;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("fields", fields).finish();
    let request = OutgoingRequest {
        method: Method::Get,
        url: &format!("{}?{query}", graph_object(&sender.connection, &sender.provider_number_id)),
        headers: vec![authorization],
        body: None,
        timeout: via.request_timeout(),
    };
    let answer = via.send(request).await.result.map_err(|no_answer| (None, no_answer.to_string()))?;
    if answer.status != 200 {
        return Err(errors::describe(answer.status, &answer.body));
    }
    read_number(&answer.body).map_err(|reason| (None, format!("the number's state cannot be read: {reason}")))
}

/// The secrets that can prove anything: with an empty one anybody could sign.
fn usable(secrets: &[SecretString]) -> impl Iterator<Item = &SecretString> {
    secrets.iter().filter(|secret| !secret.expose_secret().is_empty())
}

/// Where a message goes: to the endpoint of its template's current category, or to the other one.
fn send_url(connection: &Connection, number_id: &str, message: &OutboundMessage, swapped: bool) -> String {
    let marketing = match &message.body {
        SendBody::Template(filled) => filled.category == Category::Marketing,
        SendBody::Freeform(_) => false,
    };
    let by_marketing = marketing && prefers_marketing_endpoint(connection);
    let endpoint = if by_marketing != swapped { MARKETING_MESSAGES } else { MESSAGES };
    graph_url(connection, number_id, endpoint)
}

fn prefers_marketing_endpoint(connection: &Connection) -> bool {
    connection.setting("marketing_endpoint") == MARKETING_MESSAGES
}

fn graph_url(connection: &Connection, id: &str, edge: &str) -> String {
    format!("{}/{edge}", graph_object(connection, id))
}

fn graph_object(connection: &Connection, id: &str) -> String {
    format!("{}/{id}", graph_base(connection))
}

fn graph_base(connection: &Connection) -> String {
    let base = connection.setting("base_url").trim_end_matches('/');
    format!("{base}/{}", connection.setting("api_version"))
}

fn authorization(connection: &Connection) -> Option<(&'static str, SecretString)> {
    let token = usable(connection.secrets(ACCESS_TOKEN)).next()?;
    Some(("authorization", SecretString::from(format!("Bearer {}", token.expose_secret()))))
}

fn no_access_token() -> SendFailure {
    SendFailure {
        class: FailureClass::Hold,
        scope: Scope::Connection,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::Credentials, None, "the connection has no access_token"),
    }
}

/// Without a connection nothing was sent, and nobody else of this connection will come through either.
fn unanswered(no_answer: NoAnswer) -> SendFailure {
    let (class, scope, reason) = match no_answer {
        NoAnswer::NotSent(_) => (FailureClass::Retry, Scope::Connection, FailureReason::Unreachable),
        NoAnswer::MaybeSent(_) => (FailureClass::Unknown, Scope::Message, FailureReason::UnknownOutcome),
    };
    let failure = Failure::new(reason, None, &no_answer.to_string());
    SendFailure { class, scope, wait: None, tries_max: None, failure }
}

enum ListFailure {
    CursorExpired,
    Other(FetchFailure),
}

impl From<ListFailure> for FetchFailure {
    fn from(failure: ListFailure) -> Self {
        match failure {
            ListFailure::CursorExpired => Self("Graph's paging cursors expired twice in a row; try again".to_owned()),
            ListFailure::Other(failure) => failure,
        }
    }
}

/// All pages. The address of the next one is always built here: Graph's own `next` holds the token.
async fn list_templates(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, ListFailure> {
    let mut templates = Vec::new();
    let mut after = None;
    for _ in 0..TEMPLATE_PAGES_MAX {
        let page = fetch_page(via, from, named, after.as_deref()).await?;
        for reason in &page.unreadable {
            tracing::warn!(provider_account.id = from.provider_account_id, "skipped a template: {reason}");
        }
        templates.extend(page.templates);
        match page.after {
            Some(cursor) => after = Some(cursor),
            None => return Ok(templates),
        }
    }
    Err(fetch_failure(format!(
        "the listing of {} has more than {TEMPLATE_PAGES_MAX} pages of {TEMPLATES_PER_PAGE} templates",
        from.provider_account_id
    )))
}

async fn fetch_page(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
    after: Option<&str>,
) -> Result<TemplatePage, ListFailure> {
    let connection = &from.connection;
    let authorization =
        authorization(connection).ok_or_else(|| fetch_failure("the connection has no access_token".to_owned()))?;
    let url = template_page_url(connection, &from.provider_account_id, named, after);
    let request = OutgoingRequest {
        method: Method::Get,
        url: &url,
        headers: vec![authorization],
        body: None,
        timeout: TEMPLATE_PAGE_TIMEOUT,
    };
    let answer = via.send(request).await.result.map_err(|no_answer| fetch_failure(no_answer.to_string()))?;
    if answer.cut {
        return Err(fetch_failure(format!("a page of templates is larger than {TEMPLATE_PAGE_BYTES_MAX} bytes")));
    }
    if answer.status != 200 {
        return Err(match errors::describe(answer.status, &answer.body) {
            (Some(errors::CURSOR_EXPIRED), _) => ListFailure::CursorExpired,
            (_, text) => fetch_failure(text),
        });
    }
    read_page(&answer.body).map_err(|reason| fetch_failure(format!("the listing cannot be read: {reason}")))
}

fn template_page_url(connection: &Connection, account_id: &str, named: Option<&str>, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("fields", TEMPLATE_FIELDS);
    query.append_pair("limit", &TEMPLATES_PER_PAGE.to_string());
    for (name, value) in [("name", named), ("after", after)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{}?{}", graph_url(connection, account_id, "message_templates"), query.finish())
}

fn fetch_failure(text: String) -> ListFailure {
    ListFailure::Other(FetchFailure(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ConnectionKey;

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
        }
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
        MetaCloud.verify_webhook(connection, &WebhookRequest { header: &header, body }).is_ok()
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
