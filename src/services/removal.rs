//! Removing a connection, an account or a number: what goes with it, what stands in its way, and what can be done about that. The
//! same for the console and the API.
//!
//! An account takes its numbers with it; a connection goes when no number needs it. What still has work is not removed, and
//! nothing is given up for a removal by itself: who wants that cancels, or takes a callback URL out, and sees what is lost.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    apply::{self, Subject},
    configure::missing,
    directory::Directory,
    operators::{Refusal, require},
};
use crate::{
    domain::{
        account::Sender,
        callback::{EventKind, Subscription},
        ids::SubscriptionKey,
        operator::{Actor, Permission},
        words::counted,
    },
    store::{
        Store,
        audit::AuditEntry,
        configuration::{COUNTED_MAX, Configuration, Removal, RemovalWork, Removed},
    },
};

/// What a removal would take with it, and why it cannot be done now.
#[derive(Debug)]
pub struct Outlook {
    /// Of an account.
    pub numbers: Vec<String>,
    /// Nothing: it can.
    pub obstacle: Option<String>,
    /// Messages wait, which a person could cancel.
    pub has_queue: bool,
}

/// So many numbers are named where they are in the way.
const NUMBERS_NAMED_MAX: usize = 5;

/// Removes it. Other instances hear of it within a second or two.
pub async fn remove(store: &Store, directory: &Directory, actor: &Actor, subject: &Subject) -> Result<(), Refusal> {
    require(actor, Permission::ManageConfiguration)?;
    let mut names = Names::default();
    let decide = |stored: &Configuration| {
        let removal = plan(stored, actor, subject)?;
        names = names_of(stored);
        Ok::<_, Refusal>(removal)
    };
    match store.remove(decide).await?? {
        Removed::Done => Ok(directory.reload_configuration().await?),
        Removed::HasWork(work) => Err(Refusal::Conflict(told(subject, &work, &names))),
        Removed::Busy => {
            let text = "the database is busy with all messages, as while it is tidied up: nothing is removed; try again in a moment";
            Err(Refusal::Conflict(text.to_owned()))
        }
    }
}

/// What [`remove`] would do now.
pub async fn look(store: &Store, actor: &Actor, subject: &Subject) -> Result<Outlook, Refusal> {
    require(actor, Permission::ManageConfiguration)?;
    let stored = store.load_configuration().await?;
    let removal = match plan(&stored, actor, subject) {
        Ok(removal) => removal,
        Err(Refusal::Conflict(text)) => return Ok(Outlook { numbers: vec![], obstacle: Some(text), has_queue: false }),
        Err(refusal) => return Err(refusal),
    };
    let work = store.removal_work(&stored, &removal).await?;
    let senders = stored.senders.iter().filter(|sender| removal.senders.contains(&sender.key));
    Ok(Outlook {
        numbers: senders.map(|sender| sender.number.as_e164().to_owned()).collect(),
        has_queue: work.queued > 0,
        obstacle: (!work.is_none()).then(|| told(subject, &work, &names_of(&stored))),
    })
}

fn plan(stored: &Configuration, actor: &Actor, subject: &Subject) -> Result<Removal, Refusal> {
    let senders_with = |has: &dyn Fn(&Sender) -> bool| -> Vec<&Sender> {
        stored.senders.iter().filter(|sender| has(sender)).collect()
    };
    let mut removal = Removal::default();
    let senders = match subject {
        Subject::Connection(id) => {
            let connection = stored.connection(id).ok_or_else(|| missing(subject))?;
            let senders = senders_with(&|sender| sender.connection.key == connection.key);
            if !senders.is_empty() {
                return Err(Refusal::Conflict(still_needed(subject, &senders)));
            }
            removal.connection = Some(connection.key);
            senders
        }
        Subject::Account(id) => {
            let account = stored.account(id).ok_or_else(|| missing(subject))?;
            removal.account = Some(account.key);
            senders_with(&|sender| sender.account == account.key)
        }
        Subject::Sender(number) => {
            let sender = stored.sender(number).ok_or_else(|| missing(subject))?;
            vec![sender]
        }
    };
    removal.senders = senders.iter().map(|sender| sender.key).collect();
    let with_it = senders.iter().map(|sender| Subject::Sender(sender.number.clone()));
    let with_it = with_it.filter(|number| number != subject);
    let all: Vec<Subject> = with_it.chain([subject.clone()]).collect();
    removal.audit = all.iter().map(|subject| audited(stored, actor, subject)).collect();
    Ok(removal)
}

