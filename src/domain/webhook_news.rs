//! What events tell that are about no message's status: what a provider says of templates, numbers, payments and its own matters,
//! and how another webhook fares. Each is made from a notice of the log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    event_name::Direction,
    notice::{MessageNews, Notice, NoticeAbout, WebhookTrouble},
    webhook_event::{Contact, Facts, Message, Quoted, Raw, TemplateRef},
};

/// What the provider says about a template, a number or the business account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookNotice)]
pub struct NoticeFacts {
    #[schema(example = "template_status")]
    pub kind: String,
    /// Info, warning or critical.
    #[schema(example = "critical")]
    pub severity: String,
    /// A sentence for people.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// What the template is from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "paused")]
    pub template_status: Option<String>,
    /// The digits of the number that it is about, when it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// What a provider alone has words for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookProviderEvent)]
pub struct ProviderEventFacts {
    /// As the provider calls it. A filter may ask for it: `/data/provider_event/name`.
    #[schema(example = "Form.OnSubmit")]
    pub name: String,
    /// As it came; left out of minimal payloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<Raw>,
}

/// Another webhook, which does not take what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookTrouble)]
pub struct WebhookFacts {
    #[schema(example = "crm")]
    pub name: String,
    /// Requests in a row that were not taken.
    #[schema(example = 1)]
    pub failures: u32,
    #[schema(format = DateTime, example = "2026-11-20T09:14:00.000Z")]
    pub failing_since: String,
    /// What came of the last of them.
    #[schema(example = "HTTP 503: down for maintenance")]
    pub answer: String,
}

impl Facts {
    /// What a notice tells, and no more: `shared` has what is known beside it.
    pub(super) fn of_notice(notice: &Notice, shared: Self) -> Self {
        // The log keeps a notice in our words, and the provider's entry within.
        let raw = Some(Raw::new(notice.entry.clone()));
        match &notice.about {
            NoticeAbout::Template { .. } | NoticeAbout::Number { .. } | NoticeAbout::Account => {
                Self { notice: Some(NoticeFacts::of(notice)), raw, ..shared }
            }
            NoticeAbout::Message(news) => Self { raw, ..of_message(news, shared) },
            NoticeAbout::Event { name, .. } => {
                let payload = raw.clone();
                Self { provider_event: Some(ProviderEventFacts { name: name.clone(), payload }), raw, ..shared }
            }
            // Neither a number nor a provider has to do with it.
            NoticeAbout::Webhook(trouble) => {
                Self { webhook: Some(WebhookFacts::of(trouble)), channel: None, raw: None, ..shared }
            }
        }
    }
}

fn of_message(news: &MessageNews, shared: Facts) -> Facts {
    let quoted = Quoted { provider_id: news.provider_message_id.clone(), ..Quoted::default() };
    let status = match &news.payment {
        Some(payment) => payment.status.clone(),
        None => Some("deleted".to_owned()),
    };
    Facts {
        message: Some(Message {
            direction: news.payment.is_some().then_some(Direction::In),
            replies_to: Some(quoted).filter(|quoted| *quoted != Quoted::default()),
            status,
            ..Message::default()
        }),
        contact: news.phone.clone().map(|phone| Contact { phone: Some(phone), ..Contact::default() }),
        payment: news.payment.clone(),
        ..shared
    }
}

impl WebhookFacts {
    fn of(trouble: &WebhookTrouble) -> Self {
        Self {
            name: trouble.name.clone(),
            failures: trouble.failures,
            failing_since: trouble.failing_since.to_string(),
            answer: trouble.answer.clone(),
        }
    }
}

impl NoticeFacts {
    fn of(notice: &Notice) -> Self {
        let (template, number) = match &notice.about {
            NoticeAbout::Template { name, language } => {
                (Some(TemplateRef { name: name.clone(), language: language.clone(), file: None }), None)
            }
            NoticeAbout::Number { digits, .. } => (None, digits.clone()),
            NoticeAbout::Account | NoticeAbout::Message(_) | NoticeAbout::Event { .. } | NoticeAbout::Webhook(_) => {
                (None, None)
            }
        };
        Self {
            kind: notice.kind.as_str().to_owned(),
            severity: notice.severity.as_str().to_owned(),
            text: notice.text.clone(),
            template,
            template_status: notice.template_status.as_ref().map(ToString::to_string),
            number,
        }
    }
}
