//! Did this webhook come from whom it should? Carriers that sign nothing are known by a secret part of the URL; whatever else is
//! configured must be right as well.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{account::Connection, network::Network},
    net::signing::{same_secret, sign},
    providers::{BadSignature, WebhookRequest, usable},
};

pub const URL_TOKEN: &str = "url_token";
pub const ADDRESSES: &str = "webhook_addresses";
pub const USERNAME: &str = "webhook_username";
pub const PASSWORD: &str = "webhook_password";
pub const HEADER: &str = "webhook_header";
pub const HEADER_VALUE: &str = "webhook_header_value";
pub const SIGNATURE_HEADER: &str = "webhook_signature_header";
pub const SIGNING_SECRET: &str = "webhook_signing_secret";

/// Fewer characters could be guessed.
const URL_TOKEN_CHARS_MIN: usize = 20;
const URL_TOKEN_CHARS_MAX: usize = 128;
/// Networks of one list.
const NETWORKS_MAX: usize = 50;

/// The secret part of the URL, and everything else that this connection asks for.
pub fn verify(connection: &Connection, request: &WebhookRequest<'_>) -> Result<(), BadSignature> {
    let right = knows_url(connection, request)
        && comes_from_there(connection, request)
        && shows_password(connection, request)
        && shows_header(connection, request)
        && is_signed(connection, request);
    if right { Ok(()) } else { Err(BadSignature) }
}

fn knows_url(connection: &Connection, request: &WebhookRequest<'_>) -> bool {
    let shown = request.url_token.unwrap_or_default();
    is_one_of(connection.secrets(URL_TOKEN), shown)
}

fn comes_from_there(connection: &Connection, request: &WebhookRequest<'_>) -> bool {
    let networks = networks(connection.setting(ADDRESSES));
    let within = |network: Network| request.caller.is_some_and(|caller| network.0.contains(&caller.to_canonical()));
    // A list that cannot be read lets nobody in.
    networks.is_ok_and(|networks| networks.is_empty() || networks.into_iter().any(within))
}

fn shows_password(connection: &Connection, request: &WebhookRequest<'_>) -> bool {
    let username = connection.setting(USERNAME);
    if username.is_empty() {
        return true;
    }
    let shown = (request.header)("authorization").and_then(|value| value.split_once(' '));
    let pair = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).map(|(_, pair)| pair.trim());
    let decoded = pair.and_then(|pair| STANDARD.decode(pair).ok()).and_then(|pair| String::from_utf8(pair).ok());
    let Some((name, password)) = decoded.as_ref().and_then(|pair| pair.split_once(':')) else { return false };
    same_secret(name.as_bytes(), username.as_bytes()) & is_one_of(connection.secrets(PASSWORD), password)
}

fn shows_header(connection: &Connection, request: &WebhookRequest<'_>) -> bool {
    let name = connection.setting(HEADER).to_ascii_lowercase();
    name.is_empty() || is_one_of(connection.secrets(HEADER_VALUE), (request.header)(&name).unwrap_or_default())
}

/// HMAC-SHA256 over the raw body, in hexadecimal or base64, with or without `sha256=` before it.
fn is_signed(connection: &Connection, request: &WebhookRequest<'_>) -> bool {
    let name = connection.setting(SIGNATURE_HEADER).to_ascii_lowercase();
    if name.is_empty() {
        return true;
    }
    let shown = (request.header)(&name).unwrap_or_default().trim();
    let shown = shown.strip_prefix("sha256=").unwrap_or(shown);
    let in_hex = STANDARD.decode(shown).map(hex::encode);
    let is_ours = |secret: &SecretString| {
        let wanted = sign(secret.expose_secret().as_bytes(), request.body);
        let same = |shown: &str| same_secret(shown.to_ascii_lowercase().as_bytes(), wanted.as_bytes());
        same(shown) | in_hex.as_deref().is_ok_and(same)
    };
    usable(connection.secrets(SIGNING_SECRET)).any(is_ours)
}

fn is_one_of(secrets: &[SecretString], shown: &str) -> bool {
    usable(secrets)
        .fold(false, |found, secret| found | same_secret(secret.expose_secret().as_bytes(), shown.as_bytes()))
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    let words = text.split([',', ' ', '\n', '\r']).filter(|word| !word.is_empty());
    words.map(|word| Network::parse(word).map_err(|error| error.to_string())).collect()
}

pub fn check_url_token(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (URL_TOKEN_CHARS_MIN..=URL_TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "must be {URL_TOKEN_CHARS_MIN} to {URL_TOKEN_CHARS_MAX} characters of A-Z, a-z, 0-9, - and _ that nobody can guess: \
             use the output of `openssl rand -hex 24`"
        )),
    }
}

