//! Whom something that is wrong touches: an account sees what is its own, what it shares with others, and what is the whole server's.

use crate::{
    domain::{account::Sender, alarm::AlarmKind, ids::AccountKey},
    services::directory::Snapshot,
};

/// Whether it touches this account. Subjects are always in the same words, and no name in them has a space.
pub fn concerns(snapshot: &Snapshot, (kind, subject): (AlarmKind, &str), account: AccountKey) -> bool {
    let name = subject.split(' ').nth(1).unwrap_or_default();
    let any_number = |is: &dyn Fn(&Sender) -> bool| snapshot.senders_of(account).iter().any(|sender| is(sender));
    let is_account = |id: &str| snapshot.account_by_key(account).is_some_and(|known| known.id == id);
    match kind {
        AlarmKind::ConnectionHeld | AlarmKind::TokenRefused => any_number(&|sender| sender.connection.id == name),
        AlarmKind::NumberHeld
        | AlarmKind::QualityRed
        | AlarmKind::TierChanged
        | AlarmKind::LimitReached
        | AlarmKind::WebhooksSilent
        | AlarmKind::QueueLate => any_number(&|sender| sender.number.as_e164() == name),
        // `template sale (en) of 2001`: the business account at the provider.
        AlarmKind::TemplateStopped => {
            let owner = subject.rsplit(' ').next().unwrap_or_default();
            any_number(&|sender| sender.provider_account_id == owner)
        }
        AlarmKind::SubscriptionsRefused => is_account(name),
        // `callback URL 3 (delivery reports of acme)`, or `webhook crm (notices of acme)`.
        AlarmKind::CallbacksFailing => {
            let of = subject.strip_suffix(')').and_then(|subject| subject.rsplit_once(" of "));
            of.is_some_and(|(_, id)| is_account(id))
        }
        AlarmKind::WebhookSwitchedOff => snapshot.subscriptions_ever().any(|subscription| {
            let webhook = subscription.webhook.as_ref();
            subscription.account == account && webhook.is_some_and(|webhook| webhook.name == name)
        }),
        AlarmKind::DiskFull => true,
    }
}
