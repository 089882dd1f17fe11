//! The provider and a callback URL misbehave on the wire, in every way and in turn, while neighbours want to go on: another
//! number of the same connection, and the callback URL of another account.
//!
//! What follows is compared with what was done. After an outcome that may have been a success nothing is sent again; what was
//! certainly not taken is; nobody goes where a redirect leads, or takes more of an answer than its limit; and none of it
//! keeps the neighbours from finishing while it lasts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Evidence, Verdict},
    configuration::{CONNECTION, OTHER_ACCOUNT, phone_number_id},
    load::{Answer, Message},
    peer::{Deed, Harm, Misdeed},
    say,
    scenarios::{Scenario, until_some_moment},
    stage::{Stage, ThroughPeer},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "wire",
    about: "answers lost, cut, endless, trickling, foreign and redirected, half-open connections; neighbours go on",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 200;
const LOAD_PER_SECOND: usize = 45;
/// Of an endless answer: the limit, and what the system takes for a reader that has stopped.
const TAKEN_MAX: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of a message beyond those of the load.
const REDIRECTED: usize = 9_000_000;

/// From the provider, with a request let through now and then so that a message that is tried again gets on.
const FROM_PROVIDER: [Option<Misdeed>; 12] = [
    Some(Misdeed::LosesAnswer),
    Some(Misdeed::CutsBody),
    Some(Misdeed::Refuses(429, Some(1))),
    None,
    Some(Misdeed::AnswersPage),
    Some(Misdeed::Floods),
    Some(Misdeed::Refuses(429, None)),
    Some(Misdeed::Trickles),
    Some(Misdeed::Resets),
    Some(Misdeed::FallsSilent),
    Some(Misdeed::SpeaksGarbage),
    Some(Misdeed::Refuses(502, None)),
];

const FROM_CALLBACK: [Option<Misdeed>; 12] = [
    Some(Misdeed::LosesAnswer),
    None,
    Some(Misdeed::Refuses(429, Some(1))),
    Some(Misdeed::CutsBody),
    Some(Misdeed::Redirects),
    Some(Misdeed::Resets),
    Some(Misdeed::SpeaksGarbage),
    None,
    Some(Misdeed::Refuses(500, None)),
    Some(Misdeed::Floods),
    Some(Misdeed::Trickles),
    Some(Misdeed::FallsSilent),
];

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        numbers: 2,
        messages_per_second: PER_SECOND,
        other_account: true,
        through_peer: ThroughPeer::All,
        ..Wish::default()
    };
    let stage = course.stage(wish).await?;
    let mut dice = course.dice();
    for _ in 0..course.rounds {
        let load = stage.load(LOAD_PER_SECOND);
        harm(&stage, &FROM_PROVIDER, &FROM_CALLBACK)?;
        until_some_moment(&mut dice, 3_000..4_000).await;
        // What is judged below has happened.
        wait_for("an endless answer", async || Ok(stage.peer.as_ref().is_some_and(|peer| peer.most_taken() > 0)))
            .await?;
        // The worst of it, for as long as the neighbours need: nothing is ever answered.
        let silence = [Some(Misdeed::FallsSilent)];
        harm(&stage, &silence, &silence)?;
        load.stop().await;
        neighbours_finish(&stage).await?;
        harm(&stage, &[], &[])?;
    }
    stage.settle().await?;
    judge_consequences(&stage)?;
    be_sent_elsewhere(&stage).await?;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        // Judged above, message by message.
        unknown: usize::MAX,
        told_twice: usize::MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}

/// The first number's sends, and the callbacks of the other account.
fn harm(stage: &Stage, provider: &[Option<Misdeed>], callback: &[Option<Misdeed>]) -> anyhow::Result<()> {
    let sends = Harm { path: format!("/{}/messages", phone_number_id(0)), turns: provider.to_vec() };
    let callbacks = Harm { path: format!("/clevertap/delivery-reports/{OTHER_ACCOUNT}"), turns: callback.to_vec() };
    stage.peer.as_ref().context("the stage has one")?.harm(vec![sends, callbacks]);
    Ok(())
}

