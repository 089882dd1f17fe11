//! Which events a webhook is told: by name, and by what is known of them.
//!
//! Every part of a [`Filter`] that is set must agree, and within a part one of its words suffices. An event that lacks what is
//! asked for does not pass: whoever asks for a template hears nothing of messages without one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    event_name::{Direction, Entity, EventName},
    status::DeliveryStatus,
    webhook_check::Wrong,
    webhook_event::{Level, WebhookEvent},
    webhook_sample::sample,
    words::few,
};

/// More words in one part of a filter are a mistake, or a table in the wrong place.
pub const FILTER_WORDS_MAX: usize = 200;

/// One event by its name, those of an entity, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventPattern {
    All,
    Of(Entity),
    One(EventName),
}

impl EventPattern {
    pub fn matches(self, name: EventName) -> bool {
        match self {
            Self::All => true,
            Self::Of(entity) => name.entity() == entity,
            Self::One(one) => name == one,
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Of(entity) => write!(f, "{}.*", entity.as_str()),
            Self::One(name) => name.fmt(f),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no event that is told: write `*`, an entity such as `message.*`, or one of {}", told())]
pub struct NotAPattern {
    text: String,
}

fn told() -> String {
    EventName::TOLD.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

impl FromStr for EventPattern {
    type Err = NotAPattern;

    /// A name that is not told yet is no pattern: nothing would ever come.
    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let wrong = || NotAPattern { text: text.chars().take(60).collect() };
        let is_told = |pattern: &Self| EventName::TOLD.iter().any(|name| pattern.matches(*name));
        let pattern = match text.strip_suffix(".*") {
            _ if text == "*" => Some(Self::All),
            Some(entity) => Entity::ALL.into_iter().find(|known| known.as_str() == entity).map(Self::Of),
            None => text.parse().ok().map(Self::One),
        };
        pattern.filter(is_told).ok_or_else(wrong)
    }
}

impl Serialize for EventPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a webhook wants of the events that its patterns match. An empty part wants all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = WebhookFilter)]
pub struct Filter {
    /// Accounts, by their ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["acme"]))]
    pub accounts: Vec<String>,
    /// Our numbers; only their digits are compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["+918888001122"]))]
    pub numbers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directions: Vec<Direction>,
    /// sent, delivered, read, failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["read"]))]
    pub statuses: Vec<String>,
    /// Templates, by name in any language.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// Campaigns, by the platform's ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub campaigns: Vec<String>,
    /// Values that must stand in the standard payload; all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<JsonMatch>,
}

/// A place in the standard payload, and what must stand there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookFilterValue)]
pub struct JsonMatch {
    /// A JSON Pointer (RFC 6901) such as `/data/custom/city`.
    #[schema(example = "/data/custom/city")]
    pub pointer: String,
    /// A text, a number, true, false or null.
    #[schema(value_type = Value, example = "Pune")]
    pub value: Value,
}

impl Filter {
    /// All that is wrong with it beside the events that are chosen: each with its field, and what to change.
    pub fn check(&self, events: &[EventPattern]) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut note = |part: &'static str, text: String| wrong.push((part, text));
        let Self { accounts, numbers, providers, directions, statuses, templates, campaigns, json } = self;
        for (part, words) in [
            ("filter.accounts", accounts.len()),
            ("filter.numbers", numbers.len()),
            ("filter.providers", providers.len()),
            ("filter.directions", directions.len()),
            ("filter.statuses", statuses.len()),
            ("filter.templates", templates.len()),
            ("filter.campaigns", campaigns.len()),
            ("filter.json", json.len()),
        ] {
            if words > FILTER_WORDS_MAX {
                note(part, format!("has {words} words, which is too many: name at most {FILTER_WORDS_MAX}"));
            }
        }
        if let Some(odd) = few(numbers.iter().map(String::as_str).filter(|number| !is_number(number))) {
            note("filter.numbers", format!("cannot be {odd}, without digits: write it like +918888001122"));
        }
        let known: Vec<&str> =
            (1..=i16::MAX).map_while(DeliveryStatus::from_code).map(DeliveryStatus::as_str).collect();
        let odd = few(statuses.iter().map(String::as_str).filter(|status| !known.contains(status)));
        match (odd, self.contradiction(events)) {
            (Some(odd), _) => note("filter.statuses", format!("cannot be {odd}: use {}", known.join(", "))),
            (None, Some((part, text))) => note(part, text),
            (None, None) => {}
        }
        let odd = json.iter().map(|wanted| wanted.pointer.as_str()).filter(|pointer| !pointer.starts_with('/'));
        if let Some(odd) = few(odd) {
            let text = format!("has no JSON Pointer in {odd}: begin it with a slash, like /data/contact/phone");
            note("filter.json", text);
        }
        let is_whole = |value: &Value| value.is_object() || value.is_array();
        let whole = json.iter().filter(|wanted| is_whole(&wanted.value)).map(|wanted| wanted.pointer.as_str());
        if let Some(whole) = few(whole) {
            let how = "give a text, a number, true, false or null, and name each place inside by a pointer of its own";
            note("filter.json", format!("has an object or a list as the value of {whole}: {how}"));
        }
        wrong
    }

