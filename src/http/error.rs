//! Answers to those whose dialect we do not know: what was wrong, and what to do.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Bytes, Payload},
};
use serde_json::json;

/// A request that never became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProblem {
    TooLarge { limit_bytes: usize },
    TooSlow,
    Broken,
}

/// A body must be complete within this time of its headers.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

impl BodyProblem {
    pub fn message(self) -> String {
        match self {
            Self::TooLarge { limit_bytes } => {
                format!("the body is larger than the {limit_bytes} bytes that are accepted here")
            }
            Self::TooSlow => format!("the body was not complete after {} seconds", BODY_TIME_MAX.as_secs()),
            Self::Broken => "the body broke off".to_owned(),
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body, but no more and no longer than we are willing to.
pub async fn read_body(payload: Payload, limit_bytes: usize) -> Result<Bytes, BodyProblem> {
    match tokio::time::timeout(BODY_TIME_MAX, payload.to_bytes_limited(limit_bytes)).await {
        Err(_) => Err(BodyProblem::TooSlow),
        Ok(Err(_)) => Err(BodyProblem::TooLarge { limit_bytes }),
        Ok(Ok(Err(_))) => Err(BodyProblem::Broken),
        Ok(Ok(Ok(bytes))) => Ok(bytes),
    }
}

/// `{"error":{"message":"…"}}`
pub fn answer(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": {"message": message}}))
}

pub async fn not_found() -> HttpResponse {
    answer(StatusCode::NOT_FOUND, "nothing lives here; /openapi.json lists what does")
}
