//! What a provider tells the business itself: a template was paused, a number's quality fell, an account was restricted. And
//! what else is no message and belongs into the log: a payment, an event that only the provider has, a webhook that fails.
//!
//! A notice is kept in the log of every account that it concerns, in our words beside the provider's own entry. What follows
//! from it (a list is read again, a template stops) is not decided here.

use serde::{Deserialize, Serialize};

use super::{event_name::System, template::TemplateStatus, time::UnixMillis, words::not_taken};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The provider's id of the business account; empty when only the number is named.
    pub provider_account_id: String,
    pub kind: NoticeKind,
    pub about: NoticeAbout,
    pub severity: Severity,
    /// A sentence for people.
    pub text: String,
    /// What the template is from now on, when the notice says so.
    pub template_status: Option<TemplateStatus>,
    pub occurred_at: Option<UnixMillis>,
    /// The provider's own entry, JSON.
    #[serde(with = "as_json")]
    pub entry: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    TemplateStatus,
    TemplateCategory,
    TemplateQuality,
    TemplateContent,
    NumberQuality,
    NumberName,
    /// To how many people the business may write, and how many numbers it may have.
    Limits,
    Account,
    Alert,
    Security,
    /// Errors that belong to no message.
    Errors,
    /// What became of a payment that somebody asked for in a chat.
    Payment,
    /// Somebody deleted a message.
    Deletion,
    /// What the provider alone has words for.
    ProviderEvent,
    /// Our own: a webhook does not take what it is told, for the first time since it was well.
    WebhookFailing,
    /// Our own: a webhook was switched off by the bridge.
    WebhookDisabled,
}

impl NoticeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TemplateStatus => "template_status",
            Self::TemplateCategory => "template_category",
            Self::TemplateQuality => "template_quality",
            Self::TemplateContent => "template_content",
            Self::NumberQuality => "number_quality",
            Self::NumberName => "number_name",
            Self::Limits => "limits",
            Self::Account => "account",
            Self::Alert => "alert",
            Self::Security => "security",
            Self::Errors => "errors",
            Self::Payment => "payment",
            Self::Deletion => "deletion",
            Self::ProviderEvent => "provider_event",
            Self::WebhookFailing => "webhook_failing",
            Self::WebhookDisabled => "webhook_disabled",
        }
    }

    /// Whether it may mean that a number is in another state than before.
    pub fn concerns_numbers(self) -> bool {
        match self {
            Self::TemplateStatus
            | Self::TemplateCategory
            | Self::TemplateQuality
            | Self::TemplateContent
            | Self::Payment
            | Self::Deletion
            | Self::ProviderEvent
            | Self::WebhookFailing
            | Self::WebhookDisabled => false,
            Self::NumberQuality
            | Self::NumberName
            | Self::Limits
            | Self::Account
            | Self::Alert
            | Self::Security
            | Self::Errors => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeAbout {
    Template {
        name: String,
        language: String,
    },
    /// A number, by whichever of its names the provider used.
    Number {
        provider_number_id: Option<String>,
        digits: Option<String>,
    },
    /// The whole business account.
    Account,
    /// A message, as far as the provider names it.
    Message(MessageNews),
    /// Something that happened at the provider.
    Event {
        system: System,
        /// The provider's own name for it.
        name: String,
        provider_number_id: Option<String>,
    },
    /// One of our webhooks.
    Webhook(WebhookTrouble),
}

/// What a provider says of a message, and is no status of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageNews {
    pub provider_number_id: Option<String>,
    /// The message that was deleted, or that asked for the payment.
    pub provider_message_id: Option<String>,
    /// The person's number, with its plus.
    pub phone: Option<String>,
    pub payment: Option<Payment>,
}

/// A payment, as far as the provider tells of it; its words are the provider's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookPayment)]
pub struct Payment {
    /// Of the order that was sent to the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "order-42")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "captured")]
    pub status: Option<String>,
    /// A decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "210.00")]
    pub amount: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "INR")]
    pub currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
}

/// A webhook that does not take what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTrouble {
    pub name: String,
    /// Requests in a row that were not taken.
    pub failures: u32,
    pub failing_since: UnixMillis,
    /// What came of the last of them.
    pub answer: String,
    /// The webhook that is told of it whatever else it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<String>,
}

/// A longer name of a provider's event is cut.
const EVENT_NAME_CHARS_MAX: usize = 100;

/// A provider's name for an event, so that it can be told in a header.
pub fn event_name_of(word: &str) -> String {
    let harmless = |letter: &char| letter.is_ascii_alphanumeric() || "._-:".contains(*letter);
    word.chars().filter(harmless).take(EVENT_NAME_CHARS_MAX).collect()
}

impl NoticeAbout {
    /// The provider's id of the number that it is about, where it names one.
    pub fn provider_number_id(&self) -> Option<&str> {
        match self {
            Self::Number { provider_number_id, .. } | Self::Event { provider_number_id, .. } => {
                provider_number_id.as_deref()
            }
            Self::Message(news) => news.provider_number_id.as_deref(),
            Self::Template { .. } | Self::Account | Self::Webhook(_) => None,
        }
    }
}

impl Notice {
    /// The webhook that it is about.
    pub fn webhook(&self) -> Option<&WebhookTrouble> {
        match &self.about {
            NoticeAbout::Webhook(trouble) => Some(trouble),
            NoticeAbout::Template { .. }
            | NoticeAbout::Number { .. }
            | NoticeAbout::Account
            | NoticeAbout::Message(_)
            | NoticeAbout::Event { .. } => None,
        }
    }

