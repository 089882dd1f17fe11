//! How a message moves after it was accepted: by what our own work found out, and by what WhatsApp
//! reports. Both may arrive in any order, late and twice; whoever holds the row applies them here.
//!
//! The guarantee: a message is only ever marked as not sent when we know that; evidence that it was
//! sent wins over everything we concluded without it.

use super::{
    failure::{Failure, FailureReason},
    outbound::{Category, SendState},
    price::Price,
    status::{DeliveryStatus, StatusUpdate, advance, steps},
    time::UnixMillis,
};

/// The part of a message that moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub state: SendState,
    pub delivery: Option<DeliveryStatus>,
    pub provider_message_id: Option<String>,
    /// Queued: not before. Unknown: when the account's policy decides.
    pub due_at: Option<UnixMillis>,
    /// The lease under which it is being sent; `Some` exactly while sending.
    pub epoch: Option<i64>,
    /// Tries that ended, or are under way; of earlier sends too. A try is a request to the provider: a turn that came to
    /// nothing before anybody was asked is none.
    pub attempts: i16,
    pub sent_at: Option<UnixMillis>,
    pub took_ms: Option<i32>,
    pub failure: Option<Failure>,
    /// What the provider says that it costs, or would.
    pub price: Option<Price>,
}

/// A status to tell, and the entry that it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub status: DeliveryStatus,
    pub occurred_at: UnixMillis,
    pub failure: Option<Failure>,
    /// The provider's own entry; `None` for what we concluded.
    pub entry: Option<String>,
}

/// What our own work found out about one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The provider took it.
    Submitted { provider_message_id: String },
    /// It certainly did not go out; again from this time on.
    Retry { due_at: UnixMillis, failure: Failure },
    /// It did not leave us: the number, its connection or we stopped. It keeps its turn.
    Returned,
    /// It did not leave, because something keeps it back: again from this time on.
    KeptBack { due_at: UnixMillis, failure: Failure },
    /// It did not leave, because it is known only now what it is: it waits for another turn, as that.
    TemplateKnown(KnownTemplate),
    /// The provider has judged, or there is nothing that could be sent.
    GivenUp { failure: Failure },
    /// It may have gone out; the account's policy decides at this time unless evidence comes first.
    Unknown { settle_at: UnixMillis, failure: Failure },
    /// It must wait for something else than its turn: again from this time on.
    Postponed { due_at: UnixMillis },
    /// It waited too long in the queue.
    Expired,
    /// No evidence came, and the policy is to report a failure.
    NoEvidence,
    /// No evidence came, and the policy is to send again.
    Resend,
    /// An operator took it back before it was sent.
    Cancelled { reason: String },
    /// The provider took it, and its time to live is over without news.
    Silent { failure: Failure },
    /// An operator sends it once more, whatever came of it before: what is known of it begins anew.
    SentAgain,
}

/// What a message is, now that its template was found.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTemplate {
    /// As the provider spells it.
    pub name: String,
    pub language: String,
    pub category: Category,
    pub expires_at: UnixMillis,
}

impl Finding {
    /// What the platform is told of a message that an operator cancelled.
    pub fn cancelled_text(reason: &str) -> String {
        format!("cancelled by an operator before it was sent: {reason}")
    }

    /// Whether the message went out now, as far as anybody knows.
    pub fn may_have_gone(&self) -> bool {
        match self {
            Self::Submitted { .. } | Self::Unknown { .. } => true,
            Self::Retry { .. }
            | Self::KeptBack { .. }
            | Self::TemplateKnown { .. }
            | Self::Returned
            | Self::GivenUp { .. }
            | Self::Postponed { .. }
            | Self::Expired
            | Self::NoEvidence
            | Self::Resend
            | Self::Cancelled { .. }
            | Self::Silent { .. }
            | Self::SentAgain => false,
        }
    }
}

impl Progress {
    /// A message as it is accepted.
    pub fn queued() -> Self {
        Self {
            state: SendState::Queued,
            delivery: None,
            provider_message_id: None,
            due_at: None,
            epoch: None,
            attempts: 0,
            sent_at: None,
            took_ms: None,
            failure: None,
            price: None,
        }
    }

