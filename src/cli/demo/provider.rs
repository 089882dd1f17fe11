//! Who carries the messages of a demo: how its connection is configured towards the simulator, which speaks its dialect.

use wabridge::simulator::Dialect;

/// A provider that the simulator can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum DemoProvider {
    /// Meta's Cloud API
    Meta,
    /// Gallabox's developer API
    Gallabox,
}

impl DemoProvider {
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Gallabox => "gallabox",
        }
    }

    /// As people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "WhatsApp",
            Self::Gallabox => "Gallabox",
        }
    }

    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Meta => Dialect::Meta,
            Self::Gallabox => Dialect::Gallabox,
        }
    }

    /// The credentials and settings of its connection, as lines of an apply file.
    pub(super) fn connection(self, access_token: &str, secret: &str) -> String {
        match self {
            Self::Meta => format!(
                r#"access_token = "{access_token}"
app_secret = "{secret}"
verify_token = "demo-verify-token""#
            ),
            Self::Gallabox => format!(
                r#"api_key = "{access_token}"
api_secret = "{secret}"
webhook_secret = "{secret}"
# Gallabox documents no form for media and places; the campaign has some.
undocumented_kinds = "link""#
            ),
        }
    }
}
