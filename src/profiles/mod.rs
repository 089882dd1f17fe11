//! How webhooks speak: an event into the words, the shape and the signature that a receiver expects. No IO, no clock.
//!
//! A profile is a file here and a line in [`ALL`]. [`native`] is our own; the others speak like other systems, so that a receiver
//! written for one of them need not be changed. `docs/webhook-profiles.md` has their names and shapes.

mod cloud_shape;
pub mod commbox;
pub mod gallabox;
pub mod gotallo;
pub mod meta;
pub mod native;
pub mod signing;
mod words;
pub mod xml;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::{
    event_name::EventName,
    time::UnixMillis,
    webhook_event::{Level, WebhookEvent},
};

/// One way to tell events.
pub trait Profile: Send + Sync {
    /// Its name in configuration, rows and logs.
    fn slug(&self) -> &'static str;

    /// What it is called on screens.
    fn title(&self) -> &'static str;

    /// The formats that it has, the usual one first.
    fn formats(&self) -> &'static [Format];

    /// The versions of its payloads, the newest first. A webhook keeps the one that it was made with.
    fn versions(&self) -> &'static [&'static str];

    /// How much it can tell, the usual level first: other systems know one form of an event.
    fn levels(&self) -> &'static [Level] {
        &[Level::Standard]
    }

    /// Whether it can speak an older dialect: [`RenderOptions::old_names`].
    fn has_old_names(&self) -> bool {
        false
    }

    /// Whether it tells the provider's own entry at every level, so that [`About::raw`](crate::domain::webhook_event::About) must
    /// be looked up.
    fn needs_raw(&self) -> bool {
        false
    }

    /// Whether a message is told with how things stand between the person and the number, so that
    /// [`About::conversation`](crate::domain::webhook_event::About) must be looked up.
    fn needs_conversation(&self) -> bool {
        false
    }

    /// Whether a status is told with what the message says.
    fn needs_content(&self) -> bool {
        false
    }

    /// Whether a receiver hears as much, or more, of the message by another event that the webhook wants, so that this one is left out.
    /// `reported`: WhatsApp said something of the message already.
    fn is_outdone(&self, _name: EventName, _wants: &dyn Fn(EventName) -> bool, _reported: bool) -> bool {
        false
    }

    /// The events that it has words for, as its receivers know them; `None` for others.
    fn word(&self, name: EventName) -> Option<&'static str>;

    /// How it signs.
    fn signature(&self) -> Signature;

    /// Header names that it sets itself, in lower case: nobody else may.
    fn own_headers(&self) -> &'static [&'static str];

    /// The request that tells the event: the same each time but for the signature's time.
    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable>;

    /// What is wrong with a signing secret, if anything: says what to do.
    fn check_secret(&self, secret: &SecretString) -> Result<(), String> {
        signing::check_secret(self.signature(), secret)
    }
}

/// Every profile of this build.
pub static ALL: &[&dyn Profile] =
    &[&native::Native, &gallabox::Gallabox, &commbox::CommBox, &gotallo::GoTallo, &meta::Meta];

/// The profile with this slug.
pub fn find(slug: &str) -> Option<&'static dyn Profile> {
    ALL.iter().copied().find(|profile| profile.slug() == slug)
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    #[default]
    #[serde(rename = "json")]
    Json,
    #[serde(rename = "xml")]
    Xml,
    #[serde(rename = "soap_1_1")]
    Soap11,
    #[serde(rename = "soap_1_2")]
    Soap12,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Json, Self::Xml, Self::Soap11, Self::Soap12];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Soap11 => "soap_1_1",
            Self::Soap12 => "soap_1_2",
        }
    }

    pub const fn is_soap(self) -> bool {
        match self {
            Self::Soap11 | Self::Soap12 => true,
            Self::Json | Self::Xml => false,
        }
    }
}

/// Who can tell that a request came from us, and that nobody changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`; the secret is `whsec_…`.
    StandardWebhooks,
    /// `x-gallabox-signature`: HMAC-SHA256 of the body, base64.
    Gallabox,
    /// `x-hub-signature-256`: `sha256=` and the HMAC-SHA256 of the body in hex.
    Hub,
    /// The imitated system signs nothing.
    None,
}

impl Signature {
    /// Whether a request carries one by each secret, so that an old one can be good beside the new.
    pub const fn carries_several(self) -> bool {
        match self {
            Self::StandardWebhooks => true,
            Self::Gallabox | Self::Hub | Self::None => false,
        }
    }
}

/// What a webhook's configuration says about its requests, and the moment.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions<'a> {
    pub level: Level,
    /// One of the profile's own.
    pub format: Format,
    /// One of the profile's own.
    pub version: &'a str,
    /// The customer's parameters, in the SOAP header.
    pub soap_parameters: &'a [(String, String)],
    /// Speak an older dialect of the imitated system, where the profile knows one.
    pub old_names: bool,
    /// What is signed with: those that are valid now, the newest first. None: nothing is signed.
    pub secrets: &'a [SecretString],
    /// When the request leaves.
    pub now: UnixMillis,
}

/// A request without its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Names in lower case; without the content type.
    pub headers: Vec<(&'static str, String)>,
    pub content_type: String,
    pub body: String,
}

/// What a profile has no words for, and why: kept and shown, not tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unspeakable(pub String);
