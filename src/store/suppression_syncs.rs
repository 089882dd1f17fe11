//! What a platform has yet to be told about the suppression list, and how that goes.
//!
//! A change of an entry makes it untold in the same statement, so nothing is lost by a crash; at worst a platform
//! is told the same twice. People whose number is not known cannot be told of, and are left out.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError, execute, execute_rows, query, query_rows,
    suppressions::{note, person},
};
use crate::domain::{ids::AccountKey, phone::PhoneNumber, suppression::PersonHash, time::UnixMillis};

/// A person of whom the platform has not heard the latest.
#[derive(Clone, Debug, PartialEq)]
pub struct Untold {
    pub person: PersonHash,
    pub phone: PhoneNumber,
    /// Nothing holds for the person any more.
    pub welcome: bool,
    /// A later change is another matter.
    version: i64,
}

/// What came of telling a platform about one person.
#[derive(Clone, Debug)]
pub struct ToldOutcome<'a> {
    pub told: &'a Untold,
    /// Why the platform did not take it.
    pub refused: Option<&'a str>,
}

/// How an account's platform is kept informed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncOverview {
    pub pending: i64,
    pub refused: i64,
    pub synced_at: Option<UnixMillis>,
    pub failure: Option<(UnixMillis, String)>,
}

const TOLD: i16 = 1;
const REFUSED: i16 = 2;

impl Store {
    /// The people of an account whose change is the oldest that was not told, at most `limit`.
    pub async fn untold(&self, account: AccountKey, limit: usize) -> Result<Vec<Untold>, StoreError> {
        let doing = "read what a platform has not been told";
        let sql = format!(
            "SELECT person, phone, version FROM suppressions WHERE account = $1 AND told = 0 AND phone IS NOT NULL \
             ORDER BY version, person LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![account.0.into()]).await.doing(doing)?;
        let mut untold: BTreeMap<PersonHash, Untold> = BTreeMap::new();
        for row in &rows {
            let read = read_untold(row).doing(doing)?;
            untold.extend(read.map(|read| (read.person, read)));
        }
        let people = untold.keys().map(|person| [account.0.into(), person.0.to_vec().into()]).collect();
        let holding = query_rows::<2>(
            self.reader(),
            "SELECT s.person FROM (",
            people,
            ") AS v CROSS JOIN suppressions AS s WHERE s.account = v.column1 AND s.person = v.column2 AND NOT s.lifted",
        )
        .await
        .doing(doing)?;
        let holding: HashSet<PersonHash> = holding.iter().map(person).collect::<Result<_, _>>().doing(doing)?;
        let mut untold: Vec<Untold> = untold.into_values().collect();
        untold.iter_mut().for_each(|one| one.welcome = !holding.contains(&one.person));
        untold.sort_by_key(|one| one.version);
        Ok(untold)
    }

    /// Writes down what the platform took and what it refused, for all that did not change meanwhile.
    pub async fn note_told(
        &self,
        account: AccountKey,
        outcomes: &[ToldOutcome<'_>],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let doing = "write down what a platform was told";
        let rows: Vec<[Value; 5]> = outcomes
            .iter()
            .map(|ToldOutcome { told, refused }| {
                let state = if refused.is_some() { REFUSED } else { TOLD };
                let (person, version) = (told.person.0.to_vec(), told.version);
                [account.0.into(), person.into(), version.into(), state.into(), refused.map(note).into()]
            })
            .collect();
        let transaction = self.begin().await.doing(doing)?;
        execute_rows(
            &transaction,
            "UPDATE suppressions SET told = v.column4, told_note = v.column5 FROM (",
            rows,
            ") AS v WHERE suppressions.account = v.column1 AND suppressions.person = v.column2 \
             AND suppressions.version <= v.column3 AND suppressions.told = 0",
        )
        .await
        .doing(doing)?;
        let sql = "INSERT INTO suppression_syncs (account, synced_at) VALUES ($1, $2) ON CONFLICT (account) \
                   DO UPDATE SET synced_at = excluded.synced_at, failed_at = NULL, failure = NULL";
        execute(&transaction, sql, vec![account.0.into(), now.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Writes down that a platform could not be told.
    pub async fn note_untold(&self, account: AccountKey, failure: &str, now: UnixMillis) -> Result<(), StoreError> {
        let doing = "write down that a platform could not be told";
        let sql = "INSERT INTO suppression_syncs (account, failed_at, failure) VALUES ($1, $2, $3) ON CONFLICT (account) \
                   DO UPDATE SET failed_at = excluded.failed_at, failure = excluded.failure";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, vec![account.0.into(), now.0.into(), note(failure).into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// How an account's platform is kept informed.
    pub async fn sync_overview(&self, account: AccountKey) -> Result<SyncOverview, StoreError> {
        let doing = "count what a platform has been told";
        let sql = "SELECT told, COUNT(DISTINCT person) AS people FROM suppressions \
                   WHERE account = $1 AND told <> 1 AND phone IS NOT NULL GROUP BY told";
        let mut overview = SyncOverview::default();
        for row in query(self.reader(), sql, vec![account.0.into()]).await.doing(doing)? {
            let told: i16 = row.try_get("", "told").doing(doing)?;
            let people = row.try_get("", "people").doing(doing)?;
            if told == REFUSED { overview.refused = people } else { overview.pending = people }
        }
        let sql = "SELECT synced_at, failed_at, failure FROM suppression_syncs WHERE account = $1";
        for row in query(self.reader(), sql, vec![account.0.into()]).await.doing(doing)? {
            let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis)).doing(doing);
            overview.synced_at = millis("synced_at")?;
            overview.failure = millis("failed_at")?.zip(row.try_get("", "failure").doing(doing)?);
        }
        Ok(overview)
    }

    /// The people whom an account's platform refused to hear of, and its words; at most `limit`.
    pub async fn refused_by_platform(
        &self,
        account: AccountKey,
        limit: usize,
    ) -> Result<Vec<(PhoneNumber, String)>, StoreError> {
        let sql = format!(
            "SELECT phone, told_note FROM suppressions WHERE account = $1 AND told = {REFUSED} AND phone IS NOT NULL LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![account.0.into()]).await;
        let read = |row: &QueryResult| -> Result<Option<(PhoneNumber, String)>, DbErr> {
            let phone: String = row.try_get("", "phone")?;
            let why: Option<String> = row.try_get("", "told_note")?;
            Ok(PhoneNumber::from_international(&phone).map(|phone| (phone, why.unwrap_or_default())))
        };
        rows.and_then(|rows| rows.iter().filter_map(|row| read(row).transpose()).collect())
            .doing("read whom a platform refused")
    }
}

fn read_untold(row: &QueryResult) -> Result<Option<Untold>, DbErr> {
    let phone: String = row.try_get("", "phone")?;
    let Some(phone) = PhoneNumber::from_international(&phone) else { return Ok(None) };
    Ok(Some(Untold { person: person(row)?, phone, welcome: false, version: row.try_get("", "version")? }))
}
