//! What operators do with parts of the queues: look, cancel, and let go on.
//!
//! Pausing is a rule and nothing else. The owner of a number sets aside what it reads and a rule covers; what is taken in
//! while the rule stands waits aside from the start. Aside means: due when it expires. So a paused million costs one
//! write each and is not looked at again before it expires or is let go on; what stands behind it in the queue moves up.
//!
//! Letting go on takes two steps, because an instance may not have heard of it yet and set more aside: the rule
//! is marked as released, then a housekeeper puts back what it covers until all instances must have heard, and puts it away.
//!
//! Cancelling is done at once, in small steps, beside a running server: a message is cancelled in the table, and
//! the owner that has it in memory cannot mark it as being sent any more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    directory::{Directory, owner_of},
    operators::{Refusal, require},
};
use crate::{
    clock,
    domain::{
        account::Sender,
        ids::{AccountKey, MessageId, SenderKey},
        messaging_limit::waits_for_place,
        operator::{Actor, Permission},
        outbound::Class,
        queue::{QueueFilter, QueueRule, QueueRules, RuleAction},
        time::UnixMillis,
    },
    store::{
        Store, StoreError,
        audit::AuditEntry,
        queue::{QueuePlace, WaitingMessage},
        queue_rules::QUEUE_RULES_MAX,
        wakeups::Wakeups,
    },
};

/// Messages read by one step of a walk through the queues.
const SLICE_MESSAGES: usize = 2_000;
/// Messages changed by one commit. Whoever takes messages in waits for it.
const STEP_MESSAGES: usize = 500;
/// Between two commits, so that others come to theirs.
const STEP_PAUSE: Duration = Duration::from_millis(5);
/// Messages come back from a failed send while others are cancelled: so often the queues are walked through.
const CANCEL_WALKS_MAX: usize = 5;
/// After this time every instance has heard of a released rule: they look each second.
const RELEASE_HEARD_AFTER: Duration = Duration::from_secs(10);

/// Whoever cancels a campaign while it is still being handed over means the rest of it too. A platform is done with that within a day.
const AND_NEW_LASTS: Duration = Duration::from_secs(24 * 3600);
/// Reasons stand in lists, and go to the platform.
pub const REASON_CHARS_MAX: usize = 200;

/// Templates that are named to somebody who named another.
const TEMPLATES_NAMED_MAX: usize = 20;

/// The command that ends a rule, by what the rule names. Templates are on hold and released, parts of queues paused and resumed.
pub fn resume_command(named: [(&str, Option<&str>); 5]) -> String {
    let has = |wanted: &str| named.iter().any(|(option, value)| *option == wanted && value.is_some());
    let command = if has("template") && !has("campaign") { "release" } else { "queue resume" };
    let options: String =
        named.into_iter().filter_map(|(option, value)| Some(format!(" --{option} {}", value?))).collect();
    format!("wabridge {command}{options}")
}

/// Keeps back what a filter covers, now and later. Gives back the same rule when it stood already: it goes on, with the new
/// reason. `what` is the filter in words.
pub async fn pause(
    store: &Store,
    actor: &Actor,
    filter: &QueueFilter,
    what: &str,
    reason: &str,
) -> Result<Option<QueueRule>, Refusal> {
    require(actor, Permission::ManageQueues)?;
    let now = clock::now();
    let same = |rule: &QueueRule| rule.action == RuleAction::Pause && rule.filter == *filter && rule.holds(now);
    let before = store.queue_rules().await?.0.into_iter().find(same);
    if before.as_ref().is_none_or(|before| before.reason != reason) {
        let since = before.as_ref().map_or(now, |before| before.since);
        let entry = AuditEntry::new(actor, "pause", what).after(json!({"reason": reason}));
        let entry = match &before {
            Some(before) => entry.before(json!({"reason": before.reason})),
            None => entry,
        };
        let added = store.add_queue_rule(RuleAction::Pause, filter, reason, (since, None), &entry).await?;
        if !added {
            return Err(too_many_rules());
        }
    }
    Ok(before)
}

/// Ends rules; says how many were still standing.
pub async fn resume(store: &Store, actor: &Actor, ended: &[&QueueRule], what: &str) -> Result<u64, Refusal> {
    require(actor, Permission::ManageQueues)?;
    let keys: Vec<i32> = ended.iter().map(|rule| rule.key).collect();
    let reasons: Vec<&str> = ended.iter().map(|rule| rule.reason.as_str()).collect();
    let entry = AuditEntry::new(actor, "resume", what)
        .before(json!({"rules": keys.len(), "reasons": reasons.join("; ")}))
        .after(json!({"rules": 0}));
    Ok(store.release_queue_rules(&keys, clock::now(), &entry).await?)
}

