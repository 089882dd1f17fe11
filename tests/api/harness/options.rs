//! What a scenario starts with, and how it changes that.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use wabridge::{settings::Settings, simulator::SimulatorSettings};

use super::{Database, PATIENCE};

pub(crate) const BUSINESS_NUMBER: &str = "+918880110022";
/// Of the business number, at the provider.
pub(crate) const NUMBER_ID: &str = "100000000000001";
pub(crate) const WABA_ID: &str = "200000000000001";
pub(crate) const CONNECTION: &str = "meta-main";
pub(crate) const ACCOUNT: &str = "acme";
pub(crate) const APP_SECRET: &str = "simulator-app-secret";
/// What every caller of the account shows, unless a test is about that.
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("X-CleverTap-Account-Id", "TEST-ACC-1"), ("X-CleverTap-Passcode", "acme-passcode")];

/// As the simulator wants them; and a second secret, as while it is being changed.
const META_CREDENTIALS: &str = r#"
        access_token = "simulator-access-token"
        app_secret = ["simulator-app-secret", "an-older-secret"]
        verify_token = "verify-me"
"#;

/// What a scenario may change before the stage is put up.
pub(crate) struct Options {
    pub(crate) settings: Settings,
    pub(crate) simulator: SimulatorSettings,
    /// Who carries: its slug, and the lines of its connection that prove who we are.
    pub(crate) provider: (&'static str, String),
    /// Lines for the section of the account.
    pub(crate) account: String,
    pub(crate) messages_per_second: u32,
    /// More sections; `{simulator}` becomes its URL.
    pub(crate) more: String,
    /// Run the program itself instead of a server in this process.
    pub(crate) as_process: bool,
    /// Let no other scenario run meanwhile: for what is measured.
    pub(crate) alone: bool,
    /// Begin with an empty database: no connection, no account, no number.
    pub(crate) unconfigured: bool,
    /// Do not wait for the list of templates.
    pub(crate) without_templates: bool,
}

impl Options {
    pub(super) fn new(database: &Database, folder: &TempDir) -> Self {
        let mut simulator = SimulatorSettings::default();
        // Every scenario says itself who fails how, and Meta's limit is a subject of its own.
        simulator.knobs.suffix_rules = false;
        simulator.knobs.messages_per_second = 0;
        Self {
            settings: settings(database, folder),
            simulator,
            provider: ("meta", META_CREDENTIALS.to_owned()),
            account: String::new(),
            messages_per_second: 1_000,
            more: String::new(),
            as_process: false,
            alone: false,
            unconfigured: false,
            without_templates: false,
        }
    }

    /// As a file that `wabridge apply` takes.
    pub(super) fn configuration(&self) -> String {
        let Self { account, messages_per_second, more, provider: (provider, credentials), .. } = self;
        format!(
            r#"
        [[connections]]
        id = "{CONNECTION}"
        provider = "{provider}"
        base_url = "{{simulator}}"
        {credentials}

        [[accounts]]
        id = "{ACCOUNT}"
        platform = "clevertap"
        clevertap_account_id = "TEST-ACC-1"
        clevertap_passcode = "acme-passcode"
        delivery_report_callback_url = "{{simulator}}/clevertap/delivery-reports/{ACCOUNT}"
        inbound_message_callback_url = "{{simulator}}/clevertap/inbound/{ACCOUNT}"
        default_country = "IN"
        {account}

        [[accounts.senders]]
        number = "{BUSINESS_NUMBER}"
        connection = "{CONNECTION}"
        phone_number_id = "{NUMBER_ID}"
        waba_id = "{WABA_ID}"
        messages_per_second = {messages_per_second}

        {more}
        "#
        )
    }
}

/// Where nobody listens now, nor is put by chance: this machine gives out higher ports to whoever asks for any.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let place = (std::process::id() % 100) as u16 * 100 + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + place));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What WhatsApp says of a message arrives in the order in which it happened: several webhooks at once overtake each other.
pub(crate) fn one_webhook_at_a_time(options: &mut Options) {
    options.simulator.knobs.webhooks_in_flight_max = 1;
}

fn settings(database: &Database, folder: &TempDir) -> Settings {
    let mut settings = Settings::defaults();
    settings.server.bind = "127.0.0.1:0".parse().expect("an address");
    settings.server.workers = 1;
    settings.server.shutdown_timeout = Duration::from_secs(10);
    settings.database.url = database.set_up(folder).into();
    settings.security.master_key_file = folder.path().join("master.key");
    settings.security.allow_private_networks = true;
    settings.media.directory = folder.path().join("media");
    settings.media.retry_waits = [50, 100, 200].map(Duration::from_millis).to_vec();
    // How full this machine's disk is is its own affair.
    settings.alarms.disk_free_min = 0;
    settings.instance.id = "test".to_owned();
    settings.send.retry_waits = [50, 100, 200].map(Duration::from_millis).to_vec();
    settings.relay.retry_waits = [50, 100, 200].map(Duration::from_millis).to_vec();
    settings.templates.webhook_delay = Duration::from_millis(100);
    // A busy machine may take its time for what is done at once elsewhere.
    settings.send.connect_timeout = settings.send.timeout;
    settings.relay.connect_timeout = settings.relay.timeout;
    // Or a webhook would come again, behind those after it.
    settings.limits.webhook_wait = PATIENCE / 2;
    settings.database.busy_timeout = Duration::from_secs(10);
    settings.database.answer_timeout = Duration::from_secs(14);
    settings
}

pub(crate) const OTHER_NUMBER: &str = "+918880110033";

/// A second account, `globex`, with the credentials of the first; lines of its own and [`OTHER_SENDER`] may follow.
pub(crate) const OTHER_ACCOUNT: &str = r#"
    [[accounts]]
    id = "globex"
    platform = "clevertap"
    clevertap_account_id = "TEST-ACC-1"
    clevertap_passcode = "acme-passcode"
    delivery_report_callback_url = "{simulator}/clevertap/delivery-reports/globex"
    inbound_message_callback_url = "{simulator}/clevertap/inbound/globex"
"#;

pub(crate) const OTHER_SENDER: &str = r#"
    [[accounts.senders]]
    number = "+918880110033"
    connection = "meta-main"
    phone_number_id = "100000000000002"
    waba_id = "200000000000001"
    messages_per_second = 1000
"#;
