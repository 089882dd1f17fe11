//! The dialects of those we call: how to ask them to send, and how to understand what they say.
//!
//! A provider is a file or folder here and a line in [`ALL`]; nothing else in the bridge names one.
//! Adapters reach the outside only through [`Exchange`](crate::net::exchange::Exchange), which keeps
//! the limits. Inside an adapter, building a request and reading an answer are pure functions.

pub mod carrier;
pub mod cloud_api;
pub mod commbox;
pub mod gallabox;
pub mod gotallo;
pub mod http;
pub mod meta;
pub mod polls;
pub mod words;

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use self::polls::{PollMemory, Polled};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        failure::{SendFailure, Submitted},
        finding::{Finding, Repair, RepairKind},
        ids::SenderKey,
        inbound::InboundMessage,
        notice::Notice,
        outbound::{Category, OutboundMessage},
        phone::PhoneNumber,
        preference::Preference,
        status::StatusUpdate,
        template::{ListedTemplate, Template, TemplateListing},
        time::UnixMillis,
    },
    net::{download::Download, exchange::Exchange},
};

/// One WhatsApp provider.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name in URLs, rows and logs.
    fn slug(&self) -> &'static str;

    /// Where people enter the URL of webhooks.
    fn webhook_form(&self) -> WebhookForm {
        WebhookForm::default()
    }

    /// What a connection to it must or may be given: drives validation and forms.
    fn settings(&self) -> &'static [SettingField];

    /// Those of them that have several lines.
    fn multiline_settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is wrong with settings and secrets that are right one by one: the name of a field, and what to change.
    fn check_settings(
        &self,
        _settings: &BTreeMap<String, String>,
        _secrets: &BTreeMap<String, Vec<SecretString>>,
    ) -> Vec<(&'static str, String)> {
        vec![]
    }

    /// Whether webhooks are known by a secret part at the end of their URL, which is the setting that is
    /// [chosen here](SettingField::chosen_here).
    fn webhooks_by_url_token(&self) -> bool {
        false
    }

    /// The category of all templates, where a connection takes any name and nobody can check what a template needs.
    fn passes_any_template(&self, _connection: &Connection) -> Option<Category> {
        None
    }

    /// Whether a number's id or a business account's has the form of those that this provider gives. The error says what is
    /// wrong and what to change.
    fn check_id(&self, id: &str) -> Result<(), String>;

    /// Asks it to send one message, in one exchange of at most [`Exchange::request_timeout`]. `swapped` asks for
    /// the other endpoint or form than the one that the message and its connection suggest: after a failure of class
    /// [`Swap`](crate::domain::failure::FailureClass::Swap), or when that was learned from messages before.
    async fn send(
        &self,
        via: &Exchange,
        from: &Sender,
        message: &OutboundMessage,
        swapped: bool,
    ) -> Result<Submitted, SendFailure>;

    /// The very request that [`Self::send`] would make, with what proves who we are left out: for people.
    fn render_send(&self, from: &Sender, message: &OutboundMessage, swapped: bool) -> RenderedRequest;

    /// For how long the provider tries to deliver a message that it took, given what the template's listing says, in
    /// seconds: after that it drops it without a word.
    fn time_to_live(&self, connection: &Connection, category: Category, listed_s: Option<i64>) -> Duration;

    /// Did the provider send this? Over the raw bytes, in constant time, against every secret that is valid now.
    fn verify_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature>;

    /// Understands a webhook. Cannot fail: what could not be understood is part of the answer.
    fn parse_webhook(&self, connection: &Connection, request: &WebhookRequest<'_>) -> Parsed;

    /// Understands one inbound entry again, as [`Self::parse_webhook`] gave it in [`Inbound::entry`].
    fn parse_inbound(&self, connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable>;

    /// Whether a message without a template must name the conversation in which its person wrote.
    fn answers_in_conversations(&self, _connection: &Connection) -> bool {
        false
    }

    /// Its name of that conversation, within an inbound entry as in [`Self::parse_inbound`].
    fn conversation_of(&self, _entry: &str) -> Option<String> {
        None
    }

    /// The body that answers the provider's question whether this URL is ours; `None` is a no.
    /// `query` is the raw query string. Most ask no such question.
    fn answer_handshake(&self, _connection: &Connection, _query: &str) -> Option<String> {
        None
    }

    /// The answer (JSON) to a provider that fetches a token from us before it calls our webhooks; `None` when it did not show
    /// what it must, or this provider fetches none.
    fn issue_token(&self, _connection: &Connection, _request: &WebhookRequest<'_>) -> Option<String> {
        None
    }

    /// All templates of the sender's business account, or all translations of the one named.
    async fn fetch_templates(
        &self,
        via: &Exchange,
        from: &Sender,
        named: Option<&str>,
    ) -> Result<Vec<ListedTemplate>, FetchFailure>;

    /// What the provider's own entry of a template, as [`Self::fetch_templates`] gave it, says to people.
    fn read_listing(&self, template: &Template, listing: &str) -> TemplateListing;

    /// Begins to fetch a file that a person sent to this number. It is taken piece by piece, within the time and size
    /// that `wanted` allows.
    async fn fetch_media(
        &self,
        via: &Exchange,
        from: &Sender,
        wanted: &MediaToFetch<'_>,
    ) -> Result<FetchedMedia, MediaFailure>;

    /// How the provider sees the number: its name, quality, limits.
    async fn fetch_number(&self, via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure>;

    /// Messages a second that no number goes beyond there, as far as that is known: of a simulator, a proxy or another carrier it is not.
    fn per_second_max(&self, _connection: &Connection) -> Option<u32> {
        None
    }

    /// How often a number must be asked what happened, when nobody tells it by webhooks; `None`: never.
    fn poll_every(&self, _connection: &Connection) -> Option<Duration> {
        None
    }

    /// What happened at a number since then, in a bounded number of requests. What was given before may be given again, when
    /// `memory` does not know it.
    async fn poll(&self, _via: &Exchange, _sender: &Sender, since: UnixMillis, _memory: &mut PollMemory) -> Polled {
        Polled { parsed: Parsed::default(), until: since, missed: None, failure: None }
    }

    /// Asks about everything that a connection needs: its credentials, its numbers, their templates, and whether webhooks
    /// come to `webhook_url` (`None` when nobody has said how the world reaches us). Changes nothing.
    async fn check(
        &self,
        via: &Exchange,
        connection: &Connection,
        senders: &[Arc<Sender>],
        webhook_url: Option<&str>,
    ) -> Checked;

    /// What a repair of this kind would do to what the provider knows by this id; `None` when it cannot be done.
    fn offer_repair(
        &self,
        _connection: &Connection,
        _kind: RepairKind,
        _id: &str,
        _webhook_url: &str,
    ) -> Option<Repair> {
        None
    }

    /// Does what a finding of [`Self::check`] offered.
    async fn repair(
        &self,
        _via: &Exchange,
        _connection: &Connection,
        _repair: &Repair,
        _webhook_url: &str,
    ) -> Result<(), FetchFailure> {
        Err(FetchFailure("nothing at this provider can be set right from here: do it in its own pages".to_owned()))
    }
}

/// Where people tell a provider to send its webhooks.
#[derive(Clone, Copy, Debug)]
pub struct WebhookForm {
    /// What they call the provider.
    pub name: &'static str,
    /// The place in its own pages, as far as that is known.
    pub place: &'static str,
    /// The word of our choice is asked for when the URL is entered, and not shown by webhooks.
    pub asks_once: bool,
    /// What must be subscribed there for webhooks to say what the bridge understands; empty: nothing is chosen.
    pub fields: &'static [&'static str],
}

impl Default for WebhookForm {
    fn default() -> Self {
        Self { name: "the carrier", place: "", asks_once: false, fields: &[] }
    }
}

/// A request to a provider, to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedRequest {
    pub method: &'static str,
    pub url: String,
    /// Name and value, secrets blanked.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// JSON.
    pub body: String,
}