pub fn check_addresses(text: &str) -> Result<(), String> {
    let networks = networks(text)?;
    if networks.len() > NETWORKS_MAX {
        Err(format!("has more than {NETWORKS_MAX} networks: join some"))
    } else {
        Ok(())
    }
}

pub fn check_header_name(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match text.len() <= 64 && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("is not the name of an HTTP header: use letters, digits and -".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ConnectionKey;
    use crate::domain::time::UnixMillis;

    const TOKEN: &str = "a-secret-part-of-the-url";

    fn connection(settings: &[(&str, &str)], secrets: &[(&str, &str)]) -> Connection {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut secrets = owned(secrets);
        secrets.insert(URL_TOKEN.to_owned(), TOKEN.to_owned());
        Connection {
            key: ConnectionKey(1),
            id: "own".to_owned(),
            provider: "http".to_owned(),
            settings: owned(settings),
            secrets: secrets.into_iter().map(|(name, value)| (name, vec![value.into()])).collect(),
            hold: None,
            changed_at: UnixMillis(0),
        }
    }

    fn lets_in(connection: &Connection, url_token: Option<&str>, headers: &[(&str, &str)], caller: &str) -> bool {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let caller = caller.parse().ok();
        verify(connection, &WebhookRequest { header: &header, url_token, caller, body: b"{}" }).is_ok()
    }

    #[test]
    fn the_secret_part_of_the_url_is_always_needed() {
        let connection = connection(&[], &[]);
        for (shown, right) in [(Some(TOKEN), true), (Some(""), false), (None, false), (Some("another"), false)] {
            assert_eq!(lets_in(&connection, shown, &[], "203.0.113.7"), right, "{shown:?}");
        }
        let without = Connection { secrets: BTreeMap::new(), ..connection };
        assert!(!lets_in(&without, Some(""), &[], "203.0.113.7") && !lets_in(&without, None, &[], "203.0.113.7"));
    }

    #[test]
    fn only_named_addresses_may_call_where_some_are_named() {
        let named = connection(&[(ADDRESSES, "203.0.113.0/24, 2001:db8::1")], &[]);
        for (caller, right) in [
            ("203.0.113.7", true),
            ("::ffff:203.0.113.7", true),
            ("2001:db8::1", true),
            ("198.51.100.1", false),
            ("", false),
        ] {
            assert_eq!(lets_in(&named, Some(TOKEN), &[], caller), right, "{caller:?}");
        }
        assert!(!lets_in(&connection(&[(ADDRESSES, "everybody")], &[]), Some(TOKEN), &[], "203.0.113.7"));
    }

    #[test]
    fn password_header_and_signature_are_needed_where_they_are_configured() {
        let basic = connection(&[(USERNAME, "tallo")], &[(PASSWORD, "pass:word")]);
        let header = connection(&[(HEADER, "X-Shared")], &[(HEADER_VALUE, "shared")]);
        let signed = connection(&[(SIGNATURE_HEADER, "X-Hub-Signature-256")], &[(SIGNING_SECRET, "key")]);
        let hex_signature = sign(b"key", b"{}");
        let prefixed = format!("sha256={hex_signature}");
        let base64_signature = STANDARD.encode(hex::decode(&hex_signature).expect("hexadecimal"));
        for (connection, name, value, right) in [
            (&basic, "authorization", "Basic dGFsbG86cGFzczp3b3Jk", true),
            (&basic, "authorization", "Basic dGFsbG86cGFzcw==", false),
            (&basic, "authorization", "Bearer dGFsbG86cGFzczp3b3Jk", false),
            (&header, "x-shared", "shared", true),
            (&header, "x-shared", "other", false),
            (&signed, "x-hub-signature-256", &prefixed, true),
            (&signed, "x-hub-signature-256", &hex_signature, true),
            (&signed, "x-hub-signature-256", &base64_signature, true),
            (&signed, "x-hub-signature-256", "sha256=", false),
        ] {
            assert_eq!(lets_in(connection, Some(TOKEN), &[(name, value)], ""), right, "{name}: {value}");
            assert!(!lets_in(connection, Some(TOKEN), &[], ""), "{name} is missing");
            assert!(!lets_in(connection, None, &[(name, value)], ""), "the secret part is missing");
        }
    }

    #[test]
    fn a_secret_part_that_could_be_guessed_is_refused() {
        assert!(check_url_token("0123456789abcdefghi").is_err() && check_url_token("0123456789/abcdefghij").is_err());
        assert_eq!(check_url_token("0123456789abcdefghij"), Ok(()));
        assert!(check_addresses("10.0.0.0/8, all").is_err() && check_header_name("x: y").is_err());
    }
}
