//! `wabridge hold` and `wabridge release`: stopping a number or a connection, and letting it go on.

use anyhow::{Context as _, bail};
use clap::Args;
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{account::Hold, phone::PhoneNumber},
    settings::Settings,
};

use super::answer;

/// Stop sending from a number, or through a connection
///
/// Messages are still accepted; they stay queued until the hold is released or they grow too old. A running
/// server notices within seconds.
#[derive(Args)]
pub(crate) struct HoldArguments {
    /// A sender number such as +918880110022, or a connection’s id
    what: String,
    /// Why, for those who look at the status later
    #[arg(long, default_value = "held by an operator")]
    reason: String,
}

/// Let a number, a connection, or a callback URL on hold go on
#[derive(Args)]
pub(crate) struct ReleaseArguments {
    /// A sender number such as +918880110022, a connection’s id (which releases its numbers too), or
    /// the number of a subscription as `wabridge status` shows it
    what: String,
}

pub(crate) async fn hold(settings: &Settings, arguments: &HoldArguments) -> anyhow::Result<()> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let hold = Hold { since: clock::now(), reason: arguments.reason.clone() };
    if let Some(connection) = configuration.connections.iter().find(|connection| connection.id == arguments.what) {
        store.hold_connection(connection.key, &hold).await?;
        return answer(&format!("connection {} is on hold\n", connection.id));
    }
    let number = PhoneNumber::from_international(&arguments.what);
    let sender = configuration.senders.iter().find(|sender| Some(&sender.number) == number.as_ref());
    let sender = sender.with_context(|| nothing_like(&arguments.what))?;
    store.hold_sender(sender.key, &hold).await?;
    answer(&format!("number {} is on hold\n", sender.number.as_e164()))
}

pub(crate) async fn release(settings: &Settings, arguments: &ReleaseArguments) -> anyhow::Result<()> {
    let what = arguments.what.as_str();
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let number = PhoneNumber::from_international(what);
    let released = if let Some(connection) = configuration.connections.iter().find(|known| known.id == what) {
        store.release_connection(connection.key).await?
    } else if let Some(sender) = configuration.senders.iter().find(|sender| Some(&sender.number) == number.as_ref()) {
        store.release_sender(sender.key).await?
    } else if let Some(subscription) =
        configuration.subscriptions.iter().find(|subscription| subscription.key.to_string() == what)
    {
        store.release_subscription(subscription.key).await?
    } else {
        bail!(nothing_like(what));
    };
    match released {
        0 => answer(&format!("{what} was not on hold\n")),
        _ => answer(&format!("{what} is released; a running server goes on within seconds\n")),
    }
}

fn nothing_like(what: &str) -> String {
    format!("there is no number, connection or subscription {what}; `wabridge status` lists them")
}
