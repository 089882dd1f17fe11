//! Requests that were not accepted: the first thing to look at when CleverTap counts errors.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_exchanges::Next,
    callbacks::Choice,
    frame::{long_time, seconds, sentence, short_time, wants_part},
    message::pretty,
    page,
};
use crate::{
    domain::{
        ids::MessageId,
        operator::{Actor, Permission},
        words::thousands,
    },
    http::Parts,
    services::{
        accept::{KINDS_KEPT, kind_name},
        directory::Snapshot,
        operators::Refusal,
        refusals::{self, RefusedShown},
    },
    store::refused::RefusedFilter,
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/refused";

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RefusedForm {
    /// An id, or a number.
    q: String,
    account: String,
    kind: String,
    since: String,
    until: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "console/refused.html")]
struct Page {
    frame: Frame,
    form: RefusedForm,
    kinds: Vec<Choice>,
    accounts: Vec<String>,
    may_explain: bool,
    kept_per_minute: String,
    results: Results,
}

#[derive(Template)]
#[template(path = "console/refused_results.html")]
struct Results {
    wrong: Option<String>,
    searched: bool,
    rows: Vec<Row>,
    next: Option<Next>,
}

struct Row {
    at: String,
    seconds: String,
    at_iso: String,
    account: String,
    kind: &'static str,
    why: String,
    from: String,
    to: String,
    message_id: String,
    answered: String,
    answer: String,
    request: Option<String>,
}

impl RefusedForm {
    fn fields(&self) -> [(&'static str, &str); 5] {
        let Self { q, account, kind, since, until, before: _ } = self;
        [("q", q), ("account", account), ("kind", kind), ("since", since), ("until", until)]
    }

    fn at(&self, before: MessageId) -> String {
        let before = before.0.to_string();
        asked::address(PATH, self.fields().into_iter().chain([("before", &*before)]))
    }

    /// What is looked for; `Err` says what to change.
    fn filter(&self, snapshot: &Snapshot) -> Result<RefusedFilter, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        Ok(RefusedFilter {
            account: asked::account(snapshot, &self.account)?,
            kind: asked::one_of("kind", &self.kind, &KINDS_KEPT, kind_name)?.map(kind_name),
            since,
            until,
            before: self.before.map(MessageId),
            ..RefusedFilter::default()
        })
    }
}

/// `GET /console/refused`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<RefusedForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let results = results(&parts, &snapshot, &visitor.actor, &form).await?;
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page {
        frame: Frame::new(&request, &visitor, "Refused requests", PATH),
        kinds: KINDS_KEPT.map(|kind| Choice { value: kind_name(kind), name: words_of(kind_name(kind)) }).into(),
        accounts: snapshot.account_ids(),
        may_explain: visitor.actor.may(Permission::SendTests),
        kept_per_minute: thousands(parts.settings.limits.refused_kept_per_minute),
        form,
        results,
    })
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &RefusedForm) -> Result<Results, Trouble> {
    let searched = form.fields().into_iter().any(|(_, text)| !text.trim().is_empty());
    let wrong = |said: String| Results { wrong: Some(said), searched, rows: vec![], next: None };
    let filter = match form.filter(snapshot) {
        Ok(filter) => filter,
        Err(odd) => return Ok(wrong(odd.said())),
    };
    let found = refusals::list(&parts.store, snapshot, actor, &form.q, (filter, LINES_PER_PAGE)).await;
    let (found, next) = match found {
        Ok(found) => found,
        Err(Refusal::Invalid { text, .. }) => return Ok(wrong(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    let is_full = found.len() >= LINES_PER_PAGE;
    let next = next.map(|next| Next { href: form.at(next), back_to: (!is_full).then(|| long_time(next.made_at())) });
    Ok(Results { wrong: None, searched, rows: found.into_iter().map(row).collect(), next })
}

fn row(refused: RefusedShown) -> Row {
    let (answered, answer) = match &refused.answer {
        Some(reply) => (format!("HTTP {}", reply.http_status), pretty(&reply.body)),
        None => (String::new(), String::new()),
    };
    Row {
        at: short_time(refused.at),
        seconds: seconds(refused.at),
        at_iso: refused.at.to_string(),
        account: refused.account.unwrap_or_else(|| "?".to_owned()),
        kind: words_of(&refused.kind),
        why: sentence(&refused.why),
        from: refused.from.unwrap_or_default(),
        to: refused.to.unwrap_or_default(),
        message_id: refused.platform_message_id.unwrap_or_default(),
        answered,
        answer,
        request: refused.request.as_deref().map(pretty),
    }
}

/// What was wrong, in few words.
fn words_of(kind: &str) -> &'static str {
    match kind {
        "credentials" => "credentials",
        "template" => "template or its values",
        "phone_number" => "the person’s number",
        "not_subscribed" => "the person opted out",
        _ => "something else",
    }
}
