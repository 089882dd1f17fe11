//! What a connection is told of a carrier that we know nothing about. Sending and the proof of webhooks are needed by others too,
//! so each field is a constant of its own.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    answer::{ANSWER, ERROR_MEANINGS, SUCCESS_STATUS, check_answer, check_meanings, check_success_status},
    body,
    caller::{
        ADDRESSES, HEADER, HEADER_VALUE, PASSWORD, SIGNATURE_HEADER, SIGNING_SECRET, URL_TOKEN, USERNAME,
        check_addresses, check_header_name, check_url_token,
    },
    fields::Kind,
    lines::value,
    templates::{CATEGORY, TEMPLATES, check_templates},
    webhook::{NUMBER, STATUS_WORDS, WEBHOOK, check_status_words, check_webhook},
};
use crate::providers::SettingField;

pub const BASE_URL: &str = "base_url";
pub const PATH: &str = "send_path";
pub const METHOD: &str = "send_method";
pub const AUTH: &str = "auth";
pub const AUTH_NAME: &str = "auth_name";
pub const AUTH_SECRET: &str = "auth_secret";
pub const HEADERS: &str = "headers";
pub const FORMAT: &str = "body_format";

pub(super) const SETTINGS: &[SettingField] = &[
    BASE_URL_FIELD,
    URL_TOKEN_FIELD,
    PATH_FIELD,
    METHOD_FIELD,
    AUTH_FIELD,
    AUTH_NAME_FIELD,
    AUTH_SECRET_FIELD,
    HEADERS_FIELD,
    FORMAT_FIELD,
    BODY_TEMPLATE_FIELD,
    BODY_TEXT_FIELD,
    BODY_MEDIA_FIELD,
    BODY_LOCATION_FIELD,
    SUCCESS_STATUS_FIELD,
    ANSWER_FIELD,
    ERROR_MEANINGS_FIELD,
    TEMPLATES_FIELD,
    CATEGORY_FIELD,
    SettingField {
        check: Some(check_webhook),
        ..plain(
            WEBHOOK,
            "Where things stand in a webhook",
            "One a line: a name and a JSON pointer; status.id, status.word, \
            status.time and inbound.id, inbound.from, inbound.time at least",
        )
    },
    SettingField {
        default: Some("sent sent\ndelivered delivered\nread read\nfailed failed"),
        check: Some(check_status_words),
        ..plain(
            STATUS_WORDS,
            "Words for statuses",
            "One a line: the carrier's word, and sent, delivered, read, failed or ignored",
        )
    },
    plain(
        NUMBER,
        "Number of webhooks that name none",
        "The carrier's id of the number; needed where webhooks do not name it",
    ),
    ADDRESSES_FIELD,
    USERNAME_FIELD,
    PASSWORD_FIELD,
    SettingField {
        check: Some(check_header_name),
        ..plain(HEADER, "Header of webhooks", "The name of a header that only the carrier can fill in")
    },
    secret(HEADER_VALUE, "Its value", "What stands in that header; several while it is being changed", true),
    SettingField {
        check: Some(check_header_name),
        ..plain(
            SIGNATURE_HEADER,
            "Header of the signature",
            "Where webhooks carry HMAC-SHA256 of their body, in hexadecimal or \
            base64, such as X-Hub-Signature-256",
        )
    },
    secret(SIGNING_SECRET, "Signing secret", "The key of that signature; several while it is being changed", true),
];

/// Settings of several lines.
pub const MULTILINE: &[&str] = &[
    "body_template",
    "body_text",
    "body_media",
    "body_location",
    ANSWER,
    ERROR_MEANINGS,
    TEMPLATES,
    WEBHOOK,
    STATUS_WORDS,
];

