//! What Graph says about a connection: its token, its numbers, their templates, and where webhooks go.
//!
//! Webhooks of messages go to a number's own URL, else to its business account's, else to the app's; everything else goes to
//! the app's. All of it only once the app is subscribed to the business account. The app's own URL is set by hand in Meta's
//! dashboard; the other two can be set from here. A number's node shows all three.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::StreamExt as _;
use rand::RngExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    FetchFailure, MetaCloud, Provider as _,
    settings::{VERIFY_TOKEN, authorization, graph_object, graph_url, usable},
};
use crate::{
    clock,
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        finding::{Finding, Repair, RepairKind},
        template::TemplateStatus,
    },
    net::{
        exchange::{Answer, Exchange, Method, OutgoingRequest},
        redact,
    },
    providers::{Checked, cloud_api::errors},
};

/// Numbers asked about at once.
const AT_ONCE_MAX: usize = 4;
const NUMBERS_PER_PAGE: usize = 100;
const NUMBER_PAGES_MAX: usize = 20;
/// An override's URL, as Meta limits it.
const WEBHOOK_URL_CHARS_MAX: usize = 200;
/// Clocks further apart than this are worth a look.
const CLOCKS_APART_MAX_MS: u64 = 60_000;
const PERMISSIONS: [&str; 2] = ["whatsapp_business_messaging", "whatsapp_business_management"];

/// Why Graph did not say what was asked.
struct Refused {
    /// It was Graph who said no, and not the way to it.
    answered: bool,
    token: bool,
    text: String,
}

pub(super) async fn check(
    via: &Exchange,
    connection: &Connection,
    senders: &[Arc<Sender>],
    webhook_url: Option<&str>,
) -> Checked {
    let about = format!("connection {}", connection.id);
    let (findings, usable_token) = check_token(via, connection, &about).await;
    let mut checked = Checked { findings, numbers: vec![] };
    if usable_token {
        let mut accounts: BTreeMap<&str, Vec<&Arc<Sender>>> = BTreeMap::new();
        for sender in senders {
            accounts.entry(&sender.provider_account_id).or_default().push(sender);
        }
        for (account, senders) in accounts {
            checked.extend(check_account(via, connection, account, &senders, webhook_url).await);
        }
    }
    if let Some(url) = webhook_url {
        checked.findings.push(check_handshake(via, connection, url, &about).await);
    }
    checked
}

/// What is known of the token, and whether it is of any use.
async fn check_token(via: &Exchange, connection: &Connection, about: &str) -> (Vec<Finding>, bool) {
    let answer = match get(via, connection, &graph_url(connection, "me", "permissions")).await {
        Ok(answer) => answer,
        Err(refused) => return (vec![refused.finding(about, "ask Meta about the access token")], false),
    };
    let mut findings: Vec<Finding> = clocks_apart(&answer).into_iter().collect();
    let refused = read(&answer).err();
    if let Some(refused) = refused.filter(|refused| refused.token) {
        findings.push(refused.finding(about, "use the access token"));
        return (findings, false);
    }
    findings.push(match granted(&answer) {
        // Not every kind of token can be asked what it may; what needs a permission shows it below.
        None => Finding::fine(about, "the access token is taken; Meta does not tell its permissions"),
        Some(granted) => match PERMISSIONS.iter().filter(|name| !granted.contains(**name)).collect::<Vec<_>>() {
            missing if missing.is_empty() => {
                Finding::fine(about, format!("the access token works, with {}", PERMISSIONS.join(" and ")))
            }
            missing => Finding::wrong(
                about,
                format!("the access token lacks {}", missing.into_iter().copied().collect::<Vec<_>>().join(" and ")),
                "generate a token of the system user with both permissions, and apply it as access_token",
            ),
        },
    });
    (findings, true)
}

fn granted(answer: &Answer) -> Option<BTreeSet<String>> {
    let list = read(answer).ok()?;
    let entries = list["data"].as_array()?.iter();
    let granted = entries.filter(|entry| entry["status"] == "granted");
    Some(granted.filter_map(|entry| entry["permission"].as_str().map(str::to_owned)).collect())
}

fn clocks_apart(answer: &Answer) -> Option<Finding> {
    let apart_ms = answer.date?.0.abs_diff(clock::now().0);
    Some(if apart_ms <= CLOCKS_APART_MAX_MS {
        Finding::fine("clock", "this machine and Meta agree on the time")
    } else {
        Finding::wrong(
            "clock",
            format!("this machine's clock and Meta's are {} s apart", apart_ms / 1000),
            "let the machine set its clock by NTP: messages expire, and statuses are ordered, by it",
        )
    })
}

