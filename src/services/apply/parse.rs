//! The apply file: what its sections and keys are called, and what may stand there. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use humantime_serde::re::humantime;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use toml::de::DeTable;
use url::Url;

use super::{
    ApplyFile, ApplyProblem, Stated,
    people::{check_subscribe_sync, parse_quiet_hours, parse_subscribe_sync},
    reading::{Reading, Section, Text},
};
use crate::{
    domain::{
        account::{AccountPolicy, Credentials, ExpireAfter, SenderPolicy},
        callback::EventKind,
        network::Network,
        phone::PhoneNumber,
    },
    platforms,
    providers::{self, SettingField},
    store::configuration::{AccountRecord, ConnectionRecord, SenderRecord, SubscriptionRecord},
};

/// Secrets of one kind that are valid at the same time.
const ROTATION_MAX: usize = 5;
const HEADERS_MAX: usize = 20;
const SLUG_CHARS_MAX: usize = 64;
/// A secret part of a URL that is shorter can be guessed.
const URL_TOKEN_CHARS_MIN: usize = 16;
const URL_TOKEN_CHARS_MAX: usize = 128;
/// Meta's default for a new number.
const MESSAGES_PER_SECOND_DEFAULT: i64 = 80;
const MESSAGES_PER_SECOND_MAX: i64 = 100_000;
/// A message that may wait for longer is not worth keeping.
const EXPIRE_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the meaning of a file depends on.
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Whether URLs may begin with `http://` (`security.allow_private_networks`).
    pub http_allowed: bool,
    /// The providers that there are, and the settings of a connection to each.
    pub providers: Vec<(&'static str, &'static [SettingField])>,
    pub platforms: Vec<&'static str>,
}

impl<'a> Surroundings<'a> {
    /// With the providers and platforms of this build.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>, http_allowed: bool) -> Self {
        Self {
            environment,
            http_allowed,
            providers: providers::ALL.iter().map(|provider| (provider.slug(), provider.settings())).collect(),
            platforms: platforms::ALL.iter().map(|platform| platform.slug()).collect(),
        }
    }
}

/// Understands a file, or says everything that is wrong with it. `file_name` stands in the problems.
pub fn parse(text: &str, file_name: &str, surroundings: &Surroundings<'_>) -> Result<ApplyFile, Vec<ApplyProblem>> {
    let reading = Reading::new(text, file_name, surroundings.environment);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        reading.problem(offset, String::new(), format!("this is not TOML: {}", error.message()));
    }
    // Half a document would only make us complain of what is missing from it.
    if errors.is_empty() {
        let root = Section::new(&reading, String::new(), document.get_ref(), 0);
        let file = parse_root(root, surroundings, file_name);
        check_repetitions(&file, &reading);
        if !reading.has_problems() {
            return Ok(file);
        }
    }
    Err(reading.into_problems())
}

fn parse_root(mut root: Section<'_>, surroundings: &Surroundings<'_>, file_name: &str) -> ApplyFile {
    let mut file = ApplyFile { file_name: file_name.to_owned(), ..ApplyFile::default() };
    for section in root.tables("connections") {
        let line = section.line();
        file.connections.extend(parse_connection(section, surroundings).map(|what| Stated { line, what }));
    }
    for section in root.tables("accounts") {
        parse_account(section, surroundings, &mut file);
    }
    root.finish();
    file
}

