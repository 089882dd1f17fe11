//! What can happen at WhatsApp beside sends: templates are paused, numbers lose their quality, people change their minds.
//!
//! An [`Event`] changes the simulated world and tells the webhook of it, in Meta's shape. In JSON and TOML it is an
//! object with one key: `{"template_status": {"name": "order_update", "language": "en", "status": "PAUSED"}}`.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    SimulatedSender,
    inbound::{self, Inbound},
    knobs::Knobs,
    payloads::Update,
    people::Person,
    rules::Rule,
    state::{World, unix_now},
    templates::TemplateList,
};

/// Something that happens. A number that is not given is the first that the simulator knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A translation is APPROVED, PAUSED, DISABLED, REJECTED, …
    TemplateStatus {
        name: String,
        language: String,
        status: String,
        #[serde(default)]
        reason: Option<String>,
        /// For example FIRST_PAUSE; it comes as `other_info.title`.
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        description: Option<String>,
    },
    /// A template has another category now, or will have it.
    TemplateCategory {
        name: String,
        language: String,
        category: String,
        /// It is only announced.
        #[serde(default)]
        upcoming: bool,
    },
    /// GREEN, YELLOW, RED or UNKNOWN.
    TemplateQuality { name: String, language: String, quality: String },
    /// A template was edited.
    TemplateComponents { name: String, language: String, components: Vec<Value> },
    /// A new template, as Meta lists it; its status is told. One of the same name and language is replaced.
    TemplateAdded { template: Value },
    /// A template is gone, in one language or in all.
    TemplateRemoved {
        name: String,
        #[serde(default)]
        language: Option<String>,
    },
    /// GREEN, YELLOW or RED: FLAGGED or UNFLAGGED is told.
    NumberQuality {
        #[serde(default)]
        phone_number_id: String,
        quality: String,
    },
    /// The review of a display name is over.
    NumberName {
        #[serde(default)]
        phone_number_id: String,
        name: String,
        #[serde(default = "approved")]
        decision: String,
    },
    /// The number gets a higher rate. While it changes, sends get 131057; afterwards it is told.
    ThroughputUpgrade {
        #[serde(default)]
        phone_number_id: String,
        #[serde(default = "upgraded_rate")]
        messages_per_second: u32,
        #[serde(default = "upgrade_ms")]
        maintenance_ms: u64,
    },
    /// The portfolio's messaging limit: TIER_250, TIER_2K, TIER_10K, TIER_100K or TIER_UNLIMITED.
    MessagingLimit { tier: String },
    /// An `account_update`: ACCOUNT_RESTRICTION, DISABLED_UPDATE, …, with what else belongs to it.
    Account {
        event: String,
        #[serde(default)]
        details: Map<String, Value>,
    },
    /// Somebody stops marketing messages, or resumes them: until then marketing fails with 131050.
    Preference {
        from: String,
        /// `stop` or `resume`.
        value: String,
        #[serde(default)]
        phone_number_id: String,
    },
    /// Somebody at the business answered from the app on the phone.
    Echo {
        to: String,
        text: String,
        #[serde(default)]
        phone_number_id: String,
    },
    /// An error of the number itself, beside all messages.
    Error {
        code: u32,
        #[serde(default)]
        details: String,
        #[serde(default)]
        phone_number_id: String,
    },
    /// A person writes.
    Inbound(Inbound),
    /// Any other webhook; `value` arrives as it is.
    Change {
        #[serde(default)]
        waba_id: Option<String>,
        field: String,
        value: Value,
    },
    /// Fields of a number or a business account change, and nobody is told. A null hides a field.
    Node { id: String, fields: Map<String, Value> },
    /// The app is subscribed to a business account, or no longer.
    Subscription {
        #[serde(default)]
        waba_id: Option<String>,
        subscribed: bool,
    },
    /// Knobs are turned; what is not named stays.
    Knobs(Map<String, Value>),
    /// One more rule, after the others.
    Rule(Rule),
}

