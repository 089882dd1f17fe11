//! What Meta tells the business itself, field by field, as a sentence with a severity.
//!
//! The samples in Meta's documentation disagree with what arrives (ids as numbers or strings, `en-US` for `en_US`, details beside
//! or inside the object they belong to), so every value is looked for where it may be, and a notice without it is a notice
//! still. Words that are not known here are quoted as they are.

use serde_json::value::RawValue;

use super::{Text, Value, errors, read};
use crate::domain::{
    failure::FailureClass,
    notice::{Notice, NoticeAbout, NoticeKind, Severity},
    template::TemplateStatus,
    time::UnixMillis,
};

/// Where a notice stands in its webhook.
pub(super) struct Envelope<'a> {
    /// The business account.
    pub(super) account: &'a str,
    pub(super) time: Option<UnixMillis>,
    /// The whole change, or the part of it that is the notice.
    pub(super) raw: &'a RawValue,
}

/// What one reader found.
struct Told {
    kind: NoticeKind,
    about: NoticeAbout,
    severity: Severity,
    text: String,
    template_status: Option<TemplateStatus>,
}

/// A field that tells the business something; `None` for others.
pub(super) fn read_notice(field: &str, value: &RawValue, envelope: &Envelope<'_>) -> Option<Result<Notice, String>> {
    let read_told: fn(&Value<'_>) -> Told = match field {
        "message_template_status_update" => template_status,
        "template_category_update" => template_category,
        "message_template_quality_update" => template_quality,
        // Of its components, and whatever else will be said of templates.
        field if field.starts_with("message_template_") => template_content,
        "phone_number_quality_update" => number_quality,
        "phone_number_name_update" => number_name,
        "business_capability_update" => limits,
        "account_update" => account_update,
        "account_review_update" => account_review,
        "account_alerts" => account_alert,
        "security" => security,
        _ => return None,
    };
    Some(match serde_json::from_str::<Value<'_>>(value.get()) {
        Ok(value) => Ok(envelope.notice(read_told(&value))),
        Err(error) => Err(super::odd(&error)),
    })
}

/// Errors that belong to a number and to no message.
pub(super) fn errors_of_a_number(number_id: &str, errors: &RawValue, envelope: &Envelope<'_>) -> Notice {
    let severity = match errors::report_code(errors).and_then(errors::row).map(|row| row.class) {
        Some(FailureClass::Hold) => Severity::Critical,
        Some(
            FailureClass::Retry
            | FailureClass::Slow
            | FailureClass::Swap
            | FailureClass::GiveUp
            | FailureClass::Unknown,
        )
        | None => Severity::Warning,
    };
    envelope.notice(Told {
        kind: NoticeKind::Errors,
        about: NoticeAbout::Number { provider_number_id: Some(number_id.to_owned()), digits: None },
        severity,
        text: format!("Meta reports an error of the number: {}", errors::report_text(errors)),
        template_status: None,
    })
}

impl Envelope<'_> {
    fn notice(&self, told: Told) -> Notice {
        Notice {
            provider_account_id: self.account.to_owned(),
            kind: told.kind,
            about: told.about,
            severity: told.severity,
            text: told.text.chars().take(TEXT_CHARS_MAX).collect(),
            template_status: told.template_status,
            occurred_at: self.time,
            entry: self.raw.get().to_owned(),
        }
    }
}

/// Longer sentences are cut: the whole entry is kept beside them.
const TEXT_CHARS_MAX: usize = 500;

