//! Telling operators what is wrong, and when it is well again.
//!
//! 1. [`conditions`] judges what was observed: a list of what is wrong now.
//! 2. [`plan`] compares it with what operators were told before: who hears of what now. Each kind and subject is told at
//!    most once in `alarms.every`, and once more when it is over.
//! 3. Everything that is due goes out in one letter, by each way that is set up: in the server's settings, and by people
//!    ([`recipients`]), who may want some kinds alone. When at least one of those that a line is for took it, that is written down,
//!    with its name; otherwise the next round tries again. What is for no way is told to the log, and nobody else.

pub mod concerns;
pub mod conditions;
pub mod letter;
pub mod plan;
pub mod recipients;
mod untold;
pub mod view;

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

pub use self::untold::Untold;
use self::{
    letter::{Letter, Line, LineState},
    plan::{Plan, Telling, plan},
};
use crate::{
    clock,
    domain::{
        alarm::Condition,
        alarm_recipients::AlarmRecipients,
        time::UnixMillis,
        webhook::{SecretText, Webhook},
    },
    net::{
        exchange::{Exchange, Method, OutgoingRequest},
        mail::{MailError, Mailer},
        redact, signing,
    },
    settings::Settings,
    store::{
        Store, StoreError,
        alarm_letters::SentLetter,
        alarms::AlarmRecord,
        webhook_trouble::{LETTER_LIVES, WebhookLetter},
    },
};

/// Of the settings.
const WEBHOOK: &str = "webhook";
const MAIL: &str = "e-mail";
/// Set by people.
const SET_WEBHOOK: &str = "console webhook";
const SET_MAIL: &str = "console e-mail";

/// Between the ways that took an alarm, as they are written down.
pub const WAYS_JOINED_BY: &str = ", ";

/// The ways to operators: those of the settings, and those that people set.
pub struct AlarmWays {
    exchange: Exchange,
    of_settings: Vec<Way>,
    /// Where mail goes in, whomever it is for.
    mail_server: Option<Mailer>,
    every: Duration,
    instance: String,
}

/// One way to operators.
#[derive(Clone)]
struct Way {
    name: &'static str,
    by: By,
    /// Kinds of alarms that do not go this way are for others.
    recipients: Arc<AlarmRecipients>,
    is_of_settings: bool,
}

#[derive(Clone)]
enum By {
    Webhook { url: SecretString, secret: Option<SecretString> },
    Mail { mailer: Box<Mailer>, to: Vec<String> },
}

/// A way as it may be shown.
#[derive(Clone, Debug)]
pub struct WayShown {
    pub name: &'static str,
    /// The same, whoever set it.
    pub by: &'static str,
    /// The webhook's host, or the addresses.
    pub to: String,
    /// It is changed there, and nowhere else.
    pub is_of_settings: bool,
    /// Words of the only kinds that go this way; none: all.
    pub kinds: Vec<String>,
}

/// What came of one way.
#[derive(Debug)]
pub struct Told {
    pub way: &'static str,
    /// What it answered, or why it did not take it.
    pub result: Result<String, String>,
}

impl AlarmWays {
    pub fn new(settings: &Settings, exchange: Exchange) -> Result<Self, MailError> {
        let alarms = &settings.alarms;
        let mail_server = alarms.smtp_url.as_ref().map(|url| Mailer::new(url, &alarms.from, &alarms.to)).transpose()?;
        let webhook = alarms.webhook_url.clone().map(|url| By::Webhook { url, secret: alarms.webhook_secret.clone() });
        let mail = mail_server.clone().filter(|_| !alarms.to.is_empty());
        let mail = mail.map(|mailer| By::Mail { mailer: Box::new(mailer), to: alarms.to.clone() });
        let all = Arc::new(AlarmRecipients::default());
        let way = |name, by: Option<By>| by.map(|by| Way { name, by, recipients: all.clone(), is_of_settings: true });
        let of_settings = [way(WEBHOOK, webhook), way(MAIL, mail)].into_iter().flatten().collect();
        Ok(Self { exchange, of_settings, mail_server, every: alarms.every, instance: settings.instance_id() })
    }

