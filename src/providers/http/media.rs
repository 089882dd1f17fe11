//! Fetching a file by the address that a webhook named. Nothing that proves who we are goes along: whoever can write webhooks
//! would learn it.

use crate::{
    net::{
        download::Opened,
        exchange::{Exchange, Method, OutgoingRequest},
    },
    providers::{FetchedMedia, MediaFailure, MediaFailureKind, MediaToFetch},
};

pub async fn fetch(via: &Exchange, wanted: &MediaToFetch<'_>) -> Result<FetchedMedia, MediaFailure> {
    let failure = |kind, wait, text| MediaFailure { kind, wait, text };
    let request = OutgoingRequest {
        method: Method::Get,
        url: wanted.provider_media_id,
        headers: vec![],
        body: None,
        timeout: wanted.timeout,
    };
    let opened = via.open(request, wanted.bytes_max).await;
    match opened.map_err(|no_answer| failure(MediaFailureKind::Later, None, no_answer.to_string()))? {
        Opened::File(download) => {
            Ok(FetchedMedia { mime_type: download.content_type.clone(), size_bytes: None, sha256: None, download })
        }
        Opened::Answer(answer) => {
            let passes = matches!(answer.status, 408 | 429 | 500..);
            let kind = if passes { MediaFailureKind::Later } else { MediaFailureKind::Refused };
            Err(failure(kind, answer.retry_after, format!("the file's address answered HTTP {}", answer.status)))
        }
    }
}