fn template_status(value: &Value<'_>) -> Told {
    let event = upper(value, "event");
    let (said, severity) = match event.as_str() {
        "APPROVED" => ("was approved", Severity::Info),
        "PENDING" => ("is being reviewed", Severity::Info),
        "IN_APPEAL" => ("is being reviewed again", Severity::Info),
        "REJECTED" => ("was rejected", Severity::Warning),
        "PAUSED" => ("is paused: Meta takes no message with it until the pause ends", Severity::Critical),
        "DISABLED" => ("is disabled: Meta takes no message with it any more", Severity::Critical),
        "FLAGGED" => ("has drawn complaints and will be disabled unless its quality improves", Severity::Warning),
        "REINSTATED" => ("can be sent again", Severity::Info),
        "LIMIT_EXCEEDED" => ("cannot be used: the business account has too many templates", Severity::Warning),
        "LOCKED" => ("is locked and cannot be edited", Severity::Warning),
        "PENDING_DELETION" => ("is being deleted", Severity::Warning),
        "DELETED" => ("was deleted", Severity::Warning),
        "ARCHIVED" => ("was archived because it was not used", Severity::Warning),
        "UNARCHIVED" => ("is back from the archive", Severity::Info),
        "" => ("changed its status", Severity::Info),
        _ => ("has a new status", Severity::Info),
    };
    let template_status = match event.as_str() {
        "" | "FLAGGED" => None,
        "APPROVED" | "REINSTATED" => Some(TemplateStatus::Approved),
        "PAUSED" => Some(TemplateStatus::Paused),
        "DISABLED" => Some(TemplateStatus::Disabled),
        "PENDING" => Some(TemplateStatus::Pending),
        "REJECTED" => Some(TemplateStatus::Rejected),
        other => Some(TemplateStatus::Other(other.to_owned())),
    };
    let event = word(value, "event").map_or_else(String::new, |event| format!(" ({event})"));
    let reasons = [
        word(value, "reason").filter(|reason| reason != "NONE"),
        inner(value, "other_info", "title"),
        inner(value, "other_info", "description"),
        // Beside the reason or above it: the documentation shows both.
        inner(value, "rejection_info", "reason"),
        inner(value, "rejection_info", "recommendation"),
        inner(value, "disable_info", "disable_date").map(|date| format!("from {date}")),
    ];
    Told {
        kind: NoticeKind::TemplateStatus,
        about: template(value),
        severity,
        text: sentence(&format!("{} {said}{event}", template_name(value)), reasons),
        template_status,
    }
}

fn template_category(value: &Value<'_>) -> Told {
    let name = template_name(value);
    let new = word(value, "new_category").unwrap_or_else(|| "?".to_owned());
    let text = match (word(value, "correct_category"), word(value, "previous_category")) {
        // Announced: the "new" one is still the one in force.
        (Some(correct), None) => {
            let when = word(value, "category_update_timestamp").and_then(|time| super::moment(&time).ok());
            let when = when.map_or_else(|| "soon".to_owned(), |when| format!("on {when}"));
            format!("{name} will change its category from {new} to {correct} {when}")
        }
        (_, Some(previous)) => format!("{name} changed its category from {previous} to {new}"),
        (None, None) => format!("{name} is now of category {new}"),
    };
    Told {
        kind: NoticeKind::TemplateCategory,
        about: template(value),
        // It is paid for, and limited, by its category.
        severity: Severity::Warning,
        text,
        template_status: None,
    }
}

fn template_quality(value: &Value<'_>) -> Told {
    let new = upper(value, "new_quality_score");
    let before = word(value, "previous_quality_score").map_or_else(String::new, |before| format!(" after {before}"));
    Told {
        kind: NoticeKind::TemplateQuality,
        about: template(value),
        severity: if matches!(new.as_str(), "RED" | "YELLOW") { Severity::Warning } else { Severity::Info },
        text: format!("the quality of {} is {new}{before}", template_name(value)),
        template_status: None,
    }
}

fn template_content(value: &Value<'_>) -> Told {
    Told {
        kind: NoticeKind::TemplateContent,
        about: template(value),
        severity: Severity::Info,
        text: format!("{} was changed", template_name(value)),
        template_status: None,
    }
}

