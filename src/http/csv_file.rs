//! Files of comma-separated values, written as they are taken.

use actix_web::{
    HttpResponse,
    http::header::{self, ContentDisposition, DispositionParam, DispositionType},
    web::Bytes,
};
use futures_util::Stream;

use crate::telemetry;

/// A file that a browser saves under this name.
pub(super) fn attachment(name: String, rows: impl Stream<Item = std::io::Result<Bytes>> + 'static) -> HttpResponse {
    let parameters = vec![DispositionParam::Filename(name)];
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header(ContentDisposition { disposition: DispositionType::Attachment, parameters })
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .streaming(rows)
}

pub(super) fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> std::io::Result<Bytes> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(std::io::Error::other)?;
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(Bytes::from(bytes))
}

/// Whoever reads the file sees by its missing end that it broke off.
pub(super) fn broke_off(error: &(dyn std::error::Error + 'static), what: &str) -> std::io::Error {
    tracing::error!(error = %telemetry::Chain(error), "a file of {what} broke off");
    std::io::Error::other("the database did not answer")
}
