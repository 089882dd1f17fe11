//! Webhooks for the people who look after them: made, changed, stopped, tried. The same for the API, the console and the apply
//! file.

mod rules;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

pub(super) use self::rules::{Known, check_name, check_names, checked};
use self::rules::{check_since, judged};
use super::{
    callbacks,
    directory::Directory,
    operators::{FieldProblem, Refusal, require},
    webhook_door::WebhookDoor,
    webhook_relay::{Written, render},
};
use crate::{
    clock,
    domain::{
        attempt::{Attempt, AttemptOutcome},
        event_name::EventName,
        ids::{SubscriptionKey, WebhookKey},
        operator::{Actor, Permission},
        time::UnixMillis,
        webhook::{OldSigningSecret, SecretText, Webhook},
        webhook_sample::sample,
        webhook_settings::WebhookSettings,
    },
    profiles::{self, Signature, signing},
    settings::Settings,
    store::{
        Store, StoreError,
        audit::AuditEntry,
        callbacks::CursorState,
        configuration::{Configuration, ConfigurationRecords},
        webhooks::{DeletedWebhook, WebhookRecord},
    },
};

/// More would be a mistake: each has a cursor for every account and kind of event.
pub const WEBHOOKS_MAX: usize = 100;
/// A replaced signing secret is good for so long, unless somebody says otherwise …
pub const OLD_SECRET_LIVES: Duration = Duration::from_secs(24 * 60 * 60);
/// … and for no longer than this.
pub const OLD_SECRET_LIVES_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Secrets that were replaced and still sign: each is good for as long as was said when it was replaced.
const OLD_SECRETS_MAX: usize = 4;

pub struct Webhooks {
    store: Store,
    directory: Arc<Directory>,
    door: WebhookDoor,
    allowed: Allowed,
}

/// What the server's settings let webhooks do.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Be in private networks, and at `http://` there.
    pub private_networks: bool,
    /// Tell of their failures by e-mail.
    pub emails: bool,
}

impl Allowed {
    pub fn by(settings: &Settings) -> Self {
        Self { private_networks: settings.security.allow_private_networks, emails: settings.alarms.smtp_url.is_some() }
    }
}

/// A webhook that is to be made.
#[derive(Debug)]
pub struct NewWebhook {
    pub enabled: bool,
    pub paused: bool,
    /// It hears of what happened since then, as far as that is kept; `None`: of what happens from now on.
    pub since: Option<UnixMillis>,
    pub settings: WebhookSettings,
}

/// What shall become of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    /// What happens meanwhile is not told.
    Off,
    /// What happens meanwhile is told later.
    Paused,
    Resumed,
}

/// A webhook and where it stands.
#[derive(Clone, Debug)]
pub struct WebhookStanding {
    pub webhook: Arc<Webhook>,
    /// For each account and kind of event; those that it had, while it is off.
    pub cursors: Vec<WebhookCursor>,
}

#[derive(Clone, Debug)]
pub struct WebhookCursor {
    /// By which the callbacks pages and `/api/v1/callbacks` know it.
    pub subscription: SubscriptionKey,
    pub account: String,
    pub kind: &'static str,
    pub state: CursorState,
    /// Events that were not taken, or are behind one that was not.
    pub waiting: i64,
    pub dead: i64,
}

/// A sample that was sent, and what came of it.
#[derive(Debug)]
pub struct SentSample {
    pub body: String,
    pub content_type: String,
    pub attempt: Attempt,
}

impl Webhooks {
    pub fn new(store: Store, directory: Arc<Directory>, door: WebhookDoor, allowed: Allowed) -> Self {
        Self { store, directory, door, allowed }
    }

