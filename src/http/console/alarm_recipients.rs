//! Who is told of alarms besides those whom the server's settings name: a form.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    alarms::{self, PATH},
    fields::{Entered, Field, FieldPart, Filled, Input},
    form_parts::to_change,
    page_as, see_other,
};
use crate::{
    domain::{alarm::AlarmKind, alarm_recipients::AlarmRecipients, operator::Permission},
    http::Parts,
    net::redact,
    services::{
        alarms::{WayShown, recipients},
        operators::{FieldProblem, Refusal, require},
        webhooks::Allowed,
    },
};

#[derive(Template)]
#[template(path = "console/alarm_recipients.html")]
struct Page {
    frame: Frame,
    version: String,
    /// Where nothing but a field's own place says what is wrong.
    wrong: Vec<String>,
    is_wrong: bool,
    emails: FieldPart,
    webhook: Vec<FieldPart>,
    kinds: FieldPart,
    can_mail: bool,
    /// Those of the server's settings.
    others: Vec<WayShown>,
}

/// What is wrong with a form that was sent.
struct Wrong {
    entered: Entered,
    problems: Vec<FieldProblem>,
    status: StatusCode,
}

/// `GET /console/alarms/recipients`
pub(super) async fn edit(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    render(&request, &parts, &visitor, None).await
}

/// `POST /console/alarms/recipients`
pub(super) async fn change(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let patch = entered.patch(&fields(&AlarmRecipients::default()));
    let (allowed, version) = (Allowed::by(&parts.settings), entered.text("version").to_owned());
    let changed = recipients::change(&parts.store, allowed, &visitor.actor, &patch, Some(&version)).await;
    let Some((status, problems)) = to_change(changed, "recipients")? else {
        return Ok(see_other(&format!("{PATH}?done=saved")));
    };
    render(&request, &parts, &visitor, Some(Wrong { entered, problems, status })).await
}

async fn render(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    wrong: Option<Wrong>,
) -> Result<HttpResponse, Trouble> {
    let stored = recipients::see(&parts.store, &visitor.actor).await?;
    let version = recipients::version(&stored);
    let (entered, problems, status) = match wrong {
        Some(Wrong { entered, problems, status }) => (entered, problems, status),
        None => (stated(&stored.recipients), vec![], StatusCode::OK),
    };
    let version = if problems.is_empty() { version } else { entered.text("version").to_owned() };
    let filled = Filled::with(None, Some(entered), problems);
    let fields = fields(&stored.recipients);
    let [emails, url, secret, kinds] = &fields;
    let ways = parts.alarm_ways.set_up(&parts.store).await.map_err(Refusal::from)?;
    let page = Page {
        frame: Frame::new(request, visitor, "Who is told of alarms", PATH),
        version,
        wrong: filled.elsewhere(&fields),
        is_wrong: filled.is_wrong(),
        emails: filled.part(emails),
        webhook: vec![filled.part(url), filled.part(secret)],
        kinds: filled.part(kinds),
        can_mail: parts.alarm_ways.can_mail(),
        others: ways.into_iter().filter(|way| way.is_of_settings).collect(),
    };
    page_as(status, &page)
}

/// What is stored, as somebody would enter it.
fn stated(recipients: &AlarmRecipients) -> Entered {
    let kinds = recipients.kinds.iter().map(|kind| ("kinds".to_owned(), kind.clone()));
    Entered::of(std::iter::once(("emails".to_owned(), recipients.emails.join("\n"))).chain(kinds).collect())
}

static KINDS: LazyLock<Vec<(&'static str, &'static str)>> =
    LazyLock::new(|| AlarmKind::ALL.map(|kind| (kind.as_str(), alarms::name(kind))).into());

/// Addresses, URL, secret and kinds; of secrets it is told whether they are set.
fn fields(stored: &AlarmRecipients) -> [Field; 4] {
    let url = stored.webhook_url.as_ref().map(|url| redact::url(url.expose()));
    let secret = stored.webhook_secret.as_ref().map(|_| "set".to_owned());
    [
        Field::new("emails", "E-mail addresses", Input::List).placeholder("ops@example.com").hint("One a line."),
        Field::new("webhook_url", "URL", Input::SecretUrl)
            .placeholder("https://hooks.example.com/…")
            .set(url)
            .hint("JSON is posted there; its field text is what the incoming webhooks of chat programs expect."),
        Field::new("webhook_secret", "Signing secret", Input::Secret).placeholder("none: not signed").set(secret).hint(
            "With a secret each request has the header X-Wabridge-Signature: t=SECONDS,v1=HEX. HEX is HMAC-SHA256 of SECONDS, a dot and the body.",
        ),
        Field::new("kinds", "Only these", Input::Boxes(KINDS.as_slice())).hint("With none ticked they are told of all."),
    ]
}
