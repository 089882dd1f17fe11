//! The parameters of a request; whoever gets one wrong is told what it may be in the words of the document.

use std::{collections::HashMap, future::Ready, sync::LazyLock};

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, http::StatusCode};
use serde::de::DeserializeOwned;

use super::{Problem, openapi};
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

/// What the document says of a parameter, by method, path and name.
static MEANINGS: LazyLock<HashMap<(&'static str, String, String), String>> =
    LazyLock::new(|| openapi::parameters().into_iter().collect());

fn problem(request: &HttpRequest, wrong: Wrong) -> Problem {
    let Some(name) = wrong.parameter else {
        return Problem::new(StatusCode::BAD_REQUEST, format!("{}; /openapi.json says what is expected", wrong.text));
    };
    let path = request.match_pattern().unwrap_or_default();
    let meaning = MEANINGS.iter().find(|((method, known, parameter), _)| {
        *method == request.method().as_str() && *known == path && *parameter == name
    });
    let detail = match meaning {
        Some((_, meaning)) => format!("{name}: {}. {meaning}", wrong.text),
        None => format!("{name}: {}", wrong.text),
    };
    Problem::named(StatusCode::BAD_REQUEST, &name, detail)
}
