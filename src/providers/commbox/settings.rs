//! What a connection to CommBox is told in the apply file.

use std::time::Duration;

use crate::providers::SettingField;

pub(super) const BASE_URL: &str = "base_url";
pub(super) const API_KEY: &str = "api_key";
pub(super) const STREAM_ID: &str = "stream_id";
pub(super) const EVENT_STREAM_ID: &str = "event_stream_id";
pub(super) const TEMPLATES_PATH: &str = "templates_path";
pub(super) const FREEFORM: &str = "freeform";
pub(super) const FREEFORM_PATH: &str = "freeform_path";
pub(super) const WEBHOOK_AUTH: &str = "webhook_auth";
pub(super) const WEBHOOK_SECRET: &str = "webhook_secret";
pub(super) const WEBHOOK_USER: &str = "webhook_user";

/// Values of `webhook_auth`.
pub(super) const BY_BASIC: &str = "basic";
pub(super) const BY_BEARER: &str = "bearer";
pub(super) const BY_OAUTH2: &str = "oauth2";
pub(super) const BY_URL: &str = "url";

/// Values of `freeform`.
const REFUSE: &str = "refuse";
pub(super) const IN_CONVERSATION: &str = "conversation";

/// In paths, the place of the channel's id, and of the conversation's.
pub(super) const STREAM_PLACE: &str = "{stream}";
pub(super) const OBJECT_PLACE: &str = "{object}";
/// As many keys as a list of secrets may have.
pub(super) const KEYS_MAX: usize = 8;
/// A full page takes longer than a send.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// A text that need not be given.
const TEXT: SettingField = SettingField { default: Some(""), ..SettingField::PLAIN };

pub(super) const SETTINGS: &[SettingField] = &[
    SettingField {
        name: API_KEY,
        label: "API key",
        help: "From Settings → API; the current one and the next: when one is refused, the other is tried",
        secret: true,
        list: true,
        required: true,
        default: None,
        ..TEXT
    },
    SettingField {
        name: STREAM_ID,
        label: "Encrypted id of the channel",
        help: "As CommBox shows it, such as AbC123%3d%3d; the number's phone_number_id and waba_id are the same",
        required: true,
        default: None,
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_SECRET,
        label: "Secret of webhooks",
        help: "A word of your choice, to be given to CommBox: the password, the token, the client secret, or the last part of \
               the URL (see webhook_auth)",
        chosen_here: true,
        secret: true,
        required: true,
        default: None,
        check: Some(check_secret),
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_AUTH,
        label: "Webhooks show",
        choices: &[
            (BY_BASIC, "user and password"),
            (BY_BEARER, "the secret as access token"),
            (BY_OAUTH2, "a token that CommBox fetches here (OAuth2)"),
            (BY_URL, "the secret as the last part of the URL"),
        ],
        help: "basic, bearer, oauth2 (a token from this connection's webhook URL and /token), or url",
        default: Some(BY_BASIC),
        check: Some(check_webhook_auth),
        ..TEXT
    },
    SettingField {
        name: WEBHOOK_USER,
        label: "User of webhooks",
        help: "The user (basic), the client id or the user (oauth2)",
        default: Some("wabridge"),
        ..TEXT
    },
    SettingField {
        name: EVENT_STREAM_ID,
        label: "The channel’s id in events",
        help: "The StreamId of its events, which is another than the encrypted one: when given, events of other channels are put \
               aside",
        ..TEXT
    },
    SettingField {
        name: TEMPLATES_PATH,
        label: "Templates are listed at",
        help: "The path of the list of WhatsApp templates, with {stream} for the channel's id; CommBox does not publish it",
        default: Some("/whatsapp/templates/{stream}"),
        check: Some(check_templates_path),
        ..TEXT
    },
    SettingField {
        name: FREEFORM,
        label: "Texts without a template",
        choices: &[
            (REFUSE, "are refused with a clear reason"),
            (IN_CONVERSATION, "go into the conversation in which the person wrote"),
        ],
        help: "Texts go only into a conversation of CommBox's, which it names when a person writes (OnNewChild): refuse, or conversation. \
               Tried with no real channel",
        default: Some(REFUSE),
        check: Some(check_freeform),
        ..TEXT
    },
    SettingField {
        name: FREEFORM_PATH,
        label: "Texts are posted at",
        help: "The path of a conversation's messages, with {object} for the conversation's id and perhaps {stream} for the channel's",
        default: Some("/streams/{stream}/objects/{object}/child"),
        check: Some(check_freeform_path),
        ..TEXT
    },
    SettingField {
        name: BASE_URL,
        label: "CommBox’s address",
        help: "Where its API lives; another address for a simulator",
        default: Some("https://api.commbox.io"),
        ..TEXT
    },
];

fn check_webhook_auth(text: &str) -> Result<(), String> {
    match [BY_BASIC, BY_BEARER, BY_OAUTH2, BY_URL].contains(&text) {
        true => Ok(()),
        false => Err("must be basic, bearer, oauth2 or url".to_owned()),
    }
}

fn check_freeform(text: &str) -> Result<(), String> {
    match [REFUSE, IN_CONVERSATION].contains(&text) {
        true => Ok(()),
        false => Err(format!("must be {REFUSE} or {IN_CONVERSATION}")),
    }
}

fn check_freeform_path(text: &str) -> Result<(), String> {
    match text.starts_with('/') && text.contains(OBJECT_PLACE) {
        true => Ok(()),
        false => Err(format!(
            "must be a path with {OBJECT_PLACE} in it, like /streams/{STREAM_PLACE}/objects/{OBJECT_PLACE}/child"
        )),
    }
}

fn check_templates_path(text: &str) -> Result<(), String> {
    match text.starts_with('/') && text.contains(STREAM_PLACE) {
        true => Ok(()),
        false => Err(format!("must be a path with {STREAM_PLACE} in it, like /whatsapp/templates/{STREAM_PLACE}")),
    }
}

/// What can stand in a URL, a header and a form as it is.
fn check_secret(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    match text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("must be of letters, digits, -, _, . and ~: use the output of `openssl rand -hex 24`".to_owned()),
    }
}
