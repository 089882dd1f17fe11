//! What can be set right at Meta by asking it: a business account's subscription, and where webhooks go.
//!
//! What is shown before and what is sent are made of the same parts, so that nothing else is done than was agreed to.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{ask, read};
use crate::{
    domain::{
        account::Connection,
        finding::{Finding, Repair, RepairKind, ShownRequest},
    },
    net::exchange::{Exchange, Method},
    providers::{
        FetchFailure,
        meta::settings::{VERIFY_TOKEN, graph_object, graph_url},
        usable,
    },
};

/// An override's URL, as Meta limits it.
const WEBHOOK_URL_CHARS_MAX: usize = 200;
const TOO_LONG: &str =
    "Meta takes no webhook URL of more than 200 characters: choose a shorter server.public_url or id of the connection";
const NO_URL: &str = "set server.public_url, start again, and check once more: “Fix channel issue” is offered then, because it can be said where \
     webhooks go";
/// In the place of a secret.
const BLANKED: &str = "…";

/// The finding with a repair, where there is a URL that Meta would take; else with what is needed for one.
pub(super) fn offered(
    finding: Finding,
    connection: &Connection,
    kind: RepairKind,
    id: &str,
    webhook_url: Option<&str>,
) -> Finding {
    match webhook_url.map(|url| offer(connection, kind, id, url)) {
        Some(Some(repair)) => finding.mended_by(repair),
        Some(None) => Finding { remedy: Some(TOO_LONG.to_owned()), ..finding },
        None => Finding { remedy: Some(NO_URL.to_owned()), ..finding },
    }
}

/// What would be done; `None` when Meta would not take the URL.
pub(in crate::providers::meta) fn offer(
    connection: &Connection,
    kind: RepairKind,
    id: &str,
    webhook_url: &str,
) -> Option<Repair> {
    if webhook_url.chars().count() > WEBHOOK_URL_CHARS_MAX {
        return None;
    }
    let what = match kind {
        RepairKind::SubscribeAccount => {
            format!("subscribe the app of {} to business account {id}, with webhooks to {webhook_url}", connection.id)
        }
        RepairKind::RouteNumber => format!("send the webhooks of number id {id} to {webhook_url}"),
    };
    let (url, body) = request(connection, kind, id, webhook_url, BLANKED);
    let request = ShownRequest { method: "POST", url, body: format!("{body:#}") };
    Some(Repair { connection: connection.key, kind, id: id.to_owned(), what, request })
}

fn request(
    connection: &Connection,
    kind: RepairKind,
    id: &str,
    webhook_url: &str,
    verify_token: &str,
) -> (String, Value) {
    let route = json!({"override_callback_uri": webhook_url, "verify_token": verify_token});
    match kind {
        RepairKind::SubscribeAccount => (graph_url(connection, id, "subscribed_apps"), route),
        RepairKind::RouteNumber => (graph_object(connection, id), json!({"webhook_configuration": route})),
    }
}

pub(in crate::providers::meta) async fn repair(
    via: &Exchange,
    connection: &Connection,
    repair: &Repair,
    webhook_url: &str,
) -> Result<(), FetchFailure> {
    let token = usable(connection.secrets(VERIFY_TOKEN)).next();
    let token = token.ok_or_else(|| FetchFailure("the connection has no verify_token".to_owned()))?;
    let (url, body) = request(connection, repair.kind, &repair.id, webhook_url, token.expose_secret());
    let answer = ask(via, connection, Method::Post, &url, Some(body.to_string())).await;
    answer.and_then(|answer| read(&answer)).map(drop).map_err(|refused| FetchFailure(refused.text))
}
