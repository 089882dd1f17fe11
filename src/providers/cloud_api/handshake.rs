//! What Meta asks a URL before it sends webhooks there, and carriers after its example.

use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

use crate::{net::signing, providers::usable};

/// The challenge, to be repeated to whoever knows one of these tokens.
pub(in crate::providers) fn answer_handshake(query: &str, verify_tokens: &[SecretString]) -> Option<String> {
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let token = value("hub.verify_token")?;
    let is_ours = |secret: &SecretString| signing::same_secret(secret.expose_secret().as_bytes(), token.as_bytes());
    let right = value("hub.mode")? == "subscribe" && usable(verify_tokens).any(is_ours);
    right.then(|| value("hub.challenge")).flatten()
}
