//! Templates: keeping the lists fresh, and looking one up while a platform waits.
//!
//! 1. Each business account's whole list is fetched at the start, on a schedule, and soon after a
//!    webhook said that it changed.
//! 2. A template that is missing from the list, or that the list would refuse, is looked up by name
//!    while the request waits: the usual order is to have it approved, then to use it minutes later.
//! 3. One look-up at a time for a name; its answer, or the lack of one, is good for a moment, so that a
//!    campaign with a wrong name does not become a storm of look-ups.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::{
    directory::{Directory, owner_of},
    per_minute::PerMinute,
    rendered::check_rendered,
};
use crate::{
    clock,
    domain::{
        account::{Account, Sender},
        failure::Refusal,
        fill::{FillRules, as_given, fill},
        outbound::Purpose,
        template::{FilledTemplate, Resolved, TemplateContent, TemplateStatus, resolve},
        time::UnixMillis,
    },
    net::exchange::Exchange,
    providers,
    store::{Store, templates::TemplateOwner},
};

pub struct TemplateLookup {
    store: Store,
    directory: Arc<Directory>,
    exchange: Exchange,
    /// How long a request may wait for a look-up.
    wait_max: Duration,
    recent: Mutex<HashMap<(TemplateOwner, String), Arc<Recent>>>,
    /// Look-ups of single names under way.
    fetches: Semaphore,
    /// Lists that a webhook said have changed.
    changed: Mutex<BTreeSet<TemplateOwner>>,
    /// Lists that were fetched whole, or tried to be.
    fetched: Mutex<HashMap<TemplateOwner, Fetched>>,
    renderings_told: PerMinute,
}

#[derive(Clone, Copy)]
struct Fetched {
    at: Instant,
    whole: bool,
    /// Since when the connection was as it was then.
    changed_at: UnixMillis,
}

#[derive(Default)]
struct Recent {
    /// Held while somebody looks.
    looking: AsyncMutex<Option<(Instant, bool)>>,
}

/// A look-up's answer is good for so long.
const ANSWER_GOOD_FOR: Duration = Duration::from_secs(30);
/// After a look-up that got no answer nobody tries for so long.
pub const SILENCE_GOOD_FOR: Duration = Duration::from_secs(10);
/// A whole list that could not be fetched is tried again after this.
const WHOLE_RETRY: Duration = Duration::from_secs(60);
/// Look-ups of single names at the same time.
const FETCHES_MAX: usize = 8;
/// Names remembered at most; beyond this the old ones are forgotten.
const NAMES_MAX: usize = 1_000;

/// What a look-up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedUp {
    /// The list is as fresh as it gets.
    Fresh,
    /// The provider did not say in time.
    NoAnswer,
}

impl TemplateLookup {
    pub fn new(store: Store, directory: Arc<Directory>, exchange: Exchange, wait_max: Duration) -> Self {
        Self {
            store,
            directory,
            exchange,
            wait_max,
            recent: Mutex::default(),
            fetches: Semaphore::new(FETCHES_MAX),
            changed: Mutex::default(),
            fetched: Mutex::default(),
            renderings_told: PerMinute::default(),
        }
    }

