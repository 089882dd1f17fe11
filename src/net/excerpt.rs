//! How an answer is kept for people who look for what went wrong: its headers and the beginning of its body, without what may be
//! secret, and never more than a row of the log can carry.

use reqwest::header::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};

use super::redact;
use crate::domain::attempt::AnswerExcerpt;

/// So many headers are kept, …
const HEADERS_MAX: usize = 16;
/// … of a name and of a value so many characters each, …
const HEADER_CHARS_MAX: usize = 100;
/// … and of the body so many.
const BODY_CHARS_MAX: usize = 500;
/// Secrets are looked for in so much of a text, and it is cut to its limit only then: a cut one would not be known.
const LOOKED_THROUGH: usize = 4;

const MASK: &str = "…";

/// Of a header whose name has one of these, only the name is told.
const SECRET_WORDS: &[&str] = &["auth", "cookie", "csrf", "key", "password", "secret", "session", "signature", "token"];
/// These have one of the words, and say how to log in, not with what.
const CHALLENGES: &[&str] = &["www-authenticate", "proxy-authenticate"];

/// A shorter secret stands in too many texts that have nothing to do with it.
const SECRET_CHARS_MIN: usize = 6;

/// `secrets` are what the request showed: some receivers answer with all that they got.
pub(super) fn excerpt(headers: &HeaderMap, body: &[u8], secrets: &[SecretString]) -> AnswerExcerpt {
    let value = |name: &HeaderName, value: &[u8]| -> String {
        let name = name.as_str();
        if SECRET_WORDS.iter().any(|word| name.contains(word)) && !CHALLENGES.contains(&name) {
            return MASK.to_owned();
        }
        let text = beginning(value, HEADER_CHARS_MAX, secrets);
        // A path may be what nobody should know.
        if name.ends_with("location") { redact::url(&text) } else { text }
    };
    let headers = headers.iter().take(HEADERS_MAX);
    let headers = headers.map(|(name, text)| (cut(name.as_str(), HEADER_CHARS_MAX), value(name, text.as_bytes())));
    AnswerExcerpt { headers: headers.collect(), body: beginning(body, BODY_CHARS_MAX, secrets) }
}

/// At most so many characters.
pub(super) fn beginning(text: &[u8], chars_max: usize, secrets: &[SecretString]) -> String {
    let looked_through = &text[..text.len().min(chars_max * LOOKED_THROUGH)];
    let text = without(String::from_utf8_lossy(looked_through).trim().to_owned(), secrets);
    cut(&redact::text(&text), chars_max)
}

/// The same for those who may see what people are written: only secrets are blanked. What is cut ends with `…`.
pub fn word_for_word<'a>(text: &[u8], bytes_max: usize, secrets: impl IntoIterator<Item = &'a SecretString>) -> String {
    let looked_through = &text[..text.len().min(bytes_max * LOOKED_THROUGH)];
    let mut kept = without(String::from_utf8_lossy(looked_through).into_owned(), secrets);
    if kept.len() > bytes_max {
        kept.truncate(kept.floor_char_boundary(bytes_max));
        kept.push_str(MASK);
    }
    // A text of PostgreSQL has no zero in it.
    kept.replace('\0', "\u{fffd}")
}

fn without<'a>(mut text: String, secrets: impl IntoIterator<Item = &'a SecretString>) -> String {
    for secret in secrets.into_iter().map(ExposeSecret::expose_secret) {
        // A token is as secret without the word before it.
        let token = secret.split_once(' ').map_or(secret, |(_, token)| token);
        for secret in [secret, token].into_iter().filter(|secret| secret.len() >= SECRET_CHARS_MIN) {
            if text.contains(secret) {
                text = text.replace(secret, MASK);
            }
        }
    }
    text
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn answered(headers: &[(&'static str, &str)], body: &str, secrets: &[&str]) -> AnswerExcerpt {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let secrets: Vec<SecretString> = secrets.iter().copied().map(SecretString::from).collect();
        excerpt(&map, body.as_bytes(), &secrets)
    }

    #[test]
    fn what_helps_stays_and_what_may_be_secret_is_blanked() {
        for (name, said, kept) in [
            ("server", "nginx/1.27", "nginx/1.27"),
            ("content-type", "application/json", "application/json"),
            ("www-authenticate", "Bearer error=\"invalid_token\"", "Bearer error=\"invalid_token\""),
            ("set-cookie", "sid=1", "…"),
            ("x-session-id", "1", "…"),
            ("authorization", "Basic YTpi", "…"),
            ("x-api-key", "1", "…"),
            ("x-gallabox-signature", "1", "…"),
            ("location", "https://inner.example/secret/path", "https://inner.example/…"),
            ("location", "/secret/path", "…"),
            ("x-for", "+919876500001", "91********01"),
            ("x-echo", "it said header-secret to me", "it said … to me"),
        ] {
            let excerpt = answered(&[(name, said)], "", &["header-secret", "to"]);
            assert_eq!(excerpt.headers, [(name.to_owned(), kept.to_owned())]);
        }
        let body = " you are header-secret with {\"token\": \"short-token\"}, 919876500001\n";
        let kept = answered(&[], body, &["header-secret", "Bearer short-token"]).body;
        assert_eq!(kept, "you are … with {\"token\": \"…\"}, 91********01");
    }

    #[test]
    fn it_is_never_longer_than_its_limits() {
        let many: Vec<(&'static str, &str)> = vec![("x-many", "ö"); 3 * HEADERS_MAX];
        let long = "é".repeat(100_000);
        let excerpt = answered(&many, &long, &[]);
        assert_eq!((excerpt.headers.len(), excerpt.body.chars().count()), (HEADERS_MAX, BODY_CHARS_MAX));
        let excerpt = answered(&[("x-long", &"a".repeat(10_000))], "", &[]);
        assert_eq!(excerpt.headers[0].1.len(), HEADER_CHARS_MAX);
    }

    #[test]
    fn a_secret_at_the_cut_is_found_all_the_same() {
        let body = format!("{}header-secret", "a".repeat(BODY_CHARS_MAX - 3));
        let kept = answered(&[], &body, &["header-secret"]).body;
        assert!(kept.ends_with("a…") && !kept.contains("hea"), "{kept}");
    }

    #[test]
    fn word_for_word_only_secrets_and_what_is_too_long_are_missing() {
        let secrets = [SecretString::from("header-secret")];
        let kept = |text: &str, bytes_max| word_for_word(text.as_bytes(), bytes_max, &secrets);

        assert_eq!(kept("{\"to\": \"919876500001\"}", 100), "{\"to\": \"919876500001\"}");
        assert_eq!(kept("it was header-secret", 100), "it was …");
        assert_eq!(kept("abcdé", 5), "abcd…", "no half letters");
        assert_eq!(kept("a\0b", 5), "a\u{fffd}b", "PostgreSQL takes no zero");
        assert!(!kept(&format!("{}header-secret", "a".repeat(95)), 100).contains("hea"), "a cut secret is one, too");
    }
}
