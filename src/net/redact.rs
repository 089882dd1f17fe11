//! What must not reach a log or an attempt's note: secrets in URLs, tokens, people's numbers.
//!
//! Whoever knows a callback URL may post to it, so of a URL only scheme and host are shown. Texts of
//! other systems are quoted to people, because they say what is wrong; what looks like a secret or a
//! telephone number in them is masked, and masking too much is the better mistake.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

const MASK: &str = "…";

/// Scheme, host and port of a URL; the rest is masked.
pub fn url(text: &str) -> String {
    let Ok(url) = url::Url::parse(text) else { return MASK.to_owned() };
    let Some(host) = url.host_str() else { return MASK.to_owned() };
    match url.port() {
        Some(port) => format!("{}://{host}:{port}/{MASK}", url.scheme()),
        None => format!("{}://{host}/{MASK}", url.scheme()),
    }
}

/// The same of a URL in whose place `ours` should stand. When it is an address of the same kind, its path is what differs, and it is
/// shown as far as ours goes; what is behind that may be a secret, like any path of a stranger's.
pub fn url_beside(ours: &str, text: &str) -> String {
    let parsed = url::Url::parse(ours).ok().zip(url::Url::parse(text).ok());
    let Some((ours, it)) = parsed.filter(|(ours, it)| ours.origin() == it.origin()) else { return url(text) };
    let (own, its): (Vec<&str>, Vec<&str>) = (ours.path().split('/').collect(), it.path().split('/').collect());
    // Before the first slash there is nothing.
    if own.get(1) != its.get(1) {
        return url(text);
    }
    let shown = &its[..its.len().min(own.len())];
    let is_all = shown.len() == its.len() && it.query().is_none();
    format!("{}{}{}", it.origin().ascii_serialization(), shown.join("/"), if is_all { "" } else { "/…" })
}

/// A text of another system, with URLs, tokens and telephone numbers masked.
pub fn text(text: &str) -> String {
    let text = URL.replace_all(text, |found: &Captures<'_>| url(&found[0]));
    let text = mask(&CREDENTIALS, &text, "$1 …");
    let text = mask(&GRAPH_TOKEN, &text, MASK);
    PHONE_NUMBER.replace_all(&text, |found: &Captures<'_>| masked_digits(&found[0])).into_owned()
}

fn mask<'a>(pattern: &Regex, text: &'a str, with: &str) -> Cow<'a, str> {
    pattern.replace_all(text, with)
}

/// The first two and last two digits: enough to recognise a number that one knows.
fn masked_digits(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let shown = |part: &[char]| part.iter().collect::<String>();
    format!("{}{}{}", shown(&digits[..2]), "*".repeat(digits.len() - 4), shown(&digits[digits.len() - 2..]))
}

/// A scheme before a comma is language, and what follows it is not the URL's.
static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)\bhttps?://[^\s"'<>()\\,;.…][^\s"'<>()\\]*"#));

/// Twenty characters and more: shorter words after "Basic" or "OAuth" are language.
static CREDENTIALS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\b(bearer|basic|oauth|access_token)[ =:"]+[A-Za-z0-9._~+/|=-]{20,}"#));

/// Meta's access tokens begin alike.
static GRAPH_TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bEA[A-Z][A-Za-z0-9]{20,}"));

/// Eight digits or more in a row, or spaced as people write numbers when there is a `+` before them.
/// Meta's error codes have seven at most.
static PHONE_NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\+[0-9][0-9 ().-]{5,}[0-9]|[0-9]{8,}"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that the tests compile")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_url_only_scheme_host_and_port_are_shown() {
        assert_eq!(url("https://in1.example.com/callback/abc?token=1"), "https://in1.example.com/…");
        assert_eq!(url("http://user:word@localhost:8080/x"), "http://localhost:8080/…");
        assert_eq!(url("not a url"), "…");
    }

    #[test]
    fn beside_ours_the_path_of_a_url_is_shown_as_far_as_ours_goes() {
        let ours = "https://wa.example.com/webhooks/meta/main";
        for (other, shown) in [
            ("https://wa.example.com/webhooks/meta/old", "https://wa.example.com/webhooks/meta/old"),
            ("https://me:word@wa.example.com/webhooks/meta/old/secret", "https://wa.example.com/webhooks/meta/old/…"),
            ("https://wa.example.com/webhooks/meta?token=1", "https://wa.example.com/webhooks/meta/…"),
            ("https://wa.example.com/secret/meta/main", "https://wa.example.com/…"),
            ("https://wa.example.com:8443/webhooks/meta/main", "https://wa.example.com:8443/…"),
            ("https://other.example.com/webhooks/meta/main", "https://other.example.com/…"),
            ("not a url", "…"),
        ] {
            assert_eq!(url_beside(ours, other), shown);
        }
    }

    #[test]
    fn secrets_and_numbers_in_a_text_are_masked() {
        for (said, shown) in [
            ("see https://a.example/secret/path?x=1 for more", "see https://a.example/… for more"),
            ("Malformed access token EAAGm0PX4ZCpsBAKZCZAfFkeLmZB", "Malformed access token …"),
            ("sent Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "sent Authorization: Bearer …"),
            ("user 919876500001 is not there", "user 91********01 is not there"),
            ("call +91 98765-00001 instead", "call 91********01 instead"),
        ] {
            assert_eq!(text(said), shown);
        }
    }

    #[test]
    fn what_helps_the_operator_stays() {
        for said in [
            "(#131056) pair rate limit hit",
            "the URL begins with http://, which shows all; use https://, or for a trial http://… there",
            "subcode 2494055",
            "OAuth authentication failed",
            "tcp connect error: 127.0.0.1:54321: Connection refused",
        ] {
            assert_eq!(text(said), said);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_masked(said in "\\PC{0,200}") {
            text(&said);
            url(&said);
            url_beside("https://a.example/b", &said);
        }
    }
}
