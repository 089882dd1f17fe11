//! What stands around every page: navigation, who is signed in, light or dark.

use std::{borrow::Cow, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, ContentType},
    },
};
use askama::Template;
use regex::Regex;

use super::{
    HOME, Trouble, Visitor,
    assets::{ADDRESSES, Addresses},
};
use crate::domain::{operator::Permission, price::PriceCategory, time::UnixMillis};

/// The part of a page that all have.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) theme: Option<&'static str>,
    pub(super) assets: &'static Addresses,
    pub(super) nav: Vec<Entry>,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) csrf: String,
    /// What was done just now.
    pub(super) done: Option<&'static str>,
}

/// A way to another page.
pub(super) struct Entry {
    pub(super) href: &'static str,
    pub(super) name: &'static str,
    /// Begins a group with this heading.
    pub(super) group: Option<&'static str>,
    /// A path within 16 by 16.
    pub(super) icon: &'static str,
    pub(super) here: bool,
}

/// All pages in the navigation, and what one must be allowed to go there.
const PAGES: [(&str, &str, Option<&str>, Permission, &str); 20] = [
    (HOME, "Overview", None, Permission::ReadMessages, "M2.5 13.5v-5M6.2 13.5v-8M9.8 13.5v-6M13.5 13.5v-11"),
    (
        "/console/messages",
        "Messages",
        None,
        Permission::ReadMessages,
        "M2.5 4.5a2 2 0 0 1 2-2h7a2 2 0 0 1 2 2v4a2 2 0 0 1-2 2H8l-3.5 3v-3a2 2 0 0 1-2-2z",
    ),
    (
        "/console/campaigns",
        "Campaigns",
        None,
        Permission::ReadMessages,
        "M2.5 6.5v3h2l6 3.5v-10l-6 3.5zM13 6.2v3.6M5.5 9.7v3.3",
    ),
    (
        "/console/inbound",
        "Inbound",
        None,
        Permission::ReadMessages,
        "M2.5 9.5h3l1 2h3l1-2h3M2.5 9.5v4h11v-4l-2-6.5h-7z",
    ),
    (
        "/console/contacts",
        "Contacts",
        None,
        Permission::ReadMessages,
        "M3.5 2.5h9v11h-9zM8 8a1.7 1.7 0 1 0 0-3.4A1.7 1.7 0 0 0 8 8zM5.5 11.3c.3-1.3 1.2-1.9 2.5-1.9s2.2.6 2.5 1.9",
    ),
    (
        "/console/conversations",
        "Conversations",
        None,
        Permission::ReadMessages,
        "M2.5 3.5h8v5h-5l-3 2.5zM12 6h1.5v7.5L11 11.5H6.5v-1",
    ),
    (
        "/console/callbacks",
        "Callbacks",
        None,
        Permission::ReadMessages,
        "M13.5 8a5.5 5.5 0 1 1-1.7-4M13.5 2.5v3h-3M8 5.2V8l2 1.3",
    ),
    (
        "/console/unrecognized",
        "Unknown and skipped",
        None,
        Permission::ReadMessages,
        "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.4a1.8 1.8 0 1 1 2.6 1.6c-.6.3-.9.7-.9 1.3M8 11.3v.1",
    ),
    (
        "/console/refused",
        "Refused requests",
        None,
        Permission::ReadMessages,
        "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM3.8 3.8l8.4 8.4",
    ),
    (
        "/console/accounts",
        "Accounts",
        Some("Set up"),
        Permission::ReadMessages,
        "M2.5 13.5v-9l5.5-2 5.5 2v9M6.5 13.5v-3h3v3M5.5 6h1M9.5 6h1M5.5 8.3h1M9.5 8.3h1",
    ),
    (
        "/console/connections",
        "Connections",
        None,
        Permission::ReadMessages,
        "M6.5 9.5 9.5 6.5M7 4.7l1.6-1.6a2.9 2.9 0 0 1 4.1 4.1L11.3 8.8M9 11.3l-1.6 1.6a2.9 2.9 0 0 1-4.1-4.1L4.7 7.2",
    ),
    ("/console/templates", "Templates", None, Permission::ReadMessages, "M3 2.5h10v11H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3"),
    (
        "/console/webhooks",
        "Webhooks",
        None,
        Permission::ReadMessages,
        "M5 10.5a2.5 2.5 0 1 0 2.4 3H11M9.3 5.4a2.5 2.5 0 1 0-3.6.5L4 9.2M8 4.2l2.4 4.4a2.5 2.5 0 1 1-.2 4",
    ),
    (
        "/console/test-bench",
        "Test bench",
        None,
        Permission::SendTests,
        "M6.2 2.5h3.6M7 2.5v4l-3.4 5.2a1.2 1.2 0 0 0 1 1.8h6.8a1.2 1.2 0 0 0 1-1.8L9 6.5v-4M5.4 9.5h5.2",
    ),
    (
        "/console/users",
        "Users",
        Some("Settings"),
        Permission::ManageUsers,
        "M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c.4-2.6 2.4-4 5-4s4.6 1.4 5 4",
    ),
    (
        "/console/tokens",
        "API tokens",
        None,
        Permission::ManageUsers,
        "M5.5 13a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM7.3 8.7 13 3M10.5 5.5l2 2",
    ),
    ("/console/audit", "Audit log", None, Permission::ReadAudit, "M4 2.5h8v11H4zM6.3 5.5h3.4M6.3 8h3.4M6.3 10.5h2"),
    (
        "/console/persons",
        "One person’s data",
        None,
        Permission::ManagePersons,
        "M7 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM2.5 13.5c.3-2.6 2.1-4 4.5-4M10.5 10l3 3.5M13.5 10l-3 3.5",
    ),
    (
        "/console/alarms",
        "Alarms",
        None,
        Permission::ReadSystem,
        "M8 2.5a4 4 0 0 0-4 4v3l-1.5 2h11L12 9.5v-3a4 4 0 0 0-4-4zM6.5 13.5h3",
    ),
    (
        "/console/system",
        "System",
        None,
        Permission::ReadSystem,
        "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1M8 5h3M8 11h3",
    ),
];

