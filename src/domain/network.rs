//! From where somebody may call: single addresses and networks.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A network, or the network of one address. Kept as text: `203.0.113.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Network {
    /// `203.0.113.0/24`, `203.0.113.7`, `2001:db8::/32`.
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        let whole = if text.contains(':') { "128" } else { "32" };
        let network = text.parse().or_else(|_| format!("{text}/{whole}").parse());
        network.map(|network: IpNet| Self(network.trunc())).map_err(|_| NotANetwork { text: text.to_owned() })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: write it like 10.0.0.0/8, or a single address")]
pub struct NotANetwork {
    text: String,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one() {
        for (text, read) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.9/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(Network::parse(text).map(|network| network.to_string()).as_deref(), Ok(read));
        }
        for text in ["", "203.0.113", "203.0.113.0/33", "example.com", "10.0.0.1-10.0.0.9"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
