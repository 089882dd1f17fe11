//! By which telephone number and which id of the provider's a person is known.
//!
//! Both are seen together in most webhooks, so a link is remembered when it is new; who later writes under the id alone is
//! known by it. When no link is known and the person answers a message of ours, it is the person that the message
//! went to. The links of a batch of webhooks are written in its commit, before anything in it is looked up.
//!
//! A wish that came under an id alone waits under that id, and moves to the number in the commit that brings the link.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows,
    holds::bump,
    ingest::{Ingest, ReceivedMessage},
    outbound::provider_id_hash,
    query, query_rows,
};
use crate::domain::{
    ids::{AccountKey, MessageId},
    phone::PhoneNumber,
    time::UnixMillis,
};

/// A person's two names, as an account's webhooks showed them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedLink {
    pub account: AccountKey,
    pub user_id: String,
    pub phone: PhoneNumber,
}

/// An id by which an account knows a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonLinkRow {
    pub account: AccountKey,
    pub user_id: String,
    /// To within some days.
    pub seen_at: UnixMillis,
}

/// A link that is seen again is written again only after so long: it is what keeps it from being forgotten.
pub const SEEN_AGAIN_AFTER_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The name of the version that moves when links are erased.
pub(crate) const PERSON_LINKS: &str = "person_links";

/// Whom a batch of webhooks is about.
#[derive(Default)]
pub(super) struct People {
    /// The numbers of those who came under their ids alone.
    phones: HashMap<(AccountKey, String), PhoneNumber>,
    /// Links that the batch brought: nobody knew them, or not for long, or not that number.
    pub(super) new_links: Vec<ReceivedLink>,
}

impl People {
    /// The number behind an id, when it is known.
    pub(super) fn phone(&self, account: AccountKey, user_id: Option<&str>) -> Option<&PhoneNumber> {
        // A batch without such people, which is nearly every one, pays nothing for this.
        if self.phones.is_empty() {
            return None;
        }
        self.phones.get(&(account, user_id?.to_owned()))
    }

    /// Writes down the links of a batch, and looks up whom it names by id alone.
    pub(super) async fn meet(
        transaction: &DatabaseTransaction,
        ingests: &[&Ingest],
        by_provider_id: &HashMap<Vec<u8>, MessageId>,
        now: UnixMillis,
    ) -> Result<Self, DbErr> {
        let new_links = remember(transaction, ingests.iter().flat_map(|ingest| &ingest.links), now).await?;
        let unnamed = || ingests.iter().flat_map(|ingest| &ingest.inbound).filter(|it| it.message.from.is_none());
        let mut wanted: BTreeSet<(AccountKey, String)> =
            unnamed().filter_map(|it| Some((it.account, it.message.from_user_id.clone()?))).collect();
        let preferences = ingests.iter().flat_map(|ingest| &ingest.preferences);
        let preferences = preferences.filter(|received| received.preference.phone.is_none());
        wanted.extend(preferences.filter_map(|it| Some((it.account, it.preference.user_id.clone()?))));
        if wanted.is_empty() {
            return Ok(Self { new_links, ..Self::default() });
        }
        let mut people = Self { phones: linked(transaction, &wanted).await?, new_links };
        let strangers: Vec<_> =
            unnamed().filter(|it| people.phone(it.account, it.message.from_user_id.as_deref()).is_none()).collect();
        let learned = recipients_quoted(transaction, &strangers, by_provider_id).await?;
        people.new_links.extend(remember(transaction, &learned, now).await?);
        people.phones.extend(learned.into_iter().map(|link| ((link.account, link.user_id), link.phone)));
        Ok(people)
    }
}

/// Writes links down; gives back those that were written.
async fn remember(
    transaction: &DatabaseTransaction,
    links: impl IntoIterator<Item = &ReceivedLink>,
    now: UnixMillis,
) -> Result<Vec<ReceivedLink>, DbErr> {
    // Each once, and everybody's in the same order, so that two instances cannot wait for each other.
    let links: BTreeMap<(AccountKey, &str), &PhoneNumber> =
        links.into_iter().map(|link| ((link.account, link.user_id.as_str()), &link.phone)).collect();
    let rows: Vec<[Value; 4]> = links
        .into_iter()
        .map(|((account, user_id), phone)| [account.0.into(), user_id.into(), phone.as_e164().into(), now.0.into()])
        .collect();
    let tail = format!(
        " ON CONFLICT (account, user_id) DO UPDATE SET phone = excluded.phone, seen_at = excluded.seen_at \
         WHERE person_links.phone <> excluded.phone OR person_links.seen_at < excluded.seen_at - {SEEN_AGAIN_AFTER_MS} \
         RETURNING account, user_id, phone"
    );
    let written =
        query_rows(transaction, "INSERT INTO person_links (account, user_id, phone, seen_at)", rows, &tail).await?;
    written.iter().filter_map(|row| link(row).transpose()).collect()
}

