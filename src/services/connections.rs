//! Connections and numbers for the people who look after them: how each stands, asking the provider about it, and setting right
//! at the provider what can be set right from here. The same for the console and the API.
//!
//! Standing is told from what is known already: nobody outside is asked for a list. Everything is read anew from the database,
//! so that what somebody changed a moment ago is seen, whichever instance they ask.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    alarms::conditions::is_refused_token,
    check::{Checker, Scope, repairs, webhook_url},
    directory::{Directory, Snapshot, owner_of},
    holds::{self, Target},
    messaging_limit::{LimitUse, MessagingLimits},
    operators::{Refusal, require},
    polling,
    standing::raised,
};
use crate::{
    clock,
    domain::{
        account::{Account, Connection, Sender},
        finding::{Finding, Repair, RepairKind},
        ids::SenderKey,
        operator::{Actor, Permission},
        phone::PhoneNumber,
        template::TemplateStatus,
        time::UnixMillis,
    },
    net::exchange::Exchange,
    providers,
    settings::Settings,
    store::{
        Store, StoreError,
        activity::Tally,
        alarms::AlarmRecord,
        audit::AuditEntry,
        channels::Channel,
        leases::LeaseKind,
        overview::{LeaseOverview, QueueOverview},
        polls::{PollTrouble, Polling},
        templates::{TemplateOwner, TemplateSync},
    },
};

/// The service.
pub struct Connections {
    store: Store,
    directory: Arc<Directory>,
    settings: Arc<Settings>,
    /// The door to providers.
    exchange: Exchange,
    limits: Arc<MessagingLimits>,
    checking: Semaphore,
}

/// Checks that run at the same time: each makes some dozen requests to a provider.
const CHECKS_AT_ONCE: usize = 2;
/// "Lately", of what numbers did.
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);
/// Requests of one repair.
pub const REPAIRS_MAX: usize = 50;

/// One connection as it stands.
#[derive(Clone, Debug)]
pub struct ConnectionStanding {
    pub connection: Arc<Connection>,
    pub token: TokenState,
    /// Where its provider should send webhooks.
    pub webhook_url: String,
    /// The newest status that came for one of its numbers within a day.
    pub heard_at: Option<UnixMillis>,
    /// What is wrong with it now.
    pub alarms: Vec<AlarmRecord>,
    pub numbers: Vec<NumberStanding>,
}

/// One number as it stands.
#[derive(Clone, Debug)]
pub struct NumberStanding {
    pub sender: Arc<Sender>,
    /// `None` only while the configuration is being changed.
    pub account: Option<Arc<Account>>,
    /// Its connection's.
    pub token: TokenState,
    /// How the provider saw it last.
    pub channel: Channel,
    /// How much of the messaging limit is used; `None` when it is not counted.
    pub limit: Option<LimitUse>,
    pub queue: QueueOverview,
    /// The instance that sends from it.
    pub owner: Option<String>,
    /// What it did within a day.
    pub lately: Tally,
    /// Templates that can be sent, of all that are known.
    pub templates: (usize, usize),
    pub templates_sync: TemplateSync,
    /// Why nobody can ask what happens at it, where that must be asked; or what could not be seen.
    pub poll_trouble: Option<PollTrouble>,
    /// What is wrong with it now.
    pub alarms: Vec<AlarmRecord>,
}

impl NumberStanding {
    /// Whether a status came for it since its connection is as it is.
    pub fn heard_since_change(&self) -> bool {
        self.lately.heard_at.is_some_and(|at| at >= self.sender.connection.changed_at)
    }

    /// For what people type without a country code.
    pub fn default_country(&self) -> Option<&str> {
        self.account.as_ref()?.policy.default_country.as_deref()
    }
}

/// Whether the provider takes what we show, as far as that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Nothing was asked yet.
    Unknown,
    Taken(UnixMillis),
    Refused(UnixMillis, String),
}

/// What a look at a channel found.
#[derive(Clone, Debug)]
pub struct CheckedChannel {
    pub connection: Arc<Connection>,
    pub findings: Vec<Finding>,
    /// What could be set right from here, each once.
    pub repairs: Vec<Repair>,
    pub took: Duration,
}

/// What a repair came to.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub repair: Repair,
    /// What the provider said, when it did not do it.
    pub failure: Option<String>,
}

impl Connections {
    pub fn new(
        store: Store,
        directory: Arc<Directory>,
        settings: Arc<Settings>,
        exchange: Exchange,
        limits: Arc<MessagingLimits>,
    ) -> Self {
        Self { store, directory, settings, exchange, limits, checking: Semaphore::new(CHECKS_AT_ONCE) }
    }