/// What a provider said of a connection.
#[derive(Debug, Default)]
pub struct Checked {
    pub findings: Vec<Finding>,
    /// How it sees the numbers that it was asked about.
    pub numbers: Vec<(SenderKey, Result<NumberState, FetchFailure>)>,
}

impl Checked {
    fn extend(&mut self, more: Self) {
        self.findings.extend(more.findings);
        self.numbers.extend(more.numbers);
    }
}

/// What WhatsApp's own numbers go up to.
const WHATSAPP_PER_SECOND_MAX: u32 = 1_000;

/// WhatsApp's limit, where a connection goes to the provider's own address.
fn whatsapp_per_second_max(connection: &Connection, settings: &[SettingField]) -> Option<u32> {
    let own = settings.iter().find(|field| field.name == "base_url").and_then(|field| field.default)?;
    let address = connection.setting("base_url");
    (address.is_empty() || address == own).then_some(WHATSAPP_PER_SECOND_MAX)
}

/// What to know of a number that is to send faster than any of WhatsApp's does; it may go elsewhere, so nothing is refused for it.
pub fn beyond_the_fastest(sender: &Sender) -> Option<String> {
    let most = find(&sender.connection.provider)?.per_second_max(&sender.connection)?;
    let wanted = sender.messages_per_second;
    (wanted > most).then(|| {
        format!(
            "messages_per_second is {wanted}, and WhatsApp’s numbers go up to {most} a second at their highest level: what is beyond \
             that is throttled"
        )
    })
}

/// Every provider this build can talk to. Adding one is a file and a line here.
pub static ALL: &[&dyn Provider] = &[
    &meta::MetaCloud,
    &carrier::DIALOG_360,
    &carrier::CLOUD_API,
    &gallabox::Gallabox,
    &commbox::COMMBOX,
    &gotallo::GOTALLO,
    &http::HTTP,
];

