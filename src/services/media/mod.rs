//! Files that people send: copied at receipt, because the provider keeps them for days and its links for minutes.
//!
//! 1. The webhook's commit has a row for each file ([`store::media`](crate::store::media)).
//! 2. The owner of the copying tries those that are due ([`Copier::copy`]): the provider is asked, the file goes piece by
//!    piece into our own store, and its digest is compared before it is finished there.
//! 3. What failed is tried again with growing pauses, until the provider no longer has it.
//! 4. Meanwhile the callback has gone out with a link ([`links`]), which does not depend on the copy.
//! 5. When their time is over, or a person is to be forgotten, rows are marked and then files deleted ([`deletion`]).

pub mod deletion;
pub mod links;

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};

use super::directory::Directory;
use crate::{
    clock,
    domain::{account::Sender, inbound::InboundMediaKind, retry::Schedule, time::UnixMillis},
    net::{download::Broken, exchange::Exchange},
    providers::{self, FetchedMedia, MediaFailureKind, MediaToFetch},
    settings,
    store::{
        Store, StoreError,
        files::{Files, FilesError},
        media::{CopyOutcome, MediaRow},
    },
    telemetry,
};

pub struct Copier {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub exchange: Exchange,
    pub files: Files,
    pub settings: settings::Media,
}

/// What serving files needs.
pub struct Shelf {
    pub store: Store,
    pub files: Files,
    pub links: Arc<links::MediaLinks>,
    /// Requests that wait for a copy.
    pub waiting: tokio::sync::Semaphore,
}

impl Shelf {
    /// A stored file is missing: it is copied again, if the provider may still have it.
    pub async fn copy_again(&self, row: &MediaRow) -> Result<bool, StoreError> {
        self.store.miss_media(row.id, "the stored copy is missing").await
    }
}

/// A provider that says "there is no such file" is asked so often.
const REFUSALS_MAX: i16 = 4;

/// A try that did not end with a copy.
struct NotCopied {
    kind: MediaFailureKind,
    wait: Option<Duration>,
    reason: String,
}

/// A copy that is whole.
struct Copied {
    size_bytes: u64,
    mime_type: Option<String>,
}

impl Copier {
    /// Tries to copy one file, and writes down what came of it.
    pub async fn copy(&self, row: &MediaRow) -> Result<(), StoreError> {
        let outcome = match self.try_copy(row).await {
            Ok(Copied { size_bytes, mime_type }) => CopyOutcome::Stored { size_bytes, mime_type },
            Err(not_copied) => self.after_failure(row, not_copied),
        };
        let wanted = self.store.settle_media(row.id, &outcome).await?;
        let result = match &outcome {
            CopyOutcome::Stored { size_bytes, .. } if wanted => {
                metrics::counter!(telemetry::MEDIA_COPIED_BYTES).increment(*size_bytes);
                "stored"
            }
            CopyOutcome::Stored { .. } => "unwanted",
            CopyOutcome::Again { reason, .. } => {
                tracing::info!(media.id = row.id.0, "could not copy a file yet: {reason}");
                "again"
            }
            CopyOutcome::Failed { reason } => {
                tracing::warn!(media.id = row.id.0, sender.id = row.sender.0, "gave up copying a file: {reason}");
                "failed"
            }
        };
        metrics::counter!(telemetry::MEDIA_COPIES, "result" => result).increment(1);
        if result == "unwanted" {
            self.remove_unwanted(row).await?;
        }
        Ok(())
    }

    /// It was deleted while it was being copied. If another instance copied it, the file is its.
    async fn remove_unwanted(&self, row: &MediaRow) -> Result<(), StoreError> {
        if self.store.media_named(row.account, row.key).await?.is_none()
            && let Err(error) = self.files.delete(row).await
        {
            tracing::warn!(error = %telemetry::Chain(&error), "could not delete a file that is no longer wanted; it is tried again later");
        }
        Ok(())
    }

    async fn try_copy(&self, row: &MediaRow) -> Result<Copied, NotCopied> {
        let snapshot = self.directory.snapshot();
        let sender = snapshot.sender_at_work(row.sender).cloned();
        let sender = sender.ok_or_else(|| never("the business number that it was sent to is no longer configured"))?;
        let provider_media_id = row.provider_media_id.as_deref().ok_or_else(|| never("its provider gave no id"))?;
        self.check_type(row.mime_type.as_deref())?;
        let copying = self.fetch(row, &sender, provider_media_id);
        match tokio::time::timeout(self.settings.timeout, copying).await {
            Ok(result) => result,
            Err(_) => Err(later(format!("it was not copied within {:?}", self.settings.timeout))),
        }
    }

    async fn fetch(&self, row: &MediaRow, sender: &Sender, provider_media_id: &str) -> Result<Copied, NotCopied> {
        let provider = providers::find(&sender.connection.provider)
            .ok_or_else(|| never("its provider is not known to this version"))?;
        let wanted = MediaToFetch {
            provider_media_id,
            bytes_max: self.bytes_max(row.kind),
            timeout: self.settings.timeout,
            token_hosts: &self.settings.hosts,
        };
        let fetched = provider.fetch_media(&self.exchange, sender, &wanted).await.map_err(|failure| NotCopied {
            kind: failure.kind,
            wait: failure.wait,
            reason: failure.text,
        })?;
        self.check_type(fetched.mime_type.as_deref())?;
        self.take(row, fetched).await
    }

