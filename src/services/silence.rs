//! Closing messages that fell silent after the provider took them.
//!
//! WhatsApp tries to deliver a message for its time to live, and drops it after that without a word. Whoever waits for
//! news waits for ever: a journey that would go on by SMS does not. So when the time is over, and a buffer for
//! late reports with it, such a message is reported as failed, unless the account wants it left. Should news come all the
//! same, it is relayed.
//!
//! 1. Which times to live are in use? Each has a walk of its own through the messages, in the order of their age, with a mark
//!    that says how far it has come. A message is read once by each walk, and by none when no account wants it.
//! 2. A message that the provider took, with no news or only `sent`, whose time to live is this walk's: is its time over?
//! 3. Silence may be the fault of a webhook that does not reach us. So it proves something only when the number was heard of
//!    after the message's time was over, and when that was a buffer ago: after an outage the provider tells what is new
//!    first. An account may want its messages closed all the same.
//! 4. Messages whose silence proves nothing yet are noted, because the walk goes on. Once their number is heard of they
//!    are read again by their notes, and nothing else is. What an operator sends again is noted when that is decided: the
//!    walks have passed it. Its note stays for as long as it waits to be sent.
//!
//! Whoever was away has heard nothing. So the first look comes when the buffer has passed since the start; and what was sent
//! before a backup was put back is never closed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::directory::{Directory, Snapshot};
use crate::{
    clock,
    domain::{
        account::{Account, Sender, SilentMessages},
        duration::written,
        failure::{Failure, FailureReason},
        ids::{MessageId, SenderKey},
        outbound::{Category, SendState},
        progress::Finding,
        status::DeliveryStatus,
        time::UnixMillis,
    },
    providers,
    store::{
        Store, StoreError,
        batch::Committer,
        outbound::Settlement,
        silence::{AgedMessage, Unheard},
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

/// For each number the moment up to which silence proves something: a message whose time was over by then is closed.
type Proofs = HashMap<SenderKey, UnixMillis>;

/// A message that fell silent.
struct Silent {
    message: MessageId,
    time_to_live: Duration,
}

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
        let proofs = self.proofs(&snapshot).await?;
        let walks = self.walks(&snapshot);
        for (time_to_live, waited) in &walks {
            self.walk(&snapshot, &walks, (*time_to_live, *waited), &proofs, may_go).await?;
        }
        for (sender, until) in &proofs {
            self.look_again(&snapshot, *sender, *until, may_go).await?;
        }
        Ok(())
    }

    async fn proofs(&self, snapshot: &Snapshot) -> Result<Proofs, StoreError> {
        let settled = clock::now().minus(self.buffer);
        let heard = self.store.heard_until(settled).await?;
        let proof = |sender: &Arc<Sender>| {
            let until = match snapshot.account_by_key(sender.account)?.policy.silent_messages {
                SilentMessages::ReportFailed => *heard.get(&sender.key)?,
                SilentMessages::ReportFailedAlways => settled,
                SilentMessages::Leave => return None,
            };
            Some((sender.key, until))
        };
        Ok(snapshot.senders().filter_map(proof).collect())
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
        (time_to_live, waited): (Duration, Duration),
        proofs: &Proofs,
        may_go: &impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let before = MessageId::first_at(clock::now().minus(time_to_live + self.buffer + waited));
        let mut after = self.store.silence_mark(time_to_live.as_secs()).await?;
        for _ in 0..SLICES_PER_LOOK {
            let messages = self.store.messages_between(after, before, SLICE_MESSAGES).await?;
            let Some(last) = messages.last() else { return Ok(()) };
            if !may_go() {
                return Ok(());
            }
            let of_walk = messages.iter().filter(|message| {
                let own = time_to_live_of(&self.directory, snapshot, message);
                own.is_some_and(|own| walk_of(walks, own) == Some(time_to_live))
            });
            let (silent, unheard) = self.sort(snapshot, of_walk, |sender| proofs.get(&sender).copied());
            if !unheard.is_empty() {
                let messages = unheard.len();
                tracing::info!(
                    messages,
                    "{messages} messages are silent, and so were their numbers since; they are looked at again when those are \
                     heard of"
                );
            }
            self.store.note_unheard(&unheard).await?;
            if !self.close(silent).await {
                // The mark stays, so that the next look finds them again.
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

    /// Looks at what was noted of a number, as far as its silence proves something by now.
    async fn look_again(
        &self,
        snapshot: &Snapshot,
        sender: SenderKey,
        until: UnixMillis,
        may_go: &impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        for _ in 0..SLICES_PER_LOOK {
            let noted = self.store.unheard_until(sender, until, SLICE_MESSAGES).await?;
            if noted.is_empty() || !may_go() {
                return Ok(());
            }
            let messages = noted.iter().filter_map(|noted| noted.message.as_ref());
            let (silent, unheard) = self.sort(snapshot, messages, |_| Some(until));
            if !self.close(silent).await {
                return Ok(());
            }
            // Sent again since: its time is over later, or begins only when it leaves.
            let waiting =
                noted.iter().filter_map(|noted| noted.message.as_ref()).filter(|message| is_on_its_way(message));
            let now = clock::now();
            let wait = |message: &AgedMessage| Unheard { message: message.id, sender: message.sender, over_at: now };
            let unheard: Vec<Unheard> = unheard.into_iter().chain(waiting.map(wait)).collect();
            self.store.note_unheard(&unheard).await?;
            let stays: BTreeSet<MessageId> = unheard.iter().map(|unheard| unheard.message).collect();
            let done: Vec<MessageId> = noted.iter().map(|noted| noted.id).filter(|id| !stays.contains(id)).collect();
            self.store.forget_unheard(&done).await?;
            if noted.len() < SLICE_MESSAGES {
                return Ok(());
            }
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Ok(())
    }

    /// Messages of which no end was reported: those whose silence proves something, and the others.
    fn sort<'a>(
        &self,
        snapshot: &Snapshot,
        messages: impl Iterator<Item = &'a AgedMessage>,
        proven_until: impl Fn(SenderKey) -> Option<UnixMillis>,
    ) -> (Vec<Silent>, Vec<Unheard>) {
        let (mut silent, mut unheard) = (Vec::new(), Vec::new());
        for message in messages {
            let Some(time_to_live) = time_to_live_of(&self.directory, snapshot, message) else { continue };
            let Some(over_at) = over_at(message, time_to_live) else { continue };
            if proven_until(message.sender).is_some_and(|until| over_at <= until) {
                silent.push(Silent { message: message.id, time_to_live });
            } else {
                unheard.push(Unheard { message: message.id, sender: message.sender, over_at });
            }
        }
        (silent, unheard)
    }

    /// Reports them as failed. `false` when this could not be written down.
    async fn close(&self, silent: Vec<Silent>) -> bool {
        let messages = silent.len();
        if messages == 0 {
            return true;
        }
        let settlement = |Silent { message, time_to_live }| {
            let text = format!(
                "WhatsApp took it and reported no delivery within its time to live of {}; it is presumed dropped",
                written(time_to_live)
            );
            let failure = Failure::new(FailureReason::Unreachable, None, &text);
            Settlement { message, epoch: 0, finding: Finding::Silent { failure }, attempt: None }
        };
        match self.committer.settle(silent.into_iter().map(settlement).collect()).await {
            Ok(_) => {
                tracing::info!(messages, "closed {messages} messages that fell silent");
                true
            }
            Err(error) => {
                tracing::warn!("could not close messages that fell silent: {error}");
                false
            }
        }
    }
}

fn wants_report(account: &Arc<Account>) -> bool {
    match account.policy.silent_messages {
        SilentMessages::ReportFailed | SilentMessages::ReportFailedAlways => true,
        SilentMessages::Leave => false,
    }
}

fn time_to_live(sender: &Sender, category: Category, listed_s: Option<i64>) -> Duration {
    /// The longest that WhatsApp has, for a provider that this version does not know.
    const LONGEST: Duration = Duration::from_secs(30 * 86_400);
    providers::find(&sender.connection.provider)
        .map_or(LONGEST, |provider| provider.time_to_live(&sender.connection, category, listed_s))
}

/// `None` when its account does not want to know.
fn time_to_live_of(directory: &Directory, snapshot: &Snapshot, message: &AgedMessage) -> Option<Duration> {
    let sender = snapshot.sender_at_work(message.sender)?;
    snapshot.account_by_key(message.account).filter(|account| wants_report(account))?;
    let templates = directory.templates(sender);
    let template = message.template.as_ref().and_then(|(name, language)| {
        templates.iter().find(|template| template.name == *name && template.language == *language)
    });
    Some(time_to_live(sender, message.category, template.and_then(|template| template.time_to_live_s)))
}

/// When the time of a message ended, or will end, of which no end was reported; `None` of all others.
fn over_at(message: &AgedMessage, time_to_live: Duration) -> Option<UnixMillis> {
    let is_open = message.state == SendState::Submitted
        && message.delivery.is_none_or(|delivery| delivery == DeliveryStatus::Sent);
    message.sent_at.filter(|_| is_open).map(|sent_at| sent_at.plus(time_to_live))
}

/// It may still come to be sent.
fn is_on_its_way(message: &AgedMessage) -> bool {
    message.delivery.is_none()
        && match message.state {
            SendState::Queued | SendState::Sending | SendState::Unknown => true,
            SendState::Submitted | SendState::Rejected | SendState::Expired | SendState::Cancelled => false,
        }
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
    use crate::domain::ids::AccountKey;

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
    fn silence_is_no_news_or_only_sent() {
        let over = |state, delivery| over_at(&message(state, delivery), seconds(600));
        for delivery in [None, Some(DeliveryStatus::Sent)] {
            assert_eq!(over(SendState::Submitted, delivery), Some(UnixMillis::from_seconds(1_600)));
        }
        for delivery in [DeliveryStatus::Failed, DeliveryStatus::Delivered, DeliveryStatus::Read] {
            assert_eq!(over(SendState::Submitted, Some(delivery)), None);
        }
        for state in [SendState::Queued, SendState::Unknown, SendState::Expired, SendState::Cancelled] {
            assert_eq!(over(state, None), None);
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
