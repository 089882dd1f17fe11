//! What every provider of the bridge must be able to do, shown by examples.
//!
//! For each entry of `providers::ALL` there are folders under `fixtures/<slug>/`, and in them a folder for
//! each case. Adding a case needs no Rust: write its input, run the tests once with `UPDATE_EXPECTED=1`,
//! and read the `expected.json` that this writes as if a stranger had written it.
//!
//! | folder | input | expected |
//! |---|---|---|
//! | `send` | `case.json`: `message`, and at will `settings`, `swapped`, `answer` | request on the wire, outcome |
//! | `errors` | `case.json`: `answer`, and at will `message`, `swapped` | the outcome |
//! | `webhook` | `body.json`, byte for byte | everything that was read, and what was skipped |
//! | `templates` | `case.json`: `answers`, and at will `named` | the requests, and the templates or the failure |
//!
//! Sends and listings go through the trait to a real socket; all numbers, names and ids are invented.

mod batches;
mod cases;
mod message;
mod properties;
mod server;
mod wire;

use cases::{Case, for_each_case};
use serde_json::{Value, json};
use wabridge::{
    domain::{
        failure::{SendFailure, Submitted},
        inbound::{InboundContent, InboundMessage},
        status::StatusUpdate,
        template::ListedTemplate,
    },
    providers::{Inbound, Parsed, Provider, Skipped, WebhookRequest},
};

#[test]
fn every_message_goes_out_as_its_example_shows() {
    for_each_case("send", |provider, case| {
        let told = wire::send(provider, &case.json("case.json"));
        json!({ "request": told.request, "outcome": outcome(&told.outcome) })
    });
}

#[test]
fn every_refusal_has_the_consequence_that_its_example_shows() {
    for_each_case("errors", |provider, case| outcome(&wire::send(provider, &case.json("case.json")).outcome));
}

#[test]
fn every_listing_is_read_as_its_example_shows() {
    for_each_case("templates", |provider, case| {
        let told = wire::fetch_templates(provider, &case.json("case.json"));
        match told.templates {
            Ok(templates) => {
                every_listing_is_kept_as_it_came(case, &templates);
                let templates: Vec<_> = templates.iter().map(|listed| &listed.template).collect();
                json!({ "requests": told.requests, "templates": templates })
            }
            Err(failure) => json!({ "requests": told.requests, "failure": failure.to_string() }),
        }
    });
}

#[test]
fn every_webhook_is_read_as_its_example_shows() {
    for_each_case("webhook", |provider, case| {
        let parsed = parse(provider, &case.bytes("body.json"));
        nothing_is_lost(provider, case, &parsed);
        parsed_as_json(&parsed)
    });
}

/// For whoever wants more of a template than sending needs.
fn every_listing_is_kept_as_it_came(case: &Case, templates: &[ListedTemplate]) {
    let case = case.json("case.json");
    let answers = case["answers"].as_array().expect("a case has answers");
    let all: Vec<&Value> = answers.iter().filter_map(|answer| answer["body"]["data"].as_array()).flatten().collect();
    for listed in templates {
        let listing: Value = serde_json::from_str(&listed.listing).expect("a listing is JSON");
        assert!(all.contains(&&listing), "{listing} was not listed");
        assert_eq!(listing["name"], listed.template.name.as_str());
    }
}

fn parse(provider: &dyn Provider, body: &[u8]) -> Parsed {
    provider.parse_webhook(&WebhookRequest { header: &|_| None, body })
}

/// Entries are kept exactly as they came, where their pointers say, and can be read again.
fn nothing_is_lost(provider: &dyn Provider, case: &Case, parsed: &Parsed) {
    let body = String::from_utf8(case.bytes("body.json")).expect("examples are UTF-8");
    let statuses = parsed.statuses.iter().map(|status| &status.entry);
    let inbound = parsed.inbound.iter().map(|inbound| &inbound.entry);
    let skipped = parsed.skipped.iter().map(|skipped| &skipped.entry);
    for entry in statuses.chain(inbound).chain(skipped) {
        assert!(body.contains(entry.as_str()), "{case}: an entry was changed: {entry}");
    }
    for Inbound { message, entry, .. } in &parsed.inbound {
        assert_eq!(provider.parse_inbound(entry).as_ref(), Ok(message), "{case}: read again, it is another message");
    }
    let whole: Value = serde_json::from_str(&body).unwrap_or_default();
    for Skipped { pointer, entry, .. } in parsed.skipped.iter().filter(|skipped| !skipped.pointer.is_empty()) {
        let entry: Value = serde_json::from_str(entry).expect("a part of JSON is JSON");
        assert_eq!(whole.pointer(pointer), Some(&entry), "{case}: {pointer} points elsewhere");
    }
}

fn outcome(outcome: &Result<Submitted, SendFailure>) -> Value {
    match outcome {
        Ok(submitted) => json!({ "submitted": submitted.provider_message_id }),
        Err(SendFailure { class, scope, wait, failure }) => json!({
            "class": format!("{class:?}"),
            "scope": format!("{scope:?}"),
            "wait_s": wait.map(|wait| wait.as_secs()),
            "reason": failure.reason.as_str(),
            "code": failure.code,
            "text": failure.text,
        }),
    }
}

fn parsed_as_json(parsed: &Parsed) -> Value {
    json!({
        "statuses": parsed.statuses.iter().map(status_as_json).collect::<Vec<_>>(),
        "inbound": parsed.inbound.iter().map(inbound_as_json).collect::<Vec<_>>(),
        "templates_changed": parsed.templates_changed,
        "skipped": parsed.skipped.iter().map(|Skipped { pointer, reason, .. }| json!({
            "pointer": pointer,
            "reason": reason,
        })).collect::<Vec<_>>(),
    })
}

fn status_as_json(update: &StatusUpdate) -> Value {
    json!({
        "provider_message_id": update.provider_message_id,
        "message": update.message.map(|id| id.to_string()),
        "number": update.provider_number_id,
        "status": update.status.as_str(),
        "occurred_at": update.occurred_at.to_string(),
        "failure": update.failure.as_ref().map(|failure| json!({
            "reason": failure.reason.as_str(),
            "code": failure.code,
            "text": failure.text,
        })),
    })
}

fn inbound_as_json(inbound: &Inbound) -> Value {
    let InboundMessage { provider_message_id, from, from_user_id, occurred_at, replies_to, content } = &inbound.message;
    json!({
        "number": inbound.provider_number_id,
        "provider_message_id": provider_message_id,
        "from": from.as_ref().map(|number| number.as_e164()),
        "from_user_id": from_user_id,
        "occurred_at": occurred_at.to_string(),
        "replies_to": replies_to,
        "content": match content {
            InboundContent::Text { body } => json!({ "text": body }),
            InboundContent::Button { payload, text } => json!({ "button": text, "payload": payload }),
            InboundContent::Location { location, url } => json!({ "location": location, "url": url }),
            InboundContent::Other { kind } => json!({ "other": kind }),
            content => json!({ "content": format!("{content:?}") }),
        },
    })
}
