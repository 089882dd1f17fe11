//! One bridge for one SQLite file.

use std::{
    fs::{OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

/// One bridge at a time works on an SQLite file; commands may still write beside it.
pub fn lock_database(url: &str) -> anyhow::Result<Option<std::fs::File>> {
    let Some(path) = crate::store::sqlite_path(url) else { return Ok(None) };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        crate::store::create_private_folder(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
    }
    let path = path.with_extension("lock");
    // Not emptied before it is ours: it says whose it is.
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.with_context(|| format!("could not create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // For people only, so what cannot be written does no harm.
            drop(file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())));
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => anyhow::bail!(in_use(file, &path)),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("could not lock {}", path.display())),
    }
}

/// Who has the lock, and what to do.
fn in_use(file: std::fs::File, lock: &Path) -> String {
    const DIGITS_MAX: u64 = 20;
    let mut owner = String::new();
    // What cannot be read is not said.
    drop(file.take(DIGITS_MAX).read_to_string(&mut owner));
    let process = owner.trim().parse::<u32>().map_or_else(|_| String::new(), |id| format!(" (process {id})"));
    let lock = std::path::absolute(lock).unwrap_or_else(|_| lock.to_owned());
    format!(
        "another wabridge{process} works on the database of this folder and holds {}: a server, or a command that changes the \
         database as a whole. Stop it, or wait for its end, and try again. Nothing is changed",
        lock.display()
    )
}
