//! What a carrier says about a connection, as far as it can be asked: the key (shown by whatever it opens), templates,
//! numbers, where webhooks go, and whether our own URL takes what the carrier would send there.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    Carrier, errors,
    settings::{WEBHOOK_HEADER_DEFAULT, WEBHOOK_SECRET},
    shape::{Numbers, Shape, TemplateLists},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        finding::{Finding, Repair, RepairKind, ShownRequest, Topic},
        template::TemplateStatus,
    },
    net::{
        exchange::{Answer, Exchange, Method, OutgoingRequest},
        redact,
    },
    providers::{
        Checked, FetchFailure, Provider as _,
        cloud_api::{
            findings::{SEEN_WITH_IT, about as about_number, check_state},
            reach::Reach,
            reading,
        },
        usable,
    },
};

/// Where 360dialog is asked, and told, where webhooks go.
const WEBHOOK_PATH: &str = "/v1/configs/webhook";
/// In the place of a secret.
const BLANKED: &str = "…";
/// A webhook that says nothing.
const EMPTY_WEBHOOK: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

const NOT_OFFERED: &str = "not offered by this carrier";

pub(super) async fn check(
    carrier: &Carrier,
    via: &Exchange,
    connection: &Connection,
    senders: &[Arc<Sender>],
    webhook_url: Option<&str>,
) -> Checked {
    let shape = (carrier.shape)(connection);
    let about = format!("connection {}", connection.id);
    let mut checked = Checked::default();
    checked.findings.extend(one_number(&shape, senders, &about));
    let mut accounts: BTreeMap<&str, &Arc<Sender>> = BTreeMap::new();
    for sender in senders {
        accounts.entry(&sender.provider_account_id).or_insert(sender);
    }
    let mut key = None;
    for (account, sender) in accounts {
        let (finding, opened) = check_templates(carrier, &shape, via, account, sender).await;
        checked.findings.push(finding);
        key = key.or(opened);
    }
    for sender in senders {
        let started = Instant::now();
        let state = carrier.fetch_number(via, sender).await;
        if shape.numbers != Numbers::None {
            key = key.or(Some(state.as_ref().map(drop).map_err(ToString::to_string)));
        }
        let took = started.elapsed();
        checked.findings.extend(number(&shape, sender, &state).into_iter().map(|finding| finding.within(took)));
        checked.findings.push(check_route(&shape, via, connection, sender, webhook_url).await);
        checked.numbers.push((sender.key, state));
    }
    checked.findings.push(credentials(&about, key).on(Topic::Credentials));
    checked.findings.push(own_url(&shape, via, connection, webhook_url, &about).await.on(Topic::WebhookUrl));
    checked
}

/// Where the key alone says which number it is, a second number would send from the first.
fn one_number(shape: &Shape, senders: &[Arc<Sender>], about: &str) -> Option<Finding> {
    let count = senders.len();
    (count > 1 && !shape.names_number()).then(|| {
        Finding::wrong(
            about,
            format!("it serves {count} numbers, but its key belongs to one: all would send from that one"),
            "make a connection for each number, with the number's own key",
        )
    })
}

fn credentials(about: &str, opened: Option<Result<(), String>>) -> Finding {
    match opened {
        Some(Ok(())) => Finding::fine(about, "the api_key is taken"),
        Some(Err(text)) => Finding::wrong(
            about,
            format!("the api_key opened nothing: {text}"),
            "compare api_key and base_url with what the carrier shows, apply them, then `wabridge release`",
        ),
        None => Finding::not_checked(
            about,
            format!("asking about the key is {NOT_OFFERED}"),
            "send a test message from the console's test bench",
        ),
    }
}

/// The finding, and whether the key opened the list.
async fn check_templates(
    carrier: &Carrier,
    shape: &Shape,
    via: &Exchange,
    account: &str,
    sender: &Sender,
) -> (Finding, Option<Result<(), String>>) {
    let about = format!("business account {account}");
    if shape.templates == TemplateLists::None {
        let why = format!("a list of templates is {NOT_OFFERED}, so only freeform messages can be sent");
        let remedy = "choose another way in the setting `templates`, if the carrier has one";
        return (Finding::not_checked(about, why, remedy).on(Topic::Templates), None);
    }
    let started = Instant::now();
    let listed = carrier.fetch_templates(via, sender, None).await;
    let opened = listed.as_ref().map(drop).map_err(ToString::to_string);
    let finding = match listed {
        Ok(templates) => {
            let approved = templates.iter().filter(|listed| listed.template.status == TemplateStatus::Approved).count();
            let text = format!("{approved} of {} templates are approved", templates.len());
            match approved {
                0 => Finding::doubtful(about, text, "have a template approved, in the carrier's own pages"),
                _ => Finding::fine(about, text),
            }
        }
        Err(failure) => Finding::wrong(
            about,
            format!("the templates cannot be listed: {failure}"),
            "check api_key, base_url and waba_id, and the setting `templates`",
        ),
    };
    (finding.on(Topic::Templates).within(started.elapsed()), Some(opened))
}

