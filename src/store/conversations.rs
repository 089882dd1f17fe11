//! Conversations: moved by what people write, by answers that go out, by time, and by whoever works with them.
//!
//! What is only sent to people touches nothing here: an answer counts where it is freeform, and the person is known to have written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    contacts::{self, SLICE_ROWS, locked},
    events,
    events::NewEvent,
    exchanges::containing,
    execute, execute_rows,
    outbound::{NewMessage, odd_value},
    people_news::{self, News},
    query, query_rows,
};
use crate::domain::{
    contact::{Contact, ContactId, Tags},
    conversation::{Answer, Conversation, ConversationId, ConversationState, Happened, Wish},
    event_name::EventName,
    ids::{AccountKey, SenderKey},
    outbound::Category,
    suppression::PersonHasher,
    time::UnixMillis,
};

/// A conversation with whom it is.
#[derive(Clone, Debug)]
pub struct Talk {
    pub conversation: Conversation,
    pub contact: Contact,
}

/// Which conversations; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct ConversationFilter {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    pub state: Option<ConversationState>,
    /// Only those that nobody attends to, who waits longest first.
    pub unattended: bool,
    pub tag: Option<String>,
    /// Only those behind this one: the next page.
    pub before: Option<(UnixMillis, ConversationId)>,
}

/// What somebody changes of a conversation.
#[derive(Clone, Debug)]
pub enum ConversationChange {
    Wish(Wish),
    Tags(Tags),
}

const COLUMNS: &str = "k.id AS conversation, k.account, k.contact, k.sender, k.state, k.tags AS conversation_tags, k.opened_at, \
     k.last_inbound_at, k.window_ends_at, k.waiting_since, k.unattended_since, k.answered_at";

/// Conversations by contact and number, locked where rows can be.
pub(super) async fn of(
    transaction: &DatabaseTransaction,
    keys: BTreeSet<(ContactId, SenderKey)>,
) -> Result<BTreeMap<(ContactId, SenderKey), Conversation>, DbErr> {
    let rows: Vec<[Value; 2]> = keys.into_iter().map(|(contact, sender)| [contact.0.into(), sender.0.into()]).collect();
    let tail = format!(
        ") AS v CROSS JOIN conversations AS k WHERE k.contact = v.column1 AND k.sender = v.column2{}",
        locked(transaction, "k.contact, k.sender", "k")
    );
    let rows = query_rows(transaction, &format!("SELECT {COLUMNS} FROM ("), rows, &tail).await?;
    rows.iter().map(conversation).map(|found| found.map(|one| ((one.contact, one.sender), one))).collect()
}

/// One that another instance began meanwhile goes on as it is.
pub(super) async fn insert(transaction: &DatabaseTransaction, begun: &[Conversation]) -> Result<(), DbErr> {
    let row = |one: &Conversation| -> [Value; 12] {
        [
            one.id.0.into(),
            one.account.0.into(),
            one.contact.0.into(),
            one.sender.0.into(),
            one.state.code().into(),
            one.tags.to_json().into(),
            one.opened_at.0.into(),
            one.last_inbound_at.0.into(),
            one.window_ends_at.0.into(),
            one.waiting_since.map(|at| at.0).into(),
            one.unattended_since.map(|at| at.0).into(),
            one.answered_at.map(|at| at.0).into(),
        ]
    };
    execute_rows(
        transaction,
        "INSERT INTO conversations (id, account, contact, sender, state, tags, opened_at, last_inbound_at, window_ends_at, \
         waiting_since, unattended_since, answered_at)",
        begun.iter().map(row).collect(),
        " ON CONFLICT (contact, sender) DO UPDATE SET last_inbound_at = excluded.last_inbound_at, \
         window_ends_at = excluded.window_ends_at",
    )
    .await
    .map(drop)
}

