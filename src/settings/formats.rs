//! How settings are written when serde's own way does not suit an operator.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// Lists of durations: `["2s", "8s"]`.
pub(super) mod waits {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::domain::duration::written;

    pub(crate) fn serialize<S: Serializer>(waits: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(waits.iter().map(|wait| written(*wait).to_string()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        let waits = Vec::<humantime_serde::Serde<Duration>>::deserialize(deserializer)?;
        Ok(waits.into_iter().map(humantime_serde::Serde::into_inner).collect())
    }
}

/// Lists of networks: `["10.0.0.0/8", "192.0.2.1"]`.
pub(super) mod networks {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::domain::network::Network;

    pub(crate) fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .into_iter()
            .map(|text| Network::parse(&text).map(|network| network.0).map_err(D::Error::custom))
            .collect()
    }
}

/// An address that may be empty, which is none.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&address.map(|address| address.to_string()).unwrap_or_default())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                D::Error::custom(format!("`{text}` is not an address with a port: write it like 127.0.0.1:9090"))
            }),
        }
    }
}

/// A path that may be empty, which is none.
pub(super) mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&path.as_deref().unwrap_or(std::path::Path::new("")).display())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
    }
}

/// A secret that may be left out. An empty one is left out too: a variable can be set but not unset in many places.
pub(super) mod optional_secret {
    use secrecy::{ExposeSecret, SecretString};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if secret.is_some() { super::BLANK } else { "" })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
        let secret = SecretString::deserialize(deserializer)?;
        Ok(Some(secret).filter(|secret| !secret.expose_secret().trim().is_empty()))
    }
}

/// A URL that may hold a password, which is shown nowhere.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Without what may be a password.
    pub fn blanked(&self) -> String {
        let Ok(mut url) = Url::parse(&self.0) else {
            // Not a URL: nobody can say which part of it is the password.
            return if self.0.is_empty() { String::new() } else { BLANK.to_owned() };
        };
        let in_query = url.query().is_some_and(|query| query.contains("password"));
        if url.password().is_none() && !in_query {
            return self.0.clone();
        }
        if in_query {
            url.set_query(Some(BLANK));
        }
        let blanked = url.password().map(|_| BLANK);
        match url.set_password(blanked) {
            Ok(()) => url.to_string(),
            Err(()) => BLANK.to_owned(),
        }
    }
}

/// The whole URL, password and all.
impl Deref for SecretUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<SecretUrl> for String {
    fn from(url: SecretUrl) -> Self {
        url.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.blanked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.blanked())
    }
}

/// What stands in place of a secret.
const BLANK: &str = "***";
