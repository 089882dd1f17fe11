//! What an operator is to be told of: something is wrong, or is well again.

use serde::Serialize;

/// What can be wrong. The words are part of the webhook's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    ConnectionHeld,
    NumberHeld,
    TokenRefused,
    TemplateStopped,
    QualityRed,
    /// The provider lets a number write to more or fewer people than before.
    TierChanged,
    LimitReached,
    CallbacksFailing,
    SubscriptionsRefused,
    WebhooksSilent,
    /// The bridge gave up on an outgoing webhook.
    WebhookSwitchedOff,
    QueueLate,
    DiskFull,
}

impl AlarmKind {
    pub const ALL: [Self; 13] = [
        Self::ConnectionHeld,
        Self::NumberHeld,
        Self::TokenRefused,
        Self::TemplateStopped,
        Self::QualityRed,
        Self::TierChanged,
        Self::LimitReached,
        Self::CallbacksFailing,
        Self::SubscriptionsRefused,
        Self::WebhooksSilent,
        Self::WebhookSwitchedOff,
        Self::QueueLate,
        Self::DiskFull,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionHeld => "connection_held",
            Self::NumberHeld => "number_held",
            Self::TokenRefused => "token_refused",
            Self::TemplateStopped => "template_stopped",
            Self::QualityRed => "quality_red",
            Self::TierChanged => "tier_changed",
            Self::LimitReached => "limit_reached",
            Self::CallbacksFailing => "callbacks_failing",
            Self::SubscriptionsRefused => "subscriptions_refused",
            Self::WebhooksSilent => "webhooks_silent",
            Self::WebhookSwitchedOff => "webhook_switched_off",
            Self::QueueLate => "queue_late",
            Self::DiskFull => "disk_full",
        }
    }

    /// The kind by its word; `None` for one of another version.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What is wrong then, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ConnectionHeld => "credentials are refused, or an operator stopped it: none of its numbers sends",
            Self::NumberHeld => "the provider does not let it send, or an operator stopped it",
            Self::TokenRefused => "lists of templates and numbers cannot be read; sending stops next",
            Self::TemplateStopped => "WhatsApp paused or disabled it: its messages wait, and fail when they expire",
            Self::QualityRed => "people block or report a number: WhatsApp may limit it",
            Self::TierChanged => "a number may write to more or fewer new people a day than before; news for a day",
            Self::LimitReached => "a number has written to as many new people as it may: the others wait",
            Self::CallbacksFailing => "CleverTap, or whoever a webhook is for, does not hear of what happens",
            Self::SubscriptionsRefused => "CleverTap does not take who opted out, and goes on addressing them",
            Self::WebhooksSilent => "messages are sent, and nobody says what becomes of them",
            Self::WebhookSwitchedOff => "a webhook took nothing for so long that it is told no more",
            Self::QueueLate => "messages leave slower than they may, or later than they should",
            Self::DiskFull => "on a full disk nothing is accepted",
        }
    }

    /// Whether it is a piece of news: another text is another one, and nobody is told that it is over.
    pub fn is_news(self) -> bool {
        match self {
            Self::TierChanged => true,
            Self::ConnectionHeld
            | Self::NumberHeld
            | Self::TokenRefused
            | Self::TemplateStopped
            | Self::QualityRed
            | Self::LimitReached
            | Self::CallbacksFailing
            | Self::SubscriptionsRefused
            | Self::WebhooksSilent
            | Self::WebhookSwitchedOff
            | Self::QueueLate
            | Self::DiskFull => false,
        }
    }

    /// Whether it is told again while it lasts. A template may stay disabled for ever, and nobody has to do anything.
    pub fn reminds(self) -> bool {
        match self {
            Self::TemplateStopped | Self::QualityRed | Self::TierChanged => false,
            Self::ConnectionHeld
            | Self::NumberHeld
            | Self::TokenRefused
            | Self::LimitReached
            | Self::CallbacksFailing
            | Self::SubscriptionsRefused
            | Self::WebhooksSilent
            | Self::WebhookSwitchedOff
            | Self::QueueLate
            | Self::DiskFull => true,
        }
    }
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub kind: AlarmKind,
    /// What it is about, always in the same words: `connection meta-main`.
    pub subject: String,
    /// What is so, without secrets and without people.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in AlarmKind::ALL {
            assert_eq!(AlarmKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        }
        assert_eq!(AlarmKind::parse("moon_full"), None);
    }
}
