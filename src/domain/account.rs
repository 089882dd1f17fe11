//! Whom we work for, through whom, and from which number.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    callback_style::{AudioType, FileType, NumberSpelling, TapType},
    duration::{self, written},
    ids::{AccountKey, ConnectionKey, SenderKey},
    network::Network,
    outbound::{Category, Class},
    phone::PhoneNumber,
    quiet::{QuietCategory, QuietHours},
    time::UnixMillis,
};

/// One customer's workspace on one platform.
#[derive(Clone, Debug)]
pub struct Account {
    pub key: AccountKey,
    /// The slug in URLs and in the apply file.
    pub id: String,
    pub name: String,
    /// The platform's slug, for example `clevertap`.
    pub platform: String,
    /// A disabled account is refused like one that does not exist; what it was promised is still done.
    pub enabled: bool,
    pub policy: AccountPolicy,
    pub credentials: Credentials,
}

/// How an account wants its messages treated. Kept as JSON, so every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountPolicy {
    /// The platform's name for the account, which some platforms send as a header.
    pub platform_account_id: String,
    /// The platform's region, for calls to its own API.
    pub platform_region: Option<String>,
    /// ISO 3166 code, for numbers without a country code.
    pub default_country: Option<String>,
    /// IANA name, for example `Asia/Kolkata`.
    pub time_zone: String,
    pub test_messages: TestMessages,
    /// Recipients that exist only in the platform's own checks.
    pub dummy_numbers: Vec<String>,
    pub unknown_outcome: UnknownOutcome,
    pub expire_after: ExpireAfter,
    pub rendered_body: RenderedBody,
    pub forbidden_white_space: ForbiddenWhiteSpace,
    /// From where the platform may call; empty: from anywhere.
    pub allowed_addresses: Vec<Network>,
    pub silent_messages: SilentMessages,
    /// A person's message that nobody answers for so long leaves its conversation unattended; 0: never.
    pub unattended_after_minutes: u32,
    /// How what people send is told, where the platform's documentation contradicts itself.
    pub inbound_file_type: FileType,
    pub inbound_audio_type: AudioType,
    pub inbound_button_type: TapType,
    pub inbound_list_type: TapType,
    /// How the platform spells the business number.
    pub callback_number: NumberSpelling,
    /// When which messages wait; `None`: never.
    pub quiet_hours: Option<QuietHours>,
    pub subscribe_sync: SubscribeSync,
    /// What its numbers may send in a second, all together; `None`: what each of them may.
    pub messages_per_second: Option<u32>,
    /// Its messages, events and refused requests are forgotten after this time, where that is sooner than by the settings.
    #[serde(with = "duration")]
    pub keep_for: Option<Duration>,
    /// The same of what was said to its callback URLs and webhooks; never kept for longer than the events.
    #[serde(with = "duration")]
    pub keep_exchanges_for: Option<Duration>,
    /// The same of files that people sent it; links to them end then, too.
    #[serde(with = "duration")]
    pub keep_media_for: Option<Duration>,
    /// Templates that stand for others: the name that the platform sends, in small letters, and the one that is meant.
    pub template_aliases: BTreeMap<String, String>,
}

impl AccountPolicy {
    /// Of what it keeps, in words, that which it has a time of its own for.
    pub fn own_ages(&self) -> Vec<(&'static str, Duration)> {
        let ages = [("history", self.keep_for), ("exchanges", self.keep_exchanges_for), ("files", self.keep_media_for)];
        ages.into_iter().filter_map(|(what, age)| Some((what, age?))).collect()
    }

    /// The template that is meant by a name.
    pub fn template_meant<'a>(&'a self, name: &'a str) -> &'a str {
        if self.template_aliases.is_empty() {
            return name;
        }
        self.template_aliases.get(&name.trim().to_ascii_lowercase()).map_or(name, String::as_str)
    }

    /// Whether messages of this category wait at this moment.
    pub fn is_quiet(&self, category: Category, now: UnixMillis) -> bool {
        self.quiet_hours.as_ref().is_some_and(|hours| hours.hold_back(category, self.zone(), now))
    }

    /// Until when messages of this class wait for the end of quiet hours; `None` when they do not.
    pub fn quiet_until(&self, class: Class, now: UnixMillis) -> Option<UnixMillis> {
        let hours = self.quiet_hours.as_ref()?;
        hours.categories.iter().find(|category| category.class() == class)?;
        hours.end(self.zone(), now)
    }

    fn zone(&self) -> chrono_tz::Tz {
        // Checked when it was stored.
        self.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC)
    }

    /// What expires while it waits for the end of quiet hours, in words.
    pub fn expires_in_quiet_hours(&self) -> Vec<String> {
        let Some(hours) = &self.quiet_hours else { return vec![] };
        let too_short = |category: &QuietCategory| {
            let after = match category {
                QuietCategory::Marketing => self.expire_after.marketing,
                QuietCategory::Utility => self.expire_after.utility,
            };
            (after < hours.length()).then(|| {
                let (after, lasts) = (written(after), written(hours.length()));
                format!(
                    "quiet hours last {lasts}, and {} messages expire after {after}: what comes more than {after} before {} is \
                     never sent",
                    category.as_str(),
                    hours.to
                )
            })
        };
        hours.categories.iter().filter_map(too_short).collect()
    }
}

