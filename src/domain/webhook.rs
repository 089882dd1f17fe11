//! A webhook: where somebody wants to hear of what happens, of which events, in which shape, and how hard we try.
//!
//! It is configured once and may cover several accounts. For each account and each kind of event that it wants there is one
//! [`super::callback::Subscription`], which has the cursor; so a webhook is told in order, fairly and at least once like every
//! other callback. What people say of it is in [`super::webhook_settings`].

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{account::Hold, ids::WebhookKey, time::UnixMillis, webhook_settings::WebhookSettings};

/// A webhook as it is stored.
#[derive(Clone)]
pub struct Webhook {
    pub key: WebhookKey,
    pub name: String,
    pub enabled: bool,
    /// Everything is kept for it, and nothing is sent.
    pub paused: bool,
    pub settings: WebhookSettings,
    /// Replaced ones that still sign beside the newest, the newest of them first.
    pub old_signing_secrets: Vec<OldSigningSecret>,
    /// The bridge itself switched it off.
    pub switched_off: Option<Hold>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
}

/// Not what is in it.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("key", &self.key).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A signing secret that was replaced, and until when receivers may still know it only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OldSigningSecret {
    pub secret: SecretText,
    pub until: UnixMillis,
}

impl Webhook {
    /// What requests are signed with now, the newest first.
    pub fn signing_secrets(&self, now: UnixMillis) -> Vec<SecretString> {
        let newest = self.settings.signing_secret.iter();
        let old = self.old_signing_secrets.iter().filter(|old| old.until > now).map(|old| &old.secret);
        newest.chain(old).map(|secret| secret.0.clone()).collect()
    }
}

/// A text that is never shown. It writes itself whole, for the sealed column alone.
#[derive(Clone)]
pub struct SecretText(SecretString);

/// What stands for a secret where it is shown; in a change it means that the secret stays.
pub const MASK: &str = "…";

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    pub fn mask() -> Self {
        Self::new(MASK)
    }

    pub fn is_mask(&self) -> bool {
        self.expose() == MASK
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The method of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum WebhookMethod {
    #[default]
    #[serde(rename = "POST")]
    Post,
    #[serde(rename = "PUT")]
    Put,
    #[serde(rename = "PATCH")]
    Patch,
}

/// Which answers mean that it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Success {
    /// Every status from 200 to 299.
    #[default]
    #[serde(rename = "2xx")]
    Any2xx,
    #[serde(rename = "200")]
    Only200,
}

impl Success {
    pub fn is(self, status: u16) -> bool {
        match self {
            Self::Any2xx => (200..300).contains(&status),
            Self::Only200 => status == 200,
        }
    }
}

/// How the bridge shows who it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Authentication {
    #[default]
    #[serde(deserialize_with = "nothing_else")]
    None,
    Basic {
        user: String,
        #[schema(value_type = String)]
        password: SecretText,
    },
    /// `Authorization: PREFIX TOKEN`.
    Bearer {
        #[serde(default = "bearer")]
        prefix: String,
        #[schema(value_type = String)]
        token: SecretText,
    },
    /// A token is fetched from `token_url`, kept while it is good, and fetched once more after a 401.
    #[serde(rename = "oauth2")]
    OAuth2 {
        grant: Grant,
        token_url: String,
        client_id: String,
        #[schema(value_type = String)]
        client_secret: SecretText,
        #[serde(default)]
        scope: String,
        /// For the grant `password`.
        #[serde(default)]
        user: String,
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        password: Option<SecretText>,
    },
}

/// A kind without parts: serde passes over those that somebody gives it.
fn nothing_else<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    Nothing::deserialize(deserializer).map(|Nothing {}| ())
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// What the bridge shows of itself while a connection is made (mutual TLS), also to where tokens are fetched. Nobody sees it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM: the certificate, and behind it those that lead to one that the receiver knows.
    #[schema(value_type = String, example = "-----BEGIN CERTIFICATE-----…")]
    pub certificate: SecretText,
    /// PEM, without a password.
    #[schema(value_type = String, example = "-----BEGIN PRIVATE KEY-----…")]
    pub private_key: SecretText,
}

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    ClientCredentials,
    Password,
}

/// When an event that was not taken is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Retries {
    /// So often, always after the same time.
    Fixed {
        #[schema(minimum = 0, maximum = 20)]
        times: u32,
        #[schema(minimum = 1, maximum = 86400)]
        every_seconds: u32,
    },
    /// As Standard Webhooks recommends: nine times within a little more than three days, after 5 seconds, 5 and 30 minutes, and 2, 5,
    /// 10, 14, 20 and 24 hours, each counted from the try before.
    #[serde(deserialize_with = "nothing_else")]
    Standard,
    /// So often, after twice the time each time.
    Exponential {
        #[schema(minimum = 0, maximum = 20)]
        times: u32,
        #[schema(minimum = 1, maximum = 86400)]
        first_seconds: u32,
    },
}