pub const BASE_URL_FIELD: SettingField = plain(
    BASE_URL,
    "The carrier's address",
    "Where messages go, without the path; empty: nothing is sent by this connection",
);
pub const PATH_FIELD: SettingField = SettingField {
    default: Some("/messages"),
    check: Some(body::check_path),
    ..plain(PATH, "Path for sending", "Follows the address; may hold {{number_id}} and other names")
};
pub const METHOD_FIELD: SettingField = SettingField {
    choices: &[("post", "POST"), ("put", "PUT"), ("patch", "PATCH")],
    default: Some("post"),
    check: Some(check_method),
    ..plain(METHOD, "Method", "The HTTP method of a send: post, put or patch")
};
pub const AUTH_FIELD: SettingField = SettingField {
    choices: &[
        ("none", "nothing, or by further headers"),
        ("basic", "Basic: user name and password"),
        ("bearer", "Bearer token"),
        ("header", "a header of its own"),
    ],
    default: Some("none"),
    check: Some(check_auth),
    ..plain(AUTH, "Authentication", "How we show who we are: none, basic, bearer or header")
};
pub const AUTH_NAME_FIELD: SettingField =
    plain(AUTH_NAME, "User name, or name of the header", "Needed for basic and header");
pub const AUTH_SECRET_FIELD: SettingField =
    secret(AUTH_SECRET, "Password, token, or value of the header", "Needed unless the authentication is none", false);
pub const HEADERS_FIELD: SettingField = SettingField {
    check: Some(check_header),
    ..secret(HEADERS, "Further headers", "Each as Name: value; they go with every send", true)
};
pub const FORMAT_FIELD: SettingField = SettingField {
    choices: &[("json", "JSON"), ("form", "a form (application/x-www-form-urlencoded)")],
    default: Some("json"),
    check: Some(check_format),
    ..plain(FORMAT, "Form of the body", "How the body is written: json or form")
};
pub const BODY_TEMPLATE_FIELD: SettingField = SettingField {
    check: Some(|text| body::check(text, Kind::Template)),
    ..plain(
        "body_template",
        "Body for template messages",
        "JSON with names in double braces, such as \"{{template.variables.1}}\"; \
        empty: none are sent",
    )
};
pub const BODY_TEXT_FIELD: SettingField = SettingField {
    check: Some(|text| body::check(text, Kind::Text)),
    ..plain("body_text", "Body for texts", "The same for texts in an open conversation: \"{{text}}\"")
};
pub const BODY_MEDIA_FIELD: SettingField = SettingField {
    check: Some(|text| body::check(text, Kind::Media)),
    ..plain("body_media", "Body for files", "The same for pictures, videos and documents: \"{{media.url}}\"")
};
pub const BODY_LOCATION_FIELD: SettingField = SettingField {
    check: Some(|text| body::check(text, Kind::Location)),
    ..plain("body_location", "Body for places", "The same for places: \"{{location.latitude}}\"")
};
pub const SUCCESS_STATUS_FIELD: SettingField = SettingField {
    default: Some("2xx"),
    check: Some(check_success_status),
    ..plain(
        SUCCESS_STATUS,
        "Statuses of success",
        "HTTP statuses that say that the message was taken, like 2xx, or 200, 202",
    )
};
pub const ANSWER_FIELD: SettingField = SettingField {
    default: Some("id /id"),
    check: Some(check_answer),
    ..plain(
        ANSWER,
        "Where things stand in the answer",
        "One a line: id, error.code or error.text and a JSON pointer; success and \
        a pointer, or /status = ok",
    )
};
pub const ERROR_MEANINGS_FIELD: SettingField = SettingField {
    check: Some(check_meanings),
    ..plain(
        ERROR_MEANINGS,
        "What errors mean",
        "One a line: the carrier's code, or http:429, and a meaning such as \
        invalid_number, throttled, try_again, credentials",
    )
};
pub const TEMPLATES_FIELD: SettingField = SettingField {
    check: Some(check_templates),
    ..plain(
        TEMPLATES,
        "Templates",
        "A JSON list of them as Meta lists them; or passthrough: any template is taken, without a check",
    )
};
pub const CATEGORY_FIELD: SettingField = SettingField {
    choices: &[("marketing", "marketing"), ("utility", "utility"), ("authentication", "authentication")],
    default: Some("marketing"),
    check: Some(check_category),
    ..plain(
        CATEGORY,
        "Category of templates without one",
        "How templates are treated that say nothing of it: marketing, utility \
        or authentication",
    )
};
pub const URL_TOKEN_FIELD: SettingField = SettingField {
    chosen_here: true,
    required: true,
    check: Some(check_url_token),
    ..secret(
        URL_TOKEN,
        "Secret part of the URL",
        "The end of the webhook's URL, which nobody can guess: 20 characters at least",
        false,
    )
};
pub const ADDRESSES_FIELD: SettingField = SettingField {
    check: Some(check_addresses),
    ..plain(
        ADDRESSES,
        "Addresses of webhooks",
        "Networks from where they may come, with commas between them; empty: anywhere",
    )
};
pub const USERNAME_FIELD: SettingField =
    plain(USERNAME, "User name of webhooks", "Who calls with Basic authentication; empty: it is not asked for");