async fn check_account(
    via: &Exchange,
    connection: &Connection,
    account: &str,
    senders: &[&Arc<Sender>],
    webhook_url: Option<&str>,
) -> Checked {
    let about = format!("business account {account}");
    let subscriptions_url = graph_url(connection, account, "subscribed_apps");
    let (members, subscription, templates) = tokio::join!(
        list_numbers(via, connection, account),
        get(via, connection, &subscriptions_url),
        check_templates(via, senders[0], &about),
    );
    let mut findings = vec![templates];
    let subscribed = match subscription.and_then(|answer| read(&answer)) {
        Ok(list) => subscribed(&list),
        Err(refused) => {
            findings.push(refused.finding(&about, "read to which apps it is subscribed"));
            None
        }
    };
    if let Some(subscribed) = &subscribed {
        findings.push(check_subscription(connection, account, &about, *subscribed, webhook_url));
    }
    if let Err(refused) = &members {
        findings.push(refused.finding(&about, "list its numbers"));
    }
    let mut asked = Vec::with_capacity(senders.len());
    for sender in senders {
        let member = members.as_ref().ok().map(|members| members.contains(&sender.provider_number_id));
        asked.push(check_number(via, connection, sender, member, webhook_url));
    }
    let mut numbers = futures_util::stream::iter(asked).buffered(AT_ONCE_MAX);
    let mut checked = Checked { findings, numbers: vec![] };
    while let Some(found) = numbers.next().await {
        checked.extend(found);
    }
    checked
}

async fn check_templates(via: &Exchange, sender: &Sender, about: &str) -> Finding {
    match MetaCloud.fetch_templates(via, sender, None).await {
        Ok(templates) => {
            let approved =
                templates.iter().filter(|template| template.template.status == TemplateStatus::Approved).count();
            let text = format!("{approved} of {} templates are approved", templates.len());
            match approved {
                0 => Finding::doubtful(about, text, "have a template approved in Meta's WhatsApp Manager"),
                _ => Finding::fine(about, text),
            }
        }
        Err(failure) => Finding::wrong(
            about,
            format!("the templates cannot be listed: {failure}"),
            "check waba_id, and that the system user has the business account among its assets",
        ),
    }
}

/// Whether any app is. Ours cannot be told from others by the token alone.
fn subscribed(list: &Value) -> Option<bool> {
    list["data"].as_array().map(|apps| !apps.is_empty())
}

fn check_subscription(
    connection: &Connection,
    account: &str,
    about: &str,
    subscribed: bool,
    webhook_url: Option<&str>,
) -> Finding {
    if subscribed {
        return Finding::fine(about, "an app is subscribed to its webhooks");
    }
    let finding = Finding::wrong(
        about,
        "no app is subscribed to it: no status and no reply will ever come",
        "run `wabridge check --repair`, or POST to its subscribed_apps by hand",
    );
    with_repair(finding, connection, RepairKind::SubscribeAccount, account, webhook_url)
}

/// Offers the repair where there is a URL that Meta would take.
fn with_repair(
    finding: Finding,
    connection: &Connection,
    kind: RepairKind,
    id: &str,
    webhook_url: Option<&str>,
) -> Finding {
    let Some(url) = webhook_url.filter(|url| url.chars().count() <= WEBHOOK_URL_CHARS_MAX) else { return finding };
    let what = match kind {
        RepairKind::SubscribeAccount => {
            format!("subscribe the app of {} to business account {id}, with webhooks to {url}", connection.id)
        }
        RepairKind::RouteNumber => format!("send the webhooks of number id {id} to {url}"),
    };
    finding.mended_by(Repair { connection: connection.key, kind, id: id.to_owned(), what })
}

async fn check_number(
    via: &Exchange,
    connection: &Connection,
    sender: &Sender,
    member: Option<bool>,
    webhook_url: Option<&str>,
) -> Checked {
    let state = MetaCloud.fetch_number(via, sender).await;
    let findings = check_seen(via, connection, sender, &state, member, webhook_url).await;
    Checked { findings, numbers: vec![(sender.key, state)] }
}

/// A number, as far as it is what the apply file says, and its webhooks come here.
async fn check_seen(
    via: &Exchange,
    connection: &Connection,
    sender: &Sender,
    state: &Result<NumberState, FetchFailure>,
    member: Option<bool>,
    webhook_url: Option<&str>,
) -> Vec<Finding> {
    let about = format!("number {}", sender.number.as_e164());
    let mut findings = Vec::new();
    match state {
        Ok(state) => findings.extend(check_state(sender, state, &about)),
        Err(failure) => {
            findings.push(Finding::wrong(
                &about,
                format!("it cannot be read under phone_number_id {}: {failure}", sender.provider_number_id),
                "compare phone_number_id with App dashboard → WhatsApp → API setup",
            ));
            return findings;
        }
    }
    if member == Some(false) {
        findings.push(Finding::wrong(
            &about,
            format!("it is not a number of business account {}", sender.provider_account_id),
            "correct waba_id in the apply file: templates are taken from the wrong account",
        ));
    }
    let query = "fields=webhook_configuration";
    let url = format!("{}?{query}", graph_object(connection, &sender.provider_number_id));
    // A version that has no such field refuses the request; then nobody can tell.
    if let Ok(node) = get(via, connection, &url).await.and_then(|answer| read(&answer)) {
        findings.extend(check_route(connection, sender, &about, &node["webhook_configuration"], webhook_url));
    }
    findings
}

