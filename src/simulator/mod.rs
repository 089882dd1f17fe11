//! A WhatsApp Cloud API and a CleverTap, on the wire: for the demo, for load tests, and for your own tests.
//!
//! Nobody can rehearse a campaign against the real ones: they cost money, they disturb people, and they fail
//! when they like. This server speaks both protocols over HTTP, so that the bridge runs unchanged between them,
//! and it fails when *you* like. It imports nothing of the bridge: what one side misunderstands, the other
//! does not repeat.
//!
//! # The cast
//!
//! - `cloud_api` answers sends and lists templates; `sends` carries them, whatever `dialect` they come in
//!   (`gallabox` is one, whose `gallabox_lists` can be asked what was said). `checks` refuses what Meta refuses, with Meta's codes; `templates`
//!   holds what may be sent. `media` keeps files (`multipart` reads uploads, `sample_files` makes them up), `nodes` are
//!   the numbers and accounts that can be asked, and who is subscribed to them; `graph` is common to all of these.
//! - `dialog_360` is the same Cloud API under the paths and the header of 360dialog.
//! - `commbox` is CommBox, in an envelope of its own.
//! - `webhooks` is one task with one queue in order of time. It batches what is due, signs the bytes
//!   (`payloads` writes them as Meta does) and posts; what is not answered with 200 it posts again, later.
//!   `inbound` is what people write (`inbound_content`, and under which name: `people`), `events` what else happens.
//! - `clevertap` receives delivery reports and inbound messages, checks their shape strictly (`callback_shapes`),
//!   and keeps count; `subscribe` is CleverTap's Subscribe API, `import` its template import.
//! - `knobs`, `rules` and `script` say what goes wrong; a `scenario` holds them in a file, with a `timeline`. `handle` turns
//!   them in process ([`Handle`]), `control` under `/control`; `state` is the memory they share, `tally` counts and limits
//!   ([`Stats`]).
//!
//! # Who fails how
//!
//! A [`Rule`] picks sends by recipient, end of the number, template, number or share, for ever or for the next n,
//! and has one [`Effect`]. Rules that are given come first; then, unless `suffix_rules` is off, the last four digits
//! of the recipient decide, so that a demonstration tells the same story every time:
//!
//! | ends in | what happens |
//! |---|---|
//! | 0001 | accepted, then `failed` with 131026 (not on WhatsApp) |
//! | 0002 | accepted, then `failed` with 131049 (Meta chose not to deliver) |
//! | 0003 | accepted, then `failed` with 131047 (outside of the 24 hour window) |
//! | 0004 | accepted, then `failed` with 131050 (the person stopped marketing) |
//! | 0005 | refused at once with 131030 (not in the allow-list) |
//! | 0006 | `sent`, and never anything more |
//! | 0007 | accepted, and never any status |
//! | 0008 | `read`, `delivered`, `sent`: the wrong way round |
//! | 0009 | every status three times |
//! | 0010 | `sent`, then `read` without `delivered` |
//! | 0011 | `sent`, `delivered`, then `failed` with 131026 |
//! | 0012 | accepted, but the connection closes without an answer; the statuses come |
//! | 0013 | the connection closes without an answer, and nothing was accepted |
//! | 0014 | reads, then writes a text in reply |
//! | 0015 | reads, then taps the first quick reply button (or writes, if there is none) |
//! | 0016 | the statuses come before the answer to the send |
//!
//! Everybody else gets the `status_script`: `sent`, `delivered`, `read`, within a tenth of a second.
//!
//! # Two ways to run it
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use wabridge::simulator::{Simulator, SimulatorSettings};
//!
//! let simulator = Simulator::start(SimulatorSettings::default()).await?;
//! simulator.handle().change_knobs(|knobs| knobs.webhook_url = Some("http://127.0.0.1:8080/webhooks".into()))?;
//! // … point the bridge at simulator.url(), and send …
//! simulator.handle().wait_until(|stats| stats.sends_accepted == 10, Duration::from_secs(5)).await?;
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! or as a process of its own, `wabridge simulator`, with the same powers under `/control`.
//!
//! Deliberately absent: groups, calls, the creation of templates through the API, and anything that writes to a disk. When
//! the simulator stops, it has forgotten everything. For those who use it: `docs/simulator.md`.

mod callback_shapes;
mod checks;
mod clevertap;
mod cloud_api;
mod codes;
mod commbox;
mod control;
mod dialect;
mod dialog_360;
mod events;
mod gallabox;
mod gallabox_lists;
mod gotallo;
mod graph;
mod handle;
mod import;
mod inbound;
mod inbound_content;
mod knobs;
mod media;
mod multipart;
mod nodes;
mod payloads;
mod people;
mod rules;
mod sample_files;
mod scenario;
mod script;
mod sends;
mod state;
mod subscribe;
mod tally;
mod templates;
mod timeline;
mod webhooks;

