//! Backing up an SQLite database beside a running server, and putting a backup in its place.
//!
//! A backup is made under another name, checked, and only then gets its own: a file under that name is whole. Putting one
//! back works on a copy too: it is checked, brought up to date, and what was waiting in it is held back, before the
//! database that is there gets a second name and is replaced in one step. So a crash leaves either the old database or the new
//! one, and every file.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    clock,
    domain::{operator::Actor, time::UnixMillis},
    settings::Settings,
    store::{
        Store, StoreError,
        audit::AuditEntry,
        backup::{Copying, Inspected, inspect},
        sqlite_path,
        vault::{MasterKey, MasterKeyError, Vault},
    },
    telemetry,
};

/// How long reports of the provider's have time to say that a restored message went out, before it is reported as failed.
pub const RESTORED_GRACE: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists already: choose another name, or move it away", .0.display())]
    Exists(PathBuf),
    #[error("there is no folder {}: make it, or name a file in another", .0.display())]
    NoFolder(PathBuf),
    #[error("there is a database at {} already: --replace moves it aside", .0.display())]
    DatabaseExists(PathBuf),
    #[error("{file} is damaged ({why}): use another backup", file = .0.display(), why = .1)]
    Damaged(PathBuf, String),
    #[error("{} is no database of wabridge", .0.display())]
    NotOurs(PathBuf),
    #[error(
        "{file} was made by a newer version of wabridge (its schema has {steps}): restore it with that version",
        file = .0.display(), steps = .1
    )]
    Newer(PathBuf, String),
    #[error(
        "{} has a write-ahead log beside it, so it belongs to a database in use and is not whole alone: back that one up by `wabridge backup`",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "the master key does not open the secrets in {}: put the key back that it was made with (security.master_key, or the \
         file security.master_key_file; a change of the key leaves the former one beside it as master.key.old-…)",
        .0.display()
    )]
    WrongKey(PathBuf),
    #[error(
        "there is no master key to open the secrets in {}: security.master_key is not set, and there is no file {} \
         (security.master_key_file). Put the key there that the backup was made with: the server's own, which was made by its first \
         start and is in no backup", .0.display(), .1.display()
    )]
    NoKey(PathBuf, PathBuf),
    #[error("could not {doing} {file}", doing = .0, file = .1.display())]
    Io(&'static str, PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] MasterKeyError),
}

/// What is told while a backup is made: bytes copied, bytes in all.
pub type Watching<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Between two looks at how far a copy is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Copies the database into a new file, and checks it. Says how large it is.
pub async fn back_up(settings: &Settings, to: &Path, watching: Watching<'_>) -> Result<u64, BackupError> {
    let io = |doing| move |error| BackupError::Io(doing, to.to_owned(), error);
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let folder = folder_of(to);
    if !folder.is_dir() {
        return Err(BackupError::NoFolder(std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())));
    }
    // For its owner alone (mode 0600), and gone when anything fails.
    let copy = tempfile::NamedTempFile::new_in(folder).map_err(io("create"))?;
    let copying = Copying::open(&settings.database).await?;
    let bytes = copying.size().await?;
    let look = async {
        loop {
            watching(fs::metadata(copy.path()).map_or(0, |metadata| metadata.len()), bytes);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        done = copying.copy_to(copy.path()) => done?,
        () = look => {}
    }
    copying.close().await?;
    accept(inspect(copy.path()).await?, to)?;
    copy.as_file().sync_all().map_err(io("write"))?;
    let bytes = copy.as_file().metadata().map_err(io("write"))?.len();
    match copy.persist_noclobber(to) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Err(BackupError::Exists(to.to_owned())),
        Err(error) => return Err(BackupError::Io("create", to.to_owned(), error.error)),
    }
    sync_folder(to).map_err(io("write"))?;
    note(settings).await;
    Ok(bytes)
}

/// For those who look at the system. The copy is as good without it.
async fn note(settings: &Settings) {
    let noted = async { Copying::open(&settings.database).await?.note(clock::now()).await };
    if let Err(error) = noted.await {
        tracing::warn!(error = %telemetry::Chain(&error), "the backup is made, and not noted in the database");
    }
}

