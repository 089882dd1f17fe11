//! The audit log, as people and programs read it.

use super::{
    export::harmless,
    operators::{Refusal, require},
};
use crate::{
    domain::operator::{Actor, Permission},
    store::{
        Store,
        audit::{AuditFilter, AuditLine},
    },
};

/// A text that is looked for.
const TEXT_CHARS_MAX: usize = 256;

/// The columns of [`cells`].
pub const COLUMNS: [&str; 9] = ["id", "at", "actor", "via", "address", "action", "subject", "before", "after"];

/// A page of the lines that agree with a filter, the newest first, and where the next one begins.
pub async fn lines(
    store: &Store,
    actor: &Actor,
    filter: &AuditFilter,
    limit: usize,
) -> Result<(Vec<AuditLine>, Option<i64>), Refusal> {
    require(actor, Permission::ReadAudit)?;
    for (field, text) in [("actor", &filter.actor), ("action", &filter.action), ("subject", &filter.subject)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX) {
            let text = format!("is longer than {TEXT_CHARS_MAX} characters: a part of it will do");
            return Err(Refusal::Invalid { field, text });
        }
    }
    let lines = store.audit_lines_of(filter, limit).await?;
    let next = lines.last().filter(|_| lines.len() == limit).map(|last| last.key);
    Ok((lines, next))
}

/// A line as a row of a file, in which no text is a formula.
pub fn cells(line: AuditLine) -> Vec<String> {
    let AuditLine { key, at, actor, via, address, action, subject, before, after } = line;
    let text = Option::unwrap_or_default;
    let (key, at, via) = (key.to_string(), at.to_string(), via.as_str().to_owned());
    let cells = [key, at, actor, via, text(address), action, subject, text(before), text(after)];
    cells.iter().map(|cell| harmless(cell).into_owned()).collect()
}
