//! The dialects of those who call us: bytes to domain, domain to bytes. No IO, no clock.
//!
//! A platform is a folder here and a line in [`ALL`]. Nothing else in the bridge names one.

pub mod clevertap;

use secrecy::SecretString;

use crate::domain::{
    account::Account,
    callback::{Event, EventKind, Renderings},
    campaign::Grouping,
    failure::{FailureReason, Refusal},
    ids::MessageId,
    outbound::{Content, SendRequest},
    phone::PhoneNumber,
    template::{ListedTemplate, Template},
    time::UnixMillis,
};

/// One engagement platform's dialect.
pub trait Platform: Send + Sync {
    /// Its name in URLs, rows and logs.
    fn slug(&self) -> &'static str;

    /// Does this call speak for the account? Every comparison with a secret takes the same time,
    /// right or wrong.
    fn authenticate(&self, account: &Account, proof: &CallerProof<'_>) -> bool;

    /// How a caller may show that it speaks for the account, for whoever enters that at the platform.
    fn caller_ways(&self, account: &Account) -> Vec<CallerWay>;

    /// Understands a send request. A refusal names the part and says what to change.
    fn parse_send(&self, account: &Account, body: &[u8]) -> Result<SendRequest, Refusal>;

    /// A send request as the platform would make it for a test: [`Self::parse_send`] reads the same content out of it, and that it
    /// is a test.
    fn write_test(&self, from: &PhoneNumber, to: &str, content: &Content) -> String;

    /// The id in a send request that could not be understood, so that it is found by its id with the reason.
    fn message_id_within(&self, body: &[u8]) -> Option<String>;

    /// From which number and to whom such a request was; each empty where that cannot be read.
    fn parties_within(&self, body: &[u8]) -> (String, String);

    /// The answer to a send request, in the platform's shape.
    fn reply(&self, outcome: Result<&Accepted, &Refusal>) -> Reply;

    /// The campaign, its run and its variant, where one of its message ids names them: for
    /// grouping, and for stopping one. A test has none.
    fn grouping(&self, platform_message_id: &str) -> Option<Grouping>;

    /// Whether an id is that of its checks and tests, which all have the same.
    fn is_test_id(&self, platform_message_id: &str) -> bool;

    /// The platform's code of a failure: what a report of it would carry.
    fn failure_code(&self, reason: FailureReason) -> u16;

    /// Events into requests to a callback URL. All events are of one subscription of the account.
    fn render_callbacks(&self, account: &Account, events: &[Event]) -> Renderings;

    /// A request that tests a callback URL of this kind: it tells of no message, comes from nobody, and can be recognised as
    /// a test. An error says why there is none.
    fn render_callback_test(
        &self,
        account: &Account,
        kind: EventKind,
        number: &PhoneNumber,
        now: UnixMillis,
    ) -> Result<String, String>;

    /// How many people one request of [`Self::render_subscribers`] may name.
    fn subscribers_per_request_max(&self) -> usize;

    /// The request to the platform's own API that says who must not be sent to, and who may be again. An error
    /// says what is missing for it.
    fn render_subscribers(&self, account: &Account, people: &[Subscriber<'_>]) -> Result<OwnApiRequest, String>;

    /// Understands the body of its answer, when that was a success. An error is why it is none after all.
    fn read_subscribers(&self, answer: &[u8]) -> Result<SubscriberAnswer, String>;

    /// Understands what is asked of the list of templates, from the raw query of the URL.
    fn parse_template_query(&self, query: &str) -> Result<TemplateQuery, Refusal>;

    /// A page of that list, or why there is none. `own_url` is where the list was asked for, without its query.
    fn reply_templates(&self, query: &TemplateQuery, outcome: Result<&TemplatePage, &Refusal>, own_url: &str) -> Reply;
}

/// One of the ways in which a caller may show who it is: all of these, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerWay {
    pub name: &'static str,
    /// Headers by their names, or fields of the platform's form; `None` for a secret.
    pub parts: Vec<(String, Option<String>)>,
}

/// A person whom the platform is told of.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber<'a> {
    pub phone: &'a PhoneNumber,
    /// May be sent to again.
    pub welcome: bool,
}

/// A `POST` to a platform's own API, before HTTP.
#[derive(Debug)]
pub struct OwnApiRequest {
    pub url: String,
    pub headers: Vec<(&'static str, SecretString)>,
    /// JSON.
    pub body: String,
}

/// What the platform did not take of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberAnswer {
    pub refused: Vec<RefusedSubscriber>,
    /// Reasons that belong to somebody, but not to whom.
    pub refused_unnamed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedSubscriber {
    pub phone: PhoneNumber,
    pub why: String,
}

/// What a platform wants to know of an account's templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateQuery {
    /// Templates a page; the dialect has made it a sensible number.
    pub limit: usize,
    /// The last one of the page before.
    pub after: Option<TemplateKey>,
    /// The business number whose templates they are, as typed; none: those of all numbers.
    pub number: Option<String>,
    /// A part of the name.
    pub name: Option<String>,
    pub language: Option<String>,
    /// In the provider's words, which templates keep.
    pub category: Option<String>,
    pub status: Option<String>,
}

impl TemplateQuery {
    /// Does the template pass the filters? Words are compared without regard to case.
    pub fn wants(&self, template: &Template) -> bool {
        let same =
            |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is));
        self.name.as_ref().is_none_or(|part| template.name.contains(&part.to_ascii_lowercase()))
            && same(&self.language, &template.language)
            && same(&self.category, &word(&template.category))
            && same(&self.status, &word(&template.status))
    }
}

