//! What shows that a webhook is the carrier's: one of a few ways, each with the same secret. Nothing takes longer for a
//! better guess.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};

use super::settings;
use crate::{domain::account::Connection, net::signing, providers::WebhookRequest};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Meta's own: `X-Hub-Signature-256` over the body.
    Signature,
    /// The secret is the value of this header.
    Header(String),
    /// The secret is the password of this user.
    Basic(String),
    /// The secret is the last part of the URL.
    Url,
    /// Either, as whoever sets the carrier up likes it.
    HeaderOrUrl(String),
}

impl Proof {
    pub(super) fn as_set(connection: &Connection) -> Self {
        match connection.setting(settings::WEBHOOK_AUTH) {
            settings::BY_HEADER => Self::Header(connection.setting(settings::WEBHOOK_HEADER).to_ascii_lowercase()),
            settings::BY_BASIC => Self::Basic(connection.setting(settings::WEBHOOK_USER).to_owned()),
            settings::BY_URL => Self::Url,
            _ => Self::Signature,
        }
    }

    /// Does this secret prove it?
    pub(super) fn holds(&self, secret: &SecretString, request: &WebhookRequest<'_>) -> bool {
        let secret = secret.expose_secret().as_bytes();
        let is_secret = |given: Option<&str>| given.is_some_and(|given| signing::same_secret(secret, given.as_bytes()));
        match self {
            Self::Signature => (request.header)("x-hub-signature-256")
                .and_then(|header| header.strip_prefix("sha256="))
                .is_some_and(|signature| signing::verify(secret, request.body, signature)),
            Self::Header(name) => is_secret((request.header)(name)),
            Self::Basic(user) => {
                let given = (request.header)("authorization").and_then(|header| header.split_once(' '));
                given.is_some_and(|(scheme, given)| {
                    let right = basic(user, secret);
                    scheme.eq_ignore_ascii_case("basic")
                        && signing::same_secret(right.as_bytes(), given.trim().as_bytes())
                })
            }
            Self::Url => is_secret(request.url_token),
            Self::HeaderOrUrl(name) => is_secret((request.header)(name)) || is_secret(request.url_token),
        }
    }

    /// The address and headers of a webhook with this body, as the carrier would send it.
    pub(super) fn made(&self, secret: &SecretString, url: &str, body: &[u8]) -> (String, Vec<(String, SecretString)>) {
        let word = secret.expose_secret();
        let header = |name: &str, value: String| vec![(name.to_owned(), SecretString::from(value))];
        match self {
            Self::Signature => {
                let signature = signing::sign(word.as_bytes(), body);
                (url.to_owned(), header("x-hub-signature-256", format!("sha256={signature}")))
            }
            Self::Header(name) | Self::HeaderOrUrl(name) => (url.to_owned(), header(name, word.to_owned())),
            Self::Basic(user) => {
                (url.to_owned(), header("authorization", format!("Basic {}", basic(user, word.as_bytes()))))
            }
            Self::Url => (format!("{url}/{word}"), vec![]),
        }
    }
}

fn basic(user: &str, password: &[u8]) -> String {
    STANDARD.encode([user.as_bytes(), b":", password].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"entry":[]}"#;

    fn holds(proof: &Proof, headers: &[(&str, &str)], url_token: Option<&str>) -> bool {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let request = WebhookRequest { header: &header, url_token, caller: None, body: BODY };
        proof.holds(&SecretString::from("open sesame"), &request)
    }

    #[test]
    fn each_way_is_proven_by_the_secret_and_by_nothing_else() {
        let signature = format!("sha256={}", signing::sign(b"open sesame", BODY));
        let other = format!("sha256={}", signing::sign(b"another", BODY));
        let (right, wrong) = (STANDARD.encode("bridge:open sesame"), STANDARD.encode("other:open sesame"));
        let (right, wrong) = (format!("Basic {right}"), format!("Basic {wrong}"));
        for (proof, good, bad) in [
            (Proof::Signature, ("x-hub-signature-256", signature.as_str()), ("x-hub-signature-256", other.as_str())),
            (Proof::Header("x-secret".to_owned()), ("x-secret", "open sesame"), ("x-secret", "open")),
            (Proof::Basic("bridge".to_owned()), ("authorization", &right), ("authorization", &wrong)),
            (Proof::HeaderOrUrl("x-secret".to_owned()), ("x-secret", "open sesame"), ("x-secret", "")),
        ] {
            assert!(holds(&proof, &[good], None), "{proof:?}");
            assert!(!holds(&proof, &[bad], None), "{proof:?}");
            assert!(!holds(&proof, &[], None), "{proof:?}");
        }
        for proof in [Proof::Url, Proof::HeaderOrUrl("x-secret".to_owned())] {
            assert!(holds(&proof, &[], Some("open sesame")), "{proof:?}");
            assert!(!holds(&proof, &[], Some("sesame")), "{proof:?}");
        }
        assert!(!holds(&Proof::Signature, &[], Some("open sesame")), "a secret in the URL is no signature");
    }

    #[test]
    fn what_is_made_holds() {
        let proofs = [Proof::Signature, Proof::Header("x-s".to_owned()), Proof::Basic("u".to_owned()), Proof::Url];
        for proof in proofs {
            let (url, headers) = proof.made(&SecretString::from("open sesame"), "https://w.example/webhooks/x/y", BODY);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
            let token = url.strip_prefix("https://w.example/webhooks/x/y/");
            assert!(holds(&proof, &headers, token), "{proof:?}");
        }
    }
}