pub const RETRIES_MAX: u32 = 20;
pub const RETRY_SPACING_SECONDS_MAX: u32 = 24 * 60 * 60;

/// Seconds after the first try, the second, …
const STANDARD_WAITS: [u64; 9] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

impl Default for Retries {
    fn default() -> Self {
        Self::Fixed { times: 3, every_seconds: 300 }
    }
}

impl Retries {
    /// How long to wait when `tries` were made; `None` to give up.
    pub fn wait_after(self, tries: u32) -> Option<Duration> {
        let retry = tries.max(1);
        let seconds = match self {
            Self::Fixed { times, every_seconds } => (retry <= times).then_some(u64::from(every_seconds)),
            Self::Standard => STANDARD_WAITS.get(retry as usize - 1).copied(),
            Self::Exponential { times, first_seconds } => (retry <= times).then(|| {
                let doubled = u64::from(first_seconds).saturating_mul(1 << (retry - 1).min(RETRIES_MAX));
                doubled.min(u64::from(RETRY_SPACING_SECONDS_MAX))
            }),
        };
        seconds.map(Duration::from_secs)
    }
}

/// When the bridge stops trying by itself and says so; both must be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchOff {
    /// After so many failed requests in a row; 0: never.
    #[schema(maximum = 1_000_000)]
    pub failures: u32,
    /// And not before nothing got through for so many hours.
    #[schema(maximum = 720)]
    pub hours: u32,
}

impl Default for SwitchOff {
    fn default() -> Self {
        Self { failures: 100, hours: 72 }
    }
}

impl SwitchOff {
    /// Whether that is enough.
    pub fn is_due(self, failures: i32, failing_for: Duration) -> bool {
        self.failures > 0
            && failures.unsigned_abs() >= self.failures
            && failing_for >= Duration::from_secs(u64::from(self.hours) * 3600)
    }
}

/// Who hears of it when a webhook fails for the first time after it was well, and when the bridge switches it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// By e-mail, from the server of `alarms.smtp_url`.
    #[schema(example = json!(["ops@example.com"]))]
    pub emails: Vec<String>,
    /// Another webhook, which is told webhook.failing and webhook.disabled of this one, whatever else it wants.
    #[schema(example = "operations")]
    pub webhook: Option<String>,
    /// Of failures so many are told in a day (UTC); that it was switched off is always told.
    #[schema(minimum = 1, maximum = 1000)]
    pub per_day: u32,
}

pub const ALERTS_PER_DAY_MAX: u32 = 1_000;
pub const ALERT_EMAILS_MAX: usize = 10;

impl Default for Alerts {
    fn default() -> Self {
        Self { emails: vec![], webhook: None, per_day: 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_again_as_often_as_it_says_and_after_the_time_it_says() {
        let seconds = |retries: Retries| -> Vec<u64> {
            (1..).map_while(|tries| retries.wait_after(tries)).map(|wait| wait.as_secs()).collect()
        };

        assert_eq!(seconds(Retries::default()), [300, 300, 300]);
        assert_eq!(seconds(Retries::Fixed { times: 0, every_seconds: 1 }), [0_u64; 0]);
        assert_eq!(seconds(Retries::Standard).len(), STANDARD_WAITS.len());
        assert_eq!(seconds(Retries::Exponential { times: 4, first_seconds: 3 }), [3, 6, 12, 24]);
        assert_eq!(seconds(Retries::Exponential { times: 20, first_seconds: 3600 }).last(), Some(&86_400));
    }

    #[test]
    fn what_a_kind_does_not_have_is_refused() {
        let retries = |text| serde_json::from_str::<Retries>(text).map_err(|error| error.to_string());
        let authentication = |text| serde_json::from_str::<Authentication>(text).map_err(|error| error.to_string());

        assert_eq!(retries(r#"{"kind": "standard"}"#), Ok(Retries::Standard));
        assert_eq!(authentication(r#"{"kind": "none"}"#), Ok(Authentication::None));
        for refused in [
            retries(r#"{"kind": "standard", "times": 3}"#).err(),
            retries(r#"{"kind": "fixed", "times": 3, "every_seconds": 1, "first_seconds": 1}"#).err(),
            authentication(r#"{"kind": "none", "token": "x"}"#).err(),
            authentication(r#"{"kind": "basic", "user": "a", "password": "b", "token": "x"}"#).err(),
        ] {
            assert!(refused.as_ref().is_some_and(|text| text.starts_with("unknown field")), "{refused:?}");
        }
    }

    #[test]
    fn a_webhook_is_switched_off_after_enough_failures_and_enough_time() {
        let rule = SwitchOff { failures: 3, hours: 1 };
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));

        assert!(rule.is_due(3, hour));
        assert!(!rule.is_due(2, hour) && !rule.is_due(3, minute));
        assert!(!SwitchOff { failures: 0, hours: 0 }.is_due(1000, hour), "0 is never");
    }
}
