//! How one account wants its messages treated: every key that the apply file has for an account, as one form.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use askama::Template;
use serde_json::{Map, Value, json};

use super::{
    Frame, Trouble, Visitor,
    account_connect::{Head, head},
    accounts::PATH,
    fields::{Entered, Field, FieldPart, Filled, Input},
    form_parts::to_change,
    page_as, see_other,
};
use crate::{
    domain::{account::AccountPolicy, duration::written, operator::Permission, words::lasting},
    http::Parts,
    services::{
        configure::{Patch, Seen, Subject, missing},
        operators::FieldProblem,
    },
    settings::Retention,
};

#[derive(Template)]
#[template(path = "console/account_settings.html")]
struct Page {
    frame: Frame,
    head: Head,
    version: String,
    sections: Vec<SectionPart>,
    wrong: Vec<String>,
    is_wrong: bool,
    /// What does not fit together, although each value can be used.
    warnings: Vec<String>,
    may_change: bool,
    path: String,
}

struct Section {
    heading: &'static str,
    text: &'static str,
    fields: Vec<Field>,
}

struct SectionPart {
    heading: &'static str,
    text: &'static str,
    fields: Vec<FieldPart>,
}

/// `GET /console/accounts/{id}/settings`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    render(&request, &parts, &visitor, &id, None).await
}

/// `POST /console/accounts/{id}/settings`
pub(super) async fn save(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let subject = Subject::Account(id.clone());
    let seen = parts.configuring.see(&visitor.actor, &subject).await?;
    let patch = patch(&entered, &seen, &parts.settings.retention);
    let saved = parts.configuring.change(&visitor.actor, &subject, &patch, Some(entered.text("version"))).await;
    let Some((status, problems)) = to_change(saved, "account")? else {
        return Ok(see_other(&format!("{PATH}/{id}/settings?done=saved")));
    };
    render(&request, &parts, &visitor, &id, Some((entered, problems, status))).await
}

/// The form has every key, so what is empty in it is a default; a few keys mean something together.
fn patch(entered: &Entered, seen: &Seen, ages: &Retention) -> Patch {
    let fields: Vec<Field> = sections(ages).into_iter().flat_map(|section| section.fields).collect();
    let mut patch = entered.patch(&fields);
    if entered.text("quiet_hours.from").is_empty() && entered.text("quiet_hours.to").is_empty() {
        patch.insert("quiet_hours".to_owned(), Value::Null);
    }
    if !entered.has("subscribe_sync.enabled") {
        patch.insert("subscribe_sync".to_owned(), Value::Null);
    }
    patch.insert(ALIASES.to_owned(), aliases_of(entered.text(ALIASES), seen).into());
    if patch.get(HEADERS).is_some_and(Value::is_array) {
        patch.insert(HEADERS.to_owned(), headers_of(entered.text(HEADERS), seen).into());
    }
    patch
}

/// Header lines in the place of all headers that are set.
fn headers_of(lines: &str, seen: &Seen) -> Map<String, Value> {
    let mut headers: Map<String, Value> = header_names(seen).map(|name| (name.to_owned(), Value::Null)).collect();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // Without a colon it may be the value that was pasted, and that is shown to nobody.
        let (name, value) = line.split_once(':').unwrap_or(("", line));
        headers.insert(name.trim().to_ascii_lowercase(), json!(value.trim()));
    }
    headers
}

/// Lines `old = new` in the place of all aliases that there are.
fn aliases_of(lines: &str, seen: &Seen) -> Map<String, Value> {
    let known = seen.fields.get(ALIASES).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut aliases: Map<String, Value> = known.into_iter().map(|(old, _)| (old, Value::Null)).collect();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (old, new) = line.split_once('=').unwrap_or((line, ""));
        aliases.insert(old.trim().to_ascii_lowercase(), json!(new.trim()));
    }
    aliases
}

fn header_names(seen: &Seen) -> impl Iterator<Item = &str> {
    seen.secrets.keys().filter_map(|key| key.strip_prefix("headers."))
}

const HEADERS: &str = "headers";
const ALIASES: &str = "template_aliases";

