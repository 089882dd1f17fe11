//! `wabridge bench`: how fast is it here, and is that fast enough?
//!
//! Figures from somebody else's machine say little, and a rate alone says less. So everything is measured in one
//! run on one machine, and told as a ratio to something that does less: accepting to a *durable handler* ([`bare`]), the
//! whole circle to a *bridge in memory* ([`rival`]).
//!
//! # The cast, each a process of its own
//!
//! - the bridge: `wabridge serve` with its defaults, a folder and a database of its own ([`scene`]);
//! - the simulator: `wabridge simulator`, which answers at once and posts each status as a webhook of its own;
//! - the handlers ([`bare`]), the rival ([`rival`]) and the load ([`load`]): hidden commands of this executable.
//!
//! # The phases
//!
//! 1. The whole circle ([`circle`]), with few callers and with many: the rival's turn, then the bridge's, three times each, with the
//!    counts of the bridge's own metrics and of `/proc`. A few hundred messages go round before, so that connections, statements
//!    and templates are warm.
//! 2. Accepts, at few and at many connections: the handlers' turns just before the bridge's. They go to a number
//!    that is on hold: what is measured is accepting, not sending.
//! 3. Accepts from callers who do not wait for each other, at 70 % of what phase 2 found.
//! 4. Webhooks ([`webhooks`]): what a number at 1,000 messages a second has to tell, while it sends them.
//! 5. When asked for: whether memory stays the same for as long as one likes ([`soak`]).
//! 6. When asked for: circle and accepts before and after millions of messages were put behind and in front of them ([`ballast`]).
//!
//! With `--console` all that is left out, and the console's pages are asked for with a million messages stored ([`console`]).
//!
//! Everybody shares the machine's cores, as the targets say. A busy machine gives low figures; ratios suffer less.
//! Figures are reported, not asserted: the command fails when something could not be run, and with `--strict` when
//! a target is missed.

mod ballast;
mod bare;
mod circle;
mod console;
mod load;
mod message;
mod processes;
mod report;
mod rival;
mod scene;
mod soak;
mod subscribers;
mod webhooks;
mod wire;

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use wabridge::{settings::Settings, store};

use self::{
    ballast::Amounts,
    load::{LoadArguments, LoadFigures},
    processes::{Launcher, Process},
    report::{AcceptFigures, Figures, Machine, OpenLoopFigures, Report},
    scene::{HELD_NUMBER, Scene},
};
use super::answer;

/// Measure this machine: accepts, the whole circle, and what they cost
///
/// Starts a bridge, a simulator and the load as processes with a folder of their own (in TMPDIR; it should lie on
/// the disk that matters), and compares with a handler that only stores the same body and with a bridge in memory. Takes
/// about four minutes, and all cores. Nothing of your settings and data is touched.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    /// Messages that go through the whole circle
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// How long accepting is measured, each time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long webhooks come, 3,300 a second
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    webhook_seconds: u64,
    /// Then load so many finished messages, and measure circle and accepts without and with them (a million takes some 800 MB
    /// of disk)
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=BALLAST_MAX))]
    history: u64,
    /// As --history, of messages that are queued at a number that sends slowly
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=BALLAST_MAX))]
    backlog: u64,
    /// Then keep the whole circle going at 300 messages a second for so many minutes, and watch the bridge's memory
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=SOAK_MINUTES_MAX))]
    soak_minutes: u64,
    /// Measure the console's pages instead, with a million messages stored, or as many as --history says
    #[arg(long)]
    console: bool,
    /// Measure 100 webhooks of yours instead, and what it does to 99 of them that the receiver of one is dead (ten turns of
    /// --webhook-seconds)
    #[arg(long, conflicts_with = "console")]
    subscribers: bool,
    /// An empty PostgreSQL database (postgres://…) instead of an SQLite file; what is stored there stays there
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
    /// Measure this bridge in memory beside the built-in one: `PROGRAM --peers ADDRESS` says where it listens
    #[arg(long, hide = true)]
    rival: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The processes that only a bench needs.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Load(LoadArguments),
    #[command(hide = true)]
    Bare {
        /// Keep each body in this database before it is answered
        #[arg(long)]
        database: Option<String>,
    },
    #[command(hide = true)]
    Rival {
        /// Where WhatsApp and the callback URL are
        #[arg(long)]
        peers: SocketAddr,
    },
}

/// Of a history, and of a backlog.
const BALLAST_MAX: u64 = 100_000_000;
/// Messages behind the console, unless another number is given.
const CONSOLE_HISTORY: u64 = 1_000_000;
/// A week.
const SOAK_MINUTES_MAX: u64 = 7 * 24 * 60;
/// Few callers, and many.
const ACCEPT_CONNECTIONS: [usize; 2] = [64, 1500];
/// Beside those of the load: the bridge's own connections to the simulator, its database, its log.
const OTHER_FILES: u64 = 1000;
/// Before accepting is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Of what the bridge takes from callers who wait for each other, for those who do not.
const OPEN_LOOP_SHARE: f64 = 0.7;
const LOAD_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the disk is asked for an fsync.
const FSYNCS: usize = 100;
const FSYNC_BYTES: usize = 4096;

