//! What people wrote, and what came of it: who was told, and what the platform answered. The same for the console and the API.
//!
//! 1. The words that somebody looks for become what the database can sift out ([`Store::inbound`]); the provider's dialect reads
//!    what is left, and what was said is compared.
//! 2. For the messages of one page: the file, the exchanges with the callback URL that hears of them, and the person's own wish about
//!    marketing messages.

use std::{collections::HashMap, sync::Arc};

use super::{
    directory::Snapshot,
    media::links::MediaLinks,
    operators::{Refusal, require},
    relay::readable,
    search,
};
use crate::{
    domain::{
        attempt::AttemptOutcome,
        callback::{Event, EventDetail, EventKind, Subscription},
        ids::{AccountKey, Place, SenderKey},
        inbound::{InboundMediaKind, InboundMessage},
        operator::{Actor, Permission},
        phone::PhoneNumber,
        suppression::{PersonHash, Source, Suppression},
        time::UnixMillis,
    },
    store::{
        Store, StoreError,
        exchanges::StoredExchange,
        inbound::{FoundInbound, InboundFilter, InboundPlace, LoggedInbound},
        media::{MediaKey, MediaRow, MediaState},
        told::{Judged, Standing},
    },
};

/// Longer texts are looked for nowhere.
pub const TEXT_CHARS_MAX: usize = 200;
/// Larger pictures are a link: a page of them would load for long.
pub const SHOWN_BYTES_MAX: i64 = 5 * 1024 * 1024;

/// What somebody looks for; what is empty fits everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    /// Only what answers a message of ours.
    pub answers: bool,
    /// Only what answers a message of this campaign; empty for any.
    pub campaign: String,
    /// The person's number; with the permission to see numbers also the end of one.
    pub phone: String,
    /// One of [`KINDS`](crate::domain::inbound::KINDS).
    pub kind: Option<&'static str>,
    /// Stands in what was said, whatever the case.
    pub text: String,
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
    pub before: Option<InboundPlace>,
}

/// One message of a person.
#[derive(Debug)]
pub struct Inbound {
    pub at: InboundPlace,
    pub event: Event,
    /// The provider's own entry.
    pub entry: Option<String>,
    pub file: Option<File>,
    /// The callback URL that hears of it.
    pub telling: Option<Telling>,
    /// That the person stopped marketing messages, or resumed them.
    pub wish: Option<Wish>,
}

impl Inbound {
    /// What was said, when it can be read.
    pub fn message(&self) -> Option<&InboundMessage> {
        match &self.event.detail {
            EventDetail::Inbound(message) => Some(message),
            EventDetail::Status { .. }
            | EventDetail::Notice(_)
            | EventDetail::Outgoing(_)
            | EventDetail::Person(_)
            | EventDetail::Unreadable { .. } => None,
        }
    }
}

/// A file that came with it.
#[derive(Debug)]
pub struct File {
    pub row: MediaRow,
    /// Where it is to be had, without scheme and host.
    pub path: String,
}

impl File {
    /// Whether a page can show it as a picture.
    pub fn is_picture(&self) -> bool {
        let pictured = match self.row.kind {
            InboundMediaKind::Image | InboundMediaKind::Sticker => true,
            InboundMediaKind::Video
            | InboundMediaKind::Audio
            | InboundMediaKind::Voice
            | InboundMediaKind::Document => false,
        };
        let mime_type = self.row.mime_type.as_deref().unwrap_or_default().to_ascii_lowercase();
        pictured
            && self.row.state == MediaState::Stored
            && mime_type.starts_with("image/")
            && !mime_type.contains("svg")
            && self.row.size_bytes.is_some_and(|bytes| bytes <= SHOWN_BYTES_MAX)
    }
}

/// What the platform was told.
#[derive(Clone, Debug)]
pub struct Telling {
    pub subscription: Arc<Subscription>,
    pub standing: Standing,
    /// Why it was left behind.
    pub reason: Option<String>,
    /// The last exchange that may have carried it, one that was taken before all others.
    pub exchange: Option<StoredExchange>,
}

/// What a person wants of marketing messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub stopped: bool,
    pub since: UnixMillis,
}

/// The newest messages that fit, at most `limit`.
pub async fn list(
    store: &Store,
    snapshot: &Snapshot,
    links: &MediaLinks,
    actor: &Actor,
    (wanted, limit): (&Wanted, usize),
) -> Result<FoundInbound<Inbound>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let sought = Sought::of(snapshot, actor, wanted)?;
    let found = store
        .inbound(&sought.filter(wanted), limit, |logged| {
            let inbound = read(snapshot, links, logged);
            sought.fits(&inbound).then_some(inbound)
        })
        .await?;
    Ok(FoundInbound { found: complete(store, snapshot, links, found.found).await?, next: found.next })
}