pub(super) async fn write(transaction: &DatabaseTransaction, moved: &[Conversation]) -> Result<(), DbErr> {
    let row = |one: &Conversation| -> [Value; 9] {
        [
            one.id.0.into(),
            one.state.code().into(),
            one.tags.to_json().into(),
            one.opened_at.0.into(),
            one.last_inbound_at.0.into(),
            one.window_ends_at.0.into(),
            one.waiting_since.map(|at| at.0).into(),
            one.unattended_since.map(|at| at.0).into(),
            one.answered_at.map(|at| at.0).into(),
        ]
    };
    execute_rows(
        transaction,
        "UPDATE conversations SET state = v.column2, tags = v.column3, opened_at = v.column4, last_inbound_at = v.column5, \
         window_ends_at = v.column6, waiting_since = v.column7, unattended_since = v.column8, answered_at = v.column9 FROM (",
        moved.iter().map(row).collect(),
        ") AS v WHERE conversations.id = v.column1",
    )
    .await
    .map(drop)
}

/// What one contact said is another's. Where both said something to a number, the conversation in which more was heard lately stays.
pub(super) async fn hand_over(transaction: &DatabaseTransaction, from: ContactId, to: ContactId) -> Result<(), DbErr> {
    let both = || vec![from.0.into(), to.0.into()];
    let sql = "DELETE FROM conversations WHERE contact IN ($1, $2) AND EXISTS (SELECT 1 FROM conversations AS other \
               WHERE other.contact IN ($1, $2) AND other.contact <> conversations.contact \
               AND other.sender = conversations.sender AND (other.last_inbound_at > conversations.last_inbound_at \
               OR (other.last_inbound_at = conversations.last_inbound_at AND other.contact = $2)))";
    execute(transaction, sql, both()).await?;
    execute(transaction, "UPDATE conversations SET contact = $2 WHERE contact = $1", both()).await.map(drop)
}

/// Answers that were accepted, to people who wrote; templates and strangers cost nothing. Gives back what webhooks are told.
pub(super) async fn answered(
    transaction: &DatabaseTransaction,
    accepted: &[&NewMessage],
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
    now: UnixMillis,
) -> Result<Vec<NewEvent>, DbErr> {
    let mut answers: BTreeMap<(String, AccountKey, SenderKey), BTreeSet<bool>> = BTreeMap::new();
    for message in accepted.iter().filter(|message| message.category == Category::Freeform) {
        let who = (message.recipient.as_e164().to_owned(), message.account, message.sender);
        answers.entry(who).or_default().insert(message.campaign.is_some());
    }
    if answers.is_empty() {
        return Ok(vec![]);
    }
    let rows: Vec<[Value; 3]> =
        answers.keys().map(|(who, account, sender)| [who.as_str().into(), account.0.into(), sender.0.into()]).collect();
    let talks = talks(
        transaction,
        rows,
        "c.who = v.column1 AND c.account = v.column2 AND k.contact = c.id AND k.sender = v.column3",
    )
    .await?;
    let step = |talk: &mut Talk| {
        let key = (talk.contact.who(), talk.conversation.account, talk.conversation.sender);
        let by = |automatic: &bool| if *automatic { Answer::Automatic } else { Answer::Agent };
        // Somebody of the account has the last word.
        let all = answers.get(&key).into_iter().flatten().rev();
        all.flat_map(|automatic| talk.conversation.answered(by(automatic), now)).collect()
    };
    apply(transaction, talks, step, hasher, now).await
}

/// The provider's block list has these people from now on.
pub(super) async fn block(
    transaction: &DatabaseTransaction,
    people: BTreeSet<(String, AccountKey)>,
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
    now: UnixMillis,
) -> Result<Vec<NewEvent>, DbErr> {
    let rows: Vec<[Value; 2]> = people.into_iter().map(|(who, account)| [who.into(), account.0.into()]).collect();
    let talks = talks(transaction, rows, "c.who = v.column1 AND c.account = v.column2 AND k.contact = c.id").await?;
    let step = |talk: &mut Talk| talk.conversation.decide(Wish::Block, now);
    apply(transaction, talks, step, hasher, now).await
}

