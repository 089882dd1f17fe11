//! What Graph says about a connection: its token, its numbers, their templates, and where webhooks go.
//!
//! Webhooks of messages go to a number's own URL, else to its business account's, else to the app's; everything else goes to
//! the app's. All of it only once the app is subscribed to the business account. The app's own URL is set by hand in Meta's
//! dashboard; the other two can be set from here. A number's node shows all three.

mod number;
pub(super) mod repair;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rand::RngExt as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    MetaCloud, Provider as _,
    settings::{VERIFY_TOKEN, authorization, graph_url},
};
use crate::{
    clock,
    domain::{
        account::{Connection, Sender},
        finding::{Finding, RepairKind, Topic},
        template::TemplateStatus,
    },
    net::{
        exchange::{Answer, Exchange, Method, OutgoingRequest},
        redact,
    },
    providers::{
        Checked,
        cloud_api::{errors, findings},
        usable,
    },
};

/// Numbers asked about at once.
const AT_ONCE_MAX: usize = 4;
const NUMBERS_PER_PAGE: usize = 100;
const NUMBER_PAGES_MAX: usize = 20;
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
    let started = Instant::now();
    let (findings, unseen) = check_token(via, connection, &about).await;
    let took = started.elapsed();
    let findings = findings.into_iter().map(|finding| finding.within(took)).collect();
    let mut checked = Checked { findings, numbers: vec![] };
    let mut accounts: BTreeMap<&str, Vec<&Arc<Sender>>> = BTreeMap::new();
    for sender in senders {
        accounts.entry(&sender.provider_account_id).or_default().push(sender);
    }
    for (account, senders) in accounts {
        match unseen {
            None => checked.extend(check_account(via, connection, account, &senders, webhook_url).await),
            Some(unseen) => checked.findings.extend(not_seen(account, &senders, unseen)),
        }
    }
    let started = Instant::now();
    let handshake = match webhook_url {
        Some(url) => check_handshake(via, connection, url, &about).await.within(started.elapsed()),
        None => Finding::not_checked(
            about,
            "nobody has said how the world reaches this bridge, so its URL cannot be tried",
            "set server.public_url, and check again",
        ),
    };
    checked.findings.push(handshake.on(Topic::WebhookUrl));
    checked
}

/// Why nothing else can be looked at, and what to mend first.
#[derive(Clone, Copy)]
struct Unseen {
    why: &'static str,
    remedy: &'static str,
}

const UNREACHABLE: Unseen = Unseen { why: "Meta cannot be reached", remedy: "mend the way to Meta first" };
const REFUSED: Unseen =
    Unseen { why: "Meta says nothing without a token that it takes", remedy: "mend the access token first" };

fn not_seen(account: &str, senders: &[&Arc<Sender>], Unseen { why, remedy }: Unseen) -> Vec<Finding> {
    const OF_ACCOUNT: [Topic; 2] = [Topic::Templates, Topic::Subscription];
    let unseen = |about: String, topics: &[Topic]| -> Vec<Finding> {
        let unseen = |topic: &Topic| Finding::not_checked(&about, why, remedy).on(*topic);
        topics.iter().map(unseen).collect()
    };
    let mut findings = unseen(format!("business account {account}"), &OF_ACCOUNT);
    for sender in senders {
        findings.extend(unseen(findings::about(sender), &[Topic::Number]));
        findings.extend(unseen(findings::about(sender), &findings::SEEN_WITH_IT));
    }
    findings
}

