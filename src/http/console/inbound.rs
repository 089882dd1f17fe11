//! What people wrote, as a chat shows it, with what the platform was told of it.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callbacks::Choice,
    frame::{long_time, seconds, sentence, short_time, wants_part},
    message::pretty,
    messages::{NextPage, Status},
    page,
};
use crate::{
    domain::{
        callback::EventDetail,
        inbound::{InboundContent, InboundMessage, KINDS},
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        directory::Snapshot,
        inbound::{self, File, Inbound, Telling, Wanted, Wish},
        masking,
        operators::Refusal,
    },
    store::{inbound::FoundInbound, media::MediaState, told::Standing},
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/inbound";

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InboundForm {
    text: String,
    phone: String,
    kind: String,
    account: String,
    number: String,
    /// Not empty: only what answers a message of ours.
    answers: String,
    /// Only what answers a message of this campaign.
    campaign: String,
    since: String,
    until: String,
    /// The last message of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/inbound.html")]
struct Page {
    frame: Frame,
    form: InboundForm,
    /// Words can be looked for, and ends of numbers.
    sees_all: bool,
    kinds: Vec<Choice>,
    accounts: Vec<String>,
    numbers: Vec<String>,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/inbound_results.html")]
struct Results {
    wrong: Option<String>,
    searched: bool,
    rows: Vec<Row>,
    next: Option<NextPage>,
    is_first: bool,
}

/// The same without the list around it, for the end of one that is there.
#[derive(Template)]
#[template(path = "console/inbound_rows.html")]
struct MoreRows {
    rows: Vec<Row>,
    next: Option<NextPage>,
    is_first: bool,
}

struct Row {
    at: String,
    seconds: String,
    at_iso: String,
    from: String,
    /// All that this person wrote.
    from_href: Option<String>,
    number: String,
    account: String,
    /// What kind it is, when it is not a text.
    kind: Option<&'static str>,
    lines: Vec<String>,
    /// Why nothing can be read.
    unread: Option<String>,
    picture: Option<Picture>,
    link: Option<FileLink>,
    /// Why there is no file, or not yet.
    file_note: Option<String>,
    /// Our message that it is about.
    answers: Option<String>,
    wish: Option<WishNote>,
    told: Told,
    entry: Option<String>,
}

struct Picture {
    path: String,
    alt: String,
}

struct FileLink {
    path: String,
    name: String,
}

/// What the person wants of marketing messages.
struct WishNote {
    text: String,
    tone: &'static str,
}

/// Whether the platform knows.
struct Told {
    state: Status,
    what: String,
    href: Option<String>,
}

impl InboundForm {
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("text", &self.text),
            ("phone", &self.phone),
            ("kind", &self.kind),
            ("account", &self.account),
            ("number", &self.number),
            ("answers", &self.answers),
            ("campaign", &self.campaign),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.fields().into_iter().skip(1).any(|(_, text)| !text.is_empty())
    }

    fn at(&self, before: &str) -> String {
        asked::address(PATH, self.fields().into_iter().chain([("before", before)]))
    }

    /// What is looked for; `Err` says what to change.
    fn wanted(&self, snapshot: &Snapshot) -> Result<Wanted, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        Ok(Wanted {
            account: asked::account(snapshot, &self.account)?,
            sender: asked::sender(snapshot, &self.number)?,
            answers: !self.answers.is_empty(),
            campaign: self.campaign.clone(),
            phone: self.phone.clone(),
            kind: asked::one_of("kind", &self.kind, &KINDS, |kind| kind)?,
            text: self.text.clone(),
            since,
            until,
            before: asked::read("before", &self.before, "the place that a list’s next page has")?,
        })
    }
}

/// `GET /console/inbound`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<InboundForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let results = results(&parts, &snapshot, &visitor.actor, &form).await?;
    if wants_part(&request) {
        return if request.headers().contains_key("x-more") {
            page(&MoreRows { rows: results.rows, next: results.next, is_first: false })
        } else {
            page(&results)
        };
    }
    let accounts = snapshot.account_ids();
    let numbers = snapshot.business_numbers();
    page(&Page {
        frame: Frame::new(&request, &visitor, "Inbound", PATH),
        sees_all: visitor.actor.may(Permission::ReadPersonal),
        kinds: KINDS.map(|value| Choice { value, name: kind_name(value) }).into(),
        form,
        accounts,
        numbers,
        results,
    })
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &InboundForm) -> Result<Results, Trouble> {
    let searched = form.is_filtered() || !form.text.trim().is_empty();
    let is_first = form.before.is_empty();
    let wrong = |said: String| Results { wrong: Some(said), searched, rows: vec![], next: None, is_first };
    let wanted = match form.wanted(snapshot) {
        Ok(wanted) => wanted,
        Err(odd) => return Ok(wrong(odd.said())),
    };
    let found = inbound::list(&parts.store, snapshot, &parts.media.links, actor, (&wanted, LINES_PER_PAGE)).await;
    let FoundInbound { found, next } = match found {
        Ok(found) => found,
        Err(Refusal::Invalid { text, .. }) => return Ok(wrong(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    let next = next.map(|next| NextPage {
        href: form.at(&next.to_string()),
        goes_on: found.len() < LINES_PER_PAGE,
        back_to: long_time(next.heard_at),
    });
    let rows = found.into_iter().map(|one| row(snapshot, actor, one)).collect();
    Ok(Results { wrong: None, searched, rows, next, is_first })
}

fn row(snapshot: &Snapshot, actor: &Actor, inbound: Inbound) -> Row {
    let whole = actor.may(Permission::ReadPersonal);
    let heard_at = inbound.event.recorded_at;
    let message = inbound.message();
    let from = message.and_then(|message| message.from.as_ref());
    let content = message.map(|message| &message.content);
    let file = inbound.file.as_ref().filter(|_| whole);
    let (picture, link) = match file {
        Some(file) if file.is_picture() => (Some(picture(file)), None),
        Some(file) if matches!(file.row.state, MediaState::Stored | MediaState::Pending) => {
            (None, Some(file_link(file)))
        }
        Some(_) | None => (None, None),
    };
    Row {
        at: short_time(heard_at),
        seconds: seconds(heard_at),
        at_iso: heard_at.to_string(),
        from: from.map_or_else(|| "who hides the number".to_owned(), |from| masking::number(actor, from)),
        from_href: from.filter(|_| whole).map(|from| asked::address(PATH, [("phone", from.as_e164())])),
        number: inbound.event.sender_number.as_ref().map_or("?", |number| number.as_e164()).to_owned(),
        account: snapshot.account_by_key(inbound.at.account).map_or("?", |account| account.id.as_str()).to_owned(),
        kind: content.map(InboundContent::kind).filter(|kind| *kind != "text").map(kind_name),
        lines: content.filter(|_| whole).map(|content| lines(content, picture.is_some())).unwrap_or_default(),
        unread: unread(actor, &inbound),
        picture,
        link,
        file_note: file_note(actor, message, inbound.file.as_ref()),
        answers: inbound.event.message.map(|message| message.to_string()),
        wish: inbound.wish.as_ref().map(wish),
        told: told(actor, &inbound),
        entry: inbound.entry.as_deref().filter(|_| whole).map(pretty),
    }
}

/// Words, but for the name of a picture that is shown.
fn lines(content: &InboundContent, is_shown: bool) -> Vec<String> {
    match content {
        InboundContent::Media(media) if is_shown => media.caption.iter().cloned().collect(),
        InboundContent::Media(_)
        | InboundContent::Text { .. }
        | InboundContent::Button { .. }
        | InboundContent::ListReply { .. }
        | InboundContent::FlowReply { .. }
        | InboundContent::Location { .. }
        | InboundContent::Contacts { .. }
        | InboundContent::Reaction { .. }
        | InboundContent::Order { .. }
        | InboundContent::NumberChanged { .. }
        | InboundContent::Unsupported { .. }
        | InboundContent::Other { .. } => content.words(),
    }
}

fn unread(actor: &Actor, inbound: &Inbound) -> Option<String> {
    if let EventDetail::Unreadable { why } = &inbound.event.detail {
        return Some(sentence(&format!("it cannot be read: {}", masking::text(actor, why))));
    }
    if !actor.may(Permission::ReadPersonal) {
        return Some("Your role does not see what people write.".to_owned());
    }
    let content = &inbound.message()?.content;
    if let InboundContent::Other { kind } = content {
        return Some(format!("This version has no words for “{kind}”; as it came, it stands below."));
    }
    if matches!(content, InboundContent::Reaction { emoji: None, .. }) {
        return Some("The reaction was taken back.".to_owned());
    }
    let is_file = matches!(content, InboundContent::Media(_));
    (content.words().is_empty() && !is_file).then(|| "Nothing was written with it.".to_owned())
}

fn picture(file: &File) -> Picture {
    let name = file.row.filename.as_deref().unwrap_or(file.row.kind.as_str());
    Picture { path: file.path.clone(), alt: format!("The {} that was sent: {name}", file.row.kind.as_str()) }
}

fn file_link(file: &File) -> FileLink {
    let kind = file.row.mime_type.as_deref().and_then(|named| named.split(';').next());
    let kind = kind.unwrap_or("of no known type");
    let size = file.row.size_bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    FileLink { path: file.path.clone(), name: format!("Open the {} ({kind}{size})", kind_name(file.row.kind.as_str())) }
}

/// As people tell the size of a file.
pub(super) fn size(bytes: i64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        1_000_000_000.. => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

fn file_note(actor: &Actor, message: Option<&InboundMessage>, file: Option<&File>) -> Option<String> {
    let InboundContent::Media(media) = &message?.content else { return None };
    match (file, &media.failure) {
        (Some(file), _) => match file.row.state {
            MediaState::Pending => Some("The file is being copied; the link waits for it.".to_owned()),
            MediaState::Failed => {
                let why = file.row.reason.as_deref().unwrap_or("no reason was noted");
                Some(sentence(&format!("the file could not be copied: {}", masking::text(actor, why))))
            }
            MediaState::Stored | MediaState::Deleting => None,
        },
        (None, Some(why)) => Some(sentence(&format!("WhatsApp has no file: {}", masking::text(actor, why)))),
        (None, None) => Some("The file is not kept any more.".to_owned()),
    }
}

fn wish(wish: &Wish) -> WishNote {
    let (what, tone) = if wish.stopped { ("opted out of marketing", "warn") } else { ("opted in again", "good") };
    WishNote { text: format!("{what} {} UTC", short_time(wish.since)), tone }
}

fn told(actor: &Actor, inbound: &Inbound) -> Told {
    let Some(telling) = &inbound.telling else {
        let state = Status { name: "told nobody", tone: "plain" };
        return Told { state, what: "no callback URL for inbound messages is set".to_owned(), href: None };
    };
    let href = format!("/console/callbacks/{}/events/{}", telling.subscription.key, inbound.at.place.0);
    Told { state: status(telling.standing), what: answer(actor, telling), href: Some(href) }
}

fn status(standing: Standing) -> Status {
    let (name, tone) = match standing {
        Standing::Owed => ("to be relayed", "warn"),
        Standing::Delivered => ("relayed", "good"),
        Standing::Dead => ("dead", "bad"),
        Standing::NotRelayed => ("not relayed", "plain"),
        Standing::PassedOver => ("passed over", "plain"),
    };
    Status { name, tone }
}

/// What the platform said, or why it was not asked.
fn answer(actor: &Actor, telling: &Telling) -> String {
    let exchange = telling.exchange.as_ref().map(|exchange| {
        let said = exchange.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
        format!(
            "{said} at {}{} UTC, after {} ms",
            short_time(exchange.started_at),
            seconds(exchange.started_at),
            exchange.took_ms
        )
    });
    // The reason of one that was refused begins with the answer that is told already.
    let status = telling.exchange.as_ref().and_then(|exchange| exchange.http_status);
    let reason = telling.reason.as_ref().map(|reason| {
        let told = status.map(|status| format!("HTTP {status}: ")).unwrap_or_default();
        masking::text(actor, reason.strip_prefix(&told).unwrap_or(reason))
    });
    [exchange, reason].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A kind for people.
fn kind_name(kind: &'static str) -> &'static str {
    match kind {
        "button" => "tap on a button",
        "list_reply" => "choice from a list",
        "flow_reply" => "form",
        "voice" => "voice note",
        "contacts" => "contact card",
        "number_changed" => "changed number",
        "unsupported" => "not passed on by WhatsApp",
        "other" => "unknown kind",
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_for_with_the_same_words() {
        let form = InboundForm { text: "thank you".to_owned(), kind: "text".to_owned(), ..InboundForm::default() };
        assert_eq!(form.at("5-1-7"), "/console/inbound?text=thank+you&kind=text&before=5-1-7");
    }

    #[test]
    fn sizes_are_told_as_people_do() {
        let told = [7, 52_311, 5_242_880, 12_340_000_000].map(size);
        assert_eq!(told, ["7 bytes", "52 kB", "5.2 MB", "12.3 GB"]);
    }
}
