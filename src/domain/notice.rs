//! What a provider tells the business itself: a template was paused, a number's quality fell, an account was restricted.
//!
//! A notice is kept in the log of every account that it concerns, in our words beside the provider's own entry. What follows
//! from it (a list is read again, a template stops) is not decided here.

use serde::{Deserialize, Serialize};

use super::{template::TemplateStatus, time::UnixMillis};

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
        }
    }

    /// Whether it may mean that a number is in another state than before.
    pub fn concerns_numbers(self) -> bool {
        match self {
            Self::TemplateStatus | Self::TemplateCategory | Self::TemplateQuality | Self::TemplateContent => false,
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

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(Box::<RawValue>::deserialize(deserializer)?.get().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