async fn render(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    id: &str,
    news: Option<(Entered, Vec<FieldProblem>, StatusCode)>,
) -> Result<HttpResponse, Trouble> {
    let stored = parts.configuring.stored(&visitor.actor).await?;
    let subject = Subject::Account(id.to_owned());
    let account = stored.account(id).ok_or_else(|| missing(&subject))?;
    let mut seen = parts.configuring.seen_in(&stored, &subject).ok_or_else(|| missing(&subject))?;
    if let Some(Value::Object(sync)) = seen.fields.get_mut("subscribe_sync") {
        sync.insert("enabled".to_owned(), json!(true));
    }
    let headers: Vec<&str> = header_names(&seen).collect();
    if !headers.is_empty() {
        seen.secrets.insert(HEADERS.to_owned(), format!("{}.", headers.join(", ")));
    }
    let (status, filled) = match news {
        Some((entered, problems, status)) => (status, Filled::with(Some(seen), Some(entered), problems)),
        None => (StatusCode::OK, Filled::with(Some(seen), None, vec![])),
    };
    let ages = &parts.settings.retention;
    let sections = sections(ages);
    let warnings = [account.policy.expires_in_quiet_hours(), without_effect(&account.policy, ages)].concat();
    let page = Page {
        frame: Frame::new(request, visitor, format!("{} · settings", account.name), PATH),
        head: head(account, "settings"),
        version: filled.version().to_owned(),
        wrong: filled.elsewhere(sections.iter().flat_map(|section| &section.fields)),
        is_wrong: filled.is_wrong(),
        warnings,
        sections: sections.into_iter().map(|section| part(&filled, section)).collect(),
        may_change: visitor.actor.may(Permission::ManageConfiguration),
        path: format!("{PATH}/{id}"),
    };
    page_as(status, &page)
}

fn part(filled: &Filled, Section { heading, text, fields }: Section) -> SectionPart {
    SectionPart { heading, text, fields: filled.parts(&fields) }
}

/// Times that change nothing, because the server has been set to forget sooner since they were entered.
fn without_effect(policy: &AccountPolicy, ages: &Retention) -> Vec<String> {
    let told = |(what, own, age): (&str, Option<Duration>, Duration)| {
        let own = own.filter(|own| *own > age)?;
        Some(format!("{what}: {} changes nothing, because the server forgets after {}.", lasting(own), lasting(age)))
    };
    [
        ("History", policy.keep_for, ages.history()),
        ("Exchanges", policy.keep_exchanges_for, ages.attempts),
        ("Files from people", policy.keep_media_for, ages.media),
    ]
    .into_iter()
    .filter_map(told)
    .collect()
}

const ON_TESTS: &[(&str, &str)] = &[
    ("auto", "auto: a person’s are sent"),
    ("deliver", "deliver: all are sent"),
    ("validate", "validate: none is sent"),
];
const ON_UNKNOWN: &[(&str, &str)] =
    &[("report_failed", "report_failed: it failed"), ("resend", "resend: perhaps twice")];
const ON_SILENCE: &[(&str, &str)] = &[
    ("report_failed", "report_failed: it failed"),
    ("report_failed_always", "report_failed_always"),
    ("leave", "leave: say nothing"),
];
const ON_BODY: &[(&str, &str)] =
    &[("warn", "warn: send it and say so"), ("refuse", "refuse"), ("off", "off: do not compare")];
const ON_WHITE_SPACE: &[(&str, &str)] = &[("refuse", "refuse"), ("clean", "clean: spaces instead")];
const CATEGORIES: &[(&str, &str)] = &[("marketing", "Marketing"), ("utility", "Utility")];
const REGIONS: &[(&str, &str)] =
    &[("", "none (Europe)"), ("in1", "in1"), ("sg1", "sg1"), ("us1", "us1"), ("aps3", "aps3"), ("mec1", "mec1")];
const FILES: &[(&str, &str)] = &[("both", "both"), ("file", "file"), ("document", "document")];
const AUDIO: &[(&str, &str)] = &[("audio", "audio"), ("voice", "voice")];
const TAPS: &[(&str, &str)] = &[("button", "button"), ("text", "text")];
const NUMBERS: &[(&str, &str)] =
    &[("digits", "digits"), ("plus", "plus: with +"), ("national", "national: without the country code")];

fn sections(ages: &Retention) -> Vec<Section> {
    vec![about(), callers(), sending(), waiting(), checking(), keeping(ages), aliases(), telling()]
}