    /// All connections with their numbers, by id.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<ConnectionStanding>, Refusal> {
        require(actor, Permission::ReadMessages)?;
        let snapshot = self.snapshot().await?;
        let mut known = self.known(&snapshot).await?;
        let mut standing: Vec<ConnectionStanding> = snapshot
            .connections()
            .map(|connection| self.connection_standing(&snapshot, connection, &mut known))
            .collect();
        standing.sort_by(|one, other| one.connection.id.cmp(&other.connection.id));
        Ok(standing)
    }

    pub async fn one(&self, actor: &Actor, id: &str) -> Result<ConnectionStanding, Refusal> {
        require(actor, Permission::ReadMessages)?;
        let snapshot = self.snapshot().await?;
        let connection = snapshot.connection(id).ok_or_else(|| no_connection(id))?;
        Ok(self.connection_standing(&snapshot, connection, &mut self.known(&snapshot).await?))
    }

    /// All numbers.
    pub async fn numbers(&self, actor: &Actor) -> Result<Vec<NumberStanding>, Refusal> {
        let mut numbers: Vec<_> =
            self.list(actor).await?.into_iter().flat_map(|connection| connection.numbers).collect();
        numbers.sort_by(|one, other| one.sender.number.cmp(&other.sender.number));
        Ok(numbers)
    }

    /// One number, by its digits with country code.
    pub async fn number(&self, actor: &Actor, digits: &str) -> Result<NumberStanding, Refusal> {
        require(actor, Permission::ReadMessages)?;
        let snapshot = self.snapshot().await?;
        let sender = sender_named(&snapshot, digits)?;
        let mut known = self.known(&snapshot).await?;
        let token = token_state(&snapshot, &sender.connection, (&known.channels, &known.syncs));
        Ok(self.number_standing(&snapshot, sender, token, &mut known))
    }

    pub async fn hold_connection(&self, actor: &Actor, id: &str, reason: &str) -> Result<bool, Refusal> {
        let snapshot = self.snapshot().await?;
        let connection = snapshot.connection(id).ok_or_else(|| no_connection(id))?;
        holds::hold(&self.store, actor, Target::Connection(connection), reason).await
    }

    pub async fn release_connection(&self, actor: &Actor, id: &str) -> Result<bool, Refusal> {
        let snapshot = self.snapshot().await?;
        let connection = snapshot.connection(id).ok_or_else(|| no_connection(id))?;
        holds::release(&self.store, actor, Target::Connection(connection)).await
    }

    pub async fn hold_number(&self, actor: &Actor, digits: &str, reason: &str) -> Result<bool, Refusal> {
        let snapshot = self.snapshot().await?;
        holds::hold(&self.store, actor, Target::Number(sender_named(&snapshot, digits)?), reason).await
    }

    pub async fn release_number(&self, actor: &Actor, digits: &str) -> Result<bool, Refusal> {
        let snapshot = self.snapshot().await?;
        holds::release(&self.store, actor, Target::Number(sender_named(&snapshot, digits)?)).await
    }

    /// "Check channel": asks the provider about everything that the connection needs, or that one of its numbers does.
    pub async fn check(
        &self,
        actor: &Actor,
        id: &str,
        number: Option<&PhoneNumber>,
    ) -> Result<CheckedChannel, Refusal> {
        require(actor, Permission::ManageQueues)?;
        let _place = self.checking.try_acquire().map_err(|_| {
            let text = format!("{CHECKS_AT_ONCE} channels are being checked already: try again in a moment");
            Refusal::Conflict(text)
        })?;
        let configuration = self.store.load_configuration().await?;
        let connection = configuration.connections.iter().find(|connection| connection.id == id);
        let connection = connection.cloned().ok_or_else(|| no_connection(id))?;
        let started = Instant::now();
        let checker = Checker {
            settings: &self.settings,
            store: &self.store,
            exchange: self.exchange.clone(),
            collector: None,
            configuration,
            scope: Scope { connection: Some(id.to_owned()), number: number.cloned(), ..Scope::default() },
        };
        let mut findings = checker.check_channel().await;
        in_order(&mut findings);
        Ok(CheckedChannel { connection, repairs: repairs(&findings), findings, took: started.elapsed() })
    }

    /// "Fix channel issue": does at the provider what was shown before, and nothing else. `shown_url` is the webhook URL that
    /// somebody agreed to.
    pub async fn fix(
        &self,
        actor: &Actor,
        id: &str,
        wanted: &[(RepairKind, String)],
        shown_url: &str,
    ) -> Result<Vec<Fixed>, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let snapshot = self.snapshot().await?;
        let connection = snapshot.connection(id).ok_or_else(|| no_connection(id))?;
        let url = self.public_webhook_url(connection)?;
        if url != shown_url {
            let text = format!(
                "webhooks of {id} belong to {url} by now: check the channel again, and look what would be done"
            );
            return Err(Refusal::Conflict(text));
        }
        if wanted.is_empty() || wanted.len() > REPAIRS_MAX {
            let text = format!("name 1 to {REPAIRS_MAX} repairs, as a check of the channel offered them");
            return Err(Refusal::Invalid { field: "repairs", text });
        }
        let provider = providers::find(&connection.provider)
            .ok_or_else(|| Refusal::Conflict(format!("this version knows no provider {}", connection.provider)))?;
        let repairs = wanted.iter().map(|(kind, of)| repair_named(&snapshot, connection, (*kind, of), &url));
        let repairs: Vec<Repair> = repairs.collect::<Result<_, _>>()?;
        let mut fixed = Vec::with_capacity(repairs.len());
        for repair in repairs {
            let done = provider.repair(&self.exchange, connection, &repair, &url).await;
            let failure = done.err().map(|failure| failure.to_string());
            let entry = AuditEntry::new(actor, "fix channel", format!("connection {id}")).after(json!({
                "done": failure.is_none(),
                "what": repair.what,
                "request": format!("{} {}", repair.request.method, repair.request.url),
                "failure": failure,
            }));
            self.store.note_in_audit(&entry).await?;
            fixed.push(Fixed { repair, failure });
        }
        Ok(fixed)
    }

    /// Our own URL for a connection's webhooks, whether or not anybody outside can reach it.
    pub fn webhook_url(&self, provider: &str, id: &str) -> String {
        webhook_url(&self.settings, provider, id)
    }

    fn public_webhook_url(&self, connection: &Connection) -> Result<String, Refusal> {
        if self.settings.server.public_url.is_empty() {
            let text = "server.public_url is not set, so nobody can tell where webhooks should go: set it and restart";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        Ok(self.webhook_url(&connection.provider, &connection.id))
    }

    pub(super) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::new(self.store.load_configuration().await?))
    }

    /// Everything that the database knows, read once for all that is shown.
    async fn known(&self, snapshot: &Snapshot) -> Result<Known, StoreError> {
        let alarms = raised(&self.store, snapshot).await?;
        let now = clock::now();
        Ok(Known {
            now,
            alarms,
            channels: self.store.channels().await?,
            syncs: self.store.template_syncs().await?,
            pollings: self.store.pollings().await?,
            queues: self.store.queues().await?,
            waiting: self.store.waiting_for_place().await?,
            leases: self.store.leases().await?,
            lately: self.store.activity_since(now.minus(LATELY)).await?,
        })
    }

    fn connection_standing(
        &self,
        snapshot: &Snapshot,
        connection: &Arc<Connection>,
        known: &mut Known,
    ) -> ConnectionStanding {
        let token = token_state(snapshot, connection, (&known.channels, &known.syncs));
        let senders = snapshot.senders().filter(|sender| sender.connection.key == connection.key);
        let mut numbers: Vec<NumberStanding> =
            senders.map(|sender| self.number_standing(snapshot, sender, token.clone(), known)).collect();
        numbers.sort_by(|one, other| one.sender.number.cmp(&other.sender.number));
        ConnectionStanding {
            token,
            webhook_url: self.webhook_url(&connection.provider, &connection.id),
            heard_at: numbers.iter().filter_map(|number| number.lately.heard_at).max(),
            alarms: known.alarms_of(&format!("connection {}", connection.id)),
            connection: connection.clone(),
            numbers,
        }
    }

    fn number_standing(
        &self,
        snapshot: &Snapshot,
        sender: &Arc<Sender>,
        token: TokenState,
        known: &mut Known,
    ) -> NumberStanding {
        let key = sender.key;
        let templates = self.directory.templates(sender);
        let sendable = templates.iter().filter(|template| template.status == TemplateStatus::Approved).count();
        let waiting = known.waiting.get(&key).copied().unwrap_or(0);
        NumberStanding {
            account: snapshot.account_by_key(sender.account).cloned(),
            token,
            channel: known.channels.remove(&key).unwrap_or_default(),
            limit: self.limits.standing(key, waiting, known.now),
            queue: known.queues.remove(&key).unwrap_or_default(),
            owner: known.owner_of(key),
            lately: known.lately.get(&key).copied().unwrap_or_default(),
            templates: (sendable, templates.len()),
            templates_sync: known.syncs.get(&owner_of(sender)).cloned().unwrap_or_default(),
            poll_trouble: polling::trouble_of(sender, known.pollings.remove(&key)),
            alarms: known.alarms_of(&format!("number {}", sender.number.as_e164())),
            sender: sender.clone(),
        }
    }
}

