//! What the console and the API share about one person's data: all of it as a file.

use actix_web::{
    HttpResponse,
    http::header::{self, ContentDisposition, DispositionParam, DispositionType},
    web::Bytes,
};
use futures_util::stream;

use crate::{services::person::export::Document, telemetry};

/// The document, written while it is found. Whoever reads it sees by its missing end that it broke off.
pub(super) fn file(document: Document) -> HttpResponse {
    let pieces = stream::try_unfold(document, async |mut document| {
        let piece = document.next().await.map_err(|error| {
            tracing::error!(error = %telemetry::Chain(&error), "a file of a person's data broke off");
            std::io::Error::other("the database did not answer")
        })?;
        Ok::<_, std::io::Error>(piece.map(|piece| (Bytes::from(piece), document)))
    });
    // The number is not in the name: names of files end up in histories.
    let name = DispositionParam::Filename("person.json".to_owned());
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![name] })
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pieces)
}
