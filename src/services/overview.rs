//! What happened in some time, in figures: how far messages came, how fast the platform was answered, and why messages failed.

use std::collections::BTreeMap;

use crate::{
    clock,
    domain::{
        failure::{FailureReason, SaidBy},
        ids::AccountKey,
        operator::{Actor, Permission},
        statistics::{AnswerTimes, Figure},
        time::UnixMillis,
    },
    services::operators::{Refusal, require},
    store::{
        Store,
        statistics::{FigureSpan, HOUR_MS, hour_of},
    },
};

/// How far back is looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lately {
    #[default]
    Day,
    Week,
    Month,
}

impl Lately {
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// As in an address.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lately| lately.word() == word)
    }

    /// Hours in all, and hours that are told as one.
    const fn hours(self) -> (i64, i64) {
        match self {
            Self::Day => (24, 1),
            Self::Week => (7 * 24, 6),
            Self::Month => (30 * 24, 24),
        }
    }
}

/// Messages that failed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    pub account: AccountKey,
    /// `None`: another version knows it.
    pub reason: Option<FailureReason>,
    /// The provider's.
    pub code: Option<i64>,
    /// What was said of one of them, without numbers; empty when nothing was.
    pub said: String,
    pub messages: u64,
}

impl Failures {
    pub fn said_by(&self) -> Option<SaidBy> {
        SaidBy::of(self.reason?, self.code)
    }
}

/// What happened, by the hour in which the bridge did it or heard of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub since: UnixMillis,
    pub until: UnixMillis,
    /// Hours that a place in `over_time` stands for.
    pub step_hours: i64,
    /// By figure: the first moment of a step, and how much there was.
    over_time: BTreeMap<Figure, BTreeMap<UnixMillis, u64>>,
    pub answers: AnswerTimes,
    /// The most frequent first.
    pub failures: Vec<Failures>,
}

impl Summary {
    pub fn total(&self, figure: Figure) -> u64 {
        self.over_time(figure).map(|(_, amount)| amount).sum()
    }

    /// Whether anything happened.
    pub fn has_any(&self) -> bool {
        !self.over_time.is_empty()
    }

    /// Steps in which there was something.
    pub fn over_time(&self, figure: Figure) -> impl Iterator<Item = (UnixMillis, u64)> + '_ {
        self.over_time.get(&figure).into_iter().flatten().map(|(at, amount)| (*at, *amount))
    }
}

/// Adds up what is known of one account, or of all.
pub async fn summary(
    store: &Store,
    actor: &Actor,
    account: Option<AccountKey>,
    lately: Lately,
) -> Result<Summary, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let now = clock::now();
    let (hours, step) = lately.hours();
    let until = hour_of(now) + 1;
    // A step is whole or it would look like a lull.
    let since = (until - hours).div_euclid(step) * step;
    let figures = store.figures(&FigureSpan { account, since, until, step }).await?;
    let at = |hour: i64| UnixMillis(hour * HOUR_MS);
    let mut summary = Summary { since: at(since), until: now, step_hours: step, ..Summary::default() };
    let mut failures: BTreeMap<_, (u64, String)> = BTreeMap::new();
    for (mut key, found) in figures {
        if key.figure == Figure::Failed && key.detail == FailureReason::Cancelled.code() {
            key.figure = Figure::Cancelled;
        }
        *summary.over_time.entry(key.figure).or_default().entry(at(key.hour)).or_default() += found.amount;
        match key.figure {
            Figure::Answered => summary.answers.add(key.detail, found.amount),
            Figure::Failed => {
                let alike = failures.entry((key.account, key.detail, key.code)).or_default();
                alike.0 += found.amount;
                alike.1 = found.said.unwrap_or_default();
            }
            Figure::Accepted
            | Figure::Refused
            | Figure::Sent
            | Figure::Delivered
            | Figure::Read
            | Figure::Received
            | Figure::Replied
            | Figure::Told
            | Figure::NotTold
            | Figure::Cancelled => {}
        }
    }
    let told = |((account, reason, code), (messages, said))| Failures {
        account,
        reason: FailureReason::from_code(reason),
        code,
        said,
        messages,
    };
    summary.failures = failures.into_iter().map(told).collect();
    summary.failures.sort_by_key(|failures| std::cmp::Reverse(failures.messages));
    Ok(summary)
}
