//! Loses nothing, repeats nothing: the real program under faults, and a judge that compares the journals.
//!
//! Each scenario puts the program up as one or more processes between both sides of the simulator, keeps it under load,
//! does one kind of harm from a seeded plan, waits until everything has come to rest, and asks the [`checker`]. There is
//! no verdict on times: a busy machine is late, and no promise is broken by that. With `--times` there is one.
//!
//! Short with the other tests; long by `cargo test --test faults -- --rounds 200 kill`: see `tests/README.md`. It has a
//! command line of its own, because how long and with which seed is asked of a person, and libtest has no room for that.
//!
//! With the feature `broken-engine` it is the judge that is tested: see [`broken`].

mod broken;
mod checker;
mod configuration;
mod load;
mod peer;
mod postgres;
mod scenarios;
mod skewed_clock;
mod stage;
mod wire;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::OnceCell;
use wabridge::sabotage::Sabotage;

use crate::{
    checker::{Allowed, Verdict, check},
    configuration::FaultsProvider,
    postgres::Postgres,
    scenarios::{SCENARIOS, Scenario},
    skewed_clock::SkewedClock,
    stage::{Plan, Stage, ThroughPeer},
};

/// Kills the real program, its database and its peers, and looks whether anything was lost or repeated.
#[derive(Parser)]
struct Options {
    /// Only scenarios whose name contains one of these.
    names: Vec<String>,
    /// Only this scenario.
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// How often each scenario does its harm.
    #[arg(long)]
    rounds: Option<u32>,
    /// Go through the scenarios again and again, for so long.
    #[arg(long)]
    minutes: Option<u64>,
    /// Repeats the plan of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Only on this database.
    #[arg(long)]
    database: Option<DatabaseKind>,
    /// Judge times too, and the pace to the message: for a release build on a machine that has nothing else to do.
    #[arg(long)]
    times: bool,
    /// Who carries the messages.
    #[arg(long, value_enum, default_value_t = FaultsProvider::Meta)]
    provider: FaultsProvider,
    /// Keep the folders with databases and logs.
    #[arg(long)]
    keep: bool,
    /// What scenarios there are.
    #[arg(long)]
    list: bool,
    /// `cargo test` may say so to all of its targets; it changes nothing here.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(short, long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true, value_name = "COUNT")]
    test_threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DatabaseKind {
    Sqlite,
    Postgres,
}

impl DatabaseKind {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// One scenario on one database.
pub(crate) struct Course<'a> {
    database: DatabaseKind,
    pub(crate) provider: FaultsProvider,
    /// How often to do harm.
    pub(crate) rounds: u32,
    seed: u64,
    keep: bool,
    times: bool,
    sabotage: Option<Sabotage>,
    postgres: &'a OnceCell<Postgres>,
}

/// What a scenario needs of its stage.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) instances: usize,
    pub(crate) numbers: usize,
    /// Of each number.
    pub(crate) messages_per_second: u32,
    /// Asked for, of all numbers together.
    pub(crate) load_per_second: usize,
    pub(crate) account: &'static str,
    /// Where to find the database, when not where the course has it.
    pub(crate) database_url: Option<String>,
    pub(crate) other_account: bool,
    /// Share of the readers who write in reply.
    pub(crate) replies: f64,
    pub(crate) through_peer: ThroughPeer,
    pub(crate) clock: Option<SkewedClock>,
    pub(crate) database_folder: Option<PathBuf>,
    /// Nobody is harmed who would have to be missed soon, and nothing may be told again: so a machine that stands still for
    /// seconds must not make anybody give up waiting for an answer.
    pub(crate) undisturbed: bool,
}

