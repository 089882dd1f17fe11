//! Templates as their providers list them, and how fresh the list is.

use std::collections::BTreeMap;

use sea_orm::{DbErr, Value};

use super::{Doing, Store, StoreError, execute, execute_rows, query};
use crate::domain::{ids::ConnectionKey, template::Template, time::UnixMillis};

/// A provider's business account, which owns a list of templates.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateOwner {
    pub connection: ConnectionKey,
    pub provider_account_id: String,
}

/// How the last sync went.
#[derive(Clone, Debug, Default)]
pub struct TemplateSync {
    pub synced_at: Option<UnixMillis>,
    pub failure: Option<(UnixMillis, String)>,
}

impl Store {
    /// Replaces an owner's whole list, or all translations of one name. `true` when that changed anything.
    pub async fn replace_templates(
        &self,
        owner: &TemplateOwner,
        named: Option<&str>,
        templates: &[Template],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        // While a platform waits for a look-up: when there is no news, do not queue behind the writer.
        if named.is_some() && !differ(self.reader(), owner, named, templates).await.doing("compare templates")? {
            return Ok(false);
        }
        let transaction = self.begin().await.doing("begin")?;
        let changed = replace(&transaction, owner, named, templates, now).await.doing("store templates")?;
        transaction.commit().await.doing("store templates")?;
        Ok(changed)
    }

    pub async fn note_template_failure(
        &self,
        owner: &TemplateOwner,
        failure: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO template_syncs (connection, provider_account_id, failed_at, failure) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (connection, provider_account_id) \
                   DO UPDATE SET failed_at = excluded.failed_at, failure = excluded.failure";
        let values =
            vec![owner.connection.0.into(), owner.provider_account_id.clone().into(), now.0.into(), failure.into()];
        let transaction = self.begin().await.doing("begin")?;
        execute(&transaction, sql, values).await.doing("note a failed sync")?;
        transaction.commit().await.doing("note a failed sync")
    }

    /// Everything, by owner.
    pub async fn load_templates(&self) -> Result<BTreeMap<TemplateOwner, Vec<Template>>, StoreError> {
        let sql = "SELECT connection, provider_account_id, template FROM templates ORDER BY name, language";
        let rows = query(self.reader(), sql, vec![]).await.doing("read templates")?;
        let mut lists: BTreeMap<TemplateOwner, Vec<Template>> = BTreeMap::new();
        for row in &rows {
            let owner = owner(row).doing("read templates")?;
            let template: String = row.try_get("", "template").doing("read templates")?;
            // A row of a newer version: it will be written again by the next sync.
            if let Ok(template) = serde_json::from_str(&template) {
                lists.entry(owner).or_default().push(template);
            }
        }
        Ok(lists)
    }

    pub async fn template_syncs(&self) -> Result<BTreeMap<TemplateOwner, TemplateSync>, StoreError> {
        let sql = "SELECT connection, provider_account_id, synced_at, failed_at, failure FROM template_syncs";
        let rows = query(self.reader(), sql, vec![]).await.doing("read template syncs")?;
        let read = |row: &sea_orm::QueryResult| -> Result<_, DbErr> {
            let synced_at: Option<i64> = row.try_get("", "synced_at")?;
            let failed_at: Option<i64> = row.try_get("", "failed_at")?;
            let failure: Option<String> = row.try_get("", "failure")?;
            let sync =
                TemplateSync { synced_at: synced_at.map(UnixMillis), failure: failed_at.map(UnixMillis).zip(failure) };
            Ok((owner(row)?, sync))
        };
        rows.iter().map(read).collect::<Result<_, _>>().doing("read template syncs")
    }
}

fn owner(row: &sea_orm::QueryResult) -> Result<TemplateOwner, DbErr> {
    Ok(TemplateOwner {
        connection: ConnectionKey(row.try_get("", "connection")?),
        provider_account_id: row.try_get("", "provider_account_id")?,
    })
}

/// Whose list, and of which name: the end of a statement, and its values.
fn list_of(owner: &TemplateOwner, named: Option<&str>) -> (&'static str, Vec<Value>) {
    let mut values: Vec<Value> = vec![owner.connection.0.into(), owner.provider_account_id.clone().into()];
    values.extend(named.map(Value::from));
    let which = match named {
        Some(_) => "WHERE connection = $1 AND provider_account_id = $2 AND name = $3",
        None => "WHERE connection = $1 AND provider_account_id = $2",
    };
    (which, values)
}

fn as_json(template: &Template) -> String {
    serde_json::to_string(template).expect("a template can be written as JSON")
}

async fn differ(
    connection: &impl sea_orm::ConnectionTrait,
    owner: &TemplateOwner,
    named: Option<&str>,
    templates: &[Template],
) -> Result<bool, DbErr> {
    let (which, values) = list_of(owner, named);
    let before = query(connection, format!("SELECT template FROM templates {which}"), values).await?;
    let mut before: Vec<String> = before.iter().map(|row| row.try_get("", "template")).collect::<Result<_, _>>()?;
    let mut after: Vec<String> = templates.iter().map(as_json).collect();
    before.sort_unstable();
    after.sort_unstable();
    Ok(before != after)
}

async fn replace(
    transaction: &sea_orm::DatabaseTransaction,
    owner: &TemplateOwner,
    named: Option<&str>,
    templates: &[Template],
    now: UnixMillis,
) -> Result<bool, DbErr> {
    let changed = differ(transaction, owner, named, templates).await?;
    if changed {
        let (which, values) = list_of(owner, named);
        execute(transaction, format!("DELETE FROM templates {which}"), values).await?;
        let rows = templates
            .iter()
            .map(|template| {
                [
                    owner.connection.0.into(),
                    owner.provider_account_id.clone().into(),
                    template.name.clone().into(),
                    template.language.clone().into(),
                    as_json(template).into(),
                ]
            })
            .collect::<Vec<[Value; 5]>>();
        let head = "INSERT INTO templates (connection, provider_account_id, name, language, template)";
        let tail = " ON CONFLICT (connection, provider_account_id, name, language) \
                    DO UPDATE SET template = excluded.template";
        execute_rows(transaction, head, rows, tail).await?;
        super::holds::bump(transaction, "templates").await?;
    }
    if named.is_none() {
        let sql = "INSERT INTO template_syncs (connection, provider_account_id, synced_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (connection, provider_account_id) \
                   DO UPDATE SET synced_at = excluded.synced_at, failed_at = NULL, failure = NULL";
        let (_, mut values) = list_of(owner, None);
        values.push(now.0.into());
        execute(transaction, sql, values).await?;
    }
    Ok(changed)
}
