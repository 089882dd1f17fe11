//! Somebody's server that webhooks are sent to: it keeps what came, and answers as it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    answers: VecDeque<u16>,
    always: Option<u16>,
    /// What stands in each answer beside its status.
    headers: Vec<(String, String)>,
    body: String,
    /// Only who shows this gets in; everybody else gets 401.
    token: Option<String>,
    tokens_given: usize,
    /// No request is answered before this says so; and how many wait for that, now and at most.
    held: Option<Arc<Semaphore>>,
    waiting: usize,
    waiting_most: usize,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The name of the event.
    pub(crate) fn event(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// A running one. It stops when it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    state: web::Data<Mutex<State>>,
    server: ServerHandle,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let state = web::Data::new(Mutex::new(State::default()));
        let shared = state.clone();
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .expect("loopback has a free port");
        let url = format!("http://{}", server.addrs().first().expect("it is bound"));
        let running = server.run();
        let server = running.handle();
        tokio::spawn(running);
        Self { url, state, server }
    }

    /// What came to the hook, in the order of its coming.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let state = self.state.lock().expect("no holder can panic");
        state.requests.iter().filter(|request| request.path != "/token").cloned().collect()
    }

    /// What came to where tokens are given.
    pub(crate) fn asked_for_token(&self) -> Vec<Request> {
        let state = self.state.lock().expect("no holder can panic");
        state.requests.iter().filter(|request| request.path == "/token").cloned().collect()
    }

    pub(crate) fn tokens_given(&self) -> usize {
        self.state.lock().expect("no holder can panic").tokens_given
    }

    /// The next requests get these answers.
    pub(crate) fn answer_next(&self, statuses: &[u16]) {
        self.state.lock().expect("no holder can panic").answers.extend(statuses);
    }

    /// All others get this one.
    pub(crate) fn answer_always(&self, status: u16) {
        self.state.lock().expect("no holder can panic").always = Some(status);
    }

    /// Each answer has these headers and this body.
    pub(crate) fn answer_with(&self, headers: &[(&str, &str)], body: &str) {
        let mut state = self.state.lock().expect("no holder can panic");
        state.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        body.clone_into(&mut state.body);
    }

    /// Requests are taken, and not answered before [`Self::let_go`].
    pub(crate) fn hold(&self) {
        self.state.lock().expect("no holder can panic").held = Some(Arc::new(Semaphore::new(0)));
    }

    pub(crate) fn let_go(&self) {
        if let Some(held) = self.state.lock().expect("no holder can panic").held.take() {
            held.close();
        }
    }

    /// So many requests waited for their answers at the same time, at most.
    pub(crate) fn waiting_most(&self) -> usize {
        self.state.lock().expect("no holder can panic").waiting_most
    }

    /// Only the token with this number opens.
    pub(crate) fn wants_token(&self, number: usize) {
        self.state.lock().expect("no holder can panic").token = Some(format!("Bearer token-{number}"));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn wait_while_held(state: &Mutex<State>) {
    let held = {
        let mut state = state.lock().expect("no holder can panic");
        let Some(held) = state.held.clone() else { return };
        state.waiting += 1;
        state.waiting_most = state.waiting_most.max(state.waiting);
        held
    };
    // It is never given, but closed.
    drop(held.acquire().await);
    state.lock().expect("no holder can panic").waiting -= 1;
}

async fn answer(request: HttpRequest, body: web::Bytes, state: web::Data<Mutex<State>>) -> HttpResponse {
    wait_while_held(&state).await;
    let mut state = state.lock().expect("no holder can panic");
    let headers = request.headers().iter();
    let headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let came = Request {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let authorization = came.header("authorization").to_owned();
    let path = came.path.clone();
    state.requests.push(came);
    match path.as_str() {
        "/token" => {
            state.tokens_given += 1;
            let token = format!("token-{}", state.tokens_given);
            HttpResponse::Ok().json(json!({"access_token": token, "token_type": "bearer", "expires_in": 3600}))
        }
        "/elsewhere" => HttpResponse::Found().insert_header(("location", "/hook")).finish(),
        _ if state.token.as_ref().is_some_and(|token| *token != authorization) => HttpResponse::Unauthorized().finish(),
        _ => {
            let status = state.answers.pop_front().or(state.always).unwrap_or(204);
            let mut answer = HttpResponse::build(actix_web::http::StatusCode::from_u16(status).expect("a status"));
            for (name, value) in &state.headers {
                answer.append_header((name.as_str(), value.as_str()));
            }
            if state.body.is_empty() { answer.finish() } else { answer.body(state.body.clone()) }
        }
    }
}
