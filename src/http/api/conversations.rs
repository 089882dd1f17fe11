//! Conversations: how things stand between a person and one of the numbers.

use actix_web::{
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Body, Caller, account_named,
    messages::{sender_named, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::{
        contact::Contact,
        conversation::{Conversation, ConversationId, ConversationState, Wish},
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        contacts::{self, Page, WantedConversations},
        directory::Snapshot,
        masking,
    },
    store::conversations::Talk,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConversationQuery {
    /// An account's id.
    account: Option<String>,
    /// A business number.
    number: Option<String>,
    /// open, expired, auto_bot, closed or blocked.
    state: Option<String>,
    /// `true`: only conversations that nobody attends to, beginning with who waits longest.
    unattended: Option<bool>,
    /// Conversations that have this tag.
    tag: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
    /// Conversations on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of conversations, those of who wrote last first.
#[derive(Serialize, ToSchema)]
pub struct ConversationList {
    conversations: Vec<ConversationEntry>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    #[schema(example = "1795000000194-79413761")]
    next: Option<String>,
}

/// A person and one of our numbers. Without `personal:read` the person's number is masked, and the name is left out.
#[derive(Serialize, ToSchema)]
pub struct ConversationEntry {
    #[schema(example = "cnv_06xtcv2j80001")]
    id: String,
    #[schema(example = "acme")]
    account: Option<String>,
    #[schema(example = "+918880110022")]
    number: Option<String>,
    #[schema(example = "con_06xtcv2j80000")]
    contact: String,
    #[schema(example = "+919876500001")]
    phone: Option<String>,
    #[schema(example = "Asha")]
    name: Option<String>,
    /// open, expired (the person can not be answered freely any more), auto_bot (nothing but automatic replies answered), closed or
    /// blocked.
    #[schema(example = "open")]
    state: String,
    #[schema(example = json!(["refund"]))]
    tags: Vec<String>,
    /// When it was opened last.
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    opened_at: String,
    last_inbound_at: String,
    /// Until when the person can be answered freely.
    window_ends_at: String,
    /// Something that the person wrote and nobody answered, since when.
    waiting_since: Option<String>,
    /// It waited too long, or was answered automatically.
    unattended_since: Option<String>,
    /// When somebody of the account answered last since it was opened.
    answered_at: Option<String>,
}

/// What is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationTags {
    #[serde(default)]
    #[schema(example = json!(["refund"]))]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConversationWish {
    Close,
    Reopen,
    Block,
}

/// How things stand with those who wrote.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "contacts", operation_id = "list_conversations", params(ConversationQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of conversations", body = ConversationList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<ConversationQuery>,
) -> Result<Json<ConversationList>, Problem> {
    let limit = page_size(query.limit)?;
    let snapshot = parts.directory.snapshot();
    let query = query.into_inner();
    let wanted = WantedConversations {
        account: account_named(&snapshot, query.account.as_deref())?,
        sender: sender_named(&snapshot, query.number.as_deref())?,
        state: word("state", query.state.as_deref(), &ConversationState::ALL, ConversationState::as_str)?,
        unattended: query.unattended.unwrap_or_default(),
        tag: query.tag.unwrap_or_default(),
        before: query.before,
    };
    let Page { found, next } = contacts::conversations(&parts.store, &caller.0, (&wanted, limit)).await?;
    let entries = found.iter().map(|talk| told(&snapshot, &caller.0, talk)).collect();
    Ok(Json(ConversationList { conversations: entries, next }))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", tag = "contacts", operation_id = "show_conversation", security(("token" = [])),
    params(("id" = String, Path, description = "The conversation's id", example = "cnv_06xtcv2j80001")),
    responses(
        (status = 200, description = "The conversation", body = ConversationEntry),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<ConversationEntry>, Problem> {
    let talk = contacts::conversation(&parts.store, &caller.0, named(&id)?).await?;
    Ok(Json(told(&parts.directory.snapshot(), &caller.0, &talk)))
}

/// Give tags and take them.
#[utoipa::path(
    patch, path = "/api/v1/conversations/{id}", tag = "contacts", operation_id = "tag_conversation", request_body = ConversationTags, security(("token" = [])),
    params(("id" = String, Path, description = "The conversation's id", example = "cnv_06xtcv2j80001")),
    responses(
        (status = 200, description = "The conversation as it is now", body = ConversationEntry),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scopes contacts:manage and messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn tag(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    request: Body<ConversationTags>,
) -> Result<Json<ConversationEntry>, Problem> {
    let changed = (request.add_tags.as_slice(), request.remove_tags.as_slice());
    let talk = contacts::tag_conversation(&parts.store, &caller.0, named(&id)?, changed).await?;
    Ok(Json(told(&parts.directory.snapshot(), &caller.0, &talk)))
}

/// Close a conversation, open it again, or note that the person is blocked.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/{wish}", tag = "contacts", operation_id = "decide_conversation", security(("token" = [])),
    params(
        ("id" = String, Path, description = "The conversation's id", example = "cnv_06xtcv2j80001"),
        ("wish" = inline(ConversationWish), Path, description = "close: it is done; reopen: it is not, as long as the person can be answered freely; block: WhatsApp is told nothing. The next message of the person opens it again.", example = "close"),
    ),
    responses(
        (status = 200, description = "The conversation as it is now", body = ConversationEntry),
        (status = 403, description = "Needs the scopes contacts:manage and messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "To reopen: the person can not be answered freely any more", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn decide(
    parts: Data<Parts>,
    caller: Caller,
    path: Path<(String, ConversationWish)>,
) -> Result<Json<ConversationEntry>, Problem> {
    let (id, wish) = path.into_inner();
    let wish = match wish {
        ConversationWish::Close => Wish::Close,
        ConversationWish::Reopen => Wish::Reopen,
        ConversationWish::Block => Wish::Block,
    };
    let talk = contacts::decide(&parts.store, &caller.0, named(&id)?, wish).await?;
    Ok(Json(told(&parts.directory.snapshot(), &caller.0, &talk)))
}

fn named(id: &str) -> Result<ConversationId, Problem> {
    id.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("{id} is no conversation's id")))
}

fn told(snapshot: &Snapshot, actor: &Actor, talk: &Talk) -> ConversationEntry {
    ConversationEntry::of(snapshot, actor, &talk.conversation, &talk.contact)
}

impl ConversationEntry {
    pub(super) fn of(snapshot: &Snapshot, actor: &Actor, talk: &Conversation, contact: &Contact) -> Self {
        Self {
            id: talk.id.to_string(),
            account: snapshot.account_by_key(talk.account).map(|account| account.id.clone()),
            number: snapshot.sender(talk.sender).map(|sender| sender.number.as_e164().to_owned()),
            contact: talk.contact.to_string(),
            phone: contact.phone.as_ref().map(|phone| masking::number(actor, phone)),
            name: contact.name.clone().filter(|_| actor.may(Permission::ReadPersonal)),
            state: talk.state.as_str().to_owned(),
            tags: talk.tags.to_vec(),
            opened_at: talk.opened_at.to_string(),
            last_inbound_at: talk.last_inbound_at.to_string(),
            window_ends_at: talk.window_ends_at.to_string(),
            waiting_since: talk.waiting_since.map(|at| at.to_string()),
            unattended_since: talk.unattended_since.map(|at| at.to_string()),
            answered_at: talk.answered_at.map(|at| at.to_string()),
        }
    }
}