    /// What a platform asks for, held against the list as it is now: the template, filled, or why it is not taken.
    pub fn check(
        &self,
        account: &Account,
        sender: &Sender,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Result<FilledTemplate, Refusal> {
        if let Some(category) = providers::passes_any_template(sender) {
            return Ok(as_given(content, category));
        }
        let templates = self.directory.templates(sender);
        let Resolved { template, substituted } = resolve(&templates, &content.name, &content.language)?;
        let filled = fill(template, content, FillRules::new(&account.policy, &sender.policy, purpose))?;
        check_rendered(&self.renderings_told, account, template, content)?;
        if substituted {
            tracing::info!(
                sender.number = %sender.number,
                "template {} was asked for in {} and is sent in {}, its only approved translation of that language",
                filled.name, content.language, filled.language
            );
        }
        Ok(filled)
    }

    /// Whether the list as it is now has the template that is meant, and it can be sent.
    pub fn is_listed(&self, sender: &Sender, content: &TemplateContent) -> bool {
        resolve(&self.directory.templates(sender), &content.name, &content.language).is_ok()
    }

    /// Makes sure that the list's entry for this name is fresh, waiting for it no longer than a request may.
    pub async fn look_up(self: &Arc<Self>, sender: &Arc<Sender>, name: &str) -> LookedUp {
        let this = self.clone();
        let (sender, name) = (sender.clone(), name.to_owned());
        // In a task of its own: the answer is wanted by the next request even when this one cannot wait.
        let looking = tokio::spawn(async move { this.look(&sender, &name).await });
        match tokio::time::timeout(self.wait_max, looking).await {
            Ok(Ok(true)) => LookedUp::Fresh,
            Ok(Ok(false) | Err(_)) | Err(_) => LookedUp::NoAnswer,
        }
    }

    async fn look(&self, sender: &Arc<Sender>, name: &str) -> bool {
        let Some(recent) = self.recent(owner_of(sender), name) else { return false };
        let mut last = recent.looking.lock().await;
        if let Some((at, answered)) = *last {
            let good_for = if answered { ANSWER_GOOD_FOR } else { SILENCE_GOOD_FOR };
            if at.elapsed() < good_for {
                return answered;
            }
        }
        // So that names made up by a caller cannot use up what the provider allows us to ask.
        let Ok(_place) = self.fetches.try_acquire() else { return false };
        let answered = self.fetch(sender, Some(name)).await;
        *last = Some((Instant::now(), answered));
        answered
    }

    /// `None` when too many names are being asked for.
    fn recent(&self, owner: TemplateOwner, name: &str) -> Option<Arc<Recent>> {
        let mut recent = self.recent.lock().expect("no holder can panic");
        if recent.len() >= NAMES_MAX {
            recent.retain(|_, entry| {
                entry.looking.try_lock().map_or(true, |last| last.is_some_and(|(at, _)| at.elapsed() < ANSWER_GOOD_FOR))
            });
        }
        let key = (owner, name.to_owned());
        if recent.len() >= NAMES_MAX && !recent.contains_key(&key) {
            return None;
        }
        Some(recent.entry(key).or_default().clone())
    }

    /// Fetches a whole list, or one name, and stores what it learns.
    async fn fetch(&self, sender: &Sender, named: Option<&str>) -> bool {
        let owner = owner_of(sender);
        let Some(provider) = providers::find(&sender.connection.provider) else { return false };
        let fetched = provider.fetch_templates(&self.exchange, sender, named).await;
        let stored = match &fetched {
            Ok(templates) => self.store.replace_templates(&owner, named, templates, clock::now()).await,
            Err(failure) => {
                tracing::warn!(
                    connection.id = sender.connection.id,
                    provider_account.id = owner.provider_account_id,
                    "could not fetch templates of {}: {failure}",
                    owner.provider_account_id
                );
                self.store.note_template_failure(&owner, &failure.0, clock::now()).await.map(|()| false)
            }
        };
        let reloaded = match stored {
            Ok(true) => self.directory.reload_templates().await,
            // Somebody waits for this look-up. That it changed nothing may mean that another task, or another
            // instance, has just stored the same, and that our memory does not have it yet.
            Ok(false) if named.is_some() => self.directory.reload_templates().await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = &reloaded {
            tracing::error!(error = %crate::telemetry::Chain(error), "could not store templates");
        }
        fetched.is_ok() && reloaded.is_ok()
    }

    /// Notes that a list changed; [`Self::sync_changed`] fetches it.
    pub fn note_changed(&self, owner: TemplateOwner) {
        self.changed.lock().expect("no holder can panic").insert(owner);
    }

    /// Takes a stopped template out of use at once; the list itself is fetched soon after.
    pub async fn stop_template(&self, owner: &TemplateOwner, name: &str, language: &str, status: &TemplateStatus) {
        let stopped = match self.store.set_template_status(owner, name, language, status).await {
            Ok(true) => self.directory.reload_templates().await,
            // Not in the list, or stopped already.
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = stopped {
            tracing::error!(error = %crate::telemetry::Chain(&error), "could not stop the template {name}");
        }
    }

    /// Fetches the lists that were noted as changed.
    pub async fn sync_changed(&self) {
        let changed = std::mem::take(&mut *self.changed.lock().expect("no holder can panic"));
        if !changed.is_empty() {
            self.sync(|owner, _| changed.contains(owner)).await;
        }
    }

    /// Fetches these lists.
    pub async fn sync_of(&self, wanted: &BTreeSet<TemplateOwner>) {
        self.sync(|owner, _| wanted.contains(owner)).await;
    }

    /// Fetches every list that is older than `age_max`, was never fetched, failed a while ago, or whose connection was changed since.
    pub async fn sync_outdated(&self, age_max: Duration) {
        let fetched = self.fetched.lock().expect("no holder can panic").clone();
        let good_for = |last: &Fetched| if last.whole { age_max } else { WHOLE_RETRY.min(age_max) };
        let is_old = |sender: &Sender, last: &Fetched| {
            last.changed_at != sender.connection.changed_at || last.at.elapsed() >= good_for(last)
        };
        self.sync(|owner, sender| fetched.get(owner).is_none_or(|last| is_old(sender, last))).await;
    }

    async fn sync(&self, wanted: impl Fn(&TemplateOwner, &Sender) -> bool) {
        let mut seen = BTreeSet::new();
        for sender in self.directory.snapshot().senders() {
            let owner = owner_of(sender);
            if wanted(&owner, sender) && seen.insert(owner.clone()) {
                let whole = self.fetch(sender, None).await;
                let changed_at = sender.connection.changed_at;
                let fetched = Fetched { at: Instant::now(), whole, changed_at };
                self.fetched.lock().expect("no holder can panic").insert(owner, fetched);
            }
        }
    }
}
