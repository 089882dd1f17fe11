//! What Graph says of one number: whether it is the one that was meant, how well it stands, and where its webhooks go.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{get, read, repair::offered, timed};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        finding::{Finding, RepairKind, Topic},
    },
    net::{exchange::Exchange, redact},
    providers::{
        Checked, FetchFailure, Provider as _,
        cloud_api::findings::{SEEN_WITH_IT, about, check_state},
        meta::{MetaCloud, settings::graph_object},
    },
};

pub(super) async fn check(
    via: &Exchange,
    connection: &Connection,
    sender: &Arc<Sender>,
    member: Option<bool>,
    webhook_url: Option<&str>,
) -> Checked {
    let (state, took) = timed(MetaCloud.fetch_number(via, sender)).await;
    let mut findings = check_seen(sender, &state, member, took);
    if state.is_ok() {
        findings.extend(check_route(via, connection, sender, webhook_url).await);
    }
    Checked { findings, numbers: vec![(sender.key, state)] }
}

/// A number, as far as it is what was configured.
fn check_seen(
    sender: &Sender,
    state: &Result<NumberState, FetchFailure>,
    member: Option<bool>,
    took: Duration,
) -> Vec<Finding> {
    let about = about(sender);
    let mut findings = match state {
        Ok(state) => check_state(sender, state, &about),
        Err(failure) => unreadable(sender, failure, &about),
    };
    if state.is_ok() && member == Some(false) {
        let finding = Finding::wrong(
            &about,
            format!("it is not a number of business account {}", sender.provider_account_id),
            "correct waba_id of the number: templates are taken from the wrong account",
        );
        findings.push(finding.on(Topic::Number));
    }
    findings.into_iter().map(|finding| finding.within(took)).collect()
}

fn unreadable(sender: &Sender, failure: &FetchFailure, about: &str) -> Vec<Finding> {
    let wrong = Finding::wrong(
        about,
        format!("it cannot be read under phone_number_id {}: {failure}", sender.provider_number_id),
        "compare phone_number_id with App dashboard → WhatsApp → API setup",
    );
    let unseen = |topic| {
        let finding =
            Finding::not_checked(about, "Meta's answer about the number would tell it", "mend the number first");
        finding.on(topic)
    };
    [wrong.on(Topic::Number)].into_iter().chain(SEEN_WITH_IT.map(unseen)).collect()
}

/// Where the number's webhooks go, by Meta's order of precedence.
async fn check_route(
    via: &Exchange,
    connection: &Connection,
    sender: &Sender,
    webhook_url: Option<&str>,
) -> Vec<Finding> {
    let about = about(sender);
    let unseen = |why, remedy| vec![Finding::not_checked(&about, why, remedy).on(Topic::WebhookRoute)];
    let Some(ours) = webhook_url else {
        return unseen(
            "nobody has said how the world reaches this bridge, so there is nothing to compare with",
            "set server.public_url, and check again",
        );
    };
    let query = "fields=webhook_configuration";
    let url = format!("{}?{query}", graph_object(connection, &sender.provider_number_id));
    let (node, took) = timed(get(via, connection, &url)).await;
    // A version that has no such field refuses the request; then nobody can tell.
    let findings = match node.and_then(|answer| read(&answer)) {
        Ok(node) => routes(connection, sender, &about, &node["webhook_configuration"], ours),
        Err(_) => unseen("this version of Graph does not tell", "choose a newer api_version for the connection"),
    };
    findings.into_iter().map(|finding| finding.on(Topic::WebhookRoute).within(took)).collect()
}

fn routes(connection: &Connection, sender: &Sender, about: &str, configuration: &Value, ours: &str) -> Vec<Finding> {
    let place = |name: &str| configuration[name].as_str().filter(|url| !url.is_empty());
    let (number, account, app) = (place("phone_number"), place("whatsapp_business_account"), place("application"));
    let same = |url: &str| url.trim_end_matches('/') == ours.trim_end_matches('/');
    let mut findings = match number.or(account).or(app) {
        Some(url) if same(url) => vec![Finding::fine(about, "its webhooks come to this bridge")],
        Some(url) => {
            let (whose, kind, id) = match number {
                Some(_) => ("the number's own override", RepairKind::RouteNumber, &sender.provider_number_id),
                None => ("its business account or app", RepairKind::SubscribeAccount, &sender.provider_account_id),
            };
            let finding = Finding::wrong(
                about,
                format!("its webhooks go to {} (set by {whose}) and not to {ours}", redact::url_beside(ours, url)),
                "press “Fix channel issue” in the console, run `wabridge check --repair`, or enter our URL at Meta",
            );
            vec![offered(finding, connection, kind, id, Some(ours))]
        }
        None => {
            let finding = Finding::doubtful(
                about,
                "Meta does not say where its webhooks go",
                "press “Fix channel issue” in the console, or enter our URL at Meta (App dashboard → WhatsApp → Configuration)",
            );
            vec![offered(finding, connection, RepairKind::SubscribeAccount, &sender.provider_account_id, Some(ours))]
        }
    };
    // Overrides are for messages only.
    if app.is_some_and(|url| !same(url)) {
        findings.push(Finding::doubtful(
            about,
            "news of templates, quality and limits go to the app's own URL, which is not this bridge",
            "enter our URL at App dashboard → WhatsApp → Configuration, or live with lists that are read on a schedule",
        ));
    }
    findings
}
