//! "Check channel" and "Fix channel issue": what a look at the provider found, what to do about it, and the requests that would
//! set it right, shown before they are made.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web::{Bytes, Data, Path},
};
use askama::Template;
use url::form_urlencoded;

use super::{
    Frame, Trouble, Visitor,
    connections::PATH,
    frame::{sentence, wants_part},
    messages::Status,
    page,
};
use crate::{
    domain::{
        finding::{Finding, Level, Repair, RepairKind},
        operator::{Actor, Permission},
        phone::PhoneNumber,
        words::counted,
    },
    http::Parts,
    services::{
        connections::{CheckedChannel, Fixed},
        masking,
        operators::Refusal,
    },
};

/// The card of a check, before anybody looked and after.
#[derive(Template)]
#[template(path = "console/channel_check.html")]
pub(super) struct CheckPart {
    /// The page whose channel it is.
    path: String,
    csrf: String,
    may_check: bool,
    may_fix: bool,
    done: Vec<DoneRow>,
    found: Option<Found>,
}

struct Found {
    sum: Status,
    said: String,
    took: String,
    subjects: Vec<Subject>,
    repairs: Vec<RepairRow>,
    /// Who agrees to repairs agrees to this URL.
    webhook_url: String,
    fix_path: String,
}

/// What was looked at of one thing.
struct Subject {
    about: String,
    rows: Vec<Row>,
}

struct Row {
    check: String,
    state: Status,
    text: String,
    remedy: Option<String>,
    took: String,
}

struct RepairRow {
    /// For the form.
    value: String,
    what: String,
    method: &'static str,
    url: String,
    body: String,
}

struct DoneRow {
    what: String,
    failure: Option<String>,
}

#[derive(Template)]
#[template(path = "console/channel_checked.html")]
struct Page {
    frame: Frame,
    path: String,
    name: String,
    check: CheckPart,
}

impl CheckPart {
    /// Before anybody has looked.
    pub(super) fn before(actor: &Actor, csrf: &str, path: String) -> Self {
        Self {
            path,
            csrf: csrf.to_owned(),
            may_check: actor.may(Permission::ManageQueues),
            may_fix: actor.may(Permission::ManageConfiguration),
            done: vec![],
            found: None,
        }
    }

    fn after(actor: &Actor, csrf: &str, path: String, webhook_url: String, checked: &CheckedChannel) -> Self {
        let found = found(actor, webhook_url, checked);
        Self { found: Some(found), ..Self::before(actor, csrf, path) }
    }
}

/// `POST /console/connections/{id}/check`
pub(super) async fn check_connection(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let checked = parts.connections.check(&visitor.actor, &id, None).await?;
    let part = after(&parts, &visitor, format!("{PATH}/{}", *id), &checked);
    tell(&request, &visitor, id.into_inner(), part)
}

/// `POST /console/numbers/{digits}/check`
pub(super) async fn check_number(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let standing = parts.connections.number(&visitor.actor, &digits).await?;
    let number: &PhoneNumber = &standing.sender.number;
    let checked = parts.connections.check(&visitor.actor, &standing.sender.connection.id, Some(number)).await?;
    let part = after(&parts, &visitor, format!("/console/numbers/{}", number.digits()), &checked);
    tell(&request, &visitor, number.as_e164().to_owned(), part)
}

/// `POST /console/connections/{id}/fix`: does what was shown, and looks again.
pub(super) async fn fix(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    form: Bytes,
) -> Result<HttpResponse, Trouble> {
    // A field for each repair, all of one name: a form of fixed fields has no place for them.
    let fields: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let shown_url = fields.iter().find(|(name, _)| name == "webhook_url").map_or("", |(_, value)| value.as_str());
    let wanted = fields.iter().filter(|(name, _)| name == "repair");
    let wanted: Vec<(RepairKind, String)> = wanted.map(|(_, value)| named(value)).collect::<Result<_, _>>()?;
    let fixed = parts.connections.fix(&visitor.actor, &id, &wanted, shown_url).await?;
    let checked = parts.connections.check(&visitor.actor, &id, None).await?;
    let part = after(&parts, &visitor, format!("{PATH}/{}", *id), &checked);
    let done = fixed.into_iter().map(|fixed| done_row(&visitor.actor, fixed)).collect();
    tell(&request, &visitor, id.into_inner(), CheckPart { done, ..part })
}