use std::{io, path::PathBuf, str::FromStr, sync::Arc};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::{
    clevertap::{CallbackRecord, CallbackRule, CallbackStats, Endpoint},
    dialect::Dialect,
    events::Event,
    handle::{Handle, NotPossible, WaitedTooLong},
    import::{Import, ImportReport},
    inbound::{ContactCard, Inbound, InboundContent, InboundMedia, OrderItem},
    knobs::Knobs,
    people::{PersonIds, Timestamps},
    rules::{Effect, Refusal, RefusalBody, Rule, SendEndpoint},
    scenario::{Scenario, Step, TimelineStart},
    script::{Reported, StatusScript, StatusStep},
    tally::{RecordedSend, Stats},
    templates::SAMPLE_TEMPLATES,
    timeline::ScenarioProgress,
};
use self::{state::World, templates::TemplateList};

/// Meta's largest webhook is 3 MB and CleverTap's callbacks are smaller: more is a mistake.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// As long as load balancers keep a connection that is not used. Were it shorter than the callers keep theirs, now and then a
/// request would meet the closing of its connection half-way, and nobody could tell what became of it.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(60);

/// A running simulator. Dropping it stops it too, without waiting.
pub struct Simulator {
    world: Arc<World>,
    url: String,
    server: ServerHandle,
    stopped: CancellationToken,
    dispatcher: Option<tokio::task::JoinHandle<()>>,
}

impl Simulator {
    /// Listens, and starts the task that posts webhooks. Must be called inside a Tokio runtime.
    pub async fn start(mut settings: SimulatorSettings) -> Result<Self, StartError> {
        let mut scenario = starting_scenario(&mut settings)?;
        settings.senders.append(&mut scenario.senders);
        settings.knobs.validate().map_err(StartError::Settings)?;
        let templates = starting_templates(&settings)?;
        let mut rules = starting_rules(&settings)?;
        rules.append(&mut scenario.rules);
        scenario.rules.clone_from(&rules);
        let client = webhooks::client().map_err(StartError::Client)?;

        let address = (settings.bind.clone(), settings.port);
        let workers = settings.workers.max(1);
        let world = Arc::new(World::new(settings, templates, rules, client));
        let shared = web::Data::from(Arc::clone(&world));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .configure(control::routes)
                .configure(clevertap::routes)
                .configure(cloud_api::routes)
                .configure(commbox::routes)
                .configure(dialog_360::routes)
                .configure(gallabox::routes)
                .configure(gotallo::routes)
                .configure(media::routes)
                .configure(nodes::routes)
                .configure(subscribe::routes)
        })
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .disable_signals()
        .bind(&address)
        .map_err(|source| StartError::Bind { address: format!("{}, port {}", address.0, address.1), source })?;
        let bound = *server.addrs().first().expect("bind succeeded, so there is at least one address");
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);

        let stopped = CancellationToken::new();
        let dispatcher = tokio::spawn(webhooks::dispatch(Arc::clone(&world), stopped.clone()));
        let url = format!("http://{bound}");
        world.set_own_url(&url);
        timeline::play(&world, scenario).map_err(StartError::Settings)?;
        Ok(Self { world, url, server: handle, stopped, dispatcher: Some(dispatcher) })
    }

    /// Where it listens, without a slash at the end: the bridge's `base_url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The control desk. Clone it as you like.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.world))
    }

    /// Stops listening and posting. What waits is forgotten.
    pub async fn stop(mut self) {
        self.stopped.cancel();
        if let Some(dispatcher) = self.dispatcher.take()
            && let Err(error) = dispatcher.await
        {
            tracing::error!(%error, "the simulator's webhook task did not end well");
        }
        self.server.stop(false).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stopped.cancel();
        // The command leaves with the call; the future would only wait for its end.
        drop(self.server.stop(false));
    }
}

/// An address or a host's name.
fn address(text: &str) -> Result<String, String> {
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if is_address || (!text.is_empty() && !text.contains([':', '/', '['])) {
        return Ok(text.to_owned());
    }
    Err("write an address without a port, such as 127.0.0.1 or ::1; the port is --port".to_owned())
}

