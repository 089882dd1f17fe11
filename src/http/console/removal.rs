//! Removing an account, a connection or a number: a page that says what will happen, or what must be done first.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Path, ServiceConfig},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor, accounts, asked, connections, frame::sentence, messages, numbers, page, see_other,
};
use crate::{
    domain::phone::PhoneNumber,
    http::Parts,
    services::{
        configure::Subject,
        connections::no_number,
        operators::Refusal,
        removal::{self, Outlook},
    },
};

#[derive(Template)]
#[template(path = "console/removal.html")]
struct Page {
    frame: Frame,
    heading: &'static str,
    name: String,
    is_number: bool,
    /// Of its own page.
    path: String,
    /// Those that an account takes with it.
    numbers: Vec<String>,
    happens: &'static [&'static str],
    instead: &'static str,
    obstacle: Option<String>,
    /// Where the messages are that wait.
    queue: Option<String>,
}

/// One of the kinds of things that can be removed, as its pages show it.
struct Shown {
    heading: &'static str,
    path: &'static str,
    /// The page of all of them.
    all: &'static str,
    happens: &'static [&'static str],
    /// For whoever wants less.
    instead: &'static str,
}

const ACCOUNT: Shown = Shown {
    heading: "Remove an account",
    path: accounts::PATH,
    all: accounts::PATH,
    happens: &[
        "Its endpoint answers as one that never was. Passcodes, callback URLs and other secrets are deleted at once.",
        "What providers report later about its messages is not taken any more, and what people write to its numbers neither.",
        "Its list of people who opted out goes with it. If it may come back, keep that first: wabridge suppress export.",
    ],
    instead: "To stop it for a while, switch it off in its settings.",
};
const CONNECTION: Shown = Shown {
    heading: "Remove a connection",
    path: connections::PATH,
    all: connections::PATH,
    happens: &[
        "Its tokens and other secrets are deleted at once. Webhooks that still come for it are answered as those of a connection \
         that never was: take their URL out at the provider, too.",
    ],
    instead: "To stop it for a while, put it on hold.",
};
const NUMBER: Shown = Shown {
    heading: "Remove a number",
    path: numbers::PATH,
    all: connections::PATH,
    happens: &[
        "Messages from it are refused, because the account has no such number. Its own callback URLs are deleted at once.",
        "What the provider reports later about its messages is not taken any more, and what people write to it neither.",
    ],
    instead: "To stop it for a while, put it on hold.",
};

/// Everything that ends with `/remove`.
pub(super) fn routes(config: &mut ServiceConfig) {
    const PATTERN: &str = "/{kind:accounts|connections|numbers}/{name}/remove";
    config.route(PATTERN, web::get().to(ask)).route(PATTERN, web::post().to(remove));
}

/// `GET /console/accounts/{id}/remove`, and the same of connections and numbers.
async fn ask(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    let (kind, name) = path.into_inner();
    let subject = subject(&kind, &name)?;
    let Outlook { numbers, obstacle, has_queue } = removal::look(&parts.store, &visitor.actor, &subject).await?;
    let Shown { heading, path, all, happens, instead } = shown(&subject);
    page(&Page {
        frame: Frame::new(&request, &visitor, heading, all),
        heading,
        path: format!("{path}/{name}"),
        is_number: matches!(subject, Subject::Sender(_)),
        name: match &subject {
            Subject::Account(id) | Subject::Connection(id) => id.clone(),
            Subject::Sender(number) => number.as_e164().to_owned(),
        },
        numbers: if matches!(subject, Subject::Account(_)) { numbers } else { vec![] },
        happens,
        instead,
        queue: has_queue.then(|| queue_of(&subject)).flatten(),
        obstacle: obstacle.as_deref().map(sentence),
    })
}

/// `POST /console/accounts/{id}/remove`, and the same of connections and numbers.
async fn remove(parts: Data<Parts>, visitor: Visitor, path: Path<(String, String)>) -> Result<HttpResponse, Trouble> {
    let (kind, name) = path.into_inner();
    let subject = subject(&kind, &name)?;
    removal::remove(&parts.store, &parts.directory, &visitor.actor, &subject).await?;
    Ok(see_other(&format!("{}?done=removed", shown(&subject).all)))
}

fn subject(kind: &str, name: &str) -> Result<Subject, Refusal> {
    match kind {
        "accounts" => Ok(Subject::Account(name.to_owned())),
        "connections" => Ok(Subject::Connection(name.to_owned())),
        _ => PhoneNumber::from_international(name).map(Subject::Sender).ok_or_else(|| no_number(name)),
    }
}

/// The messages that wait at it; a connection with numbers is not removed, and without them it has none.
fn queue_of(subject: &Subject) -> Option<String> {
    let (field, name) = match subject {
        Subject::Account(id) => ("account", id.as_str()),
        Subject::Sender(number) => ("number", number.as_e164()),
        Subject::Connection(_) => return None,
    };
    Some(asked::address(messages::PATH, [(field, name), ("status", "queued")]))
}

const fn shown(subject: &Subject) -> Shown {
    match subject {
        Subject::Account(_) => ACCOUNT,
        Subject::Connection(_) => CONNECTION,
        Subject::Sender(_) => NUMBER,
    }
}