fn parse_connection(mut section: Section<'_>, surroundings: &Surroundings<'_>) -> Option<ConnectionRecord> {
    let id = slug(&mut section, "id");
    section.require("provider", "name the WhatsApp provider, for example \"meta\"");
    let provider = section.checked("provider", |name| {
        let found = surroundings.providers.iter().find(|(slug, _)| *slug == name);
        found.copied().ok_or_else(|| {
            let known = surroundings.providers.iter().map(|(slug, _)| *slug).collect::<Vec<_>>().join(", ");
            format!("is not a provider that this build can talk to: use one of {known}")
        })
    });
    // Which other keys there are depends on the provider.
    let (provider, fields) = provider?;
    let (mut settings, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for field in fields {
        if field.required {
            section.require(field.name, field.help);
        }
        if field.secret {
            let values = secret_values(&mut section, field, surroundings);
            secrets.extend(values.filter(|values| !values.is_empty()).map(|values| (field.name.to_owned(), values)));
        } else {
            let value = section.checked(field.name, |text| check_setting(field, text, surroundings));
            let value = value.or(field.default.map(str::to_owned));
            settings.extend(value.map(|value| (field.name.to_owned(), value)));
        }
    }
    section.finish();
    Some(ConnectionRecord { id: id?, provider: provider.to_owned(), settings, secrets })
}

fn check_setting(field: &SettingField, text: &str, surroundings: &Surroundings<'_>) -> Result<String, String> {
    if field.required && text.is_empty() {
        return Err(format!("is empty: {}", field.help));
    }
    if field.name.ends_with("url") && !text.is_empty() {
        return Ok(web_url(text, surroundings)?.trim_end_matches('/').to_owned());
    }
    Ok(text.to_owned())
}

fn secret_values(
    section: &mut Section<'_>,
    field: &SettingField,
    surroundings: &Surroundings<'_>,
) -> Option<Vec<SecretString>> {
    let most = if field.list { ROTATION_MAX } else { 1 };
    let texts = limited(section, field.name, most)?;
    let mut secrets = Vec::new();
    for text in texts {
        match check_setting(field, &text.value, surroundings) {
            Ok(value) if value.is_empty() => {
                section.problem(text.offset, field.name, "is empty: fill it in, or leave it out")
            }
            Ok(value) => secrets.push(value.into()),
            Err(message) => section.problem(text.offset, field.name, message),
        }
    }
    Some(secrets)
}

fn parse_account(mut section: Section<'_>, surroundings: &Surroundings<'_>, file: &mut ApplyFile) {
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
    // Keys that begin with the platform's name depend on it.
    let policy = platform.map(|platform| parse_policy(&mut section, platform, surroundings));
    let credentials = platform.map(|platform| parse_credentials(&mut section, platform));
    let callbacks = callback_urls(&mut section, surroundings);
    // An account whose id is wrong can still have numbers that are wrong.
    let account_id = id.clone().unwrap_or_default();
    let dialect = platform.unwrap_or_default();
    let whole_account = Callbacks { account: &account_id, dialect, sender: None, line };
    file.subscriptions.extend(whole_account.records(callbacks));
    for mut sender_section in section.tables("senders") {
        let line = sender_section.line();
        let callbacks = callback_urls(&mut sender_section, surroundings);
        let Some(sender) = parse_sender(sender_section, &account_id) else { continue };
        let one_number = Callbacks { account: &account_id, dialect, sender: Some(&sender.number), line };
        file.subscriptions.extend(one_number.records(callbacks));
        file.senders.push(Stated { line, what: sender });
    }
    // Without the platform nobody can say which keys there are.
    if let (Some(platform), Some(policy), Some(credentials)) = (platform, policy, credentials) {
        check_subscribe_sync(&section, platform, &policy, &credentials);
        section.finish();
        let platform = platform.to_owned();
        let what = id.map(|id| {
            let name = name.unwrap_or_else(|| id.clone());
            AccountRecord { id, name, platform, enabled, policy, credentials }
        });
        file.accounts.extend(what.map(|what| Stated { line, what }));
    }
}

fn parse_policy(section: &mut Section<'_>, platform: &str, surroundings: &Surroundings<'_>) -> AccountPolicy {
    let defaults = AccountPolicy::default();
    let dummy_numbers = section.has("dummy_numbers").then(|| dummy_numbers(section)).flatten();
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
        silent_messages: word(section, "silent_messages", "report_failed or leave").unwrap_or(defaults.silent_messages),
        inbound_file_type: word(section, "inbound_file_type", "file, document or both")
            .unwrap_or(defaults.inbound_file_type),
        inbound_audio_type: word(section, "inbound_audio_type", "audio or voice")
            .unwrap_or(defaults.inbound_audio_type),
        inbound_button_type: word(section, "inbound_button_type", "button or text")
            .unwrap_or(defaults.inbound_button_type),
        inbound_list_type: word(section, "inbound_list_type", "button or text").unwrap_or(defaults.inbound_list_type),
        callback_number: word(section, "callback_number", "digits, plus or national")
            .unwrap_or(defaults.callback_number),
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

fn parse_credentials(section: &mut Section<'_>, platform: &str) -> Credentials {
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

fn parse_sender(mut section: Section<'_>, account: &str) -> Option<SenderRecord> {
    section.require("number", "give the WhatsApp business number, like \"+919876500001\"");
    section.require("connection", "give the id of the connection that it is reached through");
    section.require("phone_number_id", "give the provider's id of the number");
    section.require("waba_id", "give the provider's id of the business account that owns number and templates");
    let number = section.checked("number", number);
    let connection = section.checked("connection", is_slug);
    let provider_number_id = section.checked("phone_number_id", provider_id);
    let provider_account_id = section.checked("waba_id", provider_id);
    let messages_per_second = if section.has("messages_per_second") {
        section.integer("messages_per_second", 1..=MESSAGES_PER_SECOND_MAX)
    } else {
        Some(MESSAGES_PER_SECOND_DEFAULT)
    };
    let policy = parse_sender_policy(&mut section);
    section.finish();
    Some(SenderRecord {
        account: account.to_owned(),
        connection: connection?,
        number: number?,
        provider_number_id: provider_number_id?,
        provider_account_id: provider_account_id?,
        messages_per_second: u32::try_from(messages_per_second?).expect("checked against its range"),
        policy,
    })
}

fn parse_sender_policy(section: &mut Section<'_>) -> SenderPolicy {
    let mut place = |key| section.checked(key, not_blank);
    SenderPolicy { location_name: place("location_name"), location_address: place("location_address") }
}

fn not_blank(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty: fill it in, or leave it out".to_owned()) } else { Ok(text.to_owned()) }
}

/// Whose callbacks they are.
struct Callbacks<'a> {
    account: &'a str,
    dialect: &'a str,
    sender: Option<&'a PhoneNumber>,
    line: usize,
}

impl Callbacks<'_> {
    fn records(
        &self,
        urls: [(EventKind, Option<SecretString>); 2],
    ) -> impl Iterator<Item = Stated<SubscriptionRecord>> {
        urls.into_iter().map(|(kind, url)| Stated {
            line: self.line,
            what: SubscriptionRecord {
                account: self.account.to_owned(),
                kind,
                sender: self.sender.cloned(),
                dialect: self.dialect.to_owned(),
                url,
            },
        })
    }
}

/// An empty URL is as good as none: no such callbacks are wanted.
fn callback_urls(section: &mut Section<'_>, surroundings: &Surroundings<'_>) -> [(EventKind, Option<SecretString>); 2] {
    [(EventKind::Status, "delivery_report_callback_url"), (EventKind::Inbound, "inbound_message_callback_url")].map(
        |(kind, key)| {
            let url = section.checked(key, |text| match text {
                "" => Ok(None),
                text => web_url(text, surroundings).map(|url| Some(url.to_owned().into())),
            });
            (kind, url.flatten())
        },
    )
}

fn slug(section: &mut Section<'_>, key: &str) -> Option<String> {
    section.require(key, "choose a name of a-z, 0-9 and -; it appears in URLs and must not change");
    section.checked(key, is_slug)
}

fn is_slug(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=SLUG_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be 1 to {SLUG_CHARS_MAX} characters of a-z, 0-9 and -"))
    }
}

