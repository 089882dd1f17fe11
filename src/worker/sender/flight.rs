//! One message on its way, from the moment it leaves to the commit of what came of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Lease, SETTLE_RETRY, SenderParts};
use crate::{
    clock,
    domain::account::Sender,
    services::dispatch::{Consequence, Dispatched},
    store::{
        batch::CommitError,
        outbound::{QueuedMessage, Settlement},
    },
};

/// A message whose outcome is written down.
pub(super) struct Landed {
    pub(super) message: QueuedMessage,
    pub(super) departed: Instant,
    /// Nobody was asked without it.
    pub(super) answered_after: Option<Duration>,
    pub(super) consequence: Option<Consequence>,
    /// It took two requests.
    pub(super) swapped: bool,
}

/// One message on its way, until what came of it is committed.
pub(super) async fn fly(
    parts: &SenderParts,
    sender: &Arc<Sender>,
    lease: &Lease,
    message: QueuedMessage,
    departed: Instant,
) -> Landed {
    // The process may have slept since this message was released.
    let may_go = || lease.holds(Instant::now());
    let Dispatched { finding, attempt, consequence, swapped } =
        parts.dispatcher.dispatch(sender, &message, &may_go).await;
    let answered_after = attempt.is_some().then(|| departed.elapsed());
    if finding.may_have_gone() {
        parts.limits.sent(sender.key, &message, clock::now());
    }
    let settlement = Settlement { message: message.id, epoch: lease.epoch, finding, attempt };
    loop {
        match parts.committer.settle(vec![settlement.clone()]).await {
            Ok(()) => break,
            // The next owner will find it marked, and wait for evidence.
            Err(CommitError::Stopping) => break,
            Err(error) => {
                tracing::warn!(message.id = %message.id, "could not write down what became of {}: {error}", message.id);
                tokio::time::sleep(SETTLE_RETRY).await;
            }
        }
    }
    Landed { message, departed, answered_after, consequence, swapped }
}
