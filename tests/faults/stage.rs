//! The stage: instances of the real program as processes, a database, and the simulator on both sides.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use wabridge::{
    app::open_store,
    domain::{
        callback::EventKind,
        ids::{AccountKey, Place},
        operator::Actor,
    },
    sabotage::{self, Sabotage},
    services::{
        apply::{self, Surroundings},
        webhooks::Allowed,
    },
    settings::Settings,
    simulator::{Endpoint, Handle, Simulator, SimulatorSettings},
    store::Store,
};

use crate::{
    checker::{Evidence, Timed},
    configuration::{self, APP_SECRET, FaultsProvider, phone_number_id},
    load::{Caller, Doors, Journal, Line, Load},
    peer::Peer,
    skewed_clock::SkewedClock,
};

/// With nothing done for so long, it will not be done any more.
const PATIENCE: Duration = Duration::from_secs(60);
const START_MAX: Duration = Duration::from_secs(60);
/// Read from the log at a time.
const PORTION: usize = 50;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Looking through all of them costs the machine something.
const LOOK_AT_SENDS_AFTER: Duration = Duration::from_millis(500);
/// Of one number: marked and in flight together, and so what one `kill -9` may make unknown.
pub(crate) const IN_FLIGHT_MAX: usize = 32;

/// What a scenario wants to have.
pub(crate) struct Plan {
    pub(crate) provider: FaultsProvider,
    pub(crate) database_url: Option<String>,
    /// Where SQLite's file lies, when not in the stage's own folder.
    pub(crate) database_folder: Option<PathBuf>,
    pub(crate) numbers: usize,
    pub(crate) messages_per_second: u32,
    /// Lines for the section of the account.
    pub(crate) account: String,
    pub(crate) other_account: bool,
    /// Share of the readers who write in reply.
    pub(crate) replies: f64,
    pub(crate) through_peer: ThroughPeer,
    /// Times will be judged, so leases last as long as they do when nobody says otherwise.
    pub(crate) judges_times: bool,
    /// Answers are waited for, and leases last, as long as they do when nobody says otherwise.
    pub(crate) undisturbed: bool,
    /// The instances go by a clock that can be set.
    pub(crate) clock: Option<SkewedClock>,
    pub(crate) seed: u64,
    pub(crate) keep: bool,
    pub(crate) sabotage: Option<Sabotage>,
}

/// What is behind somebody who may misbehave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ThroughPeer {
    #[default]
    Nothing,
    /// The other account's callback URL.
    Callbacks,
    /// That, and the provider.
    All,
}

pub(crate) struct Stage {
    pub(crate) simulator: Handle,
    pub(crate) settings: Settings,
    pub(crate) journal: Arc<Journal>,
    pub(crate) caller: Caller,
    pub(crate) lines: Vec<Line>,
    pub(crate) peer: Option<Peer>,
    pub(crate) clock: Option<SkewedClock>,
    instances: Vec<Instance>,
    store: Store,
    doors: Doors,
    sabotage: Option<Sabotage>,
    provider: FaultsProvider,
    timed: Mutex<Vec<Timed>>,
    folder: TempDir,
    stand: Simulator,
}

struct Instance {
    name: String,
    /// `None` while it is dead.
    running: Option<Running>,
    /// The system has stopped it.
    asleep: bool,
    /// When each of its processes began and was killed, as the simulator writes times.
    lives: Vec<(Duration, Option<Duration>)>,
}

struct Running {
    child: Child,
    url: String,
}

impl Stage {
    pub(crate) async fn new(plan: Plan) -> anyhow::Result<Self> {
        let mut folder = tempfile::tempdir()?;
        folder.disable_cleanup(plan.keep);
        let mut stand = SimulatorSettings { seed: plan.seed, ..SimulatorSettings::default() };
        stand.sends_kept_max = 1_000_000;
        stand.callbacks_kept_max = 3_000_000;
        stand.knobs.dialect = plan.provider.dialect();
        stand.knobs.suffix_rules = false;
        stand.knobs.messages_per_second = 0;
        stand.knobs.answer_delay_ms = 20;
        stand.knobs.reply_text_share = plan.replies;
        stand.knobs.webhook_retry_ms = 50;
        stand.knobs.webhook_retry_ms_max = 500;
        stand.knobs.webhook_timeout_ms = 3_000;
        let stand = Simulator::start(stand).await?;
        let settings = settings(&plan, &folder);
        let store = open_store(&settings).await?;
        let peer = match plan.through_peer {
            ThroughPeer::Nothing => None,
            ThroughPeer::Callbacks | ThroughPeer::All => Some(Peer::start(stand.url()).await?),
        };
        let lines = configuration::lines(&plan);
        let file = configuration::file(&plan, &lines, stand.url(), peer.as_ref().map(Peer::url));
        let file = apply::parse(
            &file,
            "faults.toml",
            &Surroundings::new(&|_| None, Allowed { private_networks: true, emails: false }, &settings.retention),
        );
        let file = file.map_err(|problems| anyhow::anyhow!("the configuration is wrong: {problems:#?}"))?;
        apply::apply(&store, &Actor::of_command_line("test"), &file).await?;
        let (doors, journal) = (Doors::default(), Arc::new(Journal::default()));
        Ok(Self {
            simulator: stand.handle(),
            settings,
            caller: Caller::new(doors.clone(), journal.clone()),
            journal,
            lines,
            peer,
            clock: plan.clock,
            instances: vec![],
            store,
            doors,
            sabotage: plan.sabotage,
            provider: plan.provider,
            timed: Mutex::default(),
            folder,
            stand,
        })
    }

