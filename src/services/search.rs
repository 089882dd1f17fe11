//! Finding messages for people and programs: what was typed becomes a look-up or a walk back through time.

use crate::{
    domain::{
        account::Account,
        ids::MessageId,
        operator::{Actor, Permission},
        outbound::SendState,
        phone::PhoneNumber,
        price::COUNTRY_DIGITS,
        status::DeliveryStatus,
    },
    platforms,
    services::{
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::{
        Store,
        search::{AnyOf, FoundMessages, MessageSearch, Stage},
        story::StoredMessage,
    },
};

/// Longer texts are no id and no number.
pub const TEXT_CHARS_MAX: usize = 256;
/// Shorter ends of numbers fit too many.
pub const PHONE_END_DIGITS_MIN: usize = 5;

/// What somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One box for all: an id of ours, of the platform or of WhatsApp, a campaign, or a telephone number.
    pub text: String,
    pub filter: MessageSearch,
}

/// How messages are to stand, or how far they are to have come, in one word: the same in the console and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWord {
    /// What WhatsApp said last; `failed` without those that an operator cancelled.
    Delivery(DeliveryStatus),
    State(SendState),
    /// It came so far, whatever became of it later.
    Reached(DeliveryStatus),
    /// What both say together.
    Stage(Stage),
}

impl StatusWord {
    pub fn all() -> impl Iterator<Item = Self> {
        const DELIVERIES: [DeliveryStatus; 4] =
            [DeliveryStatus::Sent, DeliveryStatus::Delivered, DeliveryStatus::Read, DeliveryStatus::Failed];
        let deliveries = DELIVERIES.into_iter().map(Self::Delivery);
        let states = SendState::ALL.into_iter().map(Self::State);
        deliveries
            .chain(states)
            .chain(DeliveryStatus::WAY.into_iter().map(Self::Reached))
            .chain(Stage::ALL.into_iter().map(Self::Stage))
    }

    /// `read`, `queued`, `reached-sent`.
    pub fn word(self) -> String {
        match self {
            Self::Delivery(delivery) => delivery.as_str().to_owned(),
            Self::State(state) => state.as_str().to_owned(),
            Self::Reached(step) => format!("reached-{}", step.as_str()),
            Self::Stage(stage) => stage.as_str().to_owned(),
        }
    }

    /// Also by the words of older links, `delivery-read` and `state-queued`; `Err` says which there are.
    pub fn named(text: &str) -> Result<Self, String> {
        let is_meant = |one: &Self| match one {
            Self::Delivery(_) => text.strip_prefix("delivery-").unwrap_or(text) == one.word(),
            Self::State(_) => text.strip_prefix("state-").unwrap_or(text) == one.word(),
            Self::Reached(_) | Self::Stage(_) => text == one.word(),
        };
        Self::all().find(is_meant).ok_or_else(|| {
            let known: Vec<String> = Self::all().map(Self::word).collect();
            format!("“{text}” is none of {}", known.join(", "))
        })
    }

    pub fn narrow(self, search: &mut MessageSearch) {
        match self {
            Self::Delivery(delivery) => {
                search.delivery = Some(delivery);
                search.without = (delivery == DeliveryStatus::Failed).then_some(SendState::Cancelled);
            }
            Self::State(state) => search.state = Some(state),
            Self::Reached(step) => search.reached = Some(step),
            Self::Stage(stage) => search.stage = Some(stage),
        }
    }
}

/// The newest messages that fit, at most `limit`.
pub async fn search(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    mut wanted: Wanted,
    limit: usize,
) -> Result<FoundMessages, Refusal> {
    require(actor, Permission::ReadMessages)?;
    // Who saw a code at the platform means that one.
    wanted.filter.or_reasons = wanted.filter.failure_code.map(platforms::reasons_told_as).unwrap_or_default();
    let text = wanted.text.trim();
    if text.is_empty() {
        return Ok(store.search_messages(&wanted.filter, limit).await?);
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        let text = format!("an id or a number has at most {TEXT_CHARS_MAX} characters");
        return Err(Refusal::Invalid { field: "q", text });
    }
    // Nothing tells a campaign's number from a telephone number.
    let campaign = Some(text.to_owned());
    if is_number(text) {
        let recipient = recipient(snapshot, actor, text);
        let is_first = wanted.filter.before.is_none();
        let any_of = AnyOf { recipient: recipient.as_ref().ok().cloned(), campaign, ..AnyOf::default() };
        let found = store.search_messages(&MessageSearch { any_of, ..wanted.filter }, limit).await?;
        // What is no campaign either is to be written as a telephone number.
        return match recipient {
            Err(refusal) if is_first && found.messages.is_empty() && found.next.is_none() => Err(refusal),
            Ok(_) | Err(_) => Ok(found),
        };
    }
    // What an index knows is the answer; the walk is for messages whose ids it has forgotten, and goes on page by page.
    if wanted.filter.before.is_none() {
        let messages = by_index(store, snapshot, text).await?;
        if !messages.is_empty() || text.parse::<MessageId>().is_ok() {
            return Ok(FoundMessages { messages, next: None });
        }
    }
    let any_of = AnyOf { platform_message_id: Some(text.to_owned()), campaign, recipient: None };
    Ok(store.search_messages(&MessageSearch { any_of, ..wanted.filter }, limit).await?)
}

