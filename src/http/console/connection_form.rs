//! Adding and changing a connection: the form is what its provider says it must be given.
//!
//! A word that the provider must be told (Meta's verify token) is made here when nobody chooses one, and shown once, beside the
//! URL that it goes with.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use askama::Template;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Frame, Trouble, Visitor,
    asked::Query,
    connections::PATH,
    fields::{Entered, Field, FieldPart, Filled, Input},
    form_parts::{FormParts, outcome},
    page, page_as, see_other,
    shown::once,
};
use crate::{
    domain::operator::Permission,
    http::Parts,
    providers::{self, Provider, SettingField, WebhookForm},
    services::{
        check::URL_TOKEN_PLACE,
        configure::{Kind, Patch, Seen, Subject},
        operators::{Refusal, require},
    },
};

#[derive(Template)]
#[template(path = "console/connection_form.html")]
struct Page {
    frame: Frame,
    /// `None` while it is being added.
    id: Option<String>,
    provider: &'static str,
    /// All providers, while one can still be chosen.
    providers: Vec<&'static str>,
    parts: FormParts,
    /// Those that rarely need a change, for a provider that is described by its settings.
    sections: Vec<Section>,
    /// They say what the carrier is, so nobody leaves them as they are.
    described: bool,
    /// Where webhooks come to once it is added.
    webhooks: String,
    /// Who must be told a word besides the URL.
    told: Option<&'static str>,
}

/// What the provider is to be told, the only time that it is all seen.
#[derive(Template)]
#[template(path = "console/connection_words.html")]
struct WordsPage {
    frame: Frame,
    id: String,
    webhook_url: String,
    /// The word is the end of the URL.
    by_url: bool,
    form: WebhookForm,
    label: &'static str,
    word: String,
    is_new: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewQuery {
    provider: String,
}

const WORD_BYTES: usize = 24;

/// `GET /console/new-connection`
pub(super) async fn new(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<NewQuery>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let provider = provider_named(&query.provider)?;
    page(&form(&request, &parts, &visitor, provider, Filled::default()))
}

/// `POST /console/new-connection`
pub(super) async fn add(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let provider = provider_named(entered.text("provider"))?;
    let mut patch = entered.patch(&[name_field(provider)]);
    patch.extend(entered.patch(&fields_of(provider, true)));
    patch.insert("provider".to_owned(), provider.slug().into());
    let word = choose_word(provider, &mut patch);
    let added = parts.configuring.add(&visitor.actor, Kind::Connection, &patch).await;
    match outcome(added, None, entered)? {
        Ok(written) => {
            let Subject::Connection(id) = written.seen.subject else { return Ok(see_other(PATH)) };
            match word {
                Some(word) => words(&request, &parts, &visitor, provider, (id, word, true)).await,
                None => Ok(see_other(&format!("{PATH}/{id}?done=saved"))),
            }
        }
        Err(filled) => wrong(&form(&request, &parts, &visitor, provider, filled)),
    }
}

/// `GET /console/connections/{id}/edit`
pub(super) async fn edit(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let (seen, provider) = seen(&parts, &visitor, &id).await?;
    page(&form(&request, &parts, &visitor, provider, Filled::with(Some(seen), None, vec![])))
}

/// `POST /console/connections/{id}/edit`
pub(super) async fn change(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let (seen, provider) = seen(&parts, &visitor, &id).await?;
    let patch = entered.patch(&fields_of(provider, false));
    let subject = Subject::Connection(id.clone());
    let changed = parts.configuring.change(&visitor.actor, &subject, &patch, Some(entered.text("version"))).await;
    match outcome(changed, Some(seen), entered)? {
        Ok(_) => Ok(see_other(&format!("{PATH}/{}?done=saved", *id))),
        Err(filled) => wrong(&form(&request, &parts, &visitor, provider, filled)),
    }
}

/// `POST /console/connections/{id}/word`: another one in the place of the old, which need not be known any more.
pub(super) async fn new_word(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let (_, provider) = seen(&parts, &visitor, &id).await?;
    let mut patch = Patch::new();
    let Some(word) = choose_word(provider, &mut patch) else {
        return Err(Refusal::NotFound("this provider wants no word of ours".to_owned()).into());
    };
    parts.configuring.change(&visitor.actor, &Subject::Connection(id.clone()), &patch, None).await?;
    words(&request, &parts, &visitor, provider, (id.into_inner(), word, false)).await
}

async fn words(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    provider: &'static dyn Provider,
    (id, word, is_new): (String, String, bool),
) -> Result<HttpResponse, Trouble> {
    let then = format!("{PATH}/{id}");
    let shown = WordsPage {
        frame: Frame::new(request, visitor, format!("{id}: what to enter at the provider"), PATH),
        webhook_url: parts.connections.webhook_url(provider.slug(), &id).replace(URL_TOKEN_PLACE, &word),
        by_url: provider.webhooks_by_url_token(),
        form: provider.webhook_form(),
        label: word_of(provider).map_or("", |field| field.label),
        id,
        word,
        is_new,
    };
    once(parts, visitor, &shown, &then).await
}

async fn seen(parts: &Parts, visitor: &Visitor, id: &str) -> Result<(Seen, &'static dyn Provider), Trouble> {
    let seen = parts.configuring.see(&visitor.actor, &Subject::Connection(id.to_owned())).await?;
    let provider = provider_named(seen.text("provider"))?;
    Ok((seen, provider))
}

fn provider_named(slug: &str) -> Result<&'static dyn Provider, Trouble> {
    let provider = if slug.is_empty() { providers::ALL.first().copied() } else { providers::find(slug) };
    let unknown = || Refusal::NotFound(format!("this version knows no provider {slug}"));
    Ok(provider.ok_or_else(unknown)?)
}

