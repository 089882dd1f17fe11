//! What the console and the API share about campaigns: the messages of one as a file, and what is around it.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    web::{Bytes, Data},
};
use futures_util::{Stream, stream};

use super::{
    Parts,
    csv_file::{attachment, broke_off, lines},
};
use crate::{
    domain::{
        account::Account,
        callback::{EventKind, Subscription},
        ids::MessageId,
        operator::{Actor, Permission},
        reconciliation::Surroundings,
        time::UnixMillis,
    },
    services::{
        export::{self, MESSAGE_COLUMNS, MessageRow, Wanted},
        masking,
        operators::Refusal,
    },
    store::{Store, StoreError, configuration::Configuration, export::MessageFilter},
};

/// Reports that are owed are counted up to here.
const OWED_COUNTED_MAX: u64 = 100_000;

/// The account and the campaign that an address names. Whether there is such a campaign, a count says.
pub(super) fn known(parts: &Parts, (account, campaign): &(String, String)) -> Result<(Arc<Account>, String), Refusal> {
    let known = parts.directory.snapshot().account(account).cloned();
    let known = known.ok_or_else(|| Refusal::NotFound(format!("there is no account {account}")))?;
    Ok((known, campaign.clone()))
}

/// What may explain that the platform shows something else.
pub(super) async fn surroundings(store: &Store, account: &Account, complete: bool) -> Result<Surroundings, StoreError> {
    let (configuration, states) = (store.load_configuration().await?, store.cursor_states().await?);
    let dead = store.count_callbacks().await?;
    let mut around = Surroundings { complete, ..Surroundings::default() };
    let of_platform = |one: &&Subscription| one.account == account.key && one.webhook.is_none();
    for subscription in configuration.subscriptions.iter().filter(of_platform) {
        let untold = match subscription.kind {
            EventKind::Status => &mut around.reports,
            EventKind::Inbound => &mut around.replies,
            EventKind::Notice | EventKind::Outgoing | EventKind::Person => continue,
        };
        let Some(state) = states.get(&subscription.key) else { continue };
        let owed = store.owed(subscription, state.cursor, OWED_COUNTED_MAX).await?;
        untold.owed += u64::try_from(owed).unwrap_or(0);
        untold.dead += dead.get(&subscription.key.0).map_or(0, |(dead, _)| u64::try_from(*dead).unwrap_or(0));
    }
    Ok(around)
}

/// The messages of a campaign as comma-separated values, read page by page as they are taken.
pub(super) async fn file(
    parts: &Data<Parts>,
    actor: &Actor,
    account: &Account,
    campaign: &str,
    (since, until): (UnixMillis, UnixMillis),
) -> Result<HttpResponse, StoreError> {
    let configuration = parts.store.load_configuration().await?;
    let filter = MessageFilter {
        account: Some(account.key),
        since: Some(since),
        until: Some(until),
        ..MessageFilter::default()
    };
    let wanted = Wanted { filter, campaign: Some(campaign.to_owned()), full: actor.may(Permission::ReadPersonal) };
    let plain: String = campaign.chars().filter(char::is_ascii_alphanumeric).collect();
    let rows = Rows { parts: parts.clone(), configuration, wanted, actor: actor.clone(), at: At::Head };
    Ok(attachment(format!("campaign-{plain}.csv"), rows.stream()))
}

struct Rows {
    parts: Data<Parts>,
    configuration: Configuration,
    wanted: Wanted,
    actor: Actor,
    at: At,
}

enum At {
    Head,
    Page(Option<MessageId>),
    End,
}

impl Rows {
    fn stream(self) -> impl Stream<Item = std::io::Result<Bytes>> {
        stream::try_unfold(self, async |mut rows| {
            let Some(bytes) = rows.next().await? else { return Ok(None) };
            Ok(Some((bytes, rows)))
        })
    }

    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let columns = MESSAGE_COLUMNS.map(|(name, _)| name);
        match self.at {
            At::Head => {
                self.at = At::Page(None);
                lines([columns.map(str::to_owned).to_vec()]).map(Some)
            }
            At::Page(after) => {
                let page = export::message_rows(&self.parts.store, &self.configuration, &self.wanted, after).await;
                let (rows, next) = page.map_err(|error| broke_off(&error, "messages"))?;
                self.at = next.map_or(At::End, |next| At::Page(Some(next)));
                let rows = rows.into_iter().map(|row| export::cells(&masked(&self.actor, row), &columns));
                lines(rows.collect::<Result<Vec<_>, _>>()?).map(Some)
            }
            At::End => Ok(None),
        }
    }
}

/// Without what tells who somebody is, for those who may not see it.
fn masked(actor: &Actor, row: MessageRow) -> MessageRow {
    if actor.may(Permission::ReadPersonal) {
        return row;
    }
    MessageRow {
        provider_message_id: row.provider_message_id.map(|id| masking::provider_id(actor, &id)),
        failure_text: row.failure_text.map(|text| masking::text(actor, &text)),
        custom: serde_json::Map::new(),
        ..row
    }
}
