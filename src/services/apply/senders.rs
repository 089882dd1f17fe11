//! Numbers in the apply file, and the callbacks of numbers and accounts. Pure.

use secrecy::SecretString;

use super::{
    Reference, Stated,
    parse::Surroundings,
    reading::Section,
    values::{is_slug, not_blank, number, web_url},
};
use crate::{
    domain::{account::SenderPolicy, callback::EventKind, phone::PhoneNumber},
    store::configuration::{SenderRecord, SubscriptionRecord},
};

/// Meta's default for a new number.
const MESSAGES_PER_SECOND_DEFAULT: i64 = 80;
pub(super) const MESSAGES_PER_SECOND_MAX: i64 = 100_000;

/// The number, and what it says of its connection, which can be wrong as well when the number is.
pub(super) fn parse_sender(mut section: Section<'_>, account: &str) -> (Option<SenderRecord>, Option<Reference>) {
    section.require("number", "give the WhatsApp business number, like +919876500001");
    section.require("connection", "give the id of the connection that it is reached through");
    section.require("phone_number_id", "give the provider's id of the number");
    section.require("waba_id", "give the provider's id of the business account that owns number and templates");
    let number = section.checked("number", number);
    let connection = section.checked("connection", is_slug);
    let mut ids = Vec::new();
    let mut id = |key: &'static str| {
        let what = section.checked(key, provider_id)?;
        ids.push((key, Stated { line: section.line_of(key), what: what.clone() }));
        Some(what)
    };
    let (provider_number_id, provider_account_id) = (id("phone_number_id"), id("waba_id"));
    let line = section.line_of("connection");
    let reference = connection.clone().map(|what| Reference { connection: Stated { line, what }, ids });
    let messages_per_second = if section.has("messages_per_second") {
        section.integer("messages_per_second", 1..=MESSAGES_PER_SECOND_MAX)
    } else {
        Some(MESSAGES_PER_SECOND_DEFAULT)
    };
    let policy = parse_sender_policy(&mut section);
    section.finish();
    let whole = || {
        Some(SenderRecord {
            account: account.to_owned(),
            connection: connection?,
            number: number?,
            provider_number_id: provider_number_id?,
            provider_account_id: provider_account_id?,
            messages_per_second: u32::try_from(messages_per_second?).expect("checked against its range"),
            policy,
        })
    };
    (whole(), reference)
}

fn parse_sender_policy(section: &mut Section<'_>) -> SenderPolicy {
    let mut place = |key| section.checked(key, not_blank);
    SenderPolicy { location_name: place("location_name"), location_address: place("location_address") }
}

fn provider_id(text: &str) -> Result<String, String> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be the provider's id: 1 to 64 characters without spaces".to_owned())
    }
}

/// Whose callbacks they are.
pub(super) struct Callbacks<'a> {
    pub(super) account: &'a str,
    pub(super) dialect: &'a str,
    pub(super) sender: Option<&'a PhoneNumber>,
    pub(super) line: usize,
}

impl Callbacks<'_> {
    pub(super) fn records(
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

/// The keys of callback URLs, of accounts and of numbers.
pub(super) const URL_KEYS: [(EventKind, &str); 2] =
    [(EventKind::Status, "delivery_report_callback_url"), (EventKind::Inbound, "inbound_message_callback_url")];

/// An empty URL is as good as none: no such callbacks are wanted.
pub(super) fn callback_urls(
    section: &mut Section<'_>,
    surroundings: &Surroundings<'_>,
) -> [(EventKind, Option<SecretString>); 2] {
    URL_KEYS.map(|(kind, key)| {
        let url = section.checked(key, |text| match text {
            "" => Ok(None),
            text => web_url(text, surroundings).map(|url| Some(url.to_owned().into())),
        });
        (kind, url.flatten())
    })
}