    /// Why none of the chosen events could ever pass: its direction and its status follow from its name.
    fn contradiction(&self, events: &[EventPattern]) -> Option<Wrong> {
        let chosen = EventName::TOLD.iter().filter(|name| events.iter().any(|pattern| pattern.matches(**name)));
        let chosen: Vec<WebhookEvent> = chosen.map(|name| widest(*name)).collect();
        let directions = Self { directions: self.directions.clone(), ..Self::default() };
        let statuses = Self { statuses: self.statuses.clone(), ..Self::default() };
        let both = Self { directions: self.directions.clone(), ..statuses.clone() };
        let passes_none = |filter: &Self| !chosen.is_empty() && !chosen.iter().any(|event| filter.wants(event));
        let (part, asks) = if passes_none(&directions) {
            ("filter.directions", "asks for messages of a direction that none of the events has")
        } else if passes_none(&statuses) {
            ("filter.statuses", "asks for a status that none of the events has")
        } else if passes_none(&both) {
            ("filter.statuses", "asks for a status that nothing in that direction has")
        } else {
            return None;
        };
        Some((part, format!("{asks}, so nothing would ever be told: choose other events, or leave it out")))
    }

    /// Whether the event passes.
    pub fn wants(&self, event: &WebhookEvent) -> bool {
        let data = &event.data;
        let channel = data.channel.as_ref();
        let message = data.message.as_ref();
        let template = message.and_then(|message| message.template.as_ref());
        let template = template.or_else(|| data.notice.as_ref().and_then(|notice| notice.template.as_ref()));
        among(&self.accounts, Some(&event.account))
            && self.wants_number(channel.and_then(|channel| channel.number.as_deref()))
            && among(&self.providers, channel.map(|channel| &channel.provider))
            && among(&self.directions, message.and_then(|message| message.direction.as_ref()))
            && among(&self.statuses, message.and_then(|message| message.status.as_ref()))
            && among(&self.templates, template.map(|template| &template.name))
            && among(&self.campaigns, data.campaign.as_ref().map(|campaign| &campaign.id))
            && self.wants_json(event)
    }

    fn wants_number(&self, number: Option<&str>) -> bool {
        self.numbers.is_empty()
            || number.is_some_and(|number| self.numbers.iter().any(|wanted| is_same_number(wanted, number)))
    }

    fn wants_json(&self, event: &WebhookEvent) -> bool {
        if self.json.is_empty() {
            return true;
        }
        let payload = serde_json::to_value(event.at(Level::Standard)).expect("an event can be written as JSON");
        self.json.iter().all(|wanted| payload.pointer(&wanted.pointer) == Some(&wanted.value))
    }
}

