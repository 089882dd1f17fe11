use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn url(text: &str) -> url::Url {
    url::Url::parse(text).expect("a URL")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

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
        "::ffff:0:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:a00:0:100::",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "2a03:2880::5efe:10.0.0.1",
        "2a03:2880::200:5efe:192.168.0.1",
        "fe80::5efe:8.8.8.8",
        "2001:db8::1",
        "3fff::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(forbidden_network(address(text)).is_some(), "{text} must not be reached");
    }
}

#[test]
fn public_addresses_are_allowed() {
    for text in [
        "157.240.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2a03:2880::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2a03:2880::5efe:8.8.8.8",
    ] {
        assert_eq!(forbidden_network(address(text)), None, "{text} is public");
    }
}

#[test]
fn a_literal_address_is_recognised_however_a_url_writes_it() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.0x1",
        "%31%32%37.0.0.1",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "127.0.0.1.",
        "0",
        "3232235777",
        "0xa.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let url = url(&format!("https://{host}:8443/"));

        assert!(matches!(check_literal(&url, false), Err(Forbidden::Private { .. })), "{host} names this machine");
        assert_eq!(check_literal(&url, true), Ok(()), "{host}, where private networks are allowed");
    }
    assert_eq!(check_literal(&url("https://graph.facebook.com/"), false), Ok(()));
}

#[test]
fn an_address_with_a_zone_is_no_host_of_a_url() {
    for host in ["[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "fe80::1%25eth0", "127.0.0.1%25lo"] {
        assert!(url::Url::parse(&format!("https://{host}/")).is_err(), "{host}");
    }
}

#[test]
fn metadata_services_are_refused_also_where_private_networks_are_allowed() {
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.23",
        "169.254.42.42",
        "[fd00:42::42]",
        "169.254.1.1",
        "[fe80::1]",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[fe80::a9fe:a9fe]",
        "[::ffff:169.254.169.254]",
        "[::169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:a9fe:a9fe::1]",
        "[2001:0:808:808::5601:5601]",
        "[2a03:2880::5efe:169.254.169.254]",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata.goog",
        "instance-data",
    ] {
        for allow_private_networks in [false, true] {
            let checked = check_literal(&url(&format!("https://{host}/latest/meta-data")), allow_private_networks);

            assert!(matches!(checked, Err(Forbidden::Metadata { .. })), "{host}: {checked:?}");
        }
    }
    for host in ["10.0.0.1", "[fd00::1]", "metadata.example.com"] {
        assert_eq!(check_literal(&url(&format!("https://{host}/")), true), Ok(()), "{host} may be a neighbour");
    }
}

#[test]
fn a_name_with_one_private_address_is_refused_with_all_its_public_ones() {
    let [public, other, private, metadata] =
        [[8, 8, 8, 8], [9, 9, 9, 9], [10, 0, 0, 1], [169, 254, 169, 254]].map(|octets| SocketAddr::from((octets, 0)));
    let check = |found: &[SocketAddr], allowed| check_all("mixed.example", found.to_vec(), allowed);

    assert_eq!(check(&[public, other], false), Ok(vec![public, other]));
    for found in [&[public, private][..], &[private, public], &[private]] {
        assert!(matches!(check(found, false), Err(Forbidden::Private { .. })), "{found:?}");
        assert_eq!(check(found, true), Ok(found.to_vec()));
    }
    for allowed in [false, true] {
        assert!(matches!(check(&[public, metadata], allowed), Err(Forbidden::Metadata { .. })));
    }
}

#[tokio::test]
async fn a_name_that_points_elsewhere_after_it_was_looked_at_is_not_followed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let inner = listener.local_addr().expect("it is bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let names: Names = {
        let asked = asked.clone();
        Arc::new(move |_| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            let found = SocketAddr::from((if first { [8, 8, 8, 8] } else { [127, 0, 0, 1] }, 0));
            Box::pin(async move { Ok(vec![found]) })
        })
    };
    let resolver = || GuardedResolver { names: names.clone(), allow_private_networks: false, trusted_host: None };
    let name = "rebinding.example".parse().expect("a name");
    let looked_at = resolver().resolve(name).await.expect("public at first").collect::<Vec<_>>();
    assert_eq!(looked_at, [SocketAddr::from(([8, 8, 8, 8], 0))]);

    let client = reqwest::Client::builder().no_proxy().dns_resolver(resolver()).build().expect("a client");
    let called = client.get(format!("http://rebinding.example:{}/", inner.port())).send().await;

    let mut told = String::new();
    let error = called.expect_err("it is private by now");
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(error) = cause {
        told.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(told.contains("private or reserved network (loopback)"), "{told}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "it was asked again when the connection was made");
    assert!(listener.into_std().expect("a listener").accept().is_err(), "nobody may have come");
}
