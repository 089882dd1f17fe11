//! Opening the database with the key of its secrets, which is the one that it was first used with.
//!
//! A key is made by the server's first start, and by `wabridge apply` before that where the database is a file that does not
//! exist yet. Whatever else runs without the key, or with another one (in the wrong folder, on another machine), ends
//! before it has written anything: half of the secrets under a second key would be readable to nobody.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use crate::{
    settings::{Security, Settings},
    store::{
        Store, sqlite_path,
        vault::{MasterKey, Vault},
    },
};

/// Opens the database of commands that ask about, or change, what a bridge has made.
pub async fn open_existing_store(settings: &Settings) -> anyhow::Result<Store> {
    ensure_exists(settings)?;
    let (store, unfinished) = open(settings, NewKey::Never).await?;
    Ok(warned(store, unfinished))
}

/// Opens the database for the server, creating it when there is none, and its key when it has no secrets yet.
pub async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let (store, unfinished) = open(settings, NewKey::WithoutSecrets).await?;
    Ok(warned(store, unfinished))
}

/// Opens the database for a first configuration, which may come before the first start of the server. A database that others
/// may share is the server's to begin: only where that runs is the right place for its key.
pub async fn open_store_to_configure(settings: &Settings) -> anyhow::Result<Store> {
    let is_new = sqlite_path(&settings.database.url).is_some_and(|path| !path.exists());
    let (store, unfinished) = open(settings, if is_new { NewKey::WithoutSecrets } else { NewKey::Never }).await?;
    Ok(warned(store, unfinished))
}

/// As [`open_existing_store`]; says too whether the database has the key of a change that was not finished.
pub async fn open_store_with_its_key(settings: &Settings) -> anyhow::Result<(Store, bool)> {
    ensure_exists(settings)?;
    open(settings, NewKey::Never).await
}

/// Opens a database whose secrets nobody can read any more; refuses when they can be read. Says whether there is a key that
/// may become the database's; without one the store has one that is not kept anywhere.
pub async fn open_store_whose_key_is_lost(settings: &Settings) -> anyhow::Result<(Store, bool)> {
    ensure_exists(settings)?;
    let key = MasterKey::load(&settings.security)?;
    let has_key = key.is_some();
    let store = Store::open(&settings.database, Vault::new(&key.unwrap_or_else(MasterKey::random))).await?;
    let readable =
        store.opens_its_secrets().await? != Some(false) || opened_by_waiting(settings, &store).await?.is_some();
    ensure!(
        !readable,
        "the secrets in this database can be read, so none of them is replaced: run the command without --replace-secrets"
    );
    Ok((store, has_key))
}

/// When a key may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewKey {
    WithoutSecrets,
    Never,
}

async fn open(settings: &Settings, new_key: NewKey) -> anyhow::Result<(Store, bool)> {
    let (store, unfinished) = match MasterKey::load(&settings.security)? {
        Some(key) => {
            let store = Store::open(&settings.database, Vault::new(&key)).await?;
            match store.opens_its_secrets().await? {
                Some(true) | None => (store, false),
                Some(false) => match opened_by_waiting(settings, &store).await? {
                    Some(changed) => (changed, true),
                    None => bail!(wrong_key(&settings.security)),
                },
            }
        }
        None if new_key == NewKey::Never => bail!(no_key(&settings.security)),
        None => {
            // Nothing is sealed with this one: it only opens the database to see whether it is new.
            let store = Store::open(&settings.database, Vault::new(&MasterKey::random())).await?;
            ensure!(store.opens_its_secrets().await?.is_none(), lost_key(&settings.security));
            (store.with_vault(Vault::new(&MasterKey::make(&settings.security)?)), false)
        }
    };
    store.mark_master_key().await?;
    Ok((store, unfinished))
}

/// The database with the key of a change that was interrupted, when that is the one that it has.
async fn opened_by_waiting(settings: &Settings, store: &Store) -> anyhow::Result<Option<Store>> {
    let Some(waiting) = MasterKey::waiting(&settings.security)? else { return Ok(None) };
    let changed = store.clone().with_vault(Vault::new(&waiting));
    Ok((changed.opens_its_secrets().await? == Some(true)).then_some(changed))
}

fn warned(store: Store, unfinished: bool) -> Store {
    if unfinished {
        tracing::warn!(
            "a change of the master key was interrupted after the database was changed; it works, and `wabridge rotate-key` \
             puts the new key in its place"
        );
    }
    store
}

fn ensure_exists(settings: &Settings) -> anyhow::Result<()> {
    if let Some(path) = sqlite_path(&settings.database.url) {
        ensure!(
            path.exists(),
            "there is no database at {}; start `wabridge serve` first, or run this in the server's folder and with its settings \
             (--settings FILE)",
            whole(&path).display()
        );
    }
    Ok(())
}

fn no_key(security: &Security) -> String {
    format!(
        "there is no master key here: security.master_key is not set, and there is no file {}. Nothing is changed. Run this in \
         the server's folder and with its settings (--settings FILE), or set security.master_key to the server's key. The key is \
         made by the first `wabridge serve`",
        whole(&security.master_key_file).display()
    )
}

fn lost_key(security: &Security) -> String {
    format!(
        "the database has secrets, and there is no master key: security.master_key is not set, and there is no file {}. Start in \
         the folder and with the settings that it was first started with, or put a copy of its key there. When the key is \
         lost for good, `wabridge apply FILE --replace-secrets` takes all secrets from a file again",
        whole(&security.master_key_file).display()
    )
}

fn wrong_key(security: &Security) -> String {
    let place = match &security.master_key {
        Some(_) => "the setting security.master_key".to_owned(),
        None => whole(&security.master_key_file).display().to_string(),
    };
    format!(
        "the master key in {place} is not this database's, so its secrets cannot be read and nothing is changed. Use the folder \
         and settings (--settings FILE) of the server, or put the database's key there. When it is lost for good, stop the \
         server and run `wabridge apply FILE --replace-secrets`, which takes all secrets from a file again"
    )
}

/// Where a relative path leads depends on the folder, which is the usual mistake.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
