//! Copies of files that people sent, for whoever has the link.
//!
//! What lies here was made by strangers. It is served as what it was said to be and as nothing else: no guessing of
//! types, no scripts, and what is no picture, video or sound is for saving only.

use std::{ops::Range, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{
        Method, StatusCode,
        header::{self, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue, HeaderValue},
    },
    web::{Bytes, Data, Path},
};

use super::{
    Parts,
    error::{answer, not_found},
};
use crate::{
    clock,
    domain::{ids::AccountKey, inbound::InboundMediaKind},
    store::{
        StoreError,
        media::{MediaKey, MediaRow, MediaState},
    },
    telemetry,
};

/// Between two looks whether a copy is there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const FILENAME_CHARS_MAX: usize = 150;
/// Nothing may run, load or be framed.
const POLICY: &str = "default-src 'none'; media-src 'self'; img-src 'self'; frame-ancestors 'none'; sandbox";

/// Serves a file, or a range of it. While it is still being copied, it waits some seconds for it.
#[utoipa::path(
    get, path = "/media/{token}", tag = "platform", operation_id = "media",
    params(("token" = String, Path, description = "From the link in an inbound callback")),
    responses(
        (status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for", content_type = "application/octet-stream"),
        (status = 404, description = "No such file, or the link has ended", body = super::openapi::ErrorAnswer),
        (status = 410, description = "The file could not be had from the provider; says why", body = super::openapi::ErrorAnswer),
        (status = 416, description = "The file ends before that range"),
        (status = 503, description = "Still being copied: come again", body = super::openapi::ErrorAnswer),
    )
)]
pub async fn serve(request: HttpRequest, token: Path<String>, parts: Data<Parts>) -> HttpResponse {
    let Some((account, key)) = parts.media.links.read(&token, clock::now()) else {
        metrics::counter!(telemetry::MEDIA_REQUESTS, "result" => "unknown").increment(1);
        return not_found().await;
    };
    let (result, response) = match find(&parts, account, key).await {
        Ok(Some(row)) => match row.state {
            MediaState::Stored => serve_stored(&request, &parts, &row).await,
            MediaState::Pending => ("pending", come_again()),
            MediaState::Failed => ("failed", failed(&row)),
            MediaState::Deleting => ("unknown", not_found().await),
        },
        Ok(None) => ("unknown", not_found().await),
        Err(error) => {
            tracing::error!(error = %telemetry::Chain(&error), "could not look up a file");
            ("failed", answer(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be looked up; come again"))
        }
    };
    metrics::counter!(telemetry::MEDIA_REQUESTS, "result" => result).increment(1);
    response
}

/// The row of the file; one that is pending is waited for, unless many wait already.
async fn find(parts: &Parts, account: AccountKey, key: MediaKey) -> Result<Option<MediaRow>, StoreError> {
    let found = parts.store.media_named(account, key).await?;
    let is_pending = |row: &Option<MediaRow>| row.as_ref().is_some_and(|row| row.state == MediaState::Pending);
    let Some(_place) = is_pending(&found).then(|| parts.media.waiting.try_acquire().ok()).flatten() else {
        return Ok(found);
    };
    let until = clock::now().plus(parts.settings.media.wait);
    let mut found = found;
    while is_pending(&found) && clock::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        found = parts.store.media_named(account, key).await?;
    }
    Ok(found)
}

async fn serve_stored(request: &HttpRequest, parts: &Parts, row: &MediaRow) -> (&'static str, HttpResponse) {
    let size = u64::try_from(row.size_bytes.unwrap_or_default()).unwrap_or_default();
    let asked = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = match asked.map_or(Asked::Everything, |asked| read_range(asked, size)) {
        Asked::Everything => None,
        Asked::Range(range) => Some(range),
        Asked::Beyond => {
            let mut response = HttpResponse::RangeNotSatisfiable();
            return ("served", response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}"))).finish());
        }
    };
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    // Nothing need be read to say how much there is.
    if size == 0 || request.method() == Method::HEAD {
        let nothing = futures_util::stream::empty::<Result<Bytes, std::io::Error>>();
        return ("served", headers(row, range.as_ref(), size).body(SizedStream::new(length, nothing)));
    }
    match parts.media.files.read(row, range.clone()).await {
        Ok(Some(pieces)) => ("served", headers(row, range.as_ref(), size).body(SizedStream::new(length, pieces))),
        Ok(None) => ("pending", missing(parts, row).await),
        Err(error) => {
            tracing::error!(error = %telemetry::Chain(&error), media.id = row.id.0, "could not read a file");
            ("failed", answer(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read now; come again"))
        }
    }
}

/// It was stored and is not there: somebody deleted it. The provider may still have it.
async fn missing(parts: &Parts, row: &MediaRow) -> HttpResponse {
    tracing::error!(media.id = row.id.0, "a file that was stored is not there any more; it is fetched again");
    match parts.media.copy_again(row).await {
        Ok(true) => come_again(),
        Ok(false) => answer(StatusCode::GONE, "the file was stored, and is not there any more"),
        Err(error) => {
            tracing::error!(error = %telemetry::Chain(&error), "could not note that a file is missing");
            come_again()
        }
    }
}

fn headers(row: &MediaRow, range: Option<&Range<u64>>, size: u64) -> actix_web::HttpResponseBuilder {
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_TYPE, content_type(row)))
        .insert_header(disposition(row))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, max-age=3600"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if let Some(range) = range {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        response.insert_header((header::CONTENT_RANGE, text));
    }
    response
}

