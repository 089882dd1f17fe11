//! The names of what webhooks tell: an entity, a dot, and what happened to it.
//!
//! The list is closed: a receiver can know all of it. A name stays when it was once told, with its meaning.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    callback::{EventDetail, OutgoingStep},
    inbound::{InboundContent, REVOKED},
    notice::{Notice, NoticeAbout, NoticeKind},
    status::DeliveryStatus,
};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $word:tt $description:literal),+ $(,)?) => {
        /// What happened, as a webhook calls it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[schema(as = WebhookEventName)]
        pub enum EventName {
            $($(#[$doc])* #[serde(rename = $word)] $name),+
        }

        impl EventName {
            /// Every name there is; not all of them are told yet: [`Self::TOLD`].
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// When it is told, as a sentence for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => $description),+ }
            }
        }
    };
}

names! {
    MessageReceived = "message.received" "A person wrote: a text, a file, a place, contacts, a reaction.",
    MessageInteraction = "message.interaction" "A person tapped a button or chose from a list.",
    MessageFlow = "message.flow" "A person filled in a form (WhatsApp Flow).",
    MessageCart = "message.cart" "A person sent a cart of products.",
    MessagePayment = "message.payment" "The provider reports on a payment within a chat.",
    MessageAccepted = "message.accepted" "A message was taken from the platform and waits to be sent.",
    MessageOutbound = "message.outbound" "A message went out: what it says, once its provider took it.",
    MessageSent = "message.sent" "WhatsApp sent a message of ours.",
    MessageDelivered = "message.delivered" "A message of ours reached the person's device.",
    MessageRead = "message.read" "A person read a message of ours.",
    MessageFailed = "message.failed" "A message of ours will not arrive, with the reason.",
    MessageDeleted = "message.deleted" "A message was deleted by who sent it.",
    TemplateStatus = "template.status" "A template was approved, rejected, paused, or changed in category or quality.",
    ChannelStatus = "channel.status" "A number or its business account changed: quality, name, limits, restrictions, alerts.",
    ContactOptedIn = "contact.opted_in" "A person wants messages of a kind again.",
    ContactOptedOut = "contact.opted_out" "A person wants no more messages of a kind.",
    MessageClicked = "message.clicked" "A person followed a link of a message.",
    WebhookFailing = "webhook.failing" "Another webhook does not take what it is told, for the first time since it was well.",
    WebhookDisabled = "webhook.disabled" "Another webhook was switched off by the bridge, because nothing gets through.",
    CommBoxEvent = "commbox.event" "CommBox tells of something that it alone has words for, such as a survey or an assignment.",
    GallaboxEvent = "gallabox.event" "Gallabox tells of something that it alone has words for, such as a contact or a conversation.",
    GoTalloEvent = "gotallo.event" "GoTallo tells of something that it alone has words for.",
    ContactCreated = "contact.created" "A person wrote to the account for the first time.",
    ContactUpdated = "contact.updated" "The name, the number or the id of a contact changed, or two contacts were one person.",
    ContactTagMapped = "contact.tag_mapped" "A contact was given a tag.",
    ContactTagUnmapped = "contact.tag_unmapped" "A tag was taken from a contact.",
    ConversationCreated = "conversation.created" "A person wrote to one of the numbers for the first time.",
    ConversationUpdated = "conversation.updated" "A conversation was opened again or blocked, or what waited in it was answered.",
    ConversationExpired = "conversation.expired" "The time in which the person can be answered freely is over.",
    ConversationResolved = "conversation.resolved" "Somebody closed a conversation.",
    ConversationUnattended = "conversation.unattended" "Nobody answered for too long, or a machine answered.",
    ConversationAutoReplied = "conversation.auto_replied" "A campaign or a journey answered a person.",
    ConversationTagMapped = "conversation.tag_mapped" "A conversation was given a tag.",
    ConversationTagUnmapped = "conversation.tag_unmapped" "A tag was taken from a conversation.",
}

/// What an event is about: the part of its name before the dot. Filters and screens group by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    Message,
    Template,
    Channel,
    Contact,
    Webhook,
    CommBox,
    Gallabox,
    GoTallo,
    Conversation,
}

/// A provider with events that nobody else has. They are told under its own entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    CommBox,
    Gallabox,
    GoTallo,
}

impl System {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommBox => "CommBox",
            Self::Gallabox => "Gallabox",
            Self::GoTallo => "GoTallo",
        }
    }
}

