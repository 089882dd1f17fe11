//! TLS at our own door, for those who run without a proxy: the certificate comes from files and is read again
//! when they change, because certificates live for weeks and the bridge for months.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The certificate that is shown now, and the files that it came from.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// When the two files were last changed, as we last read them.
    seen: Mutex<[Option<SystemTime>; 2]>,
}

impl Certificate {
    /// Reads both files: the chain with the server's own certificate first, and its key, in PEM.
    pub fn load(chain: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let seen = [changed_at(chain), changed_at(key)];
        let current = read(chain, key, &provider)?;
        Ok(Arc::new(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            provider,
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(seen),
        }))
    }

    /// What the server needs to speak TLS 1.2 and 1.3 with it.
    pub fn server_config(self: &Arc<Self>) -> anyhow::Result<ServerConfig> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .context("the TLS library knows no version of TLS")?;
        Ok(config.with_no_client_auth().with_cert_resolver(self.clone()))
    }

    /// Takes over files that changed. What cannot be read (half written, a key that does not fit) leaves the old
    /// certificate in use, and is tried again when the files change again.
    pub fn refresh(&self) {
        let now = [changed_at(&self.chain), changed_at(&self.key)];
        {
            let mut seen = self.seen.lock().expect("nobody panics while holding it");
            if *seen == now {
                return;
            }
            *seen = now;
        }
        match read(&self.chain, &self.key, &self.provider) {
            Ok(fresh) => {
                self.current.store(Arc::new(fresh));
                tracing::info!(certificate = %self.chain.display(), "the new TLS certificate is in use");
            }
            Err(error) => tracing::error!("the old TLS certificate stays in use: {error:#}"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .with_context(|| format!("server.tls_certificate: could not read {}", chain.display()))?;
    anyhow::ensure!(
        !certificates.is_empty(),
        "server.tls_certificate: {} holds no certificate in PEM; give the full chain",
        chain.display()
    );
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("server.tls_key: could not read a private key in PEM from {}", key.display()))?;
    CertifiedKey::from_der(certificates, private, provider)
        .with_context(|| format!("server.tls_key {} does not fit the certificate {}", key.display(), chain.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Writes a file as if it had been changed so many seconds after the first.
    fn write(file: &Path, text: &str, seconds: u64) {
        fs::write(file, text).expect("the folder can be written to");
        let changed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds);
        let opened = fs::File::options().write(true).open(file).expect("it was written just now");
        opened.set_modified(changed_at).expect("the file system keeps times");
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn half_a_renewal_leaves_the_old_certificate_in_use_until_it_is_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let [first, second] = [made(), made()];
        write(&chain, &first.0, 0);
        write(&key, &first.1, 0);
        let certificate = Certificate::load(&chain, &key).expect("they fit");
        let shown = || certificate.current.load().cert.clone();
        let before = shown();

        for (second_of_change, half) in [(1, "nothing"), (2, second.0.as_str())] {
            write(&chain, half, second_of_change);
            certificate.refresh();
            assert_eq!(shown(), before, "the key is still the other's");
        }
        write(&key, &second.1, 3);
        certificate.refresh();
        assert_ne!(shown(), before, "the renewal is whole");
    }
}
