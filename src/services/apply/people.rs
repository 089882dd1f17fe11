//! The parts of an account that are about people who want to be left in peace: for some hours, or for good. Pure.

use super::{
    parse::Surroundings,
    reading::{Section, Text},
    values::web_url,
};
use crate::domain::{
    account::{AccountPolicy, Credentials, SubscribeSync},
    quiet::{QuietCategory, QuietHours},
};

pub(super) fn parse_quiet_hours(mut section: Section<'_>) -> Option<QuietHours> {
    for key in ["from", "to"] {
        section.require(key, "give a time of day in the account's time_zone, like 21:00");
    }
    let mut time = |key| section.checked(key, |text| text.parse().map_err(|error| format!("{error}")));
    let (from, to) = (time("from"), time("to"));
    if from.is_some() && from == to {
        section.problem(section.offset, "to", "is the same as from: give another time, or leave out quiet_hours");
    }
    let categories = match section.has("categories") {
        true => quiet_categories(&mut section),
        false => Some(vec![QuietCategory::Marketing]),
    };
    section.finish();
    Some(QuietHours { from: from?, to: to?, categories: categories? })
}

fn quiet_categories(section: &mut Section<'_>) -> Option<Vec<QuietCategory>> {
    let texts = section.list("categories")?;
    if texts.is_empty() {
        section.problem(section.offset, "categories", "is empty: name marketing, utility or both");
        return None;
    }
    let read = |text: Text| match text.value.as_str() {
        "marketing" => Some(QuietCategory::Marketing),
        "utility" => Some(QuietCategory::Utility),
        _ => {
            section.problem(text.offset, "categories", "must be marketing or utility: other messages cannot wait");
            None
        }
    };
    texts.into_iter().map(read).collect()
}

pub(super) fn parse_subscribe_sync(mut section: Section<'_>, surroundings: &Surroundings<'_>) -> SubscribeSync {
    let defaults = SubscribeSync::default();
    let path = section.checked("path", |text| match text.starts_with('/') && !text.contains(['?', '#', ' ']) {
        true => Ok(text.to_owned()),
        false => Err("must be a path that begins with /, like /1/subscribe".to_owned()),
    });
    let sync = SubscribeSync {
        // Who writes the section wants it.
        enabled: section.boolean("enabled").unwrap_or(true),
        path: path.unwrap_or(defaults.path),
        kind: section.text("type").map_or(defaults.kind, |text| text.value),
        base_url: section.checked("base_url", |text| Ok(web_url(text, surroundings)?.trim_end_matches('/').to_owned())),
    };
    section.finish();
    sync
}

/// The platform's own list wants to know who speaks.
pub(super) fn check_subscribe_sync(
    section: &Section<'_>,
    platform: &str,
    policy: &AccountPolicy,
    credentials: &Credentials,
) {
    let has_passcode = credentials.api_passcode.is_some() || !credentials.passcodes.is_empty();
    if policy.subscribe_sync.enabled && (policy.platform_account_id.is_empty() || !has_passcode) {
        let needs =
            format!("needs {platform}_account_id, and {platform}_api_passcode or {platform}_passcode: add them");
        section.problem(section.offset, "subscribe_sync", needs);
    }
}
