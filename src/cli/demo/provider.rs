//! Who carries the messages of a demo: how its connection is configured towards the simulator, which speaks its dialect.

use wabridge::simulator::{Dialect, SAMPLE_TEMPLATES};

/// A provider that the simulator can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum DemoProvider {
    /// Meta's Cloud API
    Meta,
    /// 360dialog, which passes Meta's Cloud API on
    #[value(name = "360dialog")]
    Dialog360,
    /// Gallabox's developer API
    Gallabox,
    /// CommBox's API and its events
    Commbox,
    /// GoTallo's webhook, and a private endpoint to send by
    Gotallo,
}

/// What GoTallo's webhooks are known by.
const URL_TOKEN: &str = "demo-end-of-the-url-of-webhooks";

impl DemoProvider {
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Dialog360 => "360dialog",
            Self::Gallabox => "gallabox",
            Self::Commbox => "commbox",
            Self::Gotallo => "gotallo",
        }
    }

    /// As people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "WhatsApp",
            Self::Dialog360 => "360dialog",
            Self::Gallabox => "Gallabox",
            Self::Commbox => "CommBox",
            Self::Gotallo => "GoTallo",
        }
    }

    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Meta => Dialect::Meta,
            Self::Dialog360 => Dialect::Dialog360,
            Self::Gallabox => Dialect::Gallabox,
            Self::Commbox => Dialect::Commbox,
            Self::Gotallo => Dialect::Gotallo,
        }
    }

    /// Where its webhooks go, below the bridge's own URL.
    pub(super) fn webhook_path(self) -> String {
        let path = format!("/webhooks/{}/demo", self.slug());
        match self {
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Commbox => path,
            Self::Gotallo => format!("{path}/{URL_TOKEN}"),
        }
    }

    /// What it calls the number that the simulator knows by these digits, and the number's account.
    pub(super) fn ids(self, number_id: &str, account_id: &str) -> (String, String) {
        match self {
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Gotallo => {
                (number_id.to_owned(), account_id.to_owned())
            }
            Self::Commbox => (stream_id(number_id), stream_id(number_id)),
        }
    }

    /// Whether it gives our own id of a message back with what it reports: then a report can be understood although the answer
    /// to the send was lost.
    pub(super) const fn gives_our_id_back(self) -> bool {
        match self {
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Gotallo => true,
            Self::Commbox => false,
        }
    }

    /// The credentials and settings of its connection, as lines of an apply file.
    pub(super) fn connection(self, number_id: &str, access_token: &str, secret: &str) -> String {
        match self {
            Self::Meta => format!(
                r#"access_token = "{access_token}"
app_secret = "{secret}"
verify_token = "demo-verify-token""#
            ),
            Self::Dialog360 => format!(
                r#"# 360dialog's keys belong to one number each; the simulator wants to be told which.
api_key = "{access_token}:{number_id}"
webhook_secret = "{secret}""#
            ),
            Self::Gallabox => format!(
                r#"api_key = "{access_token}"
api_secret = "{secret}"
webhook_secret = "{secret}"
# Gallabox documents no form for media and places; the campaign has some.
undocumented_kinds = "link""#
            ),
            Self::Commbox => format!(
                r#"api_key = "{access_token}"
stream_id = "{}"
webhook_secret = "{secret}"
# What the campaign says without a template is said to people who have not written, and fails all the same.
freeform = "conversation""#,
                stream_id(number_id)
            ),
            Self::Gotallo => private_endpoint(access_token),
        }
    }
}

/// As CommBox shows the id of a channel: escaped already.
fn stream_id(number_id: &str) -> String {
    format!("{number_id}%3d")
}

/// Of an endpoint that takes messages in Meta's words, and data that GoTallo's webhook gives back.
fn private_endpoint(access_token: &str) -> String {
    const BODY: &str = r#"'{ "message": "{{whatsapp}}", "custom_data": { "reference": "{{message_id}}" } }'"#;
    format!(
        r#"url_token = "{URL_TOKEN}"
# GoTallo documents no way to send: this describes the simulator's private endpoint, as you would describe yours.
send_path = "/gotallo/{{{{number_id}}}}/messages"
auth = "bearer"
auth_secret = "{access_token}"
body_template = {BODY}
body_text = {BODY}
body_media = {BODY}
body_location = {BODY}
answer = """
id         /id
error.code /error/code
error.text /error/message
"""
error_meanings = """
131030 unreachable
"""
templates = '''
{SAMPLE_TEMPLATES}'''"#
    )
}
