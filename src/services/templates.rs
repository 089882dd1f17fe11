//! Templates for people: all that is listed, one with what its platform must be given, and reading the lists anew.
//!
//! The lists are in memory, so they are filtered and paged there; what only the provider's own entries say (quality,
//! examples) is read for the page that is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

use super::{
    directory::{Directory, Snapshot, owner_of},
    lookup::TemplateLookup,
    operators::{Refusal, require},
    per_minute::PerMinute,
};
use crate::{
    domain::{
        account::{Connection, Sender},
        ids::AccountKey,
        operator::{Actor, Permission},
        template::{Template, TemplateListing},
    },
    providers,
    store::{
        Store,
        audit::AuditEntry,
        templates::{TemplateOwner, TemplateSync},
    },
};

/// What templates are wanted; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct TemplateFilter {
    /// Those that this account's numbers can send.
    pub account: Option<AccountKey>,
    /// A connection's id.
    pub connection: Option<String>,
    /// The provider's words, without regard to case.
    pub status: Option<String>,
    pub category: Option<String>,
    pub language: Option<String>,
    /// A part of the name or of the body.
    pub text: Option<String>,
}

impl TemplateFilter {
    fn fits(&self, template: &Template) -> bool {
        let same = |wanted: &Option<String>, is: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.trim().eq_ignore_ascii_case(is))
        };
        let holds = |text: &String| {
            let text = text.trim().to_lowercase();
            template.name.to_lowercase().contains(&text) || template.components.body.text.to_lowercase().contains(&text)
        };
        same(&self.status, template.status.word())
            && same(&self.category, template.category.word())
            && same(&self.language, &template.language)
            && self.text.as_ref().is_none_or(holds)
    }
}

/// Longer texts are in no template's name that somebody looks for.
pub const TEXT_CHARS_MAX: usize = 200;

/// A business account at a provider, whose list of templates some numbers share.
#[derive(Clone, Debug)]
pub struct TemplateList {
    pub owner: TemplateOwner,
    pub connection: Arc<Connection>,
    /// The numbers that can send them, in their order.
    pub senders: Vec<Arc<Sender>>,
    /// All that are listed, in any state.
    pub templates: usize,
    pub sync: TemplateSync,
}

/// A template, and whose it is.
#[derive(Clone, Debug)]
pub struct ShownTemplate {
    pub owner: TemplateOwner,
    pub connection: Arc<Connection>,
    pub template: Template,
    pub listing: TemplateListing,
}

/// A page of templates in the order of name, language and list.
#[derive(Clone, Debug)]
pub struct ShownTemplates {
    pub templates: Vec<ShownTemplate>,
    /// How many fit altogether.
    pub fitting: usize,
}

/// The lists of all numbers, or of those of one account, each once.
pub async fn lists(
    store: &Store,
    directory: &Directory,
    actor: &Actor,
    account: Option<AccountKey>,
) -> Result<Vec<TemplateList>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let mut syncs = store.template_syncs().await?;
    let found = owners(&directory.snapshot(), account).into_iter().map(|(owner, senders)| TemplateList {
        connection: senders[0].connection.clone(),
        templates: directory.templates(&senders[0]).len(),
        sync: syncs.remove(&owner).unwrap_or_default(),
        senders,
        owner,
    });
    Ok(found.collect())
}

/// Whose lists there are, each with its numbers: one at least.
fn owners(snapshot: &Snapshot, account: Option<AccountKey>) -> BTreeMap<TemplateOwner, Vec<Arc<Sender>>> {
    let mut owners: BTreeMap<TemplateOwner, Vec<Arc<Sender>>> = BTreeMap::new();
    for sender in snapshot.senders().filter(|sender| account.is_none_or(|account| sender.account == account)) {
        owners.entry(owner_of(sender)).or_default().push(sender.clone());
    }
    owners.values_mut().for_each(|senders| senders.sort_by(|one, other| one.number.cmp(&other.number)));
    owners
}

/// Templates that fit, `limit` of them behind the first `skipped`.
pub async fn page(
    store: &Store,
    directory: &Directory,
    actor: &Actor,
    filter: &TemplateFilter,
    (skipped, limit): (usize, usize),
) -> Result<ShownTemplates, Refusal> {
    require(actor, Permission::ReadMessages)?;
    if filter.text.as_ref().is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
        let text = format!("what is looked for has at most {TEXT_CHARS_MAX} characters");
        return Err(Refusal::Invalid { field: "q", text });
    }
    let mut owners = owners(&directory.snapshot(), filter.account);
    owners.retain(|_, senders| filter.connection.as_ref().is_none_or(|id| senders[0].connection.id == *id));
    let lists: BTreeMap<_, _> =
        owners.iter().map(|(owner, senders)| (owner, directory.templates(&senders[0]))).collect();
    let mut fitting: Vec<(&Template, &TemplateOwner)> = lists
        .iter()
        .flat_map(|(owner, templates)| templates.iter().map(|template| (template, *owner)))
        .filter(|(template, _)| filter.fits(template))
        .collect();
    fitting.sort_by(|(one, of_one), (other, of_other)| {
        (&one.name, &one.language, of_one).cmp(&(&other.name, &other.language, of_other))
    });
    let count = fitting.len();
    let page: Vec<_> = fitting.into_iter().skip(skipped).take(limit).collect();
    let mut listings = BTreeMap::new();
    for owner in page.iter().map(|(_, owner)| *owner).collect::<BTreeSet<_>>() {
        let keys: Vec<_> =
            page.iter().filter(|(_, whose)| *whose == owner).map(|(template, _)| key(template)).collect();
        let found = store.template_listings(owner, &keys).await?;
        listings.extend(found.into_iter().map(|(key, listing)| ((owner, key), listing)));
    }
    let shown = page.into_iter().map(|(template, owner)| {
        let connection = owners[owner][0].connection.clone();
        let listing = listings.remove(&(owner, key(template))).unwrap_or_default();
        ShownTemplate {
            listing: read_listing(&connection, template, &listing),
            owner: owner.clone(),
            connection,
            template: template.clone(),
        }
    });
    Ok(ShownTemplates { templates: shown.collect(), fitting: count })
}

