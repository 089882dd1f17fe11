//! Figures by the hour: how much happened, not what. Messages and events are counted from the tables that hold them, each once: how
//! far the counting has come is written with the counts, so neither a crash nor a second instance counts anything twice.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::{DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows, outbound::odd_value, query};
use crate::domain::{
    callback::EventKind,
    ids::{AccountKey, MessageId},
    statistics::Figure,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// What is counted in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigureKey {
    /// Hours since the epoch.
    pub hour: i64,
    pub account: AccountKey,
    pub figure: Figure,
    /// See the figure; otherwise 0.
    pub detail: i16,
    /// Of a failure, the provider's.
    pub code: Option<i64>,
}

/// How much of it there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub amount: u64,
    /// Of failures: what was said of one of them.
    pub said: Option<String>,
}

/// Some figures.
pub type Figures = BTreeMap<FigureKey, Amount>;

/// Which figures are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FigureSpan {
    pub account: Option<AccountKey>,
    /// From this hour on …
    pub since: i64,
    /// … and before this one.
    pub until: i64,
    /// So many hours are added up.
    pub step: i64,
}

pub const HOUR_MS: i64 = 3_600_000;
const NO_CODE: i64 = -1;
/// Where counting the messages has come to: the first id that is not counted yet.
const MESSAGES_MARK: &str = "statistics";

/// The hour of a moment.
pub fn hour_of(moment: UnixMillis) -> i64 {
    moment.0.div_euclid(HOUR_MS)
}

/// Before the account's key: where counting its log has come to, the last place that is counted.
pub(super) const LOG_MARK: &str = "statistics of ";

fn log_mark(account: AccountKey) -> String {
    format!("{LOG_MARK}{}", account.0)
}

