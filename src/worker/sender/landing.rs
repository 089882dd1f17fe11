//! What a send that came back means for those that have not left: nothing, or they wait, or everything stops until somebody
//! looks.

use std::time::{Duration, Instant};

use super::{Owner, flight::Landed};
use crate::{
    clock,
    domain::{
        account::{Hold, Sender},
        failure::Scope,
    },
    services::{
        directory::owner_of,
        dispatch::{Consequence, ConsequenceClass},
    },
    telemetry,
};

/// A template that its provider holds back is tried again after this.
const TEMPLATE_HOLD: Duration = Duration::from_secs(15 * 60);

impl Owner {
    /// Frees the person, and does what the outcome asks for.
    pub(super) async fn land(&mut self, landed: Option<Landed>) {
        let Some(Landed { message, departed, answered_after, consequence, swapped }) = landed else { return };
        self.let_go(&message);
        if let Some(after) = answered_after {
            self.pace.answered(departed, after);
        }
        if swapped {
            // The second request was not foreseen: the next messages make up for it.
            let _nothing_is_lost = self.pace.depart(Instant::now(), Duration::ZERO);
        }
        let Some(consequence) = consequence else {
            self.pairs.take(&message.recipient);
            return;
        };
        let now = Instant::now();
        let wait = consequence.wait;
        match (consequence.class, consequence.scope) {
            (ConsequenceClass::Slow, Scope::Pair) => self.pairs.refuse(&message.recipient, now, wait),
            (ConsequenceClass::Slow, Scope::Message | Scope::Number) => self.pace.slow_down(now, wait),
            (ConsequenceClass::Slow, Scope::Template) => self.hold_template(message.template, now + wait),
            (ConsequenceClass::Slow, Scope::ProviderAccount) => {
                self.parts.pauses.pause_provider_account(&self.sender, now + wait);
            }
            (ConsequenceClass::Slow, Scope::Connection) => self.parts.pauses.pause_connection(&self.sender, now + wait),
            (ConsequenceClass::Hold, Scope::Template) => {
                self.parts.dispatcher.lookup.note_changed(owner_of(&self.sender));
                self.hold_template(message.template, now + wait.max(TEMPLATE_HOLD));
            }
            (ConsequenceClass::Hold, Scope::Pair) => {
                self.pairs.block(&message.recipient, now, now + wait.max(TEMPLATE_HOLD));
            }
            (ConsequenceClass::Hold, scope) => self.hold(scope, &consequence).await,
        }
    }

    fn hold_template(&mut self, template: Option<(String, String)>, until: Instant) {
        if let Some(template) = template {
            let held = self.held_templates.entry(template).or_insert(until);
            *held = until.max(*held);
        }
    }

    /// Stops a number or more until somebody releases it.
    async fn hold(&mut self, scope: Scope, consequence: &Consequence) {
        if self.on_hold() {
            return;
        }
        let failure = &consequence.failure;
        let (what, release) = held_by(scope, &self.sender);
        tracing::error!(
            sender.number = %self.sender.number, connection.id = self.sender.connection.id,
            "{what} is on hold: {}; mend it, then run `wabridge release {release}`", failure.text
        );
        let hold = Hold::by_answer(clock::now(), failure.text.clone());
        let held = match scope {
            Scope::Connection => self.parts.store.hold_connection(self.sender.connection.key, &hold).await,
            Scope::ProviderAccount => self.parts.store.hold_provider_account(&owner_of(&self.sender), &hold).await,
            Scope::Message | Scope::Pair | Scope::Number | Scope::Template => {
                self.parts.store.hold_sender(self.sender.key, &hold).await
            }
        };
        let seen = match held {
            Ok(()) => self.parts.dispatcher.directory.refresh().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = seen {
            tracing::error!(error = %telemetry::Chain(&error), "could not write down the hold of {}", self.sender.number);
        }
    }
}

/// What a hold of this scope stops, and what releases it again.
fn held_by(scope: Scope, sender: &Sender) -> (String, &str) {
    let connection = sender.connection.id.as_str();
    match scope {
        Scope::Connection => (format!("connection {connection}, with all its numbers,"), connection),
        Scope::ProviderAccount => {
            (format!("every number of business account {}", sender.provider_account_id), connection)
        }
        Scope::Message | Scope::Pair | Scope::Number | Scope::Template => {
            let number = sender.number.as_e164();
            (format!("number {number}"), number)
        }
    }
}