    /// All of them, by name.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<WebhookStanding>, Refusal> {
        require(actor, Permission::ReadMessages)?;
        let configuration = self.store.load_configuration().await?;
        Ok(standings(&self.store, &configuration).await?)
    }

    pub async fn one(&self, actor: &Actor, name: &str) -> Result<WebhookStanding, Refusal> {
        let found = self.list(actor).await?.into_iter().find(|standing| standing.webhook.name == name);
        found.ok_or_else(|| unknown(name))
    }

    /// Makes one. Gives back its signing secret when it was made here: it is shown this once. `unread`: what could not even be read
    /// of what somebody entered; while there is any nothing is made, and it is told with all else that is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        name: &str,
        (new, unread): (NewWebhook, Vec<FieldProblem>),
    ) -> Result<Option<SecretText>, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let NewWebhook { enabled, paused, since, mut settings } = new;
        let mut problems = unread;
        problems.extend(check_name(name).err().map(|text| FieldProblem::new("name", text)));
        let wrong_since = since.and_then(|since| check_since(since, clock::now()).err());
        problems.extend(wrong_since.map(|text| FieldProblem::new("since", text)));
        let made = settings.signing_secret.is_none().then(|| new_secret(&settings)).flatten();
        settings.signing_secret = settings.signing_secret.or_else(|| made.clone());
        let allowed = self.allowed;
        self.write(|stored| {
            let taken = stored
                .webhook(name)
                .map(|_| format!("there is a webhook {name} already: change it, or take another name"));
            let (settings, wrong) = judged(stored, name, settings, allowed);
            problems.extend(wrong);
            if !problems.is_empty() {
                problems.extend(taken.map(|text| FieldProblem::new("name", text)));
                return Err(Refusal::Problems(problems));
            }
            if let Some(text) = taken {
                return Err(Refusal::Conflict(text));
            }
            if stored.webhooks.len() >= WEBHOOKS_MAX {
                return Err(Refusal::Conflict(format!("there are {WEBHOOKS_MAX} webhooks already: delete one")));
            }
            let name = name.to_owned();
            let record = WebhookRecord { name, enabled, paused, since, settings, old_signing_secrets: vec![] };
            let entry = audited(stored, actor, &record);
            Ok((record, entry))
        })
        .await?;
        Ok(made)
    }

    /// Replaces what is said of one; secrets that stand as `…`, and a URL that was left out, stay. `unread`: as in [`Self::create`].
    pub async fn change(
        &self,
        actor: &Actor,
        name: &str,
        (settings, unread): (WebhookSettings, Vec<FieldProblem>),
    ) -> Result<(), Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let (allowed, mut problems) = (self.allowed, unread);
        self.write(|stored| {
            let before = known(stored, name)?;
            let (settings, wrong) = judged(stored, name, settings.keeping(&before.settings), allowed);
            problems.extend(wrong);
            if !problems.is_empty() {
                return Err(Refusal::Problems(problems));
            }
            let record = WebhookRecord { settings, ..record_of(before) };
            let entry = audited(stored, actor, &record);
            Ok((record, entry))
        })
        .await
    }

    pub async fn switch(&self, actor: &Actor, name: &str, switch: Switch) -> Result<(), Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        self.write(|stored| {
            let before = known(stored, name)?;
            let mut record = record_of(before);
            let action = match switch {
                Switch::On => {
                    record.enabled = true;
                    "switch on webhook"
                }
                Switch::Off => {
                    record.enabled = false;
                    "switch off webhook"
                }
                Switch::Paused => {
                    record.paused = true;
                    "pause webhook"
                }
                Switch::Resumed => {
                    record.paused = false;
                    "resume webhook"
                }
            };
            let told = |enabled: bool, paused: bool| json!({"enabled": enabled, "paused": paused});
            let entry = AuditEntry::new(actor, action, subject(name))
                .before(told(before.enabled, before.paused))
                .after(told(record.enabled, record.paused));
            Ok((record, entry))
        })
        .await
    }

    /// A new signing secret, which signs beside the old one for so long, where the profile can. It is shown this once. For no time at
    /// all: whatever signed before signs no more.
    pub async fn rotate_secret(&self, actor: &Actor, name: &str, old_lives: Duration) -> Result<SecretText, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        if old_lives > OLD_SECRET_LIVES_MAX {
            let most = OLD_SECRET_LIVES_MAX.as_secs() / 3600;
            let text = format!("the old secret signs for at most {most} hours more: say less");
            return Err(Refusal::Invalid { field: "hours", text });
        }
        let now = clock::now();
        let mut made = None;
        self.write(|stored| {
            let before = known(stored, name)?;
            let mut record = record_of(before);
            let Some(secret) = new_secret(&record.settings) else {
                let text = format!("the profile {} signs nothing", record.settings.profile);
                return Err(Refusal::Conflict(text));
            };
            let replaced = record.settings.signing_secret.replace(secret.clone());
            let until = now.plus(old_lives);
            let is_good = |old: &OldSigningSecret| old.until > now && until > now && carries_several(&record.settings);
            let replaced = replaced.map(|secret| OldSigningSecret { secret, until });
            let earlier = record.old_signing_secrets.into_iter();
            let old: Vec<_> = replaced.into_iter().chain(earlier).filter(is_good).collect();
            if old.len() > OLD_SECRETS_MAX {
                return Err(Refusal::Conflict(too_many_secrets(&old[1..])));
            }
            let told = old.first().map(|old| old.until.to_string());
            record.old_signing_secrets = old;
            let entry =
                AuditEntry::new(actor, "rotate signing secret", subject(name)).after(json!({"old_signs_until": told}));
            made = Some(secret);
            Ok((record, entry))
        })
        .await?;
        made.ok_or_else(|| unknown(name))
    }

    pub async fn delete(&self, actor: &Actor, name: &str) -> Result<(), Refusal> {
        let standing = self.one(actor, name).await?;
        require(actor, Permission::ManageConfiguration)?;
        let entry = AuditEntry::new(actor, "delete webhook", subject(name)).before(told(&record_of(&standing.webhook)));
        match self.store.delete_webhook(name, &entry).await? {
            DeletedWebhook::Gone => Ok(self.directory.reload_configuration().await?),
            DeletedWebhook::NoneOfThisName => Err(unknown(name)),
            DeletedWebhook::IsNamedBy(others) => Err(Refusal::Conflict(format!(
                "{name} is the webhook among the alerts of {}: name another there, or none, and delete it then",
                others.join(", ")
            ))),
        }
    }

    /// Sends the example of an event, as any event would be sent; nothing of it is kept but the line in the audit log. Who takes it
    /// works again: what waits for the webhook after failures is told at once.
    pub async fn send_sample(&self, actor: &Actor, name: &str, event: EventName) -> Result<SentSample, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let WebhookStanding { webhook, cursors } = self.one(actor, name).await?;
        let request = match render(&webhook, &sample(event), clock::now()) {
            Written::Request(request) => request,
            Written::Unwanted => return Err(Refusal::Conflict(format!("{name} does not want {event}"))),
            Written::Unspeakable(why) => return Err(Refusal::Conflict(why)),
        };
        let entry = AuditEntry::new(actor, "send sample", subject(name)).after(json!({"event": event.as_str()}));
        self.store.note_in_audit(&entry).await?;
        let (attempt, _) = self.door.send(&webhook, &request).await;
        let took_it = attempt.outcome == AttemptOutcome::Succeeded;
        let waits = |cursor: &&WebhookCursor| webhook.enabled && cursor.state.trouble.due_at.is_some();
        for cursor in cursors.iter().filter(|cursor| took_it && waits(cursor)) {
            callbacks::release(&self.store, actor, cursor.subscription).await?;
        }
        Ok(SentSample { body: request.body, content_type: request.content_type, attempt })
    }

    async fn write(
        &self,
        decide: impl FnOnce(&Configuration) -> Result<(WebhookRecord, AuditEntry), Refusal>,
    ) -> Result<(), Refusal> {
        let decide = |stored: &Configuration| {
            let (record, entry) = decide(stored)?;
            let records =
                ConfigurationRecords { webhooks: vec![record], audit: vec![entry], ..ConfigurationRecords::default() };
            Ok::<_, Refusal>((records, ()))
        };
        self.store.change_configuration(decide).await??;
        // Who pauses it, or takes a secret back, wants that to hold when they are told so.
        Ok(self.directory.reload_configuration().await?)
    }
}

