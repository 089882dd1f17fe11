//! What every platform's dialect must do, tried on examples.
//!
//! An example is a folder of files under `fixtures/<slug>/`, so adding one needs no Rust:
//!
//! * `send/<case>/request.json`, as it arrives, and `expected.json`: what is understood,
//!   `{"accepted": …}`, or what is answered, `{"refused": {"kind": …, "message": …}}`.
//! * `callback/<case>/events.json`, in the notation of [`events`], and `expected.json`: the requests with
//!   the events in them, and those that are passed over.
//!
//! Nothing and an empty list are the same in what is expected. The contract of the platform,
//! `openapi/external/<slug>.yaml`, must hold for all that we write, and for the examples of requests
//! too, except those whose name begins with `quirk_`: in these the platform leaves its own rules.

mod events;
mod shapes;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use proptest::prelude::*;
use serde_json::{Value, json};
use wabridge::{
    domain::{
        account::{Account, AccountPolicy, Credentials},
        failure::{Refusal, RefusalKind},
        ids::{AccountKey, MessageId},
        template::{ListedTemplate, Template, TemplateCategory, TemplateComponents, TemplateStatus},
    },
    platforms::{self, Accepted, Platform, Reply, TemplatePage},
};

#[test]
fn send_requests_are_understood() {
    for_each_case("send", |platform, case| {
        let request = fs::read(case.join("request.json")).expect("a case of send has a request.json");
        let actual = match platform.parse_send(&account(platform), &request) {
            Ok(request) => json!({ "accepted": request }),
            Err(refusal) => json!({ "refused": { "kind": format!("{:?}", refusal.kind), "message": refusal.message } }),
        };
        compare(case, actual)
    });
}

#[test]
fn events_become_callbacks() {
    for_each_case("callback", |platform, case| {
        let events = events::read(&read_json(&case.join("events.json")));
        let renderings = platform.render_callbacks(&account_of(platform, case), &events);
        let requests = renderings.requests.iter().map(|rendered| {
            let body: Value = serde_json::from_str(&rendered.body).expect("a callback is JSON");
            json!({ "events": rendered.events, "body": body })
        });
        let actual = json!({
            "requests": requests.collect::<Vec<_>>(),
            "unspeakable": renderings.unspeakable,
            "silent": renderings.silent,
        });
        compare(case, actual)
    });
}

#[test]
fn callbacks_keep_to_the_platforms_contract() {
    for_each_case("callback", |platform, case| {
        let events = events::read(&read_json(&case.join("events.json")));
        let contract = Contract::of(platform, "Callback");
        platform
            .render_callbacks(&account_of(platform, case), &events)
            .requests
            .iter()
            .try_for_each(|rendered| contract.check(&serde_json::from_str(&rendered.body).expect("a callback is JSON")))
    });
}

/// `docs/inbound.md` is for operators, and must tell what happens.
#[test]
fn the_table_of_inbound_kinds_tells_what_happens() {
    let page = include_str!("../../docs/inbound.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| kind |")).skip(2);
    let rows: Vec<Vec<&str>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let cases = cases(&platforms::clevertap::CleverTap, "callback");
    let mut kinds: Vec<String> =
        cases.iter().filter_map(|case| name_of(case).strip_prefix("kind_").map(str::to_owned)).collect();
    let mut told: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    kinds.sort();
    told.sort_unstable();
    assert_eq!(told, kinds, "each example of a kind has its row, and each row its example");

    for row in rows {
        let case = here().join("fixtures/clevertap/callback").join(format!("kind_{}", row[0]));
        let expected = read_json(&case.join("expected.json"));
        let body = &expected["requests"][0]["body"];
        let Some(kind) = body["type"].as_str() else {
            assert_eq!((row[2], Some(row[3])), ("not relayed", expected["unspeakable"][0][1].as_str()), "{row:?}");
            continue;
        };
        let twin = body.get("document").map(|_| ", again under `document`").unwrap_or_default();
        assert_eq!(row[2], format!("`{kind}`{twin}"), "{row:?}");
        let example: Value = serde_json::from_str(row[3].trim_matches('`')).expect("an example is JSON");
        assert_eq!(example, body[kind], "{row:?}");
    }
}

