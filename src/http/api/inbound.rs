//! What people wrote, with the file that came with it and what the platform answered.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller, account_named,
    messages::{sender_named, time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::{
        callback::EventDetail,
        inbound::KINDS,
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        directory::Snapshot,
        inbound::{self, File, Inbound, Telling, Wanted},
        masking,
    },
    store::inbound::FoundInbound,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InboundQuery {
    /// An account's id.
    account: Option<String>,
    /// A business number.
    number: Option<String>,
    /// Only what answers a message of ours.
    answers: Option<bool>,
    /// Only what answers a message of this campaign: part 2 of the msgId.
    campaign: Option<String>,
    /// The person's number: whole, or with `personal:read` its last five digits or more.
    phone: Option<String>,
    /// text, button, list_reply, flow_reply, location, image, video, audio, voice, document, sticker, contacts, reaction, order,
    /// number_changed, unsupported or other.
    kind: Option<String>,
    /// Stands in what was written, whatever the case; needs `personal:read`.
    text: Option<String>,
    /// Heard at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Heard before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
    /// Messages on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of what people wrote, the newest first.
#[derive(Serialize, ToSchema)]
pub struct InboundList {
    messages: Vec<InboundEntry>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one: a search looks back
    /// through time for a tenth of a second and no longer.
    #[schema(example = "1795000000194-1-1234")]
    next: Option<String>,
}

/// What a person wrote. Without `personal:read` the number is masked, and there are no words, no file and no entry.
#[derive(Serialize, ToSchema)]
pub struct InboundEntry {
    /// In the account's log.
    #[schema(example = 1234)]
    place: i64,
    #[schema(example = "acme")]
    account: Option<String>,
    #[schema(example = "+918880110022")]
    number: Option<String>,
    /// None: the person hides the number.
    #[schema(example = "+919876500001")]
    person: Option<String>,
    #[schema(example = "text")]
    kind: String,
    /// What was written, line by line.
    #[schema(example = json!(["Thank you!"]))]
    words: Vec<String>,
    file: Option<InboundFile>,
    /// Why it cannot be read.
    unreadable: Option<String>,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    heard_at: String,
    written_at: String,
    /// Our id of the message that it answers.
    #[schema(example = "msg_06xtcv2j80000")]
    answers: Option<String>,
    #[schema(example = "7|1790000000|20261120|7|0")]
    answers_platform_message_id: Option<String>,
    /// None: no callback URL hears of it.
    told: Option<InboundTold>,
    /// That the person has stopped marketing messages, or resumed them.
    wish: Option<InboundWish>,
    /// The provider's entry as it came, as text.
    entry: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct InboundFile {
    #[schema(example = "image")]
    kind: String,
    #[schema(example = "image/jpeg")]
    mime_type: Option<String>,
    #[schema(example = 52311)]
    size_bytes: Option<i64>,
    /// pending, stored or failed.
    #[schema(example = "stored")]
    state: String,
    /// Where to fetch it from this server; the link ends with the file.
    path: String,
}

/// What the platform knows of it.
#[derive(Serialize, ToSchema)]
pub struct InboundTold {
    /// The callback URL; `/api/v1/callback-urls/{id}/events/{place}` has the payload and every try.
    #[schema(example = 3)]
    callback_url: i32,
    /// owed, delivered, dead or not_relayed.
    #[schema(example = "delivered")]
    state: String,
    /// Why it was left behind.
    reason: Option<String>,
    /// When it was last in a request.
    at: Option<String>,
    #[schema(example = 200)]
    http_status: Option<i16>,
    #[schema(example = 84)]
    took_ms: Option<i32>,
}

#[derive(Serialize, ToSchema)]
pub struct InboundWish {
    /// Marketing messages are not sent any more.
    stopped: bool,
    since: String,
}

/// What people wrote.
#[utoipa::path(
    get, path = "/api/v1/inbound", tag = "messages", operation_id = "list_inbound", params(InboundQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of what people wrote, the newest first", body = InboundList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `text` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<InboundQuery>,
) -> Result<Json<InboundList>, Problem> {
    let limit = page_size(query.limit)?;
    let snapshot = parts.directory.snapshot();
    let wanted = wanted(&snapshot, query.into_inner())?;
    let FoundInbound { found, next } =
        inbound::list(&parts.store, &snapshot, &parts.media.links, &caller.0, (&wanted, limit)).await?;
    Ok(Json(InboundList {
        messages: found.iter().map(|inbound| entry(&snapshot, &caller.0, inbound)).collect(),
        next: next.map(|next| next.to_string()),
    }))
}

fn wanted(snapshot: &Snapshot, query: InboundQuery) -> Result<Wanted, Problem> {
    let before =
        query.before.as_deref().map(|text| text.parse().map_err(|why: String| Problem::of_field("before", why)));
    Ok(Wanted {
        account: account_named(snapshot, query.account.as_deref())?,
        sender: sender_named(snapshot, query.number.as_deref())?,
        answers: query.answers.unwrap_or_default(),
        campaign: query.campaign.unwrap_or_default(),
        phone: query.phone.unwrap_or_default(),
        kind: word("kind", query.kind.as_deref(), &KINDS, |kind| kind)?,
        text: query.text.unwrap_or_default(),
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: before.transpose()?,
    })
}

fn entry(snapshot: &Snapshot, actor: &Actor, inbound: &Inbound) -> InboundEntry {
    let whole = actor.may(Permission::ReadPersonal);
    let message = inbound.message();
    let unreadable = match &inbound.event.detail {
        EventDetail::Unreadable { why } => Some(masking::text(actor, why)),
        EventDetail::Inbound(_)
        | EventDetail::Status { .. }
        | EventDetail::Notice(_)
        | EventDetail::Outgoing(_)
        | EventDetail::Person(_) => None,
    };
    InboundEntry {
        place: inbound.at.place.0,
        account: snapshot.account_by_key(inbound.at.account).map(|account| account.id.clone()),
        number: inbound.event.sender_number.as_ref().map(|number| number.as_e164().to_owned()),
        person: message.and_then(|message| message.from.as_ref()).map(|from| masking::number(actor, from)),
        kind: message.map_or("other", |message| message.content.kind()).to_owned(),
        words: message.filter(|_| whole).map(|message| message.content.words()).unwrap_or_default(),
        file: inbound.file.as_ref().filter(|_| whole).map(file),
        unreadable,
        heard_at: inbound.event.recorded_at.to_string(),
        written_at: inbound.event.occurred_at.to_string(),
        answers: inbound.event.message.map(|message| message.to_string()),
        answers_platform_message_id: inbound.event.platform_message_id.clone(),
        told: inbound.telling.as_ref().map(|telling| told(actor, telling)),
        wish: inbound.wish.as_ref().map(|wish| InboundWish { stopped: wish.stopped, since: wish.since.to_string() }),
        entry: inbound.entry.clone().filter(|_| whole),
    }
}

fn file(file: &File) -> InboundFile {
    InboundFile {
        kind: file.row.kind.as_str().to_owned(),
        mime_type: file.row.mime_type.clone(),
        size_bytes: file.row.size_bytes,
        state: file.row.state.as_str().to_owned(),
        path: file.path.clone(),
    }
}

fn told(actor: &Actor, telling: &Telling) -> InboundTold {
    let exchange = telling.exchange.as_ref();
    InboundTold {
        callback_url: telling.subscription.key.0,
        state: telling.standing.as_str().to_owned(),
        reason: telling.reason.as_ref().map(|reason| masking::text(actor, reason)),
        at: exchange.map(|exchange| exchange.started_at.to_string()),
        http_status: exchange.and_then(|exchange| exchange.http_status),
        took_ms: exchange.map(|exchange| exchange.took_ms),
    }
}
