//! Forms for what is configured: one list of fields says what a form shows, and how what comes back becomes a [`Patch`].
//!
//! Keys are those of the apply file, with a dot before what stands in a table (`quiet_hours.from`). An empty field goes back to
//! its default; an empty secret stays as it is, because nobody was shown it. What cannot be read as it should be is handed
//! on as text, so that the one who knows the rule says what is wrong.

use std::collections::BTreeMap;

use askama::Template;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::frame::sentence;
use crate::{
    domain::phone::PhoneNumber,
    services::{
        configure::{Patch, Seen, patch_of_fields},
        operators::FieldProblem,
    },
};

/// A field of a form.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// As in the apply file.
    pub(super) name: String,
    pub(super) label: String,
    pub(super) hint: String,
    pub(super) input: Input,
    pub(super) placeholder: String,
    /// A secret that cannot be taken away.
    pub(super) required: bool,
    /// Of a secret that is set, where no [`Seen`] tells it: what may be told of it.
    set: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Text,
    /// A text of several lines.
    Lines,
    /// Shown to nobody; kept when nothing is entered.
    Secret,
    /// The same, readable while it is typed.
    SecretUrl,
    /// A text of several lines that nobody is shown.
    SecretLines,
    /// Several, one a line.
    Secrets,
    Number,
    /// On or off.
    Switch,
    /// Several texts, one a line or with commas.
    List,
    /// One of these: value and name.
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these.
    Boxes(&'static [(&'static str, &'static str)]),
}

impl Field {
    pub(super) fn new(name: impl Into<String>, label: impl Into<String>, input: Input) -> Self {
        let (name, label) = (name.into(), label.into());
        Self { name, label, input, hint: String::new(), placeholder: String::new(), required: false, set: None }
    }

    #[must_use]
    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A secret that is set, with what may be told of it.
    #[must_use]
    pub(super) fn set(self, set: Option<String>) -> Self {
        Self { set, ..self }
    }

    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    #[must_use]
    pub(super) fn placeholder(self, placeholder: impl Into<String>) -> Self {
        Self { placeholder: placeholder.into(), ..self }
    }
}

/// What somebody entered.
#[derive(Clone, Debug, Default)]
pub(super) struct Entered(Vec<(String, String)>);

/// Before the name of a secret that shall go.
const FORGET: &str = "forget:";

impl Entered {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// As if somebody had entered this: for a form that shows what is stored.
    pub(super) fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// With the number in this field as it is written down: people type it with and without `+`, with spaces and dashes. What
    /// is surely no number stays, so that the one who knows the rule says so: without `+` that is also what lacks its country.
    pub(super) fn with_number(mut self, name: &str) -> Self {
        for (_, value) in self.0.iter_mut().filter(|(field, _)| field == name) {
            if let Ok(number) = PhoneNumber::parse(value, None) {
                number.as_e164().clone_into(value);
            }
        }
        self
    }

    /// The value of a field, without spaces around it; empty when the form has none.
    pub(super) fn text<'a>(&'a self, name: &str) -> &'a str {
        self.values(name).next().unwrap_or_default()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    pub(super) fn values<'a>(&'a self, wanted: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.trim())
    }

    /// What shall be different, by these fields.
    pub(super) fn patch(&self, fields: &[Field]) -> Patch {
        patch_of_fields(fields.iter().filter_map(|field| Some((field.name.clone(), self.value(field)?))))
    }

    /// `None`: it stays as it is.
    fn value(&self, field: &Field) -> Option<Value> {
        let text = self.text(&field.name);
        let or_default = |value: Value| if text.is_empty() { Value::Null } else { value };
        let has = self.has(&field.name);
        match field.input {
            Input::Lines => has.then(|| or_default(text.replace("\r\n", "\n").into())),
            Input::Text | Input::Choice(_) => has.then(|| or_default(text.into())),
            Input::Number => {
                has.then(|| or_default(text.parse::<i64>().map_or_else(|_| text.into(), |number| number.into())))
            }
            Input::Secret | Input::SecretUrl | Input::SecretLines | Input::Secrets
                if self.has(&format!("{FORGET}{}", field.name)) =>
            {
                Some(Value::Null)
            }
            Input::Secret | Input::SecretUrl => (!text.is_empty()).then(|| text.into()),
            Input::SecretLines => (!text.is_empty()).then(|| text.replace("\r\n", "\n").into()),
            Input::Secrets => (!text.is_empty()).then(|| lines(text)),
            // A box that is not ticked is not sent.
            Input::Switch => Some(has.into()),
            Input::List => has.then(|| or_default(items(text))),
            Input::Boxes(_) => {
                let ticked: Vec<&str> = self.values(&field.name).collect();
                Some(if ticked.is_empty() { Value::Null } else { json!(ticked) })
            }
        }
    }
}

