//! Keeps outgoing requests out of private networks.
//!
//! Callback URLs are typed by people, and whoever may type one could otherwise make the bridge talk to
//! its own neighbours: a database, a router, a cloud's metadata service. A name proves nothing, because it
//! can point elsewhere a second later, so addresses are looked at when a connection is made:
//! [`GuardedResolver`] hands the HTTP client only what may be reached. Literal addresses never pass a
//! resolver; [`check_literal`] looks at those.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names with the system's resolver and drops what may not be reached.
pub struct GuardedResolver {
    pub allow_private_networks: bool,
    /// The host of the operator's own proxy: often private, and trusted because the operator named it.
    pub trusted_host: Option<String>,
}

/// Why a request was not made. It ends with what the operator can do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} is in a private or reserved network ({network}); if this is meant, set \
     security.allow_private_networks"
)]
pub struct Forbidden {
    host: String,
    network: &'static str,
}

/// The name exists but has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no address")]
struct NoAddress(String);

/// Refuses a URL whose host is written as a forbidden address.
pub fn check_literal(url: &url::Url) -> Result<(), Forbidden> {
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        // Names are looked at when they are resolved.
        Some(url::Host::Domain(_)) | None => return Ok(()),
    };
    match forbidden_network(address) {
        Some(network) => Err(Forbidden { host: address.to_string(), network }),
        None => Ok(()),
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let trusted = self.trusted_host.as_deref().is_some_and(|trusted| trusted.eq_ignore_ascii_case(&host));
        let everything = self.allow_private_networks || trusted;
        Box::pin(async move {
            // The port is the client's business; 0 leaves it open.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let addresses = if everything { found } else { only_public(&host, found)? };
            if addresses.is_empty() {
                return Err(NoAddress(host).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether a name has an address that may be reached, and if not, why not.
pub async fn look_up(name: &str, allow_private_networks: bool, patience: Duration) -> Result<(), String> {
    let looked_up = tokio::time::timeout(patience, tokio::net::lookup_host((name, 0))).await;
    let found = match looked_up {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("the name {name} cannot be resolved: {error}")),
        Err(_) => return Err(format!("the name {name} was not resolved in time")),
    };
    if found.is_empty() {
        return Err(NoAddress(name.to_owned()).to_string());
    }
    if allow_private_networks {
        return Ok(());
    }
    only_public(name, found).map(drop).map_err(|forbidden| forbidden.to_string())
}

/// The addresses that may be reached; an error when there are only others.
fn only_public(host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let mut refused = None;
    let mut public = Vec::with_capacity(found.len());
    for address in found {
        match forbidden_network(address.ip()) {
            Some(network) => refused = Some(network),
            None => public.push(address),
        }
    }
    match refused {
        Some(network) if public.is_empty() => Err(Forbidden { host: host.to_owned(), network }),
        Some(_) | None => Ok(public),
    }
}

/// The name of the private or reserved network that holds this address, if one does.
pub fn forbidden_network(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => forbidden_v4(inner).or_else(|| forbidden_v6(address)),
            None => forbidden_v6(address),
        },
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    FORBIDDEN_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, name)| *name)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    FORBIDDEN_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, name)| *name)
}

/// An IPv4 address in the clothes of an IPv6 one: mapped, translated (NAT64) or tunnelled (6to4).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let four = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    if NAT64.contains(&address) {
        return Some(four(12));
    }
    SIX_TO_FOUR.contains(&address).then(|| four(2))
}

const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// From the registries of special-purpose addresses (RFC 6890 and its successors).
static FORBIDDEN_V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "this host"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    // Where clouds keep their metadata services, and with them the machine's credentials.
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "reserved"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "reserved"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

static FORBIDDEN_V6: &[(Ipv6Net, &str)] = &[
    // Unspecified, loopback, and the old way to write IPv4 addresses.
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "loopback or IPv4-compatible"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local translation"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const fn v4(octets: [u8; 4], prefix_bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), prefix_bits)
}

const fn v6(parts: [u16; 8], prefix_bits: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_reserved_addresses_are_forbidden_in_every_spelling() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.1",
            "192.168.1.1",
            "100.100.100.200",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            let address = text.parse().expect("an address");

            assert!(forbidden_network(address).is_some(), "{text} must not be reached");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for text in ["157.240.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2a03:2880::1", "::ffff:8.8.8.8"] {
            let address = text.parse().expect("an address");

            assert_eq!(forbidden_network(address), None, "{text} is public");
        }
    }

    #[test]
    fn a_literal_address_is_recognised_however_a_url_writes_it() {
        for text in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "https://[::1]:8443/", "http://0/"] {
            let url = url::Url::parse(text).expect("a URL");

            assert!(check_literal(&url).is_err(), "{text} names this machine");
        }
        let name = url::Url::parse("https://graph.facebook.com/").expect("a URL");
        assert_eq!(check_literal(&name), Ok(()));
    }

    #[test]
    fn of_a_name_with_public_and_private_addresses_only_the_public_ones_remain() {
        let (public, private) = (SocketAddr::from(([8, 8, 8, 8], 0)), SocketAddr::from(([10, 0, 0, 1], 0)));

        assert_eq!(only_public("mixed.example", vec![private, public]), Ok(vec![public]));
        assert!(only_public("inner.example", vec![private]).is_err());
    }
}
