//! How things stand now: what needs a person, and what each number has to do.

use std::sync::Arc;

use crate::{
    domain::{
        account::Sender,
        operator::{Actor, Permission},
    },
    services::{
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::{Store, alarms::AlarmRecord, overview::QueueOverview},
};

/// What somebody sees first.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What is wrong now, the newest first.
    pub alarms: Vec<AlarmRecord>,
    /// By number.
    pub numbers: Vec<(Arc<Sender>, QueueOverview)>,
}

/// Looks at it.
pub async fn standing(store: &Store, snapshot: &Snapshot, actor: &Actor) -> Result<Standing, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let mut alarms: Vec<AlarmRecord> = store.alarms().await?;
    alarms.retain(|alarm| alarm.over_at.is_none());
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.raised_at));
    let mut queues = store.queues().await?;
    let numbers = snapshot.senders().map(|sender| (sender.clone(), queues.remove(&sender.key).unwrap_or_default()));
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by(|(one, _), (other, _)| one.number.cmp(&other.number));
    Ok(Standing { alarms, numbers })
}
