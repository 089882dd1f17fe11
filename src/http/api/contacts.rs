//! Contacts: who wrote to an account, with tags and what the person wants of marketing messages.

use actix_web::{
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Body, Caller, account_named, conversations::ConversationEntry, page_size, problem::Problem, query::Query};
use crate::{
    domain::{
        contact::ContactId,
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        contacts::{self, Changes, Known, Page, WantedContacts},
        directory::Snapshot,
        masking,
    },
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ContactQuery {
    /// An account's id.
    account: Option<String>,
    /// A person's whole number with `+`; with `personal:read` also a part of a number or a name.
    text: Option<String>,
    /// Contacts that have this tag.
    tag: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
    /// Contacts on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of contacts, those who wrote last first.
#[derive(Serialize, ToSchema)]
pub struct ContactList {
    contacts: Vec<ContactEntry>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    #[schema(example = "1795000000194-79413760")]
    next: Option<String>,
}

/// Somebody who wrote. Without `personal:read` the number is masked, and name and id are left out.
#[derive(Serialize, ToSchema)]
pub struct ContactEntry {
    #[schema(example = "con_06xtcv2j80000")]
    id: String,
    #[schema(example = "acme")]
    account: Option<String>,
    /// None: the person hides the number.
    #[schema(example = "+919876500001")]
    phone: Option<String>,
    /// The provider's id of the person, when it has one.
    user_id: Option<String>,
    #[schema(example = "Asha")]
    name: Option<String>,
    #[schema(example = json!(["vip"]))]
    tags: Vec<String>,
    /// Whether the person wants marketing messages; none: nobody said.
    opt_in: Option<bool>,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    first_seen_at: String,
    last_seen_at: String,
}

/// A contact with its conversations.
#[derive(Serialize, ToSchema)]
pub struct ContactDetail {
    #[serde(flatten)]
    contact: ContactEntry,
    /// One for each number that the person wrote to.
    conversations: Vec<ConversationEntry>,
}

/// What is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactChange {
    /// Empty: that of the person's profile again, from the next message on.
    #[schema(example = "Asha K", max_length = 120)]
    name: Option<String>,
    #[serde(default)]
    #[schema(example = json!(["vip"]))]
    add_tags: Vec<String>,
    #[serde(default)]
    remove_tags: Vec<String>,
    /// An operator's word on marketing messages: `false` puts the person on the suppression list, `true` lifts all that is there.
    #[schema(example = true)]
    opt_in: Option<bool>,
}

/// Who wrote to the accounts.
#[utoipa::path(
    get, path = "/api/v1/contacts", tag = "contacts", operation_id = "list_contacts", params(ContactQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of contacts", body = ContactList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<ContactQuery>,
) -> Result<Json<ContactList>, Problem> {
    let limit = page_size(query.limit)?;
    let snapshot = parts.directory.snapshot();
    let query = query.into_inner();
    let wanted = WantedContacts {
        account: account_named(&snapshot, query.account.as_deref())?,
        text: query.text.unwrap_or_default(),
        tag: query.tag.unwrap_or_default(),
        before: query.before,
    };
    let Page { found, next } = contacts::list(&parts.store, &snapshot, &caller.0, (&wanted, limit)).await?;
    Ok(Json(ContactList { contacts: found.iter().map(|known| entry(&snapshot, &caller.0, known)).collect(), next }))
}

/// One of them.
#[utoipa::path(
    get, path = "/api/v1/contacts/{id}", tag = "contacts", operation_id = "show_contact", security(("token" = [])),
    params(("id" = String, Path, description = "The contact's id", example = "con_06xtcv2j80000")),
    responses(
        (status = 200, description = "The contact", body = ContactDetail),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such contact", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<ContactDetail>, Problem> {
    let id = named(&id)?;
    let known = contacts::one(&parts.store, &caller.0, id).await?;
    Ok(Json(detail(&parts, &caller.0, known).await?))
}

/// Change name, tags, or what the person wants.
#[utoipa::path(
    patch, path = "/api/v1/contacts/{id}", tag = "contacts", operation_id = "change_contact", request_body = ContactChange, security(("token" = [])),
    params(("id" = String, Path, description = "The contact's id", example = "con_06xtcv2j80000")),
    responses(
        (status = 200, description = "The contact as it is now", body = ContactDetail),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scopes contacts:manage and messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such contact", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    request: Body<ContactChange>,
) -> Result<Json<ContactDetail>, Problem> {
    let id = named(&id)?;
    let ContactChange { name, add_tags, remove_tags, opt_in } = request.into_inner();
    let changes = Changes { name, add_tags, remove_tags, opt_in };
    let known = contacts::change(&parts.store, &caller.0, id, changes).await?;
    Ok(Json(detail(&parts, &caller.0, known).await?))
}

fn named(id: &str) -> Result<ContactId, Problem> {
    id.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("{id} is no contact's id")))
}

async fn detail(parts: &Parts, actor: &Actor, known: Known) -> Result<ContactDetail, Problem> {
    let snapshot = parts.directory.snapshot();
    let talks = contacts::conversations_with(&parts.store, actor, known.contact.id).await?;
    let conversations = talks.iter().map(|talk| ConversationEntry::of(&snapshot, actor, talk, &known.contact));
    Ok(ContactDetail { conversations: conversations.collect(), contact: entry(&snapshot, actor, &known) })
}

fn entry(snapshot: &Snapshot, actor: &Actor, known: &Known) -> ContactEntry {
    let Known { contact, opt_in } = known;
    let whole = actor.may(Permission::ReadPersonal);
    ContactEntry {
        id: contact.id.to_string(),
        account: snapshot.account_by_key(contact.account).map(|account| account.id.clone()),
        phone: contact.phone.as_ref().map(|phone| masking::number(actor, phone)),
        user_id: contact.user_id.clone().filter(|_| whole),
        name: contact.name.clone().filter(|_| whole),
        tags: contact.tags.to_vec(),
        opt_in: *opt_in,
        first_seen_at: contact.first_seen.to_string(),
        last_seen_at: contact.last_seen.to_string(),
    }
}
