//! What a platform sent lately for a template, held against the template: where its own copy has another shape.
//!
//! Accepted messages are found by walking back through time for a moment, as a search does; what was refused, among the newest
//! refusals. Each request is read again as it was read at the door. What is said of people is left out for those who may not see it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    directory::{Directory, Snapshot},
    masking,
    operators::Refusal,
    templates::{self, ShownTemplate, TemplateName},
};
use crate::{
    domain::{
        account::{Account, Sender},
        fill::{Difference, Harm, differences},
        ids::{AccountKey, MessageId},
        operator::{Actor, Permission},
        outbound::{Content, Purpose},
        template::{Template, TemplateContent, Unresolved, resolve},
        time::UnixMillis,
    },
    platforms,
    store::{Store, search::MessageSearch},
};

/// Accepted messages that are looked at.
pub const MESSAGES_MAX: usize = 50;
/// Refused requests that are looked at, of any template.
pub const REFUSALS_MAX: usize = 200;

/// What was found.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// How many messages of the template were taken, and how many requests were refused.
    pub accepted: usize,
    pub refused: usize,
    /// So many of both were tests: they show what the platform has saved as well as others do.
    pub tests: usize,
    /// Accepted messages were looked for back to here; `None`: to the first that is kept.
    pub looked_back_to: Option<UnixMillis>,
    /// The worst first.
    pub differences: Vec<Found>,
    pub newest: Option<Newest>,
}

/// A difference, and where it was seen.
#[derive(Clone, Debug)]
pub struct Found {
    pub difference: Difference,
    pub requests: usize,
    pub newest: Source,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Message(MessageId),
    Refused(UnixMillis),
}

impl Source {
    pub fn at(self) -> UnixMillis {
        match self {
            Self::Message(id) => id.made_at(),
            Self::Refused(at) => at,
        }
    }
}

/// What the platform sent last.
#[derive(Clone, Debug)]
pub struct Newest {
    pub source: Source,
    pub is_test: bool,
    /// For those who may see it.
    pub content: Option<TemplateContent>,
}

/// Compares.
pub async fn compare(
    store: &Store,
    directory: &Directory,
    actor: &Actor,
    wanted: &TemplateName,
) -> Result<(ShownTemplate, Comparison), Refusal> {
    let (shown, senders) = templates::one(store, directory, actor, wanted).await?;
    let snapshot = directory.snapshot();
    let list = directory.templates(&senders[0]);
    let context = Context { snapshot: &snapshot, template: &shown.template, list: &list, senders: &senders };
    let mut gathered = Gathered::default();

    let search = MessageSearch { template: Some(shown.template.name.clone()), ..MessageSearch::default() };
    let found = store.search_messages(&search, MESSAGES_MAX).await?;
    for message in &found.messages {
        let is_of = |sender: &Arc<Sender>| sender.key == message.sender;
        let same = message.template.as_ref().is_some_and(|(_, language)| *language == shown.template.language);
        if same
            && context.senders.iter().any(is_of)
            && let Some((content, is_test)) = context.content(message.account, message.request.as_bytes())
        {
            gathered.accepted += 1;
            let found = differences(&shown.template, &content);
            gathered.take((Source::Message(message.id), is_test), found, content);
        }
    }
    let accounts: Vec<AccountKey> = senders.iter().map(|sender| sender.account).collect();
    for refused in store.refused_for_templates(&accounts, REFUSALS_MAX).await? {
        let Some((content, is_test)) = context.content(refused.account, refused.request.as_bytes()) else { continue };
        if let Some(found) = context.refused(&content, &refused.answer) {
            gathered.refused += 1;
            gathered.take((Source::Refused(refused.at), is_test), found, content);
        }
    }
    Ok((shown, gathered.told(actor, found.next)))
}

/// Against what requests are held.
struct Context<'a> {
    snapshot: &'a Snapshot,
    template: &'a Template,
    list: &'a [Template],
    senders: &'a [Arc<Sender>],
}

