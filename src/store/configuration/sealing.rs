//! How the configuration's secrets lie in their columns: as JSON, sealed, each bound to the row that it belongs to.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::odd;
use crate::{
    domain::{
        account::{Credentials, OldPasscodes},
        callback::EventKind,
        phone::PhoneNumber,
        time::UnixMillis,
    },
    store::vault::Vault,
};

/// A sealed secret is bound to these names.
pub(in crate::store) fn place_of_connection(id: &str) -> String {
    format!("connections/{id}")
}

pub(in crate::store) fn place_of_account(id: &str) -> String {
    format!("accounts/{id}")
}

pub(in crate::store) fn place_of_subscription(account: &str, kind: EventKind, sender: Option<&PhoneNumber>) -> String {
    format!("subscriptions/{account}/{}/{}", kind.as_str(), sender.map_or("*", PhoneNumber::as_e164))
}

/// Credentials as they are sealed.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredCredentials {
    passcodes: Vec<String>,
    basic: Option<(String, String)>,
    bearer_token: Option<String>,
    url_token: Option<String>,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    api_passcode: Option<String>,
    /// And until when they are taken.
    #[serde(default)]
    old_passcodes: Option<(Vec<String>, UnixMillis)>,
}

impl From<&Credentials> for StoredCredentials {
    fn from(credentials: &Credentials) -> Self {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Self {
            passcodes: credentials.passcodes.iter().map(text).collect(),
            basic: credentials.basic.as_ref().map(|(name, password)| (name.clone(), text(password))),
            bearer_token: credentials.bearer_token.as_ref().map(text),
            url_token: credentials.url_token.as_ref().map(text),
            headers: credentials.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            api_passcode: credentials.api_passcode.as_ref().map(text),
            old_passcodes: credentials
                .old_passcodes
                .as_ref()
                .map(|old| (old.passcodes.iter().map(text).collect(), old.until)),
        }
    }
}

impl From<StoredCredentials> for Credentials {
    fn from(stored: StoredCredentials) -> Self {
        Self {
            passcodes: stored.passcodes.into_iter().map(Into::into).collect(),
            basic: stored.basic.map(|(name, password)| (name, password.into())),
            bearer_token: stored.bearer_token.map(Into::into),
            url_token: stored.url_token.map(Into::into),
            headers: stored.headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
            api_passcode: stored.api_passcode.map(Into::into),
            old_passcodes: stored.old_passcodes.map(|(passcodes, until)| OldPasscodes {
                passcodes: passcodes.into_iter().map(Into::into).collect(),
                until,
            }),
        }
    }
}

pub(super) fn exposed(secrets: &[SecretString]) -> Vec<&str> {
    secrets.iter().map(ExposeSecret::expose_secret).collect()
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with text keys is always JSON")
}

pub(super) fn from_json<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, DbErr> {
    // Where it broke would quote a part of it, which may be a secret.
    serde_json::from_slice(json).map_err(|_| odd(&format!("{what} cannot be read by this version of wabridge")))
}

pub(in crate::store) fn open(vault: &Vault, place: &str, row: &QueryResult, column: &str) -> Result<Vec<u8>, DbErr> {
    let sealed: Vec<u8> = row.try_get("", column)?;
    vault.open_sealed(place, &sealed).map_err(|error| odd(&error.to_string()))
}

pub(super) fn open_json<T: DeserializeOwned + Default>(
    vault: Option<&Vault>,
    place: &str,
    row: &QueryResult,
    column: &str,
) -> Result<T, DbErr> {
    vault.map_or_else(|| Ok(T::default()), |vault| from_json(&open(vault, place, row, column)?, place))
}
