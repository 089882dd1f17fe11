//! Webhooks for the people who look after them: made, changed, stopped, tried. The same for the API, the console and the apply
//! file.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    directory::Directory,
    operators::{FieldProblem, Refusal, require},
    webhook_door::{WebhookDoor, check_certificate},
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
        webhook::{Authentication, OldSigningSecret, SecretText, Webhook},
        webhook_filter::is_same_number,
        webhook_sample::sample,
        webhook_settings::WebhookSettings,
    },
    net::{guard::check_literal, mail},
    profiles::{self, Signature, signing},
    providers,
    settings::Settings,
    store::{
        Store,
        audit::AuditEntry,
        callbacks::CursorState,
        configuration::{Configuration, ConfigurationRecords},
        webhooks::WebhookRecord,
    },
};

/// More would be a mistake: each has a cursor for every account and kind of event.
pub const WEBHOOKS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 64;
/// A replaced signing secret is good for so long, unless somebody says otherwise …
pub const OLD_SECRET_LIVES: Duration = Duration::from_secs(24 * 60 * 60);
/// … and for no longer than this.
pub const OLD_SECRET_LIVES_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Secrets that were replaced and still sign.
const OLD_SECRETS_MAX: usize = 1;

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
    /// For each account and kind of event; none while it is off.
    pub cursors: Vec<WebhookCursor>,
}

#[derive(Clone, Debug)]
pub struct WebhookCursor {
    /// By which the callbacks pages and `/api/v1/callbacks` know it.
    pub subscription: SubscriptionKey,
    pub account: String,
    pub kind: &'static str,
    pub state: CursorState,
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
        let states = self.store.cursor_states().await?;
        Ok(standings(&configuration, &states))
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