#[test]
fn every_event_is_told_once_or_passed_over() {
    for_each_case("callback", |platform, case| {
        let events = events::read(&read_json(&case.join("events.json")));
        let renderings = platform.render_callbacks(&account_of(platform, case), &events);
        let mut places: Vec<usize> = renderings.requests.iter().flat_map(|rendered| rendered.events.clone()).collect();
        places.extend(renderings.unspeakable.iter().map(|(place, _)| *place));
        places.extend(&renderings.silent);
        places.sort_unstable();
        let all: Vec<usize> = (0..events.len()).collect();
        if places == all { Ok(()) } else { Err(format!("of {} events these were treated: {places:?}", events.len())) }
    });
}

#[test]
fn the_examples_keep_to_the_platforms_contract() {
    for_each_case("send", |platform, case| {
        if name_of(case).starts_with("quirk_") {
            return Ok(());
        }
        Contract::of(platform, "SendRequest").check(&read_json(&case.join("request.json")))
    });
}

#[test]
fn answers_keep_to_the_platforms_contract() {
    for platform in platforms::ALL {
        let contract = Contract::of(*platform, "Answer");
        let check = |reply: Reply| {
            contract.check(&serde_json::from_str(&reply.body).expect("an answer is JSON")).expect("the contract holds");
        };
        for (message, repeat) in [(Some(MessageId(1)), false), (Some(MessageId(1)), true), (None, false)] {
            check(platform.reply(Ok(&Accepted { message, repeat })));
        }
        for kind in [
            RefusalKind::Credentials,
            RefusalKind::Template,
            RefusalKind::PhoneNumber,
            RefusalKind::NotSubscribed,
            RefusalKind::Other,
            RefusalKind::CannotStore,
        ] {
            check(platform.reply(Err(&Refusal::new(kind, "body: \"why\"\n"))));
        }
    }
}

#[test]
fn template_lists_keep_to_the_platforms_contract() {
    for platform in platforms::ALL {
        let contract = Contract::of(*platform, "TemplatePage");
        let query = platform.parse_template_query("limit=50").expect("a right question");
        let listing = json!({"components": [{"type": "BODY", "text": "Hi"}], "message_send_ttl_seconds": 600});
        let listed = |status| ListedTemplate {
            template: Template {
                provider_id: "1".to_owned(),
                name: "order_update".to_owned(),
                language: "en".to_owned(),
                status,
                category: TemplateCategory::Utility,
                components: TemplateComponents::default(),
                time_to_live_s: None,
            },
            listing: listing.to_string(),
        };
        for (templates, more) in [
            (vec![], false),
            (vec![listed(TemplateStatus::Approved)], false),
            (vec![listed(TemplateStatus::Approved), listed(TemplateStatus::Paused)], true),
        ] {
            let page = TemplatePage { templates, more };
            let reply = platform.reply_templates(&query, Ok(&page), "https://wa.example/templates");
            let body = serde_json::from_str(&reply.body).expect("a page is JSON");
            contract.check(&body).expect("the contract holds");
            assert_eq!(reply.http_status, 200);
        }
    }
}