fn number(shape: &Shape, sender: &Sender, state: &Result<NumberState, FetchFailure>) -> Vec<Finding> {
    let about = about_number(sender);
    let unseen = |topic: Topic| {
        let remedy = "look at it in the carrier's own pages, or in WhatsApp Manager";
        Finding::not_checked(&about, format!("{} is {NOT_OFFERED}", topic.as_str()), remedy).on(topic)
    };
    match (shape.numbers, state) {
        (Numbers::Graph, Ok(state)) => check_state(sender, state, &about),
        (Numbers::Health, Ok(state)) => {
            let warnings = state.warnings_but_quality();
            let remedy = "see the carrier's own pages, which say why";
            let mut findings: Vec<Finding> =
                warnings.iter().map(|warning| Finding::wrong(&about, warning.clone(), remedy)).collect();
            if findings.is_empty() {
                findings.push(Finding::fine(&about, "it can send"));
            }
            let findings = findings.into_iter().map(|finding| finding.on(Topic::Number));
            findings.chain(SEEN_WITH_IT.map(unseen)).collect()
        }
        (Numbers::None, _) => [Topic::Number].into_iter().chain(SEEN_WITH_IT).map(unseen).collect(),
        (Numbers::Graph | Numbers::Health, Err(failure)) => {
            let text = format!("it cannot be asked about: {failure}");
            let remedy = "check api_key and base_url, and compare phone_number_id with the carrier's own pages";
            vec![Finding::wrong(&about, text, remedy).on(Topic::Number)]
        }
    }
}

/// Whether the number can send, by 360dialog's judgement.
pub(super) async fn health(via: &Exchange, reach: &Reach) -> Result<NumberState, FetchFailure> {
    reading::number_at(via, reach, &format!("{}/health_status", reach.root))
        .await
        .map_err(|(_, text)| FetchFailure(text))
}

async fn check_route(
    shape: &Shape,
    via: &Exchange,
    connection: &Connection,
    sender: &Sender,
    webhook_url: Option<&str>,
) -> Finding {
    let about = about_number(sender);
    let started = Instant::now();
    let finding = match webhook_url {
        _ if !shape.routes_webhooks => Finding::not_checked(
            about,
            format!("saying where its webhooks go is {NOT_OFFERED}"),
            "enter our URL in the carrier's own pages",
        ),
        None => Finding::not_checked(
            about,
            "nobody has said how the world reaches this bridge, so there is nothing to compare with",
            "set server.public_url, and check again",
        ),
        Some(ours) => match ask(shape, via, Method::Get, None).await {
            Ok(answer) => route(shape, connection, sender, about, &answer, ours),
            Err(text) => {
                let remedy = "mend what it says, and check again";
                Finding::wrong(about, format!("nobody can tell where its webhooks go: {text}"), remedy)
            }
        },
    };
    finding.on(Topic::WebhookRoute).within(started.elapsed())
}

fn route(
    shape: &Shape,
    connection: &Connection,
    sender: &Sender,
    about: String,
    answer: &Answer,
    ours: &str,
) -> Finding {
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let url = told["url"].as_str().unwrap_or_default().trim_end_matches('/');
    let secrets = || usable(connection.secrets(WEBHOOK_SECRET)).map(|secret| secret.expose_secret());
    // Servers may write the header's name as they like.
    let header = told["headers"].as_object().and_then(|headers| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(WEBHOOK_HEADER_DEFAULT))?.1.as_str()
    });
    let below = url.strip_prefix(ours).and_then(|rest| rest.strip_prefix('/'));
    let proven = secrets().any(|secret| below == Some(secret) || (url == ours && header == Some(secret)));
    if proven {
        return Finding::fine(about, "its webhooks come to this bridge, with the secret");
    }
    let what = match url {
        "" => "its webhooks go nowhere: no status and no reply will ever come".to_owned(),
        _ if url == ours || below.is_some() => {
            "its webhooks come to this bridge without the right secret, and are refused".to_owned()
        }
        url => format!("its webhooks go to {} and not to {ours}", redact::url_beside(ours, url)),
    };
    let finding = Finding::wrong(
        about,
        what,
        "press “Fix channel issue” in the console, run `wabridge check --repair`, or enter our URL at the carrier",
    );
    match offer_repair(shape, connection, RepairKind::RouteNumber, &sender.provider_number_id, ours) {
        Some(repair) => finding.mended_by(repair),
        None => finding,
    }
}

