//! What the console and the API share about the audit log: its lines as a file.

use actix_web::{HttpResponse, web::Data};
use futures_util::stream;

use super::{
    Parts,
    csv_file::{attachment, broke_off, lines},
};
use crate::{
    domain::operator::{Actor, Permission},
    services::{
        audit::{self, COLUMNS},
        operators::{Refusal, require},
    },
    store::audit::AuditFilter,
};

/// Lines that one statement reads.
const LINES_PER_READ: usize = 1_000;

/// Where a file that is being written has come to.
enum At {
    Head,
    Page,
    End,
}

/// The lines that agree with a filter, the newest first, read page by page as they are taken.
pub(super) fn file(parts: &Data<Parts>, actor: &Actor, filter: AuditFilter) -> Result<HttpResponse, Refusal> {
    require(actor, Permission::ReadAudit)?;
    let begin = (parts.clone(), actor.clone(), filter, At::Head);
    let rows = stream::try_unfold(begin, async |(parts, actor, mut filter, at)| match at {
        At::Head => {
            let head = lines([COLUMNS.map(str::to_owned).to_vec()])?;
            Ok(Some((head, (parts, actor, filter, At::Page))))
        }
        At::Page => {
            let page = audit::lines(&parts.store, &actor, &filter, LINES_PER_READ).await;
            let (page, next) = page.map_err(|refusal| broke_off(&refusal, "the audit log"))?;
            filter.before = next;
            let at = if next.is_some() { At::Page } else { At::End };
            Ok(Some((lines(page.into_iter().map(audit::cells))?, (parts, actor, filter, at))))
        }
        At::End => Ok(None),
    });
    Ok(attachment("audit-log.csv".to_owned(), rows))
}
