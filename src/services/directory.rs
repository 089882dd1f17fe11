//! What every request needs to know, in memory: accounts, connections, numbers, subscriptions, templates.
//!
//! A snapshot is never changed, only replaced as a whole; who holds one keeps a consistent view. It
//! is read again when the version in the database has moved, which every instance looks at each second.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    domain::{
        account::{Account, Connection, Sender},
        callback::Subscription,
        ids::{AccountKey, ConnectionKey, SenderKey},
        queue::QueueRules,
        template::Template,
        webhook::Webhook,
    },
    store::{
        Store, StoreError,
        configuration::{self, Configuration},
        people::PERSON_LINKS,
        queue_rules::QUEUE_RULES,
        templates::TemplateOwner,
    },
    telemetry,
};

/// The current snapshots.
pub struct Directory {
    store: Store,
    configuration: ArcSwap<Snapshot>,
    templates: ArcSwap<TemplateLists>,
    queue_rules: ArcSwap<QueueRules>,
    versions: Mutex<BTreeMap<String, i64>>,
    /// Held from reading to replacing: of two who read at the same time the one with the older news must not come last.
    reloading: AsyncMutex<()>,
}

/// Accounts and what belongs to them. What was removed is found by its key alone, and by whoever asks for everything
/// that there [ever was](Self::accounts_ever).
#[derive(Default)]
pub struct Snapshot {
    accounts: HashMap<String, Arc<Account>>,
    accounts_by_key: HashMap<AccountKey, Arc<Account>>,
    connections: HashMap<String, Arc<Connection>>,
    senders: HashMap<SenderKey, Arc<Sender>>,
    senders_of_account: HashMap<AccountKey, Vec<Arc<Sender>>>,
    senders_by_provider_id: HashMap<(ConnectionKey, String), Arc<Sender>>,
    past: Past,
    /// Of platforms and of webhooks.
    pub subscriptions: Vec<Arc<Subscription>>,
    off_subscriptions: Vec<Arc<Subscription>>,
    pub webhooks: Vec<Arc<Webhook>>,
    /// Numbers with larger keys have no series of their own among the metrics.
    shown_up_to: Option<SenderKey>,
}

/// What was removed and is still part of somebody's history.
#[derive(Default)]
struct Past {
    accounts: BTreeMap<AccountKey, Arc<Account>>,
    senders: BTreeMap<SenderKey, Arc<Sender>>,
    connections: Vec<Arc<Connection>>,
}

type TemplateLists = BTreeMap<TemplateOwner, Arc<Vec<Template>>>;

/// A business number may be written without its country code, but not shorter than this.
const NUMBER_SUFFIX_DIGITS_MIN: usize = 6;

impl Snapshot {
    pub(crate) fn new(configuration: Configuration) -> Self {
        let mut snapshot = Self::default();
        for account in configuration.accounts {
            let account = Arc::new(account);
            snapshot.accounts_by_key.insert(account.key, account.clone());
            snapshot.accounts.insert(account.id.clone(), account);
        }
        for connection in configuration.connections {
            snapshot.connections.insert(connection.id.clone(), connection);
        }
        for sender in configuration.senders {
            let sender = Arc::new(sender);
            let provider_id = (sender.connection.key, sender.provider_number_id.clone());
            snapshot.senders_by_provider_id.insert(provider_id, sender.clone());
            snapshot.senders_of_account.entry(sender.account).or_default().push(sender.clone());
            snapshot.senders.insert(sender.key, sender);
        }
        let subscriptions = configuration.subscriptions.into_iter().chain(configuration.webhook_subscriptions);
        snapshot.subscriptions = subscriptions.map(Arc::new).collect();
        snapshot.off_subscriptions = configuration.off_subscriptions.into_iter().map(Arc::new).collect();
        snapshot.webhooks = configuration.webhooks;
        let configuration::Past { accounts, senders, connections } = configuration.past;
        snapshot.past = Past {
            accounts: accounts.into_iter().map(|account| (account.key, Arc::new(account))).collect(),
            senders: senders.into_iter().map(|sender| (sender.key, Arc::new(sender))).collect(),
            connections,
        };
        let mut keys: Vec<SenderKey> = snapshot.senders.keys().copied().collect();
        keys.sort_unstable();
        snapshot.shown_up_to = keys.get(telemetry::SUBJECTS_SHOWN_MAX - 1).copied();
        snapshot
    }

    pub fn account(&self, id: &str) -> Option<&Arc<Account>> {
        self.accounts.get(id)
    }

    /// Whose account something is, or was before it was removed.
    pub fn account_by_key(&self, key: AccountKey) -> Option<&Arc<Account>> {
        self.accounts_by_key.get(&key).or_else(|| self.past.accounts.get(&key))
    }

