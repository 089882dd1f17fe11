//! What people write: replies after reading, and whatever a test or a curious person wants said.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    dialect::Dialect,
    gallabox,
    gallabox_lists::Said,
    inbound_content::{self, MessageBody},
    knobs::Knobs,
    payloads::Update,
    people::Person,
    state::{World, unix_now},
};

pub use super::inbound_content::{ContactCard, InboundContent, InboundMedia, OrderItem};

/// A message from a person to a business number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The person's number, with or without `+`; or a user id such as `IN.1349`: then there is no number.
    pub from: String,
    /// The business number that receives it; left out, the first one.
    #[serde(default)]
    pub phone_number_id: String,
    /// The message that it answers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_wamid: Option<String>,
    pub content: InboundContent,
}

/// Puts the message into the queue, opens the 24 hour window, and gives back the wamid.
pub(super) fn say(world: &World, inbound: &Inbound, at: Instant) -> Result<String, String> {
    let knobs = world.knobs();
    let sender = world
        .sender_or_first(&inbound.phone_number_id)
        .ok_or_else(|| format!("there is no number with the id {}", inbound.phone_number_id))?;
    let person = Person::read(&inbound.from);
    let wamid = world.new_wamid(person.key());
    let body = inbound_content::render(world, &knobs, inbound, &sender.phone_number_id)?;
    // WhatsApp itself speaks in a system message, and introduces nobody.
    let contact = (body.kind != "system").then(|| person.contact(&knobs));
    let message = render(inbound, body, &person, &knobs, &wamid, &sender.display_number, at);
    {
        let mut tally = world.tally();
        tally.open_window(world.hash((&sender.phone_number_id, person.key())), at);
        tally.count_inbound(&sender.phone_number_id, Instant::now());
    }
    if knobs.dialect == Dialect::Gallabox {
        world.say(Said::as_it_is(gallabox::message_event(&sender, contact.as_ref(), &message)));
    }
    let refused = world.queue.put([(at, Update::Inbound { sender, contact, message })]);
    world.count(|stats| stats.updates_dropped += refused);
    Ok(wamid)
}

fn render(
    inbound: &Inbound,
    body: MessageBody,
    person: &Person,
    knobs: &Knobs,
    wamid: &str,
    business_number: &str,
    at: Instant,
) -> Value {
    let said_at = unix_now() + at.saturating_duration_since(Instant::now());
    let mut message = Map::new();
    person.sign(knobs, &mut message);
    message.insert("id".into(), json!(wamid));
    message.insert("timestamp".into(), knobs.timestamps.write(said_at));
    message.insert("type".into(), json!(body.kind));
    if let Some(quoted) = &inbound.context_wamid {
        message.insert("context".into(), json!({"from": business_number, "id": quoted}));
    }
    // What was given whole may say everything differently.
    message.extend(body.fields);
    message.retain(|_, value| !value.is_null());
    Value::Object(message)
}
