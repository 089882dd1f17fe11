//! The stage: a simulator, a receiver of its webhooks, and a client.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use wabridge::simulator::{Handle, SimulatedSender, Simulator, SimulatorSettings, Stats};

pub(crate) const SENDER: &str = "100000000000001";
pub(crate) const WABA: &str = "200000000000001";
pub(crate) const PERSON: &str = "+919876512345";
pub(crate) const TOKEN: &str = "simulator-access-token";
/// What the receiver wants to hear before it takes webhooks.
pub(crate) const VERIFY_TOKEN: &str = "a-shared-word";
const PATIENCE: Duration = Duration::from_secs(40);

/// A simulator, a receiver of its webhooks, and a client.
pub(crate) struct TestWorld {
    pub(crate) simulator: Simulator,
    pub(crate) handle: Handle,
    pub(crate) receiver: Receiver,
    pub(crate) client: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// Null if it is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// Meta's code, 0 for none.
    pub(crate) fn code(&self) -> u64 {
        self.body["error"]["code"].as_u64().unwrap_or(0)
    }
}

impl TestWorld {
    pub(crate) async fn start(mut settings: SimulatorSettings) -> Self {
        let receiver = Receiver::start();
        settings.knobs.webhook_url = Some(receiver.url.clone());
        let simulator = Simulator::start(settings).await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { handle: simulator.handle(), simulator, receiver, client }
    }

    pub(crate) async fn until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        self.handle.wait_until(wanted, PATIENCE).await.expect("it happens soon")
    }

    pub(crate) async fn send(&self, message: &Value) -> Answer {
        self.try_send(message).await.expect("an answer")
    }

    pub(crate) async fn try_send(&self, message: &Value) -> Result<Answer, reqwest::Error> {
        self.post_as(SENDER, "messages", message, TOKEN).await
    }

    pub(crate) async fn post_as(
        &self,
        number: &str,
        endpoint: &str,
        message: &Value,
        token: &str,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v26.0/{number}/{endpoint}", self.simulator.url());
        read(self.client.post(url).bearer_auth(token).json(message).send().await?).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let url = format!("{}{path}", self.simulator.url());
        let answer = self.client.post(url).json(&body).send().await.expect("an answer");
        read(answer).await.expect("a body")
    }
}

pub(crate) async fn read(answer: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    Ok(Answer { status, retry_after, body })
}

/// Stands where the bridge would.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inbox: Arc<Mutex<Inbox>>,
    server: ServerHandle,
}

#[derive(Default)]
pub(crate) struct Inbox {
    webhooks: Vec<Webhook>,
    answers: VecDeque<u16>,
}

#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) body: Vec<u8>,
    signature: String,
    answer: u16,
}

impl Webhook {
    pub(crate) fn is_signed(&self) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"simulator-app-secret").expect("HMAC takes a key of any length");
        mac.update(&self.body);
        let signature = hex::decode(self.signature.strip_prefix("sha256=").unwrap_or_default()).unwrap_or_default();
        mac.verify_slice(&signature).is_ok()
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let shared = web::Data::from(Arc::clone(&inbox));
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route("/", web::post().to(take)).route("/", web::get().to(verify))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let url = format!("http://{}/", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, inbox, server: handle }
    }

    pub(crate) fn answer_next_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.lock().expect("nobody panicked").answers.extend(statuses);
    }

    pub(crate) fn webhooks(&self) -> Vec<Webhook> {
        self.inbox.lock().expect("nobody panicked").webhooks.clone()
    }

    pub(crate) fn changes(&self) -> Vec<Value> {
        let taken = self.webhooks().into_iter().filter(|webhook| webhook.answer == 200);
        let bodies = taken.map(|webhook| serde_json::from_slice::<Value>(&webhook.body).expect("JSON"));
        let entries = bodies.flat_map(|body| body["entry"].as_array().expect("entries").clone());
        entries.flat_map(|entry| entry["changes"].as_array().expect("changes").clone()).collect()
    }

    pub(crate) fn of_all_changes(&self, key: &str) -> Vec<Value> {
        let lists = self.changes().into_iter().filter_map(|change| change["value"][key].as_array().cloned());
        lists.flatten().collect()
    }

    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.of_all_changes("statuses")
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        self.of_all_changes("messages")
    }

    /// The statuses of the message with this callback data, in their order of arrival.
    pub(crate) fn statuses_of(&self, callback_data: &str) -> Vec<String> {
        let of_message = |status: &Value| status["biz_opaque_callback_data"] == callback_data;
        let statuses = self.statuses().into_iter().filter(of_message);
        statuses.map(|status| status["status"].as_str().expect("a status").to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn take(inbox: web::Data<Mutex<Inbox>>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let signature = request.headers().get("X-Hub-Signature-256").and_then(|value| value.to_str().ok());
    let mut inbox = inbox.lock().expect("nobody panicked");
    let answer = inbox.answers.pop_front().unwrap_or(200);
    let signature = signature.unwrap_or_default().to_owned();
    inbox.webhooks.push(Webhook { body: body.to_vec(), signature, answer });
    HttpResponse::build(StatusCode::from_u16(answer).expect("a status of HTTP")).finish()
}

/// Meta's handshake.
async fn verify(query: web::Query<HashMap<String, String>>) -> HttpResponse {
    if query.get("hub.verify_token").is_none_or(|token| token != VERIFY_TOKEN) {
        return HttpResponse::Forbidden().finish();
    }
    HttpResponse::Ok().body(query.get("hub.challenge").cloned().unwrap_or_default())
}

/// So that webhooks arrive in the order in which they are due.
pub(crate) fn one_webhook_at_a_time() -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    settings.knobs.webhooks_in_flight_max = 1;
    settings
}

pub(crate) fn sender(phone_number_id: &str, messages_per_second: Option<u32>) -> SimulatedSender {
    SimulatedSender {
        phone_number_id: phone_number_id.to_owned(),
        display_number: "918880110022".to_owned(),
        waba_id: "2001".to_owned(),
        messages_per_second,
    }
}

pub(crate) fn texts(values: &[&str]) -> Value {
    values.iter().map(|value| json!({"type": "text", "text": value})).collect()
}

pub(crate) fn order_update(to: &str, callback_data: &str) -> Value {
    let body = json!([{"type": "body", "parameters": texts(&["Asha", "A-17"])}]);
    template(to, callback_data, "order_update", "en", body)
}

/// An authentication template's code stands in its text and behind its button.
pub(crate) fn login_code(code: &str) -> Value {
    let button = json!({"type": "button", "sub_type": "url", "index": "0", "parameters": texts(&[code])});
    json!([{"type": "body", "parameters": texts(&[code])}, button])
}

pub(crate) fn template(to: &str, callback_data: &str, name: &str, language: &str, components: Value) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "template",
        "biz_opaque_callback_data": callback_data,
        "template": {"name": name, "language": {"code": language}, "components": components}})
}

impl TestWorld {
    /// Any Graph call: `GET`, `POST` or `DELETE` of a path after the version.
    pub(crate) async fn graph(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method of HTTP");
        let url = format!("{}/v26.0/{path}", self.simulator.url());
        let request = self.client.request(method, url).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        read(request.send().await.expect("an answer")).await.expect("a body")
    }

    /// Fetches a media URL with the token, or without.
    pub(crate) async fn fetch(&self, url: &str, token: Option<&str>) -> (u16, Vec<u8>) {
        let request = self.client.get(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
    }
}
