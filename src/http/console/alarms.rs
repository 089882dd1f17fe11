//! Alarms: what is wrong, who is told and how, what is watched, what was told.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor, accounts,
    asked::Query,
    callbacks, connections,
    frame::{long_time, sentence},
    numbers, page, system, templates, webhooks,
};
use crate::{
    clock,
    domain::{
        alarm::AlarmKind,
        operator::Permission,
        words::{ago, lasting},
    },
    http::Parts,
    services::{
        alarms::{
            Told, Untold, WayShown,
            view::{self, Watched},
        },
        operators::Refusal,
    },
    store::{alarm_letters::SentLetter, alarms::AlarmRecord},
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/alarms";

#[derive(Template)]
#[template(path = "console/alarms.html")]
struct Page {
    frame: Frame,
    ways: Vec<Way>,
    may_change: bool,
    can_mail: bool,
    may_test: bool,
    tested: Vec<Tested>,
    wrong: Option<String>,
    raised: Vec<Raised>,
    watched: Vec<Kind>,
    every: String,
    look_every: String,
    letters: Vec<Letter>,
    older: Option<String>,
}

/// Who is told, and of what.
struct Way {
    name: &'static str,
    to: String,
    is_of_settings: bool,
    /// Names of the only kinds that go this way.
    kinds: String,
}

/// What came of a test.
struct Tested {
    way: &'static str,
    result: Result<String, String>,
}

struct Raised {
    name: &'static str,
    subject: String,
    text: String,
    since: String,
    ago: String,
    told: String,
    /// Where something can be done about it.
    href: Option<String>,
}

struct Kind {
    name: &'static str,
    meaning: &'static str,
    threshold: String,
    raised: usize,
    /// The last that is over.
    over: Option<String>,
}

struct Letter {
    at: String,
    at_iso: String,
    subject: String,
    text: String,
    ways: Vec<LetterWay>,
    instance: String,
}

/// A way of a letter, and what came of it.
struct LetterWay {
    way: String,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlarmQuery {
    before: Option<i32>,
}

/// `GET /console/alarms`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<AlarmQuery>,
) -> Result<HttpResponse, Trouble> {
    page(&alarms_page(&request, &parts, &visitor, query.before).await?)
}

/// `POST /console/alarms/test`
pub(super) async fn test(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    let (tested, wrong) = match view::test(&parts.alarm_ways, &parts.store, &visitor.actor).await {
        Ok(told) => (told.into_iter().map(tested).collect(), None),
        Err(Refusal::Conflict(text)) => (vec![], Some(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    page(&Page { tested, wrong, ..alarms_page(&request, &parts, &visitor, None).await? })
}

fn tested(told: Told) -> Tested {
    Tested { way: told.way, result: told.result.map_err(|why| sentence(&why)) }
}

async fn alarms_page(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    before: Option<i32>,
) -> Result<Page, Trouble> {
    let (store, actor, settings) = (&parts.store, &visitor.actor, &parts.settings.alarms);
    let watched = view::watched(store, settings, actor).await?;
    let letters = view::letters(store, actor, before, LINES_PER_PAGE).await?;
    let older =
        letters.last().filter(|_| letters.len() == LINES_PER_PAGE).map(|(key, _)| format!("{PATH}?before={key}"));
    let mut raised: Vec<&AlarmRecord> = watched.iter().flat_map(|watched| &watched.raised).collect();
    raised.sort_by_key(|record| std::cmp::Reverse(record.raised_at));
    let ways = parts.alarm_ways.set_up(store).await.map_err(Refusal::from)?;
    Ok(Page {
        frame: Frame::new(request, visitor, "Alarms", PATH),
        raised: raised.into_iter().map(|record| one_raised(record, &ways)).collect(),
        ways: ways.into_iter().map(way).collect(),
        may_change: actor.may(Permission::ManageConfiguration),
        can_mail: parts.alarm_ways.can_mail(),
        may_test: actor.may(Permission::TestAlarms),
        tested: vec![],
        wrong: None,
        watched: watched.iter().map(kind).collect(),
        every: lasting(settings.every),
        look_every: lasting(settings.look_every),
        letters: letters.into_iter().map(|(_, sent)| letter(sent)).collect(),
        older,
    })
}

fn way(shown: WayShown) -> Way {
    let kinds = AlarmKind::ALL.into_iter().filter(|kind| shown.kinds.iter().any(|word| word == kind.as_str()));
    Way {
        name: shown.by,
        to: shown.to,
        is_of_settings: shown.is_of_settings,
        kinds: kinds.map(name).collect::<Vec<_>>().join(", "),
    }
}

fn one_raised(record: &AlarmRecord, ways: &[WayShown]) -> Raised {
    let told = match (Untold::of(record, ways), record.told_at) {
        (None, Some(at)) => format!("told by {}, {} UTC", record.told_by, long_time(at)),
        (None, None) => "nobody was told yet".to_owned(),
        (Some(why @ (Untold::NoWay | Untold::NotWanted)), _) => format!("only the log was told: {}", why.in_words()),
        (Some(why @ Untold::NotTaken), _) => format!("nobody was told yet: {}", why.in_words()),
    };
    Raised {
        name: name(record.kind),
        subject: sentence(&record.subject).trim_end_matches('.').to_owned(),
        text: record.text.clone(),
        since: long_time(record.raised_at),
        ago: ago(record.raised_at, clock::now()),
        told,
        href: place_of(record),
    }
}

/// The page on which something can be done about it.
pub(super) fn place_of(record: &AlarmRecord) -> Option<String> {
    // Subjects are always in the same words, and no name has a space.
    let mut words = record.subject.split(' ');
    let (what, name) = (words.next()?, words.next()?);
    let place = match record.kind {
        AlarmKind::ConnectionHeld | AlarmKind::TokenRefused => format!("{}/{name}", connections::PATH),
        AlarmKind::NumberHeld
        | AlarmKind::QualityRed
        | AlarmKind::TierChanged
        | AlarmKind::LimitReached
        | AlarmKind::WebhooksSilent
        | AlarmKind::QueueLate => numbers::path_of(name),
        AlarmKind::TemplateStopped => templates::with_name(name),
        AlarmKind::SubscriptionsRefused => format!("{}/{name}", accounts::PATH),
        AlarmKind::WebhookSwitchedOff => format!("{}/{name}", webhooks::PATH),
        // `callback URL 3 (…)`, or `webhook orders (…)`.
        AlarmKind::CallbacksFailing if what == "webhook" => format!("{}/{name}", webhooks::PATH),
        AlarmKind::CallbacksFailing => format!("{}/{}", callbacks::PATH, words.next()?),
        AlarmKind::DiskFull => system::PATH.to_owned(),
    };
    Some(place)
}

fn kind(watched: &Watched) -> Kind {
    let last = watched.over.iter().filter_map(|record| Some((record.over_at?, record))).max_by_key(|(at, _)| *at);
    Kind {
        name: name(watched.kind),
        meaning: watched.kind.meaning(),
        threshold: watched.threshold.clone().unwrap_or_else(|| "at once".to_owned()),
        raised: watched.raised.len(),
        over: last.map(|(at, record)| format!("{}, over {} ago", record.subject, ago(at, clock::now()))),
    }
}

fn letter(sent: SentLetter) -> Letter {
    Letter {
        at: long_time(sent.at),
        at_iso: sent.at.to_string(),
        subject: sent.subject.trim_start_matches("wabridge: ").to_owned(),
        text: sent.text,
        ways: sent.ways.into_iter().map(|way| LetterWay { way: way.way, failure: way.failure }).collect(),
        instance: sent.instance,
    }
}

/// A kind for people.
pub(super) fn name(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::ConnectionHeld => "Connection on hold",
        AlarmKind::NumberHeld => "Number on hold",
        AlarmKind::TokenRefused => "Access token refused",
        AlarmKind::TemplateStopped => "Template stopped",
        AlarmKind::QualityRed => "Quality red",
        AlarmKind::TierChanged => "Messaging limit changed",
        AlarmKind::LimitReached => "Messaging limit reached",
        AlarmKind::CallbacksFailing => "Callback URL failing",
        AlarmKind::SubscriptionsRefused => "Opt-outs refused",
        AlarmKind::WebhookSwitchedOff => "Webhook switched off",
        AlarmKind::WebhooksSilent => "Webhooks silent",
        AlarmKind::QueueLate => "Queue late",
        AlarmKind::DiskFull => "Disk nearly full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    #[test]
    fn every_alarm_leads_to_the_page_that_helps() {
        let place = |kind, subject: &str| {
            place_of(&AlarmRecord {
                kind,
                subject: subject.to_owned(),
                text: String::new(),
                raised_at: UnixMillis(0),
                over_at: None,
                told_at: None,
                told_by: String::new(),
                told: false,
            })
        };
        for (kind, subject, wanted) in [
            (AlarmKind::ConnectionHeld, "connection meta-main", "/console/connections/meta-main"),
            (AlarmKind::TokenRefused, "connection meta-main", "/console/connections/meta-main"),
            (AlarmKind::NumberHeld, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::QualityRed, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::TierChanged, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::LimitReached, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::WebhooksSilent, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::QueueLate, "number +918880110022", "/console/numbers/918880110022"),
            (AlarmKind::TemplateStopped, "template sale (en) of 2001", "/console/templates?q=sale"),
            (AlarmKind::CallbacksFailing, "callback URL 3 (delivery reports of acme)", "/console/callbacks/3"),
            (AlarmKind::CallbacksFailing, "webhook crm (notices of acme)", "/console/webhooks/crm"),
            (AlarmKind::SubscriptionsRefused, "account acme", "/console/accounts/acme"),
            (AlarmKind::WebhookSwitchedOff, "webhook crm", "/console/webhooks/crm"),
            (AlarmKind::DiskFull, "disk of /var/lib/wabridge", "/console/system"),
        ] {
            assert_eq!(place(kind, subject).as_deref(), Some(wanted), "{subject}");
        }
    }
}
