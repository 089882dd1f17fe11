//! The templates of the simulated business accounts: listed as Meta lists them, and read for what a send must fill.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// All templates, in the order of the listing.
pub(super) struct TemplateList {
    entries: Vec<Value>,
    forms: HashMap<(String, String), Arc<TemplateForm>>,
}

/// What a send of one translation must bring.
pub(super) struct TemplateForm {
    pub(super) status: String,
    pub(super) category: String,
    /// Parameters carry names instead of places.
    pub(super) named: bool,
    pub(super) parts: Parts,
}

/// The fillable parts of a template, or of one card of a carousel.
pub(super) struct Parts {
    pub(super) header: HeaderForm,
    pub(super) body: TextForm,
    pub(super) buttons: Vec<ButtonForm>,
    pub(super) cards: Option<Vec<Self>>,
    pub(super) offer: bool,
    /// There is nothing but a body: it may then be much longer.
    pub(super) only_body: bool,
}

pub(super) enum HeaderForm {
    /// None, or a fixed text.
    Fixed,
    Text(TextForm),
    /// `image`, `video`, `document`, `location` or `product`.
    Given(String),
}

/// The variables of a text, each once, in order of appearance.
#[derive(Default)]
pub(super) struct TextForm {
    pub(super) variables: Vec<String>,
    pub(super) fixed_chars: usize,
}

pub(super) struct ButtonForm {
    pub(super) label: String,
    pub(super) need: ButtonNeed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ButtonNeed {
    /// A URL that ends in a variable.
    Url,
    CopyCode,
    /// The code of an authentication template.
    OneTimePassword,
    /// Products to choose from.
    Products,
    /// A payload may be given.
    QuickReply,
    Nothing,
}

impl TemplateList {
    pub(super) fn new(entries: Vec<Value>) -> Result<Self, String> {
        let mut forms = HashMap::with_capacity(entries.len());
        for entry in &entries {
            let (name, language) = (text(entry, "name"), text(entry, "language"));
            if name.is_empty() || language.is_empty() {
                return Err(format!("a template needs a name and a language: {entry}"));
            }
            forms.insert((name.to_owned(), language.to_owned()), Arc::new(TemplateForm::read(entry)));
        }
        Ok(Self { entries, forms })
    }

    pub(super) fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// One template by its id.
    pub(super) fn with_id(&self, id: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| text(entry, "id") == id)
    }

    pub(super) fn find(&self, name: &str, language: &str) -> Option<Arc<TemplateForm>> {
        self.forms.get(&(name.to_owned(), language.to_owned())).cloned()
    }

    /// The list with one translation changed, and that translation after and before; `None` if there is none such.
    pub(super) fn with_change(
        &self,
        name: &str,
        language: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Option<(Self, Value, Value)>, String> {
        let mut entries = self.entries.clone();
        let same = |entry: &&mut Value| text(entry, "name") == name && text(entry, "language") == language;
        let Some(entry) = entries.iter_mut().find(same) else { return Ok(None) };
        let before = entry.clone();
        change(entry);
        let after = entry.clone();
        Ok(Some((Self::new(entries)?, after, before)))
    }

    /// One page of the listing in Meta's shape; `None` for a cursor that is not ours, or older than `cursor_ms` (0: never).
    pub(super) fn page(&self, query: &ListQuery, own_url: &str, cursor_ms: u64, now_ms: u64) -> Option<Value> {
        let fitting: Vec<&Value> = self.entries.iter().filter(|entry| query.fits(entry)).collect();
        let from = match &query.after {
            None => 0,
            Some(cursor) => read_cursor(cursor, cursor_ms, now_ms)?,
        };
        let limit = query.limit.unwrap_or(PAGE_ENTRIES_DEFAULT).clamp(1, PAGE_ENTRIES_MAX);
        let end = fitting.len().min(from.saturating_add(limit));
        let data: Vec<Value> = fitting.get(from..end)?.iter().map(|entry| query.select(entry)).collect();
        if data.is_empty() {
            return Some(json!({"data": []}));
        }
        let mut paging = json!({"cursors": {"before": cursor(from, now_ms), "after": cursor(end, now_ms)}});
        if end < fitting.len() {
            // Meta puts the caller's token into this URL, which is why nobody should follow or log it.
            paging["next"] = format!("{own_url}?access_token=…&limit={limit}&after={}", cursor(end, now_ms)).into();
        }
        Some(json!({"data": data, "paging": paging}))
    }
}

const PAGE_ENTRIES_DEFAULT: usize = 25;
const PAGE_ENTRIES_MAX: usize = 1_000;
const DEFAULT_FIELDS: &str = "name,parameter_format,components,language,status,category,id";

/// The query of a listing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    /// Matches parts of names too, as Meta's does: who wants one template has to look again.
    name: Option<String>,
    /// Matches names and texts.
    name_or_content: Option<String>,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
}

impl ListQuery {
    fn fits(&self, entry: &Value) -> bool {
        let same = |wanted: &Option<String>, key| wanted.as_deref().is_none_or(|wanted| text(entry, key) == wanted);
        self.name.as_deref().is_none_or(|part| text(entry, "name").contains(part))
            && self.name_or_content.as_deref().is_none_or(|part| {
                text(entry, "name").contains(part)
                    || list(entry, "components").iter().any(|component| text(component, "text").contains(part))
            })
            && same(&self.language, "language")
            && same(&self.status, "status")
            && same(&self.category, "category")
    }

