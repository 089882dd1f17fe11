//! Signatures over what is sent, as their receivers check them.
//!
//! While a secret is being changed two are valid. Standard Webhooks carries a signature by each; the other schemes have room for
//! one, and the newest secret makes it: their receivers must know the new one before it is set here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::{Signature, Unspeakable};
use crate::domain::time::UnixMillis;

/// The sign of a Standard Webhooks secret; behind it stands base64.
pub const SECRET_PREFIX: &str = "whsec_";
/// Standard Webhooks: between 24 and 64 bytes.
pub const SECRET_BYTES_MIN: usize = 24;
pub const SECRET_BYTES_MAX: usize = 64;
/// Of a secret that is used as it is written.
pub const SECRET_CHARS_MIN: usize = 8;
pub const SECRET_CHARS_MAX: usize = 256;

/// What a request carries.
pub struct Signed<'a> {
    pub scheme: Signature,
    pub id: &'a str,
    pub now: UnixMillis,
    pub body: &'a str,
    /// The newest first.
    pub secrets: &'a [SecretString],
}

/// The headers that show who sent a body; none without a secret, but for those that are no signature.
pub fn sign(signed: &Signed<'_>) -> Result<Vec<(&'static str, String)>, Unspeakable> {
    let body = signed.body.as_bytes();
    let newest = signed.secrets.first().map(|secret| secret.expose_secret().as_bytes());
    Ok(match signed.scheme {
        Signature::StandardWebhooks => return standard_webhooks(signed),
        Signature::Gallabox => {
            newest.map(|secret| ("x-gallabox-signature", STANDARD.encode(mac(secret, &[body])))).into_iter().collect()
        }
        Signature::Hub => newest
            .map(|secret| ("x-hub-signature-256", format!("sha256={}", hex::encode(mac(secret, &[body])))))
            .into_iter()
            .collect(),
        Signature::None => vec![],
    })
}

/// A new secret out of 32 random bytes, in the form that this scheme wants.
pub fn secret_of(scheme: Signature, random: &[u8; 32]) -> SecretString {
    match scheme {
        Signature::StandardWebhooks => format!("{SECRET_PREFIX}{}", STANDARD.encode(random)).into(),
        Signature::Gallabox | Signature::Hub | Signature::None => hex::encode(random).into(),
    }
}

pub(super) fn check_secret(scheme: Signature, secret: &SecretString) -> Result<(), String> {
    match scheme {
        Signature::StandardWebhooks => key_of(secret).map(|_| ()),
        Signature::Gallabox | Signature::Hub => match secret.expose_secret().chars().count() {
            SECRET_CHARS_MIN..=SECRET_CHARS_MAX => Ok(()),
            _ => {
                Err(format!("a signing secret has {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters: choose another"))
            }
        },
        Signature::None => Err("this profile signs nothing: leave the signing secret out".to_owned()),
    }
}

fn standard_webhooks(signed: &Signed<'_>) -> Result<Vec<(&'static str, String)>, Unspeakable> {
    let seconds = signed.now.as_seconds().to_string();
    let mut signatures = Vec::new();
    for secret in signed.secrets {
        let key = key_of(secret).map_err(Unspeakable)?;
        let parts = [signed.id, ".", &seconds, ".", signed.body].map(str::as_bytes);
        signatures.push(format!("v1,{}", STANDARD.encode(mac(&key, &parts))));
    }
    let mut headers = vec![("webhook-id", signed.id.to_owned()), ("webhook-timestamp", seconds)];
    if !signatures.is_empty() {
        headers.push(("webhook-signature", signatures.join(" ")));
    }
    Ok(headers)
}

fn key_of(secret: &SecretString) -> Result<Vec<u8>, String> {
    let key = secret.expose_secret().strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    key.filter(|key| (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.len())).ok_or_else(|| {
        format!(
            "a signing secret is {SECRET_PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64: have one made, or \
             write it so"
        )
    })
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
