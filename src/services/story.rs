//! One message's whole story: what was asked, what it waits for, what was done, what WhatsApp said, who was told. The same for the
//! command line, the console and the API.

mod rebuilt;
mod timeline;
mod waits;

pub use self::{
    rebuilt::{Rebuilt, rebuilt, rendered},
    timeline::{Exchanged, Line, Told, Tone, lines},
    waits::{End, EndedAt, Wait, campaign_of, reasons},
};
use crate::{
    domain::{callback::Subscription, ids::MessageId, outbound::Content, template::resolve, words::counted},
    platforms,
    services::{directory::owner_of, rendered::differs},
    store::{
        Store, StoreError,
        configuration::Configuration,
        events::LoggedEvent,
        media::{MediaRow, MediaState},
        story::StoredMessage,
    },
};

/// Messages by any id that people have of them: ours, the platform's or the provider's.
pub async fn find(store: &Store, configuration: &Configuration, id: &str) -> Result<Vec<StoredMessage>, StoreError> {
    if let Ok(id) = id.parse::<MessageId>() {
        return Ok(store.message(id).await?.into_iter().collect());
    }
    let past = &configuration.past;
    let senders: Vec<_> = configuration.senders.iter().chain(&past.senders).map(|sender| sender.key).collect();
    if !senders.is_empty() {
        let found = store.messages_by_provider_id(&senders, id).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let accounts: Vec<_> = configuration.accounts.iter().chain(&past.accounts).map(|account| account.key).collect();
    Ok(if accounts.is_empty() { vec![] } else { store.messages_by_platform_id(&accounts, id).await? })
}

/// Whether another template stands for the one that the platform asked for, and whether the platform shows another text than
/// the template, as it is listed now, has.
pub async fn rendering_note(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
) -> Result<Option<String>, StoreError> {
    let account = configuration.account_by_key(message.account);
    let sender = configuration.sender_by_key(message.sender);
    let (Some(account), Some(sender), Some((name, language))) = (account, sender, &message.template) else {
        return Ok(None);
    };
    let Some(platform) = platforms::find(&account.platform) else { return Ok(None) };
    let Ok(request) = platform.parse_send(account, message.request.as_bytes()) else { return Ok(None) };
    let Content::Template(content) = request.content else { return Ok(None) };
    let asked_for = content.asked_for.as_deref().unwrap_or(&content.name);
    let alias = account.policy.template_meant(name);
    let stands = [name.as_str(), alias].into_iter().find(|used| !used.eq_ignore_ascii_case(asked_for));
    let stands = stands.map(|used| {
        format!(
            "the platform asked for template {asked_for}, and {used} stands for it (template_aliases of the account)"
        )
    });
    let mut lists = store.load_templates().await?;
    let templates = lists.remove(&owner_of(sender)).unwrap_or_default();
    let Ok(resolved) = resolve(&templates, alias, language) else { return Ok(stands) };
    let parting = differs(resolved.template, &content);
    let parting = parting.map(|parting| format!("the text of the message is not the template's: {parting}"));
    let notes: Vec<String> = stands.into_iter().chain(parting).collect();
    Ok(Some(notes.join("; ")).filter(|notes| !notes.is_empty()))
}

/// Whether a callback URL is told of an event.
pub fn hears(subscription: &Subscription, message: &StoredMessage, event: &LoggedEvent) -> bool {
    subscription.account == message.account
        && subscription.kind == event.kind
        && subscription.sender.is_none_or(|sender| sender == event.sender)
}

/// `a file (document, application/pdf, 52311 bytes): stored`
fn described(file: &MediaRow, full: bool) -> String {
    let size = file.size_bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    let name = file.filename.as_ref().filter(|_| full).map(|name| format!(" {name:?}")).unwrap_or_default();
    let mime_type = file.mime_type.as_deref().unwrap_or("of no known type");
    let state = match (file.state, &file.reason, file.due_at) {
        (MediaState::Pending, Some(reason), Some(due_at)) => {
            let times = counted(file.attempts, "time", "times");
            format!("not copied yet, tried {times}, again at {due_at}: {reason}")
        }
        (MediaState::Pending, _, _) => "not copied yet".to_owned(),
        (MediaState::Failed, reason, _) => {
            format!("could not be copied: {}", reason.as_deref().unwrap_or("no reason was noted"))
        }
        (MediaState::Stored | MediaState::Deleting, _, _) => file.state.as_str().to_owned(),
    };
    format!("a file ({}{name}, {mime_type}{size}): {state}", file.kind.as_str())
}
