//! The command line: what can be asked of wabridge, and handing it over.

mod cli;

use std::{path::PathBuf, process::ExitCode};

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, value_parser};
use wabridge::{
    http::openapi,
    settings::{Settings, reference},
    simulator::SimulatorSettings,
    telemetry,
};

/// For SQLite and the rest that is not Rust as well. How it keeps house stands in `.cargo/config.toml`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use cli::{
    alarm::AlarmArguments,
    apply::ApplyArguments,
    backup::BackupArguments,
    bench::BenchArguments,
    check::CheckArguments,
    demo::DemoArguments,
    export::ExportArguments,
    forget::ForgetArguments,
    hold::{HoldArguments, ReleaseArguments},
    message::MessageArguments,
    person::PersonArguments,
    queue::QueueArguments,
    replay::ReplayArguments,
    restore::RestoreArguments,
    rotate_key::RotateKeyArguments,
    status::StatusArguments,
    suppress::SuppressArguments,
    sync::SyncArguments,
    token::TokenArguments,
    unrecognized::UnrecognizedArguments,
    user::UserArguments,
    webhook::WebhookArguments,
};

const ABOUT: &str = "The WhatsApp provider endpoint for CleverTap: durable, paced, in order";

const EXAMPLES: &str = "\
Examples:
  wabridge demo                                see it work on this machine, with nothing to set up
  wabridge                                     run the bridge (the same as `wabridge serve`)
  wabridge settings                            the settings in effect, and how to write them
  wabridge apply customers.toml --dry-run      what the file would change
  META_TOKEN=… wabridge apply customers.toml   change it, also beside a running server
  wabridge status                              queues, holds, and what is owed to callback URLs
  wabridge message '7|1790000000|20261120|7|0' where is this message?
  wabridge queue pause --campaign 1790000000   stop a campaign in the middle
  wabridge suppress import optouts.csv         who must not be sent marketing messages

Settings come from wabridge.toml (or --settings FILE) and from environment variables such as
WABRIDGE__DATABASE__URL; everything has a default.";

const SETTINGS_EXAMPLES: &str = "\
Examples:
  wabridge settings                       what this command, run here, would work with
  wabridge settings > wabridge.toml       a file to begin with; put the secrets in, and leave out what may stay as it is
  WABRIDGE__SEND__TIMEOUT=20s wabridge settings | grep -A9 '^\\[send\\]'
                                          does the environment variable arrive?
  wabridge settings --reference           what each setting is for, with its default

Later wins: defaults, the file, the environment. Exit codes: 0; 1 a setting is wrong, the text says which.";

const SIMULATOR_EXAMPLES: &str = "\
Examples:
  wabridge simulator --webhook-url http://127.0.0.1:8080/webhooks/meta/sim
                                               everything goes well, except for numbers with certain endings
  wabridge simulator --scenario trial.toml     what shall go wrong, for whom and when, from a file
  curl -X PATCH http://127.0.0.1:4700/control/knobs -d '{\"pair_limit\": true}'
                                               every option below can be turned while it runs

