//! Taking a webhook in.
//!
//! 1. The provider's dialect reads it: statuses, inbound messages, wishes, notices, and what it could not read.
//! 2. Each part finds the number that it is about; parts about numbers that are not ours are kept and shown.
//! 3. All of it is committed together with whatever else waits. Only then the provider is told "200".
//! 4. What a notice changes is seen to: a stopped template stops at once, lists and numbers are read again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    activity::Activity,
    channels::Channels,
    directory::{Directory, Snapshot, owner_of},
    lookup::TemplateLookup,
    messaging_limit::MessagingLimits,
};
use crate::{
    clock,
    domain::{
        account::{Connection, Sender},
        ids::{AccountKey, SenderKey},
        notice::{Notice, NoticeAbout, NoticeKind},
        phone::PhoneNumber,
        template::TemplateStatus,
        time::UnixMillis,
    },
    providers::{self, Parsed, PersonLink, Skipped},
    store::{
        Store,
        batch::{CommitError, Committer},
        ingest::{Ingest, ReceivedMessage, UnreadPart},
        notices::ReceivedNotice,
        people::{ReceivedLink, SEEN_AGAIN_AFTER_MS},
        preferences::ReceivedPreference,
        provider_conversations::ProviderConversation,
        templates::TemplateOwner,
    },
    telemetry,
};

pub struct Ingestor {
    store: Store,
    directory: Arc<Directory>,
    committer: Committer,
    lookup: Arc<TemplateLookup>,
    channels: Arc<Channels>,
    activity: Arc<Activity>,
    limits: Arc<MessagingLimits>,
    /// The provider hears no longer than this that its webhook is being stored.
    wait_max: Duration,
    links: KnownLinks,
}

/// Where people wrote, where an answer must say it.
fn conversations(connection: &Connection, inbound: &[ReceivedMessage]) -> Vec<ProviderConversation> {
    let provider = providers::find(&connection.provider);
    let Some(provider) = provider.filter(|provider| provider.answers_in_conversations(connection)) else {
        return vec![];
    };
    let name = |received: &ReceivedMessage| {
        let (person, name) = received.message.from.clone().zip(provider.conversation_of(&received.entry))?;
        Some(ProviderConversation { sender: received.sender, person, name })
    };
    inbound.iter().filter_map(name).collect()
}

const NOT_OURS: &str = "no sender number of this connection has the provider's id in it; add the number, or ignore it";
const NO_SUCH_ACCOUNT: &str =
    "no sender number belongs to the business account that the notice is about; add its number, or ignore it";

impl Ingestor {
    pub fn new(
        store: Store,
        directory: Arc<Directory>,
        committer: Committer,
        lookup: Arc<TemplateLookup>,
        channels: Arc<Channels>,
        (activity, limits): (Arc<Activity>, Arc<MessagingLimits>),
        wait_max: Duration,
    ) -> Self {
        Self { store, directory, committer, lookup, channels, activity, limits, wait_max, links: KnownLinks::default() }
    }

    pub async fn ingest(&self, connection: &Connection, parsed: Parsed) -> Result<(), CommitError> {
        let snapshot = self.directory.snapshot();
        let links_erased = self.directory.links_erased();
        let parsed = self.find_numbers(&snapshot, connection, parsed).await?;
        let sorted = self.sort(&snapshot, connection, parsed, links_erased);
        let Sorted { ingest, templates_changed, notices } = sorted;
        for provider_account_id in templates_changed {
            self.lookup.note_changed(TemplateOwner { connection: connection.key, provider_account_id });
        }
        if ingest.is_empty() {
            return Ok(());
        }
        metrics::counter!(telemetry::INBOUND).increment(ingest.inbound.len() as u64);
        let links = ingest.links.clone();
        let heard: Vec<SenderKey> = ingest.statuses.iter().map(|(sender, _)| *sender).collect();
        let wrote: Vec<(SenderKey, PhoneNumber)> = self.writers(&ingest.inbound);
        let conversations = conversations(connection, &ingest.inbound);
        // What is stored all the same, later, is known again when it comes again.
        let stored = tokio::time::timeout(self.wait_max, self.committer.ingest(ingest)).await;
        let taken = stored.unwrap_or(Err(CommitError::TooSlow))?;
        let now = clock::now();
        wrote.iter().for_each(|(sender, person)| self.limits.person_wrote(*sender, person, now));
        heard.into_iter().for_each(|sender| self.activity.heard(sender, now));
        self.links.note(&links, links_erased, now);
        if let Err(error) = self.store.keep_conversations(&conversations, now).await {
            tracing::warn!(error = %telemetry::Chain(&error), "answers to what was just written may find no conversation");
        }
        if taken.parked > 0 {
            tracing::debug!(
                connection.id = connection.id,
                parked = taken.parked,
                "parked statuses of unknown messages"
            );
        }
        for (notice, senders) in notices {
            self.act_on(connection, &notice, &senders).await;
        }
        Ok(())
    }