impl Context<'_> {
    /// What a request brings, as it was read at the door, and whether it is a test; `None` for the platform's own checks and for
    /// what has no template.
    fn content(&self, account: AccountKey, request: &[u8]) -> Option<(TemplateContent, bool)> {
        let account: &Arc<Account> = self.snapshot.account_by_key(account)?;
        let request = platforms::find(&account.platform)?.parse_send(account, request).ok()?;
        match (request.content, request.purpose) {
            (Content::Template(_), Purpose::Test { never_send: true, .. }) | (Content::Freeform(_), _) => None,
            (Content::Template(content), Purpose::Message) => Some((content, false)),
            (Content::Template(content), Purpose::Test { never_send: false, .. }) => Some((content, true)),
        }
    }

    /// What is wrong with a refused request, if it meant this template.
    fn refused(&self, content: &TemplateContent, answer: &str) -> Option<Vec<Difference>> {
        let other_language = match resolve(self.list, &content.name, &content.language) {
            Ok(resolved) => {
                if resolved.template != self.template {
                    return None;
                }
                None
            }
            Err(Unresolved::UnknownName { .. }) => return None,
            Err(Unresolved::NotApproved { name, language, .. }) => {
                if name != self.template.name || language != self.template.language {
                    return None;
                }
                None
            }
            Err(Unresolved::UnknownLanguage { .. }) => {
                if !content.name.eq_ignore_ascii_case(&self.template.name) {
                    return None;
                }
                Some(Difference {
                    part: "language".to_owned(),
                    platform: content.language.clone(),
                    whatsapp: self.template.language.clone(),
                    advice: format!("choose a language that is approved, such as {}", self.template.language),
                    harm: Harm::Refused,
                    personal: false,
                })
            }
        };
        let mut found = match other_language {
            Some(difference) => vec![difference],
            None => differences(self.template, content),
        };
        // The shape fits, so it was a value, or the template could not be sent then.
        if found.iter().all(|difference| difference.harm != Harm::Refused) {
            found.push(Difference {
                part: "what was sent".to_owned(),
                platform: "refused".to_owned(),
                whatsapp: "the shape fits".to_owned(),
                advice: answer.to_owned(),
                harm: Harm::Refused,
                personal: true,
            });
        }
        Some(found)
    }
}

#[derive(Default)]
struct Gathered {
    accepted: usize,
    refused: usize,
    tests: usize,
    /// By part and advice.
    found: BTreeMap<(Harm, String, String), Found>,
    newest: Option<Newest>,
}

impl Gathered {
    fn take(&mut self, (source, is_test): (Source, bool), differences: Vec<Difference>, content: TemplateContent) {
        self.tests += usize::from(is_test);
        for difference in differences {
            let key = (difference.harm, difference.part.clone(), difference.advice.clone());
            let found = self.found.entry(key).or_insert_with(|| Found {
                difference: difference.clone(),
                requests: 0,
                newest: source,
            });
            found.requests += 1;
            if source.at() > found.newest.at() {
                (found.newest, found.difference) = (source, difference);
            }
        }
        if self.newest.as_ref().is_none_or(|newest| newest.source.at() < source.at()) {
            self.newest = Some(Newest { source, is_test, content: Some(content) });
        }
    }

    fn told(self, actor: &Actor, next: Option<MessageId>) -> Comparison {
        let whole = actor.may(Permission::ReadPersonal);
        let hidden = |found: Found| {
            if whole || !found.difference.personal {
                return found;
            }
            let difference = found.difference;
            let difference = Difference {
                platform: "what somebody was written, which your role does not see".to_owned(),
                whatsapp: "something else".to_owned(),
                advice: masking::text(actor, &difference.advice),
                ..difference
            };
            Found { difference, ..found }
        };
        Comparison {
            accepted: self.accepted,
            refused: self.refused,
            tests: self.tests,
            looked_back_to: next.map(MessageId::made_at),
            differences: self.found.into_values().map(hidden).collect(),
            newest: self.newest.map(|newest| Newest { content: newest.content.filter(|_| whole), ..newest }),
        }
    }
}
