//! What the whole circle is compared with: a bridge in memory, as somebody would write it in an afternoon. It sends while its
//! caller waits, remembers in a map which id belongs to which message, and posts each status to the callback URL before it
//! answers the webhook. It stores nothing, repeats nothing, keeps no pace and no order, and checks nobody: what it has is speed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    App, HttpResponse, HttpServer,
    web::{self, Data, Json},
};
use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    super::answer,
    scene::{FAST_NUMBER_ID, TOKEN},
};

const IDLE_CONNECTIONS_MAX: usize = 512;
/// Callers that wait to be let in.
const BACKLOG: u32 = 4096;

struct Rival {
    peers: SocketAddr,
    client: reqwest::Client,
    /// WhatsApp's ids, and the message ids of the platform.
    sent: Mutex<HashMap<String, String>>,
}

/// Serves until it is ended. At `peers` are WhatsApp and the callback URL.
pub(super) async fn serve(peers: SocketAddr) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build()
        .context("could not make an HTTP client")?;
    let rival = Arc::new(Rival { peers, client, sent: Mutex::default() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::from(rival.clone()))
            .route("/clevertap/{account}/messages", web::post().to(send))
            .route("/webhook", web::post().to(webhook))
    })
    .workers(std::thread::available_parallelism().map_or(1, usize::from))
    .backlog(BACKLOG)
    .bind("127.0.0.1:0")
    .context("could not listen on the loopback address")?;
    let address = *server.addrs().first().context("a server that is bound has an address")?;
    answer(&format!("http://{address}\n"))?;
    server.run().await.context("the rival ended badly")
}

async fn send(rival: Data<Rival>, message: Json<Value>) -> HttpResponse {
    let url = format!("http://{}/v26.0/{FAST_NUMBER_ID}/messages", rival.peers);
    let answer = match rival.client.post(url).bearer_auth(TOKEN).json(&for_whatsapp(&message)).send().await {
        Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
        Err(error) => return HttpResponse::BadGateway().body(error.to_string()),
    };
    let Some(id) = answer["messages"][0]["id"].as_str() else {
        return HttpResponse::BadGateway().json(answer);
    };
    let message_id = message["msgId"].as_str().unwrap_or_default();
    rival.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), message_id.to_owned());
    HttpResponse::Ok().json(json!({"status": "success"}))
}

fn for_whatsapp(message: &Value) -> Value {
    let components = message["components"].as_array().into_iter().flatten();
    let components: Vec<Value> =
        components.map(|component| json!({"type": "body", "parameters": component["body"]["parameters"]})).collect();
    json!({
        "messaging_product": "whatsapp",
        "to": message["to"],
        "type": "template",
        "template": {
            "name": message["template"]["namespace"],
            "language": {"code": message["template"]["languageCode"]},
            "components": components,
        },
    })
}

async fn webhook(rival: Data<Rival>, body: Json<Value>) -> HttpResponse {
    let statuses = body["entry"][0]["changes"][0]["value"]["statuses"].as_array();
    for status in statuses.into_iter().flatten() {
        let id = status["id"].as_str().unwrap_or_default();
        let message_id = rival.sent.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        // The webhook was faster than the answer to the send; WhatsApp comes again.
        let Some(message_id) = message_id else { return HttpResponse::ServiceUnavailable().finish() };
        let report = json!({
            "payloadVersion": "0.1",
            "statuses": [{"msgId": message_id, "status": status["status"], "timestamp": status["timestamp"]}],
        });
        let url = format!("http://{}/clevertap/delivery-reports", rival.peers);
        // Nobody repeats what fails here.
        drop(rival.client.post(url).json(&report).send().await);
    }
    HttpResponse::Ok().finish()
}
