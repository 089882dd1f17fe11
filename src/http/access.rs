//! Who is calling: for log lines about those who were turned away.

use std::net::IpAddr;

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The caller's address: the peer's, or what the nearest proxies that we trust say of theirs.
pub fn remote_address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = forwarded.flat_map(|list| list.split(',')).map(str::trim).collect();
    Some(nearest_stranger(peer, &forwarded, trusted))
}

/// Each proxy appends whom it saw, so the list is read from its end, for as long as we trust who wrote.
fn nearest_stranger(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    for claim in forwarded.iter().rev() {
        if !is_trusted(&nearest) {
            break;
        }
        let Ok(address) = claim.parse() else { break };
        nearest = address;
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        nearest_stranger(peer.parse().expect("an address"), forwarded, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(nearest("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(nearest("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(nearest("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(nearest("10.0.0.1", &["nonsense"]), "10.0.0.1");
    }
}