/// Lets each take its step, writes down those that moved, and makes the lines that are told.
async fn apply(
    transaction: &DatabaseTransaction,
    mut talks: Vec<Talk>,
    mut step: impl FnMut(&mut Talk) -> Happened,
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
    now: UnixMillis,
) -> Result<Vec<NewEvent>, DbErr> {
    let (mut moved, mut news) = (Vec::new(), Vec::new());
    for talk in &mut talks {
        let before = talk.conversation.clone();
        let happened = step(talk);
        if talk.conversation != before {
            moved.push(talk.conversation.clone());
        }
        news.extend(News::of_conversation(&happened, &talk.contact, (Some(&before), &talk.conversation), now));
    }
    write(transaction, &moved).await?;
    people_news::lines(transaction, news, hasher).await
}

/// Conversations `k` with their contacts `c`, for rows of values `v`; locked where rows can be.
async fn talks<const COLUMN_COUNT: usize>(
    transaction: &DatabaseTransaction,
    rows: Vec<[Value; COLUMN_COUNT]>,
    condition: &str,
) -> Result<Vec<Talk>, DbErr> {
    let tail = format!(
        ") AS v CROSS JOIN contacts AS c CROSS JOIN conversations AS k WHERE {condition}{}",
        locked(transaction, "k.contact, k.sender", "k")
    );
    let head = format!("SELECT {COLUMNS}, {} FROM (", contacts::COLUMNS);
    query_rows(transaction, &head, rows, &tail).await?.iter().map(talk).collect()
}