fn after(parts: &Parts, visitor: &Visitor, path: String, checked: &CheckedChannel) -> CheckPart {
    let connection = &checked.connection;
    let webhook_url = parts.connections.webhook_url(&connection.provider, &connection.id);
    CheckPart::after(&visitor.actor, &visitor.csrf, path, webhook_url, checked)
}

fn tell(request: &HttpRequest, visitor: &Visitor, name: String, check: CheckPart) -> Result<HttpResponse, Trouble> {
    if wants_part(request) {
        let mut answer = page(&check)?;
        // What else the page says of the channel was just read anew.
        answer.headers_mut().insert(HeaderName::from_static("hx-trigger"), HeaderValue::from_static("channel-checked"));
        return Ok(answer);
    }
    let frame = Frame::new(request, visitor, format!("Check of {name}"), PATH);
    page(&Page { frame, path: check.path.clone(), name, check })
}

/// `subscribe_account:200000000000001`, as the form has it.
fn named(text: &str) -> Result<(RepairKind, String), Refusal> {
    let parts = text.split_once(':').and_then(|(kind, id)| Some((RepairKind::parse(kind)?, id.to_owned())));
    parts.ok_or_else(|| Refusal::Invalid {
        field: "repairs",
        text: "check the channel again: this is no repair".to_owned(),
    })
}

fn found(actor: &Actor, webhook_url: String, checked: &CheckedChannel) -> Found {
    let count = |level| checked.findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (wrong, doubtful) = (count(Level::Wrong), count(Level::Doubtful));
    let (name, tone, said) = match (wrong, doubtful) {
        (0, 0) => ("fine", "good", "Everything is as it should be.".to_owned()),
        (0, some) => (
            "look",
            "warn",
            format!("Nothing is wrong; {}.", counted(some, "thing is worth a look", "things are worth a look")),
        ),
        (some, _) => ("wrong", "bad", sentence(&counted(some, "thing is wrong", "things are wrong"))),
    };
    let mut subjects: Vec<Subject> = Vec::new();
    for finding in &checked.findings {
        let row = row(actor, finding);
        match subjects.last_mut().filter(|subject| subject.about == finding.about) {
            Some(subject) => subject.rows.push(row),
            None => subjects.push(Subject { about: finding.about.clone(), rows: vec![row] }),
        }
    }
    Found {
        sum: Status { name, tone },
        said,
        took: time_taken(u64::try_from(checked.took.as_millis()).unwrap_or(u64::MAX)),
        subjects,
        repairs: checked.repairs.iter().map(repair_row).collect(),
        webhook_url,
        fix_path: format!("{PATH}/{}/fix", checked.connection.id),
    }
}

fn row(actor: &Actor, finding: &Finding) -> Row {
    let (name, tone) = match finding.level {
        Level::Fine => ("fine", "good"),
        Level::Doubtful => ("warning", "warn"),
        Level::Wrong => ("wrong", "bad"),
        Level::NotChecked => ("not checked", ""),
    };
    let check = finding.topic.map_or("general", |topic| topic.as_str());
    Row {
        check: sentence(check).trim_end_matches('.').to_owned(),
        state: Status { name, tone },
        text: sentence(&masking::text(actor, &finding.text)),
        remedy: finding.remedy.as_deref().map(sentence),
        took: finding.took_ms.map(time_taken).unwrap_or_default(),
    }
}

fn repair_row(repair: &Repair) -> RepairRow {
    RepairRow {
        value: format!("{}:{}", repair.kind.as_str(), repair.id),
        what: sentence(&repair.what),
        method: repair.request.method,
        url: repair.request.url.clone(),
        body: repair.request.body.clone(),
    }
}

fn done_row(actor: &Actor, fixed: Fixed) -> DoneRow {
    let failure = fixed.failure.map(|failure| sentence(&masking::text(actor, &failure)));
    DoneRow { what: sentence(&fixed.repair.what), failure }
}

/// `84 ms`, `2.3 s`.
fn time_taken(took_ms: u64) -> String {
    match took_ms {
        0..1_000 => format!("{took_ms} ms"),
        1_000.. => format!("{}.{} s", took_ms / 1_000, took_ms % 1_000 / 100),
    }
}
