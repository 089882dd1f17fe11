//! What becomes of messages that wait at their number and are not sent: they expire, or make room for others.

use std::time::{Duration, Instant};

use super::Owner;
use crate::{
    clock,
    domain::{ids::MessageId, progress::Finding},
    store::outbound::Settlement,
};

/// A person who cannot be written to for longer than this makes room for others.
const POSTPONE_AFTER: Duration = Duration::from_secs(2);

impl Owner {
    /// Closes what has waited too long. Also on hold: a platform wants to know.
    pub(super) fn expire(&mut self) {
        let (now, epoch) = (clock::now(), self.lease.epoch);
        let mut expired = Vec::new();
        for lane in &mut self.lanes {
            lane.retain(|message| {
                let late = message.expires_at <= now;
                if late {
                    expired.push(Settlement { message: message.id, epoch, finding: Finding::Expired, attempt: None });
                }
                !late
            });
        }
        self.parts.dispatcher.activity.expired(self.sender.key, expired.len());
        self.leave(expired);
    }

    /// Messages that cannot go for longer make room for those that can.
    pub(super) fn postpone(&mut self) {
        let (now, wall) = (Instant::now(), clock::now());
        let epoch = self.lease.epoch;
        let mut postponed = Vec::new();
        for lane in &mut self.lanes {
            lane.retain(|message| {
                let template = message.template.as_ref().and_then(|name| self.held_templates.get(name));
                let template = template.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
                let wait = template.max(self.pairs.wait(&message.recipient, now));
                let postpone = wait > POSTPONE_AFTER;
                if postpone {
                    let due_at = wall.plus(wait).min(message.expires_at);
                    let finding = Finding::Postponed { due_at };
                    postponed.push(Settlement { message: message.id, epoch, finding, attempt: None });
                }
                !postpone
            });
        }
        self.leave(postponed);
    }

    /// Writes down what became of messages that are in no lane any more. They stay held until it is committed.
    pub(super) fn leave(&mut self, settlements: Vec<Settlement>) {
        if settlements.is_empty() {
            return;
        }
        let (committer, number) = (self.parts.committer.clone(), self.sender.number.clone());
        self.leaving.spawn(async move {
            let gone = settlements.iter().map(|settlement| settlement.message).collect();
            if let Err(error) = committer.settle(settlements).await {
                // They show up in the queue again.
                tracing::error!("could not write down what became of messages of {number}: {error}");
            }
            gone
        });
    }

    /// What became of these is committed.
    pub(super) fn forget(&mut self, messages: &[MessageId]) {
        for message in messages {
            self.no_longer_hold(*message);
        }
        self.more = [true; 3];
    }
}
