//! What several imitated systems need and an event does not have: ids of conversations and people, and how to say that words are
//! missing.

use super::{Profile, RenderOptions, Unspeakable};
use crate::domain::{event_name::EventName, webhook_event::WebhookEvent, webhook_news::ProviderEventFacts};

/// A number without its plus.
pub(super) fn digits(number: &str) -> String {
    number.trim_start_matches('+').to_owned()
}

/// Our number, or nothing when it was taken out of the configuration.
pub(super) fn our_digits(event: &WebhookEvent) -> String {
    let channel = event.data.channel.as_ref();
    channel.and_then(|channel| channel.number.as_deref()).map(digits).unwrap_or_default()
}

/// By what the person is known: the number, or the provider's id of somebody who hides it.
pub(super) fn person_id(event: &WebhookEvent) -> Option<String> {
    let contact = event.data.contact.as_ref()?;
    contact.phone.as_deref().map(digits).or_else(|| contact.user_id.clone())
}

/// The same for the same person at the same number.
pub(super) fn conversation_id(event: &WebhookEvent) -> Option<String> {
    Some(format!("{}-{}", our_digits(event), person_id(event)?))
}

/// The provider's id of our number, or the number.
pub(super) fn channel_id(event: &WebhookEvent) -> String {
    let channel = event.data.channel.as_ref();
    channel.and_then(|channel| channel.provider_number_id.clone()).unwrap_or_else(|| our_digits(event))
}

/// Whether the profile has what the webhook was configured with, maybe by a later version.
pub(super) fn knows(profile: &dyn Profile, options: &RenderOptions<'_>) -> Result<(), Unspeakable> {
    let has = |has: bool, what: &str| {
        if has { Ok(()) } else { Err(Unspeakable(format!("the profile {} has no {what}", profile.slug()))) }
    };
    has(profile.versions().contains(&options.version), &format!("version {} in this build", options.version))?;
    has(profile.formats().contains(&options.format), &format!("format {}", options.format.as_str()))?;
    has(profile.levels().contains(&options.level), &format!("payload of level {}", options.level.as_str()))
}

/// What the imitated system itself said, as it came; JSON.
pub(super) fn relayed<'a>(event: &WebhookEvent, relayed: &'a ProviderEventFacts) -> Result<&'a str, Unspeakable> {
    relayed.payload.as_ref().map(|payload| payload.as_json()).ok_or_else(|| lacking(event.name))
}

/// The entry of an event that the imitated system itself carried, as it came; JSON.
pub(super) fn own_entry<'a>(profile: &dyn Profile, event: &'a WebhookEvent) -> Option<&'a str> {
    let provider = event.data.channel.as_ref().map(|channel| channel.provider.as_str());
    let raw = event.data.raw.as_ref().filter(|_| provider == Some(profile.slug()));
    raw.map(|raw| raw.as_json())
}

/// The imitated system has no such event.
pub(super) fn none(system: &str, name: EventName) -> Unspeakable {
    Unspeakable(format!("{system} has no event for {name}: leave it out, or use the native profile"))
}

/// The event is of a kind that has words, and lacks what they would say.
pub(super) fn lacking(name: EventName) -> Unspeakable {
    Unspeakable(format!("this {name} lacks what the profile tells of it"))
}