/// What is known of the token, and why it is of no use, when it is of none.
async fn check_token(via: &Exchange, connection: &Connection, about: &str) -> (Vec<Finding>, Option<Unseen>) {
    let answer = match get(via, connection, &graph_url(connection, "me", "permissions")).await {
        Ok(answer) => answer,
        Err(refused) => {
            let finding = refused.finding(about, "ask Meta about the access token");
            let unseen = if refused.answered { REFUSED } else { UNREACHABLE };
            return (vec![finding.on(Topic::Credentials)], Some(unseen));
        }
    };
    let mut findings: Vec<Finding> = clocks_apart(&answer).into_iter().collect();
    let refused = read(&answer).err();
    if let Some(refused) = refused.filter(|refused| refused.token) {
        findings.push(refused.finding(about, "use the access token").on(Topic::Credentials));
        return (findings, Some(REFUSED));
    }
    let finding = match granted(&answer) {
        // Not every kind of token can be asked what it may; what needs a permission shows it below.
        None => Finding::fine(about, "the access token is taken; Meta does not tell its permissions"),
        Some(granted) => match PERMISSIONS.iter().filter(|name| !granted.contains(**name)).collect::<Vec<_>>() {
            missing if missing.is_empty() => {
                Finding::fine(about, format!("the access token works, with {}", PERMISSIONS.join(" and ")))
            }
            missing => Finding::wrong(
                about,
                format!("the access token lacks {}", missing.into_iter().copied().collect::<Vec<_>>().join(" and ")),
                "generate a token of the system user with both permissions, and give it to the connection as access_token",
            ),
        },
    };
    findings.push(finding.on(Topic::Credentials));
    (findings, None)
}

fn granted(answer: &Answer) -> Option<BTreeSet<String>> {
    let list = read(answer).ok()?;
    let entries = list["data"].as_array()?.iter();
    let granted = entries.filter(|entry| entry["status"] == "granted");
    Some(granted.filter_map(|entry| entry["permission"].as_str().map(str::to_owned)).collect())
}

fn clocks_apart(answer: &Answer) -> Option<Finding> {
    let apart_ms = answer.date?.0.abs_diff(clock::now().0);
    let finding = if apart_ms <= CLOCKS_APART_MAX_MS {
        Finding::fine("clock", "this machine and Meta agree on the time")
    } else {
        Finding::wrong(
            "clock",
            format!("this machine's clock and Meta's are {} s apart", apart_ms / 1000),
            "let the machine set its clock by NTP: messages expire, and statuses are ordered, by it",
        )
    };
    Some(finding.on(Topic::Clock))
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
    let ((members, _), (subscription, subscription_took), (templates, templates_took)) = tokio::join!(
        timed(list_numbers(via, connection, account)),
        timed(get(via, connection, &subscriptions_url)),
        timed(check_templates(via, senders[0], &about)),
    );
    let subscription = match subscription.and_then(|answer| read(&answer)).map(|list| subscribed(&list)) {
        Ok(Some(subscribed)) => check_subscription(connection, account, &about, subscribed, webhook_url),
        Ok(None) => Finding::doubtful(
            &about,
            "Meta's answer does not say to which apps it is subscribed",
            "look at WhatsApp Manager, and check again later",
        ),
        Err(refused) => refused.finding(&about, "read to which apps it is subscribed"),
    };
    let mut findings = vec![
        templates.on(Topic::Templates).within(templates_took),
        subscription.on(Topic::Subscription).within(subscription_took),
    ];
    if let Err(refused) = &members {
        findings.push(refused.finding(&about, "list its numbers").on(Topic::Number));
    }
    let mut asked = Vec::with_capacity(senders.len());
    for sender in senders {
        let member = members.as_ref().ok().map(|members| members.contains(&sender.provider_number_id));
        asked.push(number::check(via, connection, sender, member, webhook_url));
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
        "press “Fix channel issue” in the console, or run `wabridge check --repair`",
    );
    repair::offered(finding, connection, RepairKind::SubscribeAccount, account, webhook_url)
}

/// What somebody waited for, and for how long.
async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    (what.await, started.elapsed())
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
    let request = OutgoingRequest { method, url, headers, body: body.map(Into::into), timeout: via.request_timeout() };
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
                "generate a new token of the system user and enter it as access_token; if the connection is on hold, release it"
            }
            (true, false) => "check that the system user has the business account among its assets, with full control",
        };
        Finding::wrong(about, format!("could not {what}: {}", self.text), remedy)
    }
}