fn check_state(sender: &Sender, state: &NumberState, about: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    if let Some(shown) = state.display_number.as_deref().filter(|shown| digits(shown) != sender.number.digits()) {
        findings.push(Finding::wrong(
            about,
            format!("under its phone_number_id Meta has another number, {shown}"),
            "correct number or phone_number_id in the apply file",
        ));
    }
    let warnings = state.warnings();
    findings.extend(
        warnings.iter().map(|warning| {
            Finding::wrong(about, warning.clone(), "see WhatsApp Manager → Phone numbers, which says why")
        }),
    );
    if let Some(advice) = state.advice_on_pace(sender.messages_per_second) {
        findings.push(Finding::doubtful(about, advice, "change messages_per_second in the apply file"));
    }
    if warnings.is_empty() {
        let known = [
            state.name.as_ref().map(|name| format!("“{name}”")),
            Some(format!("quality {}", state.quality.as_str())),
            state.status.as_ref().map(|status| status.to_lowercase()),
            state.throughput_per_second.map(|rate| format!("up to {rate} messages a second")),
            state.messaging_limit.as_ref().map(ToString::to_string),
        ];
        findings.push(Finding::fine(about, known.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    }
    findings
}

/// Where the number's webhooks go, by Meta's order of precedence.
fn check_route(
    connection: &Connection,
    sender: &Sender,
    about: &str,
    configuration: &Value,
    webhook_url: Option<&str>,
) -> Vec<Finding> {
    let Some(ours) = webhook_url else { return vec![] };
    let place = |name: &str| configuration[name].as_str().filter(|url| !url.is_empty());
    let (number, account, app) = (place("phone_number"), place("whatsapp_business_account"), place("application"));
    let same = |url: &str| url.trim_end_matches('/') == ours.trim_end_matches('/');
    let mut findings = match number.or(account).or(app) {
        Some(url) if same(url) => vec![Finding::fine(about, "its webhooks come to this bridge")],
        Some(url) => {
            let (whose, kind, id) = match number {
                Some(_) => ("the number's own override", RepairKind::RouteNumber, &sender.provider_number_id),
                None => ("its business account or app", RepairKind::SubscribeAccount, &sender.provider_account_id),
            };
            let finding = Finding::wrong(
                about,
                format!("its webhooks go to {} (set by {whose}) and not to {ours}", redact::url(url)),
                "run `wabridge check --repair`, or enter our URL at Meta",
            );
            vec![with_repair(finding, connection, kind, id, webhook_url)]
        }
        None => {
            let finding = Finding::doubtful(
                about,
                "Meta does not say where its webhooks go",
                "enter our URL at Meta (App dashboard → WhatsApp → Configuration), or run `wabridge check --repair`",
            );
            vec![with_repair(
                finding,
                connection,
                RepairKind::SubscribeAccount,
                &sender.provider_account_id,
                webhook_url,
            )]
        }
    };
    // Overrides are for messages only.
    if app.is_some_and(|url| !same(url)) {
        findings.push(Finding::doubtful(
            about,
            "news of templates, quality and limits go to the app's own URL, which is not this bridge",
            "enter our URL at App dashboard → WhatsApp → Configuration, or live with lists that are read on a schedule",
        ));
    }
    findings
}

/// Asks our own URL the question that Meta asks, from outside.
async fn check_handshake(via: &Exchange, connection: &Connection, webhook_url: &str, about: &str) -> Finding {
    let Some(token) = usable(connection.secrets(VERIFY_TOKEN)).next() else {
        return Finding::wrong(about, "it has no verify_token", "apply one: Meta asks for it");
    };
    let challenge = rand::rng().random_range(1_000_000_000_u64..10_000_000_000).to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", &challenge)
        .append_pair("hub.verify_token", token.expose_secret())
        .finish();
    let request = OutgoingRequest {
        method: Method::Get,
        url: &format!("{webhook_url}?{query}"),
        headers: vec![],
        body: None,
        timeout: via.request_timeout(),
    };
    let what = match via.send(request).await.result {
        Ok(answer) if answer.status == 200 && answer.body.trim_ascii() == challenge.as_bytes() => {
            return Finding::fine(about, format!("{webhook_url} answers Meta's question as it should"));
        }
        Ok(answer) => format!("answers Meta's question with HTTP {} and not with the challenge", answer.status),
        Err(no_answer) => via.explain(webhook_url, &no_answer).await,
    };
    Finding::wrong(
        about,
        format!("{webhook_url}: {what}"),
        "check that the server runs, that the proxy in front passes /webhooks/ on, and server.public_url",
    )
}

async fn list_numbers(via: &Exchange, connection: &Connection, account: &str) -> Result<BTreeSet<String>, Refused> {
    let mut ids = BTreeSet::new();
    let mut after: Option<String> = None;
    for _ in 0..NUMBER_PAGES_MAX {
        let url = numbers_url(connection, account, after.as_deref());
        let page = read(&get(via, connection, &url).await?)?;
        let numbers = page["data"].as_array().map_or(&[][..], Vec::as_slice);
        ids.extend(numbers.iter().filter_map(|number| number["id"].as_str().map(str::to_owned)));
        // Graph's own `next` holds the token: only its presence is of use.
        after = page["paging"]["cursors"]["after"]
            .as_str()
            .filter(|_| !page["paging"]["next"].is_null())
            .map(str::to_owned);
        if after.is_none() {
            return Ok(ids);
        }
    }
    let text = format!("it has more than {} numbers", NUMBER_PAGES_MAX * NUMBERS_PER_PAGE);
    Err(Refused { answered: true, token: false, text })
}

fn numbers_url(connection: &Connection, account: &str, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("fields", "id").append_pair("limit", &NUMBERS_PER_PAGE.to_string());
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    format!("{}?{}", graph_url(connection, account, "phone_numbers"), query.finish())
}

pub(super) async fn repair(
    via: &Exchange,
    connection: &Connection,
    repair: &Repair,
    webhook_url: &str,
) -> Result<(), FetchFailure> {
    let token = usable(connection.secrets(VERIFY_TOKEN)).next();
    let token = token.ok_or_else(|| FetchFailure("the connection has no verify_token".to_owned()))?;
    let route = json!({"override_callback_uri": webhook_url, "verify_token": token.expose_secret()});
    let (url, body) = match repair.kind {
        RepairKind::SubscribeAccount => (graph_url(connection, &repair.id, "subscribed_apps"), route),
        RepairKind::RouteNumber => (graph_object(connection, &repair.id), json!({"webhook_configuration": route})),
    };
    let answer = ask(via, connection, Method::Post, &url, Some(body.to_string())).await;
    answer.and_then(|answer| read(&answer)).map(drop).map_err(|refused| FetchFailure(refused.text))
}

async fn get(via: &Exchange, connection: &Connection, url: &str) -> Result<Answer, Refused> {
    ask(via, connection, Method::Get, url, None).await
}

async fn ask(
    via: &Exchange,
    connection: &Connection,
    method: Method,
    url: &str,
    body: Option<String>,
) -> Result<Answer, Refused> {
    let no_token = || Refused { answered: true, token: true, text: "the connection has no access_token".to_owned() };
    let headers = vec![authorization(connection).ok_or_else(no_token)?];
    let request = OutgoingRequest { method, url, headers, body, timeout: via.request_timeout() };
    match via.send(request).await.result {
        Ok(answer) => Ok(answer),
        Err(no_answer) => Err(Refused { answered: false, token: false, text: via.explain(url, &no_answer).await }),
    }
}

/// The JSON of a success.
fn read(answer: &Answer) -> Result<Value, Refused> {
    if answer.status != 200 {
        /// Graph's codes for a token that is not valid, or not any more.
        const BAD_TOKEN: [i64; 2] = [0, 190];
        let (code, text) = errors::describe(answer.status, &answer.body);
        let token = answer.status == 401 || code.is_some_and(|code| BAD_TOKEN.contains(&code));
        return Err(Refused { answered: true, token, text: redact::text(&text) });
    }
    serde_json::from_slice(&answer.body).map_err(|error| Refused {
        answered: true,
        token: false,
        text: format!("the answer cannot be read: {error}"),
    })
}

impl Refused {
    /// As a finding, when something could not be done because of it.
    fn finding(&self, about: &str, what: &str) -> Finding {
        let remedy = match (self.answered, self.token) {
            (false, _) => "check the network, security.https_proxy, and base_url of the connection",
            (true, true) => {
                "generate a new token of the system user, apply it as access_token, then `wabridge release`"
            }
            (true, false) => "check that the system user has the business account among its assets, with full control",
        };
        Finding::wrong(about, format!("could not {what}: {}", self.text), remedy)
    }
}