    /// Applies a finding made under the lease `epoch`. `None` when it comes too late to count: the
    /// message has moved on, or was taken over by another owner.
    pub fn apply(&mut self, finding: &Finding, epoch: i64, now: UnixMillis) -> Option<Vec<News>> {
        // The epoch fences guesses. That the provider took it is a fact, whoever brings it.
        if let Finding::Submitted { provider_message_id } = finding
            && self.state != SendState::Submitted
        {
            self.prove_sent(provider_message_id);
            self.failure = None;
            return Some(vec![]);
        }
        let expected = match finding {
            Finding::Submitted { .. }
            | Finding::Retry { .. }
            | Finding::Returned
            | Finding::KeptBack { .. }
            | Finding::TemplateKnown(_)
            | Finding::GivenUp { .. }
            | Finding::Unknown { .. } => (SendState::Sending, Some(epoch)),
            Finding::Postponed { .. } | Finding::Expired | Finding::Cancelled { .. } => (SendState::Queued, None),
            Finding::NoEvidence | Finding::Resend => (SendState::Unknown, None),
            Finding::Silent { .. } => (SendState::Submitted, None),
            // Whatever is at an end.
            Finding::SentAgain if self.is_open() => return None,
            Finding::SentAgain => (self.state, None),
        };
        if (self.state, self.epoch) != expected {
            return None;
        }
        self.epoch = None;
        self.due_at = None;
        match finding {
            Finding::Submitted { .. } => Some(vec![]),
            Finding::Retry { due_at, failure } => {
                self.state = SendState::Queued;
                self.due_at = Some(*due_at);
                self.failure = Some(failure.clone());
                Some(vec![])
            }
            Finding::Returned => {
                self.state = SendState::Queued;
                self.attempts -= 1;
                Some(vec![])
            }
            Finding::KeptBack { due_at, failure } => {
                self.state = SendState::Queued;
                self.attempts -= 1;
                self.due_at = Some(*due_at);
                self.failure = Some(failure.clone());
                Some(vec![])
            }
            Finding::TemplateKnown(_) => {
                self.state = SendState::Queued;
                self.attempts -= 1;
                self.failure = None;
                Some(vec![])
            }
            Finding::GivenUp { failure } => {
                self.state = SendState::Rejected;
                Some(self.fail(failure.clone(), now))
            }
            Finding::Unknown { settle_at, failure } => {
                self.state = SendState::Unknown;
                self.due_at = Some(*settle_at);
                self.failure = Some(failure.clone());
                Some(vec![])
            }
            Finding::Postponed { due_at } => {
                self.due_at = Some(*due_at);
                Some(vec![])
            }
            Finding::Expired => {
                self.state = SendState::Expired;
                let failure = match self.failure.take() {
                    // What the provider kept saying tells more than that time was up.
                    Some(last) => Failure::new(
                        if last.code.is_some() || last.reason == FailureReason::Template {
                            last.reason
                        } else {
                            FailureReason::Expired
                        },
                        last.code,
                        &format!("too late to be worth sending; what kept it: {}", last.text),
                    ),
                    None => Failure::new(FailureReason::Expired, None, "waited too long to be worth sending"),
                };
                Some(self.fail(failure, now))
            }
            Finding::NoEvidence => {
                let text = "no answer came when it was sent, and no sign since that it went out";
                Some(self.fail(Failure::new(FailureReason::UnknownOutcome, None, text), now))
            }
            Finding::Resend => {
                self.state = SendState::Queued;
                Some(vec![])
            }
            Finding::Cancelled { reason } => {
                self.state = SendState::Cancelled;
                let text = Finding::cancelled_text(reason);
                Some(self.fail(Failure::new(FailureReason::Cancelled, None, &text), now))
            }
            // Better news may have come meanwhile.
            Finding::Silent { .. } if self.delivery > Some(DeliveryStatus::Sent) => None,
            Finding::Silent { failure } => Some(self.fail(failure.clone(), now)),
            Finding::SentAgain => {
                self.state = SendState::Queued;
                self.delivery = None;
                self.provider_message_id = None;
                self.took_ms = None;
                self.failure = None;
                self.price = None;
                Some(vec![])
            }
        }
    }

    /// It waits or is under way; its outcome is still to come.
    fn is_open(&self) -> bool {
        matches!(self.state, SendState::Queued | SendState::Sending)
    }

    fn fail(&mut self, failure: Failure, now: UnixMillis) -> Vec<News> {
        self.failure = Some(failure.clone());
        if advance(self.delivery, DeliveryStatus::Failed).is_none() {
            return vec![];
        }
        self.delivery = Some(DeliveryStatus::Failed);
        vec![News { status: DeliveryStatus::Failed, occurred_at: now, failure: Some(failure), entry: None }]
    }

    fn prove_sent(&mut self, provider_message_id: &str) {
        self.state = SendState::Submitted;
        self.provider_message_id = Some(provider_message_id.to_owned());
        self.due_at = None;
        self.epoch = None;
    }

    /// Applies a report about a send that an operator has followed up with another one; `before` is the best news that
    /// came of it then.
    ///
    /// That it was sent, or failed, says nothing about the new one. That it arrived after all does: the person has
    /// the message, so one that still waits need not go.
    pub fn report_of_earlier(&mut self, before: Option<DeliveryStatus>, update: &StatusUpdate) -> Vec<News> {
        let arrived = Some(DeliveryStatus::Delivered);
        if Some(update.status) < arrived || before >= arrived {
            return vec![];
        }
        if self.state == SendState::Sending { self.note(update) } else { self.report(update) }
    }

    /// Applies a report of the provider's. Any report is evidence that the message went out, whatever
    /// we thought of it.
    pub fn report(&mut self, update: &StatusUpdate) -> Vec<News> {
        if self.state != SendState::Submitted {
            self.prove_sent(&update.provider_message_id);
        }
        self.note(update)
    }

    /// What WhatsApp says of it now, and what is news in that.
    fn note(&mut self, update: &StatusUpdate) -> Vec<News> {
        let told = steps(self.delivery, update.status);
        self.price = update.price.or(self.price);
        if let Some(status) = advance(self.delivery, update.status) {
            self.delivery = Some(status);
            self.failure.clone_from(&update.failure);
        }
        told.into_iter()
            .map(|status| {
                let reported = status == update.status;
                News {
                    status,
                    occurred_at: update.occurred_at,
                    failure: update.failure.clone().filter(|_| reported),
                    entry: reported.then(|| update.entry.clone()),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