A scenario:
  [[rules]]
  recipient_suffix = \"77\"
  statuses = \"sent@100,failed:131026@500\"      # milliseconds after it was accepted
  [[timeline]]
  at = \"5s\"
  template_status = { name = \"order_update\", language = \"en\", status = \"PAUSED\" }

All endings of numbers, rules, events and controls: docs/simulator.md.";

#[derive(Parser)]
#[command(name = "wabridge", version, about = ABOUT, after_help = EXAMPLES)]
struct CommandLine {
    /// The settings file [default: wabridge.toml, when it exists]
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the bridge; this is what happens without a command
    ///
    /// The first start creates the folder data with an SQLite file and a master key, and says what to do next.
    Serve,
    Demo(DemoArguments),
    /// Run a WhatsApp Cloud API and a CleverTap that live on this machine, for trials and tests
    #[command(after_help = SIMULATOR_EXAMPLES)]
    Simulator(Box<SimulatorSettings>),
    Apply(ApplyArguments),
    Status(StatusArguments),
    Check(CheckArguments),
    Alarm(AlarmArguments),
    Webhook(WebhookArguments),
    Message(MessageArguments),
    Queue(QueueArguments),
    Suppress(SuppressArguments),
    Person(PersonArguments),
    Forget(ForgetArguments),
    Sync(SyncArguments),
    Unrecognized(UnrecognizedArguments),
    Hold(HoldArguments),
    Release(ReleaseArguments),
    Replay(ReplayArguments),
    Export(ExportArguments),
    Backup(BackupArguments),
    Restore(RestoreArguments),
    RotateKey(RotateKeyArguments),
    User(UserArguments),
    Token(TokenArguments),
    Bench(BenchArguments),
    /// Print the OpenAPI document of the bridge’s own endpoints
    Openapi,
    /// Print the settings in effect, secrets blanked
    ///
    /// What is printed can be saved as wabridge.toml. Every setting can also be given by an environment
    /// variable: send.timeout by WABRIDGE__SEND__TIMEOUT.
    #[command(after_help = SETTINGS_EXAMPLES)]
    Settings {
        /// Print what every setting is for, with its default, as a page in Markdown
        #[arg(long)]
        reference: bool,
        /// Print what every metric of /metrics is for, as a page in Markdown
        #[arg(long, conflicts_with = "reference")]
        metrics: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(command_line()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", telemetry::Chain(error.as_ref()));
            error.downcast_ref::<cli::Refusal>().map_or(ExitCode::FAILURE, |refusal| ExitCode::from(refusal.code))
        }
    }
}

/// What does not look at anybody's settings.
const WITHOUT_SETTINGS: [&str; 3] = ["demo", "bench", "openapi"];

/// Reads the command line. Where a settings file has no effect, `--help` does not offer it.
fn command_line() -> CommandLine {
    let hidden = |command: clap::Command| {
        let settings = Arg::new("settings").long("settings").value_parser(value_parser!(PathBuf));
        command.arg(settings.hide(true))
    };
    let mut command = CommandLine::command();
    for name in WITHOUT_SETTINGS {
        command = command.mut_subcommand(name, hidden);
    }
    CommandLine::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

async fn run(command_line: CommandLine) -> anyhow::Result<ExitCode> {
    let file = command_line.settings;
    let settings = || {
        let settings = Settings::load(file.as_deref())?;
        telemetry::start_logging(&settings.log)?;
        anyhow::Ok(settings)
    };
    let done = match command_line.command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve::serve(settings()?).await,
        // It must not come near anybody's own database, so it does not even learn of it.
        Command::Demo(_) if file.is_some() => anyhow::bail!("the demo has settings of its own: leave out --settings"),
        Command::Demo(demo) => cli::demo::demo(demo).await,
        Command::Simulator(simulator) => {
            settings()?;
            cli::serve::simulate(*simulator).await
        }
        Command::Apply(arguments) => cli::apply::apply_file(&settings()?, &arguments).await,
        Command::Status(arguments) => return cli::status::status(&settings()?, &arguments).await,
        Command::Check(arguments) => {
            let settings = settings()?;
            return cli::check::check((&settings, file.as_deref()), &arguments).await;
        }
        Command::Webhook(arguments) => return cli::webhook::webhook(&settings()?, &arguments).await,
        Command::Alarm(arguments) => return cli::alarm::alarm(&settings()?, &arguments).await,
        Command::Message(arguments) => return cli::message::message(&settings()?, &arguments).await,
        Command::Unrecognized(arguments) => return cli::unrecognized::unrecognized(&settings()?, &arguments).await,
        Command::Queue(arguments) => return cli::queue::queue(&settings()?, &arguments).await,
        Command::Suppress(arguments) => return cli::suppress::suppress(&settings()?, &arguments).await,
        Command::Person(arguments) => return cli::person::person(&settings()?, &arguments).await,
        Command::Forget(arguments) => return cli::forget::forget(&settings()?, &arguments).await,
        Command::Sync(arguments) => return cli::sync::sync(&settings()?, &arguments).await,
        Command::Hold(arguments) => cli::hold::hold(&settings()?, &arguments).await,
        Command::Release(arguments) => return cli::hold::release(&settings()?, &arguments).await,
        Command::Replay(arguments) => return cli::replay::replay(&settings()?, &arguments).await,
        Command::Export(arguments) => return cli::export::export(&settings()?, &arguments).await,
        Command::Backup(arguments) => return cli::backup::backup(&settings()?, &arguments).await,
        Command::Restore(arguments) => return cli::restore::restore(&settings()?, &arguments).await,
        Command::RotateKey(arguments) => return cli::rotate_key::rotate_key(&settings()?, &arguments).await,
        Command::User(arguments) => return cli::user::user(&settings()?, &arguments).await,
        Command::Token(arguments) => return cli::token::token(&settings()?, &arguments).await,
        Command::Bench(_) if file.is_some() => anyhow::bail!("the bench has settings of its own: leave out --settings"),
        Command::Bench(arguments) => cli::bench::bench(&arguments).await,
        Command::Openapi => cli::answer(&openapi::render()),
        Command::Settings { reference: true, .. } => cli::answer(&reference::markdown()),
        Command::Settings { metrics: true, .. } => cli::answer(&telemetry::metrics_markdown()),
        Command::Settings { reference: false, metrics: false } => cli::answer(&settings()?.render()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
