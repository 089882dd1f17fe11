//! The dialects of those who call us: bytes to domain, domain to bytes. No IO, no clock.
//!
//! A platform is a folder here and a line in [`ALL`]. Nothing else in the bridge names one.

pub mod clevertap;

use crate::domain::{
    account::Account,
    callback::{Event, Renderings},
    failure::Refusal,
    ids::MessageId,
    outbound::SendRequest,
};

/// One engagement platform's dialect.
pub trait Platform: Send + Sync {
    /// Its name in URLs, rows and logs.
    fn slug(&self) -> &'static str;

    /// Does this call speak for the account? Every comparison with a secret takes the same time,
    /// right or wrong.
    fn authenticate(&self, account: &Account, proof: &CallerProof<'_>) -> bool;

    /// Understands a send request. A refusal names the part and says what to change.
    fn parse_send(&self, account: &Account, body: &[u8]) -> Result<SendRequest, Refusal>;

    /// The answer to a send request, in the platform's shape.
    fn reply(&self, outcome: Result<&Accepted, &Refusal>) -> Reply;

    /// Events into requests to a callback URL. All events are of one subscription.
    fn render_callbacks(&self, events: &[Event]) -> Renderings;
}

/// Every platform this build can serve. Adding one is a folder and a line here.
pub static ALL: &[&dyn Platform] = &[&clevertap::CleverTap];

/// The platform with this slug.
pub fn find(slug: &str) -> Option<&'static dyn Platform> {
    ALL.iter().copied().find(|platform| platform.slug() == slug)
}

/// What a caller shows to prove who it is.
pub struct CallerProof<'a> {
    /// A request header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The secret part of the URL, when it had one.
    pub url_token: Option<&'a str>,
}

/// A request that we took, or that we had taken before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `None` when it was only checked, because it is a test that nobody wants to be sent.
    pub message: Option<MessageId>,
    /// The same request came before; this is the answer that it got.
    pub repeat: bool,
}

/// An HTTP answer, before HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub http_status: u16,
    /// JSON.
    pub body: String,
}