fn number_quality(value: &Value<'_>) -> Told {
    let event = upper(value, "event");
    let (said, severity) = match event.as_str() {
        "FLAGGED" => ("is flagged: its quality is low, and its limit will fall unless it improves", Severity::Critical),
        "DOWNGRADE" => ("may write to fewer people a day than before", Severity::Warning),
        "UNFLAGGED" => ("is not flagged any more", Severity::Info),
        "UPGRADE" => ("may write to more people a day than before", Severity::Info),
        "THROUGHPUT_UPGRADE" => ("may send faster: raise its messages_per_second to use that", Severity::Info),
        "ONBOARDING" => ("was added", Severity::Info),
        _ => ("has news of its quality", Severity::Info),
    };
    let event = word(value, "event").map_or_else(String::new, |event| format!(" ({event})"));
    let limit = word(value, "max_daily_conversations_per_business").or_else(|| word(value, "current_limit"));
    let old = word(value, "old_limit").map(|limit| format!("limit before {limit}"));
    Told {
        kind: NoticeKind::NumberQuality,
        about: number(value),
        severity,
        text: sentence(
            &format!("{} {said}{event}", number_name_of(value)),
            [limit.map(|limit| format!("limit {limit}")), old],
        ),
        template_status: None,
    }
}

fn number_name(value: &Value<'_>) -> Told {
    let decision = upper(value, "decision");
    let name = word(value, "requested_verified_name").map_or_else(String::new, |name| format!(" {name:?}"));
    let approved = matches!(decision.as_str(), "APPROVED" | "AVAILABLE_WITHOUT_REVIEW");
    Told {
        kind: NoticeKind::NumberName,
        about: number(value),
        severity: if approved { Severity::Info } else { Severity::Warning },
        text: sentence(
            &format!("the display name{name} of {} was decided on: {decision}", number_name_of(value)),
            [word(value, "rejection_reason").filter(|reason| reason != "NONE")],
        ),
        template_status: None,
    }
}

fn limits(value: &Value<'_>) -> Told {
    let people = word(value, "max_daily_conversations_per_business")
        .or_else(|| word(value, "max_daily_conversation_per_phone"))
        .map(|limit| format!("{limit} people a day"));
    let numbers = word(value, "max_phone_numbers_per_waba")
        .or_else(|| word(value, "max_phone_numbers_per_business"))
        .map(|count| format!("{count} numbers"));
    Told {
        kind: NoticeKind::Limits,
        about: NoticeAbout::Account,
        severity: Severity::Info,
        text: sentence("the limits of the business account are new", [people, numbers]),
        template_status: None,
    }
}

fn account_update(value: &Value<'_>) -> Told {
    let event = upper(value, "event");
    let ban = inner(value, "ban_info", "waba_ban_state").map(|state| state.to_ascii_uppercase());
    let (said, severity) = match (event.as_str(), ban.as_deref()) {
        ("ACCOUNT_DELETED", _) => ("was deleted", Severity::Critical),
        ("ACCOUNT_RESTRICTION", _) => ("is restricted", Severity::Critical),
        ("ACCOUNT_VIOLATION", _) => ("broke a rule of Meta's", Severity::Critical),
        ("DISABLED_UPDATE", Some("REINSTATE")) => ("can be used again", Severity::Info),
        ("DISABLED_UPDATE", _) => ("is disabled, or will be", Severity::Critical),
        ("PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED", _) => ("took away an app's access", Severity::Critical),
        _ => ("has news", Severity::Info),
    };
    let event = word(value, "event").map_or_else(String::new, |event| format!(" ({event})"));
    let restrictions: Option<Vec<Value<'_>>> = value.get("restriction_info").copied().and_then(read);
    let restrictions: Vec<String> = restrictions
        .unwrap_or_default()
        .iter()
        .take(RESTRICTIONS_NAMED_MAX)
        .filter_map(|restriction| {
            let kind = word(restriction, "restriction_type")?;
            let until = word(restriction, "expiration").and_then(|time| super::moment(&time).ok());
            Some(until.map_or_else(|| kind.clone(), |until| format!("{kind} until {until}")))
        })
        .collect();
    let details = [
        inner(value, "violation_info", "violation_type"),
        ban,
        inner(value, "ban_info", "waba_ban_date"),
        Some(restrictions.join(", ")).filter(|text| !text.is_empty()),
    ];
    Told {
        kind: NoticeKind::Account,
        about: NoticeAbout::Account,
        severity,
        text: sentence(&format!("the business account {said}{event}"), details),
        template_status: None,
    }
}