impl Store {
    /// Conversations, those of who wrote last first, or of who waits longest; and where the next page begins. No more than
    /// [`SLICE_ROWS`] are looked at.
    pub async fn conversations(
        &self,
        filter: &ConversationFilter,
        limit: usize,
    ) -> Result<(Vec<Talk>, Option<(UnixMillis, ConversationId)>), StoreError> {
        let doing = "list conversations";
        // The order of one is the other's backwards, so that both begin at the end of an index.
        let slice = if filter.unattended {
            "conversations WHERE unattended_since IS NOT NULL AND unattended_since >= $1 \
             AND (unattended_since, id) > ($1, $2) ORDER BY unattended_since, id"
        } else {
            "conversations WHERE last_inbound_at <= $1 AND (last_inbound_at, id) < ($1, $2) \
             ORDER BY last_inbound_at DESC, id DESC"
        };
        let start = if filter.unattended {
            (UnixMillis(0), ConversationId(-1))
        } else {
            (UnixMillis(i64::MAX), ConversationId(i64::MAX))
        };
        let (moment, id) = filter.before.unwrap_or(start);
        let mut values: Vec<Value> = vec![moment.0.into(), id.0.into()];
        let only = conditions(filter, &mut values);
        let order = if filter.unattended { "k.unattended_since, k.id" } else { "k.last_inbound_at DESC, k.id DESC" };
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM (SELECT * FROM {slice} LIMIT {SLICE_ROWS}) AS k \
             CROSS JOIN contacts AS c WHERE c.id = k.contact{only} ORDER BY {order} LIMIT {}",
            contacts::COLUMNS,
            limit + 1
        );
        let rows = query(self.reader(), sql, values).await;
        let mut found: Vec<Talk> = rows.and_then(|rows| rows.iter().map(talk).collect()).doing(doing)?;
        let place = |one: &Conversation| {
            let at = if filter.unattended { one.unattended_since.unwrap_or(moment) } else { one.last_inbound_at };
            (at, one.id)
        };
        if found.len() > limit {
            found.truncate(limit);
            let next = found.last().map(|last| place(&last.conversation));
            return Ok((found, next));
        }
        let at = if filter.unattended { "unattended_since" } else { "last_inbound_at" };
        let sql = format!("SELECT {at} AS at, id FROM {slice} LIMIT 1 OFFSET {}", SLICE_ROWS - 1);
        let rows = query(self.reader(), sql, vec![moment.0.into(), id.0.into()]).await.doing(doing)?;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            Ok((UnixMillis(row.try_get("", "at")?), ConversationId(row.try_get("", "id")?)))
        };
        Ok((found, rows.first().map(read).transpose().doing(doing)?))
    }

    pub async fn conversation(&self, id: ConversationId) -> Result<Option<Talk>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM conversations AS k CROSS JOIN contacts AS c WHERE k.id = $1 AND c.id = k.contact",
            contacts::COLUMNS
        );
        let rows = query(self.reader(), sql, vec![id.0.into()]).await;
        rows.and_then(|rows| rows.first().map(talk).transpose()).doing("look up a conversation")
    }

    /// All conversations of these contacts.
    pub async fn conversations_of(&self, contacts: &[ContactId]) -> Result<Vec<Conversation>, StoreError> {
        let ids = contacts.iter().map(|id| id.0.to_string());
        let list = std::iter::once("-1".to_owned()).chain(ids).collect::<Vec<_>>().join(",");
        let sql = format!("SELECT {COLUMNS} FROM conversations AS k WHERE k.contact IN ({list}) ORDER BY k.id");
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(conversation).collect()).doing("look up conversations")
    }

    /// How many nobody attends to, up to `most`, by account.
    pub async fn count_unattended(&self, most: usize) -> Result<HashMap<AccountKey, i64>, StoreError> {
        let sql = format!(
            "SELECT account, COUNT(*) AS waiting FROM (SELECT account FROM conversations WHERE unattended_since IS NOT NULL \
             LIMIT {most}) AS k GROUP BY account"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| Ok((AccountKey(row.try_get("", "account")?), row.try_get("", "waiting")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count conversations that wait")
    }

    /// Changes a conversation: `None` when there is none.
    pub async fn change_conversation(
        &self,
        id: ConversationId,
        change: ConversationChange,
        entry: &AuditEntry,
    ) -> Result<Option<Talk>, StoreError> {
        let doing = "change a conversation";
        let hasher = self.person_hasher().await?.clone();
        let now = self.now();
        let transaction = self.begin().await.doing(doing)?;
        let found = talks(&transaction, vec![[id.0.into()]], "k.id = v.column1 AND c.id = k.contact").await;
        let Some(mut talk) = found.doing(doing)?.into_iter().next() else { return Ok(None) };
        let before = talk.conversation.clone();
        let news = match change {
            ConversationChange::Wish(wish) => {
                let happened = talk.conversation.decide(wish, now);
                News::of_conversation(&happened, &talk.contact, (Some(&before), &talk.conversation), now)
            }
            ConversationChange::Tags(tags) => {
                talk.conversation.tags = tags;
                tagged(&before, &talk, now)
            }
        };
        if talk.conversation != before {
            write(&transaction, std::slice::from_ref(&talk.conversation)).await.doing(doing)?;
            audit::append(&transaction, entry, now).await.doing(doing)?;
            let lines = people_news::lines(&transaction, news, || Ok(hasher)).await.doing(doing)?;
            events::append(&transaction, lines, now).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(Some(talk))
    }

    /// Ends those that cannot be answered freely any more, at most `limit`; says how many.
    pub async fn expire_conversations(&self, now: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "SELECT id FROM conversations WHERE state IN (1, 3) AND window_ends_at <= $1 ORDER BY window_ends_at LIMIT {limit}"
        );
        self.sweep(&sql, vec![now.0.into()], |talk| talk.conversation.expire(now)).await
    }

    /// Notes those of an account where something waits since `before` or longer, at most `limit`; says how many.
    pub async fn leave_conversations(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let sql = format!(
            "SELECT id FROM conversations WHERE account = $1 AND waiting_since <= $2 AND waiting_since IS NOT NULL \
             AND unattended_since IS NULL ORDER BY waiting_since LIMIT {limit}"
        );
        let now = self.now();
        self.sweep(&sql, vec![account.0.into(), before.0.into()], |talk| talk.conversation.leave(now)).await
    }

    async fn sweep(
        &self,
        sql: &str,
        values: Vec<Value>,
        step: impl FnMut(&mut Talk) -> Happened,
    ) -> Result<usize, StoreError> {
        let doing = "look for conversations whose time is over";
        let rows = query(self.reader(), sql, values).await.doing(doing)?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids = rows.iter().map(|row| row.try_get::<i64>("", "id").map(|id| [id.into()])).collect::<Result<_, _>>();
        let ids: Vec<[Value; 1]> = ids.doing(doing)?;
        let count = ids.len();
        let hasher = self.person_hasher().await?.clone();
        let transaction = self.begin().await.doing(doing)?;
        let talks = talks(&transaction, ids, "k.id = v.column1 AND c.id = k.contact").await.doing(doing)?;
        let lines = apply(&transaction, talks, step, || Ok(hasher), self.now()).await.doing(doing)?;
        events::append(&transaction, lines, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(count)
    }
}

fn conditions(filter: &ConversationFilter, values: &mut Vec<Value>) -> String {
    let mut only = String::new();
    let mut bind = |value: Value| {
        values.push(value);
        values.len()
    };
    if let Some(account) = filter.account {
        only.push_str(&format!(" AND k.account = ${}", bind(account.0.into())));
    }
    if let Some(sender) = filter.sender {
        only.push_str(&format!(" AND k.sender = ${}", bind(sender.0.into())));
    }
    if let Some(state) = filter.state {
        only.push_str(&format!(" AND k.state = ${}", bind(state.code().into())));
    }
    if let Some(tag) = &filter.tag {
        let quoted = serde_json::to_string(tag).expect("a text is JSON");
        only.push_str(&format!(" AND LOWER(k.tags) LIKE ${} ESCAPE '\\'", bind(containing(&quoted).into())));
    }
    only
}

fn tagged(before: &Conversation, talk: &Talk, now: UnixMillis) -> Vec<News> {
    let after = &talk.conversation;
    let of = |name: EventName, tags: Vec<String>| {
        let news = News::of_conversation(&[name].into(), &talk.contact, (Some(before), after), now);
        news.into_iter().flat_map(move |one| one.with_tags(tags.clone())).collect::<Vec<_>>()
    };
    let mut news = of(EventName::ConversationTagMapped, after.tags.without(&before.tags));
    news.extend(of(EventName::ConversationTagUnmapped, before.tags.without(&after.tags)));
    news
}

fn talk(row: &QueryResult) -> Result<Talk, DbErr> {
    Ok(Talk { conversation: conversation(row)?, contact: contacts::contact(row)? })
}

fn conversation(row: &QueryResult) -> Result<Conversation, DbErr> {
    let moment = |column| row.try_get("", column).map(UnixMillis);
    let maybe = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    let tags: String = row.try_get("", "conversation_tags")?;
    Ok(Conversation {
        id: ConversationId(row.try_get("", "conversation")?),
        account: AccountKey(row.try_get("", "account")?),
        contact: ContactId(row.try_get("", "contact")?),
        sender: SenderKey(row.try_get("", "sender")?),
        state: ConversationState::from_code(row.try_get("", "state")?).ok_or_else(|| odd_value("state"))?,
        tags: Tags::from_json(&tags),
        opened_at: moment("opened_at")?,
        last_inbound_at: moment("last_inbound_at")?,
        window_ends_at: moment("window_ends_at")?,
        waiting_since: maybe("waiting_since")?,
        unattended_since: maybe("unattended_since")?,
        answered_at: maybe("answered_at")?,
    })
}