struct Known {
    now: UnixMillis,
    alarms: Vec<AlarmRecord>,
    channels: BTreeMap<SenderKey, Channel>,
    syncs: BTreeMap<TemplateOwner, TemplateSync>,
    pollings: BTreeMap<SenderKey, Polling>,
    queues: BTreeMap<SenderKey, QueueOverview>,
    /// For a place among the people that a messaging limit counts.
    waiting: BTreeMap<SenderKey, i64>,
    leases: Vec<LeaseOverview>,
    lately: BTreeMap<SenderKey, Tally>,
}

impl Known {
    fn alarms_of(&self, subject: &str) -> Vec<AlarmRecord> {
        self.alarms.iter().filter(|alarm| alarm.subject == subject).cloned().collect()
    }

    fn owner_of(&self, sender: SenderKey) -> Option<String> {
        let of = |lease: &&LeaseOverview| lease.kind == LeaseKind::Sender.code() && lease.item == sender.0;
        self.leases.iter().find(of)?.owner.clone()
    }
}

/// The newest that the provider answered about any of the connection's numbers, also those that were removed since: the token is the
/// connection's. What it answered before the connection was changed was about another token, perhaps.
pub(super) fn token_state(
    snapshot: &Snapshot,
    connection: &Connection,
    (numbers, lists): (&BTreeMap<SenderKey, Channel>, &BTreeMap<TemplateOwner, TemplateSync>),
) -> TokenState {
    let senders = snapshot.senders_ever().filter(|sender| sender.connection.key == connection.key);
    let channels: Vec<&Channel> = senders.filter_map(|sender| numbers.get(&sender.key)).collect();
    let syncs = lists.iter().filter(|(owner, _)| owner.connection == connection.key);
    let syncs: Vec<&TemplateSync> = syncs.map(|(_, sync)| sync).collect();
    let failures = channels.iter().map(|channel| &channel.failure).chain(syncs.iter().map(|sync| &sync.failure));
    let is_about_this = |at: &UnixMillis| *at >= connection.changed_at;
    let refused = failures.flatten().filter(|(at, why)| is_about_this(at) && is_refused_token(why)).max();
    let read = channels.iter().filter_map(|channel| channel.state.as_ref().map(|(at, _)| *at));
    let taken = read.chain(syncs.iter().filter_map(|sync| sync.synced_at)).filter(is_about_this).max();
    match (refused, taken) {
        (Some((at, why)), taken) if taken.is_none_or(|taken| taken <= *at) => TokenState::Refused(*at, why.clone()),
        (_, Some(at)) => TokenState::Taken(at),
        (_, None) => TokenState::Unknown,
    }
}

