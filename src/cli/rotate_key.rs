//! `wabridge rotate-key`: a new master key.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use wabridge::{
    app::{lock_database, open_store_with_its_key},
    clock,
    services::backup::stamp,
    settings::Settings,
    store::{
        Store,
        audit::AuditEntry,
        rotate::Resealed,
        sqlite_path,
        vault::{MasterKey, Vault, discard_waiting, keep_waiting, take_over_waiting},
    },
};

use super::{answer, answer_json, backup::whole, counted, misused, this_user};

/// Encrypt all secrets in the database with a new master key
///
/// The server must be stopped, on PostgreSQL every instance. The former key file stays beside the new one, as
/// master.key.old-…: backups made before can be read with it only. A crash in the middle does no harm: a server starts
/// with whichever of the two keys the database has, and this command, run again, finishes the change.
///
/// Links to media and the hashes of the suppression list stay valid. Who had the old key and a copy of the database knows the
/// tokens in it: change those at Meta and CleverTap too.
#[derive(Args)]
#[command(after_help = "\
Where the key is a file (security.master_key_file), a new one is made and put in its place; machines that share the
database need a copy. Where it is a setting (security.master_key), give the new one in an environment variable:

  NEW_KEY=$(openssl rand -base64 32) wabridge rotate-key --to-key-env NEW_KEY

and set security.master_key to it before the next start.

Example:
  wabridge rotate-key          the server is stopped, and the key is in a file

Exit codes: 0 changed; 1 it failed, and the former key is still the database's; 2 --to-key-env is needed.
--json prints: done, secrets, key_file, old_key_file, finished_earlier.")]
pub(crate) struct RotateKeyArguments {
    /// Take the new key from this environment variable: 32 bytes in base64
    #[arg(long, value_name = "NAME")]
    to_key_env: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// Always so: what cannot be done is an error.
    done: bool,
    /// How many secrets were sealed anew.
    secrets: usize,
    key_file: Option<PathBuf>,
    old_key_file: Option<PathBuf>,
    /// An earlier change had been interrupted, and only its last step was left.
    finished_earlier: bool,
}

pub(crate) async fn rotate_key(settings: &Settings, arguments: &RotateKeyArguments) -> anyhow::Result<ExitCode> {
    let given = match &arguments.to_key_env {
        Some(name) => Some(key_from(name)?),
        None if settings.security.master_key.is_some() => {
            return Err(misused(
                "the key is the setting security.master_key, which only you can change: make a new one with `openssl rand -base64 32`, \
             give it in an environment variable, and name that with --to-key-env",
            ));
        }
        None => None,
    };
    if let Some(path) = sqlite_path(&settings.database.url) {
        anyhow::ensure!(
            path.exists(),
            "there is no database at {}; run this in the server's folder, or with its settings (--settings FILE)",
            whole(&path).display()
        );
    }
    // Held until the end: no server may start in between.
    let _lock = lock_database(&settings.database.url)?;
    let (store, unfinished) = open_store_with_its_key(settings).await?;
    let file = settings.security.master_key.is_none().then_some(settings.security.master_key_file.as_path());
    let report = match file {
        Some(file) if unfinished => Report { secrets: 0, finished_earlier: true, ..taken_over(file, 0)? },
        Some(file) => into_file(&store, settings, file, given.unwrap_or_else(MasterKey::random)).await?,
        None => {
            let key = given.context("a key that is a setting is replaced by one that was given")?;
            let secrets = reseal(&store, settings, &key).await?;
            Report { done: true, secrets, key_file: None, old_key_file: None, finished_earlier: false }
        }
    };
    if arguments.json {
        answer_json(&report)?
    } else {
        answer(&told(&report))?
    }
    Ok(ExitCode::SUCCESS)
}

fn key_from(name: &str) -> anyhow::Result<MasterKey> {
    let text = std::env::var(name).ok().with_context(|| format!("there is no environment variable {name}"))?;
    MasterKey::parse(&text).with_context(|| {
        format!("{name} holds no master key: it must be 32 bytes in base64, as `openssl rand -base64 32` prints them")
    })
}

/// The new key is on the disk before the database needs it, and in its place when nothing needs the old one.
async fn into_file(store: &Store, settings: &Settings, file: &Path, key: MasterKey) -> anyhow::Result<Report> {
    keep_waiting(file, &key).with_context(|| format!("could not write the new key beside {}", file.display()))?;
    match reseal(store, settings, &key).await {
        Ok(secrets) => taken_over(file, secrets),
        Err(error) => {
            // When it is not certain that nothing was changed, the new key must not be lost.
            if store.opens_its_secrets().await.is_ok_and(|opens| opens == Some(true)) {
                discard_waiting(file).context("could not remove the new key, which nothing uses")?;
            }
            Err(error)
        }
    }
}

fn taken_over(file: &Path, secrets: usize) -> anyhow::Result<Report> {
    let old = take_over_waiting(file, &stamp(clock::now())).with_context(|| {
        format!(
            "the database has the new key, which is in {0}.new and could not be put in the place of {0}; run this command again",
            file.display()
        )
    })?;
    Ok(Report {
        done: true,
        secrets,
        key_file: Some(file.to_owned()),
        old_key_file: Some(old),
        finished_earlier: false,
    })
}

async fn reseal(store: &Store, settings: &Settings, key: &MasterKey) -> anyhow::Result<usize> {
    let entry = AuditEntry::new(&this_user(), "change master key", "master key");
    match store.reseal(&Vault::new(key), settings.instance.lease, entry).await? {
        Resealed::Done { secrets } => Ok(secrets),
        Resealed::StillRunning(instances) => bail!(
            "instances run on this database, and would go on with the old key: {}. Stop them, wait for instance.lease, and try again",
            instances.join(", ")
        ),
    }
}

fn told(report: &Report) -> String {
    let what = if report.finished_earlier {
        "A change of the key that was interrupted is finished.\n".to_owned()
    } else {
        format!("{} encrypted with the new key.\n", counted(report.secrets, "secret is", "secrets are"))
    };
    match (&report.key_file, &report.old_key_file) {
        (Some(file), Some(old)) => format!(
            "{what}The new key is in {}: keep a copy apart from the database, and put one on every machine that shares it.\n\
             The former key is in {}: backups made before need it.\n",
            file.display(),
            old.display()
        ),
        (Some(_) | None, _) => {
            format!(
                "{what}Next: set security.master_key to the new key, and keep the former one for backups made before.\n"
            )
        }
    }
}