impl Store {
    /// Adds to what was counted.
    pub async fn add_figures(&self, figures: &Figures) -> Result<(), StoreError> {
        let doing = "write down figures";
        let transaction = self.begin().await.doing(doing)?;
        add(&transaction, figures).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Counts messages that were accepted before `before` and are not counted yet, at most `rows_max` and within one hour.
    /// `false` when there are none.
    pub async fn count_accepted(&self, before: UnixMillis, rows_max: usize) -> Result<bool, StoreError> {
        let doing = "count accepted messages";
        let from = self.mark(MESSAGES_MARK).await?;
        let end = MessageId::first_at(before).0;
        let oldest = "SELECT MIN(id) AS id FROM outbound_messages WHERE id >= $1 AND id < $2";
        let rows = query(self.reader(), oldest, vec![from.into(), end.into()]).await.doing(doing)?;
        let first: Option<i64> = rows.first().map_or(Ok(None), |row| row.try_get("", "id")).doing(doing)?;
        let Some(first) = first else { return Ok(false) };
        let hour = hour_of(MessageId(first).made_at());
        let end = end.min(MessageId::first_at(UnixMillis((hour + 1) * HOUR_MS)).0);
        let sql = format!(
            "SELECT account, COUNT(*) AS messages, MAX(id) AS last FROM (SELECT id, account FROM outbound_messages \
             WHERE id >= $1 AND id < $2 ORDER BY id LIMIT {rows_max}) AS page GROUP BY account"
        );
        let rows = query(self.reader(), sql, vec![first.into(), end.into()]).await.doing(doing)?;
        let (mut figures, mut last) = (Figures::new(), first);
        for row in &rows {
            let account = AccountKey(row.try_get("", "account").doing(doing)?);
            last = last.max(row.try_get("", "last").doing(doing)?);
            let key = FigureKey { hour, account, figure: Figure::Accepted, detail: 0, code: None };
            figures.insert(key, Amount { amount: count(row, "messages").doing(doing)?, said: None });
        }
        self.keep_count(MESSAGES_MARK, (from, last + 1), &figures).await.doing(doing)
    }

    /// Accounts whose logs hold what is not counted yet: one look at two short tables, however many accounts there are.
    pub async fn uncounted_logs(&self) -> Result<Vec<AccountKey>, StoreError> {
        let sql = format!(
            "SELECT l.account FROM logs AS l LEFT JOIN marks AS m ON m.name = '{LOG_MARK}' || CAST(l.account AS TEXT) \
             WHERE l.last_place > COALESCE(m.value, 0)"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| row.try_get("", "account").map(AccountKey);
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("look for what is not counted")
    }

    /// What an account's log holds that is not counted yet, up to the first event that was recorded at `before` or later, at most
    /// `events_max`; `None` when there is nothing.
    pub async fn uncounted_events(
        &self,
        account: AccountKey,
        before: UnixMillis,
        events_max: i64,
    ) -> Result<Option<UncountedEvents>, StoreError> {
        let doing = "count events";
        let from = self.mark(&log_mark(account)).await?;
        let ends = "SELECT last_place, (SELECT MIN(place) FROM events WHERE account = $1 AND place > $2) AS first \
                    FROM logs WHERE account = $1";
        let rows = query(self.reader(), ends, vec![account.0.into(), from.into()]).await.doing(doing)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let last: i64 = row.try_get("", "last_place").doing(doing)?;
        let Some(first): Option<i64> = row.try_get("", "first").doing(doing)? else { return Ok(None) };
        let upto = last.min(first - 1 + events_max);
        let young = "SELECT MIN(place) AS young FROM events WHERE account = $1 AND place > $2 AND place <= $3 AND recorded_at >= $4";
        let values = vec![account.0.into(), from.into(), upto.into(), before.0.into()];
        let rows = query(self.reader(), young, values).await.doing(doing)?;
        let young: Option<i64> = rows.first().map_or(Ok(None), |row| row.try_get("", "young")).doing(doing)?;
        let upto = young.map_or(upto, |young| young - 1);
        if upto < first {
            return Ok(None);
        }
        let sql = format!(
            "SELECT recorded_at / {HOUR_MS} AS hour, kind, status, CASE WHEN message IS NULL THEN 0 ELSE 1 END AS quotes, \
             COALESCE(failure_reason, CAST(0 AS SMALLINT)) AS reason, COALESCE(failure_code, {NO_CODE}) AS code, \
             COUNT(*) AS events, MIN(failure_text) AS said FROM events WHERE account = $1 AND place > $2 AND place <= $3 \
             GROUP BY 1, 2, 3, 4, 5, 6"
        );
        let rows = query(self.reader(), sql, vec![account.0.into(), from.into(), upto.into()]).await.doing(doing)?;
        let mut figures = Figures::new();
        for row in &rows {
            note_events(row, account, &mut figures).doing(doing)?;
        }
        Ok(Some(UncountedEvents { account, from, upto, figures }))
    }

    /// Writes down what was counted of some logs, in one commit; not of those that somebody else has counted meanwhile.
    pub async fn count_events(&self, counted: &[UncountedEvents]) -> Result<(), StoreError> {
        let doing = "count events";
        let transaction = self.begin().await.doing(doing)?;
        let mut figures = Figures::new();
        for log in counted {
            if move_mark(&transaction, &log_mark(log.account), (log.from, log.upto)).await.doing(doing)? {
                figures.extend(log.figures.clone());
            }
        }
        add(&transaction, &figures).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// The figures of some time, added up by steps: the hour of a key is that of its step's begin.
    pub async fn figures(&self, span: &FigureSpan) -> Result<Figures, StoreError> {
        let doing = "read figures";
        let FigureSpan { account, since, until, step } = *span;
        let mut values: Vec<Value> = vec![since.into(), until.into()];
        let only = account.map_or(String::new(), |account| {
            values.push(account.0.into());
            " AND account = $3".to_owned()
        });
        let sql = format!(
            "SELECT hour / {step} * {step} AS hour, account, figure, detail, code, CAST(SUM(amount) AS BIGINT) AS amount, \
             MIN(said) AS said FROM statistics WHERE hour >= $1 AND hour < $2{only} \
             GROUP BY hour / {step} * {step}, account, figure, detail, code"
        );
        let rows = query(self.reader(), sql, values).await.doing(doing)?;
        rows.iter().map(figure).collect::<Result<_, _>>().doing(doing)
    }

    /// Deletes figures of hours before this one, at most `limit` rows; says how many.
    pub async fn forget_figures(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let doing = "forget old figures";
        // An hour's rows are few: whole hours are deleted.
        let sql = format!(
            "DELETE FROM statistics WHERE hour < $1 AND hour <= (SELECT MAX(hour) FROM (SELECT hour FROM statistics \
             ORDER BY hour LIMIT {limit}) AS page)"
        );
        let transaction = self.begin().await.doing(doing)?;
        let gone = execute(&transaction, sql, vec![hour_of(before).into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// 0 when nothing was counted yet.
    async fn mark(&self, name: &str) -> Result<i64, StoreError> {
        let rows = query(self.reader(), "SELECT value FROM marks WHERE name = $1", vec![name.into()]).await;
        let value = rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "value")));
        value.doing("read how far was counted")
    }

    /// `false` when somebody else has moved the mark: then nothing is written.
    async fn keep_count(&self, mark: &str, (from, to): (i64, i64), figures: &Figures) -> Result<bool, DbErr> {
        let transaction = self.begin().await?;
        if !move_mark(&transaction, mark, (from, to)).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        add(&transaction, figures).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// `false` when somebody else has moved it.
async fn move_mark(transaction: &DatabaseTransaction, mark: &str, (from, to): (i64, i64)) -> Result<bool, DbErr> {
    let sql = "INSERT INTO marks (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE marks.value = $3";
    let moved = execute(transaction, sql, vec![mark.into(), to.into(), from.into()]).await?;
    Ok(moved > 0)
}

/// What was found in a log, and where.
#[derive(Clone, Debug)]
pub struct UncountedEvents {
    pub account: AccountKey,
    from: i64,
    upto: i64,
    pub figures: Figures,
}

pub(super) async fn add(transaction: &DatabaseTransaction, figures: &Figures) -> Result<(), DbErr> {
    let row = |(key, amount): (&FigureKey, &Amount)| -> [Value; 7] {
        [
            key.hour.into(),
            key.account.0.into(),
            key.figure.code().into(),
            key.detail.into(),
            key.code.unwrap_or(NO_CODE).into(),
            i64::try_from(amount.amount).unwrap_or(i64::MAX).into(),
            amount.said.clone().into(),
        ]
    };
    let head = "INSERT INTO statistics (hour, account, figure, detail, code, amount, said)";
    let tail = " ON CONFLICT (hour, account, figure, detail, code) DO UPDATE SET amount = statistics.amount + excluded.amount, \
                said = COALESCE(statistics.said, excluded.said)";
    execute_rows(transaction, head, figures.iter().map(row).collect(), tail).await.map(drop)
}

/// What rows of a log count as.
fn note_events(row: &QueryResult, account: AccountKey, figures: &mut Figures) -> Result<(), DbErr> {
    let kind = EventKind::from_code(row.try_get("", "kind")?);
    let status = row.try_get::<Option<i16>>("", "status")?.and_then(DeliveryStatus::from_code);
    let counted = match (kind, status) {
        (Some(EventKind::Status), Some(DeliveryStatus::Sent)) => vec![Figure::Sent],
        (Some(EventKind::Status), Some(DeliveryStatus::Failed)) => vec![Figure::Failed],
        (Some(EventKind::Status), Some(DeliveryStatus::Delivered)) => vec![Figure::Delivered],
        (Some(EventKind::Status), Some(DeliveryStatus::Read)) => vec![Figure::Read],
        (Some(EventKind::Inbound), _) if row.try_get::<i32>("", "quotes")? == 1 => {
            vec![Figure::Received, Figure::Replied]
        }
        (Some(EventKind::Inbound), _) => vec![Figure::Received],
        // What is no message, or not reported yet, and what another version has written.
        (Some(EventKind::Notice | EventKind::Status | EventKind::Outgoing | EventKind::Person) | None, _) => vec![],
    };
    for figure in counted {
        let fails = figure == Figure::Failed;
        let code: i64 = row.try_get("", "code")?;
        let key = FigureKey {
            hour: row.try_get("", "hour")?,
            account,
            figure,
            detail: if fails { row.try_get("", "reason")? } else { 0 },
            code: (fails && code != NO_CODE).then_some(code),
        };
        let found = figures.entry(key).or_default();
        found.amount += count(row, "events")?;
        if fails && found.said.is_none() {
            found.said = row.try_get("", "said")?;
        }
    }
    Ok(())
}

fn figure(row: &QueryResult) -> Result<(FigureKey, Amount), DbErr> {
    let code: i64 = row.try_get("", "code")?;
    let key = FigureKey {
        hour: row.try_get("", "hour")?,
        account: AccountKey(row.try_get("", "account")?),
        figure: Figure::from_code(row.try_get("", "figure")?).ok_or_else(|| odd_value("figure"))?,
        detail: row.try_get("", "detail")?,
        code: (code != NO_CODE).then_some(code),
    };
    Ok((key, Amount { amount: count(row, "amount")?, said: row.try_get("", "said")? }))
}

fn count(row: &QueryResult, column: &str) -> Result<u64, DbErr> {
    row.try_get::<i64>("", column).map(|count| u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    const BEGIN: UnixMillis = UnixMillis(1_790_000_000_000);

    async fn write(store: &Store, sql: String) {
        let transaction = store.begin().await.expect("it begins");
        execute(&transaction, sql, vec![]).await.expect("it is written");
        transaction.commit().await.expect("it commits");
    }

    /// Of account 1, a minute apart.
    async fn accept(store: &Store, messages: i64) {
        for number in 0..messages {
            let id = MessageId::first_at(UnixMillis(BEGIN.0 + number * 60_000)).0;
            let sql = format!(
                "INSERT INTO outbound_messages (id, account, sender, class, category, state, platform_message_id, recipient, \
                 request, expires_at) VALUES ({id},1,1,1,2,0,'m','+919876500001','{{}}',9)"
            );
            write(store, sql).await;
        }
    }

    async fn log(store: &Store, place: i64, columns: &str) {
        let sql = format!(
            "INSERT INTO events (account, place, sender, occurred_at, kind, message, status, failure_reason, failure_code, \
             failure_text, provider_message_id, recorded_at) VALUES (1,{place},1,0,{columns},{})",
            BEGIN.0
        );
        write(store, sql).await;
        let sql =
            "INSERT INTO logs (account, last_place) VALUES (1, 1) ON CONFLICT (account) DO UPDATE SET last_place = ";
        write(store, format!("{sql}{place}")).await;
    }

    async fn all(store: &Store) -> Vec<(i64, Figure, i16, Option<i64>, u64, Option<String>)> {
        let since = hour_of(BEGIN);
        let span = FigureSpan { account: Some(AccountKey(1)), since, until: since + 100, step: 1 };
        let figures = store.figures(&span).await.expect("they can be read");
        let told = |(key, found): (FigureKey, Amount)| {
            (key.hour - since, key.figure, key.detail, key.code, found.amount, found.said)
        };
        figures.into_iter().map(told).collect()
    }

    #[tokio::test]
    async fn each_message_is_counted_once_in_its_hour() {
        on_each_database(async |store| {
            accept(&store, 90).await;
            let until = UnixMillis(BEGIN.0 + 80 * 60_000);

            let mut steps = 0;
            while store.count_accepted(until, 25).await.expect("they are counted") {
                steps += 1;
            }
            assert!(!store.count_accepted(until, 25).await.expect("there is nothing more"));

            let counted = all(&store).await;
            assert_eq!(counted.iter().map(|counted| counted.4).sum::<u64>(), 80, "those of the last ten are too young");
            assert!(counted.len() == 2 && steps >= 4, "{counted:?} in {steps} steps");
        })
        .await;
    }

    #[tokio::test]
    async fn events_are_counted_once_by_what_they_tell() {
        on_each_database(async |store| {
            log(&store, 1, "1,7,1,NULL,NULL,NULL,NULL").await;
            log(&store, 2, "1,7,2,6,131026,'not reached',NULL").await;
            log(&store, 3, "1,8,2,6,131026,'not reached',NULL").await;
            log(&store, 4, "2,NULL,NULL,NULL,NULL,NULL,'wamid.1'").await;
            log(&store, 5, "2,7,NULL,NULL,NULL,NULL,'wamid.2'").await;
            log(&store, 6, "3,NULL,NULL,NULL,NULL,NULL,'notice'").await;

            let (account, settled) = (AccountKey(1), UnixMillis(BEGIN.0 + 1));
            let young = store.uncounted_events(account, BEGIN, 4).await.expect("it can be read");
            assert!(young.is_none(), "the message that it is about may not be counted yet: {young:?}");
            let first =
                store.uncounted_events(account, settled, 4).await.expect("it can be read").expect("there are some");
            let again =
                store.uncounted_events(account, settled, 4).await.expect("it can be read").expect("there are some");
            assert_eq!(store.uncounted_logs().await.expect("it can be read"), [account]);
            store.count_events(&[first]).await.expect("it is counted");
            // Somebody else has counted it.
            store.count_events(&[again]).await.expect("it is left out");
            let rest =
                store.uncounted_events(account, settled, 4).await.expect("it can be read").expect("there are some");
            store.count_events(&[rest]).await.expect("it is counted");
            assert!(store.uncounted_logs().await.expect("it can be read").is_empty());
            assert!(store.uncounted_events(account, settled, 4).await.expect("it can be read").is_none());

            let said = Some("not reached".to_owned());
            assert_eq!(
                all(&store).await,
                [
                    (0, Figure::Sent, 0, None, 1, None),
                    (0, Figure::Failed, 6, Some(131_026), 2, said),
                    (0, Figure::Received, 0, None, 2, None),
                    (0, Figure::Replied, 0, None, 1, None),
                ]
            );
            assert_eq!(store.forget_figures(UnixMillis(BEGIN.0 + HOUR_MS), 1_000).await.expect("it is forgotten"), 4);
            assert!(all(&store).await.is_empty());
        })
        .await;
    }
}
