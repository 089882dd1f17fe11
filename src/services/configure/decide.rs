//! Whether a change can be made, and what it writes. Pure: what is stored and the patch in, records or problems out.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Patch, Subject, aliases, missing, patch};
use crate::{
    domain::{operator::Actor, phone::PhoneNumber, template::Template, time::UnixMillis},
    services::{
        apply::{self, ApplyFile, Change, Surroundings},
        operators::{FieldProblem, Refusal},
        webhooks::Allowed,
    },
    settings::Retention,
    store::{
        configuration::{Configuration, ConfigurationRecords},
        templates::TemplateOwner,
    },
};

/// What can be configured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Connection,
    Account,
    Sender,
}

impl Kind {
    /// The key that names it, and cannot change.
    const fn name_key(self) -> &'static str {
        match self {
            Self::Connection | Self::Account => "id",
            Self::Sender => "number",
        }
    }

    /// Where a file has it.
    const fn path(self) -> &'static str {
        match self {
            Self::Connection => "connections.",
            Self::Account => "accounts.",
            Self::Sender => "accounts.senders.",
        }
    }

    fn subject(self, name: &str) -> Option<Subject> {
        match self {
            Self::Connection => Some(Subject::Connection(name.to_owned())),
            Self::Account => Some(Subject::Account(name.to_owned())),
            Self::Sender => PhoneNumber::from_international(name).map(Subject::Sender),
        }
    }

    const fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Connection(_) => Self::Connection,
            Subject::Account(_) => Self::Account,
            Subject::Sender(_) => Self::Sender,
        }
    }
}

/// What is added or changed.
pub(super) enum Target<'a> {
    New(Kind),
    /// And the version that was seen of it, if that matters.
    Existing(&'a Subject, Option<&'a str>),
}

/// What the answer depends on besides.
pub(super) struct Rules<'a> {
    pub(super) http_allowed: bool,
    pub(super) ages: &'a Retention,
    pub(super) now: UnixMillis,
    pub(super) version_of: &'a dyn Fn(&Table) -> String,
    /// What aliases are held against.
    pub(super) templates: &'a BTreeMap<TemplateOwner, Vec<Template>>,
}

/// A change that can be made.
pub(super) struct Decided {
    is_new: bool,
    records: ConfigurationRecords,
    before: Table,
    told: Told,
}

/// What is told of it afterwards.
pub(super) struct Told {
    pub(super) subject: Subject,
    pub(super) fields: Table,
    pub(super) changes: Vec<Change>,
}

pub(super) fn decide(
    stored: &Configuration,
    target: &Target<'_>,
    patch: &Patch,
    rules: &Rules<'_>,
) -> Result<Decided, Refusal> {
    let (kind, before) = match target {
        Target::New(kind) => (*kind, Table::new()),
        Target::Existing(subject, version) => {
            let before = apply::stated(stored, subject).ok_or_else(|| missing(subject))?;
            if version.is_some_and(|version| (rules.version_of)(&before) != version) {
                return Err(Refusal::Meanwhile(subject.to_string()));
            }
            (Kind::of(subject), before)
        }
    };
    let is_new = matches!(target, Target::New(_));
    let mut wanted = before.clone();
    // It is stored until somebody changes something, and need not be for longer.
    apply::forget_old_passcodes(&mut wanted, rules.now);
    let mut problems = patch::merge(&mut wanted, patch);
    problems.extend(misplaced(stored, kind, &before, &wanted));
    let name = wanted.get(kind.name_key()).and_then(Value::as_str).unwrap_or_default();
    let subject = kind.subject(name);
    if let Some(taken) = subject.as_ref().filter(|subject| is_new && apply::stated(stored, subject).is_some()) {
        problems.push(FieldProblem::new(kind.name_key(), format!("is taken: there is {taken} already")));
    }
    let (file, found) = read(stored, kind, wanted, rules);
    problems.extend(found);
    if let Some(account) = file.accounts.first() {
        problems.extend(aliases::problems(stored, &account.what, rules.templates));
    }
    problems.sort();
    problems.dedup();
    let subject = subject.filter(|_| problems.is_empty());
    let fields = subject.as_ref().and_then(|subject| apply::stated_in(&file, subject));
    let (Some(subject), Some(fields)) = (subject, fields) else { return Err(Refusal::Problems(problems)) };
    let difference = apply::difference::difference(stored, &file);
    let difference = difference.map_err(|problems| Refusal::Problems(shown(kind, problems)))?;
    let told = Told { subject, fields, changes: difference.changes };
    Ok(Decided { is_new, records: difference.records, before, told })
}

