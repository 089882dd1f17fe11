//! Campaigns: what they have come to, and stopping what waits of one.
//!
//! A count walks back through time in slices and is kept for a moment, so whoever asks again goes on from where the walk was, and
//! two people who look at the same page share it. No answer waits for its end: what is counted so far is told, with
//! how far back that is. Cancelling goes through everything that waits, so it is done behind the answer, as a job that another process
//! goes on with when this one dies.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    directory::{Directory, Snapshot},
    operators::{Refusal, require},
    queue,
};
use crate::{
    clock,
    domain::{
        account::Account,
        campaign::{Counted, Funnel},
        failure::FailureReason,
        ids::{AccountKey, MessageId, SenderKey},
        operator::{Actor, Permission},
        phone::country_of,
        price::{Bill, Price},
        queue::{QueueFilter, QueueRule, QueueRules, RuleAction, Waiting},
        status::DeliveryStatus,
        time::UnixMillis,
    },
    platforms,
    store::{
        Store, StoreError,
        audit::AuditEntry,
        campaign_cancels::{CampaignCancel, CancelJob},
        campaigns::{CampaignCount, CampaignSlice, CampaignSpan, Waits},
        search::MessageSearch,
    },
    telemetry,
};

/// Messages that the first slice looks at; each further one at twice as many …
const SLICE_MESSAGES: usize = 2_000;
/// … up to here.
const SLICE_MESSAGES_MAX: usize = 16_000;
/// A count that is at its end is told again for so long.
const COUNT_KEPT_FOR: Duration = Duration::from_secs(20);
/// Nobody went on with it for so long: it is begun anew.
const COUNT_LEFT_AFTER: Duration = Duration::from_secs(120);
/// Counts that are kept at the same time.
const COUNTS_MAX: usize = 16;
/// Campaigns of one count; older ones are left out, and that is said.
const CAMPAIGNS_MAX: usize = 2_000;
/// Kinds of failures of one campaign, each with WhatsApp's words; the others are counted by reason alone.
const FAILURE_KINDS_MAX: usize = 200;
/// Minutes in which a campaign was sent; older ones are not drawn.
const MINUTES_MAX: usize = 20_000;
/// Campaigns that are cancelled at the same time.
const CANCELS_AT_ONCE_MAX: i64 = 4;
/// Between two notes of how many are cancelled.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Looking whether there is such a campaign; what takes longer is believed.
const LOOKS_FOR_MAX: Duration = Duration::from_secs(2);
/// Longer ids name nothing.
pub const CAMPAIGN_CHARS_MAX: usize = 256;

/// How far back is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Week,
    Month,
    /// Of one campaign: since it was made, as its id says; of all: everything that is kept.
    Whole,
    /// From here on, and before this when there is an end.
    Between(UnixMillis, Option<UnixMillis>),
}

impl Period {
    /// Those with a word, and the word.
    pub const NAMED: [(Self, &'static str); 4] =
        [(Self::Day, "24h"), (Self::Week, "7d"), (Self::Month, "30d"), (Self::Whole, "all")];

    /// The period by its word.
    pub fn named(word: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(_, known)| *known == word).map(|(period, _)| period)
    }

    fn since(self, campaign: Option<&str>, now: UnixMillis) -> UnixMillis {
        let days = |days: u64| now.minus(Duration::from_secs(days * 24 * 3600));
        match self {
            Self::Day => days(1),
            Self::Week => days(7),
            Self::Month => days(30),
            Self::Whole => campaign.and_then(made_at).unwrap_or(UnixMillis(0)),
            Self::Between(since, _) => since,
        }
    }
}

/// When a campaign was made: CleverTap names it by that second. A day early, for clocks that differ.
fn made_at(campaign: &str) -> Option<UnixMillis> {
    /// 2015; what is less is no time.
    const EARLIEST: i64 = 1_420_070_400;
    let seconds: i64 = campaign.parse().ok().filter(|seconds| *seconds > EARLIEST)?;
    let at = UnixMillis::from_seconds(seconds.min(i64::from(u32::MAX)));
    (at < clock::now()).then(|| at.minus(Duration::from_secs(24 * 3600)))
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub account: Option<AccountKey>,
    /// Only this one, and everything about it.
    pub campaign: Option<String>,
    pub period: Period,
}

/// Messages that have not been handed over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingMessages {
    pub in_queue: u64,
    /// For a retry, or for somebody.
    pub later: u64,
    /// Set aside until they are resumed, or expire.
    pub paused: u64,
    pub beyond_limit: u64,
}

