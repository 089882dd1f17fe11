//! What the accepts are compared with: an actix-web server, set up like the bridge's, whose one handler
//! reads the same body into typed structs with serde and says "success". It checks no credentials and
//! knows no template.
//!
//! - *Bare*, it stores nothing: no server in this language and framework does less.
//! - *Durable*, it answers when the body is committed, by group commit, as one row of one table in a database like the
//!   bridge's: no server that keeps its word does less.

use std::time::Duration;

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::ContentType,
    web::{self, Bytes, Data},
};
use anyhow::Context as _;
use serde::Deserialize;
use wabridge::{settings, settings::Settings, store::yardstick::Yardstick};

use super::super::answer;

/// As the bridge's.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const CONNECTIONS_MAX: usize = 25_000;

/// Everything in the body of the load, owned, as the bridge reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading is all that this handler does")]
struct Message {
    to: String,
    waba_number: String,
    is_template: bool,
    msg_id: String,
    template: Template,
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading is all that this handler does")]
struct Template {
    namespace: String,
    language_code: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is all that this handler does")]
struct Component {
    #[serde(rename = "type")]
    kind: String,
    body: Block,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is all that this handler does")]
struct Block {
    text: String,
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is all that this handler does")]
struct Parameter {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

async fn take(store: Data<Option<Yardstick>>, body: Bytes) -> HttpResponse {
    match serde_json::from_slice::<Message>(&body) {
        Ok(message) => {
            drop(std::hint::black_box(message));
            if let Some(store) = store.as_ref()
                && !store.keep(body).await
            {
                return HttpResponse::InternalServerError().body("could not keep it");
            }
            HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"status":"success"}"#)
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

/// Serves until it is ended. With the URL of a database it is durable.
pub(super) async fn serve(database: Option<&str>) -> anyhow::Result<()> {
    let store = match database {
        Some(url) => {
            let database = settings::Database { url: url.to_owned().into(), ..Settings::defaults().database };
            Some(Yardstick::start(&database).await?)
        }
        None => None,
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let store = Data::new(store);
    let route = "/clevertap/{account}/messages";
    let server = HttpServer::new(move || App::new().app_data(store.clone()).route(route, web::post().to(take)))
        .workers(workers)
        .max_connections(CONNECTIONS_MAX)
        .keep_alive(KEEP_ALIVE)
        .bind("127.0.0.1:0")
        .context("could not listen on the loopback address")?;
    let address = *server.addrs().first().context("a server that is bound has an address")?;
    answer(&format!("http://{address}\n"))?;
    server.run().await.context("the bare server ended badly")
}

#[cfg(test)]
mod tests {
    use super::{super::message::MessageRequest, *};

    #[test]
    fn the_bare_handler_reads_the_message_of_the_load() {
        let mut request = MessageRequest::new("+918880110022", "any");
        let text = String::from_utf8(request.numbered(7).to_vec()).expect("a request is text");
        let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");

        let message: Message = serde_json::from_str(body).expect("all that the struct asks for");

        assert_eq!(message.to, "+919800000007");
        assert_eq!(message.components[0].body.parameters[1].text, "A-17");
    }
}
