//! One number at its full pace, alone and then beside trouble everywhere else: another number of the account is throttled, another
//! account's callback URL never answers, and a campaign waits on a third number.
//!
//! No number may send more than it is allowed in any second, as WhatsApp counts; the checker allows for what a busy machine
//! delivers late and so closer together, and the exact counts are told beside it. So are the share of its allowance that the
//! number gets, how long its statuses take from the send to the callback URL, alone and beside trouble, and how soon replies and
//! one-time passwords leave beside a campaign. Figures worth telling come from a release build on a quiet machine:
//! `cargo test --release --test faults -- pace --rounds 30`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    configuration::{CONNECTION, OTHER_ACCOUNT, phone_number_id},
    load::{Answer, Kind, Message},
    peer::{Harm, Misdeed},
    say,
    scenarios::{BOTH, Scenario},
    stage::{Stage, ThroughPeer},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "pace",
    about: "a number at full pace alone, and beside one that is throttled, a callback URL that hangs, and a campaign",
    databases: BOTH,
    // Seconds at full pace, alone and beside trouble.
    rounds: 5,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 80;
const HEALTHY: usize = 0;
const THROTTLED: usize = 1;
const CAMPAIGN: usize = 2;
/// Of the other account, whose callback URL hangs.
const UNTOLD: usize = 3;
const REPLY_WITHIN: Duration = Duration::from_secs(1);
const POSTED_AT_ONCE: usize = 40;
const REPLY_EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LAST_STATUS: &str = "read";

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        numbers: 3,
        other_account: true,
        messages_per_second: PER_SECOND,
        through_peer: ThroughPeer::Callbacks,
        undisturbed: true,
        ..Wish::default()
    };
    let mut stage = course.stage(wish).await?;
    let (second, seconds) = (PER_SECOND as usize, course.rounds as usize);
    let alone = stretch(&mut stage, &[(HEALTHY, 0, seconds * second)], async |_| Ok(())).await?.0;
    say(&format!("  alone: {alone}"));
    make_trouble(&stage)?;
    let queues = [
        (HEALTHY, seconds * second, seconds * second),
        (THROTTLED, 0, 2 * second),
        (CAMPAIGN, 0, seconds * second),
        (UNTOLD, 0, 2 * second),
    ];
    let replies = async |stage: &Stage| reply(stage, course.rounds).await;
    let (beside_trouble, waits) = stretch(&mut stage, &queues, replies).await?;
    say(&format!("  beside trouble: {beside_trouble}; told after {:.2} times as long", beside_trouble.p99_of(&alone)));
    say(&format!(
        "  beside the campaign {} replies and passwords left after {} ms (median), {} ms at most",
        waits.len(),
        waits[waits.len() / 2].as_millis(),
        waits[waits.len() - 1].as_millis(),
    ));
    stage.note_time("a reply or a password beside a campaign", waits[waits.len() - 1], REPLY_WITHIN);
    stage.simulator.set_rules(vec![]);
    judge_in_flight(&stage)?;
    let peaks = stage.simulator.stats().peak_sends_per_second;
    say(&format!("  the most in any second: {peaks:?}"));
    // Nothing is killed, and who let callbacks hang has heard of none of them.
    let allowed = Allowed { messages_per_second: u64::from(PER_SECOND), ..Allowed::default() };
    course.end(stage, allowed).await
}

/// Fills queues (whose, the first message, how many) and lets them all go at once: no caller is fast enough for four numbers on a
/// busy machine. Gives back how the healthy number fared, and what was done meanwhile.
async fn stretch<T>(
    stage: &mut Stage,
    queues: &[(usize, usize, usize)],
    meanwhile: impl AsyncFnOnce(&Stage) -> anyhow::Result<T>,
) -> anyhow::Result<(Fared, T)> {
    // A running server hears of a hold after a moment, and some would leave before it, and wait a second after that.
    stage.stop(0).await?;
    command(stage, &["hold", CONNECTION, "--reason", "so that queues grow"]).await?;
    stage.start(0).await?;
    for &(line, first, messages) in queues {
        fill(stage, line, first, messages).await?;
    }
    command(stage, &["release", CONNECTION]).await?;
    let healthy =
        queues.iter().find(|(line, ..)| *line == HEALTHY).map_or(0..0, |(_, first, messages)| *first..first + messages);
    tokio::try_join!(fare(stage, healthy), meanwhile(stage))
}

/// How a number fared at its pace.
struct Fared {
    /// Of its allowance, from its first send to its last.
    share: f64,
    /// From a send to its last status at the callback URL, in order.
    told_after_ms: Vec<u64>,
}

impl Fared {
    fn quantile_ms(&self, quantile: f64) -> u64 {
        self.told_after_ms[((self.told_after_ms.len() - 1) as f64 * quantile) as usize]
    }

    fn p99_of(&self, other: &Fared) -> f64 {
        self.quantile_ms(0.99) as f64 / (other.quantile_ms(0.99).max(1) as f64)
    }
}

