//! Requests that were not accepted: the first thing to look at when CleverTap counts errors.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Query},
};
use askama::Template;
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    callbacks::Choice,
    frame::{long_time, seconds, sentence, short_time, wants_part},
    message::pretty,
    messages::time,
    page,
};
use crate::{
    domain::{ids::MessageId, operator::Actor},
    http::Parts,
    services::{
        accept::{KINDS_KEPT, kind_name},
        directory::Snapshot,
        refusals::{self, RefusedShown, kind_named},
    },
    store::refused::RefusedFilter,
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/refused";

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RefusedForm {
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
    results: Results,
}

#[derive(Template)]
#[template(path = "console/refused_results.html")]
struct Results {
    wrong: Option<String>,
    searched: bool,
    rows: Vec<Row>,
    next: Option<NextPage>,
}

struct NextPage {
    href: String,
    back_to: Option<String>,
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
    fn is_filtered(&self) -> bool {
        [&self.account, &self.kind, &self.since, &self.until].into_iter().any(|text| !text.is_empty())
    }

    fn at(&self, before: MessageId) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [("account", &self.account), ("kind", &self.kind), ("since", &self.since), ("until", &self.until)];
        query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
        query.append_pair("before", &before.0.to_string());
        format!("{PATH}?{}", query.finish())
    }

    /// What is looked for; `Err` says what to change.
    fn filter(&self, snapshot: &Snapshot) -> Result<RefusedFilter, String> {
        let account = match self.account.as_str() {
            "" => None,
            id => Some(snapshot.account_ever(id).ok_or_else(|| format!("there is no account {id}"))?.key),
        };
        let kind = match self.kind.as_str() {
            "" => None,
            word => Some(kind_named(word).ok_or_else(|| format!("nothing is refused for a reason “{word}”"))?),
        };
        let before = self.before.map(MessageId);
        Ok(RefusedFilter { account, kind, since: time(&self.since)?, until: time(&self.until)?, before })
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
        form,
        results,
    })
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &RefusedForm) -> Result<Results, Trouble> {
    let searched = form.is_filtered();
    let filter = match form.filter(snapshot) {
        Ok(filter) => filter,
        Err(text) => return Ok(Results { wrong: Some(sentence(&text)), searched, rows: vec![], next: None }),
    };
    let (found, next) = refusals::list(&parts.store, snapshot, actor, (&filter, LINES_PER_PAGE)).await?;
    let is_full = found.len() >= LINES_PER_PAGE;
    let next =
        next.map(|next| NextPage { href: form.at(next), back_to: (!is_full).then(|| long_time(next.made_at())) });
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
