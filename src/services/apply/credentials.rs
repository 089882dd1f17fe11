//! The part of an account by which a platform shows who it is. Pure.

use std::collections::BTreeMap;

use chrono::DateTime;
use secrecy::SecretString;

use super::{
    reading::Section,
    values::{ROTATION_MAX, limited, not_empty, secret},
};
use crate::domain::{
    account::{Credentials, OldPasscodes},
    time::UnixMillis,
};

const HEADERS_MAX: usize = 20;
/// A secret part of a URL that is shorter can be guessed.
const URL_TOKEN_CHARS_MIN: usize = 16;
const URL_TOKEN_CHARS_MAX: usize = 128;

pub(super) fn parse_credentials(section: &mut Section<'_>, platform: &str) -> Credentials {
    let passcode_key = format!("{platform}_passcode");
    let passcodes = limited(section, &passcode_key, ROTATION_MAX).unwrap_or_default();
    let account_id_key = format!("{platform}_account_id");
    if section.has(&passcode_key) && !section.has(&account_id_key) {
        section.problem(
            section.offset,
            &account_id_key,
            format!("is missing: {passcode_key} is accepted only together with it"),
        );
    }
    let credentials = Credentials {
        passcodes: passcodes.into_iter().filter_map(|text| not_empty(section, &passcode_key, text)).collect(),
        old_passcodes: parse_old_passcodes(section, platform),
        basic: parse_basic(section),
        bearer_token: secret(section, "bearer_token"),
        url_token: section.checked("url_token", url_token),
        headers: section.table("headers").map(parse_headers).unwrap_or_default(),
        api_passcode: secret(section, &format!("{platform}_api_passcode")),
    };
    let keys = [passcode_key.as_str(), "basic_username", "bearer_token", "url_token", "headers"];
    if !keys.iter().any(|key| section.has(key)) {
        section.problem(
            section.offset,
            &passcode_key,
            format!(
                "is missing, and so is every other credential, so nobody could send: give one of {}",
                keys.join(", ")
            ),
        );
    }
    credentials
}

/// Those before the last change, and until when they are taken.
fn parse_old_passcodes(section: &mut Section<'_>, platform: &str) -> Option<OldPasscodes> {
    let key = format!("{platform}_old_passcode");
    let until_key = format!("{key}_until");
    if section.has(&key) {
        section.require(&until_key, "say until when the old passcode is taken, like 2026-12-01T00:00:00Z");
    }
    let texts = limited(section, &key, ROTATION_MAX)?;
    let until = section.checked(&until_key, |text| {
        let moment = DateTime::parse_from_rfc3339(text);
        let moment = moment.map_err(|_| "must be a time with its zone, like 2026-12-01T00:00:00Z".to_owned())?;
        Ok(UnixMillis(moment.timestamp_millis()))
    });
    let passcodes: Vec<_> = texts.into_iter().filter_map(|text| not_empty(section, &key, text)).collect();
    until.filter(|_| !passcodes.is_empty()).map(|until| OldPasscodes { passcodes, until })
}

fn parse_basic(section: &mut Section<'_>) -> Option<(String, SecretString)> {
    let pair = ["basic_username", "basic_password"];
    for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
        if section.has(one) {
            section.require(other, &format!("it goes with {one}"));
        }
    }
    let username = section.checked(pair[0], |name| match name {
        "" => Err("is empty: fill it in, or leave it out".to_owned()),
        name if name.contains(':') => Err("must not contain a colon, which ends it on the wire".to_owned()),
        name => Ok(name.to_owned()),
    });
    let password = secret(section, pair[1]);
    Some((username?, password?))
}

fn parse_headers(mut section: Section<'_>) -> BTreeMap<String, SecretString> {
    let texts = section.free_texts();
    if texts.is_empty() || texts.len() > HEADERS_MAX {
        section.problem(section.offset, "*", format!("must be 1 to {HEADERS_MAX} headers, each a name and its value"));
    }
    let mut headers = BTreeMap::new();
    for (name, text) in texts {
        let Some(text) = text else { continue };
        let lower_case = name.to_ascii_lowercase();
        if !is_header_name(&name) {
            section.problem(text.offset, &name, "is not the name of an HTTP header: use letters, digits and -");
        } else if let Some(value) = not_empty(&section, &name, text.clone())
            && headers.insert(lower_case, value).is_some()
        {
            section.problem(text.offset, &name, "stands here twice, in another spelling: remove one");
        }
    }
    headers
}

fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn url_token(text: &str) -> Result<SecretString, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (URL_TOKEN_CHARS_MIN..=URL_TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.into())
    } else {
        Err(format!(
            "must be {URL_TOKEN_CHARS_MIN} to {URL_TOKEN_CHARS_MAX} characters of A-Z, a-z, 0-9, - and _ that nobody can \
             guess: use the output of `openssl rand -hex 24`"
        ))
    }
}
