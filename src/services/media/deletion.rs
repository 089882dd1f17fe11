//! Deleting files: those whose time is over, in small steps, and at any time those of one person.
//!
//! The row is marked first and emptied of everything that is the person's; then the file goes, then the row. Whatever
//! was being copied at the moment of the mark may write its file a little later, so its row waits until that is over.

use std::time::Duration;

use crate::{
    clock,
    domain::{ids::AccountKey, time::UnixMillis},
    store::{
        Store, StoreError,
        files::Files,
        media::{MediaOwner, MediaRow},
    },
    telemetry,
};

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);
/// Beyond the time that a copy may take: to be written down, or given up.
const COPY_MARGIN: Duration = Duration::from_secs(60);

/// What deleting needs to know.
pub struct Deletion<'a> {
    pub store: &'a Store,
    pub files: &'a Files,
    /// How long copying a file may take (`media.timeout`).
    pub copy_timeout: Duration,
    /// How many files to a step.
    pub step: usize,
}

impl Deletion<'_> {
    /// Deletes files that came longer ago than `age`, and whatever else is marked.
    pub async fn delete_old(&self, age: Duration) -> Result<(), StoreError> {
        let before = clock::now().minus(age);
        while self.store.mark_old_media(before, self.copies_end(), self.step).await? == self.step {
            tokio::time::sleep(PAUSE).await;
        }
        self.delete_marked().await
    }

    /// Marks files that came to an account longer ago than `age`; [`Self::delete_old`] deletes them.
    pub async fn mark_old_of(&self, account: AccountKey, age: Duration) -> Result<(), StoreError> {
        let before = clock::now().minus(age);
        while self.store.mark_old_media_of(account, before, self.copies_end(), self.step).await? == self.step {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Erases every file that a person sent, to one account or to all; says how many there were. When this returns, nothing
    /// can be fetched any more and nothing says whose the files were. The files themselves are gone too, but for those that
    /// were being copied, or whose store did not answer: the next housekeeping deletes them.
    pub async fn forget(&self, account: Option<AccountKey>, owner: MediaOwner<'_>) -> Result<usize, StoreError> {
        let marked = self.store.mark_media_from(account, owner, self.copies_end()).await?;
        self.delete_marked().await?;
        Ok(marked)
    }

    fn copies_end(&self) -> UnixMillis {
        clock::now().plus(self.copy_timeout + COPY_MARGIN)
    }

    async fn delete_marked(&self) -> Result<(), StoreError> {
        loop {
            let marked = self.store.media_to_delete(clock::now(), self.step).await?;
            let mut gone = Vec::with_capacity(marked.len());
            for row in &marked {
                if self.delete(row).await {
                    gone.push(row.id);
                }
            }
            self.store.drop_media(&gone).await?;
            // Those that stayed would only stay again.
            if gone.len() < self.step {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn delete(&self, row: &MediaRow) -> bool {
        match self.files.delete(row).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %telemetry::Chain(&error), media.id = row.id.0, "could not delete a file; it is tried again later");
                false
            }
        }
    }
}
