//! The console: pages for the people who run the bridge, rendered here and sent whole.
//!
//! A page is a file of handlers, a template or two in `templates/console`, a read in `store` and a test. A handler reads its
//! request, asks a service as the [`Visitor`], and fills a template; [`guard`] has let in who may, and checked
//! that what changes something came from one of our own forms. Whatever a service refuses becomes a page that says what to do
//! ([`trouble`]). Nothing is loaded from elsewhere, and no script or style stands in a page.

mod account;
mod account_connect;
mod account_settings;
mod accounts;
mod alarm_recipients;
mod alarms;
mod all_events;
mod asked;
mod assets;
mod audit;
mod bench_choice;
mod bench_form;
mod callback_again;
mod callback_choice;
mod callback_event;
mod callback_events;
mod callback_exchanges;
mod callback_replay;
mod callback_tries;
mod callback_url;
mod callbacks;
mod campaign;
mod campaign_counts;
mod campaign_figures;
mod campaigns;
mod channel_check;
mod chart;
mod connection_form;
mod connections;
mod contacts;
mod conversations;
mod exchanges;
mod explanation;
mod fields;
mod form_parts;
mod frame;
mod guard;
mod inbound;
mod json;
mod kept;
mod message;
mod messages;
mod number_form;
mod numbers;
mod overview;
mod overview_charts;
mod persons;
mod preview;
mod refused;
mod removal;
mod shown;
mod sign_in;
mod system;
mod template;
mod templates;
mod test_bench;
mod tokens;
mod trouble;
mod users;
mod webhook;
mod webhook_edit;
mod webhook_fields;
mod webhook_form;
mod webhook_log;
mod webhook_replay;
mod webhook_try;
mod webhooks;