fn lines(text: &str) -> Value {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn items(text: &str) -> Value {
    text.split(|sign: char| sign == ',' || sign.is_whitespace()).filter(|item| !item.is_empty()).collect()
}

/// A form as it is shown: with what is stored, or with what was entered and what is wrong with it.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) seen: Option<Seen>,
    pub(super) entered: Option<Entered>,
    problems: BTreeMap<String, String>,
}

impl Filled {
    pub(super) fn with(seen: Option<Seen>, entered: Option<Entered>, problems: Vec<FieldProblem>) -> Self {
        let mut at: BTreeMap<String, String> = BTreeMap::new();
        for problem in problems {
            let told = at.entry(problem.field).or_default();
            if !told.is_empty() {
                told.push(' ');
            }
            told.push_str(&sentence(&problem.message));
        }
        Self { seen, entered, problems: at }
    }

    /// To be sent back with the form.
    pub(super) fn version(&self) -> &str {
        match (&self.entered, &self.seen) {
            (Some(entered), _) => entered.text("version"),
            (None, Some(seen)) => &seen.version,
            (None, None) => "",
        }
    }

    /// What is wrong where no field of the form shows it.
    pub(super) fn elsewhere<'a>(&'a self, fields: impl IntoIterator<Item = &'a Field>) -> Vec<String> {
        let shown: Vec<&str> = fields.into_iter().map(|field| field.name.as_str()).collect();
        let is_shown = |field: &str| shown.iter().any(|name| is_about(field, name));
        let others = self.problems.iter().filter(|(field, _)| !is_shown(field));
        others.map(|(field, message)| format!("{field}: {message}")).collect()
    }

    fn wrong(&self, field: &Field) -> Option<String> {
        let own = self.problems.iter().filter(|(problem, _)| is_about(problem, &field.name));
        let told = own.map(|(problem, message)| match problem.strip_prefix(&format!("{}.", field.name)) {
            Some(below) if !below.is_empty() => format!("{below}: {message}"),
            Some(_) | None => message.clone(),
        });
        Some(told.collect::<Vec<_>>().join(" ")).filter(|told| !told.is_empty())
    }

    pub(super) fn is_wrong(&self) -> bool {
        !self.problems.is_empty()
    }

    /// What is wrong with one field.
    pub(super) fn wrong_at(&self, name: &str) -> Option<String> {
        self.problems.get(name).cloned()
    }

    pub(super) fn is_wrong_at(&self, name: &str) -> bool {
        self.problems.contains_key(name)
    }

    /// Whether a secret was entered that is not saved, and so is lost.
    pub(super) fn must_come_again(&self, name: &str) -> bool {
        self.is_wrong() && self.entered.as_ref().is_some_and(|entered| !entered.text(name).is_empty())
    }

    /// The text that stands in a field.
    pub(super) fn text(&self, name: &str) -> String {
        match &self.entered {
            Some(entered) => entered.text(name).to_owned(),
            None => self.stored(name).map(shown).unwrap_or_default(),
        }
    }

    fn stored(&self, name: &str) -> Option<&Value> {
        let fields = &self.seen.as_ref()?.fields;
        let mut parts = name.split('.');
        let first = fields.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    pub(super) fn is_ticked(&self, name: &str, value: &str) -> bool {
        match (&self.entered, self.stored(name)) {
            (Some(entered), _) => entered.values(name).any(|ticked| ticked == value),
            (None, Some(Value::Array(values))) => values.iter().any(|ticked| ticked == value),
            (None, Some(Value::Bool(on))) => *on,
            (None, _) => false,
        }
    }

    pub(super) fn parts(&self, fields: &[Field]) -> Vec<FieldPart> {
        fields.iter().map(|field| self.part(field)).collect()
    }

    pub(super) fn part(&self, field: &Field) -> FieldPart {
        let is_secret = matches!(field.input, Input::Secret | Input::SecretUrl | Input::SecretLines | Input::Secrets);
        let seen = self.seen.as_ref().filter(|_| is_secret).and_then(|seen| seen.secrets.get(&field.name));
        let set = seen.or(field.set.as_ref()).cloned();
        let (choices, several) = match field.input {
            Input::Choice(choices) => (choices, false),
            Input::Boxes(choices) => (choices, true),
            Input::Text
            | Input::Lines
            | Input::Secret
            | Input::SecretUrl
            | Input::SecretLines
            | Input::Secrets
            | Input::Number
            | Input::Switch
            | Input::List => (&[][..], false),
        };
        let chosen = |value: &str| match several {
            true => self.is_ticked(&field.name, value),
            false => self.text(&field.name) == value,
        };
        FieldPart {
            id: field.name.replace('.', "-"),
            name: field.name.clone(),
            label: field.label.clone(),
            hint: field.hint.clone(),
            kind: match field.input {
                Input::Text => "text",
                Input::Secret => "password",
                Input::SecretUrl => "url",
                Input::Number => "number",
                Input::Secrets | Input::List => "area",
                Input::Lines | Input::SecretLines => "lines",
                Input::Switch => "switch",
                Input::Choice(_) => "select",
                Input::Boxes(_) => "boxes",
            },
            value: if is_secret { String::new() } else { self.text(&field.name) },
            placeholder: match &set {
                Some(set) if set == "set" => "Set. Leave empty to keep it".to_owned(),
                Some(set) => format!("Set ({set}). Leave empty to keep it"),
                None => field.placeholder.clone(),
            },
            on: self.is_ticked(&field.name, "true"),
            choices: choices.iter().map(|(value, name)| Choice { value, name, chosen: chosen(value) }).collect(),
            may_go: set.is_some() && !field.required,
            again: is_secret && self.must_come_again(&field.name),
            wrong: self.wrong(field),
        }
    }
}