fn number(text: &str) -> Result<PhoneNumber, String> {
    PhoneNumber::from_international(text)
        .ok_or_else(|| "must be + and 5 to 15 digits with the country code, like +919876500001".to_owned())
}

fn provider_id(text: &str) -> Result<String, String> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be the provider's id: 1 to 64 characters without spaces".to_owned())
    }
}

/// The error does not quote the URL: who knows it may post to it.
pub(super) fn web_url<'a>(text: &'a str, surroundings: &Surroundings<'_>) -> Result<&'a str, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}): copy it whole, from https:// on"))?;
    match url.scheme() {
        _ if !url.has_host() => Err("is a URL without a host: copy it whole, from https:// on".to_owned()),
        "https" => Ok(text),
        "http" if surroundings.http_allowed => Ok(text),
        "http" => {
            Err("must begin with https://; http:// is for trials with security.allow_private_networks = true"
                .to_owned())
        }
        _ => Err("must begin with https://".to_owned()),
    }
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

/// It becomes a part of a host's name.
fn region(text: &str) -> Result<String, String> {
    if is_slug(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("must be the region's short name, like in1".to_owned())
    }
}

fn country(text: &str) -> Result<String, String> {
    text.parse::<phonenumber::country::Id>()
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
        let most = humantime::format_duration(EXPIRE_AFTER_MAX);
        format!("must be a time like \"15m\" or \"6h\", at most {most}")
    })
}