/// A sentence names so many restrictions; the entry has them all.
const RESTRICTIONS_NAMED_MAX: usize = 5;

fn account_review(value: &Value<'_>) -> Told {
    let decision = upper(value, "decision");
    Told {
        kind: NoticeKind::Account,
        about: NoticeAbout::Account,
        severity: if decision == "REJECTED" { Severity::Critical } else { Severity::Info },
        text: format!("the review of the business account ended with {decision}"),
        template_status: None,
    }
}

fn account_alert(value: &Value<'_>) -> Told {
    let detail = |name: &str| word(value, name).or_else(|| inner(value, "alert_info", name));
    let severity = match detail("alert_severity").map(|word| word.to_ascii_uppercase()).as_deref() {
        Some("CRITICAL") => Severity::Critical,
        Some("WARNING") => Severity::Warning,
        Some(_) | None => Severity::Info,
    };
    let kind = detail("alert_type").unwrap_or_else(|| "of unknown kind".to_owned());
    Told {
        kind: NoticeKind::Alert,
        about: NoticeAbout::Account,
        severity,
        text: sentence(&format!("Meta's alert {kind}"), [detail("alert_status"), detail("alert_description")]),
        template_status: None,
    }
}

fn security(value: &Value<'_>) -> Told {
    let event = word(value, "event").unwrap_or_else(|| "an unnamed event".to_owned());
    Told {
        kind: NoticeKind::Security,
        about: number(value),
        severity: Severity::Warning,
        text: sentence(
            &format!("the security settings of {} were touched: {event}", number_name_of(value)),
            [word(value, "requester").map(|who| format!("by user {who}"))],
        ),
        template_status: None,
    }
}

fn template(value: &Value<'_>) -> NoticeAbout {
    NoticeAbout::Template {
        name: word(value, "message_template_name").unwrap_or_default(),
        // The listing has it with an underscore, and it is the listing that is compared with.
        language: word(value, "message_template_language").unwrap_or_default().replace('-', "_"),
    }
}

fn template_name(value: &Value<'_>) -> String {
    match template(value) {
        NoticeAbout::Template { name, language } if !name.is_empty() => format!("template {name} ({language})"),
        NoticeAbout::Template { .. }
        | NoticeAbout::Number { .. }
        | NoticeAbout::Account
        | NoticeAbout::Message(_)
        | NoticeAbout::Event { .. }
        | NoticeAbout::Webhook(_) => {
            format!("template {}", word(value, "message_template_id").unwrap_or_else(|| "without a name".to_owned()))
        }
    }
}

fn number(value: &Value<'_>) -> NoticeAbout {
    let digits = word(value, "display_phone_number").map(|number| number.replace(|c: char| !c.is_ascii_digit(), ""));
    NoticeAbout::Number {
        provider_number_id: word(value, "phone_number_id"),
        digits: digits.filter(|digits| !digits.is_empty()),
    }
}

fn number_name_of(value: &Value<'_>) -> String {
    match number(value) {
        NoticeAbout::Number { digits: Some(digits), .. } => format!("the number +{digits}"),
        NoticeAbout::Number { .. }
        | NoticeAbout::Template { .. }
        | NoticeAbout::Account
        | NoticeAbout::Message(_)
        | NoticeAbout::Event { .. }
        | NoticeAbout::Webhook(_) => "a number".to_owned(),
    }
}

/// What is said, and its details as far as there are any.
fn sentence<const N: usize>(said: &str, details: [Option<String>; N]) -> String {
    let details: Vec<String> = details.into_iter().flatten().collect();
    if details.is_empty() { said.to_owned() } else { format!("{said}: {}", details.join("; ")) }
}

fn word(value: &Value<'_>, name: &str) -> Option<String> {
    let text = read::<Text<'_>>(value.get(name)?)?.into_string();
    Some(text).filter(|text| !text.is_empty())
}

fn inner(value: &Value<'_>, object: &str, name: &str) -> Option<String> {
    word(&read::<Value<'_>>(value.get(object)?)?, name)
}

fn upper(value: &Value<'_>, name: &str) -> String {
    word(value, name).unwrap_or_default().to_ascii_uppercase()
}
