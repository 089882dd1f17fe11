//! What the bridge is told: one connection, and accounts with numbers.

use clap::ValueEnum;
use wabridge::simulator::{Dialect, SAMPLE_TEMPLATES};

use crate::{
    load::Line,
    stage::{Plan, ThroughPeer},
};

pub(crate) const ACCOUNT: &str = "acme";
/// A neighbour with a number and a callback URL of its own.
pub(crate) const OTHER_ACCOUNT: &str = "globex";
pub(crate) const CONNECTION: &str = "meta-main";
pub(crate) const APP_SECRET: &str = "simulator-app-secret";
pub(crate) const CREDENTIALS: [(&str, &str); 2] =
    [("X-CleverTap-Account-Id", "TEST-ACC-1"), ("X-CleverTap-Passcode", "acme-passcode")];

/// The simulator's own default.
const WEBHOOK_SECRET: &str = "simulator-webhook-secret";
const URL_TOKEN: &str = "the-end-of-the-url-of-webhooks";

/// Who carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultsProvider {
    Meta,
    #[value(name = "360dialog")]
    Dialog360,
    Gallabox,
    Commbox,
    Gotallo,
}

/// Scenarios that post webhooks of Meta's, or look into what goes to it.
const METAS_OWN: [&str; 3] = ["statuses", "database-wire", "wire"];
/// Scenarios with several numbers of one connection.
const OF_SEVERAL_NUMBERS: [&str; 7] = ["writers", "moves", "spread", "wire", "pace", "clock", "clock-restarts"];
/// Where the account has everything sent again of which nobody knows.
const SENDS_AGAIN: &str = "pause";

impl FaultsProvider {
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Dialog360 => "360dialog",
            Self::Gallabox => "gallabox",
            Self::Commbox => "commbox",
            Self::Gotallo => "gotallo",
        }
    }

    /// Why a scenario is none for this provider; `None` when it is.
    pub(crate) fn leaves_out(self, scenario: &str) -> Option<&'static str> {
        if self != Self::Meta && METAS_OWN.contains(&scenario) {
            return Some("it writes and reads what only goes between Meta and the bridge");
        }
        match self {
            Self::Dialog360 | Self::Commbox if OF_SEVERAL_NUMBERS.contains(&scenario) => {
                Some("it needs several numbers of one connection, and each number of this provider has its own")
            }
            Self::Commbox if scenario == SENDS_AGAIN => {
                Some("it sends again what nobody knows of, and this provider gives no id of ours back that would tell")
            }
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Commbox | Self::Gotallo => None,
        }
    }

    /// Every scenario that one of the reasons above names.
    pub(crate) fn named_scenarios() -> impl Iterator<Item = &'static str> {
        METAS_OWN.into_iter().chain(OF_SEVERAL_NUMBERS).chain([SENDS_AGAIN])
    }

    /// Whether it gives our own id of a message back with what it reports.
    pub(crate) const fn gives_our_id_back(self) -> bool {
        match self {
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Gotallo => true,
            Self::Commbox => false,
        }
    }

    /// Where its webhooks go, below an instance's own URL.
    pub(crate) fn webhook_path(self) -> String {
        let path = format!("/webhooks/{}/{CONNECTION}", self.slug());
        match self {
            Self::Meta | Self::Dialog360 | Self::Gallabox | Self::Commbox => path,
            Self::Gotallo => format!("{path}/{URL_TOKEN}"),
        }
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Meta => Dialect::Meta,
            Self::Dialog360 => Dialect::Dialog360,
            Self::Gallabox => Dialect::Gallabox,
            Self::Commbox => Dialect::Commbox,
            Self::Gotallo => Dialect::Gotallo,
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
            Self::Dialog360 => format!(
                r#"
        api_key = "simulator-access-token:{}"
        webhook_secret = "{WEBHOOK_SECRET}"
        "#,
                phone_number_id(0)
            ),
            Self::Gallabox => format!(
                r#"
        api_key = "simulator-access-token"
        api_secret = "{APP_SECRET}"
        webhook_secret = "{APP_SECRET}"
        "#
            ),
            Self::Commbox => format!(
                r#"
        api_key = "simulator-access-token"
        stream_id = "{}"
        webhook_secret = "{WEBHOOK_SECRET}"
        "#,
                phone_number_id(0)
            ),
            // By the simulator's private endpoint.
            Self::Gotallo => format!(
                r#"
        url_token = "{URL_TOKEN}"
        send_path = "/gotallo/{{{{number_id}}}}/messages"
        auth = "bearer"
        auth_secret = "simulator-access-token"
        body_template = '{PRIVATE_BODY}'
        body_text = '{PRIVATE_BODY}'
        answer = """
        id         /id
        error.code /error/code
        error.text /error/message
        """
        templates = '''
        {SAMPLE_TEMPLATES}
        '''
        "#
            ),
        }
    }
}

const PRIVATE_BODY: &str = r#"{ "message": "{{whatsapp}}", "custom_data": { "reference": "{{message_id}}" } }"#;

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
    let others_callbacks = peer.unwrap_or(simulator);
    let provider = if plan.through_peer == ThroughPeer::All { others_callbacks } else { simulator };
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
        text.push_str(&account(OTHER_ACCOUNT, others_callbacks, ""));
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