/// The word that a status or a category is written with.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).expect("a word can be written as JSON");
    value.as_str().unwrap_or_default().to_owned()
}

/// What a list of templates is ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateKey {
    pub name: String,
    pub language: String,
}

impl TemplateKey {
    pub fn of(template: &Template) -> Self {
        Self { name: template.name.clone(), language: template.language.clone() }
    }
}

/// Templates in their order, and whether there are more behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplatePage {
    pub templates: Vec<ListedTemplate>,
    pub more: bool,
}

/// Every platform this build can serve. Adding one is a folder and a line here.
pub static ALL: &[&dyn Platform] = &[&clevertap::CleverTap];

/// The platform with this slug.
pub fn find(slug: &str) -> Option<&'static dyn Platform> {
    ALL.iter().copied().find(|platform| platform.slug() == slug)
}

/// Why messages failed of which platforms are told this code. One code may stand for several reasons.
pub fn reasons_told_as(code: i64) -> Vec<FailureReason> {
    let is_told = |reason: &FailureReason| ALL.iter().any(|platform| i64::from(platform.failure_code(*reason)) == code);
    FailureReason::ALL.into_iter().filter(is_told).collect()
}

/// The pairs that a customer attached to a request, as it was stored; none when this version cannot read it.
pub fn custom_pairs(account: &Account, request: &str) -> Vec<(String, String)> {
    read_stored(account, request).map(|request| request.custom).unwrap_or_default()
}

/// A stored request; `None` when this version cannot read it.
pub fn read_stored(account: &Account, request: &str) -> Option<SendRequest> {
    find(&account.platform)?.parse_send(account, request.as_bytes()).ok()
}

/// What a caller shows to prove who it is.
pub struct CallerProof<'a> {
    /// A request header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The secret part of the URL, when it had one.
    pub url_token: Option<&'a str>,
    /// When it was shown: some secrets end.
    pub now: UnixMillis,
}

/// A request that we took, or that we had taken before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `None` when it was only checked, because it is a test that nobody wants to be sent.
    pub message: Option<MessageId>,
    /// The same request came before; this is the answer that it got.
    pub repeat: bool,
}

/// An HTTP answer, before HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub http_status: u16,
    /// JSON.
    pub body: String,
}