/// Cancels what arrives of a part of the queues within the next day.
pub async fn cancel_new(store: &Store, filter: &QueueFilter, reason: &str, entry: &AuditEntry) -> Result<(), Refusal> {
    let now = clock::now();
    let lasts = (now, Some(now.plus(AND_NEW_LASTS)));
    let added = store.add_queue_rule(RuleAction::Cancel, filter, reason, lasts, entry).await?;
    if added { Ok(()) } else { Err(too_many_rules()) }
}

fn too_many_rules() -> Refusal {
    Refusal::Conflict(format!("there are {QUEUE_RULES_MAX} rules already: end some by `wabridge queue resume`"))
}

/// Messages that wait alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alike {
    pub account: AccountKey,
    pub sender: SenderKey,
    pub class: Class,
    pub campaign: Option<String>,
    pub template: Option<(String, String)>,
}

/// How many of them, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// In the queue.
    pub queued: u64,
    /// Waiting for a retry, or for somebody.
    pub later: u64,
    /// Set aside until they expire, because somebody paused them.
    pub paused: u64,
    /// Waiting for a place within the messaging limit.
    pub beyond_limit: u64,
    pub oldest: UnixMillis,
    pub first_expiry: UnixMillis,
}

impl Tally {
    pub fn messages(&self) -> u64 {
        self.queued + self.later + self.paused + self.beyond_limit
    }
}

/// Counts what waits and a filter covers. `step` is told how many messages were looked at.
pub async fn survey(
    store: &Store,
    senders: &[SenderKey],
    filter: &QueueFilter,
    rules: &QueueRules,
    mut step: impl FnMut(u64),
) -> Result<BTreeMap<Alike, Tally>, StoreError> {
    let now = clock::now();
    let mut groups = BTreeMap::new();
    for sender in senders.iter().copied() {
        let mut place = Some(QueuePlace::START);
        while let Some(from) = place {
            let (messages, next) = store.waiting_slice(sender, from, SLICE_MESSAGES).await?;
            step(messages.len() as u64);
            for message in messages.into_iter().filter(|message| filter.covers(&message.facts())) {
                count(&mut groups, message, rules, now);
            }
            place = next;
        }
    }
    Ok(groups)
}

fn count(groups: &mut BTreeMap<Alike, Tally>, message: WaitingMessage, rules: &QueueRules, now: UnixMillis) {
    let paused = message.is_aside() && rules.pauses(&message.facts(), now);
    let beyond_limit = waits_for_place(message.due_at, message.expires_at);
    let (queued, made_at, expires_at) = (message.due_at.is_none(), message.id.made_at(), message.expires_at);
    let WaitingMessage { account, sender, class, campaign, template, .. } = message;
    let tally = groups.entry(Alike { account, sender, class, campaign, template }).or_insert(Tally {
        queued: 0,
        later: 0,
        paused: 0,
        beyond_limit: 0,
        oldest: made_at,
        first_expiry: expires_at,
    });
    tally.queued += u64::from(queued);
    tally.paused += u64::from(paused);
    tally.beyond_limit += u64::from(beyond_limit);
    tally.later += u64::from(!queued && !paused && !beyond_limit);
    tally.oldest = tally.oldest.min(made_at);
    tally.first_expiry = tally.first_expiry.min(expires_at);
}

/// Cancels what waits and a filter covers; gives back how many messages. `step` is told of each step's.
pub async fn cancel(
    store: &Store,
    senders: &[SenderKey],
    filter: &QueueFilter,
    reason: &str,
    mut step: impl FnMut(u64),
) -> Result<u64, StoreError> {
    let mut cancelled = 0;
    for _ in 0..CANCEL_WALKS_MAX {
        let mut found = 0;
        for sender in senders.iter().copied() {
            let mut place = Some(QueuePlace::START);
            while let Some(from) = place {
                let (messages, next) = store.waiting_slice(sender, from, SLICE_MESSAGES).await?;
                let covered: Vec<MessageId> = covered(&messages, filter).map(|message| message.id).collect();
                found += covered.len();
                for some in covered.chunks(STEP_MESSAGES) {
                    let done = store.cancel_waiting(some, reason).await? as u64;
                    cancelled += done;
                    step(done);
                    tokio::time::sleep(STEP_PAUSE).await;
                }
                place = next;
            }
        }
        if found == 0 {
            break;
        }
    }
    Ok(cancelled)
}

fn covered<'a>(messages: &'a [WaitingMessage], filter: &QueueFilter) -> impl Iterator<Item = &'a WaitingMessage> {
    messages.iter().filter(move |message| filter.covers(&message.facts()))
}

/// Why a filter may mean something else than its writer thinks, in words: nothing is known of its template, or nothing of its
/// campaign waits now. A rule for it is made all the same, because both may come later.
pub async fn doubt(store: &Store, senders: &[&Sender], filter: &QueueFilter) -> Result<Option<String>, StoreError> {
    if let Some(wanted) = &filter.template {
        let listed = listed(store, senders).await?;
        if !is_listed(&listed, wanted, filter.language.as_deref()) {
            return Ok(Some(not_listed(&listed, wanted, filter.language.as_deref())));
        }
    }
    let Some(campaign) = &filter.campaign else { return Ok(None) };
    for sender in senders {
        let mut place = Some(QueuePlace::START);
        while let Some(from) = place {
            let (messages, next) = store.waiting_slice(sender.key, from, SLICE_MESSAGES).await?;
            if covered(&messages, filter).next().is_some() {
                return Ok(None);
            }
            place = next;
        }
    }
    Ok(Some(format!("nothing of campaign {campaign} waits now: it is the second part of CleverTap's msgId")))
}

