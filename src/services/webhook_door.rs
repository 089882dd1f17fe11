//! The door to the receivers of webhooks: a rendered event becomes a request with the webhook's method, headers and credentials.
//!
//! All of it goes through [`Exchange`], so no redirect is followed and no private network is reached that way, the token URL
//! included.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use secrecy::SecretString;

use super::webhook_tokens::WebhookTokens;
use crate::{
    clock,
    domain::{
        attempt::{Attempt, AttemptOutcome},
        ids::WebhookKey,
        time::UnixMillis,
        webhook::{Authentication, ClientCertificate, Webhook, WebhookMethod},
    },
    net::{
        exchange::{Answer, Exchange, ExchangeError, Exchanged, Method, NoAnswer, OutgoingRequest},
        redact,
    },
    profiles,
};

pub struct WebhookDoor {
    exchange: Exchange,
    tokens: WebhookTokens,
    /// Doors of webhooks with a certificate of their own, and of which version of the webhook each is.
    presenting: Mutex<HashMap<WebhookKey, (UnixMillis, Exchange)>>,
    /// When each webhook with a rate may be asked again.
    turns: Mutex<HashMap<WebhookKey, Instant>>,
}

impl WebhookDoor {
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange, tokens: WebhookTokens::default(), presenting: Mutex::default(), turns: Mutex::default() }
    }

    /// Waits until the webhook's rate has room for one more request of this instance.
    pub async fn wait_for_pace(&self, webhook: &Webhook) {
        let Some(per_second) = webhook.settings.per_second else { return };
        let between = Duration::from_secs(1) / per_second.max(1);
        let now = Instant::now();
        let turn = {
            let mut turns = self.turns.lock().expect("no holder can panic");
            let next = turns.entry(webhook.key).or_insert(now);
            let turn = (*next).max(now);
            *next = turn + between;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }

    /// One request, with a fresh token after a 401 where tokens are fetched. Also for samples.
    ///
    /// A connection that broke before anything came says nothing of the receiver: most often it was idle, and was closed just then.
    /// So the request leaves once more, on another one; a receiver that sees it twice knows it by its id.
    pub async fn send(&self, webhook: &Webhook, request: &profiles::Rendered) -> (Attempt, Option<Duration>) {
        let (mut exchanged, mut shown) = self.exchange_once(webhook, request).await;
        if matches!(exchanged.result, Err(NoAnswer::MaybeSent(_))) && exchanged.took < timeout_of(webhook) {
            self.wait_for_pace(webhook).await;
            (exchanged, shown) = self.exchange_once(webhook, request).await;
        }
        match (&exchanged.result, &webhook.settings.authentication) {
            (Ok(Answer { status: 401, .. }), Authentication::OAuth2 { .. }) if self.tokens.forget(webhook) => {
                self.wait_for_pace(webhook).await;
                let (exchanged, shown) = self.exchange_once(webhook, request).await;
                judge(webhook, exchanged, &shown)
            }
            _ => judge(webhook, exchanged, &shown),
        }
    }

    /// Also gives back the secrets that the request showed.
    async fn exchange_once(&self, webhook: &Webhook, request: &profiles::Rendered) -> (Exchanged, Vec<SecretString>) {
        let settings = &webhook.settings;
        let started = (clock::now(), Instant::now());
        let timeout = timeout_of(webhook);
        let not_sent =
            |why: NoAnswer| (Exchanged { started_at: started.0, took: started.1.elapsed(), result: Err(why) }, vec![]);
        let exchange = match self.exchange_of(webhook) {
            Ok(exchange) => exchange,
            Err(error) => return not_sent(NoAnswer::NotSent(error.to_string())),
        };
        let authorization = match self.tokens.authorization(&exchange, webhook, timeout).await {
            Ok(authorization) => authorization,
            Err(no_answer) => return not_sent(no_answer),
        };
        let mut headers: Vec<(Cow<'_, str>, SecretString)> = Vec::new();
        headers.push(("content-type".into(), request.content_type.clone().into()));
        headers.extend(settings.headers.iter().map(|(name, value)| (name.as_str().into(), value.expose().into())));
        headers.extend(request.headers.iter().map(|(name, value)| ((*name).into(), value.clone().into())));
        let own = settings.headers.values().map(|value| SecretString::from(value.expose()));
        let shown = own.chain(authorization.clone()).collect();
        headers.extend(authorization.map(|value| ("authorization".into(), value)));
        let exchanged = exchange
            .send(OutgoingRequest {
                method: match settings.method {
                    WebhookMethod::Post => Method::Post,
                    WebhookMethod::Put => Method::Put,
                    WebhookMethod::Patch => Method::Patch,
                },
                url: settings.url.expose(),
                headers,
                body: Some(request.body.clone().into()),
                timeout,
            })
            .await;
        (exchanged, shown)
    }

    /// Connections that show the webhook's certificate are nobody else's; they are made anew when the webhook changes.
    fn exchange_of(&self, webhook: &Webhook) -> Result<Exchange, ExchangeError> {
        let mut presenting = self.presenting.lock().expect("no holder can panic");
        let Some(own) = &webhook.settings.client_certificate else {
            presenting.remove(&webhook.key);
            return Ok(self.exchange.clone());
        };
        match presenting.get(&webhook.key) {
            Some((of, exchange)) if *of == webhook.updated_at => Ok(exchange.clone()),
            Some(_) | None => {
                let exchange =
                    self.exchange.presenting(&own.certificate.expose().into(), &own.private_key.expose().into())?;
                presenting.insert(webhook.key, (webhook.updated_at, exchange.clone()));
                Ok(exchange)
            }
        }
    }
}

fn timeout_of(webhook: &Webhook) -> Duration {
    Duration::from_secs(u64::from(webhook.settings.timeout_seconds))
}

/// Whether a webhook can show its certificate; an error says what to change.
pub(super) fn check_certificate(own: &ClientCertificate) -> Result<(), ExchangeError> {
    Exchange::can_present(&own.certificate.expose().into(), &own.private_key.expose().into())
}

fn judge(webhook: &Webhook, exchanged: Exchanged, shown: &[SecretString]) -> (Attempt, Option<Duration>) {
    let Exchanged { started_at, took, result } = exchanged;
    let excerpt = result.as_ref().ok().map(|answer| answer.excerpt(shown));
    let attempt = |outcome, http_status, note| Attempt { started_at, took, outcome, http_status, note, excerpt };
    match result {
        Ok(Answer { status, .. }) if webhook.settings.success.is(status) => {
            (attempt(AttemptOutcome::Succeeded, Some(status), String::new()), None)
        }
        Ok(answer) => {
            let note = answer.in_words_without(shown);
            (attempt(AttemptOutcome::Refused, Some(answer.status), note), answer.retry_after)
        }
        Err(error) => (attempt(AttemptOutcome::NoAnswer, None, redact::text(&error.to_string())), None),
    }
}
