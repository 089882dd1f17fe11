//! From the stored request to what the provider is sent, and what may stand in the way of it.

use std::{sync::Arc, time::Duration};

use super::Dispatcher;
use crate::{
    clock,
    domain::{
        account::{Account, Sender},
        failure::{Failure, FailureReason},
        fill::{FillRules, as_given, fill},
        outbound::{Category, Content, OutboundMessage, Purpose, SendBody},
        phone::PhoneNumber,
        progress::KnownTemplate,
        template::{FilledTemplate, TemplateContent, Unresolved, resolve},
    },
    platforms, providers,
    services::lookup::{LookedUp, SILENCE_GOOD_FOR},
    store::{outbound::QueuedMessage, provider_conversations::ANSWERED_WITHIN},
    telemetry,
};

/// Why a message cannot be sent, or not now.
pub(super) enum Obstacle {
    Final(Failure),
    NotYet {
        wait: Duration,
        failure: Failure,
    },
    /// All messages of its template wait with it.
    TemplateStopped(Failure),
    /// What it is was not known until now.
    NotKnownBefore(KnownTemplate),
}

/// Before another look when the database could not be read.
const UNREAD_WAIT: Duration = Duration::from_secs(5);
/// Between two looks whether the quiet hours are over.
const QUIET_WAIT: Duration = Duration::from_secs(10 * 60);

impl Dispatcher {
    /// Reads the stored request again and fills its template.
    pub(super) async fn prepare(
        &self,
        account: &Account,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
    ) -> Result<(OutboundMessage, Purpose), Obstacle> {
        let unreadable = |text: &str| Obstacle::Final(Failure::new(FailureReason::Other, None, text));
        let platform =
            platforms::find(&account.platform).ok_or_else(|| unreadable("this version does not know the platform"))?;
        let request =
            platform.parse_send(account, queued.request.as_bytes()).map_err(|refusal| unreadable(&refusal.message))?;
        let body = match request.content {
            Content::Freeform(freeform) => SendBody::Freeform(freeform),
            Content::Template(content) if queued.category == Category::NotKnownYet => {
                return Err(self.look_up(account, sender, queued, &content, request.purpose).await);
            }
            Content::Template(content) => self.fill(account, sender, queued, &content, request.purpose)?,
        };
        let (id, to) = (queued.id, queued.recipient.clone());
        let conversation = self.conversation(sender, &to, &body).await?;
        Ok((OutboundMessage { id, to, body, conversation }, request.purpose))
    }

    /// Where the person wrote, where the provider wants to know it of what has no template.
    async fn conversation(
        &self,
        sender: &Sender,
        to: &PhoneNumber,
        body: &SendBody,
    ) -> Result<Option<String>, Obstacle> {
        let connection = &sender.connection;
        let is_wanted = matches!(body, SendBody::Freeform(_))
            && providers::find(&connection.provider)
                .is_some_and(|provider| provider.answers_in_conversations(connection));
        if !is_wanted {
            return Ok(None);
        }
        let since = clock::now().minus(ANSWERED_WITHIN);
        self.store.conversation_with(sender.key, to, since).await.map_err(|error| {
            tracing::error!(error = %telemetry::Chain(&error), "could not look for the conversation of an answer");
            let failure =
                Failure::new(FailureReason::Other, None, "the conversation that it answers could not be read");
            Obstacle::NotYet { wait: UNREAD_WAIT, failure }
        })
    }