/// A problem of what stands in a field's table is the field's, too.
fn is_about(problem: &str, field: &str) -> bool {
    problem.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join("\n"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Object(below) => {
            below.iter().map(|(key, value)| format!("{key} = {}", shown(value))).collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
    }
}

/// A field as it stands in a page.
#[derive(Template)]
#[template(path = "console/field.html")]
pub(super) struct FieldPart {
    id: String,
    name: String,
    label: String,
    hint: String,
    kind: &'static str,
    value: String,
    placeholder: String,
    on: bool,
    choices: Vec<Choice>,
    /// A secret that can be taken away.
    may_go: bool,
    /// A secret that was entered, and is not there any more.
    again: bool,
    wrong: Option<String>,
}

impl FieldPart {
    pub(super) fn must_come_again(&self) -> bool {
        self.again
    }
}

struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::configure::Subject;

    fn fields() -> Vec<Field> {
        const WORDS: &[(&str, &str)] = &[("marketing", "Marketing"), ("utility", "Utility")];
        [
            ("name", Input::Text),
            ("bearer_token", Input::Secret),
            ("app_secret", Input::Secrets),
            ("messages_per_second", Input::Number),
            ("enabled", Input::Switch),
            ("allowed_addresses", Input::List),
            ("quiet_hours.from", Input::Text),
            ("quiet_hours.categories", Input::Boxes(WORDS)),
        ]
        .map(|(name, input)| Field::new(name, name, input))
        .into()
    }

    #[test]
    fn what_is_entered_becomes_what_shall_be_different() {
        let body = "name=+Acme+&bearer_token=&app_secret=new%0D%0Aold&messages_per_second=80&enabled=true\
                    &allowed_addresses=203.0.113.7,%2010.0.0.0%2F8&quiet_hours.from=21:00&quiet_hours.categories=utility";
        let patch = Entered::read(body.as_bytes()).patch(&fields());
        assert_eq!(
            Value::Object(patch),
            json!({"name": "Acme", "app_secret": ["new", "old"], "messages_per_second": 80, "enabled": true,
                "allowed_addresses": ["203.0.113.7", "10.0.0.0/8"],
                "quiet_hours": {"from": "21:00", "categories": ["utility"]}})
        );
    }

    #[test]
    fn what_is_emptied_goes_back_to_its_default_and_a_secret_only_when_asked() {
        let body =
            "name=&bearer_token=&forget:app_secret=on&messages_per_second=many&allowed_addresses=&quiet_hours.from=";
        let patch = Entered::read(body.as_bytes()).patch(&fields());
        assert_eq!(
            Value::Object(patch),
            json!({"name": null, "app_secret": null, "messages_per_second": "many", "enabled": false,
                "allowed_addresses": null, "quiet_hours": {"from": null, "categories": null}})
        );
    }

    #[test]
    fn a_number_is_read_as_people_type_it_and_never_given_another_country() {
        for (typed, expected) in [
            ("+918880110022", "+918880110022"),
            ("91 88801-10022", "+918880110022"),
            (" 918880110022 ", "+918880110022"),
            ("9876500001", "9876500001"),
            ("the shop", "the shop"),
            ("", ""),
        ] {
            let entered = Entered::of(vec![("number".to_owned(), typed.to_owned())]).with_number("number");
            assert_eq!(entered.text("number"), expected, "{typed}");
        }
    }

    #[test]
    fn a_form_shows_what_is_stored_and_of_secrets_that_they_are_set() {
        let seen = Seen {
            subject: Subject::Account("acme".to_owned()),
            fields: json!({"name": "Acme", "enabled": true, "allowed_addresses": ["10.0.0.0/8"],
                "quiet_hours": {"from": "21:00", "categories": ["utility"]}})
            .as_object()
            .expect("an object")
            .clone(),
            secrets: BTreeMap::from([("bearer_token".to_owned(), "set".to_owned())]),
            version: "v1".to_owned(),
        };
        let problems = vec![FieldProblem::new("name", "is missing"), FieldProblem::new("senders", "are elsewhere")];
        let filled = Filled::with(Some(seen), None, problems);
        let parts = filled.parts(&fields());

        assert_eq!((filled.version(), filled.text("quiet_hours.from").as_str()), ("v1", "21:00"));
        assert_eq!(parts[0].wrong.as_deref(), Some("Is missing."));
        assert!(parts[1].may_go && parts[1].value.is_empty() && !parts[1].again && parts[4].on);
        let ticked: Vec<bool> = parts[7].choices.iter().map(|choice| choice.chosen).collect();
        assert_eq!(ticked, [false, true]);
        assert_eq!(filled.elsewhere(&fields()), ["senders: Are elsewhere."]);
    }

    #[test]
    fn a_secret_that_was_entered_in_vain_is_asked_for_again_and_no_other() {
        let again = |problems: Vec<FieldProblem>| -> Vec<String> {
            let entered = Entered::read(b"name=Acme&bearer_token=hush&app_secret=");
            let parts = Filled::with(None, Some(entered), problems).parts(&fields());
            parts.into_iter().filter(|part| part.again).map(|part| part.name).collect()
        };
        assert_eq!(again(vec![FieldProblem::new("messages_per_second", "is missing")]), ["bearer_token"]);
        assert!(again(vec![]).is_empty(), "nothing is lost");
    }
}
