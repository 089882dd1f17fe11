//! What CommBox says about a connection: whether it is up, whether the key and the channel's id are right, and which
//! templates there are. It tells nothing of a number's state, nor where its webhooks go.

use std::{sync::Arc, time::Instant};

use super::{
    CommBox, get, path_part,
    settings::{BASE_URL, STREAM_ID},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        finding::{Finding, Topic},
        template::TemplateStatus,
    },
    net::exchange::Exchange,
    providers::{Checked, Provider as _, cloud_api::findings::about as about_number},
};

pub(super) async fn check(
    commbox: &CommBox,
    via: &Exchange,
    connection: &Connection,
    senders: &[Arc<Sender>],
) -> Checked {
    let about = format!("connection {}", connection.id);
    let base = connection.setting(BASE_URL).trim_end_matches('/');
    let mut findings = vec![system(commbox, via, connection, base, &about).await];
    for sender in senders {
        findings.extend(channel(connection, sender));
        findings.push(number(commbox, via, connection, base, sender).await);
        findings.push(templates(commbox, via, sender).await);
    }
    let not_told = |what: &str, remedy: &str| {
        Finding::not_checked(&about, format!("{what} is not offered by this carrier"), remedy)
    };
    let route = not_told("saying where webhooks go", "look at Settings → Webhooks in CommBox");
    findings.push(route.on(Topic::WebhookRoute));
    let quality = not_told("quality, throughput and messaging limit", "look at them in WhatsApp Manager");
    findings.push(quality.on(Topic::Quality));
    let numbers = senders.iter().map(|sender| (sender.key, Ok(NumberState::default()))).collect();
    Checked { findings, numbers }
}

async fn system(commbox: &CommBox, via: &Exchange, connection: &Connection, base: &str, about: &str) -> Finding {
    let started = Instant::now();
    let finding = match get(&commbox.keys, via, connection, &format!("{base}/core/systemstatus")).await {
        Ok(_) => Finding::fine(about, "CommBox is up, and takes the api_key"),
        Err(text) => Finding::wrong(
            about,
            format!("CommBox does not say that it is up: {text}"),
            "check api_key (Settings → API in CommBox), base_url, and the network; then `wabridge release`",
        ),
    };
    finding.on(Topic::Credentials).within(started.elapsed())
}

/// Events are given to the number whose id is the connection's.
fn channel(connection: &Connection, sender: &Sender) -> Option<Finding> {
    (sender.provider_number_id != connection.setting(STREAM_ID)).then(|| {
        let text =
            format!("its phone_number_id is not the {STREAM_ID} of the connection: its statuses would not be found");
        Finding::wrong(about_number(sender), text, "make them the same; each channel has a connection of its own")
            .on(Topic::Number)
    })
}

/// Whether WhatsApp knows the number, asked of the channel: wrong ids are refused. Asked seldom, as CommBox wants it.
async fn number(commbox: &CommBox, via: &Exchange, connection: &Connection, base: &str, sender: &Sender) -> Finding {
    let started = Instant::now();
    let stream = path_part(&sender.provider_number_id);
    let url = format!("{base}/whatsapp/validatecontact/{stream}/{}", sender.number.digits());
    let about = about_number(sender);
    let finding = match get(&commbox.keys, via, connection, &url).await {
        Ok(_) => Finding::fine(about, "CommBox knows the channel"),
        Err(text) => Finding::wrong(
            about,
            format!("CommBox does not know the channel: {text}"),
            "compare phone_number_id with the channel's encrypted id in CommBox; enter it as it is shown, %3d and all",
        ),
    };
    finding.on(Topic::Number).within(started.elapsed())
}

async fn templates(commbox: &CommBox, via: &Exchange, sender: &Sender) -> Finding {
    let started = Instant::now();
    let about = format!("business account {}", sender.provider_account_id);
    let finding = match commbox.fetch_templates(via, sender, None).await {
        Ok(templates) => {
            let approved = templates.iter().filter(|listed| listed.template.status == TemplateStatus::Approved).count();
            let text = format!("{approved} of {} templates are approved", templates.len());
            match approved {
                0 => Finding::doubtful(about, text, "have a template approved, in WhatsApp Manager"),
                _ => Finding::fine(about, text),
            }
        }
        Err(failure) => Finding::wrong(
            about,
            format!("the templates cannot be listed: {failure}"),
            "ask CommBox for the path of the list, and set templates_path",
        ),
    };
    finding.on(Topic::Templates).within(started.elapsed())
}
