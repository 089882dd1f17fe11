//! Fetching a file that a person sent, in two steps: the API is asked where it lies, and says it for five minutes; there it
//! is fetched with the access token. The token goes to hosts that the operator named, and to no other, whatever a
//! URL says.

use std::time::{Duration, Instant};

use url::Url;

use super::{
    errors,
    media::{MediaInfo, read_info},
    reach::Reach,
};
use crate::{
    net::{
        download::Opened,
        exchange::{Answer, Exchange, NoAnswer, OutgoingRequest},
    },
    providers::{FetchedMedia, MediaFailure, MediaFailureKind, MediaToFetch},
};

/// Asking where a file lies. A link that is not there any more is asked for once again.
const ASKED_MAX: usize = 2;

/// Begins to fetch the file.
pub(in crate::providers) async fn fetch(
    via: &Exchange,
    reach: &Reach,
    number_id: &str,
    wanted: &MediaToFetch<'_>,
) -> Result<FetchedMedia, MediaFailure> {
    let until = Instant::now() + wanted.timeout;
    let left = || until.saturating_duration_since(Instant::now());
    let mut asked = 0;
    loop {
        asked += 1;
        let info = ask(via, reach, number_id, wanted).await?;
        if let Some(size_bytes) = info.size_bytes.filter(|size_bytes| *size_bytes > wanted.bytes_max) {
            let text = format!("the file has {size_bytes} bytes, and {} are allowed", wanted.bytes_max);
            return Err(failure(MediaFailureKind::Never, None, text));
        }
        let url = if reach.rewrites_media_host { rewritten(reach, &info.url)? } else { info.url.clone() };
        check_host(reach, &url, wanted.token_hosts)?;
        match open(via, reach, &url, wanted.bytes_max, left()).await? {
            Opened::File(download) => {
                let MediaInfo { mime_type, sha256, size_bytes, .. } = info;
                return Ok(FetchedMedia { mime_type, sha256, size_bytes, download });
            }
            // Its five minutes may be over.
            Opened::Answer(Answer { status: 404, .. }) if asked < ASKED_MAX => {}
            Opened::Answer(answer) => return Err(refused(&answer, "the file's own address")),
        }
    }
}

/// Where the file lies.
async fn ask(
    via: &Exchange,
    reach: &Reach,
    number_id: &str,
    wanted: &MediaToFetch<'_>,
) -> Result<MediaInfo, MediaFailure> {
    let mut url = Url::parse(&reach.root)
        .map_err(|error| failure(MediaFailureKind::Refused, None, format!("base_url cannot be used: {error}")))?;
    // The id comes from a webhook: as a segment it cannot lead elsewhere.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(wanted.provider_media_id);
    }
    if reach.names_number {
        url.query_pairs_mut().append_pair("phone_number_id", number_id);
    }
    let exchanged = via.send(request(reach, url.as_str(), via.request_timeout())?).await;
    let answer = exchanged.result.map_err(unanswered)?;
    if answer.status != 200 {
        return Err(refused(&answer, reach.name));
    }
    read_info(&answer.body).map_err(|reason| {
        let text = format!("what {} said of the file cannot be read: {reason}", reach.name);
        failure(MediaFailureKind::Refused, None, text)
    })
}

async fn open(
    via: &Exchange,
    reach: &Reach,
    url: &str,
    bytes_max: u64,
    timeout: Duration,
) -> Result<Opened, MediaFailure> {
    via.open(request(reach, url, timeout)?, bytes_max).await.map_err(unanswered)
}

fn request<'a>(reach: &Reach, url: &'a str, timeout: Duration) -> Result<OutgoingRequest<'a>, MediaFailure> {
    reach.get(url, timeout).map_err(|text| failure(MediaFailureKind::Later, None, text))
}

/// The same path at the carrier's own host, whose key Meta would not take.
fn rewritten(reach: &Reach, url: &str) -> Result<String, MediaFailure> {
    let unusable = |what: &str| failure(MediaFailureKind::Refused, None, format!("{what} cannot be used"));
    let there = Url::parse(url).map_err(|_| unusable("the file's address"))?;
    let mut own = Url::parse(&reach.base_url).map_err(|_| unusable("base_url"))?;
    own.set_path(there.path());
    own.set_query(there.query());
    Ok(own.into())
}

