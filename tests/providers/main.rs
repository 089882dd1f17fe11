//! What every provider of the bridge must be able to do, shown by examples.
//!
//! For each entry of `providers::ALL` there are folders under `fixtures/<slug>/`, and in them a folder for
//! each case. Adding a case needs no Rust: write its input, run the tests once with `UPDATE_EXPECTED=1`,
//! and read the `expected.json` that this writes as if a stranger had written it.
//!
//! | folder | input | expected |
//! |---|---|---|
//! | `send` | `case.json`: `message`, and at will `settings`, `swapped`, `answer` | request on the wire, if there was one; outcome |
//! | `errors` | `case.json`: `answer`, and at will `message`, `swapped` | the outcome |
//! | `webhook` | `body.json`, byte for byte, and at will `webhook.json` | everything that was read, and what was skipped |
//! | `templates` | `case.json`: `answers`, and at will `named`, `settings` | the requests, and the templates or the failure |
//! | `numbers` | `case.json`: `answers`, and at will `settings` | the requests, and the number's state or the failure |
//!
//! Sends and listings go through the trait to a real socket; all numbers, names and ids are invented.

mod batches;
mod cases;
mod codes;
mod message;
mod polls;
mod properties;
mod reasons;
mod server;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cases::{Case, cases, for_each_case};
use serde_json::{Value, json};
use wabridge::{
    domain::{
        account::Connection,
        failure::{SendFailure, Submitted},
        inbound::{InboundContact, InboundContent, InboundMedia, InboundMessage, OrderItem},
        notice::Notice,
        preference::Preference,
        status::StatusUpdate,
        template::ListedTemplate,
    },
    providers::{ALL, Inbound, Parsed, PersonLink, Provider, Skipped, WebhookRequest},
};

#[test]
fn every_message_goes_out_as_its_example_shows() {
    for_each_case("send", |provider, case| {
        let told = wire::send(provider, &case.json("case.json"));
        json!({ "request": told.request, "outcome": outcome(&told.outcome) })
    });
}

/// What a provider does not send, its examples show to be refused.
#[test]
fn every_kind_of_message_has_an_example() {
    for provider in ALL {
        let bodies = cases(provider.slug(), "send").into_iter().map(|case| case.json("case.json"));
        let kinds: BTreeSet<String> = bodies.flat_map(|case| kind_of(&case)).collect();
        let missing: Vec<_> =
            ["template", "text", "media", "location"].into_iter().filter(|kind| !kinds.contains(*kind)).collect();
        assert!(missing.is_empty(), "the provider {} needs examples in send of: {missing:?}", provider.slug());
    }
}

