//! The events that there are: named, shown by an example that their schema describes, and in the documentation.

use std::path::Path;

use serde_json::{Value, json};
use wabridge::{
    domain::{event_name::EventName, webhook_event::Level, webhook_filter::EventPattern, webhook_sample::sample},
    profiles::{self, Profile},
};

use crate::{Options, read_json};

/// What the other systems tell, and what a bridge can tell beside it. Whoever takes one away breaks somebody's receiver.
const PROMISED: &[&str] = &[
    "message.received",
    "message.interaction",
    "message.flow",
    "message.cart",
    "message.payment",
    "message.accepted",
    "message.outbound",
    "message.sent",
    "message.delivered",
    "message.read",
    "message.failed",
    "message.deleted",
    "template.status",
    "channel.status",
    "contact.created",
    "contact.updated",
    "contact.tag_mapped",
    "contact.tag_unmapped",
    "contact.opted_in",
    "contact.opted_out",
    "conversation.created",
    "conversation.updated",
    "conversation.expired",
    "conversation.resolved",
    "conversation.unattended",
    "conversation.auto_replied",
    "conversation.tag_mapped",
    "conversation.tag_unmapped",
    "webhook.failing",
    "webhook.disabled",
    "commbox.event",
    "gallabox.event",
    "gotallo.event",
];

/// These have their names, and nobody reports them yet.
const KEPT_FREE: &[&str] = &["message.clicked"];

#[test]
fn every_event_that_was_promised_can_be_subscribed_to_and_is_explained() {
    let page = include_str!("../../docs/webhooks.md");
    let table: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("| event | when |")).collect();
    let table: Vec<&str> = table.into_iter().take_while(|line| line.starts_with('|')).collect();
    let is_explained = |name: &str| table.iter().any(|row| row.contains(&format!("`{name}`")));
    for name in PROMISED {
        let event: EventName = name.parse().unwrap_or_else(|error| panic!("{error}"));
        assert!(EventName::TOLD.contains(&event), "{name} is not told");
        assert_eq!(name.parse(), Ok(EventPattern::One(event)));
        assert_eq!(format!("{}.*", event.entity().as_str()).parse(), Ok(EventPattern::Of(event.entity())), "{name}");
        assert_eq!(sample(event).name, event);
        assert!(!event.description().is_empty(), "{name}");
        assert!(is_explained(name), "docs/webhooks.md does not say when {name} is told");
    }
    for name in KEPT_FREE {
        assert!(name.parse::<EventName>().is_ok() && name.parse::<EventPattern>().is_err(), "{name}");
    }
    let mut all: Vec<&str> = PROMISED.iter().chain(KEPT_FREE).copied().collect();
    let mut known: Vec<&str> = EventName::ALL.iter().map(|name| name.as_str()).collect();
    all.sort_unstable();
    known.sort_unstable();
    assert_eq!(all, known, "an event that is new belongs into one of these lists");
}

/// The catalogue of `openapi/wabridge.json` must hold for what is sent.
#[test]
fn what_we_tell_is_what_the_catalogue_says() {
    let catalogue = read_json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/wabridge.json"));
    let webhooks = catalogue["webhooks"].as_object().expect("there is a section webhooks");
    let mut told: Vec<&str> = EventName::TOLD.iter().map(|name| name.as_str()).collect();
    told.sort_unstable();
    assert_eq!(webhooks.keys().map(String::as_str).collect::<Vec<_>>(), told);
    for name in EventName::TOLD.iter().copied() {
        let content = &catalogue["webhooks"][name.as_str()]["post"]["requestBody"]["content"]["application/json"];
        let mut schema = content["schema"].clone();
        schema["components"] = catalogue["components"].clone();
        schema["unevaluatedProperties"] = false.into();
        let schema = jsonschema::draft202012::new(&schema).expect("a schema");
        let rendered = |level| {
            let options = Options { level, ..Options::default() };
            let rendered = options.render(&profiles::native::Native, &sample(name)).expect("our own has all words");
            serde_json::from_str::<Value>(&rendered.body).expect("JSON")
        };
        for level in Level::ALL {
            let errors: Vec<String> = schema.iter_errors(&rendered(level)).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name} {}: {errors:?}", level.as_str());
        }
        assert_eq!(content["example"], rendered(Level::Standard), "{name}");
        for (pointer, wrong) in [("/type", json!("message.lost")), ("/sequence", json!("7")), ("/data", json!({}))] {
            let mut body = rendered(Level::Standard);
            *body.pointer_mut(pointer).expect("it is there") = wrong;
            assert!(!schema.is_valid(&body), "{name} with a wrong {pointer}");
        }
    }
}

/// `docs/webhook-profiles.md` has a table of words.
#[test]
fn the_table_of_words_is_what_the_profiles_say() {
    let page = include_str!("../../docs/webhook-profiles.md");
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| event |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
        .collect();
    let titles: Vec<&str> = rows[0].iter().skip(1).map(String::as_str).collect();
    let imitating: Vec<&dyn Profile> = profiles::ALL.iter().copied().filter(|one| one.slug() != "native").collect();
    assert_eq!(titles, imitating.iter().map(|profile| profile.title()).collect::<Vec<_>>());
    let told: Vec<&str> = rows.iter().skip(2).map(|row| row[0].as_str()).collect();
    assert_eq!(told, EventName::ALL.iter().map(|name| name.as_str()).collect::<Vec<_>>());
    for (row, name) in rows.iter().skip(2).zip(EventName::ALL) {
        let words: Vec<&str> = imitating.iter().map(|profile| profile.word(*name).unwrap_or("–")).collect();
        assert_eq!(row[1..], words, "{name}");
    }
}

/// The page has a table of the profiles, and one of Gallabox's older words.
#[test]
fn the_page_tells_versions_formats_and_older_words() {
    let page = include_str!("../../docs/webhook-profiles.md");
    let row = |begins: &str, with: &str| page.lines().find(|line| line.starts_with(begins) && line.contains(with));
    for profile in profiles::ALL {
        let told = row(&format!("| `{}` | ", profile.slug()), "(`json`").unwrap_or_default();
        for version in profile.versions() {
            assert!(told.contains(&format!(" | `{version}` | ")), "{}: {told}", profile.slug());
        }
        for format in profile.formats() {
            assert!(told.contains(&format!("`{}`", format.as_str())), "{}: {told}", profile.slug());
        }
    }
    for name in EventName::TOLD.iter().copied().filter(|name| *name != EventName::GallaboxEvent) {
        let options = Options { old_names: true, ..Options::default() };
        let Some(word) = profiles::gallabox::Gallabox.word(name) else { continue };
        let old = options.render(&profiles::gallabox::Gallabox, &sample(name)).ok();
        let old = old.map_or_else(|| "–".to_owned(), |told| format!("`{}`", told.headers[0].1));
        let row = format!("| `{name}` | `{word}` | {old} |");
        assert!(page.lines().any(|line| line == row), "{row}");
    }
}
