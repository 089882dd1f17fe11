//! What comes to the bridge from outside: messages as CleverTap posts them, webhooks as Meta signs them, and what anybody asks.

use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use wabridge::app::App;

use super::{ACCOUNT, CONNECTION, CREDENTIALS, LOOK_AGAIN_AFTER, Message, PATIENCE, TestApp};

const OUR_PATH: &str = "/clevertap/acme/messages";

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        self.http_status == 200 && self.body == serde_json::json!({"status": "success"})
    }

    /// CleverTap's code of a refusal; 0 when there is none.
    pub(crate) fn code(&self) -> u64 {
        self.body["error"]["code"].as_u64().unwrap_or(0)
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

impl TestApp {
    /// Posts a message as the account.
    pub(crate) async fn send(&self, message: &Message) -> Answer {
        self.post(OUR_PATH, &CREDENTIALS, message.body.to_string()).await
    }

    /// The same; a bridge that cannot store it now is not asked again.
    pub(crate) async fn send_once(&self, message: &Message) -> Answer {
        self.try_post(OUR_PATH, &CREDENTIALS, message.body.to_string()).await.expect("the bridge answers")
    }

    /// Posts a message as the account to another bridge on the same database.
    pub(crate) async fn send_to(&self, other: &App, message: &Message) -> Answer {
        let url = format!("http://{}/clevertap/{ACCOUNT}/messages", other.address);
        self.try_post_at(url, &CREDENTIALS, message.body.to_string()).await.expect("the other bridge answers")
    }

    /// Posts messages that must be taken, some at a time.
    pub(crate) async fn accept_all(&self, messages: &[Message]) {
        const AT_A_TIME: usize = 32;
        for some in messages.chunks(AT_A_TIME) {
            let answers = futures_util::future::join_all(some.iter().map(|message| self.send(message))).await;
            for (message, answer) in some.iter().zip(answers) {
                assert!(answer.is_success(), "{} was refused: {answer:?}", message.body);
            }
        }
    }

    pub(crate) async fn accept(&self, message: &Message) {
        self.accept_all(std::slice::from_ref(message)).await;
    }

    /// On a busy machine the bridge may have to say that it cannot store something now; then it is asked again, as its answer
    /// advises.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        let (body, started) = (body.into(), Instant::now());
        loop {
            let answer = self.try_post(path, headers, body.clone()).await.expect("the bridge answers");
            if !matches!(answer.http_status, 500 | 503) || started.elapsed() > PATIENCE {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    pub(crate) async fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        self.try_post_at(self.at(path), headers, body).await
    }

    async fn try_post_at(
        &self,
        url: String,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.post(url).header("Content-Type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let http_status = answer.status().as_u16();
        Ok(Answer { http_status, body: serde_json::from_slice(&answer.bytes().await?).unwrap_or_default() })
    }

    /// Posts a webhook with a signature by `secret`; gives back the status of the answer.
    pub(crate) async fn post_webhook(&self, body: impl Into<Vec<u8>>, secret: &str) -> u16 {
        let body = body.into();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(&body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let path = format!("/webhooks/meta/{CONNECTION}");
        self.post(&path, &[("X-Hub-Signature-256", &signature)], body).await.http_status
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = self.client.get(self.at(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("the bridge answers");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }
}
