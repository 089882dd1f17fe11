//! Keeps outgoing requests out of private networks.
//!
//! Callback URLs are typed by people, and whoever may type one could otherwise make the bridge talk to
//! its own neighbours: a database, a router, a cloud's metadata service. A name proves nothing, because it
//! can point elsewhere a second later, so addresses are looked at when a connection is made:
//! [`GuardedResolver`] hands the HTTP client only what may be reached. Literal addresses never pass a
//! resolver; [`check_literal`] looks at those.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names and refuses those that lead where nobody may go. The client asks it each time it makes a connection, so that
/// what a name meant when somebody looked at it does not matter.
pub struct GuardedResolver {
    pub names: Names,
    pub allow_private_networks: bool,
    /// The host of the operator's own proxy: often private, and trusted because the operator named it.
    pub trusted_host: Option<String>,
}

/// Who knows the addresses of names.
pub type Names = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub fn names_of_the_system() -> Names {
    // The port is the client's business; 0 leaves it open.
    Arc::new(|host| Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) }))
}

/// Why a request was not made. It ends with what the operator can do.
#[derive(Debug, PartialEq, Eq)]
pub enum Forbidden {
    Private {
        host: String,
        network: &'static str,
    },
    /// Whatever is allowed: nothing that the bridge has business with is there, and the machine's credentials are.
    Metadata {
        host: String,
    },
}

impl Error for Forbidden {}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private { host, network } => write!(
                f,
                "{host} is in a private or reserved network ({network}); if this is meant, set security.allow_private_networks"
            ),
            Self::Metadata { host } => write!(
                f,
                "{host} is where clouds keep their machines' credentials, or link-local as those addresses are, and is never \
                 called; give another address"
            ),
        }
    }
}

/// The name exists but has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no address")]
struct NoAddress(String);

/// Refuses a URL whose host is written as a forbidden address, or names a metadata service.
pub fn check_literal(url: &url::Url, allow_private_networks: bool) -> Result<(), Forbidden> {
    match url.host() {
        Some(url::Host::Ipv4(address)) => {
            check_address(&address.to_string(), IpAddr::V4(address), allow_private_networks)
        }
        Some(url::Host::Ipv6(address)) => {
            check_address(&address.to_string(), IpAddr::V6(address), allow_private_networks)
        }
        // Where it leads is looked at when it is resolved; behind a proxy that is not here.
        Some(url::Host::Domain(name)) => check_name(name),
        None => Ok(()),
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let trusted = self.trusted_host.as_deref().is_some_and(|trusted| trusted.eq_ignore_ascii_case(&host));
        let everything = self.allow_private_networks || trusted;
        let asked = (self.names)(host.clone());
        Box::pin(async move {
            let addresses = check_all(&host, asked.await?, everything)?;
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
    check_all(name, found, allow_private_networks).map(drop).map_err(|forbidden| forbidden.to_string())
}

/// All addresses of a name, or an error when one of them may not be reached: whoever owns a name with an inner address among
/// public ones wants to see which of them we take.
fn check_all(host: &str, found: Vec<SocketAddr>, allow_private_networks: bool) -> Result<Vec<SocketAddr>, Forbidden> {
    check_name(host)?;
    for address in &found {
        check_address(host, address.ip(), allow_private_networks)?;
    }
    Ok(found)
}

fn check_address(host: &str, address: IpAddr, allow_private_networks: bool) -> Result<(), Forbidden> {
    if is_metadata(address) {
        return Err(Forbidden::Metadata { host: host.to_owned() });
    }
    match forbidden_network(address).filter(|_| !allow_private_networks) {
        Some(network) => Err(Forbidden::Private { host: host.to_owned(), network }),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Forbidden> {
    let plain = name.trim_end_matches('.');
    match METADATA_NAMES.iter().any(|known| plain.eq_ignore_ascii_case(known)) {
        true => Err(Forbidden::Metadata { host: name.to_owned() }),
        false => Ok(()),
    }
}

/// The name of the private or reserved network that holds this address, if one does.
pub fn forbidden_network(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => {
            let plain = address.to_ipv4_mapped().is_some();
            let inner = embedded_v4(address).into_iter().find_map(forbidden_v4);
            inner.or_else(|| if plain { None } else { forbidden_v6(address) })
        }
    }
}

/// Whether a cloud's metadata service answers here, in any way of writing the address.
fn is_metadata(address: IpAddr) -> bool {
    let v4 = |address: &Ipv4Addr| METADATA_V4.iter().any(|network| network.contains(address));
    match address {
        IpAddr::V4(address) => v4(&address),
        IpAddr::V6(address) => {
            METADATA_V6.iter().any(|network| network.contains(&address)) || embedded_v4(address).iter().any(v4)
        }
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    FORBIDDEN_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, name)| *name)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    FORBIDDEN_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, name)| *name)
}

/// IPv4 addresses in the clothes of an IPv6 one: mapped, compatible, translated (NAT64, ours or the world's) or tunnelled
/// (6to4, Teredo, ISATAP). A router on the way may take them off.
fn embedded_v4(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let four = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
    let mut found = Vec::new();
    if ENDS_IN_V4.iter().any(|network| network.contains(&address)) || octets[9..12] == [0, 0x5e, 0xfe] {
        found.push(four(12));
    }
    if LOCAL_NAT64.contains(&address) {
        // Around the octet that must be zero where the prefix is as short as this one.
        found.push(Ipv4Addr::new(octets[6], octets[7], octets[9], octets[10]));
    }
    if SIX_TO_FOUR.contains(&address) {
        found.push(four(2));
    }
    if TEREDO.contains(&address) {
        // The server, and the client behind it, which is written upside down.
        found.extend([four(4), Ipv4Addr::from_bits(!four(12).to_bits())]);
    }
    found
}

const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32);

/// Whose last four octets are an IPv4 address.
static ENDS_IN_V4: &[Ipv6Net] = &[
    // Compatible, mapped, translated; and the two prefixes of NAT64.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    LOCAL_NAT64,
];

/// Where clouds keep their metadata services, and with them the machine's credentials.
static METADATA_V4: &[Ipv4Net] = &[
    // Amazon (also for containers), Google, Azure, Oracle, Tencent, Scaleway and others: nobody's server lives among them.
    v4([169, 254, 0, 0], 16),
    // Alibaba, Azure's wire server, Oracle of old.
    v4([100, 100, 100, 200], 32),
    v4([168, 63, 129, 16], 32),
    v4([192, 0, 0, 192], 32),
];

static METADATA_V6: &[Ipv6Net] = &[
    // Amazon's, Google's, Scaleway's, and OpenStack's among the link-local ones.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
];

static METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];

/// From the registries of special-purpose addresses (RFC 6890 and its successors).
static FORBIDDEN_V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "this host"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([168, 63, 129, 16], 32), "a cloud's own"),
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
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "IPv4-translated"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "local translation"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "reserved"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "segment routing"),
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
mod tests;
