//! Testing the configuration against the outside: `wabridge check`.
//!
//! 1. The database, as it is and not as it was asked for; the master key, the disk, the servers that run.
//! 2. Each connection: its provider is asked about everything that it needs, and our own webhook URL about itself.
//! 3. Each account: numbers, callback URLs by the front pages of their servers. Nothing is ever sent to the URLs themselves.
//! 4. The collector of traces, by a portion without spans.
//!
//! What was found is told as it is found. It changes nothing, and keeps what the provider said of numbers; [`Checker::repair`] does what a finding offers, when asked.

mod accounts;
mod machine;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use futures_util::StreamExt as _;

pub use self::machine::{SERVER, check_machine};
use crate::{
    clock,
    domain::{
        account::{Connection, Hold, Sender},
        channel::NumberState,
        finding::{Finding, Repair, Topic},
        ids::SenderKey,
        phone::PhoneNumber,
    },
    net::{collector::Collector, exchange::Exchange},
    providers::{self, FetchFailure},
    services::traces::try_collector,
    settings::Settings,
    store::{Store, configuration::Configuration},
};

/// Connections that are asked about at once; they are told one after the other.
const CONNECTIONS_AT_ONCE: usize = 4;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub account: Option<String>,
    pub connection: Option<String>,
    /// Of that connection, this number only.
    pub number: Option<PhoneNumber>,
    /// Ask nobody outside.
    pub offline: bool,
}

impl Scope {
    fn is_everything(&self) -> bool {
        self.account.is_none() && self.connection.is_none() && self.number.is_none() && !self.offline
    }
}

/// What happens while looking.
#[derive(Debug)]
pub enum Progress {
    /// What is being looked at now.
    Looking(String),
    Found(Finding),
}

/// Looks at everything that the configuration names.
pub struct Checker<'a> {
    pub settings: &'a Settings,
    pub store: &'a Store,
    /// The door to providers.
    pub exchange: Exchange,
    /// The place for traces, when there is one.
    pub collector: Option<Collector>,
    pub configuration: Configuration,
    pub scope: Scope,
}

