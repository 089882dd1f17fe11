//! Stopping what waits of a campaign: kept back until it goes on, or cancelled behind the answer.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{CAMPAIGN_CHARS_MAX, Campaigns, counting::made_at};
use crate::{
    domain::{
        account::Account,
        ids::{AccountKey, SenderKey},
        operator::{Actor, Permission},
        queue::{QueueFilter, QueueRule, QueueRules, RuleAction, Waiting},
        time::UnixMillis,
    },
    services::{
        directory::Snapshot,
        operators::{Refusal, require},
        queue,
    },
    store::{
        Store, StoreError,
        audit::AuditEntry,
        campaign_cancels::{CampaignCancel, CancelJob},
        search::MessageSearch,
    },
    telemetry,
};

/// Campaigns that are cancelled at the same time.
const CANCELS_AT_ONCE_MAX: i64 = 4;
/// Between two notes of how many are cancelled.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Looking whether there is such a campaign; what takes longer is believed.
const LOOKS_FOR_MAX: Duration = Duration::from_secs(2);

impl Campaigns {
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
