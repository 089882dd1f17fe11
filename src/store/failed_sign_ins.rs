//! Sign-ins that failed, in the audit log: a line for a name and an address, which counts for an hour.
//!
//! Whoever guesses must not fill the database. So the log gets few lines an hour by address; what comes on top is counted by
//! name alone, and there are no more names than people.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult};
use serde_json::{Value, json};

use super::{
    Doing, Store, StoreError,
    audit::{AuditEntry, append},
    execute, query,
};
use crate::domain::{operator::Actor, time::UnixMillis};

/// A line counts for so long.
const LINE_COUNTS: Duration = Duration::from_secs(60 * 60);
/// Lines with an address that begin within that time.
const WITH_ADDRESS_MAX: usize = 20;
/// Lines that are looked at: those, and one for each name.
const LINES_MAX: usize = 1_000;

/// A try that failed.
#[derive(Clone, Debug)]
pub struct FailedSignIn {
    /// Of the log: what was tried.
    pub action: &'static str,
    /// Whose name was given. What nobody here is called is not kept: it may be a password that went into the wrong field.
    pub name: String,
    pub actor: Actor,
    /// From where, as tries are counted: of IPv6 the network.
    pub address: Option<String>,
    /// It was not looked at, because there were too many.
    pub locked_out: bool,
}

/// A line that still counts.
struct Counting {
    key: i32,
    subject: String,
    address: Option<String>,
    counts: Value,
}

impl Store {
    pub async fn note_failed_sign_in(&self, failed: &FailedSignIn) -> Result<(), StoreError> {
        let doing = "note a sign-in that failed";
        let now = self.now();
        // Nobody else counts meanwhile: two lines would begin.
        let transaction = self.begin_change().await.doing(doing)?;
        let sql = format!(
            "SELECT key, subject, address, after FROM audit_log WHERE at > $1 AND action = $2 LIMIT {LINES_MAX}"
        );
        let values = vec![now.minus(LINE_COUNTS).0.into(), failed.action.into()];
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let lines: Vec<Counting> = rows.iter().map(read).collect::<Result<_, _>>().doing(doing)?;
        let with_address = lines.iter().filter(|line| line.address.is_some()).count();
        let of = |address: &Option<String>| {
            lines.iter().find(|line| line.subject == failed.name && line.address == *address)
        };
        let (line, address) = match of(&failed.address) {
            None if with_address >= WITH_ADDRESS_MAX => (of(&None), None),
            line => (line, failed.address.clone()),
        };
        let counts = counted(line.map(|line| &line.counts), failed.locked_out, now);
        match line {
            Some(line) => {
                let sql = "UPDATE audit_log SET after = $2 WHERE key = $1";
                let values = vec![line.key.into(), counts.to_string().into()];
                execute(&transaction, sql, values).await.map(drop).doing(doing)?;
            }
            None => {
                let entry = AuditEntry::new(&failed.actor, failed.action, &failed.name).with_address(address);
                append(&transaction, &entry.after(counts), now).await.doing(doing)?;
            }
        }
        transaction.commit().await.doing(doing)
    }
}

/// One more of them.
fn counted(before: Option<&Value>, locked_out: bool, now: UnixMillis) -> Value {
    let count = |name: &str| before.and_then(|counts| counts[name].as_u64()).unwrap_or(0);
    let locked = count("locked_out") + u64::from(locked_out);
    let mut counts = json!({"tries": count("tries") + 1, "last_at": now.to_string()});
    if locked > 0 {
        counts["locked_out"] = locked.into();
    }
    counts
}

fn read(row: &QueryResult) -> Result<Counting, DbErr> {
    let counts: Option<String> = row.try_get("", "after")?;
    Ok(Counting {
        key: row.try_get("", "key")?,
        subject: row.try_get("", "subject")?,
        address: row.try_get("", "address")?,
        counts: counts.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::operator::{Permissions, Via},
        store::testing::on_each_database,
    };

    fn failed(name: &str, address: u32) -> FailedSignIn {
        let actor = Actor {
            name: "somebody".to_owned(),
            via: Via::Console,
            address: None,
            permissions: Permissions::default(),
        };
        let address = Some(format!("198.51.100.{address}"));
        FailedSignIn { action: "fail to sign in", name: name.to_owned(), actor, address, locked_out: false }
    }

    #[tokio::test]
    async fn whoever_guesses_from_many_addresses_makes_few_lines() {
        on_each_database(|store| async move {
            for address in 0..60 {
                store.note_failed_sign_in(&failed("asha", address)).await.expect("it is noted");
                store.note_failed_sign_in(&failed("an unknown name", address)).await.expect("it is noted");
            }

            let lines = store.audit_lines(None, 200).await.expect("readable");
            assert_eq!(lines.len(), WITH_ADDRESS_MAX + 2, "and one for each name");
            let tries = lines.iter().map(|line| {
                let counts: Value = serde_json::from_str(line.after.as_deref().unwrap_or_default()).expect("JSON");
                counts["tries"].as_u64().expect("a count")
            });
            assert_eq!(tries.sum::<u64>(), 120, "each of them is counted");
        })
        .await;
    }

    #[tokio::test]
    async fn a_line_tells_how_many_were_locked_out() {
        on_each_database(|store| async move {
            for _ in 0..3 {
                store
                    .note_failed_sign_in(&FailedSignIn { locked_out: true, ..failed("asha", 1) })
                    .await
                    .expect("it is noted");
            }
            let line = store.audit_lines(None, 2).await.expect("readable").pop().expect("one line");
            let after = line.after.expect("counts");
            assert!(after.contains(r#""locked_out":3"#) && after.contains(r#""tries":3"#), "{after}");
            assert_eq!(line.address.as_deref(), Some("198.51.100.1"));
        })
        .await;
    }
}
