//! Closing messages that fell silent after the provider took them.
//!
//! WhatsApp tries to deliver a message for its time to live, and drops it after that without a word. Whoever waits for
//! news waits for ever: a journey that would go on by SMS does not. So when the time is over, and a buffer for
//! late reports with it, such a message is reported as failed, unless the account wants it left. Should news come all the
//! same, it is relayed.
//!
//! 1. Which times to live are in use? Each has a walk of its own through the messages, in the order of their age, with a mark
//!    that says how far it has come. A message is read once by each walk, and by none when no account wants it.
//! 2. A message that the provider took, with no news or only `sent`, whose time to live is this walk's: is it over?
//! 3. Nothing at all was heard of it, not even `sent`: that may be the fault of a webhook that does not reach us. It is closed
//!    only if its number was heard of since.
//!
//! Whoever was away has heard nothing, and the provider brings what it could not tell meanwhile a little later. So the first look
//! comes when the buffer has passed since the start; and what was sent before a backup was put back is never closed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use humantime_serde::re::humantime::format_duration;

use super::directory::{Directory, Snapshot};
use crate::{
    clock,
    domain::{
        account::{Account, Sender, SilentMessages},
        failure::{Failure, FailureReason},
        ids::{AccountKey, MessageId, SenderKey},
        outbound::{Category, SendState},
        progress::Finding,
        status::DeliveryStatus,
        time::UnixMillis,
    },
    providers,
    store::{
        Store, StoreError,
        batch::{CommitError, Committer},
        outbound::Settlement,
        silence::AgedMessage,
    },
};

/// Looks for messages that fell silent; works under the lease of the housekeeping.
pub struct SilenceKeeper {
    store: Store,
    directory: Arc<Directory>,
    committer: Committer,
    /// Beyond the time to live, and after the start.
    buffer: Duration,
    next_look: Instant,
}

/// Nothing is urgent about a message of which nothing was heard for ten minutes at least.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);
/// Walks at most. Where more times to live are in use, some wait for the next longer one.
const WALKS_MAX: usize = 12;
const SLICE_MESSAGES: usize = 2_000;
/// Slices of one walk before the others have their turn.
const SLICES_PER_LOOK: usize = 50;
/// Between two slices.
const SLICE_PAUSE: Duration = Duration::from_millis(10);

/// The times to live in use, and for each how long its messages may have waited before they were sent.
type Walks = BTreeMap<Duration, Duration>;

impl SilenceKeeper {
    pub fn new(store: Store, directory: Arc<Directory>, committer: Committer, buffer: Duration) -> Self {
        Self { store, directory, committer, buffer, next_look: Instant::now() + buffer }
    }

    /// One look, when it is time for one. `may_go` says whether to go on.
    pub async fn round(&mut self, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + self.buffer.min(LOOK_EVERY_MAX);
        let snapshot = self.directory.snapshot();
        let walks = self.walks(&snapshot);
        for (time_to_live, waited) in &walks {
            self.walk(&snapshot, &walks, *time_to_live, *waited, may_go).await?;
        }
        Ok(())
    }

    fn walks(&self, snapshot: &Snapshot) -> Walks {
        const CATEGORIES: [Category; 4] =
            [Category::Freeform, Category::Authentication, Category::Utility, Category::Marketing];
        let mut walks = Walks::new();
        for sender in snapshot.senders() {
            let Some(account) = snapshot.account_by_key(sender.account).filter(|account| wants_report(account)) else {
                continue;
            };
            let templates = self.directory.templates(sender);
            let listed = templates.iter().map(|template| (template.category.category(), template.time_to_live_s));
            for (category, listed_s) in CATEGORIES.map(|category| (category, None)).into_iter().chain(listed) {
                let waited = walks.entry(time_to_live(sender, category, listed_s)).or_default();
                *waited = account.policy.expire_after.of(category).max(*waited);
            }
        }
        merged(walks)
    }