impl Checker<'_> {
    /// Looks at connections and accounts, and tells.
    pub async fn run(&self, tell: &mut dyn FnMut(Progress)) {
        self.check_public_url(tell).await;
        if !self.scope.offline {
            self.check_connections(tell).await;
        }
        tell(Progress::Looking("accounts and callback URLs".to_owned()));
        for finding in self.check_accounts().await {
            tell(Progress::Found(finding));
        }
        if let Some(collector) = self.collector.as_ref().filter(|_| self.scope.is_everything()) {
            tell(Progress::Looking("the collector of traces".to_owned()));
            tell(Progress::Found(self.check_collector(collector).await));
        }
    }

    /// Looks at the connection of the scope, with all that stands between it and messages that come and go.
    pub async fn check_channel(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let tell = &mut |progress| match progress {
            Progress::Found(finding) => findings.push(finding),
            Progress::Looking(_) => {}
        };
        self.check_public_url(tell).await;
        self.check_connections(tell).await;
        let numbers = self.configuration.senders.iter().filter(|sender| self.covers(sender));
        findings.extend(numbers.filter_map(number_on_hold));
        findings
    }

    async fn check_collector(&self, collector: &Collector) -> Finding {
        let about = format!("collector of traces {}", collector.shown());
        match try_collector(collector, &self.settings.instance_id()).await {
            Ok(()) => {
                let percent = self.settings.traces.sample_ratio * 100.0;
                Finding::fine(about, format!("it takes spans; {percent} % of the messages are traced"))
            }
            Err(why) => Finding::wrong(
                about,
                format!("it does not take spans, so they are dropped: {why}"),
                "correct traces.endpoint (the port for OTLP by HTTP is 4318) and traces.headers, or start the collector",
            ),
        }
    }

    /// Whether a number is among what is looked at.
    fn covers(&self, sender: &Sender) -> bool {
        let account = self.configuration.accounts.iter().find(|account| account.key == sender.account);
        let of_account = self.scope.account.as_ref().is_none_or(|id| account.is_some_and(|account| account.id == *id));
        let of_connection = self.scope.connection.as_ref().is_none_or(|id| sender.connection.id == *id);
        of_account && of_connection && self.scope.number.as_ref().is_none_or(|number| sender.number == *number)
    }

    /// Connections with their numbers, as far as they are to be looked at.
    fn connections(&self) -> Vec<(Arc<Connection>, Vec<Arc<Sender>>)> {
        let senders: Vec<Arc<Sender>> =
            self.configuration.senders.iter().filter(|sender| self.covers(sender)).cloned().map(Arc::new).collect();
        let wanted: BTreeSet<i32> = senders.iter().map(|sender| sender.connection.key.0).collect();
        let everything = self.scope.account.is_none();
        let chosen = self.configuration.connections.iter().filter(|connection| {
            let named = self.scope.connection.as_ref().is_none_or(|id| connection.id == *id);
            named && (everything || wanted.contains(&connection.key.0))
        });
        chosen
            .map(|connection| {
                let mine = senders.iter().filter(|sender| sender.connection.key == connection.key);
                (connection.clone(), mine.cloned().collect())
            })
            .collect()
    }

    async fn check_connections(&self, tell: &mut dyn FnMut(Progress)) {
        let connections = self.connections();
        let names: Vec<String> = connections.iter().map(|(connection, _)| connection.id.clone()).collect();
        if let Some(first) = names.first() {
            tell(Progress::Looking(format!("connection {first}")));
        }
        let asked = connections.iter().map(|(connection, senders)| self.check_connection(connection, senders));
        let mut found = futures_util::stream::iter(asked).buffered(CONNECTIONS_AT_ONCE);
        let mut next = names.iter().skip(1);
        while let Some(findings) = found.next().await {
            for finding in findings {
                tell(Progress::Found(finding));
            }
            if let Some(name) = next.next() {
                tell(Progress::Looking(format!("connection {name}")));
            }
        }
    }

    async fn check_connection(&self, connection: &Connection, senders: &[Arc<Sender>]) -> Vec<Finding> {
        let about = format!("connection {}", connection.id);
        let mut findings = Vec::new();
        if let Some(hold) = &connection.hold {
            findings.push(on_hold(&about, hold, &connection.id));
        }
        let Some(provider) = providers::find(&connection.provider) else {
            let text = format!("this version knows no provider {}", connection.provider);
            findings.push(Finding::wrong(about, text, "run the version that made it, or apply another provider"));
            return findings;
        };
        let url = self.webhook_url(connection);
        let checked = provider.check(&self.exchange, connection, senders, url.as_deref()).await;
        findings.extend(checked.findings);
        findings.extend(senders.iter().filter_map(|sender| too_fast(sender, &checked.numbers)));
        findings.extend(self.keep_numbers(&checked.numbers).await);
        findings
            .push(self.check_webhooks(&about, provider.webhooks_by_url_token(), senders).await.on(Topic::Signature));
        findings
    }

    /// What was said of the numbers replaces what a server may have read long ago. A finding only when it cannot be kept.
    async fn keep_numbers(&self, numbers: &[(SenderKey, Result<NumberState, FetchFailure>)]) -> Option<Finding> {
        for (sender, read) in numbers {
            let kept = match read {
                Ok(state) => self.store.keep_channel(*sender, state, clock::now()).await,
                Err(failure) => self.store.note_channel_failure(*sender, &failure.0, clock::now()).await,
            };
            if let Err(error) = kept {
                let text = format!("the state of numbers cannot be kept: {}", crate::telemetry::Chain(&error));
                return Some(Finding::wrong("database", text, "see what was found about the database"));
            }
        }
        None
    }

    /// What signs webhooks cannot be asked about; a webhook that was taken is the proof.
    async fn check_webhooks(&self, about: &str, by_url: bool, senders: &[Arc<Sender>]) -> Finding {
        let proof = if by_url { "the secret part of the URL" } else { "the webhook secret (Meta: the app secret)" };
        let (mut newest, mut before) = (None, None);
        for sender in senders {
            match self.store.last_heard(sender.account, sender.key).await {
                // What was signed before another secret was entered says nothing of that.
                Ok(heard) if heard < Some(sender.connection.changed_at) => before = before.max(heard),
                Ok(heard) => newest = newest.max(heard),
                Err(error) => {
                    let text = crate::telemetry::Chain(&error).to_string();
                    return Finding::wrong(about, text, "see what was found about the database");
                }
            }
        }
        match newest {
            Some(at) if by_url => {
                Finding::fine(about, format!("{proof} is right: the webhook taken at {at} came by it"))
            }
            Some(at) => Finding::fine(about, format!("{proof} is right: it signed the webhook taken at {at}")),
            None => Finding::doubtful(
                about,
                match before {
                    Some(at) => format!(
                        "no webhook was taken since the connection was changed (the last one at {at}), so nobody can tell \
                         whether {proof} is right"
                    ),
                    None => format!("no webhook has come lately, so nobody can tell whether {proof} is right"),
                },
                "send a message to the number from a phone, and check again",
            ),
        }
    }

    /// Where the provider should send webhooks; `None` when nobody has said how the world reaches us.
    pub fn webhook_url(&self, connection: &Connection) -> Option<String> {
        let said = !self.settings.server.public_url.is_empty();
        said.then(|| webhook_url(self.settings, &connection.provider, &connection.id))
    }

    async fn check_public_url(&self, tell: &mut dyn FnMut(Progress)) {
        let about = "server.public_url";
        let url = &self.settings.server.public_url;
        if url.is_empty() {
            tell(Progress::Found(self.no_public_url(about).on(Topic::PublicUrl)));
            return;
        }
        if self.scope.offline {
            return;
        }
        let started = Instant::now();
        let finding = match self.exchange.would_reach(url).await {
            Ok(()) if !url.starts_with("https://") => Finding::doubtful(
                about,
                format!("{url} begins with http://, which is for trials only"),
                "put TLS in front, or set server.tls_certificate: Meta and CleverTap want https://",
            ),
            Ok(()) => Finding::fine(about, format!("{url} has an address")),
            Err(why) => Finding::wrong(about, format!("{url}: {why}"), "correct it, or the DNS entry of its name"),
        };
        tell(Progress::Found(finding.on(Topic::PublicUrl).within(started.elapsed())));
    }

    /// In a trial webhooks come from a simulator, which was told where to send them.
    fn no_public_url(&self, about: &str) -> Finding {
        let remedy = "set it to how the world reaches this server, such as https://whatsapp.example.com";
        if self.settings.security.allow_private_networks {
            let text = format!(
                "it is not set: right for a trial on this machine, where webhooks come to {} and nobody else needs it",
                self.settings.public_url()
            );
            return Finding::doubtful(about, text, format!("before Meta or CleverTap are to reach it, {remedy}"));
        }
        Finding::wrong(about, "it is not set, so nobody can tell where webhooks should go", remedy)
    }

    /// Does what a finding offered. The error says what the provider said.
    pub async fn repair(&self, repair: &Repair) -> Result<(), String> {
        let connection = self.configuration.connections.iter().find(|connection| connection.key == repair.connection);
        let connection = connection.ok_or("the connection does not exist any more")?;
        let provider = providers::find(&connection.provider).ok_or("this version does not know the provider")?;
        let url = self.webhook_url(connection).ok_or("server.public_url is not set")?;
        provider.repair(&self.exchange, connection, repair, &url).await.map_err(|failure| failure.to_string())
    }
}

