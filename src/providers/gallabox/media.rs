//! Fetching a file that a person sent: the webhook says where it lies. The API key goes to hosts that the connection names,
//! and to no other; those are asked without it.

use url::Url;

use super::{
    answers::describe,
    settings::{NO_CREDENTIALS, credentials, media_hosts},
};
use crate::{
    domain::account::{Connection, Sender},
    net::{
        download::Opened,
        exchange::{Answer, Exchange, Method, OutgoingRequest},
    },
    providers::{FetchedMedia, MediaFailure, MediaFailureKind, MediaToFetch},
};

pub(super) async fn fetch(
    via: &Exchange,
    from: &Sender,
    wanted: &MediaToFetch<'_>,
) -> Result<FetchedMedia, MediaFailure> {
    let connection = &from.connection;
    let address = address(connection, wanted.provider_media_id)?;
    let headers = match may_see_the_key(connection, &address) {
        true => credentials(connection).ok_or_else(|| failure(MediaFailureKind::Later, NO_CREDENTIALS.to_owned()))?,
        false => vec![],
    };
    let timeout = wanted.timeout;
    let request = OutgoingRequest { method: Method::Get, url: address.as_str(), headers, body: None, timeout };
    let opened = via.open(request, wanted.bytes_max).await;
    match opened.map_err(|no_answer| failure(MediaFailureKind::Later, no_answer.to_string()))? {
        Opened::File(download) => {
            let mime_type = download.content_type.clone().filter(|mime_type| !mime_type.is_empty());
            Ok(FetchedMedia { mime_type, size_bytes: None, sha256: None, download })
        }
        Opened::Answer(answer) => Err(refused(&answer)),
    }
}

/// A whole address, or a path on Gallabox's own host.
fn address(connection: &Connection, written: &str) -> Result<Url, MediaFailure> {
    let parsed = Url::parse(written).or_else(|_| Url::parse(connection.setting("base_url"))?.join(written));
    let address =
        parsed.map_err(|error| failure(MediaFailureKind::Never, format!("the file has no address: {error}")))?;
    match address.scheme() {
        "https" | "http" => Ok(address),
        _ => Err(failure(MediaFailureKind::Never, "the file's address is no web address".to_owned())),
    }
}

fn may_see_the_key(connection: &Connection, address: &Url) -> bool {
    let own = Url::parse(connection.setting("base_url")).ok();
    let host = address.host_str().unwrap_or_default();
    let is_own = own.is_some_and(|own| own.origin() == address.origin());
    is_own || (address.scheme() == "https" && media_hosts(connection).any(|pattern| matches_host(pattern, host)))
}

/// A name, or `*.` and the end of one.
fn matches_host(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => host == pattern,
    }
}

fn refused(answer: &Answer) -> MediaFailure {
    let passes = matches!(answer.status, 401 | 403 | 408 | 429 | 500..);
    let kind = if passes { MediaFailureKind::Later } else { MediaFailureKind::Refused };
    let text = format!("the file's own address answered {}", describe(answer.status, &answer.body));
    MediaFailure { wait: answer.retry_after, ..failure(kind, text) }
}

fn failure(kind: MediaFailureKind, text: String) -> MediaFailure {
    MediaFailure { kind, wait: None, text }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::ids::ConnectionKey;
    use crate::domain::time::UnixMillis;

    #[test]
    fn the_key_is_shown_to_hosts_that_are_named_and_to_no_other() {
        let settings =
            [("base_url", "https://server.gallabox.com"), ("media_hosts", "*.gallabox.com files.example.com")];
        let connection = Connection {
            key: ConnectionKey(1),
            id: "gallabox-main".to_owned(),
            provider: "gallabox".to_owned(),
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            secrets: BTreeMap::new(),
            hold: None,
            changed_at: UnixMillis(0),
        };
        for (written, shown) in [
            ("https://server.gallabox.com/files/a.jpg", true),
            ("/files/a.jpg", true),
            ("https://cdn.gallabox.com/a.jpg", true),
            ("https://files.example.com/a.jpg", true),
            ("http://cdn.gallabox.com/a.jpg", false),
            ("https://gallabox.com.evil.example/a.jpg", false),
            ("https://evilgallabox.com/a.jpg", false),
            ("//elsewhere.example/a.jpg", false),
        ] {
            let address = address(&connection, written).expect("a web address");
            assert_eq!(may_see_the_key(&connection, &address), shown, "{written}");
        }
        assert!(address(&connection, "file:///etc/passwd").is_err());
    }
}
