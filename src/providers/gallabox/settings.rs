//! What a connection to Gallabox is told in the apply file. Several settings stand for something that Gallabox does not
//! document: each says so.

use std::{borrow::Cow, time::Duration};

use secrecy::SecretString;

use crate::{
    domain::account::Connection,
    providers::{SettingField, usable},
};

pub(super) const API_KEY: &str = "api_key";
pub(super) const API_SECRET: &str = "api_secret";
pub(super) const WEBHOOK_SECRET: &str = "webhook_secret";
const UNSIGNED_WEBHOOKS: &str = "unsigned_webhooks";
const FIRST_BUTTON: &str = "first_button";
const UNDOCUMENTED_KINDS: &str = "undocumented_kinds";
const POLL_EVERY_S: &str = "poll_every_s";
const MEDIA_HOSTS: &str = "media_hosts";

const REFUSE: &str = "refuse";
const ALLOW: &str = "allow";

/// Asking more often than this would be all that a connection does.
const POLL_EVERY_S_MIN: u64 = 5;
const POLL_EVERY_S_MAX: u64 = 24 * 60 * 60;

pub(super) const SETTINGS: &[SettingField] = &[
    SettingField {
        name: "base_url",
        label: "Gallabox’s address",
        help: "Where Gallabox's API lives; another address for a proxy or a simulator",
        default: Some("https://server.gallabox.com"),
        ..SettingField::PLAIN
    },
    SettingField {
        name: API_KEY,
        label: "API key",
        help: "From Gallabox: Settings, API keys. The first is used",
        secret: true,
        list: true,
        required: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: API_SECRET,
        label: "API secret",
        help: "Shown by Gallabox together with the API key. The first is used",
        secret: true,
        list: true,
        required: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: WEBHOOK_SECRET,
        label: "Webhook secret",
        help: "The secret that was entered at Gallabox's webhook, which signs it; several while it is being changed",
        secret: true,
        list: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: UNSIGNED_WEBHOOKS,
        label: "Webhooks without a secret",
        help: "Whether webhooks are taken when the connection has no webhook_secret: refuse or allow. Whoever knows the URL could \
               then make statuses up",
        choices: &[(REFUSE, "are refused"), (ALLOW, "are taken, unsigned")],
        default: Some(REFUSE),
        check: Some(check_unsigned),
        ..SettingField::PLAIN
    },
    SettingField {
        name: FIRST_BUTTON,
        label: "The first button’s index",
        help: "How a template's buttons are counted in sends, which Gallabox does not document: from 0 or from 1",
        choices: &[("0", "0"), ("1", "1")],
        default: Some("0"),
        check: Some(check_first_button),
        ..SettingField::PLAIN
    },
    SettingField {
        name: UNDOCUMENTED_KINDS,
        label: "Kinds that Gallabox does not document",
        help: "Media and places in conversations, and location headers: refuse, or send them in Meta's form with a file's address \
               under link or path",
        choices: &[
            (REFUSE, "are refused with a clear reason"),
            ("link", "are sent in Meta’s form, files under link"),
            ("path", "are sent in Meta’s form, files under path"),
        ],
        default: Some(REFUSE),
        check: Some(check_undocumented),
        ..SettingField::PLAIN
    },
    SettingField {
        name: MEDIA_HOSTS,
        label: "Hosts that are shown the API key",
        help: "Which hosts get the API key when a file that a person sent is fetched: names, or *. and a domain, separated by \
               spaces. Others are asked without it",
        default: Some("*.gallabox.com"),
        ..SettingField::PLAIN
    },
    SettingField {
        name: POLL_EVERY_S,
        label: "Seconds between polls",
        help: "For plans without webhooks: every so many seconds each number's conversations are read; 0 is never",
        default: Some("0"),
        check: Some(check_poll),
        ..SettingField::PLAIN
    },
];

/// What shows who we are; `None` when a part is missing.
pub(super) fn credentials(connection: &Connection) -> Option<Vec<(Cow<'static, str>, SecretString)>> {
    let first = |name: &str| usable(connection.secrets(name)).next().cloned();
    Some(vec![("apiKey".into(), first(API_KEY)?), ("apiSecret".into(), first(API_SECRET)?)])
}

pub(super) const NO_CREDENTIALS: &str = "the connection has no api_key or no api_secret";

/// A path of the API.
pub(super) fn url(connection: &Connection, path: &str) -> String {
    format!("{}/devapi/{path}", connection.setting("base_url").trim_end_matches('/'))
}

pub(super) fn takes_unsigned(connection: &Connection) -> bool {
    connection.setting(UNSIGNED_WEBHOOKS) == ALLOW
}

pub(super) fn first_button(connection: &Connection) -> usize {
    connection.setting(FIRST_BUTTON).parse().unwrap_or(0)
}

/// Under which key a file's address is sent; `None` when kinds that are not documented are refused.
pub(super) fn media_key(connection: &Connection) -> Option<&str> {
    Some(connection.setting(UNDOCUMENTED_KINDS)).filter(|key| matches!(*key, "link" | "path"))
}

pub(super) fn media_hosts(connection: &Connection) -> impl Iterator<Item = &str> {
    connection.setting(MEDIA_HOSTS).split([' ', ',']).filter(|host| !host.is_empty())
}

pub(super) fn poll_every(connection: &Connection) -> Option<Duration> {
    let seconds: u64 = connection.setting(POLL_EVERY_S).parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn check_unsigned(text: &str) -> Result<(), String> {
    one_of(text, &[REFUSE, ALLOW])
}

fn check_first_button(text: &str) -> Result<(), String> {
    one_of(text, &["0", "1"])
}

fn check_undocumented(text: &str) -> Result<(), String> {
    one_of(text, &[REFUSE, "link", "path"])
}

fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(format!("must be {}", words.join(" or "))) }
}

fn check_poll(text: &str) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(0 | POLL_EVERY_S_MIN..=POLL_EVERY_S_MAX) => Ok(()),
        Ok(_) | Err(_) => Err(format!("must be 0, or {POLL_EVERY_S_MIN} to {POLL_EVERY_S_MAX} seconds")),
    }
}
