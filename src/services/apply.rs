//! Creates and updates connections, accounts and sender numbers from a file.
//!
//! The steps: read the file ([`parse`]: pure, every problem with its line), compare it with what is
//! stored ([`difference`]), and write what differs in one transaction, which also raises the version
//! that running instances watch. Applying a file twice changes nothing the second time.
//!
//! The file is the whole truth about each connection, account and number that it names: a field that is
//! left out has its default again. Of those that it does not name it says nothing: they stay as they are.

mod accounts;
mod blanking;
mod connections;
mod credentials;
pub mod difference;
pub mod parse;
mod people;
mod reading;
pub mod replace;
mod senders;
mod stating;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
mod values;
mod webhooks;

use std::{collections::BTreeMap, fmt};

use crate::{
    domain::operator::Actor,
    store::{
        Store, StoreError,
        audit::AuditEntry,
        configuration::{AccountRecord, Configuration, ConnectionRecord, SenderRecord, SubscriptionRecord},
        webhooks::WebhookRecord,
    },
};

pub use blanking::{audit_entry, blanked};
pub use difference::{Change, ChangeKind, Difference};
pub use parse::{Surroundings, parse, read};
pub use replace::{Replacement, preview_replacement, replace};
pub use stating::{Subject, forget_old_passcodes, stated, stated_in};

/// A file that was understood. Whether it fits what is stored is another question.
#[derive(Debug, Default)]
pub struct ApplyFile {
    pub file_name: String,
    pub connections: Vec<Stated<ConnectionRecord>>,
    pub accounts: Vec<Stated<AccountRecord>>,
    pub senders: Vec<Stated<SenderRecord>>,
    pub subscriptions: Vec<Stated<SubscriptionRecord>>,
    pub webhooks: Vec<Stated<WebhookRecord>>,
    /// The provider of each connection that it names, as far as it is known; also of those with mistakes.
    pub providers: BTreeMap<String, Option<String>>,
    /// What numbers say of their connections; also those with mistakes.
    pub references: Vec<Reference>,
    /// Where webhooks name accounts, numbers and each other, by the field.
    pub places: BTreeMap<String, usize>,
}

impl ApplyFile {
    /// It says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.accounts.is_empty() && self.senders.is_empty() && self.webhooks.is_empty()
    }

    /// Everything that it names.
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let connections = self.connections.iter().map(|stated| Subject::Connection(stated.what.id.clone()));
        let accounts = self.accounts.iter().map(|stated| Subject::Account(stated.what.id.clone()));
        let senders = self.senders.iter().map(|stated| Subject::Sender(stated.what.number.clone()));
        connections.chain(accounts).chain(senders)
    }
}

/// A number's connection, which may be in the file or in the database, and the ids that its provider gave.
#[derive(Clone, Debug)]
pub struct Reference {
    pub connection: Stated<String>,
    /// By their keys in the file.
    pub ids: Vec<(&'static str, Stated<String>)>,
}

/// Something that the file says, and the line where it begins to.
#[derive(Clone, Debug)]
pub struct Stated<T> {
    pub line: usize,
    pub what: T,
}

/// Something that cannot be applied, where it stands, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApplyProblem {
    pub file: String,
    pub line: usize,
    /// The sections and the key, for example `accounts.senders.number`; empty when the file cannot be read as TOML.
    pub field: String,
    pub message: String,
}

impl fmt::Display for ApplyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A larger file is something else.
pub const APPLY_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Nothing was changed, and why.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// All of them, in the order of the file.
    #[error("nothing was applied, because of the file:\n{}", lines(.0))]
    Problems(Vec<ApplyProblem>),
    #[error(
        "nothing was applied: the database has these, whose secrets nobody can read any more, and the file says nothing of \
         them:\n{}\nState them too; what is no longer wanted, with `enabled = false` or any https:// URL", .0.join("\n")
    )]
    LeftOut(Vec<String>),
    #[error(
        "nothing was applied: instances run on this database, with another key: {}. Stop them, wait for instance.lease, and try again",
        .0.join(", ")
    )]
    StillRunning(Vec<String>),
    #[error("could not apply the file")]
    Store(#[from] StoreError),
}

fn lines(problems: &[ApplyProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Writes what differs, with a line in the audit log for each thing, and says what that was.
pub async fn apply(store: &Store, actor: &Actor, file: &ApplyFile) -> Result<Vec<Change>, ApplyError> {
    let decide = |stored: &Configuration| {
        let Difference { mut records, changes } = difference::difference(stored, file)?;
        records.audit.extend(file.subjects().filter_map(|subject| audited(stored, actor, file, &subject)));
        let webhooks = records.webhooks.iter().map(|record| super::webhooks::audited(stored, actor, record));
        records.audit.extend(webhooks.collect::<Vec<_>>());
        Ok((records, changes))
    };
    store.change_configuration(decide).await?.map_err(ApplyError::Problems)
}

/// What the audit log is told of one thing that a file names; nothing when it is as it was.
fn audited(stored: &Configuration, actor: &Actor, file: &ApplyFile, subject: &Subject) -> Option<AuditEntry> {
    let (before, after) = (stated(stored, subject), stated_in(file, subject)?);
    (before.as_ref() != Some(&after)).then(|| audit_entry(actor, subject, before.as_ref(), &after))
}

/// All that is wrong with a file: what its text showed, and what the stored configuration shows of the rest.
pub fn all_problems(stored: &Configuration, file: &ApplyFile, mut problems: Vec<ApplyProblem>) -> Vec<ApplyProblem> {
    problems.extend(difference::conflicts(stored, file));
    problems.sort();
    problems
}

/// Says what [`apply`] would change.
pub async fn preview(store: &Store, file: &ApplyFile) -> Result<Vec<Change>, ApplyError> {
    let stored = store.load_configuration().await?;
    let difference = difference::difference(&stored, file).map_err(ApplyError::Problems)?;
    Ok(difference.changes)
}
