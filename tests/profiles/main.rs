//! What every profile of a webhook must do, tried on examples.
//!
//! An example is a folder of files under `fixtures/<slug>/`, so adding one needs no Rust:
//!
//! * `event.json`: `{"sample": "message.read", "with": {…}}`, the example that the program has of an event, and what is
//!   different (a JSON Merge Patch, RFC 7396).
//! * `options.json`, where something is not as usual: `format`, `level`, `soap_parameters`, `old_names`, `secrets`.
//! * `expected.json` or `expected.xml`: the body; or `unspeakable.txt`: why there is none.
//! * `headers.json`: the headers with the content type.

mod catalogue;
mod receivers;

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wabridge::{
    clock,
    domain::{
        event_name::EventName,
        time::UnixMillis,
        webhook_event::{Level, Raw, WebhookEvent},
        webhook_sample::sample,
    },
    profiles::{self, Format, Profile, RenderOptions, Rendered, Signature, Unspeakable, signing},
};

/// Of all examples; 16 seconds after the samples happened.
const NOW: UnixMillis = UnixMillis(1_795_166_116_000);
const NATIVE_SECRET: &str = "whsec_c2FtcGxlLXNlY3JldC1vZi10aGlydHktdHdvLWJ5dGU=";
const PLAIN_SECRET: &str = "invented-secret";

