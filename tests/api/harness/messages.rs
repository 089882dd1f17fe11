//! CleverTap's requests, built part by part.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::BUSINESS_NUMBER;

/// One request as CleverTap posts it. Each has an id of its own unless it is given one.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) body: Value,
}

/// A person's number; a different one for each `number`.
pub(crate) fn person(number: usize) -> String {
    format!("+9198765{:05}", 20_000 + number)
}

impl Message {
    /// To be filled with [`Self::values`] and [`Self::part`].
    pub(crate) fn template(to: &str, name: &str, language: &str) -> Self {
        Self::new(json!({
            "payloadVersion": 0.1,
            "to": to,
            "wabaNumber": BUSINESS_NUMBER,
            "isTemplate": true,
            "template": {"namespace": name, "languageCode": language},
            "components": [],
        }))
    }

    /// A utility template with two values.
    pub(crate) fn order_update(to: &str) -> Self {
        Self::template(to, "order_update", "en").values(&["Asha", "A-17"])
    }

    /// A marketing template without any.
    pub(crate) fn marketing(to: &str) -> Self {
        let video = json!({"type": "video", "video": {"mediaURL": "https://media.example/tour.mp4"}});
        Self::template(to, "product_tour", "en").part(json!({"type": "header", "header": video}))
    }

    /// What an agent writes.
    pub(crate) fn freeform(to: &str, text: &str) -> Self {
        Self::freeform_of(to, "text", json!({"body": text}))
    }

    pub(crate) fn freeform_of(to: &str, kind: &str, content: Value) -> Self {
        let mut message = Self::new(json!({
            "payloadVersion": "0.1",
            "to": to,
            "wabaNumber": BUSINESS_NUMBER,
            "isTemplate": false,
            "type": kind,
        }));
        message.body[kind] = content;
        message
    }

    fn new(body: Value) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self { body }.id(&format!("{number}|1790000000|20261120|{number}|0"))
    }

    /// The values of the body's variables.
    pub(crate) fn values(self, values: &[&str]) -> Self {
        let parameters: Vec<Value> = values.iter().map(|text| json!({"type": "text", "text": text})).collect();
        self.part(json!({"type": "body", "body": {"parameters": parameters}}))
    }

    /// One more component.
    pub(crate) fn part(mut self, component: Value) -> Self {
        self.body["components"].as_array_mut().expect("only templates have components").push(component);
        self
    }

    pub(crate) fn button(self, kind: &str, text: &str, parameter: Value) -> Self {
        self.part(json!({
            "type": "button", "index": 0, "subType": kind, "buttonText": text, "parameters": [parameter],
        }))
    }

    pub(crate) fn id(self, msg_id: &str) -> Self {
        self.with("msgId", json!(msg_id))
    }

    /// Sets any other key.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.body[key] = value;
        self
    }

    pub(crate) fn msg_id(&self) -> &str {
        self.body["msgId"].as_str().expect("every message is given an id")
    }
}
