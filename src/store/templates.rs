//! Templates as their providers list them, and how fresh the list is.

use std::collections::BTreeMap;

use sea_orm::{DbErr, Value};

use super::{DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows, query};
use crate::domain::{
    ids::ConnectionKey,
    template::{ListedTemplate, Template, TemplateStatus},
    time::UnixMillis,
};

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
    /// Replaces an owner's whole list, or all translations of one name. `true` when that changed anything that
    /// sending needs. The listings change more often (they hold links that expire) and matter less, so that
    /// they are written with whole lists only.
    pub async fn replace_templates(
        &self,
        owner: &TemplateOwner,
        named: Option<&str>,
        templates: &[ListedTemplate],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let templates = &one_of_each(templates);
        // While a platform waits for a look-up: when there is no news, do not queue behind the writer.
        if named.is_some() {
            let news = difference(self.reader(), owner, named, templates).await.doing("compare templates")?;
            if news != Difference::Templates {
                return Ok(false);
            }
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

    /// Changes the status of one translation in the stored list. `true` when it was another one.
    pub async fn set_template_status(
        &self,
        owner: &TemplateOwner,
        name: &str,
        language: &str,
        status: &TemplateStatus,
    ) -> Result<bool, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let changed =
            set_status(&transaction, owner, name, language, status).await.doing("change a template's status")?;
        transaction.commit().await.doing("change a template's status")?;
        Ok(changed)
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

    /// The provider's own entries of an owner's templates, of those among `names` (with languages) that are there.
    pub async fn template_listings(
        &self,
        owner: &TemplateOwner,
        keys: &[(String, String)],
    ) -> Result<BTreeMap<(String, String), String>, StoreError> {
        let (which, mut values) = list_of(owner, None);
        let mut places = Vec::with_capacity(keys.len());
        for (name, language) in keys {
            places.push(format!("(${}, ${})", values.len() + 1, values.len() + 2));
            values.extend([Value::from(name.as_str()), Value::from(language.as_str())]);
        }
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let places = places.join(", ");
        let sql =
            format!("SELECT name, language, listing FROM templates {which} AND (name, language) IN (VALUES {places})");
        let rows = query(self.reader(), sql, values).await.doing("read the listings of templates")?;
        let read = |row: &sea_orm::QueryResult| -> Result<_, DbErr> {
            Ok(((row.try_get("", "name")?, row.try_get("", "language")?), row.try_get("", "listing")?))
        };
        rows.iter().map(read).collect::<Result<_, _>>().doing("read the listings of templates")
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

/// A translation that was deleted may be listed beside its successor.
fn one_of_each(templates: &[ListedTemplate]) -> Vec<&ListedTemplate> {
    let mut kept: BTreeMap<(&str, &str), &ListedTemplate> = BTreeMap::new();
    for listed in templates {
        let key = (listed.template.name.as_str(), listed.template.language.as_str());
        if listed.template.status == TemplateStatus::Approved || !kept.contains_key(&key) {
            kept.insert(key, listed);
        }
    }
    kept.into_values().collect()
}

/// What two lists differ in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    None,
    /// Nothing that sending needs.
    Listings,
    Templates,
}

async fn difference(
    connection: &impl sea_orm::ConnectionTrait,
    owner: &TemplateOwner,
    named: Option<&str>,
    templates: &[&ListedTemplate],
) -> Result<Difference, DbErr> {
    let (which, values) = list_of(owner, named);
    let before = query(connection, format!("SELECT template, listing FROM templates {which}"), values).await?;
    let read = |row: &sea_orm::QueryResult| -> Result<(String, String), DbErr> {
        Ok((row.try_get("", "template")?, row.try_get("", "listing")?))
    };
    let mut before: Vec<_> = before.iter().map(read).collect::<Result<_, _>>()?;
    let mut after: Vec<_> =
        templates.iter().map(|listed| (as_json(&listed.template), listed.listing.clone())).collect();
    before.sort_unstable();
    after.sort_unstable();
    let same_templates = before.iter().map(|(template, _)| template).eq(after.iter().map(|(template, _)| template));
    Ok(match same_templates {
        false => Difference::Templates,
        true if before == after => Difference::None,
        true => Difference::Listings,
    })
}

async fn set_status(
    transaction: &DatabaseTransaction,
    owner: &TemplateOwner,
    name: &str,
    language: &str,
    status: &TemplateStatus,
) -> Result<bool, DbErr> {
    let (which, mut values) = list_of(owner, Some(name));
    values.push(language.into());
    let which = format!("{which} AND language = $4");
    let rows = query(transaction, format!("SELECT template FROM templates {which}"), values.clone()).await?;
    let stored: Option<String> = rows.first().map(|row| row.try_get("", "template")).transpose()?;
    let Some(mut template) = stored.and_then(|stored| serde_json::from_str::<Template>(&stored).ok()) else {
        return Ok(false);
    };
    if template.status == *status {
        return Ok(false);
    }
    template.status = status.clone();
    values.push(as_json(&template).into());
    execute(transaction, format!("UPDATE templates SET template = $5 {which}"), values).await?;
    super::holds::bump(transaction, "templates").await?;
    Ok(true)
}

async fn replace(
    transaction: &DatabaseTransaction,
    owner: &TemplateOwner,
    named: Option<&str>,
    templates: &[&ListedTemplate],
    now: UnixMillis,
) -> Result<bool, DbErr> {
    let difference = difference(transaction, owner, named, templates).await?;
    if difference == Difference::Templates {
        let (which, values) = list_of(owner, named);
        execute(transaction, format!("DELETE FROM templates {which}"), values).await?;
        super::holds::bump(transaction, "templates").await?;
    }
    if difference != Difference::None {
        insert(transaction, owner, templates).await?;
    }
    if named.is_none() {
        let sql = "INSERT INTO template_syncs (connection, provider_account_id, synced_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (connection, provider_account_id) \
                   DO UPDATE SET synced_at = excluded.synced_at, failed_at = NULL, failure = NULL";
        let (_, mut values) = list_of(owner, None);
        values.push(now.0.into());
        execute(transaction, sql, values).await?;
    }
    Ok(difference == Difference::Templates)
}

async fn insert(
    transaction: &DatabaseTransaction,
    owner: &TemplateOwner,
    templates: &[&ListedTemplate],
) -> Result<(), DbErr> {
    let row = |listed: &&ListedTemplate| {
        [
            owner.connection.0.into(),
            owner.provider_account_id.clone().into(),
            listed.template.name.clone().into(),
            listed.template.language.clone().into(),
            as_json(&listed.template).into(),
            listed.listing.clone().into(),
        ]
    };
    let rows = templates.iter().map(row).collect::<Vec<[Value; 6]>>();
    let head = "INSERT INTO templates (connection, provider_account_id, name, language, template, listing)";
    let tail = " ON CONFLICT (connection, provider_account_id, name, language) \
                DO UPDATE SET template = excluded.template, listing = excluded.listing";
    execute_rows(transaction, head, rows, tail).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::template::{TemplateCategory, TemplateComponents},
        store::testing::on_each_database,
    };

    fn listed(name: &str, status: TemplateStatus, listing: &str) -> ListedTemplate {
        let template = Template {
            provider_id: "1".to_owned(),
            name: name.to_owned(),
            language: "en".to_owned(),
            status,
            category: TemplateCategory::Utility,
            components: TemplateComponents::default(),
            time_to_live_s: None,
        };
        ListedTemplate { template, listing: listing.to_owned() }
    }

    #[tokio::test]
    async fn a_link_that_was_renewed_is_kept_and_is_no_news() {
        on_each_database(|store| async move {
            let owner = TemplateOwner { connection: ConnectionKey(1), provider_account_id: "w".to_owned() };
            let replace = async |named: Option<&str>, listing: &str| {
                let mut templates = vec![listed("a", TemplateStatus::Approved, listing)];
                if named.is_none() {
                    templates.push(listed("b", TemplateStatus::Paused, "{}"));
                }
                let replaced = store.replace_templates(&owner, named, &templates, UnixMillis(1)).await;
                replaced.expect("templates can be written")
            };
            let listing = async || {
                let keys = [("a".to_owned(), "en".to_owned()), ("c".to_owned(), "en".to_owned())];
                store
                    .template_listings(&owner, &keys)
                    .await
                    .expect("listings can be read")
                    .into_values()
                    .collect::<Vec<_>>()
            };
            let version = async || store.versions().await.expect("readable").get("templates").copied();

            assert!(replace(None, "1").await, "there were none before");
            assert_eq!(listing().await, ["1"], "and of those that are not there, none");
            let before = version().await;
            assert!(!replace(None, "2").await);
            assert_eq!(listing().await, ["2"]);
            assert_eq!(version().await, before, "nobody has to read the list again");
            assert!(!replace(Some("a"), "3").await);
            assert_eq!(listing().await, ["2"], "a look-up, for which somebody waits, writes no listing");
        })
        .await;
    }

    #[tokio::test]
    async fn of_a_translation_that_is_listed_twice_the_approved_one_is_kept() {
        on_each_database(|store| async move {
            let owner = TemplateOwner { connection: ConnectionKey(1), provider_account_id: "w".to_owned() };
            let gone = || listed("a", TemplateStatus::Other("DELETED".to_owned()), "gone");
            let approved = || listed("a", TemplateStatus::Approved, "approved");

            for templates in [[gone(), approved()], [approved(), gone()]] {
                store.replace_templates(&owner, None, &templates, UnixMillis(1)).await.expect("it can be written");
                let lists = store.load_templates().await.expect("templates can be read");
                assert_eq!(lists[&owner], [approved().template]);
            }
        })
        .await;
    }
}
