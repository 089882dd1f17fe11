//! Whose callback URLs a list over several of them is about, and why events were left behind: as an address has it, and as it is
//! offered above the list.

use super::{
    asked::{self, Wrong, some},
    callback_exchanges::CODE,
    callbacks::{Choice, PATH, kind_name},
};
use crate::{
    domain::{
        callback::{EventKind, Subscription},
        ids::SubscriptionKey,
        operator::{Actor, Permission},
        replay::Because,
    },
    services::{
        callback_events::{Chosen, Whose},
        directory::Snapshot,
    },
    store::told::WantedStanding,
};

/// The parameters of an address that choose URLs.
pub(super) struct ChosenUrls<'a> {
    pub(super) account: &'a str,
    pub(super) of: &'a str,
    pub(super) url: &'a str,
    pub(super) kind: &'a str,
}

/// What the filters offer.
pub(super) struct Choices {
    pub(super) accounts: Vec<String>,
    pub(super) whose: Vec<Choice>,
    pub(super) urls: Vec<UrlChoice>,
    pub(super) kinds: Vec<Choice>,
}

/// One URL.
pub(super) struct UrlChoice {
    pub(super) key: String,
    pub(super) name: String,
}

impl<'a> ChosenUrls<'a> {
    pub(super) fn fields(&self) -> [(&'static str, &'a str); 4] {
        [("account", self.account), ("of", self.of), ("url", self.url), ("kind", self.kind)]
    }

    pub(super) fn is_any(&self) -> bool {
        self.fields().into_iter().all(|(_, text)| text.is_empty())
    }

    /// What they mean; `Err` says what to change.
    pub(super) fn read(&self, snapshot: &Snapshot) -> Result<Chosen, Wrong> {
        let url: Option<i32> = asked::read("url", self.url, "a callback URL’s number, such as 3")?;
        if let Some(url) = url
            && !snapshot.subscriptions_ever().any(|one| one.key.0 == url)
        {
            return Err(Wrong::of("url", format!("there is no callback URL {url}: choose one of the list")));
        }
        Ok(Chosen {
            account: asked::account(snapshot, self.account)?,
            whose: asked::one_of("of", self.of, &Whose::ALL, Whose::as_str)?,
            kind: asked::one_of("kind", self.kind, &EventKind::ALL, EventKind::as_str)?,
            url: url.map(SubscriptionKey),
        })
    }
}

impl Choices {
    pub(super) fn of(snapshot: &Snapshot, chosen: &ChosenUrls<'_>) -> Self {
        let is_offered = |one: &Subscription| one.is_on || one.key.to_string() == chosen.url;
        let urls = snapshot.subscriptions_ever().filter(|one| is_offered(one));
        let mut urls: Vec<UrlChoice> = urls
            .map(|one| {
                let (account, name) = (account_of(snapshot, one), url_name(snapshot, one));
                UrlChoice { key: one.key.to_string(), name: format!("{account}: {name}") }
            })
            .collect();
        urls.sort_by(|one, other| one.name.cmp(&other.name));
        let whose = |whose| match whose {
            Whose::Platform => "CleverTap",
            Whose::Webhooks => "webhooks",
        };
        Self {
            accounts: snapshot.account_ids(),
            whose: Whose::ALL.map(|one| Choice { value: one.as_str(), name: whose(one) }).into(),
            urls,
            kinds: EventKind::ALL.map(|kind| Choice { value: kind.as_str(), name: kind_name(kind) }).into(),
        }
    }
}

/// What a URL hears of, and for whom.
pub(super) fn url_name(snapshot: &Snapshot, subscription: &Subscription) -> String {
    let kind = kind_name(subscription.kind);
    if let Some(webhook) = &subscription.webhook {
        return format!("Webhook {}: {}", webhook.name, kind.to_lowercase());
    }
    let sender = subscription.sender.and_then(|sender| snapshot.sender(sender));
    sender.map_or_else(|| kind.to_owned(), |sender| format!("{kind} of {}", sender.number.as_e164()))
}

pub(super) fn account_of(snapshot: &Snapshot, subscription: &Subscription) -> String {
    snapshot.account_by_key(subscription.account).map_or("?", |account| account.id.as_str()).to_owned()
}

/// The parameters `code` and `reason`.
pub(super) fn because(
    actor: &Actor,
    (code, reason): (&str, &str),
    wanted: Option<WantedStanding>,
) -> Result<Because, Wrong> {
    let because = Because {
        answered: asked::read("code", code, CODE)?,
        // By trying reasons out, a number in one could be found.
        text: some(reason).filter(|_| actor.may(Permission::ReadPersonal)),
    };
    if !because.is_any() && wanted.is_some_and(|wanted| !wanted.has_reason()) {
        let name = if because.answered.is_some() { "code" } else { "reason" };
        let text = "only what was not taken has one: choose another state, or look among the exchanges";
        return Err(Wrong::of(name, text));
    }
    Ok(because)
}

/// Where what URLs are owed is tried now.
pub(super) fn trying_href<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    asked::address(&format!("{PATH}/try"), fields)
}
