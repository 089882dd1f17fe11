//! Adding and changing a business number: its account, its connection, the provider's ids of it, its pace.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{Query, Wrong},
    connections,
    fields::{Entered, Field, Filled, Input},
    form_parts::{FormParts, outcome},
    numbers::PATH,
    page, page_as, see_other,
};
use crate::{
    domain::{operator::Permission, phone::PhoneNumber},
    http::Parts,
    services::{
        configure::{Kind, Seen, Subject},
        connections::no_number,
        operators::require,
    },
    store::configuration::Configuration,
};

#[derive(Template)]
#[template(path = "console/number_form.html")]
struct Page {
    frame: Frame,
    /// With its digits; `None` while it is being added.
    number: Option<(String, String)>,
    account: String,
    accounts: Vec<Offered>,
    connections: Vec<Offered>,
    account_wrong: Option<String>,
    connection_wrong: Option<String>,
    parts: FormParts,
}

/// One of those that a number may belong to.
struct Offered {
    id: String,
    name: String,
    chosen: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewQuery {
    account: String,
    connection: String,
}

/// `GET /console/new-number`
pub(super) async fn new(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<NewQuery>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let stored = parts.configuring.stored(&visitor.actor).await?;
    let NewQuery { account, connection } = query.into_inner();
    if !account.is_empty() && stored.account(&account).is_none() {
        return Err(Wrong::of("account", format!("there is no account {account}")).into());
    }
    if !connection.is_empty() && !stored.connections.iter().any(|one| one.id == connection) {
        return Err(Wrong::of("connection", format!("there is no connection {connection}")).into());
    }
    page(&form(&request, &visitor, &stored, (&account, &connection), Filled::default()))
}

/// `POST /console/new-number`
pub(super) async fn add(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body).with_number("number");
    let mut asked = fields();
    asked.push(number_field());
    asked.extend(["account", "connection"].map(|name| Field::new(name, name, Input::Text)));
    let patch = entered.patch(&asked);
    let added = parts.configuring.add(&visitor.actor, Kind::Sender, &patch).await;
    match outcome(added, None, entered)? {
        Ok(written) => Ok(see_other(&match written.seen.subject {
            Subject::Sender(number) => format!("{PATH}/{}?done=saved", number.digits()),
            Subject::Connection(_) | Subject::Account(_) => connections::PATH.to_owned(),
        })),
        Err(filled) => {
            let stored = parts.configuring.stored(&visitor.actor).await?;
            wrong(&form(&request, &visitor, &stored, ("", ""), filled))
        }
    }
}

/// `GET /console/numbers/{digits}/edit`
pub(super) async fn edit(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let (stored, seen) = seen(&parts, &visitor, &digits).await?;
    page(&form(&request, &visitor, &stored, ("", ""), Filled::with(Some(seen), None, vec![])))
}

/// `POST /console/numbers/{digits}/edit`
pub(super) async fn change(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let (stored, seen) = seen(&parts, &visitor, &digits).await?;
    let mut asked = fields();
    asked.push(Field::new("connection", "Connection", Input::Text));
    let patch = entered.patch(&asked);
    let changed = parts.configuring.change(&visitor.actor, &seen.subject, &patch, Some(entered.text("version"))).await;
    match outcome(changed, Some(seen), entered)? {
        Ok(_) => Ok(see_other(&format!("{PATH}/{}?done=saved", digits.trim_start_matches('+')))),
        Err(filled) => wrong(&form(&request, &visitor, &stored, ("", ""), filled)),
    }
}

async fn seen(parts: &Parts, visitor: &Visitor, digits: &str) -> Result<(Configuration, Seen), Trouble> {
    let stored = parts.configuring.stored(&visitor.actor).await?;
    let number = PhoneNumber::from_international(digits);
    let seen = number.and_then(|number| parts.configuring.seen_in(&stored, &Subject::Sender(number)));
    let seen = seen.ok_or_else(|| no_number(digits))?;
    Ok((stored, seen))
}

fn wrong(form: &Page) -> Result<HttpResponse, Trouble> {
    page_as(StatusCode::UNPROCESSABLE_ENTITY, form)
}

/// `proposed`: account and connection of a new number.
fn form(
    request: &HttpRequest,
    visitor: &Visitor,
    stored: &Configuration,
    proposed: (&str, &str),
    filled: Filled,
) -> Page {
    let number = filled.seen.as_ref().map(|seen| seen.text("number").to_owned());
    let is_new = number.is_none();
    let chosen = |name: &str, proposed: &str| match filled.text(name) {
        text if text.is_empty() => proposed.to_owned(),
        text => text,
    };
    let (account, connection) = (chosen("account", proposed.0), chosen("connection", proposed.1));
    let account = filled.seen.as_ref().map_or(account, |seen| seen.text("account").to_owned());
    let accounts = stored.accounts.iter().map(|one| Offered {
        id: one.id.clone(),
        name: if one.name == one.id { one.id.clone() } else { format!("{} ({})", one.name, one.id) },
        chosen: one.id == account,
    });
    let connections = stored.connections.iter().map(|one| Offered {
        id: one.id.clone(),
        name: format!("{} ({})", one.id, one.provider),
        chosen: one.id == connection,
    });
    let (needed, more) = (needed_fields(), more_fields());
    let name = if is_new { vec![number_field()] } else { vec![] };
    let own = [Field::new("account", "", Input::Text), Field::new("connection", "", Input::Text)];
    Page {
        frame: Frame::new(request, visitor, number.as_deref().unwrap_or("Add a number"), connections::PATH),
        accounts: accounts.collect(),
        connections: connections.collect(),
        account_wrong: filled.wrong_at("account"),
        connection_wrong: filled.wrong_at("connection"),
        parts: FormParts::of(&filled, &name, &needed, &more, &own),
        number: number.map(|number| (number.trim_start_matches('+').to_owned(), number)),
        account,
    }
}

fn number_field() -> Field {
    Field::new("number", "Number", Input::Text)
        .hint("With its country code; it never changes")
        .placeholder("+918880110022")
}

fn fields() -> Vec<Field> {
    needed_fields().into_iter().chain(more_fields()).collect()
}

fn needed_fields() -> Vec<Field> {
    vec![
        Field::new("phone_number_id", "Phone number id", Input::Text)
            .hint("App dashboard → WhatsApp → API setup")
            .placeholder("100000000000001"),
        Field::new("waba_id", "WhatsApp business account id", Input::Text)
            .hint("The same page; it owns the number and the templates")
            .placeholder("200000000000001"),
        Field::new("messages_per_second", "Messages a second, at most", Input::Number)
            .hint("What the provider allows this number: 80 at first, 1,000 at its high level. More than 1,000 no number of WhatsApp’s takes; a simulator or another carrier may")
            .placeholder("80"),
    ]
}

fn more_fields() -> Vec<Field> {
    vec![
        Field::new("location_name", "Name of the place", Input::Text)
            .hint("For location headers without one, which WhatsApp does not take"),
        Field::new("location_address", "Address of the place", Input::Text).hint("The same"),
        Field::new("delivery_report_callback_url", "Delivery reports to", Input::SecretUrl)
            .hint("Only where this number has a URL other than its account’s"),
        Field::new("inbound_message_callback_url", "Inbound messages to", Input::SecretUrl).hint("The same"),
    ]
}
