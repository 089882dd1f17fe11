//! In what a carrier differs from Meta.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    proof::Proof,
    settings::{self, API_KEY},
};
use crate::{
    domain::account::Connection,
    providers::{cloud_api::reach::Reach, usable},
};

/// How one connection's carrier is spoken to.
pub(super) struct Shape {
    pub(super) reach: Reach,
    /// The header that the key travels in, for people.
    pub(super) key_header: String,
    send_path: SendPath,
    pub(super) templates: TemplateLists,
    pub(super) numbers: Numbers,
    pub(super) proof: Proof,
    /// It can be asked, and told, where its webhooks go: `/v1/configs/webhook`.
    pub(super) routes_webhooks: bool,
}

/// Where messages are posted to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SendPath {
    /// As at Meta: below the number's id, after the version if there is one.
    Number,
    /// The key alone says which number it is.
    Fixed(&'static str),
}

/// How templates are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TemplateLists {
    /// `/{version}/{business account}/message_templates`
    Graph,
    /// `/v1/configs/templates`
    Dialog360,
    None,
}

/// How a number can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// `/{version}/{number id}`
    Graph,
    /// `/health_status`, which tells whether it can send and no more.
    Health,
    None,
}

impl Shape {
    pub(super) fn send_url(&self, number_id: &str) -> String {
        match self.send_path {
            SendPath::Number => format!("{}/{number_id}/messages", self.reach.root),
            SendPath::Fixed(path) => format!("{}{path}", self.reach.root),
        }
    }

    /// A request names the number that it is for; where it does not, one key is one number.
    pub(super) fn names_number(&self) -> bool {
        self.send_path == SendPath::Number
    }
}

pub(super) fn of_dialog_360(connection: &Connection) -> Shape {
    let base = base(connection);
    Shape {
        reach: reach("360dialog", connection, base.clone(), base, settings::DIALOG_360_KEY_HEADER, "", true, false),
        key_header: settings::DIALOG_360_KEY_HEADER.to_owned(),
        send_path: SendPath::Fixed("/messages"),
        templates: TemplateLists::Dialog360,
        numbers: Numbers::Health,
        proof: Proof::HeaderOrUrl(settings::WEBHOOK_HEADER_DEFAULT.to_owned()),
        routes_webhooks: true,
    }
}

pub(super) fn as_set(connection: &Connection) -> Shape {
    let setting = |name: &str| connection.setting(name);
    let base = base(connection);
    let send_path = match setting(settings::PATH_STYLE) {
        settings::MESSAGES => SendPath::Fixed("/messages"),
        settings::MESSAGE => SendPath::Fixed("/message"),
        _ => SendPath::Number,
    };
    let named = send_path == SendPath::Number;
    let root = match setting(settings::API_VERSION) {
        version if named && !version.is_empty() => format!("{base}/{version}"),
        _ => base.clone(),
    };
    let header = setting(settings::AUTH_HEADER);
    let rewrites = setting(settings::MEDIA_HOST) == settings::REWRITTEN;
    Shape {
        reach: reach("the carrier", connection, base, root, header, setting(settings::AUTH_PREFIX), rewrites, named),
        key_header: header.to_owned(),
        send_path,
        templates: match setting(settings::TEMPLATES) {
            settings::DIALOG_360_LISTS => TemplateLists::Dialog360,
            settings::NOT_OFFERED => TemplateLists::None,
            _ => TemplateLists::Graph,
        },
        numbers: if named { Numbers::Graph } else { Numbers::None },
        proof: Proof::as_set(connection),
        routes_webhooks: false,
    }
}

fn base(connection: &Connection) -> String {
    connection.setting("base_url").trim_end_matches('/').to_owned()
}

#[expect(clippy::too_many_arguments, reason = "each is one fact about a carrier, named by the fields that they go to")]
fn reach(
    name: &'static str,
    connection: &Connection,
    base_url: String,
    root: String,
    header: &str,
    prefix: &str,
    rewrites_media_host: bool,
    names_number: bool,
) -> Reach {
    let key = usable(connection.secrets(API_KEY)).next();
    let value = |key: &SecretString| match prefix {
        "" => key.clone(),
        prefix => SecretString::from(format!("{prefix} {}", key.expose_secret())),
    };
    Reach {
        name,
        base_url,
        root,
        authorization: key.map(|key| (header.to_owned().into(), value(key))),
        secret_name: API_KEY,
        rewrites_media_host,
        names_number,
    }
}
