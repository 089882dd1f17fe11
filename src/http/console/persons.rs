//! One person's data: what there is, all of it as a file, and erasing it.
//!
//! A number is posted and never stands in an address: those are kept in histories and logs.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    frame::{long_time, sentence, wants_part},
    page, page_as, see_other,
};
use crate::{
    domain::{
        operator::Permission,
        phone::PhoneNumber,
        words::{counted, thousands},
    },
    http::{Parts, persons::file},
    services::{
        operators::{Refusal, require},
        person::{export::Section, requests::Counting},
    },
    store::erasures::{Erasure, ErasureEnd},
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/persons";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PersonForm {
    phone: String,
    account: String,
    /// Where a count goes on.
    after: String,
    /// The number, typed once more.
    again: String,
    suppress: Option<String>,
}

impl PersonForm {
    fn account(&self) -> Option<&str> {
        Some(self.account.as_str()).filter(|account| !account.is_empty())
    }
}

#[derive(Template)]
#[template(path = "console/persons.html")]
struct Page {
    frame: Frame,
    form: PersonForm,
    accounts: Vec<String>,
    wrong: Option<String>,
    found: Option<Found>,
    /// Why it is not erased.
    wrong_again: Option<String>,
    erasures: Vec<ErasureRow>,
}

/// What is stored, as far as it was counted.
#[derive(Template)]
#[template(path = "console/persons_found.html")]
struct Found {
    csrf: String,
    phone: String,
    account: String,
    counts: Vec<(&'static str, String)>,
    nothing: bool,
    done: bool,
    percent: u8,
    after: String,
}

struct ErasureRow {
    key: i32,
    person: String,
    account: String,
    actor: String,
    at: String,
    state: &'static str,
    tone: &'static str,
}

#[derive(Template)]
#[template(path = "console/erasure.html")]
struct ErasurePage {
    frame: Frame,
    part: ErasurePart,
}

/// What changes while it is erased.
#[derive(Template)]
#[template(path = "console/erasure_part.html")]
struct ErasurePart {
    key: i32,
    row: ErasureRow,
    open: bool,
    /// The server that was at it has ended.
    left: bool,
    percent: u8,
    counts: Vec<(&'static str, String)>,
    nothing: bool,
    busy: bool,
    shells: bool,
    wrong: Option<String>,
}

/// `GET /console/persons`
pub(super) async fn show(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    page(&persons_page(&request, &parts, &visitor, PersonForm::default()).await?)
}

/// `POST /console/persons`
pub(super) async fn find(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PersonForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    match found(&parts, &visitor, &form).await {
        Ok(found) if wants_part(&request) => page(&found),
        Ok(found) => page(&Page { found: Some(found), ..persons_page(&request, &parts, &visitor, form).await? }),
        Err(Refusal::Invalid { text, .. }) => {
            let whole = persons_page(&request, &parts, &visitor, form).await?;
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &Page { wrong: Some(sentence(&text)), ..whole })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `POST /console/persons/export`
pub(super) async fn export(
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PersonForm>,
) -> Result<HttpResponse, Trouble> {
    let document = parts.persons.export(&visitor.actor, (&form.phone, form.account())).await?;
    Ok(file(document))
}

/// `POST /console/persons/erase`
pub(super) async fn erase(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PersonForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let (who, suppress) = ((form.phone.as_str(), form.account()), form.suppress.is_some());
    match parts.persons.erase(&visitor.actor, who, &form.again, suppress).await {
        Ok(key) => Ok(see_other(&format!("{PATH}/erasures/{key}"))),
        Err(Refusal::Invalid { field: "again", text }) => {
            let found = Some(found(&parts, &visitor, &form).await?);
            let whole = persons_page(&request, &parts, &visitor, form).await?;
            let wrong_again = Some(sentence(&text));
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &Page { found, wrong_again, ..whole })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `GET /console/persons/erasures/{key}`
pub(super) async fn erasure(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    key: web::Path<i32>,
) -> Result<HttpResponse, Trouble> {
    let part = erasure_part(parts.persons.erasure(&visitor.actor, *key).await?);
    if wants_part(&request) {
        return page(&part);
    }
    page(&ErasurePage { frame: Frame::new(&request, &visitor, "Erasing one person’s data", PATH), part })
}

async fn found(parts: &Parts, visitor: &Visitor, form: &PersonForm) -> Result<Found, Refusal> {
    let after = Some(form.after.as_str()).filter(|after| !after.is_empty());
    let who = (form.phone.as_str(), form.account());
    let (phone, counting): (PhoneNumber, Counting) = parts.persons.count(&visitor.actor, who, after).await?;
    Ok(Found {
        csrf: visitor.csrf.clone(),
        phone: phone.as_e164().to_owned(),
        account: form.account.clone(),
        counts: Section::ALL.map(|section| (section_name(section), thousands(whole(counting.of(section))))).into(),
        nothing: counting.is_empty(),
        done: counting.done,
        percent: counting.percent,
        after: counting.state(),
    })
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn section_name(section: Section) -> &'static str {
    match section {
        Section::Messages => "Messages that were sent to the person",
        Section::Inbound => "What the person wrote",
        Section::Files => "Files from the person",
        Section::Contacts => "Contacts, with conversations",
        Section::RefusedRequests => "Refused requests",
        Section::WebhookParts => "Parts of webhooks",
        Section::Ids => "Ids that WhatsApp has of the person",
        Section::Suppressions => "Entries of the suppression list",
    }
}

async fn persons_page(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    form: PersonForm,
) -> Result<Page, Trouble> {
    require(&visitor.actor, Permission::ManagePersons)?;
    let mut accounts: Vec<String> = parts.directory.snapshot().accounts().map(|account| account.id.clone()).collect();
    accounts.sort();
    Ok(Page {
        frame: Frame::new(request, visitor, "One person’s data", PATH),
        form,
        accounts,
        wrong: None,
        found: None,
        wrong_again: None,
        erasures: parts.persons.erasures(&visitor.actor).await?.iter().map(row).collect(),
    })
}

fn row(erasure: &Erasure) -> ErasureRow {
    let (state, tone) = match &erasure.end {
        Some(ErasureEnd::Done(_)) => ("erased", "good"),
        Some(ErasureEnd::Stopped(_)) => ("stopped", "bad"),
        None if erasure.abandoned => ("to be gone on with", "warn"),
        None => ("being erased", "info"),
    };
    ErasureRow {
        key: erasure.key,
        person: erasure.person.clone(),
        account: erasure.account.clone().unwrap_or_else(|| "all accounts".to_owned()),
        actor: erasure.actor.clone(),
        at: long_time(erasure.started_at),
        state,
        tone,
    }
}

fn erasure_part(erasure: Erasure) -> ErasurePart {
    let count = |name: &str| match &erasure.end {
        Some(ErasureEnd::Done(counts)) => counts[name].as_i64().unwrap_or(0),
        Some(ErasureEnd::Stopped(_)) | None => 0,
    };
    let named = [
        ("Messages", "messages_deleted"),
        ("Messages that stay as empty shells", "messages_emptied"),
        ("Taken back from the queue", "cancelled"),
        ("What the person wrote", "inbound"),
        ("Files", "files"),
        ("Contacts, with conversations", "contacts"),
        ("Refused requests", "refused_requests"),
        ("Parts of webhooks", "webhook_parts"),
        ("Ids", "ids"),
        ("Entries of the suppression list that are a hash now, or gone", "suppressions"),
    ];
    let counts: Vec<(&'static str, String)> = named
        .into_iter()
        .filter(|(_, word)| count(word) > 0)
        .map(|(name, word)| (name, thousands(count(word))))
        .collect();
    let (busy, shells) = (count("messages_being_sent") > 0, count("messages_emptied") > 0);
    let wrong = match &erasure.end {
        Some(ErasureEnd::Stopped(why)) => Some(sentence(why)),
        Some(ErasureEnd::Done(_)) | None => None,
    };
    ErasurePart {
        key: erasure.key,
        row: row(&erasure),
        open: erasure.end.is_none(),
        left: erasure.abandoned,
        percent: (erasure.share * 100.0) as u8,
        nothing: counts.is_empty() && !busy,
        counts,
        busy,
        shells,
        wrong,
    }
}

impl Found {
    fn words(&self) -> String {
        if self.done { String::new() } else { format!("{} % looked through", self.percent) }
    }
}

impl Page {
    fn recent(&self) -> String {
        counted(self.erasures.len() as u64, "erasure", "erasures")
    }
}