    /// For whoever looks at the past: what has the name now, else what had it last.
    pub fn account_ever(&self, id: &str) -> Option<&Arc<Account>> {
        self.account(id).or_else(|| self.past.accounts.values().rfind(|account| account.id == id))
    }

    /// Also those that were removed.
    pub fn accounts_ever(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts().chain(self.past.accounts.values())
    }

    /// Also those of webhooks that are off.
    pub fn subscriptions_ever(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.subscriptions.iter().chain(&self.off_subscriptions)
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    pub fn connection(&self, id: &str) -> Option<&Arc<Connection>> {
        self.connections.get(id)
    }

    pub fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    pub fn connection_by_key(&self, key: ConnectionKey) -> Option<&Arc<Connection>> {
        self.connections().chain(&self.past.connections).find(|connection| connection.key == key)
    }

    /// Whose number something is, or was before it was removed.
    pub fn sender(&self, key: SenderKey) -> Option<&Arc<Sender>> {
        self.sender_at_work(key).or_else(|| self.past.senders.get(&key))
    }

    /// The same for whoever does something with it: none that was removed.
    pub fn sender_at_work(&self, key: SenderKey) -> Option<&Arc<Sender>> {
        self.senders.get(&key)
    }

    /// For whoever looks at the past: the number, with or without its plus sign, as it is now, else as it was last.
    pub fn sender_ever(&self, number: &str) -> Option<&Arc<Sender>> {
        let digits = number.trim_start_matches('+');
        let has_it = |sender: &&Arc<Sender>| sender.number.digits() == digits;
        self.senders().find(has_it).or_else(|| self.past.senders.values().rfind(has_it))
    }

    /// Also those that were removed.
    pub fn senders_ever(&self) -> impl Iterator<Item = &Arc<Sender>> {
        self.senders().chain(self.past.senders.values())
    }

    pub fn senders(&self) -> impl Iterator<Item = &Arc<Sender>> {
        self.senders.values()
    }

    pub fn sender_by_provider_id(&self, connection: ConnectionKey, provider_number_id: &str) -> Option<&Arc<Sender>> {
        self.senders_by_provider_id.get(&(connection, provider_number_id.to_owned()))
    }

    /// The account's number that is meant by `text`: all its digits, or an end of them that only one
    /// of the account's numbers has.
    pub fn sender_meant(&self, account: AccountKey, text: &str) -> Option<&Arc<Sender>> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let senders = self.senders_of_account.get(&account)?;
        if let Some(sender) = senders.iter().find(|sender| sender.number.digits() == digits) {
            return Some(sender);
        }
        let national = digits.trim_start_matches('0');
        if national.len() < NUMBER_SUFFIX_DIGITS_MIN {
            return None;
        }
        let mut ending = senders.iter().filter(|sender| sender.number.digits().ends_with(national));
        ending.next().filter(|_| ending.next().is_none())
    }

    /// The ids of all accounts, for people to choose from.
    pub fn account_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.accounts().map(|account| account.id.clone()).collect();
        ids.sort();
        ids
    }

    /// All business numbers, with a plus sign, for people to choose from.
    pub fn business_numbers(&self) -> Vec<String> {
        let mut numbers: Vec<String> = self.senders().map(|sender| sender.number.as_e164().to_owned()).collect();
        numbers.sort();
        numbers
    }

    pub fn senders_of(&self, account: AccountKey) -> &[Arc<Sender>] {
        self.senders_of_account.get(&account).map_or(&[], Vec::as_slice)
    }
}

impl Directory {
    pub async fn load(store: Store) -> Result<Self, StoreError> {
        let directory = Self {
            store,
            configuration: ArcSwap::from_pointee(Snapshot::default()),
            templates: ArcSwap::from_pointee(TemplateLists::new()),
            queue_rules: ArcSwap::from_pointee(QueueRules::default()),
            versions: Mutex::default(),
            reloading: AsyncMutex::default(),
        };
        directory.reload_configuration().await?;
        directory.reload_templates().await?;
        Ok(directory)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.configuration.load_full()
    }

    /// The templates that a number can send; empty before the first sync.
    pub fn templates(&self, sender: &Sender) -> Arc<Vec<Template>> {
        self.templates.load().get(&owner_of(sender)).cloned().unwrap_or_default()
    }

    /// What operators have said about parts of the queues.
    pub fn queue_rules(&self) -> Arc<QueueRules> {
        self.queue_rules.load_full()
    }

    /// Grows when links of people are erased, here or by a command elsewhere; as far as this instance has heard.
    pub fn links_erased(&self) -> i64 {
        self.versions.lock().expect("no holder can panic").get(PERSON_LINKS).copied().unwrap_or_default()
    }