fn wrong(form: &Page) -> Result<HttpResponse, Trouble> {
    page_as(StatusCode::UNPROCESSABLE_ENTITY, form)
}

fn form(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    provider: &'static dyn Provider,
    filled: Filled,
) -> Page {
    let id = filled.seen.as_ref().map(|seen| seen.text("id").to_owned());
    let title = id.clone().unwrap_or_else(|| "Add a connection".to_owned());
    let fields = fields_of(provider, id.is_none());
    let (needed, more): (Vec<Field>, Vec<Field>) =
        fields.iter().cloned().partition(|field| is_needed(provider, &field.name));
    let name = if id.is_none() { vec![name_field(provider)] } else { vec![] };
    let choices = providers::ALL.iter().map(|known| known.slug()).filter(|_| id.is_none());
    Page {
        frame: Frame::new(request, visitor, title, PATH),
        provider: provider.slug(),
        providers: choices.collect(),
        described: !provider.multiline_settings().is_empty(),
        parts: FormParts::of(&filled, &name, &needed, &more, &[]),
        sections: sections(&more, &filled),
        webhooks: parts.connections.webhook_url(provider.slug(), "…"),
        told: word_of(provider).filter(|_| !provider.webhooks_by_url_token()).map(|_| provider.webhook_form().name),
        id,
    }
}

/// Fields of one purpose.
struct Section {
    heading: &'static str,
    hint: &'static str,
    fields: Vec<FieldPart>,
}

/// What a carrier that is described by settings is asked, in the order in which somebody reads its documentation.
const SECTIONS: [(&str, &str, &[&str]); 6] = [
    (
        "Where messages are sent",
        "Without an address the connection only receives.",
        &["base_url", "send_path", "send_method", "headers", "auth", "auth_name"],
    ),
    (
        "What is sent",
        "One body for each kind of message; a kind without one is refused.",
        &["body_format", "body_template", "body_text", "body_media", "body_location"],
    ),
    ("What its answers mean", "", &["success_status", "answer", "error_meanings"]),
    ("Templates", "", &["templates", "template_category"]),
    ("What its webhooks say", "", &["webhook", "webhook_number", "status_words"]),
    (
        "Who may call with webhooks",
        "Proof beside the secret end of the URL, as far as the carrier gives any.",
        &["webhook_addresses", "webhook_username", "webhook_header", "webhook_signature_header"],
    ),
];

/// The fields by purpose; what no section knows stands at the end.
fn sections(fields: &[Field], filled: &Filled) -> Vec<Section> {
    let known = |field: &Field| SECTIONS.iter().any(|(.., names)| names.contains(&field.name.as_str()));
    let of = |(heading, hint, names): (&'static str, &'static str, &'static [&'static str])| {
        let own = names.iter().filter_map(|name| fields.iter().find(|field| field.name == *name));
        Section { heading, hint, fields: own.map(|field| filled.part(field)).collect() }
    };
    let others = fields.iter().filter(|field| !known(field)).map(|field| filled.part(field)).collect();
    let others = Section { heading: "Everything else", hint: "", fields: others };
    SECTIONS.into_iter().map(of).chain([others]).filter(|section| !section.fields.is_empty()).collect()
}

fn name_field(provider: &dyn Provider) -> Field {
    Field::new("id", "Name", Input::Text)
        .hint("Of a-z, 0-9 and -; it is a part of the webhook URL and never changes")
        .placeholder(format!("{}-main", provider.slug()))
}

/// What the form asks for, from the provider's own list.
fn fields_of(provider: &dyn Provider, is_new: bool) -> Vec<Field> {
    provider.settings().iter().map(|setting| field(provider, setting, is_new)).collect()
}

fn field(provider: &dyn Provider, setting: &SettingField, is_new: bool) -> Field {
    let input = match setting {
        _ if provider.multiline_settings().contains(&setting.name) => Input::Lines,
        SettingField { secret: true, list: true, .. } => Input::Secrets,
        SettingField { secret: true, list: false, .. } => Input::Secret,
        SettingField { choices: [_, ..], .. } => Input::Choice(setting.choices),
        SettingField { .. } => Input::Text,
    };
    let one_a_line = match (setting.list, is_new) {
        (true, true) => "; one a line",
        (true, false) => "; one a line. What is entered takes the place of all that are set",
        (false, _) => "",
    };
    let made_here = if setting.chosen_here && is_new { ". Left empty, one is made that nobody can guess" } else { "" };
    let field = Field::new(setting.name, setting.label, input)
        .hint(format!("{}{one_a_line}{made_here}", setting.help))
        .placeholder(setting.default.unwrap_or_default());
    if setting.required { field.required() } else { field }
}

/// What is needed, or proves who somebody is, stands before the rest.
fn is_needed(provider: &dyn Provider, name: &str) -> bool {
    provider.settings().iter().any(|setting| setting.name == name && (setting.required || setting.secret))
}

fn word_of(provider: &dyn Provider) -> Option<&'static SettingField> {
    provider.settings().iter().find(|setting| setting.chosen_here)
}

/// Makes the word when nobody has chosen one; gives it back, because it is nowhere to be seen again.
fn choose_word(provider: &dyn Provider, patch: &mut Patch) -> Option<String> {
    let field = word_of(provider)?;
    if let Some(Value::String(chosen)) = patch.get(field.name) {
        return Some(chosen.clone());
    }
    let word = URL_SAFE_NO_PAD.encode(rand::random::<[u8; WORD_BYTES]>());
    patch.insert(field.name.to_owned(), word.as_str().into());
    Some(word)
}
