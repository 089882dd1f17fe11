//! Answers to those whose dialect we do not know: what was wrong, and what to do.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

/// `{"error":{"message":"…"}}`
pub fn answer(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"error": {"message": message}}))
}

pub async fn not_found() -> HttpResponse {
    answer(StatusCode::NOT_FOUND, "nothing lives here; /openapi.json lists what does")
}
