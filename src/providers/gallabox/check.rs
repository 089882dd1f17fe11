//! What can be found out about a connection to Gallabox: whether its keys are good, and whether the templates of its numbers
//! can be read. Webhooks are set up by hand, and Gallabox tells nobody whether they are: so it is said what must stand where.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    reading,
    settings::{WEBHOOK_SECRET, poll_every, takes_unsigned},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        finding::{Finding, Topic},
        words::counted,
    },
    net::exchange::Exchange,
    providers::{Checked, usable},
};

pub(super) async fn check(
    via: &Exchange,
    connection: &Connection,
    senders: &[Arc<Sender>],
    webhook_url: Option<&str>,
) -> Checked {
    let about = format!("connection {}", connection.id);
    let started = Instant::now();
    let me = reading::me(via, connection).await;
    let known = me.is_ok();
    let credentials = match me {
        Ok(Some(name)) => Finding::fine(&about, format!("the API key works; it is {name}'s")),
        Ok(None) => Finding::fine(&about, "the API key works"),
        Err(text) => Finding::wrong(
            &about,
            format!("Gallabox does not take the API key: {text}"),
            "make a new key in Gallabox (Settings, API keys), and give the connection its api_key and api_secret",
        ),
    };
    let mut findings = vec![credentials.on(Topic::Credentials).within(started.elapsed())];
    let mut accounts: BTreeMap<&str, &Arc<Sender>> = BTreeMap::new();
    for sender in senders {
        accounts.entry(&sender.provider_account_id).or_insert(sender);
    }
    for (account, sender) in accounts {
        let started = Instant::now();
        let finding = match known {
            true => check_templates(via, account, sender).await,
            false => Finding::not_checked(
                format!("Gallabox account {account}"),
                "Gallabox says nothing without a key that it takes",
                "mend the API key first",
            ),
        };
        findings.push(finding.on(Topic::Templates).within(started.elapsed()));
    }
    findings.push(webhook(connection, &about, webhook_url).on(Topic::WebhookUrl));
    findings.push(signature(connection, &about).on(Topic::Signature));
    Checked { findings, numbers: vec![] }
}

async fn check_templates(via: &Exchange, account: &str, sender: &Sender) -> Finding {
    let about = format!("Gallabox account {account}");
    match reading::templates(via, sender, None).await {
        Ok(templates) if templates.is_empty() => Finding::doubtful(
            about,
            "its list of templates is empty",
            "create a template in Gallabox, and look whether waba_id is the Gallabox account's id",
        ),
        Ok(templates) => {
            Finding::fine(about, format!("{} can be read", counted(templates.len() as u64, "template", "templates")))
        }
        Err(failure) => Finding::wrong(
            about,
            format!("its templates cannot be read: {failure}"),
            "look whether waba_id is the Gallabox account's id, and whether the key may read templates",
        ),
    }
}

fn webhook(connection: &Connection, about: &str, webhook_url: Option<&str>) -> Finding {
    if let Some(every) = poll_every(connection) {
        return Finding::fine(
            about,
            format!("conversations are read every {} s; webhooks are not needed", every.as_secs()),
        );
    }
    match webhook_url {
        Some(url) => Finding::not_checked(
            about,
            "Gallabox does not tell where its webhooks go",
            format!(
                "in Gallabox (Settings, Webhooks) add {url} with the method POST, the connection's webhook_secret, and the events \
                 Message.Received, Message.WA.Status.Received, Message.WA.Status.Failed and Template.Status; where you use them, also \
                 Message.Flow.Received, Message.WA.Cart.Received, Message.WA.Interaction.Received and \
                 Message.WA.Payment.Status.Received"
            ),
        ),
        None => Finding::not_checked(
            about,
            "nobody has said how the world reaches this bridge",
            "set server.public_url, and check again: then it is said here what Gallabox must be told",
        ),
    }
}

fn signature(connection: &Connection, about: &str) -> Finding {
    let signed = usable(connection.secrets(WEBHOOK_SECRET)).next().is_some();
    match (signed, takes_unsigned(connection)) {
        (true, _) => Finding::fine(about, "webhooks must be signed with the webhook secret"),
        (false, true) => Finding::doubtful(
            about,
            "webhooks are taken from anybody who knows their URL",
            "enter a secret at Gallabox's webhook, and give it to the connection as webhook_secret",
        ),
        (false, false) => Finding::wrong(
            about,
            "the connection has no webhook_secret, so every webhook is refused",
            "enter a secret at Gallabox's webhook and give it to the connection as webhook_secret, or set unsigned_webhooks",
        ),
    }
}