/// `None` when the number is none.
fn link(row: &QueryResult) -> Result<Option<ReceivedLink>, DbErr> {
    let phone: String = row.try_get("", "phone")?;
    let (account, user_id) = (AccountKey(row.try_get("", "account")?), row.try_get("", "user_id")?);
    Ok(PhoneNumber::from_international(&phone).map(|phone| ReceivedLink { account, user_id, phone }))
}

async fn linked(
    transaction: &DatabaseTransaction,
    wanted: &BTreeSet<(AccountKey, String)>,
) -> Result<HashMap<(AccountKey, String), PhoneNumber>, DbErr> {
    let rows: Vec<[Value; 2]> =
        wanted.iter().map(|(account, user_id)| [account.0.into(), user_id.clone().into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT l.account, l.user_id, l.phone FROM (",
        rows,
        ") AS v CROSS JOIN person_links AS l WHERE l.account = v.column1 AND l.user_id = v.column2",
    )
    .await?;
    let links = found.iter().filter_map(|row| link(row).transpose());
    links.map(|link| link.map(|link| ((link.account, link.user_id), link.phone))).collect()
}

/// Who answers a message of ours is the person that it went to.
async fn recipients_quoted(
    transaction: &DatabaseTransaction,
    strangers: &[&ReceivedMessage],
    by_provider_id: &HashMap<Vec<u8>, MessageId>,
) -> Result<Vec<ReceivedLink>, DbErr> {
    let quoted = |received: &ReceivedMessage| {
        by_provider_id.get(&provider_id_hash(received.sender, received.message.replies_to.as_deref()?)).copied()
    };
    let ids: BTreeSet<MessageId> = strangers.iter().filter_map(|received| quoted(received)).collect();
    let rows: Vec<[Value; 1]> = ids.into_iter().map(|id| [id.0.into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT m.id, m.recipient FROM (",
        rows,
        ") AS v CROSS JOIN outbound_messages AS m WHERE m.id = v.column1",
    )
    .await?;
    let mut recipients = HashMap::with_capacity(found.len());
    for row in &found {
        let recipient: String = row.try_get("", "recipient")?;
        recipients.insert(MessageId(row.try_get("", "id")?), recipient);
    }
    let link = |received: &&ReceivedMessage| {
        Some(ReceivedLink {
            account: received.account,
            user_id: received.message.from_user_id.clone()?,
            phone: PhoneNumber::from_international(recipients.get(&quoted(received)?)?)?,
        })
    };
    Ok(strangers.iter().filter_map(link).collect())
}

impl Store {
    /// By which ids accounts know the person of this number. Goes through all links: none of them is found by its number.
    pub async fn links_of(&self, phone: &PhoneNumber) -> Result<Vec<PersonLinkRow>, StoreError> {
        let sql = "SELECT account, user_id, seen_at FROM person_links WHERE phone = $1 ORDER BY account, user_id";
        let rows = query(self.reader(), sql, vec![phone.as_e164().into()]).await;
        let read = |row: &QueryResult| -> Result<PersonLinkRow, DbErr> {
            Ok(PersonLinkRow {
                account: AccountKey(row.try_get("", "account")?),
                user_id: row.try_get("", "user_id")?,
                seen_at: UnixMillis(row.try_get("", "seen_at")?),
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("look up a person's ids")
    }

    /// Erases links. Instances that remember them hear of it.
    pub async fn erase_links(&self, links: &[PersonLinkRow]) -> Result<u64, StoreError> {
        let doing = "erase a person's ids";
        let rows: Vec<[Value; 2]> =
            links.iter().map(|link| [link.account.0.into(), link.user_id.clone().into()]).collect();
        let transaction = self.begin().await.doing(doing)?;
        let head = "DELETE FROM person_links WHERE (account, user_id) IN (";
        let gone = execute_rows(&transaction, head, rows, ")").await.doing(doing)?;
        bump(&transaction, PERSON_LINKS).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }

    /// Forgets links last seen before `before`, at most `limit`; says how many.
    pub async fn forget_person_links(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM person_links WHERE (account, user_id) IN \
             (SELECT account, user_id FROM person_links WHERE seen_at < $1 ORDER BY seen_at LIMIT {limit})"
        );
        let transaction = self.begin().await.doing("begin")?;
        let gone = execute(&transaction, sql, vec![before.0.into()]).await.doing("forget links of people")?;
        transaction.commit().await.doing("forget links of people")?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}