/// What was asked for besides the file.
#[derive(Clone, Copy, Debug)]
pub struct Restoring {
    /// Move a database that is there aside.
    pub replace: bool,
    /// Let go on what was waiting when the backup was made, at the risk that it is sent twice.
    pub resend_queued: bool,
}

/// What putting a backup in place has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub database: PathBuf,
    /// Where the database is now that was there.
    pub moved_aside: Option<PathBuf>,
    /// Messages that were waiting, and will not be sent.
    pub held_back: u64,
}

/// A copy of a backup that was found to be sound, and waits beside the database to take its place. Dropped, it is gone.
pub struct Ready {
    copy: tempfile::NamedTempFile,
    database: PathBuf,
    held_back: u64,
}

/// Looks whether a backup can take the place of the SQLite database, and makes a copy ready for it. The caller holds the
/// database's lock.
pub async fn make_ready(settings: &Settings, from: &Path, how: Restoring, actor: &Actor) -> Result<Ready, BackupError> {
    let database = sqlite_path(&settings.database.url).unwrap_or_default();
    if database.exists() && !how.replace {
        return Err(BackupError::DatabaseExists(database));
    }
    let copy = copy_of(from, &database)?;
    accept(inspect(copy.path()).await?, from)?;
    let held_back = bring_up_to_date(settings, from, copy.path(), how, actor).await?;
    Ok(Ready { copy, database, held_back })
}

impl Ready {
    /// Puts the copy in the place of the database; the caller still holds the lock.
    pub async fn put_in_place(self, settings: &Settings) -> Result<Restored, BackupError> {
        let Self { copy, database, held_back } = self;
        let moved_aside = if database.exists() { Some(move_aside(settings, &database).await?) } else { None };
        // Of a database that somebody removed by hand; with a new one it would make nonsense.
        for rest in companions(&database) {
            remove(&rest)?;
        }
        let io = |error| BackupError::Io("write", database.clone(), error);
        copy.as_file().sync_all().map_err(io)?;
        let persisted = if moved_aside.is_some() { copy.persist(&database) } else { copy.persist_noclobber(&database) };
        persisted.map_err(|error| io(error.error))?;
        sync_folder(&database).map_err(io)?;
        Ok(Restored { database, moved_aside, held_back })
    }
}

/// For a database that was put back by other means: holds back what was waiting in it. Says how many messages that are.
pub async fn hold_back(store: &Store, actor: &Actor) -> Result<u64, StoreError> {
    let held_back = hold_back_waiting(store).await?;
    let entry = AuditEntry::new(actor, "hold back after a restore", "database");
    store.note_in_audit(&entry.after(json!({"held_back": held_back}))).await?;
    Ok(held_back)
}

async fn hold_back_waiting(store: &Store) -> Result<u64, StoreError> {
    end_what_was(store).await?;
    store.hold_back_unsent(clock::now().plus(RESTORED_GRACE)).await
}

/// Work of another time shall not go on by itself, whatever becomes of the messages that waited.
async fn end_what_was(store: &Store) -> Result<(), StoreError> {
    store.end_replays("the database was restored").await?;
    store.leave_silent(clock::now()).await
}

fn accept(inspected: Inspected, file: &Path) -> Result<(), BackupError> {
    match inspected {
        Inspected::Sound => Ok(()),
        Inspected::Damaged(why) => Err(BackupError::Damaged(file.to_owned(), why)),
        Inspected::NotOurs => Err(BackupError::NotOurs(file.to_owned())),
        Inspected::Newer(steps) => Err(BackupError::Newer(file.to_owned(), steps.join(", "))),
    }
}

