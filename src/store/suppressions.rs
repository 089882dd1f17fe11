//! Who must not be sent what, and how far platforms have been told.
//!
//! Every transaction that changes rows takes a new version first and stamps them with it. The version's own row
//! stays locked until the commit, so versions appear in their order, and whoever has read up to one misses
//! nothing by reading on from there: that is how instances keep their copy in memory.
//!
//! **Later news wins**, by the time at which it happened. A repeat changes nothing; an operator's entry that
//! says the same again keeps its first date and reason.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    events,
    events::NewEvent,
    execute, execute_rows,
    outbound::odd_value,
    people::ReceivedLink,
    people_news::{self, Said},
    query, query_rows,
};
use crate::domain::{
    ids::AccountKey,
    phone::PhoneNumber,
    suppression::{PersonHash, PersonHasher, Scope, Source, Suppression, short},
    time::UnixMillis,
};

/// The name of the version that moves when a suppression changes.
const SUPPRESSIONS: &str = "suppressions";
/// The purpose of the key behind the hashes.
pub(super) const PEOPLE: &str = "people";
/// A platform's own words about a person that it did not take; longer ones are cut.
const NOTE_CHARS_MAX: usize = 300;

/// How far somebody has read the changes; the default is the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    version: i64,
    account: i32,
    person: Vec<u8>,
    source: i16,
}

impl Default for Seen {
    fn default() -> Self {
        Self { version: 0, account: i32::MIN, person: vec![], source: 0 }
    }
}

/// What must be known of a suppression to apply it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub account: AccountKey,
    pub person: PersonHash,
    pub source: Source,
    pub scope: Scope,
    pub lifted: bool,
}

/// What to do with all entries of some people.
#[derive(Clone, Debug)]
pub struct Lift<'a> {
    pub account: AccountKey,
    pub people: &'a [PersonHash],
    pub reason: &'a str,
    pub at: UnixMillis,
}

/// What an operator says that one person wants of marketing messages.
#[derive(Clone, Debug)]
pub struct OperatorWord {
    pub said: Suppression,
    /// Under all that the person is known by.
    pub people: Vec<PersonHash>,
}

pub(super) const COLUMNS: &str = "account, person, source, scope, lifted, phone, user_id, reason, occurred_at";

impl Store {
    /// Who turns telephone numbers into hashes. The key is read once.
    pub async fn person_hasher(&self) -> Result<&PersonHasher, StoreError> {
        self.hasher.get_or_try_init(|| async { Ok(PersonHasher::new(&self.derived_key(PEOPLE).await?)) }).await
    }

    /// The same, where it is certain that somebody has asked before.
    pub(super) fn person_hasher_read(&self) -> Result<&PersonHasher, DbErr> {
        self.hasher.get().ok_or_else(|| DbErr::Custom("the key for people's hashes could not be read".to_owned()))
    }

    /// Writes entries down; says how many are new or different. If any is, somebody's deed is in the audit log with it.
    pub async fn change_suppressions(
        &self,
        changes: Vec<Suppression>,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        let doing = "change the suppression list";
        let transaction = self.begin().await.doing(doing)?;
        let (changed, news) = change(&transaction, changes).await.doing(doing)?;
        if let Some(entry) = entry.filter(|_| changed > 0) {
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        }
        events::append(&transaction, news, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(changed)
    }

    /// Lifts every entry of these people at an account, whoever it came from; says for how many there was one. If there was,
    /// somebody's deed is in the audit log with it.
    pub async fn lift_suppressions(&self, lifted: Lift<'_>, entry: Option<&AuditEntry>) -> Result<usize, StoreError> {
        let doing = "lift entries of the suppression list";
        let transaction = self.begin().await.doing(doing)?;
        let (people, news) = lift(&transaction, &lifted).await.doing(doing)?;
        if let Some(entry) = entry.filter(|_| people > 0) {
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        }
        events::append(&transaction, news, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(people)
    }

    /// What holds for a person at an account, the widest first.
    pub async fn suppressions_of(
        &self,
        account: AccountKey,
        person: PersonHash,
    ) -> Result<Vec<Suppression>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM suppressions WHERE account = $1 AND person = $2 AND NOT lifted ORDER BY scope DESC, source"
        );
        let rows = query(self.reader(), sql, vec![account.0.into(), person.0.to_vec().into()]).await;
        rows.and_then(|rows| rows.iter().map(suppression).collect()).doing("read the suppression list")
    }