fn key(template: &Template) -> (String, String) {
    (template.name.clone(), template.language.clone())
}

fn read_listing(connection: &Connection, template: &Template, listing: &str) -> TemplateListing {
    providers::find(&connection.provider).map(|provider| provider.read_listing(template, listing)).unwrap_or_default()
}

/// Statuses, categories and languages that occur, for whoever chooses among them.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    pub statuses: BTreeSet<String>,
    pub categories: BTreeSet<String>,
    pub languages: BTreeSet<String>,
}

/// What there is to choose from.
pub fn choices(directory: &Directory) -> Choices {
    let mut choices = Choices::default();
    for senders in owners(&directory.snapshot(), None).values() {
        for template in directory.templates(&senders[0]).iter() {
            choices.statuses.insert(template.status.word().to_owned());
            choices.categories.insert(template.category.word().to_owned());
            choices.languages.insert(template.language.clone());
        }
    }
    choices
}

/// Which template somebody means; the parts of its address.
#[derive(Clone, Debug, Deserialize)]
pub struct TemplateName {
    /// A connection's id.
    pub connection: String,
    /// The provider's id of the business account.
    pub business_account: String,
    pub name: String,
    pub language: String,
}

/// One template, and the numbers that can send it.
pub async fn one(
    store: &Store,
    directory: &Directory,
    actor: &Actor,
    wanted: &TemplateName,
) -> Result<(ShownTemplate, Vec<Arc<Sender>>), Refusal> {
    require(actor, Permission::ReadMessages)?;
    let found = owners(&directory.snapshot(), None).into_iter().find(|(owner, senders)| {
        senders[0].connection.id == wanted.connection && owner.provider_account_id == wanted.business_account
    });
    let unknown = || {
        let TemplateName { connection, business_account, name, language } = wanted;
        Refusal::NotFound(format!(
            "template {name} ({language}) is not in the list of business account {business_account} at connection {connection}; \
             it was deleted, or the list must be read again"
        ))
    };
    let (owner, senders) = found.ok_or_else(unknown)?;
    let templates = directory.templates(&senders[0]);
    let fits = |template: &&Template| template.name == wanted.name && template.language == wanted.language;
    let template = templates.iter().find(fits).ok_or_else(unknown)?.clone();
    let listings = store.template_listings(&owner, &[key(&template)]).await?;
    let listing = listings.into_values().next().unwrap_or_default();
    let connection = senders[0].connection.clone();
    let listing = read_listing(&connection, &template, &listing);
    Ok((ShownTemplate { owner, connection, template, listing }, senders))
}

/// Reads lists anew, when somebody does not want to wait for the next round.
#[derive(Default)]
pub struct TemplateSyncs {
    asked: PerMinute,
}

/// Each list costs its provider a request or more, and these are counted there.
const SYNCS_PER_MINUTE: u32 = 6;
/// Nobody waits longer for it; it goes on without them.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(20);

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    Done,
    /// It takes long, and goes on.
    GoesOn,
}

impl TemplateSyncs {
    /// All lists, or those of one connection.
    pub async fn sync(
        &self,
        lookup: &Arc<TemplateLookup>,
        (store, directory): (&Store, &Directory),
        actor: &Actor,
        connection: Option<&str>,
    ) -> Result<Synced, Refusal> {
        require(actor, Permission::SendTests)?;
        let wanted: BTreeSet<TemplateOwner> = owners(&directory.snapshot(), None)
            .into_iter()
            .filter(|(_, senders)| connection.is_none_or(|id| senders[0].connection.id == id))
            .map(|(owner, _)| owner)
            .collect();
        if wanted.is_empty() {
            return Err(match connection {
                Some(id) => Refusal::NotFound(format!("there is no connection {id} with a number")),
                None => {
                    Refusal::Conflict("there is no number yet whose templates could be read; add one first".to_owned())
                }
            });
        }
        if !self.asked.one_more(SYNCS_PER_MINUTE) {
            let text = format!("the lists are read at most {SYNCS_PER_MINUTE} times a minute; wait for the next one");
            return Err(Refusal::Conflict(text));
        }
        let entry = AuditEntry::new(actor, "sync templates", connection.unwrap_or("all connections"))
            .after(json!({"lists": wanted.len()}));
        store.note_in_audit(&entry).await?;
        let lookup = lookup.clone();
        // In a task of its own: the lists are wanted also when whoever asked has gone.
        let syncing = tokio::spawn(async move { lookup.sync_of(&wanted).await });
        match tokio::time::timeout(SYNC_WAIT_MAX, syncing).await {
            Ok(_) => Ok(Synced::Done),
            Err(_) => Ok(Synced::GoesOn),
        }
    }
}
