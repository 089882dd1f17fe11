//! The parameters of a request; whoever gets one wrong is told what it may be in the words of the document.

use std::{collections::HashMap, future::Ready, sync::LazyLock};

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, http::StatusCode};
use serde::de::DeserializeOwned;

use super::{
    Problem,
    openapi::{self, Choice, Operation, Parameter},
    short,
};
use crate::http::query::{Wrong, read};

/// The parameters of a request.
pub struct Query<T>(T);

impl<T> Query<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = read(request.query_string(), &[]).map(Self);
        std::future::ready(read.map_err(|wrong| problem(request, wrong).into()))
    }
}

/// The parameters of each operation.
static KNOWN: LazyLock<HashMap<Operation, Vec<Parameter>>> =
    LazyLock::new(|| openapi::parameters().into_iter().collect());

/// What may stand in the address of each operation.
static CHOICES: LazyLock<HashMap<Operation, Vec<Choice>>> = LazyLock::new(|| openapi::choices().into_iter().collect());

fn known(request: &HttpRequest) -> Option<&'static [Parameter]> {
    asked_of(&KNOWN, request)
}

fn asked_of<T>(operations: &'static HashMap<Operation, Vec<T>>, request: &HttpRequest) -> Option<&'static [T]> {
    let path = request.match_pattern()?;
    let mut operations = operations.iter();
    let asked = operations.find(|((method, known), _)| *method == request.method().as_str() && *known == path);
    asked.map(|(_, told)| told.as_slice())
}

/// Nothing is at an address with such a word in it.
pub(super) fn not_here(request: &HttpRequest) -> Problem {
    let wrong = asked_of(&CHOICES, request).into_iter().flatten().find_map(|(name, words)| {
        let came = request.match_info().get(name)?;
        let text = match words.as_slice() {
            [] if came.parse::<i64>().is_err() => format!("{name}: “{}” is no number", short(came)),
            [_, ..] if !words.iter().any(|word| word == came) => {
                format!("{name}: “{}” is none of {}", short(came), words.join(", "))
            }
            [..] => return None,
        };
        Some(Problem::named(StatusCode::NOT_FOUND, name, text))
    });
    let nothing = "there is nothing at this address: /openapi.json has all of them";
    wrong.unwrap_or_else(|| Problem::new(StatusCode::NOT_FOUND, nothing))
}

/// Refuses what the document does not have: it would have no effect, and nobody would be told. It stands before every handler, so
/// that none can pass over what it does not know.
pub(super) fn check(request: &HttpRequest) -> Result<(), Problem> {
    let query = request.query_string();
    let Some(known) = Some(request).filter(|_| !query.is_empty()).and_then(known) else { return Ok(()) };
    let is_known = |name: &str| known.iter().any(|(known, _)| known == name);
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let Some(name) = names.find(|name| !is_known(name)) else { return Ok(()) };
    let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let takes = if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
    Err(problem(request, Wrong::of(&name, format!("this address has no such parameter; {takes}"))))
}

fn problem(request: &HttpRequest, wrong: Wrong) -> Problem {
    let Some(name) = wrong.parameter else {
        return Problem::new(StatusCode::BAD_REQUEST, format!("{}; /openapi.json says what is expected", wrong.text));
    };
    let meaning = known(request).and_then(|known| known.iter().find(|(known, _)| *known == name));
    let detail = match meaning {
        Some((_, meaning)) => format!("{name}: {}. {meaning}", wrong.text),
        None => format!("{name}: {}", wrong.text),
    };
    Problem::named(StatusCode::BAD_REQUEST, &name, detail)
}