fn about() -> Section {
    Section {
        heading: "The account",
        text: "",
        fields: vec![
            Field::new("enabled", "Enabled.", Input::Switch)
                .hint("Off: whatever it sends is refused; what was accepted is still sent and reported."),
            Field::new("name", "Name", Input::Text).hint("For people. Default: the id."),
            Field::new("default_country", "Default country", Input::Text)
                .placeholder("none")
                .hint("Two letters, like IN; for recipients without a country code."),
            Field::new("time_zone", "Time zone", Input::Text)
                .placeholder("UTC")
                .hint("Whose clock quiet hours go by, like Asia/Kolkata. Default: UTC."),
        ],
    }
}

fn callers() -> Section {
    Section {
        heading: "Who may call",
        text: "One kind of credentials that is right suffices. The passcode is changed under “Connect”, so that the old one can stay valid for a while.",
        fields: vec![
            Field::new("clevertap_account_id", "CleverTap account ID", Input::Text).placeholder("none"),
            Field::new("basic_username", "Basic: username", Input::Text).placeholder("none"),
            Field::new("basic_password", "Basic: password", Input::Secret).placeholder("none"),
            Field::new("bearer_token", "Token", Input::Secret)
                .placeholder("none")
                .hint("In the header Authorization, with Bearer before it or alone."),
            Field::new("url_token", "Secret part of the URL", Input::Secret)
                .placeholder("none")
                .hint("16 to 128 characters that nobody can guess. The endpoint's URL changes with it."),
            Field::new(HEADERS, "Other headers", Input::Secrets)
                .placeholder("Name: value, one a line")
                .hint("All of them must be right. What is entered takes the place of all that are set."),
            Field::new("allowed_addresses", "Allowed addresses", Input::List).placeholder("from anywhere").hint(
                "Addresses and networks, like 203.0.113.0/24. Behind a proxy server.trusted_proxies must name it.",
            ),
        ],
    }
}

fn sending() -> Section {
    let defaults = AccountPolicy::default().expire_after;
    let expiry = |name: &str, label: &str, default| {
        let default = written(default).to_string();
        Field::new(format!("expire_after.{name}"), label, Input::Text)
            .placeholder(default.clone())
            .hint(format!("Default: {default}."))
    };
    Section {
        heading: "How much goes out, and for how long",
        text: "What waits for longer is not sent, and reported as failed.",
        fields: vec![
            Field::new("messages_per_second", "Messages a second, of all its numbers together", Input::Number)
                .placeholder("what its numbers may")
                .hint("Each number has a fixed part of it, in proportion to what the number itself may."),
            expiry("marketing", "Marketing", defaults.marketing),
            expiry("utility", "Utility", defaults.utility),
            expiry("authentication", "Authentication", defaults.authentication),
            expiry("freeform", "Freeform answers", defaults.freeform),
        ],
    }
}

fn waiting() -> Section {
    Section {
        heading: "Quiet hours",
        text: "Messages of these categories wait until the hours are over. Without both times there are none.",
        fields: vec![
            Field::new("quiet_hours.from", "From", Input::Text).placeholder("none").hint("A time of day, like 21:00."),
            Field::new("quiet_hours.to", "To", Input::Text)
                .placeholder("none")
                .hint("The first minute that is not quiet."),
            Field::new("quiet_hours.categories", "What waits", Input::Boxes(CATEGORIES)).hint("Default: marketing."),
        ],
    }
}

fn checking() -> Section {
    Section {
        heading: "Tests, doubts and mistakes",
        text: "",
        fields: vec![
            Field::new("test_messages", "Test messages", Input::Choice(ON_TESTS))
                .hint("CleverTap’s own, with an id of zeros. auto only checks what looks like a machine’s."),
            Field::new("dummy_numbers", "Dummy numbers", Input::List)
                .placeholder("+919870369294")
                .hint("Recipients of CleverTap’s own checks: never sent to."),
            Field::new("unknown_outcome", "When nobody knows whether a message went out", Input::Choice(ON_UNKNOWN)),
            Field::new("silent_messages", "When nothing more is heard of a message", Input::Choice(ON_SILENCE))
                .hint("report_failed says so once its number was heard of again, report_failed_always without waiting for that."),
            Field::new("unattended_after_minutes", "Minutes until a conversation counts as unattended", Input::Number)
                .placeholder("0")
                .hint("Somebody wrote and nobody answered for so long; 0 is never."),
            Field::new("rendered_body", "When CleverTap’s text is not the template’s", Input::Choice(ON_BODY)),
            Field::new("forbidden_white_space", "Line breaks and tabs in parameters", Input::Choice(ON_WHITE_SPACE)),
        ],
    }
}