    fn select(&self, entry: &Value) -> Value {
        let fields = self.fields.as_deref().unwrap_or(DEFAULT_FIELDS);
        let mut selected = Map::new();
        for field in fields.split(',').map(str::trim).chain(["id"]) {
            if let Some(value) = entry.get(field) {
                selected.insert(field.to_owned(), value.clone());
            }
        }
        Value::Object(selected)
    }
}

fn cursor(place: usize, made_at_ms: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("place:{place}:{made_at_ms}"))
}

fn read_cursor(cursor: &str, cursor_ms: u64, now_ms: u64) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (place, made_at_ms) = std::str::from_utf8(&bytes).ok()?.strip_prefix("place:")?.split_once(':')?;
    let ends_at_ms = made_at_ms.parse::<u64>().ok()?.saturating_add(cursor_ms);
    if cursor_ms > 0 && ends_at_ms <= now_ms {
        return None;
    }
    place.parse().ok()
}

/// The built-in list of templates, as JSON in the shape of Meta's list.
pub const SAMPLE_TEMPLATES: &str = include_str!("sample_templates.json");

/// The built-in list: every kind of header, button and card, two languages of one name, a paused one, named ones.
pub(super) fn samples() -> Vec<Value> {
    serde_json::from_str(SAMPLE_TEMPLATES).expect("the built-in list is read by a test")
}

impl TemplateForm {
    fn read(entry: &Value) -> Self {
        Self {
            status: text(entry, "status").to_owned(),
            category: text(entry, "category").to_owned(),
            named: text(entry, "parameter_format") == "NAMED",
            parts: Parts::read(entry),
        }
    }
}

impl Parts {
    fn read(holder: &Value) -> Self {
        let components = list(holder, "components");
        let component = |kind: &str| components.iter().find(|part| text(part, "type").eq_ignore_ascii_case(kind));
        Self {
            header: component("HEADER").map_or(HeaderForm::Fixed, HeaderForm::read),
            body: component("BODY").map(|body| TextForm::read(text(body, "text"))).unwrap_or_default(),
            buttons: component("BUTTONS")
                .map(|part| list(part, "buttons").iter().map(ButtonForm::read).collect())
                .unwrap_or_default(),
            cards: component("CAROUSEL").map(|part| list(part, "cards").iter().map(Self::read).collect()),
            offer: component("LIMITED_TIME_OFFER").is_some(),
            only_body: components.len() == 1,
        }
    }
}

impl HeaderForm {
    fn read(header: &Value) -> Self {
        let format = text(header, "format").to_ascii_lowercase();
        if format != "text" {
            return Self::Given(format);
        }
        let form = TextForm::read(text(header, "text"));
        if form.variables.is_empty() { Self::Fixed } else { Self::Text(form) }
    }
}

impl TextForm {
    fn read(text: &str) -> Self {
        let mut variables: Vec<String> = Vec::new();
        let mut fixed_chars = text.chars().count();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("{{")
            && let Some((name, after)) = after.split_once("}}")
        {
            fixed_chars -= name.chars().count() + 4;
            if !variables.iter().any(|known| known == name.trim()) {
                variables.push(name.trim().to_owned());
            }
            rest = after;
        }
        Self { variables, fixed_chars }
    }
}

impl ButtonForm {
    fn read(button: &Value) -> Self {
        let need = match text(button, "type").to_ascii_uppercase().as_str() {
            "URL" if text(button, "url").contains("{{") => ButtonNeed::Url,
            "OTP" => ButtonNeed::OneTimePassword,
            "MPM" => ButtonNeed::Products,
            "COPY_CODE" => ButtonNeed::CopyCode,
            "QUICK_REPLY" => ButtonNeed::QuickReply,
            _ => ButtonNeed::Nothing,
        };
        Self { label: text(button, "text").to_owned(), need }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> TemplateList {
        TemplateList::new(samples()).expect("every sample has a name and a language")
    }

    #[test]
    fn the_samples_show_every_kind_of_part() {
        let list = listed();
        let form = |name, language| list.find(name, language).expect("a sample");

        assert_eq!(form("order_update", "en").parts.body.variables, ["1", "2"]);
        assert!(list.find("order_update", "hi").is_some() && list.find("order_update", "en_US").is_none());
        assert!(matches!(&form("festive_offer", "en").parts.header, HeaderForm::Given(kind) if kind == "image"));
        assert!(form("appointment", "en_GB").named);
        let needs: Vec<ButtonNeed> =
            form("cart_reminder", "en").parts.buttons.iter().map(|button| button.need).collect();
        assert_eq!(needs, [ButtonNeed::Url, ButtonNeed::Nothing, ButtonNeed::Nothing]);
        assert_eq!(form("winback", "en").status, "PAUSED");
    }

    #[test]
    fn a_listing_is_paged_until_there_is_no_next() {
        let list = listed();
        let mut query = ListQuery { limit: Some(5), fields: Some("name,language".into()), ..ListQuery::default() };
        let mut names = Vec::new();
        loop {
            let page =
                list.page(&query, "http://localhost/v1.0/1/message_templates", 0, 1_000).expect("our own cursor");
            names.extend(page["data"].as_array().expect("data").iter().map(|entry| entry["name"].clone()));
            if page["paging"].get("next").is_none() {
                break;
            }
            query.after = page["paging"]["cursors"]["after"].as_str().map(str::to_owned);
        }
        assert_eq!(names.len(), samples().len());
        query.after = Some("stale".into());
        assert!(list.page(&query, "", 0, 1_000).is_none());
        query.after = Some(cursor(5, 1_000));
        assert!(list.page(&query, "", 500, 1_499).is_some() && list.page(&query, "", 500, 1_500).is_none());
    }
}
