//! One page of an account's templates, for a platform that imports them.
//!
//! 1. Which business accounts: that of the number that was asked for, else those of all numbers.
//! 2. A list that was never read is no empty list: an import replaces what the platform has.
//! 3. What can be sent, or could until a pause that ends by itself; named variables the platform cannot fill, and what takes
//!    products nobody here can.
//! 4. From the cursor on, in the order of name and language, each of them once.

use std::collections::{BTreeMap, BTreeSet};

use super::directory::{Directory, Snapshot, owner_of};
use crate::{
    domain::{
        account::{Account, Sender},
        failure::{Refusal, RefusalKind},
        fill::can_be_filled,
        template::{ListedTemplate, Template, TemplateStatus},
        words::counted,
    },
    platforms::{TemplateKey, TemplatePage, TemplateQuery},
    store::{Store, templates::TemplateOwner},
};

pub async fn template_page(
    store: &Store,
    directory: &Directory,
    account: &Account,
    query: &TemplateQuery,
) -> Result<TemplatePage, Refusal> {
    let snapshot = directory.snapshot();
    let senders = senders_asked_for(&snapshot, account, query.number.as_deref())?;
    let mut lists = BTreeMap::new();
    for sender in senders {
        lists.entry(owner_of(sender)).or_insert_with(|| directory.templates(sender));
    }
    refuse_unread(store, lists.keys()).await?;
    let lists = lists.iter().map(|(owner, templates)| (owner, templates.as_slice()));
    let chosen = choose(lists, account, query);
    let more = chosen.len() > query.limit;
    let mut listings = BTreeMap::new();
    let page: Vec<(&TemplateOwner, &Template)> = chosen.into_values().take(query.limit).collect();
    for owner in page.iter().map(|(owner, _)| *owner).collect::<BTreeSet<_>>() {
        let of_owner = page.iter().filter(|(whose, _)| *whose == owner);
        let keys: Vec<_> = of_owner.map(|(_, template)| name_and_language(template)).collect();
        let found = store.template_listings(owner, &keys).await.map_err(|error| {
            tracing::error!(error = %crate::telemetry::Chain(&error), "could not read the listings of templates");
            Refusal::new(RefusalKind::CannotStore, "the templates cannot be read now; try again in a moment")
        })?;
        listings.extend(found.into_iter().map(|(key, listing)| ((owner, key), listing)));
    }
    let templates = page.into_iter().filter_map(|(owner, template)| {
        // One that a sync took away in between will not come with the next page either.
        let listing = listings.remove(&(owner, name_and_language(template)))?;
        Some(ListedTemplate { template: template.clone(), listing })
    });
    Ok(TemplatePage { templates: templates.collect(), more })
}

fn name_and_language(template: &Template) -> (String, String) {
    (template.name.clone(), template.language.clone())
}

fn senders_asked_for<'a>(
    snapshot: &'a Snapshot,
    account: &Account,
    number: Option<&str>,
) -> Result<Vec<&'a Sender>, Refusal> {
    let of_account = snapshot.senders_of(account.key);
    let refused = |message: String| Err(Refusal::new(RefusalKind::Other, message));
    match number {
        _ if of_account.is_empty() => {
            refused("this account has no business number yet; add one at the bridge".to_owned())
        }
        None => Ok(of_account.iter().map(AsRef::as_ref).collect()),
        Some(number) => match snapshot.sender_meant(account.key, number) {
            Some(sender) => Ok(vec![sender]),
            None => refused(format!("number: {number:?} is not a number of this account; correct it or leave it out")),
        },
    }
}

async fn refuse_unread(store: &Store, owners: impl Iterator<Item = &TemplateOwner>) -> Result<(), Refusal> {
    let syncs = store.template_syncs().await.map_err(|error| {
        tracing::error!(error = %crate::telemetry::Chain(&error), "could not read how fresh the templates are");
        Refusal::new(RefusalKind::CannotStore, "the templates cannot be read now; try again in a moment")
    })?;
    for owner in owners {
        if syncs.get(owner).is_none_or(|sync| sync.synced_at.is_none()) {
            let message = format!(
                "the templates of business account {} have not been read from WhatsApp yet; try again in some minutes, \
                 and ask the bridge's operator if that does not help",
                owner.provider_account_id
            );
            return Err(Refusal::new(RefusalKind::CannotStore, message));
        }
    }
    Ok(())
}

/// What comes after the cursor, in order. Where two business accounts have the same translation, the one that can
/// be sent.
fn choose<'a>(
    lists: impl Iterator<Item = (&'a TemplateOwner, &'a [Template])>,
    account: &Account,
    query: &TemplateQuery,
) -> BTreeMap<TemplateKey, (&'a TemplateOwner, &'a Template)> {
    let mut chosen: BTreeMap<TemplateKey, (&TemplateOwner, &Template)> = BTreeMap::new();
    let (mut named, mut unfillable) = (BTreeSet::new(), BTreeSet::new());
    for (owner, templates) in lists {
        for template in templates.iter().filter(|template| can_be_sent_again(template) && query.wants(template)) {
            let key = TemplateKey::of(template);
            if template.has_names() {
                named.insert(key);
                continue;
            }
            if !can_be_filled(&template.components) {
                unfillable.insert(key);
                continue;
            }
            let better = chosen.get(&key).is_none_or(|(_, other)| {
                other.status != TemplateStatus::Approved && template.status == TemplateStatus::Approved
            });
            if better {
                chosen.insert(key, (owner, template));
            }
        }
    }
    if query.after.is_none() {
        note_left_out(account, &named, "have named parameters: enter them by hand");
        note_left_out(account, &unfillable, "take products or other data that cannot be sent from here");
    }
    if let Some(after) = &query.after {
        chosen.retain(|key, _| key > after);
    }
    chosen
}

/// Said once for an import, with its first page.
fn note_left_out(account: &Account, left_out: &BTreeSet<TemplateKey>, why: &str) {
    let Some(first) = left_out.first() else { return };
    tracing::info!(
        account.id = account.id,
        "the import of account {} goes without {}, such as {}, which {why}",
        account.id,
        counted(left_out.len() as u64, "template", "templates"),
        first.name
    );
}

/// A pause ends by itself; to leave such a template out would delete it at the platform.
fn can_be_sent_again(template: &Template) -> bool {
    match template.status {
        TemplateStatus::Approved | TemplateStatus::Paused => true,
        TemplateStatus::Disabled | TemplateStatus::Pending | TemplateStatus::Rejected | TemplateStatus::Other(_) => {
            false
        }
    }
}