/// How long something is kept: as the settings have it, or an account's own time where that is sooner.
pub fn kept_for(age: Duration, own: Option<Duration>) -> Duration {
    own.map_or(age, |own| own.min(age))
}

/// Telling the platform itself who must not be sent to. It stops all messages, so it is off unless asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeSync {
    pub enabled: bool,
    /// Of the platform's own API.
    pub path: String,
    /// The platform's word for what a number is unsubscribed from.
    #[serde(rename = "type")]
    pub kind: String,
    /// In place of the platform's address for the account's region.
    pub base_url: Option<String>,
}

impl Default for SubscribeSync {
    fn default() -> Self {
        Self { enabled: false, path: "/1/subscribe".to_owned(), kind: "whatsapp".to_owned(), base_url: None }
    }
}

impl Default for AccountPolicy {
    fn default() -> Self {
        Self {
            platform_account_id: String::new(),
            platform_region: None,
            default_country: None,
            time_zone: "UTC".to_owned(),
            test_messages: TestMessages::default(),
            dummy_numbers: vec!["+919870369294".to_owned()],
            unknown_outcome: UnknownOutcome::default(),
            expire_after: ExpireAfter::default(),
            quiet_hours: None,
            subscribe_sync: SubscribeSync::default(),
            rendered_body: RenderedBody::default(),
            forbidden_white_space: ForbiddenWhiteSpace::default(),
            allowed_addresses: Vec::new(),
            silent_messages: SilentMessages::default(),
            unattended_after_minutes: 0,
            inbound_file_type: FileType::default(),
            inbound_audio_type: AudioType::default(),
            inbound_button_type: TapType::default(),
            inbound_list_type: TapType::default(),
            callback_number: NumberSpelling::default(),
            messages_per_second: None,
            keep_for: None,
            keep_exchanges_for: None,
            keep_media_for: None,
            template_aliases: BTreeMap::new(),
        }
    }
}

/// What to do with a platform's test messages, those whose id is all zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestMessages {
    /// Validate what looks like a check by a machine, deliver what looks like a person's test.
    #[default]
    Auto,
    Deliver,
    Validate,
}

/// What to do when nobody can tell whether a message went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcome {
    /// Tell the platform that it failed. Later evidence is still relayed.
    #[default]
    ReportFailed,
    /// Send again, at the risk of sending and paying twice.
    Resend,
}

/// What to do when the text that the platform rendered is not the one that WhatsApp will show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderedBody {
    Off,
    /// Send, and say so where operators look.
    #[default]
    Warn,
    Refuse,
}

/// What to do with line breaks, tabs and long gaps in a template's parameters, which WhatsApp refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForbiddenWhiteSpace {
    #[default]
    Refuse,
    /// Put single spaces in their place.
    Clean,
}

/// What to do with messages that WhatsApp took and of which nothing more was heard within their time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilentMessages {
    /// Tell the platform that they failed: a journey may then go on by another channel. Later evidence is still relayed.
    /// Waits until the number was heard of after the message's time: before that no webhook may have come through.
    #[default]
    ReportFailed,
    /// The same, without waiting for that.
    ReportFailedAlways,
    /// Say nothing.
    Leave,
}

/// How long after acceptance a message is still worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpireAfter {
    #[serde(with = "duration")]
    pub marketing: Duration,
    #[serde(with = "duration")]
    pub utility: Duration,
    #[serde(with = "duration")]
    pub authentication: Duration,
    #[serde(with = "duration")]
    pub freeform: Duration,
}

impl Default for ExpireAfter {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            marketing: Duration::from_secs(6 * 60 * MINUTE),
            utility: Duration::from_secs(60 * MINUTE),
            authentication: Duration::from_secs(10 * MINUTE),
            freeform: Duration::from_secs(15 * MINUTE),
        }
    }
}

impl ExpireAfter {
    pub fn of(&self, category: Category) -> Duration {
        match category {
            Category::Freeform => self.freeform,
            Category::Authentication => self.authentication,
            Category::Utility => self.utility,
            Category::Marketing => self.marketing,
            // As long as it may turn out to be worth sending. What it turns out to be then counts from its acceptance.
            Category::NotKnownYet => self.marketing.max(self.utility).max(self.authentication),
        }
    }
}

