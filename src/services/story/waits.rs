//! Why a message has not gone yet, and what ends that.

use std::fmt;

use crate::{
    domain::{
        account::{Account, Hold, Sender, UnknownOutcome},
        failure::FailureReason,
        messaging_limit::waits_for_place,
        outbound::{Category, SendState},
        queue::{RuleAction, Waiting},
        template::{TemplateStatus, Unresolved, resolve},
        time::UnixMillis,
        words::{ago, moment},
    },
    platforms,
    services::{
        alarms::conditions::is_refused_token,
        directory::owner_of,
        messaging_limit::{LimitUse, limit_use},
        queue::resume_command,
    },
    store::{Store, StoreError, configuration::Configuration, leases::LeaseKind, story::StoredMessage},
};

/// Something that a message waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    pub text: String,
    pub end: Option<End>,
}

/// How a person ends it.
#[derive(Clone, Debug)]
pub struct End {
    pub command: String,
    /// Whose page does the same; `None`: none does.
    pub of: Option<EndedAt>,
}

#[derive(Clone, Debug)]
pub enum EndedAt {
    /// By its id.
    Connection(String),
    /// The access token of this connection.
    Token(String),
    /// In E.164.
    Number(String),
    Campaign {
        account: String,
        campaign: String,
    },
}

impl From<String> for Wait {
    fn from(text: String) -> Self {
        Self { text, end: None }
    }
}

/// For those who have no page before them.
impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)?;
        self.end.as_ref().map_or(Ok(()), |end| write!(formatter, "; `{}`", end.command))
    }
}

/// All that a message waits for, in words; nothing when it is done or on its way.
pub async fn reasons(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    now: UnixMillis,
) -> Result<Vec<Wait>, StoreError> {
    let account = configuration.accounts.iter().find(|account| account.key == message.account);
    let sender = configuration.senders.iter().find(|sender| sender.key == message.sender);
    let (Some(account), Some(sender)) = (account, sender) else { return Ok(vec![]) };
    match message.state {
        SendState::Unknown => Ok(message.due_at.map(|at| for_evidence(account, at).into()).into_iter().collect()),
        SendState::Queued => in_the_queue(store, configuration, (account, sender), message, now).await,
        SendState::Sending | SendState::Submitted | SendState::Rejected | SendState::Expired | SendState::Cancelled => {
            Ok(vec![])
        }
    }
}

fn for_evidence(account: &Account, settled_at: UnixMillis) -> String {
    let then = match account.policy.unknown_outcome {
        UnknownOutcome::Resend => "sent again",
        UnknownOutcome::ReportFailed => "reported as failed",
    };
    format!("for a sign that it went out; without one it is {then} at {}", moment(settled_at))
}

async fn in_the_queue(
    store: &Store,
    configuration: &Configuration,
    (account, sender): (&Account, &Sender),
    message: &StoredMessage,
    now: UnixMillis,
) -> Result<Vec<Wait>, StoreError> {
    let number = sender.number.as_e164();
    let held = |what: &str, id: &str, hold: &Hold, of: EndedAt| Wait {
        text: format!("{what} {id} is on hold for {} {}: {}", ago(hold.since, now), hold.by_whom(), hold.reason),
        end: Some(End { command: format!("wabridge release {id}"), of: Some(of) }),
    };
    let mut reasons: Vec<Wait> = Vec::new();
    let of_number = sender.hold.as_ref();
    reasons.extend(of_number.map(|hold| held("number", number, hold, EndedAt::Number(number.to_owned()))));
    let id = &sender.connection.id;
    let of_connection = sender.connection.hold.as_ref();
    reasons.extend(of_connection.map(|hold| held("connection", id, hold, EndedAt::Connection(id.clone()))));
    let syncs = store.template_syncs().await?;
    let listing = syncs.get(&owner_of(sender)).and_then(|sync| sync.failure.as_ref());
    let is_about_this = |at: &UnixMillis| *at >= sender.connection.changed_at;
    if of_connection.is_none() && listing.is_some_and(|(at, why)| is_about_this(at) && is_refused_token(why)) {
        reasons.push(Wait {
            text: format!("the access token of connection {id} is refused"),
            end: Some(End {
                command: format!("wabridge check --connection {id}"),
                of: Some(EndedAt::Token(id.clone())),
            }),
        });
    }
    let ruled = rule(store, configuration, account, message, now).await?;
    let paused_aside = ruled.is_some();
    reasons.extend(ruled);
    reasons.extend(stopped_template(store, sender, message).await?.map(Wait::from));
    reasons.extend(quiet(account, message, now).map(Wait::from));
    let for_place = waits_for_place(message.due_at, message.expires_at);
    if for_place {
        reasons.push(place(store, configuration, sender, now).await?.into());
    }
    let set_aside = message.due_at == Some(message.expires_at);
    if set_aside && !paused_aside {
        reasons.push(
            "it was set aside, and no rule keeps it back any more: it is put back into the queue within seconds"
                .to_owned()
                .into(),
        );
    }
    if let Some(due_at) = message.due_at.filter(|due_at| *due_at > now && !set_aside && !for_place) {
        let what =
            if message.category == Category::NotKnownYet { "its template is looked up again" } else { "next try" };
        reasons.push(format!("{what} at {}: {}", moment(due_at), why_later(message)).into());
    }
    let leases = store.leases().await?;
    let owned = leases
        .iter()
        .any(|lease| lease.kind == LeaseKind::Sender.code() && lease.item == sender.key.0 && lease.owner.is_some());
    if !owned {
        reasons.push(format!("no server works on number {number}; start one").into());
    }
    if reasons.is_empty() {
        let ahead = store.ahead_in_queue(message).await?;
        let pace = sender.pace;
        let behind = match ahead {
            0 => "it is the next of its number".to_owned(),
            1 => format!("behind another at {pace} a second"),
            _ => format!("behind {ahead} others at {pace} a second"),
        };
        reasons.push(behind.into());
    }
    Ok(reasons)
}