/// What pages say when they come after a change, by the word in their address.
const DONE: [(&str, &str); 34] = [
    ("paused", "It is paused: what waits of it stays, and so does what arrives. Messages expire all the same."),
    ("resumed", "It goes on: what was kept back is put into the queues within seconds."),
    ("cancelling", "It is being cancelled. You can leave this page."),
    ("resent", "It waits to be sent again."),
    ("replay", "It is told again; how far that has come stands below."),
    ("stopped", "The replay is ended; what is in flight is still finished."),
    ("released", "The URL is tried now."),
    ("nothing-waits", "Nothing waits any more: what did was told meanwhile, or set aside."),
    ("trying", "It is tried now; how far that has come stands below."),
    ("tried", "It is tried now; what comes of it stands below within seconds, when the page is loaded again."),
    ("held", "It is on hold; running instances notice within two seconds."),
    ("going", "It is released: what waits goes on within seconds."),
    ("saved", "It is saved, and in effect within two seconds."),
    ("account-added", "The account is there. Enter at CleverTap what stands below."),
    ("passcode", "The passcode is changed; the servers take it over within seconds."),
    ("synced", "The lists were read from WhatsApp; how that went stands below."),
    ("syncing", "The lists are being read; that takes a while, and goes on by itself."),
    ("webhook-added", "The webhook is there. It hears of what happens from now on."),
    ("webhook-saved", "It is saved. What waits for it is told in the new way."),
    ("webhook-on", "It is switched on, and hears of what happens from now on."),
    ("webhook-off", "It is switched off: nothing is sent to it or kept for it."),
    ("webhook-paused", "It is paused: everything is kept for it."),
    ("webhook-resumed", "It goes on with what was kept for it."),
    ("webhook-deleted", "The webhook is gone."),
    ("removed", "It is removed."),
    ("shown", "What was new was shown once, and cannot be shown again. If it is lost, make another one."),
    ("role", "The role is changed."),
    ("signed-out", "They are signed out everywhere."),
    ("disabled", "They may not sign in any more."),
    ("enabled", "They may sign in again."),
    ("revoked", "The token opens nothing any more."),
    ("password", "Your password is changed, and your other sessions have ended."),
    ("contact", "The contact is changed."),
    ("conversation", "The conversation is changed."),
];

