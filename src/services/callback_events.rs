//! The events of many callback URLs in one list, and whose URLs are meant: the same for the console and the API.

use std::sync::Arc;

use super::{
    callbacks::{exchanges_since, said_last},
    directory::Snapshot,
    operators::{Refusal, require},
};
use crate::{
    domain::{
        callback::{EventKind, Subscription},
        ids::{AccountKey, MessageId, SubscriptionKey},
        operator::{Actor, Permission},
        replay::Because,
        time::UnixMillis,
    },
    settings::Retention,
    store::{
        Store,
        callbacks::CursorState,
        exchanges::UrlsOf,
        told::{CallbackFilter, WantedStanding},
        told_together::{FoundTogether, Listener, Positions, URLS_TOGETHER_MAX},
    },
};

/// Whose callback URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those that an account's platform gave.
    Platform,
    /// Those of webhooks.
    Webhooks,
}

impl Whose {
    pub const ALL: [Self; 2] = [Self::Platform, Self::Webhooks];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Which URLs; what is not named fits everything. Those of webhooks that are off are among them only where they are named.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pub account: Option<AccountKey>,
    pub whose: Option<Whose>,
    pub kind: Option<EventKind>,
    pub url: Option<SubscriptionKey>,
}

impl Chosen {
    /// The same for what was said to them, also where they are configured no more.
    pub fn stored(&self) -> UrlsOf {
        let Self { account, whose, kind, url } = self.clone();
        UrlsOf { account, webhooks: whose.map(|whose| whose == Whose::Webhooks), kind, url }
    }

    pub fn subscriptions<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Subscription>> {
        snapshot.subscriptions_ever().filter(|one| {
            let whose = if one.webhook.is_some() { Whose::Webhooks } else { Whose::Platform };
            (one.is_on || self.url == Some(one.key))
                && self.account.is_none_or(|account| account == one.account)
                && self.whose.is_none_or(|wanted| wanted == whose)
                && self.kind.is_none_or(|kind| kind == one.kind)
                && self.url.is_none_or(|url| url == one.key)
        })
    }
}

/// Which events of those; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub wanted: Option<WantedStanding>,
    pub because: Because,
    /// About these messages only, each with its account; none of an account that is not among them.
    pub messages: Option<Vec<(AccountKey, MessageId)>>,
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
}

/// A page of events, and the URLs that there was no place for.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub events: FoundTogether,
    /// How many URLs fit.
    pub urls: usize,
    /// How many of them were looked through.
    pub looked_at: usize,
}

/// Events of the chosen URLs, the newest first.
pub async fn list(
    (store, snapshot, ages): (&Store, &Snapshot, &Retention),
    actor: &Actor,
    (chosen, wanted): (&Chosen, &Wanted),
    (from, limit): (Option<&Positions>, usize),
) -> Result<Found, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let states = store.cursor_states().await?;
    let mut subscriptions: Vec<&Arc<Subscription>> = chosen.subscriptions(snapshot).collect();
    subscriptions.retain(|one| states.contains_key(&one.key) && message_of(wanted, one.account).is_ok());
    let (dead, not_relayed) = match wanted.wanted {
        Some(wanted) => (wanted == WantedStanding::Dead, wanted == WantedStanding::NotRelayed),
        None => (false, false),
    };
    if dead || not_relayed {
        // Most URLs left nothing behind.
        let left_behind = store.count_callbacks().await?;
        subscriptions.retain(|one| {
            let (all_dead, all_not_relayed) = left_behind.get(&one.key.0).copied().unwrap_or_default();
            dead && all_dead > 0 || not_relayed && all_not_relayed > 0
        });
    }
    let urls = subscriptions.len();
    subscriptions.truncate(URLS_TOGETHER_MAX);
    let keys: Vec<SubscriptionKey> = subscriptions.iter().map(|one| one.key).collect();
    let newest = store.newest_exchanges(&keys).await?;
    let listener = |one: &Arc<Subscription>| {
        let CursorState { cursor, trouble } = states.get(&one.key)?;
        let filter = CallbackFilter {
            wanted: wanted.wanted,
            because: wanted.because.clone(),
            message: message_of(wanted, one.account).ok()?,
            since: wanted.since,
            until: wanted.until,
            exchanges_since: exchanges_since(ages, snapshot, one.account),
            fails: said_last(trouble, newest.get(&one.key)),
            ..CallbackFilter::default()
        };
        Some(Listener { subscription: one.clone(), cursor: *cursor, filter })
    };
    let listeners: Vec<Listener> = subscriptions.into_iter().filter_map(listener).collect();
    let events = store.callbacks_together(&listeners, from, limit).await?;
    Ok(Found { events, urls, looked_at: listeners.len() })
}

/// The message of an account that is looked for; `Err` where none of it can be meant. Of several with one id, which are tests, the newest.
fn message_of(wanted: &Wanted, account: AccountKey) -> Result<Option<MessageId>, ()> {
    let Some(messages) = &wanted.messages else { return Ok(None) };
    let found = messages.iter().find(|(whose, _)| *whose == account);
    found.map(|(_, message)| Some(*message)).ok_or(())
}