pub const PASSWORD_FIELD: SettingField =
    secret(PASSWORD, "Password of webhooks", "Goes with the user name; several while it is being changed", true);

const fn plain(name: &'static str, label: &'static str, help: &'static str) -> SettingField {
    SettingField { name, label, help, ..SettingField::PLAIN }
}

const fn secret(name: &'static str, label: &'static str, help: &'static str, list: bool) -> SettingField {
    SettingField { secret: true, list, ..plain(name, label, help) }
}

fn check_method(text: &str) -> Result<(), String> {
    one_of(text, &["post", "put", "patch"])
}

fn check_auth(text: &str) -> Result<(), String> {
    one_of(text, &["none", "basic", "bearer", "header"])
}

fn check_format(text: &str) -> Result<(), String> {
    one_of(text, &["json", "form"])
}

fn check_category(text: &str) -> Result<(), String> {
    one_of(text, &["marketing", "utility", "authentication"])
}

fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) { Ok(()) } else { Err(format!("must be one of {}", words.join(", "))) }
}

/// Headers that the connection itself makes.
const NOT_OURS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "content-type", "authorization"];

fn check_header(text: &str) -> Result<(), String> {
    let (name, value) = text.split_once(':').ok_or("must be a name, a colon and a value, like X-Tenant: 42")?;
    check_header_name(name.trim())?;
    if name.trim().is_empty() || value.trim().is_empty() || value.contains(char::is_control) {
        return Err("must be a name, a colon and a value, like X-Tenant: 42".to_owned());
    }
    match NOT_OURS.iter().find(|known| name.trim().eq_ignore_ascii_case(known)) {
        Some(known) => Err(format!("must not be {known}, which follows from the other settings: remove it")),
        None => Ok(()),
    }
}

/// What is wrong with settings that are right one by one: the field, and what to change.
pub fn check_together(
    settings: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Vec<SecretString>>,
) -> Vec<(&'static str, String)> {
    let is_set = |name: &str| settings.get(name).is_some_and(|text| !text.trim().is_empty());
    let has = |name: &str| secrets.contains_key(name);
    let mut problems = Vec::new();
    let mut unless = |fine: bool, name: &'static str, text: &str| {
        if !fine {
            problems.push((name, text.to_owned()));
        }
    };
    let bodies = Kind::ALL.iter().any(|kind| is_set(kind.setting()));
    unless(bodies || !is_set(BASE_URL), "body_template", "is missing: without a body nothing can be sent to base_url");
    unless(is_set(BASE_URL) || !bodies, BASE_URL, "is missing: the bodies have nowhere to go");
    let id = settings.get(ANSWER).is_some_and(|answer| value(answer, "id").is_some());
    unless(
        id || !bodies,
        ANSWER,
        "has no line id: statuses could not be told apart; say where the message's id stands",
    );
    unless(
        !is_set("body_template") || is_set(TEMPLATES),
        TEMPLATES,
        "is missing: list the templates, or write passthrough to have any name taken without a check",
    );
    match settings.get(AUTH).map_or("none", String::as_str) {
        "basic" | "header" => {
            unless(is_set(AUTH_NAME), AUTH_NAME, "is missing: give the user name, or the name of the header");
            unless(has(AUTH_SECRET), AUTH_SECRET, "is missing: give the password, or the value of the header");
        }
        "bearer" => unless(has(AUTH_SECRET), AUTH_SECRET, "is missing: give the token"),
        _ => {}
    }
    for (name, secret) in [(USERNAME, PASSWORD), (HEADER, HEADER_VALUE), (SIGNATURE_HEADER, SIGNING_SECRET)] {
        unless(has(secret) || !is_set(name), secret, &format!("is missing: {name} asks for it"));
        unless(is_set(name) || !has(secret), name, &format!("is missing: {secret} is of no use without it"));
    }
    problems
}
