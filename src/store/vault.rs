//! Secrets at rest: access tokens, passcodes and callback URLs are written to the database encrypted.
//!
//! One master key for the whole database, kept outside of it: in a setting, or in a file that the first
//! start makes. A second key for the same database would make its secrets unreadable, so whether one may be made is decided
//! by whoever has looked into the database (`app::opening`). A sealed secret is bound to its place (table and id): copied into another row it does
//! not open. It begins with the number of its format, so that a later format can live beside this one.
//!
//! **A change of the key** must survive a crash at any point: the new key is in a file beside the old one before the database
//! knows it, the database changes in one transaction, and then one rename makes the new file the only one. Whoever starts
//! in between finds two files, and asks the database which of them it is.
//!
//! Absent on purpose: keys per account, and the encryption of messages, which is the disk's task.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Key, KeyInit, Payload},
};
use secrecy::{ExposeSecret, SecretBox};

use crate::settings::Security;

/// Seals and opens secrets.
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

/// The only format so far: this byte, the nonce, the ciphertext with its tag.
const FORMAT: u8 = 1;
pub(super) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// A key file holds a line of 45 bytes; a larger file is something else.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// A sealed secret does not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error(
        "could not decrypt {0}: the master key is not the one it was encrypted with. Restore the former key \
         (security.master_key or the file security.master_key_file)"
    )]
    WrongKey(String),
    #[error("could not decrypt {0}: it was written by a newer version of wabridge. Run that version")]
    UnknownFormat(String),
}

impl Vault {
    pub fn new(key: &MasterKey) -> Self {
        let key = Key::<XChaCha20Poly1305>::try_from(key.0.expose_secret().as_slice())
            .expect("a master key has the length that the cipher wants");
        Self { cipher: XChaCha20Poly1305::new(&key) }
    }

    /// Encrypts a secret for its place, for example `connections/meta-main`. Twice the same gives two different texts.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Vec<u8> {
        // 24 random bytes do not repeat, however many secrets one key seals.
        let nonce = XNonce::generate();
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let ciphertext = self.cipher.encrypt(&nonce, payload).expect("only secrets of many gigabytes are too long");
        [&[FORMAT], nonce.as_slice(), ciphertext.as_slice()].concat()
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let wrong_key = || VaultError::WrongKey(place.to_owned());
        let (format, rest) = sealed.split_first().ok_or_else(wrong_key)?;
        if *format != FORMAT {
            return Err(VaultError::UnknownFormat(place.to_owned()));
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_BYTES).ok_or_else(wrong_key)?;
        let nonce = XNonce::try_from(nonce).expect("split at its length");
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        self.cipher.decrypt(&nonce, payload).map_err(|_| wrong_key())
    }
}

/// 32 random bytes. Whoever has them and the database has every secret.
pub struct MasterKey(SecretBox<[u8; KEY_BYTES]>);

/// There is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("{0} is not a master key: it must be 32 bytes in base64, as `openssl rand -base64 32` prints them")]
    Malformed(String),
    #[error("could not read the master key file {}: let the user that runs wabridge read it, or set security.master_key", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error(
        "could not make the master key file {}: make its folder writable, or set security.master_key to the output of \
         `openssl rand -base64 32`", .0.display()
    )]
    NotMade(PathBuf, #[source] std::io::Error),
}

impl MasterKey {
    /// Makes a new one in its file, for a database that has no secrets yet. When there is one, it is that.
    pub fn make(settings: &Security) -> Result<Self, MasterKeyError> {
        let path = &settings.master_key_file;
        make_file(path).map_err(|source| MasterKeyError::NotMade(path.clone(), source))?;
        // Read what is there now, also when another process was faster.
        Self::read(path)?.ok_or_else(|| MasterKeyError::Unreadable(path.clone(), ErrorKind::NotFound.into()))
    }

    /// The configured key, else the one in the file; `None` when there is none yet. None is made.
    pub fn load(settings: &Security) -> Result<Option<Self>, MasterKeyError> {
        if let Some(text) = &settings.master_key {
            let key = Self::parse(text.expose_secret());
            return key.map(Some).ok_or_else(|| MasterKeyError::Malformed("security.master_key".to_owned()));
        }
        match Self::read(&settings.master_key_file)? {
            Some(key) => Ok(Some(key)),
            // Somebody moved the old one away by hand.
            None => Self::waiting(settings),
        }
    }

    /// The key that a change has begun with, when it was not finished.
    pub fn waiting(settings: &Security) -> Result<Option<Self>, MasterKeyError> {
        match &settings.master_key {
            Some(_) => Ok(None),
            None => Self::read(&waiting_file(&settings.master_key_file)),
        }
    }

    /// A new one, which nobody has yet.
    pub fn random() -> Self {
        Self(SecretBox::new(Box::new(random_key())))
    }

    /// Reads a key as `openssl rand -base64 32` prints it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = BASE64.decode(text.trim()).ok()?.try_into().ok()?;
        Some(Self(SecretBox::new(Box::new(bytes))))
    }

    /// `None` when there is no file.
    fn read(path: &Path) -> Result<Option<Self>, MasterKeyError> {
        let unreadable = |source| MasterKeyError::Unreadable(path.to_owned(), source);
        let malformed = || MasterKeyError::Malformed(format!("the content of {}", path.display()));
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
            return Err(malformed());
        }
        warn_when_open_to_others(path, &metadata);
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map(Some).ok_or_else(malformed)
    }
}

/// From the system's own source of randomness.
pub(super) fn random_key() -> [u8; KEY_BYTES] {
    Key::<XChaCha20Poly1305>::generate().into()
}