    fn fill(
        &self,
        account: &Account,
        sender: &Sender,
        queued: &QueuedMessage,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Result<SendBody, Obstacle> {
        let (name, language) = match &queued.template {
            Some((name, language)) => (name.as_str(), language.as_str()),
            None => (content.name.as_str(), content.language.as_str()),
        };
        // It may have got an alias since it was accepted.
        let name = account.policy.template_meant(name);
        if let Some(category) = providers::passes_any_template(sender) {
            return Ok(SendBody::Template(as_given(content, category)));
        }
        let templates = self.directory.templates(sender);
        let resolved = resolve(&templates, name, language).map_err(|unresolved| match unresolved {
            // It was approved when it was accepted. A pause ends by itself.
            Unresolved::NotApproved { .. } => {
                Obstacle::TemplateStopped(template_failure(&format!("template {name} is stopped at WhatsApp")))
            }
            Unresolved::UnknownName { .. } | Unresolved::UnknownLanguage { .. } => {
                Obstacle::Final(template_failure(&unresolved.to_string()))
            }
        })?;
        let filled = fill(resolved.template, content, FillRules::new(&account.policy, &sender.policy, purpose))
            .map_err(|refusal| Obstacle::Final(template_failure(&refusal.message)))?;
        Ok(SendBody::Template(filled))
    }

    /// Looks a template up that nobody had seen when the message was accepted, and checks what could not be checked then.
    ///
    /// Also when all is well the message does not leave now. As what it is it may be too late already, or has to wait for
    /// its hours; who sees to that for all others sees to it when it is read from the queue again.
    async fn look_up(
        &self,
        account: &Account,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Obstacle {
        let mut checked = self.lookup.check(account, sender, content, purpose);
        if checked.is_err() {
            let looked_up = self.lookup.look_up(sender, &content.name).await;
            // Whether there is such a template is not known: nothing may be said about it.
            if looked_up == LookedUp::NoAnswer && !self.lookup.is_listed(sender, content) {
                let text = format!(
                    "template {}: the template list could not be read at WhatsApp, so it waits; `wabridge check` says why",
                    content.name
                );
                let failure = Failure::new(FailureReason::Other, None, &text);
                return Obstacle::NotYet { wait: SILENCE_GOOD_FOR, failure };
            }
            checked = self.lookup.check(account, sender, content, purpose);
        }
        match checked {
            Ok(FilledTemplate { name, language, category, .. }) => {
                if let Err(obstacle) = self.check_welcome(account, &queued.recipient, category).await {
                    return obstacle;
                }
                // Both count from the same moment.
                let expire_after = &account.policy.expire_after;
                let accepted_at = queued.expires_at.minus(expire_after.of(queued.category));
                let expires_at = accepted_at.plus(expire_after.of(category));
                Obstacle::NotKnownBefore(KnownTemplate { name, language, category, expires_at })
            }
            Err(refusal) => Obstacle::Final(template_failure(&refusal.message)),
        }
    }

    /// Between acceptance and now the person may have stopped such messages, or a quiet hour may have begun.
    pub(super) async fn check_person(&self, account: &Account, message: &OutboundMessage) -> Result<(), Obstacle> {
        let category = match &message.body {
            SendBody::Template(filled) => filled.category,
            SendBody::Freeform(_) => Category::Freeform,
        };
        self.check_welcome(account, &message.to, category).await?;
        // Its number's owner keeps the hours. WhatsApp may have put the template into another category since.
        if account.policy.is_quiet(category, clock::now()) {
            let failure = Failure::new(FailureReason::Other, None, "it waits for the end of the account's quiet hours");
            return Err(Obstacle::NotYet { wait: QUIET_WAIT, failure });
        }
        Ok(())
    }

    /// Whether the person wants messages of this kind, or may be sent any.
    async fn check_welcome(&self, account: &Account, to: &PhoneNumber, category: Category) -> Result<(), Obstacle> {
        match self.suppressions.find(account.key, to, category).await {
            Ok(None) => Ok(()),
            Ok(Some(suppression)) => Err(Obstacle::Final(suppression.failure())),
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not look into the suppression list");
                let failure = Failure::new(FailureReason::Other, None, "the suppression list could not be read");
                Err(Obstacle::NotYet { wait: UNREAD_WAIT, failure })
            }
        }
    }
}

fn template_failure(text: &str) -> Failure {
    Failure::new(FailureReason::Template, None, text)
}