impl Campaign {
    /// What it sends, for people.
    pub fn sends(&self) -> String {
        match &self.templates {
            Some((first, last)) if first == last => first.clone(),
            Some((first, last)) => format!("{first} … {last}"),
            None => "freeform".to_owned(),
        }
    }
}

impl WaitingMessages {
    pub fn all(&self) -> u64 {
        self.in_queue + self.later + self.paused + self.beyond_limit
    }
}

/// Why messages failed: the reason, and the provider's code.
type FailureKey = (FailureReason, Option<i64>);

/// How many, and what was said of one of them.
#[derive(Clone, Debug, Default)]
pub struct FailureCount {
    pub messages: u64,
    pub text: String,
}

/// One campaign of an account.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub account: AccountKey,
    pub campaign: String,
    /// The first and the last of its templates by name.
    pub templates: Option<(String, String)>,
    pub funnel: Funnel,
    pub waiting: WaitingMessages,
    pub failures: BTreeMap<FailureKey, FailureCount>,
    pub first: MessageId,
    pub last: MessageId,
}

/// What was counted so far.
#[derive(Clone, Debug)]
pub struct Counts {
    /// The newest first.
    pub campaigns: Vec<Campaign>,
    pub since: UnixMillis,
    /// The moment of the count, or the end of the period.
    pub until: UnixMillis,
    pub looked_at: u64,
    /// How far back was looked, when that is not the whole period.
    pub looked_back_to: Option<UnixMillis>,
    /// There are more campaigns than are counted at once.
    pub left_out: bool,
    /// Of one campaign: minutes since the epoch, and how many messages WhatsApp took in each.
    pub sent_by_minute: BTreeMap<i64, u64>,
    /// Of one campaign: what WhatsApp said that its messages cost.
    pub bill: Bill,
}

/// A walk, as far as it has come.
struct Walk {
    span: CampaignSpan,
    until: UnixMillis,
    slice_messages: usize,
    done: bool,
    looked_at: u64,
    left_out: bool,
    found: HashMap<(AccountKey, String), Campaign>,
    sent_by_minute: BTreeMap<i64, u64>,
    bill: Bill,
}

struct Kept {
    asked: Asked,
    walk: Arc<tokio::sync::Mutex<Walk>>,
    /// When it was begun, or gone on with.
    used_at: Instant,
    done: bool,
}

/// The service.
pub struct Campaigns {
    store: Store,
    directory: Arc<Directory>,
    counts: Arc<Mutex<VecDeque<Kept>>>,
}

impl Campaigns {
    pub fn new(store: Store, directory: Arc<Directory>) -> Self {
        Self { store, directory, counts: Arc::default() }
    }

    /// Counts for at most so long, and tells what is counted so far. Ask again for more.
    pub async fn count(&self, actor: &Actor, asked: &Asked, takes_max: Duration) -> Result<Counts, Refusal> {
        require(actor, Permission::ReadMessages)?;
        if asked.campaign.as_ref().is_some_and(|campaign| campaign.chars().count() > CAMPAIGN_CHARS_MAX) {
            let text = format!("a campaign's id has at most {CAMPAIGN_CHARS_MAX} characters");
            return Err(Refusal::Invalid { field: "campaign", text });
        }
        let started = Instant::now();
        let walk = self.walk(asked);
        let mut walk = walk.lock().await;
        let snapshot = self.directory.snapshot();
        while !walk.done {
            walk.go_on(&self.store, &snapshot).await?;
            if started.elapsed() >= takes_max {
                break;
            }
        }
        self.note(asked, walk.done);
        Ok(walk.told())
    }