/// Where a case has no message, it is a text.
fn kind_of(case: &Value) -> Vec<String> {
    let body = case.pointer("/message/body").and_then(Value::as_object);
    body.map_or_else(|| vec!["text".to_owned()], |body| body.keys().cloned().collect())
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
fn every_number_is_read_as_its_example_shows() {
    for_each_case("numbers", |provider, case| {
        let (requests, state) = wire::fetch_number(provider, &case.json("case.json"));
        match state {
            Ok(state) => json!({ "requests": requests, "state": state }),
            Err(failure) => json!({ "requests": requests, "failure": failure.to_string() }),
        }
    });
}

#[test]
fn every_webhook_is_read_as_its_example_shows() {
    for_each_case("webhook", |provider, case| {
        let told = case.json_if_there("webhook.json").unwrap_or_default();
        let parsed = parse(provider, &told, &case.bytes("body.json"));
        nothing_is_lost(provider, case, &told, &parsed);
        parsed_as_json(&parsed)
    });
}

/// For whoever wants more of a template than sending needs.
fn every_listing_is_kept_as_it_came(case: &Case, templates: &[ListedTemplate]) {
    let case = case.json("case.json");
    let answers = case["answers"].as_array().expect("a case has answers");
    // Of a provider that lists none, the operator does.
    let by_hand = case["settings"]["templates"].as_str().and_then(|list| serde_json::from_str::<Vec<Value>>(list).ok());
    let lists = answers.iter().filter_map(|answer| listed(&answer["body"]).cloned());
    let all: Vec<Value> = lists.chain(by_hand).flatten().collect();
    for listed in templates {
        let listing: Value = serde_json::from_str(&listed.listing).expect("a listing is JSON");
        assert!(all.contains(&listing), "{listing} was not listed");
        assert_eq!(listing["name"], listed.template.name.as_str());
    }
}

/// Some list under a key, others list and nothing else.
fn listed(body: &Value) -> Option<&Vec<Value>> {
    [&body["data"], &body["waba_templates"], body].into_iter().find_map(Value::as_array)
}

/// Beside its `body.json` an example may have a `webhook.json`: the `headers` that came with it, by their lower-case names,
/// and the `settings` of the connection that it came for.
fn parse(provider: &dyn Provider, told: &Value, body: &[u8]) -> Parsed {
    let headers = texts(told, "headers");
    let header = |name: &str| headers.get(name).map(String::as_str);
    let connection = connection(provider, told);
    provider.parse_webhook(&connection, &WebhookRequest { header: &header, url_token: None, caller: None, body })
}

fn connection(provider: &dyn Provider, told: &Value) -> Arc<Connection> {
    wire::sender(provider, "http://provider.invalid", texts(told, "settings")).connection
}

fn texts(told: &Value, name: &str) -> BTreeMap<String, String> {
    told.get(name).map(|texts| serde_json::from_value(texts.clone()).expect("names and texts")).unwrap_or_default()
}

/// Entries are kept exactly as they came, where their pointers say, and can be read again.
fn nothing_is_lost(provider: &dyn Provider, case: &Case, told: &Value, parsed: &Parsed) {
    let connection = connection(provider, told);
    let body = String::from_utf8(case.bytes("body.json")).expect("examples are UTF-8");
    let statuses = parsed.statuses.iter().map(|status| &status.entry);
    let inbound = parsed.inbound.iter().map(|inbound| &inbound.entry);
    let skipped = parsed.skipped.iter().map(|skipped| &skipped.entry);
    let preferences = parsed.preferences.iter().map(|preference| &preference.entry);
    // What is no JSON is kept as a text in JSON.
    let as_it_came =
        |notice: &Notice| serde_json::from_str::<String>(&notice.entry).unwrap_or_else(|_| notice.entry.clone());
    let notices: Vec<String> = parsed.notices.iter().map(as_it_came).collect();
    for entry in statuses.chain(inbound).chain(preferences).chain(&notices).chain(skipped) {
        assert!(body.contains(entry.as_str()), "{case}: an entry was changed: {entry}");
    }
    for Inbound { message, entry, .. } in &parsed.inbound {
        let again =
            provider.parse_inbound(&connection, entry).unwrap_or_else(|why| panic!("{case}: read again: {why:?}"));
        // The profile may stand beside the message, which is what is kept: its name is taken when the webhook comes.
        let from_name = again.from_name.clone().or_else(|| message.from_name.clone());
        assert_eq!(&InboundMessage { from_name, ..again }, message, "{case}: read again, it is another message");
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
        Err(SendFailure { class, scope, wait, tries_max, failure }) => {
            let mut outcome = json!({
                "class": format!("{class:?}"),
                "scope": format!("{scope:?}"),
                "wait_s": wait.map(|wait| wait.as_secs()),
                "reason": failure.reason.as_str(),
                "code": failure.code,
                "text": failure.text,
            });
            if let Some(tries) = tries_max {
                outcome["tries_max"] = json!(tries);
            }
            outcome
        }
    }
}

fn parsed_as_json(parsed: &Parsed) -> Value {
    let mut json = json!({
        "statuses": parsed.statuses.iter().map(status_as_json).collect::<Vec<_>>(),
        "inbound": parsed.inbound.iter().map(inbound_as_json).collect::<Vec<_>>(),
        "templates_changed": parsed.templates_changed,
        "skipped": parsed.skipped.iter().map(|Skipped { pointer, reason, .. }| json!({
            "pointer": pointer,
            "reason": reason,
        })).collect::<Vec<_>>(),
    });
    // What only few examples have is not shown where there is none.
    if parsed.ignored > 0 {
        json["ignored"] = parsed.ignored.into();
    }
    let seldom = [
        ("preferences", parsed.preferences.iter().map(preference_as_json).collect::<Vec<_>>()),
        ("links", parsed.links.iter().map(link_as_json).collect()),
        ("notices", parsed.notices.iter().map(notice_as_json).collect()),
    ];
    for (name, values) in seldom.into_iter().filter(|(_, values)| !values.is_empty()) {
        json[name] = values.into();
    }
    json
}

fn status_as_json(update: &StatusUpdate) -> Value {
    json!({
        "provider_message_id": update.provider_message_id,
        "message": update.message.map(|id| id.to_string()),
        "number": update.provider_number_id,
        "status": update.status.as_str(),
        "occurred_at": update.occurred_at.to_string(),
        "price": update.price.map(|price| json!({"category": price.category.as_str(), "billable": price.billable})),
        "failure": update.failure.as_ref().map(|failure| json!({
            "reason": failure.reason.as_str(),
            "code": failure.code,
            "text": failure.text,
        })),
    })
}

fn preference_as_json(preference: &Preference) -> Value {
    let Preference { provider_number_id, phone, user_id, category, choice, occurred_at, entry: _ } = preference;
    json!({
        "number": provider_number_id,
        "phone": phone.as_ref().map(|number| number.as_e164()),
        "user_id": user_id,
        "category": category,
        "choice": format!("{choice:?}"),
        "occurred_at": occurred_at.to_string(),
    })
}

fn link_as_json(link: &PersonLink) -> Value {
    let PersonLink { provider_number_id, phone, user_id } = link;
    json!(format!("{provider_number_id}: {} is {user_id}", phone.as_e164()))
}

fn notice_as_json(notice: &Notice) -> Value {
    let Notice { provider_account_id, kind, about, severity, text, template_status, occurred_at, entry: _ } = notice;
    json!({
        "account": provider_account_id,
        "kind": kind,
        "about": about,
        "severity": severity,
        "text": text,
        "template_status": template_status,
        "occurred_at": occurred_at.map(|at| at.to_string()),
    })
}

fn inbound_as_json(inbound: &Inbound) -> Value {
    let InboundMessage { provider_message_id, from, from_user_id, from_name: _, occurred_at, replies_to, content } =
        &inbound.message;
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
            InboundContent::ListReply { id, title, description } => {
                json!({ "chosen": title, "id": id, "description": description })
            }
            InboundContent::FlowReply { name, body, response } => {
                json!({ "form": name, "body": body, "response": response })
            }
            InboundContent::Media(InboundMedia { kind, provider_media_id, mime_type, caption, filename, failure }) => {
                json!({
                    "media": kind,
                    "id": provider_media_id,
                    "mime_type": mime_type,
                    "caption": caption,
                    "filename": filename,
                    "failure": failure,
                })
            }
            InboundContent::Contacts { contacts } => contacts
                .iter()
                .map(|InboundContact { name, phones, emails }| json!({ "contact": name, "phones": phones, "emails": emails }))
                .collect(),
            InboundContent::Reaction { to, emoji } => json!({ "reaction": emoji, "to": to }),
            InboundContent::Order { catalog_id, text, items } => json!({
                "order": items
                    .iter()
                    .map(|OrderItem { product, quantity, price, currency }| json!([product, quantity, price, currency]))
                    .collect::<Vec<_>>(),
                "catalog_id": catalog_id,
                "text": text,
            }),
            InboundContent::NumberChanged { to, text } => {
                json!({ "new_number": to.as_ref().map(|number| number.as_e164()), "text": text })
            }
            InboundContent::Unsupported { kind, reason } => json!({ "unsupported": kind, "reason": reason }),
            InboundContent::Other { kind } => json!({ "other": kind }),
        },
    })
}