impl Entity {
    pub const ALL: [Self; 9] = [
        Self::Message,
        Self::Template,
        Self::Channel,
        Self::Contact,
        Self::Conversation,
        Self::Webhook,
        Self::CommBox,
        Self::Gallabox,
        Self::GoTallo,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Template => "template",
            Self::Channel => "channel",
            Self::Contact => "contact",
            Self::Webhook => "webhook",
            Self::CommBox => "commbox",
            Self::Gallabox => "gallabox",
            Self::GoTallo => "gotallo",
            Self::Conversation => "conversation",
        }
    }
}

impl EventName {
    /// What this version tells: what may be subscribed to, and what the catalogue shows.
    pub const TOLD: &[Self] = &[
        Self::MessageReceived,
        Self::MessageInteraction,
        Self::MessageFlow,
        Self::MessageCart,
        Self::MessageSent,
        Self::MessageDelivered,
        Self::MessageRead,
        Self::MessageFailed,
        Self::TemplateStatus,
        Self::ChannelStatus,
        Self::MessageAccepted,
        Self::MessageOutbound,
        Self::MessageDeleted,
        Self::MessagePayment,
        Self::WebhookFailing,
        Self::WebhookDisabled,
        Self::CommBoxEvent,
        Self::GallaboxEvent,
        Self::GoTalloEvent,
        Self::ContactOptedIn,
        Self::ContactOptedOut,
        Self::ContactCreated,
        Self::ContactUpdated,
        Self::ContactTagMapped,
        Self::ContactTagUnmapped,
        Self::ConversationCreated,
        Self::ConversationUpdated,
        Self::ConversationExpired,
        Self::ConversationResolved,
        Self::ConversationUnattended,
        Self::ConversationAutoReplied,
        Self::ConversationTagMapped,
        Self::ConversationTagUnmapped,
    ];

    pub const fn entity(self) -> Entity {
        match self {
            Self::MessageReceived
            | Self::MessageInteraction
            | Self::MessageFlow
            | Self::MessageCart
            | Self::MessagePayment
            | Self::MessageAccepted
            | Self::MessageOutbound
            | Self::MessageSent
            | Self::MessageDelivered
            | Self::MessageRead
            | Self::MessageFailed
            | Self::MessageDeleted
            | Self::MessageClicked => Entity::Message,
            Self::TemplateStatus => Entity::Template,
            Self::ChannelStatus => Entity::Channel,
            Self::ContactOptedIn
            | Self::ContactOptedOut
            | Self::ContactCreated
            | Self::ContactUpdated
            | Self::ContactTagMapped
            | Self::ContactTagUnmapped => Entity::Contact,
            Self::ConversationCreated
            | Self::ConversationUpdated
            | Self::ConversationExpired
            | Self::ConversationResolved
            | Self::ConversationUnattended
            | Self::ConversationAutoReplied
            | Self::ConversationTagMapped
            | Self::ConversationTagUnmapped => Entity::Conversation,
            Self::WebhookFailing | Self::WebhookDisabled => Entity::Webhook,
            Self::CommBoxEvent => Entity::CommBox,
            Self::GallaboxEvent => Entity::Gallabox,
            Self::GoTalloEvent => Entity::GoTallo,
        }
    }

    /// Whether a person wrote it, or it was written to one; `None` for what is no message.
    pub const fn direction(self) -> Option<Direction> {
        match self {
            Self::MessageReceived
            | Self::MessageInteraction
            | Self::MessageFlow
            | Self::MessageCart
            | Self::MessagePayment
            | Self::MessageClicked => Some(Direction::In),
            Self::MessageAccepted
            | Self::MessageOutbound
            | Self::MessageSent
            | Self::MessageDelivered
            | Self::MessageRead
            | Self::MessageFailed => Some(Direction::Out),
            Self::MessageDeleted
            | Self::TemplateStatus
            | Self::ChannelStatus
            | Self::ContactOptedIn
            | Self::ContactOptedOut
            | Self::WebhookFailing
            | Self::WebhookDisabled
            | Self::CommBoxEvent
            | Self::GallaboxEvent
            | Self::GoTalloEvent
            | Self::ContactCreated
            | Self::ContactUpdated
            | Self::ContactTagMapped
            | Self::ContactTagUnmapped
            | Self::ConversationCreated
            | Self::ConversationUpdated
            | Self::ConversationExpired
            | Self::ConversationResolved
            | Self::ConversationUnattended
            | Self::ConversationAutoReplied
            | Self::ConversationTagMapped
            | Self::ConversationTagUnmapped => None,
        }
    }

    /// The name of a line of the log; an error says why it has none.
    pub fn of(detail: &EventDetail) -> Result<Self, String> {
        Ok(match detail {
            EventDetail::Status { status, .. } => Self::of_status(*status),
            EventDetail::Inbound(message) => Self::of_content(&message.content),
            EventDetail::Notice(notice) => Self::of_notice(notice),
            EventDetail::Outgoing(step) => Self::of_step(*step),
            EventDetail::Person(news) => news.name,
            EventDetail::Unreadable { why } => return Err(why.clone()),
        })
    }

