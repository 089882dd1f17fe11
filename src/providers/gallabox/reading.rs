//! Asking Gallabox: its list of templates, and who we are.

use std::time::Duration;

use serde_json::Value;

use super::{
    answers::describe,
    settings::{NO_CREDENTIALS, credentials, url},
    templates::read_list,
    webhook::text,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        template::ListedTemplate,
    },
    net::exchange::{Answer, Exchange, Method, OutgoingRequest},
    providers::FetchFailure,
};

/// The whole list comes at once: 6,000 templates of a few kilobytes.
const TEMPLATE_LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
const TEMPLATE_LIST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn templates(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_LIST_BYTES_MAX);
    let url = url(&from.connection, &format!("accounts/{}/whatsappTemplates", from.provider_account_id));
    let answer = get(&via, &from.connection, &url, TEMPLATE_LIST_TIMEOUT).await.map_err(FetchFailure)?;
    if answer.cut {
        return Err(FetchFailure(format!("the list of templates is larger than {TEMPLATE_LIST_BYTES_MAX} bytes")));
    }
    if answer.status != 200 {
        return Err(FetchFailure(describe(answer.status, &answer.body)));
    }
    let (templates, unreadable) = read_list(&answer.body, named)
        .map_err(|reason| FetchFailure(format!("the list of templates cannot be read: {reason}")))?;
    for reason in unreadable {
        tracing::warn!(provider_account.id = from.provider_account_id, "skipped a template: {reason}");
    }
    Ok(templates)
}

/// Gallabox tells nothing of a number but that the keys are good.
pub(super) async fn number(via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
    me(via, &sender.connection).await.map(|_| NumberState::default()).map_err(FetchFailure)
}

/// Who the keys belong to, for people.
pub(super) async fn me(via: &Exchange, connection: &Connection) -> Result<Option<String>, String> {
    let answer = get(via, connection, &url(connection, "me"), via.request_timeout()).await?;
    if answer.status != 200 {
        return Err(describe(answer.status, &answer.body));
    }
    let profile: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok(text(&profile, &["name", "email", "id", "_id"]))
}

pub(super) async fn get(
    via: &Exchange,
    connection: &Connection,
    url: &str,
    timeout: Duration,
) -> Result<Answer, String> {
    let headers = credentials(connection).ok_or(NO_CREDENTIALS)?;
    let request = OutgoingRequest { method: Method::Get, url, headers, body: None, timeout };
    via.send(request).await.result.map_err(|no_answer| no_answer.to_string())
}
