//! What the bridge is told: one connection, and accounts with numbers.

use clap::ValueEnum;
use wabridge::simulator::Dialect;

use crate::{load::Line, stage::Plan};

pub(crate) const ACCOUNT: &str = "acme";
/// A neighbour with a number and a callback URL of its own.
pub(crate) const OTHER_ACCOUNT: &str = "globex";
pub(crate) const CONNECTION: &str = "meta-main";
pub(crate) const APP_SECRET: &str = "simulator-app-secret";
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("X-CleverTap-Account-Id", "TEST-ACC-1"), ("X-CleverTap-Passcode", "acme-passcode")];

/// Who carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultsProvider {
    Meta,
    Gallabox,
}

impl FaultsProvider {
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Gallabox => "gallabox",
        }
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Meta => Dialect::Meta,
            Self::Gallabox => Dialect::Gallabox,
        }
    }

    /// What proves who we are, as lines of its connection.
    fn credentials(self) -> String {
        match self {
            Self::Meta => format!(
                r#"
        access_token = "simulator-access-token"
        app_secret = "{APP_SECRET}"
        verify_token = "verify-me"
        "#
            ),
            Self::Gallabox => format!(
                r#"
        api_key = "simulator-access-token"
        api_secret = "{APP_SECRET}"
        webhook_secret = "{APP_SECRET}"
        "#
            ),
        }
    }
}

/// The numbers that send, those of the account first.
pub(crate) fn lines(plan: &Plan) -> Vec<Line> {
    let own = (0..plan.numbers).map(|_| ACCOUNT);
    let others = plan.other_account.then_some(OTHER_ACCOUNT);
    own.chain(others)
        .enumerate()
        .map(|(place, account)| Line { account, number: format!("+91888011{place:04}") })
        .collect()
}

/// The provider's name for the number at this place.
pub(crate) fn phone_number_id(place: usize) -> String {
    format!("10000000000{place:04}")
}

/// The file for `wabridge apply`. `simulator` is behind all URLs, and `peer` before it where somebody may misbehave.
pub(crate) fn file(plan: &Plan, lines: &[Line], simulator: &str, peer: Option<&str>) -> String {
    let provider = peer.unwrap_or(simulator);
    let (slug, credentials) = (plan.provider.slug(), plan.provider.credentials());
    let mut text = format!(
        r#"
        [[connections]]
        id = "{CONNECTION}"
        provider = "{slug}"
        base_url = "{provider}"
        {credentials}
        "#
    );
    text.push_str(&account(ACCOUNT, simulator, &plan.account));
    text.push_str(&senders(plan, lines, ACCOUNT));
    if plan.other_account {
        text.push_str(&account(OTHER_ACCOUNT, provider, ""));
        text.push_str(&senders(plan, lines, OTHER_ACCOUNT));
    }
    text
}

fn account(id: &str, callbacks: &str, more: &str) -> String {
    format!(
        r#"
        [[accounts]]
        id = "{id}"
        platform = "clevertap"
        clevertap_account_id = "TEST-ACC-1"
        clevertap_passcode = "acme-passcode"
        delivery_report_callback_url = "{callbacks}/clevertap/delivery-reports/{id}"
        inbound_message_callback_url = "{callbacks}/clevertap/inbound/{id}"
        default_country = "IN"
        {more}
        "#
    )
}

fn senders(plan: &Plan, lines: &[Line], account: &str) -> String {
    let messages_per_second = plan.messages_per_second;
    let of_account = lines.iter().enumerate().filter(|(_, line)| line.account == account);
    of_account
        .map(|(place, Line { number, .. })| {
            let phone_number_id = phone_number_id(place);
            format!(
                r#"
                [[accounts.senders]]
                number = "{number}"
                connection = "{CONNECTION}"
                phone_number_id = "{phone_number_id}"
                waba_id = "200000000000001"
                messages_per_second = {messages_per_second}
                "#
            )
        })
        .collect()
}
