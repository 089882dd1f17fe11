//! The folder, the bridge and the simulator of one demo.
//!
//! Settings and configuration are written as files first and then read like anybody's, so that a visitor who opens them
//! sees what is running, and the other commands can be pointed at them.

use std::{
    fs::Permissions,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use wabridge::{
    app::{App, open_store},
    services::{
        apply::{self, Surroundings},
        webhooks::Allowed,
    },
    settings::Settings,
    simulator::{Effect, Rule, SimulatedSender, Simulator, SimulatorSettings},
    store::create_private_folder,
    telemetry,
};

use super::{
    campaign::BUSINESS_NUMBER,
    provider::DemoProvider,
    week::{self, Owners},
};
use crate::cli::this_user;

pub(super) const ACCOUNT_ID: &str = "DEMO-ACCOUNT";
pub(super) const PASSCODE: &str = "demo-passcode";
const ACCESS_TOKEN: &str = "demo-access-token";
const APP_SECRET: &str = "demo-app-secret";
pub(super) const PHONE_NUMBER_ID: &str = "100000000000001";
pub(super) const WABA_ID: &str = "200000000000001";

/// The port that people expect; another one is taken when somebody has it.
const PORT: u16 = 8080;
/// Long enough for evidence from this machine, short enough for somebody who waits.
pub(super) const UNKNOWN_GRACE_S: u64 = 5;
/// What everybody's phone reports, at a pace that eyes can follow.
const STATUS_SCRIPT: &str = "sent@40,delivered@250,read@700";
/// As many reports as that makes of each message.
pub(super) const REPORTS_PER_MESSAGE: u64 = 3;
/// The simulator's table of fates has none for people who never open a message.
pub(super) const NEVER_READ: &str = "0020";
const NEVER_READ_SCRIPT: &str = "sent@40,delivered@300";
/// Statuses of one message that CleverTap may hear of, a reply included.
const CALLBACKS_PER_MESSAGE_MAX: usize = 6;
/// How long the first look at the template list may take.
const TEMPLATES_WAIT_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Where the demo keeps its files.
pub(super) enum FolderChoice {
    Temporary,
    Kept(PathBuf),
}

impl From<Option<PathBuf>> for FolderChoice {
    fn from(keep: Option<PathBuf>) -> Self {
        keep.map_or(Self::Temporary, Self::Kept)
    }
}

/// Everything that runs, and where.
pub(super) struct World {
    /// Of the bridge, without a slash at the end.
    pub(super) url: String,
    pub(super) app: App,
    pub(super) simulator: Simulator,
    pub(super) provider: DemoProvider,
    folder: PathBuf,
    /// Removes the folder; last, because the others work in it.
    temporary: Option<TempDir>,
}

impl World {
    pub(super) async fn start(
        folder: FolderChoice,
        listen: Option<SocketAddr>,
        provider: DemoProvider,
        (messages, messages_per_second): (u32, u32),
    ) -> anyhow::Result<Self> {
        let (folder, temporary) = make_folder(folder)?;
        // Kept until the bridge takes it over.
        let listener = match listen {
            Some(address) => {
                let taken = || format!("could not listen on {address}: choose another address with --listen");
                TcpListener::bind(address).with_context(taken)?
            }
            None => free_port()?,
        };
        let text = settings_text(&folder, listener.local_addr()?);
        let settings = Settings::from_text(&text)?;
        telemetry::start_logging(&settings.log)?;
        write(&folder, "wabridge.toml", &text)?;

        let simulator = Simulator::start(simulator_settings(provider, messages, messages_per_second)?).await?;
        // As Meta gives to a number that may send more than 80 a second.
        if let serde_json::Value::Object(fields) = serde_json::json!({"throughput": {"level": "HIGH"}}) {
            simulator.handle().change_node(PHONE_NUMBER_ID, fields);
        }
        let configuration = configuration_text(provider, simulator.url(), messages_per_second);
        write(&folder, "apply.toml", &configuration)?;
        configure(&settings, &configuration).await?;

        drop(listener);
        let app = App::start(settings).await?;
        let url = format!("http://{}", reachable(app.address));
        let webhook_url = format!("{url}{}", provider.webhook_path());
        simulator.handle().change_knobs(|knobs| knobs.webhook_url = Some(webhook_url))?;
        let world = Self { url, app, simulator, provider, folder, temporary };
        world.wait_for_templates().await?;
        Ok(world)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder will be gone with the demo.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The bridge stops first: what it has in flight wants an answer.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.app.stop().await;
        self.simulator.stop().await;
        self.temporary
            .map_or(Ok(()), TempDir::close)
            .with_context(|| format!("could not remove {}", self.folder.display()))
    }

    /// A message that comes earlier is looked up by itself, which is right but not what a campaign meets.
    async fn wait_for_templates(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let directory = &self.app.directory;
        while directory.snapshot().senders().any(|sender| directory.templates(sender).is_empty()) {
            ensure!(
                started.elapsed() < TEMPLATES_WAIT_MAX,
                "the bridge has not fetched the simulator's templates; is a firewall between this machine and itself?"
            );
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(())
    }
}

fn make_folder(choice: FolderChoice) -> anyhow::Result<(PathBuf, Option<TempDir>)> {
    match choice {
        FolderChoice::Temporary => {
            let private = Permissions::from_mode(0o700);
            let folder = tempfile::Builder::new().prefix("wabridge-demo-").permissions(private).tempdir();
            let folder = folder.context("could not make a temporary folder; name one with --keep DIR")?;
            Ok((folder.path().to_owned(), Some(folder)))
        }
        FolderChoice::Kept(folder) => {
            let reading = || format!("could not make the folder {}", folder.display());
            create_private_folder(&folder).with_context(reading)?;
            let folder = folder.canonicalize().with_context(reading)?;
            let empty = folder.read_dir().with_context(reading)?.next().is_none();
            ensure!(empty, "{} is not empty: name a new folder for --keep", folder.display());
            Ok((folder, None))
        }
    }
}

/// Where somebody on this machine finds it.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(all) if all.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(all) if all.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

fn free_port() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    listener.context("could not find a free port")
}

fn settings_text(folder: &Path, address: SocketAddr) -> String {
    // As TOML strings, whatever the folder is called.
    let text = |text: String| toml::Value::from(text).to_string();
    let database = text(format!("sqlite://{}", folder.join("wabridge.db").display()));
    let key = text(folder.join("master.key").display().to_string());
    let media = text(folder.join("media").display().to_string());
    // Nobody finds what listens everywhere by that.
    let public_url = if address.ip().is_unspecified() { String::new() } else { format!("http://{address}") };
    format!(
        r#"# The settings of this demo. What is not here has its default, which `wabridge settings` prints.

[server]
bind = "{address}"
# Where WhatsApp finds it: the connection's check compares it with what is subscribed.
public_url = "{public_url}"
shutdown_timeout = "5s"

[database]
url = {database}

[security]
master_key_file = {key}
# WhatsApp and CleverTap are played by a program on this machine.
allow_private_networks = true

[media]
directory = {media}

[instance]
id = "demo"

[send]
# The simulator answers at once, or never, or when its statuses were taken: within three seconds.
connect_timeout = "4s"
timeout = "4s"
# When an answer is lost, a status from WhatsApp is the evidence that the message went out. Here it comes within a
# second or never; the default waits for two minutes.
unknown_grace = "{UNKNOWN_GRACE_S}s"

[log]
# On purpose the campaign calls with a wrong passcode, one template is paused, the simulator breaks off connections, and afterwards CleverTap
# refuses a reply and a part of a webhook cannot be understood.
filter = "warn,wabridge::services::accept=error,wabridge::services::alarms=error,wabridge::services::ingest=error,wabridge::worker::dead=error,actix_http::h1=off"
"#
    )
}

fn configuration_text(provider: DemoProvider, simulator_url: &str, messages_per_second: u32) -> String {
    let slug = provider.slug();
    let credentials = provider.connection(PHONE_NUMBER_ID, ACCESS_TOKEN, APP_SECRET);
    let (number_id, account_id) = provider.ids(PHONE_NUMBER_ID, WABA_ID);
    format!(
        r#"# What `wabridge apply` was given. Yours has the provider's own address (the default), your own credentials, better kept
# in the environment as "${{NAME}}", and the callback URLs that CleverTap shows you.

[[connections]]
id = "demo"
provider = "{slug}"
base_url = "{simulator_url}"
{credentials}

[[accounts]]
id = "acme"
name = "Acme Retail"
platform = "clevertap"
clevertap_account_id = "{ACCOUNT_ID}"
clevertap_passcode = "{PASSCODE}"
delivery_report_callback_url = "{simulator_url}/clevertap/delivery-reports/acme"
inbound_message_callback_url = "{simulator_url}/clevertap/inbound/acme"
default_country = "IN"
time_zone = "Asia/Kolkata"

[[accounts.senders]]
number = "{BUSINESS_NUMBER}"
connection = "demo"
phone_number_id = "{number_id}"
waba_id = "{account_id}"
messages_per_second = {messages_per_second}
"#
    )
}

/// The same steps as `wabridge apply`; and a week that lies behind.
async fn configure(settings: &Settings, text: &str) -> anyhow::Result<()> {
    let environment = |_: &str| None;
    let surroundings = Surroundings::new(&environment, Allowed::by(settings), &settings.retention);
    let file = apply::parse(text, "apply.toml", &surroundings).map_err(apply::ApplyError::Problems)?;
    let store = open_store(settings).await?;
    apply::apply(&store, &this_user(), &file).await?;
    // A bridge that has nothing behind it shows little.
    let configured = store.load_configuration().await?;
    let account = configured.accounts.first().context("an account was applied")?.key;
    let sender = configured.senders.first().context("a number was applied")?.key;
    let owners = Owners { account, sender, subscriptions: configured.subscriptions };
    store.remember(week::write(&owners, wabridge::clock::now())).await?;
    Ok(())
}

fn simulator_settings(
    provider: DemoProvider,
    messages: u32,
    messages_per_second: u32,
) -> anyhow::Result<SimulatorSettings> {
    let defaults = SimulatorSettings::default();
    let mut knobs = defaults.knobs.clone();
    knobs.access_token = ACCESS_TOKEN.to_owned();
    knobs.app_secret = APP_SECRET.to_owned();
    knobs.webhook_secret = APP_SECRET.to_owned();
    knobs.dialect = provider.dialect();
    knobs.status_script = script(STATUS_SCRIPT)?;
    let sender = SimulatedSender {
        phone_number_id: PHONE_NUMBER_ID.to_owned(),
        display_number: BUSINESS_NUMBER.trim_start_matches('+').to_owned(),
        waba_id: WABA_ID.to_owned(),
        messages_per_second: Some(messages_per_second),
    };
    // Everything is kept, because everything is counted; later messages push out the oldest.
    let messages = messages as usize;
    Ok(SimulatorSettings {
        senders: vec![sender],
        rules: vec![Rule::suffix(NEVER_READ, Effect::Statuses(script(NEVER_READ_SCRIPT)?))],
        sends_kept_max: 2 * messages,
        callbacks_kept_max: CALLBACKS_PER_MESSAGE_MAX * messages,
        knobs,
        ..defaults
    })
}

fn script(text: &str) -> anyhow::Result<wabridge::simulator::StatusScript> {
    text.parse().map_err(anyhow::Error::msg)
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn the_files_of_a_demo_are_read_like_anybodys() {
        let settings = settings_text(Path::new("/tmp/a \"quoted\" folder"), (Ipv4Addr::LOCALHOST, PORT).into());

        let settings = Settings::from_text(&settings).expect("the demo's settings fit together");
        let environment = |_: &str| None;
        let surroundings = Surroundings::new(&environment, Allowed::by(&settings), &settings.retention);
        assert_eq!(*settings.database.url, *"sqlite:///tmp/a \"quoted\" folder/wabridge.db");
        for provider in DemoProvider::value_variants() {
            let configuration = configuration_text(*provider, "http://127.0.0.1:4700", 200);
            let file =
                apply::parse(&configuration, "apply.toml", &surroundings).expect("the demo's configuration is right");
            assert_eq!((file.connections.len(), file.accounts.len(), file.senders.len()), (1, 1, 1));
            simulator_settings(*provider, 1, 200).expect("the scripts are well formed");
        }
    }
}
