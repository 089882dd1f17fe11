//! Alarms for the people who look after them: who is told and how, what is watched, what is wrong, what was told; and trying it.

use serde_json::json;

use super::{AlarmWays, Told};
use crate::{
    domain::{
        alarm::AlarmKind,
        operator::{Actor, Permission},
        words::lasting,
    },
    services::operators::{Refusal, require},
    settings::Alarms,
    store::{Store, alarm_letters::SentLetter, alarms::AlarmRecord, audit::AuditEntry},
};

/// One kind of alarm, and how it stands.
#[derive(Clone, Debug)]
pub struct Watched {
    pub kind: AlarmKind,
    /// From when on it is an alarm, with the setting; `None`: at once.
    pub threshold: Option<String>,
    /// What is wrong now.
    pub raised: Vec<AlarmRecord>,
    /// What is over, and was not long ago.
    pub over: Vec<AlarmRecord>,
}

/// Everything that is watched, in the order of the kinds.
pub async fn watched(store: &Store, alarms: &Alarms, actor: &Actor) -> Result<Vec<Watched>, Refusal> {
    require(actor, Permission::ReadSystem)?;
    let mut watched: Vec<Watched> = AlarmKind::ALL
        .into_iter()
        .map(|kind| Watched { kind, threshold: threshold(alarms, kind), raised: vec![], over: vec![] })
        .collect();
    for record in store.alarms().await? {
        let Some(of_kind) = watched.iter_mut().find(|watched| watched.kind == record.kind) else { continue };
        if record.over_at.is_some() { of_kind.over.push(record) } else { of_kind.raised.push(record) }
    }
    Ok(watched)
}

fn threshold(alarms: &Alarms, kind: AlarmKind) -> Option<String> {
    match kind {
        AlarmKind::CallbacksFailing => Some(format!(
            "after {}; refused or on hold at once (callbacks_failing_for)",
            lasting(alarms.callbacks_failing_for)
        )),
        AlarmKind::WebhooksSilent => Some(format!(
            "{} messages sent within {}, and nothing heard (webhooks_silent_messages, webhooks_silent_for)",
            alarms.webhooks_silent_messages,
            lasting(alarms.webhooks_silent_for)
        )),
        AlarmKind::QueueLate => Some(format!("later than {} (queue_late_by)", lasting(alarms.queue_late_by))),
        AlarmKind::DiskFull => Some(format!("less than {} % free (disk_free_min)", alarms.disk_free_min)),
        AlarmKind::ConnectionHeld
        | AlarmKind::NumberHeld
        | AlarmKind::TokenRefused
        | AlarmKind::TemplateStopped
        | AlarmKind::QualityRed
        | AlarmKind::TierChanged
        | AlarmKind::LimitReached
        | AlarmKind::SubscriptionsRefused
        | AlarmKind::WebhookSwitchedOff => None,
    }
}

/// Letters with their keys, the newest first.
pub async fn letters(
    store: &Store,
    actor: &Actor,
    before: Option<i32>,
    limit: usize,
) -> Result<Vec<(i32, SentLetter)>, Refusal> {
    require(actor, Permission::ReadSystem)?;
    Ok(store.letters(before, limit).await?)
}

/// Sends one by every way that is set up; gives back what came of each.
pub async fn test(ways: &AlarmWays, store: &Store, actor: &Actor) -> Result<Vec<Told>, Refusal> {
    require(actor, Permission::TestAlarms)?;
    if ways.set_up(store).await?.is_empty() {
        let text = "no way is set up: say in the console who is told of alarms, or set alarms.webhook_url, or alarms.smtp_url with \
                    alarms.from and alarms.to, and restart";
        return Err(Refusal::Conflict(text.to_owned()));
    }
    let told = ways.test(store).await?;
    let outcomes: serde_json::Map<String, serde_json::Value> = told
        .iter()
        .map(|told| {
            let outcome = told.result.as_ref().map_or_else(|why| why.clone(), |answer| format!("taken: {answer}"));
            (told.way.to_owned(), json!(outcome))
        })
        .collect();
    let entry = AuditEntry::new(actor, "test alarms", "alarms").after(outcomes.into());
    store.note_in_audit(&entry).await?;
    Ok(told)
}