    async fn walk(
        &self,
        snapshot: &Snapshot,
        walks: &Walks,
        time_to_live: Duration,
        waited: Duration,
        may_go: &impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let before = MessageId::first_at(now.minus(time_to_live + self.buffer + waited));
        let mut after = self.store.silence_mark(time_to_live.as_secs()).await?;
        for _ in 0..SLICES_PER_LOOK {
            let messages = self.store.messages_between(after, before, SLICE_MESSAGES).await?;
            let Some(last) = messages.last() else { return Ok(()) };
            if !may_go() {
                return Ok(());
            }
            let silent = messages.iter().filter(|message| {
                let own = time_to_live_of(&self.directory, snapshot, message);
                own.is_some_and(|own| {
                    walk_of(walks, own) == Some(time_to_live) && is_silent(message, own + self.buffer, now)
                })
            });
            if let Err(error) = self.close(silent.collect(), time_to_live).await? {
                // The mark stays, so that the next look finds them again.
                tracing::warn!("could not close messages that fell silent: {error}");
                return Ok(());
            }
            after = last.id;
            self.store.set_silence_mark(time_to_live.as_secs(), after).await?;
            if messages.len() < SLICE_MESSAGES {
                return Ok(());
            }
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Ok(())
    }

    /// Reports them as failed. The inner error says that this could not be written down.
    async fn close(
        &self,
        silent: Vec<&AgedMessage>,
        time_to_live: Duration,
    ) -> Result<Result<(), CommitError>, StoreError> {
        let mut heard_of: HashMap<AccountKey, HashMap<SenderKey, UnixMillis>> = HashMap::new();
        let mut settlements = Vec::with_capacity(silent.len());
        let mut unheard = 0;
        for message in silent {
            if let std::collections::hash_map::Entry::Vacant(entry) = heard_of.entry(message.account) {
                entry.insert(self.store.heard_of(message.account).await?);
            }
            let heard_at = heard_of[&message.account].get(&message.sender).copied();
            if message.delivery.is_none() && heard_at < message.sent_at {
                unheard += 1;
                continue;
            }
            let text = format!(
                "WhatsApp took it and reported no delivery within its time to live of {}; it is presumed dropped",
                format_duration(time_to_live)
            );
            let failure = Failure::new(FailureReason::Unreachable, None, &text);
            let finding = Finding::Silent { failure };
            settlements.push(Settlement { message: message.id, epoch: 0, finding, attempt: None });
        }
        if unheard > 0 {
            tracing::warn!(
                messages = unheard,
                "nothing was heard of {unheard} messages, nor of their numbers since; they are left as they are. Does Meta \
                 reach the webhook? See `wabridge status`"
            );
        }
        let messages = settlements.len();
        if messages == 0 {
            return Ok(Ok(()));
        }
        let closed = self.committer.settle(settlements).await;
        if closed.is_ok() {
            tracing::info!(messages, "closed {messages} messages that fell silent");
        }
        Ok(closed)
    }
}

fn wants_report(account: &Arc<Account>) -> bool {
    account.policy.silent_messages == SilentMessages::ReportFailed
}

fn time_to_live(sender: &Sender, category: Category, listed_s: Option<i64>) -> Duration {
    /// The longest that WhatsApp has, for a provider that this version does not know.
    const LONGEST: Duration = Duration::from_secs(30 * 86_400);
    providers::find(&sender.connection.provider)
        .map_or(LONGEST, |provider| provider.time_to_live(&sender.connection, category, listed_s))
}

/// `None` when its account does not want to know.
fn time_to_live_of(directory: &Directory, snapshot: &Snapshot, message: &AgedMessage) -> Option<Duration> {
    let sender = snapshot.sender(message.sender)?;
    snapshot.account_by_key(message.account).filter(|account| wants_report(account))?;
    let templates = directory.templates(sender);
    let template = message.template.as_ref().and_then(|(name, language)| {
        templates.iter().find(|template| template.name == *name && template.language == *language)
    });
    Some(time_to_live(sender, message.category, template.and_then(|template| template.time_to_live_s)))
}

fn is_silent(message: &AgedMessage, wait: Duration, now: UnixMillis) -> bool {
    message.state == SendState::Submitted
        && message.delivery.is_none_or(|delivery| delivery == DeliveryStatus::Sent)
        && message.sent_at.is_some_and(|sent_at| sent_at.plus(wait) <= now)
}

/// The walk that closes messages with this time to live: the shortest that is long enough.
fn walk_of(walks: &Walks, time_to_live: Duration) -> Option<Duration> {
    walks.range(time_to_live..).next().map(|(walk, _)| *walk)
}

/// No more than [`WALKS_MAX`]: the two that lie closest together, by their ratio, become the longer of them.
fn merged(mut walks: Walks) -> Walks {
    while walks.len() > WALKS_MAX {
        let times: Vec<Duration> = walks.keys().copied().collect();
        let ratio = |pair: &&[Duration]| pair[1].as_secs_f64() / pair[0].as_secs_f64().max(1.0);
        let closest = times.windows(2).min_by(|one, other| ratio(one).total_cmp(&ratio(other)));
        let Some([shorter, longer]) = closest else { break };
        let waited = walks.remove(shorter).unwrap_or_default();
        walks.entry(*longer).and_modify(|longest| *longest = waited.max(*longest));
    }
    walks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn message(state: SendState, delivery: Option<DeliveryStatus>) -> AgedMessage {
        AgedMessage {
            id: MessageId(1),
            account: AccountKey(1),
            sender: SenderKey(1),
            category: Category::Utility,
            state,
            delivery,
            template: None,
            sent_at: Some(UnixMillis::from_seconds(1_000)),
        }
    }

    #[test]
    fn silence_is_no_news_or_only_sent_for_longer_than_the_time_to_live() {
        let at = |message: AgedMessage, second| is_silent(&message, seconds(600), UnixMillis::from_seconds(second));
        for delivery in [None, Some(DeliveryStatus::Sent)] {
            assert!(at(message(SendState::Submitted, delivery), 1_600));
            assert!(!at(message(SendState::Submitted, delivery), 1_599), "its time is not over");
        }
        for delivery in [DeliveryStatus::Failed, DeliveryStatus::Delivered, DeliveryStatus::Read] {
            assert!(!at(message(SendState::Submitted, Some(delivery)), 9_999));
        }
        for state in [SendState::Queued, SendState::Unknown, SendState::Expired, SendState::Cancelled] {
            assert!(!at(message(state, None), 9_999));
        }
    }

    #[test]
    fn a_message_is_closed_by_the_shortest_walk_that_is_long_enough() {
        let walks = Walks::from([(seconds(600), seconds(0)), (seconds(3_600), seconds(0))]);

        assert_eq!(walk_of(&walks, seconds(30)), Some(seconds(600)));
        assert_eq!(walk_of(&walks, seconds(600)), Some(seconds(600)));
        assert_eq!(walk_of(&walks, seconds(601)), Some(seconds(3_600)));
        assert_eq!(walk_of(&walks, seconds(3_601)), None);
    }

    #[test]
    fn many_times_to_live_share_a_few_walks_and_the_longest_stays() {
        let walks = merged((1..=60).map(|minutes| (seconds(60 * minutes), seconds(minutes))).collect());

        assert_eq!(walks.len(), WALKS_MAX);
        assert!(walks.contains_key(&seconds(3_600)));
        for minutes in 1..=60 {
            let walk = walk_of(&walks, seconds(60 * minutes)).expect("some walk is long enough");
            assert!(walks[&walk] >= seconds(minutes), "it waits for the slowest of those that it took over");
        }
    }
}
