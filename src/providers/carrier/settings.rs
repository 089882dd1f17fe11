//! What a connection to a carrier is told in the apply file.

use crate::{
    domain::messaging_limit::Sharing,
    providers::{
        SettingField,
        meta::{check_api_version, check_messaging_limit},
    },
};

pub(super) const API_KEY: &str = "api_key";
pub(super) const WEBHOOK_SECRET: &str = "webhook_secret";
pub(super) const VERIFY_TOKEN: &str = "verify_token";
pub(super) const API_VERSION: &str = "api_version";
pub(super) const PATH_STYLE: &str = "path_style";
pub(super) const AUTH_HEADER: &str = "auth_header";
pub(super) const AUTH_PREFIX: &str = "auth_prefix";
pub(super) const MEDIA_HOST: &str = "media_host";
pub(super) const TEMPLATES: &str = "templates";
pub(super) const WEBHOOK_AUTH: &str = "webhook_auth";
pub(super) const WEBHOOK_HEADER: &str = "webhook_header";
pub(super) const WEBHOOK_USER: &str = "webhook_user";

/// Values of `path_style`.
pub(super) const NUMBER: &str = "number";
pub(super) const MESSAGES: &str = "messages";
pub(super) const MESSAGE: &str = "message";
/// Values of `media_host`.
pub(super) const REWRITTEN: &str = "rewritten";
const AS_GIVEN: &str = "as_given";
/// Values of `templates`.
const GRAPH_LISTS: &str = "graph";
pub(super) const DIALOG_360_LISTS: &str = "360dialog";
pub(super) const NOT_OFFERED: &str = "none";
/// Values of `webhook_auth`.
const BY_SIGNATURE: &str = "signature";
pub(super) const BY_HEADER: &str = "header";
pub(super) const BY_BASIC: &str = "basic";
pub(super) const BY_URL: &str = "url";

pub(super) const DIALOG_360_KEY_HEADER: &str = "D360-API-KEY";
pub(super) const WEBHOOK_HEADER_DEFAULT: &str = "x-webhook-secret";

const HEADER_NAME_CHARS_MAX: usize = 64;

/// A text that need not be given.
const TEXT: SettingField = SettingField { default: Some(""), ..SettingField::PLAIN };

const KEY: SettingField =
    SettingField { name: API_KEY, label: "API key", secret: true, list: true, required: true, default: None, ..TEXT };

const SECRET_OF_WEBHOOKS: SettingField = SettingField {
    name: WEBHOOK_SECRET,
    label: "Secret of webhooks",
    secret: true,
    list: true,
    required: true,
    default: None,
    ..TEXT
};

pub(super) const DIALOG_360: &[SettingField] = &[
    SettingField { help: "The number's key, from the 360dialog Hub; it belongs to one number", ..KEY },
    SettingField {
        help: "A word of your choice that webhooks show: as the last part of the URL, or as the header X-Webhook-Secret, \
               which `wabridge check --repair` sets",
        list: false,
        chosen_here: true,
        check: Some(check_url_part),
        ..SECRET_OF_WEBHOOKS
    },
    SettingField {
        name: "base_url",
        label: "360dialog’s address",
        help: "Where its API lives; https://waba-sandbox.360dialog.io for the sandbox",
        default: Some("https://waba-v2.360dialog.io"),
        ..TEXT
    },
];

