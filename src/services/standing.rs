//! How things stand now: what needs a person, and what each number has to do.

use std::{sync::Arc, time::Duration};

use crate::{
    clock,
    domain::{
        account::Sender,
        operator::{Actor, Permission},
    },
    services::{
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::{Store, activity::Tally, alarms::AlarmRecord, overview::QueueOverview},
};

/// What numbers did within this is told beside what they have to do.
pub const LATELY: Duration = Duration::from_secs(15 * 60);

/// What somebody sees first.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What is wrong now, the newest first.
    pub alarms: Vec<AlarmRecord>,
    /// By number.
    pub numbers: Vec<NumberStanding>,
}

/// How a number stands.
#[derive(Clone, Debug)]
pub struct NumberStanding {
    pub sender: Arc<Sender>,
    pub queue: QueueOverview,
    /// What it did within [`LATELY`].
    pub lately: Tally,
}

/// Looks at it.
pub async fn standing(store: &Store, snapshot: &Snapshot, actor: &Actor) -> Result<Standing, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let mut alarms: Vec<AlarmRecord> = store.alarms().await?;
    alarms.retain(|alarm| alarm.over_at.is_none());
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.raised_at));
    let mut queues = store.queues().await?;
    let lately = store.activity_since(clock::now().minus(LATELY)).await?;
    let number = |sender: &Arc<Sender>| NumberStanding {
        sender: sender.clone(),
        queue: queues.remove(&sender.key).unwrap_or_default(),
        lately: lately.get(&sender.key).copied().unwrap_or_default(),
    };
    let mut numbers: Vec<_> = snapshot.senders().map(number).collect();
    numbers.sort_by(|one, other| one.sender.number.cmp(&other.sender.number));
    Ok(Standing { alarms, numbers })
}
