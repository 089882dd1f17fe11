//! What operators say about parts of the queue, at one number: each message is held against their rules when it is read,
//! and what is in the lanes again when a rule changes.

use std::sync::Arc;

use super::Owner;
use crate::{
    clock,
    domain::{
        progress::Finding,
        queue::{RuleAction, Waiting},
    },
    store::outbound::{QueuedMessage, Settlement},
};

impl Owner {
    pub(super) fn see_rules(&mut self) {
        let rules = self.parts.dispatcher.directory.queue_rules();
        if Arc::ptr_eq(&rules, &self.rules) {
            return;
        }
        self.rules = rules;
        for lane in 0..self.lanes.len() {
            let messages = std::mem::take(&mut self.lanes[lane]);
            self.lanes[lane] = self.sift(messages).into();
        }
    }

    /// Those of the messages that no rule keeps from being sent; the others go where their rule wants them.
    pub(super) fn sift(&mut self, messages: impl IntoIterator<Item = QueuedMessage>) -> Vec<QueuedMessage> {
        let (now, epoch) = (clock::now(), self.lease.epoch);
        let mut kept = Vec::new();
        let mut aside = Vec::new();
        for message in messages {
            let template = message.template.as_ref().map(|(name, language)| (name.as_str(), language.as_str()));
            let campaign = message.campaign.as_deref();
            let waiting = Waiting { account: self.sender.account, sender: self.sender.key, campaign, template };
            let finding = match self.rules.verdict(&waiting, now) {
                // What is too late is told so, whoever stopped it.
                Some(_) if message.expires_at <= now => None,
                Some(rule) => Some(match rule.action {
                    RuleAction::Pause => Finding::Postponed { due_at: message.expires_at },
                    RuleAction::Cancel => Finding::Cancelled { reason: rule.reason.clone() },
                }),
                None => None,
            };
            match finding {
                Some(finding) => aside.push(Settlement { message: message.id, epoch, finding, attempt: None }),
                None => kept.push(message),
            }
        }
        self.leave(aside);
        kept
    }
}