fn content_type(row: &MediaRow) -> HeaderValue {
    let named = row.mime_type.as_deref().filter(|named| named.contains('/'));
    let named = named.and_then(|named| HeaderValue::from_str(named).ok());
    named.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// What a page can show is shown; SVG is a program that looks like a picture.
fn disposition(row: &MediaRow) -> ContentDisposition {
    let shown = match row.kind {
        InboundMediaKind::Image
        | InboundMediaKind::Video
        | InboundMediaKind::Audio
        | InboundMediaKind::Voice
        | InboundMediaKind::Sticker => {
            let mime_type = row.mime_type.as_deref().unwrap_or_default().to_ascii_lowercase();
            let known = ["image/", "video/", "audio/"].iter().any(|beginning| mime_type.starts_with(beginning));
            known && !mime_type.contains("svg")
        }
        InboundMediaKind::Document => false,
    };
    let disposition = if shown { DispositionType::Inline } else { DispositionType::Attachment };
    let name = filename(row);
    let ascii = name.chars().map(|character| if character.is_ascii() { character } else { '_' }).collect();
    let mut parameters = vec![DispositionParam::Filename(ascii)];
    if !name.is_ascii() {
        let value = name.into_bytes();
        let extended = ExtendedValue { charset: Charset::Ext("UTF-8".to_owned()), language_tag: None, value };
        parameters.push(DispositionParam::FilenameExt(extended));
    }
    ContentDisposition { disposition, parameters }
}

/// The person's own name for it, without what means something to a file system.
fn filename(row: &MediaRow) -> String {
    let is_harmless = |character: &char| !character.is_control() && !r#"/\:*?"<>|%"#.contains(*character);
    let name: String = row.filename.iter().flat_map(|name| name.chars()).filter(is_harmless).collect();
    let name: String = name.trim_matches(['.', ' ']).chars().take(FILENAME_CHARS_MAX).collect();
    if name.is_empty() { row.kind.as_str().to_owned() } else { name }
}

fn come_again() -> HttpResponse {
    const SECONDS: &str = "5";
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "the file is still being copied; come again");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(SECONDS));
    response
}

fn failed(row: &MediaRow) -> HttpResponse {
    let why = row.reason.as_deref().unwrap_or("no reason was noted");
    answer(StatusCode::GONE, &format!("the file could not be copied from its provider: {why}"))
}

/// How much of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Everything,
    Range(Range<u64>),
    /// Nothing of it is there.
    Beyond,
}

/// One range of bytes. What is anything else (several ranges, other units, nonsense) may be answered with everything.
fn read_range(header: &str, size: u64) -> Asked {
    let Some((from, to)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Everything;
    };
    let range = match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => from..size.min(to.saturating_add(1)),
        (Ok(from), Err(_)) if to.trim().is_empty() => from..size,
        (Err(_), Ok(last)) if from.trim().is_empty() => size.saturating_sub(last)..size,
        (_, _) => return Asked::Everything,
    };
    if range.is_empty() { Asked::Beyond } else { Asked::Range(range) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{MessageId, SenderKey};

    fn row(kind: InboundMediaKind, mime_type: &str, filename: Option<&str>) -> MediaRow {
        MediaRow {
            id: MessageId(1),
            key: MediaKey([0; 16]),
            account: AccountKey(1),
            sender: SenderKey(1),
            provider_media_id: None,
            kind,
            mime_type: Some(mime_type.to_owned()),
            filename: filename.map(str::to_owned),
            state: MediaState::Stored,
            size_bytes: None,
            attempts: 0,
            due_at: None,
            reason: None,
            stored_at: None,
        }
    }

    #[test]
    fn one_range_is_understood_and_everything_else_is_the_whole_file() {
        assert_eq!(read_range("bytes=0-3", 10), Asked::Range(0..4));
        assert_eq!(read_range("bytes=4-", 10), Asked::Range(4..10));
        assert_eq!(read_range("bytes=-3", 10), Asked::Range(7..10));
        assert_eq!(read_range("bytes=-30", 10), Asked::Range(0..10));
        assert_eq!(read_range("bytes=2-99", 10), Asked::Range(2..10));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(read_range(beyond, 10), Asked::Beyond, "{beyond}");
        }
        for odd in ["", "bytes=", "bytes=a-b", "bytes=5-2", "lines=1-2", "bytes=0-1,3-4", "bytes=-", "bytes=--1"] {
            assert_eq!(read_range(odd, 10), Asked::Everything, "{odd}");
        }
    }

    #[test]
    fn only_pictures_videos_and_sounds_are_shown() {
        let shown = |kind, mime_type| disposition(&row(kind, mime_type, None)).is_inline();

        assert!(shown(InboundMediaKind::Image, "image/jpeg"));
        assert!(shown(InboundMediaKind::Voice, "audio/ogg; codecs=opus"));
        assert!(!shown(InboundMediaKind::Image, "image/svg+xml"));
        assert!(!shown(InboundMediaKind::Image, "text/html"));
        assert!(!shown(InboundMediaKind::Document, "image/jpeg"));
    }

    #[test]
    fn a_filename_is_harmless_whatever_a_person_called_it() {
        let named = |name| disposition(&row(InboundMediaKind::Document, "application/pdf", name)).to_string();

        assert_eq!(named(Some("bill.pdf")), r#"attachment; filename="bill.pdf""#);
        assert_eq!(named(Some("../../etc/passwd\r\nX: y")), r#"attachment; filename="etcpasswdX y""#);
        assert_eq!(named(None), r#"attachment; filename="document""#);
        assert!(named(Some("रसीद.pdf")).contains("filename*=UTF-8''"), "{}", named(Some("रसीद.pdf")));
    }
}