fn too_many_secrets(old: &[OldSigningSecret]) -> String {
    let first = old.iter().map(|old| old.until).min().map(|until| until.to_string()).unwrap_or_default();
    format!(
        "{OLD_SECRETS_MAX} secrets that were replaced sign beside the newest, each for the time that was promised: another can be made \
         from {first} on, or now with 0 hours, which ends the time of all of them"
    )
}

/// Until when the last of the secrets that were replaced signs; `None`: the newest signs alone.
pub fn old_secrets_sign_until(webhook: &Webhook, now: UnixMillis) -> Option<UnixMillis> {
    let old = webhook.old_signing_secrets.iter().map(|old| old.until);
    old.filter(|until| *until > now && carries_several(&webhook.settings)).max()
}

/// Whether a secret that was replaced can sign beside the new one.
pub fn carries_several(settings: &WebhookSettings) -> bool {
    profiles::find(&settings.profile).is_some_and(|profile| profile.signature().carries_several())
}

/// All webhooks as they stand.
pub async fn standings(store: &Store, configuration: &Configuration) -> Result<Vec<WebhookStanding>, StoreError> {
    let facts = Facts {
        states: store.cursor_states().await?,
        left_behind: store.count_callbacks().await?,
        waiting: store.count_waiting().await?,
    };
    Ok(configuration.webhooks.iter().map(|webhook| standing(configuration, &facts, webhook)).collect())
}

