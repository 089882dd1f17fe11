//! Where copies of files lie: a directory of our own, or a bucket that speaks S3.
//!
//! A file is written in parts and appears as a whole when it is finished, so a reader never sees half of one. Where it
//! lies follows from its row, so writing it twice leaves one file.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::AmazonS3Builder, buffered::BufWriter, local::LocalFileSystem, path::Path,
};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncWriteExt as _;

use super::media::MediaRow;
use crate::settings::{self, MediaStore};

/// The store of files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// Before every path; for those who share a bucket.
    prefix: Path,
    /// The same files on this machine, when they lie in a directory.
    directory: Option<Arc<LocalFileSystem>>,
}

/// The store of files did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("could not make the directory {} (media.directory): let the user that runs wabridge write there", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("could not use the store of files; check the settings under [media]")]
    Settings(#[source] object_store::Error),
    #[error("the store of files failed")]
    Failed(#[from] object_store::Error),
    #[error("the store of files failed")]
    Write(#[from] std::io::Error),
}

/// S3 takes no smaller parts than 5 MB. Smaller files are written in one piece.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts of one file on their way at once; with the one that is being filled they bound the memory of a copy.
const PARTS_IN_FLIGHT_MAX: usize = 2;
/// One request to S3.
const S3_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const S3_RETRIES_MAX: usize = 3;
/// Left over from writings that were broken off: at most so many for one file.
const LEFTOVERS_MAX: usize = 16;

/// A piece of a file, as it is read.
pub type Pieces = BoxStream<'static, Result<Bytes, object_store::Error>>;

impl Files {
    /// Makes the directory when there is none; a bucket must be there, and is not asked for yet.
    pub fn open(settings: &settings::Media, http_allowed: bool) -> Result<Self, FilesError> {
        match settings.store {
            MediaStore::Directory => {
                super::create_private_folder(&settings.directory)
                    .map_err(|error| FilesError::Directory(settings.directory.clone(), error))?;
                let local = LocalFileSystem::new_with_prefix(&settings.directory).map_err(FilesError::Settings)?;
                let local = Arc::new(local.with_fsync(true));
                Ok(Self { store: local.clone(), prefix: Path::default(), directory: Some(local) })
            }
            MediaStore::S3 => {
                let prefix = Path::parse(&settings.prefix).map_err(|error| FilesError::Settings(error.into()))?;
                Ok(Self { store: Arc::new(s3(settings, http_allowed)?), prefix, directory: None })
            }
        }
    }

    /// Begins to write a file.
    pub fn write(&self, row: &MediaRow) -> FileWriter {
        let path = self.path(row);
        self.clear_leftovers(&path);
        let writer = BufWriter::with_capacity(self.store.clone(), path, PART_BYTES);
        FileWriter(writer.with_max_concurrency(PARTS_IN_FLIGHT_MAX))
    }

    /// Reads a file or a range of it; `None` when it is not there.
    pub async fn read(&self, row: &MediaRow, range: Option<Range<u64>>) -> Result<Option<Pieces>, FilesError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        match self.store.get_opts(&self.path(row), options).await {
            Ok(found) => Ok(Some(found.into_stream())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a file; one that is not there is deleted already.
    pub async fn delete(&self, row: &MediaRow) -> Result<(), FilesError> {
        let path = self.path(row);
        self.clear_leftovers(&path);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// By account and day, so that no folder grows without end.
    fn path(&self, row: &MediaRow) -> Path {
        let received_at = row.id.made_at().to_string();
        let day = received_at.split('T').next().unwrap_or("undated").to_owned();
        let prefix = self.prefix.clone();
        prefix.join(row.account.to_string()).join(day).join(hex::encode(row.key.0))
    }

    /// What a crash left of an earlier writing lies beside the file, under its name, `#` and a number. A bucket keeps such
    /// parts by itself, and deletes them by a rule of its owner's.
    fn clear_leftovers(&self, path: &Path) {
        let Some(Ok(file)) = self.directory.as_ref().map(|local| local.path_to_filesystem(path)) else { return };
        for number in 1..=LEFTOVERS_MAX {
            let mut leftover = file.clone().into_os_string();
            leftover.push(format!("#{number}"));
            if std::fs::remove_file(leftover).is_err() {
                return;
            }
        }
    }
}

/// A file that is being written. It appears when it is [finished](Self::finish), and not before.
pub struct FileWriter(BufWriter);

impl FileWriter {
    pub async fn put(&mut self, bytes: Bytes) -> Result<(), FilesError> {
        Ok(self.0.put(bytes).await?)
    }

    pub async fn finish(mut self) -> Result<(), FilesError> {
        Ok(self.0.shutdown().await?)
    }

    /// Takes back what was written.
    pub async fn abort(mut self) {
        if let Err(error) = self.0.abort().await {
            tracing::warn!(error = %crate::telemetry::Chain(&error), "could not take back a file that was not finished");
        }
    }
}

fn s3(settings: &settings::Media, http_allowed: bool) -> Result<impl ObjectStore, FilesError> {
    let client = ClientOptions::new().with_timeout(S3_REQUEST_TIMEOUT).with_allow_http(http_allowed);
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: S3_RETRIES_MAX,
        retry_timeout: S3_REQUEST_TIMEOUT,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_client_options(client)
        .with_retry(retry);
    if !settings.endpoint.is_empty() {
        builder = builder.with_endpoint(settings.endpoint.trim_end_matches('/'));
    }
    // Without a key the machine's own role is asked for one.
    if let Some((id, secret)) = settings.access_key_id.as_ref().zip(settings.secret_access_key.as_ref()) {
        builder = builder.with_access_key_id(id.expose_secret()).with_secret_access_key(secret.expose_secret());
    }
    builder.build().map_err(FilesError::Settings)
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;
    use crate::{
        domain::{
            ids::{AccountKey, MessageId, SenderKey},
            inbound::InboundMediaKind,
        },
        settings::Settings,
        store::media::{MediaKey, MediaState},
    };

    fn row() -> MediaRow {
        MediaRow {
            id: MessageId(1),
            key: MediaKey([0xab; 16]),
            account: AccountKey(7),
            sender: SenderKey(1),
            provider_media_id: None,
            kind: InboundMediaKind::Document,
            mime_type: None,
            filename: None,
            state: MediaState::Pending,
            size_bytes: None,
            attempts: 0,
            due_at: None,
            reason: None,
            stored_at: None,
        }
    }

    async fn content(files: &Files) -> Option<Vec<u8>> {
        let pieces = files.read(&row(), None).await.expect("the folder can be read")?;
        Some(pieces.try_collect::<Vec<Bytes>>().await.expect("the file can be read").concat())
    }

    #[tokio::test]
    async fn a_file_appears_when_it_is_whole_and_a_crash_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let directory = folder.path().join("media");
        let settings = settings::Media { directory: directory.clone(), ..Settings::defaults().media };
        let files = Files::open(&settings, false).expect("the folder can be made");
        let home = directory.join("7/2025-01-01");
        // What a process wrote that was killed.
        std::fs::create_dir_all(&home).expect("the folder can be written");
        std::fs::write(home.join(format!("{}#1", "ab".repeat(16))), "half").expect("the folder can be written");

        let mut writer = files.write(&row());
        writer.put(Bytes::from(vec![1; PART_BYTES + 1])).await.expect("the folder can be written");
        assert_eq!(content(&files).await, None, "it is not finished");
        writer.abort().await;
        assert_eq!(std::fs::read_dir(&home).expect("the folder").count(), 0, "it was taken back");
        let mut writer = files.write(&row());
        writer.put(Bytes::from_static(b"whole")).await.expect("the folder can be written");
        writer.finish().await.expect("the folder can be written");

        assert_eq!(content(&files).await.as_deref(), Some(&b"whole"[..]));
        assert_eq!(std::fs::read_dir(&home).expect("the folder").count(), 1);
        files.delete(&row()).await.expect("it can be deleted");
        files.delete(&row()).await.expect("it is deleted already");
        assert_eq!(content(&files).await, None);
    }
}