/// Names and languages of the templates at these numbers, each once.
async fn listed(store: &Store, senders: &[&Sender]) -> Result<BTreeSet<(String, String)>, StoreError> {
    let lists = store.load_templates().await?;
    let templates = senders.iter().filter_map(|sender| lists.get(&owner_of(sender))).flatten();
    Ok(templates.map(|template| (template.name.clone(), template.language.clone())).collect())
}

fn is_listed(listed: &BTreeSet<(String, String)>, wanted: &str, language: Option<&str>) -> bool {
    listed.iter().any(|(name, spelling)| {
        name.eq_ignore_ascii_case(wanted) && language.is_none_or(|language| spelling.eq_ignore_ascii_case(language))
    })
}

/// Says what is in the lists instead: of a template that is there in other languages these, else the names.
fn not_listed(listed: &BTreeSet<(String, String)>, wanted: &str, language: Option<&str>) -> String {
    let spelling = language.map_or_else(String::new, |language| format!(" ({language})"));
    let same = listed.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let others: BTreeSet<&str> = match is_listed(listed, wanted, None) {
        true => same.map(|(_, language)| language.as_str()).collect(),
        false => listed.iter().map(|(name, _)| name.as_str()).collect(),
    };
    let shown = others.iter().take(TEMPLATES_NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = match others.len().saturating_sub(TEMPLATES_NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let there = if others.is_empty() { "they are empty".to_owned() } else { format!("there are {shown}{more}") };
    format!(
        "{wanted}{spelling} is not in the template lists that were read from WhatsApp for the numbers that are meant; {there} \
         (`wabridge sync` reads them again)"
    )
}

/// The numbers at which messages that a filter covers may wait.
pub fn in_scope<'a>(senders: impl IntoIterator<Item = &'a Sender>, filter: &QueueFilter) -> Vec<SenderKey> {
    let fits = |sender: &&Sender| {
        filter.sender.is_none_or(|key| key == sender.key) && filter.account.is_none_or(|key| key == sender.account)
    };
    senders.into_iter().filter(fits).map(|sender| sender.key).collect()
}

/// Ends what is at its end among the rules; works under the lease of the housekeeping.
pub struct QueueKeeper {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub wakeups: Arc<Wakeups>,
    /// When released rules were first seen.
    pub released: HashMap<i32, Instant>,
}

impl QueueKeeper {
    /// Puts back what released rules kept, and removes the rules that are done with. `may_go` says whether to go on.
    pub async fn round(&mut self, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
        let rules = self.directory.queue_rules();
        let now = clock::now();
        let mut done_with = Vec::new();
        for rule in &rules.0 {
            if rule.released_at.is_some() {
                let seen_at = *self.released.entry(rule.key).or_insert_with(Instant::now);
                // Looked at before the walk: what is set aside during it is found by the next one.
                let heard = seen_at.elapsed() >= RELEASE_HEARD_AFTER;
                if self.put_back(rule, &rules, may_go).await? && heard {
                    done_with.push(rule.key);
                }
            } else if !rule.holds(now) {
                done_with.push(rule.key);
            }
        }
        self.store.put_away_queue_rules(&done_with, now).await?;
        self.released.retain(|key, _| rules.0.iter().any(|rule| rule.key == *key) && !done_with.contains(key));
        Ok(())
    }

    /// `false` when it had to stop before the end.
    async fn put_back(
        &self,
        rule: &QueueRule,
        rules: &QueueRules,
        may_go: &impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let snapshot = self.directory.snapshot();
        let now = clock::now();
        let kept = |message: &&WaitingMessage| {
            message.is_aside() && message.expires_at > now && !rules.pauses(&message.facts(), now)
        };
        for sender in in_scope(snapshot.senders().map(Arc::as_ref), &rule.filter) {
            let mut place = Some(QueuePlace::ASIDE);
            while let Some(from) = place {
                let (messages, next) = self.store.waiting_slice(sender, from, SLICE_MESSAGES).await?;
                let back: Vec<MessageId> =
                    covered(&messages, &rule.filter).filter(kept).map(|message| message.id).collect();
                for some in back.chunks(STEP_MESSAGES) {
                    if !may_go() {
                        return Ok(false);
                    }
                    self.store.put_back(some).await?;
                    tokio::time::sleep(STEP_PAUSE).await;
                }
                if !back.is_empty() {
                    self.wakeups.ring_sender(sender, None);
                }
                place = next;
            }
        }
        Ok(true)
    }
}
