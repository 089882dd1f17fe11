//! Short-lived tokens for CommBox's webhooks, without a memory of them: the time of its end, and a signature over that and
//! the connection's id.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::{domain::time::UnixMillis, net::signing};

/// How long a token is taken.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);
/// The time, a point, and the signature.
const TOKEN_CHARS_MAX: usize = 96;

/// The answer of the token endpoint.
pub(super) fn issue(secret: &SecretString, connection: &str, now: UnixMillis) -> String {
    let ends_at = now.plus(LIFETIME).0;
    let token = format!("{ends_at}.{}", signature(secret, connection, ends_at));
    json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME.as_secs()}).to_string()
}

pub(super) fn is_valid(secret: &SecretString, connection: &str, token: &str, now: UnixMillis) -> bool {
    if token.len() > TOKEN_CHARS_MAX {
        return false;
    }
    let Some((ends_at, given)) = token.split_once('.') else { return false };
    let Ok(ends_at) = ends_at.parse::<i64>() else { return false };
    signing::verify(secret.expose_secret().as_bytes(), &signed(connection, ends_at), given) && now.0 < ends_at
}

fn signature(secret: &SecretString, connection: &str, ends_at: i64) -> String {
    signing::sign(secret.expose_secret().as_bytes(), &signed(connection, ends_at))
}

/// No webhook has this form, so a signature of one is none of these.
fn signed(connection: &str, ends_at: i64) -> Vec<u8> {
    format!("wabridge webhook token\n{connection}\n{ends_at}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_an_hour_for_one_connection_and_secret() {
        let (secret, now) = (SecretString::from("a-secret"), UnixMillis::from_seconds(1_790_000_000));
        let answer: serde_json::Value = serde_json::from_str(&issue(&secret, "commbox", now)).expect("it is JSON");
        let token = answer["access_token"].as_str().expect("there is one");

        assert!(is_valid(&secret, "commbox", token, now));
        assert!(!is_valid(&secret, "commbox", token, now.plus(LIFETIME)), "its time is over");
        assert!(!is_valid(&secret, "another", token, now));
        assert!(!is_valid(&SecretString::from("another"), "commbox", token, now));
        let (ends_at, rest) = token.split_once('.').expect("two parts");
        let longer = format!("{}.{rest}", ends_at.parse::<i64>().expect("a time") + 1);
        assert!(!is_valid(&secret, "commbox", &longer, now), "nobody can make it longer");
        for odd in ["", ".", "1.", "x.y", &"9".repeat(200)] {
            assert!(!is_valid(&secret, "commbox", odd, now), "{odd}");
        }
    }
}