/// One message by our id.
pub async fn one(store: &Store, actor: &Actor, id: &str) -> Result<StoredMessage, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let message = match id.parse::<MessageId>() {
        Ok(id) => store.message(id).await?,
        Err(_) => None,
    };
    message.ok_or_else(|| {
        Refusal::NotFound(format!(
            "there is no message {id}: it never was, was erased, or is older than the retention; what is known by CleverTap's or \
             WhatsApp's id alone is found by a search for that id among the messages"
        ))
    })
}

async fn by_index(store: &Store, snapshot: &Snapshot, text: &str) -> Result<Vec<StoredMessage>, Refusal> {
    if let Ok(id) = text.parse::<MessageId>() {
        return Ok(store.message(id).await?.into_iter().collect());
    }
    let senders: Vec<_> = snapshot.senders_ever().map(|sender| sender.key).collect();
    if !senders.is_empty() {
        let found = store.messages_by_provider_id(&senders, text).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let accounts: Vec<_> = snapshot.accounts_ever().map(|account| account.key).collect();
    Ok(store.recent_by_platform_id(&accounts, text).await?)
}

/// Ids of platforms have other signs in them.
pub(super) fn is_number(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_digit() || "+ ()-./\u{a0}".contains(letter))
        && text.chars().any(|letter| letter.is_ascii_digit())
}

/// A country's calling code, with or without its plus sign; as a number begins with it.
pub fn calling_code(text: &str) -> Result<String, String> {
    let digits = text.trim().trim_start_matches('+');
    let is_code = (1..=COUNTRY_DIGITS).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    is_code.then(|| format!("+{digits}")).ok_or_else(|| format!("“{text}” is no calling code: it is like +91"))
}

/// A whole number, or the end of one. Who may not see numbers must know a whole one: by trying ends, any could be found out.
pub(super) fn recipient(snapshot: &Snapshot, actor: &Actor, text: &str) -> Result<String, Refusal> {
    let countries = snapshot.accounts().map(|account: &std::sync::Arc<Account>| account.policy.default_country.clone());
    let mut countries: Vec<_> = countries.flatten().collect();
    countries.sort();
    countries.dedup();
    let only = if let [country] = countries.as_slice() { Some(country.as_str()) } else { None };
    if let Ok(number) = PhoneNumber::parse(text, only) {
        return Ok(number.as_e164().to_owned());
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let invalid = |text: String| Err(Refusal::Invalid { field: "q", text });
    if !actor.may(Permission::ReadPersonal) {
        return invalid("this is no whole telephone number: write it with + and country code".to_owned());
    }
    if digits.len() < PHONE_END_DIGITS_MIN {
        return invalid(format!("write at least the last {PHONE_END_DIGITS_MIN} digits of a telephone number"));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_one_thing_and_old_links_still_mean_it() {
        for one in StatusWord::all() {
            assert_eq!(StatusWord::named(&one.word()), Ok(one));
        }
        assert_eq!(StatusWord::named("delivery-failed"), Ok(StatusWord::Delivery(DeliveryStatus::Failed)));
        assert_eq!(StatusWord::named("state-queued"), Ok(StatusWord::State(SendState::Queued)));
        assert!(
            StatusWord::named("state-failed").is_err_and(|why| why.contains("sent, delivered, read, failed, queued"))
        );
    }

    #[test]
    fn a_telephone_number_is_told_from_an_id() {
        for number in ["+91 98765-00001", "9876500001", "00001"] {
            assert!(is_number(number), "{number}");
        }
        for id in ["7|1790000000|20261120|7|0", "msg_06xtcv2j80000", "wamid.HBgM", "", "  "] {
            assert!(!is_number(id), "{id}");
        }
    }
}