    /// Starts one more instance; gives back its place.
    pub(crate) async fn start_instance(&mut self) -> anyhow::Result<usize> {
        let name = format!("instance-{}", self.instances.len() + 1);
        self.instances.push(Instance { name, running: None, asleep: false, lives: vec![] });
        let place = self.instances.len() - 1;
        self.start(place).await?;
        Ok(place)
    }

    /// How many instances there are, whether they run or not.
    pub(crate) fn started(&self) -> usize {
        self.instances.len()
    }

    /// Starts an instance that was killed.
    pub(crate) async fn start(&mut self, place: usize) -> anyhow::Result<()> {
        let name = self.instances[place].name.clone();
        self.instances[place].lives.push((unix_now(), None));
        let mut child = self.program(&name, &["serve"])?.spawn().context("the program was built with the tests")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is a pipe")?).lines();
        let greeting =
            tokio::time::timeout(START_MAX, lines.next_line()).await.context("it did not start in time")??;
        let greeting =
            greeting.with_context(|| format!("{name} ended before it listened; its log:\n{}", self.log_end(&name)))?;
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.context("it says where it listens")?.trim_end_matches(',').to_owned();
        // Whoever closes the pipe stops a program that writes to it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.instances[place].running = Some(Running { child, url });
        self.show_doors();
        Ok(())
    }

    /// Runs a command with the settings of the first instance; gives back whether it was fine, and what it said.
    pub(crate) async fn command(&self, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let mut command = self.program("command", arguments)?;
        let ended = command.stderr(Stdio::piped()).output().await?;
        let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        Ok((ended.status.success(), said))
    }

