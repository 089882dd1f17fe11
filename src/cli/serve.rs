//! `wabridge serve` and `wabridge simulator`: what runs until it is told to stop.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wabridge::{
    app::App,
    platforms, providers,
    settings::Settings,
    simulator::{Simulator, SimulatorSettings},
};

use super::answer;

pub(crate) async fn serve(settings: Settings) -> anyhow::Result<()> {
    let public_url = settings.public_url();
    let instance = settings.instance_id();
    let scheme = if settings.server.tls_certificate.is_some() { "https" } else { "http" };
    let database = settings.database.url.starts_with("sqlite:");
    let app = App::start(settings).await?;
    // From here on there is something to finish; before, a signal ends the process at once.
    let mut signals = StopSignals::listen()?;
    answer(&greeting(&app, scheme, &public_url, database))?;
    answer(&console_line(&app).await?)?;
    let replaced = tokio::select! {
        () = signals.any() => false,
        () = app.replaced() => true,
    };
    tracing::info!("stopping: finishing what is in flight");
    app.stop().await;
    tracing::info!("stopped");
    anyhow::ensure!(
        !replaced,
        "another wabridge was started with instance.id = {instance:?} on the same database, and has taken over all work. \
         Give each instance a name of its own: instance.id in its settings, or WABRIDGE__INSTANCE__ID"
    );
    Ok(())
}

/// Where we listen, and what to do next.
fn greeting(app: &App, scheme: &str, public_url: &str, sqlite: bool) -> String {
    let snapshot = app.directory.snapshot();
    let accounts: Vec<_> = snapshot.accounts().collect();
    let connections: Vec<_> = snapshot.connections().collect();
    let mut text = format!("wabridge listens on {scheme}://{}", app.address);
    if sqlite {
        text.push_str(", with an SQLite file as its database");
    }
    text.push('\n');
    for account in &accounts {
        text.push_str(&format!("  {}: POST {public_url}/{}/{}/messages\n", account.id, account.platform, account.id));
    }
    for connection in &connections {
        text.push_str(&format!(
            "  {}: webhooks to {public_url}/webhooks/{}/{}\n",
            connection.id, connection.provider, connection.id
        ));
    }
    if accounts.is_empty() || connections.is_empty() {
        let platforms: Vec<_> = platforms::ALL.iter().map(|platform| platform.slug()).collect();
        let providers: Vec<_> = providers::ALL.iter().map(|provider| provider.slug()).collect();
        text.push_str(&format!(
            "Nothing is connected yet. Next: a connection ({}), an account ({}) and its numbers, by the console\u{2019}s forms;\n\
             or as a file (`wabridge apply --help` shows one) with `wabridge apply FILE`, beside this running server.\n",
            providers.join(", "),
            platforms.join(", ")
        ));
    } else {
        text.push_str(
            "Next: `wabridge status` says how things stand, `wabridge message ID` tells one message\u{2019}s story.\n",
        );
    }
    let metrics =
        app.metrics_address.map_or_else(|| "/metrics".to_owned(), |address| format!("http://{address}/metrics"));
    text.push_str(&format!(
        "Health: {public_url}/healthz, /readyz, {metrics}. API: {public_url}/openapi.json. Stop with Ctrl-C.\n"
    ));
    text
}

/// Where the console is; nobody can come in there before the link was used.
async fn console_line(app: &App) -> anyhow::Result<String> {
    if !app.operators.settings().enabled {
        return Ok(String::new());
    }
    Ok(match app.operators.first_link().await? {
        Some(link) => format!(
            "Console: open {link}\n  and set your name and password there; it works once. `wabridge user link` prints another.\n"
        ),
        None => format!("Console: {}/console\n", app.operators.url()),
    })
}

pub(crate) async fn simulate(settings: SimulatorSettings) -> anyhow::Result<()> {
    let simulator = Simulator::start(settings).await?;
    answer(&format!(
        "The simulator listens on {0}\n  \
         Cloud API: base_url = \"{0}\" in a connection\n  \
         CleverTap: {0}/clevertap/delivery-reports and {0}/clevertap/inbound as callback URLs\n  \
         Controls:  {0}/control/stats\nStop with Ctrl-C.\n",
        simulator.url()
    ))?;
    wait_for_signal().await?;
    simulator.stop().await;
    Ok(())
}

/// Ctrl-C, or what a service manager sends.
pub(super) async fn wait_for_signal() -> anyhow::Result<()> {
    StopSignals::listen()?.any().await;
    Ok(())
}

/// What a person or a service manager says to stop; from [`StopSignals::listen`] on it is heard.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("could not listen for signals");
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// Until one of them comes.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