pub(super) const CLOUD_API: &[SettingField] = &[
    SettingField {
        name: "base_url",
        label: "The carrier’s address",
        help: "What comes before the version and the number's id, such as https://api.example.com/meta/whatsapp",
        required: true,
        default: None,
        ..TEXT
    },
    SettingField { help: "What shows the carrier who we are; the first is used", ..KEY },
    SettingField {
        help: "What proves that a webhook is the carrier's: the secret that it signs with, the value of the header, the \
               password, or the last part of the URL (see webhook_auth); several while it is being changed",
        ..SECRET_OF_WEBHOOKS
    },
    SettingField {
        name: PATH_STYLE,
        label: "Messages are posted to",
        choices: &[
            (NUMBER, "/version/number id/messages, as at Meta"),
            (MESSAGES, "/messages: the key is the number's"),
            (MESSAGE, "/message: the key is the number's"),
        ],
        help: "number (the version, the number's id, and /messages), messages, or message",
        default: Some(NUMBER),
        check: Some(check_path_style),
        ..TEXT
    },
    SettingField {
        name: API_VERSION,
        label: "Version in the path",
        help: "Such as v24.0, when paths begin with one; left out when it is empty",
        check: Some(check_version_if_any),
        ..TEXT
    },
    SettingField {
        name: AUTH_HEADER,
        label: "Header of the key",
        help: "The header that the key travels in",
        default: Some("Authorization"),
        check: Some(check_header_name),
        ..TEXT
    },
    SettingField {
        name: AUTH_PREFIX,
        label: "Word before the key",
        help: "Such as Bearer; left out when it is empty",
        check: Some(check_prefix),
        ..TEXT
    },
    SettingField {
        name: MEDIA_HOST,
        label: "Files of people are fetched",
        choices: &[
            (AS_GIVEN, "where the carrier says that they lie"),
            (REWRITTEN, "at the carrier’s own host, under the path that Meta gave them"),
        ],
        help: "as_given, or rewritten to the host of base_url",
        default: Some(AS_GIVEN),
        check: Some(check_media_host),
        ..TEXT
    },
    SettingField {
        name: TEMPLATES,
        label: "Templates are listed",
        choices: &[
            (GRAPH_LISTS, "as Meta lists them"),
            (DIALOG_360_LISTS, "as 360dialog lists them"),
            (NOT_OFFERED, "not at all: only freeform messages can be sent"),
        ],
        help: "graph, 360dialog, or none (then only freeform messages can be sent)",
        default: Some(GRAPH_LISTS),
        check: Some(check_templates),
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_AUTH,
        label: "Webhooks show",
        choices: &[
            (BY_SIGNATURE, "Meta’s signature of the body"),
            (BY_HEADER, "the secret in a header"),
            (BY_BASIC, "user and password"),
            (BY_URL, "the secret as the last part of the URL"),
        ],
        help: "signature (X-Hub-Signature-256), header, basic, or url",
        default: Some(BY_SIGNATURE),
        check: Some(check_webhook_auth),
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_HEADER,
        label: "Header of the secret",
        help: "For webhook_auth = header: the header that webhooks carry the secret in",
        default: Some(WEBHOOK_HEADER_DEFAULT),
        check: Some(check_header_name),
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_USER,
        label: "User of webhooks",
        help: "For webhook_auth = basic: the user that webhooks come with",
        default: Some("wabridge"),
        ..TEXT
    },
    SettingField {
        name: VERIFY_TOKEN,
        label: "Verify token",
        help: "A word of your choice, when the carrier asks the URL Meta's question before it uses it",
        secret: true,
        default: None,
        ..TEXT
    },
    SettingField {
        name: Sharing::SETTING,
        label: "Messaging limit shared by",
        choices: &Sharing::NAMED,
        help: "Whose numbers share a messaging limit, when the carrier tells it: those of a waba, all of this connection, or \
               off: new people are not counted",
        default: Some(Sharing::DEFAULT),
        check: Some(check_messaging_limit),
        ..TEXT
    },
];

/// One of the words of a field with choices.
fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    match words.contains(&text) {
        true => Ok(()),
        false => Err(format!("must be one of {}", words.join(", "))),
    }
}

fn check_path_style(text: &str) -> Result<(), String> {
    one_of(text, &[NUMBER, MESSAGES, MESSAGE])
}

fn check_media_host(text: &str) -> Result<(), String> {
    one_of(text, &[AS_GIVEN, REWRITTEN])
}

fn check_templates(text: &str) -> Result<(), String> {
    one_of(text, &[GRAPH_LISTS, DIALOG_360_LISTS, NOT_OFFERED])
}

fn check_webhook_auth(text: &str) -> Result<(), String> {
    one_of(text, &[BY_SIGNATURE, BY_HEADER, BY_BASIC, BY_URL])
}

fn check_version_if_any(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { check_api_version(text) }
}

fn check_header_name(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=HEADER_NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("must be the name of a header: letters, digits and -, like X-API-Key".to_owned()),
    }
}

fn check_prefix(text: &str) -> Result<(), String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("must be one word, like Bearer; the space after it is put there".to_owned()),
    }
}

/// What can stand in a URL as it is.
fn check_url_part(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    match text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("must be of letters, digits, -, _, . and ~: it is a part of a URL".to_owned()),
    }
}
