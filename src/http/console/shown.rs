//! Pages with a new secret in them: shown once, by a request of their own, so that loading them again makes no other secret.

use actix_web::{HttpResponse, http::header::ContentType, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    HOME, Trouble, Visitor,
    asked::{self, Query},
    see_other,
    sign_in::is_page,
};
use crate::http::Parts;

const PATH: &str = "/console/shown";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownQuery {
    /// Where it goes on when the page has been seen.
    #[serde(default)]
    then: String,
}

/// Answers a change by the way to this page, which is kept until the browser comes for it.
pub(super) async fn once(
    parts: &Parts,
    visitor: &Visitor,
    page: &impl Template,
    then: &str,
) -> Result<HttpResponse, Trouble> {
    let page = page.render().map_err(|error| Trouble::ours(&error))?;
    parts.operators.keep_shown(visitor, &page).await?;
    Ok(see_other(&asked::address(PATH, [("then", then)])))
}

/// `GET /console/shown`
pub(super) async fn show(
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<ShownQuery>,
) -> Result<HttpResponse, Trouble> {
    match parts.operators.take_shown(&visitor).await? {
        Some(page) => Ok(HttpResponse::Ok().content_type(ContentType::html()).body(page)),
        None => {
            let then = if is_page(&query.then) { &query.then } else { HOME };
            Ok(see_other(&format!("{then}?done=shown")))
        }
    }
}
