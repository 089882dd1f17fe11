//! The stage: a bridge, a database, and the simulator on both sides.
//!
//! [`TestApp::start`] puts everything up with one account, one number and tight timings; `start_with` changes
//! what a scenario is about. [`TestApp::finish`] waits until all work is done, and holds the bridge to
//! what it always promises: nothing is left in a queue, everything that happened was told, in order and in
//! CleverTap's shape. A scenario that ends otherwise says so with [`TestApp::leave`].

mod bucket;
mod calls;
mod database;
mod messages;
mod options;
mod process;
mod receiver;
mod visitor;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use wabridge::{
    app::{App, open_store},
    domain::{callback::Subscription, ids::SenderKey, operator::Actor},
    services::{
        apply::{self, Surroundings},
        directory::Directory,
        messaging_limit::MessagingLimits,
        webhooks::Allowed,
    },
    settings::Settings,
    simulator::{Handle, Simulator, Stats, StatusScript},
    store::{Store, audit::AuditEntry, holds::Holdable, overview::QueueOverview, story::StoredMessage},
};

pub(crate) use self::{
    bucket::Bucket,
    calls::Answer,
    database::{Database, on_each_database},
    messages::{Message, person},
    options::*,
    process::{LOG_FILE, Process},
    receiver::{Receiver, Request},
    visitor::{PASSWORD, Visitor, caller},
};

/// How long to wait for something that should happen at once: two cores may be very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at the database.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The bridge and everything around it.
pub(crate) struct TestApp {
    pub(crate) simulator: Handle,
    /// A second opening of the bridge's database, as the command line has it.
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    /// The file that was applied before the start.
    pub(crate) configuration: String,
    url: String,
    provider: &'static str,
    client: reqwest::Client,
    bridge: Bridge,
    stand: Simulator,
    folder: TempDir,
    finished: bool,
    _database: Database,
    _stage: Stage,
}

/// Most scenarios share the machine; a few need it for themselves.
static STAGE: RwLock<()> = RwLock::const_new(());

enum Stage {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

enum Bridge {
    Here(App),
    Process(Process),
    Stopped,
}

impl TestApp {
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    pub(crate) async fn start_with(database: Database, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = Options::new(&database, &folder);
        change(&mut options);
        start_logging();
        let stage = match options.alone {
            true => Stage::Alone { _guard: STAGE.write().await },
            false => Stage::Shared { _guard: STAGE.read().await },
        };

        let stand = Simulator::start(options.simulator.clone()).await.expect("the simulator starts");
        let store = open_store(&options.settings).await.expect("the database opens");
        let mut app = Self {
            simulator: stand.handle(),
            store,
            url: String::new(),
            provider: options.provider.0,
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            bridge: Bridge::Stopped,
            stand,
            folder,
            finished: false,
            _database: database,
            _stage: stage,
            settings: options.settings.clone(),
            configuration: String::new(),
        };
        app.configuration = options.configuration().replace("{simulator}", app.stand.url());
        if !options.unconfigured {
            app.apply(&app.configuration).await;
        }
        if options.as_process {
            app.start_process().await;
        } else {
            app.start_here().await;
        }
        if !options.without_templates {
            app.until("the templates are synced", async || app.knows_templates().await).await;
        }
        app
    }

    pub(crate) async fn knows_templates(&self) -> bool {
        match &self.bridge {
            Bridge::Here(app) => {
                let snapshot = app.directory.snapshot();
                snapshot.senders().all(|sender| !app.directory.templates(sender).is_empty())
            }
            // It cannot be looked into; and should it not have read them yet, it looks them up.
            Bridge::Process(_) | Bridge::Stopped => {
                !self.store.load_templates().await.expect("templates can be read").is_empty()
            }
        }
    }

    async fn start_here(&mut self) {
        let app = App::start(unhurried(self.settings.clone())).await.expect("the bridge starts");
        self.url = format!("http://{}", app.address);
        self.bridge = Bridge::Here(app);
        self.receive_webhooks();
    }

    /// Stops a bridge in this process, and starts it anew with other settings.
    pub(crate) async fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) {
        if let Bridge::Here(app) = std::mem::replace(&mut self.bridge, Bridge::Stopped) {
            app.stop().await;
        }
        change(&mut self.settings);
        self.start_here().await;
    }

    /// Runs the program itself on the same database, again if it was killed or stopped.
    pub(crate) async fn start_process(&mut self) {
        let process = Process::start(&self.settings, self.folder.path()).await;
        self.url.clone_from(&process.url);
        self.bridge = Bridge::Process(process);
        self.receive_webhooks();
    }

    /// The program that runs, when it runs as a process of its own.
    pub(crate) fn process(&mut self) -> &mut Process {
        match &mut self.bridge {
            Bridge::Process(process) => process,
            Bridge::Here(_) | Bridge::Stopped => panic!("the bridge does not run as a process"),
        }
    }

    /// Runs `wabridge` with these arguments beside the bridge, and gives back what it prints.
    pub(crate) async fn command(&self, arguments: &[&str]) -> String {
        process::command(&self.settings, self.folder.path(), arguments).await
    }