    /// What was counted is out of date.
    pub fn forget_counts(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk that was begun for this, or a new one.
    fn walk(&self, asked: &Asked) -> Arc<tokio::sync::Mutex<Walk>> {
        let mut kept = self.kept();
        kept.retain(|kept| kept.used_at.elapsed() < if kept.done { COUNT_KEPT_FOR } else { COUNT_LEFT_AFTER });
        if let Some(known) = kept.iter().find(|kept| kept.asked == *asked) {
            return known.walk.clone();
        }
        if kept.len() >= COUNTS_MAX {
            kept.pop_front();
        }
        let walk = Arc::new(tokio::sync::Mutex::new(Walk::new(asked, clock::now())));
        kept.push_back(Kept { asked: asked.clone(), walk: walk.clone(), used_at: Instant::now(), done: false });
        walk
    }

    fn note(&self, asked: &Asked, done: bool) {
        // What is at its end grows old from there, however often it is asked for.
        if let Some(kept) = self.kept().iter_mut().find(|kept| kept.asked == *asked && !kept.done) {
            kept.done = done;
            kept.used_at = Instant::now();
        }
    }

    /// All rules, as they are now: an instance hears of them a second later.
    pub async fn rules(&self) -> Result<QueueRules, StoreError> {
        self.store.queue_rules().await
    }

    /// Keeps back what waits of a campaign and what arrives of it.
    pub async fn pause(&self, actor: &Actor, account: &Account, campaign: &str, reason: &str) -> Result<(), Refusal> {
        require(actor, Permission::ManageQueues)?;
        let reason = checked_reason(reason, "paused by an operator")?;
        let filter = filter(account, campaign)?;
        self.must_exist(account, campaign).await?;
        queue::pause(&self.store, actor, &filter, &subject(account, campaign), reason).await?;
        self.forget_counts();
        Ok(())
    }

    /// Ends every rule that names the campaign; says how many.
    pub async fn resume(&self, actor: &Actor, account: &Account, campaign: &str) -> Result<u64, Refusal> {
        require(actor, Permission::ManageQueues)?;
        let rules = self.store.queue_rules().await?;
        let named = QueueFilter { account: None, ..filter(account, campaign)? };
        let ended: Vec<&QueueRule> = rules
            .0
            .iter()
            .filter(|rule| rule.released_at.is_none() && named.includes(&rule.filter))
            .filter(|rule| rule.filter.account.is_none_or(|key| key == account.key))
            .collect();
        if ended.is_empty() {
            return Err(Refusal::Conflict(format!(
                "no rule names {}: nothing is to be resumed",
                subject(account, campaign)
            )));
        }
        let released = queue::resume(&self.store, actor, &ended, &subject(account, campaign)).await?;
        self.forget_counts();
        Ok(released)
    }

    /// Begins to cancel what waits of a campaign; with `and_new` also what arrives of it within a day.
    pub async fn cancel(
        &self,
        actor: &Actor,
        account: &Account,
        campaign: &str,
        (reason, and_new): (&str, bool),
    ) -> Result<(), Refusal> {
        require(actor, Permission::ManageQueues)?;
        let reason = checked_reason(reason, "no reason was given")?.to_owned();
        let (filter, what) = (filter(account, campaign)?, subject(account, campaign));
        self.must_exist(account, campaign).await?;
        if self.store.open_campaign_cancels().await? >= CANCELS_AT_ONCE_MAX {
            let text = format!("{CANCELS_AT_ONCE_MAX} campaigns are being cancelled: wait for the end of one");
            return Err(Refusal::Conflict(text));
        }
        let entry = AuditEntry::new(actor, "cancel campaign", what)
            .after(json!({"reason": reason, "what_arrives_within_a_day_too": and_new}));
        let job = CancelJob {
            account: account.key,
            campaign: campaign.to_owned(),
            reason,
            actor: actor.name.clone(),
            via: actor.via,
        };
        // The rule first: whoever dies in between has promised nothing.
        if and_new {
            queue::cancel_new(&self.store, &filter, &job.reason, &entry).await?;
        }
        let begun = self.store.begin_campaign_cancel(&job, Some(&entry).filter(|_| !and_new)).await?;
        let under_way = || Refusal::Conflict("it is being cancelled already: look how far that is".to_owned());
        let key = begun.ok_or_else(under_way)?;
        self.forget_counts();
        self.go_on(CampaignCancel { key, job, cancelled: 0, is_over: false });
        Ok(())
    }

    /// Goes on with cancelling that a dead process has left.
    pub async fn take_up(&self) -> Result<(), StoreError> {
        while let Some(left) = self.store.take_up_campaign_cancel().await? {
            tracing::info!("goes on with cancelling campaign {}, which another process had begun", left.job.campaign);
            self.go_on(left);
        }
        Ok(())
    }

    /// Cancels behind the answer, and notes how far that is.
    fn go_on(&self, begun: CampaignCancel) {
        let (store, directory, counts) = (self.store.clone(), self.directory.clone(), self.counts.clone());
        tokio::spawn(async move {
            match cancel_watched(&store, &directory.snapshot(), &begun).await {
                Ok(cancelled) => {
                    let CancelJob { account, campaign, actor, via, .. } = begun.job;
                    let account = directory.snapshot().account_by_key(account).map(|account| account.id.clone());
                    let what = format!("campaign {campaign} of {}", account.as_deref().unwrap_or("?"));
                    let entry = AuditEntry::new(&Actor::of_job(actor, via), "campaign is cancelled", what)
                        .after(json!({"messages": cancelled}));
                    if let Err(error) = store.end_campaign_cancel(begun.key, cancelled, &entry).await {
                        tracing::error!(error = %telemetry::Chain(&error), "the end of cancelling is not written down");
                    }
                }
                // Somebody goes on with it as soon as the database answers.
                Err(error) => tracing::error!(error = %telemetry::Chain(&error), "cancelling a campaign stopped"),
            }
            counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
    }

    /// How cancelling it goes or went.
    pub async fn cancelling(&self, account: AccountKey, campaign: &str) -> Result<Option<CampaignCancel>, StoreError> {
        self.store.campaign_cancel(account, campaign).await
    }

    /// A typing error would stop nothing, and nobody would know. Looks back through time for a while; what was not found by then
    /// may be there.
    async fn must_exist(&self, account: &Account, campaign: &str) -> Result<(), Refusal> {
        let since = made_at(campaign);
        let mut search = MessageSearch {
            account: Some(account.key),
            campaign: Some(campaign.to_owned()),
            since,
            ..MessageSearch::default()
        };
        let started = Instant::now();
        while started.elapsed() < LOOKS_FOR_MAX {
            let found = self.store.search_messages(&search, 1).await?;
            let Some(next) = found.next.filter(|_| found.messages.is_empty()) else {
                let missing = || {
                    let what = subject(account, campaign);
                    Refusal::NotFound(format!(
                        "there is no {what}, as far as messages are kept: it is part 2 of the msgId"
                    ))
                };
                return if found.messages.is_empty() { Err(missing()) } else { Ok(()) };
            };
            search.before = Some(next);
        }
        Ok(())
    }
}

/// Cancels what waits; says how many messages, with those of whoever had begun.
async fn cancel_watched(store: &Store, snapshot: &Snapshot, begun: &CampaignCancel) -> Result<u64, StoreError> {
    let CancelJob { account, campaign, reason, .. } = &begun.job;
    let filter = QueueFilter { account: Some(*account), campaign: Some(campaign.clone()), ..QueueFilter::default() };
    let senders = queue::in_scope(snapshot.senders().map(Arc::as_ref), &filter);
    let cancelled = AtomicU64::new(begun.cancelled);
    let cancelling = queue::cancel(store, &senders, &filter, reason, |done| {
        cancelled.fetch_add(done, Ordering::Relaxed);
    });
    tokio::pin!(cancelling);
    loop {
        tokio::select! {
            done = &mut cancelling => return done.map(|_| cancelled.load(Ordering::Relaxed)),
            () = tokio::time::sleep(NOTE_EVERY) => {}
        }
        if let Err(error) = store.move_campaign_cancel(begun.key, cancelled.load(Ordering::Relaxed)).await {
            tracing::warn!(error = %telemetry::Chain(&error), "could not note how far cancelling is");
        }
    }
}

/// From when to when a period is, of all campaigns or of one.
pub fn span(campaign: Option<&str>, period: Period, now: UnixMillis) -> (UnixMillis, UnixMillis) {
    let until = match period {
        Period::Between(_, Some(until)) => until.min(now),
        Period::Between(_, None) | Period::Day | Period::Week | Period::Month | Period::Whole => now,
    };
    // What was accepted in this very millisecond belongs to it.
    (period.since(campaign, now), UnixMillis(until.0 + i64::from(until == now)))
}

/// The rules that name a campaign of an account; what holds the whole number or a template is not among them.
pub fn rules_naming<'a>(
    rules: &'a QueueRules,
    account: AccountKey,
    campaign: &'a str,
    now: UnixMillis,
) -> impl Iterator<Item = &'a QueueRule> {
    let names = move |filter: &QueueFilter| {
        filter.campaign.as_deref().is_some_and(|named| named.eq_ignore_ascii_case(campaign))
            && filter.account.is_none_or(|named| named == account)
    };
    rules.0.iter().filter(move |rule| rule.holds(now) && names(&rule.filter))
}

/// The rule that decides about a campaign as a whole. What names a number or a template as well is about a part of it.
pub fn verdict<'a>(
    rules: &'a QueueRules,
    account: AccountKey,
    campaign: &str,
    now: UnixMillis,
) -> Option<&'a QueueRule> {
    let message = Waiting { account, sender: NO_SENDER, campaign: Some(campaign), template: None };
    let covers = |rule: &&QueueRule| rule.holds(now) && rule.filter.covers(&message);
    rules.0.iter().filter(covers).max_by_key(|rule| rule.action)
}

