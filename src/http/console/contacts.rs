//! Those who wrote: who they are, their tags, what they want, and how the conversations with them stand.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path, ServiceConfig, get, post},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    conversations::{TalkRow, row},
    frame::{long_time, short_time},
    inbound,
    messages::{self, Status},
    page, see_other,
};
use crate::{
    domain::{
        contact::{ContactId, NAME_CHARS_MAX, TAG_CHARS_MAX},
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        contacts::{self, Changes, Known, WantedContacts, who},
        directory::Snapshot,
        operators::Refusal,
    },
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/contacts";

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/contacts", get().to(list))
        .route("/contacts/{id}", get().to(show))
        .route("/contacts/{id}", post().to(change));
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SearchForm {
    text: String,
    account: String,
    tag: String,
    /// `next` of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/contacts.html")]
struct ListPage {
    frame: Frame,
    form: SearchForm,
    sees_all: bool,
    searched: bool,
    accounts: Vec<String>,
    wrong: Option<String>,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    href: String,
    who: String,
    name: Option<String>,
    account: String,
    tags: Vec<String>,
    wish: Option<Status>,
    last_seen: String,
}

#[derive(Template)]
#[template(path = "console/contact.html")]
struct ContactPage {
    frame: Frame,
    path: String,
    who: String,
    name: Option<String>,
    account: String,
    wish: Status,
    opted_out: bool,
    tags: Vec<String>,
    facts: Vec<(&'static str, String)>,
    talks: Vec<TalkRow>,
    /// Of the number, where it is seen.
    links: Option<Links>,
    may_change: bool,
    name_chars_max: usize,
    tag_chars_max: usize,
}

struct Links {
    messages: String,
    inbound: String,
    may_erase: bool,
}

/// What one button of the page sends; what is not there stays.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ChangeForm {
    name: Option<String>,
    add: Option<String>,
    remove: Option<String>,
    opt_in: Option<String>,
}

impl SearchForm {
    fn wanted(&self, snapshot: &Snapshot) -> Result<WantedContacts, Wrong> {
        let account = asked::account(snapshot, &self.account)?;
        Ok(WantedContacts {
            account,
            text: self.text.clone(),
            tag: self.tag.clone(),
            before: asked::some(&self.before),
        })
    }

    fn at(&self, before: &str) -> String {
        asked::address(
            PATH,
            [("text", &*self.text), ("account", &self.account), ("tag", &self.tag), ("before", before)],
        )
    }
}

/// `GET /console/contacts`
async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<SearchForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let actor = &visitor.actor;
    let wanted = form.wanted(&snapshot);
    let (found, next, wrong) = match &wanted {
        Ok(wanted) => match contacts::list(&parts.store, &snapshot, actor, (wanted, LINES_PER_PAGE)).await {
            Ok(found) => (found.found, found.next, None),
            Err(Refusal::Invalid { field, text }) => (vec![], None, Some(Wrong::of(field, text).said())),
            Err(refusal) => return Err(refusal.into()),
        },
        Err(wrong) => (vec![], None, Some(wrong.said())),
    };
    page(&ListPage {
        frame: Frame::new(&request, &visitor, "Contacts", PATH),
        sees_all: actor.may(Permission::ReadPersonal),
        searched: !(form.text.trim().is_empty() && form.account.is_empty() && form.tag.trim().is_empty()),
        accounts: snapshot.account_ids(),
        wrong,
        rows: found.iter().map(|known| list_row(&snapshot, actor, known)).collect(),
        next: next.map(|next| form.at(&next)),
        form,
    })
}

fn list_row(snapshot: &Snapshot, actor: &Actor, known: &Known) -> Row {
    let contact = &known.contact;
    Row {
        href: format!("{PATH}/{}", contact.id),
        who: who(actor, contact),
        name: contact.name.clone().filter(|_| actor.may(Permission::ReadPersonal)),
        account: snapshot.account_by_key(contact.account).map_or("?", |account| account.id.as_str()).to_owned(),
        tags: contact.tags.to_vec(),
        wish: known.opt_in.map(|_| wish(known.opt_in)),
        last_seen: short_time(contact.last_seen),
    }
}

fn wish(opt_in: Option<bool>) -> Status {
    match opt_in {
        Some(true) => Status { name: "opted in", tone: "good" },
        Some(false) => Status { name: "opted out", tone: "warn" },
        None => Status { name: "said nothing about marketing", tone: "plain" },
    }
}

/// `GET /console/contacts/{id}`
async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let snapshot = parts.directory.snapshot();
    let known = contacts::one(&parts.store, actor, named(&id)?).await?;
    let talks = contacts::conversations_with(&parts.store, actor, known.contact.id).await?;
    let whole = actor.may(Permission::ReadPersonal);
    let contact = &known.contact;
    let mut facts =
        vec![("First wrote (UTC)", long_time(contact.first_seen)), ("Last wrote (UTC)", long_time(contact.last_seen))];
    if let Some(id) = contact.user_id.clone().filter(|_| whole && contact.phone.is_some()) {
        facts.push(("WhatsApp’s id of the person", id));
    }
    let person = who(actor, contact);
    let links = contact.phone.as_ref().filter(|_| whole).map(|phone| Links {
        messages: asked::address(messages::PATH, [("q", phone.as_e164())]),
        inbound: asked::address(inbound::PATH, [("phone", phone.as_e164())]),
        may_erase: actor.may(Permission::ManagePersons),
    });
    page(&ContactPage {
        frame: Frame::new(&request, &visitor, format!("Contact {person}"), PATH),
        path: format!("{PATH}/{}", contact.id),
        who: person,
        name: contact.name.clone().filter(|_| whole),
        account: snapshot.account_by_key(contact.account).map_or("?", |account| account.id.as_str()).to_owned(),
        wish: wish(known.opt_in),
        opted_out: known.opt_in == Some(false),
        tags: contact.tags.to_vec(),
        facts,
        talks: talks.iter().map(|talk| row(&snapshot, actor, talk, contact)).collect(),
        links,
        may_change: actor.may(Permission::ManageContacts),
        name_chars_max: NAME_CHARS_MAX,
        tag_chars_max: TAG_CHARS_MAX,
    })
}

/// `POST /console/contacts/{id}`
async fn change(
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    form: Form<ChangeForm>,
) -> Result<HttpResponse, Trouble> {
    let ChangeForm { name, add, remove, opt_in } = form.into_inner();
    let changes = Changes {
        name,
        add_tags: add.into_iter().collect(),
        remove_tags: remove.into_iter().collect(),
        opt_in: opt_in.map(|wants| wants == "yes"),
    };
    let known = contacts::change(&parts.store, &visitor.actor, named(&id)?, changes).await?;
    Ok(see_other(&format!("{PATH}/{}?done=contact", known.contact.id)))
}

fn named(id: &str) -> Result<ContactId, Trouble> {
    id.parse().map_err(|_| Refusal::NotFound(format!("{id} is no contact’s id")).into())
}
