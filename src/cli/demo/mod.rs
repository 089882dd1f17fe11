//! `wabridge demo`: the whole circle on this machine, with nothing to set up.
//!
//! [`world`] starts the bridge on an SQLite file in a folder of its own and, beside it on the wire, a simulator that
//! is WhatsApp on one side and CleverTap on the other. [`campaign`] writes the messages, most of them good and
//! some wrong in every way that people get wrong, [`offer`] posts them to the real endpoint, and [`watch`] waits until
//! everything that is owed has been told. Behind it lies a [`week`] that was only written down, for the console, and after it, where
//! somebody stays to look, comes an [`aftermath`].
//!
//! What is printed then is not what the campaign intended: [`evidence`] holds the answers that came over HTTP and what the
//! two simulated sides have seen, and [`funnel`] counts those. When they contradict each other it says so.

mod aftermath;
mod campaign;
mod content;
mod evidence;
mod funnel;
mod next;
mod offer;
mod progress;
mod provider;
mod table;
mod watch;
mod week;
mod world;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Args;
use wabridge::domain::words::thousands;

use self::{
    campaign::Offer,
    evidence::Evidence,
    funnel::Funnel,
    offer::CONNECTIONS,
    progress::Progress,
    provider::DemoProvider,
    watch::Watched,
    world::{FolderChoice, REPORTS_PER_MESSAGE, World},
};
use super::{answer, serve::wait_for_signal};

/// Show the whole circle on this machine: bridge, WhatsApp, CleverTap, and a sample campaign
///
/// Starts the bridge on an SQLite file in a temporary folder and, beside it, a simulator that plays WhatsApp and
/// CleverTap; sends a campaign through the real endpoint and prints what became of it. Neither wabridge.toml nor the
/// environment is looked at, so nothing of yours is touched. Afterwards it keeps running, so that you can look around:
/// the console has a made-up week behind it, which nothing that is printed counts.
#[derive(Args)]
pub(crate) struct DemoArguments {
    /// How many messages the campaign has
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=MESSAGES_MAX))]
    messages: u32,
    /// What the business number may send in a second, at the bridge and at the simulator
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    messages_per_second: u32,
    /// Who carries the messages; the simulator plays it
    #[arg(long, value_enum, default_value_t = DemoProvider::Meta)]
    provider: DemoProvider,
    /// Where the bridge listens, console and all: 127.0.0.1:8080 unless that is taken; 0.0.0.0:8080 for others to look at it
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Leave when the campaign is over; fails when the figures do not add up
    #[arg(long)]
    exit: bool,
    /// Work in this new folder and leave it behind, instead of a temporary one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Each message is remembered three times: as offered, at WhatsApp and at CleverTap.
const MESSAGES_MAX: i64 = 100_000;

pub(crate) async fn demo(arguments: DemoArguments) -> anyhow::Result<()> {
    let folder = FolderChoice::from(arguments.keep.clone());
    let world =
        World::start(folder, arguments.listen, arguments.provider, (arguments.messages, arguments.messages_per_second))
            .await?;
    // Whatever happens from here on, the world is stopped in good order.
    let outcome = tokio::select! {
        outcome = show(&world, &arguments) => outcome,
        interrupted = wait_for_signal() => interrupted.and_then(|()| stopped_early()),
    };
    world.stop().await?;
    let problems = outcome?;
    if problems.is_empty() {
        return Ok(());
    }
    bail!("the figures of the demo do not add up, see above")
}

fn stopped_early() -> anyhow::Result<Vec<String>> {
    answer("\nStopping: what is in flight is finished first.\n")?;
    Ok(Vec::new())
}

/// Everything that a visitor sees; gives back what does not add up.
async fn show(world: &World, arguments: &DemoArguments) -> anyhow::Result<Vec<String>> {
    answer(&greeting(world, arguments))?;
    let (evidence, times) = run_campaign(world, arguments.messages).await?;
    let funnel = Funnel::count(&evidence);
    answer(&table::render(&funnel, &times, arguments.messages_per_second))?;
    let problems = funnel.problems(&evidence);
    if !problems.is_empty() {
        answer(&format!("\nTHIS DOES NOT ADD UP\n  - {}\n", problems.join("\n  - ")))?;
    }
    answer(&next::steps(world, &evidence, arguments.exit).await?)?;
    if !arguments.exit {
        aftermath::play(world)?;
        wait_for_signal().await?;
    }
    Ok(problems)
}

fn greeting(world: &World, arguments: &DemoArguments) -> String {
    format!(
        "wabridge listens on {}, on an SQLite file in {}.\n\
         {} and CleverTap are played by the simulator on {}.\n\
         A campaign of {} messages over {CONNECTIONS} connections; the number sends at most {} a second.\n\n",
        world.url,
        world.folder().display(),
        arguments.provider.name(),
        world.simulator.url(),
        thousands(arguments.messages as usize),
        thousands(arguments.messages_per_second as usize),
    )
}

/// How long things took.
struct Times {
    /// From the first request to the last answer.
    offering: Duration,
    /// From the first request until WhatsApp took the last message.
    sending: Duration,
    /// From the first request until nothing was owed any more.
    whole: Duration,
    /// Of every answer, shortest first.
    answers: Vec<Duration>,
}

async fn run_campaign(world: &World, messages: u32) -> anyhow::Result<(Evidence, Times)> {
    let offers = campaign::write(messages as usize, wabridge::clock::now());
    let mut progress = Progress::new(offers.len() as u64);
    let started = Instant::now();
    let watched = watch::watch(world, offer::post_all(&world.url, &offers), &mut progress).await?;
    progress.finish();
    let mut answers: Vec<Duration> = watched.answers.iter().map(|answered| answered.took).collect();
    answers.sort_unstable();
    let times = Times {
        offering: watched.answered_at - started,
        sending: watched.sent_at - started,
        whole: watched.settled_at - started,
        answers,
    };
    Ok((gather(world, offers, watched).await?, times))
}

async fn gather(world: &World, offers: Vec<Offer>, watched: Watched) -> anyhow::Result<Evidence> {
    let desk = world.simulator.handle();
    let (unread, parked) = world.app.store.count_unrecognized().await?;
    let stats = desk.stats();
    // Their answer was lost, and the provider names no id of ours.
    let nameless = if world.provider.gives_our_id_back() { 0 } else { stats.answers_lost };
    Ok(Evidence {
        offers,
        answers: watched.answers,
        sends: desk.sends(None),
        reports: desk.callback_records(None),
        stats,
        kept_aside: u64::try_from(unread + parked)?,
        nobodys: nameless * REPORTS_PER_MESSAGE,
        unsettled: watched.unsettled,
    })
}
