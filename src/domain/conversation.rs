//! How things stand between a person and one of our numbers.
//!
//! There is one conversation for each contact and number, opened by what the person writes and opened again by the next. While
//! WhatsApp lets people be answered freely it is open, or only automatic replies answered it; then it expires. Somebody of the account
//! closes it, or it is blocked. What is only sent to a person makes none.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use super::{
    contact::{ContactId, Tags, id},
    event_name::EventName,
    ids::{AccountKey, MessageId, NotAnId, SenderKey},
    outbound::stored,
    time::UnixMillis,
};

/// WhatsApp lets a person be answered freely for so long.
pub const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A person and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub account: AccountKey,
    pub contact: ContactId,
    pub sender: SenderKey,
    pub state: ConversationState,
    pub tags: Tags,
    /// Last.
    pub opened_at: UnixMillis,
    pub last_inbound_at: UnixMillis,
    pub window_ends_at: UnixMillis,
    /// The person wrote, and nobody answered since then.
    pub waiting_since: Option<UnixMillis>,
    /// It waited too long, or was answered automatically.
    pub unattended_since: Option<UnixMillis>,
    /// Somebody of the account answered since it was opened.
    pub answered_at: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConversationState {
    Open,
    /// The person cannot be answered freely any more.
    Expired,
    /// Nothing but automatic replies answered.
    AutoBot,
    /// Somebody of the account said that it is done.
    Closed,
    /// The number's block list at the provider has the person, or somebody of the account said so.
    Blocked,
}

stored!(ConversationState {
    Open = 1 "open",
    Expired = 2 "expired",
    AutoBot = 3 "auto_bot",
    Closed = 4 "closed",
    Blocked = 5 "blocked",
});

impl ConversationState {
    /// Somebody may still answer.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Open | Self::AutoBot => true,
            Self::Expired | Self::Closed | Self::Blocked => false,
        }
    }
}

id!(
    /// Made like a message's.
    ConversationId "cnv_"
);

/// Who answered a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A campaign or a journey.
    Automatic,
    /// Somebody of the account.
    Agent,
}

/// What a person of the account wants of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Close,
    Reopen,
    Block,
}

/// What happened to it, as webhooks are told: a set, because one step may mean several things.
pub type Happened = BTreeSet<EventName>;

impl Conversation {
    /// The first message of a person to a number.
    pub fn begun(
        id: ConversationId,
        account: AccountKey,
        (contact, sender): (ContactId, SenderKey),
        at: UnixMillis,
    ) -> Self {
        Self {
            id,
            account,
            contact,
            sender,
            state: ConversationState::Open,
            tags: Tags::default(),
            opened_at: at,
            last_inbound_at: at,
            window_ends_at: at.plus(WINDOW),
            waiting_since: Some(at),
            unattended_since: None,
            answered_at: None,
        }
    }

    /// The person wrote. What comes late, when the time to answer is over, opens nothing.
    pub fn heard(&mut self, at: UnixMillis, now: UnixMillis) -> Happened {
        self.last_inbound_at = self.last_inbound_at.max(at);
        self.window_ends_at = self.last_inbound_at.plus(WINDOW);
        if self.window_ends_at <= now {
            return Happened::new();
        }
        self.waiting_since = self.waiting_since.or(Some(at));
        if self.state.is_live() {
            return Happened::new();
        }
        self.open(at);
        [EventName::ConversationUpdated].into()
    }

    /// Something was sent to the person, within the time to answer.
    pub fn answered(&mut self, by: Answer, at: UnixMillis) -> Happened {
        match (by, self.state) {
            (_, ConversationState::Expired | ConversationState::Blocked)
            | (Answer::Automatic, ConversationState::Closed) => Happened::new(),
            (Answer::Agent, ConversationState::Open | ConversationState::AutoBot | ConversationState::Closed) => {
                let waited = self.waiting_since.is_some() || self.unattended_since.is_some();
                let changed = waited || self.state != ConversationState::Open;
                self.state = ConversationState::Open;
                self.answered_at = Some(at);
                (self.waiting_since, self.unattended_since) = (None, None);
                changed.then_some(EventName::ConversationUpdated).into_iter().collect()
            }
            (Answer::Automatic, ConversationState::Open | ConversationState::AutoBot) => {
                let mut happened = Happened::from([EventName::ConversationAutoReplied]);
                if self.answered_at.is_none() && self.state == ConversationState::Open {
                    self.state = ConversationState::AutoBot;
                    happened.insert(EventName::ConversationUpdated);
                }
                // Somebody who talks to a person and a machine is attended to.
                if self.answered_at.is_none() && self.unattended_since.is_none() {
                    self.unattended_since = Some(at);
                    happened.insert(EventName::ConversationUnattended);
                }
                happened
            }
        }
    }

    /// The time to answer is over.
    pub fn expire(&mut self, now: UnixMillis) -> Happened {
        if !self.state.is_live() || self.window_ends_at > now {
            return Happened::new();
        }
        self.end(ConversationState::Expired);
        [EventName::ConversationExpired].into()
    }

    /// Nobody answered for too long.
    pub fn leave(&mut self, now: UnixMillis) -> Happened {
        if !self.state.is_live() || self.waiting_since.is_none() || self.unattended_since.is_some() {
            return Happened::new();
        }
        self.unattended_since = Some(now);
        [EventName::ConversationUnattended].into()
    }