fn approved() -> String {
    "APPROVED".to_owned()
}

fn upgraded_rate() -> u32 {
    1_000
}

fn upgrade_ms() -> u64 {
    60_000
}

/// Lets it happen; the error says why it cannot.
pub(super) fn happen(world: &World, event: &Event) -> Result<(), String> {
    match event {
        Event::TemplateStatus { name, language, status, reason, title, description } => {
            let (template, _) = change_template(world, name, language, |entry| entry["status"] = json!(status))?;
            let about = json!({"reason": reason.as_deref().unwrap_or("NONE"), "event": status});
            let mut value = about_template(&template, about);
            if let Some(title) = title {
                value["other_info"] = json!({"title": title, "description": description});
            }
            if status == "DISABLED" {
                value["disable_info"] = json!({"disable_date": unix_now().as_secs().to_string()});
            }
            tell_all(world, "message_template_status_update", &value);
        }
        Event::TemplateCategory { name, language, category, upcoming } => {
            let key = if *upcoming { "correct_category" } else { "category" };
            let (template, before) = change_template(world, name, language, |entry| entry[key] = json!(category))?;
            let about = if *upcoming {
                let at = unix_now().as_secs() + 24 * 60 * 60;
                json!({"new_category": before["category"], "correct_category": category, "category_update_timestamp": at})
            } else {
                json!({"previous_category": before["category"], "new_category": category})
            };
            tell_all(world, "template_category_update", &about_template(&template, about));
        }
        Event::TemplateQuality { name, language, quality } => {
            let score = json!({"score": quality, "date": unix_now().as_secs()});
            let (template, before) = change_template(world, name, language, |entry| entry["quality_score"] = score)?;
            let previous = before["quality_score"]["score"].as_str().unwrap_or("UNKNOWN");
            let about = json!({"previous_quality_score": previous, "new_quality_score": quality});
            tell_all(world, "message_template_quality_update", &about_template(&template, about));
        }
        Event::TemplateComponents { name, language, components } => {
            let (template, _) =
                change_template(world, name, language, |entry| entry["components"] = json!(components))?;
            let about = json!({"message_template_components": components});
            tell_all(world, "message_template_components_update", &about_template(&template, about));
        }
        Event::TemplateAdded { template } => add_template(world, template)?,
        Event::TemplateRemoved { name, language } => remove_template(world, name, language.as_deref())?,
        Event::NumberQuality { phone_number_id, quality } => {
            let sender = number(world, phone_number_id)?;
            set_field(world, &sender.phone_number_id, "quality_rating", json!(quality));
            let flag = if quality == "RED" { "FLAGGED" } else { "UNFLAGGED" };
            tell(world, &sender, "phone_number_quality_update", quality_update(world, &sender, flag), Duration::ZERO);
        }
        Event::NumberName { phone_number_id, name, decision } => {
            let sender = number(world, phone_number_id)?;
            if decision == "APPROVED" {
                set_field(world, &sender.phone_number_id, "verified_name", json!(name));
            }
            set_field(world, &sender.phone_number_id, "name_status", json!(decision));
            let value = json!({"display_phone_number": sender.display_number, "decision": decision,
                "requested_verified_name": name, "rejection_reason": null});
            tell(world, &sender, "phone_number_name_update", value, Duration::ZERO);
        }
        Event::ThroughputUpgrade { phone_number_id, messages_per_second, maintenance_ms } => {
            let sender = number(world, phone_number_id)?;
            let wait = Duration::from_millis(*maintenance_ms);
            let until = Instant::now() + wait;
            world.tally().upgrade(&sender.phone_number_id, *messages_per_second, until);
            set_field(world, &sender.phone_number_id, "throughput", json!({"level": "HIGH"}));
            let value = quality_update(world, &sender, "THROUGHPUT_UPGRADE");
            tell(world, &sender, "phone_number_quality_update", value, wait);
        }
        Event::MessagingLimit { tier } => {
            world.nodes().set_messaging_limit(tier)?;
            tell_all(world, "business_capability_update", &json!({"max_daily_conversations_per_business": tier}));
        }
        Event::Account { event, details } => {
            let mut value = details.clone();
            value.insert("event".into(), json!(event));
            tell_all(world, "account_update", &Value::Object(value));
        }
        Event::Preference { from, value, phone_number_id } => prefer(world, from, value, phone_number_id)?,
        Event::Echo { to, text, phone_number_id } => {
            let sender = number(world, phone_number_id)?;
            let person = Person::read(to);
            let mut echo = Map::new();
            person.receive(&world.knobs(), &mut echo);
            echo.insert("from".into(), json!(sender.display_number));
            echo.insert("id".into(), json!(world.new_wamid(person.key())));
            echo.insert("timestamp".into(), world.knobs().timestamps.write(unix_now()));
            echo.extend([("type".into(), json!("text")), ("text".into(), json!({"body": text}))]);
            let value = of_number(&sender, json!({"message_echoes": [echo]}));
            tell(world, &sender, "smb_message_echoes", value, Duration::ZERO);
        }
        Event::Error { code, details, phone_number_id } => {
            let sender = number(world, phone_number_id)?;
            let (_, title) = super::codes::describe(*code);
            let error = json!({"code": code, "title": title, "message": title, "error_data": {"details": details}});
            tell(world, &sender, "messages", of_number(&sender, json!({"errors": [error]})), Duration::ZERO);
        }
        Event::Inbound(message) => drop(inbound::say(world, message, Instant::now())?),
        Event::Change { waba_id: Some(waba_id), field, value } => {
            put(world, Instant::now(), waba_id, field, value.clone());
        }
        Event::Change { waba_id: None, field, value } => tell_all(world, field, value),
        Event::Node { id, fields } => world.nodes().change(id, fields.clone()),
        Event::Subscription { waba_id, subscribed } => {
            let wanted = |id: &String| waba_id.as_ref().is_none_or(|wanted| wanted == id);
            world.waba_ids().iter().filter(|id| wanted(id)).for_each(|id| world.nodes().subscribe(id, *subscribed));
        }
        Event::Knobs(patch) => turn(world, patch)?,
        Event::Rule(rule) => {
            rule.check()?;
            world.rules().given().push(rule.clone());
        }
    }
    Ok(())
}

