//! What the API says when something cannot be done: RFC 9457, with what to do in `detail`.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    services::operators::{FieldProblem, Refusal},
    store::StoreError,
    telemetry,
};

/// `application/problem+json`
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    #[schema(example = "Not Found")]
    title: &'static str,
    #[schema(example = 404)]
    status: u16,
    /// What is wrong, and what to do.
    #[schema(example = "there is no user asha")]
    detail: String,
    /// The field that must be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// All fields that must be changed, when there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<WrongField>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, ToSchema)]
pub struct WrongField {
    #[schema(example = "time_zone")]
    field: String,
    #[schema(example = "must be an IANA time zone, like Asia/Kolkata")]
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            problems: vec![],
        }
    }

    pub(super) fn of_field(field: &str, detail: impl Into<String>) -> Self {
        Self::named(StatusCode::UNPROCESSABLE_ENTITY, field, detail)
    }

    pub(super) fn named(status: StatusCode, field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(status, detail) }
    }

    fn of_fields(problems: Vec<FieldProblem>, detail: String) -> Self {
        let wrong = |problem: FieldProblem| WrongField { field: problem.field, detail: problem.message };
        let problems: Vec<_> = problems.into_iter().map(wrong).collect();
        let field = problems.first().map(|first| first.field.clone());
        Self { field, problems, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// A field that has another name here than the service gives it.
    pub(super) fn renamed(mut self, service: &str, here: &str) -> Self {
        if self.field.as_deref() == Some(service) {
            self.field = Some(here.to_owned());
        }
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotAllowed(_) => Self::new(StatusCode::FORBIDDEN, text),
            Refusal::NotFound(_) => Self::new(StatusCode::NOT_FOUND, text),
            Refusal::Invalid { field, .. } => Self::of_field(field, text),
            Refusal::Problems(problems) => Self::of_fields(problems, text),
            Refusal::Conflict(_) | Refusal::Meanwhile(_) => Self::new(StatusCode::CONFLICT, text),
            Refusal::WrongPassword => Self::new(StatusCode::UNAUTHORIZED, text),
            Refusal::TooManyTries { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, text),
            Refusal::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %telemetry::Chain(&error), "the API could not answer");
        let text = "the server could not do this just now; its log says why. Try again in a moment";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut answer = HttpResponse::build(self.status_code());
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        let body = serde_json::to_string(self).expect("texts and numbers are always JSON");
        answer.content_type("application/problem+json").body(body)
    }
}
