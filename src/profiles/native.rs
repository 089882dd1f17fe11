//! Our own: the event as JSON, signed as Standard Webhooks has it (<https://www.standardwebhooks.com>).
//!
//! The payload is described in `openapi/wabridge.json`, under `webhooks`. Within a version parts may be added, and none is taken
//! away or changes its meaning.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Format, Profile, RenderOptions, Rendered, Signature, Unspeakable,
    signing::{self, Signed},
    words,
};
use crate::domain::{
    event_name::EventName,
    webhook_event::{Level, WebhookEvent},
};

pub const VERSION: &str = "1";

pub struct Native;

/// What is told: the event, and the version of its form.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPayload)]
pub struct Payload<'a> {
    /// Of the form of this payload.
    #[schema(example = "1")]
    pub version: &'a str,
    #[serde(flatten)]
    #[schema(inline = false)]
    pub event: WebhookEvent,
}

impl Profile for Native {
    fn slug(&self) -> &'static str {
        "native"
    }

    fn title(&self) -> &'static str {
        "native"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Json]
    }

    fn versions(&self) -> &'static [&'static str] {
        &[VERSION]
    }

    fn levels(&self) -> &'static [Level] {
        &[Level::Standard, Level::Minimal, Level::Complete]
    }

    fn word(&self, name: EventName) -> Option<&'static str> {
        Some(name.as_str())
    }

    fn signature(&self) -> Signature {
        Signature::StandardWebhooks
    }

    fn own_headers(&self) -> &'static [&'static str] {
        &["webhook-id", "webhook-timestamp", "webhook-signature"]
    }

    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
        words::knows(self, options)?;
        let payload = Payload { version: VERSION, event: event.at(options.level) };
        let body = serde_json::to_string(&payload).map_err(|error| Unspeakable(error.to_string()))?;
        let signed =
            Signed { scheme: self.signature(), id: &event.id, now: options.now, body: &body, secrets: options.secrets };
        let headers = signing::sign(&signed)?;
        Ok(Rendered { headers, content_type: "application/json".to_owned(), body })
    }
}