/// May this address be shown the token? It is the connection's own, or one of those that are named.
fn check_host(reach: &Reach, url: &str, named: &[String]) -> Result<(), MediaFailure> {
    let address = Url::parse(url).ok();
    let own = Url::parse(&reach.base_url).ok();
    let host = address.as_ref().and_then(Url::host_str).unwrap_or_default();
    let is_own = address.as_ref().zip(own.as_ref()).is_some_and(|(address, own)| address.origin() == own.origin());
    let is_named = address.as_ref().is_some_and(|address| address.scheme() == "https")
        && named.iter().any(|pattern| matches_host(pattern, host));
    if is_own || is_named {
        return Ok(());
    }
    let text = format!(
        "{} says that the file lies at {host:?}, which is not among media.hosts: add it if it is Meta's",
        reach.name
    );
    Err(failure(MediaFailureKind::Refused, None, text))
}

/// A name, or `*.` and the end of one.
fn matches_host(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match pattern.to_ascii_lowercase().strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => host == pattern.to_ascii_lowercase(),
    }
}

/// Trouble with the token or the server passes; that the file is not there may be a lie, but not for ever.
fn refused(answer: &Answer, who: &str) -> MediaFailure {
    const TOKEN_CODES: [i64; 4] = [0, 3, 10, 190];
    const THROTTLED_CODES: [i64; 3] = [4, 80007, 130429];
    let (code, text) = errors::describe(answer.status, &answer.body);
    let passes = matches!(answer.status, 401 | 403 | 408 | 429 | 500..)
        || code.is_some_and(|code| TOKEN_CODES.contains(&code) || THROTTLED_CODES.contains(&code));
    let kind = if passes { MediaFailureKind::Later } else { MediaFailureKind::Refused };
    failure(kind, answer.retry_after, format!("{who} answered {text}"))
}

fn unanswered(no_answer: NoAnswer) -> MediaFailure {
    failure(MediaFailureKind::Later, None, no_answer.to_string())
}

fn failure(kind: MediaFailureKind, wait: Option<Duration>, text: String) -> MediaFailure {
    MediaFailure { kind, wait, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fetched_at_the_carriers_own_host_under_metas_path() {
        let reach = Reach {
            name: "the carrier",
            base_url: "https://waba.example.com".to_owned(),
            root: "https://waba.example.com".to_owned(),
            authorization: None,
            secret_name: "api_key",
            rewrites_media_host: true,
            names_number: false,
        };
        let url = rewritten(&reach, "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2");
        let url = url.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(url, "https://waba.example.com/whatsapp_business/attachments/?mid=1&ext=2");
        assert!(check_host(&reach, &url, &[]).is_ok(), "it is its own");
        assert!(check_host(&reach, "https://lookaside.fbsbx.com/x", &[]).is_err());
    }

    #[test]
    fn only_hosts_that_are_named_match() {
        for (pattern, host) in [
            ("lookaside.fbsbx.com", "lookaside.fbsbx.com"),
            ("lookaside.fbsbx.com", "LOOKASIDE.fbsbx.com"),
            ("*.whatsapp.net", "mmg.whatsapp.net"),
            ("*.whatsapp.net", "a.b.whatsapp.net"),
        ] {
            assert!(matches_host(pattern, host), "{host}");
        }
        for (pattern, host) in [
            ("lookaside.fbsbx.com", "lookaside.fbsbx.com.evil.example"),
            ("lookaside.fbsbx.com", "fbsbx.com"),
            ("*.whatsapp.net", "whatsapp.net"),
            ("*.whatsapp.net", ".whatsapp.net"),
            ("*.whatsapp.net", "evilwhatsapp.net"),
            ("*.whatsapp.net", ""),
        ] {
            assert!(!matches_host(pattern, host), "{host}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_soon_given_up_and_trouble_with_the_token_is_not() {
        let kind = |status, body: &'static str| {
            let answer = Answer {
                status,
                retry_after: None,
                date: None,
                headers: Default::default(),
                body: body.into(),
                cut: false,
            };
            refused(&answer, "Graph").kind
        };
        let gone = r#"{"error":{"message":"Unsupported get request.","code":100,"error_subcode":33}}"#;
        let token = r#"{"error":{"message":"Error validating access token","code":190}}"#;

        assert_eq!(kind(404, ""), MediaFailureKind::Refused);
        assert_eq!(kind(400, gone), MediaFailureKind::Refused);
        assert_eq!(kind(400, token), MediaFailureKind::Later);
        assert_eq!(kind(401, ""), MediaFailureKind::Later);
        assert_eq!(kind(503, "<html>"), MediaFailureKind::Later);
    }
}