pub(crate) async fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    match &arguments.part {
        Some(Part::Load(load)) => answer(&load::run(load)?),
        Some(Part::Bare { database }) => bare::serve(database.as_deref()).await,
        Some(Part::Rival { peers }) => rival::serve(*peers).await,
        None => tokio::select! {
            done = measure(arguments) => done,
            // Coming back from here ends the processes and removes the folder.
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("could not listen for Ctrl-C")?;
                bail!("interrupted; nothing was measured to the end")
            }
        },
    }
}

async fn measure(arguments: &BenchArguments) -> anyhow::Result<()> {
    let connections_max = ACCEPT_CONNECTIONS.into_iter().max().unwrap_or_default();
    let open_files = processes::open_files(connections_max as u64 + OTHER_FILES)?;
    if let Some(url) = &arguments.database {
        check_database(url).await?;
    }
    let bar = phase("starting the bridge and its peers", 0);
    let mut scene = Scene::start(arguments.database.as_deref(), open_files).await?;
    let fsync_ms = arguments.database.is_none().then(|| fsync_ms(scene.folder.path())).transpose()?;
    bar.finish_and_clear();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = Machine { cores, processor: processor(), fsync_ms };
    let database = if arguments.database.is_some() { "postgres" } else { "sqlite" };
    if arguments.console {
        let history = if arguments.history == 0 { CONSOLE_HISTORY } else { arguments.history };
        let report = console::measure(&mut scene, (machine, database), history).await?;
        say(arguments, &report, || report.for_people())?;
        ensure!(!arguments.strict || report.targets.iter().all(|target| target.met), "a target was missed");
        return Ok(());
    }

    if arguments.subscribers {
        let time = Duration::from_secs(arguments.webhook_seconds);
        let report = subscribers::measure(&scene, (machine, database), time).await?;
        say(arguments, &report, || report.for_people())?;
        ensure!(!arguments.strict || report.targets.iter().all(|target| target.met), "a target was missed");
        return Ok(());
    }

    let mut circles = Vec::with_capacity(ACCEPT_CONNECTIONS.len());
    for connections in ACCEPT_CONNECTIONS {
        circles.push(circle::compare(&scene, arguments.rival.as_deref(), connections, arguments.messages).await?);
    }
    let time = Duration::from_secs(arguments.seconds);
    let mut accepts = Vec::with_capacity(ACCEPT_CONNECTIONS.len());
    for connections in ACCEPT_CONNECTIONS {
        accepts.push(measure_accepts(&scene, connections, time).await?);
    }
    let open_loop = measure_open_loop(&scene, &accepts, time).await?;
    let webhooks = webhooks::measure(&scene, Duration::from_secs(arguments.webhook_seconds)).await?;

    let soak = soak::measure(&scene, arguments.soak_minutes).await?;
    let memory_peak_bytes = scene.bridge.memory_peak_bytes();
    let amounts = Amounts { history: arguments.history, backlog: arguments.backlog };
    let ballast = ballast::measure(&mut scene, amounts, arguments.messages, time).await?;
    let figures = Figures { circles, accepts, open_loop, webhooks, soak, memory_peak_bytes, ballast };
    let report = Report::new(machine, database, figures);
    say(arguments, &report, || report.for_people())?;
    ensure!(!arguments.strict || report.all_met(), "a target was missed");
    Ok(())
}

fn say(
    arguments: &BenchArguments,
    report: &impl serde::Serialize,
    for_people: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if !arguments.json {
        return answer(&for_people());
    }
    let json = serde_json::to_string_pretty(report).context("could not write the figures")?;
    answer(&format!("{json}\n"))
}

/// The bench writes millions of rows: not beside somebody's data.
async fn check_database(url: &str) -> anyhow::Result<()> {
    ensure!(
        url.starts_with("postgres://") || url.starts_with("postgresql://"),
        "--database takes a postgres:// URL; without it an SQLite file in a folder of its own is used"
    );
    let settings = wabridge::settings::Database { url: url.to_owned().into(), ..Settings::defaults().database };
    ensure!(
        store::postgres_is_empty(&settings).await?,
        "the database given by --database has tables in it, and the bench would write beside them; make a new one \
         (createdb), or drop what an earlier bench has left"
    );
    Ok(())
}