use actix_web::{
    HttpResponse,
    error::UrlencodedError,
    http::{StatusCode, header},
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use self::{
    frame::{Frame, page, page_as, see_other},
    guard::Guest,
    trouble::Trouble,
};
use crate::services::operators::Visitor;

/// What a form may send.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// Lines of a list on one page.
const LINES_PER_PAGE: usize = 50;

/// Everything under `/console`, and the way to it.
pub(super) fn routes(config: &mut ServiceConfig) {
    let inside = web::scope("")
        .wrap(from_fn(guard::signed_in))
        .route("", web::get().to(entrance))
        .route("/", web::get().to(entrance))
        .route("/overview", web::get().to(overview::show))
        .route("/messages", web::get().to(messages::list))
        .route("/messages/{id}", web::get().to(message::show))
        .route("/messages/{id}/story", web::get().to(message::story))
        .route("/messages/{id}/resend", web::post().to(message::resend))
        .route("/campaigns", web::get().to(campaigns::list))
        .service(campaign::routes())
        .route("/inbound", web::get().to(inbound::list))
        .configure(contacts::routes)
        .configure(conversations::routes)
        .configure(callbacks::routes)
        .configure(accounts::routes)
        .route("/unrecognized", web::get().to(kept::list))
        .route("/refused", web::get().to(refused::list))
        .route("/connections", web::get().to(connections::list))
        .route("/new-connection", web::get().to(connection_form::new))
        .route("/new-connection", web::post().to(connection_form::add))
        .route("/connections/{id}", web::get().to(connections::show))
        .route("/connections/{id}/edit", web::get().to(connection_form::edit))
        .route("/connections/{id}/edit", web::post().to(connection_form::change))
        .route("/connections/{id}/word", web::post().to(connection_form::new_word))
        .route("/connections/{id}/hold", web::post().to(connections::hold))
        .route("/connections/{id}/release", web::post().to(connections::release))
        .route("/connections/{id}/check", web::post().to(channel_check::check_connection))
        .route("/connections/{id}/fix", web::post().to(channel_check::fix))
        .route("/new-number", web::get().to(number_form::new))
        .route("/new-number", web::post().to(number_form::add))
        .route("/numbers/{digits}", web::get().to(numbers::show))
        .route("/numbers/{digits}/edit", web::get().to(number_form::edit))
        .route("/numbers/{digits}/edit", web::post().to(number_form::change))
        .route("/numbers/{digits}/hold", web::post().to(numbers::hold))
        .route("/numbers/{digits}/release", web::post().to(numbers::release))
        .route("/numbers/{digits}/check", web::post().to(channel_check::check_number))
        .configure(removal::routes)
        .configure(templates::routes)
        .configure(test_bench::routes)
        .configure(webhooks::routes)
        .route("/users", web::get().to(users::list))
        .route("/users", web::post().to(users::add))
        .route("/users/{name}/role", web::post().to(users::change_role))
        .route("/users/{name}/reset", web::post().to(users::reset))
        .route("/users/{name}/sign-out", web::post().to(users::sign_out))
        .route("/users/{name}/disable", web::post().to(users::disable))
        .route("/users/{name}/enable", web::post().to(users::enable))
        .route("/tokens", web::get().to(tokens::list))
        .route("/tokens", web::post().to(tokens::make))
        .route("/tokens/{key}/revoke", web::post().to(tokens::revoke))
        .route("/audit", web::get().to(audit::list))
        .route("/audit/lines.csv", web::get().to(audit::file))
        .route("/shown", web::get().to(shown::show))
        .route("/persons", web::get().to(persons::show))
        .route("/persons", web::post().to(persons::find))
        .route("/persons/export", web::post().to(persons::export))
        .route("/persons/erase", web::post().to(persons::erase))
        .route("/persons/erasures/{key}", web::get().to(persons::erasure))
        .route("/alarms", web::get().to(alarms::show))
        .route("/alarms/test", web::post().to(alarms::test))
        .route("/alarms/recipients", web::get().to(alarm_recipients::edit))
        .route("/alarms/recipients", web::post().to(alarm_recipients::change))
        .route("/system", web::get().to(system::show))
        .route("/account", web::get().to(account::show))
        .route("/account/password", web::post().to(account::change_password))
        .route("/account/sign-out", web::post().to(account::sign_out_everywhere))
        .route("/sign-out", web::post().to(account::sign_out))
        .default_service(web::to(nothing_here));
    let outside = web::scope("/console")
        .wrap(from_fn(guard::harden))
        .app_data(web::FormConfig::default().limit(FORM_BYTES_MAX).error_handler(|error, _| unreadable(&error).into()))
        .app_data(web::PathConfig::default().error_handler(|_, _| no_page().into()))
        .app_data(web::PayloadConfig::new(FORM_BYTES_MAX))
        .route("/assets/{hash}/{name}", web::get().to(assets::serve))
        .route("/sign-in", web::get().to(sign_in::form))
        .route("/sign-in", web::post().to(sign_in::sign_in))
        .route("/welcome/{token}", web::get().to(sign_in::welcome))
        .route("/welcome/{token}", web::post().to(sign_in::use_link))
        .service(inside);
    config.service(outside).route("/", web::get().to(entrance));
}

/// Where people begin.
const HOME: &str = "/console/overview";

async fn entrance() -> HttpResponse {
    see_other(HOME)
}

async fn nothing_here() -> Result<HttpResponse, Trouble> {
    Err(no_page())
}

fn no_page() -> Trouble {
    let text = "The address is wrong, or belongs to another version.";
    Trouble::new(StatusCode::NOT_FOUND, "There is no such page", text)
}

/// A form that none of our pages wrote.
fn unreadable(error: &UrlencodedError) -> Trouble {
    let text = if matches!(error, UrlencodedError::Overflow { .. }) {
        format!("It has more than {FORM_BYTES_MAX} bytes: leave something out.")
    } else {
        "A field is missing, or is not as the page sends it: open the page anew and send it again.".to_owned()
    };
    Trouble::new(StatusCode::BAD_REQUEST, "This form cannot be read", text)
}

/// Not a moment longer than the answer.
const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