/// One of a few words, those that serde knows for the type.
fn word<T: DeserializeOwned>(section: &mut Section<'_>, key: &str, words: &str) -> Option<T> {
    section.checked(key, |text| {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| format!("must be {words}"))
    })
}

fn dummy_numbers(section: &mut Section<'_>) -> Option<Vec<String>> {
    let texts = section.texts("dummy_numbers")?;
    let check = |text: Text| {
        let checked = number(&text.value).map(|number| number.as_e164().to_owned());
        checked.map_err(|message| section.problem(text.offset, "dummy_numbers", message)).ok()
    };
    texts.into_iter().map(check).collect()
}

fn allowed_addresses(section: &mut Section<'_>) -> Option<Vec<Network>> {
    let texts = section.texts("allowed_addresses")?;
    let check = |text: Text| {
        let checked = Network::parse(&text.value);
        let told = |_| {
            let message = "must be addresses or networks, like \"203.0.113.7\" or \"203.0.113.0/24\"";
            section.problem(text.offset, "allowed_addresses", message);
        };
        checked.map_err(told).ok()
    };
    texts.into_iter().map(check).collect()
}

fn secret(section: &mut Section<'_>, key: &str) -> Option<SecretString> {
    let text = section.text(key)?;
    not_empty(section, key, text)
}

fn not_empty(section: &Section<'_>, key: &str, text: Text) -> Option<SecretString> {
    if text.value.is_empty() {
        section.problem(text.offset, key, "is empty: fill it in, or leave it out");
        return None;
    }
    Some(text.value.into())
}

fn limited(section: &mut Section<'_>, key: &str, most: usize) -> Option<Vec<Text>> {
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

/// The same thing stated twice: nobody can know which of them is meant.
fn check_repetitions(file: &ApplyFile, reading: &Reading<'_>) {
    let connections = file.connections.iter().map(|stated| (stated.line, stated.what.id.clone()));
    report_repetitions(reading, "connections.id", "this connection", connections);
    let accounts = file.accounts.iter().map(|stated| (stated.line, stated.what.id.clone()));
    report_repetitions(reading, "accounts.id", "this account", accounts);
    let numbers = file.senders.iter().map(|stated| (stated.line, stated.what.number.clone()));
    report_repetitions(reading, "accounts.senders.number", "this number", numbers);
    let provider_ids = file
        .senders
        .iter()
        .map(|stated| (stated.line, (stated.what.connection.clone(), stated.what.provider_number_id.clone())));
    report_repetitions(reading, "accounts.senders.phone_number_id", "this id of the same connection", provider_ids);
}

fn report_repetitions<K: std::hash::Hash + Eq>(
    reading: &Reading<'_>,
    field: &str,
    what: &str,
    stated: impl Iterator<Item = (usize, K)>,
) {
    let mut seen = HashMap::new();
    for (line, key) in stated {
        if let Some(first) = seen.get(&key) {
            let message = format!("{what} stands on line {first} already: remove one of them");
            reading.problem_on_line(line, field.to_owned(), message);
        } else {
            seen.insert(key, line);
        }
    }
}