    /// Somebody of the account, or the provider, decides. Nothing happens when it is so already.
    pub fn decide(&mut self, wish: Wish, now: UnixMillis) -> Happened {
        match (wish, self.state) {
            (Wish::Close, ConversationState::Closed)
            | (Wish::Block, ConversationState::Blocked)
            | (Wish::Reopen, ConversationState::Open) => Happened::new(),
            (Wish::Close, _) => {
                self.end(ConversationState::Closed);
                [EventName::ConversationResolved].into()
            }
            (Wish::Block, _) => {
                self.end(ConversationState::Blocked);
                [EventName::ConversationUpdated].into()
            }
            (Wish::Reopen, _) if self.window_ends_at <= now => {
                let changed = self.state != ConversationState::Expired;
                self.end(ConversationState::Expired);
                changed.then_some(EventName::ConversationUpdated).into_iter().collect()
            }
            (Wish::Reopen, _) => {
                self.open(now);
                [EventName::ConversationUpdated].into()
            }
        }
    }

    fn open(&mut self, at: UnixMillis) {
        self.state = ConversationState::Open;
        self.opened_at = at;
        (self.unattended_since, self.answered_at) = (None, None);
    }

    fn end(&mut self, state: ConversationState) {
        self.state = state;
        (self.waiting_since, self.unattended_since) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: UnixMillis = UnixMillis(1_795_166_100_000);

    fn begun() -> Conversation {
        Conversation::begun(ConversationId(5), AccountKey(1), (ContactId(4), SenderKey(2)), BEGAN)
    }

    fn minutes(count: u64) -> UnixMillis {
        BEGAN.plus(Duration::from_secs(count * 60))
    }

    fn names(happened: &Happened) -> Vec<&'static str> {
        happened.iter().map(|name| name.as_str()).collect()
    }

    #[test]
    fn automatic_replies_leave_it_unattended_until_somebody_answers() {
        let mut talk = begun();
        let first = talk.answered(Answer::Automatic, minutes(1));
        assert_eq!(names(&first), ["conversation.updated", "conversation.unattended", "conversation.auto_replied"]);
        assert_eq!((talk.state, talk.unattended_since), (ConversationState::AutoBot, Some(minutes(1))));
        assert_eq!(names(&talk.answered(Answer::Automatic, minutes(2))), ["conversation.auto_replied"]);
        assert!(talk.heard(minutes(3), minutes(3)).is_empty());
        assert_eq!(talk.state, ConversationState::AutoBot, "only a machine has answered");

        assert_eq!(names(&talk.answered(Answer::Agent, minutes(4))), ["conversation.updated"]);
        assert_eq!((talk.state, talk.waiting_since, talk.unattended_since), (ConversationState::Open, None, None));
        assert_eq!(names(&talk.answered(Answer::Automatic, minutes(5))), ["conversation.auto_replied"]);
        assert_eq!(talk.state, ConversationState::Open, "somebody has answered");
    }

    #[test]
    fn what_waits_too_long_is_unattended_once() {
        let mut talk = begun();
        assert!(talk.heard(minutes(2), minutes(2)).is_empty());
        assert_eq!(talk.waiting_since, Some(BEGAN), "since the first that nobody answered");
        assert_eq!(names(&talk.leave(minutes(30))), ["conversation.unattended"]);
        assert!(talk.leave(minutes(31)).is_empty());
        talk.answered(Answer::Agent, minutes(32));
        assert!(talk.leave(minutes(90)).is_empty(), "nothing waits");
    }

    #[test]
    fn that_somebody_answered_is_news_where_something_waited() {
        let mut talk = begun();
        assert_eq!(names(&talk.answered(Answer::Agent, minutes(1))), ["conversation.updated"]);
        assert!(talk.answered(Answer::Agent, minutes(2)).is_empty(), "nothing waited");
        assert!(talk.heard(minutes(3), minutes(3)).is_empty());
        assert_eq!(names(&talk.answered(Answer::Agent, minutes(4))), ["conversation.updated"]);
    }

    #[test]
    fn it_expires_with_the_window_and_the_next_message_opens_it() {
        let mut talk = begun();
        assert!(talk.expire(minutes(24 * 60 - 1)).is_empty());
        assert_eq!(names(&talk.expire(minutes(24 * 60))), ["conversation.expired"]);
        assert!(talk.expire(minutes(24 * 60 + 1)).is_empty());
        assert!(talk.answered(Answer::Agent, minutes(24 * 60 + 1)).is_empty());

        assert!(talk.heard(minutes(5), minutes(25 * 60)).is_empty(), "it was written long ago");
        assert_eq!(talk.state, ConversationState::Expired);
        assert_eq!(names(&talk.heard(minutes(26 * 60), minutes(26 * 60))), ["conversation.updated"]);
        assert_eq!((talk.state, talk.opened_at), (ConversationState::Open, minutes(26 * 60)));
    }

    #[test]
    fn what_was_closed_or_blocked_is_opened_by_hand_or_by_the_person() {
        let mut talk = begun();
        assert_eq!(names(&talk.decide(Wish::Close, minutes(1))), ["conversation.resolved"]);
        assert!(talk.decide(Wish::Close, minutes(2)).is_empty());
        assert!(talk.answered(Answer::Automatic, minutes(2)).is_empty());
        assert_eq!(names(&talk.decide(Wish::Block, minutes(3))), ["conversation.updated"]);
        assert_eq!(names(&talk.heard(minutes(4), minutes(4))), ["conversation.updated"]);
        assert_eq!(talk.state, ConversationState::Open, "who is blocked cannot write");
        talk.decide(Wish::Close, minutes(5));
        assert_eq!(names(&talk.decide(Wish::Reopen, minutes(24 * 60 + 4))), ["conversation.updated"]);
        assert_eq!(talk.state, ConversationState::Expired, "there is nothing to answer freely any more");
    }
}
