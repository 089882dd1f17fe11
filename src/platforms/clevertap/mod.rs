//! CleverTap's "Generic (Other)" provider protocol, as its public page *Generic WhatsApp* describes it and
//! as its customers have seen it in the field.
//!
//! CleverTap posts one JSON document a message and reads our answer within a second ([`request`],
//! [`reply`]); delivery reports and inbound messages go the other way, to callback URLs of each account
//! ([`callback`], [`inbound`]). When somebody presses the button it asks for our list of templates ([`templates`]). On demand
//! its own API is told who must not be sent to ([`subscribe`]). Where its samples contradict each other we read every form
//! and write the one that is
//! documented.

mod callback;
mod complaint;
mod credentials;
mod grouping;
mod inbound;
mod reply;
mod request;
mod sample;
mod subscribe;
mod templates;
mod tolerant;
mod wire;

use super::{
    Accepted, CallerProof, CallerWay, OwnApiRequest, Platform, Reply, Subscriber, SubscriberAnswer, TemplatePage,
    TemplateQuery,
};
use crate::domain::{
    account::Account,
    callback::{Event, EventKind, Renderings},
    campaign::Grouping,
    failure::{FailureReason, Refusal},
    outbound::{Content, SendRequest},
    phone::PhoneNumber,
    time::UnixMillis,
};

pub use callback::{CALLBACK_BODY_BYTES_MAX, STATUSES_PER_CALLBACK_MAX};
pub use request::MESSAGE_ID_CHARS_MAX;
pub use subscribe::SUBSCRIBERS_PER_CALL_MAX;
pub use templates::TEMPLATES_PER_PAGE_MAX;

pub struct CleverTap;

impl Platform for CleverTap {
    fn slug(&self) -> &'static str {
        "clevertap"
    }

    fn authenticate(&self, account: &Account, proof: &CallerProof<'_>) -> bool {
        credentials::speaks_for(account, proof)
    }

    fn caller_ways(&self, account: &Account) -> Vec<CallerWay> {
        credentials::ways(account)
    }

    fn parse_send(&self, account: &Account, body: &[u8]) -> Result<SendRequest, Refusal> {
        request::read(body).map(|request| with_aliases(account, request))
    }

    fn write_test(&self, from: &PhoneNumber, to: &str, content: &Content) -> String {
        sample::write(from, to, content)
    }

    fn message_id_within(&self, body: &[u8]) -> Option<String> {
        request::message_id_within(body)
    }

    fn parties_within(&self, body: &[u8]) -> (String, String) {
        request::parties_within(body)
    }

    fn reply(&self, outcome: Result<&Accepted, &Refusal>) -> Reply {
        reply::write(outcome)
    }

    fn is_test_id(&self, platform_message_id: &str) -> bool {
        is_test_id(platform_message_id)
    }

    fn grouping(&self, platform_message_id: &str) -> Option<Grouping> {
        grouping::grouping(platform_message_id)
    }

    fn failure_code(&self, reason: FailureReason) -> u16 {
        callback::code_of(reason)
    }

    fn render_callbacks(&self, account: &Account, events: &[Event]) -> Renderings {
        callback::render(&account.policy, events)
    }

    fn render_callback_test(
        &self,
        account: &Account,
        kind: EventKind,
        number: &PhoneNumber,
        now: UnixMillis,
    ) -> Result<String, String> {
        callback::render_test(&account.policy, kind, number, now)
    }

    fn subscribers_per_request_max(&self) -> usize {
        SUBSCRIBERS_PER_CALL_MAX
    }

    fn render_subscribers(&self, account: &Account, people: &[Subscriber<'_>]) -> Result<OwnApiRequest, String> {
        subscribe::write(account, people)
    }

    fn read_subscribers(&self, answer: &[u8]) -> Result<SubscriberAnswer, String> {
        subscribe::read(answer)
    }

    fn parse_template_query(&self, query: &str) -> Result<TemplateQuery, Refusal> {
        templates::read_query(query)
    }

    fn reply_templates(&self, query: &TemplateQuery, outcome: Result<&TemplatePage, &Refusal>, own_url: &str) -> Reply {
        match outcome {
            Ok(page) => templates::write_page(query, page, own_url),
            Err(refusal) => reply::no_templates(refusal),
        }
    }
}

/// The template that the account has stand for the one that was asked for.
fn with_aliases(account: &Account, mut request: SendRequest) -> SendRequest {
    if let Content::Template(content) = &mut request.content {
        let meant = account.policy.template_meant(&content.name);
        if meant != content.name {
            let meant = meant.to_owned();
            content.asked_for = Some(std::mem::replace(&mut content.name, meant));
        }
    }
    request
}

/// CleverTap's checks and tests carry an id of zeros, `0|0|0|0` or one part more. So does every other check,
/// and a message without any id is no better: such an id is not unique and nothing is reported of it.
fn is_test_id(platform_message_id: &str) -> bool {
    platform_message_id.bytes().all(|byte| matches!(byte, b'0' | b'|' | b' '))
}
