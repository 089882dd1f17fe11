//! Telling operators what is wrong, and when it is well again.
//!
//! 1. [`conditions`] judges what was observed: a list of what is wrong now.
//! 2. [`plan`] compares it with what operators were told before: who hears of what now. Each kind and subject is told at
//!    most once in `alarms.every`, and once more when it is over.
//! 3. Everything that is due goes out in one letter, by each way that is set up. When at least one of them took it, that is
//!    written down, with its name; otherwise the next round tries again. Where no way is set up the log is told, and nobody else.

pub mod conditions;
pub mod letter;
pub mod plan;
pub mod view;

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use self::{
    letter::Letter,
    plan::{Plan, Telling, plan},
};
use crate::{
    clock,
    domain::{alarm::Condition, time::UnixMillis, webhook::Webhook},
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

const WEBHOOK: &str = "webhook";
const MAIL: &str = "e-mail";

/// Between the ways that took an alarm, as they are written down.
pub const WAYS_JOINED_BY: &str = ", ";

/// The ways to operators.
pub struct AlarmWays {
    exchange: Exchange,
    webhook: Option<(SecretString, Option<SecretString>)>,
    mailer: Option<Mailer>,
    every: Duration,
    instance: String,
    /// To whom e-mail goes.
    to: Vec<String>,
}

/// What came of one way.
#[derive(Debug)]
pub struct Told {
    pub way: &'static str,
    pub result: Result<(), String>,
}

impl AlarmWays {
    pub fn new(settings: &Settings, exchange: Exchange) -> Result<Self, MailError> {
        let alarms = &settings.alarms;
        let mailer = alarms.smtp_url.as_ref().map(|url| Mailer::new(url, &alarms.from, &alarms.to)).transpose()?;
        let webhook = alarms.webhook_url.clone().map(|url| (url, alarms.webhook_secret.clone()));
        Ok(Self {
            exchange,
            webhook,
            mailer,
            every: alarms.every,
            instance: settings.instance_id(),
            to: alarms.to.clone(),
        })
    }

    /// One round: judges, tells, and writes down. Gives back everything that is wrong now.
    pub async fn round(
        &self,
        store: &Store,
        wrong: &[Condition],
        now: UnixMillis,
    ) -> Result<Vec<AlarmRecord>, StoreError> {
        let before = store.alarms().await?;
        let reaches_people = self.webhook.is_some() || self.mailer.is_some();
        let plan = plan(&before, wrong, Telling { every: self.every, reaches_people }, now);
        let told_by = self.tell_plan(store, &plan, now).await?;
        let after = plan.after(told_by.as_deref(), now);
        let changed: Vec<AlarmRecord> = after.iter().filter(|record| !before.contains(record)).cloned().collect();
        if !changed.is_empty() || !plan.gone.is_empty() {
            store.change_alarms(&changed, &plan.gone).await?;
        }
        Ok(after.into_iter().filter(|record| record.over_at.is_none()).collect())
    }

    /// The ways that took it: none of them when none is set up, because the log has it. `None` when nobody heard of it.
    async fn tell_plan(&self, store: &Store, plan: &Plan, now: UnixMillis) -> Result<Option<String>, StoreError> {
        if plan.tell.is_empty() {
            return Ok(None);
        }
        for line in &plan.tell {
            tracing::warn!(alarm = line.kind.as_str(), "{}", line.sentence());
        }
        let letter = Letter { at: now, instance: self.instance.clone(), lines: plan.tell.clone() };
        let told = self.tell(&letter).await;
        keep(store, letter.sent(&told)).await?;
        for failed in &told {
            if let Err(why) = &failed.result {
                tracing::error!("could not send an alarm by {}: {why}; `wabridge alarm test` tries it", failed.way);
            }
        }
        let took: Vec<&str> = told.iter().filter(|told| told.result.is_ok()).map(|told| told.way).collect();
        Ok((told.is_empty() || !took.is_empty()).then(|| took.join(WAYS_JOINED_BY)))
    }

    /// The ways that are set up, each with whom it reaches.
    pub fn set_up(&self) -> Vec<(&'static str, String)> {
        let webhook = self.webhook.as_ref().map(|(url, _)| (WEBHOOK, redact::url(url.expose_secret())));
        let mail = self.mailer.as_ref().map(|_| (MAIL, self.to.join(", ")));
        webhook.into_iter().chain(mail).collect()
    }

    /// Tries every way out, and keeps the letter for those who look later.
    pub async fn test(&self, store: &Store) -> Result<Vec<Told>, StoreError> {
        let letter = Letter::test(self.instance.clone(), clock::now());
        let told = self.tell(&letter).await;
        if !told.is_empty() {
            store.keep_letter(&letter.sent(&told)).await?;
        }
        Ok(told)
    }

    /// Sends a letter by every way.
    pub async fn tell(&self, letter: &Letter) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some((url, secret)) = &self.webhook {
            told.push(Told { way: WEBHOOK, result: self.post(url, secret.as_ref(), letter).await });
        }
        if let Some(mailer) = &self.mailer {
            let result = mailer.send(&letter.subject(), letter.text()).await.map_err(|error| error.to_string());
            told.push(Told { way: MAIL, result });
        }
        told
    }

    async fn post(&self, url: &SecretString, secret: Option<&SecretString>, letter: &Letter) -> Result<(), String> {
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
            body: Some(body),
            timeout: self.exchange.request_timeout(),
        };
        match self.exchange.send(request).await.result {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("it answered with HTTP {}", answer.status)),
            Err(no_answer) => Err(no_answer.to_string()),
        }
    }
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
            let sent = match &self.mailer {
                _ if to.is_empty() => Ok(()),
                Some(mailer) => self.mail(mailer, to, &letter).await,
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
        mailer.send(subject, text).await.map_err(|error| error.to_string())
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