/// Nothing is answered to the first number, and nothing by the other account's callback URL. The second number is told of all
/// the same, and the third sends.
async fn neighbours_finish(stage: &Stage) -> anyhow::Result<()> {
    let [_, same_account, same_provider] = stage.lines.as_slice() else { anyhow::bail!("three numbers") };
    let told_of = stage.journal.accepted_at(same_account);
    let sending = stage.journal.accepted_at(same_provider);
    wait_for("healthy neighbours", async || {
        let Evidence { told, taken, .. } = stage.evidence();
        let taken: BTreeSet<String> = taken.into_iter().collect();
        let read = |id: &String| told.get(id).is_some_and(|told| told.iter().any(|status| status == "read"));
        Ok(told_of.keys().all(read) && sending.values().all(|recipient| taken.contains(recipient)))
    })
    .await?;
    say(&format!(
        "  meanwhile {} messages of neighbours were read, {} of another were sent",
        told_of.len(),
        sending.len()
    ));
    Ok(())
}

/// Whether what was done to each message was followed by the right thing.
fn judge_consequences(stage: &Stage) -> anyhow::Result<()> {
    let peer = stage.peer.as_ref().context("the stage has one")?;
    let evidence = stage.evidence();
    let mut sends: BTreeMap<String, Vec<Option<Misdeed>>> = BTreeMap::new();
    for deed in peer.book() {
        let body: serde_json::Value = serde_json::from_str(&deed.body)?;
        // Callbacks have none.
        if let Some(to) = body["to"].as_str() {
            sends.entry(to.trim_start_matches('+').to_owned()).or_default().push(deed.misdeed);
        }
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (to, deeds) in &sends {
        for (place, misdeed) in deeds.iter().enumerate() {
            *seen.entry(format!("{misdeed:?}")).or_default() += 1;
            let is_last = place + 1 == deeds.len();
            let again = misdeed.is_some_and(may_be_sent_again);
            anyhow::ensure!(
                is_last || again,
                "{to} was sent again after {misdeed:?}, which may have been a success: {deeds:?}"
            );
        }
        let taken = evidence.taken.iter().any(|taken| taken == to);
        let last = deeds.last().context("there is one")?;
        let passed = last.is_none_or(Misdeed::passes_on);
        anyhow::ensure!(passed == taken, "{to} ended with {last:?}, and WhatsApp took it: {taken}; {deeds:?}");
        anyhow::ensure!(!last.is_some_and(may_be_sent_again), "{to} was given up after {last:?}: {deeds:?}");
    }
    say(&format!("  done to sends: {seen:?}"));
    let taken = peer.most_taken();
    say(&format!("  at most {} KiB of an endless answer were taken", taken >> 10));
    anyhow::ensure!(taken > 0 && taken <= TAKEN_MAX, "{taken} bytes of an endless answer were taken");
    anyhow::ensure!(peer.came_elsewhere() == 0, "a redirect was followed");
    Ok(())
}

/// The provider has not taken it, and has said so.
fn may_be_sent_again(misdeed: Misdeed) -> bool {
    matches!(misdeed, Misdeed::Refuses(429, _))
}

/// A redirect from the provider means that its address is wrong, for all messages: it is not followed, and the connection
/// waits for a person.
async fn be_sent_elsewhere(stage: &Stage) -> anyhow::Result<()> {
    let peer = stage.peer.as_ref().context("the stage has one")?;
    let redirected = || peer.book().iter().any(|deed| is_send(deed) && deed.misdeed == Some(Misdeed::Redirects));
    harm(stage, &[Some(Misdeed::Redirects)], &[])?;
    let message = Message::new(REDIRECTED, &stage.lines[0]);
    wait_for("its acceptance", async || Ok(stage.caller.ask(&message).await == Answer::Success)).await?;
    wait_for("the send that is redirected", async || Ok(redirected())).await?;
    harm(stage, &[], &[])?;
    let release = ["release", CONNECTION, "--json"];
    let released = async || Ok(stage.command(&release).await?.1.replace(' ', "").contains("\"done\":true"));
    wait_for("a connection on hold that can be released", released).await?;
    anyhow::ensure!(peer.came_elsewhere() == 0, "a redirect was followed");
    Ok(())
}

fn is_send(deed: &Deed) -> bool {
    deed.body.contains("\"messaging_product\"")
}

async fn wait_for(what: &str, mut is_there: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_there().await? {
        anyhow::ensure!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
