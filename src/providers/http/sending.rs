//! One message on its way to a carrier that is described by settings.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{
    answer,
    body::{as_form, fill, fill_path},
    fields::{Kind, fields},
    settings::{AUTH, AUTH_NAME, AUTH_SECRET, BASE_URL, FORMAT, HEADERS, METHOD, PATH},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        outbound::OutboundMessage,
    },
    net::exchange::{Exchange, Method, NoAnswer, OutgoingRequest},
    providers::RenderedRequest,
};

/// A filled request, but for what proves who we are.
struct Built {
    method: Method,
    url: String,
    content_type: &'static str,
    body: String,
}

/// Asks the carrier to send one message.
pub async fn send(via: &Exchange, from: &Sender, message: &OutboundMessage) -> Result<Submitted, SendFailure> {
    let connection = &from.connection;
    let built = build(from, message).map_err(|text| not_configured(&text))?;
    let mut headers: Vec<(Cow<'_, str>, SecretString)> = further_headers(connection);
    headers.extend(proof(connection));
    headers.push(("content-type".into(), built.content_type.into()));
    let request = OutgoingRequest {
        method: built.method,
        url: &built.url,
        headers,
        body: Some(built.body.into()),
        timeout: via.request_timeout(),
    };
    let answer = via.send(request).await.result.map_err(unanswered)?;
    answer::read(connection, answer.status, &answer.body)
        .map_err(|failure| SendFailure { wait: failure.wait.max(answer.retry_after), ..failure })
}

/// The same request for people, without its secrets.
pub fn render(from: &Sender, message: &OutboundMessage) -> RenderedRequest {
    let connection = &from.connection;
    let built = match build(from, message) {
        Ok(built) => built,
        Err(why) => {
            return RenderedRequest { method: "POST", url: String::new(), headers: vec![], body: format!("\"{why}\"") };
        }
    };
    let mut headers: Vec<(Cow<'static, str>, String)> = vec![("Content-Type".into(), built.content_type.to_owned())];
    let name = connection.setting(AUTH_NAME);
    match connection.setting(AUTH) {
        "basic" => headers.push(("Authorization".into(), format!("Basic ({name} and the connection's auth_secret)"))),
        "bearer" => headers.push(("Authorization".into(), "Bearer (the connection's auth_secret)".to_owned())),
        "header" => headers.push((name.to_owned().into(), "(the connection's auth_secret)".to_owned())),
        _ => {}
    }
    let further = further_headers(connection).into_iter();
    headers.extend(further.map(|(name, _)| (name.into_owned().into(), "(its value is secret)".to_owned())));
    let method = match built.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
    };
    RenderedRequest { method, url: built.url, headers, body: built.body }
}

/// Whether this connection sends anything.
pub fn sends(connection: &Connection) -> bool {
    !connection.setting(BASE_URL).is_empty()
}

/// The error says what to configure.
fn build(from: &Sender, message: &OutboundMessage) -> Result<Built, String> {
    let connection = &from.connection;
    let id = &connection.id;
    if !sends(connection) {
        return Err(format!("connection {id} only receives: to send by it, give it base_url and bodies"));
    }
    let kind = Kind::of(message);
    let nothing = || {
        let name = kind.setting();
        format!("connection {id} has no {name}, so it sends no {} messages: give it one", kind.as_str())
    };
    let template: Value = serde_json::from_str(connection.setting(kind.setting())).map_err(|_| nothing())?;
    let fields = fields(from, message);
    let body = fill(&template, &fields).ok_or_else(nothing)?;
    let (content_type, body) = match connection.setting(FORMAT) {
        "form" => ("application/x-www-form-urlencoded", as_form(&body)),
        _ => ("application/json", body.to_string()),
    };
    let method = match connection.setting(METHOD) {
        "put" => Method::Put,
        "patch" => Method::Patch,
        _ => Method::Post,
    };
    let base = connection.setting(BASE_URL).trim_end_matches('/');
    let url = format!("{base}{}", fill_path(connection.setting(PATH), &fields));
    Ok(Built { method, url, content_type, body })
}

fn proof(connection: &Connection) -> Option<(Cow<'_, str>, SecretString)> {
    let secret = connection.secrets(AUTH_SECRET).first()?.expose_secret();
    let name = connection.setting(AUTH_NAME);
    match connection.setting(AUTH) {
        "basic" => {
            let pair = STANDARD.encode(format!("{name}:{secret}"));
            Some(("authorization".into(), format!("Basic {pair}").into()))
        }
        "bearer" => Some(("authorization".into(), format!("Bearer {secret}").into())),
        "header" => Some((name.into(), secret.into())),
        _ => None,
    }
}

fn further_headers(connection: &Connection) -> Vec<(Cow<'_, str>, SecretString)> {
    let pairs = connection.secrets(HEADERS).iter().filter_map(|header| header.expose_secret().split_once(':'));
    pairs.map(|(name, value)| (name.trim().into(), value.trim().into())).collect()
}

/// It would be the same for every message of its kind, and not for others: so it is the message that is given up.
fn not_configured(text: &str) -> SendFailure {
    SendFailure {
        class: FailureClass::GiveUp,
        scope: Scope::Message,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::Other, None, text),
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
    SendFailure {
        class,
        scope,
        wait: None,
        tries_max: None,
        failure: Failure::new(reason, None, &no_answer.to_string()),
    }
}
