//! Where webhooks go, as the app's owner sets it: a subscription of a business account, an override of it or of a number,
//! after the URL has proved by Meta's handshake that it wants them.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{APP_ID, known_waba};
use crate::simulator::{
    graph::{self, Permission, refusal, unknown_object},
    rules::Refusal,
    state::World,
};

const OVERRIDE_URL_CHARS_MAX: usize = 200;
const HANDSHAKE_MS_MAX: u64 = 5_000;
const CHALLENGE_BYTES_MAX: usize = 1_024;

pub(super) async fn get_subscribed_apps(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    let allowed = graph::authorize(&world, &request, Permission::Management);
    graph::answer(allowed.and_then(|()| known_waba(&world, &request)).map(|waba_id| {
        let nodes = world.nodes();
        let mut app = json!({"whatsapp_business_api_data":
            {"id": APP_ID, "name": "wabridge", "link": format!("https://www.facebook.com/games/?app_id={APP_ID}")}});
        if let Some(url) = nodes.waba_overrides.get(&waba_id) {
            app["override_callback_uri"] = json!(url.as_ref());
        }
        let apps = if nodes.unsubscribed.contains(&waba_id) { Vec::new() } else { vec![app] };
        HttpResponse::Ok().json(json!({"data": apps}))
    }))
}

pub(super) async fn delete_subscribed_apps(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    let allowed = graph::authorize(&world, &request, Permission::Management);
    graph::answer(allowed.and_then(|()| known_waba(&world, &request)).map(|waba_id| {
        world.nodes().subscribe(&waba_id, false);
        graph::success()
    }))
}

/// An override as both calls write it.
#[derive(Default, Deserialize)]
struct OverrideBody {
    override_callback_uri: Option<String>,
    verify_token: Option<String>,
}

pub(super) async fn post_subscribed_apps(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    graph::answer(subscribe(&world, &request, &body).await)
}

async fn subscribe(world: &World, request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, Refusal> {
    graph::authorize(world, request, Permission::Management)?;
    let waba_id = known_waba(world, request)?;
    let wanted: OverrideBody = if body.is_empty() { OverrideBody::default() } else { parse(body)? };
    let url = check_override(world, &wanted).await?;
    let mut nodes = world.nodes();
    nodes.subscribe(&waba_id, true);
    // A subscription without an override takes the old one away.
    match url {
        Some(url) => drop(nodes.waba_overrides.insert(waba_id, url)),
        None => drop(nodes.waba_overrides.remove(&waba_id)),
    }
    Ok(graph::success())
}

#[derive(Deserialize)]
struct NodeBody {
    webhook_configuration: Option<OverrideBody>,
}

pub(super) async fn post_node(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    graph::answer(configure(&world, &request, &body).await)
}

async fn configure(world: &World, request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, Refusal> {
    graph::authorize(world, request, Permission::Management)?;
    let id = request.match_info().get("id").unwrap_or_default();
    let sender = world.sender(id).ok_or_else(|| unknown_object(id))?;
    let wanted = parse::<NodeBody>(body)?
        .webhook_configuration
        .ok_or_else(|| refusal(100, "The parameter webhook_configuration is required."))?;
    let url = check_override(world, &wanted).await?;
    let mut nodes = world.nodes();
    match url {
        Some(url) => drop(nodes.number_overrides.insert(sender.phone_number_id.clone(), url)),
        None => drop(nodes.number_overrides.remove(&sender.phone_number_id)),
    }
    Ok(graph::success())
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refusal(100, format!("The body: {error}")))
}

/// The override's URL, which has proved that it wants webhooks; `None` when there is to be none.
async fn check_override(world: &World, wanted: &OverrideBody) -> Result<Option<Arc<str>>, Refusal> {
    let Some(url) = wanted.override_callback_uri.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
    let token = wanted.verify_token.as_deref().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| refusal(100, "The parameter verify_token is required."))?;
    let parsed = url::Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let Some(mut asked) = parsed.filter(|_| url.chars().count() <= OVERRIDE_URL_CHARS_MAX) else {
        return Err(refusal(
            100,
            format!("override_callback_uri: a URL of at most {OVERRIDE_URL_CHARS_MAX} characters."),
        ));
    };
    let challenge = world.new_wamid("challenge").bytes().map(u64::from).sum::<u64>() + 1_158_000_000;
    asked
        .query_pairs_mut()
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", &challenge.to_string())
        .append_pair("hub.verify_token", token);
    match shake_hands(world, asked).await {
        Ok(answer) if answer.trim() == challenge.to_string() => Ok(Some(Arc::from(url))),
        Ok(_) => Err(refusal(2200, "Callback verification failed: the answer is not the challenge.")),
        Err(problem) => Err(refusal(2200, format!("Callback verification failed: {problem}."))),
    }
}

async fn shake_hands(world: &World, url: url::Url) -> Result<String, String> {
    world.count(|stats| stats.handshakes += 1);
    let request = world.client().get(url).timeout(Duration::from_millis(HANDSHAKE_MS_MAX));
    let mut answer = request.send().await.map_err(|_| "the URL couldn't be reached".to_owned())?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("HTTP status code = {}", answer.status().as_u16()));
    }
    let mut body = Vec::new();
    while body.len() < CHALLENGE_BYTES_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| "the answer is not text".to_owned())
}
