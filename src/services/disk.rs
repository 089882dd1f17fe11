//! How much room is left where we write.

use std::path::{Path, PathBuf};

use crate::{
    settings::{MediaStore, Settings},
    store,
};

/// One directory's file system, as far as we may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    pub directory: PathBuf,
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl DiskSpace {
    /// Rounded down: what is nearly nothing is nothing.
    pub fn free_percent(&self) -> u64 {
        (u128::from(self.free_bytes) * 100 / u128::from(self.total_bytes.max(1))).try_into().unwrap_or(100)
    }

    /// `12.3 GB`, in powers of ten as disks are sold.
    pub fn free(&self) -> String {
        let gigabytes = self.free_bytes / 100_000_000;
        format!("{}.{} GB", gigabytes / 10, gigabytes % 10)
    }
}

/// Where this instance writes: the database's own folder when that is a file, and that of people's files when it is one.
pub fn directories(settings: &Settings) -> Vec<PathBuf> {
    let database = store::sqlite_path(&settings.database.url);
    let folder = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let mut directories: Vec<PathBuf> = database.as_deref().map(folder).into_iter().collect();
    let media = &settings.media.directory;
    // It is made with the first file, and usually lies beside the database.
    let own = media.exists() && !directories.iter().any(|folder| media.starts_with(folder));
    if settings.media.store == MediaStore::Directory && own {
        directories.push(media.clone());
    }
    directories
}

/// The room in a directory's file system; an error in the system's words.
pub fn space(directory: &Path) -> std::io::Result<DiskSpace> {
    let stat = rustix::fs::statvfs(directory)?;
    Ok(DiskSpace {
        directory: directory.to_owned(),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_disk_is_told_as_people_do() {
        let disk = DiskSpace { directory: "/".into(), free_bytes: 12_340_000_000, total_bytes: 100_000_000_000 };

        assert_eq!((disk.free_percent(), disk.free().as_str()), (12, "12.3 GB"));
        assert_eq!(DiskSpace { total_bytes: 0, free_bytes: 0, ..disk }.free_percent(), 0);
    }

    #[test]
    fn a_directory_that_exists_has_some_room() {
        let here = space(Path::new(".")).expect("this directory exists");

        assert!(here.total_bytes > 0 && here.free_bytes <= here.total_bytes, "{here:?}");
        assert!(space(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn only_a_database_in_a_file_needs_room_here() {
        let mut settings = Settings::defaults();
        settings.media.directory = "data/nothing/was/ever/copied".into();
        assert_eq!(directories(&settings), [PathBuf::from("data")]);
        settings.database.url = "postgres://db.example.com/wabridge".into();
        assert!(directories(&settings).is_empty());
    }
}
