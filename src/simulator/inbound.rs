//! What people write: replies after reading, and whatever a test or a curious person wants said.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    payloads::Update,
    state::{World, digits, unix_now},
};

/// A message from a person to a business number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The person's number, with or without `+`.
    pub from: String,
    /// The business number that receives it.
    pub phone_number_id: String,
    /// The message that it answers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_wamid: Option<String>,
    pub content: InboundContent,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InboundContent {
    Text {
        body: String,
    },
    /// A tap on a template's quick reply button.
    Button {
        text: String,
        payload: String,
    },
    Location {
        latitude: f64,
        longitude: f64,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        address: Option<String>,
    },
    /// Any other kind: Meta's word for it, and its object as it shall arrive.
    Other {
        kind: String,
        object: Value,
    },
}

/// Puts the message into the queue, opens the 24 hour window, and gives back the wamid; `None` if there is no such
/// business number.
pub(super) fn say(world: &World, inbound: &Inbound, at: Instant) -> Option<String> {
    let sender = world.sender(&inbound.phone_number_id)?;
    let person = digits(&inbound.from);
    let wamid = world.new_wamid(&person);
    let contact = json!({"profile": {"name": display_name(&person)}, "wa_id": person});
    let message = render(inbound, &person, &wamid, &sender.display_number, at);
    world.tally().open_window(world.hash((&inbound.phone_number_id, &person)), at);
    let refused = world.queue.put([(at, Update::Inbound { sender, contact, message })]);
    world.count(|stats| stats.updates_dropped += refused);
    Some(wamid)
}

fn render(inbound: &Inbound, person: &str, wamid: &str, business_number: &str, at: Instant) -> Value {
    let said_at = unix_now() + at.saturating_duration_since(Instant::now());
    let (kind, object) = match &inbound.content {
        InboundContent::Text { body } => ("text", json!({"body": body})),
        InboundContent::Button { text, payload } => ("button", json!({"payload": payload, "text": text})),
        InboundContent::Location { latitude, longitude, name, address } => {
            let mut object = Map::new();
            object.insert("latitude".into(), json!(latitude));
            object.insert("longitude".into(), json!(longitude));
            object.extend(name.iter().map(|name| ("name".into(), json!(name))));
            object.extend(address.iter().map(|address| ("address".into(), json!(address))));
            ("location", Value::Object(object))
        }
        InboundContent::Other { kind, object } => (kind.as_str(), object.clone()),
    };
    let mut message = json!({
        "from": person,
        "id": wamid,
        "timestamp": said_at.as_secs().to_string(),
        "type": kind,
    });
    message[kind] = object;
    if let Some(quoted) = &inbound.context_wamid {
        message["context"] = json!({"from": business_number, "id": quoted});
    }
    message
}

fn display_name(person: &str) -> String {
    let (_, end) = person.split_at(person.len().saturating_sub(4));
    format!("Person {end}")
}