/// Turns the knobs that are named.
pub(super) fn turn(world: &World, patch: &Map<String, Value>) -> Result<(), String> {
    let mut knobs = serde_json::to_value(&*world.knobs()).expect("knobs are plain values");
    for (name, value) in patch {
        knobs[name] = value.clone();
    }
    let changed = serde_json::from_value::<Knobs>(knobs).map_err(|error| error.to_string())?;
    world.change_knobs(|knobs| *knobs = changed)
}

fn number(world: &World, phone_number_id: &str) -> Result<std::sync::Arc<SimulatedSender>, String> {
    world.sender_or_first(phone_number_id).ok_or_else(|| format!("there is no number with the id {phone_number_id}"))
}

fn set_field(world: &World, id: &str, field: &str, value: Value) {
    world.nodes().change(id, Map::from_iter([(field.to_owned(), value)]));
}

fn quality_update(world: &World, sender: &SimulatedSender, event: &str) -> Value {
    json!({"display_phone_number": sender.display_number, "event": event,
        "max_daily_conversations_per_business": world.nodes().messaging_limit()})
}

/// The translation after the change, and before.
fn change_template(
    world: &World,
    name: &str,
    language: &str,
    change: impl FnOnce(&mut Value),
) -> Result<(Value, Value), String> {
    let (list, after, before) = world
        .templates()
        .with_change(name, language, change)?
        .ok_or_else(|| format!("there is no template {name} in {language}"))?;
    world.set_templates(list);
    Ok((after, before))
}