fn quiet(account: &Account, message: &StoredMessage, now: UnixMillis) -> Option<String> {
    let until = account.policy.quiet_until(message.category.class(), now)?;
    let too_late = if message.expires_at <= until {
        format!("; it expires before that, at {}, and is then reported as failed", moment(message.expires_at))
    } else {
        String::new()
    };
    Some(format!("for the end of quiet hours at {}{too_late}", moment(until)))
}

/// A new person, and the number has written to as many as it may.
async fn place(
    store: &Store,
    configuration: &Configuration,
    sender: &Sender,
    now: UnixMillis,
) -> Result<String, StoreError> {
    let limits = limit_use(store, configuration.senders.iter(), &store.channels().await?, now).await?;
    let limit = limits.get(&sender.key).map_or_else(|| "it was lifted".to_owned(), LimitUse::told);
    Ok(format!("for a place within the messaging limit of its number: {limit}"))
}

/// The campaign that its platform's id names.
pub fn campaign_of(account: &Account, message: &StoredMessage) -> Option<String> {
    platforms::find(&account.platform)?.grouping(&message.platform_message_id).map(|grouping| grouping.campaign)
}

/// What rules of queues are held against.
pub(super) fn facts<'a>(message: &'a StoredMessage, campaign: Option<&'a str>) -> Waiting<'a> {
    Waiting {
        account: message.account,
        sender: message.sender,
        campaign,
        template: message.template.as_ref().map(|(name, language)| (name.as_str(), language.as_str())),
    }
}

/// The rule of an operator that keeps it back.
async fn rule(
    store: &Store,
    configuration: &Configuration,
    account: &Account,
    message: &StoredMessage,
    now: UnixMillis,
) -> Result<Option<Wait>, StoreError> {
    let campaign = campaign_of(account, message);
    let rules = store.queue_rules().await?;
    Ok(rules.verdict(&facts(message, campaign.as_deref()), now).map(|rule| {
        let filter = &rule.filter;
        let account = configuration.accounts.iter().find(|account| Some(account.key) == filter.account);
        let sender = configuration.senders.iter().find(|sender| Some(sender.key) == filter.sender);
        let command = resume_command([
            ("account", account.map(|account| account.id.as_str())),
            ("number", sender.map(|sender| sender.number.as_e164())),
            ("campaign", filter.campaign.as_deref()),
            ("template", filter.template.as_deref()),
            ("language", filter.language.as_deref()),
        ]);
        let word = match rule.action {
            RuleAction::Pause if rule.filter.is_template() => "its template is on hold",
            RuleAction::Pause => "paused",
            RuleAction::Cancel => "about to be cancelled, by a rule",
        };
        let ruled = account.zip(filter.campaign.as_ref());
        let of = ruled
            .map(|(account, campaign)| EndedAt::Campaign { account: account.id.clone(), campaign: campaign.clone() });
        Wait { text: format!("{word} for {}: {}", ago(rule.since, now), rule.reason), end: Some(End { command, of }) }
    }))
}

async fn stopped_template(
    store: &Store,
    sender: &Sender,
    message: &StoredMessage,
) -> Result<Option<String>, StoreError> {
    let Some((name, language)) = &message.template else { return Ok(None) };
    let mut lists = store.load_templates().await?;
    let templates = lists.remove(&owner_of(sender)).unwrap_or_default();
    Ok(match resolve(&templates, name, language) {
        Err(Unresolved::NotApproved { status: TemplateStatus::Paused, .. }) => {
            Some(format!("WhatsApp paused template {name} ({language}); it ends that by itself, or needs another text"))
        }
        Err(Unresolved::NotApproved { status, .. }) => {
            Some(format!("template {name} ({language}) is {status} at WhatsApp"))
        }
        Err(Unresolved::UnknownName { .. } | Unresolved::UnknownLanguage { .. }) | Ok(_) => None,
    })
}

fn why_later(message: &StoredMessage) -> String {
    match &message.failure {
        Some(failure) if failure.reason == FailureReason::TooManyToNumber => {
            format!("the limit for one person at this number: {}", failure.text)
        }
        Some(failure) => failure.text.clone(),
        None => "this person got many messages from this number lately, or its template was slowed down".to_owned(),
    }
}
