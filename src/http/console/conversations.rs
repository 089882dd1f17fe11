//! How things stand with those who wrote, those first whom nobody attends to.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path, ServiceConfig, get, post},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callbacks::Choice,
    contacts,
    frame::short_time,
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        contact::Contact,
        conversation::{Conversation, ConversationId, ConversationState, Wish},
        operator::{Actor, Permission},
        words::ago,
    },
    http::Parts,
    services::{
        contacts::{self as people, WantedConversations, who},
        directory::Snapshot,
        operators::Refusal,
    },
    store::conversations::Talk,
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/conversations";

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/conversations", get().to(list)).route("/conversations/{id}", post().to(decide));
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SearchForm {
    state: String,
    account: String,
    number: String,
    tag: String,
    /// `next` of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/conversations.html")]
struct ListPage {
    frame: Frame,
    form: SearchForm,
    states: Vec<Choice>,
    accounts: Vec<String>,
    numbers: Vec<String>,
    searched: bool,
    wrong: Option<String>,
    /// Nobody attends to these, who waits longest first.
    unattended: TalkList,
    talks: TalkList,
    next: Option<String>,
}

/// Some of them, one below the other.
#[derive(Template)]
#[template(path = "console/conversation_rows.html")]
struct TalkList {
    rows: Vec<TalkRow>,
}

/// One conversation, in any list.
pub(super) struct TalkRow {
    pub(super) href: String,
    pub(super) action: String,
    pub(super) who: String,
    pub(super) name: Option<String>,
    pub(super) number: String,
    pub(super) account: String,
    pub(super) state: Status,
    /// How long nobody attends to it.
    pub(super) unattended: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) last_inbound: String,
    /// Until when the person can be answered freely, while that is so.
    pub(super) window: Option<String>,
    /// What can be done about it: the word of the form, and the button.
    pub(super) ways: Vec<(&'static str, &'static str)>,
}

impl SearchForm {
    fn wanted(&self, snapshot: &Snapshot) -> Result<WantedConversations, Wrong> {
        Ok(WantedConversations {
            account: asked::account(snapshot, &self.account)?,
            sender: asked::sender(snapshot, &self.number)?,
            state: asked::one_of("state", &self.state, &ConversationState::ALL, ConversationState::as_str)?,
            unattended: false,
            tag: self.tag.clone(),
            before: asked::some(&self.before),
        })
    }

    fn fields(&self) -> [(&'static str, &str); 4] {
        [("state", &self.state), ("account", &self.account), ("number", &self.number), ("tag", &self.tag)]
    }

    fn at(&self, before: &str) -> String {
        asked::address(PATH, self.fields().into_iter().chain([("before", before)]))
    }
}

/// `GET /console/conversations`
async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<SearchForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let actor = &visitor.actor;
    let (wanted, wrong) = match form.wanted(&snapshot) {
        Ok(wanted) => (Some(wanted), None),
        Err(wrong) => (None, Some(wrong.said())),
    };
    let (mut unattended, mut talks, mut next) = (vec![], vec![], None);
    if let Some(wanted) = wanted {
        // Those whom nobody attends to stand above the first page, whatever else is looked for.
        if wanted.before.is_none() {
            let waiting = WantedConversations { unattended: true, ..wanted.clone() };
            unattended = people::conversations(&parts.store, actor, (&waiting, LINES_PER_PAGE)).await?.found;
        }
        match people::conversations(&parts.store, actor, (&wanted, LINES_PER_PAGE)).await {
            Ok(found) => (talks, next) = (found.found, found.next),
            Err(Refusal::Invalid { field, text }) => return Err(Wrong::of(field, text).into()),
            Err(refusal) => return Err(refusal.into()),
        }
        talks.retain(|talk| !unattended.iter().any(|one| one.conversation.id == talk.conversation.id));
    }
    let (next, searched) = (next.map(|next| form.at(&next)), form.fields().iter().any(|(_, value)| !value.is_empty()));
    let rows = |talks: &[Talk]| -> Vec<TalkRow> {
        talks.iter().map(|talk| row(&snapshot, actor, &talk.conversation, &talk.contact)).collect()
    };
    page(&ListPage {
        frame: Frame::new(&request, &visitor, "Conversations", PATH),
        states: ConversationState::ALL.map(|state| Choice { value: state.as_str(), name: status(state).name }).into(),
        accounts: snapshot.account_ids(),
        numbers: snapshot.business_numbers(),
        searched,
        wrong,
        unattended: TalkList { rows: rows(&unattended) },
        talks: TalkList { rows: rows(&talks) },
        next,
        form,
    })
}