fn add_template(world: &World, template: &Value) -> Result<(), String> {
    let mut entries = world.templates().entries().to_vec();
    entries.retain(|entry| entry["name"] != template["name"] || entry["language"] != template["language"]);
    let mut template = template.clone();
    for (key, usual) in [
        ("id", json!((710_000_000_000_000 + world.new_number()).to_string())),
        ("status", json!("APPROVED")),
        ("category", json!("UTILITY")),
        ("parameter_format", json!("POSITIONAL")),
    ] {
        if let Some(entry) = template.as_object_mut() {
            entry.entry(key).or_insert(usual);
        }
    }
    entries.push(template.clone());
    world.set_templates(TemplateList::new(entries)?);
    let about = json!({"event": template["status"], "reason": "NONE"});
    tell_all(world, "message_template_status_update", &about_template(&template, about));
    Ok(())
}

fn remove_template(world: &World, name: &str, language: Option<&str>) -> Result<(), String> {
    let goes = |entry: &Value| entry["name"] == name && language.is_none_or(|language| entry["language"] == language);
    let (gone, left): (Vec<Value>, Vec<Value>) = world.templates().entries().iter().cloned().partition(goes);
    if gone.is_empty() {
        return Err(format!("there is no template {name} in {}", language.unwrap_or("any language")));
    }
    world.set_templates(TemplateList::new(left)?);
    for template in gone {
        let about = json!({"event": "DELETED", "reason": "NONE"});
        tell_all(world, "message_template_status_update", &about_template(&template, about));
    }
    Ok(())
}

/// With an id that is a number here, and a hyphen in the language, as Meta writes it.
fn about_template(template: &Value, mut about: Value) -> Value {
    let id = &template["id"];
    let as_number = id.as_str().and_then(|id| id.parse::<u64>().ok()).map_or_else(|| id.clone(), Value::from);
    about["message_template_id"] = as_number;
    about["message_template_name"] = template["name"].clone();
    about["message_template_language"] = json!(template["language"].as_str().unwrap_or_default().replace('_', "-"));
    about["message_template_category"] = template["category"].clone();
    about
}

fn prefer(world: &World, from: &str, value: &str, phone_number_id: &str) -> Result<(), String> {
    if !["stop", "resume"].contains(&value) {
        return Err(format!("value is {value:?}: write stop or resume"));
    }
    let sender = number(world, phone_number_id)?;
    let (knobs, person) = (world.knobs(), Person::read(from));
    world.tally().prefer(world.hash((&sender.phone_number_id, person.key())), value == "stop");
    let mut preference = Map::new();
    person.preference(&knobs, &mut preference);
    preference.insert("detail".into(), json!(format!("User requested to {value} marketing messages")));
    preference.insert("category".into(), json!("marketing_messages"));
    preference.insert("value".into(), json!(value));
    // The one place where a time is a number.
    preference.insert("timestamp".into(), json!(unix_now().as_secs()));
    let value = json!({"contacts": [person.contact(&knobs)], "user_preferences": [preference]});
    tell(world, &sender, "user_preferences", of_number(&sender, value), Duration::ZERO);
    Ok(())
}

/// A value that says which number it is about.
fn of_number(sender: &SimulatedSender, mut value: Value) -> Value {
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] =
        json!({"display_phone_number": sender.display_number, "phone_number_id": sender.phone_number_id});
    value
}

fn tell(world: &World, sender: &SimulatedSender, field: &str, value: Value, wait: Duration) {
    put(world, Instant::now() + wait, &sender.waba_id, field, value);
}

/// The templates and the portfolio belong to every account here.
fn tell_all(world: &World, field: &str, value: &Value) {
    for waba_id in world.waba_ids() {
        put(world, Instant::now(), &waba_id, field, value.clone());
    }
}

fn put(world: &World, at: Instant, waba_id: &str, field: &str, value: Value) {
    let change = Update::Change { waba_id: waba_id.to_owned(), field: field.to_owned(), value };
    let refused = world.queue.put([(at, change)]);
    world.count(|stats| stats.updates_dropped += refused);
}