/// A copy of the backup beside the database, for its owner alone: the backup itself is never touched.
fn copy_of(from: &Path, database: &Path) -> Result<tempfile::NamedTempFile, BackupError> {
    let [log, _] = companions(from);
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(BackupError::InUse(from.to_owned()));
    }
    let folder = folder_of(database);
    crate::store::create_private_folder(folder).map_err(|e| BackupError::Io("create", folder.to_owned(), e))?;
    let mut source = fs::File::open(from).map_err(|e| BackupError::Io("read", from.to_owned(), e))?;
    let writing = |error| BackupError::Io("write a copy beside", database.to_owned(), error);
    let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(writing)?;
    std::io::copy(&mut source, copy.as_file_mut()).map_err(writing)?;
    Ok(copy)
}

/// Brings the copy up to date and holds back what was waiting; refuses when its secrets cannot be read.
async fn bring_up_to_date(
    settings: &Settings,
    from: &Path,
    copy: &Path,
    how: Restoring,
    actor: &Actor,
) -> Result<u64, BackupError> {
    // Not made anew: a new key would open nothing.
    let key = MasterKey::load(&settings.security)?;
    let has_key = key.is_some();
    let vault = Vault::new(&key.unwrap_or_else(MasterKey::random));
    let url = format!("sqlite://{}", copy.display()).into();
    let database = crate::settings::Database { url, ..settings.database.clone() };
    let store = Store::open(&database, vault).await?;
    let fits = store.opens_its_secrets().await? != Some(false);
    let held_back = match (fits, how.resend_queued) {
        (false, _) => None,
        (true, true) => {
            end_what_was(&store).await?;
            Some(0)
        }
        (true, false) => Some(hold_back_waiting(&store).await?),
    };
    if let Some(held_back) = held_back {
        // In the copy's own log, which takes its place with it.
        let file = from.file_name().map(|name| name.to_string_lossy().into_owned());
        let entry = AuditEntry::new(actor, "restore backup", "database");
        let entry = entry.after(json!({"file": file, "held_back": held_back, "resend_queued": how.resend_queued}));
        store.note_in_audit(&entry).await?;
    }
    store.close().await?;
    for rest in companions(copy) {
        remove(&rest)?;
    }
    held_back.ok_or_else(|| match has_key {
        true => BackupError::WrongKey(from.to_owned()),
        false => {
            let file = &settings.security.master_key_file;
            BackupError::NoKey(from.to_owned(), std::path::absolute(file).unwrap_or_else(|_| file.clone()))
        }
    })
}

/// Gives the database that is there another name, with what belongs to it. The file itself gets a second name and keeps its own
/// until the new one replaces it in one step: a server that starts after a crash must never find nothing, and make an empty one.
async fn move_aside(settings: &Settings, database: &Path) -> Result<PathBuf, BackupError> {
    // What is only in the write-ahead log moves into the file, if the file can still be read at all.
    if let Ok(copying) = Copying::open(&settings.database).await {
        drop(copying.close().await);
    }
    let aside = named(database, &format!(".before-restore-{}", stamp(clock::now())));
    let io = |error| BackupError::Io("move aside", database.to_owned(), error);
    // Where files cannot have two names it is moved.
    fs::hard_link(database, &aside).or_else(|_| fs::rename(database, &aside)).map_err(io)?;
    // Whoever made it may have made it readable to others; nobody looks after it from now on.
    for_owner_alone(&aside).map_err(io)?;
    sync_folder(&aside).map_err(io)?;
    for (from, to) in companions(database).into_iter().zip(companions(&aside)) {
        if from.exists() {
            fs::rename(&from, &to).map_err(io)?;
            for_owner_alone(&to).map_err(io)?;
        }
    }
    Ok(aside)
}

fn for_owner_alone(file: &Path) -> std::io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}

/// A moment as a part of a file's name: `20261120T101500Z`.
pub fn stamp(moment: UnixMillis) -> String {
    let text = moment.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

/// The write-ahead log of an SQLite file, and its index.
fn companions(database: &Path) -> [PathBuf; 2] {
    [named(database, "-wal"), named(database, "-shm")]
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(BackupError::Io("remove", path.to_owned(), error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    fs::File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_fits_into_a_file_name() {
        assert_eq!(stamp(UnixMillis(1_795_000_000_123)), "20261118T110640Z");
    }
}