fn keeping(ages: &Retention) -> Section {
    let Retention { messages, events, refused, attempts, media, .. } = ages;
    let [messages, events, refused, attempts, media] =
        [messages, events, refused, attempts, media].map(|age| lasting(*age));
    let history = format!(
        "Messages ({messages}), what happened to them and what people wrote ({events}), refused requests ({refused})."
    );
    Section {
        heading: "How long its data is kept",
        text: "The server’s settings hold for all accounts, and stand in the empty fields. This account may keep less, and never more: \
               a time like 30d, a day at least.",
        fields: vec![
            Field::new("keep_for", "History", Input::Text).placeholder(messages).hint(history),
            Field::new("keep_exchanges_for", "Exchanges", Input::Text)
                .placeholder(attempts)
                .hint("With its callback URLs and webhooks; no longer than its history."),
            Field::new("keep_media_for", "Files from people", Input::Text)
                .placeholder(media)
                .hint("Links to them in callbacks end then, too; those that were told already say when they would have ended."),
        ],
    }
}

fn aliases() -> Section {
    Section {
        heading: "Template aliases",
        text: "A message for the old template is filled into the new one, also when it waits already. Both must have the same shape: \
               header, variables, buttons.",
        fields: vec![
            Field::new(ALIASES, "Old = new", Input::List)
                .placeholder("order_update = order_update_v2")
                .hint("One a line, by their names at WhatsApp. Default: none."),
        ],
    }
}

fn telling() -> Section {
    Section {
        heading: "What CleverTap is told",
        text: "",
        fields: vec![
            Field::new("inbound_file_type", "Files as", Input::Choice(FILES)),
            Field::new("inbound_audio_type", "Audio as", Input::Choice(AUDIO)),
            Field::new("inbound_button_type", "Taps on buttons as", Input::Choice(TAPS)),
            Field::new("inbound_list_type", "Choices from lists as", Input::Choice(TAPS)),
            Field::new("callback_number", "The business number as", Input::Choice(NUMBERS)),
            Field::new("clevertap_region", "Region of CleverTap’s own API", Input::Choice(REGIONS)),
            Field::new("clevertap_api_passcode", "Passcode of CleverTap’s own API", Input::Secret)
                .placeholder("the first passcode"),
            Field::new("subscribe_sync.enabled", "Tell CleverTap who must not be sent to.", Input::Switch)
                .hint("It then stops all WhatsApp messages to them."),
            Field::new("subscribe_sync.path", "Path of that API", Input::Text).placeholder("/1/subscribe"),
            Field::new("subscribe_sync.type", "CleverTap’s word for the channel", Input::Text).placeholder("whatsapp"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn seen(secrets: &[&str]) -> Seen {
        Seen {
            subject: Subject::Account("acme".to_owned()),
            fields: Map::new(),
            secrets: secrets.iter().map(|key| ((*key).to_owned(), "set".to_owned())).collect(),
            version: String::new(),
        }
    }

    #[test]
    fn quiet_hours_without_times_are_none_and_headers_take_the_place_of_all() {
        let entered = Entered::read(
            b"quiet_hours.from=&quiet_hours.to=&quiet_hours.categories=utility&headers=X-Key:+a:b%0D%0Auser:+acme",
        );

        let ages = Settings::defaults().retention;
        let patch = patch(&entered, &seen(&["headers.x-key", "headers.old", "bearer_token"]), &ages);

        assert_eq!(patch["quiet_hours"], Value::Null);
        assert_eq!(patch["subscribe_sync"], Value::Null);
        assert_eq!(patch["headers"], json!({"x-key": "a:b", "user": "acme", "old": null}));
        assert!(!patch.contains_key("bearer_token") && !patch.contains_key("clevertap_passcode"));
    }

    #[test]
    fn the_form_has_every_policy_of_an_account() {
        let policy = AccountPolicy { default_country: Some("IN".to_owned()), ..AccountPolicy::default() };
        let policy = serde_json::to_value(policy).expect("plain data");
        let ages = Settings::defaults().retention;
        let fields: Vec<Field> = sections(&ages).into_iter().flat_map(|section| section.fields).collect();
        for key in policy.as_object().expect("an object").keys() {
            let key = key.replace("platform_", "clevertap_");
            let has = fields.iter().any(|field| field.name == key || field.name.starts_with(&format!("{key}.")));
            assert!(has, "no field for {key}");
        }
    }
}
