//! Accounts in the apply file: what a customer wants to happen. Pure.

use std::{collections::BTreeMap, time::Duration};

use humantime_serde::re::humantime;

use super::{
    ApplyFile, Stated,
    credentials::parse_credentials,
    parse::{Surroundings, only},
    people::{check_subscribe_sync, parse_quiet_hours, parse_subscribe_sync},
    reading::{Section, Text},
    senders::{Callbacks, MESSAGES_PER_SECOND_MAX, callback_urls, parse_sender},
    values::{is_slug, number, slug, word},
};
use crate::{
    domain::{
        account::{AccountPolicy, ExpireAfter},
        duration::written,
        network::Network,
        words::lasting,
    },
    store::configuration::AccountRecord,
};

/// A message that may wait for longer is not worth keeping.
const EXPIRE_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What CleverTap is still to be told of a message is found by it.
const KEEP_FOR_MIN: Duration = DAY;

/// More than that is no change of a few templates but another list.
const ALIASES_MAX: usize = 100;
const TEMPLATE_NAME_CHARS_MAX: usize = 512;

pub(super) fn parse_account(mut section: Section<'_>, surroundings: &Surroundings<'_>, file: &mut ApplyFile) {
    let line = section.line();
    let id = slug(&mut section, "id");
    let name = section.text("name").map(|text| text.value);
    section.require("platform", "name the engagement platform, for example \"clevertap\"");
    let platform = section.checked("platform", |name| {
        let found = surroundings.platforms.iter().copied().find(|slug| *slug == name);
        let known = surroundings.platforms.join(", ");
        found.ok_or_else(|| format!("is not a platform that this build can serve: use one of {known}"))
    });
    let enabled = section.boolean("enabled").unwrap_or(true);
    // Keys that begin with the platform's name depend on it. When it is wrong, the only one there is was meant.
    let meant = platform.or(only(&surroundings.platforms).copied());
    let policy = meant.map(|platform| parse_policy(&mut section, platform, surroundings));
    let credentials = meant.map(|platform| parse_credentials(&mut section, platform));
    let callbacks = callback_urls(&mut section, surroundings);
    // An account whose id is wrong can still have numbers that are wrong.
    let account_id = id.clone().unwrap_or_default();
    let dialect = platform.unwrap_or_default();
    let whole_account = Callbacks { account: &account_id, dialect, sender: None, line };
    file.subscriptions.extend(whole_account.records(callbacks));
    for mut sender_section in section.tables("senders") {
        let line = sender_section.line();
        let callbacks = callback_urls(&mut sender_section, surroundings);
        let (sender, reference) = parse_sender(sender_section, &account_id);
        file.references.extend(reference);
        let Some(sender) = sender else { continue };
        let one_number = Callbacks { account: &account_id, dialect, sender: Some(&sender.number), line };
        file.subscriptions.extend(one_number.records(callbacks));
        file.senders.push(Stated { line, what: sender });
    }
    // Without a platform nobody can say which keys there are.
    if let (Some(meant), Some(policy), Some(credentials)) = (meant, policy, credentials) {
        check_subscribe_sync(&section, meant, &policy, &credentials);
        section.finish();
        let platform = meant.to_owned();
        let what = id.map(|id| {
            let name = name.unwrap_or_else(|| id.clone());
            AccountRecord { id, name, platform, enabled, policy, credentials }
        });
        file.accounts.extend(what.map(|what| Stated { line, what }));
    }
}

/// A week: by then nobody can be answered freely any more.
const UNATTENDED_MINUTES_MAX: i64 = 7 * 24 * 60;

fn parse_policy(section: &mut Section<'_>, platform: &str, surroundings: &Surroundings<'_>) -> AccountPolicy {
    let defaults = AccountPolicy::default();
    let dummy_numbers = section.has("dummy_numbers").then(|| dummy_numbers(section)).flatten();
    let ages = surroundings.ages;
    AccountPolicy {
        platform_account_id: section.text(&format!("{platform}_account_id")).map(|text| text.value).unwrap_or_default(),
        platform_region: section.checked(&format!("{platform}_region"), region),
        default_country: section.checked("default_country", country),
        time_zone: section.checked("time_zone", time_zone).unwrap_or(defaults.time_zone),
        test_messages: word(section, "test_messages", "auto, deliver or validate").unwrap_or(defaults.test_messages),
        dummy_numbers: dummy_numbers.unwrap_or(defaults.dummy_numbers),
        unknown_outcome: word(section, "unknown_outcome", "report_failed or resend")
            .unwrap_or(defaults.unknown_outcome),
        expire_after: section.table("expire_after").map_or(defaults.expire_after, parse_expire_after),
        quiet_hours: section.table("quiet_hours").and_then(parse_quiet_hours),
        subscribe_sync: section
            .table("subscribe_sync")
            .map_or(defaults.subscribe_sync, |section| parse_subscribe_sync(section, surroundings)),
        rendered_body: word(section, "rendered_body", "off, warn or refuse").unwrap_or(defaults.rendered_body),
        forbidden_white_space: word(section, "forbidden_white_space", "refuse or clean")
            .unwrap_or(defaults.forbidden_white_space),
        allowed_addresses: allowed_addresses(section).unwrap_or(defaults.allowed_addresses),
        silent_messages: word(section, "silent_messages", "report_failed, report_failed_always or leave")
            .unwrap_or(defaults.silent_messages),
        unattended_after_minutes: section
            .integer("unattended_after_minutes", 0..=UNATTENDED_MINUTES_MAX)
            .and_then(|minutes| u32::try_from(minutes).ok())
            .unwrap_or(defaults.unattended_after_minutes),
        inbound_file_type: word(section, "inbound_file_type", "file, document or both")
            .unwrap_or(defaults.inbound_file_type),
        inbound_audio_type: word(section, "inbound_audio_type", "audio or voice")
            .unwrap_or(defaults.inbound_audio_type),
        inbound_button_type: word(section, "inbound_button_type", "button or text")
            .unwrap_or(defaults.inbound_button_type),
        inbound_list_type: word(section, "inbound_list_type", "button or text").unwrap_or(defaults.inbound_list_type),
        callback_number: word(section, "callback_number", "digits, plus or national")
            .unwrap_or(defaults.callback_number),
        messages_per_second: section
            .integer("messages_per_second", 1..=MESSAGES_PER_SECOND_MAX)
            .and_then(|messages| u32::try_from(messages).ok()),
        keep_for: section.checked("keep_for", |text| keep_for(text, ages.history())),
        keep_exchanges_for: section.checked("keep_exchanges_for", |text| keep_for(text, ages.attempts)),
        keep_media_for: section.checked("keep_media_for", |text| keep_for(text, ages.media)),
        template_aliases: section.table("template_aliases").map(parse_aliases).unwrap_or_default(),
    }
}

