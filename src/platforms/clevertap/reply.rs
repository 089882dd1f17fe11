//! What CleverTap is told at once. It reads the body of a 200 only, so a refusal is a 200 too; and a
//! person reads its message on the dashboard.

use serde::Serialize;

use super::super::{Accepted, Reply};
use crate::domain::failure::{FAILURE_TEXT_CHARS_MAX, Refusal, RefusalKind};

/// The same words whatever was wrong, so that nobody can find out which accounts exist.
const WRONG_CREDENTIALS: &str = "the credentials are missing or wrong, or the account is not served here; \
    check URL and authentication of the provider";

pub(super) fn write(outcome: Result<&Accepted, &Refusal>) -> Reply {
    match outcome {
        // Also for a repeat and for a mere check: CleverTap is told whether it is well, not what became of it.
        Ok(Accepted { .. }) => Reply { http_status: 200, body: r#"{"status":"success"}"#.to_owned() },
        Err(refusal) => refused(refusal),
    }
}

/// The template import has no answer for failures in its protocol. It reads Meta's shape, so it probably looks at
/// the status as at Meta's; the body is the one that it knows from us.
pub(super) fn no_templates(refusal: &Refusal) -> Reply {
    let http_status = match refusal.kind {
        RefusalKind::Credentials => 401,
        RefusalKind::CannotStore => 503,
        RefusalKind::Template | RefusalKind::PhoneNumber | RefusalKind::NotSubscribed | RefusalKind::Other => 400,
    };
    Reply { http_status, ..refused(refusal) }
}

fn refused(refusal: &Refusal) -> Reply {
    let code = code_of(refusal.kind);
    let message = match refusal.kind {
        RefusalKind::Credentials => WRONG_CREDENTIALS.to_owned(),
        RefusalKind::Template
        | RefusalKind::PhoneNumber
        | RefusalKind::NotSubscribed
        | RefusalKind::Other
        | RefusalKind::CannotStore => refusal.message.chars().take(FAILURE_TEXT_CHARS_MAX).collect(),
    };
    let failure = FailureReply { status: "failure", error: ReplyError { code, message } };
    let body = serde_json::to_string(&failure).expect("texts and numbers always become JSON");
    // The only case in which CleverTap shall see a broken server: the message is not with us.
    Reply { http_status: if code.is_some() { 200 } else { 500 }, body }
}

fn code_of(kind: RefusalKind) -> Option<u16> {
    match kind {
        RefusalKind::Credentials => Some(2000),
        RefusalKind::Template => Some(2001),
        RefusalKind::PhoneNumber => Some(2002),
        RefusalKind::NotSubscribed => Some(2003),
        RefusalKind::Other => Some(2004),
        RefusalKind::CannotStore => None,
    }
}

#[derive(Serialize)]
struct FailureReply {
    status: &'static str,
    error: ReplyError,
}

#[derive(Serialize)]
struct ReplyError {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: RefusalKind, message: &str) -> Reply {
        write(Err(&Refusal::new(kind, message)))
    }

    #[test]
    fn every_success_is_the_same() {
        for accepted in [Accepted { message: None, repeat: false }, Accepted { message: None, repeat: true }] {
            let reply = write(Ok(&accepted));
            assert_eq!((reply.http_status, reply.body.as_str()), (200, r#"{"status":"success"}"#));
        }
    }

    #[test]
    fn a_refusal_is_a_200_with_a_code_of_its_own() {
        for (kind, code) in [
            (RefusalKind::Template, 2001),
            (RefusalKind::PhoneNumber, 2002),
            (RefusalKind::NotSubscribed, 2003),
            (RefusalKind::Other, 2004),
        ] {
            let reply = refused(kind, r#"body: say "what""#);
            assert_eq!(reply.http_status, 200);
            assert_eq!(
                reply.body,
                format!(r#"{{"status":"failure","error":{{"code":{code},"message":"body: say \"what\""}}}}"#)
            );
        }
    }

    #[test]
    fn what_is_wrong_with_credentials_is_not_told() {
        let one = refused(RefusalKind::Credentials, "no account acme");
        assert_eq!(one, refused(RefusalKind::Credentials, "wrong passcode for acme"));
        assert!(one.body.starts_with(r#"{"status":"failure","error":{"code":2000,"#), "{}", one.body);
    }

    #[test]
    fn what_cannot_be_stored_is_a_500_without_a_code() {
        let reply = refused(RefusalKind::CannotStore, "try again");
        assert_eq!(reply.http_status, 500);
        assert_eq!(reply.body, r#"{"status":"failure","error":{"message":"try again"}}"#);
    }

    #[test]
    fn an_import_is_refused_with_a_status_of_its_own() {
        let status = |kind| no_templates(&Refusal::new(kind, "why")).http_status;

        assert_eq!(
            [RefusalKind::Credentials, RefusalKind::Other, RefusalKind::CannotStore].map(status),
            [401, 400, 503]
        );
        let stranger = no_templates(&Refusal::new(RefusalKind::Credentials, "its address is not allowed"));
        assert_eq!(stranger.body, refused(RefusalKind::Credentials, "wrong passcode").body);
    }

    #[test]
    fn a_long_message_is_cut() {
        let reply = refused(RefusalKind::Other, &"é".repeat(100_000));
        assert!(reply.body.chars().count() < FAILURE_TEXT_CHARS_MAX + 100);
    }
}