/// By subscription.
struct Facts {
    states: BTreeMap<SubscriptionKey, CursorState>,
    left_behind: BTreeMap<i32, (i64, i64)>,
    waiting: BTreeMap<i32, i64>,
}

fn standing(configuration: &Configuration, facts: &Facts, webhook: &Arc<Webhook>) -> WebhookStanding {
    let is_its = |key: Option<WebhookKey>| key == Some(webhook.key);
    let own = configuration
        .subscriptions_ever()
        .filter(|subscription| is_its(subscription.webhook.as_ref().map(|webhook| webhook.key)))
        // One that is on may have had others.
        .filter(|subscription| subscription.is_on || !webhook.enabled);
    let cursors = own.filter_map(|subscription| {
        let account = configuration.accounts.iter().find(|account| account.key == subscription.account)?;
        Some(WebhookCursor {
            subscription: subscription.key,
            account: account.id.clone(),
            kind: subscription.kind.as_str(),
            state: facts.states.get(&subscription.key)?.clone(),
            waiting: facts.waiting.get(&subscription.key.0).copied().unwrap_or_default(),
            dead: facts.left_behind.get(&subscription.key.0).map_or(0, |(dead, _)| *dead),
        })
    });
    WebhookStanding { webhook: webhook.clone(), cursors: cursors.collect() }
}

fn known<'a>(stored: &'a Configuration, name: &str) -> Result<&'a Webhook, Refusal> {
    stored.webhook(name).map(AsRef::as_ref).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no webhook {name}"))
}

fn subject(name: &str) -> String {
    format!("webhook {name}")
}

/// The same webhook, to be changed.
pub(super) fn record_of(webhook: &Webhook) -> WebhookRecord {
    WebhookRecord {
        name: webhook.name.clone(),
        enabled: webhook.enabled,
        paused: webhook.paused,
        since: None,
        settings: webhook.settings.clone(),
        old_signing_secrets: webhook.old_signing_secrets.clone(),
    }
}

/// The line of the audit log for one that is new, or differs from what it was.
pub(super) fn audited(stored: &Configuration, actor: &Actor, record: &WebhookRecord) -> AuditEntry {
    let subject = subject(&record.name);
    match stored.webhook(&record.name) {
        Some(before) => AuditEntry::new(actor, "change webhook", subject).before(told(&record_of(before))),
        None => AuditEntry::new(actor, "add webhook", subject),
    }
    .after(told(record))
}

/// As the audit log has it.
fn told(record: &WebhookRecord) -> Value {
    let settings = serde_json::to_value(record.settings.clone().masked()).unwrap_or_default();
    json!({"enabled": record.enabled, "paused": record.paused, "settings": settings})
}

/// Whether the profile signs what it sends.
pub(super) fn signs(settings: &WebhookSettings) -> bool {
    profiles::find(&settings.profile).is_some_and(|profile| profile.signature() != Signature::None)
}

fn new_secret(settings: &WebhookSettings) -> Option<SecretText> {
    use secrecy::ExposeSecret as _;

    let scheme = profiles::find(&settings.profile)?.signature();
    (scheme != Signature::None).then(|| SecretText::new(signing::secret_of(scheme, &rand::random()).expose_secret()))
}