/// What is about one thing stands together, in the order in which messages need it.
fn in_order(findings: &mut [Finding]) {
    let mut seen: Vec<String> = Vec::new();
    for finding in findings.iter() {
        if !seen.contains(&finding.about) {
            seen.push(finding.about.clone());
        }
    }
    findings.sort_by_key(|finding| (seen.iter().position(|about| *about == finding.about), finding.topic));
}

/// A repair that somebody names, of something that belongs to the connection.
fn repair_named(
    snapshot: &Snapshot,
    connection: &Connection,
    (kind, id): (RepairKind, &str),
    url: &str,
) -> Result<Repair, Refusal> {
    let mut senders = snapshot.senders().filter(|sender| sender.connection.key == connection.key);
    let ours = match kind {
        RepairKind::SubscribeAccount => senders.any(|sender| sender.provider_account_id == id),
        RepairKind::RouteNumber => senders.any(|sender| sender.provider_number_id == id),
    };
    let provider = providers::find(&connection.provider).filter(|_| ours);
    let repair = provider.and_then(|provider| provider.offer_repair(connection, kind, id, url));
    repair.ok_or_else(|| {
        let text =
            format!("{} {id} cannot be repaired through {}: check the channel again", kind.as_str(), connection.id);
        Refusal::Invalid { field: "repairs", text }
    })
}

/// A number, by its digits with country code.
pub fn sender_named<'a>(snapshot: &'a Snapshot, digits: &str) -> Result<&'a Arc<Sender>, Refusal> {
    let wanted = digits.trim_start_matches('+');
    let sender = snapshot.senders().find(|sender| sender.number.digits() == wanted);
    sender.ok_or_else(|| match snapshot.sender_ever(wanted) {
        Some(_) => Refusal::NotFound(format!("number {digits} was removed: the audit log says when, and by whom")),
        None => no_number(digits),
    })
}

pub fn no_number(digits: &str) -> Refusal {
    Refusal::NotFound(format!("there is no number {digits}; give it with its country code"))
}

fn no_connection(id: &str) -> Refusal {
    Refusal::NotFound(format!("there is no connection {id}"))
}