    /// From the provider into our own store.
    async fn take(&self, row: &MediaRow, fetched: FetchedMedia) -> Result<Copied, NotCopied> {
        let FetchedMedia { mime_type, size_bytes: announced, sha256, mut download } = fetched;
        let mut writer = self.files.write(row);
        let (mut digest, mut size_bytes) = (Sha256::new(), 0);
        let whole = loop {
            match download.next().await {
                Ok(Some(piece)) => {
                    digest.update(&piece);
                    size_bytes += piece.len() as u64;
                    if let Err(error) = writer.put(piece).await {
                        break Err(not_written(&error));
                    }
                }
                Ok(None) => break whole(size_bytes, announced, &digest.finalize(), sha256.as_ref()),
                Err(Broken::TooLarge(most)) => {
                    break Err(never(format!("the file has more than the {most} bytes that are allowed")));
                }
                Err(Broken::Off(no_answer)) => break Err(later(no_answer.to_string())),
            }
        };
        if let Err(not_copied) = whole {
            writer.abort().await;
            return Err(not_copied);
        }
        writer.finish().await.map_err(|error| not_written(&error))?;
        Ok(Copied { size_bytes, mime_type: mime_type.or(download.content_type) })
    }

    fn bytes_max(&self, kind: InboundMediaKind) -> u64 {
        match kind {
            InboundMediaKind::Image => self.settings.image_bytes,
            InboundMediaKind::Video => self.settings.video_bytes,
            InboundMediaKind::Audio | InboundMediaKind::Voice => self.settings.audio_bytes,
            InboundMediaKind::Document => self.settings.document_bytes,
            InboundMediaKind::Sticker => self.settings.sticker_bytes,
        }
    }

    /// Without a type nothing can be said.
    fn check_type(&self, mime_type: Option<&str>) -> Result<(), NotCopied> {
        match mime_type {
            Some(mime_type) if !is_allowed(&self.settings.types, mime_type) => {
                Err(never(format!("files of type {mime_type} are not among media.types")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn after_failure(&self, row: &MediaRow, NotCopied { kind, wait, reason }: NotCopied) -> CopyOutcome {
        let (now, tries) = (clock::now(), row.attempts.saturating_add(1));
        let in_time = now < row.id.made_at().plus(self.settings.horizon);
        let again = match kind {
            MediaFailureKind::Later => in_time,
            MediaFailureKind::Refused => in_time && tries < REFUSALS_MAX,
            MediaFailureKind::Never => false,
        };
        if !again {
            return CopyOutcome::Failed { reason };
        }
        CopyOutcome::Again { due_at: self.next_try(now, tries, wait), reason }
    }

    fn next_try(&self, now: UnixMillis, tries: i16, wait: Option<Duration>) -> UnixMillis {
        let tries = usize::try_from(tries).unwrap_or(1);
        now.plus(Schedule(self.settings.retry_waits.clone()).wait_repeating(tries, wait, rand::random()))
    }
}

/// Is it as long as was announced, and does its digest agree?
fn whole(size_bytes: u64, announced: Option<u64>, digest: &[u8], expected: Option<&[u8; 32]>) -> Result<(), NotCopied> {
    let refused = |reason: String| Err(NotCopied { kind: MediaFailureKind::Refused, wait: None, reason });
    match (announced, expected) {
        (Some(announced), _) if announced != size_bytes => {
            refused(format!("{size_bytes} bytes came, and {announced} were announced"))
        }
        (_, Some(expected)) if digest != expected => refused("its digest is not the one that was announced".to_owned()),
        (_, _) => Ok(()),
    }
}

/// Compares `type/subtype`, without what may follow it. A `*` at the end of a pattern stands for anything.
fn is_allowed(patterns: &[String], mime_type: &str) -> bool {
    let mime_type = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => mime_type.starts_with(beginning),
        None => mime_type == pattern,
    })
}

fn never(reason: impl Into<String>) -> NotCopied {
    NotCopied { kind: MediaFailureKind::Never, wait: None, reason: reason.into() }
}

fn later(reason: String) -> NotCopied {
    NotCopied { kind: MediaFailureKind::Later, wait: None, reason }
}

fn not_written(error: &FilesError) -> NotCopied {
    tracing::error!(error = %telemetry::Chain(error), "could not write a file; check the settings under [media], and the disk");
    // The causes may name paths and buckets, which are nobody's business who opens a link.
    later(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_without_their_parameters() {
        let patterns = ["image/*", "application/pdf", "application/vnd.openxmlformats-*"].map(str::to_owned);
        for mime_type in [
            "image/jpeg",
            "IMAGE/png",
            "application/pdf; name=a",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ] {
            assert!(is_allowed(&patterns, mime_type), "{mime_type}");
        }
        for mime_type in ["", "audio/ogg; codecs=opus", "application/pdfx", "application/vnd.android.package-archive"] {
            assert!(!is_allowed(&patterns, mime_type), "{mime_type}");
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_no_copy() {
        let digest = [7; 32];

        assert!(whole(5, Some(5), &digest, Some(&digest)).is_ok());
        assert!(whole(5, None, &digest, None).is_ok(), "nothing was announced");
        assert!(whole(4, Some(5), &digest, Some(&digest)).is_err());
        assert!(whole(5, Some(5), &digest, Some(&[8; 32])).is_err());
    }
}