/// Where a new key waits for the database to be changed.
pub fn waiting_file(path: &Path) -> PathBuf {
    with_ending(path, "new")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Puts a new key where [`MasterKey::waiting`] finds it, on the disk before this returns.
pub fn keep_waiting(path: &Path, key: &MasterKey) -> std::io::Result<()> {
    let waiting = waiting_file(path);
    write_key(&waiting, key)?.persist(&waiting)?;
    sync_folder(path)
}

/// Makes the key that waits the only one; the old file stays under another name, which is given back.
pub fn take_over_waiting(path: &Path, today: &str) -> std::io::Result<PathBuf> {
    let old = with_ending(path, &format!("old-{today}"));
    match fs::hard_link(path, &old) {
        // Done by an earlier try, or nothing to keep.
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
        done => done?,
    }
    sync_folder(path)?;
    // In one step, so that there is a key under this name at every moment.
    fs::rename(waiting_file(path), path)?;
    sync_folder(path)?;
    Ok(old)
}

/// Gives up a change that has not begun in the database.
pub fn discard_waiting(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(waiting_file(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    fs::File::open(folder_of(path))?.sync_all()
}

/// A temporary file beside `path` with the key in it. It is for its owner alone (mode 0600), and so is what becomes of it.
fn write_key(path: &Path, key: &MasterKey) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", BASE64.encode(key.0.expose_secret()))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Writes a new key, whole or not at all, and never over an existing file: that one may be all that opens a database.
fn make_file(path: &Path) -> std::io::Result<()> {
    match write_key(path, &MasterKey::random())?.persist_noclobber(path) {
        Ok(_) => {
            sync_folder(path)?;
            tracing::info!(path = %path.display(), "made a new master key: keep a copy of it apart from the database");
            Ok(())
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[cfg(unix)]
fn warn_when_open_to_others(path: &Path, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(%path, "the master key file can be read by others (mode {mode:o}): run chmod 600 {path}");
    }
}

#[cfg(not(unix))]
fn warn_when_open_to_others(_path: &Path, _metadata: &fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const PLACE: &str = "connections/meta-main";

    fn security(folder: &Path) -> Security {
        Security { master_key_file: folder.join("keys/master.key"), ..Settings::defaults().security }
    }

    #[test]
    fn a_secret_opens_with_the_key_and_for_the_place_it_was_sealed_for() {
        let key = MasterKey::random();
        let vault = Vault::new(&key);
        let sealed = vault.seal(PLACE, b"a token");

        assert_eq!(Vault::new(&key).open_sealed(PLACE, &sealed), Ok(b"a token".to_vec()));
        assert_ne!(sealed, vault.seal(PLACE, b"a token"), "the nonce is random");
        assert!(!sealed.windows(7).any(|window| window == b"a token"));
        assert_eq!(
            vault.open_sealed("connections/other", &sealed),
            Err(VaultError::WrongKey("connections/other".to_owned()))
        );
    }

    #[test]
    fn another_key_or_a_changed_byte_does_not_open_it() {
        let vault = Vault::new(&MasterKey::random());
        let sealed = vault.seal(PLACE, b"a token");

        let error = Vault::new(&MasterKey::random()).open_sealed(PLACE, &sealed).expect_err("another key");
        assert!(error.to_string().contains("security.master_key"), "{error}");
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            vault.open_sealed(PLACE, &changed).expect_err("changed");
        }
        for length in 0..sealed.len() {
            vault.open_sealed(PLACE, &sealed[..length]).expect_err("cut off");
        }
        assert_eq!(vault.open_sealed(PLACE, &[2, 0]), Err(VaultError::UnknownFormat(PLACE.to_owned())));
    }

    fn load_or_make(settings: &Security) -> Result<MasterKey, MasterKeyError> {
        MasterKey::load(settings)?.map_or_else(|| MasterKey::make(settings), Ok)
    }

    #[test]
    fn the_first_start_makes_a_key_file_and_the_next_one_uses_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = security(folder.path());

        let sealed = Vault::new(&load_or_make(&settings).expect("made")).seal(PLACE, b"a token");
        let made = fs::read(&settings.master_key_file).expect("the file");
        let opened = Vault::new(&load_or_make(&settings).expect("read")).open_sealed(PLACE, &sealed);

        assert_eq!(opened, Ok(b"a token".to_vec()));
        assert_eq!(fs::read(&settings.master_key_file).expect("the file"), made);
        assert_eq!(fs::read_dir(folder.path().join("keys")).expect("the folder").count(), 1, "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_key_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = security(folder.path());

        load_or_make(&settings).expect("made");

        let mode = fs::metadata(&settings.master_key_file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = security(folder.path());
        fs::create_dir_all(folder.path().join("keys")).expect("the folder");
        for content in ["", "c2hvcnQ=", "not base64 at all", &"A".repeat(5000)] {
            fs::write(&settings.master_key_file, content).expect("written");

            let error = load_or_make(&settings).err().expect("no key");

            assert!(error.to_string().contains("openssl rand -base64 32"), "{error}");
            assert_eq!(fs::read_to_string(&settings.master_key_file).expect("the file"), content);
        }
    }

    #[test]
    fn a_configured_key_goes_before_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = security(folder.path());
        settings.master_key = Some(BASE64.encode([7; KEY_BYTES]).into());

        let key = load_or_make(&settings).expect("configured");

        assert_eq!(key.0.expose_secret(), &[7; KEY_BYTES]);
        assert!(!settings.master_key_file.exists());
        settings.master_key = Some("nonsense".into());
        assert!(load_or_make(&settings).is_err());
    }
}
