//! What waits, as text and as JSON.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

use serde::Serialize;
use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::{
        account::{Account, Sender},
        ids::{AccountKey, SenderKey},
        queue::{QueueFilter, QueueRule, QueueRules, RuleAction, RuleEnd, Waiting},
        time::UnixMillis,
        words::moment,
    },
    services::{
        messaging_limit::{LimitUse, limit_use},
        queue::{Alike, Tally},
    },
    settings::Settings,
    store::{Store, configuration::Configuration},
};

use super::{Groups, ListArguments, answer, answer_json, survey};
use crate::cli::{counted, report::Moment, status::ago};

pub(super) async fn list(
    settings: &Settings,
    store: &Store,
    configuration: &Configuration,
    arguments: &ListArguments,
) -> anyhow::Result<ExitCode> {
    let filter = arguments.selection.filter(configuration)?;
    let groups = survey(store, configuration, &filter).await?;
    let rules = store.queue_rules().await?;
    let now = clock::now();
    // Those that ended may not have been put away yet.
    let (shown, ended): (Vec<_>, Vec<_>) = rules.0.iter().cloned().partition(|rule| rule.holds(now));
    let mut shown = shown;
    if arguments.all {
        shown.extend(ended);
        shown.extend(store.done_queue_rules().await?);
    }
    let limits = limit_use(store, configuration.senders.iter(), &store.channels().await?, now).await?;
    let view = View { configuration, groups, rules, shown, limits, pace_share: settings.send.pace_share, now };
    if arguments.json {
        answer_json(&view.json())?;
    } else {
        answer(&view.text()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct View<'a> {
    configuration: &'a Configuration,
    groups: Groups,
    rules: QueueRules,
    /// Those to list.
    shown: Vec<QueueRule>,
    /// How the numbers stand whose messaging limit is counted.
    limits: BTreeMap<SenderKey, LimitUse>,
    pace_share: f64,
    now: UnixMillis,
}

impl View<'_> {
    /// Groups by number, those with most messages first.
    fn by_number(&self) -> Vec<(&Sender, Vec<(&Alike, &Tally)>)> {
        let mut numbers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (alike, tally) in &self.groups {
            numbers.entry(alike.sender).or_default().push((alike, tally));
        }
        let senders = self.configuration.senders.iter();
        senders
            .filter_map(|sender| {
                let mut groups = numbers.remove(&sender.key)?;
                groups.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.messages()));
                Some((sender, groups))
            })
            .collect()
    }

    /// At the number's pace, when nothing else is in the way.
    fn seconds(&self, sender: &Sender, messages: u64) -> u64 {
        let per_second = (f64::from(sender.messages_per_second) * self.pace_share).max(f64::MIN_POSITIVE);
        (messages as f64 / per_second).ceil() as u64
    }

    fn verdict(&self, alike: &Alike) -> Option<&QueueRule> {
        let template = alike.template.as_ref().map(|(name, language)| (name.as_str(), language.as_str()));
        let campaign = alike.campaign.as_deref();
        self.rules.verdict(&Waiting { account: alike.account, sender: alike.sender, campaign, template }, self.now)
    }

    fn quiet_until(&self, alike: &Alike) -> Option<UnixMillis> {
        self.account(alike.account)?.policy.quiet_until(alike.class, self.now)
    }

    fn account(&self, key: AccountKey) -> Option<&Account> {
        self.configuration.accounts.iter().find(|account| account.key == key)
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let numbers = self.by_number();
        if numbers.is_empty() {
            writeln!(text, "nothing waits")?;
        }
        for (sender, groups) in numbers {
            let account = self.configuration.accounts.iter().find(|account| account.key == sender.account);
            let queued: u64 = groups.iter().map(|(_, tally)| tally.queued).sum();
            let held = sender.hold.as_ref().or(sender.connection.hold.as_ref());
            writeln!(
                text,
                "{} of {}: {queued} to send, {} at {} a second{}",
                sender.number.as_e164(),
                account.map_or("?", |account| account.id.as_str()),
                lasts(self.seconds(sender, queued)),
                sender.messages_per_second,
                held.map_or_else(String::new, |hold| format!("; ON HOLD {}: {}", hold.by_whom(), hold.reason)),
            )?;
            for (alike, tally) in groups {
                self.tell_group(sender, alike, tally, &mut text)?;
            }
        }
        tell_rules(&self.rule_reports(), self.now, &mut text)?;
        Ok(text)
    }

    fn tell_group(&self, sender: &Sender, alike: &Alike, tally: &Tally, text: &mut String) -> anyhow::Result<()> {
        write!(text, "  {}: {}", group_name(alike), counted(tally.messages(), "message", "messages"))?;
        let parts = [
            (tally.queued, format!("{} to send, {}", tally.queued, lasts(self.seconds(sender, tally.queued)))),
            (tally.later, format!("{} later", tally.later)),
            (tally.paused, format!("{} paused", tally.paused)),
            (tally.beyond_limit, format!("{} beyond the messaging limit", tally.beyond_limit)),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, part)| part).collect();
        writeln!(text, " ({})", parts.join("; "))?;
        let expiry = if tally.first_expiry > self.now {
            format!("in {}", ago(self.now, tally.first_expiry))
        } else {
            "now".to_owned()
        };
        writeln!(text, "    oldest {} ago, the first expires {expiry}", ago(tally.oldest, self.now))?;
        if let Some(until) = self.quiet_until(alike) {
            let too_late = if tally.first_expiry <= until { "; the first expires before that" } else { "" };
            writeln!(text, "    waits for the end of quiet hours at {}{too_late}", moment(until))?;
        }
        if tally.beyond_limit > 0
            && let Some(limit) = self.limits.get(&alike.sender)
        {
            writeln!(text, "    {}", limit.told())?;
        }
        if let Some(rule) = self.verdict(alike) {
            let word = match rule.action {
                RuleAction::Pause if rule.filter.is_template() => "ON HOLD",
                RuleAction::Pause => "PAUSED",
                RuleAction::Cancel => "CANCELLED",
            };
            writeln!(text, "    {word} for {}: {}", ago(rule.since, self.now), rule.reason)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let numbers: Vec<Value> = self
            .by_number()
            .into_iter()
            .map(|(sender, groups)| {
                let account = self.configuration.accounts.iter().find(|account| account.key == sender.account);
                let queued: u64 = groups.iter().map(|(_, tally)| tally.queued).sum();
                json!({
                    "number": sender.number.as_e164(),
                    "account": account.map(|account| &account.id),
                    "messages_per_second": sender.messages_per_second,
                    "on_hold": sender.hold.is_some() || sender.connection.hold.is_some(),
                    "queued": queued,
                    "seconds_left": self.seconds(sender, queued),
                    "groups": groups.iter().map(|(alike, tally)| self.json_group(sender, alike, tally)).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({"numbers": numbers, "rules": self.rule_reports()})
    }

    fn rule_reports(&self) -> Vec<RuleReport> {
        self.shown.iter().map(|rule| RuleReport::of(self.configuration, rule, self.now)).collect()
    }

    fn json_group(&self, sender: &Sender, alike: &Alike, tally: &Tally) -> Value {
        let (template, language) = alike.template.clone().unzip();
        json!({
            "campaign": alike.campaign,
            "template": template,
            "language": language,
            "messages": tally.messages(),
            "queued": tally.queued,
            "later": tally.later,
            "paused": tally.paused,
            "beyond_limit": tally.beyond_limit,
            "seconds_left": self.seconds(sender, tally.queued),
            "oldest": tally.oldest.to_string(),
            "first_expiry": tally.first_expiry.to_string(),
            "quiet_until": self.quiet_until(alike).map(|until| until.to_string()),
            "rule": self.verdict(alike).map(|rule| rule.action),
        })
    }
}

/// A rule, for people and for programs.
#[derive(Serialize)]
pub(crate) struct RuleReport {
    action: RuleAction,
    /// What it is about, in words.
    of: String,
    account: Option<String>,
    number: Option<String>,
    campaign: Option<String>,
    template: Option<String>,
    language: Option<String>,
    reason: String,
    since: Moment,
    ends_at: Option<Moment>,
    in_force: bool,
    ended_at: Option<Moment>,
    /// What ended it.
    ended_by: Option<RuleEnd>,
}

impl RuleReport {
    pub(crate) fn of(configuration: &Configuration, rule: &QueueRule, now: UnixMillis) -> Self {
        let filter = &rule.filter;
        let (ended_at, ended_by) = rule.end(now).unzip();
        let account = configuration.accounts.iter().find(|account| Some(account.key) == filter.account);
        let sender = configuration.senders.iter().find(|sender| Some(sender.key) == filter.sender);
        Self {
            action: rule.action,
            of: name(configuration, filter),
            account: account.map(|account| account.id.clone()),
            number: sender.map(|sender| sender.number.as_e164().to_owned()),
            campaign: filter.campaign.clone(),
            template: filter.template.clone(),
            language: filter.language.clone(),
            reason: rule.reason.clone(),
            since: Moment(rule.since),
            ends_at: rule.ends_at.map(Moment),
            in_force: ended_at.is_none(),
            ended_at: ended_at.map(Moment),
            ended_by,
        }
    }
}

impl RuleReport {
    /// Templates are on hold and released, parts of queues paused and resumed.
    fn is_template(&self) -> bool {
        self.template.is_some() && self.campaign.is_none()
    }

    fn state(&self) -> &'static str {
        match self.action {
            RuleAction::Pause if self.is_template() => "on hold",
            RuleAction::Pause => "paused",
            RuleAction::Cancel => "what arrives is cancelled",
        }
    }
}

/// Rules, each as a line; nothing when there are none.
pub(crate) fn tell_rules(rules: &[RuleReport], now: UnixMillis, text: &mut String) -> std::fmt::Result {
    if !rules.is_empty() {
        writeln!(text, "\nRULES OF QUEUES")?;
    }
    for rule in rules {
        let (of, state, reason) = (&rule.of, rule.state(), &rule.reason);
        match (&rule.ended_at, rule.ended_by) {
            (Some(ended), Some(by)) => {
                let by = match by {
                    RuleEnd::Operator if rule.is_template() => "released by an operator",
                    RuleEnd::Operator => "resumed by an operator",
                    RuleEnd::Time => "its time was over",
                };
                let (lasted, since) = (ago(rule.since.0, ended.0), ago(ended.0, now));
                writeln!(text, "  {of}: ENDED {since} ago ({by}); {state} for {lasted}: {reason}")?;
            }
            (_, _) => {
                let end = rule.ends_at.as_ref().map_or_else(String::new, |at| format!(", for {} more", ago(now, at.0)));
                writeln!(text, "  {of}: {state} since {} ago{end}: {reason}", ago(rule.since.0, now))?;
            }
        }
    }
    Ok(())
}

/// What a filter means, in words.
pub(super) fn name(configuration: &Configuration, filter: &QueueFilter) -> String {
    let account = configuration.accounts.iter().find(|account| Some(account.key) == filter.account);
    let sender = configuration.senders.iter().find(|sender| Some(sender.key) == filter.sender);
    let language = filter.language.as_ref().map_or_else(String::new, |language| format!(" ({language})"));
    let parts = [
        filter.campaign.as_ref().map(|campaign| format!("campaign {campaign}")),
        filter.template.as_ref().map(|template| format!("template {template}{language}")),
        sender.map(|sender| format!("number {}", sender.number.as_e164())),
        account.map(|account| format!("account {}", account.id)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

fn group_name(alike: &Alike) -> String {
    let campaign = alike.campaign.as_ref().map_or_else(|| "no campaign".to_owned(), |name| format!("campaign {name}"));
    match &alike.template {
        Some((name, language)) => format!("{campaign}, template {name} ({language})"),
        None => format!("{campaign}, freeform"),
    }
}

fn lasts(seconds: u64) -> String {
    ago(UnixMillis(0), UnixMillis::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
