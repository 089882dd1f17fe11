//! The request to the provider for a stored message, built again.

use crate::{
    domain::outbound::{Content, OutboundMessage, SendBody},
    platforms,
    providers::{self, RenderedRequest},
    services::accept::Acceptor,
    store::{StoreError, send_exchanges::request_hash, story::StoredMessage},
};

/// A request that is built again from what is stored.
pub struct Rebuilt {
    pub request: RenderedRequest,
    /// Whether the last send's was the same, byte for byte; `None`: it was not taken, or an earlier version sent it.
    pub is_as_sent: Option<bool>,
}

/// The request with which a provider is asked, or was, to send a message; `None` when it cannot be built now, because template, number
/// or account are not there any more.
pub async fn rebuilt(acceptor: &Acceptor, message: &StoredMessage) -> Result<Option<Rebuilt>, StoreError> {
    let Some(request) = rendered(acceptor, message) else { return Ok(None) };
    let taken = acceptor.store.taken(message.id).await?;
    let is_as_sent = taken.map(|taken| taken.request_hash == request_hash(request.body.as_bytes()));
    Ok(Some(Rebuilt { request, is_as_sent }))
}

/// The same, whatever was sent.
pub fn rendered(acceptor: &Acceptor, message: &StoredMessage) -> Option<RenderedRequest> {
    let snapshot = acceptor.directory.snapshot();
    let (account, sender) = (snapshot.account_by_key(message.account)?, snapshot.sender(message.sender)?);
    let request = platforms::find(&account.platform)?.parse_send(account, message.request.as_bytes()).ok()?;
    let body = match &request.content {
        Content::Freeform(freeform) => SendBody::Freeform(freeform.clone()),
        Content::Template(content) => {
            SendBody::Template(acceptor.lookup.check(account, sender, content, request.purpose).ok()?)
        }
    };
    let message = OutboundMessage { id: message.id, to: message.recipient.clone(), body, conversation: None };
    Some(providers::find(&sender.connection.provider)?.render_send(sender, &message, false))
}