impl fmt::Display for Fared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1} % of its allowance, {} messages told to the end {} ms after they were sent (median), {} ms (p99)",
            100.0 * self.share,
            self.told_after_ms.len(),
            self.quantile_ms(0.5),
            self.quantile_ms(0.99)
        )
    }
}

fn make_trouble(stage: &Stage) -> anyhow::Result<()> {
    let too_fast = Rule::everybody(Effect::Refuse(Refusal::code(130_429)));
    stage.simulator.set_rules(vec![Rule { phone_number_id: Some(phone_number_id(THROTTLED)), share: 0.3, ..too_fast }]);
    let path = format!("/clevertap/delivery-reports/{OTHER_ACCOUNT}");
    let hangs = Harm { path, turns: vec![Some(Misdeed::FallsSilent)] };
    stage.peer.as_ref().context("the stage has one")?.harm(vec![hangs]);
    Ok(())
}

/// A callback URL that hangs keeps no more requests than it may, and is let go then.
fn judge_in_flight(stage: &Stage) -> anyhow::Result<()> {
    let peer = stage.peer.as_ref().context("the stage has one")?;
    peer.harm(vec![]);
    let (most, most_allowed) = (peer.most_kept_waiting(), stage.settings.relay.in_flight_per_subscription);
    say(&format!("  at most {most} requests at a time waited for the callback URL that hangs"));
    anyhow::ensure!(most > 0, "nothing was told to the callback URL that hangs");
    anyhow::ensure!(most <= most_allowed, "{most} requests at a time waited for a callback URL, not {most_allowed}");
    Ok(())
}

async fn command(stage: &Stage, arguments: &[&str]) -> anyhow::Result<()> {
    let (fine, said) = stage.command(arguments).await?;
    anyhow::ensure!(fine, "{arguments:?} failed: {said}");
    Ok(())
}

/// So many messages from one number.
async fn fill(stage: &Stage, line: usize, first: usize, messages: usize) -> anyhow::Result<()> {
    let ask = |number| async move { ask(stage, &message(stage, line, number)).await };
    stream::iter(first..first + messages).map(ask).buffer_unordered(POSTED_AT_ONCE).try_collect().await
}

fn message(stage: &Stage, line: usize, number: usize) -> Message {
    Message::new(line * 1_000_000 + number, &stage.lines[line])
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

/// Waits until the callback URL has heard the last of these messages of the healthy number.
async fn fare(stage: &Stage, numbers: Range<usize>) -> anyhow::Result<Fared> {
    let messages: Vec<_> = numbers.map(|number| message(stage, HEALTHY, number)).collect();
    let ids: HashSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let deadline = Instant::now() + PATIENCE + messages.len() as u32 * Duration::from_secs(1) / PER_SECOND;
    // Looking costs the machine something, so not often.
    let told_at = loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let told = stage.simulator.callback_records(None).into_iter().filter(|record| record.kind == LAST_STATUS);
        let told_at: HashMap<_, _> =
            told.filter_map(|record| Some((record.msg_id?, record.received_at_unix_ms))).collect();
        let told = told_at.keys().filter(|id| ids.contains(id.as_str())).count();
        if told == messages.len() {
            break told_at;
        }
        anyhow::ensure!(Instant::now() < deadline, "of {} messages only {told} were told to the end", messages.len());
    };
    let sends = stage.simulator.sends(None).into_iter().filter(|send| send.wamid.is_some());
    let sent_at: HashMap<_, _> = sends.map(|send| (send.recipient, send.received_at_unix_ms)).collect();
    let sent_at_of = |message: &Message| sent_at.get(message.recipient.trim_start_matches('+')).copied();
    let times = messages.iter().map(|message| Some((sent_at_of(message)?, *told_at.get(&message.id)?)));
    let times: Vec<(u64, u64)> = times.collect::<Option<_>>().context("what was told was sent")?;
    let sent = || times.iter().map(|(sent_at, _)| *sent_at);
    let took_ms = sent().max().zip(sent().min()).map_or(0, |(last, first)| last - first);
    let share = (times.len() - 1) as f64 * 1000.0 / (took_ms.max(1) as f64) / f64::from(PER_SECOND);
    let mut told_after_ms: Vec<_> = times.iter().map(|(sent_at, told_at)| told_at.saturating_sub(*sent_at)).collect();
    told_after_ms.sort_unstable();
    Ok(Fared { share, told_after_ms })
}

/// Answers people beside the campaign, and sends them passwords; gives back how long each took to leave, the longest last.
async fn reply(stage: &Stage, seconds: u32) -> anyhow::Result<Vec<Duration>> {
    // A server hears of a release after a moment, and only then is there a campaign to leave beside.
    let (campaign, deadline) = (phone_number_id(CAMPAIGN), Instant::now() + PATIENCE);
    while !stage.simulator.stats().peak_sends_per_second.contains_key(&campaign) {
        anyhow::ensure!(Instant::now() < deadline, "the campaign does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