/// One of them.
pub async fn one(
    store: &Store,
    snapshot: &Snapshot,
    links: &MediaLinks,
    actor: &Actor,
    (account, place): (AccountKey, Place),
) -> Result<Inbound, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let logged = store.one_inbound(account, place).await?;
    let read = logged.into_iter().map(|logged| read(snapshot, links, logged)).collect();
    let found = complete(store, snapshot, links, read).await?.pop();
    let missing = "there is no such message of a person: it never was, was erased, or is older than the retention";
    found.ok_or_else(|| Refusal::NotFound(missing.to_owned()))
}

/// What is compared with what was said.
struct Sought {
    /// A whole number, or the digits at the end of one.
    person: Option<String>,
    kind: Option<&'static str>,
    /// In small letters.
    text: String,
}

impl Sought {
    fn of(snapshot: &Snapshot, actor: &Actor, wanted: &Wanted) -> Result<Self, Refusal> {
        let phone = wanted.phone.trim();
        let person = match phone.is_empty() {
            true => None,
            false => Some(search::recipient(snapshot, actor, phone).map_err(|refusal| of_field(refusal, "phone"))?),
        };
        let text = wanted.text.trim();
        // By trying words out, what somebody wrote could be found.
        if !text.is_empty() {
            require(actor, Permission::ReadPersonal)?;
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            let text = format!("a text to look for has at most {TEXT_CHARS_MAX} characters");
            return Err(Refusal::Invalid { field: "text", text });
        }
        Ok(Self { person, kind: wanted.kind, text: text.to_lowercase() })
    }

    fn filter(&self, wanted: &Wanted) -> InboundFilter {
        let digits = self.person.as_ref().map(|person| person.trim_start_matches('+').to_owned());
        InboundFilter {
            account: wanted.account,
            sender: wanted.sender,
            answers: wanted.answers,
            campaign: Some(wanted.campaign.trim().to_owned()).filter(|campaign| !campaign.is_empty()),
            person: digits.into_iter().collect(),
            entry_contains: plain_part(&self.text),
            since: wanted.since,
            until: wanted.until,
            before: wanted.before,
        }
    }

    fn fits(&self, inbound: &Inbound) -> bool {
        let asks_nothing = self.person.is_none() && self.kind.is_none() && self.text.is_empty();
        let Some(message) = inbound.message() else { return asks_nothing };
        let is_from = |wanted: &String| {
            let number = message.from.as_ref().map(PhoneNumber::as_e164);
            number
                .is_some_and(|number| if wanted.starts_with('+') { number == wanted } else { number.ends_with(wanted) })
        };
        self.person.as_ref().is_none_or(is_from)
            && self.kind.is_none_or(|kind| message.content.kind() == kind)
            && (self.text.is_empty()
                || message.content.words().iter().any(|line| line.to_lowercase().contains(&self.text)))
    }
}

/// The longest part of a text that stands in JSON as it is.
fn plain_part(text: &str) -> Option<String> {
    let parts = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty()).map(str::to_owned)
}

fn of_field(refusal: Refusal, field: &'static str) -> Refusal {
    match refusal {
        Refusal::Invalid { text, .. } => Refusal::Invalid { field, text },
        other @ (Refusal::NotAllowed(_)
        | Refusal::NotFound(_)
        | Refusal::Problems(_)
        | Refusal::Conflict(_)
        | Refusal::Meanwhile(_)
        | Refusal::WrongPassword
        | Refusal::TooManyTries { .. }
        | Refusal::Busy
        | Refusal::Store(_)) => other,
    }
}

fn read(snapshot: &Snapshot, links: &MediaLinks, logged: LoggedInbound) -> Inbound {
    let (at, entry) = (logged.at(), logged.event.entry.clone());
    Inbound { at, event: readable(snapshot, links, logged.event), entry, file: None, telling: None, wish: None }
}

/// All that belongs to the messages of one page.
async fn complete(
    store: &Store,
    snapshot: &Snapshot,
    links: &MediaLinks,
    mut found: Vec<Inbound>,
) -> Result<Vec<Inbound>, StoreError> {
    add_files(store, links, &mut found).await?;
    add_tellings(store, snapshot, &mut found).await?;
    add_wishes(store, &mut found).await?;
    Ok(found)
}

async fn add_files(store: &Store, links: &MediaLinks, found: &mut [Inbound]) -> Result<(), StoreError> {
    let key = |inbound: &Inbound| Some(MediaKey::of(inbound.event.sender, inbound.event.detail.file_of()?));
    let keys: Vec<MediaKey> = found.iter().filter_map(key).collect();
    let mut rows: HashMap<MediaKey, MediaRow> =
        store.media_with(&keys).await?.into_iter().map(|row| (row.key, row)).collect();
    for inbound in found {
        let row = key(inbound).and_then(|key| rows.remove(&key));
        inbound.file = row
            .filter(|row| row.account == inbound.at.account)
            .map(|row| File { path: links.path(row.account, row.key, inbound.event.recorded_at), row });
    }
    Ok(())
}