    const fn of_status(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Sent => Self::MessageSent,
            DeliveryStatus::Delivered => Self::MessageDelivered,
            DeliveryStatus::Read => Self::MessageRead,
            DeliveryStatus::Failed => Self::MessageFailed,
        }
    }

    const fn of_step(step: OutgoingStep) -> Self {
        match step {
            OutgoingStep::Accepted => Self::MessageAccepted,
            OutgoingStep::Taken => Self::MessageOutbound,
        }
    }

    fn of_content(content: &InboundContent) -> Self {
        match content {
            InboundContent::Button { .. } | InboundContent::ListReply { .. } => Self::MessageInteraction,
            InboundContent::FlowReply { .. } => Self::MessageFlow,
            InboundContent::Order { .. } => Self::MessageCart,
            InboundContent::Other { kind } if kind == REVOKED => Self::MessageDeleted,
            InboundContent::Text { .. }
            | InboundContent::Location { .. }
            | InboundContent::Media(_)
            | InboundContent::Contacts { .. }
            | InboundContent::Reaction { .. }
            | InboundContent::NumberChanged { .. }
            | InboundContent::Unsupported { .. }
            | InboundContent::Other { .. } => Self::MessageReceived,
        }
    }

    fn of_notice(notice: &Notice) -> Self {
        match notice.kind {
            NoticeKind::Payment => Self::MessagePayment,
            NoticeKind::Deletion => Self::MessageDeleted,
            NoticeKind::WebhookFailing => Self::WebhookFailing,
            NoticeKind::WebhookDisabled => Self::WebhookDisabled,
            NoticeKind::ProviderEvent => Self::of_provider(&notice.about),
            NoticeKind::TemplateStatus
            | NoticeKind::TemplateCategory
            | NoticeKind::TemplateQuality
            | NoticeKind::TemplateContent => Self::TemplateStatus,
            NoticeKind::NumberQuality
            | NoticeKind::NumberName
            | NoticeKind::Limits
            | NoticeKind::Account
            | NoticeKind::Alert
            | NoticeKind::Security
            | NoticeKind::Errors => Self::ChannelStatus,
        }
    }

    const fn of_provider(about: &NoticeAbout) -> Self {
        match about {
            NoticeAbout::Event { system: System::CommBox, .. } => Self::CommBoxEvent,
            NoticeAbout::Event { system: System::Gallabox, .. } => Self::GallaboxEvent,
            NoticeAbout::Event { system: System::GoTallo, .. } => Self::GoTalloEvent,
            NoticeAbout::Template { .. }
            | NoticeAbout::Number { .. }
            | NoticeAbout::Account
            | NoticeAbout::Message(_)
            | NoticeAbout::Webhook(_) => Self::ChannelStatus,
        }
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookDirection)]
pub enum Direction {
    /// From a person to us.
    In,
    /// From us to a person.
    Out,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an event: `wabridge openapi` lists them under webhooks, such as message.received")]
pub struct NotAnEventName {
    text: String,
}

impl FromStr for EventName {
    type Err = NotAnEventName;

    fn from_str(text: &str) -> Result<Self, NotAnEventName> {
        let mut all = Self::ALL.iter().copied();
        all.find(|name| name.as_str() == text).ok_or_else(|| NotAnEventName { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_its_entity_and_is_found_by_its_word() {
        for name in EventName::ALL.iter().copied() {
            let (entity, _) = name.as_str().split_once('.').expect("a name has a dot");
            assert_eq!(entity, name.entity().as_str());
            assert_eq!(name.as_str().parse(), Ok(name));
            assert_eq!(serde_json::to_value(name).expect("a word"), name.as_str());
            assert!(name.description().ends_with('.'), "{name}");
        }
        assert!("message".parse::<EventName>().is_err());
    }

    #[test]
    fn what_a_person_did_names_the_event() {
        let named = |content: &InboundContent| EventName::of_content(content).as_str();
        let tap = InboundContent::Button { payload: "yes".to_owned(), text: "Yes".to_owned() };
        let form = InboundContent::FlowReply { name: None, body: None, response: "{}".to_owned() };
        let cart = InboundContent::Order { catalog_id: None, text: None, items: vec![] };
        let text = InboundContent::Text { body: "hello".to_owned() };

        assert_eq!(named(&tap), "message.interaction");
        assert_eq!(named(&form), "message.flow");
        assert_eq!(named(&cart), "message.cart");
        assert_eq!(named(&text), "message.received");
    }
}
