//! Takes an example through the provider's own trait to a server on loopback.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use wabridge::{
    domain::{
        account::{Connection, Sender, SenderPolicy},
        channel::NumberState,
        failure::{SendFailure, Submitted},
        ids::{AccountKey, ConnectionKey, SenderKey},
        phone::PhoneNumber,
        template::ListedTemplate,
        time::UnixMillis,
    },
    net::exchange::{Exchange, ExchangeLimits},
    providers::{FetchFailure, Provider},
};

use crate::{
    message::ExampleMessage,
    server::{Answer, Asked, Server},
};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct SendCase {
    message: ExampleMessage,
    settings: BTreeMap<String, String>,
    swapped: bool,
    answer: Answer,
}

pub(crate) struct Sent {
    /// The request as the other side saw it; nothing when it saw none.
    pub(crate) request: Option<Value>,
    pub(crate) outcome: Result<Submitted, SendFailure>,
}

/// Sends the example's message and returns what both sides saw.
pub(crate) fn send(provider: &dyn Provider, case: &Value) -> Sent {
    let case: SendCase = serde_json::from_value(case.clone()).expect("the example has the right shape");
    runtime().block_on(async {
        let server = Server::start(vec![case.answer]).await;
        let from = sender(provider, &server.url, case.settings);
        let outcome = provider.send(&exchange(), &from, &case.message.into_message(), case.swapped).await;
        let request = server.stop().pop().map(|asked| request_as_json(&asked));
        Sent { request, outcome }
    })
}

fn request_as_json(asked: &Asked) -> Value {
    let mut request = json!({
        "line": asked.line,
        "authorization": asked.authorization,
        "body": serde_json::from_str::<Value>(&asked.body).expect("a send is JSON"),
    });
    if !asked.headers.is_empty() {
        request["headers"] = json!(asked.headers);
    }
    request
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListingCase {
    named: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    answers: Vec<Answer>,
}

pub(crate) struct Listed {
    pub(crate) requests: Vec<String>,
    pub(crate) templates: Result<Vec<ListedTemplate>, FetchFailure>,
}

/// Fetches the example's templates.
pub(crate) fn fetch_templates(provider: &dyn Provider, case: &Value) -> Listed {
    let case: ListingCase = serde_json::from_value(case.clone()).expect("the example has the right shape");
    runtime().block_on(async {
        let server = Server::start(case.answers).await;
        let from = sender(provider, &server.url, case.settings);
        let templates = provider.fetch_templates(&exchange(), &from, case.named.as_deref()).await;
        let requests = server.stop().into_iter().map(|asked| asked.line).collect();
        Listed { requests, templates }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberCase {
    #[serde(default)]
    settings: BTreeMap<String, String>,
    answers: Vec<Answer>,
}

/// Asks how the provider sees the example's number: what was asked, and what came of it.
pub(crate) fn fetch_number(provider: &dyn Provider, case: &Value) -> (Vec<String>, Result<NumberState, FetchFailure>) {
    let case: NumberCase = serde_json::from_value(case.clone()).expect("the example has the right shape");
    runtime().block_on(async {
        let server = Server::start(case.answers).await;
        let sender = sender(provider, &server.url, case.settings);
        let state = provider.fetch_number(&exchange(), &sender).await;
        (server.stop().into_iter().map(|asked| asked.line).collect(), state)
    })
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built")
}

pub(crate) fn exchange() -> Exchange {
    Exchange::new(ExchangeLimits {
        connect_timeout: Duration::from_secs(30),
        request_timeout: Duration::from_secs(60),
        answer_bytes_max: 65_536,
        allow_private_networks: true,
        proxy: None,
        connections_idle_per_host_max: 1,
    })
    .expect("the client can be built")
}

/// A sender whose connection has the provider's defaults, the example's settings, and for every secret a
/// value that can be recognised.
pub(crate) fn sender(provider: &dyn Provider, base_url: &str, given: BTreeMap<String, String>) -> Sender {
    let (secrets, settings): (Vec<_>, Vec<_>) = provider.settings().iter().partition(|field| field.secret);
    let default = |name: &str, default: Option<&str>| (name.to_owned(), default.unwrap_or_default().to_owned());
    let mut settings: BTreeMap<_, _> = settings.into_iter().map(|field| default(field.name, field.default)).collect();
    settings.insert("base_url".to_owned(), base_url.to_owned());
    settings.extend(given);
    let secret = |name: &str| (name.to_owned(), vec![SecretString::from(format!("the-{name}"))]);
    let connection = Connection {
        key: ConnectionKey(1),
        id: "example".to_owned(),
        provider: provider.slug().to_owned(),
        settings,
        secrets: secrets.into_iter().map(|field| secret(field.name)).collect(),
        hold: None,
        changed_at: UnixMillis(0),
    };
    Sender {
        key: SenderKey(1),
        account: AccountKey(1),
        connection: Arc::new(connection),
        number: PhoneNumber::from_international("+918880110022").expect("a number"),
        provider_number_id: "100000000000001".to_owned(),
        provider_account_id: "200000000000001".to_owned(),
        messages_per_second: 80,
        pace: 80,
        policy: SenderPolicy::default(),
        hold: None,
    }
}
