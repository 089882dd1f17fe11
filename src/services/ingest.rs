//! Taking a webhook in.
//!
//! 1. The provider's dialect reads it: statuses, inbound messages, changed templates, and what it could not read.
//! 2. Each part finds the number that it is about; parts about numbers that are not ours are kept and shown.
//! 3. All of it is committed together with whatever else waits. Only then the provider is told "200".

use std::sync::Arc;

use super::{directory::Directory, lookup::TemplateLookup};
use crate::{
    domain::account::Connection,
    providers::Parsed,
    store::{
        batch::{CommitError, Committer},
        ingest::{Ingest, ReceivedMessage, UnreadPart},
        templates::TemplateOwner,
    },
    telemetry,
};

pub struct Ingestor {
    pub directory: Arc<Directory>,
    pub committer: Committer,
    pub lookup: Arc<TemplateLookup>,
}

const NOT_OURS: &str = "no sender number of this connection has the provider's id in it; add the number, or ignore it";

impl Ingestor {
    pub async fn ingest(&self, connection: &Connection, parsed: Parsed) -> Result<(), CommitError> {
        let snapshot = self.directory.snapshot();
        let Parsed { statuses, inbound, templates_changed, skipped } = parsed;
        for provider_account_id in templates_changed {
            self.lookup.note_changed(TemplateOwner { connection: connection.key, provider_account_id });
        }
        let mut ingest = Ingest {
            connection: connection.key,
            statuses: Vec::with_capacity(statuses.len()),
            inbound: Vec::with_capacity(inbound.len()),
            skipped: vec![],
        };
        for update in statuses {
            match snapshot.sender_by_provider_id(connection.key, &update.provider_number_id) {
                Some(sender) => ingest.statuses.push((sender.key, update)),
                None => ingest.skipped.push(unread("status", NOT_OURS, update.entry)),
            }
        }
        for received in inbound {
            match snapshot.sender_by_provider_id(connection.key, &received.provider_number_id) {
                Some(sender) => ingest.inbound.push(ReceivedMessage {
                    account: sender.account,
                    sender: sender.key,
                    message: received.message,
                    entry: received.entry,
                }),
                None => ingest.skipped.push(unread("message", NOT_OURS, received.entry)),
            }
        }
        for part in skipped {
            tracing::warn!(
                connection.id = connection.id,
                pointer = part.pointer,
                "could not read a part of a webhook of {}: {}",
                connection.id,
                part.reason
            );
            ingest.skipped.push(unread(&part.pointer, &part.reason, part.entry));
        }
        if ingest.statuses.is_empty() && ingest.inbound.is_empty() && ingest.skipped.is_empty() {
            return Ok(());
        }
        metrics::counter!(telemetry::INBOUND).increment(ingest.inbound.len() as u64);
        let taken = self.committer.ingest(ingest).await?;
        if taken.parked > 0 {
            tracing::debug!(
                connection.id = connection.id,
                parked = taken.parked,
                "parked statuses of unknown messages"
            );
        }
        Ok(())
    }
}

fn unread(pointer: &str, reason: &str, entry: String) -> UnreadPart {
    UnreadPart { pointer: pointer.to_owned(), reason: reason.to_owned(), entry }
}
