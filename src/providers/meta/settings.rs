//! What a connection to Meta is told in the apply file, and how it is read.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{account::Connection, messaging_limit::Sharing},
    providers::{SettingField, cloud_api::reach::Reach, usable},
};

pub(super) const SETTINGS: &[SettingField] = &[
    SettingField {
        name: "base_url",
        label: "Graph’s address",
        help: "Where Graph lives; another address for a proxy or a simulator",
        default: Some("https://graph.facebook.com"),
        ..SettingField::PLAIN
    },
    SettingField {
        name: "api_version",
        label: "Graph’s version",
        help: "Graph's version in the path of every request; each lives about two years",
        default: Some("v26.0"),
        check: Some(check_api_version),
        ..SettingField::PLAIN
    },
    SettingField {
        name: ACCESS_TOKEN,
        label: "Access token",
        help: "A token with whatsapp_business_messaging and whatsapp_business_management; the first is used",
        secret: true,
        list: true,
        required: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: APP_SECRET,
        label: "App secret",
        help: "The app's secret, which signs webhooks; several while it is being changed",
        secret: true,
        list: true,
        required: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: VERIFY_TOKEN,
        label: "Verify token",
        chosen_here: true,
        help: "A word of your choice, to be given to Meta together with the webhook's URL",
        secret: true,
        required: true,
        ..SettingField::PLAIN
    },
    SettingField {
        name: "marketing_endpoint",
        label: "Marketing templates go to",
        choices: &[
            (MESSAGES, "messages, as all others"),
            (MARKETING_MESSAGES, "marketing_messages, the Marketing Messages API"),
        ],
        help: "Where marketing templates go first: messages or marketing_messages (the Marketing Messages API)",
        default: Some(MESSAGES),
        check: Some(check_marketing_endpoint),
        ..SettingField::PLAIN
    },
    SettingField {
        name: Sharing::SETTING,
        label: "Messaging limit shared by",
        choices: &Sharing::NAMED,
        help: "Whose numbers share a messaging limit: those of a waba, all of this connection (its WABAs are of one business \
               portfolio), or off: new people are not counted",
        default: Some(Sharing::DEFAULT),
        check: Some(check_messaging_limit),
        ..SettingField::PLAIN
    },
];

pub(super) const ACCESS_TOKEN: &str = "access_token";
pub(super) const APP_SECRET: &str = "app_secret";
pub(super) const VERIFY_TOKEN: &str = "verify_token";

pub(super) const MESSAGES: &str = "messages";
pub(super) const MARKETING_MESSAGES: &str = "marketing_messages";

pub(super) fn prefers_marketing_endpoint(connection: &Connection) -> bool {
    connection.setting("marketing_endpoint") == MARKETING_MESSAGES
}

pub(super) fn graph_url(connection: &Connection, id: &str, edge: &str) -> String {
    format!("{}/{edge}", graph_object(connection, id))
}

pub(super) fn graph_object(connection: &Connection, id: &str) -> String {
    format!("{}/{id}", graph_base(connection))
}

pub(super) fn graph_base(connection: &Connection) -> String {
    let base = connection.setting("base_url").trim_end_matches('/');
    format!("{base}/{}", connection.setting("api_version"))
}

pub(super) fn authorization(connection: &Connection) -> Option<(Cow<'static, str>, SecretString)> {
    let token = usable(connection.secrets(ACCESS_TOKEN)).next()?;
    Some(("authorization".into(), SecretString::from(format!("Bearer {}", token.expose_secret()))))
}

pub(super) fn reach(connection: &Connection) -> Reach {
    Reach {
        name: "Graph",
        base_url: connection.setting("base_url").to_owned(),
        root: graph_base(connection),
        authorization: authorization(connection),
        secret_name: ACCESS_TOKEN,
        rewrites_media_host: false,
        names_number: true,
    }
}

pub(in crate::providers) fn check_api_version(text: &str) -> Result<(), String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix('v').and_then(|version| version.split_once('.')) {
        Some((major, minor)) if digits(major) && digits(minor) => Ok(()),
        Some(_) | None => Err("must be a version of Graph, like v26.0".to_owned()),
    }
}

pub(in crate::providers) fn check_messaging_limit(text: &str) -> Result<(), String> {
    Sharing::parse(text).map(drop).ok_or_else(|| "must be waba, connection or off".to_owned())
}

fn check_marketing_endpoint(text: &str) -> Result<(), String> {
    match text {
        MESSAGES | MARKETING_MESSAGES => Ok(()),
        _ => Err(format!("must be {MESSAGES} or {MARKETING_MESSAGES}")),
    }
}