pub(super) fn offer_repair(
    shape: &Shape,
    connection: &Connection,
    kind: RepairKind,
    id: &str,
    webhook_url: &str,
) -> Option<Repair> {
    match kind {
        RepairKind::SubscribeAccount => None,
        RepairKind::RouteNumber => shape.routes_webhooks.then(|| Repair {
            connection: connection.key,
            kind,
            id: id.to_owned(),
            what: format!("send the webhooks of the key of {} to {webhook_url}, with the secret", connection.id),
            request: ShownRequest {
                method: "POST",
                url: format!("{}{WEBHOOK_PATH}", shape.reach.root),
                body: format!("{:#}", routing(webhook_url, BLANKED)),
            },
        }),
    }
}

pub(super) async fn repair(
    shape: &Shape,
    via: &Exchange,
    connection: &Connection,
    repair: &Repair,
    webhook_url: &str,
) -> Result<(), FetchFailure> {
    if repair.kind != RepairKind::RouteNumber || !shape.routes_webhooks {
        return Err(FetchFailure(format!("setting where webhooks go is {NOT_OFFERED}")));
    }
    let secret = usable(connection.secrets(WEBHOOK_SECRET)).next();
    let secret = secret.ok_or_else(|| FetchFailure(format!("the connection has no {WEBHOOK_SECRET}")))?;
    let body = routing(webhook_url, secret.expose_secret()).to_string();
    ask(shape, via, Method::Post, Some(body)).await.map(drop).map_err(FetchFailure)
}

fn routing(webhook_url: &str, secret: &str) -> Value {
    json!({"url": webhook_url, "headers": {WEBHOOK_HEADER_DEFAULT: secret}})
}

async fn ask(shape: &Shape, via: &Exchange, method: Method, body: Option<String>) -> Result<Answer, String> {
    let url = format!("{}{WEBHOOK_PATH}", shape.reach.root);
    let request = shape.reach.request(method, &url, body, via.request_timeout())?;
    match via.send(request).await.result {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(answer),
        Ok(answer) => Err(format!("HTTP {}{}", answer.status, errors::said(&answer.body))),
        Err(no_answer) => Err(via.explain(&url, &no_answer).await),
    }
}

/// Sends our own URL a webhook that says nothing, from outside, as the carrier would.
async fn own_url(
    shape: &Shape,
    via: &Exchange,
    connection: &Connection,
    webhook_url: Option<&str>,
    about: &str,
) -> Finding {
    let Some(webhook_url) = webhook_url else {
        return Finding::not_checked(
            about,
            "nobody has said how the world reaches this bridge, so its URL cannot be tried",
            "set server.public_url, and check again",
        );
    };
    let Some(secret) = usable(connection.secrets(WEBHOOK_SECRET)).next() else {
        return Finding::wrong(about, format!("it has no {WEBHOOK_SECRET}"), "apply one: webhooks show it");
    };
    let started = Instant::now();
    let (url, headers) = shape.proof.made(secret, webhook_url, EMPTY_WEBHOOK.as_bytes());
    let request = OutgoingRequest {
        method: Method::Post,
        url: &url,
        headers: headers.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        body: Some(EMPTY_WEBHOOK.into()),
        timeout: via.request_timeout(),
    };
    let what = match via.send(request).await.result {
        Ok(answer) if answer.status == 200 => {
            return took(Finding::fine(about, format!("{webhook_url} takes webhooks as it should")), started);
        }
        Ok(answer) => format!("answers an empty webhook with HTTP {}", answer.status),
        Err(no_answer) => via.explain(webhook_url, &no_answer).await,
    };
    let finding = Finding::wrong(
        about,
        format!("{webhook_url}: {what}"),
        "check that the server runs, that the proxy in front passes /webhooks/ on, and server.public_url",
    );
    took(finding, started)
}

fn took(finding: Finding, started: Instant) -> Finding {
    let took: Duration = started.elapsed();
    finding.within(took)
}
