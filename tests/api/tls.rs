//! The bridge without a proxy: TLS of its own, and metrics at an address of their own.

use std::path::Path;

use tempfile::TempDir;
use wabridge::{
    app::{App, provider_exchange},
    settings::Settings,
};

use crate::harness::PATIENCE;

/// Writes a fresh certificate for `localhost` and its key; returns the certificate.
fn write_certificate(folder: &Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("the key is written");
    std::fs::write(folder.join("chain.pem"), made.cert.pem()).expect("the certificate is written");
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("what we wrote is a certificate")
}

/// A caller who trusts this certificate and no other.
fn caller(trusted: reqwest::Certificate) -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().expect("a client")
}

fn settings(folder: &TempDir, more: &str) -> Settings {
    let path = folder.path().display();
    Settings::from_text(&format!(
        r#"
        [server]
        bind = "127.0.0.1:0"
        {more}
        [database]
        url = "sqlite://{path}/wabridge.db"
        [security]
        master_key_file = "{path}/master.key"
        [media]
        directory = "{path}/media"
        "#
    ))
    .expect("the settings fit together")
}

fn with_tls(folder: &TempDir) -> Settings {
    let path = folder.path().display();
    settings(folder, &format!("tls_certificate = \"{path}/chain.pem\"\ntls_key = \"{path}/key.pem\""))
}

#[tokio::test]
async fn it_speaks_tls_and_takes_a_renewed_certificate_without_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = caller(write_certificate(folder.path()));
    let app = App::start(with_tls(&folder)).await.expect("it starts");
    let url = format!("https://localhost:{}/healthz", app.address.port());

    let answer = first.get(&url).send().await.expect("the certificate is the one that was given");
    assert_eq!(answer.status(), 200);
    let plain = first.get(url.replace("https", "http")).send().await;
    assert!(plain.is_err_and(|error| !error.is_timeout()), "nothing is said without TLS");

    let second = caller(write_certificate(folder.path()));
    let renewed = async {
        while second.get(&url).send().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the new certificate is used");
    app.stop().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_told_in_plain_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path());
    let app = App::start(with_tls(&folder)).await.expect("it starts");
    let mut trial = settings(&folder, "");
    trial.security.allow_private_networks = true;
    (trial.send.connect_timeout, trial.send.timeout) = (PATIENCE, PATIENCE);
    let exchange = provider_exchange(&trial).expect("a client");
    let url = format!("https://localhost:{}/clevertap/callback", app.address.port());

    let why = exchange.would_be_received(&url).await.expect_err("nobody trusts it");

    assert!(why.contains("issued by nobody whom this machine trusts") && why.contains("trust store"), "{why}");
    assert!(why.ends_with("as its issuer: rcgen self signed cert"), "{why}");
    app.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start_and_names_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path());
    let other = tempfile::tempdir().expect("a temporary folder");
    write_certificate(other.path());
    std::fs::copy(other.path().join("key.pem"), folder.path().join("key.pem")).expect("the key is replaced");

    let error = App::start(with_tls(&folder)).await.err().expect("the key is another certificate's");

    let text = format!("{error:#}");
    assert!(text.contains("server.tls_key") && text.contains("key.pem") && text.contains("does not fit"), "{text}");
}

#[tokio::test]
async fn metrics_with_an_address_of_their_own_are_nowhere_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = App::start(settings(&folder, "metrics_bind = \"127.0.0.1:0\"")).await.expect("it starts");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let status = async |address: std::net::SocketAddr, path: &str| {
        client.get(format!("http://{address}{path}")).send().await.expect("it answers").status().as_u16()
    };
    let own = app.metrics_address.expect("the metrics have an address");

    assert_eq!(status(own, "/metrics").await, 200);
    assert_ne!(status(own, "/readyz").await, 404, "ready or not yet");
    assert_eq!(status(app.address, "/metrics").await, 404);
    assert_eq!(status(app.address, "/healthz").await, 200);
    assert_eq!(status(own, "/webhooks/meta/any").await, 404);
    app.stop().await;
}
