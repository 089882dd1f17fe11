//! One message and all that happened to it; sending it again.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

pub(super) use super::json::pretty;
use super::{
    Frame, Trouble, Visitor, accounts, asked, callbacks, campaigns, connections,
    explanation::{ProviderPart, provider_part},
    frame::{long_time, plain_times, price_words, sentence},
    inbound,
    messages::{self, Status, content_name},
    numbers, page, see_other, templates,
};
use crate::{
    clock,
    domain::{
        account::{Account, Sender},
        callback::EventDetail,
        ids::Place,
        operator::{Actor, Permission},
        outbound::SendState,
        resend::Resend,
        status::DeliveryStatus,
        template::resolve,
    },
    http::Parts,
    platforms,
    services::{
        masking,
        operators::{Refusal, require},
        relay::readable,
        resend::{self, NotResent},
        search,
        story::{self, EndedAt, Exchanged, Line, Told, Wait},
    },
    store::{configuration::Configuration, inbound::InboundPlace, story::StoredMessage},
};

#[derive(Template)]
#[template(path = "console/message.html")]
struct Page {
    frame: Frame,
    id: String,
    story: Story,
}

/// Something that it waits for.
pub(super) struct Waiting {
    text: String,
    /// The page on which a person ends that, and what it is called.
    end: Option<(String, &'static str)>,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/message_story.html")]
pub(super) struct Story {
    id: String,
    /// More will happen to it soon.
    open: bool,
    /// The test bench's page brings it anew with what was said to the provider.
    within_test: bool,
    resend: Option<ResendPart>,
    status: Status,
    failure: Option<FailurePart>,
    waits: Vec<Waiting>,
    note: Option<String>,
    to: Linked,
    number: Linked,
    account: Linked,
    campaign: Option<Linked>,
    template: Linked,
    /// Of its template; of none, what it is instead.
    category: String,
    accepted_at: String,
    accepted_iso: String,
    attempts: i16,
    /// Under which heading of the price list it falls.
    price: Option<String>,
    /// None of a test: all have the same.
    platform_message_id: Option<String>,
    is_test: bool,
    provider_message_id: String,
    lines: Vec<LinePart>,
    /// As it came; for those who may see it.
    request: Option<String>,
    /// The request to the provider, built again; for those who may see it.
    provider: Option<ProviderPart>,
    /// Whether it is what was sent, where that is known.
    is_as_sent: Option<bool>,
}

/// A name, and the page of what it names, where there is one.
struct Linked {
    name: String,
    href: Option<String>,
}

struct FailurePart {
    heading: String,
    text: String,
}

struct LinePart {
    tone: &'static str,
    time: String,
    what: String,
    below: Vec<String>,
    /// What callback URLs were told, and where each stands.
    told: Vec<(String, String)>,
    reply: Option<ReplyPart>,
    entry: Option<String>,
    said: Vec<SaidPart>,
}

/// What was said to the provider in a try, and what it answered.
struct SaidPart {
    request: Option<String>,
    answered: String,
    answer: String,
}

/// What somebody wrote.
struct ReplyPart {
    /// Line by line; what stands there instead for those who may not see it.
    words: Vec<String>,
    unread: Option<&'static str>,
    /// Among all that people wrote.
    href: String,
}

struct ResendPart {
    csrf: String,
    never: Option<&'static str>,
    risk: Option<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct ResendForm {
    #[serde(default)]
    reason: String,
    force: Option<String>,
}

/// `GET /console/messages/{id}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    let story = whole_story(&parts, &visitor, &message).await?;
    let frame = Frame::new(&request, &visitor, message.id.to_string(), "/console/messages");
    page(&Page { frame, id: message.id.to_string(), story })
}

/// `GET /console/messages/{id}/story`
pub(super) async fn story(
    parts: Data<Parts>,
    visitor: Visitor,
    id: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    page(&whole_story(&parts, &visitor, &message).await?)
}

/// With what somebody may do about it: that changes with the message.
async fn whole_story(parts: &Parts, visitor: &Visitor, message: &StoredMessage) -> Result<Story, Trouble> {
    let resend = visitor.actor.may(Permission::ResendMessages).then(|| {
        let (never, risk) = match resend::judge(message) {
            Resend::Fine => (None, None),
            Resend::Risky(why) => (None, Some(why)),
            Resend::Never(why) => (Some(why), None),
        };
        ResendPart { csrf: visitor.csrf.clone(), never, risk }
    });
    Ok(Story { resend, ..gather(parts, &visitor.actor, message).await? })
}

/// `POST /console/messages/{id}/resend`
pub(super) async fn resend(
    parts: Data<Parts>,
    visitor: Visitor,
    id: web::Path<String>,
    form: Form<ResendForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ResendMessages)?;
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    let configuration = parts.store.load_configuration().await?;
    let wanted = (form.reason.as_str(), form.force.is_some());
    match resend::resend(&parts.store, &configuration, &visitor.actor, &message, wanted).await {
        Ok(_) => Ok(see_other(&format!("/console/messages/{}?done=resent", message.id))),
        Err(NotResent::Store(error)) => Err(error.into()),
        Err(NotResent::Risky(why)) => {
            let text = format!("not sent again: {why}. Go back and tick the box if you mean it all the same");
            Err(Refusal::Conflict(text).into())
        }
        Err(not) => Err(Refusal::Conflict(format!("{} is not sent again: {not}", message.id)).into()),
    }
}

fn waiting(actor: &Actor, wait: &Wait) -> Waiting {
    let of = wait.end.as_ref().and_then(|end| end.of.as_ref());
    let end = of.map(|of| match of {
        EndedAt::Connection(id) => (format!("{}/{id}", connections::PATH), "Release it"),
        EndedAt::Number(number) => (numbers::path_of(number), "Release it"),
        EndedAt::Token(id) => (format!("{}/{id}/edit", connections::PATH), "Enter another"),
        EndedAt::Campaign { account, campaign } => (campaigns::path_of(account, campaign), "Look at its campaign"),
    });
    // Where no page does it, the command is better than nothing.
    let text = if end.is_some() { wait.text.clone() } else { wait.to_string() };
    Waiting { text: masking::text(actor, &text), end }
}

impl Story {
    /// As a part of the test bench's page, which sees to it that it comes anew, and shows what was said by itself.
    pub(super) fn within_test(self) -> Self {
        let lines = self.lines.into_iter().map(|line| LinePart { said: vec![], ..line }).collect();
        Self { within_test: true, lines, ..self }
    }
}

pub(super) async fn gather(parts: &Parts, actor: &Actor, message: &StoredMessage) -> Result<Story, Trouble> {
    let whole = actor.may(Permission::ReadPersonal);
    let configuration: Configuration = parts.store.load_configuration().await?;
    let account = configuration.account_by_key(message.account);
    let platform = account.and_then(|account| platforms::find(&account.platform));
    let is_test = platform.is_some_and(|platform| platform.is_test_id(&message.platform_message_id));
    let sender = configuration.sender_by_key(message.sender);
    let here = parts.directory.snapshot();
    let campaign = account.and_then(|account| story::campaign_of(account, message));
    let seen = |text: String| masking::text(actor, &text);
    let lines = story::lines(&parts.store, &configuration, message, whole).await?;
    let waits = story::reasons(&parts.store, &configuration, message, clock::now()).await?;
    let note = story::rendering_note(&parts.store, &configuration, message).await?;
    let provider_message_id = message.provider_message_id.as_ref().map(|id| masking::provider_id(actor, id));
    // Why it waits is told apart.
    let failed = message.failure.as_ref().filter(|_| waits.is_empty());
    let failure = failed.map(|failure| {
        let code = failure.code.map_or_else(String::new, |code| format!(", error {code}"));
        let heading = sentence(&format!("{}{code}", failure.reason.as_str().replace('_', " ")));
        FailurePart { heading, text: seen(failure.text.clone()) }
    });
    let rebuilt = if whole { story::rebuilt(&parts.acceptor, message).await? } else { None };
    Ok(Story {
        id: message.id.to_string(),
        open: is_open(message),
        within_test: false,
        resend: None,
        status: Status::of(message.state, message.delivery),
        failure,
        waits: waits.iter().map(|wait| waiting(actor, wait)).collect(),
        note: note.map(seen),
        to: Linked {
            name: masking::number(actor, &message.recipient),
            href: whole.then(|| asked::address(messages::PATH, [("q", message.recipient.as_e164())])),
        },
        number: Linked {
            name: sender.map_or("?", |sender| sender.number.as_e164()).to_owned(),
            href: here
                .senders()
                .find(|sender| sender.key == message.sender)
                .map(|it| numbers::path_of(it.number.as_e164())),
        },
        account: Linked {
            name: account.map_or("?", |account| account.id.as_str()).to_owned(),
            href: account.filter(|it| here.account(&it.id).is_some()).map(|it| format!("{}/{}", accounts::PATH, it.id)),
        },
        campaign: campaign
            .zip(account)
            .map(|(name, account)| Linked { href: Some(campaigns::path_of(&account.id, &name)), name }),
        template: Linked { name: content_name(message), href: template_href(parts, account, sender, message) },
        category: message.category.as_str().replace('_', " "),
        accepted_at: long_time(message.id.made_at()),
        accepted_iso: message.id.made_at().to_string(),
        attempts: message.attempts,
        price: message.price.map(|price| {
            let billed = if price.billable { "billed" } else { "free" };
            format!("{}, {billed}", price_words(price.category))
        }),
        is_test,
        platform_message_id: (!is_test).then(|| message.platform_message_id.clone()),
        provider_message_id: provider_message_id.unwrap_or_else(|| "none".to_owned()),
        lines: line_parts(parts, actor, account.map_or("", |account| &account.id), lines).await?,
        request: whole.then(|| pretty(&message.request)),
        is_as_sent: rebuilt.as_ref().and_then(|rebuilt| rebuilt.is_as_sent),
        provider: rebuilt.map(|rebuilt| provider_part(rebuilt.request)),
    })
}

/// The page of the template that is meant, while its provider lists it.
fn template_href(
    parts: &Parts,
    account: Option<&Account>,
    sender: Option<&Sender>,
    message: &StoredMessage,
) -> Option<String> {
    let ((account, sender), (name, language)) = (account.zip(sender)?, message.template.as_ref()?);
    let listed = parts.directory.templates(sender);
    let resolved = resolve(&listed, account.policy.template_meant(name), language).ok()?;
    Some(templates::path_of([
        &sender.connection.id,
        &sender.provider_account_id,
        &resolved.template.name,
        &resolved.template.language,
    ]))
}

async fn line_parts(parts: &Parts, actor: &Actor, account: &str, lines: Vec<Line>) -> Result<Vec<LinePart>, Trouble> {
    let mut shown = Vec::with_capacity(lines.len());
    for line in lines {
        let reply = match &line.reply {
            Some(at) => Some(reply_part(parts, actor, account, at).await?),
            None => None,
        };
        shown.push(LinePart { reply, ..line_part(actor, line) });
    }
    Ok(shown)
}

async fn reply_part(parts: &Parts, actor: &Actor, account: &str, at: &InboundPlace) -> Result<ReplyPart, Trouble> {
    let whole = actor.may(Permission::ReadPersonal);
    let found = parts.store.events_at(at.account, &[at.place]).await?.pop().filter(|_| whole);
    let event = found.map(|event| readable(&parts.directory.snapshot(), &parts.media.links, event));
    let words = match event.map(|event| event.detail) {
        Some(EventDetail::Inbound(message)) => message.content.words(),
        Some(_) | None => vec![],
    };
    // A list that begins before the next place begins with this one.
    let before = InboundPlace { place: Place(at.place.0 + 1), ..*at };
    Ok(ReplyPart {
        words,
        unread: (!whole).then_some("Your role does not see what people write."),
        href: asked::address(inbound::PATH, [("account", account), ("before", &*before.to_string())]),
    })
}

fn line_part(actor: &Actor, line: Line) -> LinePart {
    let whole = actor.may(Permission::ReadPersonal);
    LinePart {
        tone: line.tone.as_str(),
        time: line.time.replace('T', " ").replace('Z', ""),
        what: plain_times(&masking::text(actor, &line.what)).into_owned(),
        below: line.below.iter().map(|below| plain_times(&masking::text(actor, below)).into_owned()).collect(),
        told: line.told.iter().map(|told| told_part(actor, told)).collect(),
        reply: None,
        entry: line.entry.filter(|_| whole).map(|entry| pretty(&entry)),
        said: line.said.into_iter().filter(|_| whole).map(said_part).collect(),
    }
}

fn said_part(said: Exchanged) -> SaidPart {
    let answered = match said.http_status {
        Some(status) => format!("WhatsApp’s answer, HTTP {status}"),
        None if said.request.is_some() => "No answer".to_owned(),
        None => "WhatsApp’s answer".to_owned(),
    };
    SaidPart { request: said.request.map(|request| pretty(&request)), answered, answer: pretty(&said.answer) }
}

fn told_part(actor: &Actor, told: &Told) -> (String, String) {
    let text = plain_times(&masking::text(actor, &told.text)).into_owned();
    (text, format!("{}/{}/events/{}", callbacks::PATH, told.url, told.place.0))
}

/// Whether it is worth looking again in a few seconds.
pub(super) fn is_open(message: &StoredMessage) -> bool {
    match message.state {
        SendState::Queued | SendState::Sending | SendState::Unknown => true,
        SendState::Submitted => {
            matches!(message.delivery, None | Some(DeliveryStatus::Sent | DeliveryStatus::Delivered))
        }
        SendState::Rejected | SendState::Expired | SendState::Cancelled => false,
    }
}
