//! `wabridge message resend`: an operator's decision to send one message again.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    domain::status::DeliveryStatus,
    services::resend::{self, NotResent},
    settings::Settings,
    store::{Store, configuration::Configuration},
};

use super::{find, nothing_known};
use crate::cli::{misused, report, this_user};

/// Send a message again that failed, expired or was cancelled
///
/// It is the same message, and begins anew: it waits in its number’s queue with a fresh time to expire, and what comes of it is
/// reported under the same msgId. CleverTap hears `sent`, `delivered` and `read` once, whatever number of sends it took, and
/// `failed` of each send that failed. The message’s story keeps the earlier sends, and who decided what. What waits or is being
/// sent is refused; what may arrive twice, or is not wanted, needs --force.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge message resend '7|1790000000|20261120|7|0' --reason 'the template is mended'
  wabridge message resend msg_06xtcv2j80000 --force      its outcome is unknown, and a second copy would do no harm

Exit codes: 0 it waits to be sent; 1 it may not be sent again, or was refused and never accepted: the text says why; 2 the id names several messages;
3 no such message. --json prints: done, id, expires_at.")]
pub(crate) struct ResendArguments {
    /// Our id (msg_…), the platform’s msgId, or the provider’s id (wamid.…)
    id: String,
    /// Also when the person may get it twice, or WhatsApp has advised against it
    #[arg(long)]
    force: bool,
    /// Why, for the message’s story
    #[arg(long, default_value = "no reason was given")]
    reason: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn resend_message(settings: &Settings, arguments: &ResendArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let found = find(&store, &configuration, &arguments.id).await?;
    let message = match found.as_slice() {
        [] => {
            ensure_not_refused(&store, &configuration, &arguments.id).await?;
            return nothing_known(&arguments.id, arguments.json);
        }
        [one] => one,
        [_, _, ..] => {
            let ids: Vec<String> = found.iter().map(|message| message.id.to_string()).collect();
            let problem = format!("{} names {} messages; say which: {}", arguments.id, ids.len(), ids.join(", "));
            return Err(misused(problem));
        }
    };
    let id = message.id;
    let wanted = (arguments.reason.as_str(), arguments.force);
    let expires_at = match resend::resend(&store, &configuration, &this_user(), message, wanted).await {
        Ok(expires_at) => expires_at,
        Err(NotResent::Never(why)) => bail!("{id} is not sent again: {why}"),
        Err(NotResent::Risky(why)) => bail!("{id} is not sent again: {why}. Say --force if you mean it"),
        Err(NotResent::Removed) => bail!("the account or the number of {id} was removed"),
        Err(NotResent::Moved) => {
            bail!("{id} has moved in this moment; look at `wabridge message {id}` and try again")
        }
        Err(NotResent::Store(error)) => return Err(error.into()),
    };
    let told = match message.delivery {
        Some(DeliveryStatus::Failed) => "; its failure was reported, and what comes of it now will be too",
        Some(DeliveryStatus::Sent | DeliveryStatus::Delivered | DeliveryStatus::Read) | None => "",
    };
    let text = format!("{} waits to be sent again, before {expires_at}{told}\n", message.id);
    let value = json!({"done": true, "id": message.id.to_string(), "expires_at": expires_at.to_string()});
    report(arguments.json, &text, &value)?;
    Ok(ExitCode::SUCCESS)
}

/// Of a request that was refused nothing waits here: only its sender can send it again.
async fn ensure_not_refused(store: &Store, configuration: &Configuration, id: &str) -> anyhow::Result<()> {
    let refused = store.refused_with(id).await?;
    let Some(newest) = refused.first() else { return Ok(()) };
    let account = configuration.account_by_key(newest.account);
    bail!(
        "{id} was refused at {} for account {} ({}), so it was never accepted and cannot be sent from here: {}. Mend that, then \
         let CleverTap send it again",
        newest.at,
        account.map_or("?", |account| account.id.as_str()),
        newest.kind,
        newest.answer
    )
}