    /// Some providers do not say of which number they speak. Where a connection has several, a status is the number's whose
    /// message it is about.
    async fn find_numbers(
        &self,
        snapshot: &Snapshot,
        connection: &Connection,
        mut parsed: Parsed,
    ) -> Result<Parsed, CommitError> {
        let unnamed = |id: &String| id.is_empty();
        let statuses = parsed.statuses.iter().any(|update| unnamed(&update.provider_number_id));
        if !statuses && !parsed.inbound.iter().any(|inbound| unnamed(&inbound.provider_number_id)) {
            return Ok(parsed);
        }
        let senders: Vec<&Arc<Sender>> =
            snapshot.senders().filter(|sender| sender.connection.key == connection.key).collect();
        if let [only] = senders[..] {
            let ids = parsed.inbound.iter_mut().map(|inbound| &mut inbound.provider_number_id);
            let ids = ids.chain(parsed.statuses.iter_mut().map(|update| &mut update.provider_number_id));
            ids.filter(|id| id.is_empty()).for_each(|id| id.clone_from(&only.provider_number_id));
            return Ok(parsed);
        }
        let keys: Vec<SenderKey> = senders.iter().map(|sender| sender.key).collect();
        let mut unnamed: Vec<_> =
            parsed.statuses.iter_mut().filter(|update| unnamed(&update.provider_number_id)).collect();
        let messages: Vec<_> =
            unnamed.iter().map(|update| (update.message, update.provider_message_id.as_str())).collect();
        let found = self.store.numbers_of_messages(&messages, &keys).await;
        let found = found.map_err(|error| CommitError::Failed(Arc::new(error)))?;
        for (update, found) in unnamed.iter_mut().zip(found) {
            if let Some(sender) = found.and_then(|key| senders.iter().find(|sender| sender.key == key)) {
                update.provider_number_id.clone_from(&sender.provider_number_id);
            }
        }
        Ok(parsed)
    }

    /// Who wrote to numbers with a messaging limit, by the number that messages to them go to.
    fn writers(&self, inbound: &[ReceivedMessage]) -> Vec<(SenderKey, PhoneNumber)> {
        let counts =
            |received: &&ReceivedMessage| self.limits.applies_to(received.sender) && received.message.is_written();
        inbound
            .iter()
            .filter(counts)
            .filter_map(|received| Some((received.sender, received.message.from.clone()?)))
            .collect()
    }

