//! CleverTap's part: posts the campaign to the bridge's endpoint, many requests at a time, and notes every answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{campaign::Offer, world::ACCOUNT_ID};

/// Requests in flight.
pub(super) const CONNECTIONS: usize = 64;
/// An answer that takes longer is none.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// What came back for the offer at this place.
pub(super) struct Answered {
    pub(super) place: usize,
    pub(super) answer: Answer,
    pub(super) took: Duration,
}

/// What CleverTap reads from an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Success,
    /// With CleverTap's code, or the HTTP status where the answer has none.
    Refused {
        code: u16,
        message: String,
    },
    /// There was none that CleverTap could read.
    None(String),
}

/// Posts everything, in order, and gives back the answers as they came.
pub(super) async fn post_all(url: &str, offers: &[Offer]) -> anyhow::Result<Vec<Answered>> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(CONNECTIONS)
        .timeout(ANSWER_WAIT_MAX)
        .build()
        .context("could not build the client that plays CleverTap")?;
    let endpoint: Arc<str> = endpoint(url).into();
    let offers: Arc<[Offer]> = offers.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS.min(offers.len()) {
        connections.spawn(post_some(client.clone(), endpoint.clone(), offers.clone(), next.clone()));
    }
    Ok(connections.join_all().await.into_iter().flatten().collect())
}

/// Where CleverTap posts the messages of the demo's account.
pub(super) fn endpoint(url: &str) -> String {
    format!("{url}/clevertap/acme/messages")
}

async fn post_some(
    client: reqwest::Client,
    endpoint: Arc<str>,
    offers: Arc<[Offer]>,
    next: Arc<AtomicUsize>,
) -> Vec<Answered> {
    let mut answers = Vec::new();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(offer) = offers.get(place) else { return answers };
        let started = Instant::now();
        let answer = post(&client, &endpoint, offer).await;
        answers.push(Answered { place, answer, took: started.elapsed() });
    }
}

async fn post(client: &reqwest::Client, endpoint: &str, offer: &Offer) -> Answer {
    let request = client
        .post(endpoint)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header("X-CleverTap-Account-Id", ACCOUNT_ID)
        .header("X-CleverTap-Passcode", offer.passcode)
        .body(offer.body.clone());
    let read = async {
        let response = request.send().await?;
        Ok::<_, reqwest::Error>((response.status().as_u16(), response.bytes().await?))
    };
    match read.await {
        Ok((status, body)) => understand(status, &body),
        Err(error) => Answer::None(wabridge::telemetry::Chain(&error).to_string()),
    }
}

#[derive(Deserialize)]
struct Document {
    status: String,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: Option<u16>,
    message: String,
}

fn understand(status: u16, body: &[u8]) -> Answer {
    match serde_json::from_slice(body) {
        Ok(Document { status: word, error: None }) if status == 200 && word == "success" => Answer::Success,
        Ok(Document { error: Some(Refusal { code, message }), .. }) => {
            Answer::Refused { code: code.unwrap_or(status), message }
        }
        Ok(Document { .. }) | Err(_) => Answer::None(format!("HTTP {status} with a body that CleverTap cannot read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_clevertap_reads_them() {
        let refused = |code| Answer::Refused { code, message: "say why".to_owned() };

        assert_eq!(understand(200, br#"{"status":"success"}"#), Answer::Success);
        assert_eq!(
            understand(200, br#"{"status":"failure","error":{"code":2001,"message":"say why"}}"#),
            refused(2001)
        );
        assert_eq!(understand(500, br#"{"status":"failure","error":{"message":"say why"}}"#), refused(500));
        assert!(matches!(understand(500, br#"{"status":"success"}"#), Answer::None(_)));
        assert!(matches!(understand(200, b""), Answer::None(_)));
    }
}