    /// All ways, as they are set up at this moment.
    async fn ways(&self, store: &Store) -> Result<Vec<Way>, StoreError> {
        let recipients = Arc::new(store.alarm_recipients().await?.recipients);
        let secret = |text: &SecretText| SecretString::from(text.expose());
        let webhook = recipients
            .webhook_url
            .as_ref()
            .map(|url| By::Webhook { url: secret(url), secret: recipients.webhook_secret.as_ref().map(secret) });
        let server = self.mail_server.as_ref().filter(|_| !recipients.emails.is_empty());
        let mailer = server.and_then(|server| match server.to_others(&recipients.emails) {
            Ok(mailer) => Some(mailer),
            Err(error) => {
                tracing::error!("some who are to be told of alarms cannot be: {error}");
                None
            }
        });
        let mail = mailer.map(|mailer| By::Mail { mailer: Box::new(mailer), to: recipients.emails.clone() });
        let set = [(SET_WEBHOOK, webhook), (SET_MAIL, mail)].into_iter().filter_map(|(name, by)| {
            by.map(|by| Way { name, by, recipients: recipients.clone(), is_of_settings: false })
        });
        Ok(self.of_settings.iter().cloned().chain(set).collect())
    }

    /// One round: judges, tells, and writes down. Gives back everything that is wrong now.
    pub async fn round(
        &self,
        store: &Store,
        wrong: &[Condition],
        now: UnixMillis,
    ) -> Result<Vec<AlarmRecord>, StoreError> {
        let before = store.alarms().await?;
        let ways = self.ways(store).await?;
        let reaches = |kind| ways.iter().any(|way| way.recipients.want(kind));
        let plan = plan(&before, wrong, Telling { every: self.every, reaches_people: &reaches }, now);
        let told = self.tell_plan(store, &ways, &plan, now).await?;
        let after = plan.after(|line| heard_by(&ways, &told, line), now);
        let changed: Vec<AlarmRecord> = after.iter().filter(|record| !before.contains(record)).cloned().collect();
        if !changed.is_empty() || !plan.gone.is_empty() {
            store.change_alarms(&changed, &plan.gone).await?;
        }
        Ok(after.into_iter().filter(|record| record.over_at.is_none()).collect())
    }

    /// What came of each way that something was for.
    async fn tell_plan(
        &self,
        store: &Store,
        ways: &[Way],
        plan: &Plan,
        now: UnixMillis,
    ) -> Result<Vec<Told>, StoreError> {
        if plan.tell.is_empty() {
            return Ok(vec![]);
        }
        for line in &plan.tell {
            tracing::warn!(alarm = line.kind.as_str(), "{}", line.sentence());
        }
        let letter = Letter { at: now, instance: self.instance.clone(), lines: plan.tell.clone() };
        let told = self.tell_by(ways, &letter).await;
        keep(store, letter.sent(&told)).await?;
        for failed in &told {
            if let Err(why) = &failed.result {
                tracing::error!("could not send an alarm by {}: {why}; `wabridge alarm test` tries it", failed.way);
            }
        }
        Ok(told)
    }

    /// The ways that are set up, each with whom it reaches.
    pub async fn set_up(&self, store: &Store) -> Result<Vec<WayShown>, StoreError> {
        let shown = |way: Way| {
            let (by, to) = match &way.by {
                By::Webhook { url, .. } => (WEBHOOK, redact::url(url.expose_secret())),
                By::Mail { to, .. } => (MAIL, to.join(", ")),
            };
            let kinds = way.recipients.kinds.clone();
            WayShown { name: way.name, by, to, is_of_settings: way.is_of_settings, kinds }
        };
        Ok(self.ways(store).await?.into_iter().map(shown).collect())
    }

    /// Whether there is a server that takes mail.
    pub fn can_mail(&self) -> bool {
        self.mail_server.is_some()
    }

    /// Tries every way out, and keeps the letter for those who look later.
    pub async fn test(&self, store: &Store) -> Result<Vec<Told>, StoreError> {
        let letter = Letter::test(self.instance.clone(), clock::now());
        let told = self.tell_by(&self.ways(store).await?, &letter).await;
        if !told.is_empty() {
            store.keep_letter(&letter.sent(&told)).await?;
        }
        Ok(told)
    }

    /// The same where there is no database yet: by the ways of the settings.
    pub async fn test_without_store(&self) -> Vec<Told> {
        self.tell_by(&self.of_settings, &Letter::test(self.instance.clone(), clock::now())).await
    }