/// What a platform may show us to prove that it speaks for the account. Any one kind suffices.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Goes with [`AccountPolicy::platform_account_id`]. Several while one is being rotated.
    pub passcodes: Vec<SecretString>,
    pub old_passcodes: Option<OldPasscodes>,
    pub basic: Option<(String, SecretString)>,
    /// `Authorization: Bearer …`, or the same value bare.
    pub bearer_token: Option<SecretString>,
    /// The part of the URL that nobody can guess.
    pub url_token: Option<SecretString>,
    /// Any other headers, lower-case name to value. All of them must be right.
    pub headers: BTreeMap<String, SecretString>,
    /// What we show to the platform's own API; `None`: the first of the passcodes.
    pub api_passcode: Option<SecretString>,
}

/// Passcodes that were replaced, and are still taken for a while.
#[derive(Clone, Debug)]
pub struct OldPasscodes {
    pub passcodes: Vec<SecretString>,
    /// From then on they open nothing.
    pub until: UnixMillis,
}

/// One set of credentials and settings at one provider.
#[derive(Clone, Debug)]
pub struct Connection {
    pub key: ConnectionKey,
    pub id: String,
    /// The provider's slug, for example `meta`.
    pub provider: String,
    /// Name to value, checked against the provider's own list of fields when it was stored, defaults filled in.
    pub settings: BTreeMap<String, String>,
    /// Name to values, the newest first; more than one while a secret is being rotated.
    pub secrets: BTreeMap<String, Vec<SecretString>>,
    pub hold: Option<Hold>,
    /// When a setting or a secret became another: what was seen of the provider before says nothing of these.
    pub changed_at: UnixMillis,
}

impl Connection {
    /// A setting, or the empty text: required ones were checked when the connection was stored.
    pub fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    /// All values of a secret that are valid now.
    pub fn secrets(&self, name: &str) -> &[SecretString] {
        self.secrets.get(name).map_or(&[], Vec::as_slice)
    }
}

/// One WhatsApp business number of one account.
#[derive(Clone, Debug)]
pub struct Sender {
    pub key: SenderKey,
    pub account: AccountKey,
    pub connection: Arc<Connection>,
    pub number: PhoneNumber,
    /// The provider's own id of the number (Meta: the phone number id).
    pub provider_number_id: String,
    /// The provider's own id of the business account that holds number and templates (Meta: the WABA id).
    pub provider_account_id: String,
    /// What the provider allows this number, in and out together.
    pub messages_per_second: u32,
    /// What it may send in a second: that, or its part of what its account may: [`pace_of`].
    pub pace: u32,
    pub policy: SenderPolicy,
    pub hold: Option<Hold>,
}

/// What a number may send in a second, that alone may send `own`, when its account's numbers alone may send `all` together.
///
/// Where the account may send less than that, each number has a part in proportion, and at least one: fixed parts are kept without
/// servers agreeing on anything, and what a number does not use is no other's.
pub fn pace_of(own: u32, all: u64, account_may: Option<u32>) -> u32 {
    match account_may {
        Some(limit) if u64::from(limit) < all => {
            let part = u64::from(own) * u64::from(limit) / all;
            u32::try_from(part).unwrap_or(own).max(1)
        }
        Some(_) | None => own,
    }
}

/// How a number's messages are completed. Kept as JSON, so every field has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SenderPolicy {
    /// For location headers without a name: WhatsApp wants one.
    pub location_name: Option<String>,
    /// For location headers without an address: WhatsApp wants one.
    pub location_address: Option<String>,
}

/// Work stops until somebody, or a probe, releases it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub since: UnixMillis,
    pub reason: String,
    /// Who holds it, as the audit log names them; `None`: an answer put it on hold.
    pub by: Option<String>,
}

impl Hold {
    pub fn by_answer(since: UnixMillis, reason: String) -> Self {
        Self { since, reason, by: None }
    }

    /// Of a number or a connection: who put it on hold, as a sentence goes on after `on hold`.
    pub fn by_whom(&self) -> String {
        self.by.as_deref().map_or_else(|| "by the provider’s answer".to_owned(), |name| format!("by {name}"))
    }

    /// Of a number or a connection: what ends it. Neither is tried again by itself, because a try would be a message.
    pub fn ended_by(&self) -> &'static str {
        match self.by {
            Some(_) => "it goes on when somebody releases it; nothing needs to be mended at the provider",
            None => {
                "mend what the provider’s answer names, then release it: nothing releases it by itself, and what is still wrong puts \
                 it on hold again"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pace_of;

    #[test]
    fn numbers_share_what_their_account_may_send_in_proportion() {
        assert_eq!(pace_of(80, 160, None), 80);
        assert_eq!(pace_of(80, 160, Some(200)), 80, "the account allows more than its numbers can");
        assert_eq!(pace_of(80, 160, Some(100)), 50);
        assert_eq!((pace_of(1_000, 1_080, Some(108)), pace_of(80, 1_080, Some(108))), (100, 8));
        assert_eq!(pace_of(1, 10_000, Some(5)), 1, "nothing is stopped for good");
        assert_eq!(pace_of(u32::MAX, u64::from(u32::MAX) * 2, Some(u32::MAX)), u32::MAX / 2);
    }
}
