//! Who is calling, and from where?

use std::{net::IpAddr, sync::Arc};

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::{
    clock,
    domain::{account::Account, network::Network},
    platforms::{CallerProof, Platform},
    services::{accept::Stranger, directory::Snapshot},
};

/// The account that this call may speak for. All else is a stranger, and looks the same from outside: an unknown or
/// disabled account, wrong credentials, an address from which this account does not call.
pub fn account_of_caller<'a>(
    request: &HttpRequest,
    platform: &dyn Platform,
    snapshot: &'a Snapshot,
    account_id: &'a str,
    url_token: Option<&str>,
    trusted_proxies: &[IpNet],
) -> Result<&'a Arc<Account>, Stranger<'a>> {
    let address = remote_address(request, trusted_proxies);
    let from = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let stranger = |known, why: String| Err(Stranger { account_id, known, why });
    let of_platform = |account: &&Arc<Account>| account.platform == platform.slug();
    let Some(account) = snapshot.account(account_id).filter(of_platform) else {
        return stranger(None, format!("there is no such account (the call came from {from})"));
    };
    if !account.enabled {
        return stranger(None, format!("it is disabled; `enabled` in the apply file says so (it came from {from})"));
    }
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    if !platform.authenticate(account, &CallerProof { header: &header, url_token, now: clock::now() }) {
        return stranger(Some(account), format!("its credentials are missing or wrong (it came from {from})"));
    }
    if !may_call_from(&account.policy.allowed_addresses, address) {
        let why = format!(
            "it came from {from}, which is not among the account's allowed_addresses; add it, or, if it is a proxy of \
             yours, to server.trusted_proxies"
        );
        return stranger(Some(account), why);
    }
    Ok(account)
}

/// Without a list anybody may who has the credentials.
fn may_call_from(allowed: &[Network], address: Option<IpAddr>) -> bool {
    allowed.is_empty() || address.is_some_and(|address| allowed.iter().any(|network| network.0.contains(&address)))
}

/// The caller's address: the peer's, or what the nearest proxies that we trust say of theirs.
pub fn remote_address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    // A socket for both kinds of addresses shows the old ones in the new form.
    let peer = request.peer_addr()?.ip().to_canonical();
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
        let Ok(address) = claim.parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
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
        assert_eq!(nearest("10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn a_list_of_addresses_lets_only_those_in() {
        let allowed = ["203.0.113.0/24", "198.51.100.7"].map(|text| Network::parse(text).expect("a network"));
        let may = |address: &str| may_call_from(&allowed, Some(address.parse().expect("an address")));

        assert!(may("203.0.113.200") && may("198.51.100.7"));
        assert!(!may("198.51.100.8") && !may("2001:db8::1"));
        assert!(!may_call_from(&allowed, None), "who cannot be placed is not in the list");
        assert!(may_call_from(&[], None), "no list, no limit");
    }
}
