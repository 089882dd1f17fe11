//! Requests that we did not accept: the first thing operators ask about.

use std::sync::Arc;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute_rows, outbound::id_list, query, story::Refused, walk::Slices,
};
use crate::domain::{
    ids::{AccountKey, MessageId, MessageIds},
    time::UnixMillis,
};

/// A request and our answer to it.
#[derive(Debug)]
pub struct RefusedRequest {
    pub account: AccountKey,
    /// Why, as one word.
    pub kind: &'static str,
    pub platform_message_id: Option<String>,
    /// As it came.
    pub request: Vec<u8>,
    pub answer: String,
}

pub(super) async fn keep(
    transaction: &DatabaseTransaction,
    refused: &[&RefusedRequest],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let rows: Vec<[Value; 6]> = refused
        .iter()
        .map(|refused| {
            [
                ids.next(now).0.into(),
                refused.account.0.into(),
                refused.kind.into(),
                refused.platform_message_id.clone().into(),
                refused.request.clone().into(),
                refused.answer.clone().into(),
            ]
        })
        .collect();
    let head = "INSERT INTO refused_requests (id, account, kind, platform_message_id, request, answer)";
    execute_rows(transaction, head, rows, "").await.map(drop)
}

/// Which refused requests are wanted; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct RefusedFilter {
    pub account: Option<AccountKey>,
    /// Why, as one word.
    pub kind: Option<&'static str>,
    /// The platform's id, when it could be read.
    pub platform_message_id: Option<String>,
    /// What stands in the request as it came: digits of a number.
    pub within: Option<String>,
    /// Refused from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Only older ones than this: the next page.
    pub before: Option<MessageId>,
}

/// What is read of one to see whether it fits.
struct LookedAt {
    id: MessageId,
    kind: String,
    platform_message_id: Option<String>,
    /// Where what is looked for begins in the request; 0: nowhere.
    place: i64,
}

impl RefusedFilter {
    fn fits(&self, one: &LookedAt) -> bool {
        self.kind.is_none_or(|wanted| wanted == one.kind)
            && self.platform_message_id.as_ref().is_none_or(|wanted| one.platform_message_id.as_ref() == Some(wanted))
            && one.place > 0
    }
}

/// Some of them, and how to go on.
#[derive(Clone, Debug, Default)]
pub struct FoundRefused {
    /// The newest first.
    pub requests: Vec<Refused>,
    /// Older ones may be found by going on before this one; `None` after the oldest.
    pub next: Option<MessageId>,
}

/// A slice has at most so many requests.
const SLICE_REQUESTS_MAX: usize = 16_000;

/// The newest refusals of any kind that are gone through for those of a template.
const LOOKED_AT_MAX: usize = 2_000;
/// A longer request is no template that somebody wants to mend.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

impl Store {
    /// At most `limit` refused requests, looked for in as many slices as there is time for; one at least.
    pub async fn refused(&self, filter: &RefusedFilter, limit: usize) -> Result<FoundRefused, StoreError> {
        let doing = "look through refused requests";
        let first = filter.since.map_or(0, |since| MessageId::first_at(since).0);
        let until = filter.until.map_or(i64::MAX, |until| MessageId::first_at(until).0);
        let mut before = filter.before.map_or(until, |before| until.min(before.0));
        let (mut found, mut next) = (Vec::new(), None);
        let mut slices = Slices::up_to(SLICE_REQUESTS_MAX);
        while found.len() < limit {
            let slice = self.refused_slice(filter, (first, before), slices.rows()).await.doing(doing)?;
            let (looked_at, oldest) = (slice.len(), slice.last().map(|one| one.id));
            let mut fitting = slice.into_iter().filter(|one| filter.fits(one)).map(|one| one.id);
            found.extend(fitting.by_ref().take(limit - found.len()));
            next = match fitting.next() {
                Some(_) => found.last().copied(),
                None => oldest.filter(|_| looked_at == slices.rows()),
            };
            let Some(next) = next.filter(|_| !slices.time_is_up()) else { break };
            before = next.0;
            slices.next();
        }
        Ok(FoundRefused { requests: self.refused_by_id(&found).await.doing(doing)?, next })
    }

    /// The newest of a range: requests are long, so they are read of those alone that fit.
    async fn refused_slice(
        &self,
        filter: &RefusedFilter,
        (first, before): (i64, i64),
        looked_at_max: usize,
    ) -> Result<Vec<LookedAt>, DbErr> {
        let only = filter.account.map_or(String::new(), |account| format!(" AND account = {}", account.0));
        let mut values: Vec<Value> = vec![first.into(), before.into()];
        let within = match &filter.within {
            None => "1",
            Some(_) if self.is_sqlite() => "instr(request, $3)",
            Some(_) => "position($3::bytea IN request)",
        };
        values.extend(filter.within.as_ref().map(|text| Value::from(text.as_bytes().to_vec())));
        let sql = format!(
            "SELECT id, kind, platform_message_id, CAST({within} AS BIGINT) AS place FROM refused_requests WHERE id >= $1 AND id < $2{only} \
             ORDER BY id DESC LIMIT {looked_at_max}"
        );
        let rows = query(self.reader(), sql, values).await?;
        let read = |row: &QueryResult| {
            Ok(LookedAt {
                id: MessageId(row.try_get("", "id")?),
                kind: row.try_get("", "kind")?,
                platform_message_id: row.try_get("", "platform_message_id")?,
                place: row.try_get("", "place")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn refused_by_id(&self, ids: &[MessageId]) -> Result<Vec<Refused>, DbErr> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!(
            "SELECT id, account, kind, platform_message_id, answer, request FROM refused_requests WHERE id IN ({}) \
             ORDER BY id DESC",
            id_list(ids)
        );
        query(self.reader(), sql, vec![]).await?.iter().map(refused).collect()
    }

    /// Requests of these accounts that were refused for their template, the newest first: `limit` at most, among the newest of all.
    pub async fn refused_for_templates(
        &self,
        accounts: &[AccountKey],
        limit: usize,
    ) -> Result<Vec<Refused>, StoreError> {
        if accounts.is_empty() {
            return Ok(vec![]);
        }
        let accounts = accounts.iter().map(|account| account.0.to_string()).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT r.id, r.account, r.kind, r.platform_message_id, r.answer, r.request FROM (SELECT id FROM (SELECT id, account, kind \
             FROM refused_requests ORDER BY id DESC LIMIT {LOOKED_AT_MAX}) AS newest \
             WHERE kind = 'template' AND account IN ({accounts}) ORDER BY id DESC LIMIT {limit}) AS page \
             JOIN refused_requests AS r ON r.id = page.id WHERE length(r.request) <= {REQUEST_BYTES_MAX} ORDER BY r.id DESC"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(refused).collect()).doing("look through refused requests")
    }
}

/// Reads a row of `id, account, kind, platform_message_id, answer, request`.
pub(super) fn refused(row: &QueryResult) -> Result<Refused, DbErr> {
    let request: Vec<u8> = row.try_get("", "request")?;
    let id = MessageId(row.try_get("", "id")?);
    Ok(Refused {
        id,
        at: id.made_at(),
        account: AccountKey(row.try_get("", "account")?),
        kind: row.try_get("", "kind")?,
        platform_message_id: row.try_get("", "platform_message_id")?,
        answer: row.try_get("", "answer")?,
        request: String::from_utf8_lossy(&request).into_owned(),
    })
}
