//! What happened, and who wants to hear of it.
//!
//! Every account has a log of [`Event`]s. A [`Subscription`] has a cursor: how far into the log its
//! callbacks have been delivered. What lies between the cursor and the end of the log is owed; it has
//! no row of its own unless it needs care.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    account::Hold,
    failure::Failure,
    ids::{AccountKey, MessageId, Place, SenderKey, SubscriptionKey},
    inbound::InboundMessage,
    notice::Notice,
    outbound::stored,
    phone::PhoneNumber,
    status::DeliveryStatus,
    time::UnixMillis,
    webhook::Webhook,
    webhook_people::PersonNews,
};

/// One line of an account's log, ready to be told.
#[derive(Clone, Debug)]
pub struct Event {
    pub place: Place,
    /// The number it is about.
    pub sender: SenderKey,
    /// `None` when the number was taken out of the configuration.
    pub sender_number: Option<PhoneNumber>,
    pub occurred_at: UnixMillis,
    pub recorded_at: UnixMillis,
    /// The message it reports on; for an inbound message the one that it quotes.
    pub message: Option<MessageId>,
    /// The platform's id of that message.
    pub platform_message_id: Option<String>,
    /// A status that the platform heard of the message already, before an operator sent it again.
    pub told_before: bool,
    /// Where our copy of the file of an inbound message can be fetched; none when there is no file.
    pub media_url: Option<String>,
    pub detail: EventDetail,
}

#[derive(Clone, Debug)]
pub enum EventDetail {
    Status {
        status: DeliveryStatus,
        failure: Option<Failure>,
    },
    Inbound(Box<InboundMessage>),
    Notice(Box<Notice>),
    /// How far a message of ours came before anything was reported of it.
    Outgoing(OutgoingStep),
    /// News of a contact or a conversation.
    Person(Box<PersonNews>),
    /// Stored by another version, or an entry that can no longer be read.
    Unreadable {
        why: String,
    },
}

impl EventDetail {
    /// The provider's id of an inbound message with a file that can be fetched.
    pub fn file_of(&self) -> Option<&str> {
        match self {
            Self::Inbound(message) => message.file().map(|_| message.provider_message_id.as_str()),
            Self::Status { .. } | Self::Notice(_) | Self::Outgoing(_) | Self::Person(_) | Self::Unreadable { .. } => {
                None
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    Status,
    Inbound,
    /// What the provider tells the business itself.
    Notice,
    /// Messages of ours before anything is reported of them. Only webhooks hear of it, and only where one wants to there are such
    /// lines.
    Outgoing,
    /// What became of contacts and conversations; only webhooks hear of it.
    Person,
}

stored!(EventKind {
    Status = 1 "status",
    Inbound = 2 "inbound",
    Notice = 3 "notice",
    Outgoing = 4 "outgoing",
    Person = 5 "person",
});

/// How far a message of ours came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingStep {
    /// The platform was told that it will be sent.
    Accepted,
    /// The provider took it.
    Taken,
}

impl OutgoingStep {
    /// As the log has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Taken => "taken",
        }
    }

    /// The reverse; `None` for a word of another version.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Accepted, Self::Taken].into_iter().find(|step| step.as_str() == word)
    }
}

/// A callback URL and what it wants to hear.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub key: SubscriptionKey,
    pub account: AccountKey,
    /// Which kind of event it wants.
    pub kind: EventKind,
    /// Only events of this number; `None`: of all numbers that have no subscription of their own for this kind.
    pub sender: Option<SenderKey>,
    /// The webhook that this is a cursor of; `None`: the platform's own callback URL.
    pub webhook: Option<Arc<Webhook>>,
    /// The platform's slug, or that of the webhook's profile: how events are written.
    pub dialect: String,
    /// Who knows it may post to it, so it is a secret.
    pub url: SecretString,
    pub hold: Option<Hold>,
    /// Somebody works on it. That of a webhook which is off keeps what became of its events, for whoever asks.
    pub is_on: bool,
}

/// One request to a callback URL and the events that it carries, by their index in the slice that was rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    pub events: Vec<usize>,
    pub body: String,
}

/// What a dialect made of a slice of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Renderings {
    /// In the order in which they must be sent.
    pub requests: Vec<Rendered>,
    /// Events that this dialect has no words for, by index, with the reason: kept and shown.
    pub unspeakable: Vec<(usize, String)>,
    /// Events that the platform must not hear of, by index (its own tests, what it has heard): passed over in silence.
    pub silent: Vec<usize>,
}

impl Subscription {
    /// Whether both tell the same things to the same place.
    pub fn tells_like(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        (self.account, self.kind, self.sender, &self.dialect)
            == (other.account, other.kind, other.sender, &other.dialect)
            && self.url.expose_secret() == other.url.expose_secret()
            && self.webhook.as_ref().map(|webhook| webhook.updated_at)
                == other.webhook.as_ref().map(|webhook| webhook.updated_at)
    }
}