    /// Everything about a person at all accounts, also what was lifted.
    pub async fn suppressions_anywhere(&self, people: &[PersonHash]) -> Result<Vec<Suppression>, StoreError> {
        let places = (1..=people.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT {COLUMNS} FROM suppressions WHERE account IN (SELECT key FROM accounts) AND person IN ({places}) \
             ORDER BY account, source"
        );
        let values = people.iter().map(|person| person.0.to_vec().into()).collect();
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(suppression).collect()).doing("read the suppression list")
    }

    /// A page of an account's list, the newest first, after the one given.
    pub async fn suppressions_page(
        &self,
        account: AccountKey,
        after: Option<(UnixMillis, PersonHash, Source)>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StoreError> {
        let (occurred_at, person, source) = after.map_or((i64::MAX, vec![], 0), |(occurred_at, person, source)| {
            (occurred_at.0, person.0.to_vec(), source.code())
        });
        let sql = format!(
            "SELECT {COLUMNS} FROM suppressions WHERE account = $1 AND (occurred_at, person, source) < ($2, $3, $4) \
             AND NOT lifted ORDER BY occurred_at DESC, person DESC, source DESC LIMIT {limit}"
        );
        let values = vec![account.0.into(), occurred_at.into(), person.into(), source.into()];
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(suppression).collect()).doing("read the suppression list")
    }

    /// What changed after a point, in the order of commits, and the point that it reaches.
    pub async fn suppressions_after(&self, seen: &Seen, limit: usize) -> Result<(Vec<Entry>, Seen), StoreError> {
        let sql = format!(
            "SELECT account, person, source, scope, lifted, version FROM suppressions \
             WHERE (version, account, person, source) > ($1, $2, $3, $4) ORDER BY version, account, person, source LIMIT {limit}"
        );
        let values = vec![seen.version.into(), seen.account.into(), seen.person.clone().into(), seen.source.into()];
        let doing = "read changes of the suppression list";
        let rows = query(self.reader(), sql, values).await.doing(doing)?;
        let entries = rows.iter().map(entry).collect::<Result<_, _>>().doing(doing)?;
        let seen = rows.last().map_or(Ok(seen.clone()), seen_at).doing(doing)?;
        Ok((entries, seen))
    }

    /// Takes away who the person is, everywhere. What holds goes on to hold by its hash; what was lifted is deleted.
    pub async fn forget_suppressed(&self, accounts: &[AccountKey], people: &[PersonHash]) -> Result<u64, StoreError> {
        let doing = "forget a person in the suppression list";
        let of =
            |account: &AccountKey| people.iter().map(|person| [account.0.into(), person.0.to_vec().into()]).collect();
        let rows = || accounts.iter().flat_map(|account| -> Vec<[Value; 2]> { of(account) }).collect::<Vec<_>>();
        let transaction = self.begin().await.doing(doing)?;
        let gone =
            execute_rows(&transaction, "DELETE FROM suppressions WHERE lifted AND (account, person) IN (", rows(), ")")
                .await
                .doing(doing)?;
        let kept = execute_rows(
            &transaction,
            "UPDATE suppressions SET phone = NULL, user_id = NULL, reason = 'kept for a person who was forgotten', \
             told_note = NULL WHERE (phone IS NOT NULL OR user_id IS NOT NULL) AND (account, person) IN (",
            rows(),
            ")",
        )
        .await
        .doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone + kept)
    }

    /// Forgets entries that were lifted before `before`, at most `limit`; says how many. Those of which a platform among
    /// `telling` has yet to hear stay.
    pub async fn forget_lifted(
        &self,
        telling: &[AccountKey],
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let doing = "forget lifted entries of the suppression list";
        let telling = telling.iter().map(|account| account.0.to_string()).collect::<Vec<_>>().join(",");
        let untold = if telling.is_empty() { "FALSE".to_owned() } else { format!("account IN ({telling})") };
        let sql = format!(
            "DELETE FROM suppressions WHERE (account, person, source) IN (SELECT account, person, source FROM suppressions \
             WHERE lifted AND occurred_at < $1 AND NOT (told = 0 AND phone IS NOT NULL AND {untold}) LIMIT {limit})"
        );
        let transaction = self.begin().await.doing(doing)?;
        let gone = execute(&transaction, sql, vec![before.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// How many entries hold, by account.
    pub async fn count_suppressions(&self) -> Result<BTreeMap<AccountKey, i64>, StoreError> {
        let sql = "SELECT account, COUNT(*) AS entries FROM suppressions WHERE NOT lifted GROUP BY account";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| Ok((AccountKey(row.try_get("", "account")?), row.try_get("", "entries")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count the suppression list")
    }
}

/// What an operator says that a person wants; gives back the news of it. Who wants messages again has every entry lifted, whoever
/// it came from: the person said so elsewhere.
pub(super) async fn say(transaction: &DatabaseTransaction, word: &OperatorWord) -> Result<Vec<NewEvent>, DbErr> {
    let OperatorWord { said, people } = word;
    if said.lifted {
        let lifted = Lift { account: said.account, people, reason: &said.reason, at: said.occurred_at };
        let (people, news) = lift(transaction, &lifted).await?;
        if people > 0 {
            return Ok(news);
        }
    }
    change(transaction, vec![said.clone()]).await.map(|(_, news)| news)
}

/// Writes entries; gives back how many are new or different, and the news of them.
async fn change(transaction: &DatabaseTransaction, changes: Vec<Suppression>) -> Result<(u64, Vec<NewEvent>), DbErr> {
    let changes = of_no_number(changes);
    let news = people_news::opt_ins(transaction, &changes).await?;
    Ok((write(transaction, changes.into_iter().map(|(entry, _)| entry).collect()).await?, news))
}

/// Lifts entries; gives back for how many people there was one, and the news of them.
async fn lift(transaction: &DatabaseTransaction, lift: &Lift<'_>) -> Result<(usize, Vec<NewEvent>), DbErr> {
    let version = next_version(transaction).await?;
    let row = |person: &PersonHash| -> [Value; 5] {
        let (reason, at) = (short(lift.reason), lift.at.0);
        [lift.account.0.into(), person.0.to_vec().into(), reason.into(), at.into(), version.into()]
    };
    let lifted = query_rows(
        transaction,
        "UPDATE suppressions SET lifted = TRUE, reason = v.column3, occurred_at = v.column4, version = v.column5, \
         told = 0, told_note = NULL FROM (",
        lift.people.iter().map(row).collect(),
        ") AS v WHERE suppressions.account = v.column1 AND suppressions.person = v.column2 \
         AND NOT suppressions.lifted RETURNING suppressions.account AS account, suppressions.person AS person, \
         suppressions.source AS source, suppressions.scope AS scope, suppressions.lifted AS lifted, \
         suppressions.phone AS phone, suppressions.user_id AS user_id, suppressions.reason AS reason, \
         suppressions.occurred_at AS occurred_at",
    )
    .await?;
    let gone: Vec<Suppression> = lifted.iter().map(suppression).collect::<Result<_, _>>()?;
    let people: HashSet<PersonHash> = gone.iter().map(|entry| entry.person).collect();
    Ok((people.len(), people_news::lifted(transaction, &of_no_number(gone)).await?))
}

/// What an operator says, and what was said long ago, names none.
pub(super) fn of_no_number(entries: Vec<Suppression>) -> Vec<(Suppression, Said)> {
    entries.into_iter().map(|entry| (entry, Said::default())).collect()
}

/// Writes entries in the caller's transaction; says how many are new or different.
pub(super) async fn write(transaction: &DatabaseTransaction, changes: Vec<Suppression>) -> Result<u64, DbErr> {
    // In the order of their keys, so that two writers cannot wait for each other; of several about the same the latest.
    let mut latest: BTreeMap<(AccountKey, PersonHash, Source), Suppression> = BTreeMap::new();
    for change in changes {
        let key = (change.account, change.person, change.source);
        if latest.get(&key).is_none_or(|other| other.occurred_at <= change.occurred_at) {
            latest.insert(key, change);
        }
    }
    if latest.is_empty() {
        return Ok(0);
    }
    let version = next_version(transaction).await?;
    let rows = latest.into_values().map(|change| row_of(change, version)).collect();
    execute_rows(
        transaction,
        "INSERT INTO suppressions (account, person, source, scope, lifted, phone, user_id, reason, occurred_at, version, told)",
        rows,
        // An operator's entry is changed only by one that says more, or the opposite.
        " ON CONFLICT (account, person, source) DO UPDATE SET scope = excluded.scope, lifted = excluded.lifted, \
         phone = COALESCE(excluded.phone, suppressions.phone), user_id = COALESCE(excluded.user_id, suppressions.user_id), \
         reason = excluded.reason, occurred_at = excluded.occurred_at, version = excluded.version, \
         told = CASE WHEN suppressions.lifted = excluded.lifted THEN suppressions.told ELSE 0 END, \
         told_note = CASE WHEN suppressions.lifted = excluded.lifted THEN suppressions.told_note END \
         WHERE excluded.occurred_at >= suppressions.occurred_at AND (excluded.source <> 3 \
         OR suppressions.lifted <> excluded.lifted OR suppressions.scope < excluded.scope)",
    )
    .await
}

/// The platform is not told of these: what it keeps of the person may be newer.
pub(super) async fn keep_from_platform(
    transaction: &DatabaseTransaction,
    entries: &[Suppression],
) -> Result<(), DbErr> {
    let row = |entry: &Suppression| -> [Value; 3] {
        [entry.account.0.into(), entry.person.0.to_vec().into(), entry.source.code().into()]
    };
    execute_rows(
        transaction,
        "UPDATE suppressions SET told = 1 FROM (",
        entries.iter().map(row).collect(),
        ") AS v WHERE suppressions.account = v.column1 AND suppressions.person = v.column2 AND suppressions.source = v.column3",
    )
    .await
    .map(drop)
}

/// A page of entries that were last changed before a version.
pub(super) async fn before(
    transaction: &DatabaseTransaction,
    version: i64,
    most: usize,
) -> Result<Vec<Suppression>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM suppressions WHERE version < $1 ORDER BY version LIMIT {most}");
    query(transaction, sql, vec![version.into()]).await?.iter().map(suppression).collect()
}

/// Takes out the entries that stand under ids whose numbers have become known; gives them back as those of the numbers, to
/// be written. The number of a person who was forgotten is not among them: the hash goes on to suppress.
pub(super) async fn move_to_numbers(
    transaction: &DatabaseTransaction,
    links: &[ReceivedLink],
    hasher: &PersonHasher,
) -> Result<Vec<Suppression>, DbErr> {
    let by_id: BTreeMap<(AccountKey, PersonHash), &PhoneNumber> =
        links.iter().map(|link| ((link.account, hasher.of_user(&link.user_id)), &link.phone)).collect();
    let row = |(account, person): &(AccountKey, PersonHash)| [account.0.into(), person.0.to_vec().into()];
    let rows: Vec<[Value; 2]> = by_id.keys().map(row).collect();
    let found = query_rows(
        transaction,
        "SELECT s.account, s.person, s.source, s.scope, s.lifted, s.phone, s.user_id, s.reason, s.occurred_at FROM (",
        rows,
        ") AS v CROSS JOIN suppressions AS s WHERE s.account = v.column1 AND s.person = v.column2",
    )
    .await?;
    let found: Vec<Suppression> = found.iter().map(suppression).collect::<Result<_, _>>()?;
    let taken: Vec<[Value; 2]> = found.iter().map(|entry| row(&(entry.account, entry.person))).collect();
    execute_rows(transaction, "DELETE FROM suppressions WHERE (account, person) IN (", taken, ")").await?;
    let moved = |entry: Suppression| {
        let phone = by_id.get(&(entry.account, entry.person))?;
        let known = entry.user_id.is_some().then(|| (*phone).clone());
        Some(Suppression { person: hasher.of_phone(phone), phone: known, ..entry })
    };
    Ok(found.into_iter().filter_map(moved).collect())
}

/// Nobody else gets one before this transaction ends.
pub(super) async fn next_version(transaction: &DatabaseTransaction) -> Result<i64, DbErr> {
    let sql = "INSERT INTO versions (name, version) VALUES ($1, 1) \
               ON CONFLICT (name) DO UPDATE SET version = versions.version + 1 RETURNING version";
    let rows = query(transaction, sql, vec![SUPPRESSIONS.into()]).await?;
    rows.first().ok_or_else(|| odd_value("version"))?.try_get("", "version")
}

fn row_of(change: Suppression, version: i64) -> [Value; 11] {
    [
        change.account.0.into(),
        change.person.0.to_vec().into(),
        change.source.code().into(),
        change.scope.code().into(),
        change.lifted.into(),
        change.phone.map(|phone| phone.as_e164().to_owned()).into(),
        change.user_id.into(),
        short(&change.reason).into(),
        change.occurred_at.0.into(),
        version.into(),
        0_i16.into(),
    ]
}

pub(super) fn note(text: &str) -> String {
    text.chars().take(NOTE_CHARS_MAX).collect()
}

pub(super) fn person(row: &QueryResult) -> Result<PersonHash, DbErr> {
    let hash: Vec<u8> = row.try_get("", "person")?;
    hash.try_into().map(PersonHash).map_err(|_| odd_value("person"))
}

fn seen_at(row: &QueryResult) -> Result<Seen, DbErr> {
    Ok(Seen {
        version: row.try_get("", "version")?,
        account: row.try_get("", "account")?,
        person: row.try_get("", "person")?,
        source: row.try_get("", "source")?,
    })
}

fn entry(row: &QueryResult) -> Result<Entry, DbErr> {
    Ok(Entry {
        account: AccountKey(row.try_get("", "account")?),
        person: person(row)?,
        source: Source::from_code(row.try_get("", "source")?).ok_or_else(|| odd_value("source"))?,
        scope: Scope::from_code(row.try_get("", "scope")?).ok_or_else(|| odd_value("scope"))?,
        lifted: row.try_get("", "lifted")?,
    })
}

pub(super) fn suppression(row: &QueryResult) -> Result<Suppression, DbErr> {
    let Entry { account, person, source, scope, lifted } = entry(row)?;
    let phone: Option<String> = row.try_get("", "phone")?;
    Ok(Suppression {
        account,
        person,
        source,
        scope,
        lifted,
        phone: phone.as_deref().and_then(PhoneNumber::from_international),
        user_id: row.try_get("", "user_id")?,
        reason: row.try_get("", "reason")?,
        occurred_at: UnixMillis(row.try_get("", "occurred_at")?),
    })
}