/// What stands in our URLs where their secret part belongs.
pub const URL_TOKEN_PLACE: &str = "URL_TOKEN";

/// Our own URL for a connection's webhooks. Its secret part, where the provider needs one, is never in it.
pub fn webhook_url(settings: &Settings, provider: &str, connection: &str) -> String {
    let url = format!("{}/webhooks/{provider}/{connection}", settings.public_url());
    match providers::find(provider).is_some_and(|provider| provider.webhooks_by_url_token()) {
        true => format!("{url}/{URL_TOKEN_PLACE}"),
        false => url,
    }
}

/// Unless the provider has said itself how fast the number is: that is told already.
fn too_fast(sender: &Sender, numbers: &[(SenderKey, Result<NumberState, FetchFailure>)]) -> Option<Finding> {
    let said = numbers.iter().find(|(key, _)| *key == sender.key).and_then(|(_, read)| read.as_ref().ok());
    if said.is_some_and(|state| state.throughput_per_second.is_some()) {
        return None;
    }
    let about = format!("number {}", sender.number.as_e164());
    let text = providers::beyond_the_fastest(sender)?;
    Some(Finding::doubtful(about, text, "lower messages_per_second").on(Topic::Throughput))
}

fn number_on_hold(sender: &Sender) -> Option<Finding> {
    let number = sender.number.as_e164();
    sender.hold.as_ref().map(|hold| on_hold(&format!("number {number}"), hold, number))
}

fn on_hold(about: &str, hold: &Hold, name: &str) -> Finding {
    let text = format!("it is on hold since {} {}: {}", hold.since, hold.by_whom(), hold.reason);
    let remedy = format!("{} (`wabridge release {name}`)", hold.ended_by());
    Finding::wrong(about, text, remedy).on(Topic::Hold)
}

/// What can be repaired of all this, each once.
pub fn repairs(findings: &[Finding]) -> Vec<Repair> {
    let repairs: BTreeSet<Repair> = findings.iter().filter_map(|finding| finding.repair.clone()).collect();
    repairs.into_iter().collect()
}