/// The provider with this slug.
pub fn find(slug: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.slug() == slug)
}

/// Whether any template is taken by this number's connection as it comes, and as what.
pub fn passes_any_template(sender: &Sender) -> Option<Category> {
    find(&sender.connection.provider)?.passes_any_template(&sender.connection)
}

/// Whether a value makes sense; the error says what is wrong and what to change, without the value.
pub type SettingCheck = fn(&str) -> Result<(), String>;

/// One setting of a connection.
#[derive(Debug)]
pub struct SettingField {
    /// Its key in the apply file.
    pub name: &'static str,
    /// What a form calls it.
    pub label: &'static str,
    pub help: &'static str,
    /// The only values that it may have, each with its name; empty: any that `check` takes.
    pub choices: &'static [(&'static str, &'static str)],
    /// A word of our choice that the provider must be told: a form offers one that nobody can guess.
    pub chosen_here: bool,
    /// Encrypted at rest, never shown again.
    pub secret: bool,
    /// Several values may be valid at once (secrets only).
    pub list: bool,
    pub required: bool,
    pub default: Option<&'static str>,
    pub check: Option<SettingCheck>,
}

impl SettingField {
    /// What a setting is that says nothing else: a text that need not be given.
    pub const PLAIN: Self = Self {
        name: "",
        label: "",
        help: "",
        choices: &[],
        chosen_here: false,
        secret: false,
        list: false,
        required: false,
        default: None,
        check: None,
    };
}

/// The secrets that can prove anything: with an empty one anybody could sign.
fn usable(secrets: &[SecretString]) -> impl Iterator<Item = &SecretString> {
    secrets.iter().filter(|secret| !secret.expose_secret().is_empty())
}

/// A webhook as it arrived.
pub struct WebhookRequest<'a> {
    /// A request header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The secret part of the URL, when it had one.
    pub url_token: Option<&'a str>,
    /// From where it came, as far as that is known.
    pub caller: Option<IpAddr>,
    pub body: &'a [u8],
}

/// The request was not signed with any secret of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct BadSignature;

/// An entry that this version cannot read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchFailure(pub String);

/// A file that a person sent, and how much trouble it is worth.
#[derive(Clone, Copy, Debug)]
pub struct MediaToFetch<'a> {
    /// The provider's id of the file, from its webhook.
    pub provider_media_id: &'a str,
    pub bytes_max: u64,
    /// Until the last byte.
    pub timeout: Duration,
    /// Who may be shown the connection's token beside its own host: names, or `*.` and a domain.
    pub token_hosts: &'a [String],
}

/// A file on its way, and what its provider said of it.
pub struct FetchedMedia {
    pub mime_type: Option<String>,
    pub size_bytes: Option<u64>,
    pub sha256: Option<[u8; 32]>,
    pub download: Download,
}

/// A file could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct MediaFailure {
    pub kind: MediaFailureKind,
    /// The provider's own advice.
    pub wait: Option<Duration>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFailureKind {
    /// It says nothing about the file: try again as long as the provider keeps it.
    Later,
    /// The provider says that there is no such file. It has been known to be wrong: try a few times.
    Refused,
    /// It would be the same each time.
    Never,
}

/// Everything that one webhook said, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    pub statuses: Vec<StatusUpdate>,
    pub inbound: Vec<Inbound>,
    /// What people want to be sent, and what not.
    pub preferences: Vec<Preference>,
    /// By which number and which id a person is known, wherever both were named; with repetitions.
    pub links: Vec<PersonLink>,
    /// What the business itself is told.
    pub notices: Vec<Notice>,
    /// Business accounts (the provider's ids) whose templates changed: time to sync them.
    pub templates_changed: Vec<String>,
    /// Parts that we could not read: kept raw and shown.
    pub skipped: Vec<Skipped>,
    /// Parts that are understood and of no use to anybody, such as the business's own words coming back: only counted.
    pub ignored: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// The provider's id of the number that received it.
    pub provider_number_id: String,
    pub message: InboundMessage,
    /// The provider's own entry.
    pub entry: String,
}

/// One person's telephone number and the provider's id of that person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonLink {
    /// The provider's id of the business number that they deal with.
    pub provider_number_id: String,
    pub phone: PhoneNumber,
    pub user_id: String,
}

impl PersonLink {
    /// `None` unless both names are there.
    pub fn of(provider_number_id: &str, phone: Option<&PhoneNumber>, user_id: Option<&String>) -> Option<Self> {
        let (phone, user_id) = phone.zip(user_id)?;
        Some(Self { provider_number_id: provider_number_id.to_owned(), phone: phone.clone(), user_id: user_id.clone() })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// JSON pointer into the webhook's body.
    pub pointer: String,
    pub reason: String,
    /// The part itself.
    pub entry: String,
}
