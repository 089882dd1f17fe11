//! `wabridge bench`: how fast is it here, and is that fast enough?
//!
//! Figures from somebody else's machine say little, and a rate alone says less. So everything is measured in one
//! run on one machine, and accepting is told as a ratio to a *bare* handler: the same framework, the same body,
//! nothing checked and nothing stored.
//!
//! # The cast, each a process of its own
//!
//! - the bridge: `wabridge serve` with its defaults, a folder and a database of its own ([`scene`]);
//! - the simulator: `wabridge simulator`, which answers at once and posts each status as a webhook of its own;
//! - the bare handler ([`bare`]) and the load ([`load`]): hidden commands of this executable.
//!
//! # The phases
//!
//! 1. A few hundred messages go round, so that connections, statements and templates are warm.
//! 2. The whole circle ([`circle`]), with the counts of the bridge's own metrics and of `/proc`.
//! 3. Accepts, at few and at many connections, the bare handler's turn just before the bridge's. They go to a number
//!    that is on hold: what is measured is accepting, not sending.
//!
//! Everybody shares the machine's cores, as the targets say. A busy machine gives low figures; ratios suffer less.
//! Figures are reported, not asserted: the command fails when something could not be run, and with `--strict` when
//! a target is missed.

mod bare;
mod circle;
mod load;
mod message;
mod processes;
mod report;
mod scene;
mod wire;

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use wabridge::{settings::Settings, store};

use self::{
    circle::CircleFigures,
    load::{LoadArguments, LoadFigures},
    processes::{Launcher, Process},
    report::{AcceptFigures, Machine, Report},
    scene::{FAST_NUMBER, HELD_NUMBER, Scene},
};
use super::answer;

/// Measure this machine: accepts, the whole circle, and what they cost
///
/// Starts a bridge, a simulator and the load as processes with a folder of their own (in TMPDIR; it should lie on
/// the disk that matters), and compares with a handler that only reads the same body. Takes a minute or two, and all
/// cores. Nothing of your settings and data is touched.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    /// Messages that go through the whole circle
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// How long accepting is measured, each time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// An empty PostgreSQL database (postgres://…) instead of an SQLite file; what is stored there stays there
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The processes that only a bench needs.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Load(LoadArguments),
    #[command(hide = true)]
    Bare,
}

/// Few callers, and many.
const ACCEPT_CONNECTIONS: [usize; 2] = [64, 1500];
/// Beside those of the load: the bridge's own connections to the simulator, its database, its log.
const OTHER_FILES: u64 = 1000;
/// Before accepting is measured.
const WARM_UP: Duration = Duration::from_secs(1);
const ACCEPT_PATIENCE: Duration = Duration::from_secs(60);
/// How often the disk is asked for an fsync.
const FSYNCS: usize = 100;
const FSYNC_BYTES: usize = 4096;

pub(crate) async fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    match &arguments.part {
        Some(Part::Load(load)) => answer(&load::run(load)?),
        Some(Part::Bare) => bare::serve().await,
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
    let scene = Scene::start(arguments.database.as_deref(), open_files).await?;
    let fsync_ms = arguments.database.is_none().then(|| fsync_ms(scene.folder.path())).transpose()?;
    bar.finish_and_clear();

    let circle = measure_circle(&scene, arguments.messages).await?;
    let mut accepts = Vec::with_capacity(ACCEPT_CONNECTIONS.len());
    for connections in ACCEPT_CONNECTIONS {
        accepts.push(measure_accepts(&scene, connections, Duration::from_secs(arguments.seconds)).await?);
    }

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = Machine { cores, processor: processor(), fsync_ms };
    let database = if arguments.database.is_some() { "postgres" } else { "sqlite" };
    let report = Report::new(machine, database, circle, accepts, scene.bridge.memory_peak_bytes());
    if arguments.json {
        let json = serde_json::to_string_pretty(&report).context("could not write the figures")?;
        answer(&format!("{json}\n"))?;
    } else {
        answer(&report.for_people())?;
    }
    ensure!(!arguments.strict || report.all_met(), "a target was missed");
    Ok(())
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

async fn measure_circle(scene: &Scene, messages: u64) -> anyhow::Result<CircleFigures> {
    let connections = circle::CONNECTIONS;
    let bar = phase("warming up", circle::WARM_UP_MESSAGES);
    let load = start_load(&scene.launcher, scene.bridge_address, FAST_NUMBER, "warm-up", connections, |load| {
        load.extend(["--messages".to_owned(), circle::WARM_UP_MESSAGES.to_string()]);
    })?;
    let warm = load_figures(load).await?;
    ensure!(warm.not_successful == 0, "the first messages were refused: {}", warm.failure.unwrap_or_default());
    circle::come_round(scene, circle::WARM_UP_MESSAGES, &bar).await?;
    bar.finish_and_clear();
    scene.control("POST", "/control/reset", "").await?;

    let bar = phase(&format!("the whole circle, {messages} messages"), messages);
    let before = scene.counters().await?;
    let load = start_load(&scene.launcher, scene.bridge_address, FAST_NUMBER, "circle", connections, |load| {
        load.extend(["--messages".to_owned(), messages.to_string()]);
    })?;
    let accepts = load_figures(load).await?;
    let stats = circle::come_round(scene, accepts.answers - accepts.not_successful, &bar).await?;
    let ended_at = SystemTime::now();
    let after = scene.counters().await?;
    bar.finish_and_clear();
    circle::figures(accepts, ended_at, &stats, &before, &after, scene.bridge.memory_peak_bytes())
}

/// The bare handler's turn, then the bridge's.
async fn measure_accepts(scene: &Scene, connections: usize, time: Duration) -> anyhow::Result<AcceptFigures> {
    let mut bare = scene.launcher.start("bare handler", &["bench", "bare"])?;
    let address = bare.address().await?;
    let bare_figures = accepts_at(scene, address, "the bare handler", connections, time).await?;
    bare.end().await?;
    ensure!(bare_figures.not_successful == 0, "the bare handler failed: {}", bare_figures.failure.unwrap_or_default());

    let cpu_before = scene.bridge.cpu_time();
    let figures = accepts_at(scene, scene.bridge_address, "accepts", connections, time).await?;
    let cpu = scene.bridge.cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    Ok(AcceptFigures::new(connections, bare_figures, figures, cpu.map(|cpu| cpu.as_secs_f64() * 1e6)))
}

async fn accepts_at(
    scene: &Scene,
    address: SocketAddr,
    what: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<LoadFigures> {
    let whole = WARM_UP + time;
    let bar = phase(&format!("{what}, {connections} connections"), whole.as_secs());
    let series = format!("accepts-{connections}");
    let load = start_load(&scene.launcher, address, HELD_NUMBER, &series, connections, |load| {
        load.extend(["--seconds".to_owned(), time.as_secs_f64().to_string()]);
        load.extend(["--warm-up-seconds".to_owned(), WARM_UP.as_secs_f64().to_string()]);
    })?;
    let started = Instant::now();
    let figures = tokio::time::timeout(whole + ACCEPT_PATIENCE, load_figures(load));
    tokio::pin!(figures);
    let figures = loop {
        tokio::select! {
            figures = &mut figures => break figures.context("the load does not come to its end")??,
            () = tokio::time::sleep(Duration::from_millis(500)) => bar.set_position(started.elapsed().as_secs()),
        }
    };
    bar.finish_and_clear();
    Ok(figures)
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