    /// The provider's name of what it alone has words for.
    pub fn event_name(&self) -> Option<&str> {
        match &self.about {
            NoticeAbout::Event { name, .. } => Some(name),
            NoticeAbout::Template { .. }
            | NoticeAbout::Number { .. }
            | NoticeAbout::Account
            | NoticeAbout::Message(_)
            | NoticeAbout::Webhook(_) => None,
        }
    }

    /// What the provider alone has words for, as it came.
    pub fn of_provider(
        (system, name): (System, String),
        (provider_account_id, provider_number_id): (String, Option<String>),
        occurred_at: Option<UnixMillis>,
        entry: String,
    ) -> Self {
        let name = event_name_of(&name);
        Self {
            provider_account_id,
            kind: NoticeKind::ProviderEvent,
            severity: Severity::Info,
            text: format!("{} tells of {name}", system.as_str()),
            about: NoticeAbout::Event { system, name, provider_number_id },
            template_status: None,
            occurred_at,
            entry: as_json::of(entry),
        }
    }

    /// A message was deleted, or a payment moved.
    pub fn of_message(
        news: MessageNews,
        provider_account_id: String,
        occurred_at: Option<UnixMillis>,
        entry: String,
    ) -> Self {
        let (kind, text) = match &news.payment {
            Some(payment) => {
                let status = payment.status.as_deref().unwrap_or("in a new state");
                (NoticeKind::Payment, format!("a payment is {status}"))
            }
            None => (NoticeKind::Deletion, "a message was deleted".to_owned()),
        };
        Self {
            provider_account_id,
            kind,
            severity: Severity::Info,
            text,
            about: NoticeAbout::Message(news),
            template_status: None,
            occurred_at,
            entry: as_json::of(entry),
        }
    }

    /// A webhook fails, or was switched off for that.
    pub fn of_webhook(trouble: WebhookTrouble, switched_off: bool, now: UnixMillis) -> Self {
        let WebhookTrouble { name, failures, answer, .. } = &trouble;
        let (kind, severity, text) = match switched_off {
            true => (
                NoticeKind::WebhookDisabled,
                Severity::Critical,
                format!("webhook {name} was switched off: {}: {answer}", not_taken(*failures)),
            ),
            false => (
                NoticeKind::WebhookFailing,
                Severity::Warning,
                format!("webhook {name} does not take what it is told: {answer}"),
            ),
        };
        Self {
            provider_account_id: String::new(),
            kind,
            severity,
            text,
            about: NoticeAbout::Webhook(trouble),
            template_status: None,
            occurred_at: Some(now),
            entry: "null".to_owned(),
        }
    }
}

/// How urgently a person should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Sending suffers, or will.
    Warning,
    /// Something does not send any more.
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// JSON within JSON as itself, and not as a string full of escapes.
mod as_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
    use serde_json::value::RawValue;

    pub(super) fn serialize<S: Serializer>(entry: &str, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(entry.to_owned()).map_err(S::Error::custom)?.serialize(serializer)
    }

    /// An entry that is no JSON, such as XML, becomes a text.
    pub(super) fn of(entry: String) -> String {
        match RawValue::from_string(entry.clone()) {
            Ok(raw) => raw.get().to_owned(),
            Err(_) => serde_json::Value::String(entry).to_string(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(Box::<RawValue>::deserialize(deserializer)?.get().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_alone_knows_is_kept_as_it_came_and_its_name_can_stand_in_a_header() {
        let kept = |name: &str, entry: &str| {
            let (what, whose) = ((System::CommBox, name.to_owned()), (String::new(), None));
            let notice = Notice::of_provider(what, whose, None, entry.to_owned());
            let stored = serde_json::to_string(&notice).expect("its parts are JSON");
            assert_eq!(serde_json::from_str::<Notice>(&stored).expect("it was just written"), notice);
            let NoticeAbout::Event { name, .. } = notice.about else { panic!("it is an event") };
            (name, notice.entry)
        };

        assert_eq!(kept("Object.OnNew\r\nX-Other: é", r#"{ "a": 1 }"#).0, "Object.OnNewX-Other:");
        assert_eq!(kept("Tag.OnAdd", r#"{ "a": 1 }"#).1, r#"{ "a": 1 }"#);
        assert_eq!(kept("Tag.OnAdd", r#"<Event Name="OnAdd"/>"#).1, r#""<Event Name=\"OnAdd\"/>""#);
    }

    #[test]
    fn a_notice_is_stored_with_the_providers_entry_as_it_came() {
        let notice = Notice {
            provider_account_id: "300".to_owned(),
            kind: NoticeKind::TemplateStatus,
            about: NoticeAbout::Template { name: "welcome".to_owned(), language: "en_US".to_owned() },
            severity: Severity::Critical,
            text: "it is paused".to_owned(),
            template_status: Some(TemplateStatus::Paused),
            occurred_at: Some(UnixMillis(5)),
            entry: r#"{ "field": "x\u00e9\/" }"#.to_owned(),
        };

        let stored = serde_json::to_string(&notice).expect("its parts are JSON");

        assert!(stored.contains(&notice.entry), "{stored}");
        assert_eq!(serde_json::from_str::<Notice>(&stored).expect("it was just written"), notice);
    }
}