    /// Reads again what has changed in the database. `true` when the configuration did.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let versions = self.store.versions().await?;
        let before = self.versions.lock().expect("no holder can panic").clone();
        let moved = |name: &str| versions.get(name) != before.get(name);
        if moved("configuration") {
            self.reload_configuration().await?;
        }
        if moved("templates") {
            self.reload_templates().await?;
        }
        let changed = moved("configuration");
        if moved(QUEUE_RULES) && !changed {
            self.reload_queue_rules().await?;
        }
        *self.versions.lock().expect("no holder can panic") = versions;
        Ok(changed)
    }

    /// For whoever has just changed it and says so at once. [`Self::refresh`] will still report the change.
    ///
    /// Rules of queues come along, read later and seen sooner: of a pause and the release of a hold that followed it nobody sees the release
    /// alone, which would let go what was paused.
    pub async fn reload_configuration(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reloading.lock().await;
        let configuration = Snapshot::new(self.store.load_configuration().await?);
        self.queue_rules.store(Arc::new(self.store.queue_rules().await?));
        self.configuration.store(Arc::new(configuration));
        Ok(())
    }

    async fn reload_queue_rules(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reloading.lock().await;
        self.queue_rules.store(Arc::new(self.store.queue_rules().await?));
        Ok(())
    }

    pub async fn reload_templates(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reloading.lock().await;
        let lists = self.store.load_templates().await?;
        let lists = lists.into_iter().map(|(owner, templates)| (owner, Arc::new(templates))).collect();
        self.templates.store(Arc::new(lists));
        Ok(())
    }
}

/// What the label `number` says of a number: the number, or that it is one of too many.
pub fn number_label(snapshot: &Snapshot, sender: &Sender) -> String {
    let shown = snapshot.shown_up_to.is_none_or(|last| sender.key <= last);
    if shown { sender.number.as_e164().to_owned() } else { telemetry::OTHERS.to_owned() }
}

/// Whose list of templates a number uses.
pub fn owner_of(sender: &Sender) -> TemplateOwner {
    TemplateOwner { connection: sender.connection.key, provider_account_id: sender.provider_account_id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            account::SenderPolicy,
            operator::Actor,
            phone::PhoneNumber,
            queue::{QueueFilter, RuleAction},
            time::UnixMillis,
        },
        store::{audit::AuditEntry, testing::on_each_database},
    };

    fn snapshot(numbers: &[&str]) -> Snapshot {
        let connection = Arc::new(Connection {
            key: ConnectionKey(1),
            id: "main".to_owned(),
            provider: "meta".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            hold: None,
            changed_at: UnixMillis(0),
        });
        let senders = numbers.iter().zip(1..).map(|(number, key)| Sender {
            key: SenderKey(key),
            account: AccountKey(1),
            connection: connection.clone(),
            number: PhoneNumber::from_international(number).expect("a number"),
            provider_number_id: key.to_string(),
            provider_account_id: "w".to_owned(),
            messages_per_second: 80,
            pace: 80,
            policy: SenderPolicy::default(),
            hold: None,
        });
        Snapshot::new(Configuration { senders: senders.collect(), ..Configuration::default() })
    }

    #[test]
    fn a_business_number_is_known_by_its_digits_or_by_an_end_that_only_it_has() {
        let snapshot = snapshot(&["+918880110022", "+918880110033", "+448880110022"]);
        let meant =
            |text: &str| snapshot.sender_meant(AccountKey(1), text).map(|sender| sender.number.as_e164().to_owned());

        for text in [
            "+918880110033",
            "918880110033",
            "+91 88801-10033",
            "8880110033",
            "08880110033",
            "00918880110033",
            "110033",
        ] {
            assert_eq!(meant(text).as_deref(), Some("+918880110033"), "{text}");
        }
        assert_eq!(meant("918880110022").as_deref(), Some("+918880110022"));
        for nobodys in ["8880110022", "10033", "", "+918880110099", "28880110033"] {
            assert_eq!(meant(nobodys), None, "{nobodys:?}: of two numbers, too short, or of none");
        }
        assert!(snapshot.sender_meant(AccountKey(2), "+918880110033").is_none(), "another account's");
    }

    #[tokio::test]
    async fn whoever_sees_a_hold_released_sees_the_pause_before_it() {
        on_each_database(|store| async move {
            let directory = Directory::load(store.clone()).await.expect("it can be read");
            let entry = AuditEntry::new(&Actor::of_command_line("test"), "pause", "all");
            let campaign = QueueFilter { campaign: Some("c1".to_owned()), ..QueueFilter::default() };
            let since = (UnixMillis(1), None);
            store.add_queue_rule(RuleAction::Pause, &campaign, "typing error", since, &entry).await.expect("written");

            directory.reload_configuration().await.expect("it can be read again");

            assert_eq!(directory.queue_rules().0.len(), 1);
        })
        .await;
    }
}
