//! Where people begin: what needs a person now, and what each number has to do.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;

use super::{
    Frame, HOME, Trouble, Visitor,
    frame::{long_time, sentence, wants_part},
    page,
};
use crate::{
    clock,
    domain::{account::Sender, operator::Actor, words::ago},
    http::Parts,
    services::{directory::Snapshot, masking, standing::standing},
    store::{alarms::AlarmRecord, overview::QueueOverview},
};

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Page {
    frame: Frame,
    standing: Part,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/overview_standing.html")]
struct Part {
    alarms: Vec<Alarm>,
    numbers: Vec<Number>,
}

struct Alarm {
    subject: String,
    text: String,
    since: String,
    ago: String,
}

struct Number {
    number: String,
    account: String,
    /// Works, or is on hold and why.
    hold: Option<String>,
    queued: i64,
    waiting: i64,
    sending: i64,
    unknown: i64,
    oldest: String,
    pace: u32,
}

/// `GET /console/overview`
pub(super) async fn show(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    let snapshot = parts.directory.snapshot();
    let found = standing(&parts.store, &snapshot, &visitor.actor).await?;
    let actor = &visitor.actor;
    let shown = Part {
        alarms: found.alarms.into_iter().map(|record| alarm(actor, record)).collect(),
        numbers: found.numbers.iter().map(|(sender, queue)| number(actor, &snapshot, sender, queue)).collect(),
    };
    if wants_part(&request) {
        return page(&shown);
    }
    page(&Page { frame: Frame::new(&request, &visitor, "Overview", HOME), standing: shown })
}

fn alarm(actor: &Actor, record: AlarmRecord) -> Alarm {
    Alarm {
        subject: sentence(&record.subject).trim_end_matches('.').to_owned(),
        text: masking::text(actor, &record.text),
        since: long_time(record.raised_at),
        ago: ago(record.raised_at, clock::now()),
    }
}

fn number(actor: &Actor, snapshot: &Snapshot, sender: &Sender, queue: &QueueOverview) -> Number {
    let hold = sender.hold.as_ref().or(sender.connection.hold.as_ref());
    Number {
        number: sender.number.as_e164().to_owned(),
        account: snapshot.account_by_key(sender.account).map_or("?", |account| account.id.as_str()).to_owned(),
        hold: hold.map(|hold| masking::text(actor, &hold.reason)),
        queued: queue.queued,
        waiting: queue.waiting_for_retry,
        sending: queue.sending,
        unknown: queue.unknown,
        oldest: queue.oldest_queued.map(|at| ago(at, clock::now())).unwrap_or_default(),
        pace: sender.messages_per_second,
    }
}