    fn program(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut settings = self.settings.clone();
        settings.instance.id = name.to_owned();
        let file = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, settings.render())?;
        let log = std::fs::File::options().create(true).append(true).open(self.log_path(name))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_wabridge"));
        command.arg("--settings").arg(file).args(arguments);
        // A rendered tree has its passwords blanked.
        command.env("WABRIDGE__DATABASE__URL", settings.database.url.to_string());
        if let Some(sabotage) = self.sabotage {
            command.env(sabotage::VARIABLE, sabotage.name());
        }
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn log_end(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log_path(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// `kill -9`
    pub(crate) async fn kill(&mut self, place: usize) -> anyhow::Result<()> {
        if let Some(mut running) = self.instances[place].running.take() {
            running.child.kill().await?;
            if let Some((_, ended)) = self.instances[place].lives.last_mut() {
                *ended = Some(unix_now());
            }
        }
        self.show_doors();
        Ok(())
    }

    /// SIGSTOP: it does nothing any more, and does not know it.
    pub(crate) async fn put_to_sleep(&mut self, place: usize) -> anyhow::Result<()> {
        self.signal(place, "-STOP").await?;
        self.instances[place].asleep = true;
        self.show_doors();
        Ok(())
    }

    /// SIGCONT
    pub(crate) async fn wake(&mut self, place: usize) -> anyhow::Result<()> {
        self.signal(place, "-CONT").await?;
        self.instances[place].asleep = false;
        self.show_doors();
        Ok(())
    }

    async fn signal(&self, place: usize, signal: &str) -> anyhow::Result<()> {
        let running = self.instances[place].running.as_ref().context("it runs")?;
        let id = running.child.id().context("it has not ended")?;
        let sent = Command::new("kill").args([signal, &id.to_string()]).status().await?;
        if !sent.success() {
            bail!("could not send {signal} to {}", self.instances[place].name);
        }
        Ok(())
    }

    /// What an instance says of itself at `/readyz`: whether it is ready, and the words.
    pub(crate) async fn readiness(&self, place: usize) -> anyhow::Result<(bool, serde_json::Value)> {
        let running = self.instances[place].running.as_ref().context("it runs")?;
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let answer = client.get(format!("{}/readyz", running.url)).send().await?;
        Ok((answer.status() == 200, answer.json().await?))
    }

    /// Whether an instance has said this in its log.
    pub(crate) fn has_logged(&self, place: usize, words: &str) -> bool {
        let log = std::fs::read_to_string(self.log_path(&self.instances[place].name));
        log.is_ok_and(|log| log.contains(words))
    }

    /// For when times are judged.
    pub(crate) fn note_time(&self, what: &'static str, took: Duration, at_most: Duration) {
        self.timed.lock().expect("no holder can panic").push(Timed { what, took, at_most });
    }

    /// Notes how long the only instance took after each of its restarts until something was sent. One that was killed before
    /// its time was up has not failed.
    pub(crate) fn note_first_sends(&self, at_most: Duration) {
        let sends = self.simulator.sends(None).into_iter();
        let times: Vec<Duration> = sends.map(|send| Duration::from_millis(send.received_at_unix_ms)).collect();
        for (began, ended) in self.instances[0].lives.iter().skip(1) {
            let first = times.iter().filter(|sent_at| *sent_at >= began).min();
            let lived = ended.map_or(Duration::MAX, |ended| ended - *began);
            if let Some(took) = first.map(|first| *first - *began).filter(|took| *took <= lived || lived > at_most) {
                self.note_time("the first send after a restart", took, at_most);
            }
        }
    }

    /// The numbers that an instance owns, by the provider's names.
    pub(crate) async fn numbers_of(&self, place: usize) -> anyhow::Result<Vec<String>> {
        let name = Some(&self.instances[place].name);
        let leases = self.store.leases().await?.into_iter();
        let owned: Vec<i32> = leases
            .filter(|lease| lease.kind == NUMBER_LEASE && lease.owner.as_ref() == name)
            .map(|lease| lease.item)
            .collect();
        let senders = self.store.load_configuration().await?.senders.into_iter();
        let senders = senders.filter(|sender| owned.contains(&sender.key.0));
        let place_of = |number: &str| self.lines.iter().position(|line| line.number == number);
        Ok(senders.filter_map(|sender| place_of(sender.number.as_e164())).map(phone_number_id).collect())
    }

    /// Waits until something is sent from each of these numbers that arrives after a moment; gives back how much later the last of them began.
    pub(crate) async fn until_sent_from(&self, numbers: &[String], since: Duration) -> anyhow::Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        let since_ms = u64::try_from(since.as_millis())?;
        loop {
            let sends = self.simulator.sends(None);
            let first_after = |number: &String| {
                let after = sends.iter().filter(|send| send.received_at_unix_ms > since_ms);
                after.filter(|send| send.phone_number_id == *number).map(|send| send.received_at_unix_ms).min()
            };
            if let Some(firsts) = numbers.iter().map(first_after).collect::<Option<Vec<_>>>() {
                let last = firsts.into_iter().max().unwrap_or(since_ms);
                return Ok(Duration::from_millis(last - since_ms));
            }
            anyhow::ensure!(Instant::now() < deadline, "nothing is sent any more from one of {numbers:?}");
            tokio::time::sleep(LOOK_AT_SENDS_AFTER).await;
        }
    }

    /// Callers and webhooks go to whoever is awake, as with a load balancer.
    fn show_doors(&self) {
        let awake = self.instances.iter().filter(|instance| !instance.asleep);
        let urls: Vec<String> = awake.filter_map(|instance| Some(instance.running.as_ref()?.url.clone())).collect();
        if let Some(url) = urls.first() {
            let address = url.trim_start_matches("http://").parse().expect("it says where it listens");
            self.send_webhooks_to(address);
        }
        *self.doors.lock().expect("no holder can panic") = urls;
    }

    /// Who owns the first number, when anybody does who runs.
    pub(crate) async fn owner_of_a_number(&self) -> anyhow::Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let leases = self.store.leases().await?;
            let owner = leases.iter().find(|lease| lease.kind == NUMBER_LEASE).and_then(|lease| lease.owner.clone());
            let place = self.instances.iter().position(|instance| Some(&instance.name) == owner.as_ref());
            if let Some(place) = place {
                return Ok(place);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        bail!("nobody owns a number")
    }

    /// Where the instances listen.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let running = self.instances.iter().filter_map(|instance| instance.running.as_ref());
        running.map(|running| Ok(running.url.trim_start_matches("http://").parse()?)).collect()
    }

