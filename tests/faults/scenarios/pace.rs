//! One number at its full pace, beside trouble everywhere else: another number of the account is throttled, another account's
//! callback URL hangs for 30 seconds per request, and a campaign waits on a third number.
//!
//! No number may send more than it is allowed in any second, as WhatsApp counts; the checker allows for what a busy machine
//! delivers late and so closer together, and the exact counts are told beside it. So are the share of its allowance that the
//! number gets, and how soon replies and one-time passwords leave beside a campaign.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wabridge::simulator::{CallbackRule, Effect, Refusal, Rule};

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    configuration::{CONNECTION, OTHER_ACCOUNT, phone_number_id},
    load::{Answer, Kind, Message},
    say,
    scenarios::{BOTH, Scenario},
    stage::Stage,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "pace",
    about: "a number at full pace beside one that is throttled, a callback URL that hangs, and a campaign",
    databases: BOTH,
    // Seconds at full pace.
    rounds: 5,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 80;
const HEALTHY: usize = 0;
const THROTTLED: usize = 1;
const CAMPAIGN: usize = 2;
/// Of the other account, whose callback URL hangs.
const UNTOLD: usize = 3;
const HANG: Duration = Duration::from_secs(30);
const POSTED_AT_ONCE: usize = 40;
const REPLY_EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { numbers: 3, other_account: true, messages_per_second: PER_SECOND, ..Wish::default() };
    let stage = course.stage(wish).await?;
    make_trouble(&stage)?;
    // Queues first, and then everybody at once: no caller is fast enough for four numbers on a busy machine.
    command(&stage, &["hold", CONNECTION, "--reason", "so that queues grow"]).await?;
    let (second, seconds) = (PER_SECOND as usize, course.rounds as usize);
    for (line, messages) in
        [(HEALTHY, seconds * second), (THROTTLED, 2 * second), (CAMPAIGN, seconds * second), (UNTOLD, 2 * second)]
    {
        fill(&stage, line, messages).await?;
    }
    command(&stage, &["release", CONNECTION]).await?;
    let (share, waits) = tokio::join!(share_of_allowance(&stage), reply(&stage, course.rounds));
    let waits = waits?;
    say(&format!(
        "  the healthy number got {:.0} % of its allowance; beside the campaign {} replies and passwords left after {} ms \
         (median), {} ms at most",
        100.0 * share?,
        waits.len(),
        waits[waits.len() / 2].as_millis(),
        waits[waits.len() - 1].as_millis(),
    ));
    stage.simulator.set_rules(vec![]);
    stage.simulator.set_callback_rules(vec![]);
    let peaks = stage.simulator.stats().peak_sends_per_second;
    say(&format!("  the most in any second: {peaks:?}"));
    // What hangs is told again, and whoever let it hang has heard of it.
    let allowed = Allowed { messages_per_second: u64::from(PER_SECOND), told_twice: usize::MAX, ..Allowed::default() };
    course.end(stage, allowed).await
}

fn make_trouble(stage: &Stage) -> anyhow::Result<()> {
    let too_fast = Rule::everybody(Effect::Refuse(Refusal::code(130_429)));
    stage.simulator.set_rules(vec![Rule { phone_number_id: Some(phone_number_id(THROTTLED)), share: 0.3, ..too_fast }]);
    let account = Some(OTHER_ACCOUNT.to_owned());
    let hang_ms = u64::try_from(HANG.as_millis())?;
    stage.simulator.set_callback_rules(vec![CallbackRule { account, hang_ms, ..CallbackRule::default() }]);
    Ok(())
}

async fn command(stage: &Stage, arguments: &[&str]) -> anyhow::Result<()> {
    let (fine, said) = stage.command(arguments).await?;
    anyhow::ensure!(fine, "{arguments:?} failed: {said}");
    Ok(())
}

/// So many messages from one number.
async fn fill(stage: &Stage, line: usize, messages: usize) -> anyhow::Result<()> {
    let ask = |number| async move { ask(stage, &Message::new(number, &stage.lines[line])).await };
    let first = line * 1_000_000;
    stream::iter(first..first + messages).map(ask).buffer_unordered(POSTED_AT_ONCE).try_collect().await
}

/// Until it is accepted: a busy machine may be too late for a caller.
async fn ask(stage: &Stage, message: &Message) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while stage.caller.ask(message).await != Answer::Success {
        anyhow::ensure!(Instant::now() < deadline, "{message:?} is refused again and again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What the healthy number gets, from its first send to its last.
async fn share_of_allowance(stage: &Stage) -> anyhow::Result<f64> {
    let recipients: BTreeSet<String> = stage.journal.accepted_at(&stage.lines[HEALTHY]).into_values().collect();
    let sent = || stage.evidence().taken.iter().filter(|recipient| recipients.contains(*recipient)).count();
    let (mut began, deadline) = (Instant::now(), Instant::now() + PATIENCE);
    let mut first = sent();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = sent();
        if first == 0 && sent > 0 {
            (began, first) = (Instant::now(), sent);
        }
        if sent == recipients.len() {
            return Ok((sent - first) as f64 / began.elapsed().as_secs_f64() / f64::from(PER_SECOND));
        }
        anyhow::ensure!(Instant::now() < deadline, "of {} messages only {sent} left", recipients.len());
    }
}

/// Answers people beside the campaign, and sends them passwords; gives back how long each took to leave, the longest last.
async fn reply(stage: &Stage, seconds: u32) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    let replies = u128::from(seconds) * 1000 / REPLY_EVERY.as_millis();
    let first = 8_000_000;
    for number in 0..usize::try_from(replies)? {
        let kind = if number % 2 == 0 { Kind::Reply } else { Kind::Code };
        let message = Message::new(first + number, &stage.lines[CAMPAIGN]).of(kind);
        let asked_at = Instant::now();
        ask(stage, &message).await?;
        let recipient = message.recipient.trim_start_matches('+');
        while stage.simulator.sends(Some(recipient)).is_empty() {
            anyhow::ensure!(asked_at.elapsed() < PATIENCE, "a reply waits behind a campaign");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waits.push(asked_at.elapsed());
        tokio::time::sleep(REPLY_EVERY.saturating_sub(asked_at.elapsed())).await;
    }
    waits.sort_unstable();
    Ok(waits)
}
