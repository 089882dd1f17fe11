//! Accounts: whether they can send at all, and whether anybody hears of what became of it.

use secrecy::ExposeSecret as _;

use super::{Checker, number_on_hold};
use crate::domain::{
    account::Account,
    callback::{EventKind, Subscription},
    finding::Finding,
    words::counted,
};

impl Checker<'_> {
    pub(super) async fn check_accounts(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.configuration.accounts.is_empty() {
            findings.push(Finding::doubtful("accounts", "there is none", "apply a file; see `wabridge apply --help`"));
        }
        for account in &self.configuration.accounts {
            let named = self.scope.account.as_ref().is_none_or(|id| account.id == *id);
            let senders = self.configuration.senders.iter().filter(|sender| sender.account == account.key);
            let connected = self.scope.connection.is_none() || senders.clone().any(|sender| self.covers(sender));
            if named && connected {
                findings.extend(self.check_account(account).await);
            }
        }
        findings
    }

    async fn check_account(&self, account: &Account) -> Vec<Finding> {
        let about = format!("account {}", account.id);
        let mut findings = Vec::new();
        if !account.enabled {
            findings.push(Finding::doubtful(
                &about,
                "it is disabled: whatever it sends is refused",
                "apply enabled = true, if that is not meant",
            ));
        }
        let senders: Vec<_> =
            self.configuration.senders.iter().filter(|sender| sender.account == account.key).collect();
        match senders.len() {
            0 => findings.push(Finding::wrong(
                &about,
                "it has no sender number, so whatever it sends is refused",
                "add one under [[accounts.senders]] in the apply file",
            )),
            numbers => findings.push(Finding::fine(&about, format!("sender numbers: {numbers}"))),
        }
        for conflict in account.policy.expires_in_quiet_hours() {
            let remedy = "apply a longer expire_after, or shorter quiet_hours";
            findings.push(Finding::doubtful(&about, conflict, remedy));
        }
        findings.extend(senders.into_iter().filter_map(number_on_hold));
        let own = self.configuration.subscriptions.iter().filter(|subscription| subscription.account == account.key);
        for (kind, key, what) in [
            (EventKind::Status, "delivery_report_callback_url", "statuses are stored and reported to nobody"),
            (EventKind::Inbound, "inbound_message_callback_url", "messages from people are stored and told to nobody"),
        ] {
            if !own.clone().any(|subscription| subscription.kind == kind) {
                findings.push(Finding::doubtful(
                    &about,
                    format!("it has no {key}: {what}"),
                    format!("copy the URL from CleverTap to {key} in the apply file"),
                ));
            }
        }
        for subscription in own {
            findings.extend(self.check_callback_url(&about, subscription).await);
        }
        findings
    }

    /// By its server only: nothing is sent to it.
    async fn check_callback_url(&self, about: &str, subscription: &Subscription) -> Vec<Finding> {
        let key = subscription.key;
        let what = match subscription.kind {
            EventKind::Status => "the callback URL for delivery reports",
            EventKind::Inbound => "the callback URL for inbound messages",
            EventKind::Notice => "the callback URL for notices",
            EventKind::Outgoing => "the callback URL for messages going out",
            EventKind::Person => "the callback URL for contacts and conversations",
        };
        let mut findings = Vec::new();
        if !self.scope.offline {
            findings.push(match self.exchange.would_be_received(subscription.url.expose_secret()).await {
                Ok(()) => Finding::fine(about, format!("{what} ({key}) is on a server that answers")),
                Err(why) => Finding::wrong(
                    about,
                    format!("{what} ({key}): {why}"),
                    "compare it with the one that CleverTap shows",
                ),
            });
        }
        let state = self.store.cursor_state(key).await.ok().flatten();
        let trouble = state.map(|state| state.trouble).unwrap_or_default();
        if let Some(hold) = trouble.hold {
            findings.push(Finding::wrong(
                about,
                format!("{what} ({key}) is on hold since {}: {}", hold.since, hold.reason),
                format!("apply the right URL, or run `wabridge release {key}`"),
            ));
        } else if let Some(since) = trouble.failing_since {
            findings.push(Finding::doubtful(
                about,
                format!("{what} ({key}) fails since {since}, {} in a row", counted(trouble.failures, "time", "times")),
                "it is tried again by itself; when it lasts, ask CleverTap",
            ));
        }
        findings
    }
}
