//! What a person told WhatsApp about the kinds of messages that one of our numbers may send.

use super::{phone::PhoneNumber, time::UnixMillis};

/// One wish, as the provider passed it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// The provider's id of the number that it is about.
    pub provider_number_id: String,
    /// The person's number, when the provider tells it or a link of it to `user_id` is known.
    pub phone: Option<PhoneNumber>,
    /// The provider's id of the person, when it has one.
    pub user_id: Option<String>,
    /// The provider's word for the kind of messages (Meta knows `marketing_messages`).
    pub category: String,
    pub choice: Choice,
    pub occurred_at: UnixMillis,
    /// The provider's own entry.
    pub entry: String,
}

/// What the person chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// No more messages of that kind.
    Stop,
    /// They are welcome again.
    Resume,
    /// A word that is neither a no nor a yes, such as `signup`.
    Other(String),
}