    /// A new signing secret, which signs beside the old one for so long. It is shown this once.
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
            let old = record.settings.signing_secret.replace(secret.clone());
            record.old_signing_secrets = old
                .map(|secret| OldSigningSecret { secret, until: now.plus(old_lives) })
                .into_iter()
                .filter(|old| old.until > now)
                .take(OLD_SECRETS_MAX)
                .collect();
            let entry = AuditEntry::new(actor, "rotate signing secret", subject(name))
                .after(json!({"old_signs_until": now.plus(old_lives).to_string()}));
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
        if !self.store.delete_webhook(name, &entry).await? {
            return Err(unknown(name));
        }
        Ok(self.directory.reload_configuration().await?)
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
        for cursor in cursors.iter().filter(|cursor| took_it && cursor.state.trouble.due_at.is_some()) {
            let entry = AuditEntry::new(actor, "release callback URL", format!("callback URL {}", cursor.subscription));
            self.store.release_subscription(cursor.subscription, &entry).await?;
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

/// All webhooks as they stand.
pub fn standings(
    configuration: &Configuration,
    states: &BTreeMap<SubscriptionKey, CursorState>,
) -> Vec<WebhookStanding> {
    configuration.webhooks.iter().map(|webhook| standing(configuration, states, webhook)).collect()
}

fn standing(
    configuration: &Configuration,
    states: &BTreeMap<SubscriptionKey, CursorState>,
    webhook: &Arc<Webhook>,
) -> WebhookStanding {
    let is_its = |key: Option<WebhookKey>| key == Some(webhook.key);
    let own = configuration
        .webhook_subscriptions
        .iter()
        .filter(|subscription| is_its(subscription.webhook.as_ref().map(|webhook| webhook.key)));
    let cursors = own.filter_map(|subscription| {
        let account = configuration.accounts.iter().find(|account| account.key == subscription.account)?;
        Some(WebhookCursor {
            subscription: subscription.key,
            account: account.id.clone(),
            kind: subscription.kind.as_str(),
            state: states.get(&subscription.key)?.clone(),
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

/// What is wrong with a name, if anything.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(right) {
        return Ok(());
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} of a to z, 0 to 9, - and _"))
}

/// What is wrong with the moment from which a new webhook is to hear, if anything. What is too old to be kept is not told.
pub(super) fn check_since(since: UnixMillis, now: UnixMillis) -> Result<(), String> {
    match since <= now {
        true => Ok(()),
        false => Err("lies in the future: name a moment that is over, or leave it out".to_owned()),
    }
}

/// The settings with their version pinned, and all that is wrong with them: in themselves, and beside what is stored. A name that
/// nothing has would let nothing through in a filter, and tell nobody among the alerts, silently.
fn judged(
    stored: &Configuration,
    name: &str,
    settings: WebhookSettings,
    allowed: Allowed,
) -> (WebhookSettings, Vec<FieldProblem>) {
    let (settings, mut problems) = checked(settings, allowed);
    let numbers: Vec<&str> = stored.senders.iter().map(|sender| sender.number.as_e164()).collect();
    let known = Known {
        accounts: &|id| stored.account(id).is_some(),
        numbers: &numbers,
        webhooks: &|name| stored.webhook(name).is_some(),
    };
    problems.extend(check_names(name, &settings, &known));
    (settings, problems)
}

/// What a webhook may name.
pub(super) struct Known<'a> {
    pub(super) accounts: &'a dyn Fn(&str) -> bool,
    pub(super) numbers: &'a [&'a str],
    pub(super) webhooks: &'a dyn Fn(&str) -> bool,
}

/// Names that nothing has: in a filter they would let nothing through, among the alerts they would tell nobody, silently.
pub(super) fn check_names(name: &str, settings: &WebhookSettings, known: &Known<'_>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    for id in settings.filter.accounts.iter().filter(|id| !(known.accounts)(id)) {
        note("filter", format!("accounts: there is no account {id}"));
    }
    let is_known = |wanted: &String| known.numbers.iter().any(|number| is_same_number(wanted, number));
    for wanted in settings.filter.numbers.iter().filter(|wanted| !is_known(wanted)) {
        let how = "write it with its country code, like +918888001122";
        note("filter", format!("numbers: {wanted} is no account's number: {how}"));
    }
    match &settings.alerts.webhook {
        Some(other) if other == name => {
            note("alerts", "webhook: it cannot tell of its own failure: name another".to_owned());
        }
        Some(other) if !(known.webhooks)(other) => {
            note("alerts", format!("webhook: there is no webhook {other}: make it first"));
        }
        Some(_) | None => {}
    }
    problems
}

/// The settings with their version pinned, and all that is wrong with them in themselves: with nothing they can work.
pub(super) fn checked(mut settings: WebhookSettings, allowed: Allowed) -> (WebhookSettings, Vec<FieldProblem>) {
    let mut problems = Vec::new();
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    let profile = profiles::find(&settings.profile);
    let own_headers = profile.map_or(&[][..], |profile| profile.own_headers());
    for (field, text) in settings.check(allowed.private_networks, own_headers) {
        note(field, text);
    }
    if let Some(text) = never_reached(settings.url.expose(), allowed) {
        note("url", text);
    }
    if let Authentication::OAuth2 { token_url, .. } = &settings.authentication
        && let Some(text) = never_reached(token_url, allowed)
    {
        note("authentication", format!("token_url: {text}"));
    }
    if !settings.alerts.emails.is_empty() && !allowed.emails {
        let text = "emails: this server sends none: set alarms.smtp_url and alarms.from and start it again, or name another \
                    webhook instead";
        note("alerts", text.to_owned());
    }
    for odd in settings.alerts.emails.iter().filter(|address| !mail::is_address(address)) {
        note("alerts", format!("emails: `{odd}` is no e-mail address: write it like ops@example.com"));
    }
    let certificate = settings.client_certificate.as_ref().filter(|_| !has_problem(&problems, "client_certificate"));
    if let Some(Err(error)) = certificate.map(check_certificate) {
        problems.push(FieldProblem::new("client_certificate", error.to_string()));
    }
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    for odd in settings.filter.providers.iter().filter(|slug| providers::find(slug).is_none()) {
        let known = providers::ALL.iter().map(|provider| provider.slug()).collect::<Vec<_>>().join(", ");
        note("filter", format!("providers: `{odd}` is none of {known}"));
    }
    match profile {
        None => {
            let known = profiles::ALL.iter().map(|profile| profile.slug()).collect::<Vec<_>>().join(", ");
            note("profile", format!("is not one of {known}"));
        }
        Some(profile) => {
            let formats = profile.formats().iter().map(|format| format.as_str()).collect::<Vec<_>>();
            if !formats.contains(&settings.format.as_str()) {
                note("format", format!("must be {} for the profile {}", formats.join(" or "), profile.slug()));
            }
            if !profile.levels().contains(&settings.payload) {
                let levels = profile.levels().iter().map(|level| level.as_str()).collect::<Vec<_>>();
                note("payload", format!("must be {} for the profile {}", levels.join(" or "), profile.slug()));
            }
            let mut wanted = EventName::TOLD.iter().filter(|name| settings.wants(**name)).peekable();
            if wanted.peek().is_some() && !wanted.any(|name| profile.word(*name).is_some()) {
                let text =
                    format!("{} has no word for any of them: choose others, or the profile native", profile.title());
                note("events", text);
            }
            if settings.version.is_empty() {
                settings.version = profile.versions().first().copied().unwrap_or_default().to_owned();
            } else if !profile.versions().contains(&settings.version.as_str()) {
                note("version", format!("must be one of {}", profile.versions().join(", ")));
            }
            let secret = settings.signing_secret.as_ref().map(|secret| secret.expose().into());
            if let Some(Err(text)) = secret.map(|secret| profile.check_secret(&secret)) {
                note("signing_secret", format!("cannot be used: {text}"));
            }
        }
    }
    (settings, problems)
}

/// Why no request to it would ever be made, if its host is written as an address. Behind a name that is seen when it is resolved.
fn never_reached(url: &str, allowed: Allowed) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    check_literal(&url, allowed.private_networks).err().map(|forbidden| forbidden.to_string())
}

fn has_problem(problems: &[FieldProblem], field: &str) -> bool {
    problems.iter().any(|problem| problem.field == field)
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