/// No number has this key.
const NO_SENDER: SenderKey = SenderKey(0);

fn filter(account: &Account, campaign: &str) -> Result<QueueFilter, Refusal> {
    if campaign.is_empty() || campaign.chars().count() > CAMPAIGN_CHARS_MAX {
        let text = format!("a campaign's id has 1 to {CAMPAIGN_CHARS_MAX} characters");
        return Err(Refusal::Invalid { field: "campaign", text });
    }
    Ok(QueueFilter { account: Some(account.key), campaign: Some(campaign.to_owned()), ..QueueFilter::default() })
}

fn subject(account: &Account, campaign: &str) -> String {
    format!("campaign {campaign} of {}", account.id)
}

fn checked_reason<'a>(reason: &'a str, without: &'a str) -> Result<&'a str, Refusal> {
    let reason = reason.trim();
    if reason.chars().count() > queue::REASON_CHARS_MAX {
        let text = format!("a reason has at most {} characters: shorten it", queue::REASON_CHARS_MAX);
        return Err(Refusal::Invalid { field: "reason", text });
    }
    Ok(if reason.is_empty() { without } else { reason })
}

/// What a rule does, in a word.
pub fn word_of(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Pause => "paused",
        RuleAction::Cancel => "cancelled",
    }
}

impl Walk {
    fn new(asked: &Asked, now: UnixMillis) -> Self {
        let (since, before) = span(asked.campaign.as_deref(), asked.period, now);
        let until = before.min(now);
        let before = MessageId::first_at(before);
        let span = CampaignSpan { account: asked.account, campaign: asked.campaign.clone(), since, before };
        Self {
            span,
            until,
            slice_messages: SLICE_MESSAGES,
            done: false,
            looked_at: 0,
            left_out: false,
            found: HashMap::new(),
            sent_by_minute: BTreeMap::new(),
            bill: Bill::default(),
        }
    }

