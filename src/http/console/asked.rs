//! What the address of a page asks for, read in one way for all pages.
//!
//! A parameter that nobody knows, or that is not what it may be, is never passed over: a list that shows something else than its
//! address says would be believed. Fields that people fill in say it above the list, everything else on a page of its own.

use std::{future::Ready, ops::Deref, str::FromStr};

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, http::StatusCode};
use chrono::NaiveDateTime;
use serde::{Deserialize, de::DeserializeOwned};
use url::form_urlencoded;

use super::{Trouble, frame::sentence};
use crate::{
    domain::{
        ids::{AccountKey, SenderKey},
        time::UnixMillis,
    },
    http::query,
    services::{directory::Snapshot, operators::Refusal},
};

pub(super) use crate::http::query::Wrong;

/// The parameters of a page.
pub(super) struct Query<T>(T);

/// What the frame of any page reads.
const DONE_WORD: &str = "done";

/// Of a page that has none.
pub(super) type NoQuery = Query<Nothing>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T> Query<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = query::read(request.query_string(), &[DONE_WORD]).map(Self);
        std::future::ready(read.map_err(|wrong| Trouble::from(wrong).into()))
    }
}

impl From<Wrong> for Trouble {
    fn from(wrong: Wrong) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "This address asks for something that there is not", wrong.said())
    }
}

/// Where a service is asked in one go.
impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        Self::Invalid { field: "query", text: wrong.to_string() }
    }
}

impl Wrong {
    /// As a sentence of a page.
    pub(super) fn said(&self) -> String {
        sentence(&self.to_string())
    }
}

/// A text without the spaces around it; `None` when nothing is left.
pub(super) fn some(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// One of those that a select offers; `None` for any.
pub(super) fn one_of<'a, T: Copy>(
    name: &str,
    text: &str,
    known: &[T],
    word: impl Fn(T) -> &'a str,
) -> Result<Option<T>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = known.iter().copied().find(|one| word(*one) == text);
    let words = || known.iter().map(|one| word(*one)).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| Wrong::of(name, format!("“{text}” is none of {}", words())))
}

/// A number, or what else is written in one way only; `like` shows it.
pub(super) fn read<T: FromStr>(name: &str, text: &str, like: &str) -> Result<Option<T>, Wrong> {
    let Some(text) = some(text) else { return Ok(None) };
    let wrong = |_| Wrong::of(name, format!("“{text}” cannot be read: it is {like}"));
    text.parse().map(Some).map_err(wrong)
}

/// A time as a browser's field has it, with or without seconds.
pub(super) fn time(name: &str, text: &str) -> Result<Option<UnixMillis>, Wrong> {
    let Some(text) = some(text) else { return Ok(None) };
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f"];
    let read = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok());
    let wrong = || Wrong::of(name, format!("“{text}” is no time: write it like 2026-11-21T09:30"));
    Ok(Some(UnixMillis(read.ok_or_else(wrong)?.and_utc().timestamp_millis())))
}

/// A time as [`time`] reads it, no more exact than it is.
pub(super) fn as_entered(at: UnixMillis) -> String {
    let format = match at.0 {
        whole if whole % 60_000 == 0 => "%Y-%m-%dT%H:%M",
        whole if whole % 1_000 == 0 => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.3f",
    };
    let time = chrono::DateTime::from_timestamp_millis(at.0);
    time.map_or_else(String::new, |time| time.format(format).to_string())
}

/// From when until when, either of which may be open.
pub(super) type Span = (Option<UnixMillis>, Option<UnixMillis>);

/// The parameters `since` and `until`.
pub(super) fn span(since: &str, until: &str) -> Result<Span, Wrong> {
    let (since, until) = (time("since", since)?, time("until", until)?);
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Wrong::of("until", "the time ends before it begins: change From or Before"));
    }
    Ok((since, until))
}

/// The parameter `account`; `None` for all.
pub(super) fn account(snapshot: &Snapshot, id: &str) -> Result<Option<AccountKey>, Wrong> {
    if id.is_empty() {
        return Ok(None);
    }
    let known = snapshot.account_ever(id).map(|account| account.key);
    known.map(Some).ok_or_else(|| Wrong::of("account", format!("there is no account {id}: choose one of the list")))
}

/// The parameter `number`, a number of ours; `None` for all.
pub(super) fn sender(snapshot: &Snapshot, number: &str) -> Result<Option<SenderKey>, Wrong> {
    if number.is_empty() {
        return Ok(None);
    }
    let known = snapshot.sender_ever(number).map(|sender| sender.key);
    let wrong = || Wrong::of("number", format!("there is no business number {number}: choose one of the list"));
    known.map(Some).ok_or_else(wrong)
}

/// The address of a page with these parameters, but for those that are empty.
pub(super) fn address<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let start = format!("{path}?");
    let after = start.len();
    let mut query = form_urlencoded::Serializer::for_suffix(start, after);
    query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}

/// A part of a path, of which nobody knows what signs it has.
pub(super) fn piece(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_write_them() {
        let read = |text| time("since", text).map(|at| at.map(|at| at.to_string()));
        assert_eq!(read("2026-11-21T09:30"), Ok(Some("2026-11-21T09:30:00.000Z".to_owned())));
        assert_eq!(read("2026-11-21T09:30:07"), Ok(Some("2026-11-21T09:30:07.000Z".to_owned())));
        assert_eq!(read(" "), Ok(None));
        assert!(read("yesterday").is_err());
        for text in ["2026-11-21T09:30", "2026-11-21T09:30:07", "2026-11-21T09:30:07.123"] {
            let at = time("since", text).ok().flatten().expect("a time");
            assert_eq!(as_entered(at), text);
        }
    }

    #[test]
    fn what_is_wrong_names_its_parameter_and_says_what_it_may_be() {
        let word = |yes| if yes { "open" } else { "closed" };
        assert_eq!(one_of("state", "open", &[false, true], word), Ok(Some(true)));
        assert_eq!(one_of("state", "", &[false, true], word), Ok(None));
        let wrong = one_of("state", "nope", &[false, true], word).map_err(|wrong| wrong.said());
        assert_eq!(wrong, Err("State: “nope” is none of closed, open.".to_owned()));
        let wrong = read::<i64>("before", "zzz", "a number").map_err(|wrong| wrong.said());
        assert_eq!(wrong, Err("Before: “zzz” cannot be read: it is a number.".to_owned()));
        let (early, late) = ("2026-11-21T09:30", "2026-11-21T09:31");
        assert!(span(early, late).is_ok() && span(late, early).is_err());
    }

    #[test]
    fn an_address_has_what_is_not_empty() {
        let at = address("/console/messages", [("q", "+91 98765"), ("account", ""), ("before", "msg_1")]);
        assert_eq!(at, "/console/messages?q=%2B91+98765&before=msg_1");
    }
}
