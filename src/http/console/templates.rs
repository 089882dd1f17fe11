//! Templates: all that are listed, and reading the lists anew. One of them is shown in [`template`].

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Form, ServiceConfig},
};
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    frame::{sentence, wants_part},
    page, see_other, template,
};
use crate::{
    clock,
    domain::{
        operator::{Actor, Permission},
        template::TemplateStatus,
        words::{ago, counted},
    },
    http::Parts,
    services::{
        directory::Snapshot,
        operators::Refusal,
        templates::{self, Choices, ShownTemplate, ShownTemplates, Synced, TemplateFilter, TemplateList},
    },
};

pub(super) const PATH: &str = "/console/templates";

/// The list with the templates that are called so, or in part.
pub(super) fn with_name(name: &str) -> String {
    asked::address(PATH, [("q", name)])
}

/// Everything under `/console/templates`.
pub(super) fn routes(config: &mut ServiceConfig) {
    const ONE: &str = "/templates/{connection}/{business_account}/{name}/{language}";
    config
        .route("/templates", web::get().to(list))
        .route("/templates/sync", web::post().to(sync))
        .route(ONE, web::get().to(template::show))
        .route(&format!("{ONE}/differences"), web::get().to(template::differences));
}

/// What stands in the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListForm {
    q: String,
    account: String,
    connection: String,
    status: String,
    category: String,
    language: String,
    /// From 1.
    page: Option<usize>,
}

#[derive(askama::Template)]
#[template(path = "console/templates.html")]
struct Page {
    frame: Frame,
    form: ListForm,
    choices: Choices,
    accounts: Vec<String>,
    connections: Vec<String>,
    lists: Vec<ListPart>,
    may_sync: bool,
    results: Results,
}

#[derive(askama::Template)]
#[template(path = "console/templates_results.html")]
struct Results {
    wrong: Option<String>,
    rows: Vec<Row>,
    extent: String,
    before: Option<String>,
    after: Option<String>,
    is_filtered: bool,
    nothing_listed: bool,
    /// There is more than one list, so it is said whose each is.
    several: bool,
}

struct Row {
    href: String,
    name: String,
    language: String,
    status: Pill,
    category: String,
    quality: Option<Pill>,
    body: String,
    whose: String,
}

/// How something stands, in a word and a colour.
pub(super) struct Pill {
    pub(super) name: String,
    pub(super) tone: &'static str,
}

/// A business account's list.
struct ListPart {
    business_account: String,
    connection: String,
    numbers: String,
    templates: String,
    read: String,
    failure: Option<String>,
}

/// `GET /console/templates`
async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<ListForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let lists = templates::lists(&parts.store, &parts.directory, &visitor.actor, None).await?;
    let results = Results { several: lists.len() > 1, ..results(&parts, &snapshot, &visitor.actor, &form).await? };
    if wants_part(&request) {
        return page(&results);
    }
    let accounts = snapshot.account_ids();
    let mut connections: Vec<String> = lists.iter().map(|list| list.connection.id.clone()).collect();
    connections.sort();
    connections.dedup();
    page(&Page {
        frame: Frame::new(&request, &visitor, "Templates", PATH),
        choices: templates::choices(&parts.directory),
        accounts,
        connections,
        lists: lists.iter().map(list_part).collect(),
        may_sync: visitor.actor.may(Permission::SendTests) && !lists.is_empty(),
        form,
        results,
    })
}