    async fn go_on(&mut self, store: &Store, snapshot: &Snapshot) -> Result<(), StoreError> {
        let CampaignSlice { counts, sent_by_minute, prices, looked_at, next } =
            store.campaign_slice(&self.span, self.slice_messages).await?;
        for (minute, messages) in sent_by_minute {
            if self.sent_by_minute.len() < MINUTES_MAX || self.sent_by_minute.contains_key(&minute) {
                *self.sent_by_minute.entry(minute).or_default() += messages;
            }
        }
        for (prefix, price, messages) in prices {
            if let Some(price) = Price::from_code(price) {
                self.bill.add(country_of(&prefix), price, messages);
            }
        }
        for count in counts {
            self.add(snapshot, count);
        }
        self.looked_at += looked_at;
        self.slice_messages = SLICE_MESSAGES_MAX.min(self.slice_messages * 2);
        match next {
            Some(next) => self.span.before = next,
            None => self.done = true,
        }
        Ok(())
    }

    fn add(&mut self, snapshot: &Snapshot, count: CampaignCount) {
        let key = (count.account, count.campaign.clone());
        if !self.found.contains_key(&key) && self.found.len() >= CAMPAIGNS_MAX {
            self.left_out = true;
            return;
        }
        let failed = count.delivery == Some(DeliveryStatus::Failed);
        let reason = count.failure_reason.filter(|_| failed);
        let platform = snapshot.account_by_key(count.account).and_then(|account| platforms::find(&account.platform));
        let counted = Counted {
            state: count.state,
            delivery: count.delivery,
            statuses: if count.failed_after_sent { vec![DeliveryStatus::Sent] } else { vec![] },
            failure_code: platform.zip(reason).map(|(platform, reason)| platform.failure_code(reason)),
            replies: count.replies,
        };
        let campaign = self.found.entry(key).or_insert_with(|| Campaign {
            account: count.account,
            campaign: count.campaign.clone(),
            templates: None,
            funnel: Funnel::default(),
            waiting: WaitingMessages::default(),
            failures: BTreeMap::new(),
            first: count.first,
            last: count.last,
        });
        campaign.templates = match (campaign.templates.take(), count.templates) {
            (Some(known), Some(new)) => Some((known.0.min(new.0), known.1.max(new.1))),
            (known, new) => known.or(new),
        };
        campaign.first = campaign.first.min(count.first);
        campaign.last = campaign.last.max(count.last);
        campaign.funnel.add_alike(&counted, count.messages);
        match count.waits {
            Some(Waits::InQueue) => campaign.waiting.in_queue += count.messages,
            Some(Waits::Later) => campaign.waiting.later += count.messages,
            Some(Waits::Paused) => campaign.waiting.paused += count.messages,
            Some(Waits::BeyondLimit) => campaign.waiting.beyond_limit += count.messages,
            None => {}
        }
        if let Some(reason) = reason {
            let key = (reason, count.failure_code);
            let has_room = campaign.failures.len() < FAILURE_KINDS_MAX || campaign.failures.contains_key(&key);
            let failure = campaign.failures.entry(if has_room { key } else { (reason, None) }).or_default();
            failure.messages += count.messages;
            if failure.text.is_empty() {
                failure.text = count.failure_text.unwrap_or_default();
            }
        }
    }

    fn told(&self) -> Counts {
        let mut campaigns: Vec<Campaign> =
            self.found.values().filter(|campaign| campaign.funnel.accepted > 0).cloned().collect();
        campaigns.sort_by_key(|campaign| std::cmp::Reverse(campaign.last));
        Counts {
            campaigns,
            since: self.span.since,
            until: self.until,
            looked_at: self.looked_at,
            looked_back_to: (!self.done).then(|| self.span.before.made_at()),
            left_out: self.left_out,
            sent_by_minute: self.sent_by_minute.clone(),
            bill: self.bill.clone(),
        }
    }
}