/// What a file could say in another place, or of another thing.
fn misplaced(stored: &Configuration, kind: Kind, before: &Table, wanted: &Table) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let name_key = kind.name_key();
    if before.get(name_key).is_some_and(|name| wanted.get(name_key) != Some(name)) {
        problems.push(FieldProblem::new(name_key, "cannot change: add another one"));
    }
    if before.get("account").is_some_and(|account| wanted.get("account") != Some(account)) {
        problems
            .push(FieldProblem::new("account", "cannot change: a number's messages and its log stay with its account"));
    }
    match kind {
        Kind::Connection => {}
        Kind::Account => {
            if wanted.contains_key("senders") {
                let message = "are not changed with their account: add and change each by itself";
                problems.push(FieldProblem::new("senders", message));
            }
        }
        Kind::Sender => match wanted.get("account").and_then(Value::as_str) {
            None => problems.push(FieldProblem::new("account", "is missing: name the account that it belongs to")),
            Some(id) if stored.account(id).is_none() => {
                problems.push(FieldProblem::new("account", format!("is not there: there is no account {id}")));
            }
            Some(_) => {}
        },
    }
    problems
}

/// Has the file's reader read it, in the place that it has in a file, and compares it with what else is stored.
fn read(stored: &Configuration, kind: Kind, wanted: Table, rules: &Rules<'_>) -> (ApplyFile, Vec<FieldProblem>) {
    let text = document(stored, kind, wanted).to_string();
    let no_environment = |_: &str| None;
    let allowed = Allowed { private_networks: rules.http_allowed, emails: false };
    let surroundings = Surroundings::new(&no_environment, allowed, rules.ages);
    let (mut file, problems) = apply::read(&text, "", &surroundings);
    if kind == Kind::Sender {
        // It only stands there because a number has to stand in an account.
        file.accounts.clear();
        file.subscriptions.retain(|stated| stated.what.sender.is_some());
    }
    let problems = shown(kind, apply::all_problems(stored, &file, problems));
    (file, problems)
}

fn document(stored: &Configuration, kind: Kind, mut wanted: Table) -> Table {
    let list = |table: Table| Value::Array(vec![patch::escaped(table.into())]);
    let (key, table) = match kind {
        Kind::Connection => ("connections", wanted),
        Kind::Account => ("accounts", wanted),
        Kind::Sender => {
            let id = wanted.remove("account");
            let id = id.as_ref().and_then(Value::as_str).unwrap_or_default();
            let account = apply::stated(stored, &Subject::Account(id.to_owned()));
            let mut account = account.unwrap_or_default();
            account.insert("senders".to_owned(), Value::Array(vec![wanted.into()]));
            ("accounts", account)
        }
    };
    Table::from_iter([(key.to_owned(), list(table))])
}

/// The problems of the thing itself, under the names that its fields have here.
fn shown(kind: Kind, problems: Vec<apply::ApplyProblem>) -> Vec<FieldProblem> {
    let own = |problem: apply::ApplyProblem| {
        let field = problem.field.strip_prefix(kind.path())?;
        Some(FieldProblem::new(field, problem.message))
    };
    problems.into_iter().filter_map(own).collect()
}

impl Decided {
    /// What is written, with a line for the audit log when that is anything.
    pub(super) fn with_audit(self, actor: &Actor) -> (ConfigurationRecords, Told) {
        let Self { is_new, mut records, before, told } = self;
        if !told.changes.is_empty() {
            let before = (!is_new).then_some(&before);
            records.audit.push(apply::audit_entry(actor, &told.subject, before, &told.fields));
        }
        (records, told)
    }
}
