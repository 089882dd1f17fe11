//! Parts of webhooks that were not understood, and statuses whose message is not known.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query},
    frame::{long_time, short_time},
    message::pretty,
    page,
};
use crate::{
    domain::{
        ids::ConnectionKey,
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{directory::Snapshot, masking, operators::require},
    store::unrecognized::{KeptFilter, KeptGroup, KeptKind, KeptPart},
};

#[derive(Template)]
#[template(path = "console/kept.html")]
struct Page {
    frame: Frame,
    groups: Vec<Group>,
    parts: Vec<Part>,
    reason: Option<String>,
    next: Option<String>,
}

struct Group {
    reason: String,
    parts: i64,
    kind: &'static str,
    connection: String,
    newest: String,
    href: String,
}

struct Part {
    at: String,
    at_iso: String,
    reason: String,
    kind: &'static str,
    connection: String,
    place: String,
    entry: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KeptQuery {
    reason: String,
    before: Option<i64>,
}

/// `GET /console/unrecognized`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<KeptQuery>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let KeptQuery { reason, before } = query.into_inner();
    // By trying reasons out, a number in one could be found.
    let reason = Some(reason).filter(|reason| !reason.is_empty() && visitor.actor.may(Permission::ReadPersonal));
    let snapshot = parts.directory.snapshot();
    let filter = KeptFilter { reason: reason.clone(), before, ..KeptFilter::default() };
    let found = parts.store.kept_parts(&filter, LINES_PER_PAGE).await?;
    let groups = parts.store.kept_groups(&KeptFilter::default(), LINES_PER_PAGE).await?;
    let next = found.last().filter(|_| found.len() == LINES_PER_PAGE);
    let next = next.map(|last| address(reason.as_deref(), Some(last.id)));
    let frame = Frame::new(&request, &visitor, "Unknown and skipped", "/console/unrecognized");
    page(&Page {
        frame,
        groups: groups.iter().map(|group| group_line(&snapshot, &visitor.actor, group)).collect(),
        parts: found.iter().map(|part| part_line(&snapshot, &visitor.actor, part)).collect(),
        reason,
        next,
    })
}

fn address(reason: Option<&str>, before: Option<i64>) -> String {
    let before = before.map(|before| before.to_string()).unwrap_or_default();
    asked::address("/console/unrecognized", [("reason", reason.unwrap_or_default()), ("before", &before)])
}

fn group_line(snapshot: &Snapshot, actor: &Actor, group: &KeptGroup) -> Group {
    // Masked, a reason would not be found again.
    let href = address(actor.may(Permission::ReadPersonal).then_some(group.reason.as_str()), None);
    Group {
        reason: masking::text(actor, &group.reason),
        parts: group.parts,
        kind: kind_name(group.kind),
        connection: connection_name(snapshot, group.connection),
        newest: long_time(group.newest),
        href,
    }
}

fn part_line(snapshot: &Snapshot, actor: &Actor, part: &KeptPart) -> Part {
    let whole = actor.may(Permission::ReadPersonal);
    let place = match part.kind {
        KeptKind::Parked => "a status".to_owned(),
        KeptKind::Unread if part.pointer.is_empty() => "the whole body".to_owned(),
        KeptKind::Unread => format!("at {}", part.pointer),
    };
    Part {
        at: short_time(part.at),
        at_iso: part.at.to_string(),
        reason: masking::text(actor, &part.reason),
        kind: kind_name(part.kind),
        connection: connection_name(snapshot, part.connection),
        place: masking::text(actor, &place),
        entry: whole.then(|| pretty(&part.entry)),
    }
}

fn kind_name(kind: KeptKind) -> &'static str {
    match kind {
        KeptKind::Unread => "not understood",
        KeptKind::Parked => "message not known",
    }
}

fn connection_name(snapshot: &Snapshot, key: ConnectionKey) -> String {
    let connection = snapshot.connection_by_key(key);
    connection.map_or_else(|| "?".to_owned(), |connection| connection.id.clone())
}
