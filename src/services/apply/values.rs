//! Values that several sections of the apply file have: names, numbers, URLs, words, secrets. Pure.

use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::{
    parse::Surroundings,
    reading::{Section, Text},
};
use crate::{
    domain::{phone::PhoneNumber, web_url::read_web_url},
    net::guard::check_literal,
};

/// Secrets of one kind that are valid at the same time.
pub(super) const ROTATION_MAX: usize = 5;
const SLUG_CHARS_MAX: usize = 64;

pub(super) fn slug(section: &mut Section<'_>, key: &str) -> Option<String> {
    section.require(key, "choose a name of a-z, 0-9 and -; it appears in URLs and must not change");
    section.checked(key, is_slug)
}

pub(super) fn is_slug(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=SLUG_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {SLUG_CHARS_MAX} characters of a-z, 0-9 and -"))
    }
}

pub(super) fn number(text: &str) -> Result<PhoneNumber, String> {
    let like = "like +919876500001";
    if !text.starts_with('+') {
        return Err(format!("must begin with + and the country code, {like}"));
    }
    let number = PhoneNumber::from_international(text)
        .ok_or_else(|| format!("must be + and 5 to 15 digits with the country code, {like}"))?;
    // What a person may type is read generously; what is written down once must be the number itself.
    match PhoneNumber::parse(text, None) {
        Ok(possible) if possible == number => Ok(number),
        Ok(_) | Err(_) => Err(format!("is no number that its country has: check its digits, {like}")),
    }
}

pub(super) fn not_blank(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty: fill it in, or leave it out".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn web_url<'a>(text: &'a str, surroundings: &Surroundings<'_>) -> Result<&'a str, String> {
    let url = read_web_url(text, surroundings.allowed.private_networks)?;
    // Behind a name they are refused when it is resolved.
    check_literal(&url, true).map_err(|forbidden| forbidden.to_string())?;
    Ok(text)
}

/// One of a few words, those that serde knows for the type.
pub(super) fn word<T: DeserializeOwned>(section: &mut Section<'_>, key: &str, words: &str) -> Option<T> {
    section.checked(key, |text| {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| format!("must be {words}"))
    })
}

pub(super) fn secret(section: &mut Section<'_>, key: &str) -> Option<SecretString> {
    let text = section.text(key)?;
    not_empty(section, key, text)
}

pub(super) fn not_empty(section: &Section<'_>, key: &str, text: Text) -> Option<SecretString> {
    match as_copied(&text.value) {
        Ok(()) => Some(text.value.into()),
        Err(message) => {
            section.problem(text.offset, key, message);
            None
        }
    }
}

/// A secret with a space around it is one that was not copied well, and is refused by everybody later.
pub(super) fn as_copied(secret: &str) -> Result<(), String> {
    if secret.is_empty() {
        return Err("is empty: fill it in, or leave it out".to_owned());
    }
    if secret.trim() != secret || secret.contains(char::is_control) {
        return Err("begins or ends with a space, or has a line break in it: copy it again".to_owned());
    }
    Ok(())
}

pub(super) fn limited(section: &mut Section<'_>, key: &str, most: usize) -> Option<Vec<Text>> {
    let texts = section.texts(key)?;
    if let Some(first) = texts.first()
        && texts.len() > most
    {
        section.problem(
            first.offset,
            key,
            format!("has {} values, and at most {most} can be valid at once", texts.len()),
        );
        return None;
    }
    Some(texts)
}
