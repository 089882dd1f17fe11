//! What all Graph calls have in common: who asks, may they, and how a refusal looks.

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::AUTHORIZATION},
};
use serde_json::json;

use super::{
    codes, dialog_360,
    knobs::Knobs,
    rules::{Refusal, RefusalBody},
    state::World,
};

/// What a token can be allowed at WhatsApp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// `whatsapp_business_messaging`: sends and media.
    Messaging,
    /// `whatsapp_business_management`: templates, numbers and subscriptions.
    Management,
}

/// The token, then what it may, then how often.
pub(super) fn authorize(world: &World, request: &HttpRequest, permission: Permission) -> Result<(), Refusal> {
    let knobs = world.knobs();
    let given = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let token = given(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let key = given(dialog_360::KEY_HEADER).map(|key| key.split_once(':').map_or(key, |(token, _)| token));
    if token.or(key) != Some(knobs.access_token.as_str()) {
        return Err(refusal(190, "Error validating access token: the session is invalid or has expired."));
    }
    let allowed = match permission {
        Permission::Messaging => knobs.may_message,
        Permission::Management => knobs.may_manage,
    };
    if !allowed {
        return Err(match permission {
            Permission::Messaging => refusal(10, "Application does not have permission for this action."),
            Permission::Management => refusal(200, "You do not have the permission whatsapp_business_management."),
        });
    }
    if knobs.app_throttled {
        return Err(throttled(4, &knobs));
    }
    let now = Instant::now();
    let too_often = permission == Permission::Management
        && !world.tally().take_management_call(knobs.management_calls_per_hour, now);
    if knobs.waba_throttled || too_often {
        return Err(throttled(80007, &knobs));
    }
    Ok(())
}

/// A throttle, with the HTTP status that the knob wants.
pub(super) fn throttled(code: u32, knobs: &Knobs) -> Refusal {
    Refusal { http_status: knobs.throttle_http_status, ..Refusal::code(code) }
}

/// With Meta's code and words of ours.
pub(super) fn refusal(code: u32, details: impl Into<String>) -> Refusal {
    Refusal { details: Some(details.into()), ..Refusal::code(code) }
}

/// There is nothing with this id, or not for this token: Meta does not tell which, and what sets it apart from a wrong
/// parameter is the subcode.
pub(super) fn unknown_object(id: &str) -> Refusal {
    let details = format!(
        "Unsupported request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or \
         does not support this operation."
    );
    Refusal { subcode: Some(33), ..refusal(100, details) }
}

pub(super) fn http_status(refusal: &Refusal) -> StatusCode {
    let status = refusal.http_status.unwrap_or_else(|| codes::describe(refusal.code).0);
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The answer that says so.
pub(super) fn refuse(refusal: &Refusal) -> HttpResponse {
    let mut answer = HttpResponse::build(http_status(refusal));
    if let Some(seconds) = refusal.retry_after_s {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    let (_, title) = codes::describe(refusal.code);
    match refusal.body {
        RefusalBody::Empty => answer.finish(),
        RefusalBody::Html => answer.content_type("text/html").body("<html><body>Sorry, something broke.</body></html>"),
        RefusalBody::Json => {
            let mut error = json!({
                "message": format!("(#{}) {title}", refusal.code),
                "type": "OAuthException",
                "code": refusal.code,
                "fbtrace_id": "AsimulatedTrace",
            });
            if let Some(subcode) = refusal.subcode {
                error["error_subcode"] = subcode.into();
            }
            if let Some(details) = &refusal.details {
                error["error_data"] = json!({"messaging_product": "whatsapp", "details": details});
            }
            answer.json(json!({"error": error}))
        }
    }
}

/// `{"success": true}`.
pub(super) fn success() -> HttpResponse {
    HttpResponse::Ok().json(json!({"success": true}))
}

pub(super) fn answer(outcome: Result<HttpResponse, Refusal>) -> HttpResponse {
    outcome.unwrap_or_else(|refusal| refuse(&refusal))
}

/// The names in `fields=a,b{c,d},e.limit(3)`, without what is asked of them.
pub(super) fn field_names(fields: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0_u32;
    for character in fields.chars() {
        match character {
            '{' | '(' => depth += 1,
            '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("there is always one").push(character),
            _ => {}
        }
    }
    let plain = |name: String| name.split('.').next().unwrap_or_default().trim().to_owned();
    names.into_iter().map(plain).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_fields_are_read_without_what_is_asked_of_them() {
        assert_eq!(field_names("throughput{level,x}, id,phones.limit(3){id},"), ["throughput", "id", "phones"]);
        assert!(field_names("").is_empty());
    }
}