    /// Gives every part to the number that it is about.
    fn sort(&self, snapshot: &Snapshot, connection: &Connection, parsed: Parsed, links_erased: i64) -> Sorted {
        let Parsed { statuses, inbound, preferences, links, notices, templates_changed, skipped, ignored } = parsed;
        metrics::counter!(telemetry::IGNORED).increment(ignored);
        let owner = |provider_number_id: &str| snapshot.sender_by_provider_id(connection.key, provider_number_id);
        let mut ingest = Ingest::of(connection.key);
        for update in statuses {
            match owner(&update.provider_number_id) {
                Some(sender) => ingest.statuses.push((sender.key, update)),
                None => ingest.skipped.push(unread("status", NOT_OURS, update.entry)),
            }
        }
        for received in inbound {
            match owner(&received.provider_number_id) {
                // Some providers send the business's own words back.
                Some(sender) if received.message.from.as_ref() == Some(&sender.number) => {
                    metrics::counter!(telemetry::IGNORED).increment(1);
                }
                Some(sender) => {
                    self.activity.received(sender.key);
                    ingest.inbound.push(ReceivedMessage {
                        account: sender.account,
                        sender: sender.key,
                        message: received.message,
                        entry: received.entry,
                    });
                }
                None => ingest.skipped.push(unread("message", NOT_OURS, received.entry)),
            }
        }
        for preference in preferences {
            match owner(&preference.provider_number_id) {
                Some(sender) => ingest.preferences.push(ReceivedPreference {
                    account: sender.account,
                    sender: sender.key,
                    preference,
                }),
                None => ingest.skipped.push(unread("preference", NOT_OURS, preference.entry)),
            }
        }
        let links = links.into_iter().filter_map(|link| Some((owner(&link.provider_number_id)?.account, link)));
        ingest.links = self.links.only_new(links, links_erased, clock::now());
        let mut told = Vec::new();
        for notice in notices {
            let senders = concerned(snapshot, connection, &notice);
            if senders.is_empty() {
                ingest.skipped.push(unread("notice", NO_SUCH_ACCOUNT, notice.entry));
                continue;
            }
            let notice = Arc::new(notice);
            ingest.notices.extend(for_each_account(&notice, &senders));
            told.push((notice, senders));
        }
        warn_of(connection, &skipped);
        let aside = skipped.into_iter().map(|part| unread(&part.pointer, &part.reason, part.entry));
        ingest.skipped.extend(aside);
        Sorted { ingest, templates_changed, notices: told }
    }

    /// What a notice changes, once it is stored.
    async fn act_on(&self, connection: &Connection, notice: &Notice, senders: &[Arc<Sender>]) {
        metrics::counter!(telemetry::NOTICES, "severity" => notice.severity.as_str()).increment(1);
        // What a provider relays of its own may be many a second, and concerns nobody here.
        if notice.kind == NoticeKind::ProviderEvent {
            return;
        }
        tracing::info!(
            connection.id = connection.id,
            kind = notice.kind.as_str(),
            severity = notice.severity.as_str(),
            "{}: {}",
            notice.severity.as_str(),
            notice.text
        );
        if let (
            NoticeAbout::Template { name, language },
            Some(status @ (TemplateStatus::Paused | TemplateStatus::Disabled)),
        ) = (&notice.about, &notice.template_status)
        {
            let owner =
                TemplateOwner { connection: connection.key, provider_account_id: notice.provider_account_id.clone() };
            self.lookup.stop_template(&owner, name, language, status).await;
        }
        if notice.kind.concerns_numbers() {
            senders.iter().for_each(|sender| self.channels.note_changed(sender.key));
        }
    }
}

/// A webhook's parts, each with those whom it concerns.
struct Sorted {
    ingest: Ingest,
    templates_changed: Vec<String>,
    notices: Vec<(Arc<Notice>, Vec<Arc<Sender>>)>,
}

/// The numbers that a notice is about: the one that it names, else all of the business account.
fn concerned(snapshot: &Snapshot, connection: &Connection, notice: &Notice) -> Vec<Arc<Sender>> {
    if let Some(id) = notice.about.provider_number_id()
        && let Some(sender) = snapshot.sender_by_provider_id(connection.key, id)
    {
        return vec![sender.clone()];
    }
    // Some providers say neither of which number they speak, nor of which business account.
    let names_nobody =
        notice.provider_account_id.is_empty() && notice.about.provider_number_id().is_some_and(str::is_empty);
    let of_account = |sender: &&Arc<Sender>| {
        let owner = owner_of(sender);
        owner.connection == connection.key && (names_nobody || owner.provider_account_id == notice.provider_account_id)
    };
    let mut senders: Vec<_> = snapshot.senders().filter(of_account).cloned().collect();
    if let NoticeAbout::Number { digits: Some(digits), .. } = &notice.about
        && let Some(named) = senders.iter().find(|sender| sender.number.digits() == digits)
    {
        return vec![named.clone()];
    }
    senders.sort_unstable_by_key(|sender| sender.key);
    senders
}

/// Each account hears of it once, by the first of its numbers that it concerns.
fn for_each_account(notice: &Arc<Notice>, senders: &[Arc<Sender>]) -> Vec<ReceivedNotice> {
    let mut first: BTreeMap<AccountKey, &Arc<Sender>> = BTreeMap::new();
    for sender in senders {
        first.entry(sender.account).or_insert(sender);
    }
    let received = |(account, sender): (AccountKey, &Arc<Sender>)| ReceivedNotice {
        account,
        sender: sender.key,
        notice: notice.clone(),
    };
    first.into_iter().map(received).collect()
}