/// As it was, without secrets.
fn audited(stored: &Configuration, actor: &Actor, subject: &Subject) -> AuditEntry {
    let (action, name) = match subject {
        Subject::Connection(id) => ("remove connection", id.as_str()),
        Subject::Account(id) => ("remove account", id.as_str()),
        Subject::Sender(number) => ("remove number", number.as_e164()),
    };
    let was = apply::stated(stored, subject).map_or(Json::Null, |fields| {
        let (mut shown, secrets) = apply::blanked(subject, &fields);
        shown.extend(secrets.into_iter().map(|(key, told)| (key, json!(told))));
        shown.into()
    });
    AuditEntry::new(actor, action, name).before(was)
}

fn still_needed(subject: &Subject, senders: &[&Sender]) -> String {
    let named = senders.iter().take(NUMBERS_NAMED_MAX).map(|sender| sender.number.as_e164());
    let named = named.collect::<Vec<_>>().join(", ");
    let others = senders.len().saturating_sub(NUMBERS_NAMED_MAX);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!(
        "{subject} is needed by {named}{others}: remove these numbers first, or let them go through another connection"
    )
}

/// What callback URLs are called where people read it.
type Names = BTreeMap<SubscriptionKey, String>;

fn names_of(stored: &Configuration) -> Names {
    let name = |subscription: &Subscription| match (&subscription.webhook, subscription.kind) {
        (Some(webhook), _) => format!("webhook {}", webhook.name),
        (None, EventKind::Inbound) => "the inbound message callback URL".to_owned(),
        (None, EventKind::Status | EventKind::Notice | EventKind::Outgoing | EventKind::Person) => {
            "the delivery report callback URL".to_owned()
        }
    };
    stored.all_subscriptions().map(|subscription| (subscription.key, name(subscription))).collect()
}

/// What is still to be done, and what helps.
fn told(subject: &Subject, work: &RemovalWork, names: &Names) -> String {
    let RemovalWork { queued, sending, unknown, files, owed } = work;
    let (mut has, mut helps) = (Vec::new(), Vec::new());
    if *queued > 0 {
        has.push(many(*queued, "message waits", "messages wait"));
        helps.push("let them be sent, or cancel them");
    }
    if *sending > 0 {
        has.push(format!("{} being sent", many(*sending, "message is", "messages are")));
    }
    if *unknown > 0 {
        has.push(format!("the outcome of {} is not known yet", many(*unknown, "message", "messages")));
    }
    if *files > 0 {
        has.push(format!("{} not copied yet", many(*files, "file from a person is", "files from people are")));
    }
    if *sending + *unknown + *files > 0 {
        helps.push("wait until that is done");
    }
    let mut by_name: BTreeMap<&str, i64> = BTreeMap::new();
    for (key, events) in owed {
        *by_name.entry(names.get(key).map_or("a callback URL", String::as_str)).or_default() += *events;
    }
    has.extend(by_name.iter().map(|(name, events)| format!("{name} is owed {}", many(*events, "event", "events"))));
    if by_name.keys().any(|name| !name.starts_with("webhook")) {
        helps.push("let the callback URL be told, or take it out, and what it is owed is not told");
    }
    if by_name.keys().any(|name| name.starts_with("webhook")) {
        helps.push("let the webhook be told, or leave the account out of its filter, or switch it off");
    }
    format!("{subject} is not removed yet: {}. First {}", has.join(", "), helps.join("; "))
}

fn many(count: i64, one: &str, several: &str) -> String {
    match u64::try_from(count) {
        Ok(count) if count >= COUNTED_MAX => format!("{COUNTED_MAX} {several} or more"),
        Ok(_) | Err(_) => counted(count, one, several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_way_is_told_with_what_helps() {
        let subject = Subject::Account("acme".to_owned());
        let names = Names::from([
            (SubscriptionKey(1), "the delivery report callback URL".to_owned()),
            (SubscriptionKey(2), "webhook crm".to_owned()),
        ]);
        let work =
            RemovalWork { queued: 1, unknown: 2, owed: vec![(SubscriptionKey(1), 10_000)], ..RemovalWork::default() };
        assert_eq!(
            told(&subject, &work, &names),
            "account acme is not removed yet: 1 message waits, the outcome of 2 messages is not known yet, the delivery report \
             callback URL is owed 10000 events or more. First let them be sent, or cancel them; wait \
             until that is done; let the callback URL be told, or take it out, and what it is owed is not told"
        );
        let work = RemovalWork { owed: vec![(SubscriptionKey(2), 1)], ..RemovalWork::default() };
        let text = told(&subject, &work, &names);
        assert!(text.contains("webhook crm is owed 1 event.") && text.contains("out of its filter"), "{text}");
    }
}