pub(super) fn row(snapshot: &Snapshot, actor: &Actor, talk: &Conversation, contact: &Contact) -> TalkRow {
    let now = clock::now();
    let may_change = actor.may(Permission::ManageContacts);
    let can_answer = talk.window_ends_at > now;
    TalkRow {
        href: format!("{}/{}", contacts::PATH, contact.id),
        action: format!("{PATH}/{}", talk.id),
        who: who(actor, contact),
        name: contact.name.clone().filter(|_| actor.may(Permission::ReadPersonal)),
        number: snapshot.sender(talk.sender).map_or("?", |sender| sender.number.as_e164()).to_owned(),
        account: snapshot.account_by_key(talk.account).map_or("?", |account| account.id.as_str()).to_owned(),
        state: status(talk.state),
        unattended: talk.unattended_since.map(|since| ago(since, now)),
        tags: talk.tags.to_vec(),
        last_inbound: short_time(talk.last_inbound_at),
        window: Some(short_time(talk.window_ends_at)).filter(|_| can_answer),
        ways: if may_change { ways(talk.state, can_answer) } else { vec![] },
    }
}

fn ways(state: ConversationState, can_answer: bool) -> Vec<(&'static str, &'static str)> {
    let (close, block, reopen) = (("close", "Close"), ("block", "Block"), ("reopen", "Reopen"));
    match state {
        ConversationState::Open | ConversationState::AutoBot => vec![close, block],
        ConversationState::Expired => vec![close],
        ConversationState::Closed | ConversationState::Blocked if can_answer => vec![reopen],
        ConversationState::Closed | ConversationState::Blocked => vec![],
    }
}

fn status(state: ConversationState) -> Status {
    let (name, tone) = match state {
        ConversationState::Open => ("open", "good"),
        ConversationState::AutoBot => ("answered by machines", "warn"),
        ConversationState::Expired => ("expired", "plain"),
        ConversationState::Closed => ("closed", "plain"),
        ConversationState::Blocked => ("blocked", "bad"),
    };
    Status { name, tone }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DecideForm {
    what: String,
    add: Option<String>,
    remove: Option<String>,
}

/// `POST /console/conversations/{id}`
async fn decide(
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    form: Form<DecideForm>,
) -> Result<HttpResponse, Trouble> {
    let unknown = || Refusal::NotFound(format!("{id} is no conversation’s id"));
    let id: ConversationId = id.parse().map_err(|_| unknown())?;
    let actor = &visitor.actor;
    let DecideForm { what, add, remove } = form.into_inner();
    let wish = match what.as_str() {
        "close" => Some(Wish::Close),
        "block" => Some(Wish::Block),
        "reopen" => Some(Wish::Reopen),
        _ => None,
    };
    let talk = match wish {
        Some(wish) => people::decide(&parts.store, actor, id, wish).await?,
        None => {
            let (add, remove): (Vec<_>, Vec<_>) = (add.into_iter().collect(), remove.into_iter().collect());
            people::tag_conversation(&parts.store, actor, id, (&add, &remove)).await?
        }
    };
    Ok(see_other(&format!("{}/{}?done=conversation", contacts::PATH, talk.contact.id)))
}
