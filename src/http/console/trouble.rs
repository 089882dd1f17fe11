//! Pages for what does not work: what it is, and what to do.

use std::{error::Error, fmt};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header::ContentType},
};
use askama::Template;

use super::{
    HOME, Visitor,
    frame::{Frame, sentence},
};
use crate::{services::operators::Refusal, telemetry};

/// Something that cannot be shown or done.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    heading: &'static str,
    text: String,
}

/// For whoever is signed in: with the way to all other pages.
#[derive(Template)]
#[template(path = "console/trouble.html")]
struct Page<'a> {
    frame: Frame,
    words: Words<'a>,
}

/// For everybody else.
#[derive(Template)]
#[template(path = "console/trouble_alone.html")]
struct PageAlone<'a> {
    frame: Frame,
    words: Words<'a>,
}

#[derive(Template)]
#[template(path = "console/trouble_words.html")]
struct Words<'a> {
    heading: &'a str,
    text: &'a str,
    /// The page on which it was tried.
    back: Option<&'a str>,
    href: &'a str,
    link: &'a str,
    status: String,
}

impl Trouble {
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn new(status: StatusCode, heading: &'static str, text: impl Into<String>) -> Self {
        Self { status, heading, text: text.into() }
    }

    /// A fault of ours, which the log knows more about.
    pub(super) fn ours(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %telemetry::Chain(error), "the console could not answer");
        let text = "The server could not do this just now; its log says why. Try again in a moment.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here", text)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let text = sentence(&refusal.to_string());
        match refusal {
            Refusal::NotAllowed(_) => Self::new(StatusCode::FORBIDDEN, "Your role does not allow this", text),
            Refusal::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "It is not here", text),
            Refusal::Invalid { .. } | Refusal::Problems(_) | Refusal::WrongPassword => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "This cannot be taken as it is", text)
            }
            Refusal::Conflict(_) | Refusal::Meanwhile(_) => {
                Self::new(StatusCode::CONFLICT, "This does not fit to how things stand", text)
            }
            Refusal::TooManyTries { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many tries", text),
            Refusal::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server is busy", text),
            Refusal::Store(error) => Self::ours(&error),
        }
    }
}

impl From<crate::store::StoreError> for Trouble {
    fn from(error: crate::store::StoreError) -> Self {
        Self::ours(&error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.heading, self.text)
    }
}

impl ResponseError for Trouble {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// What [`harden`](super::guard::harden) replaces by the page, because an error knows nothing of the request that it answers.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        HttpResponse::build(self.status).body(self.to_string())
    }
}

impl Trouble {
    /// The page that answers this request. `back` is the page that led here.
    pub(super) fn shown(&self, request: &HttpRequest, back: Option<&str>) -> HttpResponse<BoxBody> {
        let words = Words {
            heading: self.heading,
            text: &self.text,
            back,
            href: HOME,
            link: "To the console",
            status: self.status.to_string(),
        };
        let visitor = request.extensions().get::<Visitor>().cloned();
        let page = match visitor {
            Some(visitor) => {
                let frame = Frame { done: None, ..Frame::new(request, &visitor, self.heading, "") };
                Page { frame, words }.render()
            }
            None => PageAlone { frame: Frame::alone(request, self.heading), words }.render(),
        };
        // What cannot even be rendered is said plainly.
        let body = page.unwrap_or_else(|_| self.to_string());
        HttpResponse::build(self.status).content_type(ContentType::html()).body(body)
    }
}
