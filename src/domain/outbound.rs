//! One message on its way out: what was asked, and where our work on it stands.

use serde::{Deserialize, Serialize};

use super::{
    ids::MessageId,
    phone::PhoneNumber,
    template::{FilledTemplate, TemplateContent},
};

/// What a platform asked for, in our words. Nothing in it has been checked against the world.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SendRequest {
    /// The platform's own id, which comes back in every callback.
    pub platform_message_id: String,
    pub purpose: Purpose,
    /// As typed.
    pub to: String,
    /// The business number, as typed.
    pub from: String,
    pub content: Content,
    /// Pairs that the customer attached: kept, shown, never interpreted.
    pub custom: Vec<(String, String)>,
}

/// Why the platform sends this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Purpose {
    /// A message for a person, with an id of its own.
    Message,
    /// A test: its id is not unique, nothing about it is reported. Whether it is also sent is the account's policy.
    Test {
        /// Nobody ever meant this one to be sent.
        never_send: bool,
        /// Every parameter equals its own index: made by a machine.
        generated: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Content {
    Template(TemplateContent),
    Freeform(Freeform),
}

/// A message in an open conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Freeform {
    Text { body: String },
    Media { kind: MediaKind, url: String, caption: Option<String>, filename: Option<String> },
    Location(Location),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
    Document,
}

/// Coordinates as decimal text, as both sides write them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Location {
    pub latitude: String,
    pub longitude: String,
    pub name: Option<String>,
    pub address: Option<String>,
}

/// One message, ready for a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundMessage {
    pub id: MessageId,
    pub to: PhoneNumber,
    pub body: SendBody,
    /// The provider's name of the conversation in which the person wrote, where an answer must name it and somebody did.
    pub conversation: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SendBody {
    Template(FilledTemplate),
    Freeform(Freeform),
}

/// What kind of message it is: decides expiry, endpoint and class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    Freeform,
    Authentication,
    Utility,
    Marketing,
    /// Of a template that could not be looked up in time when the message was accepted. What it is decides its template,
    /// which is looked up before anything is sent; nothing leaves while it is this.
    NotKnownYet,
}

impl Category {
    pub fn class(self) -> Class {
        match self {
            Self::Freeform | Self::Authentication => Class::Prompt,
            // Not before those of whom it is known that somebody waits for them.
            Self::Utility | Self::NotKnownYet => Class::Utility,
            Self::Marketing => Class::Marketing,
        }
    }
}

/// Who goes first at a number: somebody waits for an answer or a code; somebody expects a notice; everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Prompt,
    Utility,
    Marketing,
}

/// Where *our work* on a message stands. What WhatsApp says of it is a
/// [`DeliveryStatus`](super::status::DeliveryStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendState {
    /// Accepted and waiting, for its turn or for a retry.
    Queued,
    /// Written down just before its bytes leave.
    Sending,
    /// The provider took it.
    Submitted,
    /// Given up before any provider took it: refused, or nothing we could send.
    Rejected,
    /// It may have been sent; only evidence or the account's policy can tell.
    Unknown,
    /// Too late to be worth sending.
    Expired,
    /// Taken back before it was sent.
    Cancelled,
}

macro_rules! stored {
    ($type:ident { $($variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        impl $type {
            /// All of them, as they are listed here.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// The number that stands for it in the tables.
            pub const fn code(self) -> i16 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The reverse of [`Self::code`]; `None` for a number that no version has written.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The word for people.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}
pub(crate) use stored;

stored!(Category {
    Freeform = 0 "freeform",
    Authentication = 1 "authentication",
    Utility = 2 "utility",
    Marketing = 3 "marketing",
    NotKnownYet = 4 "not_known_yet",
});
stored!(Class { Prompt = 0 "prompt", Utility = 1 "utility", Marketing = 2 "marketing" });
stored!(SendState {
    Queued = 0 "queued",
    Sending = 1 "sending",
    Submitted = 2 "submitted",
    Rejected = 3 "rejected",
    Unknown = 4 "unknown",
    Expired = 5 "expired",
    Cancelled = 6 "cancelled",
});