fn parse_expire_after(mut section: Section<'_>) -> ExpireAfter {
    let defaults = ExpireAfter::default();
    let expire_after = ExpireAfter {
        marketing: section.checked("marketing", expiry).unwrap_or(defaults.marketing),
        utility: section.checked("utility", expiry).unwrap_or(defaults.utility),
        authentication: section.checked("authentication", expiry).unwrap_or(defaults.authentication),
        freeform: section.checked("freeform", expiry).unwrap_or(defaults.freeform),
    };
    section.finish();
    expire_after
}

/// The name that the platform sends, and that of the template that stands for it. No chains: nobody would see where one ends.
fn parse_aliases(mut section: Section<'_>) -> BTreeMap<String, String> {
    let texts = section.free_texts();
    if texts.len() > ALIASES_MAX {
        section.problem(
            section.offset,
            "*",
            format!("has more than {ALIASES_MAX} aliases: remove those that are not sent any more"),
        );
    }
    let olds: Vec<String> = texts.iter().map(|(old, _)| old.to_ascii_lowercase()).collect();
    let mut aliases = BTreeMap::new();
    for (old, text) in texts {
        let Some(Text { value, offset }) = text else { continue };
        let (lower, new) = (old.to_ascii_lowercase(), value.trim().to_owned());
        let wrong = if new.is_empty() {
            Some("has no template that stands for it: write old_name = new_name")
        } else if !is_template_name(&old) || !is_template_name(&new) {
            Some("must be two names of templates: letters, digits and underscores")
        } else if olds.contains(&new.to_ascii_lowercase()) {
            Some("must be a template that has no alias itself")
        } else if aliases.insert(lower, new).is_some() {
            Some("stands here twice, in another spelling: remove one")
        } else {
            None
        };
        if let Some(message) = wrong {
            section.problem(offset, &old, message);
        }
    }
    aliases
}

fn is_template_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=TEMPLATE_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// It becomes a part of a host's name.
fn region(text: &str) -> Result<String, String> {
    if is_slug(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("must be the region's short name, like in1".to_owned())
    }
}

fn country(text: &str) -> Result<String, String> {
    text.to_ascii_uppercase()
        .parse::<phonenumber::country::Id>()
        .map(|country| country.as_ref().to_owned())
        .map_err(|_| "must be a country's two letters (ISO 3166), like IN".to_owned())
}

fn time_zone(text: &str) -> Result<String, String> {
    text.parse::<chrono_tz::Tz>()
        .map(|zone| zone.name().to_owned())
        .map_err(|_| "must be an IANA time zone, like Asia/Kolkata".to_owned())
}

fn expiry(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok();
    duration.filter(|duration| !duration.is_zero() && *duration <= EXPIRE_AFTER_MAX).ok_or_else(|| {
        let most = written(EXPIRE_AFTER_MAX);
        format!("must be a time like 15m or 6h, at most {most}")
    })
}

/// Less than the server keeps, or as much.
fn keep_for(text: &str, most: Duration) -> Result<Duration, String> {
    let least = KEEP_FOR_MIN.min(most);
    let duration = humantime::parse_duration(text).ok();
    duration.filter(|duration| (least..=most).contains(duration)).ok_or_else(|| {
        let (least, most) = (lasting(least), lasting(most));
        format!("must be a time like 30d, from {least} to {most}, after which the server forgets in any case")
    })
}

fn dummy_numbers(section: &mut Section<'_>) -> Option<Vec<String>> {
    let texts = section.list("dummy_numbers")?;
    let check = |text: Text| {
        let checked = number(&text.value).map(|number| number.as_e164().to_owned());
        checked.map_err(|message| section.problem(text.offset, "dummy_numbers", message)).ok()
    };
    texts.into_iter().map(check).collect()
}

fn allowed_addresses(section: &mut Section<'_>) -> Option<Vec<Network>> {
    let texts = section.list("allowed_addresses")?;
    let check = |text: Text| {
        let checked = Network::parse(&text.value);
        let told = |_| {
            let message = "must be addresses or networks, like 203.0.113.7 or 203.0.113.0/24";
            section.problem(text.offset, "allowed_addresses", message);
        };
        checked.map_err(told).ok()
    };
    texts.into_iter().map(check).collect()
}