/// One line for each reason: a webhook may bring a thousand parts of one kind.
fn warn_of(connection: &Connection, skipped: &[Skipped]) {
    let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for part in skipped {
        reasons.entry(&part.reason).or_insert((0, &part.pointer)).0 += 1;
    }
    for (reason, (parts, pointer)) in reasons {
        tracing::warn!(
            connection.id = connection.id,
            parts,
            pointer,
            "put aside {parts} parts of a webhook of {}: {reason}; `wabridge unrecognized` lists them",
            connection.id
        );
    }
}

fn unread(pointer: &str, reason: &str, entry: String) -> UnreadPart {
    UnreadPart { pointer: pointer.to_owned(), reason: reason.to_owned(), entry }
}

/// Links that are in the database, so that the many webhooks about one person cost one row.
#[derive(Default)]
struct KnownLinks(Mutex<Links>);

#[derive(Default)]
struct Links {
    /// Account and id to the number, and when it was written.
    known: HashMap<(AccountKey, String), (PhoneNumber, UnixMillis)>,
    /// What [`Directory::links_erased`] said when the first of them was noted.
    erased: i64,
}

/// Beyond so many everything is forgotten and learned anew.
const LINKS_KNOWN_MAX: usize = 100_000;

impl KnownLinks {
    /// Leaves out what was written lately. When links were erased since, nobody knows which are still there.
    fn only_new(
        &self,
        links: impl Iterator<Item = (AccountKey, PersonLink)>,
        erased: i64,
        now: UnixMillis,
    ) -> Vec<ReceivedLink> {
        let mut links = links.peekable();
        if links.peek().is_none() {
            return vec![];
        }
        let mut held = self.0.lock().expect("no holder can panic");
        if held.erased < erased {
            *held = Links { known: HashMap::new(), erased };
        }
        let is_known = |link: &ReceivedLink| {
            let known = held.known.get(&(link.account, link.user_id.clone()));
            known.is_some_and(|(phone, at)| *phone == link.phone && now.0 - at.0 < SEEN_AGAIN_AFTER_MS)
        };
        let received = links.map(|(account, link)| ReceivedLink { account, user_id: link.user_id, phone: link.phone });
        let mut new: Vec<ReceivedLink> = received.filter(|link| !is_known(link)).collect();
        // A webhook names a person in its contacts and again in each status.
        new.dedup();
        new
    }

    /// Remembers what was written, unless links were erased since it was looked at: it may have been among them.
    fn note(&self, written: &[ReceivedLink], erased: i64, now: UnixMillis) {
        if written.is_empty() {
            return;
        }
        let mut held = self.0.lock().expect("no holder can panic");
        if held.erased != erased {
            return;
        }
        if held.known.len() + written.len() > LINKS_KNOWN_MAX {
            held.known.clear();
        }
        held.known.extend(written.iter().map(|link| ((link.account, link.user_id.clone()), (link.phone.clone(), now))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_written_once_a_week_and_again_after_links_were_erased() {
        let phone = PhoneNumber::from_international("+919876500001").expect("a number");
        let link = || {
            let link =
                PersonLink { provider_number_id: "1".to_owned(), user_id: "IN.1349".to_owned(), phone: phone.clone() };
            std::iter::once((AccountKey(1), link))
        };
        let (known, now) = (KnownLinks::default(), UnixMillis::from_seconds(1_790_000_000));
        let new = |erased, now| known.only_new(link(), erased, now);

        let first = new(0, now);
        assert_eq!(first.len(), 1);
        known.note(&first, 0, now);
        assert!(new(0, now).is_empty(), "it is known");
        assert_eq!(new(0, UnixMillis(now.0 + SEEN_AGAIN_AFTER_MS)).len(), 1, "it must not be forgotten by its age");

        assert_eq!(new(1, now).len(), 1, "somebody was forgotten");
        known.note(&first, 0, now);
        assert_eq!(new(1, now).len(), 1, "it was written before that");
        known.note(&first, 1, now);
        assert!(new(1, now).is_empty());
    }
}