impl Frame {
    /// `here`: the page of the navigation that this belongs to.
    pub(super) fn new(request: &HttpRequest, visitor: &Visitor, title: impl Into<String>, here: &str) -> Self {
        let word = request.query_string().split('&').find_map(|pair| pair.strip_prefix("done="));
        let entry = |(href, name, group, _, icon)| Entry { href, name, group, icon, here: href == here };
        let allowed = PAGES.into_iter().filter(|(.., permission, _)| visitor.actor.may(*permission));
        Self {
            nav: allowed.map(entry).collect(),
            name: visitor.name.clone(),
            role: visitor.role.as_str(),
            csrf: visitor.csrf.clone(),
            done: word.and_then(|word| DONE.iter().find(|(known, _)| *known == word)).map(|(_, text)| *text),
            ..Self::alone(request, title)
        }
    }

    /// For a page without navigation.
    pub(super) fn alone(request: &HttpRequest, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            theme: theme(request),
            assets: &ADDRESSES,
            nav: vec![],
            name: String::new(),
            role: "",
            csrf: String::new(),
            done: None,
        }
    }
}

/// What the visitor chose; `None`: as their system has it.
fn theme(request: &HttpRequest) -> Option<&'static str> {
    let chosen = cookie(request, "wabridge_theme")?;
    ["light", "dark"].into_iter().find(|theme| *theme == chosen)
}

/// A cookie's value.
pub(super) fn cookie<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A page, or a part of one.
pub(super) fn page(template: &impl Template) -> Result<HttpResponse, Trouble> {
    page_as(StatusCode::OK, template)
}

/// The same for what could not be done as it was asked.
pub(super) fn page_as(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Trouble> {
    let text = template.render().map_err(|error| Trouble::ours(&error))?;
    Ok(HttpResponse::build(status).content_type(ContentType::html()).body(text))
}

/// What a change is answered with: the page that shows it, by a request of its own, so that going back repeats nothing.
pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}

/// Whether a part of the page was asked for, and not the whole.
pub(super) fn wants_part(request: &HttpRequest) -> bool {
    let has = |name: &str| request.headers().contains_key(name);
    has("hx-request") && !has("hx-history-restore-request")
}

/// A service's words as a sentence of a page.
pub(super) fn sentence(words: &str) -> String {
    // A URL is written as it is.
    if words.starts_with("http") {
        return format!("{}.", words.trim_end_matches('.'));
    }
    // So are names of fields, templates and messages: they are found by their letters.
    let first_word = words.split([' ', ':', ',']).next().unwrap_or_default();
    let is_name =
        first_word.chars().any(|letter| letter.is_ascii_digit() || letter.is_uppercase() || "_-".contains(letter));
    let mut letters = words.chars();
    let first: String = match letters.next() {
        Some(letter) if is_name => letter.to_string(),
        Some(letter) => letter.to_uppercase().collect(),
        None => String::new(),
    };
    let end = if words.ends_with(['.', '!', '?', ')']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Times within a text as they stand elsewhere on a page.
pub(super) fn plain_times(text: &str) -> Cow<'_, str> {
    static TIME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z").expect("the pattern is right"));
    TIME.replace_all(text, "$1 $2 UTC")
}

/// A heading of WhatsApp's price list, in words.
pub(super) fn price_words(category: PriceCategory) -> String {
    sentence(&category.as_str().replace(['_', '-'], " ")).trim_end_matches('.').to_owned()
}

/// A time for a list: `21 Nov 16:22`.
pub(super) fn short_time(at: UnixMillis) -> String {
    formatted(at, "%-d %b %H:%M")
}

/// What follows it: `:31`.
pub(super) fn seconds(at: UnixMillis) -> String {
    formatted(at, ":%S")
}

/// A time with its year, for what may be long ago.
pub(super) fn long_time(at: UnixMillis) -> String {
    formatted(at, "%Y-%m-%d %H:%M")
}

/// With its second, for who compares logs.
pub(super) fn exact_time(at: UnixMillis) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S")
}

fn formatted(at: UnixMillis, format: &str) -> String {
    let time = chrono::DateTime::from_timestamp_millis(at.0);
    time.map_or_else(|| at.to_string(), |time| time.format(format).to_string())
}