/// However deep: what is read is refused with words, what is not read is passed over, and no stack is used up.
#[test]
fn deep_nesting_is_refused_or_passed_over() {
    for platform in platforms::ALL {
        let (example, _) = example(*platform, "template_body");
        let open = |depth: usize, bracket: &str| bracket.repeat(depth);
        for depth in [100, 10_000, 100_000] {
            let (arrays, ends) = (open(depth, "["), open(depth, "]"));
            let nested = format!("{arrays}{ends}");
            let ignored = example.replacen('{', &format!("{{\"something\": {nested}, "), 1);
            assert!(platform.parse_send(&account(*platform), ignored.as_bytes()).is_ok(), "{depth} in an unknown key");
            for read in ["components", "customProps", "to", "msgId", "template", "body"] {
                let used = example.replacen(&format!("\"{read}\":"), &format!("\"{read}\": {nested}, \"was\":"), 1);
                let used =
                    if used == example { example.replacen('{', &format!("{{\"{read}\": {nested},"), 1) } else { used };
                if let Err(refusal) = platform.parse_send(&account(*platform), used.as_bytes()) {
                    assert!(refusal.message.chars().count() < 500, "{depth} in {read}: {}", refusal.message);
                }
            }
            let wrapped = format!("{}{example}{}", open(depth, "{\"body\":"), open(depth, "}"));
            let refusal =
                platform.parse_send(&account(*platform), wrapped.as_bytes()).expect_err("wrapped once is enough");
            assert!(!refusal.message.is_empty());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for platform in platforms::ALL {
            let _ = platform.parse_send(&account(*platform), &bytes);
            let _ = platform.parse_template_query(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Examples with pieces cut out, doubled or overwritten, by bytes and by values.
    #[test]
    fn no_damaged_request_makes_a_parser_panic(
        which in any::<proptest::sample::Index>(),
        start in any::<proptest::sample::Index>(),
        length in 0..40_usize,
        replacement in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..4),
            proptest::sample::select(vec!["null", "1e999", "\"\"", "[]", "{}", "{{1}}", "-1", "true", "[[[["])
                .prop_map(|text| text.as_bytes().to_vec()),
        ],
    ) {
        let (platform, example) = which.get(&EXAMPLES);
        let start = start.index(example.len() + 1);
        let mut damaged = example.clone();
        damaged.splice(start..example.len().min(start + length), replacement);
        let _ = platform.parse_send(&account(*platform), &damaged);
    }
}

/// The text of one example, and its folder.
fn example(platform: &dyn Platform, name: &str) -> (String, PathBuf) {
    let case = cases(platform, "send").into_iter().find(|case| name_of(case) == name);
    let case = case.unwrap_or_else(|| panic!("{} has no example {name}", platform.slug()));
    (fs::read_to_string(case.join("request.json")).expect("an example that is text"), case)
}

static EXAMPLES: LazyLock<Vec<(&'static dyn Platform, Vec<u8>)>> = LazyLock::new(|| {
    let all = platforms::ALL
        .iter()
        .flat_map(|platform| cases(*platform, "send").into_iter().map(move |case| (*platform, case)));
    all.map(|(platform, case)| (platform, fs::read(case.join("request.json")).expect("a case has a request"))).collect()
});

/// Runs all cases of a kind, of every platform, and tells of all that went wrong.
fn for_each_case(kind: &str, try_case: impl Fn(&dyn Platform, &Path) -> Result<(), String>) {
    let mut troubles = Vec::new();
    for platform in platforms::ALL {
        for case in cases(*platform, kind) {
            if let Err(trouble) = try_case(*platform, &case) {
                troubles.push(format!("{} {kind} {}: {trouble}", platform.slug(), name_of(&case)));
            }
        }
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n\n"));
}

/// The folders of a platform's examples: a platform without any is not finished.
fn cases(platform: &dyn Platform, kind: &str) -> Vec<PathBuf> {
    let folder = here().join("fixtures").join(platform.slug()).join(kind);
    let entries = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is missing", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases.sort();
    cases
}

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/platforms"))
}

fn name_of(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn compare(case: &Path, actual: Value) -> Result<(), String> {
    let expected = read_json(&case.join("expected.json"));
    let actual = without_nothing(actual);
    if without_nothing(expected) == actual {
        return Ok(());
    }
    Err(format!("not as in expected.json, but\n{actual:#}"))
}

/// Leaves out what is null or an empty list, so that an expectation names only what is there.
fn without_nothing(value: Value) -> Value {
    let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !is_nothing(value))
                .map(|(key, value)| (key, without_nothing(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nothing).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// With the policy of the case, where it has one.
fn account_of(platform: &dyn Platform, case: &Path) -> Account {
    let policy = case.join("policy.json");
    match policy.exists() {
        true => {
            let policy = serde_json::from_value(read_json(&policy)).expect("a policy.json holds a policy");
            Account { policy, ..account(platform) }
        }
        false => account(platform),
    }
}

fn account(platform: &dyn Platform) -> Account {
    Account {
        enabled: true,
        key: AccountKey(1),
        id: "acme".to_owned(),
        name: "Acme Retail".to_owned(),
        platform: platform.slug().to_owned(),
        policy: AccountPolicy::default(),
        credentials: Credentials::default(),
    }
}

/// One part of a platform's own contract.
struct Contract(jsonschema::Validator);

impl Contract {
    fn of(platform: &dyn Platform, part: &str) -> Self {
        let path = format!("{}/openapi/external/{}.yaml", env!("CARGO_MANIFEST_DIR"), platform.slug());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let document: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let schema = json!({ "$ref": format!("#/components/schemas/{part}"), "components": document["components"] });
        Self(jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{path}, {part}: {error}")))
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let errors: Vec<String> =
            self.0.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }
}