impl Course<'_> {
    pub(crate) async fn stage(&self, wish: Wish) -> anyhow::Result<Stage> {
        let database_url = match (self.database, wish.database_url) {
            (DatabaseKind::Sqlite, _) => None,
            (DatabaseKind::Postgres, None) => Some(self.postgres().await?.database().await?),
            (DatabaseKind::Postgres, there) => there,
        };
        if let (Some(clock), Some(url)) = (&wish.clock, &database_url) {
            clock.replace_postgres_clock(url).await?;
        }
        let mut stage = Stage::new(Plan {
            provider: self.provider,
            database_url,
            database_folder: wish.database_folder,
            numbers: wish.numbers.max(1),
            messages_per_second: wish.messages_per_second,
            account: wish.account.to_owned(),
            other_account: wish.other_account,
            replies: wish.replies,
            through_peer: wish.through_peer,
            judges_times: self.times,
            undisturbed: wish.undisturbed,
            clock: wish.clock,
            seed: self.seed,
            keep: self.keep,
            sabotage: self.sabotage,
        })
        .await?;
        for _ in 0..wish.instances.max(1) {
            stage.start_instance().await?;
        }
        Ok(stage)
    }

    pub(crate) async fn postgres(&self) -> anyhow::Result<&Postgres> {
        self.postgres.get_or_try_init(|| async { Postgres::start() }).await
    }

    /// The dice of the plan. Another scenario may throw more of them without changing this one's.
    pub(crate) fn dice(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// Waits until everything has come to rest, and judges.
    pub(crate) async fn end(&self, mut stage: Stage, allowed: Allowed) -> anyhow::Result<Verdict> {
        let settled = stage.settle().await;
        let verdict = check(&stage.evidence(), Allowed { judges_times: self.times, ..allowed });
        if self.sabotage.is_none() && (settled.is_err() || !verdict.findings.is_empty()) {
            stage.keep();
            say(&format!("  database and logs stay in {}", stage.kept().display()));
        }
        // What was lost for good is why it does not come to rest.
        if verdict.findings.is_empty() {
            settled?;
        }
        stage.leave().await?;
        Ok(verdict)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        SCENARIOS.iter().for_each(|scenario| say(&listed(scenario, options.provider)));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let clean = runtime.expect("a runtime").block_on(async {
        tokio::select! {
            clean = run(&options) => clean,
            // So that what was started ends with this.
            _ = tokio::signal::ctrl_c() => false,
        }
    });
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn listed(scenario: &Scenario, provider: FaultsProvider) -> String {
    let left_out = provider.leaves_out(scenario.name);
    let left_out = left_out.map(|why| format!(" [not with {}: {why}]", provider.slug())).unwrap_or_default();
    format!("{}: {}{left_out}", scenario.name, scenario.about)
}

/// Everything that is named among what providers leave out is there.
fn check_names() -> Result<(), String> {
    let is_there = |name: &&str| SCENARIOS.iter().any(|scenario| scenario.name == *name);
    let mut unknown = FaultsProvider::named_scenarios().filter(|name| !is_there(name));
    unknown.next().map_or(Ok(()), |name| Err(format!("no scenario is called {name}, which a provider leaves out")))
}

async fn run(options: &Options) -> bool {
    if let Err(problem) = checker::check_itself().and_then(|()| check_names()) {
        say(&format!("the checker is wrong: {problem}"));
        return false;
    }
    let seed = options.seed.unwrap_or_else(rand::random);
    let postgres = OnceCell::new();
    if cfg!(feature = "broken-engine") {
        return broken::all_are_caught(seed, &postgres).await;
    }
    let until = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let mut clean = true;
    let mut seed = seed;
    loop {
        clean &= run_once(options, seed, &postgres).await;
        if until.is_none_or(|until| Instant::now() >= until) {
            return clean;
        }
        seed = seed.wrapping_add(1);
    }
}

async fn run_once(options: &Options, seed: u64, postgres: &OnceCell<Postgres>) -> bool {
    let mut clean = true;
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(options, scenario)) {
        let databases = scenario.databases.iter().copied();
        for database in databases.filter(|kind| options.database.is_none_or(|only| only == *kind)) {
            let rounds = options.rounds.unwrap_or(scenario.rounds);
            let (provider, keep, times) = (options.provider, options.keep, options.times);
            let course = Course { database, provider, rounds, seed, keep, times, sabotage: None, postgres };
            clean &= run_course(scenario, &course).await.is_some_and(|verdict| verdict.findings.is_empty());
        }
    }
    clean
}

fn wanted(options: &Options, scenario: &Scenario) -> bool {
    let named = options.names.is_empty() || options.names.iter().any(|name| scenario.name.contains(name.as_str()));
    named
        && options.provider.leaves_out(scenario.name).is_none()
        && options.fault.as_ref().is_none_or(|name| name == scenario.name)
}

/// `None`: the stage itself failed.
async fn run_course(scenario: &Scenario, course: &Course<'_>) -> Option<Verdict> {
    let started = Instant::now();
    let (name, database, seed) = (scenario.name, course.database.name(), course.seed);
    let result = (scenario.run)(course).await;
    let took = started.elapsed().as_secs();
    match result {
        Ok(verdict) => {
            say(&format!("{name} on {database}, {} rounds, seed {seed}, {took} s: {verdict}", course.rounds));
            verdict.findings.iter().take(FINDINGS_SHOWN).for_each(|finding| say(&format!("  {finding:?}")));
            Some(verdict)
        }
        Err(error) => {
            say(&format!("{name} on {database}, seed {seed}, {took} s: could not be judged: {error:#}"));
            None
        }
    }
}

const FINDINGS_SHOWN: usize = 20;

fn say(text: &str) {
    use std::io::Write as _;
    // Nobody reads it any more.
    drop(writeln!(std::io::stdout(), "{text}"));
}