    /// The provider posts its webhooks there from now on.
    pub(crate) fn send_webhooks_to(&self, address: SocketAddr) {
        let webhooks = format!("http://{address}{}", self.provider.webhook_path());
        self.simulator.change_knobs(|knobs| knobs.webhook_url = Some(webhooks)).expect("any URL will do");
    }

    /// Waits until one more message is accepted, under load.
    pub(crate) async fn until_accepted_again(&self) -> anyhow::Result<()> {
        let (before, deadline) = (self.journal.accepted(), Instant::now() + PATIENCE);
        while self.journal.accepted() == before {
            if Instant::now() > deadline {
                bail!("nothing is accepted any more; the instances' logs are in {}", self.kept().display());
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(())
    }

    /// Reads statuses at the end of the log as they come, until it is `over`, in portions as a cursor does.
    pub(crate) async fn follow_log(&self, over: impl Fn() -> bool) -> anyhow::Result<Vec<Place>> {
        let account = self.account().await?;
        let (mut seen, mut cursor) = (Vec::new(), Place::default());
        loop {
            let last = over();
            let (events, end) = self.store.events_after(account, EventKind::Status, cursor, PORTION).await?;
            seen.extend(events.iter().map(|event| event.place));
            match events.last().filter(|_| events.len() == PORTION) {
                Some(event) => cursor = event.place,
                None if last => return Ok(seen),
                None => cursor = end,
            }
        }
    }

    async fn account(&self) -> anyhow::Result<AccountKey> {
        let accounts = self.store.load_configuration().await?.accounts;
        Ok(accounts.first().context("an account was applied")?.key)
    }

    pub(crate) fn load(&self, per_second: usize) -> Load {
        Load::start(&self.caller, &self.lines, per_second)
    }

    /// Who owns what, and since which change of hands.
    pub(crate) async fn leases(&self) -> anyhow::Result<Vec<(i16, i32, Option<String>, i64)>> {
        let leases = self.store.leases().await?;
        Ok(leases.into_iter().map(|lease| (lease.kind, lease.item, lease.owner, lease.epoch)).collect())
    }

    /// Waits until numbers, and callback URLs, are spread evenly over the instances that run: of two no one has two more. Gives back how long
    /// it took.
    pub(crate) async fn until_even(&self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        loop {
            let leases = self.store.leases().await?;
            let running = self.instances.iter().filter(|instance| instance.running.is_some());
            let counts = |kind: i16| -> Vec<usize> {
                let of = |name: &String| {
                    leases.iter().filter(|it| it.kind == kind && it.owner.as_ref() == Some(name)).count()
                };
                running.clone().map(|instance| of(&instance.name)).collect()
            };
            let even = |kind: i16| {
                let (counts, all) = (counts(kind), leases.iter().filter(|it| it.kind == kind).count());
                let difference = counts.iter().max().zip(counts.iter().min()).map(|(most, fewest)| most - fewest);
                counts.iter().sum::<usize>() == all && difference.is_some_and(|difference| difference <= 1)
            };
            if [NUMBER_LEASE, CALLBACK_LEASE].into_iter().all(even) {
                return Ok(started.elapsed());
            }
            // Who handed something over in vain rests for a while.
            if started.elapsed() > 2 * PATIENCE {
                let counts = [NUMBER_LEASE, CALLBACK_LEASE].map(counts);
                bail!(
                    "numbers and callback URLs stay spread as {counts:?}; the instances' logs are in {}",
                    self.kept().display()
                );
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Asks one instance to end, and waits until it has.
    pub(crate) async fn stop(&mut self, place: usize) -> anyhow::Result<()> {
        self.signal(place, "-TERM").await?;
        if let Some(mut running) = self.instances[place].running.take() {
            // Nothing new goes there from now on.
            self.show_doors();
            running.child.wait().await?;
        }
        Ok(())
    }

    /// Posts a webhook as the provider does; gives back the status of the answer.
    pub(crate) async fn post_webhook(&self, body: String) -> anyhow::Result<u16> {
        let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let url = self.simulator.knobs().webhook_url.context("an instance runs")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(url).header("X-Hub-Signature-256", signature).body(body).send().await?;
        Ok(answer.status().as_u16())
    }

    /// Waits until nothing is left to do: no message in a queue, no status to come, nothing to tell.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let (mut last, mut since) = (String::new(), Instant::now());
        loop {
            let left = match self.left_to_do().await {
                Ok(None) => return Ok(()),
                Ok(Some(left)) => left,
                Err(error) => format!("{error:#}"),
            };
            if left != last {
                (last, since) = (left, Instant::now());
            } else if since.elapsed() > PATIENCE {
                bail!("nothing moves any more, and {last}; the instances' logs are in {}", self.kept().display());
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    async fn left_to_do(&self) -> anyhow::Result<Option<String>> {
        let queues = self.store.queues().await?;
        let open = |queue: &wabridge::store::overview::QueueOverview| {
            queue.queued + queue.waiting_for_retry + queue.sending + queue.unknown
        };
        if queues.values().any(|queue| open(queue) > 0) {
            return Ok(Some(format!("messages are on their way: {queues:?}")));
        }
        let waiting = self.simulator.stats().updates_waiting;
        if waiting > 0 {
            return Ok(Some(format!("{waiting} statuses are still to be taken")));
        }
        for subscription in self.store.load_configuration().await?.subscriptions {
            let state = self.store.cursor_state(subscription.key).await?.context("the subscription exists")?;
            let owed = self.store.owed(&subscription, state.cursor, 1_000).await?;
            if owed > 0 {
                return Ok(Some(format!("{owed} events are still to be told from {:?} on", state.cursor)));
            }
        }
        Ok(None)
    }

    /// What was seen.
    pub(crate) fn evidence(&self) -> Evidence {
        let stats = self.simulator.stats();
        let sends = self.simulator.sends(None).into_iter();
        let mut evidence = Evidence {
            asked: self.journal.asked(),
            taken: sends.filter(|send| send.wamid.is_some()).map(|send| send.recipient).collect(),
            peaks: stats.peak_sends_per_second,
            violations: stats.clevertap.violations,
            gives_our_id_back: self.provider.gives_our_id_back(),
            heard: self.simulator.heard(),
            timed: self.timed.lock().expect("no holder can panic").clone(),
            ..Evidence::default()
        };
        for record in self.simulator.callback_records(None) {
            match (record.endpoint, record.msg_id) {
                (Endpoint::DeliveryReports, Some(message)) => {
                    evidence.told.entry(message).or_default().push(record.kind);
                }
                (Endpoint::Inbound, _) => {
                    evidence.told_of.push(record.entry["from"].as_str().unwrap_or_default().to_owned());
                }
                (Endpoint::DeliveryReports, None) | (Endpoint::Subscribe, _) => {}
            }
        }
        evidence
    }

    /// The folder with the database and the logs, where it stays.
    pub(crate) fn kept(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        for place in 0..self.instances.len() {
            self.kill(place).await?;
        }
        self.store.close().await?;
        self.stand.stop().await;
        Ok(())
    }
}

/// As the table of leases has it.
const NUMBER_LEASE: i16 = 1;
const CALLBACK_LEASE: i16 = 2;

/// Now, as the simulator writes times.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn settings(plan: &Plan, folder: &TempDir) -> Settings {
    let mut settings = Settings::defaults();
    let place = plan.database_folder.clone().unwrap_or_else(|| folder.path().to_owned());
    let sqlite = || format!("sqlite://{}", place.join("wabridge.db").display());
    settings.server.bind = "127.0.0.1:0".parse().expect("an address");
    settings.server.workers = 1;
    settings.database.url = plan.database_url.clone().unwrap_or_else(sqlite).into();
    settings.security.master_key_file = folder.path().join("master.key");
    settings.security.allow_private_networks = true;
    settings.media.directory = folder.path().join("media");
    settings.alarms.disk_free_min = 0;
    settings.database.busy_timeout = Duration::from_secs(2);
    settings.database.answer_timeout = Duration::from_secs(3);
    if !plan.judges_times {
        settings.instance.lease_renewal = Duration::from_secs(1);
    }
    if !plan.judges_times && !plan.undisturbed {
        settings.instance.lease = Duration::from_secs(7);
    }
    if !plan.undisturbed {
        settings.send.timeout = Duration::from_millis(1_500);
        settings.send.connect_timeout = Duration::from_secs(1);
        settings.relay.timeout = Duration::from_millis(1_500);
        settings.relay.connect_timeout = Duration::from_secs(1);
    }
    settings.send.in_flight_per_number = IN_FLIGHT_MAX;
    // Longer than an answer is waited for.
    settings.send.unknown_grace = Duration::from_secs(if plan.undisturbed { 20 } else { 4 });
    settings.send.retry_waits = [100, 200, 400].map(Duration::from_millis).to_vec();
    settings.relay.retry_waits = [50, 100, 200].map(Duration::from_millis).to_vec();
    settings
}