/// How a simulator starts. The knobs can be turned later, the rest cannot.
///
/// The defaults are those of the command line, except that [`Default`] takes any free port: tests run side by side.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulatorSettings {
    /// Address to listen on, without a port, which is --port. There is no access control under /control: keep it on the
    /// loopback address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", value_parser = address)]
    pub bind: String,

    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 4700)]
    pub port: u16,

    /// Threads that answer requests. One serves several thousand messages a second.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,

    /// A business number: PHONE_NUMBER_ID:DISPLAY_NUMBER:WABA_ID[:MESSAGES_PER_SECOND]; may be repeated.
    /// With none, every phone number id exists.
    #[arg(long = "sender", value_name = "SENDER")]
    pub senders: Vec<SimulatedSender>,

    /// JSON file with the templates, in the shape of Meta's template list; otherwise a built-in sample list.
    #[arg(long = "templates", value_name = "FILE")]
    pub templates_file: Option<PathBuf>,

    /// JSON file with a list of rules that say what goes wrong, as PUT /control/rules takes them.
    #[arg(long = "rules", value_name = "FILE")]
    pub rules_file: Option<PathBuf>,

    /// TOML file with a scenario: knobs, rules and a timeline, described in docs/simulator.md.
    /// Its rules come after those of --rules, its knobs win over options.
    #[arg(long = "scenario", value_name = "FILE")]
    pub scenario_file: Option<PathBuf>,

    /// A scenario given by a program: it wins over the file.
    #[arg(skip)]
    pub scenario: Option<Scenario>,

    /// Templates given by a program: they win over the file.
    #[arg(skip)]
    pub templates: Option<Vec<Value>>,

    /// Rules given by a program: they come before those of the file.
    #[arg(skip)]
    pub rules: Vec<Rule>,

    /// Seed of the dice that decide on shares: the same seed and the same order of sends give the same run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How many of the last sends are kept whole, for GET /control/sends.
    #[arg(long, default_value_t = 2_000)]
    pub sends_kept_max: usize,

    /// How many of the last callbacks are kept whole, for GET /control/clevertap/records. Counts are kept for all.
    #[arg(long, default_value_t = 50_000)]
    pub callbacks_kept_max: usize,

    #[command(flatten)]
    pub knobs: Knobs,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct CommandLine {
            #[command(flatten)]
            settings: SimulatorSettings,
        }
        let line: CommandLine = clap::Parser::parse_from(["simulator"]);
        Self { port: 0, ..line.settings }
    }
}

/// A business number that the simulator knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedSender {
    pub phone_number_id: String,
    /// Digits, as webhooks show it.
    pub display_number: String,
    pub waba_id: String,
    /// Its own rate instead of the knob's; 0 is no limit.
    #[serde(default)]
    pub messages_per_second: Option<u32>,
}

impl FromStr for SimulatedSender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (phone_number_id, display_number, waba_id, rate) = match parts[..] {
            [id, number, waba] => (id, number, waba, None),
            [id, number, waba, rate] => (id, number, waba, Some(rate)),
            _ => return Err("write PHONE_NUMBER_ID:DISPLAY_NUMBER:WABA_ID[:MESSAGES_PER_SECOND]".to_owned()),
        };
        let messages_per_second = rate
            .map(|rate| rate.parse().map_err(|_| format!("{rate:?} is not a number of messages per second")))
            .transpose()?;
        Ok(Self {
            phone_number_id: phone_number_id.to_owned(),
            display_number: state::digits(display_number),
            waba_id: waba_id.to_owned(),
            messages_per_second,
        })
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not listen on {address}: choose another --port or --bind, or stop what uses it")]
    Bind { address: String, source: io::Error },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not understand {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("could not understand the scenario {}: {problem}", path.display())]
    Scenario { path: PathBuf, problem: String },
    #[error("could not use the settings: {0}")]
    Settings(String),
    #[error("could not build the client that posts webhooks")]
    Client(#[source] reqwest::Error),
}

fn starting_scenario(settings: &mut SimulatorSettings) -> Result<Scenario, StartError> {
    if let Some(scenario) = settings.scenario.take() {
        return Ok(scenario);
    }
    let Some(path) = settings.scenario_file.clone() else { return Ok(Scenario::default()) };
    let text = std::fs::read_to_string(&path).map_err(|source| StartError::Read { path: path.clone(), source })?;
    Scenario::read(&text).map_err(|problem| StartError::Scenario { path, problem })
}

fn starting_templates(settings: &SimulatorSettings) -> Result<TemplateList, StartError> {
    let entries = match (&settings.templates, &settings.templates_file) {
        (Some(entries), _) => entries.clone(),
        (None, Some(path)) => read_json(path)?,
        (None, None) => templates::samples(),
    };
    TemplateList::new(entries).map_err(StartError::Settings)
}

fn starting_rules(settings: &SimulatorSettings) -> Result<Vec<Rule>, StartError> {
    let mut rules = settings.rules.clone();
    if let Some(path) = &settings.rules_file {
        rules.extend(read_json::<Vec<Rule>>(path)?);
    }
    Ok(rules)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &PathBuf) -> Result<T, StartError> {
    let text = std::fs::read(path).map_err(|source| StartError::Read { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| StartError::Parse { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_written_on_one_line() {
        let sender: SimulatedSender = "1001:+91 88801 10022:2001:20".parse().expect("four parts");
        assert_eq!(sender.display_number, "918880110022");
        assert_eq!(sender.messages_per_second, Some(20));
        assert!("1001:918880110022".parse::<SimulatedSender>().is_err());
    }

    #[test]
    fn tests_get_any_free_port() {
        assert_eq!(SimulatorSettings::default().port, 0);
    }
}