/// The event of this name that passes most: a person may have deleted the message, and a payment may have failed.
fn widest(name: EventName) -> WebhookEvent {
    let mut event = sample(name);
    if let Some(message) = &mut event.data.message {
        if name == EventName::MessageDeleted {
            message.direction = Some(Direction::In);
        }
        if name == EventName::MessagePayment {
            message.status = Some(DeliveryStatus::Failed.as_str().to_owned());
        }
    }
    event
}

fn among<T: PartialEq>(wanted: &[T], is: Option<&T>) -> bool {
    wanted.is_empty() || is.is_some_and(|is| wanted.contains(is))
}

/// Whether both are the same number, however they are written.
pub fn is_same_number(one: &str, other: &str) -> bool {
    digits(one) == digits(other)
}

/// Whether it can be one at all.
pub fn is_number(text: &str) -> bool {
    text.contains(|sign: char| sign.is_ascii_digit())
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn passes(filter: Value, name: EventName) -> bool {
        let filter: Filter = serde_json::from_value(filter).expect("a filter");
        assert_eq!(filter.check(&[EventPattern::All]), []);
        filter.wants(&sample(name))
    }

    #[test]
    fn each_part_asks_for_something_else_and_all_must_agree() {
        use EventName::{MessageFailed, MessageReceived, TemplateStatus};
        for (filter, name, wanted) in [
            (json!({}), MessageReceived, true),
            (json!({"accounts": ["shop"]}), MessageReceived, true),
            (json!({"accounts": ["other"]}), MessageReceived, false),
            (json!({"numbers": ["91 8888 001122"]}), MessageReceived, true),
            (json!({"numbers": ["+918888001123"]}), MessageReceived, false),
            (json!({"providers": ["meta"]}), MessageReceived, true),
            (json!({"directions": ["in"]}), MessageReceived, true),
            (json!({"directions": ["in"]}), MessageFailed, false),
            (json!({"directions": ["in"]}), TemplateStatus, false),
            (json!({"statuses": ["read", "failed"]}), MessageFailed, true),
            (json!({"statuses": ["read"]}), MessageFailed, false),
            (json!({"statuses": ["read"]}), MessageReceived, false),
            (json!({"templates": ["order_update"]}), MessageFailed, true),
            (json!({"templates": ["order_update"]}), TemplateStatus, true),
            (json!({"templates": ["order_update"]}), MessageReceived, false),
            (json!({"campaigns": ["1790000000"]}), MessageFailed, true),
            (json!({"campaigns": ["1"]}), MessageFailed, false),
            (json!({"statuses": ["failed"], "campaigns": ["1"]}), MessageFailed, false),
            (json!({"json": [{"pointer": "/data/custom/city", "value": "Pune"}]}), MessageFailed, true),
            (json!({"json": [{"pointer": "/data/message/failure/provider_code", "value": 1}]}), MessageFailed, false),
            (json!({"json": [{"pointer": "/data/raw", "value": null}]}), MessageFailed, false),
        ] {
            assert_eq!(passes(filter.clone(), name), wanted, "{filter} of {name}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_part() {
        let many: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
        for (filter, part, said) in [
            (json!({"numbers": ["shop"]}), "filter.numbers", "cannot be shop, without digits"),
            (json!({"statuses": ["seen"]}), "filter.statuses", "cannot be seen: use sent,"),
            (json!({"statuses": many}), "filter.statuses", "cannot be 0, 1, 2 and 4997 more: use sent,"),
            (json!({"statuses": many}), "filter.statuses", "has 5000 words"),
            (json!({"json": [{"pointer": "data", "value": 1}]}), "filter.json", "begin it with a slash"),
            (json!({"json": [{"pointer": "/data", "value": {"a": 1}}]}), "filter.json", "as the value of /data:"),
            (json!({"json": [{"pointer": "/data", "value": [1]}]}), "filter.json", "as the value of /data:"),
            (json!({"accounts": vec!["a"; FILTER_WORDS_MAX + 1]}), "filter.accounts", "at most 200"),
        ] {
            let filter: Filter = serde_json::from_value(filter).expect("it can be read");
            let wrong = filter.check(&[EventPattern::All]);
            assert!(wrong.iter().any(|(found, text)| *found == part && text.contains(said)), "{part}: {wrong:?}");
            assert!(wrong.len() <= 2, "{wrong:?}");
        }
        assert!(serde_json::from_value::<Filter>(json!({"directions": ["up"]})).is_err());
        assert!(serde_json::from_value::<Filter>(json!({"number": ["1"]})).is_err());
    }

    #[test]
    fn a_filter_that_nothing_can_pass_is_refused() {
        let part = |events: &[&str], filter: Value| {
            let events: Vec<EventPattern> = events.iter().map(|text| text.parse().expect("a pattern")).collect();
            let filter: Filter = serde_json::from_value(filter).expect("a filter");
            filter.check(&events).first().map(|(part, _)| *part)
        };
        for (events, filter, refused) in [
            (&["*"][..], json!({"directions": ["in"], "statuses": ["read"]}), Some("filter.statuses")),
            (&["message.*"], json!({"directions": ["in"], "statuses": ["read", "sent"]}), Some("filter.statuses")),
            (&["message.received"], json!({"statuses": ["read"]}), Some("filter.statuses")),
            (&["message.delivered"], json!({"statuses": ["read"]}), Some("filter.statuses")),
            (&["message.received"], json!({"directions": ["out"]}), Some("filter.directions")),
            (&["template.*", "contact.*"], json!({"directions": ["in"]}), Some("filter.directions")),
            (&["message.received", "message.read"], json!({"directions": ["in"]}), None),
            (&["message.*"], json!({"directions": ["in", "out"], "statuses": ["read"]}), None),
            (&["message.outbound"], json!({"statuses": ["sent"]}), None),
            (&["message.payment"], json!({"directions": ["in"], "statuses": ["failed"]}), None),
            (&["message.deleted"], json!({"directions": ["in"]}), None),
            (&["*"], json!({}), None),
            (&[], json!({"statuses": ["read"]}), None),
        ] {
            assert_eq!(part(events, filter.clone()), refused, "{filter} of {events:?}");
        }
    }

    #[test]
    fn only_what_is_told_can_be_asked_for() {
        for text in ["*", "message.*", "template.*", "message.read", "channel.status"] {
            assert_eq!(text.parse::<EventPattern>().map(|pattern| pattern.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "message", "message.", "messages.*", "message.re*", "*.read", "message.clicked", "**"] {
            assert!(text.parse::<EventPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        /// A pattern that is read matches what its text says, and nothing else.
        #[test]
        fn a_pattern_matches_what_it_says(
            text in prop_oneof![
                Just("*".to_owned()),
                proptest::sample::select(Entity::ALL.to_vec()).prop_map(|entity| format!("{}.*", entity.as_str())),
                proptest::sample::select(EventName::ALL.to_vec()).prop_map(|name| name.to_string()),
                "[a-z.*]{0,12}",
            ],
            name in proptest::sample::select(EventName::ALL.to_vec()),
        ) {
            let says = match text.strip_suffix('*') {
                Some(start) => name.as_str().starts_with(start),
                None => name.as_str() == text,
            };
            if let Ok(pattern) = text.parse::<EventPattern>() {
                prop_assert_eq!(pattern.matches(name), says);
            }
        }

        /// A part more never lets more through.
        #[test]
        fn a_narrower_filter_lets_nothing_more_through(
            name in proptest::sample::select(EventName::ALL.to_vec()),
            accounts in proptest::collection::vec(proptest::sample::select(vec!["shop", "other"]), 0..3),
            statuses in proptest::collection::vec(proptest::sample::select(vec!["read", "failed"]), 0..3),
        ) {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            let wide = Filter { accounts: own(&accounts), ..Filter::default() };
            let narrow = Filter { statuses: own(&statuses), ..wide.clone() };
            let event = sample(name);
            prop_assert!(!narrow.wants(&event) || wide.wants(&event));
            prop_assert_eq!(narrow.wants(&event) || !statuses.is_empty(), wide.wants(&event) || !statuses.is_empty());
        }
    }
}
