//! CleverTap's own API, as far as a bridge calls it: subscriptions of people to WhatsApp.
//!
//! `POST /1/subscribe` takes up to 1,000 people. CleverTap limits how many calls it takes at a time, and lists what it did
//! not process in an answer that is otherwise a success: both can be had here.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    clevertap::{self, Endpoint},
    state::World,
};

const PEOPLE_MAX: usize = 1_000;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/1/subscribe", web::post().to(subscribe));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    d: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    status: String,
}

impl Wish {
    fn read(entry: &Value) -> Result<Self, String> {
        let wish = Self::deserialize(entry).map_err(|error| error.to_string())?;
        if !["whatsapp", "phone"].contains(&wish.kind.as_str()) {
            return Err(format!("type is {:?}, not \"whatsapp\"", wish.kind));
        }
        let digits = wish.value.strip_prefix('+').unwrap_or_default();
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("value {:?} is not a number with + and country code", wish.value));
        }
        if !["Unsubscribe", "Resubscribe"].contains(&wish.status.as_str()) {
            return Err(format!("status is {:?}, neither \"Unsubscribe\" nor \"Resubscribe\"", wish.status));
        }
        Ok(wish)
    }
}

/// One call less when it is over.
struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn subscribe(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (account, passcode) = (header("X-CleverTap-Account-Id"), header("X-CleverTap-Passcode"));
    let in_flight = world.subscribe_calls().fetch_add(1, Ordering::AcqRel) + 1;
    let _in_flight = InFlight(world.subscribe_calls());
    world.callbacks().count_subscribe_load(in_flight);
    let rule = world.callbacks().rule(Endpoint::Subscribe, account, &body).unwrap_or_default();
    if rule.hang_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(rule.hang_ms)).await;
    }
    let knobs = world.knobs();
    let wrong = knobs.clevertap_passcode.as_deref().is_some_and(|wanted| wanted != passcode);
    if account.is_empty() || passcode.is_empty() || wrong {
        return fail(&world, 401, "Invalid Credentials");
    }
    if knobs.subscribe_in_flight_max > 0 && in_flight > u64::from(knobs.subscribe_in_flight_max) {
        return fail(&world, 429, "Too many concurrent requests");
    }
    if rule.answer_status != 200 {
        world.callbacks().refuse(rule.answer_status);
        world.tell();
        return clevertap::answer(&rule);
    }
    let entries = match serde_json::from_slice::<Body>(&body) {
        Ok(body) if (1..=PEOPLE_MAX).contains(&body.d.len()) => body.d,
        Ok(body) => return fail(&world, 400, &format!("d has {} records; 1 to {PEOPLE_MAX} are taken", body.d.len())),
        Err(error) => return fail(&world, 400, &error.to_string()),
    };
    process(&world, account, entries)
}

fn fail(world: &World, status: u16, error: &str) -> HttpResponse {
    world.callbacks().refuse(status);
    world.tell();
    let status = actix_web::http::StatusCode::from_u16(status).expect("the statuses above exist");
    HttpResponse::build(status).json(json!({"status": "fail", "error": error, "code": status.as_u16()}))
}

/// Takes what is right, and lists the rest.
fn process(world: &World, account: &str, entries: Vec<Value>) -> HttpResponse {
    let knobs = world.knobs();
    let (mut processed, mut unprocessed) = (0, Vec::new());
    for record in entries {
        let wish = Wish::read(&record).and_then(|wish| match &knobs.unprocessed_suffix {
            Some(suffix) if wish.value.ends_with(suffix.as_str()) => Err("The simulator was told so".to_owned()),
            Some(_) | None => Ok(wish),
        });
        match wish {
            Ok(wish) => {
                processed += 1;
                world.callbacks().take_subscription(account, wish.status, record);
            }
            Err(error) => {
                world.callbacks().count_unprocessed();
                unprocessed.push(json!({"status": "fail", "code": 512, "error": error, "record": record}));
            }
        }
    }
    world.tell();
    let status = if unprocessed.is_empty() { "success" } else { "partial" };
    HttpResponse::Ok().json(json!({"status": status, "processed": processed, "unprocessed": unprocessed}))
}