    /// The same for a command that may end otherwise: its exit code, and what it prints.
    pub(crate) async fn command_ending(&self, arguments: &[&str]) -> (i32, String) {
        process::command_ending(&self.settings, self.folder.path(), arguments).await
    }

    /// The same with what it says on standard error, where warnings and errors are.
    pub(crate) async fn command_saying(&self, arguments: &[&str]) -> (i32, String, String) {
        process::command_saying(&self.settings, self.folder.path(), arguments).await
    }

    /// Closes the second opening of the database: for what replaces the file.
    pub(crate) async fn close_store(&self) {
        self.store.clone().close().await.expect("it was open");
    }

    /// Opens it again.
    pub(crate) async fn reopen_store(&mut self) {
        self.store = open_store(&self.settings).await.expect("the database opens");
    }

    /// A path in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file in the test's own folder.
    pub(crate) fn write_file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    }

    /// A file in the test's own folder, where the database and the log are.
    pub(crate) fn read_file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Another bridge on the same database, of this name.
    pub(crate) async fn start_another(&self, instance: &str) -> anyhow::Result<App> {
        let mut settings = self.settings.clone();
        settings.instance.id = instance.to_owned();
        App::start(unhurried(settings)).await
    }

    fn receive_webhooks(&self) {
        let url = format!("{}/webhooks/{}/{CONNECTION}", self.url, self.provider);
        self.simulator.change_knobs(|knobs| knobs.webhook_url = Some(url)).expect("any URL will do");
    }

    /// Creates and updates what the TOML names, as `wabridge apply` does.
    pub(crate) async fn apply(&self, toml: &str) {
        let text = toml.replace("{simulator}", self.stand.url());
        let (allowed, ages) = (Allowed::by(&self.settings), &self.settings.retention);
        let file = apply::parse(&text, "test.toml", &Surroundings::new(&|_| None, allowed, ages))
            .unwrap_or_else(|problems| panic!("the configuration is wrong: {problems:#?}"));
        apply::apply(&self.store, &Actor::of_command_line("test"), &file).await.expect("the configuration fits");
    }

    /// The URL of something on the bridge.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The URL of something on the simulator.
    pub(crate) fn simulator_url(&self) -> &str {
        self.stand.url()
    }

    /// Where the bridge keeps its files.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Waits until the simulator's counters are as wanted.
    pub(crate) async fn until_counted(&self, what: &str, wanted: impl FnMut(&Stats) -> bool) -> Stats {
        match self.simulator.wait_until(wanted, PATIENCE).await {
            Ok(stats) => stats,
            Err(late) => panic!("waited in vain until {what}: {late}"),
        }
    }

    /// Waits until something is so in the database, or elsewhere.
    pub(crate) async fn until(&self, what: &str, wanted: impl AsyncFnMut() -> bool) {
        until(what, wanted).await;
    }

    /// Waits until nothing is left to do: no message in a queue, no status to come, nothing to tell.
    pub(crate) async fn settled(&self) -> Stats {
        let started = Instant::now();
        while let Some(left) = self.left_to_do().await {
            assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until everything is settled: {left}");
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        self.simulator.stats()
    }

    /// What is still to be done, in the order in which news travels, so that none can slip by behind our back.
    async fn left_to_do(&self) -> Option<String> {
        let queues = self.queues().await;
        if queues.iter().any(|queue| open(queue) > 0) {
            return Some(format!("messages are on their way: {queues:?}"));
        }
        let updates = self.simulator.stats().updates_waiting;
        if updates > 0 {
            return Some(format!("{updates} statuses are still to be taken"));
        }
        for subscription in self.subscriptions().await {
            let owed = self.owed(&subscription).await;
            if owed > 0 {
                return Some(format!("{owed} events are still to be told by subscription {:?}", subscription.key));
            }
        }
        None
    }

    async fn queues(&self) -> Vec<QueueOverview> {
        self.store.queues().await.expect("queues can be counted").into_values().collect()
    }

    /// Runs a statement, for SQLite and for PostgreSQL, on the bridge's database, as no part of the bridge would.
    pub(crate) async fn meddle(&self, (on_sqlite, on_postgres): (&str, &str)) {
        let connection = sea_orm::Database::connect(self.settings.database.url.to_string()).await.expect("it is there");
        let sqlite = connection.get_database_backend() == sea_orm::DbBackend::Sqlite;
        let statement = if sqlite { on_sqlite } else { on_postgres };
        connection.execute_unprepared(statement).await.expect("the statement is right");
        connection.close().await.expect("it was open");
    }

    /// Messages whose way is not at its end.
    pub(crate) async fn open_messages(&self) -> i64 {
        self.queues().await.iter().map(open).sum()
    }

    /// Where the console of a bridge in this process is, when it has an address of its own.
    pub(crate) fn console_address(&self) -> Option<std::net::SocketAddr> {
        match &self.bridge {
            Bridge::Here(app) => app.console_address,
            Bridge::Process(_) | Bridge::Stopped => panic!("only a bridge in this process can be looked into"),
        }
    }

    /// What a bridge in this process knows.
    pub(crate) fn directory(&self) -> &Directory {
        match &self.bridge {
            Bridge::Here(app) => &app.directory,
            Bridge::Process(_) | Bridge::Stopped => panic!("only a bridge in this process can be looked into"),
        }
    }

    /// How many people a bridge in this process counts.
    pub(crate) fn messaging_limits(&self) -> &MessagingLimits {
        match &self.bridge {
            Bridge::Here(app) => &app.messaging_limits,
            Bridge::Process(_) | Bridge::Stopped => panic!("only a bridge in this process can be looked into"),
        }
    }

    /// Waits until the running bridge has noticed that a number is on hold.
    pub(crate) async fn until_held(&self) {
        let held = async || self.directory().snapshot().senders().any(|sender| sender.hold.is_some());
        self.until("the hold is noticed", held).await;
    }

    /// Lets a number go on, as an operator does.
    pub(crate) async fn release_sender(&self, sender: SenderKey) {
        let entry = AuditEntry::new(&Actor::of_command_line("tests"), "release number", "the number");
        self.store.release(Holdable::Number(sender), &entry).await.expect("it is written down");
    }

    pub(crate) async fn subscriptions(&self) -> Vec<Subscription> {
        self.store.load_configuration().await.expect("the configuration can be read").subscriptions
    }

    async fn owed(&self, subscription: &Subscription) -> i64 {
        let state = self.store.cursor_state(subscription.key).await.expect("cursors can be read");
        let cursor = state.expect("the subscription exists").cursor;
        self.store.owed(subscription, cursor, 1_000).await.expect("events can be counted")
    }

    /// What CleverTap was told about a message, in order.
    pub(crate) fn told(&self, message: &Message) -> Vec<String> {
        let records = self.simulator.callback_records(Some(message.msg_id()));
        records.into_iter().map(|record| record.kind).collect()
    }

    /// CleverTap's code of the failure that it was told of a message.
    pub(crate) fn told_failure(&self, message: &Message) -> Option<u64> {
        let records = self.simulator.callback_records(Some(message.msg_id()));
        records.iter().find_map(|record| record.entry["error"]["code"].as_u64())
    }

    /// The one stored message with this id.
    pub(crate) async fn stored(&self, message: &Message) -> StoredMessage {
        let mut found = self.all_stored(message).await;
        assert_eq!(found.len(), 1, "messages with the id {}", message.msg_id());
        found.remove(0)
    }

    pub(crate) async fn all_stored(&self, message: &Message) -> Vec<StoredMessage> {
        let accounts = self.store.load_configuration().await.expect("the configuration can be read").accounts;
        let keys: Vec<_> = accounts.iter().map(|account| account.key).collect();
        self.store.messages_by_platform_id(&keys, message.msg_id()).await.expect("messages can be read")
    }

    /// Waits until all is done and checks what must hold at the end of every scenario.
    pub(crate) async fn finish(self) -> Stats {
        let stats = self.settled().await;
        self.leave().await;
        assert_eq!(
            stats.clevertap.violations, 0,
            "callbacks of a wrong shape: {:?}",
            stats.clevertap.violations_newest
        );
        assert_eq!(stats.clevertap.out_of_order, 0, "statuses told in the wrong order");
        assert_eq!(stats.clevertap.gaps, 0, "statuses told without those below them");
        assert_eq!(stats.sends_without_plus, 0, "recipients written without +");
        assert_eq!(stats.sends_accepted_twice, 0, "messages sent twice");
        assert_eq!(stats.updates_dropped, 0, "statuses that the bridge never took");
        stats
    }

    /// Ends a scenario that leaves work undone on purpose.
    pub(crate) async fn leave(mut self) {
        self.finished = true;
        match std::mem::replace(&mut self.bridge, Bridge::Stopped) {
            Bridge::Here(app) => app.stop().await,
            Bridge::Process(mut process) => process.terminate().await,
            Bridge::Stopped => {}
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a scenario ends with finish(), or with leave()");
    }
}

/// A platform is answered within the second, and on a busy machine a template that must be looked up would be taken unseen. So
/// in this process the look-up is waited for. The program itself allows no such setting.
fn unhurried(mut settings: Settings) -> Settings {
    settings.send.template_lookup = PATIENCE / 2;
    settings
}

fn open(queue: &QueueOverview) -> i64 {
    queue.queued + queue.waiting_for_retry + queue.sending + queue.unknown
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut wanted: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !wanted().await {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

/// A script of statuses.
pub(crate) fn script(text: &str) -> StatusScript {
    text.parse().expect("scripts in tests are well formed")
}

/// How many sends reached the simulator, by recipient's digits.
pub(crate) fn arrivals(app: &TestApp) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for send in app.simulator.sends(None) {
        *counts.entry(send.recipient).or_default() += 1;
    }
    counts
}

/// `WABRIDGE_TEST_LOG=debug` shows what the bridge says during a test.
fn start_logging() {
    if let Ok(filter) = std::env::var("WABRIDGE_TEST_LOG") {
        let log = wabridge::settings::Log { filter, ..Settings::defaults().log };
        // Only the first test of a run can.
        drop(wabridge::telemetry::start_logging(&log));
    }
}