#[test]
fn events_become_requests() {
    let mut troubles = Vec::new();
    for profile in profiles::ALL.iter().copied() {
        for case in cases(profile) {
            if let Err(trouble) = try_case(profile, &case) {
                troubles.push(format!("{}: {trouble}", case.display()));
            }
        }
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n\n"));
}

fn try_case(profile: &dyn Profile, case: &Path) -> Result<(), String> {
    let event = read_event(&case.join("event.json"));
    let options: Options = match case.join("options.json") {
        path if path.exists() => serde_json::from_value(read_json(&path)).expect("options are as this file says"),
        _ => Options::default(),
    };
    let rendered = match options.render(profile, &event) {
        Ok(rendered) => rendered,
        Err(Unspeakable(why)) => return same("unspeakable.txt", &read_text(&case.join("unspeakable.txt")), &why),
    };
    let mut headers: Map<String, Value> =
        rendered.headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
    headers.insert("content-type".to_owned(), rendered.content_type.clone().into());
    if read_json(&case.join("headers.json")) != Value::Object(headers.clone()) {
        return Err(format!("the headers are not as in headers.json, but\n{:#}", Value::Object(headers)));
    }
    match options.format {
        Format::Json => {
            let body: Value = serde_json::from_str(&rendered.body).expect("a JSON body is JSON");
            let expected = case.join("expected.json");
            let agreed = expected.exists() && read_json(&expected) == body;
            if agreed { Ok(()) } else { Err(format!("the body is not as in expected.json, but\n{body:#}")) }
        }
        Format::Xml | Format::Soap11 | Format::Soap12 => {
            same("expected.xml", &read_text(&case.join("expected.xml")), &rendered.body)
        }
    }
}

fn same(file: &str, expected: &str, actual: &str) -> Result<(), String> {
    if expected.trim_end() == actual { Ok(()) } else { Err(format!("not as in {file}, but\n{actual}")) }
}

/// A word is a promise: what has one is told in every format and at every level, and nothing else is.
#[test]
fn what_has_a_word_is_told_and_nothing_else() {
    each_way(|profile, name, options| {
        let mut event = sample(name);
        // Of these a profile that passes through can say nothing but what the provider said.
        let only_passed_through = [EventName::ChannelStatus, EventName::MessagePayment].contains(&name);
        if profile.slug() == "meta" && only_passed_through {
            let entry =
                json!({"field": "account_update", "value": {}, "id": "p", "status": "captured", "timestamp": "1"});
            event.data.raw = Some(Raw::new(entry.to_string()));
        }
        assert_eq!(
            options.render(profile, &event).is_ok(),
            profile.word(name).is_some(),
            "{} of {name}: {:?}",
            profile.slug(),
            options.render(profile, &event)
        );
    });
}

#[test]
fn the_same_event_is_told_in_the_same_words_whenever_it_is_told() {
    each_way(|profile, name, options| {
        let event = sample(name);
        let (Ok(first), Ok(again)) =
            (options.render(profile, &event), options.at(UnixMillis(NOW.0 + 300_000), profile, &event))
        else {
            return;
        };
        assert_eq!((&first.body, &first.content_type), (&again.body, &again.content_type));
        let steady = |rendered: &Rendered| -> Vec<(&str, String)> {
            let moving = ["webhook-timestamp", "webhook-signature"];
            rendered.headers.iter().filter(|(name, _)| !moving.contains(name)).cloned().collect()
        };
        assert_eq!(steady(&first), steady(&again));
    });
}

#[test]
fn what_a_profile_does_not_have_is_not_told_in_another_way() {
    for profile in profiles::ALL {
        let event = sample(EventName::MessageReceived);
        let tell = |version, format, level| {
            let (soap_parameters, secrets, old_names) = (&[][..], &[][..], false);
            let options = RenderOptions { level, format, version, soap_parameters, old_names, secrets, now: NOW };
            profile.render(&event, &options).is_ok()
        };
        let (version, format) = (profile.versions()[0], profile.formats()[0]);
        assert!(!tell("0", format, Level::Standard), "{}", profile.slug());
        for other in Format::ALL {
            assert_eq!(tell(version, other, Level::Standard), profile.formats().contains(&other), "{}", profile.slug());
        }
        for level in Level::ALL {
            assert_eq!(tell(version, format, level), profile.levels().contains(&level), "{}", profile.slug());
        }
    }
}

#[test]
fn a_level_says_no_more_than_it_should() {
    for name in EventName::ALL.iter().copied() {
        let told = |level| {
            let options = Options { level, ..Options::default() };
            let rendered = options.render(&profiles::native::Native, &sample(name)).expect("our own has all words");
            serde_json::from_str::<Value>(&rendered.body).expect("JSON")
        };
        let (minimal, standard, complete) = (told(Level::Minimal), told(Level::Standard), told(Level::Complete));
        assert_eq!((&minimal["data"]["raw"], &standard["data"]["raw"]), (&Value::Null, &Value::Null));
        assert_ne!(complete["data"]["raw"], Value::Null, "{name}");
        for hidden in ["/data/message/content", "/data/custom", "/data/contact/name", "/data/campaign"] {
            assert_eq!(minimal.pointer(hidden), None, "{hidden} of {name}");
        }
        assert_eq!((&minimal["id"], &minimal["type"]), (&standard["id"], &standard["type"]));
    }
}

#[test]
fn every_scheme_is_verified_by_its_receiver_and_one_bit_breaks_it() {
    for profile in profiles::ALL.iter().copied() {
        let (event, options) = (sample(EventName::MessageReceived), Options::default());
        let rendered = options.at(clock::now(), profile, &event).expect("every profile tells of received messages");
        if profile.signature() == Signature::None {
            assert!(profile.check_secret(&secret_for(profile)).is_err(), "{} signs nothing", profile.slug());
            continue;
        }
        assert!(receivers::accepts(profile, &rendered, secret_of(profile)), "{}", profile.slug());
        assert!(!receivers::accepts(profile, &rendered, other_secret_of(profile)), "{}", profile.slug());
        for at in 0..rendered.body.len() {
            let mut bytes = rendered.body.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(body) = String::from_utf8(bytes) else { continue };
            let changed = Rendered { body, ..rendered.clone() };
            assert!(!receivers::accepts(profile, &changed, secret_of(profile)), "{} at {at}", profile.slug());
        }
    }
}

#[test]
fn while_a_secret_changes_receivers_of_both_are_served() {
    let native = &profiles::native::Native;
    let secrets = vec![NATIVE_SECRET.to_owned(), receivers::OTHER_NATIVE_SECRET.to_owned()];
    let rendered = Options { secrets: Some(secrets), ..Options::default() }
        .at(clock::now(), native, &sample(EventName::MessageRead))
        .expect("our own has all words");

    assert!(receivers::accepts(native, &rendered, NATIVE_SECRET));
    assert!(receivers::accepts(native, &rendered, receivers::OTHER_NATIVE_SECRET));

    for profile in profiles::ALL.iter().copied() {
        let unsigned = Options { secrets: Some(vec![]), ..Options::default() };
        let rendered =
            unsigned.render(profile, &sample(EventName::MessageRead)).expect("every profile tells of reading");
        assert!(!rendered.headers.iter().any(|(name, _)| name.contains("signature")), "{}", profile.slug());
    }
}

#[test]
fn a_secret_that_is_made_is_one_that_is_taken() {
    for profile in profiles::ALL.iter().copied().filter(|profile| profile.signature() != Signature::None) {
        let made = signing::secret_of(profile.signature(), &[7; 32]);
        assert_eq!(profile.check_secret(&made), Ok(()));
        for wrong in ["", "short", "whsec_"] {
            assert!(profile.check_secret(&wrong.into()).is_err(), "{} takes {wrong}", profile.slug());
        }
    }
    for wrong in [
        "c2FtcGxlLXNlY3JldC1vZi10aGlydHktdHdvLWJ5dGU=",
        "whsec_c2hvcnQ=",
        "whsec_not base64 at all, but long enough to be one",
    ] {
        assert!(profiles::native::Native.check_secret(&wrong.into()).is_err());
    }
}

proptest! {
    /// Whatever people write: a body of its format, and headers that end where they should.
    #[test]
    fn no_text_breaks_a_request(
        text in "\\PC{0,20}|[<>&'\"\\r\\n\\t\\\\ -~]{0,30}|.{0,20}",
        name in proptest::sample::select(EventName::ALL.to_vec()),
    ) {
        let mut event = serde_json::to_value(sample(name)).expect("an event is JSON");
        spoil(&mut event["data"], &text);
        let event: WebhookEvent = serde_json::from_str(&event.to_string()).expect("texts are texts");
        for profile in profiles::ALL.iter().copied() {
            for format in profile.formats().iter().copied() {
                let Ok(rendered) = (Options { format, ..Options::default() }).render(profile, &event) else { continue };
                for (header, value) in &rendered.headers {
                    prop_assert!(profile.own_headers().contains(header), "{header}");
                    prop_assert!(!value.contains(char::is_control), "{header}: {value:?}");
                }
                match format {
                    Format::Json => drop(serde_json::from_str::<Value>(&rendered.body).expect("JSON")),
                    Format::Xml | Format::Soap11 | Format::Soap12 => receivers::read_xml(&rendered.body),
                }
            }
        }
    }
}

/// Puts the text in the place of every other, but where the texts are a closed list of our own.
fn spoil(value: &mut Value, text: &str) {
    match value {
        Value::String(old) => text.clone_into(old),
        Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, text)),
        Value::Object(fields) => {
            let open = fields.iter_mut().filter(|(key, _)| !["type", "direction"].contains(&key.as_str()));
            open.for_each(|(_, value)| spoil(value, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// How a case is rendered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    format: Format,
    level: Level,
    soap_parameters: Vec<(String, String)>,
    old_names: bool,
    /// The invented one when it is not said.
    secrets: Option<Vec<String>>,
}

impl Options {
    fn render(&self, profile: &dyn Profile, event: &WebhookEvent) -> Result<Rendered, Unspeakable> {
        self.at(NOW, profile, event)
    }

    fn at(&self, now: UnixMillis, profile: &dyn Profile, event: &WebhookEvent) -> Result<Rendered, Unspeakable> {
        let secrets: Vec<SecretString> = match &self.secrets {
            Some(secrets) => secrets.iter().map(|secret| secret.as_str().into()).collect(),
            None => vec![secret_for(profile)],
        };
        let options = RenderOptions {
            level: self.level,
            format: self.format,
            version: profile.versions()[0],
            soap_parameters: &self.soap_parameters,
            old_names: self.old_names,
            secrets: &secrets,
            now,
        };
        profile.render(event, &options)
    }
}

/// Every profile with every event in each of its formats, at every level.
fn each_way(mut tried: impl FnMut(&dyn Profile, EventName, &Options)) {
    for profile in profiles::ALL.iter().copied() {
        for name in EventName::ALL.iter().copied() {
            for format in profile.formats().iter().copied() {
                for level in profile.levels().iter().copied() {
                    tried(profile, name, &Options { format, level, ..Options::default() });
                }
            }
        }
    }
}

fn secret_of(profile: &dyn Profile) -> &'static str {
    match profile.signature() {
        Signature::StandardWebhooks => NATIVE_SECRET,
        Signature::Gallabox | Signature::Hub | Signature::None => PLAIN_SECRET,
    }
}

fn other_secret_of(profile: &dyn Profile) -> &'static str {
    match profile.signature() {
        Signature::StandardWebhooks => receivers::OTHER_NATIVE_SECRET,
        Signature::Gallabox | Signature::Hub | Signature::None => "another-secret",
    }
}

fn secret_for(profile: &dyn Profile) -> SecretString {
    secret_of(profile).into()
}

/// The folders of a profile's examples: a profile without any is not finished.
fn cases(profile: &dyn Profile) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiles/fixtures").join(profile.slug());
    let entries = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is missing", folder.display()));
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases.sort();
    cases
}

fn read_event(path: &Path) -> WebhookEvent {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Noted {
        sample: EventName,
        #[serde(default)]
        with: Value,
    }
    let noted: Noted = serde_json::from_value(read_json(path)).expect("an event is noted as this file says");
    let mut event = serde_json::to_value(sample(noted.sample)).expect("an event is JSON");
    if !noted.with.is_null() {
        merge(&mut event, &noted.with);
    }
    serde_json::from_str(&event.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// JSON Merge Patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().and_then(|target| target.remove(key));
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&read_text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
