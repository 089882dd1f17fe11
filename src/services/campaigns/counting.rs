//! What campaigns have come to: a walk back through time, as far as it has come.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    clock,
    domain::{
        campaign::{Counted, Funnel},
        failure::FailureReason,
        ids::{AccountKey, MessageId},
        phone::country_of,
        price::{Bill, Price},
        status::DeliveryStatus,
        time::UnixMillis,
    },
    platforms,
    services::directory::Snapshot,
    store::{
        Store, StoreError,
        campaigns::{CampaignCount, CampaignSlice, CampaignSpan, Waits},
    },
};

/// Messages that the first slice looks at; each further one at twice as many …
const SLICE_MESSAGES: usize = 2_000;
/// … up to here.
const SLICE_MESSAGES_MAX: usize = 16_000;
/// Campaigns of one count; older ones are left out, and that is said.
const CAMPAIGNS_MAX: usize = 2_000;
/// Kinds of failures of one campaign, each with WhatsApp's words; the others are counted by reason alone.
const FAILURE_KINDS_MAX: usize = 200;
/// Minutes in which a campaign was sent; older ones are not drawn.
const MINUTES_MAX: usize = 20_000;
/// Seconds in which it was sent; of more than these the fastest is not told.
const SECONDS_MAX: usize = 100_000;

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
pub(super) fn made_at(campaign: &str) -> Option<UnixMillis> {
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
            Some((first, last)) => format!("several ({first} … {last})"),
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
    /// The same by seconds since the epoch; `None`: there were too many.
    pub sent_by_second: Option<BTreeMap<i64, u64>>,
    /// Of one campaign: the second since the epoch in which most messages left that WhatsApp took, and how many.
    pub fastest_second: Option<(i64, u64)>,
    /// Of one campaign: what WhatsApp said that its messages cost.
    pub bill: Bill,
}

/// A walk, as far as it has come.
pub(super) struct Walk {
    span: CampaignSpan,
    until: UnixMillis,
    slice_messages: usize,
    pub(super) done: bool,
    /// Time that it took so far, without that in which nobody asked.
    pub(super) took: Duration,
    looked_at: u64,
    left_out: bool,
    found: HashMap<(AccountKey, String), Campaign>,
    sent_by_minute: BTreeMap<i64, u64>,
    /// `None`: there were too many.
    sent_by_second: Option<BTreeMap<i64, u64>>,
    bill: Bill,
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

impl Walk {
    pub(super) fn new(asked: &Asked, now: UnixMillis) -> Self {
        let (since, before) = span(asked.campaign.as_deref(), asked.period, now);
        let until = before.min(now);
        let before = MessageId::first_at(before);
        let span = CampaignSpan { account: asked.account, campaign: asked.campaign.clone(), since, before };
        Self {
            span,
            until,
            slice_messages: SLICE_MESSAGES,
            done: false,
            took: Duration::ZERO,
            looked_at: 0,
            left_out: false,
            found: HashMap::new(),
            sent_by_minute: BTreeMap::new(),
            sent_by_second: Some(BTreeMap::new()),
            bill: Bill::default(),
        }
    }

    pub(super) async fn go_on(&mut self, store: &Store, snapshot: &Snapshot) -> Result<(), StoreError> {
        let CampaignSlice { counts, sent_by_second, prices, looked_at, next } =
            store.campaign_slice(&self.span, self.slice_messages).await?;
        for (second, messages) in sent_by_second {
            if let Some(seconds) = &mut self.sent_by_second {
                *seconds.entry(second).or_default() += messages;
            }
            let minute = second.div_euclid(60);
            if self.sent_by_minute.len() < MINUTES_MAX || self.sent_by_minute.contains_key(&minute) {
                *self.sent_by_minute.entry(minute).or_default() += messages;
            }
        }
        self.sent_by_second.take_if(|seconds| seconds.len() > SECONDS_MAX);
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

    /// What was counted so far.
    pub(super) fn told(&self) -> Counts {
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
            sent_by_second: self.sent_by_second.clone(),
            fastest_second: self.sent_by_second.as_ref().and_then(fastest),
            bill: self.bill.clone(),
        }
    }
}

/// Of alike ones the first.
fn fastest(seconds: &BTreeMap<i64, u64>) -> Option<(i64, u64)> {
    let most = seconds.iter().max_by_key(|(second, messages)| (**messages, std::cmp::Reverse(**second)))?;
    Some((*most.0, *most.1))
}