fn list_part(list: &TemplateList) -> ListPart {
    let now = clock::now();
    let numbers: Vec<&str> = list.senders.iter().map(|sender| sender.number.as_e164()).collect();
    ListPart {
        business_account: list.owner.provider_account_id.clone(),
        connection: list.connection.id.clone(),
        numbers: numbers.join(", "),
        templates: counted(list.templates as u64, "template", "templates"),
        read: list.sync.synced_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at, now))),
        failure: list.sync.failure.as_ref().map(|(at, why)| format!("{} ago: {why}", ago(*at, now))),
    }
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &ListForm) -> Result<Results, Trouble> {
    let wrong = |said: String| Results {
        wrong: Some(said),
        rows: vec![],
        extent: String::new(),
        before: None,
        after: None,
        is_filtered: true,
        nothing_listed: false,
        several: false,
    };
    let filter = match form.filter(snapshot, &templates::choices(&parts.directory)) {
        Ok(filter) => filter,
        Err(odd) => return Ok(wrong(odd.said())),
    };
    let number = form.page.unwrap_or(1).max(1);
    let skipped = number.saturating_sub(1).saturating_mul(LINES_PER_PAGE);
    let found = match templates::page(&parts.store, &parts.directory, actor, &filter, (skipped, LINES_PER_PAGE)).await {
        Ok(found) => found,
        Err(Refusal::Invalid { text, .. }) => return Ok(wrong(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    let ShownTemplates { templates: shown, fitting } = found;
    let last = skipped.saturating_add(shown.len());
    let is_filtered = form.is_filtered();
    let extent = match (shown.len(), fitting) {
        (0, _) => String::new(),
        (all, fitting) if all == fitting => counted(fitting as u64, "template", "templates"),
        (_, fitting) => format!("{} to {last} of {fitting} templates", skipped + 1),
    };
    Ok(Results {
        wrong: None,
        nothing_listed: fitting == 0 && !is_filtered,
        rows: shown.iter().map(row).collect(),
        extent,
        before: (number > 1).then(|| form.at(number - 1)),
        after: (last < fitting).then(|| form.at(number + 1)),
        is_filtered,
        several: false,
    })
}

impl ListForm {
    fn filter(&self, snapshot: &Snapshot, choices: &Choices) -> Result<TemplateFilter, Wrong> {
        let connections: Vec<&str> = snapshot.connections().map(|connection| connection.id.as_str()).collect();
        let statuses = choices.statuses.iter().map(String::as_str).collect::<Vec<_>>();
        let categories = choices.categories.iter().map(String::as_str).collect::<Vec<_>>();
        let languages = choices.languages.iter().map(String::as_str).collect::<Vec<_>>();
        let listed = |name: &str, text: &str, known: &[&str]| {
            Ok(asked::one_of(name, text, known, |word| word)?.map(str::to_owned))
        };
        Ok(TemplateFilter {
            account: asked::account(snapshot, &self.account)?,
            connection: listed("connection", &self.connection, &connections)?,
            status: listed("status", &self.status, &statuses)?,
            category: listed("category", &self.category, &categories)?,
            language: listed("language", &self.language, &languages)?,
            text: some(&self.q),
        })
    }

    fn is_filtered(&self) -> bool {
        let fields = [&self.q, &self.account, &self.connection, &self.status, &self.category, &self.language];
        fields.into_iter().any(|text| !text.trim().is_empty())
    }

    fn at(&self, number: usize) -> String {
        let number = number.to_string();
        let fields = [
            ("q", &*self.q),
            ("account", &self.account),
            ("connection", &self.connection),
            ("status", &self.status),
            ("category", &self.category),
            ("language", &self.language),
            ("page", &number),
        ];
        asked::address(PATH, fields)
    }
}

fn row(shown: &ShownTemplate) -> Row {
    let template = &shown.template;
    Row {
        href: href(shown),
        name: template.name.clone(),
        language: template.language.clone(),
        status: status_pill(&template.status),
        category: template.category.word().to_lowercase(),
        quality: quality_pill(shown.listing.quality.as_deref()),
        body: template.components.body.text.chars().take(ROW_BODY_CHARS).collect(),
        whose: format!("{} · {}", shown.connection.id, shown.owner.provider_account_id),
    }
}

/// More of a body has no place in a row.
const ROW_BODY_CHARS: usize = 120;

pub(super) fn href(shown: &ShownTemplate) -> String {
    let ShownTemplate { owner, connection, template, .. } = shown;
    path_of([&connection.id, &owner.provider_account_id, &template.name, &template.language])
}

/// The page of what a connection, a business account, a name and a language say.
pub(super) fn path_of(parts: [&str; 4]) -> String {
    parts.iter().fold(PATH.to_owned(), |path, part| format!("{path}/{}", asked::piece(part)))
}

pub(super) fn status_pill(status: &TemplateStatus) -> Pill {
    let tone = match status {
        TemplateStatus::Approved => "good",
        TemplateStatus::Paused | TemplateStatus::Pending => "warn",
        TemplateStatus::Disabled | TemplateStatus::Rejected => "bad",
        TemplateStatus::Other(_) => "plain",
    };
    Pill { name: status.to_string().to_lowercase().replace('_', " "), tone }
}

pub(super) fn quality_pill(quality: Option<&str>) -> Option<Pill> {
    let quality = quality?;
    let tone = match quality {
        "GREEN" => "good",
        "YELLOW" => "warn",
        "RED" => "bad",
        _ => "plain",
    };
    Some(Pill { name: quality.to_lowercase(), tone })
}

#[derive(Deserialize)]
pub(super) struct SyncForm {
    #[serde(default)]
    connection: String,
}

/// `POST /console/templates/sync`
async fn sync(parts: Data<Parts>, visitor: Visitor, form: Form<SyncForm>) -> Result<HttpResponse, Trouble> {
    let connection = Some(form.connection.as_str()).filter(|id| !id.is_empty());
    let with = (&parts.store, &*parts.directory);
    let synced = parts.template_syncs.sync(&parts.acceptor.lookup, with, &visitor.actor, connection).await?;
    Ok(see_other(&format!(
        "{PATH}?done={}",
        match synced {
            Synced::Done => "synced",
            Synced::GoesOn => "syncing",
        }
    )))
}