/// The handlers' turns, then the bridge's.
async fn measure_accepts(scene: &Scene, connections: usize, time: Duration) -> anyhow::Result<AcceptFigures> {
    let bare = handler_accepts(scene, None, connections, time).await?;
    let durable = handler_accepts(scene, Some(&scene.yardstick_database()), connections, time).await?;
    let cpu_before = scene.bridge.cpu_time();
    let bridge = accepts_at(scene, scene.bridge_address, "wabridge", (connections, None), time).await?;
    let cpu = scene.bridge.cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    Ok(AcceptFigures::new(connections, bare, durable, bridge, cpu))
}

/// With a database, of the handler that keeps what it is told.
async fn handler_accepts(
    scene: &Scene,
    database: Option<&str>,
    connections: usize,
    time: Duration,
) -> anyhow::Result<LoadFigures> {
    let (name, arguments) = match database {
        Some(url) => ("durable handler", vec!["bench", "bare", "--database", url]),
        None => ("bare handler", vec!["bench", "bare"]),
    };
    let mut handler = scene.launcher.start(name, &arguments)?;
    let address = handler.address().await?;
    let figures = accepts_at(scene, address, name, (connections, None), time).await?;
    handler.end().await?;
    let failure = figures.failure.as_deref().unwrap_or_default();
    ensure!(figures.not_successful == 0, "the {name} failed: {failure}");
    Ok(figures)
}

/// From callers who do not wait for each other.
async fn measure_open_loop(
    scene: &Scene,
    accepts: &[AcceptFigures],
    time: Duration,
) -> anyhow::Result<OpenLoopFigures> {
    let most = accepts.iter().max_by_key(|accepts| accepts.connections).context("accepts were measured")?;
    let rate = most.bridge.requests_per_second * OPEN_LOOP_SHARE;
    let load = accepts_at(scene, scene.bridge_address, "open loop", (most.connections, Some(rate)), time).await?;
    Ok(OpenLoopFigures { wanted_per_second: rate, load })
}

async fn accepts_at(
    scene: &Scene,
    address: SocketAddr,
    what: &str,
    (connections, rate): (usize, Option<f64>),
    time: Duration,
) -> anyhow::Result<LoadFigures> {
    let whole = WARM_UP + time;
    let bar = phase(&format!("accepts, {what}, {connections} connections"), whole.as_secs());
    let series = format!("{what}-{connections}").replace(' ', "-");
    let load = start_load(&scene.launcher, address, HELD_NUMBER, &series, connections, |load| {
        load.extend(["--seconds".to_owned(), time.as_secs_f64().to_string()]);
        load.extend(["--warm-up-seconds".to_owned(), WARM_UP.as_secs_f64().to_string()]);
        if let Some(rate) = rate {
            load.extend(["--rate".to_owned(), rate.to_string()]);
        }
    })?;
    let figures = load_figures_within(load, whole, &bar).await?;
    bar.finish_and_clear();
    Ok(figures)
}

/// The figures of a load that runs for `time`.
async fn load_figures_within(load: Process, time: Duration, bar: &ProgressBar) -> anyhow::Result<LoadFigures> {
    let started = Instant::now();
    let figures = tokio::time::timeout(time + LOAD_PATIENCE, load_figures(load));
    tokio::pin!(figures);
    loop {
        tokio::select! {
            figures = &mut figures => break figures.context("the load does not come to its end")?,
            () = tokio::time::sleep(LOOK_EVERY) => bar.set_position(started.elapsed().as_secs()),
        }
    }
}

fn start_load(
    launcher: &Launcher,
    address: SocketAddr,
    from: &str,
    series: &str,
    connections: usize,
    until: impl FnOnce(&mut Vec<String>),
) -> anyhow::Result<Process> {
    let mut arguments: Vec<String> = ["bench", "load", "--from", from, "--series", series].map(str::to_owned).into();
    arguments.extend(["--address".to_owned(), address.to_string()]);
    arguments.extend(["--connections".to_owned(), connections.to_string()]);
    until(&mut arguments);
    launcher.start("load", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn load_figures(load: Process) -> anyhow::Result<LoadFigures> {
    serde_json::from_str(&load.finish().await?).context("the load's figures are not JSON")
}

/// Zero of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Says what goes on: a bar for people, a line for everybody else.
fn phase(what: &str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{what}");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let look = if length == 0 { "{spinner} {msg}" } else { "{spinner} {msg} {wide_bar} {pos}/{len}" };
    bar.set_style(ProgressStyle::with_template(look).expect("the templates above are well formed"));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// The median of some writes that reach the disk: what a commit cannot be faster than.
fn fsync_ms(folder: &Path) -> anyhow::Result<f64> {
    let trying = || format!("could not write to {}", folder.display());
    let mut file = std::fs::File::create(folder.join("fsync")).with_context(trying)?;
    let mut times = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        let started = Instant::now();
        file.write_all(&[0; FSYNC_BYTES]).and_then(|()| file.sync_data()).with_context(trying)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[FSYNCS / 2].as_secs_f64() * 1000.0)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
