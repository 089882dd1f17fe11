//! Forgetting personal data when its time is over: every table by its own age, in small steps with
//! pauses, so that nobody waits for it.

use std::time::Duration;

use super::directory::Directory;
use crate::{
    clock,
    domain::{
        account::{Account, kept_for},
        messaging_limit::DAY,
    },
    settings::{Console, Retention},
    store::{Store, StoreError, provider_conversations::ANSWERED_WITHIN, retain::Aging, size::HOUSEKEEPING},
};

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);
/// Steps in which an SQLite file gives back freed space, in one round.
const SPACE_STEPS_MAX: usize = 200;

/// A day is what counts; the rest is for clocks that differ.
const RECENT_PEOPLE_KEPT: Duration = DAY.saturating_add(Duration::from_secs(60 * 60));

/// What was not taken is kept with its request: that must not stay behind its event.
fn exchanges_kept(ages: &Retention) -> Duration {
    ages.attempts.min(ages.events)
}

/// For how long what was said to the callback URLs of an account is kept.
pub fn exchanges_of_account_kept(ages: &Retention, account: &Account) -> Duration {
    kept_for(kept_for(exchanges_kept(ages), account.policy.keep_exchanges_for), account.policy.keep_for)
}

/// Forgets everything whose time is over.
pub async fn forget_old(
    store: &Store,
    directory: &Directory,
    ages: &Retention,
    repeat_window: Duration,
    console: &Console,
) -> Result<(), StoreError> {
    let now = clock::now();
    let step = ages.rows_per_step;
    let exchanges = exchanges_kept(ages);
    // Keys are found by the rows of their messages, so they go first.
    repeat(step, || store.forget_message_keys(now.minus(repeat_window), step)).await?;
    for account in directory.snapshot().accounts_ever() {
        let keep = |age: Duration| kept_for(age, account.policy.keep_for);
        repeat(step, || store.forget_events(account.key, now.minus(keep(ages.events)), step)).await?;
        if keep(ages.messages) < ages.messages {
            repeat(step, || store.forget_messages_of(account.key, now.minus(keep(ages.messages)), step)).await?;
        }
        if keep(ages.refused) < ages.refused {
            repeat(step, || store.forget_refused_of(account.key, now.minus(keep(ages.refused)), step)).await?;
        }
        let own = exchanges_of_account_kept(ages, account);
        if own < exchanges {
            repeat(step, || store.forget_exchanges_of(account.key, now.minus(own), step)).await?;
        }
    }
    repeat(step, || store.forget_messages(now.minus(ages.messages), step)).await?;
    repeat(step, || store.forget_person_links(now.minus(ages.person_links), step)).await?;
    repeat(step, || store.forget_contacts(now.minus(ages.person_links), step)).await?;
    // News that would come later than this does not come.
    let snapshot = directory.snapshot();
    let telling: Vec<_> = snapshot
        .accounts()
        .filter(|account| account.policy.subscribe_sync.enabled)
        .map(|account| account.key)
        .collect();
    repeat(step, || store.forget_lifted(&telling, now.minus(ages.events), step)).await?;
    let aged = [
        (Aging::RefusedRequests, ages.refused),
        (Aging::CallbackAttempts, exchanges),
        (Aging::UnreadParts, ages.unrecognized),
        (Aging::ParkedStatuses, ages.parked_statuses),
        (Aging::RecentPeople, RECENT_PEOPLE_KEPT),
    ];
    for (what, age) in aged {
        let gone = repeat(step, || store.forget_aged(what, now.minus(age), step)).await?;
        if what == Aging::ParkedStatuses && gone > 0 {
            tracing::info!(
                statuses = gone,
                "dropped {gone} statuses whose messages never became known: another system sends from these numbers"
            );
        }
    }
    repeat(step, || store.forget_conversations(now.minus(ANSWERED_WITHIN), step)).await?;
    repeat(step, || store.forget_figures(now.minus(ages.statistics), step)).await?;
    store.forget_operators_past(now, console.session_max, console.sign_in_window, ages.audit).await?;
    repeat(step, || store.forget_callbacks(now.minus(ages.events), step)).await?;
    repeat(step, || store.forget_replays(now.minus(ages.attempts), step)).await?;
    repeat(step, || store.forget_letters(now.minus(ages.audit), step)).await?;
    repeat(step, || store.forget_erasures(now.minus(ages.audit), step)).await?;
    repeat(step, || store.forget_campaign_cancels(now.minus(ages.audit), step)).await?;
    // By now nothing is left that has their names.
    let before = now.minus(longest(ages).max(repeat_window) + DAY);
    repeat(step, || store.forget_lists_of_removed(before, step)).await?;
    store.forget_removed(before).await?;
    for _ in 0..SPACE_STEPS_MAX {
        if !store.give_back_space().await? {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    store.note_done(HOUSEKEEPING).await
}

/// The greatest age of whatever has an account, a connection or a number.
fn longest(ages: &Retention) -> Duration {
    let Retention {
        messages,
        events,
        refused,
        attempts,
        unrecognized,
        parked_statuses,
        media,
        statistics,
        person_links,
        audit: _,
        every: _,
        rows_per_step: _,
    } = ages;
    let all = [messages, events, refused, attempts, unrecognized, parked_statuses, media, statistics, person_links];
    all.into_iter().max().copied().unwrap_or_default()
}

/// Repeats a step until it finds less than it may take; says how much it took in all.
async fn repeat<F>(step: usize, mut work: impl FnMut() -> F) -> Result<usize, StoreError>
where
    F: Future<Output = Result<usize, StoreError>>,
{
    let mut gone = 0;
    loop {
        let done = work().await?;
        gone += done;
        if done < step {
            return Ok(gone);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