/// The callback URL that hears of the inbound messages of a number: its own goes before its account's.
fn hearing(snapshot: &Snapshot, account: AccountKey, sender: SenderKey) -> Option<&Arc<Subscription>> {
    let of_account = || {
        let all = snapshot.subscriptions.iter();
        all.filter(move |one| one.account == account && one.kind == EventKind::Inbound && one.webhook.is_none())
    };
    let own = of_account().find(|one| one.sender == Some(sender));
    own.or_else(|| of_account().find(|one| one.sender.is_none()))
}

async fn add_tellings(store: &Store, snapshot: &Snapshot, found: &mut [Inbound]) -> Result<(), StoreError> {
    let states = if found.is_empty() { return Ok(()) } else { store.cursor_states().await? };
    let mut by_url: HashMap<i32, (Arc<Subscription>, Vec<usize>)> = HashMap::new();
    for (index, inbound) in found.iter().enumerate() {
        if let Some(subscription) = hearing(snapshot, inbound.at.account, inbound.event.sender) {
            let url = by_url.entry(subscription.key.0).or_insert_with(|| (subscription.clone(), vec![]));
            url.1.push(index);
        }
    }
    for (subscription, indexes) in by_url.into_values() {
        let Some(state) = states.get(&subscription.key) else { continue };
        let places: Vec<Place> = indexes.iter().map(|index| found[*index].event.place).collect();
        let (Some(oldest), Some(newest)) = (places.iter().min(), places.iter().max()) else { continue };
        let exchanges = store.exchanges_about(subscription.key, (*oldest, *newest)).await?;
        let judged = store.standings(&subscription, state.cursor, &places).await?;
        for ((index, place), judged) in indexes.into_iter().zip(places).zip(judged) {
            let Judged { standing, reason, .. } = judged;
            let exchange = about(&exchanges, place).cloned();
            found[index].telling = Some(Telling { subscription: subscription.clone(), standing, reason, exchange });
        }
    }
    Ok(())
}

/// The exchange that tells most of an event: the last that was taken, else the last.
fn about(exchanges: &[StoredExchange], place: Place) -> Option<&StoredExchange> {
    let covering = || exchanges.iter().filter(|one| one.carried(place));
    let taken = covering().rfind(|one| one.outcome == AttemptOutcome::Succeeded);
    taken.or_else(|| covering().next_back())
}

async fn add_wishes(store: &Store, found: &mut [Inbound]) -> Result<(), StoreError> {
    let hasher = store.person_hasher().await?;
    let hash = |inbound: &Inbound| Some(hasher.of_phone(inbound.message()?.from.as_ref()?));
    let people: std::collections::BTreeSet<PersonHash> = found.iter().filter_map(hash).collect();
    if people.is_empty() {
        return Ok(());
    }
    let people: Vec<PersonHash> = people.into_iter().collect();
    let entries = store.suppressions_anywhere(&people).await?;
    let wishes = entries.into_iter().filter(|entry| entry.source == Source::Person);
    let wishes: HashMap<(AccountKey, PersonHash), Suppression> =
        wishes.map(|entry| ((entry.account, entry.person), entry)).collect();
    for inbound in found {
        let entry = hash(inbound).and_then(|person| wishes.get(&(inbound.at.account, person)));
        inbound.wish = entry.map(|entry| Wish { stopped: !entry.lifted, since: entry.occurred_at });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_writes_otherwise_is_left_to_whoever_reads_it() {
        assert_eq!(plain_part("thank you!").as_deref(), Some("thank"));
        assert_eq!(plain_part("grüße").as_deref(), Some("gr"));
        assert_eq!(plain_part("धन्यवाद"), None);
        assert_eq!(plain_part(""), None);
    }

    #[test]
    fn an_exchange_that_was_taken_tells_more_than_a_later_one_that_was_not() {
        let exchange = |id, first, last, outcome| StoredExchange {
            id,
            subscription: crate::domain::ids::SubscriptionKey(1),
            replay: None,
            first: Place(first),
            last: Place(last),
            events: 1,
            started_at: UnixMillis(id),
            took_ms: 1,
            outcome,
            http_status: Some(200),
            note: String::new(),
            excerpt: None,
            steps: None,
        };
        let exchanges = [
            exchange(1, 1, 5, AttemptOutcome::Refused),
            exchange(2, 1, 5, AttemptOutcome::Succeeded),
            exchange(3, 4, 9, AttemptOutcome::Refused),
        ];

        let found = |place| about(&exchanges, Place(place)).map(|one| one.id);
        assert_eq!([found(1), found(4), found(9), found(10)], [Some(2), Some(2), Some(3), None]);
    }
}