    /// Sends by each way the lines of a letter that go this way.
    async fn tell_by(&self, ways: &[Way], letter: &Letter) -> Vec<Told> {
        let mut told = Vec::new();
        for way in ways {
            let lines: Vec<Line> = letter.lines.iter().filter(|line| way.takes(line)).cloned().collect();
            if lines.is_empty() {
                continue;
            }
            let letter = Letter { lines, ..letter.clone() };
            let result = match &way.by {
                By::Webhook { url, secret } => self.post(url, secret.as_ref(), &letter).await,
                By::Mail { mailer, .. } => {
                    mailer.send(&letter.subject(), letter.text()).await.map_err(|error| error.to_string())
                }
            };
            told.push(Told { way: way.name, result });
        }
        told
    }

    async fn post(&self, url: &SecretString, secret: Option<&SecretString>, letter: &Letter) -> Result<String, String> {
        let body = letter.json();
        let signature = secret.map(|secret| {
            let seconds = letter.at.0.div_euclid(1000);
            let signed = format!("{seconds}.{body}");
            let signature = signing::sign(secret.expose_secret().as_bytes(), signed.as_bytes());
            ("x-wabridge-signature", SecretString::from(format!("t={seconds},v1={signature}")))
        });
        let request = OutgoingRequest {
            method: Method::Post,
            url: url.expose_secret(),
            headers: signature.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            body: Some(body.into()),
            timeout: self.exchange.request_timeout(),
        };
        match self.exchange.send(request).await.result {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(answer.in_words()),
            Ok(answer) => Err(format!("it answered with {}", answer.in_words())),
            Err(no_answer) => Err(no_answer.to_string()),
        }
    }
}

impl Way {
    fn takes(&self, line: &Line) -> bool {
        line.state == LineState::Test || self.recipients.want(line.kind)
    }
}

/// The ways that took a line: none of them when it is for none, because the log has it. `None` when nobody heard of it.
fn heard_by(ways: &[Way], told: &[Told], line: &Line) -> Option<String> {
    let is_for: Vec<&'static str> = ways.iter().filter(|way| way.takes(line)).map(|way| way.name).collect();
    let took = told.iter().filter(|told| told.result.is_ok() && is_for.contains(&told.way)).map(|told| told.way);
    let took: Vec<&str> = took.collect();
    (is_for.is_empty() || !took.is_empty()).then(|| took.join(WAYS_JOINED_BY))
}

impl AlarmWays {
    /// Sends what waits to be said about webhooks, to whom each webhook names. What no server takes is tried again for a day.
    pub async fn tell_of_webhooks(
        &self,
        store: &Store,
        webhooks: &[Arc<Webhook>],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        for letter in store.webhook_letters().await? {
            let webhook = webhooks.iter().find(|webhook| webhook.name == letter.webhook);
            let to = webhook.map_or(&[][..], |webhook| &webhook.settings.alerts.emails);
            let sent = match &self.mail_server {
                _ if to.is_empty() => Ok(()),
                Some(server) => self.mail(server, to, &letter).await,
                None => Err("alarms.smtp_url is not set".to_owned()),
            };
            if let Err(why) = &sent {
                tracing::error!("could not send a letter about webhook {}: {why}", letter.webhook);
            }
            if sent.is_ok() || now.since(letter.created_at) >= LETTER_LIVES {
                store.forget_webhook_letter(letter.id).await?;
            }
        }
        Ok(())
    }

    async fn mail(&self, mailer: &Mailer, to: &[String], letter: &WebhookLetter) -> Result<(), String> {
        let WebhookLetter { subject, body, created_at, .. } = letter;
        let text = format!("{body}\n\nFrom wabridge, instance {}, at {created_at}.\n", self.instance);
        let mailer = mailer.to_others(to).map_err(|error| error.to_string())?;
        mailer.send(subject, text).await.map(drop).map_err(|error| error.to_string())
    }
}

/// Keeps a letter for those who look later; one that nobody takes, round after round, once.
async fn keep(store: &Store, letter: SentLetter) -> Result<(), StoreError> {
    let is_taken = |letter: &SentLetter| letter.ways.is_empty() || letter.ways.iter().any(|way| way.failure.is_none());
    if !is_taken(&letter) {
        let newest = store.letters(None, 1).await?.pop();
        if newest.is_some_and(|(_, newest)| newest.text == letter.text && !is_taken(&newest)) {
            return Ok(());
        }
    }
    store.keep_letter(&letter).await
}
